/* Leaves of many rows: the columns of a batch are prepared once, then each row is written into one
 * reused buffer and hashed. The header is encoded once for as many rows as its sequence keeps its
 * width, and only the sequence is patched in between. */
#include "core/leaf.h"

#include "core/canonical.h"
#include "core/hash.h"

#include <sodium.h>

#define COMMITMENT_LABEL "folkmoot/v1 commitment"
#define HMAC_BLOCK 64u
#define FIELD_HEAD_MAX 6u /* uvarint of a u32 and the kind. */
#define TEXT_HEAD_MAX 5u  /* uvarint of a text's length. */
#define HEADER_MAX 256u

/* How a column's values are found, without a look at its entry for each row. */
struct leaf_column {
    const struct fm_vector_entry *vector;
    const struct fm_type *type;
    const struct fm_dictionary *outside;
    struct fm_dictionary dictionary;
    const uint8_t *validity; /* NULL: no nulls. */
    const uint8_t *data;
    const uint8_t *aux;
    uint32_t width;
    uint8_t head[FIELD_HEAD_MAX];
    uint8_t head_len;
    bool is_bytes;
    bool is_nested;
    bool is_raw; /* The memory form is the canonical one. */
};

struct fm_leaf_encoder {
    const struct fm_schema *schema;
    uint8_t inner_pad[HMAC_BLOCK]; /* The key, as HMAC (RFC 2104) wants it. */
    uint8_t outer_pad[HMAC_BLOCK];
    bool has_commitment;
    bool has_key;
    bool is_stored; /* The commitment is a column, the last one in `order`. */
    uint32_t open_count;
    uint32_t closed_count;
    uint16_t
        *order; /* Owned: positions of open fields by id, of classified ones, of stored ones. */
    struct leaf_column *columns; /* Owned: in that order. */
    const struct fm_batch *batch;
    struct fm_buf row;
    struct fm_buf closed;
    uint64_t hashed_bytes;
};

bool fm_schema_has_commitment(const struct fm_schema *schema)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (fm_field_is_classified(&schema->fields[i]))
            return true;
    return false;
}

/* ---- Making -------------------------------------------------------------------------------- */

/* 0 open, 1 classified, 2 in place of classified ones. */
static int group_of(const struct fm_field *field)
{
    if (field->id == FM_FIELD_SEALED || field->id == FM_FIELD_COMMITMENT)
        return 2;
    return fm_field_is_classified(field) ? 1 : 0;
}

static int compare_fields(const void *a, const void *b, void *fields)
{
    const struct fm_field *x = (struct fm_field *)fields + *(const uint16_t *)a;
    const struct fm_field *y = (struct fm_field *)fields + *(const uint16_t *)b;
    if (group_of(x) != group_of(y))
        return group_of(x) - group_of(y);
    return (x->id > y->id) - (x->id < y->id);
}

static enum fm_status order_fields(struct fm_leaf_encoder *encoder)
{
    const struct fm_schema *schema = encoder->schema;
    encoder->order = calloc(schema->field_count, sizeof *encoder->order);
    encoder->columns = calloc(schema->field_count, sizeof *encoder->columns);
    if (encoder->order == NULL || encoder->columns == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        encoder->order[i] = (uint16_t)i;
        encoder->closed_count += group_of(&schema->fields[i]) == 1;
        encoder->open_count += group_of(&schema->fields[i]) == 0;
        encoder->is_stored = encoder->is_stored || schema->fields[i].id == FM_FIELD_COMMITMENT;
    }
    qsort_r(encoder->order, schema->field_count, sizeof *encoder->order, compare_fields,
            schema->fields);
    return FM_OK;
}

static void set_key(struct fm_leaf_encoder *encoder, const uint8_t key[32])
{
    memset(encoder->inner_pad, 0x36, HMAC_BLOCK);
    memset(encoder->outer_pad, 0x5c, HMAC_BLOCK);
    for (size_t i = 0; i < 32; i++) {
        encoder->inner_pad[i] ^= key[i];
        encoder->outer_pad[i] ^= key[i];
    }
}

enum fm_status fm_leaf_encoder_new(const struct fm_leaf_encoder_options *options,
                                   struct fm_leaf_encoder **out)
{
    FM_AUTO(fm_leaf_encoder_freep) struct fm_leaf_encoder *encoder = calloc(1, sizeof *encoder);
    if (encoder == NULL)
        return FM_NOMEM;
    fm_assert(options->schema->field_count <= FM_COLUMNS_MAX);
    encoder->schema = options->schema;
    encoder->has_commitment = fm_schema_has_commitment(options->schema);
    if (encoder->has_commitment && options->commitment_key == NULL && !options->schema->has_subject)
        return FM_INVALID;
    encoder->has_key = options->commitment_key != NULL;
    if (encoder->has_commitment && encoder->has_key)
        set_key(encoder, options->commitment_key);
    encoder->row = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    encoder->closed = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    enum fm_status status = order_fields(encoder);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(encoder);
    return FM_OK;
}

void fm_leaf_encoder_free(struct fm_leaf_encoder *encoder)
{
    if (encoder == NULL)
        return;
    fm_buf_free(&encoder->row);
    if (encoder->closed.data != NULL)
        sodium_memzero(encoder->closed.data, encoder->closed.cap);
    fm_buf_free(&encoder->closed);
    free(encoder->order);
    free(encoder->columns);
    sodium_memzero(encoder->inner_pad, HMAC_BLOCK);
    sodium_memzero(encoder->outer_pad, HMAC_BLOCK);
    free(encoder);
}

/* ---- Columns ------------------------------------------------------------------------------- */

static uint8_t put_uvarint(uint8_t *to, uint64_t value)
{
    uint8_t len = 0;
    for (; value >= 0x80; value >>= 7)
        to[len++] = (uint8_t)(value | 0x80);
    to[len++] = (uint8_t)value;
    return len;
}

static bool form_is_canonical(const struct fm_type *type)
{
    return type->kind != FM_KIND_DECIMAL && type->kind != FM_KIND_FLOAT &&
           type->kind != FM_KIND_DOUBLE;
}

static enum fm_status prepare_column(struct leaf_column *column, const struct fm_field *field,
                                     const struct fm_batch *batch,
                                     const struct fm_vector_entry *vector,
                                     const struct fm_dictionary *outside)
{
    if (vector->kind != (uint8_t)field->type.kind || vector->precision != field->type.precision ||
        vector->scale != field->type.scale)
        return FM_INVALID;
    if ((vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0 && outside == NULL)
        return FM_INVALID;
    *column = (struct leaf_column){
        .vector = vector,
        .type = &field->type,
        .outside = outside,
        .validity = vector->validity_at == 0 ? NULL : batch->bytes + vector->validity_at,
        .data = batch->bytes + vector->data_at,
        .aux = batch->bytes + vector->aux_at,
        .width = fm_type_width(&field->type),
        .is_bytes = fm_type_is_bytes(&field->type),
        .is_nested = fm_type_is_nested(&field->type),
        .is_raw = form_is_canonical(&field->type),
    };
    if (vector->encoding == FM_ENC_DICTIONARY)
        column->dictionary = fm_vector_dictionary(batch, vector, outside);
    column->head_len = put_uvarint(column->head, field->id);
    column->head[column->head_len++] = (uint8_t)field->type.kind;
    return FM_OK;
}

static enum fm_status prepare_columns(struct fm_leaf_encoder *encoder, const struct fm_batch *batch,
                                      const struct fm_dictionary *const *dictionaries)
{
    const struct fm_schema *schema = encoder->schema;
    if (batch->column_count != schema->field_count)
        return FM_INVALID;
    encoder->batch = batch;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        uint16_t position = encoder->order[i];
        enum fm_status status = prepare_column(
            &encoder->columns[i], &schema->fields[position], batch, &batch->vectors[position],
            dictionaries != NULL ? dictionaries[position] : NULL);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static bool column_is_null(const struct leaf_column *column, uint32_t row)
{
    if ((column->vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return true;
    return column->validity != NULL && !fm_bits_get(column->validity, row);
}

static struct fm_span column_bytes(const struct leaf_column *column, uint32_t row)
{
    const struct fm_vector_entry *vector = column->vector;
    if (vector->encoding == FM_ENC_DICTIONARY)
        return fm_dictionary_at(&column->dictionary,
                                fm_load_code(column->data, vector->code_width, row));
    if (vector->encoding == FM_ENC_CONSTANT)
        return fm_span(column->aux, vector->aux_bytes);
    const uint8_t *offsets = column->data + (size_t)row * 4;
    uint32_t from = fm_load32(offsets);
    return fm_span(column->aux + from, fm_load32(offsets + 4) - from);
}

/* Canonical bytes of a fixed-width value to `to`, which has room for 16 more than it needs. */
static uint8_t *write_fixed(const struct leaf_column *column, uint32_t row, uint8_t *to)
{
    const struct fm_vector_entry *vector = column->vector;
    uint8_t value[FM_CANONICAL_FIXED_MAX];
    const uint8_t *at = value;
    if (vector->encoding == FM_ENC_FOR)
        fm_store64(value, (uint64_t)vector->base +
                              (uint64_t)vector->step *
                                  fm_load_code(column->data, vector->code_width, row));
    else
        at = column->data + (vector->encoding == FM_ENC_CONSTANT ? 0 : (size_t)row * column->width);
    if (!column->is_raw)
        return to + fm_canonical_from_fixed(column->type, at, to);
    switch (column->width) { /* Copies of a known size are single moves. */
    case 1:
        *to = *at;
        break;
    case 2:
        memcpy(to, at, 2);
        break;
    case 4:
        memcpy(to, at, 4);
        break;
    case 8:
        memcpy(to, at, 8);
        break;
    default:
        memcpy(to, at, column->width);
    }
    return to + column->width;
}

/* ---- Fields -------------------------------------------------------------------------------- */

/* One field, not null: id, kind, value. */
static enum fm_status write_field(const struct fm_leaf_encoder *encoder,
                                  const struct leaf_column *column, uint32_t row,
                                  struct fm_buf *out)
{
    struct fm_span text = {0};
    if (column->is_bytes)
        text = column_bytes(column, row);
    size_t room = FIELD_HEAD_MAX + TEXT_HEAD_MAX + FM_CANONICAL_FIXED_MAX + text.len;
    size_t before = out->len;
    uint8_t *to = fm_buf_extend(out, room);
    if (to == NULL)
        return fm_buf_status(out);
    uint8_t *start = to;
    memcpy(to, column->head, FIELD_HEAD_MAX); /* The rest is written over. */
    to += column->head_len;
    if (column->is_nested) {
        out->len = before + column->head_len;
        return fm_vector_canonical(encoder->batch, column->vector, column->type, column->outside,
                                   row, out);
    }
    if (column->is_bytes) {
        to += put_uvarint(to, text.len);
        if (text.len > 0)
            memcpy(to, text.data, text.len);
        to += text.len;
    } else {
        to = write_fixed(column, row, to);
    }
    out->len = before + (size_t)(to - start);
    fm_assert(out->len <= before + room);
    return FM_OK;
}

/* uvarint count, then the fields that are not null. */
static enum fm_status write_fields(const struct fm_leaf_encoder *encoder, uint32_t first,
                                   uint32_t count, uint32_t row, struct fm_buf *out)
{
    uint32_t present = 0;
    for (uint32_t i = first; i < first + count; i++)
        present += !column_is_null(&encoder->columns[i], row);
    fm_buf_put_uvarint(out, present);
    for (uint32_t i = first; i < first + count; i++) {
        if (column_is_null(&encoder->columns[i], row))
            continue;
        enum fm_status status = write_field(encoder, &encoder->columns[i], row, out);
        if (status != FM_OK)
            return status;
    }
    return fm_buf_status(out);
}

/* HMAC-SHA-256 of the sequence. libsodium's takes five times as long: it does not use the
 * processor's instructions. */
static void make_salt(const struct fm_leaf_encoder *encoder, uint64_t sequence, struct fm_hash *out)
{
    uint8_t number[8];
    struct fm_hash inner;
    fm_store64(number, sequence);
    fm_sha256(&inner,
              (const struct fm_span[]){{encoder->inner_pad, HMAC_BLOCK}, {number, sizeof number}},
              2);
    fm_sha256(out,
              (const struct fm_span[]){{encoder->outer_pad, HMAC_BLOCK},
                                       {inner.bytes, sizeof inner.bytes}},
              2);
    sodium_memzero(&inner, sizeof inner);
}

/* The commitment that was stored with the row. */
static enum fm_status copy_commitment(struct fm_leaf_encoder *encoder, uint32_t row,
                                      struct fm_buf *out)
{
    const struct leaf_column *column = &encoder->columns[encoder->schema->field_count - 1];
    struct fm_span stored;
    if (!column->is_bytes || column_is_null(column, row))
        return FM_CORRUPT;
    stored = column_bytes(column, row);
    if (stored.len != FM_HASH_BYTES)
        return FM_CORRUPT;
    fm_buf_put_u8(out, FM_HASH_BYTES);
    fm_buf_put_span(out, stored);
    return fm_buf_status(out);
}

static enum fm_status write_commitment(struct fm_leaf_encoder *encoder, uint64_t sequence,
                                       uint32_t row, struct fm_buf *out)
{
    struct fm_hash hash, salt;
    if (encoder->is_stored)
        return copy_commitment(encoder, row, out);
    if (!encoder->has_commitment) {
        fm_buf_put_u8(out, 0);
        return fm_buf_status(out);
    }
    if (!encoder->has_key)
        return FM_INVALID; /* Only classified fields can be asked for. */
    make_salt(encoder, sequence, &salt);
    fm_buf_clear(&encoder->closed);
    fm_buf_put(&encoder->closed, COMMITMENT_LABEL, sizeof COMMITMENT_LABEL); /* With its NUL. */
    fm_buf_put(&encoder->closed, salt.bytes, sizeof salt.bytes);
    sodium_memzero(&salt, sizeof salt);
    enum fm_status status =
        write_fields(encoder, encoder->open_count, encoder->closed_count, row, &encoder->closed);
    if (status != FM_OK)
        return status;
    fm_sha256_one(&hash, fm_buf_span(&encoder->closed));
    fm_buf_put_u8(out, FM_HASH_BYTES);
    fm_buf_put(out, hash.bytes, sizeof hash.bytes);
    return fm_buf_status(out);
}

static enum fm_status write_body(struct fm_leaf_encoder *encoder, uint64_t sequence, uint32_t row,
                                 struct fm_buf *out)
{
    enum fm_status status = write_fields(encoder, 0, encoder->open_count, row, out);
    return status == FM_OK ? write_commitment(encoder, sequence, row, out) : status;
}

enum fm_status fm_leaf_classified(struct fm_leaf_encoder *encoder, const struct fm_batch *batch,
                                  const struct fm_dictionary *const *dictionaries, uint32_t first,
                                  uint32_t count, struct fm_buf *out, size_t *ends)
{
    fm_assert(first <= batch->rows && count <= batch->rows - first);
    enum fm_status status = prepare_columns(encoder, batch, dictionaries);
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        status = write_fields(encoder, encoder->open_count, encoder->closed_count, first + i, out);
        ends[i] = out->len;
    }
    return status;
}

enum fm_status fm_leaf_encode(struct fm_leaf_encoder *encoder, const struct fm_fact_header *header,
                              const struct fm_batch *batch,
                              const struct fm_dictionary *const *dictionaries, uint32_t row,
                              struct fm_buf *out)
{
    size_t before = out->len;
    fm_assert(row < batch->rows);
    enum fm_status status = prepare_columns(encoder, batch, dictionaries);
    if (status != FM_OK)
        return status;
    fm_fact_header_encode(out, header);
    status = fm_buf_status(out);
    if (status == FM_OK)
        status = write_body(encoder, header->sequence, row, out);
    if (status != FM_OK)
        out->len = before;
    return status;
}

/* ---- Many rows ----------------------------------------------------------------------------- */

/* A header ready to be copied, and where its sequence stands, big endian. */
struct header_template {
    uint8_t bytes[HEADER_MAX];
    size_t len;
    size_t sequence_at;
    uint32_t sequence_bytes;
    uint64_t sequence_max; /* The last of this width. */
};

static enum fm_status make_template(const struct fm_fact_header *header, uint64_t sequence,
                                    struct header_template *out)
{
    struct fm_fact_header copy = *header;
    FM_AUTO(fm_buf_free) struct fm_buf encoded = FM_BUF_INIT(HEADER_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf before = FM_BUF_INIT(HEADER_MAX);
    copy.sequence = sequence;
    fm_fact_header_encode(&encoded, &copy);
    copy.sequence = 0; /* One byte: what is longer belongs to the sequence. */
    fm_fact_header_encode(&before, &copy);
    if (fm_buf_status(&encoded) != FM_OK || fm_buf_status(&before) != FM_OK)
        return FM_NOMEM;
    memcpy(out->bytes, encoded.data, encoded.len);
    out->len = encoded.len;
    /* Equal up to the sequence: key 0 with 1, key 1 with the schema version, key 2. */
    size_t at = 0;
    while (at < before.len && before.data[at] == encoded.data[at])
        at++;
    size_t extra = encoded.len - before.len; /* Bytes behind the one that tells the width. */
    out->sequence_bytes = (uint32_t)(extra == 0 ? 1 : extra);
    out->sequence_at = extra == 0 ? at : at + 1;
    out->sequence_max = extra == 0   ? 0x7f
                        : extra == 8 ? UINT64_MAX
                                     : (UINT64_C(1) << (8 * extra)) - 1;
    if (sequence == 0)
        out->sequence_max = 0; /* Its byte was not found: nothing differs. */
    return FM_OK;
}

static void patch_sequence(struct header_template *header, uint64_t sequence)
{
    for (uint32_t i = header->sequence_bytes; i > 0; i--, sequence >>= 8)
        header->bytes[header->sequence_at + i - 1] = (uint8_t)sequence;
}

enum fm_status fm_leaf_hash_rows(struct fm_leaf_encoder *encoder,
                                 const struct fm_fact_header *header, const struct fm_batch *batch,
                                 const struct fm_dictionary *const *dictionaries, uint32_t first,
                                 uint32_t count, uint8_t *out)
{
    struct header_template head = {.sequence_max = 0};
    bool has_head = false;
    fm_assert(first <= batch->rows && count <= batch->rows - first);
    fm_assert(header->sequence <= UINT64_MAX - count);
    enum fm_status status = prepare_columns(encoder, batch, dictionaries);
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        uint64_t sequence = header->sequence + i;
        if (!has_head || sequence > head.sequence_max) {
            status = make_template(header, sequence, &head);
            if (status != FM_OK)
                return status;
            has_head = true;
        } else {
            patch_sequence(&head, sequence);
        }
        fm_buf_clear(&encoder->row);
        fm_buf_put_u8(&encoder->row, 0); /* RFC 6962: a leaf, not a node. */
        fm_buf_put(&encoder->row, head.bytes, head.len);
        status = write_body(encoder, sequence, first + i, &encoder->row);
        if (status != FM_OK)
            return status;
        struct fm_hash hash;
        fm_sha256_one(&hash, fm_buf_span(&encoder->row));
        memcpy(out + (size_t)i * FM_HASH_BYTES, hash.bytes, FM_HASH_BYTES);
        encoder->hashed_bytes += encoder->row.len - 1;
    }
    return status;
}

uint64_t fm_leaf_encoder_bytes(const struct fm_leaf_encoder *encoder)
{
    return encoder->hashed_bytes;
}
