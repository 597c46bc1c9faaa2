/* Proofs about a snapshot's facts. Nodes of the tree come from the table's state (the right edge),
 * from the kept subtrees, or from the rows; a kept one that is not there is computed from those
 * below it. What is given out was checked against the state's root. */
#include "storage/reading.h"

#include "core/assert.h"
#include "storage/dropped.h"
#include "storage/subtrees.h"

#include <stdlib.h>

#define LEAF_RUNS 4u

/* Leaf hashes under one of the lowest kept subtrees. */
struct leaf_run {
    const struct table_state *state; /* NULL: empty. */
    uint64_t number;
    uint8_t hashes[SUBTREE_LEAVES * FM_HASH_BYTES];
};

/* The runs used last: proofs of facts that are near each other read the rows once. */
struct leaf_cache {
    uint32_t next; /* To be replaced. */
    struct leaf_run runs[LEAF_RUNS];
};

struct prover {
    struct fm_snapshot *snapshot;
    const struct table_state *state;
    struct fm_error *err;
    bool is_dropped; /* What failed lies below a tile. */
    bool has_tiles;
    uint64_t tiles_block;
    struct tiles tiles; /* Of that block. */
};

/* ---- Leaves ---------------------------------------------------------------------------------- */

static bool find_run(const struct prover *prover, uint64_t number, uint8_t *out)
{
    struct fm_snapshot *snapshot = prover->snapshot;
    bool found = false;

    (void)pthread_mutex_lock(&snapshot->lock); /* Cannot fail. */
    for (uint32_t i = 0; !found && snapshot->leaves != NULL && i < LEAF_RUNS; i++) {
        const struct leaf_run *run = &snapshot->leaves->runs[i];

        found = run->state == prover->state && run->number == number;
        if (found)
            memcpy(out, run->hashes, sizeof run->hashes);
    }
    (void)pthread_mutex_unlock(&snapshot->lock);
    return found;
}

static void keep_run(const struct prover *prover, uint64_t number, const uint8_t *hashes)
{
    struct fm_snapshot *snapshot = prover->snapshot;

    (void)pthread_mutex_lock(&snapshot->lock); /* Cannot fail. */
    if (snapshot->leaves == NULL)
        snapshot->leaves = calloc(1, sizeof *snapshot->leaves);
    if (snapshot->leaves != NULL) { /* Without memory the rows are read again. */
        struct leaf_run *run = &snapshot->leaves->runs[snapshot->leaves->next++ % LEAF_RUNS];

        run->state = prover->state;
        run->number = number;
        memcpy(run->hashes, hashes, sizeof run->hashes);
    }
    (void)pthread_mutex_unlock(&snapshot->lock);
}

static enum fm_status node_from_rows(const struct prover *prover, unsigned level, uint64_t index,
                                     struct fm_hash *out)
{
    uint8_t hashes[SUBTREE_LEAVES * FM_HASH_BYTES] = {0};
    uint64_t leaf = index << level;
    uint64_t first = leaf & ~(uint64_t)(SUBTREE_LEAVES - 1);
    uint64_t kept = first > prover->state->dropped ? first : prover->state->dropped;
    uint64_t end = prover->state->tree.size;
    struct fm_tree tree;

    fm_assert(level <= SUBTREE_LEVEL_MIN);
    fm_assert(leaf >= kept);
    if (end - first > SUBTREE_LEAVES)
        end = first + SUBTREE_LEAVES;
    if (!find_run(prover, first / SUBTREE_LEAVES, hashes)) {
        enum fm_status status =
            stored_leaf_hashes(prover->state, prover->snapshot->rocks, kept, (uint32_t)(end - kept),
                               hashes + (kept - first) * FM_HASH_BYTES, prover->err);

        if (status != FM_OK)
            return status;
        keep_run(prover, first / SUBTREE_LEAVES, hashes);
    }
    fm_tree_init(&tree);
    fm_tree_append_many(&tree, hashes + (leaf - first) * FM_HASH_BYTES, UINT64_C(1) << level);
    fm_tree_root(&tree, out);
    return FM_OK;
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

/* The state has the perfect subtrees of its size. */
static bool node_from_state(const struct fm_tree *tree, unsigned level, uint64_t index,
                            struct fm_hash *out)
{
    uint64_t count = tree->size >> level; /* Of subtrees of this level. */

    if ((count & 1) == 0 || index != count - 1)
        return false;
    *out = tree->subtrees[__builtin_popcountll(count >> 1)];
    return true;
}

/* FM_NOTFOUND: try the two below it. */
static enum fm_status node_from_tiles(struct prover *prover, unsigned level, uint64_t index,
                                      struct fm_hash *out)
{
    uint64_t leaf = index << level;
    uint64_t block = leaf / TILES_LEAVES;
    enum fm_status status = FM_OK;

    if (!prover->has_tiles || prover->tiles_block != block)
        status = dropped_tiles(prover->state, prover->snapshot->rocks, block, &prover->tiles,
                               prover->err);
    if (status != FM_OK)
        return status;
    prover->has_tiles = true;
    prover->tiles_block = block;
    status = tiles_node(&prover->tiles, level, (uint32_t)(leaf % TILES_LEAVES), out);
    if (status == FM_NOTFOUND && leaf + (UINT64_C(1) << level) <= prover->state->dropped)
        prover->is_dropped = true;
    return status;
}

static enum fm_status find_node(void *context, unsigned level, uint64_t index, struct fm_hash *out)
{
    struct prover *prover = context;
    struct fm_hash left, right;
    enum fm_status status = FM_NOTFOUND;

    fm_assert(level < 64);
    fm_assert(index < prover->state->tree.size >> level);
    if (node_from_state(&prover->state->tree, level, index, out))
        return FM_OK;
    if (subtree_is_kept(level))
        status = subtrees_get(prover->state->table, level, index, out, prover->err);
    if (status != FM_NOTFOUND)
        return status;
    if (level <= SUBTREE_LEVEL_MIN && index << level >= prover->state->dropped)
        return node_from_rows(prover, level, index, out);
    if (level <= SUBTREE_LEVEL_MIN) {
        status = node_from_tiles(prover, level, index, out);
        if (status == FM_NOTFOUND && prover->is_dropped)
            return fail_dropped(prover->state, prover->err);
        if (status != FM_NOTFOUND)
            return status;
    }
    status = find_node(context, level - 1, 2 * index, &left);
    if (status == FM_OK)
        status = find_node(context, level - 1, 2 * index + 1, &right);
    if (status == FM_OK)
        fm_node_hash(out, &left, &right);
    return status;
}

static struct fm_proof_source source_of(struct prover *prover)
{
    return (struct fm_proof_source){.node = find_node, .context = prover};
}

/* ---- Checks ---------------------------------------------------------------------------------- */

static enum fm_status prover_init(struct prover *prover, struct fm_snapshot *snapshot,
                                  const char *domain, const char *table, struct fm_error *err)
{
    const struct snapshot_table *found = snapshot_find(snapshot, domain, table);

    if (found == NULL)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, table);
    *prover = (struct prover){.snapshot = snapshot, .state = found->state, .err = err};
    return FM_OK;
}

static enum fm_status fail_size(const struct prover *prover, uint64_t first, uint64_t second)
{
    const struct table *table = prover->state->table;

    return fm_fail(prover->err, FM_INVALID, "%s.%s has %llu facts; there is no %llu of %llu",
                   table->domain, table->name, (unsigned long long)prover->state->tree.size,
                   (unsigned long long)first, (unsigned long long)second);
}

static enum fm_status fail_proof(const struct prover *prover, enum fm_status status)
{
    const struct table *table = prover->state->table;

    if (status != FM_FORGED)
        return status;
    return fm_fail(prover->err, FM_CORRUPT,
                   "%s.%s: the stored facts do not give the root of the log; restore the folder "
                   "from a backup",
                   table->domain, table->name);
}

/* The root of the first `size` facts, with a proof that the state's log begins with them. */
static enum fm_status checked_root(struct prover *prover, uint64_t size, struct fm_hash *out)
{
    const struct table_state *state = prover->state;
    struct fm_proof_source source = source_of(prover);
    struct fm_proof proof;
    enum fm_status status;

    if (size == state->tree.size) {
        *out = state->root;
        return FM_OK;
    }
    status = fm_proof_root(&source, size, out);
    if (status == FM_OK)
        status = fm_proof_consistency(&source, size, state->tree.size, &proof);
    if (status == FM_OK)
        status = fm_proof_check_consistency(&proof, size, out, state->tree.size, &state->root);
    return status;
}

static enum fm_status make_inclusion(struct prover *prover, uint64_t sequence, uint64_t size,
                                     struct fm_proof *out)
{
    struct fm_proof_source source = source_of(prover);
    struct fm_hash leaf, root;
    enum fm_status status = find_node(prover, 0, sequence, &leaf);

    if (status == FM_OK)
        status = fm_proof_inclusion(&source, sequence, size, out);
    if (status == FM_OK)
        status = checked_root(prover, size, &root);
    if (status == FM_OK)
        status = fm_proof_check_inclusion(out, &leaf, sequence, size, &root);
    return fail_proof(prover, status);
}

static enum fm_status make_consistency(struct prover *prover, uint64_t old_size, uint64_t new_size,
                                       struct fm_proof *out)
{
    struct fm_proof_source source = source_of(prover);
    struct fm_hash old_root, new_root;
    enum fm_status status = fm_proof_consistency(&source, old_size, new_size, out);

    if (status == FM_OK)
        status = fm_proof_root(&source, old_size, &old_root);
    if (status == FM_OK)
        status = checked_root(prover, new_size, &new_root);
    if (status == FM_OK)
        status = fm_proof_check_consistency(out, old_size, &old_root, new_size, &new_root);
    return fail_proof(prover, status);
}

/* ---- For others ------------------------------------------------------------------------------ */

enum fm_status fm_snapshot_leaf(struct fm_snapshot *snapshot, const char *domain, const char *table,
                                uint64_t sequence, struct fm_buf *out, struct fm_error *err)
{
    struct prover prover = {0};
    enum fm_status status = prover_init(&prover, snapshot, domain, table, err);

    if (status != FM_OK)
        return status;
    if (sequence >= prover.state->tree.size)
        return fail_size(&prover, sequence, prover.state->tree.size);
    if (sequence < prover.state->dropped)
        return fail_dropped(prover.state, err);
    return stored_leaf(prover.state, snapshot->rocks, sequence, out, err);
}

enum fm_status fm_snapshot_inclusion(struct fm_snapshot *snapshot, const char *domain,
                                     const char *table, uint64_t sequence, uint64_t size,
                                     struct fm_proof *out, struct fm_error *err)
{
    struct prover prover = {0};
    struct fm_proof proof;
    enum fm_status status = prover_init(&prover, snapshot, domain, table, err);

    if (status != FM_OK)
        return status;
    if (sequence >= size || size > prover.state->tree.size)
        return fail_size(&prover, sequence, size);
    if (sequence < prover.state->dropped)
        return fail_dropped(prover.state, err);
    status = make_inclusion(&prover, sequence, size, &proof);
    if (status == FM_OK)
        *out = proof;
    return status;
}

enum fm_status fm_snapshot_consistency(struct fm_snapshot *snapshot, const char *domain,
                                       const char *table, uint64_t old_size, uint64_t new_size,
                                       struct fm_proof *out, struct fm_error *err)
{
    struct prover prover = {0};
    struct fm_proof proof;
    enum fm_status status = prover_init(&prover, snapshot, domain, table, err);

    if (status != FM_OK)
        return status;
    if (old_size > new_size || new_size > prover.state->tree.size)
        return fail_size(&prover, old_size, new_size);
    status = make_consistency(&prover, old_size, new_size, &proof);
    if (status == FM_OK)
        *out = proof;
    return status;
}
