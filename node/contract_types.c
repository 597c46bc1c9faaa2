#include "node/contract_parts.h"

#include "core/limits.h"

enum logical {
    LOGICAL_NONE,
    LOGICAL_STRING,
    LOGICAL_DATE,
    LOGICAL_TIMESTAMP,
    LOGICAL_TIME,
    LOGICAL_NUMBER,
    LOGICAL_INTEGER,
    LOGICAL_BOOLEAN,
    LOGICAL_OBJECT,
    LOGICAL_ARRAY,
};

#define KIND(name) (UINT32_C(1) << FM_KIND_##name)
#define INTEGERS                                                                                   \
    (KIND(INT8) | KIND(INT16) | KIND(INT32) | KIND(INT64) | KIND(UINT8) | KIND(UINT16) |           \
     KIND(UINT32) | KIND(UINT64) | KIND(HUGEINT) | KIND(DECIMAL))

/* Which of our types may stand as physicalType beside a logicalType. */
static const struct {
    const char *text;
    enum logical logical;
    uint32_t kinds;
} logicals[] = {
    {"string", LOGICAL_STRING,
     KIND(VARCHAR) | KIND(BLOB) | KIND(UUID) | KIND(ENUM) | KIND(JSON) | KIND(INTERVAL)},
    {"date", LOGICAL_DATE, KIND(DATE) | KIND(TIMESTAMP) | KIND(TIMESTAMPTZ)},
    {"timestamp", LOGICAL_TIMESTAMP, KIND(TIMESTAMP) | KIND(TIMESTAMPTZ)},
    {"time", LOGICAL_TIME, KIND(TIME)},
    {"number", LOGICAL_NUMBER, INTEGERS | KIND(FLOAT) | KIND(DOUBLE)},
    {"integer", LOGICAL_INTEGER, INTEGERS},
    {"boolean", LOGICAL_BOOLEAN, KIND(BOOLEAN)},
    {"object", LOGICAL_OBJECT, KIND(STRUCT) | KIND(MAP) | KIND(JSON)},
    {"array", LOGICAL_ARRAY, KIND(LIST)},
};

#define LOGICAL_COUNT (sizeof logicals / sizeof logicals[0])
#define LOGICAL_WORDS "string, date, timestamp, time, number, integer, boolean, object or array"

/* Formats of logicalTypeOptions that choose another type than the default. */
static const struct {
    enum logical logical;
    const char *format;
    enum fm_kind kind;
} formats[] = {
    {LOGICAL_STRING, "uuid", FM_KIND_UUID},     {LOGICAL_STRING, "binary", FM_KIND_BLOB},
    {LOGICAL_INTEGER, "i8", FM_KIND_INT8},      {LOGICAL_INTEGER, "i16", FM_KIND_INT16},
    {LOGICAL_INTEGER, "i32", FM_KIND_INT32},    {LOGICAL_INTEGER, "i64", FM_KIND_INT64},
    {LOGICAL_INTEGER, "i128", FM_KIND_HUGEINT}, {LOGICAL_INTEGER, "u8", FM_KIND_UINT8},
    {LOGICAL_INTEGER, "u16", FM_KIND_UINT16},   {LOGICAL_INTEGER, "u32", FM_KIND_UINT32},
    {LOGICAL_INTEGER, "u64", FM_KIND_UINT64},   {LOGICAL_NUMBER, "f32", FM_KIND_FLOAT},
    {LOGICAL_NUMBER, "f64", FM_KIND_DOUBLE},
};

static enum fm_status read_logical(const struct fm_contract_reader *reader,
                                   const struct fm_yaml_node *property, enum logical *out,
                                   uint32_t *kinds)
{
    const struct fm_yaml_node *node = fm_yaml_get(property, "logicalType");

    *out = LOGICAL_NONE;
    *kinds = UINT32_MAX;
    if (fm_yaml_is_null(node))
        return FM_OK;
    for (size_t i = 0; node->kind == FM_YAML_SCALAR && i < LOGICAL_COUNT; i++) {
        if (strcmp(node->text, logicals[i].text) == 0) {
            *out = logicals[i].logical;
            *kinds = logicals[i].kinds;
            return FM_OK;
        }
    }
    return fm_yaml_fail(reader->err, reader->yaml, node,
                        "logicalType '%.64s' is not known; expected " LOGICAL_WORDS,
                        node->kind == FM_YAML_SCALAR ? node->text : fm_yaml_kind_text(node));
}

static enum fm_status physical_type(const struct fm_contract_reader *reader,
                                    const struct fm_yaml_node *node, uint32_t kinds,
                                    const char *logical, struct fm_type *out)
{
    struct fm_error inner = {0};

    if (node->kind != FM_YAML_SCALAR)
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "'physicalType' is %s; a text is expected", fm_yaml_kind_text(node));
    enum fm_status status = fm_type_parse(fm_span(node->text, node->len), out, &inner);
    if (status == FM_NOMEM)
        return fm_fail(reader->err, status, "contract");
    if (status != FM_OK)
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "physicalType '%.64s' is none of the types of docs/contracts.md: %s",
                            node->text, inner.text);
    if ((kinds & (UINT32_C(1) << out->kind)) == 0) {
        status = fm_yaml_fail(reader->err, reader->yaml, node,
                              "physicalType %s does not fit logicalType %s",
                              fm_kind_text(out->kind), logical);
        fm_type_deinit(out);
        return status;
    }
    return FM_OK;
}

/* A scalar type by its logical name and options. */
static enum fm_status scalar_type(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *property, enum logical logical,
                                  struct fm_type *out)
{
    static const enum fm_kind defaults[] = {
        [LOGICAL_STRING] = FM_KIND_VARCHAR,      [LOGICAL_DATE] = FM_KIND_DATE,
        [LOGICAL_TIMESTAMP] = FM_KIND_TIMESTAMP, [LOGICAL_TIME] = FM_KIND_TIME,
        [LOGICAL_NUMBER] = FM_KIND_DOUBLE,       [LOGICAL_INTEGER] = FM_KIND_INT64,
        [LOGICAL_BOOLEAN] = FM_KIND_BOOLEAN,
    };
    const struct fm_yaml_node *options = fm_yaml_get(property, "logicalTypeOptions");
    const struct fm_yaml_node *format = fm_yaml_get(options, "format");
    bool has_zone = false;

    if (!fm_yaml_is_null(options) && options->kind != FM_YAML_MAPPING)
        return fm_yaml_fail(reader->err, reader->yaml, options,
                            "'logicalTypeOptions' is %s; a mapping is expected",
                            fm_yaml_kind_text(options));
    *out = (struct fm_type){.kind = defaults[logical]};
    for (size_t i = 0; format != NULL && i < sizeof formats / sizeof formats[0]; i++) {
        if (formats[i].logical == logical && format->kind == FM_YAML_SCALAR &&
            strcmp(format->text, formats[i].format) == 0) {
            out->kind = formats[i].kind;
            return FM_OK;
        }
    }
    if (!fm_yaml_is_null(format) && (logical == LOGICAL_INTEGER || logical == LOGICAL_NUMBER))
        return fm_yaml_fail(reader->err, reader->yaml, format,
                            "this format is not known; "
                            "expected %s",
                            logical == LOGICAL_NUMBER
                                ? "f32 or f64"
                                : "i8, i16, i32, i64, i128, u8, u16, u32 or u64");
    if (logical != LOGICAL_TIMESTAMP)
        return FM_OK;
    enum fm_status status = fm_contract_bool(reader, options, "timezone", false, &has_zone);
    if (status == FM_OK && has_zone)
        out->kind = FM_KIND_TIMESTAMPTZ;
    return status;
}

/* Inside a list or struct nothing but name and type has an effect: say so where more is asked. */
static enum fm_status check_inner(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *property)
{
    static const char *const keys[] = {"required", "primaryKey"};
    bool is_set = false;

    for (size_t i = 0; i < 2; i++) {
        enum fm_status status = fm_contract_bool(reader, property, keys[i], false, &is_set);
        if (status != FM_OK)
            return status;
        if (is_set)
            return fm_yaml_fail(reader->err, reader->yaml, fm_yaml_get(property, keys[i]),
                                "'%s' is checked for whole columns only, not inside of one",
                                keys[i]);
    }
    const struct fm_yaml_node *class = fm_yaml_get(property, "classification");
    if (!fm_yaml_is_null(class))
        return fm_yaml_fail(reader->err, reader->yaml, class,
                            "a part of a column cannot be classified; classify the column");
    return FM_OK;
}

static enum fm_status struct_type(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *property, unsigned depth,
                                  struct fm_type *out)
{
    const struct fm_yaml_node *list = NULL;
    char name[FM_NAME_MAX + 1];
    uint32_t i = 0;

    enum fm_status status =
        fm_contract_list(reader, property, "properties", FM_TYPE_NODES_MAX, &list);
    if (status != FM_OK)
        return status;
    if (list == NULL || list->count == 0)
        return fm_yaml_fail(reader->err, reader->yaml, property,
                            "an object needs 'properties', or a physicalType such as json");
    *out = (struct fm_type){.kind = FM_KIND_STRUCT};
    status = fm_type_reserve(out, list->count, list->count);
    for (const struct fm_yaml_node *item = list->first; status == FM_OK && item != NULL;
         item = item->next, i++) {
        status = fm_contract_text(reader, item, "name", true, name, sizeof name);
        if (status == FM_OK)
            status = check_inner(reader, item);
        if (status == FM_OK)
            status = fm_contract_type(reader, item, depth + 1, &out->children[i]);
        if (status == FM_OK && (out->labels[i] = fm_strdup_span(fm_span_str(name))) == NULL)
            status = fm_fail(reader->err, FM_NOMEM, "contract");
    }
    if (status != FM_OK)
        fm_type_deinit(out);
    return status;
}

static enum fm_status list_type(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *property, unsigned depth,
                                struct fm_type *out)
{
    const struct fm_yaml_node *items = fm_yaml_get(property, "items");

    if (items == NULL || items->kind != FM_YAML_MAPPING)
        return fm_yaml_fail(reader->err, reader->yaml, items == NULL ? property : items,
                            "an array needs 'items', a mapping with their logicalType");
    enum fm_status status = check_inner(reader, items);
    if (status != FM_OK)
        return status;
    *out = (struct fm_type){.kind = FM_KIND_LIST};
    status = fm_type_reserve(out, 1, 0);
    if (status == FM_OK)
        status = fm_contract_type(reader, items, depth + 1, &out->children[0]);
    if (status != FM_OK)
        fm_type_deinit(out);
    return status;
}

enum fm_status fm_contract_type(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *property, unsigned depth,
                                struct fm_type *out)
{
    const struct fm_yaml_node *physical = fm_yaml_get(property, "physicalType");
    enum logical logical = LOGICAL_NONE;
    uint32_t kinds = 0;

    if (depth >= FM_TYPE_DEPTH_MAX)
        return fm_yaml_fail(reader->err, reader->yaml, property,
                            "types are nested more than %u deep", FM_TYPE_DEPTH_MAX);
    enum fm_status status = read_logical(reader, property, &logical, &kinds);
    if (status != FM_OK)
        return status;
    if (!fm_yaml_is_null(physical)) {
        const char *text = logical == LOGICAL_NONE ? "" : logicals[logical - 1].text;
        return physical_type(reader, physical, kinds, text, out);
    }
    if (logical == LOGICAL_NONE)
        return fm_yaml_fail(reader->err, reader->yaml, property,
                            "the type is missing; 'logicalType' (" LOGICAL_WORDS
                            ") or 'physicalType' is expected");
    if (logical == LOGICAL_OBJECT)
        return struct_type(reader, property, depth, out);
    if (logical == LOGICAL_ARRAY)
        return list_type(reader, property, depth, out);
    return scalar_type(reader, property, logical, out);
}
