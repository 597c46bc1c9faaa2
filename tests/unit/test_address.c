/* Addresses between text, sockets and gossip; numeric ones only, so that nothing is asked. */
#include "node/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void check_text(const char *text, uint8_t family, uint16_t port, const char *printed)
{
    struct gossip_address address = {0};
    struct fm_error err = {0};
    char out[280];

    assert_int_equal(fm_address_resolve(text, 0, &address, &err), FM_OK);
    assert_int_equal(address.family, family);
    assert_int_equal(address.port, port);
    fm_address_print(&address, out);
    assert_string_equal(out, printed);
}

/* What is read is printed in one form. */
static void numeric_addresses_are_read_and_printed(void **state)
{
    (void)state;
    check_text("127.0.0.1:7410", 4, 7410, "127.0.0.1:7410");
    check_text("192.0.2.255:1", 4, 1, "192.0.2.255:1");
    check_text("0.0.0.0:0", 4, 0, "0.0.0.0:0");
    check_text("[::1]:65535", 6, 65535, "[::1]:65535");
    check_text("[2001:DB8:0:0::1]:7410", 6, 7410, "[2001:db8::1]:7410");
    check_text("[::]:0", 6, 0, "[::]:0");
}

/* A text that is no address is refused before any resolver sees it. */
static void odd_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "",
        ":",
        ":7410",
        "127.0.0.1",
        "127.0.0.1:",
        "::1:7410",
        "[::1:7410",
        "::1]:7410",
        "[]:7410",
        "127.0.0.1:65536",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:+1",
        "127.0.0.1: 1",
        "127.0.0.1:1 ",
        "127.0.0.1:0x50",
        "127.0.0.1:http",
        "a b:1",
        "a\n:1",
        "[::1]]:1",
        "[host]:1",
        "127.0.0.1:000001",
    };
    struct gossip_address address = {0};
    struct fm_error err;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        err = (struct fm_error){0};
        assert_int_equal(fm_address_resolve(texts[i], 0, &address, &err), FM_INVALID);
        assert_true(err.text[0] != '\0');
    }
    assert_int_equal(address.family, 0);
}

/* A socket of IPv4 reaches no IPv6 address. */
static void family_is_kept(void **state)
{
    struct gossip_address address = {0};
    struct fm_error err = {0};

    (void)state;
    assert_int_equal(fm_address_resolve("127.0.0.1:1", 4, &address, &err), FM_OK);
    assert_int_equal(fm_address_resolve("[::1]:1", 4, &address, &err), FM_UNAVAILABLE);
    assert_int_equal(address.family, 4);
}

static void check_socket(const char *text, sa_family_t family, socklen_t len)
{
    struct gossip_address address = {0}, back = {0};
    struct sockaddr_storage socket;

    assert_int_equal(fm_address_resolve(text, 0, &address, NULL), FM_OK);
    assert_int_equal(fm_address_to_socket(&address, &socket), len);
    assert_int_equal(socket.ss_family, family);
    assert_true(fm_address_from_socket(&socket, &back));
    assert_memory_equal(&back, &address, sizeof back);
}

/* To a socket's form and back nothing is lost. */
static void socket_addresses_come_back(void **state)
{
    struct sockaddr_storage local = {.ss_family = AF_UNIX};
    struct gossip_address address = {0};

    (void)state;
    check_socket("192.0.2.1:7410", AF_INET, sizeof(struct sockaddr_in));
    check_socket("[2001:db8::7]:65535", AF_INET6, sizeof(struct sockaddr_in6));
    assert_false(fm_address_from_socket(&local, &address));
}

/* A socket that serves both families shows IPv4 peers inside IPv6 addresses: the mesh knows them
 * by their IPv4 address, and packets to them go out in the form that the socket takes. */
static void mapped_addresses_are_ipv4(void **state)
{
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(7410)};
    struct gossip_address address = {0};
    struct sockaddr_storage socket = {0};
    char out[280];

    (void)state;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &mapped.sin6_addr), 1);
    memcpy(&socket, &mapped, sizeof mapped);
    assert_true(fm_address_from_socket(&socket, &address));
    fm_address_print(&address, out);
    assert_string_equal(out, "192.0.2.1:7410");

    fm_address_map(&address);
    assert_int_equal(fm_address_to_socket(&address, &socket), sizeof mapped);
    assert_memory_equal(&socket, &mapped, sizeof mapped);
    assert_int_equal(fm_address_resolve("[2001:db8::1]:1", 0, &address, NULL), FM_OK);
    fm_address_map(&address);
    fm_address_print(&address, out);
    assert_string_equal(out, "[2001:db8::1]:1");
}

/* Nobody can be reached at the address that means every own one. */
static void any_address_is_told_apart(void **state)
{
    struct gossip_address address = {0};

    (void)state;
    assert_int_equal(fm_address_resolve("0.0.0.0:1", 0, &address, NULL), FM_OK);
    assert_true(fm_address_is_any(&address));
    assert_int_equal(fm_address_resolve("[::]:1", 0, &address, NULL), FM_OK);
    assert_true(fm_address_is_any(&address));
    assert_int_equal(fm_address_resolve("0.0.0.1:1", 0, &address, NULL), FM_OK);
    assert_false(fm_address_is_any(&address));
    assert_int_equal(fm_address_resolve("[::1]:1", 0, &address, NULL), FM_OK);
    assert_false(fm_address_is_any(&address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_addresses_are_read_and_printed),
        cmocka_unit_test(odd_texts_are_refused),
        cmocka_unit_test(family_is_kept),
        cmocka_unit_test(socket_addresses_come_back),
        cmocka_unit_test(mapped_addresses_are_ipv4),
        cmocka_unit_test(any_address_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
