#include "query/worker/ducktypes.h"
#include "query/worker/files.h"
#include "query/worker/ingest_plan.h"

/* The statement has three layers:
 *   raw   r0, r1, ...  the file's values as they are, and rn, the number of the row
 *   cast  c0, c1, ...  the same as the contract's types; NULL where that fails
 *   all   fault        which field, if any, lost its value or must have one
 * A NULL behind a cast whose input was none is a fault, so nothing is dropped silently; casts that
 * would round are faults too. */

static bool is_integer(enum fm_kind kind)
{
    return kind >= FM_KIND_INT8 && kind <= FM_KIND_HUGEINT;
}

static bool is_text_file(const struct ingest *ingest)
{
    return ingest->format != FM_FORMAT_PARQUET;
}

static duckdb_type source_type(const struct ingest *ingest, uint32_t field)
{
    return ingest->columns[ingest->from[field]].type;
}

static bool is_number(duckdb_type type)
{
    return (type >= DUCKDB_TYPE_TINYINT && type <= DUCKDB_TYPE_DOUBLE) ||
           type == DUCKDB_TYPE_HUGEINT || type == DUCKDB_TYPE_UHUGEINT ||
           type == DUCKDB_TYPE_DECIMAL;
}

static bool is_timestamp(duckdb_type type)
{
    return type == DUCKDB_TYPE_TIMESTAMP || type == DUCKDB_TYPE_TIMESTAMP_S ||
           type == DUCKDB_TYPE_TIMESTAMP_MS || type == DUCKDB_TYPE_TIMESTAMP_NS ||
           type == DUCKDB_TYPE_TIMESTAMP_TZ;
}

/* Whether a cast from `from` may change a value without failing: then the result is compared. */
static bool may_round(duckdb_type from, enum fm_kind to)
{
    if (is_number(from))
        return is_integer(to) || to == FM_KIND_BOOLEAN ||
               (to == FM_KIND_DECIMAL && from == DUCKDB_TYPE_DECIMAL);
    if (is_timestamp(from))
        return to == FM_KIND_DATE || (to == FM_KIND_TIMESTAMP && from == DUCKDB_TYPE_TIMESTAMP_NS);
    return false;
}

/* ---- raw ------------------------------------------------------------------------------------- */

/* JSON text of the shape that json_transform() makes: every value as text, what is nested as
 * JSON. */
static void put_json_shape(struct fm_buf *out, const struct ingest *ingest)
{
    FM_AUTO(fm_buf_free) struct fm_buf shape = FM_BUF_INIT(0);

    fm_buf_put_u8(&shape, '{');
    for (uint32_t i = 0; i < ingest->schema->field_count; i++) {
        const struct fm_field *field = &ingest->schema->fields[i];
        bool as_json = fm_type_is_nested(&field->type) || field->type.kind == FM_KIND_JSON;
        fm_buf_put_str(&shape, i > 0 ? "," : "");
        fm_buf_put_u8(&shape, '"');
        for (const char *at = field->name; *at != '\0'; at++) {
            if (*at == '"' || *at == '\\')
                fm_buf_put_u8(&shape, '\\');
            if ((uint8_t)*at < 0x20)
                fm_buf_printf(&shape, "\\u%04x", (unsigned)(uint8_t)*at);
            else
                fm_buf_put_u8(&shape, (uint8_t)*at);
        }
        fm_buf_printf(&shape, "\":\"%s\"", as_json ? "JSON" : "VARCHAR");
    }
    fm_buf_put_u8(&shape, '}');
    if (fm_buf_status(&shape) != FM_OK)
        out->status = fm_buf_status(&shape);
    ducktype_quote(out, fm_buf_span(&shape), '\'');
}

static void put_known_keys(struct fm_buf *out, const struct ingest *ingest)
{
    fm_buf_put_u8(out, '[');
    for (uint32_t i = 0; i < ingest->schema->field_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        ducktype_quote(out, fm_span_str(ingest->schema->fields[i].name), '\'');
    }
    fm_buf_put_u8(out, ']');
}

/* A field's value as the file has it. */
static void put_raw(struct fm_buf *out, const struct ingest *ingest, uint32_t i)
{
    if (ingest->from[i] < 0) {
        fm_buf_put_str(out, "NULL::VARCHAR");
        return;
    }
    const char *name = ingest->columns[ingest->from[i]].name;
    if (ingest->format == FM_FORMAT_NDJSON)
        fm_buf_put_str(out, "t.");
    ducktype_quote(out, fm_span_str(name), '"');
}

static void put_raw_layer(struct fm_buf *out, const struct ingest *ingest)
{
    fm_buf_put_str(out, "SELECT ");
    for (uint32_t i = 0; i < ingest->schema->field_count; i++) {
        put_raw(out, ingest, i);
        fm_buf_printf(out, " AS r%u, ", i);
    }
    if (ingest->format == FM_FORMAT_PARQUET)
        fm_buf_put_str(out, "file_row_number + 1 AS rn FROM ");
    else if (ingest->sorted)
        fm_buf_put_str(out, "row_number() OVER () AS rn");
    else
        fm_buf_put_str(out, "0 AS rn"); /* The rows are counted as they come. */
    if (ingest->format == FM_FORMAT_CSV)
        fm_buf_put_str(out, " FROM ");
    if (ingest->format == FM_FORMAT_NDJSON) {
        fm_buf_put_str(out, ", known, is_object FROM (SELECT json_transform(json, ");
        put_json_shape(out, ingest);
        fm_buf_put_str(out, ") AS t, list_has_all(");
        put_known_keys(out, ingest);
        fm_buf_put_str(out, ", json_keys(json)) AS known, json_type(json) = 'OBJECT' AS is_object "
                            "FROM ");
    }
    ingest_put_source(out, ingest);
    if (ingest->format == FM_FORMAT_NDJSON)
        fm_buf_put_u8(out, ')');
}

/* ---- cast ------------------------------------------------------------------------------------ */

/* True when the file's value is the field's value, without a cast. */
static bool is_same(const struct ingest *ingest, uint32_t i)
{
    enum fm_kind kind = ingest->schema->fields[i].type.kind;

    if (ingest->from[i] < 0)
        return false;
    if (ingest->format == FM_FORMAT_NDJSON && kind == FM_KIND_JSON)
        return true; /* Came as JSON. */
    return kind == FM_KIND_VARCHAR && source_type(ingest, i) == DUCKDB_TYPE_VARCHAR;
}

static void put_cast(struct fm_buf *out, const struct ingest *ingest, uint32_t i)
{
    const struct fm_type *type = &ingest->schema->fields[i].type;

    if (is_same(ingest, i)) {
        fm_buf_printf(out, "r%u", i);
        return;
    }
    if (fm_type_is_nested(type) && ingest->format == FM_FORMAT_NDJSON) {
        /* TRY_CAST of JSON makes NULLs of the items that do not fit; CAST refuses the whole. */
        fm_buf_printf(out, "TRY(CAST(r%u AS ", i);
        ducktype_sql(out, type);
        fm_buf_put_str(out, "))");
        return;
    }
    fm_buf_put_str(out, "TRY_CAST(");
    /* Programs that quote every field write "" for what is missing. */
    if (ingest->format == FM_FORMAT_CSV)
        fm_buf_printf(out, "nullif(r%u, '')", i);
    else
        fm_buf_printf(out, "r%u", i);
    fm_buf_put_str(out, " AS ");
    ducktype_sql(out, type);
    fm_buf_put_u8(out, ')');
}

static void put_cast_layer(struct fm_buf *out, const struct ingest *ingest)
{
    fm_buf_put_str(out, "SELECT *");
    for (uint32_t i = 0; i < ingest->schema->field_count; i++) {
        fm_buf_put_str(out, ", ");
        put_cast(out, ingest, i);
        fm_buf_printf(out, " AS c%u", i);
    }
    fm_buf_put_str(out, " FROM (");
    put_raw_layer(out, ingest);
    fm_buf_put_u8(out, ')');
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* Text with a point or an exponent becomes an integer by rounding. */
static void put_rounding(struct fm_buf *out, const struct ingest *ingest, uint32_t i)
{
    enum fm_kind kind = ingest->schema->fields[i].type.kind;

    if (ingest->from[i] < 0)
        return;
    if (is_text_file(ingest) && is_integer(kind))
        fm_buf_printf(out,
                      " OR ((contains(r%u, '.') OR contains(r%u, 'e') OR contains(r%u, 'E')) AND "
                      "TRY_CAST(r%u AS DOUBLE) IS DISTINCT FROM c%u::DOUBLE)",
                      i, i, i, i, i);
    else if (!is_text_file(ingest) && may_round(source_type(ingest, i), kind))
        fm_buf_printf(out, " OR c%u <> r%u", i, i);
}

/* Where a row takes one back, what is required but does not name it may be missing. */
static bool may_be_left_out(const struct ingest *ingest, uint32_t i)
{
    return (ingest->extras & FM_EXTRA_OP) != 0 && !fm_schema_names_row(ingest->schema, i);
}

/* The operation is the first of the extra columns. */
static uint32_t operation_field(const struct ingest *ingest)
{
    return ingest->schema->field_count - fm_extras_count(ingest->extras);
}

static void put_fault(struct fm_buf *out, const struct ingest *ingest, uint32_t i)
{
    const struct fm_field *field = &ingest->schema->fields[i];

    if (!field->required && (is_same(ingest, i) || ingest->from[i] < 0))
        return;
    fm_buf_printf(out, " WHEN (c%u IS NULL", i);
    if (!field->required && ingest->format == FM_FORMAT_CSV)
        fm_buf_printf(out, " AND r%u <> ''", i); /* NULL is not <> '': no fault. */
    else if (!field->required)
        fm_buf_printf(out, " AND r%u IS NOT NULL", i);
    else if (may_be_left_out(ingest, i))
        fm_buf_printf(out, " AND (r%u %s OR c%u IS DISTINCT FROM 'retract')", i,
                      ingest->format == FM_FORMAT_CSV ? "<> ''" : "IS NOT NULL",
                      operation_field(ingest));
    fm_buf_put_u8(out, ')');
    put_rounding(out, ingest, i);
    fm_buf_printf(out, " THEN %u", i + 1);
}

static void put_order(struct fm_buf *out, const struct ingest *ingest)
{
    /* Faulty rows first: no row is delivered before all were seen. */
    fm_buf_put_str(out, " ORDER BY fault = 0");
    for (uint32_t i = 0; i < ingest->schema->cluster_count; i++)
        fm_buf_printf(out, ", c%u", (unsigned)ingest->schema->cluster[i]);
    fm_buf_put_str(out, ", rn");
}

void ingest_put_sql(struct fm_buf *out, const struct ingest *ingest)
{
    uint32_t count = ingest->schema->field_count;

    fm_buf_put_str(out, "SELECT ");
    for (uint32_t i = 0; i < count; i++)
        fm_buf_printf(out, "c%u, ", i);
    fm_buf_put_str(out, "(CASE");
    if (ingest->format == FM_FORMAT_NDJSON)
        fm_buf_printf(out, " WHEN NOT is_object THEN %u WHEN NOT known THEN %u",
                      INGEST_FAULT_OBJECT, INGEST_FAULT_KEYS);
    else
        fm_buf_put_str(out, " WHEN false THEN 0"); /* CASE needs one branch. */
    for (uint32_t i = 0; i < count; i++)
        put_fault(out, ingest, i);
    fm_buf_put_str(out, " ELSE 0 END)::USMALLINT AS fault, rn::BIGINT AS rn FROM (");
    put_cast_layer(out, ingest);
    fm_buf_put_u8(out, ')');
    if (ingest->sorted)
        put_order(out, ingest);
    fm_buf_put_u8(out, 0);
}

void ingest_put_value_sql(struct fm_buf *out, const struct ingest *ingest, uint32_t fault,
                          uint64_t row)
{
    fm_buf_put_str(out, "SELECT ");
    if (fault == INGEST_FAULT_KEYS) {
        fm_buf_put_str(out, "array_to_string(list_filter(json_keys(json), lambda k: NOT "
                            "list_contains(");
        put_known_keys(out, ingest);
        fm_buf_put_str(out, ", k)), ', ') FROM ");
        ingest_put_source(out, ingest);
    } else if (fault == INGEST_FAULT_OBJECT) {
        fm_buf_put_str(out, "json::VARCHAR FROM ");
        ingest_put_source(out, ingest);
    } else {
        fm_buf_printf(out, "r%u::VARCHAR FROM (", fault - 1);
        put_raw_layer(out, ingest);
        fm_buf_put_u8(out, ')');
    }
    fm_buf_printf(out, " WHERE $1 IS NOT NULL LIMIT 1 OFFSET %llu", (unsigned long long)(row - 1));
    fm_buf_put_u8(out, 0);
}
