/* Every stored key and value: golden bytes, back and forth, cut short, with a flipped bit. */
#include "storage/keys.h"

#include "storage/crc.h"
#include "tests/support/storage_examples.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const char *const example_names[] = {
#define X(name, number) [number] = #name,
    STORAGE_EXAMPLE_MAP(X)
#undef X
};

struct fixture {
    struct vector_file *vectors;
    struct fm_buf bytes;
    struct fm_buf again;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->vectors = vector_file_open("storage.txt");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vector_file_free(f->vectors);
    fm_buf_free(&f->bytes);
    fm_buf_free(&f->again);
    free(f);
    return 0;
}

/* RFC 3720, appendix B.4. */
static void test_crc(void **state)
{
    uint8_t bytes[32] = {0};

    (void)state;
    assert_int_equal(crc_of(fm_span(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc_of(fm_span(bytes, 32)), 0x62a8ab43);
    for (uint8_t i = 0; i < 32; i++)
        bytes[i] = i;
    assert_int_equal(crc_of(fm_span(bytes, 32)), 0x46dd794e);
    assert_int_equal(crc_of(fm_span_str("123456789")), 0xe3069283);
    assert_int_equal(crc_of(fm_span(NULL, 0)), 0);
}

static void check_key(struct fixture *f, const char *name, struct key key)
{
    vector_check(f->vectors, name, key_span(&key));
}

static void test_keys(void **state)
{
    struct fixture *f = *state;
    uint8_t text[300];
    uint64_t number;
    uint32_t table;

    memset(text, 'k', sizeof text);
    check_key(f, "key-format", key_meta(KEYS_META_FORMAT));
    check_key(f, "key-tip", key_meta(KEYS_META_TIP));
    check_key(f, "key-commit", key_commit(258));
    check_key(f, "key-table", key_table(KEYS_META_TABLE, 258));
    check_key(f, "key-schema", key_schema(258, 3));
    check_key(f, "key-state", key_table(KEYS_META_STATE, 258));
    check_key(f, "key-staged", key_table(KEYS_META_STAGED, 258));
    check_key(f, "key-hot", key_hot(258, 1000));
    check_key(f, "key-segment", key_segment(258, 1000));
    check_key(f, "key-column", key_column(258, 5, 7));
    check_key(f, "key-window", key_window(258, 1));
    check_key(f, "key-subtree", key_subtree(258, 12, 700));
    check_key(f, "key-spans", key_spans(258, 5));
    check_key(f, "key-tiles", key_tiles(258, 700));
    check_key(f, "key-producer", key_producer(258, (const uint8_t *)"0123456789abcdef"));
    check_key(f, "key-subject", key_subject(&(struct fm_hash){{1, 2, 3}}));
    check_key(f, "key-subject-mark", key_subject_mark());
    check_key(f, "key-index", key_index(258, fm_span_str("\003abc")));
    check_key(f, "key-index-long", key_index(258, fm_span(text, sizeof text)));
    struct key key = key_hot(258, 1000);
    assert_int_equal(key_parse_table(key_span(&key), 0, &table), FM_OK);
    assert_int_equal(key_parse_number(key_span(&key), 4, &number), FM_OK);
    assert_int_equal(table, 258);
    assert_int_equal(number, 1000);
    assert_int_equal(key_parse_number(key_span(&key), 5, &number), FM_CORRUPT);
    assert_int_equal(key_parse_table(key_span(&key), 20, &table), FM_CORRUPT);
}

static void test_values_have_golden_bytes(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < sizeof example_names / sizeof example_names[0]; i++) {
        fm_buf_clear(&f->bytes);
        fm_buf_clear(&f->again);
        assert_true(storage_example(i, &f->bytes));
        vector_check(f->vectors, example_names[i], fm_buf_span(&f->bytes));
        assert_int_equal(storage_decode(i, fm_buf_span(&f->bytes), &f->again), FM_OK);
        assert_true(fm_span_equal(fm_buf_span(&f->bytes), fm_buf_span(&f->again)));
    }
    assert_false(storage_example(99, &f->bytes));
}

static void decode_column(struct fm_span value, const struct fm_type *type, struct fm_buf *out)
{
    struct column column;

    assert_int_equal(column_open(value, type, &column), FM_OK);
    fm_buf_clear(out);
    assert_int_equal(column_decode(&column, 0, column.block_count, NULL, out), FM_OK);
    column_deinit(&column);
}

/* Compressors may improve: what has to stay is what the golden bytes decode to. */
static void test_columns_have_golden_bytes(void **state)
{
    struct fixture *f = *state;
    struct fm_buf golden = FM_BUF_INIT(0);

    for (unsigned i = 0; i < COLUMN_EXAMPLES; i++) {
        struct fm_type type = {0};

        fm_buf_clear(&f->bytes);
        column_example_make(&column_examples[i], &type, &f->bytes);
        if (getenv("FM_PRINT_VECTORS") != NULL) {
            vector_check(f->vectors, column_examples[i].name, fm_buf_span(&f->bytes));
        } else {
            decode_column(fm_buf_span(&f->bytes), &type, &f->again);
            vector_bytes(f->vectors, column_examples[i].name, &f->bytes);
            decode_column(fm_buf_span(&f->bytes), &type, &golden);
            assert_true(fm_span_equal(fm_buf_span(&golden), fm_buf_span(&f->again)));
        }
        fm_type_deinit(&type);
    }
    fm_buf_free(&golden);
}

/* No proper prefix and no value with something behind it decodes, nor one with a flipped bit.
 * Entries of the key index carry no checksum: there only the length counts. */
static void test_damage_is_noticed(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < sizeof example_names / sizeof example_names[0]; i++) {
        fm_buf_clear(&f->bytes);
        assert_true(storage_example(i, &f->bytes));
        for (size_t len = 0; len < f->bytes.len; len++) {
            fm_buf_clear(&f->again);
            assert_int_not_equal(storage_decode(i, fm_span(f->bytes.data, len), &f->again), FM_OK);
        }
        for (size_t bit = 0; bit < 8 * f->bytes.len && i != STORAGE_EXAMPLE_index; bit++) {
            fm_buf_clear(&f->again);
            f->bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_int_not_equal(storage_decode(i, fm_buf_span(&f->bytes), &f->again), FM_OK);
            f->bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        }
        fm_buf_put_u8(&f->bytes, 0);
        fm_buf_clear(&f->again);
        assert_int_not_equal(storage_decode(i, fm_buf_span(&f->bytes), &f->again), FM_OK);
    }
}

/* The chain of commits, by the definition. */
static void test_chain(void **state)
{
    struct fixture *f = *state;
    struct fm_hash digest = {{0}}, root;
    struct commit_what what;

    memset(root.bytes, 0x55, sizeof root.bytes);
    what = commit_what_define(1, 2, &root);
    commit_chain(&digest, 1, &what);
    vector_check(f->vectors, "chain-define", fm_span(digest.bytes, 32));
    what = commit_what_append(1, 1000, &root);
    commit_chain(&digest, 2, &what);
    vector_check(f->vectors, "chain-append", fm_span(digest.bytes, 32));
    what = commit_what_record(fm_span_str("key"), fm_span_str("value"));
    commit_chain(&digest, 3, &what);
    vector_check(f->vectors, "chain-record", fm_span(digest.bytes, 32));
    what = commit_what_seal(1, 1000, 3000);
    commit_chain(&digest, 4, &what);
    vector_check(f->vectors, "chain-seal", fm_span(digest.bytes, 32));
    what = commit_what_merge(1, 1000, 3000);
    commit_chain(&digest, 5, &what);
    vector_check(f->vectors, "chain-merge", fm_span(digest.bytes, 32));
    what = commit_what_retain(1, 4000);
    commit_chain(&digest, 6, &what);
    vector_check(f->vectors, "chain-retain", fm_span(digest.bytes, 32));
    what = commit_what_erase(&root);
    commit_chain(&digest, 7, &what);
    vector_check(f->vectors, "chain-erase", fm_span(digest.bytes, 32));
    fm_buf_clear(&f->bytes);
    fm_buf_put(&f->bytes, (uint8_t[32]){0}, 32);
    fm_buf_put_u64(&f->bytes, 1);
    fm_buf_put_u8(&f->bytes, 2);
    fm_buf_put_u32(&f->bytes, 1);
    fm_buf_put_u32(&f->bytes, 2);
    fm_buf_put(&f->bytes, root.bytes, 32);
    fm_sha256_one(&digest, fm_buf_span(&f->bytes));
    vector_check(f->vectors, "chain-define", fm_span(digest.bytes, 32));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),          TEST(test_keys),
        TEST(test_values_have_golden_bytes), TEST(test_columns_have_golden_bytes),
        TEST(test_damage_is_noticed),        TEST(test_chain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
