/* Values of batches as text: PostgreSQL's forms, and JSON (docs/cli.md, "Values as text").
 * Threads: pure functions. Errors: FM_NOMEM and FM_LIMIT show in the buffer. */
#ifndef FM_CLIENT_CLIENT_TEXT_H
#define FM_CLIENT_CLIENT_TEXT_H

#include "core/batch.h"

enum fm_text_style { FM_TEXT_PLAIN, FM_TEXT_JSON };

/* Append the value in `row` of a top-level vector, which is not null. */
FM_MUST_USE enum fm_status fm_text_value(struct fm_buf *out, enum fm_text_style style,
                                         const struct fm_batch *batch,
                                         const struct fm_vector_entry *vector,
                                         const struct fm_type *type,
                                         const struct fm_dictionary *dictionary, uint32_t row);

/* The same from canonical bytes (types.h); the cursor moves past them. FM_MALFORMED. */
FM_MUST_USE enum fm_status fm_text_canonical(struct fm_buf *out, enum fm_text_style style,
                                             const struct fm_type *type, struct fm_cursor *value);

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void fm_json_string(struct fm_buf *out, struct fm_span text);
/* True when `text` is one JSON value, nested at most 64 deep, without line breaks. */
bool fm_json_valid(struct fm_span text);

/* Numbers, which tables align to the right. */
bool fm_type_is_number(const struct fm_type *type);

/* "2001-01-01 00:05:00.25" for microseconds since 1970. */
void fm_text_timestamp(struct fm_buf *out, int64_t us, char separator);

#endif
