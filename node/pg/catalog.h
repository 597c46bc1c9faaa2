/* The catalog that clients of PostgreSQL read: pg_catalog and information_schema, made of what the
 * node's registry knows (node/views.h tells how such tables are read). A domain is a schema, its
 * tables are relations with a primary key's index; object numbers come from a hash of the name, so
 * they are the same at every node and at every time, but for two names of one hash. What a mesh
 * does not have (triggers, functions, ..) is a table without rows. No owner is asked.
 *
 * Beside PostgreSQL's tables there is pg_catalog.fm_text, in which rewritten statements (rewrite.h)
 * look texts up.
 * Threads: any. */
#ifndef FM_NODE_PG_CATALOG_H
#define FM_NODE_PG_CATALOG_H

struct view;

/* NULL: there is none. Static. */
const struct view *pg_catalog_find(const char *domain, const char *table);

#endif
