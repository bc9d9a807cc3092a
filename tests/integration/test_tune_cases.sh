#!/usr/bin/env bash
# Cases that a tuning run answers as it goes, on a tiny model that chats: scores, the best adapter, resuming, refusals.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/chat.gguf" "$WORK/adapter" ends ||
    { echo "not ok model cannot make one"; exit 1; }
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
open('free.jsonl', 'w').write(json.dumps({'id': 'a', 'input': 'x', 'assert': [{'type': 'contains', 'value': 'y'}]}) + '\n')
PY
FIELDS=(--base chat.gguf --data rows.jsonl --rank 8 --alpha 16 --lr 2e-2 --batch-size 4 --max-steps 24 --seed 5)
CASES=(--eval-cases cases.jsonl --eval-max-tokens 8 --eval-every 8)
# events of a run, without what differs from run to run
events() { python3 -c "
import json,sys
for l in open(sys.argv[1]):
    e = json.loads(l)
    if e['event'] in ('step', 'eval'): print({k: v for k, v in e.items() if k not in ('tok_s', 'eta_s')})" "$1/events.jsonl"; }

# --- scores are measured, and change nothing
run 0 plain tune "${FIELDS[@]}" --output plain && ok plain
run 0 scored --json tune "${FIELDS[@]}" "${CASES[@]}" --output scored && holds scored 'd["score"] > 0.9 and d["eval_loss"] is None'
says scored_said 'step 0: score [0-9.]+ % of 16 cases.*step 24: score'
last=scored/adapter-last # what was trained to the end, where the best is an earlier one
[[ -d $last ]] || last=scored/adapter
same scored_same_bits plain/adapter/adapter_model.safetensors $last/adapter_model.safetensors
out=$(python3 -c "import json; print(json.dumps([e for e in map(json.loads, open('scored/events.jsonl')) if e['event'] == 'eval']))") err=
holds scored_events '[e["step"] for e in d] == [0, 8, 16, 24] and all(e["n_scored"] == e["n_cases"] == 16 for e in d) and d[0]["score"] < 0.6 and d[0]["score_low"] <= d[0]["score"] <= d[0]["score_high"]'
out=$(cat scored/run.yaml) err=
says scored_written 'best_by: "score"'

# --- what is scored is what eval scores with the adapter that was kept
run 0 eval_same --json eval chat.gguf --cases cases.jsonl --max-tokens 8 --adapter scored/adapter --out kept &&
    holds eval_same 'd["metrics"]["accuracy"]["value"] == '"$(python3 -c "import json; print([e for e in map(json.loads, open('scored/events.jsonl')) if e['event'] == 'done'][0]['score'])")"
run 0 compare_steps --json compare scored/evals/step-0 scored/evals/step-24 && holds compare_steps 'd["n_pairs"] == 16 and d["new"] > d["base"]'
run 0 shown runs show scored && says shown 'score on eval_cases by step'
run 0 reported report scored --out r.md && out=$(cat r.md) && says reported 'Score on cases'

# --- a run that was cut off scores the same
"$TAILOR" tune "${FIELDS[@]}" "${CASES[@]}" --save-every 2 --output part >/dev/null 2>&1 &
pid=$!
until [[ -d part/evals/step-8 ]] || ! kill -0 $pid 2>/dev/null; do :; done
kill -INT $pid 2>/dev/null
wait $pid 2>/dev/null
run 0 resumed tune --resume part && ok resumed
same resumed_same_bits scored/adapter/adapter_model.safetensors part/adapter/adapter_model.safetensors
[[ "$(events scored)" == "$(events part)" ]] && ok resumed_same_events || not_ok resumed_same_events "$(events part)"

# --- both measures; the best of either, and an early end
run 0 both tune "${FIELDS[@]}" "${CASES[@]}" --eval-data rows.jsonl --output both && says both 'step 8: score [0-9.]+ % of 16 cases, loss on eval_data'
out=$(cat both/run.yaml) err=
says both_by_loss 'best_by: "loss"'
run 0 early --json tune "${FIELDS[@]}" --eval-cases cases.jsonl --eval-max-tokens 8 --eval-every 4 --early-stop 4 --max-steps 200 --output early &&
    holds early 'd["steps"] < 200 and d["stopped_early"] and d["score"] > 0.9' &&
    says early_said 'stopped at step [0-9]+ of 200: the best evaluation was that of step [0-9]+'
sed 's/"expected": "[a-z]*"/"expected": "never"/' cases.jsonl >never.jsonl
run 0 tie --json tune "${FIELDS[@]}" --eval-cases never.jsonl --eval-max-tokens 8 --eval-every 8 --eval-data rows.jsonl --best-by score --output tie &&
    holds tie_by_loss "d['score'] == 0 and d['eval_loss'] == min(e['loss'] for e in map(json.loads, open('tie/events.jsonl')) if e['event'] == 'eval')"
[[ -d early/adapter-last ]] && ok early_last || not_ok early_last 'no adapter-last'
run 0 grid --json tune "${FIELDS[@]}" "${CASES[@]}" --grid lr=1e-6,2e-2 --output grid && holds grid 'd["best"] == "grid/lr=2e-2"'
run 0 constrained --json tune "${FIELDS[@]}" --eval-cases cases.jsonl --eval-choices constrained --max-steps 1 --output c1 &&
    holds constrained '0 <= d["score"] <= 1'
out=$(cat c1/evals/step-1/cases.jsonl) err=
lacks constrained_answers '"output": ?"[^rgbw]'
run 0 asserted tune --base chat.gguf --data rows.jsonl --method sft --max-steps 1 --eval-cases free.jsonl --output free1 && says asserted 'step 1: score'

# --- refusals
run 2 no_cases tune "${FIELDS[@]}" --eval-choices listed --output x && says no_cases 'cannot tune with eval_choices: eval_cases is not given'
run 2 no_score tune "${FIELDS[@]}" --eval-data rows.jsonl --best-by score --output x && says no_score 'best_by score: eval_cases is not given'
run 2 no_measure tune "${FIELDS[@]}" --best-by loss --output x && says no_measure 'neither eval_data nor eval_cases'
run 2 no_labels tune "${FIELDS[@]}" --eval-cases free.jsonl --eval-choices listed --output x && says no_labels 'not every case of "free.jsonl" is a classification|not every case of ".*/free.jsonl" is a classification'
run 2 bad_cases tune "${FIELDS[@]}" --eval-cases rows.jsonl --output x && says bad_cases 'rows.jsonl line 1|rows.jsonl.*1'
[[ ! -e x ]] && ok nothing_left || not_ok nothing_left 'x is there'
head -8 cases.jsonl >fewer.jsonl
cp -r scored other && sed -i "s#$PWD/cases.jsonl#$PWD/fewer.jsonl#" other/run.yaml
run 2 changed_cases tune --resume other && says changed_cases 'its eval_cases was'
run 0 chinese --lang zh tune "${FIELDS[@]}" "${CASES[@]}" --max-steps 1 --output zh1 && says chinese '第 0 步：得分 [0-9.]+%（16 题）'
exit $failed
