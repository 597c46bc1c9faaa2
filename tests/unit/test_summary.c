/* What a store says of a table to planners elsewhere, against the rows that were appended: exact
 * for a small table; for a large one what can be known without reading it. */
#include "storage/store.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define ROWS_MAX 20000u
#define SMALL 500u

enum { ID = 1, NAME = 2, VALUE = 3, SCORE = 4, MOOD = 5 };

struct fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct row rows[ROWS_MAX];
    struct fm_statistics summary;
    struct fm_error err;
};

static int setup_with(void **state, unsigned flags)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    store_dir_make(f->dir);
    f->schema = rows_schema(flags);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 7, &f->err), FM_OK);
    for (uint32_t i = 0; i < ROWS_MAX; i++) {
        f->rows[i] = row_make(i);
        f->rows[i].id = 10 + i;
    }
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, ROWS_KEYED);
}

static int setup_secret(void **state)
{
    return setup_with(state, ROWS_SECRET);
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_statistics_deinit(&f->summary);
    fm_store_close(f->store);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static void look(struct fixture *f)
{
    fm_statistics_deinit(&f->summary);
    assert_int_equal(fm_store_summary(f->store, "tests", "rows", &f->summary, &f->err), FM_OK);
}

static const struct fm_column_figures *column(const struct fixture *f, uint32_t id)
{
    const struct fm_column_figures *figures = fm_statistics_column(&f->summary, id);

    assert_non_null(figures);
    return figures;
}

static bool same_name(const struct row *a, const struct row *b)
{
    return strcmp(a->name, b->name) == 0;
}

static bool same_value(const struct row *a, const struct row *b)
{
    return a->value == b->value;
}

static bool no_name(const struct row *row)
{
    return row->name[0] == '\0';
}

static bool no_value(const struct row *row)
{
    return row->value == INT32_MIN;
}

/* Distinct values among the first `count` rows, the slow way. */
static uint64_t distinct(const struct fixture *f, uint32_t count,
                         bool (*same)(const struct row *, const struct row *),
                         bool (*is_null)(const struct row *), uint64_t *nulls)
{
    uint64_t found = 0;

    *nulls = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool is_new = !is_null(&f->rows[i]);
        *nulls += is_new ? 0u : 1u;
        for (uint32_t k = 0; k < i && is_new; k++)
            is_new = !same(&f->rows[i], &f->rows[k]);
        found += is_new ? 1u : 0u;
    }
    return found;
}

static void a_small_table_is_known_exactly(void **state)
{
    struct fixture *f = *state;
    uint64_t nulls, values;

    rows_append(f->store, f->schema, f->rows, SMALL, NULL);
    rows_append(f->store, f->schema, f->rows, SMALL / 2, NULL); /* The same keys again. */
    look(f);
    assert_string_equal(f->summary.domain, "tests");
    assert_string_equal(f->summary.table, "rows");
    assert_int_equal(f->summary.epoch, 7);
    assert_int_equal(f->summary.schema_version, 1);
    assert_int_equal(f->summary.rows, SMALL);
    assert_int_equal(f->summary.column_count, 5);
    assert_int_equal(column(f, ID)->distinct, SMALL);
    assert_int_equal(column(f, ID)->nulls, 0);
    assert_int_equal(column(f, ID)->bytes, SMALL * 8);
    assert_int_equal(column(f, ID)->min_len, 8);
    assert_int_equal(fm_load64(column(f, ID)->min), 10);
    assert_int_equal(fm_load64(column(f, ID)->max), 10 + SMALL - 1);
    values = distinct(f, SMALL, same_name, no_name, &nulls);
    assert_int_equal(column(f, NAME)->distinct, values);
    assert_int_equal(column(f, NAME)->nulls, nulls);
    values = distinct(f, SMALL, same_value, no_value, &nulls);
    assert_int_equal(column(f, VALUE)->distinct, values);
    assert_int_equal(column(f, VALUE)->nulls, nulls);
    assert_in_range(column(f, MOOD)->distinct, 1, 3);
    assert_true(f->summary.bytes > SMALL * 8);
}

static void a_large_table_is_not_read(void **state)
{
    struct fixture *f = *state;
    uint64_t nulls = 0;

    for (uint32_t i = 0; i < ROWS_MAX; i++)
        nulls += f->rows[i].value == INT32_MIN ? 1u : 0u;
    rows_append(f->store, f->schema, f->rows, ROWS_MAX, NULL);
    look(f);
    assert_int_equal(f->summary.rows, ROWS_MAX);
    assert_int_equal(column(f, ID)->distinct, ROWS_MAX); /* The key. */
    assert_int_equal(fm_load64(column(f, ID)->min), 10);
    assert_int_equal(fm_load64(column(f, ID)->max), 10 + ROWS_MAX - 1);
    assert_in_range(column(f, NAME)->distinct, 1, ROWS_MAX); /* By its dictionary. */
    assert_int_equal(column(f, VALUE)->nulls, nulls);
    assert_in_range(column(f, VALUE)->distinct, 1, ROWS_MAX); /* By its bounds. */
    assert_int_equal(column(f, SCORE)->distinct, 0);          /* Nobody knows. */
    assert_in_range(column(f, MOOD)->distinct, 3, 3);
    assert_in_range(column(f, ID)->bytes, 1, ROWS_MAX * 8);
}

/* `name` is personal in this schema. */
static void classified_columns_are_left_out(void **state)
{
    struct fixture *f = *state;
    uint32_t open = 0;

    rows_append(f->store, f->schema, f->rows, SMALL, NULL);
    look(f);
    for (uint32_t i = 0; i < f->schema->field_count; i++) {
        const struct fm_field *field = &f->schema->fields[i];
        bool is_told = fm_statistics_column(&f->summary, field->id) != NULL;

        assert_int_equal(is_told, !fm_field_is_classified(field));
        open += is_told ? 1u : 0u;
    }
    assert_in_range(open, 1, f->schema->field_count - 1);
    fm_statistics_deinit(&f->summary);
    rows_append(f->store, f->schema, f->rows, ROWS_MAX, NULL);
    look(f);
    assert_int_equal(f->summary.column_count, open);
}

static void an_outline_tells_when_figures_are_stale(void **state)
{
    struct fixture *f = *state;
    uint32_t version = 0;
    uint64_t rows = 1;

    assert_int_equal(fm_store_outline(f->store, "tests", "rows", &rows, &version), FM_OK);
    assert_int_equal(rows, 0);
    assert_int_equal(version, 1);
    assert_int_equal(fm_store_outline(f->store, "tests", "none", &rows, &version), FM_NOTFOUND);
    rows_append(f->store, f->schema, f->rows, 100, NULL);
    look(f);
    assert_false(fm_statistics_is_stale(&f->summary, 100, 1));
    assert_false(fm_statistics_is_stale(&f->summary, 110, 1));
    assert_false(fm_statistics_is_stale(&f->summary, 90, 1));
    assert_true(fm_statistics_is_stale(&f->summary, 111, 1));
    assert_true(fm_statistics_is_stale(&f->summary, 89, 1));
    assert_true(fm_statistics_is_stale(&f->summary, 100, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_small_table_is_known_exactly, setup, teardown),
        cmocka_unit_test_setup_teardown(a_large_table_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(classified_columns_are_left_out, setup_secret, teardown),
        cmocka_unit_test_setup_teardown(an_outline_tells_when_figures_are_stale, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
