# What the scripts about plans and the catalogue check with; to be sourced first of all, from anywhere. Makes $WORK, which goes
# when the script ends, and a home in it. TAILOR_WRAP, TAILOR as in test_cli.sh.
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
export TAILOR_HOME=$WORK/home TAILOR_LANG=en
TAILOR=${TAILOR:-build/tailor}
failed=0

# run STATUS NAME ARGUMENTS: sets out
run() {
    local want=$1 name=$2; shift 2
    out=$($TAILOR_WRAP "$TAILOR" "$@" 2>"$WORK/err"); local rc=$?
    [[ $rc == "$want" ]] && { echo "ok $name"; return 0; }
    echo "not ok $name exit $rc: $(head -c 300 "$WORK/err")"; failed=1; return 1
}
# holds NAME PYTHON: the expression over d (the JSON on stdout) is true
holds() {
    printf '%s' "$out" >"$WORK/out"
    python3 -c 'import json,sys; d=json.load(open(sys.argv[2])); assert eval(sys.argv[1])' "$2" "$WORK/out" 2>"$WORK/why" && { echo "ok $1 holds"; return; }
    echo "not ok $1 does not hold: $2: ${out:0:300}"; failed=1
}
# says, shows NAME PATTERN: stderr, stdout has it
says() { grep -qE "$2" "$WORK/err" && { echo "ok $1 says"; return; }; echo "not ok $1 does not say '$2': $(head -c 300 "$WORK/err")"; failed=1; }
shows() { grep -qE "$2" <<<"$out" && { echo "ok $1 shows"; return; }; echo "not ok $1 does not show '$2': ${out:0:300}"; failed=1; }
zh() { grep -qP '[\x{4e00}-\x{9fff}]' <<<"$out" && { echo "ok $1"; return; }; echo "not ok $1 is not Chinese: ${out:0:200}"; failed=1; }
