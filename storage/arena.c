#include "storage/arena.h"

#include "core/assert.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARENA_SLOTS_MIN 256u

struct file {
    int fd;
    uint8_t *memory;
    uint64_t used;
    uint64_t last_use; /* Of the arena's clock. */
    uint32_t pins;
};

struct slot {
    struct arena_key key;
    struct file *file; /* NULL: empty. */
    uint64_t offset;
    uint64_t len;
};

struct arena {
    atomic_uint_fast64_t stamp; /* The last one given out. */
    pthread_mutex_t lock;
    uint64_t clock;
    uint32_t file_count_max;
    uint32_t file_count;
    struct file **files;
    /* Open addressing, a power of two, at most half full. */
    uint32_t slot_count;
    uint32_t slots_used;
    struct slot *slots;
};

static void file_free(struct file *file)
{
    if (file == NULL)
        return;
    if (file->memory != NULL)
        (void)munmap(file->memory, ARENA_FILE_BYTES); /* Our own mapping: cannot fail. */
    if (file->fd >= 0)
        (void)close(file->fd);
    free(file);
}

static enum fm_status file_new(struct file **out)
{
    struct file *file = calloc(1, sizeof *file);
    void *memory;

    if (file == NULL)
        return FM_NOMEM;
    file->fd = memfd_create("folkmoot-columns", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (file->fd < 0 || ftruncate(file->fd, (off_t)ARENA_FILE_BYTES) != 0) {
        file_free(file);
        return FM_NOMEM;
    }
    memory = mmap(NULL, ARENA_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, 0);
    if (memory == MAP_FAILED) {
        file_free(file);
        return FM_NOMEM;
    }
    file->memory = memory;
    /* The mapping just made stays writable; a receiver can make none. Kernels before 5.1 lack that
     * seal: there the receiver's sandbox is what keeps it from writing. */
    if (fcntl(file->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE) != 0)
        (void)fcntl(file->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
    *out = file;
    return FM_OK;
}

enum fm_status arena_new(uint64_t bytes, struct arena **out)
{
    FM_AUTO(arena_freep) struct arena *arena = calloc(1, sizeof *arena);
    uint64_t files = bytes / ARENA_FILE_BYTES;

    if (arena == NULL)
        return FM_NOMEM;
    if (pthread_mutex_init(&arena->lock, NULL) != 0) {
        free(FM_TAKE(arena));
        return FM_NOMEM;
    }
    arena->file_count_max = (uint32_t)(files < 1 ? 1 : files > 65536 ? 65536 : files);
    arena->files = calloc(arena->file_count_max, sizeof(struct file *));
    arena->slot_count = ARENA_SLOTS_MIN;
    arena->slots = calloc(arena->slot_count, sizeof *arena->slots);
    if (arena->files == NULL || arena->slots == NULL)
        return FM_NOMEM;
    *out = FM_TAKE(arena);
    return FM_OK;
}

void arena_free(struct arena *arena)
{
    if (arena == NULL)
        return;
    for (uint32_t i = 0; i < arena->file_count; i++) {
        fm_assert(arena->files[i]->pins == 0);
        file_free(arena->files[i]);
    }
    (void)pthread_mutex_destroy(&arena->lock); /* Nobody holds it. */
    free(arena->files);
    free(arena->slots);
    free(arena);
}

/* splitmix64's mixer (Steele, Lea, Flood 2014). */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static bool keys_equal(const struct arena_key *a, const struct arena_key *b)
{
    return a->table == b->table && a->field_id == b->field_id && a->segment == b->segment &&
           a->generation == b->generation && a->more[0] == b->more[0] && a->more[1] == b->more[1];
}

/* The slot with this key, or the empty one where it belongs. */
static struct slot *slot_of(struct slot *slots, uint32_t count, const struct arena_key *key)
{
    uint64_t hash = mix(((uint64_t)key->table << 32 | key->field_id) ^ mix(key->segment) ^
                        mix(key->generation * 3 + key->more[0] * 5 + key->more[1] * 7));

    for (uint32_t i = (uint32_t)hash & (count - 1);; i = (i + 1) & (count - 1)) {
        if (slots[i].file == NULL || keys_equal(&slots[i].key, key))
            return &slots[i];
    }
}

/* Move what is left into a table of `count` slots; entries of `dropped` are left out. */
static enum fm_status rehash(struct arena *arena, uint32_t count, const struct file *dropped)
{
    struct slot *slots = calloc(count, sizeof *slots);
    uint32_t used = 0;

    if (slots == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < arena->slot_count; i++) {
        const struct slot *from = &arena->slots[i];

        if (from->file == NULL || from->file == dropped)
            continue;
        *slot_of(slots, count, &from->key) = *from;
        used++;
    }
    free(arena->slots);
    arena->slots = slots;
    arena->slot_count = count;
    arena->slots_used = used;
    return FM_OK;
}

/* Drop the file that nobody pins and that was used longest ago. */
static enum fm_status evict(struct arena *arena)
{
    uint32_t oldest = UINT32_MAX;
    enum fm_status status;

    for (uint32_t i = 0; i < arena->file_count; i++) {
        const struct file *file = arena->files[i];

        if (file->pins == 0 &&
            (oldest == UINT32_MAX || file->last_use < arena->files[oldest]->last_use))
            oldest = i;
    }
    if (oldest == UINT32_MAX)
        return FM_LIMIT;
    status = rehash(arena, arena->slot_count, arena->files[oldest]);
    if (status != FM_OK)
        return status;
    file_free(arena->files[oldest]);
    arena->files[oldest] = arena->files[--arena->file_count];
    return FM_OK;
}

/* A file with room: any that exists, else a new one, else one in place of the oldest. */
static enum fm_status find_room(struct arena *arena, uint64_t len, struct file **out)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < arena->file_count; i++) {
        if (ARENA_FILE_BYTES - arena->files[i]->used >= len) {
            *out = arena->files[i];
            return FM_OK;
        }
    }
    if (arena->file_count == arena->file_count_max)
        status = evict(arena);
    if (status == FM_OK)
        status = file_new(&arena->files[arena->file_count]);
    if (status == FM_OK)
        *out = arena->files[arena->file_count++];
    return status;
}

static void pin(struct arena *arena, const struct slot *slot, struct arena_pin *out)
{
    slot->file->pins++;
    slot->file->last_use = ++arena->clock;
    *out = (struct arena_pin){
        .file = slot->file,
        .fd = slot->file->fd,
        .file_bytes = ARENA_FILE_BYTES,
        .offset = slot->offset,
        .bytes = fm_span(slot->file->memory + slot->offset, slot->len),
    };
}

enum fm_status arena_find(struct arena *arena, const struct arena_key *key, struct arena_pin *out)
{
    enum fm_status status = FM_NOTFOUND;
    struct slot *slot;

    (void)pthread_mutex_lock(&arena->lock); /* Cannot fail: a plain, initialised mutex. */
    slot = slot_of(arena->slots, arena->slot_count, key);
    if (slot->file != NULL) {
        pin(arena, slot, out);
        status = FM_OK;
    }
    (void)pthread_mutex_unlock(&arena->lock);
    return status;
}

static enum fm_status add_locked(struct arena *arena, const struct arena_key *key,
                                 struct fm_span bytes, struct arena_pin *out)
{
    struct file *file = NULL;
    struct slot *slot;
    enum fm_status status = FM_OK;

    if (2 * (arena->slots_used + 1) > arena->slot_count)
        status = rehash(arena, arena->slot_count * 2, NULL);
    if (status == FM_OK)
        status = find_room(arena, bytes.len, &file);
    if (status != FM_OK)
        return status;
    slot = slot_of(arena->slots, arena->slot_count, key);
    if (slot->file == NULL) { /* Else another thread was faster. */
        *slot = (struct slot){.key = *key, .file = file, .offset = file->used, .len = bytes.len};
        memcpy(file->memory + file->used, bytes.data, bytes.len);
        file->used += (bytes.len + 63) & ~UINT64_C(63);
        arena->slots_used++;
    }
    pin(arena, slot, out);
    return FM_OK;
}

enum fm_status arena_add(struct arena *arena, const struct arena_key *key, struct fm_span bytes,
                         struct arena_pin *out)
{
    enum fm_status status;

    fm_assert(bytes.len > 0);
    if (bytes.len > ARENA_FILE_BYTES - 63)
        return FM_LIMIT;
    (void)pthread_mutex_lock(&arena->lock); /* Cannot fail: a plain, initialised mutex. */
    status = add_locked(arena, key, bytes, out);
    (void)pthread_mutex_unlock(&arena->lock);
    return status;
}

void arena_unpin(struct arena *arena, struct arena_pin *pinned)
{
    struct file *file = pinned->file;

    if (file == NULL)
        return;
    (void)pthread_mutex_lock(&arena->lock); /* Cannot fail: a plain, initialised mutex. */
    fm_assert(file->pins > 0);
    file->pins--;
    (void)pthread_mutex_unlock(&arena->lock);
    *pinned = (struct arena_pin){0};
}

uint64_t arena_stamp(struct arena *arena)
{
    return atomic_fetch_add(&arena->stamp, 1) + 1;
}

uint64_t arena_bytes(struct arena *arena)
{
    uint64_t bytes;

    (void)pthread_mutex_lock(&arena->lock); /* Cannot fail: a plain, initialised mutex. */
    bytes = arena->file_count * ARENA_FILE_BYTES;
    (void)pthread_mutex_unlock(&arena->lock);
    return bytes;
}
