#include "core/history.h"

#include "core/assert.h"

#include <strings.h>

struct header_column {
    uint32_t id;
    const char *name;
    enum fm_kind kind;
    bool required;
    const char *description;
};

static const struct header_column history[FM_HISTORY_COLUMNS] = {
    {FM_FIELD_SEQ, "_seq", FM_KIND_UINT64, true, "The fact's number in the table's log."},
    {FM_FIELD_RECORDED_AT, "_recorded_at", FM_KIND_TIMESTAMPTZ, true, "When it was recorded."},
    {FM_FIELD_EVENT_TIME, "_event_time", FM_KIND_TIMESTAMPTZ, false,
     "When it happened; NULL: not said."},
    {FM_FIELD_OP, "_op", FM_KIND_VARCHAR, true, "assert, retract or correct."},
    {FM_FIELD_SUPERSEDES, "_supersedes", FM_KIND_UINT64, false,
     "The fact that it takes back or corrects; NULL: none is named."},
};

/* By bit, in the order of an append's columns. */
static const uint32_t extra_ids[FM_EXTRA_COLUMNS_MAX] = {FM_FIELD_OP, FM_FIELD_EVENT_TIME,
                                                         FM_FIELD_SUPERSEDES};

static const struct header_column *column_of(uint32_t field_id)
{
    fm_assert(fm_field_is_header(field_id));
    return &history[field_id - FM_FIELD_SYSTEM_MIN];
}

bool fm_field_is_header(uint32_t field_id)
{
    return field_id >= FM_FIELD_SEQ && field_id <= FM_FIELD_SUPERSEDES;
}

const char *fm_operation_text(enum fm_operation operation)
{
    switch (operation) {
    case FM_ASSERT:
        return "assert";
    case FM_RETRACT:
        return "retract";
    case FM_CORRECT:
        return "correct";
    }
    return "?";
}

enum fm_status fm_operation_parse(struct fm_span text, enum fm_operation *out)
{
    for (enum fm_operation op = FM_ASSERT; op <= FM_CORRECT; op++) {
        if (fm_span_equal(text, fm_span_str(fm_operation_text(op)))) {
            *out = op;
            return FM_OK;
        }
    }
    return FM_INVALID;
}

bool fm_facts_name(const char *name, char *table)
{
    size_t len = strnlen(name, FM_NAME_MAX + 1u);
    size_t suffix = strlen(FM_FACTS_SUFFIX);

    if (len > FM_NAME_MAX || len <= suffix || strcmp(name + len - suffix, FM_FACTS_SUFFIX) != 0)
        return false;
    memcpy(table, name, len - suffix);
    table[len - suffix] = '\0';
    return true;
}

/* ---- Schemas --------------------------------------------------------------------------------- */

static enum fm_status fill(struct fm_field *field, const struct header_column *column)
{
    field->id = column->id;
    field->type = (struct fm_type){.kind = column->kind};
    field->required = column->required;
    memcpy(field->name, column->name, strlen(column->name) + 1);
    field->description = strdup(column->description);
    return field->description != NULL ? FM_OK : FM_NOMEM;
}

/* A copy with `room` empty fields, before or behind the others; the key and the clustering key move
 * along. */
static enum fm_status copy_with_room(const struct fm_schema *schema, uint32_t room, bool before,
                                     struct fm_schema **out, struct fm_error *err)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *copy = NULL;
    struct fm_field *fields;
    enum fm_status status;

    if (schema->field_count + room > FM_COLUMNS_MAX)
        return fm_fail(err, FM_UNSUPPORTED,
                       "%s.%s has %u columns; with the %u of a fact's header they are more than %u",
                       schema->domain, schema->table, schema->field_count, room, FM_COLUMNS_MAX);
    status = fm_schema_copy(schema, &copy);
    if (status != FM_OK)
        return status;
    fields = realloc(copy->fields, (copy->field_count + room) * sizeof *fields);
    if (fields == NULL)
        return FM_NOMEM;
    copy->fields = fields;
    if (before)
        memmove(fields + room, fields, copy->field_count * sizeof *fields);
    memset(before ? fields : fields + copy->field_count, 0, room * sizeof *fields);
    copy->field_count += room;
    for (uint32_t i = 0; before && i < copy->key_count; i++)
        copy->key[i] = (uint16_t)(copy->key[i] + room);
    for (uint32_t i = 0; before && i < copy->cluster_count; i++)
        copy->cluster[i] = (uint16_t)(copy->cluster[i] + room);
    copy->subject = (uint16_t)(copy->subject + (before ? room : 0));
    *out = FM_TAKE(copy);
    return FM_OK;
}

bool fm_schema_names_row(const struct fm_schema *schema, uint32_t position)
{
    for (uint32_t i = 0; i < schema->key_count; i++)
        if (schema->key[i] == position)
            return true;
    return schema->has_subject && schema->subject == position;
}

enum fm_status fm_schema_facts(const struct fm_schema *schema, struct fm_schema **out,
                               struct fm_error *err)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *facts = NULL;
    size_t len = strlen(schema->table);
    enum fm_status status;

    if (len + strlen(FM_FACTS_SUFFIX) > FM_NAME_MAX)
        return fm_fail(err, FM_UNSUPPORTED,
                       "%s.%s is too long a name for a history " FM_FACTS_SUFFIX, schema->domain,
                       schema->table);
    status = copy_with_room(schema, FM_HISTORY_COLUMNS, true, &facts, err);
    for (uint32_t i = 0; status == FM_OK && i < FM_HISTORY_COLUMNS; i++)
        status = fill(&facts->fields[i], &history[i]);
    if (status != FM_OK)
        return status;
    memcpy(facts->table + len, FM_FACTS_SUFFIX, strlen(FM_FACTS_SUFFIX) + 1);
    for (uint32_t i = FM_HISTORY_COLUMNS; i < facts->field_count; i++)
        facts->fields[i].required = fm_schema_names_row(facts, i);
    facts->key_count = 0;
    facts->cluster_count = 0;
    *out = FM_TAKE(facts);
    return FM_OK;
}

enum fm_status fm_schema_with_extras(const struct fm_schema *schema, uint32_t extras,
                                     struct fm_schema **out, struct fm_error *err)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *with = NULL;
    uint32_t at = schema->field_count;
    enum fm_status status = copy_with_room(schema, fm_extras_count(extras), false, &with, err);

    for (uint32_t i = 0; status == FM_OK && i < FM_EXTRA_COLUMNS_MAX; i++) {
        if ((extras >> i & 1) == 0)
            continue;
        status = fill(&with->fields[at], column_of(extra_ids[i]));
        with->fields[at++].required = false;
    }
    if (status == FM_OK)
        *out = FM_TAKE(with);
    return status;
}

uint32_t fm_extra_of_name(struct fm_span name)
{
    for (uint32_t i = 0; i < FM_EXTRA_COLUMNS_MAX; i++) {
        const char *known = column_of(extra_ids[i])->name;

        if (strlen(known) == name.len && strncasecmp(known, (const char *)name.data, name.len) == 0)
            return 1u << i;
    }
    return 0;
}

uint32_t fm_extras_count(uint32_t extras)
{
    fm_assert((extras & ~FM_EXTRA_ALL) == 0);
    return (uint32_t)__builtin_popcount(extras);
}
