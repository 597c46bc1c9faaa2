/* Waits that are cut short: a hook is called once, whether it came before the stop fired or after,
 * and not any more once it was unhooked. */
#include "core/stop.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void count(void *context)
{
    ++*(int *)context;
}

static void hooks_are_called_once(void **state)
{
    struct fm_stop_hook before, gone, after;
    struct fm_stop stop;
    int calls[3] = {0};

    (void)state;
    fm_stop_init(&stop);
    fm_stop_hook(&stop, &before, count, &calls[0]);
    fm_stop_hook(&stop, &gone, count, &calls[1]);
    fm_stop_unhook(&stop, &gone);
    fm_stop_unhook(&stop, &gone);
    assert_false(fm_stop_is_fired(&stop));
    fm_stop_fire(&stop);
    fm_stop_fire(&stop);
    assert_true(fm_stop_is_fired(&stop));
    fm_stop_hook(&stop, &after, count, &calls[2]);
    assert_int_equal(calls[0], 1);
    assert_int_equal(calls[1], 0);
    assert_int_equal(calls[2], 1);
    fm_stop_unhook(&stop, &before);
    fm_stop_unhook(&stop, &after);
    fm_stop_deinit(&stop);
}

static void none_never_fires(void **state)
{
    struct fm_stop_hook hook;
    int calls = 0;

    (void)state;
    assert_false(fm_stop_is_fired(NULL));
    fm_stop_hook(NULL, &hook, count, &calls);
    fm_stop_unhook(NULL, &hook);
    assert_int_equal(calls, 0);
}

static void *fire(void *argument)
{
    fm_stop_fire(argument);
    return NULL;
}

/* Whoever hooks and unhooks while it fires is called or not, but never afterwards. */
static void firing_meets_hooking(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct fm_stop_hook hooks[4];
        struct fm_stop stop;
        int calls[4] = {0};
        pthread_t thread;

        fm_stop_init(&stop);
        assert_int_equal(pthread_create(&thread, NULL, fire, &stop), 0);
        for (int i = 0; i < 4; i++)
            fm_stop_hook(&stop, &hooks[i], count, &calls[i]);
        fm_stop_unhook(&stop, &hooks[2]);
        int known = calls[2];
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(calls[2], known);
        for (int i = 0; i < 4; i++)
            assert_true(i == 2 || calls[i] == 1);
        for (int i = 0; i < 4; i++)
            fm_stop_unhook(&stop, &hooks[i]);
        fm_stop_deinit(&stop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hooks_are_called_once),
        cmocka_unit_test(none_never_fires),
        cmocka_unit_test(firing_meets_hooking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
