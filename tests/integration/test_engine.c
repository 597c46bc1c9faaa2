/* The engine end to end: a real worker program, mapped and streamed slots, all types, bounds. */
#include "query/engine.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define WORKER FM_BIN_DIR "/folkmoot-worker"
#define LONG_MS 60000

struct fixture {
    struct fm_engine *engine;
    struct fm_worker *worker;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {
        .worker_path = WORKER, .threads = 2, .memory_bytes = (size_t)256 << 20, .spare = 1};

    assert_non_null(f);
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
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

static void lend_for(struct fixture *f, fm_ms ms)
{
    fm_worker_free(f->worker);
    f->worker = NULL;
    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + ms, &f->worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
}

static void lend(struct fixture *f)
{
    lend_for(f, LONG_MS);
}

#define assert_ok(f, call)                                                                         \
    do {                                                                                           \
        enum fm_status status_ = (call);                                                           \
        if (status_ != FM_OK)                                                                      \
            fail_msg("%s: %s: %s", #call, fm_status_text(status_), (f)->err.text);                 \
    } while (0)

/* ---- Running --------------------------------------------------------------------------------- */

struct answer {
    struct fm_columns columns;
    struct fm_buf batch; /* The last one. */
    uint64_t rows;
    uint64_t bytes;
    uint32_t batches;
};

static void answer_free(struct answer *answer)
{
    fm_columns_deinit(&answer->columns);
    fm_buf_free(&answer->batch);
    *answer = (struct answer){0};
}

static enum fm_status run(struct fixture *f, const char *sql, struct answer *answer)
{
    struct fm_buf batch = FM_BUF_INIT(0);
    struct fm_run_options options = {0};

    *answer = (struct answer){0};
    enum fm_status status =
        fm_worker_run(f->worker, fm_span_str(sql), &options, &answer->columns, &f->err);
    while (status == FM_OK) {
        status = fm_worker_next(f->worker, &batch, &f->err);
        if (status != FM_OK)
            break;
        struct fm_batch view;
        assert_int_equal(fm_batch_view_trusted(fm_buf_span(&batch), &view), FM_OK);
        answer->rows += view.rows;
        answer->bytes += batch.len;
        answer->batches++;
        fm_buf_free(&answer->batch);
        answer->batch = batch;
        batch = FM_BUF_INIT(0);
    }
    fm_buf_free(&batch);
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* The only value of a result of one row, as int64. */
static int64_t run_int(struct fixture *f, const char *sql)
{
    struct answer answer;
    struct fm_batch view;
    int64_t value = 0;

    if (run(f, sql, &answer) != FM_OK)
        fail_msg("%s: %s", sql, f->err.text);
    assert_int_equal(answer.rows, 1);
    assert_int_equal(answer.columns.items[0].type.kind, FM_KIND_INT64);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&answer.batch), &view), FM_OK);
    assert_false(fm_vector_is_null(&view, &view.vectors[0], 0));
    fm_vector_fixed(&view, &view.vectors[0], 0, &value);
    answer_free(&answer);
    return value;
}

static void expect_failure(struct fixture *f, const char *sql, enum fm_status expected,
                           const char *part)
{
    struct answer answer;
    enum fm_status status = run(f, sql, &answer);

    answer_free(&answer);
    if (status != expected)
        fail_msg("%s: %s: %s", sql, fm_status_text(status), f->err.text);
    if (strstr(f->err.text, part) == NULL)
        fail_msg("%s: no '%s' in: %s", sql, part, f->err.text);
}

/* ---- A table: flights with a dictionary ------------------------------------------------------ */

#define SEGMENT_ROWS 61440u
#define ORIGINS 5u
static const char *const origin_text[ORIGINS] = {"ATL", "JFK", "LAX", "SEA", "SFO"};

struct table {
    struct fm_columns columns; /* id int64, delay int16, origin varchar with a dictionary. */
    struct fm_buf dictionary;
    struct fm_buf arena; /* One-column batches. */
    int fd;
    uint32_t segment_count;
    struct fm_mapped_segment *segments;
    struct fm_mapped_column *cells;
    struct fm_arena mapped;
    uint32_t supplied[3];
    struct fm_slot slot;
    struct fm_buf *streamed; /* segment_count batches of all columns. */
    uint32_t streamed_next;
    uint32_t streamed_count;
    struct fm_batch_source source;
};

static void make_dictionary(struct table *t)
{
    uint32_t offsets[ORIGINS + 1] = {0};
    char text[64] = {0};
    for (uint32_t i = 0; i < ORIGINS; i++) {
        memcpy(text + offsets[i], origin_text[i], 3);
        offsets[i + 1] = offsets[i] + 3;
    }
    struct fm_dictionary dictionary = {ORIGINS, offsets, (const uint8_t *)text};
    fm_dictionary_encode(&t->dictionary, &dictionary);
    assert_int_equal(
        fm_dictionary_view(fm_buf_span(&t->dictionary), &t->columns.items[2].dictionary), FM_OK);
}

/* Row i: id i, delay i % 1000 - 100 (null where i % 97 is 0), origin i * 7 % 5. */
static void put_row(struct fm_batch_builder *builder, uint32_t column, uint32_t at, uint64_t i)
{
    int64_t id = (int64_t)i;
    int16_t delay = (int16_t)((int)(i % 1000) - 100);
    enum fm_status status = FM_OK;
    if (column == 0)
        status = fm_batch_put_fixed(builder, at, &id);
    else if (column == 1 && i % 97 == 0)
        status = fm_batch_put_null(builder, at);
    else if (column == 1)
        status = fm_batch_put_fixed(builder, at, &delay);
    else
        status = fm_batch_put_bytes(builder, at, fm_span_str(origin_text[i * 7 % ORIGINS]));
    assert_int_equal(status, FM_OK);
}

static struct fm_batch_builder *builder_of(struct table *t, uint32_t first, uint32_t count)
{
    const struct fm_type *types[3] = {0};
    const struct fm_dictionary *dictionaries[3] = {0};
    struct fm_batch_builder *builder = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct fm_column *column = &t->columns.items[first + i];
        types[i] = &column->type;
        dictionaries[i] = column->dictionary.count > 0 ? &column->dictionary : NULL;
    }
    struct fm_batch_builder_options options = {
        .types = types, .column_count = count, .encode = true, .dictionaries = dictionaries};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    return builder;
}

static uint32_t rows_of(uint64_t rows, uint32_t segment)
{
    uint64_t left = rows - (uint64_t)segment * SEGMENT_ROWS;
    return left < SEGMENT_ROWS ? (uint32_t)left : SEGMENT_ROWS;
}

static void fill_arena(struct table *t, uint64_t rows)
{
    for (uint32_t column = 0; column < 3; column++) {
        struct fm_batch_builder *builder = builder_of(t, column, 1);
        for (uint32_t s = 0; s < t->segment_count; s++) {
            for (uint32_t i = 0; i < rows_of(rows, s); i++)
                put_row(builder, column, 0, (uint64_t)s * SEGMENT_ROWS + i);
            fm_buf_align(&t->arena, 8);
            t->cells[s * 3 + column] = (struct fm_mapped_column){0, t->arena.len};
            assert_int_equal(fm_batch_builder_finish(builder, 0, &t->arena), FM_OK);
        }
        fm_batch_builder_free(builder);
    }
}

static void map_table(struct table *t)
{
    t->fd = memfd_create("arena", MFD_CLOEXEC);
    assert_true(t->fd >= 0);
    assert_int_equal(write(t->fd, t->arena.data, t->arena.len), t->arena.len);
    t->mapped = (struct fm_arena){t->fd, t->arena.len};
    t->slot.arenas = &t->mapped;
    t->slot.arena_count = 1;
    t->slot.segments = t->segments;
    t->slot.segment_count = t->segment_count;
}

static void table_init(struct table *t, uint64_t rows)
{
    static const char *const names[3] = {"id", "delay", "origin"};
    static const enum fm_kind kinds[3] = {FM_KIND_INT64, FM_KIND_INT16, FM_KIND_VARCHAR};

    *t = (struct table){.fd = -1, .supplied = {0, 1, 2}};
    t->columns.items = calloc(3, sizeof *t->columns.items);
    assert_non_null(t->columns.items);
    t->columns.count = 3;
    for (int i = 0; i < 3; i++) {
        (void)snprintf(t->columns.items[i].name, sizeof t->columns.items[i].name, "%s", names[i]);
        t->columns.items[i].type.kind = kinds[i];
    }
    make_dictionary(t);
    t->segment_count = (uint32_t)((rows + SEGMENT_ROWS - 1) / SEGMENT_ROWS);
    t->segments = calloc(t->segment_count + 1u, sizeof *t->segments);
    t->cells = calloc((size_t)t->segment_count * 3 + 1, sizeof *t->cells);
    assert_non_null(t->segments);
    assert_non_null(t->cells);
    for (uint32_t s = 0; s < t->segment_count; s++)
        t->segments[s] =
            (struct fm_mapped_segment){.rows = rows_of(rows, s), .columns = &t->cells[s * 3]};
    t->slot = (struct fm_slot){
        .columns = &t->columns, .rows = rows, .supplied_count = 3, .supplied = t->supplied};
}

static enum fm_status next_streamed(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct table *t = context;
    (void)err;
    if (t->streamed_next == t->streamed_count)
        return FM_NOTFOUND;
    fm_buf_put_span(batch, fm_buf_span(&t->streamed[t->streamed_next++]));
    return fm_buf_status(batch);
}

static void stream_table(struct table *t, uint64_t rows, uint32_t batch_rows)
{
    struct fm_batch_builder *builder = builder_of(t, 0, 3);
    t->streamed = calloc(rows / batch_rows + 2, sizeof *t->streamed);
    assert_non_null(t->streamed);
    for (uint64_t i = 0; i < rows; i++) {
        for (uint32_t column = 0; column < 3; column++)
            put_row(builder, column, column, i);
        if ((i + 1) % batch_rows == 0 || i + 1 == rows) {
            struct fm_buf *to = &t->streamed[t->streamed_count++];
            assert_int_equal(fm_batch_builder_finish(builder, 0, to), FM_OK);
        }
    }
    fm_batch_builder_free(builder);
    t->source = (struct fm_batch_source){t, next_streamed};
    t->slot.source = &t->source;
}

static void table_deinit(struct table *t)
{
    for (uint32_t i = 0; i < t->streamed_count; i++)
        fm_buf_free(&t->streamed[i]);
    free(t->streamed);
    if (t->fd >= 0)
        close(t->fd);
    free(t->segments);
    free(t->cells);
    fm_buf_free(&t->arena);
    fm_buf_free(&t->dictionary);
    fm_columns_deinit(&t->columns);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* A statement becomes a tree and text again; one that does not parse says where. */
static void parse_and_unparse(void **state)
{
    struct fixture *f = *state;
    struct fm_buf tree = FM_BUF_INIT(0), sql = FM_BUF_INIT(0);

    lend(f);
    assert_ok(f, fm_worker_parse(f->worker, fm_span_str("SELECT a, 'it''s' FROM t WHERE b > 1"),
                                 &tree, &f->err));
    assert_non_null(memmem(tree.data, tree.len, "SELECT_NODE", 11));
    assert_ok(f, fm_worker_unparse(f->worker, fm_buf_span(&tree), &sql, &f->err));
    fm_buf_put_u8(&sql, 0);
    assert_string_equal((const char *)sql.data, "SELECT a, 'it''s' FROM t WHERE (b > 1)");
    fm_buf_clear(&tree);
    assert_int_equal(fm_worker_parse(f->worker, fm_span_str("SELECT 1 FORM t x"), &tree, &f->err),
                     FM_INVALID);
    assert_non_null(strstr(f->err.text, "syntax error"));
    assert_non_null(strstr(f->err.text, "at character"));
    assert_int_equal(fm_worker_parse(f->worker, fm_span_str("DROP TABLE x"), &tree, &f->err),
                     FM_INVALID);
    assert_int_equal(fm_worker_unparse(f->worker, fm_span_str("{]"), &sql, &f->err), FM_INVALID);
    assert_int_equal(run_int(f, "SELECT 41::BIGINT + 1"), 42);
    fm_buf_free(&tree);
    fm_buf_free(&sql);
}

/* Slots without data are enough to plan over. */
static void plans_over_slots(void **state)
{
    struct fixture *f = *state;
    struct table t;
    struct fm_buf plan = FM_BUF_INIT(0);

    table_init(&t, 0);
    t.slot.rows = 3000000;
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    assert_ok(f,
              fm_worker_plan(f->worker,
                             fm_span_str("SELECT origin, count(*) FROM fm_scan(0) WHERE delay > 5 "
                                         "GROUP BY origin"),
                             &plan, &f->err));
    assert_non_null(memmem(plan.data, plan.len, "LOGICAL_GET", 11));
    fm_buf_clear(&plan);
    assert_int_equal(
        fm_worker_plan(f->worker, fm_span_str("SELECT nope FROM fm_scan(0)"), &plan, &f->err),
        FM_INVALID);
    assert_non_null(strstr(f->err.text, "nope"));
    assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0)"), 0);
    expect_failure(f, "SELECT * FROM fm_scan(1)", FM_INVALID, "no such slot");
    fm_buf_free(&plan);
    table_deinit(&t);
}

static void check_table(struct fixture *f, uint64_t rows)
{
    char sql[400];
    assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0)"), rows);
    (void)snprintf(
        sql, sizeof sql,
        "SELECT count(*) FROM (SELECT i AS id, CASE WHEN i %% 97 = 0 THEN NULL ELSE i %% "
        "1000 - 100 END AS delay, ['ATL', 'JFK', 'LAX', 'SEA', 'SFO'][i * 7 %% 5 + 1] AS "
        "origin FROM range(%" PRIu64 ") r(i)) a JOIN fm_scan(0) b ON a.id = b.id AND "
        "a.delay IS NOT DISTINCT FROM b.delay AND a.origin = b.origin",
        rows);
    assert_int_equal(run_int(f, sql), rows);
}

static void mapped_rows_are_read(void **state)
{
    struct fixture *f = *state;
    struct table t;
    const uint64_t rows = 3 * SEGMENT_ROWS + 12345;

    table_init(&t, rows);
    fill_arena(&t, rows);
    map_table(&t);
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    check_table(f, rows);
    check_table(f, rows); /* Mapped rows may be read again. */
    assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0) a JOIN fm_scan(0) b USING (id)"),
                     rows);
    assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0) WHERE origin = 'nowhere'"), 0);
    table_deinit(&t);
}

/* Is row i shown? The shares: none, a few, one in ten left out, all but the last block's. */
static bool is_shown(uint32_t share, uint32_t segment, uint32_t i)
{
    uint64_t z = ((uint64_t)segment << 32 | i) * UINT64_C(0x9e3779b97f4a7c15);

    switch (share) {
    case 0:
        return false;
    case 1:
        return (z >> 40) % 500 == 0;
    case 2:
        return (z >> 40) % 10 != 0;
    default:
        return i >= SEGMENT_ROWS - 3;
    }
}

/* Bits behind the columns in the arena, for all segments but the last. */
static void select_shown(struct table *t, struct fm_mapped_column *selections)
{
    for (uint32_t s = 0; s + 1 < t->segment_count; s++) {
        fm_buf_align(&t->arena, 8);
        selections[s] = (struct fm_mapped_column){0, t->arena.len};
        t->segments[s].selection = &selections[s];
        for (uint32_t i = 0; i < SEGMENT_ROWS; i += 64) {
            uint64_t word = 0;
            for (uint32_t bit = 0; bit < 64; bit++)
                word |= (uint64_t)is_shown(s, s, i + bit) << bit;
            fm_buf_put_u64(&t->arena, word);
        }
    }
    fm_buf_align(&t->arena, 8);
}

/* Blocks that are left out are not read, beside a selection or without one. */
static void left_out_blocks_are_not_read(void **state)
{
    static const uint64_t left_out[4] = {0, 1, UINT64_C(0x2aaaaaaa), (UINT64_C(1) << 30) - 1};
    struct fixture *f = *state;
    struct table t;
    struct fm_mapped_column selections[4];
    const uint64_t rows = 4 * SEGMENT_ROWS + 12345;

    table_init(&t, rows);
    fill_arena(&t, rows);
    select_shown(&t, selections);
    map_table(&t);
    lend(f);
    for (int round = 0; round < 2; round++) {
        uint64_t count = 0, sum = 0;

        for (uint32_t s = 0; s < 4; s++) {
            t.segments[s].left_out = left_out[s];
            t.segments[s].selection = round == 0 ? NULL : &selections[s];
        }
        for (uint64_t i = 0; i < rows; i++) {
            uint32_t s = (uint32_t)(i / SEGMENT_ROWS), at = (uint32_t)(i % SEGMENT_ROWS);
            if (s < 4 && ((left_out[s] >> (at / FM_BLOCK_ROWS) & 1) != 0 ||
                          (round == 1 && !is_shown(s, s, at))))
                continue;
            count++;
            sum += i;
        }
        assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
        assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0)"), count);
        assert_int_equal(run_int(f, "SELECT sum(id)::BIGINT FROM fm_scan(0)"), sum);
    }
    table_deinit(&t);
}

/* Rows that a selection leaves out are not there, whatever else is asked. */
static void selected_rows_are_read(void **state)
{
    struct fixture *f = *state;
    struct table t;
    struct fm_mapped_column selections[4];
    const uint64_t rows = 4 * SEGMENT_ROWS + 12345;
    uint64_t shown = 0, sum = 0, seattle = 0, nulls = 0;
    char sql[400];

    for (uint64_t i = 0; i < rows; i++) {
        uint32_t s = (uint32_t)(i / SEGMENT_ROWS);
        if (s < 4 && !is_shown(s, s, (uint32_t)(i % SEGMENT_ROWS)))
            continue;
        shown++;
        sum += i;
        seattle += i * 7 % ORIGINS == 3 && i % 97 != 0 && i % 1000 > 400;
        nulls += i % 97 == 0;
    }
    table_init(&t, rows);
    fill_arena(&t, rows);
    select_shown(&t, selections);
    map_table(&t);
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    for (int round = 0; round < 2; round++) {
        assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0)"), shown);
        assert_int_equal(run_int(f, "SELECT sum(id)::BIGINT FROM fm_scan(0)"), sum);
        assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0) WHERE delay IS NULL"), nulls);
        assert_int_equal(
            run_int(f, "SELECT count(*) FROM fm_scan(0) WHERE origin = 'SEA' AND delay > 300"),
            seattle);
    }
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM fm_scan(0) WHERE origin = ['ATL', 'JFK', 'LAX', 'SEA', "
                   "'SFO'][id * 7 %% 5 + 1] AND delay IS NOT DISTINCT FROM (CASE WHEN id %% 97 = 0 "
                   "THEN NULL ELSE id %% 1000 - 100 END)");
    assert_int_equal(run_int(f, sql), shown);
    assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0) a JOIN fm_scan(0) b USING (id)"),
                     shown);
    assert_int_equal(run_int(f, "SELECT count(DISTINCT id) FROM (SELECT * FROM fm_scan(0) ORDER BY "
                                "delay, id)"),
                     shown);
    table_deinit(&t);
}

static void streamed_rows_are_read(void **state)
{
    struct fixture *f = *state;
    static const uint32_t sizes[] = {1, 1000, 2048, 50000, FM_BATCH_ROWS_MAX};

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct table t;
        const uint64_t rows = sizes[i] == 1 ? 500 : 300001;
        table_init(&t, rows);
        stream_table(&t, rows, sizes[i]);
        lend(f);
        assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
        char sql[200];
        (void)snprintf(sql, sizeof sql,
                       "SELECT count(*) + sum(id)::BIGINT FROM fm_scan(0) WHERE origin = "
                       "['ATL', 'JFK', 'LAX', 'SEA', 'SFO'][id * 7 %% 5 + 1]");
        assert_int_equal(run_int(f, sql), rows + rows * (rows - 1) / 2);
        table_deinit(&t);
    }
}

/* What flowed once cannot be read twice, and the engine says so instead of missing rows. */
static void a_streamed_slot_is_read_once(void **state)
{
    struct fixture *f = *state;
    struct table t;

    table_init(&t, 5000);
    stream_table(&t, 5000, 1000);
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    expect_failure(f, "SELECT count(*) FROM fm_scan(0) a JOIN fm_scan(0) b ON a.id = b.delay",
                   FM_UNSUPPORTED, "twice");
    table_deinit(&t);
}

static void mapped_and_streamed_rows_together(void **state)
{
    struct fixture *f = *state;
    struct table t;

    table_init(&t, 100000);
    fill_arena(&t, 100000);
    map_table(&t);
    stream_table(&t, 20000, 2048);
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0)"), 120000);
    table_deinit(&t);
}

static enum fm_status failing_source(void *context, struct fm_buf *batch, struct fm_error *err)
{
    (void)context;
    (void)batch;
    return fm_fail(err, FM_UNAVAILABLE, "domain weather: node n3 does not answer");
}

/* The failure of a source is the failure of the query, word for word. */
static void a_failing_source_fails_the_query(void **state)
{
    struct fixture *f = *state;
    struct table t;

    table_init(&t, 1000);
    t.source = (struct fm_batch_source){NULL, failing_source};
    t.slot.source = &t.source;
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    expect_failure(f, "SELECT sum(id) FROM fm_scan(0)", FM_UNAVAILABLE,
                   "domain weather: node n3 does not answer");
    assert_int_equal(run_int(f, "SELECT 1::BIGINT"), 1);
    table_deinit(&t);
}

static void a_column_that_was_not_supplied(void **state)
{
    struct fixture *f = *state;
    struct table t;

    table_init(&t, 1000);
    fill_arena(&t, 1000);
    map_table(&t);
    t.slot.supplied_count = 1;
    lend(f);
    for (uint32_t s = 0; s < t.segment_count; s++)
        t.segments[s].columns = &t.cells[s * 3];
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    assert_int_equal(run_int(f, "SELECT sum(id)::BIGINT FROM fm_scan(0)"), 499500);
    expect_failure(f, "SELECT sum(delay) FROM fm_scan(0)", FM_INTERNAL, "delay");
    table_deinit(&t);
}

static double ms_since(struct timespec start)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start.tv_sec) * 1e3 + (double)(now.tv_nsec - start.tv_nsec) / 1e6;
}

static double best_ms(struct fixture *f, const char *sql, bool single_thread, uint64_t rows)
{
    double best = 1e9;
    for (int i = 0; i < 7; i++) {
        struct fm_columns columns = {0};
        struct fm_buf batch = FM_BUF_INIT(0);
        struct fm_run_options options = {.single_thread = single_thread};
        uint64_t seen = 0;
        struct timespec start;
        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        assert_ok(f, fm_worker_run(f->worker, fm_span_str(sql), &options, &columns, &f->err));
        while (fm_worker_next(f->worker, &batch, &f->err) == FM_OK) {
            seen += fm_load32(batch.data + 8);
            fm_buf_clear(&batch);
        }
        double ms = ms_since(start);
        best = ms < best ? ms : best;
        assert_int_equal(seen, rows);
        fm_buf_free(&batch);
        fm_columns_deinit(&columns);
    }
    return best;
}

/* Three million rows: grouped on codes, and streamed out whole. Times are printed, not judged. */
static void three_million_rows(void **state)
{
    struct fixture *f = *state;
    struct table t;
    const uint64_t rows = 3000000;
    static const char group[] =
        "SELECT origin, count(*), avg(delay) FROM fm_scan(0) GROUP BY origin "
        "ORDER BY 2 DESC, 1 LIMIT 10";

    table_init(&t, rows);
    fill_arena(&t, rows);
    map_table(&t);
    lend(f);
    assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
    print_message("group by, mapped: %.1f ms\n", best_ms(f, group, false, ORIGINS));
    print_message("count delay >= 200: %.1f ms\n",
                  best_ms(f, "SELECT count(*) FROM fm_scan(0) WHERE delay >= 200", false, 1));
    print_message("all rows out, two threads: %.1f ms\n",
                  best_ms(f, "SELECT * FROM fm_scan(0)", false, rows));
    print_message("all rows out, one thread: %.1f ms\n",
                  best_ms(f, "SELECT * FROM fm_scan(0)", true, rows));
    print_message("select 1: %.2f ms\n", best_ms(f, "SELECT 1", true, 1));
    table_deinit(&t);
    table_init(&t, rows);
    stream_table(&t, rows, 20000);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < t.streamed_count; i++)
        bytes += t.streamed[i].len;
    double best = 1e9;
    for (int i = 0; i < 5; i++) {
        t.streamed_next = 0;
        assert_ok(f, fm_worker_set_slots(f->worker, &t.slot, 1, &f->err));
        struct timespec start;
        (void)clock_gettime(CLOCK_MONOTONIC, &start);
        assert_int_equal(run_int(f, "SELECT count(*) FROM fm_scan(0) WHERE id >= 0"), rows);
        double ms = ms_since(start);
        best = ms < best ? ms : best;
    }
    print_message("streamed in: %.1f ms, %.2f GB/s of batches\n", best, (double)bytes / best / 1e6);
    table_deinit(&t);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(parse_and_unparse),
        TEST(plans_over_slots),
        TEST(mapped_rows_are_read),
        TEST(selected_rows_are_read),
        TEST(left_out_blocks_are_not_read),
        TEST(streamed_rows_are_read),
        TEST(a_streamed_slot_is_read_once),
        TEST(mapped_and_streamed_rows_together),
        TEST(a_failing_source_fails_the_query),
        TEST(a_column_that_was_not_supplied),
        TEST(three_million_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
