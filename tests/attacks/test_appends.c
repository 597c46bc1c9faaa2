/* Appends by who may not, to somebody else's append, of rows that are not what they are said to be:
 * refused for their own reason, and the table has the rows that it had. */
#include "client/catalog.h"
#include "core/codec.h"
#include "core/limits.h"
#include "tests/support/live_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct scene {
    struct live_world *world;
    struct raw_session session; /* alpha-team's. */
    struct fm_schema *schema;
    struct fm_append_begin begin;
    uint8_t id[16]; /* Of the append that begin() opened. */
    struct fm_buf batch;
    struct fm_hash root; /* Over `batch` alone. */
};

static void read_schema(struct scene *s)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_mem_freep) struct fm_product_show *show = calloc(1, sizeof *show);

    assert_non_null(show);
    fm_product_ask_encode(&body, &(struct fm_product_ask){.domain = "alpha", .name = "items"});
    struct fm_request request =
        raw_request(&s->session, FM_METHOD_PRODUCT_SHOW, fm_buf_span(&body));
    assert_int_equal(raw_ask(&s->session, &request, NULL), FM_OK);
    assert_int_equal(fm_product_show_decode(fm_buf_span(&s->session.body), show), FM_OK);
    assert_int_equal(fm_schema_decode(show->schemas[0], &s->schema, NULL), FM_OK);
}

/* `count` rows of the schema's columns from `first` on; `columns` 1: without the text. */
static void build(const struct scene *s, uint32_t columns, uint32_t count, struct fm_buf *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    const struct fm_type *types[2] = {&s->schema->fields[0].type, &s->schema->fields[1].type};
    struct fm_batch_builder_options options = {
        .types = types, .column_count = columns, .encode = true};

    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (int64_t i = 0; i < count; i++) {
        int64_t id = 1000000 + i;
        assert_int_equal(fm_batch_put_fixed(builder, 0, &id), FM_OK);
        if (columns == 2)
            assert_int_equal(fm_batch_put_bytes(builder, 1, fm_span_str("appended")), FM_OK);
    }
    fm_buf_clear(out);
    assert_int_equal(fm_batch_builder_finish(builder, 0, out), FM_OK);
}

static void root_of(const struct fm_buf *batch, struct fm_hash *out)
{
    struct fm_tree tree;
    struct fm_hash leaf;

    fm_tree_init(&tree);
    fm_leaf_hash(&leaf, fm_buf_span(batch));
    fm_tree_append(&tree, &leaf);
    fm_tree_root(&tree, out);
}

static int setup(void **state)
{
    struct live_world *w = *state;
    struct scene *s = calloc(1, sizeof *s);
    struct raw_identity team = live_as_principal(w, w->team);

    assert_non_null(s);
    s->world = w;
    assert_int_equal(raw_begin(&s->session, w->node->port, &team), FM_OK);
    read_schema(s);
    s->begin =
        (struct fm_append_begin){.domain = "alpha", .table = "items", .producer_sequence = 1};
    fm_random(s->begin.producer, sizeof s->begin.producer);
    fm_schema_hash(s->schema, s->begin.schema.bytes);
    build(s, 2, 10, &s->batch);
    root_of(&s->batch, &s->root);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct scene *s = *state;

    raw_end(&s->session);
    fm_schema_free(s->schema);
    fm_buf_free(&s->batch);
    *state = s->world;
    free(s);
    return 0;
}

static void assert_answer(const struct raw_session *session, enum fm_status got,
                          enum fm_status status, const char *reason)
{
    if (got != status || strstr(session->text, reason) == NULL)
        fail_msg("expected %s \"%s\", got %s \"%s\"", fm_status_text(status), reason,
                 fm_status_text(got), session->text);
    assert_int_equal(session->body.len, 0);
}

static enum fm_status call_begin(struct scene *s, struct raw_session *session)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    fm_append_begin_encode(&body, &s->begin);
    struct fm_request request = raw_request(session, FM_METHOD_APPEND_BEGIN, fm_buf_span(&body));
    return raw_ask(session, &request, NULL);
}

static void begin(struct scene *s)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    s->begin.producer_sequence++;
    if (call_begin(s, &s->session) != FM_OK)
        fail_msg("%s", s->session.text);
    assert_int_equal(fm_doc_parse(fm_buf_span(&s->session.body), &doc), FM_OK);
    assert_int_equal(fm_value_bin_exact(fm_map_get(fm_doc_root(doc), 0), s->id, sizeof s->id),
                     FM_OK);
}

static enum fm_status send_part(struct scene *s, struct raw_session *session, uint64_t number,
                                uint64_t offset, uint64_t total, struct fm_span part)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct fm_append_rows rows = {.number = number, .offset = offset, .total = total, .part = part};

    memcpy(rows.append, s->id, sizeof rows.append);
    fm_append_rows_encode(&body, &rows);
    return raw_call(session, FM_METHOD_APPEND_ROWS, fm_buf_span(&body));
}

static enum fm_status send_batch(struct scene *s, uint64_t number)
{
    return send_part(s, &s->session, number, 0, s->batch.len, fm_buf_span(&s->batch));
}

static enum fm_status commit(struct scene *s, struct raw_session *session, uint64_t batches,
                             uint64_t rows, const struct fm_hash *root)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct fm_append_commit asked = {.batches = batches, .rows = rows, .root = *root};

    memcpy(asked.append, s->id, sizeof asked.append);
    fm_append_commit_encode(&body, &asked);
    struct fm_request request = raw_request(session, FM_METHOD_APPEND_COMMIT, fm_buf_span(&body));
    return raw_ask(session, &request, NULL);
}

static enum fm_status abort_append(struct scene *s, struct raw_session *session)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    fm_pack_map(&body, 1);
    fm_pack_key_bin(&body, 0, s->id, sizeof s->id);
    return raw_call(session, FM_METHOD_APPEND_ABORT, fm_buf_span(&body));
}

static void assert_gone(struct scene *s)
{
    assert_answer(&s->session, send_batch(s, 0), FM_NOTFOUND, "no such append");
    assert_int_equal(live_count_rows(s->world), WORLD_ROWS);
}

/* ---- Who ------------------------------------------------------------------------------------- */

static void a_reader_may_not_append(void **state)
{
    struct scene *s = *state;
    struct raw_identity reader = live_as_principal(s->world, s->world->reader);
    struct raw_session session;

    assert_int_equal(raw_begin(&session, s->world->node->port, &reader), FM_OK);
    assert_answer(&session, call_begin(s, &session), FM_REFUSED, "reader may not append");
    /* Nor to what is not there: the same answer. */
    memcpy(s->begin.table, "salaries", sizeof "salaries");
    assert_answer(&session, call_begin(s, &session), FM_REFUSED, "reader may not append");
    raw_end(&session);
    /* The owner of a domain owns no other one. */
    memcpy(s->begin.domain, "mole", sizeof "mole");
    assert_answer(&s->session, call_begin(s, &s->session), FM_REFUSED, "may not append");
}

static void anothers_append_is_not_there(void **state)
{
    struct scene *s = *state;
    struct raw_identity reader = live_as_principal(s->world, s->world->reader);
    struct raw_identity mole = live_as_mole(s->world, FM_NOISE_IKPSK2);
    struct raw_session session, node;

    begin(s);
    assert_int_equal(send_batch(s, 0), FM_OK);
    assert_int_equal(raw_begin(&session, s->world->node->port, &reader), FM_OK);
    assert_answer(&session, send_part(s, &session, 1, 0, s->batch.len, fm_buf_span(&s->batch)),
                  FM_NOTFOUND, "no such append");
    assert_answer(&session, commit(s, &session, 1, 10, &s->root), FM_NOTFOUND, "no such append");
    assert_int_equal(abort_append(s, &session), FM_OK); /* Says nothing, does nothing. */
    assert_int_equal(raw_begin(&node, s->world->node->port, &mole), FM_OK);
    assert_answer(&node, send_part(s, &node, 1, 0, s->batch.len, fm_buf_span(&s->batch)),
                  FM_REFUSED, "only a principal");
    raw_end(&session);
    raw_end(&node);
    assert_int_equal(live_count_rows(s->world), WORLD_ROWS);
    assert_int_equal(send_batch(s, 0), FM_OK); /* Still there: a repeat is answered again. */
    assert_int_equal(abort_append(s, &s->session), FM_OK);
    assert_gone(s);
}

/* ---- What ------------------------------------------------------------------------------------ */

static void a_commit_must_match_what_came(void **state)
{
    struct scene *s = *state;
    struct fm_hash wrong = s->root;
    const struct {
        uint64_t batches, rows;
        const struct fm_hash *root;
    } asked[] = {{1, 11, &s->root},
                 {2, 10, &s->root},
                 {0, 0, &s->root},
                 {1, 10, &wrong},
                 {1, UINT64_MAX, &s->root}};

    wrong.bytes[31] ^= 1;
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        begin(s);
        assert_int_equal(send_batch(s, 0), FM_OK);
        enum fm_status got = commit(s, &s->session, asked[i].batches, asked[i].rows, asked[i].root);
        assert_answer(&s->session, got, FM_INVALID, "not what is to be committed");
        assert_gone(s);
    }
}

static enum fm_status commit_with(struct scene *s, struct raw_session *session,
                                  const struct fm_span *others, uint32_t count)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct fm_append_commit asked = {
        .batches = 1, .rows = 10, .root = s->root, .other_count = count};

    memcpy(asked.append, s->id, sizeof asked.append);
    for (uint32_t i = 0; i < count; i++)
        asked.others[i] = others[i];
    fm_append_commit_encode(&body, &asked);
    struct fm_request request = raw_request(session, FM_METHOD_APPEND_COMMIT, fm_buf_span(&body));
    return raw_ask(session, &request, NULL);
}

/* A commit of several appends names each once, and none that is not there; those that it names are
 * as they were then. A group within a group does not decode. */
static void a_commit_of_several_names_its_own(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf same = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf nested = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf unknown = FM_BUF_INIT(0);
    struct scene *s = *state;
    struct fm_append_commit other = {.batches = 1, .rows = 10, .root = s->root};
    struct fm_span bodies[FM_APPEND_TABLES_MAX - 1];

    begin(s);
    assert_int_equal(send_batch(s, 0), FM_OK);
    fm_append_commit_encode(&unknown, &other);
    memcpy(other.append, s->id, sizeof other.append);
    fm_append_commit_encode(&same, &other);
    other.other_count = 1;
    other.others[0] = fm_buf_span(&unknown);
    fm_append_commit_encode(&nested, &other);
    for (uint32_t i = 0; i < FM_APPEND_TABLES_MAX - 1; i++)
        bodies[i] = fm_buf_span(&same);
    assert_answer(&s->session, commit_with(s, &s->session, bodies, FM_APPEND_TABLES_MAX - 1),
                  FM_BUSY, "another call works on this append");
    bodies[0] = fm_buf_span(&unknown);
    assert_answer(&s->session, commit_with(s, &s->session, bodies, 1), FM_NOTFOUND,
                  "no such append");
    bodies[0] = fm_buf_span(&nested);
    assert_answer(&s->session, commit_with(s, &s->session, bodies, 1), FM_MALFORMED,
                  "does not decode");
    assert_int_equal(live_count_rows(s->world), WORLD_ROWS);
    assert_int_equal(send_batch(s, 0), FM_OK); /* Still there. */
    assert_int_equal(abort_append(s, &s->session), FM_OK);
    assert_gone(s);
}

static void parts_come_in_order(void **state)
{
    struct scene *s = *state;
    const struct {
        uint64_t number, offset, total;
    } parts[] = {
        {1, 0, s->batch.len},            /* A batch left out. */
        {UINT64_MAX, 0, s->batch.len},   /* */
        {0, 8, s->batch.len},            /* Its beginning left out. */
        {0, UINT64_MAX, s->batch.len},   /* */
        {0, 0, s->batch.len - 1},        /* More than announced. */
        {0, 0, FM_BATCH_BYTES_MAX + 1u}, /* Oversized. */
        {0, 0, UINT64_MAX},              /* */
    };

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        begin(s);
        struct fm_span part = fm_buf_span(&s->batch);
        if (parts[i].offset == 8)
            part = fm_span(part.data + 8, part.len - 8);
        enum fm_status got =
            send_part(s, &s->session, parts[i].number, parts[i].offset, parts[i].total, part);
        bool decodes = strstr(s->session.text, "do not decode") == NULL;
        assert_answer(&s->session, got, decodes ? FM_INVALID : FM_MALFORMED,
                      decodes ? "not the next one" : "rows do not decode");
        if (decodes)
            assert_gone(s);
        else
            assert_int_equal(abort_append(s, &s->session), FM_OK);
    }
    begin(s); /* Nothing at all may count as a repeat, but brings nothing forward. */
    (void)send_part(s, &s->session, 0, 0, 100, fm_span("", 0));
    enum fm_status got = commit(s, &s->session, 1, 10, &s->root);
    assert_true(got == FM_INVALID || got == FM_NOTFOUND);
}

static void batches_are_of_the_tables_columns(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf narrow = FM_BUF_INIT(0);
    struct scene *s = *state;

    build(s, 1, 10, &narrow);
    begin(s);
    enum fm_status got = send_part(s, &s->session, 0, 0, narrow.len, fm_buf_span(&narrow));
    assert_answer(&s->session, got, FM_MALFORMED, "not of the table's columns");
    assert_gone(s);
    /* Bytes of a good batch, changed one by one: kept out, or harmless as rows. */
    for (size_t i = 0; i < s->batch.len; i += 11) {
        begin(s);
        s->batch.data[i] ^= 0x40;
        got = send_batch(s, 0);
        s->batch.data[i] ^= 0x40;
        assert_true(got == FM_OK || got == FM_MALFORMED || got == FM_INVALID);
        if (got == FM_OK)
            assert_int_equal(abort_append(s, &s->session), FM_OK);
    }
    assert_int_equal(live_count_rows(s->world), WORLD_ROWS);
}

/* Begun and forgotten: bounded, and others are told to wait. */
static void forgotten_appends_are_bounded(void **state)
{
    struct scene *s = *state;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < 200 && status == FM_OK; i++) {
        s->begin.producer_sequence++;
        status = call_begin(s, &s->session);
    }
    assert_int_equal(status, FM_BUSY);
    assert_non_null(strstr(s->session.text, "appends are open"));
    live_assert_serves(s->world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_reader_may_not_append, setup, teardown),
        cmocka_unit_test_setup_teardown(anothers_append_is_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_must_match_what_came, setup, teardown),
        cmocka_unit_test_setup_teardown(a_commit_of_several_names_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(parts_come_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(batches_are_of_the_tables_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(forgotten_appends_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, live_world_setup, live_world_teardown);
}
