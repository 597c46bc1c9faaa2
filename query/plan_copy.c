/* Plans that are kept and used again (node/plan_cache.h). */
#include "query/plan.h"

#include <stdlib.h>
#include <string.h>

/* Whoever gives these structures a new member copies it here, and counts its bytes below. */
#define PLAN_BYTES 160u
#define PLAN_TABLE_BYTES 328u
_Static_assert(sizeof(void *) != 8 || sizeof(struct fm_plan) == PLAN_BYTES, "copy what is new");
_Static_assert(sizeof(void *) != 8 || sizeof(struct fm_plan_table) == PLAN_TABLE_BYTES,
               "copy what is new");

static enum fm_status copy_items(const void *from, size_t count, size_t size, void *to)
{
    void *copy = NULL;

    if (from != NULL && count != 0) {
        copy = calloc(count, size);
        if (copy == NULL)
            return FM_NOMEM;
        memcpy(copy, from, count * size);
    }
    memcpy(to, &copy, sizeof copy);
    return FM_OK;
}

static enum fm_status copy_buf(const struct fm_buf *from, struct fm_buf *to)
{
    *to = FM_BUF_INIT(from->max);
    fm_buf_put_span(to, fm_buf_span(from));
    return fm_buf_status(to);
}

static enum fm_status copy_statistics(const struct fm_statistics *from, struct fm_statistics **to)
{
    if (from == NULL)
        return FM_OK;
    *to = calloc(1, sizeof **to);
    return *to == NULL ? FM_NOMEM : fm_statistics_copy(from, *to);
}

static enum fm_status copy_table(const struct fm_plan_table *from, struct fm_plan_table *to)
{
    *to = *from;
    to->schema = NULL;
    to->statistics = NULL;
    to->sql = FM_BUF_INIT(0);
    to->refs = NULL;
    to->fields = NULL;
    to->predicates = (struct fm_predicate_list){0};
    to->enum_fields = NULL;
    enum fm_status status = fm_schema_copy(from->schema, &to->schema);
    if (status == FM_OK)
        status = copy_buf(&from->sql, &to->sql);
    if (status == FM_OK)
        status = copy_statistics(from->statistics, &to->statistics);
    if (status == FM_OK)
        status = copy_items(from->refs, from->ref_count, sizeof *from->refs, &to->refs);
    if (status == FM_OK)
        status = copy_items(from->fields, from->field_count, sizeof *from->fields, &to->fields);
    if (status == FM_OK)
        status = copy_items(from->enum_fields, from->enum_count, sizeof *from->enum_fields,
                            &to->enum_fields);
    return status == FM_OK ? fm_predicate_list_copy(&from->predicates, &to->predicates) : status;
}

static enum fm_status copy(const struct fm_plan *from, struct fm_plan *to)
{
    *to = *from;
    to->table_count = 0;
    to->tables = NULL;
    to->sql = to->shipped = FM_BUF_INIT(0);
    to->lookup.fields = NULL;
    to->joins = NULL;
    to->reductions = NULL;
    enum fm_status status = copy_buf(&from->sql, &to->sql);
    if (status == FM_OK)
        status = copy_buf(&from->shipped, &to->shipped);
    if (status == FM_OK)
        status = copy_items(from->lookup.fields, from->lookup.field_count,
                            sizeof *from->lookup.fields, &to->lookup.fields);
    if (status == FM_OK)
        status = copy_items(from->joins, from->join_count, sizeof *from->joins, &to->joins);
    if (status == FM_OK)
        status = copy_items(from->reductions, from->reduction_count, sizeof *from->reductions,
                            &to->reductions);
    to->tables = calloc(from->table_count + 1u, sizeof *to->tables);
    if (status == FM_OK && to->tables == NULL)
        status = FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < from->table_count; i++) {
        to->table_count = i + 1;
        status = copy_table(&from->tables[i], &to->tables[i]);
    }
    return status;
}

enum fm_status fm_plan_copy(const struct fm_plan *plan, struct fm_plan *out)
{
    struct fm_plan made;
    enum fm_status status = copy(plan, &made);

    if (status != FM_OK)
        fm_plan_deinit(&made);
    else
        *out = made;
    return status;
}

static size_t type_bytes(const struct fm_type *type)
{
    size_t bytes = sizeof *type;

    for (uint32_t i = 0; i < type->child_count; i++)
        bytes += type_bytes(&type->children[i]);
    for (uint32_t i = 0; i < type->label_count; i++)
        bytes += sizeof *type->labels + strlen(type->labels[i]) + 1;
    return bytes;
}

static size_t table_bytes(const struct fm_plan_table *table)
{
    size_t bytes = sizeof *table + sizeof *table->schema + table->sql.len +
                   table->ref_count * sizeof *table->refs +
                   (table->field_count + table->enum_count) * sizeof *table->fields;

    if (table->statistics != NULL)
        bytes += sizeof *table->statistics +
                 table->statistics->column_count * sizeof *table->statistics->columns;
    for (uint32_t i = 0; i < table->schema->field_count; i++)
        bytes += sizeof(struct fm_field) + type_bytes(&table->schema->fields[i].type);
    for (uint32_t i = 0; i < table->predicates.count; i++) {
        const struct fm_predicate *term = &table->predicates.terms[i];
        bytes += sizeof *term + term->value_count * sizeof *term->values;
        for (uint32_t k = 0; k < term->value_count; k++)
            bytes += term->values[k].len;
    }
    return bytes;
}

size_t fm_plan_memory(const struct fm_plan *plan)
{
    size_t bytes = sizeof *plan + plan->sql.len + plan->shipped.len +
                   plan->lookup.field_count * sizeof *plan->lookup.fields +
                   plan->join_count * sizeof *plan->joins +
                   plan->reduction_count * sizeof *plan->reductions;

    for (uint32_t i = 0; i < plan->table_count; i++)
        bytes += table_bytes(&plan->tables[i]);
    return bytes;
}
