/* Cursors over a made-up producer: what their tests share. Threads: as of node/cursor.h. */
#ifndef FM_TESTS_SUPPORT_CURSOR_FIXTURE_H
#define FM_TESTS_SUPPORT_CURSOR_FIXTURE_H

#include "node/cursor.h"

#include <stdatomic.h>

#define CURSOR_PART_MAX 64u

/* Makes batches of one row that holds the batch's number. */
struct cursor_producer {
    uint64_t batches;       /* Then the end. */
    uint64_t fail_at;       /* UINT64_MAX: never. */
    bool blocks;            /* `next` waits for cancel. */
    uint64_t made;          /* By the one thread inside. */
    atomic_bool is_waiting; /* Inside `next`. */
    atomic_bool was_cancelled;
    atomic_uint freed;
    uint32_t finished;
    struct fm_cursor_totals totals;
};

struct cursor_fixture {
    struct fm_cursors *cursors;
    struct cursor_producer producer;
    struct fm_buf reply;
    struct fm_error err;
};

extern const struct fm_public_key cursor_owner, cursor_stranger;
extern const struct fm_request_id cursor_query;

/* For cmocka: a fixture whose producer makes 20 batches. */
int cursor_setup(void **state);
int cursor_teardown(void **state);
/* A batch of one row that holds `number`. */
enum fm_status cursor_put_batch(uint64_t number, struct fm_buf *out);
/* Options of the owner's cursor `cursor_query`, over the fixture's producer. */
struct fm_cursor_options cursor_options(struct cursor_fixture *f, enum fm_cursor_kind kind);
void cursor_open(struct cursor_fixture *f, const struct fm_cursor_options *options);
/* Open a query's cursor with what fits `reply_max` of its rows. */
enum fm_status cursor_open_first(struct cursor_fixture *f, size_t reply_max, struct fm_opened *out);
/* Fetch one part; what it holds is left in f->reply. */
enum fm_status cursor_fetch(struct cursor_fixture *f, uint64_t batch, uint64_t offset,
                            struct fm_part *part);
/* A whole batch in parts; its one value. */
uint64_t cursor_value(struct cursor_fixture *f, uint64_t batch);
void cursor_wait_until(const atomic_bool *flag);

#endif
