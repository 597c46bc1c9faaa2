/* Keys against published vectors, points that are nobody's key, and key files. */
#include "core/keys.h"

#include "core/hash.h"
#include "tests/support/test_mesh.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    char path[96];
    struct fm_key *keys[3]; /* One of each kind. */
    struct fm_key *loaded[3];
    struct fm_buf buf;
};

static const enum fm_key_kind kinds[] = {FM_KEY_SIGN, FM_KEY_SESSION, FM_KEY_GOSSIP};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_core_init(NULL) != FM_OK)
        return -1;
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/fm-keys-XXXXXX");
    if (mkdtemp(f->dir) == NULL)
        return -1;
    (void)snprintf(f->path, sizeof f->path, "%s/key", f->dir);
    for (size_t i = 0; i < 3; i++) {
        f->keys[i] = test_key(kinds[i], (uint8_t)(i + 1));
        if (f->keys[i] == NULL)
            return -1;
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        fm_key_free(f->keys[i]);
        fm_key_free(f->loaded[i]);
    }
    fm_buf_free(&f->buf);
    (void)unlink(f->path); /* Not every test makes it. */
    (void)rmdir(f->dir);
    free(f);
    return 0;
}

static void unhex(const char *hex, void *out, size_t len)
{
    assert_int_equal(fm_unhex(hex, out, len), FM_OK);
}

static void assert_bytes(const void *bytes, size_t len, const char *hex)
{
    char text[513];

    assert_true(len <= 256);
    fm_hex(bytes, len, text);
    assert_string_equal(text, hex);
}

/* ---- Primitives ---------------------------------------------------------------------------- */

/* RFC 8032 section 7.1, tests 1 and 2. */
static void signing_gives_the_published_signatures(void **state)
{
    (void)state;
    static const struct {
        const char *seed, *key, *message, *signature;
    } vectors[] = {
        {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
         "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
         "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701"
         "cf9"
         "b46bd25bf5f0595bbe24655141438e7a100b"},
        {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
         "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
         "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d"
         "0f1"
         "1d8c387b2eaeb4302aeeb00d291612bb0c00"},
    };

    for (size_t i = 0; i < 2; i++) {
        uint8_t seed[32], signature[64], message[1] = {0};
        struct fm_key *key = NULL;
        size_t len = strlen(vectors[i].message) / 2;

        unhex(vectors[i].seed, seed, sizeof seed);
        unhex(vectors[i].message, message, len);
        assert_int_equal(fm_key_from_secret(FM_KEY_SIGN, seed, &key), FM_OK);
        assert_bytes(fm_key_public(key)->bytes, 32, vectors[i].key);
        fm_key_sign(key, fm_span(message, len), signature);
        assert_bytes(signature, sizeof signature, vectors[i].signature);
        assert_true(fm_verify(fm_key_public(key), fm_span(message, len), signature));
        fm_key_free(key);
    }
}

/* RFC 7748 section 6.1. */
static void agreement_gives_the_published_secret(void **state)
{
    (void)state;
    uint8_t a[32], b[32], shared[32];
    struct fm_key *alice = NULL, *bob = NULL;

    unhex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a", a, 32);
    unhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb", b, 32);
    assert_int_equal(fm_key_from_secret(FM_KEY_SESSION, a, &alice), FM_OK);
    assert_int_equal(fm_key_from_secret(FM_KEY_SESSION, b, &bob), FM_OK);
    assert_bytes(fm_key_public(alice)->bytes, 32,
                 "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    assert_bytes(fm_key_public(bob)->bytes, 32,
                 "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    assert_int_equal(fm_key_agree(alice, fm_key_public(bob), shared), FM_OK);
    assert_bytes(shared, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_int_equal(fm_key_agree(bob, fm_key_public(alice), shared), FM_OK);
    assert_bytes(shared, 32, "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    fm_key_free(alice);
    fm_key_free(bob);
}

/* All points of small order of Curve25519 in canonical form: agreeing with them gives zeros. */
static void agreement_refuses_small_order(void **state)
{
    struct fixture *f = *state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        struct fm_public_key point;
        uint8_t shared[32] = {0xaa};

        unhex(points[i], point.bytes, 32);
        assert_int_equal(fm_key_agree(f->keys[1], &point, shared), FM_FORGED);
        assert_int_equal(shared[0], 0xaa);
        fm_buf_clear(&f->buf);
        fm_box_seal(&point, fm_span_str("secret"), &f->buf);
        assert_int_not_equal(fm_buf_status(&f->buf), FM_OK);
    }
}

/* With a key of small order, a signature of R = that point, S = 0 would hold for any message
 * ("Taming the many EdDSAs", Chalkias, Garillot, Nikolaenko 2020, cases 0 to 2). */
static void verification_refuses_small_order_keys(void **state)
{
    (void)state;
    static const char *const points[] = {
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
        "0100000000000000000000000000000000000000000000000000000000000080",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    };

    for (size_t i = 0; i < sizeof points / sizeof points[0]; i++) {
        for (size_t r = 0; r < sizeof points / sizeof points[0]; r++) {
            struct fm_public_key key;
            uint8_t signature[64] = {0};

            unhex(points[i], key.bytes, 32);
            unhex(points[r], signature, 32);
            assert_false(fm_verify(&key, fm_span_str("any message"), signature));
        }
    }
}

/* S and S + L are the same number modulo the group's order L; only the smaller one may pass, or
 * anybody could make a second signature out of a first (RFC 8032 section 5.1.7). */
static void verification_refuses_a_second_form_of_s(void **state)
{
    struct fixture *f = *state;
    static const uint8_t order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,
                                      0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                      0,    0,    0,    0,    0,    0,    0,    0,
                                      0,    0,    0,    0,    0,    0,    0,    0x10};
    uint8_t signature[64];
    unsigned carry = 0;

    fm_key_sign(f->keys[0], fm_span_str("message"), signature);
    assert_true(fm_verify(fm_key_public(f->keys[0]), fm_span_str("message"), signature));
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_int_equal(carry, 0);
    assert_false(fm_verify(fm_key_public(f->keys[0]), fm_span_str("message"), signature));
}

static void any_changed_bit_breaks_a_signature(void **state)
{
    struct fixture *f = *state;
    uint8_t signature[64];

    fm_key_sign(f->keys[0], fm_span_str("message"), signature);
    for (size_t bit = 0; bit < 512; bit++) {
        signature[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_false(fm_verify(fm_key_public(f->keys[0]), fm_span_str("message"), signature));
        signature[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    assert_false(fm_verify(fm_key_public(f->keys[0]), fm_span_str("Message"), signature));
}

static void a_gossip_key_is_named_by_its_hash(void **state)
{
    struct fixture *f = *state;
    static const char label[] = "folkmoot/v1 gossip key id";
    uint8_t secret[32], out[32];
    struct fm_hash hash;
    const struct fm_span spans[] = {fm_span(label, sizeof label), fm_span(secret, 32)};

    memset(secret, 3, sizeof secret);
    fm_sha256(&hash, spans, 2);
    assert_memory_equal(fm_key_public(f->keys[2])->bytes, hash.bytes, 32);
    fm_key_secret(f->keys[2], out);
    assert_memory_equal(out, secret, 32);
}

static void generated_keys_differ(void **state)
{
    (void)state;

    for (size_t i = 0; i < 3; i++) {
        struct fm_key *a = NULL, *b = NULL;

        assert_int_equal(fm_key_generate(kinds[i], &a), FM_OK);
        assert_int_equal(fm_key_generate(kinds[i], &b), FM_OK);
        assert_int_equal(fm_key_kind(a), kinds[i]);
        assert_false(fm_public_key_equal(fm_key_public(a), fm_key_public(b)));
        fm_key_free(a);
        fm_key_free(b);
    }
}

static void a_sealed_box_opens_for_its_owner_only(void **state)
{
    struct fixture *f = *state;
    struct fm_buf plain = FM_BUF_INIT(0);
    struct fm_key *other = test_key(FM_KEY_SESSION, 99);

    fm_box_seal(fm_key_public(f->keys[1]), fm_span_str("secret"), &f->buf);
    assert_int_equal(fm_buf_status(&f->buf), FM_OK);
    assert_int_equal(fm_box_open(other, fm_buf_span(&f->buf), &plain), FM_FORGED);
    assert_int_equal(fm_box_open(f->keys[1], fm_span(f->buf.data, 47), &plain), FM_MALFORMED);
    assert_int_equal(plain.len, 0);
    assert_int_equal(fm_box_open(f->keys[1], fm_buf_span(&f->buf), &plain), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&plain), fm_span_str("secret")));
    fm_buf_clear(&plain);
    for (size_t i = 0; i < f->buf.len; i++) {
        f->buf.data[i] ^= 1;
        assert_int_equal(fm_box_open(f->keys[1], fm_buf_span(&f->buf), &plain), FM_FORGED);
        f->buf.data[i] ^= 1;
    }
    fm_buf_free(&plain);
    fm_key_free(other);
}

/* ---- Key files ----------------------------------------------------------------------------- */

static enum fm_status load(struct fixture *f, const char *passphrase, struct fm_error *err)
{
    for (size_t i = 0; i < 3; i++) {
        fm_key_free(f->loaded[i]);
        f->loaded[i] = NULL;
    }
    return fm_keys_load(f->path, passphrase, kinds, 3, f->loaded, err);
}

static void assert_loaded(const struct fixture *f)
{
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(fm_key_kind(f->loaded[i]), kinds[i]);
        assert_memory_equal(fm_key_public(f->loaded[i]), fm_key_public(f->keys[i]), 32);
    }
}

static void read_whole_file(struct fixture *f)
{
    uint8_t data[4096];
    FILE *in = fopen(f->path, "rb");

    assert_non_null(in);
    size_t len = fread(data, 1, sizeof data, in);
    (void)fclose(in); /* Only read from. */
    fm_buf_clear(&f->buf);
    fm_buf_put(&f->buf, data, len);
}

static void write_whole_file(struct fixture *f, struct fm_span bytes)
{
    (void)unlink(f->path);
    int fd = open(f->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
    assert_int_equal(close(fd), 0);
}

static void a_key_file_gives_its_keys_back(void **state)
{
    struct fixture *f = *state;
    struct stat st;

    assert_int_equal(fm_keys_save(f->path, f->keys, 3, NULL, NULL), FM_OK);
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(load(f, NULL, NULL), FM_OK);
    assert_loaded(f);
}

/* The plain form is a format: two bytes of map, the version, the keys. */
static void a_plain_key_file_has_these_bytes(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fm_keys_save(f->path, f->keys, 2, NULL, NULL), FM_OK);
    read_whole_file(f);
    assert_bytes(f->buf.data, f->buf.len,
                 "8200010192"
                 "9201c4200101010101010101010101010101010101010101010101010101010101010101"
                 "9202c4200202020202020202020202020202020202020202020202020202020202020202");
}

static void an_encrypted_key_file_needs_its_passphrase(void **state)
{
    struct fixture *f = *state;
    struct fm_error err = {0};
    uint8_t secret[32];

    memset(secret, 1, sizeof secret);
    assert_int_equal(fm_keys_save(f->path, f->keys, 3, "correct horse", NULL), FM_OK);
    read_whole_file(f);
    assert_null(memmem(f->buf.data, f->buf.len, secret, sizeof secret));
    assert_int_equal(load(f, NULL, &err), FM_REFUSED);
    assert_non_null(strstr(err.text, "a passphrase is needed"));
    assert_int_equal(load(f, "wrong horse", &err), FM_REFUSED);
    assert_non_null(strstr(err.text, "passphrase is wrong"));
    assert_int_equal(load(f, "correct horse", NULL), FM_OK);
    assert_loaded(f);
}

static void an_existing_file_is_not_overwritten(void **state)
{
    struct fixture *f = *state;
    struct fm_error err = {0};

    assert_int_equal(fm_keys_save(f->path, f->keys, 1, NULL, NULL), FM_OK);
    read_whole_file(f);
    size_t len = f->buf.len;
    assert_int_equal(fm_keys_save(f->path, f->keys, 3, NULL, &err), FM_CONFLICT);
    assert_non_null(strstr(err.text, f->path));
    read_whole_file(f);
    assert_int_equal(f->buf.len, len);
}

static void a_file_that_others_may_use_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_error err = {0};

    assert_int_equal(fm_keys_save(f->path, f->keys, 3, NULL, NULL), FM_OK);
    for (unsigned bit = 1; bit <= 040; bit <<= 1) {
        assert_int_equal(chmod(f->path, 0600 | bit), 0);
        assert_int_equal(load(f, NULL, &err), FM_REFUSED);
        assert_non_null(strstr(err.text, "chmod 600"));
    }
    assert_int_equal(chmod(f->path, 0400), 0);
    assert_int_equal(load(f, NULL, NULL), FM_OK);
}

/* A pipe must not even make the reader wait. */
static void what_is_no_regular_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_error err = {0};

    assert_int_equal(mkfifo(f->path, 0600), 0);
    assert_int_equal(load(f, NULL, &err), FM_REFUSED);
    assert_non_null(strstr(err.text, "no regular file"));
    assert_int_equal(unlink(f->path), 0);
    assert_int_equal(mkdir(f->path, 0700), 0);
    assert_int_equal(load(f, NULL, &err), FM_REFUSED);
    assert_int_equal(rmdir(f->path), 0);
    assert_int_equal(load(f, NULL, &err), FM_NOTFOUND);
}

/* Only root can give a file away, so elsewhere the case cannot be made. */
static void another_users_file_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_error err = {0};

    if (geteuid() != 0)
        skip();
    assert_int_equal(fm_keys_save(f->path, f->keys, 3, NULL, NULL), FM_OK);
    assert_int_equal(chown(f->path, 65534, (gid_t)-1), 0);
    assert_int_equal(load(f, NULL, &err), FM_REFUSED);
    assert_non_null(strstr(err.text, "another user"));
}

static void a_missing_kind_is_told(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(fm_keys_save(f->path, f->keys, 2, NULL, NULL), FM_OK);
    assert_int_equal(load(f, NULL, NULL), FM_NOTFOUND);
    assert_int_equal(fm_keys_load(f->path, NULL, kinds, 2, f->loaded, NULL), FM_OK);
}

static void damaged_files_never_load(void **state)
{
    struct fixture *f = *state;
    struct fm_buf copy = FM_BUF_INIT(0);

    assert_int_equal(fm_keys_save(f->path, f->keys, 3, NULL, NULL), FM_OK);
    read_whole_file(f);
    fm_buf_put_span(&copy, fm_buf_span(&f->buf));
    for (size_t len = 0; len < copy.len; len++) {
        write_whole_file(f, fm_span(copy.data, len));
        assert_int_equal(load(f, NULL, NULL), FM_MALFORMED);
    }
    fm_buf_put_u8(&copy, 0);
    write_whole_file(f, fm_buf_span(&copy));
    assert_int_equal(load(f, NULL, NULL), FM_MALFORMED);
    copy.len--;
    copy.data[2] = 2; /* The format's version. */
    write_whole_file(f, fm_buf_span(&copy));
    assert_int_equal(load(f, NULL, NULL), FM_UNSUPPORTED);
    fm_buf_free(&copy);
}

/* A changed file could ask for gigabytes or for hours of work before the passphrase is wrong. */
static void an_encrypted_file_cannot_ask_for_much_work(void **state)
{
    struct fixture *f = *state;
    static const char huge[] = "8600010"
                               "2c4100000000000000000000000000000000003ce40000000"
                               "04ce04000000"
                               "05c418000000000000000000000000000000000000000000000000"
                               "06c41000000000000000000000000000000000";
    uint8_t bytes[(sizeof huge - 1) / 2];

    unhex(huge, bytes, sizeof bytes);
    write_whole_file(f, fm_span(bytes, sizeof bytes));
    assert_int_equal(load(f, "x", NULL), FM_MALFORMED);
}

#define WITH_FILES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(signing_gives_the_published_signatures),
        WITH_FILES(agreement_gives_the_published_secret),
        WITH_FILES(agreement_refuses_small_order),
        WITH_FILES(verification_refuses_small_order_keys),
        WITH_FILES(verification_refuses_a_second_form_of_s),
        WITH_FILES(any_changed_bit_breaks_a_signature),
        WITH_FILES(a_gossip_key_is_named_by_its_hash),
        WITH_FILES(generated_keys_differ),
        WITH_FILES(a_sealed_box_opens_for_its_owner_only),
        WITH_FILES(a_key_file_gives_its_keys_back),
        WITH_FILES(a_plain_key_file_has_these_bytes),
        WITH_FILES(an_encrypted_key_file_needs_its_passphrase),
        WITH_FILES(an_existing_file_is_not_overwritten),
        WITH_FILES(a_file_that_others_may_use_is_refused),
        WITH_FILES(what_is_no_regular_file_is_refused),
        WITH_FILES(another_users_file_is_refused),
        WITH_FILES(a_missing_kind_is_told),
        WITH_FILES(damaged_files_never_load),
        WITH_FILES(an_encrypted_file_cannot_ask_for_much_work),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
