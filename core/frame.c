#include "core/frame.h"

#include "core/assert.h"
#include "core/limits.h"
#include "core/session.h"

/* All kinds share one layout; a field that a kind does not use is zero. */
enum {
    AT_KIND = 0,
    AT_PATTERN = 1,
    AT_VERSION_MIN = 2,
    AT_VERSION_MAX = 4,
    AT_FEATURES = 6,
    AT_SESSION = 10,
};
_Static_assert(AT_SESSION + 16 == FM_FRAME_HEADER_BYTES, "the session id ends the header");

struct layout {
    bool has_pattern;
    bool has_versions; /* And features. */
    bool has_session;
};

static const struct layout layouts[] = {
    [FM_FRAME_HELLO] = {.has_pattern = true, .has_versions = true},
    [FM_FRAME_WELCOME] = {.has_pattern = true, .has_versions = true, .has_session = true},
    [FM_FRAME_FINISH] = {.has_pattern = true, .has_session = true},
    [FM_FRAME_SEALED] = {.has_session = true},
    [FM_FRAME_REFUSED] = {.has_session = true},
};

static void encode(uint8_t header[FM_FRAME_HEADER_BYTES], const struct fm_frame *frame)
{
    fm_assert(frame->kind >= FM_FRAME_HELLO && frame->kind <= FM_FRAME_REFUSED);
    const struct layout *layout = &layouts[frame->kind];

    memset(header, 0, FM_FRAME_HEADER_BYTES);
    header[AT_KIND] = (uint8_t)frame->kind;
    if (layout->has_pattern)
        header[AT_PATTERN] = (uint8_t)frame->pattern;
    if (layout->has_versions) {
        fm_store16(header + AT_VERSION_MIN, frame->version_min);
        fm_store16(header + AT_VERSION_MAX, frame->version_max);
        fm_store32(header + AT_FEATURES, frame->features);
    }
    if (layout->has_session)
        memcpy(header + AT_SESSION, frame->session, sizeof frame->session);
}

void fm_frame_encode(struct fm_buf *out, const struct fm_frame *frame)
{
    uint8_t header[FM_FRAME_HEADER_BYTES];

    encode(header, frame);
    fm_buf_put(out, header, sizeof header);
}

/* That nothing stands where this kind has nothing. */
static bool unused_is_zero(const struct layout *layout, const uint8_t *header)
{
    static const uint8_t zeros[FM_FRAME_HEADER_BYTES];

    if (!layout->has_pattern && header[AT_PATTERN] != 0)
        return false;
    if (!layout->has_versions &&
        memcmp(header + AT_VERSION_MIN, zeros, AT_SESSION - AT_VERSION_MIN) != 0)
        return false;
    return layout->has_session || memcmp(header + AT_SESSION, zeros, 16) == 0;
}

enum fm_status fm_frame_decode(struct fm_span bytes, struct fm_frame *out)
{
    const uint8_t *header = bytes.data;

    if (bytes.len < FM_FRAME_HEADER_BYTES || bytes.len > FM_MESSAGE_BYTES_MAX)
        return FM_MALFORMED;
    uint8_t kind = header[AT_KIND];
    if (kind < FM_FRAME_HELLO || kind > FM_FRAME_REFUSED)
        return FM_MALFORMED;
    const struct layout *layout = &layouts[kind];
    if (!unused_is_zero(layout, header))
        return FM_MALFORMED;
    uint8_t pattern = header[AT_PATTERN];
    if (layout->has_pattern && (pattern < FM_NOISE_XX || pattern > FM_NOISE_XXPSK0))
        return FM_UNSUPPORTED;

    *out = (struct fm_frame){
        .kind = kind,
        .pattern = pattern,
        .version_min = fm_load16(header + AT_VERSION_MIN),
        .version_max = fm_load16(header + AT_VERSION_MAX),
        .features = fm_load32(header + AT_FEATURES),
        .rest = fm_span(header + FM_FRAME_HEADER_BYTES, bytes.len - FM_FRAME_HEADER_BYTES),
    };
    memcpy(out->session, header + AT_SESSION, sizeof out->session);
    return FM_OK;
}

enum fm_status fm_version_choose(uint16_t peer_min, uint16_t peer_max, uint16_t *out)
{
    uint16_t low = peer_min > FM_PROTOCOL_VERSION_MIN ? peer_min : FM_PROTOCOL_VERSION_MIN;
    uint16_t high = peer_max < FM_PROTOCOL_VERSION ? peer_max : FM_PROTOCOL_VERSION;

    if (peer_min > peer_max || low > high)
        return FM_UNSUPPORTED;
    *out = high;
    return FM_OK;
}

void fm_frame_refuse(struct fm_buf *out, const uint8_t session_id[16], enum fm_status why,
                     const char *text)
{
    struct fm_frame frame = {.kind = FM_FRAME_REFUSED};
    size_t len = strnlen(text, FM_REFUSAL_TEXT_MAX);

    fm_assert(why != FM_OK);
    while (len > 0 && !fm_utf8_valid(fm_span(text, len)))
        len--; /* The cut fell into a character. */
    memcpy(frame.session, session_id, sizeof frame.session);
    fm_frame_encode(out, &frame);
    fm_buf_put_u8(out, (uint8_t)why);
    fm_buf_put(out, text, len);
}

enum fm_status fm_frame_refusal(const struct fm_frame *frame, enum fm_status *why,
                                struct fm_error *err)
{
    struct fm_cursor cursor = fm_cursor(frame->rest);
    enum fm_status status = FM_INTERNAL;
    uint8_t number;

    if (fm_take_u8(&cursor, &number) == FM_OK && number != FM_OK)
        status = fm_status_from_wire(number);
    if (why != NULL)
        *why = status;
    struct fm_span text = fm_span(cursor.at, fm_cursor_left(&cursor));
    if (text.len == 0 || text.len > FM_REFUSAL_TEXT_MAX || !fm_utf8_valid(text))
        return fm_fail(err, FM_REFUSED, "the peer refuses: %s", fm_status_text(status));
    return fm_fail(err, FM_REFUSED, "the peer refuses: %s: %.*s", fm_status_text(status),
                   (int)text.len, (const char *)text.data);
}

enum fm_status fm_frame_seal(struct fm_session *session, const uint8_t session_id[16],
                             int64_t now_ms, struct fm_span plain, struct fm_buf *out)
{
    struct fm_frame frame = {.kind = FM_FRAME_SEALED};
    uint8_t header[FM_FRAME_HEADER_BYTES];
    size_t start = out->len;

    memcpy(frame.session, session_id, sizeof frame.session);
    encode(header, &frame);
    fm_buf_put(out, header, sizeof header);
    enum fm_status status =
        fm_session_seal(session, now_ms, fm_span(header, sizeof header), plain, out);
    if (status != FM_OK)
        out->len = start;
    return status;
}

enum fm_status fm_frame_open(struct fm_session *session, const struct fm_frame *frame,
                             struct fm_span whole, int64_t now_ms, struct fm_buf *out)
{
    if (frame->kind != FM_FRAME_SEALED)
        return FM_MALFORMED;
    fm_assert(whole.len >= FM_FRAME_HEADER_BYTES);
    fm_assert(frame->rest.data == whole.data + FM_FRAME_HEADER_BYTES);
    return fm_session_open(session, now_ms, fm_span(whole.data, FM_FRAME_HEADER_BYTES), frame->rest,
                           out);
}
