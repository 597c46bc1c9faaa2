#include "tests/support/record_examples.h"

#include "client/catalog.h"
#include "client/statistics.h"
#include "core/statistics.h"

#define FILL(field, value) memset(&(field), value, sizeof(field))

struct fm_request example_request(void)
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

struct fm_fragment example_fragment(enum fm_fragment_kind kind)
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

struct fm_given example_given(void)
{
    return (struct fm_given){
        .domain = "airports",
        .table = "airport",
        .columns = fm_span_str("columns"),
        .field_count = 2,
        .fields = example_fields,
        .batch = fm_span_str("batch"),
    };
}

struct fm_ticket example_ticket(void)
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

struct fm_receipt example_receipt(void)
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

struct fm_answer example_answer(void)
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

struct fm_bundle example_bundle(void)
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

struct fm_contract example_contract(void)
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

static void put_table_statistics(struct fm_buf *out)
{
    struct fm_column_figures columns[] = {
        {.field_id = 1, .distinct = 229, .bytes = 3000000, .min_len = 4, .max_len = 4},
        {.field_id = 3, .nulls = 12, .bytes = 6000000},
    };

    memcpy(columns[0].min, "\3ABE", 4);
    memcpy(columns[0].max, "\3YUM", 4);
    fm_statistics_encode(out, &(struct fm_statistics){.domain = "flights",
                                                      .table = "delays",
                                                      .epoch = 2,
                                                      .version = 7,
                                                      .time = INT64_C(1767225600000000),
                                                      .schema_version = 1,
                                                      .rows = 3000000,
                                                      .bytes = 9000000,
                                                      .column_count = 2,
                                                      .columns = columns});
}

static enum fm_status take_table_statistics(struct fm_span bytes)
{
    struct fm_statistics statistics;
    enum fm_status status = fm_statistics_decode(bytes, &statistics);

    if (status == FM_OK)
        fm_statistics_deinit(&statistics);
    return status;
}

struct fm_member_record example_member(void)
{
    struct fm_member_record record = {.incarnation = 7,
                                      .address = "[2001:db8::1]:7700",
                                      .claim = FM_MEMBER_ALIVE,
                                      .time = INT64_C(1767225600000000)};

    FILL(record.node, 1);
    FILL(record.cert, 2);
    return record;
}

struct fm_append_begin example_begin(void)
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

struct fm_append_ack example_ack(void)
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

/* ---- All of them in one table -------------------------------------------------------------- */

static void put_request(struct fm_buf *out)
{
    const struct fm_request request = example_request();
    fm_request_encode(out, &request);
}

static void put_request_token(struct fm_buf *out)
{
    struct fm_request request = example_request();

    request.token = fm_span_str("v4.public.token");
    fm_request_encode(out, &request);
}

static enum fm_status take_request(struct fm_span bytes)
{
    struct fm_request request;
    return fm_request_decode(bytes, &request);
}

static void put_query_body(struct fm_buf *out)
{
    fm_query_body_encode(out, &(struct fm_query_body){.sql = fm_span_str("SELECT 1")});
}

static void put_query_body_full(struct fm_buf *out)
{
    fm_query_body_encode(out, &(struct fm_query_body){
                                  .sql = fm_span_str("SELECT 1"),
                                  .rules_off = 0x14,
                                  .on_unavailable = FM_UNAVAILABLE_SKIP,
                                  .allows_partial_aggregates = true,
                                  .head_count = 2,
                                  .heads = {fm_span_str("head 1"), fm_span_str("head 2")},
                              });
}

static void put_query_body_fragments(struct fm_buf *out)
{
    fm_query_body_encode(
        out, &(struct fm_query_body){.sql = fm_span_str("SELECT 1"), .with_fragments = true});
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

static void put_sql_given(struct fm_buf *out)
{
    struct fm_fragment fragment = example_fragment(FM_FRAGMENT_SQL);
    struct fm_given given[2] = {example_given(), example_given()};

    given[1].at = (struct fm_at){FM_AT_VERSION, 9};
    given[1].batch = fm_span_str("");
    fragment.given_count = 2;
    fragment.given = given;
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

static void put_receipt_timed(struct fm_buf *out)
{
    struct fm_receipt receipt = example_receipt();

    receipt.work_us = 1234;
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

static void put_answer_missing(struct fm_buf *out)
{
    struct fm_answer answer = example_answer();

    answer.origin = FM_ROWS_MERGED;
    answer.missing_count = 2;
    answer.missing[0] = (struct fm_answer_missing){
        .number = 1,
        .domain = "crew",
        .owner_name = "north",
        .state = FM_FRAGMENT_UNREACHABLE,
        .reason = fm_span_str("nobody answers"),
    };
    answer.missing[1] = (struct fm_answer_missing){
        .number = 3,
        .domain = "fleet",
        .owner_name = "south",
        .state = FM_FRAGMENT_CUT_OFF,
        .rows = 1000,
        .reason = fm_span_str("the link broke"),
    };
    FILL(answer.missing[0].owner, 9);
    FILL(answer.missing[1].owner, 10);
    fm_answer_encode(out, &answer);
}

static void put_answer_own(struct fm_buf *out)
{
    struct fm_answer answer = example_answer();

    answer.origin = FM_ROWS_MERGED;
    answer.own_count = 2;
    answer.own[0] = (struct fm_answer_own){.number = 0, .table = "receipts", .rows = 1000};
    answer.own[1] = (struct fm_answer_own){.number = 5, .table = "nodes", .rows = 3};
    FILL(answer.own[0].root, 11);
    FILL(answer.own[1].root, 12);
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

static void put_bundle_fragments(struct fm_buf *out)
{
    struct fm_bundle bundle = example_bundle();

    bundle.has_columns = true;
    bundle.columns[0] = fm_span_str("columns");
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

static void put_opened(struct fm_buf *out)
{
    fm_opened_encode(out, &(struct fm_opened){fm_span_str("columns"), true, 300,
                                              fm_span_str("batch"), fm_span_str("end")});
}

static void put_opened_query(struct fm_buf *out)
{
    fm_opened_encode(out, &(struct fm_opened){.columns = fm_span_str("columns")});
}

static enum fm_status take_opened(struct fm_span bytes)
{
    struct fm_opened opened;
    return fm_opened_decode(bytes, &opened);
}

static void put_append_begin(struct fm_buf *out)
{
    const struct fm_append_begin begin = example_begin();
    fm_append_begin_encode(out, &begin);
}

static void put_append_begin_memory(struct fm_buf *out)
{
    struct fm_append_begin begin = example_begin();

    begin.durability = FM_DURABLE_MEMORY;
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

static void put_append_commit_many(struct fm_buf *out)
{
    struct fm_buf other = FM_BUF_INIT(0);
    struct fm_append_commit commit = {.batches = 1, .rows = 3};

    FILL(commit.append, 3);
    FILL(commit.root, 4);
    fm_append_commit_encode(&other, &commit);
    commit = (struct fm_append_commit){.batches = 2, .rows = 10, .other_count = 1};
    FILL(commit.append, 1);
    FILL(commit.root, 2);
    commit.others[0] = fm_buf_span(&other);
    fm_append_commit_encode(out, &commit);
    fm_buf_free(&other);
}

static void put_append_acks(struct fm_buf *out)
{
    const struct fm_span acks[] = {fm_span_str("one"), fm_span_str("another")};

    fm_append_acks_encode(out, acks, 2);
}

static enum fm_status take_append_acks(struct fm_span bytes)
{
    struct fm_span acks[2];

    return fm_append_acks_decode(bytes, 2, acks);
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

static void put_statistics(struct fm_buf *out)
{
    struct fm_column_bytes columns[] = {{fm_span_str("origin"), 300},
                                        {fm_span_str("delay"), 70000}};
    struct fm_statistics_report report = {
        .domain = "flights",
        .store = {1ULL << 40, 256 << 20, 1, 5000000, 600000, 700000, 800000, 0},
        .table_count = 1,
        .tables = {{.table = "departures",
                    .numbers = {1000, 900, 40, 4000, 1, 70300, 60, 108, 5000, 200, 9000, 50},
                    .column_count = 2,
                    .columns = columns}},
    };

    fm_statistics_report_encode(out, &report);
}

static enum fm_status take_statistics(struct fm_span bytes)
{
    struct fm_statistics_report report = {0};
    enum fm_status status = fm_statistics_report_decode(bytes, &report);

    fm_statistics_report_deinit(&report);
    return status;
}

static void put_erase_ask(struct fm_buf *out)
{
    fm_erase_ask_encode(
        out, &(struct fm_erase_ask){.domain = "shop", .subject = fm_span_str("customer-17")});
}

static enum fm_status take_erase_ask(struct fm_span bytes)
{
    struct fm_erase_ask ask;

    return fm_erase_ask_decode(bytes, &ask);
}

static void put_erase_reply(struct fm_buf *out)
{
    fm_erase_reply_encode(out, &(struct fm_erase_reply){.table_count = 300, .is_gone = true});
}

static enum fm_status take_erase_reply(struct fm_span bytes)
{
    struct fm_erase_reply reply;

    return fm_erase_reply_decode(bytes, &reply);
}

const struct record_example record_examples[] = {
    {"request", put_request, take_request, 0},
    {"request-token", put_request_token, take_request, 1u << 8},
    {"query-body", put_query_body, take_query_body, 0},
    {"query-body-full", put_query_body_full, take_query_body, 1u << 1 | 1u << 3 | 1u << 4},
    {"query-body-fragments", put_query_body_fragments, take_query_body, 1u << 5},
    {"fragment-scan", put_scan, take_fragment, 0},
    {"fragment-sql", put_sql, take_fragment, 0},
    {"fragment-sql-given", put_sql_given, take_fragment, 1u << 6},
    {"ticket", put_ticket, take_ticket, 0},
    {"receipt", put_receipt, take_receipt, 0},
    {"receipt-timed", put_receipt_timed, take_receipt, UINT64_C(1) << 32},
    {"answer", put_answer, take_answer, 0},
    {"answer-missing", put_answer_missing, take_answer, UINT64_C(1) << 14},
    {"answer-own", put_answer_own, take_answer, UINT64_C(1) << 15},
    {"bundle", put_bundle, take_bundle, 0},
    {"bundle-fragments", put_bundle_fragments, take_bundle, 1u << 6},
    {"contract", put_contract, take_contract, 0},
    {"member", put_member, take_member, 0},
    {"call", put_call, take_call, 0},
    {"reply", put_reply, take_reply, 0},
    {"reply-refused", put_refusal, take_reply, 0},
    {"fetch", put_fetch, take_fetch, 0},
    {"part", put_part, take_part, 0},
    {"opened", put_opened, take_opened, 1u << 1 | 1u << 2 | 1u << 3},
    {"opened-query", put_opened_query, take_opened, 0},
    {"append-begin", put_append_begin, take_append_begin, 1u << 5},
    {"append-begin-memory", put_append_begin_memory, take_append_begin, 1u << 5 | 1u << 6},
    {"append-rows", put_append_rows, take_append_rows, 0},
    {"append-commit", put_append_commit, take_append_commit, 0},
    {"append-commit-many", put_append_commit_many, take_append_commit, 1u << 4},
    {"append-acks", put_append_acks, take_append_acks, 0},
    {"append-ack", put_append_ack, take_append_ack, 0},
    {"statistics", put_statistics, take_statistics, 0},
    {"table-statistics", put_table_statistics, take_table_statistics, 0},
    {"erase", put_erase_ask, take_erase_ask, 0},
    {"erase-reply", put_erase_reply, take_erase_reply, 0},
};

const size_t record_example_count = sizeof record_examples / sizeof record_examples[0];
