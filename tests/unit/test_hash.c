/* SHA-256 and the RFC 6962 tree against published values and a second implementation. */
#include "core/hash.h"
#include "core/hash_stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LEAVES_MAX 300u

/* The eight leaves of the Certificate Transparency reference tests and the roots over the first
 * one to eight of them (google/certificate-transparency, merkle_tree_test.cc; Go's
 * transparency-dev/merkle has the same). */
static const char *const reference_leaves[] = {
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
};
static const char *const reference_roots[] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static void assert_hash(const struct fm_hash *hash, const char *hex)
{
    char text[2 * FM_HASH_BYTES + 1];

    fm_hex(hash->bytes, sizeof hash->bytes, text);
    assert_string_equal(text, hex);
}

/* RFC 6962 section 2.1 word for word: split at the largest power of two below n. */
static void slow_root(const struct fm_hash *leaves, size_t count, struct fm_hash *out)
{
    struct fm_hash left, right;
    uint8_t bytes[65] = {0x01};
    size_t split = 1;

    if (count == 0) {
        fm_sha256_one(out, fm_span(NULL, 0));
        return;
    }
    if (count == 1) {
        *out = leaves[0];
        return;
    }
    while (split * 2 < count)
        split *= 2;
    slow_root(leaves, split, &left);
    slow_root(leaves + split, count - split, &right);
    memcpy(bytes + 1, left.bytes, 32);
    memcpy(bytes + 33, right.bytes, 32);
    fm_sha256_one(out, fm_span(bytes, sizeof bytes));
}

static void make_leaves(struct fm_hash leaves[LEAVES_MAX])
{
    for (uint32_t i = 0; i < LEAVES_MAX; i++)
        fm_leaf_hash(&leaves[i], fm_span(&i, sizeof i));
}

static void sha256_gives_the_published_values(void **state)
{
    (void)state;
    struct fm_hash hash;

    fm_sha256_one(&hash, fm_span_str("abc"));
    assert_hash(&hash, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    fm_sha256_one(&hash, fm_span_str("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"));
    assert_hash(&hash, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    fm_sha256(&hash, NULL, 0);
    assert_hash(&hash, reference_roots[0]);
}

static void spans_are_hashed_one_after_the_other(void **state)
{
    (void)state;
    const struct fm_span spans[] = {fm_span_str("a"), fm_span(NULL, 0), fm_span_str("bc")};
    struct fm_hash parts, whole;

    fm_sha256(&parts, spans, 3);
    fm_sha256_one(&whole, fm_span_str("abc"));
    assert_true(fm_hash_equal(&parts, &whole));
    parts.bytes[31] ^= 1;
    assert_false(fm_hash_equal(&parts, &whole));
}

static void tree_gives_the_reference_roots(void **state)
{
    (void)state;
    struct fm_tree tree;
    struct fm_hash hash;
    uint8_t data[16];

    fm_tree_init(&tree);
    fm_tree_root(&tree, &hash);
    assert_hash(&hash, reference_roots[0]);
    for (size_t i = 0; i < 8; i++) {
        size_t len = strlen(reference_leaves[i]) / 2;
        assert_int_equal(fm_unhex(reference_leaves[i], data, len), FM_OK);
        fm_leaf_hash(&hash, fm_span(data, len));
        fm_tree_append(&tree, &hash);
        fm_tree_root(&tree, &hash);
        assert_hash(&hash, reference_roots[i + 1]);
    }
}

static void tree_agrees_with_the_recursive_definition(void **state)
{
    (void)state;
    struct fm_hash leaves[LEAVES_MAX], fast, slow;
    struct fm_tree tree, many;

    make_leaves(leaves);
    fm_tree_init(&tree);
    for (size_t size = 0; size < LEAVES_MAX; size++) {
        fm_tree_root(&tree, &fast);
        slow_root(leaves, size, &slow);
        assert_true(fm_hash_equal(&fast, &slow));
        fm_tree_init(&many);
        fm_tree_append_many(&many, leaves[0].bytes, size);
        fm_tree_root(&many, &fast);
        assert_true(fm_hash_equal(&fast, &slow));
        fm_tree_append(&tree, &leaves[size]);
    }
}

/* A tree that was stored and read back goes on as if it had stayed in memory. */
static void tree_survives_encoding(void **state)
{
    (void)state;
    struct fm_hash leaves[LEAVES_MAX], before, after;
    struct fm_tree tree, copy;
    struct fm_buf buf = FM_BUF_INIT(0);

    make_leaves(leaves);
    fm_tree_init(&tree);
    for (size_t size = 0; size < LEAVES_MAX; size++) {
        fm_buf_clear(&buf);
        fm_tree_encode(&buf, &tree);
        assert_int_equal(fm_buf_status(&buf), FM_OK);
        assert_int_equal(buf.len, 8 + 32 * (size_t)__builtin_popcountll(size));
        assert_int_equal(fm_tree_decode(fm_buf_span(&buf), &copy), FM_OK);
        fm_tree_append(&tree, &leaves[size]);
        fm_tree_append(&copy, &leaves[size]);
        fm_tree_root(&tree, &before);
        fm_tree_root(&copy, &after);
        assert_true(fm_hash_equal(&before, &after));
    }
    fm_buf_free(&buf);
}

static void tree_decoding_refuses_other_lengths(void **state)
{
    (void)state;
    struct fm_hash leaf;
    struct fm_tree tree, copy;
    struct fm_buf buf = FM_BUF_INIT(0);

    fm_leaf_hash(&leaf, fm_span_str("x"));
    fm_tree_init(&tree);
    for (int i = 0; i < 3; i++)
        fm_tree_append(&tree, &leaf);
    fm_tree_encode(&buf, &tree);
    for (size_t len = 0; len < buf.len; len++)
        assert_int_equal(fm_tree_decode(fm_span(buf.data, len), &copy), FM_MALFORMED);
    fm_buf_put_u8(&buf, 0);
    assert_int_equal(fm_tree_decode(fm_buf_span(&buf), &copy), FM_MALFORMED);
    fm_buf_free(&buf);
}

static void a_stream_gives_the_same_whatever_the_pieces(void **state)
{
    (void)state;
    uint8_t bytes[300];
    struct fm_hash whole, pieces;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    fm_sha256_one(&whole, fm_span(bytes, sizeof bytes));
    for (size_t piece = 1; piece <= sizeof bytes; piece++) {
        struct fm_hash_stream stream;

        fm_hash_begin(&stream);
        for (size_t at = 0; at < sizeof bytes; at += piece)
            fm_hash_put(&stream,
                        fm_span(bytes + at, sizeof bytes - at < piece ? sizeof bytes - at : piece));
        fm_hash_end(&stream, &pieces);
        assert_true(fm_hash_equal(&whole, &pieces));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_gives_the_published_values),
        cmocka_unit_test(spans_are_hashed_one_after_the_other),
        cmocka_unit_test(tree_gives_the_reference_roots),
        cmocka_unit_test(tree_agrees_with_the_recursive_definition),
        cmocka_unit_test(tree_survives_encoding),
        cmocka_unit_test(tree_decoding_refuses_other_lengths),
        cmocka_unit_test(a_stream_gives_the_same_whatever_the_pieces),
    };
    return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
