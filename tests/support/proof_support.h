/* Proofs of the table "tests.rows", checked with the second implementation of RFC 6962.
 * Everything fails the test at once. */
#ifndef FM_TESTS_SUPPORT_PROOF_SUPPORT_H
#define FM_TESTS_SUPPORT_PROOF_SUPPORT_H

#include "tests/support/rfc6962.h"
#include "tests/support/store_support.h"

/* A size that the log had, and its root. */
struct head {
    uint64_t size;
    struct fm_hash root;
};

/* The hash of a fact's leaf. */
void proof_leaf(struct fm_snapshot *snapshot, uint64_t sequence, struct rfc_hash *out);
/* The fact is in the log under this head, and is not any other one there. */
void proof_check_fact(struct fm_snapshot *snapshot, uint64_t sequence, const struct head *head);
/* The same of all facts under the head; its root is that of all leaves. */
void proof_check_all(struct fm_snapshot *snapshot, const struct head *head);
/* The log under `after` begins with that under `before`, and with no other of its size. */
void proof_check_heads(struct fm_snapshot *snapshot, const struct head *before,
                       const struct head *after);
/* In the folder of a closed store, of its first table: the hashes of exactly the subtrees of 2^8,
 * 2^12 ... leaves that are complete within `size`. */
void proof_check_kept(const char *dir, uint64_t size);
/* Change the stored hash of a subtree of a closed store: by a value with another hash (`sealed`) or
 * of which the checksum is wrong; or remove all of them. */
void proof_spoil_kept(const char *dir, uint8_t level, uint64_t index, bool sealed);
void proof_remove_kept(const char *dir);

#endif
