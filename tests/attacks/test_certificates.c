/* Who may talk to a node, and what a request must look like: certificates of others, expired ones,
 * keys that do not belong to them; requests signed by others, for others, from another time;
 * methods of the other kind of caller. Each is refused for its own reason, and nothing is
 * returned. */
#include "core/codec.h"
#include "core/limits.h"
#include "core/session.h"
#include "tests/support/live_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HOUR_US (3600 * INT64_C(1000000))

/* A handshake with this identity must be refused with `status` and a text that has `reason`. */
static void assert_not_admitted(struct live_world *w, const struct raw_identity *identity,
                                enum fm_status status, const char *reason)
{
    struct raw_session session;
    enum fm_status got = raw_begin(&session, w->node->port, identity);

    if (got != status || strstr(session.text, reason) == NULL)
        fail_msg("expected %s \"%s\", got %s \"%s\"", fm_status_text(status), reason,
                 fm_status_text(got), session.text);
    assert_null(session.session);
    raw_end(&session);
}

static void assert_answer(const struct raw_session *session, enum fm_status got,
                          enum fm_status status, const char *reason)
{
    if (got != status || strstr(session->text, reason) == NULL)
        fail_msg("expected %s \"%s\", got %s \"%s\"", fm_status_text(status), reason,
                 fm_status_text(got), session->text);
    assert_int_equal(session->body.len, 0);
}

/* ---- Certificates ---------------------------------------------------------------------------- */

/* The reader's certificate with other dates or names, sealed by any authority. */
static void seal_principal(const struct live_world *w, const struct fm_charter *charter,
                           struct fm_key *authority, const struct fm_principal_cert *cert,
                           struct fm_buf *out)
{
    struct fm_error err = {0};

    (void)w;
    fm_buf_clear(out);
    if (fm_principal_cert_seal(charter, cert, &authority, 1, out, &err) != FM_OK)
        fail_msg("%s", err.text);
}

static void anothers_authority_counts_for_nothing(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf cert = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf charter_bytes = FM_BUF_INIT(0);
    FM_AUTO(fm_key_freep) struct fm_key *other = NULL;
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct fm_charter charter = w->reader->charter;

    assert_int_equal(fm_key_generate(FM_KEY_SIGN, &other), FM_OK);
    charter.authority[0] = *fm_key_public(other);
    assert_int_equal(fm_charter_seal(&charter, &other, 1, &charter_bytes), FM_OK);
    seal_principal(w, &charter, other, &w->reader->principal, &cert);
    identity.cert = fm_buf_span(&cert);
    assert_not_admitted(w, &identity, FM_FORGED, "authority");
    /* The same authority, of another mesh. */
    charter = w->reader->charter;
    charter.mesh.bytes[0] ^= 1;
    seal_principal(w, &charter, w->authority, &w->reader->principal, &cert);
    identity.cert = fm_buf_span(&cert);
    assert_not_admitted(w, &identity, FM_FORGED, "authority");
    live_assert_serves(w);
}

static void certificates_have_their_time(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf cert = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct fm_principal_cert dated = w->reader->principal;
    int64_t now = fm_seconds(fm_now_us());

    dated.not_before = now - 86400;
    dated.not_after = now - 600;
    seal_principal(w, &w->reader->charter, w->authority, &dated, &cert);
    identity.cert = fm_buf_span(&cert);
    assert_not_admitted(w, &identity, FM_REFUSED, "expired");
    dated.not_before = now + 600;
    dated.not_after = now + 86400;
    seal_principal(w, &w->reader->charter, w->authority, &dated, &cert);
    identity.cert = fm_buf_span(&cert);
    assert_not_admitted(w, &identity, FM_REFUSED, "not valid");
    /* Between nodes it is the same. */
    struct raw_identity node = live_as_mole(w, FM_NOISE_XXPSK0);
    FM_AUTO(fm_mem_freep) struct fm_node_cert *old = malloc(sizeof *old);
    assert_non_null(old);
    *old = w->mole->node;
    old->not_before = now - 86400;
    old->not_after = now - 600;
    fm_buf_clear(&cert);
    assert_int_equal(fm_node_cert_seal(&w->mole->charter, old, &w->authority, 1, &cert, NULL),
                     FM_OK);
    node.cert = fm_buf_span(&cert);
    assert_not_admitted(w, &node, FM_REFUSED, "expired");
    node = live_as_mole(w, FM_NOISE_IKPSK2);
    node.cert = fm_buf_span(&cert);
    assert_not_admitted(w, &node, FM_REFUSED, "expired");
}

/* A certificate is public: without its session key it opens nothing. */
static void a_certificate_needs_its_key(void **state)
{
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);

    identity.cert = fm_buf_span(&w->team->cert_bytes);
    assert_not_admitted(w, &identity, FM_FORGED, "another session key");
    struct raw_identity node = live_as_mole(w, FM_NOISE_IKPSK2);
    node.cert = fm_buf_span(&w->alpha->cert_bytes);
    assert_not_admitted(w, &node, FM_FORGED, "another session key");
    node.pattern = FM_NOISE_XXPSK0;
    assert_not_admitted(w, &node, FM_FORGED, "another session key");
}

/* A principal is no node, whatever it says, and no certificate is no certificate. */
static void kinds_of_certificates_do_not_mix(void **state)
{
    struct live_world *w = *state;
    struct raw_session session;
    struct raw_identity identity = live_as_principal(w, w->reader);

    identity.kind = FM_PAYLOAD_NODE;
    assert_int_not_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    raw_end(&session);
    struct raw_identity node = live_as_mole(w, FM_NOISE_XXPSK0);
    node.kind = FM_PAYLOAD_PRINCIPAL;
    assert_int_not_equal(raw_begin(&session, w->node->port, &node), FM_OK);
    raw_end(&session);
    identity = live_as_principal(w, w->reader);
    identity.cert = fm_span_str("no certificate at all");
    assert_int_not_equal(raw_begin(&session, w->node->port, &identity), FM_OK);
    raw_end(&session);
    live_assert_serves(w);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void begin(struct live_world *w, const struct raw_identity *identity,
                  struct raw_session *session)
{
    if (raw_begin(session, w->node->port, identity) != FM_OK)
        fail_msg("not admitted: %s", session->text);
}

static void a_request_is_signed_by_who_asks(void **state)
{
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session;

    begin(w, &identity, &session);
    struct fm_request request = raw_request(&session, FM_METHOD_MEMBERS, live_empty_map());
    assert_answer(&session, raw_ask(&session, &request, w->team->sign_key), FM_FORGED,
                  "not signed by reader");
    /* For another mesh, by the right key. */
    session.identity.mesh.bytes[5] ^= 0x10;
    assert_answer(&session, raw_ask(&session, &request, NULL), FM_FORGED, "not signed by reader");
    session.identity.mesh.bytes[5] ^= 0x10;
    assert_int_equal(raw_ask(&session, &request, NULL), FM_OK);
    raw_end(&session);
}

static void a_request_is_for_one_node_session_and_method(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session, other;
    static const char reason[] = "another node, session or method";

    begin(w, &identity, &session);
    begin(w, &identity, &other);
    struct fm_request good = raw_request(&session, FM_METHOD_MEMBERS, live_empty_map());
    struct fm_request request = good;
    request.audience = w->mole->node.node;
    assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, reason);
    request = good;
    request.session.bytes[31] ^= 1;
    assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, reason);
    /* A whole envelope in another session of the same principal, and for another method. */
    raw_sign(&session, &good, NULL, &envelope);
    assert_answer(&other, raw_call(&other, FM_METHOD_MEMBERS, fm_buf_span(&envelope)), FM_REFUSED,
                  reason);
    assert_answer(&session, raw_call(&session, FM_METHOD_PRODUCT_LIST, fm_buf_span(&envelope)),
                  FM_REFUSED, reason);
    assert_answer(&session, raw_call(&session, FM_METHOD_QUERY_OPEN, fm_buf_span(&envelope)),
                  FM_REFUSED, reason);
    assert_int_equal(raw_call(&session, FM_METHOD_MEMBERS, fm_buf_span(&envelope)), FM_OK);
    raw_end(&session);
    raw_end(&other);
}

static void a_request_is_of_now(void **state)
{
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session;

    begin(w, &identity, &session);
    struct fm_request request = raw_request(&session, FM_METHOD_MEMBERS, live_empty_map());
    request.time += HOUR_US;
    assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, "set the clocks");
    request.time -= 2 * HOUR_US;
    assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, "set the clocks");
    request.time = INT64_MAX;
    assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, "set the clocks");
    raw_end(&session);
}

/* Any changed byte of a signed request. */
static void a_changed_request_is_refused(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session;

    begin(w, &identity, &session);
    struct fm_request request = raw_request(&session, FM_METHOD_MEMBERS, live_empty_map());
    raw_sign(&session, &request, NULL, &envelope);
    for (size_t i = 0; i < envelope.len; i += 3) {
        envelope.data[i] ^= 0x04;
        enum fm_status status = raw_call(&session, FM_METHOD_MEMBERS, fm_buf_span(&envelope));
        envelope.data[i] ^= 0x04;
        if (status != FM_FORGED && status != FM_MALFORMED)
            fail_msg("byte %zu: %s", i, fm_status_text(status));
        assert_int_equal(session.body.len, 0);
    }
    assert_int_equal(raw_call(&session, FM_METHOD_MEMBERS, fm_buf_span(&envelope)), FM_OK);
    raw_end(&session);
}

/* ---- Methods --------------------------------------------------------------------------------- */

static void principals_have_no_methods_of_nodes(void **state)
{
    static const enum fm_method methods[] = {FM_METHOD_FRAGMENT_OPEN, FM_METHOD_FRAGMENT_FETCH,
                                             FM_METHOD_FRAGMENT_CANCEL, FM_METHOD_RECORD_GET,
                                             FM_METHOD_RECORD_LIST};
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->team);
    struct raw_session session;

    begin(w, &identity, &session);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct fm_request request = raw_request(&session, methods[i], live_empty_map());
        assert_answer(&session, raw_call(&session, methods[i], live_empty_map()), FM_REFUSED,
                      "only nodes");
        assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, "only nodes");
    }
    raw_end(&session);
}

static void nodes_have_no_methods_of_principals(void **state)
{
    static const enum fm_method methods[] = {
        FM_METHOD_QUERY_OPEN,         FM_METHOD_APPEND_BEGIN,
        FM_METHOD_APPEND_COMMIT,      FM_METHOD_APPEND_ROWS,
        FM_METHOD_APPEND_ABORT,       FM_METHOD_PRODUCT_APPLY,
        FM_METHOD_PRODUCT_LIST,       FM_METHOD_PRODUCT_SHOW,
        FM_METHOD_PRODUCT_PLAN,       FM_METHOD_MEMBERS,
        FM_METHOD_CHECKPOINT_MAKE,    FM_METHOD_CHECKPOINT_DROP,
        FM_METHOD_PRODUCT_STATISTICS, FM_METHOD_ERASE_SUBJECT,
    };
    struct live_world *w = *state;
    struct raw_identity identity = live_as_mole(w, FM_NOISE_IKPSK2);
    struct raw_session session;

    begin(w, &identity, &session);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        struct fm_request request = raw_request(&session, methods[i], live_empty_map());
        assert_answer(&session, raw_ask(&session, &request, NULL), FM_REFUSED, "only a principal");
    }
    raw_end(&session);
}

static void unknown_methods_are_named(void **state)
{
    static const unsigned numbers[] = {0, 30, 31, 32, 255, 65535, 1000000};
    struct live_world *w = *state;
    struct raw_identity identity = live_as_principal(w, w->reader);
    struct raw_session session;

    begin(w, &identity, &session);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        enum fm_status status = raw_call(&session, (enum fm_method)numbers[i], live_empty_map());
        assert_true(status == FM_UNSUPPORTED || status == FM_MALFORMED);
        assert_int_equal(session.body.len, 0);
    }
    assert_int_equal(raw_call(&session, FM_METHOD_PING, fm_span_str("")), FM_OK);
    raw_end(&session);
}

/* A query belongs to the key that opened it: its id alone fetches and cancels nothing. */
static void anothers_query_cannot_be_fetched(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf fetch = FM_BUF_INIT(0);
    struct live_world *w = *state;
    struct raw_identity reader = live_as_principal(w, w->reader);
    struct raw_identity team = live_as_principal(w, w->team);
    struct raw_identity mole = live_as_mole(w, FM_NOISE_IKPSK2);
    struct raw_session asks, spies, node;
    struct fm_query_body query = {.sql = fm_span_str("SELECT id, text FROM alpha.items")};

    begin(w, &reader, &asks);
    begin(w, &team, &spies);
    begin(w, &mole, &node);
    fm_query_body_encode(&body, &query);
    struct fm_request request = raw_request(&asks, FM_METHOD_QUERY_OPEN, fm_buf_span(&body));
    assert_int_equal(raw_ask(&asks, &request, NULL), FM_OK);
    fm_fetch_encode(&fetch, &(struct fm_fetch){.query = request.id});
    struct raw_session *others[] = {&spies, &node};
    for (size_t i = 0; i < 2; i++) {
        assert_answer(others[i], raw_call(others[i], FM_METHOD_QUERY_FETCH, fm_buf_span(&fetch)),
                      FM_NOTFOUND, "no such query");
        (void)raw_call(others[i], FM_METHOD_QUERY_CANCEL, fm_buf_span(&fetch));
    }
    assert_answer(&node, raw_call(&node, FM_METHOD_FRAGMENT_FETCH, fm_buf_span(&fetch)),
                  FM_NOTFOUND, "no such query");
    assert_int_equal(raw_call(&asks, FM_METHOD_QUERY_FETCH, fm_buf_span(&fetch)), FM_OK);
    assert_true(asks.body.len > 200); /* A hundred rows; texts may have come with the opening. */
    raw_end(&asks);
    raw_end(&spies);
    raw_end(&node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anothers_authority_counts_for_nothing),
        cmocka_unit_test(certificates_have_their_time),
        cmocka_unit_test(a_certificate_needs_its_key),
        cmocka_unit_test(kinds_of_certificates_do_not_mix),
        cmocka_unit_test(a_request_is_signed_by_who_asks),
        cmocka_unit_test(a_request_is_for_one_node_session_and_method),
        cmocka_unit_test(a_request_is_of_now),
        cmocka_unit_test(a_changed_request_is_refused),
        cmocka_unit_test(principals_have_no_methods_of_nodes),
        cmocka_unit_test(nodes_have_no_methods_of_principals),
        cmocka_unit_test(unknown_methods_are_named),
        cmocka_unit_test(anothers_query_cannot_be_fetched),
    };
    return cmocka_run_group_tests(tests, live_world_setup, live_world_teardown);
}
