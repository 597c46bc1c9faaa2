/* Places: bounded in number and per principal, handed on to who has the fewest, and waited for
 * within bounds. */
#include "core/limits.h"
#include "node/admission.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define LONG_MS 60000

static const struct fm_public_key ann = {{1}}, bob = {{2}};

struct fixture {
    struct fm_admission *admission;
    struct fm_error err;
    uint8_t queries; /* Each has another id. */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_admission_options options = {
        .places = {[FM_PLACE_MERGE] = 4, [FM_PLACE_SQL] = 4, [FM_PLACE_PLAN] = 1}};

    if (f == NULL || fm_admission_new(&options, &f->admission) != FM_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_admission_free(f->admission);
    free(f);
    return 0;
}

static enum fm_status enter(struct fixture *f, enum fm_place_kind kind,
                            const struct fm_public_key *principal, fm_ms wait_ms,
                            struct fm_place *place)
{
    const struct fm_request_id query = {{++f->queries}};
    struct fm_place_ask ask = {.kind = kind,
                               .principal = principal,
                               .query = &query,
                               .wait_ms = wait_ms,
                               .deadline = fm_now_ms() + LONG_MS};

    return fm_place_enter(f->admission, &ask, place, &f->err);
}

static void one_has_three_quarters_at_most(void **state)
{
    struct fixture *f = *state;
    struct fm_place anns[3], bobs[2];

    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(enter(f, FM_PLACE_MERGE, &ann, 0, &anns[i]), FM_OK);
    assert_int_equal(enter(f, FM_PLACE_MERGE, &ann, 0, &bobs[1]), FM_BUSY);
    assert_non_null(strstr(f->err.text, "3 of 4 places for queries that merge"));
    assert_non_null(strstr(f->err.text, "by you"));
    assert_non_null(strstr(f->err.text, "try again"));
    assert_int_equal(enter(f, FM_PLACE_MERGE, &bob, 0, &bobs[0]), FM_OK);
    assert_int_equal(enter(f, FM_PLACE_MERGE, &bob, 0, &bobs[1]), FM_BUSY);
    assert_null(strstr(f->err.text, "by you"));
    /* Another kind has places of its own. */
    assert_int_equal(enter(f, FM_PLACE_SQL, &ann, 0, &bobs[1]), FM_OK);
    fm_place_leave(&bobs[1]);
    fm_place_leave(&anns[0]);
    assert_int_equal(enter(f, FM_PLACE_MERGE, &bob, 0, &bobs[1]), FM_OK);
    fm_place_leave(&bobs[1]);
    fm_place_leave(&bobs[0]);
    fm_place_leave(&anns[1]);
    fm_place_leave(&anns[2]);
    fm_place_leave(&anns[2]); /* None any more. */
}

/* One query's fragments never wait for each other. */
static void fragments_of_a_query_share_a_place(void **state)
{
    struct fixture *f = *state;
    struct fm_place places[8];

    for (uint32_t i = 0; i < 8; i++) {
        f->queries = 0;
        assert_int_equal(enter(f, FM_PLACE_SQL, &bob, 0, &places[i]), FM_OK);
    }
    for (uint32_t i = 0; i < 8; i++)
        fm_place_leave(&places[i]);
    /* A query that is asked twice is two. */
    assert_int_equal(enter(f, FM_PLACE_PLAN, &bob, 0, &places[0]), FM_OK);
    f->queries--;
    assert_int_equal(enter(f, FM_PLACE_PLAN, &bob, 0, &places[1]), FM_BUSY);
    fm_place_leave(&places[0]);
}

static void a_place_moves_where_there_is_room(void **state)
{
    struct fixture *f = *state;
    struct fm_place planned, merged[3];

    assert_int_equal(enter(f, FM_PLACE_PLAN, &ann, 0, &planned), FM_OK);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(enter(f, FM_PLACE_MERGE, &ann, 0, &merged[i]), FM_OK);
    assert_false(fm_place_move(&planned, FM_PLACE_MERGE));
    fm_place_leave(&merged[0]);
    assert_true(fm_place_move(&planned, FM_PLACE_MERGE));
    assert_int_equal(enter(f, FM_PLACE_PLAN, &ann, 0, &merged[0]), FM_OK);
    fm_place_leave(&merged[0]);
    fm_place_leave(&merged[1]);
    fm_place_leave(&merged[2]);
    fm_place_leave(&planned);
}

struct visitor {
    struct fixture *f;
    const struct fm_public_key *principal;
    uint8_t query;
    fm_ms wait_ms;
    fm_ms deadline;
    struct fm_stop *stop;
    pthread_t thread;
    enum fm_status status;
    struct fm_error err;
    uint32_t *order; /* Counts who was admitted, under `lock`. */
    pthread_mutex_t *lock;
    uint32_t came;
};

static void *visit(void *argument)
{
    struct visitor *v = argument;
    const struct fm_request_id query = {{v->query, 1}};
    struct fm_place place = {0};
    struct fm_place_ask ask = {.kind = FM_PLACE_PLAN,
                               .principal = v->principal,
                               .query = &query,
                               .wait_ms = v->wait_ms,
                               .deadline = v->deadline,
                               .stop = v->stop};

    v->status = fm_place_enter(v->f->admission, &ask, &place, &v->err);
    if (v->status != FM_OK)
        return NULL;
    (void)pthread_mutex_lock(v->lock);
    v->came = ++*v->order;
    (void)pthread_mutex_unlock(v->lock);
    fm_place_leave(&place);
    return NULL;
}

/* All that may wait do, until `count` are seen to: told by the busy text of one that may not. */
static void await_waiting(struct fixture *f, uint32_t count)
{
    char text[32];
    struct fm_place place;

    (void)snprintf(text, sizeof text, " %u wait", count);
    do
        assert_int_equal(enter(f, FM_PLACE_PLAN, &ann, 0, &place), FM_BUSY);
    while (strstr(f->err.text, text) == NULL);
}

/* All who wait are admitted, however many; and one light user is not behind many of another. */
static void all_who_wait_are_admitted(void **state)
{
    enum { COUNT = 40 };
    static struct visitor visitors[COUNT];
    struct fixture *f = *state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct fm_place place;
    uint32_t order = 0;

    assert_int_equal(enter(f, FM_PLACE_PLAN, &ann, 0, &place), FM_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        visitors[i] = (struct visitor){.f = f,
                                       .principal = i == COUNT - 1 ? &bob : &ann,
                                       .query = (uint8_t)(i + 1),
                                       .wait_ms = LONG_MS,
                                       .deadline = fm_now_ms() + LONG_MS,
                                       .order = &order,
                                       .lock = &mutex};
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
        await_waiting(f, i + 1);
    }
    fm_place_leave(&place);
    for (uint32_t i = 0; i < COUNT; i++) {
        assert_int_equal(pthread_join(visitors[i].thread, NULL), 0);
        assert_int_equal(visitors[i].status, FM_OK);
    }
    assert_int_equal(order, COUNT);
    /* The one place was ann's; when it became free nobody had any, so the first came first. */
    assert_true(visitors[0].came < visitors[COUNT - 2].came);
}

static void waiting_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct fm_place place;
    struct fm_stop stop;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    uint32_t order = 0;
    struct visitor late = {.f = f, .principal = &bob, .query = 1, .wait_ms = 30};
    struct visitor slow = {.f = f, .principal = &bob, .query = 2, .wait_ms = LONG_MS};
    struct visitor stopped = {.f = f, .principal = &bob, .query = 3, .wait_ms = LONG_MS};

    late.order = slow.order = stopped.order = &order;
    late.lock = slow.lock = stopped.lock = &mutex;
    assert_int_equal(enter(f, FM_PLACE_PLAN, &ann, 0, &place), FM_OK);
    late.deadline = fm_now_ms() + LONG_MS;
    (void)visit(&late);
    assert_int_equal(late.status, FM_BUSY);
    assert_non_null(strstr(late.err.text, "none became free in 3"));
    slow.deadline = fm_now_ms() + 30;
    (void)visit(&slow);
    assert_int_equal(slow.status, FM_TIMEOUT);
    fm_stop_init(&stop);
    stopped.stop = &stop;
    stopped.deadline = fm_now_ms() + LONG_MS;
    assert_int_equal(pthread_create(&stopped.thread, NULL, visit, &stopped), 0);
    await_waiting(f, 1);
    fm_stop_fire(&stop);
    assert_int_equal(pthread_join(stopped.thread, NULL), 0);
    assert_int_equal(stopped.status, FM_CANCELLED);
    fm_stop_deinit(&stop);
    fm_place_leave(&place);
}

/* Who waits holds a thread: one principal has three quarters of those, too. */
static void the_queue_is_bounded(void **state)
{
    enum { SHARE = FM_QUERIES_WAITING_MAX - FM_QUERIES_WAITING_MAX / 4 };
    static struct visitor visitors[SHARE + 1];
    struct fixture *f = *state;
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    struct fm_place place;
    struct fm_stop stop;
    uint32_t order = 0;

    fm_stop_init(&stop);
    assert_int_equal(enter(f, FM_PLACE_PLAN, &bob, 0, &place), FM_OK);
    for (uint32_t i = 0; i <= SHARE; i++) {
        visitors[i] = (struct visitor){.f = f,
                                       .principal = &ann,
                                       .query = (uint8_t)(i + 1),
                                       .wait_ms = LONG_MS,
                                       .deadline = fm_now_ms() + LONG_MS,
                                       .stop = &stop,
                                       .order = &order,
                                       .lock = &mutex};
        if (i == SHARE)
            break;
        assert_int_equal(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
        await_waiting(f, i + 1);
    }
    (void)visit(&visitors[SHARE]);
    assert_int_equal(visitors[SHARE].status, FM_BUSY); /* At once. */
    fm_stop_fire(&stop);
    for (uint32_t i = 0; i < SHARE; i++) {
        assert_int_equal(pthread_join(visitors[i].thread, NULL), 0);
        assert_int_equal(visitors[i].status, FM_CANCELLED);
    }
    fm_stop_deinit(&stop);
    fm_place_leave(&place);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(one_has_three_quarters_at_most),
                                       TEST(fragments_of_a_query_share_a_place),
                                       TEST(a_place_moves_where_there_is_room),
                                       TEST(all_who_wait_are_admitted),
                                       TEST(waiting_is_bounded),
                                       TEST(the_queue_is_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
