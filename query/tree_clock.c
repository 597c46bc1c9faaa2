/* What time it is becomes a constant of the statement: every fragment of a query then speaks of one
 * moment, whatever the owners' clocks say, and conditions with it travel like others. */
#include "query/tree.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define US_PER_SECOND INT64_C(1000000)

/* The engine's time zone is UTC, so local times are UTC's. */
static const struct clock {
    const char *name;
    bool is_word; /* Written without parentheses. */
    const char *type;
    const char *format; /* Of strftime; microseconds follow unless it is a date. */
} clocks[] = {
    {"now", false, "TIMESTAMP WITH TIME ZONE", "%Y-%m-%d %H:%M:%S"},
    {"transaction_timestamp", false, "TIMESTAMP WITH TIME ZONE", "%Y-%m-%d %H:%M:%S"},
    {"get_current_timestamp", false, "TIMESTAMP WITH TIME ZONE", "%Y-%m-%d %H:%M:%S"},
    {"current_timestamp", true, "TIMESTAMP WITH TIME ZONE", "%Y-%m-%d %H:%M:%S"},
    {"current_localtimestamp", false, "TIMESTAMP", "%Y-%m-%d %H:%M:%S"},
    {"localtimestamp", true, "TIMESTAMP", "%Y-%m-%d %H:%M:%S"},
    {"today", false, "DATE", "%Y-%m-%d"},
    {"current_date", true, "DATE", "%Y-%m-%d"},
    {"current_localtime", false, "TIME", "%H:%M:%S"},
    {"localtime", true, "TIME", "%H:%M:%S"},
};

static const struct clock *clock_of(const json_t *node)
{
    bool is_word = tree_json_is(node, "class", "COLUMN_REF");
    const json_t *names = tree_json_array(node, "column_names");
    const char *name = is_word ? json_string_value(json_array_get(names, 0))
                               : tree_json_text(node, "function_name");

    if (name == NULL || (is_word ? json_array_size(names) != 1
                                 : !tree_json_is(node, "class", "FUNCTION") ||
                                       json_array_size(tree_json_array(node, "children")) != 0))
        return NULL;
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++)
        if (clocks[i].is_word == is_word && strcasecmp(clocks[i].name, name) == 0)
            return &clocks[i];
    return NULL;
}

/* A word like current_date may be somebody's column: then the engine decides. */
static bool is_a_name(const json_t *json, const char *word)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(json)) {
        if (tree_json_is(json, "class", "COLUMN_REF"))
            return false;
        json_object_foreach((json_t *)(uintptr_t)json, key,
                            value) if (is_a_name(value, word)) return true;
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value) if (is_a_name(value, word)) return true;
    }
    return json_is_string(json) && strcasecmp(json_string_value(json), word) == 0;
}

static json_t *constant_of(const struct clock *clock, int64_t now_us, const char *alias)
{
    time_t seconds = (time_t)(now_us / US_PER_SECOND);
    char text[64] = "", whole[80];
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, sizeof text, clock->format, &parts) == 0)
        return NULL;
    if (strcmp(clock->type, "DATE") == 0)
        (void)snprintf(whole, sizeof whole, "%s", text); /* Fits. */
    else
        (void)snprintf(whole, sizeof whole, "%s.%06" PRId64 "%s", text, now_us % US_PER_SECOND,
                       strcmp(clock->type, "TIMESTAMP WITH TIME ZONE") == 0 ? "+00" : "");
    json_t *value = json_pack("{s:s,s:s,s:s,s:{s:{s:s,s:n},s:b,s:s}}", "class", "CONSTANT", "type",
                              "VALUE_CONSTANT", "alias", "", "value", "type", "id", "VARCHAR",
                              "type_info", "is_null", 0, "value", whole);
    return json_pack("{s:s,s:s,s:s,s:o,s:{s:s,s:n},s:b}", "class", "CAST", "type", "OPERATOR_CAST",
                     "alias", alias, "child", value, "cast_type", "id", clock->type, "type_info",
                     "try_cast", 0);
}

struct fixing {
    int64_t now_us;
    uint32_t shadowed; /* Bit i: clocks[i] may be a column. */
    bool all;          /* So far. */
    enum fm_status status;
};

static bool is_shadowed(const struct fixing *fixing, const struct clock *clock)
{
    return (fixing->shadowed >> (clock - clocks) & 1u) != 0;
}

/* `alias`: the name it had as an item of a select list. */
static void replace(struct fixing *fixing, json_t *node, const struct clock *clock,
                    const char *alias)
{
    json_t *made = constant_of(clock, fixing->now_us, alias);

    if (made == NULL || json_object_clear(node) != 0 || json_object_update(node, made) != 0)
        fixing->status = FM_NOMEM;
    json_decref(made);
}

static bool holds_clock(const json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_object(json)) {
        if (clock_of(json) != NULL)
            return true;
        json_object_foreach((json_t *)(uintptr_t)json, key,
                            value) if (holds_clock(value)) return true;
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value) if (holds_clock(value)) return true;
    }
    return false;
}

static void fix(struct fixing *fixing, json_t *json);

/* An item without an alias is named after its text, which must not change. */
static void fix_item(struct fixing *fixing, json_t *item)
{
    const struct clock *clock = clock_of(item);
    const char *alias = tree_json_text(item, "alias");
    char name[64];

    if (clock != NULL && !is_shadowed(fixing, clock)) {
        (void)snprintf(name, sizeof name, "%s",
                       alias != NULL && strlen(alias) < sizeof name ? alias : "");
        if (name[0] == '\0')
            (void)snprintf(name, sizeof name, "%s%s", clock->name, clock->is_word ? "" : "()");
        if (alias != NULL && strlen(alias) >= sizeof name)
            fixing->all = false;
        else
            replace(fixing, item, clock, name);
    } else if (clock != NULL || ((alias == NULL || alias[0] == '\0') && holds_clock(item))) {
        fixing->all = false;
    } else {
        fix(fixing, item);
    }
}

static void fix(struct fixing *fixing, json_t *json)
{
    const struct clock *clock = clock_of(json);
    const char *key;
    json_t *value;
    size_t i;

    if (clock != NULL && is_shadowed(fixing, clock)) {
        fixing->all = false;
    } else if (clock != NULL) {
        replace(fixing, json, clock, "");
    } else if (json_is_object(json)) {
        json_object_foreach(json, key, value)
        {
            size_t k;
            json_t *item;
            if (strcmp(key, "select_list") != 0) {
                fix(fixing, value);
                continue;
            }
            json_array_foreach(value, k, item) fix_item(fixing, item);
        }
    } else if (json_is_array(json)) {
        json_array_foreach(json, i, value) fix(fixing, value);
    }
}

enum fm_status tree_fix_clock(struct tree *tree, int64_t now_us)
{
    struct fixing fixing = {.now_us = now_us, .all = true};

    if (!tree->timed || now_us <= 0)
        return FM_OK;
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++)
        if (clocks[i].is_word && is_a_name(tree->root, clocks[i].name))
            fixing.shadowed |= 1u << i;
    fix(&fixing, tree->root);
    if (fixing.status == FM_OK && fixing.all && !tree->clock_left)
        tree->timed = false;
    return fixing.status;
}

bool tree_is_clock(const json_t *node)
{
    return clock_of(node) != NULL;
}

bool tree_is_clock_word(const char *name)
{
    for (size_t i = 0; i < sizeof clocks / sizeof clocks[0]; i++)
        if (clocks[i].is_word && strcasecmp(clocks[i].name, name) == 0)
            return true;
    return false;
}
