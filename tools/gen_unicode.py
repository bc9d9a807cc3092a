#!/usr/bin/env python3
"""Writes the tables of src/compute/text/unicode.c from the Unicode Character Database (Debian package unicode-data).
usage: tools/gen_unicode.py class > src/compute/text/unicode_table.c
       tools/gen_unicode.py case > src/compute/text/unicode_case_table.c"""
import re
import sys

KIND = sys.argv[1]
DIR = '/usr/share/unicode'
N = 0x110000


def categories():
    cat, upper, lower, title = ['Cn'] * N, {}, {}, {}
    first = None
    for line in open(f'{DIR}/UnicodeData.txt', encoding='ascii'):
        f = line.rstrip('\n').split(';')
        cp = int(f[0], 16)
        if f[1].endswith(', First>'):
            first = cp
            continue
        for c in range(first if first is not None else cp, cp + 1):
            cat[c] = f[2]
        first = None
        for table, text in ((upper, f[12]), (lower, f[13]), (title, f[14] or f[12])):
            if text:
                table[cp] = int(text, 16)
    return cat, upper, lower, title


def special_casing():
    """Unconditional mappings to several characters: cp -> (lower, title, upper)."""
    out = {}
    for line in open(f'{DIR}/SpecialCasing.txt', encoding='utf-8'):
        f = [x.strip() for x in line.split('#')[0].split(';')]
        if len(f) >= 5 and not f[4]:
            out[int(f[0], 16)] = tuple([int(c, 16) for c in x.split()] for x in f[1:4])
    return out


def derived(name):
    has = [False] * N
    for line in open(f'{DIR}/DerivedCoreProperties.txt', encoding='utf-8'):
        m = re.match(r'([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(\w+)', line)
        if m and m[3] == name:
            for c in range(int(m[1], 16), int(m[2] or m[1], 16) + 1):
                has[c] = True
    return has


def edges(has):
    """Code points where membership changes, starting from outside."""
    out, inside = [], False
    for c in range(N):
        if has(c) != inside:
            out.append(c)
            inside = not inside
    if inside:
        out.append(N)
    return out


def runs(table):
    """(first, last, step, distance) over maximal arithmetic runs with the same distance."""
    out = []
    for cp in sorted(table):
        d = table[cp] - cp
        if out and out[-1][3] == d:
            lo, hi, step, _ = out[-1]
            if cp - hi <= 2 and (lo == hi or cp - hi == step):
                out[-1] = (lo, cp, cp - hi, d)
                continue
        out.append((cp, cp, 1, d))
    return out


def lines(items, width=116):
    text, cur = '', '   '
    for it in items:
        if len(cur) + len(it) + 2 > width:
            text += cur + '\n'
            cur = '   '
        cur += ' ' + it + ','
    return text + cur + '\n'


def put_edges(name, values):
    print(f'const uint32_t {name}[] = {{\n{lines([hex(v) for v in values])}}};')
    print(f'const size_t {name}_n = {len(values)};\n')


def put_runs(name, values):
    body = lines(['{%s, %s, %d, %d}' % (hex(a), hex(b), s, d) for a, b, s, d in values])
    print(f'const struct unicode_run {name}[] = {{\n{body}}};')
    print(f'const size_t {name}_n = {len(values)};\n')


def case_tables(upper, lower, title, special):
    cased, ignorable = derived('Cased'), derived('Case_Ignorable')
    up, low = derived('Uppercase'), derived('Lowercase')
    put_edges('unicode_cased', edges(lambda c: cased[c]))
    put_edges('unicode_ignorable', edges(lambda c: ignorable[c]))
    put_edges('unicode_uppercase', edges(lambda c: up[c]))
    put_edges('unicode_lowercase', edges(lambda c: low[c]))
    put_runs('unicode_to_upper', runs(upper))
    put_runs('unicode_to_lower', runs(lower))
    put_runs('unicode_to_title', runs({c: t for c, t in title.items() if t != upper.get(c, c)} | {c: c for c in upper if title.get(c) == c}))
    rows = []
    for cp in sorted(special):
        cols = [x + [0] * (3 - len(x)) for x in special[cp]]
        rows.append('{%s, {%s}}' % (hex(cp), ', '.join('{' + ', '.join(hex(v) for v in c) + '}' for c in cols)))
    print(f'const struct unicode_special unicode_special[] = {{\n{lines(rows)}}};')
    print(f'const size_t unicode_special_n = {len(rows)};')


def main():
    cat, upper, lower, title = categories()
    special = special_casing()
    version = re.search(r'Version (\d+\.\d+\.\d+)', open(f'{DIR}/ReadMe.txt', encoding='utf-8').read())[1]
    print(f'/* Made by tools/gen_unicode.py from the Unicode Character Database {version}; do not edit.')
    print(' * Owns the tables behind unicode.h. A list of edges holds the code points where membership changes, so a code')
    print(' * point is a member when an odd number of edges lies at or below it. Runs map code points by a distance. */')
    print('#include "compute/text/unicode_int.h"\n')
    if KIND == 'case':
        case_tables(upper, lower, title, special)
        return
    print(f'const char unicode_table_version[] = "{version}";\n')
    put_edges('unicode_letter', edges(lambda c: cat[c][0] == 'L'))
    put_edges('unicode_number', edges(lambda c: cat[c][0] == 'N'))
    put_edges('unicode_decimal', edges(lambda c: cat[c] == 'Nd'))
    put_edges('unicode_printable', edges(lambda c: c == 0x20 or cat[c] not in ('Cc', 'Cf', 'Cs', 'Co', 'Cn', 'Zl', 'Zp', 'Zs')))


main()
