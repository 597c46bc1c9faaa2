/* Schemas: names, rules, lookup, the document and its hash. */
#include "core/schema.h"

#include "core/codec.h"
#include "core/hash.h"
#include "tests/support/fail_alloc.h"
#include "tests/support/map_edit.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

/* ---- Fixture: departures(id, airport, delay, passenger), keyed and clustered ---- */

struct fixture {
    struct fm_schema *schema;
};

static void set_field(struct fm_field *field, uint32_t id, const char *name, const char *type,
                      bool required, uint8_t classification)
{
    field->id = id;
    (void)snprintf(field->name, sizeof field->name, "%s", name);
    assert_int_equal(fm_type_parse(fm_span_str(type), &field->type, NULL), FM_OK);
    field->required = required;
    field->classification = classification;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct fm_schema *s = calloc(1, sizeof *s);
    assert_non_null(f);
    assert_non_null(s);
    (void)snprintf(s->domain, sizeof s->domain, "flights");
    (void)snprintf(s->table, sizeof s->table, "departures");
    s->version = 3;
    s->field_count = 5;
    s->fields = calloc(s->field_count, sizeof *s->fields);
    assert_non_null(s->fields);
    set_field(&s->fields[0], 10, "id", "int64", true, FM_CLASS_OPEN);
    set_field(&s->fields[1], 2, "airport", "varchar", true, FM_CLASS_OPEN);
    set_field(&s->fields[2], 5, "delay", "decimal(6,1)", false, FM_CLASS_CONFIDENTIAL);
    set_field(&s->fields[3], 4, "Passenger", "struct(name varchar)", false, FM_CLASS_PERSONAL);
    set_field(&s->fields[4], 9, "factor", "double", true, FM_CLASS_OPEN);
    s->fields[1].description = strdup("where it leaves");
    s->description = strdup("Departures of a day");
    s->key_count = 2;
    s->key[0] = 1;
    s->key[1] = 0;
    s->cluster_count = 1;
    s->cluster[0] = 4;
    f->schema = s;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fm_schema_free(f->schema);
    free(f);
    return 0;
}

static void assert_invalid(const struct fm_schema *schema, const char *why)
{
    struct fm_error err = {0};
    enum fm_status status = fm_schema_check(schema, &err);
    if (status != FM_INVALID || strstr(err.text, why) == NULL)
        fail_msg("wanted \"%s\", got %d: %s", why, (int)status, err.text);
}

/* ---- Names ---- */

static void names_have_one_form(void **state)
{
    static const char *const good[] = {
        "a", "flights", "a1_b", "z_",
        "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz01234567890"};
    static const char *const bad[] = {
        "",    "A",
        "1a",  "_a",
        "a-b", "a.b",
        "a b", "\xc3\xa4",
        "aB",  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz012345678901"};
    static const char *const reserved[] = {
        "mesh", "main", "temp", "system", "public", "information_schema", "pg_x", "pg_"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(fm_domain_name_valid(good[i]));
        assert_true(fm_table_name_valid(good[i]));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(fm_domain_name_valid(bad[i]));
        assert_false(fm_table_name_valid(bad[i]));
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        assert_false(fm_domain_name_valid(reserved[i]));
        assert_true(fm_table_name_valid(reserved[i]));
    }
    assert_true(fm_domain_name_valid("pg"));
    assert_true(fm_domain_name_valid("meshes"));
}

/* ---- Rules ---- */

static void a_good_schema_passes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(fm_schema_check(f->schema, NULL), FM_OK);
}

static void rules_of_the_head_hold(void **state)
{
    struct fm_schema *s = ((struct fixture *)*state)->schema;
    struct fm_schema copy = *s;
    (void)snprintf(copy.domain, sizeof copy.domain, "mesh");
    assert_invalid(&copy, "domain's name");
    copy = *s;
    memset(copy.domain, 'a', sizeof copy.domain); /* No NUL. */
    assert_invalid(&copy, "domain's name");
    copy = *s;
    copy.table[0] = '\0';
    assert_invalid(&copy, "table's name");
    copy = *s;
    copy.version = 0;
    assert_invalid(&copy, "versions");
    copy = *s;
    copy.field_count = 0;
    assert_invalid(&copy, "fields");
    copy = *s;
    copy.field_count = FM_COLUMNS_MAX + 1;
    assert_invalid(&copy, "fields");
    char text[FM_DESCRIPTION_MAX + 2];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    copy = *s;
    copy.description = text;
    assert_invalid(&copy, "longer");
    text[FM_DESCRIPTION_MAX] = '\0';
    assert_int_equal(fm_schema_check(&copy, NULL), FM_OK);
    text[0] = '\xff';
    assert_invalid(&copy, "UTF-8");
}

static void rules_of_fields_hold(void **state)
{
    struct fm_schema *s = ((struct fixture *)*state)->schema;
    struct fm_field *field = &s->fields[2], kept = *field;
    field->name[0] = '\0';
    assert_invalid(s, "field 2");
    memset(field->name, 'a', sizeof field->name);
    assert_invalid(s, "field 2");
    *field = kept;
    field->name[0] = '\xff';
    assert_invalid(s, "UTF-8");
    *field = kept;
    field->id = 0;
    assert_invalid(s, "delay has no id");
    field->id = 10;
    assert_invalid(s, "same id 10");
    field->id = FM_FIELD_SYSTEM_MIN;
    assert_invalid(s, "delay has the id 4026531840; ids from 4026531840 on are reserved");
    field->id = FM_FIELD_SYSTEM_MIN - 1;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    *field = kept;
    (void)snprintf(field->name, sizeof field->name, "id");
    assert_invalid(s, "named id");
    *field = kept;
    field->classification = 4;
    assert_invalid(s, "classification");
    *field = kept;
    field->type.precision = 0;
    assert_invalid(s, "field delay");
    *field = kept;
    (void)snprintf(field->name, sizeof field->name, "ID"); /* Another name than id. */
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    *field = kept;
}

static void rules_of_keys_hold(void **state)
{
    struct fm_schema *s = ((struct fixture *)*state)->schema;
    s->key[1] = 5;
    assert_invalid(s, "not there");
    s->key[1] = 1;
    assert_invalid(s, "airport is twice");
    s->key[1] = 2;
    assert_invalid(s, "delay is in the primary key but not required");
    s->key[1] = 3;
    assert_invalid(s, "Passenger is nested");
    s->key[1] = 4;
    assert_invalid(s, "factor is a floating number");
    s->key_count = FM_KEY_FIELDS_MAX + 1;
    assert_invalid(s, "more than 16");
    s->key_count = 0;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    s->cluster[0] = 3;
    assert_invalid(s, "clustering key");
    s->cluster[0] = 5;
    assert_invalid(s, "not there");
    s->cluster_count = FM_KEY_FIELDS_MAX + 1;
    assert_invalid(s, "more than 16");
    s->cluster_count = 0;
}

/* Types count together: two that are within the bound can be past it. */
/* The airport is no subject of anybody's, but it has all that one needs. */
static void rules_of_the_subject_hold(void **state)
{
    struct fixture *f = *state;
    struct fm_schema *s = f->schema;
    s->has_subject = true;
    s->subject = 1;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    s->subject = 0;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    s->subject = 5;
    assert_invalid(s, "the subject names a field that is not there");
    s->subject = 4;
    assert_invalid(s, "field factor cannot name the subject: its type is none of varchar");
    s->subject = 3;
    assert_invalid(s, "field Passenger cannot name the subject: its type");
    s->subject = 1;
    s->key_count = 1;
    s->key[0] = 0;
    s->fields[1].required = false;
    assert_invalid(s, "field airport names the subject but is not required");
    s->fields[1].required = true;
    s->fields[1].classification = FM_CLASS_PERSONAL;
    assert_invalid(s, "give subjects a pseudonymous id");
    s->fields[1].classification = FM_CLASS_CONFIDENTIAL;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    s->fields[0].classification = FM_CLASS_SECRET;
    assert_invalid(s, "field id is personal or secret and cannot be in the primary key");
    s->fields[0].classification = FM_CLASS_OPEN;
    s->fields[4].classification = FM_CLASS_PERSONAL;
    assert_invalid(s, "field factor is personal or secret and cannot be in the clustering key");
    s->fields[4].classification = FM_CLASS_OPEN;
    s->fields[3].classification = FM_CLASS_CONFIDENTIAL;
    assert_invalid(s, "no field is personal or secret: nothing could be erased");
}

static void retention_is_bounded(void **state)
{
    struct fm_schema *s = ((struct fixture *)*state)->schema;
    s->retention_days = FM_RETENTION_DAYS_MAX;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    s->retention_days++;
    assert_invalid(s, "kept for at most 36600 days");
}

static void types_are_bounded_together(void **state)
{
    struct fm_schema *s = ((struct fixture *)*state)->schema;
    struct fm_buf text = {0};
    fm_buf_put_str(&text, "struct(");
    for (unsigned i = 0; i < FM_COLUMNS_MAX; i++)
        fm_buf_printf(&text, "%sf%u int8", i == 0 ? "" : ",", i);
    fm_buf_put_str(&text, ")");
    for (unsigned i = 2; i < 5; i++) {
        fm_type_deinit(&s->fields[i].type);
        assert_int_equal(fm_type_parse(fm_buf_span(&text), &s->fields[i].type, NULL), FM_OK);
    }
    s->cluster_count = 0;
    assert_invalid(s, "more than 4096 types");
    fm_buf_free(&text);
}

/* What could not be read back is refused: 600 descriptions of 4 KiB. */
static void size_is_bounded(void **state)
{
    struct fm_schema *s = calloc(1, sizeof *s);
    (void)state;
    assert_non_null(s);
    (void)snprintf(s->domain, sizeof s->domain, "a");
    (void)snprintf(s->table, sizeof s->table, "t");
    s->version = 1;
    s->field_count = 600;
    s->fields = calloc(s->field_count, sizeof *s->fields);
    assert_non_null(s->fields);
    for (uint32_t i = 0; i < s->field_count; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%u", i);
        set_field(&s->fields[i], i + 1, name, "int8", false, 0);
        s->fields[i].description = malloc(FM_DESCRIPTION_MAX + 1);
        assert_non_null(s->fields[i].description);
        memset(s->fields[i].description, 'x', FM_DESCRIPTION_MAX);
        s->fields[i].description[FM_DESCRIPTION_MAX] = '\0';
    }
    assert_invalid(s, "needs more than");
    s->field_count = 500;
    assert_int_equal(fm_schema_check(s, NULL), FM_OK);
    s->field_count = 600;
    fm_schema_free(s);
}

/* ---- Lookup ---- */

static void fields_are_found_by_name(void **state)
{
    struct fm_schema *s = ((struct fixture *)*state)->schema;
    uint32_t at = 99;
    assert_int_equal(fm_schema_find(s, fm_span_str("delay"), &at), FM_OK);
    assert_int_equal(at, 2);
    assert_int_equal(fm_schema_find(s, fm_span_str("passENGER"), &at), FM_OK);
    assert_int_equal(at, 3);
    assert_int_equal(fm_schema_find(s, fm_span_str("dela"), &at), FM_NOTFOUND);
    assert_int_equal(fm_schema_find(s, fm_span("", 0), &at), FM_NOTFOUND);
    (void)snprintf(s->fields[2].name, sizeof s->fields[2].name, "ID");
    assert_int_equal(fm_schema_find(s, fm_span_str("ID"), &at), FM_OK);
    assert_int_equal(at, 2);
    assert_int_equal(fm_schema_find(s, fm_span_str("id"), &at), FM_OK);
    assert_int_equal(at, 0);
    assert_int_equal(fm_schema_find(s, fm_span_str("Id"), &at), FM_NOTFOUND); /* Which? */
}

/* ---- Document ---- */

static void assert_same(const struct fm_schema *a, const struct fm_schema *b)
{
    struct fm_buf x = {0}, y = {0};
    fm_schema_encode(&x, a);
    fm_schema_encode(&y, b);
    assert_int_equal(fm_buf_status(&x), FM_OK);
    assert_true(fm_span_equal(fm_buf_span(&x), fm_buf_span(&y)));
    fm_buf_free(&x);
    fm_buf_free(&y);
}

static void documents_read_back(void **state)
{
    struct fixture *f = *state;
    struct fm_buf bytes = {0};
    struct fm_schema *again = NULL, *copy = NULL;
    f->schema->has_subject = true;
    f->schema->subject = 1;
    f->schema->retention_days = 366;
    fm_schema_encode(&bytes, f->schema);
    assert_int_equal(fm_schema_decode(fm_buf_span(&bytes), &again, NULL), FM_OK);
    assert_true(again->has_subject);
    assert_int_equal(again->subject, 1);
    assert_int_equal(again->retention_days, 366);
    assert_same(f->schema, again);
    assert_string_equal(again->fields[1].description, "where it leaves");
    assert_null(again->fields[0].description);
    assert_int_equal(again->fields[3].classification, FM_CLASS_PERSONAL);
    assert_int_equal(again->key[0], 1);
    assert_int_equal(fm_schema_copy(again, &copy), FM_OK);
    assert_same(f->schema, copy);
    fm_schema_free(copy);
    fm_schema_free(again);
    fm_buf_free(&bytes);
    fm_schema_free(NULL);
}

static void bytes_are_those_of_the_vectors(void **state)
{
    struct fixture *f = *state;
    struct vector_file *file = vector_file_open("schema.txt");
    struct fm_buf bytes = {0};
    struct fm_hash hash;
    uint8_t got[32];
    fm_schema_encode(&bytes, f->schema);
    vector_check(file, "departures", fm_buf_span(&bytes));
    fm_schema_hash(f->schema, got);
    vector_check(file, "departures-hash", fm_span(got, sizeof got));
    fm_sha256_one(&hash, fm_buf_span(&bytes));
    assert_memory_equal(hash.bytes, got, sizeof got);
    f->schema->has_subject = true;
    f->schema->subject = 1;
    fm_buf_clear(&bytes);
    fm_schema_encode(&bytes, f->schema);
    vector_check(file, "departures-of-subjects", fm_buf_span(&bytes));
    f->schema->has_subject = false;
    f->schema->retention_days = 366;
    fm_buf_clear(&bytes);
    fm_schema_encode(&bytes, f->schema);
    vector_check(file, "departures-of-a-year", fm_buf_span(&bytes));
    fm_buf_free(&bytes);
    vector_file_free(file);
}

static enum fm_status decode(struct fm_span bytes)
{
    struct fm_schema *schema = NULL;
    struct fm_error err = {0};
    enum fm_status status = fm_schema_decode(bytes, &schema, &err);
    fm_schema_free(schema);
    assert_true(status == FM_OK || err.text[0] != '\0');
    return status;
}

static void cut_documents_are_refused(void **state)
{
    struct fixture *f = *state;
    struct fm_buf bytes = {0};
    fm_schema_encode(&bytes, f->schema);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(decode(fm_span(bytes.data, len)), FM_MALFORMED);
    fm_buf_put_u8(&bytes, 0);
    assert_int_equal(decode(fm_buf_span(&bytes)), FM_MALFORMED);
    fm_buf_free(&bytes);
}

/* No days are not written, and days beyond the bound are not read. */
static void decode_retentions(struct fm_schema *schema)
{
    static const struct {
        const char *bytes;
        size_t len;
        enum fm_status status;
    } values[] = {
        {"\x00", 1, FM_MALFORMED},
        {"\x01", 1, FM_OK},
        {"\xcd\x8e\xf8", 3, FM_OK},
        {"\xcd\x8e\xf9", 3, FM_MALFORMED},
        {"\xa1"
         "1",
         2, FM_MALFORMED},
    };
    struct fm_buf bytes = {0}, changed = {0};
    schema->retention_days = 5;
    fm_schema_encode(&bytes, schema);
    assert_int_equal(map_key(fm_buf_span(&bytes), 8), 33);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        map_replace(fm_buf_span(&bytes), 8, fm_span(values[i].bytes, values[i].len), &changed);
        assert_int_equal(decode(fm_buf_span(&changed)), values[i].status);
    }
    fm_buf_free(&changed);
    fm_buf_free(&bytes);
}

/* Each key missing, replaced by what it cannot be, and keys that nobody knows. */
static void changed_documents_are_refused(void **state)
{
    static const uint8_t nil = 0xc0;
    struct fixture *f = *state;
    struct fm_buf bytes = {0}, changed = {0};
    fm_schema_encode(&bytes, f->schema);
    struct fm_span map = fm_buf_span(&bytes);
    assert_int_equal(map_pairs(map), 8);
    for (unsigned i = 0; i < 8; i++) {
        map_drop(map, i, &changed);
        assert_int_equal(decode(fm_buf_span(&changed)),
                         map_key(map, i) == 7 ? FM_OK : FM_MALFORMED);
        map_replace(map, i, fm_span(&nil, 1), &changed);
        assert_int_equal(decode(fm_buf_span(&changed)), FM_MALFORMED);
    }
    map_add(map, 31, &changed);
    assert_int_equal(decode(fm_buf_span(&changed)), FM_MALFORMED);
    map_add(map, 32, &changed); /* The subject, as nil. */
    assert_int_equal(decode(fm_buf_span(&changed)), FM_MALFORMED);
    map_add(map, 33, &changed); /* The retention, as nil. */
    assert_int_equal(decode(fm_buf_span(&changed)), FM_MALFORMED);
    map_add(map, 34, &changed);
    assert_int_equal(decode(fm_buf_span(&changed)), FM_OK);
    decode_retentions(f->schema);
    map_replace(map, 0, fm_span("\x02", 1), &changed);
    assert_int_equal(decode(fm_buf_span(&changed)), FM_UNSUPPORTED);
    map_replace(map, 3, fm_span("\x00", 1), &changed);
    assert_int_equal(decode(fm_buf_span(&changed)), FM_INVALID);
    map_replace(map, 4, fm_span("\x90", 1), &changed);
    assert_int_equal(decode(fm_buf_span(&changed)), FM_MALFORMED);
    map_replace(map, 1,
                fm_span("\xa3"
                        "a\0b",
                        4),
                &changed);
    assert_int_equal(decode(fm_buf_span(&changed)), FM_MALFORMED);
    fm_buf_free(&changed);
    fm_buf_free(&bytes);
}

/* A field's map, taken apart in the same way. */
static void changed_fields_are_refused(void **state)
{
    static const uint8_t nil = 0xc0;
    struct fixture *f = *state;
    struct fm_buf bytes = {0}, field = {0}, changed = {0}, fields = {0}, whole = {0}, type = {0};
    fm_schema_encode(&bytes, f->schema);
    fm_type_encode(&type, &f->schema->fields[1].type);
    fm_pack_map(&field, 6);
    fm_pack_key_uint(&field, 0, 1);
    fm_pack_key_str(&field, 1, "x");
    fm_pack_key_bin(&field, 2, type.data, type.len);
    fm_pack_key_bool(&field, 3, true);
    fm_pack_key_uint(&field, 4, 0);
    fm_pack_key_str(&field, 5, "d");
    fm_buf_put_u8(&type, 0); /* One byte too many. */
    struct fm_buf long_type = {0};
    fm_pack_bin_span(&long_type, fm_buf_span(&type));
    for (unsigned i = 0; i < 15; i++) {
        bool good = i == 5 || i == 14;
        if (i < 6)
            map_drop(fm_buf_span(&field), i, &changed);
        else if (i < 12)
            map_replace(fm_buf_span(&field), i - 6, fm_span(&nil, 1), &changed);
        else if (i == 12)
            map_replace(fm_buf_span(&field), 2, fm_buf_span(&long_type), &changed);
        else
            map_add(fm_buf_span(&field), i == 13 ? 6 : 40, &changed);
        fm_buf_clear(&fields);
        fm_pack_array(&fields, 1);
        fm_buf_put_span(&fields, fm_buf_span(&changed));
        map_replace(fm_buf_span(&bytes), 4, fm_buf_span(&fields), &whole);
        map_replace(fm_buf_span(&whole), 5, fm_span("\x90", 1), &changed);
        map_replace(fm_buf_span(&changed), 6, fm_span("\x90", 1), &whole);
        if (decode(fm_buf_span(&whole)) != (good ? FM_OK : FM_MALFORMED))
            fail_msg("change %u", i);
    }
    struct fm_buf *const all[] = {&bytes, &field, &changed, &fields, &whole, &type, &long_type};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        fm_buf_free(all[i]);
}

/* ---- Memory ---- */

static void each_failed_allocation_is_a_status(void **state)
{
    struct fixture *f = *state;
    struct fm_buf bytes = {0};
    if (!fail_alloc_available())
        skip();
    fm_schema_encode(&bytes, f->schema);
    for (size_t n = 0, hit = 1; hit != 0; n++) {
        struct fm_schema *schema = NULL, *copy = NULL;
        struct fm_error err = {0};
        long before = fail_alloc_live();
        fail_alloc_after(n);
        enum fm_status status = fm_schema_decode(fm_buf_span(&bytes), &schema, &err);
        if (status == FM_OK)
            status = fm_schema_copy(schema, &copy);
        hit = fail_alloc_stop();
        assert_int_equal(status, hit != 0 ? FM_NOMEM : FM_OK);
        fm_schema_free(schema);
        fm_schema_free(copy);
        assert_int_equal(fail_alloc_live(), before);
    }
    fm_buf_free(&bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_one_form),
        TEST(a_good_schema_passes),
        TEST(rules_of_the_head_hold),
        TEST(rules_of_fields_hold),
        TEST(rules_of_keys_hold),
        TEST(rules_of_the_subject_hold),
        TEST(retention_is_bounded),
        TEST(types_are_bounded_together),
        cmocka_unit_test(size_is_bounded),
        TEST(fields_are_found_by_name),
        TEST(documents_read_back),
        TEST(bytes_are_those_of_the_vectors),
        TEST(cut_documents_are_refused),
        TEST(changed_documents_are_refused),
        TEST(changed_fields_are_refused),
        TEST(each_failed_allocation_is_a_status),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
