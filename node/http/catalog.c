/* What the node knows of the mesh: products, their contracts, nodes. It asks nobody. */
#include "client/client_text.h"
#include "node/http/call.h"
#include "node/server.h"

#include <inttypes.h>
#include <stdio.h>

static void put_id(struct fm_buf *out, const char *name, const struct fm_node_id *id)
{
    char hex[33];

    fm_hex(id->bytes, sizeof id->bytes, hex);
    fm_buf_printf(out, "\"%s\":\"%s\"", name, hex);
}

static void put_text(struct fm_buf *out, const char *name, const char *text)
{
    fm_buf_printf(out, "\"%s\":", name);
    fm_json_string(out, fm_span_str(text));
}

static void put_names(struct fm_buf *out, const char *name, const struct fm_span *items,
                      uint32_t count)
{
    fm_buf_printf(out, "\"%s\":[", name);
    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_str(out, i == 0 ? "" : ",");
        fm_json_string(out, items[i]);
    }
    fm_buf_put_u8(out, ']');
}

static void end(struct fm_http_call *call, enum fm_status status, const struct fm_error *err)
{
    if (status == FM_OK)
        status = fm_buf_status(&call->out);
    if (status != FM_OK)
        fm_http_fail(call, status, err);
}

/* ---- Products -------------------------------------------------------------------------------- */

void fm_http_get_products(struct fm_http_call *call)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    FM_AUTO(fm_product_list_deinit) struct fm_product_list list = {0};
    struct fm_buf *out = &call->out;

    enum fm_status status = fm_registry_products(call->server->registry, &bytes);
    if (status == FM_OK)
        status = fm_product_list_decode(fm_buf_span(&bytes), &list);
    fm_buf_put_str(out, "{\"products\":[");
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++) {
        const struct fm_product_entry *entry = &list.items[i];
        fm_buf_put_str(out, i == 0 ? "\n{" : ",\n{");
        put_text(out, "domain", entry->domain);
        fm_buf_put_u8(out, ',');
        put_text(out, "product", entry->product);
        fm_buf_put_u8(out, ',');
        put_text(out, "version", entry->product_version);
        fm_buf_put_u8(out, ',');
        put_names(out, "tables", entry->tables, entry->table_count);
        fm_buf_put_u8(out, ',');
        put_id(out, "owner", &entry->owner);
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_str(out, "\n]}\n");
    end(call, status, NULL);
}

/* A part of the path as a name. */
static bool take_name(struct fm_span part, char out[FM_NAME_MAX + 1])
{
    if (part.len > FM_NAME_MAX)
        return false;
    memcpy(out, part.data, part.len);
    out[part.len] = '\0';
    return true;
}

/* The contract as its owner published it. */
void fm_http_get_product(struct fm_http_call *call)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct fm_contract *contract = calloc(1, sizeof *contract);
    char domain[FM_NAME_MAX + 1], name[FM_NAME_MAX + 1];
    struct fm_envelope envelope;
    struct fm_node_id owner;
    struct fm_error err = {0};
    enum fm_status status = contract == NULL ? FM_NOMEM : FM_NOTFOUND;

    if (contract != NULL && take_name(call->parts[0], domain) && take_name(call->parts[1], name))
        status = fm_registry_contract(call->server->registry, domain, name, &bytes, &owner);
    if (status == FM_NOTFOUND)
        status = fm_fail(&err, status, "%.*s.%.*s does not exist or is not visible to you",
                         (int)call->parts[0].len, (const char *)call->parts[0].data,
                         (int)call->parts[1].len, (const char *)call->parts[1].data);
    if (status == FM_OK)
        status = fm_envelope_open(fm_buf_span(&bytes), &envelope);
    if (status == FM_OK)
        status = fm_contract_decode(envelope.body, contract);
    if (status == FM_OK)
        fm_buf_put_span(&call->out, contract->yaml);
    call->type = "application/yaml";
    end(call, status, &err);
}

/* ---- Nodes ----------------------------------------------------------------------------------- */

static void put_node(struct fm_buf *out, const struct fm_member_info *member)
{
    put_id(out, "node", &member->node);
    fm_buf_put_u8(out, ',');
    put_text(out, "name", member->name);
    fm_buf_put_u8(out, ',');
    put_text(out, "state", fm_member_view_text(member->state));
    fm_buf_put_u8(out, ',');
    put_text(out, "address", member->address);
    fm_buf_put_u8(out, ',');
    put_names(out, "domains", member->domains, member->domain_count);
    fm_buf_printf(out, ",\"since_ms\":%" PRIu64 ",\"round_trip_ms\":", member->since_ms);
    if (member->round_trip_ms < 0)
        fm_buf_put_str(out, "null");
    else
        fm_buf_printf(out, "%" PRId64, member->round_trip_ms);
}

void fm_http_get_nodes(struct fm_http_call *call)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    FM_AUTO(fm_member_list_deinit) struct fm_member_list list = {0};

    enum fm_status status = fm_membership_list(call->server->membership, &bytes);
    if (status == FM_OK)
        status = fm_member_list_decode(fm_buf_span(&bytes), &list);
    fm_buf_put_str(&call->out, "{\"nodes\":[");
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++) {
        fm_buf_put_str(&call->out, i == 0 ? "\n{" : ",\n{");
        put_node(&call->out, &list.items[i]);
        fm_buf_put_u8(&call->out, '}');
    }
    fm_buf_put_str(&call->out, "\n]}\n");
    end(call, status, NULL);
}
