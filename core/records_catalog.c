/* The catalog's records that gossip carries. */
#include "core/records.h"

#include "core/assert.h"
#include "core/cert_common.h"
#include "core/records_common.h"

void fm_contract_encode(struct fm_buf *out, const struct fm_contract *contract)
{
    fm_assert(contract->table_count <= FM_TABLES_PER_PRODUCT_MAX);
    fm_pack_map(out, 8);
    fm_pack_key_str(out, 0, contract->domain);
    fm_pack_key_str(out, 1, contract->product);
    fm_pack_key_str(out, 2, contract->product_version);
    fm_pack_key_uint(out, 3, contract->version);
    fm_pack_uint(out, 4);
    fm_pack_array(out, contract->table_count);
    for (uint32_t i = 0; i < contract->table_count; i++)
        fm_pack_bin_span(out, contract->schemas[i]);
    fm_pack_key_span(out, 5, contract->yaml);
    fm_pack_key_int(out, 6, contract->time);
    fm_pack_key_uint(out, 7, contract->epoch);
}

static void read_contract_schemas(struct fm_reader *reader, struct fm_contract *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 4, 1, FM_TABLES_PER_PRODUCT_MAX, &out->table_count);

    for (uint32_t i = 0; i < out->table_count; i++)
        fm_reader_note(
            reader, fm_value_bin(fm_value_at(array, i), FM_ENVELOPE_BYTES_MAX, &out->schemas[i]));
}

enum fm_status fm_contract_decode(struct fm_span body, struct fm_contract *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_contract contract = {0};

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(8));
    fm_read_domain(&reader, 0, contract.domain);
    fm_read_text(&reader, 1, contract.product, sizeof contract.product);
    fm_read_text(&reader, 2, contract.product_version, sizeof contract.product_version);
    fm_read_u64(&reader, 3, UINT64_MAX, &contract.version);
    read_contract_schemas(&reader, &contract);
    fm_read_bin(&reader, 5, FM_CONTRACT_BYTES_MAX, &contract.yaml);
    fm_read_time(&reader, 6, &contract.time);
    fm_read_choice(&reader, 7, 1, UINT32_MAX, &contract.epoch);
    if (reader.status != FM_OK)
        return reader.status;
    if (contract.version < 1 || !fm_cert_name_valid(contract.product) ||
        !fm_cert_name_valid(contract.product_version))
        return FM_MALFORMED;
    *out = contract;
    return FM_OK;
}

void fm_member_record_encode(struct fm_buf *out, const struct fm_member_record *record)
{
    fm_pack_map(out, 6);
    fm_pack_key_bin(out, 0, record->node.bytes, sizeof record->node.bytes);
    fm_pack_key_uint(out, 1, record->incarnation);
    fm_pack_key_str(out, 2, record->address);
    fm_pack_key_uint(out, 3, record->claim);
    fm_pack_key_hash(out, 4, &record->cert);
    fm_pack_key_int(out, 5, record->time);
}

static bool port_is_valid(const char *text)
{
    unsigned port = 0;
    size_t len = strlen(text);

    if (len < 1 || len > 5 || text[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port <= 65535;
}

/* The form "host:port", IPv6 in brackets; whether the host exists is the transport's matter. */
static bool address_is_valid(const char *address)
{
    const char *colon = strrchr(address, ':');

    if (colon == NULL || colon == address || !port_is_valid(colon + 1))
        return false;
    for (const char *at = address; at < colon; at++) {
        if (*at <= ' ' || *at > '~')
            return false;
    }
    if (address[0] == '[')
        return colon - address > 2 && colon[-1] == ']';
    return strcspn(address, ":[]") == (size_t)(colon - address);
}

enum fm_status fm_member_record_decode(struct fm_span body, struct fm_member_record *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_member_record record = {0};
    uint32_t claim = 0;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(6));
    fm_read_exact(&reader, 0, record.node.bytes, sizeof record.node.bytes);
    fm_read_u64(&reader, 1, UINT64_MAX, &record.incarnation);
    fm_read_text(&reader, 2, record.address, sizeof record.address);
    fm_read_choice(&reader, 3, FM_MEMBER_ALIVE, FM_MEMBER_LEFT, &claim);
    fm_read_hash(&reader, 4, &record.cert);
    fm_read_time(&reader, 5, &record.time);
    if (reader.status != FM_OK)
        return reader.status;
    if (!address_is_valid(record.address))
        return FM_MALFORMED;
    record.claim = (enum fm_member_claim)claim;
    *out = record;
    return FM_OK;
}
