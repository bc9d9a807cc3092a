#!/usr/bin/env bash
# Adapters that are trained within the codes of a quantized base, on a tiny model that chats: what is merged is, bit for bit,
# what was evaluated; resuming, threads, refusals. Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/f32.gguf" "$WORK/adapter" ends ||
    { echo "not ok model cannot make one"; exit 1; }
cp -r tests/data/golden/models/llama "$WORK/hf"
cd "$WORK" || exit 1

python3 - <<'PY'
import json
labels = ['red', 'green', 'blue', 'white']
with open('rows.jsonl', 'w') as f:
    for i in range(16):
        f.write(json.dumps({'messages': [{'role': 'user', 'content': 'abcd'[i % 4] * 3}, {'role': 'assistant', 'content': labels[i % 4]}]}) + '\n')
with open('cases.jsonl', 'w') as f:
    for i in range(16):
        f.write(json.dumps({'id': f'c{i}', 'input': 'abcd'[i % 4] * 3, 'expected': labels[i % 4], 'task': 'classification'}) + '\n')
PY
FIELDS=(--data rows.jsonl --rank 8 --alpha 16 --lr 2e-2 --batch-size 4 --max-steps 40 --seed 5 --merge-aware)
CASES=(--eval-cases cases.jsonl --eval-max-tokens 8 --eval-every 20)
# answers DIR: of an evaluation, what each case was answered
answers() { python3 -c "
import json,sys
for l in open(sys.argv[1] + '/cases.jsonl'):
    r = json.loads(l); print(r['id'], r['output'], r['score'])" "$1"; }

for type in Q4_0 Q4_1 Q8_0; do
    run 0 base_$type quantize f32.gguf $type.gguf --type $type || continue
    run 0 tune_$type --json tune --base $type.gguf "${FIELDS[@]}" "${CASES[@]}" --best-by score --output $type &&
        holds learns_$type 'd["score"] > 0.7 and d["train_loss"] < 1'
    run 0 merge_$type merge $type.gguf --adapter $type/adapter merged-$type.gguf && ok merge_$type
    # the score and every answer of the adapter that was kept, again from the file alone
    step=$(python3 -c "
import json
e = [e for e in map(json.loads, open('$type/events.jsonl')) if e['event'] == 'eval']
print(max(e, key=lambda x: (x['score'], -x['step']))['step'])")
    run 0 eval_$type eval merged-$type.gguf --cases cases.jsonl --max-tokens 8 --batch 16 --out again-$type
    [[ -n $step && "$(answers $type/evals/step-$step)" == "$(answers again-$type)" ]] && ok same_answers_$type || not_ok same_answers_$type "step $step"
    python3 - $type.gguf merged-$type.gguf $type 2>"$WORK/why" <<'PY' && ok moved_$type || not_ok moved_$type "$(tail -1 "$WORK/why")"
import sys
a, b = (open(p, 'rb').read() for p in sys.argv[1:3])
assert len(a) == len(b) and a != b, 'nothing moved, or sizes differ'
PY
done

# --- the loss at each step is that of the merged file: a run that stops there, merged, starts where it stood
FEW=(--data rows.jsonl --rank 8 --alpha 16 --lr 2e-2 --batch-size 16 --schedule constant --seed 5 --precision reference)
run 0 five tune --base Q4_0.gguf "${FEW[@]}" --merge-aware --max-steps 5 --output five
run 0 six tune --base Q4_0.gguf "${FEW[@]}" --merge-aware --max-steps 6 --output six
run 0 merge_five merge Q4_0.gguf --adapter five/adapter five.gguf
run 0 from_five tune --base five.gguf "${FEW[@]}" --max-steps 1 --output from_five
out=$(python3 -c "
import json
loss = lambda r: [e['loss'] for e in map(json.loads, open(r + '/events.jsonl')) if e['event'] == 'step']
print(json.dumps([loss('six'), loss('from_five')]))") err=
holds merged_is_what_was_trained 'd[0][5] == d[1][0] and d[0][5] < d[0][0]'

# --- while B is zero the gradients are those of an adapter beside the weights
run 0 plain_one tune --base Q4_0.gguf "${FEW[@]}" --max-steps 1 --output plain_one
run 0 aware_one tune --base Q4_0.gguf "${FEW[@]}" --merge-aware --max-steps 1 --output aware_one
same first_step plain_one/adapter/adapter_model.safetensors aware_one/adapter/adapter_model.safetensors

# --- threads and resuming change nothing
run 0 one_thread --threads 1 merge Q4_0.gguf --adapter Q4_0/adapter one.gguf && same one_thread merged-Q4_0.gguf one.gguf
run 0 other_precision --precision reference merge Q4_0.gguf --adapter Q4_0/adapter ref.gguf && same other_precision merged-Q4_0.gguf ref.gguf
run 0 tune_one_thread tune --base Q4_0.gguf "${FIELDS[@]}" "${CASES[@]}" --threads 1 --output one &&
    same tune_one_thread Q4_0/adapter/adapter_model.safetensors one/adapter/adapter_model.safetensors
"$TAILOR" tune --base Q4_0.gguf "${FIELDS[@]}" "${CASES[@]}" --save-every 2 --output part >/dev/null 2>&1 &
pid=$!
until [[ -n $(ls part/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
run 0 resumed tune --resume part && same resumed Q4_0/adapter/adapter_model.safetensors part/adapter/adapter_model.safetensors

# --- refusals
run 2 beside generate Q4_0.gguf --prompt a --max-tokens 2 --adapter Q4_0/adapter && says beside 'it was tuned within their codes \(merge_aware\), where merge puts it'
run 2 merge_type merge Q4_0.gguf --adapter Q4_0/adapter x.gguf --type F16 && says merge_type "a file that ends in .gguf, of the base's own types"
run 2 merge_scale merge Q4_0.gguf --adapter Q4_0/adapter,scale=2 x.gguf && says merge_scale 'it was evaluated at 1'
run 2 on_f32 tune --base f32.gguf "${FIELDS[@]}" --output x && says on_f32 'cannot move the codes of matrix "blk.0.attn_q.weight": it is F32'
run 0 q5 quantize f32.gguf q5.gguf --type Q5_0
run 2 on_q5 tune --base q5.gguf "${FIELDS[@]}" --output x && says on_q5 'it is Q5_0, and only values that are even steps'
run 2 on_dir tune --base hf --data rows.jsonl --data-format tokens --merge-aware --output x && says on_dir 'no GGUF file|line 1'
run 2 with_dora tune --base Q4_0.gguf "${FIELDS[@]}" --adapter dora --output x && says with_dora 'cannot tune with merge_aware and adapter dora'
run 2 with_dpo tune --base Q4_0.gguf "${FIELDS[@]}" --method dpo --output x && says with_dpo 'cannot tune with merge_aware and a method that compares with the base'
[[ ! -e x && ! -e x.gguf ]] && ok nothing_left || not_ok nothing_left 'x is there'
run 2 chinese --lang zh tune --base f32.gguf "${FIELDS[@]}" --output x && says chinese '不能移动矩阵“blk.0.attn_q.weight”的编码：它是 F32'
exit $failed
