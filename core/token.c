#include "core/token.h"

#include "core/reader.h"

#include <inttypes.h>
#include <jansson.h>
#include <time.h>

static const char domain_separator[] = "folkmoot/v1 token"; /* With its NUL. */

/* What the signature covers beside the text. */
static void implicit_of(const struct fm_charter *charter,
                        uint8_t out[sizeof domain_separator + sizeof(struct fm_mesh_id)])
{
    memcpy(out, domain_separator, sizeof domain_separator);
    memcpy(out + sizeof domain_separator, charter->mesh.bytes, sizeof charter->mesh.bytes);
}

int64_t fm_token_life_max(const struct fm_charter *charter,
                          const struct fm_principal_cert *principal)
{
    uint64_t life = fm_principal_has_role(principal, FM_ROLE_SERVICE, NULL)
                        ? charter->token_life_max
                        : FM_TOKEN_LIFE_MAX;

    return (int64_t)(life < charter->token_life_max ? life : charter->token_life_max);
}

static enum fm_status check_life(const struct fm_charter *charter, const struct fm_token *token,
                                 enum fm_status status, struct fm_error *err)
{
    int64_t life = fm_token_life_max(charter, &token->principal);

    if (token->not_after <= token->not_before || token->issued > token->not_after)
        return fm_fail(err, status, "the token ends before it begins");
    /* From its issue on: one made ahead for later does not live longer. */
    int64_t begin = token->issued < token->not_before ? token->issued : token->not_before;
    if (token->not_after - begin > life)
        return fm_fail(err, status,
                       "a token of %s may live for at most %" PRId64
                       " seconds; longer only with the role service, as the charter allows",
                       token->principal.name, life);
    if (token->not_after > token->principal.not_after)
        return fm_fail(err, status, "the token ends after the certificate of %s",
                       token->principal.name);
    return FM_OK;
}

/* ---- Making ---------------------------------------------------------------------------------- */

static json_t *time_text(int64_t seconds)
{
    char text[32];
    time_t when = (time_t)seconds;
    struct tm parts;

    if (gmtime_r(&when, &parts) == NULL ||
        strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        return NULL;
    return json_string(text);
}

static json_t *nodes_text(const struct fm_token *token)
{
    json_t *nodes = json_array();
    char hex[2 * sizeof(struct fm_node_id) + 1];

    for (uint32_t i = 0; i < token->node_count && nodes != NULL; i++) {
        fm_hex(token->nodes[i].bytes, sizeof token->nodes[i].bytes, hex);
        if (json_array_append_new(nodes, json_string(hex)) != 0) {
            json_decref(nodes);
            return NULL;
        }
    }
    return nodes;
}

/* NULL: out of memory. The caller frees it. */
static char *message_text(const struct fm_token *token)
{
    char id[2 * sizeof token->id.bytes + 1];

    fm_hex(token->id.bytes, sizeof token->id.bytes, id);
    json_t *message =
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:o}", "jti", id, "sub", token->principal.name, "aud",
                  nodes_text(token), "iat", time_text(token->issued), "nbf",
                  time_text(token->not_before), "exp", time_text(token->not_after));
    if (message == NULL)
        return NULL;
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    return text;
}

enum fm_status fm_token_make(const struct fm_charter *charter, const struct fm_token *token,
                             struct fm_span cert, const struct fm_key *key, struct fm_buf *out,
                             struct fm_error *err)
{
    uint8_t implicit[sizeof domain_separator + sizeof(struct fm_mesh_id)];

    if (token->node_count == 0 || token->node_count > FM_TOKEN_NODES_MAX)
        return fm_fail(err, FM_INVALID, "a token names 1 to %u nodes, not %u", FM_TOKEN_NODES_MAX,
                       token->node_count);
    enum fm_status status = check_life(charter, token, FM_INVALID, err);
    if (status != FM_OK)
        return status;
    FM_AUTO(fm_mem_freep) char *message = message_text(token);
    if (message == NULL)
        return fm_fail(err, FM_NOMEM, "make a token");
    implicit_of(charter, implicit);
    fm_paseto_sign(key, fm_span_str(message), cert, fm_span(implicit, sizeof implicit), out);
    if (fm_buf_status(out) == FM_OK && out->len > FM_TOKEN_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the token would have more than %u bytes",
                       FM_TOKEN_BYTES_MAX);
    return fm_buf_status(out);
}

/* ---- Reading --------------------------------------------------------------------------------- */

static bool read_id(const json_t *value, void *out, size_t len)
{
    return json_is_string(value) && json_string_length(value) == 2 * len &&
           fm_unhex(json_string_value(value), out, len) == FM_OK;
}

/* "2026-01-02T03:04:05Z" or with "+00:00": what this program and PASETO libraries write. */
static bool read_time(const json_t *value, int64_t *out)
{
    struct tm parts = {0};

    if (!json_is_string(value) || json_string_length(value) != strlen(json_string_value(value)))
        return false;
    const char *end = strptime(json_string_value(value), "%Y-%m-%dT%H:%M:%S", &parts);
    if (end == NULL || (strcmp(end, "Z") != 0 && strcmp(end, "+00:00") != 0))
        return false;
    *out = timegm(&parts);
    return *out > 0;
}

static bool read_nodes(const json_t *value, struct fm_token *out)
{
    size_t count = json_array_size(value); /* 0 for what is no array. */

    if (count == 0 || count > FM_TOKEN_NODES_MAX)
        return false;
    for (size_t i = 0; i < count; i++)
        if (!read_id(json_array_get(value, i), out->nodes[i].bytes, sizeof out->nodes[i].bytes))
            return false;
    out->node_count = (uint32_t)count;
    return true;
}

static bool read_claims(const json_t *claims, struct fm_token *out)
{
    const json_t *subject = json_object_get(claims, "sub");

    return read_id(json_object_get(claims, "jti"), out->id.bytes, sizeof out->id.bytes) &&
           json_is_string(subject) &&
           strcmp(json_string_value(subject), out->principal.name) == 0 &&
           read_nodes(json_object_get(claims, "aud"), out) &&
           read_time(json_object_get(claims, "iat"), &out->issued) &&
           read_time(json_object_get(claims, "nbf"), &out->not_before) &&
           read_time(json_object_get(claims, "exp"), &out->not_after);
}

static enum fm_status open_cert(const struct fm_charter *charter, struct fm_cert_cache *certs,
                                struct fm_token *out, struct fm_error *err)
{
    if (out->cert.len == 0)
        return fm_fail(err, FM_INVALID,
                       "the token has no certificate in its footer: make one with folkmoot token");
    enum fm_status status =
        certs != NULL ? fm_cert_cache_principal(certs, out->cert, &out->principal, err)
                      : fm_principal_cert_open_undated(charter, out->cert, &out->principal, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "the token's certificate");
}

enum fm_status fm_token_open(const struct fm_charter *charter, struct fm_cert_cache *certs,
                             struct fm_span text, struct fm_buf *decoded, struct fm_token *out,
                             struct fm_error *err)
{
    uint8_t implicit[sizeof domain_separator + sizeof(struct fm_mesh_id)];
    struct fm_paseto paseto = {0};

    enum fm_status status = fm_paseto_read(text, decoded, &paseto);
    if (status != FM_OK)
        return fm_fail(err, status,
                       "this is no PASETO of version 4.public: make one with folkmoot "
                       "token");
    memset(out, 0, sizeof *out);
    out->cert = paseto.footer;
    status = open_cert(charter, certs, out, err);
    if (status != FM_OK)
        return status;
    implicit_of(charter, implicit);
    status =
        fm_paseto_verify(&paseto, &out->principal.sign_key, fm_span(implicit, sizeof implicit));
    if (status != FM_OK)
        return fm_fail(err, status, "the token is not signed by %s for this mesh",
                       out->principal.name);
    json_t *claims = json_loadb((const char *)paseto.message.data, paseto.message.len,
                                JSON_REJECT_DUPLICATES, NULL);
    bool is_read = claims != NULL && read_claims(claims, out);
    json_decref(claims);
    if (!is_read)
        return fm_fail(err, FM_INVALID,
                       "the token of %s lacks a claim, or one has another form: jti, sub, aud, "
                       "iat, nbf, exp",
                       out->principal.name);
    return check_life(charter, out, FM_REFUSED, err);
}

enum fm_status fm_token_check(const struct fm_token *token, const struct fm_node_id *node,
                              int64_t now, struct fm_error *err)
{
    bool is_for = false;

    for (uint32_t i = 0; i < token->node_count; i++)
        is_for |= memcmp(&token->nodes[i], node, sizeof *node) == 0;
    if (!is_for)
        return fm_fail(err, FM_REFUSED, "the token of %s is for another node",
                       token->principal.name);
    if (now + fm_seconds(FM_CLOCK_SKEW_US) < token->not_before)
        return fm_fail(err, FM_REFUSED, "the token of %s is not valid yet", token->principal.name);
    if (now > token->not_after)
        return fm_fail(err, FM_REFUSED,
                       "the token of %s has ended: make a new one with folkmoot token",
                       token->principal.name);
    return fm_cert_check_time(token->principal.not_before, token->principal.not_after, now, err);
}
