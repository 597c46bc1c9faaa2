/* The rule FM_RULE_AGGREGATE: SELECTs made below joins (aggregate.h) are carved, to run at the
 * owners of their tables. */
#include "query/carve.h"
#include "query/tree_build.h"

#include <string.h>

/* The engine calls an unnamed item by its text. */
static enum fm_status name_of(void *context, const json_t *expression, struct fm_buf *out)
{
    static const char before[] = "SELECT ";
    struct planner *planner = context;
    FM_AUTO(fm_buf_free) struct fm_buf json = FM_BUF_INIT(TREE_JSON_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(FM_ENGINE_SQL_BYTES_MAX);
    json_t *from = json_pack("{s:s,s:s,s:n}", "type", "EMPTY", "alias", "", "sample");
    json_t *node = tree_build_select(json_pack("[o]", json_deep_copy(expression)), from,
                                     json_null(), json_array(), json_null());
    FM_AUTO(tree_json_freep)
    json_t *statement = json_pack("{s:b,s:[{s:o,s:[]}]}", "error", 0, "statements", "node", node,
                                  "named_param_map");

    if (statement == NULL)
        return FM_NOMEM;
    enum fm_status status = tree_json_print(statement, &json);
    if (status == FM_OK)
        status = fm_worker_unparse(planner->worker, fm_buf_span(&json), &sql, planner->err);
    if (status != FM_OK)
        return status;
    if (sql.len < sizeof before || memcmp(sql.data, before, sizeof before - 1) != 0)
        return fm_fail(planner->err, FM_INTERNAL, "an expression was not printed as one");
    fm_buf_put(out, sql.data + sizeof before - 1, sql.len - (sizeof before - 1));
    return fm_buf_status(out);
}

enum fm_status plan_aggregate(struct planner *planner)
{
    struct aggregate_options options = {planner, name_of, plan_parts_of};
    struct aggregate_made made[FM_QUERY_TABLES_MAX];
    uint32_t count = 0;

    enum fm_status status =
        aggregate_push(planner->tree, planner->plan->tables, &options, made, &count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        bool carved = false;
        uint64_t tables = planner_tables_under(planner, made[i].node);
        status = plan_carve(planner, made[i].node, FM_RULE_AGGREGATE, &carved);
        if (carved)
            planner->plan->tables[__builtin_ctzll(tables)].rows = made[i].rows;
    }
    return status;
}
