#include "node/given.h"

#include "core/hash_stream.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

void fm_given_deinit(struct fm_given_tables *tables)
{
    for (uint32_t i = 0; i < tables->count; i++) {
        fm_columns_deinit(&tables->items[i].columns);
        fm_buf_free(&tables->items[i].batch);
    }
    free(tables->items);
    *tables = (struct fm_given_tables){0};
}

static bool names_are_good(const struct fm_columns *columns)
{
    for (uint32_t i = 0; i < columns->count; i++) {
        size_t len = strlen(columns->items[i].name);
        if (len == 0 || len > FM_NAME_MAX || columns->items[i].dictionary.count != 0)
            return false;
        for (uint32_t k = 0; k < i; k++)
            if (strcasecmp(columns->items[i].name, columns->items[k].name) == 0)
                return false;
    }
    return columns->count > 0;
}

/* At a multiple of 8, where the message did not have it. */
static enum fm_status take_batch(const struct fm_given *from, struct fm_given_table *out)
{
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(from->field_count, sizeof *types);
    struct fm_batch batch;

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < from->field_count; i++) {
        if (from->fields[i] >= out->columns.count)
            return FM_MALFORMED;
        types[i] = &out->columns.items[from->fields[i]].type;
    }
    if (from->batch.len == 0)
        return FM_OK;
    fm_buf_put_span(&out->batch, from->batch);
    enum fm_status status = fm_buf_status(&out->batch);
    if (status == FM_OK)
        status = fm_batch_view(fm_buf_span(&out->batch), types, from->field_count, NULL, &batch);
    if (status == FM_OK)
        out->rows = batch.rows;
    return status;
}

static enum fm_status open_table(const struct fm_given *from, struct fm_snapshot *own,
                                 struct fm_given_table *out, struct fm_error *err)
{
    struct fm_table_info info = {0};

    out->from = from;
    if (fm_snapshot_table(own, from->domain, from->table, &info) == FM_OK) {
        fm_schema_free(info.schema);
        return fm_fail(err, FM_REFUSED, "rows of %s.%s are given, which is this node's own table",
                       from->domain, from->table);
    }
    enum fm_status status = fm_columns_decode(from->columns, &out->columns);
    if (status == FM_OK && !names_are_good(&out->columns))
        status = FM_MALFORMED;
    if (status != FM_OK)
        return fm_fail(err, status, "the columns given of %s.%s do not decode", from->domain,
                       from->table);
    status = take_batch(from, out);
    if (status != FM_OK)
        return fm_fail(err, status,
                       "the rows given of %s.%s are malformed or not of the columns that were told",
                       from->domain, from->table);
    return FM_OK;
}

enum fm_status fm_given_open(const struct fm_fragment *fragment, struct fm_snapshot *own,
                             struct fm_given_tables *out, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if (fragment->given_count == 0)
        return FM_OK;
    out->items = calloc(fragment->given_count, sizeof *out->items);
    if (out->items == NULL)
        return fm_fail(err, FM_NOMEM, "take rows that are given");
    for (uint32_t i = 0; i < fragment->given_count && status == FM_OK; i++) {
        out->items[i].batch = FM_BUF_INIT(FM_GIVEN_BYTES_MAX);
        out->count = i + 1;
        status = open_table(&fragment->given[i], own, &out->items[i], err);
    }
    return status;
}

const struct fm_given_table *fm_given_find(const struct fm_given_tables *tables, const char *domain,
                                           const char *table, const struct fm_at *at)
{
    for (uint32_t i = 0; i < tables->count; i++) {
        const struct fm_given *from = tables->items[i].from;
        if (strcmp(from->domain, domain) == 0 && strcmp(from->table, table) == 0 &&
            (at == NULL || (from->at.kind == at->kind && from->at.value == at->value)))
            return &tables->items[i];
    }
    return NULL;
}

enum fm_status fm_given_schema(const struct fm_given_table *given, struct fm_schema **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = calloc(1, sizeof *schema);

    if (schema == NULL)
        return FM_NOMEM;
    schema->version = 1;
    schema->fields = calloc(given->columns.count, sizeof *schema->fields);
    if (schema->fields == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < given->columns.count; i++) {
        struct fm_field *field = &schema->fields[i];
        field->id = i + 1;
        (void)snprintf(field->name, sizeof field->name, "%.*s", (int)FM_NAME_MAX,
                       given->columns.items[i].name); /* Not longer: names_are_good(). */
        schema->field_count = i + 1;
        enum fm_status status = fm_type_copy(&given->columns.items[i].type, &field->type);
        if (status != FM_OK)
            return status;
    }
    *out = FM_TAKE(schema);
    return FM_OK;
}

void fm_given_hash(const struct fm_given_tables *tables, struct fm_hash *out)
{
    struct fm_hash_stream stream;
    uint8_t numbers[24];

    fm_hash_begin(&stream);
    for (uint32_t i = 0; i < tables->count; i++) {
        const struct fm_given *from = tables->items[i].from;
        fm_hash_put(&stream, fm_span(from->domain, strlen(from->domain) + 1));
        fm_hash_put(&stream, fm_span(from->table, strlen(from->table) + 1));
        fm_store64(numbers, (uint64_t)from->at.kind);
        fm_store64(numbers + 8, (uint64_t)from->at.value);
        fm_store64(numbers + 16, from->columns.len);
        fm_hash_put(&stream, fm_span(numbers, sizeof numbers));
        fm_hash_put(&stream, from->columns);
    }
    fm_hash_end(&stream, out);
}
