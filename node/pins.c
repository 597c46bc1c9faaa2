#include "node/pins.h"

#include "core/assert.h"
#include "core/proof.h"

#include <inttypes.h>

struct pin {
    const char *domain;
    char table[FM_NAME_MAX + 1]; /* As the log is called. */
    uint32_t epoch;
    struct fm_head head;
};

static enum fm_status find_head(const struct fm_mesh_id *mesh, const struct fm_query_body *asked,
                                struct pin *pin, struct fm_error *err)
{
    char domain[FM_NAME_MAX + 1], table[FM_NAME_MAX + 1];
    struct fm_mesh_id of;

    for (uint32_t i = 0; i < asked->head_count; i++) {
        if (fm_head_parse(asked->heads[i], &pin->head) != FM_OK ||
            fm_head_origin_parse(pin->head.origin, &of, domain, table, &pin->epoch) != FM_OK)
            return fm_fail(err, FM_INVALID, "head %" PRIu32 " of the query is none", i + 1);
        if (memcmp(&of, mesh, sizeof of) == 0 && strcmp(domain, pin->domain) == 0 &&
            strcmp(table, pin->table) == 0)
            return FM_OK;
    }
    return fm_fail(err, FM_INVALID,
                   "the query is pinned to heads, and none of them is of table %s.%s", pin->domain,
                   pin->table);
}

/* The log as it is now begins with the one of the head. */
static enum fm_status check_history(struct fm_snapshot *snapshot, const struct pin *pin,
                                    struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf leaf = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    const struct fm_head *head = &pin->head;
    struct fm_table_info info = {0};
    struct fm_proof proof;

    enum fm_status status = fm_snapshot_table(snapshot, pin->domain, pin->table, &info);
    if (status != FM_OK)
        return fm_fail(err, status, "table %s.%s: %s", pin->domain, pin->table,
                       fm_status_text(status));
    fm_schema_free(info.schema);
    if (info.epoch != pin->epoch)
        return fm_fail(err, FM_CONFLICT,
                       "the log of %s.%s began anew since that head: its epoch was %" PRIu32
                       " and is %" PRIu32,
                       pin->domain, pin->table, pin->epoch, info.epoch);
    if (head->size > info.size)
        return fm_fail(err, FM_CONFLICT,
                       "the head of %s.%s is of %" PRIu64 " facts, and its log has %" PRIu64,
                       pin->domain, pin->table, head->size, info.size);
    if (head->size > 0 &&
        fm_snapshot_leaf(snapshot, pin->domain, pin->table, 0, &leaf, err) == FM_NOTFOUND)
        return fm_fail(err, FM_CONFLICT,
                       "facts of %s.%s have been dropped when their time was over: it cannot be "
                       "read as it was at that head",
                       pin->domain, pin->table);
    status = fm_snapshot_consistency(snapshot, pin->domain, pin->table, head->size, info.size,
                                     &proof, err);
    if (status != FM_OK)
        return status;
    if (fm_proof_check_consistency(&proof, head->size, &head->root, info.size, &info.root) != FM_OK)
        return fm_fail(err, FM_CONFLICT,
                       "the head of %s.%s with %" PRIu64
                       " facts is not of its log's history: its root is another",
                       pin->domain, pin->table, head->size);
    return FM_OK;
}

enum fm_status fm_pin_table(struct fm_snapshot *snapshot, const struct fm_mesh_id *mesh,
                            const struct fm_query_body *asked, const char *domain,
                            const char *table, struct fm_at *at, struct fm_error *err)
{
    struct pin pin = {.domain = domain};
    uint64_t size = 0;

    if (asked->head_count == 0)
        return FM_OK;
    fm_table_base_name(table, pin.table);
    enum fm_status status = find_head(mesh, asked, &pin, err);
    if (status == FM_OK)
        status = check_history(snapshot, &pin, err);
    if (status == FM_OK)
        status = fm_snapshot_size_at(snapshot, domain, pin.table, at, &size, err);
    if (status != FM_OK)
        return status;
    if (at->kind == FM_AT_VERSION && size > pin.head.size)
        return fm_fail(err, FM_INVALID,
                       "%s.%s is asked for at version %" PRIu64 ", later than the head of %" PRIu64
                       " facts that the query is pinned to",
                       domain, pin.table, size, pin.head.size);
    if (at->kind == FM_AT_LATEST && size == pin.head.size)
        return FM_OK; /* Nothing was appended since. */
    *at = (struct fm_at){.kind = FM_AT_VERSION,
                         .value = (int64_t)(size < pin.head.size ? size : pin.head.size)};
    return FM_OK;
}
