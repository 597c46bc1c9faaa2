/* The past of a table: how long it was, and which rows counted then. */
#include "storage/key_index.h"
#include "storage/order.h"
#include "storage/unit_headers.h"

#include "core/assert.h"

#include <stdlib.h>

#define CANDIDATES_MAX (8u << 20) /* Superseded rows looked at; 32 bytes each. */

/* Rows of a segment up to a recorded time. */
static enum fm_status rows_until(struct fm_snapshot *snapshot, const struct table_state *state,
                                 const struct segment_value *segment, fm_us time, uint32_t *rows,
                                 struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct segment_span *loaded = NULL;
    const struct segment_span *spans = NULL;
    enum fm_status status;

    *rows = 0;
    if (segment->spans == NULL && segment->first_recorded_at > time)
        return FM_OK;
    if (segment->spans == NULL && segment->last_recorded_at <= time) {
        *rows = segment->rows;
        return FM_OK;
    }
    status = segment_spans(state, snapshot->rocks, segment, &loaded, &spans, err);
    for (uint32_t i = 0;
         status == FM_OK && i < segment->span_count && spans[i].header.recorded_at <= time; i++)
        *rows += spans[i].rows;
    return status;
}

/* Facts up to a recorded time. Times rise with sequences, so the first later one ends them. */
static enum fm_status size_at_time(struct fm_snapshot *snapshot, const struct table_state *state,
                                   fm_us time, uint64_t *size, struct fm_error *err)
{
    struct units units;
    struct unit unit;
    enum fm_status status = FM_OK;
    bool is_later = false;
    uint32_t rows = 0;

    *size = state->dropped;
    units_init(&units, state, snapshot->rocks, 0);
    while (status == FM_OK && !is_later) {
        status = units_next(&units, &unit, err);
        if (status != FM_OK)
            break;
        if (unit.segment == NULL) {
            is_later = unit.hot.header.recorded_at > time;
            *size += is_later ? 0 : unit.rows;
            continue;
        }
        status = rows_until(snapshot, state, unit.segment, time, &rows, err);
        is_later = rows < unit.segment->rows;
        *size += rows;
    }
    units_deinit(&units);
    return status == FM_NOTFOUND ? FM_OK : status;
}

enum fm_status resolve_at(struct fm_snapshot *snapshot, const struct table_state *state,
                          const struct fm_at *at, uint64_t *size, struct fm_error *err)
{
    switch (at->kind) {
    case FM_AT_LATEST:
        *size = state->tree.size;
        return FM_OK;
    case FM_AT_VERSION:
        if (at->value < 0 || (uint64_t)at->value > state->tree.size)
            return fm_fail(err, FM_INVALID, "%s.%s has versions 0 to %llu, not %lld",
                           state->table->domain, state->table->name,
                           (unsigned long long)state->tree.size, (long long)at->value);
        *size = (uint64_t)at->value;
        return FM_OK;
    case FM_AT_TIMESTAMP:
        if (at->value >= state->recorded_at) {
            *size = state->tree.size;
            return FM_OK;
        }
        return size_at_time(snapshot, state, at->value, size, err);
    }
    return fm_fail(err, FM_INVALID, "unknown kind of time travel");
}

enum fm_status fm_snapshot_size_at(struct fm_snapshot *snapshot, const char *domain,
                                   const char *table, const struct fm_at *at, uint64_t *size,
                                   struct fm_error *err)
{
    const struct snapshot_table *found = snapshot_find(snapshot, domain, table);

    if (found == NULL)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, table);
    return resolve_at(snapshot, found->state, at, size, err);
}

/* ---- Superseded then ------------------------------------------------------------------------- */

/* A row that is superseded now, but whose key's latest row was not there yet: of each key, the last
 * one was the latest then. */
struct candidate {
    uint8_t key[16]; /* SHA-256 of the key's canonical bytes, cut. */
    uint64_t sequence;
    bool is_retract; /* Then it was the latest, but not to be seen. */
};

struct looking {
    struct fm_snapshot *snapshot;
    const struct table_state *state;
    uint64_t size;
    struct superseded_edit *edit;
    struct candidate *candidates;
    uint32_t count;
    uint32_t capacity;
    struct fm_buf key;
};

static enum fm_status add_candidate(struct looking *looking, uint64_t sequence, bool is_retract,
                                    struct fm_error *err)
{
    struct candidate *candidate;
    struct fm_hash hash;

    if (looking->count == CANDIDATES_MAX)
        return fm_fail(err, FM_LIMIT,
                       "%s.%s changed too much since then to be shown as of that "
                       "time",
                       looking->state->table->domain, looking->state->table->name);
    if (looking->count == looking->capacity) {
        uint32_t capacity = looking->capacity == 0 ? 256 : looking->capacity * 2;
        struct candidate *candidates = realloc(looking->candidates, capacity * sizeof *candidates);

        if (candidates == NULL)
            return FM_NOMEM;
        looking->candidates = candidates;
        looking->capacity = capacity;
    }
    fm_sha256_one(&hash, fm_buf_span(&looking->key));
    candidate = &looking->candidates[looking->count++];
    memcpy(candidate->key, hash.bytes, sizeof candidate->key);
    candidate->sequence = sequence;
    candidate->is_retract = is_retract;
    return FM_OK;
}

/* `looking->key` is the key of a row that is superseded now. */
static enum fm_status look_at(struct looking *looking, uint64_t sequence, bool is_retract,
                              struct fm_error *err)
{
    const struct table_state *state = looking->state;
    uint64_t latest = 0;
    enum fm_status status = key_index_find(state->table, looking->snapshot->rocks, state->tree.size,
                                           fm_buf_span(&looking->key), &latest, err);

    if (status == FM_NOTFOUND)
        return fm_fail(err, FM_CORRUPT, "the key index of %s.%s lacks the key of fact %llu",
                       state->table->domain, state->table->name, (unsigned long long)sequence);
    if (status != FM_OK)
        return status;
    if (latest < looking->size)
        return superseded_edit_add(looking->edit, sequence);
    return add_candidate(looking, sequence, is_retract, err);
}

/* Key columns of a unit, side by side. */
struct key_columns {
    uint32_t count;
    struct {
        const struct fm_batch *batch;
        uint32_t column;
        const struct fm_type *type;
    } at[FM_KEY_FIELDS_MAX];
    struct loaded loaded[FM_KEY_FIELDS_MAX];
    struct hot_rows hot;
};

static void key_columns_deinit(struct key_columns *columns)
{
    for (uint32_t i = 0; i < FM_KEY_FIELDS_MAX; i++)
        loaded_release(&columns->loaded[i]);
    hot_rows_deinit(&columns->hot);
}

static enum fm_status open_key_columns(const struct table_state *state,
                                       const struct rocks_snapshot *snapshot,
                                       const struct unit *unit, struct key_columns *out,
                                       struct fm_error *err)
{
    const struct fm_schema *schema = state->schema;
    enum fm_status status = FM_OK;

    if (unit->segment == NULL)
        status = hot_rows_open(state, unit, &out->hot, err);
    for (uint32_t i = 0; status == FM_OK && i < schema->key_count; i++) {
        const struct fm_field *field = &schema->fields[schema->key[i]];

        out->at[i].type = &field->type;
        if (unit->segment == NULL) {
            int64_t position = schema_position(out->hot.schema, field->id);

            fm_assert(position >= 0); /* Keys do not change (define.c). */
            out->at[i].batch = &out->hot.batch;
            out->at[i].column = (uint32_t)position;
        } else {
            status = load_column(state, snapshot, unit->segment, field, NULL, false,
                                 &out->loaded[i], err);
            out->at[i].batch = &out->loaded[i].batch;
            out->at[i].column = 0;
        }
    }
    out->count = schema->key_count;
    return status;
}

static enum fm_status look_at_unit(struct looking *looking, struct unit *unit, struct fm_error *err)
{
    FM_AUTO(key_columns_deinit) struct key_columns columns = {0};
    FM_AUTO(unit_order_close) struct unit_order order = {0};
    FM_AUTO(unit_headers_close) struct unit_headers headers = {0};
    const struct superseded *now = looking->state->superseded;
    enum fm_status status;

    if (superseded_count_range(now, unit->first_sequence, unit->rows) == 0)
        return FM_OK;
    status = unit_headers_open(looking->state, looking->snapshot->rocks, unit, &headers, err);
    if (status == FM_OK)
        status = open_key_columns(looking->state, looking->snapshot->rocks, unit, &columns, err);
    if (status == FM_OK)
        status = unit_open_offsets(looking->state, looking->snapshot->rocks, unit, &order, err);
    for (uint32_t row = 0; status == FM_OK && row < unit->rows; row++) {
        uint64_t sequence = unit_sequence(unit, row);

        if (sequence >= looking->size || !superseded_has(now, sequence))
            continue;
        fm_buf_clear(&looking->key);
        for (uint32_t i = 0; status == FM_OK && i < columns.count; i++) {
            const struct fm_batch *batch = columns.at[i].batch;

            status = fm_vector_canonical(batch, &batch->vectors[columns.at[i].column],
                                         columns.at[i].type, NULL, row, &looking->key);
        }
        if (status == FM_OK)
            status = look_at(looking, sequence,
                             unit_header(&headers, sequence)->operation == FM_RETRACT, err);
    }
    return status;
}

static int compare_candidates(const void *left, const void *right)
{
    const struct candidate *a = left;
    const struct candidate *b = right;
    int order = memcmp(a->key, b->key, sizeof a->key);

    return order != 0 ? order : (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

static enum fm_status settle(struct looking *looking)
{
    enum fm_status status = FM_OK;

    if (looking->count > 0)
        qsort(looking->candidates, looking->count, sizeof *looking->candidates, compare_candidates);
    for (uint32_t i = 0; status == FM_OK && i < looking->count; i++) {
        const struct candidate *at = &looking->candidates[i];
        bool is_last = i + 1 == looking->count || memcmp(at[0].key, at[1].key, sizeof at->key) != 0;

        if (!is_last || at->is_retract)
            status = superseded_edit_add(looking->edit, at->sequence);
    }
    return status;
}

/* ---- Without a key --------------------------------------------------------------------------- */

/* What the facts of a unit take back or correct, and those that take back. */
static enum fm_status name_unit(struct looking *looking, const struct unit *unit,
                                struct fm_error *err)
{
    FM_AUTO(unit_headers_close) struct unit_headers headers = {0};
    enum fm_status status =
        unit_headers_open(looking->state, looking->snapshot->rocks, unit, &headers, err);

    for (uint32_t i = 0; status == FM_OK && i < headers.count; i++) {
        const struct segment_span *span = &headers.spans[i];
        uint64_t end = span->header.sequence + span->rows;

        if (span->header.sequence >= looking->size)
            break;
        if (span->header.has_superseded)
            status = superseded_edit_add(looking->edit, span->header.superseded);
        if (span->header.operation != FM_RETRACT)
            continue;
        for (uint64_t at = span->header.sequence; status == FM_OK && at < end && at < looking->size;
             at++)
            status = superseded_edit_add(looking->edit, at);
    }
    return status;
}

/* ---- Either ---------------------------------------------------------------------------------- */

static void looking_deinit(struct looking *looking)
{
    superseded_edit_free(looking->edit);
    free(looking->candidates);
    fm_buf_free(&looking->key);
}

enum fm_status superseded_at(struct fm_snapshot *snapshot, const struct table_state *state,
                             uint64_t size, struct superseded **out, struct fm_error *err)
{
    FM_AUTO(looking_deinit)
    struct looking looking = {.snapshot = snapshot, .state = state, .size = size};
    struct units units;
    struct unit unit;
    bool is_keyed = schema_is_keyed(state->schema);
    enum fm_status status = superseded_edit_new(NULL, &looking.edit);

    units_init(&units, state, snapshot->rocks, 0);
    while (status == FM_OK && units.next < size) {
        status = units_next(&units, &unit, err);
        if (status == FM_OK)
            status =
                is_keyed ? look_at_unit(&looking, &unit, err) : name_unit(&looking, &unit, err);
    }
    units_deinit(&units);
    if (status == FM_OK)
        status = settle(&looking);
    if (status != FM_OK)
        return status == FM_NOTFOUND ? FM_CORRUPT : status;
    *out = superseded_edit_take(looking.edit);
    return FM_OK;
}

enum fm_status visible_at(struct fm_snapshot *snapshot, const struct table_view *view,
                          const struct fm_at *at, struct visible *out, struct fm_error *err)
{
    const struct table_state *state = view->table->state;
    struct visible visible = {0};
    enum fm_status status = resolve_at(snapshot, state, at, &visible.size, err);

    /* What is superseded once stays so: where nothing is now, nothing was. */
    if (status == FM_OK && !view->is_facts && superseded_count(state->superseded) > 0) {
        if (visible.size == state->tree.size)
            visible.superseded = superseded_retain(state->superseded);
        else
            status = superseded_at(snapshot, state, visible.size, &visible.superseded, err);
    }
    if (status == FM_OK)
        *out = visible;
    return status;
}

void visible_deinit(struct visible *visible)
{
    superseded_release(visible->superseded);
    *visible = (struct visible){0};
}
