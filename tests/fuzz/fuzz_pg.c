/* What a PostgreSQL client may send. The first byte chooses: even, from the first packet on; odd,
 * messages of a session that has logged in. The rest is a stream of packets and messages. */
#include "node/pg/session.h"

#include "core/assert.h"
#include "core/limits.h"
#include "tests/support/pg_backend.h"

#define SENT_MAX (32u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Startup packets until a session begins. False: the connection would be closed. */
static bool start(struct pg_test *test, struct fm_cursor *in)
{
    while (fm_cursor_left(in) >= 4) {
        struct fm_pg_startup startup;
        struct fm_error err;
        struct fm_span packet;
        uint32_t length = 0;
        if (fm_pg_startup_length(in->at, &length, &err) != FM_OK ||
            fm_take_bytes(in, length, &packet) != FM_OK ||
            fm_pg_startup_read(packet, &startup, &err) != FM_OK || startup.kind == FM_PG_CANCEL)
            return false;
        if (startup.kind == FM_PG_STARTUP)
            return fm_pg_session_start(test->session, &startup) == FM_OK;
    }
    return false;
}

static void serve(struct pg_test *test, struct fm_cursor *in)
{
    enum fm_pg_frontend type = FM_PG_SYNC;
    struct fm_error err;
    struct fm_span body;
    uint32_t length = 0;

    while (fm_cursor_left(in) >= FM_PG_HEADER_BYTES && test->sent.len < SENT_MAX) {
        if (fm_pg_message_length(in->at, &type, &length, &err) != FM_OK)
            return;
        in->at += FM_PG_HEADER_BYTES;
        if (fm_take_bytes(in, length, &body) != FM_OK || pg_test_message(test, type, body) != FM_OK)
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FM_AUTO(fm_buf_free) struct fm_buf trace = FM_BUF_INIT(0);
    struct pg_test *test = pg_test_new();
    struct fm_cursor in = fm_cursor(fm_span(data, size));
    uint8_t choice = 0;

    fm_assert(test != NULL);
    if (fm_take_u8(&in, &choice) == FM_OK) {
        bool is_started = choice % 2 == 0 ? start(test, &in) : pg_test_login(test) == FM_OK;
        if (is_started)
            serve(test, &in);
        fm_assert(fm_buf_status(fm_pg_session_out(test->session)) == FM_OK);
        fm_assert(test->open <= FM_PG_PORTALS_MAX);
        bool is_full = test->sent.len >= SENT_MAX;
        fm_assert(pg_test_trace(test, &trace) || is_full); /* What it sent are whole messages. */
    }
    pg_test_free(test);
    return 0;
}
