#!/usr/bin/env python3
"""kill -9 during `tailor tune` at random moments; the next --resume must end with the adapter bytes of a run that nobody
killed. Tiny model, many steps, a checkpoint every few steps, so that kills fall into every phase.
usage: tests/kill_tune.py N_KILLS"""
import json, os, random, shutil, signal, subprocess, sys, tempfile, time

TAILOR, MODEL = os.environ.get('TAILOR', 'build/tailor'), 'tests/data/golden/models/llama'


def tune(out, home, *more):
    cmd = [TAILOR, '--home', home, '--threads', '1', 'tune', *more]
    return subprocess.Popen(cmd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def wait(p, what):
    err = p.communicate()[1]
    if p.returncode: raise RuntimeError(f'{what}: exit {p.returncode}: {err.strip()[-300:]}')


def main():
    n, rng = int(sys.argv[1]), random.Random(7)
    d = tempfile.mkdtemp(prefix='tailor-kill-'); home = f'{d}/home'
    with open(f'{d}/data.jsonl', 'w') as f:
        for _ in range(64):
            ids = [rng.randrange(3, 280) for _ in range(rng.randrange(12, 40))]
            f.write(json.dumps({'ids': ids, 'labels': [-100] * 6 + ids[6:]}) + '\n')
    fresh = ['--base', MODEL, '--data', f'{d}/data.jsonl', '--data-format', 'tokens', '--method', 'sft', '--adapter', 'lora', '--rank', '4',
             '--alpha', '8', '--batch-size', '8', '--epochs', '40', '--lr', '1e-2', '--save-every', '5', '--seed', '3']
    start = time.monotonic(); wait(tune('', home, *fresh, '--output', f'{d}/whole'), 'uninterrupted run'); whole = time.monotonic() - start
    want = open(f'{d}/whole/adapter/adapter_model.safetensors', 'rb').read()
    killed = same = 0
    for k in range(n):
        out = f'{d}/run'; shutil.rmtree(out, ignore_errors=True); p = tune(out, home, *fresh, '--output', out)
        time.sleep(rng.uniform(0, whole * 1.05)); p.send_signal(signal.SIGKILL); p.communicate(); killed += p.returncode == -9
        for again in range(2):      # half of the resumed runs are killed too
            if again == 0 and rng.random() < .5:
                q = tune(out, home, '--resume', out); time.sleep(rng.uniform(0, whole)); q.send_signal(signal.SIGKILL); q.communicate()
        if os.path.exists(f'{out}/run.yaml'): wait(tune(out, home, '--resume', out), f'resume after kill {k}')
        else:
            shutil.rmtree(out, ignore_errors=True); wait(tune(out, home, *fresh, '--output', out), f'fresh run after kill {k}')
        got = open(f'{out}/adapter/adapter_model.safetensors', 'rb').read()
        if got == want: same += 1
        else: print(f'not ok kill {k}: the adapter differs from the uninterrupted run ({out} kept)'); return 1
        steps = [json.loads(l)['step'] for l in open(f'{out}/events.jsonl') if '"step"' in l and json.loads(l).get('event') == 'step']
        if steps != sorted(set(steps)): print(f'not ok kill {k}: events repeat or skip steps: {steps[:20]}'); return 1
    shutil.rmtree(d)
    print(f'ok kill -9: {killed} of {n} runs were killed before their end, {same} ended with the same adapter bytes')
    return 0 if killed >= n // 2 else 1


sys.exit(main())
