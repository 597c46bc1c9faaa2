/* Bundles of strangers, against the charter of the honest one: none but the honest one verifies.
 * The first byte chooses whether the honest bundle's own parts replace those of the input (one bit
 * each), so that deeper checks are reached than a broken signature. */
#include "core/records.h"

#include "core/assert.h"
#include "tests/support/test_bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void graft(struct fm_bundle *bundle, const struct fm_bundle *honest, uint8_t parts)
{
    if ((parts & 1) != 0)
        bundle->answer = honest->answer;
    if ((parts & 2) != 0)
        bundle->request = honest->request;
    if ((parts & 4) != 0)
        bundle->principal_cert = honest->principal_cert;
    if ((parts & 8) != 0) {
        bundle->node_cert_count = honest->node_cert_count;
        memcpy(bundle->node_certs, honest->node_certs, sizeof bundle->node_certs);
    }
    if ((parts & 16) != 0)
        memcpy(bundle->tickets, honest->tickets, sizeof bundle->tickets);
    if ((parts & 32) != 0)
        memcpy(bundle->receipts, honest->receipts, sizeof bundle->receipts);
}

static bool spans_equal(const struct fm_span *a, const struct fm_span *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!fm_span_equal(a[i], b[i]))
            return false;
    }
    return true;
}

/* The certificates may stand in any order; all else is one form. */
static bool says_the_same(const struct fm_bundle *a, const struct fm_bundle *b)
{
    return fm_span_equal(a->answer, b->answer) && fm_span_equal(a->request, b->request) &&
           fm_span_equal(a->principal_cert, b->principal_cert) &&
           a->node_cert_count == b->node_cert_count && a->fragment_count == b->fragment_count &&
           spans_equal(a->tickets, b->tickets, a->fragment_count) &&
           spans_equal(a->receipts, b->receipts, a->fragment_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct test_bundle *honest;  /* Made once: it is the same in every run. */
    static struct fm_verified verified; /* Too large for the stack. */
    FM_AUTO(fm_buf_free) struct fm_buf grafted = FM_BUF_INIT(0);
    struct fm_error err = {0};
    struct fm_bundle bundle;

    if (size < 1)
        return 0;
    if (honest == NULL) {
        honest = test_bundle_new();
        fm_assert(honest != NULL);
        fm_assert(test_bundle_seal(honest) == FM_OK);
    }
    struct fm_verify_input input = honest->input;
    input.bundle = fm_span(data + 1, size - 1);
    if (fm_bundle_decode(input.bundle, &bundle) != FM_OK) {
        fm_assert(fm_verify_answer(&input, &verified, &err) != FM_OK);
        fm_assert(err.text[0] != '\0');
        return 0;
    }
    graft(&bundle, &honest->bundle, data[0]);
    fm_bundle_encode(&grafted, &bundle);
    fm_assert(fm_buf_status(&grafted) == FM_OK);
    input.bundle = fm_buf_span(&grafted);
    if (fm_verify_answer(&input, &verified, &err) == FM_OK) {
        fm_assert(says_the_same(&bundle, &honest->bundle));
        fm_verified_deinit(&verified);
    } else {
        fm_assert(err.text[0] != '\0');
    }
    return 0;
}
