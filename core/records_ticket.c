/* What an owner is asked to do: fragments, and the tickets that carry them. */
#include "core/records.h"

#include "core/assert.h"
#include "core/records_common.h"

#define HISTORY_SUFFIX "$facts"

static void put_tables(struct fm_buf *out, const struct fm_fragment *fragment)
{
    fm_pack_array(out, fragment->table_count);
    for (uint32_t i = 0; i < fragment->table_count; i++) {
        const struct fm_table_ref *ref = &fragment->tables[i];
        fm_pack_array(out, 5);
        fm_pack_str(out, ref->domain);
        fm_pack_str(out, ref->table);
        fm_pack_bin(out, ref->schema.bytes, sizeof ref->schema.bytes);
        fm_pack_uint(out, ref->at.kind);
        fm_pack_int(out, ref->at.value);
    }
}

static void put_given(struct fm_buf *out, const struct fm_given *given)
{
    fm_assert(given->field_count >= 1 && given->field_count <= FM_COLUMNS_MAX);
    fm_pack_array(out, 7);
    fm_pack_str(out, given->domain);
    fm_pack_str(out, given->table);
    fm_pack_uint(out, given->at.kind);
    fm_pack_int(out, given->at.value);
    fm_pack_bin(out, given->columns.data, given->columns.len);
    fm_pack_array(out, given->field_count);
    for (uint32_t i = 0; i < given->field_count; i++)
        fm_pack_uint(out, given->fields[i]);
    fm_pack_bin(out, given->batch.data, given->batch.len);
}

void fm_fragment_encode(struct fm_buf *out, const struct fm_fragment *fragment)
{
    fm_assert(fragment->table_count <= FM_QUERY_TABLES_MAX);
    fm_assert(fragment->field_count <= FM_COLUMNS_MAX);
    fm_assert(fragment->given_count <= FM_GIVEN_TABLES_MAX);
    fm_pack_map(out, fragment->kind == FM_FRAGMENT_SCAN ? 5 : fragment->given_count > 0 ? 5 : 4);
    fm_pack_key_uint(out, 0, fragment->kind);
    fm_pack_uint(out, 1);
    put_tables(out, fragment);
    if (fragment->kind == FM_FRAGMENT_SCAN) {
        fm_pack_uint(out, 2);
        fm_pack_array(out, fragment->field_count);
        for (uint32_t i = 0; i < fragment->field_count; i++)
            fm_pack_uint(out, fragment->fields[i]);
        fm_pack_key_span(out, 3, fragment->predicates);
    }
    fm_pack_key_uint(out, 4, fragment->row_limit);
    if (fragment->kind == FM_FRAGMENT_SQL)
        fm_pack_key_text(out, 5, fragment->sql);
    if (fragment->kind != FM_FRAGMENT_SQL || fragment->given_count == 0)
        return;
    fm_pack_uint(out, 6);
    fm_pack_array(out, fragment->given_count);
    for (uint32_t i = 0; i < fragment->given_count; i++)
        put_given(out, &fragment->given[i]);
}

void fm_fragment_deinit(struct fm_fragment *fragment)
{
    for (uint32_t i = 0; i < fragment->given_count; i++)
        free(fragment->given[i].fields);
    free(fragment->given);
    free(fragment->tables);
    free(fragment->fields);
    *fragment = (struct fm_fragment){0};
}

void fm_table_base_name(const char *table, char out[FM_NAME_MAX + 1])
{
    size_t len = strlen(table);
    size_t suffix = sizeof HISTORY_SUFFIX - 1;

    fm_assert(len <= FM_NAME_MAX);
    if (len > suffix && strcmp(table + len - suffix, HISTORY_SUFFIX) == 0)
        len -= suffix;
    memcpy(out, table, len);
    out[len] = '\0';
}

static bool table_is_valid(const char *domain, const char *table)
{
    char base[FM_NAME_MAX + 1];

    fm_table_base_name(table, base);
    return fm_domain_name_valid(domain) && fm_table_name_valid(base);
}

static bool at_is_valid(const struct fm_at *at)
{
    switch (at->kind) {
    case FM_AT_LATEST:
        return at->value == 0;
    case FM_AT_VERSION:
        return at->value >= 0;
    case FM_AT_TIMESTAMP:
        return true;
    }
    return false;
}

static void read_table(struct fm_reader *reader, const struct fm_value *item,
                       struct fm_table_ref *ref)
{
    uint32_t kind = 0;

    if (item == NULL)
        return;
    fm_reader_note(reader, fm_value_text(fm_value_at(item, 0), ref->domain, sizeof ref->domain));
    fm_reader_note(reader, fm_value_text(fm_value_at(item, 1), ref->table, sizeof ref->table));
    fm_reader_note(reader, fm_value_bin_exact(fm_value_at(item, 2), ref->schema.bytes,
                                              sizeof ref->schema.bytes));
    fm_reader_note(reader, fm_value_u32(fm_value_at(item, 3), FM_AT_TIMESTAMP, &kind));
    fm_reader_note(reader, fm_value_int(fm_value_at(item, 4), &ref->at.value));
    ref->at.kind = (enum fm_at_kind)kind;
    if (reader->status == FM_OK)
        fm_reader_demand(reader, table_is_valid(ref->domain, ref->table) && at_is_valid(&ref->at));
}

static void read_tables(struct fm_reader *reader, struct fm_fragment *out)
{
    uint32_t max = out->kind == FM_FRAGMENT_SCAN ? 1 : FM_QUERY_TABLES_MAX;
    uint32_t count = 0;
    const struct fm_value *array = fm_read_array(reader, 1, 1, max, &count);

    if (array == NULL)
        return;
    out->tables = calloc(count, sizeof *out->tables);
    if (out->tables == NULL) {
        fm_reader_note(reader, FM_NOMEM);
        return;
    }
    out->table_count = count;
    for (uint32_t i = 0; i < count; i++)
        read_table(reader, fm_read_tuple(reader, array, i, 5), &out->tables[i]);
}

static void read_fields(struct fm_reader *reader, struct fm_fragment *out)
{
    uint32_t count = 0;
    const struct fm_value *array = fm_read_array(reader, 2, 0, FM_COLUMNS_MAX, &count);

    if (array == NULL || count == 0)
        return;
    out->fields = calloc(count, sizeof *out->fields);
    if (out->fields == NULL) {
        fm_reader_note(reader, FM_NOMEM);
        return;
    }
    out->field_count = count;
    for (uint32_t i = 0; i < count; i++) {
        fm_reader_note(reader, fm_value_u32(fm_value_at(array, i), UINT32_MAX, &out->fields[i]));
        fm_reader_demand(reader, out->fields[i] >= 1);
    }
}

/* Whose table it is said to be, nobody may mistake. */
static bool given_is_distinct(const struct fm_fragment *fragment, uint32_t i)
{
    const struct fm_given *given = &fragment->given[i];

    for (uint32_t t = 0; t < fragment->table_count; t++)
        if (strcmp(fragment->tables[t].domain, given->domain) == 0)
            return false;
    for (uint32_t k = 0; k < i; k++) {
        const struct fm_given *other = &fragment->given[k];
        if (strcmp(other->domain, given->domain) == 0 && strcmp(other->table, given->table) == 0 &&
            other->at.kind == given->at.kind && other->at.value == given->at.value)
            return false;
    }
    return true;
}

static void read_positions(struct fm_reader *reader, const struct fm_value *array,
                           struct fm_given *out)
{
    uint32_t count = 0;

    if (reader->status == FM_OK)
        fm_reader_note(reader, fm_value_array(array, FM_COLUMNS_MAX, &count));
    fm_reader_demand(reader, count >= 1);
    if (reader->status != FM_OK)
        return;
    out->fields = calloc(count, sizeof *out->fields);
    if (out->fields == NULL) {
        fm_reader_note(reader, FM_NOMEM);
        return;
    }
    out->field_count = count;
    for (uint32_t i = 0; i < count && reader->status == FM_OK; i++) {
        fm_reader_note(reader,
                       fm_value_u32(fm_value_at(array, i), FM_COLUMNS_MAX - 1, &out->fields[i]));
        fm_reader_demand(reader, i == 0 || out->fields[i] > out->fields[i - 1]);
    }
}

static void read_given(struct fm_reader *reader, const struct fm_value *item, struct fm_given *out)
{
    uint32_t kind = 0;

    if (item == NULL)
        return;
    fm_reader_note(reader, fm_value_text(fm_value_at(item, 0), out->domain, sizeof out->domain));
    fm_reader_note(reader, fm_value_text(fm_value_at(item, 1), out->table, sizeof out->table));
    fm_reader_note(reader, fm_value_u32(fm_value_at(item, 2), FM_AT_TIMESTAMP, &kind));
    fm_reader_note(reader, fm_value_int(fm_value_at(item, 3), &out->at.value));
    fm_reader_note(reader, fm_value_bin(fm_value_at(item, 4), FM_GIVEN_BYTES_MAX, &out->columns));
    read_positions(reader, fm_value_at(item, 5), out);
    fm_reader_note(reader, fm_value_bin(fm_value_at(item, 6), FM_GIVEN_BYTES_MAX, &out->batch));
    out->at.kind = (enum fm_at_kind)kind;
    if (reader->status == FM_OK)
        fm_reader_demand(reader, table_is_valid(out->domain, out->table) && at_is_valid(&out->at));
}

static void read_all_given(struct fm_reader *reader, struct fm_fragment *out)
{
    size_t bytes = 0;
    uint32_t count = 0;

    if (!fm_read_has(reader, 6))
        return;
    const struct fm_value *array = fm_read_array(reader, 6, 1, FM_GIVEN_TABLES_MAX, &count);
    if (array == NULL)
        return;
    out->given = calloc(count, sizeof *out->given);
    if (out->given == NULL) {
        fm_reader_note(reader, FM_NOMEM);
        return;
    }
    out->given_count = count;
    for (uint32_t i = 0; i < count && reader->status == FM_OK; i++) {
        read_given(reader, fm_read_tuple(reader, array, i, 7), &out->given[i]);
        bytes += out->given[i].batch.len;
        fm_reader_demand(reader, bytes <= FM_GIVEN_BYTES_MAX && given_is_distinct(out, i));
    }
}

enum fm_status fm_fragment_decode(struct fm_span bytes, struct fm_fragment *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_fragment_deinit) struct fm_fragment fragment = {0};
    uint32_t kind = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(7));
    fm_read_choice(&reader, 0, FM_FRAGMENT_SCAN, FM_FRAGMENT_SQL, &kind);
    fragment.kind = (enum fm_fragment_kind)kind;
    read_tables(&reader, &fragment);
    if (kind == FM_FRAGMENT_SCAN) {
        read_fields(&reader, &fragment);
        fm_read_bin(&reader, 3, FM_DOC_BYTES_MAX, &fragment.predicates);
        fm_reader_demand(&reader, !fm_read_has(&reader, 5) && !fm_read_has(&reader, 6));
    } else {
        fm_read_str(&reader, 5, FM_SQL_BYTES_MAX, &fragment.sql);
        fm_reader_demand(&reader, !fm_read_has(&reader, 2) && !fm_read_has(&reader, 3));
        read_all_given(&reader, &fragment);
    }
    fm_read_u64(&reader, 4, UINT64_MAX, &fragment.row_limit);
    if (reader.status != FM_OK)
        return reader.status;
    *out = fragment;
    fragment = (struct fm_fragment){0};
    return FM_OK;
}

void fm_ticket_encode(struct fm_buf *out, const struct fm_ticket *ticket)
{
    fm_pack_map(out, 12);
    fm_pack_key_bin(out, 0, ticket->query.bytes, sizeof ticket->query.bytes);
    fm_pack_key_bin(out, 1, ticket->owner.bytes, sizeof ticket->owner.bytes);
    fm_pack_key_bin(out, 2, ticket->asker.bytes, sizeof ticket->asker.bytes);
    fm_pack_key_span(out, 3, ticket->request);
    fm_pack_key_hash(out, 4, &ticket->sql_hash);
    fm_pack_key_span(out, 5, ticket->fragment);
    fm_pack_key_uint(out, 6, ticket->number);
    fm_pack_key_uint(out, 7, ticket->row_limit);
    fm_pack_key_uint(out, 8, ticket->byte_limit);
    fm_pack_key_int(out, 9, ticket->deadline);
    fm_pack_key_hash(out, 10, &ticket->session);
    fm_pack_key_bin(out, 11, ticket->trace, sizeof ticket->trace);
}

enum fm_status fm_ticket_decode(struct fm_span body, struct fm_ticket *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_ticket ticket = {0};

    enum fm_status status = fm_doc_parse(body, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(12));
    fm_read_exact(&reader, 0, ticket.query.bytes, sizeof ticket.query.bytes);
    fm_read_exact(&reader, 1, ticket.owner.bytes, sizeof ticket.owner.bytes);
    fm_read_exact(&reader, 2, ticket.asker.bytes, sizeof ticket.asker.bytes);
    fm_read_bin(&reader, 3, FM_ENVELOPE_BYTES_MAX, &ticket.request);
    fm_read_hash(&reader, 4, &ticket.sql_hash);
    fm_read_bin(&reader, 5, FM_ENVELOPE_BYTES_MAX, &ticket.fragment);
    fm_read_u32(&reader, 6, UINT32_MAX, &ticket.number);
    fm_read_u64(&reader, 7, UINT64_MAX, &ticket.row_limit);
    fm_read_u64(&reader, 8, UINT64_MAX, &ticket.byte_limit);
    fm_read_time(&reader, 9, &ticket.deadline);
    fm_read_hash(&reader, 10, &ticket.session);
    fm_read_exact(&reader, 11, ticket.trace, sizeof ticket.trace);
    if (reader.status == FM_OK)
        *out = ticket;
    return reader.status;
}
