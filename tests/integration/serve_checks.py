#!/usr/bin/env python3
"""Checks of a running server, with the standard library alone. usage: serve_checks.py PART URL

Prints one line a check: ok NAME | not ok NAME reason. Every wait has an end."""
import base64, http.client, json, socket, struct, sys, threading, time
from urllib.parse import urlsplit

PART, URL = sys.argv[1:3]
HOST, PORT = urlsplit(URL).hostname, urlsplit(URL).port
CHAT = '/v1/chat/completions'
failed = False


def check(name, good, why=''):
    global failed
    failed |= not good
    print(f'ok serve_{name}' if good else f'not ok serve_{name} {str(why)[:300]!r}', flush=True)


def call(method, path, body=None, headers={}):
    """(status, JSON or text, headers)"""
    c = http.client.HTTPConnection(HOST, PORT, timeout=60)
    c.request(method, path, json.dumps(body) if isinstance(body, dict) else body, headers)
    r = c.getresponse()
    raw = r.read()
    c.close()
    try: value = json.loads(raw)
    except ValueError: value = raw.decode('utf-8', 'replace')
    return r.status, value, r.headers


def ask(text='hello', **more):
    body = {'model': 'tiny', 'messages': [{'role': 'user', 'content': text}], 'max_tokens': 24, 'seed': 7}
    body.update(more)
    return {k: v for k, v in body.items() if v is not ...}


def answer(body):
    status, r, _ = call('POST', CHAT, body)
    if status != 200: raise RuntimeError(f'{status} {r}')
    return r['choices'][0]['message']['content']


def open_stream(body, receive_bytes=0):
    """a socket on which a stream begins"""
    s = socket.socket()
    if receive_bytes: s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    s.settimeout(60)
    s.connect((HOST, PORT))
    raw = json.dumps(body).encode()
    s.sendall(f'POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n'.encode() + raw)
    return s


def read_events(body):
    """all events of a stream; "[DONE]" as text"""
    c = http.client.HTTPConnection(HOST, PORT, timeout=60)
    c.request('POST', CHAT, json.dumps(body))
    r = c.getresponse()
    if r.status != 200: raise RuntimeError(f'{r.status} {r.read()}')
    kind, raw = r.headers['Content-Type'], r.read().decode()
    c.close()
    events = [e[6:] for e in raw.split('\n\n') if e]
    return kind, [e if e == '[DONE]' else json.loads(e) for e in events]


def metric(name):
    for line in call('GET', '/metrics')[1].splitlines():
        if line.startswith(name): return int(line.split()[-1])
    raise RuntimeError(f'no {name}')


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition(): return True
        time.sleep(0.02)
    return False


def idle(): return metric('tailor_sequences_running') == 0 and metric('tailor_sequences_waiting') == 0


def expect_error(name, status, body, *words, path=CHAT, method='POST', param=..., code=...):
    got, r, _ = call(method, path, body)
    e = r.get('error', {}) if isinstance(r, dict) else {}
    good = got == status and set(e) == {'message', 'type', 'code', 'param'} and all(w in e['message'] for w in words)
    good = good and (param is ... or e['param'] == param) and (code is ... or e['code'] == code)
    check(name, good, f'{got} {r}')


def basics():
    status, r, _ = call('GET', '/health')
    check('health', status == 200 and r['status'] == 'ok' and r['models'][0]['running'] == 0, r)
    status, r, _ = call('GET', '/v1/models')
    check('models', [m['id'] for m in r['data']] == ['tiny', 'second', 'tuned'] and r['data'][2]['parent'] == 'tiny', r)
    status, r, _ = call('GET', '/v1/models/tuned')
    check('model', status == 200 and r['id'] == 'tuned', r)
    status, r, _ = call('POST', CHAT, ask())
    u, c = r['usage'], r['choices'][0]
    check('chat', status == 200 and r['object'] == 'chat.completion' and c['message']['role'] == 'assistant'
          and c['finish_reason'] == 'length' and u['completion_tokens'] == 24
          and u['total_tokens'] == u['prompt_tokens'] + 24 and 'cached_tokens' in u['prompt_tokens_details'], r)
    long = 'one two three four five six seven eight nine ten ' * 4
    first, second = (call('POST', CHAT, ask(long))[1] for _ in range(2))
    check('prefix_cache', second['usage']['prompt_tokens_details']['cached_tokens'] >= 32
          and first['choices'] == second['choices'], second['usage'])
    parts = [{'type': 'text', 'text': 'hel'}, {'type': 'text', 'text': 'lo'}]
    check('text_parts', answer(ask()) == answer(ask(messages=[{'role': 'user', 'content': parts}])))
    check('ignored', answer(ask()) == answer(ask(user='me', store=True, metadata={'a': 'b'}, n=1, tools=[], logprobs=False,
                                                response_format={'type': 'text'}, top_logprobs=None)))
    check('max_completion_tokens', call('POST', CHAT, ask(max_tokens=..., max_completion_tokens=3))[1]['usage']['completion_tokens'] == 3)
    check('greedy', answer(ask(temperature=0, seed=1)) == answer(ask(temperature=0, seed=2)))
    check('seed', answer(ask(temperature=2)) == answer(ask(temperature=2)) != answer(ask(temperature=2, seed=8)))
    whole = answer(ask(temperature=0, max_tokens=40))
    stop = next(w for w in (whole[i:i + 2] for i in range(8, len(whole))) if w.isprintable())
    status, r, _ = call('POST', CHAT, ask(temperature=0, max_tokens=40, stop=[stop, 'never said']))
    c = r['choices'][0]
    check('stop', c['finish_reason'] == 'stop' and c['message']['content'] == whole[:whole.index(stop)], (stop, whole, c))
    check('adapter', answer(ask(temperature=0)) != answer(ask(temperature=0, model='tuned')))


def streams():
    for name, more in (('', {}), ('_usage', {'stream_options': {'include_usage': True}})):
        kind, events = read_events(ask(stream=True, max_tokens=60, **more))
        chunks = [e for e in events[:-1] if e['choices']]
        joined = ''.join(c['choices'][0]['delta'].get('content', '') for c in chunks)
        check('stream' + name, kind == 'text/event-stream' and events[-1] == '[DONE]' and joined == answer(ask(max_tokens=60))
              and chunks[0]['choices'][0]['delta']['role'] == 'assistant' and chunks[-1]['choices'][0]['finish_reason'] == 'length'
              and all(c['object'] == 'chat.completion.chunk' for c in chunks), events[-3:])
        last = events[-2]
        check('stream_last' + name, last.get('usage', {}).get('completion_tokens') == 60 if name else 'usage' not in last, last)
    c = http.client.HTTPConnection(HOST, PORT, timeout=60)  # one connection, several answers
    got = []
    for _ in range(3):
        c.request('POST', CHAT, json.dumps(ask(stream=True)))
        got.append(c.getresponse().read().decode().count('[DONE]'))
    check('keep_alive', got == [1, 1, 1], got)


def together():
    """answers of clients at the same time are those of each alone"""
    bodies = [ask(f'question {k} ' * (k + 1), seed=k, temperature=1.5, max_tokens=50, stream=k % 2 == 1,
                  model=('tiny', 'tuned', 'second')[k % 3]) for k in range(9)]

    def get(b):
        if not b['stream']: return answer(b)
        return ''.join(e['choices'][0]['delta'].get('content', '') for e in read_events(b)[1][:-1])

    alone = [get(b) for b in bodies]
    for n in (2, len(bodies)):
        got = [None] * n

        def client(k): got[k] = get(bodies[k])
        threads = [threading.Thread(target=client, args=(k,)) for k in range(n)]
        for t in threads: t.start()
        for t in threads: t.join(60)
        check(f'together_{n}', got == alone[:n], [g == a for g, a in zip(got, alone)])


def errors():
    expect_error('unknown_model', 404, ask(model='nobody'), 'nobody', param='model', code='model_not_found')
    expect_error('no_model', 400, ask(model=...), 'model', param='model')
    expect_error('bad_json', 400, '{"model": "tiny",\n  oops}', 'line 2', 'column', code='invalid_json')
    expect_error('not_an_object', 400, '[1]', 'object')
    expect_error('empty_body', 400, '')
    expect_error('no_messages', 400, ask(messages=...), 'messages', param='messages')
    expect_error('empty_messages', 400, ask(messages=[]), 'messages')
    expect_error('bad_role', 400, ask(messages=[{'role': 'tool', 'content': 'x'}]), 'tool')
    expect_error('image_part', 400, ask(messages=[{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'x'}}]}]),
                 'image_url', 'messages[0]')
    expect_error('null_content', 400, ask(messages=[{'role': 'user', 'content': None}]), 'messages[0].content')
    for key, value in (('tools', [{'type': 'function'}]), ('logprobs', True), ('response_format', {'type': 'json_object'}),
                       ('logit_bias', {'5': 1}), ('n', 2), ('best_of', 3), ('grammar', 'x')):
        expect_error(f'unsupported_{key}', 400, ask(**{key: value}), key, param=key)
    for key, value in (('temperature', -1), ('temperature', 'hot'), ('top_p', 0), ('top_k', 1.5), ('max_tokens', 0), ('stop', 5),
                       ('seed', 'x'), ('stream', 'yes'), ('min_p', 2), ('repetition_penalty', 0), ('presence_penalty', 99)):
        expect_error(f'bad_{key}_{value}', 400, ask(**{key: value}), key, param=key)
    expect_error('top_p_range', 400, ask(top_p=0), 'above 0, at most 1')
    check('top_p_small', answer(ask(top_p=1e-9)) == answer(ask(temperature=0)))
    expect_error('stream_options', 400, ask(stream=True, stream_options={'other': 1}), 'other')
    expect_error('too_long', 400, ask('word ' * 3000), 'tokens', '2048', code='context_length_exceeded')
    expect_error('method', 405, None, 'POST', method='GET')
    expect_error('method_of_health', 405, '{}', 'GET', path='/health')
    expect_error('address', 404, None, '/v2/nothing', path='/v2/nothing', method='GET')
    expect_error('body_too_large', 413, 'x' * 70000, '65536')
    status, r, h = call('DELETE', '/v1/models')
    check('method_allowed', status == 405 and h['Allow'] == 'GET, HEAD', (status, r, h))
    s = socket.create_connection((HOST, PORT), 60)
    raw = json.dumps(ask()).encode()
    s.sendall(f'POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(raw)}\r\nContent-Length: 3\r\n\r\n'.encode() + raw)
    r = http.client.HTTPResponse(s)
    r.begin()
    e = json.loads(r.read())['error']
    check('length_twice', r.status == 400 and e['code'] == 'malformed' and r.headers['Connection'] == 'close', (r.status, e))
    status, r, _ = call('POST', CHAT, 'y' * 400000, {'Expect': '100-continue'})
    check('body_too_large_at_once', status == 413, r)
    check('alive', answer(ask()) != '')


def leaving():
    endless = ask(max_tokens=1500, stream=True)
    for name, body in (('stream', endless), ('whole', dict(endless, stream=False))):
        before = metric('tailor_clients_left_total')
        sockets = [open_stream(body) for _ in range(4)]
        check(f'left_{name}_runs', until(lambda: metric('tailor_sequences_running') > 0))
        for s in sockets: s.close()
        check(f'left_{name}_frees', until(idle) and metric('tailor_kv_pages{') == metric('tailor_kv_pages_free{'))
        check(f'left_{name}_counted', until(lambda: metric('tailor_clients_left_total') > before))
    check('left_alive', answer(ask()) != '')


def slow():
    """a client that does not read pauses its answer and nobody else's; reading on, it gets all of it"""
    body = ask(max_tokens=9000, stream=True)
    s = open_stream(body, 4096)
    counts = [-2, -1]

    def stands():
        time.sleep(0.3)
        counts.append(metric('tailor_answer_tokens_total'))
        return counts[-1] == counts[-2] == counts[-3] and counts[-1] > 100
    check('slow_pauses', until(stands) and counts[-1] < 8900 and metric('tailor_sequences_running') == 1, counts)
    check('slow_stops_nobody', answer(ask()) != '')
    raw = b''
    while b'[DONE]' not in raw[-200:]:
        more = s.recv(1 << 20)
        if not more: break
        raw += more
    s.close()
    check('slow_gets_all', b'[DONE]' in raw and raw.count(b'"content"') > 2000 and until(idle), raw[-300:])


def keys():
    key = {'Authorization': 'Bearer second-key'}
    check('key_good', call('POST', CHAT, ask(), key)[0] == 200)
    for name, headers in (('none', {}), ('wrong', {'Authorization': 'Bearer second-kez'}), ('prefix', {'Authorization': 'Bearer second'}),
                          ('longer', {'Authorization': 'Bearer second-keyy'}), ('comment', {'Authorization': 'Bearer # keys'}),
                          ('basic', {'Authorization': 'Basic second-key'}), ('empty', {'Authorization': 'Bearer '})):
        status, r, h = call('POST', CHAT, ask(), headers)
        check(f'key_{name}', status == 401 and r['error']['code'] == 'invalid_api_key' and h['WWW-Authenticate'] == 'Bearer', r)
    check('key_models', call('GET', '/v1/models')[0] == 401)
    check('key_health', call('GET', '/health')[0] == 200)


def queue():
    """max_batch 1, max_queue 1: one runs, one waits, the third is refused"""
    sockets = [open_stream(ask(max_tokens=1500, stream=True))]
    until(lambda: metric_open('running') == 1)
    sockets.append(open_stream(ask(max_tokens=1500)))
    good = until(lambda: metric_open('waiting') == 1)
    status, r, h = call('POST', CHAT, ask())
    check('queue_full', good and status == 429 and r['error']['code'] == 'queue_full' and h['Retry-After'], (good, status, r))
    for s in sockets: s.close()
    check('queue_empties', until(lambda: metric_open('running') == 0) and answer(ask()) != '')


def metric_open(what): return call('GET', '/health')[1]['models'][0][what]


def drain():
    """the server was told to end while a stream runs: it is finished, others are refused"""
    s = open_stream(ask(max_tokens=int(sys.argv[3]), stream=True))
    first = s.recv(4096)
    print('started', flush=True)
    sys.stdin.readline()  # the signal was sent
    refused = until(lambda: call('GET', '/health')[0] == 503, 5)
    status, r, _ = call('POST', CHAT, ask())
    check('drain_refuses', refused and status == 503 and r['error']['code'] == 'draining', (refused, status, r))
    rest = first
    while True:
        more = s.recv(65536)
        if not more: break
        rest += more
        if b'[DONE]' in more or b'"error"' in more: break
    check('drain_finishes', b'[DONE]' in rest and b'"finish_reason":"length"' in rest, rest[-300:])


def read_all(s):
    raw = b''
    while True:
        more = s.recv(65536)
        if not more: return raw
        raw += more
        if b'[DONE]' in more or raw.endswith(b'}}'): return raw


def cut():
    """the server was told to end at once while answers run or wait (max_batch 2): each client is told"""
    endless = ask(max_tokens=..., stream=True)
    stream, usage = open_stream(endless), open_stream(dict(endless, stream_options={'include_usage': True}))
    heads = [stream.recv(4096), usage.recv(4096)]
    whole = open_stream(dict(endless, stream=False))
    waits = until(lambda: metric_open('waiting') == 1 and metric_open('running') == 2)
    print('started', flush=True)
    sys.stdin.readline()  # the signal was sent
    for name, head, s in (('stream', heads[0], stream), ('stream_usage', heads[1], usage)):
        raw = head + read_all(s)
        events = [line[6:] for line in raw.decode('utf-8', 'replace').splitlines() if line.startswith('data: ')]
        e = json.loads(events[-2])['error'] if len(events) > 2 else {}
        check(f'cut_{name}', events[-1] == '[DONE]' and set(e) == {'message', 'type', 'code', 'param'}
              and (e['type'], e['code']) == ('service_unavailable', 'draining') and raw.count(b'"error"') == 1, events[-3:])
    r = http.client.HTTPResponse(whole)
    r.begin()
    e = json.loads(r.read())['error']
    check('cut_whole', waits and r.status == 503 and e['code'] == 'draining' and r.headers['Retry-After'], (waits, r.status, e))


def embeddings():
    """POST /v1/embeddings beside a model that chats, against the golden vectors of the tiny BERT"""
    rows = json.load(open('tests/data/golden/models/bert-tiny/golden.json', encoding='utf-8'))['rows']
    texts = [r['text'] for r in rows]

    def embed(**body): return call('POST', '/v1/embeddings', dict(dict(model='bert', input=texts), **body))

    def near(vectors): return all(abs(a - b) < 1e-5 for v, r in zip(vectors, rows) for a, b in zip(v, r['mean'])) and len(vectors) == len(rows)

    status, r, _ = embed()
    check('embed', status == 200 and r['object'] == 'list' and near([d['embedding'] for d in r['data']])
          and [d['index'] for d in r['data']] == list(range(len(rows))) and r['usage']['prompt_tokens'] == sum(len(x['ids']) for x in rows), r)
    status, r, _ = embed(encoding_format='base64')
    vectors = [struct.unpack('<32f', base64.b64decode(d['embedding'])) for d in r['data']]
    check('embed_base64', status == 200 and near(vectors), r)
    status, r, _ = embed(input=texts[0], dimensions=7, user='x')
    check('embed_dimensions', status == 200 and len(r['data']) == 1 and len(r['data'][0]['embedding']) == 7, r)
    for name, body, code, word in (('tokens', dict(input=[1, 2]), 400, 'input'), ('chat_model', dict(model='tiny'), 400, 'tiny'),
                                   ('no_model', dict(model='none'), 404, 'none'), ('too_many', dict(dimensions=33), 400, '32'),
                                   ('too_long', dict(input='a ' * 99), 400, '101 tokens'), ('nothing', dict(input=[]), 400, 'input'),
                                   ('parameter', dict(truncate=True), 400, 'truncate'), ('format', dict(encoding_format='hex'), 400, 'base64')):
        status, r, _ = embed(**body)
        check(f'embed_{name}', status == code and word in r['error']['message'], (status, r))
    status, r, _ = call('POST', CHAT, ask(model='bert'))
    check('embed_no_chat', status == 400 and 'embedding' in r['error']['message'], (status, r))
    got = []
    threads = [threading.Thread(target=lambda: got.append(embed(input=texts * 20)[0])) for _ in range(6)]
    for t in threads: t.start()
    alone = answer(ask())
    for t in threads: t.join()
    check('embed_together', got == [200] * 6 and alone == answer(ask()), got)
    s = socket.create_connection((HOST, PORT), 60) # a client that leaves at once
    raw = json.dumps(dict(model='bert', input=texts * 100)).encode()
    s.sendall(b'POST /v1/embeddings HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n' % len(raw) + raw)
    s.close()
    check('embed_left', embed()[0] == 200)


PARTS = dict(embeddings=embeddings, basics=basics, streams=streams, together=together, errors=errors, leaving=leaving, slow=slow, keys=keys, queue=queue, drain=drain, cut=cut)
try: PARTS[PART]()
except Exception as ex: check(f'{PART}_ran', False, repr(ex))
sys.exit(failed)
