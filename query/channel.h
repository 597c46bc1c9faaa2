/* What the host and its worker processes say to each other, over socket pairs: private to one
 * machine and one build, so it has no versions.
 *
 * A frame is a header of 16 bytes (u32 magic "FMC1", u16 kind, u16 0, u32 bytes of payload, u32 a
 * number whose meaning depends on the kind) and its payload; at most one descriptor travels with
 * the header. Integers are little endian. Three sockets carry frames:
 *   zygote   host asks the zygote to fork and to wait
 *   control  host commands one worker, which answers; during a run batches flow to the host
 *   scan     the worker asks for rows of a slot's source, the host answers
 * Bulk goes through one shared memory file per worker (struct channel_layout): RESULT slots that
 * the worker writes, SCAN slots that the host writes. What does not fit a slot travels in the
 * payload (results) or in a memory file of its own (scans).
 *
 * The host takes nothing on trust here: lengths, kinds, numbers and texts are checked before use,
 * what lies in shared memory is copied out first.
 *
 * Threads: one per descriptor and direction. Errors: FM_MALFORMED, FM_LIMIT, FM_TIMEOUT, FM_IO,
 * FM_NOTFOUND (the other side is gone), FM_NOMEM. */
#ifndef FM_QUERY_CHANNEL_H
#define FM_QUERY_CHANNEL_H

#include "core/limits.h"
#include "core/records.h"
#include "core/time.h"

#define CHANNEL_MAGIC 0x31434d46u
#define CHANNEL_HEADER_BYTES 16u
/* A batch that holds one huge value is the largest payload. */
#define CHANNEL_PAYLOAD_MAX (FM_BATCH_BYTES_MAX + (1u << 20))
#define CHANNEL_SLOTS_MAX FM_QUERY_TABLES_MAX
#define CHANNEL_ARENAS_MAX 4096u    /* Of one slot. */
#define CHANNEL_SEGMENTS_MAX 65536u /* Of one slot: 8e9 rows. */
#define CHANNEL_ERROR_TEXT_MAX (FM_ERROR_TEXT_MAX - 1u)

/* X(NAME, number, who sends it) */
#define CHANNEL_KIND_MAP(X)                                                                        \
    X(HELLO, 1, "host to zygote: struct channel_hello")                                            \
    X(AWAKE, 2, "zygote to host: ready to fork")                                                   \
    X(FORK, 3, "host to zygote; CONTROL, SCAN and MEMORY follow with their descriptors")           \
    X(CONTROL, 4, "host to zygote, descriptor")                                                    \
    X(SCAN, 5, "host to zygote, descriptor")                                                       \
    X(MEMORY, 6, "host to zygote, descriptor")                                                     \
    X(FORKED, 7, "zygote to host: number is the process id, 0 when fork failed")                   \
    X(WAIT, 8, "host to zygote: number is a process id")                                           \
    X(EXITED, 9, "zygote to host: number is the wait status")                                      \
    X(READY, 16, "worker to host, once")                                                           \
    X(DONE, 17,                                                                                    \
      "worker to host: done; an ingest adds u64 rows, 0: not known; slots: 1: has spilled")        \
    X(TEXT, 18, "worker to host: the answer of PARSE, UNPARSE, PLAN")                              \
    X(ERROR, 19, "worker to host, both sockets: number is a status, payload its text")             \
    X(COLUMNS, 20, "worker to host: the columns of a run")                                         \
    X(BATCH, 21, "worker to host: number is a RESULT slot, payload u32 bytes")                     \
    X(INLINE, 22, "worker to host: the batch is the payload")                                      \
    X(END, 23, "worker to host: no more batches; host to worker on the scan socket: no more rows") \
    X(PARSE, 32, "host to worker: SQL")                                                            \
    X(UNPARSE, 33, "host to worker: JSON")                                                         \
    X(SLOTS, 34, "host to worker: number of slots; u32 arenas in all, the slots; ARENA frames")    \
    X(ARENA, 35, "host to worker, descriptor")                                                     \
    X(PLAN, 36, "host to worker: SQL")                                                             \
    X(RUN, 37, "host to worker: SQL; number is CHANNEL_RUN_* flags")                               \
    X(RELEASE, 38, "host to worker: number is a RESULT slot to use again")                         \
    X(INGEST, 39, "host to worker: number is the format, payload the schema; descriptor")          \
    X(PULL, 48, "worker to host: number is the fm_scan slot, payload u32 mask of SCAN slots free") \
    X(RING, 49, "host to worker: number is a SCAN slot, payload u32 bytes")                        \
    X(LARGE, 50, "host to worker: a batch in a memory file, number its bytes; descriptor")

enum channel_kind {
#define X(name, number, who) CHANNEL_##name = number,
    CHANNEL_KIND_MAP(X)
#undef X
};

enum channel_run_flag {
    CHANNEL_RUN_SINGLE_THREAD = 1,
    CHANNEL_RUN_DESCRIBE = 2, /* Nothing but the columns. */
};

/* The shared memory of a worker: a page of words, then the slots. */
#define CHANNEL_PAGE_BYTES 4096u
#define CHANNEL_SLOT_COUNT 4u
#define CHANNEL_SLOT_BYTES (512u << 10)
#define CHANNEL_MEMORY_BYTES                                                                       \
    (CHANNEL_PAGE_BYTES + (size_t)2 * CHANNEL_SLOT_COUNT * CHANNEL_SLOT_BYTES)
_Static_assert(CHANNEL_SLOT_BYTES > 2 * FM_BATCH_WIRE_BYTES, "usual batches fit a slot");
_Static_assert(CHANNEL_SLOT_COUNT <= 32, "a mask has 32 bits");

struct channel_page {
    _Atomic uint32_t interrupt; /* Futex: 1 asks the worker to end its statement. */
};

static inline uint8_t *channel_result_slot(void *memory, uint32_t slot)
{
    return (uint8_t *)memory + CHANNEL_PAGE_BYTES + (size_t)slot * CHANNEL_SLOT_BYTES;
}

static inline uint8_t *channel_scan_slot(void *memory, uint32_t slot)
{
    return channel_result_slot(memory, CHANNEL_SLOT_COUNT + slot);
}

struct channel_frame {
    enum channel_kind kind;
    uint32_t bytes; /* Of the payload. */
    uint32_t number;
};

void channel_header_encode(const struct channel_frame *frame, uint8_t out[CHANNEL_HEADER_BYTES]);
/* FM_MALFORMED: magic, kind or reserved bits; FM_LIMIT: payload past CHANNEL_PAYLOAD_MAX. */
FM_MUST_USE enum fm_status channel_header_decode(const uint8_t in[CHANNEL_HEADER_BYTES],
                                                 struct channel_frame *out);

/* Send one frame. `passed` is a descriptor or -1. FM_MS_NEVER: blocks without end. */
FM_MUST_USE enum fm_status channel_send(int fd, enum channel_kind kind, uint32_t number,
                                        struct fm_span payload, int passed, fm_ms deadline);

/* Collects one frame from a socket. */
struct channel_reader {
    int fd;
    uint32_t got; /* Bytes of header and payload so far. */
    uint8_t header[CHANNEL_HEADER_BYTES];
    struct channel_frame frame; /* Valid once the header is complete. */
    struct fm_buf payload;
    int passed; /* Descriptor that came with the frame, or -1; take it or it is closed. */
};

void channel_reader_init(struct channel_reader *reader, int fd);
void channel_reader_deinit(struct channel_reader *reader); /* Does not close `fd`. */
/* Take what is there. FM_OK: a frame is complete and stays readable until the next call. FM_BUSY:
 * it is not yet. FM_NOTFOUND: end of the stream. */
FM_MUST_USE enum fm_status channel_reader_step(struct channel_reader *reader);
/* Block until a frame is complete. FM_TIMEOUT. */
FM_MUST_USE enum fm_status channel_reader_wait(struct channel_reader *reader, fm_ms deadline);

/* ---- Payloads -------------------------------------------------------------------------------- */

#define CHANNEL_PATH_MAX 4096u

struct channel_hello {
    uint32_t threads;      /* 1..64. */
    uint64_t memory_bytes; /* memory_limit of a worker. */
    uint64_t spill_bytes;  /* Of its files; 0: it does not spill. */
    char spill_dir[CHANNEL_PATH_MAX];
};

void channel_hello_encode(struct fm_buf *out, const struct channel_hello *hello);
FM_MUST_USE enum fm_status channel_hello_decode(struct fm_span in, struct channel_hello *out);

/* An ERROR frame's payload as text: cut to what fits, bytes that are not UTF-8 refused. */
FM_MUST_USE enum fm_status channel_error_decode(const struct channel_frame *frame,
                                                struct fm_span payload, struct fm_error *err);

/* Columns without the bounds of one msgpack document: dictionaries may be large. */
FM_MUST_USE enum fm_status channel_columns_encode(struct fm_buf *out,
                                                  const struct fm_columns *columns);
FM_MUST_USE enum fm_status channel_columns_decode(struct fm_cursor *in, struct fm_columns *out);

/* What a worker knows of one slot. */
struct channel_column_at {
    uint32_t arena;
    uint64_t offset;
};

struct channel_slot {
    struct fm_columns columns;
    uint64_t rows;
    bool has_source;
    uint32_t supplied_count;
    uint32_t *supplied; /* Positions in `columns`, each once. */
    uint32_t arena_count;
    uint64_t *arena_bytes;
    uint32_t segment_count;
    uint32_t *segment_rows;
    bool *segment_selected; /* By segment: not all rows of it are the table's, but those */
    struct channel_column_at *segment_selections; /* of these bits, one word for 64 rows. */
    uint64_t *segment_left_out;                   /* Bit b: block b is not read. */
    struct channel_column_at *segment_columns;    /* segment_count * supplied_count. */
};

/* Append one slot; the fields are owned by the caller. */
FM_MUST_USE enum fm_status channel_slot_encode(struct fm_buf *out, const struct channel_slot *slot);
FM_MUST_USE enum fm_status channel_slot_decode(struct fm_cursor *in, struct channel_slot *out);
void channel_slot_deinit(struct channel_slot *slot); /* A zeroed slot is fine. */

#endif
