/* Datagrams on the gossip port: garbage, bent and repeated ones, and what somebody can do who stole
 * the gossip key but has no certificate. What the nodes think of each other stays as it was. */
#include "core/datagram.h"
#include "core/records.h"
#include "gossip/wire.h"
#include "tests/support/live_mesh.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER_BYTES 34u
#define FORGED_INCARNATION 1000000u

struct fixture {
    struct live_mesh *mesh;
    struct live_node *alpha;
    struct live_node *beta;
    struct fm_identity *mole; /* A node of the mesh that does not run. */
    struct fm_datagrams *datagrams;
    uint32_t sequence;
    int socket;
    char *members; /* As alpha and beta see them at the start. */
    char *members_beta;
};

static char *sees(struct fixture *f, const struct live_node *node)
{
    return live_output(
        f->mesh, "reader", node,
        (const char *const[]){"query", "SELECT 1", "--format", "csv", "--no-receipts", NULL});
}

/* Name, id, state, address and domains of each member, without what changes by itself. A node that
 * lost packets under load is suspected and says with its next incarnation that it lives: a few of
 * those are no harm, the million of put_forged() is. */
static char *members(struct fixture *f, const struct live_node *node)
{
    static const char incarnation[] = "\"incarnation\":";
    char *text = live_output(f->mesh, "reader", node,
                             (const char *const[]){"members", "--format", "ndjson", NULL});

    for (char *at = text; (at = strstr(at, "\"since_s\"")) != NULL;) {
        char *kept = strstr(at, incarnation);
        char *end = kept != NULL ? strchr(kept, '}') : NULL;
        assert_non_null(end);
        assert_true(strtoull(kept + strlen(incarnation), NULL, 10) < FORGED_INCARNATION / 1000);
        memmove(at, end, strlen(end) + 1);
    }
    return text;
}

/* Within ten seconds the node sees the members as it did before. */
static void assert_members(struct fixture *f, const struct live_node *node, const char *expected)
{
    for (uint32_t i = 0; i < 100; i++) {
        FM_AUTO(fm_mem_freep) char *now = members(f, node);
        if (strcmp(now, expected) == 0)
            return;
        (void)poll(NULL, 0, 100);
    }
    FM_AUTO(fm_mem_freep) char *last = members(f, node);
    assert_string_equal(last, expected);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    f->mesh = live_mesh_new();
    f->alpha = live_make_node(f->mesh, "alpha");
    live_start(f->mesh, f->alpha);
    f->beta = live_make_node(f->mesh, "beta");
    live_start(f->mesh, f->beta);
    (void)live_make_node(f->mesh, "mole");
    live_make_principal(f->mesh, "reader", (const char *const[]){"reader", NULL});
    f->mole = live_identity(f->mesh, "mole", FM_PAYLOAD_NODE);
    live_wait(f->mesh, "reader", f->alpha, 2, 0);
    live_wait(f->mesh, "reader", f->beta, 2, 0);
    struct fm_datagrams_options options = {.gossip_key = f->mole->gossip_key,
                                           .self = f->mole->node.node,
                                           .boot_epoch = 1,
                                           .sender_max = 16};
    assert_int_equal(fm_datagrams_new(&options, &f->datagrams), FM_OK);
    f->socket = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(f->socket >= 0);
    f->members = members(f, f->alpha);
    f->members_beta = members(f, f->beta);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    live_mesh_free(f->mesh);
    fm_identity_free(f->mole);
    fm_datagrams_free(f->datagrams);
    (void)close(f->socket);
    free(f->members);
    free(f->members_beta);
    free(f);
    return 0;
}

/* Both nodes live, think what they thought, and answer questions. */
static void assert_unchanged(struct fixture *f)
{
    assert_true(live_runs(f->alpha));
    assert_true(live_runs(f->beta));
    assert_members(f, f->alpha, f->members);
    assert_members(f, f->beta, f->members_beta);
    free(sees(f, f->alpha));
}

static void send_to(int fd, const struct live_node *node, struct fm_span bytes)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(node->port)};

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    (void)sendto(fd, bytes.data, bytes.len, 0, (struct sockaddr *)&to, sizeof to); /* As UDP is. */
}

/* Datagrams that come back within `ms` of the last one; the last one's bytes. */
static uint32_t answers(int fd, int ms, struct fm_buf *last)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    uint8_t bytes[2048];
    uint32_t count = 0;

    while (poll(&poll_fd, 1, ms) > 0) {
        ssize_t got = recv(fd, bytes, sizeof bytes, 0);
        if (got < 0)
            break;
        count++;
        if (last == NULL)
            continue;
        fm_buf_clear(last);
        fm_buf_put(last, bytes, (size_t)got);
    }
    return count;
}

/* A genuine ping of the mole, sealed. */
static void seal_packet(struct fm_datagrams *datagrams, struct fm_span packet, struct fm_buf *out)
{
    uint8_t nonce[24];

    fm_random(nonce, sizeof nonce);
    fm_buf_clear(out);
    assert_int_equal(fm_datagram_seal(datagrams, nonce, packet, out), FM_OK);
}

static void ping(struct fixture *f, struct fm_buf *out)
{
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct wire_writer writer;

    wire_begin(&writer, bytes, WIRE_PING, ++f->sequence);
    seal_packet(f->datagrams, fm_span(bytes, writer.len), out);
}

/* Twenty thousand datagrams of random bytes and lengths; every second one looks like gossip. */
static void garbage_draws_no_answer(void **state)
{
    struct fixture *f = *state;
    uint8_t key_id = fm_key_public(f->mole->gossip_key)->bytes[0];
    struct live_usage before = live_usage(f->alpha->pid);
    uint8_t bytes[1400];

    for (uint32_t i = 0; i < 20000; i++) {
        fm_random(bytes, 64 + i % 64);
        size_t len = i % 50 == 0 ? 0 : fm_load16(bytes + 40) % sizeof bytes;
        if (i % 2 == 0) {
            bytes[0] = 1;
            bytes[1] = key_id;
        }
        send_to(f->socket, i % 3 == 0 ? f->beta : f->alpha, fm_span(bytes, len));
    }
    assert_int_equal(answers(f->socket, 300, NULL), 0);
    struct live_usage after = live_usage(f->alpha->pid);
    print_message("garbage: memory %llu KiB before, %llu KiB after\n",
                  (unsigned long long)before.rss_kib, (unsigned long long)after.rss_kib);
    live_assert_growth(&before, &after, 4);
    assert_unchanged(f);
}

/* A ping that holds is answered once, however often and from wherever it comes. */
static void a_repeated_datagram_is_dropped(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf datagram = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);
    struct fixture *f = *state;
    int other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ping(f, &datagram);
    send_to(f->socket, f->alpha, fm_buf_span(&datagram));
    assert_int_equal(answers(f->socket, 1000, &answer), 1);
    for (uint32_t i = 0; i < 200; i++)
        send_to(i % 2 == 0 ? f->socket : other, f->alpha, fm_buf_span(&datagram));
    assert_int_equal(answers(f->socket, 300, NULL), 0);
    assert_int_equal(answers(other, 10, NULL), 0);
    /* Alpha's own answer, back to alpha and on to beta. */
    for (uint32_t i = 0; i < 200; i++)
        send_to(other, i % 2 == 0 ? f->alpha : f->beta, fm_buf_span(&answer));
    assert_int_equal(answers(other, 300, NULL), 0);
    (void)close(other);
    assert_unchanged(f);
}

/* Every bit of the header and some of the rest: nothing but the genuine one opens. */
static void a_bent_datagram_is_dropped(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf datagram = FM_BUF_INIT(0);
    struct fixture *f = *state;

    ping(f, &datagram);
    for (size_t bit = 0; bit < datagram.len * 8; bit += bit < (size_t)HEADER_BYTES * 8 ? 1 : 5) {
        datagram.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        send_to(f->socket, f->alpha, fm_buf_span(&datagram));
        datagram.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t len = 0; len < datagram.len; len++)
        send_to(f->socket, f->alpha, fm_span(datagram.data, len));
    assert_int_equal(answers(f->socket, 300, NULL), 0);
    send_to(f->socket, f->alpha, fm_buf_span(&datagram));
    assert_int_equal(answers(f->socket, 1000, NULL), 1);
    assert_unchanged(f);
}

/* ---- With the gossip key, without a certificate ---------------------------------------------- */

static void put_forged(struct fixture *f, struct wire_writer *writer, const struct fm_node_id *node,
                       enum fm_member_claim claim)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf envelope = FM_BUF_INIT(0);
    struct fm_member_record record = {.node = *node,
                                      .incarnation = FORGED_INCARNATION,
                                      .address = "127.0.0.1:1",
                                      .claim = claim,
                                      .time = fm_now_us()};
    struct fm_key *key = f->mole->sign_key;

    fm_member_record_encode(&body, &record);
    assert_int_equal(fm_envelope_seal(FM_ENV_MEMBER, &f->mole->charter.mesh, fm_buf_span(&body),
                                      &key, 1, &envelope),
                     FM_OK);
    const struct wire_member item = {.claim = claim,
                                     .node = *node,
                                     .incarnation = record.incarnation,
                                     .envelope = fm_buf_span(&envelope)};
    assert_true(wire_put_member(writer, &item));
}

/* Beta says of itself that it is elsewhere, or that it has left, signed by somebody else. */
static void a_member_record_needs_its_own_key(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf datagram = FM_BUF_INIT(0);
    struct fixture *f = *state;
    struct fm_identity *beta = live_identity(f->mesh, "beta", FM_PAYLOAD_NODE);
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct wire_writer writer;

    for (uint32_t i = 0; i < 12; i++) {
        wire_begin(&writer, bytes, i % 2 == 0 ? WIRE_NEWS : WIRE_JOIN, ++f->sequence);
        put_forged(f, &writer, &beta->node.node, i % 3 == 0 ? FM_MEMBER_LEFT : FM_MEMBER_ALIVE);
        seal_packet(f->datagrams, fm_span(bytes, writer.len), &datagram);
        send_to(f->socket, f->alpha, fm_buf_span(&datagram));
    }
    (void)answers(f->socket, 500, NULL);
    fm_identity_free(beta);
    assert_unchanged(f);
}

/* Nodes that nobody certified, by the thousand: none is listed, and memory stays as it is. */
static void invented_members_are_not_listed(void **state)
{
    FM_AUTO(fm_buf_free) struct fm_buf datagram = FM_BUF_INIT(0);
    struct fixture *f = *state;
    uint8_t bytes[FM_PACKET_BYTES_MAX];
    struct wire_writer writer;
    struct fm_node_id id;
    struct live_usage before = live_usage(f->alpha->pid);

    for (uint32_t i = 0; i < 2000; i++) {
        fm_random(id.bytes, sizeof id.bytes);
        wire_begin(&writer, bytes, WIRE_NEWS, ++f->sequence);
        put_forged(f, &writer, &id, FM_MEMBER_ALIVE);
        seal_packet(f->datagrams, fm_span(bytes, writer.len), &datagram);
        send_to(f->socket, f->alpha, fm_buf_span(&datagram));
    }
    (void)answers(f->socket, 500, NULL);
    struct live_usage after = live_usage(f->alpha->pid);
    print_message("invented members: memory %llu KiB before, %llu KiB after\n",
                  (unsigned long long)before.rss_kib, (unsigned long long)after.rss_kib);
    live_assert_growth(&before, &after, 8);
    assert_unchanged(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_draws_no_answer),
        cmocka_unit_test(a_repeated_datagram_is_dropped),
        cmocka_unit_test(a_bent_datagram_is_dropped),
        cmocka_unit_test(a_member_record_needs_its_own_key),
        cmocka_unit_test(invented_members_are_not_listed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
