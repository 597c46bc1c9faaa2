#include "query/worker/ducktypes.h"
#include "query/worker/scan.h"

#include <sys/mman.h>
#include <unistd.h>

static void slot_deinit(struct scan_slot *slot)
{
    for (uint32_t i = 0; i < slot->def.columns.count; i++) {
        if (slot->types != NULL)
            duckdb_destroy_logical_type(&slot->types[i]);
        if (slot->decoders != NULL)
            decoder_deinit(&slot->decoders[i]);
    }
    for (uint32_t i = 0; slot->arenas != NULL && i < slot->def.arena_count; i++)
        if (slot->arenas[i] != NULL)
            (void)munmap((void *)(uintptr_t)slot->arenas[i], slot->def.arena_bytes[i]);
    free(slot->types);
    free(slot->decoders);
    free(slot->supplied_at);
    free(slot->arenas);
    channel_slot_deinit(&slot->def);
    *slot = (struct scan_slot){0};
}

static void drop_slots(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->slot_count; i++)
        slot_deinit(&worker->slots[i]);
    free(worker->slots);
    worker->slots = NULL;
    worker->slot_count = 0;
}

static enum fm_status slot_init(struct scan_slot *slot, struct fm_cursor *in)
{
    enum fm_status status = channel_slot_decode(in, &slot->def);
    if (status != FM_OK)
        return status;
    uint32_t count = slot->def.columns.count;
    slot->types = calloc(count + 1u, sizeof *slot->types);
    slot->decoders = calloc(count + 1u, sizeof *slot->decoders);
    slot->supplied_at = calloc(count + 1u, sizeof *slot->supplied_at);
    slot->arenas = calloc(slot->def.arena_count + 1u, sizeof *slot->arenas);
    if (slot->types == NULL || slot->decoders == NULL || slot->supplied_at == NULL ||
        slot->arenas == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        const struct fm_column *column = &slot->def.columns.items[i];
        slot->supplied_at[i] = UINT32_MAX;
        status = ducktype_from(&column->type, column->as_text ? NULL : &column->dictionary,
                               &slot->types[i]);
        if (status == FM_OK)
            status = decoder_init(&slot->decoders[i], &column->type, &column->dictionary,
                                  slot->types[i]);
    }
    for (uint32_t i = 0; i < slot->def.supplied_count; i++)
        slot->supplied_at[slot->def.supplied[i]] = i;
    return status;
}

/* Take one ARENA frame; map it unless an earlier failure left no place for it (`to` NULL). */
static enum fm_status take_arena(struct worker *worker, const uint8_t **to, uint64_t bytes)
{
    worker_next_frame(worker);
    if (worker->control.frame.kind != CHANNEL_ARENA || worker->control.passed < 0)
        return FM_MALFORMED;
    int fd = worker->control.passed;
    worker->control.passed = -1;
    void *memory = to == NULL ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd); /* The mapping stays. */
    if (memory == MAP_FAILED)
        return FM_NOMEM;
    *to = memory;
    return FM_OK;
}

static enum fm_status decode_slots(struct worker *worker, uint32_t *arena_count)
{
    struct fm_cursor in = fm_cursor(fm_buf_span(&worker->control.payload));
    uint32_t count = worker->control.frame.number;

    enum fm_status status = fm_take_u32(&in, arena_count);
    if (status != FM_OK || count > CHANNEL_SLOTS_MAX)
        return FM_MALFORMED;
    worker->slots = calloc(count + 1u, sizeof *worker->slots);
    if (worker->slots == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        worker->slot_count = i + 1;
        status = slot_init(&worker->slots[i], &in);
    }
    return status == FM_OK && fm_cursor_left(&in) != 0 ? FM_MALFORMED : status;
}

enum fm_status scan_set_slots(struct worker *worker, struct fm_error *err)
{
    uint32_t announced = 0;

    drop_slots(worker);
    enum fm_status status = decode_slots(worker, &announced);
    for (uint32_t i = 0; i < worker->slot_count && status == FM_OK; i++) {
        struct scan_slot *slot = &worker->slots[i];
        for (uint32_t j = 0; j < slot->def.arena_count && status == FM_OK; j++, announced--) {
            if (announced == 0)
                return fm_fail(err, FM_MALFORMED, "declare the tables: arenas do not add up");
            status = take_arena(worker, &slot->arenas[j], slot->def.arena_bytes[j]);
        }
    }
    if (status == FM_OK && announced == 0)
        return FM_OK;
    drop_slots(worker);
    for (; announced > 0; announced--) /* They are on their way all the same. */
        (void)take_arena(worker, NULL, 0);
    return fm_fail(err, status, "declare the tables: %s", fm_status_text(status));
}
