/* The tables of the domain FM_VIEWS_DOMAIN, which every node has for itself: what it knows, and
 * what it did for who asks. Their rows are made in its memory when a query begins, are nobody's
 * facts, have no past and no receipt: the answer lists them as the asked node's own word.
 *
 * Clients of PostgreSQL have its catalog beside, made in the same way (node/pg/catalog.c).
 *
 * A new view is one row of `views` in views.c: its columns, and a function that puts its rows.
 * Threads: any. */
#ifndef FM_NODE_VIEWS_H
#define FM_NODE_VIEWS_H

#include "core/hash.h"
#include "core/rows.h"
#include "core/schema.h"
#include "node/kept.h"

struct fm_server;

/* For whom rows are made. */
struct fm_view_asker {
    struct fm_public_key principal;
    const char *name;
    const uint8_t *session; /* Its hash, FM_HASH_BYTES; NULL: none. */
};

/* The schema of a view, to be freed. FM_NOTFOUND: there is none of this name. */
FM_MUST_USE enum fm_status fm_view_schema(const char *domain, const char *table,
                                          struct fm_schema **out);

/* The name of a view of FM_VIEWS_DOMAIN by number, from 0; NULL behind the last. Static. */
const char *fm_view_name(uint32_t number);

/* What an answer says of a view's rows. */
struct fm_view_rows {
    uint64_t rows;
    struct fm_hash root; /* Over the leaf hashes of the batches. */
};

/* Put the rows of a view, of these columns (rising positions) only, into a zeroed `kept`.
 * FM_LIMIT: more than FM_VIEW_BYTES_MAX. */
FM_MUST_USE enum fm_status fm_view_read(struct fm_server *server, const struct fm_view_asker *asker,
                                        const char *domain, const char *table,
                                        const uint32_t *fields, uint32_t field_count,
                                        struct fm_kept *kept, struct fm_view_rows *out,
                                        struct fm_error *err);

#endif
