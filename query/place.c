#include "query/place.h"

#include "core/assert.h"

#include <math.h>
#include <stdlib.h>

#define KEY_BYTES 16.0
#define PART_KEYS_MAX 256u /* They are part of a statement that the owner plans. */

/* What is known of the slots while reductions are chosen. */
struct placing {
    struct fm_plan *plan;
    double rtt_us;
    struct place_estimate slots[FM_QUERY_TABLES_MAX];
    uint32_t levels[FM_QUERY_TABLES_MAX]; /* Slots read one after the other before this one. */
    uint64_t waits_for[FM_QUERY_TABLES_MAX];
};

static double move_us(const struct place_estimate *slot, double rows)
{
    return rows * (slot->row_bytes / PLACE_BYTES_PER_US + PLACE_ROW_US);
}

bool place_may_give(const struct fm_plan_table *table, uint32_t field)
{
    return table->sql.len == 0 && !table->is_own && table->statistics != NULL &&
           !fm_field_is_classified(&table->schema->fields[field]);
}

/* A part is reduced where it reads one table: then its rows are known. */
static bool may_take(const struct fm_plan_table *table, uint32_t field)
{
    if (table->statistics == NULL || table->is_own)
        return false;
    return table->sql.len != 0 ? table->ref_count == 1 && table->rows > 0
                               : !fm_field_is_classified(&table->schema->fields[field]);
}

/* What the owner's engine does for a part. */
static double read_us(const struct fm_plan_table *table)
{
    return table->sql.len != 0 ? (double)table->statistics->rows * PLACE_SCAN_US : 0;
}

static bool is_used(const struct fm_plan *plan, const struct fm_plan_reduction *reduction)
{
    for (uint32_t i = 0; i < plan->reduction_count; i++) {
        const struct fm_plan_reduction *other = &plan->reductions[i];
        if (other->from == reduction->from && other->to == reduction->to &&
            other->to_field == reduction->to_field)
            return true;
    }
    return false;
}

/* What is left of slot `to`, as a share of its rows. */
static double fraction_of(const struct placing *placing, const struct fm_plan_reduction *reduction)
{
    const struct fm_plan_table *from = &placing->plan->tables[reduction->from];
    const struct fm_plan_table *to = &placing->plan->tables[reduction->to];
    double keys = place_distinct(from, reduction->from_field, placing->slots[reduction->from].rows);
    double values = place_distinct(to, reduction->to_field,
                                   (double)(to->sql.len != 0 ? to->rows : to->statistics->rows));

    return fmin(1, keys / values);
}

/* Gain in us; 0 when it does not pay or may not be. */
static double gain_of(const struct placing *placing, const struct fm_plan_reduction *reduction)
{
    const struct fm_plan *plan = placing->plan;
    const struct place_estimate *from = &placing->slots[reduction->from];
    const struct place_estimate *to = &placing->slots[reduction->to];

    const struct fm_plan_table *target = &plan->tables[reduction->to];

    if (!place_may_give(&plan->tables[reduction->from], reduction->from_field) ||
        !may_take(target, reduction->to_field) ||
        (placing->waits_for[reduction->from] >> reduction->to & 1u) != 0 ||
        from->rows * from->row_bytes > FM_REDUCE_KEEP_BYTES_MAX / 2.0 || is_used(plan, reduction))
        return 0;
    double keys = place_distinct(&plan->tables[reduction->from], reduction->from_field, from->rows);
    if (keys > (target->sql.len != 0 ? PART_KEYS_MAX : FM_PREDICATE_VALUES_MAX))
        return 0;
    double saving =
        (move_us(to, to->rows) + read_us(target)) * (1 - fraction_of(placing, reduction));
    double cost = move_us(from, from->rows) + keys * KEY_BYTES / PLACE_BYTES_PER_US;
    if (placing->levels[reduction->to] <= placing->levels[reduction->from])
        cost += placing->rtt_us;
    return saving > PLACE_PAYS_TIMES * cost ? saving - cost : 0;
}

static bool best_of(const struct placing *placing, struct fm_plan_reduction *out)
{
    const struct fm_plan *plan = placing->plan;
    double best = 0;

    for (uint32_t i = 0; i < plan->join_count; i++) {
        const struct fm_plan_join *join = &plan->joins[i];
        for (unsigned to = 0; to < 2; to++) {
            struct fm_plan_reduction reduction = {.from = join->slots[1 - to],
                                                  .from_field = join->fields[1 - to],
                                                  .to = join->slots[to],
                                                  .to_field = join->fields[to]};
            double gain = join->drops[to] ? gain_of(placing, &reduction) : 0;
            if (gain <= best)
                continue;
            best = gain;
            *out = reduction;
        }
    }
    return best > 0;
}

/* Who waits for `to` waits for `from` too, and one level later. */
static void settle_order(struct placing *placing)
{
    const struct fm_plan *plan = placing->plan;

    for (uint32_t round = 0; round < plan->reduction_count; round++) {
        for (uint32_t i = 0; i < plan->reduction_count; i++) {
            const struct fm_plan_reduction *reduction = &plan->reductions[i];
            uint32_t level = placing->levels[reduction->from] + 1;
            placing->waits_for[reduction->to] |=
                placing->waits_for[reduction->from] | UINT64_C(1) << reduction->from;
            if (placing->levels[reduction->to] < level)
                placing->levels[reduction->to] = level;
        }
    }
}

static enum fm_status reduce(struct placing *placing)
{
    struct fm_plan *plan = placing->plan;
    struct fm_plan_reduction best;

    while (plan->reduction_count < FM_REDUCTIONS_MAX && best_of(placing, &best)) {
        if (plan->reductions == NULL)
            plan->reductions = calloc(FM_REDUCTIONS_MAX, sizeof *plan->reductions);
        if (plan->reductions == NULL)
            return FM_NOMEM;
        fm_assert(best.from != best.to);
        placing->slots[best.to].rows *= fraction_of(placing, &best);
        if (plan->tables[best.to].rule == FM_RULE_SCAN)
            plan->tables[best.to].rule = FM_RULE_REDUCE;
        plan->reductions[plan->reduction_count++] = best;
        settle_order(placing);
    }
    return FM_OK;
}

double place_cost(const struct fm_plan *plan)
{
    double us = (plan->reduction_count > 0 ? 2.0 : 1.0) * plan->rtt_us;

    for (uint32_t i = 0; i < plan->table_count; i++) {
        const struct fm_plan_table *table = &plan->tables[i];
        us +=
            (double)table->expected_bytes / PLACE_BYTES_PER_US +
            (double)table->expected_rows * (PLACE_ROW_US + PLACE_JOIN_US * (plan->table_count - 1));
        us += table->statistics != NULL ? read_us(table) : 0;
    }
    return us;
}

enum fm_status place_choose(struct fm_plan *plan, uint64_t rules_off)
{
    struct placing placing = {.plan = plan, .rtt_us = plan->rtt_us};
    enum fm_status status = FM_OK;

    fm_assert(plan->table_count <= FM_QUERY_TABLES_MAX && plan->reduction_count == 0);
    for (uint32_t i = 0; i < plan->table_count; i++)
        place_estimate(&plan->tables[i], &placing.slots[i]);
    if (plan->kind == FM_PLAN_MERGE && (rules_off >> FM_RULE_REDUCE & 1u) == 0)
        status = reduce(&placing);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        const struct place_estimate *slot = &placing.slots[i];
        plan->tables[i].expected_rows = slot->rows > 0 ? (uint64_t)ceil(slot->rows) : 0;
        plan->tables[i].expected_bytes =
            slot->rows > 0 ? (uint64_t)ceil(slot->rows * slot->row_bytes) : 0;
    }
    return status;
}
