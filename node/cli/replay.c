#include "node/cli/replay.h"

#include "client/answer_file.h"
#include "client/fragments.h"
#include "core/assert.h"

#include <inttypes.h>
#include <stdio.h>

#define ENGINE_MEMORY_BYTES ((size_t)1024 << 20)

struct replay;

struct slot { /* What a fragment brought: batches of the file, in order. */
    struct replay *of;
    struct fm_columns columns; /* As its owner announced them. */
    struct fm_column_view view;
    uint64_t next;
    uint64_t end;
};

struct replay {
    const char *file;
    const struct folkmoot_answer *answer;
    const struct fm_verified *verified;
    struct fm_replay plan;
    struct fm_replay_form form;
    struct fm_columns wanted;           /* The answer's columns. */
    struct fm_columns made;             /* The merge's. */
    struct fm_answer_reader *rows;      /* At the next batch of the answer. */
    struct fm_answer_reader *fragments; /* Anywhere in them. */
    uint64_t *offsets;                  /* Of their batches. */
    uint64_t count;
    struct slot slots[FM_QUERY_TABLES_MAX];
    struct fm_batch_source sources[FM_QUERY_TABLES_MAX];
    struct fm_columns declared[FM_QUERY_TABLES_MAX]; /* Only the arrays are owned. */
    struct fm_engine *engine;
    struct fm_worker *worker;
};

static void replay_freep(struct replay **pointer)
{
    struct replay *replay = *pointer;

    if (replay == NULL)
        return;
    fm_worker_free(replay->worker);
    fm_engine_free(replay->engine);
    for (uint32_t i = 0; i < FM_QUERY_TABLES_MAX; i++) {
        fm_column_view_deinit(&replay->slots[i].view);
        fm_columns_deinit(&replay->slots[i].columns);
        free(replay->declared[i].items);
    }
    fm_replay_deinit(&replay->plan);
    fm_columns_deinit(&replay->wanted);
    fm_columns_deinit(&replay->made);
    fm_answer_reader_free(replay->rows);
    fm_answer_reader_free(replay->fragments);
    free(replay->offsets);
    free(replay);
}

/* ---- The file -------------------------------------------------------------------------------- */

static enum fm_status skip_rows(struct fm_answer_reader *reader, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);
    FM_AUTO(fm_buf_free) struct fm_buf bundle = FM_BUF_INIT(FM_DOC_BYTES_MAX);
    enum fm_status status = FM_OK;

    while (status == FM_OK) {
        fm_buf_clear(&bytes);
        status = fm_answer_reader_batch(reader, &bytes, err);
    }
    return status == FM_NOTFOUND ? fm_answer_reader_bundle(reader, &bundle, err) : status;
}

/* Where each batch of the fragments is. They were looked at before; this finds them again. */
static enum fm_status find_batches(struct replay *replay, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(FM_BATCH_BYTES_MAX);

    enum fm_status status = fm_fragments_count(replay->answer, &replay->count, err);
    if (status != FM_OK)
        return status;
    replay->offsets = calloc(replay->count + 1, sizeof *replay->offsets);
    if (replay->offsets == NULL)
        return fm_fail(err, FM_NOMEM, "read the fragments");
    status = fm_answer_reader_open(replay->file, &replay->fragments, err);
    if (status == FM_OK)
        status = skip_rows(replay->fragments, err);
    for (uint64_t i = 0; i < replay->count && status == FM_OK; i++) {
        fm_buf_clear(&bytes);
        replay->offsets[i] = fm_answer_reader_tell(replay->fragments);
        status = fm_answer_reader_fragment(replay->fragments, &bytes, err);
    }
    return status;
}

static enum fm_status next_of_slot(void *context, struct fm_buf *batch, struct fm_error *err)
{
    struct slot *slot = context;
    struct fm_answer_reader *reader = slot->of->fragments;
    struct fm_batch view;

    if (slot->next == slot->end)
        return FM_NOTFOUND;
    enum fm_status status = fm_answer_reader_seek(reader, slot->of->offsets[slot->next++], err);
    if (status == FM_OK)
        status = fm_answer_reader_fragment(reader, batch, err);
    if (status == FM_OK && fm_batch_view(fm_buf_span(batch), slot->view.types, slot->view.count,
                                         slot->view.dictionaries, &view) != FM_OK)
        status = fm_fail(err, FM_FORGED, "the file was changed meanwhile");
    return status;
}

static enum fm_status next_of_rows(void *context, struct fm_buf *batch, struct fm_error *err)
{
    const struct replay *replay = context;

    return fm_answer_reader_batch(replay->rows, batch, err);
}

static enum fm_status next_of_merge(void *context, struct fm_buf *batch, struct fm_error *err)
{
    const struct replay *replay = context;

    return fm_worker_next(replay->worker, batch, err);
}

/* ---- Slots ----------------------------------------------------------------------------------- */

/* Which fragment of the answer is for this slot: by the number in its ticket. */
static bool find_fragment(const struct replay *replay, uint32_t slot, uint32_t *out)
{
    for (uint32_t i = 0; i < replay->verified->answer.fragment_count; i++) {
        if (replay->verified->numbers[i] != slot)
            continue;
        *out = i;
        return true;
    }
    return false;
}

static enum fm_status fill_slot(struct replay *replay, uint32_t n, uint32_t fragment,
                                struct fm_error *err)
{
    const struct fm_replay_slot *plan = &replay->plan.slots[n];
    struct slot *slot = &replay->slots[n];

    enum fm_status status =
        fm_columns_decode(fm_answer_fragment_columns(replay->answer, fragment), &slot->columns);
    if (status == FM_OK)
        status = fm_column_view_init(&slot->view, &slot->columns);
    if (status != FM_OK)
        return fm_fail(err, status, "read the columns of fragment %" PRIu32, n);
    if (slot->columns.count != plan->supplied_count)
        return fm_fail(err, FM_FORGED, "fragment %" PRIu32 " has other columns than the plan says",
                       n);
    for (uint32_t i = 0; i < slot->columns.count; i++) {
        struct fm_column *column = &replay->declared[n].items[plan->supplied[i]];
        if (!fm_type_equal(&column->type, &slot->columns.items[i].type))
            return fm_fail(err, FM_FORGED,
                           "fragment %" PRIu32 " has columns of other types than the plan says", n);
        column->dictionary = slot->columns.items[i].dictionary;
    }
    for (uint32_t i = 0; i < fragment; i++)
        slot->next += replay->verified->receipts[i].batches;
    slot->end = slot->next + replay->verified->receipts[fragment].batches;
    return FM_OK;
}

/* One that has no rows, as the answer says. */
static bool is_missing(const struct replay *replay, uint32_t slot)
{
    for (uint32_t i = 0; i < replay->verified->answer.missing_count; i++)
        if (replay->verified->answer.missing[i].number == slot)
            return true;
    return false;
}

static enum fm_status make_slot(struct replay *replay, uint32_t n, struct fm_slot *out,
                                struct fm_error *err)
{
    const struct fm_replay_slot *plan = &replay->plan.slots[n];
    struct fm_columns *declared = &replay->declared[n];
    uint32_t fragment = 0;

    declared->items = calloc(plan->columns.count + 1, sizeof *declared->items);
    if (declared->items == NULL)
        return fm_fail(err, FM_NOMEM, "fill the slots");
    declared->count = plan->columns.count;
    memcpy(declared->items, plan->columns.items, plan->columns.count * sizeof *declared->items);
    replay->slots[n].of = replay; /* Also of one that has no rows: next == end. */
    replay->sources[n] =
        (struct fm_batch_source){.context = &replay->slots[n], .next = next_of_slot};
    *out = (struct fm_slot){
        .columns = declared,
        .supplied_count = plan->supplied_count,
        .supplied = plan->supplied,
        .source = &replay->sources[n],
    };
    if (!find_fragment(replay, n, &fragment))
        return is_missing(replay, n)
                   ? FM_OK
                   : fm_fail(err, FM_FORGED,
                             "the plan reads fragment %" PRIu32 ", which is not there and not said "
                             "to be missing",
                             n);
    out->rows = replay->verified->receipts[fragment].rows;
    return fill_slot(replay, n, fragment, err);
}

static enum fm_status set_slots(struct replay *replay, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep)
    struct fm_slot *slots = calloc(replay->plan.slot_count + 1, sizeof *slots);
    enum fm_status status = FM_OK;

    if (slots == NULL)
        return fm_fail(err, FM_NOMEM, "fill the slots");
    for (uint32_t i = 0; i < replay->verified->answer.fragment_count; i++)
        if (replay->verified->numbers[i] >= replay->plan.slot_count)
            return fm_fail(err, FM_FORGED, "its plan does not read fragment %" PRIu32,
                           replay->verified->numbers[i]);
    for (uint32_t n = 0; n < replay->plan.slot_count && status == FM_OK; n++)
        status = make_slot(replay, n, &slots[n], err);
    return status == FM_OK
               ? fm_worker_set_slots(replay->worker, slots, replay->plan.slot_count, err)
               : status;
}

/* ---- Running --------------------------------------------------------------------------------- */

static enum fm_status check_columns(const struct replay *replay, struct fm_error *err)
{
    if (replay->wanted.count != replay->made.count)
        return fm_fail(err, FM_FORGED,
                       "the answer has %" PRIu32 " columns, the merge gives %" PRIu32,
                       replay->wanted.count, replay->made.count);
    for (uint32_t i = 0; i < replay->wanted.count; i++) {
        const struct fm_column *wanted = &replay->wanted.items[i], *made = &replay->made.items[i];
        if (strcmp(wanted->name, made->name) != 0 || !fm_type_equal(&wanted->type, &made->type))
            return fm_fail(err, FM_FORGED,
                           "column %" PRIu32 " of the answer is another one than the merge gives",
                           i + 1);
    }
    return FM_OK;
}

static enum fm_status compare(struct replay *replay, struct fm_replayed *out, struct fm_error *err)
{
    const struct fm_compare_side answer = {.columns = &replay->wanted,
                                           .source = {.context = replay, .next = next_of_rows}};
    const struct fm_compare_side merge = {.columns = &replay->made,
                                          .source = {.context = replay, .next = next_of_merge}};

    enum fm_status status = fm_answer_reader_open(replay->file, &replay->rows, err);
    return status == FM_OK ? fm_compare_rows(&answer, &merge, &replay->form, &out->compared, err)
                           : status;
}

static enum fm_status run(struct replay *replay, struct fm_replayed *out, struct fm_error *err)
{
    const struct fm_engine_options options = {.threads = 1, .memory_bytes = ENGINE_MEMORY_BYTES};
    const struct fm_run_options how = {.single_thread = true};

    enum fm_status status = fm_engine_open(&options, &replay->engine, err);
    if (status == FM_OK)
        status = fm_worker_lend(replay->engine, NULL, fm_now_ms() + FM_QUERY_MS_MAX,
                                &replay->worker, err);
    if (status == FM_OK)
        status =
            fm_replay_check(replay->worker, &replay->plan, &replay->wanted, &replay->form, err);
    if (status == FM_OK)
        status = set_slots(replay, err);
    if (status == FM_OK)
        status =
            fm_worker_run(replay->worker, fm_buf_span(&replay->plan.sql), &how, &replay->made, err);
    if (status == FM_OK)
        status = check_columns(replay, err);
    return status == FM_OK ? compare(replay, out, err) : status;
}

/* ---- What can be done again ------------------------------------------------------------------ */

static enum fm_status check_answer(const struct folkmoot_answer *answer, struct fm_error *err)
{
    const struct fm_verified *verified = fm_answer_verified(answer);
    uint64_t batches = 0;

    for (uint32_t i = 0; i < verified->answer.missing_count; i++)
        if (verified->answer.missing[i].rows != 0)
            return fm_fail(err, FM_UNSUPPORTED,
                           "rows of domain %s came before its node was lost, and no receipt is for "
                           "them: it cannot be done again",
                           verified->answer.missing[i].domain);
    if (verified->answer.own_count != 0)
        return fm_fail(
            err, FM_UNSUPPORTED,
            "it reads tables of the domain mesh, which are the asked node's own word: no "
            "receipt is for them, and it cannot be done again");
    for (uint32_t i = 0; i < verified->answer.fragment_count; i++)
        batches += verified->receipts[i].batches;
    if (batches != 0 && !fm_answer_has_fragments(answer))
        return fm_fail(err, FM_INVALID,
                       "it has no fragments to do the merge again with; ask again with folkmoot "
                       "query --save FILE --with-fragments");
    return FM_OK;
}

/* A plan that does not say how is a malformed one only where the answer should be replayed. */
static enum fm_status read_plan(struct replay *replay, struct fm_error *err)
{
    enum fm_status status = fm_replay_read(replay->verified->answer.plan, &replay->plan, err);

    if (status == FM_OK && !replay->plan.is_merge)
        status = fm_fail(err, FM_UNSUPPORTED,
                         "its plan has no merge: an explanation, or the rows of an owner that was "
                         "lost, cannot be done again");
    if (status == FM_OK &&
        fm_columns_decode(replay->verified->answer.columns, &replay->wanted) != FM_OK)
        status = fm_fail(err, FM_FORGED, "the answer's columns do not decode");
    return status == FM_MALFORMED ? FM_INVALID : status;
}

enum fm_status fm_cli_replay(const char *file, const struct folkmoot_answer *answer,
                             struct fm_replayed *out, struct fm_error *err)
{
    FM_AUTO(replay_freep) struct replay *replay = calloc(1, sizeof *replay);
    const struct fm_verified *verified = fm_answer_verified(answer);

    if (replay == NULL)
        return fm_fail(err, FM_NOMEM, "replay");
    replay->file = file;
    replay->answer = answer;
    replay->verified = verified;
    *out = (struct fm_replayed){.is_merge = verified->answer.origin == FM_ROWS_MERGED,
                                .fragments = verified->answer.fragment_count,
                                .compared = {.rows = verified->answer.rows, .is_in_order = true}};
    if (!out->is_merge)
        return FM_OK; /* Receipt and answer are for the same batches: verified. */
    enum fm_status status = check_answer(answer, err);
    if (status == FM_OK)
        status = read_plan(replay, err);
    if (status == FM_OK)
        status = find_batches(replay, err);
    return status == FM_OK ? run(replay, out, err) : status;
}
