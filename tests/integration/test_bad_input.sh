#!/usr/bin/env bash
# What users get wrong: each a clear message, the documented exit code, and nothing half done.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
failures=0

# $1: what, $2: exit status, $3: extended regular expression the message must match. Rest: command.
refused() {
    local what=$1 wanted=$2 pattern=$3 status=0
    shift 3
    "$@" >"$MESH_DIR/said" 2>&1 </dev/null || status=$?
    if [ "$status" -ne "$wanted" ] || ! grep -Eq -- "$pattern" "$MESH_DIR/said"; then
        printf 'FAILED: %s: exit status %s (wanted %s), message:\n' "$what" "$status" "$wanted"
        sed 's/^/    /' "$MESH_DIR/said"
        printf '    (wanted: %s)\n' "$pattern"
        failures=$((failures + 1))
    fi
}

as_team() {
    mesh_as shop-team shop "$@"
}

# $1: rows that shop.orders must have.
must_have() {
    local rows
    rows=$(as_team query "SELECT count(*) AS n FROM shop.orders" --format csv --no-receipts |
        tail -n 1)
    if [ "$rows" != "$1" ]; then
        printf 'FAILED: shop.orders has %s rows, not %s\n' "$rows" "$1"
        failures=$((failures + 1))
    fi
}

mesh_begin test
mesh_make_node shop
mesh_start_node shop
mesh_make_principal shop-team reader owner:shop
mesh_make_principal analyst reader

# ---- Contracts
cat >"$MESH_DIR/good.yaml" <<'Y'
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
        primaryKey: true
        required: true
      - name: amount
        logicalType: integer
        physicalType: int32
        required: true
      - name: note
        logicalType: string
Y
printf 'kind: [unclosed\nname: x\n' >"$MESH_DIR/broken.yaml"
refused "YAML that does not parse" 65 '[0-9]+:[0-9]+' as_team product apply "$MESH_DIR/broken.yaml"
sed 's/physicalType: int32/physicalType: int33/' "$MESH_DIR/good.yaml" >"$MESH_DIR/type.yaml"
refused "a type we do not have" 65 '[0-9]+:[0-9]+.*int33' as_team product apply "$MESH_DIR/type.yaml"
sed '/^domain:/d' "$MESH_DIR/good.yaml" >"$MESH_DIR/field.yaml"
refused "a contract without a domain" 65 'domain' as_team product apply "$MESH_DIR/field.yaml"
sed 's/^domain: shop/domain: elsewhere/' "$MESH_DIR/good.yaml" >"$MESH_DIR/domain.yaml"
refused "a domain of somebody else" 77 'elsewhere' as_team product apply "$MESH_DIR/domain.yaml"
refused "a reader who publishes" 77 'owner:shop' \
    mesh_as analyst shop product apply "$MESH_DIR/good.yaml"
[ "$(as_team product list --format ndjson | grep -c . || true)" = 0 ] || {
    printf 'FAILED: something was published\n'
    failures=$((failures + 1))
}
as_team product apply "$MESH_DIR/good.yaml" >/dev/null

# ---- Rows
printf 'id,amount,note\n1,10,a\n2,20,b\n' >"$MESH_DIR/good.csv"
as_team append shop.orders "$MESH_DIR/good.csv" >/dev/null
must_have 2
printf 'id,amount,note\n3,30,c\n4,abc,d\n5,50,e\n' >"$MESH_DIR/bad.csv"
refused "a value of another type" 65 'row 2.*amount' as_team append shop.orders "$MESH_DIR/bad.csv"
printf 'id,amount,note\n3,30,c\n4,40,d\n5,,e\n' >"$MESH_DIR/bad.csv"
refused "a required value that is missing" 65 'row 3.*amount' \
    as_team append shop.orders "$MESH_DIR/bad.csv"
printf 'id,amount,note\n,30,c\n' >"$MESH_DIR/bad.csv"
refused "a key that is missing" 65 'row 1.*id' as_team append shop.orders "$MESH_DIR/bad.csv"
printf 'id,price,note\n3,30,c\n' >"$MESH_DIR/bad.csv"
refused "a CSV with a wrong header" 65 'amount' as_team append shop.orders "$MESH_DIR/bad.csv"
head -c 100000 "$FM_DATA_DIR/flights-3m.parquet" >"$MESH_DIR/cut.parquet"
refused "a Parquet file that was cut" 65 'cut\.parquet|Parquet' \
    as_team append shop.orders "$MESH_DIR/cut.parquet"
printf '{"id": 3, "amount": 30}\n{"id": 4, "amount": ' >"$MESH_DIR/bad.ndjson"
refused "NDJSON that was cut" 65 '.' as_team append shop.orders "$MESH_DIR/bad.ndjson"
: >"$MESH_DIR/empty.csv"
refused "an empty CSV" 65 '.' as_team append shop.orders "$MESH_DIR/empty.csv"
refused "a file that is not there" 66 'nowhere.csv' as_team append shop.orders "$MESH_DIR/nowhere.csv"
refused "a table that is not there" 66 'shop.nothing' \
    as_team append shop.nothing "$MESH_DIR/good.csv"
refused "a reader who appends" 77 'appender:shop' \
    mesh_as analyst shop append shop.orders "$MESH_DIR/good.csv"
must_have 2

# ---- SQL
refused "an unknown table" 66 'does not exist or is not visible' \
    as_team query "SELECT * FROM shop.nothing"
refused "a table of no domain" 66 'does not exist or is not visible' \
    as_team query "SELECT * FROM nowhere.orders"
refused "an unknown column" 65 'price' as_team query "SELECT price FROM shop.orders"
refused "text that is not SQL" 65 '.' as_team query "SELEC 1"
for sql in "DROP TABLE shop.orders" "SELECT 1; SELECT 2" "INSERT INTO shop.orders VALUES (1, 2, '')" \
    "PRAGMA database_list" "ATTACH 'x.db'" "COPY shop.orders TO 'x'" "SET threads = 9" \
    "DESCRIBE shop.orders" "SELECT * FROM read_csv('/etc/passwd')" "SHOW TABLES" "" ";"; do
    refused "not one SELECT: $sql" 65 '.' as_team query "$sql"
done
must_have 2

# ---- Nodes
refused "a busy port" 73 'in use' "$BIN/folkmoot" node start --dir "$MESH_DIR/shop" \
    --data "$MESH_DIR/elsewhere" --listen "${MESH_ADDRESS[shop]}"
refused "a data folder in use" 75 '.' "$BIN/folkmoot" node start --dir "$MESH_DIR/shop" \
    --listen 127.0.0.1:0
mkdir "$MESH_DIR/foreign"
printf 'hello\n' >"$MESH_DIR/foreign/letter"
refused "a foreign folder as data" 73 'foreign' "$BIN/folkmoot" node start --dir "$MESH_DIR/shop" \
    --data "$MESH_DIR/foreign" --listen 127.0.0.1:0
[ "$(ls "$MESH_DIR/foreign")" = letter ] || {
    printf 'FAILED: the foreign folder was touched\n'
    failures=$((failures + 1))
}
refused "a data folder that cannot be made" 74 'nowhere' "$BIN/folkmoot" node start \
    --dir "$MESH_DIR/shop" --data "$MESH_DIR/nowhere/deep" --listen 127.0.0.1:0
refused "a node's folder that is none" 66 'node' "$BIN/folkmoot" node start --dir "$MESH_DIR/foreign"
refused "nobody at the address" 69 '127.0.0.1:1' \
    mesh_as analyst shop members --node 127.0.0.1:1

# ---- The command line
refused "no verb" 64 'help' "$BIN/folkmoot"
refused "an unknown verb" 64 'frobnicate' "$BIN/folkmoot" frobnicate
refused "an unknown option" 64 'frobnicate' "$BIN/folkmoot" members --frobnicate
refused "an answer file that is none" 65 '.' "$BIN/folkmoot" verify "$MESH_DIR/good.csv" \
    --charter "$MESH_DIR/mesh/charter"
chmod 644 "$MESH_DIR/analyst/keys"
refused "keys that others may read" 77 'keys' mesh_as analyst shop members

[ "$failures" -eq 0 ] || {
    printf '%s failures\n' "$failures"
    exit 1
}
printf 'ok\n'
