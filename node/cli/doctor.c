#include "node/cli/node_folder.h"
#include "node/cli/output.h"

#include "storage/check.h"

#include <inttypes.h>
#include <stdio.h>

#define RENEW_DAYS 7
#define RENEW "renew it: folkmoot node invite, then folkmoot node join"

static const struct fm_output_column columns[] = {
    {"part", false}, {"state", false}, {"what", false}, {"advice", false}};

struct doctor {
    const char *dir;
    struct fm_output *output;
    bool has_identity; /* Charter and certificate hold. */
    struct fm_charter charter;
    struct fm_node_cert cert;
    uint64_t faults; /* Of the identity. */
};

static void say(struct doctor *doctor, const char *part, const char *state, const char *what,
                const char *advice)
{
    fm_output_text(doctor->output, part);
    fm_output_text(doctor->output, state);
    fm_output_text(doctor->output, what);
    fm_output_text(doctor->output, advice == NULL ? "" : advice);
}

static void say_fault(struct doctor *doctor, const char *part, const struct fm_error *err,
                      const char *advice)
{
    doctor->faults++;
    say(doctor, part, "fault", err->text, advice);
}

/* ---- Identity -------------------------------------------------------------------------------- */

static void check_key_file(struct doctor *doctor, const char *name, const enum fm_key_kind *kinds,
                           size_t count, const struct fm_public_key *const *wanted)
{
    struct fm_key *keys[2] = {NULL, NULL};
    struct fm_error err = {0};
    char path[FM_CLI_PATH_MAX];
    bool is_named = true;

    enum fm_status status = fm_cli_path(path, doctor->dir, name, &err);
    if (status == FM_OK)
        status = fm_keys_load(path, NULL, kinds, count, keys, &err);
    for (size_t i = 0; status == FM_OK && i < count; i++)
        is_named = is_named &&
                   (wanted[i] == NULL || fm_public_key_equal(wanted[i], fm_key_public(keys[i])));
    fm_key_free(keys[0]);
    fm_key_free(keys[1]);
    if (status == FM_OK && !is_named)
        status = fm_fail(&err, FM_FORGED, "the certificate names other keys than %s", path);
    if (status == FM_OK)
        say(doctor, name, "ok", "readable by its owner only", NULL);
    else
        say_fault(doctor, name, &err,
                  status == FM_NOTFOUND  ? "put the file back from where keys are kept"
                  : status == FM_REFUSED ? "chmod 600, and think about who may have read it"
                                         : "put the right file back from where keys are kept");
}

static void check_keys(struct doctor *doctor)
{
    static const enum fm_key_kind kinds[] = {FM_KEY_SIGN, FM_KEY_SESSION};
    static const enum fm_key_kind gossip[] = {FM_KEY_GOSSIP};
    const struct fm_node_cert *cert = doctor->has_identity ? &doctor->cert : NULL;
    const struct fm_public_key *sign[] = {cert == NULL ? NULL : &cert->sign_key,
                                          cert == NULL ? NULL : &cert->session_key};
    const struct fm_public_key *log[] = {
        cert == NULL || cert->domain_count == 0 ? NULL : &cert->domains[0].log_key};
    const struct fm_public_key *any[] = {NULL};

    check_key_file(doctor, FM_FILE_KEYS, kinds, 2, sign);
    check_key_file(doctor, FM_FILE_LOG, kinds, 1, log);
    check_key_file(doctor, FM_FILE_GOSSIP, gossip, 1, any);
}

static void check_days(struct doctor *doctor)
{
    const struct fm_node_cert *cert = &doctor->cert;
    int64_t now = fm_seconds(fm_now_us());
    int64_t days = (cert->not_after - now) / FM_CLI_DAY_SECONDS;
    struct fm_error err = {0};
    char text[96];

    if (fm_cert_check_time(cert->not_before, cert->not_after, now, &err) != FM_OK) {
        say_fault(doctor, FM_FILE_CERT, &err, RENEW);
        return;
    }
    (void)snprintf(text, sizeof text, "of node %.40s, valid for %" PRId64 " more days", cert->name,
                   days); /* A cut name still tells. */
    say(doctor, FM_FILE_CERT, days < RENEW_DAYS ? "note" : "ok", text,
        days < RENEW_DAYS ? RENEW : NULL);
}

static void check_identity(struct doctor *doctor)
{
    struct fm_error err = {0};

    enum fm_status status = fm_cli_node_cert(doctor->dir, &doctor->charter, &doctor->cert, &err);
    doctor->has_identity = status == FM_OK;
    if (status == FM_OK)
        check_days(doctor);
    else
        say_fault(doctor, FM_FILE_CERT, &err,
                  "let the node join (folkmoot node join) with an invite of its mesh");
    check_keys(doctor);
}

/* ---- Store ----------------------------------------------------------------------------------- */

static void take_finding(void *context, const struct fm_check_finding *finding)
{
    struct doctor *doctor = context;

    say(doctor, finding->part, finding->severity == FM_CHECK_DAMAGE ? "damage" : "note",
        finding->text, finding->advice);
}

static enum fm_status take_table(void *context, const struct fm_check_table *table,
                                 struct fm_error *err)
{
    struct doctor *doctor = context;
    char name[2 * FM_NAME_MAX + 2], text[320], root[65], dropped[48] = "";

    (void)err; /* Cannot fail. */
    fm_hex(table->root.bytes, sizeof table->root.bytes, root);
    (void)snprintf(name, sizeof name, "%s.%s", table->domain, table->table); /* Fits. */
    if (table->dropped > 0)
        (void)snprintf(dropped, sizeof dropped, ", %" PRIu64 " dropped by retention",
                       table->dropped); /* Fits. */
    (void)snprintf(text, sizeof text,
                   "%" PRIu64 " facts (%" PRIu64 " latest%s), %" PRIu64 " segments, %" PRIu64
                   " hot rows, %" PRIu64 " bytes, root %s",
                   table->size, table->rows_latest, dropped, table->segment_count, table->hot_rows,
                   table->stored_bytes, root); /* Fits. */
    say(doctor, name, table->is_whole ? "ok" : "damage", text,
        table->is_whole ? NULL : "see above");
    return FM_OK;
}

static enum fm_status check_store(struct doctor *doctor, const char *data,
                                  struct fm_check_result *result, struct fm_error *err)
{
    struct fm_check_options options = {
        .dir = data,
        .mesh = doctor->has_identity ? &doctor->charter.mesh : NULL,
        .node = doctor->has_identity ? &doctor->cert.node : NULL,
        .context = doctor,
        .finding = take_finding,
        .table = take_table,
    };
    char text[128];

    enum fm_status status = fm_store_check(&options, result, err);
    if (status == FM_BUSY)
        return fm_wrap(err, status, "the node of %s runs; stop it first", doctor->dir);
    if (status == FM_NOTFOUND) {
        say(doctor, "store", "note", "there is none yet",
            "nothing: the node's first start makes it");
        return FM_OK;
    }
    if (status != FM_OK)
        return status;
    (void)snprintf(text, sizeof text, "%" PRIu32 " tables, commit %" PRIu64, result->table_count,
                   result->commit); /* Fits. */
    say(doctor, "store", result->damage_count == 0 ? "ok" : "damage", text,
        result->damage_count == 0 ? NULL : "see above");
    return FM_OK;
}

/* ---- The verb -------------------------------------------------------------------------------- */

static enum fm_status conclude(const struct doctor *doctor, const struct fm_check_result *result,
                               struct fm_error *err)
{
    if (result->damage_count > 0)
        return fm_fail(err, FM_CORRUPT,
                       "the store of %s is damaged (%" PRIu64
                       " findings): keep the folder as it is, restore from a backup into a new one",
                       doctor->dir, result->damage_count);
    if (doctor->faults > 0)
        return fm_fail(err, FM_REFUSED,
                       "the store of %s is whole, but its identity has %" PRIu64
                       " faults: the node will not start",
                       doctor->dir, doctor->faults);
    return FM_OK;
}

static enum fm_status examine(const char *dir, enum fm_output_format format, struct fm_error *err)
{
    FM_AUTO(fm_output_freep) struct fm_output *output = NULL;
    struct doctor doctor = {.dir = dir};
    struct fm_check_result result = {0};
    char data[FM_CONFIG_PATH_MAX];

    enum fm_status status = fm_core_init(err);
    if (status == FM_OK)
        status = fm_cli_node_data(dir, data, err);
    if (status != FM_OK)
        return status;
    status = fm_output_new(stdout, format, columns, sizeof columns / sizeof columns[0], &output);
    if (status != FM_OK)
        return fm_fail(err, status, "print the findings");
    doctor.output = output;
    check_identity(&doctor);
    status = check_store(&doctor, data, &result, err);
    enum fm_status printed = fm_output_finish(output);
    if (status != FM_OK)
        return status;
    if (printed != FM_OK)
        return fm_fail(err, printed, "print the findings");
    return conclude(&doctor, &result, err);
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    const char *dir = NULL, *format_name = NULL;
    enum fm_output_format format = FM_OUTPUT_TABLE;
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"dir", FM_CLI_TEXT, &dir, 0, 0},
        {"format", FM_CLI_TEXT, &format_name, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status == FM_OK)
        status = fm_output_choose(format_name, stdout, &format, err);
    if (status != FM_OK)
        return status;
    if (dir == NULL)
        return fm_fail(err, FM_USAGE, "which node? Give --dir DIR");
    return examine(dir, format, err);
}

const struct fm_cli_verb fm_cli_doctor = {
    .name = "doctor",
    .summary = "examine a stopped node's folder; changes nothing",
    .help = "Usage: folkmoot doctor --dir DIR [--format FORMAT]\n"
            "\n"
            "Examines the folder of a node that does not run: key files and certificate,\n"
            "and in the store every checksum, the key indexes, the chain of commits, and\n"
            "the Merkle root of every table, computed anew from its facts. Says what is\n"
            "wrong and what to do. Reads everything once or twice; changes nothing.\n"
            "\n"
            "  --dir DIR          the node's folder\n"
            "  --format FORMAT    table, csv, ndjson or json; default: a table on a\n"
            "                     terminal, else csv\n"
            "\n"
            "Exit code 0: all is well; 74: the store is damaged; 75: the node runs;\n"
            "77: keys or certificate will keep the node from starting.\n"
            "\n"
            "Example:\n"
            "  folkmoot doctor --dir flights\n",
    .run = run,
};
