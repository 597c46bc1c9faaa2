#include "node/fragment.h"
#include "core/codec.h"
#include "node/server.h"

/* FRAGMENT_OPEN: map {0 ticket (bin), 1 the principal's certificate (bin), 32 how long it may wait
 * for a place in ms (uint; absent: not at all)}. */
enum fm_status fm_rpc_fragment_open(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_fragment_ask ask = {.asker = &caller->node, .session = caller->session};
    uint32_t wait_ms = 0;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status == FM_OK)
        status = fm_map_check(fm_doc_root(doc), 0x3);
    if (status == FM_OK)
        status = fm_value_bin(fm_map_get(fm_doc_root(doc), 0), FM_PAYLOAD_BYTES_MAX, &ask.ticket);
    if (status == FM_OK)
        status = fm_value_bin(fm_map_get(fm_doc_root(doc), 1), FM_PAYLOAD_BYTES_MAX,
                              &ask.principal_cert);
    if (status == FM_OK && fm_map_get(fm_doc_root(doc), 32) != NULL)
        status = fm_value_u32(fm_map_get(fm_doc_root(doc), 32), FM_QUERY_MS_MAX, &wait_ms);
    if (status != FM_OK)
        return fm_fail(err, status, "the opening of a fragment does not decode");
    ask.wait_ms = wait_ms;
    status = fm_fragment_open(server, &ask, reply, err);
    if (status != FM_OK)
        fm_counters_end(&server->counters.fragments, status, 0, 0);
    return status;
}
