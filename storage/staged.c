#include "storage/staged.h"

#include "core/assert.h"
#include "storage/subtrees.h"

#define UNDO_BATCH 4096u

enum fm_status staged_begin(struct table *table, const struct table_state *state,
                            struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct staged_value staged = {.first_sequence = state->tree.size,
                                  .first_segment = state->next_segment};
    struct key key = key_table(KEYS_META_STAGED, table->id);
    enum fm_status status = rocks_batch_new(table->store->rocks, &batch);

    if (status != FM_OK)
        return status;
    staged_encode(&value, &staged);
    status = fm_buf_status(&value);
    if (status != FM_OK)
        return status;
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    /* Synced: whatever is found staged after a power cut must be found with its mark. */
    return rocks_write(table->store->rocks, batch, true, err);
}

void staged_end(struct table *table, struct rocks_batch *batch)
{
    struct key key = key_table(KEYS_META_STAGED, table->id);

    rocks_batch_delete(batch, ROCKS_META, key_span(&key));
}

/* Put one entry of the key index back to where it pointed before. */
static enum fm_status undo_entry(struct rocks_batch *batch, struct fm_span key,
                                 struct fm_span value, uint64_t size)
{
    struct index_value entry;
    enum fm_status status = index_decode(value, &entry);
    uint8_t bytes[16];

    if (status != FM_OK || entry.sequence < size)
        return status;
    if (entry.previous == INDEX_NONE) {
        rocks_batch_delete(batch, ROCKS_KEYS, key);
        return FM_OK;
    }
    if (entry.previous >= size)
        return FM_CORRUPT;
    /* What was before that append is only of use until it commits. */
    entry = (struct index_value){.sequence = entry.previous, .previous = INDEX_NONE};
    index_encode(bytes, &entry);
    rocks_batch_put(batch, ROCKS_KEYS, key, fm_span(bytes, sizeof bytes));
    return FM_OK;
}

static enum fm_status undo_index(struct table *table, uint64_t size, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    struct rocks *rocks = table->store->rocks;
    struct key first = key_prefix(table->id);
    struct key end = key_prefix(table->id + 1);
    enum fm_status status = rocks_batch_new(rocks, &batch);

    if (status == FM_OK)
        status = rocks_iterator_new(rocks, NULL, ROCKS_KEYS, key_span(&first), key_span(&end),
                                    &iterator);
    while (status == FM_OK) {
        struct fm_span key, value;

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status == FM_OK)
            status = undo_entry(batch, key, value, size);
        if (status == FM_OK && rocks_batch_count(batch) >= UNDO_BATCH) {
            status = rocks_write(rocks, batch, false, err);
            rocks_batch_clear(batch);
        }
    }
    if (status != FM_NOTFOUND)
        return status;
    return rocks_write(rocks, batch, false, err);
}

enum fm_status staged_undo(struct table *table, const struct table_state *state,
                           struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    struct key first = key_column(table->id, state->next_segment, 0);
    struct key end = key_table_end(KEYS_SEGMENT_COLUMN, table->id);
    struct key first_spans = key_spans(table->id, state->next_segment);
    struct key end_spans = key_table_end(KEYS_SEGMENT_SPANS, table->id);
    enum fm_status status = rocks_batch_new(table->store->rocks, &batch);
    bool is_keyed = false;

    for (uint32_t i = 0; i < table->schema_count; i++)
        is_keyed = is_keyed || schema_is_keyed(table->schemas[i]);
    if (status == FM_OK && is_keyed)
        status = undo_index(table, state->tree.size, err);
    if (status != FM_OK)
        return status;
    rocks_batch_delete_range(batch, ROCKS_SEGMENTS, key_span(&first), key_span(&end));
    rocks_batch_delete_range(batch, ROCKS_SEGMENTS, key_span(&first_spans), key_span(&end_spans));
    subtrees_undo(table, state->tree.size, batch);
    staged_end(table, batch);
    return rocks_write(table->store->rocks, batch, true, err);
}

enum fm_status staged_recover(struct table *table, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct key key = key_table(KEYS_META_STAGED, table->id);
    struct staged_value value;
    enum fm_status status =
        rocks_get(table->store->rocks, NULL, ROCKS_META, key_span(&key), &bytes, err);

    if (status != FM_OK)
        return status == FM_NOTFOUND ? FM_OK : status;
    status = staged_decode(fm_buf_span(&bytes), &value);
    if (status != FM_OK || value.first_sequence != table->state->tree.size ||
        value.first_segment != table->state->next_segment)
        return fm_fail(err, FM_CORRUPT,
                       "the mark of an unfinished append to %s.%s is not that of "
                       "the table's state; restore the folder from a backup",
                       table->domain, table->name);
    return staged_undo(table, table->state, err);
}
