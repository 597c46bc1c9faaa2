#include "storage/reading.h"

#include "core/assert.h"

#include <stdlib.h>

/* All tables' synced states, and RocksDB as it was then: both under the same lock. */
static enum fm_status take_states(struct fm_snapshot *snapshot)
{
    struct fm_store *store = snapshot->store;
    enum fm_status status = FM_NOMEM;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail: a plain, initialised mutex. */
    snapshot->tables = calloc(store->table_count + 1u, sizeof *snapshot->tables);
    if (snapshot->tables != NULL) {
        snapshot->view = store->view;
        atomic_fetch_add(&snapshot->view->references, 1);
        snapshot->rocks = snapshot->view->rocks;
        status = FM_OK;
    }
    for (uint32_t i = 0; status == FM_OK && i < store->table_count; i++)
        snapshot->tables[snapshot->count++].state = state_retain(store->tables[i]->state);
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

enum fm_status fm_snapshot_open(struct fm_store *store, struct fm_snapshot **out,
                                struct fm_error *err)
{
    FM_AUTO(fm_snapshot_freep) struct fm_snapshot *snapshot = calloc(1, sizeof *snapshot);
    enum fm_status status;

    (void)err; /* Only memory can be lacking. */
    if (snapshot == NULL)
        return FM_NOMEM;
    atomic_init(&snapshot->references, 1);
    snapshot->store = store;
    if (pthread_mutex_init(&snapshot->lock, NULL) != 0) {
        free(FM_TAKE(snapshot));
        return FM_NOMEM;
    }
    status = take_states(snapshot);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(snapshot);
    return FM_OK;
}

struct fm_snapshot *snapshot_retain(struct fm_snapshot *snapshot)
{
    atomic_fetch_add(&snapshot->references, 1);
    return snapshot;
}

void fm_snapshot_free(struct fm_snapshot *snapshot)
{
    if (snapshot == NULL || atomic_fetch_sub(&snapshot->references, 1) != 1)
        return;
    for (uint32_t i = 0; i < snapshot->count; i++) {
        struct snapshot_table *table = &snapshot->tables[i];

        for (uint32_t j = 0; table->dictionaries != NULL && j < table->state->schema->field_count;
             j++)
            table_dictionary_release(table->dictionaries[j]);
        free(table->dictionaries);
        free(table->has_asked);
        fm_schema_free(table->facts);
        state_release(table->state);
    }
    free(snapshot->tables);
    free(snapshot->leaves);
    view_release(snapshot->view);
    (void)pthread_mutex_destroy(&snapshot->lock); /* Nobody holds it. */
    free(snapshot);
}

struct snapshot_table *snapshot_find(struct fm_snapshot *snapshot, const char *domain,
                                     const char *table)
{
    for (uint32_t i = 0; i < snapshot->count; i++) {
        const struct table *at = snapshot->tables[i].state->table;

        if (strcmp(at->domain, domain) == 0 && strcmp(at->name, table) == 0)
            return &snapshot->tables[i];
    }
    return NULL;
}

static enum fm_status facts_schema(struct fm_snapshot *snapshot, struct snapshot_table *table,
                                   const struct fm_schema **out)
{
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&snapshot->lock); /* Cannot fail. */
    if (table->facts == NULL)
        status = fm_schema_facts(table->state->schema, &table->facts, NULL);
    *out = table->facts;
    (void)pthread_mutex_unlock(&snapshot->lock);
    return status == FM_UNSUPPORTED ? FM_NOTFOUND : status;
}

enum fm_status snapshot_view(struct fm_snapshot *snapshot, const char *domain, const char *name,
                             struct table_view *out)
{
    struct table_view view = {.table = snapshot_find(snapshot, domain, name)};
    char table[FM_NAME_MAX + 1];
    enum fm_status status = FM_OK;

    if (view.table != NULL) {
        view.schema = view.table->state->schema;
    } else if (fm_facts_name(name, table)) {
        view.is_facts = true;
        view.table = snapshot_find(snapshot, domain, table);
    }
    if (view.table == NULL)
        return FM_NOTFOUND;
    if (view.is_facts)
        status = facts_schema(snapshot, view.table, &view.schema);
    if (status == FM_OK)
        *out = view;
    return status;
}

enum fm_status fm_snapshot_table(struct fm_snapshot *snapshot, const char *domain,
                                 const char *table, struct fm_table_info *out)
{
    struct table_view view = {0};
    struct fm_schema *schema = NULL;
    struct fm_table_info info = {0};
    enum fm_status status = snapshot_view(snapshot, domain, table, &view);

    if (status == FM_OK)
        status = fm_schema_copy(view.schema, &schema);
    if (status == FM_OK)
        status = state_info(view.table->state, &info);
    if (status != FM_OK) {
        fm_schema_free(schema);
        return status;
    }
    fm_schema_free(info.schema);
    info.schema = schema;
    if (view.is_facts)
        info.rows_latest = info.size;
    *out = info;
    return FM_OK;
}

static enum fm_status ask_dictionary(struct fm_snapshot *snapshot, struct snapshot_table *table,
                                     uint32_t position, struct fm_error *err)
{
    uint32_t count = table->state->schema->field_count;
    enum fm_status status;

    if (table->dictionaries == NULL)
        table->dictionaries = calloc(count, sizeof(struct table_dictionary *));
    if (table->has_asked == NULL)
        table->has_asked = calloc(count, sizeof *table->has_asked);
    if (table->dictionaries == NULL || table->has_asked == NULL)
        return FM_NOMEM;
    if (table->has_asked[position])
        return FM_OK;
    status = table_dictionary_get(table->state, snapshot->rocks, position,
                                  &table->dictionaries[position], err);
    table->has_asked[position] = status == FM_OK;
    return status;
}

enum fm_status snapshot_dictionary(struct fm_snapshot *snapshot, struct snapshot_table *table,
                                   uint32_t position, const struct table_dictionary **out,
                                   struct fm_error *err)
{
    enum fm_status status;

    fm_assert(position < table->state->schema->field_count);
    (void)pthread_mutex_lock(&snapshot->lock); /* Cannot fail. */
    status = ask_dictionary(snapshot, table, position, err);
    if (status == FM_OK)
        *out = table->dictionaries[position];
    (void)pthread_mutex_unlock(&snapshot->lock);
    return status;
}

enum fm_status view_dictionary(struct fm_snapshot *snapshot, const struct table_view *view,
                               uint32_t position, const struct table_dictionary **out,
                               struct fm_error *err)
{
    *out = NULL;
    fm_assert(position < view->schema->field_count);
    if (view->is_facts && position < FM_HISTORY_COLUMNS)
        return FM_OK;
    return snapshot_dictionary(snapshot, view->table,
                               view->is_facts ? position - FM_HISTORY_COLUMNS : position, out, err);
}

/* ---- Columns --------------------------------------------------------------------------------- */

static enum fm_status put_column(struct fm_snapshot *snapshot, const struct table_view *view,
                                 uint32_t position, struct fm_column *out, struct fm_buf *storage,
                                 size_t *at, struct fm_error *err)
{
    const struct fm_field *field = &view->schema->fields[position];
    const struct table_dictionary *dictionary = NULL;
    enum fm_status status = fm_type_copy(&field->type, &out->type);

    if (status != FM_OK)
        return status;
    _Static_assert(sizeof out->name > sizeof field->name, "a field's name fits");
    memcpy(out->name, field->name, sizeof field->name);
    status = view_dictionary(snapshot, view, position, &dictionary, err);
    if (status != FM_OK)
        return status;
    fm_buf_align(storage, 8);
    *at = storage->len;
    if (dictionary != NULL)
        fm_dictionary_encode(storage, &dictionary->dictionary);
    return fm_buf_status(storage);
}

static enum fm_status put_columns(struct fm_snapshot *snapshot, const struct table_view *view,
                                  struct fm_columns *columns, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf storage = FM_BUF_INIT(0);
    FM_AUTO(fm_mem_freep) size_t *ends = calloc(columns->count + 1u, sizeof *ends);
    enum fm_status status = ends == NULL ? FM_NOMEM : FM_OK;
    uint32_t count = columns->count;

    columns->count = 0; /* Grows with what has to be freed. */
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        columns->count = i + 1;
        status = put_column(snapshot, view, i, &columns->items[i], &storage, &ends[i], err);
    }
    if (status != FM_OK)
        return status;
    fm_buf_align(&storage, 8);
    status = fm_buf_status(&storage);
    if (status != FM_OK)
        return status;
    ends[count] = storage.len;
    columns->storage = FM_TAKE(storage.data);
    storage = (struct fm_buf){0};
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        const struct table_dictionary *dictionary = NULL;

        status = view_dictionary(snapshot, view, i, &dictionary, err);
        if (status != FM_OK || dictionary == NULL)
            continue;
        /* The same bytes again, now in a place that stays. */
        columns->items[i].dictionary = (struct fm_dictionary){
            .count = dictionary->dictionary.count,
            .offsets = (const uint32_t *)(const void *)(columns->storage + ends[i] + 4),
            .text = columns->storage + ends[i] + 4 + ((size_t)dictionary->dictionary.count + 1) * 4,
        };
    }
    return status;
}

enum fm_status fm_snapshot_columns(struct fm_snapshot *snapshot, const char *domain,
                                   const char *table, struct fm_columns *out)
{
    struct table_view view = {0};
    struct fm_columns columns = {0};
    enum fm_status status = snapshot_view(snapshot, domain, table, &view);

    if (status != FM_OK)
        return status;
    columns.count = view.schema->field_count;
    columns.items = calloc(columns.count, sizeof *columns.items);
    if (columns.items == NULL)
        return FM_NOMEM;
    status = put_columns(snapshot, &view, &columns, NULL);
    if (status != FM_OK) {
        fm_columns_deinit(&columns);
        return status;
    }
    *out = columns;
    return FM_OK;
}
