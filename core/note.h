/* Heads as C2SP checkpoints in signed notes (c2sp.org/tlog-checkpoint, c2sp.org/signed-note), so
 * that other transparency-log tools can check them.
 *
 *   folkmoot/<mesh id, hex>/<domain>/<table>/<epoch>     the log's origin, also the key's name
 *   <size>
 *   <base64 of the root>
 *   time <microseconds since 1970>                        extension line
 *
 *   — <origin> <base64(key id (4) || Ed25519 signature (64))>
 *
 * Key id: first 4 bytes of SHA-256(name || 0x0A || 0x01 || public key). */
#ifndef FM_CORE_NOTE_H
#define FM_CORE_NOTE_H

#include "core/envelope.h"
#include "core/time.h"

/* The signed note below the head: `text` under a key's name, which has no spaces and no '+'. `text`
 * is UTF-8, ends with a line end and has no other control characters. FM_INVALID otherwise. */
FM_MUST_USE enum fm_status fm_note_seal(struct fm_span text, const char *name,
                                        const struct fm_key *key, struct fm_buf *out);
/* Verify the signature by `key` under `name` and give the text, borrowed from `note`. Signatures of
 * others are ignored. FM_FORGED, FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_note_open(struct fm_span note, const char *name,
                                        const struct fm_public_key *key, struct fm_span *out);

#define FM_ORIGIN_MAX 256u
#define FM_NOTE_BYTES_MAX 2048u

struct fm_head {
    char origin[FM_ORIGIN_MAX];
    uint64_t size;
    struct fm_hash root;
    fm_us time;
};

/* FM_LIMIT never: names are bounded. */
void fm_head_origin(const struct fm_mesh_id *mesh, const char *domain, const char *table,
                    uint32_t epoch, char out[FM_ORIGIN_MAX]);
/* Parts of an origin back; FM_MALFORMED. `domain`, `table`: FM_NAME_MAX + 1 bytes. */
FM_MUST_USE enum fm_status fm_head_origin_parse(const char *origin, struct fm_mesh_id *mesh,
                                                char *domain, char *table, uint32_t *epoch);
FM_MUST_USE enum fm_status fm_head_seal(const struct fm_head *head, const struct fm_key *log_key,
                                        struct fm_buf *out);
/* Verify the signature by `log_key` under the origin's name, then parse. Other signatures of the
 * note are ignored (the format says so). FM_FORGED, FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_head_open(struct fm_span note, const struct fm_public_key *log_key,
                                        struct fm_head *out);
/* What a note says, its signatures unchecked: for whoever compares with a log of its own. */
FM_MUST_USE enum fm_status fm_head_parse(struct fm_span note, struct fm_head *out);
/* Read the origin line only, to find the key. */
FM_MUST_USE enum fm_status fm_head_peek_origin(struct fm_span note, char out[FM_ORIGIN_MAX]);

#endif
