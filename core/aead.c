#include "core/aead.h"

#include "core/assert.h"
#include "core/cleanup.h"

#include <limits.h>
#include <openssl/evp.h>

struct fm_aead {
    EVP_CIPHER *cipher; /* Fetched: looking it up costs as much as a small message. */
};

enum fm_status fm_aead_new(struct fm_aead **out)
{
    struct fm_aead *aead = calloc(1, sizeof *aead);

    if (aead != NULL)
        aead->cipher = EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
    if (aead == NULL || aead->cipher == NULL) {
        free(aead);
        return FM_NOMEM;
    }
    *out = aead;
    return FM_OK;
}

void fm_aead_free(struct fm_aead *aead)
{
    if (aead == NULL)
        return;
    EVP_CIPHER_free(aead->cipher);
    free(aead);
}

static void context_freep(EVP_CIPHER_CTX **context)
{
    EVP_CIPHER_CTX_free(*context); /* Wipes. */
}

/* A context at the beginning of the text. */
static EVP_CIPHER_CTX *begin(const struct fm_aead *aead, const struct fm_aead_message *message,
                             int is_sealing)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int len = 0;

    fm_assert(message->ad.len <= INT_MAX);
    if (context == NULL)
        return NULL;
    if (EVP_CipherInit_ex(context, aead->cipher, NULL, message->key, message->nonce, is_sealing) ==
            1 &&
        (message->ad.len == 0 ||
         EVP_CipherUpdate(context, NULL, &len, message->ad.data, (int)message->ad.len) == 1))
        return context;
    EVP_CIPHER_CTX_free(context);
    return NULL;
}

enum fm_status fm_aead_seal(const struct fm_aead *aead, const struct fm_aead_message *message,
                            struct fm_span plain, uint8_t *out)
{
    FM_AUTO(context_freep) EVP_CIPHER_CTX *context = begin(aead, message, 1);
    int len = 0;

    fm_assert(plain.len <= INT_MAX);
    if (context == NULL)
        return FM_NOMEM;
    if (plain.len != 0 && (EVP_CipherUpdate(context, out, &len, plain.data, (int)plain.len) != 1 ||
                           (size_t)len != plain.len))
        return FM_NOMEM; /* Nothing else can fail here. */
    if (EVP_CipherFinal_ex(context, out + plain.len, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, FM_AEAD_TAG_BYTES, out + plain.len) !=
            1)
        return FM_NOMEM;
    return FM_OK;
}

enum fm_status fm_aead_open(const struct fm_aead *aead, const struct fm_aead_message *message,
                            struct fm_span sealed, uint8_t *out)
{
    FM_AUTO(context_freep) EVP_CIPHER_CTX *context = begin(aead, message, 0);
    uint8_t tag[FM_AEAD_TAG_BYTES], rest[FM_AEAD_TAG_BYTES];
    int len = 0;

    fm_assert(sealed.len >= FM_AEAD_TAG_BYTES && sealed.len <= INT_MAX);
    size_t text_len = sealed.len - FM_AEAD_TAG_BYTES;
    memcpy(tag, sealed.data + text_len, sizeof tag);
    if (context == NULL ||
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, FM_AEAD_TAG_BYTES, tag) != 1)
        return FM_NOMEM;
    if (text_len != 0 && (EVP_CipherUpdate(context, out, &len, sealed.data, (int)text_len) != 1 ||
                          (size_t)len != text_len))
        return FM_FORGED;
    return EVP_CipherFinal_ex(context, rest, &len) == 1 ? FM_OK : FM_FORGED;
}
