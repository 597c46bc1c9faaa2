/* Calls that only the node of a domain answers. */
#include "node/server.h"

enum fm_status fm_server_owns(struct fm_server *server, const char *domain, const char *verb,
                              const char *what, struct fm_error *err)
{
    struct fm_node_id owner;
    struct fm_node_cert cert;
    char address[280] = "unknown";

    if (fm_node_cert_domain(&server->identity->node, domain) != NULL)
        return FM_OK;
    if (fm_registry_owner(server->registry, domain, &owner) != FM_OK)
        return fm_fail(err, FM_NOTFOUND, "%s does not exist or is not visible to you", what);
    bool known = fm_registry_cert(server->registry, &owner, &cert, NULL) == FM_OK &&
                 fm_membership_address(server->membership, &owner, address) == FM_OK;
    return fm_fail(err, FM_INVALID,
                   "this node does not own domain %s: %s at its node %s, address %s", domain, verb,
                   known ? cert.name : "(unknown)", address);
}
