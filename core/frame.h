/* The outer form of every message on a stream connection (one nng message each), before and after
 * the handshake (docs/wire.md, "Frames"). Every connection begins with a version range and feature
 * bits.
 *   HELLO    1, from the initiator: u8 1, u8 pattern (noise.h), u16 version min, u16 version max,
 *            u32 features, 16 zero bytes, noise message 1. The first 26 bytes are the Noise
 *            prologue.
 *   WELCOME  2, from the responder: u8 2, u8 pattern, u16 chosen version, u16 responder's max, u32
 *            features, session id (16), noise message 2. Its encrypted payload begins with these 26
 *            bytes again, so that a downgrade is seen; then the responder's certificate (node).
 *   FINISH   3, only XX and XXpsk0, from the initiator: u8 3, u8 pattern, 8 zero bytes, session
 *            id, noise message 3; its payload is the initiator's certificate. In IKpsk2 the
 *            certificate is the payload of message 1.
 *   SEALED   4, both ways: u8 4, 9 zero bytes, session id, then fm_session_seal() of a call or
 *            reply; the first 26 bytes are its associated data. The reply to FINISH is a sealed
 *            empty reply.
 *   REFUSED  5, from the responder, in clear: u8 5, 9 zero bytes, session id, u8 status, text: why
 *            it will not go on (no common version, unknown session, not admitted).
 * A certificate payload is u8 kind (1 node, 2 principal) and the envelope. */
#ifndef FM_CORE_FRAME_H
#define FM_CORE_FRAME_H

#include "core/bytes.h"
#include "core/noise.h"

#define FM_PROTOCOL_VERSION 1u
#define FM_PROTOCOL_VERSION_MIN 1u
#define FM_FRAME_HEADER_BYTES 26u

enum fm_frame_kind {
    FM_FRAME_HELLO = 1,
    FM_FRAME_WELCOME = 2,
    FM_FRAME_FINISH = 3,
    FM_FRAME_SEALED = 4,
    FM_FRAME_REFUSED = 5,
};

enum fm_payload_kind { FM_PAYLOAD_NODE = 1, FM_PAYLOAD_PRINCIPAL = 2 };

struct fm_frame {
    enum fm_frame_kind kind;
    enum fm_noise_pattern pattern; /* HELLO, WELCOME, FINISH. */
    uint16_t version_min;          /* WELCOME: the chosen version. */
    uint16_t version_max;
    uint32_t features;
    uint8_t session[16];
    struct fm_span rest; /* Behind the header; borrowed. */
};

/* Append the 26-byte header (without `rest`). */
void fm_frame_encode(struct fm_buf *out, const struct fm_frame *frame);
FM_MUST_USE enum fm_status fm_frame_decode(struct fm_span bytes, struct fm_frame *out);
/* The highest version both sides know; FM_UNSUPPORTED when there is none. */
FM_MUST_USE enum fm_status fm_version_choose(uint16_t peer_min, uint16_t peer_max, uint16_t *out);

/* Append a whole REFUSED frame; `text` is cut to FM_REFUSAL_TEXT_MAX bytes. */
#define FM_REFUSAL_TEXT_MAX 256u
void fm_frame_refuse(struct fm_buf *out, const uint8_t session_id[16], enum fm_status why,
                     const char *text);
/* What a REFUSED frame says: always an error, FM_REFUSED with the peer's text in `err`. It came in
 * clear, so anybody on the way may have written it. `why` may be NULL; FM_INTERNAL when the frame
 * gives none. */
FM_MUST_USE enum fm_status fm_frame_refusal(const struct fm_frame *frame, enum fm_status *why,
                                            struct fm_error *err);

/* ---- Both sides of a connection's beginning as one sans-I/O machine -------------------- */
struct fm_session;
struct fm_handshake;

struct fm_handshake_options {
    enum fm_noise_pattern pattern; /* Initiator's choice; a responder takes what HELLO says. */
    bool initiator;
    const struct fm_key *session_key; /* Own; borrowed. */
    const struct fm_public_key *peer; /* IKpsk2's initiator only. */
    const struct fm_key *gossip_key;  /* psk; NULL on a principal's side. */
    enum fm_payload_kind cert_kind;   /* Of the own certificate. */
    struct fm_span cert;              /* Own certificate's envelope; borrowed. */
    uint8_t session_id[16];           /* Responder: random, chosen by the caller. */
};

FM_MUST_USE enum fm_status fm_handshake_new(const struct fm_handshake_options *options,
                                            struct fm_handshake **out);
void fm_handshake_free(struct fm_handshake *handshake);
FM_DEFINE_FREEP(fm_handshake_freep, struct fm_handshake, fm_handshake_free)

/* Initiator: the HELLO frame. */
FM_MUST_USE enum fm_status fm_handshake_start(struct fm_handshake *handshake, struct fm_buf *out);
/* Feed the other side's next frame; an answer frame, when there is one, is appended to `out`.
 * Errors end the handshake: FM_REFUSED with the peer's text for a REFUSED frame. A responder then
 * appends a REFUSED frame of its own, to be sent before the connection is given up. Before the
 * start and after the end every frame is FM_INVALID, without an answer, and changes nothing. */
FM_MUST_USE enum fm_status fm_handshake_step(struct fm_handshake *handshake, struct fm_span frame,
                                             struct fm_buf *out, struct fm_error *err);
/* True once this side has everything: the peer's certificate (unverified bytes) and the keys. */
bool fm_handshake_is_finished(const struct fm_handshake *handshake);
/* The peer's certificate as received and its static session key: the caller checks that the
 * verified certificate names that key. Valid while the handshake lives; asserted to be finished. In
 * IKpsk2 a responder learns only from the first sealed frame that the initiator is alive: HELLO may
 * be a replay, whose sender cannot use the session. */
struct fm_span fm_handshake_peer_cert(const struct fm_handshake *handshake,
                                      enum fm_payload_kind *kind);
const struct fm_public_key *fm_handshake_peer_key(const struct fm_handshake *handshake);
const uint8_t *fm_handshake_session_id(const struct fm_handshake *handshake); /* 16 bytes. */
FM_MUST_USE enum fm_status fm_handshake_session(const struct fm_handshake *handshake,
                                                int64_t now_ms, struct fm_session **out);

/* Seal a call or reply into a SEALED frame, and open one. `session_id` must be the frame's. */
FM_MUST_USE enum fm_status fm_frame_seal(struct fm_session *session, const uint8_t session_id[16],
                                         int64_t now_ms, struct fm_span plain, struct fm_buf *out);
FM_MUST_USE enum fm_status fm_frame_open(struct fm_session *session, const struct fm_frame *frame,
                                         struct fm_span whole, int64_t now_ms, struct fm_buf *out);

#endif
