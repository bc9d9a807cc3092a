#!/usr/bin/env python3
"""Rows for tuning measurements, out of the customer messages in examples/banking77 (CC BY 4.0).
usage: bench/tune_rows.py full|shared OUT.jsonl [N_ROW]
full: answers that fill a row, about 512 tokens; shared: short questions behind one system prompt of about 600 tokens."""
import csv, itertools, json, os, sys

kind, out, n_row = sys.argv[1], sys.argv[2], int((sys.argv[3:] or [128])[0])
with open(os.path.join(os.path.dirname(__file__), '../examples/banking77/train.csv'), newline='') as f:
    rows = list(csv.DictReader(f))
text, label = (list(rows[0])[i] for i in (0, 1))
words = itertools.cycle(' '.join(r[text].strip() for r in rows).split())


def some(n): return ' '.join(itertools.islice(words, n))


system = some(500)
with open(out, 'w') as f:
    for r in itertools.islice(itertools.cycle(rows[::7]), n_row):
        full = [{'role': 'user', 'content': 'Go on.'}, {'role': 'assistant', 'content': some(410)}]
        shared = [{'role': 'system', 'content': system}, {'role': 'user', 'content': r[text]}, {'role': 'assistant', 'content': r[label]}]
        f.write(json.dumps({'messages': full if kind == 'full' else shared}) + '\n')
