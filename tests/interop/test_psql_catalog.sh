#!/usr/bin/env bash
# The unmodified psql asks what there is: its \d commands against the catalog that the node makes,
# as PostgreSQL 15 shows the same tables.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
BIN=$FM_BIN_DIR

if ! command -v psql >/dev/null; then
    say "skipped: psql is not installed (Debian's postgresql-client)"
    exit 77
fi

contract() { # domain, id
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
    description: What we have
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        required: true
        description: Its number
      - name: text
        logicalType: string
      - name: made
        logicalType: date
        required: true
YAML
}

mesh_begin psql_catalog
for domain in north south; do
    mesh_make_node "$domain"
    mesh_start_node "$domain" "" --postgres 127.0.0.1:0
    mesh_make_principal "$domain-team" reader "owner:$domain"
done
mesh_make_principal analyst reader
contract north 11111111-1111-4111-8111-111111111111 >"$MESH_DIR/north.yaml"
contract south 22222222-2222-4222-8222-222222222222 >"$MESH_DIR/south.yaml"
for domain in north south; do
    mesh_as "$domain-team" "$domain" product apply "$MESH_DIR/$domain.yaml" >/dev/null
done
mesh_wait analyst north 2 2
mesh_wait analyst south 2 2

postgres_port() { sed -n 's/.*event=postgres port=\([0-9]*\).*/\1/p' "$MESH_DIR/$1.log" | tail -n 1; }

export PGHOST=127.0.0.1 PGUSER=analyst PGDATABASE=mesh PGPORT PGPASSWORD PSQLRC=/dev/null
PGPORT=$(postgres_port south)
PGPASSWORD=$(mesh_as analyst south token)
oids=$(psql -X -qAt -c "SELECT relname, oid FROM pg_class ORDER BY 1, 2")
PGPORT=$(postgres_port north)
PGPASSWORD=$(mesh_as analyst north token)
sql() { psql -X -q -At "$@"; }
same() { # what, wanted, got
    [ "$2" = "$3" ] || die "$1: '$3', not '$2'"
}
shows() { # command, wanted: what psql says, unaligned
    same "$1" "$2" "$(sql -c "$1" 2>&1)"
}

say "other nodes give the same numbers"
same "numbers of relations" "$oids" "$(sql -c 'SELECT relname, oid FROM pg_class ORDER BY 1, 2')"

# No owner is asked: the other one is away from here on.
mesh_kill_node south

say "what there is"
shows '\dt' 'north|things|table|north
south|things|table|south'
shows '\dn' 'mesh|mesh
north|north
south|south'
shows '\l' 'mesh|mesh|UTF8|C.UTF-8|C.UTF-8||libc|'
shows '\di' 'north|things_pkey|index|north|things
south|things_pkey|index|south|things'
shows '\dx' ''
shows '\df' ''
shows '\dp north.things' 'north|things|table|||'
sql -c '\sv mesh.nodes' | grep -q '^CREATE OR REPLACE VIEW mesh.nodes AS' || die "\\sv"
sql -c '\dv' | grep -q '^mesh|receipts|view|mesh$' || die "\\dv lists no view of the mesh"
sql -c '\du' | grep -q '^analyst|' || die "\\du does not list who asks"

say "a table of another owner, with keys, types and the contract's words"
same '\d' 'Table "south.things"
Column|Type|Collation|Nullable|Default
id|bigint||not null|
text|text|||
made|date||not null|
Indexes:
    "things_pkey" PRIMARY KEY, btree (id)' "$(psql -X -A -c '\d south.things')"
sql -c '\d+ south.things' | grep -q '^id|bigint||not null||plain|.*|Its number$' ||
    die "\\d+: $(sql -c '\d+ south.things')"
shows '\dt+ south.things' 'south|things|table|south|permanent|heap||What we have'

say "functions, casts and operators of PostgreSQL"
same "format_type" "numeric(10,2)|integer|text[]" \
    "$(sql -c "SELECT format_type(1700, 655366), format_type(23, NULL), format_type(1009, -1)")"
same "regclass" "south.things|t" "$(sql -c "SELECT c.oid::regclass,
    c.oid = 'south.things'::regclass FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE nspname = 'south' AND relkind = 'r'")"
same "types are those of columns" 0 "$(sql -c "SELECT count(*) FROM pg_attribute a
    LEFT JOIN pg_type t ON t.oid = a.atttypid WHERE t.oid IS NULL")"
same "key columns" "id" "$(sql -c "SELECT a.attname FROM pg_index i JOIN pg_attribute a
    ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
    WHERE i.indrelid = 'north.things'::regclass AND i.indisprimary")"
same "who, where" "analyst|mesh|on" "$(sql -c \
    "SELECT current_user, current_database(), current_setting('standard_conforming_strings')")"
same "a pattern matches a part" "t|f" "$(sql -c "SELECT 'abc' ~ 'b', 'abc' ~ '^b'")"
same "information_schema" "id|1|NO|bigint
text|2|YES|text
made|3|NO|date" "$(sql -c "SELECT column_name, ordinal_position, is_nullable, data_type
    FROM information_schema.columns WHERE table_schema = 'south' ORDER BY 2")"

say "as drivers ask: the primary key (as pgjdbc), columns (as SQLAlchemy); not captured from them"
same "getPrimaryKeys" "mesh|north|things|id|1|things_pkey" "$(sql -c "SELECT result.TABLE_CAT, result.TABLE_SCHEM, result.TABLE_NAME, result.COLUMN_NAME,
    result.KEY_SEQ, result.PK_NAME FROM (SELECT current_database() AS TABLE_CAT, n.nspname AS
    TABLE_SCHEM, ct.relname AS TABLE_NAME, a.attname AS COLUMN_NAME,
    (information_schema._pg_expandarray(i.indkey)).n AS KEY_SEQ, ci.relname AS PK_NAME,
    information_schema._pg_expandarray(i.indkey) AS KEYS, a.attnum AS A_ATTNUM FROM
    pg_catalog.pg_class ct JOIN pg_catalog.pg_attribute a ON (ct.oid = a.attrelid) JOIN
    pg_catalog.pg_namespace n ON (ct.relnamespace = n.oid) JOIN pg_catalog.pg_index i ON (
    a.attrelid = i.indrelid) JOIN pg_catalog.pg_class ci ON (ci.oid = i.indexrelid) WHERE true
    AND n.nspname = 'north' AND ct.relname = 'things' AND i.indisprimary ) result where
    result.A_ATTNUM = (result.KEYS).x ORDER BY result.table_name, result.pk_name,
    result.key_seq")"
same "get_columns" "id|bigint|t|Its number
text|text|f|
made|date|t|" "$(sql -c "SELECT a.attname AS name, pg_catalog.format_type(a.atttypid, a.atttypmod) AS
    format_type, a.attnotnull AS not_null, pg_catalog.pg_description.description AS comment
    FROM pg_catalog.pg_class LEFT OUTER JOIN pg_catalog.pg_attribute AS a
    ON pg_catalog.pg_class.oid = a.attrelid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT OUTER JOIN pg_catalog.pg_description ON pg_catalog.pg_description.objoid = a.attrelid
    AND pg_catalog.pg_description.objsubid = a.attnum JOIN pg_catalog.pg_namespace
    ON pg_catalog.pg_namespace.oid = pg_catalog.pg_class.relnamespace
    WHERE pg_catalog.pg_class.relkind = ANY (ARRAY['r', 'p', 'f', 'v', 'm'])
    AND pg_catalog.pg_namespace.nspname = 'south' AND pg_catalog.pg_class.relname IN ('things')
    ORDER BY a.attnum")"

say "nobody else has these tables"
if mesh_as analyst north query "SELECT * FROM pg_catalog.pg_class" >"$MESH_DIR/out" 2>&1; then
    die "the catalog is there without a client of PostgreSQL"
fi
grep -q "does not exist or is not visible" "$MESH_DIR/out" || die "$(cat "$MESH_DIR/out")"
