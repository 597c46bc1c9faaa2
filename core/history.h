/* A fact's header as columns: what an append may bring behind the schema's fields, and what the
 * whole history of a table, the table `name$facts` in SQL, shows before them.
 *
 *   _seq          uint64       the fact's number in the log
 *   _recorded_at  timestamptz  when it was recorded
 *   _event_time   timestamptz  when it happened; NULL: not said
 *   _op           varchar      assert, retract or correct; NULL in an append: assert
 *   _supersedes   uint64       the fact that it takes back or corrects; NULL: none is named
 *
 * Threads: pure functions. */
#ifndef FM_CORE_HISTORY_H
#define FM_CORE_HISTORY_H

#include "core/leaf.h"

#define FM_FACTS_SUFFIX "$facts"
#define FM_HISTORY_COLUMNS 5u /* In the order above. */

/* Columns that an append brings, as bits; they come in this order. */
#define FM_EXTRA_OP 1u
#define FM_EXTRA_EVENT_TIME 2u
#define FM_EXTRA_SUPERSEDES 4u
#define FM_EXTRA_ALL 7u
#define FM_EXTRA_COLUMNS_MAX 3u

/* True for the ids of the columns above. */
bool fm_field_is_header(uint32_t field_id);

/* "assert", "retract", "correct". */
const char *fm_operation_text(enum fm_operation operation);
/* FM_INVALID: none of them. */
FM_MUST_USE enum fm_status fm_operation_parse(struct fm_span text, enum fm_operation *out);

/* The table whose history `name` means; false when it is not a name with the suffix. `table` has
 * FM_NAME_MAX + 1 bytes. */
bool fm_facts_name(const char *name, char *table);

/* The field is of the primary key, or names the subject: a retract row has it, others it may leave
 * out though they are required. */
bool fm_schema_names_row(const struct fm_schema *schema, uint32_t position);

/* The schema of a table's history: its name has the suffix, the columns above come before the
 * table's, no key; whatever a retraction may leave out is not required. FM_UNSUPPORTED: the name or
 * the columns do not leave room for it. */
FM_MUST_USE enum fm_status fm_schema_facts(const struct fm_schema *schema, struct fm_schema **out,
                                           struct fm_error *err);

/* The schema of an append's batches: the table's fields, then the columns of `extras`. */
FM_MUST_USE enum fm_status fm_schema_with_extras(const struct fm_schema *schema, uint32_t extras,
                                                 struct fm_schema **out, struct fm_error *err);

/* The bit of an extra column by its name (case does not matter), 0: it is none. */
uint32_t fm_extra_of_name(struct fm_span name);
/* Columns of `extras`. */
uint32_t fm_extras_count(uint32_t extras);

#endif
