#include "storage/keys.h"

#include "core/assert.h"
#include "storage/crc.h"

#include <stdlib.h>

_Static_assert(sizeof(struct fm_mesh_id) == 32, "stored as 32 bytes");
_Static_assert(sizeof(struct fm_node_id) == 16, "stored as 16 bytes");
_Static_assert(sizeof(struct fm_hash) == 32, "stored as 32 bytes");

/* ---- Keys ----------------------------------------------------------------------------------- */

static void put_byte(struct key *key, uint8_t value)
{
    fm_assert(key->len < sizeof key->bytes);
    key->bytes[key->len++] = value;
}

static void put_bytes(struct key *key, const void *data, size_t len)
{
    fm_assert(len <= sizeof key->bytes - key->len);
    memcpy(key->bytes + key->len, data, len);
    key->len += len;
}

static void put_u32(struct key *key, uint32_t value)
{
    value = __builtin_bswap32(value);
    put_bytes(key, &value, sizeof value);
}

static void put_u64(struct key *key, uint64_t value)
{
    value = __builtin_bswap64(value);
    put_bytes(key, &value, sizeof value);
}

struct key key_meta(uint8_t kind)
{
    struct key key = {0};

    put_byte(&key, kind);
    return key;
}

struct key key_commit(uint64_t number)
{
    struct key key = key_meta(KEYS_META_COMMIT);

    put_u64(&key, number);
    return key;
}

struct key key_table(uint8_t kind, uint32_t table)
{
    struct key key = key_meta(kind);

    put_u32(&key, table);
    return key;
}

struct key key_schema(uint32_t table, uint32_t version)
{
    struct key key = key_table(KEYS_META_SCHEMA, table);

    put_u32(&key, version);
    return key;
}

struct key key_prefix(uint32_t table)
{
    struct key key = {0};

    put_u32(&key, table);
    return key;
}

struct key key_hot(uint32_t table, uint64_t first_sequence)
{
    struct key key = key_prefix(table);

    put_u64(&key, first_sequence);
    return key;
}

struct key key_segment(uint32_t table, uint64_t first_sequence)
{
    struct key key = key_table(KEYS_SEGMENT_RECORD, table);

    put_u64(&key, first_sequence);
    return key;
}

struct key key_column(uint32_t table, uint64_t segment, uint32_t field_id)
{
    struct key key = key_table(KEYS_SEGMENT_COLUMN, table);

    put_u64(&key, segment);
    put_u32(&key, field_id);
    return key;
}

struct key key_window(uint32_t table, uint64_t window)
{
    struct key key = key_table(KEYS_SEGMENT_WINDOW, table);

    put_u64(&key, window);
    return key;
}

struct key key_subtree(uint32_t table, uint8_t level, uint64_t index)
{
    struct key key = key_table(KEYS_SEGMENT_TREE, table);

    put_byte(&key, level);
    put_u64(&key, index);
    return key;
}

struct key key_spans(uint32_t table, uint64_t segment)
{
    struct key key = key_table(KEYS_SEGMENT_SPANS, table);

    put_u64(&key, segment);
    return key;
}

struct key key_tiles(uint32_t table, uint64_t block)
{
    struct key key = key_table(KEYS_SEGMENT_TILES, table);

    put_u64(&key, block);
    return key;
}

struct key key_producer(uint32_t table, const uint8_t producer_id[16])
{
    struct key key = key_prefix(table);

    put_bytes(&key, producer_id, 16);
    return key;
}

struct key key_index(uint32_t table, struct fm_span canonical)
{
    struct key key = key_prefix(table);
    struct fm_hash hash;

    if (canonical.len <= KEYS_INDEX_INLINE_MAX) {
        put_byte(&key, 0);
        put_bytes(&key, canonical.data, canonical.len);
        return key;
    }
    fm_sha256_one(&hash, canonical);
    put_byte(&key, 1);
    put_bytes(&key, hash.bytes, sizeof hash.bytes);
    return key;
}

struct key key_table_end(uint8_t kind, uint32_t table)
{
    /* Table ids stop below UINT32_MAX (store.c), so the successor exists. */
    fm_assert(table < UINT32_MAX);
    return key_table(kind, table + 1);
}

enum fm_status key_parse_number(struct fm_span key, size_t at, uint64_t *out)
{
    if (key.len < at || key.len - at < 8)
        return FM_CORRUPT;
    *out = fm_load64_be(key.data + at);
    return FM_OK;
}

enum fm_status key_parse_table(struct fm_span key, size_t at, uint32_t *out)
{
    if (key.len < at || key.len - at < 4)
        return FM_CORRUPT;
    *out = __builtin_bswap32(fm_load32(key.data + at));
    return FM_OK;
}

/* ---- Values ---------------------------------------------------------------------------------- */

void value_seal(struct fm_buf *out, size_t from)
{
    if (fm_buf_status(out) != FM_OK)
        return;
    fm_assert(from <= out->len);
    fm_buf_put_u32(out, crc_of(fm_span(out->data + from, out->len - from)));
}

enum fm_status value_open(struct fm_span value, struct fm_span *out)
{
    struct fm_span content;

    if (value.len < 4)
        return FM_CORRUPT;
    content = fm_span(value.data, value.len - 4);
    if (crc_of(content) != fm_load32(value.data + content.len))
        return FM_CORRUPT;
    *out = content;
    return FM_OK;
}

/* Decoders read one field after the other and look at the outcome once. */
struct reader {
    struct fm_cursor cursor;
    bool failed;
};

static struct reader reader_open(struct fm_span value)
{
    struct fm_span content = {0};
    struct reader reader = {.failed = value_open(value, &content) != FM_OK};

    reader.cursor = fm_cursor(content);
    return reader;
}

static uint8_t read_u8(struct reader *reader)
{
    uint8_t value = 0;

    if (!reader->failed && fm_take_u8(&reader->cursor, &value) != FM_OK)
        reader->failed = true;
    return value;
}

static uint32_t read_u32(struct reader *reader)
{
    uint32_t value = 0;

    if (!reader->failed && fm_take_u32(&reader->cursor, &value) != FM_OK)
        reader->failed = true;
    return value;
}

static uint64_t read_u64(struct reader *reader)
{
    uint64_t value = 0;

    if (!reader->failed && fm_take_u64(&reader->cursor, &value) != FM_OK)
        reader->failed = true;
    return value;
}

static uint64_t read_uvarint(struct reader *reader, uint64_t max)
{
    uint64_t value = 0;

    if (!reader->failed && (fm_take_uvarint(&reader->cursor, &value) != FM_OK || value > max)) {
        reader->failed = true;
        value = 0;
    }
    return value;
}

static void read_bytes(struct reader *reader, void *out, size_t len)
{
    struct fm_span span;

    memset(out, 0, len);
    if (!reader->failed && fm_take_bytes(&reader->cursor, len, &span) != FM_OK)
        reader->failed = true;
    if (!reader->failed)
        memcpy(out, span.data, len);
}

/* A length byte and a name of at most FM_NAME_MAX bytes without NUL. */
static void read_name(struct reader *reader, char out[FM_NAME_MAX + 1])
{
    uint8_t len = read_u8(reader);

    memset(out, 0, FM_NAME_MAX + 1);
    if (len > FM_NAME_MAX)
        reader->failed = true;
    else
        read_bytes(reader, out, len);
    if (strlen(out) != len)
        reader->failed = true;
}

static void put_name(struct fm_buf *out, const char *name)
{
    size_t len = strlen(name);

    fm_assert(len <= FM_NAME_MAX);
    fm_buf_put_u8(out, (uint8_t)len);
    fm_buf_put(out, name, len);
}

static enum fm_status reader_end(const struct reader *reader)
{
    return reader->failed || fm_cursor_left(&reader->cursor) != 0 ? FM_CORRUPT : FM_OK;
}

void format_encode(struct fm_buf *out, const struct format_value *value)
{
    size_t from = out->len;

    fm_buf_put_u32(out, value->version);
    fm_buf_put(out, value->mesh.bytes, sizeof value->mesh.bytes);
    fm_buf_put(out, value->node.bytes, sizeof value->node.bytes);
    value_seal(out, from);
}

enum fm_status format_decode(struct fm_span bytes, struct format_value *out)
{
    struct reader reader = reader_open(bytes);

    out->version = read_u32(&reader);
    read_bytes(&reader, out->mesh.bytes, sizeof out->mesh.bytes);
    read_bytes(&reader, out->node.bytes, sizeof out->node.bytes);
    return reader_end(&reader);
}

void tip_encode(struct fm_buf *out, const struct tip_value *value)
{
    size_t from = out->len;

    fm_buf_put_u64(out, value->number);
    fm_buf_put(out, value->digest.bytes, sizeof value->digest.bytes);
    fm_buf_put_u32(out, value->next_table);
    value_seal(out, from);
}

enum fm_status tip_decode(struct fm_span bytes, struct tip_value *out)
{
    struct reader reader = reader_open(bytes);

    out->number = read_u64(&reader);
    read_bytes(&reader, out->digest.bytes, sizeof out->digest.bytes);
    out->next_table = read_u32(&reader);
    return reader_end(&reader);
}

static void hash_encode(struct fm_buf *out, const struct fm_hash *hash)
{
    size_t from = out->len;

    fm_buf_put(out, hash->bytes, sizeof hash->bytes);
    value_seal(out, from);
}

static enum fm_status hash_decode(struct fm_span bytes, struct fm_hash *out)
{
    struct reader reader = reader_open(bytes);

    read_bytes(&reader, out->bytes, sizeof out->bytes);
    return reader_end(&reader);
}

void commit_encode(struct fm_buf *out, const struct fm_hash *digest)
{
    hash_encode(out, digest);
}

enum fm_status commit_decode(struct fm_span bytes, struct fm_hash *out)
{
    return hash_decode(bytes, out);
}

void subtree_encode(struct fm_buf *out, const struct fm_hash *hash)
{
    hash_encode(out, hash);
}

enum fm_status subtree_decode(struct fm_span bytes, struct fm_hash *out)
{
    return hash_decode(bytes, out);
}

void tiles_encode(struct fm_buf *out, const struct tiles *value)
{
    size_t from = out->len;

    fm_buf_put_uvarint(out, value->count);
    for (uint32_t i = 0; i < value->count; i++) {
        fm_buf_put_u8(out, value->levels[i]);
        fm_buf_put(out, value->hashes[i].bytes, sizeof value->hashes[i].bytes);
    }
    value_seal(out, from);
}

enum fm_status tiles_decode(struct fm_span bytes, struct tiles *out)
{
    struct reader reader = reader_open(bytes);
    uint32_t leaves = 0;

    out->count = (uint32_t)read_uvarint(&reader, TILES_LEAVES);
    for (uint32_t i = 0; i < out->count && !reader.failed; i++) {
        uint8_t level = read_u8(&reader);

        read_bytes(&reader, out->hashes[i].bytes, sizeof out->hashes[i].bytes);
        /* A subtree begins at a multiple of its leaves. */
        if (level > TILES_LEVEL || leaves % (1u << level) != 0 ||
            TILES_LEAVES - leaves < 1u << level)
            return FM_CORRUPT;
        out->levels[i] = level;
        leaves += 1u << level;
    }
    out->leaves = leaves;
    return leaves == 0 ? FM_CORRUPT : reader_end(&reader);
}

void table_encode(struct fm_buf *out, const struct table_value *value)
{
    size_t from = out->len;

    put_name(out, value->domain);
    put_name(out, value->table);
    fm_buf_put_u32(out, value->epoch);
    fm_buf_put_u32(out, value->schema_version);
    fm_buf_put_u8(out, value->has_commitment_key ? 32 : 0);
    if (value->has_commitment_key)
        fm_buf_put(out, value->commitment_key, sizeof value->commitment_key);
    value_seal(out, from);
}

enum fm_status table_decode(struct fm_span bytes, struct table_value *out)
{
    struct reader reader = reader_open(bytes);
    uint8_t key_len;

    read_name(&reader, out->domain);
    read_name(&reader, out->table);
    out->epoch = read_u32(&reader);
    out->schema_version = read_u32(&reader);
    key_len = read_u8(&reader);
    out->has_commitment_key = key_len == 32;
    memset(out->commitment_key, 0, sizeof out->commitment_key);
    if (key_len == 32)
        read_bytes(&reader, out->commitment_key, 32);
    else if (key_len != 0)
        return FM_CORRUPT;
    return reader_end(&reader);
}

void state_encode(struct fm_buf *out, const struct state_value *value)
{
    size_t from = out->len;

    fm_buf_put_u64(out, (uint64_t)value->recorded_at);
    fm_buf_put_u64(out, value->hot_rows);
    fm_buf_put_u64(out, value->segment_count);
    fm_buf_put_u64(out, value->next_segment);
    fm_buf_put_u64(out, value->superseded);
    fm_tree_encode(out, &value->tree);
    value_seal(out, from);
}

enum fm_status state_decode(struct fm_span bytes, struct state_value *out)
{
    struct reader reader = reader_open(bytes);
    struct fm_span tree = {0};

    out->recorded_at = (fm_us)read_u64(&reader);
    out->hot_rows = read_u64(&reader);
    out->segment_count = read_u64(&reader);
    out->next_segment = read_u64(&reader);
    out->superseded = read_u64(&reader);
    if (reader.failed ||
        fm_take_bytes(&reader.cursor, fm_cursor_left(&reader.cursor), &tree) != FM_OK ||
        fm_tree_decode(tree, &out->tree) != FM_OK)
        return FM_CORRUPT;
    if (out->hot_rows > out->tree.size || out->superseded > out->tree.size ||
        out->segment_count > out->next_segment)
        return FM_CORRUPT;
    return reader_end(&reader);
}

void staged_encode(struct fm_buf *out, const struct staged_value *value)
{
    size_t from = out->len;

    fm_buf_put_u64(out, value->first_sequence);
    fm_buf_put_u64(out, value->first_segment);
    value_seal(out, from);
}

enum fm_status staged_decode(struct fm_span bytes, struct staged_value *out)
{
    struct reader reader = reader_open(bytes);

    out->first_sequence = read_u64(&reader);
    out->first_segment = read_u64(&reader);
    return reader_end(&reader);
}

void producer_encode(struct fm_buf *out, const struct producer_value *value)
{
    size_t from = out->len;

    fm_buf_put_u64(out, value->producer_sequence);
    fm_buf_put_u64(out, value->first_sequence);
    fm_buf_put_u64(out, value->rows);
    fm_buf_put_u64(out, value->size);
    fm_buf_put(out, value->root.bytes, sizeof value->root.bytes);
    fm_buf_put_u64(out, (uint64_t)value->recorded_at);
    value_seal(out, from);
}

enum fm_status producer_decode(struct fm_span bytes, struct producer_value *out)
{
    struct reader reader = reader_open(bytes);

    out->producer_sequence = read_u64(&reader);
    out->first_sequence = read_u64(&reader);
    out->rows = read_u64(&reader);
    out->size = read_u64(&reader);
    read_bytes(&reader, out->root.bytes, sizeof out->root.bytes);
    out->recorded_at = (fm_us)read_u64(&reader);
    return reader_end(&reader);
}

void index_encode(uint8_t out[16], const struct index_value *value)
{
    fm_store64(out, value->sequence);
    fm_store64(out + 8, value->previous);
}

enum fm_status index_decode(struct fm_span bytes, struct index_value *out)
{
    if (bytes.len != 16)
        return FM_CORRUPT;
    out->sequence = fm_load64(bytes.data);
    out->previous = fm_load64(bytes.data + 8);
    return FM_OK;
}

void hot_encode(struct fm_buf *out, const struct hot_value *value)
{
    size_t from = out->len;

    fm_fact_header_encode(out, &value->header);
    fm_buf_put_u32(out, (uint32_t)value->batch.len);
    fm_buf_put_span(out, value->batch);
    value_seal(out, from);
}

/* Only memory that runs out is no damage. */
static enum fm_status header_decode(struct fm_cursor *cursor, struct fm_fact_header *out)
{
    enum fm_status status = fm_fact_header_decode(cursor, out);

    return status == FM_OK || status == FM_NOMEM ? status : FM_CORRUPT;
}

enum fm_status hot_decode(struct fm_span bytes, struct hot_value *out)
{
    struct reader reader = reader_open(bytes);
    enum fm_status status;
    uint32_t len;

    if (reader.failed)
        return FM_CORRUPT;
    status = header_decode(&reader.cursor, &out->header);
    if (status != FM_OK)
        return status;
    len = read_u32(&reader);
    if (reader.failed || fm_take_bytes(&reader.cursor, len, &out->batch) != FM_OK)
        return FM_CORRUPT;
    return reader_end(&reader);
}

void bounds_encode(struct fm_buf *out, const struct bounds *bounds)
{
    fm_buf_put_u8(out, bounds->flags);
    fm_buf_put_u8(out, bounds->min_len);
    fm_buf_put_u8(out, bounds->max_len);
    fm_buf_put(out, bounds->min, bounds->min_len);
    fm_buf_put(out, bounds->max, bounds->max_len);
}

static void read_bounds(struct reader *reader, struct bounds *out)
{
    *out = (struct bounds){.flags = read_u8(reader)};
    out->min_len = read_u8(reader);
    out->max_len = read_u8(reader);
    if (out->min_len > BOUNDS_BYTES_MAX || out->max_len > BOUNDS_BYTES_MAX ||
        (out->flags & ~(BOUNDS_MIN_CUT | BOUNDS_MAX_CUT)) != 0 ||
        (out->min_len == 0) != (out->max_len == 0)) {
        reader->failed = true;
        *out = (struct bounds){0};
        return;
    }
    read_bytes(reader, out->min, out->min_len);
    read_bytes(reader, out->max, out->max_len);
}

enum fm_status bounds_decode(struct fm_cursor *cursor, struct bounds *out)
{
    struct reader reader = {.cursor = *cursor};

    read_bounds(&reader, out);
    if (reader.failed)
        return FM_CORRUPT;
    *cursor = reader.cursor;
    return FM_OK;
}

/* Flags of a segment's record. */
#define SEGMENT_HAS_ORDER 0x01u
#define SEGMENT_SPANS_OUTSIDE 0x02u
#define SEGMENT_IS_DROPPED 0x04u /* Alone. */

static uint8_t flags_of(const struct segment_value *value)
{
    if (value->is_dropped)
        return SEGMENT_IS_DROPPED;
    return (uint8_t)((value->has_order ? SEGMENT_HAS_ORDER : 0) |
                     (value->spans == NULL ? SEGMENT_SPANS_OUTSIDE : 0));
}

void segment_value_encode(struct fm_buf *out, const struct segment_value *value)
{
    size_t from = out->len;

    fm_buf_put_u64(out, value->id);
    fm_buf_put_u64(out, value->first_sequence);
    fm_buf_put_u32(out, value->rows);
    fm_buf_put_u32(out, value->schema_version);
    fm_buf_put_u8(out, flags_of(value));
    if (value->is_dropped) {
        fm_buf_put_u64(out, (uint64_t)value->first_recorded_at);
        fm_buf_put_u64(out, (uint64_t)value->last_recorded_at);
        value_seal(out, from);
        return;
    }
    if (value->spans != NULL) {
        spans_put(out, value->spans, value->span_count);
    } else {
        fm_buf_put_u64(out, (uint64_t)value->first_recorded_at);
        fm_buf_put_u64(out, (uint64_t)value->last_recorded_at);
        fm_buf_put_uvarint(out, value->span_count);
    }
    fm_buf_put_uvarint(out, value->field_count);
    for (uint32_t i = 0; i < value->field_count; i++) {
        const struct segment_field *field = &value->fields[i];

        fm_buf_put_uvarint(out, field->id);
        fm_buf_put_u8(out, field->kind);
        fm_buf_put_u8(out, field->encoding);
        fm_buf_put_u8(out, field->code_width);
        fm_buf_put_uvarint(out, field->null_count);
        fm_buf_put_uvarint(out, field->stored_bytes);
        bounds_encode(out, &field->bounds);
    }
    value_seal(out, from);
}

static enum fm_status read_times(struct reader *reader, struct segment_value *out)
{
    out->first_recorded_at = (fm_us)read_u64(reader);
    out->last_recorded_at = (fm_us)read_u64(reader);
    return reader->failed || out->first_recorded_at > out->last_recorded_at ? FM_CORRUPT : FM_OK;
}

static enum fm_status read_spans(struct reader *reader, uint8_t flags, struct segment_value *out)
{
    if (reader->failed)
        return FM_CORRUPT;
    if ((flags & SEGMENT_SPANS_OUTSIDE) == 0)
        return spans_take(&reader->cursor, out->rows, &out->spans, &out->span_count);
    enum fm_status status = read_times(reader, out);

    out->span_count = (uint32_t)read_uvarint(reader, out->rows);
    return status == FM_OK && out->span_count > 0 ? FM_OK : FM_CORRUPT;
}

static enum fm_status read_fields(struct reader *reader, struct segment_value *out)
{
    out->field_count = (uint32_t)read_uvarint(reader, FM_COLUMNS_MAX);
    if (reader->failed || out->field_count == 0 ||
        out->field_count > fm_cursor_left(&reader->cursor))
        return FM_CORRUPT;
    out->fields = calloc(out->field_count, sizeof *out->fields);
    if (out->fields == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < out->field_count; i++) {
        struct segment_field *field = &out->fields[i];

        field->id = (uint32_t)read_uvarint(reader, UINT32_MAX);
        field->kind = read_u8(reader);
        field->encoding = read_u8(reader);
        field->code_width = read_u8(reader);
        field->null_count = (uint32_t)read_uvarint(reader, out->rows);
        field->stored_bytes = read_uvarint(reader, UINT64_MAX);
        read_bounds(reader, &field->bounds);
    }
    return reader->failed ? FM_CORRUPT : FM_OK;
}

enum fm_status segment_value_decode(struct fm_span bytes, struct segment_value *out)
{
    struct reader reader = reader_open(bytes);
    struct segment_value value = {0};
    enum fm_status status;
    uint8_t flags;

    value.id = read_u64(&reader);
    value.first_sequence = read_u64(&reader);
    value.rows = read_u32(&reader);
    value.schema_version = read_u32(&reader);
    flags = read_u8(&reader);
    value.is_dropped = flags == SEGMENT_IS_DROPPED;
    if (reader.failed ||
        (!value.is_dropped && (flags & ~(SEGMENT_HAS_ORDER | SEGMENT_SPANS_OUTSIDE)) != 0) ||
        value.rows == 0 || value.rows > FM_SEGMENT_ROWS || value.first_sequence > INT64_MAX)
        return FM_CORRUPT;
    value.has_order = (flags & SEGMENT_HAS_ORDER) != 0;
    status = value.is_dropped ? read_times(&reader, &value) : read_spans(&reader, flags, &value);
    if (status == FM_OK && !value.is_dropped)
        status = read_fields(&reader, &value);
    if (status == FM_OK)
        status = reader_end(&reader);
    if (status != FM_OK) {
        segment_value_deinit(&value);
        return status;
    }
    *out = value;
    return FM_OK;
}

void segment_value_deinit(struct segment_value *value)
{
    free(value->spans);
    free(value->fields);
    *value = (struct segment_value){0};
}

/* ---- Outside slots --------------------------------------------------------------------------- */

/* Offsets in a slot: magic 0 (8), version 8 (4), reserved 12 (4), mesh 16 (32), node 48 (16),
 * number 64 (8), time 72 (8), digest 80 (32), zeros, SHA-256 of all before at 480 (32). */
static const uint8_t slot_magic[8] = {'F', 'M', 'S', 'L', 'O', 'T', '1', '\n'};
#define SLOT_SUM_AT 480u

void slot_encode(uint8_t out[SLOT_BYTES], const struct slot_value *value)
{
    struct fm_hash sum;

    memset(out, 0, SLOT_BYTES);
    memcpy(out, slot_magic, sizeof slot_magic);
    fm_store32(out + 8, value->version);
    memcpy(out + 16, value->mesh.bytes, 32);
    memcpy(out + 48, value->node.bytes, 16);
    fm_store64(out + 64, value->number);
    fm_store64(out + 72, (uint64_t)value->time);
    memcpy(out + 80, value->digest.bytes, 32);
    fm_sha256_one(&sum, fm_span(out, SLOT_SUM_AT));
    memcpy(out + SLOT_SUM_AT, sum.bytes, sizeof sum.bytes);
}

enum fm_status slot_decode(const uint8_t bytes[SLOT_BYTES], struct slot_value *out)
{
    static const uint8_t zeros[SLOT_BYTES];
    struct fm_hash sum;

    if (memcmp(bytes, zeros, SLOT_BYTES) == 0)
        return FM_NOTFOUND;
    fm_sha256_one(&sum, fm_span(bytes, SLOT_SUM_AT));
    if (memcmp(bytes, slot_magic, sizeof slot_magic) != 0 ||
        memcmp(sum.bytes, bytes + SLOT_SUM_AT, sizeof sum.bytes) != 0)
        return FM_CORRUPT;
    out->version = fm_load32(bytes + 8);
    memcpy(out->mesh.bytes, bytes + 16, 32);
    memcpy(out->node.bytes, bytes + 48, 16);
    out->number = fm_load64(bytes + 64);
    out->time = (fm_us)fm_load64(bytes + 72);
    memcpy(out->digest.bytes, bytes + 80, 32);
    return FM_OK;
}
