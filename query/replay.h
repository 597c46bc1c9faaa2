/* Doing the merge of an answer again, from its plan (fm_plan_print() with slots) and what the
 * fragments brought. The plan is a stranger's: its statement passes the same gate as everybody's,
 * with fm_scan(n) in place of tables, before a worker runs it.
 * Threads: one per object. Ownership: fm_replay_deinit(). */
#ifndef FM_QUERY_REPLAY_H
#define FM_QUERY_REPLAY_H

#include "query/engine.h"

#define FM_REPLAY_KEYS_MAX 16u

struct fm_replay_slot {
    struct fm_columns columns; /* Of the slot's table. Owned, with the types. */
    uint32_t supplied_count;
    uint32_t *supplied; /* Owned; positions in `columns`. */
};

struct fm_replay {
    bool is_merge; /* Else there is nothing to do again, and nothing below. */
    bool streams;
    uint32_t slot_count; /* <= FM_QUERY_TABLES_MAX. */
    struct fm_replay_slot *slots;
    struct fm_buf sql;
};

/* How far the statement says which rows it gives, and in which order. */
struct fm_replay_form {
    /* Some of it rests on an order of rows that nothing says: window functions, first(), list() and
     * their like, a LIMIT that is not the whole statement's or without an ORDER BY that is seen. */
    bool is_open;
    bool has_limit; /* Of the whole statement, with an order: so many rows, */
    uint64_t limit; /* and the statement that was checked asks for one more. */
    bool is_ordered;
    uint32_t key_count; /* By these columns of its rows. Not ordered: none. */
    uint32_t keys[FM_REPLAY_KEYS_MAX];
};

/* FM_MALFORMED: not a plan, or one without slots; the text says what. */
FM_MUST_USE enum fm_status fm_replay_read(struct fm_span plan, struct fm_replay *out,
                                          struct fm_error *err);
void fm_replay_deinit(struct fm_replay *replay); /* A zeroed one is fine. */

/* Let the statement pass the gate; its rows are said to have `columns`. To tell whether rows with
 * equal keys were left out, a LIMIT of the whole statement becomes one more in replay->sql.
 * FM_INVALID: it does not pass; FM_UNSUPPORTED: it asks random() or the time of day, so that it
 * gives other rows each time. */
FM_MUST_USE enum fm_status fm_replay_check(struct fm_worker *worker, struct fm_replay *replay,
                                           const struct fm_columns *columns,
                                           struct fm_replay_form *form, struct fm_error *err);

#endif
