#include "node/cli/receipts.h"

#include "client/client_text.h"
#include "core/note.h"
#include "core/schema.h"

#include <inttypes.h>

static const struct fm_output_column columns[] = {
    {"answered by", false}, {"domain", false}, {"rows", true},  {"bytes", true},
    {"head of", false},     {"size", true},    {"root", false}, {"time", false},
};

#define COLUMN_COUNT (sizeof columns / sizeof columns[0])

/* "flights.delays/1" of "folkmoot/<mesh>/flights/delays/1". */
static void put_origin(struct fm_output *output, const char *origin)
{
    struct fm_mesh_id mesh;
    char domain[FM_NAME_MAX + 1], table[FM_NAME_MAX + 1];
    uint32_t epoch = 0;

    if (fm_head_origin_parse(origin, &mesh, domain, table, &epoch) == FM_OK)
        fm_output_printf(output, "%s.%s/%" PRIu32, domain, table, epoch);
    else
        fm_output_text(output, origin);
}

static void put_time(struct fm_output *output, int64_t us)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    fm_text_timestamp(&text, us - us % 1000, ' ');
    fm_output_cell(output, (const char *)text.data, text.len, false);
}

static void put_receipt(struct fm_output *output, const struct folkmoot_answer *answer, uint32_t i)
{
    struct folkmoot_receipt_info receipt;
    struct folkmoot_head_info head;

    if (folkmoot_answer_receipt(answer, i, &receipt) != FOLKMOOT_OK)
        return;
    for (uint32_t t = 0; t < receipt.head_count; t++) {
        if (folkmoot_answer_head(answer, i, t, &head) != FOLKMOOT_OK)
            return;
        fm_output_printf(output, "%s (%.8s)", receipt.node_name, receipt.node_id);
        fm_output_text(output, receipt.domain);
        fm_output_printf(output, "%" PRIu64, receipt.rows);
        fm_output_printf(output, "%" PRIu64, receipt.bytes);
        put_origin(output, head.origin);
        fm_output_printf(output, "%" PRIu64, head.size);
        fm_output_printf(output, "%.12s", head.root);
        put_time(output, receipt.time_us);
    }
}

/* The node asked says so itself: nobody has signed a head for it. */
static void put_own(struct fm_output *output, const struct folkmoot_answer *answer,
                    const struct folkmoot_answer_info *info, uint32_t i)
{
    struct folkmoot_own_info own;

    if (folkmoot_answer_own(answer, i, &own) != FOLKMOOT_OK)
        return;
    fm_output_printf(output, "%s (%.8s)", info->node_name, info->node_id);
    fm_output_text(output, FM_VIEWS_DOMAIN);
    fm_output_printf(output, "%" PRIu64, own.rows);
    fm_output_text(output, "");
    fm_output_printf(output, "%s.%s, its own word", FM_VIEWS_DOMAIN, own.table);
    fm_output_text(output, "");
    fm_output_printf(output, "%.12s", own.root);
    put_time(output, info->time_us);
}

enum fm_status fm_cli_receipts(FILE *stream, enum fm_output_format format,
                               const struct folkmoot_answer *answer)
{
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;
    struct folkmoot_answer_info info;

    folkmoot_answer_info(answer, &info);
    enum fm_status status = fm_output_new(stream, format, columns, COLUMN_COUNT, &output);
    if (status != FM_OK)
        return status;
    for (uint32_t i = 0; i < info.receipt_count; i++)
        put_receipt(output, answer, i);
    for (uint32_t i = 0; i < info.own_count; i++)
        put_own(output, answer, &info, i);
    return fm_output_finish(output);
}

enum fm_status fm_cli_missing(FILE *stream, const struct folkmoot_answer *answer)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    struct folkmoot_answer_info info;
    struct folkmoot_missing_info missing;

    folkmoot_answer_info(answer, &info);
    for (uint32_t i = 0;
         i < info.missing_count && folkmoot_answer_missing(answer, i, &missing) == FOLKMOOT_OK;
         i++) {
        fm_buf_printf(&text, "INCOMPLETE: domain %s on node ", missing.domain);
        fm_output_escape(&text, fm_span_str(missing.node_name));
        fm_buf_printf(&text, " (%.8s): %s", missing.node_id, missing.state);
        if (missing.rows != 0)
            fm_buf_printf(&text, " after %" PRIu64 " rows", missing.rows);
        fm_buf_put_str(&text, ": ");
        fm_output_escape(&text, fm_span_str(missing.reason));
        fm_buf_put_u8(&text, '\n');
    }
    if (fm_buf_status(&text) != FM_OK || text.len == 0)
        return fm_buf_status(&text);
    return fwrite(text.data, 1, text.len, stream) == text.len ? FM_OK : FM_IO;
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void put_text(struct fm_buf *out, const char *name, const char *value)
{
    fm_json_string(out, fm_span_str(name));
    fm_buf_put_u8(out, ':');
    fm_json_string(out, fm_span_str(value));
}

static void put_number(struct fm_buf *out, const char *name, uint64_t value)
{
    fm_json_string(out, fm_span_str(name));
    fm_buf_printf(out, ":%" PRIu64, value);
}

static void put_instant(struct fm_buf *out, const char *name, int64_t us)
{
    fm_json_string(out, fm_span_str(name));
    fm_buf_put_str(out, ":\"");
    fm_text_timestamp(out, us, 'T');
    fm_buf_put_str(out, "Z\"");
}

static void put_heads(struct fm_buf *out, const struct folkmoot_answer *answer, uint32_t i,
                      uint32_t count)
{
    struct folkmoot_head_info head;

    fm_buf_put_str(out, "\"heads\":[");
    for (uint32_t t = 0; t < count && folkmoot_answer_head(answer, i, t, &head) == FOLKMOOT_OK;
         t++) {
        fm_buf_put_str(out, t == 0 ? "{" : ",{");
        put_text(out, "origin", head.origin);
        fm_buf_put_u8(out, ',');
        put_number(out, "size", head.size);
        fm_buf_put_u8(out, ',');
        put_text(out, "root", head.root);
        fm_buf_put_u8(out, ',');
        put_instant(out, "time", head.time_us);
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_u8(out, ']');
}

static void put_receipts(struct fm_buf *out, const struct folkmoot_answer *answer, uint32_t count)
{
    struct folkmoot_receipt_info receipt;

    fm_buf_put_str(out, "\"receipts\":[");
    for (uint32_t i = 0; i < count && folkmoot_answer_receipt(answer, i, &receipt) == FOLKMOOT_OK;
         i++) {
        fm_buf_put_str(out, i == 0 ? "{" : ",{");
        put_text(out, "domain", receipt.domain);
        fm_buf_put_u8(out, ',');
        put_text(out, "node", receipt.node_id);
        fm_buf_put_u8(out, ',');
        put_text(out, "node_name", receipt.node_name);
        fm_buf_put_u8(out, ',');
        put_number(out, "rows", receipt.rows);
        fm_buf_put_u8(out, ',');
        put_number(out, "bytes", receipt.bytes);
        fm_buf_put_u8(out, ',');
        put_instant(out, "time", receipt.time_us);
        fm_buf_put_u8(out, ',');
        put_heads(out, answer, i, receipt.head_count);
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_u8(out, ']');
}

static void put_owns(struct fm_buf *out, const struct folkmoot_answer *answer, uint32_t count)
{
    struct folkmoot_own_info own;

    fm_buf_put_str(out, "\"own\":[");
    for (uint32_t i = 0; i < count && folkmoot_answer_own(answer, i, &own) == FOLKMOOT_OK; i++) {
        fm_buf_put_str(out, i == 0 ? "{" : ",{");
        put_text(out, "table", own.table);
        fm_buf_put_u8(out, ',');
        put_number(out, "rows", own.rows);
        fm_buf_put_u8(out, ',');
        put_text(out, "root", own.root);
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_u8(out, ']');
}

static void put_missing(struct fm_buf *out, const struct folkmoot_answer *answer, uint32_t count)
{
    struct folkmoot_missing_info missing;

    fm_buf_put_str(out, "\"missing\":[");
    for (uint32_t i = 0; i < count && folkmoot_answer_missing(answer, i, &missing) == FOLKMOOT_OK;
         i++) {
        fm_buf_put_str(out, i == 0 ? "{" : ",{");
        put_text(out, "domain", missing.domain);
        fm_buf_put_u8(out, ',');
        put_text(out, "node", missing.node_id);
        fm_buf_put_u8(out, ',');
        put_text(out, "node_name", missing.node_name);
        fm_buf_put_u8(out, ',');
        put_text(out, "state", missing.state);
        fm_buf_put_u8(out, ',');
        put_number(out, "rows", missing.rows);
        fm_buf_put_u8(out, ',');
        put_text(out, "reason", missing.reason);
        fm_buf_put_u8(out, '}');
    }
    fm_buf_put_u8(out, ']');
}

static void put_replayed(struct fm_buf *out, const struct fm_replayed *replayed)
{
    fm_buf_printf(out, "\"replayed\":{\"merged\":%s,\"in_order\":%s,",
                  replayed->is_merge ? "true" : "false",
                  replayed->compared.is_in_order ? "true" : "false");
    put_number(out, "fragments", replayed->fragments);
    fm_buf_put_u8(out, ',');
    put_number(out, "rows", replayed->compared.rows);
    fm_buf_put_str(out, "},");
}

enum fm_status fm_cli_answer_json(FILE *stream, const struct folkmoot_answer *answer,
                                  const struct fm_replayed *replayed)
{
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);
    struct folkmoot_answer_info info;

    folkmoot_answer_info(answer, &info);
    const struct {
        const char *name, *value;
    } texts[] = {
        {"mesh", info.mesh},           {"mesh_id", info.mesh_id}, {"query", info.query_id},
        {"asked_by", info.principal},  {"sql", info.sql},         {"node", info.node_id},
        {"node_name", info.node_name},
    };
    fm_buf_put_str(&out, "{\"verified\":true,");
    if (replayed != NULL)
        put_replayed(&out, replayed);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        put_text(&out, texts[i].name, texts[i].value);
        fm_buf_put_u8(&out, ',');
    }
    put_instant(&out, "time", info.time_us);
    fm_buf_printf(&out, ",\"complete\":%s,", info.is_complete ? "true" : "false");
    put_number(&out, "rows", info.rows);
    fm_buf_put_u8(&out, ',');
    put_number(&out, "bytes", info.bytes);
    fm_buf_put_u8(&out, ',');
    put_number(&out, "batches", info.batches);
    fm_buf_put_u8(&out, ',');
    put_missing(&out, answer, info.missing_count);
    fm_buf_put_u8(&out, ',');
    put_owns(&out, answer, info.own_count);
    fm_buf_put_u8(&out, ',');
    put_receipts(&out, answer, info.receipt_count);
    fm_buf_put_str(&out, "}\n");
    if (fm_buf_status(&out) != FM_OK)
        return fm_buf_status(&out);
    return fwrite(out.data, 1, out.len, stream) == out.len ? FM_OK : FM_IO;
}
