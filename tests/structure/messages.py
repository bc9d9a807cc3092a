#!/usr/bin/env python3
"""The words of the Chinese message table stand in the source: a message whose English text changed is found here, and not
by a reader who meets English among Chinese. A pattern is known when it fits a format string of the source, or the part
of one behind a colon; what the C library says (strerror) and single words are known by themselves."""
import glob, os, re, sys

TABLES = sorted(glob.glob('src/doors/cli/message_zh_table*.c'))
ANY = '\x01' # stands for a conversion of a format
LITERALS = r'(?:"(?:\\.|[^"\\\n])*"\s*(?:PRI\w+\s*)?)+'


def text_of(literals):
    """adjacent string literals of C as one text"""
    joined = ''.join(re.findall(r'"((?:\\.|[^"\\\n])*)"', literals))
    return joined.replace('\\"', '"').replace('\\n', '\n').replace('\\\\', '\\')


def plain(fmt): return re.sub(r'%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?(?:hh|h|ll|l|z|j)?[a-zA-Z%]?', ANY, fmt)


def matcher(pattern): return re.compile('.*'.join(map(re.escape, pattern.split('*'))), re.S)


def source_texts():
    texts = {os.strerror(n) for n in range(1, 134)}
    for path in glob.glob('src/**/*.[ch]', recursive=True):
        if path in TABLES: continue
        for literals in re.findall(LITERALS, open(path, encoding='utf-8').read()):
            text = text_of(literals)
            texts.update((text, text.lstrip(' ;')) if len(text) > 1 else (text,))
            parts = text.split(': ')
            texts.update(': '.join(parts[i:]) for i in range(1, len(parts)))
            if text.startswith('cannot '): texts.add(text + ': %s') # err_wrap, err_set_errno
    return texts


def stands(pattern, texts, formats):
    """the pattern fits a text of the source, or a format of the source fits the pattern"""
    fits = matcher(pattern)
    if any(fits.fullmatch(t) for t in texts): return True
    example = pattern.replace('*', 'q')
    if any(f.fullmatch(example) for f in formats): return True
    return pattern.endswith('; *') and stands(pattern[:-3], texts, formats) # remarks are put together while it runs


def main():
    rows = [r for t in TABLES for r in re.findall(r'\{\s*(' + LITERALS + r'),', open(t, encoding='utf-8').read())]
    sources = source_texts()
    texts = {plain(t) for t in sources}
    formats = [re.compile('.*'.join(map(re.escape, t.split(ANY)))) for t in texts
               if ANY in t and len(re.sub('[^a-z]', '', t)) > 5]
    unknown = [p for p in map(text_of, rows) if not stands(p, texts, formats)]
    if len(rows) < 100: unknown.append(f'only {len(rows)} patterns were read')
    print(f'not ok messages {len(unknown)} patterns fit nothing in the source; first: {unknown[0]}' if unknown else 'ok messages')
    for p in unknown: print('   ', p)
    return 1 if unknown else 0


sys.exit(main())
