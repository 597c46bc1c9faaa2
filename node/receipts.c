#include "node/receipts.h"

#include "core/assert.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct kept {
    struct kept *older;
    size_t bytes;
    struct fm_receipts_entry entry;
    struct fm_receipts_fragment fragments[];
};

struct fm_receipts {
    pthread_mutex_t lock;
    struct kept *latest; /* Owned, with all that are older. */
};

enum fm_status fm_receipts_new(struct fm_receipts **out)
{
    struct fm_receipts *receipts = calloc(1, sizeof *receipts);

    if (receipts == NULL || pthread_mutex_init(&receipts->lock, NULL) != 0) {
        free(receipts);
        return FM_NOMEM;
    }
    *out = receipts;
    return FM_OK;
}

static void kept_free(struct kept *kept)
{
    fm_buf_free(&kept->entry.text);
    free(kept);
}

void fm_receipts_free(struct fm_receipts *receipts)
{
    if (receipts == NULL)
        return;
    for (struct kept *kept = receipts->latest; kept != NULL;) {
        struct kept *older = kept->older;
        kept_free(kept);
        kept = older;
    }
    (void)pthread_mutex_destroy(&receipts->lock); /* Nobody holds it. */
    free(receipts);
}

static struct kept *copy(const struct fm_receipts_entry *entry)
{
    size_t fragments_bytes = entry->count * sizeof entry->fragments[0];
    struct kept *kept = calloc(1, sizeof *kept + fragments_bytes);

    if (kept == NULL)
        return NULL;
    memcpy(kept->fragments, entry->fragments, fragments_bytes);
    kept->entry = *entry;
    kept->entry.fragments = kept->fragments;
    kept->entry.text = FM_BUF_INIT(entry->text.len);
    fm_buf_put_span(&kept->entry.text, fm_buf_span(&entry->text));
    kept->bytes = sizeof *kept + fragments_bytes + entry->text.len;
    if (fm_buf_status(&kept->entry.text) == FM_OK)
        return kept;
    kept_free(kept);
    return NULL;
}

/* From the latest on, drop what passes a bound. */
static void shorten(struct fm_receipts *receipts, const struct fm_public_key *principal)
{
    uint32_t count = 0, own_count = 0;
    size_t bytes = 0, own_bytes = 0;

    for (struct kept **link = &receipts->latest; *link != NULL;) {
        struct kept *kept = *link;
        bool is_own = fm_public_key_equal(&kept->entry.principal, principal);
        bool fits = count < FM_RECEIPTS_MAX && bytes + kept->bytes <= FM_RECEIPTS_BYTES_MAX &&
                    (!is_own || (own_count < FM_RECEIPTS_OF_ONE_MAX &&
                                 own_bytes + kept->bytes <= FM_RECEIPTS_OF_ONE_BYTES_MAX));
        if (!fits) {
            *link = kept->older;
            kept_free(kept);
            continue;
        }
        count++;
        bytes += kept->bytes;
        own_count += is_own;
        own_bytes += is_own ? kept->bytes : 0;
        link = &kept->older;
    }
}

void fm_receipts_add(struct fm_receipts *receipts, const struct fm_receipts_entry *entry)
{
    fm_assert(entry->count > 0 && entry->count <= FM_QUERY_TABLES_MAX);
    struct kept *kept = copy(entry);
    if (kept == NULL)
        return;
    fm_assert(pthread_mutex_lock(&receipts->lock) == 0);
    kept->older = receipts->latest;
    receipts->latest = kept;
    shorten(receipts, &entry->principal);
    fm_assert(pthread_mutex_unlock(&receipts->lock) == 0);
}

enum fm_status fm_receipts_each(struct fm_receipts *receipts, const struct fm_public_key *principal,
                                enum fm_status (*each)(void *context,
                                                       const struct fm_receipts_entry *entry),
                                void *context)
{
    enum fm_status status = FM_OK;

    fm_assert(pthread_mutex_lock(&receipts->lock) == 0);
    for (const struct kept *kept = receipts->latest; kept != NULL && status == FM_OK;
         kept = kept->older)
        if (fm_public_key_equal(&kept->entry.principal, principal))
            status = each(context, &kept->entry);
    fm_assert(pthread_mutex_unlock(&receipts->lock) == 0);
    return status;
}
