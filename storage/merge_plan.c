#include "storage/merge_plan.h"

#include "core/assert.h"
#include "core/limits.h"

struct sum {
    uint32_t count;
    uint32_t longest;
    uint64_t rows;
    uint64_t bytes;
};

static uint64_t bytes_of(const struct segment_value *segment)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < segment->field_count; i++)
        bytes += segment->fields[i].stored_bytes;
    return bytes;
}

static bool is_next(const struct segment_value *before, const struct segment_value *segment)
{
    return before->first_sequence + before->rows == segment->first_sequence &&
           before->schema_version == segment->schema_version;
}

/* Add the segment if all fits into one. */
static bool add(struct sum *sum, const struct segment_value *segment)
{
    uint64_t bytes = bytes_of(segment);

    if (segment->is_dropped || atomic_load(&segment->is_large) ||
        sum->rows + segment->rows > FM_SEGMENT_ROWS || bytes > MERGE_BYTES_MAX ||
        sum->bytes + bytes > MERGE_BYTES_MAX)
        return false;
    sum->count++;
    sum->rows += segment->rows;
    sum->bytes += bytes;
    if (segment->rows > sum->longest)
        sum->longest = segment->rows;
    return true;
}

/* The longest run worth it that begins here; 0: none. */
static uint32_t run_from(struct segment_value *const *segments, uint32_t left, bool eager)
{
    struct sum sum = {0};
    uint32_t best = 0;

    while (sum.count < left && sum.count < MERGE_INPUTS_MAX) {
        uint32_t i = sum.count;

        if ((i > 0 && !is_next(segments[i - 1], segments[i])) || !add(&sum, segments[i])) {
            /* No more will ever fit behind it. */
            if (best == 0 && i >= 2 && sum.rows >= 2 * (uint64_t)sum.longest)
                best = i;
            break;
        }
        if (sum.count >= 2 && (eager || sum.rows >= 4 * (uint64_t)sum.longest))
            best = sum.count;
    }
    return best;
}

bool merge_plan(struct segment_value *const *segments, uint32_t count, uint32_t from, bool eager,
                struct merge_run *out)
{
    for (uint32_t i = from; i < count; i++) {
        uint32_t run = run_from(segments + i, count - i, eager);

        if (run == 0)
            continue;
        fm_assert(run >= 2);
        *out = (struct merge_run){i, run};
        return true;
    }
    return false;
}
