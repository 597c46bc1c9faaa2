#include "client/link.h"

#include "core/assert.h"
#include "core/limits.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define CLOSE_MS_MAX 3000 /* Usually some milliseconds. */
#define URL_MAX 512
#define EXCHANGES_MAX 512u /* At once on one link; fewer than FM_REPLAY_WINDOW. */
_Static_assert(EXCHANGES_MAX < FM_REPLAY_WINDOW, "calls arrive in any order");

struct fm_link {
    nng_socket socket;
    bool socket_open;
    atomic_bool linked; /* A pipe is there. */
    atomic_bool broken;
    pthread_mutex_t lock; /* Guards `waiting`, and that nothing starts on a broken link. */
    nng_aio *waiting[EXCHANGES_MAX];
    pthread_cond_t closed_now;
    bool closed;  /* With `lock`, as `is_left`: by the thread that closes the socket; */
    bool is_left; /* which frees the link, since nobody waits any more. */
};

/* On nng's threads. When the link goes, calls that wait for an answer cannot get one any more. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *context)
{
    struct fm_link *link = context;

    (void)pipe;
    if (event == NNG_PIPE_EV_ADD_POST) {
        atomic_store(&link->linked, true);
        return;
    }
    if (!atomic_load(&link->linked))
        return;
    (void)pthread_mutex_lock(&link->lock); /* Cannot fail: a plain mutex. */
    atomic_store(&link->broken, true);
    for (uint32_t i = 0; i < EXCHANGES_MAX; i++)
        if (link->waiting[i] != NULL)
            nng_aio_abort(link->waiting[i], NNG_ECONNRESET);
    (void)pthread_mutex_unlock(&link->lock);
}

static enum fm_status nng_failed(int code, struct fm_error *err, const char *what)
{
    switch (code) {
    case NNG_ENOMEM:
        return fm_fail(err, FM_NOMEM, "%s", what);
    case NNG_ETIMEDOUT:
        return fm_fail(err, FM_TIMEOUT, "%s: no answer before the deadline", what);
    case NNG_EADDRINVAL:
        return fm_fail(err, FM_INVALID, "%s: the address is not host:port", what);
    case NNG_EMSGSIZE:
        return fm_fail(err, FM_MALFORMED, "%s: the message is too large", what);
    case NNG_ECANCELED:
        return fm_fail(err, FM_CANCELLED, "%s: the query was cancelled", what);
    default:
        return fm_fail(err, FM_UNAVAILABLE, "%s: %s", what, nng_strerror(code));
    }
}

static bool add_waiting(struct fm_link *link, nng_aio *aio, uint32_t *slot)
{
    bool added = false;
    (void)pthread_mutex_lock(&link->lock);
    for (uint32_t i = 0; i < EXCHANGES_MAX && !added; i++) {
        if (link->waiting[i] != NULL)
            continue;
        link->waiting[i] = aio;
        *slot = i;
        added = true;
    }
    (void)pthread_mutex_unlock(&link->lock);
    return added;
}

static void remove_waiting(struct fm_link *link, uint32_t slot)
{
    (void)pthread_mutex_lock(&link->lock);
    link->waiting[slot] = NULL;
    (void)pthread_mutex_unlock(&link->lock);
}

static nng_duration left(fm_ms deadline)
{
    fm_ms now = fm_now_ms();
    if (deadline <= now)
        return 1;
    return deadline - now > FM_QUERY_MS_MAX ? (nng_duration)FM_QUERY_MS_MAX
                                            : (nng_duration)(deadline - now);
}

struct fm_exchange {
    struct fm_link *link;
    nng_ctx context;
    bool context_open;
    bool is_waiting; /* In `waiting`, as `slot`. */
    bool has_begun;  /* The answer is awaited. */
    uint32_t slot;
    nng_aio *aio;
    nng_msg *answer; /* Once it came. */
    struct fm_stop *stop;
    struct fm_stop_hook hook;
    bool stopped; /* Guarded by the link's lock, as what has begun with `aio`. */
};

/* Begin to send or to receive; what has begun is aborted when the link goes, so that nobody waits
 * for an answer that cannot come, and when it is to stop. nng would send over its next link, which
 * is in no session. */
static int begin_step(struct fm_exchange *exchange, fm_ms deadline,
                      void (*step)(nng_ctx, nng_aio *))
{
    struct fm_link *link = exchange->link;

    nng_aio_set_timeout(exchange->aio, left(deadline));
    (void)pthread_mutex_lock(&link->lock);
    bool broken = atomic_load(&link->broken), stopped = exchange->stopped;
    if (!broken && !stopped)
        step(exchange->context, exchange->aio);
    (void)pthread_mutex_unlock(&link->lock);
    return stopped ? NNG_ECANCELED : broken ? NNG_ECONNRESET : 0;
}

static void stop_exchange(void *context)
{
    struct fm_exchange *exchange = context;

    (void)pthread_mutex_lock(&exchange->link->lock); /* Cannot fail: a plain mutex. */
    exchange->stopped = true;
    nng_aio_abort(exchange->aio, NNG_ECANCELED);
    (void)pthread_mutex_unlock(&exchange->link->lock);
}

void fm_exchange_free(struct fm_exchange *exchange)
{
    if (exchange == NULL)
        return;
    fm_stop_unhook(exchange->stop, &exchange->hook);
    if (exchange->has_begun) { /* Nobody wants the answer any more. */
        nng_aio_cancel(exchange->aio);
        nng_aio_wait(exchange->aio);
        if (nng_aio_result(exchange->aio) == 0)
            nng_msg_free(nng_aio_get_msg(exchange->aio));
    }
    if (exchange->is_waiting)
        remove_waiting(exchange->link, exchange->slot);
    if (exchange->context_open)
        (void)nng_ctx_close(exchange->context); /* Only fails when it is closed already. */
    if (exchange->aio != NULL)
        nng_aio_free(exchange->aio);
    nng_msg_free(exchange->answer); /* NULL is fine. */
    free(exchange);
}

static enum fm_status send_frame(struct fm_exchange *exchange, struct fm_span frame, fm_ms deadline,
                                 struct fm_error *err)
{
    nng_msg *message = NULL;

    int code = nng_msg_alloc(&message, frame.len);
    if (code != 0)
        return nng_failed(code, err, "send a request");
    memcpy(nng_msg_body(message), frame.data, frame.len);
    nng_aio_set_msg(exchange->aio, message);
    code = begin_step(exchange, deadline, nng_ctx_send);
    if (code == 0) {
        nng_aio_wait(exchange->aio);
        code = nng_aio_result(exchange->aio);
    }
    if (code != 0)
        nng_msg_free(nng_aio_get_msg(exchange->aio)); /* Not sent: still ours. */
    return code == 0 ? FM_OK : nng_failed(code, err, "send");
}

static enum fm_status begin(struct fm_exchange *exchange, struct fm_span frame, fm_ms deadline,
                            struct fm_error *err)
{
    struct fm_link *link = exchange->link;

    int code = nng_ctx_open(&exchange->context, link->socket);
    exchange->context_open = code == 0;
    if (code != 0)
        return nng_failed(code, err, "open a request");
    code = nng_aio_alloc(&exchange->aio, NULL, NULL);
    if (code != 0)
        return nng_failed(code, err, "send a request");
    exchange->is_waiting = add_waiting(link, exchange->aio, &exchange->slot);
    if (!exchange->is_waiting)
        return fm_fail(err, FM_BUSY, "more than %u calls on one connection", EXCHANGES_MAX);
    fm_stop_hook(exchange->stop, &exchange->hook, stop_exchange, exchange);
    enum fm_status status = send_frame(exchange, frame, deadline, err);
    if (status != FM_OK)
        return status;
    code = begin_step(exchange, deadline, nng_ctx_recv);
    exchange->has_begun = code == 0;
    return code == 0 ? FM_OK : nng_failed(code, err, "wait for the answer");
}

enum fm_status fm_exchange_begin(struct fm_link *link, struct fm_span frame, fm_ms deadline,
                                 struct fm_stop *stop, struct fm_exchange **out,
                                 struct fm_error *err)
{
    FM_AUTO(fm_exchange_freep) struct fm_exchange *exchange = calloc(1, sizeof *exchange);

    if (exchange == NULL)
        return fm_fail(err, FM_NOMEM, "send a request");
    exchange->link = link;
    exchange->stop = stop;
    enum fm_status status = begin(exchange, frame, deadline, err);
    if (status == FM_OK)
        *out = FM_TAKE(exchange);
    return status;
}

enum fm_status fm_exchange_wait(struct fm_exchange *exchange, struct fm_span *answer,
                                struct fm_error *err)
{
    fm_assert(exchange->has_begun);
    nng_aio_wait(exchange->aio);
    exchange->has_begun = false;
    int code = nng_aio_result(exchange->aio);
    if (code != 0)
        return nng_failed(code, err, "wait for the answer");
    exchange->answer = nng_aio_get_msg(exchange->aio);
    *answer = fm_span(nng_msg_body(exchange->answer), nng_msg_len(exchange->answer));
    return FM_OK;
}

/* ---- Links ----------------------------------------------------------------------------------- */

static bool make_url(const char *address, char out[URL_MAX])
{
    return snprintf(out, URL_MAX, "tcp://%s", address) < URL_MAX;
}

static void abort_dial(void *context)
{
    nng_aio_abort(context, NNG_ECANCELED);
}

bool fm_link_is_refused(const char *address, fm_ms deadline, struct fm_stop *stop)
{
    struct fm_stop_hook hook = {0};
    nng_stream_dialer *dialer = NULL;
    nng_aio *aio = NULL;
    char url[URL_MAX];

    if (!make_url(address, url) || nng_aio_alloc(&aio, NULL, NULL) != 0)
        return false;
    if (nng_stream_dialer_alloc(&dialer, url) != 0) {
        nng_aio_free(aio);
        return false;
    }
    nng_aio_set_timeout(aio, left(deadline));
    nng_stream_dialer_dial(dialer, aio);
    fm_stop_hook(stop, &hook, abort_dial, aio); /* At once where it has fired. */
    nng_aio_wait(aio);
    fm_stop_unhook(stop, &hook);
    int code = nng_aio_result(aio);
    if (code == 0)
        nng_stream_free(nng_aio_get_output(aio, 0));
    nng_stream_dialer_free(dialer);
    nng_aio_free(aio);
    return code == NNG_ECONNREFUSED;
}

static enum fm_status dial(struct fm_link *link, const char *address, struct fm_error *err)
{
    char url[URL_MAX];
    nng_dialer dialer;

    if (!make_url(address, url))
        return fm_fail(err, FM_INVALID, "address %.100s... is too long", address);
    int code = nng_req0_open(&link->socket);
    if (code != 0)
        return nng_failed(code, err, "open a socket");
    link->socket_open = true;
    /* -1: any other value resends at once when a pipe closes, in a session that is gone. */
    code = nng_socket_set_ms(link->socket, NNG_OPT_REQ_RESENDTIME, -1);
    if (code == 0)
        code = nng_socket_set_size(link->socket, NNG_OPT_RECVMAXSZ, FM_MESSAGE_BYTES_MAX);
    if (code == 0)
        code = nng_socket_set_ms(link->socket, NNG_OPT_RECONNMINT, 100);
    if (code == 0)
        code = nng_socket_set_ms(link->socket, NNG_OPT_RECONNMAXT, 500);
    if (code == 0)
        code = nng_pipe_notify(link->socket, NNG_PIPE_EV_ADD_POST, on_pipe, link);
    if (code == 0)
        code = nng_pipe_notify(link->socket, NNG_PIPE_EV_REM_POST, on_pipe, link);
    if (code == 0)
        code = nng_dialer_create(&dialer, link->socket, url);
    if (code == 0)
        code = nng_dialer_start(dialer, NNG_FLAG_NONBLOCK);
    if (code != 0)
        return nng_failed(code, err, address);
    return FM_OK;
}

static bool init_locks(struct fm_link *link)
{
    pthread_condattr_t monotonic;

    if (pthread_mutex_init(&link->lock, NULL) != 0)
        return false;
    if (pthread_condattr_init(&monotonic) != 0) {
        (void)pthread_mutex_destroy(&link->lock);
        return false;
    }
    int code = pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    if (code == 0)
        code = pthread_cond_init(&link->closed_now, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    if (code != 0)
        (void)pthread_mutex_destroy(&link->lock);
    return code == 0;
}

enum fm_status fm_link_open(const char *address, struct fm_link **out, struct fm_error *err)
{
    struct fm_link *link = calloc(1, sizeof *link);

    if (link == NULL || !init_locks(link)) {
        free(link);
        return fm_fail(err, FM_NOMEM, "open a link");
    }
    enum fm_status status = dial(link, address, err);
    if (status != FM_OK) {
        fm_link_free(link);
        return status;
    }
    *out = link;
    return FM_OK;
}

static void release(struct fm_link *link)
{
    (void)pthread_cond_destroy(&link->closed_now); /* Nobody waits any more. */
    (void)pthread_mutex_destroy(&link->lock);
    free(link);
}

static void *close_socket(void *context)
{
    struct fm_link *link = context;

    (void)nng_close(link->socket); /* Ends the callbacks too. */
    (void)pthread_mutex_lock(&link->lock);
    link->closed = true;
    bool is_left = link->is_left;
    (void)pthread_cond_signal(&link->closed_now);
    (void)pthread_mutex_unlock(&link->lock);
    if (is_left)
        release(link);
    return NULL;
}

/* False: nng is not done yet, and the link is left to the thread that waits for it. */
static bool await_closed(struct fm_link *link)
{
    fm_ms wake = fm_now_ms() + CLOSE_MS_MAX;
    struct timespec until = {.tv_sec = wake / 1000, .tv_nsec = wake % 1000 * 1000000};
    int code = 0;

    (void)pthread_mutex_lock(&link->lock);
    while (!link->closed && code == 0)
        code = pthread_cond_timedwait(&link->closed_now, &link->lock, &until);
    link->is_left = !link->closed;
    bool closed = link->closed;
    (void)pthread_mutex_unlock(&link->lock);
    return closed;
}

/* nng 1.5.2 was seen to wait for ever in nng_close(), for a task of a pipe that never ran: who
 * closes a link waits for that only so long. */
void fm_link_free(struct fm_link *link)
{
    pthread_t thread;

    if (link == NULL)
        return;
    if (!link->socket_open) {
        release(link);
        return;
    }
    if (pthread_create(&thread, NULL, close_socket, link) != 0) {
        (void)nng_close(link->socket);
        release(link);
        return;
    }
    if (await_closed(link)) {
        (void)pthread_join(thread, NULL); /* Ours, and at its end. */
        release(link);
    } else {
        (void)pthread_detach(thread); /* It frees the link, should it come to its end. */
    }
}

bool fm_link_was_made(const struct fm_link *link)
{
    return atomic_load(&link->linked);
}

bool fm_link_is_broken(const struct fm_link *link)
{
    return atomic_load(&link->broken);
}

void fm_link_break(struct fm_link *link)
{
    atomic_store(&link->broken, true);
}
