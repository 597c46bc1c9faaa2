#include "core/hash_stream.h"

#define OPENSSL_SUPPRESS_DEPRECATED /* As in hash.c. */
#include <openssl/sha.h>

_Static_assert(sizeof(SHA256_CTX) <= sizeof(struct fm_hash_stream), "the state fits");
_Static_assert(_Alignof(SHA256_CTX) <= _Alignof(struct fm_hash_stream), "the state is aligned");

static SHA256_CTX *context(struct fm_hash_stream *stream)
{
    return (SHA256_CTX *)(void *)stream->state;
}

void fm_hash_begin(struct fm_hash_stream *stream)
{
    (void)SHA256_Init(context(stream)); /* None of these has a way to fail. */
}

void fm_hash_put(struct fm_hash_stream *stream, struct fm_span piece)
{
    (void)SHA256_Update(context(stream), piece.data, piece.len);
}

void fm_hash_end(struct fm_hash_stream *stream, struct fm_hash *out)
{
    (void)SHA256_Final(out->bytes, context(stream));
}
