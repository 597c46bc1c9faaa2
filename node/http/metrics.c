/* GET /metrics: counts of this node, and no word of whom or what: no names of principals, tables or
 * statements. In the text form of OpenMetrics 1.0 for who asks for it, as Prometheus does; else in
 * the older one of Prometheus (0.0.4), which promtool reads. */
#include "node/http/call.h"
#include "node/http/server.h"
#include "node/pg/server.h"
#include "node/server.h"

#include <inttypes.h>

struct writer {
    struct fm_buf *out;
    bool is_open; /* OpenMetrics. */
};

/* A counter's family has no "_total" in OpenMetrics, an info's no "_info". */
static void put_family(struct writer *writer, const char *name, const char *type,
                       const char *suffix, const char *help)
{
    const char *end = writer->is_open ? "" : suffix;

    fm_buf_printf(writer->out, "# HELP folkmoot_%s%s %s\n# TYPE folkmoot_%s%s %s\n", name, end,
                  help, name, end, type);
}

static void put_gauge(struct writer *writer, const char *name, const char *help, uint64_t value)
{
    put_family(writer, name, "gauge", "", help);
    fm_buf_printf(writer->out, "folkmoot_%s %" PRIu64 "\n", name, value);
}

static void put_counter(struct writer *writer, const char *name, const char *help, uint64_t value)
{
    put_family(writer, name, "counter", "_total", help);
    fm_buf_printf(writer->out, "folkmoot_%s_total %" PRIu64 "\n", name, value);
}

static void put_ended(struct writer *writer, const char *name, const char *help,
                      struct fm_counters_of *of)
{
    put_family(writer, name, "counter", "_total", help);
    for (int status = 0; status < FM_STATUS_COUNT; status++) {
        fm_buf_printf(writer->out, "folkmoot_%s_total{status=\"", name);
        fm_http_status_name((enum fm_status)status, writer->out);
        fm_buf_printf(writer->out, "\"} %" PRIuFAST64 "\n", atomic_load(&of->ended[status]));
    }
}

static void put_work(struct writer *writer, struct fm_counters *counters)
{
    put_ended(writer, "queries", "Queries asked here, by how they ended.", &counters->queries);
    put_counter(writer, "query_rows", "Rows of answers.", atomic_load(&counters->queries.rows));
    put_counter(writer, "query_bytes", "Bytes of answers.", atomic_load(&counters->queries.bytes));
    put_ended(writer, "fragments", "Parts of queries answered here, by how they ended.",
              &counters->fragments);
    put_counter(writer, "fragment_rows", "Rows of fragments.",
                atomic_load(&counters->fragments.rows));
    put_counter(writer, "fragment_bytes", "Bytes of fragments.",
                atomic_load(&counters->fragments.bytes));
}

static void put_places(struct writer *writer, const char *name, const char *help,
                       const uint32_t values[FM_PLACE_KINDS])
{
    static const char *const kinds[FM_PLACE_KINDS] = {
        [FM_PLACE_PLAN] = "plan", [FM_PLACE_MERGE] = "merge", [FM_PLACE_PASS] = "pass",
        [FM_PLACE_SQL] = "sql",   [FM_PLACE_SCAN] = "scan",
    };

    put_family(writer, name, "gauge", "", help);
    for (uint32_t i = 0; i < FM_PLACE_KINDS; i++)
        fm_buf_printf(writer->out, "folkmoot_%s{kind=\"%s\"} %" PRIu32 "\n", name, kinds[i],
                      values[i]);
}

static void put_gossip(struct writer *writer, struct fm_membership *membership)
{
    struct gossip_counters of;

    fm_membership_counters(membership, &of);
    put_counter(writer, "gossip_packets_in", "Gossip packets received.", of.packets_in);
    put_counter(writer, "gossip_packets_out", "Gossip packets sent.", of.packets_out);
    put_counter(writer, "gossip_bytes_in", "Bytes of them.", of.bytes_in);
    put_counter(writer, "gossip_bytes_out", "Bytes of them.", of.bytes_out);
    put_counter(writer, "gossip_malformed", "Packets that did not decode.", of.malformed);
    put_counter(writer, "gossip_forged", "Packets with a wrong seal or signature.", of.forged);
    put_counter(writer, "gossip_probes", "Probes of members.", of.probes);
    put_counter(writer, "gossip_probe_failures", "Probes without an answer.", of.probe_failures);
    put_counter(writer, "gossip_suspicions", "Members that became suspect.", of.suspicions);
    put_counter(writer, "gossip_deaths", "Members that were declared dead.", of.deaths);
    put_counter(writer, "gossip_refutations", "Own refutations.", of.refutations);
    put_counter(writer, "gossip_records", "New records.", of.records_new);
    put_counter(writer, "gossip_dropped", "Effects given up for want of room.", of.effects_dropped);
}

void fm_http_get_metrics(struct fm_http_call *call)
{
    struct fm_server *server = call->server;
    const char *accept = call->accept != NULL ? call->accept : "";
    struct writer writer = {
        .out = &call->out,
        .is_open = strstr(accept, "application/openmetrics-text") != NULL,
    };
    struct fm_admission_counts places;
    struct fm_transport_counts transport;

    fm_admission_counts(server->admission, &places);
    fm_transport_counts(server->transport, &transport);
    put_family(&writer, "build", writer.is_open ? "info" : "gauge", "_info", "The program.");
    fm_buf_put_str(writer.out, "folkmoot_build_info{version=\"" FM_VERSION "\"} 1\n");
    put_work(&writer, &server->counters);
    put_places(&writer, "places_used", "Places for work in use.", places.used);
    put_places(&writer, "places_waiting", "Work that waits for a place.", places.waiting);
    put_gauge(&writer, "sessions", "Sessions with programs and nodes.", transport.sessions);
    put_gauge(&writer, "node_connections", "Connections of them.", transport.pipes);
    put_gauge(&writer, "postgres_connections", "Connections of PostgreSQL clients.",
              server->postgres == NULL ? 0 : fm_pg_server_connections(server->postgres));
    put_gauge(&writer, "http_connections", "Connections of HTTP clients.",
              fm_http_server_connections(server->http));
    put_gossip(&writer, server->membership);
    fm_buf_put_str(writer.out, writer.is_open ? "# EOF\n" : "");
    call->type = writer.is_open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                                : "text/plain; version=0.0.4; charset=utf-8";
}
