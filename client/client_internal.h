/* What the files of libfolkmoot share; the CLI takes from here what the public API does not give
 * (catalog calls). Threads and ownership: as in include/folkmoot.h. */
#ifndef FM_CLIENT_CLIENT_INTERNAL_H
#define FM_CLIENT_CLIENT_INTERNAL_H

#include "client/connection.h"
#include "core/cert_cache.h"
#include "core/settings.h"
#include "include/folkmoot.h"

/* Batches of one answer: 32 bytes are kept for each. */
#define FM_ANSWER_BATCHES_MAX (1u << 22)
#define FM_CALL_MS_DEFAULT 60000u
/* The node ends a query at its limit; its error needs a moment to arrive. */
#define FM_GRACE_MS 2000

struct folkmoot {
    struct fm_identity *identity;
    struct fm_cert_cache *certs; /* Of the identity's charter. */
    struct fm_connection *connection;
    char *node; /* Address. */
    uint32_t timeout_ms;
    struct fm_settings settings; /* Of the session, which the handle is. */
    struct fm_error err;         /* Of the last failure. */
    /* The next batch of one of the results, on its way over `connection`; NULL: none. */
    struct fm_fetching *ahead;
    const void *ahead_of;
};

/* Give up what is on its way: its connection or its result ends. */
void fm_client_drop_ahead(struct folkmoot *handle);

/* Carry out a statement about settings: `*is_one` is false for all others. `*rows` gets what it
 * shows, NULL: nothing. FM_INVALID: it was to be saved, too. */
FM_MUST_USE enum fm_status fm_client_settings(struct folkmoot *handle, struct fm_span sql,
                                              bool is_saved, bool *is_one, struct fm_rows **rows);

/* Sorted by nothing: one leaf hash per batch in order. */
struct fm_leaves {
    struct fm_hash *hashes;
    uint64_t count;
    uint64_t capacity;
    uint64_t rows;
    uint64_t bytes;
};

FM_MUST_USE enum fm_status fm_leaves_add(struct fm_leaves *leaves, struct fm_span batch,
                                         uint32_t rows);
void fm_leaves_deinit(struct fm_leaves *leaves);

/* A new random request of a signed method, its body borrowed. */
struct fm_request fm_client_request(enum fm_method method, struct fm_span body, uint32_t limit_ms);

/* One signed call of `method`; the reply is appended. Opens the connection anew when it broke
 * before. */
FM_MUST_USE enum fm_status fm_client_call(struct folkmoot *handle, enum fm_method method,
                                          struct fm_span body, struct fm_buf *reply);
/* A connection that is not known to be broken. */
FM_MUST_USE enum fm_status fm_client_connect(struct folkmoot *handle);

/* Check what an answer claims over its batches; the result is owned by the caller. `certs` (may be
 * NULL) are those of the charter. `own_request`: as in fm_verify_input. */
FM_MUST_USE enum fm_status fm_answer_check(const struct fm_charter *charter,
                                           struct fm_cert_cache *certs, struct fm_span own_request,
                                           struct fm_span bundle, const struct fm_leaves *leaves,
                                           struct folkmoot_answer **out, struct fm_error *err);
/* What was shown, for comparing it with what was asked and received. */
const struct fm_verified *fm_answer_verified(const struct folkmoot_answer *answer);
/* The request's envelope in the bundle. */
struct fm_span fm_answer_request(const struct folkmoot_answer *answer);

/* What the fragments brought to the merge was kept with it. */
bool fm_answer_has_fragments(const struct folkmoot_answer *answer);
/* The encoded columns of fragment `i` in the answer's order; of an answer that has them. */
struct fm_span fm_answer_fragment_columns(const struct folkmoot_answer *answer, uint32_t i);

/* Read and check a saved answer against a charter: folkmoot_verify(). */
FM_MUST_USE enum fm_status fm_answer_load(const char *path, const struct fm_charter *charter,
                                          struct folkmoot_answer **out, struct fm_error *err);
FM_DEFINE_FREEP(fm_answer_freep, struct folkmoot_answer, folkmoot_answer_free)
/* The heads that the tables of an answer were read at, one for each log; borrowed from the answer.
 * FM_CONFLICT: it read one table at two heads. */
FM_MUST_USE enum fm_status fm_answer_heads(const struct folkmoot_answer *answer,
                                           struct fm_span heads[FM_QUERY_TABLES_MAX],
                                           uint32_t *count, struct fm_error *err);

/* Types and dictionaries of columns in the form that fm_batch_view() takes. */
struct fm_column_view {
    uint32_t count;
    const struct fm_type **types;              /* Owned. */
    const struct fm_dictionary **dictionaries; /* Owned. */
};

FM_MUST_USE enum fm_status fm_column_view_init(struct fm_column_view *view,
                                               const struct fm_columns *columns);
void fm_column_view_deinit(struct fm_column_view *view);

_Static_assert((int)FOLKMOOT_INTERNAL == (int)FM_INTERNAL, "the API's numbers are the tree's");
_Static_assert((int)FOLKMOOT_FORGED == (int)FM_FORGED, "the API's numbers are the tree's");
_Static_assert(FOLKMOOT_ERROR_MAX == FM_ERROR_TEXT_MAX, "texts fit");

static inline enum folkmoot_status fm_public_status(enum fm_status status)
{
    return (enum folkmoot_status)status;
}

#endif
