#!/usr/bin/env bash
# tune through the program, on a tiny model: where fields come from, resuming from elsewhere, refusals.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
mkdir -p "$WORK/here" "$WORK/elsewhere"
cp -r tests/data/golden/models/llama "$WORK/here/model"
cd "$WORK/here" || exit 1

python3 - <<'PY'
import json, random
rng = random.Random(7)
with open('rows.jsonl', 'w') as f:
    for _ in range(32):
        ids = [rng.randrange(3, 280) for _ in range(rng.randrange(12, 30))]
        f.write(json.dumps({'ids': ids, 'labels': [-100] * 6 + ids[6:]}) + '\n')
PY
FIELDS=(--base model --data ./rows.jsonl --data-format tokens --rank 4 --alpha 8 --lr 1e-2 --seed 3)

# --- a run goes on from anywhere
run 0 whole tune "${FIELDS[@]}" --max-steps 40 --save-every 2 --output whole && ok whole
"$TAILOR" tune "${FIELDS[@]}" --eval-data rows.jsonl --max-steps 40 --save-every 2 --output part >/dev/null 2>&1 &
pid=$!
until [[ -n $(ls part/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
cd ../elsewhere || exit 1
run 0 resume_elsewhere tune --resume ../here/part && ok resume_elsewhere
same resume_same_bits ../here/whole/adapter/adapter_model.safetensors ../here/part/adapter/adapter_model.safetensors
run 0 from_elsewhere --json tune --from ../here/whole --max-steps 1 --output copy && holds from_elsewhere 'd["run"]=="copy" and d["steps"]==1'
cd ../here || exit 1
out=$(cat part/run.yaml) err=
says absolute_paths "base: \"?$PWD/model.*data: \"?$PWD/rows.jsonl.*eval_data: \"?$PWD/rows.jsonl.*output: \"?$PWD/part"
run 0 import_model import model tiny
run 0 by_name tune "${FIELDS[@]}" --base tiny --max-steps 1 --output named
out=$(cat named/run.yaml) err=
says name_with_version 'base: "?tiny:1'

# --- epochs or max_steps: what is nearer to the command line counts
printf '%s\n' 'base: model' 'data: rows.jsonl' 'data_format: tokens' 'rank: 4' 'max_steps: 3' >run.yaml
run 0 epochs_over_file --json tune --run run.yaml --epochs 1 --output e1 && holds epochs_over_file 'd["steps"]==4'
run 0 set_over_file --json tune --run run.yaml --set epochs=1 --output e2 && holds set_over_file 'd["steps"]==4'
run 0 file_over_from --json tune --from e1 --run run.yaml --output e3 && holds file_over_from 'd["steps"]==3'
run 0 steps_over_from --json tune --from e1 --max-steps 2 --output e4 && holds steps_over_from 'd["steps"]==2'
run 2 both_given tune --run run.yaml --epochs 1 --max-steps 2 --output e5 && says both_given 'both epochs and max_steps'
printf 'epochs: 1\n' >>run.yaml
run 2 both_in_file tune --run run.yaml --output e5 && says both_in_file 'both epochs and max_steps'

# --- registered datasets by name
run 0 data_import --json data import rows.jsonl --out ds && holds data_import 'd["format"]=="tokens" and d["counts"]=={"train_rows":32,"train_kept":32,"train_duplicates_kept":0} and d["labels"] is None'
mv ds/train.jsonl kept.jsonl
run 0 data_by_name --json tune --base model --data ds --rank 4 --alpha 8 --lr 1e-2 --seed 3 --max-steps 1 --output d1 && holds data_by_name 'd["steps"]==1'
run 0 data_by_path tune "${FIELDS[@]}" --max-steps 1 --output d2
same data_same_bits d1/adapter/adapter_model.safetensors d2/adapter/adapter_model.safetensors
out=$(cat d1/manifest.json)
holds data_in_manifest 'd["inputs"]["data"]["name"]=="ds:1" and d["inputs"]["data"]["sha256"]=="'"$(sha256sum <rows.jsonl | cut -c1-64)"'"'
cd ../elsewhere || exit 1
run 0 data_resume tune --resume ../here/d1 && says data_resume 'complete already'
cd ../here || exit 1
run 2 data_twice tune --base model --data ds --eval-data ds:1 --output d3 && says data_twice 'data is the same dataset'
run 2 data_is_model tune --base model --data tiny --output d3 && says data_is_model 'it is a model, a dataset is needed'
run 2 data_unknown tune --base model --data dss --output d3 && says data_unknown 'did you mean ds'
run 2 data_missing tune "${FIELDS[@]}" --data none.jsonl --output d3 && says data_missing 'cannot open ".*none.jsonl": No such file'
run 2 data_no_cases eval model --cases ds && says data_no_cases 'the dataset has no cases.jsonl'
run 2 data_table_option data import rows.jsonl --system hello --out dx && says data_table_option 'cannot use system: "rows.jsonl" holds ready-made rows \(tokens\)'

# --- the directory of a run is no place for an evaluation, and stays as it is
printf '{"id":"a","input":"x","expected":"y","task":"classification"}\n' >cases.jsonl
before=$(cksum e1/manifest.json e1/run.yaml)
for more in '' --overwrite; do
    run 2 eval_into_run eval ../here/model --cases cases.jsonl --out e1 $more && says "eval_into_run$more" 'cannot evaluate into "e1": it is a tuning run; choose another --out'
done
run 2 eval_into_file eval model --cases cases.jsonl --out rows.jsonl && says eval_into_file '"rows.jsonl": it is a file, a directory is needed'
[[ $before == "$(cksum e1/manifest.json e1/run.yaml)" ]] && ok run_untouched || not_ok run_untouched 'manifest.json or run.yaml changed'

# --- memory: what is needed, and what would fit, can be followed
python3 - <<'PY'
import json
with open('long.jsonl', 'w') as f:
    for r in range(32):
        ids = [3 + (7 * r + i * i) % 270 for i in range(60)]
        f.write(json.dumps({'ids': ids, 'labels': ids}) + '\n')
PY
LONG=(--base model --data long.jsonl --data-format tokens --rank 4 --lr 1e-3 --batch-size 32 --max-steps 1 --output m)
run 2 memory_row tune "${LONG[@]}" --memory-limit 100kB && says memory_row 'within memory_limit 100.0 kB: [0-9]+ tokens at once take [0-9.]+ MB for the backward pass, beside [0-9.]+ MB for all else; .*the longest row alone, 60 tokens, takes [0-9.]+ MB'
lacks memory_no_blame 'token_budget'
rest=$(sed -n 's/.*beside \([0-9]*\)\.[0-9]* MB for all else.*/\1/p' "$WORK/err")
most=$(sed -n 's/.*at once take \([0-9]*\)\.[0-9]* MB for the backward.*/\1/p' "$WORK/err") # with all layers computed again
run 2 memory_recompute tune "${LONG[@]}" --memory-limit $((rest + most + 5))MB --recompute off && says memory_recompute 'with recompute they take [0-9.]+ MB, which fits'
run 2 memory_budget tune "${LONG[@]}" --memory-limit $((rest + most / 2))MB && says memory_budget 'token_budget [0-9]+ fits'
budget=$(sed -n 's/.*token_budget \([0-9]*\) fits.*/\1/p' "$WORK/err")
run 0 memory_followed tune "${LONG[@]}" --memory-limit $((rest + most / 2 + 3))MB --token-budget "$budget" && ok memory_followed
run 2 memory_no_size tune "${LONG[@]}" --memory-limit 3XB && says memory_no_size '"3XB" is not a size \(8GB, 512MB\)'

# --- an evaluation is computed as training is, in parts: 60,000 tokens of it, whose logits are 67 MB, take no more memory
python3 - <<'PY'
import json
with open('many.jsonl', 'w') as f:
    for r in range(1000):
        ids = [3 + (11 * r + i * i) % 270 for i in range(60)]
        f.write(json.dumps({'ids': ids, 'labels': ids}) + '\n')
PY
run 0 eval_none --json tune "${FIELDS[@]}" --max-steps 1 --output v0
alone=$(python3 -c 'import json,sys; print(json.loads(sys.argv[1])["peak_rss_bytes"])' "$out")
run 0 eval_memory --json tune "${FIELDS[@]}" --max-steps 1 --eval-data many.jsonl --output v1 && holds eval_memory "d['peak_rss_bytes'] < $alone + 16e6"
out=[] err=
holds eval_first '[e["step"] for e in rows("v1/events.jsonl") if e["event"] == "eval"] == [0, 1]'
exit $failed
