/* A whole answer in memory, over the mesh of test_mesh.h: alice asks node 0 ("asked"), which merges
 * fragment 0 of node 1 (flights.departures) and fragment 1 of its own (crew.members).
 * test_bundle_seal() fills the links between the records and signs them one after the other; just
 * before each is signed, `tamper` may change it, so that everything else still fits. */
#ifndef FM_TESTS_SUPPORT_TEST_BUNDLE_H
#define FM_TESTS_SUPPORT_TEST_BUNDLE_H

#include "core/records.h"
#include "tests/support/test_mesh.h"

#define TEST_BUNDLE_BATCHES 4u

enum test_stage {
    STAGE_CERTS,
    STAGE_REQUEST,
    STAGE_FRAGMENTS,
    STAGE_TICKETS,
    STAGE_HEADS,
    STAGE_RECEIPTS,
    STAGE_ANSWER,
    STAGE_BUNDLE,
    STAGE_INPUT,
};

struct test_bundle {
    struct test_mesh *mesh;
    struct fm_mesh_id signed_mesh; /* Under which the records are signed. */
    enum test_stage stage;         /* Where `tamper` is called, once. */
    void (*tamper)(struct test_bundle *b);

    const char *sql;
    struct fm_request request;
    struct fm_key *request_key;
    struct fm_table_ref tables[2];
    struct fm_fragment fragments[2];
    struct fm_ticket tickets[2];
    struct fm_key *ticket_key;
    struct fm_head heads[2];
    struct fm_key *log_keys[2];
    struct fm_receipt receipts[2];
    struct fm_key *receipt_keys[2];
    struct fm_answer answer;
    struct fm_key *answer_key;
    struct fm_bundle bundle;

    struct fm_query_body asked; /* Its SQL is `sql`. */
    struct fm_buf query_body;
    struct fm_buf request_bytes;
    struct fm_buf fragment_bytes[2];
    struct fm_buf ticket_bytes[2];
    struct fm_buf head_bytes[2];
    struct fm_buf receipt_bytes[2];
    struct fm_buf answer_bytes;
    struct fm_buf bundle_bytes;

    struct fm_hash batches[TEST_BUNDLE_BATCHES];
    struct fm_verify_input input;
};

/* Everything filled in and nothing sealed. NULL when memory is short. */
struct test_bundle *test_bundle_new(void);
void test_bundle_free(struct test_bundle *b);

/* Make `b->input`. FM_OK unless memory is short or a tampered record cannot be signed. */
FM_MUST_USE enum fm_status test_bundle_seal(struct test_bundle *b);

/* The answer is node 1's rows, passed on: one fragment only. Call before sealing. */
void test_bundle_pass_on(struct test_bundle *b);

#endif
