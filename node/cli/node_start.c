#include "node/cli/cli.h"
#include "node/config.h"
#include "node/node.h"

#include <stdio.h>

struct flags {
    const char *dir;
    const char *config;
    const char *data;
    const char *listen;
    const char *advertise;
    const char *postgres;
    const char *http;
    const char *memory;
    const char *log_level;
    const char *log_format;
    struct fm_cli_list seeds;
    bool print_config;
};

static enum fm_status read_file(const struct flags *flags, struct fm_node_config *config,
                                struct fm_error *err)
{
    char path[FM_CLI_PATH_MAX];

    if (flags->config != NULL)
        return fm_node_config_read(config, flags->config, err);
    enum fm_status status = fm_cli_path(path, flags->dir, FM_CONFIG_FILE, err);
    if (status != FM_OK)
        return status;
    status = fm_node_config_read(config, path, err);
    return status == FM_NOTFOUND ? FM_OK : status;
}

static enum fm_status apply_flags(const struct flags *flags, struct fm_node_config *config,
                                  struct fm_error *err)
{
    const struct {
        const char *flag;
        const char *key;
        const char *value;
    } texts[] = {
        {"data", "data", flags->data},
        {"listen", "listen", flags->listen},
        {"advertise", "advertise", flags->advertise},
        {"postgres", "postgres", flags->postgres},
        {"http", "http", flags->http},
        {"memory", "memory_mib", flags->memory},
        {"log-level", "log_level", flags->log_level},
        {"log-format", "log_format", flags->log_format},
    };

    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (texts[i].value == NULL)
            continue;
        enum fm_status status = fm_node_config_set(config, texts[i].key, texts[i].value, err);
        if (status != FM_OK)
            return fm_wrap(err, status, "--%s", texts[i].flag);
    }
    if (flags->seeds.count != 0)
        config->seed_count = 0;
    for (uint32_t i = 0; i < flags->seeds.count; i++) {
        enum fm_status status = fm_node_config_set(config, "seeds", flags->seeds.items[i], err);
        if (status != FM_OK)
            return fm_wrap(err, status, "--seed");
    }
    return FM_OK;
}

static enum fm_status print_config(const struct fm_node_config *config, struct fm_error *err)
{
    FM_AUTO(fm_buf_free) struct fm_buf text = FM_BUF_INIT(0);

    fm_node_config_print(config, &text);
    if (fm_buf_status(&text) != FM_OK)
        return fm_fail(err, fm_buf_status(&text), "print the configuration");
    (void)fwrite(text.data, 1, text.len, stdout); /* Checked when the program ends. */
    return FM_OK;
}

static enum fm_status start(const struct flags *flags, struct fm_error *err)
{
    FM_AUTO(fm_mem_freep) struct fm_node_config *config = calloc(1, sizeof *config);

    if (config == NULL)
        return fm_fail(err, FM_NOMEM, "start");
    enum fm_status status = fm_node_config_init(config, flags->dir, err);
    if (status == FM_OK)
        status = read_file(flags, config, err);
    if (status == FM_OK)
        status = apply_flags(flags, config, err);
    if (status != FM_OK)
        return status;
    if (flags->print_config)
        return print_config(config, err);
    status = fm_core_init(err);
    return status == FM_OK ? fm_node_run(config, err) : status;
}

static enum fm_status run(int argc, char **argv, struct fm_error *err)
{
    struct flags flags = {0};
    struct fm_cli_list rest;
    const struct fm_cli_option options[] = {
        {"dir", FM_CLI_TEXT, &flags.dir, 0, 0},
        {"config", FM_CLI_TEXT, &flags.config, 0, 0},
        {"data", FM_CLI_TEXT, &flags.data, 0, 0},
        {"listen", FM_CLI_TEXT, &flags.listen, 0, 0},
        {"advertise", FM_CLI_TEXT, &flags.advertise, 0, 0},
        {"postgres", FM_CLI_TEXT, &flags.postgres, 0, 0},
        {"http", FM_CLI_TEXT, &flags.http, 0, 0},
        {"seed", FM_CLI_LIST, &flags.seeds, 0, 0},
        {"memory", FM_CLI_TEXT, &flags.memory, 0, 0},
        {"log-level", FM_CLI_TEXT, &flags.log_level, 0, 0},
        {"log-format", FM_CLI_TEXT, &flags.log_format, 0, 0},
        {"print-config", FM_CLI_FLAG, &flags.print_config, 0, 0},
    };

    enum fm_status status =
        fm_cli_options(argc, argv, options, sizeof options / sizeof options[0], 0, 0, &rest, err);
    if (status != FM_OK)
        return status;
    if (flags.dir == NULL)
        return fm_fail(err, FM_USAGE, "which node? Give --dir DIR");
    return start(&flags, err);
}

const struct fm_cli_verb fm_cli_node_start = {
    .group = "node",
    .name = "start",
    .summary = "run a node until SIGTERM",
    .help = "Usage: folkmoot node start --dir DIR [OPTION]...\n"
            "\n"
            "Runs the node of DIR in the foreground; logs go to stderr. Settings come from\n"
            "defaults, then DIR/node.yaml, then these options.\n"
            "\n"
            "  --dir DIR               the node's folder, after node join\n"
            "  --config FILE           read FILE instead of DIR/node.yaml\n"
            "  --data DIR              folder of the store (default: DIR/data)\n"
            "  --listen HOST:PORT      where to listen (default 127.0.0.1:7410)\n"
            "  --advertise HOST:PORT   what others are told (default: as --listen)\n"
            "  --postgres HOST:PORT    for PostgreSQL clients (default 127.0.0.1:7432)\n"
            "  --http HOST:PORT        for HTTP clients (default 127.0.0.1:7480)\n"
            "  --seed HOST:PORT        a node to join; may be repeated\n"
            "  --memory MIB            memory of one query's engine\n"
            "  --log-level LEVEL       debug, info, warn or error\n"
            "  --log-format FORMAT     text or json\n"
            "  --print-config          print the effective settings as YAML and exit\n"
            "\n"
            "Example:\n"
            "  folkmoot node start --dir flights --listen 0.0.0.0:7410\n",
    .run = run,
};
