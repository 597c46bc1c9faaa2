#include "node/address.h"

#include "node/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <unistd.h>

#define LISTEN_BACKLOG 256

static void take_v4(const struct sockaddr_in *from, struct gossip_address *out)
{
    *out = (struct gossip_address){.family = 4, .port = ntohs(from->sin_port)};
    memcpy(out->bytes, &from->sin_addr, 4);
}

static void take_v6(const struct sockaddr_in6 *from, struct gossip_address *out)
{
    *out = (struct gossip_address){.family = 6, .port = ntohs(from->sin6_port)};
    memcpy(out->bytes, &from->sin6_addr, 16);
    if (!IN6_IS_ADDR_V4MAPPED(&from->sin6_addr))
        return;
    out->family = 4;
    memset(out->bytes, 0, sizeof out->bytes);
    memcpy(out->bytes, (const uint8_t *)&from->sin6_addr + 12, 4);
}

void fm_address_map(struct gossip_address *address)
{
    uint8_t v4[4];

    if (address->family != 4)
        return;
    memcpy(v4, address->bytes, sizeof v4);
    memset(address->bytes, 0, sizeof address->bytes);
    memset(address->bytes + 10, 0xff, 2);
    memcpy(address->bytes + 12, v4, sizeof v4);
    address->family = 6;
}

bool fm_address_from_socket(const struct sockaddr_storage *from, struct gossip_address *out)
{
    if (from->ss_family == AF_INET)
        take_v4((const struct sockaddr_in *)from, out);
    else if (from->ss_family == AF_INET6)
        take_v6((const struct sockaddr_in6 *)from, out);
    else
        return false;
    return true;
}

socklen_t fm_address_to_socket(const struct gossip_address *address, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (address->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(address->port);
        memcpy(&v4->sin_addr, address->bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(address->port);
    memcpy(&v6->sin6_addr, address->bytes, 16);
    return sizeof *v6;
}

void fm_address_print(const struct gossip_address *address, char out[280])
{
    char host[INET6_ADDRSTRLEN] = "";

    if (inet_ntop(address->family == 4 ? AF_INET : AF_INET6, address->bytes, host, sizeof host) ==
        NULL)
        host[0] = '\0';
    (void)snprintf(out, 280, address->family == 4 ? "%s:%u" : "[%s]:%u", host, address->port);
}

bool fm_address_is_any(const struct gossip_address *address)
{
    static const uint8_t zeros[16];
    return memcmp(address->bytes, zeros, address->family == 4 ? 4 : 16) == 0;
}

/* Host and port of "host:port" or "[host]:port"; the text has passed fm_address_check(). */
static void split(const char *text, char host[FM_CONFIG_ADDRESS_MAX], char port[6])
{
    const char *colon = strrchr(text, ':');
    size_t host_len = (size_t)(colon - text);

    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    if (text[0] == '[') {
        text++;
        host_len -= 2;
    }
    memcpy(host, text, host_len);
    host[host_len] = '\0';
}

enum fm_status fm_address_resolve(const char *text, uint8_t family, struct gossip_address *out,
                                  struct fm_error *err)
{
    struct addrinfo hints = {.ai_family = family == 4 ? AF_INET : AF_UNSPEC,
                             .ai_socktype = SOCK_DGRAM,
                             .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[FM_CONFIG_ADDRESS_MAX], port[6];
    bool taken = false;

    enum fm_status status = fm_address_check(text, 0, err);
    if (status != FM_OK)
        return status;
    split(text, host, port);
    int code = getaddrinfo(host, port, &hints, &found);
    if (code != 0)
        return fm_fail(err, FM_UNAVAILABLE, "address %s: %s", text, gai_strerror(code));
    for (struct addrinfo *each = found; each != NULL && !taken; each = each->ai_next) {
        struct sockaddr_storage address = {0};
        if (each->ai_addrlen > sizeof address)
            continue;
        memcpy(&address, each->ai_addr, each->ai_addrlen);
        taken = fm_address_from_socket(&address, out);
    }
    freeaddrinfo(found);
    if (!taken)
        return fm_fail(err, FM_UNAVAILABLE, "address %s is neither IPv4 nor IPv6", text);
    return FM_OK;
}

bool fm_address_is_loopback(const struct gossip_address *address)
{
    static const uint8_t v6[16] = {[15] = 1};

    return address->family == 4 ? address->bytes[0] == 127
                                : memcmp(address->bytes, v6, sizeof v6) == 0;
}

static enum fm_status listen_at(int fd, const struct gossip_address *address, uint16_t *port)
{
    struct sockaddr_storage at;
    struct gossip_address got;
    int on = 1;
    socklen_t len = fm_address_to_socket(address, &at);

    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on); /* Only slower to restart. */
    if (bind(fd, (struct sockaddr *)&at, len) != 0 || listen(fd, LISTEN_BACKLOG) != 0)
        return errno == EADDRINUSE ? FM_CONFLICT : FM_IO;
    len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0 || !fm_address_from_socket(&at, &got))
        return FM_IO;
    *port = got.port;
    return FM_OK;
}

enum fm_status fm_address_listen(const char *text, int *fd, uint16_t *port, bool *is_near,
                                 struct fm_error *err)
{
    struct gossip_address address;
    struct sockaddr_storage at;

    enum fm_status status = fm_address_resolve(text, 0, &address, err);
    if (status != FM_OK)
        return status;
    (void)fm_address_to_socket(&address, &at);
    int made = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    status = made < 0 ? FM_IO : listen_at(made, &address, port);
    if (status != FM_OK) {
        status = fm_fail_errno(err, status, errno, "listen on %s", text);
        if (made >= 0)
            (void)close(made); /* Nothing to lose. */
        return status;
    }
    *fd = made;
    *is_near = fm_address_is_loopback(&address);
    return FM_OK;
}
