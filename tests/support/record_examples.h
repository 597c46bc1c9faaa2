/* One example of each record and message of core/records.h; tests/vectors/records.txt has their
 * bytes. Ids and hashes are filled with one small number each. */
#ifndef FM_TESTS_SUPPORT_RECORD_EXAMPLES_H
#define FM_TESTS_SUPPORT_RECORD_EXAMPLES_H

#include "core/records.h"

struct fm_request example_request(void);
struct fm_fragment example_fragment(enum fm_fragment_kind kind); /* Views static tables. */
struct fm_given example_given(void);                             /* The same. */
struct fm_ticket example_ticket(void);
struct fm_receipt example_receipt(void);
struct fm_answer example_answer(void);
struct fm_bundle example_bundle(void);
struct fm_contract example_contract(void);
struct fm_member_record example_member(void);
struct fm_append_begin example_begin(void);
struct fm_append_ack example_ack(void);

struct record_example {
    const char *name; /* In records.txt. */
    void (*put)(struct fm_buf *out);
    enum fm_status (*take)(struct fm_span bytes); /* Decode and forget. */
    uint64_t optional;                            /* Bit k: key k may be missing. */
};

extern const struct record_example record_examples[];
extern const size_t record_example_count;

#endif
