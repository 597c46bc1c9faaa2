#include "query/tree_uses.h"

#include <stdio.h>
#include <string.h>

#define NAME_BYTES_MAX 256u /* Longer names are no fields of a table. */
#define LINKS_MAX 4096u

/* ASCII lower case, as the engine matches names. False when the name is too long to be a field. */
static bool lower(const char *name, char out[NAME_BYTES_MAX])
{
    size_t len = strlen(name);

    if (len >= NAME_BYTES_MAX)
        return false;
    for (size_t i = 0; i <= len; i++)
        out[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] - 'A' + 'a') : name[i];
    return true;
}

static void add(struct tree_uses *uses, json_t **set, const char *name)
{
    char key[NAME_BYTES_MAX];

    if (uses->off || !lower(name, key))
        return;
    if (*set == NULL)
        *set = json_object();
    if (json_object_set_new(*set, key, json_true()) != 0)
        uses->off = true;
}

void tree_uses_refuse(struct tree_uses *uses, const char *name)
{
    add(uses, &uses->refused, name);
}

void tree_uses_column(struct tree_uses *uses, const char *name)
{
    add(uses, &uses->columns, name);
}

void tree_uses_relation(struct tree_uses *uses, const char *name)
{
    add(uses, &uses->relations, name);
}

void tree_uses_link(struct tree_uses *uses, const char *name, const char *alias)
{
    char a[NAME_BYTES_MAX];
    char b[NAME_BYTES_MAX];

    if (uses->off)
        return;
    if (!lower(name, a) || !lower(alias, b) || json_array_size(uses->links) >= LINKS_MAX) {
        uses->off = true;
        return;
    }
    if (strcmp(a, b) == 0)
        return;
    if (uses->links == NULL)
        uses->links = json_array();
    if (json_array_append_new(uses->links, json_pack("[ss]", a, b)) != 0)
        uses->off = true;
}

static bool is_refused(const struct tree_uses *uses, const char *lower_name)
{
    return json_object_get(uses->refused, lower_name) != NULL;
}

static void find_whole_rows(struct tree_uses *uses)
{
    const char *name = NULL;
    json_t *value = NULL;

    json_object_foreach(uses->columns, name, value)
    {
        if (json_object_get(uses->relations, name) != NULL)
            uses->off = true;
    }
}

void tree_uses_settle(struct tree_uses *uses)
{
    find_whole_rows(uses);
    bool changed = json_array_size(uses->links) > 0;

    while (changed && !uses->off) {
        changed = false;
        for (size_t i = 0; i < json_array_size(uses->links); i++) {
            const json_t *link = json_array_get(uses->links, i);
            const char *a = json_string_value(json_array_get(link, 0));
            const char *b = json_string_value(json_array_get(link, 1));

            if (a == NULL || b == NULL) {
                uses->off = true;
            } else if (is_refused(uses, a) != is_refused(uses, b)) {
                tree_uses_refuse(uses, a);
                tree_uses_refuse(uses, b);
                changed = true;
            }
        }
    }
}

bool tree_uses_allows(const struct tree_uses *uses, const char *name)
{
    char key[NAME_BYTES_MAX];

    return !uses->off && lower(name, key) && !is_refused(uses, key);
}

void tree_uses_deinit(struct tree_uses *uses)
{
    json_decref(uses->refused);
    json_decref(uses->columns);
    json_decref(uses->relations);
    json_decref(uses->links);
    *uses = (struct tree_uses){0};
}
