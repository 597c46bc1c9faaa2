#!/usr/bin/env bash
# Every verb's help fits a screen of 24 lines and 80 columns and shows an example, and wrong use is
# answered on stderr with exit status 64.
set -euo pipefail
folkmoot=$FM_BIN_DIR/folkmoot
failures=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failures=$((failures + 1))
}

# Rest: the words before --help.
fits() {
    local text
    text=$("$folkmoot" "$@" --help) || fail "folkmoot $* --help: exit status $?"
    [ "$(wc -l <<<"$text")" -le 24 ] || fail "folkmoot $* --help has more than 24 lines"
    [ "$(awk '{ if (length($0) > n) n = length($0) } END { print n }' <<<"$text")" -le 80 ] ||
        fail "folkmoot $* --help has more than 80 columns"
    grep -qi 'example' <<<"$text" || fail "folkmoot $* --help shows no example"
}

# $1: text that the message must have. Rest: arguments.
misused() {
    local wanted=$1 status=0 out err
    shift
    err=$("$folkmoot" "$@" 2>&1 >/dev/null </dev/null) || status=$?
    out=$("$folkmoot" "$@" 2>/dev/null </dev/null) || true
    [ "$status" -eq 64 ] || fail "folkmoot $*: exit status $status, not 64"
    [ -z "$out" ] || fail "folkmoot $*: wrote to standard output"
    [[ $err == "folkmoot: "*"$wanted"* ]] || fail "folkmoot $*: $err"
}

fits
for group in mesh node principal product; do
    fits "$group"
    misused "second word" "$group"
    misused "no verb '$group nonsense'" "$group" nonsense
done
while read -r first second _; do
    case $first in
    mesh | node | principal | product)
        for word in ${second//|/ }; do
            fits "$first" "$word"
            misused "'--nonsense' is not known" "$first" "$word" --nonsense
        done
        ;;
    *)
        fits "$first"
        misused "'--nonsense' is not known" "$first" --nonsense
        ;;
    esac
done < <("$folkmoot" --help | sed -n 's/^  \([a-z]\)/\1/p' | grep -v '^folkmoot')

misused "a verb is missing"
misused "no verb 'nonsense'" nonsense
misused "give statements, or --file" query
misused "give statements, or --file" query a --file b
misused "not of 2" query a b --save c
misused "there is no statement in it" query - </dev/null
misused "needs a value" query "select 1" --format
misused "takes table, csv" query "select 1" --format xml
misused "takes a number" query "select 1" --timeout soon
misused "takes a number" query "select 1" --max-rows 0
misused "takes fail or skip" query "select 1" --on-unavailable maybe
misused "goes with --on-unavailable skip" query "select 1" --allow-partial-aggregates
misused "there is no rule \"shop\"" query "select 1" --without ship,shop
misused "FOLKMOOT_NODE" query "select 1"
misused "FOLKMOOT_IDENTITY" query "select 1" --node 127.0.0.1:1
misused "--charter" verify some.answer
misused "the form of" append flights.delays rows.txt
misused "go together" append flights.delays rows.csv --sequence 4
misused "32 hex digits" append flights.delays rows.csv --producer ab --sequence 4
misused "--dir" mesh create demo
misused "of 2 keys, 3" mesh create demo --dir nowhere --keys 2 --threshold 3

"$folkmoot" version | grep -Eq '^folkmoot [0-9.]+ \([0-9a-z]+\), protocol 1$' || fail "version"
status=0
"$folkmoot" version >/dev/full 2>/dev/null || status=$?
[ "$status" -eq 74 ] || fail "a full standard output: exit status $status, not 74"

[ "$failures" -eq 0 ]
