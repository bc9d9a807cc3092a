#!/usr/bin/env bash
# The door for training data, and the methods that compare answers, through the program on a tiny model that chats: every
# form of row, verdicts and their counts, the file of refused rows, what is said before the first step.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/chat.gguf" "$WORK/adapter" ||
    { echo "not ok model cannot make one"; exit 1; }
cp -r tests/data/golden/models/llama "$WORK/hf"
cd "$WORK" || exit 1

python3 - <<'PY'
import csv, json
pairs = [(f'ask {i}', f'say {i * 7}') for i in range(8)]
def lines(name, rows):
    with open(name, 'w') as f:
        for r in rows: f.write((r if isinstance(r, str) else json.dumps(r)) + '\n')
user = lambda a: {'role': 'user', 'content': a}
bot = lambda b: {'role': 'assistant', 'content': b}
openai = [{'messages': [user(a), bot(b)]} for a, b in pairs]
lines('openai.jsonl', openai)
lines('sharegpt.jsonl', [{'conversations': [{'from': 'human', 'value': a}, {'from': 'gpt', 'value': b}]} for a, b in pairs])
lines('alpaca.jsonl', [{'instruction': a, 'input': '', 'output': b} for a, b in pairs])
lines('prompt.jsonl', [{'prompt': a, 'completion': b} for a, b in pairs])
json.dump(openai, open('array.json', 'w'), indent=1)
with open('table.csv', 'w', newline='') as f:
    w = csv.writer(f)
    w.writerow(['prompt', 'completion'])
    w.writerows(pairs)
lines('mixed.jsonl', openai + ['rubbish', {'messages': [user('a'), user('b'), bot('c')]}, {'messages': [user('a'), bot(' ')]},
                               {'messages': [user('a'), bot('b' * 400)]}, openai[0], {'text': 'x'}])
lines('dpo.jsonl', [{'prompt': a, 'chosen': b, 'rejected': b[::-1] + 'x'} for a, b in pairs] + [{'prompt': 'a', 'chosen': 'b', 'rejected': 'b'}])
lines('kto.jsonl', [{'prompt': a, 'completion': b, 'label': i % 2 == 0} for i, (a, b) in enumerate(pairs)])
answer = lambda first, n: {'ids': [5, 6, 7] + list(range(first, first + n)), 'labels': [-100] * 3 + list(range(first, first + n))}
lines('tokens.jsonl', [{'chosen': answer(20 + i, 4), 'rejected': answer(90 + i, 3)} for i in range(8)])
open('x.parquet', 'wb').write(b'PAR1....PAR1')
PY
T=(tune --base chat.gguf --rank 4 --alpha 8 --lr 1e-2 --max-steps 2 --precision reference)

# --- one conversation in every form trains the same adapter
for form in openai.jsonl sharegpt.jsonl alpaca.jsonl prompt.jsonl array.json table.csv; do
    run 0 "form_$form" "${T[@]}" --data $form --output "f_$form" && ok "form_$form"
    [[ $form == openai.jsonl ]] || same "bits_$form" f_openai.jsonl/adapter/adapter_model.safetensors "f_$form/adapter/adapter_model.safetensors"
done
run 2 said_form "${T[@]}" --data openai.jsonl --data-format alpaca --output no && says said_form 'field "instruction" is missing'

# --- every row has a verdict; what is refused is listed with its line
run 0 verdicts --json "${T[@]}" --data mixed.jsonl --max-length 200 --output v &&
    holds verdicts 'd["rows"]["read"]==14 and d["rows"]["kept"]==8 and d["rows"]["duplicate_kept"]==1 and d["rows"]["refused"]==5 and [d["rows"][k] for k in ("unreadable","bad_roles","empty_target","over_length","bad_fields")]==[1]*5'
out=$(python3 -c 'import json; print(json.dumps([[r["line"], r["verdict"]] for r in map(json.loads, open("v/refused.jsonl"))]))')
holds refused_lines 'd==[[9,"unreadable"],[10,"bad_roles"],[11,"empty_target"],[12,"over_length"],[14,"bad_fields"]]'
out=$(cat v/manifest.json)
holds in_manifest 'd["rows"]["refused"]==5 and d["rows"]["verdicts"]["bad_roles"]==1'
run 0 truncate --json "${T[@]}" --data mixed.jsonl --max-length 200 --too-long truncate --duplicates drop --output t &&
    holds truncate 'd["rows"]["truncated"]==1 and d["rows"]["duplicate"]==1 and d["rows"]["over_length"]==0'
run 2 strict "${T[@]}" --data mixed.jsonl --strict --output s && says strict 'mixed.jsonl".* line 9'
[[ ! -e s ]] && ok strict_leaves_nothing || not_ok strict_leaves_nothing "s is there"
run 2 too_long "${T[@]}" --data mixed.jsonl --max-length 200 --too-long refuse --output s && says too_long 'line 12: it has [0-9]+ tokens, max_length is 200'
run 2 parquet "${T[@]}" --data x.parquet --output s && says parquet 'it is Parquet; convert it once: python3 .*read_parquet'
run 2 none_left "${T[@]}" --data kto.jsonl --method dpo --output s && says none_left 'none of its 8 rows can be used, first: .*line 1: it has no chosen'

# --- before the first step
run 0 preview "${T[@]}" --data mixed.jsonl --max-length 200 --output p
says preview_share 'of them trained, longest row'
says preview_lengths 'lengths in tokens \(rows\): .*<='
says preview_sample 'user: ask 0'
says preview_marks '\[\[ say 0'
says preview_refused '5 of 14 rows are refused .*p/refused.jsonl'
says preview_prediction '2 steps will take about .* of memory'
out=$(head -1 p/events.jsonl)
holds event_start 'd["event"]=="start" and d["predicted_seconds"]>0 and d["predicted_peak_bytes"]>1e6'
run 0 chinese --lang zh "${T[@]}" --data mixed.jsonl --max-length 200 --output z && says chinese '14 行中有 5 行未被采用'

# --- preferences and judged answers
run 0 dpo --json "${T[@]}" --data dpo.jsonl --method dpo --output dpo && holds dpo 'd["rows"]["no_contrast"]==1 and d["rows"]["kept"]==8'
out=$(grep '"event":"step"' dpo/events.jsonl | head -1)
holds dpo_first 'abs(d["loss"]-0.6931471805599453)<1e-12 and d["reward_chosen"]==0 and d["reward_rejected"]==0'
run 0 ipo "${T[@]}" --data dpo.jsonl --method dpo --dpo-loss ipo --output ipo && ok ipo
run 0 orpo "${T[@]}" --data dpo.jsonl --method orpo --output orpo && ok orpo
run 0 kto "${T[@]}" --data kto.jsonl --method kto --output kto && ok kto
out=$(grep '"event":"step"' kto/events.jsonl | head -1)
holds kto_first 'd["loss"]==0.5 and d["kl"]==0'
out=$(cat orpo/manifest.json)
holds denominator '"odds losses of its pairs" in d["denominator"]'
run 0 orpo_full tune --base hf --data tokens.jsonl --data-format tokens --method orpo --adapter full --lr 1e-3 --max-steps 2 --output full && ok orpo_full
run 2 dpo_full tune --base hf --data tokens.jsonl --data-format tokens --method dpo --adapter full --output no && says dpo_full 'its reference is the model with the adapter off'
run 0 dpo_dora tune --base hf --data tokens.jsonl --data-format tokens --method dpo --adapter dora --precision reference --max-steps 2 --output dora && ok dpo_dora
out=$(grep '"event":"step"' dora/events.jsonl | head -1)
holds dpo_dora_first 'abs(d["loss"]-0.6931471805599453)<1e-5'
run 2 field_of_other "${T[@]}" --data openai.jsonl --beta 0.3 --output no && says field_of_other 'method sft: that method has no such field'
run 0 resume_dpo tune --resume dpo && says resume_dpo 'complete already'
exit $failed
