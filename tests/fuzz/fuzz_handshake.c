/* The handshake machine. The first byte of the input chooses the pattern and a frame of the
 * handshake; up to that frame all is honest. The rest then is the frame itself, or says where to
 * change the honest one, or is what a peer that holds keys puts into its sealed payload. A side
 * must only finish with an honest frame, and must always be left in order. */
#include "core/frame.h"

#include "core/assert.h"
#include "core/limits.h"
#include "core/session.h"

#define PATTERNS 3u
#define FRAMES 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { RAW, CHANGED, PAYLOAD, MODE_COUNT };

struct run {
    enum fm_noise_pattern pattern;
    unsigned target; /* The frame: HELLO, WELCOME, FINISH. */
    struct fm_key *keys[2];
    struct fm_key *gossip_key;
    struct fm_handshake *sides[2]; /* Initiator, responder. */
    struct fm_buf frames[FRAMES + 1];
};

static void begin(struct run *run)
{
    for (uint8_t i = 0; i < 2; i++) {
        uint8_t secret[32] = {(uint8_t)(i + 1)};
        fm_assert(fm_key_from_secret(FM_KEY_SESSION, secret, &run->keys[i]) == FM_OK);
    }
    fm_assert(fm_key_from_secret(FM_KEY_GOSSIP, (const uint8_t[32]){3}, &run->gossip_key) == FM_OK);
    for (size_t i = 0; i < 2; i++) {
        struct fm_handshake_options options = {
            .pattern = run->pattern,
            .initiator = i == 0,
            .session_key = run->keys[i],
            .peer = fm_key_public(run->keys[1]),
            .gossip_key = run->gossip_key,
            .cert_kind = FM_PAYLOAD_NODE,
            .cert = fm_span_str("certificate"),
            .session_id = {1, 2, 3},
        };
        fm_assert(fm_handshake_new(&options, &run->sides[i]) == FM_OK);
    }
}

static void end(struct run *run)
{
    for (size_t i = 0; i < 2; i++) {
        fm_handshake_free(run->sides[i]);
        fm_key_free(run->keys[i]);
    }
    fm_key_free(run->gossip_key);
    for (size_t i = 0; i <= FRAMES; i++)
        fm_buf_free(&run->frames[i]);
}

static struct fm_handshake *receiver(struct run *run, unsigned frame)
{
    return run->sides[frame % 2 == 0 ? 1 : 0];
}

/* A side that refused takes nothing more; what a responder answers is a refusal. */
static void check_refusal(struct run *run, enum fm_status status, const struct fm_buf *answer)
{
    struct fm_handshake *side = receiver(run, run->target);
    struct fm_buf none = FM_BUF_INIT(0);
    struct fm_frame frame;

    fm_assert(status != FM_OK && status != FM_NOMEM && status != FM_INTERNAL);
    fm_assert(!fm_handshake_is_finished(side));
    if (run->target == 1) {
        fm_assert(answer->len == 0);
    } else {
        fm_assert(fm_frame_decode(fm_buf_span(answer), &frame) == FM_OK);
        fm_assert(frame.kind == FM_FRAME_REFUSED);
        fm_assert(fm_frame_refusal(&frame, NULL, NULL) == FM_REFUSED);
    }
    fm_assert(fm_handshake_step(side, fm_buf_span(&run->frames[run->target]), &none, NULL) ==
              FM_INVALID);
    fm_assert(none.len == 0);
}

/* Headers decode to what encodes to them. */
static void check_frame(struct fm_span bytes)
{
    struct fm_buf again = FM_BUF_INIT(0);
    struct fm_frame frame;

    if (fm_frame_decode(bytes, &frame) != FM_OK)
        return;
    fm_frame_encode(&again, &frame);
    fm_assert(fm_span_equal(fm_buf_span(&again), fm_span(bytes.data, FM_FRAME_HEADER_BYTES)));
    fm_assert(frame.rest.len == bytes.len - FM_FRAME_HEADER_BYTES);
    if (frame.kind == FM_FRAME_REFUSED)
        fm_assert(fm_frame_refusal(&frame, NULL, NULL) == FM_REFUSED);
    fm_buf_free(&again);
}

/* Whether the bytes were changed at all: pairs of place and difference. */
static bool change(struct fm_buf *frame, struct fm_span how)
{
    struct fm_buf before = FM_BUF_INIT(0);
    struct fm_cursor cursor = fm_cursor(how);
    uint16_t at;
    uint8_t difference;

    fm_buf_put_span(&before, fm_buf_span(frame));
    while (fm_take_u16(&cursor, &at) == FM_OK && fm_take_u8(&cursor, &difference) == FM_OK) {
        if (at == UINT16_MAX)
            frame->len = difference % frame->len + 1;
        else
            frame->data[at % frame->len] ^= difference;
    }
    bool changed = !fm_span_equal(fm_buf_span(&before), fm_buf_span(frame));
    fm_buf_free(&before);
    return changed;
}

/* Frames from `first` on; the first status that is not FM_OK. */
static enum fm_status deliver_from(struct run *run, unsigned first, unsigned end_at)
{
    enum fm_status status = FM_OK;

    for (unsigned i = first; i < end_at && status == FM_OK && run->frames[i].len != 0; i++)
        status = fm_handshake_step(receiver(run, i), fm_buf_span(&run->frames[i]),
                                   &run->frames[i + 1], NULL);
    return status;
}

static void fuzz_raw(struct run *run, struct fm_span input)
{
    struct fm_buf *frame = &run->frames[run->target];
    struct fm_buf *answer = &run->frames[run->target + 1];

    fm_buf_clear(frame);
    fm_buf_put_span(frame, input);
    enum fm_status status = fm_handshake_step(receiver(run, run->target), input, answer, NULL);
    /* A stranger can write XX's first message: it is a bare key. */
    if (status == FM_OK)
        fm_assert(run->target == 0 && !fm_handshake_is_finished(receiver(run, 0)));
    else
        check_refusal(run, status, answer);
}

static void fuzz_changed(struct run *run, struct fm_span input)
{
    bool changed = change(&run->frames[run->target], input);
    enum fm_status status = deliver_from(run, run->target, FRAMES);

    fm_assert((status != FM_OK) == changed);
    bool both = fm_handshake_is_finished(run->sides[0]) && fm_handshake_is_finished(run->sides[1]);
    fm_assert(both == !changed);
}

/* A peer with all keys, by hand: its sealed payload is the input. HELLO of IKpsk2 only. */
static void fuzz_payload(struct run *run, struct fm_span input)
{
    struct fm_frame hello = {
        .kind = FM_FRAME_HELLO, .pattern = FM_NOISE_IKPSK2, .version_min = 1, .version_max = 1};
    struct fm_noise_options options = {.pattern = FM_NOISE_IKPSK2,
                                       .initiator = true,
                                       .key = run->keys[0],
                                       .peer = fm_key_public(run->keys[1]),
                                       .psk = (const uint8_t[32]){3}};
    struct fm_handshake *side = run->sides[1];
    struct fm_buf frame = FM_BUF_INIT(0), answer = FM_BUF_INIT(0);
    struct fm_noise *noise = NULL;

    fm_frame_encode(&frame, &hello);
    options.prologue = fm_buf_span(&frame);
    fm_assert(fm_noise_new(&options, &noise) == FM_OK);
    fm_assert(fm_noise_write(noise, input, &frame) == FM_OK);
    enum fm_status status = fm_handshake_step(side, fm_buf_span(&frame), &answer, NULL);
    bool good = input.len >= 2 && input.len <= (60u << 10) + 1 && input.data[0] == FM_PAYLOAD_NODE;
    fm_assert(good == (status == FM_OK));
    fm_assert(good == fm_handshake_is_finished(side));
    if (good) {
        struct fm_span cert = fm_handshake_peer_cert(side, NULL);
        fm_assert(fm_span_equal(cert, fm_span(input.data + 1, input.len - 1)));
    }
    fm_noise_free(noise);
    fm_buf_free(&frame);
    fm_buf_free(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {0};

    if (size == 0 || size > (60u << 10))
        return 0;
    struct fm_span input = fm_span(data + 1, size - 1);
    unsigned choice = data[0];
    run.pattern = FM_NOISE_XX + choice % PATTERNS;
    run.target = choice / PATTERNS % (run.pattern == FM_NOISE_IKPSK2 ? 2 : FRAMES);
    enum mode mode = choice / PATTERNS / FRAMES % MODE_COUNT;

    fm_assert(fm_core_init(NULL) == FM_OK);
    check_frame(input);
    begin(&run);
    if (mode == PAYLOAD) {
        fuzz_payload(&run, input);
    } else {
        fm_assert(fm_handshake_start(run.sides[0], &run.frames[0]) == FM_OK);
        fm_assert(deliver_from(&run, 0, run.target) == FM_OK);
        (mode == RAW ? fuzz_raw : fuzz_changed)(&run, input);
    }
    end(&run);
    return 0;
}
