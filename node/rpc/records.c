/* Between nodes: records of the catalog by key, and lists of them to compare; members for
 * principals.
 *   RECORD_GET    body {0 kind, 1 writer (bin 16), 2 name (bin 16)}; reply {0 body (bin)}
 *   RECORD_LIST   body {0 records from, 1 members from}; reply {0 array of [kind, writer, name,
 *                 version, hash, bytes], 1 array of MEMBER envelopes (bin), 2 records in all, 3
 *                 members in all} */
#include "node/rpc/records.h"

#include "core/codec.h"
#include "node/server.h"

enum fm_status fm_rpc_members(struct fm_server *server, const struct fm_caller *caller,
                              struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    (void)caller; /* Every principal may see who is in the mesh. */
    enum fm_status status = fm_empty_body_decode(body);
    if (status != FM_OK)
        return fm_fail(err, status, "the request does not decode");
    return fm_membership_list(server->membership, reply);
}

void fm_record_key_encode(struct fm_buf *out, const struct gossip_record_key *key)
{
    fm_pack_map(out, 3);
    fm_pack_key_uint(out, 0, (uint64_t)key->kind);
    fm_pack_key_bin(out, 1, key->writer.bytes, sizeof key->writer.bytes);
    fm_pack_key_bin(out, 2, key->name, sizeof key->name);
}

static enum fm_status key_decode(struct fm_span bytes, struct gossip_record_key *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    uint32_t kind;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    const struct fm_value *root = fm_doc_root(doc);
    status = fm_map_check(root, 0x7);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(root, 0), 255, &kind);
    if (status == FM_OK)
        status =
            fm_value_bin_exact(fm_map_get(root, 1), out->writer.bytes, sizeof out->writer.bytes);
    if (status == FM_OK)
        status = fm_value_bin_exact(fm_map_get(root, 2), out->name, sizeof out->name);
    if (status == FM_OK)
        out->kind = (enum gossip_record_kind)kind;
    return status;
}

enum fm_status fm_rpc_record_get(struct fm_server *server, const struct fm_caller *caller,
                                 struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf record = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    struct gossip_record_key key;

    (void)caller; /* A node: the dispatcher saw to it. */
    enum fm_status status = key_decode(body, &key);
    if (status == FM_OK)
        status = fm_registry_body(server->registry, &key, &record);
    if (status != FM_OK)
        return fm_fail(err, status, "no such record here");
    fm_pack_map(reply, 1);
    fm_pack_key_bin(reply, 0, record.data, record.len);
    return fm_buf_status(reply);
}

/* ---- Lists ----------------------------------------------------------------------------------- */

struct listing {
    uint32_t from;
    uint32_t seen;
    uint32_t put;
    struct fm_buf *out; /* NULL: only count. */
};

static enum fm_status list_one(void *context, const struct gossip_record *record)
{
    struct listing *listing = context;

    if (listing->seen++ < listing->from || listing->put >= FM_RECORDS_LISTED_MAX)
        return FM_OK;
    listing->put++;
    if (listing->out == NULL)
        return FM_OK;
    fm_pack_array(listing->out, 6);
    fm_pack_uint(listing->out, (uint64_t)record->key.kind);
    fm_pack_bin(listing->out, record->key.writer.bytes, sizeof record->key.writer.bytes);
    fm_pack_bin(listing->out, record->key.name, sizeof record->key.name);
    fm_pack_uint(listing->out, record->version);
    fm_pack_bin(listing->out, record->hash.bytes, sizeof record->hash.bytes);
    fm_pack_uint(listing->out, record->bytes);
    return FM_OK;
}

static enum fm_status from_decode(struct fm_span bytes, uint32_t *records, uint32_t *members)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status == FM_OK)
        status = fm_map_check(fm_doc_root(doc), 0x3);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(fm_doc_root(doc), 0), UINT32_MAX, records);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(fm_doc_root(doc), 1), UINT32_MAX, members);
    return status;
}

enum fm_status fm_rpc_record_list(struct fm_server *server, const struct fm_caller *caller,
                                  struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf records = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf members = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    uint32_t record_from, member_from, member_put = 0, member_all = 0;

    (void)caller; /* A node: the dispatcher saw to it. */
    enum fm_status status = from_decode(body, &record_from, &member_from);
    if (status != FM_OK)
        return fm_fail(err, status, "the request does not decode");
    struct listing listing = {.from = record_from, .out = &records};
    status = fm_registry_each(server->registry, list_one, &listing);
    if (status == FM_OK)
        status = fm_membership_envelopes(server->membership, member_from, FM_MEMBERS_PER_LIST_MAX,
                                         &members, &member_put, &member_all);
    if (status != FM_OK)
        return status;
    fm_pack_map(reply, 4);
    fm_pack_uint(reply, 0);
    fm_pack_array(reply, listing.put);
    fm_buf_put_span(reply, fm_buf_span(&records));
    fm_pack_uint(reply, 1);
    fm_pack_array(reply, member_put);
    fm_buf_put_span(reply, fm_buf_span(&members));
    fm_pack_key_uint(reply, 2, listing.seen);
    fm_pack_key_uint(reply, 3, member_all);
    return fm_buf_status(reply);
}
