#include "node/cli/cli.h"

#include <stdio.h>

#ifndef FM_COMMIT
#define FM_COMMIT "unknown"
#endif

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct fm_cli_list rest;

    enum fm_status status = fm_cli_options(argc, argv, NULL, 0, 0, 0, &rest, err);
    if (status == FM_OK)
        (void)printf("folkmoot %s (%s), protocol %u\n", FM_VERSION, FM_COMMIT, FM_PROTOCOL_VERSION);
    return status;
}

const struct fm_cli_verb fm_cli_version = {
    .name = "version",
    .summary = "print the version",
    .help = "Usage: folkmoot version\n"
            "\n"
            "Prints the version, the commit it was built from, and the protocol's version.\n"
            "\n"
            "Example:\n"
            "  folkmoot version\n",
    .run = run,
};
