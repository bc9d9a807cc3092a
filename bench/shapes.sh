#!/usr/bin/env bash
# The shapes of performance: random weights of Qwen2.5 0.5B and 1.5B in three quantizations, beside the peers (PEERS=DIR
# filled by bench/peers.sh). Models stay in the directory for the next time. usage: bench/shapes.sh DIR [COMPARE OPTIONS]
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${1:?usage: bench/shapes.sh DIR [options of bench/compare.py]}; shift
mkdir -p "$dir"
for size in 0.5b 1.5b; do
    for type in Q4_0 Q4_K_M Q8_0; do
        model=$dir/qwen2-$size-$type.gguf
        [ -f "$model" ] || build/tailor make-model --arch qwen2 --preset $size --type $type "$model" >/dev/null
        python3 bench/compare.py "$model" --decode 32 --batch 8,16 "$@"
    done
done
