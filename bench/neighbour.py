#!/usr/bin/env python3
"""What a busy neighbour costs: decode and prefill alone and beside processes that burn a core each, in alternation.

usage: bench/neighbour.py MODEL [--tailor build/tailor] [--pairs 5] [--burners 1] [--decode 160] [--prefill 1900] [--json]

Throughput should fall by no more than the neighbour takes: `kept` is throughput beside by throughput alone, `taken` the share
of all cores that the burners had meanwhile (loading included), and kept + taken is about 1 or more when nothing else is
lost. `others` is what third parties had: where that is not near 0, the figures are of little worth."""
import argparse, json, os, resource, statistics, subprocess, sys, time

TICK = os.sysconf('SC_CLK_TCK')


def machine_s():
    """CPU seconds that this machine has spent on anything"""
    f = [int(v) for v in open('/proc/stat').readline().split()[1:9]]
    return (sum(f) - f[3] - f[4]) / TICK


def process_s(pid):
    f = open(f'/proc/{pid}/stat').read().rsplit(')', 1)[1].split()
    return (int(f[11]) + int(f[12])) / TICK


def children_s():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def measure(a, what, n_burner):
    """(tokens a second, share of the machine that burners had, share that others had)"""
    burners = [subprocess.Popen([sys.executable, '-c', 'while True: pass']) for _ in range(n_burner)]
    time.sleep(0.1)
    ids, n = ('5,6,7', a.decode) if what == 'decode' else (','.join(['5'] * a.prefill), 1)
    wall, busy, own, burnt = time.monotonic(), machine_s(), children_s(), sum(process_s(b.pid) for b in burners)
    out = subprocess.run([a.tailor, 'generate', a.model, '--ids', ids, '--max-tokens', str(n), '--greedy', '--ignore-eos', '--json'],
                         stdout=subprocess.PIPE, check=True).stdout
    burnt = sum(process_s(b.pid) for b in burners) - burnt
    wall, busy, own = time.monotonic() - wall, machine_s() - busy, children_s() - own
    for b in burners: b.kill(), b.wait()
    cores = wall * len(os.sched_getaffinity(0))
    rate = json.loads(out)['timings']['decode_tok_s' if what == 'decode' else 'prompt_tok_s']
    return rate, burnt / cores, max(busy - own - burnt, 0) / cores


def main():
    p = argparse.ArgumentParser()
    p.add_argument('model')
    p.add_argument('--tailor', default='build/tailor')
    for name, value in dict(pairs=5, burners=1, decode=160, prefill=1900).items(): p.add_argument(f'--{name}', type=int, default=value)
    p.add_argument('--json', action='store_true')
    a = p.parse_args()
    result = {}
    for what in ('decode', 'prefill'):
        pairs = [(measure(a, what, 0), measure(a, what, a.burners)) for _ in range(a.pairs)]
        median = lambda f: statistics.median(map(f, pairs))
        result[what] = dict(alone_tok_s=median(lambda p: p[0][0]), beside_tok_s=median(lambda p: p[1][0]),
                            kept=median(lambda p: p[1][0] / p[0][0]), taken=median(lambda p: p[1][1]),
                            others=median(lambda p: max(p[0][2], p[1][2])))
    if a.json: print(json.dumps(result)); return
    for what, r in result.items():
        print(f'{what}: {r["alone_tok_s"]:.1f} tok/s alone, {r["beside_tok_s"]:.1f} beside: {r["kept"]:.0%} kept, '
              f'{r["taken"]:.0%} of the cores taken by the neighbour ({r["others"]:.0%} by others)')


main()
