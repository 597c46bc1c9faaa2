#include "storage/rocks.h"

#include "core/assert.h"

#include <rocksdb/c.h>

#include <stdatomic.h>
#include <stdlib.h>

#define ROCKS_MEMTABLE_BYTES (16u << 20)
#define ROCKS_MEMTABLES_BYTES (48u << 20) /* Of all families. */
#define ROCKS_LOG_BYTES_MAX (16u << 20)   /* Bounds how much log an opening replays, twice. */
#define ROCKS_LOG_BYTES_KEPT (1u << 20)   /* Not worth writing out the memtables. */
#define ROCKS_BLOB_BYTES_MIN (4u << 10)
#define ROCKS_BLOOM_BITS 10
#define ROCKS_COMPACT_FORCE 2 /* BottommostLevelCompaction::kForce. */

/* RocksDB wants its default family opened too. It stays empty. */
static const char *const family_names[ROCKS_FAMILIES + 1] = {
#define X(name, text) text,
    ROCKS_FAMILY_MAP(X)
#undef X
        "default",
};

struct rocks {
    rocksdb_t *db;
    rocksdb_options_t *options[ROCKS_FAMILIES + 1];
    rocksdb_column_family_handle_t *families[ROCKS_FAMILIES + 1];
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
    atomic_uint_least64_t log_bytes; /* Written since memtables were written out. */
    rocksdb_cache_t *cache;
};

struct rocks_batch {
    struct rocks *rocks;
    rocksdb_writebatch_t *batch;
};

struct rocks_snapshot {
    struct rocks *rocks;
    const rocksdb_snapshot_t *snapshot;
};

struct rocks_iterator {
    rocksdb_readoptions_t *read;
    rocksdb_iterator_t *iterator;
    uint8_t *end; /* The upper bound, which RocksDB borrows. */
    bool started;
};

static void rocks_error_freep(char **text)
{
    rocksdb_free(*text);
    *text = NULL;
}

/* RocksDB's C API gives texts only; they begin with the code's name (status.cc). */
static enum fm_status translate(const char *text)
{
    if (strncmp(text, "Corruption", 10) == 0)
        return FM_CORRUPT;
    if (strstr(text, "lock") != NULL && strstr(text, "LOCK") != NULL)
        return FM_BUSY;
    /* A file that RocksDB's own manifest names is not there. */
    if (strstr(text, "No such file or directory") != NULL)
        return FM_CORRUPT;
    return FM_IO;
}

static enum fm_status fail(struct fm_error *err, const char *text)
{
    return fm_fail(err, translate(text), "RocksDB: %s", text);
}

static rocksdb_options_t *make_options(struct rocks *rocks, size_t family, bool read_only)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();

    rocksdb_block_based_options_set_block_cache(table, rocks->cache);
    rocksdb_block_based_options_set_filter_policy(
        table, rocksdb_filterpolicy_create_bloom_full(ROCKS_BLOOM_BITS)); /* Owns it. */
    /* Those of the key index grow with the keys: as much of them as the cache holds. */
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, family == ROCKS_KEYS);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);

    rocksdb_options_set_create_if_missing(options, !read_only);
    rocksdb_options_set_create_missing_column_families(options, !read_only);
    rocksdb_options_set_paranoid_checks(options, 1);
    rocksdb_options_set_wal_recovery_mode(options, rocksdb_point_in_time_recovery);
    rocksdb_options_set_write_buffer_size(options, ROCKS_MEMTABLE_BYTES);
    rocksdb_options_set_db_write_buffer_size(options, ROCKS_MEMTABLES_BYTES);
    rocksdb_options_set_max_total_wal_size(options, ROCKS_LOG_BYTES_MAX);
    rocksdb_options_set_skip_stats_update_on_db_open(options, 1);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_open_files(options, 512);
    rocksdb_options_set_compression(options, rocksdb_lz4_compression);
    if (family == ROCKS_SUBJECTS) /* Random keys: nothing to gain. */
        rocksdb_options_set_compression(options, rocksdb_no_compression);
    if (family == ROCKS_KEYS) {
        /* Most keys of an append are new: say so without walking the memtable. */
        rocksdb_options_set_memtable_whole_key_filtering(options, 1);
        rocksdb_options_set_memtable_prefix_bloom_size_ratio(options, 0.1);
    }
    if (family == ROCKS_SEGMENTS) {
        /* Column values are compressed by block already; compactions need not rewrite them. */
        rocksdb_options_set_compression(options, rocksdb_no_compression);
        rocksdb_options_set_enable_blob_files(options, 1);
        rocksdb_options_set_min_blob_size(options, ROCKS_BLOB_BYTES_MIN);
        rocksdb_options_set_enable_blob_gc(options, 1);
    }
    return options;
}

static bool has_name(char **names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* Opened for reading, a family that is not there stays NULL. */
static enum fm_status open_read_only(struct rocks *rocks, const char *path, struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    const char *names[ROCKS_FAMILIES + 1];
    const rocksdb_options_t *options[ROCKS_FAMILIES + 1];
    rocksdb_column_family_handle_t *families[ROCKS_FAMILIES + 1];
    size_t place[ROCKS_FAMILIES + 1];
    size_t there_count = 0;
    int count = 0;
    char **there = rocksdb_list_column_families(rocks->options[0], path, &there_count, &error);

    for (size_t i = 0; error == NULL && i <= ROCKS_FAMILIES; i++) {
        if (!has_name(there, there_count, family_names[i]))
            continue;
        names[count] = family_names[i];
        options[count] = rocks->options[i];
        place[count++] = i;
    }
    rocksdb_list_column_families_destroy(there, there_count); /* There is one after a failure. */
    if (error != NULL)
        return fail(err, error);
    rocks->db = rocksdb_open_for_read_only_column_families(rocks->options[0], path, count, names,
                                                           options, families, 0, &error);
    if (error != NULL)
        return fail(err, error);
    for (int i = 0; i < count; i++)
        rocks->families[place[i]] = families[i];
    return FM_OK;
}

static enum fm_status open_db(struct rocks *rocks, const struct rocks_options *options,
                              struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    const rocksdb_options_t *const *family_options =
        (const rocksdb_options_t *const *)rocks->options;

    if (options->read_only)
        return open_read_only(rocks, options->path, err);
    rocks->db = rocksdb_open_column_families(rocks->options[0], options->path, ROCKS_FAMILIES + 1,
                                             family_names, family_options, rocks->families, &error);
    return error != NULL ? fail(err, error) : FM_OK;
}

/* Compactions are due after an opening, when somebody waits for the first answer. RocksDB's threads
 * are the process's: flushes have others, so appends do not wait for these. */
static void lower_compactions(void)
{
    rocksdb_env_t *env = rocksdb_create_default_env();

    rocksdb_env_lower_thread_pool_cpu_priority(env);
    rocksdb_env_destroy(env); /* Not the threads. */
}

enum fm_status rocks_open(const struct rocks_options *options, struct rocks **out,
                          struct fm_error *err)
{
    FM_AUTO(rocks_closep) struct rocks *rocks = calloc(1, sizeof *rocks);
    enum fm_status status;

    if (rocks == NULL)
        return FM_NOMEM;
    rocks->cache = rocksdb_cache_create_lru(options->cache_bytes);
    for (size_t i = 0; i <= ROCKS_FAMILIES; i++)
        rocks->options[i] = make_options(rocks, i, options->read_only);
    rocks->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(rocks->read, 1);
    rocks->write = rocksdb_writeoptions_create();
    rocks->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(rocks->write_sync, 1);
    if (!options->read_only)
        rocksdb_options_enable_statistics(rocks->options[0]); /* Whose are the database's. */
    lower_compactions();
    status = open_db(rocks, options, err);
    if (status != FM_OK)
        return status;
    *out = FM_TAKE(rocks);
    return FM_OK;
}

void rocks_close(struct rocks *rocks)
{
    if (rocks == NULL)
        return;
    for (size_t i = 0; rocks->db != NULL && i <= ROCKS_FAMILIES; i++) {
        if (rocks->families[i] != NULL)
            rocksdb_column_family_handle_destroy(rocks->families[i]);
    }
    if (rocks->db != NULL)
        rocksdb_close(rocks->db);
    for (size_t i = 0; i <= ROCKS_FAMILIES; i++) {
        if (rocks->options[i] != NULL)
            rocksdb_options_destroy(rocks->options[i]);
    }
    if (rocks->read != NULL)
        rocksdb_readoptions_destroy(rocks->read);
    if (rocks->write != NULL)
        rocksdb_writeoptions_destroy(rocks->write);
    if (rocks->write_sync != NULL)
        rocksdb_writeoptions_destroy(rocks->write_sync);
    if (rocks->cache != NULL)
        rocksdb_cache_destroy(rocks->cache);
    free(rocks);
}

static rocksdb_pinnableslice_t *get_pinned(struct rocks *rocks,
                                           const struct rocks_snapshot *snapshot,
                                           enum rocks_family family, struct fm_span key,
                                           char **error)
{
    rocksdb_readoptions_t *read = rocks->read;
    rocksdb_pinnableslice_t *slice;

    fm_assert(family < ROCKS_FAMILIES);
    if (rocks->families[family] == NULL)
        return NULL;
    if (snapshot != NULL) {
        read = rocksdb_readoptions_create();
        rocksdb_readoptions_set_verify_checksums(read, 1);
        rocksdb_readoptions_set_snapshot(read, snapshot->snapshot);
    }
    slice = rocksdb_get_pinned_cf(rocks->db, read, rocks->families[family], (const char *)key.data,
                                  key.len, error);
    if (snapshot != NULL)
        rocksdb_readoptions_destroy(read);
    return slice;
}

enum fm_status rocks_get(struct rocks *rocks, const struct rocks_snapshot *snapshot,
                         enum rocks_family family, struct fm_span key, struct fm_buf *value,
                         struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    rocksdb_pinnableslice_t *slice = get_pinned(rocks, snapshot, family, key, &error);
    size_t len = 0;
    const char *data;

    if (error != NULL)
        return fail(err, error);
    if (slice == NULL)
        return FM_NOTFOUND;
    data = rocksdb_pinnableslice_value(slice, &len);
    fm_buf_put(value, data, len);
    rocksdb_pinnableslice_destroy(slice);
    return fm_buf_status(value);
}

enum fm_status rocks_pin(struct rocks *rocks, const struct rocks_snapshot *snapshot,
                         enum rocks_family family, struct fm_span key, struct rocks_pin *out,
                         struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    rocksdb_pinnableslice_t *slice = get_pinned(rocks, snapshot, family, key, &error);
    size_t len = 0;
    const char *data;

    if (error != NULL)
        return fail(err, error);
    if (slice == NULL)
        return FM_NOTFOUND;
    data = rocksdb_pinnableslice_value(slice, &len);
    *out = (struct rocks_pin){.handle = slice, .value = fm_span(data, len)};
    return FM_OK;
}

void rocks_pin_release(struct rocks_pin *pin)
{
    if (pin->handle != NULL)
        rocksdb_pinnableslice_destroy(pin->handle);
    *pin = (struct rocks_pin){0};
}

enum fm_status rocks_batch_new(struct rocks *rocks, struct rocks_batch **out)
{
    struct rocks_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return FM_NOMEM;
    batch->rocks = rocks;
    batch->batch = rocksdb_writebatch_create();
    *out = batch;
    return FM_OK;
}

void rocks_batch_free(struct rocks_batch *batch)
{
    if (batch == NULL)
        return;
    rocksdb_writebatch_destroy(batch->batch);
    free(batch);
}

void rocks_batch_put(struct rocks_batch *batch, enum rocks_family family, struct fm_span key,
                     struct fm_span value)
{
    fm_assert(family < ROCKS_FAMILIES);
    rocksdb_writebatch_put_cf(batch->batch, batch->rocks->families[family], (const char *)key.data,
                              key.len, (const char *)value.data, value.len);
}

void rocks_batch_delete(struct rocks_batch *batch, enum rocks_family family, struct fm_span key)
{
    fm_assert(family < ROCKS_FAMILIES);
    rocksdb_writebatch_delete_cf(batch->batch, batch->rocks->families[family],
                                 (const char *)key.data, key.len);
}

void rocks_batch_delete_range(struct rocks_batch *batch, enum rocks_family family,
                              struct fm_span first, struct fm_span end)
{
    fm_assert(family < ROCKS_FAMILIES);
    rocksdb_writebatch_delete_range_cf(batch->batch, batch->rocks->families[family],
                                       (const char *)first.data, first.len, (const char *)end.data,
                                       end.len);
}

uint32_t rocks_batch_count(const struct rocks_batch *batch)
{
    return (uint32_t)rocksdb_writebatch_count(batch->batch);
}

void rocks_batch_clear(struct rocks_batch *batch)
{
    rocksdb_writebatch_clear(batch->batch);
}

enum fm_status rocks_write(struct rocks *rocks, struct rocks_batch *batch, bool sync,
                           struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    size_t bytes = 0;

    (void)rocksdb_writebatch_data(batch->batch, &bytes); /* Only how much. */
    atomic_fetch_add(&rocks->log_bytes, bytes);
    rocksdb_write(rocks->db, sync ? rocks->write_sync : rocks->write, batch->batch, &error);
    return error != NULL ? fail(err, error) : FM_OK;
}

enum fm_status rocks_sync(struct rocks *rocks, struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;

    rocksdb_flush_wal(rocks->db, 1, &error);
    return error != NULL ? fail(err, error) : FM_OK;
}

enum fm_status rocks_snapshot_new(struct rocks *rocks, struct rocks_snapshot **out)
{
    struct rocks_snapshot *snapshot = calloc(1, sizeof *snapshot);

    if (snapshot == NULL)
        return FM_NOMEM;
    snapshot->rocks = rocks;
    snapshot->snapshot = rocksdb_create_snapshot(rocks->db);
    *out = snapshot;
    return FM_OK;
}

void rocks_snapshot_free(struct rocks_snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    if (snapshot->snapshot != NULL)
        rocksdb_release_snapshot(snapshot->rocks->db, snapshot->snapshot);
    free(snapshot);
}

enum fm_status rocks_iterator_new(struct rocks *rocks, const struct rocks_snapshot *snapshot,
                                  enum rocks_family family, struct fm_span first,
                                  struct fm_span end, struct rocks_iterator **out)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = calloc(1, sizeof *iterator);

    fm_assert(family < ROCKS_FAMILIES);
    if (iterator == NULL)
        return FM_NOMEM;
    if (rocks->families[family] == NULL) { /* Empty. */
        *out = FM_TAKE(iterator);
        return FM_OK;
    }
    iterator->read = rocksdb_readoptions_create();
    rocksdb_readoptions_set_verify_checksums(iterator->read, 1);
    if (snapshot != NULL)
        rocksdb_readoptions_set_snapshot(iterator->read, snapshot->snapshot);
    if (end.len > 0) {
        iterator->end = malloc(end.len);
        if (iterator->end == NULL)
            return FM_NOMEM;
        memcpy(iterator->end, end.data, end.len);
        rocksdb_readoptions_set_iterate_upper_bound(iterator->read, (const char *)iterator->end,
                                                    end.len);
    }
    iterator->iterator =
        rocksdb_create_iterator_cf(rocks->db, iterator->read, rocks->families[family]);
    rocksdb_iter_seek(iterator->iterator, (const char *)first.data, first.len);
    *out = FM_TAKE(iterator);
    return FM_OK;
}

enum fm_status rocks_iterator_next(struct rocks_iterator *iterator, struct fm_span *key,
                                   struct fm_span *value, struct fm_error *err)
{
    if (iterator->iterator == NULL)
        return FM_NOTFOUND;
    if (iterator->started && rocksdb_iter_valid(iterator->iterator))
        rocksdb_iter_next(iterator->iterator);
    iterator->started = true;
    if (!rocksdb_iter_valid(iterator->iterator)) {
        FM_AUTO(rocks_error_freep) char *error = NULL;

        /* A damaged block ends the iteration like the last key does: only this tells them apart. */
        rocksdb_iter_get_error(iterator->iterator, &error);
        return error != NULL ? fail(err, error) : FM_NOTFOUND;
    }
    key->data = (const uint8_t *)rocksdb_iter_key(iterator->iterator, &key->len);
    value->data = (const uint8_t *)rocksdb_iter_value(iterator->iterator, &value->len);
    return FM_OK;
}

enum fm_status rocks_last_key(struct rocks *rocks, const struct rocks_snapshot *snapshot,
                              enum rocks_family family, struct fm_span first, struct fm_span last,
                              struct fm_buf *key, struct fm_error *err)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    enum fm_status status =
        rocks_iterator_new(rocks, snapshot, family, first, fm_span(NULL, 0), &iterator);
    struct fm_span found, value;

    if (status != FM_OK)
        return status;
    if (iterator->iterator == NULL)
        return FM_NOTFOUND;
    rocksdb_iter_seek_for_prev(iterator->iterator, (const char *)last.data, last.len);
    status = rocks_iterator_next(iterator, &found, &value, err);
    if (status != FM_OK)
        return status;
    if (found.len < first.len || memcmp(found.data, first.data, first.len) < 0)
        return FM_NOTFOUND;
    fm_buf_put_span(key, found);
    return fm_buf_status(key);
}

void rocks_iterator_free(struct rocks_iterator *iterator)
{
    if (iterator == NULL)
        return;
    if (iterator->iterator != NULL)
        rocksdb_iter_destroy(iterator->iterator);
    if (iterator->read != NULL)
        rocksdb_readoptions_destroy(iterator->read);
    free(iterator->end);
    free(iterator);
}

enum fm_status rocks_flush(struct rocks *rocks, struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    rocksdb_flushoptions_t *options = rocksdb_flushoptions_create();

    atomic_store(&rocks->log_bytes, 0);
    rocksdb_flushoptions_set_wait(options, 1);
    for (size_t i = 0; error == NULL && i < ROCKS_FAMILIES; i++)
        rocksdb_flush_cf(rocks->db, options, rocks->families[i], &error);
    rocksdb_flushoptions_destroy(options);
    return error != NULL ? fail(err, error) : FM_OK;
}

enum fm_status rocks_shorten_log(struct rocks *rocks, struct fm_error *err)
{
    return atomic_load(&rocks->log_bytes) > ROCKS_LOG_BYTES_KEPT ? rocks_flush(rocks, err) : FM_OK;
}

void rocks_compact(struct rocks *rocks, enum rocks_family family, struct fm_span first,
                   struct fm_span end)
{
    fm_assert(family < ROCKS_FAMILIES);
    rocksdb_compact_range_cf(rocks->db, rocks->families[family], (const char *)first.data,
                             first.len, (const char *)end.data, end.len);
}

/* Numbers of the family's table files: the highest, or how many are up to `*number`. */
static size_t count_files(struct rocks *rocks, enum rocks_family family, uint64_t *number)
{
    const rocksdb_livefiles_t *files = rocksdb_livefiles(rocks->db);
    int count = files == NULL ? 0 : rocksdb_livefiles_count(files);
    bool want_highest = *number == 0;
    size_t found = 0;

    for (int i = 0; i < count; i++) {
        const char *name = rocksdb_livefiles_name(files, i);
        uint64_t at;

        if (strcmp(rocksdb_livefiles_column_family_name(files, i), family_names[family]) != 0)
            continue;
        at = strtoull(name[0] == '/' ? name + 1 : name, NULL, 10);
        if (want_highest && at > *number)
            *number = at;
        found += !want_highest && at <= *number;
    }
    if (files != NULL)
        rocksdb_livefiles_destroy(files);
    return found;
}

enum fm_status rocks_purge(struct rocks *rocks, enum rocks_family family, struct fm_error *err)
{
    enum fm_status status = rocks_flush(rocks, err); /* All families: they share the log. */
    rocksdb_compactoptions_t *options;
    uint64_t highest = 0;

    fm_assert(family < ROCKS_FAMILIES);
    if (status != FM_OK)
        return status;
    (void)count_files(rocks, family, &highest);
    options = rocksdb_compactoptions_create();
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 1);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, ROCKS_COMPACT_FORCE);
    rocksdb_compact_range_cf_opt(rocks->db, rocks->families[family], options, NULL, 0, NULL, 0);
    rocksdb_compactoptions_destroy(options);
    /* It tells nothing of a failure. */
    if (highest > 0 && count_files(rocks, family, &highest) > 0)
        return fm_fail(err, FM_IO, "RocksDB: the family `%s` was not compacted",
                       family_names[family]);
    return FM_OK;
}

/* ---- Statistics ------------------------------------------------------------------------------ */

/* The text has a line "NAME COUNT : n" for each counter; others have a line of another form. */
static enum fm_status find_counter(const char *text, const char *name, uint64_t *out)
{
    static const char between[] = " COUNT : ";
    size_t len = strlen(name);

    for (const char *at = strstr(text, name); at != NULL; at = strstr(at + len, name)) {
        if ((at != text && at[-1] != '\n') || strncmp(at + len, between, sizeof between - 1) != 0)
            continue;
        *out = strtoull(at + len + sizeof between - 1, NULL, 10);
        return FM_OK;
    }
    return FM_UNSUPPORTED;
}

enum fm_status rocks_written(struct rocks *rocks, struct rocks_written *out)
{
    char *text = rocksdb_options_statistics_get_string(rocks->options[0]);
    struct rocks_written written = {0};
    enum fm_status status = FM_OK;

    if (text != NULL) {
        status = find_counter(text, "rocksdb.wal.bytes", &written.log_bytes);
        if (status == FM_OK)
            status = find_counter(text, "rocksdb.flush.write.bytes", &written.flush_bytes);
        if (status == FM_OK)
            status = find_counter(text, "rocksdb.compact.write.bytes", &written.compaction_bytes);
    }
    rocksdb_free(text);
    if (status == FM_OK)
        *out = written;
    return status;
}

uint64_t rocks_file_bytes(struct rocks *rocks)
{
    static const char *const properties[] = {"rocksdb.live-sst-files-size",
                                             "rocksdb.live-blob-file-size"};
    uint64_t bytes = 0;

    for (size_t i = 0; i < 2 * (ROCKS_FAMILIES + 1); i++) {
        uint64_t one = 0;

        if (rocks->families[i / 2] != NULL &&
            rocksdb_property_int_cf(rocks->db, rocks->families[i / 2], properties[i % 2], &one) ==
                0)
            bytes += one;
    }
    return bytes;
}

enum fm_status rocks_range_bytes(struct rocks *rocks, enum rocks_family family,
                                 struct fm_span first, struct fm_span end, uint64_t *out,
                                 struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    const char *from = (const char *)first.data;
    const char *to = (const char *)end.data;
    uint64_t bytes = 0;

    fm_assert(family < ROCKS_FAMILIES);
    rocksdb_approximate_sizes_cf(rocks->db, rocks->families[family], 1, &from, &first.len, &to,
                                 &end.len, &bytes, &error);
    if (error != NULL)
        return fail(err, error);
    *out = bytes;
    return FM_OK;
}

enum fm_status rocks_checkpoint(struct rocks *rocks, const char *path, struct fm_error *err)
{
    FM_AUTO(rocks_error_freep) char *error = NULL;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(rocks->db, &error);

    if (checkpoint != NULL) {
        /* 0: write out the memtables first, so that little log is left to copy and to replay. */
        rocksdb_checkpoint_create(checkpoint, path, 0, &error);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    return error != NULL ? fail(err, error) : FM_OK;
}
