/* Facts that are old enough go, segment by segment; the rest is read as before, the log keeps its
 * root, and the proofs that were promised hold: checked with the second implementation of RFC 6962
 * over leaves that were taken down before anything was dropped. */
#include "storage/check.h"
#include "storage/reading.h"
#include "tests/support/proof_support.h"
#include "tests/support/rfc6962.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define FACTS_MAX 12000u
#define APPENDS_MAX 400u
#define IDS 700u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    bool is_keyed;
    struct random random;
    uint32_t facts;
    struct row *rows;        /* Of all facts, */
    struct rfc_hash *leaves; /* with their leaf hashes, */
    uint32_t *next;          /* and the next fact of the same id; FACTS_MAX: none. */
    uint32_t last_of[IDS];
    uint32_t appends;
    struct head heads[APPENDS_MAX]; /* After each append, */
    fm_us times[APPENDS_MAX];       /* recorded then. */
    uint64_t dropped;
    uint32_t refused; /* Proofs of what is dropped. */
    struct fm_check_table table;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->rows = calloc(FACTS_MAX, sizeof *f->rows);
    f->leaves = calloc(FACTS_MAX, sizeof *f->leaves);
    f->next = calloc(FACTS_MAX, sizeof *f->next);
    assert_non_null(f->next);
    assert_non_null(f->rows);
    assert_non_null(f->leaves);
    *state = f;
    return 0;
}

static void end(struct fixture *f)
{
    fm_store_close(f->store);
    fm_schema_free(f->schema);
    if (f->dir[0] != '\0')
        store_dir_remove(f->dir);
    f->store = NULL;
    f->schema = NULL;
    f->dir[0] = '\0';
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    end(f);
    free(f->rows);
    free(f->leaves);
    free(f->next);
    free(f);
    return 0;
}

static void begin(struct fixture *f, uint64_t seed, unsigned flags)
{
    end(f);
    store_dir_make(f->dir);
    f->random = (struct random){seed};
    f->is_keyed = (flags & ROWS_KEYED) != 0;
    f->schema = rows_schema(flags);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    f->facts = f->appends = f->refused = 0;
    for (uint32_t i = 0; i < IDS; i++)
        f->last_of[i] = FACTS_MAX;
    f->dropped = 0;
}

static void append(struct fixture *f, uint32_t count)
{
    struct fm_snapshot *snapshot = NULL;
    struct fm_appended appended;
    struct rfc_hash first;
    uint8_t *leaves = f->leaves[f->facts].bytes;

    if (f->facts + count > FACTS_MAX || f->appends == APPENDS_MAX)
        return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = random_below(&f->random, IDS);

        f->rows[f->facts + i] = row_make(f->facts + i);
        f->rows[f->facts + i].id = id;
        if (f->last_of[id] != FACTS_MAX)
            f->next[f->last_of[id]] = f->facts + i;
        f->last_of[id] = f->facts + i;
        f->next[f->facts + i] = FACTS_MAX;
    }
    rows_append(f->store, f->schema, f->rows + f->facts, count, &appended);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    proof_leaf(snapshot, f->facts, &first); /* One by one they take long to read. */
    assert_int_equal(stored_leaf_hashes(snapshot_find(snapshot, "tests", "rows")->state,
                                        snapshot->rocks, f->facts, count, leaves, &f->err),
                     FM_OK);
    assert_memory_equal(leaves, &first, sizeof first);
    fm_snapshot_free(snapshot);
    f->facts += count;
    f->heads[f->appends] = (struct head){appended.size, appended.root};
    f->times[f->appends++] = appended.recorded_at;
}

static void append_random(struct fixture *f)
{
    static const uint32_t most[] = {1, 4, 40, 300, 600, 3000};

    append(f, 1 + random_below(&f->random, most[random_below(&f->random, 6)]));
}

static void retain(struct fixture *f, fm_us before)
{
    uint64_t dropped = 0;
    uint64_t allowed = f->dropped;

    for (uint32_t i = 0; i < f->appends && f->times[i] < before; i++)
        allowed = f->heads[i].size > allowed ? f->heads[i].size : allowed;
    if (fm_store_retain(f->store, "tests", "rows", before, NULL, &dropped, &f->err) != FM_OK)
        fail_msg("retain: %s", f->err.text);
    f->dropped += dropped;
    assert_in_range(f->dropped, 0, allowed);
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

/* ---- What is there --------------------------------------------------------------------------- */

static bool is_latest(const struct fixture *f, uint64_t sequence, uint64_t size)
{
    return !f->is_keyed || f->next[sequence] >= size;
}

/* The rows as of a size, and by how many there should be. */
static void check_rows(struct fixture *f, struct fm_snapshot *snapshot, uint64_t size)
{
    struct fm_scan_options options = {
        .at = {.kind = size == f->facts ? FM_AT_LATEST : FM_AT_VERSION, .value = (int64_t)size}};
    struct row_list read = {0};
    size_t expected = 0;

    if (rows_scan(snapshot, &options, &read, &f->err) != FM_OK)
        fail_msg("scan of %llu: %s", (unsigned long long)size, f->err.text);
    for (uint64_t i = f->dropped; i < size; i++) {
        if (!is_latest(f, i, size))
            continue;
        assert_true(expected < read.count);
        rows_assert_equal(&read.rows[expected++], &f->rows[i], 1);
    }
    assert_int_equal(read.count, expected);
    row_list_free(&read);
}

static void check_info(struct fixture *f)
{
    struct fm_table_info info = rows_info(f->store);
    struct fm_table_statistics statistics = {0};
    uint64_t latest = 0;

    for (uint64_t i = f->dropped; i < f->facts; i++)
        latest += is_latest(f, i, f->facts);
    assert_int_equal(info.size, f->facts);
    assert_int_equal(info.rows_latest, latest);
    assert_memory_equal(&info.root, &f->heads[f->appends - 1].root, sizeof info.root);
    fm_schema_free(info.schema);
    assert_int_equal(fm_store_statistics(f->store, "tests", "rows", &statistics, &f->err), FM_OK);
    assert_int_equal(statistics.dropped_facts, f->dropped);
    assert_int_equal(statistics.rows_latest, latest);
    assert_int_equal(statistics.facts, f->facts);
    fm_table_statistics_deinit(&statistics);
}

/* ---- Proofs ---------------------------------------------------------------------------------- */

static void check_inclusion(struct fixture *f, struct fm_snapshot *snapshot, uint64_t sequence,
                            uint64_t size)
{
    struct rfc_hash expected[RFC_NODES_MAX];
    struct fm_proof proof;
    enum fm_status status =
        fm_snapshot_inclusion(snapshot, "tests", "rows", sequence, size, &proof, &f->err);

    if (sequence < f->dropped) {
        struct fm_buf leaf = FM_BUF_INIT(0);

        assert_int_equal(status, FM_NOTFOUND);
        assert_non_null(strstr(f->err.text, "dropped by retention"));
        assert_int_equal(fm_snapshot_leaf(snapshot, "tests", "rows", sequence, &leaf, &f->err),
                         FM_NOTFOUND);
        f->refused++;
        return;
    }
    if (status != FM_OK)
        fail_msg("fact %llu of %llu, %llu dropped: %s", (unsigned long long)sequence,
                 (unsigned long long)size, (unsigned long long)f->dropped, f->err.text);
    assert_int_equal(proof.count, rfc_path(sequence, f->leaves, size, expected));
    assert_memory_equal(proof.nodes, expected, proof.count * sizeof expected[0]);
}

static bool is_head(const struct fixture *f, uint64_t size)
{
    for (uint32_t i = 0; i < f->appends; i++) {
        if (f->heads[i].size == size)
            return true;
    }
    return false;
}

/* Between sizes that the log had, or of what is kept, always; else where enough is kept. */
static void check_consistency(struct fixture *f, struct fm_snapshot *snapshot, uint64_t old_size,
                              uint64_t new_size)
{
    struct rfc_hash expected[RFC_NODES_MAX];
    struct fm_proof proof;
    enum fm_status status =
        fm_snapshot_consistency(snapshot, "tests", "rows", old_size, new_size, &proof, &f->err);

    if (status != FM_OK && (old_size >= f->dropped || is_head(f, old_size)) &&
        (new_size >= f->dropped || is_head(f, new_size)))
        fail_msg("from %llu to %llu, %llu dropped: %s", (unsigned long long)old_size,
                 (unsigned long long)new_size, (unsigned long long)f->dropped, f->err.text);
    if (status != FM_OK) {
        assert_int_equal(status, FM_NOTFOUND);
        assert_non_null(strstr(f->err.text, "dropped by retention"));
        f->refused++;
        return;
    }
    assert_int_equal(proof.count, rfc_proof(old_size, f->leaves, new_size, expected));
    assert_memory_equal(proof.nodes, expected, proof.count * sizeof expected[0]);
}

static uint64_t size_between(struct fixture *f, uint64_t first, uint64_t last)
{
    return first + random_below(&f->random, (uint32_t)(last - first + 1));
}

static void check_proofs(struct fixture *f, struct fm_snapshot *snapshot, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t near = f->dropped < f->facts ? f->dropped : f->facts - 1;
        uint64_t size = size_between(f, 1, f->facts);
        uint32_t a = random_below(&f->random, f->appends);
        uint32_t b = size_between(f, a, f->appends - 1) & UINT32_MAX;

        check_inclusion(f, snapshot, size_between(f, 0, size - 1), size);
        if (f->dropped < f->facts)
            check_inclusion(f, snapshot, near, size_between(f, near + 1, f->facts));
        check_consistency(f, snapshot, f->heads[a].size, f->heads[b].size);
        check_consistency(f, snapshot, f->heads[a].size,
                          size_between(f, f->heads[a].size, f->facts));
        check_consistency(f, snapshot, size, size_between(f, size, f->facts));
    }
}

static void check_all(struct fixture *f, uint32_t proofs)
{
    struct fm_snapshot *snapshot = NULL;

    check_info(f);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    check_rows(f, snapshot, f->facts);
    check_rows(f, snapshot, size_between(f, 0, f->facts));
    check_proofs(f, snapshot, proofs);
    fm_snapshot_free(snapshot);
}

static enum fm_status take_table(void *context, const struct fm_check_table *table,
                                 struct fm_error *err)
{
    struct fixture *f = context;

    (void)err;
    f->table = *table;
    return FM_OK;
}

/* The doctor is content with the folder, and knows what is gone. Closes the store. */
static void check_folder(struct fixture *f)
{
    struct fm_check_options options = {.dir = f->dir, .context = f, .table = take_table};
    struct fm_check_result result = {0};

    fm_store_close(f->store);
    f->store = NULL;
    assert_int_equal(fm_store_check(&options, &result, &f->err), FM_OK);
    assert_int_equal(result.damage_count, 0);
    assert_true(f->table.is_whole);
    assert_int_equal(f->table.dropped, f->dropped);
    f->store = store_open_good(f->dir);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void walk(struct fixture *f, uint64_t seed, unsigned flags)
{
    begin(f, seed, flags);
    append_random(f);
    for (uint32_t step = 0; step < 20; step++) {
        for (uint32_t i = random_below(&f->random, 12); i > 0; i--)
            append_random(f);
        if (random_below(&f->random, 3) == 0)
            assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        if (random_below(&f->random, 5) == 0)
            assert_int_equal(fm_store_merge(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        if (random_below(&f->random, 3) == 0)
            retain(f, f->times[random_below(&f->random, f->appends)]);
        if (random_below(&f->random, 4) == 0)
            reopen(f);
        check_all(f, 1);
    }
    check_folder(f);
    check_all(f, 12);
}

static void random_histories_lose_only_their_beginning(void **state)
{
    static const unsigned flags[] = {0, ROWS_KEYED, ROWS_SECRET, ROWS_KEYED | ROWS_SECRET};
    struct fixture *f = *state;
    uint32_t refused = 0;
    uint64_t dropped = 0;

    for (uint64_t seed = 1; seed <= 6; seed++) {
        walk(f, seed, flags[seed % 4]);
        refused += f->refused;
        dropped += f->dropped;
    }
    assert_true(dropped > FACTS_MAX); /* Else the above tried little. */
    assert_true(refused > 50);
}

/* All of a table may go; appends go on as if nothing had happened. */
static void everything_may_go(void **state)
{
    struct fixture *f = *state;
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    struct key first = key_prefix(1), last = key_prefix(2);
    struct fm_span key, value;

    begin(f, 50, ROWS_KEYED);
    append(f, 5000);
    append(f, 100);
    append(f, 7);
    retain(f, f->times[2] + 1);
    assert_int_equal(f->dropped, f->facts);
    check_all(f, 20);
    assert_int_equal(rocks_iterator_new(f->store->rocks, NULL, ROCKS_KEYS, key_span(&first),
                                        key_span(&last), &iterator),
                     FM_OK);
    assert_int_equal(rocks_iterator_next(iterator, &key, &value, &f->err), FM_NOTFOUND);
    rocks_iterator_free(FM_TAKE(iterator));
    check_folder(f);
    append(f, 30); /* Keys that were there before, too. */
    append(f, 3000);
    check_all(f, 20);
    retain(f, f->times[3]); /* Nothing that is there is older. */
    check_folder(f);
    check_all(f, 20);
}

/* A snapshot that was open before has all it had. */
static void open_snapshots_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;

    begin(f, 60, 0);
    append(f, 3000);
    append(f, 20);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    retain(f, f->times[1] + 1);
    assert_int_equal(f->dropped, f->facts);
    f->dropped = 0; /* For the snapshot. */
    check_rows(f, snapshot, f->facts);
    check_proofs(f, snapshot, 20);
    f->dropped = f->facts;
    fm_snapshot_free(snapshot);
    check_all(f, 10);
}

/* A store from before hashes were kept gets those that its dropped facts need. */
static void older_stores_keep_proofs_too(void **state)
{
    struct fixture *f = *state;

    begin(f, 70, 0);
    append(f, 3000);
    append(f, 700);
    append(f, 2500);
    fm_store_close(f->store);
    proof_remove_kept(f->dir);
    f->store = store_open_good(f->dir);
    retain(f, f->times[1]);
    assert_int_equal(f->dropped, 3000);
    check_folder(f);
    check_all(f, 40);
}

/* Facts that are not those of their hashes are evidence: they stay. */
static void what_does_not_hold_together_stays(void **state)
{
    struct fixture *f = *state;
    uint64_t dropped = 1;

    begin(f, 80, 0);
    append(f, 3000);
    append(f, 2500);
    fm_store_close(f->store);
    proof_spoil_kept(f->dir, 8, 3, true);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_retain(f->store, "tests", "rows", INT64_MAX, NULL, &dropped, &f->err),
                     FM_CORRUPT);
    assert_int_equal(dropped, 0);
    check_info(f);
    assert_int_equal(fm_store_retain(f->store, "tests", "none", 0, NULL, &dropped, &f->err),
                     FM_NOTFOUND);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(random_histories_lose_only_their_beginning),
        TEST(everything_may_go),
        TEST(open_snapshots_lose_nothing),
        TEST(older_stores_keep_proofs_too),
        TEST(what_does_not_hold_together_stays),
    };
#undef TEST

    if (fm_core_init(NULL) != FM_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
