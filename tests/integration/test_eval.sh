#!/usr/bin/env bash
# Registry, dataset import, evaluation, comparison, report and plan, through the program, on a tiny model.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
. tests/integration/checks.bash
MODEL=tests/data/golden/gguf/llama.gguf

# zh NAME: what stands on stdout and stderr is Chinese with Chinese punctuation, and what a table lines up begins at the same column
zh() {
    if python3 - "$out"$'\n'"$err" 2>"$WORK/why" <<'PY'
import re, sys, unicodedata
han = '[\u4e00-\u9fff]'
width = lambda s: sum(1 + (unicodedata.east_asian_width(c) in 'WF') for c in s)
text = sys.argv[1]
assert re.search(han, text), 'no Chinese: ' + text
bad = re.search(f'{han}[,;:?!]|[,;:?!] *{han}|{han} *\\(', text)
assert not bad, 'half-width punctuation: ' + text[max(0, bad.start() - 20):bad.end() + 20]
wide = [l for l in text.splitlines() if width(l) > 80 and '/' not in l]
assert not wide, 'wider than 80 columns: ' + wide[0]
PY
    then echo "ok $1"; else echo "not ok $1 $(tail -1 "$WORK/why")"; failed=1; fi
}

# --- registry ---
run 0 import --json import $MODEL tiny && holds import 'd["name"]=="tiny" and len(d["digest"])==64 and d["added"] and d["bytes"]>0'
run 0 reimport --json import $MODEL tiny && holds reimport 'not d["added"] and d["version"]==1'
run 0 import_second import tests/data/golden/gguf/mistral.gguf tiny && says import_second 'tiny:2'
run 0 alias_new --json models alias tiny production 1 --reason first && holds alias_new 'd["from"]==0 and d["version"]==1 and d["actor"]'
run 2 alias_stale models alias tiny production 2 --expect 0 && says alias_stale 'it points at version 1, not at 0'
run 2 alias_no_version models alias tiny production 9 && says alias_no_version 'no such version, the newest is 2'
run 2 alias_no_model models alias tinny production 1 && says alias_no_model 'did you mean tiny?'
run 0 alias_move models alias tiny production 2 --expect 1 --reason better && says alias_move 'tiny@production -> 2 \(it was 1\)'
run 0 alias_again models alias tiny production 2 && says alias_again 'it was there already'
run 0 alias_shown --json models show tiny@production && holds alias_shown 'd["version"]==2 and d["aliases"]=={"production":2} and [(h["from"],h["version"],h["reason"]) for h in d["history"] if h["op"]=="alias"]==[(0,1,"first"),(1,2,"better")] and all(h["actor"] for h in d["history"] if h["op"]=="alias")'
run 0 import_older import $MODEL tiny && says import_older '"tiny" goes on to mean version 2'
export TAILOR_HOME=$WORK/home2 # the rest with one version of tiny
run 0 import_again import $MODEL tiny
mkdir "$WORK/bad" && echo '{}' >"$WORK/bad/config.json"
run 2 import_empty_config import "$WORK/bad" && says import_empty_config 'config.json has no "model_type"'
run 2 inspect_empty_config inspect "$WORK/bad"
echo '{"model_type":"llama"}' >"$WORK/bad/config.json"
run 2 import_no_tensors import "$WORK/bad" && says import_no_tensors 'no tensors'
cp tests/data/golden/models/llama/model.safetensors "$WORK/bad"
run 2 import_no_sizes import "$WORK/bad" && says import_no_sizes 'integer "num_hidden_layers"'
cp $MODEL "$WORK/renamed.gguf"
run 0 reimport_renamed --json import "$WORK/renamed.gguf" tiny && holds reimport_renamed 'not d["added"] and d["version"]==1'
run 0 models_list --json models list && holds models_list '[m["name"] for m in d["models"]]==["tiny"]'
run 0 models_show --json models show tiny:1 && holds models_show 'd["kind"]=="model" and d["files"][0]["path"]=="model.gguf" and d["history"][0]["source"]=="llama.gguf"'

# --- dataset ---
run 0 data_import --json data import examples/banking77/train.csv --test examples/banking77/test.csv --label-column category \
    --test-per-label 20 --name banking77 --out "$WORK/b77" &&
    holds data_import 'd["counts"]["train_kept"]==1434 and d["counts"]["test_kept"]==200 and len(d["labels"])==10'
run 0 data_list --json data list && holds data_list 'd["datasets"][0]["name"]=="banking77"'
printf 'text,label\nq,a\n' >"$WORK/t.csv"
run 2 data_nothing_left data import "$WORK/t.csv" --test "$WORK/t.csv" --out "$WORK/nothing" && says data_nothing_left 'none of its 1 rows is left'
[[ -e $WORK/nothing ]] && { echo "not ok data_nothing_written"; failed=1; } || echo "ok data_nothing_written"
run 0 data_list --json data list && holds data_not_registered 'len(d["datasets"])==1'
run 0 cases_by_name --json eval tiny --cases banking77 --limit 2 --max-tokens 2 --out "$WORK/named" && holds cases_by_name 'd["n"]==2'
out=$(cat "$WORK/named/manifest.json")
holds cases_in_manifest 'd["inputs"]["cases"]["name"]=="banking77:1" and len(d["identity"]["cases"]["digest"])==64'

# --- evaluation ---
python3 - "$WORK" <<'PY'
import json, sys
w = sys.argv[1]
with open(f'{w}/cases.jsonl', 'w') as f:
    for i in range(40):
        f.write(json.dumps(dict(id=f'c{i}', task='classification', input=f'question {i * 7919 % 97}', expected=['aa', 'bb', 'cc'][i % 3])) + '\n')
with open(f'{w}/more.jsonl', 'w') as f:
    for i in range(150):
        f.write(json.dumps(dict(id=f'm{i}', task='classification', input=f'item {i}', expected='yes')) + '\n')
PY
E="eval tiny --precision deterministic --max-tokens 8"
run 0 eval_free --json $E --cases "$WORK/cases.jsonl" --out "$WORK/free" &&
    holds eval_free 'd["n"]==40 and d["n_scored"]==40 and d["n_error"]==0 and not d["partial"] and set(d["metrics"]["accuracy"])=={"value","low","high"}'
run 0 eval_constrained --json $E --cases "$WORK/cases.jsonl" --choices constrained --out "$WORK/con" &&
    holds eval_constrained '0 <= d["metrics"]["accuracy"]["low"] <= d["metrics"]["accuracy"]["value"]'
out=$(python3 -c '
import json,sys; r=[json.loads(l) for l in open(sys.argv[1])]; m=json.load(open(sys.argv[2]))
print(json.dumps(dict(n=len(r),outputs=sorted({x["output"] for x in r}),ids=[x["id"] for x in r][:2],keys=sorted(r[0]),m=m)))' \
    "$WORK/con/cases.jsonl" "$WORK/con/manifest.json")
holds answers_are_choices 'set(d["outputs"]) <= {"aa","bb","cc"} and d["n"]==40 and d["ids"]==["c0","c1"]'
holds records 'set(["id","state","score","output","expected","prompt_sha256","n_answer","latency_s"]) <= set(d["keys"])'
holds manifest 'd["m"]["state"]=="done" and len(d["m"]["identity_sha256"])==64 and "{{ input }}" in d["m"]["identity"]["prompt"]["template"]'
kernels=$("$TAILOR" version --json | python3 -c 'import json,sys; print(json.load(sys.stdin)["isa"])')
[[ $(python3 -c 'import json,sys; print(json.load(open(sys.argv[1]))["identity"]["isa"])' "$WORK/con/manifest.json") == "$kernels" ]] &&
    echo "ok identity_kernels" || { echo "not ok identity_kernels deterministic is not on $kernels alone"; failed=1; }
run 0 auto --json eval tiny --max-tokens 1 --limit 1 --cases "$WORK/cases.jsonl" --out "$WORK/auto"
out=$(cat "$WORK/auto/manifest.json")
if [[ $kernels == amx ]] || { [[ $kernels == avx512 ]] && grep -q AuthenticAMD /proc/cpuinfo && grep -qw avx512_bf16 /proc/cpuinfo; }; then
    holds identity_bf16 'd["identity"]["isa"].endswith(", bf16")'
else
    holds identity_bf16 "d['identity']['isa']=='$kernels'"
fi
before=$(cksum "$WORK/con/cases.jsonl")
run 0 reuse $E --cases "$WORK/cases.jsonl" --choices constrained --out "$WORK/con" && says reuse 'reused'
[[ $before == "$(cksum "$WORK/con/cases.jsonl")" ]] && echo "ok reuse_changes_nothing" || { echo "not ok reuse_changes_nothing"; failed=1; }
run 2 other_identity $E --cases "$WORK/cases.jsonl" --out "$WORK/con" && says other_identity 'another evaluation \(other prompt\)'
run 0 overwrite --json $E --cases "$WORK/cases.jsonl" --limit 3 --out "$WORK/over"
run 0 overwrite --json $E --cases "$WORK/cases.jsonl" --limit 4 --out "$WORK/over" --overwrite && holds overwrite 'd["n"]==4'
run 0 overwrite_same $E --cases "$WORK/cases.jsonl" --limit 4 --out "$WORK/over" --overwrite && says overwrite_same 'reused'
run 2 unknown_name eval tinny --cases "$WORK/cases.jsonl" && says unknown_name 'did you mean tiny?'
run 0 limit --json $E --cases "$WORK/cases.jsonl" --limit 5 --out "$WORK/part" && holds limit 'd["partial"] and d["n"]==5'
run 0 limit_labels --json $E --cases "$WORK/cases.jsonl" --limit 1 --choices constrained --out "$WORK/one"
out=$(cat "$WORK/one/manifest.json")
holds limit_keeps_all_labels 'd["identity"]["prompt"]["labels"]==["aa","bb","cc"]'
run 2 labels_lack $E --cases "$WORK/cases.jsonl" --choices constrained --labels aa,bb --out "$WORK/lack" && says labels_lack '"cc", expected by case "c2"'
run 0 too_long $E --cases "$WORK/cases.jsonl" --limit 2 --ctx 2 --out "$WORK/long" && says too_long '2 answers could not be made'
run 2 greedy_and_temperature generate tiny --ids 1,2 --greedy --temperature 1 && says greedy_and_temperature 'greedy is temperature 0'
echo '{"id":"a","input":"q","expected":{},"task":"tool_call"}' >"$WORK/tool.jsonl"
run 2 no_matcher $E --cases "$WORK/tool.jsonl" && says no_matcher 'no matcher for task "tool_call"'
echo '{"id":"a","input":"q","expected":"x","task":"math","extra":1}' >"$WORK/bad.jsonl"
run 2 unknown_key $E --cases "$WORK/bad.jsonl" && says unknown_key 'line 1: unknown key "extra"'

# --- kill -9, and on ---
run 0 whole --json $E --cases "$WORK/more.jsonl" --out "$WORK/whole" && want=$out
kills=0
for limit in 20 60 100; do
    "$TAILOR" $E --cases "$WORK/more.jsonl" --out "$WORK/killed" --overwrite >/dev/null 2>&1 &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        n=0
        [[ -f $WORK/killed/journal.jsonl ]] && n=$(wc -l <"$WORK/killed/journal.jsonl")
        [[ $n -ge $limit ]] && { kill -9 $pid 2>/dev/null && kills=$((kills + 1)); break; }
    done
    wait $pid 2>/dev/null
    [[ -f $WORK/killed/journal.jsonl ]] && printf '{"id":"m1","torn' >>"$WORK/killed/journal.jsonl"
done
run 0 resume --json $E --cases "$WORK/more.jsonl" --out "$WORK/killed"
strip='import json,sys
for l in open(sys.argv[1]):
    r=json.loads(l); r.pop("ttft_s"); r.pop("latency_s"); print(json.dumps(r))'
if [[ $(python3 -c "$strip" "$WORK/whole/cases.jsonl") == "$(python3 -c "$strip" "$WORK/killed/cases.jsonl")" ]]; then
    if [[ $kills -gt 0 ]]; then echo "ok killed_and_resumed"; else echo "skip killed_and_resumed the runs ended before they could be killed"; fi
else
    echo "not ok killed_and_resumed the records differ from those of an undisturbed run"; failed=1
fi

# --- comparison ---
run 0 compare_self --json compare "$WORK/whole" "$WORK/whole" --margin 0.05 &&
    holds compare_self 'd["n_pairs"]==150 and d["difference"]["value"]==0 and d["verdict"]=="PASS" and d["mcnemar"]["p_mid"]==1'
run 4 compare_undecided --json compare "$WORK/free" "$WORK/free" --margin 0.02 &&
    holds compare_undecided 'd["verdict"]=="INCONCLUSIVE" and d["n_more"]>0 and "more cases" in d["reason"]'
run 3 compare_floor --json compare "$WORK/free" "$WORK/free" --margin 0.5 --floor 0.9 && holds compare_floor 'd["verdict"]=="FAIL"'
run 4 compare_partial --json compare "$WORK/free" "$WORK/part" && holds compare_partial 'd["verdict"]=="INVALID"'
holds compare_left_out 'd["n_pairs"]==5 and d["left_out"]=={"base_only":35,"new_only":0,"not_scored":0} and d["base"]*5==int(d["base"]*5)'
run 0 compare_text compare "$WORK/free" "$WORK/con" --margin 0 && says compare_text 'what differs.*prompt.choices: free -> constrained.*prompt.labels: none -> \["aa","bb","cc"\]' && says compare_pairs 'base .* 40/40 '
run 4 compare_partial_text compare "$WORK/free" "$WORK/part" && says compare_partial_text 'base .* 5/40 .*new .* 5/5 .*left out of all numbers above: 35 cases of base only, 0 of new only' && says compare_what_differs 'cases.n: 40 -> 5'
run 0 compare_same compare "$WORK/whole" "$WORK/whole" --margin 0.05 && says compare_same 'both evaluations have the same setup'
run 2 compare_datasets compare "$WORK/free" "$WORK/whole" && says compare_datasets 'share no case'
run 2 compare_metric compare "$WORK/free" "$WORK/con" --metric bleu && says compare_metric 'there is accuracy'

# --- report ---
for ending in html md csv json; do
    run 0 "report_$ending" report "$WORK/free" "$WORK/con" --out "$WORK/r.$ending" && [[ -s $WORK/r.$ending ]] && echo "ok report_$ending"
done
grep -qE '<script|https?://|src=' "$WORK/r.html" && { echo "not ok report_is_alone it asks for something outside"; failed=1; } || echo "ok report_is_alone"
run 0 report_zh --lang zh report "$WORK/free" "$WORK/con" --out "$WORK/zh.html" && grep -q '准确率' "$WORK/zh.html" && echo "ok report_zh"
run 2 report_pdf report "$WORK/free" --out "$WORK/r.pdf" && says report_pdf 'writes no PDF'
run 0 runs_list --json runs list && holds runs_list 'len(d["runs"])>=4 and all(r["kind"]=="eval" for r in d["runs"])'

# --- plan ---
run 0 plan --json plan --model tiny --prompt-tokens 64 --output-tokens 32 && holds plan 'd["fits"] and d["memory"]["total_bytes"]==sum(d["memory"][k] for k in ("weights_bytes","kv_bytes","overhead_bytes")) and d["speed"]["decode_tok_s"]>0 and d["shares"]["source"]=="measured"'
run 0 plan_catalogue --json plan --model Llama-3.1-8B --quant Q4_0 --users 4 && holds plan_catalogue 'd["shares"]["source"]=="assumed" and 4e9<d["memory"]["weights_bytes"]<6e9'
run 0 plan_context --json plan --model SmolLM2-135M --prompt-tokens 8000 --output-tokens 200 --no-measure && holds plan_context 'not d["fits"] and d["supported"] and d["speed"]["max_users"]==0 and d["obstacles"]==["prompt and answer are 8200 tokens, the model'"'"'s context is 8192"]'
run 0 plan_context_text plan --model tiny --prompt-tokens 4000 && says plan_context_text 'but: prompt and answer are 4128 tokens, the model.s context is 128'
cat >"$WORK/models.csv" <<'END'
model,architecture,pre_tokenizer,n_layers,hidden,n_heads,n_kv_heads,head_dim,ffn_inter,vocab,context_max,tied_embeddings
runs,llama,smollm,2,64,4,2,16,128,300,1024,1
other,mamba9,none-such,2,64,4,2,16,128,300,1024,1
END
run 0 plan_unsupported --json plan --catalog "$WORK/models.csv" --model other && holds plan_unsupported 'd["fits"] and not d["supported"] and ["mamba9" in d["obstacles"][0], "none-such" in d["obstacles"][1]]==[True,True] and {t["model"]: t["supported"] for t in d["table"]}["other"]==False'
run 0 near_catalogue import $MODEL qwen2.5-7b
run 0 plan_registry_first --json plan --model qwen2.5-7b --no-measure && holds plan_registry_first 'd["memory"]["weights_bytes"]<1e8'

# --- in Chinese ---
export TAILOR_LANG=zh
run 0 zh_plan plan --model tiny && zh zh_plan
run 0 zh_models models list && zh zh_models
run 0 zh_data data list && zh zh_data
run 0 zh_runs runs list && zh zh_runs
run 0 zh_inspect inspect tiny --check && zh zh_inspect
run 0 zh_bench bench tiny --prefill 8 --decode 4 --repeat 1 && zh zh_bench
run 3 zh_compare compare "$WORK/free" "$WORK/con" --margin 0 --floor 0.99 && zh zh_compare
run 0 zh_eval $E --cases "$WORK/cases.jsonl" --limit 3 --out "$WORK/zh" && zh zh_eval
run 2 zh_floors bench tiny --floors && zh zh_floors
run 0 zh_json --json compare "$WORK/whole" "$WORK/whole" --margin 0.05 && holds zh_json '"interval of the difference" in d["reason"]'
exit $failed
