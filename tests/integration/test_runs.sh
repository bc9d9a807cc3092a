#!/usr/bin/env bash
# Tuning runs beside each other, on a tiny model: presets, copies, sweeps, lists, differences.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
cp -r tests/data/golden/models/llama "$WORK/model"
cd "$WORK" || exit 1

python3 - <<'PY'
import json, random
rng = random.Random(7)
for name, n in (('rows', 32), ('other', 16)):
    with open(f'{name}.jsonl', 'w') as f:
        for _ in range(n):
            ids = [rng.randrange(3, 280) for _ in range(rng.randrange(12, 30))]
            f.write(json.dumps({'ids': ids, 'labels': [-100] * 6 + ids[6:]}) + '\n')
PY
DATA=(--base model --data rows.jsonl --data-format tokens)

# --- base and data alone: everything is chosen, said and written down
run 0 preset tune "${DATA[@]}" && says preset 'rank 8, alpha 16: 32 rows.*lr 0.00[0-9]+: for sft.*4 rows a step, 40 steps, 2 of them'
out=$(cat runs/tune-1/run.yaml) err=
says preset_written 'rank: 8.*alpha: 16.*epochs: 5.*batch_size: 4.*warmup_steps: 2'
run 0 preset_next tune "${DATA[@]}" && [[ -d runs/tune-2 ]] && ok preset_next || not_ok preset_next 'no runs/tune-2'
same preset_same runs/tune-1/adapter/adapter_model.safetensors runs/tune-2/adapter/adapter_model.safetensors
run 0 preset_not --json tune "${DATA[@]}" --rank 4 && holds preset_not 'd["steps"]==4'
run 0 preset_off --json tune "${DATA[@]}" --preset off && holds preset_off 'd["steps"]==4'
run 0 preset_on --json tune "${DATA[@]}" --preset on --rank 4 --max-steps 3 && holds preset_on 'd["steps"]==3'
out=$(cat runs/tune-5/run.yaml) err=
says preset_keeps_given 'rank: 4.*alpha: 8.*max_steps: 3'

# --- a copy with one field changed, and what differs
run 0 copy --json tune --from runs/tune-1 --set lr=1e-2 && holds copy 'd["run"]=="runs/tune-1-2" and d["steps"]==40'
run 0 diff --json runs diff runs/tune-1 runs/tune-1-2 --svg curves.svg &&
    holds diff '[p["name"] for p in d["parameters"]]==["lr"] and d["parameters"][0]["b"]==0.01 and d["inputs"]==[] and len(d["curves"]["a"]["loss"])==40 and d["results"]["b"]["state"]=="done"'
python3 -c "
import xml.dom.minidom as m
lines = m.parse('curves.svg').getElementsByTagName('polyline')
assert len(lines) == 2 and all(len(l.getAttribute('points').split()) == 40 for l in lines)" 2>"$WORK/why" && ok diff_svg || not_ok diff_svg "$(tail -1 "$WORK/why")"
run 0 copy_data tune --from runs/tune-1 --set data=other.jsonl --set max_steps=2 --output other
run 0 diff_data --json runs diff runs/tune-1 other && holds diff_data '[i["name"] for i in d["inputs"]]==["data"] and {p["name"] for p in d["parameters"]}=={"data","epochs","max_steps"}'
run 0 diff_text runs diff runs/tune-1 other && says diff_text 'fields that differ.*max_steps .*inputs that differ.*loss by step.*\*'
run 0 diff_zh --lang zh runs diff runs/tune-1 other && says diff_zh '不同的字段.*状态 +已完成.*各步的损失'
run 2 diff_none runs diff runs/tune-1 model && says diff_none 'cannot read the run "model": no tuning run is there'

# --- lists, and a run by itself
run 0 list --json runs list && holds list 'd["runs"][0]["state"]=="done" and d["runs"][0]["steps"]==2 and d["runs"][0]["train_loss"]>0'
run 0 show runs show other && says show 'other: done, 2 steps, loss.*max_steps +2.*loss by step'
run 0 show_json --json runs show other && holds show_json 'd["result"]["steps"]==2 and "inputs" in d'

# --- sweeps: the product, the table, going on, refusals
GRID=(--max-steps 4 --grid lr=1e-3,1e-2 --grid rank=2,4 --output sweep)
run 0 sweep --json tune "${DATA[@]}" --eval-data other.jsonl "${GRID[@]}" &&
    holds sweep '[r["set"] for r in d["runs"]]==[{"lr":l,"rank":r} for l in ("1e-3","1e-2") for r in ("2","4")] and d["best"]==min(d["runs"],key=lambda r:r["eval_loss"])["run"] and all(r["steps"]==4 for r in d["runs"])'
run 0 alone tune "${DATA[@]}" --eval-data other.jsonl --max-steps 4 --lr 1e-2 --rank 4 --alpha 32 --output alone
same sweep_is_run alone/adapter/adapter_model.safetensors 'sweep/lr=1e-2,rank=4/adapter/adapter_model.safetensors'
rm -r 'sweep/lr=1e-3,rank=4'
before=$(stat -c %Y%i 'sweep/lr=1e-2,rank=2/adapter/adapter_model.safetensors')
run 0 sweep_again tune "${DATA[@]}" --eval-data other.jsonl "${GRID[@]}" && says sweep_again 'lr=1e-3,rank=2.*lr=1e-3,rank=4.*\(best\)'
[[ -d sweep/lr=1e-3,rank=4/adapter && $before == $(stat -c %Y%i 'sweep/lr=1e-2,rank=2/adapter/adapter_model.safetensors') ]] &&
    ok sweep_goes_on || not_ok sweep_goes_on 'the missing run is not there, or a finished one was done again'
run 2 sweep_other tune "${DATA[@]}" "${GRID[@]}" && says sweep_other 'holds a sweep of other fields or values'
run 2 sweep_value tune "${DATA[@]}" --grid lr=1e-3,fast --output s2 && says sweep_value 'cannot set "lr": "fast" is not a number'
run 2 sweep_field tune "${DATA[@]}" --grid lrr=1,2 --output s2 && says sweep_field 'lrr.*did you mean lr'
run 2 sweep_twice tune "${DATA[@]}" --grid lr=1 --grid lr=2 --output s2 && says sweep_twice 'cannot sweep over lr twice'
run 2 sweep_same tune "${DATA[@]}" --grid lr=1,1 --output s2 && says sweep_same 'the value 1 is there twice'
run 2 sweep_resume tune --resume alone --grid lr=1,2 && says sweep_resume 'cannot resume with a grid'
[[ ! -e s2 ]] && ok sweep_nothing_left || not_ok sweep_nothing_left 's2 is there'
exit $failed
