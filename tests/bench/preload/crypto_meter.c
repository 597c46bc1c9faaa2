/* The library of tests/support/crypto_meter.h. */
#include "tests/support/crypto_meter.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <sodium.h>
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>

/* A library has no handle to hang its state off. */
static struct crypto_meter *meter;

__attribute__((constructor)) static void open_meter(void)
{
    const char *path = getenv(CRYPTO_METER_ENV);
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return;
    void *bytes = mmap(NULL, sizeof *meter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (bytes != MAP_FAILED)
        meter = bytes;
    (void)close(fd); /* The mapping stays. */
}

static unsigned long long now_ns(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* Cannot fail with this clock. */
    return (unsigned long long)now.tv_sec * 1000000000u + (unsigned long long)now.tv_nsec;
}

static void add(enum crypto_kind kind, unsigned long long start, unsigned long long bytes)
{
    if (meter == NULL)
        return;
    atomic_fetch_add(&meter->kinds[kind].ns, now_ns() - start);
    atomic_fetch_add(&meter->kinds[kind].calls, 1);
    atomic_fetch_add(&meter->kinds[kind].bytes, bytes);
}

/* The function that this one stands before; ISO C has no cast from dlsym()'s result to it. */
#define FIND_NEXT(name)                                                                            \
    static __typeof__(name) *next;                                                                 \
    if (next == NULL) {                                                                            \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&next, &found, sizeof next);                                                        \
    }                                                                                              \
    unsigned long long start = now_ns()

int crypto_sign_detached(unsigned char *sig, unsigned long long *siglen_p, const unsigned char *m,
                         unsigned long long mlen, const unsigned char *sk)
{
    FIND_NEXT(crypto_sign_detached);
    int result = next(sig, siglen_p, m, mlen, sk);
    add(CRYPTO_SIGN, start, mlen);
    return result;
}

int crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                unsigned long long mlen, const unsigned char *pk)
{
    FIND_NEXT(crypto_sign_verify_detached);
    int result = next(sig, m, mlen, pk);
    add(CRYPTO_VERIFY, start, mlen);
    return result;
}

int crypto_aead_chacha20poly1305_ietf_encrypt(unsigned char *c, unsigned long long *clen_p,
                                              const unsigned char *m, unsigned long long mlen,
                                              const unsigned char *ad, unsigned long long adlen,
                                              const unsigned char *nsec, const unsigned char *npub,
                                              const unsigned char *k)
{
    FIND_NEXT(crypto_aead_chacha20poly1305_ietf_encrypt);
    int result = next(c, clen_p, m, mlen, ad, adlen, nsec, npub, k);
    add(CRYPTO_SEAL, start, mlen);
    return result;
}

int crypto_aead_chacha20poly1305_ietf_decrypt(unsigned char *m, unsigned long long *mlen_p,
                                              unsigned char *nsec, const unsigned char *c,
                                              unsigned long long clen, const unsigned char *ad,
                                              unsigned long long adlen, const unsigned char *npub,
                                              const unsigned char *k)
{
    FIND_NEXT(crypto_aead_chacha20poly1305_ietf_decrypt);
    int result = next(m, mlen_p, nsec, c, clen, ad, adlen, npub, k);
    add(CRYPTO_SEAL, start, clen);
    return result;
}

int SHA256_Update(SHA256_CTX *c, const void *data, size_t len)
{
    FIND_NEXT(SHA256_Update);
    int result = next(c, data, len);
    add(CRYPTO_HASH, start, len);
    return result;
}
