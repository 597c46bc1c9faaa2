#include "core/proof.h"

#include "core/assert.h"

/* ---- Verifying ------------------------------------------------------------------------------- */

static bool is_odd(uint64_t number)
{
    return (number & 1u) != 0;
}

/* A node's number and that of its level's last node, on the way up. */
struct climb {
    uint64_t node;
    uint64_t last;
};

static void climb_one(struct climb *at)
{
    at->node >>= 1;
    at->last >>= 1;
}

/* Is the next node of the proof the left sibling? If so, go up first to where there is one: a last
 * node without a sibling is its own parent. */
static bool climb_to_left_sibling(struct climb *at)
{
    if (!is_odd(at->node) && at->node != at->last)
        return false;
    while (!is_odd(at->node) && at->node != 0)
        climb_one(at);
    return true;
}

enum fm_status fm_proof_check_inclusion(const struct fm_proof *proof,
                                        const struct fm_hash *leaf_hash, uint64_t index,
                                        uint64_t size, const struct fm_hash *root)
{
    struct climb at = {.node = index, .last = size - 1};
    struct fm_hash hash = *leaf_hash;

    if (index >= size || proof->count > FM_PROOF_NODES_MAX)
        return FM_FORGED;
    for (uint32_t i = 0; i < proof->count; i++) {
        if (at.last == 0)
            return FM_FORGED;
        if (climb_to_left_sibling(&at))
            fm_node_hash(&hash, &proof->nodes[i], &hash);
        else
            fm_node_hash(&hash, &hash, &proof->nodes[i]);
        climb_one(&at);
    }
    return at.last == 0 && fm_hash_equal(&hash, root) ? FM_OK : FM_FORGED;
}

/* Sizes without a node between them: the same tree, or a beginning of nothing. */
static enum fm_status check_trivial(const struct fm_proof *proof, uint64_t old_size,
                                    const struct fm_hash *old_root, uint64_t new_size,
                                    const struct fm_hash *new_root)
{
    struct fm_hash empty;

    if (proof->count != 0)
        return FM_FORGED;
    fm_sha256(&empty, NULL, 0);
    if (old_size == 0 && !fm_hash_equal(old_root, &empty))
        return FM_FORGED;
    return old_size != new_size || fm_hash_equal(old_root, new_root) ? FM_OK : FM_FORGED;
}

enum fm_status fm_proof_check_consistency(const struct fm_proof *proof, uint64_t old_size,
                                          const struct fm_hash *old_root, uint64_t new_size,
                                          const struct fm_hash *new_root)
{
    struct climb at = {.node = old_size - 1, .last = new_size - 1};
    struct fm_hash old_hash, new_hash;
    uint32_t next = 0;

    if (old_size > new_size || proof->count > FM_PROOF_NODES_MAX)
        return FM_FORGED;
    if (old_size == 0 || old_size == new_size)
        return check_trivial(proof, old_size, old_root, new_size, new_root);
    while (is_odd(at.node))
        climb_one(&at);
    /* An old tree that is perfect is the first node itself, and not in the proof. */
    if (at.node == 0)
        old_hash = *old_root;
    else if (proof->count > 0)
        old_hash = proof->nodes[next++];
    else
        return FM_FORGED;
    new_hash = old_hash;
    for (; next < proof->count; next++) {
        const struct fm_hash *node = &proof->nodes[next];

        if (at.last == 0)
            return FM_FORGED;
        if (climb_to_left_sibling(&at)) {
            fm_node_hash(&old_hash, node, &old_hash);
            fm_node_hash(&new_hash, node, &new_hash);
        } else {
            fm_node_hash(&new_hash, &new_hash, node);
        }
        climb_one(&at);
    }
    return at.last == 0 && fm_hash_equal(&old_hash, old_root) && fm_hash_equal(&new_hash, new_root)
               ? FM_OK
               : FM_FORGED;
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* MTH of leaves [begin, end), which are a node's of the tree over `end` leaves or of one that goes
 * on: perfect subtrees by the binary form of their count, joined from the smallest up. */
static enum fm_status hash_range(const struct fm_proof_source *source, uint64_t begin, uint64_t end,
                                 struct fm_hash *out)
{
    uint64_t count = end - begin;
    uint64_t at = end;
    bool has_hash = false;
    struct fm_hash hash = {{0}};

    fm_assert(begin < end);
    for (unsigned level = 0; level < 64 && count >> level != 0; level++) {
        struct fm_hash node;
        enum fm_status status;

        if (!is_odd(count >> level))
            continue;
        at -= UINT64_C(1) << level;
        status = source->node(source->context, level, at >> level, &node);
        if (status != FM_OK)
            return status;
        if (has_hash)
            fm_node_hash(&hash, &node, &hash);
        else
            hash = node;
        has_hash = true;
    }
    fm_assert(at == begin);
    *out = hash;
    return FM_OK;
}

/* The largest power of two below `count` (RFC 6962 2.1: k). */
static uint64_t split(uint64_t count)
{
    fm_assert(count > 1);
    return UINT64_C(1) << (63 - __builtin_clzll(count - 1));
}

static enum fm_status push(const struct fm_proof_source *source, uint64_t begin, uint64_t end,
                           struct fm_proof *proof)
{
    fm_assert(proof->count < FM_PROOF_NODES_MAX);
    return hash_range(source, begin, end, &proof->nodes[proof->count++]);
}

/* Collected on the way down, handed out from the leaves up. */
static void reverse(struct fm_proof *proof)
{
    for (uint32_t i = 0; i < proof->count / 2; i++) {
        struct fm_hash hash = proof->nodes[i];

        proof->nodes[i] = proof->nodes[proof->count - 1 - i];
        proof->nodes[proof->count - 1 - i] = hash;
    }
}

enum fm_status fm_proof_root(const struct fm_proof_source *source, uint64_t size,
                             struct fm_hash *out)
{
    if (size > 0)
        return hash_range(source, 0, size, out);
    fm_sha256(out, NULL, 0);
    return FM_OK;
}

enum fm_status fm_proof_inclusion(const struct fm_proof_source *source, uint64_t index,
                                  uint64_t size, struct fm_proof *out)
{
    struct fm_proof proof = {.count = 0};
    uint64_t begin = 0;
    uint64_t end = size;
    enum fm_status status = FM_OK;

    if (index >= size)
        return FM_INVALID;
    while (status == FM_OK && end - begin > 1) {
        uint64_t middle = begin + split(end - begin);

        if (index < middle) {
            status = push(source, middle, end, &proof);
            end = middle;
        } else {
            status = push(source, begin, middle, &proof);
            begin = middle;
        }
    }
    if (status != FM_OK)
        return status;
    reverse(&proof);
    *out = proof;
    return FM_OK;
}

enum fm_status fm_proof_consistency(const struct fm_proof_source *source, uint64_t old_size,
                                    uint64_t new_size, struct fm_proof *out)
{
    struct fm_proof proof = {.count = 0};
    uint64_t begin = 0;
    uint64_t end = new_size;
    enum fm_status status = FM_OK;

    if (old_size > new_size)
        return FM_INVALID;
    /* SUBPROOF of RFC 6962 2.1.2, down to where the old tree ends; nothing for an empty one. */
    while (status == FM_OK && old_size > 0 && end != old_size) {
        uint64_t middle = begin + split(end - begin);

        if (old_size <= middle) {
            status = push(source, middle, end, &proof);
            end = middle;
        } else {
            status = push(source, begin, middle, &proof);
            begin = middle;
        }
    }
    /* The old root itself is known to whoever checks. */
    if (status == FM_OK && begin > 0)
        status = push(source, begin, end, &proof);
    if (status != FM_OK)
        return status;
    reverse(&proof);
    *out = proof;
    return FM_OK;
}
