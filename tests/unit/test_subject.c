/* Data subjects: their names, keys and sealed rows, by vectors that were made apart from the
 * program; every changed bit is noticed. */
#include "core/subject.h"

#include "core/leaf.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const uint8_t row_fields[] = {2, 4, 0x0e, 3, 'A', 'd', 'a', 5, 0x0e, 1, 'x'};
static const uint8_t no_fields[] = {0};

struct fixture {
    struct vector_file *vectors;
    struct fm_subject_keys keys;
    struct fm_buf sealed;
    struct fm_buf again;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uint8_t key[FM_SUBJECT_KEY_BYTES];

    assert_non_null(f);
    f->vectors = vector_file_open("subject.txt");
    for (uint8_t i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(i + 1);
    fm_subject_keys(&f->keys, key, "clinic", "visits");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vector_file_free(f->vectors);
    fm_buf_free(&f->sealed);
    fm_buf_free(&f->again);
    free(f);
    return 0;
}

static void keys_are_those_of_the_vectors(void **state)
{
    struct fixture *f = *state;
    struct fm_subject_keys other;
    struct fm_hash id;
    uint8_t key[FM_SUBJECT_KEY_BYTES] = {1};

    vector_check(f->vectors, "seal-key", fm_span(f->keys.seal, 32));
    vector_check(f->vectors, "salt-key", fm_span(f->keys.salt, 32));
    fm_subject_id(&id, "clinic", fm_span_str("patient-17"));
    vector_check(f->vectors, "id", fm_span(id.bytes, sizeof id.bytes));
    /* Where a domain's name ends and a table's begins counts. */
    fm_subject_keys(&f->keys, key, "ab", "c");
    fm_subject_keys(&other, key, "a", "bc");
    assert_memory_not_equal(f->keys.seal, other.seal, 32);
    assert_memory_not_equal(f->keys.salt, other.salt, 32);
}

static void check_row(struct fixture *f, const char *commitment_name, const char *sealed_name,
                      uint64_t sequence, struct fm_span fields)
{
    uint8_t commitment[FM_HASH_BYTES];

    fm_buf_clear(&f->sealed);
    fm_buf_clear(&f->again);
    fm_subject_seal(&f->keys, sequence, fields, commitment, &f->sealed);
    vector_check(f->vectors, commitment_name, fm_span(commitment, sizeof commitment));
    vector_check(f->vectors, sealed_name, fm_buf_span(&f->sealed));
    assert_int_equal(
        fm_subject_open(&f->keys, sequence, commitment, fm_buf_span(&f->sealed), &f->again), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&f->again), fields));
}

static void rows_are_those_of_the_vectors(void **state)
{
    struct fixture *f = *state;

    check_row(f, "row-commitment", "row-sealed", 70000, fm_span(row_fields, sizeof row_fields));
    check_row(f, "row-of-nulls-commitment", "row-of-nulls-sealed", 0,
              fm_span(no_fields, sizeof no_fields));
}

static void expect_corrupt(struct fixture *f, uint64_t sequence, const uint8_t *commitment,
                           struct fm_span sealed)
{
    fm_buf_clear(&f->again);
    assert_int_equal(fm_subject_open(&f->keys, sequence, commitment, sealed, &f->again),
                     FM_CORRUPT);
    assert_int_equal(f->again.len, 0);
}

static void changed_bits_are_noticed(void **state)
{
    struct fixture *f = *state;
    uint8_t commitment[FM_HASH_BYTES];
    struct fm_span sealed;

    fm_subject_seal(&f->keys, 5, fm_span(row_fields, sizeof row_fields), commitment, &f->sealed);
    sealed = fm_buf_span(&f->sealed);
    for (size_t bit = 0; bit < 8 * sealed.len; bit++) {
        f->sealed.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        expect_corrupt(f, 5, commitment, sealed);
        f->sealed.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t bit = 0; bit < 8 * sizeof commitment; bit++) {
        commitment[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        expect_corrupt(f, 5, commitment, sealed);
        commitment[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t len = 0; len < sealed.len; len++)
        expect_corrupt(f, 5, commitment, fm_span(sealed.data, len));
    expect_corrupt(f, 6, commitment, sealed);
    f->keys.seal[0] ^= 1;
    expect_corrupt(f, 5, commitment, sealed);
}

/* ---- Names ---- */

static void expect_text(const char *type_text, struct fm_span canonical, const char *text)
{
    struct fm_type type = {0};
    const struct fm_type *types = &type;
    struct fm_batch_builder_options options = {.types = &types, .column_count = 1, .encode = true};
    struct fm_batch_builder *builder = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0), name = FM_BUF_INIT(0);
    struct fm_cursor cursor = fm_cursor(canonical);
    struct fm_batch batch;

    assert_int_equal(fm_type_parse(fm_span_str(type_text), &type, NULL), FM_OK);
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    assert_int_equal(fm_batch_put_canonical(builder, 0, &cursor), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &bytes), FM_OK);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&bytes), &batch), FM_OK);
    assert_int_equal(fm_subject_text(&type, &batch, &batch.vectors[0], NULL, 0, &name), FM_OK);
    if (!fm_span_equal(fm_buf_span(&name), fm_span_str(text)))
        fail_msg("%s: %.*s, not %s", type_text, (int)name.len, (const char *)name.data, text);
    fm_batch_builder_free(builder);
    fm_buf_free(&bytes);
    fm_buf_free(&name);
    fm_type_deinit(&type);
}

static void names_have_one_form(void **state)
{
    static const uint8_t ones[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                     0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t lowest[16] = {[15] = 0x80};
    static const uint8_t lowest64[8] = {[7] = 0x80};
    static const uint8_t seventeen[16] = {17};
    static const uint8_t uuid[16] = {0x53, 0x58, 0x14, 0x32, 0x6c, 0x55, 0x4b, 0xa2,
                                     0xa6, 0x5f, 0x72, 0x34, 0x4a, 0x91, 0x55, 0xfa};

    (void)state;
    expect_text("int8", fm_span(ones, 1), "-1");
    expect_text("uint8", fm_span(ones, 1), "255");
    expect_text("int32", fm_span(seventeen, 4), "17");
    expect_text("int64", fm_span(seventeen, 8), "17");
    expect_text("hugeint", fm_span(seventeen, 16), "17");
    expect_text("int64", fm_span(lowest64, 8), "-9223372036854775808");
    expect_text("uint64", fm_span(ones, 8), "18446744073709551615");
    expect_text("hugeint", fm_span(lowest, 16), "-170141183460469231731687303715884105728");
    expect_text("hugeint", fm_span(ones, 16), "-1");
    expect_text("uuid", fm_span(uuid, 16), "53581432-6c55-4ba2-a65f-72344a9155fa");
    expect_text("varchar",
                fm_span_str("\x02"
                            "17"),
                "17");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(keys_are_those_of_the_vectors),
        TEST(rows_are_those_of_the_vectors),
        TEST(changed_bits_are_noticed),
        cmocka_unit_test(names_have_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
