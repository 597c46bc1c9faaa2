#include "client/fragments.h"

#include "core/assert.h"

#include <inttypes.h>

enum fm_status fm_fragments_count(const struct folkmoot_answer *answer, uint64_t *out,
                                  struct fm_error *err)
{
    const struct fm_verified *verified = fm_answer_verified(answer);
    uint64_t count = 0;

    for (uint32_t i = 0; i < verified->answer.fragment_count && fm_answer_has_fragments(answer);
         i++) {
        if (verified->receipts[i].batches > FM_ANSWER_BATCHES_MAX - count)
            return fm_fail(err, FM_LIMIT, "its fragments have more than %u batches",
                           FM_ANSWER_BATCHES_MAX);
        count += verified->receipts[i].batches;
    }
    *out = count;
    return FM_OK;
}

void fm_fragments_init(struct fm_fragments *fragments, const struct folkmoot_answer *answer)
{
    *fragments = (struct fm_fragments){.answer = answer};
    fm_tree_init(&fragments->tree);
}

static void forget_columns(struct fm_fragments *fragments)
{
    fm_column_view_deinit(&fragments->view);
    fm_columns_deinit(&fragments->columns);
    fragments->view = (struct fm_column_view){0};
    fragments->columns = (struct fm_columns){0};
}

void fm_fragments_deinit(struct fm_fragments *fragments)
{
    forget_columns(fragments);
}

static const struct fm_receipt *receipt_of(const struct fm_fragments *fragments)
{
    return &fm_answer_verified(fragments->answer)->receipts[fragments->fragment];
}

static enum fm_status begin(struct fm_fragments *fragments)
{
    struct fm_span columns = fm_answer_fragment_columns(fragments->answer, fragments->fragment);

    enum fm_status status = fm_columns_decode(columns, &fragments->columns);
    return status == FM_OK ? fm_column_view_init(&fragments->view, &fragments->columns) : status;
}

/* All batches came: are they the signed ones? */
static enum fm_status end(struct fm_fragments *fragments, struct fm_error *err)
{
    const struct fm_receipt *receipt = receipt_of(fragments);
    struct fm_hash root;

    fm_tree_root(&fragments->tree, &root);
    if (fragments->rows != receipt->rows || fragments->bytes != receipt->bytes ||
        !fm_hash_equal(&root, &receipt->root))
        return fm_fail(
            err, FM_FORGED,
            "they are not those that its owner signed: one was changed, dropped, doubled "
            "or swapped");
    fm_tree_init(&fragments->tree);
    fragments->rows = fragments->bytes = 0;
    fragments->fragment++;
    forget_columns(fragments);
    return FM_OK;
}

static enum fm_status take(struct fm_fragments *fragments, struct fm_span bytes,
                           struct fm_error *err)
{
    struct fm_batch batch;
    struct fm_hash leaf;

    if (fragments->tree.size == 0 && begin(fragments) != FM_OK)
        return fm_fail(err, FM_FORGED, "its columns do not decode");
    if (fm_batch_view(bytes, fragments->view.types, fragments->view.count,
                      fragments->view.dictionaries, &batch) != FM_OK)
        return fm_fail(err, FM_FORGED, "batch %" PRIu64 " does not fit its columns",
                       fragments->tree.size + 1);
    fm_leaf_hash(&leaf, bytes);
    fm_tree_append(&fragments->tree, &leaf);
    fragments->rows += batch.rows;
    fragments->bytes += bytes.len;
    return fragments->tree.size == receipt_of(fragments)->batches ? end(fragments, err) : FM_OK;
}

enum fm_status fm_fragments_take(struct fm_fragments *fragments, struct fm_span batch,
                                 uint32_t *fragment, struct fm_error *err)
{
    const struct fm_verified *verified = fm_answer_verified(fragments->answer);

    while (fragments->tree.size == 0 && fragments->fragment < verified->answer.fragment_count &&
           receipt_of(fragments)->batches == 0)
        fragments->fragment++;
    fm_assert(fragments->fragment < verified->answer.fragment_count);
    *fragment = fragments->fragment;
    enum fm_status status = take(fragments, batch, err);
    if (status == FM_OK)
        return FM_OK;
    return fm_wrap(err, status, "batches of fragment %" PRIu32 ", domain %s",
                   verified->numbers[*fragment], verified->answer.fragments[*fragment].domain);
}
