/* The two files that say what a backup holds: one form each, and no path that leads elsewhere. */
#include "storage/backup_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define HEX "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

static const char list_text[] = HEX "  heads/flights.delays\n" HEX "  manifest\n" HEX
                                    "  slots\n" HEX "  store/000023.blob\n" HEX "  store/CURRENT\n";

static const char manifest_text[] = "folkmoot backup 1\n"
                                    "mesh " HEX "\n"
                                    "node 030066f682e0260628fc0eb3a2d0f55b\n"
                                    "commit 12 " HEX "\n"
                                    "time 1795203265016874\n"
                                    "table flights delays 1 3000000 " HEX "\n"
                                    "table flights empty_one 4294967295 0 " HEX "\n";

static enum fm_status decode_list(const char *text)
{
    FM_AUTO(backup_list_deinit) struct backup_list list = {0};

    return backup_list_decode(fm_span_str(text), &list);
}

static void test_list_reads_back(void **state)
{
    FM_AUTO(backup_list_deinit) struct backup_list list = {0};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);

    (void)state;
    assert_int_equal(backup_list_decode(fm_span_str(list_text), &list), FM_OK);
    assert_int_equal(list.count, 5);
    assert_non_null(backup_list_find(&list, "store/000023.blob"));
    assert_null(backup_list_find(&list, "store/000024.blob"));
    backup_list_encode(&again, &list);
    assert_true(fm_span_equal(fm_buf_span(&again), fm_span_str(list_text)));
}

/* What is restored stays below the new folder, whoever wrote the list. */
static void test_paths_lead_nowhere_else(void **state)
{
    static const char *const bad[] = {"../keys",   "/etc/passwd", "store/../x",    "store/.x",
                                      "store/",    "store/a/b",   "heads/../../x", "keys",
                                      "store/a b", "store/\x01",  "stores/a",      "slots/a",
                                      "",          "heads",       "store/a\\b",    "files.sha256"};
    char text[sizeof list_text + 256];

    (void)state;
    (void)snprintf(text, sizeof text, "%s%s  %s\n", list_text, HEX, "store/B");
    assert_int_equal(decode_list(text), FM_CORRUPT); /* Behind CURRENT, but not in its order. */
    (void)snprintf(text, sizeof text, "%s%s  %s\n", list_text, HEX, "store/z");
    assert_int_equal(decode_list(text), FM_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        (void)snprintf(text, sizeof text, HEX "  %s\n" HEX "  manifest\n" HEX "  slots\n", bad[i]);
        assert_int_equal(decode_list(text), FM_CORRUPT);
        (void)snprintf(text, sizeof text, HEX "  manifest\n" HEX "  slots\n" HEX "  %s\n", bad[i]);
        assert_int_equal(decode_list(text), FM_CORRUPT);
    }
}

static void test_list_has_one_form(void **state)
{
    static const char *const bad[] = {
        "",
        HEX "  manifest\n",
        HEX "  manifest\n" HEX "  slots",
        HEX "  manifest\n" HEX "  slots\n\n",
        HEX "  slots\n" HEX "  manifest\n",
        HEX "  manifest\n" HEX "  manifest\n" HEX "  slots\n",
        HEX " *manifest\n" HEX "  slots\n",
        "E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  manifest\n" HEX
        "  slots\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(decode_list(bad[i]), FM_CORRUPT);
}

static void test_manifest_reads_back(void **state)
{
    FM_AUTO(backup_manifest_deinit) struct backup_manifest manifest = {0};
    FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);

    (void)state;
    assert_int_equal(backup_manifest_decode(fm_span_str(manifest_text), &manifest), FM_OK);
    assert_int_equal(manifest.commit, 12);
    assert_int_equal(manifest.table_count, 2);
    assert_string_equal(manifest.tables[0].table, "delays");
    assert_int_equal(manifest.tables[0].size, 3000000);
    assert_int_equal(manifest.tables[1].epoch, UINT32_MAX);
    backup_manifest_encode(&again, &manifest);
    assert_true(fm_span_equal(fm_buf_span(&again), fm_span_str(manifest_text)));
}

/* Cut anywhere, or with any byte changed, it is refused or says just what its text says. */
static void test_damaged_manifest_is_refused(void **state)
{
    char text[sizeof manifest_text];
    size_t accepted = 0;

    (void)state;
    for (size_t len = 0; len < sizeof manifest_text - 1; len++) {
        FM_AUTO(backup_manifest_deinit) struct backup_manifest manifest = {0};

        accepted += backup_manifest_decode(fm_span(manifest_text, len), &manifest) == FM_OK;
    }
    assert_int_equal(accepted, 2); /* With no table, and with one. */
    for (size_t i = 0; i < 8 * (sizeof manifest_text - 1); i++) {
        FM_AUTO(backup_manifest_deinit) struct backup_manifest manifest = {0};
        FM_AUTO(fm_buf_free) struct fm_buf again = FM_BUF_INIT(0);

        memcpy(text, manifest_text, sizeof text);
        text[i / 8] = (char)(text[i / 8] ^ (1 << i % 8));
        if (backup_manifest_decode(fm_span(text, sizeof text - 1), &manifest) != FM_OK)
            continue;
        backup_manifest_encode(&again, &manifest);
        assert_true(fm_span_equal(fm_buf_span(&again), fm_span(text, sizeof text - 1)));
    }
}

static void test_names_of_backups(void **state)
{
    (void)state;
    assert_int_equal(backup_number("000001"), 1);
    assert_int_equal(backup_number("999999"), 999999);
    assert_int_equal(backup_number("000000"), 0);
    assert_int_equal(backup_number("00001"), 0);
    assert_int_equal(backup_number("0000001"), 0);
    assert_int_equal(backup_number("000001.new"), 0);
    assert_int_equal(backup_number("store"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_reads_back),
        cmocka_unit_test(test_paths_lead_nowhere_else),
        cmocka_unit_test(test_list_has_one_form),
        cmocka_unit_test(test_manifest_reads_back),
        cmocka_unit_test(test_damaged_manifest_is_refused),
        cmocka_unit_test(test_names_of_backups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
