/* Envelopes of strangers: opening, verifying and counting fail by a status if at all; what opens is
 * exactly what sealing would have made of its parts. */
#include "core/envelope.h"

#include "core/assert.h"
#include "core/codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The form that nothing may differ from. */
static void encode_again(const struct fm_envelope *envelope, struct fm_buf *out)
{
    fm_pack_map(out, 3);
    fm_pack_key_uint(out, 0, envelope->type);
    fm_pack_key_bin(out, 1, envelope->body.data, envelope->body.len);
    fm_pack_uint(out, 2);
    fm_pack_array(out, envelope->signature_count);
    for (uint32_t i = 0; i < envelope->signature_count; i++) {
        fm_pack_array(out, 2);
        fm_pack_bin(out, envelope->signatures[i].key.bytes, 32);
        fm_pack_bin(out, envelope->signatures[i].bytes, 64);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);
    const struct fm_mesh_id mesh = {{0x77}};
    struct fm_public_key keys[FM_AUTHORITY_KEYS_MAX];
    struct fm_envelope envelope;

    if (fm_envelope_open(fm_span(data, size), &envelope) != FM_OK)
        return 0;
    fm_assert(envelope.signature_count >= 1 && envelope.signature_count <= FM_AUTHORITY_KEYS_MAX);
    encode_again(&envelope, &again);
    fm_assert(fm_span_equal(fm_buf_span(&again), fm_span(data, size)));
    for (uint32_t i = 0; i < envelope.signature_count; i++)
        keys[i] = envelope.signatures[i].key;
    /* Nothing in the corpus was signed for this mesh. */
    fm_assert(fm_envelope_count(&envelope, envelope.type, &mesh, keys, envelope.signature_count) ==
              0);
    fm_assert(fm_envelope_verify(&envelope, envelope.type, &mesh, &keys[0]) == FM_FORGED);
    return 0;
}
