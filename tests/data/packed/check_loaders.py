#!/usr/bin/env python3
"""Compares expected.safetensors of every directory here with what the formats' own loaders dequantize.
usage: check_loaders.py DIR_OF_AUTO_GPTQ DIR_OF_AUTOAWQ   (unpacked: DIR/auto_gptq/..., DIR/awq/...)
Needs torch, safetensors and transformers (its FP8 loader, 5.24 here). Made with auto-gptq 0.7.1 (a wheel, of which only Python is
read: pip download --no-deps --only-binary :all: --python-version 3.10) and autoawq 0.2.9 (the source package) from PyPI."""
import importlib.util, os, sys
import torch
from safetensors.torch import load_file
from transformers.integrations.finegrained_fp8 import Fp8Dequantize

HERE = os.path.dirname(os.path.abspath(__file__))
NAMES = {'self_attn.q_proj': 'attn_q', 'self_attn.k_proj': 'attn_k', 'self_attn.v_proj': 'attn_v', 'self_attn.o_proj': 'attn_output',
         'mlp.gate_proj': 'ffn_gate', 'mlp.up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down'}


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m)
    return m


def gptq_weight(m, t, base, zeros):
    q, s = t[base + '.qweight'], t[base + '.scales']
    layer = m.QuantLinear(4, q.shape[0] * 8 // s.shape[0], q.shape[0] * 8, q.shape[1], False)
    layer.qweight, layer.qzeros, layer.scales, layer.g_idx = q, zeros, s, t[base + '.g_idx']
    layer.kernel_switch_threshold = 0  # the way in plain torch
    return layer(torch.eye(q.shape[0] * 8, dtype=torch.float16)).T


def gptq_v2_weight(m, t, base):
    """This loader knows v1 files, where zero points are stored less one and 0 cannot be told from 16: there, NaN."""
    shift = torch.arange(0, 32, 4)
    z = t[base + '.qzeros'].unsqueeze(-1) >> shift & 15
    w = gptq_weight(m, t, base, ((z - 1 & 15) << shift).sum(-1).to(torch.int32))
    return torch.where(z.flatten(1)[t[base + '.g_idx']].T == 0, torch.nan, w)


def awq_weight(m, t, base):
    return m.dequantize_gemm(t[base + '.qweight'], t[base + '.qzeros'], t[base + '.scales'], 4, 64).T


def fp8_weight(loader, t, base):
    """the loader wants whole blocks of 128 x 128, DeepSeek's files need not have them: padded, and cut again"""
    q, s = t[base + '.weight'], t[base + '.weight_scale_inv']
    n_out, n_in = q.shape
    whole = torch.zeros(128 * s.shape[0], 128 * s.shape[1])
    whole[:n_out, :n_in] = q.to(torch.float32)
    return loader._dequantize_one(loader, whole.to(torch.float8_e4m3fn), s, torch.float32)[:n_out, :n_in].to(torch.bfloat16)


gptq, gptq_order = (load(name, f'{sys.argv[1]}/auto_gptq/nn_modules/qlinear/{name}.py') for name in ('qlinear_cuda_old', 'qlinear_cuda'))
awq = load('packing', f'{sys.argv[2]}/awq/utils/packing_utils.py')
in_order = lambda t, base: gptq_weight(gptq, t, base, t[base + '.qzeros'])
weights = {'gptq-sym': in_order, 'gptq-asym': in_order, 'gptq-order': lambda t, base: gptq_v2_weight(gptq_order, t, base),
           'awq': lambda t, base: awq_weight(awq, t, base), 'fp8': lambda t, base: fp8_weight(Fp8Dequantize, t, base)}
for folder, weight in weights.items():
    t, want = load_file(f'{HERE}/{folder}/model.safetensors'), load_file(f'{HERE}/{folder}/expected.safetensors')
    skipped = 0
    for hf, gguf in NAMES.items():
        got, w = weight(t, f'model.layers.0.{hf}'), want[f'blk.0.{gguf}.weight']
        off = (got != w.to(got.dtype)) & ~got.isnan()
        assert not off.any() and not w.isnan().any(), (folder, hf, (got.float() - w)[off][:8])
        skipped += int(got.isnan().sum())
    print(folder, f'equal: {len(NAMES)} matrices' + (f', {skipped} values the loader cannot tell' if skipped else ''))
