#!/usr/bin/env python3
"""The promise of `auto` for every quantization of a model: mean KL divergence from `reference` below 2e-3, perplexity within 0.5 %.
usage: precision_bounds.py MODEL.gguf [TYPE...]   prints a line a type; exit status 1 when one misses the bound"""
import csv, json, os, subprocess, sys, tempfile
TYPES = 'Q8_0 Q5_1 Q5_0 Q4_1 Q4_0 Q6_K Q5_K_M Q4_K_M Q3_K_M Q2_K F16 BF16'.split()
root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
tailor = os.path.join(root, 'build/tailor')
model, types = sys.argv[1], sys.argv[2:] or TYPES


def result(*args):
    return json.loads(subprocess.run([tailor, '--json', *args], check=True, stdout=subprocess.PIPE).stdout)


missed = 0
with tempfile.TemporaryDirectory() as tmp:
    with open(os.path.join(root, 'examples/banking77/test.csv'), newline='') as f:
        texts = [row[0] for row in list(csv.reader(f))[1:]]
    rows = os.path.join(tmp, 'rows.jsonl')
    with open(rows, 'w') as f:  # contexts of a page or so, and short ones
        for i in range(0, 200, 20):
            f.write(json.dumps({'text': '\n'.join(texts[i:i + 20])}) + '\n' + json.dumps({'text': texts[i]}) + '\n')
    for t in types:
        out = os.path.join(tmp, 'model.gguf')
        subprocess.run([tailor, 'quantize', model, out, '--type', t], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        args = ('perplexity', out, '--file', rows, '--field', 'text')
        auto, exact = result(*args, '--against-precision', 'reference'), result(*args, '--precision', 'reference')
        ratio = auto['perplexity'] / exact['perplexity']
        ok = auto['mean_kld'] < 2e-3 and abs(ratio - 1) < 5e-3
        missed += not ok
        print(f"{'ok' if ok else 'not ok'} auto of {t}: mean KL divergence {auto['mean_kld']:.1e}, perplexity x {ratio:.4f}, {auto['n_predicted']} tokens", flush=True)
        os.remove(out)
    # keys and values in q8_0 stay within the bounds too
    args = ('perplexity', model, '--file', rows, '--field', 'text')
    short, exact = result(*args, '--kv-type', 'q8_0', '--against-precision', 'reference'), result(*args, '--precision', 'reference')
    ratio = short['perplexity'] / exact['perplexity']
    ok = short['mean_kld'] < 2e-3 and abs(ratio - 1) < 5e-3
    missed += not ok
    print(f"{'ok' if ok else 'not ok'} keys and values in q8_0: mean KL divergence {short['mean_kld']:.1e}, perplexity x {ratio:.4f}", flush=True)
sys.exit(missed > 0)
