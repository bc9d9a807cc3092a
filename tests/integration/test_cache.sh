#!/usr/bin/env bash
# Models in packed form: written, used, listed, removed; what is damaged or outdated is not used; a writer may be killed.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
. tests/integration/checks.bash
PACKED=$WORK/home/cache/packed

"$TAILOR" make-model --arch qwen2 --preset tiny --type Q8_0 "$WORK/m.gguf" >/dev/null || { echo "not ok make_model"; exit 1; }
answer=(generate "$WORK/m.gguf" --ids 1,2,3 --max-tokens 8 --greedy --ignore-eos --json --precision reference)
ids() { "$TAILOR" "$@" 2>/dev/null | grep -o '"ids":\[[^]]*\]'; }
want=$(ids "${answer[@]}")
same_ids() { [[ -n $want && $(ids "${answer[@]}" "${@:2}") == "$want" ]] && ok "$1" || not_ok "$1" "other ids"; }

gives 0 list_none 'no packed models in' '^$' cache list
[[ ! -e $PACKED ]] && echo "ok nothing_is_written_unasked" || not_ok nothing_is_written_unasked "$(ls "$PACKED")"
gives 0 write "^$PACKED/[0-9a-f]+-[0-9a-f]+\.packed$" '^$' cache write "$WORK/m.gguf"
file=$out
gives 0 list "[0-9.]+ [kM]B  $WORK/m.gguf$" '^$' cache list
gives 0 check '"current":true,"problem":null' '^$' cache list --check --json
same_ids used
gives 0 list_zh "$WORK/m.gguf$" '^$' cache list --lang zh

# --- what cannot be used is told and not used
cp "$file" "$WORK/good"
truncate -s -1 "$file"; gives 0 cut '"ids"' 'cannot use packed file .*: it is cut short; the model file is read' "${answer[@]}"; same_ids cut_same
cp "$WORK/good" "$file"; printf '\x7f' | dd of="$file" bs=1 seek=8 conv=notrunc status=none
gives 0 version '"ids"' 'it is of another version; the model file is read' "${answer[@]}"; same_ids version_same
gives 1 version_listed '' 'it is of another version' cache list
gives 0 off '"ids"' '^$' "${answer[@]}" --packed-cache off
: >"$file"; gives 0 empty '"ids"' 'it is cut short' "${answer[@]}"; same_ids empty_same
cp "$WORK/good" "$file"
"$TAILOR" make-model --arch qwen2 --preset tiny --type Q8_0 --seed 7 "$WORK/o.gguf" >/dev/null
other=$("$TAILOR" cache write "$WORK/o.gguf"); cp "$file" "$other"
gives 0 other_file '"ids"' 'it is of another model file; the model file is read' generate "$WORK/o.gguf" --ids 1,2,3 --max-tokens 2 --greedy --ignore-eos --json
chmod 000 "$file"; if [[ $EUID -ne 0 ]]; then gives 0 unreadable '"ids"' 'cannot open' "${answer[@]}"; else echo "skip unreadable root reads everything"; fi
chmod 644 "$file"

# --- a model that changed
sleep 0.01; touch "$WORK/m.gguf"
gives 0 outdated "m.gguf  \(outdated\)" '' cache list
same_ids outdated_same
gives 2 outdated_by_name '' 'as it is now: .* `tailor cache remove --outdated` removes' cache remove "$WORK/m.gguf"
gives 0 remove_outdated '[12] removed' '^$' cache remove --outdated
[[ ! -e $file ]] && echo "ok outdated_is_gone" || not_ok outdated_is_gone "$(ls "$PACKED")"

# --- writing when a model is loaded, by option, variable and config.yaml; said, never silent
gives 0 write_at_load '"ids"' "packed form of \"$WORK/m.gguf\" written to \"$PACKED/" "${answer[@]}" --packed-cache write
gives 0 written_once '"ids"' '^$' "${answer[@]}" --packed-cache write
gives 0 remove_one '^1 removed$' '^$' cache remove "$WORK/m.gguf"
gives 2 remove_again '' 'cannot find a packed form of' cache remove "$WORK/m.gguf"
TAILOR_PACKED_CACHE=write gives 0 variable '"ids"' 'written to' "${answer[@]}"
gives 0 remove_all '^[12] removed$' '^$' cache remove --all
gives 2 remove_what '' 'MODEL, --outdated or --all is needed' cache remove
gives 2 remove_both '' 'MODEL, --outdated or --all is needed' cache remove --all --outdated
gives 2 no_gguf '' 'cannot keep ".*" packed: it is no GGUF file' cache write tests/data/golden/models/llama
: >"$WORK/home/cache/packed" 2>/dev/null || { mkdir -p "$WORK/home/cache"; : >"$WORK/home/cache/packed"; }
gives 0 no_directory '"ids"' 'cannot' "${answer[@]}" --packed-cache write
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
gives 0 sweep '[0-9]+ removed' '^$' cache remove --outdated
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
