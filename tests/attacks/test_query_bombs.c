/* Questions that want all memory or all time, through a mesh: at the node that is asked, in its
 * merge, and at the owner. Each ends with an error that says which limit, within its deadline; the
 * next question of somebody else is answered while they run and after them. */
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 2000u
#define TIMEOUT "1"
#define END_MS (1000 + 500 + 15000) /* Interrupt, SIGKILL half a second later; a busy machine. */
#define NEXT_MS 15000               /* Far from the minute that a queue behind bombs would take. */

/* So that memory ends soon. */
static void prepare(struct live_mesh *mesh, struct live_node *node)
{
    live_configure(mesh, node->name, "memory_mib: 128\nspill_mib: 64\n");
}

static int setup(void **state)
{
    struct live_owners *f = live_owners_new(2, prepare);

    live_publish(f->mesh, f->alpha, ROWS);
    live_publish(f->mesh, f->beta, ROWS);
    live_make_principal(f->mesh, "mallory", (const char *const[]){"reader", NULL});
    live_owners_ready(f, 2);
    *state = f;
    return 0;
}

/* A question of somebody else, at the node that was asked and about the owner that was bombed. */
static void assert_answers(struct live_owners *f)
{
    struct live_result result;
    fm_ms start = fm_now_ms();

    live_cli(f->mesh, "reader", f->beta,
             (const char *const[]){"query",
                                   "SELECT count(*) AS n FROM alpha.items x JOIN beta.items y ON "
                                   "x.id = y.id",
                                   "--format", "csv", "--no-receipts", NULL},
             &result);
    fm_ms took = fm_now_ms() - start;
    if (result.exit_code != 0 || strstr((const char *)result.out.data, "2000") == NULL)
        fail_msg("exit %d: %s%s", result.exit_code, (const char *)result.out.data,
                 (const char *)result.err.data);
    assert_in_range(took, 0, NEXT_MS);
    live_result_deinit(&result);
}

struct bomb {
    const char *sql;
    const char *limit; /* Part of the text, one of two. */
    const char *or_limit;
};

static void assert_ends(struct live_owners *f, const struct bomb *bomb)
{
    struct live_result result;
    fm_ms start = fm_now_ms();

    live_cli(
        f->mesh, "mallory", f->beta,
        (const char *const[]){"query", bomb->sql, "--format", "csv", "--timeout", TIMEOUT, NULL},
        &result);
    fm_ms took = fm_now_ms() - start;
    const char *text = (const char *)result.err.data;
    print_message("%5lld ms exit %d %.50s: %s", (long long)took, result.exit_code, bomb->sql, text);
    if (result.exit_code == 0 ||
        (strstr(text, bomb->limit) == NULL && strstr(text, bomb->or_limit) == NULL))
        fail_msg("%s: exit %d: %s", bomb->sql, result.exit_code, text);
    assert_in_range(took, 0, END_MS);
    live_result_deinit(&result);
    assert_answers(f);
}

#define MEMORY "memory"
#define TIME "deadline"
#define LATE "time limit"

/* All of it runs at the owner. */
static void bombs_at_the_owner(void **state)
{
    static const struct bomb bombs[] = {
        {"SELECT max(length(repeat('x', 1000000000 + id))) FROM alpha.items", MEMORY, TIME},
        {"SELECT count(*) FROM alpha.items a, alpha.items b, alpha.items c WHERE "
         "(a.id * 7 + b.id * 3 + c.id) % 11 = 5",
         TIME, LATE},
        {"WITH RECURSIVE r(i) AS (SELECT id FROM alpha.items WHERE id = 1 UNION ALL SELECT i % 7 + "
         "1 FROM r) SELECT count(*) FROM r",
         TIME, LATE},
        {"SELECT levenshtein(repeat(text, 8000), repeat(text, 7999)) FROM alpha.items WHERE id = 5",
         TIME, LATE},
        {"SELECT len(list(a.text || b.text || c.text)) FROM alpha.items a, alpha.items b, "
         "alpha.items c",
         MEMORY, TIME},
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++)
        assert_ends(*state, &bombs[i]);
}

/* The rows meet at the node that is asked. */
static void bombs_in_the_merge(void **state)
{
    static const struct bomb bombs[] = {
        {"SELECT max(length(repeat('x', 1000000000 + x.id + y.id))) FROM alpha.items x JOIN "
         "beta.items y ON x.id = y.id",
         MEMORY, TIME},
        {"SELECT count(*) FROM alpha.items a, beta.items b, alpha.items c WHERE (a.id * 7 + b.id * "
         "3 + c.id) % 11 = 5",
         TIME, LATE},
        {"SELECT levenshtein(repeat(x.text || y.text, 4000), repeat(y.text || x.text, 4000)) FROM "
         "alpha.items x JOIN beta.items y ON x.id = y.id AND x.id = 5",
         TIME, LATE},
        {"SELECT len(list(a.text || b.text || c.text)) FROM alpha.items a, beta.items b, "
         "alpha.items c",
         MEMORY, TIME},
    };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++)
        assert_ends(*state, &bombs[i]);
}

static char *repeated(const char *before, const char *piece, size_t count, const char *after)
{
    struct fm_buf text = FM_BUF_INIT(0);

    fm_buf_put_str(&text, before);
    for (size_t i = 0; i < count; i++)
        fm_buf_put_str(&text, piece);
    fm_buf_put_str(&text, after);
    fm_buf_put_u8(&text, 0);
    assert_int_equal(fm_buf_status(&text), FM_OK);
    return (char *)text.data;
}

/* Ask as mallory in this process: a command line has bounds of its own. */
static enum folkmoot_status ask(struct live_owners *f, const char *sql,
                                char text[FOLKMOOT_ERROR_MAX])
{
    struct folkmoot_query_options how = {.timeout_ms = 15000};
    struct folkmoot_result *result = NULL;
    struct folkmoot *handle = NULL;
    char path[LIVE_PATH_MAX];
    struct folkmoot_options options = {.node = f->beta->address,
                                       .identity = live_path(f->mesh, "mallory", path)};

    if (folkmoot_open(&options, &handle, text) != FOLKMOOT_OK)
        fail_msg("%s", text);
    enum folkmoot_status status = folkmoot_query(handle, sql, strlen(sql), &how, &result);
    while (status == FOLKMOOT_OK) {
        status = folkmoot_result_next(result);
        if (status == FOLKMOOT_OK && folkmoot_result_rows(result) == 0)
            break;
    }
    (void)snprintf(text, FOLKMOOT_ERROR_MAX, "%s", folkmoot_error(handle));
    folkmoot_result_free(result);
    folkmoot_close(handle);
    return status;
}

/* Text that is deep or long: refused with a reason, or answered. */
static void bombs_of_text(void **state)
{
    static const struct {
        const char *before;
        const char *piece;
        size_t count;
        const char *after;
        bool is_answered;
    } bombs[] = {
        {"SELECT count(*) FROM alpha.items WHERE id IN (0", ", 1", 20000, ")", true},
        {"SELECT count(*) FROM alpha.items WHERE id = ", "(", 10000, "1", false},
        {"SELECT '", "x", 1000000, "' FROM alpha.items", false},
        {"SELECT count(*) FROM ", "alpha.items, ", 41, "alpha.items", false},
        {"SELECT id", " + 1", 5000, " FROM alpha.items", false},
    };
    struct live_owners *f = *state;

    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        char *sql = repeated(bombs[i].before, bombs[i].piece, bombs[i].count, bombs[i].after);
        char text[FOLKMOOT_ERROR_MAX] = "";
        fm_ms start = fm_now_ms();
        enum folkmoot_status status = ask(f, sql, text);
        fm_ms took = fm_now_ms() - start;
        print_message("%5lld ms %s %.50s: %.200s\n", (long long)took, folkmoot_status_text(status),
                      sql, text);
        if ((status == FOLKMOOT_OK) != bombs[i].is_answered || status == FOLKMOOT_INTERNAL)
            fail_msg("%s: %s", folkmoot_status_text(status), text);
        assert_true(status == FOLKMOOT_OK || text[0] != '\0');
        assert_in_range(took, 0, END_MS);
        free(sql);
        assert_answers(f);
    }
}

/* As many bombs at once as one may have places, and more that wait: others are answered all the
 * same. */
static void others_are_answered_beside_bombs(void **state)
{
    enum { COUNT = 10 };
    struct live_owners *f = *state;
    struct live_process processes[COUNT];

    for (uint32_t i = 0; i < COUNT; i++)
        processes[i] = live_cli_begin(
            f->mesh, "mallory", f->beta,
            (const char *const[]){"query",
                                  "SELECT count(*) FROM alpha.items a, beta.items b, alpha.items c "
                                  "WHERE (a.id * 7 + b.id * 3 + c.id) % 11 = 5",
                                  "--format", "csv", "--timeout", "4", NULL});
    for (uint32_t i = 0; i < 3; i++)
        assert_answers(f);
    for (uint32_t i = 0; i < COUNT; i++) {
        struct live_result result;
        live_cli_end(&processes[i], &result);
        assert_int_not_equal(result.exit_code, 0);
        live_result_deinit(&result);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bombs_at_the_owner),
        cmocka_unit_test(bombs_in_the_merge),
        cmocka_unit_test(bombs_of_text),
        cmocka_unit_test(others_are_answered_beside_bombs),
    };
    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
