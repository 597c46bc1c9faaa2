/* Stores in folders of their own, a small table and its rows, for the tests of storage/.
 * Everything fails the test at once. */
#ifndef FM_TESTS_SUPPORT_STORE_SUPPORT_H
#define FM_TESTS_SUPPORT_STORE_SUPPORT_H

#include "storage/store.h"
#include "tests/support/random_value.h"

#define STORE_DIR_MAX 96u

/* Make an empty folder; `out` is "<it>/data", which does not exist yet. */
void store_dir_make(char out[STORE_DIR_MAX]);
/* Remove the folder that store_dir_make() made and everything in it. */
void store_dir_remove(const char *dir);
/* Copy a folder or file with all it holds; remove one. */
void store_copy(const char *from, const char *to);
void store_remove(const char *path);

/* Options of the tests' mesh and node. */
struct fm_store_options store_options(const char *dir);
struct fm_store *store_open_good(const char *dir);

/* The table "tests.rows": id int64 (1), name varchar (2), value int32 (3), score double (4), mood
 * enum('good','bad','odd') (5). Version 2 has `extra` varchar (6) before them and lacks `score`. */
enum { ROWS_KEYED = 1, ROWS_CLUSTERED = 2, ROWS_SECRET = 4, ROWS_V2 = 8 };
struct fm_schema *rows_schema(unsigned flags); /* Free with fm_schema_free(). */

struct row {
    int64_t id;
    char name[16]; /* "": NULL. */
    int32_t value; /* INT32_MIN: NULL. */
    double score;  /* Below 0: NULL. */
    uint8_t mood;  /* 0 good, 1 bad, 2 odd, 3 NULL. */
};
/* Row number i of a sequence that repeats names and values. */
struct row row_make(uint64_t i);
struct row row_random(struct random *random, uint32_t id_bound);

/* What a row has in the columns behind the schema's fields (core/history.h). */
struct row_event {
    enum fm_operation operation; /* 0: NULL. */
    bool has_time;
    bool has_superseded;
    fm_us time;
    uint64_t superseded;
};
/* What is left of a row that takes its key's row back. */
struct row row_retract(int64_t id);

/* Append a batch of the rows, as the schema has it, to an empty buffer. */
void rows_batch(const struct fm_schema *schema, const struct row *rows, uint32_t count, bool encode,
                struct fm_buf *out);
/* One append of all rows in pieces; the outcome of the first call that fails. */
enum fm_status rows_append_with(struct fm_store *store, const struct fm_schema *schema,
                                const struct row *rows, size_t count,
                                const struct fm_append_options *options, struct fm_appended *out,
                                struct fm_error *err);
/* The same with options->extras, an event a row. */
enum fm_status rows_append_events(struct fm_store *store, const struct fm_schema *schema,
                                  const struct row *rows, const struct row_event *events,
                                  size_t count, const struct fm_append_options *options,
                                  struct fm_appended *out, struct fm_error *err);
void rows_append(struct fm_store *store, const struct fm_schema *schema, const struct row *rows,
                 size_t count, struct fm_appended *out);

/* What a scan of all five columns of version 1 gives, in order. Every batch is checked like a
 * stranger's, with the dictionaries of fm_snapshot_columns(). */
struct row_list {
    size_t count;
    size_t capacity;
    size_t batches;
    struct row *rows; /* Owned. */
};
void row_list_free(struct row_list *list);
enum fm_status rows_scan(struct fm_snapshot *snapshot, const struct fm_scan_options *extra,
                         struct row_list *out, struct fm_error *err);
/* The same with a scan that is there already. */
enum fm_status rows_drain(struct fm_snapshot *snapshot, struct fm_scan *scan, struct row_list *out,
                          struct fm_error *err);
/* All rows of the latest state. */
void rows_read(struct fm_store *store, struct row_list *out);
/* The latest row with this id, by the key index, and its fact's sequence. */
enum fm_status row_get(struct fm_snapshot *snapshot, int64_t id, struct row *out,
                       uint64_t *sequence, struct fm_error *err);
void rows_assert_equal(const struct row *a, const struct row *b, size_t count);
struct fm_table_info rows_info(struct fm_store *store); /* Free its schema. */
/* Decode rows of a one-column-per-field set of batches into `out` (mappings). */
void rows_decode(const struct fm_batch *const batches[5], const uint32_t columns[5],
                 const struct fm_dictionary *const dictionaries[5], uint32_t row, struct row *out);

/* Rows that the mapped segments show. */
uint64_t mapping_rows(const struct fm_store_mapping *mapping);

/* Before a child is killed that tells through the pipe what it stored: up to a quarter of a second,
 * every other time from the moment that it told something, however long a busy machine takes. */
void store_let_work(struct random *random, int pipe_fd);

#endif
