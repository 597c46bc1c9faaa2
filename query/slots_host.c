#include "query/engine_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum fm_status reopen_read_only(int fd, int *out, struct fm_error *err)
{
    char path[64];

    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *out = open(path, O_RDONLY | O_CLOEXEC);
    if (*out < 0)
        return fm_fail_errno(err, FM_IO, errno, "open %s for reading", path);
    return FM_OK;
}

/* ---- Declaring ------------------------------------------------------------------------------- */

static enum fm_status check_slot(const struct fm_slot *slot, struct fm_error *err)
{
    if (slot->columns->count == 0 || slot->columns->count > FM_COLUMNS_MAX ||
        slot->supplied_count > slot->columns->count || slot->arena_count > CHANNEL_ARENAS_MAX ||
        slot->segment_count > CHANNEL_SEGMENTS_MAX)
        return fm_fail(err, FM_LIMIT, "a table with more parts than the engine takes");
    return FM_OK;
}

static void fill_slot(struct channel_slot *out, const struct fm_slot *slot)
{
    uint32_t supplied = slot->supplied_count;

    for (uint32_t i = 0; i < slot->arena_count; i++)
        out->arena_bytes[i] = slot->arenas[i].bytes;
    for (uint32_t i = 0; i < slot->segment_count; i++) {
        const struct fm_mapped_column *selection = slot->segments[i].selection;

        out->segment_rows[i] = slot->segments[i].rows;
        out->segment_left_out[i] = slot->segments[i].left_out;
        out->segment_selected[i] = selection != NULL;
        if (selection != NULL)
            out->segment_selections[i] =
                (struct channel_column_at){selection->arena, selection->offset};
        for (uint32_t j = 0; j < supplied; j++) {
            const struct fm_mapped_column *column = &slot->segments[i].columns[j];
            out->segment_columns[(size_t)i * supplied + j] =
                (struct channel_column_at){column->arena, column->offset};
        }
    }
}

/* The engine's form of a slot in the channel's; the columns are only borrowed. */
static enum fm_status put_slot(struct fm_buf *out, const struct fm_slot *slot, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) uint64_t *arenas = NULL;
    FM_AUTO(fm_mem_freep) uint32_t *rows = NULL;
    FM_AUTO(fm_mem_freep) struct channel_column_at *columns = NULL;
    FM_AUTO(fm_mem_freep) bool *selected = NULL;
    FM_AUTO(fm_mem_freep) struct channel_column_at *selections = NULL;
    FM_AUTO(fm_mem_freep) uint64_t *left_out = NULL;

    enum fm_status status = check_slot(slot, err);
    if (status != FM_OK)
        return status;
    size_t cells = (size_t)slot->segment_count * slot->supplied_count;
    arenas = calloc(slot->arena_count + 1u, sizeof *arenas);
    rows = calloc(slot->segment_count + 1u, sizeof *rows);
    columns = calloc(cells + 1, sizeof *columns);
    selected = calloc(slot->segment_count + 1u, sizeof *selected);
    selections = calloc(slot->segment_count + 1u, sizeof *selections);
    left_out = calloc(slot->segment_count + 1u, sizeof *left_out);
    if (arenas == NULL || rows == NULL || columns == NULL || selected == NULL ||
        selections == NULL || left_out == NULL)
        return FM_NOMEM;
    struct channel_slot made = {.columns = *slot->columns,
                                .rows = slot->rows,
                                .has_source = slot->source != NULL,
                                .supplied_count = slot->supplied_count,
                                .supplied = (uint32_t *)(uintptr_t)slot->supplied,
                                .arena_count = slot->arena_count,
                                .arena_bytes = arenas,
                                .segment_count = slot->segment_count,
                                .segment_rows = rows,
                                .segment_selected = selected,
                                .segment_selections = selections,
                                .segment_left_out = left_out,
                                .segment_columns = columns};
    fill_slot(&made, slot);
    return channel_slot_encode(out, &made);
}

static enum fm_status send_arenas(struct fm_worker *worker, const struct fm_slot *slot,
                                  struct fm_error *err)
{
    for (uint32_t i = 0; i < slot->arena_count; i++) {
        FM_AUTO(close_fd) int fd = -1;
        /* For reading only: other workers read the same memory. */
        enum fm_status status = reopen_read_only(slot->arenas[i].fd, &fd, err);
        if (status == FM_OK)
            status = worker_command(worker, CHANNEL_ARENA, 0, fm_span(NULL, 0), fd, err);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status keep_sources(struct fm_worker *worker, const struct fm_slot *slots,
                                   uint32_t count)
{
    struct host_source *sources = calloc(count + 1u, sizeof *sources);

    if (sources == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        if (slots[i].source != NULL)
            sources[i].source = *slots[i].source;
    free(worker->sources);
    worker->sources = sources;
    worker->source_count = count;
    return FM_OK;
}

enum fm_status fm_worker_set_slots(struct fm_worker *worker, const struct fm_slot *slots,
                                   uint32_t count, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf payload = FM_BUF_INIT(CHANNEL_PAYLOAD_MAX);
    uint32_t arenas = 0;

    enum fm_status status = worker_check_idle(worker, err);
    if (status != FM_OK)
        return status;
    if (count > CHANNEL_SLOTS_MAX)
        return fm_fail(err, FM_LIMIT, "a query over more than %u tables", CHANNEL_SLOTS_MAX);
    fm_buf_put_u32(&payload, 0);
    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        arenas += slots[i].arena_count;
        status = put_slot(&payload, &slots[i], err);
    }
    if (status == FM_OK)
        status = fm_buf_status(&payload);
    if (status == FM_OK)
        status = keep_sources(worker, slots, count);
    if (status != FM_OK)
        return status;
    fm_store32(payload.data, arenas);
    status = worker_command(worker, CHANNEL_SLOTS, count, fm_buf_span(&payload), -1, err);
    for (uint32_t i = 0; i < count && status == FM_OK; i++)
        status = send_arenas(worker, &slots[i], err);
    if (status == FM_OK)
        status = worker_answer(worker, err);
    if (status == FM_OK && worker->control.frame.kind != CHANNEL_DONE)
        return worker_broken(worker, "an answer", err);
    return status;
}

/* ---- Serving sources ------------------------------------------------------------------------- */

static enum fm_status answer(struct fm_worker *worker, enum channel_kind kind, uint32_t number,
                             struct fm_span payload, int passed)
{
    return channel_send(worker->scan.fd, kind, number, payload, passed, worker->deadline);
}

/* A batch that no SCAN slot takes goes in a sealed file of its own. */
static enum fm_status answer_large(struct fm_worker *worker)
{
    FM_AUTO(close_fd) int fd = memfd_create("folkmoot-batch", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t bytes = worker->scan_batch.len, written = 0;

    if (fd < 0)
        return FM_NOMEM;
    while (written < bytes) {
        ssize_t n = write(fd, worker->scan_batch.data + written, bytes - written);
        if (n < 0 && errno != EINTR)
            return FM_NOMEM;
        if (n > 0)
            written += (size_t)n;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        return FM_IO;
    return answer(worker, CHANNEL_LARGE, (uint32_t)bytes, fm_span(NULL, 0), fd);
}

static enum fm_status answer_batch(struct fm_worker *worker)
{
    uint8_t length[4];

    if (worker->scans_free == 0 || worker->scan_batch.len > CHANNEL_SLOT_BYTES)
        return answer_large(worker);
    uint32_t slot = (uint32_t)__builtin_ctz(worker->scans_free);
    worker->scans_free &= ~(1u << slot);
    memcpy(channel_scan_slot(worker->memory, slot), worker->scan_batch.data,
           worker->scan_batch.len);
    fm_store32(length, (uint32_t)worker->scan_batch.len);
    return answer(worker, CHANNEL_RING, slot, fm_span(length, sizeof length), -1);
}

/* The first failure is the query's: another slot may still be read after it. */
static enum fm_status answer_failure(struct fm_worker *worker, enum fm_status status,
                                     const struct fm_error *failure)
{
    if (worker->source_status == FM_OK) {
        worker->source_status = status;
        worker->source_error = *failure;
    }
    const char *text = failure->text;
    return answer(worker, CHANNEL_ERROR, (uint32_t)status,
                  fm_span_str(text[0] != '\0' ? text : fm_status_text(status)), -1);
}

enum fm_status worker_serve_pull(struct fm_worker *worker)
{
    const struct channel_frame *frame = &worker->scan.frame;

    if (frame->kind != CHANNEL_PULL || worker->scan.payload.len != 4 ||
        frame->number >= worker->source_count)
        return FM_MALFORMED;
    struct host_source *source = &worker->sources[frame->number];
    uint32_t freed = fm_load32(worker->scan.payload.data);
    if (source->source.next == NULL || freed >> CHANNEL_SLOT_COUNT != 0 ||
        (freed & worker->scans_free) != 0)
        return FM_MALFORMED;
    worker->scans_free |= freed;
    if (source->done)
        return answer(worker, CHANNEL_END, 0, fm_span(NULL, 0), -1);
    fm_buf_clear(&worker->scan_batch);
    struct fm_error failure = {0};
    enum fm_status status =
        source->source.next(source->source.context, &worker->scan_batch, &failure);
    if (status == FM_OK)
        status = fm_buf_status(&worker->scan_batch);
    if (status == FM_NOTFOUND) {
        source->done = true;
        return answer(worker, CHANNEL_END, 0, fm_span(NULL, 0), -1);
    }
    return status == FM_OK ? answer_batch(worker) : answer_failure(worker, status, &failure);
}
