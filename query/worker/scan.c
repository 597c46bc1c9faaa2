#include "query/worker/scan.h"

#include "core/bits.h"
#include "query/worker/select.h"
#include "query/worker/vectors.h"

#include <stdatomic.h>

/* A segment is handed out in parts, so that a table of one segment still feeds several threads.
 * 30,720 rows: 15 blocks of a full segment. */
#define PARTS 4u
#define PART_ROWS (FM_SEGMENT_ROWS / PARTS)
_Static_assert(PART_ROWS % FM_BLOCK_ROWS == 0, "a part is whole blocks");
_Static_assert(FM_SEGMENT_ROWS / FM_BLOCK_ROWS <= 64, "one bit a block");
#define THREADS_MAX 64u

struct scan_column {
    uint32_t at;                   /* Position in the supplied columns. */
    const struct decoder *decoder; /* NULL: the row id, which nobody reads. */
};

/* One scan of a running statement, shared by its threads. */
struct scan_state {
    struct worker *worker;
    const struct scan_slot *slot;
    uint32_t slot_number;
    atomic_uint next_task; /* segment * PARTS + part. */
    atomic_bool source_done;
    uint32_t column_count;
    struct scan_column columns[];
};

/* What one thread reads. */
struct scan_local {
    struct worker *worker;
    struct scan_state *state; /* Set by the first scan_rows(). */
    uint32_t row;
    uint32_t row_end;
    bool is_mapped;
    uint64_t left_out;         /* Bit b: block b of the mapped segment is not read. */
    const uint8_t *selection;  /* Of it; NULL: all rows are the table's. */
    struct pulled pulled;      /* Of a source: the bytes of batches[0]. */
    struct fm_batch batches[]; /* Mapped: one per column. */
};

void scan_start(struct worker *worker, bool single_thread)
{
    worker->single_thread = single_thread;
    worker->scan_status = FM_OK;
    for (uint32_t i = 0; i < worker->slot_count; i++)
        worker->slots[i].source_taken = false;
}

/* Rows of a source flow once: a second scan of them would miss what the first one took. */
static enum fm_status take_source(struct worker *worker, struct scan_slot *slot,
                                  struct fm_error *err)
{
    (void)pthread_mutex_lock(&worker->scan_lock);
    bool taken = slot->source_taken;
    slot->source_taken = true;
    (void)pthread_mutex_unlock(&worker->scan_lock);
    if (!taken || !slot->def.has_source)
        return FM_OK;
    return fm_fail(err, FM_UNSUPPORTED, "the statement reads one streamed table twice");
}

void scan_keep_failure(struct worker *worker, enum fm_status status, const char *text)
{
    (void)pthread_mutex_lock(&worker->scan_lock);
    if (worker->scan_status == FM_OK)
        worker->scan_status = fm_fail(&worker->scan_error, status, "%s", text);
    (void)pthread_mutex_unlock(&worker->scan_lock);
}

static void scan_bind(duckdb_bind_info info)
{
    struct worker *worker = duckdb_bind_get_extra_info(info);
    duckdb_value parameter = duckdb_bind_get_parameter(info, 0);
    int64_t number = duckdb_get_int64(parameter);

    duckdb_destroy_value(&parameter);
    if (number < 0 || number >= worker->slot_count) {
        duckdb_bind_set_error(info, "fm_scan: there is no such slot");
        return;
    }
    struct scan_slot *slot = &worker->slots[number];
    for (uint32_t i = 0; i < slot->def.columns.count; i++)
        duckdb_bind_add_result_column(info, slot->def.columns.items[i].name, slot->types[i]);
    duckdb_bind_set_cardinality(info, slot->def.rows, false);
    duckdb_bind_set_bind_data(info, slot, NULL); /* Lives longer than any statement. */
}

/* Where column `column` of the table comes from. */
static enum fm_status map_column(const struct scan_slot *slot, idx_t column,
                                 struct scan_column *out, struct fm_error *err)
{
    *out = (struct scan_column){0};
    if (column >= slot->def.columns.count)
        return FM_OK; /* The row id, asked for where no column is needed. */
    if (slot->supplied_at[column] == UINT32_MAX)
        return fm_fail(err, FM_INTERNAL, "column %s was not supplied to the engine",
                       slot->def.columns.items[column].name);
    *out = (struct scan_column){slot->supplied_at[column], &slot->decoders[column]};
    return FM_OK;
}

static uint32_t thread_count(const struct worker *worker, const struct scan_slot *slot)
{
    uint64_t tasks = 0;

    if (worker->single_thread)
        return 1;
    for (uint32_t i = 0; i < slot->def.segment_count && tasks < THREADS_MAX; i++)
        tasks += (slot->def.segment_rows[i] + PART_ROWS - 1) / PART_ROWS;
    if (slot->def.has_source)
        tasks += worker->options.threads;
    return tasks == 0 ? 1 : tasks > THREADS_MAX ? THREADS_MAX : (uint32_t)tasks;
}

static void scan_init(duckdb_init_info info)
{
    struct worker *worker = duckdb_init_get_extra_info(info);
    const struct scan_slot *slot = duckdb_init_get_bind_data(info);
    idx_t count = duckdb_init_get_column_count(info);
    struct fm_error err = {0};

    struct scan_state *state = calloc(1, sizeof *state + (count + 1) * sizeof state->columns[0]);
    if (state == NULL) {
        duckdb_init_set_error(info, "out of memory");
        return;
    }
    state->worker = worker;
    state->slot = slot;
    state->slot_number = (uint32_t)(slot - worker->slots);
    state->column_count = (uint32_t)count;
    atomic_init(&state->source_done, !slot->def.has_source);
    enum fm_status status = take_source(worker, &worker->slots[state->slot_number], &err);
    for (idx_t i = 0; i < count && status == FM_OK; i++)
        status = map_column(slot, duckdb_init_get_column_index(info, i), &state->columns[i], &err);
    if (status != FM_OK) {
        scan_keep_failure(worker, status, err.text);
        duckdb_init_set_error(info, err.text);
        free(state);
        return;
    }
    duckdb_init_set_max_threads(info, thread_count(worker, slot));
    duckdb_init_set_init_data(info, state, free);
}

static void free_local(void *data)
{
    struct scan_local *local = data;
    pull_release(local->worker, &local->pulled);
    free(local);
}

static void scan_init_local(duckdb_init_info info)
{
    struct worker *worker = duckdb_init_get_extra_info(info);
    idx_t count = duckdb_init_get_column_count(info);
    struct scan_local *local = calloc(1, sizeof *local + (count + 1) * sizeof local->batches[0]);

    if (local == NULL) {
        duckdb_init_set_error(info, "out of memory");
        return;
    }
    local->worker = worker;
    local->pulled.ring = -1;
    duckdb_init_set_init_data(info, local, free_local);
}

/* View the columns of one part of a segment. FM_NOTFOUND: the part has no rows. */
static enum fm_status open_part(struct scan_local *local, uint32_t task)
{
    const struct scan_state *state = local->state;
    const struct channel_slot *def = &state->slot->def;
    uint32_t segment = task / PARTS, first = task % PARTS * PART_ROWS;

    if (first >= def->segment_rows[segment])
        return FM_NOTFOUND;
    for (uint32_t i = 0; i < state->column_count; i++) {
        if (state->columns[i].decoder == NULL)
            continue;
        const struct channel_column_at *at =
            &def->segment_columns[(size_t)segment * def->supplied_count + state->columns[i].at];
        const uint8_t *bytes = state->slot->arenas[at->arena] + at->offset;
        uint64_t room = def->arena_bytes[at->arena] - at->offset;
        uint32_t total = fm_load32(bytes + 4);
        if (total > room ||
            fm_batch_view_trusted(fm_span(bytes, total), &local->batches[i]) != FM_OK ||
            local->batches[i].rows != def->segment_rows[segment] ||
            local->batches[i].vectors[0].kind != (uint8_t)state->columns[i].decoder->type->kind)
            return FM_CORRUPT;
    }
    uint32_t left = def->segment_rows[segment] - first;
    local->row = first;
    local->row_end = first + (left < PART_ROWS ? left : PART_ROWS);
    local->is_mapped = true;
    local->left_out = def->segment_left_out[segment];
    const struct channel_column_at *selection = &def->segment_selections[segment];
    local->selection = def->segment_selected[segment]
                           ? state->slot->arenas[selection->arena] + selection->offset
                           : NULL;
    return FM_OK;
}

/* The next part of a mapped segment. FM_NOTFOUND: there is none. */
static enum fm_status next_part(struct scan_local *local)
{
    uint32_t total = local->state->slot->def.segment_count * PARTS;
    enum fm_status status = FM_NOTFOUND;

    while (status == FM_NOTFOUND) {
        if (atomic_load_explicit(&local->state->next_task, memory_order_relaxed) >= total)
            return FM_NOTFOUND;
        uint32_t task = atomic_fetch_add(&local->state->next_task, 1);
        if (task >= total)
            return FM_NOTFOUND;
        status = open_part(local, task);
    }
    return status;
}

/* The next batch of the source. FM_NOTFOUND: there is none. */
static enum fm_status next_batch(struct scan_local *local, struct fm_error *err)
{
    struct scan_state *state = local->state;

    pull_release(state->worker, &local->pulled);
    local->row = local->row_end = 0;
    while (!atomic_load(&state->source_done)) {
        enum fm_status status = pull_batch(state->worker, state->slot_number, &local->pulled, err);
        if (status == FM_NOTFOUND)
            atomic_store(&state->source_done, true);
        if (status != FM_OK)
            return status;
        if (fm_batch_view_trusted(local->pulled.bytes, &local->batches[0]) != FM_OK ||
            local->batches[0].column_count < state->slot->def.supplied_count)
            return fm_fail(err, FM_CORRUPT, "a batch of the wrong form was supplied");
        local->row_end = local->batches[0].rows;
        local->is_mapped = false;
        local->left_out = 0;
        local->selection = NULL;
        if (local->row_end > 0)
            return FM_OK;
        pull_release(state->worker, &local->pulled);
    }
    return FM_NOTFOUND;
}

static enum fm_status fill(struct scan_local *local, duckdb_data_chunk chunk, uint32_t count)
{
    const struct scan_state *state = local->state;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < state->column_count && status == FM_OK; i++) {
        const struct scan_column *column = &state->columns[i];
        if (column->decoder == NULL)
            continue;
        const struct fm_batch *batch = &local->batches[local->is_mapped ? i : 0];
        const struct fm_vector_entry *entry = &batch->vectors[local->is_mapped ? 0 : column->at];
        if (entry->kind != (uint8_t)column->decoder->type->kind)
            return FM_CORRUPT;
        status = decode_rows(column->decoder, batch, entry, local->row, count, local->is_mapped,
                             duckdb_data_chunk_get_vector(chunk, i), 0);
    }
    return status;
}

/* Leave out what the selection does not show; the number of rows left. */
static uint32_t select_rows(const struct scan_local *local, duckdb_data_chunk chunk, uint32_t count)
{
    struct row_choice choice;

    row_choice_init(&choice, local->selection, local->row, count);
    for (uint32_t i = 0; i < local->state->column_count; i++)
        if (local->state->columns[i].decoder != NULL)
            row_choice_apply(&choice, local->state->columns[i].decoder,
                             duckdb_data_chunk_get_vector(chunk, i));
    return choice.count;
}

/* Move to the next block that is read and of which any row is the table's: rows [row, row + count).
 * FM_NOTFOUND: there is none. */
static enum fm_status next_block(struct scan_local *local, uint32_t *count, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    for (;;) {
        if (local->row == local->row_end) {
            status = next_part(local);
            if (status == FM_NOTFOUND)
                status = next_batch(local, err);
            if (status != FM_OK)
                return status;
        }
        uint32_t left = local->row_end - local->row;
        *count = left < FM_BLOCK_ROWS ? left : FM_BLOCK_ROWS;
        bool is_read =
            local->left_out == 0 || (local->left_out >> (local->row / FM_BLOCK_ROWS) & 1) == 0;
        if (is_read &&
            (local->selection == NULL || fm_bits_count(local->selection, local->row, *count) > 0))
            return FM_OK;
        local->row += *count;
    }
}

static void scan_rows(duckdb_function_info info, duckdb_data_chunk chunk)
{
    struct scan_local *local = duckdb_function_get_local_init_data(info);
    struct fm_error err = {0};
    uint32_t count = 0;

    local->state = duckdb_function_get_init_data(info);
    enum fm_status status = next_block(local, &count, &err);
    if (status == FM_OK)
        status = fill(local, chunk, count);
    if (status == FM_NOTFOUND) {
        duckdb_data_chunk_set_size(chunk, 0);
        return;
    }
    uint32_t shown = count;
    if (status == FM_OK && local->selection != NULL)
        shown = select_rows(local, chunk, count);
    duckdb_data_chunk_set_size(chunk, shown);
    if (status != FM_OK) {
        const char *text = err.text[0] != '\0' ? err.text : fm_status_text(status);
        scan_keep_failure(local->state->worker, status, text);
        duckdb_function_set_error(info, text);
        return;
    }
    local->row += count;
}

enum fm_status scan_register(struct worker *worker, struct fm_error *err)
{
    duckdb_table_function function = duckdb_create_table_function();
    duckdb_logical_type bigint = duckdb_create_logical_type(DUCKDB_TYPE_BIGINT);

    duckdb_table_function_set_name(function, "fm_scan");
    duckdb_table_function_add_parameter(function, bigint);
    duckdb_table_function_set_extra_info(function, worker, NULL);
    duckdb_table_function_set_bind(function, scan_bind);
    duckdb_table_function_set_init(function, scan_init);
    duckdb_table_function_set_local_init(function, scan_init_local);
    duckdb_table_function_set_function(function, scan_rows);
    duckdb_table_function_supports_projection_pushdown(function, true);
    duckdb_state state = duckdb_register_table_function(worker->connection, function);
    duckdb_destroy_table_function(&function);
    duckdb_destroy_logical_type(&bigint);
    if (state != DuckDBSuccess)
        return fm_fail(err, FM_INTERNAL, "DuckDB refuses the table function");
    return FM_OK;
}
