/* How a query went, for mesh.receipts: once, when its answer is signed or it is given up. */
#include "node/query.h"

#include "core/envelope.h"

static size_t put_text(struct fm_buf *text, struct fm_span words)
{
    size_t at = text->len;

    fm_buf_put_span(text, words);
    fm_buf_put_u8(text, 0);
    return at;
}

/* The tables that a fragment reads, each once. */
static size_t put_tables(const struct fm_query *query, uint32_t number, struct fm_buf *text)
{
    FM_AUTO(fm_buf_free) struct fm_buf names = FM_BUF_INIT(0);
    const struct fm_plan *plan = &query->plan;
    const struct fm_plan_table *slot = &plan->tables[number];

    for (uint32_t i = 0; i < slot->ref_count; i++)
        fm_buf_printf(&names, "%s%s.%s", i == 0 ? "" : ", ", slot->refs[i].domain,
                      slot->refs[i].table);
    uint32_t count = slot->ref_count != 0 ? 0 : plan->kind == FM_PLAN_SHIP ? plan->table_count : 1;
    for (uint32_t i = 0; i < count; i++) {
        const struct fm_plan_table *table = &plan->tables[number + i];
        bool is_known = false;
        for (uint32_t k = 0; k < i; k++)
            is_known = is_known || (strcmp(plan->tables[number + k].domain, table->domain) == 0 &&
                                    strcmp(plan->tables[number + k].table, table->table) == 0);
        if (!is_known)
            fm_buf_printf(&names, "%s%s.%s", names.len == 0 ? "" : ", ", table->domain,
                          table->table);
    }
    return put_text(text, fm_buf_span(&names));
}

/* The heads that a pinned query named; none: it was not pinned. */
static void read_pins(const struct fm_query *query, struct fm_query_body *asked)
{
    struct fm_envelope envelope;
    struct fm_request request;

    if (!query->is_pinned || fm_envelope_open(fm_buf_span(&query->request), &envelope) != FM_OK ||
        fm_request_decode(envelope.body, &request) != FM_OK ||
        fm_query_body_decode(request.body, asked) != FM_OK)
        asked->head_count = 0;
}

/* The states that the tables were read at: of a pinned one what it was pinned to. */
static size_t put_heads(const struct fm_receipt *receipt, const struct fm_query_body *pins,
                        struct fm_buf *text)
{
    size_t at = text->len;

    for (uint32_t t = 0; t < receipt->table_count; t++) {
        char origin[FM_ORIGIN_MAX], pinned[FM_ORIGIN_MAX];
        struct fm_span note = receipt->heads[t];
        bool is_named = fm_head_peek_origin(note, origin) == FM_OK;
        for (uint32_t i = 0; is_named && i < pins->head_count; i++)
            if (fm_head_peek_origin(pins->heads[i], pinned) == FM_OK && strcmp(origin, pinned) == 0)
                note = pins->heads[i];
        fm_buf_put_span(text, note);
    }
    fm_buf_put_u8(text, 0);
    return at;
}

static const char *state_of(const struct fm_query *query, uint32_t number)
{
    const struct fm_query_loss *loss = &query->losses[number];

    if (loss->state != 0)
        return fm_fragment_state_text(loss->state);
    if (number < query->feed_count && query->feeds[number] != NULL &&
        fm_feed_receipt(query->feeds[number]).len != 0 &&
        !fm_feed_receipt_parsed(query->feeds[number])->stopped)
        return fm_fragment_state_text(FM_FRAGMENT_COMPLETE);
    return "stopped";
}

static void put_fragment(const struct fm_query *query, uint32_t number,
                         const struct fm_query_body *pins, struct fm_buf *text,
                         struct fm_receipts_fragment *out)
{
    const struct fm_plan_table *table = &query->plan.tables[number];
    const struct fm_query_loss *loss = &query->losses[number];
    const struct fm_feed *feed = number < query->feed_count ? query->feeds[number] : NULL;
    char name[FM_NAME_MAX + 1];

    if (feed == NULL)
        fm_query_owner_name(query, &table->owner, name);
    *out = (struct fm_receipts_fragment){
        .number = number,
        .node = table->owner,
        .rule = fm_plan_rule_text(&query->plan, number),
        .state = state_of(query, number),
        .has_receipt = feed != NULL && loss->state == 0 && fm_feed_receipt(feed).len != 0,
        .rows = loss->state != 0 ? loss->rows
                : feed != NULL   ? fm_feed_rows(feed)
                                 : 0,
    };
    out->domain = put_text(text, fm_span_str(table->domain));
    out->tables = put_tables(query, number, text);
    out->node_name = put_text(text, fm_span_str(feed != NULL ? fm_feed_owner_name(feed) : name));
    if (out->has_receipt) {
        const struct fm_receipt *receipt = fm_feed_receipt_parsed(feed);
        out->rows = receipt->rows;
        out->bytes = receipt->bytes;
        out->root = receipt->root;
        out->reason = put_text(text, fm_span_str(""));
        out->heads = put_heads(receipt, pins, text);
        return;
    }
    const char *reason = loss->state != 0         ? loss->reason
                         : query->failed != FM_OK ? query->failure.text
                                                  : "";
    out->reason = put_text(text, fm_span_str(reason));
    out->heads = put_text(text, fm_span_str(""));
}

void fm_query_record(struct fm_query *query)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(FM_RECEIPTS_OF_ONE_BYTES_MAX);
    const struct fm_plan *plan = &query->plan;
    FM_AUTO(fm_mem_freep)
    struct fm_receipts_fragment *fragments = calloc(plan->table_count + 1u, sizeof *fragments);
    uint32_t count = plan->kind == FM_PLAN_SHIP ? 1 : plan->table_count;
    struct fm_query_body pins = {0};
    struct fm_receipts_entry entry = {
        .principal = query->principal.sign_key,
        .query = query->id,
        .time = fm_now_us(),
        .fragments = fragments,
    };

    if (query->is_recorded || fragments == NULL || query->explain == FM_EXPLAIN_PLAN)
        return;
    query->is_recorded = true;
    read_pins(query, &pins);
    for (uint32_t i = 0; i < count; i++)
        if (!plan->tables[i].is_own)
            put_fragment(query, i, &pins, &text, &fragments[entry.count++]);
    if (entry.count == 0 || fm_buf_status(&text) != FM_OK)
        return;
    memcpy(entry.session, query->session, sizeof entry.session);
    memcpy(entry.trace, query->trace, sizeof entry.trace);
    entry.text = text;
    fm_receipts_add(query->server->receipts, &entry);
}
