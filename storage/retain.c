/* Retention: whole segments from the log's beginning on are dropped, their hashes stay.
 *
 * Recorded times rise with sequences, so what is old enough are the first segments. Each is read
 * once more, its leaves are compared with the kept hashes, and one commit puts a record without
 * columns in its place, with the tiles (dropped.h) that proofs of what is kept need. Sealing and
 * merging leave the table alone meanwhile; appends go on. */
#include "storage/reading.h"

#include "core/assert.h"
#include "storage/dropped.h"
#include "storage/subtrees.h"

#include <stdlib.h>

/* What dropping writes must fit however full the disk is, or RocksDB stops the process. */
#define RETAIN_FREE_BYTES_MIN (UINT64_C(32) << 20)
#define RETAIN_KEYS_MAX 4096u /* Of the index, removed at once. */

struct retain {
    struct table *table;
    fm_us before;
    uint64_t dropped;
    uint64_t first_segment; /* Ids of those that this call dropped. */
    uint64_t last_segment;
    /* Of the segment at hand: */
    struct table_state *state;
    struct store_view *view;
    const struct segment_value *segment;
    uint8_t *hashes; /* Of its leaves. */
    struct segment_span *loaded;
    const struct segment_span *spans;
    struct rocks_batch *batch;
    struct tiling tiling;
};

static void segment_done(struct retain *retain)
{
    free(retain->hashes);
    free(retain->loaded);
    rocks_batch_free(retain->batch);
    state_release(retain->state);
    view_release(retain->view);
    retain->hashes = NULL;
    retain->loaded = NULL;
    retain->batch = NULL;
    retain->state = NULL;
    retain->view = NULL;
}

static struct fm_hash *hash_at(const struct retain *retain, uint64_t sequence)
{
    return (struct fm_hash *)(void *)(retain->hashes +
                                      (sequence - retain->segment->first_sequence) * FM_HASH_BYTES);
}

/* ---- Which ----------------------------------------------------------------------------------- */

static fm_us last_recorded(const struct segment_value *segment)
{
    fm_us last = segment->last_recorded_at;

    for (uint32_t i = 0; segment->spans != NULL && i < segment->span_count; i++) {
        if (i == 0 || segment->spans[i].header.recorded_at > last)
            last = segment->spans[i].header.recorded_at;
    }
    return last;
}

static fm_us first_recorded(const struct segment_value *segment)
{
    return segment->spans != NULL ? segment->spans[0].header.recorded_at
                                  : segment->first_recorded_at;
}

/* FM_NOTFOUND: nothing more is old enough. Hot rows end it: what comes behind them is younger. */
static enum fm_status find_segment(struct retain *retain)
{
    struct fm_store *store = retain->table->store;
    const struct table_state *state;
    uint32_t place;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    retain->state = state_retain(retain->table->state);
    retain->view = store->view;
    atomic_fetch_add(&retain->view->references, 1);
    (void)pthread_mutex_unlock(&store->lock);
    state = retain->state;
    place = state->dropped_segments;
    if (place == state->segment_count ||
        state->segments->items[place]->first_sequence != state->dropped ||
        last_recorded(state->segments->items[place]) >= retain->before)
        return FM_NOTFOUND;
    retain->segment = state->segments->items[place];
    return FM_OK;
}

/* Are the first hot rows old enough, so that sealing them is of use? */
static enum fm_status wants_seal(struct retain *retain, bool *out, struct fm_error *err)
{
    struct units units;
    struct unit unit = {0};
    enum fm_status status = FM_OK;
    bool wanted = false, is_over = false;

    units_init(&units, retain->state, retain->view->rocks, 0);
    while (status == FM_OK && !is_over) {
        status = units_next(&units, &unit, err);
        if (status != FM_OK)
            break;
        wanted = unit.segment == NULL && unit.hot.header.recorded_at < retain->before;
        is_over = unit.segment == NULL || last_recorded(unit.segment) >= retain->before;
    }
    units_deinit(&units);
    *out = wanted;
    return status == FM_NOTFOUND ? FM_OK : status;
}

/* ---- What is kept of it ---------------------------------------------------------------------- */

static enum fm_status fail_root(const struct retain *retain, uint64_t block, struct fm_error *err)
{
    return fm_fail(err, FM_CORRUPT,
                   "%s.%s: the facts from %llu on are not those of their kept hash, so they are "
                   "not dropped; restore the folder from a backup",
                   retain->table->domain, retain->table->name,
                   (unsigned long long)(block * TILES_LEAVES));
}

/* The kept subtree of a block that is dropped as a whole, compared or, in a store from before
 * hashes were kept, written. */
static enum fm_status keep_block(struct retain *retain, uint64_t block, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_subtree(retain->table->id, TILES_LEVEL, block);
    struct fm_hash hash = {0}, kept = {0};
    enum fm_status status = tiles_node(&retain->tiling.out, TILES_LEVEL, 0, &hash);

    fm_assert(status == FM_OK);
    status = subtrees_get(retain->table, TILES_LEVEL, block, &kept, err);
    if (status == FM_OK)
        return fm_hash_equal(&hash, &kept) ? FM_OK : fail_root(retain, block, err);
    if (status != FM_NOTFOUND)
        return status;
    subtree_encode(&value, &hash);
    rocks_batch_put(retain->batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&value));
    return fm_buf_status(&value);
}

static enum fm_status keep_tiles(struct retain *retain, uint64_t block, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_tiles(retain->table->id, block);
    const struct tiles *tiles = &retain->tiling.out;

    if (tiles->leaves == TILES_LEAVES) {
        enum fm_status status = keep_block(retain, block, err);

        if (status != FM_OK || tiles->count == 1)
            return status;
    }
    tiles_encode(&value, tiles);
    rocks_batch_put(retain->batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&value));
    return fm_buf_status(&value);
}

/* `*span` is the first one that does not end before the block. */
static enum fm_status keep_of_block(struct retain *retain, uint64_t block, uint32_t *span,
                                    uint64_t *span_end, struct fm_error *err)
{
    struct tiling *tiling = &retain->tiling;
    uint64_t first = block * TILES_LEAVES;
    uint64_t end = retain->segment->first_sequence + retain->segment->rows;
    enum fm_status status = FM_OK;

    memset(tiling->is_end, 0, sizeof tiling->is_end);
    tiling->before.count = 0;
    tiling->before.leaves = 0;
    if (first < retain->segment->first_sequence)
        status = dropped_tiles(retain->state, retain->view->rocks, block, &tiling->before, err);
    if (status != FM_OK)
        return status;
    if (first + tiling->before.leaves !=
        (first < retain->segment->first_sequence ? retain->segment->first_sequence : first))
        return fail_root(retain, block, err);
    tiling->hashes = hash_at(retain, first + tiling->before.leaves)->bytes;
    tiling->end = end - first < TILES_LEAVES ? (uint32_t)(end - first) : TILES_LEAVES;
    while (*span < retain->segment->span_count && *span_end < first + TILES_LEAVES) {
        if (*span_end > first)
            tiling->is_end[*span_end - first] = true;
        if (++*span < retain->segment->span_count)
            *span_end += retain->spans[*span].rows;
    }
    tiling_make(tiling);
    return keep_tiles(retain, block, err);
}

static enum fm_status keep_hashes(struct retain *retain, struct fm_error *err)
{
    const struct segment_value *segment = retain->segment;
    uint64_t last = (segment->first_sequence + segment->rows - 1) / TILES_LEAVES;
    uint64_t span_end;
    uint32_t span = 0;
    enum fm_status status;

    retain->hashes = malloc((size_t)segment->rows * FM_HASH_BYTES);
    if (retain->hashes == NULL)
        return FM_NOMEM;
    status = stored_leaf_hashes(retain->state, retain->view->rocks, segment->first_sequence,
                                segment->rows, retain->hashes, err);
    if (status == FM_OK)
        status = segment_spans(retain->state, retain->view->rocks, segment, &retain->loaded,
                               &retain->spans, err);
    if (status != FM_OK)
        return status;
    span_end = segment->first_sequence + retain->spans[0].rows;
    for (uint64_t block = segment->first_sequence / TILES_LEAVES; status == FM_OK && block <= last;
         block++)
        status = keep_of_block(retain, block, &span, &span_end, err);
    return status;
}

/* ---- The commit ------------------------------------------------------------------------------ */

static enum fm_status put_record(struct retain *retain, const struct segment_value *record)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    uint32_t table = retain->table->id;
    struct key key = key_segment(table, record->first_sequence);
    struct key from = key_column(table, record->id, 0);
    struct key to = key_column(table, record->id + 1, 0);

    segment_value_encode(&value, record);
    rocks_batch_put(retain->batch, ROCKS_SEGMENTS, key_span(&key), fm_buf_span(&value));
    rocks_batch_delete_range(retain->batch, ROCKS_SEGMENTS, key_span(&from), key_span(&to));
    key = key_spans(table, record->id);
    rocks_batch_delete(retain->batch, ROCKS_SEGMENTS, key_span(&key));
    return fm_buf_status(&value);
}

static enum fm_status make_next(struct retain *retain, struct table_state **out)
{
    FM_AUTO(state_releasep) struct table_state *next = NULL;
    struct fm_store *store = retain->table->store;
    const struct segment_value *segment = retain->segment;
    struct segment_value *record = calloc(1, sizeof *record);
    struct table_state *base;
    enum fm_status status;

    if (record == NULL)
        return FM_NOMEM;
    record->id = segment->id;
    record->first_sequence = segment->first_sequence;
    record->rows = segment->rows;
    record->schema_version = segment->schema_version;
    record->is_dropped = true;
    record->first_recorded_at = first_recorded(segment);
    record->last_recorded_at = last_recorded(segment);
    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    base = state_retain(retain->table->written);
    (void)pthread_mutex_unlock(&store->lock);
    fm_assert(base->segments->items[base->dropped_segments] == segment);
    status = state_copy(base, &next);
    state_release(base);
    if (status == FM_OK)
        status = put_record(retain, record);
    if (status == FM_OK)
        status = state_replace_segments(next, next->dropped_segments, 1, record);
    if (status != FM_OK) {
        free(record);
        return status;
    }
    next->dropped_segments++;
    next->dropped += segment->rows;
    *out = FM_TAKE(next);
    return FM_OK;
}

static enum fm_status commit(struct retain *retain, struct fm_error *err)
{
    FM_AUTO(state_releasep) struct table_state *next = NULL;
    struct fm_store *store = retain->table->store;
    struct pending_commit pending = {0};
    struct commit_what what;
    enum fm_status status = table_lock_append(retain->table, err);

    if (status != FM_OK)
        return status;
    status = make_next(retain, &next);
    if (status == FM_OK) {
        what = commit_what_retain(retain->table->id, next->dropped);
        status = commit_write(store, retain->batch, &what, next, &pending, err);
    }
    if (status == FM_OK)
        next = NULL; /* The store's now. */
    table_unlock_append(retain->table);
    return status == FM_OK ? commit_wait(store, &pending, err) : status;
}

static enum fm_status has_space(const struct retain *retain, struct fm_error *err)
{
    const struct fm_store *store = retain->table->store;
    uint64_t free_bytes = 0;
    enum fm_status status = store_free_bytes(store, &free_bytes, err);

    if (status == FM_OK && free_bytes < RETAIN_FREE_BYTES_MIN && free_bytes < store->free_bytes_min)
        return fm_fail(err, FM_LIMIT,
                       "%s has %llu MiB of free space left, too little even to drop facts; make "
                       "room",
                       store->dir, (unsigned long long)(free_bytes >> 20));
    return status;
}

static enum fm_status drop_segment(struct retain *retain, struct fm_error *err)
{
    enum fm_status status = find_segment(retain);

    if (status == FM_OK)
        status = has_space(retain, err);
    if (status == FM_OK)
        status = rocks_batch_new(retain->table->store->rocks, &retain->batch);
    if (status == FM_OK)
        status = keep_hashes(retain, err);
    if (status == FM_OK)
        status = commit(retain, err);
    if (status == FM_OK) {
        if (retain->dropped == 0)
            retain->first_segment = retain->last_segment = retain->segment->id;
        if (retain->segment->id < retain->first_segment)
            retain->first_segment = retain->segment->id;
        if (retain->segment->id > retain->last_segment)
            retain->last_segment = retain->segment->id;
        retain->dropped += retain->segment->rows;
    }
    segment_done(retain);
    return status;
}

/* ---- The key index --------------------------------------------------------------------------- */

/* Entries found, as their keys one behind the other, each with its length. */
static enum fm_status find_old_keys(struct retain *retain, struct fm_buf *after,
                                    struct fm_buf *found, uint32_t *count, struct fm_error *err)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    struct key end = key_prefix(retain->table->id + 1);
    struct index_value entry;
    enum fm_status status = rocks_iterator_new(retain->table->store->rocks, NULL, ROCKS_KEYS,
                                               fm_buf_span(after), key_span(&end), &iterator);

    *count = 0;
    fm_buf_clear(found);
    while (status == FM_OK && *count < RETAIN_KEYS_MAX) {
        struct fm_span key, value;

        status = rocks_iterator_next(iterator, &key, &value, err);
        if (status != FM_OK || index_decode(value, &entry) != FM_OK ||
            entry.sequence >= retain->state->dropped)
            continue;
        fm_buf_put_u32(found, (uint32_t)key.len);
        fm_buf_put_span(found, key);
        ++*count;
        fm_buf_clear(after);
        fm_buf_put_span(after, key);
    }
    fm_buf_put_u8(after, 0); /* The next possible key. */
    if (status == FM_OK || status == FM_NOTFOUND)
        return fm_buf_status(found) != FM_OK ? fm_buf_status(found) : fm_buf_status(after);
    return status;
}

/* With the table's append lock: those that still name dropped facts. */
static enum fm_status delete_old_keys(struct retain *retain, struct fm_span found,
                                      struct fm_error *err)
{
    FM_AUTO(rocks_batch_freep) struct rocks_batch *batch = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct rocks *rocks = retain->table->store->rocks;
    struct fm_cursor cursor = fm_cursor(found);
    enum fm_status status = rocks_batch_new(rocks, &batch);

    while (status == FM_OK && fm_cursor_left(&cursor) > 0) {
        struct index_value entry;
        struct fm_span key;
        uint32_t len = 0;

        status = fm_take_u32(&cursor, &len);
        if (status == FM_OK)
            status = fm_take_bytes(&cursor, len, &key);
        fm_assert(status == FM_OK);
        fm_buf_clear(&value);
        status = rocks_get(rocks, NULL, ROCKS_KEYS, key, &value, err);
        if (status == FM_OK)
            status = index_decode(fm_buf_span(&value), &entry);
        if (status == FM_OK && entry.sequence < retain->state->dropped)
            rocks_batch_delete(batch, ROCKS_KEYS, key);
        if (status == FM_NOTFOUND)
            status = FM_OK;
    }
    if (status == FM_OK)
        status = store_usable(retain->table->store, err);
    return status == FM_OK ? rocks_write(rocks, batch, false, err) : status;
}

/* A crash leaves entries that name dropped facts; lookups know, and the next call removes them. */
static enum fm_status clean_index(struct retain *retain, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf after = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf found = FM_BUF_INIT(0);
    struct key first = key_prefix(retain->table->id);
    uint32_t count = RETAIN_KEYS_MAX;
    enum fm_status status = FM_OK;

    fm_buf_put_span(&after, key_span(&first));
    (void)find_segment(retain); /* For the state alone. */
    while (status == FM_OK && count == RETAIN_KEYS_MAX) {
        status = find_old_keys(retain, &after, &found, &count, err);
        if (status != FM_OK || count == 0)
            break;
        status = table_lock_append(retain->table, err);
        if (status != FM_OK)
            break;
        status = delete_old_keys(retain, fm_buf_span(&found), err);
        table_unlock_append(retain->table);
    }
    segment_done(retain);
    return status;
}

/* ---- One table ------------------------------------------------------------------------------- */

static enum fm_status take_table(struct fm_store *store, const char *domain, const char *name,
                                 struct retain *retain, struct fm_error *err)
{
    struct table *table;
    enum fm_status status = FM_OK;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    table = table_find(store, domain, name);
    if (table == NULL)
        status = fm_fail(err, FM_NOTFOUND, "there is no table %s.%s", domain, name);
    else if (table->is_sealing)
        status = fm_fail(err, FM_BUSY, "%s.%s is being sealed", domain, name);
    else
        table->is_sealing = true;
    (void)pthread_mutex_unlock(&store->lock);
    retain->table = table;
    return status;
}

static void give_back(struct retain *retain)
{
    struct fm_store *store = retain->table->store;

    (void)pthread_mutex_lock(&store->lock); /* Cannot fail. */
    retain->table->is_sealing = false;
    (void)pthread_mutex_unlock(&store->lock);
}

static enum fm_status seal_old(struct fm_store *store, const char *domain, const char *name,
                               fm_us before, struct fm_error *err)
{
    struct retain retain = {.before = before};
    bool wanted = false;
    enum fm_status status = take_table(store, domain, name, &retain, err);

    if (status != FM_OK)
        return status;
    (void)find_segment(&retain); /* For the state alone. */
    status = wants_seal(&retain, &wanted, err);
    segment_done(&retain);
    give_back(&retain);
    if (status == FM_OK && wanted)
        status = fm_store_seal(store, domain, name, NULL, err);
    return status == FM_LIMIT ? FM_OK : status; /* Dropping segments makes room. */
}

static bool is_stopped(const atomic_bool *stop)
{
    return stop != NULL && atomic_load(stop);
}

enum fm_status fm_store_retain(struct fm_store *store, const char *domain, const char *table,
                               fm_us recorded_before, const atomic_bool *stop, uint64_t *dropped,
                               struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct retain *retain = calloc(1, sizeof *retain);
    enum fm_status status = store_usable(store, err);

    *dropped = 0;
    if (status == FM_OK && retain == NULL)
        status = FM_NOMEM;
    if (status == FM_OK)
        status = seal_old(store, domain, table, recorded_before, err);
    if (status == FM_OK)
        status = take_table(store, domain, table, retain, err);
    if (status != FM_OK)
        return status;
    retain->before = recorded_before;
    while (status == FM_OK && !is_stopped(stop))
        status = drop_segment(retain, err);
    if (status == FM_NOTFOUND)
        status = FM_OK;
    *dropped = retain->dropped;
    if (status == FM_OK && retain->dropped > 0 && !is_stopped(stop) &&
        schema_is_keyed(retain->table->schemas[0]))
        status = clean_index(retain, err);
    if (retain->dropped > 0 &&
        !is_stopped(stop)) { /* The bytes go when RocksDB forgets the keys. */
        struct key from = key_column(retain->table->id, retain->first_segment, 0);
        struct key to = key_column(retain->table->id, retain->last_segment + 1, 0);

        rocks_compact(store->rocks, ROCKS_SEGMENTS, key_span(&from), key_span(&to));
    }
    give_back(retain);
    return status;
}
