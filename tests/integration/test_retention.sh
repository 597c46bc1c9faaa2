#!/usr/bin/env bash
# A contract with a retention on a real node: planned, published and shown; the node looks for old
# facts as it starts, finds none that old, and everything stays.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
DATA=$FM_DATA_DIR

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    cat "$MESH_DIR/said" "$MESH_DIR/airports.log" >&2
    exit 1
}

restart() {
    kill -TERM "${MESH_PID[airports]}"
    wait "${MESH_PID[airports]}" || fail "the node ends badly"
    unset "MESH_PID[airports]"
    mesh_start_node airports
}

# $1: verb. Publishes or plans the contract with what is in the file `sla`.
product() {
    cat "$FM_SOURCE_DIR/examples/contracts/airports.odcs.yaml" "$MESH_DIR/sla" \
        >"$MESH_DIR/contract.yaml"
    mesh_as airports-team airports product "$1" "$MESH_DIR/contract.yaml" >"$MESH_DIR/said" 2>&1
}

# $1: extended regular expression.
says() {
    grep -Eq -- "$1" "$MESH_DIR/said" || fail "it does not say: $1"
}

answer() {
    mesh_as airports-team airports query \
        'SELECT * FROM airports.airport ORDER BY iata' --format csv --no-receipts >"$1"
}

mesh_begin test
: >"$MESH_DIR/said"
mesh_make_node airports
mesh_start_node airports
mesh_make_principal airports-team reader owner:airports
: >"$MESH_DIR/sla"
product apply
mesh_as airports-team airports append airports.airport "$DATA/airports.csv" >"$MESH_DIR/said" 2>&1
head -n 101 "$DATA/airports.csv" >"$MESH_DIR/part.csv"
mesh_as airports-team airports append airports.airport "$MESH_DIR/part.csv" >"$MESH_DIR/said" 2>&1
answer "$MESH_DIR/answer.1"
restart
! grep -q 'looked for old facts' "$MESH_DIR/airports.log" || fail "there is nothing to look for"

# Not the way it is written.
printf 'slaProperties:\n  - {property: retention, value: 0, unit: d}\n' >"$MESH_DIR/sla"
status=0
product plan || status=$?
[ "$status" -eq 65 ] || fail "a retention of no days: exit status $status"
says 'contract.yaml:42:34: the value of a retention must be a whole number from 1 to 36600'

printf 'slaProperties:\n  - {property: retention, value: 1, unit: d}\n' >"$MESH_DIR/sla"
product plan
says 'airport: facts are kept for 1 day, not for ever \(breaking: older ones are dropped\)'
product apply
says 'schema 2: changed'
mesh_as airports-team airports product show airports.airport --format ndjson >"$MESH_DIR/said"
says '"retention_days":1[,}]'

# As it starts, and no sooner than in an hour again.
restart
tries=0
until grep -q 'event="looked for old facts" tables=1 dropped=0 failed=0' "$MESH_DIR/airports.log"; do
    tries=$((tries + 1))
    [ "$tries" -le 300 ] || fail "the node does not look for old facts"
    sleep 0.1
done
[ "$(grep -c 'looked for old facts' "$MESH_DIR/airports.log")" -eq 1 ] || fail "it looks too often"
answer "$MESH_DIR/answer.2"
cmp "$MESH_DIR/answer.1" "$MESH_DIR/answer.2" || fail "young facts are gone"
mesh_as airports-team airports product show airports.airport --statistics --format ndjson \
    >"$MESH_DIR/said"
says '"statistic":"dropped_facts","value":0}'
restart # Ends in the middle of its hour.
printf 'ok\n'
