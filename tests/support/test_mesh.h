/* A small mesh from fixed seeds: a charter that three authority keys founded (two must sign), node
 * 0 "asked" with domain crew, node 1 "owner" with domain flights, principal alice. Everything is
 * valid at TEST_MESH_NOW, and byte for byte the same in every run. */
#ifndef FM_TESTS_SUPPORT_TEST_MESH_H
#define FM_TESTS_SUPPORT_TEST_MESH_H

#include "core/cert.h"

#define TEST_MESH_NOW INT64_C(1767225600) /* 2026-01-01T00:00:00Z, in seconds. */
#define TEST_MESH_NOW_US (TEST_MESH_NOW * 1000000)
#define TEST_MESH_NODES 2u

struct test_mesh {
    struct fm_key *authority[3];
    struct fm_charter charter;
    struct fm_buf charter_bytes;
    struct fm_key *sign[TEST_MESH_NODES];
    struct fm_key *session[TEST_MESH_NODES];
    struct fm_key *log[TEST_MESH_NODES];
    struct fm_node_cert nodes[TEST_MESH_NODES];
    struct fm_buf node_bytes[TEST_MESH_NODES];
    struct fm_key *principal_sign;
    struct fm_key *principal_session;
    struct fm_principal_cert principal;
    struct fm_buf principal_bytes;
};

/* A key whose 32 secret bytes are all `fill`. */
struct fm_key *test_key(enum fm_key_kind kind, uint8_t fill);

/* Runs fm_core_init() too. NULL when anything fails. */
struct test_mesh *test_mesh_new(void);
void test_mesh_free(struct test_mesh *mesh);

#endif
