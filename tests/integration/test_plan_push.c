/* Small sides go to the big owner (query/push.h), planned with a real worker: what goes, what
 * stays, and that the rule costs no second planning where it cannot pay. */
#include "query/plan.h"
#include "tests/support/plan_catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LONG_MS 120000

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {.worker_path = WORKER, .threads = 1, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK ||
        fm_worker_lend(f->engine, NULL, fm_now_ms() + LONG_MS, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_worker_free(f->worker);
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

struct expectation {
    const char *sql;
    const char *plan; /* As catalog_describe() gives it. */
};

static void describe_pushed(struct fixture *f, const struct fm_catalog *catalog,
                            const struct expectation *wanted, uint64_t rules_off)
{
    const struct fm_plan_options options = {.rules_off = rules_off};
    struct fm_plan made = {0};
    struct fm_buf text = FM_BUF_INIT(0);

    if (fm_plan_make(f->worker, fm_span_str(wanted->sql), catalog, &options, &made, &f->err) !=
        FM_OK)
        fail_msg("%s: %s", wanted->sql, f->err.text);
    catalog_describe(&made, &text);
    if (wanted->plan == NULL ? strstr((const char *)text.data, "<push:") != NULL
                             : strcmp((const char *)text.data, wanted->plan) != 0)
        fail_msg("%s:\n  is     %s\n  wanted %s", wanted->sql, (const char *)text.data,
                 wanted->plan != NULL ? wanted->plan : "no push");
    fm_buf_free(&text);
    fm_plan_deinit(&made);
}

static bool is_pushed(struct fixture *f, const struct fm_catalog *catalog, const char *sql)
{
    const struct fm_plan_options options = {.rules_off = 0};
    struct fm_plan made = {0};
    bool pushed = false;

    if (fm_plan_make(f->worker, fm_span_str(sql), catalog, &options, &made, &f->err) != FM_OK)
        fail_msg("%s: %s", sql, f->err.text);
    for (uint32_t i = 0; i < made.table_count; i++)
        pushed = pushed || made.tables[i].rule == FM_RULE_PUSH;
    fm_plan_deinit(&made);
    return pushed;
}

/* A statement that makes few rows of many goes to the owner of the many, with the few of others. */
static void small_sides_go_to_the_big_owner(void **state)
{
    static const struct expectation pushed[] = {
        {"SELECT d.id, a.city FROM flights.delays d JOIN airports.airport a ON d.origin = a.iata "
         "WHERE a.state > 'C' ORDER BY d.delay, d.id LIMIT 5",
         "merge streams flights.delays<push: SELECT d.id, a.city FROM flights.delays AS d INNER "
         "JOIN airports.airport AS a ON ((d.origin = a.iata)) WHERE (a.state > 'C') ORDER BY "
         "d.delay, d.id LIMIT 5><given 2>(id,city)[]{} airports.airport(iata,city,state)"
         "[state > 'C']{iata,city,state}"},
        {"SELECT o.state AS a, t.state AS b, median(d.delay) FROM airports.airport o JOIN "
         "flights.delays d ON d.origin = o.iata LEFT JOIN airports.airport t ON d.destination = "
         "t.iata AND d.delay > t.latitude WHERE o.city <> 'x' GROUP BY 1, t.state",
         "merge streams airports.airport(iata,city,state,latitude)[]{iata,city,state} "
         "flights.delays<push: SELECT o.state AS a, t.state AS b, median(d.delay) FROM "
         "airports.airport AS o INNER JOIN flights.delays AS d ON ((d.origin = o.iata)) LEFT JOIN "
         "airports.airport AS t ON (((d.destination = t.iata) AND (d.delay > t.latitude))) WHERE "
         "(o.city != 'x') GROUP BY 1, t.state><given 1>(a,b,median(d.delay))[]{}"},
        {"SELECT median(d.delay) FROM flights.delays d AT (VERSION => 7), airports.airport a AT "
         "(VERSION => "
         "8), airports.airport b WHERE d.note < a.city || b.city",
         "merge streams flights.delays<push: SELECT median(d.delay) FROM flights.delays AS d AT "
         "(VERSION => 7) , airports.airport AS a AT (VERSION => 8) , airports.airport AS b WHERE "
         "(d.note < (a.city || b.city))><given 6>(median(d.delay))[]{} "
         "airports.airport@8(city)[]{} airports.airport(city)[]{}"},
    };
    static const struct expectation left[] = {
        /* As many rows as flights, for all that is known; */
        {"SELECT d.id, a.city FROM flights.delays d JOIN airports.airport a ON d.origin = a.iata",
         NULL},
        {"SELECT q.x, median(q.delay) FROM (SELECT upper(origin) AS x, delay, origin FROM "
         "flights.delays) q JOIN airports.airport a ON q.origin = a.iata GROUP BY q.x",
         NULL},
        /* the merge stops early; */
        {"SELECT d.id, a.city FROM flights.delays d JOIN airports.airport a ON d.origin = a.iata "
         "LIMIT 5",
         NULL},
        /* groups are few already; */
        {"SELECT a.state, count(*) FROM flights.delays d JOIN airports.airport a ON d.origin = "
         "a.iata GROUP BY a.state",
         NULL},
        /* another clock. */
        {"SELECT d.id, age(d.date) FROM flights.delays d JOIN airports.airport a ON d.origin = "
         "a.iata ORDER BY d.id LIMIT 5",
         NULL},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof pushed / sizeof pushed[0]; i++) {
        const struct expectation without = {pushed[i].sql, NULL};
        describe_pushed(f, &catalog_with_statistics, &pushed[i], 0);
        describe_pushed(f, &catalog_with_statistics, &without, UINT64_C(1) << FM_RULE_PUSH);
        describe_pushed(f, &catalog_for_plans, &without, 0); /* Nothing is known. */
    }
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++)
        describe_pushed(f, &catalog_with_statistics, &left[i], 0);
}

/* The same catalog, in which airports.airport.city is of a class; it counts lookups. */
struct classified {
    enum fm_classification class;
    uint32_t resolved;
};

static enum fm_status resolve_classified(void *context, const char *domain, const char *name,
                                         struct fm_schema **schema, struct fm_node_id *owner,
                                         uint64_t *rows)
{
    struct classified *classified = context;
    enum fm_status status =
        catalog_with_statistics.resolve(NULL, domain, name, schema, owner, rows);

    classified->resolved++;
    if (status == FM_OK && strcmp(domain, "airports") == 0)
        (*schema)->fields[1].classification = (uint8_t)classified->class;
    return status;
}

/* Not in the select list, not in a condition, not among others. */
static void classified_columns_are_not_given(void **state)
{
    static const enum fm_classification kept[] = {FM_CLASS_PERSONAL, FM_CLASS_SECRET};
    static const struct {
        const char *sql;
        bool reads_city;
    } cases[] = {
        {"SELECT d.id, a.city FROM flights.delays d JOIN airports.airport a ON d.origin = a.iata "
         "WHERE a.state > 'C' ORDER BY d.delay, d.id LIMIT 5",
         true},
        {"SELECT median(d.delay) FROM flights.delays d JOIN airports.airport a ON d.origin = "
         "a.iata WHERE a.city || d.note <> 'x'",
         true},
        {"SELECT d.id, a.state FROM flights.delays d JOIN airports.airport a ON d.origin = a.iata "
         "ORDER BY d.delay, d.id LIMIT 5",
         false},
    };
    struct classified classified = {.class = FM_CLASS_OPEN};
    struct fm_catalog catalog = catalog_with_statistics;
    struct fixture *f = *state;

    catalog.context = &classified;
    catalog.resolve = resolve_classified;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        classified.class = FM_CLASS_OPEN;
        assert_true(is_pushed(f, &catalog, cases[i].sql));
        for (size_t k = 0; k < sizeof kept / sizeof kept[0]; k++) {
            classified.class = kept[k];
            assert_int_equal(is_pushed(f, &catalog, cases[i].sql), !cases[i].reads_city);
        }
    }
}

/* Grouped or reduced they cost less than the big owner's reading: no second look is taken. */
static void what_cannot_pay_is_planned_once(void **state)
{
    static const struct {
        const char *sql;
        uint32_t resolved;
    } cases[] = {
        {"SELECT a.state, count(*) AS n, avg(f.delay) AS d FROM flights.delays f JOIN "
         "airports.airport a ON f.origin = a.iata GROUP BY a.state ORDER BY a.state",
         2},
        {"SELECT o.state AS os, d.state AS ds, count(*) AS n, avg(f.delay) AS dl FROM "
         "flights.delays f JOIN airports.airport o ON f.origin = o.iata JOIN airports.airport d "
         "ON f.destination = d.iata GROUP BY o.state, d.state ORDER BY n DESC, os, ds LIMIT 20",
         3},
        {"SELECT DISTINCT origin FROM flights.delays INTERSECT SELECT iata FROM airports.airport",
         2},
        {"SELECT f.delay, f.origin, a.city FROM flights.delays f JOIN airports.airport a ON "
         "f.origin = a.iata WHERE a.city = 'Seattle' AND f.delay > 120",
         2},
        {"SELECT f.id, a.city FROM flights.delays f JOIN airports.airport a ON f.origin = a.iata "
         "ORDER BY f.delay, f.id LIMIT 5",
         4}, /* And this is pushed. */
    };
    struct classified classified = {.class = FM_CLASS_OPEN};
    struct fm_catalog catalog = catalog_with_statistics;
    struct fixture *f = *state;

    catalog.context = &classified;
    catalog.resolve = resolve_classified;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        classified.resolved = 0;
        assert_int_equal(is_pushed(f, &catalog, cases[i].sql), i == 4);
        if (classified.resolved != cases[i].resolved)
            fail_msg("%s: %u tables looked up", cases[i].sql, classified.resolved);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(small_sides_go_to_the_big_owner, setup, teardown),
        cmocka_unit_test_setup_teardown(classified_columns_are_not_given, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_pay_is_planned_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
