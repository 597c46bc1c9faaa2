/* Leaves: the vectors (made apart from the program), headers both ways, and that hashing many rows
 * is hashing each one. */
#include "core/leaf.h"

#include "core/codec.h"
#include "core/hash.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/map_edit.h"
#include "tests/support/random_value.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define FIELDS_MAX 32u

/* ---- Fixture: a table and a batch of its rows ---- */

struct fixture {
    struct fm_schema schema;
    struct fm_field fields[FIELDS_MAX];
    const struct fm_type *types[FIELDS_MAX];
    struct fm_leaf_encoder *encoder;
    struct fm_buf bytes;
    struct fm_batch batch;
    struct fm_buf leaf;
};

static const uint8_t key[32] = {1, 2, 3, 4, 5, 6, 7, 8};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->schema.fields = f->fields;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_leaf_encoder_free(f->encoder);
    for (uint32_t i = 0; i < FIELDS_MAX; i++)
        fm_type_deinit(&f->fields[i].type);
    fm_buf_free(&f->bytes);
    fm_buf_free(&f->leaf);
    free(f);
    return 0;
}

static void add_field(struct fixture *f, uint32_t id, const char *type, uint8_t classification)
{
    struct fm_field *field = &f->fields[f->schema.field_count];
    assert_true(f->schema.field_count < FIELDS_MAX);
    field->id = id;
    field->classification = classification;
    assert_int_equal(fm_type_parse(fm_span_str(type), &field->type, NULL), FM_OK);
    f->types[f->schema.field_count++] = &field->type;
}

static struct fm_batch_builder *open_rows(struct fixture *f, bool encode)
{
    struct fm_batch_builder *builder = NULL;
    const struct fm_batch_builder_options options = {
        .types = f->types, .column_count = f->schema.field_count, .encode = encode};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    return builder;
}

static void close_rows(struct fixture *f, struct fm_batch_builder *builder)
{
    const struct fm_leaf_encoder_options options = {.schema = &f->schema, .commitment_key = key};
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &f->bytes), FM_OK);
    fm_batch_builder_free(builder);
    assert_int_equal(
        fm_batch_view(fm_buf_span(&f->bytes), f->types, f->schema.field_count, NULL, &f->batch),
        FM_OK);
    fm_leaf_encoder_free(f->encoder);
    f->encoder = NULL;
    assert_int_equal(fm_leaf_encoder_new(&options, &f->encoder), FM_OK);
}

/* ---- Vectors ---- */

/* (delay int16 id 9) (passenger varchar id 4, personal) (airport varchar id 300)
 * (note varchar id 5, secret) (list(int8) id 2); rows: 0 all present, 1 all null. */
static void vector_rows(struct fixture *f, bool with_classified)
{
    static const uint8_t list[] = {2, 1, 7, 0};
    uint8_t personal = with_classified ? FM_CLASS_PERSONAL : FM_CLASS_OPEN;
    uint8_t secret = with_classified ? FM_CLASS_SECRET : FM_CLASS_CONFIDENTIAL;
    int16_t delay = -5;
    add_field(f, 9, "int16", FM_CLASS_OPEN);
    add_field(f, 4, "varchar", personal);
    add_field(f, 300, "varchar", FM_CLASS_OPEN);
    add_field(f, 5, "varchar", secret);
    add_field(f, 2, "list(int8)", FM_CLASS_OPEN);
    struct fm_batch_builder *builder = open_rows(f, true);
    struct fm_cursor cursor = fm_cursor(fm_span(list, sizeof list));
    assert_int_equal(fm_batch_put_fixed(builder, 0, &delay), FM_OK);
    assert_int_equal(fm_batch_put_bytes(builder, 1, fm_span_str("Ada")), FM_OK);
    assert_int_equal(fm_batch_put_bytes(builder, 2, fm_span_str("LHR")), FM_OK);
    assert_int_equal(fm_batch_put_bytes(builder, 3, fm_span_str("x")), FM_OK);
    assert_int_equal(fm_batch_put_canonical(builder, 4, &cursor), FM_OK);
    for (uint32_t column = 0; column < 5; column++)
        assert_int_equal(fm_batch_put_null(builder, column), FM_OK);
    close_rows(f, builder);
}

static struct fm_fact_header small_header(void)
{
    return (struct fm_fact_header){.schema_version = 1,
                                   .sequence = 0,
                                   .recorded_at = 1700000000000000,
                                   .operation = FM_ASSERT,
                                   .producer_sequence = 0};
}

/* Fact 5 takes fact 3 back. */
static struct fm_fact_header retract_header(void)
{
    struct fm_fact_header header = small_header();
    header.sequence = 5;
    header.operation = FM_RETRACT;
    header.has_superseded = true;
    header.superseded = 3;
    return header;
}

static struct fm_fact_header full_header(void)
{
    struct fm_fact_header header = {.schema_version = 300,
                                    .sequence = 70000,
                                    .recorded_at = 1700000000000001,
                                    .has_event_time = true,
                                    .event_time = -1000,
                                    .operation = FM_CORRECT,
                                    .has_producer = true,
                                    .producer_sequence = 200,
                                    .has_trace = true,
                                    .causation_len = 3,
                                    .causation = {1, 2, 3},
                                    .has_superseded = true,
                                    .superseded = 69999};
    memset(header.producer_id, 0xaa, 16);
    memset(header.trace_id, 0xbb, 16);
    return header;
}

static void check_leaf(struct fixture *f, const struct vector_file *file, const char *name,
                       const struct fm_fact_header *header, uint32_t row)
{
    struct fm_hash hash;
    char hash_name[64];
    fm_buf_clear(&f->leaf);
    assert_int_equal(fm_leaf_encode(f->encoder, header, &f->batch, NULL, row, &f->leaf), FM_OK);
    vector_check(file, name, fm_buf_span(&f->leaf));
    assert_int_equal(fm_leaf_hash_rows(f->encoder, header, &f->batch, NULL, row, 1, hash.bytes),
                     FM_OK);
    (void)snprintf(hash_name, sizeof hash_name, "%s-hash", name);
    vector_check(file, hash_name, fm_span(hash.bytes, sizeof hash.bytes));
}

static void open_leaves_are_those_of_the_vectors(void **state)
{
    struct fixture *f = *state;
    struct vector_file *file = vector_file_open("leaf.txt");
    struct fm_fact_header small = small_header(), full = full_header(), retract = retract_header();
    vector_rows(f, false);
    assert_false(fm_schema_has_commitment(&f->schema));
    check_leaf(f, file, "open-small", &small, 0);
    check_leaf(f, file, "open-full", &full, 0);
    check_leaf(f, file, "open-nulls", &small, 1);
    check_leaf(f, file, "open-retract", &retract, 1);
    vector_file_free(file);
}

static void classified_leaves_are_those_of_the_vectors(void **state)
{
    struct fixture *f = *state;
    struct vector_file *file = vector_file_open("leaf.txt");
    struct fm_fact_header small = small_header(), full = full_header();
    vector_rows(f, true);
    assert_true(fm_schema_has_commitment(&f->schema));
    check_leaf(f, file, "classified-small", &small, 0);
    check_leaf(f, file, "classified-full", &full, 0);
    check_leaf(f, file, "classified-nulls", &small, 1);
    vector_file_free(file);
}

/* ---- Headers ---- */

static void assert_header_reads_back(const struct fm_fact_header *header)
{
    struct fm_buf bytes = {0}, again = {0};
    struct fm_fact_header got;
    fm_fact_header_encode(&bytes, header);
    size_t len = bytes.len;
    fm_buf_put_str(&bytes, "behind");
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&bytes));
    assert_int_equal(fm_fact_header_decode(&cursor, &got), FM_OK);
    assert_int_equal(fm_cursor_left(&cursor), 6);
    fm_fact_header_encode(&again, &got);
    assert_true(fm_span_equal(fm_span(bytes.data, len), fm_buf_span(&again)));
    for (size_t cut = 0; cut < len; cut++) {
        cursor = fm_cursor(fm_span(bytes.data, cut));
        assert_int_equal(fm_fact_header_decode(&cursor, &got), FM_MALFORMED);
        assert_int_equal(fm_cursor_left(&cursor), cut);
    }
    fm_buf_free(&bytes);
    fm_buf_free(&again);
}

static void headers_read_back(void **state)
{
    struct fm_fact_header header = small_header();
    (void)state;
    assert_header_reads_back(&header);
    header = full_header();
    assert_header_reads_back(&header);
    header = retract_header();
    assert_header_reads_back(&header);
    header = full_header();
    header.has_superseded = false;
    header.operation = FM_RETRACT;
    header.sequence = UINT64_MAX;
    header.recorded_at = INT64_MIN;
    header.producer_sequence = UINT64_MAX;
    header.causation_len = 64;
    assert_header_reads_back(&header);
}

static enum fm_status decode_header(const struct fm_buf *bytes)
{
    struct fm_fact_header got;
    struct fm_cursor cursor = fm_cursor(fm_buf_span(bytes));
    return fm_fact_header_decode(&cursor, &got);
}

static void changed_headers_are_refused(void **state)
{
    static const uint8_t nil = 0xc0;
    struct fm_fact_header header = full_header();
    struct fm_buf bytes = {0}, changed = {0};
    (void)state;
    fm_fact_header_encode(&bytes, &header);
    struct fm_span map = fm_buf_span(&bytes);
    assert_int_equal(map_pairs(map), 11);
    for (unsigned i = 0; i < 11; i++) {
        unsigned at = map_key(map, i);
        bool optional = at == 4 || at == 6 || at == 8 || at == 9;
        map_drop(map, i, &changed);
        assert_int_equal(decode_header(&changed), optional ? FM_OK : FM_MALFORMED);
        map_replace(map, i, fm_span(&nil, 1), &changed);
        assert_int_equal(decode_header(&changed), FM_MALFORMED);
    }
    map_add(map, 11, &changed);
    assert_int_equal(decode_header(&changed), FM_MALFORMED);
    map_add(map, 33, &changed);
    assert_int_equal(decode_header(&changed), FM_OK);
    map_replace(map, 0, fm_span("\x02", 1), &changed);
    assert_int_equal(decode_header(&changed), FM_UNSUPPORTED);
    map_replace(map, 5, fm_span("\x00", 1), &changed);
    assert_int_equal(decode_header(&changed), FM_MALFORMED);
    map_replace(map, 5, fm_span("\x04", 1), &changed);
    assert_int_equal(decode_header(&changed), FM_MALFORMED);
    map_replace(map, 5, fm_span("\x01", 1), &changed); /* Superseding without correcting. */
    assert_int_equal(decode_header(&changed), FM_MALFORMED);
    map_replace(map, 5, fm_span("\x02", 1), &changed); /* Taking a fact back may name it. */
    assert_int_equal(decode_header(&changed), FM_OK);
    map_replace(map, 9, fm_span("\xc4\x00", 2), &changed);
    assert_int_equal(decode_header(&changed), FM_MALFORMED);
    fm_buf_free(&bytes);
    fm_buf_free(&changed);
}

/* ---- Rows ---- */

static void random_rows(struct fixture *f, bool encode, uint32_t rows, struct random *random)
{
    struct fm_batch_builder *builder = open_rows(f, encode);
    struct fm_buf value = {0};
    for (uint32_t column = 0; column < f->schema.field_count; column++) {
        enum random_shape shape = (enum random_shape)(column % SHAPES);
        for (uint32_t row = 0; row < rows; row++) {
            if (random_below(random, 6) == 0) {
                assert_int_equal(fm_batch_put_null(builder, column), FM_OK);
                continue;
            }
            fm_buf_clear(&value);
            random_value(random, f->types[column], shape, &value);
            struct fm_cursor cursor = fm_cursor(fm_buf_span(&value));
            assert_int_equal(fm_batch_put_canonical(builder, column, &cursor), FM_OK);
        }
    }
    fm_buf_free(&value);
    close_rows(f, builder);
}

/* The definition, word for word. */
static void slow_fields(struct fixture *f, uint32_t row, bool closed, struct fm_buf *out)
{
    uint32_t count = 0, last = 0;
    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1)
            fm_buf_put_uvarint(out, count);
        last = 0;
        for (uint32_t done = 0; done < f->schema.field_count; done++) {
            uint32_t next = FIELDS_MAX; /* The field with the least id above the last. */
            for (uint32_t i = 0; i < f->schema.field_count; i++)
                if (f->fields[i].id > last &&
                    (next == FIELDS_MAX || f->fields[i].id < f->fields[next].id))
                    next = i;
            const struct fm_field *field = &f->fields[next];
            last = field->id;
            if ((field->classification >= FM_CLASS_PERSONAL) != closed ||
                fm_vector_is_null(&f->batch, &f->batch.vectors[next], row))
                continue;
            count++;
            if (pass == 0)
                continue;
            fm_buf_put_uvarint(out, field->id);
            fm_buf_put_u8(out, (uint8_t)field->type.kind);
            assert_int_equal(fm_vector_canonical(&f->batch, &f->batch.vectors[next], &field->type,
                                                 NULL, row, out),
                             FM_OK);
        }
    }
}

static void leaves_are_what_the_definition_says(void **state)
{
    struct fixture *f = *state;
    struct random random = {99};
    for (uint32_t i = 0; i < RANDOM_TYPES; i++)
        add_field(f, 1000 - 31 * i, random_types[i], (uint8_t)(i % 4));
    for (int encode = 0; encode < 2; encode++) {
        random_rows(f, encode != 0, 100, &random);
        for (uint32_t row = 0; row < 100; row++) {
            struct fm_fact_header header = full_header();
            struct fm_buf want = {0};
            fm_fact_header_encode(&want, &header);
            slow_fields(f, row, false, &want);
            fm_buf_clear(&f->leaf);
            assert_int_equal(fm_leaf_encode(f->encoder, &header, &f->batch, NULL, row, &f->leaf),
                             FM_OK);
            assert_int_equal(f->leaf.len, want.len + 33);
            assert_memory_equal(f->leaf.data, want.data, want.len);
            assert_int_equal(f->leaf.data[want.len], 32);
            fm_buf_free(&want);
        }
    }
}

/* Sequences that change their width in the middle, from every width to the next. */
static void many_rows_hash_as_each_does(void **state)
{
    static const uint64_t starts[] = {
        0, 1, 100, 200, 65500, UINT32_MAX - 30, 1u << 20, UINT64_MAX - 100, UINT64_C(1) << 40};
    struct fixture *f = *state;
    struct random random = {5};
    uint8_t hashes[100 * 32];
    add_field(f, 3, "int64", FM_CLASS_OPEN);
    add_field(f, 1, "varchar", FM_CLASS_PERSONAL);
    add_field(f, 2, "decimal(9,2)", FM_CLASS_OPEN);
    random_rows(f, true, 120, &random);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        struct fm_fact_header header = i % 2 == 0 ? full_header() : small_header();
        header.sequence = starts[i];
        assert_int_equal(fm_leaf_hash_rows(f->encoder, &header, &f->batch, NULL, 10, 100, hashes),
                         FM_OK);
        for (uint32_t row = 0; row < 100; row++) {
            struct fm_hash hash;
            header.sequence = starts[i] + row;
            fm_buf_clear(&f->leaf);
            assert_int_equal(
                fm_leaf_encode(f->encoder, &header, &f->batch, NULL, 10 + row, &f->leaf), FM_OK);
            fm_leaf_hash(&hash, fm_buf_span(&f->leaf));
            assert_memory_equal(hash.bytes, hashes + row * 32, 32);
        }
    }
}

/* Two rows that differ in a classified field alone have leaves that differ in the commitment alone,
 * and equal values do not show: the salt differs by sequence and key. */
static void classified_values_do_not_show(void **state)
{
    struct fixture *f = *state;
    struct fm_buf other = {0};
    uint8_t other_key[32] = {9};
    struct fm_fact_header header = small_header();
    vector_rows(f, true);
    assert_int_equal(fm_leaf_encode(f->encoder, &header, &f->batch, NULL, 0, &f->leaf), FM_OK);
    header.sequence = 1;
    assert_int_equal(fm_leaf_encode(f->encoder, &header, &f->batch, NULL, 0, &other), FM_OK);
    assert_int_equal(other.len, f->leaf.len);
    assert_memory_not_equal(other.data + other.len - 32, f->leaf.data + other.len - 32, 32);
    assert_null(memmem(other.data, other.len, "Ada", 3));

    struct fm_leaf_encoder *encoder = NULL;
    struct fm_leaf_encoder_options options = {.schema = &f->schema, .commitment_key = other_key};
    assert_int_equal(fm_leaf_encoder_new(&options, &encoder), FM_OK);
    fm_buf_clear(&other);
    header.sequence = 0;
    assert_int_equal(fm_leaf_encode(encoder, &header, &f->batch, NULL, 0, &other), FM_OK);
    assert_memory_equal(other.data, f->leaf.data, other.len - 32);
    assert_memory_not_equal(other.data + other.len - 32, f->leaf.data + other.len - 32, 32);
    fm_leaf_encoder_free(encoder);
    encoder = NULL;
    options.commitment_key = NULL;
    assert_int_equal(fm_leaf_encoder_new(&options, &encoder), FM_INVALID);
    fm_leaf_encoder_free(NULL);
    fm_buf_free(&other);
}

static void batches_of_other_schemas_are_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_fact_header header = small_header();
    uint8_t hash[32];
    vector_rows(f, false);
    fm_buf_put_u8(&f->leaf, 1);
    f->fields[0].type.kind = FM_KIND_UINT16;
    assert_int_equal(fm_leaf_encode(f->encoder, &header, &f->batch, NULL, 0, &f->leaf), FM_INVALID);
    assert_int_equal(f->leaf.len, 1);
    f->fields[0].type.kind = FM_KIND_INT16;
    f->schema.field_count = 4;
    assert_int_equal(fm_leaf_hash_rows(f->encoder, &header, &f->batch, NULL, 0, 1, hash),
                     FM_INVALID);
    f->schema.field_count = 5;
}

static void outside_dictionaries_are_read(void **state)
{
    static const uint32_t offsets[] = {0, 1, 2};
    static const struct fm_dictionary dictionary = {2, offsets, (const uint8_t *)"ab"};
    const struct fm_dictionary *list = &dictionary;
    struct fixture *f = *state;
    struct fm_fact_header header = small_header();
    struct fm_batch_builder *builder = NULL;
    struct fm_hash inside, outside;
    add_field(f, 1, "varchar", FM_CLASS_OPEN);
    builder = open_rows(f, true);
    assert_int_equal(fm_batch_put_bytes(builder, 0, fm_span_str("b")), FM_OK);
    close_rows(f, builder);
    assert_int_equal(fm_leaf_hash_rows(f->encoder, &header, &f->batch, NULL, 0, 1, inside.bytes),
                     FM_OK);
    const struct fm_batch_builder_options options = {
        .types = f->types, .column_count = 1, .encode = true, .dictionaries = &list};
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    assert_int_equal(fm_batch_put_bytes(builder, 0, fm_span_str("b")), FM_OK);
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_batch_builder_finish(builder, 0, &f->bytes), FM_OK);
    fm_batch_builder_free(builder);
    assert_int_equal(fm_batch_view(fm_buf_span(&f->bytes), f->types, 1, &list, &f->batch), FM_OK);
    assert_int_equal(fm_leaf_hash_rows(f->encoder, &header, &f->batch, &list, 0, 1, outside.bytes),
                     FM_OK);
    assert_true(fm_hash_equal(&inside, &outside));
    assert_int_equal(fm_leaf_hash_rows(f->encoder, &header, &f->batch, NULL, 0, 1, outside.bytes),
                     FM_INVALID);
}

static void each_failed_allocation_is_a_status(void **state)
{
    struct fixture *f = *state;
    const struct fm_leaf_encoder_options options = {.schema = &f->schema, .commitment_key = key};
    struct fm_fact_header header = full_header();
    if (!fail_alloc_available())
        skip();
    vector_rows(f, true);
    for (size_t n = 0, hit = 1; hit != 0; n++) {
        struct fm_leaf_encoder *encoder = NULL;
        uint8_t hashes[64];
        long before = fail_alloc_live();
        fail_alloc_after(n);
        enum fm_status status = fm_leaf_encoder_new(&options, &encoder);
        if (status == FM_OK)
            status = fm_leaf_hash_rows(encoder, &header, &f->batch, NULL, 0, 2, hashes);
        hit = fail_alloc_stop();
        assert_int_equal(status, hit != 0 ? FM_NOMEM : FM_OK);
        fm_leaf_encoder_free(encoder);
        assert_int_equal(fail_alloc_live(), before);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(open_leaves_are_those_of_the_vectors),
        TEST(classified_leaves_are_those_of_the_vectors),
        cmocka_unit_test(headers_read_back),
        cmocka_unit_test(changed_headers_are_refused),
        TEST(leaves_are_what_the_definition_says),
        TEST(many_rows_hash_as_each_does),
        TEST(classified_values_do_not_show),
        TEST(batches_of_other_schemas_are_refused),
        TEST(outside_dictionaries_are_read),
        TEST(each_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
