/* Where work is done: what is expected of slots, and which of them reduce which others, over plans
 * made by hand. Slot 0 is big, slot 1 small, slot 2 in between; all have a column "key" (id 1) and
 * a column "value" (id 2), and statistics unless a test takes them away. */
#include "query/place.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define SLOTS 3u
#define BIG 0u
#define SMALL 1u
#define MIDDLE 2u

struct fixture {
    struct fm_plan plan;
    struct fm_column_figures *figures[SLOTS]; /* Of key and value. */
};

static struct fm_schema *make_schema(uint32_t slot)
{
    struct fm_schema *schema = calloc(1, sizeof *schema);

    assert_non_null(schema);
    schema->fields = calloc(2, sizeof *schema->fields);
    assert_non_null(schema->fields);
    schema->field_count = 2;
    (void)snprintf(schema->domain, sizeof schema->domain, "d%u", slot);
    (void)snprintf(schema->table, sizeof schema->table, "t");
    for (uint32_t i = 0; i < 2; i++) {
        schema->fields[i].id = i + 1;
        schema->fields[i].type.kind = FM_KIND_INT64;
        (void)snprintf(schema->fields[i].name, FM_NAME_MAX, "%s", i == 0 ? "key" : "value");
    }
    return schema;
}

static void make_slot(struct fixture *f, uint32_t slot, uint64_t rows, uint64_t keys)
{
    struct fm_plan_table *table = &f->plan.tables[slot];
    struct fm_statistics *statistics = calloc(1, sizeof *statistics);

    assert_non_null(statistics);
    table->schema = make_schema(slot);
    table->fields = calloc(2, sizeof *table->fields);
    assert_non_null(table->fields);
    table->fields[1] = 1;
    table->field_count = 2;
    statistics->rows = rows;
    statistics->column_count = 2;
    statistics->columns = f->figures[slot] = calloc(2, sizeof *statistics->columns);
    assert_non_null(statistics->columns);
    for (uint32_t i = 0; i < 2; i++) {
        struct fm_column_figures *figures = &statistics->columns[i];
        const int64_t max = 999;
        figures->field_id = i + 1;
        figures->bytes = rows * 8;
        figures->distinct = i == 0 ? keys : 1000;
        figures->min_len = figures->max_len = 8; /* From 0 */
        memcpy(figures->max, &max, sizeof max);
    }
    table->statistics = statistics;
    table->rule = FM_RULE_SCAN;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->plan.kind = FM_PLAN_MERGE;
    f->plan.rtt_us = 1000;
    f->plan.table_count = SLOTS;
    f->plan.tables = calloc(SLOTS, sizeof *f->plan.tables);
    f->plan.joins = calloc(FM_PLAN_JOINS_MAX, sizeof *f->plan.joins);
    assert_non_null(f->plan.tables);
    assert_non_null(f->plan.joins);
    make_slot(f, BIG, 1000000, 1000);
    make_slot(f, SMALL, 10, 10);
    make_slot(f, MIDDLE, 100000, 1000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_plan_deinit(&f->plan);
    free(f);
    return 0;
}

static void join(struct fixture *f, uint32_t left, uint32_t right, bool drops_left,
                 bool drops_right)
{
    f->plan.joins[f->plan.join_count++] =
        (struct fm_plan_join){.slots = {left, right}, .drops = {drops_left, drops_right}};
}

static void add_term(struct fixture *f, uint32_t slot, uint32_t field_id, enum fm_operator op,
                     int64_t value)
{
    struct fm_predicate_list *list = &f->plan.tables[slot].predicates;

    list->terms = realloc(list->terms, (list->count + 1u) * sizeof *list->terms);
    assert_non_null(list->terms);
    struct fm_predicate *term = &list->terms[list->count++];
    *term = (struct fm_predicate){.field_id = field_id, .op = op, .value_count = 1};
    term->values = calloc(1, sizeof *term->values);
    assert_non_null(term->values);
    fm_buf_put(&term->values[0], &value, sizeof value);
}

static void choose(struct fixture *f, uint64_t rules_off)
{
    f->plan.reduction_count = 0;
    assert_int_equal(place_choose(&f->plan, rules_off), FM_OK);
}

static bool reduces(const struct fixture *f, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < f->plan.reduction_count; i++)
        if (f->plan.reductions[i].from == from && f->plan.reductions[i].to == to)
            return true;
    return false;
}

static void rows_are_estimated_by_conditions(void **state)
{
    struct fixture *f = *state;
    struct place_estimate estimate;

    place_estimate(&f->plan.tables[BIG], &estimate);
    assert_true(estimate.rows == 1000000 && estimate.row_bytes == 16);
    add_term(f, BIG, 1, FM_OP_EQ, 5); /* One of 1,000. */
    place_estimate(&f->plan.tables[BIG], &estimate);
    assert_in_range((uint64_t)estimate.rows, 999, 1001);
    add_term(f, BIG, 2, FM_OP_LT, 250); /* A quarter. */
    place_estimate(&f->plan.tables[BIG], &estimate);
    assert_in_range((uint64_t)estimate.rows, 249, 251);
    add_term(f, BIG, 2, FM_OP_GE, 2000); /* None. */
    place_estimate(&f->plan.tables[BIG], &estimate);
    assert_true(estimate.rows == 0);
}

static void the_small_side_reduces_the_big_one(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, true, true);
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 1);
    assert_true(reduces(f, SMALL, BIG));
    assert_int_equal(f->plan.tables[BIG].rule, FM_RULE_REDUCE);
    assert_int_equal(f->plan.tables[SMALL].rule, FM_RULE_SCAN);
    assert_in_range(f->plan.tables[BIG].expected_rows, 10000, 10001); /* 10 of 1,000 keys. */
    assert_int_equal(f->plan.tables[SMALL].expected_rows, 10);
}

static void what_a_join_keeps_is_not_reduced(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, false, true);
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
}

static void a_rule_can_be_off(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, true, true);
    choose(f, UINT64_C(1) << FM_RULE_REDUCE);
    assert_int_equal(f->plan.reduction_count, 0);
    assert_int_equal(f->plan.tables[BIG].rule, FM_RULE_SCAN);
}

static void without_figures_nothing_waits(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, true, true);
    fm_statistics_deinit(f->plan.tables[SMALL].statistics);
    free(f->plan.tables[SMALL].statistics);
    f->plan.tables[SMALL].statistics = NULL;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
    assert_int_equal(f->plan.tables[SMALL].expected_rows, 0);
}

static void classified_columns_stay_home(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, true, true);
    f->plan.tables[SMALL].schema->fields[0].classification = FM_CLASS_PERSONAL;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
    f->plan.tables[SMALL].schema->fields[0].classification = FM_CLASS_CONFIDENTIAL;
    f->plan.tables[BIG].schema->fields[0].classification = FM_CLASS_SECRET;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
    f->plan.tables[BIG].schema->fields[0].classification = FM_CLASS_OPEN;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 1);
}

/* All keys, or most of them: nothing is saved that is worth the wait. */
static void keys_that_keep_all_rows_are_not_asked_for(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, true, true);
    f->figures[BIG][0].distinct = 10;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
    f->figures[BIG][0].distinct = 1000;
    f->figures[SMALL][0].distinct = f->plan.tables[SMALL].statistics->rows = 5000; /* Too many. */
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
}

/* The further away the owner, the more a reduction must save. */
static void a_round_trip_has_its_price(void **state)
{
    struct fixture *f = *state;

    join(f, MIDDLE, SMALL, true, true);
    f->plan.tables[MIDDLE].statistics->rows = 5000;
    f->figures[MIDDLE][0].bytes = f->figures[MIDDLE][1].bytes = 40000;
    f->plan.rtt_us = 50;
    choose(f, 0);
    assert_true(reduces(f, SMALL, MIDDLE));
    f->plan.rtt_us = 50000;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
}

static void reductions_follow_one_another_without_a_ring(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, MIDDLE, true, true);
    join(f, MIDDLE, SMALL, true, true);
    join(f, SMALL, BIG, true, true);
    f->plan.joins[0].fields[0] = f->plan.joins[0].fields[1] = 1; /* By value. */
    choose(f, 0);
    assert_true(reduces(f, SMALL, BIG));
    assert_true(reduces(f, SMALL, MIDDLE));
    assert_false(reduces(f, BIG, SMALL));
    assert_false(reduces(f, MIDDLE, SMALL));
    assert_false(reduces(f, BIG, MIDDLE) && reduces(f, MIDDLE, BIG));
}

static void a_shipped_query_is_left_alone(void **state)
{
    struct fixture *f = *state;

    join(f, BIG, SMALL, true, true);
    f->plan.kind = FM_PLAN_SHIP;
    choose(f, 0);
    assert_int_equal(f->plan.reduction_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rows_are_estimated_by_conditions, setup, teardown),
        cmocka_unit_test_setup_teardown(the_small_side_reduces_the_big_one, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_join_keeps_is_not_reduced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rule_can_be_off, setup, teardown),
        cmocka_unit_test_setup_teardown(without_figures_nothing_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(classified_columns_stay_home, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_that_keep_all_rows_are_not_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_round_trip_has_its_price, setup, teardown),
        cmocka_unit_test_setup_teardown(reductions_follow_one_another_without_a_ring, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_shipped_query_is_left_alone, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
