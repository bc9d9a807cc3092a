#!/usr/bin/env bash
# GRPO through the program, on a tiny model that chats: resuming, several updates from the same answers, the reference,
# how the loss is divided, answers that were cut, and judges behind an address (loopback) that answer well or not at all.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export NO_PROXY=127.0.0.1
for kind in chat ends; do
    python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/$kind.gguf" "$WORK/adapter" $kind ||
        { echo "not ok model cannot make one"; exit 1; }
done
SERVER=$(realpath tests/integration/chat_server.py)
cd "$WORK" || exit 1
python3 "$SERVER" "$WORK/asked" >port &
SERVER_PID=$!
trap 'kill $SERVER_PID 2>/dev/null; rm -rf "$WORK"' EXIT
for _ in $(seq 200); do [[ -s port ]] && break; sleep 0.05; done
URL=http://127.0.0.1:$(cat port)/v1

differ() { if cmp -s "$2" "$3"; then not_ok "$1" "$2 and $3 are equal"; else ok "$1"; fi; }
# steps NAME PYTHON: true over s("RUN"), the step events of a run
steps() {
    if python3 -c "
import json
def s(run): return [e for e in map(json.loads, open(run + '/events.jsonl')) if e['event'] == 'step']
near = lambda a, b: abs(a - b) <= 1e-5 * abs(b)
assert ($2), '; '.join(str({k: v for k, v in e.items() if k != 'sample'}) for r in '$3'.split() for e in s(r))[:1500]" 2>"$WORK/why"; then ok "$1"
    else not_ok "$1" "$(tail -1 "$WORK/why")"; fi
}
weights() { echo "$1/adapter/adapter_model.safetensors"; }

python3 - <<'PY'
import json
with open('prompts.jsonl', 'w') as f:
    for i in range(8): f.write(json.dumps({'prompt': f'ask {i}', 'want': str(i), **({'only': 'x'} if i == 3 else {})}) + '\n')
PY
cat >base.yaml <<'YAML'
data: prompts.jsonl
method: grpo
rank: 4
alpha: 8
lr: 0.01
seed: 5
batch_size: 2
group_size: 4
max_new_tokens: 24
precision: reference
rewards:
  - {type: lua, name: vowels, code: "local n = 0 for i = 1, #answer do local c = answer:sub(i, i) if c == 'a' or c == 'e' then n = n + 1 end end return n"}
  - {type: length, unit: chars, min: 10, max: 30, slack: 40, weight: 0.5}
YAML
G=(tune --run base.yaml --base ends.gguf)

# --- one step's losses: the ratio is 1, there is no reference, the sampler and the training forward agree
run 0 plain "${G[@]}" --no-mask-truncated --max-steps 6 --save-every 1 --output plain &&
    says plain_cost '6 steps, each with up to [0-9]+ answers of at most [0-9]+ tokens, will take about .* of memory'
steps plain 'all(e["clipped"]==0 and e["kl"] is None and e["drift_max"]<1e-3 for e in s("plain")) and len(s("plain"))==6' plain
steps has_lengths 'any(0<e["truncated"]<1 and e["shortest"]<24 for e in s("plain"))' plain

# --- a run that is killed, or told to stop, ends with the same bytes
for signal in KILL TERM; do
    "$TAILOR" "${G[@]}" --no-mask-truncated --max-steps 6 --save-every 1 --output $signal >/dev/null 2>&1 &
    pid=$!
    until [[ -n $(ls $signal/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
    kill -$signal $pid
    wait $pid 2>/dev/null
    [[ ! -e $signal/adapter ]] && ok ${signal}_midway || not_ok ${signal}_midway "the run had ended"
    run 0 ${signal}_resume tune --resume $signal && same ${signal}_bits "$(weights plain)" "$(weights $signal)"
    steps ${signal}_steps "[(e['step'],e['reward'],e['loss']) for e in s('$signal')]==[(e['step'],e['reward'],e['loss']) for e in s('plain')]" "$signal plain"
done 2>/dev/null

# --- mu: later passes over the same answers see a ratio that moved, and a narrow clip cuts it
run 0 mu "${G[@]}" --no-mask-truncated --max-steps 2 --mu 3 --set epsilon=0.001 --output mu &&
    steps mu_clips 's("mu")[0]["clipped"]>0 and s("mu")[0]["reward"]==s("plain")[0]["reward"] and s("mu")[0]["drift"]==s("plain")[0]["drift"]' "mu plain"
run 0 mu_free "${G[@]}" --no-mask-truncated --max-steps 2 --mu 3 --set epsilon=10 --output mu_free &&
    steps mu_free 's("mu_free")[0]["clipped"]<s("mu")[0]["clipped"]' "mu mu_free"
differ mu_differs "$(weights mu)" "$(weights mu_free)"
run 0 mu_one "${G[@]}" --no-mask-truncated --max-steps 2 --output mu_one && differ mu_moves "$(weights mu_one)" "$(weights mu_free)"
run 0 mu_killed_first "${G[@]}" --no-mask-truncated --max-steps 4 --save-every 1 --mu 2 --output mu_whole
"$TAILOR" "${G[@]}" --no-mask-truncated --max-steps 4 --save-every 1 --mu 2 --output mu_killed >/dev/null 2>&1 &
pid=$!
until [[ -n $(ls mu_killed/checkpoints 2>/dev/null) ]] || ! kill -0 $pid 2>/dev/null; do :; done
{ kill -9 $pid; wait $pid; } 2>/dev/null
run 0 mu_resume tune --resume mu_killed && same mu_resume_bits "$(weights mu_whole)" "$(weights mu_killed)"

# --- beta: the reference is the model without adapter, so the divergence begins at 0, grows, and is held back
for beta in 0.001 5; do run 0 beta_$beta "${G[@]}" --no-mask-truncated --max-steps 5 --beta $beta --output beta_$beta; done
steps beta_begins 's("beta_5")[0]["kl"]==0 and s("beta_0.001")[0]["kl"]==0' "beta_5 beta_0.001"
steps beta_holds '0<s("beta_5")[-1]["kl"]<s("beta_0.001")[-1]["kl"]' "beta_5 beta_0.001"
steps beta_same_answers 's("beta_5")[0]["reward"]==s("plain")[0]["reward"]' "beta_5 plain"

# --- how the loss is divided: the same answers, the same sum, other denominators
for type in dapo grpo bnpo dr_grpo; do
    run 0 loss_$type "${G[@]}" --no-mask-truncated --max-steps 1 --loss-type $type --output $type
    run 0 accum_$type "${G[@]}" --no-mask-truncated --max-steps 1 --batch-size 1 --grad-accum 2 --loss-type $type --output accum_$type
done
steps dapo_is_bnpo_in_one 's("dapo")[0]["grad_norm"]==s("bnpo")[0]["grad_norm"]' "dapo bnpo"
steps bnpo_by_micro_batch 'not near(s("accum_dapo")[0]["grad_norm"],s("accum_bnpo")[0]["grad_norm"])' "accum_dapo accum_bnpo"
steps dapo_of_any_split 'near(s("accum_dapo")[0]["grad_norm"],s("dapo")[0]["grad_norm"])' "accum_dapo dapo"
steps grpo_of_any_split 'near(s("accum_grpo")[0]["grad_norm"],s("grpo")[0]["grad_norm"])' "accum_grpo grpo"
steps dr_grpo_by_constant 'near(s("dr_grpo")[0]["grad_norm"],s("dapo")[0]["grad_norm"]*s("dapo")[0]["n_target"]/(8*24))' "dr_grpo dapo"
steps grpo_by_answer 'not near(s("grpo")[0]["grad_norm"],s("dapo")[0]["grad_norm"])' "grpo dapo"
# where all answers are as long as they may be, all of them divide alike
for type in dapo grpo bnpo dr_grpo; do run 0 full_$type tune --run base.yaml --base chat.gguf --no-mask-truncated --max-steps 1 --loss-type $type --output full_$type; done
steps all_alike 'all(near(s("full_"+t)[0]["grad_norm"],s("full_dapo")[0]["grad_norm"]) for t in ("grpo","bnpo","dr_grpo"))' "full_dapo full_grpo full_dr_grpo"
for scale in batch none; do run 0 scale_$scale "${G[@]}" --no-mask-truncated --max-steps 1 --scale-rewards $scale --output scale_$scale; done
steps scale 'len({s(r)[0]["grad_norm"] for r in ("dapo","scale_batch","scale_none")})==3' "dapo scale_batch scale_none"

# --- answers that were cut: judged and counted, not learned from
run 0 masked "${G[@]}" --max-steps 1 --output masked
steps masked_counts '(lambda e: round(e["answer_tokens"]*8-e["truncated"]*8*24)==e["n_target"]<s("plain")[0]["n_target"] and e["reward"]==s("plain")[0]["reward"])(s("masked")[0])' "masked plain"
run 0 all_cut tune --run base.yaml --base chat.gguf --max-steps 2 --output all_cut && says all_cut_said 'step 1 teaches nothing: all its answers are cut at 24 tokens'
steps all_cut 'all(e["truncated"]==1 and e["grad_norm"]==0 and e["n_target"]==0 and e["loss"]==0 for e in s("all_cut"))' all_cut

# --- a shape that is asked for in the run file
sed '/^rewards:/,$d' base.yaml >schema.yaml
cat >>schema.yaml <<'YAML'
rewards:
  - type: json
    schema: {type: object, required: [label], properties: {label: {enum: [a, b]}}, additionalProperties: false}
  - {type: length, unit: chars, max: 30, slack: 40}
YAML
run 0 schema tune --run schema.yaml --base ends.gguf --max-steps 1 --output schema && steps schema 's("schema")[0]["rewards"]["json"]==0 and s("schema")[0]["failed_rules"]==0' schema
sed -i 's/enum:/enumm:/' schema.yaml
run 2 no_json "${G[@]}" --rewards '[{type: tags}]' --output no && says no_json 'cannot set "rewards", which is JSON here and YAML in a run file: cannot parse'
run 2 bad_schema tune --run schema.yaml --base ends.gguf --max-steps 1 --output no && says bad_schema 'keyword "enumm" at "#/properties/label/enumm" is not checked'

# --- judges
judge_file() { # MODEL MORE: judge.yaml
    sed '/^rewards:/,$d' base.yaml >judge.yaml
    printf 'rewards:\n  - {type: judge, url: "%s", model: "%s", question: "Is it like {want}?", timeout_s: 1, retries: 1, connections: 8%s}\n  - {type: length, unit: chars, max: 30, slack: 40}\n' "$URL" "$1" "$2" >>judge.yaml
}
judge() { # NAME MODEL MORE: one step with a judge of that kind; leaves the run in NAME
    judge_file "$2" "$3"
    run 0 "$1" tune --run judge.yaml --base ends.gguf --no-mask-truncated --max-steps 1 --output "$1"
}
judge good length ', max: 6, weight: 2' && steps good '(lambda e: 0<e["rewards"]["judge"]<1 and e["failed_rules"]==0 and abs(e["reward"]-2*e["rewards"]["judge"]-e["rewards"]["length"])<1e-9)(s("good")[0])' good
judge good_again length ', max: 6, weight: 2' && same good_bits "$(weights good)" "$(weights good_again)"
[[ $(grep -c '"model": "length"' asked) == 16 ]] && ok asked_once_each || not_ok asked_once_each "$(grep -c '"model": "length"' asked) questions"
judge not_applicable n/a && steps not_applicable 's("not_applicable")[0]["rewards"]["judge"] is None and s("not_applicable")[0]["failed_rules"]==0' not_applicable
sed 's/Is it like {want}/Has it {only}/' judge.yaml >columns.yaml
run 0 column tune --run columns.yaml --base ends.gguf --max-steps 1 --output column && steps column 's("column")[0]["rewards"]["judge"] is None and s("column")[0]["failed_rules"]==0' column
judge prose prose && says prose 'an answer to line [0-9]+ of the data counts as 0: cannot judge by reward 1: the judge says "I like it very much", a number from 0 to 1'
steps prose_counts 's("prose")[0]["failed_rules"]==8 and s("prose")[0]["rewards"]["length"] is not None' prose
for bad in junk empty null 500 404; do judge bad_$bad $bad && steps bad_$bad "s('bad_$bad')[0]['failed_rules']==8 and s('bad_$bad')[0]['rewards']['judge'] is None" bad_$bad; done
judge flaky flaky && steps flaky 's("flaky")[0]["failed_rules"]==8' flaky # after a second attempt it says "late", no verdict
begin=$SECONDS
judge stall stall && steps stall 's("stall")[0]["failed_rules"]==8' stall
judge drip drip && steps drip 's("drip")[0]["failed_rules"]==8' drip
[[ $((SECONDS - begin)) -lt 120 ]] && ok bounded || not_ok bounded "$((SECONDS - begin)) s"
judge_file key ', key_env: MY_KEY'
run 2 no_key tune --run judge.yaml --base ends.gguf --max-steps 1 --output no_key && says no_key 'the variable MY_KEY, which holds its key, is not set'
export MY_KEY=SECRET
run 0 keyed tune --run judge.yaml --base ends.gguf --max-steps 1 --output keyed && steps keyed 's("keyed")[0]["failed_rules"]==8' keyed # it says "open"
grep -rqs SECRET keyed home && not_ok key_nowhere "$(grep -rl SECRET keyed home)" || ok key_nowhere
sed 's|http://[^"]*|localhost|' judge.yaml >address.yaml
run 2 no_address tune --run address.yaml --base ends.gguf --max-steps 1 --output no && says no_address 'url is "localhost", an address like'
exit $failed
