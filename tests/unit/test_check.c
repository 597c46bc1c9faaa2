/* A store that rests is examined: a whole one is content, and whatever does not hold together is
 * named, also where every checksum is right. */
#include "storage/check.h"
#include "storage/internal.h"
#include "tests/support/store_support.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define SEGMENT_ROWS 5000u
#define HOT_ROWS 40u
#define KEYS 3000u /* Distinct keys. */
#define ROWS (SEGMENT_ROWS + HOT_ROWS)
#define SAID_MAX 16384u

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_schema *schema;
    struct row rows[ROWS];
    struct fm_appended last;
    struct rocks *rocks; /* The resting store's, to do damage. */
    struct fm_check_result result;
    struct fm_check_table table;
    uint32_t tables;
    char said[SAID_MAX]; /* One line per finding. */
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_appended first;
    struct fm_store *store;

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(ROWS_KEYED | ROWS_CLUSTERED | ROWS_SECRET);
    for (uint32_t i = 0; i < ROWS; i++) {
        f->rows[i] = row_make(i);
        f->rows[i].id = i % KEYS;
    }
    store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(store, f->schema, 1, &f->err), FM_OK);
    rows_append(store, f->schema, f->rows, SEGMENT_ROWS, &first);
    rows_append(store, f->schema, f->rows + SEGMENT_ROWS, HOT_ROWS, &f->last);
    assert_int_equal(fm_store_put_record(store, fm_span_str("key"), fm_span_str("value"), &f->err),
                     FM_OK);
    fm_store_close(store);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    rocks_close(f->rocks);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void take_finding(void *context, const struct fm_check_finding *finding)
{
    struct fixture *f = context;
    size_t len = strlen(f->said);

    assert_non_null(finding->advice);
    (void)snprintf(f->said + len, sizeof f->said - len, "%s: %s\n", finding->part, finding->text);
}

static enum fm_status take_table(void *context, const struct fm_check_table *table,
                                 struct fm_error *err)
{
    struct fixture *f = context;

    (void)err;
    assert_string_equal(table->domain, "tests");
    assert_string_equal(table->table, "rows");
    f->table = *table;
    f->tables++;
    return FM_OK;
}

static enum fm_status examine(struct fixture *f)
{
    struct fm_check_options options = {
        .dir = f->dir, .context = f, .finding = take_finding, .table = take_table};

    rocks_close(f->rocks);
    f->rocks = NULL;
    f->tables = 0;
    f->said[0] = '\0';
    return fm_store_check(&options, &f->result, &f->err);
}

static void assert_content(struct fixture *f)
{
    if (examine(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_string_equal(f->said, "");
    assert_int_equal(f->result.damage_count, 0);
    assert_int_equal(f->tables, 1);
    assert_true(f->table.is_whole);
    assert_int_equal(f->table.size, ROWS);
    assert_true(fm_hash_equal(&f->table.root, &f->last.root));
}

/* It is noticed, and a finding has this text. */
static void assert_damage(struct fixture *f, const char *text)
{
    if (examine(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_true(f->result.damage_count > 0);
    if (strstr(f->said, text) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", text, f->said);
}

/* ---- Damage with right checksums ------------------------------------------------------------- */

static void open_rocks(struct fixture *f)
{
    char path[STORE_DIR_MAX + 8];
    struct rocks_options options = {.path = path, .cache_bytes = 1 << 20};

    (void)snprintf(path, sizeof path, "%s/store", f->dir);
    assert_int_equal(rocks_open(&options, &f->rocks, &f->err), FM_OK);
}

static void put(struct fixture *f, enum rocks_family family, const struct key *key,
                struct fm_span value)
{
    struct rocks_batch *batch = NULL;

    assert_int_equal(rocks_batch_new(f->rocks, &batch), FM_OK);
    if (value.data != NULL)
        rocks_batch_put(batch, family, key_span(key), value);
    else
        rocks_batch_delete(batch, family, key_span(key));
    assert_int_equal(rocks_write(f->rocks, batch, true, &f->err), FM_OK);
    rocks_batch_free(batch);
}

/* The key index's entry of the row with this id. */
static struct key entry_key(int64_t id)
{
    return key_index(1, fm_span(&id, sizeof id));
}

static struct index_value entry_get(struct fixture *f, const struct key *key)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct index_value entry;

    assert_int_equal(rocks_get(f->rocks, NULL, ROCKS_KEYS, key_span(key), &value, &f->err), FM_OK);
    assert_int_equal(index_decode(fm_buf_span(&value), &entry), FM_OK);
    return entry;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void test_whole_store_is_content(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options foreign = store_options(f->dir);
    struct fm_check_options options = {.dir = f->dir, .mesh = &foreign.mesh};

    assert_content(f);
    assert_int_equal(f->result.commit, 4);
    assert_int_equal(f->table.segment_count, 1);
    assert_int_equal(f->table.hot_rows, HOT_ROWS);
    assert_int_equal(f->table.rows_latest, KEYS);
    assert_true(f->table.stored_bytes > 0);
    assert_content(f); /* Looking changed nothing. */
    foreign.mesh.bytes[0] ^= 1;
    assert_int_equal(fm_store_check(&options, &f->result, &f->err), FM_CONFLICT);
}

/* Facts of an older schema version are encoded as they were then. */
static void test_older_schema_versions_count(void **state)
{
    struct fixture *f = *state;
    struct fm_store *store = store_open_good(f->dir);
    struct fm_schema *next = rows_schema(ROWS_KEYED | ROWS_CLUSTERED | ROWS_SECRET | ROWS_V2);

    assert_int_equal(fm_store_define(store, next, 1, &f->err), FM_OK);
    fm_schema_free(next);
    fm_store_close(store);
    assert_content(f);
}

static void test_read_only_store_refuses_writes(void **state)
{
    struct fixture *f = *state;
    struct fm_store_options options = store_options(f->dir);
    struct fm_append_options append = {0};
    struct fm_store *store = NULL;
    struct row_list list = {0};

    options.read_only = true;
    assert_int_equal(fm_store_open(&options, &store, &f->err), FM_OK);
    assert_int_equal(rows_append_with(store, f->schema, f->rows, 1, &append, &f->last, &f->err),
                     FM_REFUSED);
    assert_int_equal(fm_store_put_record(store, fm_span_str("k"), fm_span_str("v"), &f->err),
                     FM_REFUSED);
    rows_read(store, &list);
    assert_int_equal(list.count, KEYS);
    row_list_free(&list);
    assert_int_equal(examine(f), FM_BUSY);
    fm_store_close(store);
}

static void test_no_store_is_not_made(void **state)
{
    struct fixture *f = *state;
    char none[STORE_DIR_MAX + 8] = "";
    struct fm_check_options options = {.dir = none};
    struct fm_store_options open = store_options(none);
    struct fm_store *store = NULL;

    (void)snprintf(none, sizeof none, "%s.none", f->dir);
    open.read_only = true;
    assert_int_equal(fm_store_check(&options, &f->result, &f->err), FM_NOTFOUND);
    assert_int_equal(fm_store_open(&open, &store, &f->err), FM_NOTFOUND);
    assert_int_equal(access(none, F_OK), -1);
}

static void test_wrong_index_entries_are_named(void **state)
{
    struct fixture *f = *state;
    struct key key = entry_key(7);
    struct index_value entry;
    uint8_t bytes[16];

    open_rocks(f);
    entry = entry_get(f, &key);
    entry.sequence--;
    index_encode(bytes, &entry);
    put(f, ROCKS_KEYS, &key, fm_span(bytes, sizeof bytes));
    assert_damage(f, "the key index says that the latest is fact");
    open_rocks(f);
    put(f, ROCKS_KEYS, &key, (struct fm_span){0});
    assert_damage(f, "the key index does not have its key");
    open_rocks(f);
    entry.sequence++;
    index_encode(bytes, &entry);
    put(f, ROCKS_KEYS, &key, fm_span(bytes, sizeof bytes));
    assert_content(f);
    open_rocks(f);
    key = entry_key(KEYS + 1); /* Of no fact. */
    put(f, ROCKS_KEYS, &key, fm_span(bytes, sizeof bytes));
    assert_damage(f, "the key index has 3001 keys, the facts have 3000");
    open_rocks(f);
    put(f, ROCKS_KEYS, &key, fm_span(bytes, 15));
    assert_damage(f, "of `keys` fails its checksum");
}

static void test_superseded_rows_are_compared(void **state)
{
    struct fixture *f = *state;
    struct key key = key_window(1, 0);

    open_rocks(f);
    put(f, ROCKS_SEGMENTS, &key, (struct fm_span){0});
    assert_damage(f, "store: the stored list of segments");
    assert_int_equal(f->tables, 0); /* It does not even open. */
}

static void test_other_facts_have_another_root(void **state)
{
    struct fixture *f = *state;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf changed = FM_BUF_INIT(0);
    struct key key = key_hot(1, SEGMENT_ROWS);
    struct hot_value hot;

    open_rocks(f);
    assert_int_equal(rocks_get(f->rocks, NULL, ROCKS_HOT, key_span(&key), &value, &f->err), FM_OK);
    assert_int_equal(hot_decode(fm_buf_span(&value), &hot), FM_OK);
    hot.header.recorded_at--;
    hot_encode(&changed, &hot);
    put(f, ROCKS_HOT, &key, fm_buf_span(&changed));
    assert_damage(f, "tests.rows: the facts have the Merkle root");
    assert_false(f->table.is_whole);
    open_rocks(f);
    put(f, ROCKS_HOT, &key, (struct fm_span){0});
    assert_damage(f, "tests.rows: the stored rows from fact 5000 on are damaged or missing");
}

static void test_missing_column_is_named(void **state)
{
    struct fixture *f = *state;
    struct key key = key_column(1, 1, 3);

    open_rocks(f);
    if (rocks_get(f->rocks, NULL, ROCKS_SEGMENTS, key_span(&key), &(struct fm_buf){.max = 1 << 20},
                  NULL) == FM_NOTFOUND)
        key = key_column(1, 0, 3);
    put(f, ROCKS_SEGMENTS, &key, (struct fm_span){0});
    assert_damage(f, "column `value` of the segment of facts 0 to 4999 is damaged");
}

static void test_kept_hashes_are_compared(void **state)
{
    struct fixture *f = *state;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_subtree(1, 8, 3);

    open_rocks(f);
    assert_int_equal(rocks_get(f->rocks, NULL, ROCKS_SEGMENTS, key_span(&key), &value, &f->err),
                     FM_OK);
    fm_buf_clear(&value);
    subtree_encode(&value, &f->last.root);
    put(f, ROCKS_SEGMENTS, &key, fm_buf_span(&value));
    assert_damage(f, "the kept hash of the 256 facts from 768 on is not theirs");
    open_rocks(f);
    put(f, ROCKS_SEGMENTS, &key, (struct fm_span){0});
    assert_content(f); /* It is computed where it is missing. */
}

static void test_sealed_values_are_read(void **state)
{
    struct fixture *f = *state;
    struct key key = {.len = 3, .bytes = "key"};

    open_rocks(f);
    put(f, ROCKS_RECORDS, &key, fm_span_str("no checksum"));
    assert_damage(f, "the value of key 6b6579 of `records` fails its checksum");
}

static void test_chain_of_commits_is_checked(void **state)
{
    struct fixture *f = *state;
    struct key key = key_commit(2);

    open_rocks(f);
    put(f, ROCKS_META, &key, (struct fm_span){0});
    assert_damage(f, "commits: the digest of commit 2 is missing");
}

static void test_unfinished_append_is_a_note(void **state)
{
    struct fixture *f = *state;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct staged_value staged = {.first_sequence = ROWS, .first_segment = 2};
    struct key key = key_table(KEYS_META_STAGED, 1);

    staged_encode(&value, &staged);
    open_rocks(f);
    put(f, ROCKS_META, &key, fm_buf_span(&value));
    assert_int_equal(examine(f), FM_OK);
    assert_int_equal(f->result.damage_count, 0);
    assert_int_equal(f->result.note_count, 1);
    assert_non_null(strstr(f->said, "half there"));
}

static void flip_slots(const struct fixture *f, off_t at)
{
    char path[STORE_DIR_MAX + 8];
    uint8_t byte;
    int fd;

    (void)snprintf(path, sizeof path, "%s/slots", f->dir);
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
}

static void test_each_slot_is_looked_at(void **state)
{
    struct fixture *f = *state;

    flip_slots(f, 80);
    assert_damage(f, "slots: slot 1 of 2 fails its checksum");
    flip_slots(f, SLOT_BYTES + 80);
    assert_damage(f, "slots: slot 2 of 2 fails its checksum");
    assert_non_null(strstr(f->said, "store: both records"));
    flip_slots(f, 80);
    flip_slots(f, SLOT_BYTES + 80);
    assert_content(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_whole_store_is_content),         TEST(test_older_schema_versions_count),
        TEST(test_read_only_store_refuses_writes), TEST(test_no_store_is_not_made),
        TEST(test_wrong_index_entries_are_named),  TEST(test_superseded_rows_are_compared),
        TEST(test_other_facts_have_another_root),  TEST(test_missing_column_is_named),
        TEST(test_kept_hashes_are_compared),       TEST(test_sealed_values_are_read),
        TEST(test_chain_of_commits_is_checked),    TEST(test_unfinished_append_is_a_note),
        TEST(test_each_slot_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
