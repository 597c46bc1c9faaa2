#include "core/cert.h"

#include "core/cert_common.h"
#include "core/reader.h"
#include "core/schema.h"

enum node_key {
    KEY_SERIAL = 0,
    KEY_NODE = 1,
    KEY_SIGN = 2,
    KEY_SESSION = 3,
    KEY_DOMAINS = 4,
    KEY_ROLES = 5, /* None is defined yet: written empty, and those of later releases ignored. */
    KEY_NOT_BEFORE = 6,
    KEY_NOT_AFTER = 7,
    KEY_NAME = 32,
};

static enum fm_status check_domains(const struct fm_node_cert *cert, struct fm_error *err)
{
    if (cert->domain_count > FM_DOMAINS_PER_NODE_MAX)
        return fm_fail(err, FM_INVALID, "a node has at most %u domains", FM_DOMAINS_PER_NODE_MAX);
    for (uint32_t i = 0; i < cert->domain_count; i++) {
        const struct fm_domain_grant *grant = &cert->domains[i];
        if (!fm_domain_name_valid(grant->domain))
            return fm_fail(err, FM_INVALID, "'%s' is no name of a domain", grant->domain);
        if (grant->epoch < 1)
            return fm_fail(err, FM_INVALID, "domain %s: epochs start at 1", grant->domain);
        for (uint32_t j = 0; j < i; j++) {
            if (strcmp(cert->domains[j].domain, grant->domain) == 0)
                return fm_fail(err, FM_INVALID, "domain %s stands twice", grant->domain);
        }
    }
    return FM_OK;
}

static enum fm_status check_cert(const struct fm_charter *charter, const struct fm_node_cert *cert,
                                 struct fm_error *err)
{
    if (!fm_cert_name_valid(cert->name))
        return fm_fail(err, FM_INVALID, "a node needs a name of 1 to %u bytes without controls",
                       FM_NAME_MAX);
    enum fm_status status = check_domains(cert, err);
    if (status != FM_OK)
        return status;
    return fm_cert_check_life(cert->not_before, cert->not_after, charter->node_cert_life_max, err);
}

static void encode_cert(struct fm_buf *out, const struct fm_node_cert *cert)
{
    fm_pack_map(out, 9);
    fm_pack_key_bin(out, KEY_SERIAL, cert->serial, sizeof cert->serial);
    fm_pack_key_bin(out, KEY_NODE, cert->node.bytes, sizeof cert->node.bytes);
    fm_pack_key_bin(out, KEY_SIGN, cert->sign_key.bytes, sizeof cert->sign_key.bytes);
    fm_pack_key_bin(out, KEY_SESSION, cert->session_key.bytes, sizeof cert->session_key.bytes);
    fm_pack_uint(out, KEY_DOMAINS);
    fm_pack_array(out, cert->domain_count);
    for (uint32_t i = 0; i < cert->domain_count; i++) {
        const struct fm_domain_grant *grant = &cert->domains[i];
        fm_pack_array(out, 3);
        fm_pack_str(out, grant->domain);
        fm_pack_uint(out, grant->epoch);
        fm_pack_bin(out, grant->log_key.bytes, sizeof grant->log_key.bytes);
    }
    fm_pack_uint(out, KEY_ROLES);
    fm_pack_array(out, 0);
    fm_pack_key_int(out, KEY_NOT_BEFORE, cert->not_before);
    fm_pack_key_int(out, KEY_NOT_AFTER, cert->not_after);
    fm_pack_key_str(out, KEY_NAME, cert->name);
}

enum fm_status fm_node_cert_seal(const struct fm_charter *charter, const struct fm_node_cert *cert,
                                 struct fm_key *const *keys, size_t key_count, struct fm_buf *out,
                                 struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    enum fm_status status = check_cert(charter, cert, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "node certificate");
    encode_cert(&body, cert);
    status = fm_cert_seal_body(charter, FM_ENV_NODE_CERT, &body, keys, key_count, out, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "node certificate");
}

static void read_domains(struct fm_reader *reader, struct fm_node_cert *out)
{
    const struct fm_value *array =
        fm_read_array(reader, KEY_DOMAINS, 0, FM_DOMAINS_PER_NODE_MAX, &out->domain_count);

    for (uint32_t i = 0; i < out->domain_count; i++) {
        struct fm_domain_grant *grant = &out->domains[i];
        const struct fm_value *item = fm_read_tuple(reader, array, i, 3);
        if (item == NULL)
            return;
        fm_reader_note(reader,
                       fm_value_text(fm_value_at(item, 0), grant->domain, sizeof grant->domain));
        fm_reader_note(reader, fm_value_u32(fm_value_at(item, 1), UINT32_MAX, &grant->epoch));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 2), grant->log_key.bytes,
                                                  sizeof grant->log_key.bytes));
    }
}

static void read_roles(struct fm_reader *reader)
{
    uint32_t count = 0;
    struct fm_span role;
    const struct fm_value *array = fm_read_array(reader, KEY_ROLES, 0, FM_ROLES_MAX, &count);

    for (uint32_t i = 0; i < count; i++)
        fm_reader_note(reader, fm_value_str(fm_value_at(array, i), FM_NAME_MAX, &role));
}

static enum fm_status decode_cert(struct fm_span body, struct fm_node_cert *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(8));
    fm_read_exact(&reader, KEY_SERIAL, out->serial, sizeof out->serial);
    fm_read_exact(&reader, KEY_NODE, out->node.bytes, sizeof out->node.bytes);
    fm_read_exact(&reader, KEY_SIGN, out->sign_key.bytes, sizeof out->sign_key.bytes);
    fm_read_exact(&reader, KEY_SESSION, out->session_key.bytes, sizeof out->session_key.bytes);
    read_domains(&reader, out);
    read_roles(&reader);
    fm_read_time(&reader, KEY_NOT_BEFORE, &out->not_before);
    fm_read_time(&reader, KEY_NOT_AFTER, &out->not_after);
    fm_read_text(&reader, KEY_NAME, out->name, sizeof out->name);
    return reader.status;
}

enum fm_status fm_node_cert_open_undated(const struct fm_charter *charter, struct fm_span bytes,
                                         struct fm_node_cert *out, struct fm_error *err)
{
    struct fm_node_cert cert = {0};
    struct fm_span body;

    enum fm_status status = fm_cert_open_body(charter, FM_ENV_NODE_CERT, bytes, &body, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "node certificate");
    status = decode_cert(body, &cert);
    if (status != FM_OK)
        return fm_fail(err, status, "node certificate: its fields do not decode");
    status = check_cert(charter, &cert, err);
    if (status != FM_OK)
        return fm_wrap(err, status == FM_INVALID ? FM_MALFORMED : status, "node certificate");
    *out = cert;
    return FM_OK;
}

enum fm_status fm_node_cert_open(const struct fm_charter *charter, struct fm_span bytes,
                                 int64_t now, struct fm_node_cert *out, struct fm_error *err)
{
    struct fm_node_cert cert;

    enum fm_status status = fm_node_cert_open_undated(charter, bytes, &cert, err);
    if (status != FM_OK)
        return status;
    status = fm_cert_check_time(cert.not_before, cert.not_after, now, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "certificate of node %s", cert.name);
    *out = cert;
    return FM_OK;
}

const struct fm_domain_grant *fm_node_cert_domain(const struct fm_node_cert *cert,
                                                  const char *domain)
{
    for (uint32_t i = 0; i < cert->domain_count; i++) {
        if (strcmp(cert->domains[i].domain, domain) == 0)
            return &cert->domains[i];
    }
    return NULL;
}
