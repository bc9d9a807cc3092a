#!/usr/bin/env bash
# data generate: rows without answers, a teacher here and one behind an address (loopback), the rules on its answers, its
# licence, what happens when it is lost, and that a killed run loses no row it had acknowledged.
# Prints one line a check: ok NAME | not ok NAME reason.
. tests/integration/checks.bash
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
export NO_PROXY=127.0.0.1
python3 tests/integration/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$WORK/chat.gguf" "$WORK/adapter" ||
    { echo "not ok model cannot make one"; exit 1; }
SERVER=$(realpath tests/integration/chat_server.py)
cd "$WORK" || exit 1
python3 "$SERVER" "$WORK/asked" >port &
SERVER_PID=$!
trap 'kill $SERVER_PID 2>/dev/null; rm -rf "$WORK"' EXIT
for _ in $(seq 200); do [[ -s port ]] && break; sleep 0.05; done
URL=http://127.0.0.1:$(cat port)/v1

python3 - <<'PY'
import json
def lines(name, rows):
    with open(name, 'w') as f:
        for r in rows: f.write((r if isinstance(r, str) else json.dumps(r)) + '\n')
user = lambda a: {'role': 'user', 'content': a}
lines('in.jsonl', [{'text': 'one a b c'}, {'messages': [user('two d e f'), {'role': 'assistant', 'content': 'old'}]}, {'prompt': 'three g h i'},
                   {'text': 'one a b c'}, 'rubbish', {'other': 1}, {'instruction': 'four', 'input': 'j k', 'output': 'x'}])
lines('many.jsonl', [{'text': f'question {i} ' + 'x' * i} for i in range(100)])
open('in.csv', 'w').write('id,question\n1,one a b c\n2,"two, d"\n')
open('bad.json', 'w').write('{"type": "object", "format": "date"}')
open('schema.json', 'w').write('{"type": "integer"}')
open('key', 'w').write('SECRET\n')
PY
G=(data generate in.jsonl --teacher "$URL" --licence mine)

# --- what comes out, and that it can be tuned with
run 0 echo --json "${G[@]}" --teacher-model echo --out echo &&
    holds echo 'd["rows"]==7 and d["asked"]==4 and d["kept"]==4 and d["verdicts"]["repeated"]==1 and d["verdicts"]["unreadable"]==2 and sum(d["verdicts"].values())==7'
holds echo_rows '[(r["line"], r["messages"][-1]) for r in rows("echo/train.jsonl")][:3]==[(1,{"role":"assistant","content":"a b c"}),(2,{"role":"assistant","content":"d e f"}),(3,{"role":"assistant","content":"g h i"})]'
holds echo_source 'all(r["teacher"]=="echo" and r["licence"]=="mine" for r in rows("echo/train.jsonl")) and d["teacher"]["licence_from"]=="statement"'
holds echo_refused '[(r["line"],r["verdict"]) for r in rows("echo/refused.jsonl")]==[(4,"repeated"),(5,"unreadable"),(6,"unreadable")]'
out=$(cat echo/manifest.json)
holds echo_manifest 'd["state"]=="done" and d["kind"]=="generation" and d["teacher"]["licence"]=="mine" and d["counts"]["kept"]==4'
run 0 tuned --json tune --base chat.gguf --data echo/train.jsonl --rank 4 --max-steps 1 --output run && holds tuned 'd["rows"]["kept"]==4 and d["rows"]["refused"]==0'

# --- made a version of, the rows keep saying whose they are, and the run takes them by name
run 0 import --json data import echo/train.jsonl --name made --out made && holds import 'd["teachers"]==[{"teacher":"echo","licence":"mine","rows":4}] and d["counts"]["train_rows"]==4'
run 0 import_text data import echo/train.jsonl --name made --out made_again && says import_text '4 rows by teacher echo, licence mine'
run 0 import_zh --lang zh data import echo/train.jsonl --name made --out made_zh && says import_zh '4 行由教师模型 echo 回答，许可证 mine'
run 0 show data show made && says show '"licence": "mine"'
run 0 by_name --json tune --base chat.gguf --data made --rank 4 --max-steps 1 --output run_by_name && holds by_name 'd["rows"]["kept"]==4 and d["rows"]["refused"]==0'
same by_name_same run/adapter/adapter_model.safetensors run_by_name/adapter/adapter_model.safetensors
n=$(wc -l <asked)
run 0 again --json "${G[@]}" --teacher-model echo --out echo && holds again 'd["was_complete"] and d["kept"]==4'
[[ $(wc -l <asked) == "$n" ]] && ok asks_nothing_twice || not_ok asks_nothing_twice "$(wc -l <asked) requests, not $n"
run 0 text "${G[@]}" --teacher-model echo --out echo_text && says text '7 rows, 4 asked, 4 kept.*1  an earlier row asks the same.*licence mine \(as you state\)'
run 0 text_zh --lang zh "${G[@]}" --teacher-model echo --out echo_zh && says text_zh '共 7 行，提问 4 行，采用 4 行.*与前面某行的提问相同.*由您声明'
run 0 csv --json data generate in.csv --column question --teacher "$URL" --teacher-model echo --licence mine --out csv && holds csv 'd["kept"]==2'
run 0 limit --json "${G[@]}" --teacher-model echo --limit 2 --out limit && holds limit 'd["rows"]==2'
run 0 system --json "${G[@]}" --teacher-model echo --system 'be brief' --keep-repeated --out system &&
    holds system 'd["asked"]==5 and all(r["messages"][0]=={"role":"system","content":"be brief"} for r in rows("system/train.jsonl"))'

# --- rules
run 0 labels --json "${G[@]}" --teacher-model label --labels pos,Neg --out labels && holds labels 'd["kept"]==4 and {r["messages"][-1]["content"] for r in rows("labels/train.jsonl")}<={"pos","Neg"}'
run 0 no_label --json "${G[@]}" --teacher-model echo --labels pos,neg --out no_label && holds no_label 'd["kept"]==0 and d["verdicts"]["no_label"]==4'
run 0 min --json "${G[@]}" --teacher-model echo --min-chars 6 --out min && holds min 'd["verdicts"]["too_short"]==3 and d["kept"]==1'
run 0 max --json "${G[@]}" --teacher-model echo --max-chars 5 --out max && holds max 'd["verdicts"]["too_long"]==1 and d["kept"]==3'
run 0 match --json "${G[@]}" --teacher-model echo --match '^[a-d]' --out match && holds match 'd["verdicts"]["no_match"]==2 and d["kept"]==2'
run 0 schema --json "${G[@]}" --teacher-model score --schema schema.json --out schema && holds schema 'd["verdicts"]["bad_format"]==3 and d["kept"]==1'
run 0 object --json "${G[@]}" --teacher-model score --answer-format object --out object && holds object 'd["verdicts"]["bad_format"]==4'
run 0 distinct --json "${G[@]}" --teacher-model score --distinct --out distinct && holds distinct 'd["kept"]==2 and d["verdicts"]["same_answer"]==2'
run 0 agree --json "${G[@]}" --teacher-model label --samples 3 --agree 1 --out agree && holds agree 'd["kept"]==4 and d["samples"]==12 and d["agreement"]==1'
run 0 disagree --json "${G[@]}" --teacher-model varied --samples 4 --agree 0.5 --out disagree && holds disagree 'd["kept"]==0 and d["verdicts"]["no_agreement"]==4 and d["agreement"]==0.25'
run 2 same_samples "${G[@]}" --teacher-model echo --samples 2 --temperature 0 --out no && says same_samples 'all would be the same answer'
run 2 bad_schema "${G[@]}" --teacher-model echo --schema bad.json --out no && says bad_schema 'keyword "format" at "#/format" is not checked'
run 2 bad_match "${G[@]}" --teacher-model echo --match '(' --out no && says bad_match 'pattern of match'
run 2 bad_labels "${G[@]}" --teacher-model echo --labels 'a,A' --out no && says bad_labels 'they are the same label'
[[ ! -e no ]] && ok refused_leaves_nothing || not_ok refused_leaves_nothing "no is there"

# --- licences
run 2 forbidden data generate in.jsonl --teacher "$URL" --teacher-model gpt-5.1 --licence mine --out no && says forbidden 'its licence, OpenAI terms, forbids it: they forbid'
run 2 forbidden_zh --lang zh data generate in.jsonl --teacher "$URL" --teacher-model llama-2-7b-chat --out no && says forbidden_zh '许可证 Llama 2 Community 禁止.*改进其他语言模型'
run 2 unknown data generate in.jsonl --teacher "$URL" --teacher-model echo --out no && says unknown 'its licence is not known; --licence states it'
run 2 unknown_here data generate in.jsonl --teacher chat.gguf --out no && says unknown_here 'its licence is not known'
run 2 stated_forbids data generate in.jsonl --teacher chat.gguf --licence 'Llama 2 Community' --out no && says stated_forbids 'forbids it'
mkdir -p home/catalog
printf 'licence,outputs,text_en,text_zh,source\nmine,no,the board said no,董事会不同意,minutes\nOpenAI terms,yes,,,our own contract\n' >home/catalog/licences.csv
run 2 own_rule "${G[@]}" --teacher-model echo --out no && says own_rule 'the board said no'
run 1 own_rule_allows data generate in.jsonl --teacher "$URL" --teacher-model gpt-5.1 --retries 0 --out lost && says own_rule_allows 'cannot ask the teacher after 0 rows.*404'
printf 'licence,outputs,text_en,text_zh,source\nx,maybe,,,\n' >home/catalog/licences.csv
run 2 broken_rule "${G[@]}" --teacher-model echo --out no && says broken_rule 'licences.csv" line 2: outputs is "maybe"'
rm home/catalog/licences.csv

# --- a teacher that cannot be had: never a hang, nothing lost, and the same command goes on
lost() { # NAME MODEL PATTERN
    local name=$1 model=$2 pattern=$3
    run 1 "$name" "${G[@]}" --teacher-model "$model" --timeout 1 --retries 1 --out "lost_$name" && says "$name" "cannot ask the teacher after 0 rows, the same command goes on.*$pattern"
}
lost stalls stall 'nothing came for 1 s|Operation too slow|[Tt]imed out|timeout'
lost answers_500 500 'after 2 attempts.*the server answers 500'
lost unauthorized 401 'the server answers 401'
run 1 nonsense "${G[@]}" --teacher-model junk --out lost_junk; says nonsense 'it is no JSON'
run 1 no_choices "${G[@]}" --teacher-model empty --out lost_empty; says no_choices 'it has no text at choices\[0\].message.content'
run 1 drips "${G[@]}" --teacher-model drip --timeout 1 --retries 0 --out lost_drip; says drips 'takes longer than 2 s'
run 1 huge "${G[@]}" --teacher-model huge --out lost_huge; says huge 'more than 4194304 bytes'
run 1 nobody data generate in.jsonl --teacher http://127.0.0.1:1/v1 --teacher-model m --licence mine --retries 0 --out lost_nobody; says nobody 'cannot ask the teacher'
run 0 one_fails --json "${G[@]}" --teacher-model null --out null && holds one_fails 'd["kept"]==0 and d["verdicts"]["failed"]==4'
run 0 has_nul --json "${G[@]}" --teacher-model nul --out nul && holds has_nul 'd["kept"]==0 and d["verdicts"]["failed"]==4'
run 0 refuses_400 --json "${G[@]}" --teacher-model 400 --out r400 && holds refuses_400 'd["verdicts"]["failed"]==4'
run 0 flaky --json "${G[@]}" --teacher-model flaky --out flaky && holds flaky 'd["kept"]==4'
[[ ! -s lost_stalls/answers.jsonl ]] && ok lost_rows_are_asked_again || not_ok lost_rows_are_asked_again "$(cat lost_stalls/answers.jsonl)"

# --- keys
run 0 key_file --json "${G[@]}" --teacher-model key --key-file key --out key1 && holds key_file 'd["kept"]==4'
MY_KEY=SECRET run 0 key_env --json "${G[@]}" --teacher-model key --key-env MY_KEY --out key2 && holds key_env 'd["kept"]==4'
run 2 key_missing "${G[@]}" --teacher-model key --key-env MY_KEY --out key3 && says key_missing 'the variable MY_KEY, which holds its key, is not set'
grep -rqs SECRET key1 key2 key3 home && not_ok key_nowhere "$(grep -rl SECRET key1 key2 key3 home)" || ok key_nowhere

# --- killed in the middle: what is in the journal stays, and the end is the same as in one go
K=(data generate many.jsonl --teacher chat.gguf --licence mine --max-tokens 24 --match . --batch 4 --precision reference)
run 0 once --json "${K[@]}" --out once && holds once 'd["rows"]==100 and d["asked"]==100'
("$TAILOR" "${K[@]}" --out killed >/dev/null 2>&1 & echo $! >pid)
pid=$(cat pid)
for _ in $(seq 400); do [[ $(wc -l 2>/dev/null <killed/answers.jsonl || echo 0) -ge 4 ]] && break; sleep 0.02; done
kill -9 $pid
for _ in $(seq 100); do kill -0 $pid 2>/dev/null || break; sleep 0.05; done
n=$(wc -l <killed/answers.jsonl)
cp killed/answers.jsonl before
printf '{"row":%d,"torn' $((n + 1)) >>killed/answers.jsonl
[[ $n -ge 4 && $n -lt 100 ]] && ok killed_midway || not_ok killed_midway "$n rows were done"
run 0 resumed --json "${K[@]}" --out killed && holds resumed 'd["rows"]==100 and not d["was_complete"]'
head -n "$n" killed/answers.jsonl | cmp -s - before && ok keeps_rows || not_ok keeps_rows "acknowledged rows changed"
cmp -s once/answers.jsonl killed/answers.jsonl && cmp -s once/train.jsonl killed/train.jsonl && cmp -s once/refused.jsonl killed/refused.jsonl && ok same_end || not_ok same_end "files differ"
run 2 other_options "${K[@]}" --samples 2 --out killed && says other_options 'made with another samples; choose another --out'
sed -i '3d' killed/answers.jsonl && sed -i 's/"state": "done"/"state": "running"/' killed/manifest.json
run 2 broken_journal "${K[@]}" --out killed && says broken_journal 'answers.jsonl": line 3 is not of this generation'
mkdir other && echo '{"kind":"dataset"}' >other/manifest.json
run 2 not_ours "${K[@]}" --out other && says not_ours 'its manifest.json is of another kind'
exit $failed
