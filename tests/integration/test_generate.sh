#!/usr/bin/env bash
# Answers and logits from the command line, on a tiny model: what is timed, what is printed before an error, models whose
# tokenizer or chat template this version cannot use. Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
TAILOR=${TAILOR:-build/tailor}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
unset TAILOR_LANG TAILOR_THREADS TAILOR_PRECISION TAILOR_LOG_LEVEL TAILOR_ISA
export TAILOR_HOME=$WORK/home LC_ALL=C.UTF-8
failed=0

ok() { echo "ok generate_$1"; }
not_ok() { echo "not ok generate_$1 $2"; failed=1; }

# run NAME STATUS OUT-PATTERN ERR-PATTERN ARGS...: - is "not one byte", '' anything; leaves $WORK/out
run() {
    local name=$1 status=$2 out=$3 err=$4 got
    shift 4
    "$TAILOR" "$@" >"$WORK/out" 2>"$WORK/err" </dev/null
    got=$?
    if [[ $got != "$status" ]]; then not_ok "$name" "exit status $got, $status wanted: $(cat "$WORK/err")"
    elif [[ $out == - && -s $WORK/out ]]; then not_ok "$name" "printed: $(od -c "$WORK/out" | head -2)"
    elif [[ $out != - ]] && ! grep -Eq -- "$out" "$WORK/out"; then not_ok "$name" "stdout without /$out/: $(cat "$WORK/out")"
    elif ! grep -Eq -- "$err" "$WORK/err" && [[ -n $err ]]; then not_ok "$name" "stderr without /$err/: $(cat "$WORK/err")"
    else ok "$name"; fi
}
# holds NAME PYTHON: the expression over d (the JSON of the last run) is true
holds() {
    if python3 -c "import json,sys; d=json.load(open(sys.argv[1])); assert ($2), d" "$WORK/out" 2>"$WORK/why"; then ok "$1"
    else not_ok "$1" "$(tail -1 "$WORK/why")"; fi
}

[[ -x $TAILOR ]] || { echo "not ok generate no program at $TAILOR"; exit 1; }
command -v python3 >/dev/null || { echo "skip generate python3 is not installed"; exit 0; }
MODEL=tests/data/golden/gguf/llama.gguf
python3 tests/integration/tiny_chat_model.py $MODEL "$WORK/chat.gguf" "$WORK/adapter" &&
    python3 - $MODEL "$WORK" <<'PY' || { echo "not ok generate the models cannot be made"; exit 1; }
import sys
def change(source, target, old, new):
    data = open(source, 'rb').read()
    assert len(old) == len(new) and data.count(old) == 1, data.count(old)
    with open(target, 'wb') as f: f.write(data.replace(old, new))
pre = b'tokenizer.ggml.pre\x08\0\0\0\x05\0\0\0\0\0\0\0gpt-'
change(sys.argv[1], sys.argv[2] + '/no_tokenizer.gguf', pre + b'2', pre + b'9')
change(sys.argv[2] + '/chat.gguf', sys.argv[2] + '/no_template.gguf', b'{% for m in', b'{% fur m in')
PY
printf '[{"role":"user","content":"hello"}]' >"$WORK/messages"

# --- only tokens that a step gave are timed
run free 0 '' '' generate $MODEL --ids 1,2,3 --max-tokens 8 --ignore-eos --json
holds free_rates 'len(d["ids"])==8 and d["timings"]["decode_tok_s"]>0 and d["timings"]["prompt_tok_s"]>0 and d["timings"]["ttft_ms"]>0'
run one_token 0 '' '' generate $MODEL --ids 1,2,3 --max-tokens 1 --ignore-eos --json
holds one_token_rates 'd["timings"]["decode_tok_s"] is None and d["timings"]["ttft_ms"]>0'
run choice 0 '' '' generate $MODEL --ids 1,2,3 --choice "hello there" --choice "other words" --json
holds choice_rates 'len(d["ids"])>3 and d["text"] in ("hello there","other words") and d["timings"]["decode_tok_s"] is None'
run branches 0 '' '' generate $MODEL --ids 1,2,3 --choice "hello there" --choice "hello where" --json
holds branches_rates 'd["timings"]["decode_tok_s"]>0'

# --- nothing is printed before arguments are known to be right
run bad_id 2 - 'token id 99999999 at position 1' generate $MODEL --ids 1,99999999
run too_long 2 - 'context' generate $MODEL --ids 1,2,3 --ctx 2
for value in 0 1.5 -1 nan; do
    run "top_p_$value" 2 - "\"$value\" is not a number above 0, at most 1" generate "$WORK/nowhere.gguf" --ids 1 --top-p $value
done
run top_p_small 0 '' '' generate $MODEL --ids 1 --top-p 1e-9 --max-tokens 1
run top_p_help 0 'above 0,( |$)' '' help generate
run checked_first 2 - '--greedy with --temperature' generate "$WORK/nowhere.gguf" --ids 1 --greedy --temperature 1
run empty_answer 0 '^$' '' generate $MODEL --ids 1,2 --choice a --stop a

# --- a tokenizer that is not supported: ids work, text says why not
run ids_alone 0 '' '' generate "$WORK/no_tokenizer.gguf" --ids 1,2,3 --max-tokens 4 --ignore-eos --json
holds ids_alone_text 'len(d["ids"])==4 and d["text"] is None'
run ids_printed 0 '^[0-9]+( [0-9]+){3}$' '' generate "$WORK/no_tokenizer.gguf" --ids 1,2,3 --max-tokens 4 --ignore-eos
run logits_alone 0 '' '' logits "$WORK/no_tokenizer.gguf" --ids 1,2,3 --out "$WORK/logits" --json
holds logits_alone_shape 'd=={"n_tok":3,"n_vocab":288}'
run bench_alone 0 '' '' bench "$WORK/no_tokenizer.gguf" --prefill 4 --decode 2 --batch 1 --context 4 --repeat 1 --json
printf '{"prefill":[{"n":4,"tok_s":1e9}],"decode":[{"batch":1,"context":5,"tok_s":1}]}' >"$WORK/earlier.json"
holds bench_starts 'all(s is None or 0 < s["load_s"] < s["first_token_s"] for s in d["start"].values()) and d["start"]["warm"]'
holds bench_memory 'd["memory"]["rss_bytes"] == d["rss_bytes"] and d["memory"]["budget_bytes"] == d["file_bytes"] + d["file_bytes"] // 10 + d["memory"]["kv_bytes"] + 100000000 and d["memory"]["kv_bytes"] > 0'
run bench_scaling 0 '' '' bench "$WORK/no_tokenizer.gguf" --prefill 4 --decode 2 --context 4 --repeat 1 --threads 2 --json
holds bench_scaling 'd["threads"] == 2 and [r["threads"] for r in d["scaling"]] == [1, 2] and d["scaling"][0]["decode_ratio"] == 1 and d["scaling"][1]["prefill_tok_s"] == d["prefill"][0]["tok_s"]'
run bench_no_scaling 0 '' '' bench "$WORK/no_tokenizer.gguf" --prefill 4 --decode 2 --context 4 --repeat 1 --threads 2 --no-scaling --json
holds bench_no_scaling 'd["scaling"] == []'
run bench_compare 0 '' '' bench "$WORK/no_tokenizer.gguf" --prefill 4,5 --decode 2 --context 4 --repeat 1 --json --compare "$WORK/earlier.json"
holds bench_change '[r.get("earlier_tok_s") for r in d["prefill"]+d["decode"]]==[1e9,None,None] and -1<d["prefill"][0]["change"]<0'
echo "{}" >"$WORK/no_result.json"
run bench_no_result 2 - 'no result of bench --json' bench "$WORK/no_tokenizer.gguf" --compare "$WORK/no_result.json"
printf '{"ids":[1,5,7,9],"labels":[-100,5,7,9]}\n' >"$WORK/tokens.jsonl"
run tune_alone 0 '' '' tune --base "$WORK/no_tokenizer.gguf" --data "$WORK/tokens.jsonl" --data-format tokens --max-steps 1 \
    --output "$WORK/run" --json
REASON='no_tokenizer.gguf.*pre-tokenizer "gpt-9" is not supported'
run no_prompt 2 - "$REASON" generate "$WORK/no_tokenizer.gguf" --prompt hello
run no_choice 2 - "$REASON" generate "$WORK/no_tokenizer.gguf" --ids 1 --choice hello
run no_chat 2 - "$REASON" chat "$WORK/no_tokenizer.gguf"
printf '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n' >"$WORK/chat.jsonl"
run no_tune 2 - "$REASON" tune --base "$WORK/no_tokenizer.gguf" --data "$WORK/chat.jsonl" --max-steps 1 --output "$WORK/run2"
printf '{"id":"a","task":"classification","input":"a","expected":"b"}\n' >"$WORK/cases.jsonl"
run no_eval 2 - "$REASON" eval "$WORK/no_tokenizer.gguf" --cases "$WORK/cases.jsonl" --out "$WORK/eval"
run no_serve 2 - "$REASON" serve --model "$WORK/no_tokenizer.gguf" --port 0

# --- embed: the tiny BERT, texts and rows, and a model that generates
BERT=tests/data/golden/models/bert-tiny
run embed 0 '' '' embed $BERT --text "the card is lost" --text a --json
holds embed_vectors 'd["n_embd"]==32 and d["n_text"]==2 and d["n_tok"]==10 and abs(sum(x*x for x in d["embeddings"][1])-1)<1e-6'
printf '{"q":"the card","a":"is lost"}\n{"q":"a","a":"b"}\n' >"$WORK/rows.jsonl"
run embed_rows 0 '' '' embed $BERT --file "$WORK/rows.jsonl" --field q+a --dimensions 4 --json
holds embed_rows_vectors '[len(v) for v in d["embeddings"]]==[4,4]'
run embed_too_long 2 - 'has 102 tokens, the model takes 64' embed $BERT --text "$(printf 'a %.0s' $(seq 100))"
run embed_truncated 0 '' '' embed $BERT --text "$(printf 'a %.0s' $(seq 100))" --truncate --json
run embed_import 0 '' '' import $BERT bert
run embed_imported 0 '' '' embed bert --text a --json
holds embed_imported_vector 'd["n_embd"]==32'
run embed_no_field 2 - 'field' embed $BERT --file "$WORK/rows.jsonl"
run embed_no_pooling 2 - 'mean, cls or last' embed tests/data/golden/gguf/llama.gguf --text ab
run embed_last 0 '' '' embed tests/data/golden/gguf/llama.gguf --text ab --pooling last --json
holds embed_last_vector 'd["n_embd"]==64 and len(d["embeddings"][0])==64'

# --- a chat template that cannot be used: text works, conversations say why not
run prompt_alone 0 '' '' generate "$WORK/no_template.gguf" --prompt hello --max-tokens 4
run no_messages 2 - 'no_template.gguf.*fur' generate "$WORK/no_template.gguf" --messages "$WORK/messages"
run no_serve_template 2 - 'no_template.gguf.*fur' serve --model "$WORK/no_template.gguf" --port 0

exit $failed
