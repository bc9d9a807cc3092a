#!/usr/bin/env bash
# What stops a tuning run, and what is left of it: signals, a full disk, a loss that is no number, changed inputs.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
cp -r tests/data/golden/models/llama "$WORK/model"
cd "$WORK" || exit 1

python3 - <<'PY'
import json, random, shutil, struct
rng = random.Random(7)
for name, n in (('rows', 32), ('other', 16)):
    with open(f'{name}.jsonl', 'w') as f:
        for _ in range(n):
            ids = [rng.randrange(3, 280) for _ in range(rng.randrange(12, 30))]
            f.write(json.dumps({'ids': ids, 'labels': [-100] * 6 + ids[6:]}) + '\n')
# the model with a norm that is no number
shutil.copytree('model', 'broken')
data = bytearray(open('broken/model.safetensors', 'rb').read())
n = struct.unpack('<Q', data[:8])[0]
begin = json.loads(data[8:8 + n])['model.norm.weight']['data_offsets'][0]
data[8 + n + begin:12 + n + begin] = struct.pack('<f', float('nan'))
open('broken/model.safetensors', 'wb').write(data)
PY
SMALL=(--base model --data rows.jsonl --data-format tokens --rank 1 --target-modules q_proj --lr 1e-2 --max-steps 160 --save-every 5)
run 0 whole tune "${SMALL[@]}" --output whole

# --- SIGTERM and Ctrl+C: the step ends, a checkpoint is written, and the run goes on to the same bytes
for signal in TERM INT; do
    # a shell keeps background jobs from SIGINT, so it is given back
    python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])' \
        "$TAILOR" tune "${SMALL[@]}" --output $signal >/dev/null 2>"$WORK/err" &
    pid=$!
    until [[ -n $(ls $signal/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
    kill -$signal $pid
    wait $pid
    status=$?
    out='' err=$(cat "$WORK/err")
    [[ $status == 130 ]] && says ${signal}_says 'interrupted after step [0-9]+ of 160' || not_ok ${signal}_says "exit status $status: $err"
    run 0 ${signal}_resume tune --resume $signal && same ${signal}_resume whole/adapter/adapter_model.safetensors $signal/adapter/adapter_model.safetensors
done

# --- no room for the next event: the run stops, its last checkpoint is whole and goes on to the same bytes
(
    trap '' XFSZ # what is too large is then an error of write()
    ulimit -f 16
    exec "$TAILOR" tune "${SMALL[@]}" --output full >/dev/null 2>"$WORK/err"
)
status=$? out='' err=$(cat "$WORK/err")
[[ $status == 1 ]] && says full_says 'events.jsonl.*File too large' || not_ok full_says "exit status $status: $err"
[[ ! -e full/adapter && -n $(ls full/checkpoints) ]] && ok full_left || not_ok full_left "$(ls full full/checkpoints)"
run 0 full_resume tune --resume full && same full_resume whole/adapter/adapter_model.safetensors full/adapter/adapter_model.safetensors

# --- a loss that is no number
run 2 nan tune --base broken --data rows.jsonl --data-format tokens --rank 4 --seed 3 --output nan &&
    says nan 'the loss at step 1 is not finite at row [0-9]+ \(line [0-9]+ of the data\); a lower lr'
run 2 nan_zh --lang zh tune --resume nan && says nan_zh '第 1 步的损失在第 [0-9]+ 行'

# --- changed inputs
cp -r TERM again
rm -r again/adapter again/checkpoints
mkdir again/checkpoints
: >again/events.jsonl
sed -i "s|$WORK/TERM|$WORK/again|" again/run.yaml
run 2 other_arithmetic tune --resume again --threads 1 --set lr=1 && says other_arithmetic 'with other fields'
export TAILOR_ISA=scalar
run 2 other_kernels tune --resume again && says other_kernels 'cannot resume "again": its arithmetic was'
unset TAILOR_ISA
cp rows.jsonl kept.jsonl
cat other.jsonl >>rows.jsonl
run 2 other_data tune --resume again && says other_data 'cannot resume "again": its data was'
cp kept.jsonl rows.jsonl
mv model kept-model
cp -r broken model
run 2 other_base tune --resume again && says other_base 'cannot resume "again": its base was'
rm -r model
mv kept-model model
run 0 same_again tune --resume again && same same_again whole/adapter/adapter_model.safetensors again/adapter/adapter_model.safetensors

# --- the best adapter, and the last beside it where they differ
run 0 best --json tune --base model --data rows.jsonl --data-format tokens --rank 8 --lr 3e-2 --eval-data other.jsonl --eval-every 4 --epochs 12 --output best &&
    holds best 'd["predicted_seconds"]>0 and d["predicted_peak_bytes"]>0 and d["eval_seconds"]>0'
python3 - <<'PY' 2>"$WORK/why" && ok best_kept || not_ok best_kept "$(tail -1 "$WORK/why")"
import json
events = [json.loads(l) for l in open('best/events.jsonl')]
losses = [e['loss'] for e in events if e['event'] == 'eval']
assert len(losses) == 13 and events[-1]['eval_loss'] == min(losses) < losses[-1], losses
PY
[[ -d best/adapter-last ]] && ! cmp -s best/adapter/adapter_model.safetensors best/adapter-last/adapter_model.safetensors &&
    ok best_and_last || not_ok best_and_last "$(ls best)"
exit $failed
