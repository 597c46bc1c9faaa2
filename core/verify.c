/* Everything about an answer that can be checked without a network. Each step trusts only what the
 * steps before it have shown; the first root of trust is the caller's charter. What cannot be
 * checked, be it for want of memory, has not been shown. */
#include "core/asker.h"
#include "core/assert.h"

#include <inttypes.h>

#define SECOND_US INT64_C(1000000)

struct check {
    const struct fm_verify_input *input;
    struct fm_bundle bundle;
    struct fm_node_cert *certs; /* bundle.node_cert_count. */
    bool cert_used[FM_QUERY_TABLES_MAX + 1];
    struct fm_hash request_hash;
    struct fm_hash principal_hash;
    struct fm_hash sql_hash;
    struct fm_verified out;
};

void fm_verified_deinit(struct fm_verified *verified)
{
    free(verified->receipts);
    verified->receipts = NULL;
}

static void check_freep(struct check **check)
{
    if (*check == NULL)
        return;
    free((*check)->certs);
    fm_verified_deinit(&(*check)->out);
    free(*check);
}

struct short_id { /* The start of a node's id, for humans. */
    char text[9];
};

static struct short_id short_id(const struct fm_node_id *node)
{
    struct short_id id;

    fm_hex(node->bytes, 4, id.text);
    return id;
}

static bool ids_equal(const struct fm_node_id *a, const struct fm_node_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static bool queries_equal(const struct fm_request_id *a, const struct fm_request_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* ---- Certificates -------------------------------------------------------------------------- */

static enum fm_status open_node_cert(const struct check *check, struct fm_span bytes,
                                     struct fm_node_cert *out, struct fm_error *err)
{
    return check->input->certs != NULL
               ? fm_cert_cache_node(check->input->certs, bytes, out, err)
               : fm_node_cert_open_undated(check->input->charter, bytes, out, err);
}

static enum fm_status open_node_certs(struct check *check, struct fm_error *err)
{
    check->certs = calloc(check->bundle.node_cert_count + 1u, sizeof *check->certs);
    if (check->certs == NULL)
        return fm_fail(err, FM_NOMEM, "verify the answer: out of memory");
    for (uint32_t i = 0; i < check->bundle.node_cert_count; i++) {
        struct fm_node_cert *cert = &check->certs[i];
        if (open_node_cert(check, check->bundle.node_certs[i], cert, err) != FM_OK)
            return fm_wrap(err, FM_FORGED, "the bundle's certificate %" PRIu32, i + 1);
        for (uint32_t j = 0; j < i; j++) {
            if (ids_equal(&check->certs[j].node, &cert->node))
                return fm_fail(err, FM_FORGED, "the bundle has two certificates of node %s",
                               short_id(&cert->node).text);
        }
    }
    return FM_OK;
}

/* The certificate of a node at a time in microseconds. `role` says what the node did. */
static enum fm_status find_cert(struct check *check, const struct fm_node_id *node, fm_us time,
                                const char *role, const struct fm_node_cert **out,
                                struct fm_error *err)
{
    for (uint32_t i = 0; i < check->bundle.node_cert_count; i++) {
        const struct fm_node_cert *cert = &check->certs[i];
        if (!ids_equal(&cert->node, node))
            continue;
        if (fm_cert_check_time(cert->not_before, cert->not_after, time / SECOND_US, err) != FM_OK)
            return fm_wrap(err, FM_FORGED, "certificate of node %s, the %s, at the time it signed",
                           short_id(node).text, role);
        check->cert_used[i] = true;
        *out = cert;
        return FM_OK;
    }
    return fm_fail(err, FM_FORGED, "the bundle has no certificate of node %s, the %s",
                   short_id(node).text, role);
}

static enum fm_status check_certs_used(const struct check *check, struct fm_error *err)
{
    for (uint32_t i = 0; i < check->bundle.node_cert_count; i++) {
        if (!check->cert_used[i])
            return fm_fail(err, FM_FORGED,
                           "the bundle has a certificate of node %s, which took no part",
                           short_id(&check->certs[i].node).text);
    }
    return FM_OK;
}

/* ---- Answer and request -------------------------------------------------------------------- */

/* The signing key says which certificate to verify with; the body then has to name its node. */
static const struct fm_node_cert *cert_of_signer(const struct check *check,
                                                 const struct fm_envelope *envelope)
{
    for (uint32_t i = 0; i < check->bundle.node_cert_count; i++) {
        if (fm_public_key_equal(&check->certs[i].sign_key, &envelope->signatures[0].key))
            return &check->certs[i];
    }
    return NULL;
}

static enum fm_status check_answer(struct check *check, struct fm_error *err)
{
    struct fm_answer *answer = &check->out.answer;
    const struct fm_node_cert *cert = NULL;
    struct fm_envelope envelope;

    if (fm_envelope_open(check->bundle.answer, &envelope) != FM_OK)
        return fm_fail(err, FM_FORGED, "answer: not an envelope");
    const struct fm_node_cert *signer = cert_of_signer(check, &envelope);
    if (signer == NULL)
        return fm_fail(err, FM_FORGED, "answer: its signer has no certificate in the bundle");
    if (fm_envelope_verify(&envelope, FM_ENV_ANSWER, &check->input->charter->mesh,
                           &signer->sign_key) != FM_OK)
        return fm_fail(err, FM_FORGED, "answer of node %s: signature does not hold",
                       short_id(&signer->node).text);
    if (fm_answer_decode(envelope.body, answer) != FM_OK)
        return fm_fail(err, FM_FORGED, "answer of node %s: its fields do not decode",
                       short_id(&signer->node).text);
    if (!ids_equal(&answer->node, &signer->node))
        return fm_fail(err, FM_FORGED, "answer: node %s signed it in the name of another",
                       short_id(&signer->node).text);
    enum fm_status status = find_cert(check, &answer->node, answer->time, "asked node", &cert, err);
    if (status == FM_OK)
        check->out.node = *cert;
    return status;
}

static enum fm_status check_principal(struct check *check, struct fm_error *err)
{
    const struct fm_request *request = &check->out.request;
    const struct fm_principal_cert *cert = &check->out.principal;

    if (fm_cert_check_time(cert->not_before, cert->not_after, request->time / SECOND_US, err) !=
            FM_OK ||
        fm_cert_check_time(cert->not_before, cert->not_after, check->out.answer.time / SECOND_US,
                           err) != FM_OK)
        return fm_wrap(err, FM_FORGED, "certificate of principal %s", cert->name);
    return FM_OK;
}

/* What the request says, against the answer. */
static enum fm_status check_request_fields(struct check *check, struct fm_error *err)
{
    const struct fm_request *request = &check->out.request;
    const struct fm_answer *answer = &check->out.answer;
    struct fm_query_body *body = &check->out.asked;

    if (request->kind != FM_METHOD_QUERY_OPEN)
        return fm_fail(err, FM_FORGED, "request: it asks for %s, not for a query",
                       fm_method_text(request->kind));
    if (!queries_equal(&request->id, &answer->query))
        return fm_fail(err, FM_FORGED, "answer: it belongs to another query");
    if (!ids_equal(&request->audience, &answer->node))
        return fm_fail(err, FM_FORGED, "request: it was meant for node %s, node %s answered",
                       short_id(&request->audience).text, short_id(&answer->node).text);
    if (answer->time < request->time - FM_CLOCK_SKEW_US)
        return fm_fail(err, FM_FORGED, "answer: it is older than the request");
    if (fm_query_body_decode(request->body, body) != FM_OK)
        return fm_fail(err, FM_FORGED, "request: its query does not decode");
    check->out.sql = body->sql;
    fm_sha256_one(&check->sql_hash, body->sql);
    return FM_OK;
}

/* What the caller signed just now holds; if it is by the key of this certificate. */
static bool is_own_request(const struct check *check, const struct fm_envelope *envelope,
                           const struct fm_public_key *key)
{
    return check->input->own_request.len != 0 &&
           fm_span_equal(check->bundle.request, check->input->own_request) &&
           envelope->type == FM_ENV_REQUEST && envelope->signature_count == 1 &&
           fm_public_key_equal(&envelope->signatures[0].key, key);
}

static enum fm_status open_request(struct check *check, const struct fm_asker *asker,
                                   struct fm_error *err)
{
    struct fm_envelope envelope;

    if (fm_envelope_open(check->bundle.request, &envelope) != FM_OK)
        return fm_fail(err, FM_FORGED, "request: not an envelope");
    if (!is_own_request(check, &envelope, &asker->principal->sign_key))
        return fm_asker_open(asker, check->bundle.request, &check->out.request, err) == FM_OK
                   ? FM_OK
                   : fm_wrap(err, FM_FORGED, "request");
    if (fm_request_decode(envelope.body, &check->out.request) != FM_OK ||
        check->out.request.token.len != 0)
        return fm_fail(err, FM_FORGED, "request: its fields do not decode");
    return FM_OK;
}

static enum fm_status check_request(struct check *check, struct fm_error *err)
{
    struct fm_principal_cert *principal = &check->out.principal;
    struct fm_asker asker = {.charter = check->input->charter,
                             .certs = check->input->certs,
                             .principal = principal,
                             .principal_cert = check->bundle.principal_cert,
                             .node = &check->out.node};

    struct fm_cert_cache *certs = check->input->certs;
    struct fm_span cert = check->bundle.principal_cert;
    enum fm_status opened =
        certs != NULL ? fm_cert_cache_principal(certs, cert, principal, err)
                      : fm_principal_cert_open_undated(check->input->charter, cert, principal, err);
    if (opened != FM_OK)
        return fm_wrap(err, FM_FORGED, "the asking principal");
    fm_sha256_one(&check->principal_hash, check->bundle.principal_cert);
    fm_sha256_one(&check->request_hash, check->bundle.request);
    if (!fm_hash_equal(&check->request_hash, &check->out.answer.request))
        return fm_fail(err, FM_FORGED, "answer: it was given to another request");
    enum fm_status status = open_request(check, &asker, err);
    if (status != FM_OK)
        return status;
    status = check_request_fields(check, err);
    return status == FM_OK ? check_principal(check, err) : status;
}

/* ---- Tickets ------------------------------------------------------------------------------- */

static enum fm_status open_ticket(struct check *check, uint32_t i, struct fm_ticket *ticket,
                                  struct fm_error *err)
{
    struct fm_envelope envelope;
    struct fm_hash hash;

    fm_sha256_one(&hash, check->bundle.tickets[i]);
    if (!fm_hash_equal(&hash, &check->out.answer.fragments[i].ticket))
        return fm_fail(err, FM_FORGED, "it is not the one that the answer names");
    if (fm_envelope_open(check->bundle.tickets[i], &envelope) != FM_OK)
        return fm_fail(err, FM_FORGED, "not an envelope");
    if (fm_envelope_verify(&envelope, FM_ENV_TICKET, &check->input->charter->mesh,
                           &check->out.node.sign_key) != FM_OK)
        return fm_fail(err, FM_FORGED, "the asked node's signature does not hold");
    if (fm_ticket_decode(envelope.body, ticket) != FM_OK)
        return fm_fail(err, FM_FORGED, "its fields do not decode");
    return FM_OK;
}

static enum fm_status check_ticket(struct check *check, uint32_t i, struct fm_ticket *ticket,
                                   struct fm_error *err)
{
    const struct fm_answer *answer = &check->out.answer;

    enum fm_status status = open_ticket(check, i, ticket, err);
    if (status != FM_OK)
        return status;
    if (!queries_equal(&ticket->query, &answer->query))
        return fm_fail(err, FM_FORGED, "it belongs to another query");
    if (!ids_equal(&ticket->owner, &answer->fragments[i].owner))
        return fm_fail(err, FM_FORGED, "it was given to another owner, node %s",
                       short_id(&ticket->owner).text);
    if (!ids_equal(&ticket->asker, &answer->node))
        return fm_fail(err, FM_FORGED, "another node, %s, asked with it",
                       short_id(&ticket->asker).text);
    if (!fm_span_equal(ticket->request, check->bundle.request))
        return fm_fail(err, FM_FORGED, "it carries another request");
    if (!fm_hash_equal(&ticket->sql_hash, &check->sql_hash))
        return fm_fail(err, FM_FORGED, "it was made for another SQL text");
    check->out.numbers[i] = fm_ticket_slot(ticket);
    for (uint32_t j = 0; j < i; j++) {
        if (check->out.numbers[j] == check->out.numbers[i])
            return fm_fail(err, FM_FORGED, "fragment %" PRIu32 " is counted twice",
                           check->out.numbers[i]);
    }
    return FM_OK;
}

/* ---- Receipts ------------------------------------------------------------------------------ */

static enum fm_status check_receipt_fields(const struct check *check, uint32_t i,
                                           const struct fm_ticket *ticket,
                                           const struct fm_receipt *receipt, struct fm_error *err)
{
    const struct fm_answer *answer = &check->out.answer;
    struct fm_hash fragment_hash;

    if (!queries_equal(&receipt->query, &answer->query))
        return fm_fail(err, FM_FORGED, "it belongs to another query");
    if (!ids_equal(&receipt->owner, &answer->fragments[i].owner))
        return fm_fail(err, FM_FORGED, "its owner signed in the name of another node, %s",
                       short_id(&receipt->owner).text);
    if (!fm_hash_equal(&receipt->ticket, &answer->fragments[i].ticket))
        return fm_fail(err, FM_FORGED, "it was given for another ticket");
    fm_sha256_one(&fragment_hash, ticket->fragment);
    if (!fm_hash_equal(&receipt->fragment, &fragment_hash))
        return fm_fail(err, FM_FORGED, "it was given for another fragment");
    if (!fm_hash_equal(&receipt->principal, &check->principal_hash))
        return fm_fail(err, FM_FORGED, "it was given for another principal");
    if (receipt->time < check->out.request.time - FM_CLOCK_SKEW_US)
        return fm_fail(err, FM_FORGED, "it is older than the request");
    if (receipt->time > answer->time + FM_CLOCK_SKEW_US)
        return fm_fail(err, FM_FORGED, "it is newer than the answer");
    return FM_OK;
}

static enum fm_status check_receipt(struct check *check, uint32_t i, const struct fm_ticket *ticket,
                                    const struct fm_node_cert **owner, struct fm_error *err)
{
    struct fm_receipt *receipt = &check->out.receipts[i];
    const struct fm_node_cert *signer = NULL;
    struct fm_envelope envelope;
    struct fm_hash hash;

    fm_sha256_one(&hash, check->bundle.receipts[i]);
    if (!fm_hash_equal(&hash, &check->out.answer.fragments[i].receipt))
        return fm_fail(err, FM_FORGED, "it is not the one that the answer names");
    if (fm_envelope_open(check->bundle.receipts[i], &envelope) != FM_OK)
        return fm_fail(err, FM_FORGED, "not an envelope");
    for (uint32_t c = 0; c < check->bundle.node_cert_count; c++) {
        if (ids_equal(&check->certs[c].node, &check->out.answer.fragments[i].owner))
            signer = &check->certs[c];
    }
    if (signer == NULL)
        return fm_fail(err, FM_FORGED, "the bundle has no certificate of its owner");
    if (fm_envelope_verify(&envelope, FM_ENV_RECEIPT, &check->input->charter->mesh,
                           &signer->sign_key) != FM_OK)
        return fm_fail(err, FM_FORGED, "signature does not hold");
    if (fm_receipt_decode(envelope.body, receipt) != FM_OK)
        return fm_fail(err, FM_FORGED, "its fields do not decode");
    enum fm_status status = check_receipt_fields(check, i, ticket, receipt, err);
    if (status != FM_OK)
        return status;
    return find_cert(check, &receipt->owner, receipt->time, "owner", owner, err);
}

/* ---- Heads --------------------------------------------------------------------------------- */

static enum fm_status open_head(const struct check *check, struct fm_span note,
                                const struct fm_public_key *log_key, struct fm_head *out)
{
    return check->input->certs != NULL ? fm_cert_cache_head(check->input->certs, note, log_key, out)
                                       : fm_head_open(note, log_key, out);
}

static enum fm_status check_head(const struct check *check, const struct fm_receipt *receipt,
                                 uint32_t t, const struct fm_table_ref *ref,
                                 const struct fm_node_cert *owner, struct fm_error *err)
{
    const struct fm_domain_grant *grant = fm_node_cert_domain(owner, ref->domain);
    char table[FM_NAME_MAX + 1];
    char origin[FM_ORIGIN_MAX];
    char found[FM_ORIGIN_MAX];
    struct fm_head head;

    if (grant == NULL)
        return fm_fail(err, FM_FORGED, "the node does not own domain %s", ref->domain);
    if (!fm_hash_equal(&receipt->schemas[t], &ref->schema))
        return fm_fail(err, FM_FORGED, "it was answered under another schema");
    fm_table_base_name(ref->table, table);
    fm_head_origin(&check->input->charter->mesh, ref->domain, table, grant->epoch, origin);
    if (fm_head_peek_origin(receipt->heads[t], found) != FM_OK)
        return fm_fail(err, FM_FORGED, "its head is no signed note");
    if (strcmp(found, origin) != 0)
        return fm_fail(err, FM_FORGED, "the head is of another log, %s", found);
    if (open_head(check, receipt->heads[t], &grant->log_key, &head) != FM_OK)
        return fm_fail(err, FM_FORGED, "its head's signature does not hold");
    if (head.time > receipt->time + FM_CLOCK_SKEW_US)
        return fm_fail(err, FM_FORGED, "its head is newer than the receipt");
    return FM_OK;
}

static enum fm_status check_tables(const struct check *check, uint32_t i,
                                   const struct fm_fragment *fragment,
                                   const struct fm_node_cert *owner, struct fm_error *err)
{
    const struct fm_receipt *receipt = &check->out.receipts[i];
    bool names_domain = false;

    if (fragment->table_count != receipt->table_count)
        return fm_fail(err, FM_FORGED, "it has %" PRIu32 " heads for %" PRIu32 " tables",
                       receipt->table_count, fragment->table_count);
    for (uint32_t t = 0; t < fragment->table_count; t++) {
        const struct fm_table_ref *ref = &fragment->tables[t];
        if (check_head(check, receipt, t, ref, owner, err) != FM_OK)
            return fm_wrap(err, FM_FORGED, "table %s.%s", ref->domain, ref->table);
        if (strcmp(ref->domain, check->out.answer.fragments[i].domain) == 0)
            names_domain = true;
    }
    if (!names_domain)
        return fm_fail(err, FM_FORGED, "none of its tables is of that domain");
    return FM_OK;
}

static enum fm_status check_fragment(struct check *check, uint32_t i, struct fm_error *err)
{
    FM_AUTO(fm_fragment_deinit) struct fm_fragment fragment = {0};
    const struct fm_answer_fragment *named = &check->out.answer.fragments[i];
    const struct fm_node_cert *owner = NULL;
    struct short_id node = short_id(&named->owner);
    struct fm_ticket ticket;

    if (check_ticket(check, i, &ticket, err) != FM_OK)
        return fm_wrap(err, FM_FORGED, "ticket of node %s for domain %s", node.text, named->domain);
    if (fm_fragment_decode(ticket.fragment, &fragment) != FM_OK)
        return fm_fail(err, FM_FORGED,
                       "ticket of node %s for domain %s: its fragment does not decode", node.text,
                       named->domain);
    if (check_receipt(check, i, &ticket, &owner, err) != FM_OK ||
        check_tables(check, i, &fragment, owner, err) != FM_OK)
        return fm_wrap(err, FM_FORGED, "receipt of node %s for domain %s", node.text,
                       named->domain);
    return FM_OK;
}

static enum fm_status check_fragments(struct check *check, struct fm_error *err)
{
    if (check->bundle.fragment_count != check->out.answer.fragment_count)
        return fm_fail(err, FM_FORGED,
                       "the answer names %" PRIu32 " fragments, the bundle has %" PRIu32,
                       check->out.answer.fragment_count, check->bundle.fragment_count);
    check->out.receipts = calloc(check->bundle.fragment_count + 1u, sizeof *check->out.receipts);
    if (check->out.receipts == NULL)
        return fm_fail(err, FM_NOMEM, "verify the answer: out of memory");
    for (uint32_t i = 0; i < check->bundle.fragment_count; i++) {
        enum fm_status status = check_fragment(check, i, err);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

/* ---- What is missing ------------------------------------------------------------------------- */

/* A partial answer is one only where the asker allowed it, and no fragment is both there and
 * missing. */
static enum fm_status check_missing(const struct check *check, struct fm_error *err)
{
    const struct fm_answer *answer = &check->out.answer;

    if (answer->completeness == FM_PARTIAL &&
        check->out.asked.on_unavailable != FM_UNAVAILABLE_SKIP)
        return fm_fail(err, FM_FORGED, "parts of the answer are missing, which was not allowed");
    for (uint32_t m = 0; m < answer->missing_count; m++) {
        for (uint32_t i = 0; i < answer->fragment_count; i++) {
            if (check->out.numbers[i] == answer->missing[m].number)
                return fm_fail(err, FM_FORGED,
                               "fragment %" PRIu32 " has a receipt and is said to be missing",
                               check->out.numbers[i]);
        }
    }
    return FM_OK;
}

/* What the asked node says by itself is no fragment that an owner signed for or that is missing. */
static enum fm_status check_own(const struct check *check, struct fm_error *err)
{
    const struct fm_answer *answer = &check->out.answer;

    for (uint32_t o = 0; o < answer->own_count; o++) {
        uint32_t number = answer->own[o].number;
        bool is_another = false;
        for (uint32_t i = 0; i < answer->fragment_count; i++)
            is_another = is_another || check->out.numbers[i] == number;
        for (uint32_t m = 0; m < answer->missing_count; m++)
            is_another = is_another || answer->missing[m].number == number;
        if (is_another)
            return fm_fail(err, FM_FORGED,
                           "fragment %" PRIu32 " is said to be the asked node's own, and another's",
                           number);
    }
    return FM_OK;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

static enum fm_status check_rows(const struct check *check, struct fm_error *err)
{
    const struct fm_verify_input *input = check->input;
    const struct fm_answer *answer = &check->out.answer;
    struct fm_tree tree;
    struct fm_hash root;

    if (input->batch_count != answer->batches)
        return fm_fail(err, FM_FORGED,
                       "%" PRIu64 " batches came, the answer was signed for %" PRIu64
                       ": one was dropped, doubled or added",
                       input->batch_count, answer->batches);
    if (input->rows != answer->rows)
        return fm_fail(err, FM_FORGED, "%" PRIu64 " rows came, the answer was signed for %" PRIu64,
                       input->rows, answer->rows);
    if (input->bytes != answer->bytes)
        return fm_fail(err, FM_FORGED, "%" PRIu64 " bytes came, the answer was signed for %" PRIu64,
                       input->bytes, answer->bytes);
    fm_tree_init(&tree);
    for (uint64_t i = 0; i < input->batch_count; i++)
        fm_tree_append(&tree, &input->batches[i]);
    fm_tree_root(&tree, &root);
    if (!fm_hash_equal(&root, &answer->root))
        return fm_fail(err, FM_FORGED,
                       "result root does not match the answer's: a batch was changed, dropped, "
                       "doubled or swapped");
    return FM_OK;
}

/* Where the asked node claims to have passed an owner's rows on, the receipt is for those. */
static enum fm_status check_rows_of_fragment(const struct check *check, struct fm_error *err)
{
    const struct fm_answer *answer = &check->out.answer;
    const struct fm_receipt *receipt = &check->out.receipts[0];
    struct fm_hash columns;

    if (answer->origin != FM_ROWS_OF_FRAGMENT)
        return FM_OK;
    if (answer->fragment_count != 1)
        return fm_fail(
            err, FM_FORGED,
            "the answer's rows are said to be those of its only fragment, it has %" PRIu32,
            answer->fragment_count);
    if (receipt->rows != answer->rows || receipt->batches != answer->batches)
        return fm_fail(err, FM_FORGED,
                       "the owner gave %" PRIu64 " rows in %" PRIu64
                       " batches, the answer has %" PRIu64 " rows in %" PRIu64,
                       receipt->rows, receipt->batches, answer->rows, answer->batches);
    if (receipt->bytes != answer->bytes)
        return fm_fail(err, FM_FORGED, "the owner gave %" PRIu64 " bytes, the answer has %" PRIu64,
                       receipt->bytes, answer->bytes);
    if (!fm_hash_equal(&receipt->root, &answer->root))
        return fm_fail(err, FM_FORGED, "the answer's rows are not those that the owner gave");
    fm_sha256_one(&columns, answer->columns);
    if (!fm_hash_equal(&receipt->columns, &columns))
        return fm_fail(err, FM_FORGED, "the answer's columns are not those that the owner gave");
    return FM_OK;
}

/* What a fragment's batches are read by; their bytes the caller compares with the receipts. */
static enum fm_status check_columns(const struct check *check, struct fm_error *err)
{
    const struct fm_bundle *bundle = &check->bundle;
    struct fm_hash columns;

    if (!bundle->has_columns)
        return FM_OK;
    if (check->out.answer.origin == FM_ROWS_OF_FRAGMENT)
        return fm_fail(err, FM_FORGED, "rows that were passed on are said to be kept twice");
    for (uint32_t i = 0; i < bundle->fragment_count; i++) {
        const struct fm_answer_fragment *named = &check->out.answer.fragments[i];
        fm_sha256_one(&columns, bundle->columns[i]);
        if (!fm_hash_equal(&columns, &check->out.receipts[i].columns))
            return fm_fail(
                err, FM_FORGED,
                "the columns of the fragment of node %s for domain %s are not those that "
                "it signed for",
                short_id(&named->owner).text, named->domain);
    }
    return FM_OK;
}

static enum fm_status run(struct check *check, struct fm_error *err)
{
    enum fm_status status = fm_bundle_decode(check->input->bundle, &check->bundle);

    if (status != FM_OK)
        return fm_fail(err, status, "the bundle does not decode");
    status = open_node_certs(check, err);
    if (status == FM_OK)
        status = check_answer(check, err);
    if (status == FM_OK)
        status = check_request(check, err);
    if (status == FM_OK)
        status = check_fragments(check, err);
    if (status == FM_OK)
        status = check_missing(check, err);
    if (status == FM_OK)
        status = check_own(check, err);
    if (status == FM_OK)
        status = check_certs_used(check, err);
    if (status == FM_OK)
        status = check_rows(check, err);
    if (status == FM_OK)
        status = check_rows_of_fragment(check, err);
    if (status == FM_OK)
        status = check_columns(check, err);
    return status;
}

enum fm_status fm_verify_answer(const struct fm_verify_input *input, struct fm_verified *out,
                                struct fm_error *err)
{
    FM_AUTO(check_freep) struct check *check = calloc(1, sizeof *check);

    fm_assert(input->charter != NULL);
    fm_assert(input->batch_count == 0 || input->batches != NULL);
    if (check == NULL)
        return fm_fail(err, FM_NOMEM, "verify the answer: out of memory");
    check->input = input;
    enum fm_status status = run(check, err);
    if (status == FM_OK) {
        *out = check->out;
        check->out.receipts = NULL;
    }
    return status;
}
