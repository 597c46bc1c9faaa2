/* How much a slot brings, from the statistics of its table. */
#include "query/place.h"

#include <math.h>

/* Where nothing better is known. */
#define SELECTS_EQUAL 0.1
#define SELECTS_RANGE (1.0 / 3)
#define SELECTS_PREFIX 0.05
#define SELECTS_NOT 0.9
#define TEXT_BYTES 16.0
#define REPEATS 10.0 /* Rows for each value of a column whose values nobody counted. */

static const struct fm_column_figures *figures_of(const struct fm_plan_table *table,
                                                  uint32_t field_id)
{
    /* The columns of a part are its own. */
    return table->statistics == NULL || table->sql.len != 0
               ? NULL
               : fm_statistics_column(table->statistics, field_id);
}

static const struct fm_type *type_of(const struct fm_plan_table *table, uint32_t field_id)
{
    for (uint32_t i = 0; i < table->schema->field_count; i++) {
        if (table->schema->fields[i].id == field_id)
            return &table->schema->fields[i].type;
    }
    return NULL;
}

/* Canonical bytes of a number or a time as a number; false for other types. */
static bool number_of(const struct fm_type *type, struct fm_span bytes, double *out)
{
    bool is_unsigned = type->kind >= FM_KIND_UINT8 && type->kind <= FM_KIND_UINT64;
    bool is_signed = (type->kind >= FM_KIND_INT8 && type->kind <= FM_KIND_INT64) ||
                     (type->kind >= FM_KIND_DATE && type->kind <= FM_KIND_TIMESTAMPTZ);
    uint64_t value = 0;

    if ((!is_unsigned && !is_signed) || bytes.len == 0 || bytes.len > sizeof value)
        return false;
    memcpy(&value, bytes.data, bytes.len);
    if (is_signed && bytes.len < sizeof value && (bytes.data[bytes.len - 1] & 0x80u) != 0)
        value |= UINT64_MAX << (8 * bytes.len);
    *out = is_signed ? (double)(int64_t)value : (double)value;
    return true;
}

static double share_below(const struct fm_type *type, const struct fm_column_figures *figures,
                          struct fm_span value)
{
    double min, max, at;

    if (!number_of(type, fm_span(figures->min, figures->min_len), &min) ||
        !number_of(type, fm_span(figures->max, figures->max_len), &max) ||
        !number_of(type, value, &at))
        return -1;
    if (max <= min)
        return at > min ? 1 : 0;
    return fmin(1, fmax(0, (at - min) / (max - min)));
}

static double selects_range(const struct fm_plan_table *table, const struct fm_predicate *term,
                            const struct fm_column_figures *figures)
{
    const struct fm_type *type = type_of(table, term->field_id);

    if (figures == NULL || type == NULL)
        return SELECTS_RANGE;
    double below = share_below(type, figures, fm_buf_span(&term->values[0]));
    if (below < 0)
        return SELECTS_RANGE;
    return term->op == FM_OP_LT || term->op == FM_OP_LE ? below : 1 - below;
}

static double null_share(const struct fm_plan_table *table, const struct fm_column_figures *figures)
{
    double facts = (double)table->statistics->rows;

    return facts > 0 ? fmin(1, (double)figures->nulls / facts) : 0;
}

static double selects(const struct fm_plan_table *table, const struct fm_predicate *term)
{
    const struct fm_column_figures *figures = figures_of(table, term->field_id);
    double distinct = figures != NULL ? (double)figures->distinct : 0;

    switch (term->op) {
    case FM_OP_EQ:
        return distinct > 0 ? 1 / distinct : SELECTS_EQUAL;
    case FM_OP_NE:
        return distinct > 0 ? 1 - 1 / distinct : SELECTS_NOT;
    case FM_OP_IN:
        return fmin(1, term->value_count * (distinct > 0 ? 1 / distinct : SELECTS_EQUAL));
    case FM_OP_LT:
    case FM_OP_LE:
    case FM_OP_GT:
    case FM_OP_GE:
        return selects_range(table, term, figures);
    case FM_OP_IS_NULL:
        return figures != NULL ? null_share(table, figures) : SELECTS_EQUAL;
    case FM_OP_IS_NOT_NULL:
        return figures != NULL ? 1 - null_share(table, figures) : SELECTS_NOT;
    case FM_OP_PREFIX:
        return SELECTS_PREFIX;
    }
    return 1;
}

static double field_bytes(const struct fm_plan_table *table, uint32_t field)
{
    const struct fm_field *described = &table->schema->fields[field];
    const struct fm_column_figures *figures = figures_of(table, described->id);
    uint32_t width = fm_type_width(&described->type);

    if (figures != NULL && figures->bytes > 0 && table->statistics->rows > 0)
        return (double)figures->bytes / (double)table->statistics->rows;
    return width > 0 ? width : TEXT_BYTES;
}

void place_estimate(const struct fm_plan_table *table, struct place_estimate *out)
{
    *out = (struct place_estimate){.rows = -1};
    for (uint32_t i = 0; i < table->field_count; i++)
        out->row_bytes += field_bytes(table, table->fields[i]);
    if (table->sql.len != 0 && table->rows > 0)
        out->rows = (double)table->rows;
    if (table->sql.len != 0 || table->statistics == NULL)
        return;
    out->rows = (double)table->statistics->rows;
    for (uint32_t i = 0; i < table->predicates.count; i++)
        out->rows *= selects(table, &table->predicates.terms[i]);
}

double place_distinct(const struct fm_plan_table *table, uint32_t field, double rows)
{
    const struct fm_column_figures *figures = figures_of(table, table->schema->fields[field].id);
    double distinct = figures != NULL ? (double)figures->distinct : 0;

    if (distinct <= 0 && table->sql.len == 0 && table->statistics != NULL)
        distinct = (double)table->statistics->rows / REPEATS;
    if (distinct <= 0)
        distinct = rows;
    return fmax(1, fmin(distinct, rows));
}
