#include "node/kept.h"

#include "core/assert.h"

#include <stdlib.h>

enum fm_status fm_kept_add(struct fm_kept *kept, struct fm_buf *batch)
{
    struct fm_buf *batches = realloc(kept->batches, (kept->count + 1u) * sizeof *batches);
    struct fm_batch view;

    if (batches == NULL)
        return FM_NOMEM;
    kept->batches = batches;
    /* It was made here, or the feed has checked it. */
    enum fm_status status = fm_batch_view_trusted(fm_buf_span(batch), &view);
    if (status != FM_OK)
        return status;
    kept->rows += view.rows;
    kept->bytes += batch->len;
    batches[kept->count++] = *batch;
    *batch = (struct fm_buf){0};
    return FM_OK;
}

enum fm_status fm_kept_read_ahead(struct fm_kept *kept, struct fm_error *err)
{
    fm_assert(kept->feed != NULL && kept->count == 0);
    while (kept->bytes <= FM_REDUCE_KEEP_BYTES_MAX) {
        FM_AUTO(fm_buf_free) struct fm_buf batch = FM_BUF_INIT(0);
        enum fm_status status = fm_feed_next(kept->feed, &batch, err);
        if (status == FM_NOTFOUND) {
            kept->is_whole = true;
            return FM_OK;
        }
        if (status == FM_OK) {
            status = fm_kept_add(kept, &batch);
            if (status != FM_OK)
                return fm_fail(err, status, "keep a fragment's rows");
        }
        if (status != FM_OK)
            return status;
    }
    return FM_OK;
}

enum fm_status fm_kept_next(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct fm_kept *kept = context;

    if (kept->next == kept->count)
        return kept->is_whole ? FM_NOTFOUND : fm_feed_next(kept->feed, batch, err);
    struct fm_buf *from = &kept->batches[kept->next++];
    fm_buf_put_span(batch, fm_buf_span(from));
    fm_buf_free(from);
    return fm_buf_status(batch) == FM_OK
               ? FM_OK
               : fm_fail(err, fm_buf_status(batch), "hand on a fragment's rows");
}

void fm_kept_deinit(struct fm_kept *kept)
{
    for (uint32_t i = 0; i < kept->count; i++)
        fm_buf_free(&kept->batches[i]);
    free(kept->batches);
    *kept = (struct fm_kept){0};
}
