/* Contracts: a data product in the Open Data Contract Standard (ODCS) v3.1, compiled to schemas.
 * docs/contracts.md says which parts are compiled and how types are mapped; all else in the file
 * is left alone. The YAML itself is published as it was received.
 * Ownership: a compiled contract owns everything in it; fm_compiled_contract_deinit().
 * Threads: pure functions. */
#ifndef FM_NODE_CONTRACT_H
#define FM_NODE_CONTRACT_H

#include "client/catalog.h"
#include "core/schema.h"

struct fm_contract_line {
    uint32_t at; /* Place in `text`. */
    uint32_t len;
};

struct fm_compiled_contract {
    char domain[FM_NAME_MAX + 1];
    char product[FM_NAME_MAX + 1];
    char version[FM_NAME_MAX + 1];                       /* The product's, as written. */
    uint32_t table_count;                                /* 1..FM_TABLES_PER_PRODUCT_MAX. */
    struct fm_schema *tables[FM_TABLES_PER_PRODUCT_MAX]; /* Owned; in the file's order. */
    enum fm_table_change changes[FM_TABLES_PER_PRODUCT_MAX];
    /* What differs from the published tables, one sentence each, naming table and column and
     * ending in "(compatible)" or "(breaking: why)". */
    uint32_t line_count; /* <= FM_PLAN_LINES_MAX; the last one says when there were more. */
    struct fm_contract_line lines[FM_PLAN_LINES_MAX];
    struct fm_buf text;
    uint32_t breaking_count;
};

/* Compile `yaml` (shown as `name` in messages) against `existing`, the published schemas of the
 * same domain and product (count 0: none). Field ids and schema versions follow from them.
 * FM_INVALID: not YAML, not a contract, as "name:line:column: what, what was expected".
 * FM_CONFLICT: a change that published facts do not allow (type or id of a column, primary key, a
 * column or table left out). FM_LIMIT: larger than FM_CONTRACT_BYTES_MAX, or too large with its
 * schemas for one message. */
FM_MUST_USE enum fm_status fm_contract_compile(struct fm_span yaml, const char *name,
                                               const struct fm_schema *const *existing,
                                               uint32_t existing_count,
                                               struct fm_compiled_contract *out,
                                               struct fm_error *err);
void fm_compiled_contract_deinit(struct fm_compiled_contract *contract); /* A zeroed one is fine. */

/* Domain and product only, to find the published schemas before compiling. Same errors. */
FM_MUST_USE enum fm_status fm_contract_peek(struct fm_span yaml, const char *name,
                                            char domain[FM_NAME_MAX + 1],
                                            char product[FM_NAME_MAX + 1], struct fm_error *err);

static inline struct fm_span fm_contract_line(const struct fm_compiled_contract *contract,
                                              uint32_t i)
{
    return fm_span(contract->text.data + contract->lines[i].at, contract->lines[i].len);
}

#endif
