#include "query/worker/encode.h"

#include "core/assert.h"
#include "core/batch.h"
#include "query/worker/vectors.h"

/* How a vector's values get into the batch. */
enum node_form {
    FORM_FIXED,  /* Copied; uuids and timestamps converted. */
    FORM_CODES,  /* ENUM: codes of the column's dictionary. */
    FORM_LABELS, /* ENUM: texts. */
    FORM_BYTES,
    FORM_LIST, /* list, and map, whose child is a struct. */
    FORM_STRUCT,
};

#define DECIMAL_DIGITS_MAX 38u

__extension__ typedef __int128 wide;

struct node {
    enum node_form form;
    duckdb_type duck;
    uint8_t kind;
    uint8_t precision;
    uint8_t scale;
    bool is_entries; /* The struct below a map: never null. */
    uint32_t width;  /* Of a fixed value or a code. */
    uint32_t rows;
    uint32_t null_count;
    struct fm_buf validity; /* Words; empty until the first null. */
    struct fm_buf data;
    struct fm_buf aux;
    uint32_t label_count;
    char **labels; /* Borrowed from the type. */
    uint32_t child_count;
    struct node *children; /* Owned by the encoder's array. */
};

struct encoder {
    uint32_t column_count;
    uint32_t node_count;
    uint32_t node_max;
    struct node
        *nodes; /* Columns first, then children breadth first: the order of the directory. */
};

static uint32_t count_nodes(const struct fm_type *type)
{
    uint32_t count = type->kind == FM_KIND_MAP ? 2 : 1; /* Its struct of key and value. */

    for (uint32_t i = 0; i < type->child_count; i++)
        count += count_nodes(&type->children[i]);
    return count;
}

static uint32_t code_width(duckdb_logical_type duck)
{
    duckdb_type id = duckdb_enum_internal_type(duck);
    return id == DUCKDB_TYPE_UTINYINT ? 1 : id == DUCKDB_TYPE_USMALLINT ? 2 : 4;
}

/* What a node still needs for its children: they follow in the next level. */
struct pending {
    const struct fm_type *type; /* Of a map's struct: the map. */
    duckdb_logical_type duck;   /* Of a map's struct: the map. */
    bool owned;                 /* `duck` is to be destroyed. */
};

static void init_node(struct node *node, const struct fm_type *type, duckdb_logical_type duck,
                      bool has_dictionary)
{
    *node = (struct node){.duck = duckdb_get_type_id(duck),
                          .kind = (uint8_t)type->kind,
                          .precision = type->precision,
                          .scale = type->scale,
                          .width = fm_type_width(type),
                          .validity = FM_BUF_INIT(FM_BATCH_BYTES_MAX),
                          .data = FM_BUF_INIT(FM_BATCH_BYTES_MAX),
                          .aux = FM_BUF_INIT(FM_BATCH_BYTES_MAX)};
    if (type->kind == FM_KIND_STRUCT)
        node->form = FORM_STRUCT;
    else if (fm_type_is_nested(type))
        node->form = FORM_LIST;
    else if (!fm_type_is_bytes(type))
        node->form = FORM_FIXED;
    else if (node->duck != DUCKDB_TYPE_ENUM)
        node->form = FORM_BYTES;
    else
        node->form = has_dictionary ? FORM_CODES : FORM_LABELS;
    if (node->duck == DUCKDB_TYPE_ENUM)
        node->width = code_width(duck);
    node->labels = type->labels;
    node->label_count = type->label_count;
}

static void init_entries_node(struct node *node)
{
    *node = (struct node){.form = FORM_STRUCT,
                          .kind = FM_KIND_STRUCT,
                          .is_entries = true,
                          .validity = FM_BUF_INIT(FM_BATCH_BYTES_MAX),
                          .data = FM_BUF_INIT(FM_BATCH_BYTES_MAX),
                          .aux = FM_BUF_INIT(FM_BATCH_BYTES_MAX)};
}

/* Append the children of node `i` and their pending types. */
static void add_children(struct encoder *encoder, struct pending *pending, uint32_t i)
{
    struct node *node = &encoder->nodes[i];
    const struct fm_type *type = pending[i].type;
    duckdb_logical_type duck = pending[i].duck;
    uint32_t next = encoder->node_count;

    node->children = &encoder->nodes[next];
    if (type->kind == FM_KIND_MAP && node->kind == FM_KIND_MAP) {
        init_entries_node(&encoder->nodes[next]);
        pending[next] = (struct pending){type, duck, pending[i].owned};
        pending[i].owned = false; /* Moved. */
        node->child_count = 1;
        encoder->node_count++;
        return;
    }
    for (uint32_t child = 0; child < type->child_count; child++) {
        struct pending *at = &pending[next + child];
        at->type = &type->children[child];
        at->owned = true;
        if (type->kind == FM_KIND_LIST)
            at->duck = duckdb_list_type_child_type(duck);
        else if (type->kind == FM_KIND_STRUCT)
            at->duck = duckdb_struct_type_child_type(duck, child);
        else
            at->duck =
                child == 0 ? duckdb_map_type_key_type(duck) : duckdb_map_type_value_type(duck);
        init_node(&encoder->nodes[next + child], at->type, at->duck, false);
    }
    node->child_count = type->child_count;
    encoder->node_count += type->child_count;
}

enum fm_status encoder_new(const struct fm_columns *columns, const duckdb_logical_type *types,
                           struct encoder **out)
{
    FM_AUTO(encoder_freep) struct encoder *encoder = calloc(1, sizeof *encoder);
    FM_AUTO(fm_mem_freep) struct pending *pending = NULL;
    uint32_t total = 0;

    for (uint32_t i = 0; i < columns->count; i++)
        total += count_nodes(&columns->items[i].type);
    if (encoder == NULL || total > UINT16_MAX)
        return encoder == NULL ? FM_NOMEM : FM_LIMIT;
    encoder->nodes = calloc(total + 1u, sizeof *encoder->nodes);
    pending = calloc(total + 1u, sizeof *pending);
    if (encoder->nodes == NULL || pending == NULL)
        return FM_NOMEM;
    encoder->column_count = columns->count;
    encoder->node_count = columns->count;
    for (uint32_t i = 0; i < columns->count; i++) {
        init_node(&encoder->nodes[i], &columns->items[i].type, types[i],
                  columns->items[i].dictionary.count > 0);
        pending[i] = (struct pending){&columns->items[i].type, types[i], false};
    }
    for (uint32_t i = 0; i < encoder->node_count; i++) {
        add_children(encoder, pending, i);
        if (pending[i].owned)
            duckdb_destroy_logical_type(&pending[i].duck);
    }
    fm_assert(encoder->node_count == total);
    *out = FM_TAKE(encoder);
    return FM_OK;
}

void encoder_free(struct encoder *encoder)
{
    if (encoder == NULL)
        return;
    for (uint32_t i = 0; i < encoder->node_count; i++) {
        fm_buf_free(&encoder->nodes[i].validity);
        fm_buf_free(&encoder->nodes[i].data);
        fm_buf_free(&encoder->nodes[i].aux);
    }
    free(encoder->nodes);
    free(encoder);
}

/* Room for the validity of `rows` rows, valid so far; new words are zero. */
static enum fm_status grow_validity(struct node *node, uint32_t rows)
{
    size_t have = node->validity.len, need = ((size_t)rows + 63) / 64 * 8;

    if (need > have) {
        uint8_t *words = fm_buf_extend(&node->validity, need - have);
        if (words == NULL)
            return fm_buf_status(&node->validity);
        memset(words, 0, need - have);
    }
    if (have == 0)
        bits_fill((uint64_t *)(void *)node->validity.data, 0, node->rows, true);
    return FM_OK;
}

/* Append the validity of DuckDB's rows; true in *nulls when one of them is null. */
static enum fm_status put_validity(struct node *node, const uint64_t *from, uint64_t first,
                                   uint32_t count, bool *nulls)
{
    uint32_t null_count = 0;

    *nulls = false;
    for (uint32_t i = 0; from != NULL && i < count; i++)
        null_count += !bits_get(from, first + i);
    if (null_count == 0 && node->validity.len == 0)
        return FM_OK;
    enum fm_status status = grow_validity(node, node->rows + count);
    if (status != FM_OK)
        return status;
    uint64_t *words = (uint64_t *)(void *)node->validity.data;
    if (null_count == 0)
        bits_fill(words, node->rows, count, true);
    else
        bits_copy(words, node->rows, from, first, count);
    node->null_count += null_count;
    *nulls = null_count > 0;
    return FM_OK;
}

static void zero_nulls(uint8_t *values, uint32_t width, const uint64_t *validity, uint64_t first,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!bits_get(validity, first + i))
            memset(values + (size_t)i * width, 0, width);
}

/* Rounds down, as DuckDB's own cast of TIMESTAMP_NS does not matter before 1970. */
static int64_t floor_thousandth(int64_t value)
{
    return value / 1000 - (value % 1000 < 0);
}

/* Timestamps in other units to microseconds. FM_LIMIT: out of range. */
static enum fm_status convert_timestamps(duckdb_type duck, uint8_t *values, uint32_t count)
{
    int64_t by = duck == DUCKDB_TYPE_TIMESTAMP_S ? 1000000 : 1000;

    for (uint32_t i = 0; i < count; i++) {
        int64_t value = (int64_t)fm_load64(values + (size_t)i * 8);
        bool infinite = value == INT64_MAX || value == -INT64_MAX;
        if (!infinite && duck == DUCKDB_TYPE_TIMESTAMP_NS)
            value = floor_thousandth(value);
        else if (!infinite && __builtin_mul_overflow(value, by, &value))
            return FM_LIMIT;
        fm_store64(values + (size_t)i * 8, (uint64_t)value);
    }
    return FM_OK;
}

/* The engine's sums of decimals may have more digits than their type. */
static bool decimals_fit(const uint8_t *values, uint32_t count)
{
    wide bound = 1;

    for (unsigned digit = 0; digit < DECIMAL_DIGITS_MAX; digit++)
        bound *= 10;
    for (uint32_t i = 0; i < count; i++) {
        wide value = 0;
        memcpy(&value, values + (size_t)i * sizeof value, sizeof value);
        if (value >= bound || value <= -bound)
            return false;
    }
    return true;
}

static enum fm_status put_fixed(struct node *node, duckdb_vector vector, const uint64_t *validity,
                                uint64_t first, uint32_t count, bool nulls)
{
    const uint8_t *from = (const uint8_t *)duckdb_vector_get_data(vector) + first * node->width;
    uint8_t *to = fm_buf_extend(&node->data, (size_t)count * node->width);

    if (to == NULL)
        return fm_buf_status(&node->data);
    memcpy(to, from, (size_t)count * node->width);
    if (node->duck == DUCKDB_TYPE_UUID)
        for (uint32_t i = 0; i < count; i++)
            uuid_from_duck(to + (size_t)i * 16, to + (size_t)i * 16);
    if (nulls)
        zero_nulls(to, node->width, validity, first, count);
    if (node->kind == FM_KIND_DECIMAL && node->precision == DECIMAL_DIGITS_MAX &&
        !decimals_fit(to, count))
        return FM_INVALID;
    if (node->duck == DUCKDB_TYPE_TIMESTAMP_S || node->duck == DUCKDB_TYPE_TIMESTAMP_MS ||
        node->duck == DUCKDB_TYPE_TIMESTAMP_NS)
        return convert_timestamps(node->duck, to, count);
    return FM_OK;
}

static struct fm_span label_at(const struct node *node, const uint8_t *codes, uint64_t row)
{
    uint32_t code = node->width == 1   ? codes[row]
                    : node->width == 2 ? fm_load16(codes + row * 2)
                                       : fm_load32(codes + row * 4);
    fm_assert(code < node->label_count);
    return fm_span_str(node->labels[code]);
}

/* Offsets and bytes, of strings and of labels. */
static enum fm_status put_bytes(struct node *node, duckdb_vector vector, const uint64_t *validity,
                                uint64_t first, uint32_t count, bool nulls)
{
    const void *data = duckdb_vector_get_data(vector);
    const duckdb_string_t *texts = data;

    if (node->data.len == 0)
        fm_buf_put_u32(&node->data, 0);
    uint8_t *offsets = fm_buf_extend(&node->data, (size_t)count * 4);
    if (offsets == NULL)
        return fm_buf_status(&node->data);
    for (uint32_t i = 0; i < count; i++) {
        struct fm_span text = {NULL, 0};
        if (!nulls || bits_get(validity, first + i))
            text = node->form == FORM_LABELS ? label_at(node, data, first + i)
                                             : duck_string_span(&texts[first + i]);
        if (text.len > FM_VALUE_BYTES_MAX)
            return FM_LIMIT;
        fm_buf_put_span(&node->aux, text);
        fm_store32(offsets + (size_t)i * 4, (uint32_t)node->aux.len);
    }
    return fm_buf_status(&node->aux);
}

static enum fm_status put_rows(struct node *node, duckdb_vector vector, uint64_t first,
                               uint32_t count);

static enum fm_status put_list_items(struct node *child, duckdb_vector inner, uint64_t first,
                                     uint64_t count)
{
    return count == 0 ? FM_OK : put_rows(child, inner, first, (uint32_t)count);
}

/* Lists that lie behind one another in DuckDB's child are copied as one run. */
static enum fm_status put_list(struct node *node, duckdb_vector vector, const uint64_t *validity,
                               uint64_t first, uint32_t count, bool nulls)
{
    const duckdb_list_entry *lists = duckdb_vector_get_data(vector);
    duckdb_vector inner = duckdb_list_vector_get_child(vector);
    struct node *child = node->children;
    uint64_t run_first = 0, run_count = 0, items = child->rows;
    enum fm_status status = FM_OK;

    if (node->data.len == 0)
        fm_buf_put_u32(&node->data, 0);
    uint8_t *offsets = fm_buf_extend(&node->data, (size_t)count * 4);
    if (offsets == NULL)
        return fm_buf_status(&node->data);
    for (uint32_t i = 0; i < count && status == FM_OK; i++) {
        duckdb_list_entry list = {0, 0};
        if (!nulls || bits_get(validity, first + i))
            list = lists[first + i];
        if (list.length > 0 && list.offset != run_first + run_count) {
            status = put_list_items(child, inner, run_first, run_count);
            run_first = list.offset;
            run_count = 0;
        }
        run_count += list.length;
        items += list.length;
        if (items > FM_BATCH_BYTES_MAX)
            return FM_LIMIT;
        fm_store32(offsets + (size_t)i * 4, (uint32_t)items);
    }
    return status == FM_OK ? put_list_items(child, inner, run_first, run_count) : status;
}

static enum fm_status put_struct(struct node *node, duckdb_vector vector, uint64_t first,
                                 uint32_t count)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < node->child_count && status == FM_OK; i++)
        status =
            put_rows(&node->children[i], duckdb_struct_vector_get_child(vector, i), first, count);
    return status;
}

static enum fm_status put_rows(struct node *node, duckdb_vector vector, uint64_t first,
                               uint32_t count)
{
    const uint64_t *validity = node->is_entries ? NULL : duckdb_vector_get_validity(vector);
    bool nulls = false;

    enum fm_status status = put_validity(node, validity, first, count, &nulls);
    if (status != FM_OK)
        return status;
    switch (node->form) {
    case FORM_FIXED:
    case FORM_CODES:
        status = put_fixed(node, vector, validity, first, count, nulls);
        break;
    case FORM_LABELS:
    case FORM_BYTES:
        status = put_bytes(node, vector, validity, first, count, nulls);
        break;
    case FORM_LIST:
        status = put_list(node, vector, validity, first, count, nulls);
        break;
    case FORM_STRUCT:
        status = put_struct(node, vector, first, count);
        break;
    }
    node->rows += count;
    return status;
}

enum fm_status encoder_put(struct encoder *encoder, duckdb_data_chunk chunk, uint32_t first,
                           uint32_t count)
{
    enum fm_status status = FM_OK;

    for (uint32_t i = 0; i < encoder->column_count && status == FM_OK; i++)
        status = put_rows(&encoder->nodes[i], duckdb_data_chunk_get_vector(chunk, i), first, count);
    if (status == FM_OK && encoder_bytes(encoder) > FM_BATCH_BYTES_MAX)
        return FM_LIMIT;
    return status;
}

uint32_t encoder_rows(const struct encoder *encoder)
{
    return encoder->nodes[0].rows;
}

static size_t padded(size_t bytes)
{
    return (bytes + 7) / 8 * 8;
}

/* A list's child may have no row at all: it has offsets all the same. */
static size_t data_bytes(const struct node *node)
{
    bool has_offsets =
        node->form == FORM_LABELS || node->form == FORM_BYTES || node->form == FORM_LIST;
    return has_offsets && node->data.len == 0 ? 4 : node->data.len;
}

size_t encoder_bytes(const struct encoder *encoder)
{
    size_t bytes =
        FM_BATCH_HEADER_BYTES + (size_t)encoder->node_count * sizeof(struct fm_vector_entry);

    for (uint32_t i = 0; i < encoder->node_count; i++) {
        const struct node *node = &encoder->nodes[i];
        bytes += node->validity.len + padded(data_bytes(node)) + padded(node->aux.len);
    }
    return bytes;
}

/* Copy a section to its place; its offset, 0 for none. */
static uint32_t write_section(uint8_t *out, size_t *at, const struct fm_buf *from, size_t bytes)
{
    size_t start = *at;

    if (bytes == 0)
        return 0;
    memset(out + start + padded(bytes) - 8, 0, 8); /* The padding, overwritten where it is none. */
    if (from->len > 0)
        memcpy(out + start, from->data, from->len);
    *at = start + padded(bytes);
    return (uint32_t)start;
}

static void write_entry(const struct encoder *encoder, const struct node *node, uint8_t *out,
                        size_t *at, struct fm_vector_entry *entry)
{
    *entry = (struct fm_vector_entry){.kind = node->kind,
                                      .encoding = FM_ENC_PLAIN,
                                      .precision = node->precision,
                                      .scale = node->scale,
                                      .child_count = (uint16_t)node->child_count,
                                      .rows = node->rows,
                                      .null_count = node->null_count};
    if (node->form == FORM_CODES) {
        entry->encoding = FM_ENC_DICTIONARY;
        entry->code_width = (uint8_t)node->width;
        entry->flags = FM_VECTOR_DICT_OUTSIDE;
    }
    if (node->child_count > 0)
        entry->first_child = (uint16_t)(node->children - encoder->nodes);
    entry->validity_at = write_section(out, at, &node->validity, node->validity.len);
    entry->data_bytes = (uint32_t)data_bytes(node);
    entry->data_at = write_section(out, at, &node->data, data_bytes(node));
    entry->aux_bytes = (uint32_t)node->aux.len;
    entry->aux_at = write_section(out, at, &node->aux, node->aux.len);
}

static void reset_node(struct node *node)
{
    node->rows = 0;
    node->null_count = 0;
    fm_buf_clear(&node->validity);
    fm_buf_clear(&node->data);
    fm_buf_clear(&node->aux);
}

void encoder_finish(struct encoder *encoder, uint64_t first_row, uint8_t *out)
{
    size_t total = encoder_bytes(encoder);
    size_t directory = (size_t)encoder->node_count * sizeof(struct fm_vector_entry);
    size_t at = FM_BATCH_HEADER_BYTES + directory;

    fm_store32(out, FM_BATCH_MAGIC);
    fm_store32(out + 4, (uint32_t)total);
    fm_store32(out + 8, encoder_rows(encoder));
    fm_store16(out + 12, (uint16_t)encoder->column_count);
    fm_store16(out + 14, (uint16_t)encoder->node_count);
    fm_store64(out + 16, first_row);
    fm_store64(out + 24, 0);
    for (uint32_t i = 0; i < encoder->node_count; i++) {
        struct fm_vector_entry entry;
        write_entry(encoder, &encoder->nodes[i], out, &at, &entry);
        memcpy(out + FM_BATCH_HEADER_BYTES + i * sizeof entry, &entry, sizeof entry);
        reset_node(&encoder->nodes[i]);
    }
    fm_assert(at == total);
}
