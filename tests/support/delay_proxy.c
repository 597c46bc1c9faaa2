#include "tests/support/delay_proxy.h"

#include "tests/support/bench_report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINKS_MAX 128u
#define PATHS_MAX 64u
#define POLLED_MAX (2 * DELAY_TARGETS_MAX + 2 * LINKS_MAX + PATHS_MAX + 1)
#define READ_BYTES (256u << 10)
#define QUEUE_BYTES_MAX (32u << 20) /* On its way in one direction; then the sender waits. */
#define DATAGRAM_BYTES 2048u
#define GREETING_BYTES 8u

struct chunk {
    struct chunk *next;
    double due_ms;
    size_t len;
    size_t sent;
    uint8_t bytes[];
};

struct queue {
    struct chunk *first, *last;
    size_t bytes;
};

struct direction {
    int from, to;
    bool is_ended;  /* `from` said its last. */
    bool is_closed; /* And `to` was told. */
    struct queue queue;
    uint64_t skip;     /* Bytes until the next length. */
    uint8_t length[8]; /* As far as it came. */
    uint32_t length_len;
};

struct link { /* A TCP connection. Unused: target is NULL. */
    struct target *target;
    struct direction directions[2]; /* To the node, from the node. */
};

struct path { /* Datagrams of one sender to one node: answers go back from the node's port. */
    struct target *target;
    struct sockaddr_in sender;
    int fd;
    struct queue to, back;
};

struct target {
    struct sockaddr_in address;
    int listener;
    int datagrams;
    struct delay_counters *counters;
};

struct delay_proxy {
    struct delay_state *state;
    uint32_t target_count, path_count;
    struct target targets[DELAY_TARGETS_MAX];
    struct link links[LINKS_MAX];
    struct path paths[PATHS_MAX];
    uint8_t bytes[READ_BYTES];
};

struct delay_state *delay_state_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0 || ftruncate(fd, (off_t)sizeof(struct delay_state)) != 0)
        bench_die("%s: %s", path, strerror(errno));
    void *state = mmap(NULL, sizeof(struct delay_state), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (state == MAP_FAILED)
        bench_die("%s: %s", path, strerror(errno));
    (void)close(fd); /* The mapping stays. */
    return state;
}

struct delay_proxy *delay_proxy_new(struct delay_state *state)
{
    struct delay_proxy *proxy = calloc(1, sizeof *proxy);

    if (proxy == NULL)
        bench_die("out of memory");
    proxy->state = state;
    return proxy;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

static void push(struct delay_proxy *proxy, struct queue *queue, const void *bytes, size_t len)
{
    struct chunk *chunk = malloc(sizeof *chunk + len);
    double due = bench_now_ms() + (double)atomic_load(&proxy->state->delay_us) / 1e3;

    if (chunk == NULL)
        bench_die("out of memory");
    *chunk = (struct chunk){.due_ms = due, .len = len};
    memcpy(chunk->bytes, bytes, len);
    if (queue->last != NULL && queue->last->due_ms > due)
        chunk->due_ms = queue->last->due_ms; /* The delay was made shorter: order stays. */
    if (queue->last == NULL)
        queue->first = chunk;
    else
        queue->last->next = chunk;
    queue->last = chunk;
    queue->bytes += len;
}

static void pop(struct queue *queue)
{
    struct chunk *chunk = queue->first;

    queue->first = chunk->next;
    if (queue->first == NULL)
        queue->last = NULL;
    queue->bytes -= chunk->len;
    free(chunk);
}

static void drop(struct queue *queue)
{
    while (queue->first != NULL)
        pop(queue);
}

static bool is_due(const struct queue *queue, double now)
{
    return queue->first != NULL && queue->first->due_ms <= now;
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void end_link(struct link *link)
{
    for (int i = 0; i < 2; i++) {
        drop(&link->directions[i].queue);
        (void)close(link->directions[i].from); /* Nothing is left to be lost. */
    }
    *link = (struct link){0};
}

static void count_messages(struct delay_counters *counters, struct direction *direction,
                           const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        if (direction->skip > 0) {
            uint64_t rest = len - at;
            uint64_t step = direction->skip < rest ? direction->skip : rest;
            direction->skip -= step;
            at += (size_t)step;
            continue;
        }
        direction->length[direction->length_len++] = bytes[at++];
        if (direction->length_len < sizeof direction->length)
            continue;
        direction->length_len = 0;
        for (size_t i = 0; i < sizeof direction->length; i++)
            direction->skip = direction->skip << 8 | direction->length[i];
        atomic_fetch_add(&counters->messages, 1);
    }
}

static void read_link(struct delay_proxy *proxy, struct link *link, struct direction *direction)
{
    ssize_t got = read(direction->from, proxy->bytes, sizeof proxy->bytes);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        direction->is_ended = true;
        return;
    }
    atomic_fetch_add(&link->target->counters->bytes, (unsigned long long)got);
    count_messages(link->target->counters, direction, proxy->bytes, (size_t)got);
    push(proxy, &direction->queue, proxy->bytes, (size_t)got);
}

/* false: the other end has gone. */
static bool write_link(struct direction *direction, double now)
{
    while (is_due(&direction->queue, now)) {
        struct chunk *chunk = direction->queue.first;
        ssize_t sent =
            send(direction->to, chunk->bytes + chunk->sent, chunk->len - chunk->sent, MSG_NOSIGNAL);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        chunk->sent += (size_t)sent;
        if (chunk->sent < chunk->len)
            return true;
        pop(&direction->queue);
    }
    if (direction->is_ended && !direction->is_closed && direction->queue.first == NULL) {
        (void)shutdown(direction->to, SHUT_WR); /* It may have gone. */
        direction->is_closed = true;
    }
    return true;
}

static void set_up(int fd)
{
    int one = 1;

    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        bench_die("a socket cannot be set up");
}

static void accept_link(struct delay_proxy *proxy, struct target *target)
{
    struct link *link = proxy->links;
    int from = accept4(target->listener, NULL, NULL, SOCK_CLOEXEC);

    if (from < 0)
        return; /* It went away again. */
    int to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (link < proxy->links + LINKS_MAX && link->target != NULL)
        link++;
    if (link == proxy->links + LINKS_MAX || to < 0 ||
        connect(to, (const struct sockaddr *)&target->address, sizeof target->address) != 0) {
        (void)close(from); /* The node is not there: so it looks to who asked. */
        if (to >= 0)
            (void)close(to); /* Nothing was sent. */
        return;
    }
    set_up(from);
    set_up(to);
    *link = (struct link){.target = target,
                          .directions = {{.from = from, .to = to, .skip = GREETING_BYTES},
                                         {.from = to, .to = from, .skip = GREETING_BYTES}}};
    atomic_fetch_add(&target->counters->connections, 1);
}

/* ---- Datagrams ------------------------------------------------------------------------------- */

static struct path *path_of(struct delay_proxy *proxy, struct target *target,
                            const struct sockaddr_in *sender)
{
    for (uint32_t i = 0; i < proxy->path_count; i++) {
        struct path *path = &proxy->paths[i];
        if (path->target == target && path->sender.sin_port == sender->sin_port &&
            path->sender.sin_addr.s_addr == sender->sin_addr.s_addr)
            return path;
    }
    if (proxy->path_count == PATHS_MAX)
        return NULL;
    struct path *path = &proxy->paths[proxy->path_count];
    *path = (struct path){.target = target, .sender = *sender};
    path->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (path->fd < 0 ||
        connect(path->fd, (const struct sockaddr *)&target->address, sizeof target->address) != 0)
        bench_die("no socket for datagrams");
    proxy->path_count++;
    return path;
}

static void count_datagram(struct delay_counters *counters, ssize_t bytes)
{
    atomic_fetch_add(&counters->datagrams, 1);
    atomic_fetch_add(&counters->datagram_bytes, (unsigned long long)bytes);
}

static void read_datagram(struct delay_proxy *proxy, struct target *target)
{
    struct sockaddr_in sender;
    socklen_t sender_len = sizeof sender;

    ssize_t got = recvfrom(target->datagrams, proxy->bytes, DATAGRAM_BYTES, MSG_DONTWAIT,
                           (struct sockaddr *)&sender, &sender_len);
    struct path *path = got < 0 ? NULL : path_of(proxy, target, &sender);
    if (path == NULL)
        return; /* Datagrams may be lost. */
    count_datagram(target->counters, got);
    push(proxy, &path->to, proxy->bytes, (size_t)got);
}

static void read_answer(struct delay_proxy *proxy, struct path *path)
{
    ssize_t got = recv(path->fd, proxy->bytes, DATAGRAM_BYTES, MSG_DONTWAIT);

    if (got < 0)
        return; /* Nobody listens there now. */
    count_datagram(path->target->counters, got);
    push(proxy, &path->back, proxy->bytes, (size_t)got);
}

static void write_datagrams(struct path *path, double now)
{
    while (is_due(&path->to, now)) {
        (void)send(path->fd, path->to.first->bytes, path->to.first->len, 0); /* May be lost. */
        pop(&path->to);
    }
    while (is_due(&path->back, now)) {
        (void)sendto(path->target->datagrams, path->back.first->bytes, path->back.first->len, 0,
                     (const struct sockaddr *)&path->sender, sizeof path->sender); /* The same. */
        pop(&path->back);
    }
}

/* ---- The loop -------------------------------------------------------------------------------- */

static void flush(struct delay_proxy *proxy)
{
    double now = bench_now_ms();

    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct link *link = &proxy->links[i];
        if (link->target == NULL)
            continue;
        bool is_alive =
            write_link(&link->directions[0], now) && write_link(&link->directions[1], now);
        if (!is_alive || (link->directions[0].is_closed && link->directions[1].is_closed))
            end_link(link);
    }
    for (uint32_t i = 0; i < proxy->path_count; i++)
        write_datagrams(&proxy->paths[i], now);
}

static double first_due(const struct delay_proxy *proxy)
{
    double due = 1e300;

    for (uint32_t i = 0; i < LINKS_MAX; i++)
        for (int j = 0; proxy->links[i].target != NULL && j < 2; j++) {
            const struct chunk *first = proxy->links[i].directions[j].queue.first;
            if (first != NULL && first->due_ms < due)
                due = first->due_ms;
        }
    for (uint32_t i = 0; i < proxy->path_count; i++) {
        const struct path *path = &proxy->paths[i];
        if (path->to.first != NULL && path->to.first->due_ms < due)
            due = path->to.first->due_ms;
        if (path->back.first != NULL && path->back.first->due_ms < due)
            due = path->back.first->due_ms;
    }
    return due;
}

static short wanted(const struct direction *reads, const struct direction *writes, double now)
{
    short events = 0;

    if (!reads->is_ended && reads->queue.bytes < QUEUE_BYTES_MAX)
        events |= POLLIN;
    if (is_due(&writes->queue, now))
        events |= POLLOUT;
    return events;
}

/* In the order in which take() looks at them. */
static nfds_t list(struct delay_proxy *proxy, int stop_fd, struct pollfd polled[POLLED_MAX])
{
    double now = bench_now_ms();
    nfds_t count = 0;

    polled[count++] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
    for (uint32_t i = 0; i < LINKS_MAX; i++) {
        struct direction *there = &proxy->links[i].directions[0];
        struct direction *back = &proxy->links[i].directions[1];
        bool is_used = proxy->links[i].target != NULL;
        short front = is_used ? wanted(there, back, now) : 0;
        short behind = is_used ? wanted(back, there, now) : 0;
        polled[count++] = (struct pollfd){.fd = front != 0 ? there->from : -1, .events = front};
        polled[count++] = (struct pollfd){.fd = behind != 0 ? back->from : -1, .events = behind};
    }
    for (uint32_t i = 0; i < proxy->path_count; i++)
        polled[count++] = (struct pollfd){.fd = proxy->paths[i].fd, .events = POLLIN};
    for (uint32_t i = 0; i < proxy->target_count; i++) {
        polled[count++] = (struct pollfd){.fd = proxy->targets[i].listener, .events = POLLIN};
        polled[count++] = (struct pollfd){.fd = proxy->targets[i].datagrams, .events = POLLIN};
    }
    return count;
}

static void take(struct delay_proxy *proxy, const struct pollfd *polled)
{
    const struct pollfd *at = polled + 1;
    uint32_t paths = proxy->path_count;

    for (uint32_t i = 0; i < LINKS_MAX; i++)
        for (int j = 0; j < 2; j++, at++)
            if (at->fd >= 0 && (at->revents & ~POLLOUT) != 0)
                read_link(proxy, &proxy->links[i], &proxy->links[i].directions[j]);
    for (uint32_t i = 0; i < paths; i++, at++)
        if (at->revents != 0)
            read_answer(proxy, &proxy->paths[i]);
    for (uint32_t i = 0; i < proxy->target_count; i++, at += 2) {
        if (at[1].revents != 0)
            read_datagram(proxy, &proxy->targets[i]);
        if (at[0].revents != 0)
            accept_link(proxy, &proxy->targets[i]);
    }
}

void delay_proxy_run(struct delay_proxy *proxy, int stop_fd)
{
    static const struct timespec for_ever = {.tv_sec = 3600};
    struct pollfd polled[POLLED_MAX];

    for (;;) {
        flush(proxy);
        nfds_t count = list(proxy, stop_fd, polled);
        double due = first_due(proxy), now = bench_now_ms();
        double wait_ms = due <= now ? 1.0 : due - now; /* Due and not sent: POLLOUT wakes. */
        struct timespec timeout = {.tv_sec = (time_t)(wait_ms / 1e3),
                                   .tv_nsec = (long)(wait_ms * 1e6) % 1000000000};
        int ready = ppoll(polled, count, due > 1e299 ? &for_ever : &timeout, NULL);
        if (ready < 0 && errno != EINTR)
            bench_die("poll: %s", strerror(errno));
        if (ready > 0 && polled[0].revents != 0)
            return;
        if (ready > 0)
            take(proxy, polled);
    }
}

/* ---- Beginning and end ----------------------------------------------------------------------- */

/* The same free port for both protocols; false: the other one has it. */
static bool bind_both(struct target *target, struct sockaddr_in *address)
{
    socklen_t len = sizeof *address;

    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    target->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    target->datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (target->listener < 0 || target->datagrams < 0 ||
        bind(target->listener, (const struct sockaddr *)address, sizeof *address) != 0 ||
        getsockname(target->listener, (struct sockaddr *)address, &len) != 0 ||
        listen(target->listener, 64) != 0)
        bench_die("no port to listen on");
    if (bind(target->datagrams, (const struct sockaddr *)address, sizeof *address) == 0)
        return true;
    (void)close(target->listener); /* Never used. */
    (void)close(target->datagrams);
    return false;
}

void delay_proxy_add(struct delay_proxy *proxy, const char *target, char out[32])
{
    struct target *added = &proxy->targets[proxy->target_count];
    struct sockaddr_in address;
    int tries = 0;
    char *end;

    if (proxy->target_count == DELAY_TARGETS_MAX || strncmp(target, "127.0.0.1:", 10) != 0)
        bench_die("%s: not an address to stand before", target);
    unsigned long port = strtoul(target + 10, &end, 10);
    if (*end != '\0' || port == 0 || port > 65535)
        bench_die("%s: not a port", target);
    while (!bind_both(added, &address))
        if (++tries == 32)
            bench_die("no port that is free for both protocols");
    added->address = address;
    added->address.sin_port = htons((uint16_t)port);
    added->counters = &proxy->state->targets[proxy->target_count++];
    (void)snprintf(out, 32, "127.0.0.1:%u", (unsigned)ntohs(address.sin_port));
}

void delay_proxy_free(struct delay_proxy *proxy)
{
    if (proxy == NULL)
        return;
    for (uint32_t i = 0; i < LINKS_MAX; i++)
        if (proxy->links[i].target != NULL)
            end_link(&proxy->links[i]);
    for (uint32_t i = 0; i < proxy->path_count; i++) {
        drop(&proxy->paths[i].to);
        drop(&proxy->paths[i].back);
        (void)close(proxy->paths[i].fd); /* Datagrams may be lost. */
    }
    for (uint32_t i = 0; i < proxy->target_count; i++) {
        (void)close(proxy->targets[i].listener); /* Nothing is left to be lost. */
        (void)close(proxy->targets[i].datagrams);
    }
    free(proxy);
}
