#include "tests/support/storage_examples.h"

#include "core/assert.h"
#include "storage/spans.h"
#include "storage/superseded.h"
#include "tests/support/random_value.h"

static void fill(void *out, size_t len, uint8_t first)
{
    uint8_t *bytes = out;

    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(first + i);
}

static struct fm_fact_header example_header(void)
{
    struct fm_fact_header header = {
        .schema_version = 3,
        .sequence = 1000,
        .recorded_at = 1700000000000000,
        .operation = FM_ASSERT,
        .has_producer = true,
        .producer_sequence = 9,
        .has_trace = true,
    };

    fill(header.producer_id, 16, 0x10);
    fill(header.trace_id, 16, 0x30);
    return header;
}

static void example_state(struct fm_buf *out)
{
    struct state_value value = {.recorded_at = 1700000000000000,
                                .hot_rows = 2,
                                .segment_count = 1,
                                .next_segment = 4,
                                .superseded = 1};

    fm_tree_init(&value.tree);
    for (uint8_t i = 0; i < 5; i++) {
        struct fm_hash leaf;

        fill(leaf.bytes, 32, i);
        fm_tree_append(&value.tree, &leaf);
    }
    state_encode(out, &value);
}

static void example_segment(struct fm_buf *out, bool is_sealed)
{
    struct segment_span spans[2] = {{.rows = 2000, .header = example_header()},
                                    {.rows = 1000, .header = example_header()}};
    struct segment_field fields[2] = {
        {.id = 1,
         .kind = FM_KIND_INT64,
         .encoding = FM_ENC_FOR,
         .code_width = 2,
         .stored_bytes = 6300,
         .bounds = {.min_len = 8, .max_len = 8}},
        {.id = 7,
         .kind = FM_KIND_VARCHAR,
         .encoding = FM_ENC_PLAIN,
         .null_count = 17,
         .stored_bytes = 99000,
         .bounds = {.flags = BOUNDS_MAX_CUT, .min_len = 2, .max_len = 64}},
    };
    struct segment_value value = {.id = 5,
                                  .first_sequence = 1000,
                                  .rows = 3000,
                                  .schema_version = 3,
                                  .span_count = 2,
                                  .spans = spans,
                                  .field_count = 2,
                                  .fields = fields};

    spans[1].header.sequence = 3000;
    spans[1].header.has_trace = false;
    fields[0].bounds.min[0] = 0x7f;
    fields[0].bounds.max[1] = 0x20;
    fields[1].bounds.min[0] = 1;
    fields[1].bounds.min[1] = 'a';
    fill(fields[1].bounds.max, 64, 0x3f);
    if (is_sealed) {
        value.spans = NULL;
        value.span_count = 700;
        value.first_recorded_at = 1700000000000000;
        value.last_recorded_at = 1700000000000999;
    }
    segment_value_encode(out, &value);
}

static void example_tiles(struct fm_buf *out)
{
    struct tiles tiles = {.count = 3, .leaves = 192 + 32, .levels = {7, 6, 5}};

    for (uint32_t i = 0; i < tiles.count; i++)
        fill(tiles.hashes[i].bytes, 32, (uint8_t)(0x40 + i));
    tiles_encode(out, &tiles);
}

static void example_dropped(struct fm_buf *out)
{
    struct segment_value value = {.id = 5,
                                  .first_sequence = 1000,
                                  .rows = 3000,
                                  .schema_version = 3,
                                  .is_dropped = true,
                                  .first_recorded_at = 1700000000000000,
                                  .last_recorded_at = 1700000000000999};

    segment_value_encode(out, &value);
}

static bool example_spans(struct fm_buf *out)
{
    FM_AUTO(compressor_freep) struct compressor *compressor = NULL;
    /* Too short to be compressed. */
    struct segment_span spans[1] = {{.rows = 3000, .header = example_header()}};

    spans[0].header.has_producer = spans[0].header.has_trace = false;
    return compressor_new(&compressor) == FM_OK && spans_encode(compressor, spans, 1, out) == FM_OK;
}

static void example_hot(struct fm_buf *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(0);
    const struct fm_type type = {.kind = FM_KIND_INT32};
    const struct fm_type *types = &type;
    struct fm_batch_builder_options options = {.types = &types, .column_count = 1};
    struct hot_value value = {.header = example_header()};
    int32_t number = 77;

    fm_assert(fm_batch_builder_new(&options, &builder) == FM_OK);
    fm_assert(fm_batch_put_fixed(builder, 0, &number) == FM_OK);
    fm_assert(fm_batch_put_null(builder, 0) == FM_OK);
    fm_assert(fm_batch_builder_finish(builder, 0, &batch) == FM_OK);
    value.batch = fm_buf_span(&batch);
    hot_encode(out, &value);
}

static enum fm_status take_window(void *context, uint64_t window, struct fm_span value)
{
    (void)window;
    fm_buf_put_span(context, value);
    return FM_OK;
}

static void example_superseded(struct fm_buf *out)
{
    FM_AUTO(superseded_edit_freep) struct superseded_edit *edit = NULL;

    fm_assert(superseded_edit_new(NULL, &edit) == FM_OK);
    for (uint64_t i = 0; i < 65536; i = i * 3 + 1)
        fm_assert(superseded_edit_add(edit, i) == FM_OK);
    fm_assert(superseded_edit_each(edit, take_window, out) == FM_OK);
}

static void example_small(unsigned number, struct fm_buf *out)
{
    struct fm_hash hash;

    fill(hash.bytes, 32, 0x40);
    if (number == STORAGE_EXAMPLE_tip) {
        struct tip_value value = {.number = 12, .digest = hash, .next_table = 3};
        tip_encode(out, &value);
    } else if (number == STORAGE_EXAMPLE_commit) {
        commit_encode(out, &hash);
    } else if (number == STORAGE_EXAMPLE_subtree) {
        subtree_encode(out, &hash);
    } else if (number == STORAGE_EXAMPLE_staged) {
        struct staged_value value = {.first_sequence = 1000, .first_segment = 6};
        staged_encode(out, &value);
    } else {
        struct producer_value value = {.producer_sequence = 9,
                                       .first_sequence = 1000,
                                       .rows = 3000,
                                       .size = 4000,
                                       .root = hash,
                                       .recorded_at = 1700000000000000};
        producer_encode(out, &value);
    }
}

static void example_ids(unsigned number, struct fm_buf *out)
{
    struct format_value format = {.version = STORE_FORMAT_VERSION};
    struct slot_value slot = {
        .version = STORE_FORMAT_VERSION, .number = 12, .time = 1700000000000000};
    struct table_value table = {.domain = "flights",
                                .table = "delays",
                                .epoch = 2,
                                .schema_version = 3,
                                .has_commitment_key = true};
    uint8_t bytes[SLOT_BYTES];

    fill(format.mesh.bytes, 32, 0x60);
    fill(format.node.bytes, 16, 0xa0);
    fill(table.commitment_key, 32, 0xc0);
    slot.mesh = format.mesh;
    slot.node = format.node;
    fill(slot.digest.bytes, 32, 0x40);
    if (number == STORAGE_EXAMPLE_format) {
        format_encode(out, &format);
    } else if (number == STORAGE_EXAMPLE_table) {
        table_encode(out, &table);
    } else {
        slot_encode(bytes, &slot);
        fm_buf_put(out, bytes, sizeof bytes);
    }
}

static void example_subject(unsigned number, struct fm_buf *out)
{
    struct subject_value value = {.state = SUBJECT_ACTIVE};

    fill(value.key, sizeof value.key, 0xe0);
    if (number == STORAGE_EXAMPLE_erased)
        value = (struct subject_value){.state = SUBJECT_ERASED, .erased_at = 1700000000000000};
    if (number == STORAGE_EXAMPLE_mark)
        subject_mark_encode(out);
    else
        subject_encode(out, &value);
}

bool storage_example(unsigned number, struct fm_buf *out)
{
    struct index_value index = {.sequence = 1234, .previous = INDEX_NONE};
    uint8_t bytes[16];

    switch (number) {
    case STORAGE_EXAMPLE_format:
    case STORAGE_EXAMPLE_table:
    case STORAGE_EXAMPLE_slot:
        example_ids(number, out);
        return true;
    case STORAGE_EXAMPLE_tip:
    case STORAGE_EXAMPLE_commit:
    case STORAGE_EXAMPLE_staged:
    case STORAGE_EXAMPLE_producer:
    case STORAGE_EXAMPLE_subtree:
        example_small(number, out);
        return true;
    case STORAGE_EXAMPLE_state:
        example_state(out);
        return true;
    case STORAGE_EXAMPLE_index:
        index_encode(bytes, &index);
        fm_buf_put(out, bytes, sizeof bytes);
        return true;
    case STORAGE_EXAMPLE_hot:
        example_hot(out);
        return true;
    case STORAGE_EXAMPLE_segment:
        example_segment(out, false);
        return true;
    case STORAGE_EXAMPLE_sealed:
        example_segment(out, true);
        return true;
    case STORAGE_EXAMPLE_spans:
        return example_spans(out);
    case STORAGE_EXAMPLE_tiles:
        example_tiles(out);
        return true;
    case STORAGE_EXAMPLE_dropped:
        example_dropped(out);
        return true;
    case STORAGE_EXAMPLE_subject:
    case STORAGE_EXAMPLE_erased:
    case STORAGE_EXAMPLE_mark:
        example_subject(number, out);
        return true;
    case STORAGE_EXAMPLE_superseded:
        example_superseded(out);
        return true;
    default:
        return false;
    }
}

/* ---- Decoding -------------------------------------------------------------------------------- */

#define DECODE(kind)                                                                               \
    {                                                                                              \
        struct kind##_value value;                                                                 \
        status = kind##_decode(bytes, &value);                                                     \
        if (status == FM_OK)                                                                       \
            kind##_encode(again, &value);                                                          \
        return status;                                                                             \
    }

static enum fm_status decode_segment(struct fm_span bytes, struct fm_buf *again)
{
    struct segment_value value;
    enum fm_status status = segment_value_decode(bytes, &value);

    if (status != FM_OK)
        return status;
    segment_value_encode(again, &value);
    segment_value_deinit(&value);
    return FM_OK;
}

static enum fm_status decode_spans(struct fm_span bytes, struct fm_buf *again)
{
    FM_AUTO(compressor_freep) struct compressor *compressor = NULL;
    FM_AUTO(fm_mem_freep) struct segment_span *spans = NULL;
    uint32_t count = 0;
    enum fm_status status = spans_decode(bytes, 3000, &spans, &count);

    if (status == FM_OK)
        status = compressor_new(&compressor);
    return status == FM_OK ? spans_encode(compressor, spans, count, again) : status;
}

static enum fm_status decode_superseded(struct fm_span bytes, struct fm_buf *again)
{
    FM_AUTO(superseded_edit_freep) struct superseded_edit *edit = NULL;
    enum fm_status status = superseded_edit_new(NULL, &edit);
    struct superseded *version;
    uint64_t selection[1024];

    if (status == FM_OK)
        status = superseded_edit_load(edit, 0, bytes);
    if (status != FM_OK)
        return status;
    version = superseded_edit_take(edit);
    memset(selection, 0xff, sizeof selection);
    superseded_clear(version, 0, 65536, selection);
    fm_assert(superseded_count_range(version, 0, 65536) == superseded_count(version));
    superseded_release(version);
    fm_buf_put_span(again, bytes); /* CRoaring's form has several encodings. */
    return FM_OK;
}

static enum fm_status decode_others(unsigned number, struct fm_span bytes, struct fm_buf *again)
{
    enum fm_status status;

    if (number == STORAGE_EXAMPLE_commit) {
        struct fm_hash hash;

        status = commit_decode(bytes, &hash);
        if (status == FM_OK)
            commit_encode(again, &hash);
        return status;
    }
    if (number == STORAGE_EXAMPLE_subtree) {
        struct fm_hash hash;

        status = subtree_decode(bytes, &hash);
        if (status == FM_OK)
            subtree_encode(again, &hash);
        return status;
    }
    if (number == STORAGE_EXAMPLE_tiles) {
        struct tiles tiles;

        status = tiles_decode(bytes, &tiles);
        if (status == FM_OK)
            tiles_encode(again, &tiles);
        return status;
    }
    if (number == STORAGE_EXAMPLE_mark) {
        status = subject_mark_decode(bytes);
        if (status == FM_OK)
            subject_mark_encode(again);
        return status;
    }
    if (number == STORAGE_EXAMPLE_index) {
        struct index_value index;
        uint8_t encoded[16];

        status = index_decode(bytes, &index);
        if (status == FM_OK) {
            index_encode(encoded, &index);
            fm_buf_put(again, encoded, sizeof encoded);
        }
        return status;
    }
    if (number == STORAGE_EXAMPLE_slot) {
        struct slot_value slot;
        uint8_t encoded[SLOT_BYTES];

        status = bytes.len == SLOT_BYTES ? slot_decode(bytes.data, &slot) : FM_CORRUPT;
        if (status == FM_OK) {
            slot_encode(encoded, &slot);
            fm_buf_put(again, encoded, sizeof encoded);
        }
        return status;
    }
    return FM_NOTFOUND;
}

enum fm_status storage_decode(unsigned number, struct fm_span bytes, struct fm_buf *again)
{
    enum fm_status status;

    switch (number) {
    case STORAGE_EXAMPLE_format:
        DECODE(format)
    case STORAGE_EXAMPLE_tip:
        DECODE(tip)
    case STORAGE_EXAMPLE_table:
        DECODE(table)
    case STORAGE_EXAMPLE_state:
        DECODE(state)
    case STORAGE_EXAMPLE_staged:
        DECODE(staged)
    case STORAGE_EXAMPLE_producer:
        DECODE(producer)
    case STORAGE_EXAMPLE_hot:
        DECODE(hot)
    case STORAGE_EXAMPLE_subject:
    case STORAGE_EXAMPLE_erased:
        DECODE(subject)
    case STORAGE_EXAMPLE_segment:
    case STORAGE_EXAMPLE_sealed:
    case STORAGE_EXAMPLE_dropped:
        return decode_segment(bytes, again);
    case STORAGE_EXAMPLE_spans:
        return decode_spans(bytes, again);
    case STORAGE_EXAMPLE_superseded:
        return decode_superseded(bytes, again);
    default:
        return decode_others(number, bytes, again);
    }
}

/* ---- Columns --------------------------------------------------------------------------------- */

const struct column_example column_examples[COLUMN_EXAMPLES] = {
    {"column-plain", "int16", 5, SHAPE_ANY, 0, PATTERN_NONE},
    {"column-for", "timestamp", 2100, SHAPE_MINUTES, 0, PATTERN_NONE},
    {"column-constant", "varchar", 70, SHAPE_SAME, 0, PATTERN_NONE},
    {"column-dictionary", "varchar", 2050, SHAPE_FEW, 7, PATTERN_NONE},
    {"column-text", "varchar", 9, SHAPE_ANY, 4, PATTERN_NONE},
    {"column-nulls", "double", 3, SHAPE_ANY, 1, PATTERN_NONE},
    {"column-list", "list(int32)", 6, SHAPE_FEW, 5, PATTERN_NONE},
    {"column-decimal", "decimal(38,4)", 6, SHAPE_ANY, 5, PATTERN_NONE},
    {"column-delta", "int64", 2100, 0, 5000, PATTERN_RISING},
    {"column-runs", "int64", 2100, 0, 0, PATTERN_RUNS},
    {"column-differences", "int64", 2100, 0, 0, PATTERN_WRAPS},
};

static int64_t pattern_value(enum column_pattern pattern, uint32_t row)
{
    switch (pattern) {
    case PATTERN_RISING:
        return INT64_C(1700000000000000) + row * INT64_C(1000) + row * row % 13;
    case PATTERN_RUNS:
        return row / 700;
    default:
        return row * 7 % 1009;
    }
}

void column_example_make(const struct column_example *example, struct fm_type *type,
                         struct fm_buf *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(column_encoder_freep) struct column_encoder *encoder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct random random = {.state = 1};
    const struct fm_type *types = type;
    struct fm_batch_builder_options options = {.types = &types, .column_count = 1, .encode = true};
    struct segment_field field;
    struct fm_batch batch;

    fm_assert(fm_type_parse(fm_span_str(example->type), type, NULL) == FM_OK);
    fm_assert(fm_batch_builder_new(&options, &builder) == FM_OK);
    for (uint32_t row = 0; row < example->rows; row++) {
        struct fm_cursor cursor;

        fm_buf_clear(&value);
        if (example->pattern == PATTERN_NONE)
            random_value(&random, type, (enum random_shape)example->shape, &value);
        else
            fm_buf_put_u64(&value, (uint64_t)pattern_value(example->pattern, row));
        cursor = fm_cursor(fm_buf_span(&value));
        if (example->null_every != 0 && row % example->null_every == 0)
            fm_assert(fm_batch_put_null(builder, 0) == FM_OK);
        else
            fm_assert(fm_batch_put_canonical(builder, 0, &cursor) == FM_OK);
    }
    fm_assert(fm_batch_builder_finish(builder, 0, &bytes) == FM_OK);
    fm_assert(fm_batch_view_trusted(fm_buf_span(&bytes), &batch) == FM_OK);
    fm_assert(column_encoder_new(&encoder) == FM_OK);
    fm_assert(column_encode(encoder, &batch, 0, type, out, &field) == FM_OK);
}
