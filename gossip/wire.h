/* Every byte of a gossip packet (what a sealed datagram of core/datagram.h holds). The two tables
 * below are the specification; docs/gossip.md explains it, tests/vectors/gossip.txt has a packet of
 * each kind. Integers are little endian.
 *
 *   packet:  u8 version (1), u8 kind, u16 flags (0 when sent, ignored when received), u32 sequence,
 *            items up to the end
 *   item:    u8 kind, u16 length, body
 *
 * An unknown kind of packet is counted and ignored as a whole, an unknown kind of item is skipped
 * by its length and counted. A known item whose length or values are wrong makes the whole packet
 * FM_MALFORMED: nothing of it is applied. What the next release adds are new kinds.
 * Ownership: what is decoded borrows from the packet. Threads: none of its own. */
#ifndef FM_GOSSIP_WIRE_H
#define FM_GOSSIP_WIRE_H

#include "core/limits.h"
#include "gossip/gossip.h"

#define WIRE_VERSION 1u
#define WIRE_HEADER_BYTES 8u
#define WIRE_ITEM_HEADER_BYTES 3u
#define WIRE_ENVELOPE_BYTES_MAX 700u /* A MEMBER record: its address takes at most 279. */
#define WIRE_RECORD_KINDS_MAX 32u    /* Digests of record kinds that one packet may carry. */

/* X(NAME, id on the wire (never reused), first version) */
#define WIRE_KIND_MAP(X)                                                                           \
    X(PING, 1, 1)     /* Answered by an ACK with the same sequence. */                             \
    X(ACK, 2, 1)      /* Answer to PING or JOIN; with BEHALF passed on for a PING_REQ. */          \
    X(PING_REQ, 3, 1) /* Ping TARGET for me and pass its ACK on under my sequence. */              \
    X(JOIN, 4, 1)     /* A newcomer's MEMBER; the ACK carries as many members as fit. */           \
    X(NEWS, 5, 1)     /* Rumours only; not answered. */

enum wire_kind {
#define X(name, number, version) WIRE_##name = number,
    WIRE_KIND_MAP(X)
#undef X
};

/* X(NAME, id on the wire (never reused), first version, least and most bytes of the body)
 * DIGEST:   u64 members, u32 count, u32 verdicts, u16 quiet, then u32 for each record kind from 1.
 * TARGET:   node id.
 * BEHALF:   node id: the one that answered.
 * ACCUSE:   u8 state (2 suspect, 3 dead), accused's node id, u64 incarnation, accuser's node id.
 * MEMBER:   u8 claim (1 alive, 2 left), node id, u64 incarnation, the signed envelope or nothing.
 * RECORD:   u16 kind, writer's node id, name (16), u64 version, hash (32), u32 bytes. */
#define WIRE_ITEM_MAP(X)                                                                           \
    X(DIGEST, 1, 1, 18, 18 + 4 * WIRE_RECORD_KINDS_MAX)                                            \
    X(TARGET, 2, 1, 16, 16)                                                                        \
    X(BEHALF, 3, 1, 16, 16)                                                                        \
    X(ACCUSE, 4, 1, 41, 41)                                                                        \
    X(MEMBER, 5, 1, 25, 25 + WIRE_ENVELOPE_BYTES_MAX)                                              \
    X(RECORD, 6, 1, 78, 78)

enum wire_item_kind {
#define X(name, number, version, min, max) WIRE_ITEM_##name = number,
    WIRE_ITEM_MAP(X)
#undef X
};

#define WIRE_ACCUSE_BYTES (WIRE_ITEM_HEADER_BYTES + 41u)
#define WIRE_RECORD_BYTES (WIRE_ITEM_HEADER_BYTES + 78u)
#define WIRE_MEMBER_BYTES(envelope_bytes) (WIRE_ITEM_HEADER_BYTES + 25u + (envelope_bytes))

/* What a node knows, in few bytes. A term is the first 8 bytes, as an integer, of a SHA-256; terms
 * are summed and cut to the field's width.
 *   members:  over all signed MEMBER records: node id || u64 incarnation || u8 claim
 *   verdicts: over all members thought dead:  node id || u64 incarnation || u8 3
 *   kinds[k]: over the records of kind k + 1: writer || name || u64 version || hash */
struct wire_digest {
    uint64_t members;
    uint32_t count; /* Of MEMBER records, the own one included. */
    uint32_t verdicts;
    uint16_t quiet; /* Since the last change of members or records, in 10 ms; 65535: or longer. */
    uint32_t kind_count; /* <= WIRE_RECORD_KINDS_MAX. */
    uint32_t kinds[WIRE_RECORD_KINDS_MAX];
};

struct wire_accuse {
    enum gossip_state state; /* GOSSIP_SUSPECT or GOSSIP_DEAD. */
    struct fm_node_id accused;
    uint64_t incarnation;
    struct fm_node_id accuser;
};

struct wire_member {
    enum fm_member_claim claim;
    struct fm_node_id node;
    uint64_t incarnation;
    struct fm_span envelope; /* Empty: announced only. */
};

struct wire_record {
    uint16_t kind; /* Not 0; may be one that this release does not know. */
    struct fm_node_id writer;
    uint8_t name[16];
    uint64_t version;
    struct fm_hash hash;
    uint32_t bytes;
};

/* ---- Writing: into a packet of FM_PACKET_BYTES_MAX bytes. `put` answers false, changing nothing,
 * when the item does not fit. ---- */
struct wire_writer {
    uint8_t *data;
    size_t len;
};

void wire_begin(struct wire_writer *writer, uint8_t *data, enum wire_kind kind, uint32_t sequence);
size_t wire_room(const struct wire_writer *writer);
bool wire_put_digest(struct wire_writer *writer, const struct wire_digest *digest);
bool wire_put_node(struct wire_writer *writer, enum wire_item_kind kind,
                   const struct fm_node_id *node); /* TARGET or BEHALF. */
bool wire_put_accuse(struct wire_writer *writer, const struct wire_accuse *accuse);
bool wire_put_member(struct wire_writer *writer, const struct wire_member *member);
bool wire_put_record(struct wire_writer *writer, const struct wire_record *record);

/* ---- Reading ---- */
struct wire_packet {
    uint8_t kind; /* May be unknown. */
    uint32_t sequence;
    struct fm_span items;
    uint32_t unknown_items;
};

struct wire_item {
    uint8_t kind; /* Unknown ones are given too, with no value. */
    union {
        struct wire_digest digest;
        struct fm_node_id node; /* TARGET, BEHALF. */
        struct wire_accuse accuse;
        struct wire_member member;
        struct wire_record record;
    } value;
};

bool wire_kind_known(uint8_t kind);
/* Check the whole packet. FM_MALFORMED; FM_UNSUPPORTED: another version. The items of a packet
 * whose kind is not known are not looked at. */
FM_MUST_USE enum fm_status wire_open(struct fm_span bytes, struct wire_packet *out);
/* The next item of an opened packet; false at its end. */
bool wire_next(struct fm_cursor *cursor, struct wire_item *out);

#endif
