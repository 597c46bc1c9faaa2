#include "tests/support/golden_store.h"

#include "core/assert.h"
#include "core/history.h"
#include "core/keys.h"
#include "tests/support/random_value.h"

#include <inttypes.h>
#include <stdlib.h>

#define CHUNK_ROWS 1000u
#define WORD_MAX 80u

/* ---- Failures -------------------------------------------------------------------------------- */

static void expect_ok(enum fm_status status, const char *what, const struct fm_error *err)
{
    if (status == FM_OK)
        return;
    (void)fprintf(stderr, "%s: %s: %s\n", what, fm_status_text(status),
                  err != NULL ? err->text : "");
    abort();
}

struct fm_store *golden_open(const char *dir)
{
    struct fm_store_options options = {.dir = dir, .cache_bytes = 1u << 20, .free_bytes_min = 1};
    struct fm_store *store = NULL;
    struct fm_error err = {0};

    expect_ok(fm_core_init(&err), "init", &err);
    memset(options.mesh.bytes, 0x51, sizeof options.mesh.bytes);
    memset(options.node.bytes, 0x52, sizeof options.node.bytes);
    expect_ok(fm_store_open(&options, &store, &err), dir, &err);
    return store;
}

static void take_table(struct fm_store *store, const char *domain, const char *table,
                       struct fm_table_info *out)
{
    expect_ok(fm_store_table(store, domain, table, out), table, NULL);
}

static void put_hash(char *out, size_t size, const struct fm_hash *hash)
{
    char hex[65];

    fm_hex(hash, sizeof *hash, hex);
    (void)snprintf(out, size, "%s", hex); /* Fits. */
}

/* ---- Rows that go in ------------------------------------------------------------------------- */

/* Keys come again; the other values have shapes that take little room. */
static void put_value(struct random *random, const struct fm_schema *schema, uint32_t position,
                      struct fm_batch_builder *builder)
{
    static const enum random_shape shapes[] = {SHAPE_FEW, SHAPE_STEPS, SHAPE_SAME, SHAPE_MINUTES};
    const struct fm_field *field = &schema->fields[position];
    struct fm_buf value = FM_BUF_INIT(0);
    struct fm_cursor cursor;

    if (!field->required && random_below(random, 9) == 0) {
        expect_ok(fm_batch_put_null(builder, position), field->name, NULL);
        return;
    }
    if (field->required)
        fm_buf_put_u64(&value, random_below(random, 4000));
    else
        random_value(random, &field->type, shapes[(field->id + random_below(random, 50) / 49) % 4],
                     &value);
    cursor = fm_cursor(fm_buf_span(&value));
    expect_ok(fm_batch_put_canonical(builder, position, &cursor), field->name, NULL);
    fm_buf_free(&value);
}

static void put_rows(struct fm_append *append, const struct fm_schema *schema, uint32_t count,
                     struct random *random)
{
    const struct fm_type **types = calloc(schema->field_count, sizeof(const struct fm_type *));
    struct fm_batch_builder_options options = {
        .types = types, .column_count = schema->field_count, .encode = true};
    struct fm_batch_builder *builder = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_error err = {0};
    struct fm_batch batch;

    fm_assert(types != NULL);
    for (uint32_t i = 0; i < schema->field_count; i++)
        types[i] = &schema->fields[i].type;
    expect_ok(fm_batch_builder_new(&options, &builder), "builder", NULL);
    for (uint32_t i = 0; i < schema->field_count; i++) {
        for (uint32_t row = 0; row < count; row++)
            put_value(random, schema, i, builder);
    }
    expect_ok(fm_batch_builder_finish(builder, 0, &bytes), "batch", NULL);
    expect_ok(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), "batch", NULL);
    expect_ok(fm_append_rows(append, &batch, &err), schema->table, &err);
    fm_batch_builder_free(builder);
    fm_buf_free(&bytes);
    free(types);
}

void golden_append(struct fm_store *store, const char *table, uint32_t count, uint64_t seed,
                   uint64_t producer, struct fm_appended *out)
{
    struct random random = {.state = seed * 2 + 1};
    struct fm_append_options options = {.domain = GOLDEN_DOMAIN, .table = table};
    struct fm_append *append = NULL;
    struct fm_table_info info;
    struct fm_error err = {0};
    bool done = false;

    take_table(store, GOLDEN_DOMAIN, table, &info);
    options.schema_version = info.schema->version;
    options.has_producer = options.has_trace = producer != 0;
    options.producer_sequence = producer;
    memset(options.producer_id, 0x53, sizeof options.producer_id);
    memset(options.trace_id, 0x54, sizeof options.trace_id);
    expect_ok(fm_append_begin(store, &options, &append, &done, out, &err), table, &err);
    fm_assert(!done);
    for (uint32_t at = 0; at < count; at += CHUNK_ROWS)
        put_rows(append, info.schema, count - at < CHUNK_ROWS ? count - at : CHUNK_ROWS, &random);
    expect_ok(fm_append_commit(append, out, &err), table, &err);
    fm_schema_free(info.schema);
}

/* ---- Questions ------------------------------------------------------------------------------- */

struct question {
    uint32_t count;
    char words[6][WORD_MAX];
};

static void ask(struct question *out, const char *text)
{
    *out = (struct question){0};
    for (int used = 0; out->count < 6; text += used) {
        if (sscanf(text, "%79s%n", out->words[out->count], &used) != 1)
            break;
        out->count++;
    }
    fm_assert(out->count >= 2);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct fm_hash));
}

/* A row's hash: of field ids and canonical values, NULLs left out. */
static void hash_rows(const struct fm_batch *batch, const struct fm_schema *schema,
                      const struct fm_columns *columns, struct fm_buf *hashes)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_hash hash;

    for (uint32_t row = 0; row < batch->rows; row++) {
        fm_buf_clear(&bytes);
        for (uint32_t i = 0; i < schema->field_count; i++) {
            const struct fm_dictionary *dictionary = &columns->items[i].dictionary;

            if (fm_vector_is_null(batch, &batch->vectors[i], row))
                continue;
            fm_buf_put_u32(&bytes, schema->fields[i].id);
            expect_ok(fm_vector_canonical(batch, &batch->vectors[i], &schema->fields[i].type,
                                          dictionary->count > 0 ? dictionary : NULL, row, &bytes),
                      "canonical", NULL);
        }
        fm_sha256_one(&hash, fm_buf_span(&bytes));
        fm_buf_put(hashes, &hash, sizeof hash);
    }
    expect_ok(fm_buf_status(hashes), "hashes", NULL);
    fm_buf_free(&bytes);
}

static void scan_rows(struct fm_snapshot *snapshot, const struct fm_scan_options *options,
                      const struct fm_schema *schema, struct fm_buf *hashes)
{
    struct fm_columns columns = {0};
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_scan *scan = NULL;
    struct fm_error err = {0};
    enum fm_status status =
        fm_snapshot_columns(snapshot, options->domain, options->table, &columns);

    expect_ok(status, "columns", NULL);
    expect_ok(fm_scan_open(snapshot, options, &scan, &err), "scan", &err);
    while ((status = fm_scan_next(scan, &bytes, &err)) == FM_OK) {
        struct fm_batch batch;

        expect_ok(fm_batch_view_trusted(fm_buf_span(&bytes), &batch), "batch", NULL);
        hash_rows(&batch, schema, &columns, hashes);
        fm_buf_clear(&bytes);
    }
    expect_ok(status == FM_NOTFOUND ? FM_OK : status, "scan", &err);
    fm_scan_free(scan);
    fm_columns_deinit(&columns);
    fm_buf_free(&bytes);
}

static void answer_rows(struct fm_snapshot *snapshot, const struct question *q, char *out)
{
    struct fm_scan_options options = {.domain = q->words[1], .table = q->words[2]};
    struct fm_buf hashes = FM_BUF_INIT(0);
    uint32_t fields[64];
    struct fm_table_info info;
    struct fm_hash hash;
    char hex[65];

    expect_ok(fm_snapshot_table(snapshot, q->words[1], q->words[2], &info), "table", NULL);
    options.fields = fields;
    fm_assert(info.schema->field_count <= 64);
    for (uint32_t i = 0; i < info.schema->field_count; i++)
        fields[options.field_count++] = i;
    if (strcmp(q->words[3], "version") == 0)
        options.at.kind = FM_AT_VERSION;
    else if (strcmp(q->words[3], "timestamp") == 0)
        options.at.kind = FM_AT_TIMESTAMP;
    if (q->count > 4)
        options.at.value = strtoll(q->words[4], NULL, 10);
    scan_rows(snapshot, &options, info.schema, &hashes);
    if (hashes.len > 0)
        qsort(hashes.data, hashes.len / sizeof hash, sizeof hash, by_bytes);
    fm_sha256_one(&hash, fm_buf_span(&hashes));
    put_hash(hex, sizeof hex, &hash);
    (void)snprintf(out, GOLDEN_LINE_MAX, "%zu %s", hashes.len / sizeof hash, hex); /* Fits. */
    fm_schema_free(info.schema);
    fm_buf_free(&hashes);
}

static void answer_table(struct fm_snapshot *snapshot, const struct question *q, char *out)
{
    struct fm_table_info info;
    char hex[65];

    expect_ok(fm_snapshot_table(snapshot, q->words[1], q->words[2], &info), "table", NULL);
    put_hash(hex, sizeof hex, &info.root);
    (void)snprintf(out, GOLDEN_LINE_MAX, "%" PRIu32 " %" PRIu64 " %s %" PRId64 " %" PRIu64,
                   info.epoch, info.size, hex, (int64_t)info.recorded_at, info.rows_latest);
    fm_schema_free(info.schema);
}

static void answer_leaf(struct fm_snapshot *snapshot, const struct question *q, char *out)
{
    struct fm_buf leaf = FM_BUF_INIT(0);
    struct fm_error err = {0};
    struct fm_hash hash;

    expect_ok(fm_snapshot_leaf(snapshot, q->words[1], q->words[2], strtoull(q->words[3], NULL, 10),
                               &leaf, &err),
              "leaf", &err);
    fm_sha256_one(&hash, fm_buf_span(&leaf));
    put_hash(out, GOLDEN_LINE_MAX, &hash);
    fm_buf_free(&leaf);
}

static void answer_repeat(struct fm_store *store, const struct question *q, char *out)
{
    struct fm_append_options options = {
        .domain = q->words[1],
        .table = q->words[2],
        .schema_version = (uint32_t)strtoul(q->words[3], NULL, 10),
        .has_producer = true,
        .producer_sequence = strtoull(q->words[5], NULL, 10),
    };
    struct fm_append *append = NULL;
    struct fm_appended first = {0};
    struct fm_error err = {0};
    bool done = false;
    char hex[65];

    expect_ok(fm_unhex(q->words[4], options.producer_id, sizeof options.producer_id), "id", NULL);
    expect_ok(fm_append_begin(store, &options, &append, &done, &first, &err), "repeat", &err);
    fm_append_abort(append);
    put_hash(hex, sizeof hex, &first.root);
    (void)snprintf(out, GOLDEN_LINE_MAX, "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %s %" PRId64, done,
                   first.first_sequence, first.rows, first.size, hex, (int64_t)first.recorded_at);
}

static void answer_record(struct fm_store *store, const struct question *q, char *out)
{
    struct fm_buf value = FM_BUF_INIT(0);

    expect_ok(fm_store_get_record(store, fm_span_str(q->words[1]), &value), q->words[1], NULL);
    fm_assert(value.len < GOLDEN_LINE_MAX / 2);
    fm_hex(value.data, value.len, out);
    fm_buf_free(&value);
}

/* The log of so many facts had this root: facts are in it, and today's log begins with it. */
static void check_head(struct fm_snapshot *snapshot, const struct question *q, const char *answer)
{
    uint64_t size = strtoull(q->words[3], NULL, 10);
    struct fm_table_info info;
    struct fm_error err = {0};
    struct fm_proof proof;
    struct fm_hash root;

    expect_ok(fm_unhex(answer, &root, sizeof root), answer, NULL);
    expect_ok(fm_snapshot_table(snapshot, q->words[1], q->words[2], &info), "table", NULL);
    expect_ok(
        fm_snapshot_consistency(snapshot, q->words[1], q->words[2], size, info.size, &proof, &err),
        "consistency", &err);
    expect_ok(fm_proof_check_consistency(&proof, size, &root, info.size, &info.root), "consistency",
              NULL);
    for (uint64_t i = 0; i < 7 && size > 0; i++) {
        uint64_t sequence = i * (size - 1) / 6;
        struct fm_buf leaf = FM_BUF_INIT(0);
        struct fm_hash hash;

        expect_ok(fm_snapshot_leaf(snapshot, q->words[1], q->words[2], sequence, &leaf, &err),
                  "leaf", &err);
        fm_leaf_hash(&hash, fm_buf_span(&leaf));
        expect_ok(
            fm_snapshot_inclusion(snapshot, q->words[1], q->words[2], sequence, size, &proof, &err),
            "inclusion", &err);
        expect_ok(fm_proof_check_inclusion(&proof, &hash, sequence, size, &root), "inclusion",
                  NULL);
        fm_buf_free(&leaf);
    }
    fm_schema_free(info.schema);
}

static void give(struct fm_store *store, const char *text, char out[GOLDEN_LINE_MAX])
{
    struct fm_snapshot *snapshot = NULL;
    struct question q;

    ask(&q, text);
    expect_ok(fm_snapshot_open(store, &snapshot, NULL), "snapshot", NULL);
    if (strcmp(q.words[0], "table") == 0)
        answer_table(snapshot, &q, out);
    else if (strcmp(q.words[0], "rows") == 0)
        answer_rows(snapshot, &q, out);
    else if (strcmp(q.words[0], "leaf") == 0)
        answer_leaf(snapshot, &q, out);
    else if (strcmp(q.words[0], "repeat") == 0)
        answer_repeat(store, &q, out);
    else if (strcmp(q.words[0], "record") == 0)
        answer_record(store, &q, out);
    else
        fm_assert(false); /* No known question. */
    fm_snapshot_free(snapshot);
}

static void check_line(struct fm_store *store, const char *text, const char *expected)
{
    struct fm_snapshot *snapshot = NULL;
    char answer[GOLDEN_LINE_MAX];
    struct question q;

    ask(&q, text);
    if (strcmp(q.words[0], "head") == 0) {
        expect_ok(fm_snapshot_open(store, &snapshot, NULL), "snapshot", NULL);
        check_head(snapshot, &q, expected);
        fm_snapshot_free(snapshot);
        return;
    }
    give(store, text, answer);
    if (strcmp(answer, expected) == 0)
        return;
    (void)fprintf(stderr, "%s: %s, expected %s\n", text, answer, expected);
    abort();
}

uint32_t golden_check(struct fm_store *store, FILE *lines, bool has_grown)
{
    char line[2 * GOLDEN_LINE_MAX];
    uint32_t asked = 0;

    rewind(lines);
    while (fgets(line, sizeof line, lines) != NULL) {
        char *answer = strstr(line, " = ");
        bool is_latest = strncmp(line, "table ", 6) == 0 || strncmp(line, "repeat ", 7) == 0 ||
                         strstr(line, " latest ") != NULL;

        if (line[0] == '#' || line[0] == '\n')
            continue;
        fm_assert(answer != NULL);
        *answer = '\0';
        answer += 3;
        answer[strcspn(answer, "\n")] = '\0';
        if (has_grown && is_latest)
            continue;
        check_line(store, line, answer);
        asked++;
    }
    return asked;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static void say(FILE *lines, struct fm_store *store, const char *question)
{
    char answer[GOLDEN_LINE_MAX];

    give(store, question, answer);
    fm_assert(fprintf(lines, "%s = %s\n", question, answer) > 0);
}

static void set_field(struct fm_field *field, uint32_t id, const char *name, const char *type)
{
    struct fm_error err = {0};

    field->id = id;
    (void)snprintf(field->name, sizeof field->name, "%s", name); /* Short names. */
    expect_ok(fm_type_parse(fm_span_str(type), &field->type, &err), type, &err);
}

static void define(struct fm_store *store, struct fm_schema *schema, const char *table)
{
    struct fm_error err = {0};

    (void)snprintf(schema->domain, sizeof schema->domain, GOLDEN_DOMAIN);
    (void)snprintf(schema->table, sizeof schema->table, "%s", table);
    expect_ok(fm_store_define(store, schema, 3, &err), table, &err);
    for (uint32_t i = 0; i < schema->field_count; i++)
        fm_type_deinit(&schema->fields[i].type);
}

static void define_types(struct fm_store *store)
{
    struct fm_field fields[RANDOM_TYPES] = {0};
    struct fm_schema schema = {.version = 1, .field_count = RANDOM_TYPES, .fields = fields};

    for (uint32_t i = 0; i < RANDOM_TYPES; i++) {
        char name[16];

        (void)snprintf(name, sizeof name, "f%" PRIu32, i + 1);
        set_field(&fields[i], i + 1, name, random_types[i]);
    }
    define(store, &schema, "types");
}

/* Version 2 has a field more, before the others. */
static void define_keyed(struct fm_store *store, const char *table, uint32_t version, bool secret)
{
    struct fm_field fields[4] = {0};
    struct fm_schema schema = {.version = version, .fields = fields, .key_count = 1};

    if (version == 2)
        set_field(&fields[schema.field_count++], 4, "extra", "varchar");
    schema.key[0] = (uint16_t)schema.field_count;
    set_field(&fields[schema.field_count], 1, "id", "int64");
    fields[schema.field_count++].required = true;
    set_field(&fields[schema.field_count], 2, "name", "varchar");
    fields[schema.field_count++].classification = secret ? FM_CLASS_PERSONAL : FM_CLASS_OPEN;
    set_field(&fields[schema.field_count++], 3, "value", "int32");
    define(store, &schema, table);
}

static void define_history(struct fm_store *store)
{
    struct fm_field fields[1] = {0};
    struct fm_schema schema = {.version = 1, .field_count = 1, .fields = fields};

    set_field(&fields[0], 1, "value", "int32");
    define(store, &schema, "history");
}

static void define_clustered(struct fm_store *store, const char *table)
{
    struct fm_field fields[2] = {0};
    struct fm_schema schema = {
        .version = 1, .field_count = 2, .fields = fields, .cluster_count = 1, .cluster = {1}};

    set_field(&fields[0], 1, "mood", "enum('good','bad','odd')");
    set_field(&fields[1], 2, "name", "varchar");
    define(store, &schema, table);
}

/* What is asked about an append. */
static void say_append(struct fm_store *store, FILE *lines, const char *table,
                       const struct fm_appended *appended, bool all)
{
    const struct fm_appended out = *appended;
    char hex[65], question[GOLDEN_LINE_MAX];

    put_hash(hex, sizeof hex, &out.root);
    (void)fprintf(lines, "head " GOLDEN_DOMAIN " %s %" PRIu64 " = %s\n", table, out.size, hex);
    if (!all)
        return;
    (void)snprintf(question, sizeof question, "rows " GOLDEN_DOMAIN " %s version %" PRIu64, table,
                   out.size - 5);
    say(lines, store, question);
    (void)snprintf(question, sizeof question, "rows " GOLDEN_DOMAIN " %s timestamp %" PRId64, table,
                   (int64_t)out.recorded_at - 2);
    say(lines, store, question);
    (void)snprintf(question, sizeof question, "leaf " GOLDEN_DOMAIN " %s %" PRIu64, table,
                   out.first_sequence + 1);
    say(lines, store, question);
    (void)snprintf(question, sizeof question, "leaf " GOLDEN_DOMAIN " %s %" PRIu64, table,
                   out.size - 1);
    say(lines, store, question);
}

static void append(struct fm_store *store, FILE *lines, const char *table, uint32_t count,
                   uint64_t producer)
{
    struct fm_appended out;

    golden_append(store, table, count, count + producer * 1000, producer, &out);
    say_append(store, lines, table, &out, producer != 0 && out.rows >= 10);
}

/* Every third fact takes the fifth before it back, or corrects it. */
static void put_fact(struct fm_batch_builder *builder, uint64_t sequence)
{
    bool has_operation = sequence >= 5 && sequence % 3 == 2;
    const char *operation = sequence % 2 == 0 ? "retract" : "correct";
    int64_t event_time = INT64_C(1700000000000000) + (int64_t)(sequence / 2);
    int32_t value = (int32_t)(sequence % 50);
    uint64_t named = sequence - 5;

    expect_ok(fm_batch_put_fixed(builder, 0, &value), "value", NULL);
    expect_ok(has_operation ? fm_batch_put_bytes(builder, 1, fm_span_str(operation))
                            : fm_batch_put_null(builder, 1),
              "operation", NULL);
    expect_ok(fm_batch_put_fixed(builder, 2, &event_time), "event time", NULL);
    expect_ok(has_operation ? fm_batch_put_fixed(builder, 3, &named)
                            : fm_batch_put_null(builder, 3),
              "named", NULL);
}

static void append_history(struct fm_store *store, FILE *lines, uint64_t first, uint32_t count)
{
    struct fm_append_options options = {
        .domain = GOLDEN_DOMAIN, .table = "history", .schema_version = 1, .extras = FM_EXTRA_ALL};
    const struct fm_type *types[1 + FM_EXTRA_COLUMNS_MAX];
    struct fm_batch_builder_options how = {
        .types = types, .column_count = 1 + FM_EXTRA_COLUMNS_MAX, .encode = true};
    struct fm_batch_builder *builder = NULL;
    struct fm_append *append = NULL;
    struct fm_buf bytes = FM_BUF_INIT(0);
    struct fm_schema *with = NULL;
    struct fm_table_info info;
    struct fm_appended out;
    struct fm_error err = {0};
    struct fm_batch batch;
    bool done = false;

    take_table(store, GOLDEN_DOMAIN, "history", &info);
    expect_ok(fm_schema_with_extras(info.schema, FM_EXTRA_ALL, &with, &err), "extras", &err);
    for (uint32_t i = 0; i < with->field_count; i++)
        types[i] = &with->fields[i].type;
    expect_ok(fm_batch_builder_new(&how, &builder), "builder", NULL);
    for (uint64_t sequence = first; sequence < first + count; sequence++)
        put_fact(builder, sequence);
    expect_ok(fm_batch_builder_finish(builder, 0, &bytes), "batch", NULL);
    expect_ok(fm_batch_view(fm_buf_span(&bytes), NULL, 0, NULL, &batch), "batch", NULL);
    expect_ok(fm_append_begin(store, &options, &append, &done, &out, &err), "history", &err);
    expect_ok(fm_append_rows(append, &batch, &err), "history", &err);
    expect_ok(fm_append_commit(append, &out, &err), "history", &err);
    fm_assert(out.first_sequence == first);
    say_append(store, lines, "history", &out, true);
    fm_batch_builder_free(builder);
    fm_buf_free(&bytes);
    fm_schema_free(with);
    fm_schema_free(info.schema);
}

static void seal(struct fm_store *store, const char *table)
{
    struct fm_error err = {0};

    expect_ok(fm_store_seal(store, GOLDEN_DOMAIN, table, NULL, &err), table, &err);
}

/* What will be in table files. */
static void make_first(struct fm_store *store, FILE *lines)
{
    struct fm_error err = {0};

    define_types(store);
    define_keyed(store, "keyed", 1, false);
    define_keyed(store, "secret", 1, true);
    define_keyed(store, "small", 1, false);
    define_clustered(store, "clustered");
    define_clustered(store, "sorted");
    define_history(store);
    define_keyed(store, "bare", 1, false);
    expect_ok(fm_store_put_record(store, fm_span_str("first"), fm_span_str("a record"), &err),
              "record", &err);
    append(store, lines, "types", 40, 1);
    append(store, lines, "types", 2100, 2);
    append(store, lines, "keyed", 300, 1);
    append(store, lines, "keyed", 3000, 2);
    append(store, lines, "secret", 20, 0);
    append(store, lines, "secret", 2050, 1);
    append(store, lines, "clustered", 130000, 1);
    for (uint32_t i = 0; i < 40; i++)
        append(store, lines, "small", 1 + i % 3, i + 1);
    for (uint32_t i = 0; i < 20; i++)
        append(store, lines, "sorted", 1 + i * 3, i + 1);
    append_history(store, lines, 0, 40);
    append_history(store, lines, 40, 2200);
    append_history(store, lines, 2240, 50);
    seal(store, "sorted"); /* Rows in another order than facts. */
    seal(store, "history");
    seal(store, "small");
    seal(store, "keyed");
}

/* What stays in RocksDB's log. */
static void make_second(struct fm_store *store, FILE *lines)
{
    struct fm_error err = {0};

    define_keyed(store, "keyed", 2, false);
    append(store, lines, "keyed", 60, 3);
    append(store, lines, "types", 30, 3);
    append(store, lines, "secret", 10, 2);
    append(store, lines, "clustered", 50, 2);
    append(store, lines, "small", 20, 41);
    append(store, lines, "small", 10, 42);
    append(store, lines, "sorted", 30, 21);
    append_history(store, lines, 2290, 20);
    seal(store, "secret");
    expect_ok(fm_store_put_record(store, fm_span_str("second"), fm_span_str("another"), &err),
              "record", &err);
}

void golden_make(const char *dir, FILE *lines)
{
    static const char *const tables[] = {"types",     "keyed", "secret", "small",
                                         "clustered", "bare",  "sorted", "history"};
    struct fm_store *store = golden_open(dir);
    char question[GOLDEN_LINE_MAX];

    make_first(store, lines);
    fm_store_close(store);
    store = golden_open(dir); /* Makes table files of the log. */
    make_second(store, lines);
    for (uint32_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        (void)snprintf(question, sizeof question, "table " GOLDEN_DOMAIN " %s", tables[i]);
        say(lines, store, question);
        (void)snprintf(question, sizeof question, "rows " GOLDEN_DOMAIN " %s latest 0", tables[i]);
        say(lines, store, question);
    }
    say(lines, store, "repeat " GOLDEN_DOMAIN " keyed 2 53535353535353535353535353535353 3");
    say(lines, store, "repeat " GOLDEN_DOMAIN " small 1 53535353535353535353535353535353 42");
    say(lines, store, "record first");
    say(lines, store, "record second");
    fm_store_close(store);
}
