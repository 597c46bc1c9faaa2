#include "node/cli/cli.h"

#include <stdio.h>

static const struct fm_cli_verb *const verbs[] = {
#define X(name) &fm_cli_##name,
    FM_CLI_VERB_MAP(X)
#undef X
};

#define VERB_COUNT (sizeof verbs / sizeof verbs[0])

/* What the verbs of a group have in common, where there are several. */
static const struct {
    const char *group;
    const char *summary;
} groups[] = {
    {"mesh", "found a mesh; try one on this machine"},
    {"node", "make, admit and run a node"},
    {"product", "publish contracts, see what is published"},
};

static const char *group_summary(const struct fm_cli_verb *verb)
{
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        if (strcmp(groups[i].group, verb->group) == 0)
            return groups[i].summary;
    return verb->summary;
}

static bool is_same_group(size_t i, size_t j)
{
    return verbs[i]->group != NULL && verbs[j]->group != NULL &&
           strcmp(verbs[i]->group, verbs[j]->group) == 0;
}

/* A line a verb; the verbs of a group, which stand together in the table, share one. */
static void print_help(FILE *out)
{
    (void)fprintf(out, "folkmoot: a data mesh of peers; any node answers SQL over all domains\n\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        char name[64];
        const char *summary = verbs[i]->group == NULL ? verbs[i]->summary : group_summary(verbs[i]);
        int len =
            snprintf(name, sizeof name, "%s%s%s", verbs[i]->group == NULL ? "" : verbs[i]->group,
                     verbs[i]->group == NULL ? "" : " ", verbs[i]->name);
        for (; i + 1 < VERB_COUNT && is_same_group(i, i + 1); i++)
            len += snprintf(name + len, sizeof name - (size_t)len, "|%s", verbs[i + 1]->name);
        (void)fprintf(out, "  %-29s %s\n", name, summary);
    }
    (void)fprintf(out, "\n$FOLKMOOT_NODE: whom to ask; $FOLKMOOT_IDENTITY: who you are; "
                       "example: query -h\n");
}

/* `verbs` that begin with this word and have a second one. */
static void print_group(FILE *out, const char *group)
{
    (void)fprintf(out, "Usage: folkmoot %s VERB\n\n", group);
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i]->group != NULL && strcmp(verbs[i]->group, group) == 0)
            (void)fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    (void)fprintf(out, "\nExample:\n  folkmoot %s VERB --help\n", group);
}

static bool is_group(const char *word)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (verbs[i]->group != NULL && strcmp(verbs[i]->group, word) == 0)
            return true;
    return false;
}

static const struct fm_cli_verb *find_verb(const char *group, const char *name)
{
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (strcmp(verbs[i]->name, name) == 0 &&
            (group == NULL ? verbs[i]->group == NULL
                           : verbs[i]->group != NULL && strcmp(verbs[i]->group, group) == 0))
            return verbs[i];
    return NULL;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

static bool asks_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (is_help(argv[i]))
            return true;
    return false;
}

static enum fm_status dispatch(int argc, char **argv, struct fm_error *err)
{
    const char *group = NULL;
    int at = 1;

    if (argc < 2)
        return fm_fail(err, FM_USAGE, "a verb is missing; folkmoot --help lists them");
    if (is_help(argv[1]) || strcmp(argv[1], "help") == 0) {
        print_help(stdout);
        return FM_OK;
    }
    if (strcmp(argv[1], "--version") == 0)
        return fm_cli_version.run(1, argv, err);
    if (is_group(argv[1])) {
        group = argv[1];
        at = 2;
        if (argc < 3)
            return fm_fail(err, FM_USAGE, "'%s' needs a second word; folkmoot %s --help lists them",
                           group, group);
        if (is_help(argv[2])) {
            print_group(stdout, group);
            return FM_OK;
        }
    }
    const struct fm_cli_verb *verb = find_verb(group, argv[at]);
    if (verb == NULL)
        return fm_fail(err, FM_USAGE, "there is no verb '%s%s%.40s'; folkmoot --help lists them",
                       group == NULL ? "" : group, group == NULL ? "" : " ", argv[at]);
    if (asks_help(argc - at, argv + at)) {
        (void)fputs(verb->help, stdout);
        return FM_OK;
    }
    enum fm_status status = verb->run(argc - at, argv + at, err);
    if (status == FM_USAGE)
        return fm_wrap(err, status, "%s%s%s", group == NULL ? "" : group, group == NULL ? "" : " ",
                       argv[at]);
    return status;
}

int fm_cli_main(int argc, char **argv)
{
    struct fm_error err = {0};

    enum fm_status status = dispatch(argc, argv, &err);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == FM_OK)
        status = fm_fail(&err, FM_IO, "standard output cannot be written");
    if (status != FM_OK)
        (void)fprintf(stderr, "folkmoot: %s\n",
                      err.text[0] == '\0' ? fm_status_text(status) : err.text);
    return fm_status_exit_code(status);
}
