/* SHA-256 of bytes that come piece by piece, such as those of a large file (hash.h for what is in
 * memory at once). Threads: one per object. Nothing here fails or needs memory. */
#ifndef FM_CORE_HASH_STREAM_H
#define FM_CORE_HASH_STREAM_H

#include "core/hash.h"

struct fm_hash_stream { /* Opaque; may be copied. */
    _Alignas(8) uint8_t state[128];
};

void fm_hash_begin(struct fm_hash_stream *stream);
void fm_hash_put(struct fm_hash_stream *stream, struct fm_span piece);
/* The stream must be begun anew afterwards. */
void fm_hash_end(struct fm_hash_stream *stream, struct fm_hash *out);

#endif
