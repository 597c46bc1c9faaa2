#include "tests/support/fake_member.h"

#include "core/assert.h"

#include <stdio.h>

#define FIXED_BYTES 12u

struct fm_node_id fake_member_id(uint8_t node)
{
    struct fm_node_id id;

    memset(id.bytes, node + 1, sizeof id.bytes);
    return id;
}

void fake_member_address(uint8_t node, char out[32])
{
    (void)snprintf(out, 32, "10.0.0.%u:7000", node + 1u);
}

struct fm_span fake_member_seal(const struct fake_member *member, uint8_t *out)
{
    char text[32];
    const char *address = member->address;

    fake_member_address(member->node, text);
    if (address == NULL)
        address = text;
    out[0] = member->node;
    fm_store64(out + 1, member->incarnation);
    out[9] = (uint8_t)(member->claim != 0 ? member->claim : FM_MEMBER_ALIVE);
    out[10] = member->salt;
    out[11] = member->is_forged ? 0 : 1;
    size_t len = strlen(address);
    fm_assert(FIXED_BYTES + len <= FM_PACKET_BYTES_MAX);
    memcpy(out + FIXED_BYTES, address, len);
    return fm_span(out, FIXED_BYTES + len);
}

enum fm_status fake_member_check(void *context, struct fm_span envelope,
                                 struct fm_member_record *out)
{
    struct fake_members *members = context;

    members->checks++;
    if (envelope.len < FIXED_BYTES || envelope.len - FIXED_BYTES >= sizeof out->address)
        return FM_MALFORMED;
    if (envelope.data[11] != 1)
        return FM_FORGED;
    out->node = fake_member_id(envelope.data[0]);
    out->incarnation = fm_load64(envelope.data + 1);
    out->claim = (enum fm_member_claim)envelope.data[9];
    memset(out->address, 0, sizeof out->address);
    memcpy(out->address, envelope.data + FIXED_BYTES, envelope.len - FIXED_BYTES);
    if (out->claim != FM_MEMBER_ALIVE && out->claim != FM_MEMBER_LEFT)
        return FM_MALFORMED;
    if (envelope.data[0] < 64 && (members->unknown >> envelope.data[0] & 1) != 0)
        return FM_NOTFOUND;
    return FM_OK;
}
