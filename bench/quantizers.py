#!/usr/bin/env python3
"""Errors of Tailor's quantizers beside those of llama.cpp on the same tensors: root-mean-square error of both and the ratio.
usage: PEERS=DIR DIR/venv/bin/python bench/quantizers.py [--model FILE.gguf] [--rows 64] [--weights] [--types Q4_K,Q6_K]
Tensors: normal, heavy-tailed (Student's t with 5, 3 and 2 degrees of freedom), and the matrices of a model whose rows divide
by 256 (--model; from Q4_K or Q6_K the same type again has no error in either). --weights draws an importance matrix; the
errors are then weighted by it. PEERS is the directory that bench/peers.sh filled."""
import argparse, ctypes, os, subprocess, sys, tempfile
import numpy as np
import gguf

TAILOR, PEERS = os.environ.get('TAILOR', 'build/tailor'), os.environ.get('PEERS', '')
TYPES = ['Q8_0', 'Q6_K', 'Q5_K', 'Q5_1', 'Q5_0', 'Q4_K', 'Q4_1', 'Q4_0', 'Q3_K', 'Q2_K']
COLS = 1024


def tensors(a):
    rng = np.random.default_rng(1)
    yield 'normal', rng.standard_normal((a.rows, COLS))
    for df in (5, 3, 2): yield f't{df}', rng.standard_t(df, (a.rows, COLS))
    for t in gguf.GGUFReader(a.model).tensors if a.model else []:
        if len(t.shape) == 2 and t.shape[0] % 256 == 0 and t.name.startswith('blk.'):
            yield t.name[:-7] + '/' + t.tensor_type.name, gguf.quants.dequantize(t.data, t.tensor_type)[:a.rows]


def write(path, named):
    w = gguf.GGUFWriter(path, 'none')
    for name, x in named: w.add_tensor(name, np.ascontiguousarray(x, np.float32))
    w.write_header_to_file(); w.write_kv_data_to_file(); w.write_tensors_to_file(); w.close()


def ours(d, kind, weighted):
    out = f'{d}/out.gguf'
    r = subprocess.run([TAILOR, 'quantize', f'{d}/x.gguf', out, '--type', kind] + (['--imatrix', f'{d}/w.gguf'] if weighted else []), capture_output=True, text=True)
    if r.returncode: sys.exit(r.stderr)
    return {t.name: t.data for t in gguf.GGUFReader(out).tensors}


def ggml():
    lib = ctypes.CDLL(os.path.join(os.path.dirname(os.path.realpath(f'{PEERS}/llama-bench')), 'libggml-base.so'))
    f = lib.ggml_quantize_chunk
    f.restype, f.argtypes = ctypes.c_size_t, [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    return f


def theirs(f, kind, x, w):
    kind = gguf.GGMLQuantizationType[kind]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    out = np.zeros((x.shape[0], x.shape[1] // block * size), np.uint8)
    f(kind.value, x.ctypes.data, out.ctypes.data, 0, *x.shape, None if w is None else w.ctypes.data)
    return out


def rmse(kind, data, x, w):
    y = gguf.quants.dequantize(data, gguf.GGMLQuantizationType[kind]).astype(np.float64)
    w = np.ones(x.shape[1]) if w is None else w.astype(np.float64)
    return np.sqrt(((y - x) ** 2 * w).sum() / (w.sum() * x.shape[0]))


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--model'); p.add_argument('--rows', type=int, default=64); p.add_argument('--weights', action='store_true'); p.add_argument('--types', default=','.join(TYPES))
    a = p.parse_args()
    named = {f't{i}.weight': (label, np.ascontiguousarray(x, np.float32)) for i, (label, x) in enumerate(tensors(a))}
    rng = np.random.default_rng(2)
    weights = {n: np.exp(1.5 * rng.standard_normal(x.shape[1])).astype(np.float32) if a.weights else None for n, (_, x) in named.items()}
    f, worst = ggml(), {}
    with tempfile.TemporaryDirectory() as d:
        write(f'{d}/x.gguf', [(n, x) for n, (_, x) in named.items()])
        if a.weights:
            write(f'{d}/w.gguf', [e for n, w in weights.items() for e in ((n + '.in_sum2', w[None]), (n + '.counts', np.ones((1, 1))))])
        print(f'{"type":6}{"tensor":32}{"tailor":>12}{"llama.cpp":>12}{"ratio":>8}')
        for kind in a.types.split(','):
            got = ours(d, kind, a.weights)
            for n, (label, x) in named.items():
                mine, peer = rmse(kind, got[n], x, weights[n]), rmse(kind, theirs(f, kind, x, weights[n]), x, weights[n])
                ratio = mine / peer if peer else (1.0 if mine == 0 else float('inf'))
                worst[kind] = max(worst.get(kind, 0), ratio)
                print(f'{kind:6}{label:32}{mine:12.4e}{peer:12.4e}{ratio:8.3f}')
    print('worst ratio: ' + ', '.join(f'{k} {v:.3f}' for k, v in worst.items()))


main()
