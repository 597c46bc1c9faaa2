#include "node/pg/catalog_model.h"

#include "core/assert.h"
#include "node/server.h"

#include <stdio.h>
#include <stdlib.h>

#define OID_MIN 16384u /* Those below are PostgreSQL's own. */
#define OID_RANGE (INT32_MAX - OID_MIN)

/* Room for one more of an array of `count`. */
static enum fm_status grow(void **items, uint32_t count, size_t size)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return FM_OK;
    void *more = realloc(*items, (count == 0 ? 1u : 2u * (size_t)count) * size);
    if (more == NULL)
        return FM_NOMEM;
    *items = more;
    return FM_OK;
}

static bool is_given(const struct pg_model *model, uint32_t oid)
{
    for (uint32_t i = 0; i < model->oid_count; i++)
        if (model->oids[i] == oid)
            return true;
    return false;
}

/* The number of what is called so; the next free one where another has it. */
static enum fm_status give_oid(struct pg_model *model, const char *kind, const char *domain,
                               const char *name, uint32_t *out)
{
    const struct fm_span parts[] = {fm_span_str(kind), fm_span_str("/"), fm_span_str(domain),
                                    fm_span_str("/"), fm_span_str(name)};
    struct fm_hash hash;

    fm_sha256(&hash, parts, sizeof parts / sizeof parts[0]);
    uint32_t oid = OID_MIN + fm_load32(hash.bytes) % OID_RANGE;
    while (is_given(model, oid))
        oid = oid == INT32_MAX ? OID_MIN : oid + 1;
    enum fm_status status = grow((void **)&model->oids, model->oid_count, sizeof *model->oids);
    if (status == FM_OK)
        model->oids[model->oid_count++] = oid;
    *out = oid;
    return status;
}

static enum fm_status give_role(struct pg_model *model, const char *name, bool can_login,
                                uint32_t *out)
{
    for (uint32_t i = 0; i < model->role_count; i++) {
        if (strcmp(model->roles[i].name, name) != 0)
            continue;
        *out = model->roles[i].oid;
        model->roles[i].can_login |= can_login;
        return FM_OK;
    }
    enum fm_status status = grow((void **)&model->roles, model->role_count, sizeof *model->roles);
    if (status != FM_OK)
        return status;
    struct pg_role *role = &model->roles[model->role_count];
    *role = (struct pg_role){.oid = PG_OID_MESH, .can_login = can_login};
    (void)snprintf(role->name, sizeof role->name, "%s", name); /* A name. */
    if (model->role_count != 0)
        status = give_oid(model, "role", "", name, &role->oid);
    if (status == FM_OK)
        model->role_count++;
    *out = role->oid;
    return status;
}

static enum fm_status give_namespace(struct pg_model *model, const char *name, uint32_t owner,
                                     uint32_t *out)
{
    for (uint32_t i = 0; i < model->namespace_count; i++) {
        if (strcmp(model->namespaces[i].name, name) == 0) {
            *out = model->namespaces[i].oid;
            return FM_OK;
        }
    }
    enum fm_status status =
        grow((void **)&model->namespaces, model->namespace_count, sizeof *model->namespaces);
    if (status != FM_OK)
        return status;
    struct pg_namespace *to = &model->namespaces[model->namespace_count];
    *to = (struct pg_namespace){.name = name, .oid = PG_OID_CATALOG, .owner = owner};
    if (strcmp(name, FM_CATALOG_DOMAIN) != 0)
        status = give_oid(model, "namespace", name, "", &to->oid);
    if (status == FM_OK)
        model->namespace_count++;
    *out = to->oid;
    return status;
}

/* Takes `schema`, also when it fails. */
static enum fm_status add_relation(struct pg_model *model, struct fm_schema *schema,
                                   uint32_t fixed_oid, uint32_t owner, struct pg_relation **out)
{
    FM_AUTO(fm_schema_freep) struct fm_schema *held = schema;

    enum fm_status status =
        grow((void **)&model->relations, model->relation_count, sizeof *model->relations);
    if (status != FM_OK)
        return status;
    struct pg_relation *to = &model->relations[model->relation_count++];
    *to = (struct pg_relation){.schema = FM_TAKE(held), .owner = owner, .oid = fixed_oid};
    status = give_namespace(model, schema->domain, owner, &to->namespace);
    if (status == FM_OK && fixed_oid == 0)
        status = give_oid(model, "table", schema->domain, schema->table, &to->oid);
    if (status == FM_OK && schema->key_count != 0)
        status = give_oid(model, "index", schema->domain, schema->table, &to->index);
    if (status == FM_OK && schema->key_count != 0)
        status = give_oid(model, "constraint", schema->domain, schema->table, &to->constraint);
    *out = to;
    return status;
}

/* Those that clients name by number. */
static uint32_t fixed_oid(const char *table)
{
    static const struct {
        const char *table;
        uint32_t oid;
    } known[] = {
        {"pg_type", PG_OID_TYPES},      {"pg_attribute", 1249}, {"pg_proc", 1255},
        {"pg_class", PG_OID_RELATIONS}, {"pg_database", 1262},  {"pg_constraint", 2606},
        {"pg_description", 2609},       {"pg_index", 2610},     {"pg_namespace", PG_OID_NAMESPACES},
        {"pg_trigger", 2620},           {"pg_extension", 3079}, {"pg_rewrite", 2618},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].table, table) == 0)
            return known[i].oid;
    return 0;
}

static enum fm_status add_own(struct pg_model *model, const char *domain, const char *table,
                              bool is_view)
{
    struct fm_schema *schema = NULL;
    struct pg_relation *relation = NULL;

    enum fm_status status = fm_view_schema(domain, table, &schema);
    if (status != FM_OK)
        return status;
    status = add_relation(model, schema, is_view ? 0 : fixed_oid(table), PG_OID_MESH, &relation);
    if (status != FM_OK)
        return status;
    relation->is_view = is_view;
    relation->is_catalog = !is_view;
    return FM_OK;
}

static enum fm_status add_table(struct view_writer *writer, struct pg_model *model,
                                const struct fm_product_entry *product, struct fm_span table)
{
    struct fm_registry *registry = writer->server->registry;
    struct pg_relation *relation = NULL;
    struct fm_schema *schema = NULL;
    struct fm_node_cert cert;
    struct fm_node_id owner;
    char name[FM_NAME_MAX + 1];
    uint32_t role = PG_OID_MESH;

    (void)snprintf(name, sizeof name, "%.*s", (int)table.len, (const char *)table.data);
    enum fm_status status = fm_registry_table(registry, product->domain, name, &schema, &owner);
    if (status == FM_NOTFOUND)
        return FM_OK; /* Gone meanwhile. */
    if (status != FM_OK)
        return status;
    if (memcmp(&owner, &product->owner, sizeof owner) != 0) {
        fm_schema_free(schema);
        return FM_OK; /* Another node's by now, whose product is listed too. */
    }
    if (fm_registry_cert(registry, &owner, &cert, NULL) == FM_OK)
        status = give_role(model, cert.name, false, &role);
    if (status != FM_OK) {
        fm_schema_free(schema);
        return status;
    }
    return add_relation(model, schema, 0, role, &relation);
}

static int by_name(const void *a, const void *b)
{
    const struct fm_product_entry *left = a;
    const struct fm_product_entry *right = b;
    int order = strcmp(left->domain, right->domain);

    return order != 0 ? order : strcmp(left->product, right->product);
}

/* In the order of names, so that numbers are given alike everywhere. */
static enum fm_status add_tables(struct view_writer *writer, struct pg_model *model)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    struct fm_product_list list = {0};

    enum fm_status status = fm_registry_products(writer->server->registry, &bytes);
    if (status == FM_OK)
        status = fm_product_list_decode(fm_buf_span(&bytes), &list);
    if (status == FM_OK && list.count > 1)
        qsort(list.items, list.count, sizeof *list.items, by_name);
    for (uint32_t i = 0; status == FM_OK && i < list.count; i++)
        for (uint32_t t = 0; status == FM_OK && t < list.items[i].table_count; t++)
            status = add_table(writer, model, &list.items[i], list.items[i].tables[t]);
    fm_product_list_deinit(&list);
    return status;
}

enum fm_status pg_model_read(struct view_writer *writer, const struct pg_own_table *own,
                             uint32_t own_count, struct pg_model *out)
{
    uint32_t role = 0;

    *out = (struct pg_model){0};
    enum fm_status status = give_role(out, FM_VIEWS_DOMAIN, false, &role);
    for (uint32_t i = 0; status == FM_OK && i < own_count; i++)
        status = add_own(out, own[i].domain, own[i].table, false);
    for (uint32_t i = 0; status == FM_OK && fm_view_name(i) != NULL; i++)
        status = add_own(out, FM_VIEWS_DOMAIN, fm_view_name(i), true);
    if (status == FM_OK)
        status = add_tables(writer, out);
    if (status == FM_OK)
        status = give_role(out, writer->asker->name, true, &role);
    return status;
}

void pg_model_deinit(struct pg_model *model)
{
    for (uint32_t i = 0; i < model->relation_count; i++)
        fm_schema_free(model->relations[i].schema);
    free(model->relations);
    free(model->namespaces);
    free(model->roles);
    free(model->oids);
    *model = (struct pg_model){0};
}

void pg_put_relation_name(struct fm_buf *out, const struct pg_relation *relation)
{
    const struct fm_schema *schema = relation->schema;

    if (strcmp(schema->domain, FM_CATALOG_DOMAIN) != 0)
        fm_buf_printf(out, "%s.", schema->domain);
    fm_buf_put_str(out, schema->table);
}

const char *pg_role_name(const struct pg_model *model, uint32_t oid)
{
    for (uint32_t i = 0; i < model->role_count; i++)
        if (model->roles[i].oid == oid)
            return model->roles[i].name;
    return "";
}
