/* Plans that are kept: found by their key and the catalog's version, bounded in number and bytes,
 * the one unused for the longest time first to go. */
#include "node/plan_cache.h"
#include "tests/support/plan_catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ENTRIES 4u
#define BYTES (64u << 10)

struct fixture {
    struct fm_plan_cache *cache;
    struct fm_plan plan; /* Of one table, as a lookup; `sql` tells plans apart. */
};

static const struct fm_registry_version first = {.catalog = 1, .statistics = 1};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    static const uint32_t fields[] = {2, 0};

    assert_non_null(f);
    assert_int_equal(fm_plan_cache_new(ENTRIES, BYTES, &f->cache), FM_OK);
    f->plan.kind = FM_PLAN_LOOKUP;
    f->plan.table_count = 1;
    f->plan.tables = calloc(1, sizeof *f->plan.tables);
    f->plan.lookup = (struct fm_plan_lookup){2, malloc(sizeof fields), 7};
    assert_non_null(f->plan.tables);
    assert_non_null(f->plan.lookup.fields);
    memcpy(f->plan.lookup.fields, fields, sizeof fields);
    struct fm_plan_table *table = &f->plan.tables[0];
    table->schema = catalog_schema(catalog_find("demo", "types"));
    table->fields = malloc(sizeof fields);
    assert_non_null(table->fields);
    memcpy(table->fields, fields, sizeof fields);
    table->field_count = 2;
    table->refs = calloc(1, sizeof *table->refs);
    assert_non_null(table->refs);
    table->ref_count = 1;
    fm_buf_put_str(&table->sql, "SELECT 1");
    table->predicates.terms = calloc(1, sizeof *table->predicates.terms);
    assert_non_null(table->predicates.terms);
    table->predicates.count = 1;
    table->predicates.terms[0] = (struct fm_predicate){.field_id = 100, .op = FM_OP_IS_NULL};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_plan_deinit(&f->plan);
    fm_plan_cache_free(f->cache);
    free(f);
    return 0;
}

static struct fm_hash key_of(unsigned number)
{
    return (struct fm_hash){{(uint8_t)number, (uint8_t)(number >> 8)}};
}

static void put(struct fixture *f, unsigned number, size_t text_bytes)
{
    struct fm_hash key = key_of(number);

    fm_buf_clear(&f->plan.sql);
    for (size_t i = 0; i < text_bytes; i++)
        fm_buf_put_u8(&f->plan.sql, (uint8_t)number);
    fm_plan_cache_put(f->cache, &key, &first, false, &f->plan);
}

static bool has_version(struct fixture *f, unsigned number,
                        const struct fm_registry_version *version)
{
    struct fm_hash key = key_of(number);
    struct fm_plan found = {0};
    enum fm_status status = fm_plan_cache_get(f->cache, &key, version, &found);

    if (status == FM_OK && found.sql.len > 0)
        assert_int_equal(found.sql.data[0], (uint8_t)number);
    fm_plan_deinit(&found);
    assert_true(status == FM_OK || status == FM_NOTFOUND);
    return status == FM_OK;
}

static bool has(struct fixture *f, unsigned number)
{
    return has_version(f, number, &first);
}

/* What comes out is equal, and nobody else's. */
static void a_plan_comes_back_whole(void **state)
{
    struct fixture *f = *state;
    struct fm_hash key = key_of(1);
    struct fm_plan found = {0};

    put(f, 1, 3);
    assert_int_equal(fm_plan_cache_get(f->cache, &key, &first, &found), FM_OK);
    FM_AUTO(fm_buf_free) struct fm_buf is = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf wanted = FM_BUF_INIT(0);
    fm_plan_print(&found, true, &is);
    fm_plan_print(&f->plan, true, &wanted);
    assert_int_equal(fm_buf_status(&wanted), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&is), fm_buf_span(&wanted)));
    assert_int_equal(found.lookup.row_limit, 7);
    assert_int_equal(found.lookup.fields[0], 2);
    assert_int_equal(found.tables[0].schema->field_count, f->plan.tables[0].schema->field_count);
    assert_int_equal(found.tables[0].ref_count, 1);
    found.lookup.fields[0] = 5;
    found.tables[0].predicates.terms[0].op = FM_OP_IS_NOT_NULL;
    fm_plan_deinit(&found);
    assert_int_equal(fm_plan_cache_get(f->cache, &key, &first, &found), FM_OK);
    assert_int_equal(found.lookup.fields[0], 2);
    assert_int_equal(found.tables[0].predicates.terms[0].op, FM_OP_IS_NULL);
    fm_plan_deinit(&found);
}

static void a_changed_catalog_forgets(void **state)
{
    struct fixture *f = *state;
    struct fm_registry_version later = {.catalog = 2, .statistics = 1};
    struct fm_registry_version told = {.catalog = 1, .statistics = 2};
    struct fm_hash key = key_of(2);
    uint32_t count;
    size_t bytes;

    put(f, 1, 3);
    assert_true(has_version(f, 1, &told)); /* It does not depend on them. */
    fm_buf_clear(&f->plan.sql);
    fm_plan_cache_put(f->cache, &key, &first, true, &f->plan);
    assert_true(has(f, 2));
    assert_false(has_version(f, 2, &told));
    assert_false(has_version(f, 1, &later));
    assert_false(has(f, 1)); /* Dropped, not only passed over. */
    fm_plan_cache_size(f->cache, &count, &bytes);
    assert_int_equal(count, 0);
    assert_int_equal(bytes, 0);
}

static void the_least_used_goes_first(void **state)
{
    struct fixture *f = *state;
    uint32_t count;
    size_t bytes;

    for (unsigned i = 1; i <= ENTRIES; i++)
        put(f, i, 3);
    assert_true(has(f, 1));
    put(f, 9, 3);
    assert_false(has(f, 2));
    assert_true(has(f, 1));
    assert_true(has(f, 9));
    put(f, 9, 4); /* The same key again takes no other's place. */
    fm_plan_cache_size(f->cache, &count, &bytes);
    assert_int_equal(count, ENTRIES);
    assert_true(has(f, 3));
    assert_true(has(f, 4));
}

static void bytes_are_bounded(void **state)
{
    struct fixture *f = *state;
    uint32_t count;
    size_t bytes;

    put(f, 1, 3);
    put(f, 2, BYTES / 2);
    put(f, 3, BYTES / 2);
    assert_true(has(f, 3));
    assert_false(has(f, 1));
    assert_false(has(f, 2));
    put(f, 4, BYTES); /* Too large to be kept at all. */
    assert_false(has(f, 4));
    assert_true(has(f, 3));
    fm_plan_cache_size(f->cache, &count, &bytes);
    assert_int_equal(count, 1);
    assert_in_range(bytes, BYTES / 2, BYTES);
}

static void a_moment_is_not_kept(void **state)
{
    struct fixture *f = *state;

    f->plan.is_timed = true;
    put(f, 1, 3);
    assert_false(has(f, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_plan_comes_back_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(a_changed_catalog_forgets, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_used_goes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(bytes_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_moment_is_not_kept, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
