/* Predicates: every operator over every kind and encoding against a slow judge, the document, zone
 * maps. */
#include "core/predicate.h"

#include "core/bits.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/random_value.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FIELD_ID 7u
#define ROWS_MAX 600u

/* ---- Fixture: a table of one field ---- */

struct fixture {
    struct random random;
    struct fm_schema schema;
    struct fm_field field;
    const struct fm_type *types;
    uint32_t rows;
    struct fm_buf values[ROWS_MAX];
    bool null[ROWS_MAX];
    struct fm_buf bytes;
    struct fm_batch batch;
    struct fm_predicate_list list;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->random.state = 4711;
    f->schema.field_count = 1;
    f->schema.fields = &f->field;
    f->field.id = FIELD_ID;
    f->types = &f->field.type;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_type_deinit(&f->field.type);
    for (uint32_t i = 0; i < ROWS_MAX; i++)
        fm_buf_free(&f->values[i]);
    fm_buf_free(&f->bytes);
    fm_predicate_list_deinit(&f->list);
    free(f);
    return 0;
}

static void set_type(struct fixture *f, const char *text)
{
    fm_type_deinit(&f->field.type);
    assert_int_equal(fm_type_parse(fm_span_str(text), &f->field.type, NULL), FM_OK);
}

static void set_rows(struct fixture *f, enum random_shape shape, bool encode, uint32_t null_every,
                     const struct fm_dictionary *const *dictionaries)
{
    struct fm_batch_builder *builder = NULL;
    const struct fm_batch_builder_options options = {
        .types = &f->types, .column_count = 1, .encode = encode, .dictionaries = dictionaries};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t i = 0; i < f->rows; i++) {
        f->null[i] = null_every != 0 && random_below(&f->random, null_every) == 0;
        fm_buf_clear(&f->values[i]);
        random_value(&f->random, &f->field.type, shape, &f->values[i]);
        struct fm_cursor cursor = fm_cursor(fm_buf_span(&f->values[i]));
        if (f->null[i])
            assert_int_equal(fm_batch_put_null(builder, 0), FM_OK);
        else
            assert_int_equal(fm_batch_put_canonical(builder, 0, &cursor), FM_OK);
    }
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &f->bytes), FM_OK);
    fm_batch_builder_free(builder);
    assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), &f->types, 1, dictionaries, &f->batch),
                     FM_OK);
}

static void add_term(struct fixture *f, enum fm_operator op, uint32_t value_count)
{
    struct fm_predicate *terms =
        realloc(f->list.terms, (f->list.count + 1) * sizeof *f->list.terms);
    assert_non_null(terms);
    f->list.terms = terms;
    terms[f->list.count++] = (struct fm_predicate){
        .field_id = FIELD_ID,
        .op = op,
        .value_count = value_count,
        .values = value_count == 0 ? NULL : calloc(value_count, sizeof(struct fm_buf)),
    };
}

static struct fm_buf *last_value(struct fixture *f, uint32_t i)
{
    return &f->list.terms[f->list.count - 1].values[i];
}

/* ---- The judge ---- */

static bool text_has_prefix(struct fm_span value, struct fm_span prefix)
{
    /* Canonical texts of these tests are shorter than 128 bytes: one byte of length. */
    return value.len >= prefix.len && memcmp(value.data + 1, prefix.data + 1, prefix.len - 1) == 0;
}

static bool judge_value(const struct fm_type *type, const struct fm_predicate *term,
                        struct fm_span value)
{
    struct fm_span first = term->value_count > 0 ? fm_buf_span(&term->values[0]) : fm_span("", 0);
    int order = term->value_count > 0 ? fm_canonical_compare(type, value, first) : 0;
    switch (term->op) {
    case FM_OP_EQ:
        return order == 0;
    case FM_OP_NE:
        return order != 0;
    case FM_OP_LT:
        return order < 0;
    case FM_OP_LE:
        return order <= 0;
    case FM_OP_GT:
        return order > 0;
    case FM_OP_GE:
        return order >= 0;
    case FM_OP_PREFIX:
        return text_has_prefix(value, first);
    case FM_OP_IN:
        for (uint32_t i = 0; i < term->value_count; i++)
            if (fm_canonical_compare(type, value, fm_buf_span(&term->values[i])) == 0)
                return true;
        return false;
    default:
        return true;
    }
}

static bool judge(const struct fixture *f, uint32_t row)
{
    for (uint32_t i = 0; i < f->list.count; i++) {
        const struct fm_predicate *term = &f->list.terms[i];
        if (f->null[row] ? term->op != FM_OP_IS_NULL
                         : term->op == FM_OP_IS_NULL ||
                               !judge_value(&f->field.type, term, fm_buf_span(&f->values[row])))
            return false;
    }
    return true;
}

static void assert_selects(struct fixture *f, const struct fm_dictionary *const *dictionaries)
{
    static const uint32_t id = FIELD_ID;
    uint64_t selection[ROWS_MAX / 64 + 2], before[ROWS_MAX / 64 + 2];
    uint32_t first = random_below(&f->random, f->rows);
    uint32_t count = random_below(&f->random, f->rows - first + 1);
    for (size_t i = 0; i < sizeof selection / sizeof selection[0]; i++)
        before[i] = selection[i] =
            random_below(&f->random, 2) != 0 ? UINT64_MAX : random_next(&f->random);
    assert_int_equal(fm_predicate_select(&f->list, &f->schema, &f->batch, &id, dictionaries, first,
                                         count, false, selection),
                     FM_OK);
    for (uint32_t i = 0; i < sizeof selection * 8; i++) {
        bool want = fm_bits_get(before, i) && (i >= count || judge(f, first + i));
        if (fm_bits_get(selection, i) != want)
            fail_msg("%s, operator %d, encoding %d, row %u: %d", fm_kind_text(f->field.type.kind),
                     (int)f->list.terms[0].op, f->batch.vectors[0].encoding, first + i, !want);
    }
}

static void draw_term(struct fixture *f, enum fm_operator op, enum random_shape shape)
{
    static const uint32_t in_counts[] = {1, 3, 8, 9, 40};
    uint32_t count = op == FM_OP_IN ? in_counts[random_below(&f->random, 5)] : 1;
    if (op == FM_OP_IS_NULL || op == FM_OP_IS_NOT_NULL)
        count = 0;
    add_term(f, op, count);
    for (uint32_t i = 0; i < count; i++) {
        struct fm_buf *value = last_value(f, i);
        if (random_below(&f->random, 2) != 0)
            fm_buf_put_span(value, fm_buf_span(&f->values[random_below(&f->random, f->rows)]));
        else
            random_value(&f->random, &f->field.type, shape, value);
        if (op == FM_OP_PREFIX && value->len > 1 && random_below(&f->random, 2) != 0) {
            value->len = 1 + random_below(&f->random, (uint32_t)value->len);
            value->data[0] = (uint8_t)(value->len - 1);
        }
    }
}

static void run_type(struct fixture *f, const char *type)
{
    set_type(f, type);
    bool is_text = f->field.type.kind == FM_KIND_VARCHAR || f->field.type.kind == FM_KIND_JSON;
    for (int shape = 0; shape < SHAPES; shape++)
        for (int round = 0; round < 4; round++) {
            f->rows = 1 + random_below(&f->random, ROWS_MAX);
            set_rows(f, (enum random_shape)shape, round % 2 == 0, round < 2 ? 0 : 3, NULL);
            for (int op = FM_OP_EQ; op <= FM_OP_PREFIX; op++) {
                if (op == FM_OP_PREFIX && !is_text)
                    continue;
                draw_term(f, (enum fm_operator)op, (enum random_shape)shape);
                assert_selects(f, NULL);
                draw_term(f, FM_OP_NE, (enum random_shape)shape);
                assert_selects(f, NULL);
                fm_predicate_list_deinit(&f->list);
            }
        }
}

static void rows_are_those_that_the_judge_takes(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < RANDOM_TYPES; i++) {
        struct fm_type type;
        assert_int_equal(fm_type_parse(fm_span_str(random_types[i]), &type, NULL), FM_OK);
        bool nested = fm_type_is_nested(&type);
        fm_type_deinit(&type);
        if (!nested)
            run_type(f, random_types[i]);
    }
}

static void outside_dictionaries_are_used(void **state)
{
    static const uint32_t sorted_offsets[] = {0, 0, 1, 3, 6};
    static const struct fm_dictionary sorted = {4, sorted_offsets, (const uint8_t *)"abbccc"};
    const struct fm_dictionary *list = &sorted;
    struct fixture *f = *state;
    set_type(f, "enum('a','ccc','','bb')"); /* Declared in another order than texts have. */
    for (int op = FM_OP_EQ; op <= FM_OP_IS_NOT_NULL; op++)
        for (int round = 0; round < 10; round++) {
            f->rows = 300;
            set_rows(f, SHAPE_FEW, true, 5, &list);
            assert_int_equal(f->batch.vectors[0].flags, FM_VECTOR_DICT_OUTSIDE);
            draw_term(f, (enum fm_operator)op, SHAPE_FEW);
            assert_selects(f, &list);
            fm_predicate_list_deinit(&f->list);
        }
    uint64_t selection[5] = {0};
    uint32_t id = FIELD_ID;
    add_term(f, FM_OP_IS_NULL, 0);
    assert_int_equal(
        fm_predicate_select(&f->list, &f->schema, &f->batch, &id, NULL, 0, 300, false, selection),
        FM_INVALID);
}

/* ---- What SQL says about some values ---- */

static int compare_hex(const char *type_text, const char *a, const char *b)
{
    struct fm_type type;
    uint8_t x[32], y[32];
    assert_int_equal(fm_type_parse(fm_span_str(type_text), &type, NULL), FM_OK);
    assert_int_equal(fm_unhex(a, x, strlen(a) / 2), FM_OK);
    assert_int_equal(fm_unhex(b, y, strlen(b) / 2), FM_OK);
    struct fm_span left = fm_span(x, strlen(a) / 2), right = fm_span(y, strlen(b) / 2);
    int order = fm_canonical_compare(&type, left, right);
    int back = fm_canonical_compare(&type, right, left);
    assert_true((order < 0) == (back > 0) && (order == 0) == (back == 0));
    fm_type_deinit(&type);
    return order;
}

static void order_is_that_of_sql(void **state)
{
    (void)state;
    assert_true(compare_hex("double", "0000000000000080", "0000000000000000") == 0); /* -0, 0 */
    assert_true(compare_hex("double", "000000000000f87f", "000000000000f07f") > 0);  /* NaN, inf */
    assert_true(compare_hex("double", "000000000000f87f", "000000000000f87f") == 0);
    assert_true(compare_hex("double", "000000000000f0bf", "00000000000000c0") > 0); /* -1, -2 */
    assert_true(compare_hex("float", "0000c07f", "0000807f") > 0);
    assert_true(compare_hex("float", "000080bf", "0000803f") < 0);
    assert_true(compare_hex("int8", "ff", "01") < 0);
    assert_true(compare_hex("uint8", "ff", "01") > 0);
    assert_true(compare_hex("varchar", "0162", "026161") > 0); /* b, aa */
    assert_true(compare_hex("varchar", "0161", "026161") < 0);
    assert_true(compare_hex("varchar", "00", "0161") < 0);
    assert_true(compare_hex("enum('b','a')", "0162", "0161") < 0); /* As declared. */
    assert_true(compare_hex("uuid", "00000000000000000000000000000001",
                            "01000000000000000000000000000000") < 0);
    assert_true(compare_hex("uuid", "ff000000000000000000000000000000",
                            "01000000000000000000000000000000") > 0);
    /* A month is 30 days. */
    assert_true(compare_hex("interval", "01000000000000000000000000000000",
                            "000000001e0000000000000000000000") == 0);
    assert_true(compare_hex("interval", "01000000000000000000000000000000",
                            "000000001f0000000000000000000000") < 0);
    assert_true(compare_hex("hugeint", "ffffffffffffffffffffffffffffffff",
                            "00000000000000000000000000000000") < 0);
    assert_true(compare_hex("boolean", "00", "01") < 0);
}

static void absent_fields_are_skipped_or_refused(void **state)
{
    struct fixture *f = *state;
    uint32_t other = FIELD_ID + 1;
    uint64_t selection[1] = {UINT64_MAX};
    set_type(f, "int8");
    f->rows = 10;
    set_rows(f, SHAPE_ANY, true, 0, NULL);
    add_term(f, FM_OP_IS_NULL, 0);
    assert_int_equal(
        fm_predicate_select(&f->list, &f->schema, &f->batch, &other, NULL, 0, 10, true, selection),
        FM_OK);
    assert_true(selection[0] == UINT64_MAX);
    assert_int_equal(
        fm_predicate_select(&f->list, &f->schema, &f->batch, &other, NULL, 0, 10, false, selection),
        FM_INVALID);
    uint32_t id = FIELD_ID;
    f->field.type.kind = FM_KIND_UINT8; /* The batch holds another type. */
    assert_int_equal(
        fm_predicate_select(&f->list, &f->schema, &f->batch, &id, NULL, 0, 10, true, selection),
        FM_INVALID);
}

/* ---- Zone maps ---- */

/* What the bounds exclude is not there; and what is there shows in the exact cases. */
static void zone_maps_never_lose_rows(void **state)
{
    static const char *const types[] = {"int32",
                                        "uint64",
                                        "varchar",
                                        "double",
                                        "boolean",
                                        "decimal(9,2)",
                                        "enum('a','bb','','ccc')",
                                        "interval"};
    struct fixture *f = *state;
    unsigned excluded = 0;
    for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
        set_type(f, types[t]);
        const struct fm_type *type = &f->field.type;
        for (int round = 0; round < 400; round++) {
            enum random_shape shape = (enum random_shape)random_below(&f->random, SHAPES);
            f->rows = 1 + random_below(&f->random, 4);
            set_rows(f, shape, true, 3, NULL);
            struct fm_span min = {0}, max = {0};
            uint32_t nulls = 0;
            for (uint32_t i = 0; i < f->rows; i++) {
                struct fm_span value = fm_buf_span(&f->values[i]);
                nulls += f->null[i];
                if (f->null[i])
                    continue;
                if (min.len == 0 || fm_canonical_compare(type, value, min) < 0)
                    min = value;
                if (max.len == 0 || fm_canonical_compare(type, value, max) > 0)
                    max = value;
            }
            uint32_t ops = type->kind == FM_KIND_VARCHAR ? 10 : 9;
            draw_term(f, (enum fm_operator)(1 + random_below(&f->random, ops)), shape);
            bool any = false;
            for (uint32_t i = 0; i < f->rows; i++)
                any = any || judge(f, i);
            const struct fm_predicate *term = &f->list.terms[0];
            bool may = fm_predicate_may_match(term, type, min, max, f->rows, nulls);
            if (any && !may)
                fail_msg("%s, operator %d: rows are lost", types[t], (int)term->op);
            excluded += !may;
            /* Unknown bounds exclude nothing but what nulls say. */
            if (any)
                assert_true(fm_predicate_may_match(term, type, fm_span(NULL, 0), fm_span(NULL, 0),
                                                   f->rows, nulls));
            fm_predicate_list_deinit(&f->list);
        }
    }
    assert_true(excluded > 300);
}

/* ---- Document ---- */

static void make_document(struct fixture *f, struct fm_buf *out)
{
    set_type(f, "varchar");
    add_term(f, FM_OP_IN, 2);
    fm_buf_put(last_value(f, 0), "\1a", 2);
    fm_buf_put(last_value(f, 1), "\0", 1);
    add_term(f, FM_OP_PREFIX, 1);
    fm_buf_put(last_value(f, 0), "\2ab", 3);
    add_term(f, FM_OP_IS_NOT_NULL, 0);
    fm_predicate_list_encode(out, &f->list);
    assert_int_equal(fm_buf_status(out), FM_OK);
}

static enum fm_status decode(struct fixture *f, struct fm_span bytes)
{
    struct fm_predicate_list list = {0};
    struct fm_error err = {0};
    enum fm_status status = fm_predicate_list_decode(bytes, &f->schema, &list, &err);
    assert_true(status == FM_OK || err.text[0] != '\0');
    fm_predicate_list_deinit(&list);
    return status;
}

static void documents_read_back(void **state)
{
    static const uint8_t want[] = "\x81\x00\x93"
                                  "\x83\x00\x07\x01\x07\x02\x92\xc4\x02\x01"
                                  "a\xc4\x01\x00"
                                  "\x83\x00\x07\x01\x0a\x02\x91\xc4\x03\x02"
                                  "ab"
                                  "\x83\x00\x07\x01\x09\x02\x90";
    struct fixture *f = *state;
    struct fm_buf bytes = {0}, again = {0};
    struct fm_predicate_list list = {0}, copy = {0};
    make_document(f, &bytes);
    assert_true(fm_span_equal(fm_buf_span(&bytes), fm_span(want, sizeof want - 1)));
    assert_int_equal(fm_predicate_list_decode(fm_buf_span(&bytes), &f->schema, &list, NULL), FM_OK);
    assert_int_equal(fm_predicate_list_copy(&list, &copy), FM_OK);
    fm_predicate_list_encode(&again, &copy);
    assert_true(fm_span_equal(fm_buf_span(&bytes), fm_buf_span(&again)));
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(decode(f, fm_span(bytes.data, len)), FM_MALFORMED);
    fm_predicate_list_deinit(&list);
    fm_predicate_list_deinit(&copy);
    fm_buf_clear(&bytes);
    fm_predicate_list_encode(&bytes, &list); /* None. */
    assert_int_equal(decode(f, fm_buf_span(&bytes)), FM_OK);
    fm_buf_free(&bytes);
    fm_buf_free(&again);
}

static void bad_documents_are_refused(void **state)
{
    static const struct {
        const char *type;
        const char *hex;
        enum fm_status want;
    } rows[] = {
        {"int8", "81009183000701010291c40105", FM_OK},
        {"int8", "81009183000801010291c40105", FM_INVALID},   /* No such field. */
        {"int8", "81009183000701000291c40105", FM_MALFORMED}, /* No such operator. */
        {"int8", "830007010b0291c40105", FM_MALFORMED},
        {"int8", "810091830007010b0291c40105", FM_MALFORMED},
        {"int8", "81009183000701010290", FM_MALFORMED}, /* Values that lack, */
        {"int8", "81009183000701010292c40105c40106", FM_MALFORMED},
        {"int8", "81009183000701070290", FM_MALFORMED},
        {"int8", "81009183000701080291c40105", FM_MALFORMED},    /* or are too many, */
        {"int8", "81009183000701010291c4020500", FM_MALFORMED},  /* too long, */
        {"int8", "81009183000701010291c400", FM_MALFORMED},      /* too short, */
        {"int8", "8100918300070101029105", FM_MALFORMED},        /* no bytes, */
        {"boolean", "81009183000701010291c40102", FM_MALFORMED}, /* none of the type. */
        {"int8", "810091830007010a0291c40105", FM_MALFORMED},    /* LIKE on numbers. */
        {"blob", "810091830007010a0291c4020161", FM_MALFORMED},
        {"json", "810091830007010a0291c4020161", FM_OK},
        {"list(int8)", "81009183000701010291c40100", FM_MALFORMED},
        {"list(int8)", "81009183000701080290", FM_OK},
        {"int8", "8100918200070101", FM_MALFORMED},
        {"int8", "80", FM_MALFORMED},
        {"int8", "81009184000701010291c401050300", FM_MALFORMED}, /* A critical key. */
        {"int8", "82009001c0", FM_MALFORMED},
        {"int8", "9100", FM_MALFORMED},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t bytes[64];
        size_t len = strlen(rows[i].hex) / 2;
        assert_int_equal(fm_unhex(rows[i].hex, bytes, len), FM_OK);
        set_type(f, rows[i].type);
        if (decode(f, fm_span(bytes, len)) != rows[i].want)
            fail_msg("%s", rows[i].hex);
    }
}

static void counts_are_bounded(void **state)
{
    struct fixture *f = *state;
    set_type(f, "int8");
    for (uint32_t extra = 0; extra < 2; extra++) {
        struct fm_buf bytes = {0};
        for (uint32_t i = 0; i < FM_PREDICATES_MAX + extra; i++)
            add_term(f, FM_OP_IS_NULL, 0);
        fm_predicate_list_encode(&bytes, &f->list);
        assert_int_equal(decode(f, fm_buf_span(&bytes)), extra == 0 ? FM_OK : FM_MALFORMED);
        fm_predicate_list_deinit(&f->list);
        fm_buf_clear(&bytes);
        add_term(f, FM_OP_IN, FM_PREDICATE_VALUES_MAX + extra);
        for (uint32_t i = 0; i < FM_PREDICATE_VALUES_MAX + extra; i++)
            fm_buf_put_u8(last_value(f, i), 1);
        fm_predicate_list_encode(&bytes, &f->list);
        assert_int_equal(decode(f, fm_buf_span(&bytes)), extra == 0 ? FM_OK : FM_MALFORMED);
        fm_predicate_list_deinit(&f->list);
        fm_buf_free(&bytes);
    }
}

static void each_failed_allocation_is_a_status(void **state)
{
    struct fixture *f = *state;
    struct fm_buf bytes = {0};
    uint32_t id = FIELD_ID;
    uint64_t selection[1];
    if (!fail_alloc_available())
        skip();
    make_document(f, &bytes);
    f->rows = 60;
    set_rows(f, SHAPE_FEW, true, 4, NULL);
    for (size_t n = 0, hit = 1; hit != 0; n++) {
        struct fm_predicate_list list = {0}, copy = {0};
        long before = fail_alloc_live();
        fail_alloc_after(n);
        enum fm_status status =
            fm_predicate_list_decode(fm_buf_span(&bytes), &f->schema, &list, NULL);
        if (status == FM_OK)
            status = fm_predicate_list_copy(&list, &copy);
        if (status == FM_OK)
            status = fm_predicate_select(&copy, &f->schema, &f->batch, &id, NULL, 0, 60, false,
                                         selection);
        hit = fail_alloc_stop();
        assert_int_equal(status, hit != 0 ? FM_NOMEM : FM_OK);
        fm_predicate_list_deinit(&list);
        fm_predicate_list_deinit(&copy);
        assert_int_equal(fail_alloc_live(), before);
    }
    fm_buf_free(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_those_that_the_judge_takes), TEST(outside_dictionaries_are_used),
        cmocka_unit_test(order_is_that_of_sql),    TEST(absent_fields_are_skipped_or_refused),
        TEST(zone_maps_never_lose_rows),           TEST(documents_read_back),
        TEST(bad_documents_are_refused),           TEST(counts_are_bounded),
        TEST(each_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
