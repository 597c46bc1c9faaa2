/* What the owner of a pushed statement is given: the rows that small slots brought, each slot's as
 * one batch that needs nothing beside it (FM_RULE_PUSH). */
#include "node/query.h"

#include "core/assert.h"

void fm_gifts_deinit(struct fm_gifts *gifts)
{
    for (uint32_t i = 0; i < gifts->count; i++) {
        fm_buf_free(&gifts->columns[i]);
        fm_buf_free(&gifts->batches[i]);
    }
    gifts->count = 0;
}

static enum fm_status new_builder(const struct fm_plan_table *table, struct fm_batch_builder **out)
{
    FM_AUTO(fm_mem_freep) const struct fm_type **types = calloc(table->field_count, sizeof *types);

    if (types == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < table->field_count; i++)
        types[i] = &table->schema->fields[table->fields[i]].type;
    struct fm_batch_builder_options options = {
        .types = types, .column_count = table->field_count, .encode = true};
    return fm_batch_builder_new(&options, out);
}

static enum fm_status add_rows(struct fm_batch_builder *builder, const struct fm_columns *columns,
                               struct fm_span bytes)
{
    struct fm_batch batch;
    enum fm_status status = fm_batch_view_trusted(bytes, &batch); /* The feed has checked it. */

    for (uint32_t i = 0; i < columns->count && status == FM_OK; i++) {
        const struct fm_dictionary *dictionary = &columns->items[i].dictionary;
        status = fm_batch_put_rows(builder, i, &batch, i, dictionary->count > 0 ? dictionary : NULL,
                                   0, batch.rows, NULL);
    }
    return status;
}

static bool came_as_asked(const struct fm_plan_table *table, const struct fm_columns *came)
{
    if (came->count != table->field_count)
        return false;
    for (uint32_t i = 0; i < came->count; i++)
        if (!fm_type_equal(&came->items[i].type, &table->schema->fields[table->fields[i]].type))
            return false;
    return true;
}

static enum fm_status make_batch(const struct fm_plan_table *table, const struct fm_kept *kept,
                                 struct fm_buf *out)
{
    FM_AUTO(fm_batch_builder_freep) struct fm_batch_builder *builder = NULL;
    enum fm_status status = new_builder(table, &builder);

    for (uint32_t i = 0; i < kept->count && status == FM_OK; i++)
        status = add_rows(builder, fm_feed_columns(kept->feed), fm_buf_span(&kept->batches[i]));
    if (status != FM_OK || fm_batch_builder_rows(builder) == 0)
        return status;
    return fm_batch_builder_finish(builder, 0, out);
}

static void put_columns(const struct fm_schema *schema, struct fm_buf *out)
{
    struct fm_columns columns = {.items = calloc(schema->field_count, sizeof *columns.items),
                                 .count = schema->field_count};

    if (columns.items == NULL) {
        out->status = FM_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < columns.count; i++) {
        memcpy(columns.items[i].name, schema->fields[i].name, sizeof schema->fields[i].name);
        columns.items[i].type = schema->fields[i].type; /* Borrowed. */
    }
    fm_columns_encode(out, &columns);
    free(columns.items);
}

static enum fm_status give(const struct fm_query *query, uint32_t slot, struct fm_gifts *out,
                           struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[slot];
    const struct fm_kept *kept = &query->kept[slot];
    uint32_t number = out->count++;
    struct fm_given *given = &out->given[number];

    out->columns[number] = FM_BUF_INIT(FM_GIVEN_BYTES_MAX);
    out->batches[number] = FM_BUF_INIT(0);
    if (!kept->is_whole)
        return FM_LIMIT;
    if (!came_as_asked(table, fm_feed_columns(kept->feed)))
        return fm_fail(err, FM_MALFORMED,
                       "domain %s on node %s: the columns are not those that were asked for",
                       table->domain, fm_feed_owner_name(kept->feed));
    put_columns(table->schema, &out->columns[number]);
    enum fm_status status = fm_buf_status(&out->columns[number]);
    if (status == FM_OK)
        status = make_batch(table, kept, &out->batches[number]);
    if (status != FM_OK)
        return fm_fail(err, status, "give a fragment's rows: %s", fm_status_text(status));
    memcpy(given->domain, table->domain, sizeof given->domain);
    memcpy(given->table, table->table, sizeof given->table);
    given->at = table->at;
    given->columns = fm_buf_span(&out->columns[number]);
    given->field_count = table->field_count;
    given->fields = table->fields;
    given->batch = fm_buf_span(&out->batches[number]);
    return FM_OK;
}

enum fm_status fm_query_give(struct fm_query *query, uint32_t slot, struct fm_gifts *out,
                             struct fm_error *err)
{
    uint64_t given = query->plan.tables[slot].given;
    enum fm_status status = FM_OK;
    size_t bytes = 0;

    fm_assert(__builtin_popcountll(given) <= (int)FM_GIVEN_TABLES_MAX);
    for (; given != 0 && status == FM_OK; given &= given - 1) {
        status = give(query, (uint32_t)__builtin_ctzll(given), out, err);
        bytes += out->batches[out->count - 1].len;
    }
    if (status == FM_OK && bytes > FM_GIVEN_BYTES_MAX)
        status = FM_LIMIT;
    if (status != FM_LIMIT)
        return status;
    query->push_failed = true;
    return fm_fail(err, FM_LIMIT, "the small side of a join has grown");
}
