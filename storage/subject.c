/* Stored schemas, and keys of data subjects. */
#include "storage/subject.h"

#include "core/assert.h"
#include "core/keys.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- Schemas --------------------------------------------------------------------------------- */

bool subject_seals(const struct fm_schema *schema, uint32_t position)
{
    return schema->has_subject && fm_field_is_classified(&schema->fields[position]);
}

int64_t subject_opened_column(const struct fm_schema *schema, uint32_t field_id)
{
    uint32_t column = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (!subject_seals(schema, i))
            continue;
        if (schema->fields[i].id == field_id)
            return column;
        column++;
    }
    return -1;
}

static void set_blob(struct fm_field *field, uint32_t id, const char *name)
{
    field->id = id;
    field->type.kind = FM_KIND_BLOB;
    field->required = true;
    (void)snprintf(field->name, sizeof field->name, "%s", name); /* Fits. */
}

/* Positions among the fields that stay. */
static void move_positions(const struct fm_schema *schema, const uint16_t *moved,
                           struct fm_schema *stored)
{
    for (uint32_t i = 0; i < schema->key_count; i++)
        stored->key[i] = moved[schema->key[i]];
    for (uint32_t i = 0; i < schema->cluster_count; i++)
        stored->cluster[i] = moved[schema->cluster[i]];
    stored->subject = moved[schema->subject];
}

enum fm_status subject_stored_schema(const struct fm_schema *schema, struct fm_schema **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *stored = NULL;
    FM_AUTO(fm_mem_freep) uint16_t *moved = calloc(schema->field_count, sizeof *moved);
    struct fm_field *fields;
    enum fm_status status = moved == NULL ? FM_NOMEM : fm_schema_copy(schema, &stored);
    uint32_t count = 0;

    fm_assert(schema->has_subject);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        struct fm_field *field = &stored->fields[i];

        if (subject_seals(schema, i)) {
            fm_type_deinit(&field->type);
            free(field->description);
            *field = (struct fm_field){0};
            continue;
        }
        moved[i] = (uint16_t)count;
        if (count != i) {
            stored->fields[count] = *field;
            *field = (struct fm_field){0};
        }
        count++;
    }
    fields = realloc(stored->fields, (count + 2) * sizeof *fields);
    if (fields == NULL)
        return FM_NOMEM; /* Zeroed fields are freed like others. */
    memset(&fields[count], 0, 2 * sizeof *fields);
    set_blob(&fields[count], FM_FIELD_SEALED, "_sealed");
    set_blob(&fields[count + 1], FM_FIELD_COMMITMENT, "_commitment");
    stored->fields = fields;
    stored->field_count = count + 2;
    move_positions(schema, moved, stored);
    *out = FM_TAKE(stored);
    return FM_OK;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

struct kept_keys {
    struct fm_hash id;
    bool is_known;
    bool is_erased;
    struct fm_subject_keys keys;
};

struct subject_keys {
    struct table *table;
    uint64_t erasures; /* The store's when the first of these was read. */
    uint32_t count;
    struct kept_keys kept[]; /* By bits of the subject's id; a later one takes the place. */
};

static size_t size_of(uint32_t count)
{
    return sizeof(struct subject_keys) + count * sizeof(struct kept_keys);
}

enum fm_status subject_keys_new(struct table *table, uint32_t count, struct subject_keys **out)
{
    struct subject_keys *keys = calloc(1, size_of(count));

    fm_assert(count > 0);
    if (keys == NULL)
        return FM_NOMEM;
    keys->count = count;
    keys->table = table;
    keys->erasures = atomic_load(&table->store->erasures);
    *out = keys;
    return FM_OK;
}

void subject_keys_free(struct subject_keys *keys)
{
    if (keys == NULL)
        return;
    fm_wipe(keys, size_of(keys->count));
    free(keys);
}

/* With subject_lock. Not at a snapshot: see subject.h. */
static enum fm_status read_record(struct fm_store *store, const struct fm_hash *id,
                                  struct subject_value *out, struct fm_error *err)
{
    struct key key = key_subject(id);
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status =
        rocks_get(store->rocks, NULL, ROCKS_SUBJECTS, key_span(&key), &bytes, err);

    if (status == FM_OK)
        status = subject_decode(fm_buf_span(&bytes), out);
    if (bytes.data != NULL)
        fm_wipe(bytes.data, bytes.cap);
    fm_buf_free(&bytes);
    if (status == FM_CORRUPT)
        return fm_fail(err, status,
                       "the stored key of a data subject is damaged; restore the folder from a "
                       "backup");
    return status;
}

/* With subject_lock. Not synced: the commit of the rows is, and the log is one sequence. */
static enum fm_status write_record(struct fm_store *store, const struct fm_hash *id,
                                   const struct subject_value *value, struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    struct key key = key_subject(id);
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status = rocks_batch_new(store->rocks, &batch);

    subject_encode(&bytes, value);
    if (status == FM_OK)
        status = fm_buf_status(&bytes);
    if (status == FM_OK) {
        rocks_batch_put(batch, ROCKS_SUBJECTS, key_span(&key), fm_buf_span(&bytes));
        status = rocks_write(store->rocks, batch, false, err);
    }
    if (bytes.data != NULL)
        fm_wipe(bytes.data, bytes.cap);
    fm_buf_free(&bytes);
    return status;
}

static enum fm_status fetch(struct subject_keys *keys, const struct fm_hash *id, bool make,
                            struct kept_keys *out, struct fm_error *err)
{
    struct table *table = keys->table;
    struct fm_store *store = table->store;
    struct subject_value value = {0};
    enum fm_status status;

    (void)pthread_mutex_lock(&store->subject_lock); /* Cannot fail. */
    status = read_record(store, id, &value, err);
    if (status == FM_NOTFOUND && make) {
        value.state = SUBJECT_ACTIVE;
        fm_random(value.key, sizeof value.key);
        status = write_record(store, id, &value, err);
    }
    (void)pthread_mutex_unlock(&store->subject_lock);
    if (status == FM_OK) {
        *out = (struct kept_keys){
            .id = *id, .is_known = true, .is_erased = value.state == SUBJECT_ERASED};
        if (!out->is_erased)
            fm_subject_keys(&out->keys, value.key, table->domain, table->name);
    }
    fm_wipe(&value, sizeof value);
    return status;
}

static enum fm_status look_up(struct subject_keys *keys, struct fm_span text, bool make,
                              const struct fm_subject_keys **out, struct fm_error *err)
{
    uint64_t erasures = atomic_load(&keys->table->store->erasures);
    struct kept_keys *kept;
    struct fm_hash id;
    enum fm_status status = FM_OK;

    if (erasures != keys->erasures) {
        fm_wipe(keys->kept, keys->count * sizeof keys->kept[0]);
        keys->erasures = erasures;
    }
    fm_subject_id(&id, keys->table->domain, text);
    kept = &keys->kept[fm_load32(id.bytes) % keys->count];
    if (!kept->is_known || !fm_hash_equal(&kept->id, &id))
        status = fetch(keys, &id, make, kept, err);
    if (status != FM_OK)
        return status;
    *out = &kept->keys;
    return kept->is_erased ? FM_REFUSED : FM_OK;
}

enum fm_status subject_keys_find(struct subject_keys *keys, struct fm_span text,
                                 const struct fm_subject_keys **out, struct fm_error *err)
{
    return look_up(keys, text, false, out, err);
}

enum fm_status subject_keys_make(struct subject_keys *keys, struct fm_span text,
                                 const struct fm_subject_keys **out, struct fm_error *err)
{
    return look_up(keys, text, true, out, err);
}
