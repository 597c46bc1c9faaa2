/* Lists of terms: copies, the msgpack form, and what zone maps can say. Evaluation over batches is
 * in predicate_select.c.
 *
 * Document: { 0: [ { 0: field id, 1: operator, 2: [canonical value (bin), ...] }, ... ] } */
#include "core/predicate.h"

#include "core/assert.h"
#include "core/canonical.h"
#include "core/codec.h"
#include "core/reader.h"

void fm_predicate_list_deinit(struct fm_predicate_list *list)
{
    for (uint32_t i = 0; list->terms != NULL && i < list->count; i++) {
        struct fm_predicate *term = &list->terms[i];
        for (uint32_t j = 0; term->values != NULL && j < term->value_count; j++)
            fm_buf_free(&term->values[j]);
        free(term->values);
    }
    free(list->terms);
    *list = (struct fm_predicate_list){0};
}

static enum fm_status reserve_terms(struct fm_predicate_list *list, uint32_t count)
{
    if (count == 0)
        return FM_OK;
    list->terms = calloc(count, sizeof *list->terms);
    if (list->terms == NULL)
        return FM_NOMEM;
    list->count = count;
    return FM_OK;
}

static enum fm_status reserve_values(struct fm_predicate *term, uint32_t count)
{
    if (count == 0)
        return FM_OK;
    term->values = calloc(count, sizeof *term->values);
    if (term->values == NULL)
        return FM_NOMEM;
    term->value_count = count;
    return FM_OK;
}

static enum fm_status copy_term(const struct fm_predicate *from, struct fm_predicate *to)
{
    to->field_id = from->field_id;
    to->op = from->op;
    enum fm_status status = reserve_values(to, from->value_count);
    for (uint32_t i = 0; status == FM_OK && i < from->value_count; i++) {
        fm_buf_put_span(&to->values[i], fm_buf_span(&from->values[i]));
        status = fm_buf_status(&to->values[i]);
    }
    return status;
}

enum fm_status fm_predicate_list_copy(const struct fm_predicate_list *list,
                                      struct fm_predicate_list *out)
{
    FM_AUTO(fm_predicate_list_deinit) struct fm_predicate_list copy = {0};
    enum fm_status status = reserve_terms(&copy, list->count);
    for (uint32_t i = 0; status == FM_OK && i < list->count; i++)
        status = copy_term(&list->terms[i], &copy.terms[i]);
    if (status != FM_OK)
        return status;
    *out = copy;
    copy = (struct fm_predicate_list){0};
    return FM_OK;
}

/* ---- Document ------------------------------------------------------------------------------ */

void fm_predicate_list_encode(struct fm_buf *out, const struct fm_predicate_list *list)
{
    fm_pack_map(out, 1);
    fm_pack_uint(out, 0);
    fm_pack_array(out, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct fm_predicate *term = &list->terms[i];
        fm_pack_map(out, 3);
        fm_pack_key_uint(out, 0, term->field_id);
        fm_pack_key_uint(out, 1, (uint64_t)term->op);
        fm_pack_uint(out, 2);
        fm_pack_array(out, term->value_count);
        for (uint32_t j = 0; j < term->value_count; j++)
            fm_pack_bin_span(out, fm_buf_span(&term->values[j]));
    }
}

static const struct fm_field *find_field(const struct fm_schema *schema, uint32_t id)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].id == id)
            return &schema->fields[i];
    return NULL;
}

static bool count_fits(enum fm_operator op, uint32_t count)
{
    if (op == FM_OP_IS_NULL || op == FM_OP_IS_NOT_NULL)
        return count == 0;
    return op == FM_OP_IN ? count >= 1 : count == 1;
}

/* The operator suits the type. */
static bool operator_fits(enum fm_operator op, const struct fm_type *type)
{
    if (op == FM_OP_IS_NULL || op == FM_OP_IS_NOT_NULL)
        return true;
    if (op == FM_OP_PREFIX)
        return type->kind == FM_KIND_VARCHAR || type->kind == FM_KIND_JSON;
    return !fm_type_is_nested(type);
}

static enum fm_status decode_value(const struct fm_value *value, const struct fm_type *type,
                                   struct fm_buf *out)
{
    struct fm_span bytes, taken;
    enum fm_status status = fm_value_bin(value, FM_DOC_BYTES_MAX, &bytes);
    if (status != FM_OK)
        return status;
    struct fm_cursor cursor = fm_cursor(bytes);
    status = fm_canonical_take(type, &cursor, &taken);
    if (status != FM_OK)
        return status;
    if (fm_cursor_left(&cursor) != 0)
        return FM_MALFORMED;
    fm_buf_put_span(out, taken);
    return fm_buf_status(out);
}

static enum fm_status decode_term(const struct fm_value *map, const struct fm_schema *schema,
                                  struct fm_predicate *out, struct fm_error *err)
{
    uint32_t op = 0, count = 0;
    enum fm_status status = fm_map_check(map, FM_KEYS(3));
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 0), UINT32_MAX, &out->field_id);
    if (status == FM_OK)
        status = fm_value_u32(fm_map_get(map, 1), FM_OP_PREFIX, &op);
    if (status == FM_OK)
        status = fm_value_array(fm_map_get(map, 2), FM_PREDICATE_VALUES_MAX, &count);
    if (status != FM_OK)
        return fm_fail(err, status, "decode predicates: a term has not its form");
    out->op = (enum fm_operator)op;
    const struct fm_field *field = find_field(schema, out->field_id);
    if (field == NULL)
        return fm_fail(err, FM_INVALID, "decode predicates: no field with id %u", out->field_id);
    if (op == 0 || !count_fits(out->op, count) || !operator_fits(out->op, &field->type))
        return fm_fail(err, FM_MALFORMED, "decode predicates: operator %u does not fit field %s",
                       op, field->name);
    status = reserve_values(out, count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = decode_value(fm_value_at(fm_map_get(map, 2), i), &field->type, &out->values[i]);
    if (status != FM_OK)
        return fm_fail(err, status, "decode predicates: a value of field %s: %s", field->name,
                       fm_status_text(status));
    return FM_OK;
}

enum fm_status fm_predicate_list_decode(struct fm_span bytes, const struct fm_schema *schema,
                                        struct fm_predicate_list *out, struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_predicate_list_deinit) struct fm_predicate_list list = {0};
    uint32_t count = 0;
    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return fm_fail(err, status, "decode predicates: %s", fm_status_text(status));
    const struct fm_value *root = fm_doc_root(doc), *terms = fm_map_get(root, 0);
    status = fm_map_check(root, FM_KEYS(1));
    if (status == FM_OK)
        status = fm_value_array(terms, FM_PREDICATES_MAX, &count);
    if (status == FM_OK)
        status = reserve_terms(&list, count);
    if (status != FM_OK)
        return fm_fail(err, status, "decode predicates: %s", fm_status_text(status));
    for (uint32_t i = 0; i < count; i++) {
        status = decode_term(fm_value_at(terms, i), schema, &list.terms[i], err);
        if (status != FM_OK)
            return status;
    }
    *out = list;
    list = (struct fm_predicate_list){0};
    return FM_OK;
}

/* ---- Zone maps ----------------------------------------------------------------------------- */

/* Texts with the prefix lie between it and what comes after all of them. `max` is below them all
 * when it is below the prefix; `min` above when it is so even in the prefix's length. */
static bool prefix_may_match(struct fm_span prefix, struct fm_span min, struct fm_span max)
{
    struct fm_cursor at_prefix = fm_cursor(prefix), at_min = fm_cursor(min);
    struct fm_cursor at_max = fm_cursor(max);
    struct fm_span head, low, high;
    if (fm_canonical_take_bytes(&at_prefix, &head) != FM_OK ||
        fm_canonical_take_bytes(&at_min, &low) != FM_OK ||
        fm_canonical_take_bytes(&at_max, &high) != FM_OK)
        return true;
    if (low.len > head.len)
        low.len = head.len;
    return fm_bytes_compare(high, head) >= 0 && fm_bytes_compare(low, head) <= 0;
}

static bool value_may_match(const struct fm_predicate *term, const struct fm_type *type,
                            struct fm_span value, struct fm_span min, struct fm_span max)
{
    switch (term->op) {
    case FM_OP_EQ:
    case FM_OP_IN:
        return fm_canonical_compare(type, value, min) >= 0 &&
               fm_canonical_compare(type, value, max) <= 0;
    case FM_OP_NE:
        return fm_canonical_compare(type, value, min) != 0 ||
               fm_canonical_compare(type, value, max) != 0;
    case FM_OP_LT:
        return fm_canonical_compare(type, min, value) < 0;
    case FM_OP_LE:
        return fm_canonical_compare(type, min, value) <= 0;
    case FM_OP_GT:
        return fm_canonical_compare(type, max, value) > 0;
    case FM_OP_GE:
        return fm_canonical_compare(type, max, value) >= 0;
    case FM_OP_PREFIX:
        return prefix_may_match(value, min, max);
    default:
        return true;
    }
}

bool fm_predicate_may_match(const struct fm_predicate *term, const struct fm_type *type,
                            struct fm_span min, struct fm_span max, uint32_t rows,
                            uint32_t null_count)
{
    if (term->op == FM_OP_IS_NULL)
        return null_count > 0;
    if (null_count >= rows)
        return false;
    if (term->op == FM_OP_IS_NOT_NULL || min.len == 0 || max.len == 0)
        return true;
    /* Bounds of enums may be by text or by declared order; they tell nothing unless they meet. */
    if (type->kind == FM_KIND_ENUM && !fm_span_equal(min, max))
        return true;
    for (uint32_t i = 0; i < term->value_count; i++)
        if (value_may_match(term, type, fm_buf_span(&term->values[i]), min, max))
            return true;
    return false;
}
