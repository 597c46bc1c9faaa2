/* Erasure of data subjects, against a model: what is read before and after, roots and leaves, the
 * key's bytes on the disk. */
#include "storage/check.h"
#include "storage/subject.h"
#include "tests/support/store_model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <dirent.h>
#include <sys/stat.h>

#include <cmocka.h>

#define ROWS_MAX 20000u
#define SUBJECTS 40u

/* ---- Fixture: tests.rows, whose `id` names the subject of name, score and mood ---- */

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct random random;
    size_t count;
    struct row rows[ROWS_MAX];
    bool is_erased[SUBJECTS];
    struct row_list read;
    struct fm_error err;
};

static struct fm_schema *subject_schema(unsigned flags)
{
    struct fm_schema *schema = rows_schema(flags);

    schema->has_subject = true;
    schema->subject = 0;
    schema->fields[1].classification = FM_CLASS_PERSONAL;
    schema->fields[3].classification = FM_CLASS_SECRET;
    schema->fields[4].classification = FM_CLASS_PERSONAL;
    if (schema->cluster_count > 0) {
        schema->cluster_count = 1;
        schema->cluster[0] = 2;
    }
    return schema;
}

static int setup_with(void **state, unsigned flags)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = subject_schema(flags);
    f->store = store_open_good(f->dir);
    f->random.state = 7;
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, 0);
}

static int setup_keyed(void **state)
{
    return setup_with(state, ROWS_KEYED);
}

static int setup_clustered(void **state)
{
    return setup_with(state, ROWS_CLUSTERED);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_store_close(f->store);
    fm_schema_free(f->schema);
    row_list_free(&f->read);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void reopen(struct fixture *f)
{
    fm_store_close(f->store);
    f->store = store_open_good(f->dir);
}

static int compare_values(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;

    return (x->value > y->value) - (x->value < y->value);
}

/* Rows of subjects that are not erased, in the order in which they will be numbered: NULLs of the
 * clustering key would stand last, so there are none. */
static void append(struct fixture *f, size_t count)
{
    struct row *rows = f->rows + f->count;

    assert_true(count <= ROWS_MAX - f->count);
    for (size_t i = 0; i < count; i++) {
        do {
            rows[i] = row_random(&f->random, SUBJECTS);
        } while (f->is_erased[rows[i].id]);
        if (f->schema->cluster_count > 0)
            rows[i].value = (int32_t)i * 3;
    }
    if (f->schema->cluster_count > 0) {
        for (size_t i = 1; i < count; i++) { /* They come in another order. */
            size_t other = random_next(&f->random) % (i + 1);
            struct row row = rows[i];

            rows[i] = rows[other];
            rows[other] = row;
        }
    }
    rows_append(f->store, f->schema, rows, count, NULL);
    if (f->schema->cluster_count > 0)
        qsort(rows, count, sizeof *rows, compare_values);
    f->count += count;
}

static enum fm_status erase(struct fixture *f, int64_t id, struct fm_erased *out)
{
    char text[24];

    (void)snprintf(text, sizeof text, "%lld", (long long)id);
    return fm_store_erase_subject(f->store, "tests", fm_span_str(text), out, &f->err);
}

static void erase_good(struct fixture *f, int64_t id)
{
    struct fm_erased erased;

    if (erase(f, id, &erased) != FM_OK)
        fail_msg("erase: %s", f->err.text);
    assert_true(erased.is_gone);
    f->is_erased[id] = true;
}

/* ---- The model ---- */

static struct row shown(const struct fixture *f, const struct row *row)
{
    struct row out = *row;

    if (f->is_erased[row->id]) {
        memset(out.name, 0, sizeof out.name);
        out.score = -1;
        out.mood = 3;
    }
    return out;
}

/* A keyed table shows the last row of each id. */
static bool is_latest(const struct fixture *f, size_t at)
{
    for (size_t i = at + 1; f->schema->key_count > 0 && i < f->count; i++) {
        if (f->rows[i].id == f->rows[at].id)
            return false;
    }
    return true;
}

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a;
    const struct row *y = b;
    int order = strcmp(x->name, y->name);

    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    if (order != 0)
        return order;
    if (x->mood != y->mood)
        return x->mood < y->mood ? -1 : 1;
    return (x->score > y->score) - (x->score < y->score);
}

static void check_scan(struct fixture *f, struct fm_snapshot *snapshot,
                       const struct fm_predicate_list *predicates)
{
    struct fm_scan_options options = {.predicates = predicates};
    struct row *expected = calloc(f->count + 1, sizeof *expected);
    size_t count = 0;

    assert_non_null(expected);
    for (size_t i = 0; i < f->count; i++) {
        struct row row = shown(f, &f->rows[i]);

        if (is_latest(f, i) && row_matches(&row, predicates))
            expected[count++] = row;
    }
    if (rows_scan(snapshot, &options, &f->read, &f->err) != FM_OK)
        fail_msg("scan: %s", f->err.text);
    assert_int_equal(f->read.count, count);
    if (count > 0 && f->schema->cluster_count > 0) { /* Segments have an order of their own. */
        qsort(f->read.rows, count, sizeof *expected, compare_rows);
        qsort(expected, count, sizeof *expected, compare_rows);
    }
    rows_assert_equal(f->read.rows, expected, count);
    row_list_free(&f->read);
    free(expected);
}

static void check_lookups(struct fixture *f, struct fm_snapshot *snapshot)
{
    for (size_t i = f->count > 50 ? f->count - 50 : 0; f->schema->key_count > 0 && i < f->count;
         i++) {
        struct row expected = shown(f, &f->rows[i]);
        struct row row;
        uint64_t sequence = 0;

        if (!is_latest(f, i))
            continue;
        if (row_get(snapshot, expected.id, &row, &sequence, &f->err) != FM_OK)
            fail_msg("lookup: %s", f->err.text);
        assert_int_equal(sequence, i);
        rows_assert_equal(&row, &expected, 1);
    }
}

static void check_reads(struct fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    check_scan(f, snapshot, NULL);
    for (unsigned i = 0; i < 8; i++) {
        struct fm_predicate_list predicates = {0};

        rows_random_predicates(&f->random, &predicates);
        check_scan(f, snapshot, &predicates);
        fm_predicate_list_deinit(&predicates);
    }
    check_lookups(f, snapshot);
    fm_snapshot_free(snapshot);
}

static void print_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    print_message("%s: %s\n", finding->part, finding->text);
}

/* The doctor, in a copy of the folder, is content. */
static void check_folder(struct fixture *f)
{
    struct fm_check_options options = {.dir = f->dir, .finding = print_finding};
    struct fm_check_result result = {0};

    fm_store_close(f->store);
    f->store = NULL;
    assert_int_equal(fm_store_check(&options, &result, &f->err), FM_OK);
    assert_int_equal(result.damage_count, 0);
    f->store = store_open_good(f->dir);
}

/* ---- Leaves ---- */

struct leaves {
    struct fm_hash root;
    size_t count;
    struct fm_hash *hashes;
};

static void take_leaves(struct fixture *f, struct leaves *out)
{
    struct fm_table_info info = rows_info(f->store);
    struct fm_snapshot *snapshot = NULL;
    struct fm_buf leaf = FM_BUF_INIT(0);

    *out = (struct leaves){.root = info.root, .count = f->count};
    fm_schema_free(info.schema);
    out->hashes = calloc(f->count + 1, sizeof *out->hashes);
    assert_non_null(out->hashes);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    for (size_t i = 0; i < f->count; i++) {
        fm_buf_clear(&leaf);
        if (fm_snapshot_leaf(snapshot, "tests", "rows", i, &leaf, &f->err) != FM_OK)
            fail_msg("leaf: %s", f->err.text);
        fm_sha256_one(&out->hashes[i], fm_buf_span(&leaf));
    }
    for (size_t i = 0; i < f->count; i += f->count / 7 + 1) {
        struct fm_proof proof = {0};

        assert_int_equal(
            fm_snapshot_inclusion(snapshot, "tests", "rows", i, f->count, &proof, &f->err), FM_OK);
        assert_int_equal(
            fm_snapshot_consistency(snapshot, "tests", "rows", i, f->count, &proof, &f->err),
            FM_OK);
    }
    fm_snapshot_free(snapshot);
    fm_buf_free(&leaf);
}

static void check_leaves(struct fixture *f, const struct leaves *before)
{
    struct leaves now;

    take_leaves(f, &now);
    assert_true(fm_hash_equal(&now.root, &before->root));
    assert_int_equal(now.count, before->count);
    assert_memory_equal(now.hashes, before->hashes, now.count * sizeof *now.hashes);
    free(now.hashes);
}

/* ---- Keys on the disk ---- */

static bool read_key(struct fixture *f, const char *subject, uint8_t out[32])
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct subject_value value = {0};
    struct fm_hash id;
    struct key key;

    fm_subject_id(&id, "tests", fm_span_str(subject));
    key = key_subject(&id);
    if (rocks_get(f->store->rocks, NULL, ROCKS_SUBJECTS, key_span(&key), &bytes, &f->err) != FM_OK)
        return false;
    assert_int_equal(subject_decode(fm_buf_span(&bytes), &value), FM_OK);
    fm_buf_free(&bytes);
    memcpy(out, value.key, 32);
    return value.state == SUBJECT_ACTIVE;
}

static unsigned files_with(const char *path, struct fm_span bytes)
{
    struct stat is;
    unsigned count = 0;
    DIR *dir;

    if (lstat(path, &is) != 0)
        return 0; /* RocksDB removed it meanwhile. */
    if (S_ISREG(is.st_mode)) {
        size_t len = (size_t)is.st_size;
        FILE *file = fopen(path, "rb");
        uint8_t *content = malloc(len + 1);

        assert_non_null(file);
        assert_non_null(content);
        assert_int_equal(fread(content, 1, len, file), len);
        count = memmem(content, len, bytes.data, bytes.len) != NULL;
        (void)fclose(file);
        free(content);
        return count;
    }
    dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        char below[4096];

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        assert_true(snprintf(below, sizeof below, "%s/%s", path, entry->d_name) <
                    (int)sizeof below);
        count += files_with(below, bytes);
    }
    (void)closedir(dir);
    return count;
}

/* ---- Tests ---- */

/* Random appends, small and large, sealing, restarts and erasures. */
static void reads_are_those_of_the_model(void **state)
{
    static const size_t sizes[] = {1, 30, 700, 2500};
    struct fixture *f = *state;

    for (unsigned step = 0; step < 24; step++) {
        uint64_t what = random_next(&f->random) % 6;
        int64_t id = (int64_t)(random_next(&f->random) % SUBJECTS);

        if (what < 3)
            append(f, sizes[random_next(&f->random) % 4]);
        else if (what == 3)
            assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        if (what == 3 && step % 2 == 0)
            assert_int_equal(fm_store_merge(f->store, "tests", "rows", NULL, &f->err), FM_OK);
        if (what == 4)
            reopen(f);
        if (what == 5 && f->count > 1000)
            erase_good(f, id);
        check_reads(f);
    }
    check_folder(f);
    check_reads(f);
}

static void leaves_and_roots_stay(void **state)
{
    struct fixture *f = *state;
    struct leaves before;

    append(f, 2500);
    append(f, 60);
    take_leaves(f, &before);
    for (int64_t id = 0; id < 10; id++)
        erase_good(f, id);
    check_leaves(f, &before);
    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    check_leaves(f, &before);
    assert_int_equal(fm_store_merge(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    check_leaves(f, &before);
    reopen(f);
    check_leaves(f, &before);
    check_reads(f);
    check_folder(f);
    free(before.hashes);
}

static void facts_of_the_erased_are_refused(void **state)
{
    struct fm_append_options options = {0};
    struct fixture *f = *state;
    struct fm_appended appended;
    struct fm_erased erased;
    struct row *rows = calloc(3000, sizeof *rows);

    assert_non_null(rows);
    append(f, 500);
    erase_good(f, 3);
    for (size_t i = 0; i < 3000; i++) {
        rows[i] = row_make(i);
        rows[i].id = i == 2990 ? 3 : 4;
    }
    for (size_t count = 2991; count <= 3000; count += 9) /* Staged both. */
        assert_int_equal(
            rows_append_with(f->store, f->schema, rows, count, &options, &appended, &f->err),
            FM_REFUSED);
    assert_non_null(strstr(f->err.text, "the subject `3` was erased in the domain tests"));
    assert_int_equal(
        rows_append_with(f->store, f->schema, rows + 2990, 1, &options, &appended, &f->err),
        FM_REFUSED);
    check_reads(f);
    append(f, 3000);
    check_reads(f);
    assert_int_equal(erase(f, 3, &erased), FM_OK);
    assert_true(erased.was_erased && erased.is_gone);
    assert_int_equal(erased.table_count, 1);
    reopen(f);
    assert_int_equal(
        rows_append_with(f->store, f->schema, rows + 2990, 1, &options, &appended, &f->err),
        FM_REFUSED);
    check_folder(f);
    free(rows);
}

static void strangers_are_not_found(void **state)
{
    struct fixture *f = *state;
    struct fm_erased erased;

    append(f, 10);
    assert_int_equal(erase(f, 4711, &erased), FM_NOTFOUND);
    assert_non_null(strstr(f->err.text, "no facts of this subject"));
    assert_int_equal(fm_store_erase_subject(f->store, "others", fm_span_str("1"), &erased, &f->err),
                     FM_NOTFOUND);
    assert_non_null(strstr(f->err.text, "no table that names data subjects"));
    check_reads(f);
}

static void no_file_has_the_key(void **state)
{
    struct fixture *f = *state;
    uint8_t key[32], ignored[32];

    for (unsigned round = 0; round < 3; round++) {
        char subject[8];

        (void)snprintf(subject, sizeof subject, "%u", round);
        append(f, 2500);
        append(f, 100);
        if (round == 1)
            assert_int_equal(rocks_flush(f->store->rocks, &f->err), FM_OK);
        if (round == 2)
            reopen(f);
        assert_true(read_key(f, subject, key));
        assert_true(files_with(f->dir, fm_span(key, sizeof key)) > 0);
        erase_good(f, (int64_t)round);
        assert_int_equal(files_with(f->dir, fm_span(key, sizeof key)), 0);
        assert_false(read_key(f, subject, ignored));
        reopen(f);
        assert_int_equal(files_with(f->dir, fm_span(key, sizeof key)), 0);
    }
    check_reads(f);
}

/* Neither log nor table files show what is sealed; what is open they do. */
static void no_file_has_the_values(void **state)
{
    struct row row = {.id = 1, .name = "Quetzalcoatl-7", .value = 0x5ca1ab1e, .score = 1};
    static const uint8_t value[] = {0x1e, 0xab, 0xa1, 0x5c};
    struct fixture *f = *state;

    f->rows[f->count++] = row;
    rows_append(f->store, f->schema, &row, 1, NULL);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(files_with(f->dir, fm_span(value, sizeof value)) > 0);
        assert_int_equal(files_with(f->dir, fm_span_str(row.name)), 0);
        assert_int_equal(rocks_flush(f->store->rocks, &f->err), FM_OK);
    }
    append(f, 3000);
    assert_int_equal(fm_store_seal(f->store, "tests", "rows", NULL, &f->err), FM_OK);
    check_reads(f);
    assert_int_equal(files_with(f->dir, fm_span_str(row.name)), 0);
}

/* A snapshot from before sees no value any more, but RocksDB keeps the key for it. */
static void snapshots_hold_the_file_up(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;
    struct fm_erased erased = {0};
    uint8_t key[32];
    bool done = true;

    append(f, 2500);
    assert_true(read_key(f, "7", key));
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(erase(f, 7, &erased), FM_OK);
    assert_false(erased.is_gone || erased.was_erased);
    f->is_erased[7] = true;
    check_scan(f, snapshot, NULL);
    assert_int_equal(fm_store_purge_subjects(f->store, &done, &f->err), FM_OK);
    assert_false(done);
    assert_true(files_with(f->dir, fm_span(key, sizeof key)) > 0);
    fm_snapshot_free(snapshot);
    assert_int_equal(fm_store_purge_subjects(f->store, &done, &f->err), FM_OK);
    assert_true(done);
    assert_int_equal(files_with(f->dir, fm_span(key, sizeof key)), 0);
}

static void an_opening_removes_what_is_due(void **state)
{
    struct fixture *f = *state;
    struct fm_snapshot *snapshot = NULL;
    struct fm_erased erased = {0};
    uint8_t key[32];

    append(f, 2500);
    assert_true(read_key(f, "7", key));
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(erase(f, 7, &erased), FM_OK);
    f->is_erased[7] = true;
    fm_snapshot_free(snapshot);
    assert_true(files_with(f->dir, fm_span(key, sizeof key)) > 0);
    reopen(f);
    assert_int_equal(files_with(f->dir, fm_span(key, sizeof key)), 0);
    check_reads(f);
}

/* Another table of the domain, whose subject is a text, has the same subjects. */
static void a_subject_is_one_in_its_domain(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *other = subject_schema(0);
    struct row row = {.id = 1, .name = "5", .value = 2, .score = 3, .mood = 0};
    struct fm_append_options options = {0};
    struct fm_appended appended;

    (void)snprintf(other->table, sizeof other->table, "others");
    other->fields[0].classification = FM_CLASS_OPEN;
    other->fields[1].classification = FM_CLASS_OPEN;
    other->fields[1].required = true;
    other->subject = 1;
    assert_int_equal(fm_store_define(f->store, other, 1, &f->err), FM_OK);
    append(f, 300);
    rows_append(f->store, other, &row, 1, NULL);
    erase_good(f, 5);
    assert_int_equal(rows_append_with(f->store, other, &row, 1, &options, &appended, &f->err),
                     FM_REFUSED);
    check_reads(f);
    fm_schema_free(other);
}

/* One bit of the sealed value of a hot row, with a checksum that fits. */
static void a_changed_sealed_value_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_hot(1, 0);
    struct rocks_batch *batch = NULL;
    struct fm_snapshot *snapshot = NULL;
    struct fm_scan_options options = {0};

    append(f, 1);
    assert_int_equal(rocks_get(f->store->rocks, NULL, ROCKS_HOT, key_span(&key), &value, &f->err),
                     FM_OK);
    /* Texts of a one-row batch stand at its end: `_sealed`, then the commitment. */
    value.len -= 4;
    value.data[value.len - 32 - 8 - 4] ^= 0x10;
    value_seal(&value, 0);
    assert_int_equal(rocks_batch_new(f->store->rocks, &batch), FM_OK);
    rocks_batch_put(batch, ROCKS_HOT, key_span(&key), fm_buf_span(&value));
    assert_int_equal(rocks_write(f->store->rocks, batch, true, &f->err), FM_OK);
    rocks_batch_free(batch);
    fm_buf_free(&value);
    reopen(f);
    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    assert_int_equal(rows_scan(snapshot, &options, &f->read, &f->err), FM_CORRUPT);
    assert_non_null(strstr(f->err.text, "sealed values of fact 0 do not open"));
    fm_snapshot_free(snapshot);
}

/* What is stored for a subject, and how, cannot change. */
static void the_subject_cannot_change(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *next = subject_schema(0);

    next->version = 2;
    next->fields[1].classification = FM_CLASS_OPEN;
    assert_int_equal(fm_store_define(f->store, next, 1, &f->err), FM_INVALID);
    assert_non_null(strstr(f->err.text, "`name` (id 2) of tests.rows was personal or secret"));
    next->fields[1].classification = FM_CLASS_SECRET;
    next->has_subject = false;
    assert_int_equal(fm_store_define(f->store, next, 1, &f->err), FM_INVALID);
    assert_non_null(strstr(f->err.text, "names the subject of tests.rows cannot change"));
    next->has_subject = true;
    assert_int_equal(fm_store_define(f->store, next, 1, &f->err), FM_OK);
    fm_schema_free(f->schema);
    f->schema = next;
    append(f, 20);
    erase_good(f, f->rows[0].id);
    check_reads(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(reads_are_those_of_the_model),
        cmocka_unit_test_setup_teardown(reads_are_those_of_the_model, setup_keyed, teardown),
        cmocka_unit_test_setup_teardown(reads_are_those_of_the_model, setup_clustered, teardown),
        TEST(leaves_and_roots_stay),
        cmocka_unit_test_setup_teardown(leaves_and_roots_stay, setup_clustered, teardown),
        TEST(facts_of_the_erased_are_refused),
        TEST(strangers_are_not_found),
        TEST(no_file_has_the_key),
        TEST(no_file_has_the_values),
        TEST(snapshots_hold_the_file_up),
        TEST(an_opening_removes_what_is_due),
        TEST(a_subject_is_one_in_its_domain),
        TEST(a_changed_sealed_value_is_noticed),
        TEST(the_subject_cannot_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
