#!/usr/bin/env python3
"""Writes tests/conformance/chat_grid.json: a grid of conversations, and what jinja2 makes of each with the chat templates of
real models. usage: make_chat_grid.py FOLDER_WITH_ALL_TEMPLATES (those of tests/data/chat-templates and the others)

jinja2 is used as transformers uses it: sandboxed, trim_blocks and lstrip_blocks, loop controls, its tojson, raise_exception.
Templates that the project carries have their texts in the file, others (terms of their own: Llama's, Gemma's) a SHA-256.
null: the template refuses the conversation. strftime_now writes its format between brackets here; the test fills in the day."""
import hashlib, json, os, sys

import jinja2
from jinja2.ext import Extension
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = os.path.dirname(os.path.abspath(__file__))
CARRIED = os.path.join(HERE, '..', 'data', 'chat-templates')


class Generation(Extension):
    """{% generation %} of transformers: the text inside, as it is"""
    tags = {'generation'}

    def parse(self, parser):
        lineno = next(parser.stream).lineno
        body = parser.parse_statements(['name:endgeneration'], drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=lineno)


def raise_exception(message): raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, 'jinja2.ext.loopcontrols'])
env.filters['tojson'] = tojson
env.globals['raise_exception'] = raise_exception
env.globals['strftime_now'] = lambda f: f'\u27e6{f}\u27e7'

U = lambda c, **k: {'role': 'user', 'content': c, **k}
A = lambda c, **k: {'role': 'assistant', 'content': c, **k}
S = lambda c: {'role': 'system', 'content': c}
T = lambda c, n='get_rate', i='call00001': {'role': 'tool', 'name': n, 'tool_call_id': i, 'content': c}
text = lambda *c: [{'type': 'text', 'text': x} for x in c]
rate = {'type': 'function', 'function': {'name': 'get_rate', 'description': '汇率 "rate" <b> & \'co\'', 'parameters': {
    'type': 'object', 'properties': {'from': {'type': 'string', 'enum': ['CNY', 'USD'], 'description': 'from\nwhich'},
                                     'amount': {'type': 'number', 'default': 1.5}}, 'required': ['from']}}}
deep = {'type': 'function', 'function': {'name': 'book_trip', 'description': 'Books.\nLine two.', 'parameters': {
    'type': 'object', 'required': ['stops', 'who'], 'properties': {
        'stops': {'type': 'array', 'items': {'type': 'object', 'properties': {'city': {'type': 'string'}, 'nights': {'type': 'integer'}}}},
        'who': {'type': 'object', 'properties': {'name': {'type': 'string'}, 'age': {'type': ['integer', 'null']}}, 'required': ['name']},
        'paid': {'type': 'boolean', 'description': 'paid?'}}}, 'return': {'type': 'string'}}}
bare = {'type': 'function', 'function': {'name': 'now', 'description': 'The time', 'parameters': {'type': 'object', 'properties': {}}}}


def call(name='get_rate', arguments=None, i='call00001'):
    return {'id': i, 'type': 'function', 'function': {'name': name, 'arguments': {'from': 'CNY', 'amount': 12.5} if arguments is None else arguments}}


weird = 'a\tb  c\\d "e" \'f\' <|im_end|> <s> </s> [INST] <think> é 中 🌏 {{ x }} {% y %} &lt; \u00a0\u2028 end'
GRID = {
    'one': dict(messages=[U('Hello')]),
    'system': dict(messages=[S('Be brief.'), U('你好,世界 🌏')]),
    'turns': dict(messages=[U('a'), A('b'), U(' c \n'), A('d\n\n'), U("it's \"q\" <|im_end|>")]),
    'system and turns': dict(messages=[S(''), U('1'), A('2'), U('3')]),
    'system with spaces': dict(messages=[S('  Lead\n\n'), U('\n x \n'), A(' y '), U('z')]),
    'no system, many turns': dict(messages=[m for i in range(6) for m in (U(f'q{i}'), A(f'a{i}'))] + [U('last')]),
    'system later': dict(messages=[U('1'), S('now be brief'), U('2')]),
    'two systems': dict(messages=[S('one'), S('two'), U('q')]),
    'developer': dict(messages=[{'role': 'developer', 'content': 'dev'}, U('q')]),
    'assistant first': dict(messages=[A('x'), U('y')]),
    'two users': dict(messages=[U('x'), U('y')]),
    'two assistants': dict(messages=[U('x'), A('1'), A('2'), U('y')]),
    'unknown role': dict(messages=[U('x'), {'role': 'critic', 'content': 'no'}]),
    'no messages': dict(messages=[]),
    'empty texts': dict(messages=[S(''), U(''), A(''), U('')]),
    'weird text': dict(messages=[S(weird), U(weird), A(weird), U(weird)]),
    'ends with an answer': dict(messages=[U('a'), A('b')], add_generation_prompt=False),
    'ends with a question': dict(messages=[S('s'), U('a')], add_generation_prompt=False),
    'thinking off': dict(messages=[U('q'), A('<think>\nhm\n</think>\n\nans'), U('q2')], enable_thinking=False),
    'thinking on': dict(messages=[S('s'), U('q'), A('<think>\nhm\n</think>\n\nans'), U('q2')], enable_thinking=True),
    'thinking by other names': dict(messages=[S('s'), U('q'), A('</think>a'), U('q2')], thinking=True, reasoning_effort='low'),
    'no_think in the system': dict(messages=[S('Do. /no_think'), U('q'), A('a'), U('q2 /think')]),
    'reasoning beside': dict(messages=[U('q'), A('ans', reasoning_content='because\n'), U('q2'), A('a2', reasoning_content='\nhm', thinking='hm')],
                             add_generation_prompt=False),
    'thinking, last answer': dict(messages=[U('q'), A('<think>a</think>b<think>c</think>d')], add_generation_prompt=False),
    'typed': dict(messages=[U(text('typed ü'))]),
    'typed, several parts': dict(messages=[S(text('sys', ' more')), U(text('a', 'b')), A(text('c')), U(text('d', ''))]),
    'typed, image': dict(messages=[U([{'type': 'image', 'image': 'x.png'}, {'type': 'text', 'text': 'what?'}])]),
    'typed, empty': dict(messages=[U([])]),
    'tools': dict(messages=[S('sys'), U('rate?')], tools=[rate]),
    'tools, no system': dict(messages=[U('rate?')], tools=[rate, deep, bare]),
    'tools, typed': dict(messages=[S(text('sys')), U(text('rate?'))], tools=[bare, rate]),
    'tools off': dict(messages=[S('sys'), U('q')], tools=[]),
    'call and result': dict(messages=[U('rate?'), A('', tool_calls=[call()]), T('{"rate": 7.1}'), A('7.1'), U('thanks')], tools=[rate]),
    'call, no text': dict(messages=[S('s'), U('rate?'), A(None, tool_calls=[call()]), T('7.1')], tools=[rate]),
    'call with text': dict(messages=[U('rate?'), A('Let me see.', tool_calls=[call()]), T('7.1'), A('It is 7.1')], tools=[rate],
                           add_generation_prompt=False),
    'call, arguments as text': dict(messages=[U('rate?'), A('', tool_calls=[call(arguments='{"from": "CNY"}')]), T('7.1')], tools=[rate]),
    'call, nested arguments': dict(messages=[U('go'), A('', tool_calls=[call('book_trip', {'stops': [{'city': '北京', 'nights': 2}], 'who': {'name': 'A "B"', 'age': None}, 'paid': True})]),
                                             T('ok', 'book_trip')], tools=[deep]),
    'call, no arguments': dict(messages=[U('time?'), A('', tool_calls=[call('now', {})]), T('12:00', 'now')], tools=[bare]),
    'two calls at once': dict(messages=[U('rates?'), A('', tool_calls=[call(), call('now', {}, 'call00002')]), T('7.1'), T('12:00', 'now', 'call00002'), A('done'), U('ok')],
                              tools=[rate, bare]),
    'calls in a row': dict(messages=[U('go'), A('', tool_calls=[call('now', {})]), T('12', 'now'), A('', tool_calls=[call(i='call00002')]), T('7', i='call00002')],
                           tools=[rate, bare]),
    'call with reasoning': dict(messages=[U('go'), A('', reasoning_content='need it', tool_calls=[call()]), T('7'), A('7', reasoning_content='so'), U('more')], tools=[rate]),
    'result typed': dict(messages=[U('go'), A('', tool_calls=[call()]), T(text('7', '.1'))], tools=[rate]),
    'result without call': dict(messages=[U('go'), T('7')], tools=[rate]),
    'call without tools': dict(messages=[U('go'), A('', tool_calls=[call()]), T('7'), A('x'), U('y')]),
    'call without id': dict(messages=[U('go'), A('', tool_calls=[{'type': 'function', 'function': {'name': 'get_rate', 'arguments': {'from': 'USD'}}}]), {'role': 'tool', 'content': '7'}], tools=[rate]),
    'result, object': dict(messages=[U('go'), A('', tool_calls=[call()]), T({'rate': 7.25, 'ok': True, 'at': None})], tools=[rate]),
    'flags of families': dict(messages=[S('s'), U('q')], tools=[rate], tools_in_user_message=False, builtin_tools=['code_interpreter', 'brave_search'],
                              model_identity='You are Tailor.', xml_tools=[rate], custom_instructions='x', keep_all_reasoning=True),
    'numbers': dict(messages=[U('go'), A('', tool_calls=[call(arguments={'big': 12345678901234567890 // 10 ** 4, 'tiny': 1e-7, 'huge': 1e22, 'int': -3, 'one': 1.0})]), T('7')],
                    tools=[rate]),
}


def render(source, conversation):
    v = dict(bos_token='<s>', eos_token='</s>', date_string='26 Jul 2024', add_generation_prompt=True)
    v.update(conversation)
    try:
        return env.from_string(source).render(**v)
    except Exception: # whatever it is, the conversation is refused
        return None


def main():
    out = {'made_with': f'jinja2 {jinja2.__version__}', 'conversations': GRID, 'templates': {}}
    for name in sorted(n for n in os.listdir(sys.argv[1]) if n.endswith('.jinja')):
        source = open(os.path.join(sys.argv[1], name), encoding='utf-8').read()
        texts = {c: render(source, v) for c, v in GRID.items()}
        if os.path.exists(os.path.join(CARRIED, name)): out['templates'][name] = {'texts': texts}
        else: out['templates'][name] = {'sha256': {c: t and hashlib.sha256(t.encode()).hexdigest() for c, t in texts.items()}}
    with open(os.path.join(HERE, 'chat_grid.json'), 'w', encoding='utf-8') as f:
        json.dump(out, f, ensure_ascii=False, indent=0)
        f.write('\n')


main()
