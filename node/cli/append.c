#include "node/cli/cli.h"
#include "node/cli/progress.h"

#include "client/client_text.h"
#include "query/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define INGEST_MS_MAX (24 * INT64_C(3600000))
#define ENGINE_MEMORY_BYTES ((size_t)2048 << 20)

struct input { /* Rows of a table. */
    const char *table;
    const char *file; /* "-": standard input. */
    enum fm_format format;
    struct folkmoot_append_options options;
    struct folkmoot_append *append;
    bool was_done;
};

struct plan {
    struct fm_cli_reach reach;
    const char *format_name;
    const char *producer;
    uint64_t sequence; /* 0: not given. */
    const char *durability;
    struct fm_cli_list expect;
    uint32_t input_count;
    struct input inputs[FM_APPEND_TABLES_MAX];
};

static void closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* Only read from, or a spool that nobody reads again. */
}

/* ---- Options ------------------------------------------------------------------------------- */

static enum fm_status choose_format(const struct plan *plan, struct input *input,
                                    struct fm_error *err)
{
    static const struct {
        const char *name;
        enum fm_format format;
    } formats[] = {
        {"parquet", FM_FORMAT_PARQUET}, {"csv", FM_FORMAT_CSV},    {"ndjson", FM_FORMAT_NDJSON},
        {"jsonl", FM_FORMAT_NDJSON},    {"pq", FM_FORMAT_PARQUET},
    };
    const char *name = plan->format_name;
    const char *dot = strrchr(input->file, '.');

    if (name == NULL && dot != NULL && strchr(dot, '/') == NULL)
        name = dot + 1;
    for (size_t i = 0; name != NULL && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcasecmp(name, formats[i].name) == 0) {
            input->format = formats[i].format;
            return FM_OK;
        }
    }
    if (plan->format_name != NULL)
        return fm_fail(err, FM_USAGE, "--format takes parquet, csv or ndjson, not '%.40s'",
                       plan->format_name);
    return fm_fail(err, FM_USAGE,
                   "the form of '%.100s' does not show in its name; give --format parquet, csv or "
                   "ndjson",
                   input->file);
}

static enum fm_status read_expected(const char *text, struct input *input, struct fm_error *err)
{
    char *end = NULL;

    errno = 0;
    input->options.has_expected_size = 1;
    input->options.expected_size = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return fm_fail(err, FM_USAGE, "--expect takes a number, not '%.40s'", text);
    return FM_OK;
}

static enum fm_status read_input(const struct plan *plan, struct input *input, struct fm_error *err)
{
    if (plan->producer != NULL && fm_unhex(plan->producer, input->options.producer, 16) != FM_OK)
        return fm_fail(err, FM_USAGE, "--producer takes 32 hex digits, not '%.40s'",
                       plan->producer);
    input->options.sequence = plan->sequence;
    input->options.in_memory = plan->durability != NULL && strcmp(plan->durability, "memory") == 0;
    if (strcmp(input->file, "-") == 0 && plan->input_count > 1)
        return fm_fail(err, FM_USAGE,
                       "several tables take their rows from files, not from "
                       "standard input");
    return choose_format(plan, input, err);
}

static enum fm_status read_options(struct plan *plan, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if ((plan->producer == NULL) != (plan->sequence == 0))
        return fm_fail(err, FM_USAGE, "--producer and --sequence go together");
    if (plan->durability != NULL && strcmp(plan->durability, "fsync") != 0 &&
        strcmp(plan->durability, "memory") != 0)
        return fm_fail(err, FM_USAGE, "--durability takes fsync or memory, not '%.40s'",
                       plan->durability);
    if (plan->expect.count != 0 && plan->expect.count != plan->input_count)
        return fm_fail(err, FM_USAGE,
                       "--expect is given once for each table: %u times, not %u times",
                       plan->input_count, plan->expect.count);
    for (uint32_t i = 0; status == FM_OK && i < plan->input_count; i++) {
        status = read_input(plan, &plan->inputs[i], err);
        if (status == FM_OK && plan->expect.count != 0)
            status = read_expected(plan->expect.items[i], &plan->inputs[i], err);
    }
    return status;
}

/* TABLE [FILE], or pairs of them. */
static enum fm_status read_inputs(struct plan *plan, const struct fm_cli_list *rest,
                                  struct fm_error *err)
{
    if (rest->count > 2 && rest->count % 2 != 0)
        return fm_fail(err, FM_USAGE, "several tables need a file each: '%.100s' has none",
                       rest->items[rest->count - 1]);
    plan->input_count = (rest->count + 1) / 2;
    for (uint32_t i = 0; i < plan->input_count; i++) {
        plan->inputs[i].table = rest->items[2 * i];
        plan->inputs[i].file = 2 * i + 1 < rest->count ? rest->items[2 * i + 1] : "-";
    }
    return read_options(plan, err);
}

/* ---- Input --------------------------------------------------------------------------------- */

static enum fm_status spool(int from, int *out, struct fm_error *err)
{
    const char *folder = getenv("TMPDIR");
    uint8_t chunk[65536];

    FM_AUTO(closep)
    int to = open(folder != NULL && folder[0] != '\0' ? folder : "/tmp",
                  O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (to < 0)
        return fm_fail_errno(err, FM_IO, errno, "make a temporary file (TMPDIR says where)");
    for (;;) {
        ssize_t got = read(from, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fm_fail_errno(err, FM_IO, errno, "read the input");
        if (got == 0)
            break;
        for (ssize_t at = 0; at < got;) {
            ssize_t put = write(to, chunk + at, (size_t)(got - at));
            if (put < 0 && errno != EINTR)
                return fm_fail_errno(err, FM_IO, errno, "write the temporary file");
            at += put < 0 ? 0 : put;
        }
    }
    if (lseek(to, 0, SEEK_SET) != 0)
        return fm_fail_errno(err, FM_IO, errno, "rewind the temporary file");
    *out = to;
    to = -1;
    return FM_OK;
}

/* The worker wants a regular file: what is none is copied into one without a name. */
static enum fm_status open_input(const char *path, int *out, struct fm_error *err)
{
    struct stat info;
    bool is_stdin = strcmp(path, "-") == 0;

    FM_AUTO(closep)
    int fd = is_stdin ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fm_fail_errno(err, errno == ENOENT ? FM_NOTFOUND : FM_IO, errno, "open %s",
                             is_stdin ? "standard input" : path);
    if (fstat(fd, &info) != 0)
        return fm_fail_errno(err, FM_IO, errno, "stat %s", path);
    if (S_ISDIR(info.st_mode))
        return fm_fail(err, FM_INVALID, "%s is a folder; a file of rows is expected", path);
    if (!S_ISREG(info.st_mode) || (is_stdin && lseek(fd, 0, SEEK_CUR) != 0))
        return spool(fd, out, err);
    *out = fd;
    fd = -1;
    return FM_OK;
}

/* ---- Rows ---------------------------------------------------------------------------------- */

static enum fm_status send_rows(struct folkmoot *handle, struct folkmoot_append *append,
                                struct fm_worker *worker, struct fm_progress *progress,
                                struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_batch batch;
    uint64_t rows = 0;

    progress->total = fm_ingest_rows(worker);
    for (;;) {
        fm_progress_show(progress, rows);
        fm_buf_clear(&bytes);
        enum fm_status status = fm_ingest_next(worker, &bytes, err);
        if (status == FM_NOTFOUND)
            return FM_OK;
        if (status == FM_OK)
            status = fm_batch_view_trusted(fm_buf_span(&bytes), &batch);
        if (status != FM_OK)
            return status;
        enum folkmoot_status sent = folkmoot_append_batch(append, bytes.data, bytes.len);
        if (sent != FOLKMOOT_OK)
            return fm_cli_failed(handle, sent, err);
        rows += batch.rows;
    }
}

static enum fm_status ingest(const struct input *input, struct folkmoot *handle,
                             struct fm_progress *progress, struct fm_error *err)
{
    FM_AUTO(closep) int fd = -1;
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
    FM_AUTO(fm_engine_freep) struct fm_engine *engine = NULL;
    FM_AUTO(fm_worker_freep) struct fm_worker *worker = NULL;
    const struct fm_engine_options options = {.memory_bytes = ENGINE_MEMORY_BYTES};
    size_t len = 0;
    const uint8_t *bytes = folkmoot_append_schema(input->append, &len);

    enum fm_status status = fm_schema_decode(fm_span(bytes, len), &schema, err);
    if (status == FM_OK)
        status = open_input(input->file, &fd, err);
    if (status == FM_OK)
        status = fm_engine_open(&options, &engine, err);
    if (status == FM_OK)
        status = fm_worker_lend(engine, NULL, fm_now_ms() + INGEST_MS_MAX, &worker, err);
    if (status != FM_OK)
        return status;
    fm_progress_show(progress, 0);
    status = fm_ingest_open(
        worker, &(struct fm_ingest_options){.format = input->format, .fd = fd, .schema = schema},
        err);
    if (status == FM_OK)
        status = send_rows(handle, input->append, worker, progress, err);
    if (status == FM_OK)
        return FM_OK;
    return fm_wrap(err, status, "append to %s: nothing was stored: %s", input->table,
                   strcmp(input->file, "-") == 0 ? "standard input" : input->file);
}

static void print_ack(const struct input *input, const struct folkmoot_ack *ack, fm_ms spent)
{
    FM_AUTO(fm_buf_free) struct fm_buf recorded = FM_BUF_INIT(0);

    const char *kept = ack->is_durable ? "synced to disk" : "in memory only";
    fm_text_timestamp(&recorded, ack->recorded_us, ' ');
    if (input->was_done)
        (void)printf("%s: nothing to do, these %" PRIu64 " rows were appended before, %s\n",
                     input->table, ack->rows, kept);
    else
        (void)printf("%s: %" PRIu64 " rows in %" PRId64 ".%02" PRId64 " s (%" PRIu64
                     " rows/s), %s\n",
                     input->table, ack->rows, spent / 1000, spent % 1000 / 10,
                     spent == 0 ? ack->rows : ack->rows * 1000 / (uint64_t)spent, kept);
    (void)printf("log %" PRIu64 " facts, root %s, recorded %.*s UTC\n", ack->size, ack->root,
                 (int)recorded.len, (const char *)recorded.data);
}

static enum fm_status send_input(struct input *input, struct folkmoot *handle, struct fm_error *err)
{
    struct fm_progress progress;
    enum fm_status status = FM_OK;

    input->was_done = folkmoot_append_is_done(input->append) != 0;
    fm_progress_start(&progress, input->table);
    if (!input->was_done)
        status = ingest(input, handle, &progress, err);
    fm_progress_end(&progress);
    return status;
}

/* All are begun before the rows of any are sent: what can be refused, is refused then. */
static enum fm_status append_rows(struct plan *plan, struct folkmoot *handle, struct fm_error *err)
{
    struct folkmoot_append *appends[FM_APPEND_TABLES_MAX];
    struct folkmoot_ack acks[FM_APPEND_TABLES_MAX];
    enum folkmoot_status done = FOLKMOOT_OK;
    enum fm_status status = FM_OK;
    fm_ms started = fm_now_ms();

    for (uint32_t i = 0; done == FOLKMOOT_OK && i < plan->input_count; i++) {
        struct input *input = &plan->inputs[i];

        done = folkmoot_append_begin(handle, input->table, &input->options, &input->append);
        appends[i] = input->append;
    }
    if (done != FOLKMOOT_OK)
        status = fm_cli_failed(handle, done, err);
    for (uint32_t i = 0; status == FM_OK && i < plan->input_count; i++)
        status = send_input(&plan->inputs[i], handle, err);
    if (status == FM_OK) {
        done = folkmoot_append_commit_all(appends, plan->input_count, acks);
        if (done != FOLKMOOT_OK)
            status = fm_cli_failed(handle, done, err);
    }
    for (uint32_t i = 0; i < plan->input_count; i++)
        folkmoot_append_free(plan->inputs[i].append);
    for (uint32_t i = 0; status == FM_OK && i < plan->input_count; i++)
        print_ack(&plan->inputs[i], &acks[i], fm_now_ms() - started);
    return status;
}

static enum fm_status check_files(const struct plan *plan, struct fm_error *err)
{
    for (uint32_t i = 0; i < plan->input_count; i++) {
        const char *file = plan->inputs[i].file;

        if (strcmp(file, "-") != 0 && access(file, R_OK) != 0)
            return fm_fail_errno(err, errno == ENOENT ? FM_NOTFOUND : FM_IO, errno, "open %s",
                                 file);
    }
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    struct plan plan = {.reach.timeout = 60};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&plan.reach),
        {"format", FM_CLI_TEXT, &plan.format_name, 0, 0},
        {"producer", FM_CLI_TEXT, &plan.producer, 0, 0},
        {"sequence", FM_CLI_UINT, &plan.sequence, 1, UINT64_MAX},
        {"expect", FM_CLI_LIST, &plan.expect, 0, 0},
        {"durability", FM_CLI_TEXT, &plan.durability, 0, 0},
    };

    enum fm_status status = fm_cli_options(argc, argv, options, sizeof options / sizeof options[0],
                                           1, 2 * FM_APPEND_TABLES_MAX, &rest, err);
    if (status == FM_OK)
        status = read_inputs(&plan, &rest, err);
    if (status == FM_OK)
        status = check_files(&plan, err);
    if (status == FM_OK)
        status = fm_cli_connect(&plan.reach, &handle, err);
    return status == FM_OK ? append_rows(&plan, handle, err) : status;
}

const struct fm_cli_verb fm_cli_append = {
    .name = "append",
    .summary = "append rows of a file to a table",
    .help = "Usage: folkmoot append DOMAIN.TABLE [FILE|-] [OPTION]...\n"
            "       folkmoot append DOMAIN.TABLE FILE DOMAIN.TABLE FILE... [OPTION]...\n"
            "\n"
            "Appends the rows of a Parquet, CSV or NDJSON file (or of standard input) at\n"
            "the node that owns the domain: all of them, or with the first row that breaks\n"
            "the contract none. Columns are matched by name. Several tables of one domain,\n"
            "each with its file, are appended together: all of them or none.\n"
            "\n"
            "A file may also have _op (assert, retract, correct), _event_time and\n"
            "_supersedes (the fact corrected or taken back, by its _seq in TABLE$facts).\n"
            "\n"
            "  --format FORMAT    parquet, csv or ndjson; default: by the file's name\n"
            "  --producer ID --sequence N\n"
            "                     32 hex digits and a number: a repeated pair is not\n"
            "                     appended twice\n"
            "  --expect N         only if the log has exactly N facts; once for each table\n"
            "  --durability LEVEL fsync (default), or memory: answered before it is synced\n"
            "  --timeout SECONDS  give up on a call after (default 60)\n"
            "  --node HOST:PORT   the owner's node (default: FOLKMOOT_NODE)\n"
            "  --as DIR           your identity (default: FOLKMOOT_IDENTITY)\n"
            "\n"
            "Example:\n"
            "  folkmoot append flights.delays flights-3m.parquet\n"
            "  folkmoot append shop.orders orders.csv shop.items items.csv\n",
    .run = run,
};
