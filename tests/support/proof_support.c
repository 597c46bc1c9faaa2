#include "tests/support/proof_support.h"

#include "storage/reading.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TABLE 1u

static const struct rfc_hash *rfc_of(const struct fm_hash *hash)
{
    return (const struct rfc_hash *)(const void *)hash;
}

void proof_leaf(struct fm_snapshot *snapshot, uint64_t sequence, struct rfc_hash *out)
{
    struct fm_buf leaf = FM_BUF_INIT(0);
    struct fm_error err = {0};

    if (fm_snapshot_leaf(snapshot, "tests", "rows", sequence, &leaf, &err) != FM_OK)
        fail_msg("leaf of fact %llu: %s", (unsigned long long)sequence, err.text);
    rfc_leaf(leaf.data, leaf.len, out);
    fm_buf_free(&leaf);
}

static void check_fact(struct fm_snapshot *snapshot, uint64_t sequence, const struct head *head,
                       const struct rfc_hash *leaf)
{
    struct rfc_hash other = *leaf;
    struct fm_proof proof;
    struct fm_error err = {0};

    if (fm_snapshot_inclusion(snapshot, "tests", "rows", sequence, head->size, &proof, &err) !=
        FM_OK)
        fail_msg("fact %llu of %llu: %s", (unsigned long long)sequence,
                 (unsigned long long)head->size, err.text);
    if (!rfc_path_holds(leaf, sequence, head->size, rfc_of(proof.nodes), proof.count,
                        rfc_of(&head->root)))
        fail_msg("the proof of fact %llu of %llu does not hold", (unsigned long long)sequence,
                 (unsigned long long)head->size);
    assert_int_equal(fm_proof_check_inclusion(&proof, (const struct fm_hash *)(const void *)leaf,
                                              sequence, head->size, &head->root),
                     FM_OK);
    assert_false(rfc_path_holds(leaf, sequence ^ 1, head->size, rfc_of(proof.nodes), proof.count,
                                rfc_of(&head->root)));
    other.bytes[sequence % 32] ^= 1;
    assert_false(rfc_path_holds(&other, sequence, head->size, rfc_of(proof.nodes), proof.count,
                                rfc_of(&head->root)));
}

void proof_check_fact(struct fm_snapshot *snapshot, uint64_t sequence, const struct head *head)
{
    struct rfc_hash leaf;

    proof_leaf(snapshot, sequence, &leaf);
    check_fact(snapshot, sequence, head, &leaf);
}

void proof_check_all(struct fm_snapshot *snapshot, const struct head *head)
{
    const struct snapshot_table *table = snapshot_find(snapshot, "tests", "rows");
    struct rfc_hash *leaves = calloc((size_t)head->size, sizeof *leaves);
    struct rfc_hash root, leaf;
    struct fm_error err = {0};

    assert_non_null(leaves);
    for (uint64_t i = 0; i < head->size; i += 1000) { /* One by one they take long to read. */
        uint64_t left = head->size - i;

        if (stored_leaf_hashes(table->state, snapshot->rocks, i,
                               left < 1000 ? (uint32_t)left : 1000, leaves[i].bytes, &err) != FM_OK)
            fail_msg("leaves from %llu: %s", (unsigned long long)i, err.text);
        proof_leaf(snapshot, i + left / 2 % 1000, &leaf);
        assert_memory_equal(&leaf, &leaves[i + left / 2 % 1000], sizeof leaf);
    }
    for (uint64_t i = 0; i < head->size; i++)
        check_fact(snapshot, i, head, &leaves[i]);
    rfc_root(leaves, head->size, &root);
    assert_memory_equal(&root, &head->root, sizeof root);
    free(leaves);
}

void proof_check_heads(struct fm_snapshot *snapshot, const struct head *before,
                       const struct head *after)
{
    struct fm_hash other = before->root;
    struct fm_proof proof;
    struct fm_error err = {0};

    if (fm_snapshot_consistency(snapshot, "tests", "rows", before->size, after->size, &proof,
                                &err) != FM_OK)
        fail_msg("%llu and %llu: %s", (unsigned long long)before->size,
                 (unsigned long long)after->size, err.text);
    assert_int_equal(
        fm_proof_check_consistency(&proof, before->size, &before->root, after->size, &after->root),
        FM_OK);
    other.bytes[after->size % 32] ^= 1;
    assert_int_equal(
        fm_proof_check_consistency(&proof, before->size, &other, after->size, &after->root),
        FM_FORGED);
    if (before->size == 0)
        return;
    assert_true(rfc_proof_holds(before->size, rfc_of(&before->root), after->size,
                                rfc_of(&after->root), rfc_of(proof.nodes), proof.count));
}

/* ---- What is stored -------------------------------------------------------------------------- */

static struct rocks *open_rocks(const char *dir)
{
    struct rocks_options options = {.cache_bytes = 1u << 20};
    char path[STORE_DIR_MAX + 8];
    struct rocks *rocks = NULL;
    struct fm_error err = {0};

    (void)snprintf(path, sizeof path, "%s/store", dir); /* Fits. */
    options.path = path;
    if (rocks_open(&options, &rocks, &err) != FM_OK)
        fail_msg("open %s: %s", path, err.text);
    return rocks;
}

static uint64_t count_kept(struct rocks *rocks)
{
    struct key first = key_table(KEYS_SEGMENT_TREE, TABLE);
    struct key end = key_table_end(KEYS_SEGMENT_TREE, TABLE);
    struct rocks_iterator *iterator = NULL;
    struct fm_span key, value;
    struct fm_error err;
    uint64_t count = 0;

    assert_int_equal(rocks_iterator_new(rocks, NULL, ROCKS_SEGMENTS, key_span(&first),
                                        key_span(&end), &iterator),
                     FM_OK);
    while (rocks_iterator_next(iterator, &key, &value, &err) == FM_OK)
        count++;
    rocks_iterator_free(iterator);
    return count;
}

void proof_check_kept(const char *dir, uint64_t size)
{
    struct rocks *rocks = open_rocks(dir);
    struct fm_buf value = FM_BUF_INIT(0);
    struct fm_error err;
    uint64_t count = 0;

    for (uint8_t level = 8; level < 64; level += 4) {
        for (uint64_t index = 0; index < size >> level; index++, count++) {
            struct key key = key_subtree(TABLE, level, index);
            struct fm_hash hash;

            fm_buf_clear(&value);
            assert_int_equal(rocks_get(rocks, NULL, ROCKS_SEGMENTS, key_span(&key), &value, &err),
                             FM_OK);
            assert_int_equal(subtree_decode(fm_buf_span(&value), &hash), FM_OK);
        }
    }
    assert_int_equal(count_kept(rocks), count);
    fm_buf_free(&value);
    rocks_close(rocks);
}

static void write_batch(struct rocks *rocks, struct rocks_batch *batch)
{
    struct fm_error err;

    assert_int_equal(rocks_write(rocks, batch, true, &err), FM_OK);
    rocks_batch_free(batch);
    rocks_close(rocks);
}

void proof_spoil_kept(const char *dir, uint8_t level, uint64_t index, bool sealed)
{
    struct rocks *rocks = open_rocks(dir);
    struct rocks_batch *batch = NULL;
    struct key key = key_subtree(TABLE, level, index);
    struct fm_buf value = FM_BUF_INIT(0);
    struct fm_hash hash;
    struct fm_error err;

    assert_int_equal(rocks_get(rocks, NULL, ROCKS_SEGMENTS, key_span(&key), &value, &err), FM_OK);
    assert_int_equal(subtree_decode(fm_buf_span(&value), &hash), FM_OK);
    hash.bytes[7] ^= 0x10;
    if (sealed) {
        fm_buf_clear(&value);
        subtree_encode(&value, &hash);
    } else {
        value.data[7] ^= 0x10;
    }
    assert_int_equal(rocks_batch_new(rocks, &batch), FM_OK);
    rocks_batch_put(batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&value));
    fm_buf_free(&value);
    write_batch(rocks, batch);
}

void proof_remove_kept(const char *dir)
{
    struct rocks *rocks = open_rocks(dir);
    struct rocks_batch *batch = NULL;
    struct key first = key_table(KEYS_SEGMENT_TREE, TABLE);
    struct key end = key_table_end(KEYS_SEGMENT_TREE, TABLE);

    assert_int_equal(rocks_batch_new(rocks, &batch), FM_OK);
    rocks_batch_delete_range(batch, ROCKS_SEGMENTS, key_span(&first), key_span(&end));
    write_batch(rocks, batch);
}
