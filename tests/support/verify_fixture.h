/* An answer's bundle and what verifying it gave, for the tests of that. Threads: one. */
#ifndef FM_TESTS_SUPPORT_VERIFY_FIXTURE_H
#define FM_TESTS_SUPPORT_VERIFY_FIXTURE_H

#include "tests/support/test_bundle.h"

struct verify_fixture {
    struct test_bundle *b;
    struct fm_verified verified;
    struct fm_error err;
};

int verify_setup(void **state);
int verify_teardown(void **state);
enum fm_status verify_as_it_is(struct verify_fixture *f);
/* The bundle is sealed before. */
enum fm_status verify_sealed(struct verify_fixture *f);
/* FM_FORGED, for this reason. */
void verify_assert_refused(const struct test_bundle *b, const char *name, const char *reason);
/* By a client that asked itself, and has verified what was true: nothing else passes with that. */
void verify_assert_refused_with_more(const struct test_bundle *b, const char *name,
                                     const char *reason);

#endif
