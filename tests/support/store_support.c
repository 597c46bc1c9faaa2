#include "tests/support/store_support.h"

#include "core/bits.h"
#include "core/keys.h"

#include <ftw.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define CHUNK_ROWS 1000u

static const char *const moods[] = {"good", "bad", "odd"};

/* ---- Folders --------------------------------------------------------------------------------- */

void store_dir_make(char out[STORE_DIR_MAX])
{
    const char *parent = getenv("TMPDIR");
    char dir[STORE_DIR_MAX];

    assert_true(snprintf(dir, sizeof dir, "%s/fm-store-XXXXXX", parent != NULL ? parent : "/tmp") <
                (int)sizeof dir - 8);
    assert_non_null(mkdtemp(dir));
    assert_true(snprintf(out, STORE_DIR_MAX, "%.*s/data", (int)sizeof dir - 8, dir) > 0);
    assert_int_equal(fm_core_init(NULL), FM_OK);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

void store_remove(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void store_dir_remove(const char *dir)
{
    char parent[STORE_DIR_MAX];
    char *slash;

    (void)snprintf(parent, sizeof parent, "%s", dir); /* The same size. */
    slash = strrchr(parent, '/');
    assert_non_null(slash);
    *slash = '\0';
    store_remove(parent);
}

void store_copy(const char *from, const char *to)
{
    char command[2 * STORE_DIR_MAX + 128];

    assert_true(snprintf(command, sizeof command, "cp -a -- '%s' '%s'", from, to) <
                (int)sizeof command);
    assert_int_equal(system(command), 0);
}

struct fm_store_options store_options(const char *dir)
{
    struct fm_store_options options = {
        .dir = dir, .cache_bytes = 1u << 20, .arena_bytes = 1, .free_bytes_min = 1};

    memset(options.mesh.bytes, 0x11, sizeof options.mesh.bytes);
    memset(options.node.bytes, 0x22, sizeof options.node.bytes);
    return options;
}

struct fm_store *store_open_good(const char *dir)
{
    struct fm_store_options options = store_options(dir);
    struct fm_store *store = NULL;
    struct fm_error err = {0};

    if (fm_store_open(&options, &store, &err) != FM_OK)
        fail_msg("the store does not open: %s", err.text);
    return store;
}

/* ---- The table ------------------------------------------------------------------------------- */

static void set_field(struct fm_field *field, uint32_t id, const char *name, const char *type)
{
    struct fm_error err = {0};

    field->id = id;
    (void)snprintf(field->name, sizeof field->name, "%s", name); /* Short names. */
    assert_int_equal(fm_type_parse(fm_span_str(type), &field->type, &err), FM_OK);
}

struct fm_schema *rows_schema(unsigned flags)
{
    struct fm_field fields[5] = {0};
    struct fm_schema schema = {
        .domain = "tests", .table = "rows", .version = 1, .field_count = 5, .fields = fields};
    struct fm_schema *copy = NULL;
    uint16_t id_at = 0;

    if ((flags & ROWS_V2) != 0) {
        schema.version = 2;
        set_field(&fields[0], 6, "extra", "varchar");
        set_field(&fields[1], 1, "id", "int64");
        set_field(&fields[2], 2, "name", "varchar");
        set_field(&fields[3], 3, "value", "int32");
        set_field(&fields[4], 5, "mood", "enum('good','bad','odd')");
        id_at = 1;
    } else {
        set_field(&fields[0], 1, "id", "int64");
        set_field(&fields[1], 2, "name", "varchar");
        set_field(&fields[2], 3, "value", "int32");
        set_field(&fields[3], 4, "score", "double");
        set_field(&fields[4], 5, "mood", "enum('good','bad','odd')");
    }
    fields[id_at].required = true;
    if ((flags & ROWS_KEYED) != 0) {
        schema.key_count = 1;
        schema.key[0] = id_at;
    }
    if ((flags & ROWS_CLUSTERED) != 0) {
        schema.cluster_count = 2;
        schema.cluster[0] = (uint16_t)(id_at + 1);
        schema.cluster[1] = (uint16_t)(id_at + 2);
    }
    if ((flags & ROWS_SECRET) != 0)
        fields[id_at + 1].classification = FM_CLASS_PERSONAL;
    assert_int_equal(fm_schema_copy(&schema, &copy), FM_OK);
    for (uint32_t i = 0; i < 5; i++)
        fm_type_deinit(&fields[i].type);
    return copy;
}

struct row row_make(uint64_t i)
{
    struct row row = {.id = (int64_t)i, .value = (int32_t)(i * 7 % 1000), .score = (double)i / 4};

    if (i % 11 != 3)
        (void)snprintf(row.name, sizeof row.name, "name-%03u", (unsigned)(i * 13 % 97));
    if (i % 17 == 5)
        row.value = INT32_MIN;
    if (i % 5 == 0)
        row.score = -1;
    row.mood = (uint8_t)(i % 4);
    return row;
}

struct row row_random(struct random *random, uint32_t id_bound)
{
    struct row row = row_make(random_below(random, 1u << 20));

    row.id = random_below(random, id_bound);
    return row;
}

static void put_row(struct fm_batch_builder *builder, uint32_t column, uint32_t field_id,
                    const struct row *row)
{
    enum fm_status status;

    switch (field_id) {
    case 1:
        status = fm_batch_put_fixed(builder, column, &row->id);
        break;
    case 2:
        status = row->name[0] == '\0' ? fm_batch_put_null(builder, column)
                                      : fm_batch_put_bytes(builder, column, fm_span_str(row->name));
        break;
    case 3:
        status = row->value == INT32_MIN ? fm_batch_put_null(builder, column)
                                         : fm_batch_put_fixed(builder, column, &row->value);
        break;
    case 4:
        status = row->score < 0 ? fm_batch_put_null(builder, column)
                                : fm_batch_put_fixed(builder, column, &row->score);
        break;
    case 5:
        status = row->mood > 2 ? fm_batch_put_null(builder, column)
                               : fm_batch_put_bytes(builder, column, fm_span_str(moods[row->mood]));
        break;
    default:
        status = fm_batch_put_bytes(builder, column, fm_span_str("extra"));
        break;
    }
    assert_int_equal(status, FM_OK);
}

struct row row_retract(int64_t id)
{
    return (struct row){.id = id, .value = INT32_MIN, .score = -1, .mood = 3};
}

static void put_event(struct fm_batch_builder *builder, uint32_t column, uint32_t extra,
                      const struct row_event *event)
{
    enum fm_status status = FM_OK;

    if (extra == FM_EXTRA_OP && event->operation != 0)
        status =
            fm_batch_put_bytes(builder, column, fm_span_str(fm_operation_text(event->operation)));
    else if (extra == FM_EXTRA_EVENT_TIME && event->has_time)
        status = fm_batch_put_fixed(builder, column, &event->time);
    else if (extra == FM_EXTRA_SUPERSEDES && event->has_superseded)
        status = fm_batch_put_fixed(builder, column, &event->superseded);
    else
        status = fm_batch_put_null(builder, column);
    assert_int_equal(status, FM_OK);
}

static void batch_events(const struct fm_schema *schema, const struct row *rows,
                         const struct row_event *events, uint32_t extras, uint32_t count,
                         bool encode, struct fm_buf *out)
{
    static const struct fm_type extra_types[] = {
        {.kind = FM_KIND_VARCHAR}, {.kind = FM_KIND_TIMESTAMPTZ}, {.kind = FM_KIND_UINT64}};
    const struct fm_type *types[8];
    uint32_t extra_bits[8] = {0};
    struct fm_batch_builder_options options = {.types = types, .column_count = 5, .encode = encode};
    struct fm_batch_builder *builder = NULL;

    for (uint32_t i = 0; i < 5; i++)
        types[i] = &schema->fields[i].type;
    for (uint32_t i = 0; i < 3; i++) {
        if ((extras >> i & 1) == 0)
            continue;
        extra_bits[options.column_count] = 1u << i;
        types[options.column_count++] = &extra_types[i];
    }
    assert_int_equal(fm_batch_builder_new(&options, &builder), FM_OK);
    for (uint32_t i = 0; i < 5; i++) {
        for (uint32_t row = 0; row < count; row++)
            put_row(builder, i, schema->fields[i].id, &rows[row]);
    }
    for (uint32_t i = 5; i < options.column_count; i++) {
        for (uint32_t row = 0; row < count; row++)
            put_event(builder, i, extra_bits[i], &events[row]);
    }
    assert_int_equal(fm_batch_builder_finish(builder, 0, out), FM_OK);
    fm_batch_builder_free(builder);
}

void rows_batch(const struct fm_schema *schema, const struct row *rows, uint32_t count, bool encode,
                struct fm_buf *out)
{
    batch_events(schema, rows, NULL, 0, count, encode, out);
}

enum fm_status rows_append_with(struct fm_store *store, const struct fm_schema *schema,
                                const struct row *rows, size_t count,
                                const struct fm_append_options *options, struct fm_appended *out,
                                struct fm_error *err)
{
    assert_int_equal(options->extras, 0);
    return rows_append_events(store, schema, rows, NULL, count, options, out, err);
}

enum fm_status rows_append_events(struct fm_store *store, const struct fm_schema *schema,
                                  const struct row *rows, const struct row_event *events,
                                  size_t count, const struct fm_append_options *options,
                                  struct fm_appended *out, struct fm_error *err)
{
    struct fm_append_options ours = *options;
    struct fm_append *append = NULL;
    bool done = false;
    enum fm_status status;

    ours.domain = schema->domain;
    ours.table = schema->table;
    ours.schema_version = schema->version;
    status = fm_append_begin(store, &ours, &append, &done, out, err);
    if (status != FM_OK || done)
        return status;
    for (size_t at = 0; status == FM_OK && at < count; at += CHUNK_ROWS) {
        uint32_t here = count - at < CHUNK_ROWS ? (uint32_t)(count - at) : CHUNK_ROWS;
        struct fm_buf bytes = FM_BUF_INIT(0);
        struct fm_batch batch;

        batch_events(schema, rows + at, events == NULL ? NULL : events + at, options->extras, here,
                     at % (2 * CHUNK_ROWS) == 0, &bytes);
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
        status = fm_append_rows(append, &batch, err);
        fm_buf_free(&bytes);
    }
    if (status == FM_OK)
        return fm_append_commit(append, out, err);
    fm_append_abort(append);
    return status;
}

void rows_append(struct fm_store *store, const struct fm_schema *schema, const struct row *rows,
                 size_t count, struct fm_appended *out)
{
    struct fm_append_options options = {0};
    struct fm_appended appended = {0};
    struct fm_error err = {0};

    if (rows_append_with(store, schema, rows, count, &options, &appended, &err) != FM_OK)
        fail_msg("append: %s", err.text);
    assert_int_equal(appended.rows, count);
    if (out != NULL)
        *out = appended;
}

/* ---- Reading --------------------------------------------------------------------------------- */

void row_list_free(struct row_list *list)
{
    free(list->rows);
    *list = (struct row_list){0};
}

static uint8_t mood_of(struct fm_span text)
{
    for (uint8_t i = 0; i < 3; i++) {
        if (fm_span_equal(text, fm_span_str(moods[i])))
            return i;
    }
    fail_msg("no such mood");
    return 3;
}

void rows_decode(const struct fm_batch *const batches[5], const uint32_t columns[5],
                 const struct fm_dictionary *const dictionaries[5], uint32_t row, struct row *out)
{
    const struct fm_vector_entry *vectors[5];
    struct fm_span text;

    *out = (struct row){.value = INT32_MIN, .score = -1, .mood = 3};
    for (uint32_t i = 0; i < 5; i++)
        vectors[i] = &batches[i]->vectors[columns[i]];
    assert_false(fm_vector_is_null(batches[0], vectors[0], row));
    fm_vector_fixed(batches[0], vectors[0], row, &out->id);
    if (!fm_vector_is_null(batches[1], vectors[1], row)) {
        text = fm_vector_bytes(batches[1], vectors[1], dictionaries[1], row);
        assert_true(text.len > 0 && text.len < sizeof out->name);
        memcpy(out->name, text.data, text.len);
    }
    if (!fm_vector_is_null(batches[2], vectors[2], row))
        fm_vector_fixed(batches[2], vectors[2], row, &out->value);
    if (!fm_vector_is_null(batches[3], vectors[3], row))
        fm_vector_fixed(batches[3], vectors[3], row, &out->score);
    if (!fm_vector_is_null(batches[4], vectors[4], row))
        out->mood = mood_of(fm_vector_bytes(batches[4], vectors[4], dictionaries[4], row));
}

static void take_batch(const struct fm_buf *bytes, const struct fm_columns *columns,
                       struct row_list *out)
{
    const struct fm_type *types[5];
    const struct fm_dictionary *dictionaries[5];
    const struct fm_batch *batches[5];
    static const uint32_t positions[5] = {0, 1, 2, 3, 4};
    struct fm_batch batch;

    for (uint32_t i = 0; i < 5; i++) {
        types[i] = &columns->items[i].type;
        dictionaries[i] =
            columns->items[i].dictionary.count > 0 ? &columns->items[i].dictionary : NULL;
        batches[i] = &batch;
    }
    assert_int_equal(fm_batch_view(fm_buf_span(bytes), types, 5, dictionaries, &batch), FM_OK);
    assert_true(batch.rows > 0);
    if (out->count + batch.rows > out->capacity) {
        out->capacity = 2 * (out->count + batch.rows);
        out->rows = realloc(out->rows, out->capacity * sizeof *out->rows);
        assert_non_null(out->rows);
    }
    for (uint32_t row = 0; row < batch.rows; row++)
        rows_decode(batches, positions, dictionaries, row, &out->rows[out->count++]);
    out->batches++;
}

enum fm_status rows_drain(struct fm_snapshot *snapshot, struct fm_scan *scan, struct row_list *out,
                          struct fm_error *err)
{
    struct fm_columns columns = {0};
    struct fm_buf bytes = FM_BUF_INIT(0);
    enum fm_status status = fm_snapshot_columns(snapshot, "tests", "rows", &columns);

    while (status == FM_OK) {
        fm_buf_clear(&bytes);
        status = fm_scan_next(scan, &bytes, err);
        if (status == FM_OK)
            take_batch(&bytes, &columns, out);
    }
    fm_buf_free(&bytes);
    fm_columns_deinit(&columns);
    return status == FM_NOTFOUND ? FM_OK : status;
}

enum fm_status rows_scan(struct fm_snapshot *snapshot, const struct fm_scan_options *extra,
                         struct row_list *out, struct fm_error *err)
{
    static const uint32_t fields[5] = {0, 1, 2, 3, 4};
    struct fm_scan_options options = {0};
    struct fm_scan *scan = NULL;
    enum fm_status status;

    *out = (struct row_list){0};
    if (extra != NULL)
        options = *extra;
    options.domain = "tests";
    options.table = "rows";
    options.field_count = 5;
    options.fields = fields;
    status = fm_scan_open(snapshot, &options, &scan, err);
    if (status == FM_OK)
        status = rows_drain(snapshot, scan, out, err);
    fm_scan_free(scan);
    return status;
}

void rows_read(struct fm_store *store, struct row_list *out)
{
    struct fm_snapshot *snapshot = NULL;
    struct fm_error err = {0};

    assert_int_equal(fm_snapshot_open(store, &snapshot, &err), FM_OK);
    if (rows_scan(snapshot, NULL, out, &err) != FM_OK)
        fail_msg("scan: %s", err.text);
    fm_snapshot_free(snapshot);
}

enum fm_status row_get(struct fm_snapshot *snapshot, int64_t id, struct row *out,
                       uint64_t *sequence, struct fm_error *err)
{
    static const uint32_t positions[5] = {0, 1, 2, 3, 4};
    static const struct fm_dictionary *const dictionaries[5];
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_batch batch;
    const struct fm_batch *batches[5] = {&batch, &batch, &batch, &batch, &batch};
    uint8_t key[8];
    enum fm_status status;

    fm_store64(key, (uint64_t)id);
    status = fm_snapshot_get(snapshot, "tests", "rows", fm_span(key, sizeof key), &bytes, err);
    if (status == FM_OK) {
        assert_int_equal(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), FM_OK);
        assert_int_equal(batch.rows, 1);
        assert_int_equal(batch.column_count, 5);
        rows_decode(batches, positions, dictionaries, 0, out);
        *sequence = batch.first_row;
    }
    fm_buf_free(&bytes);
    return status;
}

void rows_assert_equal(const struct row *a, const struct row *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].id != b[i].id || strcmp(a[i].name, b[i].name) != 0 || a[i].value != b[i].value ||
            a[i].mood != b[i].mood || (a[i].score < 0) != (b[i].score < 0) ||
            (a[i].score >= 0 && memcmp(&a[i].score, &b[i].score, sizeof a[i].score) != 0))
            fail_msg("row %zu: id %lld name %s value %d, expected id %lld name %s value %d", i,
                     (long long)a[i].id, a[i].name, a[i].value, (long long)b[i].id, b[i].name,
                     b[i].value);
    }
}

struct fm_table_info rows_info(struct fm_store *store)
{
    struct fm_table_info info = {0};

    assert_int_equal(fm_store_table(store, "tests", "rows", &info), FM_OK);
    return info;
}

uint64_t mapping_rows(const struct fm_store_mapping *mapping)
{
    uint64_t words[FM_SEGMENT_ROWS / 64];
    uint64_t rows = 0;

    for (uint32_t i = 0; i < mapping->segment_count; i++) {
        const struct fm_store_mapped_segment *segment = &mapping->segments[i];
        size_t bytes = fm_bits_words(segment->rows) * 8;

        if (!segment->has_selection) {
            rows += segment->rows;
            continue;
        }
        assert_int_equal(pread(mapping->fds[segment->selection.arena], words, bytes,
                               (off_t)segment->selection.offset),
                         bytes);
        rows += fm_bits_count(words, 0, segment->rows);
    }
    return rows;
}

void store_let_work(struct random *random, int pipe_fd)
{
    struct pollfd told = {.fd = pipe_fd, .events = POLLIN};
    long milliseconds = 20 + (long)random_below(random, 230);

    if (random_below(random, 2) == 0)
        assert_int_equal(poll(&told, 1, 60000), 1);
    /* Sooner is fine too. */
    (void)nanosleep(&(struct timespec){.tv_nsec = milliseconds * 1000000}, NULL);
}
