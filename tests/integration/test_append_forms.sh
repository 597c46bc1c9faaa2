#!/usr/bin/env bash
# The forms of `folkmoot append`: several tables together, an expected version, and the answer
# before the sync.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
failures=0

as_team() {
    mesh_as shop-team shop "$@"
}

# $1: what, $2: exit status, $3: extended regular expression for what it says. Rest: the command.
says() {
    local what=$1 wanted=$2 pattern=$3 status=0
    shift 3
    as_team "$@" >"$MESH_DIR/said" 2>&1 </dev/null || status=$?
    if [ "$status" -ne "$wanted" ] || ! grep -Eq -- "$pattern" "$MESH_DIR/said"; then
        printf 'FAILED: %s: exit status %s (wanted %s), said:\n' "$what" "$status" "$wanted"
        sed 's/^/    /' "$MESH_DIR/said"
        printf '    (wanted: %s)\n' "$pattern"
        failures=$((failures + 1))
    fi
}

# $1: what, $2: rows of shop.orders and of shop.items.
have() {
    local rows
    rows=$(as_team query "SELECT (SELECT count(*) FROM shop.orders) AS o,
        (SELECT count(*) FROM shop.items) AS i" --format csv --no-receipts | tail -n 1)
    if [ "$rows" != "$2" ]; then
        printf 'FAILED: %s: orders and items have %s rows, not %s\n' "$1" "$rows" "$2"
        failures=$((failures + 1))
    fi
}

mesh_begin test
mesh_make_node shop
mesh_start_node shop
mesh_make_principal shop-team reader owner:shop
cat >"$MESH_DIR/shop.yaml" <<'Y'
apiVersion: v3.1.0
kind: DataContract
id: 4d1f6a52-6a6e-4c86-9a0d-6c3f6f2f9b77
name: Orders
version: 1.0.0
status: active
domain: shop
dataProduct: orders
schema:
  - name: orders
    logicalType: object
    properties:
      - name: id
        logicalType: integer
        required: true
  - name: items
    logicalType: object
    properties:
      - name: item
        logicalType: integer
        required: true
Y
as_team product apply "$MESH_DIR/shop.yaml" >/dev/null
printf 'id\n1\n2\n3\n' >"$MESH_DIR/orders.csv"
printf 'item\n10\n20\n' >"$MESH_DIR/items.csv"
printf 'item\n10\nmany\n' >"$MESH_DIR/bad.csv"
orders=(shop.orders "$MESH_DIR/orders.csv")
items=(shop.items "$MESH_DIR/items.csv")

# ---- Several tables
says "two tables" 0 'shop.items: 2 rows .*synced to disk' append "${orders[@]}" "${items[@]}"
have "two tables" 3,2
says "a bad row in the second" 65 'append to shop.items.*row 2' \
    append "${orders[@]}" shop.items "$MESH_DIR/bad.csv"
says "a table twice" 65 'shop.orders is named twice' append "${orders[@]}" "${orders[@]}"
says "a table without a file" 64 "'shop.items' has none" append "${orders[@]}" shop.items
says "standard input for one of two" 64 'not from standard input' \
    append "${orders[@]}" shop.items - --format csv
have "none of them" 3,2

# ---- Repeats
producer=(--producer 0123456789abcdef0123456789abcdef)
says "with a producer" 0 'shop.items: 2 rows' append "${orders[@]}" "${items[@]}" "${producer[@]}" \
    --sequence 7
says "the same again" 0 'shop.items: nothing to do, these 2 rows' \
    append "${orders[@]}" "${items[@]}" "${producer[@]}" --sequence 7
says "one of them alone" 0 'shop.orders: 3 rows' append "${orders[@]}" "${producer[@]}" --sequence 8
says "and then both" 73 'to shop.orders was stored before, but that to shop.items' \
    append "${orders[@]}" "${items[@]}" "${producer[@]}" --sequence 8
have "repeats" 9,4

# ---- Expected versions
says "the right versions" 0 'log 12 facts' append "${orders[@]}" "${items[@]}" --expect 9 --expect 4
says "a wrong one" 73 'shop.items has 6 facts, not the 4 expected' \
    append "${orders[@]}" "${items[@]}" --expect 12 --expect 4
says "one for two" 64 'once for each table: 2 times, not 1' append "${orders[@]}" "${items[@]}" \
    --expect 12
says "no number" 64 'takes a number' append "${orders[@]}" --expect -3
have "expected versions" 12,6

# ---- Before the sync
says "in memory" 0 'shop.items: 2 rows .*in memory only' \
    append "${orders[@]}" "${items[@]}" --durability memory
says "synced" 0 'synced to disk' append "${orders[@]}" --durability fsync
have "both levels" 18,8
says "another level" 64 'fsync or memory' append "${orders[@]}" --durability paper
as_team append "${orders[@]}" "${items[@]}" --durability memory >/dev/null
mesh_kill_node shop # The process dies, the machine does not.
mesh_start_node shop
have "after a restart" 21,10

[ "$failures" -eq 0 ] || {
    printf '%s failures\n' "$failures"
    exit 1
}
printf 'ok\n'
