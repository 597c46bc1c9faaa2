#include "storage/dictionary.h"

#include "core/assert.h"
#include "storage/segment.h"
#include "storage/subject.h"
#include "storage/units.h"

#include <stdlib.h>

#define TEXTS_MAX (4u * FM_DICTIONARY_VALUES_MAX) /* Repeats counted, before they are sorted out. */

struct field_dictionary {
    uint32_t field_id;
    bool has_none; /* For ever: values only become more. */
    uint64_t covered_size;
    struct table_dictionary *current; /* NULL: no value yet. */
};

struct table_dictionaries {
    pthread_mutex_t lock;
    uint64_t last_generation;
    uint32_t count;
    struct field_dictionary *fields;
};

void table_dictionary_release(struct table_dictionary *dictionary)
{
    if (dictionary == NULL || atomic_fetch_sub(&dictionary->references, 1) != 1)
        return;
    free(dictionary->storage);
    free(dictionary);
}

enum fm_status table_dictionaries_new(struct table_dictionaries **out)
{
    struct table_dictionaries *dictionaries = calloc(1, sizeof *dictionaries);

    if (dictionaries == NULL)
        return FM_NOMEM;
    if (pthread_mutex_init(&dictionaries->lock, NULL) != 0) {
        free(dictionaries);
        return FM_NOMEM;
    }
    *out = dictionaries;
    return FM_OK;
}

void table_dictionaries_free(struct table_dictionaries *dictionaries)
{
    if (dictionaries == NULL)
        return;
    for (uint32_t i = 0; i < dictionaries->count; i++)
        table_dictionary_release(dictionaries->fields[i].current);
    (void)pthread_mutex_destroy(&dictionaries->lock); /* Nobody holds it. */
    free(dictionaries->fields);
    free(dictionaries);
}

/* ---- Collecting texts ------------------------------------------------------------------------ */

struct text_place {
    uint32_t at;
    uint32_t len;
};

/* Texts that are not in the current dictionary. */
struct texts {
    const struct table_dictionary *known; /* May be NULL. */
    struct fm_buf bytes;
    uint32_t count;
    uint32_t capacity;
    struct text_place *places;
};

static void texts_deinit(struct texts *texts)
{
    fm_buf_free(&texts->bytes);
    free(texts->places);
}

static struct fm_span text_at(const struct texts *texts, uint32_t index)
{
    return fm_span(texts->bytes.data + texts->places[index].at, texts->places[index].len);
}

static int compare_spans(struct fm_span a, struct fm_span b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_places(const void *left, const void *right, void *context)
{
    const struct texts *texts = context;
    const struct text_place *a = left;
    const struct text_place *b = right;

    return compare_spans(fm_span(texts->bytes.data + a->at, a->len),
                         fm_span(texts->bytes.data + b->at, b->len));
}

static enum fm_status sort_out(struct texts *texts)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(texts->bytes.max);
    uint32_t kept = 0;

    if (texts->count == 0)
        return FM_OK;
    qsort_r(texts->places, texts->count, sizeof *texts->places, compare_places, texts);
    for (uint32_t i = 1; i < texts->count; i++) {
        if (compare_spans(text_at(texts, kept), text_at(texts, i)) != 0)
            texts->places[++kept] = texts->places[i];
    }
    texts->count = kept + 1;
    for (uint32_t i = 0; i < texts->count; i++) {
        struct fm_span text = text_at(texts, i);

        texts->places[i].at = (uint32_t)bytes.len;
        fm_buf_put_span(&bytes, text);
        if (fm_buf_status(&bytes) != FM_OK)
            return fm_buf_status(&bytes);
    }
    struct fm_buf before = texts->bytes;
    texts->bytes = bytes;
    bytes = before;
    return FM_OK;
}

/* FM_LIMIT: more than a dictionary holds. */
static enum fm_status texts_add(struct texts *texts, struct fm_span text)
{
    enum fm_status status = FM_OK;
    uint32_t code;

    if (texts->known != NULL && fm_dictionary_find(&texts->known->dictionary, text, &code) == FM_OK)
        return FM_OK;
    if (texts->count == TEXTS_MAX) {
        status = sort_out(texts);
        if (status == FM_OK && texts->count > FM_DICTIONARY_VALUES_MAX)
            status = FM_LIMIT;
    }
    if (status != FM_OK)
        return status;
    if (texts->count == texts->capacity) {
        uint32_t capacity = texts->capacity == 0 ? 64 : texts->capacity * 2;
        struct text_place *places = realloc(texts->places, capacity * sizeof *places);

        if (places == NULL)
            return FM_NOMEM;
        texts->places = places;
        texts->capacity = capacity;
    }
    texts->places[texts->count++] =
        (struct text_place){.at = (uint32_t)texts->bytes.len, .len = (uint32_t)text.len};
    fm_buf_put_span(&texts->bytes, text);
    return fm_buf_status(&texts->bytes);
}

static enum fm_status add_dictionary(struct texts *texts, const struct fm_dictionary *dictionary)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < dictionary->count; i++)
        status = texts_add(texts, fm_dictionary_at(dictionary, i));
    return status;
}

static const struct segment_field *find_field(const struct segment_value *segment, uint32_t id)
{
    for (uint32_t i = 0; i < segment->field_count; i++) {
        if (segment->fields[i].id == id)
            return &segment->fields[i];
    }
    return NULL;
}

static enum fm_status add_segment(struct texts *texts, const struct table_state *state,
                                  const struct rocks_snapshot *snapshot,
                                  const struct segment_value *segment, const struct fm_field *field,
                                  struct fm_error *err)
{
    const struct segment_field *stored = find_field(segment, field->id);
    struct key key = key_column(state->table->id, segment->id, field->id);
    struct rocks_pin pin = {0};
    struct column column = {0};
    enum fm_status status;

    if (stored == NULL || stored->null_count == segment->rows)
        return FM_OK;
    if (stored->encoding == FM_ENC_PLAIN)
        return FM_LIMIT; /* Too many values for a dictionary of this segment alone. */
    status =
        rocks_pin(state->table->store->rocks, snapshot, ROCKS_SEGMENTS, key_span(&key), &pin, err);
    if (status == FM_OK)
        status = column_open(pin.value, &field->type, &column);
    if (status == FM_NOTFOUND || status == FM_CORRUPT)
        status = fm_fail(err, FM_CORRUPT,
                         "%s.%s: column `%s` of the segment of fact %llu is "
                         "damaged; restore the folder from a backup",
                         state->table->domain, state->table->name, field->name,
                         (unsigned long long)segment->first_sequence);
    if (status == FM_OK && column.encoding == FM_ENC_DICTIONARY)
        status = add_dictionary(texts, &column.dictionary);
    else if (status == FM_OK && column.encoding == FM_ENC_CONSTANT)
        status = texts_add(texts, fm_span(column.aux, column.aux_bytes));
    column_deinit(&column);
    rocks_pin_release(&pin);
    return status;
}

static enum fm_status add_hot(struct texts *texts, const struct table_state *state,
                              const struct unit *unit, const struct fm_field *field,
                              struct fm_error *err)
{
    FM_AUTO(hot_rows_deinit) struct hot_rows rows = {0};
    const struct fm_vector_entry *vector;
    enum fm_status status = hot_rows_open(state, unit, &rows, err);
    int64_t position;

    if (status != FM_OK)
        return status;
    position = schema_position(rows.schema, field->id);
    if (position < 0)
        return FM_OK;
    vector = &rows.batch.vectors[position];
    for (uint32_t row = 0; status == FM_OK && row < rows.batch.rows; row++) {
        if (!fm_vector_is_null(&rows.batch, vector, row))
            status = texts_add(texts, fm_vector_bytes(&rows.batch, vector, NULL, row));
    }
    return status;
}

static enum fm_status collect(struct texts *texts, const struct table_state *state,
                              const struct rocks_snapshot *snapshot, const struct fm_field *field,
                              uint64_t covered, struct fm_error *err)
{
    struct units units;
    struct unit unit;
    enum fm_status status = FM_OK;

    units_init(&units, state, snapshot, covered);
    while (status == FM_OK) {
        status = units_next(&units, &unit, err);
        if (status == FM_OK)
            status = unit.segment != NULL
                         ? add_segment(texts, state, snapshot, unit.segment, field, err)
                         : add_hot(texts, state, &unit, field, err);
    }
    units_deinit(&units);
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* ---- The next generation --------------------------------------------------------------------- */

static void put_text(struct fm_buf *text, struct fm_buf *offsets, struct fm_span value)
{
    fm_buf_put_span(text, value);
    fm_buf_put_u32(offsets, (uint32_t)text->len);
}

/* What was known and what is new, in order: offsets with their count of values, and texts. */
static enum fm_status merge(const struct texts *texts, struct fm_buf *offsets, struct fm_buf *text,
                            uint32_t *count)
{
    const struct fm_dictionary none = {0};
    const struct fm_dictionary *known = texts->known != NULL ? &texts->known->dictionary : &none;
    uint32_t a = 0;
    uint32_t b = 0;

    *count = known->count + texts->count;
    if (*count > FM_DICTIONARY_VALUES_MAX)
        return FM_LIMIT;
    fm_buf_put_u32(offsets, 0);
    while (a < known->count || b < texts->count) {
        bool take_known = b == texts->count;

        if (a < known->count && b < texts->count)
            take_known = compare_spans(fm_dictionary_at(known, a), text_at(texts, b)) < 0;
        put_text(text, offsets, take_known ? fm_dictionary_at(known, a++) : text_at(texts, b++));
    }
    return fm_buf_status(text) != FM_OK ? fm_buf_status(text) : fm_buf_status(offsets);
}

static enum fm_status make_generation(struct texts *texts, uint64_t generation,
                                      struct table_dictionary **out)
{
    FM_AUTO(fm_buf_free) struct fm_buf storage = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(TABLE_DICTIONARY_BYTES_MAX);
    struct table_dictionary *made;
    uint32_t count = 0;
    enum fm_status status;

    status = sort_out(texts);
    if (status == FM_OK)
        status = merge(texts, &storage, &text, &count);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(&storage, fm_buf_span(&text));
    status = fm_buf_status(&storage);
    if (status != FM_OK)
        return status;
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return FM_NOMEM;
    atomic_init(&made->references, 1);
    made->generation = generation;
    made->code_width = count <= 256 ? 1 : 2;
    made->storage = FM_TAKE(storage.data);
    storage = (struct fm_buf){0};
    made->dictionary = (struct fm_dictionary){
        .count = count,
        .offsets = (const uint32_t *)(const void *)made->storage,
        .text = made->storage + ((size_t)count + 1) * 4,
    };
    *out = made;
    return FM_OK;
}

static enum fm_status extend(struct table_dictionaries *dictionaries,
                             struct field_dictionary *field, const struct table_state *state,
                             const struct rocks_snapshot *snapshot,
                             const struct fm_field *described, struct fm_error *err)
{
    FM_AUTO(texts_deinit)
    struct texts texts = {.known = field->current,
                          .bytes = FM_BUF_INIT(8 * TABLE_DICTIONARY_BYTES_MAX)};
    struct table_dictionary *next = NULL;
    enum fm_status status = FM_OK;

    if (described->type.kind == FM_KIND_ENUM) {
        for (uint32_t i = 0; status == FM_OK && i < described->type.label_count; i++)
            status = texts_add(&texts, fm_span_str(described->type.labels[i]));
    } else {
        status = collect(&texts, state, snapshot, described, field->covered_size, err);
    }
    if (status == FM_OK && texts.count > 0)
        status = make_generation(&texts, dictionaries->last_generation + 1, &next);
    if (status == FM_LIMIT) {
        field->has_none = true;
        table_dictionary_release(field->current);
        field->current = NULL;
        return FM_OK;
    }
    if (status != FM_OK)
        return status;
    field->covered_size = state->tree.size;
    if (next != NULL) {
        dictionaries->last_generation++;
        table_dictionary_release(field->current);
        field->current = next;
    }
    return FM_OK;
}

static enum fm_status field_of(struct table_dictionaries *dictionaries, uint32_t field_id,
                               struct field_dictionary **out)
{
    struct field_dictionary *fields;

    for (uint32_t i = 0; i < dictionaries->count; i++) {
        if (dictionaries->fields[i].field_id == field_id) {
            *out = &dictionaries->fields[i];
            return FM_OK;
        }
    }
    fields = realloc(dictionaries->fields, (dictionaries->count + 1) * sizeof *fields);
    if (fields == NULL)
        return FM_NOMEM;
    dictionaries->fields = fields;
    fields[dictionaries->count] = (struct field_dictionary){.field_id = field_id};
    *out = &fields[dictionaries->count++];
    return FM_OK;
}

enum fm_status table_dictionary_get(const struct table_state *state,
                                    const struct rocks_snapshot *snapshot, uint32_t position,
                                    struct table_dictionary **out, struct fm_error *err)
{
    struct table_dictionaries *dictionaries = state->table->dictionaries;
    const struct fm_field *described = &state->schema->fields[position];
    struct field_dictionary *field = NULL;
    enum fm_status status;

    fm_assert(position < state->schema->field_count);
    *out = NULL;
    if ((described->type.kind != FM_KIND_VARCHAR && described->type.kind != FM_KIND_ENUM) ||
        subject_seals(state->schema, position))
        return FM_OK;                              /* Values of data subjects are not kept. */
    (void)pthread_mutex_lock(&dictionaries->lock); /* Cannot fail: a plain, initialised mutex. */
    status = field_of(dictionaries, described->id, &field);
    if (status == FM_OK && !field->has_none && field->covered_size < state->tree.size)
        status = extend(dictionaries, field, state, snapshot, described, err);
    if (status == FM_OK && field->current != NULL) {
        atomic_fetch_add(&field->current->references, 1);
        *out = field->current;
    }
    (void)pthread_mutex_unlock(&dictionaries->lock);
    return status;
}
