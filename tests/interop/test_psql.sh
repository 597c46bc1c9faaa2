#!/usr/bin/env bash
# The unmodified psql: login with a token, TLS with the node's own certificate, what statements answer
# (as PostgreSQL 15 does), joins over domains, errors, cancel, and what is refused.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
BIN=$FM_BIN_DIR

if ! command -v psql >/dev/null; then
    say "skipped: psql is not installed (Debian's postgresql-client)"
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

mesh_begin psql
for domain in north south; do
    mesh_make_node "$domain"
    mesh_start_node "$domain" "" --postgres 127.0.0.1:0
    mesh_make_principal "$domain-team" reader "owner:$domain"
done
mesh_make_principal analyst reader
mesh_make_principal other reader
contract north 11111111-1111-4111-8111-111111111111 >"$MESH_DIR/north.yaml"
contract south 22222222-2222-4222-8222-222222222222 >"$MESH_DIR/south.yaml"
for domain in north south; do
    mesh_as "$domain-team" "$domain" product apply "$MESH_DIR/$domain.yaml" >/dev/null
    { echo id,text && seq 1 1000 | sed "s/\$/,$domain/"; } >"$MESH_DIR/rows.csv"
    mesh_as "$domain-team" "$domain" append "$domain.things" "$MESH_DIR/rows.csv" >/dev/null
done
mesh_wait analyst north 2 2

# The port for PostgreSQL clients that the log of node $1 tells.
postgres_port() { sed -n 's/.*event=postgres port=\([0-9]*\).*/\1/p' "$MESH_DIR/$1.log" | tail -n 1; }

export PGHOST=127.0.0.1 PGUSER=analyst PGDATABASE=mesh PGPORT PGPASSWORD PSQLRC=/dev/null
PGPORT=$(postgres_port north)
PGPASSWORD=$(mesh_as analyst north token)
sql() { psql -X -q -At "$@"; }
same() { # what, wanted, got
    [ "$2" = "$3" ] || die "$1: '$3', not '$2'"
}
refused() { # what, words; then a command
    local what=$1 words=$2
    shift 2
    if "$@" >"$MESH_DIR/out" 2>&1; then die "$what: not refused"; fi
    grep -q -- "$words" "$MESH_DIR/out" || die "$what: not '$words': $(cat "$MESH_DIR/out")"
}

say "TLS: offered, and the node's own certificate holds"
same TLS "TLSv1.3" "$(psql -X -c '\conninfo' | sed -n 's/.*protocol: \([^,]*\),.*/\1/p')"
same "without TLS, on loopback" 1 "$(PGSSLMODE=disable sql -c 'SELECT 1')"
export PGSSLMODE=verify-full PGSSLROOTCERT=$MESH_DIR/north/tls.crt
same "the name is checked" 1 "$(sql -h localhost -c 'SELECT 1')"
refused "another node's certificate" "certificate verify failed" \
    env PGPORT="$(postgres_port south)" psql -X -c 'SELECT 1'
[ "$(stat -c %a "$MESH_DIR/north/tls.key")" = 600 ] || die "the TLS key can be read by others"

say "login: only with a token for this node and this user"
refused "no token" "password authentication failed" env PGPASSWORD=secret psql -X -c 'SELECT 1'
refused "another user" "password authentication failed" psql -X -U other -c 'SELECT 1'
refused "another node's token" "password authentication failed" \
    env PGPASSWORD="$(mesh_as analyst south token)" psql -X -c 'SELECT 1'
refused "one with a letter changed" "password authentication failed" \
    env PGPASSWORD="${PGPASSWORD/v4.public.e/v4.public.f}" psql -X -c 'SELECT 1'
refused "a token that lives too long" "may live for at most" \
    mesh_as analyst north token --minutes 721
grep -q "$PGPASSWORD" "$MESH_DIR"/*.log && die "a token stands in a log"

say "statements answer as those of PostgreSQL 15"
psql -X -q -P pager=off -P 'null=~' -v VERBOSITY=terse -f "$FM_ROOT/tests/interop/psql.sql" 2>&1 |
    sed 's/^psql:[^ ]*: //' >"$MESH_DIR/psql.out"
diff "$FM_ROOT/tests/interop/psql.expected" "$MESH_DIR/psql.out" >&2 || die "psql.sql: other answers"

say "a join over domains, and rows by a cursor"
join="SELECT count(*), min(n.text), max(s.text) FROM north.things n JOIN south.things s USING (id)"
same join "1000|north|south" "$(sql -c "$join")"
same "rows by a cursor" 1000 "$(sql -v FETCH_COUNT=64 -c 'SELECT * FROM south.things' | wc -l)"

say "COPY to the client, as PostgreSQL writes it"
cat >"$MESH_DIR/copy.sql" <<'SQL'
COPY (SELECT * FROM (VALUES (1, 'a,b', NULL, '', 'x\ty'), (2, 'a"b', 'c', '\.', 'ü')) t(a, b, c, d, e)
    ORDER BY 1) TO STDOUT
SQL
[ "$(sql -f "$MESH_DIR/copy.sql")" = "$(printf '1\ta,b\t\\N\t\tx\\\\ty\n2\ta"b\tc\t\\\\.\tü')" ] ||
    die "COPY: $(sql -f "$MESH_DIR/copy.sql")"
same "a table as CSV" "id,text 1,north 2,north" \
    "$(sql -c 'COPY north.things TO STDOUT (FORMAT csv, HEADER)' | sort -n | head -n 3 | paste -s -d ' ')"
psql -X -q -c "\\copy (SELECT id FROM south.things) TO '$MESH_DIR/copied' (FORMAT binary)"
same "binary, by \\copy" "$((19 + 2 + 1000 * (2 + 4 + 8)))" "$(stat -c %s "$MESH_DIR/copied")"

say "errors: where, and with what state"
refused position "LINE 1: SELECT 1 +" psql -X -c 'SELECT 1 + + FROM'
refused "no such table" "42P01" psql -X -v VERBOSITY=verbose -c 'SELECT * FROM north.nothing'
refused "no such column" "42703" psql -X -v VERBOSITY=verbose -c 'SELECT nothing FROM north.things'

say "receipts of this session, and its heads for another one"
receipt=$(psql -X -q -At -c 'SELECT count(*) FROM south.things' \
    -c 'SELECT query, domain, rows FROM mesh.receipts WHERE in_session')
same "the receipt of the query before" "south|1" "$(printf '%s' "$receipt" | tail -n 1 | cut -d'|' -f2-)"
id=$(printf '%s' "$receipt" | tail -n 1 | cut -d'|' -f1)
same "another session's are not" "" "$(sql -c 'SELECT query FROM mesh.receipts WHERE in_session')"
printf 'id,text\n1001,later\n' >"$MESH_DIR/rows.csv"
mesh_as south-team south append south.things "$MESH_DIR/rows.csv" >/dev/null
same "at its heads, and as they are" "1000|1001" "$(sql -c "SET at_heads = '$id'" \
    -c 'SELECT count(*) FROM south.things' -c 'RESET folkmoot.at_heads' \
    -c 'SELECT count(*) FROM south.things' | paste -s -d '|')"
heads=$(sql -c "SET folkmoot.at_heads = '$id'" -c 'SHOW at_heads')
same "its heads as text" 1000 \
    "$(sql -c "SET folkmoot.at_heads = '$heads
'" -c 'SELECT count(*) FROM south.things')"
refused "a query that was not" "mesh.receipts has no query" \
    psql -X -c 'SET at_heads = 0123456789abcdef0123456789abcdef'

say "statement_timeout, Ctrl-C, and a client that goes: what runs is ended"
slow="SELECT count(*) FROM range(1000000) a(x), range(1000000) b(y) WHERE (a.x * b.y) % 7 = 3"
refused statement_timeout "57014" env PGOPTIONS= psql -X -v VERBOSITY=verbose \
    -c "SET statement_timeout = '300ms'" -c "$slow"
psql -X -c "$slow" >"$MESH_DIR/out" 2>&1 &
pid=$!
sleep 1
kill -INT $pid
wait $pid && die "not cancelled"
grep -q "cancel" "$MESH_DIR/out" || die "Ctrl-C: $(cat "$MESH_DIR/out")"

say "an owner that is away: an error, or said to be left out"
mesh_kill_node south
refused "an owner is away" "south" sql -c "$join"
same "skipped" "1000" "$(sql -c "SET folkmoot.on_unavailable = skip" \
    -c "SELECT id FROM north.things UNION ALL SELECT id FROM south.things" 2>"$MESH_DIR/out" | wc -l)"
grep -q '^WARNING: .*the answer is incomplete: 1 of its parts is missing' "$MESH_DIR/out" ||
    die "no warning: $(cat "$MESH_DIR/out")"
grep -q '^NOTICE: .*domain south on node south (.*): unreachable: .' "$MESH_DIR/out" ||
    die "no notice: $(cat "$MESH_DIR/out")"
same "the node goes on" 1 "$(sql -c 'SELECT 1')"
