/* A store beside a model that keeps every row in an array, and steps of both that are drawn at
 * random (integration/test_store_model.c): each checks what it does itself. Threads: one. */
#ifndef FM_TESTS_SUPPORT_MODEL_FIXTURE_H
#define FM_TESTS_SUPPORT_MODEL_FIXTURE_H

#include "tests/support/store_model.h"

#define MODEL_ROWS_MAX 9000u /* Then a new store begins. */
#define MODEL_IDS_MAX (1u << 16)
#define MODEL_RECORDS 8u

struct model {
    size_t count;
    struct row rows[MODEL_ROWS_MAX];
    struct row_event events[MODEL_ROWS_MAX];
    fm_us recorded_at[MODEL_ROWS_MAX];
    bool marks[MODEL_ROWS_MAX]; /* Scratch of expect() and expect_facts(). */
    bool has_producer;
    uint64_t producer_sequence; /* Of the last append that named one. */
    struct fm_appended producer_answer;
    struct fm_hash root;
    uint64_t records[MODEL_RECORDS]; /* 0: none. */
};

struct model_fixture {
    char dir[STORE_DIR_MAX];
    struct fm_store *store;
    struct fm_schema *schema;
    struct fm_snapshot *old;
    size_t old_count;
    unsigned flags;
    uint32_t id_bound;
    unsigned stores;
    struct random random;
    struct fm_error err;
    uint32_t latest[MODEL_IDS_MAX];
    struct model model;
};

uint32_t model_below(struct model_fixture *f, uint32_t bound);
/* Begin anew with a store of a random shape; the one before is checked first. */
void model_begin_store(struct model_fixture *f);
/* Close the store and have `doctor` look at it. */
void model_end_store(struct model_fixture *f);
void model_drop_old(struct model_fixture *f);

/* What a scan of the first `size` facts must give. */
void model_expect(struct model_fixture *f, size_t size, const struct fm_scan_options *options,
                  struct row_list *out);
/* A moment of the past; its size. */
size_t model_random_past(struct model_fixture *f, size_t size, struct fm_at *at);
struct fm_snapshot *model_snapshot(struct model_fixture *f);

/* Appends (model_appends.c). */
void model_step_append(struct model_fixture *f);
/* The last append of the producer again, or an earlier one. */
void model_step_repeat(struct model_fixture *f);
/* Operations that are not allowed, behind some that are: all or nothing. */
void model_step_conflict(struct model_fixture *f);
/* Wrong expectation: refused, at the latest at the commit. */
void model_step_refused(struct model_fixture *f);
/* Begun, fed and given up. */
void model_step_abort(struct model_fixture *f);
/* The whole history, with predicates and in the past (model_facts.c). */
void model_step_facts(struct model_fixture *f);

#endif
