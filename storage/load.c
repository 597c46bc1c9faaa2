#include "storage/internal.h"

#include "core/assert.h"
#include "storage/staged.h"

#include <stdlib.h>

static enum fm_status fail_value(struct fm_error *err, enum fm_status status, const char *what)
{
    if (status == FM_OK || status == FM_NOMEM)
        return status;
    return fm_fail(err, FM_CORRUPT,
                   "the stored %s does not hold together; restore the folder from a backup", what);
}

static enum fm_status load_schemas(struct table *table, struct fm_error *err)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    struct key first = key_table(KEYS_META_SCHEMA, table->id);
    struct key end = key_table_end(KEYS_META_SCHEMA, table->id);
    enum fm_status status = rocks_iterator_new(table->store->rocks, NULL, ROCKS_META,
                                               key_span(&first), key_span(&end), &iterator);

    while (status == FM_OK) {
        struct fm_schema *schema = NULL;
        struct fm_span key, value, content = {0};

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status != FM_OK)
            break;
        status = value_open(value, &content);
        if (status == FM_OK)
            status = fm_schema_decode(content, &schema, err);
        if (status == FM_OK && table->schema_count > 0 &&
            table->schemas[table->schema_count - 1]->version >= schema->version)
            status = FM_CORRUPT;
        if (status == FM_OK)
            status = table_add_schema(table, schema);
        if (status != FM_OK)
            fm_schema_free(schema);
        status = fail_value(err, status, "schema of a table");
    }
    if (status != FM_NOTFOUND)
        return status;
    if (table->schema_count == 0 ||
        table->schemas[table->schema_count - 1]->version != table->value.schema_version)
        return fail_value(err, FM_CORRUPT, "list of schemas of a table");
    return FM_OK;
}

static enum fm_status load_segment(struct table_state *state, struct fm_span value)
{
    struct segment_value *segment = calloc(1, sizeof *segment);
    enum fm_status status = segment == NULL ? FM_NOMEM : segment_value_decode(value, segment);
    uint64_t end = 0;

    if (status == FM_OK && state->segment_count > 0) {
        const struct segment_value *before = state->segments->items[state->segment_count - 1];
        end = before->first_sequence + before->rows;
    }
    if (status == FM_OK && (segment->first_sequence < end || segment->id >= state->next_segment ||
                            segment->first_sequence + segment->rows > state->tree.size))
        status = FM_CORRUPT;
    if (status == FM_OK && segment->is_dropped && segment->first_sequence != state->dropped)
        status = FM_CORRUPT; /* Retention keeps the log's end. */
    if (status == FM_OK)
        status = state_add_segment(state, segment);
    if (status == FM_OK && segment->is_dropped) {
        state->dropped_segments++;
        state->dropped += segment->rows;
    }
    if (status != FM_OK && segment != NULL) {
        segment_value_deinit(segment);
        free(segment);
    }
    return status;
}

static enum fm_status load_segments(struct table_state *state, struct fm_error *err)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    uint32_t id = state->table->id;
    struct key first = key_table(KEYS_SEGMENT_RECORD, id);
    struct key end = key_table_end(KEYS_SEGMENT_RECORD, id);
    enum fm_status status = rocks_iterator_new(state->table->store->rocks, NULL, ROCKS_SEGMENTS,
                                               key_span(&first), key_span(&end), &iterator);

    while (status == FM_OK) {
        struct fm_span key, value;

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status == FM_OK)
            status = fail_value(err, load_segment(state, value), "record of a segment");
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status load_windows(struct table_state *state, struct fm_error *err)
{
    FM_AUTO(superseded_edit_freep) struct superseded_edit *edit = NULL;
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    uint32_t id = state->table->id;
    struct key first = key_table(KEYS_SEGMENT_WINDOW, id);
    struct key end = key_table_end(KEYS_SEGMENT_WINDOW, id);
    enum fm_status status = superseded_edit_new(NULL, &edit);

    if (status == FM_OK)
        status = rocks_iterator_new(state->table->store->rocks, NULL, ROCKS_SEGMENTS,
                                    key_span(&first), key_span(&end), &iterator);
    while (status == FM_OK) {
        struct fm_span key, value;
        uint64_t window = 0;

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status != FM_OK)
            break;
        status = key_parse_number(key, 5, &window);
        if (status == FM_OK)
            status = superseded_edit_load(edit, window, value);
        status = fail_value(err, status, "set of superseded rows");
    }
    if (status != FM_NOTFOUND)
        return status;
    state->superseded = superseded_edit_take(edit);
    return FM_OK;
}

/* Sealing keeps them few. */
static enum fm_status count_hot(struct table_state *state, struct fm_error *err)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    struct key first = key_hot(state->table->id, 0);
    struct key end = key_hot(state->table->id, state->tree.size);
    enum fm_status status;

    if (state->hot_rows == 0)
        return FM_OK;
    status = rocks_iterator_new(state->table->store->rocks, NULL, ROCKS_HOT, key_span(&first),
                                key_span(&end), &iterator);
    while (status == FM_OK) {
        struct fm_span key, value;

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status == FM_OK) {
            state->hot_values++;
            state->hot_bytes += value.len;
        }
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status load_state(struct table *table, struct fm_error *err)
{
    FM_AUTO(state_releasep) struct table_state *state = calloc(1, sizeof *state);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct key key = key_table(KEYS_META_STATE, table->id);
    struct state_value value;
    enum fm_status status;

    if (state == NULL)
        return FM_NOMEM;
    atomic_init(&state->references, 1);
    status = rocks_get(table->store->rocks, NULL, ROCKS_META, key_span(&key), &bytes, err);
    if (status == FM_OK)
        status = state_decode(fm_buf_span(&bytes), &value);
    if (status != FM_OK)
        return fail_value(err, status, "state of a table");
    state->table = table;
    state->schema = table->schemas[table->schema_count - 1];
    state->epoch = table->value.epoch;
    state->recorded_at = value.recorded_at;
    state->hot_rows = value.hot_rows;
    state->next_segment = value.next_segment;
    state->tree = value.tree;
    fm_tree_root(&state->tree, &state->root);
    status = load_segments(state, err);
    if (status == FM_OK)
        status = load_windows(state, err);
    if (status == FM_OK)
        status = count_hot(state, err);
    if (status != FM_OK)
        return status;
    if (state->segment_count != value.segment_count ||
        superseded_count(state->superseded) != value.superseded)
        return fail_value(err, FM_CORRUPT, "list of segments of a table");
    state_publish(table->store, FM_TAKE(state));
    return FM_OK;
}

static enum fm_status load_table(struct fm_store *store, uint32_t id, struct fm_span bytes,
                                 struct fm_error *err)
{
    FM_AUTO(table_freep) struct table *table = NULL;
    struct table_value value;
    enum fm_status status = fail_value(err, table_decode(bytes, &value), "record of a table");

    if (status != FM_OK)
        return status;
    if (id == 0 || id >= store->tip.next_table || table_find(store, value.domain, value.table))
        return fail_value(err, FM_CORRUPT, "list of tables");
    status = table_new(store, id, &value, &table);
    explicit_bzero(&value, sizeof value);
    if (status == FM_OK)
        status = load_schemas(table, err);
    if (status == FM_OK)
        status = load_state(table, err);
    if (status == FM_OK && !store->read_only)
        status = staged_recover(table, err);
    if (status == FM_OK)
        status = store_add_table(store, table);
    if (status == FM_OK)
        table = NULL; /* The store's now. */
    return status;
}

enum fm_status store_add_table(struct fm_store *store, struct table *table)
{
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    if (store->table_count == store->table_capacity) {
        uint32_t capacity = store->table_capacity == 0 ? 16 : store->table_capacity * 2;
        struct table **tables = realloc(store->tables, capacity * sizeof(struct table *));

        if (tables == NULL) {
            status = FM_NOMEM;
        } else {
            store->tables = tables;
            store->table_capacity = capacity;
        }
    }
    if (status == FM_OK)
        store->tables[store->table_count++] = table;
    (void)pthread_mutex_unlock(&store->lock);
    return status;
}

enum fm_status store_load(struct fm_store *store, struct fm_error *err)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    struct key first = key_meta(KEYS_META_TABLE);
    struct key end = key_meta(KEYS_META_TABLE + 1);
    enum fm_status status = rocks_iterator_new(store->rocks, NULL, ROCKS_META, key_span(&first),
                                               key_span(&end), &iterator);

    while (status == FM_OK) {
        struct fm_span key, value;
        uint32_t id = 0;

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status != FM_OK)
            break;
        status = fail_value(err, key_parse_table(key, 1, &id), "key of a table");
        if (status == FM_OK)
            status = load_table(store, id, value, err);
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}
