#include "query/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool has_columns_alias(const json_t *node)
{
    return json_array_size(tree_json_array(node, "column_name_alias")) > 0;
}

static const char *last_name(const json_t *column_ref)
{
    const json_t *parts = tree_json_array(column_ref, "column_names");
    const char *name = json_string_value(json_array_get(parts, json_array_size(parts) - 1));

    return name != NULL ? name : "";
}

/* What an item is called that is a bare column or has an alias; NULL for the text of an
 * expression. */
static const char *item_name(const json_t *item)
{
    const char *alias = tree_json_text(item, "alias");

    if (alias != NULL && alias[0] != '\0')
        return alias;
    return tree_json_is(item, "class", "COLUMN_REF") ? last_name(item) : NULL;
}

/* The select list behind a derived table, NULL when it is no plain SELECT that names all. */
static const json_t *items_of(const json_t *derived)
{
    const json_t *node = json_object_get(json_object_get(derived, "subquery"), "node");
    const json_t *items = tree_json_array(node, "select_list");

    if (!tree_json_is(derived, "type", "SUBQUERY") || !tree_json_is(node, "type", "SELECT_NODE") ||
        has_columns_alias(derived))
        return NULL;
    for (size_t i = 0; i < json_array_size(items); i++) {
        if (item_name(json_array_get(items, i)) == NULL)
            return NULL;
    }
    return items;
}

/* In a copy of the tree any occurrence of the same table says as much. */
static uint32_t table_of(const struct tree *tree, const json_t *node)
{
    const char *schema = tree_json_text(node, "schema_name");
    const char *name = tree_json_text(node, "table_name");
    uint32_t like = NAMES_NO_TABLE;

    for (uint32_t i = 0; i < tree->table_count; i++) {
        if (tree->tables[i].node == node)
            return i;
        if (schema != NULL && name != NULL && strcasecmp(tree->tables[i].domain, schema) == 0 &&
            strcasecmp(tree->tables[i].name, name) == 0)
            like = i;
    }
    return like;
}

static bool add_leaf(struct names *names, json_t *node, bool kept, uint32_t region)
{
    const char *alias = tree_json_text(node, "alias");
    const char *name = tree_json_text(node, "table_name");

    if (names->leaf_count == NAMES_LEAVES_MAX)
        return false;
    struct names_leaf *leaf = &names->leaves[names->leaf_count++];
    leaf->node = node;
    leaf->table = table_of(names->tree, node);
    leaf->relation = leaf->table != NAMES_NO_TABLE ? &names->tables[leaf->table] : NULL;
    leaf->alias = alias != NULL && alias[0] != '\0' ? alias : name != NULL ? name : "";
    leaf->kept = kept;
    leaf->region = region;
    leaf->closed =
        leaf->table != NAMES_NO_TABLE ? !has_columns_alias(node) : items_of(node) != NULL;
    return true;
}

/* Whether a join keeps its left (or right) side in the sense of names_leaf.kept. */
static bool keeps(const json_t *join, bool left)
{
    const char *type = tree_json_text(join, "join_type");
    bool plain =
        tree_json_is(join, "ref_type", "REGULAR") || tree_json_is(join, "ref_type", "CROSS");

    if (!plain || type == NULL)
        return false;
    if (strcmp(type, "INNER") == 0)
        return true;
    return left
               ? strcmp(type, "LEFT") == 0 || strcmp(type, "SEMI") == 0 || strcmp(type, "ANTI") == 0
               : strcmp(type, "RIGHT") == 0;
}

static bool is_inner(const json_t *join)
{
    return tree_json_is(join, "join_type", "INNER") &&
           (tree_json_is(join, "ref_type", "REGULAR") || tree_json_is(join, "ref_type", "CROSS"));
}

/* Each side of another join is a region of its own. */
static bool read_from(struct names *names, json_t *node, bool kept, uint32_t region)
{
    bool inner = is_inner(node);

    if (!tree_json_is(node, "type", "JOIN"))
        return tree_json_is(node, "type", "EMPTY") || add_leaf(names, node, kept, region);
    if (!read_from(names, json_object_get(node, "left"), kept && keeps(node, true),
                   inner ? region : ++names->region_count))
        return false;
    return read_from(names, json_object_get(node, "right"), kept && keeps(node, false),
                     inner ? region : ++names->region_count);
}

bool names_read(struct names *names, const struct tree *tree, const struct fm_plan_table *tables,
                json_t *node)
{
    *names = (struct names){.tree = tree, .tables = tables, .node = node};
    return read_from(names, json_object_get(node, "from_table"), true, 0);
}

void names_describe(struct names *names, uint32_t leaf, const struct fm_plan_table *relation,
                    const char *alias)
{
    struct names_leaf *at = &names->leaves[leaf];

    at->relation = relation;
    at->closed = true;
    if (at->alias[0] == '\0')
        at->alias = alias;
}

/* ---- Columns --------------------------------------------------------------------------------- */

/* As fm_schema_find(), but several names that differ in case only are no answer. */
static bool find_field(const struct fm_schema *schema, const char *name, uint32_t *out)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (strcasecmp(schema->fields[i].name, name) == 0) {
            *out = i;
            count++;
        }
    }
    return count == 1;
}

static bool leaf_has(const struct names_leaf *leaf, const char *name, uint32_t *field)
{
    *field = 0;
    if (leaf->relation != NULL)
        return find_field(leaf->relation->schema, name, field);
    const json_t *items = items_of(leaf->node);
    for (size_t i = 0; i < json_array_size(items); i++) {
        if (strcasecmp(item_name(json_array_get(items, i)), name) == 0)
            return true;
    }
    return false;
}

/* Any leaf that may have a column of this name. */
static bool anybody_has(const struct names *names, const char *name)
{
    uint32_t field = 0;

    for (uint32_t i = 0; i < names->leaf_count; i++) {
        if (!names->leaves[i].closed || leaf_has(&names->leaves[i], name, &field))
            return true;
    }
    return false;
}

/* A table with a struct of this name. */
static bool is_struct(const struct names *names, const char *name)
{
    for (uint32_t i = 0; i < names->leaf_count; i++) {
        const struct names_leaf *leaf = &names->leaves[i];
        uint32_t field = 0;
        if (leaf->relation == NULL || !leaf_has(leaf, name, &field))
            continue;
        if (!leaf->closed || leaf->relation->schema->fields[field].type.kind == FM_KIND_STRUCT)
            return true;
    }
    return false;
}

static bool is_merged(const json_t *from, const char *name)
{
    if (!tree_json_is(from, "type", "JOIN"))
        return false;
    const json_t *columns = tree_json_array(from, "using_columns");
    for (size_t i = 0; i < json_array_size(columns); i++) {
        if (strcasecmp(json_string_value(json_array_get(columns, i)), name) == 0)
            return true;
    }
    return is_merged(json_object_get(from, "left"), name) ||
           is_merged(json_object_get(from, "right"), name);
}

static bool is_called(const struct names *names, const struct names_leaf *leaf, const char *domain,
                      const char *table)
{
    const struct tree_table *base =
        leaf->table != NAMES_NO_TABLE ? &names->tree->tables[leaf->table] : NULL;

    if (strcasecmp(leaf->alias, table) != 0)
        return false;
    return domain == NULL ||
           (base != NULL && !base->has_alias && strcasecmp(base->domain, domain) == 0);
}

/* table.column, where the table has it, goes before the member of a struct. */
static struct names_found find_qualified(const struct names *names, const char *domain,
                                         const char *table, const char *column)
{
    struct names_found found = {NAMES_UNKNOWN, 0, 0};
    uint32_t count = 0;

    for (uint32_t i = 0; i < names->leaf_count; i++) {
        const struct names_leaf *leaf = &names->leaves[i];
        if (!is_called(names, leaf, domain, table))
            continue;
        bool has = leaf->closed ? leaf_has(leaf, column, &found.field)
                                : !is_struct(names, domain != NULL ? domain : table);
        if (++count > 1 || !has)
            return (struct names_found){NAMES_UNKNOWN, 0, 0};
        found.kind = NAMES_COLUMN;
        found.leaf = i;
    }
    return found;
}

static struct names_found find_column(const struct names *names, const char *name)
{
    struct names_found found = {NAMES_UNKNOWN, 0, 0};
    uint32_t count = 0;

    if (is_merged(json_object_get(names->node, "from_table"), name))
        return (struct names_found){NAMES_MERGED, 0, 0};
    for (uint32_t i = 0; i < names->leaf_count; i++) {
        uint32_t field = 0;
        if (!names->leaves[i].closed)
            return (struct names_found){NAMES_UNKNOWN, 0, 0};
        if (!leaf_has(&names->leaves[i], name, &field))
            continue;
        if (++count > 1)
            return (struct names_found){NAMES_UNKNOWN, 0, 0};
        found = (struct names_found){NAMES_COLUMN, i, field};
    }
    return found;
}

static uint32_t count_items(const struct names *names, const char *name, bool implicit,
                            json_t **first)
{
    json_t *items = tree_json_array(names->node, "select_list");
    uint32_t count = 0;

    for (size_t i = 0; i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        const char *alias = implicit ? item_name(item) : tree_json_text(item, "alias");
        if (alias != NULL && alias[0] != '\0' && strcasecmp(alias, name) == 0 && count++ == 0)
            *first = item;
    }
    return count;
}

/* Without a column of that name, the name of a table is its whole row. */
static bool is_row(const struct names *names, const char *name)
{
    for (uint32_t i = 0; i < names->leaf_count; i++) {
        if (strcasecmp(names->leaves[i].alias, name) == 0)
            return true;
    }
    return false;
}

static struct names_found find_bare(const struct names *names, const char *name,
                                    enum names_clause clause)
{
    struct names_found found = find_column(names, name);
    json_t *item = NULL;
    uint32_t items = count_items(names, name, clause == NAMES_IN_ORDER, &item);

    if (items == 0)
        return found;
    if (clause == NAMES_IN_ORDER)
        return (struct names_found){NAMES_ALIAS, 0, 0};
    if (found.kind == NAMES_UNKNOWN)
        found.kind = anybody_has(names, name) || is_row(names, name) ? NAMES_UNKNOWN : NAMES_ALIAS;
    else if (clause == NAMES_IN_GROUPS)
        found.kind = NAMES_UNKNOWN;
    return found;
}

struct names_found names_find(const struct names *names, const json_t *column_ref,
                              enum names_clause clause)
{
    const json_t *parts = tree_json_array(column_ref, "column_names");
    const char *texts[3] = {NULL};

    for (size_t i = 0; i < 3; i++)
        texts[i] = json_string_value(json_array_get(parts, i));
    switch (json_array_size(parts)) {
    case 1:
        return find_bare(names, texts[0], clause);
    case 2:
        return find_qualified(names, NULL, texts[0], texts[1]);
    case 3:
        return find_qualified(names, texts[0], texts[1], texts[2]);
    default:
        return (struct names_found){NAMES_UNKNOWN, 0, 0};
    }
}

const struct fm_field *names_field(const struct names *names, const struct names_found *found)
{
    const struct names_leaf *leaf = &names->leaves[found->leaf];

    return found->kind == NAMES_COLUMN && leaf->relation != NULL && leaf->closed
               ? &leaf->relation->schema->fields[found->field]
               : NULL;
}

json_t *names_item(const struct names *names, const char *alias)
{
    json_t *item = NULL;

    return count_items(names, alias, false, &item) == 1 ? item : NULL;
}

/* ---- From inside ----------------------------------------------------------------------------- */

struct reach {
    const struct names *names;
    uint32_t leaf;
};

/* A SELECT node inside whose own FROM answers the name hides what is outside. */
static bool answers(const struct names *inner, const json_t *column_ref)
{
    return inner != NULL && names_find(inner, column_ref, NAMES_IN_ROWS).kind == NAMES_COLUMN;
}

static bool ref_may_reach(const struct reach *reach, const json_t *column_ref)
{
    const struct names_leaf *leaf = &reach->names->leaves[reach->leaf];
    const json_t *parts = tree_json_array(column_ref, "column_names");
    size_t count = json_array_size(parts);
    uint32_t field = 0;

    for (size_t i = 0; i < count; i++) {
        const char *part = json_string_value(json_array_get(parts, i));
        bool last = i + 1 == count;
        if (part == NULL || !leaf->closed || strcasecmp(part, leaf->alias) == 0)
            return true;
        if (last ? i == 0 && leaf_has(leaf, part, &field) : is_struct(reach->names, part))
            return true;
    }
    return false;
}

static bool may_reach(const struct reach *reach, const struct names *inner, const json_t *part);

static bool members_may_reach(const struct reach *reach, const struct names *inner,
                              const json_t *part)
{
    const char *key = NULL;
    json_t *member = NULL;

    json_object_foreach((json_t *)(uintptr_t)part, key, member)
    {
        if (may_reach(reach, inner, member))
            return true;
    }
    return false;
}

/* On the heap: statements may be nested deeply. */
static bool select_may_reach(const struct reach *reach, const json_t *node)
{
    struct names *own = malloc(sizeof *own);
    bool may =
        own == NULL ||
        !names_read(own, reach->names->tree, reach->names->tables, (json_t *)(uintptr_t)node) ||
        members_may_reach(reach, own, node);

    free(own);
    return may;
}

/* Stars never reach outside. */
static bool may_reach(const struct reach *reach, const struct names *inner, const json_t *part)
{
    if (json_is_array(part)) {
        for (size_t i = 0; i < json_array_size(part); i++) {
            if (may_reach(reach, inner, json_array_get(part, i)))
                return true;
        }
        return false;
    }
    if (!json_is_object(part))
        return false;
    if (tree_json_is(part, "class", "COLUMN_REF") && !answers(inner, part))
        return ref_may_reach(reach, part);
    if (tree_json_is(part, "type", "SELECT_NODE"))
        return select_may_reach(reach, part);
    return members_may_reach(reach, inner, part);
}

bool names_may_reach(const struct names *names, uint32_t leaf, const json_t *part)
{
    struct reach reach = {names, leaf};

    return may_reach(&reach, NULL, part);
}
