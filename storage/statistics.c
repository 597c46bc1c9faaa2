/* Figures about tables and the store, from what is in memory and RocksDB's own counters. */
#include "storage/internal.h"

#include "storage/subtrees.h"

#include <stdlib.h>

static void add_segment(struct fm_table_statistics *statistics, const struct segment_value *segment)
{
    for (uint32_t i = 0; i < segment->field_count; i++) {
        const struct segment_field *field = &segment->fields[i];

        statistics->segment_bytes += field->stored_bytes;
        for (uint32_t c = 0; c < statistics->column_count; c++) {
            if (statistics->columns[c].field_id == field->id)
                statistics->columns[c].bytes += field->stored_bytes;
        }
    }
}

static enum fm_status make_columns(const struct fm_schema *schema,
                                   struct fm_table_statistics *statistics)
{
    statistics->columns = calloc(schema->field_count, sizeof *statistics->columns);
    if (statistics->columns == NULL)
        return FM_NOMEM;
    statistics->column_count = schema->field_count;
    for (uint32_t i = 0; i < schema->field_count; i++)
        statistics->columns[i].field_id = schema->fields[i].id;
    return FM_OK;
}

static enum fm_status describe(const struct table_state *state,
                               struct fm_table_statistics *statistics, struct fm_error *err)
{
    struct table *table = state->table;
    struct key first = key_prefix(table->id);
    struct key end = key_prefix(table->id + 1);
    enum fm_status status = make_columns(state->schema, statistics);

    if (status != FM_OK)
        return status;
    statistics->facts = state->tree.size;
    statistics->rows_latest = state_rows_latest(state);
    statistics->hot_rows = state->hot_rows;
    statistics->hot_bytes = state->hot_bytes;
    statistics->segment_count = state->segment_count - state->dropped_segments;
    statistics->dropped_facts = state->dropped;
    statistics->superseded_bytes = superseded_bytes(state->superseded);
    statistics->tree_bytes = subtrees_bytes(state->tree.size);
    statistics->appended_facts = atomic_load(&table->appended_facts);
    statistics->appended_bytes = atomic_load(&table->appended_bytes);
    for (uint32_t i = 0; i < state->segment_count; i++)
        add_segment(statistics, state->segments->items[i]);
    return rocks_range_bytes(table->store->rocks, ROCKS_KEYS, key_span(&first), key_span(&end),
                             &statistics->index_bytes, err);
}

enum fm_status fm_store_statistics(struct fm_store *store, const char *domain, const char *table,
                                   struct fm_table_statistics *out, struct fm_error *err)
{
    FM_AUTO(state_releasep) struct table_state *state = state_latest(store, domain, table);
    struct fm_table_statistics statistics = {0};
    enum fm_status status;

    if (state == NULL)
        return fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, table);
    status = describe(state, &statistics, err);
    if (status == FM_OK)
        *out = statistics;
    else
        fm_table_statistics_deinit(&statistics);
    return status;
}

void fm_table_statistics_deinit(struct fm_table_statistics *statistics)
{
    free(statistics->columns);
    *statistics = (struct fm_table_statistics){0};
}

static uint64_t appended_bytes(struct fm_store *store)
{
    uint64_t bytes = 0;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    for (uint32_t i = 0; i < store->table_count; i++)
        bytes += atomic_load(&store->tables[i]->appended_bytes);
    (void)pthread_mutex_unlock(&store->lock);
    return bytes;
}

enum fm_status fm_store_usage(struct fm_store *store, struct fm_store_usage *out,
                              struct fm_error *err)
{
    struct fm_store_usage usage = {.free_bytes_min = store->free_bytes_min};
    struct rocks_written written = {0};
    enum fm_status status = store_free_bytes(store, &usage.free_bytes, err);

    /* First what was appended, then what was written for it. */
    usage.appended_bytes = appended_bytes(store);
    if (status == FM_OK)
        status = rocks_written(store->rocks, &written);
    if (status != FM_OK)
        return status;
    usage.accepts_appends =
        usage.free_bytes >= usage.free_bytes_min && store_usable(store, NULL) == FM_OK;
    usage.file_bytes = rocks_file_bytes(store->rocks);
    usage.log_bytes = written.log_bytes;
    usage.flush_bytes = written.flush_bytes;
    usage.compaction_bytes = written.compaction_bytes;
    *out = usage;
    return FM_OK;
}
