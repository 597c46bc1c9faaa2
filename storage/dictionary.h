/* Dictionaries over a whole table: for each varchar or enum column with few distinct values, all of
 * them in order, so that every segment's column can be read in codes that mean the same everywhere
 * and the engine can group and join on codes. They grow with the table: a snapshot works with one
 * generation, and asks again after an append.
 * An enum's dictionary is its declared values; a varchar's is the union of its segments'
 * dictionaries and of what the hot rows hold, none if a segment has that column plain.
 * Threads: generations are immutable and counted; the cache has its own lock. */
#ifndef FM_STORAGE_DICTIONARY_H
#define FM_STORAGE_DICTIONARY_H

#include "core/batch.h"
#include "storage/internal.h"

#define TABLE_DICTIONARY_BYTES_MAX (4u << 20) /* Text of one dictionary. */

struct table_dictionary { /* One generation of one field's. */
    atomic_uint references;
    uint64_t generation; /* Unique in the table, >= 1. */
    uint8_t code_width;  /* 1 or 2. */
    struct fm_dictionary dictionary;
    uint8_t *storage; /* Owned: what the dictionary views. */
};

void table_dictionary_release(struct table_dictionary *dictionary); /* NULL is fine. */

FM_MUST_USE enum fm_status table_dictionaries_new(struct table_dictionaries **out);
void table_dictionaries_free(struct table_dictionaries *dictionaries);

/* The dictionary that holds all values of the field at `position` of the state's schema, retained;
 * NULL in `*out` when it has none. FM_CORRUPT: a stored value that had to be read is damaged. */
FM_MUST_USE enum fm_status table_dictionary_get(const struct table_state *state,
                                                const struct rocks_snapshot *snapshot,
                                                uint32_t position, struct table_dictionary **out,
                                                struct fm_error *err);

#endif
