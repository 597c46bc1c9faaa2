/* A saved answer: what was written is read, an honest one is verified, and no changed, cut or added
 * byte goes unnoticed. */
#include "client/answer_file.h"

#include "client/client_internal.h"
#include "tests/support/test_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    char path[128];
    char charter[128];
    struct test_bundle *bundle;
    struct fm_columns columns;
    struct fm_column column;
    struct fm_buf columns_bytes;
    struct fm_buf batches[2];
    bool with_fragments; /* The file has what they brought, */
    bool is_swapped;     /* but in another order. */
    struct fm_buf fragments[2][2];
    struct fm_buf file;
    struct fm_error err;
};

/* A batch of `count` integers from `first`. */
static void make_batch(struct fm_buf *out, int64_t first, uint32_t count)
{
    static const struct fm_type type = {.kind = FM_KIND_INT64};
    static const struct fm_type *const types[] = {&type};
    struct fm_batch_builder *builder = NULL;

    assert_int_equal(
        fm_batch_builder_new(&(struct fm_batch_builder_options){.types = types, .column_count = 1},
                             &builder),
        FM_OK);
    for (int64_t i = first; i < first + count; i++)
        assert_int_equal(fm_batch_put_fixed(builder, 0, &i), FM_OK);
    assert_int_equal(fm_batch_builder_finish(builder, 0, out), FM_OK);
    fm_batch_builder_free(builder);
}

/* Let the answer of test_bundle.h be about the two batches. */
static void fit_answer(struct fixture *f)
{
    struct fm_answer *answer = &f->bundle->answer;
    struct fm_tree tree;

    f->column = (struct fm_column){.name = "n", .type = {.kind = FM_KIND_INT64}};
    f->columns = (struct fm_columns){.count = 1, .items = &f->column};
    fm_columns_encode(&f->columns_bytes, &f->columns);
    answer->columns = fm_buf_span(&f->columns_bytes);
    answer->rows = 5;
    answer->batches = 2;
    answer->bytes = f->batches[0].len + f->batches[1].len;
    fm_tree_init(&tree);
    for (int i = 0; i < 2; i++) {
        struct fm_hash leaf;
        fm_leaf_hash(&leaf, fm_buf_span(&f->batches[i]));
        fm_tree_append(&tree, &leaf);
    }
    fm_tree_root(&tree, &answer->root);
}

/* Let each fragment of it have brought two batches of the same column, which are kept. */
static void fit_fragments(struct fixture *f)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fm_receipt *receipt = &f->bundle->receipts[i];
        struct fm_tree tree;
        fm_tree_init(&tree);
        receipt->rows = receipt->bytes = 0;
        receipt->batches = 2;
        for (unsigned k = 0; k < 2; k++) {
            struct fm_hash leaf;
            fm_leaf_hash(&leaf, fm_buf_span(&f->fragments[i][k]));
            fm_tree_append(&tree, &leaf);
            receipt->rows += 2 + k;
            receipt->bytes += f->fragments[i][k].len;
        }
        fm_tree_root(&tree, &receipt->root);
        fm_sha256_one(&receipt->columns, fm_buf_span(&f->columns_bytes));
        f->bundle->bundle.columns[i] = fm_buf_span(&f->columns_bytes);
    }
    f->bundle->bundle.has_columns = true;
    f->with_fragments = true;
}

static void write_answer(struct fixture *f)
{
    struct fm_answer_writer *writer = NULL;

    assert_int_equal(fm_answer_writer_open(f->path, &writer, &f->err), FM_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(fm_answer_writer_batch(writer, fm_buf_span(&f->batches[i]), &f->err),
                         FM_OK);
    assert_int_equal(
        fm_answer_writer_bundle(writer, fm_buf_span(&f->bundle->bundle_bytes), &f->err), FM_OK);
    for (int i = 0; i < 2 && f->with_fragments; i++)
        for (int k = 0; k < 2; k++)
            assert_int_equal(
                fm_answer_writer_fragment(
                    writer, fm_buf_span(&f->fragments[i][f->is_swapped ? 1 - k : k]), &f->err),
                FM_OK);
    assert_int_equal(fm_answer_writer_finish(writer, &f->err), FM_OK);
    fm_answer_writer_free(writer);
    assert_int_equal(fm_file_read(f->path, 1u << 20, &f->file, &f->err), FM_OK);
}

static int make(void **state, bool with_fragments)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/folkmoot-test.XXXXXX");
    f->bundle = test_bundle_new();
    if (f->bundle == NULL || mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/answer", f->dir);
    (void)snprintf(f->charter, sizeof f->charter, "%s/charter", f->dir);
    make_batch(&f->batches[0], 7, 3);
    make_batch(&f->batches[1], 100, 2);
    for (unsigned i = 0; i < 2; i++)
        for (unsigned k = 0; k < 2; k++)
            make_batch(&f->fragments[i][k], 10 * i + k, 2 + k);
    fit_answer(f);
    if (with_fragments)
        fit_fragments(f);
    *state = f;
    if (test_bundle_seal(f->bundle) != FM_OK)
        return -1;
    write_answer(f);
    return fm_file_write(f->charter, fm_buf_span(&f->bundle->mesh->charter_bytes), 0644, &f->err) ==
                   FM_OK
               ? 0
               : -1;
}

static int setup(void **state)
{
    return make(state, false);
}

static int setup_with_fragments(void **state)
{
    return make(state, true);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    (void)unlink(f->path);
    (void)unlink(f->charter);
    (void)rmdir(f->dir);
    fm_buf_free(&f->columns_bytes);
    fm_buf_free(&f->batches[0]);
    fm_buf_free(&f->batches[1]);
    for (unsigned i = 0; i < 4; i++)
        fm_buf_free(&f->fragments[i / 2][i % 2]);
    fm_buf_free(&f->file);
    test_bundle_free(f->bundle);
    free(f);
    return 0;
}

static void put_file(struct fixture *f, struct fm_span bytes)
{
    FILE *file = fopen(f->path, "w");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
}

/* The same with another bundle. */
static void seal_anew(struct fixture *f)
{
    fm_buf_clear(&f->columns_bytes);
    fm_buf_clear(&f->file);
    test_bundle_free(f->bundle);
    f->bundle = test_bundle_new();
    assert_non_null(f->bundle);
    fit_answer(f);
    if (f->with_fragments)
        fit_fragments(f);
}

static enum folkmoot_status verify(struct fixture *f)
{
    struct folkmoot_answer *answer = NULL;

    enum folkmoot_status status = folkmoot_verify(f->path, f->charter, &answer, f->err.text);
    folkmoot_answer_free(answer);
    return status;
}

static void batches_and_bundle_come_back(void **state)
{
    struct fixture *f = *state;
    struct fm_answer_reader *reader = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);

    assert_int_equal(fm_answer_reader_open(f->path, &reader, &f->err), FM_OK);
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < 2; i++) {
            fm_buf_clear(&bytes);
            assert_int_equal(fm_answer_reader_batch(reader, &bytes, &f->err), FM_OK);
            assert_true(fm_span_equal(fm_buf_span(&bytes), fm_buf_span(&f->batches[i])));
        }
        fm_buf_clear(&bytes);
        assert_int_equal(fm_answer_reader_batch(reader, &bytes, &f->err), FM_NOTFOUND);
        assert_int_equal(fm_answer_reader_bundle(reader, &bytes, &f->err), FM_OK);
        assert_true(fm_span_equal(fm_buf_span(&bytes), fm_buf_span(&f->bundle->bundle_bytes)));
        assert_int_equal(fm_answer_reader_rewind(reader, &f->err), FM_OK);
    }
    fm_answer_reader_free(reader);
    fm_buf_free(&bytes);
}

static void honest_answer_is_verified(void **state)
{
    struct fixture *f = *state;
    struct folkmoot_answer *answer = NULL;
    struct folkmoot_answer_info info;
    struct folkmoot_receipt_info receipt;
    struct folkmoot_head_info head;

    enum folkmoot_status status = folkmoot_verify(f->path, f->charter, &answer, f->err.text);
    if (status != FOLKMOOT_OK)
        fail_msg("%s", f->err.text);
    folkmoot_answer_info(answer, &info);
    assert_int_equal(info.rows, 5);
    assert_int_equal(info.receipt_count, 2);
    assert_string_equal(info.sql, f->bundle->sql);
    assert_string_equal(info.node_name, f->bundle->mesh->nodes[0].name);
    assert_int_equal(folkmoot_answer_receipt(answer, 0, &receipt), FOLKMOOT_OK);
    assert_string_equal(receipt.node_name, f->bundle->mesh->nodes[1].name);
    assert_int_equal(receipt.head_count, 1);
    assert_int_equal(folkmoot_answer_head(answer, 0, 0, &head), FOLKMOOT_OK);
    assert_int_equal(head.size, f->bundle->heads[0].size);
    assert_string_equal(head.origin, f->bundle->heads[0].origin);
    assert_int_equal(folkmoot_answer_receipt(answer, 2, &receipt), FOLKMOOT_INVALID);
    assert_int_equal(folkmoot_answer_head(answer, 0, 1, &head), FOLKMOOT_INVALID);
    folkmoot_answer_free(answer);
}

static void each_changed_byte_is_noticed(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < f->file.len; i++) {
        f->file.data[i] ^= (uint8_t)(1u << (i % 8));
        put_file(f, fm_buf_span(&f->file));
        if (verify(f) != FOLKMOOT_FORGED || f->err.text[0] == '\0')
            fail_msg("byte %zu of %zu: %s", i, f->file.len, f->err.text);
        f->file.data[i] ^= (uint8_t)(1u << (i % 8));
    }
    put_file(f, fm_buf_span(&f->file));
    assert_int_equal(verify(f), FOLKMOOT_OK);
}

/* ---- What the fragments brought ------------------------------------------------------------- */

static void expect_forged(struct fixture *f, const char *words)
{
    assert_int_equal(test_bundle_seal(f->bundle), FM_OK);
    write_answer(f);
    if (verify(f) != FOLKMOOT_FORGED || strstr(f->err.text, words) == NULL)
        fail_msg("not '%s' but: %s", words, f->err.text);
}

static void fragments_out_of_order_are_noticed(void **state)
{
    struct fixture *f = *state;

    seal_anew(f);
    f->is_swapped = true;
    expect_forged(f, "batches of fragment 0, domain flights: they are not those that its owner "
                     "signed");
}

/* All that the batches are read by is signed by who sent them. */
static void columns_of_fragments_are_those_signed(void **state)
{
    struct fixture *f = *state;
    struct fm_buf other = FM_BUF_INIT(0);

    seal_anew(f);
    f->column.type.kind = FM_KIND_UINT64;
    fm_columns_encode(&other, &f->columns);
    f->bundle->bundle.columns[1] = fm_buf_span(&other);
    expect_forged(f, "the columns of the fragment of node");
    seal_anew(f);
    f->column.type.kind = FM_KIND_VARCHAR;
    fm_buf_clear(&other);
    fm_columns_encode(&other, &f->columns);
    f->bundle->bundle.columns[1] = fm_buf_span(&other);
    fm_sha256_one(&f->bundle->receipts[1].columns, fm_buf_span(&other));
    expect_forged(f, "domain crew: batch 1 does not fit its columns");
    fm_buf_free(&other);
}

/* Another count of rows than they have. */
static void rows_of_fragments_are_counted(void **state)
{
    struct fixture *f = *state;

    seal_anew(f);
    f->bundle->receipts[1].rows++;
    expect_forged(f, "batches of fragment 1, domain crew");
}

static void rows_that_were_passed_on_are_not_kept_twice(void **state)
{
    struct fixture *f = *state;

    seal_anew(f);
    test_bundle_pass_on(f->bundle);
    f->bundle->receipts[0].rows = f->bundle->answer.rows;
    f->bundle->receipts[0].bytes = f->bundle->answer.bytes;
    expect_forged(f, "are said to be kept twice");
}

/* An answer without its fragments is one all the same. */
static void fragments_can_be_left_out(void **state)
{
    struct fixture *f = *state;

    seal_anew(f);
    f->with_fragments = f->bundle->bundle.has_columns = false;
    assert_int_equal(test_bundle_seal(f->bundle), FM_OK);
    write_answer(f);
    assert_int_equal(verify(f), FOLKMOOT_OK);
}

static void cut_and_longer_files_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t len = 4; len < f->file.len; len += 1 + len / 64) {
        put_file(f, fm_span(f->file.data, len));
        if (verify(f) != FOLKMOOT_FORGED)
            fail_msg("cut to %zu: %s", len, f->err.text);
    }
    fm_buf_put_u8(&f->file, 0);
    put_file(f, fm_buf_span(&f->file));
    assert_int_equal(verify(f), FOLKMOOT_FORGED);
    assert_non_null(strstr(f->err.text, "follows the end"));
}

static void other_files_are_no_answers(void **state)
{
    struct fixture *f = *state;

    put_file(f, fm_span("", 0));
    assert_int_equal(verify(f), FOLKMOOT_INVALID);
    put_file(f, fm_span_str("iata,name\nSEA,Seattle\n"));
    assert_int_equal(verify(f), FOLKMOOT_INVALID);
    assert_non_null(strstr(f->err.text, "does not begin as"));
}

/* Batches that fit their hashes but not the answer's signed columns. */
static void columns_must_fit_the_batches(void **state)
{
    struct fixture *f = *state;

    seal_anew(f);
    f->column.type.kind = FM_KIND_DOUBLE;
    fm_buf_clear(&f->columns_bytes);
    fm_columns_encode(&f->columns_bytes, &f->columns);
    f->bundle->answer.columns = fm_buf_span(&f->columns_bytes);
    assert_int_equal(test_bundle_seal(f->bundle), FM_OK);
    write_answer(f);
    assert_int_equal(verify(f), FOLKMOOT_FORGED);
    assert_non_null(strstr(f->err.text, "does not fit the answer's columns"));
}

static void trust_comes_from_the_callers_charter(void **state)
{
    struct fixture *f = *state;
    struct fm_charter other = f->bundle->mesh->charter;
    struct fm_buf bytes = FM_BUF_INIT(0);

    other.created++;
    assert_int_equal(fm_charter_seal(&other, f->bundle->mesh->authority, 3, &bytes), FM_OK);
    assert_int_equal(fm_file_write(f->charter, fm_buf_span(&bytes), 0644, &f->err), FM_OK);
    assert_int_equal(verify(f), FOLKMOOT_FORGED);
    assert_int_equal(unlink(f->charter), 0);
    assert_int_equal(verify(f), FOLKMOOT_NOTFOUND);
    fm_buf_free(&bytes);
}

static void unfinished_file_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct fm_answer_writer *writer = NULL;

    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(fm_answer_writer_open(f->path, &writer, &f->err), FM_OK);
    assert_int_equal(fm_answer_writer_batch(writer, fm_buf_span(&f->batches[0]), &f->err), FM_OK);
    fm_answer_writer_free(writer);
    assert_int_equal(unlink(f->charter), 0);
    assert_int_equal(rmdir(f->dir), 0); /* Only possible when it is empty. */
    assert_int_equal(fm_answer_writer_open(f->path, &writer, &f->err), FM_IO);
}

#define TEST_WITH_FRAGMENTS(name)                                                                  \
    cmocka_unit_test_setup_teardown(name, setup_with_fragments, teardown)
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(batches_and_bundle_come_back),
        TEST(honest_answer_is_verified),
        TEST(each_changed_byte_is_noticed),
        TEST(cut_and_longer_files_are_refused),
        TEST(other_files_are_no_answers),
        TEST(columns_must_fit_the_batches),
        TEST_WITH_FRAGMENTS(honest_answer_is_verified),
        TEST_WITH_FRAGMENTS(each_changed_byte_is_noticed),
        TEST_WITH_FRAGMENTS(cut_and_longer_files_are_refused),
        TEST_WITH_FRAGMENTS(fragments_out_of_order_are_noticed),
        TEST_WITH_FRAGMENTS(columns_of_fragments_are_those_signed),
        TEST_WITH_FRAGMENTS(rows_of_fragments_are_counted),
        TEST_WITH_FRAGMENTS(rows_that_were_passed_on_are_not_kept_twice),
        TEST_WITH_FRAGMENTS(fragments_can_be_left_out),
        TEST(trust_comes_from_the_callers_charter),
        TEST(unfinished_file_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
