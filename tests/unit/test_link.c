/* Links end in bounded time, also where nng does not come to an end (nng_close() is held up here,
 * as nng 1.5.2 was seen to do). */
#include "client/link.h"
#include "core/time.h"

#include <nng/nng.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_link_is_closed_when_it_is_freed),
        cmocka_unit_test(a_close_that_hangs_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
