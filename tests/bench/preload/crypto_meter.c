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
#include <openssl/evp.h>
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

static void add_time(enum crypto_kind kind, unsigned long long start)
{
    if (meter != NULL)
        atomic_fetch_add(&meter->kinds[kind].ns, now_ns() - start);
}

static void add(enum crypto_kind kind, unsigned long long start)
{
    add_time(kind, start);
    if (meter != NULL)
        atomic_fetch_add(&meter->kinds[kind].calls, 1);
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
    add(CRYPTO_SIGN, start);
    return result;
}

int crypto_sign_verify_detached(const unsigned char *sig, const unsigned char *m,
                                unsigned long long mlen, const unsigned char *pk)
{
    FIND_NEXT(crypto_sign_verify_detached);
    int result = next(sig, m, mlen, pk);
    add(CRYPTO_VERIFY, start);
    return result;
}

/* A message takes one of each; contexts are begun anew for every one. */
int EVP_CipherInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, ENGINE *impl,
                      const unsigned char *key, const unsigned char *iv, int enc)
{
    FIND_NEXT(EVP_CipherInit_ex);
    int result = next(ctx, cipher, impl, key, iv, enc);
    add_time(CRYPTO_SEAL, start);
    return result;
}

int EVP_CipherUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in,
                     int inl)
{
    FIND_NEXT(EVP_CipherUpdate);
    int result = next(ctx, out, outl, in, inl);
    add_time(CRYPTO_SEAL, start);
    return result;
}

int EVP_CipherFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *outm, int *outl)
{
    FIND_NEXT(EVP_CipherFinal_ex);
    int result = next(ctx, outm, outl);
    add(CRYPTO_SEAL, start);
    return result;
}

int SHA256_Update(SHA256_CTX *c, const void *data, size_t len)
{
    FIND_NEXT(SHA256_Update);
    int result = next(c, data, len);
    add(CRYPTO_HASH, start);
    return result;
}
