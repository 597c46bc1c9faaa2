/* Appends: begin, rows in parts, commit or abort. An append belongs to the principal that began
 * it. */
#include "core/assert.h"
#include "core/codec.h"
#include "node/server.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#define APPENDS_MAX 64u

struct pending {
    uint8_t id[16];
    struct fm_public_key principal;
    struct fm_append *append;
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    uint32_t epoch;
    struct fm_schema *schema;
    const struct fm_type **types;
    struct fm_tree tree;
    uint64_t rows;
    struct fm_buf part; /* Of a batch that comes in several messages. */
    fm_ms used;
    bool busy; /* A call works on it. */
};

struct fm_append_table {
    pthread_mutex_t lock;
    struct pending *slots[APPENDS_MAX];
};

static void pending_free(struct pending *pending)
{
    if (pending == NULL)
        return;
    fm_append_abort(pending->append);
    fm_schema_free(pending->schema);
    free(pending->types);
    fm_buf_free(&pending->part);
    free(pending);
}
FM_DEFINE_FREEP(pending_freep, struct pending, pending_free)

static void lock(struct fm_append_table *table)
{
    fm_assert(pthread_mutex_lock(&table->lock) == 0);
}

static void unlock(struct fm_append_table *table)
{
    fm_assert(pthread_mutex_unlock(&table->lock) == 0);
}

enum fm_status fm_append_table_new(struct fm_append_table **out)
{
    struct fm_append_table *table = calloc(1, sizeof *table);

    if (table == NULL)
        return FM_NOMEM;
    fm_assert(pthread_mutex_init(&table->lock, NULL) == 0);
    *out = table;
    return FM_OK;
}

void fm_append_table_free(struct fm_append_table *table)
{
    if (table == NULL)
        return;
    for (uint32_t i = 0; i < APPENDS_MAX; i++)
        pending_free(table->slots[i]);
    (void)pthread_mutex_destroy(&table->lock);
    free(table);
}

void fm_append_table_reap(struct fm_append_table *table, fm_ms now)
{
    for (uint32_t i = 0; i < APPENDS_MAX; i++) {
        struct pending *ended = NULL;
        lock(table);
        struct pending *pending = table->slots[i];
        if (pending != NULL && !pending->busy && now - pending->used > FM_CURSOR_LEASE_MS)
            ended = FM_TAKE(table->slots[i]);
        unlock(table);
        pending_free(ended);
    }
}

/* Take it for this call; one call works on an append at a time. */
static enum fm_status take(struct fm_append_table *table, const uint8_t id[16],
                           const struct fm_caller *caller, struct pending **out,
                           struct fm_error *err)
{
    enum fm_status status = FM_NOTFOUND;

    lock(table);
    for (uint32_t i = 0; i < APPENDS_MAX && status == FM_NOTFOUND; i++) {
        struct pending *pending = table->slots[i];
        if (pending == NULL || memcmp(pending->id, id, sizeof pending->id) != 0 ||
            !fm_public_key_equal(&pending->principal, &caller->principal.sign_key))
            continue;
        status = pending->busy ? FM_BUSY : FM_OK;
        if (status != FM_OK)
            continue;
        pending->busy = true;
        *out = pending;
    }
    unlock(table);
    if (status == FM_NOTFOUND)
        return fm_fail(err, status, "no such append is open here: its lease may have passed");
    if (status == FM_BUSY)
        return fm_fail(err, status, "another call works on this append");
    return FM_OK;
}

static void give_back(struct fm_append_table *table, struct pending *pending)
{
    lock(table);
    pending->busy = false;
    pending->used = fm_now_ms();
    unlock(table);
}

/* Take it out for good. */
static void take_out(struct fm_append_table *table, struct pending *pending)
{
    lock(table);
    for (uint32_t i = 0; i < APPENDS_MAX; i++)
        if (table->slots[i] == pending)
            table->slots[i] = NULL;
    unlock(table);
}

/* ---- Begin ----------------------------------------------------------------------------------- */

static enum fm_status encode_ack(struct fm_server *server, const char *domain, const char *table,
                                 uint32_t epoch, const struct fm_appended *appended,
                                 struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf head = FM_BUF_INIT(FM_NOTE_BYTES_MAX);
    struct fm_append_ack ack = {
        .first_sequence = appended->first_sequence,
        .rows = appended->rows,
        .size = appended->size,
        .root = appended->root,
        .recorded_at = appended->recorded_at,
        .durability = appended->durability,
    };

    enum fm_status status = FM_OK;
    if (appended->durability == FM_DURABLE_FSYNC) /* No head is signed beyond what is synced. */
        status =
            fm_server_head(server, domain, table, epoch, appended->size, &appended->root, &head);
    if (status != FM_OK)
        return status;
    ack.head = fm_buf_span(&head);
    fm_append_ack_encode(out, &ack);
    return fm_buf_status(out);
}

static enum fm_status may_append(struct fm_server *server, const struct fm_caller *caller,
                                 const char *domain, const char *table, struct fm_error *err)
{
    const struct fm_principal_cert *principal = &caller->principal;
    char what[2 * FM_NAME_MAX + 16];

    if (!fm_principal_has_role(principal, FM_ROLE_OWNER, domain) &&
        !fm_principal_has_role(principal, FM_ROLE_APPENDER, domain))
        return fm_fail(err, FM_REFUSED,
                       "%s may not append to %s.%s: the certificate needs the role owner:%s or "
                       "appender:%s",
                       principal->name, domain, table, domain, domain);
    (void)snprintf(what, sizeof what, "table %s.%s", domain, table); /* Fits. */
    return fm_server_owns(server, domain, "append", what, err);
}

static struct pending *pending_new(const struct fm_caller *caller,
                                   const struct fm_append_begin *begin, struct fm_schema *schema)
{
    struct pending *pending = calloc(1, sizeof *pending);

    if (pending == NULL) {
        fm_schema_free(schema);
        return NULL;
    }
    fm_random(pending->id, sizeof pending->id);
    pending->principal = caller->principal.sign_key;
    memcpy(pending->domain, begin->domain, sizeof pending->domain);
    memcpy(pending->table, begin->table, sizeof pending->table);
    pending->schema = schema;
    pending->used = fm_now_ms();
    pending->part.max = FM_BATCH_BYTES_MAX;
    fm_tree_init(&pending->tree);
    pending->types = calloc(schema->field_count, sizeof *pending->types);
    if (pending->types == NULL) {
        pending_free(pending);
        return NULL;
    }
    for (uint32_t i = 0; i < schema->field_count; i++)
        pending->types[i] = &schema->fields[i].type;
    return pending;
}

static enum fm_status check_table(struct fm_server *server, const struct fm_append_begin *begin,
                                  struct fm_table_info *info, struct fm_error *err)
{
    struct fm_hash schema;
    enum fm_status status = fm_store_table(server->store, begin->domain, begin->table, info);

    if (status != FM_OK)
        return fm_fail(err, status, "table %s.%s does not exist or is not visible to you",
                       begin->domain, begin->table);
    fm_schema_hash(info->schema, &schema.bytes[0]);
    if (fm_hash_equal(&schema, &begin->schema))
        return FM_OK;
    uint32_t version = info->schema->version;
    fm_schema_free(FM_TAKE(info->schema));
    return fm_fail(err, FM_CONFLICT, "the schema of %s.%s is another now (version %" PRIu32 ")",
                   begin->domain, begin->table, version);
}

static enum fm_status keep(struct fm_append_table *table, struct pending **pending,
                           struct fm_error *err)
{
    enum fm_status status = FM_BUSY;

    lock(table);
    for (uint32_t i = 0; i < APPENDS_MAX && status != FM_OK; i++) {
        if (table->slots[i] != NULL)
            continue;
        table->slots[i] = FM_TAKE(*pending);
        status = FM_OK;
    }
    unlock(table);
    if (status != FM_OK)
        return fm_fail(err, status, "%u appends are open here already", APPENDS_MAX);
    return FM_OK;
}

static enum fm_status reply_begun(struct fm_server *server, const struct pending *pending,
                                  bool done, const struct fm_appended *first, struct fm_buf *reply)
{
    FM_AUTO(fm_buf_free) struct fm_buf ack = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);

    fm_pack_map(reply, done ? 3 : 2);
    fm_pack_key_bin(reply, 0, pending->id, sizeof pending->id);
    fm_pack_key_bool(reply, 1, done);
    if (!done)
        return fm_buf_status(reply);
    enum fm_status status =
        encode_ack(server, pending->domain, pending->table, pending->epoch, first, &ack);
    if (status != FM_OK)
        return status;
    fm_pack_key_bin(reply, 2, ack.data, ack.len);
    return fm_buf_status(reply);
}

enum fm_status fm_rpc_append_begin(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(pending_freep) struct pending *pending = NULL;
    struct fm_append_begin begin;
    struct fm_table_info info = {0};
    struct fm_appended first = {0};
    bool done = false;

    enum fm_status status = fm_append_begin_decode(body, &begin);
    if (status != FM_OK)
        return fm_fail(err, status, "the append does not decode");
    status = may_append(server, caller, begin.domain, begin.table, err);
    if (status == FM_OK)
        status = check_table(server, &begin, &info, err);
    if (status != FM_OK)
        return status;
    uint32_t version = info.schema->version;
    pending = pending_new(caller, &begin, info.schema);
    if (pending == NULL)
        return fm_fail(err, FM_NOMEM, "begin an append");
    pending->epoch = info.epoch;
    struct fm_append_options options = {
        .domain = begin.domain,
        .table = begin.table,
        .schema_version = version,
        .has_producer = true,
        .producer_sequence = begin.producer_sequence,
        .has_expected = begin.has_expected,
        .expected_size = begin.expected_version,
        .durability = begin.durability,
        .has_trace = true,
    };
    memcpy(options.producer_id, begin.producer, sizeof options.producer_id);
    memcpy(options.trace_id, caller->request->trace, sizeof options.trace_id);
    status = fm_append_begin(server->store, &options, &pending->append, &done, &first, err);
    if (status == FM_OK)
        status = reply_begun(server, pending, done, &first, reply);
    if (status == FM_OK && !done)
        status = keep(server->appends, &pending, err);
    return status;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum fm_status add_batch(struct pending *pending, struct fm_error *err)
{
    struct fm_batch batch;
    struct fm_hash leaf;
    struct fm_span bytes = fm_buf_span(&pending->part);

    /* Columns behind the table's are of a fact's header: the store looks at all types again. */
    enum fm_status status = fm_batch_view(bytes, NULL, 0, NULL, &batch);
    if (status == FM_OK && batch.column_count <= pending->schema->field_count)
        status = fm_batch_view(bytes, pending->types, pending->schema->field_count, NULL, &batch);
    if (status != FM_OK)
        return fm_fail(err, status, "batch %" PRIu64 " is malformed, or not of the table's columns",
                       pending->tree.size);
    fm_leaf_hash(&leaf, bytes);
    status = fm_append_rows(pending->append, &batch, err);
    if (status != FM_OK)
        return status;
    fm_tree_append(&pending->tree, &leaf);
    pending->rows += batch.rows;
    fm_buf_clear(&pending->part);
    return FM_OK;
}

static enum fm_status add_part(struct pending *pending, const struct fm_append_rows *rows,
                               struct fm_error *err)
{
    if (rows->number != pending->tree.size || rows->offset != pending->part.len ||
        rows->total > FM_BATCH_BYTES_MAX || rows->part.len > rows->total - rows->offset ||
        rows->part.len == 0)
        return fm_fail(err, FM_INVALID,
                       "part at %" PRIu64 " of batch %" PRIu64 " is not the next one", rows->offset,
                       rows->number);
    fm_buf_put_span(&pending->part, rows->part);
    enum fm_status status = fm_buf_status(&pending->part);
    if (status != FM_OK)
        return fm_fail(err, status, "batch %" PRIu64 " is too large", rows->number);
    return pending->part.len == rows->total ? add_batch(pending, err) : FM_OK;
}

enum fm_status fm_rpc_append_rows(struct fm_server *server, const struct fm_caller *caller,
                                  struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    struct fm_append_rows rows;
    struct pending *pending = NULL;

    (void)reply; /* Empty. */
    if (caller->kind != FM_PAYLOAD_PRINCIPAL)
        return fm_fail(err, FM_REFUSED, "only a principal may append");
    enum fm_status status = fm_append_rows_decode(body, &rows);
    if (status != FM_OK)
        return fm_fail(err, status, "the rows do not decode");
    status = take(server->appends, rows.append, caller, &pending, err);
    if (status != FM_OK)
        return status;
    /* A repeated call whose reply was lost is answered again; the commit compares the hashes. */
    bool is_repeat =
        rows.number < pending->tree.size ||
        (rows.number == pending->tree.size && rows.offset + rows.part.len <= pending->part.len);
    if (!is_repeat)
        status = add_part(pending, &rows, err);
    if (status == FM_OK) {
        give_back(server->appends, pending);
        return FM_OK;
    }
    take_out(server->appends, pending); /* As a whole or not at all. */
    pending_free(pending);
    return status;
}

/* ---- Commit and abort ------------------------------------------------------------------------ */

/* Appends that are committed together. */
struct commit {
    uint32_t count;
    struct fm_append_commit
        asked[FM_APPEND_TABLES_MAX]; /* The first one's `others` are the rest. */
    struct pending *pending[FM_APPEND_TABLES_MAX];
    struct fm_appended appended[FM_APPEND_TABLES_MAX];
};

static void commit_deinit(struct commit *commit)
{
    for (uint32_t i = 0; i < commit->count; i++)
        pending_free(commit->pending[i]);
}

static enum fm_status read_commit(struct fm_span body, struct commit *commit, struct fm_error *err)
{
    enum fm_status status = fm_append_commit_decode(body, &commit->asked[0]);
    const struct fm_append_commit *first = &commit->asked[0];

    commit->count = status == FM_OK ? 1 + first->other_count : 0;
    for (uint32_t i = 1; status == FM_OK && i < commit->count; i++) {
        status = fm_append_commit_decode(first->others[i - 1], &commit->asked[i]);
        if (status == FM_OK && commit->asked[i].other_count > 0)
            status = FM_MALFORMED;
    }
    if (status != FM_OK) {
        commit->count = 0;
        return fm_fail(err, status, "the commit does not decode");
    }
    return FM_OK;
}

/* All of them for this call, out of the table; or none. */
static enum fm_status take_all(struct fm_append_table *table, const struct fm_caller *caller,
                               struct commit *commit, struct fm_error *err)
{
    enum fm_status status = FM_OK;
    uint32_t taken = 0;

    while (status == FM_OK && taken < commit->count) {
        status = take(table, commit->asked[taken].append, caller, &commit->pending[taken], err);
        taken += status == FM_OK;
    }
    for (uint32_t i = 0; i < taken; i++) {
        if (status == FM_OK)
            take_out(table, commit->pending[i]);
        else
            give_back(table, FM_TAKE(commit->pending[i]));
    }
    return status;
}

static enum fm_status check_sent(const struct pending *pending,
                                 const struct fm_append_commit *asked, struct fm_error *err)
{
    struct fm_hash root;

    fm_tree_root(&pending->tree, &root);
    if (asked->batches == pending->tree.size && asked->rows == pending->rows &&
        fm_hash_equal(&asked->root, &root))
        return FM_OK;
    return fm_fail(err, FM_INVALID,
                   "what came for %s.%s is not what is to be committed: %" PRIu64
                   " rows, not %" PRIu64,
                   pending->domain, pending->table, pending->rows, asked->rows);
}

static enum fm_status commit_all(struct fm_server *server, const struct fm_caller *caller,
                                 struct commit *commit, struct fm_error *err)
{
    struct fm_append *appends[FM_APPEND_TABLES_MAX];
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < commit->count; i++) {
        const struct pending *pending = commit->pending[i];

        /* The certificate may be another than at the beginning. */
        status = may_append(server, caller, pending->domain, pending->table, err);
        if (status == FM_OK)
            status = check_sent(pending, &commit->asked[i], err);
    }
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < commit->count; i++)
        appends[i] = FM_TAKE(commit->pending[i]->append);
    return fm_append_commit_many(appends, commit->count, commit->appended, err);
}

static enum fm_status reply_committed(struct fm_server *server, const struct commit *commit,
                                      struct fm_buf *reply)
{
    struct fm_buf acks[FM_APPEND_TABLES_MAX];
    struct fm_span spans[FM_APPEND_TABLES_MAX];
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < commit->count; i++)
        acks[i] = FM_BUF_INIT(FM_PAYLOAD_BYTES_MAX);
    for (uint32_t i = 0; status == FM_OK && i < commit->count; i++) {
        const struct pending *pending = commit->pending[i];

        status = encode_ack(server, pending->domain, pending->table, pending->epoch,
                            &commit->appended[i], &acks[i]);
        spans[i] = fm_buf_span(&acks[i]);
    }
    if (status == FM_OK && commit->count == 1)
        fm_buf_put_span(reply, spans[0]);
    else if (status == FM_OK)
        fm_append_acks_encode(reply, spans, commit->count);
    for (uint32_t i = 0; i < commit->count; i++)
        fm_buf_free(&acks[i]);
    return status == FM_OK ? fm_buf_status(reply) : status;
}

/* Such reasons quote values, perhaps of somebody who was erased: for the appender, not the log. */
static bool is_about_rows(enum fm_status status)
{
    return status == FM_OK || status == FM_INVALID || status == FM_REFUSED || status == FM_CONFLICT;
}

enum fm_status fm_rpc_append_commit(struct fm_server *server, const struct fm_caller *caller,
                                    struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(commit_deinit) struct commit commit = {0};

    enum fm_status status = read_commit(body, &commit, err);
    if (status == FM_OK)
        status = take_all(server->appends, caller, &commit, err);
    if (status != FM_OK)
        return status;
    status = commit_all(server, caller, &commit, err);
    if (status == FM_OK)
        status = reply_committed(server, &commit, reply);
    for (uint32_t i = 0; i < commit.count; i++)
        fm_log(&server->log, status == FM_OK ? FM_LOG_INFO : FM_LOG_WARN, "append", "domain",
               commit.pending[i]->domain, "table", commit.pending[i]->table, "principal",
               caller->principal.name, "status", fm_status_text(status), "reason",
               is_about_rows(status) ? "" : err->text, NULL);
    return status;
}

/* Body: map {0 append id}. */
enum fm_status fm_rpc_append_abort(struct fm_server *server, const struct fm_caller *caller,
                                   struct fm_span body, struct fm_buf *reply, struct fm_error *err)
{
    FM_AUTO(fm_doc_freep) struct fm_doc *doc = NULL;
    struct pending *pending = NULL;
    uint8_t id[16];

    (void)reply; /* Empty. */
    if (caller->kind != FM_PAYLOAD_PRINCIPAL)
        return fm_fail(err, FM_REFUSED, "only a principal may append");
    enum fm_status status = fm_doc_parse(body, &doc);
    if (status == FM_OK)
        status = fm_map_check(fm_doc_root(doc), 0x1);
    if (status == FM_OK)
        status = fm_value_bin_exact(fm_map_get(fm_doc_root(doc), 0), id, sizeof id);
    if (status != FM_OK)
        return fm_fail(err, status, "the abort does not decode");
    status = take(server->appends, id, caller, &pending, err);
    if (status == FM_NOTFOUND)
        return FM_OK; /* Gone already. */
    if (status != FM_OK)
        return status;
    take_out(server->appends, pending);
    pending_free(pending);
    return FM_OK;
}
