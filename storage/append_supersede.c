/* Which facts a batch of rows takes out of the latest state, by the key or by what it names. */
#include "storage/append.h"

#include "core/assert.h"

/* Without a key, facts are named. */
static enum fm_status supersede_named(struct fm_append *append, const struct row_headers *headers,
                                      uint32_t row, struct fm_error *err)
{
    uint64_t sequence = headers->first.sequence + row;
    unsigned long long number = sequence - append->base->tree.size + 1;
    uint64_t named = UINT64_MAX;
    bool is_named;
    enum fm_status status;

    if (row_operation(headers, row) == FM_ASSERT)
        return FM_OK;
    is_named = row_supersedes(headers, row, &named);
    fm_assert(is_named); /* append_check.c */
    if (named >= sequence)
        return fm_fail(err, FM_CONFLICT,
                       "row %llu: `_supersedes` names fact %llu, which is not before this row's, "
                       "%llu",
                       number, (unsigned long long)named, (unsigned long long)sequence);
    if (superseded_edit_has(append->superseded, named))
        return fm_fail(err, FM_CONFLICT,
                       "row %llu: `_supersedes` names fact %llu, which has been taken back or "
                       "corrected already, or takes back itself",
                       number, (unsigned long long)named);
    status = superseded_edit_add(append->superseded, named);
    if (status == FM_OK && row_operation(headers, row) == FM_RETRACT)
        status = superseded_edit_add(append->superseded, sequence);
    return status;
}

enum fm_status append_supersede(struct fm_append *append, const struct fm_batch *batch,
                                struct rocks_batch *out, struct fm_error *err)
{
    struct row_headers headers = append_headers(append, batch);
    struct key_update update = {
        .table = append->table,
        .schema = append->schema,
        .base_size = append->base->tree.size,
        .skip_lookup = append->header.sequence == 0,
        .superseded = append->superseded,
    };
    enum fm_status status = FM_OK;

    fm_assert(append->superseded != NULL);
    if (schema_is_keyed(append->schema))
        return key_index_update(&update, &headers, out, err);
    for (uint32_t row = 0; status == FM_OK && row < batch->rows; row++)
        status = supersede_named(append, &headers, row, err);
    return status;
}
