/* Keys and values of the family `subjects`. */
#include "storage/keys.h"

struct key key_subject(const struct fm_hash *id)
{
    struct key key = key_meta(KEYS_SUBJECT_RECORD);

    memcpy(key.bytes + key.len, id->bytes, sizeof id->bytes);
    key.len += sizeof id->bytes;
    return key;
}

struct key key_subject_mark(void)
{
    return key_meta(KEYS_SUBJECT_MARK);
}

void subject_encode(struct fm_buf *out, const struct subject_value *value)
{
    size_t from = out->len;

    fm_buf_put_u8(out, (uint8_t)value->state);
    if (value->state == SUBJECT_ACTIVE)
        fm_buf_put(out, value->key, sizeof value->key);
    else
        fm_buf_put_u64(out, (uint64_t)value->erased_at);
    value_seal(out, from);
}

enum fm_status subject_decode(struct fm_span bytes, struct subject_value *out)
{
    struct fm_span content, key;
    uint64_t time = 0;
    uint8_t state = 0;
    enum fm_status status = value_open(bytes, &content);
    struct fm_cursor cursor;

    if (status != FM_OK)
        return status;
    cursor = fm_cursor(content);
    *out = (struct subject_value){0};
    status = fm_take_u8(&cursor, &state);
    if (status == FM_OK && state == SUBJECT_ACTIVE) {
        out->state = SUBJECT_ACTIVE;
        status = fm_take_bytes(&cursor, sizeof out->key, &key);
        if (status == FM_OK)
            memcpy(out->key, key.data, sizeof out->key);
    } else if (status == FM_OK && state == SUBJECT_ERASED) {
        out->state = SUBJECT_ERASED;
        status = fm_take_u64(&cursor, &time);
        out->erased_at = (fm_us)time;
    } else {
        return FM_CORRUPT;
    }
    return status == FM_OK && fm_cursor_left(&cursor) == 0 ? FM_OK : FM_CORRUPT;
}

void subject_mark_encode(struct fm_buf *out)
{
    value_seal(out, out->len);
}

enum fm_status subject_mark_decode(struct fm_span bytes)
{
    struct fm_span content = {0};

    return value_open(bytes, &content) == FM_OK && content.len == 0 ? FM_OK : FM_CORRUPT;
}
