/* Bodies of catalog calls, requests of nodes and invites; the first byte says which. What decodes
 * must encode to the same bytes: there is one form. */
#include "client/catalog.h"
#include "client/statistics.h"

#include "core/assert.h"
#include "node/cli/invite.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void plan(struct fm_span bytes, struct fm_buf *out)
{
    static struct fm_product_plan value; /* Too large for the stack, as those below. */

    if (fm_product_plan_decode(bytes, &value) == FM_OK)
        fm_product_plan_encode(out, &value);
}

static void list(struct fm_span bytes, struct fm_buf *out)
{
    FM_AUTO(fm_product_list_deinit) struct fm_product_list value = {0};

    if (fm_product_list_decode(bytes, &value) == FM_OK)
        fm_product_list_encode(out, &value);
}

static void ask(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_product_ask value = {0};

    if (fm_product_ask_decode(bytes, &value) == FM_OK)
        fm_product_ask_encode(out, &value);
}

static void show(struct fm_span bytes, struct fm_buf *out)
{
    static struct fm_product_show value;

    if (fm_product_show_decode(bytes, &value) == FM_OK)
        fm_product_show_encode(out, &value);
}

static void members(struct fm_span bytes, struct fm_buf *out)
{
    FM_AUTO(fm_member_list_deinit) struct fm_member_list value = {0};

    if (fm_member_list_decode(bytes, &value) == FM_OK)
        fm_member_list_encode(out, &value);
}

static void contract(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_span value = {0};

    if (fm_product_request_decode(bytes, &value) == FM_OK)
        fm_product_request_encode(out, value);
}

static void invite(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_invite value;

    if (fm_invite_decode(bytes, &value) == FM_OK)
        fm_invite_encode(out, &value);
}

static void checkpoint(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_checkpoint_info value;

    if (fm_checkpoint_info_decode(bytes, &value) == FM_OK)
        fm_checkpoint_info_encode(out, &value);
}

/* Signatures keep this from coming back the same; it only must not crash. */
static void request(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_node_request value;

    (void)out;
    if (fm_node_request_open(bytes, &value) == FM_OK)
        fm_assert(memchr(value.name, '\0', sizeof value.name) != NULL);
}

static void statistics(struct fm_span bytes, struct fm_buf *out)
{
    static struct fm_statistics_report value;

    if (fm_statistics_report_decode(bytes, &value) == FM_OK)
        fm_statistics_report_encode(out, &value);
    fm_statistics_report_deinit(&value);
}

static void erase(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_erase_ask value = {0};

    if (fm_erase_ask_decode(bytes, &value) == FM_OK)
        fm_erase_ask_encode(out, &value);
}

static void erased(struct fm_span bytes, struct fm_buf *out)
{
    struct fm_erase_reply value;

    if (fm_erase_reply_decode(bytes, &value) == FM_OK)
        fm_erase_reply_encode(out, &value);
}

/* Keys from 32 up are ignored, so only a form without them comes back the same; the first key that
 * matters is the number of pairs. */
static bool has_ignored_keys(struct fm_span bytes, struct fm_span again)
{
    return bytes.len > again.len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const forms[])(struct fm_span, struct fm_buf *) = {
        plan,   list,    ask,        show,       members, contract,
        invite, request, checkpoint, statistics, erase,   erased,
    };
    FM_AUTO(fm_buf_free) struct fm_buf out = FM_BUF_INIT(0);

    if (size < 1 || fm_core_init(NULL) != FM_OK)
        return 0;
    struct fm_span bytes = fm_span(data + 1, size - 1);
    forms[data[0] % (sizeof forms / sizeof forms[0])](bytes, &out);
    fm_assert(fm_buf_status(&out) == FM_OK);
    if (out.len != 0 && !has_ignored_keys(bytes, fm_buf_span(&out)))
        fm_assert(fm_span_equal(bytes, fm_buf_span(&out)));
    return 0;
}
