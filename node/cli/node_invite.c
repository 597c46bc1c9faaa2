#include "node/cli/cli.h"
#include "node/cli/invite.h"
#include "node/config.h"

#include <stdio.h>

struct plan {
    const char *mesh;
    const char *request;
    const char *out;
    struct fm_cli_list domains;
    struct fm_cli_list seeds;
    uint64_t days;
    uint64_t epoch;
};

static enum fm_status check_plan(const struct plan *plan, struct fm_error *err)
{
    if (plan->mesh == NULL || plan->request == NULL || plan->out == NULL)
        return fm_fail(err, FM_USAGE, "--mesh DIR, --request FILE and --out FILE are needed");
    for (uint32_t i = 0; i < plan->domains.count; i++) {
        if (!fm_domain_name_valid(plan->domains.items[i]))
            return fm_fail(err, FM_INVALID,
                           "'%.64s' cannot be a domain's name; expected lower-case letters, "
                           "digits and _, a letter first, none of the reserved names",
                           plan->domains.items[i]);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(plan->domains.items[i], plan->domains.items[j]) == 0)
                return fm_fail(err, FM_INVALID, "the domain %s is given twice",
                               plan->domains.items[i]);
    }
    for (uint32_t i = 0; i < plan->seeds.count; i++) {
        enum fm_status status = fm_address_check(plan->seeds.items[i], 1, err);
        if (status != FM_OK)
            return fm_wrap(err, status, "--seed");
    }
    return FM_OK;
}

static enum fm_status read_request(const char *path, struct fm_node_request *out,
                                   struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);

    enum fm_status status = fm_cli_read(path, FM_ENVELOPE_BYTES_MAX, &bytes, err);
    if (status != FM_OK)
        return status;
    status = fm_node_request_open(fm_buf_span(&bytes), out);
    if (status == FM_FORGED)
        return fm_fail(err, status, "%s: the request is not signed by the key it names", path);
    if (status != FM_OK)
        return fm_fail(err, status, "%s is not a node's request: %s", path, fm_status_text(status));
    return FM_OK;
}

static enum fm_status issue(const struct plan *plan, const struct fm_cli_mesh *mesh,
                            const struct fm_node_request *request, struct fm_buf *out,
                            struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_node_cert *cert = calloc(1, sizeof *cert);

    if (cert == NULL)
        return fm_fail(err, FM_NOMEM, "issue a certificate");
    fm_random(cert->serial, sizeof cert->serial);
    cert->node = request->node;
    memcpy(cert->name, request->name, sizeof cert->name);
    cert->sign_key = request->sign_key;
    cert->session_key = request->session_key;
    for (uint32_t i = 0; i < plan->domains.count; i++) {
        struct fm_domain_grant *grant = &cert->domains[cert->domain_count++];
        memcpy(grant->domain, plan->domains.items[i], strlen(plan->domains.items[i]) + 1);
        grant->epoch = (uint32_t)plan->epoch;
        grant->log_key = request->log_key;
    }
    cert->not_before = fm_seconds(fm_now_us());
    cert->not_after = cert->not_before + (int64_t)plan->days * FM_CLI_DAY_SECONDS;
    return fm_node_cert_seal(&mesh->charter, cert, mesh->keys, mesh->charter.threshold, out, err);
}

static enum fm_status seal_gossip(const char *mesh, const struct fm_public_key *to,
                                  struct fm_buf *out, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_GOSSIP};
    FM_AUTO(fm_key_freep) struct fm_key *key = NULL;
    char path[FM_CLI_PATH_MAX];
    uint8_t secret[32];

    enum fm_status status = fm_cli_path(path, mesh, FM_FILE_GOSSIP, err);
    if (status == FM_OK)
        status = fm_keys_load(path, NULL, kinds, 1, &key, err);
    if (status != FM_OK)
        return status;
    fm_key_secret(key, secret);
    fm_box_seal(to, fm_span(secret, sizeof secret), out);
    fm_wipe(secret, sizeof secret);
    return fm_buf_status(out) == FM_OK ? FM_OK : fm_fail(err, FM_NOMEM, "seal the gossip key");
}

static enum fm_status invite(const struct plan *plan, struct fm_error *err)
{
    FM_AUTO(fm_cli_mesh_deinit) struct fm_cli_mesh mesh = {0};
    FM_AUTO(fm_buf_free) struct fm_buf cert = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf gossip = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_node_request request;

    enum fm_status status = check_plan(plan, err);
    if (status == FM_OK)
        status = fm_core_init(err);
    if (status == FM_OK)
        status = read_request(plan->request, &request, err);
    if (status == FM_OK)
        status = fm_cli_mesh_load(plan->mesh, &mesh, err);
    if (status == FM_OK)
        status = issue(plan, &mesh, &request, &cert, err);
    if (status == FM_OK)
        status = seal_gossip(plan->mesh, &request.session_key, &gossip, err);
    if (status != FM_OK)
        return status;
    struct fm_invite out = {
        .charter = fm_buf_span(&mesh.charter_bytes),
        .cert = fm_buf_span(&cert),
        .gossip = fm_buf_span(&gossip),
        .seed_count = plan->seeds.count,
    };
    for (uint32_t i = 0; i < plan->seeds.count; i++)
        out.seeds[i] = fm_span_str(plan->seeds.items[i]);
    fm_invite_encode(&bytes, &out);
    status = fm_buf_status(&bytes);
    if (status != FM_OK)
        return fm_fail(err, status, "write the invite");
    status = fm_file_write(plan->out, fm_buf_span(&bytes), 0644, err);
    if (status != FM_OK)
        return status;
    (void)printf("node %s is admitted to mesh %s for %llu days\nNext, where the node's keys are:\n"
                 "  folkmoot node join --dir NODE --invite %s\n",
                 request.name, mesh.charter.name, (unsigned long long)plan->days, plan->out);
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct plan plan = {.days = FM_NODE_CERT_DAYS_MAX, .epoch = 1};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"mesh", FM_CLI_TEXT, &plan.mesh, 0, 0},
        {"request", FM_CLI_TEXT, &plan.request, 0, 0},
        {"out", FM_CLI_TEXT, &plan.out, 0, 0},
        {"domain", FM_CLI_LIST, &plan.domains, 0, 0},
        {"seed", FM_CLI_LIST, &plan.seeds, 0, 0},
        {"days", FM_CLI_UINT, &plan.days, 1, FM_NODE_CERT_DAYS_MAX},
        {"epoch", FM_CLI_UINT, &plan.epoch, 1, UINT32_MAX},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    return status == FM_OK ? invite(&plan, err) : status;
}

_Static_assert(FM_CLI_LIST_MAX <= FM_DOMAINS_PER_NODE_MAX, "domains fit a certificate");
_Static_assert(FM_CLI_LIST_MAX <= FM_SEEDS_MAX, "seeds fit an invite");

const struct fm_cli_verb fm_cli_node_invite = {
    .group = "node",
    .name = "invite",
    .summary = "admit a node: issue its certificate (needs authority keys)",
    .help = "Usage: folkmoot node invite --mesh DIR --request FILE --out FILE\n"
            "                            [--domain NAME]... [--seed HOST:PORT]...\n"
            "\n"
            "Checks a node's request and issues its certificate. The invite carries it with\n"
            "the charter and the gossip key, which only that node can open.\n"
            "\n"
            "  --mesh DIR         folder of mesh create, with the authority keys\n"
            "  --request FILE     the request that node init wrote\n"
            "  --out FILE         where the invite goes\n"
            "  --domain NAME      a domain that the node owns; may be repeated\n"
            "  --seed HOST:PORT   a node to join first; may be repeated\n"
            "  --days N           life of the certificate, 1 to 30 (default 30)\n"
            "  --epoch N          of the domains' logs (default 1); a node that replaces\n"
            "                     another one gets the next\n"
            "\n"
            "Example:\n"
            "  folkmoot node invite --mesh mesh --request flights/request \\\n"
            "      --domain flights --seed 10.0.0.1:7410 --out flights.invite\n",
    .run = run,
};
