/* Records of the catalog at a node's registry: statistics of tables are taken from the node that
 * owns the domain under its present epoch and from nobody else, newer ones replace older ones, and
 * what was taken is there after a restart. The identities are made by the real programs. */
#include "node/registry.h"
#include "tests/support/live_mesh.h"
#include "tests/support/store_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    struct live_mesh *mesh;
    struct fm_identity *self;
    struct fm_identity *owner; /* Of the domain "flights". */
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_registry *registry;
    struct fm_buf envelope;
    struct gossip_record record;
    bool is_new;
    struct fm_error err;
};

static void open_registry(struct fixture *f)
{
    struct fm_store_options options = {
        .dir = f->dir, .mesh = f->self->charter.mesh, .node = f->self->node.node};

    assert_int_equal(fm_store_open(&options, &f->store, &f->err), FM_OK);
    assert_int_equal(fm_registry_new(f->self, f->store, &f->registry, &f->err), FM_OK);
}

static void close_registry(struct fixture *f)
{
    fm_registry_free(f->registry);
    fm_store_close(f->store);
    f->registry = NULL;
    f->store = NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(&f->err), FM_OK);
    f->mesh = live_mesh_new();
    (void)live_make_node(f->mesh, "asked");
    (void)live_make_node(f->mesh, "flights");
    f->self = live_identity(f->mesh, "asked", FM_PAYLOAD_NODE);
    f->owner = live_identity(f->mesh, "flights", FM_PAYLOAD_NODE);
    store_dir_make(f->dir);
    open_registry(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close_registry(f);
    fm_buf_free(&f->envelope);
    fm_identity_free(f->self);
    fm_identity_free(f->owner);
    live_mesh_free(f->mesh);
    store_dir_remove(f->dir);
    free(f);
    return 0;
}

static enum fm_status put_cert(struct fixture *f, const struct fm_identity *of)
{
    return fm_registry_put(f->registry, GOSSIP_RECORD_NODE_CERT, fm_buf_span(&of->cert_bytes),
                           &f->record, &f->is_new, &f->err);
}

/* What `signer` says of the table "flights.delays". */
static enum fm_status put(struct fixture *f, const struct fm_identity *signer, uint64_t version,
                          uint64_t rows, uint32_t epoch)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    struct fm_column_figures column = {.field_id = 1, .distinct = 5};
    const struct fm_statistics statistics = {.domain = "flights",
                                             .table = "delays",
                                             .epoch = epoch,
                                             .version = version,
                                             .time = 1,
                                             .schema_version = 1,
                                             .rows = rows,
                                             .column_count = 1,
                                             .columns = &column};
    struct fm_key *key = signer->sign_key;

    fm_statistics_encode(&body, &statistics);
    fm_buf_clear(&f->envelope);
    assert_int_equal(fm_envelope_seal(FM_ENV_STATISTICS, &f->self->charter.mesh, fm_buf_span(&body),
                                      &key, 1, &f->envelope),
                     FM_OK);
    return fm_registry_put(f->registry, GOSSIP_RECORD_STATISTICS, fm_buf_span(&f->envelope),
                           &f->record, &f->is_new, &f->err);
}

static uint32_t epoch_of(const struct fixture *f)
{
    return fm_node_cert_domain(&f->owner->node, "flights")->epoch;
}

/* Rows of flights.delays as the registry knows them; UINT64_MAX: it does not. */
static uint64_t rows_of(struct fixture *f)
{
    struct fm_statistics statistics = {0};
    enum fm_status status =
        fm_registry_statistics(f->registry, "flights", "delays", &f->owner->node.node, &statistics);
    uint64_t rows = status == FM_OK ? statistics.rows : UINT64_MAX;

    assert_true(status == FM_OK || status == FM_NOTFOUND);
    if (status == FM_OK)
        assert_int_equal(fm_statistics_column(&statistics, 1)->distinct, 5);
    fm_statistics_deinit(&statistics);
    return rows;
}

static void the_owner_tells_and_newer_wins(void **state)
{
    struct fixture *f = *state;
    uint32_t epoch = epoch_of(f);

    assert_int_equal(put(f, f->owner, 3, 100, epoch), FM_NOTFOUND); /* Whose key is that? */
    assert_int_equal(put_cert(f, f->owner), FM_OK);
    assert_int_equal(rows_of(f), UINT64_MAX);
    assert_int_equal(put(f, f->owner, 3, 100, epoch), FM_OK);
    assert_true(f->is_new);
    assert_int_equal(f->record.version, 3);
    assert_int_equal(rows_of(f), 100);
    assert_int_equal(put(f, f->owner, 3, 100, epoch), FM_OK);
    assert_false(f->is_new);
    assert_int_equal(put(f, f->owner, 3, 101, epoch), FM_CONFLICT);
    assert_int_equal(put(f, f->owner, 2, 50, epoch), FM_OK);
    assert_false(f->is_new);
    assert_int_equal(rows_of(f), 100);
    assert_int_equal(put(f, f->owner, 9, 200, epoch), FM_OK);
    assert_int_equal(rows_of(f), 200);

    close_registry(f);
    open_registry(f);
    assert_int_equal(rows_of(f), 200);
}

static void nobody_else_is_believed(void **state)
{
    struct fixture *f = *state;
    uint32_t epoch = epoch_of(f);

    assert_int_equal(put_cert(f, f->owner), FM_OK);
    assert_int_equal(put(f, f->self, 1, 100, epoch), FM_FORGED);
    assert_int_equal(put(f, f->owner, 1, 100, epoch + 1), FM_FORGED);
    assert_int_equal(put(f, f->owner, 1, 100, epoch), FM_OK);
    f->envelope.data[f->envelope.len - 70] ^= 1;
    assert_int_not_equal(fm_registry_put(f->registry, GOSSIP_RECORD_STATISTICS,
                                         fm_buf_span(&f->envelope), &f->record, &f->is_new,
                                         &f->err),
                         FM_OK);
    /* As another kind of record. */
    f->envelope.data[f->envelope.len - 70] ^= 1;
    assert_int_equal(fm_registry_put(f->registry, GOSSIP_RECORD_CONTRACT, fm_buf_span(&f->envelope),
                                     &f->record, &f->is_new, &f->err),
                     FM_FORGED);
    assert_int_equal(rows_of(f), 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_owner_tells_and_newer_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_else_is_believed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
