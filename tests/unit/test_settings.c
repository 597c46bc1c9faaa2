/* Statements about a session's settings, and where statements end. */
#include "core/settings.h"
#include "core/sql_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct fixture {
    struct fm_settings settings;
    struct fm_key *key;
    struct fm_buf shown;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    assert_int_equal(fm_core_init(NULL), FM_OK);
    assert_int_equal(fm_key_generate(FM_KEY_SIGN, &f->key), FM_OK);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_settings_deinit(&f->settings);
    fm_key_free(f->key);
    fm_buf_free(&f->shown);
    free(f);
    return 0;
}

/* Carry a statement out; FM_NOTFOUND: it is not about settings. */
static enum fm_status run(struct fixture *f, const char *sql)
{
    struct fm_settings_statement statement;

    f->err.text[0] = '\0';
    enum fm_status status = fm_settings_read(fm_span_str(sql), &statement, &f->err);
    if (status == FM_OK && statement.verb == FM_SETTINGS_NONE)
        status = FM_NOTFOUND;
    else if (status == FM_OK && statement.verb != FM_SETTINGS_SHOW)
        status = fm_settings_change(&f->settings, &statement, &f->err);
    fm_buf_free(&statement.value);
    return status;
}

static void refused(struct fixture *f, const char *sql, const char *words)
{
    enum fm_status status = run(f, sql);

    if (status == FM_OK || status == FM_NOTFOUND || strstr(f->err.text, words) == NULL)
        fail_msg("%s: status %d, %s", sql, (int)status, f->err.text);
}

static void statements_are_told_apart(void **state)
{
    static const char *const others[] = {"SELECT 1", "SETTINGS",          "show_all", "",
                                         "-- SET",   "EXPLAIN SET x = 1", "FROM set"};
    static const char *const ours[] = {"SET on_unavailable = skip",
                                       "set ON_UNAVAILABLE to 'skip';",
                                       "SHOW ALL",
                                       "/* a /* b */ */ SHOW at_heads -- c",
                                       "reset all ;",
                                       "RESET \"time_limit\"",
                                       "SET time_limit=5",
                                       "SET time_limit TO DEFAULT",
                                       "SET at_heads = ''"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_int_equal(run(f, others[i]), FM_NOTFOUND);
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (run(f, ours[i]) != FM_OK)
            fail_msg("%s: %s", ours[i], f->err.text);
}

static void what_is_wrong_is_named_and_changes_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(run(f, "SET on_unavailable = skip"), FM_OK);
    refused(f, "SET timezone = 'UTC'", "there is no setting \"timezone\"; settings are at_heads");
    refused(f, "SHOW tables", "there is no setting \"tables\"");
    refused(f, "SET on_unavailable = maybe", "on_unavailable takes fail or skip, not 'maybe'");
    refused(f, "SET on_unavailable", "needs = or TO");
    refused(f, "SET on_unavailable =", "needs a value");
    refused(f, "SET on_unavailable = 'skip", "quotes are not closed");
    refused(f, "SET on_unavailable = skip; SELECT 1", "more behind the end");
    refused(f, "SET", "the name of a setting is missing");
    refused(f, "SET all = 1", "there is no setting \"all\"");
    refused(f, "SET allow_partial_aggregates = 7", "takes on or off");
    refused(f, "SET rules_off = ship, wings", "there is no rule \"wings\"");
    refused(f, "SET time_limit = -5", "0 to 3600000");
    refused(f, "SET time_limit = 3600001", "0 to 3600000");
    refused(f, "SET time_limit = 99999999999999999999999", "0 to 3600000");
    refused(f, "SET at_heads = 'nothing'", "note 1 is none");
    assert_int_equal(f->settings.on_unavailable, FM_UNAVAILABLE_SKIP);
    assert_int_equal(f->settings.time_limit_ms, 0);
    assert_int_equal(f->settings.rules_off, 0);
}

/* As SHOW says it: the values, with a line for each. */
static const char *show(struct fixture *f, enum fm_setting setting)
{
    struct fm_rows *rows = NULL;
    struct fm_buf batch = FM_BUF_INIT(0);
    struct fm_batch view;
    const struct fm_type text = {.kind = FM_KIND_VARCHAR};
    const struct fm_type *types[] = {&text, &text, &text};
    const struct fm_dictionary *none[3] = {NULL};

    assert_int_equal(fm_settings_show(&f->settings, setting, &rows), FM_OK);
    uint32_t count = fm_rows_columns(rows)->count;
    assert_int_equal(count, setting == FM_SETTING_ALL ? 3 : 1);
    assert_int_equal(fm_rows_count(rows), setting == FM_SETTING_ALL ? 5 : 1);
    assert_int_equal(fm_rows_finish(rows, &batch), FM_OK);
    assert_int_equal(fm_batch_view(fm_buf_span(&batch), types, count, none, &view), FM_OK);
    fm_buf_clear(&f->shown);
    for (uint32_t i = 0; i < view.rows; i++) {
        uint32_t column = setting == FM_SETTING_ALL ? 1 : 0;
        fm_buf_put_span(&f->shown, fm_vector_bytes(&view, &view.vectors[column], NULL, i));
        fm_buf_put_u8(&f->shown, '\n');
    }
    fm_buf_put_u8(&f->shown, 0);
    fm_buf_free(&batch);
    fm_rows_free(rows);
    return (const char *)f->shown.data;
}

static void what_is_set_is_shown_and_reset(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(show(f, FM_SETTING_ALL), "\nfail\noff\n\n0\n");
    assert_int_equal(run(f, "SET rules_off = 'ship', reduce"), FM_OK);
    assert_int_equal(run(f, "SET allow_partial_aggregates = TRUE"), FM_OK);
    assert_int_equal(run(f, "SET Folkmoot.on_unavailable TO Skip"), FM_OK);
    assert_int_equal(run(f, "SET time_limit = 2500"), FM_OK);
    assert_string_equal(show(f, FM_SETTING_ALL), "\nskip\non\nship,reduce\n2500\n");
    assert_string_equal(show(f, FM_SETTING_TIME_LIMIT), "2500\n");
    assert_int_equal(run(f, "RESET time_limit"), FM_OK);
    assert_int_equal(run(f, "SET on_unavailable = DEFAULT"), FM_OK);
    assert_string_equal(show(f, FM_SETTING_ALL), "\nfail\non\nship,reduce\n0\n");
    assert_int_equal(run(f, "RESET ALL"), FM_OK);
    assert_string_equal(show(f, FM_SETTING_ALL), "\nfail\noff\n\n0\n");
}

static void put_note(const struct fixture *f, const char *table, uint64_t size, struct fm_buf *out)
{
    const struct fm_mesh_id mesh = {{7}};
    struct fm_head head = {.size = size, .time = 1000};

    fm_head_origin(&mesh, "north", table, 1, head.origin);
    head.root.bytes[0] = (uint8_t)size;
    assert_int_equal(fm_head_seal(&head, f->key, out), FM_OK);
}

static enum fm_status set_heads(struct fixture *f, const struct fm_buf *notes, const char *end)
{
    struct fm_buf sql = FM_BUF_INIT(0);

    fm_buf_printf(&sql, "SET at_heads = '%.*s%s'", (int)notes->len, (const char *)notes->data, end);
    fm_buf_put_u8(&sql, 0);
    enum fm_status status = run(f, (const char *)sql.data);
    fm_buf_free(&sql);
    return status;
}

static void heads_are_read_one_after_another(void **state)
{
    struct fixture *f = *state;
    struct fm_buf notes = FM_BUF_INIT(0), one = FM_BUF_INIT(0);

    put_note(f, "things", 3000, &one);
    put_note(f, "things", 3000, &notes);
    put_note(f, "others", 5, &notes);
    fm_buf_put_str(&notes, "\n \n");
    put_note(f, "things", 3000, &notes); /* The same again is nothing new. */
    assert_int_equal(set_heads(f, &notes, "\n"), FM_OK);
    assert_int_equal(f->settings.head_count, 2);
    assert_true(fm_span_equal(f->settings.heads[0], fm_buf_span(&one)));
    assert_true(f->settings.heads[1].data == f->settings.heads[0].data + one.len);
    assert_int_equal(set_heads(f, &notes, "more"), FM_INVALID);
    assert_non_null(strstr(f->err.text, "note 4 is none"));
    put_note(f, "others", 6, &notes);
    assert_int_equal(set_heads(f, &notes, ""), FM_CONFLICT);
    assert_non_null(strstr(f->err.text, "two heads of folkmoot/"));
    assert_int_equal(f->settings.head_count, 2); /* As before. */
    assert_int_equal(run(f, "RESET at_heads"), FM_OK);
    assert_int_equal(f->settings.head_count, 0);
    assert_string_equal(show(f, FM_SETTING_AT_HEADS), "\n");
    fm_buf_free(&notes);
    fm_buf_free(&one);
}

static void heads_are_bounded(void **state)
{
    struct fixture *f = *state;
    struct fm_buf notes = FM_BUF_INIT(0);
    char table[16];

    for (uint32_t i = 0; i <= FM_QUERY_TABLES_MAX; i++) {
        (void)snprintf(table, sizeof table, "t%u", i);
        if (i == FM_QUERY_TABLES_MAX)
            assert_int_equal(set_heads(f, &notes, ""), FM_OK);
        put_note(f, table, 1, &notes);
    }
    assert_int_equal(f->settings.head_count, FM_QUERY_TABLES_MAX);
    assert_int_equal(set_heads(f, &notes, ""), FM_LIMIT);
    fm_buf_free(&notes);
}

static void a_query_can_be_named(void **state)
{
    static const struct {
        const char *sql;
        bool is_id;
    } cases[] = {{"SET at_heads = '00112233445566778899aabbccddeeff'", true},
                 {"SET at_heads = 00112233445566778899aabbccddeeff", true},
                 {"SET at_heads = '00112233445566778899aabbccddeef'", false},
                 {"SET at_heads = '00112233445566778899aabbccddeefg'", false},
                 {"SET rules_off = '00112233445566778899aabbccddeeff'", false},
                 {"SHOW at_heads", false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_settings_statement statement;
        assert_int_equal(fm_settings_read(fm_span_str(cases[i].sql), &statement, NULL), FM_OK);
        assert_int_equal(fm_settings_names_query(&statement), cases[i].is_id);
        fm_buf_free(&statement.value);
    }
}

/* A semicolon ends a statement unless it is quoted, or in a comment. */
static void statements_end_where_they_end(void **state)
{
    static const char *const alone[] = {
        "SELECT ';'",        "SELECT ''';'",    "SELECT \";\"\";\"",
        "SELECT e'\\';'",    "SELECT E';\\\\'", "SELECT $$;$$",
        "SELECT $a$;$$;$a$", "SELECT 1 -- ;",   "/* ; /* ; */ ; */ SELECT 1",
        "SELECT 'open ;",    "SELECT $a$ ;",    "SELECT name';'"};
    static const char *const ended[] = {
        "SELECT 1;", "SELECT '';",     "SELECT $1;", "SELECT a$b;",  "SELECT 'x'  ;",
        "SELECT e;", "SELECT 1--x\n;", "SELECT $;",  "SELECT '\\';", ";"};

    (void)state;
    for (size_t i = 0; i < sizeof alone / sizeof alone[0]; i++)
        if (fm_sql_statement_end(fm_span_str(alone[i]), 0) != strlen(alone[i]))
            fail_msg("%s ends early", alone[i]);
    for (size_t i = 0; i < sizeof ended / sizeof ended[0]; i++) {
        char text[64];
        (void)snprintf(text, sizeof text, "%s SELECT 2", ended[i]);
        if (fm_sql_statement_end(fm_span_str(text), 0) != strlen(ended[i]) - 1)
            fail_msg("%s does not end", ended[i]);
    }
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(statements_are_told_apart),
        FRESH(what_is_wrong_is_named_and_changes_nothing),
        FRESH(what_is_set_is_shown_and_reset),
        FRESH(heads_are_read_one_after_another),
        FRESH(heads_are_bounded),
        FRESH(a_query_can_be_named),
        FRESH(statements_end_where_they_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
