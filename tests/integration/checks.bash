# What the scripts beside this one check with; to be sourced from the checkout's folder, first of all. Makes $WORK, which goes
# when the script ends, and a home in it; prints one line a check: ok NAME | not ok NAME reason.
TAILOR=$(realpath "${TAILOR:-build/tailor}")
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
unset TAILOR_LANG TAILOR_THREADS TAILOR_PRECISION TAILOR_LOG_LEVEL TAILOR_ISA TAILOR_MEMORY TAILOR_PACKED_CACHE TAILOR_KV_TYPE
export TAILOR_HOME=$WORK/home LC_ALL=C.UTF-8
failed=0

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1 $2"; failed=1; }
# run STATUS NAME ARGS...: checks the exit status; leaves $out and $err
run() {
    local want=$1 name=$2
    shift 2
    out=$("$TAILOR" "$@" 2>"$WORK/err")
    status=$?
    err=$(cat "$WORK/err")
    [[ $status == "$want" ]] && return 0
    not_ok "$name" "exit status $status, $want wanted: ${out//$'\n'/ } ${err//$'\n'/ }"
    return 1
}
# gives STATUS NAME OUT ERR ARGS...: the exit status, and patterns of stdout and of stderr
gives() {
    run "$1" "$2" "${@:5}" || return
    if ! [[ $out =~ $3 ]]; then not_ok "$2" "stdout without /$3/: $out"
    elif ! [[ $err =~ $4 ]]; then not_ok "$2" "stderr without /$4/: $err"
    else ok "$2"; fi
}
# says NAME PATTERN: stderr or stdout matches
says() { if [[ $err$out =~ $2 ]]; then ok "$1"; else not_ok "$1" "without /$2/: $err$out"; fi; }
# lacks NAME PATTERN: neither matches
lacks() { if [[ $err$out =~ $2 ]]; then not_ok "$1" "has /$2/: $err"; else ok "$1"; fi; }
# same NAME FILE FILE: equal bytes
same() { if cmp -s "$2" "$3"; then ok "$1"; else not_ok "$1" "$2 and $3 differ"; fi; }
# holds NAME PYTHON: the expression over d (the JSON on stdout) and rows(FILE) (its JSON Lines) is true
holds() {
    if python3 -c "import json,sys; d=json.loads(sys.argv[1]); rows=lambda f: [json.loads(l) for l in open(f)]; assert ($2), d" "$out" 2>"$WORK/why"; then ok "$1"
    else not_ok "$1" "$(tail -1 "$WORK/why")"; fi
}
