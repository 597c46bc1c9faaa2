/* Verifying an answer: the honest one passes, whole, partial or empty; nothing that was
 * changed or cut passes. */
#include "core/records.h"
#include "tests/support/verify_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* ---- Honest answers ------------------------------------------------------------------------ */

static void an_honest_answer_verifies(void **state)
{
    struct verify_fixture *f = *state;

    if (verify_sealed(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_string_equal(f->verified.principal.name, "alice");
    assert_string_equal(f->verified.node.name, "asked");
    assert_true(fm_span_equal(f->verified.sql, fm_span_str(f->b->sql)));
    assert_int_equal(f->verified.request.limit_ms, 60000);
    assert_int_equal(f->verified.answer.fragment_count, 2);
    assert_int_equal(f->verified.answer.completeness, FM_COMPLETE);
    assert_int_equal(f->verified.receipts[0].rows, 30);
    assert_memory_equal(&f->verified.receipts[1].owner, &f->b->mesh->nodes[0].node, 16);
}

static void an_honest_answer_passed_on_verifies(void **state)
{
    struct verify_fixture *f = *state;

    test_bundle_pass_on(f->b);
    if (verify_sealed(f) != FM_OK)
        fail_msg("%s", f->err.text);
    assert_int_equal(f->verified.answer.origin, FM_ROWS_OF_FRAGMENT);
}

/* Fragment 7 of the crew's owner did not come. */
static void make_partial(struct test_bundle *b)
{
    b->answer.completeness = FM_PARTIAL;
    b->answer.missing_count = 1;
    b->answer.missing[0] = (struct fm_answer_missing){
        .number = 7,
        .domain = "crew",
        .owner = b->mesh->nodes[1].node,
        .owner_name = "n1",
        .state = FM_FRAGMENT_CUT_OFF,
        .rows = 12,
        .reason = fm_span_str("the link broke"),
    };
}

/* An answer with something missing is no lie where the asker allowed it: it says so, and whoever
 * prints it can. */
static void a_partial_answer_verifies_and_says_so(void **state)
{
    struct verify_fixture *f = *state;

    f->b->asked.on_unavailable = FM_UNAVAILABLE_SKIP;
    f->b->stage = STAGE_ANSWER;
    f->b->tamper = make_partial;
    assert_int_equal(verify_sealed(f), FM_OK);
    assert_int_equal(f->verified.answer.completeness, FM_PARTIAL);
    assert_int_equal(f->verified.answer.missing_count, 1);
    assert_int_equal(f->verified.answer.missing[0].state, FM_FRAGMENT_CUT_OFF);
    assert_int_equal(f->verified.answer.missing[0].rows, 12);
}

static void a_partial_answer_that_nobody_allowed_is_refused(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_ANSWER;
    f->b->tamper = make_partial;
    assert_int_equal(verify_sealed(f), FM_FORGED);
    assert_non_null(strstr(f->err.text, "which was not allowed"));
}

static void miss_what_is_there(struct test_bundle *b)
{
    make_partial(b);
    b->answer.missing[0].number = b->tickets[1].number;
}

static void a_fragment_is_not_both_there_and_missing(void **state)
{
    struct verify_fixture *f = *state;

    f->b->asked.on_unavailable = FM_UNAVAILABLE_SKIP;
    f->b->stage = STAGE_ANSWER;
    f->b->tamper = miss_what_is_there;
    assert_int_equal(verify_sealed(f), FM_FORGED);
    assert_non_null(strstr(f->err.text, "said to be missing"));
}

static void say_own(struct test_bundle *b)
{
    b->answer.own_count = 1;
    b->answer.own[0] = (struct fm_answer_own){.number = 9, .table = "receipts", .rows = 4};
}

static void say_own_of_a_receipt(struct test_bundle *b)
{
    say_own(b);
    b->answer.own[0].number = b->tickets[1].number;
}

static void say_own_and_missing(struct test_bundle *b)
{
    make_partial(b);
    say_own(b);
    b->answer.own[0].number = b->answer.missing[0].number;
}

/* What the asked node says by itself is nobody else's part. */
static void the_asked_nodes_own_word_is_shown_as_that(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_ANSWER;
    f->b->tamper = say_own;
    assert_int_equal(verify_sealed(f), FM_OK);
    assert_int_equal(f->verified.answer.own_count, 1);
    assert_string_equal(f->verified.answer.own[0].table, "receipts");
}

static void the_asked_nodes_own_word_has_no_receipt(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_ANSWER;
    f->b->tamper = say_own_of_a_receipt;
    assert_int_equal(verify_sealed(f), FM_FORGED);
    assert_non_null(strstr(f->err.text, "the asked node's own, and another's"));
}

static void the_asked_nodes_own_word_is_not_missing(void **state)
{
    struct verify_fixture *f = *state;

    f->b->asked.on_unavailable = FM_UNAVAILABLE_SKIP;
    f->b->stage = STAGE_ANSWER;
    f->b->tamper = say_own_and_missing;
    assert_int_equal(verify_sealed(f), FM_FORGED);
    assert_non_null(strstr(f->err.text, "the asked node's own, and another's"));
}

static void read_history(struct test_bundle *b)
{
    memcpy(b->tables[0].table, "departures$facts", 17);
}

/* The whole history of a table is proved by the table's own log. */
static void a_history_has_the_head_of_its_table(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_FRAGMENTS;
    f->b->tamper = read_history;
    assert_int_equal(verify_sealed(f), FM_OK);
}

static void empty_result(struct test_bundle *b)
{
    b->answer.rows = b->answer.bytes = b->answer.batches = 0;
    fm_sha256(&b->answer.root, NULL, 0);
}

static void an_answer_without_rows_verifies(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_ANSWER;
    f->b->tamper = empty_result;
    assert_int_equal(test_bundle_seal(f->b), FM_OK);
    f->b->input.batches = NULL;
    f->b->input.batch_count = f->b->input.rows = f->b->input.bytes = 0;
    assert_int_equal(verify_as_it_is(f), FM_OK);
}

/* ---- What was changed or cut ----------------------------------------------------------------- */

static void one_fragment(struct test_bundle *b)
{
    b->answer.fragment_count = 1;
    b->answer.fragments[0] = b->answer.fragments[1];
}

/* A certificate that nothing in the answer needs could be changed unseen. */
static void a_certificate_without_a_part_is_refused(void **state)
{
    struct verify_fixture *f = *state;

    f->b->stage = STAGE_ANSWER;
    f->b->tamper = one_fragment;
    assert_int_equal(test_bundle_seal(f->b), FM_OK);
    f->b->bundle.tickets[0] = f->b->bundle.tickets[1];
    f->b->bundle.receipts[0] = f->b->bundle.receipts[1];
    fm_buf_clear(&f->b->bundle_bytes);
    fm_bundle_encode(&f->b->bundle_bytes, &f->b->bundle);
    f->b->input.bundle = fm_buf_span(&f->b->bundle_bytes);
    verify_assert_refused(f->b, "unused", "a certificate of node b1b1b1b1, which took no part");
}

/* The trust anchor is the caller's: the same bundle means nothing under another charter. */
static void another_charter_verifies_nothing(void **state)
{
    struct verify_fixture *f = *state;
    struct fm_charter other = f->b->mesh->charter;

    assert_int_equal(test_bundle_seal(f->b), FM_OK);
    other.mesh.bytes[0] ^= 1;
    f->b->input.charter = &other;
    verify_assert_refused(f->b, "other mesh", "0 authority keys of the charter signed it");
    other = f->b->mesh->charter;
    other.authority[0] = other.authority[2];
    verify_assert_refused(f->b, "other authority", "authority keys of the charter signed it");
}

/* Not one byte of a bundle may be another, whatever the change is. */
static void no_changed_byte_is_accepted(void **state)
{
    struct verify_fixture *f = *state;
    uint64_t random = 1;

    assert_int_equal(test_bundle_seal(f->b), FM_OK);
    uint8_t *bytes = f->b->bundle_bytes.data;
    for (size_t i = 0; i < f->b->bundle_bytes.len; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint8_t change = (uint8_t)(1u << (random >> 61));
        bytes[i] ^= change;
        if (verify_as_it_is(f) == FM_OK)
            fail_msg("byte %zu ^ %u was accepted", i, change);
        bytes[i] ^= change;
    }
    assert_int_equal(verify_as_it_is(f), FM_OK);
}

static void a_cut_bundle_is_malformed(void **state)
{
    struct verify_fixture *f = *state;

    assert_int_equal(test_bundle_seal(f->b), FM_OK);
    while (f->b->input.bundle.len > 0) {
        f->b->input.bundle.len--;
        assert_int_equal(verify_as_it_is(f), FM_MALFORMED);
    }
    assert_non_null(strstr(f->err.text, "the bundle does not decode"));
}

#define WITH_BUNDLE(test) cmocka_unit_test_setup_teardown(test, verify_setup, verify_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BUNDLE(an_honest_answer_verifies),
        WITH_BUNDLE(an_honest_answer_passed_on_verifies),
        WITH_BUNDLE(a_partial_answer_verifies_and_says_so),
        WITH_BUNDLE(a_partial_answer_that_nobody_allowed_is_refused),
        WITH_BUNDLE(a_fragment_is_not_both_there_and_missing),
        WITH_BUNDLE(the_asked_nodes_own_word_is_shown_as_that),
        WITH_BUNDLE(the_asked_nodes_own_word_has_no_receipt),
        WITH_BUNDLE(the_asked_nodes_own_word_is_not_missing),
        WITH_BUNDLE(a_history_has_the_head_of_its_table),
        WITH_BUNDLE(an_answer_without_rows_verifies),
        WITH_BUNDLE(a_certificate_without_a_part_is_refused),
        WITH_BUNDLE(another_charter_verifies_nothing),
        WITH_BUNDLE(no_changed_byte_is_accepted),
        WITH_BUNDLE(a_cut_bundle_is_malformed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
