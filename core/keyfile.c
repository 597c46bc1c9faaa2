/* Key files: one strict msgpack document, written once, readable by its owner only.
 *
 *   plain:      {0: 1, 1: keys}
 *   encrypted:  {0: 1, 2: salt (bin 16), 3: passes, 4: memory in bytes, 5: nonce (bin 24),
 *                6: XChaCha20-Poly1305 of `keys`}, under Argon2id13 of the passphrase
 *   keys:       array of [kind, secret (bin 32)] */
#include "core/assert.h"
#include "core/keys.h"
#include "core/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_VERSION 1u
#define FILE_BYTES_MAX 4096u
#define FILE_KEYS_MAX 16u

/* Whoever can write the file may not make us work or allocate without bound. */
#define PASSES_MAX crypto_pwhash_OPSLIMIT_MODERATE
#define MEMORY_MAX crypto_pwhash_MEMLIMIT_MODERATE

enum file_key {
    KEY_VERSION = 0,
    KEY_KEYS = 1,
    KEY_SALT = 2,
    KEY_PASSES = 3,
    KEY_MEMORY = 4,
    KEY_NONCE = 5,
    KEY_SEALED = 6,
};

static const char label[] = "folkmoot/v1 key file"; /* Authenticated with its NUL. */

/* Secrets pass through one buffer in guarded memory that never moves. */
struct secret_buf {
    uint8_t *data;
};

static void secret_buf_free(struct secret_buf *buf)
{
    sodium_free(buf->data);
}

static void wipe_buf_free(struct fm_buf *buf)
{
    if (buf->data != NULL)
        fm_wipe(buf->data, buf->cap);
    fm_buf_free(buf);
}

static void fd_close(const int *fd)
{
    if (*fd >= 0)
        (void)close(
            *fd); /* Written ones were synced, and their close is checked where it counts. */
}

struct lock { /* What the passphrase is turned into a key with. */
    uint8_t salt[crypto_pwhash_SALTBYTES];
    uint64_t passes;
    uint64_t memory;
    uint8_t nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];
};

static enum fm_status derive(const struct lock *lock, const char *passphrase,
                             uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES])
{
    int failed = crypto_pwhash(key, crypto_aead_xchacha20poly1305_ietf_KEYBYTES, passphrase,
                               strlen(passphrase), lock->salt, lock->passes, (size_t)lock->memory,
                               crypto_pwhash_ALG_ARGON2ID13);
    return failed == 0 ? FM_OK : FM_NOMEM;
}

/* ---- Writing ------------------------------------------------------------------------------- */

static void put_keys(struct fm_buf *out, struct fm_key *const *keys, size_t count)
{
    uint8_t secret[32];

    fm_pack_array(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        fm_key_secret(keys[i], secret);
        fm_pack_array(out, 2);
        fm_pack_uint(out, fm_key_kind(keys[i]));
        fm_pack_bin(out, secret, sizeof secret);
    }
    fm_wipe(secret, sizeof secret);
}

static enum fm_status put_sealed(struct fm_buf *out, struct fm_span plain, const char *passphrase)
{
    struct lock lock = {.passes = crypto_pwhash_OPSLIMIT_INTERACTIVE,
                        .memory = crypto_pwhash_MEMLIMIT_INTERACTIVE};
    uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
    uint8_t sealed[FILE_BYTES_MAX];
    unsigned long long sealed_len = 0;

    fm_assert(plain.len + crypto_aead_xchacha20poly1305_ietf_ABYTES <= sizeof sealed);
    fm_random(lock.salt, sizeof lock.salt);
    fm_random(lock.nonce, sizeof lock.nonce);
    enum fm_status status = derive(&lock, passphrase, key);
    if (status != FM_OK)
        return status;
    (void)crypto_aead_xchacha20poly1305_ietf_encrypt(sealed, &sealed_len, plain.data, plain.len,
                                                     (const uint8_t *)label, sizeof label, NULL,
                                                     lock.nonce, key);
    fm_wipe(key, sizeof key);
    fm_pack_map(out, 6);
    fm_pack_key_uint(out, KEY_VERSION, FILE_VERSION);
    fm_pack_key_bin(out, KEY_SALT, lock.salt, sizeof lock.salt);
    fm_pack_key_uint(out, KEY_PASSES, lock.passes);
    fm_pack_key_uint(out, KEY_MEMORY, lock.memory);
    fm_pack_key_bin(out, KEY_NONCE, lock.nonce, sizeof lock.nonce);
    fm_pack_key_bin(out, KEY_SEALED, sealed, (size_t)sealed_len);
    return FM_OK;
}

static enum fm_status encode_file(struct fm_buf *out, struct fm_key *const *keys, size_t count,
                                  const char *passphrase)
{
    FM_AUTO(wipe_buf_free) struct fm_buf plain = FM_BUF_INIT(FILE_BYTES_MAX);

    /* Room for everything at once: a buffer that grows leaves copies of secrets behind. */
    if (fm_buf_extend(out, FILE_BYTES_MAX) == NULL || fm_buf_extend(&plain, FILE_BYTES_MAX) == NULL)
        return FM_NOMEM;
    fm_buf_clear(out);
    fm_buf_clear(&plain);
    if (passphrase != NULL) {
        put_keys(&plain, keys, count);
        enum fm_status status = put_sealed(out, fm_buf_span(&plain), passphrase);
        return status != FM_OK ? status : fm_buf_status(out);
    }
    fm_pack_map(out, 2);
    fm_pack_key_uint(out, KEY_VERSION, FILE_VERSION);
    fm_pack_uint(out, KEY_KEYS);
    put_keys(out, keys, count);
    return fm_buf_status(out);
}

static int write_all(int fd, struct fm_span bytes)
{
    while (bytes.len > 0) {
        ssize_t wrote = write(fd, bytes.data, bytes.len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        bytes = fm_span(bytes.data + wrote, bytes.len - (size_t)wrote);
    }
    return 0;
}

static enum fm_status sync_folder(const char *path, struct fm_error *err)
{
    char copy[PATH_MAX];

    if (strlen(path) >= sizeof copy)
        return fm_fail(err, FM_INVALID, "the path is too long");
    memcpy(copy, path, strlen(path) + 1);
    FM_AUTO(fd_close) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fm_fail_errno(err, FM_IO, errno, "sync its folder");
    return FM_OK;
}

static enum fm_status write_file(const char *path, struct fm_span bytes, struct fm_error *err)
{
    FM_AUTO(fd_close) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 && errno == EEXIST)
        return fm_fail(err, FM_CONFLICT, "it exists, and is not overwritten");
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "create it");
    enum fm_status status = FM_OK;
    if (write_all(fd, bytes) != 0 || fsync(fd) != 0)
        status = fm_fail_errno(err, FM_IO, errno, "write it");
    if (status == FM_OK)
        status = sync_folder(path, err);
    if (status != FM_OK)
        (void)unlink(path); /* Half a key file helps nobody; the first failure is the one told. */
    return status;
}

enum fm_status fm_keys_save(const char *path, struct fm_key *const *keys, size_t count,
                            const char *passphrase, struct fm_error *err)
{
    FM_AUTO(wipe_buf_free) struct fm_buf file = FM_BUF_INIT(FILE_BYTES_MAX);

    if (count < 1 || count > FILE_KEYS_MAX)
        return fm_fail(err, FM_INVALID, "key file %s: it holds 1 to %u keys", path, FILE_KEYS_MAX);
    enum fm_status status = encode_file(&file, keys, count, passphrase);
    if (status != FM_OK)
        return fm_fail(err, status, "key file %s: %s", path, fm_status_text(status));
    status = write_file(path, fm_buf_span(&file), err);
    return status == FM_OK ? FM_OK : fm_wrap(err, status, "key file %s", path);
}

/* ---- Reading ------------------------------------------------------------------------------- */

static enum fm_status check_file(int fd, struct fm_error *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fm_fail_errno(err, FM_IO, errno, "look at it");
    if (!S_ISREG(st.st_mode))
        return fm_fail(err, FM_REFUSED, "it is no regular file");
    if (st.st_uid != geteuid())
        return fm_fail(err, FM_REFUSED, "it belongs to another user");
    if ((st.st_mode & 077) != 0)
        return fm_fail(err, FM_REFUSED, "others may use it (mode %03o); chmod 600 it",
                       (unsigned)(st.st_mode & 0777));
    if (st.st_size > (off_t)FILE_BYTES_MAX)
        return fm_fail(err, FM_MALFORMED, "it is too large");
    return FM_OK;
}

static enum fm_status read_file(const char *path, uint8_t data[FILE_BYTES_MAX], size_t *len,
                                struct fm_error *err)
{
    /* O_NONBLOCK: opening a pipe must not wait for a writer. */
    FM_AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    size_t have = 0;

    if (fd < 0 && errno == ENOENT)
        return fm_fail(err, FM_NOTFOUND, "there is no such file");
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "open it");
    enum fm_status status = check_file(fd, err);
    if (status != FM_OK)
        return status;
    while (have < FILE_BYTES_MAX) {
        ssize_t got = read(fd, data + have, FILE_BYTES_MAX - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fm_fail_errno(err, FM_IO, errno, "read it");
        if (got == 0)
            break;
        have += (size_t)got;
    }
    *len = have;
    return FM_OK;
}

static enum fm_status read_lock(const struct fm_value *root, struct lock *lock,
                                struct fm_span *sealed)
{
    const uint32_t known = FM_KEY(KEY_VERSION) | (FM_KEYS(7) & ~FM_KEYS(2));
    struct fm_reader reader = fm_reader(root, known);

    fm_read_exact(&reader, KEY_SALT, lock->salt, sizeof lock->salt);
    fm_read_u64(&reader, KEY_PASSES, PASSES_MAX, &lock->passes);
    fm_read_u64(&reader, KEY_MEMORY, MEMORY_MAX, &lock->memory);
    fm_read_exact(&reader, KEY_NONCE, lock->nonce, sizeof lock->nonce);
    fm_read_bin(&reader, KEY_SEALED, FILE_BYTES_MAX, sealed);
    if (reader.status != FM_OK)
        return reader.status;
    fm_reader_demand(&reader, lock->passes >= crypto_pwhash_OPSLIMIT_MIN &&
                                  lock->memory >= crypto_pwhash_MEMLIMIT_MIN &&
                                  sealed->len >= crypto_aead_xchacha20poly1305_ietf_ABYTES);
    return reader.status;
}

static enum fm_status unlock(const struct lock *lock, struct fm_span sealed, const char *passphrase,
                             uint8_t plain[FILE_BYTES_MAX], struct fm_span *out,
                             struct fm_error *err)
{
    uint8_t key[crypto_aead_xchacha20poly1305_ietf_KEYBYTES];
    unsigned long long len = 0;

    if (passphrase == NULL)
        return fm_fail(err, FM_REFUSED, "it is encrypted: a passphrase is needed");
    enum fm_status status = derive(lock, passphrase, key);
    if (status != FM_OK)
        return fm_fail(err, status, "not enough memory to try the passphrase");
    int failed = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &len, NULL, sealed.data,
                                                            sealed.len, (const uint8_t *)label,
                                                            sizeof label, lock->nonce, key);
    fm_wipe(key, sizeof key);
    if (failed != 0)
        return fm_fail(err, FM_REFUSED, "the passphrase is wrong, or the file is damaged");
    *out = fm_span(plain, (size_t)len);
    return FM_OK;
}

/* Make the first key of each kind asked for; `out` may be filled in part on failure. */
static enum fm_status make_keys(const struct fm_value *array, const enum fm_key_kind *kinds,
                                size_t count, struct fm_key **out)
{
    uint32_t items = 0;

    enum fm_status status = fm_value_array(array, FILE_KEYS_MAX, &items);
    for (uint32_t i = 0; i < items && status == FM_OK; i++) {
        const struct fm_value *item = fm_value_at(array, i);
        uint32_t kind = 0;
        uint32_t pair = 0;
        struct fm_span secret = {0};

        status = fm_value_array(item, 2, &pair);
        if (status != FM_OK || pair != 2)
            return FM_MALFORMED;
        status = fm_value_u32(fm_value_at(item, 0), FM_KEY_GOSSIP, &kind);
        if (status == FM_OK)
            status = fm_value_bin(fm_value_at(item, 1), 32, &secret);
        if (status != FM_OK || kind < FM_KEY_SIGN || secret.len != 32)
            return FM_MALFORMED;
        for (size_t k = 0; k < count && status == FM_OK; k++) {
            if ((uint32_t)kinds[k] == kind && out[k] == NULL)
                status = fm_key_from_secret(kinds[k], secret.data, &out[k]);
        }
    }
    return status;
}

static enum fm_status decode_keys(const struct fm_value *array, const enum fm_key_kind *kinds,
                                  size_t count, struct fm_key **out, struct fm_error *err)
{
    enum fm_status status = make_keys(array, kinds, count, out);

    if (status != FM_OK)
        return fm_fail(err, status, "its keys do not decode");
    for (size_t k = 0; k < count; k++) {
        if (out[k] == NULL)
            return fm_fail(err, FM_NOTFOUND, "it holds no key of kind %d", (int)kinds[k]);
    }
    return FM_OK;
}

static enum fm_status decode_file(struct fm_span bytes, uint8_t plain[FILE_BYTES_MAX],
                                  const char *passphrase, const enum fm_key_kind *kinds,
                                  size_t count, struct fm_key **out, struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    FM_AUTO(fm_doc_freep) struct fm_doc *inner = NULL;
    struct lock lock = {0};
    struct fm_span opened = {0};
    uint32_t version = 0;

    enum fm_status status = fm_doc_parse(bytes, &doc);
    if (status != FM_OK)
        return fm_fail(err, status, "it is no key file");
    const struct fm_value *root = fm_doc_root(doc);
    if (fm_value_u32(fm_map_get(root, KEY_VERSION), UINT32_MAX, &version) != FM_OK)
        return fm_fail(err, FM_MALFORMED, "it is no key file");
    if (version != FILE_VERSION)
        return fm_fail(err, FM_UNSUPPORTED, "its format %u is not known", version);
    if (fm_map_check(root, FM_KEYS(2)) == FM_OK)
        return decode_keys(fm_map_get(root, KEY_KEYS), kinds, count, out, err);

    status = read_lock(root, &lock, &opened);
    if (status != FM_OK)
        return fm_fail(err, status, "its fields do not decode");
    status = unlock(&lock, opened, passphrase, plain, &opened, err);
    if (status != FM_OK)
        return status;
    status = fm_doc_parse(opened, &inner);
    if (status != FM_OK)
        return fm_fail(err, status, "what it encrypts does not decode");
    return decode_keys(fm_doc_root(inner), kinds, count, out, err);
}

enum fm_status fm_keys_load(const char *path, const char *passphrase, const enum fm_key_kind *kinds,
                            size_t count, struct fm_key **out, struct fm_error *err)
{
    FM_AUTO(secret_buf_free)
    struct secret_buf secret = {.data = sodium_malloc(2 * (size_t)FILE_BYTES_MAX)};
    struct fm_key *keys[FILE_KEYS_MAX] = {NULL};
    size_t len = 0;

    fm_assert(count >= 1 && count <= FILE_KEYS_MAX);
    if (secret.data == NULL)
        return fm_fail(err, FM_NOMEM, "key file %s: out of memory", path);
    enum fm_status status = read_file(path, secret.data, &len, err);
    if (status == FM_OK)
        status = decode_file(fm_span(secret.data, len), secret.data + FILE_BYTES_MAX, passphrase,
                             kinds, count, keys, err);
    if (status != FM_OK) {
        for (size_t k = 0; k < count; k++)
            fm_key_free(keys[k]);
        return fm_wrap(err, status, "key file %s", path);
    }
    memcpy(out, keys, count * sizeof keys[0]);
    return FM_OK;
}
