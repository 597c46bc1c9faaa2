/* The small signed records that a node keeps: opaque values under opaque keys. */
#include "storage/internal.h"

#include "core/assert.h"

enum fm_status fm_store_put_record(struct fm_store *store, struct fm_span key, struct fm_span value,
                                   struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf sealed = FM_BUF_INIT(0);
    struct commit_what what;
    enum fm_status status;

    if (key.len == 0 || key.len > KEYS_RECORD_KEY_MAX || value.len > FM_RECORD_BYTES_MAX)
        return fm_fail(err, FM_LIMIT, "a record's key has 1 to %u bytes, its value up to %u",
                       KEYS_RECORD_KEY_MAX, FM_RECORD_BYTES_MAX);
    status = store_usable(store, err);
    if (status == FM_OK)
        status = rocks_batch_new(store->rocks, &batch);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(&sealed, value);
    value_seal(&sealed, 0);
    status = fm_buf_status(&sealed);
    if (status != FM_OK)
        return status;
    rocks_batch_put(batch, ROCKS_RECORDS, key, fm_buf_span(&sealed));
    what = commit_what_record(key, value);
    return store_commit(store, batch, &what, err);
}

enum fm_status fm_store_get_record(struct fm_store *store, struct fm_span key, struct fm_buf *value)
{
    FM_AUTO(view_releasep) struct store_view *view = store_view(store);
    FM_AUTO(fm_buf_free) struct fm_buf sealed = FM_BUF_INIT(0);
    struct fm_span content = {0};
    enum fm_status status = rocks_get(store->rocks, view->rocks, ROCKS_RECORDS, key, &sealed, NULL);

    if (status == FM_OK)
        status = value_open(fm_buf_span(&sealed), &content);
    if (status != FM_OK)
        return status;
    fm_buf_put_span(value, content);
    return fm_buf_status(value);
}

enum fm_status fm_store_each_record(struct fm_store *store, struct fm_span prefix,
                                    enum fm_status (*each)(void *context, struct fm_span key,
                                                           struct fm_span value),
                                    void *context)
{
    FM_AUTO(view_releasep) struct store_view *view = store_view(store);
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    enum fm_status status = rocks_iterator_new(store->rocks, view->rocks, ROCKS_RECORDS, prefix,
                                               fm_span(NULL, 0), &iterator);

    while (status == FM_OK) {
        struct fm_span key, value, content = {0};

        status = rocks_iterator_next(iterator, &key, &value, NULL);
        if (status != FM_OK)
            break;
        if (key.len < prefix.len ||
            (prefix.len > 0 && memcmp(key.data, prefix.data, prefix.len) != 0))
            return FM_OK;
        status = value_open(value, &content);
        if (status == FM_OK)
            status = each(context, key, content);
        if (status == FM_NOTFOUND)
            return status; /* The caller's own. */
    }
    return status == FM_NOTFOUND ? FM_OK : status;
}
