/* Fragments that cannot be had, where the asker goes on without them. */
#include "node/query.h"

#include "core/assert.h"

#include <stdio.h>

/* What an owner's failure means to the one who would do without it; FM_FRAGMENT_COMPLETE: it is no
 * matter of the owner's not being there, and fails the query. An owner that sends what is malformed
 * or forged is not missing but wrong. */
static enum fm_fragment_state state_of(const struct fm_query *query, uint32_t number,
                                       enum fm_status status)
{
    bool is_open = query->feeds[number] != NULL;

    switch (status) {
    case FM_UNAVAILABLE:
    case FM_TIMEOUT:
    case FM_CANCELLED: /* By the owner, which stops; our own is looked at before. */
        return is_open ? FM_FRAGMENT_CUT_OFF : FM_FRAGMENT_UNREACHABLE;
    case FM_REFUSED:
    case FM_NOTFOUND:
    case FM_BUSY:
    case FM_IO:
    case FM_CORRUPT:
        return is_open ? FM_FRAGMENT_CUT_OFF : FM_FRAGMENT_REFUSED;
    default:
        return FM_FRAGMENT_COMPLETE;
    }
}

static void set_reason(struct fm_query_loss *loss, const char *text)
{
    size_t len = strlen(text);

    if (len > FM_REASON_BYTES_MAX)
        len = FM_REASON_BYTES_MAX;
    while (len > 0 && !fm_utf8_valid(fm_span(text, len)))
        len--; /* Not in the middle of a character. */
    memcpy(loss->reason, text, len);
    loss->reason[len] = '\0';
}

static enum fm_status lose(struct fm_query *query, uint32_t number, enum fm_status status,
                           struct fm_error *err)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    struct fm_query_loss *loss = &query->losses[number];
    enum fm_fragment_state state = state_of(query, number, status);

    if (state == FM_FRAGMENT_COMPLETE || fm_stop_is_fired(&query->stop))
        return status;
    loss->state = state; /* Also where the query fails by it: mesh.receipts shows it. */
    loss->rows = query->feeds[number] != NULL ? fm_feed_rows(query->feeds[number]) : 0;
    set_reason(loss, err->text);
    if (query->on_unavailable != FM_UNAVAILABLE_SKIP || fm_now_ms() > query->deadline)
        return status;
    if (fm_query_passes_on(query) && loss->rows == 0)
        return fm_fail(err, FM_UNAVAILABLE, "nothing is left without its only owner: %s",
                       loss->reason);
    if (!fm_query_passes_on(query) && table->needed_by != NULL && !query->allows_partial_aggregates)
        return fm_fail(err, FM_UNAVAILABLE,
                       "%s; without these rows %s would give other rows, not only fewer: "
                       "--allow-partial-aggregates allows that",
                       loss->reason, table->needed_by);
    return FM_OK;
}

enum fm_status fm_query_lose(struct fm_query *query, uint32_t number, enum fm_status status,
                             struct fm_error *err)
{
    fm_assert(status != FM_OK);
    status = lose(query, number, status, err);
    if (status != FM_OK && query->failed == FM_OK) {
        query->failed = status;
        query->failure = *err;
    }
    return status;
}

enum fm_status fm_query_check_losses(const struct fm_query *query, struct fm_error *err)
{
    uint32_t count = query->plan.table_count;
    const char *reason = NULL;

    for (uint32_t i = 0; i < count; i++) {
        const struct fm_query_loss *loss = &query->losses[i];
        if (query->plan.tables[i].is_own)
            continue;
        if (loss->state == 0 || loss->rows != 0)
            return FM_OK;
        reason = loss->reason;
    }
    if (reason == NULL)
        return FM_OK; /* No table at all. */
    return fm_fail(err, FM_UNAVAILABLE, "no owner could be had, of %u fragments: %s", count,
                   reason);
}

fm_ms fm_query_feed_deadline(const struct fm_query *query)
{
    fm_ms left = query->deadline - fm_now_ms();

    /* What is left out must be known while there is time to answer without it. */
    if (query->on_unavailable != FM_UNAVAILABLE_SKIP || left <= 0)
        return query->deadline;
    return query->deadline - left / 5;
}

void fm_query_owner_name(const struct fm_query *query, const struct fm_node_id *node,
                         char out[FM_NAME_MAX + 1])
{
    const struct fm_node_cert *self = &query->server->identity->node;
    FM_AUTO(fm_mem_freep) struct fm_node_cert *cert = malloc(sizeof *cert);

    out[0] = '\0';
    if (memcmp(node, &self->node, sizeof *node) == 0)
        (void)snprintf(out, FM_NAME_MAX + 1, "%s", self->name);
    else if (cert != NULL && fm_registry_cert(query->server->registry, node, cert, NULL) == FM_OK)
        (void)snprintf(out, FM_NAME_MAX + 1, "%s", cert->name);
}

void fm_query_list_losses(const struct fm_query *query, struct fm_answer *answer)
{
    for (uint32_t i = 0; i < query->plan.table_count; i++) {
        const struct fm_query_loss *loss = &query->losses[i];
        struct fm_answer_missing *missing = &answer->missing[answer->missing_count];
        if (loss->state == 0)
            continue;
        missing->number = i;
        memcpy(missing->domain, query->plan.tables[i].domain, sizeof missing->domain);
        missing->owner = query->plan.tables[i].owner;
        fm_query_owner_name(query, &missing->owner, missing->owner_name);
        missing->state = loss->state;
        missing->rows = loss->rows;
        missing->reason = fm_span_str(loss->reason);
        answer->missing_count++;
        answer->completeness = FM_PARTIAL;
    }
}
