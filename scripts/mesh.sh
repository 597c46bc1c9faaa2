# A mesh of real nodes on loopback for the demo, the benchmarks and the tests; sourced, never run. The
# caller sets BIN (folder of the programs), calls mesh_begin, and gets everything stopped and removed
# when it exits. Only processes that were started here are ever signalled, by their id.
# shellcheck shell=bash

declare -A MESH_PID MESH_ADDRESS
MESH_DIR=
MESH_SEED=
MESH_AT_END= # A function to call when all has stopped.

# $1: mesh name. Makes a private folder with the mesh's authority in it.
mesh_begin() {
    MESH_DIR=$(mktemp -d "${TMPDIR:-/tmp}/folkmoot.XXXXXX")
    trap mesh_end EXIT
    trap 'exit 130' INT TERM
    "$BIN/folkmoot" mesh create "$1" --dir "$MESH_DIR/mesh" >"$MESH_DIR/mesh.out"
}

# $1: node, which owns the domain of the same name. Makes its folder and lets it join.
mesh_make_node() {
    local dir=$MESH_DIR/$1 seed=()
    [ -z "$MESH_SEED" ] || seed=(--seed "$MESH_SEED")
    "$BIN/folkmoot" node init --dir "$dir" --name "$1" >/dev/null
    "$BIN/folkmoot" node invite --mesh "$MESH_DIR/mesh" --request "$dir/request" --domain "$1" \
        "${seed[@]}" --out "$MESH_DIR/$1.invite" >/dev/null
    "$BIN/folkmoot" node join --dir "$dir" --invite "$MESH_DIR/$1.invite" >/dev/null
}

# $1: node. $2: address to listen on (default: any free port). Rest: further options. Starts it and
# waits until it serves.
mesh_start_node() {
    local name=$1 listen=${2:-127.0.0.1:0} log=$MESH_DIR/$1.log tries=0
    # For other clients it listens where an option says so; the last one counts.
    "$BIN/folkmoot" node start --dir "$MESH_DIR/$name" --listen "$listen" --postgres "" --http "" \
        "${@:3}" >>"$log" 2>&1 </dev/null &
    MESH_PID[$name]=$!
    : >"$log.ready"
    until grep -q 'event=ready' "$log.ready"; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ] || ! kill -0 "${MESH_PID[$name]}" 2>/dev/null; then
            printf 'node %s does not start; its log:\n' "$name" >&2
            tail -n 20 "$log" >&2
            return 1
        fi
        sleep 0.1
        # Lines of this start only: a restarted node appends to its log.
        awk '/event=ready/ { line = $0 } /event=stopped/ { line = "" } END { print line }' \
            "$log" >"$log.ready"
    done
    MESH_ADDRESS[$name]=$(sed -n 's/.*address=\([^ ]*\).*/\1/p' "$log.ready")
    [ -n "$MESH_SEED" ] || MESH_SEED=${MESH_ADDRESS[$name]}
}

# $1: node. SIGKILL: as if the machine had stopped.
mesh_kill_node() {
    kill -KILL "${MESH_PID[$1]}"
    wait "${MESH_PID[$1]}" 2>/dev/null || true
    unset "MESH_PID[$1]"
    printf 'event=stopped\n' >>"$MESH_DIR/$1.log"
}

# $1: node. SIGTERM, and wait.
mesh_stop_node() {
    kill -TERM "${MESH_PID[$1]}"
    wait "${MESH_PID[$1]}" || true
    unset "MESH_PID[$1]"
    printf 'event=stopped\n' >>"$MESH_DIR/$1.log"
}

# $1: principal, $2...: roles.
mesh_make_principal() {
    local name=$1 roles=()
    shift
    local role
    for role in "$@"; do roles+=(--role "$role"); done
    "$BIN/folkmoot" principal create "$name" --mesh "$MESH_DIR/mesh" "${roles[@]}" \
        --out "$MESH_DIR/$name" >/dev/null
}

# $1: principal, $2: node to ask. Rest: verb and arguments.
mesh_as() {
    local principal=$1 node=$2
    shift 2
    FOLKMOOT_IDENTITY=$MESH_DIR/$principal FOLKMOOT_NODE=${MESH_ADDRESS[$node]} \
        "$BIN/folkmoot" "$@"
}

# $1: principal, $2: node, $3: number of members, $4: number of products. Waits until the node sees
# them.
mesh_wait() {
    local tries=0 members products
    while :; do
        members=$(mesh_as "$1" "$2" members --format ndjson | grep -c '"state":"alive"' || true)
        products=$(mesh_as "$1" "$2" product list --format ndjson | grep -c . || true)
        [ "$members" -lt "$3" ] || [ "$products" -lt "$4" ] || return 0
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ]; then
            printf 'node %s sees %s of %s members and %s of %s products after 15 s\n' \
                "$2" "$members" "$3" "$products" "$4" >&2
            return 1
        fi
        sleep 0.1
    done
}

mesh_end() {
    local status=$? name
    trap - EXIT
    for name in "${!MESH_PID[@]}"; do
        kill -TERM "${MESH_PID[$name]}" 2>/dev/null || true
    done
    for name in "${!MESH_PID[@]}"; do
        wait "${MESH_PID[$name]}" 2>/dev/null || true
    done
    [ -z "$MESH_AT_END" ] || "$MESH_AT_END"
    if [ -n "${FOLKMOOT_KEEP:-}" ]; then
        printf 'kept: %s\n' "$MESH_DIR" >&2
    else
        rm -rf "$MESH_DIR"
    fi
    exit "$status"
}

# The three domains of the examples, with their data. $1: folder of the data sets.
mesh_demo_nodes() {
    local name
    for name in flights airports weather; do
        mesh_make_node "$name"
        mesh_start_node "$name"
        mesh_make_principal "$name-team" reader "owner:$name"
    done
    mesh_make_principal analyst reader
    for name in flights airports weather; do
        mesh_wait analyst "$name" 3 0
    done
}
