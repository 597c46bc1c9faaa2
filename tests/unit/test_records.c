/* Records and messages: golden vectors, fields that come back, and maps that are refused. */
#include "core/records.h"

#include "core/codec.h"
#include "tests/support/map_edit.h"
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

/* ---- One example of each ------------------------------------------------------------------- */

#define FILL(field, value) memset(&(field), value, sizeof(field))

static struct fm_request example_request(void)
{
    struct fm_request request = {.kind = FM_METHOD_QUERY_OPEN,
                                 .time = INT64_C(1767225600000001),
                                 .limit_ms = 60000,
                                 .body = fm_span_str("request body")};

    FILL(request.id, 1);
    FILL(request.audience, 2);
    FILL(request.session, 3);
    FILL(request.trace, 4);
    return request;
}

static struct fm_table_ref example_tables[2] = {
    {.domain = "flights", .table = "departures", .at = {FM_AT_LATEST, 0}},
    {.domain = "flights", .table = "planes$facts", .at = {FM_AT_TIMESTAMP, -5}},
};
static uint32_t example_fields[3] = {1, 2, 900};

static struct fm_fragment example_fragment(enum fm_fragment_kind kind)
{
    struct fm_fragment fragment = {.kind = kind, .tables = example_tables, .row_limit = 100};

    FILL(example_tables[0].schema, 5);
    FILL(example_tables[1].schema, 6);
    fragment.table_count = kind == FM_FRAGMENT_SCAN ? 1 : 2;
    if (kind == FM_FRAGMENT_SCAN) {
        fragment.fields = example_fields;
        fragment.field_count = 3;
        fragment.predicates = fm_span_str("predicates");
    } else {
        fragment.sql = fm_span_str("SELECT 1");
    }
    return fragment;
}

static struct fm_ticket example_ticket(void)
{
    struct fm_ticket ticket = {.request = fm_span_str("request envelope"),
                               .fragment = fm_span_str("fragment"),
                               .number = 1,
                               .row_limit = 1000000,
                               .byte_limit = UINT64_C(1) << 33,
                               .deadline = INT64_C(1767225660000000)};

    FILL(ticket.query, 1);
    FILL(ticket.owner, 2);
    FILL(ticket.asker, 3);
    FILL(ticket.sql_hash, 4);
    FILL(ticket.session, 5);
    FILL(ticket.trace, 6);
    return ticket;
}

static struct fm_receipt example_receipt(void)
{
    struct fm_receipt receipt = {.table_count = 2,
                                 .heads = {fm_span_str("head 1"), fm_span_str("head 2")},
                                 .rows = 5,
                                 .bytes = 600,
                                 .batches = 2,
                                 .time = INT64_C(1767225601000000)};

    FILL(receipt.query, 1);
    FILL(receipt.owner, 2);
    FILL(receipt.ticket, 3);
    FILL(receipt.fragment, 4);
    FILL(receipt.principal, 5);
    FILL(receipt.schemas[0], 6);
    FILL(receipt.schemas[1], 7);
    FILL(receipt.root, 8);
    FILL(receipt.trace, 9);
    FILL(receipt.columns, 10);
    return receipt;
}

static struct fm_answer example_answer(void)
{
    struct fm_answer answer = {.plan = fm_span_str("{}"),
                               .fragment_count = 1,
                               .fragments = {{.domain = "flights"}},
                               .columns = fm_span_str("columns"),
                               .rows = 5,
                               .bytes = 600,
                               .batches = 2,
                               .completeness = FM_PARTIAL,
                               .time = INT64_C(1767225602000000),
                               .origin = FM_ROWS_OF_FRAGMENT};

    FILL(answer.query, 1);
    FILL(answer.node, 2);
    FILL(answer.request, 3);
    FILL(answer.fragments[0].owner, 4);
    FILL(answer.fragments[0].ticket, 5);
    FILL(answer.fragments[0].receipt, 6);
    FILL(answer.root, 7);
    FILL(answer.trace, 8);
    return answer;
}

static struct fm_bundle example_bundle(void)
{
    return (struct fm_bundle){.answer = fm_span_str("answer"),
                              .request = fm_span_str("request"),
                              .principal_cert = fm_span_str("principal"),
                              .node_cert_count = 2,
                              .node_certs = {fm_span_str("node 1"), fm_span_str("node 2")},
                              .fragment_count = 1,
                              .tickets = {fm_span_str("ticket")},
                              .receipts = {fm_span_str("receipt")}};
}

static struct fm_contract example_contract(void)
{
    return (struct fm_contract){.domain = "flights",
                                .product = "Flight data",
                                .product_version = "1.2.0",
                                .version = 3,
                                .table_count = 2,
                                .schemas = {fm_span_str("schema 1"), fm_span_str("schema 2")},
                                .yaml = fm_span_str("kind: DataContract\n"),
                                .time = INT64_C(1767225600000000),
                                .epoch = 2};
}

static struct fm_member_record example_member(void)
{
    struct fm_member_record record = {.incarnation = 7,
                                      .address = "[2001:db8::1]:7700",
                                      .claim = FM_MEMBER_ALIVE,
                                      .time = INT64_C(1767225600000000)};

    FILL(record.node, 1);
    FILL(record.cert, 2);
    return record;
}

static struct fm_append_begin example_begin(void)
{
    struct fm_append_begin begin = {.domain = "flights",
                                    .table = "departures",
                                    .producer_sequence = 41,
                                    .has_expected = true,
                                    .expected_version = 1000};

    FILL(begin.schema, 1);
    FILL(begin.producer, 2);
    return begin;
}

static struct fm_append_ack example_ack(void)
{
    struct fm_append_ack ack = {.first_sequence = 1000,
                                .rows = 10,
                                .size = 1010,
                                .recorded_at = INT64_C(1767225600000000),
                                .durability = FM_DURABLE_MEMORY,
                                .head = fm_span_str("head")};

    FILL(ack.root, 1);
    return ack;
}

/* Columns of two kinds, one with a dictionary. */
static void put_example_columns(struct fm_buf *out)
{
    static const uint32_t offsets[] = {0, 3, 6};
    struct fm_column items[2] = {{.name = "carrier"}, {.name = "delay"}};
    const struct fm_columns columns = {.count = 2, .items = items};

    assert_int_equal(fm_type_parse(fm_span_str("varchar"), &items[0].type, NULL), FM_OK);
    assert_int_equal(fm_type_parse(fm_span_str("list(int32)"), &items[1].type, NULL), FM_OK);
    items[0].dictionary =
        (struct fm_dictionary){.count = 2, .offsets = offsets, .text = (const uint8_t *)"AAAJFK"};
    fm_columns_encode(out, &columns);
    fm_type_deinit(&items[0].type);
    fm_type_deinit(&items[1].type);
}

/* ---- All of them in one table -------------------------------------------------------------- */

static void put_request(struct fm_buf *out)
{
    const struct fm_request request = example_request();
    fm_request_encode(out, &request);
}

static enum fm_status take_request(struct fm_span bytes)
{
    struct fm_request request;
    return fm_request_decode(bytes, &request);
}

static void put_query_body(struct fm_buf *out)
{
    fm_query_body_encode(out, &(struct fm_query_body){fm_span_str("SELECT 1")});
}

static enum fm_status take_query_body(struct fm_span bytes)
{
    struct fm_query_body body;
    return fm_query_body_decode(bytes, &body);
}

static void put_scan(struct fm_buf *out)
{
    const struct fm_fragment fragment = example_fragment(FM_FRAGMENT_SCAN);
    fm_fragment_encode(out, &fragment);
}

static void put_sql(struct fm_buf *out)
{
    const struct fm_fragment fragment = example_fragment(FM_FRAGMENT_SQL);
    fm_fragment_encode(out, &fragment);
}

static enum fm_status take_fragment(struct fm_span bytes)
{
    struct fm_fragment fragment;
    enum fm_status status = fm_fragment_decode(bytes, &fragment);
    if (status == FM_OK)
        fm_fragment_deinit(&fragment);
    return status;
}

static void put_ticket(struct fm_buf *out)
{
    const struct fm_ticket ticket = example_ticket();
    fm_ticket_encode(out, &ticket);
}

static enum fm_status take_ticket(struct fm_span bytes)
{
    struct fm_ticket ticket;
    return fm_ticket_decode(bytes, &ticket);
}

static void put_receipt(struct fm_buf *out)
{
    const struct fm_receipt receipt = example_receipt();
    fm_receipt_encode(out, &receipt);
}

static enum fm_status take_receipt(struct fm_span bytes)
{
    struct fm_receipt receipt;
    return fm_receipt_decode(bytes, &receipt);
}

static void put_answer(struct fm_buf *out)
{
    const struct fm_answer answer = example_answer();
    fm_answer_encode(out, &answer);
}

static enum fm_status take_answer(struct fm_span bytes)
{
    struct fm_answer answer;
    return fm_answer_decode(bytes, &answer);
}

static void put_bundle(struct fm_buf *out)
{
    const struct fm_bundle bundle = example_bundle();
    fm_bundle_encode(out, &bundle);
}

static enum fm_status take_bundle(struct fm_span bytes)
{
    struct fm_bundle bundle;
    return fm_bundle_decode(bytes, &bundle);
}

static void put_contract(struct fm_buf *out)
{
    const struct fm_contract contract = example_contract();
    fm_contract_encode(out, &contract);
}

static enum fm_status take_contract(struct fm_span bytes)
{
    struct fm_contract contract;
    return fm_contract_decode(bytes, &contract);
}

static void put_member(struct fm_buf *out)
{
    const struct fm_member_record record = example_member();
    fm_member_record_encode(out, &record);
}

static enum fm_status take_member(struct fm_span bytes)
{
    struct fm_member_record record;
    return fm_member_record_decode(bytes, &record);
}

static void put_call(struct fm_buf *out)
{
    struct fm_call call = {.method = FM_METHOD_FRAGMENT_OPEN, .body = fm_span_str("body")};
    FILL(call.id, 1);
    fm_call_encode(out, &call);
}

static enum fm_status take_call(struct fm_span bytes)
{
    struct fm_call call;
    return fm_call_decode(bytes, &call);
}

static void put_reply(struct fm_buf *out)
{
    fm_reply_encode(out, &(struct fm_reply){.status = FM_OK, .body = fm_span_str("body")});
}

static void put_refusal(struct fm_buf *out)
{
    fm_reply_encode(out, &(struct fm_reply){.status = FM_REFUSED, .error = fm_span_str("no")});
}

static enum fm_status take_reply(struct fm_span bytes)
{
    struct fm_reply reply;
    return fm_reply_decode(bytes, &reply);
}

static void put_fetch(struct fm_buf *out)
{
    struct fm_fetch fetch = {.number = 1, .batch = 2, .offset = 300000};
    FILL(fetch.query, 1);
    fm_fetch_encode(out, &fetch);
}

static enum fm_status take_fetch(struct fm_span bytes)
{
    struct fm_fetch fetch;
    return fm_fetch_decode(bytes, &fetch);
}

static void put_part(struct fm_buf *out)
{
    fm_part_encode(out, &(struct fm_part){FM_PART_END, 300, fm_span_str("part")});
}

static enum fm_status take_part(struct fm_span bytes)
{
    struct fm_part part;
    return fm_part_decode(bytes, &part);
}

static void put_append_begin(struct fm_buf *out)
{
    const struct fm_append_begin begin = example_begin();
    fm_append_begin_encode(out, &begin);
}

static enum fm_status take_append_begin(struct fm_span bytes)
{
    struct fm_append_begin begin;
    return fm_append_begin_decode(bytes, &begin);
}

static void put_append_rows(struct fm_buf *out)
{
    struct fm_append_rows rows = {
        .number = 1, .offset = 10, .total = 14, .part = fm_span_str("part")};
    FILL(rows.append, 1);
    fm_append_rows_encode(out, &rows);
}

static enum fm_status take_append_rows(struct fm_span bytes)
{
    struct fm_append_rows rows;
    return fm_append_rows_decode(bytes, &rows);
}

static void put_append_commit(struct fm_buf *out)
{
    struct fm_append_commit commit = {.batches = 2, .rows = 10};
    FILL(commit.append, 1);
    FILL(commit.root, 2);
    fm_append_commit_encode(out, &commit);
}

static enum fm_status take_append_commit(struct fm_span bytes)
{
    struct fm_append_commit commit;
    return fm_append_commit_decode(bytes, &commit);
}

static void put_append_ack(struct fm_buf *out)
{
    const struct fm_append_ack ack = example_ack();
    fm_append_ack_encode(out, &ack);
}

static enum fm_status take_append_ack(struct fm_span bytes)
{
    struct fm_append_ack ack;
    return fm_append_ack_decode(bytes, &ack);
}

static const struct record {
    const char *name;
    void (*put)(struct fm_buf *out);
    enum fm_status (*take)(struct fm_span bytes);
    unsigned optional; /* Bit k: key k may be missing. */
} records[] = {
    {"request", put_request, take_request, 0},
    {"query-body", put_query_body, take_query_body, 0},
    {"fragment-scan", put_scan, take_fragment, 0},
    {"fragment-sql", put_sql, take_fragment, 0},
    {"ticket", put_ticket, take_ticket, 0},
    {"receipt", put_receipt, take_receipt, 0},
    {"answer", put_answer, take_answer, 0},
    {"bundle", put_bundle, take_bundle, 0},
    {"contract", put_contract, take_contract, 0},
    {"member", put_member, take_member, 0},
    {"call", put_call, take_call, 0},
    {"reply", put_reply, take_reply, 0},
    {"reply-refused", put_refusal, take_reply, 0},
    {"fetch", put_fetch, take_fetch, 0},
    {"part", put_part, take_part, 0},
    {"append-begin", put_append_begin, take_append_begin, 1u << 5},
    {"append-rows", put_append_rows, take_append_rows, 0},
    {"append-commit", put_append_commit, take_append_commit, 0},
    {"append-ack", put_append_ack, take_append_ack, 0},
};
#define RECORD_COUNT (sizeof records / sizeof records[0])

static struct fm_span make(struct fixture *f, const struct record *record)
{
    fm_buf_clear(&f->bytes);
    record->put(&f->bytes);
    assert_int_equal(fm_buf_status(&f->bytes), FM_OK);
    return fm_buf_span(&f->bytes);
}

static enum fm_status take_edited(const struct fixture *f, const struct record *record)
{
    assert_int_equal(fm_buf_status(&f->edited), FM_OK);
    return record->take(fm_buf_span(&f->edited));
}

static void records_have_these_bytes(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct fm_span bytes = make(f, &records[i]);
        vector_check(f->vectors, records[i].name, bytes);
        assert_int_equal(records[i].take(bytes), FM_OK);
    }
    fm_buf_clear(&f->bytes);
    put_example_columns(&f->bytes);
    vector_check(f->vectors, "columns", fm_buf_span(&f->bytes));
}

static void a_missing_key_is_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct fm_span bytes = make(f, &records[i]);
        for (unsigned p = 0; p < map_pairs(bytes); p++) {
            bool optional = (records[i].optional >> map_key(bytes, p) & 1u) != 0;
            map_drop(bytes, p, &f->edited);
            if ((take_edited(f, &records[i]) == FM_OK) != optional)
                fail_msg("%s without key %u", records[i].name, map_key(bytes, p));
        }
    }
}

/* Critical keys that nobody knows are refused; those from 32 up are not. */
static void an_unknown_key_is_refused_when_critical(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct fm_span bytes = make(f, &records[i]);
        unsigned last = map_key(bytes, map_pairs(bytes) - 1);
        if (map_pairs(bytes) == 15)
            continue; /* One pair more needs another header, which map_add() does not know. */
        for (unsigned key = last + 1; key < 32; key++) {
            map_add(bytes, key, &f->edited);
            assert_int_equal(take_edited(f, &records[i]), FM_MALFORMED);
        }
        map_add(bytes, 32, &f->edited);
        if (take_edited(f, &records[i]) != FM_OK)
            fail_msg("%s with key 32", records[i].name);
    }
}

static void a_value_of_another_kind_is_refused(void **state)
{
    struct fixture *f = *state;
    static const uint8_t wrong[][4] = {{0xc0}, {0xc3}, {0x90}, {0x80}, {0xe0}};

    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct fm_span bytes = make(f, &records[i]);
        for (unsigned p = 0; p < map_pairs(bytes); p++) {
            for (size_t w = 0; w < sizeof wrong / sizeof wrong[0]; w++) {
                map_replace(bytes, p, fm_span(wrong[w], 1), &f->edited);
                /* Some arrays may be empty: that is no other kind. */
                if (wrong[w][0] != 0x90 && take_edited(f, &records[i]) != FM_MALFORMED)
                    fail_msg("%s with another kind for key %u", records[i].name, map_key(bytes, p));
            }
        }
    }
}

static void cut_or_longer_records_are_refused(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < RECORD_COUNT; i++) {
        struct fm_span bytes = make(f, &records[i]);
        for (size_t len = 0; len < bytes.len; len++)
            assert_int_not_equal(records[i].take(fm_span(bytes.data, len)), FM_OK);
        fm_buf_put_u8(&f->bytes, 0);
        assert_int_not_equal(records[i].take(fm_buf_span(&f->bytes)), FM_OK);
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

    put_reply(&f->bytes);
    assert_int_equal(fm_reply_decode(fm_buf_span(&f->bytes), &reply), FM_OK);
    assert_int_equal(reply.status, FM_OK);
    assert_true(fm_span_equal(reply.body, fm_span_str("body")));
    fm_buf_clear(&f->bytes);
    put_refusal(&f->bytes);
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
    map_replace(make(f, &records[record]), pair, fm_buf_span(&bytes), &f->edited);
    fm_buf_free(&bytes);
    return take_edited(f, &records[record]);
}

static enum fm_status with_text(struct fixture *f, size_t record, unsigned pair, const char *text)
{
    struct fm_buf bytes = FM_BUF_INIT(0);

    fm_pack_str(&bytes, text);
    map_replace(make(f, &records[record]), pair, fm_buf_span(&bytes), &f->edited);
    fm_buf_free(&bytes);
    return take_edited(f, &records[record]);
}

static size_t find(const char *name)
{
    for (size_t i = 0; i < RECORD_COUNT; i++) {
        if (strcmp(records[i].name, name) == 0)
            return i;
    }
    fail_msg("no record %s", name);
    return 0;
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
        map_replace(make(f, &records[find(arrays[i].record)]), arrays[i].pair, fm_buf_span(&bytes),
                    &f->edited);
        assert_int_equal(take_edited(f, &records[find(arrays[i].record)]), FM_MALFORMED);
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
    map_replace(make(f, &records[find("fragment-scan")]), 1, fm_buf_span(&bytes), &f->edited);
    fm_buf_free(&bytes);
    return take_edited(f, &records[find("fragment-scan")]);
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
    const struct record *scan = &records[find("fragment-scan")];
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

/* ---- Columns ------------------------------------------------------------------------------- */

static void columns_come_back(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns;

    put_example_columns(&f->bytes);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->bytes), &columns), FM_OK);
    /* The dictionary is a copy of its own: the message may go. */
    memset(f->bytes.data, 0, f->bytes.len);
    assert_int_equal(columns.count, 2);
    assert_string_equal(columns.items[0].name, "carrier");
    assert_int_equal(columns.items[0].type.kind, FM_KIND_VARCHAR);
    assert_int_equal(columns.items[0].dictionary.count, 2);
    assert_true(
        fm_span_equal(fm_dictionary_at(&columns.items[0].dictionary, 1), fm_span_str("JFK")));
    assert_int_equal((uintptr_t)columns.items[0].dictionary.offsets % 4, 0);
    assert_string_equal(columns.items[1].name, "delay");
    assert_int_equal(columns.items[1].type.kind, FM_KIND_LIST);
    assert_int_equal(columns.items[1].dictionary.count, 0);
    fm_columns_deinit(&columns);
    fm_columns_deinit(&columns); /* Empty now: fine. */
}

static void no_columns_are_columns_too(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns = {0};

    fm_columns_encode(&f->bytes, &columns);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->bytes), &columns), FM_OK);
    assert_int_equal(columns.count, 0);
    fm_columns_deinit(&columns);
}

/* One column from its three parts. */
static enum fm_status take_column(struct fixture *f, const char *name, struct fm_span type,
                                  struct fm_span dictionary)
{
    struct fm_columns columns;

    fm_buf_clear(&f->bytes);
    fm_pack_array(&f->bytes, 1);
    fm_pack_array(&f->bytes, 3);
    fm_pack_str(&f->bytes, name);
    fm_pack_bin_span(&f->bytes, type);
    if (dictionary.data == NULL)
        fm_pack_nil(&f->bytes);
    else
        fm_pack_bin_span(&f->bytes, dictionary);
    enum fm_status status = fm_columns_decode(fm_buf_span(&f->bytes), &columns);
    if (status == FM_OK)
        fm_columns_deinit(&columns);
    return status;
}

static void wrong_columns_are_refused(void **state)
{
    struct fixture *f = *state;
    static const uint32_t offsets[] = {0, 1};
    const struct fm_dictionary one = {1, offsets, (const uint8_t *)"a"};
    struct fm_buf text = FM_BUF_INIT(0), number = FM_BUF_INIT(0), dictionary = FM_BUF_INIT(0);
    char name[FM_NAME_MAX * 4 + 2];

    fm_type_encode(&text, &(struct fm_type){.kind = FM_KIND_VARCHAR});
    fm_type_encode(&number, &(struct fm_type){.kind = FM_KIND_INT32});
    fm_dictionary_encode(&dictionary, &one);
    struct fm_span words = fm_buf_span(&dictionary), none = {0};

    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(take_column(f, name, fm_buf_span(&text), none), FM_MALFORMED);
    name[sizeof name - 2] = '\0';
    assert_int_equal(take_column(f, name, fm_buf_span(&text), none), FM_OK);
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), words), FM_OK);
    assert_int_equal(take_column(f, "c", fm_buf_span(&number), words), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_span("", 0), none), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_span(text.data, text.len - 1), none), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), fm_span("", 0)), FM_MALFORMED);
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), fm_span(words.data, words.len - 1)),
                     FM_MALFORMED);
    fm_buf_put_u8(&text, 0); /* A type and something behind it. */
    assert_int_equal(take_column(f, "c", fm_buf_span(&text), none), FM_MALFORMED);
    fm_buf_free(&text);
    fm_buf_free(&number);
    fm_buf_free(&dictionary);
}

/* Small types are a few bytes on the wire and far more in memory: their number is bounded over all
 * columns together. */
static void types_of_all_columns_are_bounded_together(void **state)
{
    struct fixture *f = *state;
    struct fm_columns columns;
    struct fm_buf type = FM_BUF_INIT(0);
    struct fm_type leaf = {.kind = FM_KIND_INT8};
    struct fm_type inner = {.kind = FM_KIND_LIST, .child_count = 1, .children = &leaf};
    struct fm_type outer = {.kind = FM_KIND_LIST, .child_count = 1, .children = &inner};

    fm_type_encode(&type, &outer);
    fm_pack_array(&f->bytes, FM_COLUMNS_MAX);
    for (uint32_t i = 0; i < FM_COLUMNS_MAX; i++) {
        fm_pack_array(&f->bytes, 3);
        fm_pack_str(&f->bytes, "c");
        fm_pack_bin_span(&f->bytes, fm_buf_span(&type));
        fm_pack_nil(&f->bytes);
    }
    assert_true(FM_COLUMNS_MAX * 3 > FM_TYPE_NODES_MAX);
    assert_int_equal(fm_columns_decode(fm_buf_span(&f->bytes), &columns), FM_LIMIT);
    fm_buf_free(&type);
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
        WITH_VECTORS(columns_come_back),
        WITH_VECTORS(no_columns_are_columns_too),
        WITH_VECTORS(wrong_columns_are_refused),
        WITH_VECTORS(types_of_all_columns_are_bounded_together),
        WITH_VECTORS(methods_have_names),
    };
    return cmocka_run_group_tests_name("records", tests, NULL, NULL);
}
