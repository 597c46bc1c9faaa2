#include "node/yaml.h"

#include "core/assert.h"

#include <libfyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK_NODES 128u
#define NAME_MAX_BYTES 256u

struct block {
    struct block *next;
    uint32_t used;
    struct fm_yaml_node nodes[BLOCK_NODES];
};

struct fm_yaml {
    char name[NAME_MAX_BYTES];
    struct fm_yaml_node *root;
    struct block *blocks; /* Newest first. */
    uint32_t node_count;
};

/* What is being built: the open collections, innermost last. */
struct level {
    struct fm_yaml_node *node;
    struct fm_yaml_node *last; /* Child so far. */
    char *key;                 /* Owned: a key that waits for its value. */
    uint32_t key_line;
    uint32_t key_column;
};

struct builder {
    struct fm_yaml *yaml;
    struct fm_error *err;
    uint32_t depth;
    struct level levels[FM_YAML_DEPTH_MAX];
};

static void builder_deinit(struct builder *builder)
{
    for (uint32_t i = 0; i < FM_YAML_DEPTH_MAX; i++)
        free(builder->levels[i].key);
}

static void parser_freep(struct fy_parser **parser)
{
    if (*parser != NULL)
        fy_parser_destroy(*parser);
}

static void diag_freep(struct fy_diag **diag)
{
    if (*diag != NULL)
        fy_diag_destroy(*diag);
}

void fm_yaml_free(struct fm_yaml *yaml)
{
    if (yaml == NULL)
        return;
    while (yaml->blocks != NULL) {
        struct block *block = yaml->blocks;
        yaml->blocks = block->next;
        for (uint32_t i = 0; i < block->used; i++) {
            free((void *)(uintptr_t)block->nodes[i].key);
            free((void *)(uintptr_t)block->nodes[i].text);
        }
        free(block);
    }
    free(yaml);
}

const struct fm_yaml_node *fm_yaml_root(const struct fm_yaml *yaml)
{
    return yaml->root;
}

static enum fm_status fail_at(struct fm_error *err, const struct fm_yaml *yaml, uint32_t line,
                              uint32_t column, const char *format, va_list args)
{
    char text[FM_ERROR_TEXT_MAX];

    (void)vsnprintf(text, sizeof text, format, args); /* A cut text is still a text. */
    if (line == 0)
        return fm_fail(err, FM_INVALID, "%s: %s", yaml->name, text);
    return fm_fail(err, FM_INVALID, "%s:%u:%u: %s", yaml->name, line, column, text);
}

enum fm_status fm_yaml_fail(struct fm_error *err, const struct fm_yaml *yaml,
                            const struct fm_yaml_node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    enum fm_status status = fail_at(err, yaml, node == NULL ? 0 : node->line,
                                    node == NULL ? 0 : node->column, format, args);
    va_end(args);
    return status;
}

enum fm_status fm_yaml_fail_key(struct fm_error *err, const struct fm_yaml *yaml,
                                const struct fm_yaml_node *node, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    enum fm_status status =
        fail_at(err, yaml, node->key == NULL ? node->line : node->key_line,
                node->key == NULL ? node->column : node->key_column, format, args);
    va_end(args);
    return status;
}

static enum fm_status add_node(struct builder *builder, enum fm_yaml_kind kind,
                               struct fm_yaml_node **out)
{
    struct fm_yaml *yaml = builder->yaml;
    struct block *block = yaml->blocks;

    if (yaml->node_count >= FM_YAML_NODES_MAX)
        return fm_fail(builder->err, FM_LIMIT, "%s: more than %u values", yaml->name,
                       FM_YAML_NODES_MAX);
    if (block == NULL || block->used == BLOCK_NODES) {
        block = calloc(1, sizeof *block);
        if (block == NULL)
            return fm_fail(builder->err, FM_NOMEM, "%s", yaml->name);
        block->next = yaml->blocks;
        yaml->blocks = block;
    }
    yaml->node_count++;
    *out = &block->nodes[block->used++];
    (*out)->kind = kind;
    return FM_OK;
}

static void set_place(struct fy_event *event, uint32_t *line, uint32_t *column)
{
    const struct fy_mark *mark = fy_event_start_mark(event);

    *line = mark == NULL || mark->line < 0 ? 1 : (uint32_t)mark->line + 1;
    *column = mark == NULL || mark->column < 0 ? 1 : (uint32_t)mark->column + 1;
    /* The marks of quoted scalars and aliases are behind their first character. */
    bool is_behind = event->type == FYET_ALIAS;
    if (event->type == FYET_SCALAR && event->scalar.value != NULL) {
        enum fy_scalar_style style = fy_token_scalar_style(event->scalar.value);
        is_behind = style == FYSS_SINGLE_QUOTED || style == FYSS_DOUBLE_QUOTED;
    }
    if (is_behind && *column > 1)
        (*column)--;
}

static enum fm_status copy_text(struct builder *builder, struct fy_event *event, char **out,
                                size_t *len)
{
    uint32_t line = 0, column = 0;
    size_t size = 0;
    const char *text =
        event->scalar.value == NULL ? "" : fy_token_get_text(event->scalar.value, &size);

    set_place(event, &line, &column);
    if (text == NULL)
        return fm_fail(builder->err, FM_NOMEM, "%s", builder->yaml->name);
    if (size != 0 && (memchr(text, '\0', size) != NULL || !fm_utf8_valid(fm_span(text, size))))
        return fm_fail(builder->err, FM_INVALID, "%s:%u:%u: a text with a NUL or not in UTF-8",
                       builder->yaml->name, line, column);
    *out = fm_strdup_span(fm_span(text, size));
    *len = size;
    return *out == NULL ? fm_fail(builder->err, FM_NOMEM, "%s", builder->yaml->name) : FM_OK;
}

/* Hang `node` where the innermost open collection expects it. */
static void attach(struct builder *builder, struct fm_yaml_node *node)
{
    if (builder->depth == 0) {
        builder->yaml->root = node;
        return;
    }
    struct level *level = &builder->levels[builder->depth - 1];
    node->key = FM_TAKE(level->key);
    node->key_line = level->key_line;
    node->key_column = level->key_column;
    if (level->last == NULL)
        level->node->first = node;
    else
        level->last->next = node;
    level->last = node;
    level->node->count++;
}

static bool wants_key(const struct builder *builder)
{
    return builder->depth != 0 &&
           builder->levels[builder->depth - 1].node->kind == FM_YAML_MAPPING &&
           builder->levels[builder->depth - 1].key == NULL;
}

static enum fm_status take_key(struct builder *builder, struct fy_event *event)
{
    struct level *level = &builder->levels[builder->depth - 1];
    const char *name = builder->yaml->name;
    size_t len = 0;

    set_place(event, &level->key_line, &level->key_column);
    if (level->node->count >= FM_YAML_KEYS_MAX)
        return fm_fail(builder->err, FM_LIMIT, "%s:%u:%u: more than %u keys in one mapping", name,
                       level->key_line, level->key_column, FM_YAML_KEYS_MAX);
    enum fm_status status = copy_text(builder, event, &level->key, &len);
    if (status != FM_OK)
        return status;
    const struct fm_yaml_node *earlier = fm_yaml_get(level->node, level->key);
    if (earlier != NULL)
        return fm_fail(builder->err, FM_INVALID,
                       "%s:%u:%u: the key '%.64s' stands here a second time; the first is in "
                       "line %u",
                       name, level->key_line, level->key_column, level->key, earlier->key_line);
    return FM_OK;
}

static enum fm_status take_scalar(struct builder *builder, struct fy_event *event)
{
    struct fm_yaml_node *node = NULL;
    char *text = NULL;

    if (wants_key(builder))
        return take_key(builder, event);
    enum fm_status status = add_node(builder, FM_YAML_SCALAR, &node);
    if (status == FM_OK)
        status = copy_text(builder, event, &text, &node->len);
    if (status != FM_OK)
        return status;
    node->text = text;
    node->is_plain =
        event->scalar.value == NULL || fy_token_scalar_style(event->scalar.value) == FYSS_PLAIN;
    attach(builder, node);
    if (event->scalar.value != NULL) {
        set_place(event, &node->line, &node->column);
    } else { /* Nothing is written: the key's place is the next best. */
        node->line = node->key_line;
        node->column = node->key_column;
    }
    return FM_OK;
}

static enum fm_status open_collection(struct builder *builder, struct fy_event *event,
                                      enum fm_yaml_kind kind)
{
    struct fm_yaml_node *node = NULL;
    uint32_t line = 0, column = 0;

    set_place(event, &line, &column);
    if (wants_key(builder))
        return fm_fail(builder->err, FM_INVALID, "%s:%u:%u: a key must be a text",
                       builder->yaml->name, line, column);
    if (builder->depth == FM_YAML_DEPTH_MAX)
        return fm_fail(builder->err, FM_LIMIT, "%s:%u:%u: nested more than %u deep",
                       builder->yaml->name, line, column, FM_YAML_DEPTH_MAX);
    enum fm_status status = add_node(builder, kind, &node);
    if (status != FM_OK)
        return status;
    node->line = line;
    node->column = column;
    attach(builder, node);
    builder->levels[builder->depth++] = (struct level){.node = node};
    return FM_OK;
}

static enum fm_status take_event(struct builder *builder, struct fy_event *event)
{
    uint32_t line = 0, column = 0;

    switch (event->type) {
    case FYET_SCALAR:
        return take_scalar(builder, event);
    case FYET_MAPPING_START:
        return open_collection(builder, event, FM_YAML_MAPPING);
    case FYET_SEQUENCE_START:
        return open_collection(builder, event, FM_YAML_SEQUENCE);
    case FYET_MAPPING_END:
    case FYET_SEQUENCE_END:
        fm_assert(builder->depth != 0);
        builder->depth--;
        return FM_OK;
    case FYET_ALIAS:
        set_place(event, &line, &column);
        return fm_fail(builder->err, FM_INVALID,
                       "%s:%u:%u: aliases (*name) are not accepted; write the value out",
                       builder->yaml->name, line, column);
    case FYET_DOCUMENT_START:
        set_place(event, &line, &column);
        if (builder->yaml->root != NULL)
            return fm_fail(builder->err, FM_INVALID,
                           "%s:%u:%u: a second document begins; one is expected",
                           builder->yaml->name, line, column);
        return FM_OK;
    default:
        return FM_OK;
    }
}

/* The parser's first complaint. */
static enum fm_status syntax_error(const struct fm_yaml *yaml, struct fy_diag *diag,
                                   struct fm_error *err)
{
    void *iterator = NULL;
    const struct fy_diag_error *first = fy_diag_errors_iterate(diag, &iterator);

    if (first == NULL || first->msg == NULL)
        return fm_fail(err, FM_INVALID, "%s: not YAML", yaml->name);
    size_t len = strcspn(first->msg, "\n");
    return fm_fail(err, FM_INVALID, "%s:%d:%d: not YAML: %.*s", yaml->name,
                   first->line < 1 ? 1 : first->line, first->column < 1 ? 1 : first->column,
                   (int)(len > 200 ? 200 : len), first->msg);
}

/* Bytes that no YAML file has, and that the library need not be tried with. */
static enum fm_status check_bytes(const struct fm_yaml *yaml, struct fm_span bytes,
                                  struct fm_error *err)
{
    unsigned line = 1;

    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        if (c == '\n')
            line++;
        else if ((c < 0x20 && c != '\t' && c != '\r') || c == 0x7f)
            return fm_fail(err, FM_INVALID, "%s:%u: a control character (0x%02x)", yaml->name, line,
                           c);
    }
    if (!fm_utf8_valid(bytes))
        return fm_fail(err, FM_INVALID, "%s: not UTF-8", yaml->name);
    return FM_OK;
}

static enum fm_status run_parser(struct builder *builder, struct fm_span bytes)
{
    FM_AUTO(diag_freep) struct fy_diag *diag = NULL;
    FM_AUTO(parser_freep) struct fy_parser *parser = NULL;
    enum fm_status status = FM_OK;

    /* Errors are collected, never printed. */
    const struct fy_diag_cfg quiet = {.level = FYET_ERROR, .module_mask = ~0u};
    diag = fy_diag_create(&quiet);
    if (diag == NULL)
        return fm_fail(builder->err, FM_NOMEM, "%s", builder->yaml->name);
    fy_diag_set_collect_errors(diag, true);
    const struct fy_parse_cfg config = {
        .search_path = "", .flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
    parser = fy_parser_create(&config);
    if (parser == NULL || fy_parser_set_string(parser, (const char *)bytes.data, bytes.len) != 0)
        return fm_fail(builder->err, FM_NOMEM, "%s", builder->yaml->name);
    for (;;) {
        struct fy_event *event = fy_parser_parse(parser);
        if (event == NULL)
            break;
        enum fy_event_type type = event->type;
        status = take_event(builder, event);
        fy_parser_event_free(parser, event);
        if (status != FM_OK || type == FYET_STREAM_END)
            return status;
    }
    return syntax_error(builder->yaml, diag, builder->err);
}

enum fm_status fm_yaml_parse(struct fm_span bytes, const char *name, struct fm_yaml **out,
                             struct fm_error *err)
{
    FM_AUTO(fm_yaml_freep) struct fm_yaml *yaml = calloc(1, sizeof *yaml);
    FM_AUTO(builder_deinit) struct builder builder = {.err = err};

    if (yaml == NULL)
        return fm_fail(err, FM_NOMEM, "%s", name);
    (void)snprintf(yaml->name, sizeof yaml->name, "%s", name); /* Only shown. */
    builder.yaml = yaml;
    enum fm_status status = check_bytes(yaml, bytes, err);
    if (status == FM_OK && bytes.len != 0)
        status = run_parser(&builder, bytes);
    if (status == FM_OK)
        *out = FM_TAKE(yaml);
    return status;
}

const struct fm_yaml_node *fm_yaml_get(const struct fm_yaml_node *map, const char *key)
{
    if (map == NULL || map->kind != FM_YAML_MAPPING)
        return NULL;
    for (const struct fm_yaml_node *child = map->first; child != NULL; child = child->next)
        if (strcmp(child->key, key) == 0)
            return child;
    return NULL;
}

bool fm_yaml_is_null(const struct fm_yaml_node *node)
{
    if (node == NULL)
        return true;
    if (node->kind != FM_YAML_SCALAR || !node->is_plain)
        return false;
    return node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0 ||
           strcmp(node->text, "Null") == 0 || strcmp(node->text, "NULL") == 0;
}

const char *fm_yaml_kind_text(const struct fm_yaml_node *node)
{
    if (fm_yaml_is_null(node))
        return "nothing";
    switch (node->kind) {
    case FM_YAML_SCALAR:
        return "a text or number";
    case FM_YAML_SEQUENCE:
        return "a list";
    case FM_YAML_MAPPING:
        return "a mapping";
    }
    return "nothing";
}

bool fm_yaml_bool(const struct fm_yaml_node *node, bool *out)
{
    static const char *const texts[] = {"true", "True", "TRUE", "false", "False", "FALSE"};

    if (node == NULL || node->kind != FM_YAML_SCALAR || !node->is_plain)
        return false;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(node->text, texts[i]) == 0) {
            *out = i < 3;
            return true;
        }
    }
    return false;
}

bool fm_yaml_uint(const struct fm_yaml_node *node, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (node == NULL || node->kind != FM_YAML_SCALAR || !node->is_plain || node->len == 0)
        return false;
    for (const char *c = node->text; *c != '\0'; c++) {
        if (*c < '0' || *c > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*c - '0'), &value))
            return false;
    }
    if (value > max)
        return false;
    *out = value;
    return true;
}
