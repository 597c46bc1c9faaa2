/* Schemas: names, rules, copies. The msgpack form is in schema_codec.c. */
#include "core/schema.h"

#include "core/assert.h"

#include <strings.h>

static bool is_identifier(const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len > FM_NAME_MAX || name[0] < 'a' || name[0] > 'z')
        return false;
    for (size_t i = 1; i < len; i++) {
        char c = name[i];
        if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_')
            return false;
    }
    return true;
}

bool fm_domain_name_valid(const char *name)
{
    static const char *const reserved[] = {FM_VIEWS_DOMAIN, "main",   "temp",
                                           "system",        "public", "information_schema"};
    if (!is_identifier(name) || strncmp(name, "pg_", 3) == 0)
        return false;
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
        if (strcmp(name, reserved[i]) == 0)
            return false;
    return true;
}

bool fm_domain_is_own(const char *name)
{
    return strcmp(name, FM_VIEWS_DOMAIN) == 0 || strcmp(name, FM_CATALOG_DOMAIN) == 0 ||
           strcmp(name, FM_INFORMATION_DOMAIN) == 0;
}

bool fm_table_name_valid(const char *name)
{
    return is_identifier(name);
}

/* ---- Checks -------------------------------------------------------------------------------- */

static enum fm_status check_text(const char *text, const char *what, struct fm_error *err)
{
    if (text == NULL)
        return FM_OK;
    size_t len = strlen(text);
    if (len > FM_DESCRIPTION_MAX)
        return fm_fail(err, FM_INVALID, "the description of %s is longer than %u bytes", what,
                       FM_DESCRIPTION_MAX);
    if (!fm_utf8_valid(fm_span(text, len)))
        return fm_fail(err, FM_INVALID, "the description of %s is not UTF-8", what);
    return FM_OK;
}

static bool name_ends(const char *name, size_t size)
{
    return memchr(name, '\0', size) != NULL;
}

static enum fm_status check_field(const struct fm_field *field, uint32_t position,
                                  uint32_t *node_count, struct fm_error *err)
{
    if (!name_ends(field->name, sizeof field->name) || field->name[0] == '\0' ||
        !fm_utf8_valid(fm_span_str(field->name)))
        return fm_fail(err, FM_INVALID, "field %u: its name is not 1 to %u bytes of UTF-8",
                       position, FM_NAME_MAX);
    if (field->id == 0)
        return fm_fail(err, FM_INVALID, "field %s has no id", field->name);
    if (field->id >= FM_FIELD_SYSTEM_MIN)
        return fm_fail(err, FM_INVALID, "field %s has the id %u; ids from %u on are reserved",
                       field->name, field->id, FM_FIELD_SYSTEM_MIN);
    if (field->classification > FM_CLASS_SECRET)
        return fm_fail(err, FM_INVALID, "field %s has an unknown classification", field->name);
    enum fm_status status = fm_type_check(&field->type, node_count, err);
    if (status == FM_NOMEM)
        return status;
    if (status != FM_OK)
        return fm_wrap(err, FM_INVALID, "field %s", field->name);
    return check_text(field->description, field->name, err);
}

static int compare_ids(const void *a, const void *b)
{
    const struct fm_field *x = *(const struct fm_field *const *)a;
    const struct fm_field *y = *(const struct fm_field *const *)b;
    return (x->id > y->id) - (x->id < y->id);
}

static int compare_names(const void *a, const void *b)
{
    const struct fm_field *x = *(const struct fm_field *const *)a;
    const struct fm_field *y = *(const struct fm_field *const *)b;
    return strcmp(x->name, y->name);
}

static enum fm_status check_unique(const struct fm_schema *schema, struct fm_error *err)
{
    uint32_t count = schema->field_count;
    FM_AUTO(fm_mem_freep) const struct fm_field **sorted = malloc(count * sizeof *sorted);
    if (sorted == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        sorted[i] = &schema->fields[i];
    qsort(sorted, count, sizeof *sorted, compare_ids);
    for (uint32_t i = 1; i < count; i++)
        if (sorted[i]->id == sorted[i - 1]->id)
            return fm_fail(err, FM_INVALID, "fields %s and %s have the same id %u",
                           sorted[i - 1]->name, sorted[i]->name, sorted[i]->id);
    qsort(sorted, count, sizeof *sorted, compare_names);
    for (uint32_t i = 1; i < count; i++)
        if (strcmp(sorted[i]->name, sorted[i - 1]->name) == 0)
            return fm_fail(err, FM_INVALID, "two fields are named %s", sorted[i]->name);
    return FM_OK;
}

/* Rules that the primary key and the clustering key share. */
static enum fm_status check_positions(const struct fm_schema *schema, const uint16_t *positions,
                                      uint32_t count, const char *what, struct fm_error *err)
{
    if (count > FM_KEY_FIELDS_MAX)
        return fm_fail(err, FM_INVALID, "the %s has more than %u fields", what, FM_KEY_FIELDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (positions[i] >= schema->field_count)
            return fm_fail(err, FM_INVALID, "the %s names a field that is not there", what);
        const struct fm_field *field = &schema->fields[positions[i]];
        if (fm_type_is_nested(&field->type))
            return fm_fail(err, FM_INVALID, "field %s is nested and cannot be in the %s",
                           field->name, what);
        for (uint32_t j = 0; j < i; j++)
            if (positions[j] == positions[i])
                return fm_fail(err, FM_INVALID, "field %s is twice in the %s", field->name, what);
    }
    return FM_OK;
}

static enum fm_status check_key(const struct fm_schema *schema, struct fm_error *err)
{
    enum fm_status status =
        check_positions(schema, schema->key, schema->key_count, "primary key", err);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < schema->key_count; i++) {
        const struct fm_field *field = &schema->fields[schema->key[i]];
        if (!field->required)
            return fm_fail(err, FM_INVALID, "field %s is in the primary key but not required",
                           field->name);
        if (field->type.kind == FM_KIND_FLOAT || field->type.kind == FM_KIND_DOUBLE)
            return fm_fail(err, FM_INVALID,
                           "field %s is a floating number and cannot be in the primary key",
                           field->name);
    }
    return FM_OK;
}

bool fm_field_is_classified(const struct fm_field *field)
{
    return field->classification == FM_CLASS_PERSONAL || field->classification == FM_CLASS_SECRET;
}

static bool may_name_subjects(enum fm_kind kind)
{
    return kind == FM_KIND_VARCHAR || kind == FM_KIND_UUID ||
           (kind >= FM_KIND_INT8 && kind <= FM_KIND_HUGEINT);
}

/* What is in a key or sorts the rows is stored in the open. */
static enum fm_status check_all_open(const struct fm_schema *schema, const uint16_t *positions,
                                     uint32_t count, const char *what, struct fm_error *err)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct fm_field *field = &schema->fields[positions[i]];
        if (fm_field_is_classified(field))
            return fm_fail(err, FM_INVALID,
                           "field %s is personal or secret and cannot be in the %s of a table "
                           "whose subjects can be erased",
                           field->name, what);
    }
    return FM_OK;
}

static enum fm_status check_subject(const struct fm_schema *schema, struct fm_error *err)
{
    bool has_classified = false;
    if (!schema->has_subject)
        return FM_OK;
    if (schema->subject >= schema->field_count)
        return fm_fail(err, FM_INVALID, "the subject names a field that is not there");
    const struct fm_field *subject = &schema->fields[schema->subject];
    if (!may_name_subjects(subject->type.kind))
        return fm_fail(err, FM_INVALID,
                       "field %s cannot name the subject: its type is none of varchar, uuid and "
                       "the integers",
                       subject->name);
    if (fm_field_is_classified(subject))
        return fm_fail(err, FM_INVALID,
                       "field %s cannot name the subject while it is personal or secret; give "
                       "subjects a pseudonymous id, which stays readable",
                       subject->name);
    if (!subject->required)
        return fm_fail(err, FM_INVALID, "field %s names the subject but is not required",
                       subject->name);
    for (uint32_t i = 0; i < schema->field_count; i++)
        has_classified = has_classified || fm_field_is_classified(&schema->fields[i]);
    if (!has_classified)
        return fm_fail(err, FM_INVALID,
                       "field %s names the subject, but no field is personal or secret: nothing "
                       "could be erased",
                       subject->name);
    enum fm_status status =
        check_all_open(schema, schema->key, schema->key_count, "primary key", err);
    if (status == FM_OK)
        status =
            check_all_open(schema, schema->cluster, schema->cluster_count, "clustering key", err);
    return status;
}

static enum fm_status check_head(const struct fm_schema *schema, struct fm_error *err)
{
    if (!name_ends(schema->domain, sizeof schema->domain) || !fm_domain_name_valid(schema->domain))
        return fm_fail(err, FM_INVALID, "the domain's name is not a valid one");
    if (!name_ends(schema->table, sizeof schema->table) || !fm_table_name_valid(schema->table))
        return fm_fail(err, FM_INVALID, "the table's name is not a valid one");
    if (schema->version == 0)
        return fm_fail(err, FM_INVALID, "schema versions begin with 1");
    if (schema->retention_days > FM_RETENTION_DAYS_MAX)
        return fm_fail(err, FM_INVALID, "facts are kept for at most %u days, or for ever",
                       FM_RETENTION_DAYS_MAX);
    if (schema->field_count == 0 || schema->field_count > FM_COLUMNS_MAX)
        return fm_fail(err, FM_INVALID, "a table has 1 to %u fields", FM_COLUMNS_MAX);
    return check_text(schema->description, schema->table, err);
}

/* What cannot be read back must not be written. */
static enum fm_status check_size(const struct fm_schema *schema, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf encoded = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    fm_schema_encode(&encoded, schema);
    if (fm_buf_status(&encoded) == FM_LIMIT)
        return fm_fail(err, FM_INVALID, "the schema needs more than %u bytes",
                       FM_ENVELOPE_BYTES_MAX);
    return fm_buf_status(&encoded);
}

enum fm_status fm_schema_check(const struct fm_schema *schema, struct fm_error *err)
{
    uint32_t node_count = 0;
    enum fm_status status = check_head(schema, err);
    for (uint32_t i = 0; status == FM_OK && i < schema->field_count; i++)
        status = check_field(&schema->fields[i], i, &node_count, err);
    if (status == FM_OK)
        status = check_unique(schema, err);
    if (status == FM_OK)
        status = check_key(schema, err);
    if (status == FM_OK)
        status =
            check_positions(schema, schema->cluster, schema->cluster_count, "clustering key", err);
    if (status == FM_OK)
        status = check_subject(schema, err);
    if (status == FM_OK)
        status = check_size(schema, err);
    if (status == FM_NOMEM)
        return fm_fail(err, status, "check schema: out of memory");
    return status;
}

/* ---- Copies, lookup ------------------------------------------------------------------------ */

void fm_schema_free(struct fm_schema *schema)
{
    if (schema == NULL)
        return;
    for (uint32_t i = 0; schema->fields != NULL && i < schema->field_count; i++) {
        fm_type_deinit(&schema->fields[i].type);
        free(schema->fields[i].description);
    }
    free(schema->fields);
    free(schema->description);
    free(schema);
}

static enum fm_status copy_text(const char *text, char **out)
{
    if (text == NULL)
        return FM_OK;
    *out = strdup(text);
    return *out != NULL ? FM_OK : FM_NOMEM;
}

enum fm_status fm_schema_copy(const struct fm_schema *schema, struct fm_schema **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return FM_NOMEM;
    *copy = *schema;
    copy->description = NULL;
    copy->fields = calloc(schema->field_count, sizeof *copy->fields);
    if (copy->fields == NULL)
        return FM_NOMEM;
    enum fm_status status = copy_text(schema->description, &copy->description);
    for (uint32_t i = 0; status == FM_OK && i < schema->field_count; i++) {
        const struct fm_field *from = &schema->fields[i];
        struct fm_field *to = &copy->fields[i];
        *to = *from;
        to->type = (struct fm_type){0};
        to->description = NULL;
        status = fm_type_copy(&from->type, &to->type);
        if (status == FM_OK)
            status = copy_text(from->description, &to->description);
    }
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(copy);
    return FM_OK;
}

enum fm_status fm_schema_find(const struct fm_schema *schema, struct fm_span name, uint32_t *out)
{
    uint32_t near = 0, near_count = 0;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        const char *here = schema->fields[i].name;
        if (strlen(here) != name.len)
            continue;
        if (fm_span_equal(fm_span_str(here), name)) {
            *out = i;
            return FM_OK;
        }
        if (strncasecmp(here, (const char *)name.data, name.len) == 0) {
            near = i;
            near_count++;
        }
    }
    if (near_count != 1)
        return FM_NOTFOUND;
    *out = near;
    return FM_OK;
}
