#!/usr/bin/env bash
# A query that is pinned to the heads of an earlier answer gives the same rows, at any node, while
# facts are appended, corrected and merged into other segments; and it is refused, by name, where
# that cannot be.
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

refused() { # exit code, words, then the arguments of ask
    local wanted=$1 words=$2 status=0
    shift 2
    ask "$@" >"$MESH_DIR/out" 2>"$MESH_DIR/err" || status=$?
    [ "$status" -eq "$wanted" ] || die "exit status $status, not $wanted: $(cat "$MESH_DIR/err")"
    [ ! -s "$MESH_DIR/out" ] || die "rows of a query that was refused"
    grep -q "$words" "$MESH_DIR/err" || die "not '$words': $(cat "$MESH_DIR/err")"
}

mesh_begin pins
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
    rows 1 3000 "$domain" >"$MESH_DIR/rows.csv"
    append "$domain"
done
mesh_wait analyst north 2 2
mesh_wait analyst south 2 2

join='SELECT n.id, n.text AS a, s.text AS b FROM north.things n JOIN south.things s USING (id) ORDER BY n.id'
one='SELECT count(*) AS n, sum(id) AS s, max(text) AS t FROM north.things'
history='SELECT count(*) AS n FROM north."things$facts"'
saved=$MESH_DIR/saved
ask north query "$join" --save "$saved" >"$MESH_DIR/join"
ask north query "$one" >"$MESH_DIR/one"
ask north query "$history" >"$MESH_DIR/history"

# New rows, rows that supersede, and many small appends, which become few segments.
rows 2000 5000 later >"$MESH_DIR/rows.csv"
append north
for i in 1 2 3 4 5; do
    rows "$i" "$((i + 3))" "small$i" >"$MESH_DIR/rows.csv"
    append north
    append south
done
printf 'id,text,_op\n7,,retract\n8,,retract\n' >"$MESH_DIR/rows.csv"
append south

same() { # name, node, SQL
    ask "$2" query "$3" --at-heads "$saved" >"$MESH_DIR/now"
    cmp -s "$MESH_DIR/$1" "$MESH_DIR/now" || die "$1 at $2: other rows at the same heads"
}
for node in north south; do
    same join $node "$join"
    same one $node "$one"
    same history $node "$history"
    if cmp -s "$MESH_DIR/join" <(ask $node query "$join"); then die "nothing changed at $node"; fi
done
# Whatever the planner does, and without an engine.
ask south query "$join" --at-heads "$saved" --without ship,subquery,aggregate,lookup |
    cmp -s "$MESH_DIR/join" - || die "other rows without rules"
ask south query 'SELECT id, text FROM north.things WHERE id = 2500' --at-heads "$saved" |
    grep -qx '2500,north' || die "a lookup at the heads"

# A pinned answer pins the next one to the same heads.
ask south query "$one" --at-heads "$saved" --save "$MESH_DIR/again" >/dev/null
ask north query "$one" --at-heads "$MESH_DIR/again" | cmp -s "$MESH_DIR/one" - ||
    die "other rows at the heads of a pinned answer"
mesh_as analyst north verify "$MESH_DIR/again" --charter "$MESH_DIR/analyst/charter" >/dev/null

# An earlier version is within them, a later one is not.
ask north query 'SELECT count(*) FROM north.things AS t AT (VERSION => 10)' --at-heads "$saved" |
    grep -qx 10 || die "an earlier version at the heads"
refused 65 'north.things is asked for at version 3500, later than the head of 3000 facts' \
    north query 'SELECT count(*) FROM north.things AS t AT (VERSION => 3500)' --at-heads "$saved"

# What the file lacks, what it is not, and what nobody signed.
refused 65 'none of them is of table south.things' \
    north query 'SELECT * FROM south.things' --at-heads "$MESH_DIR/again"
ask north query 'SELECT 1 AS one' --save "$MESH_DIR/none" >/dev/null
refused 65 'it read no table' north query "$one" --at-heads "$MESH_DIR/none"
refused 66 'nothing' north query "$one" --at-heads "$MESH_DIR/nothing"
cp "$saved" "$MESH_DIR/bad"
printf 'X' | dd of="$MESH_DIR/bad" bs=1 seek=200 conv=notrunc 2>/dev/null
refused 76 'heads of' north query "$one" --at-heads "$MESH_DIR/bad"
say "the same rows at the same heads"
