#include "gossip/address.h"

#include "core/assert.h"

#define GROUPS 8u

/* Digits of `base` up to a stop; false when there are none, too many, or the value passes `max`. */
static bool take_number(const char **at, unsigned base, unsigned digits_max, uint32_t max,
                        uint32_t *out)
{
    uint32_t value = 0;
    unsigned digits = 0;

    fm_assert(base == 10 || base == 16);
    for (; digits <= digits_max; digits++, (*at)++) {
        char c = **at;
        uint32_t digit;
        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (base == 16 && c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (base == 16 && c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        else
            break;
        value = value * base + digit;
    }
    *out = value;
    return digits > 0 && digits <= digits_max && value <= max;
}

static bool take_char(const char **at, char c)
{
    fm_assert(c != '\0');
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

static bool take_ipv4(const char **at, uint8_t *out)
{
    for (unsigned i = 0; i < 4; i++) {
        uint32_t part;
        if (i > 0 && !take_char(at, '.'))
            return false;
        if (!take_number(at, 10, 3, 255, &part))
            return false;
        out[i] = (uint8_t)part;
    }
    return true;
}

/* One group, or the last 4 bytes written as IPv4; `*count` grows by 1 or 2. */
static bool take_group(const char **at, uint8_t *bytes, unsigned *count)
{
    const char *start = *at;
    uint32_t value;

    fm_assert(*count < GROUPS);
    if (!take_number(at, 16, 4, 0xffff, &value))
        return false;
    if (**at == '.' && *count + 2 <= GROUPS) {
        *at = start;
        if (!take_ipv4(at, bytes + 2 * *count))
            return false;
        *count += 2;
        return **at == ']';
    }
    bytes[2 * *count] = (uint8_t)(value >> 8);
    bytes[2 * *count + 1] = (uint8_t)value;
    *count += 1;
    return true;
}

/* RFC 4291 2.2, up to the closing bracket. */
static bool take_ipv6(const char **at, uint8_t *out)
{
    uint8_t bytes[2 * GROUPS] = {0};
    unsigned count = 0;
    unsigned gap = GROUPS + 1; /* Groups before "::"; beyond GROUPS: none seen. */

    if ((*at)[0] == ':' && (*at)[1] == ':') {
        gap = 0;
        *at += 2;
    }
    while (**at != ']' && count < GROUPS) {
        if (!take_group(at, bytes, &count))
            return false;
        if (**at == ']')
            break;
        if (!take_char(at, ':'))
            return false;
        if (**at == ':' && gap > GROUPS) {
            gap = count;
            (*at)++;
        } else if (**at == ']') {
            return false; /* A colon that nothing follows. */
        }
    }
    if (gap > GROUPS ? count != GROUPS : count >= GROUPS)
        return false;
    if (gap > GROUPS)
        gap = count;
    fm_assert(gap <= count && count <= GROUPS);
    size_t tail = 2u * (count - gap);
    memset(out, 0, 2 * GROUPS);
    memcpy(out, bytes, 2u * gap);
    memcpy(out + 2 * GROUPS - tail, bytes + 2u * gap, tail);
    return true;
}

enum fm_status gossip_address_parse(const char *text, struct gossip_address *out)
{
    struct gossip_address address = {0};
    static const uint8_t zeros[16];
    const char *at = text;
    uint32_t port;

    fm_assert(text != NULL);
    fm_assert(out != NULL);
    if (take_char(&at, '[')) {
        address.family = 6;
        if (!take_ipv6(&at, address.bytes) || !take_char(&at, ']'))
            return FM_NOTFOUND;
    } else {
        address.family = 4;
        if (!take_ipv4(&at, address.bytes))
            return FM_NOTFOUND;
    }
    if (!take_char(&at, ':') || !take_number(&at, 10, 5, 65535, &port) || *at != '\0')
        return FM_NOTFOUND;
    if (port == 0 || memcmp(address.bytes, zeros, sizeof zeros) == 0)
        return FM_NOTFOUND;
    address.port = (uint16_t)port;
    *out = address;
    return FM_OK;
}

bool gossip_address_equal(const struct gossip_address *a, const struct gossip_address *b)
{
    fm_assert(a != NULL);
    fm_assert(b != NULL);
    return a->family == b->family && a->port == b->port &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}
