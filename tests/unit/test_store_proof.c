/* Proofs over random histories: every fact is in the log, every log begins with the earlier ones,
 * right after an append, an abort, a seal, a reopening; and damage never becomes a proof. */
#include "tests/support/proof_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ROWS_MAX 140000u
#define HEADS_MAX 64u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct random random;
    struct row *rows;
    uint32_t head_count;
    struct head heads[HEADS_MAX]; /* The first is that of the empty log. */
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    f->rows = calloc(ROWS_MAX, sizeof *f->rows);
    assert_non_null(f->rows);
    f->random.state = 9;
    for (uint32_t i = 0; i < ROWS_MAX; i++)
        f->rows[i] = row_random(&f->random, 3000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    free(f->rows);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void define(struct fixture *f, unsigned flags)
{
    struct fm_table_info info;

    fm_schema_free(f->schema);
    f->schema = rows_schema(flags);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    if (f->head_count > 0)
        return;
    info = rows_info(f->store);
    f->heads[f->head_count++] = (struct head){.size = 0, .root = info.root};
    fm_schema_free(info.schema);
}

static const struct head *last_head(const struct fixture *f)
{
    return &f->heads[f->head_count - 1];
}

static void append(struct fixture *f, uint32_t count)
{
    struct fm_appended appended;

    assert_true(f->head_count < HEADS_MAX);
    rows_append(f->store, f->schema, f->rows + random_below(&f->random, ROWS_MAX - count + 1),
                count, &appended);
    f->heads[f->head_count++] = (struct head){.size = appended.size, .root = appended.root};
}

static void append_random(struct fixture *f)
{
    static const uint32_t bounds[] = {1, 40, 300, 2048};
    uint32_t kind = random_below(&f->random, 9);

    if (kind < 8)
        append(f, 1 + random_below(&f->random, bounds[kind / 2]));
    else
        append(f, 2049 + random_below(&f->random, 1500));
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    proof_check_kept(f->dir, last_head(f)->size);
    f->store = store_open_good(f->dir);
}

static struct fm_snapshot *open_snapshot(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    return snapshot;
}

/* Facts here and there under the last head and under earlier ones, and all pairs of heads. */
static void check_some(struct fixture *f, uint32_t facts)
{
    struct fm_snapshot *snapshot = open_snapshot(f);

    for (uint32_t i = 0; i < facts; i++) {
        const struct head *head = &f->heads[1 + random_below(&f->random, f->head_count - 1)];

        if (i % 2 == 0)
            head = last_head(f);
        proof_check_fact(snapshot, random_next(&f->random) % head->size, head);
    }
    proof_check_fact(snapshot, last_head(f)->size - 1, last_head(f));
    for (uint32_t i = 0; i < f->head_count; i++) {
        for (uint32_t j = i; j < f->head_count; j++)
            proof_check_heads(snapshot, &f->heads[i], &f->heads[j]);
    }
    fm_snapshot_free(snapshot);
}

static void check_all(struct fixture *f)
{
    struct fm_snapshot *snapshot = open_snapshot(f);

    proof_check_all(snapshot, last_head(f));
    fm_snapshot_free(snapshot);
}

/* Leaves, and with them every header, are the same afterwards. */
static void seal(struct fixture *f)
{
    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
}

static void merge(struct fixture *f)
{
    if (fm_store_merge(f->store, "tests", "rows", NULL, &f->err) != FM_OK)
        fail_msg("merge: %s", f->err.text);
}

/* ---- Histories ------------------------------------------------------------------------------- */

static void live(struct fixture *f, unsigned flags)
{
    define(f, flags);
    for (int i = 0; i < 14; i++) {
        append_random(f);
        if (i % 5 == 4)
            seal(f);
        if (i % 6 == 5)
            merge(f);
        check_some(f, 3);
    }
    reopen(f);
    check_some(f, 20);
    define(f, flags | ROWS_V2); /* Old facts keep their leaves. */
    for (int i = 0; i < 8; i++) {
        append_random(f);
        if (i % 5 == 4)
            seal(f);
        check_some(f, 3);
    }
    append(f, 2500);
    reopen(f);
    check_some(f, 20);
    check_all(f);
}

static void test_history(void **state)
{
    live(*state, 0);
}

static void test_history_of_a_keyed_table(void **state)
{
    live(*state, ROWS_KEYED);
}

static void test_history_of_a_classified_table(void **state)
{
    live(*state, ROWS_KEYED | ROWS_CLUSTERED | ROWS_SECRET);
}

/* Many single rows: subtrees over hundreds of hot values. */
static void test_history_of_single_rows(void **state)
{
    struct fixture *f = *state;

    define(f, 0);
    for (uint32_t i = 0; i < 600; i++) {
        append(f, 1);
        if (i % 20 != 0) { /* Remember the last of each twenty. */
            f->heads[f->head_count - 2] = f->heads[f->head_count - 1];
            f->head_count--;
        }
        if (i == 400)
            seal(f);
    }
    check_some(f, 20);
    check_all(f);
    seal(f);
    check_some(f, 20);
    check_all(f);
    reopen(f);
    check_all(f);
}

/* Enough for two segments and subtrees of 2^16. */
static void test_large_appends(void **state)
{
    struct fixture *f = *state;

    define(f, ROWS_CLUSTERED);
    append(f, 100);
    append(f, 130000);
    append(f, 700);
    append(f, 5000);
    check_some(f, 60);
    reopen(f);
    check_some(f, 30);
}

/* What an append staged is gone after its abort, and the next one's hashes are its own. */
static void test_abort_leaves_no_hashes(void **state)
{
    struct fixture *f = *state;
    struct fm_append_options options = {.has_expected = true, .expected_size = 1};
    struct fm_appended appended;

    define(f, ROWS_KEYED);
    append(f, 5000);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            rows_append_with(f->store, f->schema, f->rows, 125000, &options, &appended, &f->err),
            FM_CONFLICT);
        check_some(f, 20);
        reopen(f);
        append(f, i == 0 ? 3000 : 300);
        check_some(f, 50);
    }
    reopen(f);
    check_some(f, 50);
}

/* ---- Wrong questions, wrong bytes ------------------------------------------------------------ */

static void test_no_such_fact(void **state)
{
    struct fixture *f = *state;
    struct fm_proof proof = {.count = 99};
    struct fm_buf leaf = FM_BUF_INIT(0);
    struct fm_snapshot *snapshot;

    define(f, 0);
    append(f, 300);
    snapshot = open_snapshot(f);
    append(f, 300); /* Later than the snapshot. */
    assert_int_equal(fm_snapshot_leaf(snapshot, "tests", "rows", 300, &leaf, &f->err), FM_INVALID);
    assert_int_equal(fm_snapshot_leaf(snapshot, "tests", "none", 0, &leaf, &f->err), FM_NOTFOUND);
    assert_int_equal(leaf.len, 0);
    assert_int_equal(fm_snapshot_inclusion(snapshot, "tests", "rows", 0, 301, &proof, &f->err),
                     FM_INVALID);
    assert_int_equal(fm_snapshot_inclusion(snapshot, "tests", "rows", 9, 9, &proof, &f->err),
                     FM_INVALID);
    assert_int_equal(fm_snapshot_inclusion(snapshot, "tests", "none", 0, 1, &proof, &f->err),
                     FM_NOTFOUND);
    assert_int_equal(fm_snapshot_consistency(snapshot, "tests", "rows", 0, 301, &proof, &f->err),
                     FM_INVALID);
    assert_int_equal(fm_snapshot_consistency(snapshot, "tests", "rows", 9, 8, &proof, &f->err),
                     FM_INVALID);
    assert_int_equal(fm_snapshot_consistency(snapshot, "tests", "none", 0, 1, &proof, &f->err),
                     FM_NOTFOUND);
    assert_int_equal(proof.count, 99);
    proof_check_fact(snapshot, 299, &f->heads[1]);
    fm_snapshot_free(snapshot);
}

/* Hashes that are not there are computed from the rows: a store may lack them. */
static void test_store_without_hashes(void **state)
{
    struct fixture *f = *state;

    define(f, 0);
    append(f, 700);
    append(f, 9000);
    fm_store_close(f->store);
    proof_remove_kept(f->dir);
    f->store = store_open_good(f->dir);
    check_some(f, 30);
    append(f, 9000); /* Its own are kept again, on top of those missing. */
    check_some(f, 30);
}

/* A hash that its checksum rules out, and one that it does not: no proof comes of either. */
static void test_damaged_hash_gives_no_proof(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot;
    struct fm_proof proof = {.count = 99};

    define(f, 0);
    append(f, 9000);
    append(f, 100);
    for (int sealed = 0; sealed < 2; sealed++) {
        uint64_t spoilt = sealed == 0 ? 3 : 5;

        fm_store_close(f->store);
        proof_spoil_kept(f->dir, 8, spoilt, sealed == 1);
        f->store = store_open_good(f->dir);
        snapshot = open_snapshot(f);
        for (uint64_t size = 9000; size <= 9100; size += 100) {
            /* The neighbour's path passes there. */
            assert_int_equal(fm_snapshot_inclusion(snapshot, "tests", "rows",
                                                   (spoilt - 1) * 256 + 88, size, &proof, &f->err),
                             FM_CORRUPT);
            assert_non_null(strstr(f->err.text, "backup"));
        }
        assert_int_equal(fm_snapshot_consistency(snapshot, "tests", "rows", (spoilt + 1) * 256,
                                                 9000, &proof, &f->err),
                         FM_CORRUPT);
        assert_int_equal(proof.count, 99);
        proof_check_fact(snapshot, 5000, last_head(f)); /* The path of this one does not. */
        fm_snapshot_free(snapshot);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_history),
        TEST(test_history_of_a_keyed_table),
        TEST(test_history_of_a_classified_table),
        TEST(test_history_of_single_rows),
        TEST(test_large_appends),
        TEST(test_abort_leaves_no_hashes),
        TEST(test_no_such_fact),
        TEST(test_store_without_hashes),
        TEST(test_damaged_hash_gives_no_proof),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
