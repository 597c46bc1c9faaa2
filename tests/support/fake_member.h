/* MEMBER records for tests of gossip/ without keys: node number, u64 incarnation, claim, salt, a
 * mark that says whether the signature "holds", then the address as text. Node number n has the
 * id of sixteen bytes n + 1.
 * Threads: one. */
#ifndef FM_TESTS_SUPPORT_FAKE_MEMBER_H
#define FM_TESTS_SUPPORT_FAKE_MEMBER_H

#include "core/records.h"

struct fake_members { /* Context of fake_member_check(). */
    uint64_t unknown; /* Bit n: the certificate of node n is not known. */
    uint32_t checks;  /* Calls so far. */
};

struct fake_member {
    uint8_t node;
    uint64_t incarnation;
    enum fm_member_claim claim; /* 0: alive. */
    uint8_t salt;               /* Makes records of one incarnation differ. */
    bool is_forged;
    const char *address; /* NULL: fake_member_address(). */
};

struct fm_node_id fake_member_id(uint8_t node);
/* "10.0.0.n:7000". */
void fake_member_address(uint8_t node, char out[32]);
/* At most 64 bytes and the address; into `out` of FM_PACKET_BYTES_MAX bytes. */
struct fm_span fake_member_seal(const struct fake_member *member, uint8_t *out);
enum fm_status fake_member_check(void *context, struct fm_span envelope,
                                 struct fm_member_record *out);

#endif
