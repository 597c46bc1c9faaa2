/* How the recent queries of each principal at this node went, fragment by fragment: the table
 * mesh.receipts. In memory only and bounded; nobody sees another's.
 * Threads: any; it locks itself. */
#ifndef FM_NODE_RECEIPTS_H
#define FM_NODE_RECEIPTS_H

#include "core/records.h"

struct fm_receipts;

/* Texts are positions in the entry's `text`, where each ends with a NUL. */
struct fm_receipts_fragment {
    uint32_t number;
    size_t domain;
    size_t tables; /* "domain.table", with commas between them. */
    struct fm_node_id node;
    size_t node_name;  /* Empty: not known. */
    const char *rule;  /* Static. */
    const char *state; /* Static. */
    size_t reason;     /* Empty: none. */
    size_t heads;      /* Signed notes, one after another; empty: none. */
    uint64_t rows;
    bool has_receipt; /* What follows is set. */
    uint64_t bytes;
    struct fm_hash root;
};

struct fm_receipts_entry { /* One query. */
    struct fm_public_key principal;
    struct fm_request_id query;
    uint8_t session[FM_HASH_BYTES];
    uint8_t trace[16];
    fm_us time; /* When it ended. */
    struct fm_buf text;
    uint32_t count;
    struct fm_receipts_fragment *fragments; /* Borrowed, as the text is, by who adds. */
};

FM_MUST_USE enum fm_status fm_receipts_new(struct fm_receipts **out);
void fm_receipts_free(struct fm_receipts *receipts); /* NULL is fine. */

/* Copies it. Where bounds are passed (FM_RECEIPTS_*) the oldest of the principal, or of all, go.
 * What cannot be kept for want of memory is not. */
void fm_receipts_add(struct fm_receipts *receipts, const struct fm_receipts_entry *entry);

/* The principal's entries, the latest first, until `each` fails. It must not come back here. */
FM_MUST_USE enum fm_status fm_receipts_each(
    struct fm_receipts *receipts, const struct fm_public_key *principal,
    enum fm_status (*each)(void *context, const struct fm_receipts_entry *entry), void *context);

#endif
