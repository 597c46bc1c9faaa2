/* What signing, verifying, sealing and hashing cost: a library that is loaded before others
 * (LD_PRELOAD=crypto_meter.so) times libsodium's and libcrypto's functions in every process of a
 * mesh and adds up in one file, which FM_CRYPTO_METER names. Times are of the clock on the wall, so
 * that a busy machine makes them larger. */
#ifndef FM_TESTS_SUPPORT_CRYPTO_METER_H
#define FM_TESTS_SUPPORT_CRYPTO_METER_H

#include <stdatomic.h>

#define CRYPTO_METER_ENV "FM_CRYPTO_METER"

enum crypto_kind {
    CRYPTO_SIGN,   /* Ed25519 signatures made. */
    CRYPTO_VERIFY, /* And checked. */
    CRYPTO_SEAL,   /* Messages sealed and opened. */
    CRYPTO_HASH,   /* SHA-256. */
    CRYPTO_KINDS
};

struct crypto_meter {
    struct {
        atomic_ullong calls;
        atomic_ullong ns;
    } kinds[CRYPTO_KINDS];
};

#endif
