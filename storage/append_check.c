/* Is a batch what the schema asks for? */
#include "storage/append.h"

#include "core/assert.h"

#include <stdlib.h>

struct label_set {
    uint32_t count;
    const char **sorted; /* Owned; the texts are the schema's. */
};

static int compare_labels(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum fm_status append_labels_new(const struct fm_schema *schema, struct label_set **out)
{
    struct label_set *sets = NULL;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct fm_type *type = &schema->fields[i].type;
        struct label_set *set;

        if (type->kind != FM_KIND_ENUM)
            continue;
        if (sets == NULL)
            sets = calloc(schema->field_count, sizeof *sets);
        if (sets == NULL)
            return FM_NOMEM;
        set = &sets[i];
        set->sorted = malloc(type->label_count * sizeof *set->sorted);
        if (set->sorted == NULL) {
            append_labels_free(sets, schema);
            return FM_NOMEM;
        }
        set->count = type->label_count;
        for (uint32_t j = 0; j < set->count; j++)
            set->sorted[j] = type->labels[j];
        qsort(set->sorted, set->count, sizeof *set->sorted, compare_labels);
    }
    *out = sets;
    return FM_OK;
}

void append_labels_free(struct label_set *labels, const struct fm_schema *schema)
{
    if (labels == NULL)
        return;
    for (uint32_t i = 0; i < schema->field_count; i++)
        free(labels[i].sorted);
    free(labels);
}

static bool has_label(const struct label_set *set, struct fm_span text)
{
    uint32_t low = 0;
    uint32_t high = set->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct fm_span label = fm_span_str(set->sorted[middle]);
        size_t len = label.len < text.len ? label.len : text.len;
        int order = len == 0 ? 0 : memcmp(label.data, text.data, len);

        if (order == 0)
            order = (label.len > text.len) - (label.len < text.len);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static enum fm_status check_labels(const struct fm_append *append, const struct fm_batch *batch,
                                   uint32_t column, struct fm_error *err)
{
    const struct fm_vector_entry *vector = &batch->vectors[column];
    const struct fm_field *field = &append->schema->fields[column];
    struct fm_span known = {0}; /* Texts of a dictionary come again at the same place. */

    for (uint32_t row = 0; row < batch->rows; row++) {
        struct fm_span text;

        if (fm_vector_is_null(batch, vector, row))
            continue;
        text = fm_vector_bytes(batch, vector, NULL, row);
        if (text.data == known.data && text.len == known.len)
            continue;
        if (!has_label(&append->labels[column], text))
            return fm_fail(err, FM_INVALID, "row %llu: `%.*s` is no value of column `%s`",
                           (unsigned long long)(append->rows + row + 1),
                           (int)(text.len < 64 ? text.len : 64), (const char *)text.data,
                           field->name);
        known = text;
    }
    return FM_OK;
}

/* What takes a row back need not say what was in it. */
static enum fm_status check_required(const struct fm_append *append,
                                     const struct row_headers *headers, uint32_t column,
                                     struct fm_error *err)
{
    const struct fm_batch *batch = headers->batch;
    const struct fm_vector_entry *vector = &batch->vectors[column];
    bool names_row = fm_schema_names_row(append->schema, column);

    for (uint32_t row = 0; vector->null_count > 0 && row < batch->rows; row++) {
        if (fm_vector_is_null(batch, vector, row) &&
            (names_row || row_operation(headers, row) != FM_RETRACT))
            return fm_fail(err, FM_INVALID, "row %llu: column `%s` is required and has no value",
                           (unsigned long long)(append->rows + row + 1),
                           append->schema->fields[column].name);
    }
    return FM_OK;
}

/* ---- Operations ------------------------------------------------------------------------------ */

static enum fm_status check_operation(const struct fm_append *append, struct fm_span text,
                                      uint32_t row, struct fm_error *err)
{
    enum fm_operation ignored;

    if (fm_operation_parse(text, &ignored) == FM_OK)
        return FM_OK;
    return fm_fail(err, FM_INVALID,
                   "row %llu: `%.*s` in column `_op`; expected assert, retract or correct",
                   (unsigned long long)(append->rows + row + 1),
                   (int)(text.len < 64 ? text.len : 64), (const char *)text.data);
}

/* Is it said, where it must be, what the row supersedes? */
static enum fm_status check_supersedes(const struct fm_append *append,
                                       const struct row_headers *headers, uint32_t row,
                                       struct fm_error *err)
{
    enum fm_operation operation = row_operation(headers, row);
    unsigned long long number = append->rows + row + 1;
    uint64_t sequence;
    bool is_said = row_supersedes(headers, row, &sequence);

    if (is_said && operation == FM_ASSERT)
        return fm_fail(err, FM_INVALID,
                       "row %llu: `_supersedes` has a value, but the row asserts; set `_op` to "
                       "correct or retract",
                       number);
    if (is_said || operation == FM_ASSERT ||
        (operation == FM_RETRACT && schema_is_keyed(append->schema)))
        return FM_OK;
    return fm_fail(err, FM_INVALID,
                   "row %llu: `_op` is %s; then `_supersedes` says which fact (its `_seq` in "
                   "%s" FM_FACTS_SUFFIX ")",
                   number, fm_operation_text(operation), append->table->name);
}

static enum fm_status check_operations(const struct fm_append *append,
                                       const struct row_headers *headers, struct fm_error *err)
{
    const struct fm_batch *batch = headers->batch;
    enum fm_status status = FM_OK;

    if (headers->op < 0 && headers->supersedes < 0)
        return FM_OK;
    for (uint32_t row = 0; status == FM_OK && row < batch->rows; row++) {
        const struct fm_vector_entry *vector =
            headers->op < 0 ? NULL : &batch->vectors[headers->op];

        if (vector != NULL && !fm_vector_is_null(batch, vector, row))
            status = check_operation(append, fm_vector_bytes(batch, vector, NULL, row), row, err);
        if (status == FM_OK)
            status = check_supersedes(append, headers, row, err);
    }
    return status;
}

/* ---- Types ----------------------------------------------------------------------------------- */

/* The tree of vectors has the tree of types' form; depths are bounded by both. */
static bool has_type(const struct fm_batch *batch, const struct fm_vector_entry *vector,
                     const struct fm_type *type)
{
    const struct fm_vector_entry *children;

    if (vector->kind != (uint8_t)type->kind || vector->precision != type->precision ||
        vector->scale != type->scale)
        return false;
    if (type->child_count == 0)
        return true;
    children = &batch->vectors[vector->first_child];
    if (type->kind == FM_KIND_MAP) { /* Its only child is a struct of key and value. */
        if (vector->child_count != 1 || children->child_count != 2)
            return false;
        children = &batch->vectors[children->first_child];
    } else if (vector->child_count != type->child_count) {
        return false;
    }
    for (uint32_t i = 0; i < type->child_count; i++) {
        if (!has_type(batch, &children[i], &type->children[i]))
            return false;
    }
    return true;
}

static enum fm_status check_columns(const struct fm_append *append, const struct fm_batch *batch,
                                    struct fm_error *err)
{
    const struct fm_schema *schema = append->input != NULL ? append->input : append->schema;

    if (batch->column_count != append->column_count)
        return fm_fail(err, FM_INVALID, "a batch has %u columns, the table %u", batch->column_count,
                       append->column_count);
    for (uint32_t i = 0; i < append->column_count; i++) {
        const struct fm_vector_entry *vector = &batch->vectors[i];

        if (!has_type(batch, vector, append->types[i]) ||
            (vector->flags & FM_VECTOR_DICT_OUTSIDE) != 0)
            return fm_fail(err, FM_INVALID,
                           "column `%s` of a batch has another type than the "
                           "table's",
                           schema->fields[i].name);
    }
    return FM_OK;
}

uint32_t append_extras_of(const struct fm_schema *schema, const struct fm_batch *batch)
{
    uint32_t extras = 0;

    for (uint32_t i = schema->field_count; i < batch->column_count; i++) {
        uint8_t kind = batch->vectors[i].kind;
        uint32_t extra = kind == FM_KIND_VARCHAR       ? FM_EXTRA_OP
                         : kind == FM_KIND_TIMESTAMPTZ ? FM_EXTRA_EVENT_TIME
                         : kind == FM_KIND_UINT64      ? FM_EXTRA_SUPERSEDES
                                                       : 0;

        if (extra <= extras) /* None, or not behind those before. */
            return 0;
        extras |= extra;
    }
    return extras;
}

enum fm_status append_check_rows(const struct fm_append *append, const struct fm_batch *batch,
                                 struct fm_error *err)
{
    const struct fm_schema *schema = append->schema;
    struct row_headers headers;
    enum fm_status status = check_columns(append, batch, err);

    if (status != FM_OK)
        return status;
    headers = row_headers(batch, schema->field_count, append->options.extras, &append->header);
    status = check_operations(append, &headers, err);
    for (uint32_t i = 0; status == FM_OK && i < schema->field_count; i++) {
        if (schema->fields[i].required)
            status = check_required(append, &headers, i, err);
        if (status == FM_OK && schema->fields[i].type.kind == FM_KIND_ENUM)
            status = check_labels(append, batch, i, err);
    }
    return status;
}
