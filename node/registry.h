/* What a node knows of the mesh beyond who is alive: certificates of nodes, contracts of domains
 * and statistics of their tables, verified once, with the envelopes as received so that they can be
 * passed on. Backed by the store's records, so that a restarted node knows what it knew.
 * Threads: any; the registry locks itself. Ownership: outputs are copies unless said otherwise. */
#ifndef FM_NODE_REGISTRY_H
#define FM_NODE_REGISTRY_H

#include "client/catalog.h"
#include "client/identity.h"
#include "core/schema.h"
#include "core/statistics.h"
#include "gossip/gossip.h"
#include "storage/store.h"

struct fm_registry;

/* Loads what the store holds; records that do not verify any more (expired) are left out. */
FM_MUST_USE enum fm_status fm_registry_new(const struct fm_identity *self, struct fm_store *store,
                                           struct fm_registry **out, struct fm_error *err);
void fm_registry_free(struct fm_registry *registry);
FM_DEFINE_FREEP(fm_registry_freep, struct fm_registry, fm_registry_free)

/* Verify a record's body (an envelope) of this kind, keep it and store it; what gossip must know
 * of it goes to `out`. An older or equal version that is known is FM_OK and changes nothing
 * (`*is_new` false); the same version with other content is FM_CONFLICT; FM_NOTFOUND: a record
 * whose writer's certificate is not known yet; FM_FORGED. */
FM_MUST_USE enum fm_status fm_registry_put(struct fm_registry *registry,
                                           enum gossip_record_kind kind, struct fm_span body,
                                           struct gossip_record *out, bool *is_new,
                                           struct fm_error *err);
const char *fm_registry_kind_text(enum gossip_record_kind kind);
/* A record's body by key, appended to `out`. FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_registry_body(struct fm_registry *registry,
                                            const struct gossip_record_key *key,
                                            struct fm_buf *out);
/* Rises with each change of what is known: `catalog` for certificates and contracts, `statistics`
 * for those. Equal numbers, equal answers. */
struct fm_registry_version {
    uint64_t catalog;
    uint64_t statistics;
};
struct fm_registry_version fm_registry_version(struct fm_registry *registry);

/* All records, in a stable order, until `each` fails. It must not call the registry. */
FM_MUST_USE enum fm_status fm_registry_each(
    struct fm_registry *registry,
    enum fm_status (*each)(void *context, const struct gossip_record *record), void *context);

/* FM_NOTFOUND when unknown or not valid now. `envelope` (may be NULL) gets it as received. */
FM_MUST_USE enum fm_status fm_registry_cert(struct fm_registry *registry,
                                            const struct fm_node_id *node, struct fm_node_cert *out,
                                            struct fm_buf *envelope);
/* The same by signing key. */
FM_MUST_USE enum fm_status fm_registry_cert_by_key(struct fm_registry *registry,
                                                   const struct fm_public_key *key,
                                                   struct fm_node_cert *out);
/* The node that writes a domain now: of the highest epoch. */
FM_MUST_USE enum fm_status fm_registry_owner(struct fm_registry *registry, const char *domain,
                                             struct fm_node_id *out);
/* The schema of a table, or of its history by the name `table$facts` (core/history.h), and its
 * owner. The caller frees the schema. FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_registry_table(struct fm_registry *registry, const char *domain,
                                             const char *table, struct fm_schema **schema,
                                             struct fm_node_id *owner);

/* What the owner said of a table last: estimates (core/statistics.h). Free it with
 * fm_statistics_deinit(). FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_registry_statistics(struct fm_registry *registry, const char *domain,
                                                  const char *table, const struct fm_node_id *owner,
                                                  struct fm_statistics *out);

/* Products by (domain, name of a product or of one of its tables; empty name: any of the domain):
 * the contract's envelope as received. FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_registry_contract(struct fm_registry *registry, const char *domain,
                                                const char *name, struct fm_buf *envelope,
                                                struct fm_node_id *owner);
/* Appends the encoded list of products (client/catalog.h). */
FM_MUST_USE enum fm_status fm_registry_products(struct fm_registry *registry, struct fm_buf *out);

#endif
