#include "node/cli/cli.h"

#include "core/token.h"

#include <stdio.h>

#define MINUTES_MAX (90u * 24 * 60)

struct plan {
    struct fm_cli_reach reach;
    struct fm_cli_list nodes; /* Ids; none: the node that is reached. */
    uint64_t minutes;
    uint64_t days;
};

static enum fm_status take_ids(const struct fm_cli_list *ids, struct fm_token *token,
                               struct fm_error *err)
{
    if (ids->count > FM_TOKEN_NODES_MAX)
        return fm_fail(err, FM_USAGE, "a token is for at most %u nodes", FM_TOKEN_NODES_MAX);
    for (uint32_t i = 0; i < ids->count; i++) {
        struct fm_node_id *node = &token->nodes[token->node_count++];
        if (strlen(ids->items[i]) != 2 * sizeof node->bytes ||
            fm_unhex(ids->items[i], node->bytes, sizeof node->bytes) != FM_OK)
            return fm_fail(err, FM_USAGE,
                           "--for %s: a node's id has %zu hexadecimal digits (folkmoot members "
                           "shows them)",
                           ids->items[i], 2 * sizeof node->bytes);
    }
    return FM_OK;
}

/* The node says who it is with its certificate, and shows that it has the keys. */
static enum fm_status ask_node(const struct plan *plan, struct fm_token *token,
                               struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;

    enum fm_status status = fm_cli_connect(&plan->reach, &handle, err);
    if (status != FM_OK)
        return status;
    status = fm_client_connect(handle);
    if (status != FM_OK) {
        *err = handle->err;
        return status;
    }
    token->nodes[token->node_count++] = fm_connection_node(handle->connection)->node;
    return FM_OK;
}

static enum fm_status make(const struct plan *plan, struct fm_error *err)
{
    FM_AUTO(fm_identity_freep) struct fm_identity *identity = NULL;
    FM_AUTO(fm_mem_freep) struct fm_token *token = calloc(1, sizeof *token);
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    const char *as = plan->reach.as != NULL ? plan->reach.as : getenv("FOLKMOOT_IDENTITY");

    if (token == NULL)
        return fm_fail(err, FM_NOMEM, "make a token");
    if (as == NULL || as[0] == '\0')
        return fm_fail(err, FM_USAGE, "as whom? Give --as DIR or set FOLKMOOT_IDENTITY");
    enum fm_status status =
        fm_identity_load(as, FM_PAYLOAD_PRINCIPAL, NULL, fm_now_us(), &identity, err);
    if (status == FM_OK)
        status = plan->nodes.count != 0 ? take_ids(&plan->nodes, token, err)
                                        : ask_node(plan, token, err);
    if (status != FM_OK)
        return status;
    fm_random(token->id.bytes, sizeof token->id.bytes);
    token->principal = identity->principal;
    token->issued = token->not_before = fm_seconds(fm_now_us());
    token->not_after = token->issued + (plan->days != 0 ? (int64_t)plan->days * FM_CLI_DAY_SECONDS
                                                        : (int64_t)plan->minutes * 60);
    status = fm_token_make(&identity->charter, token, fm_buf_span(&identity->cert_bytes),
                           identity->sign_key, &text, err);
    if (status != FM_OK)
        return status;
    fm_buf_put_u8(&text, '\n');
    (void)fwrite(text.data, 1, text.len, stdout); /* Checked when the program ends. */
    fm_wipe(text.data, text.len);
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct plan plan = {.reach.timeout = 60, .minutes = FM_TOKEN_LIFE_DEFAULT / 60};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&plan.reach),
        {"for", FM_CLI_LIST, &plan.nodes, 0, 0},
        {"minutes", FM_CLI_UINT, &plan.minutes, 1, MINUTES_MAX},
        {"days", FM_CLI_UINT, &plan.days, 1, 90},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status == FM_OK)
        status = fm_core_init(err);
    return status == FM_OK ? make(&plan, err) : status;
}

const struct fm_cli_verb fm_cli_token = {
    .name = "token",
    .summary = "make a password for psql, drivers and curl",
    .help = "Usage: folkmoot token [--node HOST:PORT | --for NODE-ID...] [OPTION]...\n"
            "\n"
            "Prints a token: whoever shows it to the node that it names asks in your name\n"
            "until it ends. PostgreSQL clients give it as password, with your name as user.\n"
            "\n"
            "  --node HOST:PORT   the node that it is for, asked who it is (FOLKMOOT_NODE)\n"
            "  --for NODE-ID      for this node, without asking it; may be repeated\n"
            "  --as DIR           your identity (FOLKMOOT_IDENTITY)\n"
            "  --minutes N        how long it lives (default 15; at most 720)\n"
            "  --days N           the same in days; with the role service, for dashboards\n"
            "                     and pools, as long as the charter allows (at most 90)\n"
            "\n"
            "Example:\n"
            "  PGPASSWORD=$(folkmoot token) psql -h 127.0.0.1 -p 7432 -U ann mesh\n",
    .run = run,
};
