#include "query/channel.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static bool is_kind(unsigned number)
{
    switch (number) {
#define X(name, value, who) case value:
        CHANNEL_KIND_MAP(X)
#undef X
        return true;
    default:
        return false;
    }
}

void channel_header_encode(const struct channel_frame *frame, uint8_t out[CHANNEL_HEADER_BYTES])
{
    fm_store32(out, CHANNEL_MAGIC);
    fm_store16(out + 4, (uint16_t)frame->kind);
    fm_store16(out + 6, 0);
    fm_store32(out + 8, frame->bytes);
    fm_store32(out + 12, frame->number);
}

enum fm_status channel_header_decode(const uint8_t in[CHANNEL_HEADER_BYTES],
                                     struct channel_frame *out)
{
    unsigned kind = fm_load16(in + 4);
    uint32_t bytes = fm_load32(in + 8);

    if (fm_load32(in) != CHANNEL_MAGIC || fm_load16(in + 6) != 0 || !is_kind(kind))
        return FM_MALFORMED;
    if (bytes > CHANNEL_PAYLOAD_MAX)
        return FM_LIMIT;
    *out = (struct channel_frame){
        .kind = (enum channel_kind)kind, .bytes = bytes, .number = fm_load32(in + 12)};
    return FM_OK;
}

/* Milliseconds until `deadline` as poll() takes them. */
static int poll_ms(fm_ms deadline)
{
    if (deadline == FM_MS_NEVER)
        return -1;
    fm_ms left = deadline - fm_now_ms();
    if (left <= 0)
        return 0;
    return left > INT_MAX ? INT_MAX : (int)left;
}

/* Wait until `fd` is ready. Without a deadline the call that follows blocks by itself: a worker
 * needs no poll(). */
static enum fm_status wait_ready(int fd, short events, fm_ms deadline)
{
    if (deadline == FM_MS_NEVER)
        return FM_OK;
    for (;;) {
        struct pollfd polled = {.fd = fd, .events = events};
        int ready = poll(&polled, 1, poll_ms(deadline));
        if (ready > 0)
            return FM_OK;
        if (ready == 0)
            return FM_TIMEOUT;
        if (errno != EINTR)
            return FM_IO;
    }
}

static enum fm_status socket_status(int error)
{
    return error == EPIPE || error == ECONNRESET ? FM_NOTFOUND : FM_IO;
}

union control_room { /* Aligned as the kernel's macros need it. */
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static void attach(struct msghdr *message, union control_room *room, int passed)
{
    message->msg_control = room->bytes;
    message->msg_controllen = sizeof room->bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof passed);
    memcpy(CMSG_DATA(header), &passed, sizeof passed);
}

enum fm_status channel_send(int fd, enum channel_kind kind, uint32_t number, struct fm_span payload,
                            int passed, fm_ms deadline)
{
    uint8_t header[CHANNEL_HEADER_BYTES];
    size_t sent = 0, total = CHANNEL_HEADER_BYTES + payload.len;

    if (payload.len > CHANNEL_PAYLOAD_MAX)
        return FM_LIMIT;
    struct channel_frame frame = {kind, (uint32_t)payload.len, number};
    channel_header_encode(&frame, header);
    while (sent < total) {
        size_t head = sent < sizeof header ? sizeof header - sent : 0;
        size_t body = sent < sizeof header ? 0 : sent - sizeof header;
        struct iovec parts[2] = {
            {header + sizeof header - head, head},
            {(void *)(uintptr_t)(payload.data + (payload.len > 0 ? body : 0)), payload.len - body}};
        struct msghdr message = {.msg_iov = head > 0 ? parts : parts + 1,
                                 .msg_iovlen = head > 0 ? 2 : 1};
        union control_room room = {0};
        if (passed >= 0 && sent == 0)
            attach(&message, &room, passed);
        enum fm_status status = wait_ready(fd, POLLOUT, deadline);
        if (status != FM_OK)
            return status;
        int flags = MSG_NOSIGNAL | (deadline == FM_MS_NEVER ? 0 : MSG_DONTWAIT);
        ssize_t n = sendmsg(fd, &message, flags);
        if (n < 0 && errno != EINTR && errno != EAGAIN)
            return socket_status(errno);
        if (n > 0)
            sent += (size_t)n;
    }
    return FM_OK;
}

void channel_reader_init(struct channel_reader *reader, int fd)
{
    *reader = (struct channel_reader){
        .fd = fd, .payload = FM_BUF_INIT(CHANNEL_PAYLOAD_MAX), .passed = -1};
}

static void drop_passed(struct channel_reader *reader)
{
    if (reader->passed >= 0)
        (void)close(reader->passed); /* Nobody wanted it. */
    reader->passed = -1;
}

void channel_reader_deinit(struct channel_reader *reader)
{
    drop_passed(reader);
    fm_buf_free(&reader->payload);
}

/* Keep the first descriptor that came with `message`; close any other. */
static void keep_passed(struct channel_reader *reader, struct msghdr *message)
{
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h != NULL; h = CMSG_NXTHDR(message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        drop_passed(reader);
        memcpy(&reader->passed, CMSG_DATA(h), sizeof reader->passed);
    }
}

/* One recvmsg() of up to `len` bytes. The room for control data holds one descriptor: the kernel
 * closes what does not fit. */
static enum fm_status take_some(struct channel_reader *reader, void *to, size_t len, int flags,
                                size_t *taken)
{
    union control_room room = {0};
    struct iovec part = {to, len};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    ssize_t n = recvmsg(reader->fd, &message, flags | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? FM_BUSY : socket_status(errno);
    if (n == 0)
        return FM_NOTFOUND;
    keep_passed(reader, &message);
    *taken = (size_t)n;
    return FM_OK;
}

static void start_frame(struct channel_reader *reader)
{
    drop_passed(reader);
    fm_buf_clear(&reader->payload);
    reader->got = 0;
}

static bool frame_complete(const struct channel_reader *reader)
{
    return reader->got >= CHANNEL_HEADER_BYTES &&
           reader->got - CHANNEL_HEADER_BYTES == reader->frame.bytes;
}

static enum fm_status step(struct channel_reader *reader, int flags)
{
    size_t taken = 0;

    if (frame_complete(reader))
        start_frame(reader);
    while (reader->got < CHANNEL_HEADER_BYTES) {
        enum fm_status status = take_some(reader, reader->header + reader->got,
                                          CHANNEL_HEADER_BYTES - reader->got, flags, &taken);
        if (status != FM_OK)
            return status;
        reader->got += (uint32_t)taken;
        if (reader->got < CHANNEL_HEADER_BYTES)
            continue;
        status = channel_header_decode(reader->header, &reader->frame);
        if (status == FM_OK && fm_buf_extend(&reader->payload, reader->frame.bytes) == NULL &&
            reader->frame.bytes > 0)
            status = fm_buf_status(&reader->payload);
        if (status != FM_OK) {
            reader->got = 0;
            reader->frame.bytes = 0;
            return status;
        }
    }
    while (!frame_complete(reader)) {
        size_t at = reader->got - CHANNEL_HEADER_BYTES;
        enum fm_status status =
            take_some(reader, reader->payload.data + at, reader->frame.bytes - at, flags, &taken);
        if (status != FM_OK)
            return status;
        reader->got += (uint32_t)taken;
    }
    return FM_OK;
}

enum fm_status channel_reader_step(struct channel_reader *reader)
{
    return step(reader, MSG_DONTWAIT);
}

enum fm_status channel_reader_wait(struct channel_reader *reader, fm_ms deadline)
{
    int flags = deadline == FM_MS_NEVER ? 0 : MSG_DONTWAIT;
    enum fm_status status = step(reader, flags);

    while (status == FM_BUSY) {
        status = wait_ready(reader->fd, POLLIN, deadline);
        if (status != FM_OK)
            return status;
        status = step(reader, flags);
    }
    return status;
}
