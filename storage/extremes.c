#include "storage/extremes.h"

#include "core/assert.h"

#include <math.h>

__extension__ typedef __int128 wide;

/* Every value of a type, one loop for runs without nulls: those are what the compiler is good
 * at. */
#define DEFINE_EXTREMES(name, type, less)                                                          \
    static void name(const struct fm_batch *batch, const struct fm_vector_entry *vector,           \
                     uint32_t first, uint32_t count, struct extremes *out)                         \
    {                                                                                              \
        const uint8_t *data = batch->bytes + vector->data_at;                                      \
        type min = 0, max = 0, value;                                                              \
        bool has_nulls = vector->validity_at != 0;                                                 \
        for (uint32_t row = first; row < first + count; row++) {                                   \
            if (has_nulls && fm_vector_is_null(batch, vector, row))                                \
                continue;                                                                          \
            memcpy(&value, data + (size_t)row * sizeof value, sizeof value);                       \
            if (!out->found) {                                                                     \
                *out = (struct extremes){.found = true, .min_row = row, .max_row = row};           \
                min = max = value;                                                                 \
            } else if (less(value, min)) {                                                         \
                min = value;                                                                       \
                out->min_row = row;                                                                \
            } else if (less(max, value)) {                                                         \
                max = value;                                                                       \
                out->max_row = row;                                                                \
            }                                                                                      \
        }                                                                                          \
    }

#define LESS(a, b) ((a) < (b))

/* NaN is greatest, -0 equals 0. */
static bool float_less(double a, double b)
{
    if (isnan(b))
        return !isnan(a);
    return a < b;
}

DEFINE_EXTREMES(extremes_u8, uint8_t, LESS)
DEFINE_EXTREMES(extremes_u16, uint16_t, LESS)
DEFINE_EXTREMES(extremes_u32, uint32_t, LESS)
DEFINE_EXTREMES(extremes_u64, uint64_t, LESS)
DEFINE_EXTREMES(extremes_i8, int8_t, LESS)
DEFINE_EXTREMES(extremes_i16, int16_t, LESS)
DEFINE_EXTREMES(extremes_i32, int32_t, LESS)
DEFINE_EXTREMES(extremes_i64, int64_t, LESS)
DEFINE_EXTREMES(extremes_i128, wide, LESS)
DEFINE_EXTREMES(extremes_float, float, float_less)
DEFINE_EXTREMES(extremes_double, double, float_less)

static int compare_spans(struct fm_span a, struct fm_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static struct fm_span bytes_at(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                               uint32_t row)
{
    if (vector->kind == FM_KIND_UUID)
        return fm_span(batch->bytes + vector->data_at + (size_t)row * 16, 16);
    return fm_vector_bytes(batch, vector, NULL, row);
}

static void extremes_bytes(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                           uint32_t first, uint32_t count, struct extremes *out)
{
    struct fm_span min = {0};
    struct fm_span max = {0};

    for (uint32_t row = first; row < first + count; row++) {
        struct fm_span value;

        if (fm_vector_is_null(batch, vector, row))
            continue;
        value = bytes_at(batch, vector, row);
        if (!out->found) {
            *out = (struct extremes){.found = true, .min_row = row, .max_row = row};
            min = max = value;
        } else if (compare_spans(value, min) < 0) {
            min = value;
            out->min_row = row;
        } else if (compare_spans(value, max) > 0) {
            max = value;
            out->max_row = row;
        }
    }
}

static void extremes_constant(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                              uint32_t first, uint32_t count, struct extremes *out)
{
    for (uint32_t row = first; row < first + count; row++) {
        if (!fm_vector_is_null(batch, vector, row)) {
            *out = (struct extremes){.found = true, .min_row = row, .max_row = row};
            return;
        }
    }
}

/* Codes stand in the order of their values (dictionaries are sorted, FOR's step is positive). */
static void extremes_codes(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                           uint32_t first, uint32_t count, struct extremes *out)
{
    if (vector->code_width == 1)
        extremes_u8(batch, vector, first, count, out);
    else if (vector->code_width == 2)
        extremes_u16(batch, vector, first, count, out);
    else
        extremes_u32(batch, vector, first, count, out);
}

static void extremes_decimal(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                             uint32_t first, uint32_t count, struct extremes *out)
{
    if (vector->precision <= 4)
        extremes_i16(batch, vector, first, count, out);
    else if (vector->precision <= 9)
        extremes_i32(batch, vector, first, count, out);
    else if (vector->precision <= 18)
        extremes_i64(batch, vector, first, count, out);
    else
        extremes_i128(batch, vector, first, count, out);
}

static void extremes_plain(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                           uint32_t first, uint32_t count, struct extremes *out)
{
    switch ((enum fm_kind)vector->kind) {
    case FM_KIND_BOOLEAN:
    case FM_KIND_UINT8:
        extremes_u8(batch, vector, first, count, out);
        break;
    case FM_KIND_UINT16:
        extremes_u16(batch, vector, first, count, out);
        break;
    case FM_KIND_UINT32:
        extremes_u32(batch, vector, first, count, out);
        break;
    case FM_KIND_UINT64:
        extremes_u64(batch, vector, first, count, out);
        break;
    case FM_KIND_INT8:
        extremes_i8(batch, vector, first, count, out);
        break;
    case FM_KIND_INT16:
        extremes_i16(batch, vector, first, count, out);
        break;
    case FM_KIND_INT32:
    case FM_KIND_DATE:
        extremes_i32(batch, vector, first, count, out);
        break;
    case FM_KIND_INT64:
    case FM_KIND_TIME:
    case FM_KIND_TIMESTAMP:
    case FM_KIND_TIMESTAMPTZ:
        extremes_i64(batch, vector, first, count, out);
        break;
    case FM_KIND_HUGEINT:
        extremes_i128(batch, vector, first, count, out);
        break;
    case FM_KIND_DECIMAL:
        extremes_decimal(batch, vector, first, count, out);
        break;
    case FM_KIND_FLOAT:
        extremes_float(batch, vector, first, count, out);
        break;
    case FM_KIND_DOUBLE:
        extremes_double(batch, vector, first, count, out);
        break;
    case FM_KIND_VARCHAR:
    case FM_KIND_BLOB:
    case FM_KIND_ENUM:
    case FM_KIND_JSON:
    case FM_KIND_UUID:
        extremes_bytes(batch, vector, first, count, out);
        break;
    case FM_KIND_INTERVAL:
    case FM_KIND_LIST:
    case FM_KIND_STRUCT:
    case FM_KIND_MAP:
        break;
    }
}

void extremes_find(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                   uint32_t first, uint32_t count, struct extremes *out)
{
    fm_assert((vector->flags & FM_VECTOR_DICT_OUTSIDE) == 0);
    fm_assert(first <= vector->rows && count <= vector->rows - first);
    *out = (struct extremes){0};
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0 || vector->kind == FM_KIND_INTERVAL)
        return;
    if (vector->encoding == FM_ENC_CONSTANT)
        extremes_constant(batch, vector, first, count, out);
    else if (vector->encoding == FM_ENC_DICTIONARY || vector->encoding == FM_ENC_FOR)
        extremes_codes(batch, vector, first, count, out);
    else
        extremes_plain(batch, vector, first, count, out);
}

uint32_t nulls_count(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                     uint32_t first, uint32_t count)
{
    uint32_t nulls = 0;

    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return count;
    if (vector->validity_at == 0)
        return 0;
    for (uint32_t row = first; row < first + count; row++)
        nulls += fm_vector_is_null(batch, vector, row) ? 1 : 0;
    return nulls;
}

/* Canonical text is a length and the bytes. A prefix is a lower bound; with its last byte raised it
 * is an upper one. */
static bool cut_text(struct fm_span canonical, bool is_max, uint8_t out[BOUNDS_BYTES_MAX],
                     uint8_t *out_len)
{
    struct fm_cursor cursor = fm_cursor(canonical);
    uint8_t len = BOUNDS_BYTES_MAX - 1; /* Below 128: one byte of length. */
    uint64_t text_len;

    if (fm_take_uvarint(&cursor, &text_len) != FM_OK || fm_cursor_left(&cursor) < len)
        return false;
    memcpy(out + 1, cursor.at, len);
    while (is_max && len > 0 && out[len] == 0xff)
        len--;
    if (len == 0)
        return false;
    if (is_max)
        out[len]++;
    out[0] = len;
    *out_len = (uint8_t)(len + 1);
    return true;
}

/* False: no bound of that size exists. */
static bool set_bound(struct fm_span canonical, bool is_max, struct bounds *out)
{
    uint8_t *to = is_max ? out->max : out->min;
    uint8_t *len = is_max ? &out->max_len : &out->min_len;

    if (canonical.len <= BOUNDS_BYTES_MAX) {
        memcpy(to, canonical.data, canonical.len);
        *len = (uint8_t)canonical.len;
        return true;
    }
    out->flags |= is_max ? BOUNDS_MAX_CUT : BOUNDS_MIN_CUT;
    return cut_text(canonical, is_max, to, len);
}

enum fm_status bounds_find(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                           const struct fm_type *type, uint32_t first, uint32_t count,
                           struct fm_buf *scratch, struct bounds *out)
{
    struct extremes extremes;
    enum fm_status status;

    *out = (struct bounds){0};
    extremes_find(batch, vector, first, count, &extremes);
    if (!extremes.found)
        return FM_OK;
    fm_buf_clear(scratch);
    status = fm_vector_canonical(batch, vector, type, NULL, extremes.min_row, scratch);
    if (status != FM_OK)
        return status;
    if (!set_bound(fm_buf_span(scratch), false, out)) {
        *out = (struct bounds){0};
        return FM_OK;
    }
    fm_buf_clear(scratch);
    status = fm_vector_canonical(batch, vector, type, NULL, extremes.max_row, scratch);
    if (status == FM_OK && !set_bound(fm_buf_span(scratch), true, out))
        *out = (struct bounds){0};
    return status;
}
