/* Derived tables that come from several owners: grouped in each of their parts. */
#include "query/aggregate_internal.h"

/* (part) AS alias(columns): names are those of the first part. */
static json_t *derive(const struct aggregate *a, const struct fm_schema *schema, json_t *part)
{
    json_t *names = json_array();
    json_t *derived = tree_build_derived(json_incref(part), a->names->leaves[a->leaf].alias);

    for (uint32_t i = 0; i < schema->field_count; i++) {
        if (json_array_append_new(names, json_string(schema->fields[i].name)) != 0) {
            json_decref(names);
            names = NULL;
        }
    }
    if (json_object_set_new(derived, "column_name_alias", names) != 0) {
        json_decref(derived);
        return NULL;
    }
    return derived;
}

static json_t *unite(json_t *left, json_t *right)
{
    return json_pack("{s:s,s:[],s:{s:[]},s:s,s:o,s:o,s:b}", "type", "SET_OPERATION_NODE",
                     "modifiers", "cte_map", "map", "setop_type", "UNION", "left", left, "right",
                     right, "setop_all", 1);
}

/* Each SELECT has expressions of its own: what is carved later is changed in place. Nothing of a
 * part is copied, its tables are known by their nodes. */
static json_t *select_part(struct aggregate *a, const struct fm_schema *schema, json_t *part)
{
    FM_AUTO(tree_json_freep) json_t *select = aggregate_select(a, json_null());
    json_t *own = select != NULL ? json_deep_copy(select) : NULL;
    json_t *from = derive(a, schema, part);

    if (own == NULL || json_object_set_new(own, "from_table", from) != 0) {
        json_decref(own);
        return NULL;
    }
    return own;
}

enum fm_status aggregate_put_parts(struct aggregate *a, struct tree *tree, json_t *from,
                                   const struct aggregate_parts *parts, struct aggregate_made *made,
                                   uint32_t *count)
{
    bool known = false;
    uint64_t groups = aggregate_groups(a, parts->table.rows, &known);
    FM_AUTO(tree_json_freep) json_t *all = NULL;
    FM_AUTO(tree_json_freep) json_t *before = json_copy(from);

    for (uint32_t i = parts->count; i > 0; i--) {
        json_t *select = select_part(a, parts->table.schema, parts->nodes[i - 1]);
        if (select == NULL)
            return FM_NOMEM;
        made[(*count)++] = (struct aggregate_made){select, groups / parts->count + 1};
        all = all != NULL ? unite(select, all) : select;
        if (all == NULL)
            return FM_NOMEM;
    }
    FM_AUTO(tree_json_freep) json_t *derived = tree_build_derived(json_incref(all), a->alias);
    /* The old node's strings live on in `kept`: aliases point into them. */
    if (derived == NULL || json_array_append(tree->kept, before) != 0 ||
        json_object_clear(from) != 0 || json_object_update(from, derived) != 0)
        return FM_NOMEM;
    return FM_OK;
}
