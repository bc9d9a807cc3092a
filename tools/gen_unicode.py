#!/usr/bin/env python3
"""Writes the tables of src/compute/text/unicode.c from the Unicode Character Database (Debian package unicode-data).
usage: tools/gen_unicode.py class > src/compute/text/unicode_table.c
       tools/gen_unicode.py case > src/compute/text/unicode_case_table.c
       tools/gen_unicode.py norm > src/compute/text/unicode_norm_table.c
and then clang-format."""
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
    return property_of('DerivedCoreProperties.txt', name)


def script(name):
    return property_of('Scripts.txt', name)


def property_of(file, name):
    has = [False] * N
    for line in open(f'{DIR}/{file}', encoding='utf-8'):
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


# the order of enum unicode_category
CATEGORIES = 'Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn'.split()
LEAF, MID = 96, 64


def put_categories(cat):
    """Three levels: a leaf is 96 code points, a letter each ('A' + category); equal leaves and middle blocks are shared."""
    text = ''.join(chr(65 + CATEGORIES.index(c)) for c in cat) + 'A' * (LEAF * MID)
    leaves, mids, top = {}, {}, []
    for begin in range(0, N, LEAF * MID):
        block = tuple(leaves.setdefault(text[i:i + LEAF], len(leaves)) for i in range(begin, begin + LEAF * MID, LEAF))
        top.append(mids.setdefault(block, len(mids)))
    c_string = lambda t: '"' + t.replace('\\', '\\\\') + '"'
    print('const char unicode_leaf[][97] = {\n' + ''.join(f'    {c_string(t)},\n' for t in leaves) + '};\n')
    print(f'const uint16_t unicode_mid[][64] = {{\n' + ''.join('{\n' + lines(map(str, m)) + '},\n' for m in mids) + '};\n')
    print(f'const uint8_t unicode_top[] = {{\n{lines(map(str, top))}}};')


def normalization(cat):
    """canonical combining classes, canonical decompositions (cp -> one or two), excluded compositions, and what a text
    without is sure to be NFC"""
    ccc, decomposed = {}, {}
    for line in open(f'{DIR}/UnicodeData.txt', encoding='ascii'):
        f = line.split(';')
        cp = int(f[0], 16)
        if f[3] != '0':
            ccc[cp] = int(f[3])
        if f[5] and not f[5].startswith('<'):
            decomposed[cp] = [int(x, 16) for x in f[5].split()]
    excluded, unsure = set(), set(ccc)
    for line in open(f'{DIR}/DerivedNormalizationProps.txt', encoding='utf-8'):
        m = re.match(r'([0-9A-F]+)(?:\.\.([0-9A-F]+))?\s*;\s*(Full_Composition_Exclusion|NFC_QC)\b', line)
        if m:
            (excluded if m[3] != 'NFC_QC' else unsure).update(range(int(m[1], 16), int(m[2] or m[1], 16) + 1))
    return ccc, decomposed, excluded, unsure


def put_packed(name, values):
    print(f'const uint64_t {name}[] = {{\n{lines([hex(v) for v in values])}}};')
    print(f'const size_t {name}_n = {len(values)};\n')


def norm_tables(cat):
    ccc, decomposed, excluded, unsure = normalization(cat)
    combining = []
    for cp in sorted(ccc):
        if combining and combining[-1][1] == cp - 1 and combining[-1][2] == ccc[cp]:
            combining[-1][1] = cp
        else:
            combining.append([cp, cp, ccc[cp]])
    put_packed('unicode_combining', [a << 42 | b << 21 | c for a, b, c in combining])
    put_packed('unicode_decomposed', [cp << 42 | d[0] << 21 | (d[1] if len(d) > 1 else 0) for cp, d in sorted(decomposed.items())])
    pairs = sorted((d[0], d[1], i) for i, (cp, d) in enumerate(sorted(decomposed.items())) if len(d) == 2 and cp not in excluded)
    print(f'const uint16_t unicode_composed[] = {{\n{lines([str(p[2]) for p in pairs])}}};')
    print(f'const size_t unicode_composed_n = {len(pairs)};\n')
    put_edges('unicode_unsure', edges(lambda c: c in unsure))


def main():
    cat, upper, lower, title = categories()
    special = special_casing()
    version = re.search(r'Version (\d+\.\d+\.\d+)', open(f'{DIR}/ReadMe.txt', encoding='utf-8').read())[1]
    print(f'/* Made by tools/gen_unicode.py from the Unicode Character Database {version}; do not edit.')
    if KIND == 'class':
        print(' * Owns the categories behind unicode.h: the letter of a code point in its leaf. */')
    elif KIND == 'norm':
        print(' * Owns the tables of normalization: three numbers of 21 bits in a word (a code point and what')
        print(' * it decomposes into; first, last and combining class), ascending. Compositions are indices into the decompositions,')
        print(' * by what they compose. In a list of edges a code point is a member when an odd number of edges lies at or below it. */')
    else:
        print(' * Owns the tables behind unicode.h. A list of edges holds the code points where membership changes, so a code')
        print(' * point is a member when an odd number of edges lies at or below it. Runs map code points by a distance. */')
    print('#include "compute/text/unicode_int.h"\n')
    if KIND == 'case':
        case_tables(upper, lower, title, special)
    elif KIND == 'norm':
        norm_tables(cat)
    else:
        print(f'const char unicode_table_version[] = "{version}";\n')
        put_categories(cat)
        print()
        han = script('Han')
        put_edges('unicode_han', edges(lambda c: han[c]))


main()
