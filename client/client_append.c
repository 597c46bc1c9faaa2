#include "client/catalog.h"
#include "client/client_internal.h"
#include "core/codec.h"

#include <stdio.h>

/* Room for the rest of an APPEND_ROWS call beside its part. */
#define PART_BYTES_MAX (FM_PAYLOAD_BYTES_MAX - 4096u)

struct folkmoot_append {
    struct folkmoot *handle;
    struct fm_append_begin begin;
    struct fm_buf schema;
    uint8_t id[16];
    bool is_open; /* Begun at the node and not committed. */
    bool is_done; /* This (producer, sequence) was appended before. */
    struct fm_buf ack_bytes;
    struct fm_tree tree; /* Over the batches' bytes. */
    uint64_t batches;
    uint64_t rows;
};

static enum fm_status call_once(struct folkmoot *handle, enum fm_method method, struct fm_span body,
                                struct fm_error *err)
{
    struct fm_request_id id;
    enum fm_status status = fm_client_connect(handle);

    if (status != FM_OK) {
        if (err != NULL)
            *err = handle->err;
        return status;
    }
    fm_random(id.bytes, sizeof id.bytes);
    return fm_connection_call(handle->connection, method, &id, body,
                              fm_now_ms() + handle->timeout_ms + FM_GRACE_MS, NULL, NULL, err);
}

/* An append belongs to its principal, not to a session: a long one outlives several, and a part
 * that comes twice is taken once. */
static enum fm_status plain_call(struct folkmoot_append *append, enum fm_method method,
                                 struct fm_span body, struct fm_error *err)
{
    enum fm_status status = call_once(append->handle, method, body, err);

    if (status == FM_UNAVAILABLE)
        status = call_once(append->handle, method, body, err);
    return status;
}

void folkmoot_append_free(struct folkmoot_append *append)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(64);

    if (append == NULL)
        return;
    if (append->is_open) {
        fm_pack_map(&body, 1);
        fm_pack_key_bin(&body, 0, append->id, sizeof append->id);
        /* A courtesy: the node drops what is not committed after a while. */
        enum fm_status ignored =
            plain_call(append, FM_METHOD_APPEND_ABORT, fm_buf_span(&body), NULL);
        (void)ignored;
    }
    fm_buf_free(&append->schema);
    fm_buf_free(&append->ack_bytes);
    free(append);
}

FM_DEFINE_FREEP(append_freep, struct folkmoot_append, folkmoot_append_free)

static enum fm_status split_name(struct folkmoot_append *append, const char *table)
{
    const char *dot = strchr(table, '.');
    struct fm_append_begin *begin = &append->begin;

    if (dot != NULL && dot - table <= (ptrdiff_t)FM_NAME_MAX && strlen(dot + 1) <= FM_NAME_MAX) {
        memcpy(begin->domain, table, (size_t)(dot - table));
        memcpy(begin->table, dot + 1, strlen(dot + 1));
        if (fm_domain_name_valid(begin->domain) && fm_table_name_valid(begin->table))
            return FM_OK;
    }
    return fm_fail(&append->handle->err, FM_INVALID,
                   "'%.130s' is no table; expected domain.table, for example flights.delays",
                   table);
}

static enum fm_status find_schema(struct folkmoot_append *append,
                                  const struct fm_product_show *show)
{
    struct fm_error *err = &append->handle->err;

    for (uint32_t i = 0; i < show->schema_count; i++) {
        FM_AUTO(fm_schema_freep) struct fm_schema *schema = NULL;
        enum fm_status status = fm_schema_decode(show->schemas[i], &schema, err);
        if (status != FM_OK)
            return fm_wrap(err, status, "the schema that the node sent");
        if (strcmp(schema->domain, append->begin.domain) != 0 ||
            strcmp(schema->table, append->begin.table) != 0)
            continue;
        fm_schema_hash(schema, append->begin.schema.bytes);
        fm_buf_put_span(&append->schema, show->schemas[i]);
        return fm_buf_status(&append->schema);
    }
    return fm_fail(err, FM_NOTFOUND, "table %s.%s does not exist or is not visible to you",
                   append->begin.domain, append->begin.table);
}

static enum fm_status ask_schema(struct folkmoot_append *append)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(1024);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    FM_AUTO(fm_mem_freep) struct fm_product_show *show = calloc(1, sizeof *show);
    struct fm_product_ask ask = {0};

    if (show == NULL)
        return fm_fail(&append->handle->err, FM_NOMEM, "append");
    memcpy(ask.domain, append->begin.domain, sizeof ask.domain);
    memcpy(ask.name, append->begin.table, sizeof ask.name);
    fm_product_ask_encode(&body, &ask);
    enum fm_status status =
        fm_client_call(append->handle, FM_METHOD_PRODUCT_SHOW, fm_buf_span(&body), &reply);
    if (status != FM_OK)
        return status;
    status = fm_product_show_decode(fm_buf_span(&reply), show);
    if (status != FM_OK)
        return fm_fail(&append->handle->err, status, "the node's reply about the table: %s",
                       fm_status_text(status));
    return find_schema(append, show);
}

static enum fm_status read_begin_reply(struct folkmoot_append *append, struct fm_span reply)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct fm_span ack = {0};

    enum fm_status status = fm_doc_parse(reply, &doc);
    if (status == FM_OK)
        status = fm_map_check(fm_doc_root(doc), 7);
    if (status == FM_OK)
        status = fm_value_bool(fm_map_get(fm_doc_root(doc), 1), &append->is_done);
    if (status == FM_OK)
        status = fm_value_bin_exact(fm_map_get(fm_doc_root(doc), 0), append->id, sizeof append->id);
    if (status == FM_OK && append->is_done) {
        status = fm_value_bin(fm_map_get(fm_doc_root(doc), 2), FM_MESSAGE_BYTES_MAX, &ack);
        fm_buf_clear(&append->ack_bytes);
        fm_buf_put_span(&append->ack_bytes, ack);
    }
    append->is_open = status == FM_OK && !append->is_done;
    return status;
}

static enum fm_status send_begin(struct folkmoot_append *append)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(4096);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);

    fm_append_begin_encode(&body, &append->begin);
    enum fm_status status =
        fm_client_call(append->handle, FM_METHOD_APPEND_BEGIN, fm_buf_span(&body), &reply);
    if (status != FM_OK)
        return status;
    status = read_begin_reply(append, fm_buf_span(&reply));
    if (status != FM_OK)
        return fm_fail(&append->handle->err, status, "the node's reply to the append: %s",
                       fm_status_text(status));
    return FM_OK;
}

static enum fm_status begin_append(struct folkmoot *handle, const char *table,
                                   const struct folkmoot_append_options *options,
                                   struct folkmoot_append **out)
{
    static const uint8_t zeros[16];
    FM_AUTO(append_freep) struct folkmoot_append *append = calloc(1, sizeof *append);

    if (append == NULL)
        return fm_fail(&handle->err, FM_NOMEM, "append");
    append->handle = handle;
    fm_tree_init(&append->tree);
    memcpy(append->begin.producer, options->producer, sizeof append->begin.producer);
    append->begin.producer_sequence = options->sequence == 0 ? 1 : options->sequence;
    append->begin.has_expected = options->has_expected_size != 0;
    append->begin.expected_version = options->expected_size;
    append->begin.durability = options->in_memory != 0 ? FM_DURABLE_MEMORY : FM_DURABLE_FSYNC;
    if (memcmp(options->producer, zeros, sizeof zeros) == 0)
        fm_random(append->begin.producer, sizeof append->begin.producer);
    enum fm_status status = split_name(append, table);
    if (status == FM_OK)
        status = ask_schema(append);
    if (status == FM_OK)
        status = send_begin(append);
    if (status == FM_OK)
        *out = FM_TAKE(append);
    return status;
}

enum folkmoot_status folkmoot_append_begin(struct folkmoot *handle, const char *table,
                                           const struct folkmoot_append_options *options,
                                           struct folkmoot_append **out)
{
    const struct folkmoot_append_options defaults = {0};

    return fm_public_status(
        begin_append(handle, table, options == NULL ? &defaults : options, out));
}

const uint8_t *folkmoot_append_schema(const struct folkmoot_append *append, size_t *len)
{
    *len = append->schema.len;
    return append->schema.data;
}

int folkmoot_append_is_done(const struct folkmoot_append *append)
{
    return append->is_done;
}

static enum fm_status send_batch(struct folkmoot_append *append, struct fm_span bytes)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    struct fm_append_rows part = {.number = append->batches, .total = bytes.len};

    memcpy(part.append, append->id, sizeof part.append);
    while (part.offset < bytes.len) {
        size_t left = bytes.len - (size_t)part.offset;
        part.part =
            fm_span(bytes.data + part.offset, left < PART_BYTES_MAX ? left : PART_BYTES_MAX);
        fm_buf_clear(&body);
        fm_append_rows_encode(&body, &part);
        enum fm_status status = fm_buf_status(&body);
        if (status != FM_OK)
            return fm_fail(&append->handle->err, status, "send rows: %s", fm_status_text(status));
        status =
            plain_call(append, FM_METHOD_APPEND_ROWS, fm_buf_span(&body), &append->handle->err);
        if (status != FM_OK)
            return status;
        part.offset += part.part.len;
    }
    return FM_OK;
}

enum folkmoot_status folkmoot_append_batch(struct folkmoot_append *append, const uint8_t *bytes,
                                           size_t len)
{
    struct fm_batch batch;
    struct fm_hash leaf;

    if (!append->is_open)
        return fm_public_status(
            fm_fail(&append->handle->err, FM_INVALID, "this append takes no rows any more"));
    enum fm_status status = len > FM_BATCH_BYTES_MAX
                                ? FM_LIMIT
                                : fm_batch_view(fm_span(bytes, len), NULL, 0, NULL, &batch);
    if (status != FM_OK)
        return fm_public_status(fm_fail(&append->handle->err, status, "this is not a batch"));
    status = send_batch(append, fm_span(bytes, len));
    if (status != FM_OK)
        return fm_public_status(status);
    fm_leaf_hash(&leaf, fm_span(bytes, len));
    fm_tree_append(&append->tree, &leaf);
    append->batches++;
    append->rows += batch.rows;
    return FOLKMOOT_OK;
}

static void describe_sent(const struct folkmoot_append *append, struct fm_append_commit *out)
{
    *out = (struct fm_append_commit){.batches = append->batches, .rows = append->rows};
    memcpy(out->append, append->id, sizeof out->append);
    fm_tree_root(&append->tree, &out->root);
}

static enum fm_status encode_commit(struct folkmoot_append *const *appends, uint32_t count,
                                    struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf others = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    size_t ends[FM_APPEND_TABLES_MAX] = {0};
    struct fm_append_commit commit;

    for (uint32_t i = 1; i < count; i++) {
        describe_sent(appends[i], &commit);
        fm_append_commit_encode(&others, &commit);
        ends[i] = others.len;
    }
    if (fm_buf_status(&others) != FM_OK)
        return fm_buf_status(&others);
    describe_sent(appends[0], &commit);
    commit.other_count = count - 1;
    for (uint32_t i = 1; i < count; i++)
        commit.others[i - 1] = fm_span(others.data + ends[i - 1], ends[i] - ends[i - 1]);
    fm_append_commit_encode(out, &commit);
    return fm_buf_status(out);
}

static enum fm_status keep_acks(struct folkmoot_append *const *appends, uint32_t count,
                                struct fm_span reply)
{
    struct fm_span acks[FM_APPEND_TABLES_MAX] = {reply};
    enum fm_status status = count == 1 ? FM_OK : fm_append_acks_decode(reply, count, acks);

    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        fm_buf_clear(&appends[i]->ack_bytes);
        fm_buf_put_span(&appends[i]->ack_bytes, acks[i]);
        status = fm_buf_status(&appends[i]->ack_bytes);
    }
    return status;
}

/* The reply is lost, and with it whether it was done: the producers' sequences tell. */
static bool were_done(struct folkmoot_append *const *appends, uint32_t count)
{
    bool all = true;

    for (uint32_t i = 0; i < count; i++)
        appends[i]->is_open = false;
    for (uint32_t i = 0; all && i < count; i++)
        all = send_begin(appends[i]) == FM_OK && appends[i]->is_done;
    return all;
}

static enum fm_status send_commit(struct folkmoot_append *const *appends, uint32_t count)
{
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf reply = FM_BUF_INIT(FM_MESSAGE_BYTES_MAX);
    struct folkmoot *handle = appends[0]->handle;
    enum fm_status status = encode_commit(appends, count, &body);

    if (status == FM_OK)
        status = fm_client_call(handle, FM_METHOD_APPEND_COMMIT, fm_buf_span(&body), &reply);
    if (status == FM_OK) {
        status = keep_acks(appends, count, fm_buf_span(&reply));
        return status == FM_OK
                   ? FM_OK
                   : fm_fail(&handle->err, status, "the acknowledgement does not decode");
    }
    if (status != FM_UNAVAILABLE && status != FM_TIMEOUT)
        return status;
    struct fm_error first = handle->err;
    if (were_done(appends, count))
        return FM_OK;
    handle->err = first;
    return fm_wrap(&handle->err, status,
                   "the commit was not acknowledged; append again with the same producer and "
                   "sequence");
}

static enum fm_status read_ack(const struct folkmoot_append *append, struct folkmoot_ack *out)
{
    struct fm_append_ack ack;
    enum fm_status status = fm_append_ack_decode(fm_buf_span(&append->ack_bytes), &ack);

    if (status != FM_OK)
        return fm_fail(&append->handle->err, status, "the acknowledgement does not decode");
    *out = (struct folkmoot_ack){
        .first_sequence = ack.first_sequence,
        .rows = ack.rows,
        .size = ack.size,
        .recorded_us = ack.recorded_at,
        .is_durable = ack.durability == FM_DURABLE_FSYNC,
    };
    fm_hex(ack.root.bytes, sizeof ack.root.bytes, out->root);
    return FM_OK;
}

/* `*all`: each was done before. */
static enum fm_status look_done(struct folkmoot_append *const *appends, uint32_t count, bool *all)
{
    const struct folkmoot_append *done = NULL;
    const struct folkmoot_append *fresh = NULL;

    for (uint32_t i = 0; i < count; i++)
        *(appends[i]->is_done ? &done : &fresh) = appends[i];
    *all = fresh == NULL;
    if (done == NULL || fresh == NULL)
        return FM_OK;
    return fm_fail(&appends[0]->handle->err, FM_CONFLICT,
                   "the append to %s.%s was stored before, but that to %s.%s, which is to be "
                   "stored with it, was not",
                   done->begin.domain, done->begin.table, fresh->begin.domain, fresh->begin.table);
}

enum folkmoot_status folkmoot_append_commit_all(struct folkmoot_append *const *appends,
                                                uint32_t count, struct folkmoot_ack *out)
{
    struct folkmoot *handle = appends[0]->handle;
    bool all_done = false;
    enum fm_status status = FM_OK;

    if (count > FM_APPEND_TABLES_MAX)
        return fm_public_status(fm_fail(&handle->err, FM_LIMIT, "one append has at most %u tables",
                                        FM_APPEND_TABLES_MAX));
    status = look_done(appends, count, &all_done);
    if (status == FM_OK && !all_done)
        status = send_commit(appends, count);
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        appends[i]->is_open = false;
        appends[i]->is_done = true;
    }
    for (uint32_t i = 0; status == FM_OK && i < count; i++)
        status = read_ack(appends[i], &out[i]);
    return fm_public_status(status);
}

enum folkmoot_status folkmoot_append_commit(struct folkmoot_append *append,
                                            struct folkmoot_ack *out)
{
    return folkmoot_append_commit_all(&append, 1, out);
}
