#include "tests/support/live_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

int live_world_setup(void **state)
{
    struct live_world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    w->mesh = live_mesh_new();
    w->node = live_make_node(w->mesh, "alpha");
    live_start(w->mesh, w->node);
    (void)live_make_node(w->mesh, "mole");
    live_publish(w->mesh, w->node, WORLD_ROWS);
    live_make_principal(w->mesh, "reader", (const char *const[]){"reader", NULL});
    w->authority = live_authority(w->mesh);
    w->alpha = live_identity(w->mesh, "alpha", FM_PAYLOAD_NODE);
    w->mole = live_identity(w->mesh, "mole", FM_PAYLOAD_NODE);
    w->reader = live_identity(w->mesh, "reader", FM_PAYLOAD_PRINCIPAL);
    w->team = live_identity(w->mesh, "alpha-team", FM_PAYLOAD_PRINCIPAL);
    *state = w;
    return 0;
}

int live_world_teardown(void **state)
{
    struct live_world *w = *state;

    live_mesh_free(w->mesh);
    fm_key_free(w->authority);
    fm_identity_free(w->alpha);
    fm_identity_free(w->mole);
    fm_identity_free(w->reader);
    fm_identity_free(w->team);
    free(w);
    return 0;
}

struct raw_identity live_as_principal(const struct live_world *w,
                                      const struct fm_identity *principal)
{
    return (struct raw_identity){
        .pattern = FM_NOISE_XX,
        .kind = FM_PAYLOAD_PRINCIPAL,
        .cert = fm_buf_span(&principal->cert_bytes),
        .session_key = principal->session_key,
        .sign_key = principal->sign_key,
        .mesh = principal->charter.mesh,
        .node = w->alpha->node.node,
    };
}

struct raw_identity live_as_mole(const struct live_world *w, enum fm_noise_pattern pattern)
{
    return (struct raw_identity){
        .pattern = pattern,
        .kind = FM_PAYLOAD_NODE,
        .cert = fm_buf_span(&w->mole->cert_bytes),
        .session_key = w->mole->session_key,
        .sign_key = w->mole->sign_key,
        .gossip_key = w->mole->gossip_key,
        .peer = &w->alpha->node.session_key,
        .mesh = w->mole->charter.mesh,
        .node = w->alpha->node.node,
    };
}

uint32_t live_count_rows(struct live_world *w)
{
    FM_AUTO(fm_mem_freep)
    char *text = live_output(w->mesh, "reader", w->node,
                             (const char *const[]){"query", "SELECT count(*) FROM alpha.items",
                                                   "--format", "csv", "--no-receipts", NULL});
    const char *line = strchr(text, '\n');

    assert_non_null(line);
    return (uint32_t)strtoul(line + 1, NULL, 10);
}

void live_assert_serves(struct live_world *w)
{
    assert_true(live_runs(w->node));
    assert_true(live_count_rows(w) >= WORLD_ROWS);
}

struct fm_span live_empty_map(void)
{
    return fm_span("\x80", 1);
}
