/* The statement of a carved slot: the columns wanted, the conditions that stand above it. */
#include "query/plan_read.h"

#include "core/assert.h"

static void put_name(const char *name, struct fm_buf *out)
{
    fm_buf_put_u8(out, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"')
            fm_buf_put_u8(out, '"');
        fm_buf_put_u8(out, (uint8_t)*name);
    }
    fm_buf_put_u8(out, '"');
}

#define DATE_MIN INT64_C(-719162) /* 0001-01-01 */
#define DATE_MAX INT64_C(2932896) /* 9999-12-31 */

/* Types whose values read back as they were printed. */
static bool is_exact(const struct fm_type *type, struct fm_span value)
{
    switch ((int)type->kind) {
    case FM_KIND_BOOLEAN:
    case FM_KIND_INT8:
    case FM_KIND_INT16:
    case FM_KIND_INT32:
    case FM_KIND_INT64:
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
    case FM_KIND_UINT64:
    case FM_KIND_HUGEINT:
    case FM_KIND_VARCHAR:
        return true;
    case FM_KIND_DATE: {
        int32_t days = (int32_t)fm_load32(value.data);
        return days >= DATE_MIN && days <= DATE_MAX;
    }
    default:
        return false;
    }
}

static void put_literal(const struct fm_type *type, struct fm_span value, struct fm_buf *out)
{
    if (type->kind == FM_KIND_DATE)
        fm_buf_put_str(out, "DATE '");
    plan_print_value(type, value, out);
    if (type->kind == FM_KIND_DATE)
        fm_buf_put_u8(out, '\'');
}

static const struct fm_field *field_of(const struct fm_schema *schema, uint32_t id)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].id == id)
            return &schema->fields[i];
    return NULL;
}

/* False, and nothing printed, for a term that SQL text would not say exactly. */
static bool put_term(const struct fm_schema *schema, const struct fm_predicate *term,
                     const char *before, struct fm_buf *out)
{
    static const char *const operators[] = {
        [FM_OP_EQ] = " = ",    [FM_OP_NE] = " <> ",          [FM_OP_LT] = " < ",
        [FM_OP_LE] = " <= ",   [FM_OP_GT] = " > ",           [FM_OP_GE] = " >= ",
        [FM_OP_IN] = " IN (",  [FM_OP_IS_NULL] = " IS NULL", [FM_OP_IS_NOT_NULL] = " IS NOT NULL",
        [FM_OP_PREFIX] = NULL,
    };
    const struct fm_field *field = field_of(schema, term->field_id);

    if (field == NULL || operators[term->op] == NULL)
        return false;
    for (uint32_t i = 0; i < term->value_count; i++)
        if (!is_exact(&field->type, fm_buf_span(&term->values[i])))
            return false;
    fm_buf_put_str(out, before);
    put_name(field->name, out);
    fm_buf_put_str(out, operators[term->op]);
    for (uint32_t i = 0; i < term->value_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        put_literal(&field->type, fm_buf_span(&term->values[i]), out);
    }
    if (term->op == FM_OP_IN)
        fm_buf_put_u8(out, ')');
    return true;
}

static void print_part(const struct fm_plan_table *table,
                       const struct fm_predicate_list *predicates, struct fm_buf *out)
{
    const char *before = " WHERE ";

    fm_buf_put_str(out, "SELECT ");
    for (uint32_t i = 0; i < table->field_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        put_name(table->schema->fields[table->fields[i]].name, out);
    }
    fm_buf_put_str(out, " FROM (");
    fm_buf_put_span(out, fm_buf_span(&table->sql));
    fm_buf_put_str(out, ") AS fm_part");
    for (uint32_t i = 0; table->names_made && i < table->schema->field_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "(");
        put_name(table->schema->fields[i].name, out);
    }
    fm_buf_put_str(out, table->names_made ? ")" : "");
    for (uint32_t i = 0; predicates != NULL && i < predicates->count; i++)
        if (put_term(table->schema, &predicates->terms[i], before, out))
            before = " AND ";
}

enum fm_status fm_plan_part_sql(const struct fm_plan_table *table,
                                const struct fm_predicate_list *predicates, struct fm_buf *out)
{
    fm_assert(table->sql.len != 0);
    if (table->field_count == table->schema->field_count &&
        (predicates == NULL || predicates->count == 0)) {
        fm_buf_put_span(out, fm_buf_span(&table->sql));
        return fm_buf_status(out);
    }
    print_part(table, predicates, out);
    if (fm_buf_status(out) != FM_OK || out->len <= FM_SQL_BYTES_MAX)
        return fm_buf_status(out);
    fm_buf_clear(out); /* Too long for a ticket: the merge applies the conditions. */
    print_part(table, NULL, out);
    return fm_buf_status(out) == FM_OK && out->len > FM_SQL_BYTES_MAX ? FM_LIMIT
                                                                      : fm_buf_status(out);
}
