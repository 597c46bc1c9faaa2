#include "storage/unit_headers.h"

#include "core/assert.h"

#include <stdlib.h>

/* Numbers of the unit's facts, without a gap: then a span is found by where it begins. */
static bool spans_follow(const struct unit_headers *headers)
{
    uint64_t next = headers->first_sequence;

    for (uint32_t i = 0; i < headers->count; i++) {
        if (headers->spans[i].header.sequence != next)
            return false;
        next += headers->spans[i].rows;
    }
    return next == headers->end;
}

enum fm_status unit_headers_open(const struct table_state *state,
                                 const struct rocks_snapshot *snapshot, const struct unit *unit,
                                 struct unit_headers *out, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    *out = (struct unit_headers){
        .first_sequence = unit->first_sequence,
        .end = unit->first_sequence + unit->rows,
        .count = 1,
    };
    if (unit->segment == NULL) {
        out->hot = (struct segment_span){.rows = unit->rows, .header = unit->hot.header};
        out->spans = &out->hot;
        return FM_OK;
    }
    out->count = unit->segment->span_count;
    status = segment_spans(state, snapshot, unit->segment, &out->loaded, &out->spans, err);
    if (status == FM_OK && !spans_follow(out))
        status = fm_fail(err, FM_CORRUPT,
                         "%s.%s: the headers of the facts from %llu on are damaged; restore the "
                         "folder from a backup",
                         state->table->domain, state->table->name,
                         (unsigned long long)unit->first_sequence);
    if (status != FM_OK)
        unit_headers_close(out);
    return status;
}

void unit_headers_close(struct unit_headers *headers)
{
    free(headers->loaded);
    *headers = (struct unit_headers){0};
}

static bool is_in(const struct segment_span *span, uint64_t sequence)
{
    return sequence >= span->header.sequence && sequence - span->header.sequence < span->rows;
}

const struct fm_fact_header *unit_header(struct unit_headers *headers, uint64_t sequence)
{
    uint32_t low = 0;
    uint32_t high = headers->count - 1; /* The last that may hold it. */

    fm_assert(sequence >= headers->first_sequence && sequence < headers->end);
    if (!is_in(&headers->spans[headers->at], sequence) && headers->at < high &&
        is_in(&headers->spans[headers->at + 1], sequence))
        headers->at++;
    if (is_in(&headers->spans[headers->at], sequence))
        return &headers->spans[headers->at].header;
    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (headers->spans[middle].header.sequence <= sequence)
            low = middle;
        else
            high = middle - 1;
    }
    headers->at = low;
    return &headers->spans[low].header;
}
