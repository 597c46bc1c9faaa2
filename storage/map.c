/* Decoded columns of whole segments, handed out by descriptor and offset. */
#include "storage/blocks.h"
#include "storage/scan.h"
#include "storage/selection.h"

#include "core/assert.h"

#include <stdlib.h>

/* Behind fm_store_mapping.pins. */
struct pins {
    struct arena *arena;
    size_t count;
    size_t capacity;
    struct arena_pin *items;
};

struct mapping {
    struct fm_snapshot *snapshot;
    struct table_view view;
    const struct fm_scan_options *options;
    struct visible visible;
    struct pins *pins;
    struct fm_store_mapping out;
    bool *skip;       /* By segment: mapped, or no row of it can match. */
    uint64_t skipped; /* Facts in those, as far as visible.size. */
};

static void pins_free(struct pins *pins)
{
    if (pins == NULL)
        return;
    for (size_t i = 0; i < pins->count; i++)
        arena_unpin(pins->arena, &pins->items[i]);
    free(pins->items);
    free(pins);
}

static enum fm_status add_pin(struct pins *pins, struct arena_pin *pin)
{
    if (pins->count == pins->capacity) {
        size_t capacity = pins->capacity == 0 ? 64 : pins->capacity * 2;
        struct arena_pin *items = realloc(pins->items, capacity * sizeof *items);

        if (items == NULL)
            return FM_NOMEM;
        pins->items = items;
        pins->capacity = capacity;
    }
    pins->items[pins->count++] = *pin;
    *pin = (struct arena_pin){0};
    return FM_OK;
}

/* Index of a descriptor among those handed out. */
static enum fm_status arena_index(struct fm_store_mapping *out, const struct arena_pin *pin,
                                  uint32_t *index)
{
    int *fds;
    uint64_t *bytes;

    for (uint32_t i = 0; i < out->arena_count; i++) {
        if (out->fds[i] == pin->fd) {
            *index = i;
            return FM_OK;
        }
    }
    fds = realloc(out->fds, (out->arena_count + 1) * sizeof *fds);
    if (fds == NULL)
        return FM_NOMEM;
    out->fds = fds;
    bytes = realloc(out->bytes, (out->arena_count + 1) * sizeof *bytes);
    if (bytes == NULL)
        return FM_NOMEM;
    out->bytes = bytes;
    fds[out->arena_count] = pin->fd;
    bytes[out->arena_count] = pin->file_bytes;
    *index = out->arena_count++;
    return FM_OK;
}

static enum fm_status map_column(struct mapping *mapping, const struct segment_value *segment,
                                 uint32_t position, struct fm_store_mapped_column *out,
                                 struct fm_error *err)
{
    const struct table_state *state = mapping->view.table->state;
    const struct table_dictionary *dictionary = NULL;
    struct loaded loaded = {0};
    enum fm_status status =
        view_dictionary(mapping->snapshot, &mapping->view, position, &dictionary, err);

    if (status == FM_OK)
        status =
            load_column(state, mapping->snapshot->rocks, segment,
                        &mapping->view.schema->fields[position], dictionary, true, &loaded, err);
    if (status != FM_OK)
        return status;
    out->offset = loaded.pin.offset;
    status = arena_index(&mapping->out, &loaded.pin, &out->arena);
    if (status == FM_OK)
        status = add_pin(mapping->pins, &loaded.pin);
    loaded_release(&loaded); /* The pin, unless the mapping has it now. */
    return status;
}

static enum fm_status map_selection(struct mapping *mapping, const struct segment_value *segment,
                                    struct fm_store_mapped_segment *out, struct fm_error *err)
{
    struct arena_pin pin = {0};
    enum fm_status status;

    if (selection_count(segment, &mapping->visible) == segment->rows)
        return FM_OK;
    status = selection_load(mapping->view.table->state, mapping->snapshot->rocks, segment,
                            &mapping->visible, &pin, err);
    if (status != FM_OK)
        return status;
    out->has_selection = true;
    out->selection.offset = pin.offset;
    status = arena_index(&mapping->out, &pin, &out->selection.arena);
    if (status == FM_OK)
        status = add_pin(mapping->pins, &pin);
    arena_unpin(mapping->pins->arena, &pin); /* Unless the mapping has it now. */
    return status;
}

/* FM_LIMIT: no room in the arena; what was pinned for this segment stays pinned until the end. */
static enum fm_status map_segment(struct mapping *mapping, const struct segment_value *segment,
                                  uint64_t left_out, struct fm_error *err)
{
    struct fm_store_mapped_segment *out = &mapping->out.segments[mapping->out.segment_count];
    enum fm_status status;

    *out = (struct fm_store_mapped_segment){.rows = segment->rows, .left_out = left_out};
    out->columns = calloc(mapping->options->field_count, sizeof *out->columns);
    if (out->columns == NULL)
        return FM_NOMEM;
    status = map_selection(mapping, segment, out, err);
    for (uint32_t i = 0; status == FM_OK && i < mapping->options->field_count; i++)
        status = map_column(mapping, segment, mapping->options->fields[i], &out->columns[i], err);
    if (status != FM_OK) {
        free(out->columns);
        out->columns = NULL;
        return status;
    }
    mapping->out.segment_count++;
    return FM_OK;
}

/* Columns of a fact's header are in no segment: a scan makes them. Values of data subjects are
 * opened for each scan and kept nowhere. */
static bool wants_scan(const struct mapping *mapping)
{
    for (uint32_t i = 0; i < mapping->options->field_count; i++) {
        uint32_t position = mapping->options->fields[i];

        if ((mapping->view.is_facts && position < FM_HISTORY_COLUMNS) ||
            subject_seals(mapping->view.schema, position))
            return true;
    }
    return false;
}

/* Does the query need any of it? `*left_out`: not these blocks. */
static enum fm_status rule_out(struct mapping *mapping, const struct segment_value *segment,
                               bool *is_wanted, uint64_t *left_out, struct fm_error *err)
{
    enum fm_status status;

    *is_wanted = !segment->is_dropped && selection_count(segment, &mapping->visible) > 0 &&
                 segment_may_match(segment, mapping->view.schema, mapping->options->predicates);
    if (!*is_wanted)
        return FM_OK;
    status = blocks_ruled_out(mapping->view.table->state, mapping->snapshot->rocks, segment,
                              mapping->view.schema, mapping->options->predicates, left_out, err);
    *is_wanted = status != FM_OK || *left_out != blocks_all(segment->rows);
    return status;
}

static enum fm_status map_segments(struct mapping *mapping, struct fm_error *err)
{
    const struct table_state *state = mapping->view.table->state;
    uint64_t size = mapping->visible.size;
    bool is_full = wants_scan(mapping);

    mapping->out.segments = calloc(state->segment_count + 1u, sizeof *mapping->out.segments);
    mapping->skip = calloc(state->segment_count + 1u, sizeof *mapping->skip);
    if (mapping->out.segments == NULL || mapping->skip == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < state->segment_count; i++) {
        const struct segment_value *segment = state->segments->items[i];
        uint64_t left_out = 0;
        bool is_wanted = true;
        enum fm_status status = FM_OK;

        if (segment->first_sequence >= size)
            break;
        status = rule_out(mapping, segment, &is_wanted, &left_out, err);
        if (status == FM_OK && is_wanted) {
            if (!is_full)
                status = map_segment(mapping, segment, left_out, err);
            is_full = is_full || status == FM_LIMIT;
            if (is_full)
                continue; /* Left to the scan of the rest. */
        }
        if (status != FM_OK)
            return status;
        mapping->skip[i] = true;
        mapping->skipped += size - segment->first_sequence < segment->rows
                                ? size - segment->first_sequence
                                : segment->rows;
    }
    return FM_OK;
}

static enum fm_status scan_rest(struct mapping *mapping, struct fm_error *err)
{
    enum fm_status status;

    if (mapping->skipped == mapping->visible.size)
        return FM_OK;
    status =
        scan_open(mapping->snapshot, mapping->options, &mapping->visible, &mapping->out.rest, err);
    if (status != FM_OK)
        return status;
    mapping->out.rest->own_skip = FM_TAKE(mapping->skip);
    mapping->out.rest->skip = mapping->out.rest->own_skip;
    return FM_OK;
}

static void mapping_deinit(struct mapping *mapping)
{
    fm_store_mapping_deinit(&mapping->out);
    pins_free(mapping->pins);
    visible_deinit(&mapping->visible);
    free(mapping->skip);
}

static enum fm_status check_options(const struct mapping *mapping, struct fm_error *err)
{
    const struct fm_scan_options *options = mapping->options;

    if (mapping->view.table == NULL)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", options->domain,
                       options->table);
    if (options->field_count == 0 || options->field_count > FM_COLUMNS_MAX)
        return fm_fail(err, FM_INVALID, "a mapping has 1 to %u columns", FM_COLUMNS_MAX);
    for (uint32_t i = 0; i < options->field_count; i++) {
        if (options->fields[i] >= mapping->view.schema->field_count)
            return fm_fail(err, FM_INVALID, "the table has no column %u", options->fields[i]);
    }
    return FM_OK;
}

enum fm_status fm_snapshot_map(struct fm_snapshot *snapshot, const struct fm_scan_options *options,
                               struct fm_store_mapping *out, struct fm_error *err)
{
    FM_AUTO(mapping_deinit)
    struct mapping mapping = {
        .snapshot = snapshot,
        .options = options,
    };
    enum fm_status status = snapshot_view(snapshot, options->domain, options->table, &mapping.view);

    if (status == FM_OK || status == FM_NOTFOUND)
        status = check_options(&mapping, err);
    if (status != FM_OK)
        return status;
    mapping.pins = calloc(1, sizeof *mapping.pins);
    if (mapping.pins == NULL)
        return FM_NOMEM;
    mapping.pins->arena = snapshot->store->arena;
    status = visible_at(snapshot, &mapping.view, &options->at, &mapping.visible, err);
    if (status == FM_OK)
        status = map_segments(&mapping, err);
    if (status == FM_OK)
        status = scan_rest(&mapping, err);
    if (status != FM_OK)
        return status;
    mapping.out.pins = FM_TAKE(mapping.pins);
    *out = mapping.out;
    mapping.out = (struct fm_store_mapping){0};
    return FM_OK;
}

void fm_store_mapping_deinit(struct fm_store_mapping *mapping)
{
    fm_scan_free(mapping->rest);
    for (uint32_t i = 0; mapping->segments != NULL && i < mapping->segment_count; i++)
        free(mapping->segments[i].columns);
    free(mapping->segments);
    free(mapping->fds);
    free(mapping->bytes);
    pins_free(mapping->pins);
    *mapping = (struct fm_store_mapping){0};
}
