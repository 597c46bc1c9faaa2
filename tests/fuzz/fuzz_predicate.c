/* Predicates of a peer: a document, then values, over a fixed table. What is accepted reads back,
 * can be evaluated, and a row that a term takes is never excluded by bounds that hold it. */
#include "core/predicate.h"

#include "core/assert.h"
#include "core/codec.h"

#define FIELDS 10u
#define ROWS 100u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[FIELDS] = {"int32",   "uint64",    "varchar",       "double",
                                          "boolean", "uuid",      "enum('b','a')", "decimal(30,2)",
                                          "json",    "list(int8)"};

struct table {
    struct fm_schema schema;
    struct fm_field fields[FIELDS];
    const struct fm_type *types[FIELDS];
    uint32_t ids[FIELDS];
    struct fm_buf bytes;
    struct fm_batch batch;
};

static void put_value(struct fm_batch_builder *builder, uint32_t column, const struct fm_type *type,
                      uint32_t row)
{
    uint8_t fixed[16] = {(uint8_t)(row % 2), 0, 0, (uint8_t)(row % 7)};
    enum fm_status status;
    if (row % 9 == 0 || fm_type_is_nested(type))
        status = fm_batch_put_null(builder, column);
    else if (fm_type_is_bytes(type))
        status = fm_batch_put_bytes(builder, column, fm_span_str(row % 2 == 0 ? "a" : "b"));
    else
        status = fm_batch_put_fixed(builder, column, fixed);
    fm_assert(status == FM_OK);
}

static void make_schema(struct table *table)
{
    table->schema.fields = table->fields;
    table->schema.field_count = FIELDS;
    for (uint32_t i = 0; i < FIELDS; i++) {
        table->ids[i] = table->fields[i].id = i + 1;
        table->fields[i].name[0] = (char)('a' + i);
        table->types[i] = &table->fields[i].type;
        fm_assert(fm_type_parse(fm_span_str(texts[i]), &table->fields[i].type, NULL) == FM_OK);
    }
}

static void make_rows(struct table *table, bool encode)
{
    struct fm_batch_builder *builder = NULL;
    const struct fm_batch_builder_options options = {
        .types = table->types, .column_count = FIELDS, .encode = encode};
    fm_assert(fm_batch_builder_new(&options, &builder) == FM_OK);
    for (uint32_t i = 0; i < FIELDS; i++)
        for (uint32_t row = 0; row < ROWS; row++)
            put_value(builder, i, table->types[i], row);
    fm_assert(fm_batch_builder_finish(builder, 0, &table->bytes) == FM_OK);
    fm_batch_builder_free(builder);
    fm_assert(fm_batch_view_trusted(fm_buf_span(&table->bytes), &table->batch) == FM_OK);
}

static void free_table(struct table *table)
{
    for (uint32_t i = 0; i < FIELDS; i++)
        fm_type_deinit(&table->fields[i].type);
    fm_buf_free(&table->bytes);
}

static void select_rows(const struct table *table, const struct fm_predicate_list *list,
                        uint64_t selection[2])
{
    selection[0] = selection[1] = UINT64_MAX;
    fm_assert(fm_predicate_select(list, &table->schema, &table->batch, table->ids, NULL, 0, ROWS,
                                  false, selection) == FM_OK);
}

/* A selected row is a run of its own: its value is both bounds. */
static void check_bounds(const struct table *table, const struct fm_predicate_list *list,
                         const uint64_t selection[2])
{
    struct fm_buf value = {0};
    for (uint32_t row = 0; row < ROWS; row++) {
        if ((selection[row / 64] >> (row % 64) & 1u) == 0)
            continue;
        for (uint32_t i = 0; i < list->count; i++) {
            const struct fm_predicate *term = &list->terms[i];
            uint32_t column = term->field_id - 1;
            const struct fm_vector_entry *vector = &table->batch.vectors[column];
            bool is_null = fm_vector_is_null(&table->batch, vector, row);
            fm_buf_clear(&value);
            if (!is_null)
                fm_assert(fm_vector_canonical(&table->batch, vector, table->types[column], NULL,
                                              row, &value) == FM_OK);
            fm_assert(fm_predicate_may_match(term, table->types[column], fm_buf_span(&value),
                                             fm_buf_span(&value), 1, is_null ? 1 : 0));
        }
    }
    fm_buf_free(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct table plain = {0}, coded = {0};
    struct fm_predicate_list list = {0}, copy = {0};
    struct fm_error err = {0};
    struct fm_buf again = {0};
    uint64_t a[2], b[2];

    make_schema(&plain);
    if (fm_predicate_list_decode(fm_span(data, size), &plain.schema, &list, &err) == FM_OK) {
        make_schema(&coded);
        make_rows(&plain, false);
        make_rows(&coded, true);
        fm_assert(fm_predicate_list_copy(&list, &copy) == FM_OK);
        fm_predicate_list_encode(&again, &copy);
        fm_assert(fm_buf_status(&again) == FM_OK);
        fm_predicate_list_deinit(&copy);
        fm_assert(fm_predicate_list_decode(fm_buf_span(&again), &plain.schema, &copy, NULL) ==
                  FM_OK);
        select_rows(&plain, &list, a);
        select_rows(&coded, &copy, b);
        fm_assert(a[0] == b[0] && a[1] == b[1]);
        check_bounds(&plain, &list, a);
        free_table(&coded);
    } else {
        fm_assert(err.text[0] != '\0');
    }
    free_table(&plain);
    fm_predicate_list_deinit(&list);
    fm_predicate_list_deinit(&copy);
    fm_buf_free(&again);
    return 0;
}
