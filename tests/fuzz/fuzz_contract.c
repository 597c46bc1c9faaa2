/* YAML of users: contracts and node configurations. What compiles must give schemas that encode and
 * decode, compile again to the same, and be unchanged against itself; a configuration that parses
 * must print to what parses to the same. Complaints always have a text. */
#include "node/config.h"
#include "node/contract.h"

#include "core/assert.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_schema(const struct fm_schema *schema)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    FM_AUTO(fm_schema_freep) struct fm_schema *back = NULL;

    fm_schema_encode(&bytes, schema);
    fm_assert(fm_buf_status(&bytes) == FM_OK);
    fm_assert(fm_schema_decode(fm_buf_span(&bytes), &back, NULL) == FM_OK);
}

static void check_contract(struct fm_span yaml)
{
    static struct fm_compiled_contract first, again; /* Too large for the stack. */
    struct fm_error err = {0};

    enum fm_status status = fm_contract_compile(yaml, "input", NULL, 0, &first, &err);
    if (status != FM_OK) {
        fm_assert(err.text[0] != '\0');
        return;
    }
    fm_assert(first.table_count >= 1);
    for (uint32_t i = 0; i < first.table_count; i++)
        check_schema(first.tables[i]);
    status = fm_contract_compile(yaml, "input", (const struct fm_schema *const *)first.tables,
                                 first.table_count, &again, &err);
    fm_assert(status == FM_OK);
    for (uint32_t i = 0; i < again.table_count; i++)
        fm_assert(again.changes[i] == FM_TABLE_UNCHANGED);
    fm_compiled_contract_deinit(&again);
    fm_compiled_contract_deinit(&first);
}

static void check_config(struct fm_span yaml)
{
    static struct fm_node_config config, back;
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    struct fm_error err = {0};

    fm_assert(fm_node_config_init(&config, "/n", &err) == FM_OK);
    fm_assert(fm_node_config_init(&back, "/n", &err) == FM_OK);
    if (fm_node_config_parse(&config, yaml, "input", &err) != FM_OK) {
        fm_assert(err.text[0] != '\0');
        return;
    }
    fm_node_config_print(&config, &text);
    fm_assert(fm_buf_status(&text) == FM_OK);
    fm_assert(fm_node_config_parse(&back, fm_buf_span(&text), "printed", &err) == FM_OK);
    fm_assert(strcmp(config.listen, back.listen) == 0);
    fm_assert(strcmp(config.data, back.data) == 0);
    fm_assert(config.seed_count == back.seed_count && config.memory_mib == back.memory_mib);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_contract(fm_span(data, size));
    check_config(fm_span(data, size));
    return 0;
}
