#!/usr/bin/env python3
"""Rules of the house that a compiler does not keep: include directions, one module a third-party header, a comment for
every public function, a reader for every parameter, banned functions, file heads, lengths, words that do not belong."""
import glob, os, re, sys

ROOMS = dict(base='ground', sys='ground', json='ground', param='ground', archive='ground', table='ground', store='ground',
             http='ground', report='ground', kernels='compute', device='compute', formats='compute', text='compute',
             model='compute', engine='compute', convert='compute', measure='compute', plan='lifecycle', hub='lifecycle',
             data='lifecycle', train='lifecycle', rules='lifecycle', eval='lifecycle', fit='lifecycle', kb='lifecycle',
             registry='govern', jobs='govern', guard='govern', gateway='govern', api='doors', cli='doors')
# who may include whom (docs/architecture.md, section 2); base and sys are open to all
MAY = dict(fit='train eval convert plan measure data registry jobs engine model report json param',
           train='engine model data rules plan text formats device report json param registry',
           eval='engine rules data registry report text table json param', kb='engine registry text json rules archive',
           convert='model formats device kernels text json registry', data='rules plan text json table registry',
           plan='formats registry report json table param', jobs='registry json param',
           hub='http formats archive registry json', gateway='guard http registry store json text',
           measure='engine model device kernels json', engine='model text device', model='device formats json',
           rules='text json table store', registry='store json', guard='store json', device='kernels', text='formats json',
           table='archive', report='json table', formats='json', param='json', kernels='', http='', json='', archive='',
           store='', base='', sys='')
# headers of enums that stand for the room below them: quantization types, element types, segments
ALSO = {('model', 'kernels'), ('engine', 'kernels'), ('engine', 'formats'), ('formats', 'kernels')}
# third-party header -> the rooms that may include it
THIRD = {'microhttpd.h': ['http'], 'curl/': ['http'], 'yaml.h': ['param'], 'openssl/': ['sys'], 'sqlite3.h': ['store'],
         'libpq': ['store'], 'zip.h': ['archive'], 'lua': ['rules'], 'pcre2': ['sys'], 'hwloc': ['sys'], 'seccomp': ['sys'], 'sodium': ['guard'],
         'immintrin.h': ['kernels'], 'cpuid.h': ['kernels', 'sys']}
NO_JSON = {'kernels', 'device', 'engine'}
BANNED = r'\b(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atof|gets|rand|srand|localtime|gmtime|system|popen|alloca)\s*\('
WORDS = r'/work/|\bhelper-\d|\bfarm-|\bTODO\b|\bFIXME\b|\bXXX\b'
MAX_FILE, MAX_FUNCTION = 600, 60

bad = {}


def report(rule, text): bad.setdefault(rule, []).append(text)


def room(path):
    p = path.split('/')
    return p[2] if len(p) > 3 and p[0] == 'src' else None


def check_includes(path, text):
    r = room(path)
    if ROOMS.get(r) != path.split('/')[1]: report('rooms', f'{path}: room "{r}" is not in the plan of the house')
    for m in re.finditer(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text, re.M):
        kind, inc = m.groups()
        if kind == '"':
            p = inc.split('/')
            if len(p) < 3: report('includes', f'{path}: "{inc}" is not given by room'); continue
            target = p[1]
            if inc.endswith('_int.h') and target != r: report('includes', f'{path}: {inc} is private to its room')
            ok = target in (r, 'base', 'sys') or r == 'cli' or (r == 'api' and target != 'cli') or \
                target in MAY.get(r, '').split() or (r, target) in ALSO
            if not ok: report('includes', f'{path}: {r} may not include {target}')
        else:
            for head, rooms in THIRD.items():
                if inc.startswith(head) and r not in rooms: report('third-party', f'{path}: <{inc}> belongs to {", ".join(rooms)}')
            if inc == 'jansson.h' and r in NO_JSON: report('third-party', f'{path}: {r} knows no JSON')


def check_comments(path, text):
    """A comment covers the declarations under it until the next blank line."""
    covered, in_comment, depth = False, False, 0
    for n, line in enumerate(text.split('\n'), 1):
        s = line.strip()
        starts_comment = s.startswith('/*')
        if starts_comment: covered = True
        if starts_comment and '*/' not in s: in_comment = True; continue
        if in_comment: in_comment = '*/' not in s; continue
        if not s: covered = False
        if depth == 0 and re.match(r'^[a-z][\w\s\*]*?\b[a-z_]\w*\(', s) and not s.startswith(('typedef', 'static', 'return', '#', 'extern "C"')):
            if not covered and '/*' not in s: report('comments', f'{path}:{n}: {s[:70]}')
        depth += s.count('{') - s.count('}')


def check_lengths(path, text):
    lines = text.split('\n')
    if len(lines) > MAX_FILE: report('lengths', f'{path}: {len(lines)} lines, at most {MAX_FILE}')
    start = None
    for n, line in enumerate(lines, 1):
        if line == '{': start = n
        elif line == '}' and start:
            if n - start > MAX_FUNCTION: report('lengths', f'{path}:{start}: function of {n - start} lines, at most {MAX_FUNCTION}')
            start = None
        if len(line) > 130: report('lengths', f'{path}:{n}: {len(line)} columns')


def code_only(text):
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    text = re.sub(r'//[^\n]*', ' ', text)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def check_traps(path='docs/tuning-traps.md'):
    """every test that the page names is there"""
    for name, test in re.findall(r'`(\w+\.(?:c|sh|py))(?: (\w+))?`', open(path, encoding='utf-8').read()):
        where = glob.glob(f'tests/**/{name}', recursive=True)
        if not where or not re.search(rf'\b{test}\b', open(where[0], encoding='utf-8').read()): report('traps', f'{path}: {name} {test}')


def main():
    sources = sorted(glob.glob('src/**/*.[ch]', recursive=True))
    texts = {p: open(p, encoding='utf-8').read() for p in sources}
    readers = {}
    for p, t in texts.items():
        for name in re.findall(r'param_(?:is_set|bool|int|float|str|count|str_at|float_at|int_at)\s*\([^;]*?"([a-z0-9_]+)"', t):
            readers.setdefault(name, set()).add(p)
    for p, t in texts.items():
        check_includes(p, t)
        check_lengths(p, t)
        if p.endswith('.h'): check_comments(p, t)
        if not t.lstrip().startswith('/*'): report('file heads', f'{p}: opens without saying what it owns')
        code = code_only(t)
        for m in re.finditer(BANNED, code): report('banned', f'{p}: {m[1]}()')
        if not p.startswith('src/ground/base/mem') and re.search(r'(?<![\w.>])(malloc|calloc|realloc|free)\s*\(', code):
            report('banned', f'{p}: malloc or free outside base/mem')
        if room(p) != 'cli' and p != 'src/ground/base/mem.c' and re.search(r'(?<![\w.>])_?exit\s*\(', code): report('banned', f'{p}: exit() outside cli')
        if room(p) in ('kernels', 'device', 'model', 'engine') and 'getenv' in code: report('banned', f'{p}: getenv')
        for name, row in re.findall(r'\{\s*(?:\.name\s*=\s*)?"([a-z0-9_]+)",\s*(?:\.type\s*=\s*)?PARAM_([^}]*)', t):
            # what is refused, or has one value only, needs no reader
            one_value = 'PARAM_REFUSED' in row or re.search(r'\.choices\s*=\s*"[^|"]*("|\|\|)', row)
            if name not in readers and not one_value: report('parameters', f'{p}: "{name}" is read by nobody')
    for p in sources + [q for d in ('tests', 'bench', 'docs', 'tools', 'mk', 'examples') for q in glob.glob(f'{d}/**/*.*', recursive=True)] + glob.glob('*.md'):
        if not os.path.isfile(p) or p == 'tests/structure/rules.py' or '/data/' in p or '/corpus/' in p: continue
        for m in re.finditer(WORDS, open(p, encoding='utf-8', errors='replace').read()): report('words', f'{p}: {m[0]}')
    for rule in ('rooms', 'includes', 'third-party', 'comments', 'lengths', 'file heads', 'banned', 'parameters', 'words', 'traps'):
        found = bad.get(rule, [])
        print(f'not ok {rule}: {len(found)}; first: {found[0]}' if found else f'ok {rule}')
        for f in found[:40]: print('   ', f)
    return 1 if bad else 0


sys.exit(main())
