#include "node/tls.h"

#include "client/identity.h"
#include "core/time.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define CERT_DAYS (10 * 365L)
#define PEM_BYTES_MAX (256u << 10)
#define WRITE_BYTES_MAX (1u << 30) /* SSL_write() counts in int. */

struct fm_tls {
    SSL_CTX *context;
};

/* The first reason that OpenSSL has, and forget the others. */
static const char *reason(void)
{
    const char *text = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    return text != NULL ? text : "unknown reason";
}

/* ---- A certificate of one's own -------------------------------------------------------------- */

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool is_added = extension != NULL && X509_add_ext(cert, extension, -1) == 1;

    X509_EXTENSION_free(extension);
    return is_added;
}

/* "DNS:x" or "IP:x" for the names that clients reach it by. */
static void put_names(char *out, size_t size, const char *host)
{
    char own[256] = "localhost";
    struct in6_addr address;
    bool is_address =
        inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1;

    if (gethostname(own, sizeof own - 1) != 0)
        own[0] = '\0';
    (void)snprintf(out, size, "DNS:localhost,IP:127.0.0.1,IP:::1%s%s%s%s",
                   own[0] != '\0' && strpbrk(own, ",:/ ") == NULL ? ",DNS:" : "",
                   own[0] != '\0' && strpbrk(own, ",:/ ") == NULL ? own : "",
                   host[0] == '\0' || strpbrk(host, ",/ ") != NULL ? ""
                   : is_address                                    ? ",IP:"
                                                                   : ",DNS:",
                   host[0] == '\0' || strpbrk(host, ",/ ") != NULL ? "" : host);
}

static bool fill_cert(X509 *cert, EVP_PKEY *key, const struct fm_tls_options *options)
{
    char names[1024];
    X509_NAME *subject = X509_get_subject_name(cert);
    ASN1_INTEGER *serial = X509_get_serialNumber(cert);
    uint64_t number = 0;

    fm_random(&number, sizeof number);
    put_names(names, sizeof names, options->host);
    return X509_set_version(cert, 2) == 1 && ASN1_INTEGER_set_uint64(serial, number >> 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -300) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), (int)CERT_DAYS, 0, NULL) != NULL &&
           X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8, (const uint8_t *)"Folkmoot", -1,
                                      -1, 0) == 1 &&
           X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, (const uint8_t *)options->name,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
           add_extension(cert, NID_subject_alt_name, names) &&
           add_extension(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           X509_sign(cert, key, EVP_sha256()) != 0;
}

static enum fm_status save_pem(BIO *bio, const char *path, unsigned mode, struct fm_error *err)
{
    char *data = NULL;
    long len = BIO_get_mem_data(bio, &data);

    return fm_file_write(path, fm_span(data, len > 0 ? (size_t)len : 0), mode, err);
}

static enum fm_status make_cert(const struct fm_tls_options *options, const char *cert_path,
                                const char *key_path, struct fm_error *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_secmem());
    enum fm_status status = FM_OK;

    if (key == NULL || cert == NULL || cert_pem == NULL || key_pem == NULL ||
        !fill_cert(cert, key, options) || PEM_write_bio_X509(cert_pem, cert) != 1 ||
        PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) != 1)
        status = fm_fail(err, FM_INTERNAL, "make a TLS certificate: %s", reason());
    if (status == FM_OK)
        status = save_pem(key_pem, key_path, 0600, err);
    if (status == FM_OK)
        status = save_pem(cert_pem, cert_path, 0644, err);
    BIO_free(key_pem);
    BIO_free(cert_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return status;
}

/* ---- The context ----------------------------------------------------------------------------- */

static enum fm_status check_key_file(const char *path, struct fm_error *err)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return fm_fail_errno(err, errno == ENOENT ? FM_NOTFOUND : FM_IO, errno, "TLS key %s", path);
    if ((info.st_mode & 077) != 0)
        return fm_fail(err, FM_REFUSED, "TLS key %s can be read by others: chmod 600 it", path);
    return FM_OK;
}

static enum fm_status load(struct fm_tls *tls, const char *cert, const char *key,
                           struct fm_error *err)
{
    enum fm_status status = check_key_file(key, err);

    if (status != FM_OK)
        return status;
    if (SSL_CTX_use_certificate_chain_file(tls->context, cert) != 1)
        return fm_fail(err, FM_INVALID, "TLS certificate %s: %s", cert, reason());
    if (SSL_CTX_use_PrivateKey_file(tls->context, key, SSL_FILETYPE_PEM) != 1)
        return fm_fail(err, FM_INVALID, "TLS key %s: %s", key, reason());
    if (SSL_CTX_check_private_key(tls->context) != 1)
        return fm_fail(err, FM_INVALID, "TLS key %s is not of the certificate %s", key, cert);
    return FM_OK;
}

static bool is_own(const struct fm_tls_options *options)
{
    return options->certificate == NULL || options->certificate[0] == '\0';
}

void fm_tls_files(const struct fm_tls_options *options, struct fm_tls_files *out)
{
    const char *dir = options->dir;

    if (!is_own(options)) {
        (void)snprintf(out->certificate, sizeof out->certificate, "%s", options->certificate);
        (void)snprintf(out->key, sizeof out->key, "%s", options->key);
        return;
    }
    (void)snprintf(out->certificate, sizeof out->certificate, "%s/%s", dir, FM_FILE_TLS_CERT);
    (void)snprintf(out->key, sizeof out->key, "%s/%s", dir, FM_FILE_TLS_KEY);
}

enum fm_status fm_tls_open(const struct fm_tls_options *options, struct fm_tls **out,
                           struct fm_error *err)
{
    FM_AUTO(fm_tls_freep) struct fm_tls *tls = calloc(1, sizeof *tls);
    struct fm_tls_files files;

    fm_tls_files(options, &files);
    if (tls == NULL)
        return fm_fail(err, FM_NOMEM, "TLS");
    tls->context = SSL_CTX_new(TLS_server_method());
    if (tls->context == NULL || SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION) != 1)
        return fm_fail(err, FM_INTERNAL, "TLS: %s", reason());
    /* Idle connections hold no buffers; nobody may have us sign handshakes again and again. */
    SSL_CTX_set_mode(tls->context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(tls->context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_session_cache_mode(tls->context, SSL_SESS_CACHE_OFF);
    enum fm_status status = FM_OK;
    if (is_own(options) && access(files.key, F_OK) != 0)
        status = make_cert(options, files.certificate, files.key, err);
    if (status == FM_OK)
        status = load(tls, files.certificate, files.key, err);
    if (status == FM_OK)
        *out = FM_TAKE(tls);
    return status;
}

void fm_tls_free(struct fm_tls *tls)
{
    if (tls == NULL)
        return;
    SSL_CTX_free(tls->context);
    free(tls);
}

/* ---- Streams --------------------------------------------------------------------------------- */

struct fm_stream {
    int fd;
    SSL *ssl; /* NULL: plain. */
    bool is_secure;
    bool wants_write;
};

enum fm_status fm_stream_new(int fd, struct fm_stream **out)
{
    struct fm_stream *stream = calloc(1, sizeof *stream);

    if (stream == NULL) {
        (void)close(fd); /* Nothing to lose. */
        return FM_NOMEM;
    }
    stream->fd = fd;
    *out = stream;
    return FM_OK;
}

void fm_stream_free(struct fm_stream *stream)
{
    if (stream == NULL)
        return;
    if (stream->is_secure)
        (void)SSL_shutdown(stream->ssl); /* A courtesy. */
    ERR_clear_error();
    SSL_free(stream->ssl);
    (void)close(stream->fd); /* Nothing to lose. */
    free(stream);
}

int fm_stream_fd(const struct fm_stream *stream)
{
    return stream->fd;
}

bool fm_stream_is_secure(const struct fm_stream *stream)
{
    return stream->is_secure;
}

bool fm_stream_wants_write(const struct fm_stream *stream)
{
    return stream->wants_write;
}

bool fm_stream_has_pending(const struct fm_stream *stream)
{
    return stream->is_secure && SSL_has_pending(stream->ssl) == 1;
}

/* What OpenSSL's answer to a call means. */
static enum fm_stream_state state_of(struct fm_stream *stream, int result)
{
    int error = SSL_get_error(stream->ssl, result);

    ERR_clear_error();
    stream->wants_write = error == SSL_ERROR_WANT_WRITE;
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? FM_STREAM_WAITS
                                                                         : FM_STREAM_ENDED;
}

enum fm_stream_state fm_stream_secure(struct fm_stream *stream, struct fm_tls *tls)
{
    if (stream->ssl == NULL) {
        stream->ssl = SSL_new(tls->context);
        if (stream->ssl == NULL || SSL_set_fd(stream->ssl, stream->fd) != 1) {
            ERR_clear_error();
            return FM_STREAM_ENDED;
        }
    }
    int result = SSL_accept(stream->ssl);
    if (result != 1)
        return state_of(stream, result);
    stream->is_secure = true;
    stream->wants_write = false;
    return FM_STREAM_DONE;
}

enum fm_stream_state fm_stream_read(struct fm_stream *stream, void *data, size_t len, size_t *got)
{
    *got = 0;
    stream->wants_write = false;
    if (stream->ssl != NULL) {
        int result = SSL_read_ex(stream->ssl, data, len, got);
        return result == 1 ? FM_STREAM_DONE : state_of(stream, result);
    }
    ssize_t read_now = recv(stream->fd, data, len, 0);
    if (read_now > 0) {
        *got = (size_t)read_now;
        return FM_STREAM_DONE;
    }
    bool waits = read_now < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    return waits ? FM_STREAM_WAITS : FM_STREAM_ENDED;
}

static enum fm_stream_state write_some(struct fm_stream *stream, struct fm_span bytes, size_t *put)
{
    *put = 0;
    if (stream->ssl != NULL) {
        size_t len = bytes.len < WRITE_BYTES_MAX ? bytes.len : WRITE_BYTES_MAX;
        int result = SSL_write_ex(stream->ssl, bytes.data, len, put);
        return result == 1 ? FM_STREAM_DONE : state_of(stream, result);
    }
    ssize_t wrote = send(stream->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
    if (wrote >= 0) {
        *put = (size_t)wrote;
        return FM_STREAM_DONE;
    }
    stream->wants_write = true;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? FM_STREAM_WAITS
                                                                     : FM_STREAM_ENDED;
}

enum fm_stream_state fm_stream_write(struct fm_stream *stream, struct fm_span bytes, int stall_ms)
{
    while (bytes.len != 0) {
        size_t put = 0;
        enum fm_stream_state state = write_some(stream, bytes, &put);
        if (state == FM_STREAM_ENDED)
            return state;
        bytes = fm_span(bytes.data + put, bytes.len - put);
        if (state == FM_STREAM_DONE)
            continue;
        struct pollfd wait = {.fd = stream->fd, .events = stream->wants_write ? POLLOUT : POLLIN};
        int ready = poll(&wait, 1, stall_ms);
        if (ready == 0 || (ready < 0 && errno != EINTR))
            return FM_STREAM_ENDED;
    }
    return FM_STREAM_DONE;
}
