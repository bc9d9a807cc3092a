#!/usr/bin/env python3
"""The manual and the READMEs speak of what there is: every command, option and run file field that they name exists in the
program's own help, every command is described in both languages, and a page gives the same commands, options, tables and
headings in Chinese as in English."""
import glob, json, os, re, subprocess, sys

TAILOR = os.environ.get('TAILOR', 'build/tailor')
PAGES = sorted(os.path.basename(p) for p in glob.glob('docs/manual/en/*.md'))
NOT_OURS = {'no-deps', 'help', 'version'} # of other programs, or of every program


def ask(*words): return json.loads(subprocess.run([TAILOR, 'help', *words, '--json'], stdout=subprocess.PIPE, check=True).stdout)


def flags(params):
    """the options of a table as the manual writes them, with --no- for truth values"""
    names = {p['name'].replace('_', '-') for p in params if not p['positional']}
    return names | {f'no-{p["name"]}' for p in params if p['type'] == 'boolean'}


def commands_in(text, known):
    """(command, its options) of every `tailor ...` in code, joined where a line goes on"""
    text = re.sub(r'\\\n\s*', ' ', text)
    text = re.sub(r'(?m)^( {4}.*) \S+\.\.\.$', r'\1', text) # transcripts are cut with three dots
    code = re.findall(r'```.*?\n(.*?)```', text, re.S) + [c.replace('\n', ' ') for c in re.findall(r'`([^`]+)`', re.sub(r'```.*?```', '', text, flags=re.S))] + \
        re.findall(r'(?m)^    (.*)$', text)
    for line in (l for c in code for l in c.split('\n')):
        for call in re.findall(r'\btailor\s+((?:--(?:json|lang|home|threads)\b(?:[ =](?:en|zh|\d+))?\s+)*[a-z][a-z-]*.*)', line):
            words = [w for w in call.split() if not w.startswith('--') and w not in ('en', 'zh')]
            name = ' '.join(words[:2]) if ' '.join(words[:2]) in known else words[0]
            yield name, set(re.findall(r'(?<![\w-])--([a-z][a-z0-9-]*)', re.split(r'[;&|]', call)[0]))


def shape(text):
    """what must be equal in both languages: headings by level, columns and rows of tables, code blocks by language"""
    blocks = re.findall(r'```(\w*)\n.*?```', text, re.S)
    prose = re.sub(r'```.*?```', '', text, flags=re.S)
    rows = [len(re.findall(r'(?<!\\)\|', l)) for l in prose.split('\n') if l.startswith('|')]
    return dict(headings=re.findall(r'(?m)^#+(?= )', prose), table_rows=rows), blocks


def main():
    known = {c['name'] for c in ask()['commands']}
    groups = {n.split()[0] for n in known if ' ' in n}
    common = flags(ask()['options'])
    own = {n: flags(ask(*n.split())['parameters']) for n in known}
    every = common.union(*own.values()) | NOT_OURS
    wrong, named, calls = [], {'en': set(), 'zh': set()}, {}
    files = [(f'docs/manual/{l}/{p}', l, p) for l in ('en', 'zh') for p in PAGES] + [('README.md', 'en', ''), ('README.zh.md', 'zh', '')]
    for path, lang, page in files:
        if not os.path.exists(path): wrong.append(f'{path}: is missing'); continue
        text = open(path, encoding='utf-8').read()
        for name, options in commands_in(text, known):
            if name not in known | groups: wrong.append(f'{path}: there is no command "{name}"'); continue
            named[lang].add(name)
            calls.setdefault((page, lang), set()).update((name, o) for o in options | {''})
            for o in options - own.get(name, every) - common - NOT_OURS: wrong.append(f'{path}: "{name}" has no option --{o}')
        for o in set(re.findall(r'(?<![\w-])--([a-z][a-z0-9-]*[a-z0-9])(?![a-z0-9-]*\.\.\.)', text)) - every: wrong.append(f'{path}: no command has the option --{o}')
    for lang in named:
        for n in sorted(known - named[lang] - {n for n in known if n.split()[0] in named[lang]}): wrong.append(f'manual/{lang}: "{n}" is nowhere')
    for page in PAGES:
        en, zh = (open(f'docs/manual/{l}/{page}', encoding='utf-8').read() for l in ('en', 'zh'))
        (a, a_blocks), (b, b_blocks) = shape(en), shape(zh)
        for what in a:
            if a[what] != b[what]: wrong.append(f'{page}: {what} differ: {a[what]} in English, {b[what]} in Chinese')
        if len(a_blocks) > len(b_blocks): wrong.append(f'{page}: {len(a_blocks)} blocks of code in English, {len(b_blocks)} in Chinese')
        for name, o in sorted(calls.get((page, 'en'), set()) - calls.get((page, 'zh'), set()) - {(n, 'lang') for n in known}):
            wrong.append(f'{page}: `tailor {name}{" --" + o if o else ""}` is not in the Chinese page')
    print(f'not ok manual {len(wrong)}; first: {wrong[0]}' if wrong else 'ok manual')
    for w in wrong: print('   ', w)
    return 1 if wrong else 0


sys.exit(main())
