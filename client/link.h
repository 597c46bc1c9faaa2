/* nng's side of a connection: one TCP link over which requests go and are answered, as opaque
 * bytes. It is broken once the link was lost, since what nng dials again is in no session.
 * Threads: exchanges may run side by side; open and free are the owner's. Units: deadlines are
 * absolute fm_ms. */
#ifndef FM_CLIENT_LINK_H
#define FM_CLIENT_LINK_H

#include "core/bytes.h"
#include "core/cleanup.h"
#include "core/stop.h"
#include "core/time.h"

struct fm_link;

/* Begin to dial "host:port". FM_INVALID: no address; FM_NOMEM, FM_UNAVAILABLE. */
FM_MUST_USE enum fm_status fm_link_open(const char *address, struct fm_link **out,
                                        struct fm_error *err);
/* Try a connection and close it again: true where the other side refuses one, false where it takes
 * one, nobody says anything by `deadline`, or `stop` (may be NULL) fires. A link cannot tell, since
 * nng dials again. */
bool fm_link_is_refused(const char *address, fm_ms deadline, struct fm_stop *stop);
void fm_link_free(struct fm_link *link); /* Its exchanges have ended. */
bool fm_link_was_made(const struct fm_link *link);
bool fm_link_is_broken(const struct fm_link *link);
void fm_link_break(struct fm_link *link); /* Nothing is begun on it any more. */

/* A request that was sent and whose answer is awaited. */
struct fm_exchange;

/* Waits for room to send. FM_UNAVAILABLE: the link is broken; FM_TIMEOUT; FM_BUSY: too many at
 * once; FM_CANCELLED: `stop` (may be NULL) fired, also while waiting for the answer. */
FM_MUST_USE enum fm_status fm_exchange_begin(struct fm_link *link, struct fm_span frame,
                                             fm_ms deadline, struct fm_stop *stop,
                                             struct fm_exchange **out, struct fm_error *err);
/* Wait for the answer, once; `*answer` stays until the exchange is freed. */
FM_MUST_USE enum fm_status fm_exchange_wait(struct fm_exchange *exchange, struct fm_span *answer,
                                            struct fm_error *err);
void fm_exchange_free(struct fm_exchange *exchange); /* Also while it waits. NULL is fine. */
FM_DEFINE_FREEP(fm_exchange_freep, struct fm_exchange, fm_exchange_free)

#endif
