/* Signed notes and checkpoints: the published example, our own vectors, and what is refused. */
#include "core/note.h"

#include "tests/support/test_mesh.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The example of golang.org/x/mod/sumdb/note and of c2sp.org/signed-note. */
#define PETER_NAME "PeterNeumann"
#define PETER_SECRET "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
#define PETER_PUBLIC "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
#define PETER_TEXT                                                                                 \
    "If you think cryptography is the answer to your problem,\n"                                   \
    "then you don't know what your problem is.\n"
#define PETER_NOTE                                                                                 \
    PETER_TEXT                                                                                     \
    "\n\xe2\x80\x94 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFY"         \
    "C2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"

struct fixture {
    struct fm_key *key;
    struct fm_key *other;
    struct fm_head head;
    struct fm_buf note;
    struct fm_buf edited;
    struct vector_file *vectors;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_mesh_id mesh;

    if (f == NULL || fm_core_init(NULL) != FM_OK)
        return -1;
    f->key = test_key(FM_KEY_SIGN, 1);
    f->other = test_key(FM_KEY_SIGN, 2);
    if (f->key == NULL || f->other == NULL)
        return -1;
    memset(mesh.bytes, 0x77, sizeof mesh.bytes);
    fm_head_origin(&mesh, "flights", "departures", 3, f->head.origin);
    f->head.size = 336776;
    memset(f->head.root.bytes, 0x5a, sizeof f->head.root.bytes);
    f->head.time = TEST_MESH_NOW_US;
    if (fm_head_seal(&f->head, f->key, &f->note) != FM_OK)
        return -1;
    f->vectors = vector_file_open("note.txt");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_key_free(f->key);
    fm_key_free(f->other);
    fm_buf_free(&f->note);
    fm_buf_free(&f->edited);
    vector_file_free(f->vectors);
    free(f);
    return 0;
}

/* The 32 bytes after the algorithm's number in a note key's text. */
static void key_bytes(const char *base64, uint8_t out[32])
{
    uint8_t bytes[33];
    size_t len = 0;

    assert_int_equal(sodium_base642bin(bytes, sizeof bytes, base64, strlen(base64), NULL, &len,
                                       NULL, sodium_base64_VARIANT_ORIGINAL),
                     0);
    assert_int_equal(len, 33);
    assert_int_equal(bytes[0], 1);
    memcpy(out, bytes + 1, 32);
}

/* ---- Signed notes -------------------------------------------------------------------------- */

static void the_published_note_is_made_byte_for_byte(void **state)
{
    struct fixture *f = *state;
    struct fm_key *peter = NULL;
    uint8_t secret[32];

    key_bytes(PETER_SECRET, secret);
    assert_int_equal(fm_key_from_secret(FM_KEY_SIGN, secret, &peter), FM_OK);
    assert_int_equal(fm_note_seal(fm_span_str(PETER_TEXT), PETER_NAME, peter, &f->edited), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&f->edited), fm_span_str(PETER_NOTE)));
    fm_key_free(peter);
}

static void the_published_note_verifies(void **state)
{
    (void)state;
    struct fm_public_key key;
    struct fm_span text;

    key_bytes(PETER_PUBLIC, key.bytes);
    assert_int_equal(fm_note_open(fm_span_str(PETER_NOTE), PETER_NAME, &key, &text), FM_OK);
    assert_true(fm_span_equal(text, fm_span_str(PETER_TEXT)));
    assert_int_equal(fm_note_open(fm_span_str(PETER_NOTE), "PeterNeuman", &key, &text), FM_FORGED);
    key.bytes[0] ^= 1;
    assert_int_equal(fm_note_open(fm_span_str(PETER_NOTE), PETER_NAME, &key, &text), FM_FORGED);
}

static enum fm_status open_text(const char *note, const struct fm_key *key)
{
    struct fm_span text;

    return fm_note_open(fm_span_str(note), "n", fm_key_public(key), &text);
}

static void malformed_notes_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const notes[] = {
        "",
        "\n",
        "\n\n",
        "text\n",
        "text\n\n",
        "text\n\n\xe2\x80\x94 n AAAAAAA=",     /* No end of the line. */
        "text\n\n- n AAAAAAA=\n",              /* No em dash. */
        "text\n\n\xe2\x80\x94n AAAAAAA=\n",    /* No space after it. */
        "text\n\n\xe2\x80\x94 n\n",            /* No signature. */
        "text\n\n\xe2\x80\x94 n AAAA\n",       /* Shorter than a key id. */
        "text\n\n\xe2\x80\x94 n AAAAAA==\n",   /* A key id and nothing else. */
        "text\n\n\xe2\x80\x94 n AAAAAAA\n",    /* No padding. */
        "text\n\n\xe2\x80\x94 n AAAAAAB=\n",   /* Bits beyond the last byte. */
        "text\n\n\xe2\x80\x94 n AAAAAAA= \n",  /* Something behind it. */
        "text\n\n\xe2\x80\x94 n+ AAAAAAA=\n",  /* No name. */
        "text\n\n\xe2\x80\x94  AAAAAAA=\n",    /* An empty name. */
        "te\txt\n\n\xe2\x80\x94 n AAAAAAA=\n", /* A control character. */
        ("te\xff"
         "xt\n\n\xe2\x80\x94 n AAAAAAA=\n"), /* Not UTF-8. */
        "text\r\n\n\xe2\x80\x94 n AAAAAAA=\n",
        "\n\xe2\x80\x94 n AAAAAAA=\n", /* No text at all. */
    };

    for (size_t i = 0; i < sizeof notes / sizeof notes[0]; i++)
        assert_int_equal(open_text(notes[i], f->key), FM_MALFORMED);
    assert_int_equal(open_text("text\n\n\xe2\x80\x94 n AAAAAAA=\n", f->key), FM_FORGED);
}

/* A note may carry witnesses' signatures, of algorithms that we do not know, before and behind. */
static void signatures_of_others_are_ignored(void **state)
{
    struct fixture *f = *state;
    struct fm_head head;

    fm_buf_put_str(&f->note, "\xe2\x80\x94 witness.example/w AAAAAQI=\n");
    assert_int_equal(fm_head_open(fm_buf_span(&f->note), fm_key_public(f->key), &head), FM_OK);
    assert_int_equal(fm_head_open(fm_buf_span(&f->note), fm_key_public(f->other), &head),
                     FM_FORGED);
    for (unsigned i = 0; i < 80; i++)
        fm_buf_put_str(&f->note, "\xe2\x80\x94 w AAAAAQI=\n");
    assert_int_equal(fm_head_open(fm_buf_span(&f->note), fm_key_public(f->key), &head),
                     FM_MALFORMED);
}

/* The log's own name and key id over a signature that does not hold is no stranger's. */
static void a_false_signature_beside_a_true_one_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_head head;
    uint8_t *line = memmem(f->note.data, f->note.len, "\n\n", 2);
    assert_non_null(line);
    line += 2;
    size_t len = f->note.len - (size_t)(line - f->note.data);

    fm_buf_put_span(&f->edited, fm_buf_span(&f->note));
    fm_buf_put(&f->edited, line, len);
    assert_int_equal(fm_head_open(fm_buf_span(&f->edited), fm_key_public(f->key), &head), FM_OK);
    f->edited.data[f->edited.len - 20] ^= 1;
    assert_int_not_equal(fm_head_open(fm_buf_span(&f->edited), fm_key_public(f->key), &head),
                         FM_OK);
}

static void sealing_refuses_what_could_not_be_opened(void **state)
{
    struct fixture *f = *state;
    struct fm_key *session = test_key(FM_KEY_SESSION, 1);

    assert_int_equal(fm_note_seal(fm_span_str("no end"), "n", f->key, &f->edited), FM_INVALID);
    assert_int_equal(fm_note_seal(fm_span_str(""), "n", f->key, &f->edited), FM_INVALID);
    assert_int_equal(fm_note_seal(fm_span_str("a\tb\n"), "n", f->key, &f->edited), FM_INVALID);
    assert_int_equal(fm_note_seal(fm_span_str("text\n"), "a b", f->key, &f->edited), FM_INVALID);
    assert_int_equal(fm_note_seal(fm_span_str("text\n"), "a+b", f->key, &f->edited), FM_INVALID);
    assert_int_equal(fm_note_seal(fm_span_str("text\n"), "", f->key, &f->edited), FM_INVALID);
    assert_int_equal(fm_note_seal(fm_span_str("text\n"), "n", session, &f->edited), FM_INVALID);
    assert_int_equal(f->edited.len, 0);
    fm_key_free(session);
}

/* ---- Origins ------------------------------------------------------------------------------- */

#define MESH_HEX "7777777777777777777777777777777777777777777777777777777777777777"

static void an_origin_gives_its_parts_back(void **state)
{
    struct fixture *f = *state;
    struct fm_mesh_id mesh;
    char domain[FM_NAME_MAX + 1], table[FM_NAME_MAX + 1];
    uint32_t epoch = 0;

    assert_string_equal(f->head.origin, "folkmoot/" MESH_HEX "/flights/departures/3");
    assert_int_equal(fm_head_origin_parse(f->head.origin, &mesh, domain, table, &epoch), FM_OK);
    assert_int_equal(mesh.bytes[0], 0x77);
    assert_string_equal(domain, "flights");
    assert_string_equal(table, "departures");
    assert_int_equal(epoch, 3);
}

static void the_longest_origin_fits(void **state)
{
    (void)state;
    struct fm_mesh_id mesh = {{0}};
    char name[FM_NAME_MAX + 1], origin[FM_ORIGIN_MAX];
    char domain[FM_NAME_MAX + 1], table[FM_NAME_MAX + 1];
    uint32_t epoch = 0;

    memset(name, 'a', FM_NAME_MAX);
    name[FM_NAME_MAX] = '\0';
    fm_head_origin(&mesh, name, name, UINT32_MAX, origin);
    assert_int_equal(fm_head_origin_parse(origin, &mesh, domain, table, &epoch), FM_OK);
    assert_int_equal(epoch, UINT32_MAX);
}

static void other_origins_are_refused(void **state)
{
    (void)state;
    static const char *const origins[] = {
        "",
        "folkmoot",
        "folkmoot/" MESH_HEX,
        "folkmoot/" MESH_HEX "/flights/departures",
        "folkmoot/" MESH_HEX "/flights/departures/",
        "folkmoot/" MESH_HEX "/flights/departures/0",
        "folkmoot/" MESH_HEX "/flights/departures/03",
        "folkmoot/" MESH_HEX "/flights/departures/4294967296",
        "folkmoot/" MESH_HEX "/flights/departures/3/",
        "folkmoot/" MESH_HEX "/flights/departures/-3",
        "folkmoot/" MESH_HEX "/Flights/departures/3",
        "folkmoot/" MESH_HEX "/mesh/departures/3", /* Reserved. */
        "folkmoot/" MESH_HEX "//departures/3",
        "folkmoot/" MESH_HEX "7/flights/departures/3",
        "folkmoot/77/flights/departures/3",
        "Folkmoot/" MESH_HEX "/flights/departures/3",
        "folkmoot/AA77777777777777777777777777777777777777777777777777777777777777"
        "/flights/departures/3",
    };

    for (size_t i = 0; i < sizeof origins / sizeof origins[0]; i++) {
        struct fm_mesh_id mesh;
        char domain[FM_NAME_MAX + 1], table[FM_NAME_MAX + 1];
        uint32_t epoch = 0;
        assert_int_equal(fm_head_origin_parse(origins[i], &mesh, domain, table, &epoch),
                         FM_MALFORMED);
    }
}

/* ---- Heads --------------------------------------------------------------------------------- */

static void a_head_has_these_bytes(void **state)
{
    struct fixture *f = *state;

    vector_check(f->vectors, "head", fm_buf_span(&f->note));
    f->head.size = 0;
    fm_sha256(&f->head.root, NULL, 0);
    assert_int_equal(fm_head_seal(&f->head, f->key, &f->edited), FM_OK);
    vector_check(f->vectors, "head-of-empty-log", fm_buf_span(&f->edited));
}

static void a_head_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_head head;
    char origin[FM_ORIGIN_MAX];

    assert_int_equal(fm_head_peek_origin(fm_buf_span(&f->note), origin), FM_OK);
    assert_string_equal(origin, f->head.origin);
    assert_int_equal(fm_head_open(fm_buf_span(&f->note), fm_key_public(f->key), &head), FM_OK);
    assert_string_equal(head.origin, f->head.origin);
    assert_int_equal(head.size, 336776);
    assert_memory_equal(&head.root, &f->head.root, sizeof head.root);
    assert_int_equal(head.time, TEST_MESH_NOW_US);
}

static void the_largest_numbers_survive(void **state)
{
    struct fixture *f = *state;
    struct fm_head head;

    f->head.size = UINT64_MAX;
    f->head.time = INT64_MAX;
    assert_int_equal(fm_head_seal(&f->head, f->key, &f->edited), FM_OK);
    assert_int_equal(fm_head_open(fm_buf_span(&f->edited), fm_key_public(f->key), &head), FM_OK);
    assert_true(head.size == UINT64_MAX);
    assert_true(head.time == INT64_MAX);
    f->head.time = -1;
    assert_int_equal(fm_head_seal(&f->head, f->key, &f->edited), FM_INVALID);
}

static void any_changed_bit_of_a_head_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_head head;

    for (size_t bit = 0; bit < 8 * f->note.len; bit++) {
        f->note.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        assert_int_not_equal(fm_head_open(fm_buf_span(&f->note), fm_key_public(f->key), &head),
                             FM_OK);
        f->note.data[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    for (size_t len = 0; len < f->note.len; len++)
        assert_int_not_equal(fm_head_open(fm_span(f->note.data, len), fm_key_public(f->key), &head),
                             FM_OK);
}

/* A validly signed text of a checkpoint's shape that is not one. */
static void malformed_checkpoints_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char root[] = "WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=";
    static const struct {
        const char *size, *root, *rest;
        enum fm_status status;
    } cases[] = {
        {"5", root, "time 7\n", FM_OK},
        {"5", root, "time 7\nlater extension\n", FM_OK},
        {"05", root, "time 7\n", FM_MALFORMED},
        {"-5", root, "time 7\n", FM_MALFORMED},
        {"+5", root, "time 7\n", FM_MALFORMED},
        {"", root, "time 7\n", FM_MALFORMED},
        {"18446744073709551616", root, "time 7\n", FM_MALFORMED},
        {"5", "WlpaWlo=", "time 7\n", FM_MALFORMED},
        {"5", "", "time 7\n", FM_MALFORMED},
        {"5", root, "", FM_MALFORMED},
        {"5", root, "time 07\n", FM_MALFORMED},
        {"5", root, "time -7\n", FM_MALFORMED},
        {"5", root, "time 9223372036854775808\n", FM_MALFORMED},
        {"5", root, "Time 7\n", FM_MALFORMED},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_buf text = FM_BUF_INIT(0);
        struct fm_head head;

        fm_buf_printf(&text, "o\n%s\n%s\n%s", cases[i].size, cases[i].root, cases[i].rest);
        fm_buf_clear(&f->edited);
        assert_int_equal(fm_note_seal(fm_buf_span(&text), "o", f->key, &f->edited), FM_OK);
        assert_int_equal(fm_head_open(fm_buf_span(&f->edited), fm_key_public(f->key), &head),
                         cases[i].status);
        fm_buf_free(&text);
    }
}

/* The name under which a head is signed is its own first line: another log's head cannot be
 * passed off by naming it in the signature line. */
static void a_head_signed_under_another_name_is_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_head head;
    const uint8_t *end = memmem(f->note.data, f->note.len, "\n\n", 2);

    assert_non_null(end);
    struct fm_span text = fm_span(f->note.data, (size_t)(end - f->note.data) + 1);

    assert_int_equal(fm_note_seal(text, "another-name", f->key, &f->edited), FM_OK);
    assert_int_equal(fm_head_open(fm_buf_span(&f->edited), fm_key_public(f->key), &head),
                     FM_FORGED);
}

#define WITH_HEAD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_HEAD(the_published_note_is_made_byte_for_byte),
        WITH_HEAD(the_published_note_verifies),
        WITH_HEAD(malformed_notes_are_refused),
        WITH_HEAD(signatures_of_others_are_ignored),
        WITH_HEAD(a_false_signature_beside_a_true_one_is_refused),
        WITH_HEAD(sealing_refuses_what_could_not_be_opened),
        WITH_HEAD(an_origin_gives_its_parts_back),
        WITH_HEAD(the_longest_origin_fits),
        WITH_HEAD(other_origins_are_refused),
        WITH_HEAD(a_head_has_these_bytes),
        WITH_HEAD(a_head_gives_its_fields_back),
        WITH_HEAD(the_largest_numbers_survive),
        WITH_HEAD(any_changed_bit_of_a_head_is_refused),
        WITH_HEAD(malformed_checkpoints_are_refused),
        WITH_HEAD(a_head_signed_under_another_name_is_refused),
    };
    return cmocka_run_group_tests_name("note", tests, NULL, NULL);
}
