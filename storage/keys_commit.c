/* The chain of commits: what each digest covers. */
#include "storage/keys.h"

#include "core/assert.h"

static void what_put(struct commit_what *what, const void *data, size_t len)
{
    fm_assert(len <= sizeof what->bytes - what->len);
    memcpy(what->bytes + what->len, data, len);
    what->len += len;
}

struct commit_what commit_what_append(uint32_t table, uint64_t size, const struct fm_hash *root)
{
    struct commit_what what = {.len = 1, .bytes = {1}};

    what_put(&what, &table, sizeof table);
    what_put(&what, &size, sizeof size);
    what_put(&what, root->bytes, sizeof root->bytes);
    return what;
}

struct commit_what commit_what_define(uint32_t table, uint32_t epoch, const struct fm_hash *schema)
{
    struct commit_what what = {.len = 1, .bytes = {2}};

    what_put(&what, &table, sizeof table);
    what_put(&what, &epoch, sizeof epoch);
    what_put(&what, schema->bytes, sizeof schema->bytes);
    return what;
}

static struct commit_what what_of_rows(uint8_t kind, uint32_t table, uint64_t first_sequence,
                                       uint32_t rows)
{
    struct commit_what what = {.len = 1, .bytes = {kind}};

    what_put(&what, &table, sizeof table);
    what_put(&what, &first_sequence, sizeof first_sequence);
    what_put(&what, &rows, sizeof rows);
    return what;
}

struct commit_what commit_what_seal(uint32_t table, uint64_t first_sequence, uint32_t rows)
{
    return what_of_rows(4, table, first_sequence, rows);
}

struct commit_what commit_what_merge(uint32_t table, uint64_t first_sequence, uint32_t rows)
{
    return what_of_rows(5, table, first_sequence, rows);
}

struct commit_what commit_what_retain(uint32_t table, uint64_t kept)
{
    struct commit_what what = {.len = 1, .bytes = {6}};

    what_put(&what, &table, sizeof table);
    what_put(&what, &kept, sizeof kept);
    return what;
}

struct commit_what commit_what_erase(const struct fm_hash *id)
{
    struct commit_what what = {.len = 1, .bytes = {8}};

    what_put(&what, id->bytes, sizeof id->bytes);
    return what;
}

struct commit_what commit_what_record(struct fm_span key, struct fm_span value)
{
    struct commit_what what = {.len = 1, .bytes = {3}};
    struct fm_hash hash;

    fm_sha256_one(&hash, key);
    what_put(&what, hash.bytes, sizeof hash.bytes);
    fm_sha256_one(&hash, value);
    what_put(&what, hash.bytes, sizeof hash.bytes);
    return what;
}

void commit_chain(struct fm_hash *digest, uint64_t number, const struct commit_what *what)
{
    struct fm_span spans[3] = {
        fm_span(digest->bytes, sizeof digest->bytes),
        fm_span(&number, sizeof number),
        fm_span(what->bytes, what->len),
    };
    struct fm_hash next;

    fm_sha256(&next, spans, 3);
    *digest = next;
}
