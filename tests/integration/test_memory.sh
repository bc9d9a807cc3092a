#!/usr/bin/env bash
# Memory: what does not fit is an error that says how much is needed and what would fit, and never a signal.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
. tests/integration/checks.bash

"$TAILOR" make-model --arch llama --preset 135m --type Q8_0 "$WORK/m.gguf" >/dev/null || { echo "not ok make_model"; exit 1; }
answer=(generate "$WORK/m.gguf" --ids 1,2,3 --max-tokens 2 --greedy --ignore-eos --threads 2)

# --- a declared limit
gives 1 weights '' "cannot load \"$WORK/m.gguf\": 1[56][0-9]\.[0-9] MB needed, [0-9.]+ MB free below --memory; Q[3-6]_[0K] of this model would need [0-9.]+ MB; --memory none" \
    --memory 150MB "${answer[@]}"
gives 1 nothing_fits '' 'free below --memory; even Q2_K of this model would need' --memory 20MB "${answer[@]}"
gives 1 context '' 'cannot hold the keys and values of 8192 tokens: [0-9.]+ MB needed, [0-9.]+ MB free below --memory; a context of [0-9]+ tokens fits' \
    --memory 250MB "${answer[@]}" --ctx 8192
fits=$(grep -o 'context of [0-9]* tokens fits' "$WORK/err" | grep -o '[0-9]*')
gives 0 context_that_fits '' '^$' --memory 250MB "${answer[@]}" --ctx "${fits:-1}"
gives 1 bench_batch '' 'cannot hold the keys and values .* a context of [0-9]+ tokens fits' \
    --memory 250MB bench "$WORK/m.gguf" --prefill 8 --batch 8 --context 1024 --decode 8 --repeat 1
gives 0 not_looked_at '' '^$' --memory none "${answer[@]}"
gives 0 enough '' '^$' --memory 1GiB "${answer[@]}"
TAILOR_MEMORY=20MB gives 1 variable '' 'free below --memory' "${answer[@]}"
gives 2 not_a_size '' 'cannot set "--memory" to "many": a size \(8GB, 512MB\), auto or none is needed' --memory many "${answer[@]}"
gives 1 chinese '' '^错误：内存不足，无法加载“.*”：需要 .*，在 --memory 限制下可用 .*；该模型量化为 Q._. 后需要' --memory 150MB --lang zh "${answer[@]}"
gives 1 chinese_context '' '^错误：内存不足，放不下 8192 个词元的 KV 缓存：.*；上下文为 [0-9]+ 个词元时可以容纳' --memory 250MB --lang zh "${answer[@]}" --ctx 8192

# --- limits of the process: found before they are met
for mib in 48 128 160; do
    out=$( (ulimit -v $((mib << 10)); "$TAILOR" "${answer[@]}" 2>&1) ); status=$?
    [[ $status == 1 && $out =~ (needed,.*free below ulimit -v|out of memory) ]] && echo "ok address_space_$mib" ||
        not_ok "address_space_$mib" "exit status $status: $out"
done
# from nothing to enough, checked or not: done or failed with a message, never a signal
bad=
for mib in $(seq 24 12 260); do
    for memory in auto none; do
        out=$( (ulimit -c 0; ulimit -v $((mib << 10)); "$TAILOR" --memory $memory "${answer[@]}" --ctx 2048 2>&1) ); status=$?
        [[ $status == 0 || ($status == 1 && $out =~ (memory|needed|wanted|thread)) || $status == 127 ]] || bad+=" $mib/$memory:$status:${out:0:120}"
    done
done
[[ -z $bad ]] && echo "ok no_signal_at_any_size" || not_ok no_signal_at_any_size "$bad"

# --- a control group, where one can be made
group=/sys/fs/cgroup/tailor-test-$$
if [[ -w /sys/fs/cgroup/cgroup.procs ]] && mkdir "$group" 2>/dev/null && echo 150M >"$group/memory.max" 2>/dev/null; then
    out=$( (echo $BASHPID >"$group/cgroup.procs"; exec "$TAILOR" "${answer[@]}" 2>&1) ); status=$?
    [[ $status == 1 && $out =~ "free in the control group" ]] && echo "ok control_group" || not_ok control_group "exit status $status: $out"
    rmdir "$group"
else
    rmdir "$group" 2>/dev/null
    echo "skip control_group no control group can be made here"
fi

# --- keys and values in q8_0: about half the bytes, the same beginning of an answer, not in reference precision
need() { "$TAILOR" --memory 190MB "${answer[@]}" --ctx 8192 "$@" 2>&1 | grep -o ': [0-9.]* MB needed' | grep -o '[0-9]*' | head -1; }
f16=$(need) q8=$(need --kv-type q8_0)
[[ -n $f16 && -n $q8 && $((q8 * 100)) -gt $((f16 * 50)) && $((q8 * 100)) -lt $((f16 * 57)) ]] && echo "ok kv_bytes" || not_ok kv_bytes "$f16 and $q8 MB"
gives 0 kv_q8 '' '^$' "${answer[@]}" --kv-type q8_0
TAILOR_KV_TYPE=q8_0 gives 0 kv_variable '' '^$' "${answer[@]}"
gives 2 kv_reference '' 'cannot use kv_type q8_0 with precision reference: keys and values are float32 there' "${answer[@]}" --kv-type q8_0 --precision reference
gives 2 kv_unknown '' '"q4" is not one of f16, q8_0' "${answer[@]}" --kv-type q4
gives 2 kv_heads '' 'cannot keep keys and values in q8_0: heads of [0-9]+ values are no whole blocks of 32' generate tests/data/golden/gguf/llama.gguf --ids 1,2 --kv-type q8_0

# --- what a model takes while it answers: one copy of its weights (a tenth more at most), keys and values, 100 MB
"$TAILOR" make-model --arch llama --preset 360m --type Q4_K_M "$WORK/packed.gguf" >/dev/null || not_ok make_model_mix "exit status $?"
peak=$(python3 - "$TAILOR" "$WORK/packed.gguf" <<'PYTHON'
import os, resource, subprocess, sys
tailor, model = sys.argv[1:]
subprocess.run([tailor, 'generate', model, '--ids', '1,2,3,4', '--max-tokens', '4', '--greedy', '--ignore-eos', '--ctx', '64', '--threads', '2'], check=True, stdout=subprocess.DEVNULL)
kv = 2 * 32 * 5 * 64 * 64 * 2  # K and V, layers, heads, values, tokens, bytes
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, int(1.1 * os.path.getsize(model)) + kv + 100_000_000)
PYTHON
)
[[ $peak =~ ^([0-9]+)\ ([0-9]+)$ && ${BASH_REMATCH[1]} -le ${BASH_REMATCH[2]} ]] && echo "ok resident_bytes" || not_ok resident_bytes "peak and budget: $peak"

# --- tuning plans with the same limits
printf '{"ids":[1,2,3,4],"labels":[1,2,3,4]}\n' >"$WORK/rows.jsonl"
gives 1 tune '' 'cannot load ".*": .* free below --memory' --memory 100MB tune --base "$WORK/m.gguf" --data "$WORK/rows.jsonl" \
    --data-format tokens --max-steps 1 --output "$WORK/run"

# --- what a run says before its first step is what it then takes, within 5 %; --memory-limit is of the whole process
python3 - "$WORK/long.jsonl" <<'PYTHON'
import json, sys
with open(sys.argv[1], 'w') as f:
    for r in range(8):
        ids = [300 + (97 * r + i * i) % 20000 for i in range(96)]
        f.write(json.dumps({'ids': ids, 'labels': [-100] * 48 + ids[48:]}) + '\n')
PYTHON
held() { # NAME FILE LIMIT_BYTES: peak against its prediction and the limit (0: none)
    why=$(python3 - "$2" "$3" <<'PYTHON'
import json, sys
d, limit = json.load(open(sys.argv[1])), int(sys.argv[2])
far = d['peak_rss_bytes'] / d['predicted_peak_bytes'] - 1
if abs(far) > 0.05: print(f'{100 * far:.1f} % from the prediction {d["predicted_peak_bytes"]}')
if limit and d['peak_rss_bytes'] > limit: print(f'{d["peak_rss_bytes"]} bytes')
PYTHON
    )
    [[ $? == 0 && -z $why ]] && ok "$1" || not_ok "$1" "$why"
}
tuned() { # NAME LIMIT_BYTES ARGS...
    local name=$1 limit=$2
    shift 2
    rm -rf "$WORK/run"
    "$TAILOR" --json tune --base "$WORK/m.gguf" --data "$WORK/long.jsonl" --data-format tokens --batch-size 8 --max-steps 1 --rank 8 \
        --output "$WORK/run" "$@" >"$WORK/out" 2>"$WORK/err" || { not_ok "$name" "$(tail -1 "$WORK/err")"; return; }
    held "$name" "$WORK/out" "$limit"
}
tuned tune_lora 0
tuned tune_dora 0 --adapter dora
tuned tune_limit 500000000 --memory-limit 500MB
grep -q 'layers are computed again' "$WORK/err" && echo "ok tune_limit_layers" || not_ok tune_limit_layers "$(cat "$WORK/err")"
exit $failed
