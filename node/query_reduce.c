/* Reductions at run time: the rows of one slot are read, and their keys asked for in another. */
#include "node/query.h"

#include "core/assert.h"
#include "query/key_set.h"

/* Which of the fields that a slot brings this one is. */
static bool find_column(const struct fm_plan_table *table, uint32_t field, uint32_t *out)
{
    for (uint32_t i = 0; i < table->field_count; i++) {
        if (table->fields[i] != field)
            continue;
        *out = i;
        return true;
    }
    return false;
}

/* The keys of one slot. What the owner announces is compared with what was asked for later, by who
 * merges; keys of another type are none. */
static enum fm_status collect(const struct fm_query *query,
                              const struct fm_plan_reduction *reduction, struct fm_key_set *keys)
{
    const struct fm_plan_table *table = &query->plan.tables[reduction->from];
    const struct fm_field *field = &table->schema->fields[reduction->from_field];
    const struct fm_kept *kept = &query->kept[reduction->from];
    const struct fm_columns *came = fm_feed_columns(kept->feed);
    enum fm_status status = FM_OK;
    uint32_t column = 0;

    if (!find_column(table, reduction->from_field, &column) || came->count != table->field_count ||
        !fm_type_equal(&came->items[column].type, &field->type))
        return FM_NOTFOUND;
    const struct fm_dictionary *dictionary = &came->items[column].dictionary;
    for (uint32_t i = 0; i < kept->count && status == FM_OK; i++) {
        struct fm_batch batch;
        status = fm_batch_view_trusted(fm_buf_span(&kept->batches[i]), &batch);
        if (status == FM_OK)
            status = fm_key_set_add(keys, &batch, &batch.vectors[column],
                                    dictionary->count > 0 ? dictionary : NULL);
    }
    return status;
}

static enum fm_status add_terms(const struct fm_query *query,
                                const struct fm_plan_reduction *reduction,
                                struct fm_predicate_list *list)
{
    FM_AUTO(fm_key_set_freep) struct fm_key_set *keys = NULL;
    const struct fm_field *from =
        &query->plan.tables[reduction->from].schema->fields[reduction->from_field];
    const struct fm_field *to =
        &query->plan.tables[reduction->to].schema->fields[reduction->to_field];

    enum fm_status status = fm_key_set_new(&from->type, &to->type, &keys);
    if (status == FM_OK)
        status = collect(query, reduction, keys);
    if (status == FM_OK)
        status = fm_key_set_terms(keys, to->id, list);
    return status == FM_NOTFOUND || status == FM_LIMIT ? FM_OK : status; /* Then without. */
}

enum fm_status fm_query_reduce(const struct fm_query *query, uint32_t slot,
                               struct fm_predicate_list *out, struct fm_error *err)
{
    enum fm_status status = fm_predicate_list_copy(&query->plan.tables[slot].predicates, out);

    for (uint32_t i = 0; i < query->plan.reduction_count && status == FM_OK; i++) {
        const struct fm_plan_reduction *reduction = &query->plan.reductions[i];
        if (reduction->to == slot && query->kept[reduction->from].is_whole)
            status = add_terms(query, reduction, out);
    }
    return status == FM_OK ? FM_OK : fm_fail(err, status, "reduce a fragment");
}
