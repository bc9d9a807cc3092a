#!/usr/bin/env python3
"""Makes the small quantized directories beside it: codes, zero points and scales are drawn, packed as the formats publish
it, and the values that they mean are stored in expected.safetensors under GGUF names.

  gptq-sym     AutoGPTQ: zero points 8, groups of 32 in order
  gptq-asym    AutoGPTQ: any zero points (0 among them), groups of 32
  gptq-order   AutoGPTQ v2 checkpoint: groups out of order (desc_act), any zero points
  awq          AutoAWQ gemm: any zero points, groups of 64
  fp8          DeepSeek: e4m3 with float32 scales of 128 x 128 blocks, sides that are no multiples of 128

usage: make.py (needs numpy and safetensors; writes into its own directory)"""
import json, os
import numpy as np
from safetensors.numpy import save_file
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]  # bits 4 i of a word hold the output AWQ_ORDER[i] of its eight
rng = np.random.default_rng(20261125)


def pack_rows(q):
    """int4 [n, m] -> int32 [n / 8, m]: row r at bits 4 (r % 8)"""
    n, m = q.shape
    w = np.zeros((n // 8, m), np.uint32)
    for r in range(n): w[r // 8] |= q[r].astype(np.uint32) << np.uint32(4 * (r % 8))
    return w.view(np.int32)


def pack_cols(q, order=range(8)):
    """int4 [n, m] -> int32 [n, m / 8]: bits 4 i hold column order[i] of each eight"""
    n, m = q.shape
    w = np.zeros((n, m // 8), np.uint32)
    for i, c in enumerate(order): w |= q[:, c::8].astype(np.uint32) << np.uint32(4 * i)
    return w.view(np.int32)


def int4(name, method, n_out, n_in, group, tensors, expected, gguf, sym=False, order=False):
    n_group = n_in // group
    q = rng.integers(0, 16, (n_in, n_out))
    z = np.full((n_group, n_out), 8) if sym else rng.integers(0, 16, (n_group, n_out))
    s = (rng.uniform(0.004, 0.02, (n_group, n_out))).astype(np.float16)
    g = np.arange(n_in) // group
    if order: g = rng.permutation(g)
    w = s[g].astype(np.float32) * (q - z[g]).astype(np.float32)  # exact: 11 + 5 bits
    expected[gguf] = (w.astype(np.float16) if order else w).T.astype(np.float32).copy()
    if method == 'gptq':
        stored = z if order else (z - 1) & 15  # v2 stores zero points as they are, v1 less one
        tensors[name + '.qweight'], tensors[name + '.qzeros'] = pack_rows(q), pack_cols(stored)
        tensors[name + '.g_idx'] = g.astype(np.int32)
    else:
        tensors[name + '.qweight'], tensors[name + '.qzeros'] = pack_cols(q, AWQ_ORDER), pack_cols(z, AWQ_ORDER)
    tensors[name + '.scales'] = s


def e4m3(b):
    e, m = (b >> 3) & 15, b & 7
    v = np.where(e == 0, m * 2.0 ** -9, (1 + m / 8) * 2.0 ** (e.astype(float) - 7))
    return np.where(b & 128, -v, v).astype(np.float32)


def to_bf16(x):
    u = x.astype(np.float32).view(np.uint32)
    return ((u + 0x7fff + ((u >> 16) & 1)) & 0xffff0000).view(np.float32)


def fp8(name, n_out, n_in, tensors, expected, gguf):
    b = rng.integers(0, 256, (n_out, n_in)).astype(np.uint8)
    b[(b & 127) == 127] = 0  # no NaN
    s = rng.uniform(0.5e-4, 2e-4, (-(-n_out // 128), -(-n_in // 128))).astype(np.float32)
    expected[gguf] = to_bf16(e4m3(b) * np.repeat(np.repeat(s, 128, 0), 128, 1)[:n_out, :n_in])
    tensors[name + '.weight'], tensors[name + '.weight_scale_inv'] = ('F8_E4M3', b), s


def write(path, tensors):
    """as save_file, with types that numpy lacks given as (name, bytes)"""
    names = {'float16': 'F16', 'float32': 'F32', 'int32': 'I32'}
    head, data, at = {}, [], 0
    for k, v in tensors.items():
        kind, a = v if isinstance(v, tuple) else (names[str(v.dtype)], v)
        raw = np.ascontiguousarray(a).tobytes()
        head[k] = {'dtype': kind, 'shape': list(a.shape), 'data_offsets': [at, at + len(raw)]}
        data.append(raw); at += len(raw)
    h = json.dumps(head).encode(); h += b' ' * (-len(h) % 8)
    with open(path, 'wb') as f: f.write(struct.pack('<Q', len(h)) + h + b''.join(data))


def model(folder, quantization, n_embd, n_ff, matrix):
    n_head, n_kv, d_head, n_vocab = 4, 2, n_embd // 4, 40
    shapes = {'self_attn.q_proj': ('attn_q', n_head * d_head, n_embd), 'self_attn.k_proj': ('attn_k', n_kv * d_head, n_embd),
              'self_attn.v_proj': ('attn_v', n_kv * d_head, n_embd), 'self_attn.o_proj': ('attn_output', n_embd, n_head * d_head),
              'mlp.gate_proj': ('ffn_gate', n_ff, n_embd), 'mlp.up_proj': ('ffn_up', n_ff, n_embd), 'mlp.down_proj': ('ffn_down', n_embd, n_ff)}
    tensors, expected = {}, {}
    tensors['model.embed_tokens.weight'] = (rng.standard_normal((n_vocab, n_embd)) * 0.02).astype(np.float16)
    tensors['model.norm.weight'] = np.ones(n_embd, np.float16)
    for norm in ('input_layernorm', 'post_attention_layernorm'): tensors[f'model.layers.0.{norm}.weight'] = np.ones(n_embd, np.float16)
    for hf, (gguf, n_out, n_in) in shapes.items():
        matrix(f'model.layers.0.{hf}', n_out, n_in, tensors, expected, f'blk.0.{gguf}.weight')
    os.makedirs(f'{HERE}/{folder}', exist_ok=True)
    config = {'model_type': 'qwen2', 'hidden_size': n_embd, 'intermediate_size': n_ff, 'num_hidden_layers': 1, 'num_attention_heads': n_head,
              'num_key_value_heads': n_kv, 'vocab_size': n_vocab, 'max_position_embeddings': 64, 'rms_norm_eps': 1e-6, 'hidden_act': 'silu',
              'tie_word_embeddings': True, 'quantization_config': quantization}
    json.dump(config, open(f'{HERE}/{folder}/config.json', 'w'), indent=1)
    write(f'{HERE}/{folder}/model.safetensors', tensors)
    save_file(expected, f'{HERE}/{folder}/expected.safetensors')


gptq = {'quant_method': 'gptq', 'bits': 4, 'group_size': 32, 'damp_percent': 0.01}
model('gptq-sym', {**gptq, 'desc_act': False, 'sym': True}, 64, 96, lambda n, o, i, t, x, g: int4(n, 'gptq', o, i, 32, t, x, g, sym=True))
model('gptq-asym', {**gptq, 'desc_act': False, 'sym': False}, 64, 96, lambda n, o, i, t, x, g: int4(n, 'gptq', o, i, 32, t, x, g))
model('gptq-order', {**gptq, 'desc_act': True, 'sym': False, 'checkpoint_format': 'gptq_v2'}, 64, 96,
      lambda n, o, i, t, x, g: int4(n, 'gptq', o, i, 32, t, x, g, order=True))
model('awq', {'quant_method': 'awq', 'bits': 4, 'group_size': 64, 'zero_point': True, 'version': 'gemm'}, 64, 128,
      lambda n, o, i, t, x, g: int4(n, 'awq', o, i, 64, t, x, g))
model('fp8', {'quant_method': 'fp8', 'fmt': 'e4m3', 'activation_scheme': 'dynamic', 'weight_block_size': [128, 128]}, 160, 200, fp8)
