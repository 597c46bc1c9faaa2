/* What owners and the asked node sign for, and the bundle that carries it to the client. */
#include "core/records.h"

#include "core/assert.h"
#include "core/records_common.h"

/* ---- Receipt ------------------------------------------------------------------------------- */

void fm_receipt_encode(struct fm_buf *out, const struct fm_receipt *receipt)
{
    fm_assert(receipt->table_count <= FM_QUERY_TABLES_MAX);
    fm_assert(receipt->work_us >= 0);
    fm_pack_map(out, 16 + (receipt->work_us != 0));
    fm_pack_key_bin(out, 0, receipt->query.bytes, sizeof receipt->query.bytes);
    fm_pack_key_bin(out, 1, receipt->owner.bytes, sizeof receipt->owner.bytes);
    fm_pack_key_hash(out, 2, &receipt->ticket);
    fm_pack_key_hash(out, 3, &receipt->fragment);
    fm_pack_key_hash(out, 4, &receipt->principal);
    fm_pack_uint(out, 5);
    fm_pack_array(out, receipt->table_count);
    for (uint32_t i = 0; i < receipt->table_count; i++)
        fm_pack_bin_span(out, receipt->heads[i]);
    fm_pack_uint(out, 6);
    fm_pack_array(out, receipt->table_count);
    for (uint32_t i = 0; i < receipt->table_count; i++)
        fm_pack_bin(out, receipt->schemas[i].bytes, sizeof receipt->schemas[i].bytes);
    fm_pack_key_hash(out, 7, &receipt->policy);
    fm_pack_key_uint(out, 8, receipt->rows);
    fm_pack_key_uint(out, 9, receipt->bytes);
    fm_pack_key_uint(out, 10, receipt->batches);
    fm_pack_key_hash(out, 11, &receipt->root);
    fm_pack_key_bin(out, 12, receipt->trace, sizeof receipt->trace);
    fm_pack_key_int(out, 13, receipt->time);
    fm_pack_key_hash(out, 14, &receipt->columns);
    fm_pack_key_bool(out, 15, receipt->stopped);
    if (receipt->work_us != 0)
        fm_pack_key_int(out, 32, receipt->work_us);
}

static void read_receipt_tables(struct fm_reader *reader, struct fm_receipt *out)
{
    uint32_t schema_count = 0;
    const struct fm_value *heads =
        fm_read_array(reader, 5, 1, FM_QUERY_TABLES_MAX, &out->table_count);
    const struct fm_value *schemas =
        fm_read_array(reader, 6, 1, FM_QUERY_TABLES_MAX, &schema_count);

    fm_reader_demand(reader, schema_count == out->table_count);
    if (reader->status != FM_OK)
        return;
    for (uint32_t i = 0; i < out->table_count; i++) {
        fm_reader_note(reader,
                       fm_value_bin(fm_value_at(heads, i), FM_NOTE_BYTES_MAX, &out->heads[i]));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(schemas, i), out->schemas[i].bytes,
                                                  sizeof out->schemas[i].bytes));
    }
}

enum fm_status fm_receipt_decode(struct fm_span body, struct fm_receipt *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_receipt receipt = {0};

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(16));
    fm_read_exact(&reader, 0, receipt.query.bytes, sizeof receipt.query.bytes);
    fm_read_exact(&reader, 1, receipt.owner.bytes, sizeof receipt.owner.bytes);
    fm_read_hash(&reader, 2, &receipt.ticket);
    fm_read_hash(&reader, 3, &receipt.fragment);
    fm_read_hash(&reader, 4, &receipt.principal);
    read_receipt_tables(&reader, &receipt);
    fm_read_hash(&reader, 7, &receipt.policy);
    fm_read_u64(&reader, 8, UINT64_MAX, &receipt.rows);
    fm_read_u64(&reader, 9, UINT64_MAX, &receipt.bytes);
    fm_read_u64(&reader, 10, UINT64_MAX, &receipt.batches);
    fm_read_hash(&reader, 11, &receipt.root);
    fm_read_exact(&reader, 12, receipt.trace, sizeof receipt.trace);
    fm_read_time(&reader, 13, &receipt.time);
    fm_read_hash(&reader, 14, &receipt.columns);
    fm_read_bool(&reader, 15, &receipt.stopped);
    if (fm_read_has(&reader, 32))
        fm_read_time(&reader, 32, &receipt.work_us);
    if (reader.status == FM_OK)
        *out = receipt;
    return reader.status;
}

/* ---- Answer -------------------------------------------------------------------------------- */

static void put_answer_fragments(struct fm_buf *out, const struct fm_answer *answer)
{
    fm_pack_array(out, answer->fragment_count);
    for (uint32_t i = 0; i < answer->fragment_count; i++) {
        const struct fm_answer_fragment *fragment = &answer->fragments[i];
        fm_pack_array(out, 4);
        fm_pack_str(out, fragment->domain);
        fm_pack_bin(out, fragment->owner.bytes, sizeof fragment->owner.bytes);
        fm_pack_bin(out, fragment->ticket.bytes, sizeof fragment->ticket.bytes);
        fm_pack_bin(out, fragment->receipt.bytes, sizeof fragment->receipt.bytes);
    }
}

const char *fm_fragment_state_text(enum fm_fragment_state state)
{
    switch (state) {
    case FM_FRAGMENT_COMPLETE:
        return "complete";
    case FM_FRAGMENT_UNREACHABLE:
        return "unreachable";
    case FM_FRAGMENT_REFUSED:
        return "refused";
    case FM_FRAGMENT_CUT_OFF:
        return "cut off";
    }
    return "unknown";
}

static void put_missing(struct fm_buf *out, const struct fm_answer *answer)
{
    fm_pack_uint(out, 14);
    fm_pack_array(out, answer->missing_count);
    for (uint32_t i = 0; i < answer->missing_count; i++) {
        const struct fm_answer_missing *missing = &answer->missing[i];
        fm_pack_array(out, 7);
        fm_pack_uint(out, missing->number);
        fm_pack_str(out, missing->domain);
        fm_pack_bin(out, missing->owner.bytes, sizeof missing->owner.bytes);
        fm_pack_str(out, missing->owner_name);
        fm_pack_uint(out, missing->state);
        fm_pack_uint(out, missing->rows);
        fm_pack_str_span(out, missing->reason);
    }
}

static void put_own(struct fm_buf *out, const struct fm_answer *answer)
{
    fm_assert(answer->own_count <= FM_QUERY_TABLES_MAX);
    fm_pack_uint(out, 15);
    fm_pack_array(out, answer->own_count);
    for (uint32_t i = 0; i < answer->own_count; i++) {
        const struct fm_answer_own *own = &answer->own[i];
        fm_pack_array(out, 4);
        fm_pack_uint(out, own->number);
        fm_pack_str(out, own->table);
        fm_pack_uint(out, own->rows);
        fm_pack_bin(out, own->root.bytes, sizeof own->root.bytes);
    }
}

void fm_answer_encode(struct fm_buf *out, const struct fm_answer *answer)
{
    fm_assert(answer->fragment_count <= FM_QUERY_TABLES_MAX);
    fm_assert(answer->missing_count <= FM_QUERY_TABLES_MAX);
    if (answer->missing_count != 0)
        fm_assert(answer->completeness == FM_PARTIAL);
    if (answer->own_count != 0)
        fm_assert(answer->origin == FM_ROWS_MERGED);
    fm_pack_map(out, 14u + (answer->missing_count != 0) + (answer->own_count != 0));
    fm_pack_key_bin(out, 0, answer->query.bytes, sizeof answer->query.bytes);
    fm_pack_key_bin(out, 1, answer->node.bytes, sizeof answer->node.bytes);
    fm_pack_key_hash(out, 2, &answer->request);
    fm_pack_key_text(out, 3, answer->plan);
    fm_pack_uint(out, 4);
    put_answer_fragments(out, answer);
    fm_pack_key_span(out, 5, answer->columns);
    fm_pack_key_uint(out, 6, answer->rows);
    fm_pack_key_uint(out, 7, answer->bytes);
    fm_pack_key_uint(out, 8, answer->batches);
    fm_pack_key_hash(out, 9, &answer->root);
    fm_pack_key_uint(out, 10, answer->completeness);
    fm_pack_key_int(out, 11, answer->time);
    fm_pack_key_bin(out, 12, answer->trace, sizeof answer->trace);
    fm_pack_key_uint(out, 13, answer->origin);
    if (answer->missing_count != 0)
        put_missing(out, answer);
    if (answer->own_count != 0)
        put_own(out, answer);
}

static void read_missing_one(struct fm_reader *reader, const struct fm_value *item,
                             struct fm_answer_missing *out)
{
    uint32_t state = 0;

    fm_reader_note(reader, fm_value_u32(fm_value_at(item, 0), UINT32_MAX, &out->number));
    fm_reader_note(reader, fm_value_text(fm_value_at(item, 1), out->domain, sizeof out->domain));
    fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 2), out->owner.bytes,
                                              sizeof out->owner.bytes));
    fm_reader_note(reader,
                   fm_value_text(fm_value_at(item, 3), out->owner_name, sizeof out->owner_name));
    fm_reader_note(reader, fm_value_u32(fm_value_at(item, 4), FM_FRAGMENT_CUT_OFF, &state));
    fm_reader_note(reader, fm_value_uint(fm_value_at(item, 5), UINT64_MAX, &out->rows));
    fm_reader_note(reader, fm_value_str(fm_value_at(item, 6), FM_REASON_BYTES_MAX, &out->reason));
    fm_reader_demand(reader, state >= FM_FRAGMENT_UNREACHABLE);
    fm_reader_demand(reader, out->rows == 0 || state == FM_FRAGMENT_CUT_OFF);
    out->state = (enum fm_fragment_state)state;
    if (reader->status == FM_OK)
        fm_reader_demand(reader, fm_domain_name_valid(out->domain));
}

static void read_missing(struct fm_reader *reader, struct fm_answer *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 14, 1, FM_QUERY_TABLES_MAX, &out->missing_count);

    for (uint32_t i = 0; i < out->missing_count; i++) {
        const struct fm_value *item = fm_read_tuple(reader, array, i, 7);
        if (item == NULL)
            return;
        read_missing_one(reader, item, &out->missing[i]);
        if (i > 0) /* Rising, so each once. */
            fm_reader_demand(reader, out->missing[i].number > out->missing[i - 1].number);
    }
}

static void read_own(struct fm_reader *reader, struct fm_answer *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 15, 1, FM_QUERY_TABLES_MAX, &out->own_count);

    for (uint32_t i = 0; i < out->own_count; i++) {
        struct fm_answer_own *own = &out->own[i];
        const struct fm_value *item = fm_read_tuple(reader, array, i, 4);
        if (item == NULL)
            return;
        fm_reader_note(reader, fm_value_u32(fm_value_at(item, 0), UINT32_MAX, &own->number));
        fm_reader_note(reader, fm_value_text(fm_value_at(item, 1), own->table, sizeof own->table));
        fm_reader_note(reader, fm_value_uint(fm_value_at(item, 2), UINT64_MAX, &own->rows));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 3), own->root.bytes,
                                                  sizeof own->root.bytes));
        if (reader->status == FM_OK)
            fm_reader_demand(reader, fm_table_name_valid(own->table));
        if (i > 0) /* Rising, so each once. */
            fm_reader_demand(reader, own->number > out->own[i - 1].number);
    }
}

static void read_answer_fragments(struct fm_reader *reader, struct fm_answer *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 4, 0, FM_QUERY_TABLES_MAX, &out->fragment_count);

    for (uint32_t i = 0; i < out->fragment_count; i++) {
        struct fm_answer_fragment *fragment = &out->fragments[i];
        const struct fm_value *item = fm_read_tuple(reader, array, i, 4);
        if (item == NULL)
            return;
        fm_reader_note(
            reader, fm_value_text(fm_value_at(item, 0), fragment->domain, sizeof fragment->domain));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 1), fragment->owner.bytes,
                                                  sizeof fragment->owner.bytes));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 2), fragment->ticket.bytes,
                                                  sizeof fragment->ticket.bytes));
        fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 3), fragment->receipt.bytes,
                                                  sizeof fragment->receipt.bytes));
        fm_reader_demand(reader, fm_domain_name_valid(fragment->domain));
    }
}

enum fm_status fm_answer_decode(struct fm_span body, struct fm_answer *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_answer answer = {0};
    uint32_t completeness = 0;
    uint32_t origin = 0;

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(16));
    fm_read_exact(&reader, 0, answer.query.bytes, sizeof answer.query.bytes);
    fm_read_exact(&reader, 1, answer.node.bytes, sizeof answer.node.bytes);
    fm_read_hash(&reader, 2, &answer.request);
    fm_read_str(&reader, 3, FM_ENVELOPE_BYTES_MAX, &answer.plan);
    read_answer_fragments(&reader, &answer);
    fm_read_bin(&reader, 5, FM_ENVELOPE_BYTES_MAX, &answer.columns);
    fm_read_u64(&reader, 6, UINT64_MAX, &answer.rows);
    fm_read_u64(&reader, 7, UINT64_MAX, &answer.bytes);
    fm_read_u64(&reader, 8, UINT64_MAX, &answer.batches);
    fm_read_hash(&reader, 9, &answer.root);
    fm_read_choice(&reader, 10, FM_COMPLETE, FM_PARTIAL, &completeness);
    fm_read_time(&reader, 11, &answer.time);
    fm_read_exact(&reader, 12, answer.trace, sizeof answer.trace);
    fm_read_choice(&reader, 13, FM_ROWS_MERGED, FM_ROWS_OF_FRAGMENT, &origin);
    if (fm_read_has(&reader, 14)) {
        read_missing(&reader, &answer);
        fm_reader_demand(&reader, completeness == FM_PARTIAL);
    }
    if (fm_read_has(&reader, 15)) {
        read_own(&reader, &answer);
        fm_reader_demand(&reader, origin == FM_ROWS_MERGED);
    }
    if (reader.status != FM_OK)
        return reader.status;
    answer.completeness = (enum fm_completeness)completeness;
    answer.origin = (enum fm_rows_origin)origin;
    *out = answer;
    return FM_OK;
}

/* ---- Bundle -------------------------------------------------------------------------------- */

static void put_spans(struct fm_buf *out, unsigned key, const struct fm_span *spans, uint32_t count)
{
    fm_pack_uint(out, key);
    fm_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        fm_pack_bin_span(out, spans[i]);
}

void fm_bundle_encode(struct fm_buf *out, const struct fm_bundle *bundle)
{
    fm_assert(bundle->node_cert_count <= FM_QUERY_TABLES_MAX + 1);
    fm_assert(bundle->fragment_count <= FM_QUERY_TABLES_MAX);
    fm_pack_map(out, bundle->has_columns ? 7 : 6);
    fm_pack_key_span(out, 0, bundle->answer);
    fm_pack_key_span(out, 1, bundle->request);
    fm_pack_key_span(out, 2, bundle->principal_cert);
    put_spans(out, 3, bundle->node_certs, bundle->node_cert_count);
    put_spans(out, 4, bundle->tickets, bundle->fragment_count);
    put_spans(out, 5, bundle->receipts, bundle->fragment_count);
    if (bundle->has_columns)
        put_spans(out, 6, bundle->columns, bundle->fragment_count);
}

static void read_spans(struct fm_reader *reader, unsigned key, uint32_t max, struct fm_span *out,
                       uint32_t *count)
{
    const struct fm_value *array = fm_read_array(reader, key, 0, max, count);

    for (uint32_t i = 0; i < *count; i++)
        fm_reader_note(reader, fm_value_bin(fm_value_at(array, i), FM_ENVELOPE_BYTES_MAX, &out[i]));
}

enum fm_status fm_bundle_decode(struct fm_span bytes, struct fm_bundle *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_bundle bundle = {0};
    uint32_t receipt_count = 0, columns_count = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(7));
    fm_read_bin(&reader, 0, FM_ENVELOPE_BYTES_MAX, &bundle.answer);
    fm_read_bin(&reader, 1, FM_ENVELOPE_BYTES_MAX, &bundle.request);
    fm_read_bin(&reader, 2, FM_ENVELOPE_BYTES_MAX, &bundle.principal_cert);
    read_spans(&reader, 3, FM_QUERY_TABLES_MAX + 1, bundle.node_certs, &bundle.node_cert_count);
    read_spans(&reader, 4, FM_QUERY_TABLES_MAX, bundle.tickets, &bundle.fragment_count);
    read_spans(&reader, 5, FM_QUERY_TABLES_MAX, bundle.receipts, &receipt_count);
    fm_reader_demand(&reader, receipt_count == bundle.fragment_count);
    bundle.has_columns = fm_read_has(&reader, 6);
    if (bundle.has_columns) {
        read_spans(&reader, 6, FM_QUERY_TABLES_MAX, bundle.columns, &columns_count);
        fm_reader_demand(&reader, columns_count == bundle.fragment_count);
    }
    if (reader.status == FM_OK)
        *out = bundle;
    return reader.status;
}
