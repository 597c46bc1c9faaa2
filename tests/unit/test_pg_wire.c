/* Messages of PostgreSQL clients: their lengths are bounded before a byte of them is kept, and what
 * is no message is an error. */
#include "node/pg/wire.h"

#include "core/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static enum fm_status length_of(char type, uint32_t told)
{
    uint8_t header[] = {(uint8_t)type, (uint8_t)(told >> 24), (uint8_t)(told >> 16),
                        (uint8_t)(told >> 8), (uint8_t)told};
    enum fm_pg_frontend kind;
    struct fm_error err;
    uint32_t length = 0;

    enum fm_status status = fm_pg_message_length(header, &kind, &length, &err);
    if (status == FM_OK) {
        assert_int_equal(kind, type);
        assert_int_equal(length, told - 4);
    }
    return status;
}

static void lengths_are_bounded_by_type(void **state)
{
    static const struct {
        char type;
        uint32_t max;
    } types[] = {
        {'Q', FM_PG_SQL_BYTES_MAX},   {'P', FM_PG_SQL_BYTES_MAX},    {'B', FM_PG_BIND_BYTES_MAX},
        {'d', FM_PG_COPY_BYTES_MAX},  {'p', FM_TOKEN_BYTES_MAX + 1}, {'D', FM_PG_SHORT_BYTES_MAX},
        {'S', FM_PG_SHORT_BYTES_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        assert_int_equal(length_of(types[i].type, 4), FM_OK);
        assert_int_equal(length_of(types[i].type, types[i].max + 4), FM_OK);
        assert_int_equal(length_of(types[i].type, types[i].max + 5), FM_LIMIT);
        assert_int_equal(length_of(types[i].type, UINT32_MAX), FM_LIMIT);
        assert_int_equal(length_of(types[i].type, 3), FM_MALFORMED);
        assert_int_equal(length_of(types[i].type, 0), FM_MALFORMED);
    }
    assert_int_equal(length_of('G', 8), FM_MALFORMED);
    assert_int_equal(length_of('\0', 8), FM_MALFORMED);
}

static void startup_lengths_are_bounded(void **state)
{
    static const uint8_t least[] = {0, 0, 0, 8}, less[] = {0, 0, 0, 7};
    static const uint8_t most[] = {0, 0, 0x27, 0x10}, more[] = {0, 0, 0x27, 0x11};
    struct fm_error err;
    uint32_t length = 0;

    (void)state;
    assert_int_equal(fm_pg_startup_length(least, &length, &err), FM_OK);
    assert_int_equal(fm_pg_startup_length(less, &length, &err), FM_MALFORMED);
    assert_int_equal(fm_pg_startup_length(most, &length, &err), FM_OK);
    assert_int_equal(length, FM_PG_STARTUP_BYTES_MAX);
    assert_int_equal(fm_pg_startup_length(more, &length, &err), FM_LIMIT);
    assert_int_equal(fm_pg_startup_length((const uint8_t *)"GET ", &length, &err), FM_LIMIT);
}

/* A bind of one parameter of 2 bytes: every shorter piece of it is refused. */
static void a_cut_bind_is_refused(void **state)
{
    static const uint8_t body[] = {'p', 0, 's', 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 2, 7, 8, 0, 1, 0, 1};
    struct fm_pg_bind bind;
    struct fm_error err;
    struct fm_span value;
    bool is_null = true;

    (void)state;
    assert_int_equal(fm_pg_bind_read(fm_span(body, sizeof body), &bind, &err), FM_OK);
    assert_string_equal(bind.portal, "p");
    assert_string_equal(bind.statement, "s");
    fm_pg_bind_next(&bind.parameters, &is_null, &value);
    assert_false(is_null);
    assert_true(fm_span_equal(value, fm_span("\7\10", 2)));
    assert_int_equal(fm_pg_format_at(bind.result_formats, bind.result_format_count, 9),
                     FM_PG_BINARY);
    for (size_t len = 0; len < sizeof body; len++)
        assert_int_equal(fm_pg_bind_read(fm_span(body, len), &bind, &err), FM_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_are_bounded_by_type),
        cmocka_unit_test(startup_lengths_are_bounded),
        cmocka_unit_test(a_cut_bind_is_refused),
    };

    return cmocka_run_group_tests_name("pg_wire", tests, NULL, NULL);
}
