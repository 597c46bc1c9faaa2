#include "storage/slots.h"

#include "core/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct slots {
    int fd;
    unsigned next; /* The slot to overwrite. */
    uint64_t number;
};

static enum fm_status write_all(int fd, const uint8_t *bytes, size_t len, off_t at,
                                struct fm_error *err)
{
    while (len > 0) {
        ssize_t done = pwrite(fd, bytes, len, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fm_fail_errno(err, FM_IO, done < 0 ? errno : EIO, "write the file `slots`");
        bytes += done;
        at += done;
        len -= (size_t)done;
    }
    return FM_OK;
}

/* Bytes that are not there (a short file) stay zero and fail their checksum. */
static enum fm_status read_all(int fd, uint8_t *bytes, size_t len, struct fm_error *err)
{
    off_t at = 0;

    memset(bytes, 0, len);
    while (len > 0) {
        ssize_t done = pread(fd, bytes, len, at);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return fm_fail_errno(err, FM_IO, errno, "read the file `slots`");
        if (done == 0)
            break;
        bytes += done;
        at += done;
        len -= (size_t)done;
    }
    return FM_OK;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* Everything that matters was synced. */
    *fd = -1;
}

enum fm_status slots_create(int dir, const struct format_value *identity, struct fm_error *err)
{
    struct slot_value value = {
        .version = identity->version,
        .mesh = identity->mesh,
        .node = identity->node,
        .time = fm_now_us(),
    };
    uint8_t bytes[SLOT_COUNT * SLOT_BYTES];
    FM_AUTO(close_fd) int fd = -1;
    enum fm_status status;

    slot_encode(bytes, &value);
    slot_encode(bytes + SLOT_BYTES, &value);
    fd = openat(dir, "slots.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "make the file `slots`");
    status = write_all(fd, bytes, sizeof bytes, 0, err);
    if (status != FM_OK)
        return status;
    if (fsync(fd) != 0 || renameat(dir, "slots.new", dir, "slots") != 0 || fsync(dir) != 0)
        return fm_fail_errno(err, FM_IO, errno, "make the file `slots`");
    return FM_OK;
}

/* Choose the later of the slots that are whole. */
static enum fm_status choose(struct slots *slots, const uint8_t *bytes, struct slot_value *out,
                             struct fm_error *err)
{
    struct slot_value values[SLOT_COUNT];
    bool whole[SLOT_COUNT];
    unsigned best;

    for (unsigned i = 0; i < SLOT_COUNT; i++)
        whole[i] = slot_decode(bytes + i * SLOT_BYTES, &values[i]) == FM_OK;
    if (!whole[0] && !whole[1])
        return fm_fail(err, FM_CORRUPT,
                       "both records in the file `slots` fail their checksum; restore the folder "
                       "from a backup (nothing was changed)");
    best = whole[0] && (!whole[1] || values[0].number >= values[1].number) ? 0 : 1;
    if (values[best].version > STORE_FORMAT_VERSION)
        return fm_fail(err, FM_UNSUPPORTED,
                       "the folder has storage format %u; this program knows up to %u",
                       values[best].version, STORE_FORMAT_VERSION);
    slots->next = 1 - best;
    slots->number = values[best].number;
    *out = values[best];
    return FM_OK;
}

enum fm_status slots_look(int dir, struct slot_value out[SLOT_COUNT], bool whole[SLOT_COUNT],
                          struct fm_error *err)
{
    uint8_t bytes[SLOT_COUNT * SLOT_BYTES];
    FM_AUTO(close_fd) int fd = openat(dir, "slots", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    enum fm_status status;

    if (fd < 0 && errno == ENOENT)
        return FM_NOTFOUND;
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "open the file `slots`");
    status = read_all(fd, bytes, sizeof bytes, err);
    for (size_t i = 0; status == FM_OK && i < SLOT_COUNT; i++)
        whole[i] = slot_decode(bytes + i * SLOT_BYTES, &out[i]) == FM_OK;
    return status;
}

enum fm_status slots_open(int dir, struct slots **out, struct slot_value *out_value,
                          struct fm_error *err)
{
    FM_AUTO(slots_closep) struct slots *slots = calloc(1, sizeof *slots);
    uint8_t bytes[SLOT_COUNT * SLOT_BYTES];
    enum fm_status status;

    if (slots == NULL)
        return FM_NOMEM;
    slots->fd = openat(dir, "slots", O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (slots->fd < 0 && errno == ENOENT)
        return FM_NOTFOUND;
    if (slots->fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "open the file `slots`");
    status = read_all(slots->fd, bytes, sizeof bytes, err);
    if (status == FM_OK)
        status = choose(slots, bytes, out_value, err);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(slots);
    return FM_OK;
}

void slots_close(struct slots *slots)
{
    if (slots == NULL)
        return;
    close_fd(&slots->fd);
    free(slots);
}

enum fm_status slots_write(struct slots *slots, const struct slot_value *value,
                           struct fm_error *err)
{
    uint8_t bytes[SLOT_BYTES];
    enum fm_status status;

    fm_assert(value->number >= slots->number);
    slot_encode(bytes, value);
    status = write_all(slots->fd, bytes, sizeof bytes, (off_t)(slots->next * SLOT_BYTES), err);
    if (status != FM_OK)
        return status;
    if (fdatasync(slots->fd) != 0)
        return fm_fail_errno(err, FM_IO, errno, "sync the file `slots`");
    slots->next = 1 - slots->next;
    slots->number = value->number;
    return FM_OK;
}
