/* domain.table.column, where slots know nothing of domains: the domain is dropped, and where
 * something else in the statement is called like the table, the table gets a name of its own. */
#include "query/tree.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* ---- Names of several ------------------------------------------------------------------------ */

/* Parts of FROM are the objects with both. */
static const char *relation_name(const json_t *node)
{
    const char *alias = tree_json_text(node, "alias");

    if (alias == NULL || json_object_get(node, "sample") == NULL)
        return NULL;
    return alias[0] != '\0' ? alias : tree_json_text(node, "table_name");
}

static const struct tree_table *table_of(const struct tree *tree, const json_t *node)
{
    for (uint32_t i = 0; i < tree->table_count; i++) {
        if (tree->tables[i].node == node)
            return &tree->tables[i];
    }
    return NULL;
}

/* A longer name is no table's. */
static bool lower(const char *name, char out[FM_NAME_MAX + 1])
{
    size_t len = strlen(name);

    for (size_t i = 0; i <= len && len <= FM_NAME_MAX; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    return len <= FM_NAME_MAX;
}

/* `seen` has the domain of the table that is called so, "" for anything else. */
static enum fm_status note_name(struct tree *tree, json_t *seen, const json_t *node)
{
    const char *name = relation_name(node);
    const struct tree_table *table = name != NULL ? table_of(tree, node) : NULL;
    const char *domain = table != NULL && !table->has_alias ? table->domain : "";
    char key[FM_NAME_MAX + 1];

    if (name == NULL || name[0] == '\0' || !lower(name, key))
        return FM_OK;
    const char *before = tree_json_text(seen, key);
    if (before != NULL && strcmp(before, domain) != 0 &&
        json_object_set_new(tree->shared_names, key, json_true()) != 0)
        return FM_NOMEM;
    return json_object_set_new(seen, key, json_string(domain)) == 0 ? FM_OK : FM_NOMEM;
}

static enum fm_status note_names(struct tree *tree, json_t *seen, const json_t *json)
{
    enum fm_status status = FM_OK;
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    if (json_is_object(json))
        status = note_name(tree, seen, json);
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (status == FM_OK && (json_is_object(value) || json_is_array(value)))
            status = note_names(tree, seen, value);
    }
    json_array_foreach(json, i, value)
    {
        if (status == FM_OK)
            status = note_names(tree, seen, value);
    }
    return status;
}

bool tree_is_shared_name(const struct tree *tree, const char *name)
{
    char key[FM_NAME_MAX + 1];

    return name != NULL && lower(name, key) && json_object_get(tree->shared_names, key) != NULL;
}

/* ---- Who is meant ---------------------------------------------------------------------------- */

/* What an expression sees, from the inside out. A derived table is taken to see all of the FROM
 * that it stands in: what it does not see has another name, or the engine refuses it. */
struct scope {
    const struct scope *outer;
    const json_t *from;
};

struct naming {
    struct tree *tree;
    json_t *aliases[FM_QUERY_TABLES_MAX]; /* Borrowed from tree->kept; NULL: as it is called. */
};

struct meant {
    uint32_t count;
    uint32_t table; /* FM_QUERY_TABLES_MAX: no base table. */
};

/* Relations of a FROM that are called so; `domain` NULL: whatever they are. */
static void find(const struct tree *tree, const json_t *from, const char *domain, const char *name,
                 struct meant *meant)
{
    const char *called = relation_name(from);

    if (tree_json_is(from, "type", "JOIN")) {
        find(tree, json_object_get(from, "left"), domain, name, meant);
        find(tree, json_object_get(from, "right"), domain, name, meant);
        return;
    }
    if (tree_json_is(from, "type", "PIVOT"))
        find(tree, json_object_get(from, "source"), domain, name, meant);
    if (called == NULL || strcasecmp(called, name) != 0)
        return;
    const struct tree_table *table = table_of(tree, from);
    bool plain = table != NULL && !table->has_alias;
    if (domain != NULL && (!plain || strcasecmp(table->domain, domain) != 0))
        return;
    meant->count++;
    meant->table = plain ? (uint32_t)(table - tree->tables) : FM_QUERY_TABLES_MAX;
}

/* Two of a name in one FROM. */
static bool collide(const struct tree *tree, const json_t *json)
{
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    for (i = 0; i < tree->table_count && tree_json_is(json, "type", "SELECT_NODE"); i++) {
        struct meant meant = {0, 0};
        if (!tree->tables[i].has_alias)
            find(tree, json_object_get(json, "from_table"), NULL, tree->tables[i].name, &meant);
        if (meant.count > 1)
            return true;
    }
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (collide(tree, value))
            return true;
    }
    json_array_foreach(json, i, value)
    {
        if (collide(tree, value))
            return true;
    }
    return false;
}

/* Names are found from the inside out: without domains, and with one of a name in each FROM, all is
 * as it should be. */
enum fm_status tree_find_shared_names(struct tree *tree)
{
    FM_AUTO(tree_json_freep) json_t *seen = json_object();

    tree->shared_names = json_object();
    if (seen == NULL || tree->shared_names == NULL)
        return FM_NOMEM;
    enum fm_status status = note_names(tree, seen, tree->root);
    if (status == FM_OK && json_object_size(tree->shared_names) > 0 && !tree->qualifies &&
        !collide(tree, tree->root))
        (void)json_object_clear(tree->shared_names); /* Cannot fail for an object. */
    return status;
}

static enum fm_status put_name(const struct naming *naming, const struct meant *meant,
                               json_t *holder, const char *key)
{
    bool own = meant->count == 1 && meant->table < FM_QUERY_TABLES_MAX;
    json_t *alias = own ? naming->aliases[meant->table] : NULL;

    if (alias == NULL)
        return FM_OK;
    int failed =
        key != NULL ? json_object_set(holder, key, alias) : json_array_set(holder, 0, alias);
    return failed == 0 ? FM_OK : FM_NOMEM;
}

/* domain.table.column goes before column.member.member, and what is inside before what is
 * around. */
static enum fm_status settle_column(const struct naming *naming, const struct scope *scope,
                                    json_t *names)
{
    const char *first = json_string_value(json_array_get(names, 0));
    const char *second = json_string_value(json_array_get(names, 1));

    for (; scope != NULL && second != NULL; scope = scope->outer) {
        struct meant meant = {0, 0};
        if (json_array_size(names) >= 3)
            find(naming->tree, scope->from, first, second, &meant);
        if (meant.count > 0)
            return json_array_remove(names, 0) == 0 ? put_name(naming, &meant, names, NULL)
                                                    : FM_NOMEM;
        find(naming->tree, scope->from, NULL, first, &meant);
        if (meant.count > 0)
            return put_name(naming, &meant, names, NULL);
    }
    return FM_OK;
}

/* The name before .* has quotes already (tree_joins.c); "" for one that is no table's. */
static void unquote(const char *text, char out[FM_NAME_MAX + 1])
{
    size_t len = text != NULL ? strlen(text) : 0;
    bool quoted = len >= 2 && text[0] == '"' && text[len - 1] == '"';
    size_t skip = quoted ? 1 : 0;

    out[0] = '\0';
    if (len - 2 * skip <= FM_NAME_MAX && len > 0)
        (void)snprintf(out, FM_NAME_MAX + 1, "%.*s", (int)(len - 2 * skip), text + skip);
}

/* table.*, and EXCLUDE (table.column) behind it. */
static enum fm_status settle_star(const struct naming *naming, const struct scope *scope,
                                  json_t *star, const char *key)
{
    char name[FM_NAME_MAX + 1];

    unquote(tree_json_text(star, key), name);
    for (; scope != NULL && name[0] != '\0'; scope = scope->outer) {
        struct meant meant = {0, 0};
        find(naming->tree, scope->from, NULL, name, &meant);
        if (meant.count > 0)
            return put_name(naming, &meant, star, key);
    }
    return FM_OK;
}

static enum fm_status settle_stars(const struct naming *naming, const struct scope *scope,
                                   json_t *star)
{
    json_t *excluded = tree_json_array(star, "qualified_exclude_list");
    enum fm_status status = settle_star(naming, scope, star, "relation_name");

    for (size_t i = 0; status == FM_OK && i < json_array_size(excluded); i++)
        status = settle_star(naming, scope, json_array_get(excluded, i), "table");
    return status;
}

static enum fm_status settle(const struct naming *naming, const struct scope *scope, json_t *json)
{
    struct scope inner = {scope, json_object_get(json, "from_table")};
    bool selects = tree_json_is(json, "type", "SELECT_NODE");
    enum fm_status status = FM_OK;
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    if (tree_json_is(json, "class", "COLUMN_REF"))
        return settle_column(naming, scope, tree_json_array(json, "column_names"));
    if (tree_json_is(json, "class", "STAR"))
        status = settle_stars(naming, scope, json);
    json_object_foreach(json, key, value)
    {
        bool around = !selects || strcmp(key, "cte_map") == 0;
        if (status == FM_OK && (json_is_object(value) || json_is_array(value)))
            status = settle(naming, around ? scope : &inner, value);
    }
    json_array_foreach(json, i, value)
    {
        if (status == FM_OK && (json_is_object(value) || json_is_array(value)))
            status = settle(naming, scope, value);
    }
    return status;
}

/* ---- Names of their own ---------------------------------------------------------------------- */

/* A plain word: the engine prints what stands before .* as it is. */
static enum fm_status make_alias(struct naming *naming, uint32_t i)
{
    struct tree *tree = naming->tree;
    const struct tree_table *table = &tree->tables[i];
    char text[32];

    if (table->has_alias || !tree_is_shared_name(tree, table->name))
        return FM_OK;
    (void)snprintf(text, sizeof text, "fm_name_%u", i); /* Fits. */
    naming->aliases[i] = json_string(text);
    return json_array_append_new(tree->kept, naming->aliases[i]) == 0 ? FM_OK : FM_NOMEM;
}

enum fm_status tree_shorten(struct tree *tree)
{
    struct naming naming = {.tree = tree};
    enum fm_status status = FM_OK;

    if (tree->shortened || (!tree->qualifies && json_object_size(tree->shared_names) == 0))
        return FM_OK;
    tree->shortened = true;
    for (uint32_t i = 0; status == FM_OK && i < tree->table_count; i++)
        status = make_alias(&naming, i);
    if (status == FM_OK)
        status = settle(&naming, NULL, tree->root);
    for (uint32_t i = 0; status == FM_OK && i < tree->table_count; i++) {
        if (naming.aliases[i] == NULL)
            continue;
        tree->tables[i].alias = json_string_value(naming.aliases[i]);
        tree->tables[i].has_alias = true;
        if (json_object_set(tree->tables[i].node, "alias", naming.aliases[i]) != 0)
            status = FM_NOMEM;
    }
    return status;
}
