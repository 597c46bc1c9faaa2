#!/usr/bin/env bash
# The manual pages and the completion that the build makes out of the program: each verb has a page
# that renders without a warning and tells every option that the verb's help tells; the library's page
# has each function; completion offers verbs, second words, options and the few values of some.
set -euo pipefail
. "$FM_SOURCE_DIR/scripts/lib.sh"
manuals=$(dirname -- "$FM_BIN_DIR")/scripts/package/manuals
if [ ! -f "$manuals/completion" ]; then
    say "skipped: this build makes no manuals"
    exit 77
fi
folkmoot=$FM_BIN_DIR/folkmoot

verbs=()
while read -r first second _; do
    case $first in
    mesh | node | principal | product) for word in ${second//|/ }; do verbs+=("$first $word"); done ;;
    *) verbs+=("$first") ;;
    esac
done < <("$folkmoot" --help | sed -n 's/^  \([a-z]\)/\1/p')
[ ${#verbs[@]} -ge 15 ] || die "only ${#verbs[@]} verbs"

pages=("$manuals"/man?/*)
[ ${#pages[@]} -eq $((${#verbs[@]} + 3)) ] || die "${#pages[@]} pages for ${#verbs[@]} verbs"
if command -v groff >/dev/null; then
    warnings=$(groff -man -ww -z -K utf8 -T utf8 "${pages[@]}" 2>&1)
    [ -z "$warnings" ] || die "the pages do not render: $warnings"
else
    say "without groff: the pages are not rendered"
fi

# $1: page. Its text as it is read.
plain() { sed 's/\\&//g; s/\\-/-/g; s/\\e/\\/g' "$1"; }

# shellcheck disable=SC1091
. "$manuals/completion"
# What is offered behind the words; the last one is being typed. In $offered.
offer() {
    COMP_WORDS=(folkmoot "$@")
    COMP_CWORD=$#
    COMPREPLY=()
    _folkmoot 2>/dev/null
    offered=" ${COMPREPLY[*]} "
}

top=$(plain "$manuals/man1/folkmoot.1")
library=$(plain "$manuals/man3/libfolkmoot.3")
settings=$(plain "$manuals/man5/folkmoot-node.yaml.5")
for verb in "${verbs[@]}"; do
    read -ra words <<<"$verb"
    page=$manuals/man1/folkmoot-${verb// /-}.1
    text=$(plain "$page")
    offer "${words[@]}" --
    for option in $("$folkmoot" "${words[@]}" --help | grep -o '^  --[a-z-]*'); do
        grep -q "^.B $option" <<<"$text" || die "$page lacks $option"
        [[ $offered == *" $option "* ]] || die "completion of $verb lacks $option"
    done
    [[ $offered == *" --help "* ]] || die "completion of $verb lacks --help"
    grep -qx ".B $verb" <<<"$top" || die "folkmoot(1) lacks $verb"
    offer "${words[0]:0:2}"
    [[ $offered == *" ${words[0]} "* ]] || die "completion lacks ${words[0]}"
    [ ${#words[@]} -eq 1 ] || offer "${words[0]}" "${words[1]:0:2}"
    [[ $offered == *" ${words[-1]} "* ]] || die "completion lacks $verb"
done

offer node start --log-level ""
[ "$offered" = " debug info warn error " ] || die "--log-level: $offered"
offer query --format j
[ "$offered" = " json " ] || die "--format: $offered"
offer node start --log-le
[ "$offered" = " --log-level " ] || die "--log-le: $offered"
offer nonsense --x
[ "$offered" = "  " ] || die "nonsense: $offered"

for name in $(grep -o 'folkmoot_[a-z_]*(' "$FM_SOURCE_DIR/include/folkmoot.h" | sort -u); do
    grep -qF "$name" <<<"$library" || die "libfolkmoot(3) lacks $name"
done
for key in listen memory_mib log_format; do
    grep -qx ".B $key" <<<"$settings" || die "node.yaml(5) lacks $key"
done
