/* The Merkle tree of RFC 6962, section 2.1, written from its text alone to check core/ against:
 * recursive, as the definitions are, with libsodium's SHA-256. Shares no code with core/. */
#ifndef FM_TESTS_SUPPORT_RFC6962_H
#define FM_TESTS_SUPPORT_RFC6962_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RFC_NODES_MAX 70u

struct rfc_hash {
    uint8_t bytes[32];
};

void rfc_leaf(const void *data, size_t len, struct rfc_hash *out);
/* MTH(D[n]) of leaf hashes. */
void rfc_root(const struct rfc_hash *leaves, uint64_t n, struct rfc_hash *out);
/* PATH(m, D[n]), m < n: how many nodes went to `out`. */
size_t rfc_path(uint64_t m, const struct rfc_hash *leaves, uint64_t n,
                struct rfc_hash out[RFC_NODES_MAX]);
/* PROOF(m, D[n]), 0 < m <= n. */
size_t rfc_proof(uint64_t m, const struct rfc_hash *leaves, uint64_t n,
                 struct rfc_hash out[RFC_NODES_MAX]);

/* Would PATH(m, D[n]) be `nodes` for some tree with this leaf and root? */
bool rfc_path_holds(const struct rfc_hash *leaf, uint64_t m, uint64_t n,
                    const struct rfc_hash *nodes, size_t count, const struct rfc_hash *root);
/* Would PROOF(m, D[n]) be `nodes` for some tree with this root, and the old one with its? */
bool rfc_proof_holds(uint64_t m, const struct rfc_hash *old_root, uint64_t n,
                     const struct rfc_hash *new_root, const struct rfc_hash *nodes, size_t count);

#endif
