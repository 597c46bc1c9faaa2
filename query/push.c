#include "query/push.h"

#include "core/assert.h"
#include "query/place.h"

#include <stdlib.h>
#include <string.h>

#define PART_ROW_BYTES 16.0 /* Of a table that a part reads. */

static bool has_many_owners(const struct fm_plan *plan)
{
    for (uint32_t i = 1; i < plan->table_count; i++)
        if (!fm_plan_one_owner(&plan->tables[0], &plan->tables[i]))
            return true;
    return false;
}

/* Of a part it is not known which rows it reads: all may be. */
static double bytes_read(const struct fm_plan_table *table)
{
    struct place_estimate slot;

    if (table->statistics == NULL)
        return 0;
    if (table->sql.len != 0)
        return (double)table->statistics->rows * PART_ROW_BYTES;
    place_estimate(table, &slot);
    return slot.rows * slot.row_bytes;
}

bool push_may_pay(const struct fm_plan *plan, double rows)
{
    const struct fm_plan_table *big = NULL;

    if (rows < 0 || plan->kind != FM_PLAN_MERGE || !has_many_owners(plan))
        return false;
    for (uint32_t i = 0; i < plan->table_count; i++)
        if (big == NULL || bytes_read(&plan->tables[i]) > bytes_read(big))
            big = &plan->tables[i];
    double least_us = 2.0 * plan->rtt_us;
    if (big->statistics != NULL)
        least_us += (double)big->statistics->rows * (PLACE_SCAN_US + PLACE_JOIN_US);
    return place_cost(plan) > PLACE_PAYS_TIMES * least_us;
}

/* ---- What is given --------------------------------------------------------------------------- */

/* One table's rows are given once, however often the statement reads it. */
static bool is_same_table(const struct fm_plan_table *a, const struct fm_plan_table *b)
{
    return strcmp(a->domain, b->domain) == 0 && strcmp(a->table, b->table) == 0 &&
           a->at.kind == b->at.kind && a->at.value == b->at.value;
}

static enum fm_status add_fields(const struct fm_plan_table *from, struct fm_plan_table *to)
{
    uint32_t *fields = calloc((size_t)from->field_count + to->field_count, sizeof *fields);
    uint32_t count = 0;

    if (fields == NULL)
        return FM_NOMEM;
    for (uint32_t a = 0, b = 0; a < from->field_count || b < to->field_count;) {
        bool takes_b =
            a == from->field_count || (b < to->field_count && to->fields[b] <= from->fields[a]);
        a += a < from->field_count && (!takes_b || to->fields[b] == from->fields[a]) ? 1u : 0u;
        fields[count++] = takes_b ? to->fields[b++] : from->fields[a - 1];
    }
    free(to->fields);
    to->fields = fields;
    to->field_count = count;
    return FM_OK;
}

/* The slots of tables of other owners, each table once; those that go are without a node. */
static enum fm_status join_slots(struct planner *planner, uint64_t others)
{
    struct fm_plan *plan = planner->plan;

    for (uint32_t i = 0; i < plan->table_count; i++) {
        for (uint32_t k = 0; k < i && (others >> i & 1u) != 0; k++) {
            if ((others >> k & 1u) == 0 || planner->tree->tables[k].node == NULL ||
                !is_same_table(&plan->tables[i], &plan->tables[k]))
                continue;
            if (add_fields(&plan->tables[i], &plan->tables[k]) != FM_OK)
                return FM_NOMEM;
            fm_predicate_list_deinit(&plan->tables[k].predicates);
            fm_plan_table_deinit(&plan->tables[i]);
            plan->tables[i] = (struct fm_plan_table){.rule = FM_RULE_SCAN};
            planner->tree->tables[i] = (struct tree_table){.node = NULL};
            break;
        }
    }
    return FM_OK;
}

/* ---- Whether it pays ------------------------------------------------------------------------- */

struct pushing {
    uint64_t own;       /* Slots of the big owner, */
    uint64_t others;    /* and those of others. */
    double given_bytes; /* Of these, */
    double cost_us;     /* and of all. */
};

/* Of its columns, which share is not given already for an earlier slot of the same table. */
static double share_given(const struct fm_plan *plan, uint32_t slot)
{
    const struct fm_plan_table *table = &plan->tables[slot];
    uint32_t count = 0;

    for (uint32_t i = 0; i < table->field_count; i++) {
        bool is_given = false;
        for (uint32_t k = 0; k < slot; k++) {
            const struct fm_plan_table *other = &plan->tables[k];
            for (uint32_t f = 0; f < other->field_count && is_same_table(table, other); f++)
                is_given = is_given || other->fields[f] == table->fields[i];
        }
        count += is_given ? 0 : 1;
    }
    return (double)count / table->field_count;
}

static bool may_give_all(const struct fm_plan_table *table)
{
    for (uint32_t i = 0; i < table->field_count; i++)
        if (!place_may_give(table, table->fields[i]))
            return false;
    return true;
}

static uint32_t biggest(const struct fm_plan *plan)
{
    double most = -1;
    uint32_t found = 0;

    for (uint32_t i = 0; i < plan->table_count; i++) {
        struct place_estimate estimate;
        place_estimate(&plan->tables[i], &estimate);
        if (estimate.rows * estimate.row_bytes <= most)
            continue;
        most = estimate.rows * estimate.row_bytes;
        found = i;
    }
    return found;
}

/* False where something is not known, or may not be given. */
static bool estimate(const struct fm_plan *plan, double rows, struct pushing *out)
{
    uint32_t big = biggest(plan);
    double row_bytes = 0;
    double read = 0;

    *out = (struct pushing){.cost_us = 2.0 * plan->rtt_us};
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const struct fm_plan_table *table = &plan->tables[i];
        struct place_estimate slot;
        place_estimate(table, &slot);
        if (table->is_own || table->statistics == NULL || slot.rows < 0)
            return false;
        row_bytes += slot.row_bytes;
        if (fm_plan_one_owner(table, &plan->tables[big])) {
            out->own |= UINT64_C(1) << i;
            read += (double)table->statistics->rows;
            continue;
        }
        if (!may_give_all(table))
            return false;
        out->others |= UINT64_C(1) << i;
        double bytes = slot.rows * slot.row_bytes * share_given(plan, i);
        out->given_bytes += bytes;
        out->cost_us += 2.0 * bytes / PLACE_BYTES_PER_US + slot.rows * PLACE_ROW_US;
    }
    uint32_t joins = (uint32_t)__builtin_popcountll(out->own | out->others) - 1;
    out->cost_us += read * (PLACE_SCAN_US + PLACE_JOIN_US * joins) +
                    rows * (row_bytes / PLACE_BYTES_PER_US + PLACE_ROW_US);
    return out->others != 0;
}

/* ---- Carving --------------------------------------------------------------------------------- */

/* The merge passes on what the owner sends. */
static enum fm_status set_slot(struct fm_plan *plan, uint32_t number, double rows)
{
    struct fm_plan_table *table = &plan->tables[number];
    uint32_t count = table->schema->field_count;

    table->fields = calloc(count, sizeof *table->fields);
    if (table->fields == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++)
        table->fields[i] = i;
    table->field_count = count;
    table->rows = rows < 1 ? 1 : rows < 1e18 ? (uint64_t)rows : UINT64_C(1000000000000000000);
    for (uint32_t i = 0; i < plan->table_count; i++)
        table->given |= i != number ? UINT64_C(1) << i : 0;
    plan->join_count = 0;
    plan->streams = true;
    plan->is_carved = true;
    return FM_OK;
}

enum fm_status plan_push(struct planner *planner, const struct push_ask *ask, bool *pushed)
{
    struct fm_plan *plan = planner->plan;
    struct pushing pushing;
    bool carved = false;

    *pushed = false;
    if (!estimate(plan, ask->rows, &pushing) || PLACE_PAYS_TIMES * pushing.cost_us > ask->cost_us ||
        pushing.given_bytes > FM_GIVEN_BYTES_MAX * 0.75)
        return FM_OK;
    enum fm_status status = plan_carve_whole(planner, ask->sql, pushing.own, &carved);
    if (status != FM_OK || !carved)
        return status;
    status = join_slots(planner, pushing.others);
    if (status != FM_OK)
        return status;
    plan_settle_slots(planner);
    if (plan->table_count - 1 > FM_GIVEN_TABLES_MAX)
        return FM_OK;
    for (uint32_t i = 0; i < plan->table_count && !*pushed; i++) {
        if (plan->tables[i].sql.len == 0)
            continue;
        status = set_slot(plan, i, ask->rows);
        *pushed = true;
    }
    return status;
}
