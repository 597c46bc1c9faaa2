#include "node/pg/setting.h"

#include "core/limits.h"

#include <stdlib.h>
#include <strings.h>

enum rule { FREE, FIXED, TIME, BOOL, UTF8, UTC, ISO, ISOLATION };

static const struct {
    const char *name;
    const char *value; /* By default. */
    enum rule rule;
    bool is_told; /* By ParameterStatus, as PostgreSQL does (documentation, 55.2.7). */
    const char *description;
} known[] = {
    {"application_name", "", FREE, true, "The name of the program, for logs."},
    {"bytea_output", "hex", FIXED, false, "The output format of bytea."},
    {"client_encoding", "UTF8", UTF8, true, "The client's character set encoding."},
    {"client_min_messages", "notice", FREE, false, "The message levels sent to the client."},
    {"DateStyle", "ISO, MDY", ISO, true, "The display format of dates."},
    {"default_transaction_isolation", "read committed", ISOLATION, false,
     "The isolation of new transactions; each statement reads one snapshot per owner."},
    {"default_transaction_read_only", "off", BOOL, false, "Whether new transactions only read."},
    {"enable_seqscan", "on", BOOL, false, "Without effect."},
    {"extra_float_digits", "1", FREE, false, "Without effect: floats have their shortest digits."},
    {"idle_in_transaction_session_timeout", "0", TIME, false, "Without effect."},
    {"in_hot_standby", "off", FIXED, true, "Whether this is a standby."},
    {"integer_datetimes", "on", FIXED, true, "Dates and times are integers."},
    {"IntervalStyle", "postgres", FIXED, true, "The display format of intervals."},
    {"is_superuser", "off", FIXED, true, "Whether the user is a superuser."},
    {"jit", "off", BOOL, false, "Without effect."},
    {"lc_collate", "C", FIXED, false, "The order of texts."},
    {"lc_ctype", "C", FIXED, false, "The classes of characters."},
    {"lc_messages", "C", FREE, false, "Without effect."},
    {"lc_monetary", "C", FREE, false, "Without effect."},
    {"lock_timeout", "0", TIME, false, "Without effect: nothing is locked."},
    {"max_identifier_length", "63", FIXED, false, "The longest name."},
    {"row_security", "on", BOOL, false, "Without effect: owners enforce their policies."},
    {"search_path", "\"$user\", public", FREE, false,
     "Without effect: tables are named with their domain."},
    {"server_encoding", "UTF8", FIXED, true, "The character set encoding of the mesh."},
    {"server_version", "15.0 (Folkmoot)", FIXED, true, "The version of PostgreSQL it answers as."},
    {"server_version_num", "150000", FIXED, false, "The same as a number."},
    {"session_authorization", "", FIXED, true, "The principal."},
    {"standard_conforming_strings", "on", FIXED, true, "Backslashes in strings are plain."},
    {"statement_timeout", "0", TIME, false, "The longest that a statement may run; 0: the node's."},
    {"synchronize_seqscans", "on", BOOL, false, "Without effect."},
    {"TimeZone", "UTC", UTC, true, "The time zone of what is displayed."},
    {"transaction_isolation", "read committed", ISOLATION, false,
     "The isolation of this transaction."},
    {"transaction_read_only", "off", BOOL, false, "Whether this transaction only reads."},
};

#define KNOWN_COUNT ((uint32_t)(sizeof known / sizeof known[0]))

/* As PostgreSQL writes what is not its own. */
static const char *const mesh_names[] = {
#define X(name, text, description) [FM_SETTING_##name] = "folkmoot." text,
    FM_SETTING_MAP(X)
#undef X
};

enum fm_status fm_pg_settings_init(struct fm_pg_settings *settings)
{
    *settings = (struct fm_pg_settings){0};
    settings->values = calloc(KNOWN_COUNT, sizeof(char *));
    settings->custom_names = calloc(FM_PG_SETTINGS_MAX, sizeof(char *));
    settings->custom_values = calloc(FM_PG_SETTINGS_MAX, sizeof(char *));
    if (settings->values != NULL && settings->custom_names != NULL &&
        settings->custom_values != NULL)
        return FM_OK;
    fm_pg_settings_deinit(settings);
    return FM_NOMEM;
}

void fm_pg_settings_reset(struct fm_pg_settings *settings)
{
    for (uint32_t i = 0; settings->values != NULL && i < KNOWN_COUNT; i++) {
        if (strcmp(known[i].name, "session_authorization") == 0)
            continue; /* Who logged in stays that. */
        free(settings->values[i]);
        settings->values[i] = NULL;
    }
    for (uint32_t i = 0; i < settings->custom_count; i++) {
        free(settings->custom_names[i]);
        free(settings->custom_values[i]);
    }
    settings->custom_count = 0;
    fm_settings_deinit(&settings->mesh);
}

void fm_pg_settings_deinit(struct fm_pg_settings *settings)
{
    fm_pg_settings_reset(settings);
    for (uint32_t i = 0; settings->values != NULL && i < KNOWN_COUNT; i++)
        free(settings->values[i]);
    free(settings->values);
    free(settings->custom_names);
    free(settings->custom_values);
    *settings = (struct fm_pg_settings){0};
}

static uint32_t find(const char *name)
{
    uint32_t i = 0;

    while (i < KNOWN_COUNT && strcasecmp(known[i].name, name) != 0)
        i++;
    return i;
}

static uint32_t find_custom(const struct fm_pg_settings *settings, const char *name)
{
    uint32_t i = 0;

    while (i < settings->custom_count && strcasecmp(settings->custom_names[i], name) != 0)
        i++;
    return i;
}

const char *fm_pg_setting_get(const struct fm_pg_settings *settings, const char *name)
{
    uint32_t i = find(name), custom = find_custom(settings, name);

    if (i < KNOWN_COUNT)
        return settings->values[i] != NULL ? settings->values[i] : known[i].value;
    return custom < settings->custom_count ? settings->custom_values[custom] : NULL;
}

enum fm_status fm_pg_setting_print(const struct fm_pg_settings *settings, const char *name,
                                   struct fm_buf *out)
{
    enum fm_setting of_mesh = FM_SETTING_ALL;
    const char *value = fm_pg_setting_get(settings, name);

    if (value != NULL)
        fm_buf_put_str(out, value);
    else if (fm_setting_find(fm_span_str(name), &of_mesh))
        fm_settings_print(&settings->mesh, of_mesh, out);
    else
        return FM_NOTFOUND;
    return fm_buf_status(out);
}

/* "500", "30s", "5min", "1h", "200 ms": in ms. */
static bool read_time(const char *text, uint32_t *ms)
{
    static const struct {
        const char *unit;
        uint32_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end = NULL;

    unsigned long number = strtoul(text, &end, 10);
    while (*end == ' ')
        end++;
    for (size_t i = 0; end != text && text[0] != '-' && i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(end, units[i].unit) != 0 || number > INT32_MAX / units[i].ms)
            continue;
        *ms = (uint32_t)number * units[i].ms;
        return true;
    }
    return false;
}

static bool is_bool(const char *value)
{
    static const char *const words[] = {"on", "off", "true", "false", "yes", "no", "1", "0"};

    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(value, words[i]) == 0)
            return true;
    return false;
}

static bool is_one_of(const char *value, const char *const *words)
{
    for (; *words != NULL; words++)
        if (strcasecmp(value, *words) == 0)
            return true;
    return false;
}

static bool is_allowed(uint32_t i, const char *value)
{
    static const char *const utf8[] = {"UTF8", "UTF-8", "unicode", NULL};
    static const char *const utc[] = {"UTC", "Etc/UTC", "GMT", "Z", "0", "default", NULL};
    static const char *const iso[] = {"ISO", "ISO, MDY", "ISO,MDY", "ISO, DMY", "ISO, YMD", NULL};
    static const char *const isolation[] = {"read committed", "read uncommitted", "repeatable read",
                                            "serializable", NULL};
    uint32_t ms = 0;

    switch (known[i].rule) {
    case FREE:
        return true;
    case FIXED:
        return strcasecmp(value, known[i].value) == 0;
    case TIME:
        return read_time(value, &ms);
    case BOOL:
        return is_bool(value);
    case UTF8:
        return is_one_of(value, utf8);
    case UTC:
        return is_one_of(value, utc);
    case ISO:
        return is_one_of(value, iso);
    case ISOLATION:
        return is_one_of(value, isolation);
    }
    return false;
}

static enum fm_status set_mesh(struct fm_settings *mesh, enum fm_setting setting, const char *value,
                               struct fm_error *err)
{
    struct fm_settings_statement statement = {
        .verb = value != NULL ? FM_SETTINGS_SET : FM_SETTINGS_RESET, .setting = setting};

    fm_buf_put_str(&statement.value, value != NULL ? value : "");
    enum fm_status status = fm_buf_status(&statement.value);
    status = status == FM_OK ? fm_settings_change(mesh, &statement, err)
                             : fm_fail(err, status, "keep a setting");
    fm_buf_free(&statement.value);
    return status;
}

static enum fm_status set_custom(struct fm_pg_settings *settings, const char *name,
                                 const char *value, struct fm_error *err)
{
    uint32_t i = find_custom(settings, name);

    if (i == FM_PG_SETTINGS_MAX)
        return fm_fail(err, FM_LIMIT, "a session has at most %u settings of its own",
                       FM_PG_SETTINGS_MAX);
    char *copy = strdup(value != NULL ? value : "");
    if (copy != NULL && i == settings->custom_count) {
        settings->custom_names[i] = strdup(name);
        settings->custom_count += settings->custom_names[i] != NULL;
    }
    if (copy == NULL || i == settings->custom_count) {
        free(copy);
        return fm_fail(err, FM_NOMEM, "keep a setting");
    }
    free(settings->custom_values[i]);
    settings->custom_values[i] = copy;
    return FM_OK;
}

enum fm_status fm_pg_settings_own(struct fm_pg_settings *settings, const char *name,
                                  const char *value)
{
    uint32_t i = find(name);
    char *copy = i < KNOWN_COUNT ? strdup(value) : NULL;

    if (copy == NULL)
        return FM_NOMEM;
    free(settings->values[i]);
    settings->values[i] = copy;
    return FM_OK;
}

enum fm_status fm_pg_setting_set(struct fm_pg_settings *settings, const char *name,
                                 const char *value, struct fm_error *err)
{
    enum fm_setting of_mesh = FM_SETTING_ALL;
    uint32_t i = find(name);

    if (fm_setting_find(fm_span_str(name), &of_mesh))
        return set_mesh(&settings->mesh, of_mesh, value, err);
    if (strlen(name) > FM_NAME_MAX * 2 || (value != NULL && strlen(value) > FM_PG_SHORT_BYTES_MAX))
        return fm_fail(err, FM_LIMIT, "the name or value of a setting is too long");
    if (i == KNOWN_COUNT && strchr(name, '.') != NULL)
        return set_custom(settings, name, value, err);
    if (i == KNOWN_COUNT)
        return fm_fail(err, FM_NOTFOUND, "unrecognized configuration parameter \"%s\"", name);
    if (value != NULL && !is_allowed(i, value))
        return known[i].rule == FIXED
                   ? fm_fail(err, FM_INVALID,
                             "parameter \"%s\" cannot be changed to \"%s\": it is "
                             "\"%s\"",
                             known[i].name, value, known[i].value)
                   : fm_fail(err, FM_INVALID, "invalid value for parameter \"%s\": \"%s\"",
                             known[i].name, value);
    char *copy = value != NULL ? strdup(value) : NULL;
    if (value != NULL && copy == NULL)
        return fm_fail(err, FM_NOMEM, "keep a setting");
    free(settings->values[i]);
    settings->values[i] = copy;
    return FM_OK;
}

void fm_pg_settings_tell(const struct fm_pg_settings *settings, const char *name,
                         struct fm_buf *out)
{
    for (uint32_t i = 0; i < KNOWN_COUNT; i++)
        if (known[i].is_told && (name == NULL || strcasecmp(name, known[i].name) == 0))
            fm_pg_put_parameter(out, known[i].name, fm_pg_setting_get(settings, known[i].name));
}

bool fm_pg_settings_at(const struct fm_pg_settings *settings, uint32_t i, const char **name,
                       struct fm_buf *value, const char **description)
{
    enum fm_setting of_mesh = (enum fm_setting)(i - KNOWN_COUNT);

    if (i >= KNOWN_COUNT + FM_SETTING_ALL)
        return false;
    *name = i < KNOWN_COUNT ? known[i].name : mesh_names[of_mesh];
    *description = i < KNOWN_COUNT ? known[i].description : fm_setting_description(of_mesh);
    return fm_pg_setting_print(settings, *name, value) == FM_OK;
}

uint32_t fm_pg_settings_timeout(const struct fm_pg_settings *settings)
{
    uint32_t ms = 0, of_mesh = settings->mesh.time_limit_ms;

    if (!read_time(fm_pg_setting_get(settings, "statement_timeout"), &ms) || ms == 0)
        return of_mesh;
    return of_mesh != 0 && of_mesh < ms ? of_mesh : ms;
}
