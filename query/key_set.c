#include "query/key_set.h"

#include "core/assert.h"

#include <stdlib.h>

#define PLACES (4u * FM_PREDICATE_VALUES_MAX) /* A power of two. */
_Static_assert((PLACES & (PLACES - 1)) == 0, "places are found by the low bits of a hash");

struct key {
    uint32_t at; /* In `bytes`. */
    uint32_t len;
};

struct fm_key_set {
    const struct fm_type *from;
    const struct fm_type *to;
    bool is_range; /* Too many: only the bounds count. */
    uint32_t count;
    struct key keys[FM_PREDICATE_VALUES_MAX];
    uint32_t places[PLACES]; /* 1 + number of a key, 0: free. */
    struct fm_buf bytes;
    bool has_bounds;
    struct fm_buf min;
    struct fm_buf max;
    struct fm_buf value; /* Being added. */
};

enum fm_status fm_key_set_new(const struct fm_type *from, const struct fm_type *to,
                              struct fm_key_set **out)
{
    struct fm_key_set *keys = calloc(1, sizeof *keys);

    if (keys == NULL)
        return FM_NOMEM;
    keys->from = from;
    keys->to = to;
    *out = keys;
    return FM_OK;
}

void fm_key_set_free(struct fm_key_set *keys)
{
    if (keys == NULL)
        return;
    fm_buf_free(&keys->bytes);
    fm_buf_free(&keys->min);
    fm_buf_free(&keys->max);
    fm_buf_free(&keys->value);
    free(keys);
}

/* ---- Integers of another width --------------------------------------------------------------- */

static bool is_integer(enum fm_kind kind)
{
    return kind >= FM_KIND_INT8 && kind <= FM_KIND_UINT64;
}

static bool is_unsigned(enum fm_kind kind)
{
    return kind >= FM_KIND_UINT8;
}

/* The integer in canonical bytes of the other type; false when that has no such value. */
static bool convert(const struct fm_key_set *keys, struct fm_span value, uint8_t out[8],
                    size_t *len)
{
    uint32_t width = fm_type_width(keys->to);
    uint64_t bits = 0;

    fm_assert(value.len <= sizeof bits && width <= sizeof bits);
    memcpy(&bits, value.data, value.len);
    bool is_negative = !is_unsigned(keys->from->kind) && (value.data[value.len - 1] & 0x80u) != 0;
    if (is_negative && value.len < sizeof bits)
        bits |= UINT64_MAX << (8 * value.len);
    if (is_unsigned(keys->to->kind)) {
        if (is_negative || (width < 8 && bits >> (8 * width) != 0))
            return false;
    } else {
        uint64_t largest = UINT64_MAX >> (8 * (8 - width) + 1);
        if (is_negative ? ~bits > largest : bits > largest)
            return false;
    }
    memcpy(out, &bits, width);
    *len = width;
    return true;
}

/* ---- Adding ---------------------------------------------------------------------------------- */

static uint32_t hash_of(struct fm_span bytes)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < bytes.len; i++)
        hash = (hash ^ bytes.data[i]) * UINT64_C(0x100000001b3);
    return (uint32_t)(hash ^ hash >> 32);
}

static struct fm_span key_at(const struct fm_key_set *keys, uint32_t number)
{
    return fm_span(keys->bytes.data + keys->keys[number].at, keys->keys[number].len);
}

static void insert(struct fm_key_set *keys, struct fm_span value)
{
    uint32_t place = hash_of(value) & (PLACES - 1);

    for (; keys->places[place] != 0; place = (place + 1) & (PLACES - 1)) {
        if (fm_span_equal(key_at(keys, keys->places[place] - 1), value))
            return;
    }
    if (keys->count == FM_PREDICATE_VALUES_MAX ||
        keys->bytes.len + value.len > FM_REDUCE_KEY_BYTES_MAX) {
        keys->is_range = true;
        return;
    }
    keys->keys[keys->count] =
        (struct key){.at = (uint32_t)keys->bytes.len, .len = (uint32_t)value.len};
    keys->places[place] = ++keys->count;
    fm_buf_put_span(&keys->bytes, value);
}

static void replace(struct fm_buf *bound, struct fm_span value)
{
    fm_buf_clear(bound);
    fm_buf_put_span(bound, value);
}

static enum fm_status add(struct fm_key_set *keys, struct fm_span value)
{
    uint8_t converted[8];

    if (is_integer(keys->to->kind) && keys->from->kind != keys->to->kind) {
        size_t len = 0;
        if (!convert(keys, value, converted, &len))
            return FM_OK; /* Equal to nothing there. */
        value = fm_span(converted, len);
    }
    if (!keys->has_bounds || fm_canonical_compare(keys->to, value, fm_buf_span(&keys->min)) < 0)
        replace(&keys->min, value);
    if (!keys->has_bounds || fm_canonical_compare(keys->to, value, fm_buf_span(&keys->max)) > 0)
        replace(&keys->max, value);
    keys->has_bounds = true;
    if (!keys->is_range)
        insert(keys, value);
    if (fm_buf_status(&keys->bytes) != FM_OK)
        return fm_buf_status(&keys->bytes);
    return fm_buf_status(&keys->min) != FM_OK ? fm_buf_status(&keys->min)
                                              : fm_buf_status(&keys->max);
}

enum fm_status fm_key_set_add(struct fm_key_set *keys, const struct fm_batch *batch,
                              const struct fm_vector_entry *vector,
                              const struct fm_dictionary *dictionary)
{
    enum fm_status status = FM_OK;

    for (uint32_t row = 0; row < batch->rows && status == FM_OK; row++) {
        if (fm_vector_is_null(batch, vector, row))
            continue;
        fm_buf_clear(&keys->value);
        status = fm_vector_canonical(batch, vector, keys->from, dictionary, row, &keys->value);
        if (status == FM_OK)
            status = add(keys, fm_buf_span(&keys->value));
    }
    return status;
}

uint32_t fm_key_set_count(const struct fm_key_set *keys)
{
    return keys->count;
}

/* ---- Terms ----------------------------------------------------------------------------------- */

static enum fm_status add_term(struct fm_predicate_list *list, uint32_t field_id,
                               enum fm_operator op, uint32_t value_count, struct fm_predicate **out)
{
    struct fm_predicate *terms;
    struct fm_buf *values = NULL;

    if (list->count == FM_PREDICATES_MAX)
        return FM_LIMIT;
    terms = realloc(list->terms, (list->count + 1u) * sizeof *terms);
    if (terms == NULL)
        return FM_NOMEM;
    list->terms = terms;
    if (value_count > 0) {
        values = calloc(value_count, sizeof *values);
        if (values == NULL)
            return FM_NOMEM;
    }
    *out = &terms[list->count++];
    **out = (struct fm_predicate){
        .field_id = field_id, .op = op, .value_count = value_count, .values = values};
    return FM_OK;
}

static enum fm_status add_bound(struct fm_predicate_list *list, uint32_t field_id,
                                enum fm_operator op, const struct fm_buf *value)
{
    struct fm_predicate *term = NULL;
    enum fm_status status = add_term(list, field_id, op, 1, &term);

    if (status != FM_OK)
        return status;
    fm_buf_put_span(&term->values[0], fm_buf_span(value));
    return fm_buf_status(&term->values[0]);
}

static enum fm_status add_in(const struct fm_key_set *keys, uint32_t field_id,
                             struct fm_predicate_list *list)
{
    struct fm_predicate *term = NULL;
    enum fm_status status = add_term(list, field_id, FM_OP_IN, keys->count, &term);

    for (uint32_t i = 0; i < keys->count && status == FM_OK; i++) {
        fm_buf_put_span(&term->values[i], key_at(keys, i));
        status = fm_buf_status(&term->values[i]);
    }
    return status;
}

/* Nothing is NULL and not NULL. */
static enum fm_status add_nothing(uint32_t field_id, struct fm_predicate_list *list)
{
    struct fm_predicate *term = NULL;
    enum fm_status status = add_term(list, field_id, FM_OP_IS_NULL, 0, &term);

    return status == FM_OK ? add_term(list, field_id, FM_OP_IS_NOT_NULL, 0, &term) : status;
}

static void take_back(struct fm_predicate_list *list, uint32_t count)
{
    while (list->count > count) {
        struct fm_predicate *term = &list->terms[--list->count];
        for (uint32_t i = 0; i < term->value_count; i++)
            fm_buf_free(&term->values[i]);
        free(term->values);
    }
}

enum fm_status fm_key_set_terms(const struct fm_key_set *keys, uint32_t field_id,
                                struct fm_predicate_list *list)
{
    uint32_t before = list->count;
    enum fm_status status;

    if (!keys->has_bounds) {
        status = add_nothing(field_id, list);
    } else if (keys->is_range) {
        status = add_bound(list, field_id, FM_OP_GE, &keys->min);
        if (status == FM_OK)
            status = add_bound(list, field_id, FM_OP_LE, &keys->max);
    } else {
        status = add_in(keys, field_id, list);
    }
    if (status != FM_OK)
        take_back(list, before);
    return status;
}
