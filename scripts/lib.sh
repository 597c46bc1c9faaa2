# Shared by the scripts in this folder; sourced, never run. The caller has set -euo pipefail.
# shellcheck shell=bash

# The repository's top, whatever the working directory is.
FM_ROOT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

# The name before the colon in every message.
FM_SELF=${0##*/}

say() {
    printf '%s: %s\n' "$FM_SELF" "$*" >&2
}

die() {
    say "$*"
    exit 1
}

# Where the things that git does not keep live. `~` also works when HOME is unset.
fm_cache_dir() {
    local home=~
    printf '%s\n' "${FOLKMOOT_CACHE:-${XDG_CACHE_HOME:-$home/.cache}/folkmoot}"
}

# The comment block under a script's first line is its manual.
print_help() {
    sed -n '2,/^[^#]/{s/^# \{0,1\}//p}' "$0"
}

# Run a command quietly; when it fails show what it said.
# $1: what is being done, for the message. Rest: the command.
quietly() {
    local what=$1 log status=0
    shift
    log=$(mktemp)
    # Descriptor 9 is the caller's lock: what the command leaves running must not keep it.
    "$@" >"$log" 2>&1 </dev/null 9>&- || status=$?
    if [ "$status" -ne 0 ]; then
        cat "$log" >&2
        rm -f "$log"
        say "$what failed (exit status $status)"
        return "$status"
    fi
    rm -f "$log"
}
