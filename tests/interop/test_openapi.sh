#!/usr/bin/env bash
# docs/openapi.yaml against a running node: every path and method that it names answers with a status, a
# type and members that it names, with a token and without; and there is no path beside them.
set -euo pipefail
FM_ROOT=$FM_SOURCE_DIR
. "$FM_ROOT/scripts/lib.sh"
. "$FM_ROOT/scripts/mesh.sh"
BIN=$FM_BIN_DIR
file=$FM_ROOT/docs/openapi.yaml

if ! command -v curl >/dev/null; then
    say "skipped: curl is not installed (Debian's curl)"
    exit 77
fi

mesh_begin openapi
mesh_make_node north
mesh_start_node north "" --http 127.0.0.1:0
mesh_make_principal team reader owner:north
cat >"$MESH_DIR/north.yaml" <<'YAML'
apiVersion: v3.1.0
kind: DataContract
id: 11111111-1111-4111-8111-111111111111
name: north
version: 1.0.0
status: active
domain: north
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
YAML
mesh_as team north product apply "$MESH_DIR/north.yaml" >/dev/null
printf 'id\n1\n' >"$MESH_DIR/rows.csv"
mesh_as team north append north.things "$MESH_DIR/rows.csv" >/dev/null
base=http://127.0.0.1:$(sed -n 's/.*event=http port=\([0-9]*\).*/\1/p' "$MESH_DIR/north.log")
token=$(mesh_as team north token)

# What the file says, a line each: path, method, open or token, status, type, schema (or -). The types of a
# response that stands under components are those of Problem.
described() {
    awk '
        function put(type, schema) { print path, method, open, status, type, schema }
        function flush() { if (type != "") put(type, schema); type = "" }
        /^[a-z]/ { flush(); in_paths = $1 == "paths:" }
        !in_paths { next }
        /^  \// { flush(); path = $1; sub(/:$/, "", path) }
        /^    [a-z]+:$/ { flush(); method = toupper($1); sub(/:$/, "", method); open = "token" }
        /^      [a-z]/ { flush(); in_responses = $1 == "responses:" }
        /^      security: \[\]/ { open = "open" }
        !in_responses { next }
        /^        "[0-9]+":$/ { flush(); status = $1; gsub(/[":]/, "", status) }
        /^          \$ref: "#\/components\/responses\/Problem"/ {
            put("application/problem+json", "Problem")
        }
        /^            [a-z]+\/[a-z.+-]+:$/ { flush(); type = $1; sub(/:$/, "", type); schema = "-" }
        /^                \$ref:/ { schema = $2; gsub(/.*\/|"/, "", schema) }
        END { flush() }' "$file"
}

# The members that a schema requires.
required() {
    awk -v name="    $1:" '
        $0 == name { inside = 1; next }
        /^    [A-Z]/ { inside = 0 }
        inside && /required:/ { gsub(/.*\[|\].*|,/, ""); print }' "$file"
}

table=things # That is asked for.
answers() { # method, path, type; then curl's arguments
    local method=$1 path=$2 accept=$3 body=()
    shift 3
    [ "$method" != POST ] || body=(-H "Content-Type: text/plain" -d "FROM north.$table")
    path=${path/\{domain\}/north}
    curl -s --max-time 30 -o "$MESH_DIR/body" -w '%{http_code} %{content_type}' -X "$method" \
        -H "Accept: $accept" "${body[@]}" "$@" "$base${path/\{name\}/$table}"
}

described >"$MESH_DIR/described"
say "$(wc -l <"$MESH_DIR/described") answers are described"
while read -r path method open status type schema; do
    case $status in
    200) got=$(answers "$method" "$path" "$type" -H "Authorization: Bearer $token") ;;
    401) got=$(answers "$method" "$path" "$type") ;;
    404)
        table=nothing
        got=$(answers "$method" "$path" '*/*' -H "Authorization: Bearer $token")
        table=things
        ;;
    *) continue ;; # tests/interop/test_http.sh has them, but for those that no test can bring about.
    esac
    got=${got%%;*}
    [ "$got" = "$status $type" ] || die "$method $path: '$got', not '$status $type'"
    [ "$schema" = - ] || for member in $(required "$schema"); do
        grep -q "\"$member\":" "$MESH_DIR/body" ||
            die "$method $path, $schema: no $member: $(head -c 2000 "$MESH_DIR/body")"
    done
    if [ "$open" = open ] && [ "$status" = 200 ]; then
        got=$(answers "$method" "$path" "$type")
        [ "${got%% *}" = 200 ] || die "$method $path wants a token, against its description"
    fi
done <"$MESH_DIR/described"

say "a path that takes a token says so, and answers no other method"
cut -d ' ' -f 1-3 "$MESH_DIR/described" | sort -u >"$MESH_DIR/paths"
while read -r path method open; do
    [ "$open" = open ] || grep -q "^$path $method token 401 " "$MESH_DIR/described" ||
        die "$method $path: its 401 is not described"
    got=$(answers DELETE "$path" '*/*' -D "$MESH_DIR/head")
    [ "${got%% *}" = 405 ] || die "DELETE $path: $got"
    grep -qi "^allow: $method" "$MESH_DIR/head" || die "$path does not allow $method"
done <"$MESH_DIR/paths"

say "all routes are described"
sed -n 's/^    {"\([A-Z]*\)", "\(\/[^"]*\)",.*/\2 \1/p' "$FM_ROOT/node/http/routes.c" | sort \
    >"$MESH_DIR/routes"
cut -d ' ' -f 1-2 "$MESH_DIR/paths" | sed 's/{[a-z]*}/*/g' | sort |
    diff "$MESH_DIR/routes" - >&2 || die "routes.c and openapi.yaml differ"
answers GET /openapi.yaml '*/*' >/dev/null
cmp "$file" "$MESH_DIR/body" || die "the node serves another description"
mesh_stop_node north
