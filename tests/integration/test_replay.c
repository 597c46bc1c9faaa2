/* Answers that keep what the owners sent, and their merges done again from that: the same rows
 * whatever the plan. Where the node asked signs other rows, or another plan, than the fragments
 * give, only doing it again shows that; where a batch of the fragments is another one, each check
 * does. */
#include "client/answer_file.h"
#include "tests/support/live_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define BATCHES_MAX 64u

#define JOIN "alpha.items a JOIN beta.items b USING (id)"

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha; /* 300 rows; is asked. */
    struct live_node *beta;  /* 60,000 rows. */
    char saved[LIVE_PATH_MAX];
    char charter[LIVE_PATH_MAX];
    struct live_result result;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->mesh = live_mesh_new();
    f->alpha = live_make_node(f->mesh, "alpha");
    live_start(f->mesh, f->alpha);
    f->beta = live_make_node(f->mesh, "beta");
    live_start(f->mesh, f->beta);
    live_publish(f->mesh, f->alpha, 300);
    live_publish(f->mesh, f->beta, 60000);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(f->mesh, "reader", f->alpha, 2, 2);
    (void)live_path(f->mesh, "saved", f->saved);
    (void)live_path(f->mesh, "reader/charter", f->charter);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    live_mesh_free(f->mesh);
    free(f);
    return 0;
}

static int forget(void **state)
{
    struct fixture *f = *state;

    live_result_deinit(&f->result);
    (void)unlink(f->saved);
    return 0;
}

static void expect(const struct fm_buf *text, const char *part)
{
    if (text->data == NULL || memmem(text->data, text->len, part, strlen(part)) == NULL)
        fail_msg("no '%s' in: %.*s", part, (int)text->len, (const char *)text->data);
}

static int ask(struct fixture *f, const char *sql, const char *option, const char *value)
{
    live_result_deinit(&f->result);
    live_cli(f->mesh, "reader", f->alpha,
             (const char *const[]){"query", sql, "--format", "csv", "--save", f->saved,
                                   "--with-fragments", option, value, NULL},
             &f->result);
    return f->result.exit_code;
}

static void save(struct fixture *f, const char *sql)
{
    if (ask(f, sql, NULL, NULL) != 0)
        fail_msg("%s: %.*s", sql, (int)f->result.err.len, (const char *)f->result.err.data);
}

static int verify(struct fixture *f, const char *option)
{
    live_result_deinit(&f->result);
    live_cli(f->mesh, NULL, NULL,
             (const char *const[]){"verify", f->saved, "--charter", f->charter, option, NULL},
             &f->result);
    return f->result.exit_code;
}

static void expect_replayed(struct fixture *f, const char *words)
{
    if (verify(f, "--replay") != 0)
        fail_msg("%.*s", (int)f->result.err.len, (const char *)f->result.err.data);
    expect(&f->result.out, words);
}

static void merges_give_the_same_rows_again(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql;
        const char *words;
    } cases[] = {
        {"SELECT left(b.text, 6) AS t, count(*) AS n, avg(a.id * 0.1) AS d FROM " JOIN
         " GROUP BY 1 ORDER BY t",
         "the merge of 2 fragments gives these"},
        {"SELECT a.id % 7 AS g, sum(a.id) AS s FROM " JOIN " GROUP BY g", "of 2 fragments"},
        {"SELECT id, b.text FROM " JOIN " WHERE a.id < 20 ORDER BY id DESC LIMIT 5",
         "gives these 5 rows"},
        /* The feeds stop early: their receipts are for what was sent. */
        {"SELECT id FROM beta.items UNION ALL SELECT id FROM alpha.items LIMIT 70",
         "gives these 70 rows"},
        {"WITH x AS (SELECT * FROM " JOIN ") SELECT count(*) FROM x, x AS y WHERE x.id = y.id + 1",
         "gives these 1 rows"},
        {"SELECT a.id, now() > TIMESTAMPTZ '2020-01-01' AS later FROM " JOIN " WHERE a.id = 1",
         "gives these 1 rows"},
        {"SELECT a.id FROM " JOIN " WHERE a.id > 1000", "gives these 0 rows"},
        {"SELECT count(*) AS n, max(text) FROM beta.items", "nothing was merged"},
        {"SELECT * FROM beta.items WHERE id = 3", "nothing was merged"},
        {"SELECT 1 AS one", "the merge of 0 fragments gives these 1 rows"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        save(f, cases[i].sql);
        expect_replayed(f, cases[i].words);
    }
    live_result_deinit(&f->result);
    live_cli(f->mesh, NULL, NULL,
             (const char *const[]){"verify", f->saved, "--charter", f->charter, "--replay",
                                   "--format", "json", NULL},
             &f->result);
    expect(&f->result.out, "\"replayed\":{\"merged\":true,\"in_order\":true,\"fragments\":0,"
                           "\"rows\":1}");
}

static void what_cannot_be_done_again_says_so(void **state)
{
    struct fixture *f = *state;

    save(f, "SELECT a.id, random() FROM " JOIN " WHERE a.id < 9");
    assert_int_equal(verify(f, NULL), 0);
    assert_int_equal(verify(f, "--replay"), 65);
    expect(&f->result.err, "something random");
    live_result_deinit(&f->result);
    live_cli(f->mesh, "reader", f->alpha,
             (const char *const[]){"query", "SELECT a.id FROM " JOIN " WHERE a.id < 9", "--format",
                                   "csv", "--save", f->saved, NULL},
             &f->result);
    assert_int_equal(verify(f, NULL), 0);
    assert_int_equal(verify(f, "--replay"), 65);
    expect(&f->result.err, "--with-fragments");
    assert_int_equal(ask(f, "SELECT id, node FROM alpha.items, mesh.nodes", NULL, NULL), 65);
    expect(&f->result.err, "cannot be kept");
    live_result_deinit(&f->result);
    live_cli(f->mesh, "reader", f->alpha,
             (const char *const[]){"query", "SELECT node FROM mesh.nodes", "--format", "csv",
                                   "--save", f->saved, NULL},
             &f->result);
    assert_int_equal(verify(f, "--replay"), 65);
    expect(&f->result.err, "the asked node's own word");
    assert_int_equal(ask(f, "EXPLAIN ANALYZE SELECT count(*) FROM " JOIN, NULL, NULL), 65);
    expect(&f->result.err, "no fragments to keep");
}

/* An owner that was not there brought nothing, then and now. */
static void missing_owners_are_missing_again(void **state)
{
    struct fixture *f = *state;

    live_kill(f->beta);
    int code = ask(f, "SELECT id FROM alpha.items UNION ALL SELECT id FROM beta.items",
                   "--on-unavailable", "skip");
    live_start(f->mesh, f->beta);
    live_wait(f->mesh, "reader", f->alpha, 2, 2);
    assert_int_equal(code, 0);
    expect_replayed(f, "the merge of 1 fragment gives these 300 rows");
}

/* ---- Tampering ------------------------------------------------------------------------------- */

struct file { /* A saved answer, taken apart. */
    uint32_t row_count, fragment_count;
    struct fm_buf rows[BATCHES_MAX];
    struct fm_buf fragments[BATCHES_MAX];
    struct fm_buf bundle_bytes;
    struct fm_bundle bundle;
    struct fm_answer answer;
    struct fm_buf plan;
    struct fm_buf sealed;
};

static void file_read(struct fixture *f, struct file *file)
{
    struct fm_answer_reader *reader = NULL;
    struct fm_envelope envelope;

    *file = (struct file){.row_count = 0};
    assert_int_equal(fm_answer_reader_open(f->saved, &reader, NULL), FM_OK);
    while (fm_answer_reader_batch(reader, &file->rows[file->row_count], NULL) == FM_OK)
        file->row_count++;
    assert_int_equal(fm_answer_reader_bundle(reader, &file->bundle_bytes, NULL), FM_OK);
    while (fm_answer_reader_end(reader, NULL) != FM_OK)
        assert_int_equal(
            fm_answer_reader_fragment(reader, &file->fragments[file->fragment_count++], NULL),
            FM_OK);
    fm_answer_reader_free(reader);
    assert_int_equal(fm_bundle_decode(fm_buf_span(&file->bundle_bytes), &file->bundle), FM_OK);
    assert_int_equal(fm_envelope_open(file->bundle.answer, &envelope), FM_OK);
    assert_int_equal(fm_answer_decode(envelope.body, &file->answer), FM_OK);
    fm_buf_put_span(&file->plan, file->answer.plan);
}

static void file_deinit(struct file *file)
{
    for (uint32_t i = 0; i < BATCHES_MAX; i++) {
        fm_buf_free(&file->rows[i]);
        fm_buf_free(&file->fragments[i]);
    }
    fm_buf_free(&file->bundle_bytes);
    fm_buf_free(&file->plan);
    fm_buf_free(&file->sealed);
}

static void file_write(struct fixture *f, struct file *file)
{
    FM_AUTO(fm_buf_free) struct fm_buf bundle = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    struct fm_answer_writer *writer = NULL;

    fm_bundle_encode(&bundle, &file->bundle);
    assert_int_equal(fm_answer_writer_open(f->saved, &writer, NULL), FM_OK);
    for (uint32_t i = 0; i < file->row_count; i++)
        assert_int_equal(fm_answer_writer_batch(writer, fm_buf_span(&file->rows[i]), NULL), FM_OK);
    assert_int_equal(fm_answer_writer_bundle(writer, fm_buf_span(&bundle), NULL), FM_OK);
    for (uint32_t i = 0; i < file->fragment_count; i++)
        assert_int_equal(fm_answer_writer_fragment(writer, fm_buf_span(&file->fragments[i]), NULL),
                         FM_OK);
    assert_int_equal(fm_answer_writer_finish(writer, NULL), FM_OK);
    fm_answer_writer_free(writer);
}

/* The node asked signs what is in `file` now: rows, and plan. */
static void file_sign(struct fixture *f, struct file *file)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct fm_identity *asked = live_identity(f->mesh, "alpha", FM_PAYLOAD_NODE);
    struct fm_tree tree;

    fm_tree_init(&tree);
    file->answer.rows = file->answer.bytes = 0;
    file->answer.batches = file->row_count;
    for (uint32_t i = 0; i < file->row_count; i++) {
        struct fm_batch batch;
        struct fm_hash leaf;
        assert_int_equal(fm_batch_view_trusted(fm_buf_span(&file->rows[i]), &batch), FM_OK);
        file->answer.rows += batch.rows;
        file->answer.bytes += file->rows[i].len;
        fm_leaf_hash(&leaf, fm_buf_span(&file->rows[i]));
        fm_tree_append(&tree, &leaf);
    }
    fm_tree_root(&tree, &file->answer.root);
    file->answer.plan = fm_buf_span(&file->plan);
    fm_answer_encode(&body, &file->answer);
    assert_int_equal(fm_envelope_seal(FM_ENV_ANSWER, &asked->charter.mesh, fm_buf_span(&body),
                                      &asked->sign_key, 1, &file->sealed),
                     FM_OK);
    file->bundle.answer = fm_buf_span(&file->sealed);
    fm_identity_free(asked);
}

static void expect_forged(struct fixture *f, const char *option, const char *words)
{
    assert_int_equal(verify(f, option), 76);
    expect(&f->result.err, words);
}

/* All owners' receipts are for other batches, so that no signature is needed to see it. */
static void other_fragments_are_noticed(void **state)
{
    struct fixture *f = *state;
    struct file file;
    const char *sql = "SELECT a.id, b.text FROM " JOIN " WHERE a.id < 100";

    save(f, sql);
    file_read(f, &file);
    assert_true(file.fragment_count >= 2);
    file.fragments[0].data[file.fragments[0].len - 1] ^= 1;
    file_write(f, &file);
    expect_forged(f, NULL, "batches of fragment");
    file.fragments[0].data[file.fragments[0].len - 1] ^= 1;
    struct fm_buf first = file.fragments[0];
    file.fragments[0] = file.fragments[1];
    file.fragments[1] = first;
    file_write(f, &file);
    expect_forged(f, NULL, "batches of fragment");
    file.fragment_count--;
    file_write(f, &file);
    expect_forged(f, "--replay", "");
    file.bundle.has_columns = false; /* As if they had not been kept. */
    file.fragment_count = 0;
    file_write(f, &file);
    assert_int_equal(verify(f, NULL), 0);
    assert_int_equal(verify(f, "--replay"), 65);
    file_deinit(&file);
}

/* Replace the first `from` in the signed plan. */
static void edit_plan(struct file *file, const char *from, const char *to)
{
    FM_AUTO(fm_buf_free) struct fm_buf old = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);

    fm_buf_put_span(&old, file->answer.plan);
    uint8_t *at = memmem(old.data, old.len, from, strlen(from));
    if (at == NULL)
        fail_msg("no '%s' in %.*s", from, (int)old.len, (const char *)old.data);
    size_t before = (size_t)(at - old.data), behind = before + strlen(from);
    fm_buf_clear(&file->plan);
    fm_buf_put(&file->plan, old.data, before);
    fm_buf_put_str(&file->plan, to);
    fm_buf_put(&file->plan, old.data + behind, old.len - behind);
}

/* The rows of one answer under the plan and receipts of another one: all signed by the node. */
static void rows_that_the_merge_does_not_give_are_noticed(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *sql, *other, *words;
    } cases[] = {
        {"SELECT a.id, b.text FROM " JOIN " WHERE a.id IN (4, 7)",
         "SELECT a.id, upper(b.text) AS text FROM " JOIN " WHERE a.id IN (4, 7)",
         "column text: the answer has ITEM 4"},
        {"SELECT a.id FROM " JOIN " WHERE a.id < 9", "SELECT a.id FROM " JOIN " WHERE a.id < 8",
         "fewer rows"},
        {"SELECT a.id FROM " JOIN " WHERE a.id < 9 ORDER BY id",
         "SELECT a.id FROM " JOIN " WHERE a.id < 9 ORDER BY id DESC", "their order is another one"},
        {"SELECT a.id, avg(b.id + 0.5) AS d FROM " JOIN " GROUP BY a.id ORDER BY a.id LIMIT 3",
         "SELECT a.id, avg(b.id + 0.5001) AS d FROM " JOIN " GROUP BY a.id ORDER BY a.id LIMIT 3",
         "column d: the answer has 0.5001"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct file honest, other;
        save(f, cases[i].other);
        file_read(f, &other);
        save(f, cases[i].sql);
        file_read(f, &honest);
        assert_int_equal(honest.row_count, other.row_count);
        for (uint32_t k = 0; k < honest.row_count; k++) {
            struct fm_buf own = honest.rows[k];
            honest.rows[k] = other.rows[k];
            other.rows[k] = own;
        }
        honest.answer.columns = other.answer.columns;
        file_sign(f, &honest);
        file_write(f, &honest);
        if (verify(f, NULL) != 0)
            fail_msg("%.*s", (int)f->result.err.len, (const char *)f->result.err.data);
        expect_forged(f, "--replay", cases[i].words);
        file_deinit(&honest);
        file_deinit(&other);
    }
}

/* A plan is a stranger's: what it says is looked at before any of it is run. */
static void other_plans_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *from, *to;
        int code;
        const char *words;
    } cases[] = {
        {"fm_scan(0) AS", "read_csv('/etc/passwd') AS", 65, "table function read_csv"},
        {"fm_scan(0) AS", "fm_scan(2) AS", 65, "table function fm_scan"},
        {"fm_scan(0) AS", "alpha.items AS", 65, "a merge reads no tables"},
        {"SELECT a.id", "SELECT getenv('HOME'), a.id", 65, "function getenv"},
        {"SELECT a.id", "SELECT 1; SELECT a.id", 65, "one statement"},
        {"\"supplied\":[", "\"supplied\":[99,", 65, "does not have"},
        {"\"slot\":[", "\"slit\":[", 65, "has no columns"},
        {"SELECT a.id", "SELECT a.id + 0", 76, "column 1"},
        {"}],\"sql\":", "},{\"slot\":[[\"a\",\"int8\"]],\"supplied\":[0]}],\"sql\":", 76,
         "fragment 2, which is not there"},
        {"[\"id\",\"int", "[\"id\",\"u", 65, "has no type"},
        {"WHERE (a.id < 9)", "WHERE (a.id < 8)", 76, "more rows"},
    };
    struct file file;

    save(f, "SELECT a.id FROM " JOIN " WHERE a.id < 9");
    file_read(f, &file);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        edit_plan(&file, cases[i].from, cases[i].to);
        fm_buf_clear(&file.sealed);
        struct fm_span honest = file.answer.plan;
        file_sign(f, &file);
        file.answer.plan = honest;
        file_write(f, &file);
        if (i == 0)
            assert_int_equal(verify(f, NULL), 0);
        if (verify(f, "--replay") != cases[i].code)
            fail_msg("%s: %d, %.*s", cases[i].to, f->result.exit_code, (int)f->result.err.len,
                     (const char *)f->result.err.data);
        expect(&f->result.err, cases[i].words);
    }
    file_deinit(&file);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(merges_give_the_same_rows_again), TEST(what_cannot_be_done_again_says_so),
        TEST(other_fragments_are_noticed),     TEST(rows_that_the_merge_does_not_give_are_noticed),
        TEST(other_plans_are_refused),         TEST(missing_owners_are_missing_again),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
