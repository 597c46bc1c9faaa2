/* Whether grouping below pays: by the owners' figures where there are any, else by what such
 * columns are like. */
#include "query/aggregate_internal.h"

#include "core/assert.h"

#include <math.h>
#include <string.h>

/* Where the figures of a table are known: rows that must stand behind a group on average. */
#define ROWS_PER_GROUP_MIN 4u
/* Where they are not: */
#define KEYS_MAX 4u           /* more columns make as many groups as there are rows, */
#define VALUES_GUESSED 1000.0 /* and a column has so many values. */
#define KEYS_COUNTED 16u
#define BACKOFF_KEYS 4u

const struct fm_plan_table *aggregate_largest(const struct aggregate *a)
{
    return a->names->leaves[a->leaf].relation;
}

/* The field of a key that is a column, NULL for an expression. */
static const struct fm_field *field_of(const struct aggregate *a, const json_t *key,
                                       const struct fm_plan_table **table)
{
    if (!tree_json_is(key, "class", "COLUMN_REF"))
        return NULL;
    struct names_found found = names_find(a->names, key, NAMES_IN_ROWS);
    fm_assert(aggregate_has(a, &found));
    *table = a->names->leaves[found.leaf].relation;
    return names_field(a->names, &found);
}

static bool holds_primary_key(const struct aggregate *a)
{
    const struct fm_schema *schema = aggregate_largest(a)->schema;
    uint32_t count = 0;

    for (size_t i = 0; i < json_array_size(a->keys); i++) {
        const struct fm_plan_table *table = NULL;
        const struct fm_field *field = field_of(a, json_array_get(a->keys, i), &table);
        for (uint32_t k = 0; field != NULL && k < schema->key_count; k++)
            count += field == &schema->fields[schema->key[k]] ? 1u : 0u;
    }
    return schema->key_count > 0 && count == schema->key_count;
}

/* Columns of these kinds hardly ever repeat. */
static bool is_sparse(const struct fm_field *field)
{
    switch (field->type.kind) {
    case FM_KIND_BLOB:
    case FM_KIND_TIME:
    case FM_KIND_TIMESTAMP:
    case FM_KIND_TIMESTAMPTZ:
    case FM_KIND_UUID:
    case FM_KIND_HUGEINT:
        return true;
    default:
        return false;
    }
}

/* Values of the column at most, 0: the owner did not say. NULL is one more. */
static uint64_t distinct_values(const struct fm_plan_table *table, const struct fm_field *field)
{
    const struct fm_column_figures *figures =
        table->statistics != NULL ? fm_statistics_column(table->statistics, field->id) : NULL;

    if (field->type.kind == FM_KIND_BOOLEAN)
        return 3;
    return figures != NULL && figures->distinct > 0 ? figures->distinct + 1 : 0;
}

static int compare_descending(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return left < right ? 1 : left > right ? -1 : 0;
}

/* Columns of one table go together more often than not: of the second but the square root counts,
 * of the third the fourth, and so on, as in SQL Server's estimates. */
static double combined(double *distinct, size_t count)
{
    double groups = 1;

    qsort(distinct, count, sizeof *distinct, compare_descending);
    for (size_t i = 0; i < count && i < BACKOFF_KEYS; i++) {
        double part = distinct[i];
        for (size_t k = 0; k < i; k++)
            part = sqrt(part);
        groups *= part;
    }
    return groups;
}

/* How many groups to expect of so many rows; `*known` when the figures of all keys are. */
uint64_t aggregate_groups(const struct aggregate *a, uint64_t rows, bool *known)
{
    double distinct[KEYS_COUNTED];
    size_t count = 0;

    *known = rows > 0 && json_array_size(a->keys) <= KEYS_COUNTED;
    for (; count < json_array_size(a->keys) && count < KEYS_COUNTED; count++) {
        const struct fm_plan_table *table = NULL;
        const struct fm_field *field = field_of(a, json_array_get(a->keys, count), &table);
        uint64_t values = field != NULL ? distinct_values(table, field) : 0;
        *known = *known && (values > 0 || field == NULL);
        distinct[count] = values > 0 ? (double)values : VALUES_GUESSED;
    }
    double groups = combined(distinct, count);
    double most = rows > 0 ? (double)rows : 1e18;
    return (uint64_t)(groups < most ? groups : most);
}

/* By the figures when there are any, else by what such columns are like. */
bool aggregate_pays(const struct aggregate *a)
{
    uint64_t rows = aggregate_largest(a)->rows;
    bool known = false;
    uint64_t groups = aggregate_groups(a, rows, &known);

    if (known)
        return groups <= rows / ROWS_PER_GROUP_MIN;
    if (json_array_size(a->keys) > KEYS_MAX || holds_primary_key(a))
        return false;
    for (size_t i = 0; i < json_array_size(a->keys); i++) {
        const struct fm_plan_table *table = NULL;
        const struct fm_field *field = field_of(a, json_array_get(a->keys, i), &table);
        if (field != NULL && is_sparse(field))
            return false;
    }
    return true;
}
