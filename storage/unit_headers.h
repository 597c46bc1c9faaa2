/* The headers of a unit's facts: that of a hot value, or a segment's spans.
 * Threads: one per object. */
#ifndef FM_STORAGE_UNIT_HEADERS_H
#define FM_STORAGE_UNIT_HEADERS_H

#include "storage/reading.h"

struct unit_headers {
    uint64_t first_sequence;
    uint64_t end;
    uint32_t count;
    const struct segment_span *spans; /* The segment's, `loaded` or `hot`. */
    struct segment_span *loaded;      /* Owned. */
    struct segment_span hot;
    uint32_t at; /* Span of the last answer. */
};

/* `out` must stay where it is; the segment too. `snapshot` may be NULL. */
FM_MUST_USE enum fm_status unit_headers_open(const struct table_state *state,
                                             const struct rocks_snapshot *snapshot,
                                             const struct unit *unit, struct unit_headers *out,
                                             struct fm_error *err);
void unit_headers_close(struct unit_headers *headers); /* Zeroed is fine. */
/* The header of a fact of the unit, but for its sequence: it is that of the first fact of the
 * span. */
const struct fm_fact_header *unit_header(struct unit_headers *headers, uint64_t sequence);

#endif
