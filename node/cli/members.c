#include "node/cli/cli.h"
#include "node/cli/output.h"

#include "client/catalog.h"

#include <inttypes.h>
#include <stdio.h>

static const struct fm_output_column columns[] = {
    {"name", false},    {"node", false},   {"state", false},        {"address", false},
    {"domains", false}, {"since_s", true}, {"round_trip_ms", true}, {"incarnation", true},
};

static void print_member(struct fm_output *output, const struct fm_member_info *member)
{
    FM_AUTO(fm_buf_free) struct fm_buf domains = FM_BUF_INIT(0);
    char id[33];

    fm_hex(member->node.bytes, sizeof member->node.bytes, id);
    for (uint32_t i = 0; i < member->domain_count; i++) {
        fm_buf_put_str(&domains, i == 0 ? "" : " ");
        fm_buf_put_span(&domains, member->domains[i]);
    }
    fm_output_text(output, member->name);
    fm_output_text(output, id);
    fm_output_text(output, fm_member_view_text(member->state));
    fm_output_text(output, member->address);
    fm_output_cell(output, domains.len == 0 ? "" : (const char *)domains.data, domains.len, false);
    fm_output_printf(output, "%" PRIu64, member->since_ms / 1000);
    if (member->round_trip_ms < 0)
        fm_output_text(output, NULL);
    else
        fm_output_printf(output, "%" PRId64, member->round_trip_ms);
    fm_output_printf(output, "%" PRIu64, member->incarnation);
}

static enum fm_status print_list(struct fm_span reply, enum fm_output_format format,
                                 struct fm_error *err)
{
    FM_AUTO(fm_member_list_deinit) struct fm_member_list list = {0};
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;

    enum fm_status status = fm_member_list_decode(reply, &list);
    if (status != FM_OK)
        return fm_fail(err, status, "the node's list of members: %s", fm_status_text(status));
    status = fm_output_new(stdout, format, columns, sizeof columns / sizeof columns[0], &output);
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++)
        print_member(output, &list.items[i]);
    if (status == FM_OK)
        status = fm_output_finish(output);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print the members");
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(64);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct fm_cli_reach reach = {.timeout = 10};
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
    status = fm_client_call(handle, FM_METHOD_MEMBERS, fm_buf_span(&body), &reply);
    if (status != FM_OK)
        return fm_cli_failed(handle, fm_public_status(status), err);
    return print_list(fm_buf_span(&reply), format, err);
}

const struct fm_cli_verb fm_cli_members = {
    .name = "members",
    .summary = "list the nodes of the mesh as one node sees them",
    .help = "Usage: folkmoot members [--format FORMAT] [--node HOST:PORT] [--as DIR]\n"
            "\n"
            "Lists the nodes that the node asked knows, with their state (alive, suspect,\n"
            "dead, left), address and domains, since when, and the round trip to them.\n"
            "\n"
            "  --format FORMAT    table, csv, ndjson or json; default: a table on a\n"
            "                     terminal, else csv\n"
            "  --timeout SECONDS  give up after (default 10)\n"
            "  --node HOST:PORT   the node to ask (default: FOLKMOOT_NODE)\n"
            "  --as DIR           your identity (default: FOLKMOOT_IDENTITY)\n"
            "\n"
            "Example:\n"
            "  folkmoot members --node 127.0.0.1:7410 --as ann\n",
    .run = run,
};
