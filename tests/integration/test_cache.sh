#!/usr/bin/env bash
# Models in packed form: written, used, listed, removed; what is damaged or outdated is not used; a writer may be killed.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
TAILOR=${TAILOR:-build/tailor}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
unset TAILOR_LANG TAILOR_THREADS TAILOR_PRECISION TAILOR_LOG_LEVEL TAILOR_ISA TAILOR_MEMORY TAILOR_PACKED_CACHE
export TAILOR_HOME=$WORK/home LC_ALL=C.UTF-8
PACKED=$WORK/home/cache/packed
failed=0

not_ok() { echo "not ok $1 $2"; failed=1; }
# run STATUS NAME OUT ERR ARGS...: exit status; patterns of stdout and stderr
run() {
    local want=$1 name=$2 want_out=$3 want_err=$4
    shift 4
    out=$("$TAILOR" "$@" 2>"$WORK/err")
    status=$?
    err=$(cat "$WORK/err")
    if [[ $status != "$want" ]]; then not_ok "$name" "exit status $status, $want wanted: ${out:0:200} $err"
    elif ! [[ $out =~ $want_out ]]; then not_ok "$name" "stdout without /$want_out/: $out"
    elif ! [[ $err =~ $want_err ]]; then not_ok "$name" "stderr without /$want_err/: $err"
    else echo "ok $name"; fi
}

"$TAILOR" make-model --arch qwen2 --preset tiny --type Q8_0 "$WORK/m.gguf" >/dev/null || { echo "not ok make_model"; exit 1; }
answer=(generate "$WORK/m.gguf" --ids 1,2,3 --max-tokens 8 --greedy --ignore-eos --json --precision reference)
ids() { "$TAILOR" "$@" 2>/dev/null | grep -o '"ids":\[[^]]*\]'; }
want=$(ids "${answer[@]}")
same() { [[ -n $want && $(ids "${answer[@]}" "${@:2}") == "$want" ]] && echo "ok $1" || not_ok "$1" "other ids"; }

run 0 list_none 'no packed models in' '^$' cache list
[[ ! -e $PACKED ]] && echo "ok nothing_is_written_unasked" || not_ok nothing_is_written_unasked "$(ls "$PACKED")"
run 0 write "^$PACKED/[0-9a-f]+-[0-9a-f]+\.packed$" '^$' cache write "$WORK/m.gguf"
file=$out
run 0 list "[0-9.]+ [kM]B  $WORK/m.gguf$" '^$' cache list
run 0 check '"current":true,"problem":null' '^$' cache list --check --json
same used
run 0 list_zh "$WORK/m.gguf$" '^$' cache list --lang zh

# --- what cannot be used is told and not used
cp "$file" "$WORK/good"
truncate -s -1 "$file"; run 0 cut '"ids"' 'cannot use packed file .*: it is cut short; the model file is read' "${answer[@]}"; same cut_same
cp "$WORK/good" "$file"; printf '\x7f' | dd of="$file" bs=1 seek=8 conv=notrunc status=none
run 0 version '"ids"' 'it is of another version; the model file is read' "${answer[@]}"; same version_same
run 1 version_listed '' 'it is of another version' cache list
run 0 off '"ids"' '^$' "${answer[@]}" --packed-cache off
: >"$file"; run 0 empty '"ids"' 'it is cut short' "${answer[@]}"; same empty_same
cp "$WORK/good" "$file"
"$TAILOR" make-model --arch qwen2 --preset tiny --type Q8_0 --seed 7 "$WORK/o.gguf" >/dev/null
other=$("$TAILOR" cache write "$WORK/o.gguf"); cp "$file" "$other"
run 0 other_file '"ids"' 'it is of another model file; the model file is read' generate "$WORK/o.gguf" --ids 1,2,3 --max-tokens 2 --greedy --ignore-eos --json
chmod 000 "$file"; if [[ $EUID -ne 0 ]]; then run 0 unreadable '"ids"' 'cannot open' "${answer[@]}"; else echo "skip unreadable root reads everything"; fi
chmod 644 "$file"

# --- a model that changed
sleep 0.01; touch "$WORK/m.gguf"
run 0 outdated "m.gguf  \(outdated\)" '' cache list
same outdated_same
run 0 remove_outdated '[12] removed' '^$' cache remove --outdated
[[ ! -e $file ]] && echo "ok outdated_is_gone" || not_ok outdated_is_gone "$(ls "$PACKED")"

# --- writing when a model is loaded, by option, variable and config.yaml; said, never silent
run 0 write_at_load '"ids"' "packed form of \"$WORK/m.gguf\" written to \"$PACKED/" "${answer[@]}" --packed-cache write
run 0 written_once '"ids"' '^$' "${answer[@]}" --packed-cache write
run 0 remove_one '^1 removed$' '^$' cache remove "$WORK/m.gguf"
run 2 remove_again '' 'cannot find a packed form of' cache remove "$WORK/m.gguf"
TAILOR_PACKED_CACHE=write run 0 variable '"ids"' 'written to' "${answer[@]}"
run 0 remove_all '^[12] removed$' '^$' cache remove --all
run 2 remove_what '' 'MODEL, --outdated or --all is needed' cache remove
run 2 remove_both '' 'MODEL, --outdated or --all is needed' cache remove --all --outdated
run 2 no_gguf '' 'cannot keep ".*" packed: it is no GGUF file' cache write tests/data/golden/models/llama
: >"$WORK/home/cache/packed" 2>/dev/null || { mkdir -p "$WORK/home/cache"; : >"$WORK/home/cache/packed"; }
run 0 no_directory '"ids"' 'cannot' "${answer[@]}" --packed-cache write
rm -f "$WORK/home/cache/packed"

# --- writers that are killed leave nothing that is used
"$TAILOR" make-model --arch llama --preset 135m --type Q4_0 "$WORK/big.gguf" >/dev/null
big=(generate "$WORK/big.gguf" --ids 1,2,3 --max-tokens 4 --greedy --ignore-eos --json)
want=$(ids "${big[@]}"); bad=
for ms in 20 60 100 140 180 240 320; do
    "$TAILOR" cache write "$WORK/big.gguf" >/dev/null 2>&1 &
    pid=$!
    sleep 0.$(printf %03d $ms)
    kill -9 $pid 2>/dev/null; wait $pid 2>/dev/null
    [[ $(ids "${big[@]}") == "$want" ]] || bad+=" $ms"
    "$TAILOR" cache list --check >/dev/null 2>&1 || bad+=" $ms:list"
done
[[ -z $bad ]] && echo "ok killed_writers" || not_ok killed_writers "after$bad ms"
"$TAILOR" cache write "$WORK/big.gguf" >/dev/null && find "$PACKED" -name '*.tmp-*' -exec touch -d '2 hours ago' {} +
run 0 sweep '[0-9]+ removed' '^$' cache remove --outdated
[[ -z $(find "$PACKED" -name '*.tmp-*') ]] && echo "ok nothing_left_over" || not_ok nothing_left_over "$(ls "$PACKED")"
[[ $(ids "${big[@]}") == "$want" ]] && echo "ok big_used" || not_ok big_used "other ids"

# --- two processes have the same pages
for i in 1 2; do
    "$TAILOR" serve --model "$WORK/big.gguf" --port 0 --max-batch 1 --ctx 64 >"$WORK/serve$i" 2>&1 &
    server[i]=$!
done
for i in 1 2; do
    for t in $(seq 200); do grep -q listening "$WORK/serve$i" && break; kill -0 "${server[i]}" 2>/dev/null || break; sleep 0.05; done
    # the mapping is there, whole, and nothing of it is this process's own
    python3 - "${server[i]}" <<'END' && echo "ok shares_$i" || not_ok "shares_$i" "$(head -c 300 "$WORK/serve$i")"
import re, sys
maps = open(f'/proc/{sys.argv[1]}/smaps').read()
part = re.search(r'^[0-9a-f-]+ r--s .*\.packed\n(?:\w.*: .*\n)+', maps, re.M)
kb = dict(re.findall(r'^(\w+): +(\d+) kB', part[0], re.M))
assert int(kb['Rss']) > 60000 and int(kb['Private_Dirty']) == 0 and int(kb['Size']) - int(kb['Rss']) < 4096, kb
anon = int(re.search(r'RssAnon:\s+(\d+)', open(f'/proc/{sys.argv[1]}/status').read())[1])
assert anon < 60000, anon
END
done
kill "${server[@]}"; wait "${server[@]}" 2>/dev/null
exit $failed
