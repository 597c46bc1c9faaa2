/* Datagrams. The input is a list of steps; each seals a packet at one of two senders, or takes raw
 * bytes, and gives it to a receiver, perhaps changed, perhaps again. Only a packet as sealed, the
 * first time, and within the window may open. */
#include "core/datagram.h"

#include "core/assert.h"

#define SENDERS 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct fm_key *key;
    struct fm_datagrams *senders[SENDERS];
    struct fm_datagrams *receiver;
    struct fm_cursor input;
    struct fm_buf wire;
    struct fm_buf got;
};

static struct fm_datagrams *new_node(const struct fm_key *key, uint8_t id)
{
    struct fm_datagrams_options options = {
        .gossip_key = key, .self = {{id}}, .boot_epoch = 3, .sender_max = SENDERS};
    struct fm_datagrams *datagrams = NULL;

    fm_assert(fm_datagrams_new(&options, &datagrams) == FM_OK);
    return datagrams;
}

static enum fm_status receive(struct run *run, struct fm_span bytes, struct fm_node_id *sender)
{
    fm_buf_clear(&run->got);
    enum fm_status status = fm_datagram_open(run->receiver, bytes, sender, &run->got);

    fm_assert(status == FM_OK || status == FM_FORGED || status == FM_MALFORMED);
    if (status != FM_OK)
        fm_assert(run->got.len == 0);
    return status;
}

/* A sealed packet, changed at a place that the input says, then as it was, then again. */
static void honest_step(struct run *run, uint8_t which, struct fm_span bytes)
{
    static const uint8_t nonce[24] = {9};
    struct fm_node_id sender;
    uint8_t change = 0;
    uint16_t at = 0;

    fm_buf_clear(&run->wire);
    fm_assert(fm_datagram_seal(run->senders[which], nonce, bytes, &run->wire) == FM_OK);
    if (fm_take_u16(&run->input, &at) == FM_OK && fm_take_u8(&run->input, &change) == FM_OK &&
        change != 0) {
        run->wire.data[at % run->wire.len] ^= change;
        fm_assert(receive(run, fm_buf_span(&run->wire), &sender) != FM_OK);
        run->wire.data[at % run->wire.len] ^= change;
    }
    if (at % 3 == 0)
        return; /* Lost. */
    fm_assert(receive(run, fm_buf_span(&run->wire), &sender) == FM_OK);
    fm_assert(sender.bytes[0] == which + 1);
    fm_assert(fm_span_equal(fm_buf_span(&run->got), bytes));
    fm_assert(receive(run, fm_buf_span(&run->wire), &sender) == FM_FORGED);
}

/* 0 to 127: that many bytes as they are; above: sealed by one of the senders. */
static bool step(struct run *run)
{
    struct fm_node_id sender;
    struct fm_span bytes;
    uint8_t what;

    if (fm_take_u8(&run->input, &what) != FM_OK)
        return false;
    size_t left = fm_cursor_left(&run->input);
    size_t len = what % 128u < left ? what % 128u : left;
    if (fm_take_bytes(&run->input, len, &bytes) != FM_OK)
        return false;
    if (what < 128)
        fm_assert(receive(run, bytes, &sender) != FM_OK);
    else
        honest_step(run, what % SENDERS, bytes);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t secret[32] = {1};
    struct run run = {.input = fm_cursor(fm_span(data, size))};
    struct fm_node_id sender;

    fm_assert(fm_core_init(NULL) == FM_OK);
    fm_assert(fm_key_from_secret(FM_KEY_GOSSIP, secret, &run.key) == FM_OK);
    for (uint8_t i = 0; i < SENDERS; i++)
        run.senders[i] = new_node(run.key, (uint8_t)(i + 1));
    run.receiver = new_node(run.key, SENDERS + 1);
    fm_assert(receive(&run, fm_span(data, size), &sender) != FM_OK);
    while (step(&run))
        ;
    for (uint8_t i = 0; i < SENDERS; i++)
        fm_datagrams_free(run.senders[i]);
    fm_datagrams_free(run.receiver);
    fm_key_free(run.key);
    fm_buf_free(&run.wire);
    fm_buf_free(&run.got);
    return 0;
}
