/* A table's schema as compiled from its contract. Names and positions may change between versions,
 * field ids never: stored facts name fields by id.
 * Threads: immutable once built. Ownership: fm_schema_free() ends what decode/builder made. */
#ifndef FM_CORE_SCHEMA_H
#define FM_CORE_SCHEMA_H

#include "core/limits.h"
#include "core/types.h"

enum fm_classification {
    FM_CLASS_OPEN = 0,         /* public, internal, or not named in the contract. */
    FM_CLASS_CONFIDENTIAL = 1, /* In the leaf like open fields; for policies to come. */
    FM_CLASS_PERSONAL = 2,     /* Only in the salted commitment of a fact's leaf. */
    FM_CLASS_SECRET = 3,       /* The same. */
};

/* Ids that no contract gives: of columns that the system makes (fm_schema_check() refuses them). A
 * fact's header as columns: what an append may bring beside the schema's fields, and what the whole
 * history of a table shows before them. */
#define FM_FIELD_SYSTEM_MIN 0xF0000000u
#define FM_FIELD_SEQ (FM_FIELD_SYSTEM_MIN + 0u)         /* uint64 */
#define FM_FIELD_RECORDED_AT (FM_FIELD_SYSTEM_MIN + 1u) /* timestamptz */
#define FM_FIELD_EVENT_TIME (FM_FIELD_SYSTEM_MIN + 2u)  /* timestamptz, NULL: none */
#define FM_FIELD_OP (FM_FIELD_SYSTEM_MIN + 3u)          /* the operation's name */
#define FM_FIELD_SUPERSEDES (FM_FIELD_SYSTEM_MIN + 4u)  /* uint64, NULL: none */
/* Fields of a stored schema in place of those that are classified. */
#define FM_FIELD_SEALED (FM_FIELD_SYSTEM_MIN + 16u)     /* blob */
#define FM_FIELD_COMMITMENT (FM_FIELD_SYSTEM_MIN + 17u) /* blob */

struct fm_field {
    uint32_t id;                /* >= 1, unique in the table for ever. */
    char name[FM_NAME_MAX + 1]; /* UTF-8, not empty. */
    struct fm_type type;
    bool required; /* NULL is refused. */
    uint8_t classification;
    char *description; /* Owned, may be NULL. */
};

struct fm_schema {
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    uint32_t version; /* Of the schema, >= 1. */
    uint32_t field_count;
    struct fm_field *fields;         /* In the contract's order. */
    uint32_t key_count;              /* 0: no primary key. */
    uint16_t key[FM_KEY_FIELDS_MAX]; /* Positions in `fields`, in key order; all are required. */
    uint32_t cluster_count;
    uint16_t cluster[FM_KEY_FIELDS_MAX]; /* Clustering key: positions in `fields`. */
    bool has_subject;                    /* Classified fields are encrypted for whom */
    uint16_t subject;                    /* this field (its position) names. */
    uint32_t retention_days; /* Facts may go this long after they were recorded; 0: never. */
    char *description;       /* Owned, may be NULL. */
};

/* The domain whose tables every node has for itself (node/views.h); nobody else's name. */
#define FM_VIEWS_DOMAIN "mesh"
/* The same for clients of PostgreSQL only: its catalog. */
#define FM_CATALOG_DOMAIN "pg_catalog"
#define FM_INFORMATION_DOMAIN "information_schema"
/* Is it one of the three? */
bool fm_domain_is_own(const char *name);

/* The domain's name is [a-z][a-z0-9_]{0,62} and not reserved (design.md section 2). */
bool fm_domain_name_valid(const char *name);
/* A table name: the same form, no reserved words. */
bool fm_table_name_valid(const char *name);

/* Personal or secret: only in the commitment of a fact's leaf. */
bool fm_field_is_classified(const struct fm_field *field);

/* Check all rules of the structs above (names, unique ids and names, no system ids; key fields
 * exist, are required, are not nested and not floating; clustering fields exist and are not
 * nested). The subject is a required varchar, uuid or integer and open; with it some field is
 * classified, but none of the primary or the clustering key. Facts are kept for at most
 * FM_RETENTION_DAYS_MAX days, or for ever. FM_INVALID says which field and why. */
FM_MUST_USE enum fm_status fm_schema_check(const struct fm_schema *schema, struct fm_error *err);

/* One strict msgpack document (docs/wire.md, "Schema"). Decoding checks everything that
 * fm_schema_check() does. */
void fm_schema_encode(struct fm_buf *out, const struct fm_schema *schema);
FM_MUST_USE enum fm_status fm_schema_decode(struct fm_span bytes, struct fm_schema **out,
                                            struct fm_error *err);
FM_MUST_USE enum fm_status fm_schema_copy(const struct fm_schema *schema, struct fm_schema **out);
void fm_schema_free(struct fm_schema *schema);
FM_DEFINE_FREEP(fm_schema_freep, struct fm_schema, fm_schema_free)

/* SHA-256 of the encoded form: what receipts name. */
void fm_schema_hash(const struct fm_schema *schema, uint8_t out[32]);

/* Position of the field with this name (exact, or if none is, the only one that is equal without
 * regard to ASCII case), FM_NOTFOUND. */
FM_MUST_USE enum fm_status fm_schema_find(const struct fm_schema *schema, struct fm_span name,
                                          uint32_t *out);

#endif
