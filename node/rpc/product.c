/* Data products: plan, apply, list, show, statistics. A contract is published by the node that
 * owns its domain, for a principal with the role owner of that domain. */
#include "client/statistics.h"
#include "core/assert.h"
#include "node/contract.h"
#include "node/server.h"

#define RECORD_WIRE_MAX (FM_PAYLOAD_BYTES_MAX - 1024u) /* A record is fetched in one message. */

/* What of this product is published now. */
struct published {
    struct fm_buf envelope;
    struct fm_contract *contract; /* NULL: nothing. Points into `envelope`. */
    uint32_t count;
    struct fm_schema *schemas[FM_TABLES_PER_PRODUCT_MAX];
};

static void published_deinit(struct published *published)
{
    for (uint32_t i = 0; i < published->count; i++)
        fm_schema_free(published->schemas[i]);
    free(published->contract);
    fm_buf_free(&published->envelope);
}

/* The registry has verified what it holds. */
static enum fm_status read_published(struct fm_server *server, const char *domain, const char *name,
                                     struct fm_node_id *owner, struct published *out)
{
    struct fm_envelope envelope;

    enum fm_status status =
        fm_registry_contract(server->registry, domain, name, &out->envelope, owner);
    if (status != FM_OK)
        return status;
    out->contract = calloc(1, sizeof *out->contract);
    if (out->contract == NULL)
        return FM_NOMEM;
    status = fm_envelope_open(fm_buf_span(&out->envelope), &envelope);
    if (status == FM_OK)
        status = fm_contract_decode(envelope.body, out->contract);
    for (uint32_t i = 0; status == FM_OK && i < out->contract->table_count; i++) {
        status = fm_schema_decode(out->contract->schemas[i], &out->schemas[i], NULL);
        if (status == FM_OK)
            out->count++;
    }
    return status;
}

static enum fm_status may_publish(struct fm_server *server, const struct fm_caller *caller,
                                  const char *domain, struct fm_error *err)
{
    if (!fm_principal_has_role(&caller->principal, FM_ROLE_OWNER, domain))
        return fm_fail(err, FM_REFUSED,
                       "%s may not publish in domain %s: the certificate needs the role owner:%s",
                       caller->principal.name, domain, domain);
    if (fm_node_cert_domain(&server->identity->node, domain) == NULL)
        return fm_fail(err, FM_INVALID,
                       "this node (%s) does not own domain %s: ask the node that does",
                       server->identity->node.name, domain);
    return FM_OK;
}

/* A table belongs to one product of its domain. */
static enum fm_status check_tables_free(struct fm_server *server,
                                        const struct fm_compiled_contract *compiled,
                                        struct fm_error *err)
{
    for (uint32_t i = 0; i < compiled->table_count; i++) {
        struct published other = {0};
        struct fm_node_id owner;
        bool taken = false;
        if (read_published(server, compiled->domain, compiled->tables[i]->table, &owner, &other) ==
            FM_OK) {
            bool has_table = false;
            for (uint32_t t = 0; t < other.count; t++)
                has_table |= strcmp(other.schemas[t]->table, compiled->tables[i]->table) == 0;
            taken = has_table && strcmp(other.contract->product, compiled->product) != 0;
        }
        enum fm_status status = FM_OK;
        if (taken)
            status = fm_fail(err, FM_CONFLICT, "table %s.%s belongs to product %s already",
                             compiled->domain, compiled->tables[i]->table, other.contract->product);
        published_deinit(&other);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_status compile(struct fm_server *server, const struct fm_caller *caller,
                              struct fm_span yaml, struct published *published,
                              struct fm_compiled_contract *out, struct fm_error *err)
{
    char domain[FM_NAME_MAX + 1], product[FM_NAME_MAX + 1];
    struct fm_node_id owner;

    enum fm_status status = fm_contract_peek(yaml, "contract", domain, product, err);
    if (status == FM_OK)
        status = may_publish(server, caller, domain, err);
    if (status != FM_OK)
        return status;
    status = read_published(server, domain, product, &owner, published);
    if (status == FM_OK && strcmp(published->contract->product, product) != 0) {
        published_deinit(published); /* A table of another product has this name. */
        *published = (struct published){0};
    }
    if (status != FM_OK && status != FM_NOTFOUND)
        return fm_fail(err, status, "read what is published of %s", product);
    status =
        fm_contract_compile(yaml, "contract", (const struct fm_schema *const *)published->schemas,
                            published->count, out, err);
    if (status == FM_OK)
        status = check_tables_free(server, out, err);
    return status;
}

static enum fm_status encode_plan(const struct fm_compiled_contract *compiled, uint64_t version,
                                  struct fm_buf *reply)
{
    FM_AUTO(fm_mem_freep) struct fm_product_plan *plan = calloc(1, sizeof *plan);

    if (plan == NULL)
        return FM_NOMEM;
    memcpy(plan->domain, compiled->domain, sizeof plan->domain);
    memcpy(plan->product, compiled->product, sizeof plan->product);
    memcpy(plan->product_version, compiled->version, sizeof plan->product_version);
    plan->record_version = version;
    plan->table_count = compiled->table_count;
    for (uint32_t i = 0; i < compiled->table_count; i++) {
        memcpy(plan->tables[i].table, compiled->tables[i]->table, sizeof plan->tables[i].table);
        plan->tables[i].schema_version = compiled->tables[i]->version;
        plan->tables[i].change = compiled->changes[i];
    }
    plan->line_count = compiled->line_count;
    for (uint32_t i = 0; i < compiled->line_count; i++)
        plan->lines[i] = fm_contract_line(compiled, i);
    fm_product_plan_encode(reply, plan);
    return fm_buf_status(reply);
}

/* ---- Publishing ------------------------------------------------------------------------------ */

static enum fm_status seal_contract(struct fm_server *server,
                                    const struct fm_compiled_contract *compiled,
                                    struct fm_span yaml, uint64_t version, struct fm_buf *out,
                                    struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct fm_contract *contract = calloc(1, sizeof *contract);
    struct fm_buf schemas[FM_TABLES_PER_PRODUCT_MAX] = {0};
    struct fm_key *key = server->identity->sign_key;

    if (contract == NULL)
        return fm_fail(err, FM_NOMEM, "publish a contract");
    memcpy(contract->domain, compiled->domain, sizeof contract->domain);
    memcpy(contract->product, compiled->product, sizeof contract->product);
    memcpy(contract->product_version, compiled->version, sizeof contract->product_version);
    contract->version = version;
    contract->table_count = compiled->table_count;
    contract->yaml = yaml;
    contract->time = fm_now_us();
    contract->epoch = fm_node_cert_domain(&server->identity->node, compiled->domain)->epoch;
    enum fm_status status = FM_OK;
    for (uint32_t i = 0; i < compiled->table_count && status == FM_OK; i++) {
        fm_schema_encode(&schemas[i], compiled->tables[i]);
        contract->schemas[i] = fm_buf_span(&schemas[i]);
        status = fm_buf_status(&schemas[i]);
    }
    if (status == FM_OK) {
        fm_contract_encode(&body, contract);
        status = fm_buf_status(&body);
    }
    if (status == FM_OK)
        status = fm_envelope_seal(FM_ENV_CONTRACT, &server->identity->charter.mesh,
                                  fm_buf_span(&body), &key, 1, out);
    for (uint32_t i = 0; i < compiled->table_count; i++)
        fm_buf_free(&schemas[i]);
    if (status == FM_OK && out->len > RECORD_WIRE_MAX)
        status = FM_LIMIT;
    if (status != FM_OK)
        return fm_fail(err, status, "publish the contract: %s",
                       status == FM_LIMIT ? "with its schemas it is too large for a message"
                                          : fm_status_text(status));
    return FM_OK;
}

static enum fm_status publish(struct fm_server *server, const struct fm_compiled_contract *compiled,
                              struct fm_span yaml, uint64_t version, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    uint32_t epoch = fm_node_cert_domain(&server->identity->node, compiled->domain)->epoch;
    struct gossip_record record;
    bool is_new;

    enum fm_status status = seal_contract(server, compiled, yaml, version, &envelope, err);
    /* The tables first: a contract without its table could not be appended to; a table without a
     * contract is invisible, and made again by the next try. */
    for (uint32_t i = 0; i < compiled->table_count && status == FM_OK; i++)
        status = fm_store_define(server->store, compiled->tables[i], epoch, err);
    if (status == FM_OK)
        status = fm_registry_put(server->registry, GOSSIP_RECORD_CONTRACT, fm_buf_span(&envelope),
                                 &record, &is_new, err);
    if (status == FM_OK)
        fm_membership_publish(server->membership, &record);
    return status;
}

static bool is_unchanged(const struct fm_compiled_contract *compiled, struct fm_span yaml,
                         const struct published *published)
{
    if (published->contract == NULL || !fm_span_equal(published->contract->yaml, yaml))
        return false;
    for (uint32_t i = 0; i < compiled->table_count; i++)
        if (compiled->changes[i] != FM_TABLE_UNCHANGED)
            return false;
    return true;
}

static enum fm_status plan_or_apply(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, bool apply, struct fm_buf *reply,
                                    struct fm_error *err)
{
    FM_AUTO(published_deinit) struct published published = {0};
    FM_AUTO(fm_compiled_contract_deinit) struct fm_compiled_contract compiled = {0};
    struct fm_span yaml;

    enum fm_status status = fm_product_request_decode(body, &yaml);
    if (status != FM_OK)
        return fm_fail(err, status, "the contract does not decode");
    status = compile(server, caller, yaml, &published, &compiled, err);
    if (status != FM_OK)
        return status;
    bool unchanged = is_unchanged(&compiled, yaml, &published);
    uint64_t version = published.contract == NULL ? 1
                       : unchanged                ? published.contract->version
                                                  : published.contract->version + 1;
    if (apply && !unchanged)
        status = publish(server, &compiled, yaml, version, err);
    if (apply)
        fm_log(&server->log, FM_LOG_INFO, "product applied", "domain", compiled.domain, "product",
               compiled.product, "principal", caller->principal.name, "status",
               fm_status_text(status), NULL);
    return status == FM_OK ? encode_plan(&compiled, version, reply) : status;
}

enum fm_status fm_rpc_product_plan(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    return plan_or_apply(server, caller, body, false, reply, err);
}

enum fm_status fm_rpc_product_apply(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    return plan_or_apply(server, caller, body, true, reply, err);
}

/* ---- Looking --------------------------------------------------------------------------------- */

enum fm_status fm_rpc_product_list(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    (void)caller; /* Until policies come, every principal sees every product. */
    enum fm_status status = fm_empty_body_decode(body);
    if (status != FM_OK)
        return fm_fail(err, status, "the request does not decode");
    return fm_registry_products(server->registry, reply);
}

enum fm_status fm_rpc_product_show(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(published_deinit) struct published published = {0};
    struct fm_product_ask ask;
    struct fm_product_show show = {0};

    (void)caller; /* As above. */
    enum fm_status status = fm_product_ask_decode(body, &ask);
    if (status != FM_OK)
        return fm_fail(err, status, "the request does not decode");
    status = read_published(server, ask.domain, ask.name, &show.owner, &published);
    if (status != FM_OK)
        return fm_fail(err, status, "%s%s%s does not exist or is not visible to you", ask.domain,
                       ask.name[0] != '\0' ? "." : "", ask.name);
    memcpy(show.domain, published.contract->domain, sizeof show.domain);
    memcpy(show.product, published.contract->product, sizeof show.product);
    memcpy(show.product_version, published.contract->product_version, sizeof show.product_version);
    show.schema_count = published.contract->table_count;
    for (uint32_t i = 0; i < show.schema_count; i++)
        show.schemas[i] = published.contract->schemas[i];
    show.yaml = published.contract->yaml;
    fm_product_show_encode(reply, &show);
    return fm_buf_status(reply);
}

/* ---- Statistics ------------------------------------------------------------------------------ */

static struct fm_span column_name(const struct fm_schema *schema, uint32_t id)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].id == id)
            return fm_span_str(schema->fields[i].name);
    return fm_span_str(id == FM_FIELD_SEALED ? "_sealed" : "_commitment");
}

static enum fm_status fill_table(const struct fm_table_statistics *from,
                                 const struct fm_schema *schema, struct fm_table_report *out)
{
#define X(name) out->numbers.name = from->name;
    FM_TABLE_NUMBER_MAP(X)
#undef X
    memcpy(out->table, schema->table, sizeof out->table);
    out->columns = calloc(from->column_count, sizeof *out->columns);
    if (out->columns == NULL)
        return FM_NOMEM;
    out->column_count = from->column_count;
    for (uint32_t i = 0; i < from->column_count; i++)
        out->columns[i] = (struct fm_column_bytes){
            .name = column_name(schema, from->columns[i].field_id),
            .bytes = from->columns[i].bytes,
        };
    return FM_OK;
}

static enum fm_status report_table(struct fm_server *server, const struct fm_schema *schema,
                                   struct fm_statistics_report *report, struct fm_error *err)
{
    struct fm_table_statistics statistics = {0};

    enum fm_status status =
        fm_store_statistics(server->store, schema->domain, schema->table, &statistics, err);
    if (status == FM_OK)
        status = fill_table(&statistics, schema, &report->tables[report->table_count++]);
    fm_table_statistics_deinit(&statistics);
    return status;
}

static enum fm_status make_report(struct fm_server *server, const struct published *published,
                                  struct fm_statistics_report *report, struct fm_error *err)
{
    struct fm_store_usage usage = {0};

    enum fm_status status = fm_store_usage(server->store, &usage, err);
#define X(name) report->store.name = usage.name;
    FM_STORE_NUMBER_MAP(X)
#undef X
    memcpy(report->domain, published->contract->domain, sizeof report->domain);
    for (uint32_t i = 0; i < published->count && status == FM_OK; i++)
        status = report_table(server, published->schemas[i], report, err);
    return status;
}

enum fm_status fm_rpc_product_statistics(struct fm_server *server, const struct fm_caller *caller,
                                         struct fm_span body, struct fm_buf *reply,
                                         struct fm_error *err)
{
    FM_AUTO(published_deinit) struct published published = {0};
    FM_AUTO(fm_mem_freep) struct fm_statistics_report *report = calloc(1, sizeof *report);
    struct fm_product_ask ask;
    struct fm_node_id owner;

    (void)caller; /* As above: who may read may see how much there is. */
    if (report == NULL)
        return fm_fail(err, FM_NOMEM, "statistics");
    enum fm_status status = fm_product_ask_decode(body, &ask);
    if (status != FM_OK)
        return fm_fail(err, status, "the request does not decode");
    status = read_published(server, ask.domain, ask.name, &owner, &published);
    if (status != FM_OK)
        return fm_fail(err, status, "%s%s%s does not exist or is not visible to you", ask.domain,
                       ask.name[0] != '\0' ? "." : "", ask.name);
    if (fm_node_cert_domain(&server->identity->node, ask.domain) == NULL)
        return fm_fail(err, FM_INVALID,
                       "this node (%s) does not own domain %s: ask the node that does for "
                       "statistics",
                       server->identity->node.name, ask.domain);
    status = make_report(server, &published, report, err);
    if (status == FM_OK) {
        fm_statistics_report_encode(reply, report);
        status = fm_buf_status(reply);
    }
    fm_statistics_report_deinit(report);
    return status;
}
