#include "core/envelope.h"

#include "core/assert.h"
#include "core/reader.h"

#include <stdlib.h>

static const char label[] = "folkmoot/v1"; /* Signed with its NUL. */

const char *fm_envelope_type_text(enum fm_envelope_type type)
{
    switch (type) {
#define X(name, number, text)                                                                      \
    case FM_ENV_##name:                                                                            \
        return text;
        FM_ENVELOPE_MAP(X)
#undef X
    }
    return "unknown type";
}

static bool type_is_known(uint32_t type)
{
#define X(name, number, text)                                                                      \
    if (type == (number))                                                                          \
        return true;
    FM_ENVELOPE_MAP(X)
#undef X
    return false;
}

/* What the signatures are over. */
static void put_message(struct fm_buf *out, enum fm_envelope_type type,
                        const struct fm_mesh_id *mesh, struct fm_span body)
{
    fm_buf_put(out, label, sizeof label);
    fm_buf_put_u8(out, (uint8_t)type);
    fm_buf_put(out, mesh->bytes, sizeof mesh->bytes);
    fm_buf_put_span(out, body);
}

static int compare_keys(const struct fm_public_key *a, const struct fm_public_key *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

/* The keys in the order of their public halves; FM_INVALID when one comes twice. */
static enum fm_status sort_keys(struct fm_key *const *keys, size_t count, struct fm_key **sorted)
{
    for (size_t i = 0; i < count; i++) {
        size_t at = i;
        while (at > 0 && compare_keys(fm_key_public(sorted[at - 1]), fm_key_public(keys[i])) > 0) {
            sorted[at] = sorted[at - 1];
            at--;
        }
        sorted[at] = keys[i];
        if (at > 0 && fm_public_key_equal(fm_key_public(sorted[at - 1]), fm_key_public(keys[i])))
            return FM_INVALID;
    }
    return FM_OK;
}

static void put_envelope(struct fm_buf *out, enum fm_envelope_type type, struct fm_span body,
                         struct fm_span message, struct fm_key *const *keys, size_t key_count)
{
    uint8_t signature[64];

    fm_pack_map(out, 3);
    fm_pack_key_uint(out, 0, type);
    fm_pack_key_bin(out, 1, body.data, body.len);
    fm_pack_uint(out, 2);
    fm_pack_array(out, (uint32_t)key_count);
    for (size_t i = 0; i < key_count; i++) {
        fm_key_sign(keys[i], message, signature);
        fm_pack_array(out, 2);
        fm_pack_bin(out, fm_key_public(keys[i])->bytes, sizeof(struct fm_public_key));
        fm_pack_bin(out, signature, sizeof signature);
    }
}

enum fm_status fm_envelope_seal(enum fm_envelope_type type, const struct fm_mesh_id *mesh,
                                struct fm_span body, struct fm_key *const *keys, size_t key_count,
                                struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf message = FM_BUF_INIT(0);
    struct fm_key *sorted[FM_AUTHORITY_KEYS_MAX];
    size_t before = out->len;

    fm_assert(type_is_known(type));
    if (key_count < 1 || key_count > FM_AUTHORITY_KEYS_MAX)
        return FM_INVALID;
    for (size_t i = 0; i < key_count; i++) {
        if (fm_key_kind(keys[i]) != FM_KEY_SIGN)
            return FM_INVALID;
    }
    enum fm_status status = sort_keys(keys, key_count, sorted);
    if (status != FM_OK)
        return status;
    if (body.len > FM_ENVELOPE_BYTES_MAX)
        return FM_LIMIT;
    put_message(&message, type, mesh, body);
    status = fm_buf_status(&message);
    if (status != FM_OK)
        return status;
    put_envelope(out, type, body, fm_buf_span(&message), sorted, key_count);
    status = fm_buf_status(out);
    if (status == FM_OK && out->len - before > FM_ENVELOPE_BYTES_MAX) {
        out->len = before;
        return FM_LIMIT;
    }
    return status;
}

static size_t bin_header_bytes(size_t len)
{
    if (len <= UINT8_MAX)
        return 2;
    return len <= UINT16_MAX ? 3 : 5;
}

/* Size of the envelope with nothing in it but what the signatures cover. */
static size_t exact_bytes(const struct fm_envelope *envelope)
{
    size_t signature_bytes = 1 + 2 + sizeof(struct fm_public_key) + 2 + 64;
    size_t array_bytes = envelope->signature_count < 16 ? 1 : 3;

    return 1 + 2 + 1 + bin_header_bytes(envelope->body.len) + envelope->body.len + 1 + array_bytes +
           envelope->signature_count * signature_bytes;
}

static void read_signatures(struct fm_reader *reader, struct fm_envelope *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 2, 1, FM_AUTHORITY_KEYS_MAX, &out->signature_count);

    for (uint32_t i = 0; i < out->signature_count; i++) {
        struct fm_signature *signature = &out->signatures[i];
        const struct fm_value *pair = fm_read_tuple(reader, array, i, 2);
        if (pair == NULL)
            return;
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(pair, 0), signature->key.bytes, 32));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(pair, 1), signature->bytes, 64));
        if (reader->status != FM_OK)
            return;
        if (i > 0)
            fm_reader_demand(reader, compare_keys(&signature[-1].key, &signature->key) < 0);
    }
}

enum fm_status fm_envelope_open(struct fm_span bytes, struct fm_envelope *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_envelope envelope = {.whole = bytes};
    uint32_t type = 0;

    if (bytes.len > FM_ENVELOPE_BYTES_MAX)
        return FM_MALFORMED;
    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(3));
    fm_read_u32(&reader, 0, UINT8_MAX, &type);
    fm_read_bin(&reader, 1, FM_ENVELOPE_BYTES_MAX, &envelope.body);
    read_signatures(&reader, &envelope);
    if (reader.status != FM_OK)
        return reader.status;
    /* Nobody signs for the outer map, so nothing may be added to it, not even keys that other
     * maps may carry: an envelope must have one hash. */
    if (!type_is_known(type) || exact_bytes(&envelope) != bytes.len)
        return FM_MALFORMED;
    envelope.type = (enum fm_envelope_type)type;
    *out = envelope;
    return FM_OK;
}

static const struct fm_signature *find_signature(const struct fm_envelope *envelope,
                                                 const struct fm_public_key *key)
{
    for (uint32_t i = 0; i < envelope->signature_count; i++) {
        if (fm_public_key_equal(&envelope->signatures[i].key, key))
            return &envelope->signatures[i];
    }
    return NULL;
}

enum fm_status fm_envelope_verify(const struct fm_envelope *envelope, enum fm_envelope_type type,
                                  const struct fm_mesh_id *mesh, const struct fm_public_key *key)
{
    FM_AUTO(fm_buf_free) struct fm_buf message = FM_BUF_INIT(0);
    const struct fm_signature *signature = find_signature(envelope, key);

    /* A second signature that nobody looks at would give one statement many hashes. */
    if (envelope->type != type || envelope->signature_count != 1 || signature == NULL)
        return FM_FORGED;
    put_message(&message, type, mesh, envelope->body);
    enum fm_status status = fm_buf_status(&message);
    if (status != FM_OK)
        return status;
    return fm_verify(key, fm_buf_span(&message), signature->bytes) ? FM_OK : FM_FORGED;
}

static bool comes_earlier(const struct fm_public_key *keys, size_t i)
{
    for (size_t j = 0; j < i; j++) {
        if (fm_public_key_equal(&keys[j], &keys[i]))
            return true;
    }
    return false;
}

uint32_t fm_envelope_count(const struct fm_envelope *envelope, enum fm_envelope_type type,
                           const struct fm_mesh_id *mesh, const struct fm_public_key *keys,
                           size_t key_count)
{
    FM_AUTO(fm_buf_free) struct fm_buf message = FM_BUF_INIT(0);
    uint32_t count = 0;

    if (envelope->type != type)
        return 0;
    put_message(&message, type, mesh, envelope->body);
    if (fm_buf_status(&message) != FM_OK)
        return 0;
    for (size_t i = 0; i < key_count; i++) {
        const struct fm_signature *signature = find_signature(envelope, &keys[i]);
        if (signature == NULL || comes_earlier(keys, i))
            continue;
        if (fm_verify(&keys[i], fm_buf_span(&message), signature->bytes))
            count++;
    }
    return count;
}
