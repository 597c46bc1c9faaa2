#include "query/plan.h"

#include "core/assert.h"
#include "query/carve.h"
#include "query/place.h"
#include "query/plan_read.h"
#include "query/push.h"
#include "query/tree.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The engine prints with parentheses and full words, so its text is longer than the user's. */
#define REWRITTEN_BYTES_MAX FM_ENGINE_SQL_BYTES_MAX

/* A statement whose tables the engine would read twice is planned again with them shared. */
#define ROUNDS_MAX 3u

void fm_plan_table_deinit(struct fm_plan_table *table)
{
    fm_schema_free(table->schema);
    if (table->statistics != NULL)
        fm_statistics_deinit(table->statistics);
    free(table->statistics);
    free(table->fields);
    free(table->enum_fields);
    free(table->refs);
    fm_buf_free(&table->sql);
    fm_predicate_list_deinit(&table->predicates);
}

void fm_plan_deinit(struct fm_plan *plan)
{
    for (uint32_t i = 0; plan->tables != NULL && i < plan->table_count; i++)
        fm_plan_table_deinit(&plan->tables[i]);
    free(plan->tables);
    free(plan->lookup.fields);
    free(plan->joins);
    free(plan->reductions);
    fm_buf_free(&plan->sql);
    fm_buf_free(&plan->shipped);
    *plan = (struct fm_plan){0};
}

uint64_t fm_plan_sources(const struct fm_plan *plan, uint32_t n)
{
    uint64_t sources = plan->tables[n].given;

    for (uint32_t i = 0; i < plan->reduction_count; i++)
        if (plan->reductions[i].to == n)
            sources |= UINT64_C(1) << plan->reductions[i].from;
    return sources;
}

static enum fm_status check_text(struct fm_span sql, struct fm_error *err)
{
    if (sql.len == 0)
        return fm_fail(err, FM_INVALID, "the statement is empty");
    if (sql.len > FM_SQL_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "the statement has %zu bytes, at most %u are accepted",
                       sql.len, FM_SQL_BYTES_MAX);
    if (memchr(sql.data, 0, sql.len) != NULL || !fm_utf8_valid(sql))
        return fm_fail(err, FM_INVALID, "the statement is not UTF-8 text");
    return FM_OK;
}

static enum fm_status read_tree(struct fm_worker *worker, struct fm_span sql, struct tree *tree,
                                struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf json = FM_BUF_INIT(TREE_JSON_BYTES_MAX);

    enum fm_status status = fm_worker_parse(worker, sql, &json, err);
    if (status == FM_INVALID && err != NULL && strstr(err->text, "Only SELECT") != NULL)
        return fm_fail(err, FM_INVALID, "only SELECT statements are supported");
    return status == FM_OK ? tree_read(tree, sql, fm_buf_span(&json), err) : status;
}

/* What is not known, whatever the reason, is done without. */
static enum fm_status take_statistics(const struct fm_catalog *catalog, struct fm_plan_table *table)
{
    if (catalog->statistics == NULL || table->is_own)
        return FM_OK;
    table->statistics = calloc(1, sizeof *table->statistics);
    if (table->statistics == NULL)
        return FM_NOMEM;
    if (catalog->statistics(catalog->context, table->domain, table->table, &table->owner,
                            table->statistics) != FM_OK) {
        free(FM_TAKE(table->statistics));
        return FM_OK;
    }
    if (table->rows == 0)
        table->rows = table->statistics->rows;
    return FM_OK;
}

static enum fm_status resolve(const struct fm_catalog *catalog, const struct tree *tree,
                              struct fm_plan *plan, struct fm_error *err)
{
    plan->tables = calloc(tree->table_count > 0 ? tree->table_count : 1, sizeof *plan->tables);
    if (plan->tables == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < tree->table_count; i++) {
        const struct tree_table *from = &tree->tables[i];
        struct fm_plan_table *to = &plan->tables[i];
        (void)snprintf(to->domain, sizeof to->domain, "%s", from->domain); /* Of equal size. */
        (void)snprintf(to->table, sizeof to->table, "%s", from->name);
        to->at = from->at;
        to->rule = FM_RULE_SCAN;
        plan->table_count = i + 1;
        enum fm_status status = catalog->resolve(catalog->context, to->domain, to->table,
                                                 &to->schema, &to->owner, &to->rows);
        if (status == FM_NOTFOUND)
            return fm_fail(err, FM_NOTFOUND, "table %s.%s does not exist or is not visible to you",
                           to->domain, to->table);
        if (status != FM_OK)
            return fm_fail(err, status, "look up table %s.%s: %s", to->domain, to->table,
                           fm_status_text(status));
        fm_assert(to->schema != NULL && to->schema->field_count > 0);
        to->is_own = fm_domain_is_own(to->schema->domain);
        if (to->is_own && to->at.kind != FM_AT_LATEST)
            return fm_fail(err, FM_INVALID, "%s.%s has no past: AT cannot be used with it",
                           to->domain, to->table);
        status = take_statistics(catalog, to);
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

static enum fm_plan_kind kind_of(const struct fm_plan *plan, uint64_t rules_off)
{
    if ((rules_off >> FM_RULE_SHIP & 1u) != 0)
        return FM_PLAN_MERGE;
    for (uint32_t i = 0; i < plan->table_count; i++) {
        if (!fm_plan_one_owner(&plan->tables[i], &plan->tables[0]))
            return FM_PLAN_MERGE;
    }
    return plan->table_count > 0 ? FM_PLAN_SHIP : FM_PLAN_MERGE;
}

static enum fm_status unparse(struct fm_worker *worker, const struct tree *tree, struct fm_buf *out,
                              struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf json = FM_BUF_INIT(TREE_JSON_BYTES_MAX);

    enum fm_status status = tree_json_print(tree->root, &json);
    if (status != FM_OK)
        return fm_fail(err, status, "the statement is too large");
    return fm_worker_unparse(worker, fm_buf_span(&json), out, err);
}

/* The rewritten statement, in which the slots of `shared` are read once for all. */
static enum fm_status rewrite(struct fm_worker *worker, struct tree *tree, uint64_t shared,
                              struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(REWRITTEN_BYTES_MAX);

    enum fm_status status = tree_point(tree, shared);
    if (status == FM_OK)
        status = unparse(worker, tree, &sql, err);
    if (status == FM_OK) {
        fm_buf_clear(out);
        status = tree_share(fm_buf_span(&sql), shared, out);
    }
    return status;
}

/* What the owner gets: the engine's print of the tree that was checked; the user's own text where
 * that would be too long to send. Both mean the same: the owner checks whatever comes. */
static enum fm_status ship(struct fm_worker *worker, const struct tree *tree, struct fm_buf *out,
                           struct fm_error *err)
{
    enum fm_status status = unparse(worker, tree, out, err);

    if (status != FM_LIMIT && (status != FM_OK || out->len <= FM_SQL_BYTES_MAX))
        return status;
    fm_buf_clear(out);
    fm_buf_put_span(out, tree->sql);
    return fm_buf_status(out);
}

/* The names and types of a table as the engine plans with them: text stays text. */
static enum fm_status set_columns(const struct fm_schema *schema, struct fm_columns *out)
{
    out->items = calloc(schema->field_count, sizeof *out->items);
    if (out->items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < schema->field_count; i++) {
        (void)snprintf(out->items[i].name, sizeof out->items[i].name, "%s",
                       schema->fields[i].name); /* Names of fields are shorter. */
        enum fm_status status = fm_type_copy(&schema->fields[i].type, &out->items[i].type);
        if (status != FM_OK)
            return status;
        out->count = i + 1;
    }
    return FM_OK;
}

static enum fm_status declare(struct fm_worker *worker, const struct fm_plan *plan,
                              struct fm_error *err)
{
    struct fm_columns columns[FM_QUERY_TABLES_MAX] = {{0}};
    struct fm_slot slots[FM_QUERY_TABLES_MAX] = {{0}};
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < plan->table_count; i++) {
        status = set_columns(plan->tables[i].schema, &columns[i]);
        slots[i] = (struct fm_slot){.columns = &columns[i], .rows = plan->tables[i].rows};
    }
    if (status == FM_OK)
        status = fm_worker_set_slots(worker, slots, plan->table_count, err);
    for (uint32_t i = 0; i < plan->table_count; i++)
        fm_columns_deinit(&columns[i]);
    return status;
}

/* The engine names places in the rewritten text, which the user has never seen. */
static void clean_error(struct fm_error *err)
{
    if (err == NULL)
        return;
    char *at = strstr(err->text, " (at character ");
    if (at == NULL)
        at = strstr(err->text, "\n\nLINE ");
    if (at == NULL)
        at = strstr(err->text, "\nLINE ");
    if (at != NULL)
        *at = '\0';
}

static enum fm_status optimise(struct fm_worker *worker, struct fm_plan *plan, uint64_t *shared,
                               struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf json = FM_BUF_INIT(TREE_JSON_BYTES_MAX);

    enum fm_status status = fm_worker_plan(worker, fm_buf_span(&plan->sql), &json, err);
    if (status == FM_OK)
        return plan_read(plan, fm_buf_span(&json), shared, err);
    if (status == FM_INVALID)
        clean_error(err);
    return status;
}

static bool holds_json(const struct fm_type *type)
{
    for (uint32_t i = 0; i < type->child_count; i++) {
        if (holds_json(&type->children[i]))
            return true;
    }
    return type->kind == FM_KIND_JSON;
}

/* JSON compares with text as text, but with an ENUM as JSON. */
static bool any_json(const struct fm_plan *plan)
{
    for (uint32_t i = 0; i < plan->table_count; i++) {
        for (uint32_t f = 0; f < plan->tables[i].schema->field_count; f++) {
            if (holds_json(&plan->tables[i].schema->fields[f].type))
                return true;
        }
    }
    return false;
}

static enum fm_status set_enums(const struct tree_uses *uses, bool json,
                                struct fm_plan_table *table)
{
    table->enum_fields = calloc(table->field_count, sizeof *table->enum_fields);
    if (table->enum_fields == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < table->field_count && !json && table->sql.len == 0; i++) {
        const struct fm_field *field = &table->schema->fields[table->fields[i]];
        if (field->type.kind == FM_KIND_VARCHAR && tree_uses_allows(uses, field->name))
            table->enum_fields[table->enum_count++] = table->fields[i];
    }
    return FM_OK;
}

/* A column without a name is called as its expression is written, tables in it as asked for. */
static enum fm_status name_columns(struct fm_worker *worker, struct tree *tree,
                                   struct fm_error *err)
{
    FM_AUTO(tree_json_freep) json_t *items = json_array();
    FM_AUTO(fm_buf_free) struct fm_buf name = FM_BUF_INIT(REWRITTEN_BYTES_MAX);
    static const char select[] = "SELECT ";
    json_t *item = NULL;
    size_t i = 0;

    enum fm_status status = items == NULL ? FM_NOMEM : tree_nameless(tree, items);
    json_array_foreach(items, i, item)
    {
        struct tree only = {.root = status == FM_OK ? tree_select_of(item) : NULL};
        fm_buf_clear(&name);
        if (status == FM_OK)
            status = only.root == NULL ? FM_NOMEM : unparse(worker, &only, &name, err);
        json_decref(only.root);
        if (status != FM_OK)
            break;
        fm_assert(name.len >= sizeof select - 1);
        if (json_object_set_new(item, "alias",
                                json_stringn((const char *)name.data + sizeof select - 1,
                                             name.len - (sizeof select - 1))) != 0)
            return FM_NOMEM;
    }
    return status;
}

/* Parts of the statement to the owners of their tables. */
static enum fm_status carve(struct fm_worker *worker, struct tree *tree, struct fm_plan *plan,
                            uint64_t rules_off, struct fm_error *err)
{
    struct planner planner = {
        .worker = worker, .tree = tree, .plan = plan, .rules_off = rules_off, .err = err};
    enum fm_status status = tree_shorten(tree);

    if (status == FM_OK && planner_may(&planner, FM_RULE_AGGREGATE))
        status = plan_aggregate(&planner);
    if (status == FM_OK && planner_may(&planner, FM_RULE_SUBQUERY))
        status = plan_carve_parts(&planner);
    plan_settle_slots(&planner);
    for (uint32_t i = 0; i < plan->table_count; i++)
        plan->is_carved |= plan->tables[i].sql.len != 0;
    return status == FM_OK && plan->is_carved ? declare(worker, plan, err) : status;
}

/* One way to plan a statement. */
struct attempt {
    uint64_t rules_off;
    int64_t now_us;
    bool pushes;    /* Nothing else is carved, */
    double cost_us; /* and only for clearly less than this. */
    /* Of the outcome: */
    double rows;    /* That the statement makes at most; below 0: not known. */
    bool is_carved; /* Also where it failed. */
    bool was_pushed;
};

/* The merge of a pushed statement needs no more planning. */
static enum fm_status push(struct fm_worker *worker, struct tree *tree, struct fm_span sql,
                           struct fm_plan *plan, struct attempt *attempt, struct fm_error *err)
{
    struct planner planner = {
        .worker = worker, .tree = tree, .plan = plan, .rules_off = attempt->rules_off, .err = err};
    struct push_ask ask = {.sql = sql, .rows = attempt->rows, .cost_us = attempt->cost_us};

    enum fm_status status = plan_push(&planner, &ask, &attempt->was_pushed);
    if (status == FM_OK && attempt->was_pushed)
        status = rewrite(worker, tree, 0, &plan->sql, err);
    return status;
}

static enum fm_status plan_tree(struct fm_worker *worker, struct tree *tree, struct fm_plan *plan,
                                struct attempt *attempt, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf sql = FM_BUF_INIT(REWRITTEN_BYTES_MAX);
    uint64_t shared = 0;
    uint64_t again = 0;
    enum fm_status status = declare(worker, plan, err);

    if (status == FM_OK && attempt->pushes)
        status = unparse(worker, tree, &sql, err); /* With the names of its tables. */
    if (status == FM_OK && plan->kind == FM_PLAN_MERGE && plan->table_count > 1 && !tree->timed &&
        !attempt->pushes)
        status = carve(worker, tree, plan, attempt->rules_off, err);

    for (unsigned round = 0; status == FM_OK; round++) {
        status = rewrite(worker, tree, shared, &plan->sql, err);
        if (status == FM_OK)
            status = optimise(worker, plan, &again, err);
        if (status != FM_OK || again == 0)
            break;
        if (round + 1 == ROUNDS_MAX)
            return fm_fail(err, FM_INVALID,
                           "a table would be read more than once; "
                           "write it in a WITH query of its own");
        shared |= again;
    }
    if (status == FM_OK && attempt->pushes && plan->kind == FM_PLAN_MERGE && !tree->timed)
        status = push(worker, tree, fm_buf_span(&sql), plan, attempt, err);
    bool json = any_json(plan);
    for (uint32_t i = 0; status == FM_OK && i < plan->table_count; i++)
        status = set_enums(&tree->uses, json, &plan->tables[i]);
    /* The statement runs a moment after it was planned, when now() is another. */
    for (uint32_t i = 0; tree->timed && i < plan->table_count; i++)
        fm_predicate_list_deinit(&plan->tables[i].predicates);
    return status;
}

/* With every condition said, and at no other moment than the statement's own. */
static void use_lookup(const struct tree *tree, uint64_t rules_off, struct fm_plan *plan)
{
    if (plan->lookup.field_count == 0)
        return;
    if (tree->timed || plan->tables[0].is_own || plan->tables[0].sql.len != 0 ||
        (rules_off >> FM_RULE_LOOKUP & 1u) != 0) {
        free(plan->lookup.fields);
        plan->lookup = (struct fm_plan_lookup){0};
        return;
    }
    plan->kind = FM_PLAN_LOOKUP;
    plan->tables[0].rule = FM_RULE_LOOKUP;
}

/* A column called current_date is not the clock. */
static bool hides_clock(const struct fm_plan *plan)
{
    for (uint32_t i = 0; i < plan->table_count; i++)
        for (uint32_t f = 0; f < plan->tables[i].schema->field_count; f++)
            if (tree_is_clock_word(plan->tables[i].schema->fields[f].name))
                return true;
    return false;
}

static uint32_t farthest(const struct fm_catalog *catalog, const struct fm_plan *plan)
{
    uint32_t farthest = 0;

    for (uint32_t i = 0; i < plan->table_count && catalog->round_trip != NULL; i++) {
        if (plan->tables[i].is_own)
            continue;
        uint32_t us = catalog->round_trip(catalog->context, &plan->tables[i].owner);
        farthest = us > farthest ? us : farthest;
    }
    return farthest != 0 ? farthest : FM_PLAN_RTT_US;
}

static enum fm_status make(struct fm_worker *worker, struct fm_span sql,
                           const struct fm_catalog *catalog, struct attempt *attempt,
                           struct tree *tree, struct fm_plan *plan, struct fm_error *err)
{
    enum fm_status status = read_tree(worker, sql, tree, err);

    if (status == FM_OK)
        status = resolve(catalog, tree, plan, err);
    plan->is_timed = tree->timed;
    if (status == FM_OK && tree->timed && attempt->now_us != 0 && !hides_clock(plan)) {
        status = name_columns(worker, tree, err);
        if (status == FM_OK)
            status = tree_fix_clock(tree, attempt->now_us);
    }
    if (status != FM_OK)
        return status;
    plan->kind = kind_of(plan, attempt->rules_off);
    plan->rtt_us = farthest(catalog, plan);
    if (plan->kind == FM_PLAN_SHIP)
        status = ship(worker, tree, &plan->shipped, err);
    if (status == FM_OK)
        status = name_columns(worker, tree, err);
    /* What is merged is told by its form. An owner does this, and reads the same columns then. */
    if (status == FM_OK && (plan->kind == FM_PLAN_SHIP || attempt->pushes))
        status = tree_group_distinct(tree);
    /* What the engine's plan says of joins holds for one moment, too. */
    attempt->rows = status != FM_OK || plan->kind != FM_PLAN_MERGE || tree->timed
                        ? -1
                        : push_rows(tree, plan->tables);
    if (status == FM_OK)
        status = plan_tree(worker, tree, plan, attempt, err);
    if (status == FM_OK)
        use_lookup(tree, attempt->rules_off, plan);
    if (status == FM_OK && !tree->timed)
        status = place_choose(plan, attempt->rules_off);
    return status;
}

static enum fm_status try_make(struct fm_worker *worker, struct fm_span sql,
                               const struct fm_catalog *catalog, struct attempt *attempt,
                               struct fm_plan *out, struct fm_error *err)
{
    struct tree *tree = calloc(1, sizeof *tree);
    struct fm_plan plan = {0};

    if (tree == NULL)
        return FM_NOMEM;
    plan.sql = FM_BUF_INIT(REWRITTEN_BYTES_MAX);
    plan.shipped = FM_BUF_INIT(REWRITTEN_BYTES_MAX);
    enum fm_status status = make(worker, sql, catalog, attempt, tree, &plan, err);
    tree_deinit(tree);
    free(tree);
    attempt->is_carved = plan.is_carved;
    if (status == FM_OK)
        *out = plan;
    else
        fm_plan_deinit(&plan);
    return status;
}

/* `plan` becomes the pushed one where that pays. What the engine cannot do with the statement as it
 * is pushed, it leaves as it was. */
static enum fm_status try_push(struct fm_worker *worker, struct fm_span sql,
                               const struct fm_catalog *catalog, const struct attempt *without,
                               struct fm_plan *plan, struct fm_error *err)
{
    struct attempt attempt = {.rules_off = without->rules_off,
                              .now_us = without->now_us,
                              .pushes = true,
                              .cost_us = place_cost(plan)};
    struct fm_plan pushed = {0};

    enum fm_status status = try_make(worker, sql, catalog, &attempt, &pushed, err);
    if (status == FM_OK && attempt.was_pushed) {
        fm_plan_deinit(plan);
        *plan = pushed;
        return FM_OK;
    }
    fm_plan_deinit(&pushed);
    return status == FM_INVALID || status == FM_LIMIT || status == FM_NOTFOUND ? FM_OK : status;
}

enum fm_status fm_plan_make(struct fm_worker *worker, struct fm_span sql,
                            const struct fm_catalog *catalog, const struct fm_plan_options *options,
                            struct fm_plan *out, struct fm_error *err)
{
    struct attempt attempt = {0};

    fm_assert(worker != NULL && catalog != NULL && catalog->resolve != NULL && out != NULL);
    if (options != NULL)
        attempt = (struct attempt){.rules_off = options->rules_off, .now_us = options->now_us};
    enum fm_status status = check_text(sql, err);
    if (status != FM_OK)
        return status;
    status = try_make(worker, sql, catalog, &attempt, out, err);
    if (status == FM_OK && (attempt.rules_off >> FM_RULE_PUSH & 1u) == 0 &&
        push_may_pay(out, attempt.rows)) {
        status = try_push(worker, sql, catalog, &attempt, out, err);
        if (status != FM_OK)
            fm_plan_deinit(out);
        return status;
    }
    /* The engine's complaint must be about the statement as it was asked. */
    if (status != FM_INVALID || !attempt.is_carved)
        return status;
    attempt = (struct attempt){.rules_off = UINT64_MAX, .now_us = attempt.now_us};
    return try_make(worker, sql, catalog, &attempt, out, err);
}

enum fm_status fm_plan_make_pushed(struct fm_worker *worker, struct fm_span sql,
                                   const struct fm_catalog *catalog,
                                   const struct fm_plan_options *options, struct fm_plan *out,
                                   struct fm_error *err)
{
    struct attempt attempt = {.rules_off = options->rules_off,
                              .now_us = options->now_us,
                              .pushes = true,
                              .cost_us = INFINITY};
    enum fm_status status = try_make(worker, sql, catalog, &attempt, out, err);

    if (status != FM_OK || attempt.was_pushed)
        return status;
    fm_plan_deinit(out);
    return FM_NOTFOUND;
}
