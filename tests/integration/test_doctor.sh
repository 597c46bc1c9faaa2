#!/usr/bin/env bash
# folkmoot doctor on the folder of a real node: content with a whole one, also after SIGKILL; it
# changes nothing; a changed byte in any file that counts is noticed, and so are lost files, foreign
# keys and wrong modes.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR
DATA=$FM_DATA_DIR
NODE=

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    cat "$MESH_DIR/said" >&2
    exit 1
}

# $1: exit status wanted, $2: extended regular expression that the output has.
doctor() {
    local status=0
    "$BIN/folkmoot" doctor --dir "$NODE" --format csv >"$MESH_DIR/said" 2>&1 || status=$?
    [ "$status" -eq "$1" ] || fail "doctor: exit status $status, not $1"
    grep -Eq -- "$2" "$MESH_DIR/said" || fail "doctor does not say: $2"
}

append() {
    head -n "$1" "$DATA/airports.csv" >"$MESH_DIR/part.csv"
    mesh_as airports-team airports append airports.airport "$MESH_DIR/part.csv" >/dev/null 2>&1
}

# Segments, hot rows and superseded rows, in table files, blob files and the log.
mesh_begin test
mesh_make_node airports
NODE=$MESH_DIR/airports
doctor 0 'store,note,there is none yet'
mesh_start_node airports
mesh_make_principal airports-team reader owner:airports
mesh_as airports-team airports product apply \
    "$FM_SOURCE_DIR/examples/contracts/airports.odcs.yaml" >/dev/null
append 9999
append 501
doctor 75 'runs; stop it first'
mesh_kill_node airports
doctor 0 '^airports.airport,ok,"3876 facts \(3376 latest\), 1 segments, 500 hot rows'
mesh_start_node airports
append 51
kill -TERM "${MESH_PID[airports]}"
wait "${MESH_PID[airports]}"
unset "MESH_PID[airports]"
doctor 0 '^airports.airport,ok,"3926 facts'
root=$(grep -o 'root [0-9a-f]*' "$MESH_DIR/said")

# Looking changes nothing (but RocksDB's own diary).
sums() { (cd "$NODE" && find . -type f ! -name 'LOG*' -exec sha256sum {} + | sort); }
sums >"$MESH_DIR/before"
doctor 0 "$root"
sums | cmp - "$MESH_DIR/before" || fail "doctor changed something"

# A changed byte. RocksDB reads its table files' filters and statistics only to be faster and leaves
# out what fails its checksum: there, doctor may also find that every fact has its root.
noticed=0
places=0
for file in "$NODE"/data/slots "$NODE"/data/store/*; do
    name=${file##*/}
    case $name in
    LOCK | LOG* | IDENTITY | OPTIONS*) continue ;; # Nothing is read from these.
    esac
    size=$(stat -c %s "$file")
    [ "$size" -gt 0 ] || continue
    for i in 0 1 2 3 4; do
        offset=$((size * (2 * i + 1) / 10))
        places=$((places + 1))
        status=0
        "$BIN/flip" "$file" "$offset"
        "$BIN/folkmoot" doctor --dir "$NODE" --format csv >"$MESH_DIR/said" 2>&1 || status=$?
        "$BIN/flip" "$file" "$offset"
        case $name:$status in
        *:74)
            noticed=$((noticed + 1))
            grep -Eq ',damage,.*(backup|commit)' "$MESH_DIR/said" || fail "$name: no advice"
            ;;
        *.sst:0) grep -q "$root" "$MESH_DIR/said" || fail "$name, byte $offset: another root" ;;
        *) fail "a change of $name at byte $offset of $size: exit status $status" ;;
        esac
    done
done
doctor 0 "$root"
[ "$places" -ge 40 ] || fail "only $places places were changed"
[ "$noticed" -ge $((places * 3 / 4)) ] || fail "only $noticed of $places changes were noticed"

# Lost files and folders.
for file in "$NODE"/data/slots "$NODE"/data/store "$NODE"/data/store/*.{sst,blob,log} \
    "$NODE"/data/store/{CURRENT,MANIFEST-*}; do
    mv "$file" "$MESH_DIR/lost"
    doctor 74 'damage'
    mv "$MESH_DIR/lost" "$file"
done
truncate -s -9 "$(printf '%s\n' "$NODE"/data/store/*.log | tail -n 1)"
doctor 74 'facts are missing'

# The identity. From here on without a store.
rm -r "$NODE/data"
for file in keys log gossip; do
    chmod 644 "$NODE/$file"
    doctor 77 "^$file,fault,.*chmod 600"
    chmod 600 "$NODE/$file"
    mv "$NODE/$file" "$MESH_DIR/lost"
    doctor 77 "^$file,fault,.*put the file back"
    mv "$MESH_DIR/lost" "$NODE/$file"
done
mesh_make_node other
cp "$NODE/log" "$MESH_DIR/log"
cp "$MESH_DIR/other/log" "$NODE/log"
doctor 77 '^log,fault,the certificate names other keys'
cp "$MESH_DIR/log" "$NODE/log"
for i in 1 2 3 4; do
    offset=$(($(stat -c %s "$NODE/certificate") * i / 5))
    "$BIN/flip" "$NODE/certificate" "$offset"
    doctor 77 '^certificate,fault,'
    "$BIN/flip" "$NODE/certificate" "$offset"
done
printf 'data: [\n' >"$NODE/node.yaml"
doctor 65 'node.yaml:'
rm "$NODE/node.yaml"
doctor 0 '^certificate,ok,'
NODE=$MESH_DIR/nobody
doctor 66 'there is no folder'
printf 'ok\n'
