/* Rows to and from the form that they are stored in for their subjects. */
#include "storage/subject.h"

#include "core/assert.h"
#include "core/keys.h"

#include <stdlib.h>

/* Secrets do not stay in freed memory. */
static void buf_wipe(struct fm_buf *buf)
{
    if (buf->data != NULL)
        fm_wipe(buf->data, buf->cap);
    fm_buf_free(buf);
}

static enum fm_status make_builder(const struct fm_type *const *types, uint32_t count,
                                   struct fm_batch_builder **out)
{
    struct fm_batch_builder_options options = {
        .types = types, .column_count = count, .encode = true};

    return fm_batch_builder_new(&options, out);
}

/* ---- Writing --------------------------------------------------------------------------------- */

struct subject_writer {
    struct table *table;
    const struct fm_schema *schema; /* The contract's. */
    const struct fm_schema *stored;
    uint32_t extra_count;
    struct subject_keys *keys;
    struct fm_leaf_encoder *encoder; /* Of classified fields. */
    struct fm_batch_builder *builder;
    struct fm_buf fields; /* Classified fields of a block's rows, a secret, */
    size_t ends[FM_BLOCK_ROWS];
    struct fm_buf text;
    struct fm_buf sealed;
    struct fm_buf bytes;
};

void subject_writer_free(struct subject_writer *writer)
{
    if (writer == NULL)
        return;
    subject_keys_free(writer->keys);
    fm_leaf_encoder_free(writer->encoder);
    fm_batch_builder_free(writer->builder);
    buf_wipe(&writer->fields);
    fm_buf_free(&writer->text);
    fm_buf_free(&writer->sealed);
    fm_buf_free(&writer->bytes);
    free(writer);
}

static enum fm_status init_writer(struct subject_writer *writer,
                                  const struct fm_type *const *extras)
{
    uint32_t count = writer->stored->field_count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types =
        calloc(count + writer->extra_count, sizeof(const struct fm_type *));
    struct fm_leaf_encoder_options options = {.schema = writer->schema};
    enum fm_status status;

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        types[i] = &writer->stored->fields[i].type;
    for (uint32_t i = 0; i < writer->extra_count; i++)
        types[count + i] = extras[i];
    status = subject_keys_new(writer->table, SUBJECT_KEYS_MANY, &writer->keys);
    if (status == FM_OK)
        status = fm_leaf_encoder_new(&options, &writer->encoder);
    return status == FM_OK ? make_builder(types, count + writer->extra_count, &writer->builder)
                           : status;
}

enum fm_status subject_writer_new(struct table *table, const struct fm_schema *schema,
                                  const struct fm_type *const *extras, uint32_t extra_count,
                                  struct subject_writer **out)
{
    struct subject_writer *writer = calloc(1, sizeof *writer);
    enum fm_status status;

    if (writer == NULL)
        return FM_NOMEM;
    fm_assert(schema->has_subject);
    writer->table = table;
    writer->schema = schema;
    writer->extra_count = extra_count;
    writer->fields = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    writer->text = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    writer->sealed = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    writer->bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    status = table_schema(table, schema->version, &writer->stored);
    if (status == FM_OK)
        status = init_writer(writer, extras);
    if (status != FM_OK) {
        subject_writer_free(writer);
        return status;
    }
    *out = writer;
    return FM_OK;
}

static enum fm_status fail_erased(const struct subject_writer *writer, struct fm_error *err)
{
    struct fm_span text = fm_buf_span(&writer->text);

    return fm_fail(err, FM_REFUSED,
                   "the subject `%.*s` was erased in the domain %s: facts of it cannot be stored "
                   "any more; leave its rows out of the append",
                   (int)(text.len < 64 ? text.len : 64), (const char *)text.data,
                   writer->table->domain);
}

static enum fm_status seal_row(struct subject_writer *writer, const struct fm_batch *batch,
                               uint32_t row, uint64_t sequence, struct fm_span fields,
                               struct fm_error *err)
{
    uint16_t position = writer->schema->subject;
    uint32_t column = writer->stored->field_count - 2;
    const struct fm_subject_keys *keys = NULL;
    uint8_t commitment[FM_HASH_BYTES];
    enum fm_status status;

    fm_buf_clear(&writer->text);
    fm_buf_clear(&writer->sealed);
    if (fm_vector_is_null(batch, &batch->vectors[position], row))
        return fm_fail(err, FM_INVALID, "a row does not name its subject in column `%s`",
                       writer->schema->fields[position].name);
    status = fm_subject_text(&writer->schema->fields[position].type, batch,
                             &batch->vectors[position], NULL, row, &writer->text);
    if (status == FM_OK && writer->text.len > FM_SUBJECT_BYTES_MAX)
        return fm_fail(err, FM_INVALID,
                       "column `%s` names a subject with %zu bytes; at most %u can be erased again",
                       writer->schema->fields[position].name, writer->text.len,
                       FM_SUBJECT_BYTES_MAX);
    if (status == FM_OK)
        status = subject_keys_make(writer->keys, fm_buf_span(&writer->text), &keys, err);
    if (status == FM_REFUSED)
        return fail_erased(writer, err);
    if (status != FM_OK)
        return status;
    fm_subject_seal(keys, sequence, fields, commitment, &writer->sealed);
    status = fm_buf_status(&writer->sealed);
    if (status == FM_OK)
        status = fm_batch_put_bytes(writer->builder, column, fm_buf_span(&writer->sealed));
    if (status == FM_OK)
        status =
            fm_batch_put_bytes(writer->builder, column + 1, fm_span(commitment, sizeof commitment));
    return status;
}

static enum fm_status seal_block(struct subject_writer *writer, const struct fm_batch *batch,
                                 uint32_t row, uint32_t count, uint64_t sequence,
                                 struct fm_error *err)
{
    struct fm_batch fields = *batch; /* Columns come first among the vectors, in order. */
    size_t at = 0;
    enum fm_status status;

    fields.column_count = (uint16_t)writer->schema->field_count;
    fm_buf_clear(&writer->fields);
    status = fm_leaf_classified(writer->encoder, &fields, NULL, row, count, &writer->fields,
                                writer->ends);
    for (uint32_t i = 0; status == FM_OK && i < count; at = writer->ends[i++])
        status = seal_row(writer, batch, row + i, sequence + i,
                          fm_span(writer->fields.data + at, writer->ends[i] - at), err);
    return status;
}

static enum fm_status write_rows(struct subject_writer *writer, const struct fm_batch *batch,
                                 uint64_t first, struct fm_error *err)
{
    uint32_t column = 0;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < writer->schema->field_count; i++) {
        if (!subject_seals(writer->schema, i))
            status =
                fm_batch_put_rows(writer->builder, column++, batch, i, NULL, 0, batch->rows, NULL);
    }
    for (uint32_t i = 0; status == FM_OK && i < writer->extra_count; i++)
        status = fm_batch_put_rows(writer->builder, writer->stored->field_count + i, batch,
                                   writer->schema->field_count + i, NULL, 0, batch->rows, NULL);
    for (uint32_t row = 0; status == FM_OK && row < batch->rows; row += FM_BLOCK_ROWS) {
        uint32_t left = batch->rows - row;

        status = seal_block(writer, batch, row, left < FM_BLOCK_ROWS ? left : FM_BLOCK_ROWS,
                            first + row, err);
    }
    return status;
}

enum fm_status subject_writer_rows(struct subject_writer *writer, const struct fm_batch *batch,
                                   uint64_t first, struct fm_batch *out, struct fm_error *err)
{
    enum fm_status status = write_rows(writer, batch, first, err);

    fm_buf_clear(&writer->bytes);
    if (status == FM_OK)
        status = fm_batch_builder_finish(writer->builder, 0, &writer->bytes);
    return status == FM_OK ? fm_batch_view_trusted(fm_buf_span(&writer->bytes), out) : status;
}

/* ---- Reading --------------------------------------------------------------------------------- */

struct subject_reader {
    struct table *table;
    struct subject_keys *keys;
    /* Of one version of the schema: */
    const struct fm_schema *schema; /* NULL: none yet. */
    struct fm_batch_builder *builder;
    uint32_t column_count;
    const struct fm_field **columns; /* Classified fields, in the schema's order. */
    bool *has_value;                 /* Of the row at hand. */
    struct fm_buf fields;            /* A secret. */
    struct fm_buf text;
};

enum fm_status subject_reader_new(struct table *table, uint32_t keys, struct subject_reader **out)
{
    struct subject_reader *reader = calloc(1, sizeof *reader);
    enum fm_status status;

    if (reader == NULL)
        return FM_NOMEM;
    reader->table = table;
    reader->fields = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    reader->text = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    status = subject_keys_new(table, keys, &reader->keys);
    if (status != FM_OK) {
        free(reader);
        return status;
    }
    *out = reader;
    return FM_OK;
}

void subject_reader_free(struct subject_reader *reader)
{
    if (reader == NULL)
        return;
    subject_keys_free(reader->keys);
    fm_batch_builder_free(reader->builder);
    free(reader->columns);
    free(reader->has_value);
    buf_wipe(&reader->fields);
    fm_buf_free(&reader->text);
    free(reader);
}

static enum fm_status use_schema(struct subject_reader *reader, const struct fm_schema *schema)
{
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(schema->field_count, sizeof(const struct fm_type *));
    FM_AUTO(fm_mem_freep)
    const struct fm_field **columns = calloc(schema->field_count, sizeof(const struct fm_field *));
    FM_AUTO(fm_mem_freep) bool *has_value = calloc(schema->field_count, sizeof *has_value);
    struct fm_batch_builder *builder = NULL;
    uint32_t count = 0;
    enum fm_status status;

    if (types == NULL || columns == NULL || has_value == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (!subject_seals(schema, i))
            continue;
        columns[count] = &schema->fields[i];
        types[count++] = &schema->fields[i].type;
    }
    status = make_builder(types, count, &builder);
    if (status != FM_OK)
        return status;
    fm_batch_builder_free(reader->builder);
    free(reader->columns);
    free(reader->has_value);
    reader->builder = builder;
    reader->columns = FM_TAKE(columns);
    reader->has_value = FM_TAKE(has_value);
    reader->column_count = count;
    reader->schema = schema;
    return FM_OK;
}

/* Column of a field id, or -1. */
static int64_t column_of(const struct subject_reader *reader, uint64_t id)
{
    for (uint32_t i = 0; i < reader->column_count; i++) {
        if (reader->columns[i]->id == id)
            return i;
    }
    return -1;
}

static enum fm_status put_field(struct subject_reader *reader, struct fm_cursor *cursor)
{
    uint64_t id = 0;
    uint8_t kind = 0;
    int64_t column;
    enum fm_status status = fm_take_uvarint(cursor, &id);

    if (status == FM_OK)
        status = fm_take_u8(cursor, &kind);
    if (status != FM_OK)
        return status;
    column = column_of(reader, id);
    if (column < 0 || kind != (uint8_t)reader->columns[column]->type.kind ||
        reader->has_value[column])
        return FM_CORRUPT;
    reader->has_value[column] = true;
    return fm_batch_put_canonical(reader->builder, (uint32_t)column, cursor);
}

static enum fm_status put_nulls(struct subject_reader *reader)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < reader->column_count; i++) {
        if (!reader->has_value[i])
            status = fm_batch_put_null(reader->builder, i);
    }
    return status;
}

/* The fields that were opened, in the form of core/leaf.h. */
static enum fm_status put_fields(struct subject_reader *reader)
{
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&reader->fields));
    uint64_t count = 0;
    enum fm_status status = fm_take_uvarint(&cursor, &count);

    for (uint64_t i = 0; status == FM_OK && i < count; i++)
        status = put_field(reader, &cursor);
    if (status == FM_OK && fm_cursor_left(&cursor) != 0)
        return FM_CORRUPT;
    return status == FM_OK ? put_nulls(reader) : status;
}

static struct fm_span bytes_at(const struct subject_column *column, uint32_t row)
{
    const struct fm_vector_entry *vector = &column->batch->vectors[column->column];

    if (fm_vector_is_null(column->batch, vector, column->first + row))
        return fm_span(NULL, 0);
    return fm_vector_bytes(column->batch, vector, column->dictionary, column->first + row);
}

static enum fm_status open_row(struct subject_reader *reader, const struct subject_rows *rows,
                               uint32_t row, struct fm_error *err)
{
    const struct subject_column *subject = &rows->subject;
    const struct fm_vector_entry *vector = &subject->batch->vectors[subject->column];
    struct fm_span commitment = bytes_at(&rows->commitment, row);
    const struct fm_subject_keys *keys = NULL;
    enum fm_status status;

    memset(reader->has_value, 0, reader->column_count * sizeof *reader->has_value);
    fm_buf_clear(&reader->fields);
    fm_buf_clear(&reader->text);
    if (commitment.len != FM_HASH_BYTES ||
        fm_vector_is_null(subject->batch, vector, subject->first + row))
        return FM_CORRUPT;
    status = fm_subject_text(&rows->schema->fields[rows->schema->subject].type, subject->batch,
                             vector, subject->dictionary, subject->first + row, &reader->text);
    if (status == FM_OK)
        status = subject_keys_find(reader->keys, fm_buf_span(&reader->text), &keys, err);
    if (status == FM_REFUSED)
        return put_nulls(reader);
    if (status != FM_OK)
        return status;
    status = fm_subject_open(keys, rows->sequences[row], commitment.data,
                             bytes_at(&rows->sealed, row), &reader->fields);
    return status == FM_OK ? put_fields(reader) : status;
}

static enum fm_status open_rows(struct subject_reader *reader, const struct subject_rows *rows,
                                struct fm_buf *bytes, struct fm_batch *out, struct fm_error *err)
{
    const struct table *table = reader->table;
    enum fm_status status = FM_OK;

    for (uint32_t row = 0; status == FM_OK && row < rows->count; row++) {
        status = open_row(reader, rows, row, err);
        if (status == FM_NOTFOUND || status == FM_MALFORMED || status == FM_CORRUPT ||
            status == FM_INVALID)
            status = fm_fail(err, FM_CORRUPT,
                             "%s.%s: the sealed values of fact %llu do not open with the key of "
                             "their subject; restore the folder from a backup",
                             table->domain, table->name, (unsigned long long)rows->sequences[row]);
    }
    if (status == FM_OK)
        status = fm_batch_builder_finish(reader->builder, 0, bytes);
    return status == FM_OK ? fm_batch_view_trusted(fm_buf_span(bytes), out) : status;
}

enum fm_status subject_reader_open(struct subject_reader *reader, const struct subject_rows *rows,
                                   struct fm_buf *bytes, struct fm_batch *out, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    fm_assert(rows->count > 0 && bytes->len == 0);
    if (reader->schema != rows->schema)
        status = use_schema(reader, rows->schema);
    if (status == FM_OK)
        status = open_rows(reader, rows, bytes, out, err);
    if (status != FM_OK)
        reader->schema = NULL; /* Its builder has rows that nobody asked for. */
    return status;
}
