/* A peer's batch. What the check accepts can be read in full through the accessors (under a
 * sanitizer that sees each byte), passes through a builder row for row, and that gives a good batch
 * again. */
#include "core/batch.h"

#include "core/assert.h"

#define COLUMNS_TRIED 64u
#define COLUMNS_REBUILT 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The dictionary that both sides have for every column. */
static const uint32_t offsets[] = {0, 1, 2, 4};
static const struct fm_dictionary outside = {3, offsets, (const uint8_t *)"abcc"};

/* A type that the vector could be of: names are not in a batch. */
static enum fm_status guess_type(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                                 struct fm_type *out)
{
    out->kind = (enum fm_kind)vector->kind;
    out->precision = vector->precision;
    out->scale = vector->scale;
    if (vector->kind == FM_KIND_ENUM) {
        enum fm_status status = fm_type_reserve(out, 0, 1);
        out->labels[0] = strdup("a");
        return status;
    }
    const struct fm_vector_entry *parent = vector;
    if (vector->kind == FM_KIND_MAP)
        parent = &batch->vectors[vector->first_child]; /* Its entries' children are its own. */
    bool is_struct = vector->kind == FM_KIND_STRUCT;
    enum fm_status status =
        fm_type_reserve(out, parent->child_count, is_struct ? parent->child_count : 0);
    for (uint32_t i = 0; status == FM_OK && i < parent->child_count; i++) {
        if (is_struct)
            out->labels[i] = strdup("x");
        status = guess_type(batch, &batch->vectors[parent->first_child + i], &out->children[i]);
    }
    return status;
}

/* Sum up bytes, so that reading them cannot be left out. */
static unsigned sum_of(struct fm_span span)
{
    unsigned sum = 0;
    for (size_t i = 0; i < span.len; i++)
        sum += span.data[i];
    return sum;
}

static void read_column(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                        const struct fm_type *type)
{
    uint8_t fixed[16];
    struct fm_buf out = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    /* Rows of a constant cost nothing: a few stand for all. */
    uint32_t step = vector->encoding == FM_ENC_CONSTANT ? 1 + vector->rows / 100 : 1;
    for (uint32_t row = 0; row < vector->rows; row += step) {
        if (fm_vector_is_null(batch, vector, row))
            continue;
        if (fm_type_is_bytes(type))
            (void)sum_of(fm_vector_bytes(batch, vector, &outside, row)); /* Read is enough. */
        else if (!fm_type_is_nested(type))
            fm_vector_fixed(batch, vector, row, fixed);
        fm_buf_clear(&out);
        enum fm_status status = fm_vector_canonical(batch, vector, type, &outside, row, &out);
        fm_assert(status == FM_OK || status == FM_LIMIT ||
                  (status == FM_MALFORMED && fm_type_is_nested(type)));
    }
    fm_buf_free(&out);
}

static void rebuild_column(const struct fm_batch *batch, uint32_t column,
                           const struct fm_type *type, bool encode)
{
    struct fm_batch_builder *builder = NULL;
    struct fm_batch again;
    struct fm_buf bytes = {0};
    const struct fm_batch_builder_options options = {
        .types = &type, .column_count = 1, .encode = encode};

    fm_assert(fm_batch_builder_new(&options, &builder) == FM_OK);
    enum fm_status status =
        fm_batch_put_rows(builder, 0, batch, column, &outside, 0, batch->rows, NULL);
    /* INVALID: an enum's text that the guessed type has not. */
    fm_assert(status == FM_OK || status == FM_LIMIT || status == FM_INVALID);
    size_t bound = fm_batch_builder_bytes(builder);
    fm_assert(fm_batch_builder_finish(builder, 0, &bytes) == FM_OK);
    fm_assert(bytes.len <= bound);
    fm_assert(fm_batch_view(fm_buf_span(&bytes), &type, 1, NULL, &again) == FM_OK);
    fm_assert(again.rows == (status == FM_OK ? batch->rows : 0));
    for (uint32_t row = 0; row < again.rows; row += 1 + again.rows / 100)
        fm_assert(fm_vector_is_null(&again, &again.vectors[0], row) ==
                  fm_vector_is_null(batch, &batch->vectors[column], row));
    fm_buf_free(&bytes);
    fm_batch_builder_free(builder);
}

static void use(const struct fm_batch *batch)
{
    for (uint32_t i = 0; i < batch->column_count && i < COLUMNS_TRIED; i++) {
        struct fm_type type = {0};
        fm_assert(guess_type(batch, &batch->vectors[i], &type) == FM_OK);
        read_column(batch, &batch->vectors[i], &type);
        if (i < COLUMNS_REBUILT) {
            rebuild_column(batch, i, &type, false);
            rebuild_column(batch, i, &type, true);
        }
        fm_type_deinit(&type);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct fm_dictionary *dictionaries[FM_COLUMNS_MAX];
    struct fm_batch batch;
    struct fm_dictionary dictionary;

    for (uint32_t i = 0; i < FM_COLUMNS_MAX; i++)
        dictionaries[i] = &outside;
    /* Of exactly this size, so that a sanitizer sees the first byte past the end; the header's
     * length and magic are right, or nothing would get past them. */
    uint8_t *bytes = malloc(size + 1);
    fm_assert(bytes != NULL);
    if (size > 0)
        memcpy(bytes, data, size);
    if (size >= FM_BATCH_HEADER_BYTES) {
        fm_store32(bytes, FM_BATCH_MAGIC);
        fm_store32(bytes + 4, (uint32_t)size);
    }
    uint8_t *exact = realloc(bytes, size > 0 ? size : 1);
    fm_assert(exact != NULL);
    enum fm_status status = fm_batch_view(fm_span(exact, size), NULL, 0, dictionaries, &batch);
    fm_assert(status == FM_OK || status == FM_MALFORMED);
    if (status == FM_OK)
        use(&batch);
    if (fm_dictionary_view(fm_span(exact, size), &dictionary) == FM_OK)
        for (uint32_t i = 0; i < dictionary.count; i++) {
            uint32_t code;
            struct fm_span text = fm_dictionary_at(&dictionary, i);
            fm_assert(fm_dictionary_find(&dictionary, text, &code) == FM_OK && code == i);
        }
    free(exact);
    return 0;
}
