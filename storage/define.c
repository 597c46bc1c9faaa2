/* Tables and the versions of their schemas. */
#include "storage/internal.h"

#include "core/assert.h"
#include "core/keys.h"

#include <stdlib.h>

/* What a definition adds, until it is committed. */
struct definition {
    struct fm_store *store;
    struct fm_schema *schema; /* Our copy. */
    struct fm_buf bytes;      /* Encoded. */
    struct table_value value;
};

static void definition_deinit(struct definition *definition)
{
    fm_schema_free(definition->schema);
    fm_buf_free(&definition->bytes);
    explicit_bzero(&definition->value, sizeof definition->value); /* The commitment key. */
}

/* Key fields by id: positions may move, keys may not. */
static bool keys_same(const struct fm_schema *a, const struct fm_schema *b)
{
    if (a->key_count != b->key_count)
        return false;
    for (uint32_t i = 0; i < a->key_count; i++) {
        if (a->fields[a->key[i]].id != b->fields[b->key[i]].id)
            return false;
    }
    return true;
}

static enum fm_status check_fields(const struct fm_schema *old, const struct fm_schema *schema,
                                   struct fm_error *err)
{
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const struct fm_field *field = &schema->fields[i];
        int64_t before = schema_position(old, field->id);

        if (before >= 0 && !fm_type_equal(&old->fields[before].type, &field->type))
            return fm_fail(err, FM_INVALID,
                           "field `%s` (id %u) of %s.%s had another type in version %u; a field "
                           "with another type needs another id",
                           field->name, field->id, schema->domain, schema->table, old->version);
    }
    return FM_OK;
}

/* What is stored encrypted for whom stays so. */
static enum fm_status check_subject(const struct fm_schema *old, const struct fm_schema *schema,
                                    struct fm_error *err)
{
    if (old->has_subject != schema->has_subject ||
        (old->has_subject && old->fields[old->subject].id != schema->fields[schema->subject].id))
        return fm_fail(err, FM_INVALID,
                       "the field that names the subject of %s.%s cannot change; make a new table",
                       schema->domain, schema->table);
    for (uint32_t i = 0; old->has_subject && i < schema->field_count; i++) {
        const struct fm_field *field = &schema->fields[i];
        int64_t before = schema_position(old, field->id);

        if (before >= 0 &&
            fm_field_is_classified(&old->fields[before]) != fm_field_is_classified(field))
            return fm_fail(err, FM_INVALID,
                           "field `%s` (id %u) of %s.%s was %s in version %u and is stored so; "
                           "a field with another classification needs another id",
                           field->name, field->id, schema->domain, schema->table,
                           fm_field_is_classified(field) ? "open" : "personal or secret",
                           old->version);
    }
    return FM_OK;
}

/* Equal bytes are equal schemas: the encoding has one form. */
static enum fm_status is_same(const struct fm_schema *old, const struct fm_buf *bytes, bool *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf before = FM_BUF_INIT(0);

    fm_schema_encode(&before, old);
    if (fm_buf_status(&before) != FM_OK)
        return fm_buf_status(&before);
    *out = fm_span_equal(fm_buf_span(&before), fm_buf_span(bytes));
    return FM_OK;
}

/* May the table have this version? `*done`: it is there already. */
static enum fm_status check_version(struct table *table, const struct definition *definition,
                                    uint32_t epoch, bool *done, struct fm_error *err)
{
    const struct fm_schema *schema = definition->schema;
    const struct fm_schema *current = table->schemas[table->schema_count - 1];
    enum fm_status status = FM_OK;
    bool same = false;

    for (uint32_t i = 0; i < table->schema_count; i++) {
        if (table->schemas[i]->version == schema->version)
            status = is_same(table->schemas[i], &definition->bytes, &same);
        else
            status = check_fields(table->schemas[i], schema, err);
        if (status == FM_OK)
            status = check_subject(table->schemas[i], schema, err);
        if (status != FM_OK)
            return status;
    }
    if (epoch < table->state->epoch)
        return fm_fail(err, FM_CONFLICT, "%s.%s is in epoch %u already", table->domain, table->name,
                       table->state->epoch);
    *done = same && epoch == table->state->epoch;
    if (same)
        return FM_OK;
    if (schema->version <= current->version)
        return fm_fail(err, FM_CONFLICT,
                       "%s.%s has version %u of its schema already, with other content; publish "
                       "the change as version %u",
                       table->domain, table->name, current->version, current->version + 1);
    if (table->state->tree.size > 0 && !keys_same(current, schema))
        return fm_fail(err, FM_INVALID,
                       "the primary key of %s.%s cannot change once the table has facts",
                       table->domain, table->name);
    return FM_OK;
}

static enum fm_status put_definition(struct definition *definition, uint32_t id,
                                     const struct table_state *state, struct rocks_batch *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct state_value stored;
    struct key key = key_table(KEYS_META_TABLE, id);

    table_encode(&value, &definition->value);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    fm_wipe(value.data, value.len);
    fm_buf_clear(&value);
    fm_buf_put_span(&value, fm_buf_span(&definition->bytes));
    value_seal(&value, 0);
    if (fm_buf_status(&value) != FM_OK)
        return fm_buf_status(&value);
    key = key_schema(id, definition->schema->version);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    fm_buf_clear(&value);
    state_to_value(state, &stored);
    state_encode(&value, &stored);
    key = key_table(KEYS_META_STATE, id);
    rocks_batch_put(batch, ROCKS_META, key_span(&key), fm_buf_span(&value));
    return fm_buf_status(&value);
}

/* Write the table's record, schema and state as one commit. */
static enum fm_status commit_definition(struct definition *definition, uint32_t id,
                                        const struct table_state *state, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    struct commit_what what;
    struct fm_hash hash;
    enum fm_status status = rocks_batch_new(definition->store->rocks, &batch);

    if (status == FM_OK)
        status = put_definition(definition, id, state, batch);
    if (status != FM_OK)
        return status;
    fm_sha256_one(&hash, fm_buf_span(&definition->bytes));
    what = commit_what_define(id, definition->value.epoch, &hash);
    return store_commit(definition->store, batch, &what, err);
}

static void give_commitment_key(struct definition *definition)
{
    if (definition->value.has_commitment_key || definition->schema->has_subject ||
        !fm_schema_has_commitment(definition->schema))
        return; /* Subjects have keys of their own. */
    definition->value.has_commitment_key = true;
    fm_random(definition->value.commitment_key, sizeof definition->value.commitment_key);
}

static enum fm_status take_id(struct fm_store *store, uint32_t *out, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->commit_lock); /* Cannot fail. */
    if (store->tip.next_table > TABLES_MAX)
        status = fm_fail(err, FM_LIMIT, "a store holds up to %u tables", TABLES_MAX);
    else
        *out = store->tip.next_table++; /* Stored with the commit that makes the table. */
    (void)pthread_mutex_unlock(&store->commit_lock);
    return status;
}

static enum fm_status new_state(struct table *table, uint32_t epoch, struct table_state **out)
{
    struct table_state *state = calloc(1, sizeof *state);

    if (state == NULL)
        return FM_NOMEM;
    atomic_init(&state->references, 1);
    state->table = table;
    state->epoch = epoch;
    fm_tree_init(&state->tree);
    fm_tree_root(&state->tree, &state->root);
    *out = state;
    return FM_OK;
}

static enum fm_status define_new(struct definition *definition, struct fm_error *err)
{
    FM_AUTO(table_freep) struct table *table = NULL;
    struct fm_store *store = definition->store;
    const struct fm_schema *schema = definition->schema;
    enum fm_status status;
    uint32_t id = 0;

    memcpy(definition->value.domain, schema->domain, sizeof schema->domain);
    memcpy(definition->value.table, schema->table, sizeof schema->table);
    give_commitment_key(definition);
    status = take_id(store, &id, err);
    if (status == FM_OK)
        status = table_new(store, id, &definition->value, &table);
    if (status == FM_OK)
        status = table_add_schema(table, definition->schema);
    if (status != FM_OK)
        return status;
    definition->schema = NULL; /* The table's now. */
    status = new_state(table, definition->value.epoch, &table->state);
    if (status != FM_OK)
        return status;
    table->state->schema = schema;
    table->written = state_retain(table->state);
    definition->schema = table->schemas[0];
    status = commit_definition(definition, id, table->state, err);
    definition->schema = NULL;
    if (status != FM_OK)
        return status;
    status = store_add_table(store, table);
    if (status == FM_OK)
        table = NULL; /* The store's now. */
    else
        store_poison(store); /* The disk has a table that memory does not know. */
    return status;
}

/* A further version of a table that nobody appends to meanwhile. */
static enum fm_status define_next(struct definition *definition, struct table *table, bool is_new,
                                  struct fm_error *err)
{
    FM_AUTO(state_releasep) struct table_state *state = NULL;
    uint32_t epoch = definition->value.epoch;
    enum fm_status status = state_copy(table->state, &state);

    if (status != FM_OK)
        return status;
    definition->value = table->value;
    definition->value.epoch = state->epoch = epoch;
    if (is_new)
        definition->value.schema_version = definition->schema->version;
    give_commitment_key(definition);
    status = commit_definition(definition, table->id, state, err);
    if (status != FM_OK)
        return status;
    (void)pthread_mutex_lock(&table->store->lock); /* Cannot fail. */
    table->value = definition->value;
    if (is_new) {
        status = table_add_schema(table, definition->schema);
        if (status == FM_OK)
            state->schema = FM_TAKE(definition->schema);
    }
    (void)pthread_mutex_unlock(&table->store->lock);
    if (status == FM_OK)
        state_publish(table->store, FM_TAKE(state));
    else
        store_poison(table->store); /* The disk has a schema that memory does not know. */
    return status;
}

static enum fm_status define_existing(struct definition *definition, struct table *table,
                                      struct fm_error *err)
{
    const struct fm_schema *current;
    bool done = false;
    bool is_new;
    enum fm_status status = table_lock_append(table, err);

    if (status != FM_OK)
        return status;
    status = store_settle(table->store, err); /* The table's state is the one written last. */
    if (status == FM_OK)
        status = check_version(table, definition, definition->value.epoch, &done, err);
    current = table->schemas[table->schema_count - 1];
    is_new = definition->schema->version > current->version;
    if (status == FM_OK && !done)
        status = define_next(definition, table, is_new, err);
    table_unlock_append(table);
    return status;
}

enum fm_status fm_store_define(struct fm_store *store, const struct fm_schema *schema,
                               uint32_t epoch, struct fm_error *err)
{
    FM_AUTO(definition_deinit)
    struct definition definition = {
        .store = store,
        .bytes = FM_BUF_INIT(FM_DOC_BYTES_MAX),
        .value = {.epoch = epoch, .schema_version = schema->version},
    };
    struct table *table;
    enum fm_status status = fm_schema_check(schema, err);

    if (status == FM_OK)
        status = store_usable(store, err);
    if (status == FM_OK)
        status = fm_schema_copy(schema, &definition.schema);
    if (status != FM_OK)
        return status;
    fm_schema_encode(&definition.bytes, schema);
    status = fm_buf_status(&definition.bytes);
    if (status != FM_OK)
        return status;
    (void)pthread_mutex_lock(&store->define_lock); /* Cannot fail. */
    (void)pthread_mutex_lock(&store->lock);
    table = table_find(store, schema->domain, schema->table);
    (void)pthread_mutex_unlock(&store->lock);
    status =
        table == NULL ? define_new(&definition, err) : define_existing(&definition, table, err);
    (void)pthread_mutex_unlock(&store->define_lock);
    return status;
}
