#include "storage/dropped.h"

#include "core/assert.h"
#include "storage/subtrees.h"

_Static_assert(TILES_LEVEL == SUBTREE_LEVEL_MIN, "tiles are what lies below the kept subtrees");

enum fm_status fail_dropped(const struct table_state *state, struct fm_error *err)
{
    return fm_fail(err, FM_NOTFOUND,
                   "the facts of %s.%s before fact %llu were dropped by retention: they are not "
                   "there any more, and there are proofs only from sizes at which an append ended",
                   state->table->domain, state->table->name, (unsigned long long)state->dropped);
}

enum fm_status dropped_tiles(const struct table_state *state, const struct rocks_snapshot *snapshot,
                             uint64_t block, struct tiles *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    const struct table *table = state->table;
    struct key key = key_tiles(table->id, block);
    enum fm_status status =
        rocks_get(table->store->rocks, snapshot, ROCKS_SEGMENTS, key_span(&key), &value, err);

    out->count = 0;
    out->leaves = 0;
    if (status == FM_NOTFOUND)
        return FM_OK;
    if (status == FM_OK && tiles_decode(fm_buf_span(&value), out) != FM_OK)
        return fm_fail(err, FM_CORRUPT,
                       "%s.%s: the kept hashes of the dropped facts from %llu on are damaged; "
                       "restore the folder from a backup",
                       table->domain, table->name, (unsigned long long)(block * TILES_LEAVES));
    return status;
}

/* Levels of recursion: TILES_LEVEL at most. */
enum fm_status tiles_node(const struct tiles *tiles, unsigned level, uint32_t first,
                          struct fm_hash *out)
{
    struct fm_hash left, right;
    uint32_t at = 0, i = 0;
    enum fm_status status;

    while (i < tiles->count && at < first)
        at += 1u << tiles->levels[i++];
    if (i == tiles->count || at != first || tiles->levels[i] > level)
        return FM_NOTFOUND;
    if (tiles->levels[i] == level) {
        *out = tiles->hashes[i];
        return FM_OK;
    }
    status = tiles_node(tiles, level - 1, first, &left);
    if (status == FM_OK)
        status = tiles_node(tiles, level - 1, first + (1u << (level - 1)), &right);
    if (status == FM_OK)
        fm_node_hash(out, &left, &right);
    return status;
}

/* ---- Making tiles ---------------------------------------------------------------------------- */

static void node_of(const struct tiling *tiling, unsigned level, uint32_t first,
                    struct fm_hash *out)
{
    uint32_t from = tiling->before.leaves;
    struct fm_hash left, right;
    struct fm_tree tree;

    if (first >= from) {
        fm_tree_init(&tree);
        fm_tree_append_many(&tree, tiling->hashes + (size_t)(first - from) * FM_HASH_BYTES,
                            UINT64_C(1) << level);
        fm_tree_root(&tree, out);
        return;
    }
    if (tiles_node(&tiling->before, level, first, out) == FM_OK)
        return;
    fm_assert(level > 0); /* Ends of tiles are ends here too, so none is cut. */
    node_of(tiling, level - 1, first, &left);
    node_of(tiling, level - 1, first + (1u << (level - 1)), &right);
    fm_node_hash(out, &left, &right);
}

static bool is_whole(const struct tiling *tiling, unsigned level, uint32_t first)
{
    uint32_t end = first + (1u << level);

    for (uint32_t i = first + 1; i < end; i++) {
        if (tiling->is_end[i])
            return false;
    }
    return end <= tiling->end;
}

static void add_tiles(struct tiling *tiling, unsigned level, uint32_t first)
{
    struct tiles *out = &tiling->out;

    if (first >= tiling->end)
        return;
    if (is_whole(tiling, level, first)) {
        node_of(tiling, level, first, &out->hashes[out->count]);
        out->levels[out->count++] = (uint8_t)level;
        out->leaves += 1u << level;
        return;
    }
    fm_assert(level > 0);
    add_tiles(tiling, level - 1, first);
    add_tiles(tiling, level - 1, first + (1u << (level - 1)));
}

void tiling_make(struct tiling *tiling)
{
    uint32_t at = 0;

    fm_assert(tiling->end <= TILES_LEAVES);
    fm_assert(tiling->before.leaves < tiling->end);
    for (uint32_t i = 0; i < tiling->before.count; i++) {
        at += 1u << tiling->before.levels[i];
        tiling->is_end[at] = true; /* Less than a block was dropped. */
    }
    tiling->out.count = 0;
    tiling->out.leaves = 0;
    add_tiles(tiling, TILES_LEVEL, 0);
    fm_assert(tiling->out.leaves == tiling->end);
}

/* ---- The whole ------------------------------------------------------------------------------- */

struct above {
    void (*each)(void *context, unsigned level, uint64_t index, const struct fm_hash *hash);
    void *context;
};

/* The blocks' hashes are the leaves of a tree of their own. */
static void tell_above(void *context, unsigned level, uint64_t index, const struct fm_hash *hash)
{
    const struct above *above = context;

    above->each(above->context, level + TILES_LEVEL, index, hash);
}

static enum fm_status block_hash(const struct table_state *state, uint64_t block,
                                 struct tiles *tiles, struct fm_hash *out, struct fm_error *err)
{
    const struct table *table = state->table;
    struct fm_hash again;
    enum fm_status status = subtrees_get(table, TILES_LEVEL, block, out, err);

    if (status == FM_OK)
        status = dropped_tiles(state, NULL, block, tiles, err);
    if (status != FM_OK || tiles->count == 0)
        return status;
    if (tiles_node(tiles, TILES_LEVEL, 0, &again) != FM_OK || !fm_hash_equal(&again, out))
        return fm_fail(err, FM_CORRUPT,
                       "%s.%s: the kept hashes of the dropped facts from %llu on are not those of "
                       "their subtree; restore the folder from a backup",
                       table->domain, table->name, (unsigned long long)(block * TILES_LEAVES));
    return FM_OK;
}

enum fm_status dropped_tree(const struct table_state *state, struct fm_tree *out,
                            void (*each)(void *context, unsigned level, uint64_t index,
                                         const struct fm_hash *hash),
                            void *context, struct fm_error *err)
{
    struct above above = {each, context};
    uint64_t blocks = state->dropped / TILES_LEAVES;
    uint32_t rest = (uint32_t)(state->dropped % TILES_LEAVES);
    struct tiles tiles = {0};
    enum fm_status status = FM_OK;
    struct fm_tree tree;
    uint32_t at = 0;

    fm_tree_init(&tree);
    for (uint64_t i = 0; status == FM_OK && i < blocks; i++) {
        struct fm_hash hash;

        status = block_hash(state, i, &tiles, &hash, err);
        if (status == FM_OK)
            fm_tree_append_each(&tree, hash.bytes, 1, tell_above, &above);
    }
    if (status == FM_OK && rest > 0)
        status = dropped_tiles(state, NULL, blocks, &tiles, err);
    tree.size = blocks * TILES_LEAVES;
    for (unsigned level = TILES_LEVEL; status == FM_OK && level-- > 0;) {
        if ((rest >> level & 1) == 0)
            continue;
        status = tiles_node(&tiles, level, at, &tree.subtrees[__builtin_popcountll(tree.size)]);
        at += 1u << level;
        tree.size += UINT64_C(1) << level;
    }
    if (status == FM_OK)
        *out = tree;
    return status;
}
