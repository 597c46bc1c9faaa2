#include "core/datagram.h"

#include "core/assert.h"
#include "core/window.h"

#include <sodium.h>

#define VERSION 1u
#define TAG_BYTES crypto_aead_xchacha20poly1305_ietf_ABYTES
#define NONCE_BYTES crypto_aead_xchacha20poly1305_ietf_NPUBBYTES

enum {
    AT_VERSION = 0,
    AT_KEY = 1,
    AT_SENDER = 2,
    AT_EPOCH = 18,
    AT_COUNTER = 26,
    HEADER_BYTES = 34,
};
#define OVERHEAD_BYTES (HEADER_BYTES + NONCE_BYTES + TAG_BYTES)
_Static_assert(NONCE_BYTES == 24, "datagram.h says so");
_Static_assert(FM_PACKET_BYTES_MAX + OVERHEAD_BYTES <= FM_DATAGRAM_BYTES_MAX, "a packet must fit");
_Static_assert(FM_MEMBERS_MAX <= UINT32_MAX / 4, "slots are counted in 32 bits");

struct sender {
    struct fm_node_id node;
    uint64_t epoch;
    struct fm_window window;
};

struct fm_datagrams {
    const struct fm_key *gossip_key;
    struct fm_node_id self;
    uint64_t boot_epoch;
    uint64_t sent; /* Counter of the next datagram. */
    uint32_t sender_count;
    uint32_t sender_max;
    uint32_t slot_mask;
    uint32_t *slots;        /* Open addressing: 0 or an index into `senders`, plus one. */
    struct sender *senders; /* Never removed, so probing needs no graves. */
};

enum fm_status fm_datagrams_new(const struct fm_datagrams_options *options,
                                struct fm_datagrams **out)
{
    fm_assert(options->gossip_key != NULL);
    fm_assert(fm_key_kind(options->gossip_key) == FM_KEY_GOSSIP);
    fm_assert(options->sender_max > 0 && options->sender_max <= FM_MEMBERS_MAX);
    uint32_t slot_count = 2;
    while (slot_count < 2 * options->sender_max)
        slot_count *= 2;

    FM_AUTO(fm_datagrams_freep) struct fm_datagrams *datagrams = calloc(1, sizeof *datagrams);
    if (datagrams == NULL)
        return FM_NOMEM;
    datagrams->gossip_key = options->gossip_key;
    datagrams->self = options->self;
    datagrams->boot_epoch = options->boot_epoch;
    datagrams->sender_max = options->sender_max;
    datagrams->slot_mask = slot_count - 1;
    datagrams->slots = calloc(slot_count, sizeof *datagrams->slots);
    datagrams->senders = calloc(options->sender_max, sizeof *datagrams->senders);
    if (datagrams->slots == NULL || datagrams->senders == NULL)
        return FM_NOMEM;
    *out = FM_TAKE(datagrams);
    return FM_OK;
}

void fm_datagrams_free(struct fm_datagrams *datagrams)
{
    if (datagrams == NULL)
        return;
    free(datagrams->slots);
    free(datagrams->senders);
    free(datagrams);
}

/* The slot of a node, or the empty one where it belongs; at most half of them are taken. Collisions
 * made on purpose need the gossip key, whose holders can fill the table anyway. */
static uint32_t *find_slot(const struct fm_datagrams *datagrams, const struct fm_node_id *node)
{
    uint64_t mixed = (fm_load64(node->bytes) ^ fm_load64(node->bytes + 8) * 0x9e3779b97f4a7c15u) *
                     0x9e3779b97f4a7c15u;
    uint32_t at = (uint32_t)(mixed >> 32) & datagrams->slot_mask;

    for (uint32_t i = 0; i <= datagrams->slot_mask; i++) {
        uint32_t *slot = &datagrams->slots[at];
        if (*slot == 0)
            return slot;
        fm_assert(*slot <= datagrams->sender_count);
        if (memcmp(&datagrams->senders[*slot - 1].node, node, sizeof *node) == 0)
            return slot;
        at = (at + 1) & datagrams->slot_mask;
    }
    fm_assert(false); /* There are more slots than senders. */
}

enum fm_status fm_datagram_seal(struct fm_datagrams *datagrams, const uint8_t nonce[24],
                                struct fm_span packet, struct fm_buf *out)
{
    uint8_t key[32];

    if (packet.len > FM_PACKET_BYTES_MAX || datagrams->sent == UINT64_MAX)
        return FM_LIMIT;
    uint8_t *at = fm_buf_extend(out, OVERHEAD_BYTES + packet.len);
    if (at == NULL)
        return fm_buf_status(out);
    at[AT_VERSION] = VERSION;
    at[AT_KEY] = fm_key_public(datagrams->gossip_key)->bytes[0];
    memcpy(at + AT_SENDER, datagrams->self.bytes, sizeof datagrams->self.bytes);
    fm_store64(at + AT_EPOCH, datagrams->boot_epoch);
    fm_store64(at + AT_COUNTER, datagrams->sent++);
    memcpy(at + HEADER_BYTES, nonce, NONCE_BYTES);
    fm_key_secret(datagrams->gossip_key, key);
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(at + HEADER_BYTES + NONCE_BYTES, NULL,
                                                     packet.data, packet.len, at, HEADER_BYTES,
                                                     NULL, nonce, key); /* Always 0. */
    fm_wipe(key, sizeof key);
    return FM_OK;
}

/* Whether a header is worth decrypting: all that needs no key. */
static enum fm_status check_header(const struct fm_datagrams *datagrams, struct fm_span bytes)
{
    if (bytes.len < OVERHEAD_BYTES || bytes.len > OVERHEAD_BYTES + FM_PACKET_BYTES_MAX ||
        bytes.data[AT_VERSION] != VERSION)
        return FM_MALFORMED;
    if (bytes.data[AT_KEY] != fm_key_public(datagrams->gossip_key)->bytes[0])
        return FM_FORGED;
    /* Only this node may use its id; its own packets come back by mistake or malice. */
    if (memcmp(bytes.data + AT_SENDER, datagrams->self.bytes, sizeof datagrams->self.bytes) == 0)
        return FM_FORGED;
    return FM_OK;
}

static bool is_fresh(const struct sender *sender, uint64_t epoch, uint64_t counter)
{
    if (epoch != sender->epoch)
        return epoch > sender->epoch && counter != UINT64_MAX;
    return fm_window_is_fresh(&sender->window, counter);
}

static enum fm_status decrypt(const struct fm_datagrams *datagrams, struct fm_span bytes,
                              struct fm_buf *packet)
{
    uint8_t key[32];
    size_t start = packet->len;
    const uint8_t *nonce = bytes.data + HEADER_BYTES;
    uint8_t *at = fm_buf_extend(packet, bytes.len - OVERHEAD_BYTES);

    if (at == NULL)
        return fm_buf_status(packet);
    fm_key_secret(datagrams->gossip_key, key);
    int opened = crypto_aead_xchacha20poly1305_ietf_decrypt(at, NULL, NULL, nonce + NONCE_BYTES,
                                                            bytes.len - HEADER_BYTES - NONCE_BYTES,
                                                            bytes.data, HEADER_BYTES, nonce, key);
    fm_wipe(key, sizeof key);
    if (opened == 0)
        return FM_OK;
    packet->len = start;
    return FM_FORGED;
}

/* Only for packets that opened: strangers must not fill the table. */
static void remember(struct fm_datagrams *datagrams, uint32_t *slot, const struct fm_node_id *node,
                     uint64_t epoch, uint64_t counter)
{
    if (*slot == 0) {
        fm_assert(datagrams->sender_count < datagrams->sender_max);
        struct sender *added = &datagrams->senders[datagrams->sender_count++];
        added->node = *node;
        added->epoch = epoch;
        *slot = datagrams->sender_count;
    }
    struct sender *sender = &datagrams->senders[*slot - 1];
    if (epoch > sender->epoch) {
        sender->epoch = epoch;
        sender->window = (struct fm_window){0};
    }
    fm_assert(epoch == sender->epoch);
    fm_window_mark(&sender->window, counter);
}

enum fm_status fm_datagram_open(struct fm_datagrams *datagrams, struct fm_span bytes,
                                struct fm_node_id *sender, struct fm_buf *packet)
{
    struct fm_node_id node;
    size_t start = packet->len;
    enum fm_status status = check_header(datagrams, bytes);

    if (status != FM_OK)
        return status;
    memcpy(node.bytes, bytes.data + AT_SENDER, sizeof node.bytes);
    uint64_t epoch = fm_load64(bytes.data + AT_EPOCH);
    uint64_t counter = fm_load64(bytes.data + AT_COUNTER);
    uint32_t *slot = find_slot(datagrams, &node);
    if (*slot != 0 && !is_fresh(&datagrams->senders[*slot - 1], epoch, counter))
        return FM_FORGED;
    if (*slot == 0 && counter == UINT64_MAX)
        return FM_FORGED;
    status = decrypt(datagrams, bytes, packet);
    if (status != FM_OK)
        return status;
    if (*slot == 0 && datagrams->sender_count == datagrams->sender_max) {
        packet->len = start;
        return FM_LIMIT;
    }
    remember(datagrams, slot, &node, epoch, counter);
    *sender = node;
    return FM_OK;
}
