/* Links end in bounded time, also where nng does not come to an end (nng_close() is held up here,
 * as nng 1.5.2 was seen to do). Refusals show at once. */
#include "client/link.h"
#include "core/time.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <nng/nng.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

int __real_nng_close(nng_socket socket);
int __wrap_nng_close(nng_socket socket);

static atomic_bool held;   /* nng_close() waits while it is set. */
static atomic_uint closed; /* Calls that came to their end. */

static void nap(void)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
}

int __wrap_nng_close(nng_socket socket)
{
    while (atomic_load(&held))
        nap();
    int code = __real_nng_close(socket);
    atomic_fetch_add(&closed, 1);
    return code;
}

static struct fm_link *open_link(void)
{
    struct fm_link *link = NULL;
    struct fm_error err = {0};

    /* Nobody listens there; a link is made without waiting for that. */
    assert_int_equal(fm_link_open("127.0.0.1:1", &link, &err), FM_OK);
    return link;
}

static void a_link_is_closed_when_it_is_freed(void **state)
{
    (void)state;

    fm_link_free(open_link());
    assert_int_equal(atomic_load(&closed), 1);
    fm_link_free(NULL);
}

static void a_close_that_hangs_is_left(void **state)
{
    struct fm_link *link = open_link();
    unsigned before = atomic_load(&closed);
    (void)state;

    atomic_store(&held, true);
    fm_link_free(link); /* Comes back: else the test's own time ends it. */
    assert_int_equal(atomic_load(&closed), before);
    atomic_store(&held, false);
    while (atomic_load(&closed) == before)
        nap();
    nap(); /* The thread frees the link and ends. */
}

/* ---- Is a connection refused? ---- */

/* A port of this machine, at which `backlog` connections wait to be taken (-1: nobody listens). */
static int take_port(int backlog, struct sockaddr_in *at)
{
    socklen_t len = sizeof *at;

    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)at, sizeof *at), 0);
    if (backlog >= 0)
        assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)at, &len), 0);
    return fd;
}

static void print_address(const struct sockaddr_in *at, char out[32])
{
    assert_true(snprintf(out, 32, "127.0.0.1:%u", (unsigned)ntohs(at->sin_port)) < 32);
}

static void a_port_without_a_listener_refuses(void **state)
{
    fm_ms start = fm_now_ms();
    struct sockaddr_in at;
    char address[32];
    (void)state;

    int fd = take_port(-1, &at);
    print_address(&at, address);
    assert_true(fm_link_is_refused(address, start + 60000, NULL));
    assert_true(fm_now_ms() < start + 60000);
    (void)close(fd);
    fd = take_port(4, &at);
    print_address(&at, address);
    assert_false(fm_link_is_refused(address, fm_now_ms() + 60000, NULL));
    (void)close(fd);
    assert_false(fm_link_is_refused("no address", fm_now_ms() + 60000, NULL));
}

/* Nobody says anything: that is no refusal, and ends at the deadline, or when it is to stop. */
static void a_silent_port_does_not_refuse(void **state)
{
    struct sockaddr_in at;
    struct fm_stop stop;
    char address[32];
    (void)state;

    int fd = take_port(0, &at);
    print_address(&at, address);
    fm_ms start, waited = 0;
    for (int i = 0; i < 50 && waited < 40; i++) { /* The kernel takes a few before it is silent. */
        start = fm_now_ms();
        assert_false(fm_link_is_refused(address, start + 50, NULL));
        waited = fm_now_ms() - start;
    }
    assert_true(waited >= 40); /* nng has a clock of its own. */
    start = fm_now_ms();
    fm_stop_init(&stop);
    fm_stop_fire(&stop);
    assert_false(fm_link_is_refused(address, start + 60000, &stop));
    assert_true(fm_now_ms() < start + 60000);
    fm_stop_deinit(&stop);
    (void)close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_is_closed_when_it_is_freed),
        cmocka_unit_test(a_close_that_hangs_is_left),
        cmocka_unit_test(a_port_without_a_listener_refuses),
        cmocka_unit_test(a_silent_port_does_not_refuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
