#include "node/views.h"

#include "core/assert.h"
#include "node/pg/catalog.h"
#include "node/server.h"
#include "node/views_internal.h"

#include <stdio.h>

static enum fm_status begin_batch(struct view_writer *writer)
{
    return fm_rows_new_of(writer->view->columns, writer->view->count, writer->fields,
                          writer->field_count, &writer->rows);
}

static enum fm_status end_batch(struct view_writer *writer)
{
    FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_hash leaf;

    enum fm_status status = fm_rows_finish(writer->rows, &batch);
    if (status == FM_NOTFOUND)
        return FM_OK;
    if (status != FM_OK)
        return status;
    fm_leaf_hash(&leaf, fm_buf_span(&batch));
    fm_tree_append(&writer->tree, &leaf);
    if (writer->kept->bytes + batch.len > FM_VIEW_BYTES_MAX)
        return FM_LIMIT;
    return fm_kept_add(writer->kept, &batch);
}

enum fm_status view_end_row(struct view_writer *writer)
{
    if (fm_rows_count(writer->rows) < FM_VIEW_BATCH_ROWS)
        return FM_OK;
    enum fm_status status = end_batch(writer);
    fm_rows_free(FM_TAKE(writer->rows));
    return status == FM_OK ? begin_batch(writer) : status;
}

static void put_or_null(struct fm_rows *rows, const char *text)
{
    if (text[0] == '\0')
        fm_rows_null(rows);
    else
        fm_rows_text(rows, text);
}

static void put_hex(struct fm_rows *rows, const uint8_t *bytes, size_t len)
{
    char hex[2 * FM_HASH_BYTES + 1];

    fm_assert(len <= FM_HASH_BYTES);
    fm_hex(bytes, len, hex);
    fm_rows_text(rows, hex);
}

/* "a, b, c" */
static enum fm_status put_list(struct fm_rows *rows, const struct fm_span *items, uint32_t count)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_str(&text, i == 0 ? "" : ", ");
        fm_buf_put_span(&text, items[i]);
    }
    fm_rows_span(rows, fm_buf_span(&text));
    return fm_buf_status(&text);
}

/* ---- mesh.receipts --------------------------------------------------------------------------- */

static const struct fm_rows_column receipts_columns[] = {
    {"query", FM_KIND_VARCHAR},  {"time", FM_KIND_TIMESTAMPTZ}, {"in_session", FM_KIND_BOOLEAN},
    {"fragment", FM_KIND_INT32}, {"domain", FM_KIND_VARCHAR},   {"tables", FM_KIND_VARCHAR},
    {"node", FM_KIND_VARCHAR},   {"node_id", FM_KIND_VARCHAR},  {"rule", FM_KIND_VARCHAR},
    {"state", FM_KIND_VARCHAR},  {"reason", FM_KIND_VARCHAR},   {"rows", FM_KIND_UINT64},
    {"bytes", FM_KIND_UINT64},   {"root", FM_KIND_VARCHAR},     {"heads", FM_KIND_VARCHAR},
    {"trace", FM_KIND_VARCHAR},
};

static enum fm_status put_receipt(void *context, const struct fm_receipts_entry *entry)
{
    struct view_writer *writer = context;
    const uint8_t *session = writer->asker->session;
    const char *text = (const char *)entry->text.data;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < entry->count && status == FM_OK; i++) {
        const struct fm_receipts_fragment *fragment = &entry->fragments[i];
        struct fm_rows *rows = writer->rows;
        put_hex(rows, entry->query.bytes, sizeof entry->query.bytes);
        fm_rows_time(rows, entry->time);
        fm_rows_bool(rows, session != NULL &&
                               memcmp(session, entry->session, sizeof entry->session) == 0);
        fm_rows_int32(rows, (int32_t)fragment->number);
        fm_rows_text(rows, text + fragment->domain);
        fm_rows_text(rows, text + fragment->tables);
        put_or_null(rows, text + fragment->node_name);
        put_hex(rows, fragment->node.bytes, sizeof fragment->node.bytes);
        fm_rows_text(rows, fragment->rule);
        fm_rows_text(rows, fragment->state);
        put_or_null(rows, text + fragment->reason);
        fm_rows_uint(rows, fragment->rows);
        if (fragment->has_receipt) {
            fm_rows_uint(rows, fragment->bytes);
            put_hex(rows, fragment->root.bytes, sizeof fragment->root.bytes);
        } else {
            fm_rows_null(rows);
            fm_rows_null(rows);
        }
        put_or_null(rows, text + fragment->heads);
        put_hex(rows, entry->trace, sizeof entry->trace);
        status = view_end_row(writer);
    }
    return status;
}

static enum fm_status put_receipts(struct view_writer *writer)
{
    return fm_receipts_each(writer->server->receipts, &writer->asker->principal, put_receipt,
                            writer);
}

/* ---- mesh.nodes ------------------------------------------------------------------------------ */

static const struct fm_rows_column nodes_columns[] = {
    {"node", FM_KIND_VARCHAR},         {"node_id", FM_KIND_VARCHAR}, {"state", FM_KIND_VARCHAR},
    {"address", FM_KIND_VARCHAR},      {"domains", FM_KIND_VARCHAR}, {"since_ms", FM_KIND_UINT64},
    {"round_trip_ms", FM_KIND_UINT64},
};

static enum fm_status put_node(struct view_writer *writer, const struct fm_member_info *member)
{
    struct fm_rows *rows = writer->rows;

    put_or_null(rows, member->name);
    put_hex(rows, member->node.bytes, sizeof member->node.bytes);
    fm_rows_text(rows, fm_member_view_text(member->state));
    put_or_null(rows, member->address);
    enum fm_status status = put_list(rows, member->domains, member->domain_count);
    fm_rows_uint(rows, member->since_ms);
    if (member->round_trip_ms < 0)
        fm_rows_null(rows);
    else
        fm_rows_uint(rows, (uint64_t)member->round_trip_ms);
    return status == FM_OK ? view_end_row(writer) : status;
}

static enum fm_status put_nodes(struct view_writer *writer)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    struct fm_member_list list = {0};

    enum fm_status status = fm_membership_list(writer->server->membership, &bytes);
    if (status == FM_OK)
        status = fm_member_list_decode(fm_buf_span(&bytes), &list);
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++)
        status = put_node(writer, &list.items[i]);
    fm_member_list_deinit(&list);
    return status;
}

/* ---- mesh.products, mesh.columns ------------------------------------------------------------- */

static const struct fm_rows_column products_columns[] = {
    {"domain", FM_KIND_VARCHAR},  {"product", FM_KIND_VARCHAR}, {"version", FM_KIND_VARCHAR},
    {"node_id", FM_KIND_VARCHAR}, {"tables", FM_KIND_VARCHAR},
};

static enum fm_status put_product(struct view_writer *writer,
                                  const struct fm_product_entry *product)
{
    struct fm_rows *rows = writer->rows;

    fm_rows_text(rows, product->domain);
    fm_rows_text(rows, product->product);
    fm_rows_text(rows, product->product_version);
    put_hex(rows, product->owner.bytes, sizeof product->owner.bytes);
    enum fm_status status = put_list(rows, product->tables, product->table_count);
    return status == FM_OK ? view_end_row(writer) : status;
}

static const struct fm_rows_column columns_columns[] = {
    {"domain", FM_KIND_VARCHAR},     {"product", FM_KIND_VARCHAR},
    {"table", FM_KIND_VARCHAR},      {"column", FM_KIND_VARCHAR},
    {"position", FM_KIND_INT32},     {"type", FM_KIND_VARCHAR},
    {"required", FM_KIND_BOOLEAN},   {"key_position", FM_KIND_INT32},
    {"classified", FM_KIND_BOOLEAN}, {"description", FM_KIND_VARCHAR},
};

static enum fm_status put_column(struct view_writer *writer, const struct fm_product_entry *product,
                                 const struct fm_schema *schema, uint32_t position)
{
    FM_AUTO(fm_buf_free) struct fm_buf type = FM_BUF_INIT(0);
    const struct fm_field *field = &schema->fields[position];
    struct fm_rows *rows = writer->rows;
    int32_t key_position = 0;

    for (uint32_t k = 0; k < schema->key_count; k++)
        if (schema->key[k] == position)
            key_position = (int32_t)k + 1;
    fm_type_print(&type, &field->type);
    fm_rows_text(rows, schema->domain);
    fm_rows_text(rows, product->product);
    fm_rows_text(rows, schema->table);
    fm_rows_text(rows, field->name);
    fm_rows_int32(rows, (int32_t)position + 1);
    fm_rows_span(rows, fm_buf_span(&type));
    fm_rows_bool(rows, field->required);
    if (key_position == 0)
        fm_rows_null(rows);
    else
        fm_rows_int32(rows, key_position);
    fm_rows_bool(rows, fm_field_is_classified(field));
    put_or_null(rows, field->description != NULL ? field->description : "");
    return fm_buf_status(&type) == FM_OK ? view_end_row(writer) : fm_buf_status(&type);
}

static enum fm_status put_table(struct view_writer *writer, const struct fm_product_entry *product,
                                struct fm_span table)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
    char name[FM_NAME_MAX + 1];
    struct fm_node_id owner;

    (void)snprintf(name, sizeof name, "%.*s", (int)table.len, (const char *)table.data);
    enum fm_status status =
        fm_registry_table(writer->server->registry, product->domain, name, &schema, &owner);
    if (status == FM_NOTFOUND || (status == FM_OK && memcmp(&owner, &product->owner, sizeof owner)))
        return FM_OK; /* Gone meanwhile, or another node's by now. */
    for (uint32_t i = 0; status == FM_OK && i < schema->field_count; i++)
        status = put_column(writer, product, schema, i);
    return status;
}

static enum fm_status put_columns_of(struct view_writer *writer,
                                     const struct fm_product_entry *product)
{
    enum fm_status status = FM_OK;

    for (uint32_t t = 0; status == FM_OK && t < product->table_count; t++)
        status = put_table(writer, product, product->tables[t]);
    return status;
}

enum fm_status view_each_product(struct view_writer *writer,
                                 enum fm_status (*put)(struct view_writer *writer,
                                                       const struct fm_product_entry *product))
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    struct fm_product_list list = {0};

    enum fm_status status = fm_registry_products(writer->server->registry, &bytes);
    if (status == FM_OK)
        status = fm_product_list_decode(fm_buf_span(&bytes), &list);
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++)
        status = put(writer, &list.items[i]);
    fm_product_list_deinit(&list);
    return status;
}

static enum fm_status put_products(struct view_writer *writer)
{
    return view_each_product(writer, put_product);
}

static enum fm_status put_columns(struct view_writer *writer)
{
    return view_each_product(writer, put_columns_of);
}

/* ---- All of them ----------------------------------------------------------------------------- */

#define COLUMNS(array) array, (uint32_t)(sizeof array / sizeof array[0])

static const struct view views[] = {
    {"receipts", COLUMNS(receipts_columns), put_receipts},
    {"nodes", COLUMNS(nodes_columns), put_nodes},
    {"products", COLUMNS(products_columns), put_products},
    {"columns", COLUMNS(columns_columns), put_columns},
};

static const struct view *find(const char *domain, const char *table)
{
    if (strcmp(domain, FM_VIEWS_DOMAIN) != 0)
        return pg_catalog_find(domain, table);
    for (size_t i = 0; i < sizeof views / sizeof views[0]; i++)
        if (strcmp(views[i].table, table) == 0)
            return &views[i];
    return NULL;
}

const char *fm_view_name(uint32_t number)
{
    return number < sizeof views / sizeof views[0] ? views[number].table : NULL;
}

enum fm_status fm_view_schema(const char *domain, const char *table, struct fm_schema **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
    const struct view *view = find(domain, table);

    if (view == NULL)
        return FM_NOTFOUND;
    schema = calloc(1, sizeof *schema);
    if (schema == NULL)
        return FM_NOMEM;
    (void)snprintf(schema->domain, sizeof schema->domain, "%s", domain); /* Short. */
    (void)snprintf(schema->table, sizeof schema->table, "%s", view->table);
    schema->version = 1;
    schema->fields = calloc(view->count, sizeof *schema->fields);
    if (schema->fields == NULL)
        return FM_NOMEM;
    schema->field_count = view->count;
    for (uint32_t i = 0; i < view->count; i++) {
        struct fm_field *field = &schema->fields[i];
        field->id = i + 1;
        (void)snprintf(field->name, sizeof field->name, "%s", view->columns[i].name); /* Short. */
        field->type.kind = view->columns[i].kind;
    }
    *out = FM_TAKE(schema);
    return FM_OK;
}

enum fm_status fm_view_read(struct fm_server *server, const struct fm_view_asker *asker,
                            const char *domain, const char *table, const uint32_t *fields,
                            uint32_t field_count, struct fm_kept *kept, struct fm_view_rows *out,
                            struct fm_error *err)
{
    struct view_writer writer = {
        .server = server,
        .asker = asker,
        .view = find(domain, table),
        .fields = fields,
        .field_count = field_count,
        .kept = kept,
    };

    fm_assert(writer.view != NULL && kept->feed == NULL && kept->count == 0);
    fm_tree_init(&writer.tree);
    enum fm_status status = begin_batch(&writer);
    if (status == FM_OK)
        status = writer.view->put(&writer);
    if (status == FM_OK)
        status = end_batch(&writer);
    fm_rows_free(writer.rows);
    if (status != FM_OK)
        return fm_fail(err, status, "read %s.%s: %s", domain, table, fm_status_text(status));
    kept->is_whole = true;
    out->rows = kept->rows;
    fm_tree_root(&writer.tree, &out->root);
    return FM_OK;
}
