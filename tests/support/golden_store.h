/* Golden stores: data folders that some version of this program wrote, kept for ever, with lines of
 * questions and the answers that this version gave (docs/storage.md, "Golden stores").
 *
 * A line is `question = answer`. Questions:
 *   table DOMAIN TABLE               epoch, size, root, recorded time, rows of the latest state
 *   rows DOMAIN TABLE AT VALUE       how many, and a hash over their sorted hashes; AT is latest,
 *                                    version or timestamp
 *   leaf DOMAIN TABLE SEQUENCE       SHA-256 of the fact's leaf
 *   head DOMAIN TABLE SIZE           the root that the log of so many facts had
 *   repeat DOMAIN TABLE VERSION PRODUCER SEQUENCE
 *                                    the acknowledgement that a repeated append gets
 *   record KEY                       the value
 * Everything fails the test, or ends the program, at once. */
#ifndef FM_TESTS_SUPPORT_GOLDEN_STORE_H
#define FM_TESTS_SUPPORT_GOLDEN_STORE_H

#include "storage/store.h"

#include <stdio.h>

#define GOLDEN_DOMAIN "golden"
#define GOLDEN_LINE_MAX 1024u

/* Open a store of the golden mesh and node. */
struct fm_store *golden_open(const char *dir);

/* Write a store with some of everything that this version can keep, close it, and write the lines
 * about it. */
void golden_make(const char *dir, FILE *lines);

/* Append `count` pseudo-random rows of the table's current schema. `producer` 0: none; else also
 * the producer's sequence. */
void golden_append(struct fm_store *store, const char *table, uint32_t count, uint64_t seed,
                   uint64_t producer, struct fm_appended *out);

/* Whether the answer to `line`'s question is the one in the line. Questions about the latest state
 * are left out where `has_grown`: the store is not as it was left. The number of lines asked. */
uint32_t golden_check(struct fm_store *store, FILE *lines, bool has_grown);

#endif
