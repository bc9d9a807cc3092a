#!/usr/bin/env python3
"""Writes templates.json beside it: templates of our own and what jinja2 makes of them, in the environment that
transformers uses for chat templates. A case whose `text` is null must fail. usage: make_templates.py (needs jinja2)"""
import json
import os

import jinja2
import jinja2.ext
import jinja2.nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(jinja2.ext.Extension):
    """{% generation %} marks what the assistant says; rendering passes it through."""
    tags = {'generation'}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(['name:endgeneration'], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method('pass_through'), [], [], body).set_lineno(line)

    def pass_through(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
env.filters['tojson'] = tojson
env.globals['raise_exception'] = raise_exception

VARS = {
    'messages': [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': " Grüße, 世界 🌏\n"},
                 {'role': 'assistant', 'content': None, 'tool_calls': [{'name': 'rate', 'arguments': {'b': [1, 2.5, True, None], 'a': 'x"y'}}]},
                 {'role': 'user', 'content': [{'type': 'text', 'text': "it's"}, {'type': 'image'}]}],
    'tools': [{'type': 'function', 'function': {'name': 'rate', 'description': 'a < b & "c"', 'parameters': {
        'type': 'object', 'properties': {'from': {'type': 'string', 'enum': ['CNY', 'USD']}, 'amount': {'type': 'number'}}, 'required': ['from']}}}],
    'bos_token': '<s>', 'eos_token': '</s>', 'n': 7, 'f': 2.5, 'yes': True, 'nothing': None, 'empty': '', 'words': 'the quick  brown\tfox',
    'd': {'Zeta': 1, 'alpha': 2, 'Beta': 3, 'items': 'shadowed'}, 'nums': [3, 1, 2, 1], 'names': ['bob', 'Alice', 'bob', 'carol'],
    'users': [{'name': 'bob', 'age': 30, 'tags': ['a']}, {'name': 'Ann', 'age': 25}, {'name': 'cy', 'age': 30, 'tags': []}],
}

EXPRESSIONS = r"""
1 + 2 * 3 - 4
7 // 2, -7 // 2, 7 % 3, -7 % 3, 7 / 2, 2 ** 10, 2 ** -1, -2 ** 2, 2 ** 3 ** 2
7.5 // 2, -7.5 // 2, -7.5 % 2, 1e3, 1.5e-7, 1e16, 123456789.125, 0.1 + 0.2, 1_000, 0x1f, 0b101, 0o17
1 / 0
1 % 0
'a' + 'b' ~ 1 ~ none ~ true ~ 1.0
'a' + 1
'ab' * 3, 2 * 'xy', [1, 2] * 2, [1] + [2], (1,) + (2, 3)
not true and false or 1
1 < 2 < 3, 1 < 3 < 2, 1 == 1.0, true == 1, 'a' < 'b', [1, 2] < [1, 3], 'a' != 'b', 2 >= 2, none == none
1 < 'a'
'a' in 'abc', 'z' not in 'abc', 2 in [1, 2], 'alpha' in d, 3 in (1, 2)
1 in 'abc'
'yes' if n > 5 else 'no', 'x' if false
n if n is odd else f
true, false, none, True, False, None
[], (), {}, (1,), [1, 'two', 3.0, none], {'a': 1, 'b': [2]}, {1: 2, true: 'x'}
"double 'quoted'", 'single "quoted"', 'both \'"', 'tab\t nl\n back\\ x\x41 u\u00e9 U\U0001F600 oct\101 bad\q'
['tab\t nl\n back\\', "it's", 'say "hi"', 'both \'"', 'é\x7f\u200b😀']
'adjacent' ' strings'
messages[0].role, messages[0]['content'], messages[-1].role, messages[9], messages[0].missing
messages[0].missing.deeper
unknown
unknown.x
unknown + 1
unknown ~ 'x', unknown == other, unknown|default('d'), [unknown], unknown is defined
unknown()
none.x, none['x'], 5 .x
'abc'[0], 'abc'[-1], 'abc'[9], 'abc'[1:], 'abc'[:-1], 'abc'[::-1], 'äöü'[1], 'äöü'[1:2], '世界🌏'[::2]
nums[1:], nums[:2], nums[::2], nums[::-1], nums[-2:], nums[5:], (1, 2, 3)[1:], nums[0:3:2]
nums[::0]
'abc'.upper(), 'ABC'.lower(), 'straße'.upper(), 'ΑΣ ΑΣΑ'.lower(), 'hELLO wORLD'.capitalize(), "they're bill's".title(), 'ǆa'.title()
' x '.strip() ~ '|' ~ ' x '.lstrip() ~ '|' ~ ' x '.rstrip() ~ '|' ~ 'xxaxx'.strip('x') ~ '|' ~ '\u3000\x1ca\xa0'.strip() ~ '|'
'a,b,,c'.split(','), 'a,b,c'.split(',', 1), words.split(), ' a b '.split(none, 1), 'a,b,c'.rsplit(',', 1), ' a b  c '.rsplit(none, 1), ''.split(), ''.split(','), 'abc'.split('xyz')
'abc'.split('')
'abc'.startswith('ab'), 'abc'.endswith(('x', 'c')), 'abc'.startswith('b', 1), 'abc'.endswith('')
'a-b-c'.replace('-', '+'), 'a-b-c'.replace('-', '', 1), 'abc'.replace('', '.'), 'aaa'.replace('a', 'b', 0), 'abc'.replace('', '-', 2)
'abcabc'.find('c'), 'abcabc'.rfind('c'), 'abc'.find('z'), 'äbc'.find('b'), 'abab'.count('ab'), 'abc'.count('')
'abc'.index('z')
'a\nb\r\nc\x0bd\u2028e'.splitlines(), 'a\n'.splitlines(true), ''.splitlines()
'abc'.center(8, '*'), 'abc'.center(9), 'ab'.center(5, '-'), 'abc'.ljust(5) ~ '|', 'abc'.rjust(5), '-42'.zfill(6), '42'.zfill(1)
'12'.isdigit(), 'a1'.isalnum(), 'ab'.isalpha(), ' '.isspace(), 'AB1'.isupper(), 'ab'.islower(), ''.isdigit(), 'prefix-x'.removeprefix('prefix-'), 'x.txt'.removesuffix('.txt')
', '.join(['a', 'b']), ''.join([])
', '.join([1])
'{} {1}'.format(1, 2)
'{0} {1} {0}'.format(1, 2)
'{} {} {name!r}'.format(1, 'x', name='n'), '{:>5}|{:<5}|{:^5}|{:05d}|{:.2f}|{:x}|{:,}|{:+d}|{:%}'.format('a', 'b', 'c', 42, 3.14159, 255, 1234567, 5, 0.25), '{{}}'.format()
'{}'.format()
'%s is %d or %5.1f%% %r' % ('x', 3, 2.25, 'q'), '%05d|%-5s|%5s|%x|%X|%o|%e|%c' % (42, 'ab', 'cd', 255, 255, 8, 12345.678, 'z'), '%(a)s %(b)d' % {'a': 1, 'b': 2}, '%s' % 'one', '%+d' % 5
'%d' % 'x'
'%s' % (1, 2)
d.items(), d['items'], d.keys(), d.values(), d.get('alpha'), d.get('none'), d.get('none', 9), d|length
d.update({'x': 1})
nums.append(1)
nums.index(2), nums.count(1), (1, 2, 1).count(1)
range(3), range(1, 4)|list, range(5, 0, -2)|list, range(0)|list, range(3)|length
range(100001)
range(1, 5, 0)
dict(a=1, b='x'), dict([('k', 'v')]), dict({'a': 1}, b=2), namespace(a=1).a, namespace(a=1)
words|upper, 'ABC'|lower, 'hello world'|title, "hello-world (x) [y] it's"|title, 'hELLO'|capitalize, '  x '|trim, 'xxaxx'|trim('x')
nothing|upper, 5|string ~ 'x', none|string, 1.0|string, true|lower
'abc'|length, nums|count, d|length, unknown|length, '世界'|length
5|length
nums|first, nums|last, []|first, ''|last, 'abc'|first, d|first, (1, 2)|last
nums|sort, nums|sort(reverse=true), names|sort, names|sort(case_sensitive=true), users|sort(attribute='age')|map(attribute='name')|list, users|sort(attribute='age,name')|map(attribute='name')|list
[1, 'a']|sort
nums|unique|list, names|unique|list, ['A', 'a']|unique|list, ['A', 'a']|unique(case_sensitive=true)|list
nums|min, nums|max, names|min, []|max, users|max(attribute='age'), nums|sum, users|sum(attribute='age'), []|sum, [[1], [2]]|sum(start=[])
nums|reverse|list, 'abc'|reverse, nums|join(', '), [1, none, true]|join, users|join('/', attribute='name'), 'abc'|join('-'), d|join(',')
users|map(attribute='name')|list, users|map(attribute='tags', default='none')|list, ['a', 'b']|map('upper')|list, [' a ']|map('trim')|join, ['a-b']|map('replace', '-', '+')|list
[['a', 'b'], ['c']]|map(attribute='0')|list, [{'x': ['p']}]|map(attribute='x.0')|list
users|map(attribute='tags.0')|list
users|selectattr('tags')|map(attribute='name')|list, users|selectattr('age', 'equalto', 30)|list|length, users|rejectattr('age', 'gt', 26)|map(attribute='name')|list, users|selectattr('tags', 'defined')|list|length
[0, 1, '', 'x', none]|select|list, [1, 2, 3, 4]|select('even')|list, [1, 2, 3]|reject('odd')|list, [1, none, 2]|reject('none')|list, ['a', 1]|select('string')|list, [1, 2, 3]|select('in', [1, 3])|list, [3, 4, 6]|select('divisibleby', 3)|list
nums|map('nofilter')|list
'x'|nofilter
1 is notest
{'b': 1, 'A': 3, 'c': 2}|dictsort, {'b': 1, 'A': 3}|dictsort(true), {'b': 2, 'A': 3, 'c': 1}|dictsort(by='value'), d|dictsort(reverse=true), d|items|list
d|dictsort(by='value')
'5'|int, '5.7'|int, 'x'|int, 'x'|int(9), ' 12 '|int, '0x1f'|int(0, 16), '1_000'|int, none|int, 3.99|int, -3.99|int, true|int, '1e3'|int, ''|int
unknown|int
'2.5'|float, 'x'|float, 'x'|float(1.5), 3|float, none|float, '1e-3'|float, ' 1.0 '|float
5.5|round, 6.5|round, 2.675|round(2), 5|round, 2.1|round(method='ceil'), 2.987|round(2, 'floor'), -5|abs, 1.5|abs, 1234.5|round(-2)
'a,b'|replace(',', ';'), 'aaa'|replace('a', 'b', 2), 123|replace(2, 'x'), 'abc'|center(7)
'line1\nline2\n\nline3'|indent, 'a\nb'|indent(2, true), 'a\n\nb'|indent(2, blank=true), 'a\nb'|indent('> ')
[1, 2, 3, 4, 5]|slice(3)|list, [1, 2, 3, 4]|slice(3, 'x')|list, [1, 2, 3, 4, 5]|batch(2)|list, [1, 2, 3]|batch(2, 0)|list
'%s-%s'|format('a', 1), '%(x)s'|format(x=2), 'a b c'|wordcount
'<b>&"\''|escape, ('<b>'|safe) + '<i>', '<i>' + ('<b>'|safe), ('<b>'|safe) ~ '<i>', ('<b>'|escape)|escape, '<'|forceescape
empty|default('x'), empty|default('x', true), nothing|default('x'), nothing|d('x', boolean=true), unknown|default
tools|tojson, tools|tojson(indent=2), {'b': 1, 'a': [1, {}]}|tojson(sort_keys=true), {'a': [], 'b': {}}|tojson(indent=4), 'é"\n\t\x01\x7f/<>&\''|tojson, 'é😀\x7f'|tojson(ensure_ascii=true), [1, 1.5, 1e20, none, true]|tojson(separators=(',', ':')), {1: 2, none: 3, true: 4, 1.5: 5}|tojson, (1, 2)|tojson, {'a': 1}|tojson(indent='\t'), [1]|tojson(indent=0)
unknown|tojson
nums|map('string')|tojson
1 is integer, 1.0 is float, true is integer, true is number, 'a' is number, true is boolean, 1 is true, none is none, unknown is undefined, d is mapping, nums is mapping
'a' is string, nums is sequence, d is sequence, 'a' is sequence, 5 is iterable, range(2) is iterable, unknown is iterable, d.items() is sequence, namespace() is mapping
3 is odd, 3 is even, 9 is divisibleby 3, 9 is divisibleby(2), 5 is gt 3, 5 is lt(3), 5 is equalto 5, 5 is eq(4), 5 is ne 4, 5 is ge 5, 5 is le 4, 'a' is in 'abc', 1 is in [1]
'A' is upper, 'a' is lower, 'x' is not string, none is sameas none, 'upper' is filter, 'odd' is test, range is callable, 5 is callable, ('a'|safe) is escaped
messages[0] is mapping and messages[0].role is string, messages[2].content is none, messages[3].content is iterable and messages[3].content is not string
messages[2].tool_calls[0].arguments|tojson, messages[2].tool_calls[0].arguments, messages[2]
'__class__' in 'x', ''.__class__
''.__class__.__mro__
'a' if nums else 'b', 'a' if [] else 'b', 'a' if {} else 'b', 'a' if 0.0 else 'b', 'a' if ' ' else 'b', 'a' if range(0) else 'b'
(nums|map('string')) is string, (nums|map('string'))|join, nums|select|first
9223372036854775807, 9223372036854775807 // 10, -5 // 3 * 3 + -5 % 3
[x for x in y]
1 +
{'a' 1}
'unclosed
(1, 2
a b
1 is
'x'|
""".strip().split('\n')

STATEMENTS = [
    '{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}',
    '{% for i in nums %}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}',
    '{% for i in nums if i > 1 %}{{ i }}:{{ loop.index }}:{{ loop.length }} {% else %}none{% endfor %}',
    '{% for i in [] %}x{% else %}empty{% endfor %}', '{% for k in d %}{{ k }} {% endfor %}', '{% for c in "äb" %}[{{ c }}]{% endfor %}',
    '{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}', '{% for k, v in d|dictsort %}{{ k }}={{ v }};{% endfor %}',
    '{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}', '{% for x in 5 %}{% endfor %}', '{% for x in unknown %}x{% else %}none{% endfor %}',
    '{% for i in range(5) %}{% if i == 3 %}{% break %}{% endif %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}',
    '{% for i in nums %}{% for j in [1, 2] %}{% if j == 2 %}{% break %}{% endif %}{{ i }}{{ j }} {% endfor %}{{ loop.index }};{% endfor %}',
    '{% break %}', '{% for i in [1] %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}',
    '{% for i in [1, 2, 3, 4] %}{{ loop.cycle("a", "b") }}{{ loop.changed(i // 3) }} {% endfor %}',
    '{% for t in [{"n": 1, "c": [{"n": 2, "c": []}, {"n": 3, "c": [{"n": 4, "c": []}]}]}] recursive %}{{ loop.depth }}{{ t.n }}({{ loop(t.c) }}){% endfor %}',
    '{% for i in [1] %}{{ loop([2]) }}{% endfor %}',
    '{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = 5 %}{{ x }}{% endfor %}{{ x }}', '{% if true %}{% set x = 1 %}{% endif %}{{ x }}',
    '{% set ns = namespace(found=false, n=0) %}{% for i in nums %}{% set ns.n = ns.n + i %}{% if i == 2 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.found }} {{ ns.n }}',
    '{% set d2 = {} %}{% set d2.x = 1 %}', '{% set a, b = 1, 2 %}{{ a }}{{ b }}', '{% set a, b = [1] %}', '{% set a = 1, 2 %}{{ a }}', '{% set t = "x" if n > 3 else "y" %}{{ t }}',
    '{% set block %}hello {{ n }}{% endset %}[{{ block }}]', '{% set block | upper | replace("L", "_") %}hello{% endset %}[{{ block }}]', '{% set x = 1 %}{% set b %}{% set x = 2 %}{{ x }}{% endset %}{{ b }}{{ x }}',
    '{% if n > 10 %}a{% elif n > 5 %}b{% elif true %}c{% else %}d{% endif %}', '{% if false %}a{% else %}{% if true %}b{% endif %}c{% endif %}', '{% if n == 7 and not nothing or unknown %}y{% endif %}',
    '{% macro m(a, b=2, c=a) %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(a=5, b=6) }}{{ m() }}{{ m(1, c=9) }}',
    '{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}', '{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}', '{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}',
    '{% macro f(n) %}{{ n }}{% if n > 0 %} {{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}', '{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}',
    '{% macro m() %}{{ later }}{% endmacro %}{% set later = "set later" %}{{ m() }}', '{% set x = 1 %}{% macro m() %}{% set x = 2 %}{{ x }}{% endmacro %}{{ m() }}{{ x }}', '{% macro m() %}[{{ i }}]{% endmacro %}{% for i in [1] %}{{ m() }}{% endfor %}',
    '{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}body {{ n }}{% endcall %}', '{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}+{{ b }}{% endcall %}', '{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}', '{% macro m() %}{{ caller is defined }}{{ caller() }}{% endmacro %}{{ m() }}',
    '{% macro m(a, b=1) %}{% endmacro %}{{ m }}{{ m.name }}', '{% macro m(x) %}{{ x|upper }}{% endmacro %}{{ m("a") ~ m("b") }}{{ m("é")|length }}', '{% macro add(a, b) %}{{ a + b }}{% endmacro %}{{ add(*[1, 2]) }}{{ add(**{"a": 3, "b": 4}) }}',
    '{% filter upper %}text {{ n }} {{ words }}{% endfilter %}', '{% filter replace("a", "b")|trim %} banana {% endfilter %}', '{% with a = 1, b = n %}{{ a }}{{ b }}{% set a = 3 %}{{ a }}{% endwith %}{{ a }}', '{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q }}',
    '{% generation %}said {{ n }}{% endgeneration %}!', '{% print n, "x" %}', '{% raw %}{{ not }} {% parsed %}{% endraw %}', '  {% raw %}\n a {{ x }}\n  {%- endraw %}  z', '{%- raw -%}  {{ x }}  {%- endraw -%}  y',
    'a {# comment {{ x }} #} b', 'a {#- c -#} b', '{# c #}\nx', '  {# c #}\nx\n  {#- c #}\ny', '{# unclosed',
    '  {% if true %}\n    x\n  {% endif %}\n  y\n', '{% if true -%}\n  x  \n{%- endif %}\n\n y', '  {%+ if true %}x{% endif +%}\ny', 'a\n  {{- n }}  \n b\n  {{ n -}}  \n c', 'x {%- if true %} y {%- endif %} z', '{{ n }}\n{{ n }}\n', '{% if true %}\r\nx\r\n{% endif %}\r\ny\r\n', '\n\n{% set x = 1 %}\n\n{{ x }}\n\n', 'text\n   {% set y = 2 %}   \n {{ y }}', 'a{% if true %}b\n{% endif %}\n\nc', ' \u00a0{%- if true %}x{% endif %}',
    '{{ "}}" }}{{ "%}" }}{{ {"a": {"b": 1}} }}{{ {"a": {"b": 1}}["a"]["b"] }}', '{{ "{{" }} {{ \'{%\' }}', '{ { } } {x} %}', '{{', '{% if %}', '{% endif %}', '{% for %}', '{% unknown %}', '{% if true %}', '{{ (1 }}', '{{ 1) }}', '{% set 1 = 2 %}', '{% set true = 2 %}', '{% for x in y %}{% endif %}', '{% macro %}{% endmacro %}', '{{ f(a=1, 2) }}', '{% include "x" %}', '{{ 1 }',
    '{{ raise_exception("stop") }}', '{% if false %}{{ raise_exception("stop") }}{% endif %}ok', '{{ bos_token }}{% for m in messages %}{% if m.role == "system" %}[{{ m.content }}]{% elif m.content is string %}{{ m.content | trim }}{{ eos_token }}{% endif %}{% endfor %}{% if add_generation_prompt %}>{% endif %}',
    '{%- for message in messages %}\n    {%- if message.content is string %}\n        {{- "<|" + message.role + "|>" + message.content + "\\n" }}\n    {%- elif message.content is iterable %}\n        {%- for part in message.content %}\n            {{- part.text if part.type == "text" else "<image>" }}\n        {%- endfor %}\n    {%- endif %}\n{%- endfor %}',
    '{%- for tool in tools %}{{ tool | tojson(indent=4) }}{% for name, p in tool.function.parameters.properties.items() %}\n{{ name }}: {{ p.type }}{% if name in tool.function.parameters.required %} (required){% endif %}{% if p.enum %} {{ p.enum | join(" | ") }}{% endif %}{% endfor %}{% endfor %}',
    '{% set loop_messages = messages[1:] %}{{ loop_messages|length }}{% set system = messages[0]["content"] %}{{ system }}', '{{ messages|selectattr("role", "equalto", "user")|list|length }}{{ (messages|selectattr("role", "equalto", "user")|list)[-1].role }}', "{% set content = messages[1]['content'] %}{% if '世界' in content %}{{ content.split('世界')[-1].lstrip('\\n') }}{% endif %}",
    '{% for m in messages[::-1] %}{{ m.role[0] }}{% endfor %}', '[{{ loop }}]{{ loop is defined }}', "{{ 'a' 'b' }}{% set s = 'x' %}{{ s ~ s }}", '{{ 1 }}{{ 1.0 }}{{ "s" }}{{ none }}{{ true }}{{ [1] }}{{ unknown }}', '{% for _ in range(3) %}.{% endfor %}', '{% set x %}{% endset %}[{{ x }}]{{ x|length }}', '{%- set ns = namespace() -%}{%- set ns.a = [1] -%}{%- set ns.a = ns.a + [2] -%}{{ ns.a }}{{ ns.b is defined }}',
    '{% for a in [1, 2] %}{% for b in [3] %}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}', '{% set f = messages[0].get("role") %}{{ f }}{{ messages[0].get("x", "-") }}', '{{ {"items": 1}.items }}x' if False else '{{ {"keys": 5}["keys"] }}',
]


def main():
    cases = []
    for source in [f'{{{{ {e} }}}}' for e in EXPRESSIONS] + STATEMENTS:
        try:
            text = env.from_string(source).render(add_generation_prompt=True, **VARS)
        except Exception:
            text = None
        cases.append({'template': source, 'text': text})
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'templates.json')
    with open(out, 'w', encoding='utf-8') as f:
        json.dump({'made_with': f'jinja2 {jinja2.__version__}', 'vars': VARS, 'cases': cases}, f, ensure_ascii=False, indent=1)
        f.write('\n')


main()
