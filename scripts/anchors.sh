# PostgreSQL's postgres_fdw over three servers on this machine, beside which `scripts/bench query` may be
# read; sourced, never run. The caller sets MESH_DIR, DATA, BIN and ends with anchors_end.
# shellcheck shell=bash

ANCHORS_DIR=
ANCHORS_BIN=

# The newest installed server's programs; nothing: none is installed.
anchors_find() {
    local dir
    for dir in /usr/lib/postgresql/*/bin; do
        if [ -x "$dir/initdb" ] && [ -e "${dir%/bin}/lib/postgres_fdw.so" ]; then
            ANCHORS_BIN=$dir
        fi
    done
    [ -n "$ANCHORS_BIN" ] || return 1
    # A server refuses to run as root.
    [ "$(id -u)" -ne 0 ] || { id postgres && command -v setpriv; } >/dev/null 2>&1
}

# Run a program as the servers' user.
anchors_as() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && setpriv --reuid=postgres --regid=postgres --clear-groups "$@")
    else
        "$@"
    fi
}

# $1: server. Rest: arguments of psql.
anchors_psql() {
    anchors_as "$ANCHORS_BIN/psql" -X -q -v ON_ERROR_STOP=1 -h "$ANCHORS_DIR/$1" -U bench postgres \
        "${@:2}"
}

# $1: server, which listens on a socket in its own folder only.
anchors_start() {
    local dir=$ANCHORS_DIR/$1
    anchors_as "$ANCHORS_BIN/initdb" -D "$dir" -U bench -A trust --locale=C --encoding=UTF8 -N \
        >/dev/null
    cat >>"$dir/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$dir'
shared_buffers = 512MB
work_mem = 64MB
fsync = off
CONF
    anchors_as "$ANCHORS_BIN/pg_ctl" -D "$dir" -l "$dir/log" -s -w start
}

anchors_load() {
    ANCHORS_DIR=$(mktemp -d "${TMPDIR:-/tmp}/anchors.XXXXXX")
    [ "$(id -u)" -ne 0 ] || chown postgres "$ANCHORS_DIR"
    local server
    for server in flights airports asker; do anchors_start "$server"; done
    anchors_psql flights -c 'CREATE SCHEMA flights; CREATE TABLE flights.delays (date timestamp,
        delay int, distance int, origin text, destination text)' \
        -c "\\copy flights.delays FROM PSTDIN CSV" <"$MESH_DIR/flights.csv"
    anchors_psql flights -c 'CREATE INDEX ON flights.delays (origin)' -c 'VACUUM ANALYZE'
    anchors_psql airports -c 'CREATE SCHEMA airports; CREATE TABLE airports.airport (iata text
        PRIMARY KEY, name text, city text, state text, country text, latitude float8,
        longitude float8)' -c "\\copy airports.airport FROM PSTDIN CSV HEADER" <"$DATA/airports.csv"
    anchors_psql airports -c 'VACUUM ANALYZE'
    anchors_psql asker -c 'CREATE EXTENSION postgres_fdw'
    for server in flights airports; do
        anchors_psql asker -c "CREATE SCHEMA $server;
            CREATE SERVER $server FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host
            '$ANCHORS_DIR/$server', dbname 'postgres', use_remote_estimate 'true',
            fetch_size '10000');
            CREATE USER MAPPING FOR bench SERVER $server OPTIONS (user 'bench');
            IMPORT FOREIGN SCHEMA $server FROM SERVER $server INTO $server"
    done
}

# $1: statement. $2: runs. The median of psql's own times in ms, which end before it prints.
anchors_time() {
    local commands=(-c '\timing on') i
    for ((i = 0; i <= $2; i++)); do commands+=(-c "$1"); done
    anchors_psql asker -A -t "${commands[@]}" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p' |
        sed 1d | sort -n | awk '{ times[NR] = $1 } END { print times[int((NR + 1) / 2)] }'
}

anchors_end() {
    local server
    [ -n "$ANCHORS_DIR" ] || return 0
    for server in asker flights airports; do
        anchors_as "$ANCHORS_BIN/pg_ctl" -D "$ANCHORS_DIR/$server" -s -m immediate stop || true
    done
    rm -rf "$ANCHORS_DIR"
    ANCHORS_DIR=
}
