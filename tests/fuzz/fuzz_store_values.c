/* Stored values of a hostile writer: the first byte chooses the kind
 * (tests/support/storage_examples.h), the rest is the value without its checksum, which is added.
 * What decodes encodes to the same. */
#include "core/assert.h"
#include "storage/crc.h"
#include "tests/support/storage_examples.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_sealed(unsigned kind)
{
    return kind != STORAGE_EXAMPLE_index && kind != STORAGE_EXAMPLE_slot;
}

static void repair_slot(struct fm_buf *value)
{
    struct fm_hash sum;

    if (value->len != SLOT_BYTES)
        return;
    fm_sha256_one(&sum, fm_span(value->data, SLOT_BYTES - 32));
    memcpy(value->data + SLOT_BYTES - 32, sum.bytes, 32);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf third = FM_BUF_INIT(0);
    unsigned kind;

    if (size < 1)
        return 0;
    kind = data[0] % 20;
    fm_buf_put(&value, data + 1, size - 1);
    if (is_sealed(kind))
        value_seal(&value, 0);
    else if (kind == STORAGE_EXAMPLE_slot)
        repair_slot(&value);
    fm_assert(fm_buf_status(&value) == FM_OK);
    if (storage_decode(kind, fm_buf_span(&value), &again) != FM_OK)
        return 0;
    /* Once encoded by us, it has one form. */
    fm_assert(storage_decode(kind, fm_buf_span(&again), &third) == FM_OK);
    fm_assert(fm_span_equal(fm_buf_span(&again), fm_buf_span(&third)));
    return 0;
}
