/* SHA-256 and the RFC 6962 Merkle tree (section 2.1): leaf = SHA-256(0x00 || data), node =
 * SHA-256(0x01 || left || right). One tree form serves fact logs and the batches of an answer.
 * Threads: one thread per object. */
#ifndef FM_CORE_HASH_H
#define FM_CORE_HASH_H

#include "core/bytes.h"

#define FM_HASH_BYTES 32u

struct fm_hash {
    uint8_t bytes[FM_HASH_BYTES];
};

/* One-shot; spans are hashed one after the other. */
void fm_sha256(struct fm_hash *out, const struct fm_span *spans, size_t count);
static inline void fm_sha256_one(struct fm_hash *out, struct fm_span span)
{
    fm_sha256(out, &span, 1);
}
bool fm_hash_equal(const struct fm_hash *a, const struct fm_hash *b);

void fm_leaf_hash(struct fm_hash *out, struct fm_span data);
void fm_node_hash(struct fm_hash *out, const struct fm_hash *left, const struct fm_hash *right);

/* Compact range [0, size): the roots of the perfect subtrees of its binary form, largest first
 * (popcount(size) hashes). Appending costs amortised one node hash. */
struct fm_tree {
    uint64_t size;
    struct fm_hash subtrees[64];
};

void fm_tree_init(struct fm_tree *tree);
void fm_tree_append(struct fm_tree *tree, const struct fm_hash *leaf_hash);
/* Append `count` leaf hashes, 32 bytes each. */
void fm_tree_append_many(struct fm_tree *tree, const uint8_t *leaf_hashes, uint64_t count);
/* The same; `each` is told of every perfect subtree of two leaves and more that they complete: its
 * hash is over the 2^level leaves from number index * 2^level on. */
void fm_tree_append_each(struct fm_tree *tree, const uint8_t *leaf_hashes, uint64_t count,
                         void (*each)(void *context, unsigned level, uint64_t index,
                                      const struct fm_hash *hash),
                         void *context);
/* Root; SHA-256 of nothing for an empty tree (RFC 6962 2.1). */
void fm_tree_root(const struct fm_tree *tree, struct fm_hash *out);
/* u64 size, then the subtrees. */
void fm_tree_encode(struct fm_buf *out, const struct fm_tree *tree);
FM_MUST_USE enum fm_status fm_tree_decode(struct fm_span bytes, struct fm_tree *out);

#endif
