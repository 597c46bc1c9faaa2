#!/usr/bin/env bash
# The verbs that need no node: founding a mesh, admitting nodes, principals, settings, and what each
# of them answers to bad input. Secrets are 0600, nothing is overwritten, nothing half done.
set -euo pipefail
folkmoot=$FM_BIN_DIR/folkmoot
top=$(mktemp -d)
trap 'rm -rf -- "$top"' EXIT
cd "$top"
failures=0

fail() {
    printf 'FAILED: %s\n' "$*"
    failures=$((failures + 1))
}

# $1: exit status, $2: extended regular expression of the message. Rest: arguments.
refused() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    "$folkmoot" "$@" >said 2>&1 </dev/null || status=$?
    [ "$status" -eq "$wanted" ] || fail "folkmoot $*: exit status $status, not $wanted"
    grep -Eq -- "^folkmoot: .*($pattern)" said || fail "folkmoot $*: $(cat said)"
}

secret() {
    [ "$(stat -c %a "$1")" = 600 ] || fail "$1 has mode $(stat -c %a "$1")"
}

# ---- A mesh
"$folkmoot" mesh create demo --dir mesh >out
grep -q 'authority: 1 of 1 keys must sign (a single key decides alone)' out || fail "one key"
secret mesh/authority
secret mesh/gossip
refused 73 'created once' mesh create demo --dir mesh
refused 65 'name' mesh create '' --dir other
refused 74 'make the folder' mesh create demo --dir no/such/folder
"$folkmoot" mesh create council --dir council --keys 3 --threshold 2 >out
grep -q '2 of 3 keys' out || fail "three keys"
[ "$(ls council | tr '\n' ' ')" = "authority-1 authority-2 authority-3 charter gossip " ] ||
    fail "council has $(ls council)"

# ---- A node
"$folkmoot" node init --dir shop --name shop-1 >out
secret shop/keys
secret shop/log
refused 73 'keys' node init --dir shop --name shop-1
invite=(node invite --mesh mesh --request shop/request --out shop.invite)
refused 65 "'Shop'" "${invite[@]}" --domain Shop
refused 65 "'mesh'" "${invite[@]}" --domain mesh
refused 65 'twice' "${invite[@]}" --domain shop --domain shop
refused 65 'no address' "${invite[@]}" --domain shop --seed nowhere
refused 64 'from 1 to 30' "${invite[@]}" --days 31
refused 66 'no/request' node invite --mesh mesh --request no/request --out x
refused 65 'is not a node.s request' node invite --mesh mesh --request mesh/charter --out x
refused 66 'charter' node invite --mesh shop --request shop/request --out x
[ ! -e shop.invite ] || fail "a refused invite was written"
"$folkmoot" "${invite[@]}" --domain shop --domain stock --seed '[::1]:7410' >out
mv council/authority-1 council/authority-2 .
refused 77 '1 authority keys; .* demands 2' node invite --mesh council --request shop/request --out x
mv authority-1 authority-2 council
rm council/authority-2
"$folkmoot" node invite --mesh council --request shop/request --domain shop --out council.invite >out

# ---- Joining
refused 66 'no.invite' node join --dir shop --invite no.invite
refused 65 'is not an invite' node join --dir shop --invite mesh/charter
head -c 300 shop.invite >cut.invite
refused 65 'is not an invite' node join --dir shop --invite cut.invite
"$folkmoot" node init --dir other --name other-1 >out
refused 77 'another node' node join --dir other --invite shop.invite
[ ! -e other/certificate ] || fail "a refused invite was installed"
"$folkmoot" node join --dir shop --invite shop.invite >out
grep -q '^domains shop stock$' out || fail "domains: $(cat out)"
secret shop/gossip
grep -q '\[::1\]:7410' shop/node.yaml || fail "the seed is not in node.yaml"
printf 'log_level: warn\n' >shop/node.yaml
"$folkmoot" node join --dir shop --invite shop.invite >out
[ "$(cat shop/node.yaml)" = "log_level: warn" ] || fail "node.yaml was overwritten"
refused 73 'another mesh' node join --dir shop --invite council.invite
chmod 644 shop/keys
refused 77 'keys' node join --dir shop --invite shop.invite
chmod 600 shop/keys

# ---- Settings: defaults, then the file, then options
printf 'listen: 127.0.0.1:7001\nmemory_mib: 128\nseeds: [a:1]\n' >shop/node.yaml
"$folkmoot" node start --dir shop --print-config --listen '[::1]:7002' --seed b:2 --seed c:3 >config
grep -q '^listen: "\[::1\]:7002"$' config || fail "a flag does not win"
grep -q '^memory_mib: 128$' config || fail "the file does not win"
grep -q '^seeds: \["b:2", "c:3"\]$' config || fail "seeds: $(grep ^seeds config)"
grep -q '^log_level: info$' config || fail "a default is missing"
"$folkmoot" node start --dir shop --config config --print-config >again
cmp config again || fail "what is printed is not read back"
printf 'listen: 127.0.0.1:1\nlisen: x\n' >shop/node.yaml
refused 65 'shop/node.yaml:2:1: .*lisen' node start --dir shop --print-config
printf 'memory_mib: lots\n' >shop/node.yaml
refused 65 'shop/node.yaml:1:13: .*from 64' node start --dir shop
printf 'a: [\n' >shop/node.yaml
refused 65 'shop/node.yaml:2:1: not YAML' node start --dir shop
rm shop/node.yaml
refused 65 '--listen: .*no address' node start --dir shop --listen nowhere
refused 65 '--log-level: .*debug' node start --dir shop --log-level loud
refused 66 'no.yaml' node start --dir shop --config no.yaml
refused 66 'charter' node start --dir nosuch

# ---- Principals
refused 65 'role' principal create ann --mesh mesh --role king --out ann
refused 65 'role' principal create ann --mesh mesh --role owner --out ann
refused 77 'lives longer' principal create ann --mesh mesh --role reader --days 400 --out ann
[ ! -e ann ] || fail "a refused principal was written"
"$folkmoot" principal create ann --mesh mesh --role reader --role owner:shop --out ann >out
secret ann/keys
cmp ann/charter mesh/charter || fail "another charter"
refused 73 'keys' principal create ann --mesh mesh --role reader --out ann

# ---- Asking when nobody is there
reach=(--node 127.0.0.1:1 --as ann --timeout 2)
refused 69 '127.0.0.1:1' query 'select 1' "${reach[@]}"
refused 66 'nobody/' members --node 127.0.0.1:1 --as nobody
refused 66 'rows.csv' append shop.orders rows.csv "${reach[@]}"
# A contract's mistakes are found without a node, under the file's own name.
printf 'kind: [x\nname: y\n' >bad.yaml
refused 65 'bad.yaml:[0-9]+:[0-9]+: not YAML' product plan bad.yaml "${reach[@]}"
sed 's/logicalType: timestamp/logicalType: instant/' \
    "$FM_SOURCE_DIR/examples/contracts/flights.odcs.yaml" >bad.yaml
refused 65 "bad.yaml:23:22: .*'instant'" product apply bad.yaml "${reach[@]}"

# ---- Verifying
printf 'FMANSW1' >short.answer
refused 76 'short.answer' verify short.answer --charter mesh/charter
refused 66 'no.answer' verify no.answer --charter mesh/charter
refused 66 'no.charter' verify short.answer --charter no.charter
refused 76 'charter' verify short.answer --charter shop/request

[ "$failures" -eq 0 ]
