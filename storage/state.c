#include "storage/dictionary.h"
#include "storage/internal.h"
#include "storage/subject.h"

#include "core/assert.h"

#include <stdlib.h>

/* ---- Segment lists --------------------------------------------------------------------------- */

static struct segment_list *list_new(uint32_t capacity)
{
    struct segment_list *list = calloc(1, sizeof *list + capacity * sizeof list->items[0]);

    if (list == NULL)
        return NULL;
    atomic_init(&list->references, 1);
    list->capacity = capacity;
    return list;
}

static void segment_release(struct segment_value *segment)
{
    if (atomic_fetch_sub(&segment->references, 1) != 1)
        return;
    segment_value_deinit(segment);
    free(segment);
}

static void list_add(struct segment_list *list, struct segment_value *segment)
{
    fm_assert(list->count < list->capacity);
    atomic_fetch_add(&segment->references, 1);
    list->items[list->count++] = segment;
}

static void list_release(struct segment_list *list)
{
    if (list == NULL || atomic_fetch_sub(&list->references, 1) != 1)
        return;
    while (list->count > 0)
        segment_release(list->items[--list->count]);
    free(list);
}

/* ---- States ---------------------------------------------------------------------------------- */

struct table_state *state_retain(struct table_state *state)
{
    atomic_fetch_add(&state->references, 1);
    return state;
}

void state_release(struct table_state *state)
{
    if (state == NULL || atomic_fetch_sub(&state->references, 1) != 1)
        return;
    list_release(state->segments);
    superseded_release(state->superseded);
    free(state);
}

struct table_state *state_latest(struct fm_store *store, const char *domain, const char *table)
{
    struct table_state *state = NULL;
    struct table *found;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail: a plain, initialised mutex. */
    found = table_find(store, domain, table);
    if (found != NULL)
        state = state_retain(found->state);
    (void)pthread_mutex_unlock(&store->lock);
    return state;
}

enum fm_status state_copy(const struct table_state *state, struct table_state **out)
{
    struct table_state *copy = malloc(sizeof *copy);

    if (copy == NULL)
        return FM_NOMEM;
    memcpy(copy, state, sizeof *copy);
    atomic_init(&copy->references, 1);
    if (copy->segments != NULL)
        atomic_fetch_add(&copy->segments->references, 1);
    (void)superseded_retain(copy->superseded);
    *out = copy;
    return FM_OK;
}

/* Where a segment that begins with this fact belongs. */
static uint32_t place_of(const struct table_state *state, uint64_t first_sequence)
{
    uint32_t low = 0;
    uint32_t high = state->segment_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (state->segments->items[middle]->first_sequence < first_sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void check_neighbours(const struct table_state *state, const struct segment_value *segment,
                             uint32_t place)
{
    if (place > 0) {
        const struct segment_value *before = state->segments->items[place - 1];

        fm_assert(before->first_sequence + before->rows <= segment->first_sequence);
    }
    if (place < state->segment_count)
        fm_assert(segment->first_sequence + segment->rows <=
                  state->segments->items[place]->first_sequence);
}

/* A list of this state's own, with a segment in the place of `count` others. */
static enum fm_status splice(struct table_state *state, uint32_t place, uint32_t count,
                             struct segment_value *segment)
{
    uint32_t before = state->segment_count;
    struct segment_list *list = list_new(before < 8 ? 16 : before * 2);

    if (list == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < place; i++)
        list_add(list, state->segments->items[i]);
    list_add(list, segment);
    for (uint32_t i = place + count; i < before; i++)
        list_add(list, state->segments->items[i]);
    list_release(state->segments);
    state->segments = list;
    state->segment_count = list->count;
    return FM_OK;
}

enum fm_status state_add_segment(struct table_state *state, struct segment_value *segment)
{
    uint32_t place = place_of(state, segment->first_sequence);
    struct segment_list *list = state->segments;

    check_neighbours(state, segment, place);
    if (list == NULL || place < state->segment_count || place == list->capacity)
        return splice(state, place, 0, segment);
    while (list->count > place) /* What was added for a commit that failed. */
        segment_release(list->items[--list->count]);
    list_add(list, segment);
    state->segment_count++;
    return FM_OK;
}

enum fm_status state_replace_segments(struct table_state *state, uint32_t place, uint32_t count,
                                      struct segment_value *segment)
{
    uint64_t next = segment->first_sequence;

    fm_assert(count >= 1 && place < state->segment_count && count <= state->segment_count - place);
    for (uint32_t i = place; i < place + count; i++) {
        fm_assert(state->segments->items[i]->first_sequence == next);
        next += state->segments->items[i]->rows;
    }
    fm_assert(next == segment->first_sequence + segment->rows);
    return splice(state, place, count, segment);
}

void state_publish(struct fm_store *store, struct table_state *state)
{
    struct table *table = state->table;
    struct table_state *before, *written;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail: a plain, initialised mutex. */
    before = table->state;
    written = table->written;
    fm_assert(before == written); /* Nothing is under way. */
    if (before != NULL)
        fm_assert(before->tree.size <= state->tree.size);
    table->state = state;
    table->written = state_retain(state);
    (void)pthread_mutex_unlock(&store->lock);
    state_release(before);
    state_release(written);
}

uint64_t state_rows_latest(const struct table_state *state)
{
    uint64_t superseded = superseded_count(state->superseded) -
                          superseded_count_range(state->superseded, 0, state->dropped);

    fm_assert(superseded <= state->tree.size - state->dropped);
    return state->tree.size - state->dropped - superseded;
}

void state_to_value(const struct table_state *state, struct state_value *out)
{
    *out = (struct state_value){
        .recorded_at = state->recorded_at,
        .hot_rows = state->hot_rows,
        .segment_count = state->segment_count,
        .next_segment = state->next_segment,
        .superseded = superseded_count(state->superseded),
        .tree = state->tree,
    };
}

enum fm_status state_info(const struct table_state *state, struct fm_table_info *out)
{
    struct fm_schema *schema = NULL;
    enum fm_status status = fm_schema_copy(state->schema, &schema);

    if (status != FM_OK)
        return status;
    *out = (struct fm_table_info){
        .schema = schema,
        .epoch = state->epoch,
        .size = state->tree.size,
        .root = state->root,
        .recorded_at = state->recorded_at,
        .segment_count = state->segment_count,
        .hot_rows = state->hot_rows,
        .rows_latest = state_rows_latest(state),
    };
    return FM_OK;
}

/* ---- Tables --------------------------------------------------------------------------------- */

enum fm_status table_new(struct fm_store *store, uint32_t id, const struct table_value *value,
                         struct table **out)
{
    FM_AUTO(table_freep) struct table *table = calloc(1, sizeof *table);
    enum fm_status status;

    if (table == NULL)
        return FM_NOMEM;
    table->store = store;
    table->id = id;
    memcpy(table->domain, value->domain, sizeof table->domain);
    memcpy(table->name, value->table, sizeof table->name);
    table->value = *value;
    status = table_dictionaries_new(&table->dictionaries);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(table);
    return FM_OK;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    state_release(table->written);
    if (table->state != NULL)
        fm_assert(atomic_load(&table->state->references) ==
                  1); /* No snapshot outlives the store. */
    state_release(table->state);
    for (uint32_t i = 0; i < table->schema_count; i++) {
        if (table->stored[i] != table->schemas[i])
            fm_schema_free(table->stored[i]);
        fm_schema_free(table->schemas[i]);
    }
    free(table->schemas);
    free(table->stored);
    table_dictionaries_free(table->dictionaries);
    explicit_bzero(&table->value, sizeof table->value); /* The commitment key. */
    free(table);
}

struct table *table_find(struct fm_store *store, const char *domain, const char *name)
{
    for (uint32_t i = 0; i < store->table_count; i++) {
        struct table *table = store->tables[i];

        if (strcmp(table->domain, domain) == 0 && strcmp(table->name, name) == 0)
            return table;
    }
    return NULL;
}

static bool grow_list(struct fm_schema ***list, uint32_t count)
{
    struct fm_schema **grown = realloc(*list, (count + 1) * sizeof(struct fm_schema *));

    if (grown != NULL)
        *list = grown;
    return grown != NULL;
}

enum fm_status table_add_schema(struct table *table, struct fm_schema *schema)
{
    uint32_t count = table->schema_count;
    struct fm_schema *stored = schema;
    enum fm_status status = FM_OK;

    if (!grow_list(&table->schemas, count) || !grow_list(&table->stored, count))
        return FM_NOMEM;
    if (count > 0)
        fm_assert(table->schemas[count - 1]->version < schema->version);
    if (schema->has_subject)
        status = subject_stored_schema(schema, &stored);
    if (status != FM_OK)
        return status;
    table->schemas[count] = schema;
    table->stored[count] = stored;
    table->schema_count++;
    return FM_OK;
}

static enum fm_status find_schema(struct table *table, struct fm_schema *const *const *list,
                                  uint32_t version, const struct fm_schema **out)
{
    enum fm_status status = FM_CORRUPT;

    (void)pthread_mutex_lock(&table->store->lock); /* Cannot fail. */
    for (uint32_t i = table->schema_count; status != FM_OK && i-- > 0;) {
        if ((*list)[i]->version == version) {
            *out = (*list)[i];
            status = FM_OK;
        }
    }
    (void)pthread_mutex_unlock(&table->store->lock);
    return status;
}

enum fm_status table_schema(struct table *table, uint32_t version, const struct fm_schema **out)
{
    return find_schema(table, (struct fm_schema *const *const *)&table->stored, version, out);
}

enum fm_status table_contract_schema(struct table *table, uint32_t version,
                                     const struct fm_schema **out)
{
    return find_schema(table, (struct fm_schema *const *const *)&table->schemas, version, out);
}

bool schema_is_keyed(const struct fm_schema *schema)
{
    return schema->key_count > 0;
}

int64_t schema_position(const struct fm_schema *schema, uint32_t field_id)
{
    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (schema->fields[i].id == field_id)
            return i;
    }
    return -1;
}
