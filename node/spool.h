/* What the fragments of a query brought to its merge, kept for the asker to fetch behind the
 * answer: just the batches that their receipts are for, in order. They are in one file without a
 * name, which goes with the spool; `struct fm_spools` bounds all files of a node together.
 * Threads:   fm_spool_add() from any, for one fragment from one at a time; the rest from one, when
 *            nobody adds.
 * Ownership: fm_spool_free(); the spools outlive each spool. */
#ifndef FM_NODE_SPOOL_H
#define FM_NODE_SPOOL_H

#include "core/bytes.h"
#include "core/limits.h"

#include <stdatomic.h>

struct fm_spools {
    const char *dir;    /* Borrowed; where the files are. */
    uint64_t bytes_max; /* Of one. */
    uint64_t total_max; /* Of all at once. */
    atomic_uint_fast64_t total;
};

struct fm_spool;

/* FM_IO: no file can be made in that folder. */
FM_MUST_USE enum fm_status fm_spool_open(struct fm_spools *spools, struct fm_spool **out,
                                         struct fm_error *err);
void fm_spool_free(struct fm_spool *spool);
FM_DEFINE_FREEP(fm_spool_freep, struct fm_spool, fm_spool_free)

/* Forget what came of a fragment: it is opened anew, or no receipt is for it. The room stays
 * taken. */
void fm_spool_forget(struct fm_spool *spool, uint32_t fragment);
/* FM_LIMIT: past a bound, or the disk is full; the text says which and what to do. */
FM_MUST_USE enum fm_status fm_spool_add(struct fm_spool *spool, uint32_t fragment,
                                        struct fm_span batch, struct fm_error *err);
/* Append the next batch to an empty buffer: those of the first fragment, then of the second, and so
 * on. FM_NOTFOUND: no more. FM_IO. */
FM_MUST_USE enum fm_status fm_spool_next(struct fm_spool *spool, struct fm_buf *batch,
                                         struct fm_error *err);

#endif
