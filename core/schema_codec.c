/* A schema as one strict msgpack document (docs/wire.md, "Schema"):
 *   0 format version (1)   1 domain   2 table   3 schema version   4 fields   5 key: positions
 *   6 cluster: positions   7 description (absent: none)   32 subject: position (absent: none)
 *   33 retention: days from 1 (absent: facts are kept for ever)
 * and per field:
 *   0 id   1 name   2 type (bin, fm_type_encode)   3 required   4 classification
 *   5 description (absent: none) */
#include "core/schema.h"

#include "core/assert.h"
#include "core/codec.h"
#include "core/hash.h"

#define SCHEMA_FORMAT 1u
#define SCHEMA_KEYS 0xffu /* 0..7 */
#define SUBJECT_KEY 32u
#define RETENTION_KEY 33u
#define FIELD_KEYS 0x3fu /* 0..5 */

static void encode_type(struct fm_buf *out, const struct fm_type *type)
{
    FM_AUTO(fm_buf_free) struct fm_buf encoded = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    fm_type_encode(&encoded, type);
    if (fm_buf_status(&encoded) != FM_OK && out->status == FM_OK)
        out->status = fm_buf_status(&encoded); /* Sticky, like a write of its own. */
    fm_pack_bin_span(out, fm_buf_span(&encoded));
}

static void encode_field(struct fm_buf *out, const struct fm_field *field)
{
    fm_pack_map(out, field->description != NULL ? 6 : 5);
    fm_pack_key_uint(out, 0, field->id);
    fm_pack_key_str(out, 1, field->name);
    fm_pack_uint(out, 2);
    encode_type(out, &field->type);
    fm_pack_key_bool(out, 3, field->required);
    fm_pack_key_uint(out, 4, field->classification);
    if (field->description != NULL)
        fm_pack_key_str(out, 5, field->description);
}

static void encode_positions(struct fm_buf *out, unsigned key, const uint16_t *positions,
                             uint32_t count)
{
    fm_pack_uint(out, key);
    fm_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        fm_pack_uint(out, positions[i]);
}

void fm_schema_encode(struct fm_buf *out, const struct fm_schema *schema)
{
    fm_pack_map(out, 7u + (schema->description != NULL) + schema->has_subject +
                         (schema->retention_days != 0));
    fm_pack_key_uint(out, 0, SCHEMA_FORMAT);
    fm_pack_key_str(out, 1, schema->domain);
    fm_pack_key_str(out, 2, schema->table);
    fm_pack_key_uint(out, 3, schema->version);
    fm_pack_uint(out, 4);
    fm_pack_array(out, schema->field_count);
    for (uint32_t i = 0; i < schema->field_count; i++)
        encode_field(out, &schema->fields[i]);
    encode_positions(out, 5, schema->key, schema->key_count);
    encode_positions(out, 6, schema->cluster, schema->cluster_count);
    if (schema->description != NULL)
        fm_pack_key_str(out, 7, schema->description);
    if (schema->has_subject)
        fm_pack_key_uint(out, SUBJECT_KEY, schema->subject);
    if (schema->retention_days != 0)
        fm_pack_key_uint(out, RETENTION_KEY, schema->retention_days);
}

void fm_schema_hash(const struct fm_schema *schema, uint8_t out[32])
{
    FM_AUTO(fm_buf_free) struct fm_buf encoded = {0};
    fm_schema_encode(&encoded, schema);
    fm_assert(fm_buf_status(&encoded) == FM_OK); /* Without its bytes there is no hash to give. */
    struct fm_hash hash;
    fm_sha256_one(&hash, fm_buf_span(&encoded));
    memcpy(out, hash.bytes, sizeof hash.bytes);
}

static enum fm_status decode_description(const struct fm_value *value, char **out)
{
    struct fm_span text;
    if (value == NULL)
        return FM_OK;
    enum fm_status status = fm_value_str(value, FM_DESCRIPTION_MAX, &text);
    if (status != FM_OK)
        return status;
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
        return FM_MALFORMED;
    *out = fm_strdup_span(text);
    return *out != NULL ? FM_OK : FM_NOMEM;
}

static enum fm_status decode_type(const struct fm_value *value, struct fm_type *out)
{
    struct fm_span bytes;
    struct fm_type type = {0};
    enum fm_status status = fm_value_bin(value, FM_DOC_BYTES_MAX, &bytes);
    if (status != FM_OK)
        return status;
    struct fm_cursor cursor = fm_cursor(bytes);
    status = fm_type_decode(&cursor, &type);
    if (status != FM_OK)
        return status;
    *out = type; /* The schema owns it now, whatever is found next. */
    return fm_cursor_left(&cursor) == 0 ? FM_OK : FM_MALFORMED;
}

static enum fm_status decode_field(const struct fm_value *map, struct fm_field *out)
{
    uint32_t classification = 0;
    enum fm_status status = fm_map_check(map, FIELD_KEYS);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 0), UINT32_MAX, &out->id);
    if (status == FM_OK)
        status = fm_value_text(fm_map_get(map, 1), out->name, sizeof out->name);
    if (status == FM_OK)
        status = decode_type(fm_map_get(map, 2), &out->type);
    if (status == FM_OK)
        status = fm_value_bool(fm_map_get(map, 3), &out->required);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 4), FM_CLASS_SECRET, &classification);
    if (status == FM_OK)
        status = decode_description(fm_map_get(map, 5), &out->description);
    out->classification = (uint8_t)classification;
    return status;
}

static enum fm_status decode_fields(const struct fm_value *array, struct fm_schema *out)
{
    uint32_t count;
    enum fm_status status = fm_value_array(array, FM_COLUMNS_MAX, &count);
    if (status != FM_OK)
        return status;
    if (count == 0)
        return FM_MALFORMED;
    out->fields = calloc(count, sizeof *out->fields);
    if (out->fields == NULL)
        return FM_NOMEM;
    out->field_count = count;
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = decode_field(fm_value_at(array, i), &out->fields[i]);
    return status;
}

static enum fm_status decode_positions(const struct fm_value *array, uint16_t *positions,
                                       uint32_t *count)
{
    enum fm_status status = fm_value_array(array, FM_KEY_FIELDS_MAX, count);
    for (uint32_t i = 0; status == FM_OK && i < *count; i++) {
        uint32_t position = 0;
        status = fm_value_u32(fm_value_at(array, i), UINT16_MAX, &position);
        positions[i] = (uint16_t)position;
    }
    return status;
}

static enum fm_status decode_subject(const struct fm_value *value, struct fm_schema *out)
{
    uint32_t position = 0;
    if (value == NULL)
        return FM_OK;
    enum fm_status status = fm_value_u32(value, UINT16_MAX, &position);
    out->has_subject = status == FM_OK;
    out->subject = (uint16_t)position;
    return status;
}

/* None is written by leaving it away, so that a schema has one form. */
static enum fm_status decode_retention(const struct fm_value *value, struct fm_schema *out)
{
    if (value == NULL)
        return FM_OK;
    enum fm_status status = fm_value_u32(value, FM_RETENTION_DAYS_MAX, &out->retention_days);
    return status == FM_OK && out->retention_days == 0 ? FM_MALFORMED : status;
}

static enum fm_status decode_schema(const struct fm_value *map, struct fm_schema *out)
{
    uint32_t format;
    enum fm_status status = fm_map_check(map, SCHEMA_KEYS);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 0), UINT32_MAX, &format);
    if (status == FM_OK && format != SCHEMA_FORMAT)
        return FM_UNSUPPORTED;
    if (status == FM_OK)
        status = fm_value_text(fm_map_get(map, 1), out->domain, sizeof out->domain);
    if (status == FM_OK)
        status = fm_value_text(fm_map_get(map, 2), out->table, sizeof out->table);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 3), UINT32_MAX, &out->version);
    if (status == FM_OK)
        status = decode_fields(fm_map_get(map, 4), out);
    if (status == FM_OK)
        status = decode_positions(fm_map_get(map, 5), out->key, &out->key_count);
    if (status == FM_OK)
        status = decode_positions(fm_map_get(map, 6), out->cluster, &out->cluster_count);
    if (status == FM_OK)
        status = decode_description(fm_map_get(map, 7), &out->description);
    if (status == FM_OK)
        status = decode_subject(fm_map_get(map, SUBJECT_KEY), out);
    if (status == FM_OK)
        status = decode_retention(fm_map_get(map, RETENTION_KEY), out);
    return status;
}

enum fm_status fm_schema_decode(struct fm_span bytes, struct fm_schema **out, struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = calloc(1, sizeof *schema);
    if (schema == NULL)
        return fm_fail(err, FM_NOMEM, "decode schema: out of memory");
    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status == FM_OK)
        status = decode_schema(fm_doc_root(doc), schema);
    if (status != FM_OK)
        return fm_fail(err, status, "decode schema: %s", fm_status_text(status));
    status = fm_schema_check(schema, err);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(schema);
    return FM_OK;
}
