/* Data subjects: whose personal and secret values are in a row, and how those are encrypted so that
 * destroying one key makes them unreadable everywhere (docs/storage.md, "Erasure"; vectors in
 * tests/vectors/subject.txt).
 *
 * A subject has one random key of 32 bytes in a domain. Of it follow two keys for each table,
 *   seal key = HMAC-SHA-256(key, "folkmoot/v1 subject seal\0" || domain || 0 || table)
 *   salt key = HMAC-SHA-256(key, "folkmoot/v1 subject salt\0" || domain || 0 || table)
 * and of a row's classified fields (the form of `fields` in core/leaf.h)
 *   commitment = the leaf's, with salt HMAC-SHA-256(salt key, u64 sequence)
 *   sealed     = XChaCha20-Poly1305 under the seal key; nonce: the commitment's first 24 bytes;
 *                associated data: u64 sequence || commitment
 * The commitment covers key, sequence and content, so no nonce serves twice for different
 * contents, also when an append is given up and its sequences go to another.
 * Threads: pure functions. Keys are secrets: fm_wipe() them. */
#ifndef FM_CORE_SUBJECT_H
#define FM_CORE_SUBJECT_H

#include "core/batch.h"
#include "core/hash.h"

#define FM_SUBJECT_KEY_BYTES 32u
#define FM_SEALED_EXTRA_BYTES 16u /* More than the fields have. */

/* Of one subject in one table. */
struct fm_subject_keys {
    uint8_t seal[32];
    uint8_t salt[32];
};

/* Append the text that names a subject: a varchar as it is, an integer in decimal, a uuid in its
 * lower-case text. The value is not NULL; its type is one that fm_schema_check() lets through. */
FM_MUST_USE enum fm_status fm_subject_text(const struct fm_type *type, const struct fm_batch *batch,
                                           const struct fm_vector_entry *vector,
                                           const struct fm_dictionary *dictionary, uint32_t row,
                                           struct fm_buf *out);
/* SHA-256("folkmoot/v1 subject\0" || domain || 0 || text). */
void fm_subject_id(struct fm_hash *out, const char *domain, struct fm_span text);

void fm_subject_keys(struct fm_subject_keys *out, const uint8_t key[FM_SUBJECT_KEY_BYTES],
                     const char *domain, const char *table);

/* Append the sealed fields; a failure stays in `sealed`. */
void fm_subject_seal(const struct fm_subject_keys *keys, uint64_t sequence, struct fm_span fields,
                     uint8_t commitment[FM_HASH_BYTES], struct fm_buf *sealed);
/* Append the fields again. FM_CORRUPT: a bit of what is given is not as it was. FM_NOMEM. */
FM_MUST_USE enum fm_status fm_subject_open(const struct fm_subject_keys *keys, uint64_t sequence,
                                           const uint8_t commitment[FM_HASH_BYTES],
                                           struct fm_span sealed, struct fm_buf *fields);

#endif
