#include "tests/support/verify_fixture.h"

#include "core/cert_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int verify_setup(void **state)
{
    struct verify_fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->b = test_bundle_new();
    *state = f;
    return f->b != NULL ? 0 : -1;
}

int verify_teardown(void **state)
{
    struct verify_fixture *f = *state;

    test_bundle_free(f->b);
    fm_verified_deinit(&f->verified);
    free(f);
    return 0;
}

enum fm_status verify_as_it_is(struct verify_fixture *f)
{
    fm_verified_deinit(&f->verified);
    return fm_verify_answer(&f->b->input, &f->verified, &f->err);
}

enum fm_status verify_sealed(struct verify_fixture *f)
{
    assert_int_equal(test_bundle_seal(f->b), FM_OK);
    return verify_as_it_is(f);
}

static void verify_assert_input_refused(const struct fm_verify_input *input, const char *name,
                                        const char *reason)
{
    static struct fm_verified verified; /* Large; nothing may be written to it. */
    struct fm_error err = {0};

    enum fm_status status = fm_verify_answer(input, &verified, &err);
    if (status != FM_FORGED)
        fail_msg("%s: %s", name, fm_status_text(status));
    if (strstr(err.text, reason) == NULL)
        fail_msg("%s: '%s' does not say '%s'", name, err.text, reason);
    assert_int_equal(verified.answer.fragment_count, 0);
}

void verify_assert_refused(const struct test_bundle *b, const char *name, const char *reason)
{
    verify_assert_input_refused(&b->input, name, reason);
}

void verify_assert_refused_with_more(const struct test_bundle *b, const char *name,
                                     const char *reason)
{
    struct test_bundle *honest = test_bundle_new();
    struct fm_verify_input input = b->input;
    struct fm_verified verified = {.receipts = NULL};
    struct fm_error err = {0};

    assert_non_null(honest);
    assert_int_equal(test_bundle_seal(honest), FM_OK);
    assert_int_equal(fm_cert_cache_new(&b->mesh->charter, 8, &input.certs), FM_OK);
    honest->input.certs = input.certs;
    honest->input.own_request = input.own_request = fm_buf_span(&honest->request_bytes);
    if (fm_verify_answer(&honest->input, &verified, &err) != FM_OK)
        fail_msg("%s, without the lie: %s", name, err.text);
    verify_assert_input_refused(&input, name, reason);
    fm_verified_deinit(&verified);
    fm_cert_cache_free(input.certs);
    test_bundle_free(honest);
}
