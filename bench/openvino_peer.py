#!/usr/bin/env python3
"""OpenVINO GenAI on a GGUF file: prefill and decode tokens a second. usage: openvino_peer.py MODEL.gguf PREFILL DECODE"""
import json, statistics, sys, time
import numpy as np
import openvino as ov
import openvino_genai as og

model, n_prefill, n_decode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pipe = og.LLMPipeline(model, 'CPU')
mask = ov.Tensor(np.ones((1, n_prefill), dtype=np.int64))
rng = np.random.default_rng(0)


def seconds(n):
    ids = ov.Tensor(rng.integers(100, 40000, (1, n_prefill)))  # another prompt each time: its prefix cache must not help
    config = og.GenerationConfig(max_new_tokens=n, ignore_eos=True, do_sample=False)
    t = time.perf_counter(); pipe.generate(og.TokenizedInputs(ids, mask), config); return time.perf_counter() - t


seconds(2)
one, many = (statistics.median(seconds(n) for _ in range(3)) for n in (1, 1 + n_decode))  # as `tailor bench` takes them
print(json.dumps({'prefill_tok_s': n_prefill / one, 'decode_tok_s': n_decode / (many - one)}))
