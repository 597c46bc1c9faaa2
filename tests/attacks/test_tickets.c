/* An admitted node that asks an owner for rows in somebody's name: tickets for other owners,
 * altered ones, with the certificate or the request of somebody else, too late or valid for too
 * long. The owner refuses each for its own reason and hands out nothing. */
#include "client/catalog.h"
#include "core/codec.h"
#include "core/limits.h"
#include "core/session.h"
#include "tests/support/live_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#define SQL "SELECT id, text FROM alpha.items"
#define SECOND_US INT64_C(1000000)

/* A ticket that holds, part by part: a test changes one and sends the rest. */
struct ask {
    struct raw_session *session;
    struct fm_request request; /* The reader's, to the mole. */
    struct fm_buf request_body;
    struct fm_key *request_key;
    struct fm_table_ref table;
    uint32_t field;
    struct fm_span sql; /* Empty: a scan of the field. */
    uint32_t given_count;
    struct fm_given given; /* Along with the SQL. */
    struct fm_ticket ticket;
    struct fm_key *ticket_key;
    struct fm_span principal_cert;
};

static struct fm_hash schema_hash(struct live_world *w)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_mem_freep) struct fm_product_show *show = calloc(1, sizeof *show);
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session;
    struct fm_hash hash;

    assert_non_null(show);
    fm_product_ask_encode(&body, &(struct fm_product_ask){.domain = "alpha", .name = "items"});
    assert_int_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    struct fm_request request = raw_request(&session, FM_METHOD_PRODUCT_SHOW, fm_buf_span(&body));
    assert_int_equal(raw_ask(&session, &request, NULL), FM_OK);
    assert_int_equal(fm_product_show_decode(fm_buf_span(&session.body), show), FM_OK);
    assert_int_equal(fm_schema_decode(show->schemas[0], &schema, NULL), FM_OK);
    fm_schema_hash(schema, hash.bytes);
    raw_end(&session);
    return hash;
}

static void ask_init(struct live_world *w, struct raw_session *session, struct ask *ask)
{
    struct fm_query_body query = {.sql = fm_span_str(SQL)};

    *ask = (struct ask){
        .session = session,
        .request_key = w->reader->sign_key,
        .table = {.domain = "alpha", .table = "items", .schema = schema_hash(w)},
        .field = 1,
        .ticket_key = w->mole->sign_key,
        .principal_cert = fm_buf_span(&w->reader->cert_bytes),
    };
    fm_query_body_encode(&ask->request_body, &query);
    ask->request = raw_request(session, FM_METHOD_QUERY_OPEN, fm_buf_span(&ask->request_body));
    ask->request.audience = w->mole->node.node;
    ask->ticket = (struct fm_ticket){
        .query = ask->request.id,
        .owner = w->alpha->node.node,
        .asker = w->mole->node.node,
        .deadline = fm_now_us() + 10 * SECOND_US,
    };
    fm_sha256_one(&ask->ticket.sql_hash, query.sql);
    memcpy(ask->ticket.session.bytes, fm_session_hash(session->session), FM_HASH_BYTES);
}

/* The body of FRAGMENT_OPEN. */
static void ask_encode(struct ask *ask, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf request = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf fragment = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf ticket = FM_BUF_INIT(0);
    struct fm_fragment plan = {.kind = FM_FRAGMENT_SCAN,
                               .table_count = 1,
                               .tables = &ask->table,
                               .field_count = 1,
                               .fields = &ask->field};
    if (ask->sql.len != 0)
        plan = (struct fm_fragment){
            .kind = FM_FRAGMENT_SQL,
            .table_count = 1,
            .tables = plan.tables,
            .sql = ask->sql,
            .given_count = ask->given_count,
            .given = &ask->given,
        };

    raw_sign(ask->session, &ask->request, ask->request_key, &request);
    fm_fragment_encode(&fragment, &plan);
    ask->ticket.request = fm_buf_span(&request);
    ask->ticket.fragment = fm_buf_span(&fragment);
    fm_ticket_encode(&body, &ask->ticket);
    assert_int_equal(fm_envelope_seal(FM_ENV_TICKET, &ask->session->identity.mesh,
                                      fm_buf_span(&body), &ask->ticket_key, 1, &ticket),
                     FM_OK);
    fm_pack_map(out, 2);
    fm_pack_key_bin(out, 0, ticket.data, ticket.len);
    fm_pack_key_bin(out, 1, ask->principal_cert.data, ask->principal_cert.len);
}

static void assert_refused(struct ask *ask, enum fm_status status, const char *reason)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf fetch = FM_BUF_INIT(0);
    struct raw_session *session = ask->session;

    ask_encode(ask, &body);
    enum fm_status got = raw_call(session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body));
    if (got != status || strstr(session->text, reason) == NULL)
        fail_msg("expected %s \"%s\", got %s \"%s\"", fm_status_text(status), reason,
                 fm_status_text(got), session->text);
    assert_int_equal(session->body.len, 0);
    /* And it is not there. */
    fm_fetch_encode(&fetch, &(struct fm_fetch){.query = ask->ticket.query});
    assert_int_equal(raw_call(session, FM_METHOD_FRAGMENT_FETCH, fm_buf_span(&fetch)), FM_NOTFOUND);
}

static void assert_granted(struct ask *ask)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf fetch = FM_BUF_INIT(0);

    ask_encode(ask, &body);
    if (raw_call(ask->session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body)) != FM_OK)
        fail_msg("%s", ask->session->text);
    fm_fetch_encode(&fetch, &(struct fm_fetch){.query = ask->ticket.query});
    assert_int_equal(raw_call(ask->session, FM_METHOD_FRAGMENT_FETCH, fm_buf_span(&fetch)), FM_OK);
    assert_true(ask->session->body.len > WORLD_ROWS);
}

struct scene {
    struct raw_session session;
    struct ask ask;
};

static void scene_begin(struct live_world *w, struct scene *scene)
{
    struct raw_identity mole = live_as_mole(w, FM_NOISE_IKPSK2);

    assert_int_equal(raw_begin(&scene->session, w->node->port, &mole), FM_OK);
    ask_init(w, &scene->session, &scene->ask);
}

static void scene_end(struct scene *scene)
{
    fm_buf_free(&scene->ask.request_body);
    raw_end(&scene->session);
}

/* ---- The ticket ------------------------------------------------------------------------------ */

static void a_ticket_that_holds_is_granted(void **state)
{
    struct scene s;

    scene_begin(*state, &s);
    assert_granted(&s.ask);
    scene_end(&s);
}

static void a_ticket_is_for_one_owner_asker_and_session(void **state)
{
    struct live_world *w = *state;
    struct scene s;

    scene_begin(w, &s);
    s.ask.ticket.owner = w->mole->node.node;
    assert_refused(&s.ask, FM_REFUSED, "ticket is for another node");
    s.ask.ticket.owner = w->alpha->node.node;
    s.ask.ticket.asker = w->alpha->node.node;
    assert_refused(&s.ask, FM_REFUSED, "ticket is for another node");
    s.ask.ticket.asker = w->mole->node.node;
    s.ask.ticket.session.bytes[0] ^= 1;
    assert_refused(&s.ask, FM_REFUSED, "ticket is for another session");
    s.ask.ticket.session.bytes[0] ^= 1;
    s.ask.ticket_key = w->alpha->sign_key;
    assert_refused(&s.ask, FM_FORGED, "not signed by the asking node");
    s.ask.ticket_key = w->reader->sign_key;
    assert_refused(&s.ask, FM_FORGED, "not signed by the asking node");
    s.ask.ticket_key = w->mole->sign_key;
    assert_granted(&s.ask);
    scene_end(&s);
}

/* One that was recorded, in a session that its asker opened later. */
static void a_recorded_ticket_is_refused(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity mole = live_as_mole(w, FM_NOISE_IKPSK2);
    struct raw_session later;
    struct scene s;

    scene_begin(w, &s);
    ask_encode(&s.ask, &body);
    assert_int_equal(raw_begin(&later, w->node->port, &mole), FM_OK);
    assert_int_equal(raw_call(&later, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body)), FM_REFUSED);
    assert_non_null(strstr(later.text, "another session"));
    raw_end(&later);
    scene_end(&s);
}

/* Any changed byte: the fragment, the deadline, the limits, all is under the signature. */
static void an_altered_ticket_is_refused(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct scene s;

    scene_begin(*state, &s);
    ask_encode(&s.ask, &body);
    for (size_t i = 0; i < body.len; i += 5) {
        body.data[i] ^= 0x01;
        enum fm_status status = raw_call(&s.session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body));
        body.data[i] ^= 0x01;
        if (status != FM_FORGED && status != FM_MALFORMED)
            fail_msg("byte %zu of %zu: %s \"%s\"", i, body.len, fm_status_text(status),
                     s.session.text);
        assert_int_equal(s.session.body.len, 0);
    }
    assert_int_equal(raw_call(&s.session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body)), FM_OK);
    scene_end(&s);
}

/* The deadline is the asker's to set, within what the user allowed. */
#define ENDLESS                                                                                    \
    "SELECT count(*) AS n FROM alpha.items a, alpha.items b, alpha.items c, alpha.items d, "       \
    "alpha.items e WHERE (a.id * 7 + e.id * 3) % 11 = b.id % 5"

/* The opening makes the first batch, so it ends with the deadline at the latest. */
static void a_deadline_is_within_the_request(void **state)
{
    static const fm_us later[] = {INT64_MAX, 3600 * SECOND_US};
    struct scene s;

    scene_begin(*state, &s);
    s.ask.ticket.deadline = fm_now_us() - 180 * SECOND_US; /* Beyond what clocks may differ. */
    assert_refused(&s.ask, FM_TIMEOUT, "deadline has passed");
    scene_end(&s);
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
        FM_AUTO(fm_buf_free) struct fm_buf fetch = FM_BUF_INIT(0);
        scene_begin(*state, &s);
        s.ask.request.limit_ms = 200;
        s.ask.sql = fm_span_str(ENDLESS);
        s.ask.ticket.deadline = later[i] == INT64_MAX ? later[i] : fm_now_us() + later[i];
        ask_encode(&s.ask, &body);
        assert_int_equal(raw_call(&s.session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body)), FM_OK);
        fm_fetch_encode(&fetch, &(struct fm_fetch){.query = s.ask.ticket.query});
        assert_int_equal(raw_call(&s.session, FM_METHOD_FRAGMENT_FETCH, fm_buf_span(&fetch)),
                         FM_TIMEOUT);
        scene_end(&s);
    }
}

/* ---- Rows that come along -------------------------------------------------------------------- */

static void make_given(struct fm_buf *columns, struct fm_buf *batch)
{
    struct fm_column items[2] = {{.name = "id", .type = {.kind = FM_KIND_INT64}},
                                 {.name = "word", .type = {.kind = FM_KIND_VARCHAR}}};
    const struct fm_type *types[2] = {&items[0].type, &items[1].type};
    struct fm_batch_builder_options options = {.types = types, .column_count = 2, .encode = true};
    struct fm_batch_builder *builder = NULL;

    fm_columns_encode(columns, &(struct fm_columns){.count = 2, .items = items});
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (int64_t id = 0; id < 50; id++) {
        assert_int_equal(fm_batch_put_fixed(builder, 0, &id), FM_OK);
        assert_int_equal(fm_batch_put_bytes(builder, 1, fm_span_str("xx")), FM_OK);
    }
    assert_int_equal(fm_batch_builder_finish(builder, 0, batch), FM_OK);
    fm_batch_builder_free(builder);
}

static void scene_with_given(struct live_world *w, struct scene *s, const struct fm_buf *columns,
                             const struct fm_buf *batch)
{
    static uint32_t fields[] = {0, 1};

    scene_begin(w, s);
    s->ask.sql = fm_span_str("SELECT i.id, i.text, g.word FROM alpha.items i LEFT JOIN beta.words "
                             "g ON i.id = g.id ORDER BY 1");
    s->ask.given_count = 1;
    s->ask.given = (struct fm_given){
        .domain = "beta",
        .table = "words",
        .columns = fm_buf_span(columns),
        .field_count = 2,
        .fields = fields,
        .batch = fm_buf_span(batch),
    };
}

/* Each byte of a batch and of its columns may be another: it is refused, or it says something else,
 * and the owner serves on. */
static void given_rows_may_be_anything(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf columns = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(0);
    struct live_world *w = *state;
    uint32_t refused = 0;
    struct scene s;

    make_given(&columns, &batch);
    for (size_t i = 0; i < columns.len + batch.len; i += i < 100 ? 3 : 13) {
        FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
        uint8_t *byte = i < columns.len ? &columns.data[i] : &batch.data[i - columns.len];
        *byte ^= 0x81;
        scene_with_given(w, &s, &columns, &batch);
        ask_encode(&s.ask, &body);
        enum fm_status status = raw_call(&s.session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body));
        refused += status != FM_OK;
        if (status != FM_OK && status != FM_MALFORMED && status != FM_INVALID &&
            status != FM_NOTFOUND && status != FM_LIMIT)
            fail_msg("byte %zu: %s %s", i, fm_status_text(status), s.session.text);
        if (status == FM_MALFORMED && strstr(s.session.text, "beta.words") == NULL)
            fail_msg("byte %zu: %s", i, s.session.text);
        *byte ^= 0x81;
        scene_end(&s);
    }
    assert_true(refused > 10);
    live_assert_serves(w);
}

static void given_rows_are_of_other_tables(void **state)
{
    static uint32_t third[] = {2}, second[] = {1};
    FM_AUTO(fm_buf_free) struct fm_buf columns = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(0);
    static const uint8_t much[FM_GIVEN_BYTES_MAX + 1];
    struct live_world *w = *state;
    struct scene s;

    make_given(&columns, &batch);
    scene_with_given(w, &s, &columns, &batch);
    assert_granted(&s.ask);
    scene_end(&s);

    scene_with_given(w, &s, &columns, &batch);
    (void)strcpy(s.ask.given.domain, "alpha"); /* Its own rows are the owner's to tell. */
    (void)strcpy(s.ask.given.table, "items");
    assert_refused(&s.ask, FM_MALFORMED, "the fragment does not decode");
    (void)strcpy(s.ask.given.domain, "gamma");
    (void)strcpy(s.ask.given.table, "words");
    assert_refused(&s.ask, FM_NOTFOUND, "beta.words does not exist");
    (void)strcpy(s.ask.given.domain, "beta");
    s.ask.given.at = (struct fm_at){FM_AT_VERSION, 3};
    assert_refused(&s.ask, FM_NOTFOUND, "beta.words");
    s.ask.given.at = (struct fm_at){FM_AT_LATEST, 0};
    s.ask.given.field_count = 1;
    s.ask.given.fields = third;
    assert_refused(&s.ask, FM_MALFORMED, "the rows given of beta.words");
    s.ask.given.fields = second;
    assert_refused(&s.ask, FM_MALFORMED, "the rows given of beta.words");
    s.ask.given.columns = fm_span_str("no columns");
    assert_refused(&s.ask, FM_MALFORMED, "the columns given of beta.words");
    s.ask.given.batch = fm_span(much, sizeof much);
    assert_refused(&s.ask, FM_MALFORMED, "the fragment does not decode");
    scene_end(&s);
    live_assert_serves(w);
}

/* ---- The user behind it ---------------------------------------------------------------------- */

static void the_request_is_the_principals(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf expired = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct fm_principal_cert old = w->reader->principal;
    struct scene s;

    scene_begin(w, &s);
    s.ask.principal_cert = fm_buf_span(&w->team->cert_bytes);
    assert_refused(&s.ask, FM_FORGED, "not signed by alpha-team");
    s.ask.principal_cert = fm_buf_span(&w->mole->cert_bytes);
    assert_refused(&s.ask, FM_FORGED, "certificate of the principal");
    old.not_before = fm_seconds(fm_now_us()) - 86400;
    old.not_after = fm_seconds(fm_now_us()) - 600;
    assert_int_equal(
        fm_principal_cert_seal(&w->reader->charter, &old, &w->authority, 1, &expired, NULL), FM_OK);
    s.ask.principal_cert = fm_buf_span(&expired);
    assert_refused(&s.ask, FM_REFUSED, "expired");
    s.ask.principal_cert = fm_buf_span(&w->reader->cert_bytes);
    s.ask.request_key = w->mole->sign_key;
    assert_refused(&s.ask, FM_FORGED, "not signed by reader");
    s.ask.request_key = w->reader->sign_key;
    assert_granted(&s.ask);
    scene_end(&s);
}

static void the_request_is_for_this_query_and_node(void **state)
{
    static const char reason[] = "another query or node";
    struct live_world *w = *state;
    struct scene s;

    scene_begin(w, &s);
    s.ask.ticket.query.bytes[0] ^= 1;
    assert_refused(&s.ask, FM_REFUSED, reason);
    s.ask.ticket.query.bytes[0] ^= 1;
    s.ask.request.audience = w->alpha->node.node;
    assert_refused(&s.ask, FM_REFUSED, reason);
    s.ask.request.audience = w->mole->node.node;
    fm_sha256_one(&s.ask.ticket.sql_hash, fm_span_str("SELECT * FROM alpha.salaries"));
    assert_refused(&s.ask, FM_REFUSED, reason);
    fm_sha256_one(&s.ask.ticket.sql_hash, fm_span_str(SQL));
    s.ask.request.kind = FM_METHOD_PRODUCT_PLAN;
    assert_refused(&s.ask, FM_REFUSED, reason);
    s.ask.request.kind = FM_METHOD_QUERY_OPEN;
    s.ask.request.time -= 3600 * SECOND_US;
    s.ask.ticket.deadline = fm_now_us() + SECOND_US;
    assert_refused(&s.ask, FM_REFUSED, "too old");
    s.ask.request.time += 7200 * SECOND_US;
    assert_refused(&s.ask, FM_REFUSED, "future");
    scene_end(&s);
}

/* Times at the ends of what a number holds must not wrap around. */
static void times_do_not_wrap(void **state)
{
    static const fm_us times[] = {INT64_MAX, INT64_MAX - 1000, 0};
    struct scene s;

    scene_begin(*state, &s);
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        s.ask.request.time = times[i];
        s.ask.request.limit_ms = FM_QUERY_MS_MAX;
        assert_refused(&s.ask, FM_REFUSED, "too old or from the future");
    }
    scene_end(&s);
}

/* ---- What is asked for ----------------------------------------------------------------------- */

static void tables_and_fields_must_exist(void **state)
{
    struct scene s;

    scene_begin(*state, &s);
    memcpy(s.ask.table.table, "salaries", sizeof "salaries");
    assert_refused(&s.ask, FM_NOTFOUND, "not visible to you");
    memcpy(s.ask.table.table, "items", sizeof "items");
    memcpy(s.ask.table.domain, "mole", sizeof "mole");
    assert_refused(&s.ask, FM_NOTFOUND, "not visible to you");
    memcpy(s.ask.table.domain, "alpha", sizeof "alpha");
    s.ask.table.schema.bytes[0] ^= 1;
    assert_refused(&s.ask, FM_CONFLICT, "schema");
    s.ask.table.schema.bytes[0] ^= 1;
    s.ask.field = 77;
    assert_refused(&s.ask, FM_INVALID, "no field 77");
    s.ask.field = 1;
    assert_granted(&s.ask);
    /* The same id and number with another fragment, while that one is open. */
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    s.ask.field = 2;
    ask_encode(&s.ask, &body);
    assert_int_equal(raw_call(&s.session, FM_METHOD_FRAGMENT_OPEN, fm_buf_span(&body)),
                     FM_CONFLICT);
    scene_end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_that_holds_is_granted),
        cmocka_unit_test(a_ticket_is_for_one_owner_asker_and_session),
        cmocka_unit_test(a_recorded_ticket_is_refused),
        cmocka_unit_test(an_altered_ticket_is_refused),
        cmocka_unit_test(a_deadline_is_within_the_request),
        cmocka_unit_test(given_rows_may_be_anything),
        cmocka_unit_test(given_rows_are_of_other_tables),
        cmocka_unit_test(the_request_is_the_principals),
        cmocka_unit_test(the_request_is_for_this_query_and_node),
        cmocka_unit_test(times_do_not_wrap),
        cmocka_unit_test(tables_and_fields_must_exist),
    };
    return cmocka_run_group_tests(tests, live_world_setup, live_world_teardown);
}
