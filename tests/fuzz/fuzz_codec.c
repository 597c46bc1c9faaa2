/* Strict msgpack. What the pre-scan lets through the library reads to the same end, and every value
 * of it can be read and written again, giving the same bytes: the profile has one form. */
#include "core/codec.h"

#include "core/assert.h"
#include "core/limits.h"

#include <msgpack.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Write the library's object as fm_pack_* does. */
static void repack(struct fm_buf *out, const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        fm_pack_nil(out);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        fm_pack_bool(out, object->via.boolean);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        fm_pack_uint(out, object->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        fm_pack_int(out, object->via.i64);
        break;
    case MSGPACK_OBJECT_STR:
        fm_pack_str_span(out, fm_span(object->via.str.ptr, object->via.str.size));
        break;
    case MSGPACK_OBJECT_BIN:
        fm_pack_bin(out, object->via.bin.ptr, object->via.bin.size);
        break;
    case MSGPACK_OBJECT_ARRAY:
        fm_pack_array(out, object->via.array.size);
        for (uint32_t i = 0; i < object->via.array.size; i++)
            repack(out, &object->via.array.ptr[i]);
        break;
    case MSGPACK_OBJECT_MAP:
        fm_pack_map(out, object->via.map.size);
        for (uint32_t i = 0; i < object->via.map.size; i++) {
            repack(out, &object->via.map.ptr[i].key);
            repack(out, &object->via.map.ptr[i].val);
        }
        break;
    default:
        fm_assert(object->type == MSGPACK_OBJECT_NIL); /* The profile has no other. */
    }
}

/* Readers of every kind on every value. */
static void read_all(const struct fm_value *value)
{
    uint64_t u;
    int64_t i;
    bool b;
    struct fm_span span;
    char text[8];
    uint8_t exact[4];
    uint32_t count = 0;

    unsigned answers = fm_value_is_nil(value);
    answers += fm_value_uint(value, UINT64_MAX, &u) == FM_OK;
    answers += fm_value_int(value, &i) == FM_OK;
    answers += fm_value_bool(value, &b) == FM_OK;
    answers += fm_value_str(value, SIZE_MAX, &span) == FM_OK;
    answers += fm_value_text(value, text, sizeof text) == FM_OK;
    answers += fm_value_bin(value, SIZE_MAX, &span) == FM_OK;
    answers += fm_value_bin_exact(value, exact, sizeof exact) == FM_OK;
    answers += fm_value_array(value, UINT32_MAX, &count) == FM_OK;
    answers += fm_map_check(value, UINT32_MAX) == FM_OK;
    fm_assert(answers == 1 || answers == 2); /* Each kind has one reader, or two. */
    for (unsigned key = 0; key < 4; key++)
        if (fm_map_get(value, key) != NULL)
            read_all(fm_map_get(value, key));
    for (uint32_t j = 0; j < count; j++)
        read_all(fm_value_at(value, j));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_doc *doc = NULL;
    size_t len = 0;
    enum fm_status measured = fm_doc_measure(fm_span(data, size), &len);
    enum fm_status status = fm_doc_parse(fm_span(data, size), &doc);

    fm_assert(measured == FM_OK || measured == FM_MALFORMED || measured == FM_LIMIT);
    if (measured != FM_OK) {
        fm_assert(status == measured);
        return 0;
    }
    fm_assert(len > 0 && len <= size);
    fm_assert(status == (len == size ? FM_OK : FM_MALFORMED));
    if (status == FM_OK)
        read_all(fm_doc_root(doc));
    fm_doc_free(doc);

    msgpack_unpacked unpacked;
    size_t used = 0;
    struct fm_buf again = {0};
    msgpack_unpacked_init(&unpacked);
    fm_assert(msgpack_unpack_next(&unpacked, (const char *)data, len, &used) ==
              MSGPACK_UNPACK_SUCCESS);
    fm_assert(used == len);
    repack(&again, &unpacked.data);
    fm_assert(fm_span_equal(fm_buf_span(&again), fm_span(data, len)));
    fm_buf_free(&again);
    msgpack_unpacked_destroy(&unpacked);
    return 0;
}
