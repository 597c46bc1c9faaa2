/* Verified certificates and heads are found by their bytes, and only those that were verified. */
#include "core/cert_cache.h"

#include "tests/support/test_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define ENTRIES 3u

struct fixture {
    struct test_mesh *mesh;
    struct fm_cert_cache *cache;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->mesh = test_mesh_new();
    if (f->mesh == NULL || fm_cert_cache_new(&f->mesh->charter, ENTRIES, &f->cache) != FM_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_cert_cache_free(f->cache);
    test_mesh_free(f->mesh);
    free(f);
    return 0;
}

static void expect_counts(struct fixture *f, uint32_t entries, uint64_t found)
{
    uint32_t has = 0;
    uint64_t hits = 0;

    fm_cert_cache_counts(f->cache, &has, &hits);
    assert_int_equal(has, entries);
    assert_int_equal(hits, found);
}

static void the_second_time_is_found(void **state)
{
    struct fixture *f = *state;
    struct fm_node_cert node, again;
    struct fm_principal_cert principal;

    memset(&node, 0, sizeof node);
    memset(&again, 0, sizeof again);
    assert_int_equal(
        fm_cert_cache_node(f->cache, fm_buf_span(&f->mesh->node_bytes[1]), &node, &f->err), FM_OK);
    expect_counts(f, 1, 0);
    assert_int_equal(
        fm_cert_cache_node(f->cache, fm_buf_span(&f->mesh->node_bytes[1]), &again, &f->err), FM_OK);
    expect_counts(f, 1, 1);
    assert_memory_equal(&node.node, &again.node, sizeof node.node);
    assert_string_equal(again.name, f->mesh->nodes[1].name);
    assert_int_equal(again.not_after, f->mesh->nodes[1].not_after);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fm_cert_cache_principal(f->cache, fm_buf_span(&f->mesh->principal_bytes),
                                                 &principal, &f->err),
                         FM_OK);
        assert_string_equal(principal.name, f->mesh->principal.name);
    }
    expect_counts(f, 2, 2);
}

/* Neither other bytes beside a known certificate, nor a certificate of the other kind. */
static void what_was_not_verified_is_not_found(void **state)
{
    struct fixture *f = *state;
    const struct fm_buf *good = &f->mesh->node_bytes[1];
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_principal_cert principal;
    struct fm_node_cert node;

    assert_int_equal(fm_cert_cache_node(f->cache, fm_buf_span(good), &node, &f->err), FM_OK);
    for (size_t at = 0; at < good->len; at += 7) {
        fm_buf_clear(&bytes);
        fm_buf_put_span(&bytes, fm_buf_span(good));
        bytes.data[at] ^= 1;
        assert_int_not_equal(fm_cert_cache_node(f->cache, fm_buf_span(&bytes), &node, &f->err),
                             FM_OK);
    }
    assert_int_not_equal(fm_cert_cache_principal(f->cache, fm_buf_span(good), &principal, &f->err),
                         FM_OK);
    assert_int_not_equal(
        fm_cert_cache_node(f->cache, fm_buf_span(&f->mesh->principal_bytes), &node, &f->err),
        FM_OK);
    expect_counts(f, 1, 0);
}

/* Principal certificates with serials of their own; the one unused for the longest time goes. */
static void the_least_used_goes(void **state)
{
    struct fixture *f = *state;
    struct fm_buf bytes[ENTRIES + 1];
    struct fm_principal_cert cert = f->mesh->principal, out;

    for (uint32_t i = 0; i <= ENTRIES; i++) {
        bytes[i] = FM_BUF_INIT(0);
        cert.serial[0] = (uint8_t)i;
        assert_int_equal(fm_principal_cert_seal(&f->mesh->charter, &cert, f->mesh->authority, 2,
                                                &bytes[i], NULL),
                         FM_OK);
        assert_int_equal(fm_cert_cache_principal(f->cache, fm_buf_span(&bytes[i]), &out, &f->err),
                         FM_OK);
        assert_int_equal(out.serial[0], i);
        if (i == ENTRIES - 1) /* The first is used again, so that the second goes. */
            assert_int_equal(
                fm_cert_cache_principal(f->cache, fm_buf_span(&bytes[0]), &out, &f->err), FM_OK);
    }
    expect_counts(f, ENTRIES, 1);
    assert_int_equal(fm_cert_cache_principal(f->cache, fm_buf_span(&bytes[0]), &out, &f->err),
                     FM_OK);
    expect_counts(f, ENTRIES, 2);
    assert_int_equal(fm_cert_cache_principal(f->cache, fm_buf_span(&bytes[1]), &out, &f->err),
                     FM_OK);
    expect_counts(f, ENTRIES, 2);
    for (uint32_t i = 0; i <= ENTRIES; i++)
        fm_buf_free(&bytes[i]);
}

static void seal_head(struct fixture *f, uint64_t size, struct fm_buf *out)
{
    struct fm_head head = {.size = size, .time = TEST_MESH_NOW_US};

    fm_head_origin(&f->mesh->charter.mesh, "flights", "delays", 1, head.origin);
    *out = FM_BUF_INIT(0);
    assert_int_equal(fm_head_seal(&head, f->mesh->log[0], out), FM_OK);
}

static void a_head_is_found_under_its_key(void **state)
{
    struct fixture *f = *state;
    const struct fm_public_key *key = fm_key_public(f->mesh->log[0]);
    struct fm_head head = {0};
    struct fm_buf note;

    seal_head(f, 7, &note);
    assert_int_equal(fm_cert_cache_head(f->cache, fm_buf_span(&note), key, &head), FM_OK);
    expect_counts(f, 0, 0);
    head = (struct fm_head){0};
    assert_int_equal(fm_cert_cache_head(f->cache, fm_buf_span(&note), key, &head), FM_OK);
    expect_counts(f, 0, 1);
    assert_int_equal(head.size, 7);
    assert_int_equal(head.time, TEST_MESH_NOW_US);
    assert_int_not_equal(
        fm_cert_cache_head(f->cache, fm_buf_span(&note), fm_key_public(f->mesh->log[1]), &head),
        FM_OK);
    for (size_t at = 0; at < note.len; at++) {
        note.data[at] ^= 1;
        assert_int_not_equal(fm_cert_cache_head(f->cache, fm_buf_span(&note), key, &head), FM_OK);
        assert_int_not_equal(fm_cert_cache_head(f->cache, fm_buf_span(&note), key, &head), FM_OK);
        note.data[at] ^= 1;
    }
    expect_counts(f, 0, 1); /* What does not hold was not kept. */
    fm_buf_free(&note);
}

static void heads_are_bounded(void **state)
{
    struct fixture *f = *state;
    const struct fm_public_key *key = fm_key_public(f->mesh->log[0]);
    struct fm_buf first, other;
    struct fm_head head;

    seal_head(f, 0, &first);
    for (uint64_t i = 0; i <= FM_HEADS_KEPT_MAX; i++) { /* The first is in use all the time. */
        seal_head(f, 1 + i, &other);
        assert_int_equal(fm_cert_cache_head(f->cache, fm_buf_span(&first), key, &head), FM_OK);
        assert_int_equal(fm_cert_cache_head(f->cache, fm_buf_span(&other), key, &head), FM_OK);
        fm_buf_free(&other);
    }
    expect_counts(f, 0, FM_HEADS_KEPT_MAX);
    seal_head(f, 1, &other); /* Gone: unused for the longest time. */
    assert_int_equal(fm_cert_cache_head(f->cache, fm_buf_span(&other), key, &head), FM_OK);
    expect_counts(f, 0, FM_HEADS_KEPT_MAX);
    assert_int_equal(fm_cert_cache_head(f->cache, fm_buf_span(&first), key, &head), FM_OK);
    expect_counts(f, 0, FM_HEADS_KEPT_MAX + 1);
    fm_buf_free(&first);
    fm_buf_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_second_time_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_verified_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_least_used_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(a_head_is_found_under_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_are_bounded, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
