/* What a worker may ask of the kernel (docs/architecture.md "Workers").
 * Errors: FM_IO with the step that failed; a worker that cannot be locked in does not run. */
#ifndef FM_QUERY_WORKER_SANDBOX_H
#define FM_QUERY_WORKER_SANDBOX_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

struct sandbox; /* The compiled filters, made once in the zygote. */

FM_MUST_USE enum fm_status sandbox_new(struct sandbox **out, struct fm_error *err);

/* Limits of the process: no dumps, no files, no processes, data up to what is used now plus
 * `memory_bytes` plus 64 MiB. After all threads were started. */
FM_MUST_USE enum fm_status sandbox_limit(uint64_t memory_bytes, struct fm_error *err);

/* Put the filter on all threads; there is no way back. `reads`: also what reading a descriptor
 * takes. */
FM_MUST_USE enum fm_status sandbox_enter(struct sandbox *sandbox, bool reads, struct fm_error *err);

#endif
