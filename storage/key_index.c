#include "storage/key_index.h"

#include "core/assert.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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

/* ---- For messages ---------------------------------------------------------------------------- */

#define KEY_TEXT_MAX 96u
#define KEY_VALUE_MAX 24u

static void put_time(char *out, size_t size, int64_t seconds, const char *format)
{
    time_t at = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&at, &parts) == NULL || strftime(out, size, format, &parts) == 0)
        (void)snprintf(out, size, "?");
}

static int64_t floor_seconds(int64_t microseconds)
{
    return microseconds / 1000000 - (microseconds % 1000000 < 0);
}

/* The commonest kinds; others by their bytes. */
static void put_fixed_text(char *out, size_t size, const struct fm_type *type,
                           const uint8_t bytes[16])
{
    uint32_t width = fm_type_width(type);
    uint64_t bits = 0;
    int64_t value;

    memcpy(&bits, bytes, width < 8 ? width : 8);
    value = (int64_t)bits;
    if (width < 8)
        value = (int64_t)(bits << (64 - 8 * width)) >> (64 - 8 * width);
    switch (type->kind) {
    case FM_KIND_INT8:
    case FM_KIND_INT16:
    case FM_KIND_INT32:
    case FM_KIND_INT64:
        (void)snprintf(out, size, "%lld", (long long)value);
        return;
    case FM_KIND_BOOLEAN:
    case FM_KIND_UINT8:
    case FM_KIND_UINT16:
    case FM_KIND_UINT32:
    case FM_KIND_UINT64:
        (void)snprintf(out, size, "%llu", (unsigned long long)bits);
        return;
    case FM_KIND_DATE:
        put_time(out, size, value * 86400, "%Y-%m-%d");
        return;
    case FM_KIND_TIMESTAMP:
    case FM_KIND_TIMESTAMPTZ:
        put_time(out, size, floor_seconds(value), "%Y-%m-%d %H:%M:%S");
        return;
    default:
        (void)snprintf(out, size, "0x");
        for (uint32_t i = 0; i < width && 2 * (i + 2) < size; i++)
            (void)snprintf(out + 2 + (size_t)2 * i, size - 2 - (size_t)2 * i, "%02x", bytes[i]);
    }
}

/* "('SEA', 5)", cut to what fits. */
static void key_text(const struct fm_schema *schema, const struct fm_batch *batch, uint32_t row,
                     char out[KEY_TEXT_MAX])
{
    size_t at = (size_t)snprintf(out, KEY_TEXT_MAX, "(");

    for (uint32_t i = 0; i < schema->key_count && at + KEY_VALUE_MAX + 8 < KEY_TEXT_MAX; i++) {
        const struct fm_type *type = &schema->fields[schema->key[i]].type;
        const struct fm_vector_entry *vector = &batch->vectors[schema->key[i]];
        char text[KEY_VALUE_MAX + 8];
        uint8_t bytes[16];

        if (type->kind == FM_KIND_BLOB) {
            (void)snprintf(text, sizeof text, "a blob");
        } else if (fm_type_is_bytes(type)) {
            struct fm_span value = fm_vector_bytes(batch, vector, NULL, row);
            size_t len = value.len;

            while (len > KEY_VALUE_MAX || (len < value.len && (value.data[len] & 0xc0) == 0x80))
                len--; /* Not inside of a character. */
            (void)snprintf(text, sizeof text, "'%.*s'%s", (int)len, (const char *)value.data,
                           len < value.len ? "..." : "");
        } else {
            fm_vector_fixed(batch, vector, row, bytes);
            put_fixed_text(text, sizeof text, type, bytes);
        }
        at += (size_t)snprintf(out + at, KEY_TEXT_MAX - at, "%s%s", i == 0 ? "" : ", ", text);
    }
    (void)snprintf(out + at, KEY_TEXT_MAX - at, ")");
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

/* ---- One row --------------------------------------------------------------------------------- */

/* Append-wide, from 1. Rows with operations keep their order, so this is where they came. */
static unsigned long long row_number(const struct key_update *update, uint64_t sequence)
{
    return sequence - update->base_size + 1;
}

static enum fm_status fail_missing(const struct key_update *update,
                                   const struct row_headers *headers, uint32_t row,
                                   const char *what, struct fm_error *err)
{
    char key[KEY_TEXT_MAX];

    key_text(update->schema, headers->batch, row, key);
    return fm_fail(err, FM_CONFLICT, "row %llu: the key %s %s",
                   row_number(update, headers->first.sequence + row), key, what);
}

static enum fm_status fail_named(const struct key_update *update, const struct row_headers *headers,
                                 uint32_t row, uint64_t named, uint64_t latest,
                                 struct fm_error *err)
{
    char key[KEY_TEXT_MAX];

    key_text(update->schema, headers->batch, row, key);
    return fm_fail(err, FM_CONFLICT,
                   "row %llu: `_supersedes` names fact %llu, the latest of the key %s is fact %llu",
                   row_number(update, headers->first.sequence + row), (unsigned long long)named,
                   key, (unsigned long long)latest);
}

/* `latest` is that of the row's key, INDEX_NONE: none. */
static enum fm_status put_row(const struct key_update *update, const struct row_headers *headers,
                              uint32_t row, uint64_t latest, struct fm_error *err)
{
    enum fm_operation operation = row_operation(headers, row);
    uint64_t named = latest;
    bool is_named = row_supersedes(headers, row, &named);
    enum fm_status status = FM_OK;

    if (operation != FM_ASSERT && latest == INDEX_NONE)
        return fail_missing(update, headers, row, "has no row", err);
    if (is_named && named != latest)
        return fail_named(update, headers, row, named, latest, err);
    if (operation == FM_RETRACT && superseded_edit_has(update->superseded, latest))
        return fail_missing(update, headers, row, "has been retracted already", err);
    if (latest != INDEX_NONE)
        status = superseded_edit_add(update->superseded, latest);
    if (status == FM_OK && operation == FM_RETRACT)
        status = superseded_edit_add(update->superseded, headers->first.sequence + row);
    return status;
}

/* ---- All ------------------------------------------------------------------------------------- */

/* `count` rows of one key. */
static enum fm_status put_key(struct key_update *update, const struct row_headers *headers,
                              const struct batch_keys *keys, const struct batch_key *items,
                              uint32_t count, struct fm_buf *scratch, struct rocks_batch *out,
                              struct fm_error *err)
{
    uint64_t first = headers->first.sequence;
    struct fm_span canonical = fm_span(keys->bytes.data + items[0].at, items[0].len);
    struct key key = key_index(update->table->id, canonical);
    struct index_value old = {.sequence = INDEX_NONE, .previous = INDEX_NONE};
    struct index_value entry;
    enum fm_status status = FM_NOTFOUND;
    uint8_t bytes[16];

    if (!update->skip_lookup)
        status = look_up(update->table, NULL, &key, scratch, &old, err);
    if (status == FM_OK && old.sequence >= first)
        return fm_fail(err, FM_CORRUPT, "the key index of %s.%s points beyond the table",
                       update->table->domain, update->table->name);
    if (status == FM_NOTFOUND)
        status = FM_OK;
    entry.sequence = old.sequence;
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        status = put_row(update, headers, items[i].row, entry.sequence, err);
        entry.sequence = first + items[i].row;
    }
    if (status != FM_OK)
        return status;
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

enum fm_status key_index_update(struct key_update *update, const struct row_headers *headers,
                                struct rocks_batch *out, struct fm_error *err)
{
    const struct fm_batch *batch = headers->batch;
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
        status = put_key(update, headers, &keys, &keys.items[i], end - i, &scratch, out, err);
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
