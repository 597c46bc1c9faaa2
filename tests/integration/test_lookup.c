/* Statements that a scan answers without an engine, and those that look like it: over a table of
 * every type with the values that comparisons stumble over, each must give what the engine gives,
 * with the same columns; and it must be known which of both answered. */
#include "core/records.h"
#include "tests/support/live_owners.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char contract[] =
    "apiVersion: v3.1.0\n"
    "kind: DataContract\n"
    "id: 0f0a8a0e-1d3b-4b61-8a0c-5d4c7c8b7e99\n"
    "version: 1.0.0\n"
    "status: active\n"
    "domain: alpha\n"
    "dataProduct: kinds\n"
    "schema:\n"
    "  - name: pairs\n"
    "    logicalType: object\n"
    "    properties:\n"
    "      - {name: note, logicalType: string}\n"
    "      - {name: area, logicalType: string, primaryKey: true, primaryKeyPosition: 2, required: "
    "true}\n"
    "      - {name: number, logicalType: integer, physicalType: int32, primaryKey: true, "
    "primaryKeyPosition: 1, required: true}\n"
    "      - {name: value, logicalType: number, physicalType: double}\n"
    "  - name: kinds\n"
    "    logicalType: object\n"
    "    properties:\n"
    "      - {name: id, logicalType: integer, physicalType: int32, primaryKey: true, required: "
    "true}\n"
    "      - {name: small, logicalType: integer, physicalType: int8}\n"
    "      - {name: big, logicalType: integer, physicalType: int64}\n"
    "      - {name: plain, logicalType: integer, physicalType: uint64}\n"
    "      - {name: huge, logicalType: integer, physicalType: hugeint}\n"
    "      - {name: single, logicalType: number, physicalType: float}\n"
    "      - {name: real, logicalType: number, physicalType: double}\n"
    "      - {name: money, logicalType: number, physicalType: \"decimal(9,2)\"}\n"
    "      - {name: text, logicalType: string}\n"
    "      - {name: flag, logicalType: boolean}\n"
    "      - {name: day, logicalType: date, physicalType: date}\n"
    "      - {name: at, logicalType: timestamp, physicalType: timestamptz}\n"
    "      - {name: code, logicalType: string, physicalType: uuid}\n"
    "      - {name: level, logicalType: string, physicalType: \"enum('low','high')\"}\n"
    "      - {name: Mixed, logicalType: string}\n";

static const char header[] =
    "id,small,big,plain,huge,single,real,money,text,flag,day,at,code,level,Mixed\n";

static const char *const rows[] = {
    "1,1,1,1,1,1.5,0.0,1.50,SEA,true,2001-01-01,2001-01-01 00:00:00+00,"
    "00000000-0000-0000-0000-000000000001,low,a\n",
    "2,-128,-9223372036854775808,18446744073709551615,170141183460469231731687303715884105727,"
    "nan,-0.0,-1.50,sea,false,1969-12-31,1969-12-31 23:59:59.999999+00,"
    "80000000-0000-0000-0000-000000000000,high,A\n",
    "3,127,9223372036854775807,9223372036854775808,-170141183460469231731687303715884105727,"
    "inf,nan,0.00,SEA ,true,2001-02-01,2001-06-01 12:00:00+02,"
    "ffffffff-ffff-ffff-ffff-ffffffffffff,low,b\n",
    "4,0,0,0,0,-inf,inf,9999999.99,S%A,false,9999-12-31,2001-01-01 00:00:00.000001+00,"
    "7fffffff-ffff-ffff-ffff-ffffffffffff,high,B\n",
    "5,,,,,,,,,,,,,,\n",
    "6,45,45,45,45,0.1,0.1,45.00,\xc3\x84LM,true,2001-01-01,2001-01-01 01:00:00+01,"
    "00000000-0000-0000-0000-000000000001,low,\xc3\xa4\n",
    "7,45,46,47,48,-0.0,1e308,-0.01,S_A,,2001-01-02,2001-01-01 00:00:00+00,,,S\n",
    "8,5,5,5,5,16777216,16777217,5.00,S,true,2000-02-29,2000-02-29 00:00:00+00,"
    "00000000-0000-0000-0000-000000000002,high,SEA\n",
};

/* Of what is changed and taken back, and comes again. */
static const char *const pairs[] = {
    "note,area,number,value\none,a,1,0.0\ntwo,a,2,nan\n,b,1,\nfour,ab,1,-0.0\ngone,c,1,1\n",
    "note,area,number,value,_op\nnew,a,1,5.5,\n,b,1,,retract\n,c,1,,retract\nfirst,d,-7,2,\n",
    "note,area,number,value\nback,c,1,9\nsecond,d,-7,3\n",
};

static void append_rows(struct live_owners *f, size_t from, size_t to)
{
    FM_AUTO(fm_buf_free) struct fm_buf data = FM_BUF_INIT(0);

    fm_buf_put_str(&data, header);
    for (size_t i = from; i < to; i++)
        fm_buf_put_str(&data, rows[i]);
    live_append(f->mesh, f->alpha, "alpha.kinds", fm_buf_span(&data));
}

static int setup(void **state)
{
    struct live_owners *f = live_owners_new(2, NULL);
    char path[LIVE_PATH_MAX];

    live_make_principal(f->mesh, "alpha-team",
                        (const char *const[]){"reader", "owner:alpha", NULL});
    assert_int_equal(
        fm_file_write(live_path(f->mesh, "kinds.yaml", path), fm_span_str(contract), 0600, NULL),
        FM_OK);
    free(live_output(f->mesh, "alpha-team", f->alpha,
                     (const char *const[]){"product", "apply", path, NULL}));
    append_rows(f, 0, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        live_append(f->mesh, f->alpha, "alpha.pairs", fm_span_str(pairs[i]));
    live_owners_ready(f, 1);
    *state = f;
    return 0;
}

/* ---- Answers as text ------------------------------------------------------------------------- */

struct answer {
    struct fm_buf columns; /* Names and types, a line each. */
    char **rows;           /* Sorted. */
    size_t count;
    bool is_lookup; /* By the plan that was signed. */
};

static void answer_deinit(struct answer *answer)
{
    for (size_t i = 0; i < answer->count; i++)
        free(answer->rows[i]);
    free(answer->rows);
    fm_buf_free(&answer->columns);
}

static int compare_rows(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void take_rows(struct folkmoot_result *result, struct answer *out)
{
    uint32_t count = folkmoot_result_rows(result);

    out->rows = realloc(out->rows, (out->count + count + 1) * sizeof *out->rows);
    assert_non_null(out->rows);
    for (uint32_t row = 0; row < count; row++) {
        FM_AUTO(fm_buf_free) struct fm_buf line = FM_BUF_INIT(0);
        for (uint32_t column = 0; column < folkmoot_result_column_count(result); column++) {
            const char *text;
            size_t len;
            assert_int_equal(folkmoot_result_text(result, row, column, &text, &len), FOLKMOOT_OK);
            fm_buf_put_str(&line, text == NULL ? "|NULL" : "|'");
            if (text != NULL)
                fm_buf_put(&line, text, len);
        }
        out->rows[out->count] = fm_strdup_span(fm_buf_span(&line));
        assert_non_null(out->rows[out->count]);
        out->count++;
    }
}

static bool is_lookup(const struct folkmoot_result *result)
{
    static struct fm_bundle bundle;
    static struct fm_answer answer;
    struct fm_envelope envelope;
    size_t len;
    const uint8_t *bytes = folkmoot_result_bundle(result, &len);

    assert_int_equal(fm_bundle_decode(fm_span(bytes, len), &bundle), FM_OK);
    assert_int_equal(fm_envelope_open(bundle.answer, &envelope), FM_OK);
    assert_int_equal(fm_answer_decode(envelope.body, &answer), FM_OK);
    static const char kind[] = "{\"kind\":\"lookup\"";
    return answer.plan.len > sizeof kind && memcmp(answer.plan.data, kind, sizeof kind - 1) == 0;
}

static enum folkmoot_status ask(struct folkmoot *handle, const char *sql, const char *without,
                                struct answer *out)
{
    const struct folkmoot_query_options options = {.without = without};
    struct folkmoot_result *result = NULL;

    *out = (struct answer){.columns = FM_BUF_INIT(0)};
    enum folkmoot_status status = folkmoot_query(handle, sql, strlen(sql), &options, &result);
    if (status != FOLKMOOT_OK)
        return status;
    for (uint32_t i = 0; i < folkmoot_result_column_count(result); i++)
        fm_buf_printf(&out->columns, "%s %s\n", folkmoot_result_column_name(result, i),
                      folkmoot_result_column_type(result, i));
    do {
        status = folkmoot_result_next(result);
        if (status == FOLKMOOT_OK)
            take_rows(result, out);
    } while (status == FOLKMOOT_OK && folkmoot_result_rows(result) != 0);
    if (status == FOLKMOOT_OK)
        out->is_lookup = is_lookup(result);
    folkmoot_result_free(result);
    if (out->count > 1)
        qsort(out->rows, out->count, sizeof *out->rows, compare_rows);
    return status;
}

/* False also while the owner knows a contract that the asked node does not. */
static bool has_column(struct folkmoot *handle, const char *sql, const char *name)
{
    struct answer answer;
    enum folkmoot_status status = ask(handle, sql, NULL, &answer);

    fm_buf_put_u8(&answer.columns, 0);
    bool found = status == FOLKMOOT_OK && strstr((const char *)answer.columns.data, name) != NULL;
    if (status != FOLKMOOT_OK && status != FOLKMOOT_CONFLICT)
        fail_msg("%s: %s", sql, folkmoot_error(handle));
    answer_deinit(&answer);
    return found;
}

/* With and without the rule. `limited`: which of the rows is free, only their number counts. */
static void check(struct live_owners *f, const char *sql, bool lookup, bool limited)
{
    struct answer with, engine;

    if (ask(f->handle, sql, NULL, &with) != FOLKMOOT_OK ||
        ask(f->handle, sql, "lookup", &engine) != FOLKMOOT_OK)
        fail_msg("%s: %s", sql, folkmoot_error(f->handle));
    if (with.is_lookup != lookup || engine.is_lookup)
        fail_msg("%s: %s", sql, with.is_lookup ? "is a lookup" : "is none");
    if (!fm_span_equal(fm_buf_span(&with.columns), fm_buf_span(&engine.columns)))
        fail_msg("%s: columns %.*s", sql, (int)with.columns.len, (const char *)with.columns.data);
    if (with.count != engine.count)
        fail_msg("%s: %zu rows, the engine gives %zu", sql, with.count, engine.count);
    for (size_t i = 0; !limited && i < with.count; i++) {
        if (strcmp(with.rows[i], engine.rows[i]) != 0)
            fail_msg("%s: %s, the engine gives %s", sql, with.rows[i], engine.rows[i]);
    }
    answer_deinit(&with);
    answer_deinit(&engine);
}

#define K "FROM alpha.kinds "

static const char *const lookups[] = {
    "SELECT * " K,
    "FROM alpha.kinds",
    "SELECT text, id " K,
    "SELECT k.ID, \"Mixed\" FROM Alpha.KINDS k",
    "SELECT * EXCLUDE (text) " K,
    "SELECT * " K "WHERE id = 3",
    "SELECT * " K "WHERE id = 99",
    "SELECT * " K "WHERE id = 3 AND small = 4",
    "SELECT * " K "WHERE 3 = id AND text = 'SEA '",
    "SELECT text " K "WHERE id = 3::BIGINT",
    "SELECT id " K "WHERE id IN (1, 3, NULL)",
    "SELECT id " K "WHERE id IN (1, 3, 4, 7, 9, 99, NULL)",
    "SELECT id " K "WHERE id = 1 OR id = 2",
    "SELECT id " K "WHERE text = 'SEA'",
    "SELECT id " K "WHERE text <> 'SEA'",
    "SELECT id " K "WHERE text > 'SEA'",
    "SELECT id " K "WHERE text BETWEEN 'S' AND 'SEA'",
    "SELECT id " K "WHERE text LIKE 'S%'",
    "SELECT id " K "WHERE text LIKE 'SEA'",
    "SELECT id " K "WHERE starts_with(text, 'S')",
    "SELECT id " K "WHERE text IN ('SEA', 'sea', 'x', 'y', 'z', 'S')",
    "SELECT id " K "WHERE text = '\xc3\x84LM'",
    "SELECT id " K "WHERE text IS NULL",
    "SELECT id " K "WHERE text IS NOT NULL",
    "SELECT id " K "WHERE text IS NOT DISTINCT FROM 'SEA'",
    "SELECT id " K "WHERE small = -128",
    "SELECT id " K "WHERE small * 2 = 90",
    "SELECT id " K "WHERE small + 1 = 46",
    "SELECT id " K "WHERE small >= 45 AND small < 127",
    "SELECT id " K "WHERE big = 9223372036854775807 OR big = -9223372036854775808",
    "SELECT id " K "WHERE big > 5 AND plain < 48",
    "SELECT id " K "WHERE plain = 18446744073709551615",
    "SELECT id " K "WHERE plain > 9223372036854775807",
    "SELECT id " K "WHERE huge = 170141183460469231731687303715884105727",
    "SELECT id " K "WHERE huge < 0",
    "SELECT id " K "WHERE real = 0",
    "SELECT id " K "WHERE real = -0.0",
    "SELECT id " K "WHERE real <> 0",
    "SELECT id " K "WHERE real = 'nan'",
    "SELECT id " K "WHERE real <> 'nan'",
    "SELECT id " K "WHERE real > 'inf'",
    "SELECT id " K "WHERE real >= 16777217",
    "SELECT id " K "WHERE real IN (0, 'nan', 'inf')",
    "SELECT id " K "WHERE single = 0.1",
    "SELECT id " K "WHERE single = 1.5::FLOAT",
    "SELECT id " K "WHERE single = 'nan'::FLOAT",
    "SELECT id " K "WHERE single <= 0::FLOAT",
    "SELECT id " K "WHERE single < '-inf'::FLOAT",
    "SELECT id " K "WHERE money = 1.5",
    "SELECT id " K "WHERE money > -0.01",
    "SELECT id " K "WHERE money <> 45",
    "SELECT id " K "WHERE flag",
    "SELECT id " K "WHERE NOT flag",
    "SELECT id " K "WHERE flag IS NULL",
    "SELECT id " K "WHERE day = '2001-01-01'",
    "SELECT id " K "WHERE day BETWEEN DATE '1969-12-31' AND DATE '2001-01-01'",
    "SELECT id " K "WHERE \"at\" = '2001-01-01 00:00:00+00'",
    "SELECT id " K "WHERE \"at\" > TIMESTAMPTZ '2001-01-01 02:00:00+02'",
    "SELECT id " K "WHERE code = '80000000-0000-0000-0000-000000000000'",
    "SELECT id " K "WHERE code < '80000000-0000-0000-0000-000000000000'",
    "SELECT id " K "WHERE level = 'low'",
    "SELECT id " K "WHERE id > 2 AND id < 7 AND text IS NOT NULL AND flag",
    "SELECT id " K "WHERE id NOT IN (1, 3)",
    "SELECT id " K "WHERE \"at\" < now()",
    "SELECT id " K "k AT (VERSION => 3)",
    "SELECT id FROM alpha.\"kinds$facts\" WHERE _seq < 4",
};

static void a_scan_answers(void **state)
{
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++)
        check(*state, lookups[i], true, false);
    check(*state, "SELECT id " K "LIMIT 3", true, true);
    check(*state, "SELECT id, text " K "WHERE id > 2 LIMIT 100 OFFSET 0", true, true);
}

static const char *const others[] = {
    "SELECT id AS x " K,
    "SELECT id, id " K,
    "SELECT id + 1 AS id " K,
    "SELECT big::INTEGER AS big " K "WHERE id = 1",
    "SELECT x.id FROM (SELECT big AS id FROM alpha.kinds) x",
    "SELECT * FROM alpha.kinds k(a, b)",
    "SELECT count(*) " K,
    "SELECT DISTINCT flag " K,
    "SELECT id " K "ORDER BY id",
    "SELECT id " K "ORDER BY id LIMIT 2",
    "SELECT id " K "LIMIT 0",
    "SELECT id FROM (SELECT id " K "LIMIT 8) q WHERE id > 3",
    "SELECT id, 1 AS one " K,
    "SELECT id " K "WHERE text LIKE '%A'",
    "SELECT id " K "WHERE text LIKE 'S_A'",
    "SELECT id " K "WHERE text LIKE 'S%A'",
    "SELECT id " K "WHERE text LIKE 'S!%A' ESCAPE '!'",
    "SELECT id " K "WHERE text NOT LIKE 'S%'",
    "SELECT id " K "WHERE text ILIKE 's%'",
    "SELECT id " K "WHERE text COLLATE NOCASE = 'sea'",
    "SELECT id " K "WHERE lower(text) = 'sea'",
    "SELECT id " K "WHERE id NOT IN (1, 3, NULL)",
    "SELECT id " K "WHERE id NOT IN (1, 3, 4, 7, 9, 99, 100)",
    "SELECT id, id IN (1, 3, 4, 7, 9, 99, 100) AS x " K,
    "SELECT id " K "WHERE id = 1 OR text = 'SEA'",
    "SELECT id " K "WHERE small = 5 OR small IS NULL",
    "SELECT id " K "WHERE text IS DISTINCT FROM 'SEA'",
    "SELECT id " K "WHERE small IS NOT DISTINCT FROM NULL OR small = 5",
    "SELECT id " K "WHERE small = 45.0",
    "SELECT id " K "WHERE small < 1000",
    "SELECT id " K "WHERE single = 0.1::DOUBLE",
    "SELECT id " K "WHERE money = 1.5::DOUBLE",
    "SELECT id " K "WHERE money = 1.505",
    "SELECT id " K "WHERE small = big",
    "SELECT id " K "WHERE small - id = 39",
    "SELECT id " K "WHERE id % 2 = 0 AND small > 0",
    "SELECT id " K "WHERE day < \"at\"",
    "SELECT id " K "WHERE level > 'high'",
    "SELECT id " K "WHERE id = (SELECT min(id) " K ")",
    "SELECT id " K "WHERE false",
    "SELECT id " K "UNION ALL SELECT small " K,
    "SELECT a.id FROM alpha.kinds a, alpha.kinds b WHERE a.id = b.small",
    "SELECT id, row_number() OVER () AS n " K,
};

static void an_engine_answers(void **state)
{
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        check(*state, others[i], false, false);
    check(*state, "SELECT id " K "LIMIT 2 OFFSET 1", false, true);
    check(*state, "SELECT id " K "LIMIT 50%", false, true);
}

/* The owner finds the row of a whole key without a scan. Each statement is asked once with the key
 * as it is, and once in words that no fragment can carry; at both nodes. */
struct keyed {
    const char *before;
    const char *key[4]; /* Columns and what is compared, of 1 or 2 fields. */
    const char *after;
    size_t count; /* Of rows. */
};

#define P "SELECT * FROM alpha.pairs"

static const struct keyed keyed[] = {
    {P, {"area", " = 'a'", "number", " = 1"}, "", 1},
    {P, {"area", " = 'a'", "number", " = 2"}, "", 1},
    {P, {"area", " = 'ab'", "number", " = 1"}, "", 1},
    {P, {"area", " = 'b'", "number", " = 1"}, "", 0},
    {P, {"area", " = 'c'", "number", " = 1"}, "", 1},
    {P, {"area", " = 'd'", "number", " = -7"}, "", 1},
    {P, {"area", " = 'd'", "number", " = -8"}, "", 0},
    {P, {"area", " = ''", "number", " = 1"}, "", 0},
    {P, {"area", " = 'A'", "number", " = 1"}, "", 0},
    {P, {"area", " = 'a'", "number", " = NULL"}, "", 0},
    {P, {"area", " = 'a'"}, "", 2},
    {P, {"number", " = 1"}, "", 3},
    {P, {"area", " = 'a'", "number", " = 1"}, " AND value = 5.5", 1},
    {P, {"area", " = 'a'", "number", " = 1"}, " AND value = 0", 0},
    {P, {"area", " = 'a'", "number", " = 1"}, " AND note LIKE 'ne%'", 1},
    {P, {"area", " = 'a'", "number", " = 1"}, " AND note IS NULL", 0},
    {P, {"area", " = 'a'", "number", " = 1"}, " AND area = 'b'", 0},
    {P, {"area", " = 'a'", "number", " = 1"}, " AND number > 1", 0},
    {P, {"area", " = 'a'", "number", " = 2"}, " AND value = 'nan'", 1},
    {P, {"area", " = 'ab'", "number", " = 1"}, " AND value = 0", 1},
    {P, {"area", " = 'a'", "number", " = 1"}, " LIMIT 1", 1},
    {P, {"area", " = 'a'", "number", " IN (1)"}, "", 1},
    {P, {"area", " = 'a'", "number", " IN (1, 2)"}, "", 2},
    {"SELECT value FROM alpha.pairs", {"area", " = 'd'", "number", " = -7"}, "", 1},
    {"SELECT value, note, area FROM alpha.pairs", {"area", " = 'c'", "number", " = 1"}, "", 1},
    {P " AT (VERSION => 5)", {"area", " = 'a'", "number", " = 1"}, "", 1},
    {P " AT (VERSION => 5)", {"area", " = 'b'", "number", " = 1"}, "", 1},
    {P " AT (VERSION => 9)", {"area", " = 'c'", "number", " = 1"}, "", 0},
    {"SELECT note, _seq FROM alpha.\"pairs$facts\"", {"area", " = 'c'", "number", " = 1"}, "", 3},
    {"SELECT text, id FROM alpha.kinds", {"id", " = 3"}, "", 1},
    {"SELECT * FROM alpha.kinds", {"id", " = 5"}, " AND text IS NULL", 1},
};

static void check_keyed(struct folkmoot *handle, const struct keyed *asked)
{
    FM_AUTO(fm_buf_free) struct fm_buf plain = FM_BUF_INIT(0);
    FM_AUTO(fm_buf_free) struct fm_buf hidden = FM_BUF_INIT(0);
    struct answer keyed_answer, scanned;

    fm_buf_printf(&plain, "%s", asked->before);
    fm_buf_printf(&hidden, "%s", asked->before);
    for (size_t i = 0; i < 4 && asked->key[i] != NULL; i += 2) {
        const char *word = i == 0 ? "WHERE" : "AND";
        fm_buf_printf(&plain, " %s %s%s", word, asked->key[i], asked->key[i + 1]);
        fm_buf_printf(&hidden, " %s list_extract([%s], 1)%s", word, asked->key[i],
                      asked->key[i + 1]);
    }
    fm_buf_printf(&plain, "%s%c", asked->after, 0);
    fm_buf_printf(&hidden, "%s%c", asked->after, 0);
    if (ask(handle, (const char *)plain.data, NULL, &keyed_answer) != FOLKMOOT_OK ||
        ask(handle, (const char *)hidden.data, "lookup", &scanned) != FOLKMOOT_OK)
        fail_msg("%s: %s", plain.data, folkmoot_error(handle));
    if (keyed_answer.count != asked->count || scanned.count != asked->count)
        fail_msg("%s: %zu rows, a scan gives %zu", plain.data, keyed_answer.count, scanned.count);
    assert_true(fm_span_equal(fm_buf_span(&keyed_answer.columns), fm_buf_span(&scanned.columns)));
    for (size_t i = 0; i < scanned.count; i++)
        assert_string_equal(keyed_answer.rows[i], scanned.rows[i]);
    answer_deinit(&keyed_answer);
    answer_deinit(&scanned);
}

static void a_key_is_looked_up(void **state)
{
    struct live_owners *f = *state;
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];
    struct folkmoot *owner = NULL;
    struct folkmoot_options options = {.node = f->alpha->address,
                                       .identity = live_path(f->mesh, "reader", path)};

    assert_int_equal(folkmoot_open(&options, &owner, error), FOLKMOOT_OK);
    for (size_t i = 0; i < sizeof keyed / sizeof keyed[0]; i++) {
        check_keyed(f->handle, &keyed[i]);
        check_keyed(owner, &keyed[i]);
    }
    folkmoot_close(owner);
}

/* Plans are kept while the catalog is the same: the statements before, asked at both nodes, must
 * not hide a new column. */
static void a_changed_contract_is_seen(void **state)
{
    static const char *const statements[] = {"SELECT * " K, "SELECT *, 1 AS one " K};
    struct live_owners *f = *state;
    FM_AUTO(fm_buf_free) struct fm_buf changed = FM_BUF_INIT(0);
    char path[LIVE_PATH_MAX], error[FOLKMOOT_ERROR_MAX];
    struct folkmoot *owner = NULL;
    struct folkmoot_options options = {.node = f->alpha->address,
                                       .identity = live_path(f->mesh, "reader", path)};

    assert_int_equal(folkmoot_open(&options, &owner, error), FOLKMOOT_OK);
    for (int asked = 0; asked < 4; asked++)
        assert_false(has_column(asked < 2 ? owner : f->handle, statements[asked % 2], "extra"));
    const char *version = strstr(contract, "1.0.0");
    assert_non_null(version);
    fm_buf_put(&changed, contract, (size_t)(version - contract));
    fm_buf_printf(&changed, "1.1.0%s      - {name: extra, logicalType: string}\n", version + 5);
    assert_int_equal(
        fm_file_write(live_path(f->mesh, "kinds.yaml", path), fm_buf_span(&changed), 0600, NULL),
        FM_OK);
    free(live_output(f->mesh, "alpha-team", f->alpha,
                     (const char *const[]){"product", "apply", path, NULL}));
    assert_true(has_column(owner, statements[0], "extra"));
    assert_true(has_column(owner, statements[1], "extra"));
    fm_ms end = fm_now_ms() + 20000; /* Until gossip has told it. */
    while (!has_column(f->handle, statements[0], "extra"))
        assert_true(fm_now_ms() < end);
    assert_true(has_column(f->handle, statements[1], "extra"));
    folkmoot_close(owner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scan_answers),
        cmocka_unit_test(an_engine_answers),
        cmocka_unit_test(a_key_is_looked_up),
        cmocka_unit_test(a_changed_contract_is_seen),
    };

    return cmocka_run_group_tests(tests, setup, live_owners_teardown);
}
