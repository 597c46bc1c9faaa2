#!/usr/bin/env bash
# The main job with real processes and real data: three nodes, the five questions asked at every node,
# answers equal to DuckDB's, saved answers verified without a node, a node killed and brought back.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
DATA=$FM_DATA_DIR

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    for log in "$MESH_DIR"/*.log; do
        printf -- '--- %s\n' "$log" >&2
        tail -n 15 "$log" >&2
    done
    exit 1
}

mesh_begin test
mesh_demo_nodes
for domain in flights airports weather; do
    mesh_as "$domain-team" "$domain" product apply \
        "$FM_SOURCE_DIR/examples/contracts/$domain.odcs.yaml" >/dev/null
done
mesh_as flights-team flights append flights.delays "$DATA/flights-3m.parquet"
mesh_as airports-team airports append airports.airport "$DATA/airports.csv"
mesh_as weather-team weather append weather.daily "$DATA/weather.csv"
for domain in flights airports weather; do
    mesh_wait analyst "$domain" 3 3
done

# Each question at each node gives DuckDB's rows.
for path in "$FM_SOURCE_DIR"/examples/queries/*.sql; do
    name=$(basename "$path" .sql)
    "$BIN/reference" "$DATA" "$path" >"$MESH_DIR/$name.reference"
    [ "$(wc -l <"$MESH_DIR/$name.reference")" -gt 1 ] || fail "$name has no rows to compare"
    for node in flights airports weather; do
        mesh_as analyst "$node" query "$(cat "$path")" --format csv --no-receipts \
            --save "$MESH_DIR/$name.$node.answer" >"$MESH_DIR/$name.$node.csv" ||
            fail "$name at $node"
        cmp "$MESH_DIR/$name.reference" "$MESH_DIR/$name.$node.csv" || fail "$name at $node differs"
    done
done

# A changed byte anywhere in a saved answer is noticed, with a reason.
saved=$MESH_DIR/2-delay-by-state.weather.answer
size=$(stat -c %s "$saved")
for i in $(seq 0 24); do
    offset=$((size * i / 25))
    cp "$saved" "$MESH_DIR/changed"
    "$BIN/flip" "$MESH_DIR/changed" "$offset"
    status=0
    "$BIN/folkmoot" verify "$MESH_DIR/changed" --charter "$MESH_DIR/mesh/charter" \
        >"$MESH_DIR/said" 2>&1 || status=$?
    [ "$status" -ne 0 ] || fail "a change at byte $offset of $size was not noticed"
    grep -q 'folkmoot: ..*' "$MESH_DIR/said" || fail "no reason for the change at byte $offset"
done

# The owner of one table is gone: queries on it fail soon and name it, the others answer.
mesh_kill_node airports
start=$SECONDS
status=0
mesh_as analyst weather query "SELECT count(*) FROM airports.airport" >/dev/null \
    2>"$MESH_DIR/said" || status=$?
[ "$status" -eq 69 ] || fail "exit status $status when an owner is gone"
[ $((SECONDS - start)) -le 10 ] || fail "it took $((SECONDS - start)) s to notice"
grep -q 'domain airports on node airports' "$MESH_DIR/said" || fail "$(cat "$MESH_DIR/said")"
[ "$(mesh_as analyst weather query 'SELECT count(*) AS n FROM flights.delays' \
    --format csv --no-receipts | tail -n 1)" = 3000000 ] || fail "the others do not answer"

# It comes back with what it had, at the same address, and its peers find it.
mesh_start_node airports "${MESH_ADDRESS[airports]}"
mesh_wait analyst weather 3 3
mesh_as analyst weather query "$(cat "$FM_SOURCE_DIR/examples/queries/2-delay-by-state.sql")" \
    --format csv --no-receipts >"$MESH_DIR/again.csv"
cmp "$MESH_DIR/again.csv" "$MESH_DIR/2-delay-by-state.reference" || fail "other rows than before"

# A principal of another mesh is refused, whatever it asks.
"$BIN/folkmoot" mesh create other --dir "$MESH_DIR/other" >/dev/null
"$BIN/folkmoot" principal create eve --mesh "$MESH_DIR/other" --role reader \
    --out "$MESH_DIR/eve" >/dev/null
for verb in "members" "product list" "query SELECT"; do
    status=0
    # shellcheck disable=SC2086
    mesh_as eve flights $verb >/dev/null 2>"$MESH_DIR/said" || status=$?
    [ "$status" -eq 76 ] || [ "$status" -eq 77 ] || fail "eve may '$verb' (exit status $status)"
done

# SIGTERM stops a node cleanly.
for node in flights airports weather; do
    kill -TERM "${MESH_PID[$node]}"
    status=0
    wait "${MESH_PID[$node]}" || status=$?
    unset "MESH_PID[$node]"
    [ "$status" -eq 0 ] || fail "node $node ended with $status after SIGTERM"
    grep -q 'event=stopped' "$MESH_DIR/$node.log" || fail "node $node did not say goodbye"
done

# With no node running at all, saved answers are still verified.
for saved in "$MESH_DIR"/*.answer; do
    "$BIN/folkmoot" verify "$saved" --charter "$MESH_DIR/mesh/charter" >"$MESH_DIR/said" ||
        fail "verify $saved without a node"
    tail -n 1 "$MESH_DIR/said" | grep -q verified || fail "$(cat "$MESH_DIR/said")"
done
if "$BIN/folkmoot" verify "$saved" --charter "$MESH_DIR/other/charter" 2>/dev/null; then
    fail "an answer of one mesh was verified under another's charter"
fi
printf 'ok\n'
