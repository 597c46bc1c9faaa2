#!/usr/bin/env bash
# What `cmake --install` leaves is whole: with the build and the cache out of sight, the installed
# programs run a mesh, and the example in C, compiled with what pkg-config says, asks it. The library
# shows what its header declares, and nothing else.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
build=$(dirname -- "$FM_BIN_DIR")

if [ ! -f "$build/scripts/package/cmake_install.cmake" ]; then
    say "skipped: this build is not one to install"
    exit 77
fi
if [ -z "${INSTALLED:-}" ]; then
    INSTALLED=$(mktemp -d "${TMPDIR:-/tmp}/folkmoot-install.XXXXXX")
    export INSTALLED
    trap 'rm -rf -- "$INSTALLED"' EXIT
    DESTDIR=$INSTALLED quietly "the installation" cmake --install "$build" --prefix /usr
    # The package has the same, and names the libraries that it needs.
    if [ -n "${FM_LONG:-}" ] && command -v dpkg-shlibdeps >/dev/null; then
        quietly "cpack" cpack -G DEB -B "$INSTALLED/deb" --config "$build/CPackConfig.cmake"
        package=$(find "$INSTALLED/deb" -maxdepth 1 -name 'folkmoot_*.deb')
        needs=$(dpkg-deb -f "$package" Depends)
        for name in libc6 libnng1 librocksdb7.8 libsodium23 libseccomp2 libmicrohttpd12; do
            [[ ", $needs" == *", $name ("* ]] || die "the package does not name $name: $needs"
        done
        [[ $needs != *duckdb* ]] || die "the package names what it brings"
        dpkg -x "$package" "$INSTALLED/unpacked"
        diff <(cd "$INSTALLED/usr" && find . | sort) <(cd "$INSTALLED/unpacked/usr" && find . | sort) ||
            die "the package has other files than the installation"
        "$INSTALLED/unpacked/usr/bin/folkmoot" mesh up "$INSTALLED/demo" >"$INSTALLED/told"
        "$INSTALLED/unpacked/usr/bin/folkmoot" mesh down "$INSTALLED/demo" --remove
    fi
    if unshare -m true 2>/dev/null; then
        unshare -m bash "$0"
    else
        say "without a mount namespace: the build stays in sight"
        bash "$0"
    fi
    exit 0
fi

prefix=$INSTALLED/usr
# Programs of the build that would be found by mistake are not there now.
duckdb=$("$FM_ROOT/scripts/setup" --print DUCKDB_ROOT)
if mount -t tmpfs none "$duckdb" 2>/dev/null; then
    mount -t tmpfs none "$FM_BIN_DIR"
    [ ! -e "$FM_BIN_DIR/folkmoot-worker" ] && [ ! -e "$duckdb/lib" ] || die "the build is in sight"
fi
for file in "$prefix/bin/folkmoot" "$prefix"/lib/folkmoot/*; do
    ! ldd "$file" | grep -F 'not found' || die "$file lacks libraries"
    ! readelf -d "$file" | grep -E "R(UN)?PATH.*\[/" || die "$file points to a fixed folder"
done

library=$(find "$prefix" -name 'libfolkmoot.so')
archive=$(find "$prefix" -name 'libfolkmoot.a')
declared=$(grep -o 'folkmoot_[a-z_]*(' "$prefix/include/folkmoot.h" | tr -d '(' | sort -u)
for shown in "$(nm -D --defined-only "$library" | sed -n 's/^.* T //; s/@@FOLKMOOT_0$//p' | sort)" \
    "$(nm -g --defined-only "$archive" | sed -n 's/^.* [A-Z] //p' | sort)"; do
    diff <(printf '%s\n' "$declared") <(printf '%s\n' "$shown") ||
        die "the library does not show what its header declares"
done
readelf -d "$library" | grep 'SONAME.*libfolkmoot\.so\.[0-9]*\]' >/dev/null || die "no SONAME"

PKG_CONFIG_PATH=$(dirname -- "$library")/pkgconfig
export PKG_CONFIG_PATH
read -ra flags < <(pkg-config --cflags --libs folkmoot)
cc -std=c11 -Wall -Wextra -Werror "$FM_ROOT/examples/c/ask.c" "${flags[@]}" -o "$INSTALLED/ask"
read -ra private < <(pkg-config --libs --static folkmoot | sed 's/-lfolkmoot//')
cc -std=c11 -I"$prefix/include" "$FM_ROOT/examples/c/ask.c" "$archive" \
    "${private[@]}" -o "$INSTALLED/ask-static"
! ldd "$INSTALLED/ask-static" | grep libfolkmoot || die "the archive was not linked"
printf '#include <folkmoot.h>\nint main() { return folkmoot_status_text(FOLKMOOT_OK) == 0; }\n' |
    c++ -x c++ -Wall -Wextra -Wpedantic -Werror - "${flags[@]}" -o "$INSTALLED/plus"

BIN=$prefix/bin
export LD_LIBRARY_PATH=${library%/*}
"$INSTALLED/plus"
mesh_begin install
mesh_make_node things
mesh_start_node things
mesh_make_principal team reader owner:things
mesh_make_principal analyst reader
mesh_as team things product apply - >/dev/null <<'YAML'
apiVersion: v3.1.0
kind: DataContract
id: 11111111-1111-4111-8111-111111111111
name: Things
version: 1.0.0
status: active
domain: things
dataProduct: things
schema:
  - name: things
    logicalType: object
    physicalType: table
    properties:
      - name: id
        logicalType: integer
        primaryKey: true
        required: true
      - name: text
        logicalType: string
YAML
printf 'id,text\n1,one\n2,\n3,three\n' >"$MESH_DIR/rows.csv"
mesh_as team things append things.things "$MESH_DIR/rows.csv" >/dev/null

for program in ask ask-static; do
    said=$("$INSTALLED/$program" "${MESH_ADDRESS[things]}" "$MESH_DIR/analyst" \
        "SELECT id, upper(text) AS text FROM things.things ORDER BY id" 2>"$MESH_DIR/receipts")
    [ "$said" = $'1\tONE\n2\t\n3\tTHREE' ] || die "$program: $said"
    grep -qx 'signed by things for domain things' "$MESH_DIR/receipts" || die "$program: no receipt"
    status=0
    "$INSTALLED/$program" "${MESH_ADDRESS[things]}" "$MESH_DIR/analyst" "SELECT nothing FROM things.things" \
        >"$MESH_DIR/failed" 2>&1 || status=$?
    [ "$status" -eq 1 ] && grep -q nothing "$MESH_DIR/failed" || die "$program: no error for a wrong name"
done
