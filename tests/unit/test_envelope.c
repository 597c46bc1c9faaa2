/* The signed envelope: what holds, and everything that must not. */
#include "core/envelope.h"

#include "core/codec.h"
#include "tests/support/map_edit.h"
#include "tests/support/test_mesh.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define KEYS 17u

static const enum fm_envelope_type types[] = {
#define X(name, number, text) FM_ENV_##name,
    FM_ENVELOPE_MAP(X)
#undef X
};
#define TYPE_COUNT (sizeof types / sizeof types[0])

struct fixture {
    struct fm_key *keys[KEYS];
    struct fm_public_key public[KEYS];
    struct fm_mesh_id mesh;
    struct fm_mesh_id other_mesh;
    struct fm_span body;
    struct fm_buf bytes;
    struct fm_buf edited;
    struct vector_file *vectors;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_core_init(NULL) != FM_OK)
        return -1;
    for (unsigned i = 0; i < KEYS; i++) {
        f->keys[i] = test_key(FM_KEY_SIGN, (uint8_t)(i + 1));
        if (f->keys[i] == NULL)
            return -1;
        f->public[i] = *fm_key_public(f->keys[i]);
    }
    memset(f->mesh.bytes, 0x77, sizeof f->mesh.bytes);
    f->other_mesh = f->mesh;
    f->other_mesh.bytes[31] ^= 1;
    f->body = fm_span_str("the body");
    f->vectors = vector_file_open("envelope.txt");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (unsigned i = 0; i < KEYS; i++)
        fm_key_free(f->keys[i]);
    fm_buf_free(&f->bytes);
    fm_buf_free(&f->edited);
    vector_file_free(f->vectors);
    free(f);
    return 0;
}

/* Seal with the first `count` keys and open again. */
static struct fm_envelope seal(struct fixture *f, enum fm_envelope_type type, size_t count)
{
    struct fm_envelope envelope;

    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_envelope_seal(type, &f->mesh, f->body, f->keys, count, &f->bytes), FM_OK);
    assert_int_equal(fm_envelope_open(fm_buf_span(&f->bytes), &envelope), FM_OK);
    return envelope;
}

static void an_envelope_has_these_bytes(void **state)
{
    struct fixture *f = *state;

    seal(f, FM_ENV_RECEIPT, 1);
    vector_check(f->vectors, "receipt-one-key", fm_buf_span(&f->bytes));
    seal(f, FM_ENV_CHARTER, 3);
    vector_check(f->vectors, "charter-three-keys", fm_buf_span(&f->bytes));
}

/* The signature is over the label, the type, the mesh and the body, and over nothing else. */
static void the_signed_message_is_as_documented(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope = seal(f, FM_ENV_TICKET, 1);
    uint8_t message[12 + 1 + 32 + 8];

    memcpy(message, "folkmoot/v1", 12);
    message[12] = 12;
    memset(message + 13, 0x77, 32);
    memcpy(message + 45, "the body", 8);
    assert_true(
        fm_verify(&f->public[0], fm_span(message, sizeof message), envelope.signatures[0].bytes));
}

static void sealing_and_opening_gives_the_fields_back(void **state)
{
    struct fixture *f = *state;

    for (size_t t = 0; t < TYPE_COUNT; t++) {
        struct fm_envelope envelope = seal(f, types[t], 2);
        assert_int_equal(envelope.type, types[t]);
        assert_int_equal(envelope.signature_count, 2);
        assert_true(fm_span_equal(envelope.body, f->body));
        assert_true(fm_span_equal(envelope.whole, fm_buf_span(&f->bytes)));
        assert_true(memcmp(envelope.signatures[0].key.bytes, envelope.signatures[1].key.bytes, 32) <
                    0);
    }
}

/* Each type under each other type and each mesh: only the one it was made for holds. */
static void a_signature_holds_for_one_type_and_mesh(void **state)
{
    struct fixture *f = *state;

    for (size_t t = 0; t < TYPE_COUNT; t++) {
        struct fm_envelope envelope = seal(f, types[t], 1);
        for (size_t u = 0; u < TYPE_COUNT; u++) {
            enum fm_status wanted = t == u ? FM_OK : FM_FORGED;
            struct fm_envelope claimed = envelope;

            assert_int_equal(fm_envelope_verify(&envelope, types[u], &f->mesh, &f->public[0]),
                             wanted);
            assert_int_equal(fm_envelope_verify(&envelope, types[u], &f->other_mesh, &f->public[0]),
                             FM_FORGED);
            assert_int_equal(
                fm_envelope_count(&envelope, types[u], &f->other_mesh, f->public, KEYS), 0);
            claimed.type = types[u]; /* As if the outer type had been rewritten. */
            assert_int_equal(fm_envelope_verify(&claimed, types[u], &f->mesh, &f->public[0]),
                             wanted);
            assert_int_equal(fm_envelope_count(&claimed, types[u], &f->mesh, f->public, KEYS),
                             t == u ? 1 : 0);
        }
    }
}

static void another_key_does_not_verify(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope = seal(f, FM_ENV_ANSWER, 1);

    for (unsigned i = 1; i < KEYS; i++)
        assert_int_equal(fm_envelope_verify(&envelope, FM_ENV_ANSWER, &f->mesh, &f->public[i]),
                         FM_FORGED);
    /* Key 1's name over key 0's signature. */
    envelope.signatures[0].key = f->public[1];
    assert_int_equal(fm_envelope_verify(&envelope, FM_ENV_ANSWER, &f->mesh, &f->public[1]),
                     FM_FORGED);
}

/* Where one must sign, a stranger's signature beside it is refused: it would change the hash. */
static void one_signature_means_exactly_one(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope = seal(f, FM_ENV_ANSWER, 2);

    assert_int_equal(fm_envelope_verify(&envelope, FM_ENV_ANSWER, &f->mesh, &f->public[0]),
                     FM_FORGED);
}

static void any_changed_bit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope;

    seal(f, FM_ENV_RECEIPT, 1);
    for (size_t bit = 0; bit < 8 * f->bytes.len; bit++) {
        f->bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        if (fm_envelope_open(fm_buf_span(&f->bytes), &envelope) == FM_OK)
            assert_int_equal(fm_envelope_verify(&envelope, FM_ENV_RECEIPT, &f->mesh, &f->public[0]),
                             FM_FORGED);
        f->bytes.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

static void counting_counts_distinct_keys(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope = seal(f, FM_ENV_CHARTER, 3);
    struct fm_public_key same[4] = {f->public[0], f -> public[0], f -> public[0], f -> public[5]};

    assert_int_equal(fm_envelope_count(&envelope, FM_ENV_CHARTER, &f->mesh, f->public, KEYS), 3);
    assert_int_equal(fm_envelope_count(&envelope, FM_ENV_CHARTER, &f->mesh, f->public, 2), 2);
    assert_int_equal(fm_envelope_count(&envelope, FM_ENV_CHARTER, &f->mesh, same, 4), 1);
    assert_int_equal(fm_envelope_count(&envelope, FM_ENV_CHARTER, &f->mesh, &f->public[3], 14), 0);
    envelope.signatures[1].bytes[0] ^= 1;
    assert_int_equal(fm_envelope_count(&envelope, FM_ENV_CHARTER, &f->mesh, f->public, KEYS), 2);
}

static void sixteen_keys_sign_and_no_more(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope = seal(f, FM_ENV_CHARTER, 16);

    assert_int_equal(fm_envelope_count(&envelope, FM_ENV_CHARTER, &f->mesh, f->public, KEYS), 16);
    assert_int_equal(fm_envelope_seal(FM_ENV_CHARTER, &f->mesh, f->body, f->keys, 17, &f->bytes),
                     FM_INVALID);
    assert_int_equal(fm_envelope_seal(FM_ENV_CHARTER, &f->mesh, f->body, f->keys, 0, &f->bytes),
                     FM_INVALID);
}

static void sealing_refuses_a_key_twice_or_of_another_kind(void **state)
{
    struct fixture *f = *state;
    struct fm_key *twice[] = {f->keys[3], f->keys[1], f->keys[3]};
    struct fm_key *session = test_key(FM_KEY_SESSION, 1);

    assert_int_equal(fm_envelope_seal(FM_ENV_CHARTER, &f->mesh, f->body, twice, 3, &f->bytes),
                     FM_INVALID);
    assert_int_equal(fm_envelope_seal(FM_ENV_CHARTER, &f->mesh, f->body, &session, 1, &f->bytes),
                     FM_INVALID);
    fm_key_free(session);
}

static void the_largest_body_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope;
    uint8_t *body = calloc(1, FM_ENVELOPE_BYTES_MAX + 1);

    assert_non_null(body);
    f->body = fm_span(body, FM_ENVELOPE_BYTES_MAX - 200);
    envelope = seal(f, FM_ENV_CONTRACT, 1);
    assert_int_equal(fm_envelope_verify(&envelope, FM_ENV_CONTRACT, &f->mesh, &f->public[0]),
                     FM_OK);
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_envelope_seal(FM_ENV_CONTRACT, &f->mesh,
                                      fm_span(body, FM_ENVELOPE_BYTES_MAX), f->keys, 1, &f->bytes),
                     FM_LIMIT);
    assert_int_equal(f->bytes.len, 0);
    assert_int_equal(fm_envelope_open(fm_span(body, FM_ENVELOPE_BYTES_MAX + 1), &envelope),
                     FM_MALFORMED);
    free(body);
}

static void assert_edited_refused(const struct fixture *f)
{
    struct fm_envelope envelope;

    assert_int_equal(fm_buf_status(&f->edited), FM_OK);
    assert_int_equal(fm_envelope_open(fm_buf_span(&f->edited), &envelope), FM_MALFORMED);
}

/* Nobody signs for the outer map: no key may be missing, and none added, ignorable or not. */
static void the_outer_map_is_exact(void **state)
{
    struct fixture *f = *state;
    static const unsigned added[] = {3, 31, 32, 127};
    static const uint8_t nil = 0xc0;

    seal(f, FM_ENV_RECEIPT, 1);
    for (unsigned i = 0; i < 3; i++) {
        map_drop(fm_buf_span(&f->bytes), i, &f->edited);
        assert_edited_refused(f);
        map_replace(fm_buf_span(&f->bytes), i, fm_span(&nil, 1), &f->edited);
        assert_edited_refused(f);
    }
    for (unsigned i = 0; i < 4; i++) {
        map_add(fm_buf_span(&f->bytes), added[i], &f->edited);
        assert_edited_refused(f);
    }
    for (size_t len = 0; len < f->bytes.len; len++) {
        struct fm_envelope envelope;
        assert_int_equal(fm_envelope_open(fm_span(f->bytes.data, len), &envelope), FM_MALFORMED);
    }
}

static void put_signature(struct fm_buf *out, const struct fm_signature *signature)
{
    fm_pack_array(out, 2);
    fm_pack_bin(out, signature->key.bytes, sizeof signature->key.bytes);
    fm_pack_bin(out, signature->bytes, sizeof signature->bytes);
}

/* Signers out of order, or one of them twice, would be second forms of the same statement. */
static void signers_are_sorted_and_distinct(void **state)
{
    struct fixture *f = *state;
    struct fm_envelope envelope = seal(f, FM_ENV_CHARTER, 2);
    struct fm_buf array = FM_BUF_INIT(0);

    for (unsigned first = 0; first < 2; first++) {
        fm_buf_clear(&array);
        fm_pack_array(&array, 2);
        put_signature(&array, &envelope.signatures[1]);
        put_signature(&array, &envelope.signatures[first]);
        map_replace(fm_buf_span(&f->bytes), 2, fm_buf_span(&array), &f->edited);
        assert_edited_refused(f);
    }
    fm_buf_clear(&array);
    fm_pack_array(&array, 0);
    map_replace(fm_buf_span(&f->bytes), 2, fm_buf_span(&array), &f->edited);
    assert_edited_refused(f);
    fm_buf_free(&array);
}

static void an_unknown_type_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t unknown[] = {0, 18, 127};

    seal(f, FM_ENV_RECEIPT, 1);
    for (size_t i = 0; i < sizeof unknown; i++) {
        map_replace(fm_buf_span(&f->bytes), 0, fm_span(&unknown[i], 1), &f->edited);
        assert_edited_refused(f);
    }
    assert_string_equal(fm_envelope_type_text(FM_ENV_RECEIPT), "receipt");
}

#define WITH_KEYS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_KEYS(an_envelope_has_these_bytes),
        WITH_KEYS(the_signed_message_is_as_documented),
        WITH_KEYS(sealing_and_opening_gives_the_fields_back),
        WITH_KEYS(a_signature_holds_for_one_type_and_mesh),
        WITH_KEYS(another_key_does_not_verify),
        WITH_KEYS(one_signature_means_exactly_one),
        WITH_KEYS(any_changed_bit_is_refused),
        WITH_KEYS(counting_counts_distinct_keys),
        WITH_KEYS(sixteen_keys_sign_and_no_more),
        WITH_KEYS(sealing_refuses_a_key_twice_or_of_another_kind),
        WITH_KEYS(the_largest_body_is_bounded),
        WITH_KEYS(the_outer_map_is_exact),
        WITH_KEYS(signers_are_sorted_and_distinct),
        WITH_KEYS(an_unknown_type_is_refused),
    };
    return cmocka_run_group_tests_name("envelope", tests, NULL, NULL);
}
