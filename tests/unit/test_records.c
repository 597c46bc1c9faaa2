/* Records and messages: golden vectors, fields that come back, and maps that are refused. */
#include "core/records.h"

#include "core/codec.h"
#include "tests/support/map_edit.h"
#include "tests/support/record_examples.h"
#include "tests/support/vector_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct vector_file *vectors;
    struct fm_buf bytes;
    struct fm_buf edited;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    if (f == NULL)
        return -1;
    f->vectors = vector_file_open("records.txt");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    vector_file_free(f->vectors);
    fm_buf_free(&f->bytes);
    fm_buf_free(&f->edited);
    free(f);
    return 0;
}

static size_t find(const char *name)
{
    for (size_t i = 0; i < record_example_count; i++) {
        if (strcmp(record_examples[i].name, name) == 0)
            return i;
    }
    fail_msg("no record %s", name);
    return 0;
}

static struct fm_span make(struct fixture *f, const struct record_example *record)
{
    fm_buf_clear(&f->bytes);
    record->put(&f->bytes);
    assert_int_equal(fm_buf_status(&f->bytes), FM_OK);
    return fm_buf_span(&f->bytes);
}

static enum fm_status take_edited(const struct fixture *f, const struct record_example *record)
{
    assert_int_equal(fm_buf_status(&f->edited), FM_OK);
    return record->take(fm_buf_span(&f->edited));
}

static void records_have_these_bytes(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < record_example_count; i++) {
        struct fm_span bytes = make(f, &record_examples[i]);
        vector_check(f->vectors, record_examples[i].name, bytes);
        assert_int_equal(record_examples[i].take(bytes), FM_OK);
    }
}

static void a_missing_key_is_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < record_example_count; i++) {
        struct fm_span bytes = make(f, &record_examples[i]);
        for (unsigned p = 0; p < map_pairs(bytes); p++) {
            bool optional = (record_examples[i].optional >> map_key(bytes, p) & 1u) != 0;
            map_drop(bytes, p, &f->edited);
            if ((take_edited(f, &record_examples[i]) == FM_OK) != optional)
                fail_msg("%s without key %u", record_examples[i].name, map_key(bytes, p));
        }
    }
}

/* Critical keys that nobody knows are refused; those from 32 up are not. */
static void an_unknown_key_is_refused_when_critical(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < record_example_count; i++) {
        struct fm_span bytes = make(f, &record_examples[i]);
        unsigned last = map_key(bytes, map_pairs(bytes) - 1);
        if (map_pairs(bytes) == 15)
            continue; /* One pair more needs another header, which map_add() does not know. */
        for (unsigned key = last + 1; key < 32; key++) {
            map_add(bytes, key, &f->edited);
            assert_int_equal(take_edited(f, &record_examples[i]), FM_MALFORMED);
        }
        map_add(bytes, 63, &f->edited);
        if (take_edited(f, &record_examples[i]) != FM_OK)
            fail_msg("%s with key 63", record_examples[i].name);
    }
}

static void a_value_of_another_kind_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t wrong[][4] = {{0xc0}, {0xc3}, {0x90}, {0x80}, {0xe0}};

    for (size_t i = 0; i < record_example_count; i++) {
        struct fm_span bytes = make(f, &record_examples[i]);
        for (unsigned p = 0; p < map_pairs(bytes); p++) {
            for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
                map_replace(bytes, p, fm_span(wrong[w], 1), &f->edited);
                /* Some arrays may be empty, some values are booleans: that is no other kind. */
                bool is_other =
                    wrong[w][0] != 0x90 && !(wrong[w][0] == 0xc3 && map_value_is_bool(bytes, p));
                if (is_other && take_edited(f, &record_examples[i]) != FM_MALFORMED)
                    fail_msg("%s with another kind for key %u", record_examples[i].name,
                             map_key(bytes, p));
            }
        }
    }
}

static void cut_or_longer_records_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < record_example_count; i++) {
        struct fm_span bytes = make(f, &record_examples[i]);
        for (size_t len = 0; len < bytes.len; len++)
            assert_int_not_equal(record_examples[i].take(fm_span(bytes.data, len)), FM_OK);
        fm_buf_put_u8(&f->bytes, 0);
        assert_int_not_equal(record_examples[i].take(fm_buf_span(&f->bytes)), FM_OK);
    }
}

/* ---- Fields come back ---------------------------------------------------------------------- */

static void a_request_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_request in = example_request(), out;

    fm_request_encode(&f->bytes, &in);
    assert_int_equal(fm_request_decode(fm_buf_span(&f->bytes), &out), FM_OK);
    assert_int_equal(out.kind, in.kind);
    assert_memory_equal(&out.id, &in.id, sizeof in.id);
    assert_memory_equal(&out.audience, &in.audience, sizeof in.audience);
    assert_memory_equal(&out.session, &in.session, sizeof in.session);
    assert_int_equal(out.time, in.time);
    assert_int_equal(out.limit_ms, in.limit_ms);
    assert_memory_equal(out.trace, in.trace, sizeof in.trace);
    assert_true(fm_span_equal(out.body, in.body));
}

static void fragments_give_their_fields_back(void **state)
{
    struct fixture *f = *state;

    for (unsigned kind = FM_FRAGMENT_SCAN; kind <= FM_FRAGMENT_SQL; kind++) {
        struct fm_fragment in = example_fragment((enum fm_fragment_kind)kind), out;

        fm_buf_clear(&f->bytes);
        fm_fragment_encode(&f->bytes, &in);
        assert_int_equal(fm_fragment_decode(fm_buf_span(&f->bytes), &out), FM_OK);
        assert_int_equal(out.kind, in.kind);
        assert_int_equal(out.table_count, in.table_count);
        for (uint32_t i = 0; i < in.table_count; i++) {
            assert_string_equal(out.tables[i].domain, in.tables[i].domain);
            assert_string_equal(out.tables[i].table, in.tables[i].table);
            assert_memory_equal(&out.tables[i].schema, &in.tables[i].schema, 32);
            assert_int_equal(out.tables[i].at.kind, in.tables[i].at.kind);
            assert_int_equal(out.tables[i].at.value, in.tables[i].at.value);
        }
        assert_int_equal(out.field_count, in.field_count);
        for (uint32_t i = 0; i < in.field_count; i++)
            assert_int_equal(out.fields[i], in.fields[i]);
        assert_true(fm_span_equal(out.predicates, in.predicates));
        assert_true(fm_span_equal(out.sql, in.sql));
        assert_int_equal(out.row_limit, in.row_limit);
        fm_fragment_deinit(&out);
    }
}

static void a_ticket_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_ticket in = example_ticket(), out;

    fm_ticket_encode(&f->bytes, &in);
    assert_int_equal(fm_ticket_decode(fm_buf_span(&f->bytes), &out), FM_OK);
    assert_memory_equal(&out.query, &in.query, sizeof in.query);
    assert_memory_equal(&out.owner, &in.owner, sizeof in.owner);
    assert_memory_equal(&out.asker, &in.asker, sizeof in.asker);
    assert_true(fm_span_equal(out.request, in.request));
    assert_memory_equal(&out.sql_hash, &in.sql_hash, sizeof in.sql_hash);
    assert_true(fm_span_equal(out.fragment, in.fragment));
    assert_int_equal(out.number, in.number);
    assert_true(out.row_limit == in.row_limit && out.byte_limit == in.byte_limit);
    assert_int_equal(out.deadline, in.deadline);
    assert_memory_equal(&out.session, &in.session, sizeof in.session);
    assert_memory_equal(out.trace, in.trace, sizeof in.trace);
}

static void a_receipt_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_receipt in = example_receipt(), out;

    fm_receipt_encode(&f->bytes, &in);
    assert_int_equal(fm_receipt_decode(fm_buf_span(&f->bytes), &out), FM_OK);
    assert_memory_equal(&out.query, &in.query, sizeof in.query);
    assert_memory_equal(&out.owner, &in.owner, sizeof in.owner);
    assert_memory_equal(&out.ticket, &in.ticket, 32);
    assert_memory_equal(&out.fragment, &in.fragment, 32);
    assert_memory_equal(&out.principal, &in.principal, 32);
    assert_int_equal(out.table_count, 2);
    assert_true(fm_span_equal(out.heads[1], in.heads[1]));
    assert_memory_equal(out.schemas, in.schemas, 2 * sizeof in.schemas[0]);
    assert_memory_equal(&out.policy, &in.policy, 32);
    assert_true(out.rows == 5 && out.bytes == 600 && out.batches == 2);
    assert_memory_equal(&out.root, &in.root, 32);
    assert_memory_equal(out.trace, in.trace, sizeof in.trace);
    assert_int_equal(out.time, in.time);
    assert_memory_equal(&out.columns, &in.columns, 32);
}

static void an_answer_gives_its_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_answer in = example_answer(), out;

    fm_answer_encode(&f->bytes, &in);
    assert_int_equal(fm_answer_decode(fm_buf_span(&f->bytes), &out), FM_OK);
    assert_memory_equal(&out.query, &in.query, sizeof in.query);
    assert_memory_equal(&out.node, &in.node, sizeof in.node);
    assert_memory_equal(&out.request, &in.request, 32);
    assert_true(fm_span_equal(out.plan, in.plan));
    assert_int_equal(out.fragment_count, 1);
    assert_memory_equal(&out.fragments[0], &in.fragments[0], sizeof in.fragments[0]);
    assert_true(fm_span_equal(out.columns, in.columns));
    assert_true(out.rows == 5 && out.bytes == 600 && out.batches == 2);
    assert_memory_equal(&out.root, &in.root, 32);
    assert_int_equal(out.completeness, FM_PARTIAL);
    assert_int_equal(out.time, in.time);
    assert_memory_equal(out.trace, in.trace, sizeof in.trace);
    assert_int_equal(out.origin, FM_ROWS_OF_FRAGMENT);
}

/* Rows without a receipt are named, each part once, and never passed on as an owner's. */
static void an_answer_says_what_is_its_nodes_own_word(void **state)
{
    struct fixture *f = *state;
    struct fm_answer in = example_answer(), out;

    in.origin = FM_ROWS_MERGED;
    in.own_count = 2;
    in.own[0] = (struct fm_answer_own){.number = 2, .table = "receipts", .rows = 7};
    in.own[1] = (struct fm_answer_own){.number = 3, .table = "nodes", .rows = 0};
    memset(in.own[0].root.bytes, 0x5a, sizeof in.own[0].root.bytes);
    fm_answer_encode(&f->bytes, &in);
    assert_int_equal(fm_answer_decode(fm_buf_span(&f->bytes), &out), FM_OK);
    assert_int_equal(out.own_count, 2);
    assert_int_equal(out.own[0].number, 2);
    assert_string_equal(out.own[0].table, "receipts");
    assert_int_equal(out.own[0].rows, 7);
    assert_memory_equal(&out.own[0].root, &in.own[0].root, 32);
    in.own[1].number = 2;
    fm_buf_clear(&f->bytes);
    fm_answer_encode(&f->bytes, &in);
    assert_int_equal(fm_answer_decode(fm_buf_span(&f->bytes), &out), FM_MALFORMED);
    in.own[1] = (struct fm_answer_own){.number = 3, .table = "No"};
    fm_buf_clear(&f->bytes);
    fm_answer_encode(&f->bytes, &in);
    assert_int_equal(fm_answer_decode(fm_buf_span(&f->bytes), &out), FM_MALFORMED);
}

static void catalog_records_give_their_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_contract contract = example_contract(), contract_out;
    struct fm_member_record member = example_member(), member_out;

    fm_contract_encode(&f->bytes, &contract);
    assert_int_equal(fm_contract_decode(fm_buf_span(&f->bytes), &contract_out), FM_OK);
    assert_string_equal(contract_out.domain, "flights");
    assert_string_equal(contract_out.product, "Flight data");
    assert_string_equal(contract_out.product_version, "1.2.0");
    assert_int_equal(contract_out.version, 3);
    assert_int_equal(contract_out.table_count, 2);
    assert_true(fm_span_equal(contract_out.schemas[1], contract.schemas[1]));
    assert_true(fm_span_equal(contract_out.yaml, contract.yaml));
    assert_int_equal(contract_out.time, contract.time);
    assert_int_equal(contract_out.epoch, 2);
    fm_buf_clear(&f->bytes);
    fm_member_record_encode(&f->bytes, &member);
    assert_int_equal(fm_member_record_decode(fm_buf_span(&f->bytes), &member_out), FM_OK);
    assert_memory_equal(&member_out.node, &member.node, sizeof member.node);
    assert_int_equal(member_out.incarnation, 7);
    assert_string_equal(member_out.address, member.address);
    assert_int_equal(member_out.claim, FM_MEMBER_ALIVE);
    assert_memory_equal(&member_out.cert, &member.cert, 32);
    assert_int_equal(member_out.time, member.time);
}

static void append_bodies_give_their_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_append_begin begin = example_begin(), begin_out;
    struct fm_append_ack ack = example_ack(), ack_out;

    fm_append_begin_encode(&f->bytes, &begin);
    assert_int_equal(fm_append_begin_decode(fm_buf_span(&f->bytes), &begin_out), FM_OK);
    assert_string_equal(begin_out.domain, begin.domain);
    assert_string_equal(begin_out.table, begin.table);
    assert_memory_equal(begin_out.producer, begin.producer, sizeof begin.producer);
    assert_int_equal(begin_out.producer_sequence, 41);
    assert_true(begin_out.has_expected);
    assert_int_equal(begin_out.expected_version, 1000);
    begin.has_expected = false;
    fm_buf_clear(&f->bytes);
    fm_append_begin_encode(&f->bytes, &begin);
    assert_int_equal(fm_append_begin_decode(fm_buf_span(&f->bytes), &begin_out), FM_OK);
    assert_false(begin_out.has_expected);
    fm_buf_clear(&f->bytes);
    fm_append_ack_encode(&f->bytes, &ack);
    assert_int_equal(fm_append_ack_decode(fm_buf_span(&f->bytes), &ack_out), FM_OK);
    assert_true(ack_out.first_sequence == 1000 && ack_out.rows == 10 && ack_out.size == 1010);
    assert_memory_equal(&ack_out.root, &ack.root, 32);
    assert_int_equal(ack_out.recorded_at, ack.recorded_at);
    assert_int_equal(ack_out.durability, FM_DURABLE_MEMORY);
    assert_true(fm_span_equal(ack_out.head, ack.head));
}

static void replies_give_their_fields_back(void **state)
{
    struct fixture *f = *state;
    struct fm_reply reply;

    make(f, &record_examples[find("reply")]);
    assert_int_equal(fm_reply_decode(fm_buf_span(&f->bytes), &reply), FM_OK);
    assert_int_equal(reply.status, FM_OK);
    assert_true(fm_span_equal(reply.body, fm_span_str("body")));
    make(f, &record_examples[find("reply-refused")]);
    assert_int_equal(fm_reply_decode(fm_buf_span(&f->bytes), &reply), FM_OK);
    assert_int_equal(reply.status, FM_REFUSED);
    assert_true(fm_span_equal(reply.error, fm_span_str("no")));
    /* A status of a later release is an error all the same. */
    fm_buf_clear(&f->bytes);
    fm_reply_encode(&f->bytes,
                    &(struct fm_reply){.status = (enum fm_status)99, .error = fm_span_str("new")});
    assert_int_equal(fm_reply_decode(fm_buf_span(&f->bytes), &reply), FM_OK);
    assert_int_equal(reply.status, FM_INTERNAL);
}

/* ---- Bounds -------------------------------------------------------------------------------- */

/* The record with another value for one pair. */
static enum fm_status with_uint(struct fixture *f, size_t record, unsigned pair, uint64_t value)
{
    struct fm_buf bytes = FM_BUF_INIT(0);

    fm_pack_uint(&bytes, value);
    map_replace(make(f, &record_examples[record]), pair, fm_buf_span(&bytes), &f->edited);
    fm_buf_free(&bytes);
    return take_edited(f, &record_examples[record]);
}

static enum fm_status with_text(struct fixture *f, size_t record, unsigned pair, const char *text)
{
    struct fm_buf bytes = FM_BUF_INIT(0);

    fm_pack_str(&bytes, text);
    map_replace(make(f, &record_examples[record]), pair, fm_buf_span(&bytes), &f->edited);
    fm_buf_free(&bytes);
    return take_edited(f, &record_examples[record]);
}

static void numbers_out_of_their_list_are_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(with_uint(f, find("request"), 0, 99), FM_UNSUPPORTED);
    assert_int_equal(with_uint(f, find("request"), 0, FM_METHOD_PING), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("request"), 5, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("request"), 5, FM_QUERY_MS_MAX), FM_OK);
    assert_int_equal(with_uint(f, find("request"), 5, FM_QUERY_MS_MAX + 1), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("request"), 4, UINT64_MAX), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("call"), 0, 99), FM_UNSUPPORTED);
    assert_int_equal(with_uint(f, find("call"), 0, 0), FM_UNSUPPORTED);
    assert_int_equal(with_uint(f, find("fragment-scan"), 0, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("fragment-scan"), 0, 2), FM_MALFORMED); /* Keys of a scan. */
    assert_int_equal(with_uint(f, find("fragment-scan"), 0, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("answer"), 10, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("answer"), 10, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("answer"), 13, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("answer"), 13, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("answer-own"), 13, FM_ROWS_MERGED), FM_OK);
    assert_int_equal(with_uint(f, find("answer-own"), 13, FM_ROWS_OF_FRAGMENT), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("part"), 0, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("part"), 0, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("append-ack"), 5, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("member"), 3, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("member"), 3, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("contract"), 3, 0), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("contract"), 7, 0), FM_MALFORMED);
}

/* Parts cannot lie outside what they are parts of. */
static void parts_stay_inside_their_whole(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(with_uint(f, find("part"), 1, 4), FM_OK);
    assert_int_equal(with_uint(f, find("part"), 1, 3), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("part"), 1, FM_BATCH_BYTES_MAX + 1), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("append-rows"), 2, 11), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("append-rows"), 2, 15), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("append-rows"), 3, FM_BATCH_BYTES_MAX + 1), FM_MALFORMED);
    assert_int_equal(with_uint(f, find("fetch"), 3, FM_BATCH_BYTES_MAX + 1), FM_MALFORMED);
}

static void names_are_checked(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"", "Flights", "mesh", "pg_x", "a b", "1a"};
    char longer[FM_NAME_MAX + 2];

    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(with_text(f, find("contract"), 0, names[i]), FM_MALFORMED);
        assert_int_equal(with_text(f, find("append-begin"), 0, names[i]), FM_MALFORMED);
    }
    assert_int_equal(with_text(f, find("contract"), 0, longer), FM_MALFORMED);
    assert_int_equal(with_text(f, find("contract"), 1, longer), FM_MALFORMED);
    assert_int_equal(with_text(f, find("contract"), 1, "a\nb"), FM_MALFORMED);
    assert_int_equal(with_text(f, find("append-begin"), 1, longer), FM_MALFORMED);
    assert_int_equal(with_text(f, find("append-begin"), 1, "departures$facts"), FM_MALFORMED);
}

static void addresses_are_checked(void **state)
{
    struct fixture *f = *state;
    static const char *const good[] = {"host:1", "127.0.0.1:65535", "[::1]:7700", "a.b-c:80"};
    static const char *const bad[] = {
        "",         "host",    ":80",          "host:",       "host:0",
        "host:080", "host:x",  "a b:80",       "host:65536",  "::1:80",
        "[]:80",    "[::1:80", "h\xc3\xa4:80", "host:999999", "[::1]80"};

    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        assert_int_equal(with_text(f, find("member"), 2, good[i]), FM_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (with_text(f, find("member"), 2, bad[i]) != FM_MALFORMED)
            fail_msg("address '%s' was taken", bad[i]);
    }
}

/* More items than the structs hold, in each array. */
static void counts_are_bounded(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *record;
        unsigned pair;
        uint32_t max;
    } arrays[] = {{"receipt", 5, FM_QUERY_TABLES_MAX},       {"receipt", 6, FM_QUERY_TABLES_MAX},
                  {"answer", 4, FM_QUERY_TABLES_MAX},        {"bundle", 3, FM_QUERY_TABLES_MAX + 1},
                  {"bundle", 4, FM_QUERY_TABLES_MAX},        {"bundle", 5, FM_QUERY_TABLES_MAX},
                  {"contract", 4, FM_TABLES_PER_PRODUCT_MAX}};

    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++) {
        struct fm_buf bytes = FM_BUF_INIT(0);

        fm_pack_array(&bytes, arrays[i].max + 1);
        for (uint32_t n = 0; n <= arrays[i].max; n++)
            fm_pack_bin(&bytes, "x", 1);
        map_replace(make(f, &record_examples[find(arrays[i].record)]), arrays[i].pair,
                    fm_buf_span(&bytes), &f->edited);
        assert_int_equal(take_edited(f, &record_examples[find(arrays[i].record)]), FM_MALFORMED);
        fm_buf_free(&bytes);
    }
}

static enum fm_status with_table(struct fixture *f, const char *domain, const char *table,
                                 unsigned at_kind, int64_t at_value)
{
    struct fm_buf bytes = FM_BUF_INIT(0);
    const uint8_t schema[32] = {0};

    fm_pack_array(&bytes, 1);
    fm_pack_array(&bytes, 5);
    fm_pack_str(&bytes, domain);
    fm_pack_str(&bytes, table);
    fm_pack_bin(&bytes, schema, sizeof schema);
    fm_pack_uint(&bytes, at_kind);
    fm_pack_int(&bytes, at_value);
    map_replace(make(f, &record_examples[find("fragment-scan")]), 1, fm_buf_span(&bytes),
                &f->edited);
    fm_buf_free(&bytes);
    return take_edited(f, &record_examples[find("fragment-scan")]);
}

static void tables_of_fragments_are_checked(void **state)
{
    struct fixture *f = *state;
    char base[FM_NAME_MAX + 1];

    assert_int_equal(with_table(f, "flights", "departures", FM_AT_VERSION, 5), FM_OK);
    assert_int_equal(with_table(f, "flights", "departures$facts", FM_AT_LATEST, 0), FM_OK);
    assert_int_equal(with_table(f, "flights", "$facts", FM_AT_LATEST, 0), FM_MALFORMED);
    assert_int_equal(with_table(f, "flights", "a$facts$facts", FM_AT_LATEST, 0), FM_MALFORMED);
    assert_int_equal(with_table(f, "flights", "departures$x", FM_AT_LATEST, 0), FM_MALFORMED);
    assert_int_equal(with_table(f, "mesh", "departures", FM_AT_LATEST, 0), FM_MALFORMED);
    assert_int_equal(with_table(f, "flights", "departures", FM_AT_LATEST, 1), FM_MALFORMED);
    assert_int_equal(with_table(f, "flights", "departures", FM_AT_VERSION, -1), FM_MALFORMED);
    assert_int_equal(with_table(f, "flights", "departures", 3, 0), FM_MALFORMED);
    fm_table_base_name("departures$facts", base);
    assert_string_equal(base, "departures");
    fm_table_base_name("departures", base);
    assert_string_equal(base, "departures");
}

static void fields_of_fragments_are_checked(void **state)
{
    struct fixture *f = *state;
    const struct record_example *scan = &record_examples[find("fragment-scan")];
    struct fm_buf bytes = FM_BUF_INIT(0);

    fm_pack_array(&bytes, 1);
    fm_pack_uint(&bytes, 0);
    map_replace(make(f, scan), 2, fm_buf_span(&bytes), &f->edited);
    assert_int_equal(take_edited(f, scan), FM_MALFORMED);
    fm_buf_clear(&bytes);
    fm_pack_array(&bytes, FM_COLUMNS_MAX + 1);
    for (uint32_t i = 0; i <= FM_COLUMNS_MAX; i++)
        fm_pack_uint(&bytes, i + 1);
    map_replace(make(f, scan), 2, fm_buf_span(&bytes), &f->edited);
    assert_int_equal(take_edited(f, scan), FM_MALFORMED);
    fm_buf_clear(&bytes);
    fm_pack_array(&bytes, 0); /* Rows without columns can be counted. */
    map_replace(make(f, scan), 2, fm_buf_span(&bytes), &f->edited);
    assert_int_equal(take_edited(f, scan), FM_OK);
    fm_buf_free(&bytes);
}

static enum fm_status with_given(struct fixture *f, const struct fm_given *given, uint32_t count)
{
    struct fm_fragment in = example_fragment(FM_FRAGMENT_SQL), out = {0};

    in.given_count = count;
    in.given = (struct fm_given *)(uintptr_t)given;
    fm_buf_clear(&f->bytes);
    fm_fragment_encode(&f->bytes, &in);
    enum fm_status status = fm_fragment_decode(fm_buf_span(&f->bytes), &out);
    if (status != FM_OK)
        return status;
    assert_int_equal(out.given_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(out.given[i].domain, given[i].domain);
        assert_string_equal(out.given[i].table, given[i].table);
        assert_int_equal(out.given[i].at.kind, given[i].at.kind);
        assert_int_equal(out.given[i].at.value, given[i].at.value);
        assert_int_equal(out.given[i].field_count, given[i].field_count);
        assert_memory_equal(out.given[i].fields, given[i].fields, 4 * given[i].field_count);
        assert_true(fm_span_equal(out.given[i].columns, given[i].columns));
        assert_true(fm_span_equal(out.given[i].batch, given[i].batch));
    }
    fm_fragment_deinit(&out);
    return FM_OK;
}

/* Each table once and of no domain of the owner's, positions rising, all bytes bounded. */
static void given_tables_are_checked(void **state)
{
    static uint32_t falling[] = {2, 1}, twice[] = {1, 1}, large[] = {FM_COLUMNS_MAX};
    static const uint8_t much[FM_GIVEN_BYTES_MAX / 2 + 1];
    struct fixture *f = *state;
    struct fm_given given[FM_GIVEN_TABLES_MAX];

    for (uint32_t i = 0; i < FM_GIVEN_TABLES_MAX; i++) {
        given[i] = example_given();
        given[i].at = (struct fm_at){FM_AT_VERSION, i};
    }
    assert_int_equal(with_given(f, given, 1), FM_OK);
    assert_int_equal(with_given(f, given, FM_GIVEN_TABLES_MAX), FM_OK);
    given[1].at.value = 0;
    assert_int_equal(with_given(f, given, 2), FM_MALFORMED);
    (void)strcpy(given[1].domain, "flights");
    assert_int_equal(with_given(f, given, 2), FM_MALFORMED);
    (void)strcpy(given[1].domain, "mesh");
    assert_int_equal(with_given(f, given, 2), FM_MALFORMED);
    given[0].fields = falling;
    assert_int_equal(with_given(f, given, 1), FM_MALFORMED);
    given[0].fields = twice;
    assert_int_equal(with_given(f, given, 1), FM_MALFORMED);
    given[0].fields = large;
    given[0].field_count = 1;
    assert_int_equal(with_given(f, given, 1), FM_MALFORMED);
    given[0] = example_given();
    given[0].batch = given[2].batch = fm_span(much, sizeof much - 1);
    given[1] = given[2];
    assert_int_equal(with_given(f, given, 2), FM_OK);
    given[1].batch.len++;
    assert_int_equal(with_given(f, given, 2), FM_MALFORMED);
}

/* Whoever wants owners left out under aggregates has to want them left out at all. */
static void options_of_a_query_fit_each_other(void **state)
{
    static const uint8_t alone[] = {0x82, 0x00, 0xa1, 'x', 0x03, 0xc3};
    static const uint8_t both[] = {0x83, 0x00, 0xa1, 'x', 0x02, 0x01, 0x03, 0xc3};
    struct fm_query_body body;

    (void)state;
    assert_int_equal(fm_query_body_decode(fm_span(alone, sizeof alone), &body), FM_MALFORMED);
    assert_int_equal(fm_query_body_decode(fm_span(both, sizeof both), &body), FM_OK);
    assert_true(body.allows_partial_aggregates);
}

static void rules_are_named(void **state)
{
    struct fm_error err = {0};
    uint64_t mask = 77;

    (void)state;
    assert_int_equal(fm_rules_parse(fm_span_str("reduce,ship"), &mask, &err), FM_OK);
    assert_int_equal(mask, 0x11);
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *word = fm_rule_text(bit);
        assert_int_equal(word != NULL, bit < 7);
        if (word == NULL)
            continue;
        assert_int_equal(fm_rules_parse(fm_span_str(word), &mask, &err), FM_OK);
        assert_int_equal(mask, UINT64_C(1) << bit);
    }
    mask = 77;
    assert_int_equal(fm_rules_parse(fm_span_str("ship,"), &mask, &err), FM_INVALID);
    assert_int_equal(fm_rules_parse(fm_span_str(""), &mask, &err), FM_INVALID);
    assert_int_equal(fm_rules_parse(fm_span_str("ship,shop"), &mask, &err), FM_INVALID);
    assert_int_equal(mask, 77);
    assert_string_equal(err.text, "there is no rule \"shop\"; rules are ship scan subquery "
                                  "aggregate reduce push lookup");
}

static void methods_have_names(void **state)
{
    (void)state;

    assert_string_equal(fm_method_text(FM_METHOD_QUERY_OPEN), "QUERY_OPEN");
    assert_string_equal(fm_method_text((enum fm_method)0), "unknown method");
}

#define WITH_VECTORS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_VECTORS(records_have_these_bytes),
        WITH_VECTORS(a_missing_key_is_refused),
        WITH_VECTORS(an_unknown_key_is_refused_when_critical),
        WITH_VECTORS(a_value_of_another_kind_is_refused),
        WITH_VECTORS(cut_or_longer_records_are_refused),
        WITH_VECTORS(a_request_gives_its_fields_back),
        WITH_VECTORS(fragments_give_their_fields_back),
        WITH_VECTORS(a_ticket_gives_its_fields_back),
        WITH_VECTORS(a_receipt_gives_its_fields_back),
        WITH_VECTORS(an_answer_gives_its_fields_back),
        WITH_VECTORS(an_answer_says_what_is_its_nodes_own_word),
        WITH_VECTORS(catalog_records_give_their_fields_back),
        WITH_VECTORS(append_bodies_give_their_fields_back),
        WITH_VECTORS(replies_give_their_fields_back),
        WITH_VECTORS(numbers_out_of_their_list_are_refused),
        WITH_VECTORS(parts_stay_inside_their_whole),
        WITH_VECTORS(names_are_checked),
        WITH_VECTORS(addresses_are_checked),
        WITH_VECTORS(counts_are_bounded),
        WITH_VECTORS(tables_of_fragments_are_checked),
        WITH_VECTORS(fields_of_fragments_are_checked),
        WITH_VECTORS(given_tables_are_checked),
        WITH_VECTORS(options_of_a_query_fit_each_other),
        WITH_VECTORS(rules_are_named),
        WITH_VECTORS(methods_have_names),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
