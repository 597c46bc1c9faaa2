#include "node/contract_parts.h"

#include "core/limits.h"

#include <strings.h>

static const char *const table_customs[] = {"folkmoot.clusterBy", NULL};
static const char *const field_customs[] = {"folkmoot.fieldId", "folkmoot.subject", NULL};

/* A primary key column while the table is read. */
struct key_part {
    uint16_t field;
    uint64_t position;
};

static const struct {
    const char *word;
    enum fm_classification class;
} class_words[] = {
    {"open", FM_CLASS_OPEN},
    {"public", FM_CLASS_OPEN},
    {"internal", FM_CLASS_OPEN},
    {"confidential", FM_CLASS_CONFIDENTIAL},
    {"restricted", FM_CLASS_CONFIDENTIAL},
    {"personal", FM_CLASS_PERSONAL},
    {"pii", FM_CLASS_PERSONAL},
    {"restricted-personal", FM_CLASS_PERSONAL},
    {"secret", FM_CLASS_SECRET},
};

/* Unknown words are refused: guessed low, a mistyped "personal" would put data that must be
 * erasable into the open part of a log for ever. */
static enum fm_status read_class(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *property, uint8_t *out)
{
    const struct fm_yaml_node *node = fm_yaml_get(property, "classification");

    *out = FM_CLASS_OPEN;
    if (fm_yaml_is_null(node))
        return FM_OK;
    for (size_t i = 0; i < sizeof class_words / sizeof class_words[0]; i++) {
        if (node->kind == FM_YAML_SCALAR && strcasecmp(node->text, class_words[i].word) == 0) {
            *out = (uint8_t)class_words[i].class;
            return FM_OK;
        }
    }
    return fm_yaml_fail(reader->err, reader->yaml, node,
                        "this classification is not known; expected open, public, internal, "
                        "confidential, restricted, personal, pii, restricted-personal or secret");
}

static enum fm_status check_name(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *property,
                                 const struct fm_schema *schema, const struct fm_field *field)
{
    const struct fm_yaml_node *place = fm_yaml_get(property, "name");

    if (field->name[0] == '_')
        return fm_yaml_fail(reader->err, reader->yaml, place,
                            "the name '%s' is reserved: names with _ first are those of a fact's "
                            "history (_op, _event_time, ...)",
                            field->name);
    for (const struct fm_field *other = schema->fields; other != field; other++)
        if (strcasecmp(field->name, other->name) == 0)
            return fm_yaml_fail(reader->err, reader->yaml, place,
                                "two columns are named '%s' (upper and lower case do not differ)",
                                field->name);
    return FM_OK;
}

/* The id that the contract gives, 0 when it gives none. */
static enum fm_status read_id(const struct fm_contract_reader *reader,
                              const struct fm_yaml_node *property, uint32_t *out)
{
    const struct fm_yaml_node *node = NULL;
    uint64_t id = 0;

    *out = 0;
    enum fm_status status =
        fm_contract_custom(reader, property, field_customs, "folkmoot.fieldId", &node);
    if (status != FM_OK || node == NULL)
        return status;
    if (!fm_yaml_uint(node, FM_FIELD_SYSTEM_MIN - 1, &id) || id == 0)
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "folkmoot.fieldId must be a number from 1 to %u",
                            FM_FIELD_SYSTEM_MIN - 1);
    *out = (uint32_t)id;
    return FM_OK;
}

/* Does the column name the data subject of its row? */
static enum fm_status read_subject(const struct fm_contract_reader *reader,
                                   const struct fm_yaml_node *property, struct fm_schema *schema,
                                   uint16_t field)
{
    const struct fm_yaml_node *node = NULL;
    bool is_subject = false;

    enum fm_status status =
        fm_contract_custom(reader, property, field_customs, "folkmoot.subject", &node);
    if (status != FM_OK || node == NULL)
        return status;
    if (!fm_yaml_bool(node, &is_subject))
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "folkmoot.subject must be true or false");
    if (!is_subject)
        return FM_OK;
    if (schema->has_subject)
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "two columns name the subject, '%s' and '%s'; expected one",
                            schema->fields[schema->subject].name, schema->fields[field].name);
    schema->has_subject = true;
    schema->subject = field;
    return FM_OK;
}

static enum fm_status read_key(const struct fm_contract_reader *reader,
                               const struct fm_yaml_node *property, struct fm_schema *schema,
                               struct key_part *parts, uint16_t field)
{
    const struct fm_yaml_node *position = fm_yaml_get(property, "primaryKeyPosition");
    const struct fm_yaml_node *required = fm_yaml_get(property, "required");
    bool is_key = false;

    enum fm_status status = fm_contract_bool(reader, property, "primaryKey", false, &is_key);
    if (status != FM_OK || !is_key)
        return status;
    if (!fm_yaml_is_null(required) && !schema->fields[field].required)
        return fm_yaml_fail(reader->err, reader->yaml, required,
                            "a column of the primary key must be required");
    if (schema->key_count == FM_KEY_FIELDS_MAX)
        return fm_yaml_fail(reader->err, reader->yaml, property,
                            "the primary key has more than %u columns", FM_KEY_FIELDS_MAX);
    struct key_part *part = &parts[schema->key_count++];
    *part = (struct key_part){.field = field};
    schema->fields[field].required = true;
    if (fm_yaml_is_null(position))
        return FM_OK;
    if (!fm_yaml_uint(position, FM_KEY_FIELDS_MAX, &part->position) || part->position == 0)
        return fm_yaml_fail(reader->err, reader->yaml, position,
                            "primaryKeyPosition must be a number from 1 to %u", FM_KEY_FIELDS_MAX);
    return FM_OK;
}

static enum fm_status read_field(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *property, struct fm_schema *schema,
                                 struct key_part *parts, uint16_t i)
{
    struct fm_field *field = &schema->fields[i];

    enum fm_status status =
        fm_contract_text(reader, property, "name", true, field->name, sizeof field->name);
    if (status == FM_OK)
        status = check_name(reader, property, schema, field);
    if (status == FM_OK)
        status = fm_contract_type(reader, property, 0, &field->type);
    if (status == FM_OK)
        status = fm_contract_bool(reader, property, "required", false, &field->required);
    if (status == FM_OK)
        status = read_class(reader, property, &field->classification);
    if (status == FM_OK)
        status = fm_contract_description(reader, property, &field->description);
    if (status == FM_OK)
        status = read_id(reader, property, &field->id);
    if (status == FM_OK)
        status = read_key(reader, property, schema, parts, i);
    if (status == FM_OK)
        status = read_subject(reader, property, schema, i);
    return status;
}

/* Key columns by their positions; when none is given, as they stand. */
static enum fm_status order_key(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *object, struct fm_schema *schema,
                                struct key_part *parts)
{
    uint32_t given = 0;

    for (uint32_t i = 0; i < schema->key_count; i++)
        given += parts[i].position != 0;
    if (given != 0 && given != schema->key_count)
        return fm_yaml_fail(reader->err, reader->yaml, object,
                            "primaryKeyPosition is given for %u of %u key columns; expected for "
                            "all or none",
                            given, schema->key_count);
    for (uint32_t i = 1; i < schema->key_count; i++) {
        for (uint32_t j = i; j > 0 && parts[j].position < parts[j - 1].position; j--) {
            struct key_part part = parts[j];
            parts[j] = parts[j - 1];
            parts[j - 1] = part;
        }
    }
    for (uint32_t i = 0; i < schema->key_count; i++) {
        if (given != 0 && parts[i].position != i + 1)
            return fm_yaml_fail(reader->err, reader->yaml, object,
                                "the primaryKeyPosition of the key columns must count from 1 to "
                                "%u",
                                schema->key_count);
        schema->key[i] = parts[i].field;
    }
    return FM_OK;
}

static enum fm_status add_cluster(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *place, struct fm_span name,
                                  struct fm_schema *schema)
{
    uint32_t at = 0;

    while (name.len != 0 && name.data[0] == ' ')
        name = fm_span(name.data + 1, name.len - 1);
    while (name.len != 0 && name.data[name.len - 1] == ' ')
        name.len--;
    if (schema->cluster_count == FM_KEY_FIELDS_MAX)
        return fm_yaml_fail(reader->err, reader->yaml, place,
                            "folkmoot.clusterBy names more than %u columns", FM_KEY_FIELDS_MAX);
    if (fm_schema_find(schema, name, &at) != FM_OK)
        return fm_yaml_fail(reader->err, reader->yaml, place,
                            "folkmoot.clusterBy names the column '%.*s', which is not there",
                            (int)(name.len > 64 ? 64 : name.len), (const char *)name.data);
    schema->cluster[schema->cluster_count++] = (uint16_t)at;
    return FM_OK;
}

/* A list of names, or one text with commas. */
static enum fm_status read_cluster(const struct fm_contract_reader *reader,
                                   const struct fm_yaml_node *object, struct fm_schema *schema)
{
    const struct fm_yaml_node *value = NULL;

    enum fm_status status =
        fm_contract_custom(reader, object, table_customs, "folkmoot.clusterBy", &value);
    if (status != FM_OK || value == NULL)
        return status;
    if (value->kind == FM_YAML_SEQUENCE) {
        for (const struct fm_yaml_node *item = value->first; item != NULL; item = item->next) {
            if (item->kind != FM_YAML_SCALAR)
                return fm_yaml_fail(reader->err, reader->yaml, item,
                                    "folkmoot.clusterBy is a list of column names");
            status = add_cluster(reader, item, fm_span(item->text, item->len), schema);
            if (status != FM_OK)
                return status;
        }
        return FM_OK;
    }
    if (value->kind != FM_YAML_SCALAR)
        return fm_yaml_fail(reader->err, reader->yaml, value,
                            "folkmoot.clusterBy is a list of column names");
    for (const char *at = value->text; status == FM_OK && *at != '\0';) {
        size_t len = strcspn(at, ",");
        status = add_cluster(reader, value, fm_span(at, len), schema);
        at += len + (at[len] == ',');
    }
    return status;
}

/* Ids are for ever: by the contract, else by the name in the published schema, else the next free
 * one. In a new table that is the position. */
static void assign_ids(struct fm_schema *schema, const struct fm_schema *earlier)
{
    uint32_t next = 0;

    for (uint32_t i = 0; earlier != NULL && i < earlier->field_count; i++)
        next = earlier->fields[i].id > next ? earlier->fields[i].id : next;
    for (uint32_t i = 0; i < schema->field_count; i++)
        next = schema->fields[i].id > next ? schema->fields[i].id : next;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        struct fm_field *field = &schema->fields[i];
        for (uint32_t e = 0; field->id == 0 && earlier != NULL && e < earlier->field_count; e++)
            if (strcmp(earlier->fields[e].name, field->name) == 0)
                field->id = earlier->fields[e].id;
        if (field->id == 0)
            field->id = next == UINT32_MAX ? UINT32_MAX : ++next; /* Repeats are found later. */
    }
}

static enum fm_status read_head(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *object, struct fm_schema *schema)
{
    const struct fm_yaml_node *logical = fm_yaml_get(object, "logicalType");

    enum fm_status status =
        fm_contract_text(reader, object, "name", true, schema->table, sizeof schema->table);
    if (status != FM_OK)
        return status;
    if (!fm_table_name_valid(schema->table))
        return fm_yaml_fail(reader->err, reader->yaml, fm_yaml_get(object, "name"),
                            "'%s' cannot be a table's name; expected lower-case letters, digits "
                            "and _, a letter first",
                            schema->table);
    if (!fm_yaml_is_null(logical) &&
        (logical->kind != FM_YAML_SCALAR || strcmp(logical->text, "object") != 0))
        return fm_yaml_fail(reader->err, reader->yaml, logical,
                            "the logicalType of a table must be 'object'");
    return fm_contract_description(reader, object, &schema->description);
}

enum fm_status fm_contract_table(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *object, const char *domain,
                                 const struct fm_schema *earlier, struct fm_schema **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = calloc(1, sizeof *schema);
    const struct fm_yaml_node *list = NULL;
    struct key_part parts[FM_KEY_FIELDS_MAX];
    struct fm_error inner = {0};

    if (schema == NULL)
        return fm_fail(reader->err, FM_NOMEM, "contract");
    schema->version = 1;
    memcpy(schema->domain, domain, strlen(domain) + 1);
    enum fm_status status = read_head(reader, object, schema);
    if (status == FM_OK)
        status = fm_contract_list(reader, object, "properties", FM_COLUMNS_MAX, &list);
    if (status == FM_OK && (list == NULL || list->count == 0))
        status = fm_yaml_fail(reader->err, reader->yaml, object,
                              "table '%s' has no 'properties'; its columns are expected there",
                              schema->table);
    if (status != FM_OK)
        return status;
    schema->fields = calloc(list->count, sizeof *schema->fields);
    if (schema->fields == NULL)
        return fm_fail(reader->err, FM_NOMEM, "contract");
    const struct fm_yaml_node *property = list->first;
    for (uint16_t i = 0; status == FM_OK && property != NULL; i++, property = property->next) {
        schema->field_count = i + 1u;
        status = read_field(reader, property, schema, parts, i);
    }
    if (status == FM_OK)
        status = order_key(reader, object, schema, parts);
    if (status == FM_OK)
        status = read_cluster(reader, object, schema);
    if (status != FM_OK)
        return status;
    assign_ids(schema, earlier);
    status = fm_contract_retention(reader, schema->table, &schema->retention_days);
    if (status != FM_OK)
        return status;
    status = fm_schema_check(schema, &inner);
    if (status == FM_INVALID || status == FM_LIMIT)
        return fm_yaml_fail(reader->err, reader->yaml, object, "table '%s': %s", schema->table,
                            inner.text);
    if (status != FM_OK)
        return fm_fail(reader->err, status, "contract: %s", inner.text);
    *out = FM_TAKE(schema);
    return FM_OK;
}
