#include "tests/support/map_edit.h"

#include "core/assert.h"
#include "core/codec.h"

/* Bytes of the value at `at`, of the kinds that the strict profile has. */
static size_t value_bytes(const uint8_t *at);

static size_t items_bytes(const uint8_t *at, size_t count)
{
    size_t len = 0;

    for (size_t i = 0; i < count; i++)
        len += value_bytes(at + len);
    return len;
}

static size_t big(const uint8_t *at, size_t len)
{
    size_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | at[i];
    return value;
}

static size_t value_bytes(const uint8_t *at)
{
    uint8_t tag = at[0];

    if (tag <= 0x7f || tag >= 0xe0 || tag == 0xc0 || tag == 0xc2 || tag == 0xc3)
        return 1;
    if (tag <= 0x8f)
        return 1 + items_bytes(at + 1, 2 * (size_t)(tag & 0x0f));
    if (tag <= 0x9f)
        return 1 + items_bytes(at + 1, tag & 0x0f);
    if (tag <= 0xbf)
        return 1 + (size_t)(tag & 0x1f);
    if (tag >= 0xc4 && tag <= 0xc6) /* bin */
        return 1 + (1u << (tag - 0xc4)) + big(at + 1, 1u << (tag - 0xc4));
    if (tag >= 0xcc && tag <= 0xcf) /* uint */
        return 1 + (1u << (tag - 0xcc));
    if (tag >= 0xd0 && tag <= 0xd3) /* int */
        return 1 + (1u << (tag - 0xd0));
    if (tag >= 0xd9 && tag <= 0xdb) /* str */
        return 1 + (1u << (tag - 0xd9)) + big(at + 1, 1u << (tag - 0xd9));
    fm_assert(tag == 0xdc); /* array 16 */
    return 3 + items_bytes(at + 3, big(at + 1, 2));
}

unsigned map_pairs(struct fm_span map)
{
    fm_assert(map.len > 3);
    if (map.data[0] == 0xde) /* map 16 */
        return (unsigned)big(map.data + 1, 2);
    fm_assert((map.data[0] & 0xf0) == 0x80);
    return map.data[0] & 0x0f;
}

static size_t header_bytes(struct fm_span map)
{
    return map.data[0] == 0xde ? 3 : 1;
}

/* Where pair `i` begins. */
static const uint8_t *pair_at(struct fm_span map, unsigned i)
{
    return map.data + header_bytes(map) + items_bytes(map.data + header_bytes(map), 2 * (size_t)i);
}

unsigned map_key(struct fm_span map, unsigned i)
{
    return *pair_at(map, i);
}

bool map_value_is_bool(struct fm_span map, unsigned i)
{
    uint8_t tag = pair_at(map, i)[1]; /* Keys of these maps take one byte. */

    return tag == 0xc2 || tag == 0xc3;
}

static void put_pairs(struct fm_buf *out, struct fm_span map, unsigned from, unsigned to)
{
    const uint8_t *begin = pair_at(map, from);

    fm_buf_put(out, begin, (size_t)(pair_at(map, to) - begin));
}

void map_drop(struct fm_span map, unsigned i, struct fm_buf *out)
{
    unsigned pairs = map_pairs(map);

    fm_buf_clear(out);
    fm_pack_map(out, pairs - 1);
    put_pairs(out, map, 0, i);
    put_pairs(out, map, i + 1, pairs);
}

void map_replace(struct fm_span map, unsigned i, struct fm_span value, struct fm_buf *out)
{
    unsigned pairs = map_pairs(map);

    fm_buf_clear(out);
    fm_pack_map(out, pairs);
    put_pairs(out, map, 0, i);
    fm_pack_uint(out, map_key(map, i));
    fm_buf_put_span(out, value);
    put_pairs(out, map, i + 1, pairs);
}

void map_add(struct fm_span map, unsigned key, struct fm_buf *out)
{
    unsigned pairs = map_pairs(map);
    unsigned at = 0;

    while (at < pairs && map_key(map, at) < key)
        at++;
    fm_buf_clear(out);
    fm_pack_map(out, pairs + 1);
    put_pairs(out, map, 0, at);
    fm_pack_uint(out, key);
    fm_pack_nil(out);
    put_pairs(out, map, at, pairs);
}
