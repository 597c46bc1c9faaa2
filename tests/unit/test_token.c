/* PASETO by the publisher's vectors, and what this mesh puts into one: who, where, how long. */
#include "core/token.h"

#include "tests/support/test_mesh.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HOUR INT64_C(3600)
#define DAY (24 * HOUR)

static const struct fm_span nothing = {0};

/* ---- PASETO ---------------------------------------------------------------------------------- */

static struct fm_span text_of(const struct vector_file *vectors, const char *test, const char *part)
{
    char name[32];

    (void)snprintf(name, sizeof name, "%s-%s", test, part);
    return fm_span_str(vector_text(vectors, name));
}

static void check_vector(const struct vector_file *vectors, const char *test, struct fm_span footer,
                         struct fm_span implicit)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf decoded = FM_BUF_INIT(0);
    FM_AUTO(fm_key_freep) struct fm_key *key = NULL;
    struct fm_span token = text_of(vectors, test, "token");
    struct fm_span payload = text_of(vectors, test, "payload");
    uint8_t seed[32];
    struct fm_public_key public_key;
    struct fm_paseto read;

    assert_int_equal(fm_unhex((const char *)text_of(vectors, test, "seed").data, seed, sizeof seed),
                     FM_OK);
    assert_int_equal(fm_unhex((const char *)text_of(vectors, test, "key").data, public_key.bytes,
                              sizeof public_key.bytes),
                     FM_OK);
    assert_int_equal(fm_key_from_secret(FM_KEY_SIGN, seed, &key), FM_OK);
    fm_paseto_sign(key, payload, footer, implicit, &out);
    assert_int_equal(out.len, token.len);
    assert_memory_equal(out.data, token.data, token.len);
    assert_int_equal(fm_paseto_read(token, &decoded, &read), FM_OK);
    assert_true(fm_span_equal(read.message, payload));
    assert_true(fm_span_equal(read.footer, footer));
    assert_int_equal(fm_paseto_verify(&read, &public_key, implicit), FM_OK);
    assert_int_equal(fm_paseto_verify(&read, &public_key, fm_span_str("other")), FM_FORGED);
    read.footer = fm_span_str("other");
    assert_int_equal(fm_paseto_verify(&read, &public_key, implicit), FM_FORGED);
}

static void published_vectors_hold(void **state)
{
    struct vector_file *vectors = vector_file_open("paseto.txt");

    (void)state;
    check_vector(vectors, "4-S-1", nothing, nothing);
    check_vector(vectors, "4-S-2", text_of(vectors, "4-S-2", "footer"), nothing);
    check_vector(vectors, "4-S-3", text_of(vectors, "4-S-3", "footer"),
                 text_of(vectors, "4-S-3", "implicit"));
    vector_file_free(vectors);
}

static void published_failures_fail(void **state)
{
    struct vector_file *vectors = vector_file_open("paseto.txt");
    FM_AUTO(fm_buf_free) struct fm_buf decoded = FM_BUF_INIT(0);
    static const char *const others[] = {"4-F-1", "4-F-3", "4-F-4", "4-F-5"};
    struct fm_public_key key;
    struct fm_paseto read;

    (void)state;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(fm_paseto_read(text_of(vectors, others[i], "token"), &decoded, &read),
                         FM_INVALID);
    assert_int_equal(fm_unhex(vector_text(vectors, "4-S-1-key"), key.bytes, sizeof key.bytes),
                     FM_OK);
    assert_int_equal(fm_paseto_read(text_of(vectors, "4-F-2", "token"), &decoded, &read), FM_OK);
    assert_int_equal(fm_paseto_verify(&read, &key, fm_span_str("{\"test-vector\":\"4-F-2\"}")),
                     FM_FORGED);
    vector_file_free(vectors);
}

static void text_has_one_form(void **state)
{
    static const struct {
        const char *text;
        enum fm_status status;
    } forms[] = {
        {"", FM_INVALID},
        {"v4.public", FM_INVALID},
        {"V4.public.AAAA", FM_INVALID},
        {"v4.public.", FM_MALFORMED},
        {"v4.public.AAAA", FM_MALFORMED}, /* Shorter than a signature. */
        {"v4.public.AAAA.", FM_MALFORMED},
        {"v4.public.AA+A", FM_MALFORMED},
        {"v4.public.AAA=", FM_MALFORMED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        FM_AUTO(fm_buf_free) struct fm_buf decoded = FM_BUF_INIT(0);
        struct fm_paseto read;
        assert_int_equal(fm_paseto_read(fm_span_str(forms[i].text), &decoded, &read),
                         forms[i].status);
    }
}

/* ---- Tokens of a mesh ------------------------------------------------------------------------ */

struct fixture {
    struct test_mesh *mesh;
    struct fm_token token;
    struct fm_buf text;
    struct fm_buf decoded;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->mesh = test_mesh_new();
    assert_non_null(f->mesh);
    memset(f->token.id.bytes, 7, sizeof f->token.id.bytes);
    f->token.node_count = 1;
    f->token.nodes[0] = f->mesh->nodes[0].node;
    f->token.issued = TEST_MESH_NOW;
    f->token.not_before = TEST_MESH_NOW;
    f->token.not_after = TEST_MESH_NOW + FM_TOKEN_LIFE_DEFAULT;
    f->token.principal = f->mesh->principal;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    test_mesh_free(f->mesh);
    fm_buf_free(&f->text);
    fm_buf_free(&f->decoded);
    free(f);
    return 0;
}

static enum fm_status make(struct fixture *f)
{
    fm_buf_clear(&f->text);
    return fm_token_make(&f->mesh->charter, &f->token, fm_buf_span(&f->mesh->principal_bytes),
                         f->mesh->principal_sign, &f->text, &f->err);
}

static enum fm_status open_text(struct fixture *f, struct fm_span text, struct fm_token *out)
{
    fm_buf_clear(&f->decoded);
    return fm_token_open(&f->mesh->charter, NULL, text, &f->decoded, out, &f->err);
}

static void comes_back_as_made(void **state)
{
    struct fixture *f = *state;
    struct fm_token read;

    f->token.node_count = FM_TOKEN_NODES_MAX;
    for (uint32_t i = 0; i < FM_TOKEN_NODES_MAX; i++)
        memset(f->token.nodes[i].bytes, (int)i, sizeof f->token.nodes[i].bytes);
    assert_int_equal(make(f), FM_OK);
    assert_in_range(f->text.len, 1, FM_TOKEN_BYTES_MAX);
    assert_int_equal(open_text(f, fm_buf_span(&f->text), &read), FM_OK);
    assert_memory_equal(&read.id, &f->token.id, sizeof read.id);
    assert_int_equal(read.node_count, FM_TOKEN_NODES_MAX);
    assert_memory_equal(read.nodes, f->token.nodes, sizeof read.nodes);
    assert_int_equal(read.issued, f->token.issued);
    assert_int_equal(read.not_before, f->token.not_before);
    assert_int_equal(read.not_after, f->token.not_after);
    assert_string_equal(read.principal.name, f->mesh->principal.name);
    assert_true(fm_span_equal(read.cert, fm_buf_span(&f->mesh->principal_bytes)));
}

static void each_changed_letter_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct fm_token read;

    assert_int_equal(make(f), FM_OK);
    for (size_t i = 0; i < f->text.len; i++) {
        uint8_t was = f->text.data[i];
        f->text.data[i] = was == 'A' ? 'B' : 'A';
        assert_int_not_equal(open_text(f, fm_buf_span(&f->text), &read), FM_OK);
        f->text.data[i] = was;
    }
    for (size_t len = 0; len < f->text.len; len++)
        assert_int_not_equal(open_text(f, fm_span(f->text.data, len), &read), FM_OK);
    assert_int_equal(open_text(f, fm_buf_span(&f->text), &read), FM_OK);
}

static void is_bound_to_mesh_key_and_certificate(void **state)
{
    struct fixture *f = *state;
    struct fm_charter other = f->mesh->charter;
    struct fm_token read;

    assert_int_equal(make(f), FM_OK);
    other.mesh.bytes[0] ^= 1;
    fm_buf_clear(&f->decoded);
    assert_int_equal(
        fm_token_open(&other, NULL, fm_buf_span(&f->text), &f->decoded, &read, &f->err), FM_FORGED);
    /* Another's key under alice's certificate, and no certificate at all. */
    fm_buf_clear(&f->text);
    assert_int_equal(fm_token_make(&f->mesh->charter, &f->token,
                                   fm_buf_span(&f->mesh->principal_bytes), f->mesh->sign[0],
                                   &f->text, &f->err),
                     FM_OK);
    assert_int_equal(open_text(f, fm_buf_span(&f->text), &read), FM_FORGED);
    fm_buf_clear(&f->text);
    assert_int_equal(fm_token_make(&f->mesh->charter, &f->token, nothing, f->mesh->principal_sign,
                                   &f->text, &f->err),
                     FM_OK);
    assert_int_equal(open_text(f, fm_buf_span(&f->text), &read), FM_INVALID);
}

static void has_its_node_and_time(void **state)
{
    struct fixture *f = *state;
    const struct fm_node_id *node = &f->mesh->nodes[0].node;
    struct fm_token read;

    f->token.not_before = TEST_MESH_NOW + 10 * 60;
    assert_int_equal(make(f), FM_OK);
    assert_int_equal(open_text(f, fm_buf_span(&f->text), &read), FM_OK);
    assert_int_equal(fm_token_check(&read, node, read.not_before, &f->err), FM_OK);
    assert_int_equal(fm_token_check(&read, node, read.not_after, &f->err), FM_OK);
    assert_int_equal(fm_token_check(&read, node, read.not_after + 1, &f->err), FM_REFUSED);
    assert_int_equal(fm_token_check(&read, node, read.not_before - 120, &f->err), FM_OK);
    assert_int_equal(fm_token_check(&read, node, read.not_before - 121, &f->err), FM_REFUSED);
    assert_int_equal(fm_token_check(&read, &f->mesh->nodes[1].node, read.not_before, &f->err),
                     FM_REFUSED);
    assert_non_null(strstr(f->err.text, "for another node"));
    read.node_count = 2; /* One of several. */
    read.nodes[1] = f->mesh->nodes[1].node;
    assert_int_equal(fm_token_check(&read, &f->mesh->nodes[1].node, read.not_before, &f->err),
                     FM_OK);
    read.principal.not_after = read.not_before - 1000;
    assert_int_equal(fm_token_check(&read, node, read.not_before, &f->err), FM_REFUSED);
}

static void lives_as_long_as_it_may(void **state)
{
    struct fixture *f = *state;
    struct fm_principal_cert *principal = &f->token.principal;

    f->token.not_after = TEST_MESH_NOW + FM_TOKEN_LIFE_MAX;
    assert_int_equal(make(f), FM_OK);
    f->token.not_after++;
    assert_int_equal(make(f), FM_INVALID);
    f->token.not_before += 10; /* Made ahead, it does not live longer. */
    assert_int_equal(make(f), FM_INVALID);
    principal->roles[principal->role_count++].role = FM_ROLE_SERVICE;
    assert_int_equal(make(f), FM_OK);
    principal->not_after = TEST_MESH_NOW + 200 * DAY;
    f->token.not_after = TEST_MESH_NOW + 90 * DAY;
    assert_int_equal(make(f), FM_OK);
    f->token.not_after++;
    assert_int_equal(make(f), FM_INVALID);
    f->token.not_after = principal->not_after = TEST_MESH_NOW + DAY;
    assert_int_equal(make(f), FM_OK);
    f->token.not_after++;
    assert_int_equal(make(f), FM_INVALID);
    f->token.not_after = f->token.not_before;
    assert_int_equal(make(f), FM_INVALID);
    f->token.node_count = 0;
    assert_int_equal(make(f), FM_INVALID);
    f->token.node_count = FM_TOKEN_NODES_MAX + 1;
    assert_int_equal(make(f), FM_INVALID);
}

/* Signed by alice herself, in a form that fm_token_make() would not give. */
static enum fm_status open_claims(struct fixture *f, struct fm_span claims, struct fm_token *read)
{
    uint8_t implicit[18 + sizeof f->mesh->charter.mesh.bytes] = "folkmoot/v1 token";

    memcpy(implicit + 18, f->mesh->charter.mesh.bytes, sizeof f->mesh->charter.mesh.bytes);
    fm_buf_clear(&f->text);
    fm_paseto_sign(f->mesh->principal_sign, claims, fm_buf_span(&f->mesh->principal_bytes),
                   fm_span(implicit, sizeof implicit), &f->text);
    return open_text(f, fm_buf_span(&f->text), read);
}

#define ID "\"jti\":\"07070707070707070707070707070707\","
#define SUB "\"sub\":\"alice\","
#define AUD "\"aud\":[\"b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0\"],"
#define IAT "\"iat\":\"2026-01-01T00:00:00Z\","
#define NBF "\"nbf\":\"2026-01-01T00:00:00Z\","
#define EXP "\"exp\":\"2026-01-01T00:15:00+00:00\""

static void claims_are_what_is_demanded(void **state)
{
    static const struct {
        const char *claims;
        enum fm_status status;
    } forms[] = {
        {"{" ID SUB AUD IAT NBF EXP "}", FM_OK},
        {"{" ID SUB AUD IAT NBF EXP ",\"iss\":\"whoever\",\"scope\":[1,{}]}", FM_OK},
        {"{" SUB AUD IAT NBF EXP "}", FM_INVALID},
        {"{" ID AUD IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB AUD NBF EXP "}", FM_INVALID},
        {"{" ID SUB AUD IAT EXP "}", FM_INVALID},
        {"{" ID SUB AUD IAT NBF "\"x\":1}", FM_INVALID},
        {"{" ID ID SUB AUD IAT NBF EXP "}", FM_INVALID},
        {"{" ID "\"sub\":\"bob\"," AUD IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB "\"aud\":\"b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0\"," IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB "\"aud\":[]," IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB "\"aud\":[\"b0b0\"]," IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB "\"aud\":[7]," IAT NBF EXP "}", FM_INVALID},
        {"{" ID SUB AUD IAT NBF "\"exp\":\"2026-01-01T00:15:00+02:00\"}", FM_INVALID},
        {"{" ID SUB AUD IAT NBF "\"exp\":\"2026-01-01 00:15:00Z\"}", FM_INVALID},
        {"{" ID SUB AUD IAT NBF "\"exp\":\"2026-13-01T00:15:00Z\"}", FM_INVALID},
        {"{" ID SUB AUD IAT NBF "\"exp\":1767226500}", FM_INVALID},
        {"{" ID SUB AUD IAT NBF "\"exp\":\"2026-01-02T00:15:00Z\"}", FM_REFUSED}, /* Too long. */
        {"[" ID SUB AUD IAT NBF EXP "]", FM_INVALID},
        {"{" ID SUB AUD IAT NBF EXP "} x", FM_INVALID},
        {"[]", FM_INVALID},
        {"7", FM_INVALID},
        {"", FM_INVALID},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        struct fm_token read;
        enum fm_status status = open_claims(f, fm_span_str(forms[i].claims), &read);
        if (status != forms[i].status)
            fail_msg("%s: %s (%s)", forms[i].claims, fm_status_text(status), f->err.text);
    }
}

static void too_long_a_text_is_not_decoded(void **state)
{
    struct fixture *f = *state;
    struct fm_token read;

    assert_int_equal(make(f), FM_OK);
    while (f->text.len <= FM_TOKEN_BYTES_MAX)
        fm_buf_put_u8(&f->text, 'A');
    assert_int_equal(open_text(f, fm_buf_span(&f->text), &read), FM_LIMIT);
    assert_int_equal(f->decoded.len, 0);
}

static int begin(void **state)
{
    (void)state;
    return fm_core_init(NULL) == FM_OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors_hold),
        cmocka_unit_test(published_failures_fail),
        cmocka_unit_test(text_has_one_form),
        cmocka_unit_test_setup_teardown(comes_back_as_made, setup, teardown),
        cmocka_unit_test_setup_teardown(each_changed_letter_is_noticed, setup, teardown),
        cmocka_unit_test_setup_teardown(is_bound_to_mesh_key_and_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(has_its_node_and_time, setup, teardown),
        cmocka_unit_test_setup_teardown(lives_as_long_as_it_may, setup, teardown),
        cmocka_unit_test_setup_teardown(claims_are_what_is_demanded, setup, teardown),
        cmocka_unit_test_setup_teardown(too_long_a_text_is_not_decoded, setup, teardown),
    };

    return cmocka_run_group_tests_name("token", tests, begin, NULL);
}
