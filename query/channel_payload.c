#include "query/channel.h"

#include "core/bits.h"

#define THREADS_MAX 64u
#define NAME_BYTES_MAX (FM_NAME_MAX * 4u)
_Static_assert(sizeof(((struct fm_column *)0)->name) == NAME_BYTES_MAX + 1, "names fit a column");

void channel_hello_encode(struct fm_buf *out, const struct channel_hello *hello)
{
    fm_buf_put_u32(out, hello->threads);
    fm_buf_put_u64(out, hello->memory_bytes);
    fm_buf_put_u64(out, hello->spill_bytes);
    fm_buf_put_u32(out, (uint32_t)strlen(hello->spill_dir));
    fm_buf_put_span(out, fm_span_str(hello->spill_dir));
}

enum fm_status channel_hello_decode(struct fm_span in, struct channel_hello *out)
{
    struct fm_cursor cursor = fm_cursor(in);
    struct channel_hello hello = {0};
    struct fm_span path;
    uint32_t path_bytes;

    if (fm_take_u32(&cursor, &hello.threads) != FM_OK ||
        fm_take_u64(&cursor, &hello.memory_bytes) != FM_OK ||
        fm_take_u64(&cursor, &hello.spill_bytes) != FM_OK ||
        fm_take_u32(&cursor, &path_bytes) != FM_OK || path_bytes >= sizeof hello.spill_dir ||
        fm_take_bytes(&cursor, path_bytes, &path) != FM_OK || fm_cursor_left(&cursor) != 0 ||
        (path_bytes != 0 && memchr(path.data, 0, path_bytes) != NULL) || hello.threads == 0 ||
        hello.threads > THREADS_MAX || hello.memory_bytes == 0)
        return FM_MALFORMED;
    if (path.len != 0)
        memcpy(hello.spill_dir, path.data, path.len);
    *out = hello;
    return FM_OK;
}

enum fm_status channel_error_decode(const struct channel_frame *frame, struct fm_span payload,
                                    struct fm_error *err)
{
    enum fm_status status = fm_status_from_wire(frame->number);

    /* An error that says "success" is none of ours; "not found" would read as the end of the rows.
     * */
    if (status == FM_OK || status == FM_NOTFOUND)
        status = FM_INTERNAL;
    if (payload.len > CHANNEL_ERROR_TEXT_MAX)
        payload.len = CHANNEL_ERROR_TEXT_MAX;
    while (payload.len > 0 && !fm_utf8_valid(payload) && payload.len + 4 > CHANNEL_ERROR_TEXT_MAX)
        payload.len--; /* A character that was cut in half. */
    if (!fm_utf8_valid(payload))
        return fm_fail(err, FM_INTERNAL, "a worker sent an error that is no text");
    return fm_fail(err, status, "%.*s", (int)payload.len, (const char *)payload.data);
}

/* A column: u16 bytes of the name, the name, the type, u8 as_text, u32 bytes of the dictionary
 * (0: none), the dictionary. */
static enum fm_status put_column(struct fm_buf *out, const struct fm_column *column)
{
    size_t name = strlen(column->name);

    fm_buf_put_u16(out, (uint16_t)name);
    fm_buf_put(out, column->name, name);
    fm_type_encode(out, &column->type);
    fm_buf_put_u8(out, column->as_text ? 1 : 0);
    fm_buf_put_u32(out, 0);
    if (column->dictionary.count == 0 || fm_buf_status(out) != FM_OK)
        return fm_buf_status(out);
    size_t before = out->len;
    fm_dictionary_encode(out, &column->dictionary);
    if (fm_buf_status(out) == FM_OK)
        fm_store32(out->data + before - 4, (uint32_t)(out->len - before));
    return fm_buf_status(out);
}

enum fm_status channel_columns_encode(struct fm_buf *out, const struct fm_columns *columns)
{
    enum fm_status status = FM_OK;

    fm_buf_put_u32(out, columns->count);
    for (uint32_t i = 0; i < columns->count && status == FM_OK; i++)
        status = put_column(out, &columns->items[i]);
    return status == FM_OK ? fm_buf_status(out) : status;
}

/* Where a dictionary lies in the storage that is still growing. */
struct dictionary_at {
    size_t at;
    uint32_t bytes;
};

static enum fm_status take_column(struct fm_cursor *in, struct fm_column *column,
                                  struct fm_buf *storage, struct dictionary_at *dictionary)
{
    uint16_t name_bytes = 0;
    struct fm_span name, bytes;
    uint32_t length = 0;
    uint8_t as_text = 0;

    if (fm_take_u16(in, &name_bytes) != FM_OK || name_bytes > NAME_BYTES_MAX ||
        fm_take_bytes(in, name_bytes, &name) != FM_OK || !fm_utf8_valid(name) ||
        (name.len > 0 && memchr(name.data, 0, name.len) != NULL))
        return FM_MALFORMED;
    if (name.len > 0)
        memcpy(column->name, name.data, name.len);
    column->name[name.len] = '\0';
    enum fm_status status = fm_type_decode(in, &column->type);
    if (status != FM_OK)
        return status;
    if (fm_take_u8(in, &as_text) != FM_OK || as_text > 1 || fm_take_u32(in, &length) != FM_OK ||
        fm_take_bytes(in, length, &bytes) != FM_OK)
        return FM_MALFORMED;
    column->as_text = as_text == 1;
    if (length > 0 && !fm_type_is_bytes(&column->type))
        return FM_MALFORMED;
    fm_buf_align(storage, 8);
    *dictionary = (struct dictionary_at){storage->len, length};
    fm_buf_put_span(storage, bytes);
    return fm_buf_status(storage);
}

static enum fm_status view_dictionaries(struct fm_columns *columns,
                                        const struct dictionary_at *dictionaries)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        if (dictionaries[i].bytes == 0)
            continue;
        struct fm_span bytes =
            fm_span(columns->storage + dictionaries[i].at, dictionaries[i].bytes);
        if (fm_dictionary_view(bytes, &columns->items[i].dictionary) != FM_OK)
            return FM_MALFORMED;
    }
    return FM_OK;
}

enum fm_status channel_columns_decode(struct fm_cursor *in, struct fm_columns *out)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    FM_AUTO(fm_buf_free) struct fm_buf storage = FM_BUF_INIT(CHANNEL_PAYLOAD_MAX);
    FM_AUTO(fm_mem_freep) struct dictionary_at *dictionaries = NULL;
    uint32_t count = 0;

    if (fm_take_u32(in, &count) != FM_OK || count > FM_COLUMNS_MAX || count > fm_cursor_left(in))
        return FM_MALFORMED;
    columns.items = calloc(count + 1u, sizeof *columns.items);
    dictionaries = calloc(count + 1u, sizeof *dictionaries);
    if (columns.items == NULL || dictionaries == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        columns.count = i + 1;
        enum fm_status status = take_column(in, &columns.items[i], &storage, &dictionaries[i]);
        if (status != FM_OK)
            return status;
    }
    columns.storage = FM_TAKE(storage.data);
    enum fm_status status = view_dictionaries(&columns, dictionaries);
    if (status != FM_OK)
        return status;
    *out = columns;
    columns = (struct fm_columns){0};
    return FM_OK;
}

enum fm_status channel_slot_encode(struct fm_buf *out, const struct channel_slot *slot)
{
    enum fm_status status = channel_columns_encode(out, &slot->columns);

    if (status != FM_OK)
        return status;
    fm_buf_put_u64(out, slot->rows);
    fm_buf_put_u8(out, slot->has_source ? 1 : 0);
    fm_buf_put_u32(out, slot->supplied_count);
    for (uint32_t i = 0; i < slot->supplied_count; i++)
        fm_buf_put_u32(out, slot->supplied[i]);
    fm_buf_put_u32(out, slot->arena_count);
    for (uint32_t i = 0; i < slot->arena_count; i++)
        fm_buf_put_u64(out, slot->arena_bytes[i]);
    fm_buf_put_u32(out, slot->segment_count);
    for (uint32_t i = 0; i < slot->segment_count; i++) {
        fm_buf_put_u32(out, slot->segment_rows[i]);
        fm_buf_put_u64(out, slot->segment_left_out[i]);
        fm_buf_put_u8(out, slot->segment_selected[i] ? 1 : 0);
        if (slot->segment_selected[i]) {
            fm_buf_put_u32(out, slot->segment_selections[i].arena);
            fm_buf_put_u64(out, slot->segment_selections[i].offset);
        }
        for (uint32_t j = 0; j < slot->supplied_count; j++) {
            size_t at = (size_t)i * slot->supplied_count + j;
            fm_buf_put_u32(out, slot->segment_columns[at].arena);
            fm_buf_put_u64(out, slot->segment_columns[at].offset);
        }
    }
    return fm_buf_status(out);
}

/* A count of items that take at least `item_bytes` each of what is left. */
static enum fm_status take_count(struct fm_cursor *in, uint32_t max, size_t item_bytes,
                                 uint32_t *out)
{
    uint32_t count = 0;

    if (fm_take_u32(in, &count) != FM_OK || count > max ||
        (uint64_t)count * item_bytes > fm_cursor_left(in))
        return FM_MALFORMED;
    *out = count;
    return FM_OK;
}

static enum fm_status take_supplied(struct fm_cursor *in, struct channel_slot *slot)
{
    bool seen[FM_COLUMNS_MAX] = {false};

    if (take_count(in, slot->columns.count, 4, &slot->supplied_count) != FM_OK)
        return FM_MALFORMED;
    slot->supplied = calloc(slot->supplied_count + 1u, sizeof *slot->supplied);
    if (slot->supplied == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < slot->supplied_count; i++) {
        uint32_t at = 0;
        if (fm_take_u32(in, &at) != FM_OK || at >= slot->columns.count || seen[at])
            return FM_MALFORMED;
        seen[at] = true;
        slot->supplied[i] = at;
    }
    return FM_OK;
}

static enum fm_status take_arenas(struct fm_cursor *in, struct channel_slot *slot)
{
    if (take_count(in, CHANNEL_ARENAS_MAX, 8, &slot->arena_count) != FM_OK)
        return FM_MALFORMED;
    slot->arena_bytes = calloc(slot->arena_count + 1u, sizeof *slot->arena_bytes);
    if (slot->arena_bytes == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < slot->arena_count; i++)
        if (fm_take_u64(in, &slot->arena_bytes[i]) != FM_OK)
            return FM_MALFORMED;
    return FM_OK;
}

/* A place in an arena with room for `bytes`. */
static enum fm_status take_place(struct fm_cursor *in, const struct channel_slot *slot,
                                 uint64_t bytes, struct channel_column_at *out)
{
    if (fm_take_u32(in, &out->arena) != FM_OK || fm_take_u64(in, &out->offset) != FM_OK ||
        out->arena >= slot->arena_count || out->offset % 8 != 0)
        return FM_MALFORMED;
    uint64_t all = slot->arena_bytes[out->arena];
    return all < bytes || out->offset > all - bytes ? FM_MALFORMED : FM_OK;
}

static uint32_t blocks_of(uint32_t rows)
{
    return (rows + FM_BLOCK_ROWS - 1) / FM_BLOCK_ROWS;
}

static enum fm_status take_segment(struct fm_cursor *in, struct channel_slot *slot, uint32_t i)
{
    uint8_t selected = 0;
    enum fm_status status = FM_OK;

    if (fm_take_u32(in, &slot->segment_rows[i]) != FM_OK ||
        slot->segment_rows[i] > FM_SEGMENT_ROWS ||
        fm_take_u64(in, &slot->segment_left_out[i]) != FM_OK ||
        slot->segment_left_out[i] >> blocks_of(slot->segment_rows[i]) != 0 ||
        fm_take_u8(in, &selected) != FM_OK || selected > 1)
        return FM_MALFORMED;
    slot->segment_selected[i] = selected == 1;
    if (slot->segment_selected[i])
        status = take_place(in, slot, fm_bits_words(slot->segment_rows[i]) * 8,
                            &slot->segment_selections[i]);
    for (uint32_t j = 0; j < slot->supplied_count && status == FM_OK; j++)
        status = take_place(in, slot, FM_BATCH_HEADER_BYTES,
                            &slot->segment_columns[(size_t)i * slot->supplied_count + j]);
    return status;
}

static enum fm_status take_segments(struct fm_cursor *in, struct channel_slot *slot)
{
    size_t item = 13 + (size_t)slot->supplied_count * 12;

    if (take_count(in, CHANNEL_SEGMENTS_MAX, item, &slot->segment_count) != FM_OK)
        return FM_MALFORMED;
    size_t cells = (size_t)slot->segment_count * slot->supplied_count;
    slot->segment_rows = calloc(slot->segment_count + 1u, sizeof *slot->segment_rows);
    slot->segment_selected = calloc(slot->segment_count + 1u, sizeof *slot->segment_selected);
    slot->segment_selections = calloc(slot->segment_count + 1u, sizeof *slot->segment_selections);
    slot->segment_left_out = calloc(slot->segment_count + 1u, sizeof *slot->segment_left_out);
    slot->segment_columns = calloc(cells + 1, sizeof *slot->segment_columns);
    if (slot->segment_rows == NULL || slot->segment_selected == NULL ||
        slot->segment_selections == NULL || slot->segment_left_out == NULL ||
        slot->segment_columns == NULL)
        return FM_NOMEM;
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; i < slot->segment_count && status == FM_OK; i++)
        status = take_segment(in, slot, i);
    return status;
}

enum fm_status channel_slot_decode(struct fm_cursor *in, struct channel_slot *out)
{
    FM_AUTO(channel_slot_deinit) struct channel_slot slot = {0};
    uint8_t has_source = 0;

    enum fm_status status = channel_columns_decode(in, &slot.columns);
    if (status != FM_OK)
        return status;
    if (fm_take_u64(in, &slot.rows) != FM_OK || fm_take_u8(in, &has_source) != FM_OK ||
        has_source > 1)
        return FM_MALFORMED;
    slot.has_source = has_source == 1;
    status = take_supplied(in, &slot);
    if (status == FM_OK)
        status = take_arenas(in, &slot);
    if (status == FM_OK)
        status = take_segments(in, &slot);
    if (status != FM_OK)
        return status;
    *out = slot;
    slot = (struct channel_slot){0};
    return FM_OK;
}

void channel_slot_deinit(struct channel_slot *slot)
{
    fm_columns_deinit(&slot->columns);
    free(slot->supplied);
    free(slot->arena_bytes);
    free(slot->segment_rows);
    free(slot->segment_selected);
    free(slot->segment_selections);
    free(slot->segment_left_out);
    free(slot->segment_columns);
    *slot = (struct channel_slot){0};
}
