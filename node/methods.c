/* Which handler serves a call, and who may make it. */
#include "node/server.h"

#include "core/asker.h"

static const struct {
    fm_handler handler;
    bool is_signed;
    bool nodes_only;
} methods[] = {
    [FM_METHOD_QUERY_OPEN] = {fm_rpc_query_open, true, false},
    [FM_METHOD_QUERY_FETCH] = {fm_rpc_query_fetch, false, false},
    [FM_METHOD_QUERY_CANCEL] = {fm_rpc_query_cancel, false, false},
    [FM_METHOD_FRAGMENT_OPEN] = {fm_rpc_fragment_open, false, true},
    [FM_METHOD_FRAGMENT_FETCH] = {fm_rpc_fragment_fetch, false, true},
    [FM_METHOD_FRAGMENT_CANCEL] = {fm_rpc_fragment_cancel, false, true},
    [FM_METHOD_APPEND_BEGIN] = {fm_rpc_append_begin, true, false},
    [FM_METHOD_APPEND_ROWS] = {fm_rpc_append_rows, false, false},
    [FM_METHOD_APPEND_COMMIT] = {fm_rpc_append_commit, true, false},
    [FM_METHOD_APPEND_ABORT] = {fm_rpc_append_abort, false, false},
    [FM_METHOD_PRODUCT_APPLY] = {fm_rpc_product_apply, true, false},
    [FM_METHOD_PRODUCT_LIST] = {fm_rpc_product_list, true, false},
    [FM_METHOD_PRODUCT_SHOW] = {fm_rpc_product_show, true, false},
    [FM_METHOD_MEMBERS] = {fm_rpc_members, true, false},
    [FM_METHOD_RECORD_GET] = {fm_rpc_record_get, false, true},
    [FM_METHOD_RECORD_LIST] = {fm_rpc_record_list, false, true},
    [FM_METHOD_PRODUCT_PLAN] = {fm_rpc_product_plan, true, false},
    [FM_METHOD_PRODUCT_STATISTICS] = {fm_rpc_product_statistics, true, false},
    [FM_METHOD_CHECKPOINT_MAKE] = {fm_rpc_checkpoint_make, true, false},
    [FM_METHOD_CHECKPOINT_DROP] = {fm_rpc_checkpoint_drop, true, false},
    [FM_METHOD_ERASE_SUBJECT] = {fm_rpc_erase_subject, true, false},
};

static enum fm_status check_request(struct fm_server *server, struct fm_caller *caller,
                                    enum fm_method method, struct fm_span body,
                                    struct fm_request *request, struct fm_error *err)
{
    struct fm_asker asker = {.charter = &server->identity->charter,
                             .principal = &caller->principal,
                             .principal_cert = caller->cert};
    fm_us now = fm_now_us();

    if (caller->kind != FM_PAYLOAD_PRINCIPAL)
        return fm_fail(err, FM_REFUSED, "only a principal may ask for this");
    enum fm_status status = fm_asker_open(&asker, body, request, err);
    if (status != FM_OK)
        return status;
    if (request->kind != method ||
        memcmp(&request->audience, &server->identity->node.node, sizeof request->audience) != 0 ||
        memcmp(request->session.bytes, caller->session, FM_HASH_BYTES) != 0)
        return fm_fail(err, FM_REFUSED, "the request is for another node, session or method");
    if (request->time < now - FM_CLOCK_SKEW_US || request->time > now + FM_CLOCK_SKEW_US)
        return fm_fail(err, FM_REFUSED,
                       "the request's time is %lld s from this node's: set the clocks",
                       (long long)((request->time - now) / 1000000));
    if (caller->principal.not_after < fm_seconds(now))
        return fm_fail(err, FM_REFUSED, "the certificate of %s has expired",
                       caller->principal.name);
    caller->request = request;
    caller->envelope = body;
    return FM_OK;
}

enum fm_status fm_methods_call(struct fm_server *server, const struct fm_caller *session,
                               const struct fm_call *call, struct fm_buf *reply,
                               struct fm_error *err)
{
    struct fm_caller caller = *session;
    struct fm_request request;
    struct fm_span body = call->body;

    if (call->method == FM_METHOD_PING)
        return FM_OK;
    if ((size_t)call->method >= sizeof methods / sizeof methods[0] ||
        methods[call->method].handler == NULL)
        return fm_fail(err, FM_UNSUPPORTED, "this node does not know method %d", (int)call->method);
    if (methods[call->method].nodes_only && caller.kind != FM_PAYLOAD_NODE)
        return fm_fail(err, FM_REFUSED, "only nodes may ask for this");
    if (methods[call->method].is_signed) {
        enum fm_status status = check_request(server, &caller, call->method, body, &request, err);
        if (status != FM_OK)
            return status;
        body = request.body;
    }
    return methods[call->method].handler(server, &caller, body, reply, err);
}
