/* The state behind gossip.h, for the files of this folder. All memory is reserved by gossip_new().
 *
 *   gossip.c     inputs, order of work in a tick, looking
 *   receive.c    one packet: which kind and item goes where
 *   compose.c    one packet out: whom it must tell what, then rumours by shares
 *   roster.c     the table of members, lists by state, the order of probing
 *   admit.c      signed MEMBER records from outside, records kept aside
 *   swim.c       suspicions, verdicts, refutation
 *   probe.c      probes, direct and through others, retries of the dead
 *   catalog.c    records and those that are wanted
 *   join.c       seeds, list comparisons (GOSSIP_SYNC)
 *   effects.c    the queue of effects
 *   rumours.c    queues of what is worth telling
 *   slots.c      index of the tables
 *   state_hash.c one number for all of it */
#ifndef FM_GOSSIP_STATE_H
#define FM_GOSSIP_STATE_H

#include "gossip/address.h"
#include "gossip/gossip.h"
#include "gossip/random.h"
#include "gossip/rumours.h"
#include "gossip/slots.h"
#include "gossip/wire.h"

/* ---- Bounds ---- */
#define GOSSIP_SENDS_MAX 32u /* Packets that one input may cause; more are dropped and counted. */
#define GOSSIP_EFFECTS_MAX 320u /* A packet's items, or a tick's verdicts, fit with the sends. */
#define GOSSIP_VERDICTS_PER_TICK 64u
#define GOSSIP_ACCUSERS_MAX 4u
#define GOSSIP_ASIDE_MAX 64u /* MEMBER records whose certificate is not known yet. */
#define GOSSIP_WANTS_MAX 512u
#define GOSSIP_WANTS_PER_TICK 8u
#define GOSSIP_RELAYS_MAX 64u   /* PING_REQ of others under way here. */
#define GOSSIP_PRIORITY_MAX 16u /* Members to be probed before their turn. */
#define GOSSIP_RETRIES_PER_TICK 4u
#define GOSSIP_JOINS_PER_TICK 4u
#define GOSSIP_NEWS_FANOUT 3u
#define GOSSIP_LEAVE_FANOUT 8u
#define GOSSIP_REJECTED_MAX 64u   /* Hashes of envelopes that failed, not checked again soon. */
#define GOSSIP_HEARSAY_PROBERS 8u /* About so many of all members check a suspicion at once. */

#define GOSSIP_ROUND_TRIPS 8u /* Probes of a member that its round trip is the least of. */

/* ---- Times that do not follow the probe period ---- */
#define GOSSIP_RETRY_MS_MAX 60000
#define GOSSIP_JOIN_MS_MIN 200
#define GOSSIP_JOIN_MS_MAX 10000
#define GOSSIP_WANT_MS_MIN 1000
#define GOSSIP_WANT_AGAIN_MS 10000

#define GOSSIP_SELF 0u /* The own slot in the table of members, taken from the start. */

#define GOSSIP_RECORD_KIND_COUNT 6u
#define X(name, number, text)                                                                      \
    _Static_assert((number) >= 1 && (number) <= GOSSIP_RECORD_KIND_COUNT, "kinds are dense");
GOSSIP_RECORD_MAP(X)
#undef X
_Static_assert(GOSSIP_RECORD_KIND_COUNT <= WIRE_RECORD_KINDS_MAX, "a digest has them all");
_Static_assert(3 * GOSSIP_VERDICTS_PER_TICK + GOSSIP_SENDS_MAX + GOSSIP_WANTS_PER_TICK <
                   GOSSIP_EFFECTS_MAX,
               "a tick's effects fit the queue");
/* An item that has an effect takes at least a MEMBER's 28 bytes and has at most three. */
_Static_assert(3 * (FM_PACKET_BYTES_MAX / WIRE_MEMBER_BYTES(0)) + GOSSIP_SENDS_MAX <
                   GOSSIP_EFFECTS_MAX,
               "a packet's effects fit the queue");

struct member {
    struct fm_node_id node;
    enum gossip_state state;
    enum fm_member_claim claim;
    uint64_t incarnation;
    struct gossip_address address; /* Of the record, or learnt from packets; family 0: unknown. */
    bool address_learnt;           /* The record holds a name. */
    fm_ms since;
    uint32_t round_trips[GOSSIP_ROUND_TRIPS]; /* ms; of the last probes, the oldest replaced. */
    uint64_t round_trip_count;                /* Ever measured. */
    struct fm_hash hash; /* Of the envelope: the same bytes are not checked twice. */
    uint64_t term;       /* Its part of the digest of members. */
    uint64_t told;       /* Own incarnation that it is known to have. */
    bool tell;           /* It does not know its own record: the next packet to it has it. */
    bool tell_verdicts;  /* Its verdicts differ: packets to it carry some of ours. */
    bool in_order;       /* Has a place in the order of probing. */
    uint32_t list_at;    /* Its place among suspects or the dead. */

    /* While suspect; accusers stay known once dead. */
    fm_ms suspect_until;
    bool own_failed; /* A probe from here failed since the suspicion began. */
    bool contact;    /* A probe from here succeeded since then. */
    uint32_t accuser_count;
    struct fm_node_id accusers[GOSSIP_ACCUSERS_MAX];

    /* While dead. */
    fm_ms retry_at;
    fm_ms retry_ms;

    /* Comparing lists with it. */
    fm_ms differs_since; /* -1: digests were equal. */
    fm_ms sync_at;
    fm_ms sync_ms;

    uint16_t envelope_bytes;
    uint8_t envelope[WIRE_ENVELOPE_BYTES_MAX];
};

struct aside { /* A MEMBER record that waits for its subject's certificate. */
    struct fm_node_id node;
    uint64_t stamp; /* Order of arrival; 0: free. */
    struct fm_node_id via;
    struct gossip_address address; /* Of `via`. */
    uint16_t envelope_bytes;
    uint8_t envelope[WIRE_ENVELOPE_BYTES_MAX];
};

struct catalog_entry {
    struct gossip_record record;
    uint64_t term;
    uint64_t conflict; /* Start of the hash of another content of this version; 0: none seen. */
};

struct want {
    bool used;
    bool any_version; /* Version and hash are not known: whatever the holder has. */
    uint32_t tries;
    struct gossip_record record;
    struct fm_node_id holder;
    struct gossip_address address;
    fm_ms next_at;
    fm_ms interval;
};

struct relay {
    bool used;
    uint32_t sequence; /* Of our ping. */
    uint32_t origin_sequence;
    struct gossip_address origin;
    struct fm_node_id origin_node;
    struct fm_node_id target;
    fm_ms expires;
};

struct probe {
    bool active;
    bool acked;
    bool indirect_sent;
    uint64_t incarnation; /* Own one, which the target knows once it answers. */
    uint32_t target;
    uint64_t target_incarnation;
    struct fm_node_id node;
    uint32_t sequence;
    fm_ms sent_at;
    uint32_t helper_count;
    struct fm_node_id helpers[FM_FANOUT_MAX];
};

struct seed {
    struct gossip_address address;
    bool answered;
    bool is_self;
    uint32_t sequence; /* Of the last JOIN, 0: none. */
    fm_ms next_at;
    fm_ms interval;
};

struct effects {
    struct gossip_effect queue[GOSSIP_EFFECTS_MAX];
    uint32_t count;
    uint32_t next;
    uint32_t send_count;
    uint8_t packets[GOSSIP_SENDS_MAX][FM_PACKET_BYTES_MAX];
};

struct gossip {
    struct gossip_options options; /* With defaults filled in. */
    struct gossip_random random;
    fm_ms now;
    fm_ms deadline;
    bool has_self;
    bool leaving;
    bool heard; /* Any packet of another node since the start. */

    struct member *members; /* member_count used, GOSSIP_SELF first. */
    uint32_t member_count;
    struct slots member_slots;
    struct slots envelope_slots; /* By the hash of the envelope. */
    uint32_t *order;             /* Members to probe, shuffled each round. */
    uint32_t order_count;
    uint32_t order_next;
    uint32_t *suspects; /* Slots, in no order. */
    uint32_t suspect_count;
    uint32_t *dead;
    uint32_t dead_count;
    uint32_t dead_cursor;
    uint32_t live_count; /* Others, alive or suspect. */
    uint32_t member_cursor;
    struct aside asides[GOSSIP_ASIDE_MAX];
    uint64_t aside_stamp;
    uint64_t rejected[GOSSIP_REJECTED_MAX];

    struct probe probe;
    fm_ms probe_at; /* Start of the next period. */
    uint32_t priority[GOSSIP_PRIORITY_MAX];
    uint32_t priority_count;
    struct relay relays[GOSSIP_RELAYS_MAX];
    uint32_t relay_next;

    bool refuting;         /* GOSSIP_REFUTE is out, the answer not in. */
    uint64_t refute_above; /* The incarnation to pass. */
    uint32_t refute_to_count;
    struct fm_node_id refute_to[GOSSIP_ACCUSERS_MAX]; /* Who said it: hears the refutation first. */
    fm_ms refute_at;                                  /* Earliest time of the next GOSSIP_REFUTE. */

    struct rumours member_news;
    struct rumours accusations; /* By slot of the accused. */
    struct rumours record_news;
    fm_ms news_at; /* Next round of NEWS. */

    uint64_t members_sum;
    uint64_t verdicts_sum;
    uint64_t kinds_sum[GOSSIP_RECORD_KIND_COUNT];
    fm_ms changed_at; /* Last change of members_sum or kinds_sum. */

    struct catalog_entry *records;
    uint32_t record_count;
    struct slots record_slots;
    struct want *wants; /* GOSSIP_WANTS_MAX. */
    uint32_t want_count;
    uint32_t want_cursor;

    struct seed seeds[FM_SEEDS_MAX];
    uint32_t seed_count;
    uint32_t seed_cursor;
    fm_ms behind_since;     /* Others show more members since then; -1: they do not. */
    fm_ms catch_up_at;      /* Earliest GOSSIP_SYNC for the sake of many members at once. */
    fm_ms stranger_sync_at; /* Earliest GOSSIP_SYNC with a node that is no member yet. */

    struct gossip_counters counters;
    struct effects effects;
};

/* ---- Small common things ---- */
static inline bool gossip_node_equal(const struct fm_node_id *a, const struct fm_node_id *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline bool gossip_is_live(const struct member *member)
{
    return member->state == GOSSIP_ALIVE || member->state == GOSSIP_SUSPECT;
}

/* Of packets that are to be answered; 0 is none. */
static inline uint32_t gossip_new_sequence(struct gossip *gossip)
{
    return (uint32_t)gossip_random_next(&gossip->random) | 1u;
}

static inline fm_ms gossip_min_ms(fm_ms a, fm_ms b)
{
    return a < b ? a : b;
}

static inline fm_ms gossip_max_ms(fm_ms a, fm_ms b)
{
    return a > b ? a : b;
}

/* Sends of one rumour: 3 * ceil(log2(n + 1)), n members that can hear it and the node itself. */
uint32_t gossip_send_limit(const struct gossip *gossip);

/* ---- effects.c ---- */
/* Room for a packet, to be sent by effects_send(); NULL when this input sent enough. */
uint8_t *effects_packet(struct gossip *gossip);
void effects_send(struct gossip *gossip, const struct gossip_address *address,
                  const struct fm_node_id *node, size_t bytes);
void effects_member(struct gossip *gossip, const struct member *member);
void effects_refute(struct gossip *gossip, uint64_t incarnation);
void effects_want(struct gossip *gossip, const struct want *want);
void effects_sync(struct gossip *gossip, const struct fm_node_id *node,
                  const struct gossip_address *address);
void effects_begin(struct gossip *gossip); /* An input begins. */

/* ---- roster.c ---- */
uint32_t roster_find(const struct gossip *gossip, const struct fm_node_id *node);
uint32_t roster_find_envelope(const struct gossip *gossip, const struct fm_hash *hash);
void roster_add_self(struct gossip *gossip);
/* A slot for a member that has none; roster_store() and roster_set_state() follow. FM_LIMIT. */
FM_MUST_USE enum fm_status roster_add(struct gossip *gossip, const struct fm_node_id *node,
                                      uint32_t *out);
void roster_store(struct gossip *gossip, uint32_t slot, const struct fm_member_record *record,
                  struct fm_span envelope, const struct fm_hash *hash);
void roster_set_state(struct gossip *gossip, uint32_t slot, enum gossip_state state);
/* Next member to probe, SLOTS_NONE when nobody can be. */
uint32_t roster_next_to_probe(struct gossip *gossip);
/* Up to `count` live members to send to, without `except`; a stretch of the shuffled order. */
uint32_t roster_pick(struct gossip *gossip, uint32_t except, uint32_t count, uint32_t *out);
void roster_saw_address(struct gossip *gossip, uint32_t slot, const struct gossip_address *from);

/* ---- admit.c ---- */
struct admit_source {                     /* Where a MEMBER envelope comes from. */
    const struct fm_node_id *subject;     /* Who it should be about; NULL: not said. */
    const struct fm_node_id *via;         /* Who sent it; NULL: from disk or a session. */
    const struct gossip_address *address; /* Of `via`. */
    uint32_t sends;                       /* Its rumour begins as sent so often. */
    bool again;                           /* It was kept aside before. */
};
/* Apply a MEMBER envelope. FM_OK also when it is not news. FM_NOTFOUND: kept aside, where its
 * subject is known. FM_FORGED, FM_MALFORMED, FM_LIMIT. */
enum fm_status admit_put(struct gossip *gossip, struct fm_span envelope,
                         const struct admit_source *source);
/* One MEMBER item of a packet. */
void admit_receive(struct gossip *gossip, const struct wire_member *item,
                   const struct fm_node_id *sender, const struct gossip_address *from);
/* A certificate of this node arrived: its record, if one is kept aside, is looked at again. */
void admit_retry_aside(struct gossip *gossip, const struct fm_node_id *node);
FM_MUST_USE enum fm_status admit_self(struct gossip *gossip, struct fm_span envelope);

/* ---- swim.c ---- */
void swim_tick(struct gossip *gossip);
fm_ms swim_deadline(const struct gossip *gossip);
/* This node was not run for `late_ms` after its deadline. */
void swim_void_verdicts(struct gossip *gossip, fm_ms late_ms);
/* A probe from here was not answered, or was. */
void swim_failed(struct gossip *gossip, uint32_t slot);
void swim_answered(struct gossip *gossip, uint32_t slot);
void swim_receive_accuse(struct gossip *gossip, const struct fm_node_id *sender,
                         const struct wire_accuse *accuse);
/* An accuser to name for a suspect or dead member; the `turn`-th. */
void swim_accusation(const struct gossip *gossip, uint32_t slot, uint32_t turn,
                     struct wire_accuse *out);
/* Nothing that is under way concerns this member any more: it spoke for itself, or is dropped. */
void swim_forget(struct gossip *gossip, uint32_t slot);
/* `sender` doubts the node at this incarnation, or has a record of it that it does not know. */
void swim_refute(struct gossip *gossip, uint64_t incarnation, const struct fm_node_id *sender);
/* A new own record is there. */
void swim_refuted(struct gossip *gossip);

/* ---- probe.c ---- */
void probe_tick(struct gossip *gossip);
fm_ms probe_deadline(const struct gossip *gossip);
void probe_receive_ping_req(struct gossip *gossip, const struct fm_node_id *sender,
                            const struct gossip_address *from, uint32_t sequence,
                            const struct fm_node_id *target);
/* An ACK; `behalf` is NULL when it is the sender's own. */
void probe_receive_ack(struct gossip *gossip, const struct fm_node_id *sender, uint32_t sequence,
                       const struct fm_node_id *behalf);
/* A dead member came back: the others may too. */
fm_ms probe_round_trip(const struct member *member); /* As gossip.h says it. */
void probe_hurry_retries(struct gossip *gossip);
/* A packet of this member came, which may be thought dead. */
void probe_heard_from(struct gossip *gossip, uint32_t slot);

/* ---- compose.c ---- */
struct compose {
    enum wire_kind kind;
    uint32_t sequence;
    struct gossip_address address;
    struct fm_node_id node;          /* Zeros: not known. */
    uint32_t slot;                   /* SLOTS_NONE: no member. */
    const struct fm_node_id *target; /* PING_REQ. */
    const struct fm_node_id *behalf; /* ACK passed on. */
    bool welcome;                    /* ACK of a JOIN: fill with members. */
};
/* Build and queue one packet; false when this input sent enough already. */
bool compose_send(struct gossip *gossip, const struct compose *compose);
/* The same, to a member. */
bool compose_send_member(struct gossip *gossip, enum wire_kind kind, uint32_t sequence,
                         uint32_t slot);
/* Rounds of NEWS, only while there are rumours. */
void compose_tick_news(struct gossip *gossip);
void compose_news_soon(struct gossip *gossip);

/* ---- catalog.c ---- */
FM_MUST_USE enum fm_status gossip_catalog_put(struct gossip *gossip,
                                              const struct gossip_record *record);
void gossip_catalog_announced(struct gossip *gossip, const struct fm_node_id *sender,
                              const struct gossip_address *from, const struct wire_record *record);
void gossip_catalog_want_cert(struct gossip *gossip, const struct fm_node_id *node,
                              const struct fm_node_id *via, const struct gossip_address *address,
                              bool again);
uint32_t gossip_catalog_find(const struct gossip *gossip, const struct gossip_record_key *key);
void gossip_catalog_tick(struct gossip *gossip);
fm_ms gossip_catalog_deadline(const struct gossip *gossip);

/* ---- join.c ---- */
FM_MUST_USE enum fm_status gossip_join_seeds(struct gossip *gossip,
                                             const struct gossip_address *seeds, uint32_t count);
void join_tick(struct gossip *gossip);
fm_ms join_deadline(const struct gossip *gossip);
void join_receive_ack(struct gossip *gossip, const struct fm_node_id *sender,
                      const struct gossip_address *from, uint32_t sequence);
void join_heard_self(struct gossip *gossip, const struct gossip_address *from);
void join_alone(struct gossip *gossip); /* The last other member is gone. */
void join_digest(const struct gossip *gossip, struct wire_digest *out);
void join_receive_digest(struct gossip *gossip, const struct fm_node_id *sender,
                         const struct gossip_address *from, const struct wire_digest *digest);
/* Compare lists with `node`, unless that was asked for lately. */
void join_sync(struct gossip *gossip, const struct fm_node_id *node,
               const struct gossip_address *address);

/* ---- receive.c ---- */
FM_MUST_USE enum fm_status receive_packet(struct gossip *gossip, const struct fm_node_id *sender,
                                          const struct gossip_address *from, struct fm_span packet);

#endif
