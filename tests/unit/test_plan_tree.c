/* The tree gate over JSON written by hand: what passes, what is refused, what is rewritten. */
#include "query/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* JSON with ' for ", so that it can be read. */
static struct fm_buf json_of(const char *text)
{
    struct fm_buf out = FM_BUF_INIT(0);

    for (; *text != '\0'; text++)
        fm_buf_put_u8(&out, *text == '\'' ? '"' : (uint8_t)*text);
    return out;
}

#define STATEMENTS(list) "{'error':false,'statements':[" list "]}"
#define STATEMENT(node) STATEMENTS("{'node':" node ",'named_param_map':[]}")
#define SELECT_WITH(ctes, items, from)                                                             \
    "{'type':'SELECT_NODE','modifiers':[],'cte_map':{'map':[" ctes "]},'select_list':[" items      \
    "],'from_table':" from ",'where_clause':null,'group_expressions':[],'group_sets':[],"          \
    "'aggregate_handling':'STANDARD_HANDLING','having':null,'sample':null,'qualify':null}"
#define SELECT(items, from) SELECT_WITH("", items, from)
#define COLUMN(names)                                                                              \
    "{'class':'COLUMN_REF','type':'COLUMN_REF','alias':'','query_location':7,'column_names':"      \
    "[" names "]}"
#define ONE                                                                                        \
    "{'class':'CONSTANT','type':'VALUE_CONSTANT','alias':'','query_location':7,'value':{'type':"   \
    "{'id':'INTEGER','type_info':null},'is_null':false,'value':1}}"
#define TABLE_AS(schema, name, alias, columns, at)                                                 \
    "{'type':'BASE_TABLE','alias':'" alias                                                         \
    "','sample':null,'query_location':14,'schema_name':'" schema "','table_name':'" name           \
    "','column_name_alias':[" columns "],'catalog_name':'','at_clause':" at "}"
#define TABLE(schema, name) TABLE_AS(schema, name, "", "", "null")
#define EMPTY "{'type':'EMPTY','alias':'','sample':null,'query_location':18446744073709551615}"
#define CALL(name)                                                                                 \
    "{'class':'FUNCTION','type':'FUNCTION','alias':'','query_location':7,'function_name':'" name   \
    "','schema':'','children':[],'filter':null,'order_bys':{'type':'ORDER_MODIFIER','orders':[]"   \
    "},'distinct':false,'is_operator':false,'export_state':false,'catalog':''}"
#define CTE(name, node)                                                                            \
    "{'key':'" name "','value':{'aliases':[],'query':{'node':" node                                \
    ",'named_param_map':[]},'materialized':'CTE_MATERIALIZE_DEFAULT','key_targets':[]}}"

struct fixture {
    struct tree tree;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    tree_deinit(&f->tree);
    free(f);
    return 0;
}

static enum fm_status read_text(struct fixture *f, const char *text)
{
    struct fm_buf json = json_of(text);

    tree_deinit(&f->tree);
    f->err.text[0] = '\0';
    enum fm_status status = tree_read(&f->tree, fm_span_str("SELECT x\nFROM flights.delays"),
                                      fm_buf_span(&json), &f->err);
    fm_buf_free(&json);
    return status;
}

static void accept(struct fixture *f, const char *text)
{
    if (read_text(f, text) != FM_OK)
        fail_msg("%s: %s", text, f->err.text);
}

static void refuse(struct fixture *f, const char *text, enum fm_status expected, const char *part)
{
    enum fm_status status = read_text(f, text);

    if (status != expected || strstr(f->err.text, part) == NULL)
        fail_msg("%s: %s: %s", text, fm_status_text(status), f->err.text);
}

/* The tree as JSON, with ' for ". */
static char *print(const struct tree *tree)
{
    struct fm_buf out = FM_BUF_INIT(0);

    assert_int_equal(tree_json_print(tree->root, &out), FM_OK);
    for (size_t i = 0; i < out.len; i++)
        out.data[i] = out.data[i] == '"' ? '\'' : out.data[i];
    char *text = fm_strdup_span(fm_buf_span(&out));
    assert_non_null(text);
    fm_buf_free(&out);
    return text;
}

/* A tree is printed as it was read, whatever its numbers are. */
static void json_survives(void **state)
{
    static const char *const list[] = {
        STATEMENT(SELECT(ONE, EMPTY)),
        "{'a':18446744073709551615,'b':-9223372036854775808,'c':1.50,'d':1e400,'e':[-0,0,-1]}",
        "{'f':Infinity,'g':-Infinity,'h':NaN,'i':{},'j':[],'k':true,'l':null}",
        "{'m':'quote\\\\ 12345678901234567890 \\n'}",
    };
    (void)state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_buf json = json_of(list[i]);
        struct fm_buf out = FM_BUF_INIT(0);
        json_t *root = NULL;
        assert_int_equal(tree_json_load(fm_buf_span(&json), &root, NULL), FM_OK);
        assert_int_equal(tree_json_print(root, &out), FM_OK);
        if (!fm_span_equal(fm_buf_span(&json), fm_buf_span(&out)))
            fail_msg("%s became %.*s", list[i], (int)out.len, (const char *)out.data);
        json_decref(root);
        fm_buf_free(&json);
        fm_buf_free(&out);
    }
}

static void bad_json_is_refused(void **state)
{
    static const char *const list[] = {"", "{", "[1", "{'a':1,'a':2}", "nonsense", "{} {}", "'"};
    struct fm_buf deep = FM_BUF_INIT(0);
    json_t *root = NULL;
    (void)state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_buf json = json_of(list[i]);
        assert_int_equal(tree_json_load(fm_buf_span(&json), &root, NULL), FM_MALFORMED);
        fm_buf_free(&json);
    }
    for (unsigned i = 0; i < 5000; i++)
        fm_buf_put_str(&deep, "[");
    assert_int_equal(tree_json_load(fm_buf_span(&deep), &root, NULL), FM_LIMIT);
    fm_buf_free(&deep);
}

static void one_select_passes(void **state)
{
    struct fixture *f = *state;

    accept(f, STATEMENT(SELECT(ONE, EMPTY)));
    assert_int_equal(f->tree.table_count, 0);
    accept(f, STATEMENT(SELECT(COLUMN("'x'"), TABLE("Flights", "Delays"))));
    assert_int_equal(f->tree.table_count, 1);
    assert_string_equal(f->tree.tables[0].domain, "flights");
    assert_string_equal(f->tree.tables[0].name, "delays");
    assert_string_equal(f->tree.tables[0].alias, "Delays");
}

static void what_is_not_listed_is_refused(void **state)
{
    struct fixture *f = *state;

    refuse(f, STATEMENTS(""), FM_INVALID, "empty");
    refuse(f,
           STATEMENTS("{'node':" SELECT(ONE, EMPTY) ",'named_param_map':[]},{'node':" SELECT(
               ONE, EMPTY) ",'named_param_map':[]}"),
           FM_INVALID, "one statement");
    refuse(f, "{'error':true,'error_message':'no such thing'}", FM_INVALID, "no such thing");
    refuse(f, "[]", FM_INVALID, "not understood");
    refuse(f, "{}", FM_INVALID, "not understood");
    refuse(f, STATEMENT("{'type':'INSERT_NODE'}"), FM_INVALID, "INSERT_NODE is not supported");
    refuse(f, STATEMENT("7"), FM_INVALID, "not supported");
    refuse(f, STATEMENT(SELECT("{'class':'DEFAULT','type':'VALUE_DEFAULT'}", EMPTY)), FM_INVALID,
           "DEFAULT");
    refuse(f, STATEMENT(SELECT(ONE, "{'type':'SHOW_REF'}")), FM_INVALID, "DESCRIBE, SHOW");
    refuse(f, STATEMENT(SELECT(ONE, "{'type':'COLUMN_DATA'}")), FM_INVALID, "COLUMN_DATA");
    refuse(f, STATEMENT(SELECT(CALL("getenv"), EMPTY)), FM_INVALID, "line 1, column 8: function");
    refuse(f, STATEMENT(SELECT(CALL("READ_TEXT"), EMPTY)), FM_INVALID, "READ_TEXT");
    refuse(f, STATEMENT(SELECT(COLUMN(""), EMPTY)), FM_INVALID, "without a name");
}

/* A key that is not on the list hides what nobody has looked at. */
static void unknown_keys_are_refused(void **state)
{
    struct fixture *f = *state;

    refuse(f, STATEMENT(SELECT("{'class':'COLUMN_REF','column_names':['x'],'more':[]}", EMPTY)),
           FM_INVALID, "not understood");
    refuse(f, STATEMENT(SELECT(ONE, "{'type':'EMPTY','also':{'class':'FUNCTION'}}")), FM_INVALID,
           "not understood");
    refuse(f, STATEMENT(SELECT("{'class':'CONSTANT','value':{'class':'FUNCTION'}}", EMPTY)),
           FM_INVALID, "not understood");
    refuse(f, STATEMENT(SELECT("{'class':'CONSTANT','value':{'a b':1}}", EMPTY)), FM_INVALID,
           "not understood");
    refuse(f, STATEMENTS("{'node':" SELECT(ONE, EMPTY) ",'other':[]}"), FM_INVALID,
           "not understood");
    refuse(f, STATEMENT(SELECT("{'class':'COLUMN_REF','column_names':['a\\u0000b']}", EMPTY)),
           FM_INVALID, "not understood");
}

static void names_resolve_in_their_scope(void **state)
{
    struct fixture *f = *state;

    refuse(f, STATEMENT(SELECT(ONE, TABLE("", "x"))), FM_NOTFOUND, "domain.table");
    accept(f, STATEMENT(SELECT_WITH(CTE("x", SELECT(ONE, EMPTY)), ONE, TABLE("", "X"))));
    assert_int_equal(f->tree.table_count, 0);
    refuse(f, STATEMENT(SELECT_WITH(CTE("x", SELECT(ONE, TABLE("", "x"))), ONE, EMPTY)),
           FM_NOTFOUND, "table x");
    refuse(f,
           STATEMENT(SELECT_WITH(
               CTE("x", SELECT(ONE, TABLE("", "y"))) "," CTE("y", SELECT(ONE, EMPTY)), ONE, EMPTY)),
           FM_NOTFOUND, "table y");
    accept(f, STATEMENT(SELECT_WITH(
                  CTE("y", SELECT(ONE, EMPTY)) "," CTE("x", SELECT(ONE, TABLE("", "y"))), ONE,
                  TABLE("", "x"))));
    refuse(f, STATEMENT(SELECT_WITH(CTE("fm_slot_1", SELECT(ONE, EMPTY)), ONE, EMPTY)), FM_INVALID,
           "reserved");
    accept(f, STATEMENT(
                  SELECT_WITH(CTE("delays", SELECT(ONE, EMPTY)), ONE, TABLE("flights", "delays"))));
    assert_int_equal(f->tree.table_count, 1);
}

#define CONSTANT(type, value)                                                                      \
    "{'class':'CONSTANT','type':'VALUE_CONSTANT','alias':'','query_location':1,'value':{'type':"   \
    "{'id':'" type "','type_info':null},'is_null':false,'value':" value "}}"
#define AT_TABLE(unit, expr)                                                                       \
    STATEMENT(                                                                                     \
        SELECT(ONE, TABLE_AS("flights", "delays", "", "", "{'unit':'" unit "','expr':" expr "}")))

static void at_takes_constants(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } times[] = {
        {"1970-01-01", 0},
        {"1970-01-02 00:00:01.000005", 86401000005},
        {"2000-02-29T12:34:56Z", 951827696000000},
        {"1969-12-31 23:59:59.5", -500000},
        {"2026-01-31 12:00:00+02", 1769853600000000},
        {"2026-01-31 12:00-05:30", 1769880600000000},
        {"2026-01-31 12:00:00 UTC", 1769860800000000},
    };
    static const char *const wrong[] = {
        "",
        "x",
        "2026-02-29",
        "2026-00-01",
        "2026-13-01",
        "2026-01-01 24:00",
        "2026-01-01 1:00",
        "2026-01-01 00:00:00.0000001",
        "2026-01-01 00:00:00.",
        "2026-01-01 00:00+99",
        "2026-01-01 00:00 CET",
        "20260101",
        "2026-01-01x",
        "infinity",
    };
    struct fixture *f = *state;
    char json[2000];

    accept(f, AT_TABLE("VERSION", CONSTANT("INTEGER", "7")));
    assert_int_equal(f->tree.tables[0].at.kind, FM_AT_VERSION);
    assert_int_equal(f->tree.tables[0].at.value, 7);
    refuse(f, AT_TABLE("VERSION", CONSTANT("INTEGER", "-1")), FM_INVALID, "line 2, column 6: AT");
    refuse(f, AT_TABLE("VERSION", CONSTANT("DECIMAL", "15")), FM_INVALID, "whole number");
    refuse(f, AT_TABLE("VERSION", CALL("now")), FM_INVALID, "whole number");
    refuse(f, AT_TABLE("TIMESTAMP", CONSTANT("INTEGER", "7")), FM_INVALID, "one constant");
    refuse(f, AT_TABLE("OTHER", CONSTANT("INTEGER", "7")), FM_INVALID, "VERSION or TIMESTAMP");
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        (void)snprintf(json, sizeof json, AT_TABLE("TIMESTAMP", CONSTANT("VARCHAR", "'%s'")),
                       times[i].text);
        accept(f, json);
        assert_int_equal(f->tree.tables[0].at.kind, FM_AT_TIMESTAMP);
        assert_int_equal(f->tree.tables[0].at.value, times[i].us);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        (void)snprintf(json, sizeof json, AT_TABLE("TIMESTAMP", CONSTANT("VARCHAR", "'%s'")),
                       wrong[i]);
        refuse(f, json, FM_INVALID, "one constant");
    }
}

static void tables_become_slots(void **state)
{
    struct fixture *f = *state;

    accept(f, STATEMENT(SELECT(COLUMN("'flights','delays','id'"), TABLE("flights", "delays"))));
    assert_int_equal(tree_point(&f->tree, 0), FM_OK);
    char *text = print(&f->tree);
    assert_non_null(strstr(text, "'function_name':'fm_scan'"));
    assert_non_null(strstr(text, "'alias':'delays'"));
    assert_non_null(strstr(text, "'column_names':['delays','id']"));
    assert_null(strstr(text, "BASE_TABLE"));
    free(text);

    assert_int_equal(tree_point(&f->tree, 1), FM_OK);
    text = print(&f->tree);
    assert_non_null(strstr(text, "'table_name':'fm_slot_0'"));
    assert_non_null(strstr(text, "'alias':'delays'"));
    assert_null(strstr(text, "fm_scan"));
    free(text);

    accept(f, STATEMENT(SELECT(COLUMN("'flights','delays','id'"),
                               TABLE_AS("flights", "delays", "d", "'a','b'", "null"))));
    assert_int_equal(tree_point(&f->tree, 0), FM_OK);
    text = print(&f->tree);
    assert_non_null(strstr(text, "'alias':'d'"));
    assert_non_null(strstr(text, "'column_name_alias':['a','b']"));
    assert_non_null(strstr(text, "'column_names':['flights','delays','id']")); /* As in SQL. */
    free(text);
}

static void shared_slots_are_declared(void **state)
{
    static const char *const list[][2] = {
        {"SELECT 1", "WITH fm_slot_1 AS MATERIALIZED (SELECT * FROM fm_scan(1)) SELECT 1"},
        {"WITH a AS (x)SELECT 1",
         "WITH fm_slot_1 AS MATERIALIZED (SELECT * FROM fm_scan(1)), a AS (x)SELECT 1"},
        {"WITH RECURSIVE a AS (x)SELECT 1",
         "WITH RECURSIVE fm_slot_1 AS MATERIALIZED (SELECT * FROM fm_scan(1)), a AS (x)SELECT 1"},
        {"", "WITH fm_slot_1 AS MATERIALIZED (SELECT * FROM fm_scan(1)) "},
    };
    (void)state;

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        struct fm_buf out = FM_BUF_INIT(0);
        assert_int_equal(tree_share(fm_span_str(list[i][0]), 2, &out), FM_OK);
        assert_true(fm_span_equal(fm_buf_span(&out), fm_span_str(list[i][1])));
        fm_buf_clear(&out);
        assert_int_equal(tree_share(fm_span_str(list[i][0]), 0, &out), FM_OK);
        assert_true(fm_span_equal(fm_buf_span(&out), fm_span_str(list[i][0])));
        fm_buf_free(&out);
    }
}

static void uses_are_by_name(void **state)
{
    struct tree_uses uses = {0};
    (void)state;

    tree_uses_refuse(&uses, "Origin");
    tree_uses_link(&uses, "a", "b");
    tree_uses_link(&uses, "b", "c");
    tree_uses_link(&uses, "d", "D");
    tree_uses_refuse(&uses, "C");
    tree_uses_column(&uses, "state");
    tree_uses_relation(&uses, "other");
    tree_uses_settle(&uses);
    assert_false(tree_uses_allows(&uses, "origin"));
    assert_false(tree_uses_allows(&uses, "A"));
    assert_false(tree_uses_allows(&uses, "b"));
    assert_true(tree_uses_allows(&uses, "d"));
    assert_true(tree_uses_allows(&uses, "state"));
    tree_uses_relation(&uses, "State"); /* SELECT state FROM x AS state: whole rows. */
    tree_uses_settle(&uses);
    assert_false(tree_uses_allows(&uses, "d"));
    tree_uses_deinit(&uses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_survives),
        cmocka_unit_test(bad_json_is_refused),
        cmocka_unit_test_setup_teardown(one_select_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_not_listed_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(unknown_keys_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(names_resolve_in_their_scope, setup, teardown),
        cmocka_unit_test_setup_teardown(at_takes_constants, setup, teardown),
        cmocka_unit_test_setup_teardown(tables_become_slots, setup, teardown),
        cmocka_unit_test(shared_slots_are_declared),
        cmocka_unit_test(uses_are_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
