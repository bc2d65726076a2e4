#!/usr/bin/env bash
# Real input, end to end: Debian's package index (what `apt-cache dumpavail` prints, about 60,000 records) becomes NDJSON,
# is imported, listed by prefix, exported and compared byte for byte; then an import is killed with SIGKILL half way, and
# everything that was reported durable must be there.
#
#   tests/scripts/debian_index.sh [path to the softadastra binary]
#
# Without a path the release binary is built. Needs apt-cache; where it is not there, the script says so and fails.
set -euo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C

command -v apt-cache >/dev/null || { echo "debian_index: apt-cache is not here; this needs Debian or Ubuntu" >&2; exit 1; }
if [ $# -ge 1 ]; then
    softadastra=$1
else
    cargo build --release --locked -p softadastra
    softadastra=${CARGO_TARGET_DIR:-target}/release/softadastra
fi

place=$(mktemp -d)
node=
finish() {
    [ -z "$node" ] || kill "$node" 2>/dev/null || true
    rm -rf "$place"
}
trap finish EXIT

say() { printf '\n-- %s\n' "$*"; }
fail() { echo "debian_index: $*" >&2; exit 1; }

# One record a stanza: the key is name/version/architecture, the value is the stanza as it stands.
apt-cache dumpavail | awk '
    BEGIN { RS = ""; FS = "\n" }
    {
        name = version = arch = ""
        for (i = 1; i <= NF; i++) {
            if ($i ~ /^Package: /) name = substr($i, 10)
            if ($i ~ /^Version: /) version = substr($i, 10)
            if ($i ~ /^Architecture: /) arch = substr($i, 15)
        }
        key = name "/" version "/" arch
        if (name == "" || key in seen) next
        seen[key]
        value = $0
        gsub(/\\/, "\\\\", value); gsub(/"/, "\\\"", value); gsub(/\t/, "\\t", value); gsub(/\n/, "\\n", value)
        printf "{\"key\":\"%s\",\"value\":\"%s\"}\n", key, value
    }' > "$place/index.ndjson"
records=$(wc -l < "$place/index.ndjson")
say "$records records, $(wc -c < "$place/index.ndjson") bytes of NDJSON"
[ "$records" -gt 10000 ] || fail "the package lists are not there; run apt-get update"

say "import, list by prefix, export, compare"
"$softadastra" --data-dir "$place/a" init --node-id debian
"$softadastra" --data-dir "$place/a" store import "$place/index.ndjson"
"$softadastra" --data-dir "$place/a" store list --prefix librust- --limit 3
[ "$("$softadastra" --data-dir "$place/a" store size | head -1 | tr -cd 0-9)" -ge "$records" ] || fail "records are missing"
"$softadastra" --data-dir "$place/a" store export "$place/out.ndjson"
sort "$place/index.ndjson" | cmp - "$place/out.ndjson" || fail "the export differs from the import"
echo "the export equals the sorted input, byte for byte"

say "the same through a running node"
mkfifo "$place/node.out"
"$softadastra" --data-dir "$place/b" node start > "$place/node.out" 2>&1 &
node=$!
exec 3< "$place/node.out"
until [[ ${line:-} == *'event="ready"'* ]]; do
    IFS= read -r line <&3 || fail "the node ended before it was ready: ${line:-}"
    echo "$line"
done
cat <&3 > "$place/node.log" &
"$softadastra" --data-dir "$place/b" store import "$place/index.ndjson"
"$softadastra" --data-dir "$place/b" store export - | cmp - "$place/out.ndjson" || fail "the node's export differs"
kill -TERM "$node"
wait "$node" || fail "the node did not stop cleanly: $(cat "$place/node.log")"
node=

say "SIGKILL in the middle of an import"
for round in 1 2 3 4 5; do
    rm -rf "$place/c"
    "$softadastra" --data-dir "$place/c" init > /dev/null
    # Twice -v logs after every batch how many records are durable so far.
    "$softadastra" --data-dir "$place/c" -vv store import "$place/index.ndjson" > /dev/null 2> "$place/import.log" &
    importer=$!
    until [ "$(grep -c 'durable so far' "$place/import.log")" -ge $((round * 4)) ] || ! kill -0 "$importer" 2>/dev/null; do
        :
    done
    kill -KILL "$importer" 2>/dev/null || true
    wait "$importer" 2>/dev/null || true
    durable=$(sed -n 's/.*durable so far.*records=\([0-9]*\).*/\1/p' "$place/import.log" | tail -1)
    "$softadastra" --data-dir "$place/c" wal verify > /dev/null || fail "the log is damaged after SIGKILL"
    "$softadastra" --data-dir "$place/c" store export "$place/killed.ndjson" 2> /dev/null > /dev/null
    kept=$(wc -l < "$place/killed.ndjson")
    # Batches are written in the order of the file: what is kept must be a prefix of it, at least as long as promised.
    [ "$kept" -ge "$durable" ] || fail "round $round: $durable records were durable, $kept are there"
    head -n "$kept" "$place/index.ndjson" | sort | cmp - "$place/killed.ndjson" || fail "round $round: not a prefix"
    echo "round $round: killed when $durable were reported durable; $kept are there, all of them intact"
done

say "passed"
