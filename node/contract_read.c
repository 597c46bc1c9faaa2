#include "node/contract_parts.h"

#include "core/limits.h"

static bool has_controls(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return true;
    return false;
}

enum fm_status fm_contract_text(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *map, const char *key, bool is_required,
                                char *out, size_t size)
{
    const struct fm_yaml_node *node = fm_yaml_get(map, key);

    out[0] = '\0';
    if (fm_yaml_is_null(node)) {
        if (!is_required)
            return FM_OK;
        return fm_yaml_fail(reader->err, reader->yaml, node == NULL ? map : node,
                            "'%s' is missing; a text is expected", key);
    }
    if (node->kind != FM_YAML_SCALAR)
        return fm_yaml_fail(reader->err, reader->yaml, node, "'%s' is %s; a text is expected", key,
                            fm_yaml_kind_text(node));
    if (node->len == 0 || node->len >= size || has_controls(node->text))
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "'%s' must have 1 to %zu bytes and no line breaks", key, size - 1);
    memcpy(out, node->text, node->len + 1);
    return FM_OK;
}

enum fm_status fm_contract_bool(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *map, const char *key, bool otherwise,
                                bool *out)
{
    const struct fm_yaml_node *node = fm_yaml_get(map, key);

    *out = otherwise;
    if (fm_yaml_is_null(node) || fm_yaml_bool(node, out))
        return FM_OK;
    return fm_yaml_fail(reader->err, reader->yaml, node, "'%s' must be true or false", key);
}

enum fm_status fm_contract_list(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *map, const char *key, uint32_t max,
                                const struct fm_yaml_node **out)
{
    const struct fm_yaml_node *node = fm_yaml_get(map, key);

    *out = NULL;
    if (fm_yaml_is_null(node))
        return FM_OK;
    if (node->kind != FM_YAML_SEQUENCE)
        return fm_yaml_fail(reader->err, reader->yaml, node, "'%s' is %s; a list is expected", key,
                            fm_yaml_kind_text(node));
    if (node->count > max)
        return fm_yaml_fail(reader->err, reader->yaml, node, "'%s' has %u items; at most %u fit",
                            key, node->count, max);
    for (const struct fm_yaml_node *item = node->first; item != NULL; item = item->next)
        if (item->kind != FM_YAML_MAPPING)
            return fm_yaml_fail(reader->err, reader->yaml, item,
                                "an item of '%s' is %s; a mapping is expected", key,
                                fm_yaml_kind_text(item));
    *out = node;
    return FM_OK;
}

static bool is_known(const char *const *known, const char *name)
{
    for (; *known != NULL; known++)
        if (strcmp(*known, name) == 0)
            return true;
    return false;
}

enum fm_status fm_contract_custom(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *map, const char *const *known,
                                  const char *name, const struct fm_yaml_node **out)
{
    const struct fm_yaml_node *list = NULL;

    *out = NULL;
    enum fm_status status =
        fm_contract_list(reader, map, "customProperties", FM_YAML_NODES_MAX, &list);
    if (status != FM_OK || list == NULL)
        return status;
    for (const struct fm_yaml_node *item = list->first; item != NULL; item = item->next) {
        const struct fm_yaml_node *property = fm_yaml_get(item, "property");
        if (property == NULL || property->kind != FM_YAML_SCALAR)
            continue;
        if (strncmp(property->text, "folkmoot.", 9) == 0 && !is_known(known, property->text))
            return fm_yaml_fail(reader->err, reader->yaml, property,
                                "no custom property '%.64s' is known here; expected: %s%s%s",
                                property->text, known[0] == NULL ? "none" : known[0],
                                known[0] == NULL || known[1] == NULL ? "" : ", ",
                                known[0] == NULL || known[1] == NULL ? "" : known[1]);
        if (strcmp(property->text, name) != 0)
            continue;
        if (*out != NULL)
            return fm_yaml_fail(reader->err, reader->yaml, property,
                                "'%s' stands here a second time", name);
        *out = fm_yaml_get(item, "value");
        if (fm_yaml_is_null(*out))
            return fm_yaml_fail(reader->err, reader->yaml, property, "'%s' has no value", name);
    }
    return FM_OK;
}

enum fm_status fm_contract_description(const struct fm_contract_reader *reader,
                                       const struct fm_yaml_node *map, char **out)
{
    const struct fm_yaml_node *node = fm_yaml_get(map, "description");

    if (fm_yaml_is_null(node))
        return FM_OK;
    if (node->kind != FM_YAML_SCALAR || node->len > FM_DESCRIPTION_MAX)
        return fm_yaml_fail(reader->err, reader->yaml, node,
                            "'description' must be a text of at most %u bytes", FM_DESCRIPTION_MAX);
    *out = fm_strdup_span(fm_span(node->text, node->len));
    return *out == NULL ? fm_fail(reader->err, FM_NOMEM, "contract") : FM_OK;
}
