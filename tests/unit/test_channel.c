/* The messages between host and worker: what is written is read back, anything else is refused. */
#include "query/channel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void headers_are_checked(void **state)
{
    (void)state;
    uint8_t bytes[CHANNEL_HEADER_BYTES];
    struct channel_frame frame = {CHANNEL_RUN, 10, 3}, out;

    channel_header_encode(&frame, bytes);
    assert_int_equal(channel_header_decode(bytes, &out), FM_OK);
    assert_int_equal(out.kind, CHANNEL_RUN);
    assert_int_equal(out.bytes, 10);
    bytes[0] ^= 1; /* Magic. */
    assert_int_equal(channel_header_decode(bytes, &out), FM_MALFORMED);
    bytes[0] ^= 1;
    bytes[5] = 1; /* Kind. */
    assert_int_equal(channel_header_decode(bytes, &out), FM_MALFORMED);
    bytes[5] = 0;
    bytes[6] = 1; /* Reserved. */
    assert_int_equal(channel_header_decode(bytes, &out), FM_MALFORMED);
    bytes[6] = 0;
    fm_store32(bytes + 8, CHANNEL_PAYLOAD_MAX + 1);
    assert_int_equal(channel_header_decode(bytes, &out), FM_LIMIT);
}

static void errors_are_text(void **state)
{
    (void)state;
    struct fm_error err;
    struct channel_frame frame = {CHANNEL_ERROR, 0, FM_LIMIT};
    char text[2000];

    assert_int_equal(channel_error_decode(&frame, fm_span_str("too much"), &err), FM_LIMIT);
    assert_string_equal(err.text, "too much");
    frame.number = FM_OK; /* No error says that. */
    assert_int_equal(channel_error_decode(&frame, fm_span_str("x"), &err), FM_INTERNAL);
    frame.number = 4711;
    assert_int_equal(channel_error_decode(&frame, fm_span_str("x"), &err), FM_INTERNAL);
    frame.number = FM_INVALID;
    assert_int_equal(channel_error_decode(&frame, fm_span_str("\xff\xfe"), &err), FM_INTERNAL);
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i + 1 < sizeof text; i += 2) /* "é", cut somewhere. */
        memcpy(text + i, "\xc3\xa9", 2);
    assert_int_equal(channel_error_decode(&frame, fm_span(text, sizeof text), &err), FM_INVALID);
    assert_true(fm_utf8_valid(fm_span_str(err.text)));
}

/* ---- Slots ----------------------------------------------------------------------------------- */

static const uint32_t dictionary_offsets[] = {0, 1, 3};

static void fill_slot(struct channel_slot *slot, struct fm_column columns[2])
{
    static uint32_t supplied[] = {1, 0};
    static uint64_t arenas[] = {4096, 100000};
    static uint32_t rows[] = {10, 20};
    static bool selected[] = {false, true};
    static struct channel_column_at selections[] = {{0, 0}, {1, 99992}}; /* 20 rows: one word. */
    static uint64_t left_out[] = {0, 1};                                 /* 20 rows: one block. */
    static struct channel_column_at cells[] = {{0, 0}, {1, 8}, {1, 4096}, {0, 64}};

    memset(columns, 0, 2 * sizeof *columns);
    memcpy(columns[0].name, "id", 3);
    columns[0].type.kind = FM_KIND_INT64;
    memcpy(columns[1].name, "origin", 7);
    columns[1].type.kind = FM_KIND_VARCHAR;
    columns[1].as_text = true;
    columns[1].dictionary = (struct fm_dictionary){2, dictionary_offsets, (const uint8_t *)"abc"};
    *slot = (struct channel_slot){.columns = {2, columns, NULL},
                                  .rows = 30,
                                  .has_source = true,
                                  .supplied_count = 2,
                                  .supplied = supplied,
                                  .arena_count = 2,
                                  .arena_bytes = arenas,
                                  .segment_count = 2,
                                  .segment_rows = rows,
                                  .segment_selected = selected,
                                  .segment_selections = selections,
                                  .segment_left_out = left_out,
                                  .segment_columns = cells};
}

static void slots_come_back(void **state)
{
    (void)state;
    struct fm_column columns[2];
    struct channel_slot slot, out;
    struct fm_buf bytes = FM_BUF_INIT(0);

    fill_slot(&slot, columns);
    assert_int_equal(channel_slot_encode(&bytes, &slot), FM_OK);
    struct fm_cursor in = fm_cursor(fm_buf_span(&bytes));
    assert_int_equal(channel_slot_decode(&in, &out), FM_OK);
    assert_int_equal(fm_cursor_left(&in), 0);
    assert_string_equal(out.columns.items[1].name, "origin");
    assert_true(out.columns.items[1].as_text);
    assert_int_equal(out.columns.items[1].dictionary.count, 2);
    assert_true(
        fm_span_equal(fm_dictionary_at(&out.columns.items[1].dictionary, 1), fm_span_str("bc")));
    assert_int_equal(out.supplied[0], 1);
    assert_int_equal(out.segment_columns[2].offset, 4096);
    assert_int_equal(out.segment_left_out[0], 0);
    assert_int_equal(out.segment_left_out[1], 1);
    assert_false(out.segment_selected[0]);
    assert_true(out.segment_selected[1]);
    assert_int_equal(out.segment_selections[1].arena, 1);
    assert_int_equal(out.segment_selections[1].offset, 99992);
    assert_true(out.has_source);
    channel_slot_deinit(&out);
    /* Cut anywhere, it is refused. */
    for (size_t len = 0; len < bytes.len; len++) {
        in = fm_cursor(fm_span(bytes.data, len));
        assert_int_equal(channel_slot_decode(&in, &out), FM_MALFORMED);
    }
    fm_buf_free(&bytes);
}

static void expect_bad_slot(const struct channel_slot *slot)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct channel_slot out;

    assert_int_equal(channel_slot_encode(&bytes, slot), FM_OK);
    struct fm_cursor in = fm_cursor(fm_buf_span(&bytes));
    assert_int_equal(channel_slot_decode(&in, &out), FM_MALFORMED);
    fm_buf_free(&bytes);
}

static void slots_are_checked(void **state)
{
    (void)state;
    struct fm_column columns[2];
    struct channel_slot slot;
    uint32_t twice[] = {1, 1}, outside[] = {0, 2}, rows[] = {10, FM_SEGMENT_ROWS + 1};
    struct channel_column_at cells[] = {{0, 0}, {1, 8}, {1, 4096}, {2, 64}};

    fill_slot(&slot, columns);
    slot.supplied = twice;
    expect_bad_slot(&slot);
    slot.supplied = outside;
    expect_bad_slot(&slot);
    fill_slot(&slot, columns);
    slot.segment_rows = rows;
    expect_bad_slot(&slot);
    fill_slot(&slot, columns);
    slot.segment_columns = cells; /* Arena 2 of 2. */
    expect_bad_slot(&slot);
    cells[3] = (struct channel_column_at){0, 4096 - 16}; /* No room for a header. */
    expect_bad_slot(&slot);
    cells[3] = (struct channel_column_at){0, 12}; /* Not aligned. */
    expect_bad_slot(&slot);
    fill_slot(&slot, columns);
    struct channel_column_at selections[] = {{0, 0}, {1, 100000}};
    slot.segment_selections = selections; /* No room for a word. */
    expect_bad_slot(&slot);
    selections[1] = (struct channel_column_at){2, 0}; /* Arena 2 of 2. */
    expect_bad_slot(&slot);
    fill_slot(&slot, columns);
    uint64_t left_out[] = {0, 2}; /* Block 1 of 1. */
    slot.segment_left_out = left_out;
    expect_bad_slot(&slot);
    fill_slot(&slot, columns);
    columns[0].dictionary = columns[1].dictionary; /* Of an integer. */
    expect_bad_slot(&slot);
}

static void greetings_are_checked(void **state)
{
    (void)state;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct channel_hello hello = {2, 1000, 7, "/some/where"}, out = {0};

    channel_hello_encode(&bytes, &hello);
    assert_int_equal(channel_hello_decode(fm_buf_span(&bytes), &out), FM_OK);
    assert_int_equal(out.threads, 2);
    assert_int_equal(out.spill_bytes, 7);
    assert_string_equal(out.spill_dir, "/some/where");
    assert_int_equal(channel_hello_decode(fm_span(bytes.data, bytes.len - 1), &out), FM_MALFORMED);
    fm_buf_put_u8(&bytes, 0);
    assert_int_equal(channel_hello_decode(fm_buf_span(&bytes), &out), FM_MALFORMED);
    fm_buf_clear(&bytes);
    hello.threads = 65;
    channel_hello_encode(&bytes, &hello);
    assert_int_equal(channel_hello_decode(fm_buf_span(&bytes), &out), FM_MALFORMED);
    fm_buf_free(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_checked),   cmocka_unit_test(errors_are_text),
        cmocka_unit_test(slots_come_back),       cmocka_unit_test(slots_are_checked),
        cmocka_unit_test(greetings_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
