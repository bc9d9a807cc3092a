#!/usr/bin/env bash
# An adapter over frozen ones, on a tiny model: the same as on the merged base, with what is below left alone; methods that
# compare, resuming, refusals. Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
cp -r tests/data/golden/models/llama "$WORK/model"
cd "$WORK" || exit 1

python3 - <<'PY'
import json, random
rng = random.Random(7)
for name, n in (('one', 16), ('two', 16), ('three', 24)):
    with open(f'{name}.jsonl', 'w') as f:
        for _ in range(n):
            ids = [rng.randrange(3, 280) for _ in range(rng.randrange(12, 24))]
            f.write(json.dumps({'ids': ids, 'labels': [-100] * 6 + ids[6:]}) + '\n')
with open('pairs.jsonl', 'w') as f:
    for _ in range(8):
        head, a, b = ([rng.randrange(3, 280) for _ in range(6)] for _ in range(3))
        row = lambda x: {'ids': head + x, 'labels': [-100] * 6 + x}
        f.write(json.dumps({'chosen': row(a), 'rejected': row(b)}) + '\n')
PY
DATA=(--data-format tokens --lr 1e-2 --precision reference --max-steps 6 --batch-size 4)
# tensors A B PYTHON: the expression over a and b (name -> list of values of two safetensors files) is true
tensors() {
    python3 - "$@" 2>"$WORK/why" <<'PY' && ok "$1" || not_ok "$1" "$(tail -1 "$WORK/why")"
import array, json, struct, sys
def load(path):
    data = open(path, 'rb').read()
    n = struct.unpack('<Q', data[:8])[0]
    return {k: (v['shape'], array.array('f', data[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]]).tolist())
            for k, v in json.loads(data[8:8 + n]).items() if k != '__metadata__'}
a, b = load(sys.argv[2]), load(sys.argv[3])
far = lambda x, y: max(abs(p - q) for p, q in zip(x, y)) / (max(map(abs, y)) or 1)
assert eval(sys.argv[4]), sys.argv[4]
PY
}
# losses RUN: by step
losses() { python3 -c "
import json,sys
print(json.dumps([e['loss'] for e in map(json.loads, open(sys.argv[1] + '/events.jsonl')) if e['event'] == 'step']))" "$1"; }

run 0 first tune --base model --data one.jsonl "${DATA[@]}" --rank 4 --alpha 8 --seed 1 --output first && ok first
run 0 second tune --base model --data two.jsonl "${DATA[@]}" --rank 6 --alpha 6 --use-rslora --target-modules q_proj,down_proj --adapters first/adapter --seed 2 --output second && ok second

# --- over one frozen adapter, and on the base with that adapter merged into it
run 0 merge merge model --adapter first/adapter merged && ok merge
NEW=(--data three.jsonl "${DATA[@]}" --rank 5 --alpha 10 --target-modules q_proj,v_proj,up_proj --seed 3)
run 0 on_merged tune --base merged "${NEW[@]}" --output on_merged && ok on_merged
run 0 on_stack tune --base model --adapters first/adapter "${NEW[@]}" --output on_stack && ok on_stack
out="[$(losses on_merged), $(losses on_stack)]" err=
holds same_losses 'len(d[0]) == 6 and all(abs(x - y) < 1e-5 * x for x, y in zip(*d)) and d[0][5] < d[0][0]'
tensors same_adapter on_stack/adapter-own/adapter_model.safetensors on_merged/adapter/adapter_model.safetensors \
    'a.keys() == b.keys() and all(far(a[k][1], b[k][1]) < 2e-3 for k in a)'
tensors below_unchanged on_stack/adapter/adapter_model.safetensors first/adapter/adapter_model.safetensors \
    'all(a[k][1][:len(b[k][1])] == b[k][1] for k in b if "lora_A" in k)'
run 0 logits_merged logits merged --ids 5,6,7,8 --adapter on_merged/adapter --precision reference --out l1.safetensors
run 0 logits_stack logits model --ids 5,6,7,8 --adapter on_stack/adapter --precision reference --out l2.safetensors
tensors same_logits l2.safetensors l1.safetensors 'far(a["logits"][1], b["logits"][1]) < 1e-4'
run 0 merge_stack merge model --adapter on_stack/adapter merged2 && ok merge_stack
run 0 logits_merged2 logits merged2 --ids 5,6,7,8 --precision reference --out l3.safetensors
tensors merged_logits l3.safetensors l2.safetensors 'far(a["logits"][1], b["logits"][1]) < 1e-4'

# --- over two; cut off and resumed; threads
TWO=(--base model --adapters second/adapter,first/adapter "${NEW[@]}" --save-every 1)
run 0 over_two tune "${TWO[@]}" --output two1 && ok over_two
run 0 over_two_threads tune "${TWO[@]}" --threads 1 --output two2 && same over_two_threads two1/adapter/adapter_model.safetensors two2/adapter/adapter_model.safetensors
"$TAILOR" tune "${TWO[@]}" --max-steps 60 --output part >/dev/null 2>&1 &
pid=$!
until [[ -n $(ls part/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
run 0 two_whole tune "${TWO[@]}" --max-steps 60 --output whole
run 0 two_resumed tune --resume part && same two_resumed whole/adapter/adapter_model.safetensors part/adapter/adapter_model.safetensors
out=$(cat whole/manifest.json) err=
holds in_manifest 'd["inputs"]["adapters[0]"]["path"].endswith("second/adapter") and len(d["inputs"]["adapters[1]"]["sha256"]) == 64'

# --- methods that compare start from what is below
run 0 dpo tune --base model --data pairs.jsonl "${DATA[@]}" --method dpo --rank 4 --alpha 8 --adapters first/adapter --output dpo && ok dpo
out=$(losses dpo) err=
holds dpo_starts_at_ln2 'abs(d[0] - 0.693147) < 1e-5 and d[5] < 0.6'

# --- refusals
run 2 own_alone logits model --ids 5,6 --adapter on_stack/adapter-own --out x.safetensors && says own_alone 'alone: it was tuned over others; "adapter" beside it holds all of them'
run 0 own_unchecked logits model --ids 5,6 --adapter on_stack/adapter-own,check=no --out x.safetensors && ok own_unchecked
run 2 dora_over tune --base model "${NEW[@]}" --adapter dora --adapters first/adapter --output x && says dora_over 'cannot tune with adapters and adapter dora'
run 0 dora tune --base model --data one.jsonl "${DATA[@]}" --adapter dora --rank 2 --alpha 4 --output dora
run 2 over_dora tune --base model "${NEW[@]}" --adapters dora/adapter --output x && says over_dora 'cannot tune over adapter ".*dora/adapter": it has magnitudes'
run 2 full_over tune --base model --data one.jsonl "${DATA[@]}" --adapter full --adapters first/adapter --output x && says full_over 'cannot tune with adapters and adapter full'
run 2 other_base tune --base merged "${NEW[@]}" --adapters first/adapter --output x && says other_base 'it was tuned on another model'
run 2 no_such tune --base model "${NEW[@]}" --adapters none --output x && says no_such 'none'
[[ ! -e x ]] && ok nothing_left || not_ok nothing_left 'x is there'
cp -r first moved && sed -i "s#$PWD/first/adapter#$PWD/moved/adapter#" part/run.yaml && cp second/adapter/* moved/adapter/
run 2 changed tune --resume part && says changed 'its adapters\[1\] was'
exit $failed
