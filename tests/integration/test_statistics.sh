#!/usr/bin/env bash
# folkmoot product show --statistics on a real node: figures of a known history, in each form, from the
# owner only; below the free-space limit appends are refused with the reason, and reads go on.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
DATA=$FM_DATA_DIR

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    cat "$MESH_DIR/said" >&2
    exit 1
}

# The statistics as CSV, to the file `figures`. $1: who asks.
look() {
    mesh_as "$1" airports product show airports.airport --statistics --format csv \
        >"$MESH_DIR/figures" 2>"$MESH_DIR/said" || fail "$1 gets no statistics"
}

# $1: table, or nothing; $2: column, or nothing; $3: statistic. Prints the value.
figure() {
    awk -F, -v table="$1" -v column="$2" -v name="$3" \
        'NR > 1 && $1 == table && $2 == column && $3 == name { print $4 }' "$MESH_DIR/figures"
}

# As figure(), with the value wanted.
is() {
    local value
    value=$(figure "$1" "$2" "$3")
    [ "$value" = "$4" ] || fail "$1 $2 $3 is '$value', not $4"
}

append() {
    head -n "$1" "$DATA/airports.csv" >"$MESH_DIR/part.csv"
    mesh_as airports-team airports append airports.airport "$MESH_DIR/part.csv" \
        >"$MESH_DIR/said" 2>&1
}

restart() {
    kill -TERM "${MESH_PID[airports]}"
    wait "${MESH_PID[airports]}"
    unset "MESH_PID[airports]"
    mesh_start_node airports
}

mesh_begin test
: >"$MESH_DIR/said"
mesh_make_node airports
mesh_start_node airports
mesh_make_node other
mesh_start_node other
mesh_make_principal airports-team owner:airports
mesh_make_principal analyst reader
mesh_as airports-team airports product apply \
    "$FM_SOURCE_DIR/examples/contracts/airports.odcs.yaml" >/dev/null
mesh_wait analyst other 2 1

# Before the first fact.
look analyst
[ "$(head -n 1 "$MESH_DIR/figures")" = table,column,statistic,value ] || fail "no header"
is airport "" facts 0
is airport "" segment_bytes 0
is airport iata column_bytes 0
is "" "" appended_bytes 0
is "" "" write_amplification ""

# 3,000 airports as a segment, then 100 of them again as hot rows.
append 3001
append 101
look analyst
is airport "" facts 3100
is airport "" rows_latest 3000
is airport "" hot_rows 100
is airport "" segment_count 1
is airport "" appended_facts 3100
is "" "" accepts_appends 1
is "" "" free_bytes_min $((256 << 20))
[ "$(figure airport iata column_bytes)" -gt 3000 ] || fail "iata takes too little"
sum=$(awk -F, '$3 == "column_bytes" { sum += $4 } END { print sum }' "$MESH_DIR/figures")
is airport "" segment_bytes "$sum"
[ "$(figure "" "" log_bytes)" -ge "$sum" ] || fail "the log has fewer bytes than the segment"
awk -v a="$(figure "" "" appended_bytes)" -v w="$(figure "" "" write_amplification)" \
    -v b="$(($(figure "" "" log_bytes) + $(figure "" "" flush_bytes) + $(figure "" "" compaction_bytes)))" \
    'BEGIN { d = b / a - w; exit !(a > 0 && d < 0.001 && d > -0.001) }' ||
    fail "the write amplification is not what was written for what was appended"

# Other forms, and who may ask where.
mesh_as analyst airports product show airports --statistics --format ndjson >"$MESH_DIR/said"
grep -qx '{"table":"airport","column":null,"statistic":"facts","value":3100}' "$MESH_DIR/said" ||
    fail "no such line of NDJSON"
mesh_as analyst airports product show airports --statistics --format json >"$MESH_DIR/said"
grep -q '"statistic":"write_amplification"' "$MESH_DIR/said" || fail "no JSON"
status=0
mesh_as analyst other product show airports --statistics >"$MESH_DIR/said" 2>&1 || status=$?
[ "$status" -eq 65 ] || fail "another node: exit status $status"
grep -q 'does not own domain airports' "$MESH_DIR/said" || fail "another node gives no reason"
status=0
mesh_as analyst airports product show airports.none --statistics >"$MESH_DIR/said" 2>&1 || status=$?
[ "$status" -eq 66 ] || fail "no such product: exit status $status"

# Less free space than the node is told to leave.
printf 'free_mib_min: 4294967295\n' >>"$MESH_DIR/airports/node.yaml"
restart
look analyst
is "" "" accepts_appends 0
is airport "" facts 3100
is airport "" appended_facts 0
status=0
append 50 || status=$?
[ "$status" -eq 75 ] || fail "an append on a full disk: exit status $status"
grep -q 'free space left, less than the 4294967295 MiB that appends leave' "$MESH_DIR/said" ||
    fail "a full disk is not the reason"
mesh_as analyst airports query 'SELECT count(*) AS n FROM airports.airport' --format csv \
    --no-receipts >"$MESH_DIR/said" 2>&1 || fail "no answer on a full disk"
[ "$(tail -n 1 "$MESH_DIR/said")" = 3000 ] || fail "another answer on a full disk"
look analyst
is airport "" facts 3100
printf 'ok\n'
