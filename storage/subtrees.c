#include "storage/subtrees.h"

#include "core/assert.h"

struct noted {
    uint64_t index;
    uint32_t level;
    struct fm_hash hash;
};

void subtrees_collect(void *buffer, unsigned level, uint64_t index, const struct fm_hash *hash)
{
    struct noted noted = {.index = index, .level = level, .hash = *hash};

    if (subtree_is_kept(level))
        fm_buf_put(buffer, &noted, sizeof noted);
}

enum fm_status subtrees_put(const struct table *table, struct fm_buf *collected,
                            struct rocks_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = fm_buf_status(collected);

    for (size_t at = 0; status == FM_OK && at < collected->len; at += sizeof(struct noted)) {
        struct noted noted;
        struct key key;

        memcpy(&noted, collected->data + at, sizeof noted);
        key = key_subtree(table->id, (uint8_t)noted.level, noted.index);
        fm_buf_clear(&value);
        subtree_encode(&value, &noted.hash);
        status = fm_buf_status(&value);
        if (status == FM_OK)
            rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&value));
    }
    fm_buf_clear(collected);
    return status;
}

void subtrees_undo(const struct table *table, uint64_t size, struct rocks_batch *batch)
{
    uint8_t level = SUBTREE_LEVEL_MIN;
    struct key first, end;

    for (; level < 64 && size >> level != 0; level += SUBTREE_LEVEL_STEP) {
        first = key_subtree(table->id, level, size >> level);
        end = key_subtree(table->id, (uint8_t)(level + 1), 0);
        rocks_batch_delete_range(batch, ROCKS_SEGMENTS, key_span(&first), key_span(&end));
    }
    /* Above, there is none within the size. */
    first = key_subtree(table->id, level, 0);
    end = key_table_end(KEYS_SEGMENT_TREE, table->id);
    rocks_batch_delete_range(batch, ROCKS_SEGMENTS, key_span(&first), key_span(&end));
}

uint64_t subtrees_bytes(uint64_t size)
{
    uint64_t count = 0;

    for (unsigned level = SUBTREE_LEVEL_MIN; level < 64; level += SUBTREE_LEVEL_STEP)
        count += size >> level;
    return count * (FM_HASH_BYTES + 4);
}

enum fm_status subtrees_get(const struct table *table, unsigned level, uint64_t index,
                            struct fm_hash *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_subtree(table->id, (uint8_t)level, index);
    enum fm_status status;

    fm_assert(subtree_is_kept(level));
    status = rocks_get(table->store->rocks, NULL, ROCKS_SEGMENTS, key_span(&key), &value, err);
    if (status == FM_OK && subtree_decode(fm_buf_span(&value), out) != FM_OK)
        return fm_fail(err, FM_CORRUPT,
                       "%s.%s: the stored hash of the %llu facts from %llu on is damaged; restore "
                       "the folder from a backup",
                       table->domain, table->name, 1ULL << level,
                       (unsigned long long)(index << level));
    return status;
}
