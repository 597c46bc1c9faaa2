#include "storage/superseded.h"

#include "core/assert.h"

#include <roaring/roaring.h>

#include <stdatomic.h>
#include <stdlib.h>

#define WINDOW_ROWS (1u << KEYS_WINDOW_BITS)
#define WINDOWS_MAX (1u << 28) /* 2^44 facts. */

struct window {
    atomic_uint references;
    atomic_uint_fast64_t stamp; /* 0: none yet. */
    roaring_bitmap_t *bits;
};

struct superseded {
    atomic_uint references;
    uint64_t count;
    uint32_t window_count;
    struct window **windows; /* NULL: none in it. */
};

struct superseded_edit {
    struct superseded *version; /* Under construction, ours alone. */
    bool *changed;              /* By window: the bitmap is ours alone too. */
};

static void window_release(struct window *window)
{
    if (window == NULL || atomic_fetch_sub(&window->references, 1) != 1)
        return;
    if (window->bits != NULL)
        roaring_bitmap_free(window->bits);
    free(window);
}

struct superseded *superseded_retain(struct superseded *version)
{
    if (version != NULL)
        atomic_fetch_add(&version->references, 1);
    return version;
}

void superseded_release(struct superseded *version)
{
    if (version == NULL || atomic_fetch_sub(&version->references, 1) != 1)
        return;
    for (uint32_t i = 0; i < version->window_count; i++)
        window_release(version->windows[i]);
    free(version->windows);
    free(version);
}

uint64_t superseded_count(const struct superseded *version)
{
    return version != NULL ? version->count : 0;
}

uint64_t superseded_bytes(const struct superseded *version)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; version != NULL && i < version->window_count; i++) {
        if (version->windows[i] != NULL)
            bytes += roaring_bitmap_portable_size_in_bytes(version->windows[i]->bits) + 4;
    }
    return bytes;
}

/* The bitmap that holds `sequence`, NULL when there is none. */
static const roaring_bitmap_t *bits_of(const struct superseded *version, uint64_t sequence)
{
    uint64_t index = sequence >> KEYS_WINDOW_BITS;

    if (version == NULL || index >= version->window_count || version->windows[index] == NULL)
        return NULL;
    return version->windows[index]->bits;
}

uint64_t superseded_count_range(const struct superseded *version, uint64_t first, uint64_t count)
{
    uint64_t sum = 0;

    while (count > 0) {
        const roaring_bitmap_t *bits = bits_of(version, first);
        uint64_t low = first % WINDOW_ROWS;
        uint64_t here = count < WINDOW_ROWS - low ? count : WINDOW_ROWS - low;

        if (bits != NULL)
            sum += roaring_bitmap_range_cardinality(bits, low, low + here);
        first += here;
        count -= here;
    }
    return sum;
}

bool superseded_has(const struct superseded *version, uint64_t sequence)
{
    const roaring_bitmap_t *bits = bits_of(version, sequence);

    return bits != NULL && roaring_bitmap_contains(bits, (uint32_t)(sequence % WINDOW_ROWS));
}

/* Bits [low, low + here) of one window; `offset` is where they begin in the selection. */
static void clear_window(const roaring_bitmap_t *bits, uint32_t low, uint32_t here, uint32_t offset,
                         uint64_t *selection)
{
    roaring_uint32_iterator_t it;

    roaring_init_iterator(bits, &it);
    if (!roaring_move_uint32_iterator_equalorlarger(&it, low))
        return;
    while (it.has_value && it.current_value < low + here) {
        uint32_t bit = offset + it.current_value - low;

        selection[bit / 64] &= ~(UINT64_C(1) << (bit % 64));
        (void)roaring_advance_uint32_iterator(&it); /* has_value tells. */
    }
}

void superseded_clear(const struct superseded *version, uint64_t first, uint32_t count,
                      uint64_t *selection)
{
    uint32_t done = 0;

    while (done < count) {
        const roaring_bitmap_t *bits = bits_of(version, first + done);
        uint32_t low = (uint32_t)((first + done) % WINDOW_ROWS);
        uint32_t here = count - done < WINDOW_ROWS - low ? count - done : WINDOW_ROWS - low;

        if (bits != NULL)
            clear_window(bits, low, here, done, selection);
        done += here;
    }
}

uint64_t superseded_stamp(const struct superseded *version, uint64_t index, uint64_t fresh)
{
    uint_fast64_t stamp = 0;

    fm_assert(fresh != 0);
    if (version == NULL || index >= version->window_count || version->windows[index] == NULL)
        return 0;
    if (atomic_compare_exchange_strong(&version->windows[index]->stamp, &stamp, fresh))
        return fresh;
    return stamp;
}

enum fm_status superseded_each(const struct superseded *version, uint64_t end,
                               enum fm_status (*each)(void *context, uint64_t sequence),
                               void *context)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; version != NULL && i < version->window_count; i++) {
        uint64_t first = (uint64_t)i << KEYS_WINDOW_BITS;
        roaring_uint32_iterator_t it;

        if (version->windows[i] == NULL)
            continue;
        roaring_init_iterator(version->windows[i]->bits, &it);
        while (status == FM_OK && it.has_value && first + it.current_value < end) {
            status = each(context, first + it.current_value);
            (void)roaring_advance_uint32_iterator(&it); /* has_value tells. */
        }
    }
    return status;
}

enum fm_status superseded_edit_new(struct superseded *base, struct superseded_edit **out)
{
    FM_AUTO(superseded_edit_freep) struct superseded_edit *edit = calloc(1, sizeof *edit);
    struct superseded *version;
    uint32_t count = base != NULL ? base->window_count : 0;

    if (edit == NULL)
        return FM_NOMEM;
    version = edit->version = calloc(1, sizeof *edit->version);
    edit->changed = calloc((size_t)count + 1, sizeof *edit->changed);
    if (version == NULL || edit->changed == NULL)
        return FM_NOMEM;
    atomic_init(&version->references, 1);
    version->windows = calloc((size_t)count + 1, sizeof *version->windows);
    if (version->windows == NULL)
        return FM_NOMEM;
    version->window_count = count;
    version->count = superseded_count(base);
    for (uint32_t i = 0; i < count; i++) {
        version->windows[i] = base->windows[i];
        if (version->windows[i] != NULL)
            atomic_fetch_add(&version->windows[i]->references, 1);
    }
    *out = FM_TAKE(edit);
    return FM_OK;
}

void superseded_edit_free(struct superseded_edit *edit)
{
    if (edit == NULL)
        return;
    superseded_release(edit->version);
    free(edit->changed);
    free(edit);
}

static enum fm_status grow(struct superseded_edit *edit, uint64_t window)
{
    struct superseded *version = edit->version;
    uint32_t count = (uint32_t)window + 1;
    struct window **windows;
    bool *changed;

    if (window >= WINDOWS_MAX)
        return FM_LIMIT;
    if (window < version->window_count)
        return FM_OK;
    windows = realloc(version->windows, count * sizeof *windows);
    if (windows == NULL)
        return FM_NOMEM;
    version->windows = windows;
    changed = realloc(edit->changed, count * sizeof *changed);
    if (changed == NULL)
        return FM_NOMEM;
    edit->changed = changed;
    for (uint32_t i = version->window_count; i < count; i++) {
        windows[i] = NULL;
        changed[i] = false;
    }
    version->window_count = count;
    return FM_OK;
}

/* A window of our own, with the content of the shared one. */
static enum fm_status own_window(struct superseded_edit *edit, uint64_t index)
{
    struct window *shared = edit->version->windows[index];
    struct window *own = calloc(1, sizeof *own);

    if (own == NULL)
        return FM_NOMEM;
    atomic_init(&own->references, 1);
    own->bits = shared != NULL ? roaring_bitmap_copy(shared->bits) : roaring_bitmap_create();
    if (own->bits == NULL) {
        free(own);
        return FM_NOMEM;
    }
    window_release(shared);
    edit->version->windows[index] = own;
    edit->changed[index] = true;
    return FM_OK;
}

enum fm_status superseded_edit_add(struct superseded_edit *edit, uint64_t sequence)
{
    uint64_t index = sequence >> KEYS_WINDOW_BITS;
    enum fm_status status = grow(edit, index);

    if (status == FM_OK && !edit->changed[index])
        status = own_window(edit, index);
    if (status != FM_OK)
        return status;
    if (roaring_bitmap_add_checked(edit->version->windows[index]->bits,
                                   (uint32_t)(sequence % WINDOW_ROWS)))
        edit->version->count++;
    return FM_OK;
}

uint64_t superseded_edit_count(const struct superseded_edit *edit)
{
    return superseded_count(edit->version);
}

bool superseded_edit_has(const struct superseded_edit *edit, uint64_t sequence)
{
    return superseded_has(edit->version, sequence);
}

enum fm_status superseded_edit_each(struct superseded_edit *edit,
                                    enum fm_status (*each)(void *context, uint64_t window,
                                                           struct fm_span value),
                                    void *context)
{
    FM_AUTO(fm_buf_free) struct fm_buf value = FM_BUF_INIT(0);
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; status == FM_OK && i < edit->version->window_count; i++) {
        const roaring_bitmap_t *bits;
        uint8_t *to;

        if (!edit->changed[i])
            continue;
        bits = edit->version->windows[i]->bits;
        fm_buf_clear(&value);
        to = fm_buf_extend(&value, roaring_bitmap_portable_size_in_bytes(bits));
        if (to == NULL)
            return fm_buf_status(&value);
        (void)roaring_bitmap_portable_serialize(bits, (char *)to); /* The size just asked for. */
        value_seal(&value, 0);
        status = fm_buf_status(&value);
        if (status == FM_OK)
            status = each(context, i, fm_buf_span(&value));
    }
    return status;
}

struct superseded *superseded_edit_take(struct superseded_edit *edit)
{
    return FM_TAKE(edit->version);
}

/* CRoaring trusts what is inside a container: look at every value once. */
static bool bits_hold(const roaring_bitmap_t *bits)
{
    uint64_t count = 0;
    uint32_t before = 0;
    roaring_uint32_iterator_t it;

    roaring_init_iterator(bits, &it);
    while (it.has_value) {
        if (it.current_value >= WINDOW_ROWS || (count > 0 && it.current_value <= before))
            return false;
        before = it.current_value;
        count++;
        (void)roaring_advance_uint32_iterator(&it); /* has_value tells. */
    }
    return count == roaring_bitmap_get_cardinality(bits);
}

enum fm_status superseded_edit_load(struct superseded_edit *edit, uint64_t window,
                                    struct fm_span value)
{
    struct fm_span content = {0};
    struct window *loaded;
    enum fm_status status = value_open(value, &content);

    if (status == FM_OK)
        status = grow(edit, window);
    if (status != FM_OK)
        return status == FM_NOMEM ? status : FM_CORRUPT;
    if (edit->version->windows[window] != NULL)
        return FM_CORRUPT;
    loaded = calloc(1, sizeof *loaded);
    if (loaded == NULL)
        return FM_NOMEM;
    atomic_init(&loaded->references, 1);
    edit->version->windows[window] = loaded;
    loaded->bits =
        roaring_bitmap_portable_deserialize_safe((const char *)content.data, content.len);
    if (loaded->bits == NULL)
        return FM_CORRUPT;
    if (roaring_bitmap_portable_size_in_bytes(loaded->bits) != content.len ||
        !bits_hold(loaded->bits))
        return FM_CORRUPT;
    edit->version->count += roaring_bitmap_get_cardinality(loaded->bits);
    return FM_OK;
}
