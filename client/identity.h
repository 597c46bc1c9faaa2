/* Who a program is: a folder with
 *   charter       the mesh's charter, as received
 *   certificate   the certificate of the node or principal
 *   keys          its private keys (mode 0600): signing key and session key
 *   gossip        nodes only: the mesh's gossip key (mode 0600)
 * Threads: immutable once loaded. Ownership: fm_identity_free(). */
#ifndef FM_CLIENT_IDENTITY_H
#define FM_CLIENT_IDENTITY_H

#include "core/cert.h"
#include "core/frame.h"

#define FM_FILE_CHARTER "charter"
#define FM_FILE_CERT "certificate"
#define FM_FILE_KEYS "keys"
#define FM_FILE_GOSSIP "gossip"

struct fm_identity {
    struct fm_charter charter;
    struct fm_buf charter_bytes;
    enum fm_payload_kind kind;
    struct fm_buf cert_bytes;
    struct fm_node_cert node;           /* kind FM_PAYLOAD_NODE. */
    struct fm_principal_cert principal; /* kind FM_PAYLOAD_PRINCIPAL. */
    struct fm_key *sign_key;
    struct fm_key *session_key;
    struct fm_key *gossip_key; /* NULL for principals. */
};

/* Load and verify: the certificate is of the charter, valid at `now` (us) and names the keys of the
 * key file. FM_NOTFOUND, FM_REFUSED (file modes, expired), FM_FORGED, FM_MALFORMED; the text names
 * the file and what to do. */
FM_MUST_USE enum fm_status fm_identity_load(const char *dir, enum fm_payload_kind kind,
                                            const char *passphrase, fm_us now,
                                            struct fm_identity **out, struct fm_error *err);
void fm_identity_free(struct fm_identity *identity);
FM_DEFINE_FREEP(fm_identity_freep, struct fm_identity, fm_identity_free)

/* Whole small files. Reading: at most `max` bytes, a regular file. Writing: a temporary file
 * beside it with `mode`, synced, renamed over `path`, folder synced. */
FM_MUST_USE enum fm_status fm_file_read(const char *path, size_t max, struct fm_buf *out,
                                        struct fm_error *err);
FM_MUST_USE enum fm_status fm_file_write(const char *path, struct fm_span bytes, unsigned mode,
                                         struct fm_error *err);

#endif
