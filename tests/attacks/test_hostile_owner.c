/* A member of the mesh that owns a domain and lies about it: wrong counts, types and columns;
 * batches too large, without end, left out, sent twice, out of order or changed; receipts over
 * something else; silence and drops. This program is also that owner: a whole node whose handlers
 * of fragments tell the lie that is named in its folder. Each lie fails the query by a reason that
 * names domain and node, and the asked node goes on. */
#include "core/codec.h"
#include "node/cli/cli.h"
#include "node/server.h"
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS 30000u /* Some batches of alpha.items; beta.items has a hundred. */
#define LIE_FILE "lie"
#define LIE_MAX 64u
#define SMALL "small: " /* Begins a lie about an answer that comes with the opening. */

/* ---- The owner ------------------------------------------------------------------------------- */

enum fm_status __real_fm_rpc_fragment_open(struct fm_server *server, const struct fm_caller *caller,
                                           struct fm_span body, struct fm_buf *reply,
                                           struct fm_error *err);
enum fm_status __real_fm_rpc_fragment_fetch(struct fm_server *server,
                                            const struct fm_caller *caller, struct fm_span body,
                                            struct fm_buf *reply, struct fm_error *err);
enum fm_status __wrap_fm_rpc_fragment_open(struct fm_server *server, const struct fm_caller *caller,
                                           struct fm_span body, struct fm_buf *reply,
                                           struct fm_error *err);
enum fm_status __wrap_fm_rpc_fragment_fetch(struct fm_server *server,
                                            const struct fm_caller *caller, struct fm_span body,
                                            struct fm_buf *reply, struct fm_error *err);

/* The lie to tell now; empty: none. */
static void read_lie(const struct fm_server *server, char out[LIE_MAX])
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(LIE_MAX - 1);
    char path[LIVE_PATH_MAX + FM_CONFIG_PATH_MAX];

    (void)snprintf(path, sizeof path, "%s/" LIE_FILE, server->config.dir);
    out[0] = '\0';
    if (fm_file_read(path, LIE_MAX - 1, &text, NULL) != FM_OK || text.len == 0)
        return;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

static bool is(const char *lie, const char *name)
{
    return strcmp(lie, name) == 0;
}

static void lie_in_columns(const char *lie, struct fm_columns *columns)
{
    struct fm_column *first = &columns->items[0];

    if (is(lie, "fewer columns") && columns->count > 1)
        columns->count--;
    else if (is(lie, "another type"))
        first->type = (struct fm_type){.kind = FM_KIND_BLOB};
    else if (is(lie, "a name without end"))
        memset(first->name, 'x', sizeof first->name - 1);
}

/* The announcement anew: columns, rows, and nothing else, so that all batches are fetched. */
static enum fm_status announce(const char *lie, struct fm_span columns, uint64_t rows,
                               struct fm_buf *reply)
{
    FM_AUTO(fm_buf_free) struct fm_buf encoded = FM_BUF_INIT(0);
    struct fm_columns decoded = {0};

    if (is(lie, "columns of garbage")) {
        fm_buf_put_str(&encoded, "\xdd\xff\xff\xff\xff");
    } else {
        enum fm_status status = fm_columns_decode(columns, &decoded);
        if (status != FM_OK)
            return status;
        uint32_t count = decoded.count;
        lie_in_columns(lie, &decoded);
        fm_columns_encode(&encoded, &decoded);
        decoded.count = count;
        fm_columns_deinit(&decoded);
    }
    fm_buf_clear(reply);
    fm_pack_map(reply, 2);
    fm_pack_key_bin(reply, 0, encoded.data, encoded.len);
    fm_pack_key_uint(reply, 1, is(lie, "rows without number") ? UINT64_MAX : rows);
    return fm_buf_status(reply);
}

static enum fm_status lie_at_end(const struct fm_server *server, const char *lie,
                                 struct fm_span end, struct fm_buf *out);

/* A small answer comes with the opening; it must, or nothing is shown. */
static enum fm_status lie_in_small(const struct fm_server *server, const char *lie,
                                   struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf copy = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf end = FM_BUF_INIT(0);
    struct fm_opened opened;

    fm_buf_put_span(&copy, fm_buf_span(reply));
    enum fm_status status = fm_opened_decode(fm_buf_span(&copy), &opened);
    if (status == FM_OK && (opened.first.len == 0 || opened.end.len == 0))
        status = fm_fail(err, FM_INTERNAL, "nothing came with the opening");
    if (status == FM_OK)
        status = lie_at_end(server, lie, opened.end, &end);
    if (status != FM_OK)
        return status;
    opened.end = fm_buf_span(&end);
    if (is(lie, "a batch of noise"))
        memset((uint8_t *)(uintptr_t)opened.first.data, 0xa5, opened.first.len);
    if (is(lie, "a receipt without its batch"))
        opened.first.len = 0;
    fm_buf_clear(reply);
    fm_opened_encode(reply, &opened);
    return fm_buf_status(reply);
}

static bool lies_about_columns(const char *lie)
{
    return is(lie, "fewer columns") || is(lie, "another type") || is(lie, "a name without end") ||
           is(lie, "columns of garbage") || is(lie, "rows without number");
}

enum fm_status __wrap_fm_rpc_fragment_open(struct fm_server *server, const struct fm_caller *caller,
                                           struct fm_span body, struct fm_buf *reply,
                                           struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf columns = FM_BUF_INIT(0);
    struct fm_span span;
    char lie[LIE_MAX];
    uint64_t rows = 0;

    read_lie(server, lie);
    if (is(lie, "no opening"))
        (void)sleep(2);
    enum fm_status status = __real_fm_rpc_fragment_open(server, caller, body, reply, err);
    if (status != FM_OK || lie[0] == '\0')
        return status;
    if (strncmp(lie, SMALL, strlen(SMALL)) == 0)
        return lie_in_small(server, lie + strlen(SMALL), reply, err);
    if (is(lie, "a bare opening")) {
        fm_buf_clear(reply);
        fm_pack_map(reply, 0);
        return fm_buf_status(reply);
    }
    if (is(lie, "an opening of noise")) {
        fm_buf_clear(reply);
        fm_buf_put_str(reply, "\xc1\xc1\xc1");
        return fm_buf_status(reply);
    }
    status = fm_doc_parse(fm_buf_span(reply), &doc);
    if (status == FM_OK)
        status = fm_value_bin(fm_map_get(fm_doc_root(doc), 0), FM_PAYLOAD_BYTES_MAX, &span);
    if (status == FM_OK)
        status = fm_value_uint(fm_map_get(fm_doc_root(doc), 1), UINT64_MAX, &rows);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(&columns, span);
    return announce(lies_about_columns(lie) ? lie : "", fm_buf_span(&columns), rows, reply);
}

/* Which batch is handed out instead of `batch`. */
static uint64_t batch_instead(const char *lie, uint64_t batch)
{
    if (batch == FM_FETCH_STOP)
        return batch;
    if (is(lie, "a batch left out") && batch >= 1)
        return batch + 1;
    if (is(lie, "a batch twice") && batch >= 1)
        return batch - 1;
    if (is(lie, "batches swapped") && batch < 2)
        return 1 - batch;
    if (is(lie, "batches without end"))
        return 0;
    return batch;
}

static void lie_in_receipt(const struct fm_server *server, const char *lie,
                           struct fm_receipt *receipt)
{
    if (is(lie, "more rows than came"))
        receipt->rows++;
    else if (is(lie, "fewer bytes than came"))
        receipt->bytes--;
    else if (is(lie, "fewer batches than came"))
        receipt->batches--;
    else if (is(lie, "a receipt of other rows"))
        receipt->root.bytes[0] ^= 1;
    else if (is(lie, "a receipt for another ticket"))
        receipt->ticket.bytes[0] ^= 1;
    else if (is(lie, "a receipt for another fragment"))
        receipt->fragment.bytes[0] ^= 1;
    else if (is(lie, "a receipt for another principal"))
        receipt->principal.bytes[0] ^= 1;
    else if (is(lie, "a receipt for another query"))
        receipt->query.bytes[0] ^= 1;
    else if (is(lie, "a receipt of another owner"))
        receipt->owner.bytes[0] ^= 1;
    else if (is(lie, "a receipt over other columns"))
        receipt->columns.bytes[0] ^= 1;
    else if (is(lie, "an end that nobody asked for"))
        receipt->stopped = true;
    else if (is(lie, "a head that is none"))
        receipt->heads[0] = fm_span_str("a head");
    else if (is(lie, "no heads"))
        receipt->table_count = 0;
    (void)server;
}

/* The receipt's envelope again, with the lie in it and signed like the true one. */
static enum fm_status lie_at_end(const struct fm_server *server, const char *lie,
                                 struct fm_span end, struct fm_buf *out)
{
    FM_AUTO(fm_mem_freep) struct fm_receipt *receipt = calloc(1, sizeof *receipt);
    FM_AUTO(fm_key_freep) struct fm_key *stranger = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf head = FM_BUF_INIT(0);
    const struct fm_mesh_id *mesh = &server->identity->charter.mesh;
    struct fm_key *key = server->identity->sign_key;
    struct fm_envelope envelope;

    if (receipt == NULL)
        return FM_NOMEM;
    if (is(lie, "a receipt of noise")) {
        fm_buf_put_str(out, "\x93\xc4\xff\x00noise");
        return fm_buf_status(out);
    }
    enum fm_status status = fm_envelope_open(end, &envelope);
    if (status == FM_OK)
        status = fm_receipt_decode(envelope.body, receipt);
    if (status == FM_OK && is(lie, "a receipt signed by a stranger")) {
        status = fm_key_generate(FM_KEY_SIGN, &stranger);
        key = stranger;
    }
    if (status == FM_OK && is(lie, "a head signed by another key")) {
        struct fm_head fake = {.size = 7, .time = fm_now_us()};
        status = fm_head_peek_origin(receipt->heads[0], fake.origin);
        if (status == FM_OK)
            status = fm_head_seal(&fake, server->identity->sign_key, &head);
        receipt->heads[0] = fm_buf_span(&head);
    }
    if (status != FM_OK)
        return status;
    lie_in_receipt(server, lie, receipt);
    fm_receipt_encode(&body, receipt);
    return fm_envelope_seal(FM_ENV_RECEIPT, mesh, fm_buf_span(&body), &key, 1, out);
}

/* A part that says more or less than there is. */
static void lie_in_part(const char *lie, struct fm_part *part)
{
    if (is(lie, "a batch of an exabyte"))
        part->total = UINT64_C(1) << 60;
    else if (is(lie, "a batch larger than allowed"))
        part->total = FM_BATCH_BYTES_MAX + 1u;
    else if (is(lie, "a batch shorter than its part"))
        part->total = part->bytes.len - 1;
    else if (is(lie, "parts without bytes"))
        part->bytes.len = 0;
    else if (is(lie, "a part of nothing known"))
        part->kind = (enum fm_part_kind)7;
    else if (is(lie, "a byte at a time"))
        part->bytes.len = 1;
    else if (is(lie, "half a batch") && part->kind == FM_PART_BATCH)
        part->total = part->bytes.len = part->bytes.len / 2;
    else if (is(lie, "a receipt instead of rows"))
        part->kind = FM_PART_END;
    else if (is(lie, "rows instead of a receipt"))
        part->kind = FM_PART_BATCH;
}

/* Change a part that came from the true handler. */
static enum fm_status lie_in_reply(const struct fm_server *server, const char *lie,
                                   struct fm_buf *reply)
{
    FM_AUTO(fm_buf_free) struct fm_buf copy = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf end = FM_BUF_INIT(0);
    struct fm_part part;

    fm_buf_put_span(&copy, fm_buf_span(reply));
    if (fm_buf_status(&copy) != FM_OK)
        return FM_NOMEM;
    enum fm_status status = fm_part_decode(fm_buf_span(&copy), &part);
    if (status == FM_OK && part.kind == FM_PART_END) {
        status = lie_at_end(server, lie, part.bytes, &end);
        part.bytes = fm_buf_span(&end);
        part.total = end.len;
    }
    if (status != FM_OK)
        return status;
    uint8_t *bytes = (uint8_t *)(uintptr_t)part.bytes.data; /* Of a copy of ours. */
    if (part.kind == FM_PART_BATCH && is(lie, "a changed value"))
        bytes[part.bytes.len - 40] ^= 1;
    if (part.kind == FM_PART_BATCH && is(lie, "a batch of noise"))
        memset(bytes, 0xa5, part.bytes.len);
    lie_in_part(lie, &part);
    fm_buf_clear(reply);
    fm_pack_map(reply, 3); /* By hand: the encoder stands for what it says. */
    fm_pack_key_uint(reply, 0, part.kind);
    fm_pack_key_uint(reply, 1, part.total);
    fm_pack_key_bin(reply, 2, part.bytes.data, part.bytes.len);
    return fm_buf_status(reply);
}

enum fm_status __wrap_fm_rpc_fragment_fetch(struct fm_server *server,
                                            const struct fm_caller *caller, struct fm_span body,
                                            struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf other = FM_BUF_INIT(0);
    struct fm_fetch fetch;
    char lie[LIE_MAX];

    read_lie(server, lie);
    if (lie[0] == '\0' || strncmp(lie, SMALL, strlen(SMALL)) == 0)
        return __real_fm_rpc_fragment_fetch(server, caller, body, reply, err);
    if (is(lie, "no batch"))
        (void)sleep(2);
    if (is(lie, "a fragment forgotten"))
        return fm_fail(err, FM_NOTFOUND, "no such query is open here");
    if (is(lie, "an error of noise"))
        return fm_fail(err, FM_INTERNAL, "\x1b[2J\xff\xfe%%s%%n");
    enum fm_status status = fm_fetch_decode(body, &fetch);
    if (status != FM_OK)
        return status;
    fetch.batch = batch_instead(lie, fetch.batch);
    fm_fetch_encode(&other, &fetch);
    status = __real_fm_rpc_fragment_fetch(server, caller, fm_buf_span(&other), reply, err);
    return status == FM_OK ? lie_in_reply(server, lie, reply) : status;
}

/* ---- The test -------------------------------------------------------------------------------- */

static char self[LIVE_PATH_MAX]; /* This program's path, for the owner. */

static void set_lie(struct live_owners *f, const char *lie)
{
    char path[LIVE_PATH_MAX];

    assert_int_equal(
        fm_file_write(live_path(f->mesh, "alpha/" LIE_FILE, path), fm_span_str(lie), 0600, NULL),
        FM_OK);
}

static void prepare(struct live_mesh *mesh, struct live_node *node)
{
    if (strcmp(node->name, "alpha") != 0)
        return;
    node->program = self;
    /* It would look for its worker beside itself. */
    live_configure(mesh, "alpha", "worker: " FM_BIN_DIR "/folkmoot-worker\n");
}

/* Alpha lies, beta is asked. */
static int setup(void **state)
{
    struct live_owners *f = live_owners_new(2, prepare);

    live_publish(f->mesh, f->alpha, ROWS);
    live_publish(f->mesh, f->beta, 100);
    live_owners_ready(f, 2);
    *state = f;
    return 0;
}

/* Ask beta and read to the end. */
static enum folkmoot_status ask(struct live_owners *f, const char *sql, uint32_t ms, uint64_t *rows)
{
    struct folkmoot_query_options options = {.timeout_ms = ms};
    struct folkmoot_result *result = NULL;

    *rows = 0;
    enum folkmoot_status status = folkmoot_query(f->handle, sql, strlen(sql), &options, &result);
    while (status == FOLKMOOT_OK) {
        status = folkmoot_result_next(result);
        if (status == FOLKMOOT_OK && folkmoot_result_rows(result) == 0)
            break;
        *rows += folkmoot_result_rows(result);
    }
    folkmoot_result_free(result);
    return status;
}

/* All of alpha's rows go to the client as they are, or through beta's merge. */
#define SHIPPED "SELECT id, text FROM alpha.items"
#define MERGED                                                                                     \
    "SELECT x.id, x.text, y.text FROM alpha.items x JOIN beta.items y ON x.id % 100 = y.id"

struct lie {
    const char *name;
    const char *reason; /* Part of the text. */
    enum folkmoot_status status;
    uint32_t ms; /* 0: long enough. */
    bool is_nameless;
};

static void assert_refused(struct live_owners *f, const struct lie *lie, const char *sql)
{
    uint64_t rows;

    set_lie(f, lie->name);
    fm_ms start = fm_now_ms();
    enum folkmoot_status status = ask(f, sql, lie->ms != 0 ? lie->ms : 60000, &rows);
    fm_ms took = fm_now_ms() - start;
    const char *text = folkmoot_error(f->handle);
    set_lie(f, "");
    print_message("%5lld ms %s: %s\n", (long long)took, lie->name,
                  status == FOLKMOOT_OK ? "(believed)" : text);
    if (status != lie->status || strstr(text, lie->reason) == NULL ||
        (!lie->is_nameless && strstr(text, "domain alpha on node alpha") == NULL))
        fail_msg("%s, %s: %s after %llu rows: %s", lie->name, sql, folkmoot_status_text(status),
                 (unsigned long long)rows, status == FOLKMOOT_OK ? "" : text);
    if (lie->ms != 0)
        assert_true(took < lie->ms + 5000);
}

static void assert_answers(struct live_owners *f)
{
    uint64_t rows;

    assert_true(live_runs(f->beta));
    if (ask(f, MERGED, 60000, &rows) != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(f->handle));
    assert_int_equal(rows, ROWS);
}

static void assert_all_refused(struct live_owners *f, const struct lie *lies, size_t count)
{
    assert_answers(f);
    for (size_t i = 0; i < count; i++) {
        assert_refused(f, &lies[i], SHIPPED);
        assert_refused(f, &lies[i], MERGED);
    }
    assert_answers(f);
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void columns_that_differ_are_refused(void **state)
{
    static const struct lie lies[] = {
        {"columns of garbage", "columns do not decode", FOLKMOOT_MALFORMED, 0, false},
        {"a bare opening", "opening does not decode", FOLKMOOT_MALFORMED, 0, false},
        {"an opening of noise", "opening does not decode", FOLKMOOT_MALFORMED, 0, false},
        {"fewer columns", "column", FOLKMOOT_MALFORMED, 0, false},
        {"another type", "", FOLKMOOT_MALFORMED, 0, false},
    };
    assert_all_refused(*state, lies, COUNT(lies));
}

static void batches_that_differ_are_refused(void **state)
{
    static const char fit[] = "does not match the batches that came";
    static const struct lie lies[] = {
        {"a batch left out", fit, FOLKMOOT_FORGED, 0, false},
        {"a batch twice", fit, FOLKMOOT_FORGED, 0, false},
        {"batches swapped", fit, FOLKMOOT_FORGED, 0, false},
        {"a batch of noise", "batch 0 is malformed", FOLKMOOT_MALFORMED, 0, false},
        {"half a batch", "batch 0 is malformed", FOLKMOOT_MALFORMED, 0, false},
        {"a batch of an exabyte", "a part of batch 0", FOLKMOOT_MALFORMED, 0, false},
        {"a batch larger than allowed", "batch 0", FOLKMOOT_MALFORMED, 0, false},
        {"a batch shorter than its part", "batch 0", FOLKMOOT_MALFORMED, 0, false},
        {"parts without bytes", "batch 0", FOLKMOOT_MALFORMED, 0, false},
        {"a part of nothing known", "a part of batch 0", FOLKMOOT_MALFORMED, 0, false},
        {"a receipt instead of rows", "receipt", FOLKMOOT_MALFORMED, 0, false},
        {"rows instead of a receipt", "malformed", FOLKMOOT_MALFORMED, 0, false},
    };
    assert_all_refused(*state, lies, COUNT(lies));
}

/* A flipped bit may hit a length, or a value that only the receipt knows. */
static void a_changed_value_is_found(void **state)
{
    struct live_owners *f = *state;
    uint64_t rows;

    set_lie(f, "a changed value");
    enum folkmoot_status status = ask(f, SHIPPED, 60000, &rows);
    set_lie(f, "");
    print_message("a changed value: %s\n", folkmoot_error(f->handle));
    assert_true(status == FOLKMOOT_FORGED || status == FOLKMOOT_MALFORMED);
    assert_answers(f);
}

static void receipts_over_something_else_are_refused(void **state)
{
    static const char fit[] = "does not match the batches that came";
    static const char other[] = "for another ticket, fragment or principal";
    static const struct lie lies[] = {
        {"more rows than came", fit, FOLKMOOT_FORGED, 0, false},
        {"fewer bytes than came", fit, FOLKMOOT_FORGED, 0, false},
        {"fewer batches than came", fit, FOLKMOOT_FORGED, 0, false},
        {"a receipt of other rows", fit, FOLKMOOT_FORGED, 0, false},
        {"a receipt for another ticket", other, FOLKMOOT_FORGED, 0, false},
        {"a receipt for another fragment", other, FOLKMOOT_FORGED, 0, false},
        {"a receipt for another principal", other, FOLKMOOT_FORGED, 0, false},
        {"a receipt for another query", other, FOLKMOOT_FORGED, 0, false},
        {"a receipt of another owner", other, FOLKMOOT_FORGED, 0, false},
        {"a receipt over other columns", other, FOLKMOOT_FORGED, 0, false},
        {"no heads", "not signed by the owner", FOLKMOOT_MALFORMED, 0, false},
        {"an end that nobody asked for", "which nobody asked", FOLKMOOT_FORGED, 0, false},
        {"a head that is none", "head is not one of this mesh", FOLKMOOT_FORGED, 0, false},
        {"a head signed by another key", "head of alpha.items is not signed", FOLKMOOT_FORGED, 0,
         false},
        {"a receipt signed by a stranger", "not signed by the owner", FOLKMOOT_FORGED, 0, false},
        {"a receipt of noise", "not signed by the owner", FOLKMOOT_MALFORMED, 0, false},
    };
    assert_all_refused(*state, lies, COUNT(lies));
}

static void small_answers_are_checked_alike(void **state)
{
    static const char fit[] = "does not match the batches that came";
    static const struct lie lies[] = {
        {SMALL "more rows than came", fit, FOLKMOOT_FORGED, 0, false},
        {SMALL "a receipt of other rows", fit, FOLKMOOT_FORGED, 0, false},
        {SMALL "a receipt without its batch", fit, FOLKMOOT_FORGED, 0, false},
        {SMALL "a receipt for another query", "for another ticket", FOLKMOOT_FORGED, 0, false},
        {SMALL "a receipt signed by a stranger", "not signed", FOLKMOOT_FORGED, 0, false},
        {SMALL "a receipt of noise", "not signed", FOLKMOOT_MALFORMED, 0, false},
        {SMALL "a batch of noise", "batch 0 is malformed", FOLKMOOT_MALFORMED, 0, false},
    };
    struct live_owners *f = *state;

    for (size_t i = 0; i < COUNT(lies); i++) {
        assert_refused(f, &lies[i], "SELECT id, text FROM alpha.items WHERE id = 5");
        assert_refused(f, &lies[i], "SELECT count(*) AS n, max(text) AS t FROM alpha.items");
    }
    assert_answers(f);
}

/* What never ends costs its deadline and no more. */
static void lies_without_end_cost_their_deadline(void **state)
{
    static const struct lie lies[] = {
        {"batches without end", "", FOLKMOOT_TIMEOUT, 800, true},
        {"a byte at a time", "", FOLKMOOT_TIMEOUT, 800, false},
        {"no opening", "", FOLKMOOT_TIMEOUT, 800, false},
        {"no batch", "", FOLKMOOT_TIMEOUT, 800, false},
    };
    struct live_owners *f = *state;
    struct live_usage before = live_usage(f->beta->pid);

    assert_all_refused(f, lies, COUNT(lies));
    struct live_usage after = live_usage(f->beta->pid);
    live_assert_growth(&before, &after, 64);
}

static void refusals_are_passed_on_by_name(void **state)
{
    static const struct lie lies[] = {
        {"a fragment forgotten", "no such query is open", FOLKMOOT_UNAVAILABLE, 0, false},
        {"an error of noise", "", FOLKMOOT_INTERNAL, 0, false},
    };
    assert_all_refused(*state, lies, COUNT(lies));
}

/* An estimate is no fact: rows that nobody counted change nothing. */
static void an_absurd_estimate_is_only_an_estimate(void **state)
{
    struct live_owners *f = *state;
    uint64_t rows;

    set_lie(f, "rows without number");
    enum folkmoot_status status = ask(f, MERGED, 60000, &rows);
    set_lie(f, "");
    if (status != FOLKMOOT_OK)
        fail_msg("%s", folkmoot_error(f->handle));
    assert_int_equal(rows, ROWS);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "node") == 0)
        return fm_cli_main(argc, argv);
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_that_differ_are_refused),
        cmocka_unit_test(batches_that_differ_are_refused),
        cmocka_unit_test(a_changed_value_is_found),
        cmocka_unit_test(receipts_over_something_else_are_refused),
        cmocka_unit_test(small_answers_are_checked_alike),
        cmocka_unit_test(lies_without_end_cost_their_deadline),
        cmocka_unit_test(refusals_are_passed_on_by_name),
        cmocka_unit_test(an_absurd_estimate_is_only_an_estimate),
    };
    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
