#include "node/recode.h"

struct fm_recode {
    const struct fm_columns *columns; /* Borrowed: what batches come in. */
    struct fm_column *announced;      /* Copies whose dictionary may be gone; nothing is owned. */
    struct fm_batch_builder *builder;
};

void fm_recode_free(struct fm_recode *recode)
{
    if (recode == NULL)
        return;
    fm_batch_builder_free(recode->builder);
    free(recode->announced);
    free(recode);
}

static size_t dictionary_bytes(const struct fm_dictionary *dictionary)
{
    if (dictionary->count == 0)
        return 0;
    return dictionary->offsets[dictionary->count] + 4 * ((size_t)dictionary->count + 2);
}

/* False when there is none left. */
static bool drop_largest(struct fm_column *columns, uint32_t count)
{
    size_t most = 0;
    uint32_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = dictionary_bytes(&columns[i].dictionary);
        if (bytes <= most)
            continue;
        most = bytes;
        at = i;
    }
    if (most == 0)
        return false;
    columns[at].dictionary = (struct fm_dictionary){0};
    return true;
}

/* Of those that say more than the rows can. */
static bool drop_unused(struct fm_column *columns, uint32_t count, uint64_t rows)
{
    bool any = false;

    for (uint32_t i = 0; i < count; i++) {
        if (columns[i].dictionary.count <= rows)
            continue;
        columns[i].dictionary = (struct fm_dictionary){0};
        any = true;
    }
    return any;
}

static enum fm_status encode(const struct fm_columns *columns, size_t bytes_max, struct fm_buf *out)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(bytes_max);

    fm_columns_encode(&bytes, columns);
    enum fm_status status = fm_buf_status(&bytes);
    if (status == FM_OK) {
        fm_buf_put_span(out, fm_buf_span(&bytes));
        status = fm_buf_status(out);
    }
    return status;
}

static enum fm_status make_builder(struct fm_recode *recode)
{
    uint32_t count = recode->columns->count;
    FM_AUTO(fm_mem_freep)
    const struct fm_type **types = calloc(count + 1u, sizeof *types);
    FM_AUTO(fm_mem_freep)
    const struct fm_dictionary **kept = calloc(count + 1u, sizeof *kept);

    if (types == NULL || kept == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < count; i++) {
        types[i] = &recode->columns->items[i].type;
        if (recode->announced[i].dictionary.count != 0)
            kept[i] = &recode->columns->items[i].dictionary;
    }
    struct fm_batch_builder_options options = {
        .types = types,
        .column_count = count,
        .encode = true,
        .dictionaries = kept,
    };
    return fm_batch_builder_new(&options, &recode->builder);
}

enum fm_status fm_recode_columns(const struct fm_columns *columns, uint64_t rows, size_t bytes_max,
                                 struct fm_buf *encoded, struct fm_recode **out)
{
    FM_AUTO(fm_recode_freep) struct fm_recode *recode = calloc(1, sizeof *recode);

    *out = NULL;
    if (recode == NULL)
        return FM_NOMEM;
    recode->columns = columns;
    recode->announced = calloc(columns->count + 1u, sizeof *recode->announced);
    if (recode->announced == NULL)
        return FM_NOMEM;
    memcpy(recode->announced, columns->items, columns->count * sizeof *recode->announced);
    struct fm_columns fewer = {.count = columns->count, .items = recode->announced};
    bool is_same = !drop_unused(recode->announced, columns->count, rows);
    enum fm_status status = encode(&fewer, bytes_max, encoded);
    while (status == FM_LIMIT && drop_largest(recode->announced, columns->count)) {
        is_same = false;
        status = encode(&fewer, bytes_max, encoded);
    }
    if (status != FM_OK || is_same)
        return status;
    status = make_builder(recode);
    if (status == FM_OK)
        *out = FM_TAKE(recode);
    return status;
}

enum fm_status fm_recode_batch(struct fm_recode *recode, struct fm_buf *batch)
{
    FM_AUTO(fm_buf_free) struct fm_buf rebuilt = FM_BUF_INIT(batch->max);
    struct fm_batch view;

    if (recode == NULL)
        return FM_OK;
    enum fm_status status = fm_batch_view_trusted(fm_buf_span(batch), &view);
    for (uint32_t c = 0; c < recode->columns->count && status == FM_OK; c++) {
        const struct fm_dictionary *dictionary = &recode->columns->items[c].dictionary;
        status = fm_batch_put_rows(recode->builder, c, &view, c,
                                   dictionary->count != 0 ? dictionary : NULL, 0, view.rows, NULL);
    }
    if (status == FM_OK)
        status = fm_batch_builder_finish(recode->builder, view.first_row, &rebuilt);
    if (status != FM_OK)
        return status;
    struct fm_buf old = *batch;
    *batch = rebuilt;
    rebuilt = old;
    return FM_OK;
}
