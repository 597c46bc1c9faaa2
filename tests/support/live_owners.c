#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES_MAX 3u

struct live_owners *live_owners_new(uint32_t node_count,
                                    void (*prepare)(struct live_mesh *mesh, struct live_node *node))
{
    static const char *const names[NODES_MAX] = {"alpha", "beta", "gamma"};
    struct live_owners *owners = calloc(1, sizeof *owners);
    struct live_node *nodes[NODES_MAX];

    assert_non_null(owners);
    assert_in_range(node_count, 2, NODES_MAX);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    owners->mesh = live_mesh_new();
    for (uint32_t i = 0; i < node_count; i++) {
        nodes[i] = live_make_node(owners->mesh, names[i]);
        if (prepare != NULL)
            prepare(owners->mesh, nodes[i]);
        live_start(owners->mesh, nodes[i]);
    }
    owners->alpha = nodes[0];
    owners->beta = nodes[1];
    owners->asked = nodes[node_count - 1];
    return owners;
}

void live_owners_ready(struct live_owners *owners, uint32_t products)
{
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];

    live_make_principal(owners->mesh, "reader", (const char *const[]){"reader", NULL});
    live_wait(owners->mesh, "reader", owners->asked, owners->mesh->count, products);
    struct folkmoot_options options = {.node = owners->asked->address,
                                       .identity = live_path(owners->mesh, "reader", path)};
    if (folkmoot_open(&options, &owners->handle, error) != FOLKMOOT_OK)
        fail_msg("%s", error);
}

int live_owners_teardown(void **state)
{
    struct live_owners *owners = *state;

    live_result_deinit(&owners->result);
    folkmoot_close(owners->handle);
    live_mesh_free(owners->mesh);
    free(owners);
    return 0;
}

int live_owners_run(struct live_owners *owners, const char *const *arguments)
{
    live_result_deinit(&owners->result);
    live_cli(owners->mesh, "reader", owners->asked, arguments, &owners->result);
    return owners->result.exit_code;
}

const char *live_owners_out(const struct live_owners *owners)
{
    return (const char *)owners->result.out.data;
}

const char *live_owners_err(const struct live_owners *owners)
{
    return (const char *)owners->result.err.data;
}
