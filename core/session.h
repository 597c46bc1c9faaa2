/* A sealed session after a Noise handshake: one key a direction, an explicit 64-bit counter as
 * nonce, so that replies may come out of order; a window of FM_REPLAY_WINDOW against replays.
 * Free of transports: bytes in, bytes out.
 * Threads: seal and open may be called by several threads; the session locks itself. */
#ifndef FM_CORE_SESSION_H
#define FM_CORE_SESSION_H

#include "core/noise.h"
#include "core/time.h"

struct fm_session;

/* Takes the keys of a finished handshake, once. `now` starts its age. */
FM_MUST_USE enum fm_status fm_session_new(struct fm_noise *noise, fm_ms now,
                                          struct fm_session **out);
void fm_session_free(struct fm_session *session); /* Wipes. */
FM_DEFINE_FREEP(fm_session_freep, struct fm_session, fm_session_free)

/* The handshake hash (its first half): what tickets and requests bind to. */
const uint8_t *fm_session_hash(const struct fm_session *session); /* 32 bytes. */

/* Append u64 counter || ChaCha20-Poly1305(plain) to `out`; `ad` is authenticated beside it.
 * FM_LIMIT: too old or too many messages, make a new session; or more than FM_PAYLOAD_BYTES_MAX. */
FM_MUST_USE enum fm_status fm_session_seal(struct fm_session *session, fm_ms now, struct fm_span ad,
                                           struct fm_span plain, struct fm_buf *out);
/* Append the plain text to `out`. FM_FORGED: does not open, or was seen. FM_LIMIT: past
 * FM_SESSION_ANSWER_MS. */
FM_MUST_USE enum fm_status fm_session_open(struct fm_session *session, fm_ms now, struct fm_span ad,
                                           struct fm_span sealed, struct fm_buf *out);
/* True when the session should be replaced by a new one (FM_SESSION_REKEY_MS). */
bool fm_session_is_old(const struct fm_session *session, fm_ms now);

#endif
