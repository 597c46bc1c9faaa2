/* One table under inspection: its facts are read back, encoded as leaves and hashed anew. */
#include "storage/check_parts.h"

#include "core/assert.h"
#include "storage/dropped.h"
#include "storage/key_index.h"
#include "storage/order.h"
#include "storage/subtrees.h"

#include <stdio.h>
#include <stdlib.h>

#define FINDINGS_MAX 10u /* Of rows and hashes, said one by one; then they are only counted. */

struct table_check {
    struct check *check;
    struct table_state *state;
    char part[2 * FM_NAME_MAX + 2]; /* "domain.table". */
    bool is_complete;               /* Every fact so far was read. */
    struct fm_tree tree;            /* Of those. */
    const struct fm_schema *schema; /* Of the encoder. */
    struct fm_leaf_encoder *leaves;
    uint8_t hashes[FM_BLOCK_ROWS * FM_HASH_BYTES];
    struct fm_buf scratch;
    struct fm_buf value;
    uint64_t latest;                /* Rows that are the latest of their key. */
    struct superseded_edit *marked; /* By what facts say; NULL: none. */
    uint64_t hot_rows;
    uint64_t stored_bytes;
    uint64_t damage_before; /* Damage found before this table. */
    uint32_t findings;
    enum fm_status hash_status; /* FM_NOMEM: kept hashes could not be compared. */
};

static void table_check_deinit(struct table_check *t)
{
    fm_leaf_encoder_free(t->leaves);
    superseded_edit_free(t->marked);
    fm_buf_free(&t->scratch);
    fm_buf_free(&t->value);
}

static unsigned long long number(uint64_t value)
{
    return value;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

/* Where the index says that the latest row of this key is, of those that count. */
static enum fm_status find_key(struct table_check *t, struct fm_span canonical, uint64_t *out)
{
    struct key key = key_index(t->state->table->id, canonical);
    struct index_value entry = {0};
    enum fm_status status;

    fm_buf_clear(&t->value);
    status = rocks_get(t->check->store->rocks, NULL, ROCKS_KEYS, key_span(&key), &t->value,
                       &t->check->err);
    if (status == FM_OK)
        status = index_decode(fm_buf_span(&t->value), &entry);
    if (status != FM_OK)
        return status;
    /* An append that never committed put the entry there: it will be undone. */
    *out = entry.sequence < t->state->tree.size ? entry.sequence : entry.previous;
    return *out < t->state->tree.size ? FM_OK : FM_NOTFOUND;
}

static enum fm_status check_key(struct table_check *t, const struct fm_schema *schema,
                                const struct fm_batch *batch, uint32_t row, uint64_t sequence,
                                bool is_retract)
{
    bool is_superseded = superseded_has(t->state->superseded, sequence);
    const char *is = is_superseded ? "superseded" : "the latest of its key";
    uint64_t latest = 0;
    enum fm_status status;

    fm_buf_clear(&t->scratch);
    status = key_of_row(schema, batch, row, &t->scratch);
    if (status == FM_OK)
        status = find_key(t, fm_buf_span(&t->scratch), &latest);
    t->latest += status == FM_OK && latest == sequence;
    if (status == FM_NOMEM ||
        (status == FM_OK && (is_superseded ? latest > sequence || (is_retract && latest == sequence)
                                           : latest == sequence && !is_retract)))
        return status;
    if (t->findings++ >= FINDINGS_MAX)
        t->check->result.damage_count++;
    else if (status == FM_OK)
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "fact %llu is marked as %s, the key index says that the latest is fact %llu",
                     number(sequence), is, number(latest));
    else if (status == FM_NOTFOUND)
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "fact %llu is marked as %s, the key index does not have its key",
                     number(sequence), is);
    else
        return check_failed(t->check, status, t->part);
    t->check->err = (struct fm_error){0};
    return FM_OK;
}

static enum fm_status report_mark(struct table_check *t, uint64_t sequence, uint64_t by)
{
    if (t->findings++ >= FINDINGS_MAX)
        t->check->result.damage_count++;
    else
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "fact %llu is not marked as superseded, which it is by fact %llu",
                     number(sequence), number(by));
    return FM_OK;
}

/* Facts [header->sequence, + rows) say what they take back or correct: it is marked so, and those
 * that take back are. */
static enum fm_status check_operation(struct table_check *t, const struct fm_fact_header *header,
                                      uint32_t rows)
{
    enum fm_status status = FM_OK;

    if (header->operation == FM_ASSERT)
        return FM_OK;
    if (t->marked == NULL)
        status = superseded_edit_new(NULL, &t->marked);
    if (status == FM_OK && header->has_superseded) {
        if (header->superseded >= header->sequence ||
            !superseded_has(t->state->superseded, header->superseded))
            return report_mark(t, header->superseded, header->sequence);
        status = superseded_edit_add(t->marked, header->superseded);
    }
    for (uint32_t i = 0; status == FM_OK && header->operation == FM_RETRACT && i < rows; i++) {
        if (!superseded_has(t->state->superseded, header->sequence + i))
            return report_mark(t, header->sequence + i, header->sequence + i);
        status = superseded_edit_add(t->marked, header->sequence + i);
    }
    return status;
}

/* Without a key nothing else is marked. */
static void check_marks(struct table_check *t)
{
    uint64_t marked = t->marked == NULL ? 0 : superseded_edit_count(t->marked);
    uint64_t said = superseded_count(t->state->superseded);

    if (marked != said)
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "%llu facts are marked as superseded, %llu are by what the facts say",
                     number(said), number(marked));
}

/* Entries that count name each a row of their own: as many as there are latest rows. */
static enum fm_status check_entries(struct table_check *t)
{
    FM_AUTO(rocks_iterator_freep) struct rocks_iterator *iterator = NULL;
    uint64_t size = t->state->tree.size, entries = 0;
    struct key first = key_prefix(t->state->table->id);
    struct key end = key_prefix(t->state->table->id + 1);
    enum fm_status status = rocks_iterator_new(t->check->store->rocks, NULL, ROCKS_KEYS,
                                               key_span(&first), key_span(&end), &iterator);

    while (status == FM_OK) {
        struct fm_span key, value;
        struct index_value entry;

        status = rocks_iterator_next(iterator, &key, &value, &t->check->err);
        if (status == FM_OK && index_decode(value, &entry) == FM_OK) {
            uint64_t at = entry.sequence < size ? entry.sequence : entry.previous;

            entries += at < size && at >= t->state->dropped;
        }
    }
    if (status != FM_NOTFOUND)
        return check_failed(t->check, status, t->part);
    if (entries != t->latest)
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "the key index has %llu keys, the facts have %llu", number(entries),
                     number(t->latest));
    return FM_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static enum fm_status use_schema(struct table_check *t, const struct fm_schema *schema)
{
    const struct table_value *value = &t->state->table->value;
    struct fm_leaf_encoder_options options = {
        .schema = schema,
        .commitment_key = value->has_commitment_key ? value->commitment_key : NULL,
    };

    if (t->schema == schema)
        return FM_OK;
    fm_leaf_encoder_free(t->leaves);
    t->leaves = NULL;
    t->schema = NULL;
    if (fm_schema_has_commitment(schema) && !value->has_commitment_key)
        return fm_fail(&t->check->err, FM_CORRUPT, "the table has lost its commitment key");
    enum fm_status status = fm_leaf_encoder_new(&options, &t->leaves);
    if (status == FM_OK)
        t->schema = schema;
    return status;
}

/* A kept hash is that of the facts. A missing one is no damage: it is computed when wanted. */
static void compare_hash(void *context, unsigned level, uint64_t index, const struct fm_hash *hash)
{
    struct table_check *t = context;
    struct fm_hash kept = {0};
    enum fm_status status = FM_NOTFOUND;

    if (subtree_is_kept(level))
        status = subtrees_get(t->state->table, level, index, &kept, &t->check->err);
    if (status == FM_NOTFOUND || (status == FM_OK && fm_hash_equal(&kept, hash)))
        return;
    if (status == FM_NOMEM)
        t->hash_status = status;
    else if (t->findings++ >= FINDINGS_MAX)
        t->check->result.damage_count++;
    else if (status == FM_OK)
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "the kept hash of the %llu facts from %llu on is not theirs", 1ULL << level,
                     number(index << level));
    else
        t->hash_status = check_failed(t->check, status, t->part);
    t->check->err = (struct fm_error){0};
}

/* Rows of all fields of `schema`, at most FM_BLOCK_ROWS; `header` is that of the first. */
static enum fm_status check_rows(struct table_check *t, const struct fm_schema *schema,
                                 const struct fm_fact_header *header, const struct fm_batch *batch)
{
    enum fm_status status = use_schema(t, schema);

    fm_assert(batch->rows <= FM_BLOCK_ROWS);
    if (status == FM_OK)
        status = fm_leaf_hash_rows(t->leaves, header, batch, NULL, 0, batch->rows, t->hashes);
    if (status == FM_OK && t->is_complete)
        fm_tree_append_each(&t->tree, t->hashes, batch->rows, compare_hash, t);
    if (status == FM_OK)
        status = t->hash_status;
    if (status == FM_OK)
        status = check_operation(t, header, batch->rows);
    for (uint32_t i = 0; status == FM_OK && schema_is_keyed(schema) && i < batch->rows; i++)
        status =
            check_key(t, schema, batch, i, header->sequence + i, header->operation == FM_RETRACT);
    return status;
}

static enum fm_status check_hot(struct table_check *t, const struct unit *unit)
{
    struct hot_rows rows = {0};
    enum fm_status status = hot_rows_open(t->state, unit, &rows, &t->check->err);

    if (status == FM_OK)
        status = check_rows(t, rows.schema, &unit->hot.header, &rows.batch);
    hot_rows_deinit(&rows);
    t->hot_rows += unit->rows;
    t->stored_bytes += unit->hot.batch.len;
    return status;
}

/* ---- Segments -------------------------------------------------------------------------------- */

struct segment_check {
    const struct segment_value *segment;
    struct unit unit;
    struct unit_order order;
    const struct fm_schema *schema;
    const struct fm_type **types;
    struct fm_buf *bytes; /* By field: the whole column, decoded, */
    struct fm_batch *columns;
    struct fm_batch_builder *builder;
    struct fm_buf rows;
};

static void segment_check_deinit(struct segment_check *s)
{
    for (uint32_t i = 0; s->bytes != NULL && i < s->schema->field_count; i++)
        fm_buf_free(&s->bytes[i]);
    free(s->types);
    free(s->bytes);
    free(s->columns);
    fm_batch_builder_free(s->builder);
    unit_order_close(&s->order);
    fm_buf_free(&s->rows);
}

static enum fm_status fail_column(struct table_check *t, const struct segment_check *s,
                                  const struct fm_field *field)
{
    return fm_fail(&t->check->err, FM_CORRUPT,
                   "column `%s` of the segment of facts %llu to %llu is damaged", field->name,
                   number(s->segment->first_sequence),
                   number(s->segment->first_sequence + s->segment->rows - 1));
}

static enum fm_status decode_column(struct table_check *t, struct segment_check *s, uint32_t i)
{
    const struct fm_field *field = &s->schema->fields[i];
    struct stored_column stored = {0};
    enum fm_status status =
        stored_column_open(t->state, NULL, s->segment, field, &stored, &t->check->err);

    if (status == FM_NOTFOUND)
        return fail_column(t, s, field);
    if (status != FM_OK)
        return status;
    s->bytes[i] = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    status = column_decode(&stored.column, 0, stored.column.block_count, NULL, &s->bytes[i]);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&s->bytes[i]), &s->columns[i]);
    stored_column_close(&stored);
    return status == FM_OK || status == FM_NOMEM ? status : fail_column(t, s, field);
}

/* All columns, each damaged one being said; FM_CORRUPT when there was any. */
static enum fm_status decode_segment(struct table_check *t, struct segment_check *s)
{
    uint32_t count = s->schema->field_count;
    enum fm_status status = FM_OK;
    uint32_t damaged = 0;

    s->types = calloc(count, sizeof(const struct fm_type *));
    s->bytes = calloc(count, sizeof *s->bytes);
    s->columns = calloc(count, sizeof *s->columns);
    if (s->types == NULL || s->bytes == NULL || s->columns == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; status == FM_OK && i < count; i++) {
        const struct segment_field *described =
            segment_find_field(s->segment, s->schema->fields[i].id);

        s->types[i] = &s->schema->fields[i].type;
        t->stored_bytes += described != NULL ? described->stored_bytes : 0;
        status = decode_column(t, s, i);
        if (status == FM_OK || status == FM_NOMEM)
            continue;
        damaged++;
        status = check_failed(t->check, status, t->part);
    }
    t->is_complete = t->is_complete && damaged == 0;
    return status == FM_OK && damaged > 0 ? FM_CORRUPT : status;
}

/* One column of facts [first, first + count) of the segment, wherever their rows are. */
static enum fm_status put_column(struct segment_check *s, uint32_t column, uint32_t first,
                                 uint32_t count)
{
    uint64_t sequence = s->unit.first_sequence + first;
    enum fm_status status = FM_OK;

    for (uint32_t i = 0, run; status == FM_OK && i < count; i += run) {
        uint32_t row = unit_row(&s->unit, sequence + i);

        run = 1;
        while (i + run < count && unit_row(&s->unit, sequence + i + run) == row + run)
            run++;
        status =
            fm_batch_put_rows(s->builder, column, &s->columns[column], 0, NULL, row, run, NULL);
    }
    return status;
}

/* Facts [first, first + count) of the segment, as the batch that was appended. */
static enum fm_status check_slice(struct table_check *t, struct segment_check *s,
                                  const struct fm_fact_header *header, uint32_t first,
                                  uint32_t count)
{
    enum fm_status status = FM_OK;
    struct fm_batch batch;

    for (uint32_t i = 0; status == FM_OK && i < s->schema->field_count; i++)
        status = put_column(s, i, first, count);
    fm_buf_clear(&s->rows);
    if (status == FM_OK)
        status = fm_batch_builder_finish(s->builder, 0, &s->rows);
    if (status == FM_OK)
        status = fm_batch_view_trusted(fm_buf_span(&s->rows), &batch);
    return status == FM_OK ? check_rows(t, s->schema, header, &batch) : status;
}

static enum fm_status check_spans(struct table_check *t, struct segment_check *s)
{
    struct fm_batch_builder_options options = {
        .types = s->types, .column_count = s->schema->field_count, .encode = true};
    FM_AUTO(fm_mem_freep) struct segment_span *loaded = NULL;
    const struct segment_span *spans = NULL;
    enum fm_status status = fm_batch_builder_new(&options, &s->builder);
    uint32_t row = 0;

    if (status == FM_OK)
        status = segment_spans(t->state, NULL, s->segment, &loaded, &spans, &t->check->err);
    for (uint32_t i = 0; status == FM_OK && i < s->segment->span_count; i++) {
        struct fm_fact_header header = spans[i].header;
        uint32_t end = row + spans[i].rows;

        if (header.sequence != s->segment->first_sequence + row)
            return fm_fail(&t->check->err, FM_CORRUPT,
                           "the segment of facts from %llu on numbers them in another way",
                           number(s->segment->first_sequence));
        while (status == FM_OK && row < end) {
            uint32_t count = end - row < FM_BLOCK_ROWS ? end - row : FM_BLOCK_ROWS;

            status = check_slice(t, s, &header, row, count);
            header.sequence += count;
            row += count;
        }
    }
    return status;
}

static enum fm_status check_segment(struct table_check *t, const struct unit *unit)
{
    const struct segment_value *segment = unit->segment;
    FM_AUTO(segment_check_deinit) struct segment_check s = {.segment = segment, .unit = *unit};
    enum fm_status status = table_schema(t->state->table, segment->schema_version, &s.schema);

    if (status != FM_OK)
        return fm_fail(&t->check->err, FM_CORRUPT,
                       "the segment of facts from %llu on has schema version %u, which is not "
                       "stored",
                       number(segment->first_sequence), segment->schema_version);
    status = decode_segment(t, &s);
    if (status == FM_CORRUPT)
        return FM_OK; /* Said already, column by column. */
    if (status == FM_OK)
        status = unit_open_rows(t->state, NULL, &s.unit, &s.order, &t->check->err);
    return status == FM_OK ? check_spans(t, &s) : status;
}

/* ---- The table ------------------------------------------------------------------------------- */

/* Of facts that retention dropped there are hashes. */
static enum fm_status check_dropped(struct table_check *t)
{
    enum fm_status status = dropped_tree(t->state, &t->tree, compare_hash, t, &t->check->err);

    if (status == FM_OK)
        return t->hash_status;
    t->is_complete = false;
    if (status == FM_NOTFOUND)
        status = fm_fail(&t->check->err, FM_CORRUPT, "a kept hash of dropped facts is missing");
    return check_failed(t->check, status, t->part);
}

static enum fm_status check_units(struct table_check *t)
{
    struct units units;
    enum fm_status status = FM_OK;

    units_init(&units, t->state, NULL, 0);
    while (status == FM_OK) {
        struct unit unit = {0};

        status = units_next(&units, &unit, &t->check->err);
        if (status == FM_NOTFOUND)
            break;
        if (status != FM_OK) { /* Where the next one begins is not known. */
            t->is_complete = false;
            status = check_failed(t->check, status, t->part);
            break;
        }
        status = unit.segment != NULL ? check_segment(t, &unit) : check_hot(t, &unit);
        if (status != FM_OK)
            t->is_complete = false;
        status = check_failed(t->check, status, t->part);
    }
    units_deinit(&units);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status check_sums(struct table_check *t)
{
    struct fm_hash root;
    char is[65], should[65];

    if (!t->is_complete)
        return FM_OK; /* The sums of a part say nothing. */
    fm_tree_root(&t->tree, &root);
    if (!fm_hash_equal(&root, &t->state->root)) {
        fm_hex(root.bytes, sizeof root.bytes, is);
        fm_hex(t->state->root.bytes, sizeof t->state->root.bytes, should);
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "the facts have the Merkle root %s, the table's is %s", is, should);
    }
    if (t->hot_rows != t->state->hot_rows)
        check_report(t->check, FM_CHECK_DAMAGE, t->part, CHECK_RESTORE,
                     "%llu rows are outside of segments, the table says %llu", number(t->hot_rows),
                     number(t->state->hot_rows));
    if (schema_is_keyed(t->state->schema))
        return check_entries(t);
    check_marks(t);
    return FM_OK;
}

/* An append that was under way when the node was stopped hard. */
static enum fm_status check_mark(struct table_check *t)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    struct key key = key_table(KEYS_META_STAGED, t->state->table->id);
    enum fm_status status =
        rocks_get(t->check->store->rocks, NULL, ROCKS_META, key_span(&key), &value, &t->check->err);

    if (status == FM_OK)
        check_report(t->check, FM_CHECK_NOTE, t->part, "nothing: the next start removes it",
                     "an append that was not acknowledged is half there");
    return status == FM_NOTFOUND ? FM_OK : check_failed(t->check, status, t->part);
}

static enum fm_status tell(const struct table_check *t, struct fm_error *err)
{
    const struct table_state *state = t->state;
    struct fm_check_table table = {
        .domain = state->table->domain,
        .table = state->table->name,
        .epoch = state->epoch,
        .size = state->tree.size,
        .root = state->root,
        .segment_count = state->segment_count - state->dropped_segments,
        .dropped = state->dropped,
        .hot_rows = state->hot_rows,
        .rows_latest = state_rows_latest(state),
        .stored_bytes = t->stored_bytes,
        .is_whole = t->is_complete && t->check->result.damage_count == t->damage_before,
    };

    if (t->check->options.table == NULL)
        return FM_OK;
    return t->check->options.table(t->check->options.context, &table, err);
}

enum fm_status check_table(struct check *check, struct table_state *state, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct table_check *t = calloc(1, sizeof *t);
    enum fm_status status;

    if (t == NULL)
        return FM_NOMEM;
    t->check = check;
    t->state = state;
    t->is_complete = true;
    t->damage_before = check->result.damage_count;
    t->scratch = FM_BUF_INIT(0);
    t->value = FM_BUF_INIT(0);
    fm_tree_init(&t->tree);
    (void)snprintf(t->part, sizeof t->part, "%s.%s", state->table->domain,
                   state->table->name); /* Fits. */
    status = check_dropped(t);
    if (status == FM_OK)
        status = check_units(t);
    if (status == FM_OK)
        status = check_sums(t);
    if (status == FM_OK)
        status = check_mark(t);
    if (status == FM_OK)
        status = tell(t, err);
    table_check_deinit(t);
    return status;
}
