/* folkmoot erase: destroy the key of a data subject in a domain. */
#include "client/catalog.h"
#include "node/cli/cli.h"
#include "node/cli/output.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES (FM_SUBJECT_BYTES_MAX + 2u) /* With its end. */

static bool has_terminal(void)
{
    return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

/* One line from the terminal, without its end. */
static enum fm_status ask_line(const char *question, struct fm_buf *out, struct fm_error *err)
{
    char line[LINE_BYTES + 1];

    (void)fputs(question, stderr);
    if (fgets(line, sizeof line, stdin) == NULL)
        return fm_fail(err, FM_CANCELLED, "nothing was answered; nothing was erased");
    fm_buf_put_span(out, fm_span(line, strcspn(line, "\n")));
    return fm_buf_status(out);
}

static enum fm_status read_subject(const char *argument, struct fm_buf *out, struct fm_error *err)
{
    enum fm_status status = FM_OK;

    if (strcmp(argument, "-") != 0)
        fm_buf_put_span(out, fm_span_str(argument));
    else if (has_terminal())
        status = ask_line("Subject: ", out, err);
    else
        status = fm_cli_read("-", LINE_BYTES, out, err);
    if (status != FM_OK)
        return status;
    if (strcmp(argument, "-") == 0 && out->len != 0 && out->data[out->len - 1] == '\n')
        out->len--;
    if (strcmp(argument, "-") == 0 && memchr(out->data, '\n', out->len) != NULL)
        return fm_fail(err, FM_INVALID, "standard input has several lines; erase one by one");
    if (out->len > FM_SUBJECT_BYTES_MAX)
        return fm_fail(err, FM_INVALID, "no subject has more than %u bytes", FM_SUBJECT_BYTES_MAX);
    if (!fm_utf8_valid(fm_buf_span(out)))
        return fm_fail(err, FM_INVALID, "the subject is not UTF-8");
    return fm_buf_status(out);
}

static enum fm_status confirm(const struct fm_erase_ask *ask, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf answer = FM_BUF_INIT(0);

    if (!has_terminal())
        return fm_fail(err, FM_USAGE, "nobody can be asked here; --yes erases without asking");
    fm_output_escape(&text, ask->subject);
    if (fm_buf_status(&text) != FM_OK)
        return fm_fail(err, FM_NOMEM, "erase");
    (void)fprintf(stderr,
                  "Personal and secret values of the subject %.*s\n"
                  "in all tables of the domain %s become unreadable for ever.\n",
                  (int)text.len, (const char *)text.data, ask->domain);
    enum fm_status status = ask_line("Type yes to erase them: ", &answer, err);
    if (status == FM_OK && !fm_span_equal(fm_buf_span(&answer), fm_span_str("yes")))
        return fm_fail(err, FM_CANCELLED, "the answer was not yes; nothing was erased");
    return status;
}

static enum fm_status erase(const struct fm_cli_reach *reach, const struct fm_erase_ask *ask,
                            struct fm_error *err)
{
    FM_AUTO(fm_cli_closep) struct folkmoot *handle = NULL;
    FM_AUTO(fm_buf_free) struct fm_buf body = FM_BUF_INIT(FM_SUBJECT_BYTES_MAX + 1024u);
    FM_AUTO(fm_buf_free) struct fm_buf bytes = FM_BUF_INIT(4096);
    struct fm_erase_reply reply;

    enum fm_status status = fm_cli_connect(reach, &handle, err);
    if (status != FM_OK)
        return status;
    fm_erase_ask_encode(&body, ask);
    status = fm_client_call(handle, FM_METHOD_ERASE_SUBJECT, fm_buf_span(&body), &bytes);
    if (status != FM_OK)
        return fm_cli_failed(handle, fm_public_status(status), err);
    status = fm_erase_reply_decode(fm_buf_span(&bytes), &reply);
    if (status != FM_OK)
        return fm_fail(err, status, "the node's reply: %s", fm_status_text(status));
    (void)printf("%s in domain %s, %" PRIu32 " table%s with subjects\n",
                 reply.was_erased ? "was erased before" : "erased", ask->domain, reply.table_count,
                 reply.table_count == 1 ? "" : "s");
    if (!reply.is_gone)
        (void)printf("a query from before still runs: the key's bytes leave the node's files "
                     "within a minute of its end\n");
    return FM_OK;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf subject = FM_BUF_INIT(0);
    struct fm_cli_reach reach = {.timeout = 60};
    struct fm_erase_ask ask = {0};
    bool is_sure = false;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        FM_CLI_REACH_OPTIONS(&reach),
        {"yes", FM_CLI_FLAG, &is_sure, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 2, 2, &rest, err);
    if (status == FM_OK && !fm_domain_name_valid(rest.items[0]))
        status =
            fm_fail(err, FM_USAGE, "'%.63s' is no domain; expected DOMAIN SUBJECT", rest.items[0]);
    if (status == FM_OK)
        status = read_subject(rest.items[1], &subject, err);
    if (status != FM_OK)
        return status;
    memcpy(ask.domain, rest.items[0], strlen(rest.items[0]));
    ask.subject = fm_buf_span(&subject);
    if (!is_sure)
        status = confirm(&ask, err);
    return status == FM_OK ? erase(&reach, &ask, err) : status;
}

const struct fm_cli_verb fm_cli_erase = {
    .name = "erase",
    .summary = "make a data subject's values unreadable for ever",
    .help = "Usage: folkmoot erase DOMAIN SUBJECT|- [--yes] [--node HOST:PORT] [--as DIR]\n"
            "\n"
            "Destroys the key of a data subject at the node that owns the domain. Personal\n"
            "and secret values of all its facts, in all tables of the domain that name\n"
            "subjects, read as NULL from then on, also as of earlier times, and nothing\n"
            "brings them back; new facts of it are refused. Facts, their order and all\n"
            "proofs stay. Backups hold the key until the last of them is gone. Needs the\n"
            "role owner:DOMAIN. Repeated, it says so and changes nothing.\n"
            "\n"
            "  SUBJECT            as in the subject's column; -: read it from standard\n"
            "                     input, so that neither the shell's history nor the\n"
            "                     list of processes has it\n"
            "  --yes              do not ask; needed where there is no terminal\n"
            "  --node HOST:PORT   the domain's node (default: FOLKMOOT_NODE)\n"
            "  --as DIR           folder of your keys (default: FOLKMOOT_IDENTITY)\n"
            "  --timeout SECONDS  how long it may take (default 60)\n"
            "\n"
            "Example:\n"
            "  folkmoot erase shop - --yes <customer.txt\n",
    .run = run,
};
