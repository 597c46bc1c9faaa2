/* Answers to a client that cannot sign: the asked node signs its request and shows its token. Each
 * way to ask in somebody's name without the right is told by its own reason. */
#include "core/asker.h"

#include "tests/support/test_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct fm_token token; /* As the case at hand wants it. */
static struct fm_key *token_key;
static struct fm_span token_cert;
static struct fm_buf token_text;

static void make_token(struct test_bundle *b)
{
    struct fm_error err;

    fm_buf_clear(&token_text);
    if (fm_token_make(&b->mesh->charter, &token, token_cert, token_key, &token_text, &err) != FM_OK)
        fail_msg("%s", err.text);
    b->request.token = fm_buf_span(&token_text);
}

/* Alice's token for node 0, in a request that node 0 signs. */
static struct test_bundle *bundle_new(void)
{
    struct test_bundle *b = test_bundle_new();

    assert_non_null(b);
    memset(&token, 0, sizeof token);
    token.node_count = 1;
    token.nodes[0] = b->mesh->nodes[0].node;
    token.issued = token.not_before = TEST_MESH_NOW - 60;
    token.not_after = TEST_MESH_NOW + 60;
    token.principal = b->mesh->principal;
    token_key = b->mesh->principal_sign;
    token_cert = fm_buf_span(&b->mesh->principal_bytes);
    b->request_key = b->mesh->sign[0];
    b->stage = STAGE_REQUEST;
    b->tamper = make_token;
    return b;
}

static void check(struct test_bundle *b, enum fm_status expected, const char *reason)
{
    static struct fm_verified verified;
    struct fm_error err = {0};

    assert_int_equal(test_bundle_seal(b), FM_OK);
    enum fm_status status = fm_verify_answer(&b->input, &verified, &err);
    if (status != expected || strstr(err.text, reason) == NULL)
        fail_msg("%s: '%s', not '%s'", fm_status_text(status), err.text, reason);
    fm_verified_deinit(&verified);
    test_bundle_free(b);
    fm_buf_free(&token_text);
}

static void an_answer_to_a_token_verifies(void **state)
{
    (void)state;
    check(bundle_new(), FM_OK, "");
}

/* Verified long afterwards: what counts is the time of the request. */
static void a_token_is_needed_when_asking_only(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    token.not_after = TEST_MESH_NOW + 1;
    check(b, FM_OK, "");
}

static void a_token_for_another_node_is_refused(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    token.nodes[0] = b->mesh->nodes[1].node;
    check(b, FM_FORGED, "for another node");
}

static void a_token_that_had_ended_is_refused(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    token.issued = token.not_before = TEST_MESH_NOW - 7200;
    token.not_after = TEST_MESH_NOW - 3600;
    check(b, FM_FORGED, "has ended");
}

static void a_token_by_another_key_is_refused(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    token_key = b->mesh->sign[0];
    check(b, FM_FORGED, "the token is not signed by alice");
}

static void no_token(struct test_bundle *b)
{
    b->request.token = (struct fm_span){0};
}

static void the_node_needs_a_token(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    b->tamper = no_token;
    check(b, FM_FORGED, "without a token");
}

static void the_principal_needs_none(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    b->request_key = b->mesh->principal_sign;
    check(b, FM_FORGED, "a token that it does not need");
}

/* Node 1 has alice's token, which is for node 0. */
static void another_node_cannot_use_it(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    b->request_key = b->mesh->sign[1];
    check(b, FM_FORGED, "is not signed by alice");
}

/* Bob's token, in a request that says it is alice's. */
static void make_token_of_bob(struct test_bundle *b)
{
    FM_AUTO(fm_buf_free) struct fm_buf cert = FM_BUF_INIT(0);
    struct fm_error err;

    memcpy(token.principal.name, "bob", 4);
    token.principal.sign_key = *fm_key_public(b->mesh->sign[1]);
    assert_int_equal(fm_principal_cert_seal(&b->mesh->charter, &token.principal, b->mesh->authority,
                                            2, &cert, &err),
                     FM_OK);
    token_key = b->mesh->sign[1];
    token_cert = fm_buf_span(&cert);
    make_token(b);
}

static void a_token_of_somebody_else_is_refused(void **state)
{
    struct test_bundle *b = bundle_new();

    (void)state;
    b->tamper = make_token_of_bob;
    check(b, FM_FORGED, "of another certificate");
}

/* Where a principal itself holds the session, no node may sign for it. */
static void a_session_takes_its_principals_signature_only(void **state)
{
    struct test_bundle *b = bundle_new();
    struct fm_asker asker = {.charter = &b->mesh->charter,
                             .principal = &b->mesh->principal,
                             .principal_cert = fm_buf_span(&b->mesh->principal_bytes)};
    struct fm_request request;
    struct fm_error err = {0};

    (void)state;
    assert_int_equal(test_bundle_seal(b), FM_OK);
    assert_int_equal(fm_asker_open(&asker, fm_buf_span(&b->request_bytes), &request, &err),
                     FM_FORGED);
    asker.node = &b->mesh->nodes[0];
    assert_int_equal(fm_asker_open(&asker, fm_buf_span(&b->request_bytes), &request, &err), FM_OK);
    assert_true(fm_span_equal(request.token, fm_buf_span(&token_text)));
    assert_int_equal(fm_asker_open(&asker, fm_span_str("?"), &request, &err), FM_MALFORMED);
    test_bundle_free(b);
    fm_buf_free(&token_text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_to_a_token_verifies),
        cmocka_unit_test(a_token_is_needed_when_asking_only),
        cmocka_unit_test(a_token_for_another_node_is_refused),
        cmocka_unit_test(a_token_that_had_ended_is_refused),
        cmocka_unit_test(a_token_by_another_key_is_refused),
        cmocka_unit_test(the_node_needs_a_token),
        cmocka_unit_test(the_principal_needs_none),
        cmocka_unit_test(another_node_cannot_use_it),
        cmocka_unit_test(a_token_of_somebody_else_is_refused),
        cmocka_unit_test(a_session_takes_its_principals_signature_only),
    };

    return cmocka_run_group_tests_name("asker", tests, NULL, NULL);
}
