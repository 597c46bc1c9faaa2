#!/usr/bin/env bash
# scripts/check must complain about each kind of wrong include, and about nothing else.
set -euo pipefail

top=$(mktemp -d)
trap 'rm -rf -- "$top"' EXIT
source=${FM_SOURCE_DIR:-$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)}
mkdir -p "$top"/{scripts,docs,include,core,gossip,storage,query/worker,client,node/cli,tests/unit}
cp "$source"/scripts/{check,lib.sh} "$top/scripts/"
cp "$source/docs/architecture.md" "$top/docs/"
cp "$source/.clang-format" "$top/"

failures=0

# $1: file. $2: its include. $3: "fine", or words of the complaint.
expect() {
    local said status=0
    printf '#include %s\n' "$2" >"$top/$1"
    said=$(cd / && "$top/scripts/check" --includes "$top/$1" 2>&1) || status=$?
    rm "$top/$1"
    if [ "$3" = fine ] && [ "$status" -eq 0 ] && [ -z "$said" ]; then
        return
    fi
    if [ "$3" != fine ] && [ "$status" -eq 1 ] && [[ $said == "$1:1: error: "*"$3"* ]]; then
        return
    fi
    printf '%s with %s: expected "%s", got status %s and "%s"\n' "$1" "$2" "$3" "$status" "$said"
    failures=$((failures + 1))
}

expect include/folkmoot.h '<stdint.h>' fine
expect include/folkmoot.h '"core/time.h"' 'include/ may not include core/'
expect core/a.c '"core/time.h"' fine
expect core/a.c '<sodium.h>' fine
expect core/a.c '<openssl/evp.h>' fine
expect core/a.c '"gossip/swim.h"' 'core/ may not include gossip/'
expect core/a.c '<jansson.h>' fine
expect core/a.c '<nng/nng.h>' 'core/ may not use nng'
expect core/a.c '<jansson/unheard_of.h>' 'in no row'
expect core/a.c '"time.h"' "from the repository's top"
expect core/a.c '"../core/time.h"' "from the repository's top"
expect core/a.c 'SOME_MACRO' 'names no file'
expect gossip/a.c '"core/time.h"' fine
expect gossip/a.c '<string.h>' fine
expect gossip/a.c '<time.h>' 'gossip/ may not include <time.h>'
expect gossip/a.c '<sys/socket.h>' 'gossip/ may not include <sys/socket.h>'
expect gossip/a.c '<stdio.h>' 'gossip/ may not include <stdio.h>'
expect gossip/a.c '<msgpack.h>' 'gossip/ may not use msgpack'
expect gossip/a.c '"storage/store.h"' 'gossip/ may not include storage/'
expect storage/a.c '<rocksdb/c.h>' fine
expect storage/a.c '"query/plan.h"' 'storage/ may not include query/'
expect query/a.c '<jansson.h>' fine
expect query/a.c '<duckdb.h>' 'query/ may not use DuckDB'
expect query/a.c '"query/worker/scan.h"' 'query/ may not include query/worker/'
expect query/worker/a.c '<duckdb.h>' fine
expect query/worker/a.c '"query/plan.h"' fine
expect query/worker/a.c '"storage/store.h"' 'query/worker/ may not include storage/'
expect client/a.c '<nng/nng.h>' fine
expect client/a.c '"node/config.h"' 'client/ may not include node/'
expect node/cli/a.c '"storage/store.h"' fine
expect node/cli/a.c '<duckdb.h>' 'node/ may not use DuckDB'
expect tests/unit/a.c '<duckdb.h>' fine
expect elsewhere.c '<stdint.h>' 'has no row'

# Formatting, and what it leaves alone.
printf 'int  a;\n' >"$top/core/a.c"
if (cd "$top" && scripts/check) >/dev/null 2>&1; then
    echo "two spaces passed as formatted"
    failures=$((failures + 1))
fi
(cd "$top" && scripts/check --fix core/a.c && scripts/check)
printf '/* %0100d */\n' 1 >"$top/core/a.c"
if (cd "$top" && scripts/check) >/dev/null 2>&1; then
    echo "a comment of 106 columns passed"
    failures=$((failures + 1))
fi

if [ "$failures" -gt 0 ]; then
    echo "$failures expectations failed"
    exit 1
fi
