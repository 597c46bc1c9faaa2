/* Of catalog.c: what the catalog's tables tell of, with its object numbers.
 * Ownership: pg_model_deinit() ends what pg_model_read() made. Threads: one per model. */
#ifndef FM_NODE_PG_CATALOG_MODEL_H
#define FM_NODE_PG_CATALOG_MODEL_H

#include "node/views_internal.h"

#define PG_OID_CATALOG 11 /* As in PostgreSQL. */
#define PG_OID_PUBLIC_DATABASE 16383
#define PG_OID_RELATIONS 1259  /* Of pg_class, */
#define PG_OID_TYPES 1247      /* pg_type, */
#define PG_OID_NAMESPACES 2615 /* and pg_namespace themselves. */
#define PG_OID_HEAP 2
#define PG_OID_BTREE 403
#define PG_OID_MESH 10 /* The role that owns what every node has. */

struct pg_namespace {
    const char *name; /* Static, or of a relation's schema. */
    uint32_t oid, owner;
};

struct pg_role {
    char name[FM_NAME_MAX + 1];
    uint32_t oid;
    bool can_login;
};

struct pg_relation {
    struct fm_schema *schema; /* Owned. */
    uint32_t oid, namespace, owner;
    uint32_t index; /* Of its primary key; 0: none. */
    uint32_t constraint;
    bool is_view; /* A view of FM_VIEWS_DOMAIN. */
    bool is_catalog;
};

struct pg_model {
    uint32_t namespace_count, role_count, relation_count, oid_count;
    struct pg_namespace *namespaces;
    struct pg_role *roles;
    struct pg_relation *relations;
    uint32_t *oids; /* Given so far. */
};

/* The catalog's own tables are `count` names, of a domain each. */
struct pg_own_table {
    const char *domain, *table;
};

FM_MUST_USE enum fm_status pg_model_read(struct view_writer *writer, const struct pg_own_table *own,
                                         uint32_t own_count, struct pg_model *out);
void pg_model_deinit(struct pg_model *model);
/* "pg_class" and "north.things": as regclass prints. Append. */
void pg_put_relation_name(struct fm_buf *out, const struct pg_relation *relation);
const char *pg_role_name(const struct pg_model *model, uint32_t oid);

#endif
