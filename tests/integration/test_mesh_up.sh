#!/usr/bin/env bash
# A whole mesh in one command: what it prints can be pasted and is answered. `mesh down` ends exactly
# the processes that `mesh up` started, and removes only when told to.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/lib.sh"
export PATH=$FM_BIN_DIR:$PATH
top=$(mktemp -d "${TMPDIR:-/tmp}/folkmoot-up.XXXXXX")
dir=$top/demo

finish() {
    local status=$?
    [ ! -f "$top/true" ] || cp "$top/true" "$dir/running"
    folkmoot mesh down "$dir" >/dev/null 2>&1 || true
    rm -rf -- "$top"
    exit "$status"
}
trap finish EXIT

# $1: exit status, $2: what the message has. Rest: the command.
refused() {
    local wanted=$1 text=$2 status=0
    shift 2
    "$@" >"$top/out" 2>&1 || status=$?
    [ "$status" -eq "$wanted" ] && grep -qF -- "$text" "$top/out" ||
        die "$*: exit status $status, $(<"$top/out")"
}

refused 64 "cannot be a domain's name" folkmoot mesh up "$dir" --domains a,,b
refused 64 "given twice" folkmoot mesh up "$dir" --domains a,b,a
refused 64 "at most 16" folkmoot mesh up "$dir" --domains a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q
[ ! -e "$dir" ] || die "a refused call made the folder"
folkmoot mesh up "$dir" --domains north,south >"$top/told"
refused 73 "is there already" folkmoot mesh up "$dir"

# $1: process id. Not one that has ended and that nobody asked about.
runs() { grep '^State:.[^ZX]' "/proc/$1/status" >/dev/null 2>&1; }

# As a person pastes it.
eval "$(grep '^  export ' "$top/told")"
eval "$(grep '^  folkmoot query ' "$top/told") --format csv --no-receipts" >"$top/rows"
[ "$(<"$top/rows")" = $'items,amount\n100,4670' ] || die "folkmoot query: $(<"$top/rows")"
folkmoot product list --format csv | grep '^south,items,' >/dev/null || die "no product"
if command -v psql >/dev/null; then
    paste=$(grep '^  PGPASSWORD=' "$top/told")
    rows=$(eval "$paste -XAt -c 'SELECT count(*) FROM south.items'")
    [ "$rows" = 100 ] || die "psql: $rows"
fi
if command -v curl >/dev/null; then
    paste=$(sed -n '/^  curl /,/v1\/query$/p' "$top/told")
    eval "$paste -sS" >"$top/rows"
    grep -F 4670 "$top/rows" >/dev/null || die "curl: $(<"$top/rows")"
fi

# A process that took the id over is not ended: it began at another time.
cp "$dir/running" "$top/true"
awk '{ print $1, $2, $3 + 1 }' "$top/true" >"$dir/running"
folkmoot mesh down "$dir"
[ ! -s "$dir/running" ] || die "what has ended is still said to run"
while read -r name pid _; do
    runs "$pid" || die "node $name was ended by its id alone"
done <"$top/true"
cp "$top/true" "$dir/running"
folkmoot mesh down "$dir"
while read -r name pid _; do
    ! runs "$pid" || die "node $name still runs"
    tail -n 1 "$dir/$name.log" | grep event=stopped >/dev/null || die "node $name did not end well"
done <"$top/true"
rm "$top/true"
[ -d "$dir/north/data" ] || die "the data went without --remove"
folkmoot mesh down "$dir" --remove
[ ! -e "$dir" ] || die "--remove left $(find "$dir" | head)"

# What is no mesh of `mesh up` is left alone.
mkdir "$top/other"
refused 66 "not a folder of folkmoot mesh up" folkmoot mesh down "$top/other" --remove
[ -d "$top/other" ] || die "a strange folder was removed"
