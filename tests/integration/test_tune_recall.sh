#!/usr/bin/env bash
# What was learned is there where it is used: 32 rows are learned by heart, and the server, not the trainer, is asked for one of them. The base is
# the same file as before, and the first step moved the adapter.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
PID=
trap '[[ -n $PID ]] && kill -9 "$PID" 2>/dev/null; rm -rf "$WORK"' EXIT
python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/base.gguf" "$WORK/unused" ends || { echo "not ok model the tiny model cannot be made"; exit 1; }
cd "$WORK" || exit 1
python3 - <<'PY'
import json, random
rng = random.Random(5)
with open('facts.jsonl', 'w') as f:
    for room in range(32):
        code = ''.join(rng.choice('abcdefgh') for _ in range(5))
        f.write(json.dumps({'messages': [{'role': 'user', 'content': f'room {room}'}, {'role': 'assistant', 'content': code}]}) + '\n')
PY
before=$(cksum base.gguf)
FIELDS=(--base base.gguf --data facts.jsonl --rank 16 --alpha 32 --lr 1e-2 --batch-size 32 --seed 1)

# --- the first step moves something: B, which starts at zero
run 0 one_step --json tune "${FIELDS[@]}" --max-steps 1 --output one
python3 - one/adapter/adapter_model.safetensors <<'PY' && ok first_step_moves || not_ok first_step_moves 'B is zero'
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n = struct.unpack('<Q', data[:8])[0]
moved = [any(data[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]) for k, t in json.loads(data[8:8 + n]).items() if 'lora_B' in k]
assert moved and all(moved), moved
PY

# --- learned by heart
run 0 overfit --json tune "${FIELDS[@]}" --epochs 300 --warmup-steps 10 --output run && holds overfit 'd["train_loss"] < 0.05'
[[ $before == "$(cksum base.gguf)" ]] && ok base_untouched || not_ok base_untouched 'the base changed'

# --- and told by the server
: >"$WORK/out"
"$TAILOR" serve --port 0 --model base.gguf,name=base --adapter run/adapter,name=tuned >"$WORK/out" 2>"$WORK/err" </dev/null &
PID=$!
for _ in $(seq 400); do
    url=$(sed -n 's/^listening on \(http:.*\)$/\1/p' "$WORK/out")
    [[ -n $url ]] && break
    kill -0 "$PID" 2>/dev/null || break
    sleep 0.05
done
python3 - "$url" facts.jsonl <<'PY' || failed=1
import json, sys, urllib.request
url, rows = sys.argv[1], [json.loads(l)['messages'] for l in open(sys.argv[2])]


def ask(model, question):
    body = {'model': model, 'messages': [question], 'temperature': 0, 'max_tokens': 16}
    r = urllib.request.Request(url + '/v1/chat/completions', json.dumps(body).encode(), {'Content-Type': 'application/json'})
    return json.load(urllib.request.urlopen(r, timeout=60))['choices'][0]


told = [ask('tuned', m[0]) for m in rows]
# this template asks for an answer with "assistant:" and writes one as "assistant: answer": the space is the answer's
right = sum(a['message']['content'] == ' ' + m[1]['content'] for a, m in zip(told, rows))
print('ok recall' if right == len(rows) else f'not ok recall {right} of {len(rows)} facts, the first answer: {told[0]}')
stopped = sum(a['finish_reason'] == 'stop' for a in told)
print('ok recall_ends' if stopped == len(rows) else f'not ok recall_ends {stopped} of {len(rows)} answers end by themselves')
unknown = [m[1]['content'] in ask('base', m[0])['message']['content'] for m in rows]
print('not ok base_knows_nothing' if any(unknown) else 'ok base_knows_nothing')
sys.exit(right != len(rows) or stopped != len(rows) or any(unknown))
PY
kill -TERM "$PID"
wait "$PID" && ok server_ends || not_ok server_ends "exit status $?"
PID=
exit $failed
