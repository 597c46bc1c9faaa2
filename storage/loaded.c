/* Columns of segments, decoded for reading, in the arena where possible. */
#include "storage/reading.h"
#include "storage/spans.h"
#include "storage/subject.h"

#include "core/assert.h"

#include <stdlib.h>

const struct segment_field *segment_find_field(const struct segment_value *segment, uint32_t id)
{
    for (uint32_t i = 0; i < segment->field_count; i++) {
        if (segment->fields[i].id == id)
            return &segment->fields[i];
    }
    return NULL;
}

static enum fm_status fail_damaged(const struct table_state *state,
                                   const struct segment_value *segment,
                                   const struct fm_field *field, struct fm_error *err)
{
    return fm_fail(err, FM_CORRUPT,
                   "%s.%s: column `%s` of the segment of facts %llu to %llu is damaged; restore "
                   "the folder from a backup",
                   state->table->domain, state->table->name, field->name,
                   (unsigned long long)segment->first_sequence,
                   (unsigned long long)(segment->first_sequence + segment->rows - 1));
}

enum fm_status stored_column_open(const struct table_state *state,
                                  const struct rocks_snapshot *snapshot,
                                  const struct segment_value *segment, const struct fm_field *field,
                                  struct stored_column *out, struct fm_error *err)
{
    const struct segment_field *described = segment_find_field(segment, field->id);
    struct key key = key_column(state->table->id, segment->id, field->id);
    struct stored_column stored = {0};
    enum fm_status status;

    if (described == NULL)
        return FM_NOTFOUND;
    status = rocks_pin(state->table->store->rocks, snapshot, ROCKS_SEGMENTS, key_span(&key),
                       &stored.pin, err);
    if (status == FM_OK)
        status = column_open(stored.pin.value, &field->type, &stored.column);
    if (status == FM_OK &&
        (stored.column.rows != segment->rows || stored.column.null_count != described->null_count))
        status = FM_CORRUPT;
    if (status == FM_OK) {
        *out = stored;
        return FM_OK;
    }
    stored_column_close(&stored);
    /* A value that is missing is damage too: the record names it. */
    if (status == FM_NOTFOUND || status == FM_CORRUPT)
        return fail_damaged(state, segment, field, err);
    return status;
}

void stored_column_close(struct stored_column *stored)
{
    column_deinit(&stored->column);
    rocks_pin_release(&stored->pin);
}

enum fm_status segment_spans(const struct table_state *state, const struct rocks_snapshot *snapshot,
                             const struct segment_value *segment, struct segment_span **loaded,
                             const struct segment_span **out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_spans(state->table->id, segment->id);
    uint32_t count = segment->span_count;
    enum fm_status status = FM_OK;

    *loaded = NULL;
    if (segment->spans == NULL) {
        status = rocks_get(state->table->store->rocks, snapshot, ROCKS_SEGMENTS, key_span(&key),
                           &value, err);
        if (status == FM_OK)
            status = spans_decode(fm_buf_span(&value), segment->rows, loaded, &count);
    }
    if (status == FM_NOTFOUND || status == FM_CORRUPT || count != segment->span_count)
        return fm_fail(err, FM_CORRUPT,
                       "%s.%s: the headers of facts %llu to %llu are damaged or missing; restore "
                       "the folder from a backup",
                       state->table->domain, state->table->name,
                       (unsigned long long)segment->first_sequence,
                       (unsigned long long)(segment->first_sequence + segment->rows - 1));
    if (status == FM_OK)
        *out = segment->spans != NULL ? segment->spans : *loaded;
    return status;
}

void loaded_release(struct loaded *loaded)
{
    if (loaded->pin.file != NULL)
        arena_unpin(loaded->arena, &loaded->pin);
    fm_buf_free(&loaded->bytes);
    *loaded = (struct loaded){0};
}

/* Both are sorted: walk them side by side. */
static enum fm_status make_remap(const struct column *column,
                                 const struct table_dictionary *dictionary, uint32_t **out)
{
    uint32_t count = column->encoding == FM_ENC_CONSTANT ? 1 : column->dictionary.count;
    uint32_t *codes;
    uint32_t code = 0;

    if (column->encoding != FM_ENC_DICTIONARY && column->encoding != FM_ENC_CONSTANT)
        return FM_CORRUPT;
    codes = calloc(count, sizeof *codes);
    if (codes == NULL)
        return FM_NOMEM;
    if (column->encoding == FM_ENC_CONSTANT) {
        enum fm_status status = fm_dictionary_find(
            &dictionary->dictionary, fm_span(column->aux, column->aux_bytes), &codes[0]);

        if (status != FM_OK) {
            free(codes);
            return FM_CORRUPT;
        }
        *out = codes;
        return FM_OK;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct fm_span text = fm_dictionary_at(&column->dictionary, i);

        while (code < dictionary->dictionary.count &&
               !fm_span_equal(fm_dictionary_at(&dictionary->dictionary, code), text))
            code++;
        if (code == dictionary->dictionary.count) {
            free(codes);
            return FM_CORRUPT;
        }
        codes[i] = code;
    }
    *out = codes;
    return FM_OK;
}

/* A column with too many texts for a dictionary of its own, in codes of the table's: a table has
 * one still when it was made while these rows were hot, or for the labels of an enum. */
static enum fm_status recode_texts(const struct table_dictionary *dictionary,
                                   const struct fm_field *field, struct fm_buf *bytes)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf texts = *bytes;
    const struct fm_type *type = &field->type;
    const struct fm_dictionary *outside = &dictionary->dictionary;
    struct fm_batch_builder_options options = {
        .types = &type, .column_count = 1, .dictionaries = &outside, .encode = true};
    struct fm_batch batch;
    enum fm_status status = fm_batch_builder_new(&options, &builder);

    *bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&texts), &batch);
    if (status == FM_OK)
        status = fm_batch_put_rows(builder, 0, &batch, 0, NULL, 0, batch.rows, NULL);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, 0, bytes);
    return status == FM_INVALID ? FM_CORRUPT : status;
}

enum fm_status load_blocks(const struct table_state *state, const struct segment_value *segment,
                           const struct fm_field *field, struct stored_column *stored,
                           const struct table_dictionary *dictionary, uint32_t first,
                           uint32_t count, struct loaded *out, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) uint32_t *codes = NULL;
    FM_AUTO(loaded_release) struct loaded loaded = {.bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX)};
    struct column_remap remap = {0};
    bool has_codes = dictionary != NULL && !stored->column.all_null;
    bool use_remap = has_codes && stored->column.encoding != FM_ENC_PLAIN;
    enum fm_status status = FM_OK;

    if (use_remap) {
        status = make_remap(&stored->column, dictionary, &codes);
        remap = (struct column_remap){.dictionary = &dictionary->dictionary,
                                      .code_width = dictionary->code_width,
                                      .codes = codes};
    }
    if (status == FM_OK)
        status =
            column_decode(&stored->column, first, count, use_remap ? &remap : NULL, &loaded.bytes);
    if (status == FM_OK && has_codes && !use_remap)
        status = recode_texts(dictionary, field, &loaded.bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&loaded.bytes), &loaded.batch);
    if (status != FM_OK)
        return status == FM_CORRUPT || status == FM_MALFORMED
                   ? fail_damaged(state, segment, field, err)
                   : status;
    loaded.first = first * FM_BLOCK_ROWS;
    *out = loaded;
    loaded = (struct loaded){0};
    return FM_OK;
}

/* A column of NULLs for a field that the segment's schema did not have yet. */
static enum fm_status load_nulls(const struct segment_value *segment, const struct fm_field *field,
                                 struct loaded *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    FM_AUTO(loaded_release) struct loaded loaded = {.bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX)};
    const struct fm_type *type = &field->type;
    struct fm_batch_builder_options options = {.types = &type, .column_count = 1, .encode = true};
    enum fm_status status = fm_batch_builder_new(&options, &builder);

    for (uint32_t row = 0; status == FM_OK && row < segment->rows; row++)
        status = fm_batch_put_null(builder, 0);
    if (status == FM_OK)
        status = fm_batch_builder_finish(builder, 0, &loaded.bytes);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&loaded.bytes), &loaded.batch);
    if (status != FM_OK)
        return status;
    *out = loaded;
    loaded = (struct loaded){0};
    return FM_OK;
}

static struct arena_key key_in_arena(const struct table_state *state,
                                     const struct segment_value *segment,
                                     const struct fm_field *field,
                                     const struct table_dictionary *dictionary)
{
    return (struct arena_key){
        .table = state->table->id,
        .field_id = field->id,
        .segment = segment->id,
        .generation = dictionary != NULL ? dictionary->generation : 0,
    };
}

static enum fm_status view_pin(struct arena *arena, struct arena_pin *pin, struct loaded *out)
{
    struct loaded loaded = {.arena = arena, .pin = *pin};
    enum fm_status status = fm_batch_view_trusted(pin->bytes, &loaded.batch);

    fm_assert(status == FM_OK); /* Checked before it went into the arena. */
    *out = loaded;
    return status;
}

enum fm_status find_column(const struct table_state *state, const struct segment_value *segment,
                           const struct fm_field *field, const struct table_dictionary *dictionary,
                           struct loaded *out)
{
    struct arena *arena = state->table->store->arena;
    struct arena_key key = key_in_arena(state, segment, field, dictionary);
    struct arena_pin pin;
    enum fm_status status = arena_find(arena, &key, &pin);

    return status == FM_OK ? view_pin(arena, &pin, out) : status;
}

enum fm_status load_column(const struct table_state *state, const struct rocks_snapshot *snapshot,
                           const struct segment_value *segment, const struct fm_field *field,
                           const struct table_dictionary *dictionary, bool arena_only,
                           struct loaded *out, struct fm_error *err)
{
    FM_AUTO(loaded_release) struct loaded loaded = {0};
    struct stored_column stored = {0};
    struct arena *arena = state->table->store->arena;
    struct arena_key key = key_in_arena(state, segment, field, dictionary);
    struct arena_pin pin;
    enum fm_status status = find_column(state, segment, field, dictionary, out);

    if (status != FM_NOTFOUND)
        return status;
    status = stored_column_open(state, snapshot, segment, field, &stored, err);
    if (status == FM_NOTFOUND)
        status = load_nulls(segment, field, &loaded);
    else if (status == FM_OK)
        status = load_blocks(state, segment, field, &stored, dictionary, 0,
                             stored.column.block_count, &loaded, err);
    stored_column_close(&stored);
    if (status != FM_OK)
        return status;
    status = arena_add(arena, &key, fm_buf_span(&loaded.bytes), &pin);
    if (status == FM_OK)
        return view_pin(arena, &pin, out);
    if (arena_only || status != FM_LIMIT)
        return status;
    *out = loaded;
    loaded = (struct loaded){0};
    return FM_OK;
}

/* Sequences and times rise, so both ends are at hand; of the rest nothing is known. */
static bool header_may_match(const struct segment_value *segment, const struct fm_predicate *term,
                             const struct fm_type *type)
{
    bool is_time = term->field_id == FM_FIELD_RECORDED_AT;
    uint64_t low = segment->first_sequence;
    uint64_t high = segment->first_sequence + segment->rows - 1;
    uint8_t min[8], max[8];

    if (term->field_id != FM_FIELD_SEQ && !is_time)
        return true;
    if (is_time && segment->spans == NULL) {
        low = (uint64_t)segment->first_recorded_at;
        high = (uint64_t)segment->last_recorded_at;
    } else if (is_time) {
        low = (uint64_t)segment->spans[0].header.recorded_at;
        high = (uint64_t)segment->spans[segment->span_count - 1].header.recorded_at;
    }
    fm_store64(min, low);
    fm_store64(max, high);
    return fm_predicate_may_match(term, type, fm_span(min, 8), fm_span(max, 8), segment->rows, 0);
}

bool bounds_may_match(const struct fm_predicate *term, const struct fm_type *type,
                      const struct bounds *bounds, uint32_t rows, uint32_t null_count)
{
    bool known = bounds->min_len > 0;

    return fm_predicate_may_match(
        term, type, known ? fm_span(bounds->min, bounds->min_len) : (struct fm_span){0},
        known ? fm_span(bounds->max, bounds->max_len) : (struct fm_span){0}, rows, null_count);
}

bool segment_may_match(const struct segment_value *segment, const struct fm_schema *schema,
                       const struct fm_predicate_list *predicates)
{
    for (uint32_t i = 0; predicates != NULL && i < predicates->count; i++) {
        const struct fm_predicate *term = &predicates->terms[i];
        const struct segment_field *field = segment_find_field(segment, term->field_id);
        int64_t position = schema_position(schema, term->field_id);

        if (position < 0 || subject_seals(schema, (uint32_t)position))
            continue; /* Nothing is known. */
        if (fm_field_is_header(term->field_id)) {
            if (!header_may_match(segment, term, &schema->fields[position].type))
                return false;
            continue;
        }
        if (field == NULL) { /* NULL in every row. */
            if (term->op != FM_OP_IS_NULL)
                return false;
            continue;
        }
        if (!bounds_may_match(term, &schema->fields[position].type, &field->bounds, segment->rows,
                              field->null_count))
            return false;
    }
    return true;
}
