/* How long facts are kept: `slaProperties` of ODCS with the property `retention`. */
#include "node/contract_parts.h"

#include "core/limits.h"

/* Never too short: a month counts as the longest one, a year as a leap year. */
#define MONTH_DAYS 31u
#define YEAR_DAYS 366u

static const struct {
    const char *word;
    uint32_t days;
} units[] = {
    {"d", 1},
    {"day", 1},
    {"days", 1},
    {"m", MONTH_DAYS},
    {"mo", MONTH_DAYS},
    {"month", MONTH_DAYS},
    {"months", MONTH_DAYS},
    {"y", YEAR_DAYS},
    {"yr", YEAR_DAYS},
    {"year", YEAR_DAYS},
    {"years", YEAR_DAYS},
};

static enum fm_status read_unit(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *item, uint32_t *days)
{
    const struct fm_yaml_node *node = fm_yaml_get(item, "unit");

    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (node != NULL && node->kind == FM_YAML_SCALAR &&
            strcmp(node->text, units[i].word) == 0) {
            *days = units[i].days;
            return FM_OK;
        }
    }
    return fm_yaml_fail(reader->err, reader->yaml, node == NULL ? item : node,
                        "the unit of a retention must be d, m (months of %u days) or y (years of "
                        "%u days)",
                        MONTH_DAYS, YEAR_DAYS);
}

static enum fm_status read_days(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *item, uint32_t *days)
{
    const struct fm_yaml_node *node = fm_yaml_get(item, "value");
    uint32_t unit = 0;
    uint64_t value = 0;
    enum fm_status status = read_unit(reader, item, &unit);

    if (status != FM_OK)
        return status;
    if (!fm_yaml_uint(node, FM_RETENTION_DAYS_MAX / unit, &value) || value == 0)
        return fm_yaml_fail(reader->err, reader->yaml, node == NULL ? item : node,
                            "the value of a retention must be a whole number from 1 to %u in this "
                            "unit, which is from a day to 100 years",
                            FM_RETENTION_DAYS_MAX / unit);
    *days = (uint32_t)value * unit;
    return FM_OK;
}

/* Next name of a list with commas, without the spaces around it; false at the end. */
static bool next_name(const char **at, struct fm_span *out)
{
    size_t len = strcspn(*at, ",");
    const char *name = *at;

    if (*name == '\0')
        return false;
    *at += len + (name[len] == ',');
    while (len != 0 && *name == ' ') {
        name++;
        len--;
    }
    while (len != 0 && name[len - 1] == ' ')
        len--;
    *out = fm_span(name, len);
    return true;
}

/* `element`, or the document's `slaDefaultElement`; NULL: all tables. */
static enum fm_status read_element(const struct fm_contract_reader *reader,
                                   const struct fm_yaml_node *item, const struct fm_yaml_node **out)
{
    const struct fm_yaml_node *node = fm_yaml_get(item, "element");

    if (fm_yaml_is_null(node))
        node = fm_yaml_get(fm_yaml_root(reader->yaml), "slaDefaultElement");
    *out = fm_yaml_is_null(node) ? NULL : node;
    if (*out == NULL || (node->kind == FM_YAML_SCALAR && node->len != 0))
        return FM_OK;
    return fm_yaml_fail(reader->err, reader->yaml, node,
                        "the element of a retention must be the name of a table, or several with "
                        "commas");
}

static bool names_table(const struct fm_yaml_node *element, const char *table)
{
    const char *at = element->text;
    struct fm_span name;

    while (next_name(&at, &name)) {
        if (fm_span_equal(name, fm_span_str(table)))
            return true;
    }
    return false;
}

/* The next retention at `item` or behind it. */
static const struct fm_yaml_node *find_retention(const struct fm_yaml_node *item)
{
    for (; item != NULL; item = item->next) {
        const struct fm_yaml_node *property = fm_yaml_get(item, "property");

        if (property != NULL && property->kind == FM_YAML_SCALAR &&
            strcmp(property->text, "retention") == 0)
            break;
    }
    return item;
}

/* What is no list is not ours to judge. */
static const struct fm_yaml_node *first_retention(const struct fm_contract_reader *reader)
{
    const struct fm_yaml_node *list = fm_yaml_get(fm_yaml_root(reader->yaml), "slaProperties");

    return list != NULL && list->kind == FM_YAML_SEQUENCE ? find_retention(list->first) : NULL;
}

enum fm_status fm_contract_retention(const struct fm_contract_reader *reader, const char *table,
                                     uint32_t *days)
{
    const struct fm_yaml_node *item = first_retention(reader);

    *days = 0;
    for (; item != NULL; item = find_retention(item->next)) {
        const struct fm_yaml_node *element = NULL;
        uint32_t found = 0;
        enum fm_status status = read_days(reader, item, &found);

        if (status == FM_OK)
            status = read_element(reader, item, &element);
        if (status != FM_OK)
            return status;
        if (element != NULL && !names_table(element, table))
            continue;
        if (*days != 0)
            return fm_yaml_fail(reader->err, reader->yaml, item,
                                "this is a second retention of table '%s'; expected one", table);
        *days = found;
    }
    return FM_OK;
}

static enum fm_status check_name(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *element, struct fm_span name,
                                 const struct fm_compiled_contract *contract)
{
    for (uint32_t i = 0; i < contract->table_count; i++) {
        if (fm_span_equal(name, fm_span_str(contract->tables[i]->table)))
            return FM_OK;
    }
    return fm_yaml_fail(reader->err, reader->yaml, element,
                        "the retention is of '%.*s', which is no table of this contract%s",
                        (int)(name.len > 64 ? 64 : name.len), (const char *)name.data,
                        name.len != 0 && memchr(name.data, '.', name.len) != NULL
                            ? "; facts are kept from when they are recorded, so name the table "
                              "and no column"
                            : "");
}

enum fm_status fm_contract_check_retention(const struct fm_contract_reader *reader,
                                           const struct fm_compiled_contract *contract)
{
    const struct fm_yaml_node *item = first_retention(reader);
    enum fm_status status = FM_OK;

    for (; status == FM_OK && item != NULL; item = find_retention(item->next)) {
        const struct fm_yaml_node *element = NULL;
        struct fm_span name;

        status = read_element(reader, item, &element);
        if (status != FM_OK || element == NULL)
            continue;
        const char *at = element->text;
        while (status == FM_OK && next_name(&at, &name))
            status = check_name(reader, element, name, contract);
    }
    return status;
}
