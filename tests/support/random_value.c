#include "tests/support/random_value.h"

#include "core/assert.h"

#include <stdio.h>

const char *const random_types[RANDOM_TYPES] = {
    "boolean",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "hugeint",
    "float",
    "double",
    "decimal(4,1)",
    "decimal(9,2)",
    "decimal(18,3)",
    "decimal(38,4)",
    "varchar",
    "blob",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "interval",
    "uuid",
    "json",
    "enum('a','bb','','ccc')",
    "list(int32)",
    "list(varchar)",
    "map(varchar, int64)",
    "struct(a int64, b varchar, c list(int8))",
    "map(int32, list(struct(x double, y map(int8, boolean))))",
};

uint64_t random_next(struct random *r)
{
    /* Marsaglia's xorshift64. */
    r->state ^= r->state << 13;
    r->state ^= r->state >> 7;
    r->state ^= r->state << 17;
    return r->state;
}

uint32_t random_below(struct random *r, uint32_t bound)
{
    return (uint32_t)(random_next(r) >> 32) % bound;
}

static uint64_t number(struct random *r, enum random_shape shape)
{
    uint64_t bits = random_next(r);
    switch (shape) {
    case SHAPE_SAME:
        return 5;
    case SHAPE_FEW:
        return bits % 200;
    case SHAPE_STEPS:
        return 1000000 + bits % 60000 * 60;
    case SHAPE_NEGATIVE:
        return (uint64_t) - (int64_t)(bits % 70000);
    case SHAPE_EXTREMES:
        return (bits & 1) != 0 ? INT64_MAX : (uint64_t)INT64_MIN;
    case SHAPE_MINUTES:
        return UINT64_C(1700000000000000) + bits % 100000 * 60000000;
    case SHAPE_UNSIGNED:
        return (bits & 1) != 0 ? UINT64_MAX : 0;
    default:
        return bits;
    }
}

static void put_float(struct fm_buf *out, const struct fm_type *type, uint64_t bits)
{
    double wide = (double)(int64_t)bits;
    float narrow = (float)wide;
    if (type->kind == FM_KIND_DOUBLE && bits % 7 == 0)
        fm_buf_put_u64(out, UINT64_C(0x7ff8000000000000));
    else if (type->kind == FM_KIND_DOUBLE)
        fm_buf_put(out, &wide, sizeof wide);
    else if (bits % 7 == 0)
        fm_buf_put_u32(out, 0x7fc00000);
    else
        fm_buf_put(out, &narrow, sizeof narrow);
}

static void put_decimal(struct fm_buf *out, const struct fm_type *type, uint64_t bits)
{
    int64_t bound = 1, value = (int64_t)bits;
    for (unsigned i = 0; i < type->precision && i < 18; i++)
        bound *= 10;
    value %= bound;
    fm_buf_put_u64(out, (uint64_t)value);
    fm_buf_put_u64(out, value < 0 ? UINT64_MAX : 0);
}

static void put_text(struct fm_buf *out, enum random_shape shape, uint64_t bits)
{
    char text[32];
    uint64_t distinct = shape == SHAPE_ANY ? 100000000 : 300;
    int len = snprintf(text, sizeof text, "v%u", (unsigned)(bits % distinct));
    if (shape == SHAPE_SAME)
        len = 0;
    fm_buf_put_uvarint(out, (uint64_t)len);
    fm_buf_put(out, text, (size_t)len);
}

static void put_optional(struct random *r, const struct fm_type *type, enum random_shape shape,
                         struct fm_buf *out)
{
    bool present = random_below(r, 4) != 0;
    fm_buf_put_u8(out, present);
    if (present)
        random_value(r, type, shape, out);
}

static void put_nested(struct random *r, const struct fm_type *type, enum random_shape shape,
                       struct fm_buf *out)
{
    if (type->kind == FM_KIND_STRUCT) {
        for (uint32_t i = 0; i < type->child_count; i++)
            put_optional(r, &type->children[i], shape, out);
        return;
    }
    /* One entry at most needs no order. */
    uint32_t count = random_below(r, type->kind == FM_KIND_MAP ? 2 : 4);
    fm_buf_put_uvarint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        if (type->kind == FM_KIND_MAP)
            random_value(r, &type->children[0], shape, out);
        put_optional(r, &type->children[type->kind == FM_KIND_MAP], shape, out);
    }
}

void random_value(struct random *r, const struct fm_type *type, enum random_shape shape,
                  struct fm_buf *out)
{
    uint64_t bits[2] = {number(r, shape), number(r, shape)};
    switch (type->kind) {
    case FM_KIND_BOOLEAN:
        fm_buf_put_u8(out, bits[0] & 1);
        break;
    case FM_KIND_FLOAT:
    case FM_KIND_DOUBLE:
        put_float(out, type, bits[0]);
        break;
    case FM_KIND_DECIMAL:
        put_decimal(out, type, bits[0]);
        break;
    case FM_KIND_VARCHAR:
    case FM_KIND_BLOB:
    case FM_KIND_JSON:
        put_text(out, shape, bits[0]);
        break;
    case FM_KIND_ENUM: {
        const char *label = type->labels[bits[0] % type->label_count];
        fm_buf_put_uvarint(out, strlen(label));
        fm_buf_put_str(out, label);
        break;
    }
    case FM_KIND_LIST:
    case FM_KIND_STRUCT:
    case FM_KIND_MAP:
        put_nested(r, type, shape, out);
        break;
    default:
        fm_buf_put(out, bits, fm_type_width(type));
    }
    fm_assert(fm_buf_status(out) == FM_OK);
}
