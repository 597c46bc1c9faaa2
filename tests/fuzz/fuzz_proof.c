/* Proofs of strangers about a tree that is known: kind, two sizes, then the proof's nodes, each as
 * a byte and, where that is 0, 32 bytes of its own; else node number byte - 1 of the true proof.
 * The verifiers agree with those written from the RFC, and accept nothing but the true proof. */
#include "core/proof.h"

#include "core/assert.h"
#include "tests/support/rfc6962.h"

#define LEAVES 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

_Static_assert(sizeof(struct rfc_hash) == sizeof(struct fm_hash), "the same bytes");

struct known {
    bool is_made;
    struct rfc_hash leaves[LEAVES];
    struct rfc_hash roots[LEAVES + 1];
};

static const struct known *known_tree(void)
{
    static struct known known; /* The same in every run. */

    if (known.is_made)
        return &known;
    for (uint32_t i = 0; i < LEAVES; i++)
        rfc_leaf(&i, sizeof i, &known.leaves[i]);
    for (uint32_t n = 0; n <= LEAVES; n++)
        rfc_root(known.leaves, n, &known.roots[n]);
    known.is_made = true;
    return &known;
}

static const struct fm_hash *hash_of(const struct rfc_hash *hash)
{
    return (const struct fm_hash *)(const void *)hash;
}

/* At most one node more than there may be. */
static void read_nodes(struct fm_cursor *cursor, const struct rfc_hash *truth, size_t true_count,
                       struct rfc_hash out[RFC_NODES_MAX], uint32_t *count)
{
    uint8_t which;

    for (*count = 0; *count < FM_PROOF_NODES_MAX && fm_take_u8(cursor, &which) == FM_OK; ++*count) {
        struct fm_span own;

        if (which > 0 && true_count > 0)
            out[*count] = truth[(size_t)(which - 1) % true_count];
        else if (fm_take_bytes(cursor, sizeof out->bytes, &own) == FM_OK)
            memcpy(out[*count].bytes, own.data, own.len);
        else
            return;
    }
}

/* Sizes far from the tree: only that both verifiers say the same, whatever it is. */
static void compare_far(const struct known *known, uint64_t first, uint64_t size,
                        const struct fm_proof *proof, const struct rfc_hash *nodes)
{
    const struct rfc_hash *leaf = &known->leaves[0], *root = &known->roots[LEAVES];
    bool holds = rfc_path_holds(leaf, first, size, nodes, proof->count, root);

    fm_assert(holds == (fm_proof_check_inclusion(proof, hash_of(leaf), first, size,
                                                 hash_of(root)) == FM_OK));
    if (first == 0)
        return;
    holds = rfc_proof_holds(first, leaf, size, root, nodes, proof->count);
    fm_assert(holds == (fm_proof_check_consistency(proof, first, hash_of(leaf), size,
                                                   hash_of(root)) == FM_OK));
}

static void compare(const struct known *known, bool is_path, uint64_t first, uint64_t size,
                    struct fm_cursor *cursor)
{
    struct rfc_hash truth[RFC_NODES_MAX], nodes[RFC_NODES_MAX];
    const struct rfc_hash *start, *root;
    struct fm_proof proof;
    size_t true_count = 0;
    bool holds, accepted;

    if (first < size && size <= LEAVES && (is_path || first > 0))
        true_count = is_path ? rfc_path(first, known->leaves, size, truth)
                             : rfc_proof(first, known->leaves, size, truth);
    read_nodes(cursor, truth, true_count, nodes, &proof.count);
    memcpy(proof.nodes, nodes, proof.count * sizeof nodes[0]);
    if (size > LEAVES || first >= size || (!is_path && first == 0)) {
        compare_far(known, first, size, &proof, nodes);
        return;
    }
    start = is_path ? &known->leaves[first] : &known->roots[first];
    root = &known->roots[size];
    holds = is_path ? rfc_path_holds(start, first, size, nodes, proof.count, root)
                    : rfc_proof_holds(first, start, size, root, nodes, proof.count);
    accepted =
        (is_path ? fm_proof_check_inclusion(&proof, hash_of(start), first, size, hash_of(root))
                 : fm_proof_check_consistency(&proof, first, hash_of(start), size,
                                              hash_of(root))) == FM_OK;
    fm_assert(holds == accepted);
    fm_assert(accepted == (proof.count == true_count &&
                           memcmp(nodes, truth, true_count * sizeof nodes[0]) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_cursor cursor = fm_cursor(fm_span(data, size));
    uint64_t first, second;
    uint8_t kind;

    if (fm_take_u8(&cursor, &kind) != FM_OK || fm_take_u64(&cursor, &first) != FM_OK ||
        fm_take_u64(&cursor, &second) != FM_OK)
        return 0;
    if ((kind & 2) == 0) { /* Most of the time within the tree. */
        second = 1 + second % LEAVES;
        first %= second;
    }
    compare(known_tree(), (kind & 1) != 0, first, second, &cursor);
    return 0;
}
