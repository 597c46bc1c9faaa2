/* Data subjects: rows whose classified fields are stored encrypted under a key of their subject
 * (core/subject.h has the cryptography, docs/storage.md, "Erasure", the bytes).
 *
 * A table whose contract names the subject's field has a *stored* schema beside the contract's: the
 * classified fields leave, `_sealed` and `_commitment` come. Everything below an append's numbering
 * of rows and a scan's columns knows the stored schema only: hot values, segments, sealing, leaves.
 *
 * Keys are in the family `subjects`, under the hash of domain and subject. They are read as they
 * are now, never at a snapshot: what was erased is erased for readers of the past too. A new key is
 * written before the rows that need it, in the same log, so a row that is there has its key there;
 * one whose rows never come is of no harm. An erasure has the append locks of all tables of the
 * domain that name subjects, so nobody is between asking for a key and committing with it.
 * Threads: one per object; the store's keys are guarded by `subject_lock`. */
#ifndef FM_STORAGE_SUBJECT_H
#define FM_STORAGE_SUBJECT_H

#include "core/batch.h"
#include "core/subject.h"
#include "storage/internal.h"

/* The schema that rows of a schema with a subject are stored with. */
FM_MUST_USE enum fm_status subject_stored_schema(const struct fm_schema *schema,
                                                 struct fm_schema **out);
/* Is the field at this position stored sealed? */
bool subject_seals(const struct fm_schema *schema, uint32_t position);
/* Its column among those of subject_reader_open(), or -1: this version has no such field. */
int64_t subject_opened_column(const struct fm_schema *schema, uint32_t field_id);

/* ---- Keys ------------------------------------------------------------------------------------ */

/* Keys of subjects in one table, about `count` recent ones kept. */
struct subject_keys;
#define SUBJECT_KEYS_MANY 4096u

FM_MUST_USE enum fm_status subject_keys_new(struct table *table, uint32_t count,
                                            struct subject_keys **out);
void subject_keys_free(struct subject_keys *keys); /* Wipes. NULL is fine. */
FM_DEFINE_FREEP(subject_keys_freep, struct subject_keys, subject_keys_free)

/* Those of the subject with this text, borrowed until the next call. FM_REFUSED: they were erased.
 * FM_NOTFOUND: there are none. */
FM_MUST_USE enum fm_status subject_keys_find(struct subject_keys *keys, struct fm_span text,
                                             const struct fm_subject_keys **out,
                                             struct fm_error *err);
/* The same; a new subject gets keys. */
FM_MUST_USE enum fm_status subject_keys_make(struct subject_keys *keys, struct fm_span text,
                                             const struct fm_subject_keys **out,
                                             struct fm_error *err);

/* ---- Rows ------------------------------------------------------------------------------------ */

/* Makes stored rows of rows that have their sequences. */
struct subject_writer;

/* Batches have `extra_count` more columns behind those of the schema, which stay as they are. */
FM_MUST_USE enum fm_status subject_writer_new(struct table *table, const struct fm_schema *schema,
                                              const struct fm_type *const *extras,
                                              uint32_t extra_count, struct subject_writer **out);
void subject_writer_free(struct subject_writer *writer); /* NULL is fine. */

/* `batch` has all columns of the schema; its first row has the sequence `first`. The stored rows
 * are in `*out` until the next call. FM_REFUSED: a row of a subject that was erased. */
FM_MUST_USE enum fm_status subject_writer_rows(struct subject_writer *writer,
                                               const struct fm_batch *batch, uint64_t first,
                                               struct fm_batch *out, struct fm_error *err);

/* Opens classified fields of stored rows. */
struct subject_reader;

/* A column of some rows: row i is row `first` + i of column `column` of `batch`. */
struct subject_column {
    const struct fm_batch *batch;
    const struct fm_dictionary *dictionary; /* Where the batch's codes need one. */
    uint32_t column;
    uint32_t first;
};
struct subject_rows {
    const struct fm_schema *schema; /* The contract's, of the version that they were stored with. */
    uint32_t count;
    const uint64_t *sequences; /* `count` of them. */
    struct subject_column subject;
    struct subject_column sealed;
    struct subject_column commitment;
};

/* `keys`: how many subjects' keys are kept. */
FM_MUST_USE enum fm_status subject_reader_new(struct table *table, uint32_t keys,
                                              struct subject_reader **out);
void subject_reader_free(struct subject_reader *reader); /* NULL is fine. */
FM_DEFINE_FREEP(subject_reader_freep, struct subject_reader, subject_reader_free)

/* One column for each classified field of rows->schema, in its order, appended to `bytes` (empty):
 * NULL for subjects that were erased. FM_CORRUPT: what is stored does not open. */
FM_MUST_USE enum fm_status subject_reader_open(struct subject_reader *reader,
                                               const struct subject_rows *rows,
                                               struct fm_buf *bytes, struct fm_batch *out,
                                               struct fm_error *err);

/* ---- Erasure --------------------------------------------------------------------------------- */

/* erase.c: remove destroyed keys from the store's files, if that is still due; `*done`: it is not
 * any more. */
FM_MUST_USE enum fm_status subjects_purge(struct fm_store *store, bool *done, struct fm_error *err);

#endif
