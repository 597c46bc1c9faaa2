#include "storage/cluster.h"

#include "core/assert.h"
#include "core/predicate.h"

#include <stdlib.h>

static uint32_t code_at(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                        uint32_t row)
{
    const uint8_t *codes = batch->bytes + vector->data_at;

    if (vector->code_width == 1)
        return codes[row];
    return vector->code_width == 2 ? fm_load16(codes + (size_t)row * 2)
                                   : fm_load32(codes + (size_t)row * 4);
}

static bool is_coded(const struct fm_vector_entry *vector)
{
    return vector->encoding == FM_ENC_DICTIONARY || vector->encoding == FM_ENC_FOR;
}

static int compare_bytes(struct fm_span a, struct fm_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* A fixed value as canonical bytes: the memory form but for decimals, which become 16 bytes. */
static struct fm_span fixed_at(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                               const struct fm_type *type, uint32_t row, uint8_t out[16])
{
    uint32_t width = fm_type_width(type);

    fm_vector_fixed(batch, vector, row, out);
    if (type->kind != FM_KIND_DECIMAL)
        return fm_span(out, width);
    memset(out + width, (out[width - 1] & 0x80) != 0 ? 0xff : 0, 16 - width);
    return fm_span(out, 16);
}

static int compare_values(const struct fm_type *type, const struct fm_batch *a,
                          const struct fm_vector_entry *va, uint32_t ra, const struct fm_batch *b,
                          const struct fm_vector_entry *vb, uint32_t rb)
{
    bool null_a = fm_vector_is_null(a, va, ra);
    bool null_b = fm_vector_is_null(b, vb, rb);
    uint8_t bytes_a[16], bytes_b[16];

    if (null_a || null_b)
        return null_a - null_b;
    if (va == vb && is_coded(va)) {
        uint32_t code_a = code_at(a, va, ra);
        uint32_t code_b = code_at(b, vb, rb);

        return (code_a > code_b) - (code_a < code_b);
    }
    if (fm_type_is_bytes(type))
        return compare_bytes(fm_vector_bytes(a, va, NULL, ra), fm_vector_bytes(b, vb, NULL, rb));
    return fm_canonical_compare(type, fixed_at(a, va, type, ra, bytes_a),
                                fixed_at(b, vb, type, rb, bytes_b));
}

static int compare_rows(const struct fm_schema *schema, const struct fm_batch *a, uint32_t ra,
                        const struct fm_batch *b, uint32_t rb)
{
    int order = 0;

    for (uint32_t i = 0; order == 0 && i < schema->cluster_count; i++) {
        uint16_t column = schema->cluster[i];

        order = compare_values(&schema->fields[column].type, a, &a->vectors[column], ra, b,
                               &b->vectors[column], rb);
    }
    return order;
}

bool cluster_in_order(const struct fm_schema *schema, const struct fm_batch *batch,
                      const struct fm_batch *tail, uint32_t tail_row)
{
    if (schema->cluster_count == 0 || batch->rows == 0)
        return true;
    if (tail != NULL && compare_rows(schema, tail, tail_row, batch, 0) > 0)
        return false;
    for (uint32_t row = 1; row < batch->rows; row++) {
        if (compare_rows(schema, batch, row - 1, batch, row) > 0)
            return false;
    }
    return true;
}

/* Eight bytes that sort like the value as far as they go. */
static uint64_t prefix_of(const struct fm_type *type, const struct fm_batch *batch,
                          const struct fm_vector_entry *vector, uint32_t row)
{
    uint8_t bytes[16] = {0};
    struct fm_span text;

    if (fm_vector_is_null(batch, vector, row))
        return UINT64_MAX;
    if (fm_type_is_bytes(type)) {
        text = fm_vector_bytes(batch, vector, NULL, row);
        if (text.len > 0)
            memcpy(bytes, text.data, text.len < 8 ? text.len : 8);
        return fm_load64_be(bytes);
    }
    switch (type->kind) {
    case FM_KIND_DATE:
    case FM_KIND_INT32:
        fm_vector_fixed(batch, vector, row, bytes);
        return (uint64_t)(int64_t)(int32_t)fm_load32(bytes) ^ (UINT64_C(1) << 63);
    case FM_KIND_INT64:
    case FM_KIND_TIME:
    case FM_KIND_TIMESTAMP:
    case FM_KIND_TIMESTAMPTZ:
        fm_vector_fixed(batch, vector, row, bytes);
        return fm_load64(bytes) ^ (UINT64_C(1) << 63);
    default:
        return 0; /* All alike: the full comparison decides. */
    }
}

struct sorting {
    const struct fm_schema *schema;
    const struct fm_batch *batches;
};

static int compare_cluster_rows(const void *left, const void *right, void *context)
{
    const struct sorting *sorting = context;
    const struct cluster_row *a = left;
    const struct cluster_row *b = right;
    int order;

    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    order = compare_rows(sorting->schema, &sorting->batches[a->batch], a->row,
                         &sorting->batches[b->batch], b->row);
    if (order != 0)
        return order;
    if (a->batch != b->batch)
        return a->batch < b->batch ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

enum fm_status cluster_sort(const struct fm_schema *schema, const struct fm_batch *batches,
                            uint32_t count, struct cluster_row **out, size_t *out_count)
{
    struct sorting sorting = {schema, batches};
    struct cluster_row *rows;
    size_t total = 0;
    size_t at = 0;

    fm_assert(schema->cluster_count > 0);
    for (uint32_t i = 0; i < count; i++)
        total += batches[i].rows;
    rows = malloc((total > 0 ? total : 1) * sizeof *rows);
    if (rows == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct fm_vector_entry *vector = &batches[i].vectors[schema->cluster[0]];
        const struct fm_type *type = &schema->fields[schema->cluster[0]].type;

        for (uint32_t row = 0; row < batches[i].rows; row++)
            rows[at++] = (struct cluster_row){prefix_of(type, &batches[i], vector, row), i, row};
    }
    qsort_r(rows, total, sizeof *rows, compare_cluster_rows, &sorting);
    *out = rows;
    *out_count = total;
    return FM_OK;
}
