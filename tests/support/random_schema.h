/* Random tables of several domains with random rows, as contracts for nodes and as SQL for one
 * DuckDB: every type of core/types.h, NULLs, duplicates, empty tables, several appends, keys with
 * corrections and retractions, classified columns. The same seed makes the same.
 *
 * Columns of one name are of one family, so that joins by name mean something. In DuckDB the facts
 * are in hist.<domain>_<table> with _seq, _op and _supersedes before the table's columns,
 * <domain>.<table> has the latest rows, <domain>."<table>@<n>" those after the first n facts.
 * Threads: one. What cannot be is asserted. */
#ifndef FM_TESTS_SUPPORT_RANDOM_SCHEMA_H
#define FM_TESTS_SUPPORT_RANDOM_SCHEMA_H

#include "core/types.h"
#include "tests/support/random_value.h"

#define WORLD_DOMAINS 3u
#define WORLD_TABLES_EACH 3u
#define WORLD_TABLES (WORLD_DOMAINS * WORLD_TABLES_EACH)
#define WORLD_COLUMNS_MAX 40u
#define WORLD_TYPES 31u
#define WORLD_APPENDS_MAX 4u

/* What can be compared and computed with each other. */
enum family {
    FAMILY_INTEGER,
    FAMILY_TEXT,
    FAMILY_BOOLEAN,
    FAMILY_DECIMAL,
    FAMILY_FLOAT,
    FAMILY_DATE,
    FAMILY_TIMESTAMP,
    FAMILY_COMPARED, /* The first with other types: only with columns of the same name. */
};

struct world_column {
    char name[32];
    uint32_t type; /* Index for world_type_text(). */
    uint32_t family;
    bool is_key;
    bool is_required;
    bool is_classified;
    bool is_wild; /* Has the ends of its type. */
};

struct world_table {
    uint32_t domain;
    char name[32];
    uint32_t column_count;
    struct world_column columns[WORLD_COLUMNS_MAX];
    uint32_t key_count; /* The first columns. */
    uint32_t append_count;
    uint32_t sizes[WORLD_APPENDS_MAX]; /* Facts after each append. */
    bool has_operations[WORLD_APPENDS_MAX];
};

struct world {
    uint32_t number; /* Part of the names: several worlds fit one mesh. */
    struct world_table tables[WORLD_TABLES];
};

extern const char *const world_domains[WORLD_DOMAINS];

/* Make the schemas of a world. */
void world_make(struct world *world, uint64_t seed, uint32_t number);
/* A world in which one table of each domain has a column of each type, called c0, c1, .. behind k:
 * few rows in the first two domains, where k is the key, many in the last, where it is none. The
 * other tables are empty. */
void world_make_types(struct world *world, uint32_t number);
/* Core's text of a column's type. */
const char *world_type_text(uint32_t type);
/* Some value of a family as SQL, no NULL. */
const char *world_literal(uint32_t family, uint32_t choice);
/* Of a type. */
const char *world_value(uint32_t type, uint32_t choice);
/* The contract of a domain's tables. */
void world_contract(const struct world *world, uint32_t domain, struct fm_buf *out);
/* Statements for DuckDB that make and fill hist.<domain>_<table>, then the latest rows and those of
 * each prefix. */
void world_sql(const struct world *world, uint64_t seed, uint32_t table, struct fm_buf *out);
/* A name as SQL writes it. */
void world_quote(struct fm_buf *out, const char *name);

#endif
