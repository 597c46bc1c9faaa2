#!/usr/bin/env bash
# folkmoot erase on real nodes: two tables of a domain name the same subjects; one subject is erased,
# and its personal and secret values are NULL for whoever asks wherever, of the history too, after
# restarts and in restored backups, while the other's stay and saved answers still verify.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/mesh.sh"
BIN=$FM_BIN_DIR

fail() {
    printf 'FAILED: %s\n' "$*" >&2
    cat "$MESH_DIR/said" >&2
    exit 1
}

# $1: exit status wanted, $2: extended regular expression that the output has. Rest: a command.
says() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    "$@" >"$MESH_DIR/said" 2>&1 || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: exit status $status, not $wanted"
    grep -Eq -- "$pattern" "$MESH_DIR/said" || fail "$* does not say: $pattern"
}

# $1: node, $2: SQL, $3: the rows expected.
expect() {
    local got
    got=$(mesh_as analyst "$1" query "$2" --format csv --no-receipts 2>"$MESH_DIR/said" |
        tail -n +2) || fail "$2 at $1"
    [ "$got" = "$3" ] || fail "$2 at $1: expected $(printf '\n%s\ngot\n%s' "$3" "$got")"
}

append() {
    printf '%s\n' "${@:2}" >"$MESH_DIR/rows.csv"
    mesh_as shop-team shop append "shop.$1" "$MESH_DIR/rows.csv"
}

stop() {
    kill -TERM "${MESH_PID[shop]}"
    wait "${MESH_PID[shop]}"
    unset "MESH_PID[shop]"
}

# Start it where it was, and wait until the other node reaches it.
start() {
    local tries=0
    mesh_start_node shop "${MESH_ADDRESS[shop]}"
    until mesh_as analyst other query 'SELECT count(*) FROM shop.parcel' >"$MESH_DIR/said" 2>&1; do
        tries=$((tries + 1))
        [ "$tries" -le 100 ] || fail "the other node does not reach it again"
        sleep 0.1
    done
}

# What is to be seen once ada (customer-17) is erased and bob (customer-18) is not. $1: node.
check_erased() {
    expect "$1" 'SELECT customer, mail, pin IS NULL, city FROM shop.customer ORDER BY customer' \
        'customer-17,,true,Bern
customer-18,bob@example.org,false,Oslo'
    expect "$1" 'SELECT customer, address FROM shop.parcel ORDER BY number' \
        'customer-17,
customer-18,Quay 2'
    # shellcheck disable=SC2016 # A name of SQL.
    expect "$1" 'SELECT _seq, customer, mail, city FROM shop."customer$facts" ORDER BY _seq' \
        '0,customer-17,,Rome
1,customer-18,bob@example.org,Oslo
2,customer-17,,Bern'
    expect "$1" 'SELECT mail, city FROM shop.customer AT (VERSION => 2) ORDER BY city' \
        'bob@example.org,Oslo
,Rome'
    expect "$1" "SELECT count(*) FROM shop.customer WHERE mail LIKE 'ada%'" 0
}

content() {
    says 0 '^shop.customer,ok,"3 facts' "$BIN/folkmoot" doctor --dir "$MESH_DIR/shop" --format csv
    if grep -Eq 'damage|fault' "$MESH_DIR/said"; then fail "the doctor is not content"; fi
}

mesh_begin test
: >"$MESH_DIR/said"
for name in other shop; do
    mesh_make_node "$name"
    mesh_start_node "$name"
done
mesh_make_principal shop-team reader owner:shop
mesh_make_principal clerk reader appender:shop owner:other operator
mesh_make_principal analyst reader
cat >"$MESH_DIR/shop.yaml" <<'YAML'
apiVersion: v3.1.0
kind: DataContract
id: 6a0f2d68-91c1-4b5a-8f6e-0c3b1f7be001
name: Customers
version: 1.0.0
status: active
domain: shop
dataProduct: customers
schema:
  - name: customer
    logicalType: object
    properties:
      - name: customer
        logicalType: string
        primaryKey: true
        customProperties: [{property: folkmoot.subject, value: true}]
      - {name: mail, logicalType: string, required: true, classification: personal}
      - {name: pin, logicalType: integer, classification: secret}
      - {name: city, logicalType: string}
  - name: parcel
    logicalType: object
    properties:
      - {name: number, logicalType: integer, primaryKey: true}
      - name: customer
        logicalType: string
        required: true
        customProperties: [{property: folkmoot.subject, value: true}]
      - {name: address, logicalType: string, classification: personal}
YAML
mesh_as shop-team shop product apply "$MESH_DIR/shop.yaml" >/dev/null
mesh_wait analyst other 2 1
append customer customer,mail,pin,city customer-17,ada@example.org,1111,Rome \
    customer-18,bob@example.org,2222,Oslo >"$MESH_DIR/said" 2>&1
append customer customer,mail,pin,city customer-17,ada@example.com,3333,Bern >"$MESH_DIR/said" 2>&1
append parcel number,customer,address '1,customer-17,Lane 1' '2,customer-18,Quay 2' \
    >"$MESH_DIR/said" 2>&1
saved=$MESH_DIR/before.answer
mesh_as analyst other query 'SELECT * FROM shop.customer ORDER BY customer' --format csv \
    --save "$saved" >"$MESH_DIR/before.csv" 2>"$MESH_DIR/said" || fail "no answer"
[ "$(sed -n 2p "$MESH_DIR/before.csv")" = customer-17,ada@example.com,3333,Bern ] ||
    fail "another answer before: $(cat "$MESH_DIR/before.csv")"

# Who may not, where not, and what is not there; none of it erases anything.
for who in analyst clerk; do
    says 77 'needs the role owner:shop' mesh_as "$who" shop erase shop customer-17 --yes
done
says 65 "does not own domain shop: erase at its node shop, address ${MESH_ADDRESS[shop]}" \
    mesh_as shop-team other erase shop customer-17 --yes
says 66 'no facts of this subject' mesh_as shop-team shop erase shop customer-71 --yes
says 66 'no facts of this subject' mesh_as shop-team shop erase shop '' --yes
says 66 'no table that names data subjects' mesh_as clerk other erase other customer-17 --yes
says 64 'nobody can be asked here' mesh_as shop-team shop erase shop customer-17 </dev/null
says 64 'is no domain' mesh_as shop-team shop erase shop.customer customer-17 --yes
long=$(printf '%4097s' '' | tr ' ' x)
says 65 'more than 4096 bytes' mesh_as shop-team shop erase shop "$long" --yes
says 65 '4097 bytes; at most 4096 can be erased' append customer customer,mail "$long,a@example.org"
says 65 'not UTF-8' mesh_as shop-team shop erase shop $'\xff' --yes
printf 'customer-17\ncustomer-18\n' >"$MESH_DIR/both"
says 65 'several lines' mesh_as shop-team shop erase shop - --yes <"$MESH_DIR/both"
expect other 'SELECT count(mail), count(pin) FROM shop.customer' 2,2

# A terminal is asked, and only yes is yes.
export FOLKMOOT_IDENTITY=$MESH_DIR/shop-team FOLKMOOT_NODE=${MESH_ADDRESS[shop]}
on_terminal() { printf '%s\n' "$@" | script -qec "$BIN/folkmoot erase shop $subject" /dev/null; }
if command -v script >/dev/null; then
    subject=customer-17
    says 75 'nothing was erased' on_terminal no
    grep -q 'values of the subject customer-17' "$MESH_DIR/said" || fail "no question"
    subject=-
    says 75 'nothing was erased' on_terminal customer-17 y
    expect other 'SELECT count(mail), count(pin) FROM shop.customer' 2,2
fi
unset FOLKMOOT_IDENTITY FOLKMOOT_NODE

# Erased by the owner, from standard input; again, it says so.
"$BIN/folkmoot" backup --dir "$MESH_DIR/shop" --out "$MESH_DIR/early" \
    --node "${MESH_ADDRESS[shop]}" --as "$MESH_DIR/clerk" >"$MESH_DIR/said" 2>&1 || fail "no backup"
printf 'customer-17\n' >"$MESH_DIR/one"
says 0 '^erased in domain shop, 2 tables with subjects$' \
    mesh_as shop-team shop erase shop - --yes <"$MESH_DIR/one"
says 0 '^was erased before in domain shop, 2 tables' \
    mesh_as shop-team shop erase shop customer-17 --yes
check_erased shop
check_erased other
says 77 'was erased in the domain shop' append customer customer,mail customer-17,new@example.org
says 77 'was erased in the domain shop' append parcel number,customer,address '3,customer-17,Lane 1'
says 0 . "$BIN/folkmoot" verify "$saved" --charter "$MESH_DIR/mesh/charter"
grep -q 'subject erased.*domain=shop.*principal=shop-team' "$MESH_DIR/shop.log" ||
    fail "the node's log does not say who erased where"
if grep 'customer-17' "$MESH_DIR/shop.log" >"$MESH_DIR/said"; then fail "the node's log names the subject"; fi

# It stays: restarted, after SIGKILL, in a backup and in what is restored of it.
mesh_kill_node shop
content
start
check_erased shop
check_erased other
says 0 'was erased before' mesh_as shop-team shop erase shop customer-17 --yes
stop
content
says 0 'backup ' "$BIN/folkmoot" backup --dir "$MESH_DIR/shop" --out "$MESH_DIR/kept"
mv "$MESH_DIR/shop/data" "$MESH_DIR/lost"
says 0 . "$BIN/folkmoot" restore --from "$MESH_DIR/kept" --dir "$MESH_DIR/shop"
content
start
check_erased shop
check_erased other

# A backup from before has the key, as the manual says: who restores it erases again.
stop
mv "$MESH_DIR/shop/data" "$MESH_DIR/lost.2"
says 0 . "$BIN/folkmoot" restore --from "$MESH_DIR/early" --dir "$MESH_DIR/shop"
mesh_start_node shop
expect shop 'SELECT count(mail), count(pin) FROM shop.customer' 2,2
says 0 '^erased in domain shop' mesh_as shop-team shop erase shop customer-17 --yes
check_erased shop
printf 'ok\n'
