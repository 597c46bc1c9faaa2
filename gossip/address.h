/* Numeric addresses as text. The machine never resolves names: a member whose record holds a name
 * is reached at the address that its own packets come from. */
#ifndef FM_GOSSIP_ADDRESS_H
#define FM_GOSSIP_ADDRESS_H

#include "gossip/gossip.h"

/* "192.0.2.1:7000" or "[2001:db8::1]:7000". FM_NOTFOUND: a name, or an address or port that nobody
 * can be reached at (all zeros). */
FM_MUST_USE enum fm_status gossip_address_parse(const char *text, struct gossip_address *out);
bool gossip_address_equal(const struct gossip_address *a, const struct gossip_address *b);
static inline bool gossip_address_known(const struct gossip_address *address)
{
    return address->family != 0;
}

#endif
