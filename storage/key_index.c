#include "storage/key_index.h"

#include "core/assert.h"

#include <stdlib.h>

enum fm_status key_of_row(const struct fm_schema *schema, const struct fm_batch *batch,
                          uint32_t row, struct fm_buf *out)
{
    for (uint32_t i = 0; i < schema->key_count; i++) {
        uint16_t column = schema->key[i];
        enum fm_status status = fm_vector_canonical(batch, &batch->vectors[column],
                                                    &schema->fields[column].type, NULL, row, out);

        if (status != FM_OK)
            return status;
    }
    return fm_buf_status(out);
}

/* Keys of one batch: bytes one after the other, and who is where. */
struct batch_key {
    uint32_t row;
    size_t at;
    size_t len;
};

struct batch_keys {
    struct fm_buf bytes;
    struct batch_key *items;
};

static void batch_keys_deinit(struct batch_keys *keys)
{
    fm_buf_free(&keys->bytes);
    free(keys->items);
}

static int compare_keys(const void *left, const void *right, void *context)
{
    const struct batch_keys *keys = context;
    const struct batch_key *a = left;
    const struct batch_key *b = right;
    size_t len = a->len < b->len ? a->len : b->len;
    int order = memcmp(keys->bytes.data + a->at, keys->bytes.data + b->at, len);

    if (order != 0)
        return order;
    if (a->len != b->len)
        return a->len < b->len ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

/* All keys, sorted, rows of one key together and rising. */
static enum fm_status collect(const struct fm_schema *schema, const struct fm_batch *batch,
                              struct batch_keys *keys)
{
    keys->items = malloc(batch->rows * sizeof *keys->items);
    if (keys->items == NULL)
        return FM_NOMEM;
    for (uint32_t row = 0; row < batch->rows; row++) {
        size_t at = keys->bytes.len;
        enum fm_status status = key_of_row(schema, batch, row, &keys->bytes);

        if (status != FM_OK)
            return status;
        keys->items[row] = (struct batch_key){row, at, keys->bytes.len - at};
    }
    qsort_r(keys->items, batch->rows, sizeof *keys->items, compare_keys, keys);
    return FM_OK;
}

static enum fm_status look_up(struct table *table, const struct rocks_snapshot *snapshot,
                              const struct key *key, struct fm_buf *scratch,
                              struct index_value *out, struct fm_error *err)
{
    enum fm_status status;

    fm_buf_clear(scratch);
    status = rocks_get(table->store->rocks, snapshot, ROCKS_KEYS, key_span(key), scratch, err);
    return status == FM_OK ? index_decode(fm_buf_span(scratch), out) : status;
}

/* `count` rows of one key. */
static enum fm_status put_key(struct key_update *update, const struct batch_keys *keys,
                              const struct batch_key *items, uint32_t count, uint64_t first,
                              struct fm_buf *scratch, struct rocks_batch *out, struct fm_error *err)
{
    struct fm_span canonical = fm_span(keys->bytes.data + items[0].at, items[0].len);
    struct key key = key_index(update->table->id, canonical);
    struct index_value old = {.sequence = INDEX_NONE, .previous = INDEX_NONE};
    struct index_value entry;
    enum fm_status status = FM_NOTFOUND;
    uint8_t bytes[16];

    if (!update->skip_lookup)
        status = look_up(update->table, NULL, &key, scratch, &old, err);
    if (status != FM_OK && status != FM_NOTFOUND)
        return status;
    if (status == FM_OK) {
        if (old.sequence >= first)
            return fm_fail(err, FM_CORRUPT, "the key index of %s.%s points beyond the table",
                           update->table->domain, update->table->name);
        status = superseded_edit_add(update->superseded, old.sequence);
    } else {
        status = FM_OK;
    }
    for (uint32_t i = 0; status == FM_OK && i + 1 < count; i++)
        status = superseded_edit_add(update->superseded, first + items[i].row);
    entry.sequence = first + items[count - 1].row;
    entry.previous = old.sequence < update->base_size ? old.sequence : old.previous;
    index_encode(bytes, &entry);
    rocks_batch_put(out, ROCKS_KEYS, key_span(&key), fm_span(bytes, sizeof bytes));
    return status;
}

static bool same_key(const struct batch_keys *keys, const struct batch_key *a,
                     const struct batch_key *b)
{
    return a->len == b->len &&
           memcmp(keys->bytes.data + a->at, keys->bytes.data + b->at, a->len) == 0;
}

enum fm_status key_index_update(struct key_update *update, const struct fm_batch *batch,
                                uint64_t first, struct rocks_batch *out, struct fm_error *err)
{
    FM_AUTO(batch_keys_deinit) struct batch_keys keys = {0};
    FM_AUTO(fm_buf_free) struct fm_buf scratch = FM_BUF_INIT(0);
    enum fm_status status;
    uint32_t end;

    fm_assert(schema_is_keyed(update->schema));
    fm_assert(batch->rows > 0);
    status = collect(update->schema, batch, &keys);
    for (uint32_t i = 0; status == FM_OK && i < batch->rows; i = end) {
        end = i + 1;
        while (end < batch->rows && same_key(&keys, &keys.items[i], &keys.items[end]))
            end++;
        status = put_key(update, &keys, &keys.items[i], end - i, first, &scratch, out, err);
    }
    return status;
}

enum fm_status key_index_find(struct table *table, const struct rocks_snapshot *snapshot,
                              uint64_t size, struct fm_span canonical, uint64_t *out,
                              struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf scratch = FM_BUF_INIT(0);
    struct key key = key_index(table->id, canonical);
    struct index_value entry = {0};
    enum fm_status status = look_up(table, snapshot, &key, &scratch, &entry, err);

    if (status != FM_OK)
        return status;
    /* At most one append, a staged one, lies beyond a snapshot: its entry names the row before. */
    *out = entry.sequence < size ? entry.sequence : entry.previous;
    return *out < size ? FM_OK : FM_NOTFOUND;
}
