#!/usr/bin/env python3
"""Load for a server that this program starts and stops itself. usage: tests/soak.py MODEL SECONDS"""
import http.client, json, os, random, re, signal, subprocess, sys, threading, time

TAILOR = os.environ.get('TAILOR', 'build/tailor')


def rss(pid): return int(re.search(r'VmRSS:\s+(\d+)', open(f'/proc/{pid}/status').read())[1]) * 1024


def client(port, end, rng, count):
    while time.monotonic() < end:
        kind = rng.choice(['whole', 'stream', 'leave', 'rubbish', 'unknown'])
        c = http.client.HTTPConnection('127.0.0.1', port, timeout=120)
        body = {'model': 'm', 'max_tokens': rng.randrange(1, 40), 'messages': [{'role': 'user', 'content': 'word ' * rng.randrange(1, 300)}]}
        if kind in ('stream', 'leave'): body['stream'] = True
        if kind == 'unknown': body['model'] = 'nobody'
        try:
            c.request('POST', '/v1/chat/completions', '{"model":' if kind == 'rubbish' else json.dumps(body), {'Content-Type': 'application/json'})
            r = c.getresponse()
            if kind == 'leave': r.read(40)
            else: r.read()
            want = {'rubbish': 400, 'unknown': 404}.get(kind, 200)
            count['ok' if r.status == want else f'{kind} {r.status}'] = count.get('ok' if r.status == want else f'{kind} {r.status}', 0) + 1
        except Exception as ex: count[f'{kind} {type(ex).__name__}'] = count.get(f'{kind} {type(ex).__name__}', 0) + 1
        finally: c.close()


def main():
    model, seconds = sys.argv[1], float(sys.argv[2])
    p = subprocess.Popen([TAILOR, 'serve', '--model', f'{model},name=m', '--port', '0', '--ctx', '1024'], stdout=subprocess.PIPE, text=True)
    try:
        port = int(re.search(r':(\d+)\s*$', p.stdout.readline())[1]); count, end = {}, time.monotonic() + seconds
        warm = threading.Thread(target=client, args=(port, time.monotonic() + min(60, seconds / 4), random.Random(0), count)); warm.start(); warm.join()
        before = rss(p.pid)
        threads = [threading.Thread(target=client, args=(port, end, random.Random(i), count)) for i in range(6)]
        for t in threads: t.start()
        for t in threads: t.join()
        after = rss(p.pid); p.send_signal(signal.SIGTERM); code = p.wait(60)
        print(f'{count}; memory {before / 1e6:.0f} -> {after / 1e6:.0f} MB; exit {code}')
        return 0 if set(count) == {'ok'} and after - before < 20e6 and code == 0 else 1
    finally:
        if p.poll() is None: p.kill()


sys.exit(main())
