#include "tests/support/random_schema.h"

#include "core/assert.h"
#include "query/worker/ducktypes.h"

#include <inttypes.h>
#include <stdio.h>

#define VALUES 8u
#define KEYS 24u                           /* Different values of a key. */
#define ROWS_MADE 2600u                    /* More than a block, */
#define ROWS_TIMES 3u                      /* each as often, */
#define ROWS_MANY (ROWS_MADE * ROWS_TIMES) /* of a table of many rows. */

const char *const world_domains[WORLD_DOMAINS] = {"alpha", "beta", "gamma"};

struct type_info {
    const char *text;
    uint32_t family;
    const char *values[VALUES]; /* SQL; usual ones. */
    const char *wild[4];        /* NULL: none. */
};

#define C(n) (FAMILY_COMPARED + (n))
static const struct type_info types[] = {
    {"int32",
     FAMILY_INTEGER,
     {"0", "1", "2", "3", "-1", "7", "8", "40"},
     {"2147483647", "'-2147483648'"}},
    {"int64",
     FAMILY_INTEGER,
     {"0", "1", "2", "3", "-1", "5", "8", "1000"},
     {"9223372036854775807", "'-9223372036854775808'"}},
    {"varchar",
     FAMILY_TEXT,
     {"''", "'a'", "'b'", "'abc'", "'A'", "'\u00e4'", "'a%b_'", "'it''s'"},
     {"'NULL'", "'a\u00a0b'", "'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'"}},
    {"boolean",
     FAMILY_BOOLEAN,
     {"true", "false", "true", "false", "true", "true", "false", "true"},
     {NULL}},
    {"int8", FAMILY_INTEGER, {"0", "1", "2", "3", "-1", "7", "8", "40"}, {"127", "-128"}},
    {"int16", FAMILY_INTEGER, {"0", "1", "2", "3", "-1", "7", "8", "400"}, {"32767", "-32768"}},
    {"uint8", FAMILY_INTEGER, {"0", "1", "2", "3", "4", "7", "8", "40"}, {"255"}},
    {"uint16", FAMILY_INTEGER, {"0", "1", "2", "3", "4", "7", "8", "40"}, {"65535"}},
    {"uint32", FAMILY_INTEGER, {"0", "1", "2", "3", "4", "7", "8", "40"}, {"4294967295"}},
    {"uint64", FAMILY_INTEGER, {"0", "1", "2", "3", "4", "7", "8", "40"}, {"18446744073709551615"}},
    {"hugeint",
     FAMILY_INTEGER,
     {"0", "1", "2", "3", "-1", "7", "8", "40"},
     {"'170141183460469231731687303715884105727'", "'-170141183460469231731687303715884105728'"}},
    {"float",
     FAMILY_FLOAT,
     {"0", "1", "1.5", "-2.25", "3", "0.5", "8", "40"},
     {"'-0'", "'nan'", "'inf'", "'-inf'"}},
    {"double",
     FAMILY_FLOAT,
     {"0", "1", "1.5", "-2.25", "3", "0.5", "8", "40"},
     {"'-0'", "'nan'", "'inf'", "'-inf'"}},
    {"decimal(4,1)",
     FAMILY_DECIMAL,
     {"0", "1", "1.5", "-2.2", "3", "0.5", "8", "40"},
     {"999.9", "-999.9"}},
    {"decimal(9,2)",
     FAMILY_DECIMAL,
     {"0", "1", "1.5", "-2.25", "3", "0.5", "8", "40"},
     {"9999999.99"}},
    {"decimal(18,3)",
     FAMILY_DECIMAL,
     {"0", "1", "1.5", "-2.25", "3", "0.5", "8", "40"},
     {"999999999999999.999"}},
    {"decimal(38,4)",
     FAMILY_DECIMAL,
     {"0", "1", "1.5", "-2.25", "3", "0.5", "8", "40"},
     {"9999999999999999999999999999999999.9999"}},
    {"date",
     FAMILY_DATE,
     {"'2001-01-01'", "'2001-01-02'", "'2001-02-28'", "'1999-12-31'", "'1970-01-01'",
      "'2000-02-29'", "'1969-12-31'", "'2001-01-03'"},
     {"'infinity'", "'0044-03-15 (BC)'", "'5881580-07-10'"}},
    {"timestamp",
     FAMILY_TIMESTAMP,
     {"'2001-01-01 00:00:00'", "'2001-01-01 00:00:00.000001'", "'2001-02-28 12:30:00'",
      "'1999-12-31 23:59:59.5'", "'1970-01-01 00:00:00'", "'2001-01-02 00:00:00'",
      "'1969-12-31 23:59:59'", "'2001-01-03 10:00:00'"},
     {"'infinity'", "'-infinity'"}},
    {"timestamptz",
     C(0),
     {"'2001-01-01 00:00:00+00'", "'2001-01-01 00:00:00.000001+00'", "'2001-02-28 12:30:00+00'",
      "'1999-12-31 23:59:59.5+00'", "'1970-01-01 00:00:00+00'", "'2001-01-02 00:00:00+00'",
      "'1969-12-31 23:59:59+00'", "'2001-01-03 10:00:00+00'"},
     {"'infinity'"}},
    {"time",
     C(1),
     {"'00:00:00'", "'12:00:00'", "'23:59:59.999999'", "'01:02:03'", "'00:00:01'", "'00:00:02'",
      "'00:00:03'", "'10:00:00'"},
     {NULL}},
    {"interval",
     C(2),
     {"'1 day'", "'2 days'", "'1 year 2 months'", "'3 hours'", "'-1 day'", "'00:00:00.5'",
      "'5 days'", "'0 days'"},
     {NULL}},
    {"uuid",
     C(3),
     {"'00000000-0000-0000-0000-000000000000'", "'12345678-9abc-def0-1234-56789abcdef0'",
      "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "'80000000-0000-0000-0000-000000000000'",
      "'12345678-9abc-def0-1234-56789abcdef1'", "'7fffffff-ffff-ffff-ffff-ffffffffffff'",
      "'12345678-9abc-def0-1234-56789abcdef2'", "'00000000-0000-0000-0000-000000000001'"},
     {NULL}},
    {"enum('lo','hi','','mid')",
     C(4),
     {"'lo'", "'hi'", "''", "'mid'", "'lo'", "'hi'", "'lo'", "'mid'"},
     {NULL}},
    {"blob",
     C(5),
     {"''", "'a'", "'\\x00\\xFF'", "'b'", "'abc'", "'\\x80'", "'\\x00'", "'zz'"},
     {NULL}},
    {"json",
     C(6),
     {"'1'", "'null'", "'{\"a\": [1, null]}'", "'\"x\"'", "'[]'", "'{}'", "'1.50'", "'true'"},
     {NULL}},
    {"list(int32)",
     C(7),
     {"[]", "[1]", "[1, NULL]", "[NULL]", "[1, 2, 3]", "[2]", "[3, 1]", "[NULL, NULL]"},
     {NULL}},
    {"list(varchar)",
     C(8),
     {"[]", "['a']", "['a', NULL]", "[NULL]", "['', 'b']", "['b']", "['c', 'a']", "['NULL']"},
     {NULL}},
    {"struct(a int64, \"b c\" varchar, l list(int8))",
     C(9),
     {"{'a': 1, 'b c': 'x', 'l': [1]}", "{'a': NULL, 'b c': NULL, 'l': NULL}",
      "{'a': 2, 'b c': '', 'l': []}", "{'a': 1, 'b c': NULL, 'l': [NULL]}",
      "{'a': 3, 'b c': 'x', 'l': NULL}", "{'a': 1, 'b c': 'x', 'l': [1, 2]}",
      "{'a': NULL, 'b c': 'y', 'l': [1]}", "{'a': 4, 'b c': 'z', 'l': [9]}"},
     {NULL}},
    {"map(varchar, int64)",
     C(10),
     {"MAP {}", "MAP {'a': 1}", "MAP {'a': NULL}", "MAP {'a': 1, 'b': 2}", "MAP {'': 0}",
      "MAP {'z': -1}", "MAP {'b': 1}", "MAP {'a': 2}"},
     {NULL}},
    {"list(struct(x double, m map(int8, boolean)))",
     C(11),
     {"[]", "[NULL]", "[{'x': 1.5, 'm': MAP {1: true}}]", "[{'x': NULL, 'm': NULL}]",
      "[{'x': 2, 'm': MAP {}}, NULL]", "[{'x': 'nan', 'm': MAP {2: NULL}}]",
      "[{'x': 0, 'm': MAP {1: true, 3: false}}]", "[{'x': 3, 'm': NULL}]"},
     {NULL}},
};
#undef C
#define TYPES (sizeof types / sizeof types[0])
_Static_assert(TYPES == WORLD_TYPES, "the header says how many types there are");
#define TYPES_OF_KEYS 3u /* The first ones. */

const char *world_type_text(uint32_t type)
{
    fm_assert(type < TYPES);
    return types[type].text;
}

const char *world_value(uint32_t type, uint32_t choice)
{
    fm_assert(type < TYPES);
    return types[type].values[choice % VALUES];
}

const char *world_literal(uint32_t family, uint32_t choice)
{
    for (uint32_t i = 0; i < TYPES; i++) {
        if (types[i].family == family)
            return types[i].values[choice % VALUES];
    }
    fm_assert(false);
    return NULL;
}

void world_quote(struct fm_buf *out, const char *name)
{
    ducktype_quote(out, fm_span_str(name), '"');
}

/* ---- Schemas ---- */

/* Columns of one family share some names, those of other types have one name each. */
static void name_column(struct random *r, struct world_column *column)
{
    static const char *const names[FAMILY_COMPARED][4] = {
        {"n", "m", "Count", "order"},       {"s", "name", "Select", "e\u0301 t"},
        {"flag", "is it", "flag", "is it"}, {"price", "amount", "price", "amount"},
        {"x", "y z", "x", "y z"},           {"d", "from", "d", "from"},
        {"ts", "at", "ts", "at"},
    };

    if (column->family < FAMILY_COMPARED)
        (void)snprintf(column->name, sizeof column->name, "%s",
                       names[column->family][random_below(r, 4)]);
    else
        (void)snprintf(column->name, sizeof column->name, "c%u", (unsigned)column->type);
}

static bool has_name(const struct world_table *table, const char *name)
{
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (strcmp(table->columns[i].name, name) == 0)
            return true;
    }
    return false;
}

static void add_column(struct random *r, struct world_table *table, uint32_t type)
{
    struct world_column *column = &table->columns[table->column_count];

    *column = (struct world_column){.type = type, .family = types[type].family};
    name_column(r, column);
    if (has_name(table, column->name))
        return;
    column->is_required = random_below(r, 5) == 0;
    column->is_classified = random_below(r, 8) == 0;
    column->is_wild = random_below(r, 6) == 0;
    table->column_count++;
}

static void add_keys(struct random *r, struct world_table *table)
{
    uint32_t count = 1 + random_below(r, 2);

    for (uint32_t i = 0; i < count; i++) {
        struct world_column *column = &table->columns[i];
        uint32_t type = i == 0 ? random_below(r, TYPES_OF_KEYS) : 0;
        *column = (struct world_column){
            .type = type, .family = types[type].family, .is_key = true, .is_required = true};
        (void)snprintf(column->name, sizeof column->name, "%s%u", type == 2 ? "code" : "k",
                       (unsigned)i);
    }
    table->column_count = count;
    table->key_count = count;
}

static void make_table(struct random *r, struct world *world, uint32_t number)
{
    struct world_table *table = &world->tables[number];

    *table = (struct world_table){.domain = number / WORLD_TABLES_EACH};
    (void)snprintf(table->name, sizeof table->name, "w%u_t%u", (unsigned)world->number,
                   (unsigned)number);
    /* Of a key there is one row: many rows have none, mostly. */
    if (random_below(r, 2) == 0 && (number % 4 != 1 || random_below(r, 4) == 0))
        add_keys(r, table);
    add_column(r, table, random_below(r, 2)); /* Something to join by. */
    add_column(r, table, 2);
    uint32_t more = 2 + random_below(r, 5);
    for (uint32_t i = 0; i < more; i++)
        add_column(r, table, random_below(r, (uint32_t)TYPES));
    /* One type of each world's eighth after the other, so that all are there. */
    add_column(r, table, (uint32_t)((world->number * WORLD_TABLES + number) * 2 % TYPES));
    add_column(r, table, (uint32_t)((world->number * WORLD_TABLES + number) * 2 + 1) % TYPES);
    table->append_count = random_below(r, 6) == 0 ? 0 : 1 + random_below(r, WORLD_APPENDS_MAX);
    uint32_t size = 0;
    for (uint32_t i = 0; i < table->append_count; i++) {
        size += number % 4 == 1 && i == 0 ? ROWS_MANY : 1 + random_below(r, 14);
        table->sizes[i] = size;
        table->has_operations[i] = table->key_count > 0 && i > 0;
    }
}

void world_make(struct world *world, uint64_t seed, uint32_t number)
{
    struct random r = {seed * 2654435761u + number * 40503u + 1};

    for (uint32_t i = 0; i < 8; i++)
        (void)random_next(&r);
    *world = (struct world){.number = number};
    for (uint32_t i = 0; i < WORLD_TABLES; i++)
        make_table(&r, world, i);
}

void world_make_types(struct world *world, uint32_t number)
{
    *world = (struct world){.number = number};
    for (uint32_t i = 0; i < WORLD_TABLES; i++) {
        struct world_table *table = &world->tables[i];
        table->domain = i / WORLD_TABLES_EACH;
        (void)snprintf(table->name, sizeof table->name, "w%u_t%u", (unsigned)number, (unsigned)i);
        table->column_count = 1 + (uint32_t)TYPES;
        bool many = i + 1 == WORLD_TABLES - 2;
        table->columns[0] =
            (struct world_column){.name = "k", .is_required = true, .is_key = !many};
        table->key_count = !many;
        for (uint32_t t = 0; t < TYPES; t++) {
            struct world_column *column = &table->columns[1 + t];
            *column = (struct world_column){.type = t, .family = types[t].family, .is_wild = true};
            (void)snprintf(column->name, sizeof column->name, "c%u", (unsigned)t);
        }
        if (i % WORLD_TABLES_EACH != 0)
            continue;
        table->append_count = 2;
        table->sizes[0] = many ? ROWS_MANY : 20;
        table->sizes[1] = table->sizes[0] + 10;
    }
}

static void put_yaml_text(struct fm_buf *out, const char *text)
{
    fm_buf_put_u8(out, '"');
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            fm_buf_put_u8(out, '\\');
        fm_buf_put_u8(out, (uint8_t)*at);
    }
    fm_buf_put_str(out, "\"\n");
}

void world_contract(const struct world *world, uint32_t domain, struct fm_buf *out)
{
    fm_buf_printf(out,
                  "apiVersion: v3.1.0\nkind: DataContract\n"
                  "id: 4d1f6a52-6a6e-4c86-9a0d-%08x%04x\nname: World\nversion: 1.0.0\n"
                  "status: active\ndomain: %s\ndataProduct: w%u\nschema:\n",
                  (unsigned)world->number, (unsigned)domain, world_domains[domain],
                  (unsigned)world->number);
    for (uint32_t t = 0; t < WORLD_TABLES; t++) {
        const struct world_table *table = &world->tables[t];
        if (table->domain != domain)
            continue;
        fm_buf_printf(out,
                      "  - name: %s\n    logicalType: object\n    physicalType: table\n"
                      "    properties:\n",
                      table->name);
        for (uint32_t i = 0; i < table->column_count; i++) {
            const struct world_column *column = &table->columns[i];
            fm_buf_put_str(out, "      - name: ");
            put_yaml_text(out, column->name);
            fm_buf_put_str(out, "        physicalType: ");
            put_yaml_text(out, types[column->type].text);
            if (column->is_key)
                fm_buf_put_str(out, "        primaryKey: true\n");
            if (column->is_required)
                fm_buf_put_str(out, "        required: true\n");
            if (column->is_classified)
                fm_buf_put_str(out, "        classification: personal\n");
        }
    }
    fm_assert(fm_buf_status(out) == FM_OK);
}

/* ---- Rows ---- */

struct row_maker {
    struct random random;
    const struct world_table *table;
    struct fm_buf *out;
    uint64_t latest[KEYS * KEYS]; /* Sequence of a key's latest fact, plus 1; 0: never asserted. */
    bool is_there[KEYS * KEYS];
};

static void put_key(struct row_maker *m, uint32_t column, uint32_t key)
{
    uint32_t part = column == 0 ? key % KEYS : key / KEYS;

    if (m->table->columns[column].type == 2)
        fm_buf_printf(m->out, ", 'code-%u'", (unsigned)part);
    else
        fm_buf_printf(m->out, ", %u", (unsigned)part);
}

static void put_value(struct row_maker *m, const struct world_column *column, bool many)
{
    const struct type_info *type = &types[column->type];
    uint32_t wild = 0;

    while (wild < 4 && type->wild[wild] != NULL)
        wild++;
    if (!column->is_required && random_below(&m->random, 6) == 0)
        fm_buf_put_str(m->out, ", NULL");
    else if (column->is_wild && wild > 0 && random_below(&m->random, 6) == 0)
        fm_buf_printf(m->out, ", %s", type->wild[random_below(&m->random, wild)]);
    else if (many && column->type < 2)
        fm_buf_printf(m->out, ", %u", random_below(&m->random, 900));
    else
        fm_buf_printf(m->out, ", %s", type->values[random_below(&m->random, VALUES)]);
}

static void put_row(struct row_maker *m, uint64_t sequence, bool operations, bool many)
{
    const struct world_table *table = m->table;
    uint32_t keys = table->key_count == 2 ? KEYS * KEYS : KEYS;
    uint32_t key = random_below(&m->random, keys);
    uint32_t what = operations ? random_below(&m->random, 4) : 0;
    bool there = table->key_count > 0 && m->is_there[key];
    bool retracts = there && what == 1;
    bool corrects = there && what == 2;

    fm_buf_printf(m->out, "(%" PRIu64 ", %s, ", sequence,
                  retracts   ? "'retract'"
                  : corrects ? "'correct'"
                             : "'assert'");
    if (corrects)
        fm_buf_printf(m->out, "%" PRIu64, m->latest[key] - 1);
    else
        fm_buf_put_str(m->out, "NULL");
    for (uint32_t i = 0; i < table->column_count; i++) {
        if (table->columns[i].is_key)
            put_key(m, i, key);
        else if (retracts)
            fm_buf_put_str(m->out, ", NULL");
        else
            put_value(m, &table->columns[i], many);
    }
    m->latest[key] = sequence + 1;
    m->is_there[key] = !retracts;
    fm_buf_put_str(m->out, ")");
}

static void put_columns(const struct world_table *table, uint32_t count, struct fm_buf *out)
{
    for (uint32_t i = 0; i < count; i++) {
        fm_buf_put_str(out, i > 0 ? ", " : "");
        world_quote(out, table->columns[i].name);
    }
}

/* The first rows of a table, which has no others yet, some times more. */
static void repeat_rows(struct row_maker *m)
{
    const char *domain = world_domains[m->table->domain];

    fm_buf_printf(m->out,
                  "INSERT INTO hist.%s_%s SELECT h.* REPLACE (h._seq + %u * i AS _seq) FROM "
                  "hist.%s_%s h, range(1, %u) r(i);\n",
                  domain, m->table->name, ROWS_MADE, domain, m->table->name, ROWS_TIMES);
    for (uint32_t i = 0; i < KEYS * KEYS; i++) {
        if (m->latest[i] > 0)
            m->latest[i] += ROWS_MADE * (ROWS_TIMES - 1);
    }
}

static void put_facts(const struct world_table *table, struct row_maker *m, struct fm_buf *out)
{
    fm_buf_printf(out, "CREATE TABLE hist.%s_%s(_seq UBIGINT, _op VARCHAR, _supersedes UBIGINT",
                  world_domains[table->domain], table->name);
    for (uint32_t i = 0; i < table->column_count; i++) {
        struct fm_type type = {0};
        fm_buf_put_str(out, ", ");
        world_quote(out, table->columns[i].name);
        fm_buf_put_str(out, " ");
        enum fm_status status =
            fm_type_parse(fm_span_str(types[table->columns[i].type].text), &type, NULL);
        fm_assert(status == FM_OK);
        ducktype_sql(out, &type);
        fm_type_deinit(&type);
    }
    fm_buf_put_str(out, ");\n");
    for (uint32_t a = 0, at = 0; a < table->append_count; a++) {
        bool many = table->sizes[a] - at >= ROWS_MANY;
        uint32_t end = many ? at + ROWS_MADE : table->sizes[a];
        fm_buf_printf(out, "INSERT INTO hist.%s_%s VALUES ", world_domains[table->domain],
                      table->name);
        for (; at < end; at++) {
            put_row(m, at, table->has_operations[a], many);
            fm_buf_put_str(out, at + 1 < end ? "," : ";\n");
        }
        if (many)
            repeat_rows(m);
        at = table->sizes[a];
    }
}

/* The rows that are there after the first `size` facts. */
static void put_latest(const struct world_table *table, uint32_t size, const char *suffix,
                       struct fm_buf *out)
{
    fm_buf_printf(out, "CREATE TABLE %s.\"%s%s\" AS SELECT ", world_domains[table->domain],
                  table->name, suffix);
    put_columns(table, table->column_count, out);
    fm_buf_printf(out, " FROM (SELECT * FROM hist.%s_%s WHERE _seq < %u",
                  world_domains[table->domain], table->name, (unsigned)size);
    if (table->key_count > 0) {
        fm_buf_put_str(out, " QUALIFY row_number() OVER (PARTITION BY ");
        put_columns(table, table->key_count, out);
        fm_buf_put_str(out, " ORDER BY _seq DESC) = 1");
    }
    fm_buf_put_str(out, ") WHERE _op <> 'retract';\n");
}

void world_sql(const struct world *world, uint64_t seed, uint32_t table_number, struct fm_buf *out)
{
    const struct world_table *table = &world->tables[table_number];
    struct row_maker *m = calloc(1, sizeof *m);
    char suffix[32];

    fm_assert(m != NULL);
    m->table = table;
    m->out = out;
    m->random.state = seed * 7919 + world->number * 104729u + table_number * 31u + 1;
    for (uint32_t i = 0; i < 8; i++)
        (void)random_next(&m->random);
    put_facts(table, m, out);
    uint32_t size = table->append_count > 0 ? table->sizes[table->append_count - 1] : 0;
    put_latest(table, size, "", out);
    fm_buf_printf(out, "CREATE VIEW %s.\"%s$facts\" AS SELECT * FROM hist.%s_%s;\n",
                  world_domains[table->domain], table->name, world_domains[table->domain],
                  table->name);
    for (uint32_t i = 0; i < table->append_count; i++) {
        (void)snprintf(suffix, sizeof suffix, "@%u", (unsigned)table->sizes[i]);
        put_latest(table, table->sizes[i], suffix, out);
    }
    free(m);
    fm_assert(fm_buf_status(out) == FM_OK);
}
