/* The inside of a batch builder, shared by its files. Not for others.
 *
 * A column keeps its rows in the cheapest form that they came in and settles the encoding when the
 * batch is finished:
 *   FIXED    values in memory form
 *   RUNS     integers: runs of values or of codes with a base and a step, as slices of FOR vectors
 *            bring them. Runs that agree pass through unchanged; others meet in common codes.
 *   CODES    texts as u16 codes into a table of distinct texts; too many make it TEXT
 *   TEXT     offsets and text
 *   OUTSIDE  codes into the caller's dictionary
 *   NESTED   offsets of lists and maps; structs have children only
 * Every put is all or nothing: on failure the column is cut back to the rows it had. */
#ifndef FM_CORE_BATCH_BUILD_H
#define FM_CORE_BATCH_BUILD_H

#include "core/kernels.h"

enum fm_store {
    FM_STORE_FIXED,
    FM_STORE_RUNS,
    FM_STORE_CODES,
    FM_STORE_TEXT,
    FM_STORE_OUTSIDE,
    FM_STORE_NESTED,
};

/* Rows of a FOR-able column in one form. */
struct fm_run {
    uint64_t base;
    uint64_t step; /* Of codes; 0 where there is but one value. */
    uint32_t rows;
    uint32_t at;        /* In the column's data. */
    uint8_t code_width; /* 0: every row is `base`. */
    bool is_plain;      /* Values in memory form; base and step are not used. */
    bool is_null;       /* No row has a value. */
};

/* Distinct texts in the order they came, by hash. */
struct fm_text_table {
    struct fm_buf text;
    struct fm_buf offsets; /* u32, count + 1. */
    struct fm_buf hashes;  /* u32, count. */
    uint32_t count;
    uint32_t slot_count; /* A power of two. */
    uint32_t *slots;     /* Owned: entry + 1, 0 when free. */
};

struct fm_column {
    const struct fm_type *type; /* Borrowed from the builder; of a map's entries: the map's. */
    enum fm_kind kind;
    uint8_t precision;
    uint8_t scale;
    uint32_t width; /* In memory; 0 for texts and nested ones. */
    enum fm_store store;
    bool encode;
    bool below_list; /* Then never CONSTANT (core/batch.h). */
    bool is_unsigned;
    uint32_t rows;
    uint32_t null_count;
    struct fm_buf validity; /* u64 words; empty before the first null. */
    struct fm_buf data;     /* Values or codes. */
    struct fm_buf offsets;  /* u32, rows + 1; empty without rows. */
    struct fm_buf text;
    struct fm_buf runs; /* struct fm_run. */

    /* RUNS: what is known of all values put so far. */
    bool has_value;
    bool has_plain;
    uint64_t min_key;
    uint64_t max_key;
    uint64_t origin; /* The first base. */
    uint64_t step;   /* Divides every code run's values less `origin`. */

    struct fm_text_table table; /* CODES. */
    struct fm_buf source_texts; /* CODES, OUTSIDE: the last foreign dictionary... */
    struct fm_buf source_codes; /* ...and its codes in ours: u32, FM_CODE_NONE if not known. */
    const struct fm_dictionary *outside;
    uint32_t code_width; /* OUTSIDE. */
    struct fm_enum_index labels;

    uint32_t child_count;
    struct fm_column *children; /* Owned. */
};

#define FM_CODE_NONE UINT32_MAX

struct fm_batch_builder {
    uint32_t column_count;
    uint32_t vector_count;
    struct fm_type *types; /* Owned. */
    struct fm_column *columns;
    struct fm_column **order; /* Owned: all columns as the directory has them, breadth first. */
    uint16_t *first_child;    /* Owned: per vector, 0 when it has none. */
    size_t bytes;             /* At most what finish() appends. */
};

/* batch_emit.c: write one column's sections behind `start` of `out` and fill its entry. */
FM_MUST_USE enum fm_status fm_column_emit(struct fm_column *column, struct fm_buf *out,
                                          size_t start, struct fm_vector_entry *entry);
/* Append a section of `len` bytes, padded with zeros to 8, for the caller to fill before the next
 * write; NULL on failure. */
uint8_t *fm_emit_section(struct fm_buf *out, size_t start, size_t len, uint32_t *at);
/* batch_emit_runs.c, batch_emit_text.c */
FM_MUST_USE enum fm_status fm_emit_runs(struct fm_column *column, struct fm_buf *out, size_t start,
                                        struct fm_vector_entry *entry);
FM_MUST_USE enum fm_status fm_emit_codes(struct fm_column *column, struct fm_buf *out, size_t start,
                                         struct fm_vector_entry *entry);

/* A slice of somebody's vector. */
struct fm_slice {
    const struct fm_batch *batch;
    const struct fm_vector_entry *vector;
    const struct fm_dictionary *dictionary;
    uint32_t first;
    uint32_t count;
    const uint64_t *selection; /* NULL: all. */
    uint32_t selected;         /* Rows of it. */
};

/* batch_column.c: what all stores share. */
enum fm_store fm_column_first_store(const struct fm_column *column);
void fm_column_clear(struct fm_column *column);
void fm_column_deinit(struct fm_column *column);
void fm_column_truncate(struct fm_column *column, uint32_t rows);
size_t fm_column_bound(const struct fm_column *column);
/* Count `rows` more; `valid` has their bits, NULL when none is null. The last step of a put. */
FM_MUST_USE enum fm_status fm_column_add_rows(struct fm_column *column, const uint64_t *valid,
                                              uint32_t rows);
FM_MUST_USE enum fm_status fm_column_add_slice(struct fm_column *column,
                                               const struct fm_slice *slice);
FM_MUST_USE enum fm_status fm_column_put_null(struct fm_column *column);
FM_MUST_USE enum fm_status fm_column_put_slice(struct fm_column *column,
                                               const struct fm_slice *slice);
static inline struct fm_run *fm_column_run(const struct fm_column *column, size_t i)
{
    return (struct fm_run *)(void *)column->runs.data + i;
}
static inline size_t fm_column_run_count(const struct fm_column *column)
{
    return column->runs.len / sizeof(struct fm_run);
}
static inline uint32_t fm_run_width(const struct fm_column *column, const struct fm_run *run)
{
    return run->is_plain ? column->width : run->code_width;
}
static inline uint32_t fm_column_offset(const struct fm_column *column, uint32_t row)
{
    return column->offsets.len == 0 ? 0 : fm_load32(column->offsets.data + (size_t)row * 4);
}
/* Append where row `rows` ends. */
FM_MUST_USE enum fm_status fm_column_put_offset(struct fm_column *column, uint32_t end);

/* batch_fixed.c: FIXED and RUNS. */
FM_MUST_USE enum fm_status fm_fixed_put(struct fm_column *column, const void *values,
                                        const uint64_t *validity, uint32_t count);
FM_MUST_USE enum fm_status fm_fixed_put_null(struct fm_column *column);
FM_MUST_USE enum fm_status fm_fixed_put_slice(struct fm_column *column,
                                              const struct fm_slice *slice);
/* The code width for keys of that range and step, 0 when codes would not be smaller. */
uint32_t fm_for_width(uint64_t range, uint64_t step, uint32_t width);
/* All runs are codes with one base, step and width. */
bool fm_runs_agree(const struct fm_column *column);

/* batch_text.c: CODES, TEXT and OUTSIDE. */
FM_MUST_USE enum fm_status fm_text_put(struct fm_column *column, struct fm_span value);
FM_MUST_USE enum fm_status fm_text_put_null(struct fm_column *column);
FM_MUST_USE enum fm_status fm_text_put_slice(struct fm_column *column,
                                             const struct fm_slice *slice);

/* text_table.c */
void fm_text_table_clear(struct fm_text_table *table);
void fm_text_table_deinit(struct fm_text_table *table);
/* Entry of `value` or FM_CODE_NONE. */
uint32_t fm_text_table_find(const struct fm_text_table *table, struct fm_span value);
/* FM_LIMIT: the table is full, or its hashes have been made to collide. */
FM_MUST_USE enum fm_status fm_text_table_add(struct fm_text_table *table, struct fm_span value,
                                             uint32_t *code);
struct fm_span fm_text_table_at(const struct fm_text_table *table, uint32_t code);

/* batch_nested.c */
FM_MUST_USE enum fm_status fm_nested_put_null(struct fm_column *column);
FM_MUST_USE enum fm_status fm_nested_put_slice(struct fm_column *column,
                                               const struct fm_slice *slice);
FM_MUST_USE enum fm_status fm_column_put_canonical(struct fm_column *column,
                                                   struct fm_cursor *cursor);

#endif
