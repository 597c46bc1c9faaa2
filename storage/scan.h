/* Inside of a scan, for scan*.c and map.c only.
 *
 * A scan goes through the table's units (units.h). Of a segment, zone maps first rule out blocks;
 * the columns of what is left are taken from the arena, or decoded: whole and into the arena when
 * at least half of the blocks are wanted, else block by block. Runs of blocks of which every row is
 * wanted are copied (slice.h), other rows go one by one through a builder. Sealed columns are
 * opened block by block (scan_sealed.c), and never kept. */
#ifndef FM_STORAGE_SCAN_H
#define FM_STORAGE_SCAN_H

#include "storage/order.h"
#include "storage/subject.h"
#include "storage/unit_headers.h"

struct scan_column {
    uint32_t position; /* In the view's schema; SCAN_STORED: a field of the stored schema only. */
    bool is_header;    /* Of the facts' headers: made by the block (scan_header.c). */
    bool is_sealed;    /* Stored in `_sealed`, and opened from there. */
    const struct fm_field *field;
    const struct table_dictionary *dictionary; /* Owned by the snapshot; may be NULL. */
    /* Of the unit at hand: */
    bool is_absent; /* The unit's schema has no such field: NULL in every row. */
    bool is_opened;
    struct stored_column stored;
    bool is_loaded;
    struct loaded loaded;
    const struct fm_batch *batch; /* Where its rows are, */
    uint32_t column;              /* in this column, */
    uint32_t first;               /* beginning with this row of the unit. */
};

#define SCAN_STORED UINT32_MAX

/* Classified columns of one block, opened. */
struct scan_sealed {
    struct subject_reader *reader; /* NULL: no sealed column is asked for. */
    uint32_t subject;              /* Indexes in the scan's columns of what is needed to open. */
    uint32_t sealed;
    uint32_t commitment;
    const struct fm_schema *schema; /* The contract's, of the unit at hand. */
    uint32_t first;                 /* Rows of the unit that are open: */
    uint32_t rows;                  /* none when 0. */
    struct fm_buf bytes;            /* A secret. */
    struct fm_batch batch;
    uint64_t sequences[FM_BLOCK_ROWS];
};

struct fm_scan {
    struct fm_snapshot *snapshot; /* Retained. */
    struct table_state *state;
    struct table_view view;
    struct fm_predicate_list predicates; /* Copied. */
    uint32_t output_count;
    uint32_t *outputs; /* Index in `columns`, by output column. */
    uint32_t column_count;
    struct scan_column *columns; /* Outputs and fields of predicates, each once. */
    size_t batch_bytes;
    uint64_t rows_left; /* Of the limit. */
    struct visible visible;
    const bool *skip; /* By segment: is read elsewhere. Borrowed; NULL: none. */
    bool *own_skip;
    struct fm_batch_builder *builder;
    struct scan_sealed *sealed; /* NULL: no sealed column is asked for. */
    struct units units;
    bool ended;
    enum fm_status failure; /* FM_OK: none yet. */

    bool has_unit;
    struct unit unit;
    struct hot_rows hot;
    uint32_t row;     /* Next one to look at. */
    uint32_t row_end; /* Of the unit. */
    uint64_t blocks;  /* Bit b: block b may hold wanted rows. */
    bool load_whole;
    bool has_headers; /* Opened, with the order of the rows: */
    struct unit_headers headers;
    struct unit_order order;
    bool is_selected;   /* Not in sequence order, and not all rows count: */
    uint64_t *selected; /* those that do (unit_select()). Owned; kept for the next unit. */
};
_Static_assert(SEGMENT_BLOCKS_MAX <= 64, "one bit a block");

#define SCAN_WORDS (FM_BLOCK_ROWS / 64)

/* As fm_scan_open(), showing what `visible` says; NULL: what options->at says. */
FM_MUST_USE enum fm_status scan_open(struct fm_snapshot *snapshot,
                                     const struct fm_scan_options *options,
                                     const struct visible *visible, struct fm_scan **out,
                                     struct fm_error *err);

/* scan_header.c: rows of one block of a column of the facts' headers, as a one-column batch. */
FM_MUST_USE enum fm_status scan_load_header(struct fm_scan *scan, struct scan_column *column,
                                            uint32_t block, struct fm_error *err);
/* scan_unit.c */
/* Move to the next unit that may hold wanted rows; FM_NOTFOUND after the last. */
FM_MUST_USE enum fm_status scan_next_unit(struct fm_scan *scan, struct fm_error *err);
void scan_leave_unit(struct fm_scan *scan);
/* Make the columns' rows [row, row + count) of the unit available, within one block. */
FM_MUST_USE enum fm_status scan_load(struct fm_scan *scan, uint32_t row, struct fm_error *err);
/* Bits of the wanted rows among [row, row + count), count <= FM_BLOCK_ROWS. */
FM_MUST_USE enum fm_status scan_select(struct fm_scan *scan, uint32_t row, uint32_t count,
                                       uint64_t selection[SCAN_WORDS], struct fm_error *err);

/* scan_sealed.c */
/* Add what is needed when a sealed column is among those that are there. */
FM_MUST_USE enum fm_status scan_sealed_add(struct fm_scan *scan, struct fm_error *err);
void scan_sealed_free(struct scan_sealed *sealed); /* NULL is fine. */
/* At the beginning of a unit: which of its columns are there. */
FM_MUST_USE enum fm_status scan_sealed_unit(struct fm_scan *scan);
/* Open the block of `row`, of which the other columns are loaded. */
FM_MUST_USE enum fm_status scan_sealed_load(struct fm_scan *scan, uint32_t row,
                                            struct fm_error *err);

/* scan.c: the column of a position of the view's schema, added where it is not there yet. */
FM_MUST_USE enum fm_status scan_add_column(struct fm_scan *scan, uint32_t position, uint32_t *out,
                                           struct fm_error *err);

#endif
