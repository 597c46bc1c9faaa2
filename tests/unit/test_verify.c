/* Verifying an answer: each way to lie is told by its own reason. */
#include "core/records.h"

#include "tests/support/verify_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define DAY INT64_C(86400)

/* ---- Lies ---------------------------------------------------------------------------------- */

static void reseal_node(struct test_bundle *b, unsigned i)
{
    struct test_mesh *mesh = b->mesh;

    fm_buf_clear(&mesh->node_bytes[i]);
    assert_int_equal(fm_node_cert_seal(&mesh->charter, &mesh->nodes[i], mesh->authority, 2,
                                       &mesh->node_bytes[i], NULL),
                     FM_OK);
}

static void reseal_principal(struct test_bundle *b, const struct fm_charter *charter)
{
    struct test_mesh *mesh = b->mesh;

    fm_buf_clear(&mesh->principal_bytes);
    assert_int_equal(fm_principal_cert_seal(charter, &mesh->principal, mesh->authority, 2,
                                            &mesh->principal_bytes, NULL),
                     FM_OK);
}

static void asked_node_expired(struct test_bundle *b)
{
    b->mesh->nodes[0].not_before = TEST_MESH_NOW - 20 * DAY;
    b->mesh->nodes[0].not_after = TEST_MESH_NOW - DAY;
    reseal_node(b, 0);
}

static void owner_expired(struct test_bundle *b)
{
    b->mesh->nodes[1].not_before = TEST_MESH_NOW - 20 * DAY;
    b->mesh->nodes[1].not_after = TEST_MESH_NOW - DAY;
    reseal_node(b, 1);
}

static void owner_not_valid_yet(struct test_bundle *b)
{
    b->mesh->nodes[1].not_before = TEST_MESH_NOW + DAY;
    reseal_node(b, 1);
}

static void principal_expired(struct test_bundle *b)
{
    b->mesh->principal.not_before = TEST_MESH_NOW - 20 * DAY;
    b->mesh->principal.not_after = TEST_MESH_NOW - DAY;
    reseal_principal(b, &b->mesh->charter);
}

static void principal_of_another_mesh(struct test_bundle *b)
{
    struct fm_charter other = b->mesh->charter;

    other.mesh.bytes[0] ^= 1;
    reseal_principal(b, &other);
}

/* One that alice has too, but it is not the key that signed. */
static void principal_with_another_key(struct test_bundle *b)
{
    b->mesh->principal.sign_key = *fm_key_public(b->mesh->sign[0]);
    reseal_principal(b, &b->mesh->charter);
}

static void domain_not_owned(struct test_bundle *b)
{
    memcpy(b->mesh->nodes[1].domains[0].domain, "fleet", 6);
    reseal_node(b, 1);
}

static void domain_at_a_later_epoch(struct test_bundle *b)
{
    b->mesh->nodes[1].domains[0].epoch++;
    reseal_node(b, 1);
}

static void all_signed_for_another_mesh(struct test_bundle *b)
{
    b->signed_mesh.bytes[0] ^= 1;
}

static void asks_for_something_else(struct test_bundle *b)
{
    b->request.kind = FM_METHOD_PRODUCT_LIST;
}

static void asks_another_node(struct test_bundle *b)
{
    b->request.audience = b->mesh->nodes[1].node;
}

static void request_by_a_stranger(struct test_bundle *b)
{
    b->request_key = b->mesh->sign[1];
}

static void request_without_a_query(struct test_bundle *b)
{
    b->request.body = fm_span_str("SELECT 1");
}

static void request_of_tomorrow(struct test_bundle *b)
{
    b->request.time = TEST_MESH_NOW_US + DAY * SECOND;
}

static void ticket_of_another_query(struct test_bundle *b)
{
    b->tickets[0].query.bytes[0] ^= 1;
}

static void ticket_for_another_owner(struct test_bundle *b)
{
    b->tickets[0].owner = b->mesh->nodes[0].node;
}

static void ticket_of_another_asker(struct test_bundle *b)
{
    b->tickets[0].asker = b->mesh->nodes[1].node;
}

static void ticket_with_another_request(struct test_bundle *b)
{
    b->tickets[0].request = fm_span_str("another request");
}

static void ticket_for_other_sql(struct test_bundle *b)
{
    b->tickets[0].sql_hash.bytes[0] ^= 1;
}

static void ticket_counted_twice(struct test_bundle *b)
{
    b->tickets[1].number = b->tickets[0].number;
}

static void ticket_by_the_owner_itself(struct test_bundle *b)
{
    b->ticket_key = b->mesh->sign[1];
}

static void ticket_without_a_fragment(struct test_bundle *b)
{
    b->tickets[0].fragment = fm_span_str("no fragment");
}

static void receipt_of_another_query(struct test_bundle *b)
{
    b->receipts[0].query.bytes[0] ^= 1;
}

static void receipt_in_anothers_name(struct test_bundle *b)
{
    b->receipts[0].owner = b->mesh->nodes[0].node;
}

static void receipt_for_another_ticket(struct test_bundle *b)
{
    b->receipts[0].ticket.bytes[0] ^= 1;
}

static void receipt_for_another_fragment(struct test_bundle *b)
{
    b->receipts[0].fragment.bytes[0] ^= 1;
}

static void receipt_for_another_principal(struct test_bundle *b)
{
    b->receipts[0].principal.bytes[0] ^= 1;
}

static void receipt_older_than_the_request(struct test_bundle *b)
{
    b->receipts[0].time = TEST_MESH_NOW_US - 121 * SECOND;
}

static void receipt_newer_than_the_answer(struct test_bundle *b)
{
    b->receipts[0].time = b->answer.time + 121 * SECOND;
}

static void receipt_by_the_asked_node(struct test_bundle *b)
{
    b->receipt_keys[0] = b->mesh->sign[0];
}

static void receipt_under_another_schema(struct test_bundle *b)
{
    b->receipts[0].schemas[0].bytes[0] ^= 1;
}

static void receipt_with_two_heads(struct test_bundle *b)
{
    b->receipts[0].table_count = 2;
    b->receipts[0].heads[1] = b->receipts[0].heads[0];
}

static void receipt_without_a_note(struct test_bundle *b)
{
    b->receipts[0].heads[0] = fm_span_str("no note");
}

static void receipt_with_the_other_head(struct test_bundle *b)
{
    b->receipts[0].heads[0] = b->receipts[1].heads[0];
}

static void head_of_another_table(struct test_bundle *b)
{
    fm_head_origin(&b->mesh->charter.mesh, "flights", "arrivals", 2, b->heads[0].origin);
}

static void head_of_another_mesh(struct test_bundle *b)
{
    struct fm_mesh_id other = {{1}};

    fm_head_origin(&other, "flights", "departures", 2, b->heads[0].origin);
}

static void head_by_the_signing_key(struct test_bundle *b)
{
    b->log_keys[0] = b->mesh->sign[1];
}

static void head_of_tomorrow(struct test_bundle *b)
{
    b->heads[0].time = TEST_MESH_NOW_US + DAY * SECOND;
}

static void answer_of_another_query(struct test_bundle *b)
{
    b->answer.query.bytes[0] ^= 1;
}

static void answer_to_another_request(struct test_bundle *b)
{
    b->answer.request.bytes[0] ^= 1;
}

static void answer_by_the_owner(struct test_bundle *b)
{
    b->answer_key = b->mesh->sign[1];
}

static void answer_by_nobody(struct test_bundle *b)
{
    b->answer_key = b->mesh->log[0];
}

static void answer_older_than_the_request(struct test_bundle *b)
{
    b->answer.time = TEST_MESH_NOW_US - 121 * SECOND;
}

static void answer_names_another_domain(struct test_bundle *b)
{
    memcpy(b->answer.fragments[0].domain, "fleet", 6);
}

static void answer_names_an_unknown_owner(struct test_bundle *b)
{
    memset(b->answer.fragments[0].owner.bytes, 0xee, 16);
}

static void answer_names_another_ticket(struct test_bundle *b)
{
    b->answer.fragments[0].ticket.bytes[0] ^= 1;
}

static void answer_names_another_receipt(struct test_bundle *b)
{
    b->answer.fragments[0].receipt.bytes[0] ^= 1;
}

static void bundle_swaps_its_tickets(struct test_bundle *b)
{
    struct fm_span first = b->bundle.tickets[0];

    b->bundle.tickets[0] = b->bundle.tickets[1];
    b->bundle.tickets[1] = first;
}

static void bundle_swaps_its_receipts(struct test_bundle *b)
{
    struct fm_span first = b->bundle.receipts[0];

    b->bundle.receipts[0] = b->bundle.receipts[1];
    b->bundle.receipts[1] = first;
}

static void bundle_drops_a_fragment(struct test_bundle *b)
{
    b->bundle.fragment_count = 1;
}

static void bundle_drops_the_owners_certificate(struct test_bundle *b)
{
    b->bundle.node_cert_count = 1;
}

static void bundle_doubles_a_certificate(struct test_bundle *b)
{
    b->bundle.node_certs[2] = b->bundle.node_certs[1];
    b->bundle.node_cert_count = 3;
}

static void bundle_has_a_strange_certificate(struct test_bundle *b)
{
    b->bundle.node_certs[1] = fm_span_str("no certificate");
}

static void bundle_has_the_request_as_answer(struct test_bundle *b)
{
    b->bundle.answer = b->bundle.request;
}

static void batch_dropped(struct test_bundle *b)
{
    b->input.batch_count--;
}

static void batch_doubled(struct test_bundle *b)
{
    b->batches[2] = b->batches[1];
}

static void batches_swapped(struct test_bundle *b)
{
    struct fm_hash first = b->batches[0];

    b->batches[0] = b->batches[1];
    b->batches[1] = first;
}

static void batch_changed(struct test_bundle *b)
{
    b->batches[3].bytes[31] ^= 1;
}

static void row_lost(struct test_bundle *b)
{
    b->input.rows--;
}

static void byte_added(struct test_bundle *b)
{
    b->input.bytes++;
}

struct lie {
    const char *name;
    enum test_stage stage;
    void (*tamper)(struct test_bundle *b);
    const char *reason;
};

#define LIE(name, stage, reason)                                                                   \
    {                                                                                              \
#name, stage, name, reason                                                                 \
    }

static const struct lie lies[] = {
    LIE(asked_node_expired, STAGE_CERTS, "the asked node, at the time it signed: it has expired"),
    LIE(owner_expired, STAGE_CERTS,
        "node b1b1b1b1, the owner, at the time it signed: it has expired"),
    LIE(owner_not_valid_yet, STAGE_CERTS, "the owner, at the time it signed: it is not valid yet"),
    LIE(principal_expired, STAGE_CERTS, "certificate of principal alice: it has expired"),
    LIE(principal_of_another_mesh, STAGE_CERTS,
        "the asking principal: principal certificate: 0 auth"),
    LIE(principal_with_another_key, STAGE_CERTS, "the request is not signed by alice"),
    LIE(domain_not_owned, STAGE_CERTS,
        "receipt of node b1b1b1b1 for domain flights: table flights.departures: the node does not "
        "own domain flights"),
    LIE(domain_at_a_later_epoch, STAGE_CERTS, "the head is of another log, folkmoot/"),
    LIE(all_signed_for_another_mesh, STAGE_CERTS,
        "answer of node b0b0b0b0: signature does not hold"),
    LIE(asks_for_something_else, STAGE_REQUEST, "it asks for PRODUCT_LIST, not for a query"),
    LIE(asks_another_node, STAGE_REQUEST, "it was meant for node b1b1b1b1, node b0b0b0b0 answered"),
    LIE(request_by_a_stranger, STAGE_REQUEST, "request: the request is not signed by alice"),
    LIE(request_without_a_query, STAGE_REQUEST, "request: its query does not decode"),
    LIE(request_of_tomorrow, STAGE_REQUEST, "answer: it is older than the request"),
    LIE(ticket_of_another_query, STAGE_TICKETS,
        "ticket of node b1b1b1b1 for domain flights: it belongs to another query"),
    LIE(ticket_for_another_owner, STAGE_TICKETS, "it was given to another owner, node b0b0b0b0"),
    LIE(ticket_of_another_asker, STAGE_TICKETS, "another node, b1b1b1b1, asked with it"),
    LIE(ticket_with_another_request, STAGE_TICKETS, "it carries another request"),
    LIE(ticket_for_other_sql, STAGE_TICKETS, "it was made for another SQL text"),
    LIE(ticket_counted_twice, STAGE_TICKETS, "domain crew: fragment 0 is counted twice"),
    LIE(ticket_by_the_owner_itself, STAGE_TICKETS, "the asked node's signature does not hold"),
    LIE(ticket_without_a_fragment, STAGE_TICKETS, "its fragment does not decode"),
    LIE(receipt_of_another_query, STAGE_RECEIPTS,
        "receipt of node b1b1b1b1 for domain flights: it belongs to another query"),
    LIE(receipt_in_anothers_name, STAGE_RECEIPTS, "its owner signed in the name of another node"),
    LIE(receipt_for_another_ticket, STAGE_RECEIPTS, "it was given for another ticket"),
    LIE(receipt_for_another_fragment, STAGE_RECEIPTS, "it was given for another fragment"),
    LIE(receipt_for_another_principal, STAGE_RECEIPTS, "it was given for another principal"),
    LIE(receipt_older_than_the_request, STAGE_RECEIPTS, "flights: it is older than the request"),
    LIE(receipt_newer_than_the_answer, STAGE_RECEIPTS, "it is newer than the answer"),
    LIE(receipt_by_the_asked_node, STAGE_RECEIPTS,
        "receipt of node b1b1b1b1 for domain flights: signature does not hold"),
    LIE(receipt_under_another_schema, STAGE_RECEIPTS, "it was answered under another schema"),
    LIE(receipt_with_two_heads, STAGE_RECEIPTS, "it has 2 heads for 1 tables"),
    LIE(receipt_without_a_note, STAGE_RECEIPTS, "its head is no signed note"),
    LIE(receipt_with_the_other_head, STAGE_RECEIPTS, "the head is of another log, folkmoot/"),
    LIE(head_of_another_table, STAGE_HEADS, "/flights/arrivals/2"),
    LIE(head_of_another_mesh, STAGE_HEADS, "the head is of another log, folkmoot/01000000"),
    LIE(head_by_the_signing_key, STAGE_HEADS, "its head's signature does not hold"),
    LIE(head_of_tomorrow, STAGE_HEADS, "its head is newer than the receipt"),
    LIE(answer_of_another_query, STAGE_ANSWER, "answer: it belongs to another query"),
    LIE(answer_to_another_request, STAGE_ANSWER, "answer: it was given to another request"),
    LIE(answer_by_the_owner, STAGE_ANSWER, "node b1b1b1b1 signed it in the name of another"),
    LIE(answer_by_nobody, STAGE_ANSWER, "its signer has no certificate in the bundle"),
    LIE(answer_older_than_the_request, STAGE_ANSWER, "answer: it is older than the request"),
    LIE(answer_names_another_domain, STAGE_ANSWER, "none of its tables is of that domain"),
    LIE(answer_names_an_unknown_owner, STAGE_ANSWER, "ticket of node eeeeeeee"),
    LIE(answer_names_another_ticket, STAGE_ANSWER,
        "ticket of node b1b1b1b1 for domain flights: it is not the one"),
    LIE(answer_names_another_receipt, STAGE_ANSWER,
        "receipt of node b1b1b1b1 for domain flights: it is not the one"),
    LIE(bundle_swaps_its_tickets, STAGE_BUNDLE, "it is not the one that the answer names"),
    LIE(bundle_swaps_its_receipts, STAGE_BUNDLE, "it is not the one that the answer names"),
    LIE(bundle_drops_a_fragment, STAGE_BUNDLE, "the answer names 2 fragments, the bundle has 1"),
    LIE(bundle_drops_the_owners_certificate, STAGE_BUNDLE,
        "the bundle has no certificate of its owner"),
    LIE(bundle_doubles_a_certificate, STAGE_BUNDLE, "two certificates of node b1b1b1b1"),
    LIE(bundle_has_a_strange_certificate, STAGE_BUNDLE, "the bundle's certificate 2"),
    LIE(bundle_has_the_request_as_answer, STAGE_BUNDLE, "its signer has no certificate"),
    LIE(batch_dropped, STAGE_INPUT, "3 batches came, the answer was signed for 4"),
    LIE(batch_doubled, STAGE_INPUT, "result root does not match the answer's"),
    LIE(batches_swapped, STAGE_INPUT, "result root does not match the answer's"),
    LIE(batch_changed, STAGE_INPUT, "result root does not match the answer's"),
    LIE(row_lost, STAGE_INPUT, "29 rows came, the answer was signed for 30"),
    LIE(byte_added, STAGE_INPUT, "4001 bytes came, the answer was signed for 4000"),
};

/* One lie at a time, signed by whoever could sign it; everything else is as it should be. */
static void every_lie_is_told_by_its_reason(void **state)
{
    (void)state;

    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        struct test_bundle *b = test_bundle_new();

        assert_non_null(b);
        b->stage = lies[i].stage;
        b->tamper = lies[i].tamper;
        assert_int_equal(test_bundle_seal(b), FM_OK);
        verify_assert_refused(b, lies[i].name, lies[i].reason);
        verify_assert_refused_with_more(b, lies[i].name, lies[i].reason);
        test_bundle_free(b);
    }
}

static void rows_of_two_fragments(struct test_bundle *b)
{
    b->answer.origin = FM_ROWS_OF_FRAGMENT;
}

static void owner_gave_fewer_rows(struct test_bundle *b)
{
    b->receipts[0].rows--;
}

static void owner_gave_fewer_batches(struct test_bundle *b)
{
    b->receipts[0].batches--;
}

static void owner_gave_fewer_bytes(struct test_bundle *b)
{
    b->receipts[0].bytes--;
}

static void owner_gave_other_rows(struct test_bundle *b)
{
    b->receipts[0].root.bytes[0] ^= 1;
}

static void owner_gave_other_columns(struct test_bundle *b)
{
    b->receipts[0].columns.bytes[0] ^= 1;
}

/* The asked node claims to have passed the owner's own rows on. */
static void rows_passed_on_are_those_of_the_owner(void **state)
{
    (void)state;
    static const struct lie passed_on[] = {
        LIE(owner_gave_fewer_rows, STAGE_RECEIPTS, "the owner gave 29 rows in 4 batches"),
        LIE(owner_gave_fewer_batches, STAGE_RECEIPTS, "the owner gave 30 rows in 3 batches"),
        LIE(owner_gave_fewer_bytes, STAGE_RECEIPTS, "the owner gave 3999 bytes"),
        LIE(owner_gave_other_rows, STAGE_RECEIPTS, "rows are not those that the owner gave"),
        LIE(owner_gave_other_columns, STAGE_RECEIPTS, "columns are not those that the owner gave"),
    };

    for (size_t i = 0; i < sizeof passed_on / sizeof passed_on[0]; i++) {
        struct test_bundle *b = test_bundle_new();

        assert_non_null(b);
        test_bundle_pass_on(b);
        b->stage = passed_on[i].stage;
        b->tamper = passed_on[i].tamper;
        assert_int_equal(test_bundle_seal(b), FM_OK);
        verify_assert_refused(b, passed_on[i].name, passed_on[i].reason);
        test_bundle_free(b);
    }
}

static void rows_passed_on_have_one_fragment(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_ANSWER;
    f->b->tamper = rows_of_two_fragments;
    assert_int_equal(verify_sealed(f), FM_FORGED);
    assert_non_null(strstr(f->err.text, "those of its only fragment, it has 2"));
}

#define WITH_BUNDLE(test) cmocka_unit_test_setup_teardown(test, verify_setup, verify_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUNDLE(every_lie_is_told_by_its_reason),
        WITH_BUNDLE(rows_passed_on_are_those_of_the_owner),
        WITH_BUNDLE(rows_passed_on_have_one_fragment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
