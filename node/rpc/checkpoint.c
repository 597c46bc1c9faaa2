/* Checkpoints of the node's store, for backups of a running node (storage/checkpoint.h). Where one
 * is made is fixed: nothing in a call names a place. For principals with the role operator. */
#include "storage/checkpoint.h"

#include "client/catalog.h"
#include "node/server.h"

#include <inttypes.h>
#include <stdio.h>

static enum fm_status may_operate(const struct fm_caller *caller, struct fm_span body,
                                  struct fm_error *err)
{
    if (!fm_principal_has_role(&caller->principal, FM_ROLE_OPERATOR, NULL))
        return fm_fail(err, FM_REFUSED,
                       "%s may not back up this node: the certificate needs the role operator",
                       caller->principal.name);
    enum fm_status status = fm_empty_body_decode(body);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "the request does not decode");
}

enum fm_status fm_rpc_checkpoint_make(struct fm_server *server, const struct fm_caller *caller,
                                      struct fm_span body, struct fm_buf *reply,
                                      struct fm_error *err)
{
    struct fm_checkpoint made;
    struct fm_checkpoint_info info;
    char number[24] = "";

    enum fm_status status = may_operate(caller, body, err);
    if (status != FM_OK)
        return status;
    status = fm_store_checkpoint(server->store, &made, err);
    if (status == FM_OK)
        (void)snprintf(number, sizeof number, "%" PRIu64, made.commit); /* Fits. */
    fm_log(&server->log, status == FM_OK ? FM_LOG_INFO : FM_LOG_WARN, "checkpoint", "principal",
           caller->principal.name, "commit", number, "status", fm_status_text(status), NULL);
    if (status != FM_OK)
        return status;
    info = (struct fm_checkpoint_info){.commit = made.commit, .digest = made.digest};
    fm_checkpoint_info_encode(reply, &info);
    return fm_buf_status(reply);
}

enum fm_status fm_rpc_checkpoint_drop(struct fm_server *server, const struct fm_caller *caller,
                                      struct fm_span body, struct fm_buf *reply,
                                      struct fm_error *err)
{
    (void)reply; /* Empty. */
    enum fm_status status = may_operate(caller, body, err);
    return status == FM_OK ? fm_store_drop_checkpoint(server->store, err) : status;
}
