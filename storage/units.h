/* The runs of rows that a table's state is made of, in sequence order: segments and hot values.
 * Every fact is in exactly one; a gap is FM_CORRUPT, so nothing can be left out silently.
 * Threads: one per object. */
#ifndef FM_STORAGE_UNITS_H
#define FM_STORAGE_UNITS_H

#include "storage/internal.h"

struct unit {
    uint64_t first_sequence;
    uint32_t rows;
    const struct segment_value *segment; /* NULL: a hot value. */
    uint32_t hot_bytes;                  /* Of the hot value as stored; 0 for a segment. */
    struct hot_value hot;                /* Views memory of `units` until the next call. */
    /* Of a segment whose rows stand in another order, once they were asked for (order.h): */
    const uint32_t *offsets; /* By row: its sequence less the first. */
    const uint32_t *places;  /* The other way: the row, by its sequence less the first. */
};

/* Which fact is in a row of the unit, and the other way round: nobody else maps one to the other,
 * for rows need not stand in sequence order. Of a segment that has an order of its own, what is
 * needed must have been opened (order.h). */
uint64_t unit_sequence(const struct unit *unit, uint32_t row);
uint32_t unit_row(const struct unit *unit, uint64_t sequence);

struct units {
    const struct table_state *state;
    const struct rocks_snapshot *snapshot; /* May be NULL. */
    uint64_t next;                         /* Sequence. */
    uint32_t segment;
    struct rocks_iterator *hot; /* NULL: not begun. */
    bool hot_ended;
    bool has_hot; /* `hot_key`, `hot_bytes`: the next hot value. */
    uint64_t hot_first;
    struct fm_buf hot_bytes;
};

/* Dropped facts are in no run. `units` is zeroed but for state and snapshot, which must stay; the
 * first run is the one with fact `first`, which is where a run of this state or of an earlier one
 * begins. */
void units_init(struct units *units, const struct table_state *state,
                const struct rocks_snapshot *snapshot, uint64_t first);
/* FM_NOTFOUND: all `tree.size` facts were seen. */
FM_MUST_USE enum fm_status units_next(struct units *units, struct unit *out, struct fm_error *err);
void units_deinit(struct units *units);

/* The unit that holds a fact: a segment, or the last hot value that begins before it, which ends
 * before it only if one is missing. FM_NOTFOUND: there is none. */
struct unit_place {
    uint64_t first_sequence;
    const struct segment_value *segment; /* NULL: a hot value. */
};
FM_MUST_USE enum fm_status unit_place_of(const struct table_state *state,
                                         const struct rocks_snapshot *snapshot, uint64_t sequence,
                                         struct unit_place *out, struct fm_error *err);

/* A hot value's rows, checked: all fields of the schema version that it was written with. */
struct hot_rows {
    struct fm_buf bytes;
    struct fm_batch batch;
    const struct fm_schema *schema;
    uint32_t *field_ids; /* Of the batch's columns. */
};
FM_MUST_USE enum fm_status hot_rows_open(const struct table_state *state, const struct unit *unit,
                                         struct hot_rows *out, struct fm_error *err);
void hot_rows_deinit(struct hot_rows *rows); /* Zeroed is fine. */

#endif
