/* One node of gossip/ in a test: inputs given by hand, the effects of the last input kept.
 * Threads: one. */
#ifndef FM_TESTS_SUPPORT_NODE_FIXTURE_H
#define FM_TESTS_SUPPORT_NODE_FIXTURE_H

#include "gossip/gossip.h"
#include "gossip/wire.h"
#include "tests/support/fake_member.h"

#define SELF 0
#define EFFECTS_MAX 512u
#define PROBE_MS 1000

struct node_fixture {
    struct fake_members members;
    struct gossip *gossip;
    fm_ms now;
    struct gossip_effect effects[EFFECTS_MAX]; /* Of the last input. */
    uint8_t packets[64][FM_PACKET_BYTES_MAX];
    uint32_t count;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct wire_writer writer;
};

/* Keep the effects of the input that was just given. */
void node_drain(struct node_fixture *f);
struct gossip_address node_address_of(uint8_t node);
void node_set_self(struct node_fixture *f, uint64_t incarnation, enum fm_member_claim claim);
/* Begin anew. */
void node_start(struct node_fixture *f, uint32_t member_max, uint32_t record_max);
int node_setup(void **state);
int node_teardown(void **state);
/* Begin a packet in `writer`; node_give() gives it as one of `sender`. */
void node_packet(struct node_fixture *f, enum wire_kind kind, uint32_t sequence);
enum fm_status node_give(struct node_fixture *f, uint8_t sender);
/* An item of the packet under way. */
void node_put_member(struct node_fixture *f, const struct fake_member *member);
/* Node `sender` announces a member, itself for example. */
void node_announce(struct node_fixture *f, uint8_t sender, const struct fake_member *member);
/* Node `node` announces itself at incarnation 1. */
void node_meet(struct node_fixture *f, uint8_t node);
void node_accuse(struct node_fixture *f, uint8_t sender, enum gossip_state state, uint8_t accused,
                 uint64_t incarnation, uint8_t accuser);
uint32_t node_count_effects(const struct node_fixture *f, enum gossip_effect_kind kind);
const struct gossip_effect *node_find_effect(const struct node_fixture *f,
                                             enum gossip_effect_kind kind);
/* The packet of this kind that the last input sent, to `node` or (-1) to anyone. */
bool node_find_packet(const struct node_fixture *f, enum wire_kind kind, int node,
                      struct wire_packet *out);
bool node_find_item(const struct wire_packet *packet, enum wire_item_kind kind,
                    struct wire_item *out);
/* 0: not known. */
enum gossip_state node_state_of(const struct node_fixture *f, uint8_t node);
struct gossip_counters node_counters(const struct node_fixture *f);
/* One tick at the deadline. Nodes with a bit in `answering` answer pings at once. */
void node_step(struct node_fixture *f, uint32_t answering);
/* Ticks for `ms`. */
void node_run(struct node_fixture *f, fm_ms ms, uint32_t answering);
struct gossip_record node_record(uint8_t writer, uint8_t name, uint64_t version);
void node_announce_record(struct node_fixture *f, uint8_t sender,
                          const struct gossip_record *record);

#endif
