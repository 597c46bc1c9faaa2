/* Golden vectors: text files in tests/vectors/ with lines "name hex" or "name text"; '#' starts a
 * comment line. Names are unique in a file. With FM_PRINT_VECTORS in the environment
 * vector_check() prints lines for such a file instead of comparing.
 * Ownership: vector_file_open() gives the caller a file, vector_file_free() ends it. */
#ifndef FM_TESTS_SUPPORT_VECTOR_FILE_H
#define FM_TESTS_SUPPORT_VECTOR_FILE_H

#include "core/bytes.h"

struct vector_file;

/* `name` is that of a file in tests/vectors/. Fails the test when it cannot be read. */
struct vector_file *vector_file_open(const char *name);
void vector_file_free(struct vector_file *file);

/* The text of an entry; fails the test when there is none. */
const char *vector_text(const struct vector_file *file, const char *name);
/* The bytes of an entry, put in place of what `out` holds. */
void vector_bytes(const struct vector_file *file, const char *name, struct fm_buf *out);
/* Fail the test unless the entry has exactly these bytes. */
void vector_check(const struct vector_file *file, const char *name, struct fm_span bytes);

#endif
