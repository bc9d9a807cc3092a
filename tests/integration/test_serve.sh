#!/usr/bin/env bash
# The server as users run it: the real binary on loopback, a tiny model, clients over sockets.
# Prints one line a check: ok NAME | not ok NAME reason | skip NAME reason.
TAILOR=${TAILOR:-build/tailor}
HERE=tests/integration
DIR=$(mktemp -d)
PID=
# a server that is still there at the end is ours alone
trap '[[ -n $PID ]] && kill -9 "$PID" 2>/dev/null; rm -rf "$DIR"' EXIT
unset TAILOR_LANG TAILOR_THREADS TAILOR_PRECISION TAILOR_LOG_LEVEL TAILOR_ISA
export TAILOR_HOME=$DIR/home LC_ALL=C.UTF-8
failed=0

ok() { echo "ok serve_$1"; }
not_ok() { echo "not ok serve_$1 $2"; failed=1; }

[[ -x $TAILOR ]] || { echo "not ok serve no program at $TAILOR"; exit 1; }
command -v python3 >/dev/null || { echo "skip serve python3 is not installed"; exit 0; }
MODEL=$DIR/tiny.gguf
python3 $HERE/tiny_chat_model.py tests/data/golden/gguf/llama.gguf "$MODEL" "$DIR/adapter" ||
    { echo "not ok serve the tiny model cannot be made"; exit 1; }

# start ARGS...: leaves $PID and $URL; waits at most 20 s for the line that says it listens
start() {
    : >"$DIR/out"
    "$TAILOR" --precision deterministic serve --port 0 "$@" >"$DIR/out" 2>"$DIR/err" </dev/null &
    PID=$!
    for _ in $(seq 400); do
        URL=$(sed -n 's/^listening on \(http:.*\)$/\1/p' "$DIR/out")
        [[ -n $URL ]] && return 0
        kill -0 "$PID" 2>/dev/null || break
        sleep 0.05
    done
    not_ok start "no address; stdout: $(cat "$DIR/out") stderr: $(cat "$DIR/err")"
    return 1
}

# finish NAME SECONDS: SIGTERM, then exit status 0 within the time
finish() {
    local name=$1 tries=$(($2 * 20))
    kill -TERM "$PID"
    while kill -0 "$PID" 2>/dev/null && ((tries-- > 0)); do sleep 0.05; done
    if kill -0 "$PID" 2>/dev/null; then
        not_ok "$name" "still running $2 s after SIGTERM"
        kill -9 "$PID"
    fi
    wait "$PID"
    local status=$?
    PID=
    if [[ $status == 0 ]]; then ok "$name"; else not_ok "$name" "exit status $status; stderr: $(tail -c 300 "$DIR/err")"; fi
}

checks() { python3 $HERE/serve_checks.py "$1" "$URL" || failed=1; }

# refused NAME STATUS PATTERN ARGS...: the server does not come up, and says why
refused() {
    local name=$1 status=$2 pattern=$3 got
    shift 3
    timeout 20 "$TAILOR" serve "$@" >"$DIR/out" 2>"$DIR/err" </dev/null
    got=$?
    if [[ $got != "$status" ]]; then not_ok "$name" "exit status $got: $(cat "$DIR/err")"
    elif ! grep -Eq "$pattern" "$DIR/err"; then not_ok "$name" "stderr without /$pattern/: $(cat "$DIR/err")"
    else ok "$name"; fi
}

# --- one server for most of it
if start --model "$MODEL,name=tiny" --model "$MODEL,name=second" --adapter "$DIR/adapter,name=tuned,model=tiny" \
    --ctx 2048 --max-batch 4 --max-body 65536; then
    [[ $(wc -l <"$DIR/out") == 1 ]] && ok one_line || not_ok one_line "$(cat "$DIR/out")"
    for part in basics streams together errors leaving; do checks $part; done
    refused port_in_use 1 'cannot listen on .*in use' --model "$MODEL" --port "${URL##*:}"
    finish sigterm 10
fi

# --- keys
printf '# keys\nfirst-key\n\n  second-key  \n' >"$DIR/keys"
if start --model "$MODEL,name=tiny" --api-key-file "$DIR/keys"; then
    checks keys
    finish sigterm_with_keys 10
fi

# --- a model that embeds beside one that chats
BERT=tests/data/golden/models/bert-tiny
if start --model "$BERT,name=bert" --model "$MODEL,name=tiny" --ctx 2048; then
    checks embeddings
    finish sigterm_after_embeddings 10
fi
refused embedder_adapter 2 'only embeds' --model "$BERT,name=bert" --adapter "$DIR/adapter,name=tuned" --port 0

# --- a full queue
if start --model "$MODEL,name=tiny" --ctx 2048 --max-batch 1 --max-queue 1; then
    checks queue
    finish sigterm_after_queue 10
fi

# end_during PART ARG: SIGTERM while the clients of a part of the checks wait for their answers; exit status 0
end_during() {
    exec 3> >(exec python3 $HERE/serve_checks.py "$1" "$URL" $2 >"$DIR/$1" 2>&1)
    local client=$!
    for _ in $(seq 400); do grep -q started "$DIR/$1" 2>/dev/null && break; sleep 0.05; done
    kill -TERM "$PID"
    echo >&3
    exec 3>&-
    wait $client || failed=1
    grep -v started "$DIR/$1"
    for _ in $(seq 200); do kill -0 "$PID" 2>/dev/null || break; sleep 0.05; done
    kill -0 "$PID" 2>/dev/null && { not_ok "$1_ends" "still running"; kill -9 "$PID"; }
    wait "$PID" && ok "$1_status" || not_ok "$1_status" "exit status $?"
    PID=
}

# --- a slow client; then a running answer that is finished after SIGTERM
if start --model "$MODEL,name=tiny" --ctx 16000; then
    checks slow
    end_during drain 12000
fi

# --- endless answers are cut off when the time is over
if start --model "$MODEL,name=tiny" --ctx 200000 --max-batch 2 --drain-s 0.3; then end_during cut; fi

# --- what is refused at the start
refused no_model 2 'model'
refused missing_model 2 'nowhere.gguf' --model "$DIR/nowhere.gguf"
refused same_name 2 'two models under the name .tiny' --model "$MODEL" --model "$MODEL" --port 0
refused adapter_name 2 'a name is needed' --model "$MODEL" --adapter "$DIR/adapter" --port 0
refused adapter_model 2 'no model is served as .other' --model "$MODEL" --adapter "$DIR/adapter,name=a,model=other" --port 0
refused context 2 'context' --model tests/data/golden/gguf/llama.gguf --ctx 100000 --port 0
printf '# nothing\n' >"$DIR/none"
refused no_keys 2 'holds none' --model "$MODEL" --api-key-file "$DIR/none" --port 0
refused bad_host 2 'cannot listen' --model "$MODEL" --host no.such.host.invalid --port 0

exit $failed
