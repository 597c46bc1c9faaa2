/* Inclusion and consistency proofs of the RFC 6962 tree (sections 2.1.1 and 2.1.2), verified with
 * the algorithms of RFC 9162 (sections 2.1.3.2 and 2.1.4.2).
 * Threads: plain data. Errors: verifiers answer FM_FORGED, also for a proof with a node too many or
 * too few; they take sizes and nodes of strangers. */
#ifndef FM_CORE_PROOF_H
#define FM_CORE_PROOF_H

#include "core/hash.h"

/* A path from a leaf to the root of 2^64 - 1 leaves has 64 nodes, a consistency proof one more. */
#define FM_PROOF_NODES_MAX 65u

struct fm_proof {
    uint32_t count;
    struct fm_hash nodes[FM_PROOF_NODES_MAX]; /* From the leaves to the root. */
};

/* The leaf with this hash is number `index` (from 0) of the `size` leaves under `root`. */
FM_MUST_USE enum fm_status fm_proof_check_inclusion(const struct fm_proof *proof,
                                                    const struct fm_hash *leaf_hash, uint64_t index,
                                                    uint64_t size, const struct fm_hash *root);

/* The `old_size` leaves under `old_root` are the first of the `new_size` ones under `new_root`. Of
 * an empty tree, which the RFCs leave out, the proof is empty and the root is fm_tree_root()'s. */
FM_MUST_USE enum fm_status fm_proof_check_consistency(const struct fm_proof *proof,
                                                      uint64_t old_size,
                                                      const struct fm_hash *old_root,
                                                      uint64_t new_size,
                                                      const struct fm_hash *new_root);

/* Where the nodes of a tree come from. `node` gives the hash over the 2^level leaves from number
 * index * 2^level on; it is asked only for leaves within the sizes below. Its failure ends the
 * work and is passed on. */
struct fm_proof_source {
    enum fm_status (*node)(void *context, unsigned level, uint64_t index, struct fm_hash *out);
    void *context;
};

/* Root over the first `size` leaves. */
FM_MUST_USE enum fm_status fm_proof_root(const struct fm_proof_source *source, uint64_t size,
                                         struct fm_hash *out);
/* FM_INVALID unless index < size. */
FM_MUST_USE enum fm_status fm_proof_inclusion(const struct fm_proof_source *source, uint64_t index,
                                              uint64_t size, struct fm_proof *out);
/* FM_INVALID unless old_size <= new_size. */
FM_MUST_USE enum fm_status fm_proof_consistency(const struct fm_proof_source *source,
                                                uint64_t old_size, uint64_t new_size,
                                                struct fm_proof *out);

#endif
