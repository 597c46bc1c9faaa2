/* A saved answer (docs/wire.md, "Answer file"), written and read as a stream:
 *   8 bytes "FMANSW1\n"
 *   per batch: u32 length (1..FM_BATCH_BYTES_MAX), the batch as it came
 *   u32 0
 *   u32 length of the bundle (1..FM_DOC_BYTES_MAX), the bundle
 *   per batch of the fragments, where the bundle has their columns: u32 length, the batch
 * and nothing behind it; how many batches the fragments have is in their receipts. The batches'
 * hashes are under signatures, so that a changed byte anywhere is noticed: here, by
 * fm_verify_answer() or by fm_fragments_take().
 * Threads: one per object. Ownership: _open() and _free(). */
#ifndef FM_CLIENT_ANSWER_FILE_H
#define FM_CLIENT_ANSWER_FILE_H

#include "core/bytes.h"

#define FM_ANSWER_MAGIC "FMANSW1\n"
#define FM_ANSWER_MAGIC_BYTES 8u

struct fm_answer_writer;

/* Writes beside `path`; the file gets its name when it is whole. FM_IO. */
FM_MUST_USE enum fm_status fm_answer_writer_open(const char *path, struct fm_answer_writer **out,
                                                 struct fm_error *err);
FM_MUST_USE enum fm_status fm_answer_writer_batch(struct fm_answer_writer *writer,
                                                  struct fm_span batch, struct fm_error *err);
/* Behind the last batch. */
FM_MUST_USE enum fm_status fm_answer_writer_bundle(struct fm_answer_writer *writer,
                                                   struct fm_span bundle, struct fm_error *err);
/* Behind the bundle: the next batch of the fragments. */
FM_MUST_USE enum fm_status fm_answer_writer_fragment(struct fm_answer_writer *writer,
                                                     struct fm_span batch, struct fm_error *err);
/* The end: sync, rename. */
FM_MUST_USE enum fm_status fm_answer_writer_finish(struct fm_answer_writer *writer,
                                                   struct fm_error *err);
/* Without finish nothing is left behind. */
void fm_answer_writer_free(struct fm_answer_writer *writer);
FM_DEFINE_FREEP(fm_answer_writer_freep, struct fm_answer_writer, fm_answer_writer_free)

struct fm_answer_reader;

/* FM_NOTFOUND, FM_IO; FM_INVALID: another kind of file; FM_MALFORMED: damaged from the start. */
FM_MUST_USE enum fm_status fm_answer_reader_open(const char *path, struct fm_answer_reader **out,
                                                 struct fm_error *err);
/* The same from a descriptor, which the reader then owns. `name` stands in messages. */
FM_MUST_USE enum fm_status fm_answer_reader_from(int fd, const char *name,
                                                 struct fm_answer_reader **out,
                                                 struct fm_error *err);
/* Append the next batch to an empty buffer (so that it is aligned). FM_NOTFOUND: no more. */
FM_MUST_USE enum fm_status fm_answer_reader_batch(struct fm_answer_reader *reader,
                                                  struct fm_buf *batch, struct fm_error *err);
/* After the last batch: the bundle. */
FM_MUST_USE enum fm_status fm_answer_reader_bundle(struct fm_answer_reader *reader,
                                                   struct fm_buf *bundle, struct fm_error *err);
/* Behind the bundle, to an empty buffer: the next batch of the fragments. FM_MALFORMED: none is
 * there. */
FM_MUST_USE enum fm_status fm_answer_reader_fragment(struct fm_answer_reader *reader,
                                                     struct fm_buf *batch, struct fm_error *err);
/* FM_MALFORMED: something is behind what was read. */
FM_MUST_USE enum fm_status fm_answer_reader_end(struct fm_answer_reader *reader,
                                                struct fm_error *err);
/* Where the next batch of the fragments is, for going back to it. */
uint64_t fm_answer_reader_tell(const struct fm_answer_reader *reader);
FM_MUST_USE enum fm_status fm_answer_reader_seek(struct fm_answer_reader *reader, uint64_t offset,
                                                 struct fm_error *err);
/* Back to the first batch. */
FM_MUST_USE enum fm_status fm_answer_reader_rewind(struct fm_answer_reader *reader,
                                                   struct fm_error *err);
void fm_answer_reader_free(struct fm_answer_reader *reader);
FM_DEFINE_FREEP(fm_answer_reader_freep, struct fm_answer_reader, fm_answer_reader_free)

#endif
