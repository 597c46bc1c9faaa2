#!/usr/bin/env bash
# What every node has for itself (the tables of mesh), and sessions: statements one after another,
# with settings that become part of each later request and end with the session; heads that are
# pinned so, at the node where they were read and at another, and forged ones, which owners refuse.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
BIN=$FM_BIN_DIR

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

rows() { # from, to, word
    echo id,text
    seq "$1" "$2" | sed "s/\$/,$3/"
}

ask() { mesh_as analyst "$@" --format csv --no-receipts; }
append() { mesh_as "$1-team" "$1" append "$1.things" "$MESH_DIR/rows.csv" >/dev/null 2>&1; }

is() { # words, wanted text, then the arguments of ask
    local words=$1 wanted=$2 got
    shift 2
    got=$(ask "$@" 2>"$MESH_DIR/err") || die "$words: $(cat "$MESH_DIR/err")"
    [ "$got" = "$wanted" ] || die "$words: $got"
}

refused() { # exit code, words, then the arguments of ask
    local wanted=$1 words=$2 status=0
    shift 2
    ask "$@" >"$MESH_DIR/out" 2>"$MESH_DIR/err" || status=$?
    [ "$status" -eq "$wanted" ] || die "exit status $status, not $wanted: $(cat "$MESH_DIR/err")"
    grep -q -e "$words" "$MESH_DIR/err" || die "not '$words': $(cat "$MESH_DIR/err")"
}

mesh_begin sessions
for domain in north south; do
    mesh_make_node "$domain"
    mesh_start_node "$domain"
    mesh_make_principal "$domain-team" reader "owner:$domain"
done
mesh_make_principal analyst reader
mesh_wait analyst north 2 0
contract north 11111111-1111-4111-8111-111111111111 >"$MESH_DIR/north.yaml"
contract south 22222222-2222-4222-8222-222222222222 >"$MESH_DIR/south.yaml"
for domain in north south; do
    mesh_as "$domain-team" "$domain" product apply "$MESH_DIR/$domain.yaml" >/dev/null
    rows 1 300 "$domain" >"$MESH_DIR/rows.csv"
    append "$domain"
done
mesh_wait analyst north 2 2
mesh_wait analyst south 2 2

# ---- The node's own ----
one='SELECT count(*) AS n, max(text) AS t FROM north.things'
is 'rows' 'n,t
300,north' south query "$one"
is 'a view and a table of a domain' 'tables,state,text
north.things,complete,north' south query \
    'SELECT r.tables, r.state, t.text FROM mesh.receipts r JOIN north.things t ON t.id = r.rows'
is 'what only reads mesh is not listed' 'n
2' south query 'SELECT count(*) AS n FROM mesh.receipts WHERE query IN (SELECT query FROM mesh.receipts)'
is 'nodes' 'node,state,domains
north,alive,north
south,alive,south' north query 'SELECT node, state, domains FROM mesh.nodes ORDER BY node'
is 'products and columns' 'version,column,type,key_position
1.0.0,id,int64,1
1.0.0,text,varchar,' north query 'SELECT p.version, c.column, c.type, c.key_position
    FROM mesh.products p JOIN mesh.columns c USING (domain, product)
    WHERE p.domain = $$south$$ ORDER BY c.position'
mesh_as analyst south query 'SELECT count(*) FROM mesh.receipts r, north.things' --receipts \
    --format csv --save "$MESH_DIR/own" >/dev/null 2>"$MESH_DIR/err"
grep -q 'mesh.receipts, its own word' "$MESH_DIR/err" || die "no word of whose word it is"
grep -q 'north.things/1' "$MESH_DIR/err" || die "the owner's receipt is not there"
mesh_as analyst south verify "$MESH_DIR/own" --charter "$MESH_DIR/analyst/charter" --format json |
    grep -q '"own":\[{"table":"receipts","rows":2,' || die "verify does not say whose word it is"
refused 65 "own word: no receipt is for it" south query 'SELECT * FROM mesh.nodes, north.things' \
    --save "$MESH_DIR/none" --with-fragments
refused 65 'mesh.receipts has no past' south query 'SELECT * FROM mesh.receipts AT (VERSION => 1)'
refused 66 'mesh.receipts$facts does not exist' south query 'SELECT * FROM mesh."receipts$facts"'
status=0
"$BIN/folkmoot" node invite --mesh "$MESH_DIR/mesh" --request "$MESH_DIR/north/request" --domain mesh \
    --out "$MESH_DIR/x" >/dev/null 2>"$MESH_DIR/err" || status=$?
[ "$status" -eq 65 ] || die "a node was granted the domain mesh: $status, $(cat "$MESH_DIR/err")"
sed 's/^domain: north/domain: mesh/' "$MESH_DIR/north.yaml" >"$MESH_DIR/mesh.yaml"
if mesh_as north-team north product apply "$MESH_DIR/mesh.yaml" >/dev/null 2>"$MESH_DIR/err"; then
    die "a contract for the domain mesh"
fi

# ---- Settings ----
ask north query 'SET rules_off = reduce, lookup' 'SET time_limit = 5000;' 'SHOW ALL' >"$MESH_DIR/out"
grep -q '^rules_off,"reduce,lookup",' "$MESH_DIR/out" || die "no rules: $(cat "$MESH_DIR/out")"
explained() { # statements before it
    ask north query "$@" "EXPLAIN $one" | sed -n 2p | cut -d, -f4
}
[ "$(explained)" = ship ] || die "the rule is not ship"
[ "$(explained 'SET rules_off = ship')" = scan ] || die "a rule is not off"
is 'a session ends' 'time_limit
0' north query 'SHOW time_limit'
refused 65 'statement 2: there is no setting "nothing"; settings are at_heads on_unavailable' \
    north query 'SELECT 1 AS one' 'SET nothing = 1' 'SELECT 2 AS two'
[ "$(cat "$MESH_DIR/out")" = $'one\n1' ] || die "after the first error: $(cat "$MESH_DIR/out")"
refused 64 '--save keeps the answer of one statement, not of 2' \
    north query 'SELECT 1' 'SELECT 2' --save "$MESH_DIR/none"
refused 65 'there is no answer to save' north query 'SHOW ALL' --save "$MESH_DIR/none"
refused 64 'give statements, or --file' north query

cat >"$MESH_DIR/statements.sql" <<'SQL'
-- One; two
SELECT 'a;b' AS "c;d"; /* ; */ SET time_limit = 3000;
SHOW time_limit
;

SELECT 1 +
SQL
status=0
ask north query --file "$MESH_DIR/statements.sql" >"$MESH_DIR/out" 2>"$MESH_DIR/err" || status=$?
[ "$status" -eq 65 ] || die "a file with an error: $status"
[ "$(cat "$MESH_DIR/out")" = $'c;d\na;b\n\ntime_limit\n3000' ] || die "a file: $(cat "$MESH_DIR/out")"
grep -q 'statement 4, from line 6: ' "$MESH_DIR/err" || die "no number: $(cat "$MESH_DIR/err")"
[ "$(echo 'SELECT 1 AS one; SELECT 2 AS two;' | ask north query -)" = $'one\n1\n\ntwo\n2' ] ||
    die "statements on standard input"

# ---- Pinned by a setting ----
ask north query "$one" >"$MESH_DIR/before"
pick='FROM mesh.receipts WHERE tables = $$north.things$$ ORDER BY time DESC LIMIT 1'
id=$(ask north query "SELECT query $pick" | tail -n 1)
heads=$(ask north query "SELECT heads $pick" | tail -n +2 | tr -d '"')
rows 200 500 later >"$MESH_DIR/rows.csv"
append north
is 'pinned by the id, and not any more' "$(cat "$MESH_DIR/before")

$(ask north query "$one")" north query "SET at_heads = '$id'" "$one" 'RESET at_heads' "$one"
for node in north south; do
    rows 490 520 "$node" >"$MESH_DIR/rows.csv"
    append north
    is "pinned at $node" "$(cat "$MESH_DIR/before")" $node query "SET at_heads = '$heads
'" "$one"
done
is 'what was set is shown' "at_heads
\"$heads
\"" north query "SET at_heads = '$heads
'" 'SHOW at_heads'
# What a pinned query read is what it was pinned to, and mesh has no heads of its own.
is 'heads of a pinned query' "$(cat "$MESH_DIR/before")

same
true" north query "SET at_heads = '$heads
'" "$one" "SELECT heads = '$heads
' AS same $pick"
refused 66 'has no query 00112233445566778899aabbccddeeff of yours' \
    south query "SET at_heads = '00112233445566778899aabbccddeeff'"
refused 65 'note 1 is none' north query "SET at_heads = 'heads'"

# ---- Heads that are none of the log's ----
forged() { # exit code, words, sed script
    local notes
    notes=$(sed "$3" <<<"$heads")
    [ "$notes" != "$heads" ] || die "nothing forged by $3"
    for node in north south; do
        refused "$1" "$2" $node query "SET at_heads = '$notes
'" "$one"
    done
}
forged 73 'is not of its log.s history: its root is another' \
    '3s/.*/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=/'
forged 73 'is of 99999 facts, and its log has' '2s/.*/99999/'
forged 73 'began anew since that head: its epoch was 7 and is 1' 's,/things/1,/things/7,'
forged 65 'none of them is of table north.things' 's,folkmoot/[0-9a-f]*,folkmoot/'"$(printf '0%.0s' {1..64})",

# ---- An owner that is not there ----
both='SELECT id FROM north.things WHERE id < 3 UNION ALL SELECT id FROM south.things ORDER BY id'
mesh_stop_node south
is 'skipped by the session' 'id
1
2' north query 'SET on_unavailable = skip' "$both"
grep -q 'INCOMPLETE: domain south' "$MESH_DIR/err" || die "not said what is missing"
refused 69 'domain south on node south' north query 'SET on_unavailable = skip' "$both" \
    --on-unavailable fail
refused 65 'only a verified answer tells what is missing' north query 'SET on_unavailable = skip' \
    "$both" --no-verify
refused 69 'allow-partial-aggregates' north query 'SET on_unavailable = skip' \
    "SELECT count(*) AS n FROM ($both)"
is 'also under aggregates' 'n
2' north query 'SET on_unavailable = skip' 'SET allow_partial_aggregates = on' \
    "SELECT count(*) AS n FROM ($both)"
# What the node says itself is no owner that is left.
refused 69 'no owner could be had' north query 'SET on_unavailable = skip' \
    'SELECT n.node, s.id FROM mesh.nodes n, south.things s'
say "sessions and what each node has for itself"
