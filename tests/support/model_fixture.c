#include "tests/support/model_fixture.h"

#include "storage/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

uint32_t model_below(struct model_fixture *f, uint32_t bound)
{
    return random_below(&f->random, bound);
}

void model_drop_old(struct model_fixture *f)
{
    fm_snapshot_free(f->old);
    f->old = NULL;
}

static void say_finding(void *context, const struct fm_check_finding *finding)
{
    (void)context;
    fail_msg("doctor: %s: %s", finding->part, finding->text);
}

void model_end_store(struct model_fixture *f)
{
    struct fm_check_options check = {.dir = f->dir, .finding = say_finding};
    struct fm_check_result result;

    model_drop_old(f);
    if (f->schema == NULL)
        return;
    fm_store_close(f->store);
    assert_int_equal(fm_store_check(&check, &result, &f->err), FM_OK);
    assert_int_equal(result.damage_count, 0);
    fm_schema_free(f->schema);
    store_dir_remove(f->dir);
    f->store = NULL;
    f->schema = NULL;
}

void model_begin_store(struct model_fixture *f)
{
    static const uint32_t bounds[] = {30, 700, 5000, MODEL_IDS_MAX};

    model_end_store(f);
    memset(&f->model, 0, sizeof f->model);
    f->flags = model_below(f, 4); /* Keyed, clustered, both, neither. */
    f->id_bound = bounds[model_below(f, 4)];
    f->schema = rows_schema(f->flags);
    store_dir_make(f->dir);
    f->store = store_open_good(f->dir);
    assert_int_equal(fm_store_define(f->store, f->schema, 1, &f->err), FM_OK);
    struct fm_table_info info = rows_info(f->store);
    f->model.root = info.root;
    fm_schema_free(info.schema);
    f->stores++;
}

void model_expect(struct model_fixture *f, size_t size, const struct fm_scan_options *options,
                  struct row_list *out)
{
    const struct row *rows = f->model.rows;
    const struct row_event *events = f->model.events;
    bool *hidden = f->model.marks;

    *out = (struct row_list){.rows = calloc(size + 1, sizeof *out->rows)};
    assert_non_null(out->rows);
    for (size_t i = 0; i < size; i++) {
        f->latest[rows[i].id] = (uint32_t)i;
        hidden[i] = events[i].operation == FM_RETRACT;
        if (events[i].has_superseded)
            hidden[events[i].superseded] = true;
    }
    for (size_t i = 0; i < size; i++) {
        if (options->row_limit > 0 && out->count == options->row_limit)
            break;
        if (hidden[i] || ((f->flags & ROWS_KEYED) != 0 && f->latest[rows[i].id] != i))
            continue;
        if (row_matches(&rows[i], options->predicates))
            out->rows[out->count++] = rows[i];
    }
}

size_t model_random_past(struct model_fixture *f, size_t size, struct fm_at *at)
{
    const fm_us *recorded_at = f->model.recorded_at;
    size_t then = model_below(f, (uint32_t)size + 1);

    if (model_below(f, 2) == 0 || size == 0) {
        *at = (struct fm_at){FM_AT_VERSION, (int64_t)then};
        return then;
    }
    *at = (struct fm_at){FM_AT_TIMESTAMP,
                         recorded_at[model_below(f, (uint32_t)size)] - (int64_t)model_below(f, 2)};
    for (then = 0; then < size && recorded_at[then] <= at->value;)
        then++;
    return then;
}

struct fm_snapshot *model_snapshot(struct model_fixture *f)
{
    struct fm_snapshot *snapshot = NULL;

    assert_int_equal(fm_snapshot_open(f->store, &snapshot, &f->err), FM_OK);
    return snapshot;
}
