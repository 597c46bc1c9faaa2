/* Strict msgpack over msgpack-c: the only file that includes the library. A `struct fm_value` is
 * the library's object behind another name, never looked into as anything else. */
#include "core/codec.h"

#include "core/assert.h"
#include "core/limits.h"

#include <msgpack.h>

/* ---- Writing ------------------------------------------------------------------------------- */

static int write_to_buf(void *data, const char *bytes, size_t len)
{
    struct fm_buf *buf = data;
    fm_buf_put(buf, bytes, len);
    return fm_buf_status(buf) == FM_OK ? 0 : -1;
}

static msgpack_packer packer(struct fm_buf *buf)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, buf, write_to_buf);
    return pk;
}

/* The results of the library's functions are those of write_to_buf(): the buffer keeps them. */

void fm_pack_map(struct fm_buf *buf, uint32_t pairs)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_map(&pk, pairs);
}

void fm_pack_array(struct fm_buf *buf, uint32_t items)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_array(&pk, items);
}

void fm_pack_uint(struct fm_buf *buf, uint64_t value)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_uint64(&pk, value);
}

void fm_pack_int(struct fm_buf *buf, int64_t value)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_int64(&pk, value); /* Unsigned forms for what is not negative. */
}

void fm_pack_bool(struct fm_buf *buf, bool value)
{
    msgpack_packer pk = packer(buf);
    if (value)
        (void)msgpack_pack_true(&pk);
    else
        (void)msgpack_pack_false(&pk);
}

void fm_pack_nil(struct fm_buf *buf)
{
    msgpack_packer pk = packer(buf);
    (void)msgpack_pack_nil(&pk);
}

/* A body that no header can count fails the buffer like one that is too large. */
static bool length_fits(struct fm_buf *buf, size_t len)
{
    if (len <= UINT32_MAX)
        return true;
    if (buf->status == FM_OK)
        buf->status = FM_LIMIT;
    return false;
}

void fm_pack_bin(struct fm_buf *buf, const void *data, size_t len)
{
    msgpack_packer pk = packer(buf);
    if (!length_fits(buf, len))
        return;
    (void)msgpack_pack_bin(&pk, len);
    fm_buf_put(buf, data, len);
}

void fm_pack_bin_span(struct fm_buf *buf, struct fm_span span)
{
    fm_pack_bin(buf, span.data, span.len);
}

void fm_pack_str_span(struct fm_buf *buf, struct fm_span span)
{
    msgpack_packer pk = packer(buf);
    if (!length_fits(buf, span.len))
        return;
    (void)msgpack_pack_str(&pk, span.len);
    fm_buf_put_span(buf, span);
}

void fm_pack_str(struct fm_buf *buf, const char *text)
{
    fm_pack_str_span(buf, fm_span_str(text));
}

void fm_pack_key_uint(struct fm_buf *buf, unsigned key, uint64_t value)
{
    fm_pack_uint(buf, key);
    fm_pack_uint(buf, value);
}

void fm_pack_key_int(struct fm_buf *buf, unsigned key, int64_t value)
{
    fm_pack_uint(buf, key);
    fm_pack_int(buf, value);
}

void fm_pack_key_bool(struct fm_buf *buf, unsigned key, bool value)
{
    fm_pack_uint(buf, key);
    fm_pack_bool(buf, value);
}

void fm_pack_key_bin(struct fm_buf *buf, unsigned key, const void *data, size_t len)
{
    fm_pack_uint(buf, key);
    fm_pack_bin(buf, data, len);
}

void fm_pack_key_str(struct fm_buf *buf, unsigned key, const char *text)
{
    fm_pack_uint(buf, key);
    fm_pack_str(buf, text);
}

/* ---- Reading ------------------------------------------------------------------------------- */

struct fm_doc {
    msgpack_unpacked unpacked;
};

static const msgpack_object *object(const struct fm_value *value)
{
    return (const msgpack_object *)(const void *)value;
}

static const struct fm_value *value_of(const msgpack_object *o)
{
    return (const struct fm_value *)(const void *)o;
}

static bool has_type(const struct fm_value *value, msgpack_object_type type)
{
    return value != NULL && object(value)->type == type;
}

void fm_doc_free(struct fm_doc *doc)
{
    if (doc == NULL)
        return;
    msgpack_unpacked_destroy(&doc->unpacked);
    free(doc);
}

enum fm_status fm_doc_parse(struct fm_span bytes, struct fm_doc **out)
{
    size_t len;
    enum fm_status status = fm_doc_measure(bytes, &len);
    if (status != FM_OK)
        return status;
    if (len != bytes.len)
        return FM_MALFORMED;

    FM_AUTO(fm_doc_freep) struct fm_doc *doc = calloc(1, sizeof *doc);
    if (doc == NULL)
        return FM_NOMEM;
    msgpack_unpacked_init(&doc->unpacked);
    size_t used = 0;
    /* After the pre-scan only the memory can fail; the library reports some such failures as bad
     * bytes, so one that is told here stands for both. */
    msgpack_unpack_return got =
        msgpack_unpack_next(&doc->unpacked, (const char *)bytes.data, bytes.len, &used);
    if (got != MSGPACK_UNPACK_SUCCESS)
        return FM_NOMEM;
    fm_assert(used == bytes.len);

    *out = FM_TAKE(doc);
    return FM_OK;
}

const struct fm_value *fm_doc_root(const struct fm_doc *doc)
{
    return value_of(&doc->unpacked.data);
}

enum fm_status fm_value_uint(const struct fm_value *value, uint64_t max, uint64_t *out)
{
    if (!has_type(value, MSGPACK_OBJECT_POSITIVE_INTEGER) || object(value)->via.u64 > max)
        return FM_MALFORMED;
    *out = object(value)->via.u64;
    return FM_OK;
}

enum fm_status fm_value_u32(const struct fm_value *value, uint32_t max, uint32_t *out)
{
    uint64_t wide;
    enum fm_status status = fm_value_uint(value, max, &wide);
    if (status == FM_OK)
        *out = (uint32_t)wide;
    return status;
}

enum fm_status fm_value_int(const struct fm_value *value, int64_t *out)
{
    uint64_t wide;
    if (has_type(value, MSGPACK_OBJECT_NEGATIVE_INTEGER)) {
        *out = object(value)->via.i64;
        return FM_OK;
    }
    enum fm_status status = fm_value_uint(value, INT64_MAX, &wide);
    if (status == FM_OK)
        *out = (int64_t)wide;
    return status;
}

enum fm_status fm_value_bool(const struct fm_value *value, bool *out)
{
    if (!has_type(value, MSGPACK_OBJECT_BOOLEAN))
        return FM_MALFORMED;
    *out = object(value)->via.boolean;
    return FM_OK;
}

enum fm_status fm_value_str(const struct fm_value *value, size_t max, struct fm_span *out)
{
    if (!has_type(value, MSGPACK_OBJECT_STR) || object(value)->via.str.size > max)
        return FM_MALFORMED;
    *out = fm_span(object(value)->via.str.ptr, object(value)->via.str.size);
    return FM_OK;
}

enum fm_status fm_value_text(const struct fm_value *value, char *out, size_t size)
{
    struct fm_span text;
    fm_assert(size > 0);
    enum fm_status status = fm_value_str(value, size - 1, &text);
    if (status != FM_OK)
        return status;
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
        return FM_MALFORMED;
    if (text.len > 0)
        memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return FM_OK;
}

enum fm_status fm_value_bin(const struct fm_value *value, size_t max, struct fm_span *out)
{
    if (!has_type(value, MSGPACK_OBJECT_BIN) || object(value)->via.bin.size > max)
        return FM_MALFORMED;
    *out = fm_span(object(value)->via.bin.ptr, object(value)->via.bin.size);
    return FM_OK;
}

enum fm_status fm_value_bin_exact(const struct fm_value *value, void *out, size_t len)
{
    struct fm_span bin;
    enum fm_status status = fm_value_bin(value, len, &bin);
    if (status != FM_OK)
        return status;
    if (bin.len != len)
        return FM_MALFORMED;
    if (len > 0)
        memcpy(out, bin.data, len);
    return FM_OK;
}

enum fm_status fm_value_array(const struct fm_value *value, uint32_t max, uint32_t *count)
{
    if (!has_type(value, MSGPACK_OBJECT_ARRAY) || object(value)->via.array.size > max)
        return FM_MALFORMED;
    *count = object(value)->via.array.size;
    return FM_OK;
}

bool fm_value_is_nil(const struct fm_value *value)
{
    return has_type(value, MSGPACK_OBJECT_NIL);
}

const struct fm_value *fm_value_at(const struct fm_value *array, uint32_t i)
{
    fm_assert(has_type(array, MSGPACK_OBJECT_ARRAY));
    fm_assert(i < object(array)->via.array.size);
    return value_of(&object(array)->via.array.ptr[i]);
}

const struct fm_value *fm_map_get(const struct fm_value *map, unsigned key)
{
    if (!has_type(map, MSGPACK_OBJECT_MAP))
        return NULL;
    const msgpack_object_map *pairs = &object(map)->via.map;
    uint32_t low = 0, high = pairs->size;
    while (low < high) { /* The pre-scan saw that keys rise. */
        uint32_t middle = low + (high - low) / 2;
        if (pairs->ptr[middle].key.via.u64 < key)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == pairs->size || pairs->ptr[low].key.via.u64 != key)
        return NULL;
    return value_of(&pairs->ptr[low].val);
}

enum fm_status fm_map_check(const struct fm_value *map, uint32_t known)
{
    if (!has_type(map, MSGPACK_OBJECT_MAP))
        return FM_MALFORMED;
    const msgpack_object_map *pairs = &object(map)->via.map;
    for (uint32_t i = 0; i < pairs->size; i++) {
        uint64_t key = pairs->ptr[i].key.via.u64;
        if (key >= 32)
            break;
        if ((known >> key & 1u) == 0)
            return FM_MALFORMED;
    }
    return FM_OK;
}
