#!/usr/bin/env bash
# curl on every path of a node's HTTP interface: health, metrics, queries in each form, what is refused
# and how, traces, clients that go away or dawdle, TLS where another machine could reach it.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
BIN=$FM_BIN_DIR

if ! command -v curl >/dev/null; then
    say "skipped: curl is not installed (Debian's curl)"
    exit 77
fi

contract() {
    cat <<YAML
apiVersion: v3.1.0
kind: DataContract
id: $2
name: $1
version: 1.0.0
status: active
domain: $1
dataProduct: things
schema:
  - name: things
    logicalType: object
    physicalType: table
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        required: true
      - name: text
        logicalType: string
YAML
}

mesh_begin http
for domain in north south; do
    mesh_make_node "$domain"
    mesh_start_node "$domain" "" --http 127.0.0.1:0
    mesh_make_principal "$domain-team" reader "owner:$domain"
done
mesh_make_principal analyst reader
contract north 11111111-1111-4111-8111-111111111111 >"$MESH_DIR/north.yaml"
contract south 22222222-2222-4222-8222-222222222222 >"$MESH_DIR/south.yaml"
for domain in north south; do
    mesh_as "$domain-team" "$domain" product apply "$MESH_DIR/$domain.yaml" >/dev/null
    { echo id,text && seq 1 1000 | sed "s/\$/,$domain/"; } >"$MESH_DIR/rows.csv"
    mesh_as "$domain-team" "$domain" append "$domain.things" "$MESH_DIR/rows.csv" >/dev/null
done
mesh_wait analyst north 2 2

# The port for HTTP clients that the log of node $1 tells.
http_port() { sed -n 's/.*event=http port=\([0-9]*\).*/\1/p' "$MESH_DIR/$1.log" | tail -n 1; }

port=$(http_port north)
base=http://127.0.0.1:$port
token=$(mesh_as analyst north token)
ask() { curl -sS --max-time 30 -H "Authorization: Bearer $token" "$@"; }
query() { # SQL; then options
    local sql=$1
    shift
    ask -H "Content-Type: text/plain" --data-binary "$sql" "$@" "$base/v1/query"
}
status() { curl -s --max-time 30 -o "$MESH_DIR/body" -D "$MESH_DIR/head" -w '%{http_code}' "$@"; }
same() { # what, wanted, got
    [ "$2" = "$3" ] || die "$1: '$3', not '$2'"
}
has() { # what, words, file
    grep -q -- "$2" "$3" || die "$1: no '$2': $(head -c 2000 "$3")"
}
auth=(-H "Authorization: Bearer $token")
json=(-H "Content-Type: application/json")

exec 3<>"/dev/tcp/127.0.0.1/$port"
begun=$SECONDS
( # A byte a second: never idle, never whole.
    printf 'POST /v1/query HTTP/1.1\r\nHost: x\r\n' >&3
    while sleep 1; do printf 'X' >&3 || exit 0; done
) 2>/dev/null &
dawdler=$!

say "health, readiness, metrics: without a token"
same healthz 200 "$(status "$base/healthz")"
same readyz 200 "$(status "$base/readyz")"
has readyz '"node":"north"' "$MESH_DIR/body"
same metrics 200 "$(status "$base/metrics")"
has metrics '^folkmoot_http_connections [12]$' "$MESH_DIR/body"
has "the type of metrics" 'text/plain; version=0.0.4' "$MESH_DIR/head"
if command -v promtool >/dev/null; then
    promtool check metrics <"$MESH_DIR/body" || die "promtool finds fault with metrics"
else
    say "promtool is not installed (Debian's prometheus): it does not check metrics"
fi
same openmetrics 200 "$(status -H 'Accept: application/openmetrics-text; version=1.0.0' \
    "$base/metrics")"
has "the type of openmetrics" 'application/openmetrics-text; version=1.0.0' "$MESH_DIR/head"
has "a counter's family" '^# TYPE folkmoot_queries counter$' "$MESH_DIR/body"
same "the end of openmetrics" "# EOF" "$(tail -n 1 "$MESH_DIR/body")"

say "a query: JSON, NDJSON, CSV"
join="SELECT n.id, n.text AS n, s.text AS s FROM north.things n JOIN south.things s USING (id)
      WHERE n.id <= 2 ORDER BY 1"
query "$join" >"$MESH_DIR/out"
has "columns" '^{"columns":\[{"name":"id","type":"[a-z0-9]*"},{"name":"n","type":"varchar"},' \
    "$MESH_DIR/out"
has "rows" '^\[1,"north","south"\],$' "$MESH_DIR/out"
has "receipts" '"rows":2,"complete":true,"receipts":\[{"domain":' "$MESH_DIR/out"
has "heads" '"heads":\[{"origin":"[^"]*","size":1000,"root":"[0-9a-f]\{64\}"}\]' "$MESH_DIR/out"
if command -v python3 >/dev/null; then
    python3 -c 'import json, sys; a = json.load(sys.stdin); assert len(a["rows"]) == 2, a' \
        <"$MESH_DIR/out" || die "the answer is no JSON"
fi
query "$join" -H "Accept: application/x-ndjson" >"$MESH_DIR/out"
same "ndjson: rows and answer" 3 "$(wc -l <"$MESH_DIR/out")"
same "ndjson: a row" '{"id":1,"n":"north","s":"south"}' "$(head -n 1 "$MESH_DIR/out")"
has "ndjson: the answer" '^{"answer":{"query":"[0-9a-f]\{32\}"' "$MESH_DIR/out"
same "csv" "$(printf 'id,n,s\n1,north,south\n2,north,south')" \
    "$(query "$join" -H "Accept: text/csv, application/json;q=0.5")"
same "csv: NULL, empty, quotes" "$(printf 'a,b,c\n,"","x ""y"", z"')" \
    "$(query "SELECT NULL::VARCHAR AS a, '' AS b, 'x \"y\", z' AS c" -H "Accept: text/csv")"
same "many rows" 200001 "$(query "SELECT * FROM range(200000) r(i)" -H "Accept: text/csv" | wc -l)"

say "a body in JSON, with its options"
same "json body" 200 "$(status "${auth[@]}" "${json[@]}" -d '{"sql": "SELECT 1 AS one",
    "on_unavailable": "skip", "without": ["reduce"], "time_limit_ms": 5000}' "$base/v1/query")"
has "json body" '^\[1\]$' "$MESH_DIR/body"

say "traceparent: taken and answered, and in the answer"
trace=0af7651916cd43dd8448eb211c80319c
same trace 200 "$(status "${auth[@]}" -H "Content-Type: text/plain" -d 'SELECT 1' \
    -H "traceparent: 00-$trace-b7ad6b7169203331-01" "$base/v1/query")"
has "the answer's header" "^traceparent: 00-$trace-[0-9a-f]\{16\}-01" "$MESH_DIR/head"
has "the answer" "\"trace\":\"$trace\"" "$MESH_DIR/body"

say "the catalog"
same products 200 "$(status "${auth[@]}" "$base/v1/products")"
has products '"domain":"south","product":"[^"]*","version":"1.0.0","tables":\["things"\]' \
    "$MESH_DIR/body"
same contract 200 "$(status "${auth[@]}" "$base/v1/products/south/things")"
cmp "$MESH_DIR/south.yaml" "$MESH_DIR/body" || die "the contract is not as it was published"
same "no such product" 404 "$(status "${auth[@]}" "$base/v1/products/south/nothing")"
same nodes 200 "$(status "${auth[@]}" "$base/v1/nodes")"
has nodes '"name":"south","state":"alive"' "$MESH_DIR/body"

say "what goes wrong has a status and problem details"
problem() { # what, status, code, curl's arguments
    same "$1" "$2" "$(status "${@:4}")"
    has "$1" '^content-type: application/problem+json' <(tr A-Z a-z <"$MESH_DIR/head")
    has "$1" "\"code\":\"$3\",\"status\":$2," "$MESH_DIR/body"
}
sql=(-H "Content-Type: text/plain" -d)
problem "no token" 401 refused "${sql[@]}" 'SELECT 1' "$base/v1/query"
has "no token" '^WWW-Authenticate: Bearer' "$MESH_DIR/head"
for path in v1/products v1/products/south/things v1/nodes; do
    problem "no token: $path" 401 refused "$base/$path"
done
problem "another node's token" 401 refused "${sql[@]}" 'SELECT 1' "$base/v1/query" \
    -H "Authorization: Bearer $(mesh_as analyst south token)"
problem "a letter changed" 401 refused "${sql[@]}" 'SELECT 1' "$base/v1/query" \
    -H "Authorization: Bearer ${token/v4.public.e/v4.public.f}"
problem "no SQL" 400 invalid "${auth[@]}" "${sql[@]}" 'SELEC 1' "$base/v1/query"
problem "no such table" 404 notfound "${auth[@]}" "${sql[@]}" 'FROM north.nothing' "$base/v1/query"
problem "an unknown option" 400 invalid "${auth[@]}" "${json[@]}" -d '{"sql":"SELECT 1","x":1}' \
    "$base/v1/query"
problem "no JSON" 400 invalid "${auth[@]}" "${json[@]}" -d '{"sql"' "$base/v1/query"
problem "an unknown type" 415 unsupported "${auth[@]}" -H "Content-Type: text/html" -d x \
    "$base/v1/query"
problem "an unknown form" 406 unsupported "${auth[@]}" "${sql[@]}" 'SELECT 1' \
    -H "Accept: image/png" "$base/v1/query"
problem "another method" 405 unsupported "${auth[@]}" -X DELETE "$base/v1/query"
problem "no such path" 404 notfound "$base/v2"
slow="SELECT count(*) FROM range(1000000) a(x), range(1000000) b(y) WHERE (a.x * b.y) % 7 = 3"
problem "out of time" 504 timeout "${auth[@]}" "${json[@]}" \
    -d "{\"sql\": \"$slow\", \"time_limit_ms\": 300}" "$base/v1/query"

say "what fails behind the first rows breaks the connection off, and says why where it can"
late="SELECT CASE WHEN i < 190000 THEN i ELSE CAST('x' || i AS BIGINT) END AS i FROM range(200000) r(i)"
for form in application/json application/x-ndjson text/csv; do
    result=0
    query "$late" -H "Accept: $form" >"$MESH_DIR/out" 2>/dev/null || result=$?
    same "$form: curl's exit status" 18 "$result"
    [ "$(wc -l <"$MESH_DIR/out")" -gt 1000 ] || die "$form: no rows before the failure"
    [ "$form" = text/csv ] || has "$form" '"error":{"code":"invalid","detail":"' "$MESH_DIR/out"
done

say "bounds: a large body, large headers"
head -c 400000 /dev/zero | tr '\0' x >"$MESH_DIR/large"
problem "a large body" 413 limit "${auth[@]}" -H "Content-Type: text/plain" \
    --data-binary "@$MESH_DIR/large" "$base/v1/query"
problem "a large body in chunks" 413 limit "${auth[@]}" -H "Content-Type: text/plain" \
    -H "Transfer-Encoding: chunked" --data-binary "@$MESH_DIR/large" "$base/v1/query"
same "large headers" 431 "$(status -H "X: $(head -c 60000 "$MESH_DIR/large")" "$base/healthz")"

say "connections of one address are bounded, and queries go on in those that are there"
held=()
for _ in $(seq 60); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$port"
    held+=("$fd")
done
same "beside them" 200 "$(status "${auth[@]}" "${sql[@]}" 'SELECT 1' "$base/v1/query")"
for _ in $(seq 4); do
    exec {fd}<>"/dev/tcp/127.0.0.1/$port"
    held+=("$fd")
done
same "one too many" 000 "$(status "$base/healthz")"
for fd in "${held[@]}"; do exec {fd}>&-; done
for _ in $(seq 50); do
    [ "$(status "$base/healthz")" != 200 ] || break
    sleep 0.1
done
same "when they are gone" 200 "$(status "$base/healthz")"

say "a client that goes ends its query"
ended() { # status
    curl -s "$base/metrics" | sed -n "s/^folkmoot_queries_total{status=\"$1\"} //p"
}
before=$(ended cancelled)
timeout 1 curl -s "${auth[@]}" "${sql[@]}" "$slow" "$base/v1/query" >/dev/null || true
for _ in $(seq 50); do
    [ "$(ended cancelled)" -gt "$before" ] && break
    sleep 0.1
done
[ "$(ended cancelled)" -gt "$before" ] || die "the query of a client that went goes on"

say "TLS only where another machine could reach it, with the node's own certificate"
mesh_stop_node south
mesh_start_node south "" --http 0.0.0.0:0
south=$(http_port south)
same "verified" 200 "$(status --cacert "$MESH_DIR/south/tls.crt" "https://localhost:$south/healthz")"
same "another certificate" 000 "$(status "https://localhost:$south/healthz")"
same "plain" 000 "$(status "http://127.0.0.1:$south/healthz")"

say "an owner that is away: an error, or said to be left out"
mesh_kill_node south
all="SELECT id FROM north.things UNION ALL SELECT id FROM south.things"
problem "an owner is away" 502 unavailable "${auth[@]}" "${sql[@]}" "$all" "$base/v1/query"
ask "${json[@]}" -d "{\"sql\": \"$all\", \"on_unavailable\": \"skip\"}" "$base/v1/query" \
    >"$MESH_DIR/out"
has "skipped" '"rows":1000,"complete":false,.*"missing":\[{"domain":"south"' "$MESH_DIR/out"

say "the request that dawdled was ended"
timeout 20 cat <&3 >/dev/null || die "it goes on after $((SECONDS - begun)) s"
kill $dawdler 2>/dev/null || true
same "the node goes on" 200 "$(status "$base/healthz")"
grep -q "$token" "$MESH_DIR"/*.log && die "a token stands in a log"
mesh_stop_node north
