/* Certificates and charters of strangers. The first byte chooses: 0 charter, 1 node, 2 principal. A
 * certificate passes as an envelope, where only the corpus's own can; and its body is also signed
 * afresh by the authority, so that the parser behind the signature sees strange bodies too. */
#include "core/cert.h"

#include "core/assert.h"
#include "tests/support/test_mesh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void open_node(const struct fm_charter *charter, struct fm_span bytes)
{
    struct fm_node_cert cert;

    if (fm_node_cert_open(charter, bytes, TEST_MESH_NOW, &cert, NULL) != FM_OK)
        return;
    fm_assert(cert.domain_count <= FM_DOMAINS_PER_NODE_MAX);
    fm_assert((uint64_t)(cert.not_after - cert.not_before) <= charter->node_cert_life_max);
    for (uint32_t i = 0; i < cert.domain_count; i++)
        fm_assert(fm_node_cert_domain(&cert, cert.domains[i].domain) == &cert.domains[i]);
}

static void open_principal(const struct fm_charter *charter, struct fm_span bytes)
{
    struct fm_principal_cert cert;

    if (fm_principal_cert_open(charter, bytes, TEST_MESH_NOW, &cert, NULL) != FM_OK)
        return;
    fm_assert(cert.role_count <= FM_ROLES_MAX && cert.attribute_count <= FM_ATTRIBUTES_MAX);
    for (uint32_t i = 0; i < cert.role_count; i++)
        fm_assert(fm_principal_has_role(&cert, cert.roles[i].role, cert.roles[i].domain));
}

static void open_charter(struct fm_span bytes)
{
    struct fm_charter charter;

    if (fm_charter_open(bytes, &charter, NULL) != FM_OK)
        return;
    fm_assert(charter.version == 1);
    fm_assert(charter.threshold >= 1 && charter.threshold <= charter.authority_count);
}

static void open_any(const struct fm_charter *charter, uint8_t which, struct fm_span bytes)
{
    if (which == 0)
        open_charter(bytes);
    else if (which == 1)
        open_node(charter, bytes);
    else
        open_principal(charter, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum fm_envelope_type types[] = {FM_ENV_CHARTER, FM_ENV_NODE_CERT,
                                                  FM_ENV_PRINCIPAL_CERT};
    static struct test_mesh *mesh; /* Made once: it is the same in every run. */
    FM_AUTO(fm_buf_free) struct fm_buf signed_again = FM_BUF_INIT(0);
    struct fm_mesh_id id;
    struct fm_hash hash;

    if (size < 1)
        return 0;
    if (mesh == NULL)
        mesh = test_mesh_new();
    fm_assert(mesh != NULL);
    uint8_t which = data[0] % 3;
    struct fm_span rest = fm_span(data + 1, size - 1);
    struct fm_envelope envelope;

    open_any(&mesh->charter, which, rest);
    struct fm_span body = fm_envelope_open(rest, &envelope) == FM_OK ? envelope.body : rest;
    fm_sha256_one(&hash, body);
    memcpy(id.bytes, hash.bytes, sizeof id.bytes);
    if (fm_envelope_seal(types[which], which == 0 ? &id : &mesh->charter.mesh, body,
                         mesh->authority, 2, &signed_again) == FM_OK)
        open_any(&mesh->charter, which, fm_buf_span(&signed_again));
    return 0;
}
