/* Types: their tables, comparison, copies and the binary form. The text form is in types_text.c. */
#include "core/types.h"

#include "core/assert.h"
#include "core/limits.h"

const char *fm_kind_text(enum fm_kind kind)
{
    switch (kind) {
#define X(name, number, text, width)                                                               \
    case FM_KIND_##name:                                                                           \
        return text;
        FM_KIND_MAP(X)
#undef X
    }
    return "unknown";
}

static bool kind_known(unsigned number)
{
    return number >= FM_KIND_BOOLEAN && number <= FM_KIND_MAP;
}

uint32_t fm_type_width(const struct fm_type *type)
{
    switch (type->kind) {
#define X(name, number, text, width)                                                               \
    case FM_KIND_##name:                                                                           \
        if (number != FM_KIND_DECIMAL)                                                             \
            return width;                                                                          \
        break;
        FM_KIND_MAP(X)
#undef X
    }
    if (type->precision <= 4)
        return 2;
    if (type->precision <= 9)
        return 4;
    return type->precision <= 18 ? 8 : 16;
}

void fm_decimal_widen(const struct fm_type *type, uint8_t value[16])
{
    __extension__ __int128 wide = 0;

    switch (fm_type_width(type)) {
    case 2:
        wide = (int16_t)fm_load16(value);
        break;
    case 4:
        wide = (int32_t)fm_load32(value);
        break;
    case 8:
        wide = (int64_t)fm_load64(value);
        break;
    default:
        return;
    }
    memcpy(value, &wide, sizeof wide);
}

bool fm_type_is_bytes(const struct fm_type *type)
{
    return type->kind == FM_KIND_VARCHAR || type->kind == FM_KIND_BLOB ||
           type->kind == FM_KIND_JSON || type->kind == FM_KIND_ENUM;
}

bool fm_type_is_nested(const struct fm_type *type)
{
    return type->kind == FM_KIND_LIST || type->kind == FM_KIND_STRUCT || type->kind == FM_KIND_MAP;
}

bool fm_type_equal(const struct fm_type *a, const struct fm_type *b)
{
    if (a->kind != b->kind || a->precision != b->precision || a->scale != b->scale ||
        a->child_count != b->child_count || a->label_count != b->label_count)
        return false;
    for (uint32_t i = 0; i < a->label_count; i++)
        if (strcmp(a->labels[i], b->labels[i]) != 0)
            return false;
    for (uint32_t i = 0; i < a->child_count; i++)
        if (!fm_type_equal(&a->children[i], &b->children[i]))
            return false;
    return true;
}

void fm_type_deinit(struct fm_type *type)
{
    for (uint32_t i = 0; type->children != NULL && i < type->child_count; i++)
        fm_type_deinit(&type->children[i]);
    for (uint32_t i = 0; type->labels != NULL && i < type->label_count; i++)
        free(type->labels[i]);
    free(type->children);
    free(type->labels);
    *type = (struct fm_type){0};
}

enum fm_status fm_type_reserve(struct fm_type *type, uint32_t children, uint32_t labels)
{
    fm_assert(type->children == NULL && type->labels == NULL);
    if (children > 0) {
        type->children = calloc(children, sizeof *type->children);
        if (type->children == NULL)
            return FM_NOMEM;
        type->child_count = children;
    }
    if (labels > 0) {
        type->labels = calloc(labels, sizeof *type->labels);
        if (type->labels == NULL)
            return FM_NOMEM;
        type->label_count = labels;
    }
    return FM_OK;
}

static enum fm_status copy_into(const struct fm_type *type, struct fm_type *out)
{
    out->kind = type->kind;
    out->precision = type->precision;
    out->scale = type->scale;
    enum fm_status status = fm_type_reserve(out, type->child_count, type->label_count);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < type->label_count; i++) {
        out->labels[i] = strdup(type->labels[i]);
        if (out->labels[i] == NULL)
            return FM_NOMEM;
    }
    for (uint32_t i = 0; i < type->child_count; i++) {
        status = copy_into(&type->children[i], &out->children[i]);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

enum fm_status fm_type_copy(const struct fm_type *type, struct fm_type *out)
{
    FM_AUTO(fm_type_deinit) struct fm_type copy = {0};
    enum fm_status status = copy_into(type, &copy);
    if (status != FM_OK)
        return status;
    *out = copy;
    copy = (struct fm_type){0};
    return FM_OK;
}

/* ---- Checks -------------------------------------------------------------------------------- */

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int compare_text_without_case(const void *a, const void *b)
{
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    for (;; x++, y++) {
        int cx = *x >= 'A' && *x <= 'Z' ? *x + 32 : *x;
        int cy = *y >= 'A' && *y <= 'Z' ? *y + 32 : *y;
        if (cx != cy || cx == 0)
            return cx - cy;
    }
}

/* Enum values may differ by case alone; struct fields may not: the engine takes them for one. */
static enum fm_status check_labels_unique(const struct fm_type *type, struct fm_error *err)
{
    int (*compare)(const void *, const void *) =
        type->kind == FM_KIND_ENUM ? compare_text : compare_text_without_case;
    FM_AUTO(fm_mem_freep) char **sorted = malloc(type->label_count * sizeof *sorted);
    if (sorted == NULL)
        return FM_NOMEM;
    memcpy(sorted, type->labels, type->label_count * sizeof *sorted);
    qsort(sorted, type->label_count, sizeof *sorted, compare);
    for (uint32_t i = 1; i < type->label_count; i++)
        if (compare(&sorted[i - 1], &sorted[i]) == 0)
            return fm_fail(err, FM_MALFORMED, "%s names \"%s\" twice", fm_kind_text(type->kind),
                           sorted[i]);
    return FM_OK;
}

static enum fm_status check_labels(const struct fm_type *type, struct fm_error *err)
{
    bool is_struct = type->kind == FM_KIND_STRUCT;
    for (uint32_t i = 0; i < type->label_count; i++) {
        struct fm_span label = fm_span_str(type->labels[i]);
        if (is_struct && (label.len == 0 || label.len > FM_NAME_MAX))
            return fm_fail(err, FM_MALFORMED, "a struct's field has a name of 1 to %u bytes",
                           FM_NAME_MAX);
        if (!fm_utf8_valid(label))
            return fm_fail(err, FM_MALFORMED, "a name is not UTF-8");
    }
    return type->label_count > 1 ? check_labels_unique(type, err) : FM_OK;
}

/* Children and labels that the kind has, and nothing it has not. */
static bool shape_holds(const struct fm_type *type)
{
    bool is_decimal = type->kind == FM_KIND_DECIMAL;
    uint32_t children = type->child_count, labels = type->label_count;
    if (is_decimal ? type->precision < 1 || type->precision > 38 || type->scale > type->precision
                   : type->precision != 0 || type->scale != 0)
        return false;
    switch (type->kind) {
    case FM_KIND_LIST:
        return children == 1 && labels == 0;
    case FM_KIND_MAP:
        return children == 2 && labels == 0;
    case FM_KIND_STRUCT:
        return children >= 1 && children <= FM_COLUMNS_MAX && labels == children;
    case FM_KIND_ENUM:
        return children == 0 && labels >= 1 && labels <= FM_ENUM_VALUES_MAX;
    default:
        return children == 0 && labels == 0;
    }
}

static enum fm_status check_tree(const struct fm_type *type, uint32_t depth, uint32_t *node_count,
                                 struct fm_error *err)
{
    if (!kind_known((unsigned)type->kind) || !shape_holds(type))
        return fm_fail(err, FM_MALFORMED, "%s has parts that it cannot have",
                       fm_kind_text(type->kind));
    if (++*node_count > FM_TYPE_NODES_MAX)
        return fm_fail(err, FM_LIMIT, "more than %u types", FM_TYPE_NODES_MAX);
    if (fm_type_is_nested(type) && ++depth > FM_TYPE_DEPTH_MAX)
        return fm_fail(err, FM_LIMIT, "types are nested deeper than %u", FM_TYPE_DEPTH_MAX);
    enum fm_status status = check_labels(type, err);
    for (uint32_t i = 0; status == FM_OK && i < type->child_count; i++)
        status = check_tree(&type->children[i], depth, node_count, err);
    return status;
}

enum fm_status fm_type_check(const struct fm_type *type, uint32_t *node_count, struct fm_error *err)
{
    uint32_t here = 0;
    return check_tree(type, 0, node_count != NULL ? node_count : &here, err);
}

/* ---- Binary form --------------------------------------------------------------------------- */

void fm_type_encode(struct fm_buf *out, const struct fm_type *type)
{
    fm_buf_put_u8(out, (uint8_t)type->kind);
    if (type->kind == FM_KIND_DECIMAL) {
        fm_buf_put_u8(out, type->precision);
        fm_buf_put_u8(out, type->scale);
    }
    if (type->kind == FM_KIND_STRUCT || type->kind == FM_KIND_ENUM)
        fm_buf_put_uvarint(out, type->label_count);
    for (uint32_t i = 0; i < type->label_count; i++) {
        fm_buf_put_uvarint(out, strlen(type->labels[i]));
        fm_buf_put_str(out, type->labels[i]);
    }
    for (uint32_t i = 0; i < type->child_count; i++)
        fm_type_encode(out, &type->children[i]);
}

static enum fm_status decode_labels(struct fm_cursor *cursor, struct fm_type *type)
{
    for (uint32_t i = 0; i < type->label_count; i++) {
        uint64_t len;
        struct fm_span text;
        enum fm_status status = fm_take_uvarint(cursor, &len);
        if (status == FM_OK)
            status = len <= fm_cursor_left(cursor) ? FM_OK : FM_MALFORMED;
        if (status == FM_OK)
            status = fm_take_bytes(cursor, (size_t)len, &text);
        if (status != FM_OK)
            return status;
        if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
            return FM_MALFORMED;
        type->labels[i] = fm_strdup_span(text);
        if (type->labels[i] == NULL)
            return FM_NOMEM;
    }
    return FM_OK;
}

/* Kind, decimals and counts; reserves the children and labels that follow. */
static enum fm_status decode_head(struct fm_cursor *cursor, uint32_t *nodes_left,
                                  struct fm_type *type)
{
    uint8_t kind;
    uint64_t count = 0;
    enum fm_status status = fm_take_u8(cursor, &kind);
    if (status != FM_OK)
        return status;
    if (!kind_known(kind))
        return FM_MALFORMED;
    type->kind = (enum fm_kind)kind;
    if (kind == FM_KIND_DECIMAL) {
        status = fm_take_u8(cursor, &type->precision);
        return status == FM_OK ? fm_take_u8(cursor, &type->scale) : status;
    }
    if (kind == FM_KIND_STRUCT || kind == FM_KIND_ENUM) {
        status = fm_take_uvarint(cursor, &count);
        if (status != FM_OK)
            return status;
        if (count == 0 || count > FM_ENUM_VALUES_MAX || count > fm_cursor_left(cursor))
            return FM_MALFORMED; /* A label is one byte at least. */
    }
    uint32_t children = kind == FM_KIND_LIST     ? 1
                        : kind == FM_KIND_MAP    ? 2
                        : kind == FM_KIND_STRUCT ? (uint32_t)count
                                                 : 0;
    if (children > *nodes_left)
        return FM_LIMIT;
    *nodes_left -= children;
    return fm_type_reserve(type, children, (uint32_t)count);
}

static enum fm_status decode_tree(struct fm_cursor *cursor, uint32_t depth, uint32_t *nodes_left,
                                  struct fm_type *type)
{
    enum fm_status status = decode_head(cursor, nodes_left, type);
    if (status != FM_OK)
        return status;
    if (fm_type_is_nested(type) && depth == FM_TYPE_DEPTH_MAX)
        return FM_LIMIT;
    status = decode_labels(cursor, type);
    for (uint32_t i = 0; status == FM_OK && i < type->child_count; i++)
        status = decode_tree(cursor, depth + 1, nodes_left, &type->children[i]);
    return status;
}

enum fm_status fm_type_decode(struct fm_cursor *cursor, struct fm_type *out)
{
    FM_AUTO(fm_type_deinit) struct fm_type type = {0};
    struct fm_cursor at = *cursor;
    uint32_t nodes_left = FM_TYPE_NODES_MAX - 1;
    enum fm_status status = decode_tree(&at, 0, &nodes_left, &type);
    if (status == FM_OK)
        status = fm_type_check(&type, NULL, NULL);
    if (status != FM_OK)
        return status;
    *cursor = at;
    *out = type;
    type = (struct fm_type){0};
    return FM_OK;
}
