#include "gossip/wire.h"

#include "core/assert.h"

#define DIGEST_FIXED_BYTES 18u

_Static_assert(sizeof(struct fm_node_id) == 16, "node ids are 16 bytes on the wire");
_Static_assert(WIRE_HEADER_BYTES + WIRE_MEMBER_BYTES(WIRE_ENVELOPE_BYTES_MAX) + WIRE_RECORD_BYTES +
                       WIRE_ACCUSE_BYTES <
                   FM_PACKET_BYTES_MAX,
               "the largest member record leaves room for other news");

struct item_size {
    uint16_t min;
    uint16_t max;
};

/* By kind; a kind that is not known has max 0. */
static const struct item_size item_sizes[] = {
#define X(name, number, version, least, most) [number] = {.min = (least), .max = (most)},
    WIRE_ITEM_MAP(X)
#undef X
};

static const uint8_t known_kinds[] = {
#define X(name, number, version) [number] = 1,
    WIRE_KIND_MAP(X)
#undef X
};

bool wire_kind_known(uint8_t kind)
{
    return kind < sizeof known_kinds && known_kinds[kind] == 1;
}

/* ---- Writing ---- */

void wire_begin(struct wire_writer *writer, uint8_t *data, enum wire_kind kind, uint32_t sequence)
{
    fm_assert(data != NULL);
    fm_assert(wire_kind_known((uint8_t)kind));
    writer->data = data;
    writer->len = WIRE_HEADER_BYTES;
    data[0] = WIRE_VERSION;
    data[1] = (uint8_t)kind;
    fm_store16(data + 2, 0);
    fm_store32(data + 4, sequence);
}

size_t wire_room(const struct wire_writer *writer)
{
    fm_assert(writer->len >= WIRE_HEADER_BYTES);
    fm_assert(writer->len <= FM_PACKET_BYTES_MAX);
    return FM_PACKET_BYTES_MAX - writer->len;
}

/* Where the body of an item goes, its header written; NULL when it does not fit. */
static uint8_t *put_item(struct wire_writer *writer, enum wire_item_kind kind, size_t bytes)
{
    fm_assert(kind < sizeof item_sizes / sizeof *item_sizes);
    fm_assert(bytes >= item_sizes[kind].min);
    fm_assert(bytes <= item_sizes[kind].max);
    if (wire_room(writer) < WIRE_ITEM_HEADER_BYTES + bytes)
        return NULL;
    uint8_t *at = writer->data + writer->len;
    at[0] = (uint8_t)kind;
    fm_store16(at + 1, (uint16_t)bytes);
    writer->len += WIRE_ITEM_HEADER_BYTES + bytes;
    return at + WIRE_ITEM_HEADER_BYTES;
}

bool wire_put_digest(struct wire_writer *writer, const struct wire_digest *digest)
{
    fm_assert(digest->kind_count <= WIRE_RECORD_KINDS_MAX);
    uint8_t *at =
        put_item(writer, WIRE_ITEM_DIGEST, DIGEST_FIXED_BYTES + 4u * (size_t)digest->kind_count);
    if (at == NULL)
        return false;
    fm_store64(at, digest->members);
    fm_store32(at + 8, digest->count);
    fm_store32(at + 12, digest->verdicts);
    fm_store16(at + 16, digest->quiet);
    for (uint32_t i = 0; i < digest->kind_count; i++)
        fm_store32(at + DIGEST_FIXED_BYTES + 4u * (size_t)i, digest->kinds[i]);
    return true;
}

bool wire_put_node(struct wire_writer *writer, enum wire_item_kind kind,
                   const struct fm_node_id *node)
{
    fm_assert(kind == WIRE_ITEM_TARGET || kind == WIRE_ITEM_BEHALF);
    uint8_t *at = put_item(writer, kind, sizeof node->bytes);
    if (at == NULL)
        return false;
    memcpy(at, node->bytes, sizeof node->bytes);
    return true;
}

bool wire_put_accuse(struct wire_writer *writer, const struct wire_accuse *accuse)
{
    fm_assert(accuse->state == GOSSIP_SUSPECT || accuse->state == GOSSIP_DEAD);
    uint8_t *at = put_item(writer, WIRE_ITEM_ACCUSE, 41);
    if (at == NULL)
        return false;
    at[0] = (uint8_t)accuse->state;
    memcpy(at + 1, accuse->accused.bytes, 16);
    fm_store64(at + 17, accuse->incarnation);
    memcpy(at + 25, accuse->accuser.bytes, 16);
    return true;
}

bool wire_put_member(struct wire_writer *writer, const struct wire_member *member)
{
    fm_assert(member->claim == FM_MEMBER_ALIVE || member->claim == FM_MEMBER_LEFT);
    fm_assert(member->envelope.len <= WIRE_ENVELOPE_BYTES_MAX);
    uint8_t *at = put_item(writer, WIRE_ITEM_MEMBER, 25 + member->envelope.len);
    if (at == NULL)
        return false;
    at[0] = (uint8_t)member->claim;
    memcpy(at + 1, member->node.bytes, 16);
    fm_store64(at + 17, member->incarnation);
    if (member->envelope.len > 0)
        memcpy(at + 25, member->envelope.data, member->envelope.len);
    return true;
}

bool wire_put_record(struct wire_writer *writer, const struct wire_record *record)
{
    fm_assert(record->kind != 0);
    uint8_t *at = put_item(writer, WIRE_ITEM_RECORD, 78);
    if (at == NULL)
        return false;
    fm_store16(at, record->kind);
    memcpy(at + 2, record->writer.bytes, 16);
    memcpy(at + 18, record->name, 16);
    fm_store64(at + 34, record->version);
    memcpy(at + 42, record->hash.bytes, FM_HASH_BYTES);
    fm_store32(at + 74, record->bytes);
    return true;
}

/* ---- Reading: lengths are those of the table when a body is decoded. ---- */

static bool decode_digest(struct fm_span body, struct wire_digest *out)
{
    fm_assert(body.len >= DIGEST_FIXED_BYTES);
    size_t rest = body.len - DIGEST_FIXED_BYTES;
    if (rest % 4 != 0)
        return false;
    out->members = fm_load64(body.data);
    out->count = fm_load32(body.data + 8);
    out->verdicts = fm_load32(body.data + 12);
    out->quiet = fm_load16(body.data + 16);
    out->kind_count = (uint32_t)(rest / 4);
    fm_assert(out->kind_count <= WIRE_RECORD_KINDS_MAX);
    for (uint32_t i = 0; i < out->kind_count; i++)
        out->kinds[i] = fm_load32(body.data + DIGEST_FIXED_BYTES + 4u * (size_t)i);
    return true;
}

static bool decode_accuse(struct fm_span body, struct wire_accuse *out)
{
    fm_assert(body.len == 41);
    if (body.data[0] != GOSSIP_SUSPECT && body.data[0] != GOSSIP_DEAD)
        return false;
    out->state = (enum gossip_state)body.data[0];
    memcpy(out->accused.bytes, body.data + 1, 16);
    out->incarnation = fm_load64(body.data + 17);
    memcpy(out->accuser.bytes, body.data + 25, 16);
    return true;
}

static bool decode_member(struct fm_span body, struct wire_member *out)
{
    fm_assert(body.len >= 25);
    if (body.data[0] != FM_MEMBER_ALIVE && body.data[0] != FM_MEMBER_LEFT)
        return false;
    out->claim = (enum fm_member_claim)body.data[0];
    memcpy(out->node.bytes, body.data + 1, 16);
    out->incarnation = fm_load64(body.data + 17);
    out->envelope = fm_span(body.data + 25, body.len - 25);
    return true;
}

static bool decode_record(struct fm_span body, struct wire_record *out)
{
    fm_assert(body.len == 78);
    out->kind = fm_load16(body.data);
    memcpy(out->writer.bytes, body.data + 2, 16);
    memcpy(out->name, body.data + 18, 16);
    out->version = fm_load64(body.data + 34);
    memcpy(out->hash.bytes, body.data + 42, FM_HASH_BYTES);
    out->bytes = fm_load32(body.data + 74);
    return out->kind != 0;
}

static bool decode_body(uint8_t kind, struct fm_span body, struct wire_item *out)
{
    if (body.len < item_sizes[kind].min || body.len > item_sizes[kind].max)
        return false;
    switch (kind) {
    case WIRE_ITEM_DIGEST:
        return decode_digest(body, &out->value.digest);
    case WIRE_ITEM_TARGET:
    case WIRE_ITEM_BEHALF:
        memcpy(out->value.node.bytes, body.data, 16);
        return true;
    case WIRE_ITEM_ACCUSE:
        return decode_accuse(body, &out->value.accuse);
    case WIRE_ITEM_MEMBER:
        return decode_member(body, &out->value.member);
    default:
        fm_assert(kind == WIRE_ITEM_RECORD);
        return decode_record(body, &out->value.record);
    }
}

static bool item_known(uint8_t kind)
{
    return kind < sizeof item_sizes / sizeof *item_sizes && item_sizes[kind].max != 0;
}

static enum fm_status take_item(struct fm_cursor *cursor, struct wire_item *out)
{
    struct fm_span body;
    uint16_t bytes;

    if (fm_take_u8(cursor, &out->kind) != FM_OK || fm_take_u16(cursor, &bytes) != FM_OK ||
        fm_take_bytes(cursor, bytes, &body) != FM_OK)
        return FM_MALFORMED;
    if (out->kind == 0)
        return FM_MALFORMED;
    if (item_known(out->kind) && !decode_body(out->kind, body, out))
        return FM_MALFORMED;
    return FM_OK;
}

enum fm_status wire_open(struct fm_span bytes, struct wire_packet *out)
{
    struct wire_packet packet = {0};

    fm_assert(out != NULL);
    if (bytes.len < WIRE_HEADER_BYTES || bytes.len > FM_PACKET_BYTES_MAX)
        return FM_MALFORMED;
    fm_assert(bytes.data != NULL);
    if (bytes.data[0] != WIRE_VERSION)
        return FM_UNSUPPORTED;
    packet.kind = bytes.data[1];
    packet.sequence = fm_load32(bytes.data + 4);
    packet.items = fm_span(bytes.data + WIRE_HEADER_BYTES, bytes.len - WIRE_HEADER_BYTES);
    if (packet.kind == 0)
        return FM_MALFORMED;
    if (wire_kind_known(packet.kind)) {
        struct fm_cursor cursor = fm_cursor(packet.items);
        struct wire_item item;
        while (fm_cursor_left(&cursor) > 0) {
            if (take_item(&cursor, &item) != FM_OK)
                return FM_MALFORMED;
            packet.unknown_items += !item_known(item.kind);
        }
    }
    *out = packet;
    return FM_OK;
}

bool wire_next(struct fm_cursor *cursor, struct wire_item *out)
{
    fm_assert(cursor != NULL);
    if (fm_cursor_left(cursor) == 0)
        return false;
    enum fm_status status = take_item(cursor, out);
    fm_assert(status == FM_OK); /* wire_open() went over it. */
    return true;
}
