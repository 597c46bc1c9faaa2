#include "core/assert.h"
#include "core/cert.h"
#include "core/cert_common.h"
#include "core/reader.h"

#define DAY_SECONDS UINT64_C(86400)
#define TOKEN_DAYS_MAX 90u /* design.md section 6: tokens of service principals. */

enum charter_key {
    KEY_VERSION = 0,
    KEY_NAME = 1,
    KEY_AUTHORITY = 2,
    KEY_THRESHOLD = 3,
    KEY_NODE_LIFE = 4,
    KEY_PRINCIPAL_LIFE = 5,
    KEY_TOKEN_LIFE = 6,
    KEY_HEARTBEAT = 7,
    KEY_CREATED = 8,
    KEY_MESH = 9, /* Only from version 2 on: version 1 is what the id is made of. */
};

static enum fm_status check_authority(const struct fm_charter *charter, struct fm_error *err)
{
    uint32_t count = charter->authority_count;

    if (count < 1 || count > FM_AUTHORITY_KEYS_MAX)
        return fm_fail(err, FM_INVALID, "a charter has 1 to %u authority keys",
                       FM_AUTHORITY_KEYS_MAX);
    if (charter->threshold < 1 || charter->threshold > count)
        return fm_fail(err, FM_INVALID, "of %u authority keys, %u cannot have to sign", count,
                       charter->threshold);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (fm_public_key_equal(&charter->authority[i], &charter->authority[j]))
                return fm_fail(err, FM_INVALID, "an authority key stands twice in the charter");
        }
    }
    return FM_OK;
}

static enum fm_status check_charter(const struct fm_charter *charter, struct fm_error *err)
{
    if (charter->version < 1)
        return fm_fail(err, FM_INVALID, "a charter's versions start at 1");
    if (!fm_cert_name_valid(charter->name))
        return fm_fail(err, FM_INVALID, "the mesh needs a name of 1 to %u bytes without controls",
                       FM_NAME_MAX);
    if (charter->node_cert_life_max < 1 ||
        charter->node_cert_life_max > FM_NODE_CERT_DAYS_MAX * DAY_SECONDS)
        return fm_fail(err, FM_INVALID, "a node certificate may live at most %u days",
                       FM_NODE_CERT_DAYS_MAX);
    if (charter->principal_cert_life_max < 1 ||
        charter->principal_cert_life_max > (uint64_t)FM_CERT_TIME_MAX)
        return fm_fail(err, FM_INVALID, "principal certificates need a bound on their life");
    if (charter->token_life_max < 1 || charter->token_life_max > TOKEN_DAYS_MAX * DAY_SECONDS)
        return fm_fail(err, FM_INVALID, "a token may live at most %u days", TOKEN_DAYS_MAX);
    if (charter->heartbeat_bound > (uint64_t)FM_CERT_TIME_MAX)
        return fm_fail(err, FM_INVALID, "the heartbeat's bound is too long");
    if (charter->created < 0 || charter->created > FM_CERT_TIME_MAX)
        return fm_fail(err, FM_INVALID, "the charter's time of creation is not a time");
    return check_authority(charter, err);
}

static void encode_charter(struct fm_buf *out, const struct fm_charter *charter)
{
    fm_pack_map(out, charter->version > 1 ? 10 : 9);
    fm_pack_key_uint(out, KEY_VERSION, charter->version);
    fm_pack_key_str(out, KEY_NAME, charter->name);
    fm_pack_uint(out, KEY_AUTHORITY);
    fm_pack_array(out, charter->authority_count);
    for (uint32_t i = 0; i < charter->authority_count; i++)
        fm_pack_bin(out, charter->authority[i].bytes, sizeof charter->authority[i].bytes);
    fm_pack_key_uint(out, KEY_THRESHOLD, charter->threshold);
    fm_pack_key_uint(out, KEY_NODE_LIFE, charter->node_cert_life_max);
    fm_pack_key_uint(out, KEY_PRINCIPAL_LIFE, charter->principal_cert_life_max);
    fm_pack_key_uint(out, KEY_TOKEN_LIFE, charter->token_life_max);
    fm_pack_key_uint(out, KEY_HEARTBEAT, charter->heartbeat_bound);
    fm_pack_key_int(out, KEY_CREATED, charter->created);
    if (charter->version > 1)
        fm_pack_key_bin(out, KEY_MESH, charter->mesh.bytes, sizeof charter->mesh.bytes);
}

static void mesh_id_of(struct fm_span body, struct fm_mesh_id *out)
{
    struct fm_hash hash;

    fm_sha256_one(&hash, body);
    memcpy(out->bytes, hash.bytes, sizeof out->bytes);
}

/* Version 1 names its mesh by what it says; later ones, by the id that they carry. */
enum fm_status fm_charter_seal(struct fm_charter *charter, struct fm_key *const *keys,
                               size_t key_count, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    enum fm_status status = check_charter(charter, NULL);
    if (status != FM_OK)
        return status;
    if (!fm_cert_keys_suffice(charter, keys, key_count))
        return FM_REFUSED;
    encode_charter(&body, charter);
    status = fm_buf_status(&body);
    if (status != FM_OK)
        return status;
    if (charter->version == 1)
        mesh_id_of(fm_buf_span(&body), &charter->mesh);
    return fm_envelope_seal(FM_ENV_CHARTER, &charter->mesh, fm_buf_span(&body), keys, key_count,
                            out);
}

static enum fm_status decode_charter(struct fm_span body, struct fm_charter *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(10));
    fm_read_u32(&reader, KEY_VERSION, UINT32_MAX, &out->version);
    fm_read_text(&reader, KEY_NAME, out->name, sizeof out->name);
    const struct fm_value *keys =
        fm_read_array(&reader, KEY_AUTHORITY, 1, FM_AUTHORITY_KEYS_MAX, &out->authority_count);
    for (uint32_t i = 0; i < out->authority_count; i++)
        fm_reader_note(&reader,
                       fm_value_bin_exact(fm_value_at(keys, i), out->authority[i].bytes, 32));
    fm_read_u32(&reader, KEY_THRESHOLD, FM_AUTHORITY_KEYS_MAX, &out->threshold);
    fm_read_u64(&reader, KEY_NODE_LIFE, INT64_MAX, &out->node_cert_life_max);
    fm_read_u64(&reader, KEY_PRINCIPAL_LIFE, INT64_MAX, &out->principal_cert_life_max);
    fm_read_u64(&reader, KEY_TOKEN_LIFE, INT64_MAX, &out->token_life_max);
    fm_read_u64(&reader, KEY_HEARTBEAT, INT64_MAX, &out->heartbeat_bound);
    fm_read_time(&reader, KEY_CREATED, &out->created);
    if (reader.status == FM_OK && out->version > 1)
        fm_read_exact(&reader, KEY_MESH, out->mesh.bytes, sizeof out->mesh.bytes);
    else
        fm_reader_demand(&reader, !fm_read_has(&reader, KEY_MESH));
    return reader.status;
}

enum fm_status fm_charter_open(struct fm_span bytes, struct fm_charter *out, struct fm_error *err)
{
    struct fm_charter charter = {0};
    struct fm_envelope envelope;

    enum fm_status status = fm_envelope_open(bytes, &envelope);
    if (status != FM_OK)
        return fm_fail(err, status, "charter: not an envelope");
    if (envelope.type != FM_ENV_CHARTER)
        return fm_fail(err, FM_FORGED, "charter: this is a %s",
                       fm_envelope_type_text(envelope.type));
    /* The one body that must be parsed before it is verified: it brings its own keys. */
    status = decode_charter(envelope.body, &charter);
    if (status != FM_OK)
        return fm_fail(err, status, "charter: its fields do not decode");
    if (check_charter(&charter, err) != FM_OK)
        return fm_wrap(err, FM_MALFORMED, "charter");
    if (charter.version > 1)
        return fm_fail(err, FM_UNSUPPORTED,
                       "charter: version %u; this release only knows how to open version 1",
                       charter.version);
    mesh_id_of(envelope.body, &charter.mesh);
    uint32_t count = fm_envelope_count(&envelope, FM_ENV_CHARTER, &charter.mesh, charter.authority,
                                       charter.authority_count);
    if (count < charter.threshold)
        return fm_fail(err, FM_FORGED, "charter: %u of its authority keys signed it, it needs %u",
                       count, charter.threshold);
    *out = charter;
    return FM_OK;
}
