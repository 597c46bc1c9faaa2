#include "node/pg/catalog.h"

#include "core/assert.h"
#include "node/pg/catalog_model.h"
#include "node/pg/catalog_tables.h"
#include "node/pg/value.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define COLUMNS_MAX 40u

struct making;

struct table {
    const char *domain;
    const char *name;
    enum fm_status (*put)(struct making *making);
    const char *spec;
};

/* A table's columns, read from its spec once. */
struct parsed {
    struct view view;
    struct fm_rows_column columns[COLUMNS_MAX];
    const char *fallbacks[COLUMNS_MAX]; /* NULL: NULL. */
    char *text;                         /* Owned, for ever. */
};

struct cell {
    bool is_set;
    int64_t number;
    const char *text; /* NULL: NULL. */
};

struct making {
    struct view_writer *writer;
    const struct parsed *table;
    struct pg_model model;
    struct cell cells[COLUMNS_MAX];
    struct fm_buf text; /* What cells of the row at hand view. */
};

/* ---- Rows ------------------------------------------------------------------------------------ */

static struct cell *cell(struct making *making, const char *column)
{
    for (uint32_t i = 0; i < making->table->view.count; i++) {
        if (strcmp(making->table->columns[i].name, column) == 0) {
            making->cells[i].is_set = true;
            return &making->cells[i];
        }
    }
    fm_assert(false); /* A column of the catalog that is not there. */
    return NULL;
}

static void set_int(struct making *making, const char *column, int64_t value)
{
    cell(making, column)->number = value;
}

/* Borrowed until the row's end; NULL is NULL. */
static void set_text(struct making *making, const char *column, const char *value)
{
    cell(making, column)->text = value;
}

static void put_fallback(struct fm_rows *rows, enum fm_kind kind, const char *text)
{
    if (text == NULL)
        fm_rows_null(rows);
    else if (kind == FM_KIND_INT64)
        fm_rows_int64(rows, strtoll(text, NULL, 10));
    else if (kind == FM_KIND_BOOLEAN)
        fm_rows_bool(rows, text[0] == 't');
    else if (kind == FM_KIND_DOUBLE)
        fm_rows_double(rows, strtod(text, NULL));
    else
        fm_rows_text(rows, text);
}

static enum fm_status end_row(struct making *making)
{
    struct fm_rows *rows = making->writer->rows;

    for (uint32_t i = 0; i < making->table->view.count; i++) {
        const struct cell *from = &making->cells[i];
        enum fm_kind kind = making->table->columns[i].kind;
        if (!from->is_set)
            put_fallback(rows, kind, making->table->fallbacks[i]);
        else if (kind == FM_KIND_INT64)
            fm_rows_int64(rows, from->number);
        else if (kind == FM_KIND_BOOLEAN)
            fm_rows_bool(rows, from->number != 0);
        else if (from->text == NULL)
            fm_rows_null(rows);
        else
            fm_rows_text(rows, from->text);
    }
    memset(making->cells, 0, sizeof making->cells);
    enum fm_status status = fm_buf_status(&making->text);
    fm_buf_clear(&making->text);
    return status == FM_OK ? view_end_row(making->writer) : status;
}

/* What `text` holds, ended. */
static const char *made_text(struct making *making)
{
    fm_buf_put_u8(&making->text, 0);
    return fm_buf_status(&making->text) == FM_OK ? (const char *)making->text.data : "";
}

/* ---- Types ----------------------------------------------------------------------------------- */

struct type_row {
    uint32_t oid, array;
    int16_t length;
    const char *name;
    const char *words; /* As format_type() says. */
    char category;
};

static const struct type_row types[] = {
    {16, 1000, 1, "bool", "boolean", 'B'},
    {17, 1001, -1, "bytea", "bytea", 'U'},
    {20, 1016, 8, "int8", "bigint", 'N'},
    {21, 1005, 2, "int2", "smallint", 'N'},
    {23, 1007, 4, "int4", "integer", 'N'},
    {25, 1009, -1, "text", "text", 'S'},
    {114, 199, -1, "json", "json", 'U'},
    {700, 1021, 4, "float4", "real", 'N'},
    {701, 1022, 8, "float8", "double precision", 'N'},
    {1082, 1182, 4, "date", "date", 'D'},
    {1083, 1183, 8, "time", "time without time zone", 'D'},
    {1114, 1115, 8, "timestamp", "timestamp without time zone", 'D'},
    {1184, 1185, 8, "timestamptz", "timestamp with time zone", 'D'},
    {1186, 1187, 16, "interval", "interval", 'T'},
    {1700, 1231, -1, "numeric", "numeric", 'N'},
    {2950, 2951, 16, "uuid", "uuid", 'U'},
};
#define TYPES (sizeof types / sizeof types[0])

static const struct type_row *type_row(uint32_t oid)
{
    for (size_t i = 0; i < TYPES; i++)
        if (types[i].oid == oid || types[i].array == oid)
            return &types[i];
    return NULL;
}

static enum fm_status put_types(struct making *making)
{
    enum fm_status status = FM_OK;

    for (size_t i = 0; i < 2 * TYPES && status == FM_OK; i++) {
        const struct type_row *type = &types[i / 2];
        bool is_array = i % 2 != 0;
        char category[2] = {is_array ? 'A' : type->category, '\0'};
        fm_buf_printf(&making->text, "%s%s", is_array ? "_" : "", type->name);
        set_int(making, "oid", is_array ? type->array : type->oid);
        set_text(making, "typname", made_text(making));
        set_int(making, "typlen", is_array ? -1 : type->length);
        set_int(making, "typbyval", !is_array && type->length > 0 && type->length <= 8);
        set_text(making, "typcategory", category);
        set_int(making, is_array ? "typelem" : "typarray", is_array ? type->oid : type->array);
        status = end_row(making);
    }
    return status;
}

/* ---- Relations ------------------------------------------------------------------------------- */

static enum fm_status put_nothing(struct making *making)
{
    (void)making;
    return FM_OK;
}

static enum fm_status put_one(struct making *making)
{
    return end_row(making);
}

#define put_database put_one
#define put_tablespace put_one

static enum fm_status put_methods(struct making *making)
{
    set_int(making, "oid", PG_OID_HEAP);
    set_text(making, "amname", "heap");
    enum fm_status status = end_row(making);
    if (status != FM_OK)
        return status;
    set_int(making, "oid", PG_OID_BTREE);
    set_text(making, "amname", "btree");
    set_text(making, "amtype", "i");
    return end_row(making);
}

static enum fm_status put_namespaces(struct making *making)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < making->model.namespace_count && status == FM_OK; i++) {
        const struct pg_namespace *from = &making->model.namespaces[i];
        set_int(making, "oid", from->oid);
        set_text(making, "nspname", from->name);
        set_int(making, "nspowner", from->owner);
        status = end_row(making);
    }
    return status;
}

static enum fm_status put_schemata(struct making *making)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < making->model.namespace_count && status == FM_OK; i++) {
        const struct pg_namespace *from = &making->model.namespaces[i];
        set_text(making, "schema_name", from->name);
        set_text(making, "schema_owner", pg_role_name(&making->model, from->owner));
        status = end_row(making);
    }
    return status;
}

static enum fm_status put_roles(struct making *making)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < making->model.role_count && status == FM_OK; i++) {
        const struct pg_role *from = &making->model.roles[i];
        set_int(making, "oid", from->oid);
        set_text(making, "rolname", from->name);
        set_int(making, "rolcanlogin", from->can_login);
        status = end_row(making);
    }
    return status;
}

static enum fm_status put_index_class(struct making *making, const struct pg_relation *from)
{
    fm_buf_printf(&making->text, "%s_pkey", from->schema->table);
    set_int(making, "oid", from->index);
    set_text(making, "relname", made_text(making));
    set_int(making, "relnamespace", from->namespace);
    set_int(making, "relowner", from->owner);
    set_int(making, "relam", PG_OID_BTREE);
    set_text(making, "relkind", "i");
    set_text(making, "relreplident", "n");
    set_int(making, "relnatts", from->schema->key_count);
    return end_row(making);
}

static enum fm_status put_class(struct making *making, const struct pg_relation *from)
{
    set_int(making, "oid", from->oid);
    set_text(making, "relname", from->schema->table);
    set_int(making, "relnamespace", from->namespace);
    set_int(making, "relowner", from->owner);
    set_int(making, "relhasindex", from->index != 0);
    set_int(making, "relnatts", from->schema->field_count);
    if (from->is_view) {
        set_text(making, "relkind", "v");
        set_int(making, "relam", 0);
    }
    enum fm_status status = end_row(making);
    return status == FM_OK && from->index != 0 ? put_index_class(making, from) : status;
}

static enum fm_status each_relation(struct making *making,
                                    enum fm_status (*put)(struct making *making,
                                                          const struct pg_relation *from))
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < making->model.relation_count && status == FM_OK; i++)
        status = put(making, &making->model.relations[i]);
    return status;
}

static enum fm_status put_classes(struct making *making)
{
    return each_relation(making, put_class);
}

static enum fm_status put_attributes_of(struct making *making, const struct pg_relation *from)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < from->schema->field_count && status == FM_OK; i++) {
        const struct fm_field *field = &from->schema->fields[i];
        struct fm_pg_type type = fm_pg_type_of(&field->type);
        set_int(making, "attrelid", from->oid);
        set_text(making, "attname", field->name);
        set_int(making, "atttypid", type.oid);
        set_int(making, "attlen", type.length);
        set_int(making, "attnum", i + 1);
        set_int(making, "attndims", type.element != 0);
        set_int(making, "atttypmod", type.modifier);
        set_int(making, "attnotnull", field->required);
        set_text(making, "attstorage", type.length > 0 ? "p" : type.oid == 1700 ? "m" : "x");
        status = end_row(making);
    }
    for (uint32_t i = 0; from->index != 0 && i < from->schema->key_count && status == FM_OK; i++) {
        const struct fm_field *field = &from->schema->fields[from->schema->key[i]];
        struct fm_pg_type type = fm_pg_type_of(&field->type);
        set_int(making, "attrelid", from->index);
        set_text(making, "attname", field->name);
        set_int(making, "atttypid", type.oid);
        set_int(making, "attlen", type.length);
        set_int(making, "attnum", i + 1);
        set_int(making, "atttypmod", type.modifier);
        status = end_row(making);
    }
    return status;
}

static enum fm_status put_attributes(struct making *making)
{
    return each_relation(making, put_attributes_of);
}

/* "1 3" (`open` "", between " ") or "{1,3}": the key's columns. */
static void put_key(struct making *making, const struct fm_schema *schema)
{
    for (uint32_t i = 0; i < schema->key_count; i++)
        fm_buf_printf(&making->text, "%s%d", i == 0 ? "" : " ", schema->key[i] + 1);
}

static enum fm_status put_index(struct making *making, const struct pg_relation *from)
{
    if (from->index == 0)
        return FM_OK;
    put_key(making, from->schema);
    set_int(making, "indexrelid", from->index);
    set_int(making, "indrelid", from->oid);
    set_int(making, "indnatts", from->schema->key_count);
    set_int(making, "indnkeyatts", from->schema->key_count);
    set_text(making, "indkey", made_text(making));
    return end_row(making);
}

static enum fm_status put_indexes(struct making *making)
{
    return each_relation(making, put_index);
}

static enum fm_status put_constraint(struct making *making, const struct pg_relation *from)
{
    char name[FM_NAME_MAX + 8];

    if (from->index == 0)
        return FM_OK;
    put_key(making, from->schema);
    (void)snprintf(name, sizeof name, "%s_pkey", from->schema->table);
    set_int(making, "oid", from->constraint);
    set_text(making, "conname", name);
    set_int(making, "connamespace", from->namespace);
    set_int(making, "conrelid", from->oid);
    set_int(making, "conindid", from->index);
    set_text(making, "conkey", made_text(making));
    return end_row(making);
}

static enum fm_status put_constraints(struct making *making)
{
    return each_relation(making, put_constraint);
}

static enum fm_status put_description(struct making *making, const struct pg_relation *from)
{
    const struct fm_schema *schema = from->schema;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i <= schema->field_count && status == FM_OK; i++) {
        const char *text = i == 0 ? schema->description : schema->fields[i - 1].description;
        if (text == NULL || text[0] == '\0')
            continue;
        set_int(making, "objoid", from->oid);
        set_int(making, "classoid", PG_OID_RELATIONS);
        set_int(making, "objsubid", i);
        set_text(making, "description", text);
        status = end_row(making);
    }
    return status;
}

static enum fm_status put_descriptions(struct making *making)
{
    return each_relation(making, put_description);
}

static enum fm_status put_table(struct making *making, const struct pg_relation *from)
{
    if (from->is_view)
        return FM_OK;
    set_text(making, "schemaname", from->schema->domain);
    set_text(making, "tablename", from->schema->table);
    set_text(making, "tableowner", pg_role_name(&making->model, from->owner));
    set_int(making, "hasindexes", from->index != 0);
    return end_row(making);
}

static enum fm_status put_tables(struct making *making)
{
    return each_relation(making, put_table);
}

static enum fm_status put_information_table(struct making *making, const struct pg_relation *from)
{
    set_text(making, "table_schema", from->schema->domain);
    set_text(making, "table_name", from->schema->table);
    set_text(making, "table_type", from->is_view ? "VIEW" : "BASE TABLE");
    return end_row(making);
}

static enum fm_status put_information_tables(struct making *making)
{
    return each_relation(making, put_information_table);
}

static enum fm_status put_information_columns_of(struct making *making,
                                                 const struct pg_relation *from)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < from->schema->field_count && status == FM_OK; i++) {
        const struct fm_field *field = &from->schema->fields[i];
        struct fm_pg_type type = fm_pg_type_of(&field->type);
        const struct type_row *row = type_row(type.oid);
        fm_buf_printf(&making->text, "%s%s", type.element != 0 ? "_" : "", row->name);
        set_text(making, "table_schema", from->schema->domain);
        set_text(making, "table_name", from->schema->table);
        set_text(making, "column_name", field->name);
        set_int(making, "ordinal_position", i + 1);
        set_text(making, "is_nullable", field->required ? "NO" : "YES");
        set_text(making, "data_type", type.element != 0 ? "ARRAY" : row->words);
        set_text(making, "udt_name", made_text(making));
        if (type.modifier >= 4) {
            set_int(making, "numeric_precision", (type.modifier - 4) >> 16);
            set_int(making, "numeric_scale", (type.modifier - 4) & 0xFFFF);
        }
        status = end_row(making);
    }
    return status;
}

static enum fm_status put_information_columns(struct making *making)
{
    return each_relation(making, put_information_columns_of);
}

/* ---- Texts ----------------------------------------------------------------------------------- */

static enum fm_status put_text(struct making *making, const char *kind, uint32_t oid, uint32_t sub,
                               const char *text)
{
    set_text(making, "fm_kind", kind);
    set_int(making, "fm_oid", oid);
    set_int(making, "fm_sub", sub);
    set_text(making, "fm_text", text);
    return end_row(making);
}

static enum fm_status put_type_texts(struct making *making)
{
    enum fm_status status = FM_OK;

    for (size_t i = 0; i < 2 * TYPES && status == FM_OK; i++) {
        const struct type_row *type = &types[i / 2];
        bool is_array = i % 2 != 0;
        fm_buf_printf(&making->text, "%s%s", type->words, is_array ? "[]" : "");
        status = put_text(making, "type", is_array ? type->array : type->oid, 0, made_text(making));
    }
    return status;
}

static void put_key_names(struct making *making, const struct fm_schema *schema)
{
    for (uint32_t i = 0; i < schema->key_count; i++)
        fm_buf_printf(&making->text, "%s%s", i == 0 ? "(" : ", ",
                      schema->fields[schema->key[i]].name);
    fm_buf_put_str(&making->text, ")");
}

static enum fm_status put_relation_texts(struct making *making, const struct pg_relation *from)
{
    const struct fm_schema *schema = from->schema;

    pg_put_relation_name(&making->text, from);
    enum fm_status status = put_text(making, "relation", from->oid, 0, made_text(making));
    for (uint32_t i = 0; i <= schema->field_count && status == FM_OK; i++) {
        const char *text = i == 0 ? schema->description : schema->fields[i - 1].description;
        if (text != NULL && text[0] != '\0')
            status = put_text(making, "pg_class", from->oid, i, text);
    }
    if (status != FM_OK || from->index == 0)
        return status;
    fm_buf_printf(&making->text, "CREATE UNIQUE INDEX %s_pkey ON %s.%s USING btree ", schema->table,
                  schema->domain, schema->table);
    put_key_names(making, schema);
    status = put_text(making, "index", from->index, 0, made_text(making));
    if (status != FM_OK)
        return status;
    fm_buf_printf(&making->text, "%s.%s_pkey", schema->domain, schema->table);
    status = put_text(making, "relation", from->index, 0, made_text(making));
    if (status != FM_OK)
        return status;
    fm_buf_put_str(&making->text, "PRIMARY KEY ");
    put_key_names(making, schema);
    return put_text(making, "constraint", from->constraint, 0, made_text(making));
}

static enum fm_status put_texts(struct making *making)
{
    enum fm_status status = put_type_texts(making);

    for (uint32_t i = 0; i < making->model.role_count && status == FM_OK; i++)
        status =
            put_text(making, "role", making->model.roles[i].oid, 0, making->model.roles[i].name);
    for (uint32_t i = 0; i < making->model.namespace_count && status == FM_OK; i++)
        status = put_text(making, "namespace", making->model.namespaces[i].oid, 0,
                          making->model.namespaces[i].name);
    return status == FM_OK ? each_relation(making, put_relation_texts) : status;
}

/* ---- All of them ----------------------------------------------------------------------------- */

static const struct table tables[] = {
#define X(domain, name, put, spec) {domain, name, put, spec},
    PG_CATALOG_MAP(X)
#undef X
};
#define TABLES (sizeof tables / sizeof tables[0])

static struct parsed all[TABLES];
static bool is_parsed;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static enum fm_status put_rows(struct view_writer *writer)
{
    struct pg_own_table own[TABLES];
    struct making making = {.writer = writer};

    for (size_t i = 0; i < TABLES; i++) {
        own[i] = (struct pg_own_table){tables[i].domain, tables[i].name};
        if (&all[i].view == writer->view)
            making.table = &all[i];
    }
    fm_assert(making.table != NULL);
    enum fm_status status = pg_model_read(writer, own, TABLES, &making.model);
    if (status == FM_OK)
        status = tables[making.table - all].put(&making);
    fm_buf_free(&making.text);
    pg_model_deinit(&making.model);
    return status;
}

static enum fm_kind kind_of(char letter)
{
    return letter == 'i'   ? FM_KIND_INT64
           : letter == 'b' ? FM_KIND_BOOLEAN
           : letter == 'd' ? FM_KIND_DOUBLE
                           : FM_KIND_VARCHAR;
}

static bool parse(const struct table *table, struct parsed *out)
{
    char *rest = NULL;

    out->text = strdup(table->spec);
    if (out->text == NULL)
        return false;
    out->view = (struct view){.table = table->name, .columns = out->columns, .put = put_rows};
    for (char *word = strtok_r(out->text, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        char *kind = strchr(word, ':');
        fm_assert(kind != NULL && out->view.count < COLUMNS_MAX);
        out->columns[out->view.count] = (struct fm_rows_column){word, kind_of(kind[1])};
        out->fallbacks[out->view.count++] = kind[2] == '=' ? kind + 3 : NULL;
        *kind = '\0';
    }
    return true;
}

static void parse_all(void)
{
    is_parsed = true;
    for (size_t i = 0; i < TABLES; i++)
        is_parsed = is_parsed && parse(&tables[i], &all[i]);
}

const struct view *pg_catalog_find(const char *domain, const char *table)
{
    (void)pthread_once(&once, parse_all); /* Only fails on misuse. */
    for (size_t i = 0; is_parsed && i < TABLES; i++)
        if (strcmp(tables[i].domain, domain) == 0 && strcmp(tables[i].name, table) == 0)
            return &all[i].view;
    return NULL;
}
