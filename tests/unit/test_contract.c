/* Contracts: what compiles, what the schemas then are, and what each mistake is answered with. */
#include "node/contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define CONTRACT_HEAD                                                                              \
    "apiVersion: v3.1.0\n"                                                                         \
    "kind: DataContract\n"                                                                         \
    "id: 53581432-6c55-4ba2-a65f-72344a91553a\n"                                                   \
    "version: 1.2.0\n"                                                                             \
    "status: active\n"                                                                             \
    "name: Orders\n"                                                                               \
    "domain: shop\n"                                                                               \
    "team: {name: sales}\n"                                                                        \
    "schema:\n"                                                                                    \
    "  - name: orders\n"                                                                           \
    "    logicalType: object\n"

static const char base[] = CONTRACT_HEAD "    customProperties:\n"
                                         "      - {property: folkmoot.clusterBy, value: [day]}\n"
                                         "    properties:\n"
                                         "      - name: id\n"
                                         "        logicalType: integer\n"
                                         "        primaryKey: true\n"
                                         "      - name: day\n"
                                         "        logicalType: date\n"
                                         "        required: true\n"
                                         "      - name: mail\n"
                                         "        logicalType: string\n"
                                         "        classification: pii\n";

struct fixture {
    struct fm_compiled_contract first;
    struct fm_compiled_contract second;
    struct fm_error err;
    char text[65536];
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_compiled_contract_deinit(&f->first);
    fm_compiled_contract_deinit(&f->second);
    free(f);
    return 0;
}

/* `base` with `from` replaced by `to`. */
static struct fm_span edited(struct fixture *f, const char *from, const char *to)
{
    const char *at = strstr(base, from);

    assert_non_null(at);
    int len = snprintf(f->text, sizeof f->text, "%.*s%s%s", (int)(at - base), base, to,
                       at + strlen(from));
    assert_true(len > 0 && (size_t)len < sizeof f->text);
    return fm_span(f->text, (size_t)len);
}

static enum fm_status compile(struct fixture *f, struct fm_span yaml,
                              struct fm_compiled_contract *out)
{
    const struct fm_schema *const *existing = (const struct fm_schema *const *)f->first.tables;
    uint32_t count = out == &f->first ? 0 : f->first.table_count;

    return fm_contract_compile(yaml, "c.yaml", existing, count, out, &f->err);
}

static bool has_line(const struct fm_compiled_contract *contract, const char *part)
{
    for (uint32_t i = 0; i < contract->line_count; i++) {
        struct fm_span line = fm_contract_line(contract, i);
        if (memmem(line.data, line.len, part, strlen(part)) != NULL)
            return true;
    }
    return false;
}

static void contract_gives_the_schema_it_says(void **state)
{
    struct fixture *f = *state;
    struct fm_compiled_contract *c = &f->first;

    assert_int_equal(compile(f, fm_span_str(base), c), FM_OK);
    assert_string_equal(c->domain, "shop");
    assert_string_equal(c->product, "Orders");
    assert_string_equal(c->version, "1.2.0");
    assert_int_equal(c->table_count, 1);
    assert_int_equal(c->changes[0], FM_TABLE_NEW);
    const struct fm_schema *s = c->tables[0];
    assert_string_equal(s->table, "orders");
    assert_int_equal(s->version, 1);
    assert_int_equal(s->field_count, 3);
    assert_int_equal(s->fields[0].type.kind, FM_KIND_INT64);
    assert_true(s->fields[0].required); /* As a key column. */
    assert_int_equal(s->fields[1].type.kind, FM_KIND_DATE);
    assert_int_equal(s->fields[2].classification, FM_CLASS_PERSONAL);
    assert_false(s->fields[2].required);
    assert_int_equal(s->fields[2].id, 3);
    assert_int_equal(s->key_count, 1);
    assert_int_equal(s->key[0], 0);
    assert_int_equal(s->cluster_count, 1);
    assert_int_equal(s->cluster[0], 1);
    assert_true(has_line(c, "new table, 3 columns (compatible)"));
}

struct type_case {
    const char *yaml;
    const char *type;
};

/* Every logical type, options and physicalType that docs/contracts.md names. */
static void types_are_mapped(void **state)
{
    static const struct type_case cases[] = {
        {"logicalType: string", "varchar"},
        {"logicalType: string, logicalTypeOptions: {format: uuid}", "uuid"},
        {"logicalType: string, logicalTypeOptions: {format: binary}", "blob"},
        {"logicalType: string, logicalTypeOptions: {format: email}", "varchar"},
        {"logicalType: string, physicalType: json", "json"},
        {"logicalType: string, physicalType: \"enum('a','b')\"", "enum('a','b')"},
        {"logicalType: date", "date"},
        {"logicalType: time", "time"},
        {"logicalType: timestamp", "timestamp"},
        {"logicalType: timestamp, logicalTypeOptions: {timezone: true}", "timestamptz"},
        {"logicalType: number", "double"},
        {"logicalType: number, logicalTypeOptions: {format: f32}", "float"},
        {"logicalType: number, physicalType: 'decimal(10,2)'", "decimal(10,2)"},
        {"logicalType: integer", "int64"},
        {"logicalType: integer, logicalTypeOptions: {format: u16}", "uint16"},
        {"logicalType: integer, logicalTypeOptions: {format: i128}", "hugeint"},
        {"logicalType: boolean", "boolean"},
        {"logicalType: array, items: {logicalType: integer}", "list(int64)"},
        {"logicalType: object, properties: [{name: a, logicalType: date}]", "struct(a date)"},
        {"physicalType: 'map(varchar, int32)'", "map(varchar, int32)"},
        {"physicalType: bigint", "int64"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fm_buf text = FM_BUF_INIT(0);
        char yaml[2048];
        (void)snprintf(yaml, sizeof yaml, CONTRACT_HEAD "    properties: [{name: v, %s}]\n",
                       cases[i].yaml);
        enum fm_status status = compile(f, fm_span_str(yaml), &f->first);
        if (status != FM_OK)
            fail_msg("%s: %s", cases[i].yaml, f->err.text);
        fm_type_print(&text, &f->first.tables[0]->fields[0].type);
        fm_buf_put_u8(&text, 0);
        assert_int_equal(fm_buf_status(&text), FM_OK);
        assert_string_equal((const char *)text.data, cases[i].type);
        fm_buf_free(&text);
        fm_compiled_contract_deinit(&f->first);
    }
}

struct mistake {
    const char *from, *to;
    const char *place; /* Line and column that the message names. */
    const char *says;
};

static const struct mistake mistakes[] = {
    {"apiVersion: v3.1.0", "apiVersion: v2.2.2", ":1:", "v3.1."},
    {"kind: DataContract", "kind: Thing", ":2:7:", "DataContract"},
    {"id: 53581432-6c55-4ba2-a65f-72344a91553a\n", "", ":1:1:", "'id' is missing"},
    {"version: 1.2.0\n", "", ":1:1:", "'version' is missing"},
    {"status: active\n", "", ":1:1:", "'status' is missing"},
    {"domain: shop\n", "", ":1:1:", "'domain' is missing"},
    {"domain: shop", "domain: Shop", ":7:9:", "domain's name"},
    {"domain: shop", "domain: pg_shop", ":7:9:", "reserved"},
    {"name: Orders\n", "", ":1:1:", "'name' is missing"},
    {"schema:\n  - name: orders", "schema: 5\nx:\n  - name: orders", ":9:9:", "a list is expected"},
    {"  - name: orders", "  - name: 1orders", ":10:11:", "table's name"},
    {"logicalType: object", "logicalType: view", ":11:18:", "'object'"},
    {"      - name: id\n", "      - nam: id\n", ":15:9:", "'name' is missing"},
    {"logicalType: integer", "logicalType: int", ":16:22:", "is not known; expected string"},
    {"logicalType: integer", "physicalType: int33", ":16:23:", "'int33'"},
    {"logicalType: integer", "logicalType: integer\n        physicalType: varchar",
     ":17:23:", "does not fit logicalType integer"},
    {"        logicalType: integer\n", "", ":15:9:", "the type is missing"},
    {"primaryKey: true", "primaryKey: yes", ":17:21:", "true or false"},
    {"primaryKey: true", "primaryKey: true\n        required: false",
     ":18:19:", "must be required"},
    {"primaryKey: true", "primaryKey: true\n        primaryKeyPosition: 0", ":18:29:", "from 1"},
    {"primaryKey: true", "primaryKey: true\n        primaryKeyPosition: 2",
     ":10:5:", "count from 1"},
    {"logicalType: integer", "logicalType: number", ":10:5:", "floating"},
    {"value: [day]", "value: [dy]", ":13:", "'dy'"},
    {"value: [day]", "value: {a: 1}", ":13:", "list of column names"},
    {"folkmoot.clusterBy", "folkmoot.clustrBy", ":13:", "folkmoot.clusterBy"},
    {"- name: day", "- name: ID", ":18:15:", "two columns"},
    {"- name: day", "- name: _seq", ":18:15:", "reserved"},
    {"- name: day", "- name: _supersedes", ":18:15:", "reserved"},
    {"classification: pii", "classification: personnal", ":23:25:", "is not known"},
    {"classification: pii", "customProperties: [{property: folkmoot.fieldId, value: x}]",
     ":23:", "a number from 1"},
    {"classification: pii", "customProperties: [{property: folkmoot.fieldId, value: 4026531840}]",
     ":23:", "a number from 1 to 4026531839"},
    {"classification: pii",
     "customProperties: [{property: folkmoot.fieldId, value: 9}]\n      - name: x\n"
     "        logicalType: date\n"
     "        customProperties: [{property: folkmoot.fieldId, value: 9}]",
     ":10:5:", "same id"},
    {"primaryKey: true",
     "primaryKey: true\n        customProperties: [{property: folkmoot.subject, value: 1}]",
     ":18:", "folkmoot.subject must be true or false"},
    {"primaryKey: true",
     "primaryKey: true\n        customProperties: [{property: folkmoot.subjct, value: true}]",
     ":18:", "folkmoot.subject"},
    {"classification: pii",
     "classification: pii\n        required: true\n"
     "        customProperties: [{property: folkmoot.subject, value: true}]",
     ":10:5:", "give subjects a pseudonymous id"},
    {"        required: true\n",
     "        customProperties: [{property: folkmoot.subject, value: true}]\n",
     ":10:5:", "its type is none of varchar, uuid and the integers"},
    {"logicalType: date", "logicalType: array", ":18:9:", "needs 'items'"},
    {"logicalType: date", "logicalType: array\n        items: {logicalType: date, required: true}",
     ":20:", "whole columns"},
    {"team: {name: sales}", "slaProperties: [{property: retention, value: 0, unit: d}]",
     ":8:46:", "a whole number from 1 to 36600"},
    {"team: {name: sales}", "slaProperties: [{property: retention, value: 101, unit: y}]",
     ":8:46:", "a whole number from 1 to 100"},
    {"team: {name: sales}", "slaProperties: [{property: retention, value: 1181, unit: m}]",
     ":8:46:", "a whole number from 1 to 1180"},
    {"team: {name: sales}", "slaProperties: [{property: retention, value: 1.5, unit: y}]",
     ":8:46:", "a whole number"},
    {"team: {name: sales}", "slaProperties: [{property: retention, unit: y}]",
     ":8:17:", "a whole number"},
    {"team: {name: sales}", "slaProperties: [{property: retention, value: 1, unit: h}]",
     ":8:55:", "must be d, m (months of 31 days) or y (years of 366 days)"},
    {"team: {name: sales}", "slaProperties: [{property: retention, value: 1}]", ":8:17:", "unit"},
    {"team: {name: sales}",
     "slaProperties: [{property: retention, value: 1, unit: d, element: none}]",
     ":8:67:", "'none', which is no table of this contract"},
    {"team: {name: sales}",
     "slaProperties: [{property: retention, value: 1, unit: d, element: orders.day}]",
     ":8:67:", "name the table and no column"},
    {"team: {name: sales}",
     "slaProperties: [{property: retention, value: 1, unit: d, element: [orders]}]",
     ":8:67:", "must be the name of a table"},
    {"team: {name: sales}",
     "slaProperties: [{property: retention, value: 1, unit: d}, {property: retention, value: 2, "
     "unit: d, element: orders}]",
     ":8:59:", "a second retention of table 'orders'"},
    {"team: {name: sales}", "team: [sales", ":", "not YAML"},
    {"team: {name: sales}", "team: &a x\nmore: *a", ":9:7:", "aliases"},
    {"team: {name: sales}", "name: again", ":8:1:", "a second time"},
};

static void mistakes_are_named_with_their_place(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof mistakes / sizeof mistakes[0]; i++) {
        const struct mistake *m = &mistakes[i];
        enum fm_status status = compile(f, edited(f, m->from, m->to), &f->first);
        if (status != FM_INVALID)
            fail_msg("%s -> %s: status %d", m->from, m->to, (int)status);
        if (strncmp(f->err.text, "c.yaml:", 7) != 0 || strstr(f->err.text, m->place) == NULL ||
            strstr(f->err.text, m->says) == NULL)
            fail_msg("%s -> %s: %s", m->from, m->to, f->err.text);
    }
}

/* `id` names the subject of `mail`. */
static const char subject_from[] = "primaryKey: true\n";
static const char subject_to[] =
    "primaryKey: true\n"
    "        customProperties: [{property: folkmoot.subject, value: true}]\n"
    "      - name: n\n"
    "        logicalType: date\n";

static void a_column_names_the_subject(void **state)
{
    struct fixture *f = *state;
    const struct fm_schema *s;

    assert_int_equal(compile(f, edited(f, subject_from, subject_to), &f->first), FM_OK);
    s = f->first.tables[0];
    assert_true(s->has_subject);
    assert_int_equal(s->subject, 0);
    fm_compiled_contract_deinit(&f->first);
    assert_int_equal(compile(f, fm_span_str(base), &f->first), FM_OK);
    assert_false(f->first.tables[0]->has_subject);
}

/* What is stored for a subject, or in the open, stays so. */
static void the_subject_stays(void **state)
{
    static const struct {
        const char *from;
        const char *to;
        const char *says;
    } changes[] = {
        {"value: true", "value: false", "names the subject of 'orders' is published"},
        {"classification: pii",
         "classification: public\n      - name: m\n        logicalType: date\n"
         "        classification: pii",
         "'mail' is published as personal or secret"},
        {"logicalType: date", "logicalType: date\n        classification: pii",
         "'n' is published in the open"},
        {"classification: pii", "classification: pii\n      - name: m\n        logicalType: date",
         NULL},
        {"classification: pii", "classification: secret", NULL},
    };
    struct fixture *f = *state;
    char first[4096];

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        struct fm_span yaml = edited(f, subject_from, subject_to);
        const char *at;
        int len;

        fm_compiled_contract_deinit(&f->first);
        fm_compiled_contract_deinit(&f->second);
        assert_int_equal(compile(f, yaml, &f->first), FM_OK);
        at = strstr(f->text, changes[i].from);
        assert_non_null(at);
        len = snprintf(first, sizeof first, "%.*s%s%s", (int)(at - f->text), f->text, changes[i].to,
                       at + strlen(changes[i].from));
        assert_in_range(len, 1, sizeof first - 1);
        if (changes[i].says == NULL) {
            assert_int_equal(compile(f, fm_span_str(first), &f->second), FM_OK);
            continue;
        }
        assert_int_equal(compile(f, fm_span_str(first), &f->second), FM_CONFLICT);
        assert_non_null(strstr(f->err.text, changes[i].says));
    }
}

/* Of each table, in days of 86,400 seconds: months and years count as the longest there are. */
static void retention_is_compiled(void **state)
{
    static const struct {
        const char *sla;
        uint32_t days;
    } cases[] = {
        {"[{property: retention, value: 1, unit: d}]", 1},
        {"[{property: retention, value: 7, unit: days}]", 7},
        {"[{property: retention, value: 2, unit: m}]", 62},
        {"[{property: latency, value: 4, unit: d}, {property: retention, value: 3, unit: y}]",
         1098},
        {"[{property: retention, value: 100, unit: y}]", 36600},
        {"[{property: retention, value: 36600, unit: d, element: orders}]", 36600},
        {"[{property: retention, value: 5, unit: d, element: null}]", 5},
        {"[{property: latency, value: 5, unit: d}]", 0},
        {"no list, so none of ours", 0},
    };
    struct fixture *f = *state;
    char team[256];

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        (void)snprintf(team, sizeof team, "slaProperties: %s", cases[i].sla);
        fm_compiled_contract_deinit(&f->first);
        if (compile(f, edited(f, "team: {name: sales}", team), &f->first) != FM_OK)
            fail_msg("%s: %s", cases[i].sla, f->err.text);
        assert_int_equal(f->first.tables[0]->retention_days, cases[i].days);
    }
    assert_false(has_line(&f->first, "facts are kept"));
}

/* An element names one table of several; the default one stands for all that name none. */
static void retention_may_be_of_one_table(void **state)
{
    static const char other[] = "        classification: pii\n"
                                "  - name: other\n"
                                "    properties: [{name: x, logicalType: date}]\n"
                                "slaDefaultElement: other\n"
                                "slaProperties:\n"
                                "  - {property: retention, value: 9, unit: d, element: 'orders'}\n"
                                "  - {property: retention, value: 1, unit: y}\n";
    struct fixture *f = *state;

    assert_int_equal(compile(f, edited(f, "        classification: pii\n", other), &f->first),
                     FM_OK);
    assert_int_equal(f->first.tables[0]->retention_days, 9);
    assert_int_equal(f->first.tables[1]->retention_days, 366);
    assert_true(has_line(&f->first, "shop.orders: facts are kept for 9 days (compatible)"));
    assert_true(has_line(&f->first, "shop.other: facts are kept for 366 days (compatible)"));
}

static void changes_of_the_retention_are_told(void **state)
{
    static const struct {
        const char *then, *now;
        const char *says; /* NULL: nothing changed. */
        uint32_t breaking;
    } changes[] = {
        {"a: b", "slaProperties: [{property: retention, value: 2, unit: d}]",
         "shop.orders: facts are kept for 2 days, not for ever (breaking: older ones are dropped)",
         1},
        {"slaProperties: [{property: retention, value: 2, unit: d}]",
         "slaProperties: [{property: retention, value: 1, unit: d}]",
         "kept for 1 day, not for 2 days (breaking", 1},
        {"slaProperties: [{property: retention, value: 1, unit: m}]",
         "slaProperties: [{property: retention, value: 32, unit: d}]",
         "kept for 32 days, not for 31 days (compatible)", 0},
        {"slaProperties: [{property: retention, value: 1, unit: y}]", "a: b",
         "kept for ever, not for 366 days (compatible)", 0},
        {"slaProperties: [{property: retention, value: 1, unit: y}]",
         "slaProperties: [{property: retention, value: 366, unit: d}]", NULL, 0},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fm_compiled_contract_deinit(&f->first);
        fm_compiled_contract_deinit(&f->second);
        assert_int_equal(compile(f, edited(f, "team: {name: sales}", changes[i].then), &f->first),
                         FM_OK);
        assert_int_equal(compile(f, edited(f, "team: {name: sales}", changes[i].now), &f->second),
                         FM_OK);
        assert_int_equal(f->second.changes[0],
                         changes[i].says == NULL ? FM_TABLE_UNCHANGED : FM_TABLE_CHANGED);
        assert_int_equal(f->second.breaking_count, changes[i].breaking);
        if (changes[i].says != NULL && !has_line(&f->second, changes[i].says))
            fail_msg("no line: %s", changes[i].says);
        assert_int_equal(f->second.line_count, changes[i].says != NULL);
    }
}

static void other_keys_are_left_alone(void **state)
{
    struct fixture *f = *state;
    struct fm_span yaml =
        edited(f, "team: {name: sales}",
               "team: {name: sales}\nslaProperties: [{property: latency, value: 4}]\nprice: {}\n"
               "x-own: [1, [2, 3]]");

    assert_int_equal(compile(f, yaml, &f->first), FM_OK);
}

/* A new version of the contract, over the published first one. */
static enum fm_status evolve(struct fixture *f, const char *from, const char *to)
{
    fm_compiled_contract_deinit(&f->first);
    fm_compiled_contract_deinit(&f->second);
    assert_int_equal(compile(f, fm_span_str(base), &f->first), FM_OK);
    return compile(f, edited(f, from, to), &f->second);
}

static void same_contract_changes_nothing(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(evolve(f, "version: 1.2.0", "version: 1.2.1"), FM_OK);
    assert_int_equal(f->second.changes[0], FM_TABLE_UNCHANGED);
    assert_int_equal(f->second.tables[0]->version, 1);
    assert_int_equal(f->second.line_count, 0);
}

static void ids_follow_names_and_new_columns_get_new_ones(void **state)
{
    struct fixture *f = *state;
    const struct fm_schema *s = NULL;

    assert_int_equal(evolve(f, "      - name: id\n",
                            "      - name: note\n        logicalType: string\n      - name: id\n"),
                     FM_OK);
    s = f->second.tables[0];
    assert_int_equal(f->second.changes[0], FM_TABLE_CHANGED);
    assert_int_equal(s->version, 2);
    assert_string_equal(s->fields[0].name, "note");
    assert_int_equal(s->fields[0].id, 4);
    assert_int_equal(s->fields[1].id, 1);
    assert_int_equal(s->fields[3].id, 3);
    assert_int_equal(s->key[0], 1);
    assert_true(has_line(&f->second, "new column 'note' varchar (compatible)"));
    assert_int_equal(f->second.breaking_count, 0);
}

static void breaking_changes_are_called_so(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        evolve(f, "classification: pii", "classification: pii\n        required: true"), FM_OK);
    assert_true(has_line(&f->second, "becomes required (breaking"));
    assert_int_equal(evolve(f, "classification: pii", "classification: public"), FM_OK);
    assert_true(has_line(&f->second, "classified lower (breaking"));
    assert_int_equal(evolve(f, "- name: mail",
                            "- name: email\n        customProperties:\n"
                            "          - {property: folkmoot.fieldId, value: 3}"),
                     FM_OK);
    assert_true(has_line(&f->second, "renamed to 'email' (breaking"));
    assert_int_equal(f->second.tables[0]->fields[2].id, 3);
    assert_int_equal(f->second.breaking_count, 1);
}

static void what_facts_do_not_allow_is_refused(void **state)
{
    static const struct mistake cases[] = {
        {"logicalType: date", "logicalType: timestamp", ":18:", "cannot become timestamp"},
        {"primaryKey: true", "required: true", ":10:", "primary key"},
        {"- name: mail", "- name: email", ":10:", "column 'mail' is missing"},
        {"  - name: orders", "  - name: others", "", "table 'orders' is missing"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(evolve(f, cases[i].from, cases[i].to), FM_CONFLICT);
        if (strstr(f->err.text, cases[i].place) == NULL ||
            strstr(f->err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].to, f->err.text);
    }
}

static void size_is_bounded(void **state)
{
    struct fixture *f = *state;
    static char big[FM_CONTRACT_BYTES_MAX + 1];

    memset(big, '#', sizeof big);
    assert_int_equal(compile(f, fm_span(big, sizeof big), &f->first), FM_LIMIT);
    memset(big, '[', sizeof big - 1);
    assert_int_equal(compile(f, fm_span(big, sizeof big - 1), &f->first), FM_LIMIT);
    assert_int_equal(compile(f, fm_span("", 0), &f->first), FM_INVALID);
    assert_int_equal(compile(f, fm_span("a: \xff\n", 6), &f->first), FM_INVALID);
    assert_int_equal(compile(f, fm_span("a: \0\n", 5), &f->first), FM_INVALID);
}

/* The contracts that the demo publishes. */
static void examples_compile(void **state)
{
    static const char *const names[] = {"flights", "airports", "weather"};
    struct fixture *f = *state;

    for (size_t i = 0; i < 3; i++) {
        char path[4096], domain[FM_NAME_MAX + 1], product[FM_NAME_MAX + 1];
        (void)snprintf(path, sizeof path, FM_SOURCE_DIR "/examples/contracts/%s.odcs.yaml",
                       names[i]);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t len = fread(f->text, 1, sizeof f->text, file);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(compile(f, fm_span(f->text, len), &f->first), FM_OK);
        assert_string_equal(f->first.domain, names[i]);
        assert_int_equal(fm_contract_peek(fm_span(f->text, len), path, domain, product, &f->err),
                         FM_OK);
        assert_string_equal(domain, names[i]);
        assert_string_equal(product, f->first.product);
        fm_compiled_contract_deinit(&f->first);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contract_gives_the_schema_it_says),
        TEST(types_are_mapped),
        TEST(mistakes_are_named_with_their_place),
        TEST(a_column_names_the_subject),
        TEST(the_subject_stays),
        TEST(retention_is_compiled),
        TEST(retention_may_be_of_one_table),
        TEST(changes_of_the_retention_are_told),
        TEST(other_keys_are_left_alone),
        TEST(same_contract_changes_nothing),
        TEST(ids_follow_names_and_new_columns_get_new_ones),
        TEST(breaking_changes_are_called_so),
        TEST(what_facts_do_not_allow_is_refused),
        TEST(size_is_bounded),
        TEST(examples_compile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
