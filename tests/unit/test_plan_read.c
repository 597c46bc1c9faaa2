/* The plan reader over plans as DuckDB 1.5.6 writes them, cut to what is read. */
#include "query/plan_read.h"
#include "tests/support/plan_catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Columns of flights.delays: 0 id int32, 1 delay int16, 2 origin, 3 destination, 4 note, 5 date. */
struct fixture {
    struct fm_plan plan;
    struct fm_error err;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    assert_non_null(f);
    f->plan.kind = FM_PLAN_SHIP;
    f->plan.table_count = 2;
    f->plan.tables = calloc(2, sizeof *f->plan.tables);
    assert_non_null(f->plan.tables);
    for (uint32_t i = 0; i < 2; i++) {
        (void)snprintf(f->plan.tables[i].domain, FM_NAME_MAX, "d%u", i);
        (void)snprintf(f->plan.tables[i].table, FM_NAME_MAX, "t");
        f->plan.tables[i].schema = catalog_schema(catalog_find("flights", "delays"));
    }
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_plan_deinit(&f->plan);
    free(f);
    return 0;
}

static struct fm_buf json_of(const char *text)
{
    struct fm_buf out = FM_BUF_INIT(0);

    for (; *text != '\0'; text++)
        fm_buf_put_u8(&out, *text == '\'' ? '"' : (uint8_t)*text);
    return out;
}

#define PLAN(op) "{'error':false,'plans':[" op "]}"
#define INDEX(n) "{'index':" n ",'child_indexes':[]}"
#define GET_OF(name, slot, columns, projection)                                                    \
    "{'type':'LOGICAL_GET','children':[],'name':'" name "','parameters':[{'type':{'id':'BIGINT',"  \
    "'type_info':null},'is_null':false,'value':" slot "}],'column_indexes':[" columns              \
    "],'projection_ids':[" projection "]}"
#define GET(slot, columns) GET_OF("fm_scan", slot, columns, "")
#define OP(type, more, children) "{'type':'" type "'," more "'children':[" children "]}"
#define FILTER(expressions, map, child)                                                            \
    OP("LOGICAL_FILTER", "'expressions':[" expressions "],'projection_map':[" map "],", child)
#define REF(index, type)                                                                           \
    "{'expression_class':'BOUND_REF','type':'BOUND_REF','return_type':{'id':'" type "'},'index':"  \
    "" index "}"
#define VALUE(type, value) "{'type':{'id':'" type "'},'is_null':false,'value':" value "}"
#define CONST(type, value)                                                                         \
    "{'expression_class':'BOUND_CONSTANT','type':'VALUE_CONSTANT','value':" VALUE(type, value) "}"
#define COMPARE(type, left, right)                                                                 \
    "{'expression_class':'BOUND_COMPARISON','type':'" type "','left':" left ",'right':" right "}"
#define CAST_TO(type, child, try_cast)                                                             \
    "{'expression_class':'BOUND_CAST','return_type':{'id':'" type "'},'child':" child              \
    ",'try_cast':" try_cast "}"

static enum fm_status read_text(struct fixture *f, const char *text, uint64_t *shared)
{
    struct fm_buf json = json_of(text);

    f->err.text[0] = '\0';
    enum fm_status status = plan_read(&f->plan, fm_buf_span(&json), shared, &f->err);
    fm_buf_free(&json);
    return status;
}

static void expect(struct fixture *f, const char *text, const char *first_slot)
{
    struct fm_buf words = FM_BUF_INIT(0);
    uint64_t shared = 0;
    char wanted[300];

    if (read_text(f, text, &shared) != FM_OK)
        fail_msg("%s: %s", text, f->err.text);
    catalog_describe(&f->plan, &words);
    (void)snprintf(wanted, sizeof wanted, "d0.t%s{} d1.t", first_slot);
    if (strstr((const char *)words.data, wanted) == NULL)
        fail_msg("%s: %s, wanted %s", text, (const char *)words.data, wanted);
    fm_buf_free(&words);
}

static void columns_come_from_the_scan(void **state)
{
    struct fixture *f = *state;

    expect(f, PLAN(GET("0", INDEX("3") "," INDEX("0"))), "(id,destination)[]");
    assert_true(f->plan.streams);
    expect(f, PLAN(OP("LOGICAL_ORDER_BY", "", GET("0", INDEX("5")))), "(date)[]");
    assert_false(f->plan.streams);
    /* Without a scan, and for columns of the engine's own, the narrowest field is read. */
    expect(f, PLAN(OP("LOGICAL_EMPTY_RESULT", "", "")), "(delay)[]");
    expect(f, PLAN(GET("0", INDEX("18446744073709551615"))), "(delay)[]");
    expect(f, PLAN(GET_OF("range", "3", INDEX("0"), "")), "(delay)[]");
}

static void filters_follow_the_columns(void **state)
{
    struct fixture *f = *state;
    const char *over = "(delay,origin)[delay > 120; origin = 'SEA']";

    expect(f,
           PLAN(FILTER(
               COMPARE("COMPARE_GREATERTHAN", REF("1", "SMALLINT"), CONST("SMALLINT", "120")) "," //
               COMPARE("COMPARE_EQUAL", CONST("VARCHAR", "'SEA'"), REF("0", "VARCHAR")),
               "1", GET("0", INDEX("2") "," INDEX("1")))),
           over);
    /* A second filter sees the columns that the first lets out, a scan those it projects. */
    expect(f,
           PLAN(FILTER(COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"), CONST("SMALLINT", "4")), "",
                       FILTER("", "1", GET("0", INDEX("2") "," INDEX("1"))))),
           "(delay,origin)[delay = 4]");
    expect(f,
           PLAN(FILTER(COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"), CONST("SMALLINT", "4")), "",
                       GET_OF("fm_scan", "0", INDEX("2") "," INDEX("1"), "1"))),
           "(delay,origin)[delay = 4]");
}

#define LIST_JOIN(condition, child)                                                                \
    OP("LOGICAL_COMPARISON_JOIN",                                                                  \
       "'join_type':'MARK','left_projection_map':[1],'conditions':[{'left':" condition             \
       ",'right':" REF("0", "SMALLINT") ",'comparison':'COMPARE_EQUAL'}],",                        \
       child "," OP("LOGICAL_CHUNK_GET",                                                           \
                    "'chunk_types':[{'id':'SMALLINT'}],'collection':{'values':[[" VALUE(           \
                        "SMALLINT", "5") "," VALUE("SMALLINT", "6") "]]},",                        \
                    ""))

static void lists_become_in(void **state)
{
    struct fixture *f = *state;
    const char *in = "(delay,origin)[delay IN (5, 6)]";

    expect(f,
           PLAN(FILTER(REF("1", "BOOLEAN"), "0",
                       LIST_JOIN(REF("0", "SMALLINT"), GET("0", INDEX("1") "," INDEX("2"))))),
           in);
    /* NOT IN, or something else beside the mark, is no term. */
    expect(
        f,
        PLAN(FILTER("{'expression_class':'BOUND_OPERATOR','type':'OPERATOR_NOT','children':[" REF(
                        "1", "BOOLEAN") "]}",
                    "0", LIST_JOIN(REF("0", "SMALLINT"), GET("0", INDEX("1") "," INDEX("2"))))),
        "(delay,origin)[]");
    expect(f,
           PLAN(FILTER("{'expression_class':'BOUND_CONJUNCTION','type':'CONJUNCTION_OR',"
                       "'children':[" COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"),
                                              CONST("SMALLINT", "5")) "," //
                       COMPARE("COMPARE_EQUAL", REF("1", "VARCHAR"), CONST("VARCHAR", "'a'")) "]}",
                       "", GET("0", INDEX("1") "," INDEX("2")))),
           "(delay,origin)[]");
}

/* A cast is followed only where each value stays what it is. */
static void casts_are_followed_when_exact(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *json;
        const char *words;
    } list[] = {
        {COMPARE("COMPARE_LESSTHAN", CAST_TO("INTEGER", REF("0", "SMALLINT"), "false"),
                 CONST("INTEGER", "300")),
         "(delay)[delay < 300]"},
        {COMPARE("COMPARE_LESSTHAN", CAST_TO("INTEGER", REF("0", "SMALLINT"), "false"),
                 CONST("INTEGER", "70000")),
         "(delay)[]"},
        {COMPARE("COMPARE_LESSTHAN", CAST_TO("INTEGER", REF("0", "SMALLINT"), "true"),
                 CONST("INTEGER", "300")),
         "(delay)[]"},
        {COMPARE("COMPARE_LESSTHAN", CAST_TO("UINTEGER", REF("0", "SMALLINT"), "false"),
                 CONST("UINTEGER", "300")),
         "(delay)[]"},
        {COMPARE("COMPARE_LESSTHAN", CAST_TO("TINYINT", REF("0", "SMALLINT"), "false"),
                 CONST("TINYINT", "30")),
         "(delay)[]"},
        {COMPARE("COMPARE_LESSTHAN", CAST_TO("DOUBLE", REF("0", "SMALLINT"), "false"),
                 CONST("DOUBLE", "30")),
         "(delay)[]"},
        {COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"), CONST("DOUBLE", "30")), "(delay)[]"},
        {COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"), CONST("SMALLINT", "'30'")), "(delay)[]"},
        {COMPARE("COMPARE_DISTINCT_FROM", REF("0", "SMALLINT"), CONST("SMALLINT", "30")),
         "(delay)[]"},
        {COMPARE("COMPARE_EQUAL", REF("9", "SMALLINT"), CONST("SMALLINT", "30")), "(delay)[]"},
        {COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"), REF("0", "SMALLINT")), "(delay)[]"},
        {"{'expression_class':'BOUND_NEW_THING'}", "(delay)[]"},
        {"7", "(delay)[]"},
    };

    for (size_t i = 0; i < sizeof list / sizeof list[0]; i++) {
        char json[2000];
        (void)snprintf(json, sizeof json, PLAN(FILTER("%s", "", GET("0", INDEX("1")))),
                       list[i].json);
        expect(f, json, list[i].words);
    }
}

#define EQUAL_FOUR                                                                                 \
    FILTER(COMPARE("COMPARE_EQUAL", REF("0", "SMALLINT"), CONST("SMALLINT", "4")), "",             \
           GET("0", INDEX("1")))

/* Two scans of one slot, or one that a recursion repeats: shared, and without predicates. */
static void slots_read_twice_are_told(void **state)
{
    struct fixture *f = *state;
    uint64_t shared = 0;

    assert_int_equal(
        read_text(f, PLAN(OP("LOGICAL_UNION", "", EQUAL_FOUR "," GET("0", INDEX("2")))), &shared),
        FM_OK);
    assert_int_equal(shared, 1);
    assert_int_equal(f->plan.tables[0].predicates.count, 0);
    assert_int_equal(f->plan.tables[0].field_count, 2);
    assert_int_equal(
        read_text(f, PLAN(OP("LOGICAL_RECURSIVE_CTE", "", EQUAL_FOUR "," GET("1", INDEX("2")))),
                  &shared),
        FM_OK);
    assert_int_equal(shared, 2);
    assert_int_equal(f->plan.tables[0].predicates.count, 1);
}

/* The second gate: a plan that reads something else is refused, whatever the tree looked like. */
static void other_scans_are_refused(void **state)
{
    static const char *const names[] = {"read_csv", "duckdb_settings", "seq_scan", "FM_SCAN", ""};
    struct fixture *f = *state;
    uint64_t shared = 0;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char json[1000];
        (void)snprintf(json, sizeof json, PLAN(OP("LOGICAL_LIMIT", "", GET_OF("%s", "0", "", ""))),
                       names[i]);
        assert_int_equal(read_text(f, json, &shared), FM_INVALID);
    }
    assert_int_equal(read_text(f, PLAN(GET("2", INDEX("0"))), &shared), FM_INTERNAL);
    assert_int_equal(read_text(f, PLAN(GET("'0'", INDEX("0"))), &shared), FM_INTERNAL);
    assert_int_equal(read_text(f, PLAN("{}"), &shared), FM_INTERNAL);
    assert_int_equal(read_text(f, PLAN(""), &shared), FM_INTERNAL);
    assert_int_equal(read_text(f, "{'error':true,'error_message':'why'}", &shared), FM_INVALID);
    assert_string_equal(f->err.text, "why");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(columns_come_from_the_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_follow_the_columns, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_become_in, setup, teardown),
        cmocka_unit_test_setup_teardown(casts_are_followed_when_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_read_twice_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(other_scans_are_refused, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
