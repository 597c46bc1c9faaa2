#include "tests/support/test_mesh.h"

#define DAY INT64_C(86400)

struct fm_key *test_key(enum fm_key_kind kind, uint8_t fill)
{
    uint8_t secret[32];
    struct fm_key *key = NULL;

    memset(secret, fill, sizeof secret);
    return fm_key_from_secret(kind, secret, &key) == FM_OK ? key : NULL;
}

static enum fm_status make_charter(struct test_mesh *mesh)
{
    struct fm_charter *charter = &mesh->charter;

    *charter = (struct fm_charter){
        .version = 1,
        .name = "test mesh",
        .authority_count = 3,
        .threshold = 2,
        .node_cert_life_max = 30 * DAY,
        .principal_cert_life_max = 365 * DAY,
        .token_life_max = 90 * DAY,
        .heartbeat_bound = 300,
        .created = TEST_MESH_NOW - DAY,
    };
    for (unsigned i = 0; i < 3; i++) {
        mesh->authority[i] = test_key(FM_KEY_SIGN, (uint8_t)(0x10 + i));
        if (mesh->authority[i] == NULL)
            return FM_NOMEM;
        charter->authority[i] = *fm_key_public(mesh->authority[i]);
    }
    return fm_charter_seal(charter, mesh->authority, 2, &mesh->charter_bytes);
}

static enum fm_status make_node(struct test_mesh *mesh, unsigned i, const char *name,
                                const char *domain)
{
    struct fm_node_cert *cert = &mesh->nodes[i];

    mesh->sign[i] = test_key(FM_KEY_SIGN, (uint8_t)(0x20 + i));
    mesh->session[i] = test_key(FM_KEY_SESSION, (uint8_t)(0x30 + i));
    mesh->log[i] = test_key(FM_KEY_SIGN, (uint8_t)(0x40 + i));
    if (mesh->sign[i] == NULL || mesh->session[i] == NULL || mesh->log[i] == NULL)
        return FM_NOMEM;
    memset(cert->serial, 0xa0 + (int)i, sizeof cert->serial);
    memset(cert->node.bytes, 0xb0 + (int)i, sizeof cert->node.bytes);
    memcpy(cert->name, name, strlen(name));
    cert->sign_key = *fm_key_public(mesh->sign[i]);
    cert->session_key = *fm_key_public(mesh->session[i]);
    cert->domain_count = 1;
    memcpy(cert->domains[0].domain, domain, strlen(domain));
    cert->domains[0].epoch = i + 1;
    cert->domains[0].log_key = *fm_key_public(mesh->log[i]);
    cert->not_before = TEST_MESH_NOW - DAY;
    cert->not_after = TEST_MESH_NOW + 20 * DAY;
    return fm_node_cert_seal(&mesh->charter, cert, mesh->authority, 2, &mesh->node_bytes[i], NULL);
}

static enum fm_status make_principal(struct test_mesh *mesh)
{
    struct fm_principal_cert *cert = &mesh->principal;

    mesh->principal_sign = test_key(FM_KEY_SIGN, 0x50);
    mesh->principal_session = test_key(FM_KEY_SESSION, 0x51);
    if (mesh->principal_sign == NULL || mesh->principal_session == NULL)
        return FM_NOMEM;
    *cert = (struct fm_principal_cert){
        .name = "alice",
        .role_count = 2,
        .roles = {{.role = FM_ROLE_READER}, {.role = FM_ROLE_OWNER, .domain = "flights"}},
        .attribute_count = 1,
        .attributes = {{.name = "region", .value = "eu"}},
        .sign_key = *fm_key_public(mesh->principal_sign),
        .session_key = *fm_key_public(mesh->principal_session),
        .not_before = TEST_MESH_NOW - DAY,
        .not_after = TEST_MESH_NOW + 100 * DAY,
    };
    memset(cert->serial, 0xc0, sizeof cert->serial);
    return fm_principal_cert_seal(&mesh->charter, cert, mesh->authority, 2, &mesh->principal_bytes,
                                  NULL);
}

struct test_mesh *test_mesh_new(void)
{
    struct test_mesh *mesh = calloc(1, sizeof *mesh);

    if (mesh == NULL || fm_core_init(NULL) != FM_OK || make_charter(mesh) != FM_OK ||
        make_node(mesh, 0, "asked", "crew") != FM_OK ||
        make_node(mesh, 1, "owner", "flights") != FM_OK || make_principal(mesh) != FM_OK) {
        test_mesh_free(mesh);
        return NULL;
    }
    return mesh;
}

void test_mesh_free(struct test_mesh *mesh)
{
    if (mesh == NULL)
        return;
    for (unsigned i = 0; i < 3; i++)
        fm_key_free(mesh->authority[i]);
    for (unsigned i = 0; i < TEST_MESH_NODES; i++) {
        fm_key_free(mesh->sign[i]);
        fm_key_free(mesh->session[i]);
        fm_key_free(mesh->log[i]);
        fm_buf_free(&mesh->node_bytes[i]);
    }
    fm_key_free(mesh->principal_sign);
    fm_key_free(mesh->principal_session);
    fm_buf_free(&mesh->charter_bytes);
    fm_buf_free(&mesh->principal_bytes);
    free(mesh);
}
