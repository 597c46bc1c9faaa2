/* Erasing a data subject where its domain is owned (storage/store.h, fm_store_erase_subject()). Who
 * it was stands neither in the log nor in an error. */
#include "client/catalog.h"
#include "node/server.h"

#include <stdio.h>

static enum fm_status may_erase(struct fm_server *server, const struct fm_caller *caller,
                                const char *domain, struct fm_error *err)
{
    char what[FM_NAME_MAX + 16];

    if (!fm_principal_has_role(&caller->principal, FM_ROLE_OWNER, domain))
        return fm_fail(err, FM_REFUSED,
                       "%s may not erase in domain %s: the certificate needs the role owner:%s",
                       caller->principal.name, domain, domain);
    (void)snprintf(what, sizeof what, "domain %s", domain); /* Fits. */
    return fm_server_owns(server, domain, "erase", what, err);
}

enum fm_status fm_rpc_erase_subject(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    struct fm_erase_ask ask;
    struct fm_erased erased = {0};

    enum fm_status status = fm_erase_ask_decode(body, &ask);
    if (status != FM_OK)
        return fm_fail(err, status, "the request does not decode");
    status = may_erase(server, caller, ask.domain, err);
    if (status != FM_OK)
        return status;
    status = fm_store_erase_subject(server->store, ask.domain, ask.subject, &erased, err);
    fm_log(&server->log, status == FM_OK ? FM_LOG_INFO : FM_LOG_WARN, "subject erased", "domain",
           ask.domain, "principal", caller->principal.name, "status", fm_status_text(status),
           "before", erased.was_erased ? "true" : "false", "files",
           erased.is_gone ? "clean" : "due", NULL);
    if (status != FM_OK)
        return status;
    fm_erase_reply_encode(reply, &(struct fm_erase_reply){
                                     .was_erased = erased.was_erased,
                                     .table_count = erased.table_count,
                                     .is_gone = erased.is_gone,
                                 });
    return fm_buf_status(reply);
}
