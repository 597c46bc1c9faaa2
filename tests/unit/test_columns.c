/* The columns of a result: their vector, their way back, and what is refused. */
#include "core/records.h"

#include "core/codec.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct vector_file *vectors;
    struct fm_buf bytes;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->vectors = vector_file_open("records.txt");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vector_file_free(f->vectors);
    fm_buf_free(&f->bytes);
    free(f);
    return 0;
}

/* Columns of two kinds, one with a dictionary. */
static void put_example_columns(struct fm_buf *out)
{
    static const uint32_t offsets[] = {0, 3, 6};
    struct fm_column items[2] = {{.name = "carrier"}, {.name = "delay"}};
    const struct fm_columns columns = {.count = 2, .items = items};

    assert_int_equal(fm_type_parse(fm_span_str("varchar"), &items[0].type, NULL), FM_OK);
    assert_int_equal(fm_type_parse(fm_span_str("list(int32)"), &items[1].type, NULL), FM_OK);
    items[0].dictionary =
        (struct fm_dictionary){.count = 2, .offsets = offsets, .text = (const uint8_t *)"AAAJFK"};
    fm_columns_encode(out, &columns);
    fm_type_deinit(&items[0].type);
    fm_type_deinit(&items[1].type);
}

static void columns_have_these_bytes(void **state)
{
    struct fixture *f = *state;

    put_example_columns(&f->bytes);
    vector_check(f->vectors, "columns", fm_buf_span(&f->bytes));
}

static void columns_come_back(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns;

    put_example_columns(&f->bytes);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->bytes), &columns), FM_OK);
    /* The dictionary is a copy of its own: the message may go. */
    memset(f->bytes.data, 0, f->bytes.len);
    assert_int_equal(columns.count, 2);
    assert_string_equal(columns.items[0].name, "carrier");
    assert_int_equal(columns.items[0].type.kind, FM_KIND_VARCHAR);
    assert_int_equal(columns.items[0].dictionary.count, 2);
    assert_true(
        fm_span_equal(fm_dictionary_at(&columns.items[0].dictionary, 1), fm_span_str("JFK")));
    assert_int_equal((uintptr_t)columns.items[0].dictionary.offsets % 4, 0);
    assert_string_equal(columns.items[1].name, "delay");
    assert_int_equal(columns.items[1].type.kind, FM_KIND_LIST);
    assert_int_equal(columns.items[1].dictionary.count, 0);
    fm_columns_deinit(&columns);
    fm_columns_deinit(&columns); /* Empty now: fine. */
}

static void no_columns_are_columns_too(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns = {0};

    fm_columns_encode(&f->bytes, &columns);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->bytes), &columns), FM_OK);
    assert_int_equal(columns.count, 0);
    fm_columns_deinit(&columns);
}

/* One column from its three parts. */
static enum fm_status take_column(struct fixture *f, const char *name, struct fm_span type,
                                  struct fm_span dictionary)
{
    struct fm_columns columns;

    fm_buf_clear(&f->bytes);
    fm_pack_array(&f->bytes, 1);
    fm_pack_array(&f->bytes, 3);
    fm_pack_str(&f->bytes, name);
    fm_pack_bin_span(&f->bytes, type);
    if (dictionary.data == NULL)
        fm_pack_nil(&f->bytes);
    else
        fm_pack_bin_span(&f->bytes, dictionary);
    enum fm_status status = fm_columns_decode(fm_buf_span(&f->bytes), &columns);
    if (status == FM_OK)
        fm_columns_deinit(&columns);
    return status;
}

static void wrong_columns_are_refused(void **state)
{
    struct fixture *f = *state;
    static const uint32_t offsets[] = {0, 1};
    const struct fm_dictionary one = {1, offsets, (const uint8_t *)"a"};
    struct fm_buf text = FM_BUF_INIT(0), number = FM_BUF_INIT(0), dictionary = FM_BUF_INIT(0);
    char name[FM_NAME_MAX * 4 + 2];

    fm_type_encode(&text, &(struct fm_type){.kind = FM_KIND_VARCHAR});
    fm_type_encode(&number, &(struct fm_type){.kind = FM_KIND_INT32});
    fm_dictionary_encode(&dictionary, &one);
    struct fm_span words = fm_buf_span(&dictionary), none = {0};

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(take_column(f, name, fm_buf_span(&text), none), FM_MALFORMED);
    name[sizeof name - 2] = '\0';
    assert_int_equal(take_column(f, name, fm_buf_span(&text), none), FM_OK);
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), words), FM_OK);
    assert_int_equal(take_column(f, "c", fm_buf_span(&number), words), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_span("", 0), none), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_span(text.data, text.len - 1), none), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), fm_span("", 0)), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), fm_span(words.data, words.len - 1)),
                     FM_MALFORMED);
    fm_buf_put_u8(&text, 0); /* A type and something behind it. */
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), none), FM_MALFORMED);
    fm_buf_free(&text);
    fm_buf_free(&number);
    fm_buf_free(&dictionary);
}

/* Small types are a few bytes on the wire and far more in memory: their number is bounded over all
 * columns together. */
static void types_of_all_columns_are_bounded_together(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns;
    struct fm_buf type = FM_BUF_INIT(0);
    struct fm_type leaf = {.kind = FM_KIND_INT8};
    struct fm_type inner = {.kind = FM_KIND_LIST, .child_count = 1, .children = &leaf};
    struct fm_type outer = {.kind = FM_KIND_LIST, .child_count = 1, .children = &inner};

    fm_type_encode(&type, &outer);
    fm_pack_array(&f->bytes, FM_COLUMNS_MAX);
    for (uint32_t i = 0; i < FM_COLUMNS_MAX; i++) {
        fm_pack_array(&f->bytes, 3);
        fm_pack_str(&f->bytes, "c");
        fm_pack_bin_span(&f->bytes, fm_buf_span(&type));
        fm_pack_nil(&f->bytes);
    }
    assert_true(FM_COLUMNS_MAX * 3 > FM_TYPE_NODES_MAX);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->bytes), &columns), FM_LIMIT);
    fm_buf_free(&type);
}

#define WITH_VECTORS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_VECTORS(columns_have_these_bytes),
        WITH_VECTORS(columns_come_back),
        WITH_VECTORS(no_columns_are_columns_too),
        WITH_VECTORS(wrong_columns_are_refused),
        WITH_VECTORS(types_of_all_columns_are_bounded_together),
    };
    return cmocka_run_group_tests_name("columns", tests, NULL, NULL);
}
