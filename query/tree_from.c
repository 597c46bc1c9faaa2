/* Queries, what they read, and which names are tables. */
#include "query/tree_forms.h"

#include <string.h>
#include <strings.h>

static bool is_cte(const struct tree *tree, const char *name)
{
    for (uint32_t i = tree->cte_count; i > 0; i--) {
        if (strcasecmp(tree->ctes[i - 1], name) == 0)
            return true;
    }
    return false;
}

/* Names of domains and tables are lower case; longer ones do not exist. */
static bool lower_name(const char *name, char out[FM_NAME_MAX + 1])
{
    size_t len = strlen(name);

    if (len == 0 || len > FM_NAME_MAX)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    return true;
}

static enum fm_status add_table(struct tree *tree, json_t *node, const char *schema,
                                const char *name)
{
    const char *alias = tree_json_text(node, "alias");

    if (tree->is_merge)
        return tree_fail(tree, node, FM_INVALID, "a merge reads no tables, this one %.100s.%.100s",
                         schema, name);
    if (tree->table_count == FM_QUERY_TABLES_MAX)
        return tree_fail(tree, node, FM_LIMIT, "a statement names at most %u tables",
                         FM_QUERY_TABLES_MAX);
    struct tree_table *table = &tree->tables[tree->table_count];
    if (!lower_name(schema, table->domain) || !lower_name(name, table->name))
        return fm_fail(tree->err, FM_NOTFOUND,
                       "table %.100s.%.100s does not exist or is not visible to you", schema, name);
    enum fm_status status =
        tree_read_at(tree, node, json_object_get(node, "at_clause"), &table->at);
    if (status != FM_OK)
        return status;
    table->node = node;
    table->has_alias = alias != NULL && alias[0] != '\0';
    table->alias = table->has_alias ? alias : name;
    tree->table_count++;
    return FM_OK;
}

enum fm_status tree_walk_base_table(struct tree *tree, json_t *node)
{
    const char *catalog = tree_json_text(node, "catalog_name");
    const char *schema = tree_json_text(node, "schema_name");
    const char *name = tree_json_text(node, "table_name");
    const json_t *at = json_object_get(node, "at_clause");

    if (catalog == NULL || schema == NULL || name == NULL)
        return tree_fail(tree, node, FM_INVALID, "a table without a name");
    if (catalog[0] != '\0')
        return tree_fail(tree, node, FM_INVALID,
                         "%.100s.%.100s.%.100s: tables are written domain.table", catalog, schema,
                         name);
    tree_uses_relation(&tree->uses, name);
    if (schema[0] != '\0')
        return add_table(tree, node, schema, name);
    if (!is_cte(tree, name))
        return fm_fail(tree->err, FM_NOTFOUND,
                       "table %.200s does not exist or is not visible to you; "
                       "tables are written domain.table",
                       name);
    if (at != NULL && !json_is_null(at))
        return tree_fail(tree, node, FM_INVALID, "AT is for tables, %.100s is a WITH query", name);
    return FM_OK;
}

enum fm_status tree_walk_from(struct tree *tree, json_t *node)
{
    const char *type = tree_json_text(node, "type");
    const struct tree_form *form = tree_form_of_from(type);
    const char *alias = tree_json_text(node, "alias");

    if (form == NULL)
        return tree_fail(tree, node, FM_INVALID, "%s is not supported", tree_form_words(type));
    if (alias != NULL && alias[0] != '\0')
        tree_uses_relation(&tree->uses, alias);
    enum fm_status status = tree_walk_form(tree, node, form, TREE_USE_NESTED);
    if (status == FM_OK && strcmp(type, "BASE_TABLE") == 0)
        status = tree_walk_base_table(tree, node);
    return status;
}

/* WITH RECURSIVE: the name is visible in the right side only. The first part gives the columns'
 * types, so an ENUM there would be noticed. */
static enum fm_status walk_recursive(struct tree *tree, json_t *node)
{
    static const struct tree_form before = {"RECURSIVE_CTE_NODE",
                                            {{"type", TREE_PLAIN},
                                             {"cte_map", TREE_CTES},
                                             {"cte_name", TREE_PLAIN},
                                             {"union_all", TREE_PLAIN},
                                             {"aliases", TREE_ALIASES},
                                             {"key_targets", TREE_ABSENT},
                                             {"left", TREE_NODE},
                                             {"right", TREE_LATER},
                                             {"modifiers", TREE_MODIFIERS}}};
    const char *name = tree_json_text(node, "cte_name");
    json_t *right = json_object_get(node, "right");

    tree->uses.off = true;
    if (name == NULL || right == NULL)
        return tree_fail(tree, NULL, FM_INVALID, "a recursive query without its parts");
    enum fm_status status = tree_walk_form(tree, node, &before, TREE_USE_OTHER);
    if (status != FM_OK)
        return status;
    if (tree->cte_count == TREE_CTES_MAX)
        return tree_fail(tree, NULL, FM_LIMIT, "more than %u WITH queries", TREE_CTES_MAX);
    tree->ctes[tree->cte_count++] = name;
    return tree_walk_node(tree, right, TREE_USE_OTHER);
}

enum fm_status tree_walk_node(struct tree *tree, json_t *node, enum tree_use item_use)
{
    const char *type = tree_json_text(node, "type");
    const struct tree_form *form = tree_form_of_node(type);
    enum tree_use outer = tree->item_use;
    uint32_t visible = tree->cte_count;
    enum fm_status status = FM_OK;

    tree->item_use = item_use;
    if (type != NULL && strcmp(type, "RECURSIVE_CTE_NODE") == 0)
        status = walk_recursive(tree, node);
    else if (form == NULL)
        status = tree_fail(tree, NULL, FM_INVALID, "%s is not supported", tree_form_words(type));
    else
        status = tree_walk_form(tree, node, form, item_use);
    tree->item_use = outer;
    tree->cte_count = visible;
    return status;
}

enum fm_status tree_walk_query(struct tree *tree, json_t *query, enum tree_use item_use)
{
    json_t *node = json_object_get(query, "node");
    const json_t *parameters = json_object_get(query, "named_param_map");

    if (node == NULL || json_object_size(query) > 2 ||
        (json_object_size(query) == 2 && parameters == NULL))
        return tree_fail(tree, NULL, FM_INVALID, "a part of the statement is not understood");
    if (parameters != NULL && json_array_size(parameters) > 0)
        return tree_fail(tree, NULL, FM_INVALID, "parameters ($1, ?) are not supported here");
    return tree_walk_node(tree, node, item_use);
}
