#include "node/contract.h"

#include "core/limits.h"
#include "node/contract_parts.h"

/* Left for the rest of a catalog record beside its schemas and YAML. */
#define RECORD_ROOM 8192u

static enum fm_status expect_text(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *root, const char *key,
                                  const char *prefix, bool is_whole)
{
    char text[64];

    enum fm_status status = fm_contract_text(reader, root, key, true, text, sizeof text);
    if (status != FM_OK)
        return status;
    if (is_whole ? strcmp(text, prefix) == 0 : strncmp(text, prefix, strlen(prefix)) == 0)
        return FM_OK;
    return fm_yaml_fail(reader->err, reader->yaml, fm_yaml_get(root, key),
                        "'%s' is '%s'; expected %s%s", key, text, prefix, is_whole ? "" : "...");
}

static enum fm_status read_api_version(const struct fm_contract_reader *reader,
                                       const struct fm_yaml_node *root)
{
    struct fm_error ignored = {0};

    if (expect_text(&(struct fm_contract_reader){.yaml = reader->yaml, .err = &ignored}, root,
                    "apiVersion", "v3.0.", false) == FM_OK)
        return FM_OK;
    return expect_text(reader, root, "apiVersion", "v3.1.", false);
}

/* The product is `dataProduct`, else `name`. */
static enum fm_status read_names(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *root, char *domain, char *product)
{
    const size_t size = FM_NAME_MAX + 1;

    if (root == NULL || root->kind != FM_YAML_MAPPING)
        return fm_yaml_fail(reader->err, reader->yaml, root,
                            "this is %s; a data contract (ODCS v3.1) is expected",
                            fm_yaml_kind_text(root));
    enum fm_status status = fm_contract_text(reader, root, "domain", true, domain, size);
    if (status != FM_OK)
        return status;
    if (!fm_domain_name_valid(domain))
        return fm_yaml_fail(reader->err, reader->yaml, fm_yaml_get(root, "domain"),
                            "'%s' cannot be a domain's name; expected lower-case letters, digits "
                            "and _, a letter first, none of the reserved names",
                            domain);
    status = fm_contract_text(reader, root, "dataProduct", false, product, size);
    if (status == FM_OK && product[0] == '\0')
        status = fm_contract_text(reader, root, "name", true, product, size);
    return status;
}

static enum fm_status read_header(const struct fm_contract_reader *reader,
                                  const struct fm_yaml_node *root, struct fm_compiled_contract *out)
{
    char text[512];

    enum fm_status status = read_names(reader, root, out->domain, out->product);
    if (status == FM_OK)
        status = expect_text(reader, root, "kind", "DataContract", true);
    if (status == FM_OK)
        status = read_api_version(reader, root);
    if (status == FM_OK)
        status = fm_contract_text(reader, root, "id", true, text, sizeof text);
    if (status == FM_OK)
        status = fm_contract_text(reader, root, "status", true, text, sizeof text);
    if (status == FM_OK)
        status = fm_contract_text(reader, root, "version", true, out->version, sizeof out->version);
    return status;
}

static const struct fm_schema *find_table(const struct fm_schema *const *schemas, uint32_t count,
                                          const char *table)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(schemas[i]->table, table) == 0)
            return schemas[i];
    return NULL;
}

static enum fm_status add_table(const struct fm_contract_reader *reader,
                                const struct fm_yaml_node *object,
                                const struct fm_schema *const *existing, uint32_t existing_count,
                                struct fm_compiled_contract *out)
{
    const struct fm_yaml_node *name = fm_yaml_get(object, "name");
    const struct fm_schema *earlier = NULL;
    uint32_t i = out->table_count;

    if (name != NULL && name->kind == FM_YAML_SCALAR) {
        if (find_table((const struct fm_schema *const *)out->tables, i, name->text) != NULL)
            return fm_yaml_fail(reader->err, reader->yaml, name, "two tables are named '%s'",
                                name->text);
        earlier = find_table(existing, existing_count, name->text);
    }
    enum fm_status status =
        fm_contract_table(reader, object, out->domain, earlier, &out->tables[i]);
    if (status != FM_OK)
        return status;
    out->table_count++;
    return fm_contract_compare(reader, object, earlier, out, i);
}

static enum fm_status add_tables(const struct fm_contract_reader *reader,
                                 const struct fm_yaml_node *root,
                                 const struct fm_schema *const *existing, uint32_t existing_count,
                                 struct fm_compiled_contract *out)
{
    const struct fm_yaml_node *list = NULL;

    enum fm_status status =
        fm_contract_list(reader, root, "schema", FM_TABLES_PER_PRODUCT_MAX, &list);
    if (status == FM_OK && (list == NULL || list->count == 0))
        status = fm_yaml_fail(reader->err, reader->yaml, list == NULL ? root : list,
                              "'schema' is missing; a list of tables is expected");
    if (status != FM_OK)
        return status;
    const struct fm_yaml_node *object = list->first;
    for (; status == FM_OK && object != NULL; object = object->next)
        status = add_table(reader, object, existing, existing_count, out);
    if (status == FM_OK)
        status = fm_contract_check_retention(reader, out);
    for (uint32_t i = 0; status == FM_OK && i < existing_count; i++)
        if (find_table((const struct fm_schema *const *)out->tables, out->table_count,
                       existing[i]->table) == NULL)
            status = fm_fail(reader->err, FM_CONFLICT,
                             "the published table '%s' is missing in the contract; a table "
                             "cannot be taken back",
                             existing[i]->table);
    return status;
}

static enum fm_status check_size(struct fm_span yaml, const char *name,
                                 const struct fm_compiled_contract *contract, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);

    for (uint32_t i = 0; i < contract->table_count; i++)
        fm_schema_encode(&bytes, contract->tables[i]);
    if (fm_buf_status(&bytes) != FM_OK || fm_buf_status(&contract->text) != FM_OK)
        return fm_fail(err, FM_NOMEM, "%s", name);
    if (bytes.len + yaml.len + RECORD_ROOM > FM_PAYLOAD_BYTES_MAX)
        return fm_fail(err, FM_LIMIT,
                       "%s: the contract with its schemas needs %zu bytes, more than the %u that "
                       "one message carries; split the product or shorten descriptions",
                       name, bytes.len + yaml.len + RECORD_ROOM, FM_PAYLOAD_BYTES_MAX);
    return FM_OK;
}

static enum fm_status open_yaml(struct fm_span yaml, const char *name, struct fm_yaml **out,
                                struct fm_error *err)
{
    if (yaml.len > FM_CONTRACT_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "%s has %zu bytes; a contract may have %u", name, yaml.len,
                       FM_CONTRACT_BYTES_MAX);
    return fm_yaml_parse(yaml, name, out, err);
}

enum fm_status fm_contract_compile(struct fm_span yaml, const char *name,
                                   const struct fm_schema *const *existing, uint32_t existing_count,
                                   struct fm_compiled_contract *out, struct fm_error *err)
{
    FM_AUTO(fm_yaml_freep) struct fm_yaml *tree = NULL;
    FM_AUTO(fm_mem_freep) struct fm_compiled_contract *contract = calloc(1, sizeof *contract);

    if (contract == NULL)
        return fm_fail(err, FM_NOMEM, "%s", name);
    enum fm_status status = open_yaml(yaml, name, &tree, err);
    if (status != FM_OK)
        return status;
    const struct fm_contract_reader reader = {.yaml = tree, .err = err};
    status = read_header(&reader, fm_yaml_root(tree), contract);
    if (status == FM_OK)
        status = add_tables(&reader, fm_yaml_root(tree), existing, existing_count, contract);
    if (status == FM_OK)
        status = check_size(yaml, name, contract, err);
    if (status == FM_OK)
        *out = *contract;
    else
        fm_compiled_contract_deinit(contract);
    return status;
}

enum fm_status fm_contract_peek(struct fm_span yaml, const char *name, char domain[FM_NAME_MAX + 1],
                                char product[FM_NAME_MAX + 1], struct fm_error *err)
{
    FM_AUTO(fm_yaml_freep) struct fm_yaml *tree = NULL;

    enum fm_status status = open_yaml(yaml, name, &tree, err);
    if (status != FM_OK)
        return status;
    const struct fm_contract_reader reader = {.yaml = tree, .err = err};
    return read_names(&reader, fm_yaml_root(tree), domain, product);
}

void fm_compiled_contract_deinit(struct fm_compiled_contract *contract)
{
    for (uint32_t i = 0; i < FM_TABLES_PER_PRODUCT_MAX; i++)
        fm_schema_free(contract->tables[i]);
    fm_buf_free(&contract->text);
    *contract = (struct fm_compiled_contract){0};
}
