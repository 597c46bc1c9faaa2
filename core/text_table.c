/* Distinct texts by hash, open addressing with linear steps. Whoever makes hashes collide gets his
 * texts stored plain: the search never goes far. */
#include "core/batch_build.h"

#define PROBES_MAX 64u
#define SLOTS_FIRST 64u

static uint64_t mix(uint64_t a, uint64_t b)
{
    fm_u128 product = (fm_u128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint32_t hash_text(struct fm_span text)
{
    const uint64_t k0 = UINT64_C(0xa0761d6478bd642f), k1 = UINT64_C(0xe7037ed1a0b428db);
    const uint8_t *at = text.data;
    size_t left = text.len;
    uint64_t hash = k0 ^ left;
    for (; left >= 8; left -= 8, at += 8)
        hash = mix(hash ^ fm_load64(at), k1);
    uint64_t tail = 0;
    for (size_t i = 0; i < left; i++)
        tail |= (uint64_t)at[i] << (8 * i);
    hash = mix(hash ^ tail, k0 ^ k1);
    return (uint32_t)(hash ^ hash >> 32);
}

void fm_text_table_clear(struct fm_text_table *table)
{
    fm_buf_clear(&table->text);
    fm_buf_clear(&table->offsets);
    fm_buf_clear(&table->hashes);
    table->count = 0;
    if (table->slots != NULL)
        memset(table->slots, 0, table->slot_count * sizeof *table->slots);
}

void fm_text_table_deinit(struct fm_text_table *table)
{
    fm_buf_free(&table->text);
    fm_buf_free(&table->offsets);
    fm_buf_free(&table->hashes);
    free(table->slots);
    *table = (struct fm_text_table){0};
}

struct fm_span fm_text_table_at(const struct fm_text_table *table, uint32_t code)
{
    fm_assert(code < table->count);
    uint32_t from = fm_load32(table->offsets.data + (size_t)code * 4);
    uint32_t to = fm_load32(table->offsets.data + (size_t)code * 4 + 4);
    if (from == to)
        return fm_span("", 0); /* There may be no text at all. */
    return fm_span(table->text.data + from, to - from);
}

static uint32_t hash_at(const struct fm_text_table *table, uint32_t code)
{
    return fm_load32(table->hashes.data + (size_t)code * 4);
}

/* The slot of `value`, or the free one where it would be; slot_count when that is too far. */
static uint32_t find_slot(const struct fm_text_table *table, struct fm_span value, uint32_t hash)
{
    uint32_t mask = table->slot_count - 1, slot = hash & mask;
    for (uint32_t probes = 0; probes < PROBES_MAX; probes++, slot = (slot + 1) & mask) {
        uint32_t entry = table->slots[slot];
        if (entry == 0)
            return slot;
        if (hash_at(table, entry - 1) == hash &&
            fm_span_equal(fm_text_table_at(table, entry - 1), value))
            return slot;
    }
    return table->slot_count;
}

uint32_t fm_text_table_find(const struct fm_text_table *table, struct fm_span value)
{
    if (table->count == 0)
        return FM_CODE_NONE;
    uint32_t slot = find_slot(table, value, hash_text(value));
    if (slot == table->slot_count || table->slots[slot] == 0)
        return FM_CODE_NONE;
    return table->slots[slot] - 1;
}

static enum fm_status grow_slots(struct fm_text_table *table)
{
    uint32_t slot_count = table->slot_count == 0 ? SLOTS_FIRST : table->slot_count * 2;
    uint32_t *slots = calloc(slot_count, sizeof *slots);
    if (slots == NULL)
        return FM_NOMEM;
    uint32_t mask = slot_count - 1;
    for (uint32_t i = 0; i < table->count; i++) {
        uint32_t slot = hash_at(table, i) & mask, probes = 0;
        for (; slots[slot] != 0 && probes < PROBES_MAX; probes++)
            slot = (slot + 1) & mask;
        if (slots[slot] != 0) {
            free(slots);
            return FM_LIMIT;
        }
        slots[slot] = i + 1;
    }
    free(table->slots);
    table->slots = slots;
    table->slot_count = slot_count;
    return FM_OK;
}

/* A failed buffer keeps its bytes: cut it back to `len` so that it can be used again. */
static void cut(struct fm_buf *buf, size_t len)
{
    buf->len = len;
    buf->status = FM_OK;
}

static enum fm_status append_entry(struct fm_text_table *table, struct fm_span value, uint32_t hash)
{
    size_t text_len = table->text.len, offsets_len = table->offsets.len;
    size_t hashes_len = table->hashes.len;
    if (offsets_len == 0)
        fm_buf_put_u32(&table->offsets, 0);
    fm_buf_put_span(&table->text, value);
    fm_buf_put_u32(&table->offsets, (uint32_t)table->text.len);
    fm_buf_put_u32(&table->hashes, hash);
    enum fm_status status = fm_buf_status(&table->text);
    if (status == FM_OK)
        status = fm_buf_status(&table->offsets);
    if (status == FM_OK)
        status = fm_buf_status(&table->hashes);
    if (status == FM_OK)
        return FM_OK;
    cut(&table->text, text_len);
    cut(&table->offsets, offsets_len);
    cut(&table->hashes, hashes_len);
    return status;
}

enum fm_status fm_text_table_add(struct fm_text_table *table, struct fm_span value, uint32_t *code)
{
    uint32_t hash = hash_text(value);
    if (table->count * 2 >= table->slot_count) {
        enum fm_status status = grow_slots(table);
        if (status != FM_OK)
            return status;
    }
    uint32_t slot = find_slot(table, value, hash);
    if (slot == table->slot_count)
        return FM_LIMIT;
    if (table->slots[slot] == 0) {
        if (table->count == FM_DICTIONARY_VALUES_MAX)
            return FM_LIMIT;
        enum fm_status status = append_entry(table, value, hash);
        if (status != FM_OK)
            return status;
        table->slots[slot] = ++table->count;
    }
    *code = table->slots[slot] - 1;
    return FM_OK;
}
