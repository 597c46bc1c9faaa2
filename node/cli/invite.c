#include "node/cli/invite.h"

#include "core/reader.h"

static const struct fm_mesh_id no_mesh;

enum fm_status fm_node_request_seal(const struct fm_node_request *request, struct fm_key *sign_key,
                                    struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(4096);

    fm_pack_map(&body, 5);
    fm_pack_key_bin(&body, 0, request->node.bytes, sizeof request->node.bytes);
    fm_pack_key_bin(&body, 1, request->sign_key.bytes, sizeof request->sign_key.bytes);
    fm_pack_key_bin(&body, 2, request->session_key.bytes, sizeof request->session_key.bytes);
    fm_pack_key_bin(&body, 3, request->log_key.bytes, sizeof request->log_key.bytes);
    fm_pack_key_str(&body, 4, request->name);
    enum fm_status status = fm_buf_status(&body);
    if (status != FM_OK)
        return status;
    return fm_envelope_seal(FM_ENV_NODE_REQUEST, &no_mesh, fm_buf_span(&body), &sign_key, 1, out);
}

enum fm_status fm_node_request_open(struct fm_span bytes, struct fm_node_request *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_envelope envelope;

    enum fm_status status = fm_envelope_open(bytes, &envelope);
    if (status == FM_OK && envelope.type != FM_ENV_NODE_REQUEST)
        status = FM_MALFORMED; /* Another document, not a forged one. */
    if (status == FM_OK)
        status = fm_envelope_verify(&envelope, FM_ENV_NODE_REQUEST, &no_mesh,
                                    &envelope.signatures[0].key);
    if (status == FM_OK)
        status = fm_doc_parse(envelope.body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(5));
    fm_read_exact(&reader, 0, out->node.bytes, sizeof out->node.bytes);
    fm_read_exact(&reader, 1, out->sign_key.bytes, sizeof out->sign_key.bytes);
    fm_read_exact(&reader, 2, out->session_key.bytes, sizeof out->session_key.bytes);
    fm_read_exact(&reader, 3, out->log_key.bytes, sizeof out->log_key.bytes);
    fm_read_text(&reader, 4, out->name, sizeof out->name);
    if (reader.status == FM_OK && !fm_public_key_equal(&out->sign_key, &envelope.signatures[0].key))
        return FM_FORGED;
    return reader.status;
}

void fm_invite_encode(struct fm_buf *out, const struct fm_invite *invite)
{
    fm_pack_map(out, 4);
    fm_pack_key_bin(out, 0, invite->charter.data, invite->charter.len);
    fm_pack_key_bin(out, 1, invite->cert.data, invite->cert.len);
    fm_pack_key_bin(out, 2, invite->gossip.data, invite->gossip.len);
    fm_pack_uint(out, 3);
    fm_pack_array(out, invite->seed_count);
    for (uint32_t i = 0; i < invite->seed_count; i++)
        fm_pack_str_span(out, invite->seeds[i]);
}

enum fm_status fm_invite_decode(struct fm_span bytes, struct fm_invite *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(4));
    fm_read_bin(&reader, 0, FM_ENVELOPE_BYTES_MAX, &out->charter);
    fm_read_bin(&reader, 1, FM_ENVELOPE_BYTES_MAX, &out->cert);
    fm_read_bin(&reader, 2, 1024, &out->gossip);
    const struct fm_value *seeds = fm_read_array(&reader, 3, 0, FM_SEEDS_MAX, &out->seed_count);
    for (uint32_t i = 0; i < out->seed_count; i++)
        fm_reader_note(&reader, fm_value_str(fm_value_at(seeds, i), 300, &out->seeds[i]));
    return reader.status;
}
