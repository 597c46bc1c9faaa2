/* Proofs of the RFC 6962 tree: published vectors, all small sizes against a second implementation
 * written from the RFC, every change refused, and trees too large to be there. */
#include "core/proof.h"

#include "tests/support/rfc6962.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIZE_MAX_TESTED 130u
#define VECTOR_NODES_MAX 3u

_Static_assert(sizeof(struct rfc_hash) == sizeof(struct fm_hash), "compared byte by byte");

struct fixture {
    struct fm_hash leaves[SIZE_MAX_TESTED];
    struct rfc_hash rfc_leaves[SIZE_MAX_TESTED];
    struct fm_hash roots[SIZE_MAX_TESTED + 1];
    unsigned asked;
    unsigned fail_at; /* The source's call that fails; 0: none. */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    for (uint32_t i = 0; i < SIZE_MAX_TESTED; i++) {
        fm_leaf_hash(&f->leaves[i], fm_span(&i, sizeof i));
        rfc_leaf(&i, sizeof i, &f->rfc_leaves[i]);
        assert_memory_equal(&f->leaves[i], &f->rfc_leaves[i], FM_HASH_BYTES);
    }
    for (uint32_t n = 0; n <= SIZE_MAX_TESTED; n++) {
        struct rfc_hash root;

        rfc_root(f->rfc_leaves, n, &root);
        memcpy(&f->roots[n], &root, FM_HASH_BYTES);
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

static enum fm_status leaf_node(void *context, unsigned level, uint64_t index, struct fm_hash *out)
{
    struct fixture *f = context;
    struct fm_tree tree;

    if (++f->asked == f->fail_at)
        return FM_IO;
    assert_true(level < 8);
    assert_true((index + 1) << level <= SIZE_MAX_TESTED);
    fm_tree_init(&tree);
    fm_tree_append_many(&tree, f->leaves[index << level].bytes, UINT64_C(1) << level);
    fm_tree_root(&tree, out);
    return FM_OK;
}

/* ---- Published vectors ----------------------------------------------------------------------- */

/* google/certificate-transparency, cpp/merkletree/merkle_tree_test.cc; the same in
 * transparency-dev/merkle. Leaves and roots are in test_hash.c. */
static const char *const reference_leaves[8] = {"",
                                                "00",
                                                "10",
                                                "2021",
                                                "3031",
                                                "40414243",
                                                "5051525354555657",
                                                "606162636465666768696a6b6c6d6e6f"};

#define LEAF_1 "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
#define LEAF_4 "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
#define LEAF_6 "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f"
#define ROOT_1 "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
#define ROOT_2 "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
#define ROOT_4 "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"
#define NODE_2_4 "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
#define NODE_4_6 "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
#define NODE_6_8 "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
#define NODE_4_8 "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"

struct vector {
    uint64_t first; /* Index of a leaf, or old size. */
    uint64_t size;
    uint32_t count;
    const char *nodes[VECTOR_NODES_MAX];
};

static const struct vector paths[] = {
    {0, 1, 0, {NULL}},
    {0, 8, 3, {LEAF_1, NODE_2_4, NODE_4_8}},
    {5, 8, 3, {LEAF_4, NODE_6_8, ROOT_4}},
    {2, 3, 1, {ROOT_2}},
    {1, 5, 3, {ROOT_1, NODE_2_4, LEAF_4}},
};

static const struct vector proofs[] = {
    {1, 1, 0, {NULL}},
    {1, 8, 3, {LEAF_1, NODE_2_4, NODE_4_8}},
    {6, 8, 3, {NODE_4_6, NODE_6_8, ROOT_4}},
    {2, 5, 2, {NODE_2_4, LEAF_4}},
    {6, 7, 3, {NODE_4_6, LEAF_6, ROOT_4}},
};

static void take_reference_leaves(struct fixture *f)
{
    for (size_t i = 0; i < 8; i++) {
        size_t len = strlen(reference_leaves[i]) / 2;
        uint8_t data[16];

        assert_int_equal(fm_unhex(reference_leaves[i], data, len), FM_OK);
        fm_leaf_hash(&f->leaves[i], fm_span(data, len));
    }
}

static void check_vector(const struct vector *vector, const struct fm_proof *proof)
{
    assert_int_equal(proof->count, vector->count);
    for (uint32_t i = 0; i < proof->count; i++) {
        char text[2 * FM_HASH_BYTES + 1];

        fm_hex(proof->nodes[i].bytes, FM_HASH_BYTES, text);
        assert_string_equal(text, vector->nodes[i]);
    }
}

static void proofs_are_the_published_ones(void **state)
{
    struct fixture *f = *state;
    struct fm_proof_source source = {.node = leaf_node, .context = f};
    struct fm_hash before, after;
    struct fm_proof proof;

    take_reference_leaves(f);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        assert_int_equal(fm_proof_inclusion(&source, paths[i].first, paths[i].size, &proof), FM_OK);
        check_vector(&paths[i], &proof);
        assert_int_equal(fm_proof_root(&source, paths[i].size, &after), FM_OK);
        assert_int_equal(fm_proof_check_inclusion(&proof, &f->leaves[paths[i].first],
                                                  paths[i].first, paths[i].size, &after),
                         FM_OK);
    }
    for (size_t i = 0; i < sizeof proofs / sizeof proofs[0]; i++) {
        assert_int_equal(fm_proof_consistency(&source, proofs[i].first, proofs[i].size, &proof),
                         FM_OK);
        check_vector(&proofs[i], &proof);
        assert_int_equal(fm_proof_root(&source, proofs[i].first, &before), FM_OK);
        assert_int_equal(fm_proof_root(&source, proofs[i].size, &after), FM_OK);
        assert_int_equal(
            fm_proof_check_consistency(&proof, proofs[i].first, &before, proofs[i].size, &after),
            FM_OK);
    }
}

/* ---- All small sizes ------------------------------------------------------------------------- */

static const struct rfc_hash *rfc_of(const struct fm_hash *hash)
{
    return (const struct rfc_hash *)(const void *)hash;
}

static void inclusion_agrees_with_the_rfc(void **state)
{
    struct fixture *f = *state;
    struct fm_proof_source source = {.node = leaf_node, .context = f};
    struct rfc_hash nodes[RFC_NODES_MAX];
    struct fm_proof proof;
    struct fm_hash root;

    for (uint64_t n = 0; n <= SIZE_MAX_TESTED; n++) {
        assert_int_equal(fm_proof_root(&source, n, &root), FM_OK);
        assert_true(fm_hash_equal(&root, &f->roots[n]));
        assert_int_equal(fm_proof_inclusion(&source, n, n, &proof), FM_INVALID);
        for (uint64_t m = 0; m < n; m++) {
            assert_int_equal(fm_proof_inclusion(&source, m, n, &proof), FM_OK);
            assert_int_equal(proof.count, rfc_path(m, f->rfc_leaves, n, nodes));
            assert_memory_equal(proof.nodes, nodes, proof.count * FM_HASH_BYTES);
            assert_true(rfc_path_holds(&f->rfc_leaves[m], m, n, rfc_of(proof.nodes), proof.count,
                                       rfc_of(&root)));
            assert_int_equal(fm_proof_check_inclusion(&proof, &f->leaves[m], m, n, &root), FM_OK);
        }
    }
}

static void consistency_agrees_with_the_rfc(void **state)
{
    struct fixture *f = *state;
    struct fm_proof_source source = {.node = leaf_node, .context = f};
    struct rfc_hash nodes[RFC_NODES_MAX];
    struct fm_proof proof;

    for (uint64_t n = 0; n <= SIZE_MAX_TESTED; n++) {
        assert_int_equal(fm_proof_consistency(&source, n + 1, n, &proof), FM_INVALID);
        for (uint64_t m = 0; m <= n; m++) {
            assert_int_equal(fm_proof_consistency(&source, m, n, &proof), FM_OK);
            assert_int_equal(proof.count, m == 0 ? 0 : rfc_proof(m, f->rfc_leaves, n, nodes));
            assert_memory_equal(proof.nodes, nodes, proof.count * FM_HASH_BYTES);
            if (m > 0)
                assert_true(rfc_proof_holds(m, rfc_of(&f->roots[m]), n, rfc_of(&f->roots[n]),
                                            rfc_of(proof.nodes), proof.count));
            assert_int_equal(fm_proof_check_consistency(&proof, m, &f->roots[m], n, &f->roots[n]),
                             FM_OK);
        }
    }
}

/* ---- Changes ---------------------------------------------------------------------------------
 * A statement with its proof, of either kind. For inclusion `first` is the index and `start` the
 * leaf's hash; for consistency they are the old size and root. */
struct statement {
    bool is_path;
    uint64_t first;
    uint64_t size;
    struct fm_hash start;
    struct fm_hash root;
    struct fm_proof proof;
};

static void make_statement(struct fixture *f, bool is_path, uint64_t first, uint64_t size,
                           struct statement *out)
{
    struct fm_proof_source source = {.node = leaf_node, .context = f};

    *out = (struct statement){.is_path = is_path,
                              .first = first,
                              .size = size,
                              .start = is_path ? f->leaves[first] : f->roots[first],
                              .root = f->roots[size]};
    assert_int_equal(is_path ? fm_proof_inclusion(&source, first, size, &out->proof)
                             : fm_proof_consistency(&source, first, size, &out->proof),
                     FM_OK);
}

static enum fm_status check(const struct statement *s)
{
    return s->is_path
               ? fm_proof_check_inclusion(&s->proof, &s->start, s->first, s->size, &s->root)
               : fm_proof_check_consistency(&s->proof, s->first, &s->start, s->size, &s->root);
}

static void assert_refused(const struct statement *s)
{
    assert_int_equal(check(s), FM_FORGED);
    if (s->proof.count > FM_PROOF_NODES_MAX)
        return;
    if (s->is_path)
        assert_false(rfc_path_holds(rfc_of(&s->start), s->first, s->size, rfc_of(s->proof.nodes),
                                    s->proof.count, rfc_of(&s->root)));
    else
        assert_false(rfc_proof_holds(s->first, rfc_of(&s->start), s->size, rfc_of(&s->root),
                                     rfc_of(s->proof.nodes), s->proof.count));
}

static void refuse_flipped_bits(const struct statement *good)
{
    struct statement s = *good;

    for (unsigned bit = 0; bit < 8 * FM_HASH_BYTES; bit++) {
        uint8_t mask = (uint8_t)(1u << (bit % 8));

        for (uint32_t i = 0; i < s.proof.count; i++) {
            s.proof.nodes[i].bytes[bit / 8] ^= mask;
            assert_refused(&s);
            s.proof.nodes[i].bytes[bit / 8] ^= mask;
        }
        s.root.bytes[bit / 8] ^= mask;
        assert_refused(&s);
        s.root.bytes[bit / 8] ^= mask;
        s.start.bytes[bit / 8] ^= mask;
        assert_refused(&s);
        s.start.bytes[bit / 8] ^= mask;
    }
    assert_int_equal(check(&s), FM_OK);
}

static void refuse_other_counts(const struct statement *good)
{
    struct statement s = *good;

    for (uint32_t i = 0; i < good->proof.count; i++) { /* One left out, one twice, two swapped. */
        s.proof = good->proof;
        s.proof.count--;
        memmove(&s.proof.nodes[i], &s.proof.nodes[i + 1],
                (s.proof.count - i) * sizeof s.proof.nodes[0]);
        assert_refused(&s);
        s.proof = good->proof;
        memmove(&s.proof.nodes[i + 1], &s.proof.nodes[i],
                (s.proof.count - i) * sizeof s.proof.nodes[0]);
        s.proof.count++;
        assert_refused(&s);
        if (i == 0)
            continue;
        s.proof = good->proof;
        s.proof.nodes[i] = good->proof.nodes[i - 1];
        s.proof.nodes[i - 1] = good->proof.nodes[i];
        assert_refused(&s);
    }
    s.proof = good->proof; /* Nodes that add nothing, and more than there may be. */
    s.proof.nodes[s.proof.count++] = s.root;
    assert_refused(&s);
    s.proof = good->proof;
    s.proof.count = FM_PROOF_NODES_MAX + 1;
    assert_refused(&s);
    s.proof.count = UINT32_MAX;
    assert_refused(&s);
}

/* Another index is another leaf. Another size is not always another statement about the same nodes:
 * an early leaf's path does not show how the right edge goes on (the root is signed with its size).
 * There the second implementation says what is right. */
static void compare_other_numbers(const struct statement *good, bool *was_refused)
{
    struct statement s = *good;

    *was_refused = true;
    for (uint64_t first = 0; first <= SIZE_MAX_TESTED; first++) {
        s.first = first;
        if (first != good->first && good->is_path)
            assert_refused(&s);
        else if (first != good->first)
            assert_int_not_equal(check(&s), FM_OK);
    }
    s.first = good->first;
    for (uint64_t size = 0; size <= SIZE_MAX_TESTED; size++) {
        bool holds;

        s.size = size;
        if (size == good->size || (!s.is_path && s.first == 0))
            continue;
        holds = s.is_path ? rfc_path_holds(rfc_of(&s.start), s.first, size, rfc_of(s.proof.nodes),
                                           s.proof.count, rfc_of(&s.root))
                          : rfc_proof_holds(s.first, rfc_of(&s.start), size, rfc_of(&s.root),
                                            rfc_of(s.proof.nodes), s.proof.count);
        assert_int_equal(check(&s), holds ? FM_OK : FM_FORGED);
        *was_refused = *was_refused && !holds;
    }
}

static void every_change_is_refused(void **state)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 100, 129};
    struct fixture *f = *state;
    struct statement s;
    bool was_refused;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (uint64_t first = 0; first < sizes[i]; first += 1 + first / 8) {
            make_statement(f, true, first, sizes[i], &s);
            refuse_flipped_bits(&s);
            refuse_other_counts(&s);
            compare_other_numbers(&s, &was_refused);
            if (first == sizes[i] - 1)
                assert_true(was_refused); /* The last leaf's path tells the size. */
            if (first == 0)
                continue;
            make_statement(f, false, first, sizes[i], &s);
            refuse_flipped_bits(&s);
            refuse_other_counts(&s);
            compare_other_numbers(&s, &was_refused);
        }
    }
}

/* The empty tree is a beginning of all, but has one root and no nodes; equal sizes have equal
 * roots. */
static void trivial_consistency_is_strict(void **state)
{
    struct fixture *f = *state;
    struct fm_proof none = {.count = 0};
    struct fm_proof one = {.count = 1};

    assert_int_equal(fm_proof_check_consistency(&none, 0, &f->roots[0], 0, &f->roots[0]), FM_OK);
    assert_int_equal(fm_proof_check_consistency(&none, 0, &f->roots[0], 9, &f->roots[9]), FM_OK);
    assert_int_equal(fm_proof_check_consistency(&none, 9, &f->roots[9], 9, &f->roots[9]), FM_OK);
    assert_int_equal(fm_proof_check_consistency(&none, 0, &f->roots[1], 9, &f->roots[9]),
                     FM_FORGED);
    assert_int_equal(fm_proof_check_consistency(&none, 0, &f->roots[0], 0, &f->roots[9]),
                     FM_FORGED);
    assert_int_equal(fm_proof_check_consistency(&none, 9, &f->roots[8], 9, &f->roots[9]),
                     FM_FORGED);
    assert_int_equal(fm_proof_check_consistency(&none, 9, &f->roots[9], 8, &f->roots[8]),
                     FM_FORGED);
    assert_int_equal(fm_proof_check_consistency(&one, 0, &f->roots[0], 9, &f->roots[9]), FM_FORGED);
    assert_int_equal(fm_proof_check_consistency(&one, 9, &f->roots[9], 9, &f->roots[9]), FM_FORGED);
    assert_int_equal(fm_proof_check_inclusion(&none, &f->roots[0], 0, 0, &f->roots[0]), FM_FORGED);
    assert_int_equal(fm_proof_check_inclusion(&none, &f->roots[1], 0, 1, &f->roots[1]), FM_OK);
}

/* ---- Large trees ----------------------------------------------------------------------------- */

/* All leaves are equal, so all nodes of a level are. */
static enum fm_status uniform_node(void *context, unsigned level, uint64_t index,
                                   struct fm_hash *out)
{
    const struct fm_hash *levels = context;

    (void)index;
    assert_true(level < 64);
    *out = levels[level];
    return FM_OK;
}

/* The largest sizes there are: proofs of every length that fits. */
static void largest_trees_have_proofs(void **state)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 1, (UINT64_C(1) << 63) + 1,
                                     UINT64_C(1) << 63, UINT64_C(0xaaaaaaaaaaaaaaaa)};
    struct fm_hash levels[64];
    struct fm_proof_source source = {.node = uniform_node, .context = levels};
    uint32_t longest = 0;

    (void)state;
    fm_leaf_hash(&levels[0], fm_span_str("all"));
    for (unsigned i = 1; i < 64; i++)
        fm_node_hash(&levels[i], &levels[i - 1], &levels[i - 1]);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct fm_hash before, after;
        struct fm_proof proof;

        assert_int_equal(fm_proof_root(&source, sizes[i], &after), FM_OK);
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t first = sizes[i] - (sizes[i] >> bit >> 1) - 1;

            assert_int_equal(fm_proof_inclusion(&source, first, sizes[i], &proof), FM_OK);
            assert_int_equal(fm_proof_check_inclusion(&proof, &levels[0], first, sizes[i], &after),
                             FM_OK);
            assert_int_equal(fm_proof_consistency(&source, first, sizes[i], &proof), FM_OK);
            assert_int_equal(fm_proof_root(&source, first, &before), FM_OK);
            assert_int_equal(fm_proof_check_consistency(&proof, first, &before, sizes[i], &after),
                             FM_OK);
            if (proof.count > longest)
                longest = proof.count;
        }
    }
    assert_true(longest >= 64);
    assert_true(longest <= FM_PROOF_NODES_MAX);
}

/* Whatever call of the source fails, that is the answer and nothing was written. */
static void failures_of_the_source_are_passed_on(void **state)
{
    struct fixture *f = *state;
    struct fm_proof_source source = {.node = leaf_node, .context = f};
    unsigned calls;

    for (int kind = 0; kind < 2; kind++) {
        struct fm_proof proof = {.count = 77};
        enum fm_status status = FM_IO;

        for (calls = 1; status == FM_IO; calls++) {
            f->asked = 0;
            f->fail_at = calls;
            status = kind == 0 ? fm_proof_inclusion(&source, 70, 101, &proof)
                               : fm_proof_consistency(&source, 70, 101, &proof);
            assert_true(status == FM_OK || (status == FM_IO && proof.count == 77));
        }
        assert_int_equal(status, FM_OK);
        assert_true(calls > 5);
    }
}

/* What a tree tells while it grows is every perfect subtree, once. */
struct told {
    const struct fixture *f;
    unsigned count;
};

static void take_subtree(void *context, unsigned level, uint64_t index, const struct fm_hash *hash)
{
    struct told *told = context;
    struct rfc_hash root;

    assert_true(level >= 1);
    rfc_root(told->f->rfc_leaves + (index << level), UINT64_C(1) << level, &root);
    assert_memory_equal(&root, hash, FM_HASH_BYTES);
    told->count++;
}

static void a_growing_tree_tells_its_subtrees(void **state)
{
    struct fixture *f = *state;
    struct told told = {.f = f};
    struct fm_tree tree;
    struct fm_hash root;

    fm_tree_init(&tree);
    fm_tree_append_each(&tree, f->leaves[0].bytes, 13, take_subtree, &told);
    fm_tree_append_each(&tree, f->leaves[13].bytes, 117, take_subtree, &told);
    assert_int_equal(told.count, 65 + 32 + 16 + 8 + 4 + 2 + 1);
    fm_tree_root(&tree, &root);
    assert_true(fm_hash_equal(&root, &f->roots[130]));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(proofs_are_the_published_ones),     TEST(inclusion_agrees_with_the_rfc),
        TEST(consistency_agrees_with_the_rfc),   TEST(every_change_is_refused),
        TEST(trivial_consistency_is_strict),     TEST(largest_trees_have_proofs),
        TEST(a_growing_tree_tells_its_subtrees), TEST(failures_of_the_source_are_passed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
