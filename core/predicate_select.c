/* Terms over batches. A term is translated once per vector into the space that the vector is stored
 * in (codes of dictionaries and of FOR, integers, keys of floats), mostly as ranges there, and then
 * 64 rows are compared at a time. What has no such form is compared row by row. */
#include "core/canonical.h"
#include "core/kernels.h"
#include "core/predicate.h"

#define RANGES_MAX 8u

struct range {
    fm_i128 low; /* Both ends belong to it. */
    fm_i128 high;
};

struct literal {
    fm_i128 key;
    struct fm_span text;
    uint32_t rank; /* Enums. */
};

enum match_kind { MATCH_NONE, MATCH_ALL, MATCH_RANGES, MATCH_TABLE, MATCH_ROWS };

/* One term, translated for one vector. */
struct matcher {
    const struct fm_predicate *term;
    const struct fm_type *type;
    const struct fm_batch *batch;
    const struct fm_vector_entry *vector;
    const struct fm_dictionary *outside;
    struct literal *literals; /* Owned. Sorted for IN. */
    struct fm_enum_index labels;
    enum match_kind kind;
    bool negate; /* NE: of what EQ would give. */
    uint32_t range_count;
    struct range ranges[RANGES_MAX];
    uint8_t *table; /* Owned. */
};

static void matcher_deinit(struct matcher *m)
{
    free(m->literals);
    free(m->table);
    fm_enum_index_deinit(&m->labels);
}

/* ---- Literals ------------------------------------------------------------------------------ */

static uint32_t rank_of(const struct matcher *m, struct fm_span text)
{
    uint32_t rank;
    if (m->labels.sorted == NULL || fm_enum_index_find(&m->labels, text, &rank) != FM_OK)
        return UINT32_MAX;
    return rank;
}

static int compare_literals(const void *a, const void *b, void *type)
{
    const struct literal *x = a, *y = b;
    if (((const struct fm_type *)type)->kind == FM_KIND_ENUM)
        return (x->rank > y->rank) - (x->rank < y->rank);
    if (fm_type_is_bytes(type))
        return fm_bytes_compare(x->text, y->text);
    return (x->key > y->key) - (x->key < y->key);
}

static enum fm_status load_literals(struct matcher *m)
{
    uint32_t count = m->term->value_count;
    m->literals = calloc(count, sizeof *m->literals);
    if (m->literals == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t fixed[FM_CANONICAL_FIXED_MAX];
        struct literal *literal = &m->literals[i];
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&m->term->values[i]));
        if (fm_canonical_take_scalar(m->type, &cursor, fixed, &literal->text) != FM_OK)
            return FM_INVALID;
        if (fm_type_is_bytes(m->type))
            literal->rank = rank_of(m, literal->text);
        else
            literal->key = fm_fixed_key(m->type, fixed);
    }
    if (m->term->op == FM_OP_IN)
        qsort_r(m->literals, count, sizeof *m->literals, compare_literals, (void *)m->type);
    return FM_OK;
}

/* Does one value, as a literal, satisfy the term? NE counts as EQ: `negate` turns it. */
static bool test_value(const struct matcher *m, const struct literal *value)
{
    const struct literal *given = &m->literals[0];
    if (m->term->op == FM_OP_PREFIX)
        return value->text.len >= given->text.len &&
               fm_span_equal(fm_span(value->text.data, given->text.len), given->text);
    if (m->term->op == FM_OP_IN) {
        uint32_t low = 0, high = m->term->value_count;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (compare_literals(&m->literals[middle], value, (void *)m->type) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        return low < m->term->value_count &&
               compare_literals(&m->literals[low], value, (void *)m->type) == 0;
    }
    int order = compare_literals(value, given, (void *)m->type);
    switch (m->term->op) {
    case FM_OP_LT:
        return order < 0;
    case FM_OP_LE:
        return order <= 0;
    case FM_OP_GT:
        return order > 0;
    case FM_OP_GE:
        return order >= 0;
    default:
        return order == 0;
    }
}

static bool test_row(const struct matcher *m, uint32_t row)
{
    struct literal value = {0};
    if (fm_type_is_bytes(m->type)) {
        value.text = fm_vector_bytes(m->batch, m->vector, m->outside, row);
        value.rank = rank_of(m, value.text);
    } else {
        uint8_t fixed[FM_CANONICAL_FIXED_MAX];
        fm_vector_fixed(m->batch, m->vector, row, fixed);
        value.key = fm_fixed_key(m->type, fixed);
    }
    return test_value(m, &value);
}

/* ---- Ranges of keys ------------------------------------------------------------------------ */

/* Keys of all fixed types that ranges are used for lie strictly within these. */
#define KEY_LOW (-((fm_i128)1 << 100))
#define KEY_HIGH ((fm_i128)1 << 100)

static struct range range_of_op(enum fm_operator op, fm_i128 key)
{
    switch (op) {
    case FM_OP_LT:
        return (struct range){KEY_LOW, key - 1};
    case FM_OP_LE:
        return (struct range){KEY_LOW, key};
    case FM_OP_GT:
        return (struct range){key + 1, KEY_HIGH};
    case FM_OP_GE:
        return (struct range){key, KEY_HIGH};
    default:
        return (struct range){key, key};
    }
}

/* Add what of the range lies in [low, high]; nothing more is needed once all of that is in. */
static void add_range(struct matcher *m, struct range range, fm_i128 low, fm_i128 high)
{
    if (range.low < low)
        range.low = low;
    if (range.high > high)
        range.high = high;
    if (range.low > range.high)
        return;
    fm_assert(m->range_count < RANGES_MAX);
    m->ranges[m->range_count++] = range;
}

/* After all ranges were added. */
static void settle_ranges(struct matcher *m, fm_i128 low, fm_i128 high)
{
    m->kind = m->range_count == 0 ? MATCH_NONE : MATCH_RANGES;
    if (m->range_count == 1 && m->ranges[0].low == low && m->ranges[0].high == high)
        m->kind = MATCH_ALL;
}

/* ---- Integers, floats ---------------------------------------------------------------------- */

static fm_i128 floor_divide(fm_i128 a, fm_i128 b)
{
    return a / b - (a % b < 0 ? 1 : 0);
}

/* A range of values as the range of codes that stand for them. */
static struct range range_of_codes(const struct fm_vector_entry *vector, fm_i128 base,
                                   struct range range)
{
    return (struct range){-floor_divide(base - range.low, vector->step),
                          floor_divide(range.high - base, vector->step)};
}

static enum fm_status code_table_of_in(struct matcher *m, fm_i128 base)
{
    size_t codes = (size_t)1 << (8 * m->vector->code_width);
    m->table = calloc(codes, 1);
    if (m->table == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < m->term->value_count; i++) {
        fm_i128 apart = m->literals[i].key - base;
        if (apart >= 0 && apart % m->vector->step == 0 && apart / m->vector->step < (fm_i128)codes)
            m->table[(size_t)(apart / m->vector->step)] = 1;
    }
    m->kind = MATCH_TABLE;
    return FM_OK;
}

static enum fm_status compile_for(struct matcher *m)
{
    const struct fm_vector_entry *vector = m->vector;
    bool is_unsigned = fm_kind_is_unsigned(m->type->kind);
    fm_i128 base = is_unsigned ? (fm_i128)(uint64_t)vector->base : (fm_i128)vector->base;
    fm_i128 high = ((fm_i128)1 << (8 * vector->code_width)) - 1;
    uint32_t count = m->term->value_count;
    if (count > RANGES_MAX && vector->code_width < 4)
        return code_table_of_in(m, base);
    if (count > RANGES_MAX) {
        m->kind = MATCH_ROWS;
        return FM_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct range range = range_of_op(m->term->op, m->literals[i].key);
        add_range(m, range_of_codes(vector, base, range), 0, high);
    }
    settle_ranges(m, 0, high);
    return FM_OK;
}

/* Plain integers, booleans and the keys of floats: bounds of the width. */
static void compile_plain(struct matcher *m)
{
    uint32_t bits = 8 * fm_type_width(m->type);
    bool is_unsigned = fm_kind_is_unsigned(m->type->kind) || m->type->kind == FM_KIND_BOOLEAN;
    fm_i128 one = 1, low = is_unsigned ? 0 : -(one << (bits - 1));
    fm_i128 high = (one << (is_unsigned ? bits : bits - 1)) - 1;
    if (m->term->value_count > RANGES_MAX) {
        m->kind = MATCH_ROWS;
        return;
    }
    for (uint32_t i = 0; i < m->term->value_count; i++)
        add_range(m, range_of_op(m->term->op, m->literals[i].key), low, high);
    settle_ranges(m, low, high);
}

static bool has_ranges(const struct fm_type *type)
{
    return fm_type_is_integer(type) || type->kind == FM_KIND_BOOLEAN ||
           type->kind == FM_KIND_FLOAT || type->kind == FM_KIND_DOUBLE;
}

/* ---- Dictionaries -------------------------------------------------------------------------- */

/* First code whose text is not below `text` (`after`: not below or equal to it). With `prefix` only
 * so much of the texts is looked at. */
static uint32_t lower_code(const struct fm_dictionary *dictionary, struct fm_span text, bool after,
                           bool prefix)
{
    uint32_t low = 0, high = dictionary->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct fm_span here = fm_dictionary_at(dictionary, middle);
        if (prefix && here.len > text.len)
            here.len = text.len;
        int order = fm_bytes_compare(here, text);
        if (order < 0 || (after && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Codes are in the order of the texts. */
static struct range codes_of_op(const struct fm_dictionary *dictionary, enum fm_operator op,
                                struct fm_span text)
{
    bool prefix = op == FM_OP_PREFIX;
    fm_i128 from = lower_code(dictionary, text, false, prefix);
    fm_i128 behind = lower_code(dictionary, text, true, prefix);
    switch (op) {
    case FM_OP_LT:
        return (struct range){0, from - 1};
    case FM_OP_LE:
        return (struct range){0, behind - 1};
    case FM_OP_GT:
        return (struct range){behind, dictionary->count};
    case FM_OP_GE:
        return (struct range){from, dictionary->count};
    default:
        return (struct range){from, behind - 1};
    }
}

static enum fm_status compile_dictionary(struct matcher *m)
{
    struct fm_dictionary dictionary = fm_vector_dictionary(m->batch, m->vector, m->outside);
    bool by_rank = m->type->kind == FM_KIND_ENUM && m->term->op != FM_OP_EQ &&
                   m->term->op != FM_OP_NE && m->term->op != FM_OP_IN;
    fm_i128 high = (fm_i128)dictionary.count - 1;
    if (!by_rank && m->term->value_count <= RANGES_MAX) {
        for (uint32_t i = 0; i < m->term->value_count; i++)
            add_range(m, codes_of_op(&dictionary, m->term->op, m->literals[i].text), 0, high);
        settle_ranges(m, 0, high);
        return FM_OK;
    }
    m->table = calloc(dictionary.count, 1);
    if (m->table == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < dictionary.count; i++) {
        struct literal value = {.text = fm_dictionary_at(&dictionary, i)};
        value.rank = rank_of(m, value.text);
        m->table[i] = test_value(m, &value);
    }
    m->kind = MATCH_TABLE;
    return FM_OK;
}

/* ---- A term over a vector ------------------------------------------------------------------ */

static enum fm_status compile(struct matcher *m)
{
    m->negate = m->term->op == FM_OP_NE;
    enum fm_status status = fm_enum_index_init(&m->labels, m->type);
    if (status == FM_OK)
        status = load_literals(m);
    if (status != FM_OK)
        return status;
    switch (m->vector->encoding) {
    case FM_ENC_CONSTANT:
        m->kind = m->vector->rows > 0 && test_row(m, 0) ? MATCH_ALL : MATCH_NONE;
        return FM_OK;
    case FM_ENC_DICTIONARY:
        return compile_dictionary(m);
    case FM_ENC_FOR:
        return compile_for(m);
    default:
        m->kind = MATCH_ROWS;
        if (has_ranges(m->type))
            compile_plain(m);
        return FM_OK;
    }
}

static uint64_t match_ranges(const struct matcher *m, const uint8_t *values, uint32_t width,
                             size_t count)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < m->range_count; i++) {
        const struct range *range = &m->ranges[i];
        bits |= fm_match_range(values, width, (uint64_t)range->low,
                               (uint64_t)(range->high - range->low), count);
    }
    return bits;
}

static uint64_t match_floats(const struct matcher *m, uint32_t row, size_t count)
{
    const uint8_t *values = m->batch->bytes + m->vector->data_at;
    uint64_t keys[64];
    for (size_t i = 0; i < count; i++) {
        double wide;
        float narrow;
        if (m->type->kind == FM_KIND_DOUBLE) {
            memcpy(&wide, values + (row + i) * sizeof wide, sizeof wide);
            keys[i] = (uint64_t)fm_double_key(wide);
        } else {
            memcpy(&narrow, values + (row + i) * sizeof narrow, sizeof narrow);
            keys[i] = (uint64_t)(int64_t)fm_float_key(narrow);
        }
    }
    return match_ranges(m, (const uint8_t *)keys, sizeof keys[0], count);
}

static uint64_t match_rows(const struct matcher *m, uint32_t row, uint64_t wanted)
{
    uint64_t bits = 0;
    for (; wanted != 0; wanted &= wanted - 1) {
        unsigned i = (unsigned)__builtin_ctzll(wanted);
        bits |= (uint64_t)test_row(m, row + i) << i;
    }
    return bits;
}

/* Rows [row, row + count), count <= 64; only bits in `wanted` matter, and none of them is null. */
static uint64_t match(const struct matcher *m, uint32_t row, size_t count, uint64_t wanted)
{
    uint32_t code_width = m->vector->code_width;
    const uint8_t *data = m->batch->bytes + m->vector->data_at;
    uint32_t width = code_width != 0 ? code_width : fm_type_width(m->type);
    switch (m->kind) {
    case MATCH_NONE:
        return 0;
    case MATCH_ALL:
        return UINT64_MAX;
    case MATCH_TABLE:
        return fm_match_table(data + (size_t)row * width, width, m->table, count);
    case MATCH_ROWS:
        return match_rows(m, row, wanted);
    case MATCH_RANGES:
        break;
    }
    if (m->type->kind == FM_KIND_FLOAT || m->type->kind == FM_KIND_DOUBLE)
        return match_floats(m, row, count);
    return match_ranges(m, data + (size_t)row * width, width, count);
}

static uint64_t valid_bits(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                           uint32_t row, size_t count)
{
    if ((vector->flags & FM_VECTOR_ALL_NULL) != 0)
        return 0;
    if (vector->validity_at == 0)
        return fm_bits_mask(count);
    return fm_bits_load(batch->bytes + vector->validity_at, row, count);
}

static void apply(const struct matcher *m, uint32_t first, uint32_t count, uint64_t *selection)
{
    for (uint32_t row = 0; row < count; row += 64) {
        size_t here = count - row < 64 ? count - row : 64;
        uint64_t *word = &selection[row / 64];
        uint64_t mask = fm_bits_mask(here);
        uint64_t wanted = *word & mask & valid_bits(m->batch, m->vector, first + row, here);
        uint64_t bits = 0;
        if (wanted != 0) {
            bits = match(m, first + row, here, wanted);
            bits = (m->negate ? ~bits : bits) & wanted;
        }
        *word = (*word & ~mask) | bits;
    }
}

static void apply_nulls(const struct matcher *m, uint32_t first, uint32_t count,
                        uint64_t *selection)
{
    bool want_null = m->term->op == FM_OP_IS_NULL;
    for (uint32_t row = 0; row < count; row += 64) {
        size_t here = count - row < 64 ? count - row : 64;
        uint64_t mask = fm_bits_mask(here);
        uint64_t valid = valid_bits(m->batch, m->vector, first + row, here);
        selection[row / 64] &= ~mask | (want_null ? ~valid : valid);
    }
}

/* ---- All terms ----------------------------------------------------------------------------- */

static const struct fm_type *type_of(const struct fm_schema *schema, uint32_t field_id)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].id == field_id)
            return &schema->fields[i].type;
    return NULL;
}

static uint32_t column_of(const struct fm_batch *batch, const uint32_t *field_ids,
                          uint32_t field_id)
{
    uint32_t column = 0;
    while (column < batch->column_count && field_ids[column] != field_id)
        column++;
    return column;
}

static bool vector_fits(const struct matcher *m)
{
    if (m->vector->kind != (uint8_t)m->type->kind || m->vector->precision != m->type->precision ||
        m->vector->scale != m->type->scale)
        return false;
    if ((m->vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0 && m->outside == NULL)
        return false;
    bool only_nulls = m->term->op == FM_OP_IS_NULL || m->term->op == FM_OP_IS_NOT_NULL;
    return only_nulls || (!fm_type_is_nested(m->type) && m->term->value_count > 0);
}

static enum fm_status select_term(const struct fm_predicate *term, const struct fm_type *type,
                                  const struct fm_batch *batch, uint32_t column,
                                  const struct fm_dictionary *outside, uint32_t first,
                                  uint32_t count, uint64_t *selection)
{
    FM_AUTO(matcher_deinit)
    struct matcher m = {
        .term = term,
        .type = type,
        .batch = batch,
        .vector = &batch->vectors[column],
        .outside = outside,
    };
    if (!vector_fits(&m))
        return FM_INVALID;
    if (term->op == FM_OP_IS_NULL || term->op == FM_OP_IS_NOT_NULL) {
        apply_nulls(&m, first, count, selection);
        return FM_OK;
    }
    enum fm_status status = compile(&m);
    if (status == FM_OK)
        apply(&m, first, count, selection);
    return status;
}

enum fm_status fm_predicate_select(const struct fm_predicate_list *list,
                                   const struct fm_schema *schema, const struct fm_batch *batch,
                                   const uint32_t *field_ids,
                                   const struct fm_dictionary *const *dictionaries, uint32_t first,
                                   uint32_t count, bool skip_absent, uint64_t *selection)
{
    fm_assert(first <= batch->rows && count <= batch->rows - first);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct fm_predicate *term = &list->terms[i];
        const struct fm_type *type = type_of(schema, term->field_id);
        uint32_t column = column_of(batch, field_ids, term->field_id);
        if (column == batch->column_count && skip_absent)
            continue;
        if (column == batch->column_count || type == NULL)
            return FM_INVALID;
        enum fm_status status = select_term(term, type, batch, column,
                                            dictionaries != NULL ? dictionaries[column] : NULL,
                                            first, count, selection);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}
