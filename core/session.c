#include "core/session.h"

#include "core/aead.h"
#include "core/assert.h"
#include "core/limits.h"
#include "core/window.h"

#include <pthread.h>
#include <sodium.h>
#include <stdatomic.h>

#define COUNTER_BYTES 8u
#define TAG_BYTES FM_AEAD_TAG_BYTES
/* Another session is asked for well before the counters end. */
#define MESSAGES_OLD (FM_SESSION_MESSAGES_MAX / 4 * 3)

struct fm_session {
    struct fm_noise_keys keys; /* Never changes. */
    struct fm_aead *aead;
    fm_ms started;
    _Atomic uint64_t sent; /* Counter of the next message. */
    pthread_mutex_t lock;  /* Guards the window. */
    struct fm_window window;
};

enum fm_status fm_session_new(struct fm_noise *noise, fm_ms now, struct fm_session **out)
{
    struct fm_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return FM_NOMEM;
    enum fm_status status = fm_aead_new(&session->aead);
    if (status == FM_OK && pthread_mutex_init(&session->lock, NULL) != 0)
        status = FM_NOMEM;
    if (status != FM_OK) {
        fm_aead_free(session->aead);
        free(session);
        return status;
    }
    atomic_init(&session->sent, 0);
    session->started = now;
    fm_noise_split(noise, &session->keys);
    *out = session;
    return FM_OK;
}

void fm_session_free(struct fm_session *session)
{
    if (session == NULL)
        return;
    (void)pthread_mutex_destroy(&session->lock); /* Fails only while locked: a broken caller. */
    fm_aead_free(session->aead);
    sodium_memzero(session, sizeof *session);
    free(session);
}

const uint8_t *fm_session_hash(const struct fm_session *session)
{
    return session->keys.hash;
}

static bool is_dead(const struct fm_session *session, fm_ms now)
{
    return now - session->started >= FM_SESSION_ANSWER_MS;
}

/* As Noise counts (section 12.3), so that published vectors hold for sealed messages too. */
static void make_nonce(uint64_t counter, uint8_t out[12])
{
    memset(out, 0, 4);
    fm_store64(out + 4, counter);
}

enum fm_status fm_session_seal(struct fm_session *session, fm_ms now, struct fm_span ad,
                               struct fm_span plain, struct fm_buf *out)
{
    uint8_t nonce[12];

    if (is_dead(session, now) || plain.len > FM_PAYLOAD_BYTES_MAX)
        return FM_LIMIT;
    uint8_t *at = fm_buf_extend(out, COUNTER_BYTES + plain.len + TAG_BYTES);
    if (at == NULL)
        return fm_buf_status(out);
    /* Past the limit the counter still grows, which takes centuries to wrap. */
    uint64_t counter = atomic_fetch_add(&session->sent, 1);
    if (counter >= FM_SESSION_MESSAGES_MAX) {
        out->len -= COUNTER_BYTES + plain.len + TAG_BYTES;
        return FM_LIMIT;
    }
    fm_store64(at, counter);
    make_nonce(counter, nonce);
    struct fm_aead_message message = {.key = session->keys.send, .nonce = nonce, .ad = ad};
    enum fm_status status = fm_aead_seal(session->aead, &message, plain, at + COUNTER_BYTES);
    if (status != FM_OK)
        out->len -= COUNTER_BYTES + plain.len + TAG_BYTES;
    return status;
}

static bool is_fresh(struct fm_session *session, uint64_t counter)
{
    fm_assert(pthread_mutex_lock(&session->lock) == 0);
    bool fresh = fm_window_is_fresh(&session->window, counter);
    fm_assert(pthread_mutex_unlock(&session->lock) == 0);
    return fresh;
}

/* False when another thread took the same counter meanwhile. */
static bool mark(struct fm_session *session, uint64_t counter)
{
    fm_assert(pthread_mutex_lock(&session->lock) == 0);
    bool fresh = fm_window_is_fresh(&session->window, counter);
    if (fresh)
        fm_window_mark(&session->window, counter);
    fm_assert(pthread_mutex_unlock(&session->lock) == 0);
    return fresh;
}

enum fm_status fm_session_open(struct fm_session *session, fm_ms now, struct fm_span ad,
                               struct fm_span sealed, struct fm_buf *out)
{
    uint8_t nonce[12];

    if (is_dead(session, now))
        return FM_LIMIT;
    if (sealed.len < COUNTER_BYTES + TAG_BYTES ||
        sealed.len > COUNTER_BYTES + FM_PAYLOAD_BYTES_MAX + TAG_BYTES)
        return FM_FORGED;
    size_t plain_len = sealed.len - COUNTER_BYTES - TAG_BYTES;
    uint64_t counter = fm_load64(sealed.data);
    if (counter >= FM_SESSION_MESSAGES_MAX || !is_fresh(session, counter))
        return FM_FORGED;
    size_t start = out->len;
    uint8_t *at = fm_buf_extend(out, plain_len);
    if (at == NULL)
        return fm_buf_status(out);
    make_nonce(counter, nonce);
    /* Outside the lock: large messages of several threads are opened at the same time. */
    struct fm_aead_message message = {.key = session->keys.receive, .nonce = nonce, .ad = ad};
    enum fm_status status = fm_aead_open(
        session->aead, &message, fm_span(sealed.data + COUNTER_BYTES, plain_len + TAG_BYTES), at);
    if (status == FM_OK && !mark(session, counter))
        status = FM_FORGED;
    if (status != FM_OK) {
        sodium_memzero(at, plain_len);
        out->len = start;
    }
    return status;
}

bool fm_session_is_old(const struct fm_session *session, fm_ms now)
{
    return now - session->started >= FM_SESSION_REKEY_MS ||
           atomic_load(&session->sent) >= MESSAGES_OLD;
}
