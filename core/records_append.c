/* Bodies of the append calls. */
#include "core/records.h"

#include "core/records_common.h"

void fm_append_begin_encode(struct fm_buf *out, const struct fm_append_begin *begin)
{
    bool is_late = begin->durability == FM_DURABLE_MEMORY;

    fm_pack_map(out, 5u + begin->has_expected + is_late);
    fm_pack_key_str(out, 0, begin->domain);
    fm_pack_key_str(out, 1, begin->table);
    fm_pack_key_hash(out, 2, &begin->schema);
    fm_pack_key_bin(out, 3, begin->producer, sizeof begin->producer);
    fm_pack_key_uint(out, 4, begin->producer_sequence);
    if (begin->has_expected)
        fm_pack_key_uint(out, 5, begin->expected_version);
    if (is_late)
        fm_pack_key_uint(out, 6, FM_DURABLE_MEMORY);
}

enum fm_status fm_append_begin_decode(struct fm_span bytes, struct fm_append_begin *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_append_begin begin = {0};
    uint32_t durability = FM_DURABLE_FSYNC;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(7));
    fm_read_domain(&reader, 0, begin.domain);
    fm_read_table(&reader, 1, begin.table);
    fm_read_hash(&reader, 2, &begin.schema);
    fm_read_exact(&reader, 3, begin.producer, sizeof begin.producer);
    fm_read_u64(&reader, 4, UINT64_MAX, &begin.producer_sequence);
    begin.has_expected = fm_read_has(&reader, 5);
    if (begin.has_expected)
        fm_read_u64(&reader, 5, UINT64_MAX, &begin.expected_version);
    if (fm_read_has(&reader, 6))
        fm_read_choice(&reader, 6, FM_DURABLE_MEMORY, FM_DURABLE_MEMORY, &durability);
    begin.durability = (enum fm_durability)durability;
    if (reader.status == FM_OK)
        *out = begin;
    return reader.status;
}

void fm_append_rows_encode(struct fm_buf *out, const struct fm_append_rows *rows)
{
    fm_pack_map(out, 5);
    fm_pack_key_bin(out, 0, rows->append, sizeof rows->append);
    fm_pack_key_uint(out, 1, rows->number);
    fm_pack_key_uint(out, 2, rows->offset);
    fm_pack_key_uint(out, 3, rows->total);
    fm_pack_key_span(out, 4, rows->part);
}

enum fm_status fm_append_rows_decode(struct fm_span bytes, struct fm_append_rows *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_append_rows rows = {0};

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(5));
    fm_read_exact(&reader, 0, rows.append, sizeof rows.append);
    fm_read_u64(&reader, 1, UINT64_MAX, &rows.number);
    fm_read_u64(&reader, 2, FM_BATCH_BYTES_MAX, &rows.offset);
    fm_read_u64(&reader, 3, FM_BATCH_BYTES_MAX, &rows.total);
    fm_read_bin(&reader, 4, FM_PAYLOAD_BYTES_MAX, &rows.part);
    fm_reader_demand(&reader, rows.offset <= rows.total);
    fm_reader_demand(&reader, rows.part.len <= rows.total - rows.offset);
    if (reader.status == FM_OK)
        *out = rows;
    return reader.status;
}

void fm_append_commit_encode(struct fm_buf *out, const struct fm_append_commit *commit)
{
    fm_pack_map(out, commit->other_count > 0 ? 5 : 4);
    fm_pack_key_bin(out, 0, commit->append, sizeof commit->append);
    fm_pack_key_uint(out, 1, commit->batches);
    fm_pack_key_uint(out, 2, commit->rows);
    fm_pack_key_hash(out, 3, &commit->root);
    if (commit->other_count == 0)
        return;
    fm_pack_uint(out, 4);
    fm_pack_array(out, commit->other_count);
    for (uint32_t i = 0; i < commit->other_count; i++)
        fm_pack_bin_span(out, commit->others[i]);
}

enum fm_status fm_append_commit_decode(struct fm_span bytes, struct fm_append_commit *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_append_commit commit = {0};
    const struct fm_value *others;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(5));
    fm_read_exact(&reader, 0, commit.append, sizeof commit.append);
    fm_read_u64(&reader, 1, UINT64_MAX, &commit.batches);
    fm_read_u64(&reader, 2, UINT64_MAX, &commit.rows);
    fm_read_hash(&reader, 3, &commit.root);
    if (fm_read_has(&reader, 4)) {
        others = fm_read_array(&reader, 4, 1, FM_APPEND_TABLES_MAX - 1, &commit.other_count);
        for (uint32_t i = 0; reader.status == FM_OK && i < commit.other_count; i++)
            fm_reader_note(&reader, fm_value_bin(fm_value_at(others, i), FM_PAYLOAD_BYTES_MAX,
                                                 &commit.others[i]));
    }
    if (reader.status == FM_OK)
        *out = commit;
    return reader.status;
}

void fm_append_ack_encode(struct fm_buf *out, const struct fm_append_ack *ack)
{
    fm_pack_map(out, 7);
    fm_pack_key_uint(out, 0, ack->first_sequence);
    fm_pack_key_uint(out, 1, ack->rows);
    fm_pack_key_uint(out, 2, ack->size);
    fm_pack_key_hash(out, 3, &ack->root);
    fm_pack_key_int(out, 4, ack->recorded_at);
    fm_pack_key_uint(out, 5, ack->durability);
    fm_pack_key_span(out, 6, ack->head);
}

enum fm_status fm_append_ack_decode(struct fm_span bytes, struct fm_append_ack *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_append_ack ack = {0};
    uint32_t durability = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(7));
    fm_read_u64(&reader, 0, UINT64_MAX, &ack.first_sequence);
    fm_read_u64(&reader, 1, UINT64_MAX, &ack.rows);
    fm_read_u64(&reader, 2, UINT64_MAX, &ack.size);
    fm_read_hash(&reader, 3, &ack.root);
    fm_read_time(&reader, 4, &ack.recorded_at);
    fm_read_choice(&reader, 5, FM_DURABLE_FSYNC, FM_DURABLE_MEMORY, &durability);
    /* Empty where the log has no head yet that covers the rows: none is signed beyond a sync. */
    fm_read_bin(&reader, 6, FM_NOTE_BYTES_MAX, &ack.head);
    if (reader.status != FM_OK)
        return reader.status;
    ack.durability = (enum fm_durability)durability;
    *out = ack;
    return FM_OK;
}

void fm_append_acks_encode(struct fm_buf *out, const struct fm_span *acks, uint32_t count)
{
    fm_pack_map(out, 1);
    fm_pack_uint(out, 0);
    fm_pack_array(out, count);
    for (uint32_t i = 0; i < count; i++)
        fm_pack_bin_span(out, acks[i]);
}

enum fm_status fm_append_acks_decode(struct fm_span bytes, uint32_t count, struct fm_span *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    const struct fm_value *array;
    uint32_t found = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(1));
    array = fm_read_array(&reader, 0, 1, FM_APPEND_TABLES_MAX, &found);
    fm_reader_demand(&reader, found == count);
    for (uint32_t i = 0; reader.status == FM_OK && i < count; i++)
        fm_reader_note(&reader, fm_value_bin(fm_value_at(array, i), FM_PAYLOAD_BYTES_MAX, &out[i]));
    return reader.status;
}
