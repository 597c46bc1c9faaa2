#include "core/asker.h"

/* The token in a request that the asked node signed: of the principal, for that node and time. */
static enum fm_status check_token(const struct fm_asker *asker, const struct fm_request *request,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf decoded = FM_BUF_INIT(FM_TOKEN_BYTES_MAX);
    struct fm_token token;

    enum fm_status status =
        fm_token_open(asker->charter, asker->certs, request->token, &decoded, &token, err);
    if (status != FM_OK)
        return status;
    if (!fm_span_equal(token.cert, asker->principal_cert))
        return fm_fail(err, FM_FORGED, "the token is of another certificate than the request's");
    return fm_token_check(&token, &asker->node->node, fm_seconds(request->time), err);
}

enum fm_status fm_asker_open(const struct fm_asker *asker, struct fm_span bytes,
                             struct fm_request *out, struct fm_error *err)
{
    const struct fm_public_key *key = &asker->principal->sign_key;
    struct fm_envelope envelope;

    if (fm_envelope_open(bytes, &envelope) != FM_OK)
        return fm_fail(err, FM_MALFORMED, "the request is not an envelope");
    bool by_node = asker->node != NULL && !fm_public_key_equal(&envelope.signatures[0].key, key) &&
                   fm_public_key_equal(&envelope.signatures[0].key, &asker->node->sign_key);
    if (by_node)
        key = &asker->node->sign_key;
    enum fm_status status =
        fm_envelope_verify(&envelope, FM_ENV_REQUEST, &asker->charter->mesh, key);
    if (status != FM_OK)
        return fm_fail(err, status, "the request is not signed by %s", asker->principal->name);
    status = fm_request_decode(envelope.body, out);
    if (status != FM_OK)
        return fm_fail(err, status, "the fields of the request of %s do not decode",
                       asker->principal->name);
    if (by_node != (out->token.len != 0))
        return fm_fail(
            err, FM_FORGED,
            by_node ? "the request is not signed by %s but by the asked node, without a token"
                    : "the request of %s has a token that it does not need",
            asker->principal->name);
    return by_node ? check_token(asker, out, err) : FM_OK;
}
