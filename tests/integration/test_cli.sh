#!/usr/bin/env bash
# The command line itself: help, version, completion, options and their sources, errors, exit statuses.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
TAILOR=${TAILOR:-build/tailor}
HOME_DIR=$(mktemp -d)
trap 'rm -rf "$HOME_DIR"' EXIT
unset TAILOR_HOME TAILOR_LANG TAILOR_THREADS TAILOR_PRECISION TAILOR_LOG_LEVEL TAILOR_ISA LC_ALL LC_MESSAGES
export LANG=C.UTF-8 HOME=$HOME_DIR
failed=0

ok() { echo "ok $1"; }
not_ok() { echo "not ok $1 $2"; failed=1; }

# run ARGS...: leaves $status $out $err
run() {
    out=$("$TAILOR" "$@" 2>"$HOME_DIR/err")
    status=$?
    err=$(cat "$HOME_DIR/err")
}

# check NAME STATUS OUT-PATTERN ERR-PATTERN: extended regular expressions, - for "must be empty", '' for anything
matches() { case $2 in '') true ;; -) [[ -z $1 ]] ;; *) [[ $1 =~ $2 ]] ;; esac }
check() {
    if [[ $status != "$2" ]]; then
        not_ok "$1" "exit status $status, $2 wanted; stderr: ${err//$'\n'/ }"
    elif ! matches "$out" "$3"; then
        not_ok "$1" "stdout without /$3/: ${out//$'\n'/ }"
    elif ! matches "$err" "$4"; then
        not_ok "$1" "stderr without /$4/: ${err//$'\n'/ }"
    else
        ok "$1"
    fi
}

# json NAME EXPRESSION: $out is exactly one JSON object on one line, and the expression on it (o) is true
json() {
    if reason=$(printf '%s' "$out" | python3 -c '
import json, sys
text = sys.stdin.read()
o = json.loads(text)
assert isinstance(o, dict) and "\n" not in text, text
assert '"$2"', text' 2>&1); then ok "$1"; else not_ok "$1" "${reason##*$'\n'}"; fi
}

program=$TAILOR
[[ -x $TAILOR ]] || { echo "not ok cli no program at $TAILOR"; exit 1; }

# --- help
run help; check help 0 'Usage: tailor .*Select:.*plan.*version.*--home DIR.*--threads' -
run --help; check help_option 0 'Select:' -
run help --lang zh; check help_zh 0 '用法：.*训：.*tune.*选项：' -
LANG=zh_CN.UTF-8 run help; check help_locale 0 '用法：' -
LANG=zh_CN.UTF-8 LC_ALL=C run help; check help_locale_order 0 'Usage:' -
TAILOR_LANG=zh run help; check help_variable 0 '用法：' -
TAILOR_LANG=zh run --lang en help; check help_option_over_variable 0 'Usage:' -
run help completion; check help_command 0 'Usage: tailor completion .*SHELL.*Example:' -
run completion --help; check command_help 0 'Usage: tailor completion' -
run completion -h; check command_h 0 'Usage: tailor completion' -
run help nosuch; check help_unknown 2 - 'there is no such command'
run help --json; json help_json 'any(c["name"] == "version" for c in o["commands"]) and o["options"]'
run help models; check help_group 0 'tailor models SUBCOMMAND.*models list.*models show' -
run models --help; check group_help 0 'models list' -
run help models --json; json help_group_json '[c["name"] for c in o["commands"]] == ["models list", "models show", "models alias"]'
run help version extra; check help_too_much 2 - 'no place for it'
run help tune --json; json help_only_what_works '[p["choices"] for p in o["parameters"] if p["name"] == "method"] == [["sft", "dpo", "orpo", "kto", "grpo"]]'
run help --json --lang zh; zh=$out; run help --json; [[ $zh == "$out" ]] && ok json_without_language || not_ok json_without_language "$zh"
run help completion --json; json help_command_json 'o["parameters"][0]["choices"] == ["bash", "zsh", "fish"]'

missing= wide=
for name in $("$TAILOR" help --json | python3 -c 'import json,sys
for c in json.load(sys.stdin)["commands"]: print(c["name"].replace(" ", "+"))'); do
    for lang in en zh; do
        "$TAILOR" help ${name//+/ } --lang $lang >"$HOME_DIR/out" 2>&1 && [[ $(wc -l <"$HOME_DIR/out") -ge 3 ]] ||
            missing+=" $name/$lang"
        wide+=$(python3 -c 'import sys, unicodedata
for l in open(sys.argv[1], encoding="utf-8").read().partition("Example")[0].partition("示例")[0].splitlines():
    if sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in l) > 80: print(sys.argv[2], l)' "$HOME_DIR/out" "$name/$lang")
    done
done
[[ -z $missing ]] && ok help_every_command || not_ok help_every_command "none for$missing"

[[ -z $wide ]] && ok help_within_80_columns || not_ok help_within_80_columns "$wide"

# --- version
run version; check version 0 'tailor .*instruction sets found: scalar.*used: ' -
run --version; check version_option 0 'tailor ' -
run version --json; json version_json 'o["isa_found"][0] == "scalar" and o["isa"] in o["isa_found"] and o["threads"] >= 1'
TAILOR_ISA=scalar run version --json; json isa_variable 'o["isa"] == "scalar"'
TAILOR_ISA=sse9 run version; check isa_unknown 2 - 'TAILOR_ISA.*"sse9" is not one of scalar, avx2, avx512, amx'
run version --lang zh; check version_zh 0 '指令集' -

# --- where values come from: command line over environment over config.yaml over defaults
mkdir -p "$HOME_DIR/h"
printf 'threads: 3\nlang: zh\n' >"$HOME_DIR/h/config.yaml"
run --home "$HOME_DIR/h" version --json; json config_file 'o["threads"] == 3'
TAILOR_HOME=$HOME_DIR/h run version --json; json home_variable 'o["threads"] == 3'
TAILOR_HOME=$HOME_DIR/h TAILOR_THREADS=5 run version --json; json variable_over_file 'o["threads"] == 5'
TAILOR_HOME=$HOME_DIR/h TAILOR_THREADS=5 run --json version --threads=7; json option_over_variable 'o["threads"] == 7'
run --home "$HOME_DIR/h" help; check config_lang 0 '用法：' -
printf 'threads: many\n' >"$HOME_DIR/h/config.yaml"
run --home "$HOME_DIR/h" version; check config_wrong 2 - 'config.yaml": line 1: .*"many" is not an integer from 1 to 1024'
printf 'thread: 2\n' >"$HOME_DIR/h/config.yaml"
run --home "$HOME_DIR/h" version; check config_unknown 2 - 'line 1: .*did you mean threads'
printf 'home: /x\n' >"$HOME_DIR/h/config.yaml"
run --home "$HOME_DIR/h" version; check config_home 2 - 'command line only'
[[ ! -e $HOME_DIR/.local ]] && ok no_home_for_help || not_ok no_home_for_help 'help or version made ~/.local'
out=$(env -u HOME "$TAILOR" version 2>"$HOME_DIR/err"); status=$?; err=$(cat "$HOME_DIR/err")
check no_home 0 'tailor ' -

# --- errors
run; check nothing 2 - 'a command is missing'
run verison; check unknown_command 2 - 'cannot run "verison": there is no such command, did you mean version\?'
run version --bogus; check unknown_option 2 - '"--bogus": there is no such option'
run --thread 3 version; check unknown_global 2 - 'did you mean --threads'
run version --threads; check value_missing 2 - 'a value is missing'
run version --threads 0; check value_range 2 - '"0" is not an integer from 1 to 1024'
run version --precision exact; check value_choice 2 - 'one of auto, deterministic, reference'
run version extra; check argument_too_many 2 - 'there is no place for it'
run completion; check argument_missing 2 - 'SHELL is missing, one of bash, zsh, fish is needed.*Usage: tailor completion'
run completion tcsh; check argument_choice 2 - 'one of bash, zsh, fish'
run version -x; check single_dash 2 - 'options begin with two dashes'
run --lang zh; check nothing_zh 2 - '^错误：缺少命令'
run tune --lable x --lang=zh; check unknown_option_zh 2 - '^错误：没有选项“--lable”.*用法：tailor tune'
run --lang zh --thread 3 version; check unknown_global_zh 2 - '没有选项“--thread”，您是否要用 --threads？'
TAILOR_LANG=zh run version --threads 0; check value_range_zh 2 - '^错误：“--threads”的值“0”无效，应为 1 到 1024 的整数'
run inspect /nonexistent --lang zh; check not_found_zh 2 - '^错误：找不到“/nonexistent”：没有这个文件或目录'
run --lang zh version --threads x --json; json error_json_without_language 'o["error"]["message"].startswith("cannot set")'
run modles; check near_group 2 - 'did you mean models\?'
run models lst; check near_subcommand 2 - 'one of list, show, alias is needed after models'
run version --thread 3; check near_global 2 - 'did you mean --threads\?'
run tokenize m --text a --file b; check both_given 2 - '--text and --file are both given, one is needed'
run tune --method ppo; check unknown_choice 2 - 'is not one of sft, dpo, orpo, kto, grpo'
run plan --hardware x --model y; check unknown_hardware 2 - 'cannot find hardware "x" in the catalogue'
run verison --json; check error_json_status 2 '' -
json error_json 'set(o) == {"error"} and o["error"]["code"] == "usage" and o["error"]["object"] == "verison" and o["error"]["message"].startswith("cannot run")'
run --json version --threads x; json error_json_before 'o["error"]["code"] == "usage"'
run $'ver\x1b[2J\xff'; check error_printable 2 - 'cannot run "ver\?\[2J\?"'
"$TAILOR" version >/dev/full 2>"$HOME_DIR/err"; status=$?; out=; err=$(cat "$HOME_DIR/err")
check full_disk 1 - 'cannot write standard output'
"$TAILOR" help 2>"$HOME_DIR/err" | true; out=; status=0; err=$(cat "$HOME_DIR/err")
check reader_left 0 - -

touch "$HOME_DIR/file"
run --home "$HOME_DIR/file" models list; check home_is_file 2 - "cannot use the home \"$HOME_DIR/file\": it is a file, a directory is needed"
GOLDEN=tests/data/golden
run --home "$HOME_DIR/h2" logits $GOLDEN/gguf/llama.gguf --ids 1,2 --out "$HOME_DIR"; check output_is_directory 2 - "cannot write \"$HOME_DIR\": it is a directory, a file is needed"
printf '{"ids":[1,2,3],"labels":[1,2,3]}\n{"ids":[1],"labels":[]}\n' >"$HOME_DIR/rows.jsonl"
run --home "$HOME_DIR/h2" tune --base $GOLDEN/models/llama --data "$HOME_DIR/rows.jsonl" --data-format tokens --strict --output "$HOME_DIR/x"; check file_is_quoted 2 - "cannot use \"$HOME_DIR/rows.jsonl\" line 2: 1 ids and 0 labels"
sed -i 2d "$HOME_DIR/rows.jsonl"
run --home "$HOME_DIR/h2" tune --base $GOLDEN/models/llama --data "$HOME_DIR/rows.jsonl" --data-format tokens --output "$HOME_DIR/file/x"; check parent_is_file 2 '' "cannot create directory \"$HOME_DIR/file\": a file is there"
[[ $err != *.new-* ]] && ok no_temporary_name || not_ok no_temporary_name "$err"
run --home "$HOME_DIR/h2" tune --base $GOLDEN/models/llama --data "$HOME_DIR/rows.jsonl" --data-format tokens --output "$HOME_DIR/file"; check output_exists 2 - 'it exists'
printf '{"t":"a b"}\n{"u":1}\n' >"$HOME_DIR/texts.jsonl"
run --home "$HOME_DIR/h2" perplexity $GOLDEN/gguf/llama.gguf --file "$HOME_DIR/texts.jsonl" --field t; check perplexity_quotes 2 - "\"$HOME_DIR/texts.jsonl\" line 2"

# --- the quickstart's own command line
TAILOR=./quickstart
run --lang fr; check quickstart_lang 2 - 'cannot use language "fr": en or zh'
TAILOR_LANG=zh run --fast; check quickstart_zh 2 - '没有选项“--fast”'
LANG=zh_CN.UTF-8 run --help; check quickstart_locale 0 '用法：' -
TAILOR=$program

# --- completion
run completion bash; check completion_bash 0 'complete -o default -F _tailor tailor' -
printf '%s\n' "$out" >"$HOME_DIR/tailor.bash"
complete_words() {
    bash -c 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tailor; echo "${COMPREPLY[*]}"' - \
        "$HOME_DIR/tailor.bash" "$@"
}
expect() { [[ $2 == "$3" ]] && ok "$1" || not_ok "$1" "got '$2', '$3' wanted"; }
expect complete_command "$(complete_words tailor vers)" version
expect complete_choice "$(complete_words tailor --lang '')" 'en zh'
expect complete_option "$(complete_words tailor version --thr)" --threads
expect complete_group "$(complete_words tailor models '')" 'list show alias'
expect complete_what_works "$(complete_words tailor tune --method '')" "sft dpo orpo kto grpo"
expect complete_hardware "$(complete_words tailor plan --hard)" --hardware
expect complete_argument "$(complete_words tailor completion '')" 'bash zsh fish'
expect complete_help "$(complete_words tailor help mod)" models
expect complete_after_option "$(complete_words tailor --threads 2 vers)" version
for shell in zsh fish; do
    run completion $shell; check completion_$shell 0 'tailor' -
    printf '%s\n' "$out" >"$HOME_DIR/completion"
    check_option=--no-execute
    [[ $shell == zsh ]] && check_option=-n
    if ! command -v $shell >/dev/null; then echo "skip completion_${shell}_syntax $shell is not installed"
    elif $shell $check_option "$HOME_DIR/completion" 2>"$HOME_DIR/err"; then ok completion_${shell}_syntax
    else not_ok completion_${shell}_syntax "$(head -1 "$HOME_DIR/err")"; fi
done

exit $failed
