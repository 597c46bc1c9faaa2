#!/usr/bin/env bash
# scripts/setup without a network: the programs that it calls are played by stand-ins.
# A whole package is installed once; a changed one leaves nothing behind; without root the missing
# Debian packages are named.
set -euo pipefail

top=$(mktemp -d)
trap 'rm -rf -- "$top"' EXIT
source=${FM_SOURCE_DIR:-$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)}
export FOLKMOOT_CACHE=$top/cache FM_PINS=$top/pins
export PATH=$top/bin:$PATH
mkdir -p "$top/bin" "$top/tarballs"

fail() {
    printf 'FAILED: %s\n' "$*"
    [ ! -f "$top/said" ] || cat "$top/said"
    exit 1
}

stand_in() { # $1: program. Standard input: its script.
    cat >"$top/bin/$1"
    chmod +x "$top/bin/$1"
}

# $1: package. Rest: its files. Appends a pin of it for use $use.
make_package() {
    local name=$1 tarball=$top/tarballs/${1//\//_}-1.0.0.tgz file folder
    shift
    folder=$(mktemp -d "$top/package.XXXXXX")
    for file in "$@"; do
        mkdir -p "$folder/package/$(dirname -- "$file")"
        printf 'contents of %s\n' "$file" >"$folder/package/$file"
    done
    tar -czf "$tarball" -C "$folder" package
    printf '%s %s 1.0.0 sha512-%s\n' "$use" "$name" \
        "$(openssl dgst -sha512 -binary "$tarball" | base64 -w 0)" >>"$FM_PINS"
}

# npm pack NAME@VERSION ...: copies a tarball made above, notes that it was asked.
stand_in npm <<END
#!/bin/sh
name=\${2%@*}
echo "\$name" >>"$top/asked"
cp "$top/tarballs/\$(printf %s "\$name" | tr / _)-1.0.0.tgz" .
END
# Everything is installed.
stand_in dpkg-query <<'END'
#!/bin/sh
for name in "$@"; do echo "$name installed"; done
END

use=duckdb-lib-$(uname -m) make_package @some/duckdb libduckdb.so LICENSE
use=duckdb-header make_package duckdb src/duckdb/src/include/duckdb.h
use=data make_package vega data/{flights-3m.parquet,airports.csv,weather.csv,zipcodes.csv,other.csv}

setup() {
    "$source/scripts/setup" "$@" >"$top/said" 2>&1
}

if setup --check; then
    fail "an empty cache counts as filled"
fi
setup || fail "setup"
duckdb=$("$source/scripts/setup" --print DUCKDB_ROOT)
data=$("$source/scripts/setup" --print FM_DATA_DIR)
for file in "$duckdb"/{lib/libduckdb.so,include/duckdb.h} "$data"/{airports.csv,flights-3m.parquet}; do
    [ -f "$file" ] || fail "$file is missing"
done
[ ! -e "$data/other.csv" ] || fail "more was unpacked than needed"
setup --check || fail "a filled cache counts as incomplete"
[ "$(wc -l <"$top/asked")" -eq 3 ] || fail "npm was asked $(wc -l <"$top/asked") times, not 3"
setup || fail "second setup"
[ ! -s "$top/said" ] || fail "the second setup has something to say"
[ "$(wc -l <"$top/asked")" -eq 3 ] || fail "the second setup asked npm again"

# The package is a good one, but not the one that is pinned.
rm -rf "$FOLKMOOT_CACHE"
use=data FM_PINS=/dev/null make_package vega data/{flights-3m.parquet,airports.csv,weather.csv} \
    data/{zipcodes.csv,more.csv}
if setup; then
    fail "a changed package was installed"
fi
grep -q 'vega@1.0.0 is not the package' "$top/said" || fail "the message does not name the package"
[ ! -e "$data" ] || fail "something of a changed package was installed"
[ -f "$duckdb/include/duckdb.h" ] || fail "the package before it was not kept"
[ -z "$(find "$FOLKMOOT_CACHE" -name 'tmp.*')" ] || fail "temporary files were left"

# Nothing is installed and the caller is not root.
stand_in dpkg-query <<'END'
#!/bin/sh
exit 1
END
stand_in id <<'END'
#!/bin/sh
echo 1000
END
if setup; then
    fail "missing packages went unnoticed"
fi
grep -q 'apt-get install .* librocksdb-dev' "$top/said" || fail "the packages are not named"
