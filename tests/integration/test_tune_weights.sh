#!/usr/bin/env bash
# Weights of rows through the program, on a tiny model: weight 2 is the row twice, whatever the packing and the split into
# micro-batches; weight 0 is left out and counted; what is no weight is refused with its line.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/chat.gguf" "$WORK/adapter" ||
    { echo "not ok model cannot make one"; exit 1; }
cp -r tests/data/golden/models/llama "$WORK/model"
cd "$WORK" || exit 1

# alike NAME RUN RUN: losses and gradient norms of all steps, and the loss on eval_data before the first
alike() {
    if python3 - "$2" "$3" 2>"$WORK/why" <<'PY'
import json, sys
a, b = ([e for e in map(json.loads, open(r + '/events.jsonl')) if e['event'] in ('step', 'eval')] for r in sys.argv[1:])
near = lambda x, y: abs(x - y) <= 2e-4 * abs(y)
assert len(a) == len(b) > 3, (len(a), len(b))
for x, y in zip(a, b): assert near(x['loss'], y['loss']) and near(x.get('grad_norm', 1), y.get('grad_norm', 1)), (x, y)
PY
    then ok "$1"; else not_ok "$1" "$(tail -1 "$WORK/why")"; fi
}

python3 - <<'PY'
import json, random
rng = random.Random(7)
def row(n, same=False):
    ids = [5, 6, 7, 8, 9, 10] + [rng.randrange(3, 280) for _ in range(n)]
    return {'ids': ids, 'labels': [-100] * 6 + ids[6:]}
rows = [row(rng.randrange(4, 20)) for _ in range(6)]
rows.append({'ids': rows[0]['ids'][:10] + [20, 21], 'labels': [-100] * 6 + rows[0]['ids'][6:10] + [20, 21]}) # shares trained tokens with row 0
def lines(name, rows):
    with open(name, 'w') as f:
        for r in rows: f.write(json.dumps(r) + '\n')
twice = [2, 1, 3, 1, 1, 2, 2]
lines('weighted.jsonl', [dict(r, weight=w) for r, w in zip(rows, twice)] + [dict(row(9), weight=0)])
lines('repeated.jsonl', [r for r, w in zip(rows, twice) for _ in range(w)])
lines('halves.jsonl', [dict(r, weight=w / 2) for r, w in zip(rows, twice)]) # only the ratio counts
lines('plain.jsonl', rows)
lines('ones.jsonl', [dict(r, weight=1.0) for r in rows])
for name, w in (('negative', -1), ('text', 'heavy'), ('nan', 'NaN'), ('large', 1e7), ('list', [1])):
    lines(f'{name}.jsonl', [rows[0], dict(rows[1], weight=w)])
lines('zeros.jsonl', [dict(r, weight=0) for r in rows])
open('not_json.jsonl', 'w').write(json.dumps(rows[0]) + '\n' + json.dumps(rows[1])[:-1] + ', "weight": NaN}\n')
lines('chat.jsonl', [{'prompt': f'ask {i}', 'completion': f'say {i}', 'weight': i} for i in range(4)])
open('table.csv', 'w').write('prompt,completion,weight\nask 1,say 1,1\nask 2,say 2,2\nask 3,say 3,3\n')
lines('dpo.jsonl', [{'prompt': 'a', 'chosen': 'b', 'rejected': 'c', 'weight': 2}, {'prompt': 'a', 'chosen': 'd', 'rejected': 'e'}])
PY
T=(tune --base model --data-format tokens --rank 4 --alpha 8 --lr 1e-2 --max-steps 4 --precision reference --duplicates keep)

# --- weight 2 is the row twice: in one micro-batch, in parts, with and without shared prefixes, over accumulation
run 0 repeated "${T[@]}" --data repeated.jsonl --eval-data repeated.jsonl --batch-size 16 --output repeated && ok repeated
for how in "16 1 packing" "16 1 no-packing" "2 8 packing" "3 8 no-packing"; do
    read -r batch accum packing <<<"$how"
    name=w_${batch}_$packing
    run 0 $name --json "${T[@]}" --data weighted.jsonl --eval-data weighted.jsonl --batch-size $batch --grad-accum $accum --$packing --output $name
    alike $name $name repeated
done
holds weight_zero 'd["rows"]["read"]==8 and d["rows"]["kept"]==7 and d["rows"]["weight_zero"]==1 and d["rows"]["refused"]==0'
run 0 in_parts "${T[@]}" --data weighted.jsonl --eval-data weighted.jsonl --batch-size 16 --token-budget 30 --output parts && alike in_parts parts repeated
run 0 halves "${T[@]}" --data halves.jsonl --eval-data halves.jsonl --batch-size 16 --output halves && alike ratio_counts halves repeated
says said 'halves.jsonl: 4 rows have a weight other than 1, 0 of weight 0 are left out'
run 0 plain "${T[@]}" --data plain.jsonl --batch-size 16 --output plain
run 0 ones "${T[@]}" --data ones.jsonl --batch-size 16 --output ones
cmp -s plain/adapter/adapter_model.safetensors ones/adapter/adapter_model.safetensors && ok ones_change_no_bit || not_ok ones_change_no_bit "bits differ"
cmp -s plain/adapter/adapter_model.safetensors w_16_packing/adapter/adapter_model.safetensors && not_ok weights_count "no bit differs" || ok weights_count
run 0 strict "${T[@]}" --data weighted.jsonl --batch-size 16 --strict --output strict && ok zero_is_no_refusal

# --- what is no weight
for bad in negative:-1 text:'"heavy"' nan:'"NaN"' large:10000000.0 list:'\[1\]'; do
    run 2 "${bad%%:*}" "${T[@]}" --data "${bad%%:*}.jsonl" --strict --output no && says "${bad%%:*}" "line 2: its weight is ${bad#*:}.*, a number from 0 to 1000000 is needed"
done
run 0 counted --json "${T[@]}" --data negative.jsonl --output counted && holds counted 'd["rows"]["bad_fields"]==1 and d["rows"]["kept"]==1'
run 2 not_json "${T[@]}" --data not_json.jsonl --strict --output no && says not_json 'line 2'
run 2 zeros "${T[@]}" --data zeros.jsonl --output no && says zeros 'all of its 7 rows have weight 0'
run 2 zeros_zh --lang zh "${T[@]}" --data zeros.jsonl --output no && says zeros_zh '权重均为 0'

# --- conversations, tables, other methods, datasets
run 0 chat --json tune --base chat.gguf --data chat.jsonl --rank 4 --max-steps 1 --output chat && holds chat 'd["rows"]["kept"]==3 and d["rows"]["weight_zero"]==1'
run 0 table --json tune --base chat.gguf --data table.csv --rank 4 --max-steps 1 --output table && holds table 'd["rows"]["kept"]==3'
says table_said 'table.csv: 2 rows have a weight other than 1'
run 2 dpo tune --base chat.gguf --data dpo.jsonl --method dpo --rank 4 --max-steps 1 --strict --output no && says dpo 'line 1: it has a weight, and rows have weights in method sft only'
run 2 import data import negative.jsonl --out imported && says import 'line 2: its weight is -1'
run 0 import_good --json data import weighted.jsonl --out imported && holds import_good 'd["counts"]["train_kept"]==8'
exit $failed
