#include "node/cli/cli.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#define OPTIONS_MAX 32u

static enum fm_status take_uint(const struct fm_cli_option *option, const char *text,
                                struct fm_error *err)
{
    char *end = NULL;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < option->min ||
        value > option->max)
        return fm_fail(err, FM_USAGE, "--%s takes a number from %llu to %llu, not '%.40s'",
                       option->name, (unsigned long long)option->min,
                       (unsigned long long)option->max, text);
    *(uint64_t *)option->out = value;
    return FM_OK;
}

static enum fm_status take(const struct fm_cli_option *option, const char *text,
                           struct fm_error *err)
{
    struct fm_cli_list *list = NULL;

    switch (option->kind) {
    case FM_CLI_FLAG:
        *(bool *)option->out = true;
        return FM_OK;
    case FM_CLI_TEXT:
        *(const char **)option->out = text;
        return FM_OK;
    case FM_CLI_LIST:
        list = option->out;
        if (list->count == FM_CLI_LIST_MAX)
            return fm_fail(err, FM_USAGE, "--%s is given more than %u times", option->name,
                           FM_CLI_LIST_MAX);
        list->items[list->count++] = text;
        return FM_OK;
    case FM_CLI_UINT:
        return take_uint(option, text, err);
    }
    return FM_INTERNAL;
}

enum fm_status fm_cli_options(int argc, char **argv, const struct fm_cli_option *options,
                              size_t count, uint32_t rest_min, uint32_t rest_max,
                              struct fm_cli_list *rest, struct fm_error *err)
{
    struct option table[OPTIONS_MAX + 1] = {0};

    for (size_t i = 0; i < count && i < OPTIONS_MAX; i++)
        table[i] = (struct option){
            .name = options[i].name,
            .has_arg = options[i].kind == FM_CLI_FLAG ? no_argument : required_argument,
            .val = (int)(256 + i),
        };
    opterr = 0;
    optind = 0; /* Start anew: tests call this more than once. */
    rest->count = 0;
    for (;;) {
        int at = optind == 0 ? 1 : optind;
        int got = getopt_long(argc, argv, "-:", table, NULL);
        if (got == -1)
            break;
        if (got == ':')
            return fm_fail(err, FM_USAGE, "%.60s needs a value", argv[at]);
        if (got == '?')
            return fm_fail(err, FM_USAGE, "the option '%.60s' is not known; add --help", argv[at]);
        if (got != 1) {
            enum fm_status status = take(&options[got - 256], optarg, err);
            if (status != FM_OK)
                return status;
        } else if (rest->count < FM_CLI_LIST_MAX) {
            rest->items[rest->count++] = optarg;
        }
    }
    for (; optind < argc && rest->count < FM_CLI_LIST_MAX; optind++) /* Behind "--". */
        rest->items[rest->count++] = argv[optind];
    if (rest->count < rest_min)
        return fm_fail(err, FM_USAGE, "an argument is missing; add --help");
    if (rest->count > rest_max)
        return fm_fail(err, FM_USAGE, "'%.60s' is one word too many; add --help",
                       rest->items[rest_max]);
    return FM_OK;
}
