#!/bin/bash
# The catalogue, the planner on hardware of the catalogue, validation and tuning plans, through the program.
. "$(dirname "$0")/plan_checks.bash"

# --- the catalogue ---
run 0 models --json catalog models --licence apache --max-params 9 --language zh --sort -params_total_b && holds models \
    'len(d["models"])>5 and all("Apache" in m["license"] and m["params_calc_b"]<=9 for m in d["models"]) and d["models"][0]["params_total_b"]>=d["models"][-1]["params_total_b"]'
run 0 modality --json catalog models --modality image --search llama && holds modality '{m["model"] for m in d["models"]}=={"Llama-4-Scout","Llama-4-Maverick"}'
run 0 hardware --json catalog hardware --search nvidia --sort mem_bw_gbs && holds hardware 'all(m["vendor"]=="NVIDIA" for m in d["hardware"]) and d["hardware"][-1]["id"]=="B200" and all(m["source"] and m["age_days"] is not None for m in d["hardware"])'
run 0 prices --json catalog prices && holds prices 'len(d["prices"])>100 and any(p["stale"] and p["age_days"]>90 for p in d["prices"]) and len({(p["provider"],p["model"]) for p in d["prices"]})==len(d["prices"])'
run 2 sort catalog prices --sort cheap && says sort 'cannot sort by "cheap": columns are provider, model'
run 2 sort_near catalog models --sort context && says sort_near 'did you mean context_max'
run 0 nothing catalog models --search no-such-model && grep -q 'no row fits' <<<"$out" && echo "ok nothing_said" || { echo "not ok nothing_said ${out:0:200}"; failed=1; }
run 0 whole_names catalog prices --search deepseek-r1-distill && grep -q 'deepseek-r1-distill-llama-70b ' <<<"$out" && echo "ok names_are_whole" || { echo "not ok names_are_whole ${out:0:300}"; failed=1; }
run 0 group_help help catalog && grep -q 'catalog add-model  ' <<<"$out" && echo "ok group_help_columns" || { echo "not ok group_help_columns ${out:0:300}"; failed=1; }
run 0 dry --json catalog add hardware id=H100 price2026_rmb_low=1 --dry-run && holds dry 'd["changed"]==1 and not d["written"] and d["changes"]==[{"row":"H100","column":"price2026_rmb_low","was":"200000","is":"1"}]'
run 0 add --json catalog add hardware id=Card9 kind="GPU consumer" vram_gb=32 mem_bw_gbs=1000 fp16_tensor_dense_tflops=200 link_gbs_per_dir=25 && holds add 'd["added"]==1 and d["written"]'
run 0 added --json catalog hardware --search Card9 && holds added 'd["hardware"][0]["age_days"]==0'
run 2 add_wrong catalog add hardware id=Card8 kind=GPU vram_gb=8 mem_bw_gbs=100 && says add_wrong 'kind is "GPU", one of GPU consumer'
run 2 add_column catalog add hardware id=Card9 speed=3 && says add_column 'has no column "speed", columns are id, name'
printf 'provider,model,price_date,input_cny_per_mtok,output_cny_per_mtok\nOpenAI,gpt-5.1,2026-12-01,8,60\nHouse,own,2026-12-01,0.5,2\n' >"$WORK/p.csv"
run 0 update catalog update "$WORK/p.csv" && grep -q '+ House own 2026-12-01 (new)' <<<"$out" && echo "ok update_shows"
run 0 newest --json catalog prices --search gpt-5.1 && holds newest '[p["output_cny_per_mtok"] for p in d["prices"] if p["provider"]=="OpenAI" and p["model"]=="gpt-5.1"]==[60]'
run 0 older --json catalog prices --search gpt-5.1 --all && holds older 'len([p for p in d["prices"] if p["provider"]=="OpenAI" and p["model"]=="gpt-5.1"])>=2'
printf 'a,b\n1,2\n' >"$WORK/p.csv"; run 2 update_wrong catalog update "$WORK/p.csv" && says update_wrong 'models \(column model\)'
run 0 add_model --json catalog add-model tests/data/golden/gguf/llama.gguf --name tiny && holds add_model 'd["added"]==1'
run 0 tiny --json catalog models --search tiny && holds tiny 'd["models"][0]["architecture"]=="llama" and d["models"][0]["confidence"]=="read from the file"'
run 2 not_a_model catalog add-model "$WORK/p.csv"

# --- plans for hardware ---
run 0 target --json plan --model Llama-3.3-70B --quant FP8 --hardware H100 --count 2 --users 25 --prompt-tokens 5000 --output-tokens 500 && holds target \
    'd["fits"] and d["tp"]==2 and 70e9<d["memory"]["weights_bytes"]<75e9 and 25<d["speed"]["tpot_ms"]<55 and d["error_bars"]["tpot_ms"]["low"]<1<d["error_bars"]["tpot_ms"]["high"] and d["memory"]["total_bytes"]==sum(d["memory"][k] for k in ("weights_bytes","kv_bytes","overhead_bytes"))'
run 0 too_large --json plan --model Llama-3.3-70B --quant BF16 --hardware RTX4090 --count 1 && holds too_large 'not d["fits"] and d["memory"]["worst_card_bytes"]>d["memory"]["usable_card_bytes"]'
run 0 context --json plan --model Phi-4 --quant AWQ --hardware A100-80 --count 1 --prompt-tokens 20000 && holds context 'not d["fits"] and "16384" in d["obstacles"][0]'
run 0 own_card --json plan --model tiny --quant BF16 --hardware card9 --count 1 --prompt-tokens 20 --output-tokens 10 && holds own_card 'd["hardware"]=="Card9" and d["speed"]["decode_tok_s"]>0'
run 0 own_file --json plan --model tests/data/golden/gguf/llama.gguf --hardware EPYC9004 --count 1 --prompt-tokens 20 --output-tokens 10 && holds own_file 'd["stack"]=="tailor" and d["memory"]["weights_bytes"]>0'
run 2 two_kinds plan --model Qwen3-8B --hardware H100,A100-80 && says two_kinds 'cards that share a model are of one kind'
run 2 no_model plan --model Qwen3-9B --hardware H100 && says no_model 'did you mean Qwen3-'
run 2 no_link plan --model Qwen3-8B --quant Q4_K_M --hardware M4 --pp 2 && says no_link 'no link to others'
run 2 bad_tp plan --model Qwen2.5-7B --hardware H100 --tp 8 && says bad_tp 'does not divide the 28 heads'
run 2 bad_stack plan --model Qwen3-8B --quant AWQ --hardware RTX4090 --stack llama.cpp && says bad_stack 'GGUF'
run 2 alone plan --count 2 && says alone 'hardware is needed'

# --- validation and tuning plans ---
run 0 validate --json plan validate && holds validate 'd["parameters"]["published"]==65 and d["parameters"]["within_0_2_percent"]==51 and all(o["reason"]!="not known" for o in d["parameters"]["others"]) and all(c["median_error"]<=c["gate"] for c in d["classes"]) and 0.7<=d["interval_coverage"]<=0.9 and len(d["worst"])==12'
run 0 validate_file --json plan validate --measurements catalog/measurements.csv && holds validate_file 'sum(c["rows"] for c in d["classes"])==219 and not d["skipped"]'
run 0 tune --json plan tune --model Qwen2.5-7B --hardware RTX4090 --tokens 1e7 && holds tune 'd["fits"] and 9e9<d["memory"]["total_bytes"]<14e9 and d["seconds"]>0'
run 0 tune_full --json plan tune --model Qwen2.5-7B --method full --hardware RTX4090 && holds tune_full 'not d["fits"]'
run 0 tune_here --json plan tune --model SmolLM2-135M && holds tune_here 'd["adapter_params"]==4884480'
run 0 tune_full_here --json --threads 1 plan tune --model SmolLM2-135M --method full --max-length 256 --tokens 1e6 && holds tune_full_here 'd["memory"]["optimizer_bytes"]==2*d["memory"]["gradient_bytes"] and 2.5e9<d["memory"]["total_bytes"]<2.9e9 and d["seconds"]>0'
run 2 tune_bf16_here plan tune --model SmolLM2-135M --method full-bf16 && says tune_bf16_here 'masters are float32'
run 2 tune_wrong plan tune --model SmolLM2-135M --trainer tailor --hardware H100 && says tune_wrong 'computes on CPUs'

# --- in Chinese ---
export TAILOR_LANG=zh
run 0 zh_models catalog models --search qwen && zh zh_models
run 0 zh_target plan --model Qwen3-8B --quant AWQ --hardware RTX4090 --count 1 && zh zh_target
run 0 zh_validate plan validate && zh zh_validate
run 0 zh_tune plan tune --model Qwen2.5-7B --hardware RTX4090 && zh zh_tune
run 2 zh_wrong plan --model Qwen3-9B --hardware H100; out=$(cat "$WORK/err"); zh zh_wrong
exit $failed
