#include "tests/support/random_query.h"

#include "core/assert.h"
#include "tests/support/query_maker.h"

#include <stdarg.h>
#include <stdio.h>

void put(struct maker *m, const char *format, ...)
{
    char text[512];
    va_list list;

    va_start(list, format);
    int len = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fm_assert(len >= 0 && (size_t)len < sizeof text);
    fm_buf_put(&m->out->mesh, text, (size_t)len);
    fm_buf_put(&m->out->oracle, text, (size_t)len);
}

void random_query_deinit(struct random_query *query)
{
    fm_buf_free(&query->mesh);
    fm_buf_free(&query->oracle);
}

/* Text made before its place in the statement is reached. */
static void put_made(struct maker *m, struct random_query *made)
{
    fm_buf_put_span(&m->out->mesh, fm_buf_span(&made->mesh));
    fm_buf_put_span(&m->out->oracle, fm_buf_span(&made->oracle));
    random_query_deinit(made);
}

static void quote(char *out, size_t size, const char *name)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    world_quote(&text, name);
    (void)snprintf(out, size, "%.*s", (int)text.len, (const char *)text.data);
}

static void add_to_scope(struct scope *scope, const char *alias, const char *name, uint32_t family,
                         uint32_t type)
{
    char quoted[40];

    if (scope->count == SCOPE_MAX)
        return;
    struct scope_column *column = &scope->columns[scope->count++];
    quote(quoted, sizeof quoted, name);
    (void)snprintf(column->ref, sizeof column->ref, "%s.%s", alias, quoted);
    (void)snprintf(column->name, sizeof column->name, "%s", name);
    column->family = family;
    column->type = type;
}

static void next_alias(struct maker *m, char out[16])
{
    uint32_t number = m->aliases++;

    if (number % 7 == 6)
        (void)snprintf(out, 16, "\"q %u\"", (unsigned)number);
    else
        (void)snprintf(out, 16, "q%u", (unsigned)number);
}

/* ---- FROM ---- */

void put_table(struct maker *m, struct scope *scope)
{
    uint32_t number = m->last_table;
    char alias[16];

    /* The same table again, another of its owner, any. */
    switch (choose(m->choices, 4)) {
    case 0:
        break;
    case 1:
        number =
            number / WORLD_TABLES_EACH * WORLD_TABLES_EACH + choose(m->choices, WORLD_TABLES_EACH);
        break;
    default:
        number = choose(m->choices, WORLD_TABLES);
    }
    m->last_table = number;
    const struct world_table *table = &m->world->tables[number];
    next_alias(m, alias);
    const char *domain = world_domains[table->domain];
    if (chance(m->choices, 1, 16)) {
        put(m, "%s.\"%s$facts\" AS %s", domain, table->name, alias);
        add_to_scope(scope, alias, "_seq", FAMILY_INTEGER, 0);
        add_to_scope(scope, alias, "_op", FAMILY_TEXT, 0);
        add_to_scope(scope, alias, "_supersedes", FAMILY_INTEGER, 0);
        m->has_facts = true;
    } else if (table->append_count > 0 && chance(m->choices, 1, 10)) {
        unsigned size = table->sizes[choose(m->choices, table->append_count)];
        fm_buf_printf(&m->out->mesh, "%s.%s AS %s AT (VERSION => %u)", domain, table->name, alias,
                      size);
        fm_buf_printf(&m->out->oracle, "%s.\"%s@%u\" AS %s", domain, table->name, size, alias);
    } else {
        put(m, "%s.%s AS %s", domain, table->name, alias);
    }
    for (uint32_t i = 0; i < table->column_count; i++)
        add_to_scope(scope, alias, table->columns[i].name, table->columns[i].family,
                     table->columns[i].type);
}

static void add_output(struct scope *scope, const char *alias, const struct output *output)
{
    for (uint32_t i = 0; i < output->count; i++)
        add_to_scope(scope, alias, output->columns[i].name, output->columns[i].family,
                     output->columns[i].type);
}

static void put_relation(struct maker *m, struct scope *scope)
{
    uint32_t what = choose(m->choices, 8);
    struct output output = {0};
    char alias[16];

    if (what == 5 && m->cte_count > 0) {
        const struct cte *cte = &m->ctes[choose(m->choices, m->cte_count)];
        next_alias(m, alias);
        put(m, "%s AS %s", cte->name, alias);
        add_output(scope, alias, &cte->output);
    } else if (what == 6 && m->depth < 2) {
        m->depth++;
        put(m, "(");
        put_query(m, NULL, NULL, 0, &output);
        m->depth--;
        next_alias(m, alias);
        put(m, ") AS %s", alias);
        add_output(scope, alias, &output);
    } else if (what == 7) {
        next_alias(m, alias);
        put(m, "(VALUES (1, 'a'), (2, 'b'), (NULL, 'abc'), (3, NULL)) AS %s(n, s)", alias);
        add_to_scope(scope, alias, "n", FAMILY_INTEGER, 0);
        add_to_scope(scope, alias, "s", FAMILY_TEXT, 0);
    } else {
        put_table(m, scope);
    }
}

/* Columns of both sides that are equal in a join, first those of one name. */
static bool put_equality(struct maker *m, const struct scope *left, const struct scope *right)
{
    uint32_t start = chance(m->choices, 1, 2) ? 0 : choose(m->choices, right->count);

    for (uint32_t k = 0; k < right->count; k++) {
        const struct scope_column *mine = &right->columns[(start + k) % right->count];
        uint32_t first = choose(m->choices, left->count);
        for (uint32_t i = 0; i < left->count; i++) {
            const struct scope_column *other = &left->columns[(first + i) % left->count];
            bool same = mine->family == other->family &&
                        (mine->family < FAMILY_COMPARED || mine->type == other->type);
            if (same && mine->family != FAMILY_BOOLEAN) {
                put(m, "%s = %s", other->ref, mine->ref);
                return true;
            }
        }
    }
    put(m, "true");
    return false;
}

/* The name that both sides have once. */
static const char *common_name(const struct scope *left, const struct scope *right)
{
    for (uint32_t k = 0; k < right->count; k++) {
        uint32_t there = 0;
        for (uint32_t i = 0; i < left->count; i++)
            there += strcmp(left->columns[i].name, right->columns[k].name) == 0;
        if (there == 1 && right->columns[k].family < FAMILY_COMPARED)
            return right->columns[k].name;
    }
    return NULL;
}

static void put_lateral(struct maker *m, struct scope *scope)
{
    struct scope inner = {.outer = scope};
    char alias[16];

    m->depth++;
    put(m, ", LATERAL (SELECT count(*) AS n, max(1) AS m FROM ");
    put_table(m, &inner);
    put(m, " WHERE ");
    (void)put_equality(m, scope, &inner);
    m->depth--;
    next_alias(m, alias);
    put(m, ") AS %s", alias);
    add_to_scope(scope, alias, "n", FAMILY_INTEGER, 0);
}

static void put_join(struct maker *m, struct scope *scope)
{
    static const char *const joins[] = {"JOIN",      "LEFT JOIN", "RIGHT JOIN",
                                        "FULL JOIN", "SEMI JOIN", "ANTI JOIN"};
    uint32_t what = choose(m->choices, 10);
    struct scope right = {0};
    struct random_query made = {.mesh = FM_BUF_INIT(0), .oracle = FM_BUF_INIT(0)};
    struct random_query *out = m->out;

    if (what == 9 && m->depth < 2) {
        put_lateral(m, scope);
        return;
    }
    m->out = &made;
    put_relation(m, &right);
    m->out = out;
    const char *name = common_name(scope, &right);
    if (what == 8 && chance(m->choices, 1, 3)) {
        put(m, " CROSS JOIN ");
        put_made(m, &made);
    } else if (what == 8 && name != NULL && chance(m->choices, 1, 3)) {
        /* By all names that both have; a name twice on one side is refused by both. */
        put(m, " NATURAL %s ", joins[choose(m->choices, 4)]);
        put_made(m, &made);
    } else if (what >= 6 && name != NULL) {
        char quoted[40];
        quote(quoted, sizeof quoted, name);
        put(m, " %s ", joins[choose(m->choices, 4)]);
        put_made(m, &made);
        put(m, " USING (%s)", quoted);
    } else {
        put(m, " %s ", joins[what % 6]);
        put_made(m, &made);
        put(m, " ON ");
        bool equal = put_equality(m, scope, &right);
        if (equal && chance(m->choices, 1, 4) && what % 6 < 2) {
            put(m, " AND ");
            put_condition(m, &right, 0);
        }
        if (what % 6 >= 4)
            return;
    }
    for (uint32_t i = 0; i < right.count && scope->count < SCOPE_MAX; i++)
        scope->columns[scope->count++] = right.columns[i];
}

static void put_from(struct maker *m, struct scope *scope)
{
    static const uint32_t joins[] = {0, 1, 0, 1, 2, 1};
    uint32_t count = m->depth >= 2 ? choose(m->choices, 2) : joins[choose(m->choices, 6)];

    put_relation(m, scope);
    for (uint32_t i = 0; i < count; i++)
        put_join(m, scope);
}

/* ---- SELECT ---- */

static void add_result(struct output *output, uint32_t family, uint32_t type, bool named,
                       struct maker *m)
{
    struct scope_column *column = &output->columns[output->count];

    *column = (struct scope_column){.family = family, .type = type};
    (void)snprintf(column->name, sizeof column->name, "o%u", (unsigned)output->count);
    output->count++;
    if (named)
        put(m, " AS %s", column->name);
}

/* In a subquery columns need names to be spoken of. */
static bool is_named(struct maker *m)
{
    return m->depth > 0 || m->cte_count > 0 || chance(m->choices, 2, 3);
}

static void put_window(struct maker *m, const struct scope *scope, struct output *output)
{
    static const char *const functions[] = {"rank()", "dense_rank()", "count(*)", "percent_rank()"};
    const struct scope_column *column = pick_any(m, scope);
    uint32_t what = choose(m->choices, 6);
    uint32_t family = what == 3 ? FAMILY_FLOAT : FAMILY_INTEGER;

    if (what < 4) {
        put(m, "%s", functions[what]);
    } else {
        put(m, "%s(%s)", what == 4 ? "min" : "count", column->ref);
        family = what == 4 ? column->family : FAMILY_INTEGER;
    }
    put(m, " OVER (");
    if (chance(m->choices, 1, 2))
        put(m, "PARTITION BY %s ", pick_any(m, scope)->ref);
    put(m, "ORDER BY %s%s)", pick_any(m, scope)->ref, chance(m->choices, 1, 3) ? " DESC" : "");
    add_result(output, family, column->type, true, m);
}

static void put_plain_list(struct maker *m, const struct scope *scope, const uint32_t *wanted,
                           uint32_t wanted_count, struct output *output)
{
    uint32_t count = wanted != NULL ? wanted_count : 1 + choose(m->choices, 4);

    for (uint32_t i = 0; i < count; i++) {
        put(m, "%s", i > 0 ? ", " : "");
        if (wanted != NULL) {
            put_expression(m, scope, wanted[i], 2);
            add_result(output, wanted[i], 0, is_named(m), m);
        } else if (chance(m->choices, 1, 12)) {
            put_window(m, scope, output);
        } else if (chance(m->choices, 1, 3)) {
            uint32_t family = choose(m->choices, FAMILY_COMPARED);
            put_expression(m, scope, family, 2);
            add_result(output, family, 0, is_named(m), m);
        } else {
            const struct scope_column *column = pick_any(m, scope);
            put(m, "%s", column->ref);
            add_result(output, column->family, column->type, is_named(m), m);
        }
    }
}

static void put_groups(struct maker *m, const struct scope_column *const *columns, uint32_t count)
{
    static const char *const forms[] = {"", "ROLLUP ", "CUBE "};
    uint32_t form = chance(m->choices, 1, 6) ? choose(m->choices, 4) : 0;

    if (count == 0)
        return;
    put(m, " GROUP BY ");
    if (form == 3) {
        put(m, "GROUPING SETS ((), (%s)", columns[0]->ref);
        if (count > 1)
            put(m, ", (%s, %s)", columns[0]->ref, columns[1]->ref);
        put(m, ")");
        return;
    }
    put(m, "%s", forms[form]);
    put(m, "%s", form > 0 ? "(" : "");
    for (uint32_t i = 0; i < count; i++)
        put(m, "%s%s", i > 0 ? ", " : "", columns[i]->ref);
    put(m, "%s", form > 0 ? ")" : "");
}

/* SELECT groups, aggregates; `made` is the text of FROM and WHERE. */
static void put_aggregation(struct maker *m, const struct scope *scope, struct random_query *made,
                            struct output *output)
{
    const struct scope_column *groups[3];
    uint32_t group_count = choose(m->choices, 3);
    uint32_t count = 1 + choose(m->choices, 3);

    for (uint32_t i = 0; i < group_count; i++) {
        groups[i] = pick_any(m, scope);
        put(m, "%s", groups[i]->ref);
        add_result(output, groups[i]->family, groups[i]->type, is_named(m), m);
        put(m, ", ");
    }
    for (uint32_t i = 0; i < count; i++) {
        put(m, "%s", i > 0 ? ", " : "");
        /* min and max keep a type that only its column can be compared with: not known here. */
        uint32_t family = put_aggregate(m, scope);
        add_result(output, family, UINT32_MAX, is_named(m), m);
    }
    put_made(m, made);
    put_groups(m, groups, group_count);
    if (group_count > 0 && chance(m->choices, 1, 4)) {
        put(m, " HAVING count(*) %s %u",
            choose(m->choices, 2) == 0 ? ">" : "<=", 1 + choose(m->choices, 3));
    }
}

/* A row by its primary key. False: the table at hand has none. */
static bool put_key_select(struct maker *m, struct output *output)
{
    struct scope *scope = calloc(1, sizeof *scope);
    struct random_query made = {.mesh = FM_BUF_INIT(0), .oracle = FM_BUF_INIT(0)};
    struct random_query *out = m->out;

    fm_assert(scope != NULL);
    m->out = &made;
    put_table(m, scope);
    m->out = out;
    const struct world_table *table = &m->world->tables[m->last_table];
    bool keyed = table->key_count > 0;
    if (keyed) {
        put(m, "SELECT ");
        uint32_t count = 1 + choose(m->choices, 3);
        for (uint32_t i = 0; i < count; i++) {
            const struct scope_column *column = pick_any(m, scope);
            put(m, "%s%s", i > 0 ? ", " : "", column->ref);
            add_result(output, column->family, column->type, m->depth > 0, m);
        }
        put(m, " FROM ");
        put_made(m, &made);
        for (uint32_t i = 0; i < table->key_count; i++) {
            bool text = table->columns[i].type == 2;
            put(m, " %s \"%s\" = %s%u%s", i > 0 ? "AND" : "WHERE", table->columns[i].name,
                text ? "'code-" : "", choose(m->choices, 24), text ? "'" : "");
        }
    }
    random_query_deinit(&made);
    free(scope);
    return keyed;
}

/* A select of the families, or of any. */
static void put_select(struct maker *m, const struct scope *outer, const uint32_t *wanted,
                       uint32_t wanted_count, struct output *output)
{
    struct scope *scope = calloc(1, sizeof *scope);
    struct random_query made = {.mesh = FM_BUF_INIT(0), .oracle = FM_BUF_INIT(0)};
    struct random_query *out = m->out;

    fm_assert(scope != NULL);
    scope->outer = outer;
    *output = (struct output){0};
    m->out = &made;
    put(m, " FROM ");
    put_from(m, scope);
    if (chance(m->choices, 1, 2)) {
        put(m, " WHERE ");
        put_condition(m, scope, 2);
    }
    m->out = out;
    put(m, "SELECT ");
    uint32_t what = choose(m->choices, 8);
    if (wanted == NULL && what >= 4 && what <= 6) {
        put_aggregation(m, scope, &made, output);
    } else if (wanted == NULL && m->depth == 0 && !m->has_facts && what == 7 &&
               chance(m->choices, 1, 3)) {
        put(m, "*");
        put_made(m, &made);
    } else {
        if (what == 3)
            put(m, "DISTINCT ");
        put_plain_list(m, scope, wanted, wanted_count, output);
        put_made(m, &made);
    }
    free(scope);
}

/* ---- Queries ---- */

static void put_set(struct maker *m, const struct scope *outer, const uint32_t *wanted,
                    uint32_t wanted_count, struct output *output)
{
    static const char *const sets[] = {"UNION ALL", "UNION",         "INTERSECT",
                                       "EXCEPT",    "INTERSECT ALL", "EXCEPT ALL"};
    uint32_t families[3];
    uint32_t count = 1 + choose(m->choices, 2);
    struct output other;

    for (uint32_t i = 0; wanted == NULL && i < count; i++)
        families[i] = choose(m->choices, FAMILY_COMPARED);
    if (wanted == NULL) {
        wanted = families;
        wanted_count = count;
    }
    put_select(m, outer, wanted, wanted_count, output);
    uint32_t more = 1 + chance(m->choices, 1, 4);
    for (uint32_t i = 0; i < more; i++) {
        put(m, " %s ", sets[choose(m->choices, 6)]);
        put_select(m, outer, wanted, wanted_count, &other);
    }
}

void put_query(struct maker *m, const struct scope *outer, const uint32_t *wanted,
               uint32_t wanted_count, struct output *output)
{
    *output = (struct output){0};
    if (wanted == NULL && outer == NULL && chance(m->choices, 1, 12) && put_key_select(m, output))
        return;
    if (chance(m->choices, 1, 7))
        put_set(m, outer, wanted, wanted_count, output);
    else
        put_select(m, outer, wanted, wanted_count, output);
    /* Rows that a limit keeps are the same where they are ordered by all that they have. */
    if (m->depth > 0 && wanted == NULL && chance(m->choices, 1, 8)) {
        put(m, " ORDER BY ALL");
        put(m, " LIMIT %u", choose(m->choices, 6));
    }
}

static void put_recursive(struct maker *m, struct cte *cte)
{
    struct scope first = {0}, second = {0};
    struct random_query from = {.mesh = FM_BUF_INIT(0), .oracle = FM_BUF_INIT(0)};
    struct random_query *out = m->out;

    m->out = &from;
    put_table(m, &first);
    m->out = out;
    const struct scope_column *start = pick_column(m, &first, FAMILY_INTEGER);
    put(m, "%s(n, m) AS (SELECT CAST(%s AS HUGEINT), 0 FROM ", cte->name,
        start != NULL ? start->ref : "1");
    put_made(m, &from);
    m->out = &from;
    put_table(m, &second);
    m->out = out;
    const struct scope_column *next = pick_column(m, &second, FAMILY_INTEGER);
    put(m, " UNION SELECT CAST(%s AS HUGEINT), r.m + 1 FROM %s AS r JOIN ",
        next != NULL ? next->ref : "2", cte->name);
    put_made(m, &from);
    put(m, " ON %s = r.n WHERE r.m < 3)", next != NULL ? next->ref : "1");
    cte->output = (struct output){.count = 2,
                                  .columns = {{.name = "n", .family = FAMILY_INTEGER},
                                              {.name = "m", .family = FAMILY_INTEGER}}};
}

static void put_ctes(struct maker *m)
{
    uint32_t count = chance(m->choices, 1, 5) ? 1 + choose(m->choices, 3) : 0;
    bool recursive = count > 0 && chance(m->choices, 1, 3);

    put(m, "%s", count == 0 ? "" : recursive ? "WITH RECURSIVE " : "WITH ");
    for (uint32_t i = 0; i < count; i++) {
        struct cte *cte = &m->ctes[i];
        (void)snprintf(cte->name, sizeof cte->name, "w%u", (unsigned)i);
        put(m, "%s", i > 0 ? ", " : "");
        m->depth++;
        if (recursive && i == 0) {
            put_recursive(m, cte);
        } else {
            put(m, "%s AS %s(", cte->name, chance(m->choices, 1, 4) ? "MATERIALIZED " : "");
            put_query(m, NULL, NULL, 0, &cte->output);
            put(m, ")");
        }
        m->depth--;
        m->cte_count = i + 1;
    }
    put(m, "%s", count > 0 ? " " : "");
}

void random_query_make(struct choices *choices, const struct world *world, struct random_query *out)
{
    struct maker *m = calloc(1, sizeof *m);
    struct output *output = calloc(1, sizeof *output);

    fm_assert(m != NULL && output != NULL);
    *out = (struct random_query){.mesh = FM_BUF_INIT(1 << 20), .oracle = FM_BUF_INIT(1 << 20)};
    m->choices = choices;
    m->world = world;
    m->out = out;
    m->last_table = choose(choices, WORLD_TABLES);
    put_ctes(m);
    put_query(m, NULL, NULL, 0, output);
    if (chance(choices, 1, 3)) {
        put(m, " ORDER BY ALL%s", chance(choices, 1, 3) ? " DESC" : "");
        out->is_ordered = true;
        if (chance(choices, 1, 2))
            put(m, " LIMIT %u", 1 + choose(choices, 10));
        if (chance(choices, 1, 4))
            put(m, " OFFSET %u", choose(choices, 4));
    }
    fm_buf_put_u8(&out->mesh, 0);
    fm_buf_put_u8(&out->oracle, 0);
    fm_assert(fm_buf_status(&out->mesh) == FM_OK && fm_buf_status(&out->oracle) == FM_OK);
    free(output);
    free(m);
}
