#include "client/catalog.h"

#include "core/reader.h"

#include <stdlib.h>

void fm_empty_body_encode(struct fm_buf *out)
{
    fm_pack_map(out, 0);
}

enum fm_status fm_empty_body_decode(struct fm_span bytes)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    return status == FM_OK ? fm_map_check(fm_doc_root(doc), 0) : status;
}

void fm_product_request_encode(struct fm_buf *out, struct fm_span yaml)
{
    fm_pack_map(out, 1);
    fm_pack_key_bin(out, 0, yaml.data, yaml.len);
}

enum fm_status fm_product_request_decode(struct fm_span bytes, struct fm_span *yaml)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(1));
    fm_read_bin(&reader, 0, FM_CONTRACT_BYTES_MAX, yaml);
    return reader.status;
}

void fm_checkpoint_info_encode(struct fm_buf *out, const struct fm_checkpoint_info *info)
{
    fm_pack_map(out, 2);
    fm_pack_key_uint(out, 0, info->commit);
    fm_pack_key_bin(out, 1, info->digest.bytes, sizeof info->digest.bytes);
}

enum fm_status fm_checkpoint_info_decode(struct fm_span bytes, struct fm_checkpoint_info *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(2));
    fm_read_u64(&reader, 0, UINT64_MAX, &out->commit);
    fm_read_exact(&reader, 1, out->digest.bytes, sizeof out->digest.bytes);
    return reader.status;
}

void fm_erase_ask_encode(struct fm_buf *out, const struct fm_erase_ask *ask)
{
    fm_pack_map(out, 2);
    fm_pack_key_str(out, 0, ask->domain);
    fm_pack_uint(out, 1);
    fm_pack_str_span(out, ask->subject);
}

enum fm_status fm_erase_ask_decode(struct fm_span bytes, struct fm_erase_ask *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(2));
    fm_read_domain(&reader, 0, out->domain);
    fm_read_str(&reader, 1, FM_SUBJECT_BYTES_MAX, &out->subject);
    return reader.status;
}

void fm_erase_reply_encode(struct fm_buf *out, const struct fm_erase_reply *reply)
{
    fm_pack_map(out, 3);
    fm_pack_uint(out, 0);
    fm_pack_bool(out, reply->was_erased);
    fm_pack_key_uint(out, 1, reply->table_count);
    fm_pack_uint(out, 2);
    fm_pack_bool(out, reply->is_gone);
}

enum fm_status fm_erase_reply_decode(struct fm_span bytes, struct fm_erase_reply *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(3));
    fm_read_bool(&reader, 0, &out->was_erased);
    fm_read_u32(&reader, 1, UINT32_MAX, &out->table_count);
    fm_read_bool(&reader, 2, &out->is_gone);
    return reader.status;
}

void fm_product_plan_encode(struct fm_buf *out, const struct fm_product_plan *plan)
{
    fm_pack_map(out, 6);
    fm_pack_key_str(out, 0, plan->domain);
    fm_pack_key_str(out, 1, plan->product);
    fm_pack_key_str(out, 2, plan->product_version);
    fm_pack_key_uint(out, 3, plan->record_version);
    fm_pack_uint(out, 4);
    fm_pack_array(out, plan->table_count);
    for (uint32_t i = 0; i < plan->table_count; i++) {
        fm_pack_array(out, 3);
        fm_pack_str(out, plan->tables[i].table);
        fm_pack_uint(out, plan->tables[i].schema_version);
        fm_pack_uint(out, plan->tables[i].change);
    }
    fm_pack_uint(out, 5);
    fm_pack_array(out, plan->line_count);
    for (uint32_t i = 0; i < plan->line_count; i++)
        fm_pack_str_span(out, plan->lines[i]);
}

static void read_plan_tables(struct fm_reader *reader, struct fm_product_plan *out)
{
    const struct fm_value *array =
        fm_read_array(reader, 4, 0, FM_TABLES_PER_PRODUCT_MAX, &out->table_count);

    for (uint32_t i = 0; i < out->table_count; i++) {
        struct fm_product_table *table = &out->tables[i];
        const struct fm_value *item = fm_read_tuple(reader, array, i, 3);
        uint32_t change = 0;
        if (item == NULL)
            return;
        fm_reader_note(reader,
                       fm_value_text(fm_value_at(item, 0), table->table, sizeof table->table));
        fm_reader_note(reader,
                       fm_value_u32(fm_value_at(item, 1), UINT32_MAX, &table->schema_version));
        fm_reader_note(reader, fm_value_u32(fm_value_at(item, 2), FM_TABLE_UNCHANGED, &change));
        fm_reader_demand(reader, change >= FM_TABLE_NEW && fm_table_name_valid(table->table));
        table->change = (enum fm_table_change)change;
    }
}

enum fm_status fm_product_plan_decode(struct fm_span bytes, struct fm_product_plan *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(6));
    fm_read_domain(&reader, 0, out->domain);
    fm_read_text(&reader, 1, out->product, sizeof out->product);
    fm_read_text(&reader, 2, out->product_version, sizeof out->product_version);
    fm_read_u64(&reader, 3, UINT64_MAX, &out->record_version);
    read_plan_tables(&reader, out);
    const struct fm_value *lines =
        fm_read_array(&reader, 5, 0, FM_PLAN_LINES_MAX, &out->line_count);
    for (uint32_t i = 0; i < out->line_count; i++)
        fm_reader_note(&reader,
                       fm_value_str(fm_value_at(lines, i), FM_PLAN_LINE_BYTES_MAX, &out->lines[i]));
    return reader.status;
}

void fm_product_list_encode(struct fm_buf *out, const struct fm_product_list *list)
{
    fm_pack_array(out, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct fm_product_entry *entry = &list->items[i];
        fm_pack_array(out, 5);
        fm_pack_str(out, entry->domain);
        fm_pack_str(out, entry->product);
        fm_pack_str(out, entry->product_version);
        fm_pack_bin(out, entry->owner.bytes, sizeof entry->owner.bytes);
        fm_pack_array(out, entry->table_count);
        for (uint32_t t = 0; t < entry->table_count; t++)
            fm_pack_str_span(out, entry->tables[t]);
    }
}

static enum fm_status read_entry(const struct fm_value *item, struct fm_product_entry *out)
{
    struct fm_reader reader = {.status = FM_OK};
    uint32_t count = 0;

    fm_reader_note(&reader, fm_value_array(item, 5, &count));
    fm_reader_demand(&reader, count == 5);
    if (reader.status != FM_OK)
        return reader.status;
    fm_reader_note(&reader, fm_value_text(fm_value_at(item, 0), out->domain, sizeof out->domain));
    fm_reader_note(&reader, fm_value_text(fm_value_at(item, 1), out->product, sizeof out->product));
    fm_reader_note(&reader, fm_value_text(fm_value_at(item, 2), out->product_version,
                                          sizeof out->product_version));
    fm_reader_note(&reader, fm_value_bin_exact(fm_value_at(item, 3), out->owner.bytes,
                                               sizeof out->owner.bytes));
    const struct fm_value *tables = fm_value_at(item, 4);
    fm_reader_note(&reader, fm_value_array(tables, FM_TABLES_PER_PRODUCT_MAX, &out->table_count));
    if (reader.status != FM_OK)
        return reader.status;
    for (uint32_t i = 0; i < out->table_count; i++)
        fm_reader_note(&reader, fm_value_str(fm_value_at(tables, i), FM_NAME_MAX, &out->tables[i]));
    return reader.status;
}

enum fm_status fm_product_list_decode(struct fm_span bytes, struct fm_product_list *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_mem_freep) struct fm_product_entry *items = NULL;
    uint32_t count = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status == FM_OK)
        status = fm_value_array(fm_doc_root(doc), FM_PRODUCTS_LISTED_MAX, &count);
    if (status != FM_OK)
        return status;
    items = calloc((size_t)count + 1, sizeof *items);
    if (items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = read_entry(fm_value_at(fm_doc_root(doc), i), &items[i]);
    if (status == FM_OK)
        *out = (struct fm_product_list){.count = count, .items = FM_TAKE(items)};
    return status;
}

void fm_product_list_deinit(struct fm_product_list *list)
{
    free(list->items);
    *list = (struct fm_product_list){0};
}

void fm_product_ask_encode(struct fm_buf *out, const struct fm_product_ask *ask)
{
    fm_pack_map(out, 2);
    fm_pack_key_str(out, 0, ask->domain);
    fm_pack_key_str(out, 1, ask->name);
}

enum fm_status fm_product_ask_decode(struct fm_span bytes, struct fm_product_ask *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(2));
    fm_read_text(&reader, 0, out->domain, sizeof out->domain);
    fm_read_text(&reader, 1, out->name, sizeof out->name);
    return reader.status;
}

void fm_product_show_encode(struct fm_buf *out, const struct fm_product_show *show)
{
    fm_pack_map(out, 6);
    fm_pack_key_str(out, 0, show->domain);
    fm_pack_key_str(out, 1, show->product);
    fm_pack_key_str(out, 2, show->product_version);
    fm_pack_key_bin(out, 3, show->owner.bytes, sizeof show->owner.bytes);
    fm_pack_uint(out, 4);
    fm_pack_array(out, show->schema_count);
    for (uint32_t i = 0; i < show->schema_count; i++)
        fm_pack_bin_span(out, show->schemas[i]);
    fm_pack_key_bin(out, 5, show->yaml.data, show->yaml.len);
}

enum fm_status fm_product_show_decode(struct fm_span bytes, struct fm_product_show *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return status;
    struct fm_reader reader = fm_reader(fm_doc_root(doc), FM_KEYS(6));
    fm_read_domain(&reader, 0, out->domain);
    fm_read_text(&reader, 1, out->product, sizeof out->product);
    fm_read_text(&reader, 2, out->product_version, sizeof out->product_version);
    fm_read_exact(&reader, 3, out->owner.bytes, sizeof out->owner.bytes);
    const struct fm_value *schemas =
        fm_read_array(&reader, 4, 0, FM_TABLES_PER_PRODUCT_MAX, &out->schema_count);
    for (uint32_t i = 0; i < out->schema_count; i++)
        fm_reader_note(&reader,
                       fm_value_bin(fm_value_at(schemas, i), FM_DOC_BYTES_MAX, &out->schemas[i]));
    fm_read_bin(&reader, 5, FM_CONTRACT_BYTES_MAX, &out->yaml);
    return reader.status;
}

const char *fm_member_view_text(enum fm_member_view state)
{
    switch (state) {
#define X(name, number, text)                                                                      \
    case FM_VIEW_##name:                                                                           \
        return text;
        FM_MEMBER_STATE_MAP(X)
#undef X
    }
    return "unknown";
}

void fm_member_list_encode(struct fm_buf *out, const struct fm_member_list *list)
{
    fm_pack_array(out, list->count);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct fm_member_info *member = &list->items[i];
        fm_pack_map(out, 8);
        fm_pack_key_bin(out, 0, member->node.bytes, sizeof member->node.bytes);
        fm_pack_key_str(out, 1, member->name);
        fm_pack_key_uint(out, 2, member->state);
        fm_pack_key_str(out, 3, member->address);
        fm_pack_uint(out, 4);
        fm_pack_array(out, member->domain_count);
        for (uint32_t d = 0; d < member->domain_count; d++)
            fm_pack_str_span(out, member->domains[d]);
        fm_pack_key_uint(out, 5, member->incarnation);
        fm_pack_key_uint(out, 6, member->since_ms);
        fm_pack_key_int(out, 7, member->round_trip_ms);
    }
}

static enum fm_status read_member(const struct fm_value *item, struct fm_member_info *out)
{
    struct fm_reader reader = fm_reader(item, FM_KEYS(8));
    uint32_t state = 0;

    fm_read_exact(&reader, 0, out->node.bytes, sizeof out->node.bytes);
    fm_read_text(&reader, 1, out->name, sizeof out->name);
    fm_read_choice(&reader, 2, FM_VIEW_ALIVE, FM_VIEW_LEFT, &state);
    fm_read_text(&reader, 3, out->address, sizeof out->address);
    const struct fm_value *domains =
        fm_read_array(&reader, 4, 0, FM_DOMAINS_PER_NODE_MAX, &out->domain_count);
    for (uint32_t i = 0; i < out->domain_count; i++)
        fm_reader_note(&reader,
                       fm_value_str(fm_value_at(domains, i), FM_NAME_MAX, &out->domains[i]));
    fm_read_u64(&reader, 5, UINT64_MAX, &out->incarnation);
    fm_read_u64(&reader, 6, UINT64_MAX, &out->since_ms);
    fm_reader_note(&reader, fm_value_int(fm_map_get(item, 7), &out->round_trip_ms));
    fm_reader_demand(&reader, out->round_trip_ms >= -1);
    out->state = (enum fm_member_view)state;
    return reader.status;
}

enum fm_status fm_member_list_decode(struct fm_span bytes, struct fm_member_list *out)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_mem_freep) struct fm_member_info *items = NULL;
    uint32_t count = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status == FM_OK)
        status = fm_value_array(fm_doc_root(doc), FM_MEMBERS_LISTED_MAX, &count);
    if (status != FM_OK)
        return status;
    items = calloc((size_t)count + 1, sizeof *items);
    if (items == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = read_member(fm_value_at(fm_doc_root(doc), i), &items[i]);
    if (status == FM_OK)
        *out = (struct fm_member_list){.count = count, .items = FM_TAKE(items)};
    return status;
}

void fm_member_list_deinit(struct fm_member_list *list)
{
    free(list->items);
    *list = (struct fm_member_list){0};
}
