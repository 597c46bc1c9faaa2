/* A program on a node's TCP port that keeps to no rule unless told so: nng's framing (SP header,
 * u64 length, REQ's 4-byte id) by hand, and above it handshakes and sealed calls of which every
 * byte can be kept, changed and sent again.
 * Threads: one per object. Errors: what a test cannot go on without fails the test. */
#ifndef FM_TESTS_SUPPORT_RAW_PEER_H
#define FM_TESTS_SUPPORT_RAW_PEER_H

#include "core/frame.h"
#include "core/records.h"

#define RAW_ANSWER_MS 5000

enum raw_result { RAW_MESSAGE, RAW_CLOSED, RAW_SILENT };

/* A connected socket to 127.0.0.1, nothing sent; -1 when it is refused. */
int raw_dial(uint16_t port);
/* The SP header of REQ both ways; false when the other side does not answer with REP's. */
bool raw_greet(int fd);
/* Dial and greet; fails the test when that does not work. */
int raw_open(uint16_t port);
void raw_bytes(int fd, const void *data, size_t len); /* What cannot be sent is left. */
void raw_length(int fd, uint64_t length);             /* As nng announces a message. */
void raw_send(int fd, struct fm_span message);        /* As REQ. */
/* The next message without REQ's id into `out`, within `ms`. */
enum raw_result raw_receive(int fd, fm_ms ms, struct fm_buf *out);
/* RAW_CLOSED once the other side has closed, whatever it sends before, within `ms`. */
enum raw_result raw_wait_closed(int fd, fm_ms ms);
/* Send and wait for the answer. */
enum raw_result raw_exchange(int fd, struct fm_span message, struct fm_buf *out);

/* Who this program says it is. `cert` and keys need not belong together. */
struct raw_identity {
    enum fm_noise_pattern pattern;
    enum fm_payload_kind kind;
    struct fm_span cert;
    const struct fm_key *session_key;
    struct fm_key *sign_key;
    const struct fm_key *gossip_key;  /* NULL: none. */
    const struct fm_public_key *peer; /* FM_NOISE_IKPSK2: the node's session key. */
    struct fm_mesh_id mesh;           /* Under which requests are signed. */
    struct fm_node_id node;           /* Whom they are for. */
};

struct raw_session {
    int fd;
    struct raw_identity identity;
    struct fm_session *session; /* NULL: not admitted. */
    uint8_t id[16];
    struct fm_buf hello; /* As sent. */
    struct fm_buf finish;
    struct fm_buf sealed; /* The last call. */
    /* Of the last step or call. */
    enum fm_status status;
    char text[FM_ERROR_TEXT_MAX];
    struct fm_buf body;
};

/* Dial and shake hands. FM_OK: admitted; else the refusal's status, its text in `text`. */
enum fm_status raw_begin(struct raw_session *session, uint16_t port,
                         const struct raw_identity *identity);
void raw_end(struct raw_session *session);
/* One call: the reply's status, or the refusal's; text and body are kept. FM_UNAVAILABLE: closed,
 * or no answer. */
enum fm_status raw_call(struct raw_session *session, enum fm_method method, struct fm_span body);
/* Any bytes as a frame, read as raw_call() reads an answer. */
enum fm_status raw_frame(struct raw_session *session, struct fm_span frame);
/* A request of `method` that holds: for this node, this session, now. */
struct fm_request raw_request(const struct raw_session *session, enum fm_method method,
                              struct fm_span body);
/* Sign it and append the envelope; `key` NULL: the identity's. */
void raw_sign(const struct raw_session *session, const struct fm_request *request,
              struct fm_key *key, struct fm_buf *out);
/* Sign and call request->kind. */
enum fm_status raw_ask(struct raw_session *session, const struct fm_request *request,
                       struct fm_key *key);

#endif
