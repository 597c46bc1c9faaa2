#include "core/sql_text.h"
#include "node/cli/cli.h"
#include "node/cli/output.h"
#include "node/cli/receipts.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

struct plan {
    struct fm_cli_reach reach;
    const char *format_name;
    const char *save;
    const char *at_heads;
    const char *without;
    const char *on_unavailable; /* "fail", "skip", or NULL: as the session is set. */
    bool allows_partial_aggregates;
    uint64_t rows_max;
    uint64_t print_max; /* Rows shown of a table; 0: all. */
    bool with_fragments;
    bool receipts;
    bool no_receipts;
    bool no_verify;
    const char *file; /* With statements; NULL: they are arguments. */
    enum fm_output_format format;
    bool has_printed; /* The answer of an earlier statement. */
};

static bool says(const char *text, const char *word)
{
    return text != NULL && strcmp(text, word) == 0;
}

static enum fm_status make_output(const struct plan *plan, const struct folkmoot_result *result,
                                  struct fm_output **out, struct fm_error *err)
{
    uint32_t count = folkmoot_result_column_count(result);
    FM_AUTO(fm_mem_freep)
    struct fm_output_column *columns = calloc((size_t)count + 1, sizeof *columns);

    if (columns == NULL)
        return fm_fail(err, FM_NOMEM, "print");
    for (uint32_t i = 0; i < count; i++)
        columns[i] = (struct fm_output_column){
            .name = folkmoot_result_column_name(result, i),
            .is_number = folkmoot_result_column_is_number(result, i) != 0,
        };
    enum fm_status status = fm_output_new(stdout, plan->format, columns, count, out);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print: %s", fm_status_text(status));
}

static enum folkmoot_status print_row(const struct plan *plan, struct folkmoot_result *result,
                                      struct fm_output *output, uint32_t row)
{
    bool is_json = plan->format == FM_OUTPUT_JSON || plan->format == FM_OUTPUT_NDJSON;
    uint32_t count = folkmoot_result_column_count(result);

    for (uint32_t column = 0; column < count; column++) {
        const char *text = NULL;
        size_t len = 0;
        enum folkmoot_status status = is_json
                                          ? folkmoot_result_json(result, row, column, &text, &len)
                                          : folkmoot_result_text(result, row, column, &text, &len);
        if (status != FOLKMOOT_OK)
            return status;
        fm_output_cell(output, text, len, is_json);
    }
    return FOLKMOOT_OK;
}

/* Print batch after batch; `*rows` counts all rows, also those not shown. */
static enum folkmoot_status print_rows(const struct plan *plan, struct folkmoot_result *result,
                                       struct fm_output *output, uint64_t *rows)
{
    uint64_t shown_max =
        plan->format == FM_OUTPUT_TABLE && plan->print_max != 0 ? plan->print_max : UINT64_MAX;

    for (;;) {
        enum folkmoot_status status = folkmoot_result_next(result);
        uint32_t count = folkmoot_result_rows(result);
        for (uint32_t row = 0; status == FOLKMOOT_OK && row < count && *rows + row < shown_max;
             row++)
            status = print_row(plan, result, output, row);
        *rows += count;
        if (status != FOLKMOOT_OK || count == 0 || ferror(stdout))
            return status;
    }
}

static enum fm_status print_footer(const struct plan *plan, const struct folkmoot_result *result,
                                   uint64_t rows, fm_ms spent, struct fm_error *err)
{
    const struct folkmoot_answer *answer = folkmoot_result_answer(result);
    struct folkmoot_answer_info info = {0};
    bool is_table = plan->format == FM_OUTPUT_TABLE;
    FILE *stream = is_table ? stdout : stderr;

    if (is_table && plan->print_max != 0 && rows > plan->print_max)
        (void)printf("... and %" PRIu64 " more rows\n", rows - plan->print_max);
    if (is_table)
        (void)printf("(%" PRIu64 " row%s, %" PRId64 " ms%s)\n", rows, rows == 1 ? "" : "s", spent,
                     plan->no_verify ? ", not verified" : "");
    if (answer != NULL && fm_cli_missing(stderr, answer) != FM_OK)
        return fm_fail(err, FM_IO, "print what is missing");
    if (answer == NULL || plan->no_receipts || (!is_table && !plan->receipts))
        return FM_OK;
    folkmoot_answer_info(answer, &info);
    if (info.receipt_count == 0 && info.own_count == 0) /* A query over no table. */
        return FM_OK;
    if (is_table)
        (void)printf("\n");
    enum fm_status status = fm_cli_receipts(stream, FM_OUTPUT_TABLE, answer);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print the receipts");
}

/* Between the answers of several statements, where they could run into each other. */
static void part_from_last(struct plan *plan)
{
    if (plan->has_printed && (plan->format == FM_OUTPUT_TABLE || plan->format == FM_OUTPUT_CSV))
        (void)printf("\n"); /* A failure shows at the end. */
    plan->has_printed = true;
}

static enum fm_status print_answer(struct plan *plan, struct folkmoot *handle,
                                   struct folkmoot_result *result, fm_ms started,
                                   struct fm_error *err)
{
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;
    uint64_t rows = 0;

    part_from_last(plan);
    enum fm_status status = make_output(plan, result, &output, err);
    if (status != FM_OK)
        return status;
    enum folkmoot_status read = print_rows(plan, result, output, &rows);
    if (read != FOLKMOOT_OK)
        return fm_cli_failed(handle, read, err);
    /* What is held back is shown only with an answer that holds. */
    status = fm_output_finish(output);
    if (status != FM_OK)
        return fm_fail(err, status, "standard output: %s", fm_status_text(status));
    return print_footer(plan, result, rows, fm_now_ms() - started, err);
}

static enum fm_status ask(struct plan *plan, struct folkmoot *handle, struct fm_span sql,
                          struct fm_error *err)
{
    struct folkmoot_result *result = NULL;
    const struct folkmoot_query_options options = {
        .rows_max = plan->rows_max,
        .save = plan->save,
        .skip_verification = plan->no_verify,
        .without = plan->without,
        .skip_unavailable = says(plan->on_unavailable, "skip")   ? 1
                            : says(plan->on_unavailable, "fail") ? -1
                                                                 : 0,
        .allow_partial_aggregates = plan->allows_partial_aggregates,
        .at_heads = plan->at_heads,
        .with_fragments = plan->with_fragments,
    };
    fm_ms started = fm_now_ms();

    enum folkmoot_status asked =
        folkmoot_query(handle, (const char *)sql.data, sql.len, &options, &result);
    if (asked != FOLKMOOT_OK)
        return fm_cli_failed(handle, asked, err);
    enum fm_status status = FM_OK;
    if (folkmoot_result_column_count(result) != 0) /* Else a setting was changed. */
        status = print_answer(plan, handle, result, started, err);
    folkmoot_result_free(result);
    return status;
}

/* ---- Statements ------------------------------------------------------------------------------ */

struct statements {
    uint32_t count;
    uint32_t capacity;
    struct statement {
        struct fm_span sql; /* Borrowed. */
        uint32_t line;      /* In the file, from 1; 0: it is an argument. */
    } * items;              /* Owned. */
};

static void statements_deinit(struct statements *statements)
{
    free(statements->items);
}

static enum fm_status add(struct statements *statements, struct fm_span sql, uint32_t line,
                          struct fm_error *err)
{
    if (statements->count == statements->capacity) {
        uint32_t capacity = statements->capacity == 0 ? 16 : 2 * statements->capacity;
        struct statement *grown = realloc(statements->items, capacity * sizeof *grown);
        if (grown == NULL)
            return fm_fail(err, FM_NOMEM, "read statements");
        statements->items = grown;
        statements->capacity = capacity;
    }
    statements->items[statements->count++] = (struct statement){.sql = sql, .line = line};
    return FM_OK;
}

/* Those of a file, with semicolons between them. */
static enum fm_status split(struct fm_span text, struct statements *out, struct fm_error *err)
{
    uint32_t line = 1;
    enum fm_status status = FM_OK;

    for (size_t at = 0; status == FM_OK && at < text.len;) {
        size_t start = fm_sql_skip_blanks(text, at);
        for (; at < start; at++)
            line += text.data[at] == '\n';
        size_t end = fm_sql_statement_end(text, start);
        if (end > start)
            status = add(out, fm_span(text.data + start, end - start), line, err);
        for (; at < end; at++)
            line += text.data[at] == '\n';
        at += at < text.len; /* The semicolon. */
    }
    if (status == FM_OK && out->count == 0)
        return fm_fail(err, FM_USAGE, "there is no statement in it");
    return status;
}

/* One after the other, in one session, until one fails. */
static enum fm_status ask_all(struct plan *plan, struct folkmoot *handle,
                              const struct statements *statements, struct fm_error *err)
{
    for (uint32_t i = 0; i < statements->count; i++) {
        const struct statement *statement = &statements->items[i];
        enum fm_status status = ask(plan, handle, statement->sql, err);
        if (status != FM_OK && statements->count == 1)
            return status;
        if (status != FM_OK && statement->line != 0)
            return fm_wrap(err, status, "statement %" PRIu32 ", from line %" PRIu32, i + 1,
                           statement->line);
        if (status != FM_OK)
            return fm_wrap(err, status, "statement %" PRIu32, i + 1);
    }
    return FM_OK;
}

static enum fm_status check_unavailable(const struct plan *plan, struct fm_error *err)
{
    uint64_t ignored = 0;

    if (plan->on_unavailable != NULL && !says(plan->on_unavailable, "fail") &&
        !says(plan->on_unavailable, "skip"))
        return fm_fail(err, FM_USAGE, "--on-unavailable takes fail or skip, not '%.40s'",
                       plan->on_unavailable);
    if (plan->no_verify && says(plan->on_unavailable, "skip"))
        return fm_fail(err, FM_USAGE,
                       "only a verified answer tells what is missing; leave --no-verify out");
    if (plan->with_fragments && (plan->save == NULL || plan->no_verify))
        return fm_fail(err, FM_USAGE, "--with-fragments goes with --save and without --no-verify");
    if (plan->allows_partial_aggregates && !says(plan->on_unavailable, "skip"))
        return fm_fail(err, FM_USAGE, "--allow-partial-aggregates goes with --on-unavailable skip");
    if (plan->without != NULL && fm_rules_parse(fm_span_str(plan->without), &ignored, err) != FM_OK)
        return fm_wrap(err, FM_USAGE, "--without");
    return FM_OK;
}

static enum fm_status read_statements(const struct plan *plan, const struct fm_cli_list *rest,
                                      struct fm_buf *text, struct statements *out,
                                      struct fm_error *err)
{
    bool is_input = rest->count == 1 && strcmp(rest->items[0], "-") == 0;
    const char *file = is_input ? "-" : plan->file;
    enum fm_status status = FM_OK;

    if ((plan->file == NULL) == (rest->count == 0))
        return fm_fail(err, FM_USAGE, "give statements, or --file FILE with them");
    if (file != NULL) {
        status = fm_cli_read(file, FM_CLI_STATEMENTS_BYTES_MAX, text, err);
        if (status == FM_OK)
            status = split(fm_buf_span(text), out, err);
        if (status == FM_USAGE)
            return fm_wrap(err, status, "%s", strcmp(file, "-") == 0 ? "standard input" : file);
        return status;
    }
    for (uint32_t i = 0; i < rest->count && status == FM_OK; i++)
        status = add(out, fm_span_str(rest->items[i]), 0, err);
    return status;
}

static enum fm_status query(struct plan *plan, const struct fm_cli_list *rest, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(FM_CLI_STATEMENTS_BYTES_MAX + 65536);
    FM_AUTO(statements_deinit) struct statements statements = {0};
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;

    enum fm_status status = fm_output_choose(plan->format_name, stdout, &plan->format, err);
    if (status == FM_OK && plan->receipts && plan->no_verify)
        status = fm_fail(err, FM_USAGE, "--receipts need verification; leave --no-verify out");
    if (status == FM_OK)
        status = check_unavailable(plan, err);
    if (status == FM_OK)
        status = read_statements(plan, rest, &text, &statements, err);
    if (status == FM_OK && plan->save != NULL && statements.count > 1)
        status = fm_fail(err, FM_USAGE, "--save keeps the answer of one statement, not of %" PRIu32,
                         statements.count);
    if (status == FM_OK)
        status = fm_cli_connect(&plan->reach, &handle, err);
    return status == FM_OK ? ask_all(plan, handle, &statements, err) : status;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct plan plan = {.reach.timeout = 60};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&plan.reach),
        {"format", FM_CLI_TEXT, &plan.format_name, 0, 0},
        {"file", FM_CLI_TEXT, &plan.file, 0, 0},
        {"save", FM_CLI_TEXT, &plan.save, 0, 0},
        {"with-fragments", FM_CLI_FLAG, &plan.with_fragments, 0, 0},
        {"at-heads", FM_CLI_TEXT, &plan.at_heads, 0, 0},
        {"without", FM_CLI_TEXT, &plan.without, 0, 0},
        {"on-unavailable", FM_CLI_TEXT, &plan.on_unavailable, 0, 0},
        {"allow-partial-aggregates", FM_CLI_FLAG, &plan.allows_partial_aggregates, 0, 0},
        {"max-rows", FM_CLI_UINT, &plan.rows_max, 1, UINT64_MAX},
        {"max-print", FM_CLI_UINT, &plan.print_max, 1, UINT64_MAX},
        {"receipts", FM_CLI_FLAG, &plan.receipts, 0, 0},
        {"no-receipts", FM_CLI_FLAG, &plan.no_receipts, 0, 0},
        {"no-verify", FM_CLI_FLAG, &plan.no_verify, 0, 0},
    };

    enum fm_status status = fm_cli_options(argc, argv, options, sizeof options / sizeof options[0],
                                           0, FM_CLI_LIST_MAX, &rest, err);
    return status == FM_OK ? query(&plan, &rest, err) : status;
}

const struct fm_cli_verb fm_cli_query = {
    .name = "query",
    .summary = "ask any node in SQL; the answer is verified",
    .help = "Usage: folkmoot query SQL... | - [OPTION]...\n"
            "\n"
            "SELECTs over tables of all domains (domain.table), in one session with SET, SHOW\n"
            "and RESET; - reads them from standard input. Each answer is checked as it ends.\n"
            "  --file FILE        statements with ; between them\n"
            "  --format FORMAT    table, csv, ndjson, json; default: table or csv\n"
            "  --save FILE        keep the answer with its proofs for folkmoot verify\n"
            "  --with-fragments   keep also what owners sent, for verify --replay\n"
            "  --at-heads FILE    read each table as that saved answer did\n"
            "  --on-unavailable fail|skip   what an owner that cannot be had means (fail)\n"
            "  --allow-partial-aggregates   skip it also where values would change by that\n"
            "  --without RULE[,RULE]        leave out rules of the planner: ship, reduce, ...\n"
            "  --receipts         print who answered also for csv, ndjson and json (stderr)\n"
            "  --no-receipts      leave the receipts out of a table\n"
            "  --max-rows N       fail when the answer has more rows\n"
            "  --max-print N      show only the first N rows of a table\n"
            "  --timeout SECONDS  give up after (default 60)\n"
            "  --no-verify        take the rows without checking signatures\n"
            "  --node HOST:PORT   the node to ask (default: FOLKMOOT_NODE)\n"
            "  --as DIR           your identity (default: FOLKMOOT_IDENTITY)\n"
            "\n"
            "Example:\n"
            "  folkmoot query \"select origin, avg(delay) from flights.delays group by 1\"\n",
    .run = run,
};
