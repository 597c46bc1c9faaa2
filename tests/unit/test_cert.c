/* The charter and the certificates: bounds, signers, times, and what a stranger could try. */
#include "core/cert.h"

#include "core/codec.h"
#include "tests/support/map_edit.h"
#include "tests/support/test_mesh.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY INT64_C(86400)
#define SKEW (FM_CLOCK_SKEW_US / 1000000)

struct fixture {
    struct test_mesh *mesh;
    struct fm_buf bytes;
    struct fm_buf edited;
    struct vector_file *vectors;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->mesh = test_mesh_new();
    if (f->mesh == NULL)
        return -1;
    f->vectors = vector_file_open("cert.txt");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    test_mesh_free(f->mesh);
    fm_buf_free(&f->bytes);
    fm_buf_free(&f->edited);
    vector_file_free(f->vectors);
    free(f);
    return 0;
}

static void assert_says(const struct fixture *f, const char *part)
{
    if (strstr(f->err.text, part) == NULL)
        fail_msg("'%s' does not say '%s'", f->err.text, part);
}

/* Sign any body as if it were a proper one. */
static struct fm_span sign_body(struct fixture *f, enum fm_envelope_type type, struct fm_span body,
                                const struct fm_mesh_id *mesh, size_t key_count)
{
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_envelope_seal(type, mesh, body, f->mesh->authority, key_count, &f->bytes),
                     FM_OK);
    return fm_buf_span(&f->bytes);
}

static struct fm_span body_of(struct fm_span bytes)
{
    struct fm_envelope envelope;

    assert_int_equal(fm_envelope_open(bytes, &envelope), FM_OK);
    return envelope.body;
}

/* ---- Charter ------------------------------------------------------------------------------- */

static void a_charter_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_charter charter;
    struct fm_hash id;

    vector_check(f->vectors, "charter", fm_buf_span(&f->mesh->charter_bytes));
    assert_int_equal(fm_charter_open(fm_buf_span(&f->mesh->charter_bytes), &charter, NULL), FM_OK);
    assert_string_equal(charter.name, "test mesh");
    assert_int_equal(charter.version, 1);
    assert_int_equal(charter.threshold, 2);
    assert_int_equal(charter.authority_count, 3);
    assert_memory_equal(charter.authority, f->mesh->charter.authority, 3 * 32);
    assert_int_equal(charter.node_cert_life_max, 30 * DAY);
    assert_int_equal(charter.principal_cert_life_max, 365 * DAY);
    assert_int_equal(charter.token_life_max, 90 * DAY);
    assert_int_equal(charter.heartbeat_bound, 300);
    assert_int_equal(charter.created, TEST_MESH_NOW - DAY);
    fm_sha256_one(&id, body_of(fm_buf_span(&f->mesh->charter_bytes)));
    assert_memory_equal(charter.mesh.bytes, id.bytes, 32);
}

static void a_charter_needs_its_threshold(void **state)
{
    struct fixture *f = *state;
    struct fm_charter charter = f->mesh->charter;
    struct fm_key *stranger = test_key(FM_KEY_SIGN, 0x99);
    struct fm_key *with_stranger[] = {f->mesh->authority[0], f->mesh->authority[1], stranger};
    struct fm_span body = body_of(fm_buf_span(&f->mesh->charter_bytes));

    assert_int_equal(fm_charter_seal(&charter, f->mesh->authority, 1, &f->bytes), FM_REFUSED);
    assert_int_equal(fm_charter_seal(&charter, with_stranger, 3, &f->bytes), FM_REFUSED);
    struct fm_span bytes = sign_body(f, FM_ENV_CHARTER, body, &charter.mesh, 1);
    assert_int_equal(fm_charter_open(bytes, &charter, &f->err), FM_FORGED);
    assert_says(f, "1 of its authority keys signed it, it needs 2");
    fm_key_free(stranger);
}

/* Signed by enough keys, but under another mesh's id or as another kind of statement. */
static void a_charter_of_another_kind_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_charter charter;
    struct fm_mesh_id other = f->mesh->charter.mesh;
    struct fm_span body = body_of(fm_buf_span(&f->mesh->charter_bytes));

    other.bytes[0] ^= 1;
    assert_int_equal(
        fm_charter_open(sign_body(f, FM_ENV_CHARTER, body, &other, 2), &charter, &f->err),
        FM_FORGED);
    assert_int_equal(fm_charter_open(sign_body(f, FM_ENV_POLICY, body, &f->mesh->charter.mesh, 2),
                                     &charter, &f->err),
                     FM_FORGED);
    assert_says(f, "this is a policy");
}

static void any_changed_bit_of_a_charter_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_buf *bytes = &f->mesh->charter_bytes;
    struct fm_charter charter;

    for (size_t bit = 0; bit < 8 * bytes->len; bit += 3) {
        bytes->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(fm_charter_open(fm_buf_span(bytes), &charter, NULL), FM_OK);
        bytes->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

/* A later version carries the mesh's id; this release says that it cannot open it. */
static void a_later_charter_is_told_apart(void **state)
{
    struct fixture *f = *state;
    struct fm_charter charter = f->mesh->charter;
    struct fm_charter opened;

    charter.version = 2;
    assert_int_equal(fm_charter_seal(&charter, f->mesh->authority, 2, &f->bytes), FM_OK);
    assert_memory_equal(charter.mesh.bytes, f->mesh->charter.mesh.bytes, 32);
    assert_int_equal(fm_charter_open(fm_buf_span(&f->bytes), &opened, &f->err), FM_UNSUPPORTED);
    assert_says(f, "version 2");
    /* Without the id it is not even a later version. */
    struct fm_span body = body_of(fm_buf_span(&f->bytes));
    map_drop(body, 9, &f->edited);
    struct fm_span bytes = sign_body(f, FM_ENV_CHARTER, fm_buf_span(&f->edited), &charter.mesh, 2);
    assert_int_equal(fm_charter_open(bytes, &opened, &f->err), FM_MALFORMED);
}

/* Each rule of the struct, broken one at a time. */
static void a_charters_bounds_are_checked(void **state)
{
    struct fixture *f = *state;
    struct fm_charter good = f->mesh->charter;
    struct fm_charter bad[] = {good, good, good, good, good, good, good,
                               good, good, good, good, good, good};

    bad[0].version = 0;
    bad[1].name[0] = '\0';
    bad[2].name[1] = '\n';
    bad[3].threshold = 0;
    bad[4].threshold = 4;
    bad[5].authority_count = 0;
    bad[6].authority_count = FM_AUTHORITY_KEYS_MAX + 1;
    bad[7].authority[1] = bad[7].authority[0];
    bad[8].node_cert_life_max = 31 * DAY;
    bad[9].principal_cert_life_max = 0;
    bad[10].token_life_max = 91 * DAY;
    bad[11].created = -1;
    bad[12].heartbeat_bound = UINT64_MAX;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(fm_charter_seal(&bad[i], f->mesh->authority, 2, &f->bytes), FM_INVALID);
    assert_int_equal(f->bytes.len, 0);
}

/* The same from the other side: a body that breaks a rule, properly signed. */
static void an_opened_charter_obeys_the_bounds(void **state)
{
    struct fixture *f = *state;
    static const uint8_t zero = 0, five = 5;
    struct fm_charter charter;
    struct fm_span body = body_of(fm_buf_span(&f->mesh->charter_bytes));
    const struct {
        unsigned key;
        const uint8_t *value;
    } cases[] = {{0, &zero}, {1, &five}, {2, &five}, {3, &zero},
                 {3, &five}, {4, &zero}, {5, &zero}, {6, &zero}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_mesh_id id;
        struct fm_hash hash;

        map_replace(body, cases[i].key, fm_span(cases[i].value, 1), &f->edited);
        fm_sha256_one(&hash, fm_buf_span(&f->edited));
        memcpy(id.bytes, hash.bytes, 32);
        struct fm_span bytes = sign_body(f, FM_ENV_CHARTER, fm_buf_span(&f->edited), &id, 2);
        assert_int_equal(fm_charter_open(bytes, &charter, &f->err), FM_MALFORMED);
    }
}

/* ---- Node certificates --------------------------------------------------------------------- */

static enum fm_status open_node(struct fixture *f, struct fm_span bytes, int64_t now)
{
    struct fm_node_cert cert;

    return fm_node_cert_open(&f->mesh->charter, bytes, now, &cert, &f->err);
}

static void a_node_certificate_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_node_cert cert;

    vector_check(f->vectors, "node", fm_buf_span(&f->mesh->node_bytes[1]));
    assert_int_equal(fm_node_cert_open(&f->mesh->charter, fm_buf_span(&f->mesh->node_bytes[1]),
                                       TEST_MESH_NOW, &cert, NULL),
                     FM_OK);
    assert_memory_equal(&cert, &f->mesh->nodes[1], sizeof cert);
    assert_string_equal(fm_node_cert_domain(&cert, "flights")->domain, "flights");
    assert_int_equal(fm_node_cert_domain(&cert, "flights")->epoch, 2);
    assert_null(fm_node_cert_domain(&cert, "crew"));
}

static void a_certificate_is_valid_in_its_time(void **state)
{
    struct fixture *f = *state;
    struct fm_span bytes = fm_buf_span(&f->mesh->node_bytes[0]);
    int64_t first = f->mesh->nodes[0].not_before - SKEW;
    int64_t last = f->mesh->nodes[0].not_after + SKEW;

    assert_int_equal(open_node(f, bytes, first), FM_OK);
    assert_int_equal(open_node(f, bytes, last), FM_OK);
    assert_int_equal(open_node(f, bytes, first - 1), FM_REFUSED);
    assert_says(f, "not valid yet");
    assert_int_equal(open_node(f, bytes, last + 1), FM_REFUSED);
    assert_says(f, "has expired");
    assert_int_equal(open_node(f, bytes, INT64_MIN), FM_REFUSED);
    assert_int_equal(open_node(f, bytes, INT64_MAX), FM_REFUSED);
}

static void a_certificate_needs_the_authority(void **state)
{
    struct fixture *f = *state;
    struct fm_node_cert *cert = &f->mesh->nodes[0];
    struct fm_key *twice[] = {f->mesh->authority[0], f->mesh->authority[0]};
    struct fm_key *stranger[] = {f->mesh->authority[0], f->mesh->sign[0]};
    struct fm_span body = body_of(fm_buf_span(&f->mesh->node_bytes[0]));
    struct fm_mesh_id other = {{1}};

    assert_int_equal(
        fm_node_cert_seal(&f->mesh->charter, cert, f->mesh->authority, 1, &f->bytes, &f->err),
        FM_REFUSED);
    assert_int_equal(fm_node_cert_seal(&f->mesh->charter, cert, twice, 2, &f->bytes, &f->err),
                     FM_REFUSED);
    assert_int_equal(fm_node_cert_seal(&f->mesh->charter, cert, stranger, 2, &f->bytes, &f->err),
                     FM_REFUSED);
    assert_says(f, "2 distinct authority keys");
    assert_int_equal(open_node(f, sign_body(f, FM_ENV_NODE_CERT, body, &f->mesh->charter.mesh, 1),
                               TEST_MESH_NOW),
                     FM_FORGED);
    assert_int_equal(open_node(f, sign_body(f, FM_ENV_NODE_CERT, body, &other, 2), TEST_MESH_NOW),
                     FM_FORGED);
    /* The two kinds of certificates cannot stand for each other. */
    assert_int_equal(open_node(f, fm_buf_span(&f->mesh->principal_bytes), TEST_MESH_NOW),
                     FM_FORGED);
}

/* A node signs for itself with a key that only it knows: worth nothing. */
static void a_self_signed_certificate_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_span body = body_of(fm_buf_span(&f->mesh->node_bytes[0]));

    assert_int_equal(fm_envelope_seal(FM_ENV_NODE_CERT, &f->mesh->charter.mesh, body, f->mesh->sign,
                                      2, &f->bytes),
                     FM_OK);
    assert_int_equal(open_node(f, fm_buf_span(&f->bytes), TEST_MESH_NOW), FM_FORGED);
    assert_says(f, "0 authority keys");
}

static void any_changed_bit_of_a_certificate_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_buf *bytes = &f->mesh->node_bytes[0];

    for (size_t bit = 0; bit < 8 * bytes->len; bit += 3) {
        bytes->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(open_node(f, fm_buf_span(bytes), TEST_MESH_NOW), FM_OK);
        bytes->data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void a_node_certificates_rules_are_checked(void **state)
{
    struct fixture *f = *state;
    struct fm_node_cert good = f->mesh->nodes[0];
    struct fm_node_cert bad[] = {good, good, good, good, good, good, good, good};

    bad[0].name[0] = '\0';
    memcpy(bad[1].name,
           "\xc2\x9b"
           "31m",
           6); /* A terminal's control sequence. */
    memcpy(bad[2].domains[0].domain, "Crew", 5);
    memcpy(bad[3].domains[0].domain, "system", 7); /* Reserved. */
    bad[4].domains[0].epoch = 0;
    bad[5].domain_count = 2;
    bad[5].domains[1] = bad[5].domains[0];
    bad[6].domain_count = FM_DOMAINS_PER_NODE_MAX + 1;
    bad[7].not_after = bad[7].not_before;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(fm_node_cert_seal(&f->mesh->charter, &bad[i], f->mesh->authority, 2,
                                           &f->bytes, &f->err),
                         FM_INVALID);
    good.not_after = good.not_before + 30 * DAY + 1;
    assert_int_equal(
        fm_node_cert_seal(&f->mesh->charter, &good, f->mesh->authority, 2, &f->bytes, &f->err),
        FM_REFUSED);
    assert_says(f, "lives longer");
    assert_int_equal(f->bytes.len, 0);
}

/* A node with as many domains as it may have. */
static void the_largest_certificate_survives(void **state)
{
    struct fixture *f = *state;
    struct fm_node_cert cert = f->mesh->nodes[0];
    struct fm_node_cert opened;

    for (uint32_t i = 0; i < FM_DOMAINS_PER_NODE_MAX; i++) {
        struct fm_domain_grant *grant = &cert.domains[i];
        memset(grant->domain, 'a', FM_NAME_MAX);
        grant->domain[0] = (char)('a' + i / 8);
        grant->domain[1] = (char)('a' + i % 8);
        grant->epoch = UINT32_MAX;
    }
    cert.domain_count = FM_DOMAINS_PER_NODE_MAX;
    assert_int_equal(
        fm_node_cert_seal(&f->mesh->charter, &cert, f->mesh->authority, 2, &f->bytes, NULL), FM_OK);
    assert_int_equal(
        fm_node_cert_open(&f->mesh->charter, fm_buf_span(&f->bytes), TEST_MESH_NOW, &opened, NULL),
        FM_OK);
    assert_memory_equal(&cert, &opened, sizeof cert);
}

/* Every key missing, of another kind, or unknown; unknown ones from 32 up are let pass. */
static void a_certificates_map_is_strict(void **state)
{
    struct fixture *f = *state;
    static const uint8_t nil = 0xc0;
    const struct fm_mesh_id *mesh = &f->mesh->charter.mesh;
    struct fm_span body = body_of(fm_buf_span(&f->mesh->node_bytes[0]));

    for (unsigned i = 0; i < map_pairs(body); i++) {
        map_drop(body, i, &f->edited);
        assert_int_equal(open_node(f,
                                   sign_body(f, FM_ENV_NODE_CERT, fm_buf_span(&f->edited), mesh, 2),
                                   TEST_MESH_NOW),
                         FM_MALFORMED);
        map_replace(body, i, fm_span(&nil, 1), &f->edited);
        assert_int_equal(open_node(f,
                                   sign_body(f, FM_ENV_NODE_CERT, fm_buf_span(&f->edited), mesh, 2),
                                   TEST_MESH_NOW),
                         FM_MALFORMED);
    }
    map_add(body, 8, &f->edited);
    assert_int_equal(open_node(f, sign_body(f, FM_ENV_NODE_CERT, fm_buf_span(&f->edited), mesh, 2),
                               TEST_MESH_NOW),
                     FM_MALFORMED);
    map_add(body, 33, &f->edited);
    assert_int_equal(open_node(f, sign_body(f, FM_ENV_NODE_CERT, fm_buf_span(&f->edited), mesh, 2),
                               TEST_MESH_NOW),
                     FM_OK);
}

/* ---- Principal certificates ---------------------------------------------------------------- */

static void a_principal_certificate_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_principal_cert cert;

    vector_check(f->vectors, "principal", fm_buf_span(&f->mesh->principal_bytes));
    assert_int_equal(fm_principal_cert_open(&f->mesh->charter,
                                            fm_buf_span(&f->mesh->principal_bytes), TEST_MESH_NOW,
                                            &cert, NULL),
                     FM_OK);
    assert_memory_equal(&cert, &f->mesh->principal, sizeof cert);
    assert_int_equal(fm_principal_cert_open(&f->mesh->charter,
                                            fm_buf_span(&f->mesh->principal_bytes),
                                            cert.not_after + SKEW + 1, &cert, &f->err),
                     FM_REFUSED);
    assert_says(f, "certificate of alice: it has expired");
}

static void a_principals_rules_are_checked(void **state)
{
    struct fixture *f = *state;
    struct fm_principal_cert good = f->mesh->principal;
    struct fm_principal_cert bad[] = {good, good, good, good, good, good, good, good};

    bad[0].name[0] = '\x1b';
    bad[1].role_count = FM_ROLES_MAX + 1;
    bad[2].roles[0].role = 0;
    bad[3].roles[0].role = FM_ROLE_SERVICE + 1;
    memcpy(bad[4].roles[0].domain, "crew", 5); /* A reader of a domain: no such role. */
    bad[5].roles[1].domain[0] = '\0';          /* An owner of nothing. */
    bad[6].attributes[0].value[0] = '\0';
    bad[7].attribute_count = FM_ATTRIBUTES_MAX + 1;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(fm_principal_cert_seal(&f->mesh->charter, &bad[i], f->mesh->authority, 2,
                                                &f->bytes, &f->err),
                         FM_INVALID);
    good.not_after = good.not_before + 366 * DAY;
    assert_int_equal(
        fm_principal_cert_seal(&f->mesh->charter, &good, f->mesh->authority, 2, &f->bytes, &f->err),
        FM_REFUSED);
    assert_int_equal(f->bytes.len, 0);
}

static void a_principals_map_is_strict(void **state)
{
    struct fixture *f = *state;
    static const uint8_t nil = 0xc0;
    struct fm_principal_cert cert;
    const struct fm_charter *charter = &f->mesh->charter;
    struct fm_span body = body_of(fm_buf_span(&f->mesh->principal_bytes));

    for (unsigned i = 0; i < map_pairs(body); i++) {
        map_drop(body, i, &f->edited);
        assert_int_equal(
            fm_principal_cert_open(
                charter,
                sign_body(f, FM_ENV_PRINCIPAL_CERT, fm_buf_span(&f->edited), &charter->mesh, 2),
                TEST_MESH_NOW, &cert, NULL),
            FM_MALFORMED);
        map_replace(body, i, fm_span(&nil, 1), &f->edited);
        assert_int_equal(
            fm_principal_cert_open(
                charter,
                sign_body(f, FM_ENV_PRINCIPAL_CERT, fm_buf_span(&f->edited), &charter->mesh, 2),
                TEST_MESH_NOW, &cert, NULL),
            FM_MALFORMED);
    }
}

static void roles_are_looked_up_exactly(void **state)
{
    struct fixture *f = *state;
    const struct fm_principal_cert *alice = &f->mesh->principal;

    assert_true(fm_principal_has_role(alice, FM_ROLE_READER, NULL));
    assert_true(fm_principal_has_role(alice, FM_ROLE_READER, ""));
    assert_true(fm_principal_has_role(alice, FM_ROLE_OWNER, "flights"));
    assert_false(fm_principal_has_role(alice, FM_ROLE_OWNER, "crew"));
    assert_false(fm_principal_has_role(alice, FM_ROLE_OWNER, NULL));
    assert_false(fm_principal_has_role(alice, FM_ROLE_APPENDER, "flights"));
    assert_false(fm_principal_has_role(alice, FM_ROLE_OPERATOR, NULL));
}

static void roles_are_read_from_text(void **state)
{
    struct fixture *f = *state;
    static const char *const wrong[] = {
        "",           "owner", "owner:", "reader:flights", "reader:",        "owner:Flights",
        "owner:mesh", "admin", "Reader", "appender",       "owner:flights:", "readerx"};
    struct fm_role_grant grant;

    assert_int_equal(fm_role_parse("reader", &grant, NULL), FM_OK);
    assert_int_equal(grant.role, FM_ROLE_READER);
    assert_string_equal(grant.domain, "");
    assert_int_equal(fm_role_parse("owner:flights", &grant, NULL), FM_OK);
    assert_int_equal(grant.role, FM_ROLE_OWNER);
    assert_string_equal(grant.domain, "flights");
    assert_int_equal(fm_role_parse("appender:crew", &grant, NULL), FM_OK);
    assert_int_equal(grant.role, FM_ROLE_APPENDER);
    assert_int_equal(fm_role_parse("operator", &grant, NULL), FM_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(fm_role_parse(wrong[i], &grant, &f->err), FM_INVALID);
        assert_says(f, "use reader, operator, owner:DOMAIN or appender:DOMAIN");
    }
}

#define WITH_MESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MESH(a_charter_gives_its_fields_back),
        WITH_MESH(a_charter_needs_its_threshold),
        WITH_MESH(a_charter_of_another_kind_is_refused),
        WITH_MESH(any_changed_bit_of_a_charter_is_refused),
        WITH_MESH(a_later_charter_is_told_apart),
        WITH_MESH(a_charters_bounds_are_checked),
        WITH_MESH(an_opened_charter_obeys_the_bounds),
        WITH_MESH(a_node_certificate_gives_its_fields_back),
        WITH_MESH(a_certificate_is_valid_in_its_time),
        WITH_MESH(a_certificate_needs_the_authority),
        WITH_MESH(a_self_signed_certificate_is_refused),
        WITH_MESH(any_changed_bit_of_a_certificate_is_refused),
        WITH_MESH(a_node_certificates_rules_are_checked),
        WITH_MESH(the_largest_certificate_survives),
        WITH_MESH(a_certificates_map_is_strict),
        WITH_MESH(a_principal_certificate_gives_its_fields_back),
        WITH_MESH(a_principals_rules_are_checked),
        WITH_MESH(a_principals_map_is_strict),
        WITH_MESH(roles_are_looked_up_exactly),
        WITH_MESH(roles_are_read_from_text),
    };
    return cmocka_run_group_tests_name("cert", tests, NULL, NULL);
}
