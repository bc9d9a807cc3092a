#!/usr/bin/env bash
# Measures this build beside its peers (PEERS=DIR filled by bench/peers.sh) and writes bench/results/.
# Let nothing else run: these are whole-machine measurements. usage: bench/run.sh [MODEL.gguf]
set -euo pipefail
cd "$(dirname "$0")/.."
. mk/deps.sh
if [ $# -ge 1 ]; then MODEL=$1; else need_model; fi
[ -f build/quickstart/data/train.jsonl ] || echo "no tuning data (build/quickstart/data/train.jsonl): run ./quickstart once; tuning is left out" >&2
tune=(); [ -f build/quickstart/data/train.jsonl ] && tune=(--tune build/quickstart/data/train.jsonl)
exec python3 bench/compare.py "$MODEL" "${tune[@]}"
