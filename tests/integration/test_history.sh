#!/usr/bin/env bash
# Retractions, corrections and event times from files of all three formats into a real node, and the
# history asked at another node that does not own the table: it says what was appended, and what was
# known at one time about another.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
DATA=$FM_DATA_DIR

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    exit 1
}

# $1: SQL. Asked at the node that owns nothing.
ask() {
    mesh_as analyst other query "$1" --format csv --no-receipts
}

# $1: what it is about, $2: SQL, $3: the rows expected.
expect() {
    local got
    got=$(ask "$2" | tail -n +2)
    [ "$got" = "$3" ] || fail "$1: expected $(printf '\n%s\ngot\n%s' "$3" "$got")"
}

append() {
    mesh_as shop-team shop append shop.price "$1" >/dev/null || fail "append $1"
}

mesh_begin test
for name in shop other; do
    mesh_make_node "$name"
    mesh_start_node "$name"
done
mesh_make_principal shop-team reader owner:shop
mesh_make_principal analyst reader
cat >"$MESH_DIR/shop.yaml" <<'YAML'
apiVersion: v3.1.0
kind: DataContract
id: 4d1f6a52-6a6e-4c86-9a0d-6c3f6f2f9b77
name: Prices
version: 1.0.0
status: active
domain: shop
dataProduct: prices
schema:
  - name: price
    logicalType: object
    properties:
      - name: item
        logicalType: string
        primaryKey: true
      - name: cents
        logicalType: integer
        required: true
YAML
mesh_as shop-team shop product apply "$MESH_DIR/shop.yaml" >/dev/null
mesh_wait analyst other 2 1

cat >"$MESH_DIR/1.csv" <<'CSV'
item,cents,_event_time
tea,300,2026-01-01T00:00:00Z
milk,120,2026-01-01T00:00:00Z
CSV
append "$MESH_DIR/1.csv"
cat >"$MESH_DIR/2.ndjson" <<'NDJSON'
{"item":"tea","cents":310,"_event_time":"2026-02-01T00:00:00Z"}
{"item":"milk","_op":"retract"}
NDJSON
append "$MESH_DIR/2.ndjson"
known=$(ask 'SELECT max(_recorded_at) FROM shop."price$facts"' | tail -n 1)
printf "COPY (SELECT 'tea' AS item, 305 AS cents, 'correct' AS _op, 2::UBIGINT AS _supersedes,
    TIMESTAMPTZ '2026-02-01 00:00:00+00' AS _event_time) TO '%s' (FORMAT parquet)" \
    "$MESH_DIR/3.parquet" >"$MESH_DIR/copy.sql"
"$BIN/reference" "$DATA" "$MESH_DIR/copy.sql" >/dev/null
append "$MESH_DIR/3.parquet"

expect latest 'SELECT item, cents FROM shop.price ORDER BY item' 'tea,305'
expect history 'SELECT _seq, _op, _supersedes, item, cents, _event_time IS NULL
    FROM shop."price$facts" ORDER BY _seq' '0,assert,,tea,300,false
1,assert,,milk,120,false
2,assert,,tea,310,false
3,retract,,milk,,true
4,correct,2,tea,305,false'
expect 'history as of' 'SELECT count(*) FROM shop."price$facts" AT (VERSION => 3)' 3
expect 'latest as of' 'SELECT item, cents FROM shop.price AT (VERSION => 2) ORDER BY item' 'milk,120
tea,300'
expect predicates "SELECT item FROM shop.\"price\$facts\" WHERE _op = 'retract' AND _seq > 1" milk
expect joined 'SELECT f.cents, p.cents FROM shop.price p JOIN shop."price$facts" f USING (item)
    WHERE f._op = '"'assert'"' ORDER BY f._seq' '300,305
310,305'

# docs/sql.md, "What we knew": the price of tea on 15 February, as known then and as known now.
question=$(sed -n '/^<!-- what-we-knew -->/,/^```$/p' "$FM_SOURCE_DIR/docs/sql.md" |
    sed '/^<!--/d;/^```/d')
[ -n "$question" ] || fail "docs/sql.md has no such question"
day='2026-02-20 00:00:00+00'
[ "$question" != "${question//"$day"/}" ] || fail "the question in docs/sql.md has another day"
expect 'known then' "${question//"$day"/"$known"}" 310
expect 'known now' "${question//"$day"/2999-01-01 00:00:00+00}" 305

# What does not fit refuses the whole file and says why.
printf 'item,cents,_op\nrice,90,\nmilk,,retract\n' >"$MESH_DIR/bad.csv"
status=0
mesh_as shop-team shop append shop.price "$MESH_DIR/bad.csv" >/dev/null 2>"$MESH_DIR/said" ||
    status=$?
[ "$status" -ne 0 ] || fail "a key was retracted twice"
grep -q "row 2: the key ('milk') has been retracted already" "$MESH_DIR/said" ||
    fail "$(cat "$MESH_DIR/said")"
expect 'nothing of it' 'SELECT count(*) FROM shop."price$facts"' 5
printf 'ok\n'
