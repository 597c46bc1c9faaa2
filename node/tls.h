/* TLS for clients of a node's own interfaces: which certificate it shows, and streams over sockets
 * with or without it. Nodes among themselves do not use TLS (design: sessions over nng).
 *
 * Without a certificate of the operator's the node makes one at its first start, for itself:
 * <dir>/tls.crt and <dir>/tls.key (mode 0600), ECDSA P-256, ten years. A client that checks
 * certificates is given that file as its root.
 * Threads: a context serves all, a stream one at a time. */
#ifndef FM_NODE_TLS_H
#define FM_NODE_TLS_H

#include "core/bytes.h"

#define FM_FILE_TLS_CERT "tls.crt"
#define FM_FILE_TLS_KEY "tls.key"

struct fm_tls;

struct fm_tls_options {
    const char *dir;         /* Of the node. */
    const char *certificate; /* PEM, the chain behind it; NULL or empty: its own, */
    const char *key;         /* and its key. */
    const char *name;        /* Of the node, for the certificate that it makes. */
    const char *host;        /* Others reach it by; may be an address. */
};

/* The files that these options mean. */
struct fm_tls_files {
    char certificate[4200];
    char key[4200];
};
void fm_tls_files(const struct fm_tls_options *options, struct fm_tls_files *out);

/* FM_NOTFOUND, FM_INVALID (no such certificate, or not of that key), FM_REFUSED (the key file can
 * be read by others), FM_IO. */
FM_MUST_USE enum fm_status fm_tls_open(const struct fm_tls_options *options, struct fm_tls **out,
                                       struct fm_error *err);
void fm_tls_free(struct fm_tls *tls);
FM_DEFINE_FREEP(fm_tls_freep, struct fm_tls, fm_tls_free)

/* ---- A stream over a socket that does not block ---------------------------------------------- */

struct fm_stream;

/* Takes the descriptor over (also on failure). */
FM_MUST_USE enum fm_status fm_stream_new(int fd, struct fm_stream **out);
void fm_stream_free(struct fm_stream *stream);
FM_DEFINE_FREEP(fm_stream_freep, struct fm_stream, fm_stream_free)
int fm_stream_fd(const struct fm_stream *stream);

enum fm_stream_state {
    FM_STREAM_DONE = 1,
    FM_STREAM_WAITS = 2, /* For input, or (fm_stream_wants_write) for room. */
    FM_STREAM_ENDED = 3, /* The other side has gone, or what it sends is no TLS. */
};

/* Begin TLS as its server; call again while it waits. */
enum fm_stream_state fm_stream_secure(struct fm_stream *stream, struct fm_tls *tls);
bool fm_stream_is_secure(const struct fm_stream *stream);
/* What is there, at most `len` bytes. */
enum fm_stream_state fm_stream_read(struct fm_stream *stream, void *data, size_t len, size_t *got);
/* May there be more than the socket tells? */
bool fm_stream_has_pending(const struct fm_stream *stream);
bool fm_stream_wants_write(const struct fm_stream *stream);
/* All of it; waits for room until nothing moved for `stall_ms`. */
enum fm_stream_state fm_stream_write(struct fm_stream *stream, struct fm_span bytes, int stall_ms);

#endif
