#!/usr/bin/env python3
"""Runs every test of the project and counts: structure rules, unit programs (release, and again under AddressSanitizer
and UndefinedBehaviorSanitizer), programs with threads under ThreadSanitizer, integration scripts.

usage: tests/run.py [PATTERN...]   only programs whose path contains a pattern

A unit program is a cmocka executable (TAP output); a script prints `ok NAME`, `not ok NAME reason`, `skip NAME reason`.
A program that dies, or leaves out tests it announced, is a failure of its own."""
import concurrent.futures, glob, os, re, subprocess, sys, threading, time

TIMEOUT_S = 900
# the real model, long property tests, statistics of samples, and gradients that test_tape_full takes through the same code:
# under a sanitizer they say nothing new and take minutes
NOT_UNDER_ASAN = {'test_smol', 'test_kern_emulated', 'test_sampler_oracle', 'test_tape'}


class Counts:
    def __init__(self): self.passed, self.failed, self.skipped, self.lock = 0, [], {}, threading.Lock()

    def skip(self, reason): self.skipped[reason] = self.skipped.get(reason, 0) + 1


def run(cmd, env):
    try:
        r = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env,
                           timeout=TIMEOUT_S, text=True, errors='replace')
        return r.returncode, r.stdout
    except subprocess.TimeoutExpired as ex:
        out = ex.stdout or ''
        return 'timeout', out if isinstance(out, str) else out.decode(errors='replace')


def read_tap(out):
    """(passed, failed names, skipped names, announced) of one cmocka program"""
    passed, failed, skipped, announced = 0, [], [], None
    for line in out.splitlines():
        if m := re.fullmatch(r'1\.\.(\d+)', line): announced = (announced or 0) + int(m[1])
        elif m := re.fullmatch(r'(?:not )?ok \d+ # SKIP ?(.*)', line): skipped.append(m[1])
        elif m := re.fullmatch(r'ok \d+ - (.*)', line): passed += 1
        elif m := re.fullmatch(r'not ok \d+ - (.*)', line): failed.append(m[1])
    return passed, failed, skipped, announced


def unit(path, tag, env, c):
    code, out = run([path], env)
    passed, failed, skipped, announced = read_tap(out)
    name = os.path.basename(path) + tag
    with c.lock: # two programs may end at once
        c.passed += passed
        reasons = re.findall(r'^# ?skip[a-z]*: *(.*)$', out, re.M)
        for s in skipped: c.skip(reasons[0] if reasons else f'{name} {s}')
        missing = announced is None or passed + len(failed) + len(skipped) < announced
        if failed or missing or code != 0:
            c.failed += [f'{name} {f}' for f in failed] or [f'{name}: exit {code} after {passed} of {announced} tests']
            print(f'--- {name}: exit {code}\n{out[-6000:]}', flush=True)


def script(path, env, c):
    code, out = run([path], env)
    name = os.path.basename(path)
    lines = out.splitlines()
    passed = sum(l.startswith('ok ') for l in lines)
    failed = [f'{name} {l[7:]}' for l in lines if l.startswith('not ok ')]
    skips = [l for l in lines if l.startswith('skip ')]
    with c.lock:
        c.passed += passed
        for l in skips: c.skip(f'{name} {l[5:]}')
        if failed or code != 0 or not (passed or skips):
            c.failed += failed or [f'{name}: exit {code} after {passed} checks']
            print(f'--- {name}: exit {code}\n{out[-6000:]}', flush=True)


def main():
    want = sys.argv[1:]
    chosen = lambda p: not want or any(w in p for w in want)
    env = dict(os.environ, CMOCKA_MESSAGE_OUTPUT='TAP', TAILOR='build/tailor', LC_ALL='C.UTF-8',
               ASAN_OPTIONS='detect_leaks=1:allocator_may_return_null=1', UBSAN_OPTIONS='print_stacktrace=1')
    c, start = Counts(), time.monotonic()

    def each(jobs, at_once=1):
        def timed(job):
            path, fn = job
            t = time.monotonic()
            fn(path)
            print(f'{path}: {time.monotonic() - t:.1f} s', flush=True)
        with concurrent.futures.ThreadPoolExecutor(at_once) as pool: list(pool.map(timed, (j for j in jobs if chosen(j[0]))))

    units = [os.path.splitext(os.path.basename(p))[0] for p in sorted(glob.glob('tests/unit/test_*.c'))]
    threaded = [p for p in sorted(glob.glob('build/tsan/tests/unit/test_*')) if '.' not in os.path.basename(p)]
    each([(p, lambda p: script(p, env, c)) for p in sorted(glob.glob('tests/structure/*.py') + glob.glob('tests/structure/*.sh'))])
    each([(f'build/tests/unit/{u}', lambda p: unit(p, '', env, c)) for u in units] +
         [(f'build/asan/tests/unit/{u}', lambda p: unit(p, ' (asan)', env, c)) for u in units if u not in NOT_UNDER_ASAN] +
         [(p, lambda p: unit(p, ' (tsan)', env, c)) for p in threaded] +
         [(p, lambda p: script(p, env, c)) for p in sorted(glob.glob('tests/integration/*.sh'))], at_once=2)
    for reason, n in sorted(c.skipped.items()): print(f'skipped: {reason}' + (f' ({n})' if n > 1 else ''))
    for f in c.failed: print(f'FAILED: {f}')
    print(f'{time.monotonic() - start:.0f} s')
    print(f'{c.passed} passed, {len(c.failed)} failed, {sum(c.skipped.values())} skipped')
    return 1 if c.failed or not c.passed else 0


sys.exit(main())
