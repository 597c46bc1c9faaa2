/* A plan for people: JSON with members in a fixed order, predicates in words. */
#include "core/assert.h"
#include "query/plan_read.h"

#include <inttypes.h>
#include <string.h>

static json_t *text_of(const struct fm_buf *buf)
{
    return json_stringn((const char *)buf->data, buf->len);
}

static json_t *at_of(const struct fm_at *at)
{
    if (at->kind == FM_AT_VERSION)
        return json_pack("{s:I}", "version", (json_int_t)at->value);
    if (at->kind == FM_AT_TIMESTAMP)
        return json_pack("{s:I}", "timestamp_us", (json_int_t)at->value);
    return json_null();
}

static json_t *names_of(const struct fm_plan_table *table, const uint32_t *fields, uint32_t count)
{
    json_t *names = json_array();

    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(names, json_string(table->schema->fields[fields[i]].name));
    return names;
}

static json_t *predicates_of(const struct fm_plan_table *table)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < table->predicates.count; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf words = FM_BUF_INIT(FM_SQL_BYTES_MAX);
        plan_print_term(table->schema, &table->predicates.terms[i], &words);
        (void)json_array_append_new(list, text_of(&words));
    }
    return list;
}

/* By which columns of which fragments, counted from 0, only some of the rows are asked for. */
static json_t *reductions_of(const struct fm_plan *plan, uint32_t slot)
{
    json_t *list = plan->reduction_count > 0 ? json_array() : NULL;

    for (uint32_t i = 0; i < plan->reduction_count; i++) {
        const struct fm_plan_reduction *reduction = &plan->reductions[i];
        if (reduction->to != slot)
            continue;
        const struct fm_plan_table *from = &plan->tables[reduction->from];
        json_t *item = json_object();
        (void)json_object_set_new(
            item, "column",
            json_string(plan->tables[slot].schema->fields[reduction->to_field].name));
        (void)json_object_set_new(item, "fragment", json_integer(reduction->from));
        (void)json_object_set_new(item, "by",
                                  json_string(from->schema->fields[reduction->from_field].name));
        (void)json_array_append_new(list, item);
    }
    if (json_array_size(list) > 0)
        return list;
    json_decref(list);
    return NULL;
}

/* A slot is declared with all columns of its table: a statement may count them. */
static json_t *slot_of(const struct fm_plan_table *table)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < table->schema->field_count; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf type = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
        fm_type_print(&type, &table->schema->fields[i].type);
        json_t *column = json_array();
        (void)json_array_append_new(column, json_string(table->schema->fields[i].name));
        (void)json_array_append_new(column, text_of(&type));
        (void)json_array_append_new(list, column);
    }
    return list;
}

static json_t *supplied_of(const struct fm_plan_table *table)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < table->field_count; i++)
        (void)json_array_append_new(list, json_integer(table->fields[i]));
    return list;
}

static json_t *given_of(const struct fm_plan_table *table)
{
    json_t *list = json_array();

    for (unsigned slot = 0; slot < FM_QUERY_TABLES_MAX; slot++)
        if ((table->given >> slot & 1u) != 0)
            (void)json_array_append_new(list, json_integer((json_int_t)slot));
    return list;
}

static json_t *fragment_of(const struct fm_plan *plan, const struct fm_plan_table *table)
{
    char owner[2 * sizeof table->owner.bytes + 1];
    json_t *fragment = json_object();

    fm_hex(table->owner.bytes, sizeof table->owner.bytes, owner);
    (void)json_object_set_new(fragment, "owner", json_string(owner));
    (void)json_object_set_new(fragment, "domain", json_string(table->domain));
    (void)json_object_set_new(fragment, "table", json_string(table->table));
    if (table->at.kind != FM_AT_LATEST)
        (void)json_object_set_new(fragment, "at", at_of(&table->at));
    (void)json_object_set_new(fragment, "rows", json_integer((json_int_t)table->rows));
    bool lookup = plan->kind == FM_PLAN_LOOKUP;
    (void)json_object_set_new(fragment, "columns",
                              lookup
                                  ? names_of(table, plan->lookup.fields, plan->lookup.field_count)
                                  : names_of(table, table->fields, table->field_count));
    (void)json_object_set_new(fragment, "predicates", predicates_of(table));
    if (plan->kind == FM_PLAN_MERGE && table->needed_by != NULL)
        (void)json_object_set_new(fragment, "needed_by", json_string(table->needed_by));
    (void)json_object_set_new(
        fragment, "rule", json_string(fm_plan_rule_text(plan, (uint32_t)(table - plan->tables))));
    json_t *reductions = reductions_of(plan, (uint32_t)(table - plan->tables));
    if (reductions != NULL)
        (void)json_object_set_new(fragment, "reduced", reductions);
    if (table->given != 0)
        (void)json_object_set_new(fragment, "given", given_of(table));
    if (table->expected_rows != 0) {
        (void)json_object_set_new(fragment, "expected_rows",
                                  json_integer((json_int_t)table->expected_rows));
        (void)json_object_set_new(fragment, "expected_bytes",
                                  json_integer((json_int_t)table->expected_bytes));
    }
    if (plan->kind == FM_PLAN_SHIP) {
        (void)json_object_set_new(fragment, "sql", text_of(&plan->shipped));
    } else if (table->sql.len != 0) {
        FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(2u * FM_SQL_BYTES_MAX);
        if (fm_plan_part_sql(table, &table->predicates, &sql) == FM_OK)
            (void)json_object_set_new(fragment, "sql", text_of(&sql));
    }
    if (lookup && plan->lookup.row_limit != 0)
        (void)json_object_set_new(fragment, "limit",
                                  json_integer((json_int_t)plan->lookup.row_limit));
    return fragment;
}

const char *fm_plan_rule_text(const struct fm_plan *plan, uint32_t n)
{
    const struct fm_plan_table *table = &plan->tables[n];

    if (table->is_own)
        return "own";
    return fm_rule_text(plan->kind == FM_PLAN_SHIP ? FM_RULE_SHIP : table->rule);
}

/* Out of memory leaves members out here and there; jansson's calls then take NULL. What cannot be
 * printed at all fails the buffer. */
void fm_plan_print(const struct fm_plan *plan, bool with_slots, struct fm_buf *out)
{
    FM_AUTO(tree_json_freep) json_t *root = json_object();
    json_t *fragments = json_array();
    static const char *const kinds[] = {
        [FM_PLAN_SHIP] = "ship", [FM_PLAN_MERGE] = "merge", [FM_PLAN_LOOKUP] = "lookup"};
    bool ship = plan->kind == FM_PLAN_SHIP;

    (void)json_object_set_new(root, "kind", json_string(kinds[plan->kind]));
    (void)json_object_set_new(root, "streams", json_boolean(plan->streams));
    for (uint32_t i = 0; i < plan->table_count; i++) {
        json_t *fragment = fragment_of(plan, &plan->tables[i]);
        if (with_slots && plan->kind == FM_PLAN_MERGE) {
            (void)json_object_set_new(fragment, "slot", slot_of(&plan->tables[i]));
            (void)json_object_set_new(fragment, "supplied", supplied_of(&plan->tables[i]));
        }
        (void)json_array_append_new(fragments, fragment);
    }
    (void)json_object_set_new(root, "fragments", fragments);
    (void)json_object_set_new(root, "sql", text_of(ship ? &plan->shipped : &plan->sql));
    char *text = json_dumps(root, JSON_COMPACT);
    if (text != NULL)
        fm_buf_put_str(out, text);
    else if (out->status == FM_OK)
        out->status = FM_NOMEM;
    free(text);
}

/* ---- One fragment's work ------------------------------------------------------------------- */

#define TEXT_BYTES_GUESSED 16u /* Of a value without a width. */

static bool is_plain_name(const char *name)
{
    if (!((name[0] >= 'a' && name[0] <= 'z') || name[0] == '_'))
        return false;
    for (; *name != '\0'; name++)
        if (!((*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') || *name == '_'))
            return false;
    return true;
}

static void put_name(struct fm_buf *out, const char *name)
{
    if (is_plain_name(name)) {
        fm_buf_put_str(out, name);
        return;
    }
    fm_buf_put_u8(out, '"');
    for (; *name != '\0'; name++) {
        if (*name == '"')
            fm_buf_put_u8(out, '"');
        fm_buf_put_u8(out, (uint8_t)*name);
    }
    fm_buf_put_u8(out, '"');
}

static void put_at(struct fm_buf *out, const struct fm_at *at)
{
    if (at->kind == FM_AT_VERSION)
        fm_buf_printf(out, " AT (VERSION => %" PRId64 ")", at->value);
    else if (at->kind == FM_AT_TIMESTAMP)
        fm_buf_printf(out, " AT (TIMESTAMP => make_timestamptz(%" PRId64 "))", at->value);
}

static void put_scan(const struct fm_plan *plan, const struct fm_plan_table *table,
                     struct fm_buf *out)
{
    bool lookup = plan->kind == FM_PLAN_LOOKUP;
    uint32_t count = lookup ? plan->lookup.field_count : table->field_count;
    const uint32_t *fields = lookup ? plan->lookup.fields : table->fields;

    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_str(out, i == 0 ? "SELECT " : ", ");
        put_name(out, table->schema->fields[fields[i]].name);
    }
    fm_buf_put_str(out, " FROM ");
    put_name(out, table->domain);
    fm_buf_put_u8(out, '.');
    put_name(out, table->table);
    put_at(out, &table->at);
    for (uint32_t i = 0; i < table->predicates.count; i++) {
        fm_buf_put_str(out, i == 0 ? " WHERE " : " AND ");
        plan_print_term(table->schema, &table->predicates.terms[i], out);
    }
    if (lookup && plan->lookup.row_limit != 0)
        fm_buf_printf(out, " LIMIT %" PRIu64, plan->lookup.row_limit);
}

/* Which keys are asked for is known only when the other fragment was read. */
static void put_reductions(const struct fm_plan *plan, uint32_t slot, const char *before,
                           struct fm_buf *out)
{
    for (uint32_t i = 0; i < plan->reduction_count; i++) {
        const struct fm_plan_reduction *reduction = &plan->reductions[i];
        if (reduction->to != slot)
            continue;
        const struct fm_plan_table *from = &plan->tables[reduction->from];
        fm_buf_put_str(out, before);
        put_name(out, plan->tables[slot].schema->fields[reduction->to_field].name);
        fm_buf_put_str(out, " IN (SELECT ");
        put_name(out, from->schema->fields[reduction->from_field].name);
        fm_buf_printf(out, " FROM fm_scan(%" PRIu32 "))", reduction->from);
        before = " AND ";
    }
}

static bool is_reduced(const struct fm_plan *plan, uint32_t slot)
{
    for (uint32_t i = 0; i < plan->reduction_count; i++)
        if (plan->reductions[i].to == slot)
            return true;
    return false;
}

/* The statement has the tables' names; their rows are another fragment's. */
static void put_given(const struct fm_plan *plan, uint32_t slot, struct fm_buf *out)
{
    const char *before = " /* given ";

    for (uint64_t left = plan->tables[slot].given; left != 0; left &= left - 1) {
        uint32_t from = (uint32_t)__builtin_ctzll(left);
        const struct fm_plan_table *table = &plan->tables[from];
        fm_buf_put_str(out, before);
        put_name(out, table->domain);
        fm_buf_put_u8(out, '.');
        put_name(out, table->table);
        put_at(out, &table->at);
        fm_buf_printf(out, " of fm_scan(%" PRIu32 ")", from);
        before = ", ";
    }
    if (plan->tables[slot].given != 0)
        fm_buf_put_str(out, " */");
}

void fm_plan_print_work(const struct fm_plan *plan, uint32_t n, struct fm_buf *out)
{
    const struct fm_plan_table *table = &plan->tables[n];

    fm_assert(n < plan->table_count);
    if (plan->kind == FM_PLAN_SHIP)
        fm_buf_put_span(out, fm_buf_span(&plan->shipped));
    else if (table->sql.len == 0)
        put_scan(plan, table, out);
    else if (!is_reduced(plan, n))
        fm_buf_put_span(out, fm_buf_span(&table->sql));
    else
        fm_buf_printf(out, "SELECT * FROM (%.*s) AS fm_part", (int)table->sql.len,
                      (const char *)table->sql.data);
    if (plan->kind == FM_PLAN_MERGE)
        put_reductions(
            plan, n, table->sql.len == 0 && table->predicates.count > 0 ? " AND " : " WHERE ", out);
    put_given(plan, n, out);
}

uint64_t fm_plan_bytes(const struct fm_plan_table *table)
{
    uint64_t width = 0;

    for (uint32_t i = 0; i < table->field_count; i++) {
        uint32_t fixed = fm_type_width(&table->schema->fields[table->fields[i]].type);
        width += fixed != 0 ? fixed : TEXT_BYTES_GUESSED;
    }
    return table->rows > UINT64_MAX / (width + 1) ? UINT64_MAX : table->rows * width;
}
