/* Sealed sessions. The input moves the sender's counter, changes, loses, repeats and delays
 * messages; a set of all counters that opened says what must happen. The module is included so that
 * sessions can be made without a handshake for each input. */
#include "core/session.c" /* NOLINT(bugprone-suspicious-include) */

#define COUNTERS (1u << 16)
#define KEPT_MAX 8u
#define NOW_MS 10

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct kept {
    uint64_t counter;
    uint8_t bytes[64];
    size_t len;
};

struct run {
    struct fm_session sender;
    struct fm_session receiver;
    struct fm_cursor input;
    struct fm_buf buf;
    bool opened[COUNTERS];
    bool any;
    uint64_t top;
    struct kept kept[KEPT_MAX];
};

static void begin_session(struct fm_session *session, uint8_t send, uint8_t receive)
{
    memset(session->keys.send, send, sizeof session->keys.send);
    memset(session->keys.receive, receive, sizeof session->keys.receive);
    fm_assert(fm_aead_new(&session->aead) == FM_OK);
    fm_assert(pthread_mutex_init(&session->lock, NULL) == 0);
    atomic_init(&session->sent, 0);
}

static bool is_due(const struct run *run, uint64_t counter)
{
    if (run->opened[counter])
        return false;
    return !run->any || counter + FM_REPLAY_WINDOW > run->top;
}

static void deliver(struct run *run, const struct kept *kept)
{
    bool due = is_due(run, kept->counter);

    fm_buf_clear(&run->buf);
    enum fm_status status = fm_session_open(&run->receiver, NOW_MS, fm_span_str("ad"),
                                            fm_span(kept->bytes, kept->len), &run->buf);
    fm_assert(status == (due ? FM_OK : FM_FORGED));
    if (!due)
        return;
    fm_assert(fm_span_equal(fm_buf_span(&run->buf), fm_span(&kept->counter, kept->len - 24)));
    run->opened[kept->counter] = true;
    run->top = !run->any || kept->counter > run->top ? kept->counter : run->top;
    run->any = true;
}

static void deliver_changed(struct run *run, struct kept *kept, uint16_t how)
{
    uint8_t *byte = &kept->bytes[how % kept->len];
    uint8_t change = how >> 8 != 0 ? (uint8_t)(how >> 8) : 1;

    fm_buf_clear(&run->buf);
    *byte ^= change;
    fm_assert(fm_session_open(&run->receiver, NOW_MS, fm_span_str("ad"),
                              fm_span(kept->bytes, kept->len), &run->buf) == FM_FORGED);
    *byte ^= change;
    fm_assert(run->buf.len == 0);
}

static void seal(struct run *run, struct kept *kept, uint16_t skip)
{
    uint64_t counter = (atomic_load(&run->sender.sent) + skip) % COUNTERS;

    atomic_store(&run->sender.sent, counter);
    fm_buf_clear(&run->buf);
    fm_assert(fm_session_seal(&run->sender, NOW_MS, fm_span_str("ad"),
                              fm_span(&counter, counter % 9), &run->buf) == FM_OK);
    kept->counter = counter;
    kept->len = run->buf.len;
    fm_assert(kept->len <= sizeof kept->bytes);
    memcpy(kept->bytes, run->buf.data, kept->len);
}

static bool step(struct run *run)
{
    uint8_t what;
    uint16_t how;

    if (fm_take_u8(&run->input, &what) != FM_OK || fm_take_u16(&run->input, &how) != FM_OK)
        return false;
    struct kept *kept = &run->kept[what / 4 % KEPT_MAX];
    switch (what % 4) {
    case 0:
        seal(run, kept, how % 4096);
        break;
    case 1:
        seal(run, kept, how % 4);
        deliver(run, kept);
        break;
    case 2:
        if (kept->len != 0)
            deliver(run, kept);
        break;
    default:
        if (kept->len != 0)
            deliver_changed(run, kept, how);
        break;
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run *run = calloc(1, sizeof *run);

    fm_assert(run != NULL && fm_core_init(NULL) == FM_OK);
    run->input = fm_cursor(fm_span(data, size));
    begin_session(&run->sender, 1, 2);
    begin_session(&run->receiver, 2, 1);
    fm_assert(fm_session_open(&run->receiver, NOW_MS, fm_span(NULL, 0), fm_span(data, size),
                              &run->buf) == FM_FORGED);
    while (step(run))
        ;
    fm_buf_free(&run->buf);
    fm_aead_free(run->sender.aead);
    fm_aead_free(run->receiver.aead);
    (void)pthread_mutex_destroy(&run->sender.lock); /* Nobody holds them. */
    (void)pthread_mutex_destroy(&run->receiver.lock);
    free(run);
    return 0;
}
