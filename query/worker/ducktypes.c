#include "query/worker/ducktypes.h"

#include "core/limits.h"

/* X(kind, DuckDB's id, DuckDB's name): types without parameters. */
#define PLAIN_MAP(X)                                                                               \
    X(BOOLEAN, BOOLEAN, "BOOLEAN")                                                                 \
    X(INT8, TINYINT, "TINYINT")                                                                    \
    X(INT16, SMALLINT, "SMALLINT")                                                                 \
    X(INT32, INTEGER, "INTEGER")                                                                   \
    X(INT64, BIGINT, "BIGINT")                                                                     \
    X(UINT8, UTINYINT, "UTINYINT")                                                                 \
    X(UINT16, USMALLINT, "USMALLINT")                                                              \
    X(UINT32, UINTEGER, "UINTEGER")                                                                \
    X(UINT64, UBIGINT, "UBIGINT")                                                                  \
    X(HUGEINT, HUGEINT, "HUGEINT")                                                                 \
    X(FLOAT, FLOAT, "FLOAT")                                                                       \
    X(DOUBLE, DOUBLE, "DOUBLE")                                                                    \
    X(VARCHAR, VARCHAR, "VARCHAR")                                                                 \
    X(BLOB, BLOB, "BLOB")                                                                          \
    X(DATE, DATE, "DATE")                                                                          \
    X(TIME, TIME, "TIME")                                                                          \
    X(TIMESTAMP, TIMESTAMP, "TIMESTAMP")                                                           \
    X(TIMESTAMPTZ, TIMESTAMP_TZ, "TIMESTAMPTZ")                                                    \
    X(INTERVAL, INTERVAL, "INTERVAL")                                                              \
    X(UUID, UUID, "UUID")

static duckdb_type plain_id(enum fm_kind kind)
{
    switch ((int)kind) {
#define X(name, id, text)                                                                          \
    case FM_KIND_##name:                                                                           \
        return DUCKDB_TYPE_##id;
        PLAIN_MAP(X)
#undef X
    default:
        return DUCKDB_TYPE_INVALID;
    }
}

static enum fm_kind plain_kind(duckdb_type id)
{
    switch ((int)id) {
#define X(name, duck, text)                                                                        \
    case DUCKDB_TYPE_##duck:                                                                       \
        return FM_KIND_##name;
        PLAIN_MAP(X)
#undef X
    case DUCKDB_TYPE_SQLNULL:
        return FM_KIND_INT32;
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
        return FM_KIND_TIMESTAMP;
    default:
        return (enum fm_kind)0;
    }
}

const char *ducktype_name(duckdb_type id)
{
    switch ((int)id) {
#define X(name, duck, text)                                                                        \
    case DUCKDB_TYPE_##duck:                                                                       \
        return text;
        PLAIN_MAP(X)
#undef X
    case DUCKDB_TYPE_UHUGEINT:
        return "UHUGEINT";
    case DUCKDB_TYPE_BIT:
        return "BIT";
    case DUCKDB_TYPE_TIME_TZ:
        return "TIMETZ";
    case DUCKDB_TYPE_TIME_NS:
        return "TIME_NS";
    case DUCKDB_TYPE_UNION:
        return "UNION";
    case DUCKDB_TYPE_ARRAY:
        return "ARRAY";
    case DUCKDB_TYPE_BIGNUM:
        return "BIGNUM";
    case DUCKDB_TYPE_DECIMAL:
        return "DECIMAL";
    case DUCKDB_TYPE_ENUM:
        return "ENUM";
    default:
        return "of a kind that is new here";
    }
}

static void destroy_types(duckdb_logical_type *types, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        duckdb_destroy_logical_type(&types[i]);
    free(types);
}

static enum fm_status from_nested(const struct fm_type *type, duckdb_logical_type *out)
{
    duckdb_logical_type *children = calloc(type->child_count, sizeof *children);
    enum fm_status status = children == NULL ? FM_NOMEM : FM_OK;

    for (uint32_t i = 0; i < type->child_count && status == FM_OK; i++)
        status = ducktype_from(&type->children[i], NULL, &children[i]);
    if (status == FM_OK && type->kind == FM_KIND_LIST)
        *out = duckdb_create_list_type(children[0]);
    else if (status == FM_OK && type->kind == FM_KIND_MAP)
        *out = duckdb_create_map_type(children[0], children[1]);
    else if (status == FM_OK)
        *out = duckdb_create_struct_type(children, (const char **)(void *)type->labels,
                                         type->child_count);
    if (children != NULL)
        destroy_types(children, type->child_count);
    return status;
}

/* The dictionary's values with NULs behind them, or FM_NOTFOUND when one holds a NUL. */
static enum fm_status from_dictionary(const struct fm_dictionary *dictionary,
                                      duckdb_logical_type *out)
{
    size_t bytes = dictionary->offsets[dictionary->count];
    FM_AUTO(fm_mem_freep) char *text = malloc(bytes + dictionary->count);
    FM_AUTO(fm_mem_freep) const char **names = calloc(dictionary->count, sizeof *names);
    char *at = text;

    if (text == NULL || names == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < dictionary->count; i++) {
        struct fm_span value = fm_dictionary_at(dictionary, i);
        if (value.len > 0 && memchr(value.data, 0, value.len) != NULL)
            return FM_NOTFOUND;
        names[i] = at;
        if (value.len > 0)
            memcpy(at, value.data, value.len);
        at[value.len] = '\0';
        at += value.len + 1;
    }
    *out = duckdb_create_enum_type(names, dictionary->count);
    return FM_OK;
}

static enum fm_status from_text(const struct fm_type *type, const struct fm_dictionary *dictionary,
                                duckdb_logical_type *out)
{
    if (type->kind == FM_KIND_VARCHAR && dictionary != NULL && dictionary->count > 0) {
        enum fm_status status = from_dictionary(dictionary, out);
        if (status != FM_NOTFOUND)
            return status;
    }
    *out = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    if (*out != NULL && type->kind == FM_KIND_JSON)
        duckdb_logical_type_set_alias(*out, "JSON");
    return FM_OK;
}

enum fm_status ducktype_from(const struct fm_type *type, const struct fm_dictionary *dictionary,
                             duckdb_logical_type *out)
{
    enum fm_status status = FM_OK;

    *out = NULL;
    if (type->kind == FM_KIND_VARCHAR || type->kind == FM_KIND_JSON)
        status = from_text(type, dictionary, out);
    else if (type->kind == FM_KIND_ENUM)
        *out = duckdb_create_enum_type((const char **)(void *)type->labels, type->label_count);
    else if (type->kind == FM_KIND_DECIMAL)
        *out = duckdb_create_decimal_type(type->precision, type->scale);
    else if (fm_type_is_nested(type))
        status = from_nested(type, out);
    else if (plain_id(type->kind) != DUCKDB_TYPE_INVALID)
        *out = duckdb_create_logical_type(plain_id(type->kind));
    return status == FM_OK && *out == NULL ? FM_INTERNAL : status;
}

static enum fm_status to_depth(duckdb_logical_type type, struct fm_type *out, unsigned depth,
                               struct fm_error *err);

/* Fill child `i` from a logical type that is destroyed here. */
static enum fm_status to_child(duckdb_logical_type child, struct fm_type *out, uint32_t i,
                               unsigned depth, struct fm_error *err)
{
    enum fm_status status =
        child == NULL ? FM_NOMEM : to_depth(child, &out->children[i], depth + 1, err);
    duckdb_destroy_logical_type(&child);
    return status;
}

/* Label `i` from a text that DuckDB allocated. */
static enum fm_status to_label(char *text, struct fm_type *out, uint32_t i)
{
    out->labels[i] = text == NULL ? NULL : strdup(text);
    duckdb_free(text);
    return out->labels[i] == NULL ? FM_NOMEM : FM_OK;
}

static enum fm_status reserve(struct fm_type *out, uint32_t children, uint32_t labels)
{
    out->children = children > 0 ? calloc(children, sizeof *out->children) : NULL;
    out->labels = labels > 0 ? calloc(labels, sizeof *out->labels) : NULL;
    if ((children > 0 && out->children == NULL) || (labels > 0 && out->labels == NULL))
        return FM_NOMEM;
    out->child_count = children;
    out->label_count = labels;
    return FM_OK;
}

static enum fm_status to_struct(duckdb_logical_type type, struct fm_type *out, unsigned depth,
                                struct fm_error *err)
{
    idx_t count = duckdb_struct_type_child_count(type);

    if (count == 0 || count > FM_COLUMNS_MAX)
        return fm_fail(err, FM_UNSUPPORTED, "a struct of %llu fields", (unsigned long long)count);
    enum fm_status status = reserve(out, (uint32_t)count, (uint32_t)count);
    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        status = to_label(duckdb_struct_type_child_name(type, i), out, i);
        if (status == FM_OK && out->labels[i][0] == '\0')
            return fm_fail(err, FM_UNSUPPORTED,
                           "a struct without names, as row() makes it; "
                           "write {'a': ...}");
        if (status == FM_OK)
            status = to_child(duckdb_struct_type_child_type(type, i), out, i, depth, err);
    }
    return status;
}

static enum fm_status to_enum(duckdb_logical_type type, struct fm_type *out)
{
    uint32_t count = duckdb_enum_dictionary_size(type);
    enum fm_status status = count > FM_ENUM_VALUES_MAX ? FM_LIMIT : reserve(out, 0, count);

    for (uint32_t i = 0; i < count && status == FM_OK; i++)
        status = to_label(duckdb_enum_dictionary_value(type, i), out, i);
    return status;
}

static enum fm_status to_nested(duckdb_logical_type type, duckdb_type id, struct fm_type *out,
                                unsigned depth, struct fm_error *err)
{
    if (id == DUCKDB_TYPE_STRUCT) {
        out->kind = FM_KIND_STRUCT;
        return to_struct(type, out, depth, err);
    }
    bool is_map = id == DUCKDB_TYPE_MAP;
    out->kind = is_map ? FM_KIND_MAP : FM_KIND_LIST;
    enum fm_status status = reserve(out, is_map ? 2 : 1, 0);
    if (status == FM_OK && !is_map)
        return to_child(duckdb_list_type_child_type(type), out, 0, depth, err);
    if (status == FM_OK)
        status = to_child(duckdb_map_type_key_type(type), out, 0, depth, err);
    if (status == FM_OK)
        status = to_child(duckdb_map_type_value_type(type), out, 1, depth, err);
    return status;
}

static enum fm_status to_depth(duckdb_logical_type type, struct fm_type *out, unsigned depth,
                               struct fm_error *err)
{
    duckdb_type id = duckdb_get_type_id(type);

    if (depth >= FM_TYPE_DEPTH_MAX)
        return fm_fail(err, FM_UNSUPPORTED, "types nested deeper than %u", FM_TYPE_DEPTH_MAX);
    if (id == DUCKDB_TYPE_LIST || id == DUCKDB_TYPE_STRUCT || id == DUCKDB_TYPE_MAP)
        return to_nested(type, id, out, depth, err);
    if (id == DUCKDB_TYPE_ENUM) {
        out->kind = FM_KIND_ENUM;
        return to_enum(type, out);
    }
    if (id == DUCKDB_TYPE_DECIMAL) {
        out->kind = FM_KIND_DECIMAL;
        out->precision = duckdb_decimal_width(type);
        out->scale = duckdb_decimal_scale(type);
        return FM_OK;
    }
    out->kind = plain_kind(id);
    if (out->kind == 0)
        return fm_fail(err, FM_UNSUPPORTED,
                       "type %s, which results do not carry; cast it, for example to VARCHAR",
                       ducktype_name(id));
    char *alias = id == DUCKDB_TYPE_VARCHAR ? duckdb_logical_type_get_alias(type) : NULL;
    if (alias != NULL && strcmp(alias, "JSON") == 0)
        out->kind = FM_KIND_JSON;
    duckdb_free(alias);
    return FM_OK;
}

enum fm_status ducktype_to(duckdb_logical_type type, struct fm_type *out, struct fm_error *err)
{
    FM_AUTO(fm_type_deinit) struct fm_type made = {0};

    enum fm_status status = to_depth(type, &made, 0, err);
    if (status != FM_OK)
        return status;
    *out = made;
    made = (struct fm_type){0};
    return FM_OK;
}

/* `type` is destroyed. */
static bool child_is_kept(duckdb_logical_type type)
{
    bool kept = ducktype_is_kept(type);

    duckdb_destroy_logical_type(&type);
    return kept;
}

bool ducktype_is_kept(duckdb_logical_type type)
{
    bool kept = true;

    switch ((int)duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_SQLNULL:
    case DUCKDB_TYPE_TIMESTAMP_S:
    case DUCKDB_TYPE_TIMESTAMP_MS:
    case DUCKDB_TYPE_TIMESTAMP_NS:
        return false;
    case DUCKDB_TYPE_LIST:
        return child_is_kept(duckdb_list_type_child_type(type));
    case DUCKDB_TYPE_MAP:
        return child_is_kept(duckdb_map_type_key_type(type)) &&
               child_is_kept(duckdb_map_type_value_type(type));
    case DUCKDB_TYPE_STRUCT:
        for (idx_t i = 0; kept && i < duckdb_struct_type_child_count(type); i++)
            kept = child_is_kept(duckdb_struct_type_child_type(type, i));
        return kept;
    default:
        return true;
    }
}

void ducktype_quote(struct fm_buf *out, struct fm_span text, char quote)
{
    fm_buf_put_u8(out, (uint8_t)quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] == (uint8_t)quote)
            fm_buf_put_u8(out, (uint8_t)quote);
        fm_buf_put_u8(out, text.data[i]);
    }
    fm_buf_put_u8(out, (uint8_t)quote);
}

static void struct_sql(struct fm_buf *out, const struct fm_type *type)
{
    fm_buf_put_str(out, "STRUCT(");
    for (uint32_t i = 0; i < type->child_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        ducktype_quote(out, fm_span_str(type->labels[i]), '"');
        fm_buf_put_u8(out, ' ');
        ducktype_sql(out, &type->children[i]);
    }
    fm_buf_put_u8(out, ')');
}

static void enum_sql(struct fm_buf *out, const struct fm_type *type)
{
    fm_buf_put_str(out, "ENUM(");
    for (uint32_t i = 0; i < type->label_count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        ducktype_quote(out, fm_span_str(type->labels[i]), '\'');
    }
    fm_buf_put_u8(out, ')');
}

void ducktype_sql(struct fm_buf *out, const struct fm_type *type)
{
    switch (type->kind) {
    case FM_KIND_DECIMAL:
        fm_buf_printf(out, "DECIMAL(%u, %u)", type->precision, type->scale);
        return;
    case FM_KIND_JSON:
        fm_buf_put_str(out, "JSON");
        return;
    case FM_KIND_ENUM:
        enum_sql(out, type);
        return;
    case FM_KIND_LIST:
        ducktype_sql(out, &type->children[0]);
        fm_buf_put_str(out, "[]");
        return;
    case FM_KIND_MAP:
        fm_buf_put_str(out, "MAP(");
        ducktype_sql(out, &type->children[0]);
        fm_buf_put_str(out, ", ");
        ducktype_sql(out, &type->children[1]);
        fm_buf_put_u8(out, ')');
        return;
    case FM_KIND_STRUCT:
        struct_sql(out, type);
        return;
    default:
        fm_buf_put_str(out, ducktype_name(plain_id(type->kind)));
    }
}
