/* Bodies of catalog calls, a node's request and its invite: what is encoded is decoded, and no cut
 * or changed form is. */
#include "client/catalog.h"

#include "node/cli/invite.h"
#include "tests/support/test_mesh.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    struct fm_buf bytes;
    struct fm_product_plan plan;
    struct fm_product_plan plan_back;
    struct fm_product_show show;
    struct fm_product_show show_back;
};

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct fixture));
    return *state == NULL || fm_core_init(NULL) != FM_OK ? -1 : 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fm_buf_free(&f->bytes);
    free(f);
    return 0;
}

static void plan_comes_back(void **state)
{
    struct fixture *f = *state;

    f->plan = (struct fm_product_plan){
        .domain = "shop",
        .product = "Orders",
        .product_version = "1.0.0",
        .record_version = 7,
        .table_count = 2,
        .tables = {{"orders", 2, FM_TABLE_CHANGED}, {"lines", 1, FM_TABLE_NEW}},
        .line_count = 1,
        .lines = {fm_span_str("a difference")},
    };
    fm_product_plan_encode(&f->bytes, &f->plan);
    assert_int_equal(fm_buf_status(&f->bytes), FM_OK);
    assert_int_equal(fm_product_plan_decode(fm_buf_span(&f->bytes), &f->plan_back), FM_OK);
    assert_string_equal(f->plan_back.product, "Orders");
    assert_int_equal(f->plan_back.record_version, 7);
    assert_int_equal(f->plan_back.tables[0].change, FM_TABLE_CHANGED);
    assert_string_equal(f->plan_back.tables[1].table, "lines");
    assert_true(fm_span_equal(f->plan_back.lines[0], f->plan.lines[0]));
    for (size_t len = 0; len < f->bytes.len; len++)
        assert_int_not_equal(fm_product_plan_decode(fm_span(f->bytes.data, len), &f->plan_back),
                             FM_OK);
}

static void checkpoint_comes_back(void **state)
{
    struct fixture *f = *state;
    struct fm_checkpoint_info info = {.commit = UINT64_C(1) << 40, .digest = {{1, 2, 3}}}, back;

    fm_checkpoint_info_encode(&f->bytes, &info);
    assert_int_equal(fm_checkpoint_info_decode(fm_buf_span(&f->bytes), &back), FM_OK);
    assert_int_equal(back.commit, info.commit);
    assert_memory_equal(&back.digest, &info.digest, sizeof info.digest);
    for (size_t len = 0; len < f->bytes.len; len++)
        assert_int_not_equal(fm_checkpoint_info_decode(fm_span(f->bytes.data, len), &back), FM_OK);
}

static void erasure_comes_back(void **state)
{
    struct fixture *f = *state;
    struct fm_erase_ask ask = {.domain = "shop", .subject = fm_span_str("customer 17")}, back;
    struct fm_erase_reply reply = {.was_erased = true, .table_count = 3}, reply_back;
    char *large = calloc(1, FM_SUBJECT_BYTES_MAX + 1);

    assert_non_null(large);
    fm_erase_reply_encode(&f->bytes, &reply);
    assert_int_equal(fm_erase_reply_decode(fm_buf_span(&f->bytes), &reply_back), FM_OK);
    assert_true(reply_back.was_erased && reply_back.table_count == 3 && !reply_back.is_gone);
    fm_buf_clear(&f->bytes);
    fm_erase_ask_encode(&f->bytes, &ask);
    assert_int_equal(fm_erase_ask_decode(fm_buf_span(&f->bytes), &back), FM_OK);
    assert_string_equal(back.domain, "shop");
    assert_true(fm_span_equal(back.subject, ask.subject));
    for (size_t len = 0; len < f->bytes.len; len++)
        assert_int_not_equal(fm_erase_ask_decode(fm_span(f->bytes.data, len), &back), FM_OK);
    for (uint32_t extra = 0; extra < 2; extra++) { /* The longest one, and one byte more. */
        memset(large, 'x', FM_SUBJECT_BYTES_MAX + 1);
        ask.subject = fm_span(large, FM_SUBJECT_BYTES_MAX + extra);
        fm_buf_clear(&f->bytes);
        fm_erase_ask_encode(&f->bytes, &ask);
        assert_int_equal(fm_erase_ask_decode(fm_buf_span(&f->bytes), &back) == FM_OK, extra == 0);
    }
    memcpy(ask.domain, "No Domain", 10);
    ask.subject = fm_span_str("");
    fm_buf_clear(&f->bytes);
    fm_erase_ask_encode(&f->bytes, &ask);
    assert_int_equal(fm_erase_ask_decode(fm_buf_span(&f->bytes), &back), FM_MALFORMED);
    free(large);
}

static void list_comes_back(void **state)
{
    struct fixture *f = *state;
    struct fm_product_entry entry = {
        .domain = "shop",
        .product = "Orders",
        .product_version = "1",
        .owner = {{5}},
        .table_count = 2,
        .tables = {fm_span_str("orders"), fm_span_str("lines")},
    };
    struct fm_product_list back = {0};

    fm_product_list_encode(&f->bytes, &(struct fm_product_list){.count = 1, .items = &entry});
    assert_int_equal(fm_product_list_decode(fm_buf_span(&f->bytes), &back), FM_OK);
    assert_int_equal(back.count, 1);
    assert_string_equal(back.items[0].domain, "shop");
    assert_memory_equal(&back.items[0].owner, &entry.owner, sizeof entry.owner);
    assert_true(fm_span_equal(back.items[0].tables[1], entry.tables[1]));
    fm_product_list_deinit(&back);
    for (size_t len = 0; len < f->bytes.len; len++)
        assert_int_not_equal(fm_product_list_decode(fm_span(f->bytes.data, len), &back), FM_OK);
}

static void show_comes_back(void **state)
{
    struct fixture *f = *state;
    struct fm_product_ask ask = {.domain = "shop", .name = "orders"}, ask_back;

    f->show = (struct fm_product_show){
        .domain = "shop",
        .product = "Orders",
        .product_version = "1",
        .schema_count = 1,
        .schemas = {fm_span_str("schema")},
        .yaml = fm_span_str("yaml"),
    };
    fm_product_show_encode(&f->bytes, &f->show);
    assert_int_equal(fm_product_show_decode(fm_buf_span(&f->bytes), &f->show_back), FM_OK);
    assert_true(fm_span_equal(f->show_back.schemas[0], f->show.schemas[0]));
    assert_true(fm_span_equal(f->show_back.yaml, f->show.yaml));
    fm_buf_clear(&f->bytes);
    fm_product_ask_encode(&f->bytes, &ask);
    assert_int_equal(fm_product_ask_decode(fm_buf_span(&f->bytes), &ask_back), FM_OK);
    assert_string_equal(ask_back.name, "orders");
}

static void members_come_back(void **state)
{
    struct fixture *f = *state;
    struct fm_member_info members[] = {
        {.node = {{1}},
         .name = "a",
         .state = FM_VIEW_ALIVE,
         .address = "[::1]:7410",
         .domain_count = 1,
         .domains = {fm_span_str("shop")},
         .incarnation = 3,
         .since_ms = 1000,
         .round_trip_ms = -1},
        {.node = {{2}}, .name = "b", .state = FM_VIEW_LEFT, .round_trip_ms = 7},
    };
    struct fm_member_list back = {0};

    fm_member_list_encode(&f->bytes, &(struct fm_member_list){.count = 2, .items = members});
    assert_int_equal(fm_member_list_decode(fm_buf_span(&f->bytes), &back), FM_OK);
    assert_int_equal(back.count, 2);
    assert_string_equal(back.items[0].address, "[::1]:7410");
    assert_int_equal(back.items[0].round_trip_ms, -1);
    assert_int_equal(back.items[1].state, FM_VIEW_LEFT);
    assert_string_equal(fm_member_view_text(back.items[1].state), "left");
    fm_member_list_deinit(&back);
    for (size_t len = 0; len < f->bytes.len; len++)
        assert_int_not_equal(fm_member_list_decode(fm_span(f->bytes.data, len), &back), FM_OK);
}

static void empty_and_contract_bodies_come_back(void **state)
{
    struct fixture *f = *state;
    struct fm_span yaml = {0};

    fm_empty_body_encode(&f->bytes);
    assert_int_equal(fm_empty_body_decode(fm_buf_span(&f->bytes)), FM_OK);
    assert_int_equal(fm_empty_body_decode(fm_span("\x90", 1)), FM_MALFORMED);
    fm_buf_clear(&f->bytes);
    fm_product_request_encode(&f->bytes, fm_span_str("kind: DataContract\n"));
    assert_int_equal(fm_product_request_decode(fm_buf_span(&f->bytes), &yaml), FM_OK);
    assert_true(fm_span_equal(yaml, fm_span_str("kind: DataContract\n")));
}

static void node_request_is_signed_by_the_key_it_names(void **state)
{
    struct fixture *f = *state;
    struct fm_key *key = test_key(FM_KEY_SIGN, 3), *other = test_key(FM_KEY_SIGN, 4);
    struct fm_node_request request = {.name = "n", .node = {{9}}}, back;

    assert_true(key != NULL && other != NULL);
    request.sign_key = *fm_key_public(key);
    assert_int_equal(fm_node_request_seal(&request, key, &f->bytes), FM_OK);
    assert_int_equal(fm_node_request_open(fm_buf_span(&f->bytes), &back), FM_OK);
    assert_string_equal(back.name, "n");
    for (size_t i = 0; i < f->bytes.len; i++) {
        f->bytes.data[i] ^= 1;
        assert_int_not_equal(fm_node_request_open(fm_buf_span(&f->bytes), &back), FM_OK);
        f->bytes.data[i] ^= 1;
    }
    fm_buf_clear(&f->bytes);
    assert_int_equal(fm_node_request_seal(&request, other, &f->bytes), FM_OK);
    assert_int_equal(fm_node_request_open(fm_buf_span(&f->bytes), &back), FM_FORGED);
    fm_key_free(key);
    fm_key_free(other);
}

static void invite_comes_back(void **state)
{
    struct fixture *f = *state;
    struct fm_invite invite = {
        .charter = fm_span_str("charter"),
        .cert = fm_span_str("certificate"),
        .gossip = fm_span_str("sealed"),
        .seed_count = 1,
        .seeds = {fm_span_str("127.0.0.1:7410")},
    };
    struct fm_invite back;

    fm_invite_encode(&f->bytes, &invite);
    assert_int_equal(fm_invite_decode(fm_buf_span(&f->bytes), &back), FM_OK);
    assert_true(fm_span_equal(back.cert, invite.cert));
    assert_true(fm_span_equal(back.seeds[0], invite.seeds[0]));
    for (size_t len = 0; len < f->bytes.len; len++)
        assert_int_not_equal(fm_invite_decode(fm_span(f->bytes.data, len), &back), FM_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(plan_comes_back),
        TEST(checkpoint_comes_back),
        TEST(erasure_comes_back),
        TEST(list_comes_back),
        TEST(show_comes_back),
        TEST(members_come_back),
        TEST(empty_and_contract_bodies_come_back),
        TEST(node_request_is_signed_by_the_key_it_names),
        TEST(invite_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
