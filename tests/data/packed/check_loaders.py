#!/usr/bin/env python3
"""Compares expected.safetensors of gptq-asym, gptq-sym and awq with what the formats' own loaders dequantize.
usage: check_loaders.py DIR_OF_AUTO_GPTQ DIR_OF_AUTOAWQ   (unpacked: DIR/auto_gptq/..., DIR/awq/...; needs torch, safetensors)
Made with auto-gptq 0.7.1 and autoawq 0.2.9 from PyPI."""
import importlib.util, os, sys, types
import torch
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
         'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down'}


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m)
    return m


def gptq_weight(m, t, base):
    q, s = t[base + '.qweight'], t[base + '.scales']
    layer = m.QuantLinear(4, q.shape[0] * 8 // s.shape[0], q.shape[0] * 8, q.shape[1], False, use_cuda_fp16=False)
    layer.qweight, layer.qzeros, layer.scales, layer.g_idx = q, t[base + '.qzeros'], s, t[base + '.g_idx']
    layer.kernel_switch_threshold = 0  # the way in plain torch
    return layer(torch.eye(q.shape[0] * 8, dtype=torch.float16)).T


for p in ('transformers', 'transformers.pytorch_utils'):
    if importlib.util.find_spec('transformers') is None: sys.modules.setdefault(p, types.ModuleType(p))
gptq = load('qlinear', f'{sys.argv[1]}/auto_gptq/nn_modules/qlinear/qlinear_cuda_old.py')
awq = load('packing', f'{sys.argv[2]}/awq/utils/packing_utils.py')
for folder in ('gptq-sym', 'gptq-asym', 'awq'):
    t, want = load_file(f'{HERE}/{folder}/model.safetensors'), load_file(f'{HERE}/{folder}/expected.safetensors')
    for hf, gguf in NAMES.items():
        base, w = f'model.layers.0.{hf}', want[f'blk.0.{gguf}.weight']
        got = awq.dequantize_gemm(t[base + '.qweight'], t[base + '.qzeros'], t[base + '.scales'], 4, 64).T if folder == 'awq' else gptq_weight(gptq, t, base)
        assert torch.equal(got.to(torch.float16), w.to(torch.float16)), (folder, hf, (got.float() - w).abs().max())
    print(folder, 'equal: 7 matrices')
