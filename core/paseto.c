#include "core/paseto.h"

#include "core/limits.h"

#include <sodium.h>

static void put_piece(struct fm_buf *out, struct fm_span piece)
{
    fm_buf_put_u64(out, piece.len); /* The spec clears the top bit: no span is that long. */
    fm_buf_put_span(out, piece);
}

/* Pre-authentication encoding: how many pieces, then each with its length before it. */
static void put_signed(struct fm_buf *out, struct fm_span message, struct fm_span footer,
                       struct fm_span implicit)
{
    fm_buf_put_u64(out, 4);
    put_piece(out, fm_span_str(FM_PASETO_HEADER));
    put_piece(out, message);
    put_piece(out, footer);
    put_piece(out, implicit);
}

static void put_base64url(struct fm_buf *out, struct fm_span bytes)
{
    size_t room = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    uint8_t *at = fm_buf_extend(out, room);

    if (at == NULL)
        return;
    sodium_bin2base64((char *)at, room, bytes.data, bytes.len,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    out->len--; /* Its NUL. */
}

void fm_paseto_sign(const struct fm_key *key, struct fm_span message, struct fm_span footer,
                    struct fm_span implicit, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);
    uint8_t signature[64];

    put_signed(&bytes, message, footer, implicit);
    if (fm_buf_status(&bytes) == FM_OK)
        fm_key_sign(key, fm_buf_span(&bytes), signature);
    if (fm_buf_status(&bytes) == FM_OK) {
        fm_buf_clear(&bytes);
        fm_buf_put_span(&bytes, message);
        fm_buf_put(&bytes, signature, sizeof signature);
    }
    if (fm_buf_status(&bytes) != FM_OK) {
        out->status = fm_buf_status(&bytes);
        return;
    }
    fm_buf_put_str(out, FM_PASETO_HEADER);
    put_base64url(out, fm_buf_span(&bytes));
    if (footer.len == 0)
        return;
    fm_buf_put_u8(out, '.');
    put_base64url(out, footer);
}

/* Append what `text` encodes. libsodium refuses padding, foreign characters and bits left over. */
static enum fm_status take_base64url(struct fm_span text, struct fm_buf *out)
{
    size_t len = 0;
    uint8_t *at = fm_buf_extend(out, text.len / 4 * 3 + 3);

    if (at == NULL)
        return fm_buf_status(out);
    size_t room = text.len / 4 * 3 + 3;
    if (sodium_base642bin(at, room, (const char *)text.data, text.len, NULL, &len, NULL,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING) != 0)
        return FM_MALFORMED;
    out->len -= room - len;
    return FM_OK;
}

enum fm_status fm_paseto_read(struct fm_span text, struct fm_buf *decoded, struct fm_paseto *out)
{
    const size_t header = sizeof FM_PASETO_HEADER - 1;

    if (text.len > FM_TOKEN_BYTES_MAX)
        return FM_LIMIT;
    if (text.len < header || memcmp(text.data, FM_PASETO_HEADER, header) != 0)
        return FM_INVALID;
    struct fm_span body = fm_span(text.data + header, text.len - header);
    struct fm_span footer = {0};
    const uint8_t *dot = memchr(body.data, '.', body.len);
    if (dot != NULL) {
        footer = fm_span(dot + 1, (size_t)(body.data + body.len - dot - 1));
        body.len = (size_t)(dot - body.data);
        if (footer.len == 0)
            return FM_MALFORMED;
    }
    enum fm_status status = take_base64url(body, decoded);
    size_t len = decoded->len;
    if (status == FM_OK && len < sizeof out->signature)
        status = FM_MALFORMED;
    if (status == FM_OK)
        status = take_base64url(footer, decoded);
    if (status != FM_OK)
        return status;
    out->message = fm_span(decoded->data, len - sizeof out->signature);
    memcpy(out->signature, decoded->data + out->message.len, sizeof out->signature);
    out->footer = fm_span(decoded->data + len, decoded->len - len);
    return FM_OK;
}

enum fm_status fm_paseto_verify(const struct fm_paseto *token, const struct fm_public_key *key,
                                struct fm_span implicit)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(0);

    put_signed(&bytes, token->message, token->footer, implicit);
    if (fm_buf_status(&bytes) != FM_OK)
        return fm_buf_status(&bytes);
    return fm_verify(key, fm_buf_span(&bytes), token->signature) ? FM_OK : FM_FORGED;
}
