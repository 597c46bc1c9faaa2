/* Membership and catalog by gossip: SWIM with suspicion and incarnations (Das, Gupta, Motivala
 * 2002), Lifeguard's refinements to come, and records that spread on the same packets. A state
 * machine without I/O: inputs carry the time, effects are drained as values, memory is reserved by
 * gossip_new(), randomness comes from a seed, signatures are checked by an injected function. The
 * same object code runs in the node and in the simulator.
 *
 * Membership: a member is known by its signed MEMBER record (core/records.h): only a node itself
 * says that it is alive or left, and where; others may only accuse it (suspect, then dead, at the
 * incarnation that its own record carries). A node that hears itself accused asks for a new
 * incarnation to be saved and refutes with a new signed record.
 *
 * Catalog: records are signed envelopes (node certificate, contract, ...), each with a key (kind,
 * writer, name), a version and a hash. The key, version and hash ride on probe packets a bounded
 * number of times; a node that lacks one gets GOSSIP_WANT and fetches the body over a session.
 * Every ping and ack carries a hash of the membership and one of the catalog, so a missed rumour
 * is noticed at once: GOSSIP_SYNC then asks the node to compare lists with that peer over a
 * session.
 *
 * Threads: one. Ownership: everything is copied in; effects borrow until the next input.
 * Units: fm_ms, monotonic; `now` never goes back (asserted). */
#ifndef FM_GOSSIP_GOSSIP_H
#define FM_GOSSIP_GOSSIP_H

#include "core/cert.h"
#include "core/records.h"

struct gossip;

struct gossip_address { /* Numeric: the machine never resolves names. */
    uint8_t family;     /* 4 or 6. */
    uint8_t bytes[16];
    uint16_t port; /* Host order. */
};

enum gossip_state {
    GOSSIP_ALIVE = 1,
    GOSSIP_SUSPECT = 2,
    GOSSIP_DEAD = 3,
    GOSSIP_LEFT = 4,
};

/* Catalog records. X(NAME, number on the wire (never reused), text) */
#define GOSSIP_RECORD_MAP(X)                                                                       \
    X(NODE_CERT, 1, "node certificate")                                                            \
    X(CONTRACT, 2, "contract")                                                                     \
    X(REVOCATIONS, 3, "revocations")                                                               \
    X(HEAD, 4, "head")                                                                             \
    X(STATISTICS, 5, "statistics")                                                                 \
    X(POLICY, 6, "policy")

enum gossip_record_kind {
#define X(name, number, text) GOSSIP_RECORD_##name = number,
    GOSSIP_RECORD_MAP(X)
#undef X
};

struct gossip_record_key {
    enum gossip_record_kind kind;
    struct fm_node_id writer;
    uint8_t name[16]; /* SHA-256, cut, of what tells this writer's records of a kind apart. */
};

struct gossip_record { /* What is known of a record without its body. */
    struct gossip_record_key key;
    uint64_t version;
    struct fm_hash hash; /* SHA-256 of the body (an envelope or a note). */
    uint32_t bytes;
};

struct gossip_options {
    struct fm_node_id self;
    uint64_t seed;
    uint32_t member_max;     /* <= FM_MEMBERS_MAX. */
    uint32_t record_max;     /* <= FM_RECORDS_MAX. */
    fm_ms probe_ms;          /* 0: 1000. */
    fm_ms timeout_ms;        /* 0: 400; of a direct probe, before indirect ones go out. */
    uint32_t indirect;       /* 0: 3. */
    uint32_t suspicion_mult; /* 0: 4. */
    /* Verify a MEMBER envelope as received and take it apart; FM_FORGED / FM_NOTFOUND (the
     * certificate that it names is not known yet; the record is kept aside and asked again when a
     * NODE_CERT record of that node arrives). Pure: no I/O. With FM_NOTFOUND `out` may hold what
     * the record claims, unverified: it only says whose certificate to ask for, and where. */
    enum fm_status (*check_member)(void *context, struct fm_span envelope,
                                   struct fm_member_record *out);
    void *context;
};

FM_MUST_USE enum fm_status gossip_new(const struct gossip_options *options, fm_ms now,
                                      struct gossip **out);
void gossip_free(struct gossip *gossip);
FM_DEFINE_FREEP(gossip_freep, struct gossip, gossip_free)

/* ---- Inputs ---------------------------------------------------------------------------------- */

/* Own signed MEMBER record, at start and whenever GOSSIP_REFUTE asked for a new one. */
FM_MUST_USE enum fm_status gossip_set_self(struct gossip *gossip, fm_ms now,
                                           struct fm_span envelope);
/* Contact these addresses (seeds, or members saved earlier) until each has answered once, at a
 * falling rate, and for ever while no other member is alive. They join earlier ones, up to
 * FM_SEEDS_MAX. FM_INVALID, FM_LIMIT. */
FM_MUST_USE enum fm_status gossip_join(struct gossip *gossip, fm_ms now,
                                       const struct gossip_address *seeds, uint32_t count);
/* A packet that opened under the gossip key. FM_MALFORMED is counted; nothing else happens. */
FM_MUST_USE enum fm_status gossip_receive(struct gossip *gossip, fm_ms now,
                                          const struct fm_node_id *sender,
                                          const struct gossip_address *from, struct fm_span packet);
void gossip_tick(struct gossip *gossip, fm_ms now);
/* Time of the next useful gossip_tick(). */
fm_ms gossip_deadline(const struct gossip *gossip);
/* A record whose body this node holds and has verified (own or fetched). Higher versions win; the
 * same version with another hash is FM_CONFLICT (evidence: the caller keeps both). FM_LIMIT:
 * full. */
FM_MUST_USE enum fm_status gossip_put_record(struct gossip *gossip, fm_ms now,
                                             const struct gossip_record *record);
/* A MEMBER envelope learnt over a session or from disk. */
FM_MUST_USE enum fm_status gossip_put_member(struct gossip *gossip, fm_ms now,
                                             struct fm_span envelope);
/* Say goodbye: pass the own LEFT record with gossip_set_self() first. */
void gossip_leave(struct gossip *gossip, fm_ms now);

/* ---- Effects: drain with gossip_next_effect() after every input until it is false ------------
 * An input may also come from within that loop; effects that were not drained stay in the queue, at
 * the price of `effects_dropped` when there are too many. */

enum gossip_effect_kind {
    GOSSIP_SEND = 1, /* `packet` to `address`, at most FM_PACKET_BYTES_MAX bytes. */
    GOSSIP_REFUTE,   /* Save an incarnation > `incarnation`, sign, gossip_set_self(). */
    GOSSIP_MEMBER,   /* `member` changed to `state`. */
    GOSSIP_WANT,     /* Fetch `record`'s body over a session, from `member` or anyone. Repeated
                          at a falling rate until gossip_put_record(). */
    GOSSIP_SYNC,     /* Compare member and record lists with `member` over a session. */
};

struct gossip_effect {
    enum gossip_effect_kind kind;
    struct gossip_address address;
    struct fm_span packet;
    struct fm_node_id member;
    enum gossip_state state;
    uint64_t incarnation;
    struct gossip_record record;
};

bool gossip_next_effect(struct gossip *gossip, struct gossip_effect *out);

/* ---- Looking --------------------------------------------------------------------------------- */

struct gossip_member {
    struct fm_node_id node;
    enum gossip_state state;
    uint64_t incarnation;
    struct gossip_address address;
    fm_ms since;             /* When `state` began. */
    fm_ms round_trip;        /* Least of the last probes, 0 of self; -1: unknown. */
    struct fm_span envelope; /* Its MEMBER record; borrowed until the next input. */
};

uint32_t gossip_member_count(const struct gossip *gossip); /* Self and all states included. */
/* In a stable order; `i` below the count is asserted. */
void gossip_member_at(const struct gossip *gossip, uint32_t i, struct gossip_member *out);
FM_MUST_USE enum fm_status gossip_member_find(const struct gossip *gossip,
                                              const struct fm_node_id *node,
                                              struct gossip_member *out);
uint32_t gossip_record_count(const struct gossip *gossip);
void gossip_record_at(const struct gossip *gossip, uint32_t i, struct gossip_record *out);
FM_MUST_USE enum fm_status gossip_record_find(const struct gossip *gossip,
                                              const struct gossip_record_key *key,
                                              struct gossip_record *out);
/* Hash of the whole state: equal seeds and inputs give equal hashes at every step. */
uint64_t gossip_state_hash(const struct gossip *gossip);

struct gossip_counters {
    uint64_t packets_in, packets_out, bytes_in, bytes_out, malformed, forged, probes,
        probe_failures, suspicions, deaths, refutations, records_new, effects_dropped,
        unknown; /* Kinds of packets, items and records that this release does not know. */
};
void gossip_counters(const struct gossip *gossip, struct gossip_counters *out);

#endif
