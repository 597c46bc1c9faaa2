/* One DuckDB that holds all tables, set as a node's engine is, and answers as text that can be
 * compared: what a mesh says is right when this says the same.
 * Ownership: oracle_free(), answer_deinit(). Threads: one. What a test cannot go on without is
 * asserted. */
#ifndef FM_TESTS_SUPPORT_ORACLE_H
#define FM_TESTS_SUPPORT_ORACLE_H

#include "core/bytes.h"
#include "include/folkmoot.h"

struct oracle;

enum answer_kind {
    ANSWER_ROWS,
    ANSWER_REFUSED, /* The statement is wrong. */
    ANSWER_FAILED,  /* It failed over the rows: a number past its type, a text that is no number. */
    ANSWER_LONG,    /* More rows than were asked for. */
    ANSWER_UNABLE,  /* The engine does not have it in this form; in another it may. */
    ANSWER_HEAVY,   /* It needs more memory than there is for a query. */
    ANSWER_BROKEN,  /* Anything else: no answer of a statement that anybody sent. */
};

struct answer {
    enum answer_kind kind;
    char error[FOLKMOOT_ERROR_MAX];
    uint32_t column_count;
    char **names;
    char **types;
    uint32_t rows;
    uint32_t rows_room;
    char **cells; /* Row by row as libfolkmoot prints them; NULL: NULL. */
};

struct oracle *oracle_new(void);
void oracle_free(struct oracle *oracle);
/* Statements that must work. */
void oracle_do(struct oracle *oracle, const char *sql);
void oracle_ask(struct oracle *oracle, const char *sql, uint32_t rows_max, struct answer *out);
/* The rows of a SELECT as batches of core/batch.h, one after the other. */
void oracle_batches(struct oracle *oracle, const char *sql,
                    void (*take)(void *context, struct fm_span batch), void *context);

/* Ask a node through libfolkmoot, without these rules of its planner (NULL: with all). */
void mesh_ask(struct folkmoot *node, const char *sql, const char *without, uint32_t rows_max,
              struct answer *out);

void answer_deinit(struct answer *answer);
/* Equal names, types and rows, in this order or in any. Floating-point values may differ by 1e-9 of
 * their size, and 0 equals -0; names that are the text of a subquery are not compared. `why` says
 * what differs first. */
bool answer_equal(struct answer *a, struct answer *b, bool ordered, char why[256]);
/* At most `rows_max` rows. */
void answer_print(const struct answer *answer, uint32_t rows_max, struct fm_buf *out);

#endif
