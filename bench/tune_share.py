#!/usr/bin/env python3
"""The share of the float32 floor that tuning reaches when both are measured in turns: on a shared machine a floor of
another minute says little.
usage: bench/tune_share.py TAILOR MODEL ROWS.jsonl PARAMETERS [STEPS]      (4 x PARAMETERS operations a token)"""
import json, os, signal, statistics, subprocess, sys, tempfile, time

tailor, model, rows, n_param = sys.argv[1:4] + [float(sys.argv[4])]
steps = (sys.argv[5:] or ['4'])[0]


def floor():
    out = subprocess.run([tailor, 'bench', '--floors', '--json'], capture_output=True, text=True, check=True).stdout
    return json.loads(out)['floors']['fp32_gflops']


with tempfile.TemporaryDirectory() as d:
    run = subprocess.Popen([tailor, 'tune', '--base', model, '--data', rows, '--batch-size', '4', '--max-length', '512',
                            '--max-steps', steps, '--output', d + '/run'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    events = d + '/run/events.jsonl'
    while run.poll() is None and (not os.path.exists(events) or os.path.getsize(events) == 0):
        time.sleep(0.05)  # the probe before the first step is not tuning
    floors, paused = [], 0.0
    while run.poll() is None:
        time.sleep(1)
        begin = time.monotonic()
        run.send_signal(signal.SIGSTOP)
        floors.append(floor())
        run.send_signal(signal.SIGCONT)
        paused += time.monotonic() - begin
    if run.returncode: sys.exit(f'tune ended with {run.returncode}; run it by hand to see why')
    done = [json.loads(line) for line in open(events)][-1]
rate = done['tok_s'] * done['seconds'] / (done['seconds'] - paused)
gflops, mean = 4 * n_param * rate / 1e9, statistics.mean(floors)
print(f'{rate:.0f} tokens/s = {gflops:.0f} GFLOPS, {gflops / mean:.0%} of the mean of {len(floors)} floors '
      f'({min(floors):.0f} to {max(floors):.0f}, mean {mean:.0f})')
