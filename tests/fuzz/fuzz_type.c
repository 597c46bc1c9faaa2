/* Types in both forms: the first byte says which. What is accepted keeps the rules, prints and
 * encodes, and reads back as itself. Behind a binary type a value of it may follow. */
#include "core/types.h"

#include "core/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trips(const struct fm_type *type)
{
    struct fm_buf text = {0}, bytes = {0};
    struct fm_type again;

    fm_assert(fm_type_check(type, NULL, NULL) == FM_OK);
    fm_type_print(&text, type);
    fm_assert(fm_type_parse(fm_buf_span(&text), &again, NULL) == FM_OK);
    fm_assert(fm_type_equal(type, &again));
    fm_type_deinit(&again);
    fm_type_encode(&bytes, type);
    struct fm_cursor cursor = fm_cursor(fm_buf_span(&bytes));
    fm_assert(fm_type_decode(&cursor, &again) == FM_OK);
    fm_assert(fm_cursor_left(&cursor) == 0);
    fm_assert(fm_type_equal(type, &again));
    fm_type_deinit(&again);
    fm_buf_free(&text);
    fm_buf_free(&bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fm_type type;
    struct fm_error err = {0};
    struct fm_span value;

    if (size == 0)
        return 0;
    struct fm_cursor cursor = fm_cursor(fm_span(data + 1, size - 1));
    enum fm_status status = data[0] % 2 == 0
                                ? fm_type_parse(fm_span(data + 1, size - 1), &type, &err)
                                : fm_type_decode(&cursor, &type);
    fm_assert(status == FM_OK || status == FM_MALFORMED || status == FM_LIMIT);
    if (status != FM_OK)
        return 0;
    check_round_trips(&type);
    if (data[0] % 2 != 0) {
        size_t left = fm_cursor_left(&cursor);
        status = fm_canonical_take(&type, &cursor, &value);
        fm_assert(status == FM_OK ? value.len + fm_cursor_left(&cursor) == left
                                  : fm_cursor_left(&cursor) == left);
    }
    fm_type_deinit(&type);
    return 0;
}
