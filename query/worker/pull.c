#include "query/worker/scan.h"

#include <sys/mman.h>
#include <unistd.h>

static enum fm_status take_ring(struct worker *worker, struct pulled *out)
{
    const struct channel_frame *frame = &worker->scan.frame;

    if (frame->number >= CHANNEL_SLOT_COUNT || worker->scan.payload.len != 4)
        return FM_MALFORMED;
    uint32_t bytes = fm_load32(worker->scan.payload.data);
    if (bytes > CHANNEL_SLOT_BYTES)
        return FM_MALFORMED;
    *out = (struct pulled){fm_span(channel_scan_slot(worker->memory, frame->number), bytes),
                           (int)frame->number};
    return FM_OK;
}

static enum fm_status take_large(struct worker *worker, struct pulled *out)
{
    size_t bytes = worker->scan.frame.number;

    if (worker->scan.passed < 0 || bytes == 0)
        return FM_MALFORMED;
    void *memory = mmap(NULL, bytes, PROT_READ, MAP_SHARED, worker->scan.passed, 0);
    (void)close(worker->scan.passed); /* The mapping stays. */
    worker->scan.passed = -1;
    if (memory == MAP_FAILED)
        return FM_NOMEM;
    *out = (struct pulled){fm_span(memory, bytes), -1};
    return FM_OK;
}

static enum fm_status take_answer(struct worker *worker, struct pulled *out, struct fm_error *err)
{
    switch ((int)worker->scan.frame.kind) {
    case CHANNEL_RING:
        return take_ring(worker, out);
    case CHANNEL_LARGE:
        return take_large(worker, out);
    case CHANNEL_END:
        return FM_NOTFOUND;
    case CHANNEL_ERROR:
        return channel_error_decode(&worker->scan.frame, fm_buf_span(&worker->scan.payload), err);
    default:
        return FM_MALFORMED;
    }
}

enum fm_status pull_batch(struct worker *worker, uint32_t slot, struct pulled *out,
                          struct fm_error *err)
{
    uint8_t mask[4];

    (void)pthread_mutex_lock(&worker->scan_lock); /* Cannot fail: a plain mutex of ours. */
    fm_store32(mask, worker->scans_free);
    worker->scans_free = 0;
    enum fm_status status = channel_send(WORKER_SCAN_FD, CHANNEL_PULL, slot,
                                         fm_span(mask, sizeof mask), -1, FM_MS_NEVER);
    do {
        if (status == FM_OK)
            status = channel_reader_wait(&worker->scan, FM_MS_NEVER);
    } while (status == FM_BUSY);
    bool is_answer = status == FM_OK;
    if (is_answer)
        status = take_answer(worker, out, err);
    (void)pthread_mutex_unlock(&worker->scan_lock);
    if (!is_answer)
        _exit(0); /* The host is gone. */
    return status;
}

void pull_release(struct worker *worker, struct pulled *pulled)
{
    if (pulled->bytes.data == NULL)
        return;
    if (pulled->ring < 0) {
        (void)munmap((void *)(uintptr_t)pulled->bytes.data, pulled->bytes.len);
    } else {
        (void)pthread_mutex_lock(&worker->scan_lock);
        worker->scans_free |= 1u << pulled->ring;
        (void)pthread_mutex_unlock(&worker->scan_lock);
    }
    *pulled = (struct pulled){.ring = -1};
}
