#!/usr/bin/env bash
# folkmoot backup and restore with the folder of a real node: backups share what did not change, a
# restored store answers the same with the same roots, and a backup that is not as it was kept is
# refused with nothing changed.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
DATA=$FM_DATA_DIR

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    cat "$MESH_DIR/said" >&2
    exit 1
}

# $1: exit status wanted, $2: extended regular expression that the output has. Rest: arguments.
says() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    "$BIN/folkmoot" "$@" >"$MESH_DIR/said" 2>&1 || status=$?
    [ "$status" -eq "$wanted" ] || fail "folkmoot $*: exit status $status, not $wanted"
    grep -Eq -- "$pattern" "$MESH_DIR/said" || fail "folkmoot $* does not say: $pattern"
}

append() {
    head -n "$1" "$DATA/airports.csv" >"$MESH_DIR/part.csv"
    mesh_as airports-team airports append airports.airport "$MESH_DIR/part.csv" >/dev/null 2>&1
}

stop() {
    kill -TERM "${MESH_PID[airports]}"
    wait "${MESH_PID[airports]}"
    unset "MESH_PID[airports]"
}

# Rows, and what the node says about its log, to $1.
ask() {
    mesh_as airports-team airports query \
        'SELECT * FROM airports.airport ORDER BY iata' --format csv --no-receipts >"$1"
    mesh_as airports-team airports query \
        'SELECT count(*), max(latitude) FROM airports.airport' --format csv --no-receipts >>"$1"
}

root_of() {
    "$BIN/folkmoot" doctor --dir "$NODE" --format csv | grep -o 'root [0-9a-f]*'
}

mesh_begin test
: >"$MESH_DIR/said"
mesh_make_node airports
mesh_make_node other
NODE=$MESH_DIR/airports
KEPT=$MESH_DIR/kept
says 66 'there is no folder' backup --dir "$NODE" --out "$KEPT"
mesh_start_node airports
mesh_make_principal airports-team reader owner:airports
mesh_as airports-team airports product apply \
    "$FM_SOURCE_DIR/examples/contracts/airports.odcs.yaml" >/dev/null
append 9999
append 501
says 75 'runs, or' backup --dir "$NODE" --out "$KEPT"
[ -z "$(ls "$KEPT")" ] || fail "a refused backup left $(ls "$KEPT")"
stop
mesh_start_node airports # RocksDB makes table files of its log as it opens.
append 51
ask "$MESH_DIR/answer.1"
stop
cp -a "$NODE/data" "$MESH_DIR/before"
mesh_start_node airports "${MESH_ADDRESS[airports]}"

# A running node is backed up for an operator only, from its own folder only.
as_operator=(--node "${MESH_ADDRESS[airports]}" --as "$MESH_DIR/operator")
mesh_make_principal operator operator
for other in airports-team reader; do
    [ -d "$MESH_DIR/$other" ] || mesh_make_principal "$other" reader
    says 77 'needs the role operator' backup --dir "$NODE" --out "$KEPT" \
        --node "${MESH_ADDRESS[airports]}" --as "$MESH_DIR/$other"
done
[ ! -e "$NODE/data/checkpoint" ] && [ -z "$(ls "$KEPT")" ] || fail "a refused backup left something"
LIVE=$MESH_DIR/live
says 0 '^1 tables \(1 signed heads\)' backup --dir "$NODE" --out "$LIVE" "${as_operator[@]}"
[ ! -e "$NODE/data/checkpoint" ] || fail "the checkpoint stays"
append 21
(while [ ! -e "$MESH_DIR/enough" ]; do append 11; done) & # Beside the next one.
appender=$!
says 0 'backup .*/000002' backup --dir "$NODE" --out "$LIVE" "${as_operator[@]}"
grep -Eq 'linked [1-9]' "$MESH_DIR/said" || fail "the second backup shares nothing"
: >"$MESH_DIR/enough"
wait "$appender" || fail "an append failed beside a backup"
(cd "$LIVE/000002" && sha256sum --quiet -c files.sha256) || fail "sha256sum does not agree"
append 41
mkdir "$NODE/data/checkpoint" # As if a backup had been interrupted before the node was killed.
mesh_kill_node airports
mesh_start_node airports "${MESH_ADDRESS[airports]}"
[ ! -e "$NODE/data/checkpoint" ] || fail "a checkpoint stays after a start"
stop
rm -r "$NODE/data"
says 0 '^1 signed heads verified' restore --from "$LIVE" --dir "$NODE"
says 0 'airport,ok' doctor --dir "$NODE" --format csv
rm -r "$NODE/data"
says 0 '^1 signed heads verified' restore --from "$LIVE/000001" --dir "$NODE"
mesh_start_node airports "${MESH_ADDRESS[airports]}"
ask "$MESH_DIR/answer.live"
stop
cmp "$MESH_DIR/answer.1" "$MESH_DIR/answer.live" || fail "other rows than when it was backed up"
says 0 'backup .*/000003' backup --dir "$NODE" --out "$LIVE" "${as_operator[@]}" # It rests.
rm -r "$NODE/data"
mv "$MESH_DIR/before" "$NODE/data"

# The first, and one more of the same: nothing is copied, and every file is the same one.
says 0 '^1 tables \(1 signed heads\)' backup --dir "$NODE" --out "$KEPT"
root=$(root_of)
says 0 'copied 0 bytes' backup --dir "$NODE" --out "$KEPT"
for file in "$KEPT"/000001/store/* "$KEPT/000001/slots"; do
    [ "$file" -ef "${file/000001/000002}" ] || fail "$file is no link"
done
(cd "$KEPT/000002" && sha256sum --quiet -c files.sha256) || fail "sha256sum does not agree"
[ "$(stat -c %a "$KEPT")" = 700 ] || fail "others may read the backups"
key=$(tail -c 24 "$NODE/keys" | od -An -v -tx1 | tr -d ' \n' | sed 's/../\\x&/g')
LC_ALL=C grep -qP "$key" "$NODE/keys" || fail "the key is not looked for rightly"
if LC_ALL=C grep -rqP "$key" "$KEPT"; then fail "a key is in the backup"; fi

# After more appends what did not change is shared, what did is not.
mkdir "$KEPT/000003.new" # Left by a backup that was interrupted.
mesh_start_node airports "${MESH_ADDRESS[airports]}"
append 101
stop
says 0 'backup .*/000003' backup --dir "$NODE" --out "$KEPT"
shared=0
for file in "$KEPT"/000001/store/*.{sst,blob}; do
    [ ! "$file" -ef "${file/000001/000003}" ] || shared=$((shared + 1))
done
[ "$shared" -ge 3 ] || fail "only $shared files are shared"
[ ! -e "$KEPT/000003.new" ] || fail "leftovers stay"
[ "$(root_of)" != "$root" ] || fail "an append did not change the root"

# On another file system the backup before is what is linked to.
far=$(mktemp -d -p /dev/shm 2>/dev/null || mktemp -d)
trap 'rm -rf "$far"; mesh_end' EXIT
says 0 'linked 0 files|linked [0-9]+ files' backup --dir "$NODE" --out "$far"
says 0 'copied 0 bytes' backup --dir "$NODE" --out "$far"
[ "$far/000001/slots" -ef "$far/000002/slots" ] || fail "nothing is shared on another file system"

# The store of the first day, on the latest one's place: its rows, its root, its heads.
says 73 'empty folder only' restore --from "$KEPT" --dir "$NODE"
mv "$NODE/data" "$MESH_DIR/data"
mkdir "$NODE/data" "$NODE/data.restoring"
says 0 '^1 signed heads verified' restore --from "$KEPT/000001" --dir "$NODE"
[ "$(root_of)" = "$root" ] || fail "the restored store has another root"
[ ! -e "$NODE/data.restoring" ] || fail "leftovers stay"
for file in "$NODE"/data/store/*; do
    [ ! "$file" -ef "$KEPT/000001/store/${file##*/}" ] || fail "a restored store shares $file"
done
mesh_start_node airports "${MESH_ADDRESS[airports]}"
ask "$MESH_DIR/answer.again"
cmp "$MESH_DIR/answer.1" "$MESH_DIR/answer.again" || fail "other rows than before"
append 31
stop
says 0 'airport,ok,"3956 facts' doctor --dir "$NODE" --format csv
rm -r "$NODE/data"
(cd "$KEPT/000001" && sha256sum --quiet -c files.sha256) || fail "the node changed a backup"

# Refused: each leaves nothing behind. $1: exit status, $2: pattern; the backup is in "$BAD".
BAD=$MESH_DIR/bad
refused() {
    says "$1" "$2" restore --from "$BAD" --dir "$NODE"
    [ ! -e "$NODE/data" ] && [ ! -e "$NODE/data.restoring" ] || fail "something was left behind"
}
cp -r "$KEPT/000003" "$BAD"
places=0
while read -r file; do
    size=$(stat -c %s "$BAD/$file")
    for i in 0 1 2; do
        "$BIN/flip" "$BAD/$file" $((size * (2 * i + 1) / 6))
        refused 74 'nothing was changed'
        "$BIN/flip" "$BAD/$file" $((size * (2 * i + 1) / 6))
        places=$((places + 1))
    done
    mv "$BAD/$file" "$MESH_DIR/lost"
    if [ "$file" = files.sha256 ]; then refused 66 'it is no backup'; else refused 74 'missing'; fi
    mv "$MESH_DIR/lost" "$BAD/$file"
done < <(cd "$BAD" && find . -type f -size +0 -printf '%P\n')
[ "$places" -ge 40 ] || fail "only $places places were changed"
touch "$BAD/store/000099.sst"
refused 74 'store/000099.sst is not in the'
rm "$BAD/store/000099.sst"

# Checksums that fit do not help: the roots are computed from the facts, the heads are signed.
sums() { (cd "$BAD" && find heads manifest slots store -type f | LC_ALL=C sort | xargs sha256sum >files.sha256); }
sed -i '/^table /s/[0-9a-f]\{4\}$/0000/' "$BAD/manifest"
sums
refused 74 'airports.airport is not as the manifest says'
sed -i 's/^table /Table /' "$BAD/manifest"
sums
refused 74 'manifest fails its checksum'
cp "$KEPT/000003/manifest" "$BAD/manifest"
cp "$KEPT/000001/slots" "$BAD/slots"
rm -r "$BAD/store"
cp -r "$KEPT/000001/store" "$BAD/store"
sums
refused 74 'airports.airport is not as the manifest says'
rm -r "$BAD"
cp -r "$KEPT/000003" "$BAD"
cp "$KEPT"/000001/heads/* "$BAD/heads/"
sums
refused 76 'head is of other facts'
"$BIN/flip" "$BAD/heads/airports.airport" 220
sums
refused 76 'heads/airports.airport'

# Another node's folder, nothing to restore, a store that is damaged.
says 73 'belongs to node' restore --from "$KEPT" --dir "$MESH_DIR/other"
[ ! -e "$MESH_DIR/other/data" ] || fail "a foreign backup was restored"
says 66 'no backup' restore --from "$NODE" --dir "$NODE"
says 0 '^1 signed heads verified' restore --from "$KEPT" --dir "$NODE"
"$BIN/flip" "$(printf '%s\n' "$NODE"/data/store/*.blob | head -n 1)" 5000
says 74 'no backup was made' backup --dir "$NODE" --out "$KEPT"
[ ! -e "$KEPT/000004" ] && [ ! -e "$KEPT/000004.new" ] || fail "a damaged store was kept"
printf 'ok\n'
