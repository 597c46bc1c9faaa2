#!/usr/bin/env bash
# A node tells the service manager that started it that it is ready, that it lives, and that it stops;
# by a path and by an abstract name; its own processes cannot speak for it. The unit is one that
# systemd takes.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
BIN=$FM_BIN_DIR

# $1: name of a socket, $2: file. Writes what is told there, a line each.
listen() {
    perl -MSocket -e '
        my ($name, $file) = @ARGV;
        $name =~ s/^@/\0/;
        socket(my $in, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!\n";
        bind($in, pack_sockaddr_un($name)) or die "bind: $!\n";
        open(my $out, ">", $file) or die "$file: $!\n";
        $out->autoflush(1);
        print $out "listening\n";
        while (defined recv($in, my $text, 4096, 0)) { print $out "$text\n"; }
    ' "$@" &
    listener=$!
    local tries=0
    until grep -qs listening "$2"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || die "nobody listens"
        sleep 0.05
    done
}

end_listener() { kill "$listener" 2>/dev/null || true; }

# $1: how often, $2: what, $3: file. Waits until it was told so often.
told() {
    local tries=0
    until [ "$(grep -cx -- "$2" "$3")" -ge "$1" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 200 ] || die "'$2' was not told $1 times: $(tr '\n' ' ' <"$3")"
        sleep 0.05
    done
}

mesh_begin systemd
MESH_AT_END=end_listener
mesh_make_node things

said=$MESH_DIR/said
listen "$MESH_DIR/socket" "$said"
export NOTIFY_SOCKET=$MESH_DIR/socket WATCHDOG_USEC=600000
mesh_start_node things
told 1 READY=1 "$said"
told 3 WATCHDOG=1 "$said"
for process in $(pgrep -P "${MESH_PID[things]}"); do
    ! tr '\0' '\n' <"/proc/$process/environ" | grep -E '^(NOTIFY|WATCHDOG)' ||
        die "the node's processes know the manager's socket"
done
! grep -x STOPPING=1 "$said" || die "stopping was told too early"
mesh_stop_node things
told 1 STOPPING=1 "$said"
[ "$(sed -n 2p "$said")" = READY=1 ] || die "the first word is not that it is ready"
end_listener

# Signs of life that another process is to give.
said=$MESH_DIR/abstract
listen "@folkmoot-test-$$" "$said"
NOTIFY_SOCKET=@folkmoot-test-$$ WATCHDOG_PID=1 mesh_start_node things
told 1 READY=1 "$said"
sleep 0.7
! grep -x WATCHDOG=1 "$said" || die "a sign of life for another process"
mesh_stop_node things
end_listener

status=0
NOTIFY_SOCKET=$MESH_DIR/nothing "$BIN/folkmoot" node start --dir "$MESH_DIR/things" \
    >"$MESH_DIR/out" 2>&1 || status=$?
[ "$status" -eq 74 ] && grep -q "reach the service manager" "$MESH_DIR/out" ||
    die "a manager that is not there: exit status $status"
unset NOTIFY_SOCKET WATCHDOG_USEC

if command -v systemd-analyze >/dev/null; then
    # The manuals are not installed here, and the program is elsewhere.
    sed "s|^ExecStart=folkmoot|ExecStart=$BIN/folkmoot|; /^Documentation/d" \
        "$FM_ROOT/scripts/package/folkmoot@.service" >"$MESH_DIR/folkmoot@.service"
    cp "$MESH_DIR/folkmoot@.service" "$MESH_DIR/folkmoot@things.service"
    complaints=$(systemd-analyze verify "$MESH_DIR/folkmoot@things.service" 2>&1 |
        grep -F folkmoot@ || true)
    [ -z "$complaints" ] || die "systemd does not take the unit: $complaints"
else
    say "without systemd-analyze: the unit is not verified"
fi
