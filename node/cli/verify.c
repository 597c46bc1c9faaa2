#include "node/cli/cli.h"
#include "node/cli/output.h"
#include "node/cli/receipts.h"
#include "node/cli/replay.h"

#include "client/client_text.h"

#include <inttypes.h>
#include <stdio.h>

static void print_replayed(const struct fm_replayed *replayed)
{
    if (!replayed->is_merge)
        (void)printf("replayed: nothing was merged, the rows are its only owner's\n");
    else
        (void)printf(
            "replayed: the merge of %" PRIu32 " fragment%s gives these %" PRIu64 " rows%s\n",
            replayed->fragments, replayed->fragments == 1 ? "" : "s", replayed->compared.rows,
            replayed->compared.is_in_order ? "" : ", in another order that it leaves open");
}

/* `replayed`: NULL where it was not asked for. */
static enum fm_status print_text(const struct folkmoot_answer *answer,
                                 const struct fm_replayed *replayed)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    struct folkmoot_answer_info info;

    folkmoot_answer_info(answer, &info);
    fm_buf_printf(&text, "mesh      %s (%.16s)\nasked by  ", info.mesh, info.mesh_id);
    fm_output_escape(&text, fm_span_str(info.principal));
    fm_buf_put_str(&text, "\nsql       ");
    fm_output_escape(&text, fm_span_str(info.sql));
    fm_buf_put_str(&text, "\nanswered  by ");
    fm_output_escape(&text, fm_span_str(info.node_name));
    fm_buf_printf(&text, " (%.8s) at ", info.node_id);
    fm_text_timestamp(&text, info.time_us - info.time_us % 1000, ' ');
    fm_buf_printf(&text, " UTC\nresult    %" PRIu64 " rows, %" PRIu64 " bytes%s\n\n", info.rows,
                  info.bytes,
                  info.is_complete ? "" : ", INCOMPLETE: parts were allowed to be missing");
    if (fm_buf_status(&text) != FM_OK)
        return fm_buf_status(&text);
    (void)fwrite(text.data, 1, text.len, stdout); /* Checked when the program ends. */
    enum fm_status status = fm_cli_receipts(stdout, FM_OUTPUT_TABLE, answer);
    if (status == FM_OK)
        status = fm_cli_missing(stdout, answer);
    if (status == FM_OK)
        (void)printf("\nverified: every signature, head and row of this answer holds\n");
    if (status == FM_OK && replayed != NULL)
        print_replayed(replayed);
    return status;
}

static enum fm_status print(const struct folkmoot_answer *answer,
                            const struct fm_replayed *replayed, enum fm_output_format format,
                            struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if (format == FM_OUTPUT_TABLE)
        status = print_text(answer, replayed);
    else if (format == FM_OUTPUT_CSV)
        status = fm_cli_missing(stderr, answer) == FM_OK ? fm_cli_receipts(stdout, format, answer)
                                                         : FM_IO;
    else
        status = fm_cli_answer_json(stdout, answer, replayed);
    return status == FM_OK ? FM_OK : fm_fail(err, status, "print what was verified");
}

static enum fm_status verify(const char *file, const char *charter, bool replays,
                             enum fm_output_format format, struct fm_error *err)
{
    struct fm_replayed replayed;
    struct folkmoot_answer *answer = NULL;
    char text[FOLKMOOT_ERROR_MAX] = "";

    enum folkmoot_status checked = folkmoot_verify(file, charter, &answer, text);
    if (checked == FOLKMOOT_FORGED)
        return fm_fail(err, FM_FORGED, "%s does not hold: %s", file, text);
    if (checked != FOLKMOOT_OK)
        return fm_fail(err, (enum fm_status)checked, "verify: %s", text);
    enum fm_status status = replays ? fm_cli_replay(file, answer, &replayed, err) : FM_OK;
    if (status != FM_OK)
        status = fm_wrap(err, status, "replay %s", file);
    else
        status = print(answer, replays ? &replayed : NULL, format, err);
    folkmoot_answer_free(answer);
    return status;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    const char *charter = NULL, *format_name = "table";
    bool replays = false;
    enum fm_output_format format = FM_OUTPUT_TABLE;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"charter", FM_CLI_TEXT, &charter, 0, 0},
        {"replay", FM_CLI_FLAG, &replays, 0, 0},
        {"format", FM_CLI_TEXT, &format_name, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 1, 1, &rest, err);
    if (status == FM_OK)
        status = fm_output_choose(format_name, stdout, &format, err);
    if (status != FM_OK)
        return status;
    if (charter == NULL)
        return fm_fail(err, FM_USAGE,
                       "against which charter? Give --charter FILE, from where you trust it");
    return verify(rest.items[0], charter, replays, format, err);
}

const struct fm_cli_verb fm_cli_verify = {
    .name = "verify",
    .summary = "check a saved answer without a network",
    .help = "Usage: folkmoot verify FILE --charter CHARTER [--replay] [--format FORMAT]\n"
            "\n"
            "Checks an answer that folkmoot query --save kept: certificates, the signed\n"
            "request, tickets, receipts, heads, the answer, and that the rows are the ones\n"
            "that were signed. Opens no socket. The charter is what you trust: take it from\n"
            "the mesh's authority, not from whom you got the answer.\n"
            "\n"
            "  --charter FILE     the mesh's charter\n"
            "  --replay           do the merge again, in a worker process, over what the\n"
            "                     owners sent (query --with-fragments kept it), and compare\n"
            "  --format FORMAT    table (default), csv (receipts), ndjson or json\n"
            "\n"
            "Exit code 0: it holds. 76: it does not, and the message says what.\n"
            "\n"
            "Example:\n"
            "  folkmoot verify delays.answer --charter ann/charter\n",
    .run = run,
};
