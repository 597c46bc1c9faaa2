#include "core/cert.h"
#include "core/cert_common.h"
#include "core/reader.h"
#include "core/schema.h"

enum principal_key {
    KEY_SERIAL = 0,
    KEY_NAME = 1,
    KEY_ROLES = 2,
    KEY_ATTRIBUTES = 3,
    KEY_SIGN = 4,
    KEY_SESSION = 5,
    KEY_NOT_BEFORE = 6,
    KEY_NOT_AFTER = 7,
};

static const struct {
    enum fm_role role;
    bool has_domain;
    const char *text;
} roles[] = {
    {FM_ROLE_READER, false, "reader"},    {FM_ROLE_OWNER, true, "owner"},
    {FM_ROLE_APPENDER, true, "appender"}, {FM_ROLE_OPERATOR, false, "operator"},
    {FM_ROLE_SERVICE, false, "service"},
};

#define ROLE_COUNT (sizeof roles / sizeof roles[0])

static bool grant_is_valid(const struct fm_role_grant *grant)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        if (roles[i].role == grant->role)
            return roles[i].has_domain ? fm_domain_name_valid(grant->domain)
                                       : grant->domain[0] == '\0';
    }
    return false;
}

static enum fm_status check_cert(const struct fm_charter *charter,
                                 const struct fm_principal_cert *cert, struct fm_error *err)
{
    if (!fm_cert_name_valid(cert->name))
        return fm_fail(err, FM_INVALID,
                       "a principal needs a name of 1 to %u bytes without controls", FM_NAME_MAX);
    if (cert->role_count > FM_ROLES_MAX || cert->attribute_count > FM_ATTRIBUTES_MAX)
        return fm_fail(err, FM_INVALID, "at most %u roles and %u attributes", FM_ROLES_MAX,
                       FM_ATTRIBUTES_MAX);
    for (uint32_t i = 0; i < cert->role_count; i++) {
        if (!grant_is_valid(&cert->roles[i]))
            return fm_fail(err, FM_INVALID, "role %u is not known or its domain does not fit it",
                           i + 1);
    }
    for (uint32_t i = 0; i < cert->attribute_count; i++) {
        if (!fm_cert_name_valid(cert->attributes[i].name) ||
            !fm_cert_name_valid(cert->attributes[i].value))
            return fm_fail(err, FM_INVALID, "attribute %u has no proper name or value", i + 1);
    }
    return fm_cert_check_life(cert->not_before, cert->not_after, charter->principal_cert_life_max,
                              err);
}

static void encode_cert(struct fm_buf *out, const struct fm_principal_cert *cert)
{
    fm_pack_map(out, 8);
    fm_pack_key_bin(out, KEY_SERIAL, cert->serial, sizeof cert->serial);
    fm_pack_key_str(out, KEY_NAME, cert->name);
    fm_pack_uint(out, KEY_ROLES);
    fm_pack_array(out, cert->role_count);
    for (uint32_t i = 0; i < cert->role_count; i++) {
        fm_pack_array(out, 2);
        fm_pack_uint(out, cert->roles[i].role);
        fm_pack_str(out, cert->roles[i].domain);
    }
    fm_pack_uint(out, KEY_ATTRIBUTES);
    fm_pack_array(out, cert->attribute_count);
    for (uint32_t i = 0; i < cert->attribute_count; i++) {
        fm_pack_array(out, 2);
        fm_pack_str(out, cert->attributes[i].name);
        fm_pack_str(out, cert->attributes[i].value);
    }
    fm_pack_key_bin(out, KEY_SIGN, cert->sign_key.bytes, sizeof cert->sign_key.bytes);
    fm_pack_key_bin(out, KEY_SESSION, cert->session_key.bytes, sizeof cert->session_key.bytes);
    fm_pack_key_int(out, KEY_NOT_BEFORE, cert->not_before);
    fm_pack_key_int(out, KEY_NOT_AFTER, cert->not_after);
}

enum fm_status fm_principal_cert_seal(const struct fm_charter *charter,
                                      const struct fm_principal_cert *cert,
                                      struct fm_key *const *keys, size_t key_count,
                                      struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);

    enum fm_status status = check_cert(charter, cert, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "principal certificate");
    encode_cert(&body, cert);
    status = fm_cert_seal_body(charter, FM_ENV_PRINCIPAL_CERT, &body, keys, key_count, out, err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "principal certificate");
}

static void read_roles(struct fm_reader *reader, struct fm_principal_cert *out)
{
    const struct fm_value *array =
        fm_read_array(reader, KEY_ROLES, 0, FM_ROLES_MAX, &out->role_count);
    uint32_t role = 0;

    for (uint32_t i = 0; i < out->role_count; i++) {
        struct fm_role_grant *grant = &out->roles[i];
        const struct fm_value *item = fm_read_tuple(reader, array, i, 2);
        if (item == NULL)
            return;
        fm_reader_note(reader, fm_value_u32(fm_value_at(item, 0), FM_ROLE_OPERATOR, &role));
        fm_reader_note(reader,
                       fm_value_text(fm_value_at(item, 1), grant->domain, sizeof grant->domain));
        grant->role = (enum fm_role)role;
    }
}

static void read_attributes(struct fm_reader *reader, struct fm_principal_cert *out)
{
    const struct fm_value *array =
        fm_read_array(reader, KEY_ATTRIBUTES, 0, FM_ATTRIBUTES_MAX, &out->attribute_count);

    for (uint32_t i = 0; i < out->attribute_count; i++) {
        struct fm_attribute *attribute = &out->attributes[i];
        const struct fm_value *item = fm_read_tuple(reader, array, i, 2);
        if (item == NULL)
            return;
        fm_reader_note(
            reader, fm_value_text(fm_value_at(item, 0), attribute->name, sizeof attribute->name));
        fm_reader_note(
            reader, fm_value_text(fm_value_at(item, 1), attribute->value, sizeof attribute->value));
    }
}

static enum fm_status decode_cert(struct fm_span body, struct fm_principal_cert *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(8));
    fm_read_exact(&reader, KEY_SERIAL, out->serial, sizeof out->serial);
    fm_read_text(&reader, KEY_NAME, out->name, sizeof out->name);
    read_roles(&reader, out);
    read_attributes(&reader, out);
    fm_read_exact(&reader, KEY_SIGN, out->sign_key.bytes, sizeof out->sign_key.bytes);
    fm_read_exact(&reader, KEY_SESSION, out->session_key.bytes, sizeof out->session_key.bytes);
    fm_read_time(&reader, KEY_NOT_BEFORE, &out->not_before);
    fm_read_time(&reader, KEY_NOT_AFTER, &out->not_after);
    return reader.status;
}

enum fm_status fm_principal_cert_open_undated(const struct fm_charter *charter,
                                              struct fm_span bytes, struct fm_principal_cert *out,
                                              struct fm_error *err)
{
    struct fm_principal_cert cert = {0};
    struct fm_span body;

    enum fm_status status = fm_cert_open_body(charter, FM_ENV_PRINCIPAL_CERT, bytes, &body, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "principal certificate");
    status = decode_cert(body, &cert);
    if (status != FM_OK)
        return fm_fail(err, status, "principal certificate: its fields do not decode");
    status = check_cert(charter, &cert, err);
    if (status != FM_OK)
        return fm_wrap(err, status == FM_INVALID ? FM_MALFORMED : status, "principal certificate");
    *out = cert;
    return FM_OK;
}

enum fm_status fm_principal_cert_open(const struct fm_charter *charter, struct fm_span bytes,
                                      int64_t now, struct fm_principal_cert *out,
                                      struct fm_error *err)
{
    struct fm_principal_cert cert;

    enum fm_status status = fm_principal_cert_open_undated(charter, bytes, &cert, err);
    if (status != FM_OK)
        return status;
    status = fm_cert_check_time(cert.not_before, cert.not_after, now, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "certificate of %s", cert.name);
    *out = cert;
    return FM_OK;
}

bool fm_principal_has_role(const struct fm_principal_cert *cert, enum fm_role role,
                           const char *domain)
{
    const char *wanted = domain != NULL ? domain : "";

    for (uint32_t i = 0; i < cert->role_count; i++) {
        if (cert->roles[i].role == role && strcmp(cert->roles[i].domain, wanted) == 0)
            return true;
    }
    return false;
}

enum fm_status fm_role_parse(const char *text, struct fm_role_grant *out, struct fm_error *err)
{
    const char *colon = strchr(text, ':');
    const char *domain = colon != NULL ? colon + 1 : "";
    size_t len = colon != NULL ? (size_t)(colon - text) : strlen(text);

    for (size_t i = 0; i < ROLE_COUNT; i++) {
        struct fm_role_grant grant = {.role = roles[i].role};
        if (strlen(roles[i].text) != len || memcmp(roles[i].text, text, len) != 0)
            continue;
        if (strlen(domain) > FM_NAME_MAX || (colon != NULL && !roles[i].has_domain))
            break;
        memcpy(grant.domain, domain, strlen(domain));
        if (!grant_is_valid(&grant))
            break;
        *out = grant;
        return FM_OK;
    }
    return fm_fail(err, FM_INVALID,
                   "role '%s': use reader, operator, owner:DOMAIN or appender:DOMAIN", text);
}
