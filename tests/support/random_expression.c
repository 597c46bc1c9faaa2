#include "tests/support/query_maker.h"

#include "core/assert.h"

const struct scope_column *pick_any(struct maker *m, const struct scope *scope)
{
    fm_assert(scope->count > 0);
    return &scope->columns[choose(m->choices, scope->count)];
}

static const struct scope_column *pick_here(struct maker *m, const struct scope *scope,
                                            uint32_t family)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < scope->count; i++)
        count += scope->columns[i].family == family;
    if (count == 0)
        return NULL;
    uint32_t nth = choose(m->choices, count);
    for (uint32_t i = 0; i < scope->count; i++) {
        if (scope->columns[i].family == family && nth-- == 0)
            return &scope->columns[i];
    }
    return NULL;
}

const struct scope_column *pick_column(struct maker *m, const struct scope *scope, uint32_t family)
{
    const struct scope_column *found = NULL;

    if (scope->outer != NULL && chance(m->choices, 1, 3))
        found = pick_here(m, scope->outer, family);
    return found != NULL ? found : pick_here(m, scope, family);
}

static void put_literal(struct maker *m, uint32_t family)
{
    static const char *const casts[] = {"", "", "", "DECIMAL(9, 2)", "DOUBLE", "DATE", "TIMESTAMP"};
    const char *value = world_literal(family, choose(m->choices, 8));

    if (family >= FAMILY_COMPARED)
        put(m, "NULL");
    else if (casts[family][0] == '\0')
        put(m, "%s", value);
    else
        put(m, "CAST(%s AS %s)", value, casts[family]);
}

static void put_leaf(struct maker *m, const struct scope *scope, uint32_t family)
{
    const struct scope_column *column =
        chance(m->choices, 1, 5) ? NULL : pick_column(m, scope, family);

    if (column != NULL)
        put(m, "%s", column->ref);
    else if (chance(m->choices, 1, 20))
        put(m, "NULL");
    else
        put_literal(m, family);
}

static void put_number(struct maker *m, const struct scope *scope, uint32_t family, uint32_t depth)
{
    static const char *const operators[] = {"+", "-", "*"};

    switch (choose(m->choices, 5)) {
    case 0:
        put(m, "(");
        put_leaf(m, scope, family);
        put(m, " %s %u)", operators[choose(m->choices, 2)], choose(m->choices, 4));
        break;
    case 1:
        put(m, "(");
        put_expression(m, scope, family, depth - 1);
        put(m, " %s ", operators[choose(m->choices, 3)]);
        put_expression(m, scope, family, depth - 1);
        put(m, ")");
        break;
    case 2:
        put(m, "abs(");
        put_expression(m, scope, family, depth - 1);
        put(m, ")");
        break;
    case 3:
        put(m, family == FAMILY_INTEGER ? "(" : "CAST((");
        put_leaf(m, scope, FAMILY_INTEGER);
        put(m, " %s %u)", choose(m->choices, 2) == 0 ? "%" : "/", 2 + choose(m->choices, 5));
        if (family != FAMILY_INTEGER)
            put(m, " AS %s)", family == FAMILY_FLOAT ? "DOUBLE" : "DECIMAL(38, 2)");
        break;
    default:
        if (family == FAMILY_INTEGER) {
            put(m, "length(");
            put_leaf(m, scope, FAMILY_TEXT);
            put(m, ")");
        } else {
            put_leaf(m, scope, family);
        }
    }
}

static void put_text(struct maker *m, const struct scope *scope, uint32_t depth)
{
    switch (choose(m->choices, 4)) {
    case 0:
        put(m, "upper(");
        put_leaf(m, scope, FAMILY_TEXT);
        put(m, ")");
        break;
    case 1:
        put(m, "(");
        put_expression(m, scope, FAMILY_TEXT, depth - 1);
        put(m, " || ");
        put_expression(m, scope, FAMILY_TEXT, depth - 1);
        put(m, ")");
        break;
    case 2:
        put(m, "substring(");
        put_leaf(m, scope, FAMILY_TEXT);
        put(m, ", %u, 2)", 1 + choose(m->choices, 2));
        break;
    default:
        put(m, "CAST(");
        put_leaf(m, scope, chance(m->choices, 1, 2) ? FAMILY_DATE : FAMILY_INTEGER);
        put(m, " AS VARCHAR)");
    }
}

/* A scalar subquery: one row at most by being an aggregate. */
static void put_scalar_subquery(struct maker *m, const struct scope *scope, uint32_t family)
{
    static const char *const functions[] = {"max", "min"};
    struct scope inner = {.outer = scope};
    struct random_query *out = m->out;
    struct random_query from = {.mesh = FM_BUF_INIT(0), .oracle = FM_BUF_INIT(0)};

    m->depth++;
    m->out = &from;
    put_table(m, &inner);
    m->out = out;
    const struct scope_column *column = pick_here(m, &inner, family);
    if (column != NULL)
        put(m, "(SELECT %s(%s) FROM ", functions[choose(m->choices, 2)], column->ref);
    else if (family == FAMILY_INTEGER)
        put(m, "(SELECT count(*) FROM ");
    else
        put(m, "(SELECT min(NULL) FROM ");
    fm_buf_put_span(&m->out->mesh, fm_buf_span(&from.mesh));
    fm_buf_put_span(&m->out->oracle, fm_buf_span(&from.oracle));
    if (chance(m->choices, 2, 3)) {
        put(m, " WHERE ");
        put_condition(m, &inner, 1);
    }
    put(m, ")");
    random_query_deinit(&from);
    m->depth--;
}

void put_expression(struct maker *m, const struct scope *scope, uint32_t family, uint32_t depth)
{
    uint32_t what = depth == 0 ? 0 : choose(m->choices, 10);

    if (family >= FAMILY_COMPARED || what < 4) {
        put_leaf(m, scope, family);
        return;
    }
    switch (what) {
    case 4:
        put(m, "CASE WHEN ");
        put_condition(m, scope, depth - 1);
        put(m, " THEN ");
        put_expression(m, scope, family, depth - 1);
        put(m, " ELSE ");
        put_expression(m, scope, family, depth - 1);
        put(m, " END");
        return;
    case 5:
        put(m, choose(m->choices, 2) == 0 ? "coalesce(" : "nullif(");
        put_expression(m, scope, family, depth - 1);
        put(m, ", ");
        put_leaf(m, scope, family);
        put(m, ")");
        return;
    case 6:
        if (m->depth < 2 && family != FAMILY_BOOLEAN) {
            put_scalar_subquery(m, scope, family);
            return;
        }
        break;
    default:
        break;
    }
    if (family == FAMILY_INTEGER || family == FAMILY_DECIMAL || family == FAMILY_FLOAT)
        put_number(m, scope, family, depth);
    else if (family == FAMILY_TEXT)
        put_text(m, scope, depth);
    else if (family == FAMILY_BOOLEAN)
        put_condition(m, scope, depth - 1);
    else
        put_leaf(m, scope, family);
}

/* ---- Conditions ---- */

static void put_comparison(struct maker *m, const struct scope *scope,
                           const struct scope_column *column, uint32_t depth)
{
    static const char *const operators[] = {
        "=", "<", ">", "<>", "<=", ">=", "IS NOT DISTINCT FROM", "IS DISTINCT FROM"};
    const char *operator= operators[choose(m->choices, 8)];

    if (column->family >= FAMILY_COMPARED) {
        put(m, "%s IS %sNULL", column->ref, choose(m->choices, 2) == 0 ? "NOT " : "");
        return;
    }
    switch (choose(m->choices, 4)) {
    case 0:
    case 1:
        put(m, "%s %s ", column->ref, operator);
        if (strncmp(column->name, "code", 4) == 0)
            put(m, "'code-%u'", choose(m->choices, 24));
        else
            put_literal(m, column->family);
        break;
    case 2:
        put(m, "%s %s ", column->ref, operator);
        put_expression(m, scope, column->family, depth);
        break;
    default:
        put_expression(m, scope, column->family, depth);
        put(m, " %s ", operator);
        put_expression(m, scope, column->family, depth);
    }
}

static void put_list(struct maker *m, const struct scope_column *column)
{
    uint32_t count = 1 + choose(m->choices, 8);

    put(m, "%s %sIN (", column->ref, chance(m->choices, 1, 3) ? "NOT " : "");
    for (uint32_t i = 0; i < count; i++) {
        put(m, "%s", i > 0 ? ", " : "");
        if (chance(m->choices, 1, 8))
            put(m, "NULL");
        else
            put_literal(m, column->family);
    }
    put(m, ")");
}

static void put_like(struct maker *m, const struct scope_column *column)
{
    static const char *const patterns[] = {"'a%'", "'%'",     "'%b%'", "'a_c'",
                                           "''",   "'a\\%%'", "'A%'"};

    put(m, "%s %s%s %s", column->ref, chance(m->choices, 1, 4) ? "NOT " : "",
        chance(m->choices, 1, 5) ? "ILIKE" : "LIKE", patterns[choose(m->choices, 7)]);
}

static void put_subquery_condition(struct maker *m, const struct scope *scope,
                                   const struct scope_column *column)
{
    static const char *const comparisons[] = {"IN", "NOT IN", "= ANY", "> ALL", "<= ANY"};
    uint32_t family = column->family;
    struct output output;
    struct scope inner = {.outer = scope};

    m->depth++;
    if (choose(m->choices, 3) == 0 || family >= FAMILY_COMPARED) {
        put(m, "%sEXISTS (SELECT 1 FROM ", chance(m->choices, 1, 3) ? "NOT " : "");
        put_table(m, &inner);
        put(m, " WHERE ");
        const struct scope_column *mine = pick_here(m, &inner, family);
        if (mine != NULL && family < FAMILY_COMPARED)
            put(m, "%s = %s AND ", mine->ref, column->ref);
        put_condition(m, &inner, 1);
        put(m, ")");
    } else {
        put(m, "%s %s (", column->ref, comparisons[choose(m->choices, 5)]);
        put_query(m, chance(m->choices, 1, 3) ? scope : NULL, &family, 1, &output);
        put(m, ")");
    }
    m->depth--;
}

void put_condition(struct maker *m, const struct scope *scope, uint32_t depth)
{
    static const char *const words[] = {"AND", "OR"};
    const struct scope_column *column = pick_any(m, scope);
    uint32_t what = choose(m->choices, depth == 0 ? 7 : 12);
    bool simple = column->family < FAMILY_COMPARED;

    if (what <= 2) {
        put_comparison(m, scope, column, depth == 0 ? 0 : depth - 1);
    } else if (what == 3 || !simple) {
        put(m, "%s IS %sNULL", column->ref, choose(m->choices, 2) == 0 ? "NOT " : "");
    } else if (what == 4) {
        put_list(m, column);
    } else if (what == 5) {
        put(m, "%s %sBETWEEN ", column->ref, chance(m->choices, 1, 4) ? "NOT " : "");
        put_literal(m, column->family);
        put(m, " AND ");
        put_literal(m, column->family);
    } else if (what == 6) {
        if (column->family == FAMILY_TEXT)
            put_like(m, column);
        else
            put_comparison(m, scope, column, 0);
    } else if (what == 7 && m->depth < 2) {
        put_subquery_condition(m, scope, column);
    } else if (what == 8) {
        put(m, "NOT (");
        put_condition(m, scope, depth - 1);
        put(m, ")");
    } else {
        put(m, "(");
        put_condition(m, scope, depth - 1);
        put(m, " %s ", words[choose(m->choices, 2)]);
        put_condition(m, scope, depth - 1);
        put(m, ")");
    }
}

/* ---- Aggregates ---- */

/* Calls whose answer does not hang on the order of rows. */
static uint32_t put_call(struct maker *m, const struct scope *scope,
                         const struct scope_column *column)
{
    bool number = column->family == FAMILY_INTEGER || column->family == FAMILY_DECIMAL ||
                  column->family == FAMILY_FLOAT;

    switch (choose(m->choices, 8)) {
    case 0:
        put(m, "count(*)");
        return FAMILY_INTEGER;
    case 1:
        put(m, "count(%s%s)", chance(m->choices, 1, 2) ? "DISTINCT " : "", column->ref);
        return FAMILY_INTEGER;
    case 2:
        put(m, "min(%s)", column->ref);
        return column->family;
    case 3:
        put(m, "max(%s)", column->ref);
        return column->family;
    case 4:
        put(m, "%s(%s%s)", number ? "avg" : "count", chance(m->choices, 1, 5) ? "DISTINCT " : "",
            column->ref);
        return number ? FAMILY_FLOAT : FAMILY_INTEGER;
    case 5:
        if (column->family == FAMILY_BOOLEAN) {
            put(m, "bool_%s(%s)", choose(m->choices, 2) == 0 ? "and" : "or", column->ref);
            return FAMILY_BOOLEAN;
        }
        if (column->family == FAMILY_TEXT) {
            put(m, "string_agg(%s, ',' ORDER BY %s)", column->ref, column->ref);
            return FAMILY_TEXT;
        }
        if (column->family == FAMILY_INTEGER) {
            put(m, "sum(");
            put_expression(m, scope, FAMILY_INTEGER, 1);
            put(m, ")");
            return FAMILY_INTEGER;
        }
        put(m, "count(%s)", column->ref);
        return FAMILY_INTEGER;
    default:
        put(m, "%s(%s%s)", number ? "sum" : "max",
            number && chance(m->choices, 1, 6) ? "DISTINCT " : "", column->ref);
        return column->family;
    }
}

uint32_t put_aggregate(struct maker *m, const struct scope *scope)
{
    const struct scope_column *column = pick_any(m, scope);
    uint32_t family = put_call(m, scope, column);

    if (chance(m->choices, 1, 6)) {
        put(m, " FILTER (WHERE ");
        put_condition(m, scope, 0);
        put(m, ")");
    }
    return family;
}
