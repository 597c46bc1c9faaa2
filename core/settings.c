#include "core/settings.h"

#include "core/assert.h"
#include "core/sql_text.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct {
    const char *name;
    const char *description;
} known[] = {
#define X(name, text, description) [FM_SETTING_##name] = {text, description},
    FM_SETTING_MAP(X)
#undef X
};

#define KNOWN_COUNT (sizeof known / sizeof known[0])

void fm_settings_deinit(struct fm_settings *settings)
{
    fm_buf_free(&settings->notes);
    *settings = (struct fm_settings){0};
}

/* ---- Statements ------------------------------------------------------------------------------ */

static enum fm_status fail_unknown(struct fm_span name, struct fm_error *err)
{
    return fm_fail(err, FM_INVALID,
                   "there is no setting \"%.*s\"; settings are"
#define X(name, text, description) " " text
                   FM_SETTING_MAP(X),
#undef X
                   name.len > 40 ? 40 : (int)name.len, (const char *)name.data);
}

bool fm_setting_find(struct fm_span name, enum fm_setting *out)
{
    static const char prefix[] = "folkmoot.";
    size_t at = fm_sql_skip_word(name, 0, "folkmoot");

    if (at != 0 && at < name.len && name.data[at] == '.')
        name = fm_span(name.data + sizeof prefix - 1, name.len - (sizeof prefix - 1));
    for (size_t i = 0; i < KNOWN_COUNT; i++) {
        if (name.len == strlen(known[i].name) && fm_sql_skip_word(name, 0, known[i].name) != 0) {
            *out = (enum fm_setting)i;
            return true;
        }
    }
    return false;
}

const char *fm_setting_name(enum fm_setting setting)
{
    return known[setting].name;
}

const char *fm_setting_description(enum fm_setting setting)
{
    return known[setting].description;
}

static enum fm_status read_name(struct fm_span sql, size_t *at, enum fm_setting *out,
                                struct fm_error *err)
{
    size_t end = *at;

    if (*at < sql.len && sql.data[*at] == '"')
        end = fm_sql_skip_quoted(sql, *at);
    else
        while (end < sql.len && (fm_sql_is_word(sql.data[end]) || sql.data[end] == '.'))
            end++;
    struct fm_span name = fm_span(sql.data + *at, end - *at);
    if (name.len > 1 && name.data[0] == '"')
        name = fm_span(name.data + 1, name.len - 2);
    if (name.len == 0)
        return fm_fail(err, FM_INVALID, "the name of a setting is missing");
    *at = end;
    return fm_setting_find(name, out) ? FM_OK : fail_unknown(name, err);
}

/* '..', in which a doubled quote is one. */
static void put_unquoted(struct fm_buf *out, struct fm_span quoted)
{
    for (size_t i = 1; i + 1 < quoted.len; i++) {
        fm_buf_put_u8(out, quoted.data[i]);
        if (quoted.data[i] == '\'')
            i++;
    }
}

static bool is_bare(uint8_t c)
{
    return fm_sql_is_word(c) || c == '-' || c == '+' || c == '.';
}

/* One value, or several with commas between them. */
static enum fm_status read_value(struct fm_span sql, size_t *at, struct fm_buf *out,
                                 struct fm_error *err)
{
    for (;;) {
        size_t end = *at;
        if (*at < sql.len && sql.data[*at] == '\'') {
            end = fm_sql_skip_quoted(sql, *at);
            if (end - *at < 2 || sql.data[end - 1] != '\'')
                return fm_fail(err, FM_INVALID, "the value's quotes are not closed");
            put_unquoted(out, fm_span(sql.data + *at, end - *at));
        } else {
            while (end < sql.len && is_bare(sql.data[end]))
                end++;
            if (end == *at)
                return fm_fail(err, FM_INVALID,
                               "SET needs a value: a word, a number, or text in single quotes");
            fm_buf_put(out, sql.data + *at, end - *at);
        }
        *at = fm_sql_skip_blanks(sql, end);
        if (*at == sql.len || sql.data[*at] != ',')
            return fm_buf_status(out);
        fm_buf_put_u8(out, ',');
        *at = fm_sql_skip_blanks(sql, *at + 1);
    }
}

static enum fm_status read_set(struct fm_span sql, size_t *at, struct fm_settings_statement *out,
                               struct fm_error *err)
{
    enum fm_status status = read_name(sql, at, &out->setting, err);

    if (status != FM_OK)
        return status;
    *at = fm_sql_skip_blanks(sql, *at);
    size_t next = fm_sql_skip_word(sql, *at, "to");
    if (next == *at && *at < sql.len && sql.data[*at] == '=')
        next = *at + 1;
    if (next == *at)
        return fm_fail(err, FM_INVALID, "SET %s needs = or TO, and a value",
                       known[out->setting].name);
    *at = fm_sql_skip_blanks(sql, next);
    next = fm_sql_skip_word(sql, *at, "default");
    if (next != *at) {
        *at = next;
        out->verb = FM_SETTINGS_RESET;
        return FM_OK;
    }
    out->value = FM_BUF_INIT(FM_SQL_BYTES_MAX);
    return read_value(sql, at, &out->value, err);
}

static enum fm_status read_one(struct fm_span sql, size_t *at, struct fm_settings_statement *out,
                               struct fm_error *err)
{
    size_t next = fm_sql_skip_word(sql, *at, "all");

    if (next == *at)
        return read_name(sql, at, &out->setting, err);
    out->setting = FM_SETTING_ALL;
    *at = next;
    return FM_OK;
}

enum fm_status fm_settings_read(struct fm_span sql, struct fm_settings_statement *out,
                                struct fm_error *err)
{
    static const struct {
        const char *word;
        enum fm_settings_verb verb;
    } verbs[] = {
        {"set", FM_SETTINGS_SET}, {"show", FM_SETTINGS_SHOW}, {"reset", FM_SETTINGS_RESET}};
    size_t start = fm_sql_skip_blanks(sql, 0), at = start;

    *out = (struct fm_settings_statement){.verb = FM_SETTINGS_NONE};
    for (size_t i = 0; at == start && i < sizeof verbs / sizeof verbs[0]; i++) {
        at = fm_sql_skip_word(sql, start, verbs[i].word);
        if (at != start)
            out->verb = verbs[i].verb;
    }
    if (at == start)
        return FM_OK;
    at = fm_sql_skip_blanks(sql, at);
    enum fm_status status =
        out->verb == FM_SETTINGS_SET ? read_set(sql, &at, out, err) : read_one(sql, &at, out, err);
    if (status != FM_OK)
        return status;
    at = fm_sql_skip_blanks(sql, at);
    if (at < sql.len && sql.data[at] == ';')
        at = fm_sql_skip_blanks(sql, at + 1);
    if (at < sql.len)
        return fm_fail(err, FM_INVALID, "there is more behind the end of the statement: \"%.*s\"",
                       sql.len - at > 40 ? 40 : (int)(sql.len - at), (const char *)sql.data + at);
    return FM_OK;
}

bool fm_settings_names_query(const struct fm_settings_statement *statement)
{
    const struct fm_buf *value = &statement->value;
    char text[2 * sizeof(struct fm_request_id) + 1];
    struct fm_request_id id;

    if (statement->verb != FM_SETTINGS_SET || statement->setting != FM_SETTING_AT_HEADS ||
        value->len != sizeof text - 1)
        return false;
    memcpy(text, value->data, value->len);
    text[value->len] = '\0';
    return fm_unhex(text, id.bytes, sizeof id.bytes) == FM_OK;
}

void fm_settings_ask_heads(const struct fm_settings_statement *statement, struct fm_buf *sql)
{
    fm_buf_printf(sql, "SELECT state, heads FROM mesh.receipts WHERE query = lower('%.*s')",
                  (int)statement->value.len, (const char *)statement->value.data);
}

/* ---- Changes --------------------------------------------------------------------------------- */

/* A note ends with its signatures: lines that begin with a long dash, behind an empty one. */
static size_t note_end(struct fm_span text, size_t at)
{
    static const uint8_t dash[] = {0xe2, 0x80, 0x94, ' '};

    while (at + 1 < text.len && !(text.data[at] == '\n' && text.data[at + 1] == '\n'))
        at++;
    at = at + 2 < text.len ? at + 2 : text.len;
    while (text.len - at >= sizeof dash && memcmp(text.data + at, dash, sizeof dash) == 0) {
        while (at < text.len && text.data[at] != '\n')
            at++;
        at += at < text.len;
    }
    return at;
}

/* Whether the head is a new one: two states of one log at once cannot be meant. */
static enum fm_status compare_heads(const struct fm_head *heads, uint32_t count, bool *is_new,
                                    struct fm_error *err)
{
    const struct fm_head *last = &heads[count];

    *is_new = true;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(heads[i].origin, last->origin) != 0)
            continue;
        if (heads[i].size != last->size || !fm_hash_equal(&heads[i].root, &last->root))
            return fm_fail(err, FM_CONFLICT,
                           "at_heads has two heads of %s, of %" PRIu64 " and %" PRIu64 " facts",
                           last->origin, heads[i].size, last->size);
        *is_new = false;
    }
    return FM_OK;
}

static enum fm_status read_heads(struct fm_span text, struct fm_settings *out, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep)
    struct fm_head *heads = calloc(FM_QUERY_TABLES_MAX + 1u, sizeof *heads);
    uint32_t number = 0;

    if (heads == NULL)
        return fm_fail(err, FM_NOMEM, "read heads");
    for (size_t at = fm_sql_skip_blanks(text, 0); at < text.len;
         at = fm_sql_skip_blanks(text, at)) {
        struct fm_span note = fm_span(text.data + at, note_end(text, at) - at);
        bool is_new = false;
        at += note.len;
        number++;
        if (fm_head_parse(note, &heads[out->head_count]) != FM_OK)
            return fm_fail(err, FM_INVALID,
                           "at_heads takes signed notes, as mesh.receipts shows them, or the id of "
                           "a query there; note %" PRIu32 " is none",
                           number);
        enum fm_status status = compare_heads(heads, out->head_count, &is_new, err);
        if (status != FM_OK)
            return status;
        if (is_new && out->head_count == FM_QUERY_TABLES_MAX)
            return fm_fail(err, FM_LIMIT, "at_heads has more than %u heads", FM_QUERY_TABLES_MAX);
        if (is_new)
            out->heads[out->head_count++] = note;
    }
    return FM_OK;
}

/* As one text, of which the heads are parts. */
static enum fm_status set_heads(struct fm_span text, struct fm_settings *settings,
                                struct fm_error *err)
{
    struct fm_settings read = {0};
    struct fm_buf notes = FM_BUF_INIT(FM_SQL_BYTES_MAX);

    enum fm_status status = read_heads(text, &read, err);
    for (uint32_t i = 0; status == FM_OK && i < read.head_count; i++)
        fm_buf_put_span(&notes, read.heads[i]);
    if (status == FM_OK && fm_buf_status(&notes) != FM_OK)
        status = fm_fail(err, fm_buf_status(&notes), "keep heads");
    if (status != FM_OK) {
        fm_buf_free(&notes);
        return status;
    }
    fm_buf_free(&settings->notes);
    settings->notes = notes;
    settings->head_count = read.head_count;
    for (size_t i = 0, at = 0; i < read.head_count; at += read.heads[i++].len)
        settings->heads[i] = fm_span(notes.data + at, read.heads[i].len);
    return FM_OK;
}

static bool is_value(struct fm_span value, const char *word)
{
    return value.len == strlen(word) && fm_sql_skip_word(value, 0, word) == value.len;
}

static enum fm_status read_bool(struct fm_span value, bool *out)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {{"on", true},  {"off", false}, {"true", true}, {"false", false},
                 {"yes", true}, {"no", false},  {"1", true},    {"0", false}};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (is_value(value, words[i].word)) {
            *out = words[i].value;
            return FM_OK;
        }
    }
    return FM_INVALID;
}

static enum fm_status read_ms(struct fm_span value, uint32_t *out)
{
    uint64_t ms = 0;

    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return FM_INVALID;
        ms = ms * 10 + (value.data[i] - (uint8_t)'0');
        if (ms > FM_QUERY_MS_MAX)
            return FM_INVALID;
    }
    *out = (uint32_t)ms;
    return value.len > 0 ? FM_OK : FM_INVALID;
}

static enum fm_status fail_value(enum fm_setting setting, const char *takes, struct fm_span value,
                                 struct fm_error *err)
{
    return fm_fail(err, FM_INVALID, "%s takes %s, not '%.*s'", known[setting].name, takes,
                   value.len > 40 ? 40 : (int)value.len, (const char *)value.data);
}

static enum fm_status set(struct fm_settings *settings, enum fm_setting setting,
                          struct fm_span value, struct fm_error *err)
{
    switch (setting) {
    case FM_SETTING_AT_HEADS:
        return set_heads(value, settings, err);
    case FM_SETTING_ON_UNAVAILABLE:
        if (!is_value(value, "fail") && !is_value(value, "skip"))
            return fail_value(setting, "fail or skip", value, err);
        settings->on_unavailable =
            is_value(value, "skip") ? FM_UNAVAILABLE_SKIP : FM_UNAVAILABLE_FAIL;
        return FM_OK;
    case FM_SETTING_PARTIAL_AGGREGATES:
        return read_bool(value, &settings->allows_partial_aggregates) == FM_OK
                   ? FM_OK
                   : fail_value(setting, "on or off", value, err);
    case FM_SETTING_RULES_OFF:
        if (value.len != 0)
            return fm_rules_parse(value, &settings->rules_off, err);
        settings->rules_off = 0;
        return FM_OK;
    case FM_SETTING_TIME_LIMIT:
        return read_ms(value, &settings->time_limit_ms) == FM_OK
                   ? FM_OK
                   : fail_value(setting, "0 to 3600000 milliseconds", value, err);
    case FM_SETTING_ALL:
        break;
    }
    fm_assert(setting != FM_SETTING_ALL); /* SET names one. */
    return FM_INTERNAL;
}

static void reset(struct fm_settings *settings, enum fm_setting setting)
{
    bool all = setting == FM_SETTING_ALL;

    if (all || setting == FM_SETTING_AT_HEADS) {
        fm_buf_free(&settings->notes);
        settings->head_count = 0;
    }
    if (all || setting == FM_SETTING_ON_UNAVAILABLE)
        settings->on_unavailable = FM_UNAVAILABLE_FAIL;
    if (all || setting == FM_SETTING_PARTIAL_AGGREGATES)
        settings->allows_partial_aggregates = false;
    if (all || setting == FM_SETTING_RULES_OFF)
        settings->rules_off = 0;
    if (all || setting == FM_SETTING_TIME_LIMIT)
        settings->time_limit_ms = 0;
}

enum fm_status fm_settings_change(struct fm_settings *settings,
                                  const struct fm_settings_statement *statement,
                                  struct fm_error *err)
{
    fm_assert(statement->verb == FM_SETTINGS_SET || statement->verb == FM_SETTINGS_RESET);
    if (statement->verb == FM_SETTINGS_SET)
        return set(settings, statement->setting, fm_buf_span(&statement->value), err);
    reset(settings, statement->setting);
    return FM_OK;
}

/* ---- What is set ----------------------------------------------------------------------------- */

void fm_settings_print(const struct fm_settings *settings, enum fm_setting setting,
                       struct fm_buf *out)
{
    switch (setting) {
    case FM_SETTING_AT_HEADS:
        fm_buf_put_span(out, fm_buf_span(&settings->notes));
        break;
    case FM_SETTING_ON_UNAVAILABLE:
        fm_buf_put_str(out, settings->on_unavailable == FM_UNAVAILABLE_SKIP ? "skip" : "fail");
        break;
    case FM_SETTING_PARTIAL_AGGREGATES:
        fm_buf_put_str(out, settings->allows_partial_aggregates ? "on" : "off");
        break;
    case FM_SETTING_RULES_OFF:
        for (unsigned bit = 0; bit < 64; bit++)
            if ((settings->rules_off >> bit & 1u) != 0)
                fm_buf_printf(out, "%s%s",
                              (settings->rules_off & ((UINT64_C(1) << bit) - 1)) != 0 ? "," : "",
                              fm_rule_text(bit));
        break;
    case FM_SETTING_TIME_LIMIT:
        fm_buf_printf(out, "%" PRIu32, settings->time_limit_ms);
        break;
    case FM_SETTING_ALL:
        break;
    }
}

enum fm_status fm_settings_show(const struct fm_settings *settings, enum fm_setting setting,
                                struct fm_rows **out)
{
    bool all = setting == FM_SETTING_ALL;
    const struct fm_rows_column columns[] = {
        {all ? "name" : known[setting].name, FM_KIND_VARCHAR},
        {"value", FM_KIND_VARCHAR},
        {"description", FM_KIND_VARCHAR},
    };
    FM_AUTO(fm_rows_freep) struct fm_rows *rows = NULL;

    enum fm_status status = fm_rows_new(columns, all ? 3 : 1, &rows);
    for (size_t i = 0; status == FM_OK && i < KNOWN_COUNT; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
        if (!all && i != setting)
            continue;
        fm_settings_print(settings, (enum fm_setting)i, &value);
        if (all)
            fm_rows_text(rows, known[i].name);
        fm_rows_span(rows, fm_buf_span(&value));
        if (all)
            fm_rows_text(rows, known[i].description);
        status = fm_buf_status(&value);
    }
    if (status == FM_OK)
        *out = FM_TAKE(rows);
    return status;
}
