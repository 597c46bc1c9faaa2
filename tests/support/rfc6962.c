#include "tests/support/rfc6962.h"

#include <sodium.h>
#include <string.h>

void rfc_leaf(const void *data, size_t len, struct rfc_hash *out)
{
    static const uint8_t zero = 0;
    crypto_hash_sha256_state sha;

    (void)crypto_hash_sha256_init(&sha);
    (void)crypto_hash_sha256_update(&sha, &zero, 1);
    (void)crypto_hash_sha256_update(&sha, data, len);
    (void)crypto_hash_sha256_final(&sha, out->bytes);
}

static struct rfc_hash join(struct rfc_hash left, struct rfc_hash right)
{
    uint8_t bytes[65] = {1};
    struct rfc_hash out;

    memcpy(bytes + 1, left.bytes, 32);
    memcpy(bytes + 33, right.bytes, 32);
    (void)crypto_hash_sha256(out.bytes, bytes, sizeof bytes);
    return out;
}

/* "Let k be the largest power of two smaller than n (i.e., k < n <= 2k)." */
static uint64_t k_of(uint64_t n)
{
    uint64_t k = 1;

    while (k < n - k)
        k += k;
    return k;
}

void rfc_root(const struct rfc_hash *leaves, uint64_t n, struct rfc_hash *out)
{
    struct rfc_hash left, right;
    uint64_t k;

    if (n == 0) {
        (void)crypto_hash_sha256(out->bytes, (const uint8_t *)"", 0);
        return;
    }
    if (n == 1) {
        *out = leaves[0];
        return;
    }
    k = k_of(n);
    rfc_root(leaves, k, &left);
    rfc_root(leaves + k, n - k, &right);
    *out = join(left, right);
}

/* PATH(m, D[n]) = PATH(m, D[0:k]) : MTH(D[k:n]) for m < k;
 * PATH(m, D[n]) = PATH(m - k, D[k:n]) : MTH(D[0:k]) for m >= k. */
size_t rfc_path(uint64_t m, const struct rfc_hash *leaves, uint64_t n,
                struct rfc_hash out[RFC_NODES_MAX])
{
    uint64_t k;
    size_t count;

    if (n == 1)
        return 0;
    k = k_of(n);
    if (m < k) {
        count = rfc_path(m, leaves, k, out);
        rfc_root(leaves + k, n - k, &out[count]);
    } else {
        count = rfc_path(m - k, leaves + k, n - k, out);
        rfc_root(leaves, k, &out[count]);
    }
    return count + 1;
}

/* SUBPROOF(m, D[m], true) = {}; SUBPROOF(m, D[m], false) = {MTH(D[m])};
 * m <= k: SUBPROOF(m, D[n], b) = SUBPROOF(m, D[0:k], b) : MTH(D[k:n]);
 * m > k: SUBPROOF(m, D[n], b) = SUBPROOF(m - k, D[k:n], false) : MTH(D[0:k]). */
static size_t subproof(uint64_t m, const struct rfc_hash *leaves, uint64_t n, bool b,
                       struct rfc_hash out[RFC_NODES_MAX])
{
    uint64_t k;
    size_t count;

    if (m == n) {
        if (!b)
            rfc_root(leaves, m, &out[0]);
        return b ? 0 : 1;
    }
    k = k_of(n);
    if (m <= k) {
        count = subproof(m, leaves, k, b, out);
        rfc_root(leaves + k, n - k, &out[count]);
    } else {
        count = subproof(m - k, leaves + k, n - k, false, out);
        rfc_root(leaves, k, &out[count]);
    }
    return count + 1;
}

size_t rfc_proof(uint64_t m, const struct rfc_hash *leaves, uint64_t n,
                 struct rfc_hash out[RFC_NODES_MAX])
{
    return subproof(m, leaves, n, true, out);
}

/* ---- Verifying: the definitions read backwards, from the last node on ---- */

static bool same(struct rfc_hash a, struct rfc_hash b)
{
    return memcmp(a.bytes, b.bytes, 32) == 0;
}

/* MTH of the n leaves that hold leaf m, as PATH's nodes have it. */
static bool root_of_path(struct rfc_hash leaf, uint64_t m, uint64_t n, const struct rfc_hash *nodes,
                         size_t count, struct rfc_hash *out)
{
    struct rfc_hash rest;
    uint64_t k;

    if (n == 1) {
        *out = leaf;
        return count == 0;
    }
    if (count == 0)
        return false;
    k = k_of(n);
    if (m < k) {
        if (!root_of_path(leaf, m, k, nodes, count - 1, &rest))
            return false;
        *out = join(rest, nodes[count - 1]);
    } else {
        if (!root_of_path(leaf, m - k, n - k, nodes, count - 1, &rest))
            return false;
        *out = join(nodes[count - 1], rest);
    }
    return true;
}

bool rfc_path_holds(const struct rfc_hash *leaf, uint64_t m, uint64_t n,
                    const struct rfc_hash *nodes, size_t count, const struct rfc_hash *root)
{
    struct rfc_hash hash;

    return m < n && root_of_path(*leaf, m, n, nodes, count, &hash) && same(hash, *root);
}

struct roots {
    struct rfc_hash before; /* Of the first m leaves. */
    struct rfc_hash after;  /* Of all n. */
};

static bool roots_of_subproof(struct rfc_hash old_root, uint64_t m, uint64_t n, bool b,
                              const struct rfc_hash *nodes, size_t count, struct roots *out)
{
    struct rfc_hash node;
    uint64_t k;

    if (m == n) {
        if (count != (b ? 0u : 1u))
            return false;
        out->before = out->after = b ? old_root : nodes[0];
        return true;
    }
    if (count == 0)
        return false;
    k = k_of(n);
    node = nodes[count - 1];
    if (m <= k) {
        if (!roots_of_subproof(old_root, m, k, b, nodes, count - 1, out))
            return false;
        out->after = join(out->after, node);
        return true;
    }
    if (!roots_of_subproof(old_root, m - k, n - k, false, nodes, count - 1, out))
        return false;
    out->before = join(node, out->before);
    out->after = join(node, out->after);
    return true;
}

bool rfc_proof_holds(uint64_t m, const struct rfc_hash *old_root, uint64_t n,
                     const struct rfc_hash *new_root, const struct rfc_hash *nodes, size_t count)
{
    struct roots roots;

    return m > 0 && m <= n && roots_of_subproof(*old_root, m, n, true, nodes, count, &roots) &&
           same(roots.before, *old_root) && same(roots.after, *new_root);
}
