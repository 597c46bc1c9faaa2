/* The engine prints joins without parentheses, and a cross join as a comma, which binds less than
 * the word: FROM a CROSS JOIN b LEFT JOIN c ON .. would come back as another statement. Here joins
 * get the form that is read as it was meant: a cross join below another becomes an inner join ON
 * true. And x / y becomes x // y, which is what it means here (integer_division): the engine's
 * planning of a text knows nothing of that setting, and would drop rows. And in name.* the name is
 * printed as it is: here it gets its quotes. */
#include "query/tree.h"

static json_t *constant_true(void)
{
    return json_pack("{s:s,s:s,s:s,s:{s:{s:s,s:n},s:b,s:b}}", "class", "CONSTANT", "type",
                     "VALUE_CONSTANT", "alias", "", "value", "type", "id", "BOOLEAN", "type_info",
                     "is_null", 0, "value", 1);
}

static bool is_join(const json_t *json)
{
    return tree_json_is(json, "type", "JOIN") && json_object_get(json, "ref_type") != NULL;
}

static bool has_condition(const json_t *join)
{
    return tree_json_is(join, "ref_type", "REGULAR") || tree_json_is(join, "ref_type", "ASOF");
}

static enum fm_status make_inner(json_t *join)
{
    if (json_object_set_new(join, "ref_type", json_string("REGULAR")) != 0 ||
        json_object_set_new(join, "join_type", json_string("INNER")) != 0 ||
        json_object_set_new(join, "condition", constant_true()) != 0)
        return FM_NOMEM;
    return FM_OK;
}

static enum fm_status quote_star(json_t *star)
{
    const char *name = tree_json_text(star, "relation_name");
    FM_AUTO(fm_buf_free) struct fm_buf quoted = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);

    if (name == NULL || name[0] == '\0')
        return FM_OK;
    fm_buf_put_u8(&quoted, '"');
    for (; *name != '\0'; name++)
        fm_buf_put_str(&quoted, *name == '"' ? "\"\"" : (const char[]){*name, '\0'});
    fm_buf_put_u8(&quoted, '"');
    json_t *text = json_stringn((const char *)quoted.data, quoted.len);
    return json_object_set_new(star, "relation_name", text) == 0 ? FM_OK : FM_NOMEM;
}

static enum fm_status settle_members(struct tree *tree, json_t *json, bool below);

static enum fm_status settle(struct tree *tree, json_t *json, bool below)
{
    enum fm_status status = FM_OK;

    if (tree_json_is(json, "class", "FUNCTION") && tree_json_is(json, "function_name", "/") &&
        json_object_set_new(json, "function_name", json_string("//")) != 0)
        return FM_NOMEM;
    if (tree_json_is(json, "class", "STAR"))
        status = quote_star(json);
    if (status == FM_OK && !is_join(json))
        return settle_members(tree, json, tree_json_is(json, "type", "PIVOT"));
    if (status == FM_OK && below && tree_json_is(json, "ref_type", "CROSS"))
        status = make_inner(json);
    bool comma = tree_json_is(json, "ref_type", "CROSS");
    if (status == FM_OK && !comma && !has_condition(json) &&
        is_join(json_object_get(json, "right")))
        return tree_fail(tree, json, FM_INVALID,
                         "a join in parentheses behind NATURAL or POSITIONAL JOIN is not "
                         "supported; write it as a subquery");
    return status == FM_OK ? settle_members(tree, json, !comma) : status;
}

/* `below`: a join among them is part of another, or of a pivot. */
static enum fm_status settle_members(struct tree *tree, json_t *json, bool below)
{
    enum fm_status status = FM_OK;
    const char *key = NULL;
    json_t *value = NULL;
    size_t i = 0;

    json_object_foreach(json, key, value)
    {
        if (status == FM_OK && (json_is_object(value) || json_is_array(value)))
            status = settle(tree, value, below);
    }
    json_array_foreach(json, i, value)
    {
        if (status == FM_OK && (json_is_object(value) || json_is_array(value)))
            status = settle(tree, value, false);
    }
    return status;
}

enum fm_status tree_settle_joins(struct tree *tree)
{
    return settle(tree, tree->root, false);
}
