#include "tests/support/plan_catalog.h"

#include "query/plan_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NIL "\\N" /* A null in a row. */

const struct catalog_table catalog_tables[] = {
    {"flights",
     "delays",
     1,
     3000000,
     {{"id", "int32"},
      {"delay", "int16"},
      {"origin", "varchar"},
      {"destination", "varchar"},
      {"note", "varchar"},
      {"date", "date"}},
     {{"1", "5", "SEA", "JFK", "late", "2001-01-01"},
      {"2", "130", "SEA", "SFO", NIL, "2001-01-02"},
      {"3", "-3", "JFK", "SEA", "early", "2001-01-03"},
      {"4", "0", "SFO", "SEA", "", "2001-02-01"},
      {"5", NIL, "SFO", "JFK", "late", "2001-02-02"},
      {"6", "45", "ATL", "SEA", NIL, "2001-02-03"},
      {"7", "45", NIL, "ATL", "odd", "2001-03-01"},
      {"8", "7", "ATL", NIL, "late", "2001-03-02"},
      {"9", "200", "\xc3\x84LM", "SEA", "\xc3\xa4", NIL},
      {"10", "1", "XXX", "YYY", "zz", "2001-03-04"}}},
    {"flights",
     "carrier",
     1,
     10,
     {{"code", "varchar"}, {"hub", "varchar"}},
     {{"AS", "SEA"}, {"DL", "ATL"}, {"B6", "JFK"}}},
    {"airports",
     "airport",
     2,
     3000,
     {{"iata", "varchar"}, {"city", "varchar"}, {"state", "varchar"}, {"latitude", "double"}},
     {{"ATL", "Atlanta", "GA", "33.5"},
      {"JFK", "New York", "NY", "40.5"},
      {"LGA", "New York", "NY", "40.75"},
      {"SEA", "Seattle", "WA", "47.25"},
      {"SFO", "San Francisco", "CA", NIL},
      {"\xc3\x84LM", NIL, NIL, "65"}}},
    {"airports",
     "delays",
     2,
     2000000,
     {{"id", "int32"}, {"delay", "int16"}, {"origin", "varchar"}, {"gate", "varchar"}},
     {{"1", "5", "SEA", "A1"},
      {"3", "45", "JFK", NIL},
      {"4", NIL, NIL, "B2"},
      {"11", "-3", "SEA", "A1"},
      {"12", "300", "ATL", "B2"},
      {"13", "300", "ORD", "C3"}}},
    {"mesh", /* The asked node's own, be it an owner or not. */
     "nodes",
     1,
     0,
     {{"node", "varchar"}, {"hub", "varchar"}, {"ms", "int32"}},
     {{"north", "SEA", "3"}, {"south", "JFK", "12"}, {"west", NIL, NIL}}},
    {"demo", "clock", 3, 0, {{"id", "int32"}, {"current_date", "date"}}, {{0}}},
    {"demo",
     "types",
     3,
     0,
     {{"c_boolean", "boolean"},
      {"c_int8", "int8"},
      {"c_int16", "int16"},
      {"c_int32", "int32"},
      {"c_int64", "int64"},
      {"c_uint8", "uint8"},
      {"c_uint16", "uint16"},
      {"c_uint32", "uint32"},
      {"c_uint64", "uint64"},
      {"c_hugeint", "hugeint"},
      {"c_float", "float"},
      {"c_double", "double"},
      {"c_decimal", "decimal(9,2)"},
      {"c_wide", "decimal(38,10)"},
      {"c_varchar", "varchar"},
      {"c_blob", "blob"},
      {"c_date", "date"},
      {"c_time", "time"},
      {"c_timestamp", "timestamp"},
      {"c_timestamptz", "timestamptz"},
      {"c_interval", "interval"},
      {"c_uuid", "uuid"},
      {"c_enum", "enum('x','a')"},
      {"c_json", "json"},
      {"c_list", "list(int32)"},
      {"c_struct", "struct(a int32, b varchar)"},
      {"c_map", "map(varchar, int32)"}},
     {{0}}},
};
const size_t catalog_table_count = sizeof catalog_tables / sizeof catalog_tables[0];

const struct catalog_table *catalog_find(const char *domain, const char *name)
{
    for (size_t i = 0; i < catalog_table_count; i++) {
        if (strcmp(catalog_tables[i].domain, domain) == 0 &&
            strcmp(catalog_tables[i].name, name) == 0)
            return &catalog_tables[i];
    }
    return NULL;
}

struct fm_schema *catalog_schema(const struct catalog_table *table)
{
    struct fm_schema *schema = calloc(1, sizeof *schema);

    if (schema == NULL)
        abort();
    schema->fields = calloc(CATALOG_COLUMNS_MAX, sizeof *schema->fields);
    if (schema->fields == NULL)
        abort();
    schema->version = 1;
    (void)snprintf(schema->domain, sizeof schema->domain, "%s", table->domain);
    (void)snprintf(schema->table, sizeof schema->table, "%s", table->name);
    for (uint32_t i = 0; table->columns[i][0] != NULL; i++) {
        struct fm_field *field = &schema->fields[schema->field_count++];
        field->id = 100 + i; /* Not the position: who mixes them up is found out. */
        (void)snprintf(field->name, sizeof field->name, "%s", table->columns[i][0]);
        if (fm_type_parse(fm_span_str(table->columns[i][1]), &field->type, NULL) != FM_OK)
            abort();
    }
    return schema;
}

static enum fm_status resolve(void *context, const char *domain, const char *name,
                              struct fm_schema **schema, struct fm_node_id *owner, uint64_t *rows)
{
    const struct catalog_table *table = catalog_find(domain, name);

    (void)context;
    if (table == NULL)
        return FM_NOTFOUND;
    *schema = catalog_schema(table);
    memset(owner, 0, sizeof *owner);
    owner->bytes[0] = table->owner;
    *rows = table->estimate;
    return FM_OK;
}

const struct fm_catalog catalog_for_plans = {.context = NULL, .resolve = resolve};

static enum fm_status resolve_own(void *context, const char *domain, const char *name,
                                  struct fm_schema **schema, struct fm_node_id *owner,
                                  uint64_t *rows)
{
    enum fm_status status = resolve(context, domain, name, schema, owner, rows);

    if (status == FM_OK)
        owner->bytes[0] = 1;
    return status;
}

const struct fm_catalog catalog_of_owner = {.context = NULL, .resolve = resolve_own};

static enum fm_status statistics(void *context, const char *domain, const char *name,
                                 const struct fm_node_id *owner, struct fm_statistics *out)
{
    const struct catalog_table *table = catalog_find(domain, name);

    (void)context;
    (void)owner;
    *out = (struct fm_statistics){.rows = table->estimate};
    out->columns = calloc(CATALOG_COLUMNS_MAX, sizeof *out->columns);
    if (out->columns == NULL)
        abort();
    for (uint32_t i = 0; table->columns[i][0] != NULL; i++) {
        struct fm_column_figures *figures = &out->columns[out->column_count++];
        figures->field_id = 100 + i;
        figures->bytes = 4 * table->estimate;
        figures->distinct = table->estimate < 200 ? table->estimate : 200;
    }
    return FM_OK;
}

const struct fm_catalog catalog_with_statistics = {
    .context = NULL, .resolve = resolve, .statistics = statistics};

static void put_names(const struct fm_plan_table *table, const uint32_t *fields, uint32_t count,
                      struct fm_buf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_str(out, i > 0 ? "," : "");
        fm_buf_put_str(out, table->schema->fields[fields[i]].name);
    }
}

void catalog_describe(const struct fm_plan *plan, struct fm_buf *out)
{
    static const char *const kinds[] = {
        [FM_PLAN_SHIP] = "ship", [FM_PLAN_MERGE] = "merge", [FM_PLAN_LOOKUP] = "lookup"};

    fm_buf_put_str(out, kinds[plan->kind]);
    fm_buf_put_str(out, plan->streams ? " streams" : "");
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const struct fm_plan_table *table = &plan->tables[i];
        fm_buf_printf(out, " %s.%s", table->domain, table->table);
        if (table->at.kind != FM_AT_LATEST)
            fm_buf_printf(out, "@%lld", (long long)table->at.value);
        if (table->sql.len != 0) {
            struct fm_buf sql = FM_BUF_INIT(0);
            if (fm_plan_part_sql(table, &table->predicates, &sql) != FM_OK)
                abort();
            fm_buf_printf(out, "<%s: %.*s>", fm_rule_text(table->rule), (int)sql.len,
                          (const char *)sql.data);
            if (table->given != 0)
                fm_buf_printf(out, "<given %llx>", (unsigned long long)table->given);
            fm_buf_free(&sql);
        }
        fm_buf_put_str(out, "(");
        put_names(table, table->fields, table->field_count, out);
        fm_buf_put_str(out, ")[");
        for (uint32_t k = 0; k < table->predicates.count; k++) {
            fm_buf_put_str(out, k > 0 ? "; " : "");
            plan_print_term(table->schema, &table->predicates.terms[k], out);
        }
        fm_buf_put_str(out, "]{");
        put_names(table, table->enum_fields, table->enum_count, out);
        fm_buf_put_str(out, "}");
    }
    fm_buf_put_u8(out, 0);
}
