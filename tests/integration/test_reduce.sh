#!/usr/bin/env bash
# Joins over live nodes with and without reductions: the same rows over random data with NULL keys,
# repeated keys and sides without rows; and the big side moves less. Prints its seed.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
SEED=${FM_SEED:-$RANDOM}

fail() {
    printf 'FAILED (seed %s): %s\n' "$SEED" "$*" >&2
    exit 1
}

# $1: domain, $2: an id. A table "items" of two keys and a value, none of them required.
contract() {
    cat <<END
apiVersion: v3.1.0
kind: DataContract
id: 7c1f6a10-0000-4000-8000-00000000000$2
name: Items
version: 1.0.0
status: active
domain: $1
dataProduct: items
schema:
  - name: items
    logicalType: object
    physicalType: table
    properties:
      - {name: id, logicalType: integer, required: true, primaryKey: true}
      - {name: word, logicalType: string}
      - {name: number, logicalType: integer, physicalType: $3}
      - {name: secret, logicalType: string, classification: personal}
END
}

# $1: rows, $2: words, $3: numbers, $4: seed. About one key in ten is NULL.
rows() {
    awk -v rows="$1" -v words="$2" -v numbers="$3" -v seed="$4" 'BEGIN {
        srand(seed); print "id,word,number,secret"
        for (i = 0; i < rows; i++) {
            w = int(rand() * words); n = int(rand() * numbers)
            printf "%d,%s,%s,s%d\n", i, rand() < 0.1 ? "" : "w" w, rand() < 0.1 ? "" : n, w
        }
    }'
}

# $1: domain, $2: id, $3: type of `number`. Rest: as rows() has them.
publish() {
    local domain=$1 id=$2 type=$3
    shift 3
    contract "$domain" "$id" "$type" >"$MESH_DIR/$domain.yaml"
    rows "$@" >"$MESH_DIR/$domain.csv"
    mesh_as "$domain-team" "$domain" product apply "$MESH_DIR/$domain.yaml" >/dev/null
    mesh_as "$domain-team" "$domain" append "$domain.items" "$MESH_DIR/$domain.csv" >/dev/null 2>&1
}

# $1: SQL. Rest: options. Its rows in any order, sorted.
ask() {
    local sql=$1
    shift
    mesh_as analyst other query "$sql" --format csv --no-receipts "$@" | sort
}

# $1: SQL. The rule of fragment 0.
rule() {
    mesh_as analyst other query "EXPLAIN $1" --format json --no-receipts |
        tr ',' '\n' | sed -n 's/.*"rule": *"\([a-z]*\)".*/\1/p' | head -n 1
}

mesh_begin test
for node in big small other; do
    mesh_make_node "$node"
    mesh_start_node "$node"
done
for domain in big small; do mesh_make_principal "$domain-team" reader "owner:$domain"; done
mesh_make_principal analyst reader
publish big 1 int64 150000 20000 30000 "$SEED"
publish small 2 int32 60 10000 50000 "$((SEED + 1))"
mesh_wait analyst other 3 2

join="SELECT b.id, s.id FROM big.items b JOIN small.items s ON b.word = s.word"
tries=0
until [ "$(rule "$join")" = reduce ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 150 ] || fail "no statistics come: rule $(rule "$join")"
    sleep 0.1
done

reduced=0 lines=0
while read -r sql; do
    [ "$(rule "$sql")" != reduce ] || reduced=$((reduced + 1))
    ask "$sql" >"$MESH_DIR/on"
    ask "$sql" --without reduce >"$MESH_DIR/off"
    cmp -s "$MESH_DIR/on" "$MESH_DIR/off" || fail "other rows: $sql"
    lines=$((lines + $(wc -l <"$MESH_DIR/on")))
done <<END
$join
SELECT b.id, s.id FROM big.items b JOIN small.items s ON b.number = s.number
SELECT b.id, s.id FROM big.items b JOIN small.items s ON b.word = s.word AND b.number <> s.number
SELECT b.id, s.id FROM big.items b JOIN small.items s ON b.number = s.number WHERE s.id < 0
SELECT s.id, b.id FROM big.items b RIGHT JOIN small.items s ON b.word = s.word
SELECT s.id, b.id FROM big.items b RIGHT JOIN (SELECT * FROM small.items WHERE id < 0) s ON b.word = s.word
SELECT count(*), sum(b.id) FROM big.items b LEFT JOIN small.items s ON b.word = s.word
SELECT b.id FROM big.items b WHERE b.word IN (SELECT word FROM small.items WHERE id < 30)
SELECT count(*) FROM big.items b WHERE b.word NOT IN (SELECT word FROM small.items WHERE word IS NOT NULL)
SELECT count(*) FROM big.items b WHERE b.word NOT IN (SELECT word FROM small.items)
SELECT b.id, s.id, t.id FROM big.items b JOIN small.items s ON b.word = s.word JOIN small.items t ON b.number = t.number
SELECT b.word, count(*), sum(s.id) FROM big.items b JOIN small.items s ON b.word = s.word GROUP BY b.word
SELECT b.id, s.id FROM big.items b JOIN small.items s ON b.secret = s.secret
END
[ "$reduced" -ge 6 ] || fail "only $reduced of the statements were reduced"
[ "$lines" -gt 500 ] || fail "only $lines rows were compared"
[ "$(rule 'SELECT b.id, s.id FROM big.items b JOIN small.items s ON b.secret = s.secret')" = scan ] ||
    fail "keys of a personal column left their owner"

# $1...: options. Bytes that the owner of the big side sent.
moved() {
    mesh_as analyst other query "EXPLAIN ANALYZE $join" --format csv --no-receipts "$@" |
        awk -F, '$2 == "big" { print $(NF - 3) }'
}
on=$(moved)
off=$(moved --without reduce)
printf 'seed %s: %s bytes instead of %s\n' "$SEED" "$on" "$off"
[ "$((on * 4))" -lt "$off" ] || fail "$on bytes moved, $off without the rule"
