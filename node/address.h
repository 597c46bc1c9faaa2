/* Addresses between text, sockets and gossip. */
#ifndef FM_NODE_ADDRESS_H
#define FM_NODE_ADDRESS_H

#include "gossip/gossip.h"

#include <sys/socket.h>

/* "host:port" or "[v6]:port"; a name is resolved (may block), the first answer taken. `family` 4:
 * an IPv4 one, as a socket of that family reaches no other; 0: any. FM_INVALID, FM_UNAVAILABLE. */
FM_MUST_USE enum fm_status fm_address_resolve(const char *text, uint8_t family,
                                              struct gossip_address *out, struct fm_error *err);
void fm_address_print(const struct gossip_address *address, char out[280]);
bool fm_address_is_any(const struct gossip_address *address); /* 0.0.0.0 or ::. */
socklen_t fm_address_to_socket(const struct gossip_address *address, struct sockaddr_storage *out);
/* False: neither IPv4 nor IPv6. An IPv4 address in an IPv6 one (RFC 4291, 2.5.5.2) is the former:
 * such come from a socket that serves both. */
bool fm_address_from_socket(const struct sockaddr_storage *from, struct gossip_address *out);
/* 127.0.0.0/8 and ::1: this machine itself. */
bool fm_address_is_loopback(const struct gossip_address *address);
/* A TCP socket that listens there, without blocking; the port it got, and whether only this machine
 * reaches it. FM_CONFLICT: the port is in use. */
FM_MUST_USE enum fm_status fm_address_listen(const char *text, int *fd, uint16_t *port,
                                             bool *is_near, struct fm_error *err);
/* The other way, for sending over such a socket; IPv6 addresses are left as they are. */
void fm_address_map(struct gossip_address *address);

#endif
