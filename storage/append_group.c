/* Appends to several tables: all in one write batch. */
#include "storage/append.h"

#include "core/assert.h"

#include <stdlib.h>

struct group {
    struct fm_store *store;
    uint32_t count;
    struct fm_append *appends[FM_APPEND_TABLES_MAX]; /* By rising table: the order of locking. */
    uint32_t place[FM_APPEND_TABLES_MAX];            /* Of each in the caller's order. */
    bool is_late;                                    /* Nobody waits for the sync. */
    struct rocks_batch *batch;
    uint32_t part_count; /* Tables that change. */
    struct fm_append *parts[FM_APPEND_TABLES_MAX];
    struct commit_what whats[FM_APPEND_TABLES_MAX];
    struct table_state *nexts[FM_APPEND_TABLES_MAX];
};

static void group_deinit(struct group *group)
{
    for (uint32_t i = 0; i < group->part_count; i++)
        state_release(group->nexts[i]);
    rocks_batch_free(group->batch);
}

/* ---- Which ----------------------------------------------------------------------------------- */

static enum fm_status take_appends(struct group *group, struct fm_append *const *appends,
                                   struct fm_error *err)
{
    group->store = appends[0]->store;
    group->is_late = true;
    for (uint32_t i = 0; i < group->count; i++) {
        struct fm_append *append = appends[i];
        uint32_t at = i;

        if (append->failed)
            return fm_fail(err, FM_INVALID, "the append failed before; only abort is possible");
        if (append->store != group->store ||
            strcmp(append->table->domain, appends[0]->table->domain) != 0)
            return fm_fail(err, FM_INVALID,
                           "one append has tables of one domain, not of %s and of %s",
                           appends[0]->table->domain, append->table->domain);
        if (append->options.durability != FM_DURABLE_MEMORY)
            group->is_late = false; /* The stronger promise holds for all. */
        for (; at > 0 && group->appends[at - 1]->table->id >= append->table->id; at--) {
            if (group->appends[at - 1]->table == append->table)
                return fm_fail(err, FM_INVALID, "%s.%s is named twice in one append",
                               append->table->domain, append->table->name);
            group->appends[at] = group->appends[at - 1];
            group->place[at] = group->place[at - 1];
        }
        group->appends[at] = append;
        group->place[at] = i;
    }
    return FM_OK;
}

/* Each table to ourselves, large ones staged to the end. Whoever has one table and waits for
 * another gives up after a while, so two large groups cannot wait for each other for ever. */
static enum fm_status lock_all(struct group *group, struct fm_error *err)
{
    enum fm_status status = store_has_space(group->store, err);

    for (uint32_t i = 0; status == FM_OK && i < group->count; i++) {
        struct fm_append *append = group->appends[i];

        if (!append->is_locked && append_is_small(append))
            status = append_lock(append, err);
        else if (!append->is_duplicate)
            status = append_stage_rest(append, err);
    }
    return status;
}

/* `*all`: every one was stored before. */
static enum fm_status check_duplicates(const struct group *group, bool *all, struct fm_error *err)
{
    const struct fm_append *stored = NULL;
    const struct fm_append *fresh = NULL;

    for (uint32_t i = 0; i < group->count; i++) {
        if (group->appends[i]->is_duplicate)
            stored = group->appends[i];
        else
            fresh = group->appends[i];
    }
    *all = fresh == NULL;
    if (stored != NULL && fresh != NULL)
        return fm_fail(err, FM_CONFLICT,
                       "the append to %s.%s was stored before, but that to %s.%s, which is to be "
                       "stored with it, was not",
                       stored->table->domain, stored->table->name, fresh->table->domain,
                       fresh->table->name);
    return FM_OK;
}

enum fm_status append_check_expected(const struct fm_append *append,
                                     const struct table_state *state, struct fm_error *err)
{
    if (append->options.has_expected && append->options.expected_size != state->tree.size)
        return fm_fail(err, FM_CONFLICT, "%s.%s has %llu facts, not the %llu expected",
                       append->table->domain, append->table->name,
                       (unsigned long long)state->tree.size,
                       (unsigned long long)append->options.expected_size);
    return FM_OK;
}

/* ---- The commit ------------------------------------------------------------------------------ */

static enum fm_status put_part(struct group *group, struct fm_append *append, struct fm_error *err)
{
    uint32_t at = group->part_count;

    if (append->rows == 0 && !append->options.has_producer) {
        append->appended = append_describe(append, append->base);
        return FM_OK;
    }
    group->parts[at] = append;
    group->part_count++;
    return append_put(append, group->batch, &group->whats[at], &group->nexts[at], err);
}

static enum fm_status write_parts(struct group *group, struct fm_error *err)
{
    struct pending_commit pending = {0};
    enum fm_status status =
        commit_write_group(group->store, group->batch, group->whats, group->nexts,
                           group->part_count, group->is_late ? NULL : &pending, err);

    if (status != FM_OK)
        return status;
    memset(group->nexts, 0, sizeof group->nexts); /* The store's now. */
    for (uint32_t i = 0; i < group->part_count; i++)
        group->parts[i]->is_staged = false; /* Nothing to undo. */
    for (uint32_t i = 0; i < group->count; i++)
        append_unlock(group->appends[i]); /* The tables' next appends share the sync. */
    if (!group->is_late)
        status = commit_wait(group->store, &pending, err);
    for (uint32_t i = 0; status == FM_OK && i < group->part_count; i++)
        append_count(group->parts[i]);
    return status;
}

static enum fm_status commit_all(struct group *group, struct fm_error *err)
{
    enum fm_status status = rocks_batch_new(group->store->rocks, &group->batch);

    for (uint32_t i = 0; status == FM_OK && i < group->count; i++)
        status = append_check_expected(group->appends[i], group->appends[i]->base, err);
    if (group->is_late)
        group->is_late = late_sync_start(group->store);
    for (uint32_t i = 0; status == FM_OK && i < group->count; i++)
        status = put_part(group, group->appends[i], err);
    if (status != FM_OK)
        return status;
    if (group->part_count > 0)
        status = write_parts(group, err);
    else /* Whoever is told of a size takes it for kept. */
        status = store_settle(group->store, err);
    for (uint32_t i = 0; group->is_late && group->part_count > 0 && i < group->count; i++)
        group->appends[i]->appended.durability = FM_DURABLE_MEMORY;
    return status;
}

static enum fm_status commit_group(struct group *group, struct fm_append *const *appends,
                                   struct fm_appended *out, struct fm_error *err)
{
    bool all_stored = false;
    enum fm_status status = take_appends(group, appends, err);

    if (status == FM_OK)
        status = lock_all(group, err);
    if (status == FM_OK)
        status = check_duplicates(group, &all_stored, err);
    if (status == FM_OK && !all_stored)
        status = commit_all(group, err);
    for (uint32_t i = 0; status == FM_OK && i < group->count; i++)
        out[group->place[i]] = all_stored ? group->appends[i]->first : group->appends[i]->appended;
    return status;
}

enum fm_status fm_append_commit_many(struct fm_append **appends, uint32_t count,
                                     struct fm_appended *out, struct fm_error *err)
{
    FM_AUTO(group_deinit) struct group group = {.count = count};
    enum fm_status status;

    fm_assert(count >= 1);
    if (count == 1)
        return fm_append_commit(FM_TAKE(appends[0]), out, err);
    if (count > FM_APPEND_TABLES_MAX)
        status = fm_fail(err, FM_LIMIT, "one append has at most %u tables", FM_APPEND_TABLES_MAX);
    else
        status = commit_group(&group, appends, out, err);
    for (uint32_t i = 0; i < count; i++)
        fm_append_abort(FM_TAKE(appends[i])); /* Freed whatever the outcome. */
    return status;
}

enum fm_status fm_append_commit(struct fm_append *append, struct fm_appended *out,
                                struct fm_error *err)
{
    FM_AUTO(fm_append_abortp) struct fm_append *ours = append; /* Freed whatever the outcome. */
    struct fm_appended appended = {0};
    enum fm_status status;

    if (ours->failed)
        return fm_fail(err, FM_INVALID, "the append failed before; only abort is possible");
    status = append_commit(ours, &appended, err);
    if (status == FM_OK)
        *out = appended;
    return status;
}
