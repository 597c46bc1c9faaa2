/* What an answer showed, kept for printing; and the check of saved answers. */
#include "client/answer_file.h"
#include "client/client_internal.h"
#include "client/fragments.h"

#include <inttypes.h>
#include <stdio.h>

struct head_text {
    struct fm_head head;
    char root[65];
};

struct receipt_text {
    char node_id[33];
    char node_name[FM_NAME_MAX + 1];
    struct head_text heads[FM_QUERY_TABLES_MAX];
};

struct own_text {
    char root[65];
};

struct missing_text {
    char node_id[33];
    char *reason;
};

struct folkmoot_answer {
    struct fm_buf bundle_bytes; /* Everything below borrows from it. */
    struct fm_bundle bundle;
    struct fm_verified verified;
    char *sql;
    char mesh[FM_NAME_MAX + 1];
    char mesh_id[65];
    char query_id[33];
    char node_id[33];
    struct receipt_text *receipts; /* verified.answer.fragment_count of them. */
    struct own_text own[FM_QUERY_TABLES_MAX];
    struct missing_text *missing; /* verified.answer.missing_count of them. */
};

void folkmoot_answer_free(struct folkmoot_answer *answer)
{
    if (answer == NULL)
        return;
    fm_buf_free(&answer->bundle_bytes);
    free(answer->sql);
    free(answer->receipts);
    fm_verified_deinit(&answer->verified);
    for (uint32_t i = 0; answer->missing != NULL && i < answer->verified.answer.missing_count; i++)
        free(answer->missing[i].reason);
    free(answer->missing);
    free(answer);
}

enum fm_status fm_leaves_add(struct fm_leaves *leaves, struct fm_span batch, uint32_t rows)
{
    if (leaves->count == leaves->capacity) {
        uint64_t capacity = leaves->capacity == 0 ? 64 : 2 * leaves->capacity;
        if (capacity > FM_ANSWER_BATCHES_MAX)
            return FM_LIMIT;
        struct fm_hash *grown = realloc(leaves->hashes, (size_t)capacity * sizeof *grown);
        if (grown == NULL)
            return FM_NOMEM;
        leaves->hashes = grown;
        leaves->capacity = capacity;
    }
    fm_leaf_hash(&leaves->hashes[leaves->count++], batch);
    leaves->rows += rows;
    leaves->bytes += batch.len;
    return FM_OK;
}

void fm_leaves_deinit(struct fm_leaves *leaves)
{
    free(leaves->hashes);
    *leaves = (struct fm_leaves){0};
}

/* The name in the certificate of a node. The certificates were verified just before. */
static void find_name(struct fm_cert_cache *certs, const struct folkmoot_answer *answer,
                      const struct fm_node_id *node, struct receipt_text *out)
{
    FM_AUTO(fm_mem_freep) struct fm_node_cert *cert = malloc(sizeof *cert);

    fm_hex(node->bytes, sizeof node->bytes, out->node_id);
    for (uint32_t i = 0; cert != NULL && i < answer->bundle.node_cert_count; i++) {
        if (fm_cert_cache_node(certs, answer->bundle.node_certs[i], cert, NULL) != FM_OK)
            continue;
        if (memcmp(cert->node.bytes, node->bytes, sizeof node->bytes) == 0)
            memcpy(out->node_name, cert->name, sizeof out->node_name);
    }
}

/* Of a note whose signature was verified just before. */
static enum fm_status read_head(struct fm_span note, struct head_text *out)
{
    enum fm_status status = fm_head_parse(note, &out->head);

    if (status == FM_OK)
        fm_hex(out->head.root.bytes, sizeof out->head.root.bytes, out->root);
    return status;
}

static enum fm_status fill_receipts(struct fm_cert_cache *certs, struct folkmoot_answer *answer)
{
    uint32_t count = answer->verified.answer.fragment_count;

    answer->receipts = calloc((size_t)count + 1, sizeof *answer->receipts);
    if (answer->receipts == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        const struct fm_receipt *receipt = &answer->verified.receipts[i];
        find_name(certs, answer, &receipt->owner, &answer->receipts[i]);
        for (uint32_t t = 0; t < receipt->table_count; t++) {
            enum fm_status status = read_head(receipt->heads[t], &answer->receipts[i].heads[t]);
            if (status != FM_OK)
                return status;
        }
    }
    return FM_OK;
}

static enum fm_status fill_missing(struct folkmoot_answer *answer)
{
    const struct fm_answer *signed_answer = &answer->verified.answer;

    answer->missing = calloc((size_t)signed_answer->missing_count + 1, sizeof *answer->missing);
    if (answer->missing == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < signed_answer->missing_count; i++) {
        const struct fm_answer_missing *missing = &signed_answer->missing[i];
        fm_hex(missing->owner.bytes, sizeof missing->owner.bytes, answer->missing[i].node_id);
        answer->missing[i].reason = fm_strdup_span(missing->reason);
        if (answer->missing[i].reason == NULL)
            return FM_NOMEM;
    }
    return FM_OK;
}

enum fm_status fm_answer_check(const struct fm_charter *charter, struct fm_cert_cache *certs,
                               struct fm_span own_request, struct fm_span bundle,
                               const struct fm_leaves *leaves, struct folkmoot_answer **out,
                               struct fm_error *err)
{
    FM_AUTO(fm_answer_freep) struct folkmoot_answer *answer = calloc(1, sizeof *answer);

    FM_AUTO(fm_cert_cache_freep) struct fm_cert_cache *own = NULL;

    if (certs == NULL && fm_cert_cache_new(charter, FM_QUERY_TABLES_MAX + 2u, &own) == FM_OK)
        certs = own; /* Each certificate is looked at several times. */
    if (answer == NULL || certs == NULL)
        return fm_fail(err, FM_NOMEM, "verify");
    fm_buf_put_span(&answer->bundle_bytes, bundle);
    if (fm_buf_status(&answer->bundle_bytes) != FM_OK)
        return fm_fail(err, FM_NOMEM, "verify");
    const struct fm_verify_input input = {
        .charter = charter,
        .certs = certs,
        .own_request = own_request,
        .bundle = fm_buf_span(&answer->bundle_bytes),
        .batches = leaves->hashes,
        .batch_count = leaves->count,
        .rows = leaves->rows,
        .bytes = leaves->bytes,
    };
    enum fm_status status = fm_verify_answer(&input, &answer->verified, err);
    if (status == FM_MALFORMED)
        return FM_FORGED; /* What does not decode has not been shown. */
    if (status != FM_OK)
        return status;
    status = fm_bundle_decode(input.bundle, &answer->bundle);
    if (status == FM_OK)
        status = fill_receipts(certs, answer);
    if (status == FM_OK)
        status = fill_missing(answer);
    answer->sql = fm_strdup_span(answer->verified.sql);
    if (status == FM_OK && answer->sql == NULL)
        status = FM_NOMEM;
    if (status != FM_OK)
        return fm_fail(err, status, "verify: %s", fm_status_text(status));
    for (uint32_t i = 0; i < answer->verified.answer.own_count; i++)
        fm_hex(answer->verified.answer.own[i].root.bytes, FM_HASH_BYTES, answer->own[i].root);
    memcpy(answer->mesh, charter->name, sizeof answer->mesh);
    fm_hex(charter->mesh.bytes, sizeof charter->mesh.bytes, answer->mesh_id);
    fm_hex(answer->verified.answer.query.bytes, 16, answer->query_id);
    fm_hex(answer->verified.answer.node.bytes, 16, answer->node_id);
    *out = FM_TAKE(answer);
    return FM_OK;
}

const struct fm_verified *fm_answer_verified(const struct folkmoot_answer *answer)
{
    return &answer->verified;
}

struct fm_span fm_answer_request(const struct folkmoot_answer *answer)
{
    return answer->bundle.request;
}

bool fm_answer_has_fragments(const struct folkmoot_answer *answer)
{
    return answer->bundle.has_columns;
}

struct fm_span fm_answer_fragment_columns(const struct folkmoot_answer *answer, uint32_t i)
{
    return answer->bundle.columns[i];
}

void folkmoot_answer_info(const struct folkmoot_answer *answer, struct folkmoot_answer_info *out)
{
    const struct fm_verified *verified = &answer->verified;

    *out = (struct folkmoot_answer_info){
        .principal = verified->principal.name,
        .sql = answer->sql,
        .mesh = answer->mesh,
        .mesh_id = answer->mesh_id,
        .query_id = answer->query_id,
        .node_id = answer->node_id,
        .node_name = verified->node.name,
        .time_us = verified->answer.time,
        .rows = verified->answer.rows,
        .bytes = verified->answer.bytes,
        .batches = verified->answer.batches,
        .is_complete = verified->answer.completeness == FM_COMPLETE,
        .receipt_count = verified->answer.fragment_count,
        .missing_count = verified->answer.missing_count,
        .own_count = verified->answer.own_count,
    };
}

enum folkmoot_status folkmoot_answer_missing(const struct folkmoot_answer *answer, uint32_t i,
                                             struct folkmoot_missing_info *out)
{
    if (i >= answer->verified.answer.missing_count)
        return FOLKMOOT_INVALID;
    const struct fm_answer_missing *missing = &answer->verified.answer.missing[i];
    *out = (struct folkmoot_missing_info){
        .domain = missing->domain,
        .node_id = answer->missing[i].node_id,
        .node_name = missing->owner_name,
        .state = fm_fragment_state_text(missing->state),
        .reason = answer->missing[i].reason,
        .rows = missing->rows,
    };
    return FOLKMOOT_OK;
}

enum folkmoot_status folkmoot_answer_own(const struct folkmoot_answer *answer, uint32_t i,
                                         struct folkmoot_own_info *out)
{
    if (i >= answer->verified.answer.own_count)
        return FOLKMOOT_INVALID;
    const struct fm_answer_own *own = &answer->verified.answer.own[i];
    *out = (struct folkmoot_own_info){
        .table = own->table,
        .rows = own->rows,
        .root = answer->own[i].root,
    };
    return FOLKMOOT_OK;
}

enum folkmoot_status folkmoot_answer_receipt(const struct folkmoot_answer *answer, uint32_t i,
                                             struct folkmoot_receipt_info *out)
{
    if (i >= answer->verified.answer.fragment_count)
        return FOLKMOOT_INVALID;
    const struct fm_receipt *receipt = &answer->verified.receipts[i];
    *out = (struct folkmoot_receipt_info){
        .domain = answer->verified.answer.fragments[i].domain,
        .node_id = answer->receipts[i].node_id,
        .node_name = answer->receipts[i].node_name,
        .rows = receipt->rows,
        .bytes = receipt->bytes,
        .time_us = receipt->time,
        .head_count = receipt->table_count,
    };
    return FOLKMOOT_OK;
}

enum folkmoot_status folkmoot_answer_head(const struct folkmoot_answer *answer, uint32_t i,
                                          uint32_t table, struct folkmoot_head_info *out)
{
    if (i >= answer->verified.answer.fragment_count ||
        table >= answer->verified.receipts[i].table_count)
        return FOLKMOOT_INVALID;
    const struct head_text *text = &answer->receipts[i].heads[table];
    *out = (struct folkmoot_head_info){
        .origin = text->head.origin,
        .root = text->root,
        .size = text->head.size,
        .time_us = text->head.time,
    };
    return FOLKMOOT_OK;
}

/* ---- Heads for a later query ---------------------------------------------------------------- */

struct heads {
    struct fm_head *items;
    struct fm_span *notes;
    uint32_t count;
};

static enum fm_status heads_add(struct heads *heads, const struct fm_head *head,
                                struct fm_span note, struct fm_error *err)
{
    for (uint32_t i = 0; i < heads->count; i++) {
        if (strcmp(heads->items[i].origin, head->origin) != 0)
            continue;
        if (heads->items[i].size == head->size)
            return FM_OK;
        return fm_fail(err, FM_CONFLICT,
                       "it read %s at two heads, of %" PRIu64 " and %" PRIu64
                       " facts; ask again and keep that answer",
                       head->origin, heads->items[i].size, head->size);
    }
    if (heads->count == FM_QUERY_TABLES_MAX)
        return fm_fail(err, FM_LIMIT, "it read more than %u tables", FM_QUERY_TABLES_MAX);
    heads->items[heads->count] = *head;
    heads->notes[heads->count++] = note;
    return FM_OK;
}

/* An answer that was itself pinned read what its request names, not what was there since. */
static struct fm_span asked_head(const struct folkmoot_answer *answer, const char *origin)
{
    const struct fm_query_body *asked = &answer->verified.asked;
    char found[FM_ORIGIN_MAX];

    for (uint32_t i = 0; i < asked->head_count; i++)
        if (fm_head_peek_origin(asked->heads[i], found) == FM_OK && strcmp(found, origin) == 0)
            return asked->heads[i];
    return (struct fm_span){0};
}

enum fm_status fm_answer_heads(const struct folkmoot_answer *answer,
                               struct fm_span notes[FM_QUERY_TABLES_MAX], uint32_t *count,
                               struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_head *items = calloc(FM_QUERY_TABLES_MAX, sizeof *items);
    struct heads heads = {.items = items, .notes = notes};

    if (items == NULL)
        return fm_fail(err, FM_NOMEM, "read the heads of an answer");
    for (uint32_t i = 0; i < answer->verified.answer.fragment_count; i++) {
        const struct fm_receipt *receipt = &answer->verified.receipts[i];
        for (uint32_t t = 0; t < receipt->table_count; t++) {
            struct fm_head head = answer->receipts[i].heads[t].head;
            struct fm_span note = receipt->heads[t];
            struct fm_span asked = asked_head(answer, head.origin);
            if (asked.len != 0) {
                note = asked;
                if (fm_head_parse(note, &head) != FM_OK)
                    return fm_fail(err, FM_FORGED, "a head in its request is none");
            }
            enum fm_status status = heads_add(&heads, &head, note, err);
            if (status != FM_OK)
                return status;
        }
    }
    *count = heads.count;
    return FM_OK;
}

/* ---- Saved answers ------------------------------------------------------------------------- */

/* Hash and count the batches. What they hold is looked at once their bytes are shown to be the
 * ones that were signed. */
static enum fm_status read_leaves(struct fm_answer_reader *reader, struct fm_leaves *leaves,
                                  struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    struct fm_batch batch;

    for (;;) {
        fm_buf_clear(&bytes);
        enum fm_status status = fm_answer_reader_batch(reader, &bytes, err);
        if (status == FM_NOTFOUND)
            return FM_OK;
        if (status != FM_OK)
            return status;
        if (fm_batch_view_trusted(fm_buf_span(&bytes), &batch) != FM_OK)
            return fm_fail(err, FM_FORGED, "batch %llu of the answer is not one",
                           (unsigned long long)leaves->count + 1);
        status = fm_leaves_add(leaves, fm_buf_span(&bytes), batch.rows);
        if (status != FM_OK)
            return fm_fail(err, status, "read the answer: %s", fm_status_text(status));
    }
}

static enum fm_status check_batches(struct fm_answer_reader *reader, struct fm_span columns_bytes,
                                    struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    FM_AUTO(fm_columns_deinit) struct fm_columns columns = {0};
    FM_AUTO(fm_column_view_deinit) struct fm_column_view view = {0};
    struct fm_batch batch;
    uint64_t number = 0;

    if (fm_columns_decode(columns_bytes, &columns) != FM_OK)
        return fm_fail(err, FM_FORGED, "the answer's columns do not decode");
    enum fm_status status = fm_column_view_init(&view, &columns);
    if (status == FM_OK)
        status = fm_answer_reader_rewind(reader, err);
    while (status == FM_OK) {
        fm_buf_clear(&bytes);
        number++;
        status = fm_answer_reader_batch(reader, &bytes, err);
        if (status == FM_OK && fm_batch_view(fm_buf_span(&bytes), view.types, view.count,
                                             view.dictionaries, &batch) != FM_OK)
            status = fm_fail(err, FM_FORGED, "batch %llu does not fit the answer's columns",
                             (unsigned long long)number);
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* Behind the bundle: what the fragments brought, where the bundle says so. */
static enum fm_status read_fragments(struct fm_answer_reader *reader,
                                     const struct folkmoot_answer *answer, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    FM_AUTO(fm_fragments_deinit) struct fm_fragments fragments = {0};
    uint64_t count = 0;
    uint32_t fragment;

    enum fm_status status = fm_fragments_count(answer, &count, err);
    fm_fragments_init(&fragments, answer);
    for (uint64_t i = 0; i < count && status == FM_OK; i++) {
        fm_buf_clear(&bytes);
        status = fm_answer_reader_fragment(reader, &bytes, err);
        if (status == FM_OK)
            status = fm_fragments_take(&fragments, fm_buf_span(&bytes), &fragment, err);
    }
    return status == FM_OK ? fm_answer_reader_end(reader, err) : status;
}

enum fm_status fm_answer_load(const char *path, const struct fm_charter *charter,
                              struct folkmoot_answer **out, struct fm_error *err)
{
    FM_AUTO(fm_answer_reader_freep) struct fm_answer_reader *reader = NULL;
    FM_AUTO(fm_leaves_deinit) struct fm_leaves leaves = {0};
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    FM_AUTO(fm_answer_freep) struct folkmoot_answer *answer = NULL;

    enum fm_status status = fm_answer_reader_open(path, &reader, err);
    if (status == FM_OK)
        status = read_leaves(reader, &leaves, err);
    if (status == FM_OK)
        status = fm_answer_reader_bundle(reader, &bytes, err);
    if (status == FM_MALFORMED)
        status = FM_FORGED; /* A changed byte may hit a length as well as what is signed. */
    if (status == FM_OK)
        status = fm_answer_check(charter, NULL, fm_span(NULL, 0), fm_buf_span(&bytes), &leaves,
                                 &answer, err);
    if (status == FM_OK)
        status = read_fragments(reader, answer, err);
    if (status == FM_MALFORMED)
        status = FM_FORGED;
    if (status == FM_OK)
        status = check_batches(reader, answer->verified.answer.columns, err);
    if (status == FM_OK)
        *out = FM_TAKE(answer);
    return status;
}

static enum fm_status verify_file(const char *path, const char *charter_path,
                                  struct folkmoot_answer **out, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_ENVELOPE_BYTES_MAX);
    struct fm_charter charter;

    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_file_read(charter_path, FM_ENVELOPE_BYTES_MAX, &bytes, err);
    if (status != FM_OK)
        return status;
    status = fm_charter_open(fm_buf_span(&bytes), &charter, err);
    if (status != FM_OK)
        return fm_wrap(err, status, "charter %s", charter_path);
    return fm_answer_load(path, &charter, out, err);
}

enum folkmoot_status folkmoot_verify(const char *path, const char *charter,
                                     struct folkmoot_answer **out, char *error)
{
    struct fm_error err = {0};

    enum fm_status status = verify_file(path, charter, out, &err);
    if (status != FM_OK && error != NULL)
        memcpy(error, err.text, FOLKMOOT_ERROR_MAX);
    return fm_public_status(status);
}
