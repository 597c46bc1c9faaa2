# ClickHouse's remote() over three servers on this machine's loopback, beside which `scripts/bench query`
# may be read; sourced, never run. The caller sets MESH_DIR, DATA and ends with clickhouse_end.
# shellcheck shell=bash

CLICKHOUSE_DIR=
declare -A CLICKHOUSE_PID CLICKHOUSE_PORT

clickhouse_find() {
    command -v clickhouse-server >/dev/null && command -v clickhouse-client >/dev/null
}

# A free port of the loopback, below those that the system gives to clients.
clickhouse_port() {
    local port
    for port in $(shuf -i 20000-30000 -n 50); do
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            printf '%s' "$port"
            return
        fi
    done
    return 1
}

# $1: server. Rest: arguments of clickhouse-client. Joins may ask a further server.
clickhouse_client() {
    clickhouse-client --host 127.0.0.1 --port "${CLICKHOUSE_PORT[$1]}" \
        --distributed_product_mode allow "${@:2}"
}

# $1: server.
clickhouse_start() {
    local dir=$CLICKHOUSE_DIR/$1 tries=0
    mkdir -p "$dir/data" "$dir/tmp"
    CLICKHOUSE_PORT[$1]=$(clickhouse_port)
    cat >"$dir/users.xml" <<XML
<yandex>
  <profiles><default></default></profiles>
  <users><default>
    <password></password><networks><ip>127.0.0.1</ip></networks>
    <profile>default</profile><quota>default</quota>
  </default></users>
  <quotas><default></default></quotas>
</yandex>
XML
    cat >"$dir/config.xml" <<XML
<yandex>
  <logger><level>warning</level><log>$dir/log</log><errorlog>$dir/errors</errorlog></logger>
  <tcp_port>${CLICKHOUSE_PORT[$1]}</tcp_port>
  <listen_host>127.0.0.1</listen_host>
  <path>$dir/data/</path>
  <tmp_path>$dir/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>268435456</mark_cache_size>
</yandex>
XML
    clickhouse-server --config-file="$dir/config.xml" >"$dir/out" 2>&1 </dev/null &
    CLICKHOUSE_PID[$1]=$!
    until clickhouse_client "$1" --query 'SELECT 1' >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 100 ] || ! kill -0 "${CLICKHOUSE_PID[$1]}" 2>/dev/null; then
            printf 'clickhouse-server does not start:\n' >&2
            tail -n 5 "$dir/out" "$dir/errors" >&2 || true
            return 1
        fi
        sleep 0.1
    done
}

# Flights in clustering order, airports by their key.
clickhouse_load() {
    CLICKHOUSE_DIR=$(mktemp -d "${TMPDIR:-/tmp}/clickhouse.XXXXXX")
    local server
    for server in flights airports asker; do clickhouse_start "$server"; done
    clickhouse_client flights -n --query 'CREATE DATABASE flights; CREATE TABLE flights.delays
        (date DateTime, delay Int32, distance Int32, origin String, destination String)
        ENGINE = MergeTree PARTITION BY tuple() ORDER BY origin'
    clickhouse_client flights --query 'INSERT INTO flights.delays FORMAT CSV' \
        <"$MESH_DIR/flights.csv"
    clickhouse_client airports -n --query 'CREATE DATABASE airports; CREATE TABLE
        airports.airport (iata String, name String, city String, state String, country String,
        latitude Float64, longitude Float64) ENGINE = MergeTree PARTITION BY tuple() ORDER BY iata'
    clickhouse_client airports --query 'INSERT INTO airports.airport FORMAT CSVWithNames' \
        <"$DATA/airports.csv"
}

# $1: number of the query. Prints it for servers that know neither two joins in one SELECT, columns
# named by their table, nor INTERSECT: what reads a right side is sent to the left side's server.
clickhouse_sql() {
    local f="remote('127.0.0.1:${CLICKHOUSE_PORT[flights]}', flights.delays)"
    local a="remote('127.0.0.1:${CLICKHOUSE_PORT[airports]}', airports.airport)"
    case $1 in
    2) printf '%s' "SELECT state, count(*) AS n, avg(delay) AS d FROM $f ALL INNER JOIN (SELECT
        iata AS origin, state FROM $a) USING origin GROUP BY state ORDER BY state" ;;
    5) printf '%s' "SELECT * FROM $f" ;;
    6) printf '%s' "SELECT os, ds, count(*) AS n, avg(delay) AS dl FROM (SELECT os, destination,
        delay FROM $f ALL INNER JOIN (SELECT iata AS origin, state AS os FROM $a) USING origin)
        ALL INNER JOIN (SELECT iata AS destination, state AS ds FROM $a) USING destination
        GROUP BY os, ds ORDER BY n DESC, os, ds LIMIT 20" ;;
    7) printf '%s' "SELECT DISTINCT origin FROM $f WHERE origin IN (SELECT iata FROM $a)" ;;
    8) printf '%s' "SELECT date, delay, origin, destination, city FROM $f ALL INNER JOIN (SELECT
        iata AS origin, city FROM $a WHERE city = 'Seattle') USING origin
        WHERE delay > 120 AND origin IN (SELECT iata FROM $a WHERE city = 'Seattle')" ;;
    *) sed -e "s/flights\.delays/$f/; s/airports\.airport/$a/" "$MESH_DIR/Q$1.sql" ;;
    esac
}

# $1: number of the query. $2: runs. The median of the client's own times in ms; rows are read, not
# printed.
clickhouse_time() {
    local i sql
    sql=$(clickhouse_sql "$1")
    for ((i = 0; i <= $2; i++)); do
        clickhouse_client asker --time --format Null --query "$sql" 2>&1
    done | sed 1d | sort -n | awk '{ times[NR] = $1 } END { print times[int((NR + 1) / 2)] * 1000 }'
}

clickhouse_end() {
    local server
    [ -n "$CLICKHOUSE_DIR" ] || return 0
    for server in "${!CLICKHOUSE_PID[@]}"; do
        kill -TERM "${CLICKHOUSE_PID[$server]}" 2>/dev/null || true
    done
    for server in "${!CLICKHOUSE_PID[@]}"; do
        wait "${CLICKHOUSE_PID[$server]}" 2>/dev/null || true
    done
    rm -rf "$CLICKHOUSE_DIR"
    CLICKHOUSE_DIR=
}
