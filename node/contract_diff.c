#include "node/contract_parts.h"

#include <stdarg.h>
#include <stdio.h>

/* One line about a table; beyond the bound, the last line says so instead. */
static void say(struct fm_compiled_contract *contract, bool is_breaking, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say(struct fm_compiled_contract *contract, bool is_breaking, const char *format, ...)
{
    char text[FM_PLAN_LINE_BYTES_MAX + 1];
    va_list args;

    contract->breaking_count += is_breaking;
    if (contract->line_count == FM_PLAN_LINES_MAX)
        return;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t used = len < 0 ? 0 : (size_t)len < sizeof text ? (size_t)len : sizeof text - 1;
    while (used != 0 && !fm_utf8_valid(fm_span(text, used)))
        used--; /* The cut went through a character. */
    if (contract->line_count == FM_PLAN_LINES_MAX - 1)
        used = (size_t)snprintf(text, sizeof text, "... and more");
    contract->lines[contract->line_count++] =
        (struct fm_contract_line){.at = (uint32_t)contract->text.len, .len = (uint32_t)used};
    fm_buf_put(&contract->text, text, used);
}

/* A type's text, cut for a message. */
static const char *type_text(const struct fm_type *type, char out[80])
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    fm_type_print(&text, type);
    if (text.len < 80 && fm_buf_status(&text) == FM_OK) {
        memcpy(out, text.data, text.len);
        out[text.len] = '\0';
    } else {
        (void)snprintf(out, 80, "%s(...)", fm_kind_text(type->kind));
    }
    return out;
}

/* The same complaint under the status of a change that published facts do not allow. */
static enum fm_status as_conflict(enum fm_status status)
{
    return status == FM_INVALID ? FM_CONFLICT : status;
}

static const struct fm_field *find_id(const struct fm_schema *schema, uint32_t id)
{
    for (uint32_t i = 0; i < schema->field_count; i++)
        if (schema->fields[i].id == id)
            return &schema->fields[i];
    return NULL;
}

static bool text_equal(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static enum fm_status compare_field(const struct fm_contract_reader *reader,
                                    const struct fm_yaml_node *property,
                                    const struct fm_schema *schema, const struct fm_field *now,
                                    const struct fm_field *then,
                                    struct fm_compiled_contract *contract)
{
    char a[80], b[80];

    if (!fm_type_equal(&now->type, &then->type)) {
        return as_conflict(
            fm_yaml_fail(reader->err, reader->yaml, property,
                         "column '%s' is published with type %s and cannot become %s; add a "
                         "column under a new name instead",
                         then->name, type_text(&then->type, a), type_text(&now->type, b)));
    }
    if (schema->has_subject && fm_field_is_classified(now) != fm_field_is_classified(then)) {
        return as_conflict(fm_yaml_fail(
            reader->err, reader->yaml, property,
            "column '%s' is published %s and its facts are stored so; add a column "
            "under a new name instead",
            then->name, fm_field_is_classified(then) ? "as personal or secret" : "in the open"));
    }
    if (strcmp(now->name, then->name) != 0)
        say(contract, true, "%s.%s: column '%s' is renamed to '%s' (breaking: queries use names)",
            schema->domain, schema->table, then->name, now->name);
    if (now->required && !then->required)
        say(contract, true,
            "%s.%s: column '%s' becomes required (breaking: earlier rows may lack it)",
            schema->domain, schema->table, now->name);
    if (!now->required && then->required)
        say(contract, false, "%s.%s: column '%s' is no longer required (compatible)",
            schema->domain, schema->table, now->name);
    if (now->classification < then->classification)
        say(contract, true,
            "%s.%s: column '%s' is classified lower (breaking: new facts show more)",
            schema->domain, schema->table, now->name);
    if (now->classification > then->classification)
        say(contract, false,
            "%s.%s: column '%s' is classified higher, for new facts only (compatible)",
            schema->domain, schema->table, now->name);
    if (!text_equal(now->description, then->description))
        say(contract, false, "%s.%s: column '%s' has another description (compatible)",
            schema->domain, schema->table, now->name);
    return FM_OK;
}

static enum fm_status compare_fields(const struct fm_contract_reader *reader,
                                     const struct fm_yaml_node *object, const struct fm_schema *now,
                                     const struct fm_schema *then,
                                     struct fm_compiled_contract *contract)
{
    const struct fm_yaml_node *property = fm_yaml_get(object, "properties")->first;
    char text[80];

    for (uint32_t i = 0; i < now->field_count; i++, property = property->next) {
        const struct fm_field *field = &now->fields[i];
        const struct fm_field *earlier = find_id(then, field->id);
        if (earlier == NULL) {
            say(contract, field->required, "%s.%s: new column '%s' %s%s", now->domain, now->table,
                field->name, type_text(&field->type, text),
                field->required ? ", required (breaking: earlier rows lack it)" : " (compatible)");
            continue;
        }
        enum fm_status status = compare_field(reader, property, now, field, earlier, contract);
        if (status != FM_OK)
            return status;
    }
    for (uint32_t i = 0; i < then->field_count; i++) {
        if (find_id(now, then->fields[i].id) != NULL)
            continue;
        return as_conflict(
            fm_yaml_fail(reader->err, reader->yaml, object,
                         "the published column '%s' is missing; facts keep their columns, so "
                         "leave it and make it optional",
                         then->fields[i].name));
    }
    return FM_OK;
}

/* Facts that were promised for longer are lost to who reads them. */
static void compare_retention(const struct fm_schema *now, const struct fm_schema *then,
                              struct fm_compiled_contract *contract)
{
    char text[32] = "ever";
    bool is_shorter = now->retention_days != 0 &&
                      (then->retention_days == 0 || now->retention_days < then->retention_days);

    if (now->retention_days == then->retention_days)
        return;
    if (then->retention_days != 0)
        (void)snprintf(text, sizeof text, "%u day%s", then->retention_days,
                       then->retention_days == 1 ? "" : "s");
    if (now->retention_days == 0)
        say(contract, false, "%s.%s: facts are kept for ever, not for %s (compatible)", now->domain,
            now->table, text);
    else
        say(contract, is_shorter, "%s.%s: facts are kept for %u day%s, not for %s (%s)",
            now->domain, now->table, now->retention_days, now->retention_days == 1 ? "" : "s", text,
            is_shorter ? "breaking: older ones are dropped" : "compatible");
}

/* Whether both keys name the same field ids in the same order. */
static bool keys_equal(const struct fm_schema *a, const uint16_t *a_key, uint32_t a_count,
                       const struct fm_schema *b, const uint16_t *b_key, uint32_t b_count)
{
    if (a_count != b_count)
        return false;
    for (uint32_t i = 0; i < a_count; i++)
        if (a->fields[a_key[i]].id != b->fields[b_key[i]].id)
            return false;
    return true;
}

/* Facts are encrypted for their subject, or not, for ever. */
static bool subjects_equal(const struct fm_schema *a, const struct fm_schema *b)
{
    if (a->has_subject != b->has_subject)
        return false;
    return !a->has_subject || a->fields[a->subject].id == b->fields[b->subject].id;
}

static bool is_same(const struct fm_schema *a, const struct fm_schema *b)
{
    uint8_t a_hash[32], b_hash[32];

    fm_schema_hash(a, a_hash);
    fm_schema_hash(b, b_hash);
    return memcmp(a_hash, b_hash, sizeof a_hash) == 0;
}

enum fm_status fm_contract_compare(const struct fm_contract_reader *reader,
                                   const struct fm_yaml_node *object,
                                   const struct fm_schema *earlier,
                                   struct fm_compiled_contract *contract, uint32_t i)
{
    struct fm_schema *schema = contract->tables[i];

    if (earlier == NULL) {
        contract->changes[i] = FM_TABLE_NEW;
        say(contract, false, "%s.%s: new table, %u column%s (compatible)", schema->domain,
            schema->table, schema->field_count, schema->field_count == 1 ? "" : "s");
        if (schema->retention_days != 0)
            say(contract, false, "%s.%s: facts are kept for %u day%s (compatible)", schema->domain,
                schema->table, schema->retention_days, schema->retention_days == 1 ? "" : "s");
        return FM_OK;
    }
    schema->version = earlier->version;
    contract->changes[i] = FM_TABLE_UNCHANGED;
    if (is_same(schema, earlier))
        return FM_OK;
    if (!keys_equal(schema, schema->key, schema->key_count, earlier, earlier->key,
                    earlier->key_count)) {
        return as_conflict(
            fm_yaml_fail(reader->err, reader->yaml, object,
                         "the primary key of '%s' is published and cannot change; publish a "
                         "new table instead",
                         schema->table));
    }
    if (!subjects_equal(schema, earlier)) {
        return as_conflict(
            fm_yaml_fail(reader->err, reader->yaml, object,
                         "the column that names the subject of '%s' is published and cannot "
                         "change; publish a new table instead",
                         schema->table));
    }
    uint32_t lines = contract->line_count;
    enum fm_status status = compare_fields(reader, object, schema, earlier, contract);
    if (status != FM_OK)
        return status;
    if (!keys_equal(schema, schema->cluster, schema->cluster_count, earlier, earlier->cluster,
                    earlier->cluster_count))
        say(contract, false, "%s.%s: another clustering key, for new appends only (compatible)",
            schema->domain, schema->table);
    if (!text_equal(schema->description, earlier->description))
        say(contract, false, "%s.%s: another description (compatible)", schema->domain,
            schema->table);
    compare_retention(schema, earlier, contract);
    if (contract->line_count == lines)
        say(contract, false, "%s.%s: columns in another order (compatible)", schema->domain,
            schema->table);
    contract->changes[i] = FM_TABLE_CHANGED;
    schema->version = earlier->version + 1;
    return FM_OK;
}
