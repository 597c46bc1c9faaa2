/* Signed notes of strangers, under the key that made the corpus: what verifies has the corpus's
 * text, since nobody else has the key; what peeks, has a name that fits. */
#include "core/note.h"

#include "core/assert.h"
#include "tests/support/test_mesh.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The head of tests/vectors/note.txt is the only text that the key ever signed. */
static void check_head(const struct fm_head *head)
{
    struct fm_mesh_id mesh;
    char domain[FM_NAME_MAX + 1];
    char table[FM_NAME_MAX + 1];
    uint32_t epoch = 0;

    fm_assert(fm_head_origin_parse(head->origin, &mesh, domain, table, &epoch) == FM_OK);
    fm_assert(strcmp(table, "departures") == 0);
    fm_assert(epoch == 3);
    fm_assert(head->size == 336776 || head->size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fm_public_key key; /* Made once: it is the same in every run. */
    static bool have_key;
    struct fm_head head;
    char origin[FM_ORIGIN_MAX];

    if (!have_key) {
        fm_assert(fm_core_init(NULL) == FM_OK);
        FM_AUTO(fm_key_freep) struct fm_key *secret = test_key(FM_KEY_SIGN, 1);
        fm_assert(secret != NULL);
        key = *fm_key_public(secret);
        have_key = true;
    }
    if (fm_head_peek_origin(fm_span(data, size), origin) == FM_OK) {
        struct fm_mesh_id mesh;
        char domain[FM_NAME_MAX + 1];
        char table[FM_NAME_MAX + 1];
        uint32_t epoch = 0;

        fm_assert(strlen(origin) < sizeof origin);
        if (fm_head_origin_parse(origin, &mesh, domain, table, &epoch) == FM_OK)
            fm_assert(epoch >= 1);
    }
    if (fm_head_open(fm_span(data, size), &key, &head) == FM_OK) {
        struct fm_head unchecked;
        check_head(&head);
        fm_assert(fm_head_parse(fm_span(data, size), &unchecked) == FM_OK);
        fm_assert(unchecked.size == head.size && fm_hash_equal(&unchecked.root, &head.root));
    }
    return 0;
}
