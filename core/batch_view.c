/* The way in for a batch's bytes: header, directory, sections. Everything here may come from a
 * hostile peer. The contents of sections are checked in batch_check.c. */
#include "core/batch_view.h"

_Static_assert(sizeof(struct fm_vector_entry) % 8 == 0, "entries stay aligned");

static enum fm_status view_header(struct fm_span bytes, struct fm_batch *out)
{
    if (bytes.len < FM_BATCH_HEADER_BYTES || bytes.len > FM_BATCH_BYTES_MAX)
        return FM_MALFORMED;
    if ((uintptr_t)bytes.data % 8 != 0)
        return FM_INVALID;
    const uint8_t *at = bytes.data;
    struct fm_batch view = {
        .bytes = at,
        .total_bytes = fm_load32(at + 4),
        .rows = fm_load32(at + 8),
        .column_count = fm_load16(at + 12),
        .vector_count = fm_load16(at + 14),
        .first_row = fm_load64(at + 16),
        .vectors = (const struct fm_vector_entry *)(const void *)(at + FM_BATCH_HEADER_BYTES),
    };
    if (fm_load32(at) != FM_BATCH_MAGIC || fm_load64(at + 24) != 0)
        return FM_MALFORMED;
    if (view.total_bytes != bytes.len || bytes.len % 8 != 0 || view.rows > FM_BATCH_ROWS_MAX)
        return FM_MALFORMED;
    if (view.column_count == 0 || view.column_count > FM_COLUMNS_MAX ||
        view.vector_count < view.column_count || view.vector_count > FM_VECTORS_MAX)
        return FM_MALFORMED;
    size_t directory_bytes = (size_t)view.vector_count * sizeof(struct fm_vector_entry);
    if (directory_bytes > bytes.len - FM_BATCH_HEADER_BYTES)
        return FM_MALFORMED;
    *out = view;
    return FM_OK;
}

/* Facts of one entry that need no other: kind, parameters, whether it may have such children. */
static bool entry_holds(const struct fm_vector_entry *entry)
{
    if (entry->kind < FM_KIND_BOOLEAN || entry->kind > FM_KIND_MAP)
        return false;
    if (entry->reserved != 0 || entry->reserved2 != 0 || entry->null_count > entry->rows)
        return false;
    if ((entry->flags & ~(FM_VECTOR_ALL_NULL | FM_VECTOR_DICT_OUTSIDE)) != 0)
        return false;
    if (entry->kind == FM_KIND_DECIMAL
            ? entry->precision < 1 || entry->precision > 38 || entry->scale > entry->precision
            : entry->precision != 0 || entry->scale != 0)
        return false;
    if (entry->encoding == FM_ENC_FOR ? entry->step < 1 : entry->base != 0 || entry->step != 0)
        return false;
    switch (entry->kind) {
    case FM_KIND_LIST:
    case FM_KIND_MAP:
        return entry->child_count == 1;
    case FM_KIND_STRUCT:
        return entry->child_count >= 1 && entry->child_count <= FM_COLUMNS_MAX;
    default:
        return entry->child_count == 0 && entry->first_child == 0;
    }
}

/* A parent's word on its children's rows. Those of a list are bounded by the batch's bytes: nothing
 * below a list is constant, so each row there takes one byte at least. */
static bool children_hold(const struct fm_batch *batch, const struct fm_vector_entry *parent)
{
    for (uint32_t i = 0; i < parent->child_count; i++) {
        const struct fm_vector_entry *child = &batch->vectors[parent->first_child + i];
        if (parent->kind == FM_KIND_STRUCT ? child->rows != parent->rows
                                           : child->rows > batch->total_bytes)
            return false;
        if (parent->kind == FM_KIND_MAP &&
            (child->kind != FM_KIND_STRUCT || child->child_count != 2 || child->null_count != 0))
            return false;
    }
    return true;
}

/* Breadth first means: walking the entries in order, the children of each nested one are those that
 * come next. So each is referred to once, by an earlier one, and nothing is left over. */
static enum fm_status check_directory(const struct fm_batch *batch)
{
    uint32_t next = batch->column_count, level_end = batch->column_count, levels = 1;
    for (uint32_t i = 0; i < batch->vector_count; i++) {
        const struct fm_vector_entry *entry = &batch->vectors[i];
        if (i == level_end) {
            level_end = next;
            if (++levels > 2 * FM_TYPE_DEPTH_MAX + 1)
                return FM_MALFORMED;
        }
        if (!entry_holds(entry) || (i < batch->column_count && entry->rows != batch->rows))
            return FM_MALFORMED;
        if (entry->child_count == 0)
            continue;
        if (entry->first_child != next || entry->child_count > batch->vector_count - next)
            return FM_MALFORMED;
        next += entry->child_count;
        if (!children_hold(batch, entry))
            return FM_MALFORMED;
    }
    return next == batch->vector_count ? FM_OK : FM_MALFORMED;
}

static bool section_inside(const struct fm_batch *batch, uint32_t at, uint64_t len)
{
    uint64_t first =
        FM_BATCH_HEADER_BYTES + (uint64_t)batch->vector_count * sizeof(struct fm_vector_entry);
    if (len == 0)
        return at == 0;
    return at % 8 == 0 && at >= first && at < batch->total_bytes && len <= batch->total_bytes - at;
}

/* Sizes that the encoding asks for. */
static bool sizes_hold(const struct fm_vector_entry *entry)
{
    struct fm_type type = fm_entry_type(entry);
    uint64_t rows = entry->rows, width = fm_type_width(&type);
    bool is_coded = entry->encoding == FM_ENC_DICTIONARY || entry->encoding == FM_ENC_FOR;
    bool is_outside = (entry->flags & FM_VECTOR_DICT_OUTSIDE) != 0;

    if (is_coded ? entry->code_width != 1 && entry->code_width != 2 && entry->code_width != 4
                 : entry->code_width != 0)
        return false;
    if (is_outside && entry->encoding != FM_ENC_DICTIONARY)
        return false;
    if ((entry->flags & FM_VECTOR_ALL_NULL) != 0)
        return entry->encoding == FM_ENC_CONSTANT && !fm_type_is_nested(&type) && !is_outside &&
               entry->null_count == rows && entry->validity_at == 0 && entry->data_bytes == 0 &&
               entry->aux_bytes == 0;
    if (entry->validity_at == 0 && entry->null_count != 0)
        return false;
    switch (entry->encoding) {
    case FM_ENC_PLAIN:
        if (entry->kind == FM_KIND_STRUCT)
            return entry->data_bytes == 0 && entry->aux_bytes == 0;
        if (width != 0)
            return entry->data_bytes == rows * width && entry->aux_bytes == 0;
        return entry->data_bytes == (rows + 1) * 4 &&
               (fm_type_is_bytes(&type) || entry->aux_bytes == 0);
    case FM_ENC_CONSTANT:
        if (fm_type_is_nested(&type))
            return false;
        return entry->data_bytes == width && (width == 0 || entry->aux_bytes == 0);
    case FM_ENC_DICTIONARY:
        return fm_type_is_bytes(&type) && entry->data_bytes == rows * entry->code_width &&
               (is_outside ? entry->aux_bytes == 0 : entry->aux_bytes >= 12);
    case FM_ENC_FOR:
        return fm_type_is_integer(&type) && entry->data_bytes == rows * entry->code_width &&
               entry->aux_bytes == 0;
    default:
        return false;
    }
}

static enum fm_status check_sections(const struct fm_batch *batch)
{
    for (uint32_t i = 0; i < batch->vector_count; i++) {
        const struct fm_vector_entry *entry = &batch->vectors[i];
        if (!sizes_hold(entry))
            return FM_MALFORMED;
        if ((entry->flags & FM_VECTOR_DICT_OUTSIDE) != 0 && i >= batch->column_count)
            return FM_MALFORMED; /* Dictionaries are agreed for columns. */
        uint64_t validity_bytes =
            entry->validity_at == 0 ? 0 : (uint64_t)fm_bits_words(entry->rows) * 8;
        if (!section_inside(batch, entry->validity_at, validity_bytes) ||
            !section_inside(batch, entry->data_at, entry->data_bytes) ||
            !section_inside(batch, entry->aux_at, entry->aux_bytes))
            return FM_MALFORMED;
    }
    return FM_OK;
}

enum fm_status fm_batch_view_trusted(struct fm_span bytes, struct fm_batch *out)
{
    struct fm_batch view;
    enum fm_status status = view_header(bytes, &view);
    if (status == FM_OK)
        status = check_directory(&view);
    if (status == FM_OK)
        status = check_sections(&view);
    if (status == FM_OK)
        *out = view;
    return status;
}

/* ---- Types --------------------------------------------------------------------------------- */

static bool entry_matches(const struct fm_vector_entry *entry, const struct fm_vector_note *note)
{
    const struct fm_type *type = note->type;
    if (note->is_entries)
        return entry->kind == FM_KIND_STRUCT && entry->child_count == 2;
    if (entry->kind != (uint8_t)type->kind || entry->precision != type->precision ||
        entry->scale != type->scale)
        return false;
    return type->kind == FM_KIND_MAP ? entry->child_count == 1
                                     : entry->child_count == type->child_count;
}

/* Give each child its note: its type where there are types, and whether a list is above it. */
static void note_children(const struct fm_vector_entry *entry, const struct fm_vector_note *note,
                          struct fm_vector_note *notes)
{
    bool is_map = entry->kind == FM_KIND_MAP;
    for (uint32_t i = 0; i < entry->child_count; i++) {
        struct fm_vector_note *child = &notes[entry->first_child + i];
        child->below_list = note->below_list || is_map || entry->kind == FM_KIND_LIST;
        child->is_key = note->is_entries && i == 0;
        child->is_entries = is_map;
        if (note->type != NULL)
            child->type = is_map ? note->type : &note->type->children[i];
    }
}

/* `notes` are zeroed but for the types of the columns. */
static enum fm_status note_vectors(const struct fm_batch *batch, struct fm_vector_note *notes)
{
    for (uint32_t i = 0; i < batch->vector_count; i++) {
        const struct fm_vector_entry *entry = &batch->vectors[i];
        if (notes[i].type != NULL && !entry_matches(entry, &notes[i]))
            return FM_MALFORMED;
        if (notes[i].below_list && entry->encoding == FM_ENC_CONSTANT)
            return FM_MALFORMED;
        if (notes[i].is_key && entry->null_count != 0)
            return FM_MALFORMED;
        note_children(entry, &notes[i], notes);
    }
    return FM_OK;
}

/* ---- No overlap ---------------------------------------------------------------------------- */

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum |= bytes[i];
    return sum == 0;
}

static void add_section(uint64_t *sections, size_t *count, bool *sorted, uint32_t at, uint64_t len)
{
    if (len == 0)
        return;
    uint64_t section = (uint64_t)at << 32 | len;
    if (*count > 0 && sections[*count - 1] > section)
        *sorted = false;
    sections[(*count)++] = section;
}

/* Sections do not overlap, so the work of reading all is bounded by the bytes; and what is in none
 * of them is zero, so nothing can hide there. */
static enum fm_status check_overlap(const struct fm_batch *batch)
{
    size_t count = 0, end = FM_BATCH_HEADER_BYTES +
                            (size_t)batch->vector_count * sizeof(struct fm_vector_entry);
    bool sorted = true;
    FM_AUTO(fm_mem_freep) uint64_t *sections = malloc(batch->vector_count * 3 * sizeof *sections);
    if (sections == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; i < batch->vector_count; i++) {
        const struct fm_vector_entry *entry = &batch->vectors[i];
        if (entry->validity_at != 0)
            add_section(sections, &count, &sorted, entry->validity_at,
                        fm_bits_words(entry->rows) * 8);
        add_section(sections, &count, &sorted, entry->data_at, entry->data_bytes);
        add_section(sections, &count, &sorted, entry->aux_at, entry->aux_bytes);
    }
    if (!sorted)
        qsort(sections, count, sizeof *sections, compare_u64);
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)(sections[i] >> 32), len = (size_t)(sections[i] & UINT32_MAX);
        if (at < end || !all_zero(batch->bytes + end, at - end))
            return FM_MALFORMED;
        end = at + len;
    }
    fm_assert(end <= batch->total_bytes);
    return all_zero(batch->bytes + end, batch->total_bytes - end) ? FM_OK : FM_MALFORMED;
}

enum fm_status fm_batch_view(struct fm_span bytes, const struct fm_type *const *types,
                             uint32_t type_count, const struct fm_dictionary *const *dictionaries,
                             struct fm_batch *out)
{
    struct fm_batch view;
    enum fm_status status = fm_batch_view_trusted(bytes, &view);
    if (status != FM_OK)
        return status;
    if (types != NULL && type_count != view.column_count)
        return FM_MALFORMED;
    FM_AUTO(fm_mem_freep) struct fm_vector_note *notes = calloc(view.vector_count, sizeof *notes);
    if (notes == NULL)
        return FM_NOMEM;
    for (uint32_t i = 0; types != NULL && i < view.column_count; i++)
        notes[i].type = types[i];
    status = note_vectors(&view, notes);
    if (status == FM_OK)
        status = check_overlap(&view);
    for (uint32_t i = 0; status == FM_OK && i < view.vector_count; i++) {
        const struct fm_dictionary *outside =
            dictionaries != NULL && i < view.column_count ? dictionaries[i] : NULL;
        status = fm_vector_check(&view, &view.vectors[i], &notes[i], outside);
    }
    if (status == FM_OK)
        *out = view;
    return status;
}
