#!/usr/bin/env bash
# Installs the peers to measure against into a directory outside the checkout (never a dependency of the product):
# llama.cpp's llama-bench and llama-batched-bench built natively from the Python source package, OpenVINO GenAI, PyTorch with PEFT.
# usage: bench/peers.sh DIR
set -euo pipefail
dir=${1:?usage: bench/peers.sh DIR}
mkdir -p "$dir" && cd "$dir"
[ -x venv/bin/python ] || python3 -m venv venv
venv/bin/python -m pip install -q --disable-pip-version-check cmake openvino-genai torch transformers peft accelerate gguf
if [ ! -x llama-batched-bench ]; then
    venv/bin/python -m pip download -q --no-deps --no-binary :all: -d src llama-cpp-python
    mkdir -p llama && tar xf src/llama_cpp_python-*.tar.gz -C llama --strip-components=1
    # GCC 12 thinks that its tile configuration reads 8 bytes of the 64, and drops the stores to the others: SIGILL
    sed -i 's/^\( *\)_tile_loadconfig(&tc);/\1__asm__ volatile("" ::: "memory"); _tile_loadconfig(\&tc);/' \
        llama/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp
    venv/bin/cmake -S llama/vendor/llama.cpp -B llama/build -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAMA_CURL=OFF \
        -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF >/dev/null
    make -C llama/build -j"$(nproc)" llama-bench llama-batched-bench >/dev/null
    ln -s llama/build/bin/llama-bench llama/build/bin/llama-batched-bench .
fi
echo "peers are in $dir: run bench/run.sh with PEERS=$dir; bench/llama_oracle.py compares tokens with llama.cpp"
