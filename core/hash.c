#include "core/hash.h"

#include "core/assert.h"

/* The low-level interface of libcrypto: its state lives on the stack, so that hashing needs no
 * memory, cannot fail and keeps nothing per thread. On hashes of 65 to 100 bytes it reaches 8.3
 * million a second, nettle 8.0, EVP with a fetched digest and a reused context 5.7, libsodium 3.
 * OpenSSL 3 calls it deprecated and keeps it. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

_Static_assert(FM_HASH_BYTES == SHA256_DIGEST_LENGTH, "SHA-256 gives 32 bytes");

void fm_sha256(struct fm_hash *out, const struct fm_span *spans, size_t count)
{
    SHA256_CTX ctx;

    (void)SHA256_Init(&ctx); /* These three have no way to fail. */
    for (size_t i = 0; i < count; i++)
        (void)SHA256_Update(&ctx, spans[i].data, spans[i].len);
    (void)SHA256_Final(out->bytes, &ctx);
}

bool fm_hash_equal(const struct fm_hash *a, const struct fm_hash *b)
{
    return memcmp(a->bytes, b->bytes, FM_HASH_BYTES) == 0;
}

void fm_leaf_hash(struct fm_hash *out, struct fm_span data)
{
    static const uint8_t prefix = 0x00;
    const struct fm_span spans[] = {{&prefix, 1}, data};

    fm_sha256(out, spans, 2);
}

void fm_node_hash(struct fm_hash *out, const struct fm_hash *left, const struct fm_hash *right)
{
    uint8_t bytes[1 + 2 * FM_HASH_BYTES];

    bytes[0] = 0x01;
    memcpy(bytes + 1, left->bytes, FM_HASH_BYTES);
    memcpy(bytes + 1 + FM_HASH_BYTES, right->bytes, FM_HASH_BYTES);
    fm_sha256_one(out, fm_span(bytes, sizeof bytes));
}

static unsigned subtree_count(uint64_t size)
{
    return (unsigned)__builtin_popcountll(size);
}

void fm_tree_init(struct fm_tree *tree)
{
    memset(tree, 0, sizeof *tree);
}

static void told_nobody(void *context, unsigned level, uint64_t index, const struct fm_hash *hash)
{
    (void)context;
    (void)level;
    (void)index;
    (void)hash;
}

void fm_tree_append_each(struct fm_tree *tree, const uint8_t *leaf_hashes, uint64_t leaf_count,
                         void (*each)(void *context, unsigned level, uint64_t index,
                                      const struct fm_hash *hash),
                         void *context)
{
    for (uint64_t i = 0; i < leaf_count; i++) {
        struct fm_hash hash;
        unsigned count = subtree_count(tree->size);
        unsigned level = 0;

        fm_assert(tree->size < UINT64_MAX);
        memcpy(hash.bytes, leaf_hashes + i * FM_HASH_BYTES, FM_HASH_BYTES);
        /* As adding 1 carries through the low one bits, the new leaf joins each equal subtree. */
        for (uint64_t rest = tree->size; (rest & 1u) != 0; rest >>= 1) {
            fm_node_hash(&hash, &tree->subtrees[--count], &hash);
            each(context, ++level, rest >> 1, &hash);
        }
        tree->subtrees[count] = hash;
        tree->size++;
    }
}

void fm_tree_append_many(struct fm_tree *tree, const uint8_t *leaf_hashes, uint64_t count)
{
    fm_tree_append_each(tree, leaf_hashes, count, told_nobody, NULL);
}

void fm_tree_append(struct fm_tree *tree, const struct fm_hash *leaf_hash)
{
    fm_tree_append_many(tree, leaf_hash->bytes, 1);
}

void fm_tree_root(const struct fm_tree *tree, struct fm_hash *out)
{
    unsigned count = subtree_count(tree->size);

    if (count == 0) {
        fm_sha256(out, NULL, 0);
        return;
    }
    struct fm_hash hash = tree->subtrees[count - 1];
    for (unsigned i = count - 1; i > 0; i--)
        fm_node_hash(&hash, &tree->subtrees[i - 1], &hash);
    *out = hash;
}

void fm_tree_encode(struct fm_buf *out, const struct fm_tree *tree)
{
    fm_buf_put_u64(out, tree->size);
    fm_buf_put(out, tree->subtrees, (size_t)subtree_count(tree->size) * FM_HASH_BYTES);
}

enum fm_status fm_tree_decode(struct fm_span bytes, struct fm_tree *out)
{
    struct fm_cursor cursor = fm_cursor(bytes);
    uint64_t size = 0;

    if (fm_take_u64(&cursor, &size) != FM_OK)
        return FM_MALFORMED;
    size_t len = (size_t)subtree_count(size) * FM_HASH_BYTES;
    if (fm_cursor_left(&cursor) != len)
        return FM_MALFORMED;
    fm_tree_init(out);
    out->size = size;
    memcpy(out->subtrees, cursor.at, len);
    return FM_OK;
}
