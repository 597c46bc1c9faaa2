#include "tests/support/test_bundle.h"

#define SECOND INT64_C(1000000)

static void hash_text(struct fm_hash *out, const char *text)
{
    fm_sha256_one(out, fm_span_str(text));
}

static void fill_request(struct test_bundle *b)
{
    b->sql = "SELECT * FROM flights.departures JOIN crew.members USING (flight)";
    b->request = (struct fm_request){
        .kind = FM_METHOD_QUERY_OPEN, .time = TEST_MESH_NOW_US, .limit_ms = 60000};
    memset(b->request.id.bytes, 0x0d, sizeof b->request.id.bytes);
    b->request.audience = b->mesh->nodes[0].node;
    memset(b->request.session.bytes, 0x0e, sizeof b->request.session.bytes);
    memset(b->request.trace, 0x0f, sizeof b->request.trace);
    b->request_key = b->mesh->principal_sign;
    b->ticket_key = b->mesh->sign[0];
    b->answer_key = b->mesh->sign[0];
}

/* Fragment 0 is of node 1, fragment 1 of node 0. */
static void fill_fragment(struct test_bundle *b, unsigned i, const char *domain, const char *table)
{
    struct test_mesh *mesh = b->mesh;
    unsigned owner = 1 - i;
    struct fm_table_ref *ref = &b->tables[i];

    memcpy(ref->domain, domain, strlen(domain) + 1);
    memcpy(ref->table, table, strlen(table) + 1);
    hash_text(&ref->schema, table);
    b->fragments[i] =
        (struct fm_fragment){.kind = FM_FRAGMENT_SCAN, .table_count = 1, .tables = ref};
    b->tickets[i] = (struct fm_ticket){
        .number = i, .owner = mesh->nodes[owner].node, .deadline = TEST_MESH_NOW_US + 60 * SECOND};
    fm_head_origin(&mesh->charter.mesh, domain, table, mesh->nodes[owner].domains[0].epoch,
                   b->heads[i].origin);
    b->heads[i].size = 1000;
    hash_text(&b->heads[i].root, domain);
    b->heads[i].time = TEST_MESH_NOW_US - 5 * SECOND;
    b->log_keys[i] = mesh->log[owner];
    b->receipt_keys[i] = mesh->sign[owner];
    b->receipts[i] = (struct fm_receipt){.owner = mesh->nodes[owner].node,
                                         .table_count = 1,
                                         .schemas = {ref->schema},
                                         .rows = 30,
                                         .bytes = 4000,
                                         .batches = TEST_BUNDLE_BATCHES,
                                         .time = TEST_MESH_NOW_US + SECOND};
}

static void fill_answer(struct test_bundle *b)
{
    struct fm_tree tree;

    fm_tree_init(&tree);
    for (unsigned i = 0; i < TEST_BUNDLE_BATCHES; i++) {
        fm_leaf_hash(&b->batches[i], fm_span(&i, sizeof i));
        fm_tree_append(&tree, &b->batches[i]);
    }
    b->answer = (struct fm_answer){.node = b->mesh->nodes[0].node,
                                   .plan = fm_span_str("{}"),
                                   .fragment_count = 2,
                                   .columns = fm_span_str("\x90"),
                                   .rows = 30,
                                   .bytes = 4000,
                                   .batches = TEST_BUNDLE_BATCHES,
                                   .completeness = FM_COMPLETE,
                                   .time = TEST_MESH_NOW_US + 2 * SECOND,
                                   .origin = FM_ROWS_MERGED};
    fm_tree_root(&tree, &b->answer.root);
    for (unsigned i = 0; i < 2; i++) {
        struct fm_answer_fragment *fragment = &b->answer.fragments[i];
        memcpy(fragment->domain, b->tables[i].domain, sizeof fragment->domain);
        fragment->owner = b->tickets[i].owner;
    }
}

struct test_bundle *test_bundle_new(void)
{
    struct test_bundle *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    b->mesh = test_mesh_new();
    if (b->mesh == NULL) {
        free(b);
        return NULL;
    }
    b->signed_mesh = b->mesh->charter.mesh;
    fill_request(b);
    fill_fragment(b, 0, "flights", "departures");
    fill_fragment(b, 1, "crew", "members");
    fill_answer(b);
    return b;
}

void test_bundle_free(struct test_bundle *b)
{
    if (b == NULL)
        return;
    test_mesh_free(b->mesh);
    fm_buf_free(&b->query_body);
    fm_buf_free(&b->request_bytes);
    for (unsigned i = 0; i < 2; i++) {
        fm_buf_free(&b->fragment_bytes[i]);
        fm_buf_free(&b->ticket_bytes[i]);
        fm_buf_free(&b->head_bytes[i]);
        fm_buf_free(&b->receipt_bytes[i]);
    }
    fm_buf_free(&b->answer_bytes);
    fm_buf_free(&b->bundle_bytes);
    free(b);
}

void test_bundle_pass_on(struct test_bundle *b)
{
    b->answer.fragment_count = 1;
    b->answer.origin = FM_ROWS_OF_FRAGMENT;
    b->receipts[0].root = b->answer.root;
    fm_sha256_one(&b->receipts[0].columns, b->answer.columns);
}

static void reach(struct test_bundle *b, enum test_stage stage)
{
    if (b->tamper != NULL && b->stage == stage)
        b->tamper(b);
}

static enum fm_status sign(struct test_bundle *b, enum fm_envelope_type type,
                           const struct fm_buf *body, struct fm_key *key, struct fm_buf *out)
{
    if (fm_buf_status(body) != FM_OK)
        return fm_buf_status(body);
    return fm_envelope_seal(type, &b->signed_mesh, fm_buf_span(body), &key, 1, out);
}

static enum fm_status seal_request(struct test_bundle *b)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    b->asked.sql = fm_span_str(b->sql);
    fm_query_body_encode(&b->query_body, &b->asked);
    b->request.body = fm_buf_span(&b->query_body);
    reach(b, STAGE_REQUEST);
    fm_request_encode(&body, &b->request);
    return sign(b, FM_ENV_REQUEST, &body, b->request_key, &b->request_bytes);
}

static enum fm_status seal_tickets(struct test_bundle *b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct fm_ticket *ticket = &b->tickets[i];
        ticket->query = b->request.id;
        ticket->asker = b->answer.node;
        ticket->request = fm_buf_span(&b->request_bytes);
        fm_sha256_one(&ticket->sql_hash, fm_span_str(b->sql));
        fm_fragment_encode(&b->fragment_bytes[i], &b->fragments[i]);
        ticket->fragment = fm_buf_span(&b->fragment_bytes[i]);
    }
    reach(b, STAGE_TICKETS);
    for (unsigned i = 0; i < 2; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
        fm_ticket_encode(&body, &b->tickets[i]);
        enum fm_status status = sign(b, FM_ENV_TICKET, &body, b->ticket_key, &b->ticket_bytes[i]);
        if (status != FM_OK)
            return status;
        fm_sha256_one(&b->answer.fragments[i].ticket, fm_buf_span(&b->ticket_bytes[i]));
    }
    return FM_OK;
}

static enum fm_status seal_receipts(struct test_bundle *b)
{
    reach(b, STAGE_HEADS);
    for (unsigned i = 0; i < 2; i++) {
        struct fm_receipt *receipt = &b->receipts[i];
        enum fm_status status = fm_head_seal(&b->heads[i], b->log_keys[i], &b->head_bytes[i]);
        if (status != FM_OK)
            return status;
        receipt->query = b->request.id;
        receipt->ticket = b->answer.fragments[i].ticket;
        fm_sha256_one(&receipt->fragment, b->tickets[i].fragment);
        fm_sha256_one(&receipt->principal, fm_buf_span(&b->mesh->principal_bytes));
        receipt->heads[0] = fm_buf_span(&b->head_bytes[i]);
    }
    reach(b, STAGE_RECEIPTS);
    for (unsigned i = 0; i < 2; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
        fm_receipt_encode(&body, &b->receipts[i]);
        enum fm_status status =
            sign(b, FM_ENV_RECEIPT, &body, b->receipt_keys[i], &b->receipt_bytes[i]);
        if (status != FM_OK)
            return status;
        fm_sha256_one(&b->answer.fragments[i].receipt, fm_buf_span(&b->receipt_bytes[i]));
    }
    return FM_OK;
}

static enum fm_status seal_answer(struct test_bundle *b)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    b->answer.query = b->request.id;
    fm_sha256_one(&b->answer.request, fm_buf_span(&b->request_bytes));
    reach(b, STAGE_ANSWER);
    fm_answer_encode(&body, &b->answer);
    return sign(b, FM_ENV_ANSWER, &body, b->answer_key, &b->answer_bytes);
}

static enum fm_status seal_bundle(struct test_bundle *b)
{
    b->bundle.answer = fm_buf_span(&b->answer_bytes);
    b->bundle.request = fm_buf_span(&b->request_bytes);
    b->bundle.principal_cert = fm_buf_span(&b->mesh->principal_bytes);
    b->bundle.node_cert_count = TEST_MESH_NODES;
    b->bundle.fragment_count = b->answer.fragment_count;
    for (unsigned i = 0; i < 2; i++) {
        b->bundle.node_certs[i] = fm_buf_span(&b->mesh->node_bytes[i]);
        b->bundle.tickets[i] = fm_buf_span(&b->ticket_bytes[i]);
        b->bundle.receipts[i] = fm_buf_span(&b->receipt_bytes[i]);
    }
    reach(b, STAGE_BUNDLE);
    fm_bundle_encode(&b->bundle_bytes, &b->bundle);
    b->input = (struct fm_verify_input){.charter = &b->mesh->charter,
                                        .bundle = fm_buf_span(&b->bundle_bytes),
                                        .batches = b->batches,
                                        .batch_count = TEST_BUNDLE_BATCHES,
                                        .rows = 30,
                                        .bytes = 4000};
    reach(b, STAGE_INPUT);
    return fm_buf_status(&b->bundle_bytes);
}

enum fm_status test_bundle_seal(struct test_bundle *b)
{
    reach(b, STAGE_CERTS);
    enum fm_status status = seal_request(b);
    if (status == FM_OK)
        reach(b, STAGE_FRAGMENTS);
    if (status == FM_OK)
        status = seal_tickets(b);
    if (status == FM_OK)
        status = seal_receipts(b);
    if (status == FM_OK)
        status = seal_answer(b);
    return status == FM_OK ? seal_bundle(b) : status;
}
