#include "tests/support/cursor_fixture.h"

#include "core/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

const struct fm_public_key cursor_owner = {{1}};
const struct fm_public_key cursor_stranger = {{2}};
const struct fm_request_id cursor_query = {{3}};

enum fm_status cursor_put_batch(uint64_t number, struct fm_buf *out)
{
    static const struct fm_type type = {.kind = FM_KIND_UINT64};
    const struct fm_type *types[] = {&type};
    struct fm_batch_builder *builder = NULL;

    enum fm_status status = fm_batch_builder_new(
        &(struct fm_batch_builder_options){.types = types, .column_count = 1}, &builder);
    if (status == FM_OK)
        status = fm_batch_put_fixed(builder, 0, &number);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, number, out);
    fm_batch_builder_free(builder);
    return status;
}

static enum fm_status fake_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct cursor_producer *producer = context;

    while (producer->blocks && !atomic_load(&producer->was_cancelled))
        atomic_store(&producer->is_waiting, true);
    if (atomic_load(&producer->was_cancelled))
        return fm_fail(err, FM_IO, "something broke under the cancel");
    if (producer->made == producer->fail_at)
        return fm_fail(err, FM_CORRUPT, "block 7 is damaged");
    if (producer->made == producer->batches)
        return FM_NOTFOUND;
    return cursor_put_batch(producer->made++, batch);
}

static enum fm_status fake_finish(void *context, const struct fm_cursor_totals *totals,
                                  struct fm_buf *end, struct fm_error *err)
{
    struct cursor_producer *producer = context;

    (void)err; /* It does not fail. */
    producer->finished++;
    producer->totals = *totals;
    fm_buf_put_str(end, "the end of it, which is longer than one part may be: "
                        "it is therefore fetched in two");
    return fm_buf_status(end);
}

static void fake_cancel(void *context)
{
    struct cursor_producer *producer = context;
    atomic_store(&producer->was_cancelled, true);
}

static void fake_free(void *context)
{
    struct cursor_producer *producer = context;
    atomic_fetch_add(&producer->freed, 1);
}

int cursor_setup(void **state)
{
    struct cursor_fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_cursors_new(&f->cursors) != FM_OK)
        return -1;
    f->producer = (struct cursor_producer){.batches = 20, .fail_at = UINT64_MAX};
    *state = f;
    return 0;
}

int cursor_teardown(void **state)
{
    struct cursor_fixture *f = *state;

    fm_cursors_free(f->cursors);
    fm_buf_free(&f->reply);
    free(f);
    return 0;
}

struct fm_cursor_options cursor_options(struct cursor_fixture *f, enum fm_cursor_kind kind)
{
    return (struct fm_cursor_options){
        .kind = kind,
        .query = cursor_query,
        .caller = cursor_owner,
        .deadline = fm_now_ms() + 60000,
        .opened = fm_span_str("opened"),
        .ticket = {{9}},
        .producer = {.context = &f->producer,
                     .next = fake_next,
                     .finish = fake_finish,
                     .cancel = fake_cancel,
                     .free = fake_free},
    };
}

void cursor_open(struct cursor_fixture *f, const struct fm_cursor_options *options)
{
    assert_int_equal(fm_cursor_open(f->cursors, options, &f->err), FM_OK);
}

enum fm_status cursor_fetch(struct cursor_fixture *f, uint64_t batch, uint64_t offset,
                            struct fm_part *part)
{
    const struct fm_fetch wanted = {.query = cursor_query, .batch = batch, .offset = offset};

    fm_buf_clear(&f->reply);
    enum fm_status status = fm_cursor_fetch(f->cursors, FM_CURSOR_QUERY, &wanted, &cursor_owner,
                                            NULL, CURSOR_PART_MAX, &f->reply, &f->err);
    if (status == FM_OK)
        assert_int_equal(fm_part_decode(fm_buf_span(&f->reply), part), FM_OK);
    return status;
}

uint64_t cursor_value(struct cursor_fixture *f, uint64_t batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(4096);
    struct fm_part part = {.total = 1};
    struct fm_batch view;
    uint64_t value = UINT64_MAX;

    while (bytes.len < part.total) {
        assert_int_equal(cursor_fetch(f, batch, bytes.len, &part), FM_OK);
        assert_int_equal(part.kind, FM_PART_BATCH);
        assert_true(part.bytes.len <= CURSOR_PART_MAX);
        fm_buf_put_span(&bytes, part.bytes);
    }
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &view), FM_OK);
    fm_vector_fixed(&view, &view.vectors[0], 0, &value);
    return value;
}

enum fm_status cursor_open_first(struct cursor_fixture *f, size_t reply_max, struct fm_opened *out)
{
    struct fm_cursor_options options = cursor_options(f, FM_CURSOR_QUERY);
    const struct fm_opened opened = {.columns = fm_span_str("columns")};

    fm_buf_clear(&f->reply);
    enum fm_status status =
        fm_cursor_open_first(f->cursors, &options, &opened, reply_max, &f->reply, &f->err);
    if (status == FM_OK)
        assert_int_equal(fm_opened_decode(fm_buf_span(&f->reply), out), FM_OK);
    return status;
}

void cursor_wait_until(const atomic_bool *flag)
{
    while (!atomic_load(flag))
        continue;
}
