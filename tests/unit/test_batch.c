/* Batches as they are read: the vectors, each accessor, each class of malformed bytes. Building is
 * in test_batch_build.c. */
#include "core/batch.h"

#include "core/assert.h"
#include "tests/support/random_value.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ROWS 70u /* More than one word of validity. */
#define COLUMNS 7u

/* Columns: FOR, dictionary, constant, all null, plain texts, a list, a map. */
static const char *const column_types[COLUMNS] = {
    "int32", "varchar", "int16", "double", "blob", "list(int8)", "map(varchar, boolean)"};

struct fixture {
    struct fm_type types[COLUMNS];
    const struct fm_type *type_list[COLUMNS];
    struct fm_buf bytes; /* A batch with nulls in columns 0, 1 and 4. */
    struct fm_buf copy;
};

static bool is_null_row(uint32_t row)
{
    return row % 10 == 3;
}

static void put_row(struct fm_batch_builder *builder, uint32_t row)
{
    static const uint8_t list[] = {2, 1, 7, 0}, map[] = {1, 1, 'k', 1, 1};
    int32_t number = 1000 + (int32_t)row * 30;
    int16_t same = 7;
    char text[2] = {(char)('a' + row % 3), (char)('A' + row % 2)};
    struct fm_cursor list_at = fm_cursor(fm_span(list, sizeof list));
    struct fm_cursor map_at = fm_cursor(fm_span(map, sizeof map));
    for (uint32_t column = 0; column < 2; column++) {
        if (is_null_row(row))
            assert_int_equal(fm_batch_put_null(builder, column), FM_OK);
        else if (column == 0)
            assert_int_equal(fm_batch_put_fixed(builder, 0, &number), FM_OK);
        else
            assert_int_equal(fm_batch_put_bytes(builder, 1, fm_span(text, 2)), FM_OK);
    }
    assert_int_equal(fm_batch_put_fixed(builder, 2, &same), FM_OK);
    assert_int_equal(fm_batch_put_null(builder, 3), FM_OK);
    if (is_null_row(row))
        assert_int_equal(fm_batch_put_null(builder, 4), FM_OK);
    else
        assert_int_equal(fm_batch_put_bytes(builder, 4, fm_span(&number, 4)), FM_OK);
    assert_int_equal(fm_batch_put_canonical(builder, 5, &list_at), FM_OK);
    assert_int_equal(fm_batch_put_canonical(builder, 6, &map_at), FM_OK);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        assert_int_equal(fm_type_parse(fm_span_str(column_types[i]), &f->types[i], NULL), FM_OK);
        f->type_list[i] = &f->types[i];
    }
    struct fm_batch_builder *builder = NULL;
    const struct fm_batch_builder_options options = {
        .types = f->type_list, .column_count = COLUMNS, .encode = true};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t row = 0; row < ROWS; row++)
        put_row(builder, row);
    assert_int_equal(fm_batch_builder_finish(builder, 500, &f->bytes), FM_OK);
    fm_batch_builder_free(builder);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    for (uint32_t i = 0; i < COLUMNS; i++)
        fm_type_deinit(&f->types[i]);
    fm_buf_free(&f->bytes);
    fm_buf_free(&f->copy);
    free(f);
    return 0;
}

static struct fm_batch view_of(struct fixture *f)
{
    struct fm_batch batch;
    assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), f->type_list, COLUMNS, NULL, &batch),
                     FM_OK);
    return batch;
}

/* A copy to change, and the entry of vector `i` in it. */
static struct fm_vector_entry *changed_entry(struct fixture *f, uint32_t i)
{
    fm_buf_clear(&f->copy);
    fm_buf_put_span(&f->copy, fm_buf_span(&f->bytes));
    return (struct fm_vector_entry *)(void *)(f->copy.data + FM_BATCH_HEADER_BYTES) + i;
}

static enum fm_status view_copy(struct fixture *f)
{
    struct fm_batch batch;
    return fm_batch_view(fm_buf_span(&f->copy), f->type_list, COLUMNS, NULL, &batch);
}

/* ---- What good bytes say ---- */

static void the_encodings_are_those_wanted(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch = view_of(f);
    assert_int_equal(batch.rows, ROWS);
    assert_int_equal(batch.first_row, 500);
    assert_int_equal(batch.column_count, COLUMNS);
    assert_int_equal(batch.vector_count, COLUMNS + 4); /* List: 1. Map: entries, key, value. */
    assert_int_equal(batch.vectors[0].encoding, FM_ENC_FOR);
    assert_int_equal(batch.vectors[0].code_width, 1);
    assert_int_equal(batch.vectors[0].base, 1000);
    assert_int_equal(batch.vectors[0].step, 30);
    assert_int_equal(batch.vectors[0].null_count, 7);
    assert_int_equal(batch.vectors[1].encoding, FM_ENC_DICTIONARY);
    assert_int_equal(batch.vectors[2].encoding, FM_ENC_CONSTANT);
    assert_int_equal(batch.vectors[3].flags, FM_VECTOR_ALL_NULL);
    assert_int_equal(batch.vectors[4].encoding, FM_ENC_PLAIN);
    assert_int_equal(batch.vectors[5].first_child, 7);
    assert_int_equal(batch.vectors[6].first_child, 8);
    assert_int_equal(batch.vectors[8].first_child, 9);
}

static void accessors_give_the_values(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch = view_of(f);
    for (uint32_t row = 0; row < ROWS; row++) {
        int32_t number;
        int16_t same;
        assert_int_equal(fm_vector_is_null(&batch, &batch.vectors[0], row), is_null_row(row));
        assert_true(fm_vector_is_null(&batch, &batch.vectors[3], row));
        fm_vector_fixed(&batch, &batch.vectors[2], row, &same);
        assert_int_equal(same, 7);
        if (is_null_row(row))
            continue;
        fm_vector_fixed(&batch, &batch.vectors[0], row, &number);
        assert_int_equal(number, 1000 + row * 30);
        struct fm_span text = fm_vector_bytes(&batch, &batch.vectors[1], NULL, row);
        assert_int_equal(text.len, 2);
        assert_int_equal(text.data[0], 'a' + row % 3);
        text = fm_vector_bytes(&batch, &batch.vectors[4], NULL, row);
        assert_true(fm_span_equal(text, fm_span(&number, 4)));
    }
}

static void canonical_values_come_back(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch = view_of(f);
    struct fm_buf out = {0};
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[0], &f->types[0], NULL, 2, &out),
                     FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&out), fm_span("\x24\x04\x00\x00", 4)));
    fm_buf_clear(&out);
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[5], &f->types[5], NULL, 69, &out),
                     FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&out), fm_span("\x02\x01\x07\x00", 4)));
    fm_buf_clear(&out);
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[6], &f->types[6], NULL, 0, &out),
                     FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&out), fm_span("\x01\x01k\x01\x01", 5)));
    fm_buf_free(&out);
}

static void bytes_are_those_of_the_vectors(void **state)
{
    struct fixture *f = *state;
    struct vector_file *file = vector_file_open("batch.txt");
    vector_check(file, "seven-columns", fm_buf_span(&f->bytes));
    vector_file_free(file);
}

static void types_may_be_left_out(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch;
    assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), NULL, 0, NULL, &batch), FM_OK);
    assert_int_equal(fm_batch_view_trusted(fm_buf_span(&f->bytes), &batch), FM_OK);
    assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), f->type_list, COLUMNS - 1, NULL, &batch),
                     FM_MALFORMED);
}

/* ---- Malformed ---- */

static void other_types_are_refused(void **state)
{
    static const char *const others[COLUMNS] = {"uint32",
                                                "json",
                                                "decimal(4,0)",
                                                "float",
                                                "varchar",
                                                "list(uint8)",
                                                "map(varchar, list(boolean))"};
    struct fixture *f = *state;
    struct fm_batch batch;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        struct fm_type other;
        assert_int_equal(fm_type_parse(fm_span_str(others[i]), &other, NULL), FM_OK);
        f->type_list[i] = &other;
        assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), f->type_list, COLUMNS, NULL, &batch),
                         FM_MALFORMED);
        f->type_list[i] = &f->types[i];
        fm_type_deinit(&other);
    }
}

static void every_cut_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch;
    for (size_t len = 0; len < f->bytes.len; len++) {
        /* Also with a header that agrees about the length. */
        (void)changed_entry(f, 0);
        assert_int_equal(fm_batch_view(fm_span(f->copy.data, len), NULL, 0, NULL, &batch),
                         FM_MALFORMED);
        fm_store32(f->copy.data + 4, (uint32_t)len);
        assert_int_equal(fm_batch_view(fm_span(f->copy.data, len), NULL, 0, NULL, &batch),
                         FM_MALFORMED);
    }
}

static void bytes_must_be_aligned(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch;
    uint8_t *bytes = malloc(f->bytes.len + 8);
    assert_non_null(bytes);
    for (size_t shift = 1; shift < 8; shift++) {
        memcpy(bytes + shift, f->bytes.data, f->bytes.len);
        assert_int_equal(fm_batch_view(fm_span(bytes + shift, f->bytes.len), NULL, 0, NULL, &batch),
                         FM_INVALID);
    }
    free(bytes);
}

static void headers_are_checked(void **state)
{
    static const struct {
        size_t at;
        uint32_t value;
    } changes[] = {
        {0, 0x32424d46}, /* Another version. */
        {4, 64},         /* Another length. */
        {8, ROWS + 1},   /* Other rows than the columns have. */
        {8, UINT32_MAX},
        {12, 11u << 16}, /* No columns. */
        {12, 12u << 16 | 12},
        {12, 10u << 16 | 7}, /* A vector too few, one too many. */
        {12, 12u << 16 | 7},
        {12, 0xffff0007},
        {24, 1}, /* Reserved. */
        {28, 1},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        (void)changed_entry(f, 0);
        fm_store32(f->copy.data + changes[i].at, changes[i].value);
        if (view_copy(f) != FM_MALFORMED)
            fail_msg("change %zu was not refused", i);
    }
}

#define CHANGE(index, field, value)                                                                \
    do {                                                                                           \
        struct fm_vector_entry *entry_ = changed_entry(f, index);                                  \
        entry_->field = (value);                                                                   \
        if (view_copy(f) != FM_MALFORMED)                                                          \
            fail_msg("vector %d, %s = %s was not refused", index, #field, #value);                 \
    } while (0)

static void entries_are_checked(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch = view_of(f);
    CHANGE(0, kind, 0);
    CHANGE(0, kind, 27);
    CHANGE(0, kind, FM_KIND_DOUBLE); /* FOR of what is no integer. */
    CHANGE(0, encoding, 4);
    CHANGE(0, encoding, FM_ENC_DICTIONARY);
    CHANGE(0, encoding, FM_ENC_PLAIN);
    CHANGE(0, code_width, 0);
    CHANGE(0, code_width, 3);
    CHANGE(0, code_width, 2);
    CHANGE(0, code_width, 8);
    CHANGE(0, flags, 4);
    CHANGE(0, flags, FM_VECTOR_ALL_NULL);
    CHANGE(0, flags, FM_VECTOR_DICT_OUTSIDE);
    CHANGE(0, precision, 1);
    CHANGE(0, scale, 1);
    CHANGE(0, first_child, 7);
    CHANGE(0, child_count, 1);
    CHANGE(0, reserved, 1);
    CHANGE(0, reserved2, 1);
    CHANGE(0, rows, ROWS - 1);
    CHANGE(0, null_count, 8);
    CHANGE(0, null_count, ROWS + 1);
    CHANGE(0, validity_at, 0);
    CHANGE(0, validity_at, 8);                                /* Inside the directory. */
    CHANGE(0, validity_at, batch.vectors[0].validity_at + 4); /* Not aligned. */
    CHANGE(0, validity_at, batch.vectors[1].validity_at);     /* Another's. */
    CHANGE(0, validity_at, UINT32_MAX - 7);
    CHANGE(0, data_at, 0);
    CHANGE(0, data_at, batch.vectors[0].data_at + 1);
    CHANGE(0, data_at, batch.total_bytes);
    CHANGE(0, data_at, batch.total_bytes - 8);
    CHANGE(0, data_bytes, ROWS + 1);
    CHANGE(0, data_bytes, UINT32_MAX);
    CHANGE(0, aux_at, 1024);
    CHANGE(0, aux_bytes, 8);
    CHANGE(0, step, 0);
    CHANGE(0, step, -30);
    CHANGE(0, step, INT64_MAX);
    CHANGE(0, base, INT64_MAX);
    CHANGE(0, base, INT32_MAX - 69 * 30 + 1);
    CHANGE(0, base, (int64_t)INT32_MIN - 1);
    CHANGE(1, kind, FM_KIND_INT8);
    CHANGE(1, aux_bytes, 0);
    CHANGE(1, aux_bytes, 8);
    CHANGE(1, aux_bytes, batch.vectors[1].aux_bytes - 1);
    CHANGE(1, base, 1);
    CHANGE(1, flags, FM_VECTOR_DICT_OUTSIDE);
    CHANGE(2, data_bytes, 4);
    CHANGE(2, step, 1);
    CHANGE(3, null_count, ROWS - 1);
    CHANGE(3, flags, 0);
    CHANGE(3, encoding, FM_ENC_PLAIN);
    CHANGE(3, data_at, batch.vectors[0].data_at);
    CHANGE(4, data_bytes, ROWS * 4);
    CHANGE(4, aux_bytes, batch.vectors[4].aux_bytes - 4);
    CHANGE(4, aux_bytes, batch.vectors[4].aux_bytes + 4);
    CHANGE(4, code_width, 1);
}

static void trees_are_checked(void **state)
{
    struct fixture *f = *state;
    CHANGE(5, first_child, 0);
    CHANGE(5, first_child, 5); /* Itself. */
    CHANGE(5, first_child, 6);
    CHANGE(5, first_child, 8); /* The map's. */
    CHANGE(5, first_child, 11);
    CHANGE(5, child_count, 0);
    CHANGE(5, child_count, 2);
    CHANGE(5, child_count, UINT16_MAX);
    CHANGE(5, encoding, FM_ENC_CONSTANT);
    CHANGE(5, flags, FM_VECTOR_ALL_NULL);
    CHANGE(5, kind, FM_KIND_MAP);
    CHANGE(5, kind, FM_KIND_STRUCT);
    CHANGE(6, first_child, 7);
    CHANGE(7, rows, 139);
    CHANGE(7, rows, UINT32_MAX);
    CHANGE(7, encoding, FM_ENC_CONSTANT); /* Below a list. */
    CHANGE(8, kind, FM_KIND_LIST);
    CHANGE(8, null_count, 1); /* Entries of a map are never null. */
    CHANGE(8, child_count, 1);
    CHANGE(8, rows, 69);
    CHANGE(9, rows, 69);
    CHANGE(9, null_count, 1); /* Nor are keys. */
    CHANGE(10, kind, FM_KIND_LIST);
    CHANGE(10, flags, FM_VECTOR_DICT_OUTSIDE);
}

/* Change one byte of a section and give it back. */
static void assert_byte_refused(struct fixture *f, size_t at, uint8_t value)
{
    (void)changed_entry(f, 0);
    f->copy.data[at] = value;
    if (view_copy(f) != FM_MALFORMED)
        fail_msg("byte %zu = %u was not refused", at, value);
}

static void sections_are_checked(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch = view_of(f);
    const struct fm_vector_entry *v = batch.vectors;
    assert_byte_refused(f, v[0].validity_at, 0xff);      /* A null fewer. */
    assert_byte_refused(f, v[0].validity_at + 15, 0x80); /* A bit behind the last row. */
    assert_byte_refused(f, v[1].data_at + 5, 6);         /* A code past the dictionary. */
    assert_byte_refused(f, v[1].aux_at, 0);              /* Its count. */
    assert_byte_refused(f, v[1].aux_at, 7);
    assert_byte_refused(f, v[1].aux_at + 3, 0xff);
    assert_byte_refused(f, v[1].aux_at + 4, 1);     /* Its first offset. */
    assert_byte_refused(f, v[1].aux_at + 8, 3);     /* Texts out of order. */
    assert_byte_refused(f, v[1].aux_at + 12, 200);  /* Offsets that fall. */
    assert_byte_refused(f, v[1].aux_at + 32, 0xff); /* No UTF-8. */
    assert_byte_refused(f, v[1].aux_at + 32, 'c');  /* Out of order. */
    assert_byte_refused(f, v[4].data_at, 1);        /* Offsets of texts. */
    assert_byte_refused(f, v[4].data_at + 4, 100);
    assert_byte_refused(f, v[4].data_at + 70 * 4, 1);
    assert_byte_refused(f, v[5].data_at, 1); /* Offsets of lists. */
    assert_byte_refused(f, v[5].data_at + 4, 200);
    assert_byte_refused(f, v[5].data_at + 70 * 4, 141);
    assert_byte_refused(f, v[10].data_at + 3, 2); /* A boolean that is none. */
    assert_byte_refused(f, v[2].data_at + 2, 1);  /* Padding. */
}

/* Gaps are as good as padding, as long as nothing is in them. */
static void gaps_hold_zeros(void **state)
{
    struct fixture *f = *state;
    (void)changed_entry(f, 0);
    uint8_t *gap = fm_buf_extend(&f->copy, 64);
    assert_non_null(gap);
    memset(gap, 0, 64);
    fm_store32(f->copy.data + 4, (uint32_t)f->copy.len);
    assert_int_equal(view_copy(f), FM_OK);
    f->copy.data[f->copy.len - 1] = 1;
    assert_int_equal(view_copy(f), FM_MALFORMED);
}

/* Every single bit turned: refused, or still a batch whose every value can be read. */
static void touch(const struct fm_batch *batch, struct fm_type *const types)
{
    struct fm_buf out = {0};
    for (uint32_t column = 0; column < batch->column_count; column++) {
        const struct fm_vector_entry *vector = &batch->vectors[column];
        for (uint32_t row = 0; row < batch->rows; row++) {
            if (fm_vector_is_null(batch, vector, row))
                continue;
            fm_buf_clear(&out);
            /* FM_MALFORMED: a map with a key twice, which only this finds. */
            enum fm_status status =
                fm_vector_canonical(batch, vector, &types[column], NULL, row, &out);
            assert_true(status == FM_OK || status == FM_MALFORMED);
        }
    }
    fm_buf_free(&out);
}

static void turned_bits_do_no_harm(void **state)
{
    struct fixture *f = *state;
    struct fm_batch batch;
    unsigned accepted = 0;
    for (size_t bit = 0; bit < f->bytes.len * 8; bit++) {
        (void)changed_entry(f, 0);
        f->copy.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (fm_batch_view(fm_buf_span(&f->copy), f->type_list, COLUMNS, NULL, &batch) != FM_OK)
            continue;
        accepted++;
        touch(&batch, f->types);
    }
    assert_true(accepted > 0);
}

/* ---- Kinds with rules of their own ---- */

static void build_one(const char *type_text, const char *canonical_hex, uint32_t rows, bool encode,
                      struct fm_type *type, struct fm_buf *out)
{
    const struct fm_type *types = type;
    struct fm_batch_builder *builder = NULL;
    uint8_t value[64];
    size_t len = strlen(canonical_hex) / 2;
    assert_int_equal(fm_type_parse(fm_span_str(type_text), type, NULL), FM_OK);
    assert_int_equal(fm_unhex(canonical_hex, value, len), FM_OK);
    const struct fm_batch_builder_options options = {
        .types = &types, .column_count = 1, .encode = encode};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t i = 0; i < rows; i++) {
        struct fm_cursor cursor = fm_cursor(fm_span(value, len));
        assert_int_equal(fm_batch_put_canonical(builder, 0, &cursor), FM_OK);
    }
    fm_buf_clear(out);
    assert_int_equal(fm_batch_builder_finish(builder, 0, out), FM_OK);
    fm_batch_builder_free(builder);
}

static void decimals_past_their_precision_are_refused(void **state)
{
    static const struct {
        const char *type;
        uint32_t width;
    } rows[] = {
        {"decimal(4,2)", 2}, {"decimal(9,2)", 4}, {"decimal(18,2)", 8}, {"decimal(38,2)", 16}};
    (void)state;
    for (size_t i = 0; i < 4; i++)
        for (int encode = 0; encode < 2; encode++) {
            struct fm_type type;
            const struct fm_type *types = &type;
            struct fm_buf bytes = {0};
            struct fm_batch batch;
            build_one(rows[i].type, "01000000000000000000000000000000", 3, encode != 0, &type,
                      &bytes);
            assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch), FM_OK);
            uint8_t *at = bytes.data + batch.vectors[0].data_at;
            at[rows[i].width - 1] = 0x7f;
            assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch),
                             FM_MALFORMED);
            at[rows[i].width - 1] = 0x80;
            assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch),
                             FM_MALFORMED);
            fm_buf_free(&bytes);
            fm_type_deinit(&type);
        }
}

/* A character cut in two by the border between two texts. */
static void texts_are_utf8_one_by_one(void **state)
{
    struct fm_type type;
    struct fm_buf bytes = {0};
    struct fm_batch batch;
    (void)state;
    build_one("varchar", "02c3a4", 2, false, &type, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    fm_store32(bytes.data + batch.vectors[0].data_at + 4, 1);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_MALFORMED);
    fm_store32(bytes.data + batch.vectors[0].data_at + 4, 0); /* "", both */
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
    fm_buf_free(&bytes);
    fm_type_deinit(&type);
}

static void texts_of_enums_are_its_values(void **state)
{
    (void)state;
    for (int encode = 0; encode < 3; encode++) {
        struct fm_type type;
        const struct fm_type *types = &type;
        struct fm_buf bytes = {0};
        struct fm_batch batch;
        build_one(encode == 2 ? "list(enum('no','yes'))" : "enum('no','yes')",
                  encode == 2 ? "010103796573" : "03796573", 40, encode > 0, &type, &bytes);
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch), FM_OK);
        const struct fm_vector_entry *texts = &batch.vectors[encode == 2];
        uint8_t *text = bytes.data + texts->aux_at;
        if (texts->encoding == FM_ENC_DICTIONARY)
            text += 12;
        assert_int_equal(*text, 'y');
        *text = 'x';
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch), FM_MALFORMED);
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
        fm_buf_free(&bytes);
        fm_type_deinit(&type);
    }
}

/* In memory a map may be in any order; its canonical form is sorted, and a key twice is none. */
static void maps_are_sorted_on_the_way_out(void **state)
{
    struct fm_type type;
    const struct fm_type *types = &type;
    struct fm_buf bytes = {0}, out = {0};
    struct fm_batch batch;
    (void)state;
    build_one("map(int8, int8)",
              "020101"
              "0a02"
              "0114",
              1, false, &type, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch), FM_OK);
    uint8_t *keys = bytes.data + batch.vectors[2].data_at;
    keys[0] = 9;
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[0], &type, NULL, 0, &out), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&out), fm_span("\x02\x02\x01\x14\x09\x01\x0a", 7)));
    fm_buf_clear(&out);
    keys[0] = 2;
    fm_buf_put_u8(&out, 0x55);
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[0], &type, NULL, 0, &out),
                     FM_MALFORMED);
    assert_int_equal(out.len, 1);
    fm_buf_free(&bytes);
    fm_buf_free(&out);
    fm_type_deinit(&type);
}

static void nans_are_one(void **state)
{
    struct fm_type type;
    const struct fm_type *types = &type;
    struct fm_buf bytes = {0}, out = {0};
    struct fm_batch batch;
    (void)state;
    build_one("double", "0000000000000080", 1, false, &type, &bytes);
    assert_int_equal(fm_batch_view(fm_buf_span(&bytes), &types, 1, NULL, &batch), FM_OK);
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[0], &type, NULL, 0, &out), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&out), fm_span("\0\0\0\0\0\0\0\x80", 8)));
    fm_store64(bytes.data + batch.vectors[0].data_at, UINT64_C(0xfff0000000000123));
    fm_buf_clear(&out);
    assert_int_equal(fm_vector_canonical(&batch, &batch.vectors[0], &type, NULL, 0, &out), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&out), fm_span("\0\0\0\0\0\0\xf8\x7f", 8)));
    fm_buf_free(&bytes);
    fm_buf_free(&out);
    fm_type_deinit(&type);
}

/* ---- Dictionaries ---- */

static void dictionaries_come_back(void **state)
{
    static const char *const texts[] = {"", "a", "aa", "b", "\xc3\xa4"};
    uint32_t offsets[6] = {0}, code;
    struct fm_buf text = {0}, bytes = {0};
    struct fm_dictionary view;
    (void)state;
    for (uint32_t i = 0; i < 5; i++) {
        fm_buf_put_str(&text, texts[i]);
        offsets[i + 1] = (uint32_t)text.len;
    }
    fm_dictionary_encode(&bytes, &(struct fm_dictionary){5, offsets, text.data});
    assert_int_equal(fm_dictionary_view(fm_buf_span(&bytes), &view), FM_OK);
    assert_int_equal(view.count, 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_true(fm_span_equal(fm_dictionary_at(&view, i), fm_span_str(texts[i])));
        assert_int_equal(fm_dictionary_find(&view, fm_span_str(texts[i]), &code), FM_OK);
        assert_int_equal(code, i);
    }
    assert_int_equal(fm_dictionary_find(&view, fm_span_str("ab"), &code), FM_NOTFOUND);
    assert_int_equal(fm_dictionary_find(&view, fm_span_str("z"), &code), FM_NOTFOUND);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(fm_dictionary_view(fm_span(bytes.data, len), &view), FM_MALFORMED);
    fm_store32(bytes.data, 0);
    assert_int_equal(fm_dictionary_view(fm_buf_span(&bytes), &view), FM_MALFORMED);
    fm_store32(bytes.data, UINT32_MAX);
    assert_int_equal(fm_dictionary_view(fm_buf_span(&bytes), &view), FM_MALFORMED);
    fm_store32(bytes.data, 5);
    fm_store32(bytes.data + 8, 1); /* "a" first, then "" */
    assert_int_equal(fm_dictionary_view(fm_buf_span(&bytes), &view), FM_MALFORMED);
    fm_buf_free(&text);
    fm_buf_free(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_encodings_are_those_wanted),
        TEST(accessors_give_the_values),
        TEST(canonical_values_come_back),
        TEST(bytes_are_those_of_the_vectors),
        TEST(types_may_be_left_out),
        TEST(other_types_are_refused),
        TEST(every_cut_is_refused),
        TEST(bytes_must_be_aligned),
        TEST(headers_are_checked),
        TEST(entries_are_checked),
        TEST(trees_are_checked),
        TEST(sections_are_checked),
        TEST(gaps_hold_zeros),
        TEST(turned_bits_do_no_harm),
        cmocka_unit_test(decimals_past_their_precision_are_refused),
        cmocka_unit_test(texts_are_utf8_one_by_one),
        cmocka_unit_test(texts_of_enums_are_its_values),
        cmocka_unit_test(maps_are_sorted_on_the_way_out),
        cmocka_unit_test(nans_are_one),
        cmocka_unit_test(dictionaries_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
