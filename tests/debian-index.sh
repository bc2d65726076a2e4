#!/usr/bin/env bash
# Real data: the package index of this Debian machine, imported, listed, exported and compared byte for byte; then an
# import that is killed in the middle, whose acknowledged records must all be there.
#
# Usage: tests/debian-index.sh [path of the softadastra binary]      (default: builds the release binary)
# Needs apt-cache with package lists (`apt-get update`), awk, sort, cmp.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=${1:-}
if [ -z "$binary" ]; then
    cargo build --release --locked -p softadastra
    binary=target/release/softadastra
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { "$binary" --data-dir "$work/data" "$@"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

# One record per stanza: the key is name_version_architecture, the value is the stanza itself. The keys hold only
# characters above the quotation mark, so that sorted lines are in the order of keys.
apt-cache dumpavail | LC_ALL=C awk '
    BEGIN { RS = ""; for (i = 1; i < 32; i++) escape[sprintf("%c", i)] = sprintf("\\u%04x", i)
            escape["\t"] = "\\t"; escape["\n"] = "\\n"; escape["\r"] = "\\r"; escape["\b"] = "\\b"; escape["\f"] = "\\f" }
    {
        name = version = architecture = ""
        lines = split($0, line, "\n")
        for (i = 1; i <= lines; i++) {
            if (line[i] ~ /^Package: /) name = substr(line[i], 10)
            if (line[i] ~ /^Version: /) version = substr(line[i], 10)
            if (line[i] ~ /^Architecture: /) architecture = substr(line[i], 15)
        }
        value = $0
        gsub(/\\/, "\\\\", value)
        gsub(/"/, "\\\"", value)
        for (c in escape) if (index(value, c)) gsub(c, "\\" escape[c], value)
        printf "{\"key\":\"%s_%s_%s\",\"value\":\"%s\"}\n", name, version, architecture, value
    }' | LC_ALL=C sort -u > "$work/index.ndjson"
records=$(wc -l < "$work/index.ndjson")
echo "== $records records, $(wc -c < "$work/index.ndjson") bytes"
[ "$records" -gt 1000 ] || fail "this machine has no package lists; run apt-get update"

echo "== import, list, export"
run init --node-id debian-index > "$work/init"
run store import "$work/index.ndjson"
[ "$(run store size)" = "$records" ] || fail "the store holds $(run store size) records"
run store list bash --limit 3
listed=$(run store list --keys lib | wc -l)
[ "$listed" = "$(grep -c '^{"key":"lib' "$work/index.ndjson")" ] || fail "the prefix lib lists $listed keys"
run store export "$work/exported.ndjson"
cmp "$work/index.ndjson" "$work/exported.ndjson" || fail "the export differs from the import"
run wal verify > "$work/verify"
echo "exported and compared: equal byte for byte"

echo "== an import killed in the middle"
rm -rf "$work/data"
run init --node-id debian-index > "$work/init"
mkfifo "$work/log"
# The binary itself, not a shell around it, is what must be killed.
"$binary" --data-dir "$work/data" store import -v --set log_format=json "$work/index.ndjson" \
    2> "$work/log" > "$work/out" &
import=$!
acknowledged=0
while read -r line; do
    case $line in
    *'"event":"imported"'*)
        acknowledged=${line#*'"records":'}
        acknowledged=${acknowledged%%[,\}]*}
        # -9: no handler, no farewell. What is in the pipe already is read on.
        if [ "$acknowledged" -ge $((records / 3)) ]; then kill -9 "$import" 2> /dev/null || true; fi
        ;;
    esac
done < "$work/log"
{ wait "$import"; } 2> /dev/null && fail "the import was done before it could be killed"
[ "$acknowledged" -gt 0 ] || fail "nothing was acknowledged"
run node info | tail -n 1
run store export "$work/after.ndjson"
found=$(wc -l < "$work/after.ndjson")
echo "acknowledged $acknowledged, found $found after reopening"
[ "$found" -ge "$acknowledged" ] || fail "acknowledged records are gone"
cmp <(head -n "$found" "$work/index.ndjson") "$work/after.ndjson" || fail "what is there is not what was imported"
run wal verify > "$work/verify"
echo "== all is well"
