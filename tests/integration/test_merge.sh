#!/usr/bin/env bash
# What comes out of tuning, through the program, on a tiny model: DoRA and full runs, merge, export, adapters on other models.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
mkdir -p "$WORK/here" "$WORK/elsewhere"
ROOT=$PWD
cp -r tests/data/golden/models/llama "$WORK/here/model"
cd "$WORK/here" || exit 1

python3 - <<'PY'
import json, random
rng = random.Random(7)
with open('rows.jsonl', 'w') as f:
    for _ in range(16):
        ids = [rng.randrange(3, 280) for _ in range(rng.randrange(12, 20))]
        f.write(json.dumps({'ids': ids, 'labels': [-100] * 6 + ids[6:]}) + '\n')
PY
cp "$ROOT/tests/data/golden/gguf/llama.gguf" other.gguf
FIELDS=(--base model --data rows.jsonl --data-format tokens --lr 1e-2 --precision reference)
# logits NAME FILE ARGS...: of a model
logits() { run 0 "$1" --precision reference logits "${@:3}" --ids 5,9,200,31,77,2 --out "$2"; }
# close NAME FILE FILE: logits within 1e-4
close() {
    if python3 - "$2" "$3" 2>"$WORK/why" <<'PY'
import array, json, struct, sys
def load(p):
    with open(p, 'rb') as f:
        n = struct.unpack('<Q', f.read(8))[0]; h = json.loads(f.read(n)); a, b = h['logits']['data_offsets']
        f.seek(8 + n + a); x = array.array('f'); x.frombytes(f.read(b - a)); return x
x, y = map(load, sys.argv[1:])
assert len(x) == len(y) and max(abs(a - b) for a, b in zip(x, y)) < 1e-4, max(abs(a - b) for a, b in zip(x, y))
PY
    then ok "$1"; else not_ok "$1" "$(tail -1 "$WORK/why")"; fi
}

# --- adapters, merged and written for others
for kind in lora dora; do
    run 0 tune_$kind tune "${FIELDS[@]}" --adapter $kind --rank 4 --use-rslora --output $kind && ok tune_$kind
    logits with_$kind a.st model --adapter $kind/adapter
    run 0 merge_$kind merge model --adapter $kind/adapter $kind.gguf && logits merged_$kind b.st $kind.gguf && close merge_gguf_$kind a.st b.st
    run 0 merge_dir_$kind merge model --adapter $kind/adapter $kind-model && logits dir_$kind b.st $kind-model && close merge_hf_$kind a.st b.st
    run 0 export_peft_$kind export model $kind-peft --format peft --adapter $kind/adapter && logits peft_$kind b.st model --adapter $kind-peft && close export_peft_$kind a.st b.st
done
run 0 gguf_lora export model lora-a.gguf --format gguf-lora --adapter lora/adapter && [[ -s lora-a.gguf ]] && ok gguf_lora
run 2 gguf_lora_dora export model dora-a.gguf --format gguf-lora --adapter dora/adapter && says gguf_lora_dora 'magnitudes \(DoRA\)'
run 0 export_gguf export other.gguf again.gguf --format gguf && same export_gguf other.gguf again.gguf
run 0 export_hf export model again --format hf && same export_hf model/config.json again/config.json
run 2 export_hf_gguf export other.gguf x --format hf && says export_hf_gguf 'it is none itself'
run 2 export_wrong export model x --format gguf --adapter lora/adapter && says export_wrong 'merge puts one into the model'
run 2 merge_taken merge model --adapter lora/adapter again && says merge_taken 'something is there'

# --- merged into the grid that the base has, or a finer one
run 0 four_bits quantize other.gguf four.gguf --type Q4_0 && run 0 tune_four tune "${FIELDS[@]:2}" --base four.gguf --lr 1e-3 --rank 4 --output four &&
    run 0 merge_same_grid merge four.gguf --adapter four/adapter same.gguf --type Q4_0 && says merge_same_grid 'note: -?[0-9]+ % of what the adapter changes is left'
run 0 merge_finer merge four.gguf --adapter four/adapter finer.gguf --type Q8_0 && lacks merge_finer 'is left'
run 0 merge_unasked merge four.gguf --adapter four/adapter unasked.gguf && lacks merge_unasked 'is left'

# --- an adapter on what it was not tuned on
run 2 origin --precision reference logits other.gguf --adapter dora/adapter --ids 5,9 --out c.st && says origin 'tuned on another model'
run 0 origin_forced --precision reference logits other.gguf --adapter dora/adapter,check=no --ids 5,9 --out c.st && ok origin_forced

# --- all weights
run 0 full tune "${FIELDS[@]}" --adapter full --optimizer adafactor --schedule linear --min-lr 1e-3 --output full && ok full
logits full_served b.st full/model
if [[ $(python3 -c "import json; print([json.loads(l)['lr'] for l in open('full/events.jsonl') if '\"step\"' in l and 'lr' in l][-1] > 1e-3)") == True ]]; then ok min_lr; else not_ok min_lr 'the last rate is below it'; fi
run 0 full_again tune --base full/model --data rows.jsonl --data-format tokens --adapter full --optimizer lion --lr 1e-4 --output full2 && ok full_again
run 2 full_rank tune "${FIELDS[@]}" --adapter full --rank 4 --output x && says full_rank 'cannot tune with rank and adapter full'
run 2 full_gguf tune --base other.gguf --data rows.jsonl --data-format tokens --adapter full --output x && says full_gguf 'it is a GGUF file'
run 2 adafactor_lora tune "${FIELDS[@]}" --optimizer adafactor --output x && says adafactor_lora 'with adapter full'
run 2 lion_eps tune "${FIELDS[@]}" --optimizer lion --eps 1e-6 --output x && says lion_eps 'that optimizer has none'
run 0 codes tune "${FIELDS[@]}" --optimizer adamw8bit --max-steps 30 --save-every 1 --output codes && ok codes
"$TAILOR" tune "${FIELDS[@]}" --optimizer adamw8bit --max-steps 30 --save-every 1 --output codes2 >/dev/null 2>&1 &
pid=$!
until [[ -n $(ls codes2/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
run 0 codes_resume tune --resume codes2 && same codes_resume codes/adapter/adapter_model.safetensors codes2/adapter/adapter_model.safetensors
exit $failed
