/* Bodies of records and messages. The first byte chooses the decoder. What decodes is encoded
 * again, and that form decodes and encodes to itself: nothing is lost or made up between them. */
#include "core/records.h"

#include "core/assert.h"
#include "core/statistics.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Decode `in` and append its encoding to `out`; false when it does not decode. */
typedef bool again_fn(struct fm_span in, struct fm_buf *out);

#define AGAIN(record)                                                                              \
    static bool again_##record(struct fm_span in, struct fm_buf *out)                              \
    {                                                                                              \
        struct fm_##record value;                                                                  \
        if (fm_##record##_decode(in, &value) != FM_OK)                                             \
            return false;                                                                          \
        fm_##record##_encode(out, &value);                                                         \
        return true;                                                                               \
    }

#define AGAIN_OWNED(record)                                                                        \
    static bool again_##record(struct fm_span in, struct fm_buf *out)                              \
    {                                                                                              \
        struct fm_##record value;                                                                  \
        if (fm_##record##_decode(in, &value) != FM_OK)                                             \
            return false;                                                                          \
        fm_##record##_encode(out, &value);                                                         \
        fm_##record##_deinit(&value);                                                              \
        return true;                                                                               \
    }

/* clang-format off */
AGAIN(request)
AGAIN(query_body)
AGAIN_OWNED(columns)
AGAIN_OWNED(fragment)
AGAIN(ticket)
AGAIN(receipt)
AGAIN(answer)
AGAIN(bundle)
AGAIN(contract)
AGAIN(member_record)
AGAIN(call)
AGAIN(reply)
AGAIN(fetch)
AGAIN(part)
AGAIN(append_begin)
AGAIN(append_rows)
AGAIN(append_commit)
AGAIN(append_ack)
AGAIN_OWNED(statistics)
AGAIN(opened)
/* clang-format on */

static again_fn *const decoders[] = {
    again_request,     again_query_body,    again_columns,    again_fragment,   again_ticket,
    again_receipt,     again_answer,        again_bundle,     again_contract,   again_member_record,
    again_call,        again_reply,         again_fetch,      again_part,       again_append_begin,
    again_append_rows, again_append_commit, again_append_ack, again_statistics, again_opened,
};
#define DECODER_COUNT (sizeof decoders / sizeof decoders[0])

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FM_AUTO(fm_buf_free) struct fm_buf once = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf twice = FM_BUF_INIT(0);

    if (size < 1)
        return 0;
    again_fn *again = decoders[data[0] % DECODER_COUNT];
    if (!again(fm_span(data + 1, size - 1), &once))
        return 0;
    fm_assert(fm_buf_status(&once) == FM_OK);
    fm_assert(again(fm_buf_span(&once), &twice));
    fm_assert(fm_span_equal(fm_buf_span(&once), fm_buf_span(&twice)));
    return 0;
}
