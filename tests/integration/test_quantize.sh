#!/usr/bin/env bash
# quantize, imatrix and the ladder through the program, on a small model; packed safetensors compute.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
. tests/integration/checks.bash

"$TAILOR" make-model --arch qwen2 --preset tiny --type F16 "$WORK/m.gguf" >/dev/null || { echo "not ok make_model"; exit 1; }
python3 - >"$WORK/t.jsonl" <<'END'
import json
for i in range(4): print(json.dumps({"text": "the quick brown fox jumps over the lazy dog " * (i + 1)}))
END

run 0 quantize --json quantize "$WORK/m.gguf" "$WORK/q.gguf" --type q4_k_m &&
    holds quantize 'd["type"] == "Q4_K_M" and d["bytes"] > 0 and 0 < d["rmse"] < 0.01 and {"from": "Q4_K", "to": "Q5_0"}.items() <= d["fallback"][0].items()'
says quantize_notes 'of the matrices in Q5_0: rows that are no whole blocks of Q4_K'
run 0 quantized_inspect --json inspect "$WORK/q.gguf" && holds quantized_inspect 'd["file_type"] == "Q4_K_M"'
run 0 quantized_runs --json generate "$WORK/q.gguf" --ids 1,2,3 --max-tokens 4 --greedy --ignore-eos && holds quantized_runs 'len(d["ids"]) == 4'
run 0 imatrix --json imatrix "$WORK/m.gguf" "$WORK/im.gguf" --file "$WORK/t.jsonl" --field text && holds imatrix 'd["n_tok"] > 40 and d["path"].endswith("im.gguf")'
run 0 weighted --json quantize "$WORK/m.gguf" "$WORK/w.gguf" --type Q4_0 --imatrix "$WORK/im.gguf" && holds weighted 'd["type"] == "Q4_0"'
run 0 unweighted quantize "$WORK/m.gguf" "$WORK/u.gguf" --type Q4_0
if cmp -s "$WORK/u.gguf" "$WORK/w.gguf"; then echo "not ok weights_count"; failed=1; else echo "ok weights_count"; fi
run 0 ladder --json quantize --ladder "$WORK/m.gguf" --file "$WORK/t.jsonl" --field text &&
    holds ladder 'len(d["ladder"]) == 14 and d["ladder"][1]["type"] == "Q8_0" and d["ladder"][-1]["type"] == "Q2_K" and all(r["mean_kld"] >= 0 and r["decode_tok_s"] > 0 for r in d["ladder"][1:])'
[[ -z $(find "$WORK/home" -name 'ladder-*') ]] && echo "ok ladder_leaves_nothing" || { echo "not ok ladder_leaves_nothing"; failed=1; }

run 2 unknown_type quantize "$WORK/m.gguf" "$WORK/x.gguf" --type Q9_Z && says unknown_type 'Q9_Z.*those are F32, F16'
run 2 no_type quantize "$WORK/m.gguf" "$WORK/x.gguf" && says no_type 'OUT.gguf and --type are needed'
run 2 same_file quantize "$WORK/m.gguf" "$WORK/m.gguf" --type Q8_0 && says same_file 'it is the model that is read'
run 2 ladder_out quantize --ladder "$WORK/m.gguf" "$WORK/x.gguf" && says ladder_out 'cannot use "out" with --ladder'
run 2 wrong_imatrix quantize "$WORK/m.gguf" "$WORK/x.gguf" --type Q4_0 --imatrix "$WORK/t.jsonl" && says wrong_imatrix 'neither a GGUF nor a .dat'
run 2 wrong_field imatrix "$WORK/m.gguf" "$WORK/x.gguf" --file "$WORK/t.jsonl" --field body && says wrong_field 'body'

for d in gptq-sym gptq-asym gptq-order awq fp8; do
    run 0 "packed_$d" --json generate "tests/data/packed/$d" --ids 1,2,3 --max-tokens 4 --greedy --ignore-eos && holds "packed_$d" 'len(d["ids"]) == 4'
done
# --- scales that are no numbers: found with tensor and block, and computed without a crash
run 0 check_good --json inspect "$WORK/q.gguf" --check && holds check_good 'd["check"]["bad"] == []'
for type in F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q2_K Q3_K Q4_K Q5_K Q6_K; do
    "$TAILOR" make-model --arch llama --preset tiny --type $type "$WORK/bad.gguf" >/dev/null || { echo "not ok bad_$type"; failed=1; continue; }
    is=$(python3 tests/integration/poke_scale.py "$WORK/bad.gguf" blk.1.ffn_down.weight 3)
    run 1 bad_$type --json inspect "$WORK/bad.gguf" --check &&
        holds "bad_${type}_is_$is" '[(b["name"], b["n_bad"], b["first_block"]) for b in d["check"]["bad"]] == [("blk.1.ffn_down.weight", 1, 3)]'
    for precision in auto reference; do
        "$TAILOR" generate "$WORK/bad.gguf" --ids 1,2,3,4,5,6,7,8,9 --max-tokens 4 --precision $precision >"$WORK/out" 2>&1
        status=$?
        if [[ $status -le 2 ]]; then echo "ok bad_${type}_computes_$precision"; else echo "not ok bad_${type}_computes_$precision exit status $status"; failed=1; fi
    done
done
for type in Q4_0 Q8_0; do # the first is quantized, the second taken over as it stands
    "$TAILOR" make-model --arch llama --preset tiny --type $type "$WORK/bad.gguf" >/dev/null
    python3 tests/integration/poke_scale.py "$WORK/bad.gguf" blk.1.ffn_down.weight 3 >/dev/null
    run 2 bad_quantized_$type quantize "$WORK/bad.gguf" "$WORK/x.gguf" --type Q8_0 && says bad_quantized_$type 'blk.1.ffn_down.weight.*not finite'
done
run 1 bad_text inspect "$WORK/bad.gguf" --check
if [[ $out =~ blk.1.ffn_down.weight:\ 1\ of\ [0-9]+\ blocks,\ the\ first\ is\ number\ 3 ]]; then echo "ok bad_text"; else echo "not ok bad_text $out"; failed=1; fi
exit $failed
