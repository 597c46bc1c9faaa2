#include "core/cert_common.h"

#define SKEW_SECONDS (FM_CLOCK_SKEW_US / 1000000)

bool fm_cert_name_valid(const char *name)
{
    size_t len = strlen(name);

    if (len < 1 || len > FM_NAME_MAX || !fm_utf8_valid(fm_span(name, len)))
        return false;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = (uint8_t)name[i];
        if (byte < 0x20 || byte == 0x7f)
            return false;
        if (byte == 0xc2 && (uint8_t)name[i + 1] < 0xa0) /* U+0080..U+009F. */
            return false;
    }
    return true;
}

bool fm_cert_keys_suffice(const struct fm_charter *charter, struct fm_key *const *keys,
                          size_t key_count)
{
    uint32_t signers = 0;

    for (size_t k = 0; k < key_count; k++) {
        if (fm_key_kind(keys[k]) != FM_KEY_SIGN)
            return false;
    }
    for (uint32_t i = 0; i < charter->authority_count; i++) {
        for (size_t k = 0; k < key_count; k++) {
            if (fm_public_key_equal(&charter->authority[i], fm_key_public(keys[k]))) {
                signers++;
                break;
            }
        }
    }
    return signers >= charter->threshold && signers == key_count;
}

enum fm_status fm_cert_check_life(int64_t not_before, int64_t not_after, uint64_t life_max,
                                  struct fm_error *err)
{
    if (not_before < 0 || not_after > FM_CERT_TIME_MAX || not_before >= not_after)
        return fm_fail(err, FM_INVALID, "its first and last second are not a span of time");
    if ((uint64_t)(not_after - not_before) > life_max)
        return fm_fail(err, FM_REFUSED, "it lives longer than the charter's %llu seconds",
                       (unsigned long long)life_max);
    return FM_OK;
}

enum fm_status fm_cert_check_time(int64_t not_before, int64_t not_after, int64_t now,
                                  struct fm_error *err)
{
    if (now < not_before - SKEW_SECONDS)
        return fm_fail(err, FM_REFUSED, "it is not valid yet");
    if (now > not_after + SKEW_SECONDS)
        return fm_fail(err, FM_REFUSED, "it has expired");
    return FM_OK;
}

enum fm_status fm_cert_seal_body(const struct fm_charter *charter, enum fm_envelope_type type,
                                 const struct fm_buf *body, struct fm_key *const *keys,
                                 size_t key_count, struct fm_buf *out, struct fm_error *err)
{
    enum fm_status status = fm_buf_status(body);

    if (status != FM_OK)
        return fm_fail(err, status, "write the certificate");
    if (!fm_cert_keys_suffice(charter, keys, key_count))
        return fm_fail(err, FM_REFUSED,
                       "%u distinct authority keys of the charter must sign, and nobody else",
                       charter->threshold);
    status = fm_envelope_seal(type, &charter->mesh, fm_buf_span(body), keys, key_count, out);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "sign the certificate");
}

enum fm_status fm_cert_open_body(const struct fm_charter *charter, enum fm_envelope_type type,
                                 struct fm_span bytes, struct fm_span *body, struct fm_error *err)
{
    struct fm_envelope envelope;

    enum fm_status status = fm_envelope_open(bytes, &envelope);
    if (status != FM_OK)
        return fm_fail(err, status, "not an envelope");
    if (envelope.type != type)
        return fm_fail(err, FM_FORGED, "this is a %s", fm_envelope_type_text(envelope.type));
    uint32_t count = fm_envelope_count(&envelope, type, &charter->mesh, charter->authority,
                                       charter->authority_count);
    if (count < charter->threshold)
        return fm_fail(err, FM_FORGED, "%u authority keys of the charter signed it, %u are needed",
                       count, charter->threshold);
    *body = envelope.body;
    return FM_OK;
}
