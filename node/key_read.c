#include "node/key_read.h"

#include <stdio.h>

/* ---- The key --------------------------------------------------------------------------------- */

static const struct fm_predicate *find_equal(const struct fm_predicate_list *list,
                                             uint32_t field_id)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->terms[i].field_id == field_id && list->terms[i].op == FM_OP_EQ)
            return &list->terms[i];
    return NULL;
}

bool fm_key_read_fits(const struct fm_schema *schema, const struct fm_scan_options *options,
                      struct fm_buf *key)
{
    char base[FM_NAME_MAX + 1];

    if (schema->key_count == 0 || schema->has_subject || options->at.kind != FM_AT_LATEST ||
        fm_facts_name(options->table, base))
        return false;
    for (uint32_t i = 0; i < schema->key_count; i++) {
        const struct fm_field *field = &schema->fields[schema->key[i]];
        const struct fm_predicate *term = find_equal(options->predicates, field->id);

        if (term == NULL)
            return false;
        fm_buf_put_span(key, fm_buf_span(&term->values[0]));
    }
    return fm_buf_status(key) == FM_OK;
}

/* ---- The columns ----------------------------------------------------------------------------- */

enum fm_status fm_key_read_columns(const struct fm_schema *schema,
                                   const struct fm_scan_options *options, struct fm_columns *out)
{
    out->items = calloc(options->field_count + 1u, sizeof *out->items);
    if (out->items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < options->field_count; i++) {
        const struct fm_field *field = &schema->fields[options->fields[i]];

        (void)snprintf(out->items[i].name, sizeof out->items[i].name, "%s", field->name);
        out->count = i + 1;
        enum fm_status status = fm_type_copy(&field->type, &out->items[i].type);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* ---- The row --------------------------------------------------------------------------------- */

static enum fm_status select_row(const struct fm_schema *schema,
                                 const struct fm_predicate_list *predicates,
                                 const struct fm_batch *batch, uint64_t *selection)
{
    FM_AUTO(fm_mem_freep) uint32_t *ids = calloc(schema->field_count, sizeof *ids);

    if (ids == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count; i++)
        ids[i] = schema->fields[i].id;
    return fm_predicate_select(predicates, schema, batch, ids, NULL, 0, 1, false, selection);
}

static enum fm_status put_wanted(const struct fm_schema *schema,
                                 const struct fm_scan_options *options,
                                 const struct fm_batch *batch, struct fm_buf *row)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(options->field_count + 1u, sizeof *types);
    struct fm_batch_builder_options made = {
        .types = types, .column_count = options->field_count, .encode = true};

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < options->field_count; i++)
        types[i] = &schema->fields[options->fields[i]].type;
    enum fm_status status = fm_batch_builder_new(&made, &builder);
    for (uint32_t i = 0; i < options->field_count && status == FM_OK; i++)
        status = fm_batch_put_rows(builder, i, batch, options->fields[i], NULL, 0, 1, NULL);
    return status == FM_OK ? fm_batch_builder_finish(builder, 0, row) : status;
}

enum fm_status fm_key_read(struct fm_snapshot *snapshot, const struct fm_schema *schema,
                           const struct fm_scan_options *options, struct fm_span key,
                           struct fm_buf *row, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf all = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_batch batch;
    uint64_t selection = 1;
    enum fm_status status =
        fm_snapshot_get(snapshot, options->domain, options->table, key, &all, err);

    if (status == FM_NOTFOUND)
        return FM_OK;
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&all), &batch);
    if (status == FM_OK)
        status = select_row(schema, options->predicates, &batch, &selection);
    if (status == FM_OK && (selection & 1) != 0)
        status = put_wanted(schema, options, &batch, row);
    return status;
}
