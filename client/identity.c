#include "client/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* Nothing was written through it, or its sync was checked. */
}

enum fm_status fm_file_read(const char *path, size_t max, struct fm_buf *out, struct fm_error *err)
{
    FM_AUTO(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* No FIFO waits. */
    size_t start = out->len;
    struct stat info;

    if (fd < 0)
        return fm_fail_errno(err, errno == ENOENT ? FM_NOTFOUND : FM_IO, errno, "open %s", path);
    if (fstat(fd, &info) != 0)
        return fm_fail_errno(err, FM_IO, errno, "stat %s", path);
    if (!S_ISREG(info.st_mode))
        return fm_fail(err, FM_INVALID, "%s is not a regular file", path);
    if ((uint64_t)info.st_size > max)
        return fm_fail(err, FM_LIMIT, "%s has %lld bytes; at most %zu are read", path,
                       (long long)info.st_size, max);
    for (;;) {
        uint8_t chunk[16384];
        ssize_t got = read(fd, chunk, sizeof chunk);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return fm_fail_errno(err, FM_IO, errno, "read %s", path);
        if (got == 0)
            break;
        if ((size_t)got > max - (out->len - start)) /* It grows while it is read. */
            return fm_fail(err, FM_LIMIT, "%s has more than %zu bytes", path, max);
        fm_buf_put(out, chunk, (size_t)got);
        if (fm_buf_status(out) != FM_OK)
            break;
    }
    if (fm_buf_status(out) != FM_OK)
        return fm_fail(err, fm_buf_status(out), "read %s: it is too large", path);
    return FM_OK;
}

static enum fm_status sync_folder_of(const char *path, struct fm_error *err)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int len = slash == NULL ? 1 : (int)(slash - path);

    if (slash == path)
        len = 1;
    if (len >= (int)sizeof folder)
        return fm_fail(err, FM_LIMIT, "path is too long: %s", path);
    (void)snprintf(folder, sizeof folder, "%.*s", len, slash == NULL ? "." : path);
    FM_AUTO(closep) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        return fm_fail_errno(err, FM_IO, errno, "sync folder %s", folder);
    return FM_OK;
}

static enum fm_status write_all(int fd, struct fm_span bytes)
{
    while (bytes.len != 0) {
        ssize_t put = write(fd, bytes.data, bytes.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return FM_IO;
        bytes.data += put;
        bytes.len -= (size_t)put;
    }
    return fsync(fd) == 0 ? FM_OK : FM_IO;
}

enum fm_status fm_file_write(const char *path, struct fm_span bytes, unsigned mode,
                             struct fm_error *err)
{
    char temporary[4096];
    int len = snprintf(temporary, sizeof temporary, "%s.new.%ld", path, (long)getpid());

    if (len < 0 || (size_t)len >= sizeof temporary)
        return fm_fail(err, FM_LIMIT, "path is too long: %s", path);
    FM_AUTO(closep)
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, (mode_t)mode);
    if (fd < 0)
        return fm_fail_errno(err, FM_IO, errno, "create %s", temporary);
    if (write_all(fd, bytes) != FM_OK || rename(temporary, path) != 0) {
        int reason = errno;
        (void)unlink(temporary); /* The failure is reported; a leftover would only confuse. */
        return fm_fail_errno(err, FM_IO, reason, "write %s", path);
    }
    return sync_folder_of(path, err);
}

static enum fm_status read_in(const char *dir, const char *name, size_t max, struct fm_buf *out,
                              struct fm_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return fm_fail(err, FM_LIMIT, "path is too long: %s", dir);
    return fm_file_read(path, max, out, err);
}

static enum fm_status load_keys(const char *dir, const char *passphrase,
                                struct fm_identity *identity, struct fm_error *err)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_SIGN, FM_KEY_SESSION};
    static const enum fm_key_kind gossip[] = {FM_KEY_GOSSIP};
    struct fm_key *keys[2] = {NULL, NULL};
    char path[4096];

    if (snprintf(path, sizeof path, "%s/%s", dir, FM_FILE_KEYS) >= (int)sizeof path)
        return fm_fail(err, FM_LIMIT, "path is too long: %s", dir);
    enum fm_status status = fm_keys_load(path, passphrase, kinds, 2, keys, err);
    if (status != FM_OK)
        return status;
    identity->sign_key = keys[0];
    identity->session_key = keys[1];
    if (identity->kind != FM_PAYLOAD_NODE)
        return FM_OK;
    (void)snprintf(path, sizeof path, "%s/%s", dir, FM_FILE_GOSSIP);
    return fm_keys_load(path, passphrase, gossip, 1, &identity->gossip_key, err);
}

static enum fm_status load_cert(const char *dir, fm_us now, struct fm_identity *identity,
                                struct fm_error *err)
{
    const struct fm_public_key *sign, *session;
    enum fm_status status =
        read_in(dir, FM_FILE_CERT, FM_ENVELOPE_BYTES_MAX, &identity->cert_bytes, err);

    if (status != FM_OK)
        return status;
    struct fm_span bytes = fm_buf_span(&identity->cert_bytes);
    if (identity->kind == FM_PAYLOAD_NODE) {
        status =
            fm_node_cert_open(&identity->charter, bytes, fm_seconds(now), &identity->node, err);
        sign = &identity->node.sign_key;
        session = &identity->node.session_key;
    } else {
        status = fm_principal_cert_open(&identity->charter, bytes, fm_seconds(now),
                                        &identity->principal, err);
        sign = &identity->principal.sign_key;
        session = &identity->principal.session_key;
    }
    if (status != FM_OK)
        return fm_wrap(err, status, "%s/%s", dir, FM_FILE_CERT);
    if (!fm_public_key_equal(sign, fm_key_public(identity->sign_key)) ||
        !fm_public_key_equal(session, fm_key_public(identity->session_key)))
        return fm_fail(err, FM_FORGED, "%s: the certificate is for other keys than those in '%s'",
                       dir, FM_FILE_KEYS);
    return FM_OK;
}

enum fm_status fm_identity_load(const char *dir, enum fm_payload_kind kind, const char *passphrase,
                                fm_us now, struct fm_identity **out, struct fm_error *err)
{
    FM_AUTO(fm_identity_freep) struct fm_identity *identity = calloc(1, sizeof *identity);

    if (identity == NULL)
        return fm_fail(err, FM_NOMEM, "load identity %s", dir);
    identity->kind = kind;
    enum fm_status status =
        read_in(dir, FM_FILE_CHARTER, FM_ENVELOPE_BYTES_MAX, &identity->charter_bytes, err);
    if (status == FM_OK) {
        status = fm_charter_open(fm_buf_span(&identity->charter_bytes), &identity->charter, err);
        if (status != FM_OK)
            status = fm_wrap(err, status, "%s/%s", dir, FM_FILE_CHARTER);
    }
    if (status == FM_OK)
        status = load_keys(dir, passphrase, identity, err);
    if (status == FM_OK)
        status = load_cert(dir, now, identity, err);
    if (status == FM_OK)
        *out = FM_TAKE(identity);
    return status;
}

void fm_identity_free(struct fm_identity *identity)
{
    if (identity == NULL)
        return;
    fm_buf_free(&identity->charter_bytes);
    fm_buf_free(&identity->cert_bytes);
    fm_key_free(identity->sign_key);
    fm_key_free(identity->session_key);
    fm_key_free(identity->gossip_key);
    free(identity);
}
