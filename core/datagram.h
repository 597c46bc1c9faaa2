/* Sealing of gossip datagrams with the mesh's gossip key (design.md section 6, trust.md 3.6):
 *   u8 version 1, u8 key id (first byte of the gossip key's id), sender's node id (16), u64 boot
 *   epoch, u64 counter: the 34-byte header, authenticated; then 24 random bytes of nonce, then
 *   XChaCha20-Poly1305 of the packet.
 * The receiver keeps a window of 1,024 counters per (sender, boot epoch) and refuses an older
 * epoch, so a packet recorded before is dropped, also after a restart of its sender. State is kept
 * only for senders whose packet opened, at most `sender_max`.
 * Threads: one per object. Time and randomness come from the caller. */
#ifndef FM_CORE_DATAGRAM_H
#define FM_CORE_DATAGRAM_H

#include "core/cert.h"

struct fm_datagrams;

struct fm_datagrams_options {
    const struct fm_key *gossip_key; /* Borrowed. */
    struct fm_node_id self;
    uint64_t boot_epoch; /* Greater than at any earlier start; stored before the first send. */
    uint32_t sender_max;
};

FM_MUST_USE enum fm_status fm_datagrams_new(const struct fm_datagrams_options *options,
                                            struct fm_datagrams **out);
void fm_datagrams_free(struct fm_datagrams *datagrams);
FM_DEFINE_FREEP(fm_datagrams_freep, struct fm_datagrams, fm_datagrams_free)

FM_MUST_USE enum fm_status fm_datagram_seal(struct fm_datagrams *datagrams, const uint8_t nonce[24],
                                            struct fm_span packet, struct fm_buf *out);
/* FM_MALFORMED, FM_FORGED (also replays), FM_LIMIT (too many senders). */
FM_MUST_USE enum fm_status fm_datagram_open(struct fm_datagrams *datagrams, struct fm_span bytes,
                                            struct fm_node_id *sender, struct fm_buf *packet);

#endif
