#!/usr/bin/env python3
"""Tailor beside its peers on this machine, in one run: rounds in turn, medians, ratios to the best peer.
usage: bench/compare.py MODEL.gguf [--rounds 3] [--prefill 512] [--decode 128] [--batch 8,16] [--tune DATA.jsonl [--tune-batch 32] [--only-tune]] [--isa avx2]
PEERS names the directory that bench/peers.sh filled; a peer that is not there is left out and said.
Writes bench/results/DATE-CPU-ISA-MODEL.json, adds a line a row to bench/results/history.csv and prints a table."""
import argparse, csv, datetime, json, os, re, statistics, subprocess, sys, tempfile

TAILOR = os.environ.get('TAILOR', 'build/tailor')
PEERS = os.environ.get('PEERS', '')


def run(cmd, env=None):
    r = subprocess.run(list(map(str, cmd)), capture_output=True, text=True, env=dict(os.environ, **(env or {})))
    if r.returncode: raise RuntimeError(f'{cmd[0]}: exit {r.returncode}: {(r.stderr or r.stdout).strip()[-300:]}')
    return r.stdout


def last_json(text): return json.loads([l for l in text.splitlines() if l.startswith(('{', '['))][-1])


def tailor(a, env):
    widths = ','.join(map(str, [1] + a.batch))
    r = last_json(run([TAILOR, '--json', '--threads', a.threads, 'bench', a.model, '--prefill', a.prefill, '--decode', a.decode, '--batch', widths, '--repeat', 3, '--no-scaling'], env))
    rows = {f'decode_{d["batch"]}_tok_s': d['tok_s'] for d in r['decode'][1:]}
    return dict(rows, prefill_tok_s=r['prefill'][0]['tok_s'], decode_tok_s=r['decode'][0]['tok_s'], resident_bytes=r['rss_bytes'], load_s=r['load_s'], detail=r)


def llama_cpp(a):
    r = json.loads(run([f'{PEERS}/llama-bench', '-m', a.model, '-t', a.threads, '-p', a.prefill, '-n', a.decode, '-r', 1, '-o', 'json']))
    return dict(llama_batched(a), prefill_tok_s=r[0]['avg_ts'], decode_tok_s=r[1]['avg_ts'])


def llama_batched(a):
    """Several sequences a step: 16 tokens of prompt each, then a.decode tokens of each."""
    if not a.batch: return {}
    out = run([f'{PEERS}/llama-batched-bench', '-m', a.model, '-t', a.threads, '-c', max(a.batch) * (a.decode + 32), '-npp', 16, '-ntg', a.decode,
               '-npl', ','.join(map(str, a.batch)), '--output-format', 'jsonl'])
    return {f'decode_{r["pl"]}_tok_s': r['speed_tg'] for r in map(json.loads, (l for l in out.splitlines() if l.startswith('{')))}


def openvino(a): return last_json(run([f'{PEERS}/venv/bin/python', 'bench/openvino_peer.py', a.model, a.prefill, a.decode]))


def tailor_tune(a, n_step):
    with tempfile.TemporaryDirectory() as d:
        r = last_json(run([TAILOR, '--json', '--threads', a.threads, 'tune', '--base', a.model, '--data', a.tune, '--data-format', 'chat', '--method', 'sft',
                           '--adapter', 'lora', '--rank', 16, '--alpha', 32, '--batch-size', a.tune_batch, '--max-steps', n_step, '--lr', '1e-3',
                           '--schedule', 'cosine', '--output', f'{d}/run'], a.env))
        return {'examples_s': a.tune_batch * r['steps'] / r['seconds'], 'peak_rss_bytes': r['peak_rss_bytes']}


def row_lengths(a, n_row):
    out = []
    with tempfile.TemporaryDirectory() as d:
        for line in open(a.tune).readlines()[:n_row]:
            messages = json.loads(line)['messages']; n = []
            for m, gen in ((messages, False), (messages[:-1], True)):
                json.dump({'messages': m}, open(f'{d}/c', 'w')); t = last_json(run([TAILOR, '--json', 'template', a.model, '--file', f'{d}/c'] + (['--add-generation-prompt'] if gen else [])))['text']
                open(f'{d}/t', 'w', newline='').write(t); n.append(len(last_json(run([TAILOR, '--json', 'tokenize', a.model, '--file', f'{d}/t']))['ids']))
            out.append([n[0], n[0] - n[1]])
    return out


def torch_tune(a, n_step):
    with tempfile.NamedTemporaryFile('w', suffix='.json') as f:
        json.dump(row_lengths(a, a.tune_batch * n_step), f); f.flush()
        return last_json(run([f'{PEERS}/venv/bin/python', 'bench/torch_peer.py', f.name, a.threads, a.tune_batch]))


def cpu():
    """Name and number of the model: virtual machines call several CPUs alike."""
    lines = [[x.strip() for x in l.split(':', 1)] for l in open('/proc/cpuinfo') if ':' in l]
    return ' '.join(filter(None, (next((v for k, v in lines if k == wanted), '') for wanted in ('model name', 'model')))) or '?'


HISTORY = ['date', 'commit', 'cpu', 'isa', 'threads', 'model', 'row', 'tailor', 'best_peer', 'ratio']


def add_history(out):
    """One line a row of a commit, so that a regression is seen where results are read one after the other."""
    path = 'bench/results/history.csv'
    new = not os.path.exists(path)
    with open(path, 'a', newline='') as f:
        w = csv.writer(f, lineterminator='\n')
        if new: w.writerow(HISTORY)
        for row, v in out['rows'].items():
            peers = [x for k, x in v.items() if k not in ('tailor', 'ratio')]
            best = (min if row.endswith(('_bytes', 'load_s')) else max)(peers) if peers else None
            w.writerow([out[k] for k in HISTORY[:6]] + [row] + ['' if x is None else f'{x:.4g}' for x in (v['tailor'], best, v.get('ratio'))])


def main():
    p = argparse.ArgumentParser(); p.add_argument('model'); p.add_argument('--rounds', type=int, default=3); p.add_argument('--prefill', type=int, default=512)
    p.add_argument('--decode', type=int, default=128); p.add_argument('--threads', type=int, default=len(os.sched_getaffinity(0))); p.add_argument('--tune')
    p.add_argument('--tune-steps', type=int, default=8); p.add_argument('--tune-batch', type=int, default=32); p.add_argument('--isa', default=''); p.add_argument('--only-tune', action='store_true')
    p.add_argument('--batch', type=lambda t: [int(x) for x in t.split(',')], default=[]); a = p.parse_args()
    a.env = {'TAILOR_ISA': a.isa} if a.isa else {}
    have = {'tailor': lambda: tailor(a, a.env)}
    if os.path.exists(f'{PEERS}/llama-bench'): have['llama.cpp'] = lambda: llama_cpp(a)
    if os.path.exists(f'{PEERS}/venv/bin/python'): have['openvino'] = lambda: openvino(a)
    rounds = {k: [] for k in have}
    if not a.only_tune:
        for _ in range(a.rounds):
            for k, fn in list(have.items()):
                try: rounds[k].append(fn())
                except Exception as ex:
                    print(f'left out: {k}: {ex}', file=sys.stderr)
                    if k == 'tailor': raise
                    have.pop(k)
    out = {'date': datetime.date.today().isoformat(), 'cpu': cpu(),
           'isa': rounds['tailor'][-1]['detail']['isa'] if rounds['tailor'] else a.isa or 'best', 'threads': a.threads, 'model': os.path.basename(a.model), 'commit': run(['git', 'rev-parse', '--short', 'HEAD']).strip(), 'rows': {}}
    for what in ['prefill_tok_s', 'decode_tok_s'] + [f'decode_{n}_tok_s' for n in a.batch]:
        med = {k: statistics.median(r[what] for r in v) for k, v in rounds.items() if v and what in v[0]}
        if med:
            peer = max((v for k, v in med.items() if k != 'tailor'), default=None)
            out['rows'][what] = dict(med, ratio=med['tailor'] / peer if peer else None)
    if rounds.get('tailor'):
        out['tailor'] = rounds['tailor'][-1]['detail']
        for what in ('resident_bytes', 'load_s'): out['rows'][what] = {'tailor': statistics.median(r[what] for r in rounds['tailor'])}
    if a.tune:
        t = [tailor_tune(a, a.tune_steps) for _ in range(a.rounds)]
        out['rows']['tune_examples_s'] = {'tailor': statistics.median(x['examples_s'] for x in t)}
        out['rows']['tune_peak_rss_bytes'] = {'tailor': max(x['peak_rss_bytes'] for x in t)}
        if os.path.exists(f'{PEERS}/venv/bin/python'):
            x = torch_tune(a, 4)
            out['rows']['tune_examples_s'].update({'pytorch+peft': x['examples_s'], 'ratio': out['rows']['tune_examples_s']['tailor'] / x['examples_s']})
            out['rows']['tune_peak_rss_bytes'].update({'pytorch+peft': x['peak_rss_bytes'], 'ratio': out['rows']['tune_peak_rss_bytes']['tailor'] / x['peak_rss_bytes']})
    for k, v in out['rows'].items(): print(f'{k:22}', '  '.join(f'{n} {x:.4g}' for n, x in v.items() if x is not None))
    name = re.sub(r'[^A-Za-z0-9.]+', '-', f'{out["date"]}-{out["cpu"]}-{out["isa"]}-{out["model"]}' + (f'-{os.path.splitext(os.path.basename(a.tune))[0]}' if a.only_tune else ''))
    json.dump(out, open(f'bench/results/{name}.json', 'w'), indent=1); print(f'bench/results/{name}.json')
    add_history(out)


main()
