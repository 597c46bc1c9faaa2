#include "query/tree.h"

#include "core/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Line and column, from 1, columns in characters. */
static void position(struct fm_span sql, uint64_t offset, size_t *line, size_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < sql.len && i < offset; i++) {
        if (sql.data[i] == '\n') {
            (*line)++;
            *column = 1;
        } else if ((sql.data[i] & 0xc0u) != 0x80u) {
            (*column)++;
        }
    }
}

enum fm_status tree_fail(struct tree *tree, const json_t *node, enum fm_status status,
                         const char *format, ...)
{
    char text[512];
    uint64_t offset = 0;
    size_t line = 0;
    size_t column = 0;
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments); /* Cut at the buffer's end. */
    va_end(arguments);
    if (node == NULL || !tree_json_uint(json_object_get(node, "query_location"), &offset) ||
        offset >= tree->sql.len)
        return fm_fail(tree->err, status, "%s", text);
    position(tree->sql, offset, &line, &column);
    return fm_fail(tree->err, status, "line %zu, column %zu: %s", line, column, text);
}

static enum fm_status walk(struct tree *tree)
{
    json_t *statements = tree_json_array(tree->root, "statements");
    const char *message = tree_json_text(tree->root, "error_message");

    if (message != NULL)
        return fm_fail(tree->err, FM_INVALID, "%s", message);
    if (statements == NULL)
        return fm_fail(tree->err, FM_INVALID, "the statement is not understood");
    if (json_array_size(statements) == 0)
        return fm_fail(tree->err, FM_INVALID, "the statement is empty");
    if (json_array_size(statements) > 1)
        return fm_fail(tree->err, FM_INVALID, "only one statement at a time, there are %zu",
                       json_array_size(statements));
    return tree_walk_query(tree, json_array_get(statements, 0), TREE_USE_TOP);
}

static enum fm_status load(struct tree *tree, struct fm_span json)
{
    tree->item_use = TREE_USE_TOP;
    tree->kept = json_array();
    if (tree->kept == NULL)
        return FM_NOMEM;
    enum fm_status status = tree_json_load(json, &tree->root, tree->err);
    return status == FM_OK ? walk(tree) : status;
}

enum fm_status tree_read_merge(struct tree *tree, uint32_t slot_count, struct fm_span sql,
                               struct fm_span json, struct fm_error *err)
{
    *tree = (struct tree){.sql = sql, .err = err, .is_merge = true, .slot_count = slot_count};
    return load(tree, json);
}

enum fm_status tree_read(struct tree *tree, struct fm_span sql, struct fm_span json,
                         struct fm_error *err)
{
    *tree = (struct tree){.sql = sql, .err = err};
    enum fm_status status = load(tree, json);
    if (status == FM_OK)
        status = tree_settle_joins(tree);
    if (status == FM_OK)
        status = tree_find_shared_names(tree);
    if (status == FM_OK)
        tree_uses_settle(&tree->uses);
    return status;
}

void tree_deinit(struct tree *tree)
{
    json_decref(tree->shared_names);
    json_decref(tree->root);
    json_decref(tree->kept);
    tree_uses_deinit(&tree->uses);
    tree->root = NULL;
    tree->shared_names = NULL;
    tree->kept = NULL;
    tree->table_count = 0;
}

json_t *tree_scan_of(const struct tree *tree, uint32_t slot)
{
    const char *alias = tree->tables[slot].alias;
    json_t *columns = tree_json_array(tree->tables[slot].node, "column_name_alias");
    json_t *constant = json_pack("{s:s,s:s,s:s,s:{s:{s:s,s:n},s:b,s:i}}", "class", "CONSTANT",
                                 "type", "VALUE_CONSTANT", "alias", "", "value", "type", "id",
                                 "INTEGER", "type_info", "is_null", 0, "value", (int)slot);
    json_t *function =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:[o],s:n,s:{s:s,s:[]},s:b,s:b,s:b,s:s}", "class",
                  "FUNCTION", "type", "FUNCTION", "alias", "", "function_name", "fm_scan", "schema",
                  "", "children", constant, "filter", "order_bys", "type", "ORDER_MODIFIER",
                  "orders", "distinct", 0, "is_operator", 0, "export_state", 0, "catalog", "");
    return json_pack("{s:s,s:s,s:n,s:o,s:O,s:s}", "type", "TABLE_FUNCTION", "alias", alias,
                     "sample", "function", function, "column_name_alias", columns,
                     "with_ordinality", "WITHOUT_ORDINALITY");
}

static json_t *share_of(uint32_t slot, const char *alias, json_t *columns)
{
    char name[32];

    (void)snprintf(name, sizeof name, TREE_SLOT_PREFIX "%u", slot); /* Fits. */
    return json_pack("{s:s,s:s,s:n,s:s,s:s,s:O,s:s,s:n}", "type", "BASE_TABLE", "alias", alias,
                     "sample", "schema_name", "", "table_name", name, "column_name_alias", columns,
                     "catalog_name", "", "at_clause");
}

enum fm_status tree_point(struct tree *tree, uint64_t shared)
{
    enum fm_status status = tree_shorten(tree);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < tree->table_count; i++) {
        struct tree_table *table = &tree->tables[i];
        json_t *columns = tree_json_array(table->node, "column_name_alias");
        json_t *made =
            (shared >> i & 1u) != 0 ? share_of(i, table->alias, columns) : tree_scan_of(tree, i);
        /* The old node's strings live on in `kept`: aliases point into them. */
        int failed = made == NULL || json_array_append_new(tree->kept, json_copy(table->node)) ||
                     json_object_clear(table->node) || json_object_update(table->node, made);
        json_decref(made);
        if (failed)
            return FM_NOMEM;
    }
    return FM_OK;
}

static void put_ctes(uint64_t shared, struct fm_buf *out)
{
    const char *before = "";

    for (uint32_t i = 0; i < FM_QUERY_TABLES_MAX; i++) {
        if ((shared >> i & 1u) == 0)
            continue;
        fm_buf_printf(out, "%s" TREE_SLOT_PREFIX "%u AS MATERIALIZED (SELECT * FROM fm_scan(%u))",
                      before, i, i);
        before = ", ";
    }
}

enum fm_status tree_share(struct fm_span sql, uint64_t shared, struct fm_buf *out)
{
    static const char *const starts[] = {"WITH RECURSIVE ", "WITH ", ""};

    _Static_assert(FM_QUERY_TABLES_MAX <= 64, "a mask holds all slots");
    for (size_t i = 0; shared != 0 && i < sizeof starts / sizeof starts[0]; i++) {
        size_t len = strlen(starts[i]);
        if (sql.len < len || memcmp(sql.data, starts[i], len) != 0)
            continue;
        fm_buf_put_str(out, len > 0 ? starts[i] : "WITH ");
        put_ctes(shared, out);
        fm_buf_put_str(out, len > 0 ? ", " : " ");
        sql = fm_span(sql.data + len, sql.len - len);
        break;
    }
    fm_buf_put_span(out, sql);
    return fm_buf_status(out);
}
