/* Who speaks PostgreSQL's protocol to a node and means no good, or is only slow: connections that
 * never log in, garbage, sizes that cannot be, a thousand that rest, one that takes nothing, and
 * thousands that come and go. Meanwhile others are served; afterwards nothing is left. */
#include "core/limits.h"
#include "tests/support/live_mesh.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SLOW 40u /* Connections that say nothing, and as many that say little. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IDLE 200u
#else
#define IDLE 1000u
#endif

struct client {
    int fd;
    SSL *tls;
};

struct fixture {
    struct live_mesh *mesh;
    struct live_node *node;
    char *token;
    SSL_CTX *context;
    struct live_usage before;
    fm_ms slow_since;
    int slow[2 * SLOW];
    uint32_t dripped;
};

static int dial(const struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(f->node->postgres_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 20};
    int on = 1;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void put(const struct client *client, const void *data, size_t len)
{
    if (client->tls != NULL)
        assert_int_equal(SSL_write(client->tls, data, (int)len), len);
    else
        assert_int_equal(send(client->fd, data, len, MSG_NOSIGNAL), len);
}

static void get(const struct client *client, void *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = client->tls != NULL
                          ? SSL_read(client->tls, (char *)data + at, (int)(len - at))
                          : recv(client->fd, (char *)data + at, len - at, 0);
        assert_true(got > 0);
        at += (size_t)got;
    }
}

/* The next message: its type; its body, cut, to `body`. */
static char message(const struct client *client, uint8_t body[1024])
{
    uint8_t header[5], rest;

    get(client, header, sizeof header);
    uint32_t len = ((uint32_t)header[1] << 24 | (uint32_t)header[2] << 16 |
                    (uint32_t)header[3] << 8 | header[4]) -
                   4;
    for (uint32_t i = 0; i < len; i++)
        get(client, i < 1024 ? body + i : &rest, 1);
    return (char)header[0];
}

static void put_text(const struct client *client, char type, const char *text)
{
    uint32_t len = (uint32_t)strlen(text) + 5;
    const uint8_t header[] = {(uint8_t)type, (uint8_t)(len >> 24), (uint8_t)(len >> 16),
                              (uint8_t)(len >> 8), (uint8_t)len};

    put(client, header, sizeof header);
    put(client, text, strlen(text) + 1);
}

static struct client log_in(const struct fixture *f, bool with_tls)
{
    static const uint8_t startup[] = "\0\0\0\x15\0\3\0\0user\0reader\0";
    struct client client = {.fd = dial(f)};
    uint8_t body[1024], answer = 0;
    char type;

    if (with_tls) {
        put(&client, "\0\0\0\10\4\xd2\x16\x2f", 8);
        get(&client, &answer, 1);
        assert_int_equal(answer, 'S');
        SSL *tls = SSL_new(f->context);
        assert_non_null(tls);
        assert_int_equal(SSL_set_fd(tls, client.fd), 1);
        assert_int_equal(SSL_connect(tls), 1);
        client.tls = tls;
    }
    put(&client, startup, 21);
    assert_int_equal(message(&client, body), 'R');
    put_text(&client, 'p', f->token);
    while ((type = message(&client, body)) != 'Z')
        assert_int_not_equal(type, 'E');
    return client;
}

static void leave(struct client *client)
{
    SSL_free(client->tls);
    (void)close(client->fd);
}

static void ask(const struct client *client)
{
    uint8_t body[1024];
    bool is_right = false;
    char type;

    put_text(client, 'Q', "SELECT count(*) FROM alpha.items");
    while ((type = message(client, body)) != 'Z')
        is_right |= type == 'D' && memcmp(body,
                                          "\0\1\0\0\0\3"
                                          "100",
                                          9) == 0;
    assert_true(is_right);
}

static void assert_serves(const struct fixture *f)
{
    struct client client = log_in(f, true);

    ask(&client);
    leave(&client);
}

/* What was held for connections that have gone is given back. */
static void assert_no_more_open(const struct fixture *f, uint32_t fds)
{
    struct live_usage now = live_usage(f->node->pid);

    for (int i = 0; i < 100 && now.fds > fds; i++) {
        (void)usleep(100000);
        now = live_usage(f->node->pid);
    }
    assert_in_range(now.fds, 0, fds);
}

/* A byte each of a startup packet that would be whole in an hour. */
static void drip(struct fixture *f)
{
    static const uint8_t startup[] = "\0\0\x10\0\0\3\0\0user";

    for (uint32_t i = 0; i < SLOW; i++)
        (void)send(f->slow[i], &startup[f->dripped % 12], 1, MSG_NOSIGNAL); /* Or it is closed. */
    f->dripped++;
}

static int group_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct rlimit limit;

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    f->context = SSL_CTX_new(TLS_client_method());
    assert_non_null(f->context);
    f->mesh = live_mesh_new();
    f->node = live_make_node(f->mesh, "alpha");
    f->node->postgres = "127.0.0.1:0";
    live_start(f->mesh, f->node);
    live_publish(f->mesh, f->node, 100);
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    f->token = live_output(f->mesh, "reader", f->node, (const char *const[]){"token", NULL});
    f->token[strcspn(f->token, "\n")] = '\0';
    assert_serves(f);
    f->before = live_usage(f->node->pid);
    f->slow_since = fm_now_ms();
    for (uint32_t i = 0; i < 2 * SLOW; i++)
        f->slow[i] = dial(f);
    *state = f;
    return 0;
}

static int group_teardown(void **state)
{
    struct fixture *f = *state;

    live_mesh_free(f->mesh);
    SSL_CTX_free(f->context);
    free(f->token);
    free(f);
    return 0;
}

/* ---- What they do ---------------------------------------------------------------------------- */

static void assert_closed(int fd)
{
    uint8_t bytes[1024];
    ssize_t got = 0;

    do
        got = recv(fd, bytes, sizeof bytes, 0);
    while (got > 0);
    assert_true(got == 0 || errno == ECONNRESET);
    (void)close(fd);
}

static void garbage_is_closed(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\xff\xff\xff\xff\0\3\0\0", 8},    {"\0\0\0\3\0\0\0\0", 8},
        {"\0\0\x27\x11\0\3\0\0", 8},        {"GET / HTTP/1.1\r\n\r\n", 18},
        {"\x16\3\1\2\0\1\0\1\xfc\3\3", 11}, {"\0\0\0\11\0\3\0\0x", 9},
        {"\0\0\0\10\0\2\0\0", 8},           {"\0\0\0\10\4\xd2\x16\x2f garbage", 16},
        {"\0\0\0\10\4\xd2\x16\x2e", 8},     {"\0\0\0\11\0\3\0\0\0Q\0\0\0\6;\0", 16},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int fd = dial(f);
        assert_int_equal(send(fd, cases[i].bytes, cases[i].len, MSG_NOSIGNAL), cases[i].len);
        assert_closed(fd);
    }
    drip(f);
    assert_serves(f);
}

/* TLS is begun, and then something else comes. */
static void garbage_in_tls_is_closed(void **state)
{
    struct fixture *f = *state;
    struct client client = {.fd = dial(f)};
    uint8_t answer = 0;

    put(&client, "\0\0\0\10\4\xd2\x16\x2f", 8);
    get(&client, &answer, 1);
    assert_int_equal(answer, 'S');
    put(&client, "\x16\3\1\0\4junkjunkjunkjunk", 21);
    assert_closed(client.fd);
    assert_serves(f);
}

static void messages_that_cannot_be_end_a_session(void **state)
{
    static const char *const cases[] = {"Q\x7f\xff\xff\xff", "Q\0\0\0\3", "?\0\0\0\4",
                                        "P\x40\0\0\0"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client = log_in(f, false);
        put(&client, cases[i], 5);
        uint8_t body[1024];
        assert_int_equal(message(&client, body), 'E');
        assert_non_null(memmem(body, 64, "FATAL", 5));
        assert_closed(client.fd);
    }
    drip(f);
}

static void a_thousand_rest_while_others_ask(void **state)
{
    struct fixture *f = *state;
    struct client *clients = calloc(IDLE, sizeof *clients);

    assert_non_null(clients);
    struct live_usage before = live_usage(f->node->pid);
    for (uint32_t i = 0; i < IDLE; i++) {
        clients[i] = log_in(f, true);
        if (i % 200 == 0)
            drip(f);
    }
    struct live_usage after = live_usage(f->node->pid);
    uint64_t kib = (after.rss_kib - before.rss_kib) / IDLE;
    print_message("%u connections with TLS at rest: %llu KiB each, %u threads\n", IDLE,
                  (unsigned long long)kib, after.threads);
    if (IDLE == 1000) /* Sanitizers take memory of their own. */
        assert_in_range(kib, 0, 64);
    assert_in_range(after.threads, 0, before.threads + FM_PG_THREADS);
    assert_serves(f);
    ask(&clients[0]);
    ask(&clients[IDLE - 1]);
    for (uint32_t i = 0; i < IDLE; i++)
        leave(&clients[i]);
    free(clients);
    assert_no_more_open(f, before.fds + 8);
}

/* Its statement waits with it; nobody else does, and it ends when the client goes. */
static void one_that_takes_nothing_holds_up_nobody(void **state)
{
    struct fixture *f = *state;
    struct client client = log_in(f, false);

    put_text(&client, 'Q', "SELECT x, x + 1 FROM range(20000000) t(x)");
    (void)usleep(500000);
    drip(f);
    for (int i = 0; i < 5; i++)
        assert_serves(f);
    (void)close(client.fd);
    assert_no_more_open(f, f->before.fds + 2 * SLOW + 8);
    assert_serves(f);
}

static void thousands_come_and_go(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 3 * IDLE; i++)
        (void)close(dial(f));
    assert_serves(f);
    drip(f);
    assert_no_more_open(f, f->before.fds + 2 * SLOW + 8);
}

/* Saying a byte now and then does not help: what counts is when the connection began. */
static void who_does_not_log_in_is_dropped(void **state)
{
    struct fixture *f = *state;

    while (fm_now_ms() < f->slow_since + FM_PG_LOGIN_MS - 2000) {
        drip(f);
        (void)usleep(500000);
    }
    struct pollfd one = {.fd = f->slow[SLOW], .events = POLLIN};
    bool is_open = poll(&one, 1, 0) == 0;
    fm_ms looked = fm_now_ms();
    if (looked < f->slow_since + FM_PG_LOGIN_MS - 500)
        assert_true(is_open); /* Not before its time. */
    for (uint32_t i = 0; i < 2 * SLOW; i++)
        assert_closed(f->slow[i]);
    assert_in_range(fm_now_ms(), f->slow_since + FM_PG_LOGIN_MS, looked + 15000);
    assert_serves(f);
    assert_no_more_open(f, f->before.fds + 8);
    struct live_usage now = live_usage(f->node->pid);
    live_assert_growth(&f->before, &now, 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_is_closed),
        cmocka_unit_test(garbage_in_tls_is_closed),
        cmocka_unit_test(messages_that_cannot_be_end_a_session),
        cmocka_unit_test(a_thousand_rest_while_others_ask),
        cmocka_unit_test(one_that_takes_nothing_holds_up_nobody),
        cmocka_unit_test(thousands_come_and_go),
        cmocka_unit_test(who_does_not_log_in_is_dropped),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
