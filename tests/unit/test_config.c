/* A node's configuration: defaults, YAML, flags, and what each mistake is answered with. */
#include "node/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

struct fixture {
    struct fm_node_config config;
    struct fm_node_config other;
    struct fm_error err;
    struct fm_buf text;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL || fm_node_config_init(&f->config, "/n", &f->err) != FM_OK ||
        fm_node_config_init(&f->other, "/n", &f->err) != FM_OK)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_buf_free(&f->text);
    free(f);
    return 0;
}

static enum fm_status parse(struct fixture *f, const char *yaml)
{
    return fm_node_config_parse(&f->config, fm_span_str(yaml), "node.yaml", &f->err);
}

static void defaults_stand_without_a_file(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(f->config.data, "/n/data");
    assert_string_equal(f->config.listen, "127.0.0.1:7410");
    assert_int_equal(f->config.seed_count, 0);
    assert_int_equal(parse(f, ""), FM_OK);
    assert_int_equal(parse(f, "# nothing\n"), FM_OK);
    assert_int_equal(parse(f, "{}\n"), FM_OK);
}

static void file_and_flags_override(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "listen: 0.0.0.0:7000\nadvertise: \"[2001:db8::1]:7000\"\n"
                              "seeds: [a.example:1, b.example:2]\nmemory_mib: 128\n"
                              "log_level: warn\nlog_format: json\nquery_rows_max: 5\n"),
                     FM_OK);
    assert_string_equal(f->config.listen, "0.0.0.0:7000");
    assert_string_equal(f->config.advertise, "[2001:db8::1]:7000");
    assert_int_equal(f->config.seed_count, 2);
    assert_string_equal(f->config.seeds[1], "b.example:2");
    assert_int_equal(f->config.memory_mib, 128);
    assert_int_equal(f->config.log_level, FM_LOG_WARN);
    assert_int_equal(f->config.log_format, FM_LOG_JSON);
    assert_int_equal(f->config.query_rows_max, 5);
    assert_int_equal(fm_node_config_set(&f->config, "memory_mib", "256", &f->err), FM_OK);
    assert_int_equal(f->config.memory_mib, 256);
    assert_int_equal(fm_node_config_set(&f->config, "seeds", "c.example:3", &f->err), FM_OK);
    assert_int_equal(f->config.seed_count, 3);
    assert_int_equal(parse(f, "seeds:\n"), FM_OK); /* A later list replaces. */
    assert_int_equal(f->config.seed_count, 0);
}

static void print_is_read_back(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(parse(f, "data: '/x \"y\" \\z'\nlisten: '[::1]:0'\nseeds: [h:1]\n"
                              "worker_threads: 3\nlog_format: json\nquery_rows_max: "
                              "18446744073709551615\n"),
                     FM_OK);
    fm_node_config_print(&f->config, &f->text);
    assert_int_equal(fm_buf_status(&f->text), FM_OK);
    assert_int_equal(fm_node_config_parse(&f->other, fm_buf_span(&f->text), "printed", &f->err),
                     FM_OK);
    assert_memory_equal(&f->config, &f->other, sizeof f->config);
}

static void mistakes_are_named_with_their_place(void **state)
{
    static const struct {
        const char *yaml, *says;
    } cases[] = {
        {"liste: 1\n", "node.yaml:1:1: there is no setting 'liste'"},
        {"listen: 5\n", "node.yaml:1:9:"},
        {"listen: nowhere\n", "node.yaml:1:9:"},
        {"listen: 'a b:5'\n", "node.yaml:1:9:"},
        {"listen: a:65536\n", "node.yaml:1:9:"},
        {"listen: '[::1:5'\n", "node.yaml:1:9:"},
        {"listen:\n", "node.yaml:1:1:"},
        {"advertise: a:0\n", "node.yaml:1:12:"},
        {"memory_mib: 63\n", "node.yaml:1:13: 'memory_mib' must be a number from 64"},
        {"memory_mib: '128'\nmemory_mib: 1\n", "node.yaml:2:1: the key 'memory_mib'"},
        {"memory_mib: [1]\n", "node.yaml:1:13:"},
        {"memory_mib: 1.5\n", "node.yaml:1:13:"},
        {"memory_mib: -70\n", "node.yaml:1:13:"},
        {"cache_mib: 99999999999999999999\n", "node.yaml:1:12:"},
        {"log_level: loud\n", "node.yaml:1:12: 'log_level' must be one of debug, info, warn"},
        {"seeds: a:1\n", "node.yaml:1:8: 'seeds' is"},
        {"seeds: [a:1, b]\n", "node.yaml:1:14:"},
        {"seeds:\n  - {a: 1}\n", "node.yaml:2:5:"},
        {"- listen\n", "node.yaml:1:1:"},
        {"a: [\n", "not YAML"},
        {"data: \"a\\tb\"\n", "control character"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum fm_status status = parse(f, cases[i].yaml);
        if (status != FM_INVALID || strstr(f->err.text, cases[i].says) == NULL)
            fail_msg("%s: status %d, %s", cases[i].yaml, (int)status, f->err.text);
    }
}

static void bounds_hold(void **state)
{
    struct fixture *f = *state;
    static char big[FM_CONFIG_BYTES_MAX + 1];

    memset(big, ' ', sizeof big);
    assert_int_equal(
        fm_node_config_parse(&f->config, fm_span(big, sizeof big), "node.yaml", &f->err), FM_LIMIT);
    for (uint32_t i = 0; i < FM_SEEDS_MAX; i++)
        assert_int_equal(fm_node_config_set(&f->config, "seeds", "h:1", &f->err), FM_OK);
    assert_int_equal(fm_node_config_set(&f->config, "seeds", "h:1", &f->err), FM_INVALID);
    assert_int_equal(fm_node_config_set(&f->config, "nothing", "1", &f->err), FM_INVALID);
    memset(big, 'p', FM_CONFIG_PATH_MAX);
    big[FM_CONFIG_PATH_MAX] = '\0';
    assert_int_equal(fm_node_config_set(&f->config, "data", big, &f->err), FM_INVALID);
    assert_int_equal(fm_node_config_init(&f->config, big, &f->err), FM_LIMIT);
}

static void addresses_are_checked(void **state)
{
    static const char *const good[] = {"a:1", "127.0.0.1:65535", "[::1]:7410", "x-y.example:80"};
    static const char *const bad[] = {"",      ":1",    "a",     "a:",     "a:x",   "a:0",
                                      "a:1 ",  "a:+1",  "::1:5", "[]:5",   "a/b:1", "a:000001",
                                      "[g]:1", "a:1:2", "[::1]", "a:99999"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        if (fm_address_check(good[i], 1, NULL) != FM_OK)
            fail_msg("'%s' is refused", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (fm_address_check(bad[i], 1, NULL) != FM_INVALID)
            fail_msg("'%s' is taken", bad[i]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults_stand_without_a_file),
        TEST(file_and_flags_override),
        TEST(print_is_read_back),
        TEST(mistakes_are_named_with_their_place),
        TEST(bounds_hold),
        TEST(addresses_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
