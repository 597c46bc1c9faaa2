/* One example of each stored key and value, the same in every run: what tests/vectors/storage.txt
 * holds and the fuzzers begin with. */
#ifndef FM_TESTS_SUPPORT_STORAGE_EXAMPLES_H
#define FM_TESTS_SUPPORT_STORAGE_EXAMPLES_H

#include "storage/segment.h"

/* X(name in the vectors). Numbers of fuzz_store_values, never reused. */
#define STORAGE_EXAMPLE_MAP(X)                                                                     \
    X(format, 0)                                                                                   \
    X(tip, 1)                                                                                      \
    X(commit, 2)                                                                                   \
    X(table, 3)                                                                                    \
    X(state, 4)                                                                                    \
    X(staged, 5)                                                                                   \
    X(producer, 6)                                                                                 \
    X(index, 7)                                                                                    \
    X(hot, 8)                                                                                      \
    X(segment, 9)                                                                                  \
    X(slot, 10)                                                                                    \
    X(superseded, 11)                                                                              \
    X(subtree, 12)                                                                                 \
    X(sealed, 13)                                                                                  \
    X(spans, 14)                                                                                   \
    X(tiles, 15)                                                                                   \
    X(dropped, 16)                                                                                 \
    X(subject, 17)                                                                                 \
    X(erased, 18)                                                                                  \
    X(mark, 19)

enum storage_example {
#define X(name, number) STORAGE_EXAMPLE_##name = number,
    STORAGE_EXAMPLE_MAP(X)
#undef X
};

/* Append the example's bytes; false when there is none with this number. */
bool storage_example(unsigned number, struct fm_buf *out);
/* Decode the bytes as that kind of value; where that succeeds, append its bytes encoded again. */
enum fm_status storage_decode(unsigned number, struct fm_span bytes, struct fm_buf *again);

/* Numbers that follow from the row: what packing is made for. */
enum column_pattern {
    PATTERN_NONE,
    PATTERN_RISING, /* By nearly the same each time. */
    PATTERN_RUNS,   /* 700 equal ones. */
    PATTERN_WRAPS,  /* Multiples of 7 modulo 1009. */
};

/* Stored column values: by a shape of random_value.h, or a pattern of int64. */
struct column_example {
    const char *name;
    const char *type;
    uint32_t rows;
    int shape;
    uint32_t null_every; /* 0: none. */
    enum column_pattern pattern;
};
#define COLUMN_EXAMPLES 11u
extern const struct column_example column_examples[COLUMN_EXAMPLES];
/* Append the stored value of an example; the caller ends the type. */
void column_example_make(const struct column_example *example, struct fm_type *type,
                         struct fm_buf *out);

#endif
