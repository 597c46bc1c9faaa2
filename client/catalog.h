/* Bodies of the calls about products and members (docs/wire.md, "Catalog calls"): strict msgpack,
 * one encoder and one decoder for both sides.
 *   PRODUCT_PLAN, PRODUCT_APPLY   request {0 yaml (bin)}
 *     reply {0 domain, 1 product, 2 product version, 3 record version, 4 array of [table, schema
 *     version, change], 5 array of difference lines (str)}
 *   PRODUCT_LIST   request {}; reply: array of [domain, product, product version, owner (bin 16),
 *     array of table names]
 *   PRODUCT_SHOW   request {0 domain, 1 name of a table or product, empty: all of the domain};
 *     reply {0 domain, 1 product, 2 product version, 3 owner, 4 array of schema (bin), 5 yaml
 *     (bin)}
 *   CHECKPOINT_MAKE   request {}; reply {0 commit number, 1 its digest (bin 32)}
 *   CHECKPOINT_DROP   request {}; reply empty
 *   ERASE_SUBJECT  request {0 domain, 1 text that names the subject (str)}; reply {0 was erased
 *     before (bool), 1 tables that name subjects, 2 gone from the files too (bool)}
 *   MEMBERS        request {}; reply: array of {0 node id, 1 name, 2 state, 3 address, 4 array of
 *     domains, 5 incarnation, 6 ms in this state, 7 round trip in ms, -1: not measured}
 * Ownership: decoded structs borrow spans from the bytes they were decoded from; lists own their
 * items and end with their deinit. Errors: FM_MALFORMED, FM_LIMIT, FM_NOMEM. */
#ifndef FM_CLIENT_CATALOG_H
#define FM_CLIENT_CATALOG_H

#include "core/records.h"

#define FM_PLAN_LINES_MAX 512u
#define FM_PLAN_LINE_BYTES_MAX 512u
#define FM_PRODUCTS_LISTED_MAX 4096u
#define FM_MEMBERS_LISTED_MAX 4096u
#define FM_ADDRESS_MAX 280u

/* The empty map: the request of PRODUCT_LIST, MEMBERS and of checkpoints. */
void fm_empty_body_encode(struct fm_buf *out);
FM_MUST_USE enum fm_status fm_empty_body_decode(struct fm_span bytes);

void fm_product_request_encode(struct fm_buf *out, struct fm_span yaml);
FM_MUST_USE enum fm_status fm_product_request_decode(struct fm_span bytes, struct fm_span *yaml);

enum fm_table_change { FM_TABLE_NEW = 1, FM_TABLE_CHANGED = 2, FM_TABLE_UNCHANGED = 3 };

struct fm_product_table {
    char table[FM_NAME_MAX + 1];
    uint32_t schema_version;
    enum fm_table_change change;
};

struct fm_product_plan {
    char domain[FM_NAME_MAX + 1];
    char product[FM_NAME_MAX + 1];
    char product_version[FM_NAME_MAX + 1];
    uint64_t record_version; /* The one that apply publishes or published. */
    uint32_t table_count;
    struct fm_product_table tables[FM_TABLES_PER_PRODUCT_MAX];
    uint32_t line_count;
    struct fm_span lines[FM_PLAN_LINES_MAX]; /* Each at most FM_PLAN_LINE_BYTES_MAX. */
};

void fm_product_plan_encode(struct fm_buf *out, const struct fm_product_plan *plan);
FM_MUST_USE enum fm_status fm_product_plan_decode(struct fm_span bytes,
                                                  struct fm_product_plan *out);

struct fm_product_entry {
    char domain[FM_NAME_MAX + 1];
    char product[FM_NAME_MAX + 1];
    char product_version[FM_NAME_MAX + 1];
    struct fm_node_id owner;
    uint32_t table_count;
    struct fm_span tables[FM_TABLES_PER_PRODUCT_MAX];
};

struct fm_product_list {
    uint32_t count;
    struct fm_product_entry *items; /* Owned. */
};

void fm_product_list_encode(struct fm_buf *out, const struct fm_product_list *list);
FM_MUST_USE enum fm_status fm_product_list_decode(struct fm_span bytes,
                                                  struct fm_product_list *out);
void fm_product_list_deinit(struct fm_product_list *list);

struct fm_product_ask {
    char domain[FM_NAME_MAX + 1];
    char name[FM_NAME_MAX + 1]; /* Empty: everything of the domain. */
};

void fm_product_ask_encode(struct fm_buf *out, const struct fm_product_ask *ask);
FM_MUST_USE enum fm_status fm_product_ask_decode(struct fm_span bytes, struct fm_product_ask *out);

struct fm_product_show {
    char domain[FM_NAME_MAX + 1];
    char product[FM_NAME_MAX + 1];
    char product_version[FM_NAME_MAX + 1];
    struct fm_node_id owner;
    uint32_t schema_count;
    struct fm_span schemas[FM_TABLES_PER_PRODUCT_MAX]; /* fm_schema_encode(). */
    struct fm_span yaml;
};

void fm_product_show_encode(struct fm_buf *out, const struct fm_product_show *show);
FM_MUST_USE enum fm_status fm_product_show_decode(struct fm_span bytes,
                                                  struct fm_product_show *out);

struct fm_checkpoint_info {
    uint64_t commit;
    struct fm_hash digest;
};

void fm_checkpoint_info_encode(struct fm_buf *out, const struct fm_checkpoint_info *info);
FM_MUST_USE enum fm_status fm_checkpoint_info_decode(struct fm_span bytes,
                                                     struct fm_checkpoint_info *out);

struct fm_erase_ask {
    char domain[FM_NAME_MAX + 1];
    struct fm_span subject; /* At most FM_SUBJECT_BYTES_MAX. */
};

void fm_erase_ask_encode(struct fm_buf *out, const struct fm_erase_ask *ask);
FM_MUST_USE enum fm_status fm_erase_ask_decode(struct fm_span bytes, struct fm_erase_ask *out);

struct fm_erase_reply {
    bool was_erased; /* By an earlier call. */
    uint32_t table_count;
    bool is_gone; /* The key's bytes, from the node's files. */
};

void fm_erase_reply_encode(struct fm_buf *out, const struct fm_erase_reply *reply);
FM_MUST_USE enum fm_status fm_erase_reply_decode(struct fm_span bytes, struct fm_erase_reply *out);

/* X(NAME, number on the wire, text) */
#define FM_MEMBER_STATE_MAP(X)                                                                     \
    X(ALIVE, 1, "alive")                                                                           \
    X(SUSPECT, 2, "suspect")                                                                       \
    X(DEAD, 3, "dead")                                                                             \
    X(LEFT, 4, "left")

enum fm_member_view {
#define X(name, number, text) FM_VIEW_##name = number,
    FM_MEMBER_STATE_MAP(X)
#undef X
};

const char *fm_member_view_text(enum fm_member_view state);

struct fm_member_info {
    struct fm_node_id node;
    char name[FM_NAME_MAX + 1];
    enum fm_member_view state;
    char address[FM_ADDRESS_MAX];
    uint32_t domain_count;
    struct fm_span domains[FM_DOMAINS_PER_NODE_MAX];
    uint64_t incarnation;
    uint64_t since_ms;
    int64_t round_trip_ms; /* -1: not measured. */
};

struct fm_member_list {
    uint32_t count;
    struct fm_member_info *items; /* Owned. */
};

void fm_member_list_encode(struct fm_buf *out, const struct fm_member_list *list);
FM_MUST_USE enum fm_status fm_member_list_decode(struct fm_span bytes, struct fm_member_list *out);
void fm_member_list_deinit(struct fm_member_list *list);

#endif
