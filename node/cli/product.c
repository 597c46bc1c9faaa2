#include "node/cli/cli.h"
#include "node/cli/output.h"

#include "client/catalog.h"
#include "client/statistics.h"
#include "node/contract.h"

#include <inttypes.h>
#include <stdio.h>

#define REACH_HELP                                                                                 \
    "  --timeout SECONDS  give up after (default 30)\n"                                            \
    "  --node HOST:PORT   the node to ask (default: FOLKMOOT_NODE)\n"                              \
    "  --as DIR           your identity (default: FOLKMOOT_IDENTITY)\n"

/* ---- plan, apply --------------------------------------------------------------------------- */

/* What can be found here is found here: with the file's own name in front of line and column. */
static enum fm_status check_here(struct fm_span yaml, const char *name, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_compiled_contract *contract = calloc(1, sizeof *contract);

    if (contract == NULL)
        return fm_fail(err, FM_NOMEM, "%s", name);
    enum fm_status status = fm_contract_compile(yaml, name, NULL, 0, contract, err);
    if (status == FM_OK)
        fm_compiled_contract_deinit(contract);
    return status;
}

static const char *change_text(enum fm_table_change change)
{
    switch (change) {
    case FM_TABLE_NEW:
        return "new";
    case FM_TABLE_CHANGED:
        return "changed";
    case FM_TABLE_UNCHANGED:
        return "unchanged";
    }
    return "unknown";
}

static enum fm_status print_plan(const struct fm_product_plan *plan, bool is_applied)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    fm_buf_printf(&text, "%s: product ", plan->domain);
    fm_output_escape(&text, fm_span_str(plan->product));
    fm_buf_put_u8(&text, ' ');
    fm_output_escape(&text, fm_span_str(plan->product_version));
    fm_buf_printf(&text, ", record %" PRIu64 " %s\n", plan->record_version,
                  is_applied ? "published" : "would be published");
    for (uint32_t i = 0; i < plan->table_count; i++)
        fm_buf_printf(&text, "  %s.%s schema %u: %s\n", plan->domain, plan->tables[i].table,
                      plan->tables[i].schema_version, change_text(plan->tables[i].change));
    for (uint32_t i = 0; i < plan->line_count; i++) {
        fm_buf_put_str(&text, "  - ");
        fm_output_escape(&text, plan->lines[i]);
        fm_buf_put_u8(&text, '\n');
    }
    if (fm_buf_status(&text) != FM_OK)
        return fm_buf_status(&text);
    return fwrite(text.data, 1, text.len, stdout) == text.len ? FM_OK : FM_IO;
}

static enum fm_status send_contract(const struct fm_cli_reach *reach, enum fm_method method,
                                    struct fm_span yaml, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);

    enum fm_status status = fm_cli_connect(reach, &handle, err);
    if (status != FM_OK)
        return status;
    fm_product_request_encode(&body, yaml);
    if (fm_buf_status(&body) != FM_OK)
        return fm_fail(err, FM_LIMIT, "the contract does not fit one message");
    status = fm_client_call(handle, method, fm_buf_span(&body), reply);
    return status == FM_OK ? FM_OK : fm_cli_failed(handle, fm_public_status(status), err);
}

static enum fm_status publish(int argc, char **argv, enum fm_method method, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf yaml = FM_BUF_INIT(FM_CONTRACT_BYTES_MAX + 65536);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct fm_product_plan *plan = calloc(1, sizeof *plan);
    struct fm_cli_reach reach = {.timeout = 30};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {FM_CLI_REACH_OPTIONS(&reach)};

    if (plan == NULL)
        return fm_fail(err, FM_NOMEM, "product");
    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 1, 1, &rest, err);
    if (status == FM_OK)
        status = fm_cli_read(rest.items[0], FM_CONTRACT_BYTES_MAX, &yaml, err);
    if (status == FM_OK)
        status = check_here(fm_buf_span(&yaml), rest.items[0], err);
    if (status == FM_OK)
        status = send_contract(&reach, method, fm_buf_span(&yaml), &reply, err);
    if (status != FM_OK)
        return status;
    status = fm_product_plan_decode(fm_buf_span(&reply), plan);
    if (status == FM_OK)
        status = print_plan(plan, method == FM_METHOD_PRODUCT_APPLY);
    return status == FM_OK ? FM_OK
                           : fm_fail(err, status, "the node's reply: %s", fm_status_text(status));
}

static enum fm_status run_plan(int argc, char **argv, struct fm_error *err)
{
    return publish(argc, argv, FM_METHOD_PRODUCT_PLAN, err);
}

static enum fm_status run_apply(int argc, char **argv, struct fm_error *err)
{
    return publish(argc, argv, FM_METHOD_PRODUCT_APPLY, err);
}

/* ---- list ---------------------------------------------------------------------------------- */

static void print_entry(struct fm_output *output, const struct fm_product_entry *entry)
{
    FM_AUTO(fm_buf_free) struct fm_buf tables = FM_BUF_INIT(0);
    char id[33];

    fm_hex(entry->owner.bytes, sizeof entry->owner.bytes, id);
    for (uint32_t i = 0; i < entry->table_count; i++) {
        fm_buf_put_str(&tables, i == 0 ? "" : " ");
        fm_buf_put_span(&tables, entry->tables[i]);
    }
    fm_output_text(output, entry->domain);
    fm_output_text(output, entry->product);
    fm_output_text(output, entry->product_version);
    fm_output_cell(output, tables.len == 0 ? "" : (const char *)tables.data, tables.len, false);
    fm_output_text(output, id);
}

static enum fm_status print_list(struct fm_span reply, enum fm_output_format format,
                                 struct fm_error *err)
{
    static const struct fm_output_column columns[] = {
        {"domain", false}, {"product", false}, {"version", false},
        {"tables", false}, {"owner", false},
    };
    FM_AUTO(fm_product_list_deinit) struct fm_product_list list = {0};
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;

    enum fm_status status = fm_product_list_decode(reply, &list);
    if (status != FM_OK)
        return fm_fail(err, status, "the node's list of products: %s", fm_status_text(status));
    status = fm_output_new(stdout, format, columns, sizeof columns / sizeof columns[0], &output);
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++)
        print_entry(output, &list.items[i]);
    if (status == FM_OK)
        status = fm_output_finish(output);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print the products");
}

static enum fm_status run_list(int argc, char **argv, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(64);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_cli_reach reach = {.timeout = 30};
    const char *format_name = NULL;
    enum fm_output_format format = FM_OUTPUT_TABLE;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&reach),
        {"format", FM_CLI_TEXT, &format_name, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status == FM_OK)
        status = fm_output_choose(format_name, stdout, &format, err);
    if (status == FM_OK)
        status = fm_cli_connect(&reach, &handle, err);
    if (status != FM_OK)
        return status;
    fm_empty_body_encode(&body);
    status = fm_client_call(handle, FM_METHOD_PRODUCT_LIST, fm_buf_span(&body), &reply);
    if (status != FM_OK)
        return fm_cli_failed(handle, fm_public_status(status), err);
    return print_list(fm_buf_span(&reply), format, err);
}

/* ---- show ---------------------------------------------------------------------------------- */

static const char *class_text(uint8_t class)
{
    static const char *const texts[] = {"open", "confidential", "personal", "secret"};

    return class < 4 ? texts[class] : "unknown";
}

/* Place in the key from 1, 0: not in it. */
static uint32_t place_in(const uint16_t *positions, uint32_t count, uint32_t field)
{
    for (uint32_t i = 0; i < count; i++)
        if (positions[i] == field)
            return i + 1;
    return 0;
}

static void print_field(struct fm_output *output, const struct fm_schema *schema, uint32_t i)
{
    FM_AUTO(fm_buf_free) struct fm_buf type = FM_BUF_INIT(0);
    const struct fm_field *field = &schema->fields[i];
    uint32_t key = place_in(schema->key, schema->key_count, i);
    uint32_t cluster = place_in(schema->cluster, schema->cluster_count, i);

    fm_type_print(&type, &field->type);
    fm_output_text(output, schema->table);
    fm_output_printf(output, "%u", schema->version);
    fm_output_text(output, field->name);
    fm_output_cell(output, (const char *)type.data, type.len, false);
    fm_output_text(output, field->required ? "yes" : "no");
    if (key != 0)
        fm_output_printf(output, "%u", key);
    else
        fm_output_text(output, NULL);
    if (cluster != 0)
        fm_output_printf(output, "%u", cluster);
    else
        fm_output_text(output, NULL);
    fm_output_text(output, class_text(field->classification));
    fm_output_text(output, field->description);
    if (schema->retention_days != 0)
        fm_output_printf(output, "%u", schema->retention_days);
    else
        fm_output_text(output, NULL);
}

static enum fm_status print_show(const struct fm_product_show *show, enum fm_output_format format,
                                 struct fm_error *err)
{
    static const struct fm_output_column columns[] = {
        {"table", false},         {"schema", true},          {"column", false},
        {"type", false},          {"required", false},       {"key", true},
        {"cluster", true},        {"classification", false}, {"description", false},
        {"retention_days", true},
    };
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;

    enum fm_status status =
        fm_output_new(stdout, format, columns, sizeof columns / sizeof columns[0], &output);
    for (uint32_t i = 0; status == FM_OK && i < show->schema_count; i++) {
        FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
        status = fm_schema_decode(show->schemas[i], &schema, err);
        for (uint32_t f = 0; status == FM_OK && f < schema->field_count; f++)
            print_field(output, schema, f);
    }
    if (status == FM_OK)
        status = fm_output_finish(output);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print the product");
}

/* ---- show --statistics ----------------------------------------------------------------------- */

static void print_number(struct fm_output *output, const char *table, const char *column,
                         const char *name, uint64_t value)
{
    fm_output_text(output, table);
    fm_output_text(output, column);
    fm_output_text(output, name);
    fm_output_printf(output, "%" PRIu64, value);
}

static void print_table_numbers(struct fm_output *output, const struct fm_table_report *table)
{
#define X(name) print_number(output, table->table, NULL, #name, table->numbers.name);
    FM_TABLE_NUMBER_MAP(X)
#undef X
    for (uint32_t i = 0; i < table->column_count; i++) {
        const struct fm_column_bytes *column = &table->columns[i];

        fm_output_text(output, table->table);
        fm_output_cell(output, (const char *)column->name.data, column->name.len, false);
        fm_output_text(output, "column_bytes");
        fm_output_printf(output, "%" PRIu64, column->bytes);
    }
}

/* What the disk took for a byte of fact; unknown before the first append. */
static void print_amplification(struct fm_output *output, const struct fm_store_numbers *numbers)
{
    double written = (double)numbers->log_bytes + (double)numbers->flush_bytes +
                     (double)numbers->compaction_bytes;

    fm_output_text(output, NULL);
    fm_output_text(output, NULL);
    fm_output_text(output, "write_amplification");
    if (numbers->appended_bytes > 0)
        fm_output_printf(output, "%.3f", written / (double)numbers->appended_bytes);
    else
        fm_output_text(output, NULL);
}

static enum fm_status print_report(const struct fm_statistics_report *report,
                                   enum fm_output_format format, struct fm_error *err)
{
    static const struct fm_output_column columns[] = {
        {"table", false}, {"column", false}, {"statistic", false}, {"value", true}};
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;

    enum fm_status status =
        fm_output_new(stdout, format, columns, sizeof columns / sizeof columns[0], &output);
    if (status != FM_OK)
        return fm_fail(err, status, "print the statistics");
    for (uint32_t i = 0; i < report->table_count; i++)
        print_table_numbers(output, &report->tables[i]);
#define X(name) print_number(output, NULL, NULL, #name, report->store.name);
    FM_STORE_NUMBER_MAP(X)
#undef X
    print_amplification(output, &report->store);
    status = fm_output_finish(output);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print the statistics");
}

static enum fm_status show_statistics(const struct fm_cli_reach *reach,
                                      const struct fm_product_ask *ask,
                                      enum fm_output_format format, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct fm_statistics_report *report = calloc(1, sizeof *report);

    if (report == NULL)
        return fm_fail(err, FM_NOMEM, "product");
    enum fm_status status = fm_cli_connect(reach, &handle, err);
    if (status != FM_OK)
        return status;
    fm_product_ask_encode(&body, ask);
    status = fm_client_call(handle, FM_METHOD_PRODUCT_STATISTICS, fm_buf_span(&body), &reply);
    if (status != FM_OK)
        return fm_cli_failed(handle, fm_public_status(status), err);
    status = fm_statistics_report_decode(fm_buf_span(&reply), report);
    status = status == FM_OK ? print_report(report, format, err)
                             : fm_fail(err, status, "the node's reply: %s", fm_status_text(status));
    fm_statistics_report_deinit(report);
    return status;
}

static enum fm_status split(const char *text, struct fm_product_ask *ask, struct fm_error *err)
{
    size_t len = strcspn(text, ".");
    const char *name = text[len] == '.' ? text + len + 1 : "";

    if (len == 0 || len > FM_NAME_MAX || strlen(name) > FM_NAME_MAX)
        return fm_fail(err, FM_USAGE, "'%.130s' is no product; expected DOMAIN or DOMAIN.NAME",
                       text);
    memcpy(ask->domain, text, len);
    memcpy(ask->name, name, strlen(name));
    return FM_OK;
}

static enum fm_status show_product(const struct fm_cli_reach *reach,
                                   const struct fm_product_ask *ask, enum fm_output_format format,
                                   bool is_yaml, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct fm_product_show *show = calloc(1, sizeof *show);

    if (show == NULL)
        return fm_fail(err, FM_NOMEM, "product");
    enum fm_status status = fm_cli_connect(reach, &handle, err);
    if (status != FM_OK)
        return status;
    fm_product_ask_encode(&body, ask);
    status = fm_client_call(handle, FM_METHOD_PRODUCT_SHOW, fm_buf_span(&body), &reply);
    if (status != FM_OK)
        return fm_cli_failed(handle, fm_public_status(status), err);
    status = fm_product_show_decode(fm_buf_span(&reply), show);
    if (status != FM_OK)
        return fm_fail(err, status, "the node's reply: %s", fm_status_text(status));
    if (!is_yaml)
        return print_show(show, format, err);
    (void)fwrite(show->yaml.data, 1, show->yaml.len, stdout); /* Checked at the end. */
    return FM_OK;
}

static enum fm_status run_show(int argc, char **argv, struct fm_error *err)
{
    struct fm_cli_reach reach = {.timeout = 30};
    struct fm_product_ask ask = {0};
    const char *format_name = NULL;
    enum fm_output_format format = FM_OUTPUT_TABLE;
    bool is_yaml = false;
    bool is_statistics = false;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&reach),
        {"format", FM_CLI_TEXT, &format_name, 0, 0},
        {"yaml", FM_CLI_FLAG, &is_yaml, 0, 0},
        {"statistics", FM_CLI_FLAG, &is_statistics, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 1, 1, &rest, err);
    if (status == FM_OK)
        status = fm_output_choose(format_name, stdout, &format, err);
    if (status == FM_OK)
        status = split(rest.items[0], &ask, err);
    if (status == FM_OK && is_yaml && is_statistics)
        status = fm_fail(err, FM_USAGE, "choose one of --yaml and --statistics");
    if (status == FM_OK && is_statistics)
        return show_statistics(&reach, &ask, format, err);
    return status == FM_OK ? show_product(&reach, &ask, format, is_yaml, err) : status;
}

const struct fm_cli_verb fm_cli_product_plan = {
    .group = "product",
    .name = "plan",
    .summary = "say what publishing a contract would change",
    .help = "Usage: folkmoot product plan FILE|- [--node HOST:PORT] [--as DIR]\n"
            "\n"
            "Compiles a contract (ODCS v3.1, docs/contracts.md), compares it with what the\n"
            "domain has published, and says for each difference whether it is compatible\n"
            "or breaking. Publishes nothing.\n"
            "\n" REACH_HELP "\n"
            "Example:\n"
            "  folkmoot product plan examples/contracts/flights.odcs.yaml\n",
    .run = run_plan,
};

const struct fm_cli_verb fm_cli_product_apply = {
    .group = "product",
    .name = "apply",
    .summary = "publish a contract (needs the role owner:DOMAIN)",
    .help = "Usage: folkmoot product apply FILE|- [--node HOST:PORT] [--as DIR]\n"
            "\n"
            "Publishes a contract (ODCS v3.1, docs/contracts.md) at the node that owns its\n"
            "domain, which signs it and spreads it over the mesh. Tables are made or\n"
            "changed as it says; types, keys and columns that are published stay.\n"
            "\n" REACH_HELP "\n"
            "Example:\n"
            "  folkmoot product apply examples/contracts/flights.odcs.yaml\n",
    .run = run_apply,
};

const struct fm_cli_verb fm_cli_product_list = {
    .group = "product",
    .name = "list",
    .summary = "list the products of all domains",
    .help = "Usage: folkmoot product list [--format FORMAT] [--node HOST:PORT] [--as DIR]\n"
            "\n"
            "Lists the products that the node asked knows, with their tables and owners.\n"
            "\n"
            "  --format FORMAT    table, csv, ndjson or json; default: a table on a\n"
            "                     terminal, else csv\n" REACH_HELP "\n"
            "Example:\n"
            "  folkmoot product list --format ndjson\n",
    .run = run_list,
};

const struct fm_cli_verb fm_cli_product_show = {
    .group = "product",
    .name = "show",
    .summary = "show the columns of a product, or its contract",
    .help = "Usage: folkmoot product show DOMAIN[.NAME] [OPTION]...\n"
            "\n"
            "Shows the columns of a table or of all tables of a product. NAME is a table's\n"
            "or a product's name. Each table has its whole history beside it, in SQL\n"
            "DOMAIN.\"TABLE$facts\": these columns behind _seq, _recorded_at, _event_time,\n"
            "_op and _supersedes.\n"
            "\n"
            "  --yaml             print the contract as its owner published it\n"
            "  --statistics       facts, bytes by column, disk and writes, from the owner\n"
            "  --format FORMAT    table, csv, ndjson or json; default: a table on a\n"
            "                     terminal, else csv\n" REACH_HELP "\n"
            "Example:\n"
            "  folkmoot product show flights.delays\n",
    .run = run_show,
};
