/* What a worker may ask of the kernel (docs/architecture.md "Workers").
 * Errors: FM_IO with the step that failed; a worker that cannot be locked in does not run. */
#ifndef FM_QUERY_WORKER_SANDBOX_H
#define FM_QUERY_WORKER_SANDBOX_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sandbox; /* The compiled filters, made once in the zygote. */

FM_MUST_USE enum fm_status sandbox_new(struct sandbox **out, struct fm_error *err);

/* Limits of the process: no dumps, no files larger than `spill_bytes`, no processes, data up to
 * what is used now plus `memory_bytes` plus 64 MiB. After all threads were started. */
FM_MUST_USE enum fm_status sandbox_limit(uint64_t memory_bytes, uint64_t spill_bytes,
                                         struct fm_error *err);

enum sandbox_kind {
    SANDBOX_QUERY,  /* No file calls at all. */
    SANDBOX_READS,  /* What reading a descriptor takes. */
    SANDBOX_SPILLS, /* What files of FILES_SPILL take, on descriptors from FILES_SPILL_FIRST up. */
    SANDBOX_KINDS
};

/* Put the filter on all threads; there is no way back. */
FM_MUST_USE enum fm_status sandbox_enter(struct sandbox *sandbox, enum sandbox_kind kind,
                                         struct fm_error *err);

#endif
