/* Payloads and headers that a worker could send, and slots as a worker decodes them. The first byte
 * chooses. What decodes must encode to something that decodes again. */
#include "query/channel.h"

#include "core/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_columns(struct fm_span bytes)
{
    FM_AUTO(fm_columns_deinit) struct fm_columns first = {0};
    FM_AUTO(fm_columns_deinit) struct fm_columns second = {0};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);
    struct fm_cursor in = fm_cursor(bytes);

    if (channel_columns_decode(&in, &first) != FM_OK)
        return;
    fm_assert(channel_columns_encode(&again, &first) == FM_OK);
    in = fm_cursor(fm_buf_span(&again));
    fm_assert(channel_columns_decode(&in, &second) == FM_OK);
    fm_assert(first.count == second.count);
}

static void try_slot(struct fm_span bytes)
{
    FM_AUTO(channel_slot_deinit) struct channel_slot first = {0};
    FM_AUTO(channel_slot_deinit) struct channel_slot second = {0};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);
    struct fm_cursor in = fm_cursor(bytes);

    if (channel_slot_decode(&in, &first) != FM_OK)
        return;
    fm_assert(channel_slot_encode(&again, &first) == FM_OK);
    in = fm_cursor(fm_buf_span(&again));
    fm_assert(channel_slot_decode(&in, &second) == FM_OK);
    fm_assert(first.segment_count == second.segment_count);
}

static void try_header(struct fm_span bytes)
{
    uint8_t header[CHANNEL_HEADER_BYTES], again[CHANNEL_HEADER_BYTES];
    struct channel_frame frame;
    struct fm_error err;

    if (bytes.len < sizeof header)
        return;
    memcpy(header, bytes.data, sizeof header);
    struct fm_span rest = fm_span(bytes.data + sizeof header, bytes.len - sizeof header);
    if (channel_header_decode(header, &frame) != FM_OK)
        return;
    channel_header_encode(&frame, again);
    fm_assert(memcmp(header, again, sizeof header) == 0);
    fm_assert(channel_error_decode(&frame, rest, &err) != FM_OK);
    fm_assert(fm_utf8_valid(fm_span_str(err.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct channel_hello hello;

    if (size == 0)
        return 0;
    struct fm_span rest = fm_span(data + 1, size - 1);
    switch (data[0] % 4) {
    case 0:
        try_columns(rest);
        break;
    case 1:
        try_slot(rest);
        break;
    case 2:
        try_header(rest);
        break;
    default:
        if (channel_hello_decode(rest, &hello) == FM_OK)
            fm_assert(hello.threads > 0);
    }
    return 0;
}
