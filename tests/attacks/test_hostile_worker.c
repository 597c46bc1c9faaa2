/* A worker that an attacker has taken over. This program is also that worker: the engine starts it
 * as its own worker program, and the SQL text names the lie to tell. Each lie is found out, costs
 * the worker its life, and never the host's. */
#include "query/channel.h"
#include "query/engine.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ZYGOTE_FD 3

/* ---- The worker ------------------------------------------------------------------------------ */

struct liar {
    struct channel_reader control;
    int scan;
    uint8_t *memory;
    struct fm_columns columns; /* One column v int32. */
    struct fm_buf batch;       /* An honest batch of it. */
};

static void say(struct liar *liar, enum channel_kind kind, uint32_t number, struct fm_span payload)
{
    if (channel_send(liar->control.fd, kind, number, payload, -1, FM_MS_NEVER) != FM_OK)
        _exit(0);
}

static void make_batch(struct liar *liar, enum fm_kind kind)
{
    static struct fm_type type;
    const struct fm_type *types[1] = {&type};
    struct fm_batch_builder *builder = NULL;
    struct fm_batch_builder_options options = {.types = types, .column_count = 1};
    int64_t value = 7;

    type.kind = kind;
    fm_buf_clear(&liar->batch);
    if (fm_batch_builder_new(&options, &builder) != FM_OK ||
        fm_batch_put_fixed(builder, 0, &value) != FM_OK ||
        fm_batch_builder_finish(builder, 0, &liar->batch) != FM_OK)
        _exit(1);
    fm_batch_builder_free(builder);
}

static void send_columns(struct liar *liar)
{
    static struct fm_column column = {.name = "v", .type = {.kind = FM_KIND_INT32}};
    struct fm_columns columns = {1, &column, NULL};
    struct fm_buf payload = FM_BUF_INIT(0);

    if (channel_columns_encode(&payload, &columns) != FM_OK)
        _exit(1);
    say(liar, CHANNEL_COLUMNS, 0, fm_buf_span(&payload));
    fm_buf_free(&payload);
}

static void send_slot(struct liar *liar, uint32_t slot, uint32_t bytes)
{
    uint8_t length[4];
    if (slot < CHANNEL_SLOT_COUNT)
        memcpy(channel_result_slot(liar->memory, slot), liar->batch.data, liar->batch.len);
    fm_store32(length, bytes);
    say(liar, CHANNEL_BATCH, slot, fm_span(length, sizeof length));
}

static void send_scan(struct liar *liar, enum channel_kind kind, uint32_t number, uint32_t mask)
{
    uint8_t bytes[4];
    fm_store32(bytes, mask);
    (void)!channel_send(liar->scan, kind, number, fm_span(bytes, 4), -1, FM_MS_NEVER);
    pause();
}

/* Lies before the columns. */
static bool lie_early(struct liar *liar, const char *lie)
{
    if (strcmp(lie, "raw bytes") == 0)
        (void)!write(liar->control.fd, "GET / HTTP/1.1\r\n\r\n", 18);
    else if (strcmp(lie, "columns of garbage") == 0)
        say(liar, CHANNEL_COLUMNS, 0, fm_span_str("\xff\xff\xff\xff"));
    else if (strcmp(lie, "no columns") == 0)
        say(liar, CHANNEL_COLUMNS, 0, fm_span("\0\0\0\0", 4));
    else if (strcmp(lie, "a batch before columns") == 0)
        send_slot(liar, 0, 8);
    else if (strcmp(lie, "an error that is success") == 0)
        say(liar, CHANNEL_ERROR, FM_OK, fm_span_str("x"));
    else if (strcmp(lie, "an error that is no text") == 0)
        say(liar, CHANNEL_ERROR, FM_INVALID, fm_span_str("\xff\x1b[2J"));
    else if (strcmp(lie, "a pull of no slot") == 0)
        send_scan(liar, CHANNEL_PULL, 5, 0);
    else if (strcmp(lie, "a pull with a wrong mask") == 0)
        send_scan(liar, CHANNEL_PULL, 0, 0xffffffffu);
    else if (strcmp(lie, "another frame on the scan socket") == 0)
        send_scan(liar, CHANNEL_RUN, 0, 0);
    else if (strcmp(lie, "an exit") == 0)
        _exit(3);
    else if (strcmp(lie, "silence") == 0)
        pause();
    else
        return false;
    return true;
}

static void lie_late(struct liar *liar, const char *lie)
{
    struct fm_span honest = fm_buf_span(&liar->batch);

    if (strcmp(lie, "a slot outside") == 0)
        send_slot(liar, 77, (uint32_t)honest.len);
    else if (strcmp(lie, "a length outside") == 0)
        send_slot(liar, 0, 0xfffffff0u);
    else if (strcmp(lie, "a length too short") == 0)
        send_slot(liar, 0, (uint32_t)honest.len - 8);
    else if (strcmp(lie, "columns twice") == 0)
        send_columns(liar);
    else if (strcmp(lie, "another type") == 0) {
        make_batch(liar, FM_KIND_INT64);
        send_slot(liar, 1, (uint32_t)liar->batch.len);
    } else if (strcmp(lie, "an offset outside") == 0) {
        struct fm_vector_entry entry;
        memcpy(&entry, liar->batch.data + FM_BATCH_HEADER_BYTES, sizeof entry);
        entry.data_at = 0x7ffffff8u;
        memcpy(liar->batch.data + FM_BATCH_HEADER_BYTES, &entry, sizeof entry);
        send_slot(liar, 1, (uint32_t)liar->batch.len);
    } else if (strcmp(lie, "an inline batch of garbage") == 0) {
        say(liar, CHANNEL_INLINE, 0, fm_span_str("garbage"));
    } else if (strcmp(lie, "batches without end") == 0) {
        for (;;)
            say(liar, CHANNEL_INLINE, 0, honest);
    } else {
        send_slot(liar, 3, (uint32_t)honest.len); /* The truth, once. */
        say(liar, CHANNEL_END, 0, fm_span(NULL, 0));
    }
}

static _Noreturn void liar_main(const int passed[3])
{
    struct liar liar = {.scan = passed[1]};
    char lie[100];

    liar.memory =
        mmap(NULL, CHANNEL_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, passed[2], 0);
    if (liar.memory == MAP_FAILED)
        _exit(1);
    /* The size is sealed: this must fail. */
    if (ftruncate(passed[2], 4096) == 0)
        _exit(1);
    channel_reader_init(&liar.control, passed[0]);
    say(&liar, CHANNEL_READY, 0, fm_span(NULL, 0));
    while (channel_reader_wait(&liar.control, FM_MS_NEVER) == FM_OK) {
        if (liar.control.frame.kind == CHANNEL_SLOTS)
            say(&liar, CHANNEL_DONE, 0, fm_span(NULL, 0));
        if (liar.control.frame.kind != CHANNEL_RUN)
            continue;
        (void)snprintf(lie, sizeof lie, "%.*s", (int)liar.control.payload.len,
                       (const char *)liar.control.payload.data);
        make_batch(&liar, FM_KIND_INT32);
        if (lie_early(&liar, lie))
            continue;
        send_columns(&liar);
        lie_late(&liar, lie);
    }
    _exit(0);
}

static int zygote(void)
{
    struct channel_reader reader;
    struct fm_span none = {NULL, 0};
    int passed[3] = {-1, -1, -1}, count = 0;

    channel_reader_init(&reader, ZYGOTE_FD);
    while (channel_reader_wait(&reader, FM_MS_NEVER) == FM_OK) {
        enum fm_status sent = FM_OK;
        int status = 0;
        if (reader.frame.kind == CHANNEL_HELLO)
            sent = channel_send(ZYGOTE_FD, CHANNEL_AWAKE, 0, none, -1, FM_MS_NEVER);
        if (reader.frame.kind == CHANNEL_WAIT) {
            (void)waitpid((pid_t)reader.frame.number, &status, 0);
            sent = channel_send(ZYGOTE_FD, CHANNEL_EXITED, (uint32_t)status, none, -1, FM_MS_NEVER);
        }
        if (reader.passed >= 0) {
            passed[count++] = reader.passed;
            reader.passed = -1;
        }
        if (count == 3) {
            count = 0;
            pid_t pid = fork();
            if (pid == 0)
                liar_main(passed);
            for (int i = 0; i < 3; i++)
                close(passed[i]);
            sent = channel_send(ZYGOTE_FD, CHANNEL_FORKED, (uint32_t)pid, none, -1, FM_MS_NEVER);
        }
        if (sent != FM_OK)
            break;
    }
    _exit(0);
}

/* ---- The host -------------------------------------------------------------------------------- */

struct fixture {
    struct fm_engine *engine;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_engine_options options = {.worker_path = "/proc/self/exe", .threads = 1};
    char self[4096] = {0};

    assert_non_null(f);
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    options.worker_path = self;
    if (fm_engine_open(&options, &f->engine, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_engine_free(f->engine);
    free(f);
    return 0;
}

static enum fm_status ask(struct fixture *f, const char *lie, fm_ms ms, uint64_t *rows)
{
    struct fm_worker *worker = NULL;
    struct fm_columns columns = {0};
    struct fm_buf batch = FM_BUF_INIT(0);
    struct fm_run_options options = {.rows_max = 1000};

    *rows = 0;
    if (fm_worker_lend(f->engine, NULL, fm_now_ms() + ms, &worker, &f->err) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_int_equal(fm_worker_set_slots(worker, NULL, 0, &f->err), FM_OK);
    enum fm_status status = fm_worker_run(worker, fm_span_str(lie), &options, &columns, &f->err);
    while (status == FM_OK) {
        fm_buf_clear(&batch);
        status = fm_worker_next(worker, &batch, &f->err);
        if (status == FM_OK)
            *rows += fm_load32(batch.data + 8);
    }
    fm_buf_free(&batch);
    fm_columns_deinit(&columns);
    fm_worker_free(worker);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static void lies_are_found_out(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *lie;
        enum fm_status status;
    } lies[] = {
        {"raw bytes", FM_INTERNAL},
        {"columns of garbage", FM_INTERNAL},
        {"no columns", FM_INTERNAL},
        {"a batch before columns", FM_INTERNAL},
        {"an error that is success", FM_INTERNAL},
        {"an error that is no text", FM_INTERNAL},
        {"a pull of no slot", FM_INTERNAL},
        {"a pull with a wrong mask", FM_INTERNAL},
        {"another frame on the scan socket", FM_INTERNAL},
        {"an exit", FM_INTERNAL},
        {"a slot outside", FM_INTERNAL},
        {"a length outside", FM_INTERNAL},
        {"a length too short", FM_INTERNAL},
        {"columns twice", FM_INTERNAL},
        {"another type", FM_INTERNAL},
        {"an offset outside", FM_INTERNAL},
        {"an inline batch of garbage", FM_INTERNAL},
        {"batches without end", FM_LIMIT},
    };
    uint64_t rows = 0;

    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        enum fm_status status = ask(f, lies[i].lie, 30000, &rows);
        if (status != lies[i].status)
            fail_msg("%s: %s: %s", lies[i].lie, fm_status_text(status), f->err.text);
        assert_null(strchr(f->err.text, '\x1b'));
        assert_int_equal(ask(f, "the truth", 30000, &rows), FM_OK);
        assert_int_equal(rows, 1);
    }
}

static void silence_ends_at_the_deadline(void **state)
{
    struct fixture *f = *state;
    uint64_t rows = 0;

    fm_ms start = fm_now_ms();
    assert_int_equal(ask(f, "silence", 1000, &rows), FM_TIMEOUT);
    assert_in_range(fm_now_ms() - start, 500, 20000);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--zygote") == 0)
        return zygote();
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(lies_are_found_out),
                                       TEST(silence_ends_at_the_deadline)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
