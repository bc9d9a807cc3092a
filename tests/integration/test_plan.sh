#!/bin/bash
# Cost, API and decision of a plan, the search, the simulation, scenarios and reports, through the program.
. "$(dirname "$0")/plan_checks.bash"

# --- cost and decision: ten million calls of 1,000 + 500 tokens a month ---
TEN="--model Llama-3.3-70B --quant FP8 --hardware H100 --calls-month 10000000 --prompt-tokens 1000 --output-tokens 500 --tpot-ms 50"
run 0 ten --json plan $TEN --api gpt-5.1 && holds ten \
    'd["cost"]["cards"]==16 and 185e3<d["cost"]["monthly_cny"]<210e3 and abs(sum(d["cost"]["parts"].values())/d["cost"]["monthly_cny"]-1)<1e-9 and d["decision"]["choice"]=="private" and d["api"][0]["compared"] and abs(d["api"][0]["monthly_cny"]/420e3-1)<0.02 and 0.28<d["api"][0]["break_even_calls_month"]/1e7<0.48' && \
    holds ten_prices 'all(a["break_even"]=="never" for a in d["api"] if a["model"] in ("doubao-1.5-pro","qwen3.5-plus"))'
run 0 ten_cheap --json plan $TEN --api doubao-1.5-pro && holds ten_cheap 'd["decision"]["choice"]=="api" and d["api"][0]["break_even"]=="never"'
run 0 secret --json plan $TEN --api doubao-1.5-pro --data-class secret && holds secret \
    'd["decision"]["choice"]=="private" and d["decision"]["decided_by_rule"]=="data-stays" and d["decision"]["money"]["cheapest"]=="api" and d["decision"]["confidence"]==1'
run 0 small --json plan --model Qwen3-8B --quant AWQ --hardware RTX4090 --team 12 --engineers 0 --generic --budget 10000 && holds small \
    '{r["rule"] for r in d["decision"]["rules"] if r["state"]=="fired"}>={"small-team","generic-qa","budget"} and d["decision"]["choice"]=="api" and d["decision"]["tier"]["tier"]=="company" and d["demand"]["calls_from"]=="team"'
run 0 fleet --json plan --model Qwen3-8B --quant AWQ --hardware RTX4090 --count 100 && holds fleet '(d["tp"],d["pp"],d["replicas"])==(4,1,25)'
run 0 fleet_large --json plan --model DeepSeek-V3 --quant FP8 --hardware H100 --count 32 && holds fleet_large '(d["tp"],d["pp"],d["replicas"])==(8,2,2)'
run 0 few --json plan $TEN --count 2 && holds few 'not d["carries_demand"] and d["cost"]["replicas"]==1 and not d["capacity"]["waiting"]["stable"]'
run 0 here --json plan --model SmolLM2-135M --no-measure --users 2 && holds here 'd["cost"]["capex_cny"]==0 and d["api"] and d["decision"]["choice"] in ("private","api","hybrid") and d["error_bars"]'
run 0 input --json plan $TEN --salary 400000 --pue 1.1,1.2,1.3 --staff 2 && holds input \
    'abs(d["cost"]["parts"]["staff_cny"]-2*400000/12)<1 and d["cost"]["inputs"]["pue"]["low"]==1.1 and d["cost"]["inputs"]["salary"]["source"]=="given"'
run 0 usd plan $TEN --currency USD && shows usd 'a month: .* USD' && shows usd_rate '1 USD = 6.7195 CNY \(2026-09-28\)'
run 0 rented --json plan $TEN --rented && holds rented 'd["cost"]["hardware_cny"]==0 and d["cost"]["parts"]["rent_cny"]>0 and d["cost"]["parts"]["power_cny"]==0'
run 2 no_users plan $TEN --users -1 && says no_users 'users'
run 2 no_tokens plan --model Qwen3-8B --hardware H100 --prompt-tokens 0
run 2 wrong_api plan $TEN --api nothing && says wrong_api 'has no price of it'
run 2 wrong_pue plan $TEN --pue 0.5 && says wrong_pue 'pue'

# --- rules of one's own ---
printf 'rule,decides,favours,weight,when,text_en,text_zh,source\nnever,yes,api,0,calls_month > 1,never here,,me\n' >"$WORK/rules.csv"
run 0 rules --json plan $TEN --api gpt-5.1 --rules "$WORK/rules.csv" && holds rules 'd["decision"]["choice"]=="api" and d["decision"]["decided_by_rule"]=="never"'
printf 'rule,decides,favours,weight,when,text_en,text_zh,source\nx,yes,api,0,calls > 1,t,,me\n' >"$WORK/rules.csv"
run 2 rules_wrong plan $TEN --rules "$WORK/rules.csv" && says rules_wrong 'line 2: when is "calls > 1"'

# --- the search ---
run 0 search --json plan --users 50 --ttft-ms 2000 --prompt-tokens 1000 --output-tokens 500 && holds search \
    'd["feasible"]>500 and 3<=len(d["pareto"])<d["feasible"] and d["points"]==sorted(d["points"],key=lambda p:p["monthly_cny"]) and all(p["ttft_ms"]<=2000 for p in d["points"]) and any("licence" in r["why_not"] for r in d["refused"])'
run 0 why plan --users 50 --why Llama-3.3-70B --count 1 && shows why 'RTX4090: does not fit by [0-9.]+ GiB' && shows why_slow 'TTFT [0-9.]+ s > 2 s'

run 0 common_name --json plan --hardware 'NVIDIA RTX 4090' --model Qwen/Qwen3-8B --quant AWQ && holds common_name 'd["hardware"]=="RTX4090" and d["model"]=="Qwen3-8B"'
run 2 unclear_name plan --hardware A100 --model Qwen3-8B && says unclear_name 'A100-40, A100-80, A100-80-PCIe'
# the company's own evaluation stands for quality
HOME_EVAL=$WORK/evaluated; printf '{"id":"a","task":"classification","input":"x","expected":"yes"}\n' >"$WORK/ours.jsonl"
run 0 own_model --json make-model "$WORK/Qwen3-4B-ours.gguf" --arch llama --preset tiny
run 0 own_eval --json --home "$HOME_EVAL" eval "$WORK/Qwen3-4B-ours.gguf" --cases "$WORK/ours.jsonl" --max-tokens 2 --out "$WORK/own"
rm "$WORK/Qwen3-4B-ours.gguf" # by its dimensions it is another model
python3 - "$WORK/own/manifest.json" <<'PY'
import json, sys
m = json.load(open(sys.argv[1])); m['metrics'] = {'accuracy': {'value': 0.75, 'low': 0.6, 'high': 0.86}}; m['n'] = 40
json.dump(m, open(sys.argv[1], 'w'))
PY
run 0 own_quality --json --home "$HOME_EVAL" plan --users 5 && holds own_quality 'd["cases"].endswith("ours.jsonl") and all((p["model"]=="Qwen3-4B")==(p["quality"]["basis"]=="eval") for p in d["points"]) and any(p["quality"].get("accuracy")==0.75 for p in d["points"])'
run 0 own_floor --json --home "$HOME_EVAL" plan --users 5 --min-accuracy 0.8 && holds own_floor 'all(p["model"]!="Qwen3-4B" for p in d["points"]) and any("75.0 %" in r["why_not"] for r in d["refused"])'
run 0 own_text --home "$HOME_EVAL" plan --users 5 && shows own_text 'Qwen3-4B: 75.0 % \(60.0 .. 86.0, 40 cases\)'

# --- the simulation ---
SIM="plan simulate --model Qwen3-8B --quant AWQ --hardware RTX4090"
run 0 sim --json $SIM --arrivals poisson:1 --requests 3000 && holds sim \
    'd["ttft_ms"]["p50"]<=d["ttft_ms"]["p99"]<=d["ttft_ms"]["max"] and 0<d["utilization"]<=1 and abs(d["requests_s"]/1-1)<0.1 and abs(d["mean_batch"]*d["utilization"]/d["closed_form"]["running"]-1)<0.2'
run 0 sim_many --json $SIM --arrivals poisson:2000 --replicas 2000 --requests 40000 && holds sim_many 'd["replicas"]==2000 and d["wait_ms"]["p50"]<100'
printf 'arrival_s,prompt_tokens,output_tokens\n0,100,10\n0.5,200,20\n' >"$WORK/trace.csv"
run 0 sim_trace --json $SIM --trace "$WORK/trace.csv" && holds sim_trace 'd["requests"]==2 and d["preemptions"]==0'
run 2 sim_both $SIM --trace "$WORK/trace.csv" --arrivals poisson:1
run 2 sim_kind $SIM --arrivals sometimes && says sim_kind 'poisson:RATE'

# the same loads on a server: one that answers at a fixed pace
serve() { rm -f "$WORK/port"; python3 tests/integration/load_server.py $1 >"$WORK/port" & server=$!; for _ in $(seq 100); do [[ -s $WORK/port ]] && break; sleep 0.1; done; port=$(cat "$WORK/port"); }
serve; AGAINST="plan simulate --model SmolLM2-135M --no-measure --against http://127.0.0.1:$port --prompt-tokens 40 --output-tokens 12"
run 0 against --json $AGAINST --loads 1,3 --rounds 2 && holds against \
    '[l["users"] for l in d["loads"]]==[1,3] and all(l["output_tokens"]==12 and 30<l["prompt_tokens"]<50 and l["requests"]=={1:6,3:9}[l["users"]] and l["server"]["total_ms"]>=24 and l["server"]["tpot_ms"]>0 and l["simulated"]["total_ms"]>0 for l in d["loads"]) and d["rounds"]==2 and d["request_ms"]>=0 and all(l["error"]["total_low"]<=l["error"]["total"]<=l["error"]["total_high"] for l in d["loads"])'
run 0 against_text $AGAINST --loads 1 --rounds 1 && shows against_text 'A request takes [0-9.]+ ms at the server'
run 2 against_both $AGAINST --arrivals poisson:1 && says against_both 'runs on this machine'
kill $server; wait $server 2>/dev/null
serve bad; run 2 against_uncounted plan simulate --model SmolLM2-135M --no-measure --against "http://127.0.0.1:$port" --output-tokens 3 && says against_uncounted 'without the count of its tokens'
kill $server; wait $server 2>/dev/null

# --- the seed tables ---
run 0 seed --json plan seed-table && holds seed 'len(d["rows"])>=35 and {r["verdict"] for r in d["rows"]}=={"holds","holds with limits","over-sized","wrong","depends"} and all(r["reason"] and r["reason_zh"] for r in d["rows"])'

# --- scenarios and reports ---
printf 'model: Qwen3-8B\nquant: AWQ\nhardware: RTX4090\nteam: 50\npue: 1.2\n' >"$WORK/a.yaml"
sed 's/RTX4090/A100-80/; s/AWQ/BF16/' "$WORK/a.yaml" >"$WORK/b.yaml"
run 0 scenario --json plan --run "$WORK/a.yaml" --team 60 && holds scenario 'd["hardware"]=="RTX4090" and d["demand"]["calls_month"]==60*30*22 and d["cost"]["inputs"]["pue"]["expected"]==1.2'
run 0 diff --json plan diff "$WORK/a.yaml" "$WORK/b.yaml" && holds diff 'd["settings"]["hardware"]=={"a":"RTX4090","b":"A100-80"} and "team" not in d["settings"] and d["figures"]["capex_cny"]["difference"]>0'
run 0 diff_text plan diff "$WORK/a.yaml" "$WORK/b.yaml" && shows diff_text 'hardware: "RTX4090" -> "A100-80"'
for ending in html md csv json; do run 0 "report_$ending" plan --run "$WORK/a.yaml" --out "$WORK/r.$ending"; done
grep -q '<svg' "$WORK/r.html" && ! grep -qE '<script|https?://' "$WORK/r.html" && echo "ok report_alone" || { echo "not ok report_alone"; failed=1; }
python3 -c 'import csv,sys; r=list(csv.DictReader(open(sys.argv[1],newline=""))); assert any(x["section"]=="cost" and x["name"]=="monthly" and float(x["value"])>0 for x in r)' "$WORK/r.csv" && echo "ok report_rows" || { echo "not ok report_rows"; failed=1; }
run 2 report_kind plan --run "$WORK/a.yaml" --out "$WORK/r.doc" && says report_kind 'ending'
printf 'modle: x\n' >"$WORK/bad.yaml"; run 2 scenario_wrong plan --run "$WORK/bad.yaml" && says scenario_wrong 'did you mean model'

# --- the interview ---
run 0 ask --json plan --ask --model Qwen3-8B --quant AWQ --hardware RTX4090 < <(printf '12\n\n800\n300\nsecrets\nsecret\n\n1\n') && holds ask \
    'd["demand"]["calls_month"]==12*30*22 and d["decision"]["choice"]=="private" and d["decision"]["decided_by_rule"]=="data-stays"' && says ask '^data_class: secret' && says ask_again 'one of public, internal, secret'
run 0 ask_nothing --json plan --ask </dev/null && holds ask_nothing 'd["feasible"]>100'
run 2 ask_rubbish plan --ask < <(printf 'x\ny\nz\n') && says ask_rubbish 'is not a number'

# --- in Chinese ---
export TAILOR_LANG=zh
run 0 zh_plan plan --run "$WORK/a.yaml" && zh zh_plan && shows zh_decision '结论'
run 0 zh_search plan --users 5 && zh zh_search
run 0 zh_sim $SIM --arrivals closed:4 --requests 200 && zh zh_sim
run 0 zh_seed plan seed-table && zh zh_seed
run 0 zh_report plan --run "$WORK/a.yaml" --out "$WORK/zh.md" && out=$(cat "$WORK/zh.md") && zh zh_report_text
run 2 zh_wrong plan $TEN --api nothing; out=$(cat "$WORK/err"); zh zh_wrong
exit $failed
