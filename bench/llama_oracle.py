#!/usr/bin/env python3
"""llama.cpp as an oracle: it loads every GGUF that Tailor writes, chooses the same greedy tokens, splits texts and embeds them alike.
usage: PEERS=DIR $PEERS/venv/bin/python bench/llama_oracle.py [--models DIR] [--gguf DIR] [--made] [--type F32] [--steps 40] [NAME...]
--models: Hugging Face directories, exported first; --gguf: the files of a folder as they are; --made: files of `tailor make-model` in the shapes
of real models, some layers of each; a NAME with a slash is a directory or a GGUF itself. PEERS is what bench/peers.sh filled.
Tailor computes in `reference`, llama.cpp in float32 without flash attention. A step where the two choose otherwise counts only where llama.cpp's
own margin is above the tolerance (its Gemma takes GELU from a half-precision table). Exit status 1 if anything differs or is not loaded."""
import argparse, importlib, json, os, re, shutil, struct, subprocess, sys, tempfile, types
import numpy as np

TAILOR, PEERS = os.environ.get('TAILOR', 'build/tailor'), os.environ.get('PEERS', '/tmp/peers')
TOLERANCE, GELU_TABLE = 2e-3, {'gemma2', 'gemma3'}
ROUNDED = 0.2   # with quantized weights it rounds activations to 8 bits
MADE = [('llama', '135m', 4), ('qwen2', '0.5b', 4), ('qwen3', '0.6b', 4), ('gemma2', '2b', 2), ('gemma3', '270m', 6), ('phi3', '4b', 2),
        ('olmo2', '1b', 2), ('granite', '2b', 2), ('smollm3', '3b', 4), ('qwen3moe', '30b-a3b', 1)]
TEXTS = ['the lost card, please', "  don't   stop 123,456!\n\n\tnext line", 'naïve Zürich façade 北京欢迎你 🙂', 'x' * 40 + ' (a+b)*[c]']
# What llama.cpp has no key for and takes from the architecture: a config is set to that before it is exported, or both would compute other models.
PLAIN = {'llama4': {'attention_chunk_size': 8192, 'floor_scale': 8192, 'attn_scale': 0.1}, 'mistral': {'sliding_window': None}}
LITE_LAYERS = 27   # llama.cpp knows DeepSeek files whose queries have no low rank by their 26 or 27 layers alone


def tailor(*args):
    r = subprocess.run([TAILOR, '--json', *map(str, args)], capture_output=True, text=True)
    if r.returncode: raise RuntimeError(f'{args[0]}: {(r.stdout or r.stderr).strip()[-300:]}')
    return json.loads(r.stdout.splitlines()[-1])


def safetensors(path):
    data = open(path, 'rb').read(); n = struct.unpack('<Q', data[:8])[0]; head = json.loads(data[8:8 + n]); head.pop('__metadata__', None)
    return {k: (t['dtype'], t['shape'], data[8 + n + t['data_offsets'][0]:8 + n + t['data_offsets'][1]]) for k, t in head.items()}


def write_safetensors(path, tensors):
    head, at = {}, 0
    for k, (dtype, shape, data) in tensors.items(): head[k] = {'dtype': dtype, 'shape': shape, 'data_offsets': [at, at + len(data)]}; at += len(data)
    text = json.dumps(head).encode(); text += b' ' * (-len(text) % 8)
    with open(path, 'wb') as f: f.write(struct.pack('<Q', len(text)) + text + b''.join(t[2] for t in tensors.values()))


def tailor_logits(model, ids):
    with tempfile.NamedTemporaryFile(suffix='.safetensors') as f:
        tailor('logits', model, '--ids', ','.join(map(str, ids)), '--out', f.name, '--reference')
        _, shape, data = safetensors(f.name)['logits']
    return np.frombuffer(data, '<f4').reshape(shape)


def bindings():
    """llama_cpp's ctypes declarations without the package around them, which wants more packages."""
    os.environ['LLAMA_CPP_LIB_PATH'] = f'{PEERS}/llama/build/bin'
    package = types.ModuleType('llama_cpp'); package.__path__ = [f'{PEERS}/llama/llama_cpp']; sys.modules['llama_cpp'] = package
    lib = importlib.import_module('llama_cpp.llama_cpp')
    lib.llama_backend_init()
    return lib


class Peer:
    def __init__(self, lib, path, n_ctx, embed=False):
        self.lib, self.lines = lib, []
        self.log = lib.llama_log_callback(lambda level, text, _: self.lines.append(text.decode(errors='replace')))
        lib.llama_log_set(self.log, None)
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        if not self.model: raise LookupError(' '.join(''.join(self.lines).strip().splitlines()[-2:]))
        p = lib.llama_context_default_params()
        p.n_ctx = p.n_batch = p.n_ubatch = n_ctx; p.n_threads = p.n_threads_batch = 2; p.type_k = p.type_v = 0; p.flash_attn_type = 0
        p.swa_full = True; p.embeddings = embed
        self.ctx = lib.llama_init_from_model(self.model, p)
        if not self.ctx: raise LookupError('no context: ' + ''.join(self.lines)[-200:])
        self.vocab = lib.llama_model_get_vocab(self.model); self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)

    def close(self): self.lib.llama_free(self.ctx); self.lib.llama_model_free(self.model)

    def run(self, ids):
        lib = self.lib
        memory = lib.llama_get_memory(self.ctx)
        if memory: lib.llama_memory_clear(memory, True)
        b = lib.llama_batch_init(len(ids), 0, 1); b.n_tokens = len(ids)
        for i, t in enumerate(ids): b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0], b.logits[i] = t, i, 1, 0, 1
        if lib.llama_decode(self.ctx, b): raise RuntimeError('llama_decode failed')
        lib.llama_batch_free(b)

    def logits(self, ids):
        """[len(ids)][n_vocab], of one sequence from its beginning."""
        self.run(ids)
        return np.array([np.ctypeslib.as_array(self.lib.llama_get_logits_ith(self.ctx, i), (self.n_vocab,)) for i in range(len(ids))])

    def vector(self, ids):
        self.run(ids)
        v = np.ctypeslib.as_array(self.lib.llama_get_embeddings_seq(self.ctx, 0), (self.lib.llama_model_n_embd(self.model),)).copy()
        return v / np.linalg.norm(v)

    def tokens(self, text, ends):
        data, out = text.encode(), (self.lib.llama_token * 4096)()
        return list(out[:self.lib.llama_tokenize(self.vocab, data, len(data), out, 4096, ends, False)])


def other_texts(peer, path):
    """Texts that the two split otherwise; None for a file without a vocabulary."""
    if not peer.lib.llama_vocab_type(peer.vocab): return None
    bad = []
    for t in TEXTS:
        ours, theirs = tailor('tokenize', path, '--raw', '--text', t)['ids'], peer.tokens(t, False)
        if ours != theirs: bad.append((t[:20], ours[:8], theirs[:8]))
    return bad


def tell(name, arch, ok, what, texts):
    split = 'ids only' if texts is None else f'{len(TEXTS) - len(texts)} of {len(TEXTS)} texts split alike'
    print(f'{"OTHER" if not ok or texts else "equal"} {name:26} {arch:10} {what}, {split}' + ''.join(f'\n      {t}' for t in texts or []), flush=True)
    return ok and not texts


def compare_tokens(lib, name, path, arch, n_vocab, steps, rounds):
    """Tailor's greedy ids, each chosen again by llama.cpp on the same prefix: one pass, since both are causal."""
    first = [(7 * i * i + 3 * i + 11) % n_vocab for i in range(8)]
    ids = first + tailor('generate', path, '--ids', ','.join(map(str, first)), '--max-tokens', steps, '--greedy', '--precision', 'reference', '--ignore-eos')['ids']
    ours, peer = tailor_logits(path, ids), Peer(lib, path, max(64, len(ids)))
    theirs, texts = peer.logits(ids), other_texts(peer, path); peer.close()
    tolerance = ROUNDED if rounds else TOLERANCE * (10 if arch in GELU_TABLE else 1)
    chosen = range(len(first) - 1, len(ids) - 1)
    other = [t - len(first) + 1 for t in chosen if theirs[t].max() - theirs[t][ids[t + 1]] > tolerance]
    exact = sum(int(theirs[t].argmax()) == ids[t + 1] for t in chosen)
    far = float(np.abs(ours - theirs).max()) / max(1.0, float(np.abs(theirs).max()))
    return tell(name, arch, not other and far < tolerance, f'{exact} of {steps} greedy tokens, logits {far:.1e} apart' + (f', first other step {other[0]}' if other else ''), texts)


def compare_vectors(lib, name, path, arch):
    peer, far = Peer(lib, path, 512, embed=True), 0
    for t in TEXTS: far = max(far, float(np.abs(peer.vector(peer.tokens(t, True)) - np.array(tailor('embed', path, '--text', t)['embeddings'][0])).max()))
    texts = other_texts(peer, path); peer.close()
    return tell(name, arch, far < TOLERANCE, f'vectors {far:.1e} apart', texts)


def stretched(tensors, n_layer):
    """The same model with its last layer repeated."""
    out, last = dict(tensors), max(int(m.group(1)) for m in (re.match(r'model\.layers\.(\d+)\.', k) for k in tensors) if m)
    for k, v in tensors.items():
        for i in range(last + 1, n_layer if f'.{last}.' in k else 0): out[k.replace(f'model.layers.{last}.', f'model.layers.{i}.')] = v
    return out


def plain(path, tmp):
    """The directory, or a copy that llama.cpp can know all about; and what was changed."""
    c = json.load(open(f'{path}/config.json')); said = ''
    change = next((v for k, v in PLAIN.items() if c.get('model_type', '').startswith(k) and any(c.get(n) != x for n, x in v.items())), {})
    lite = c.get('model_type') == 'deepseek_v2' and not c.get('q_lora_rank') and c['num_hidden_layers'] not in (26, LITE_LAYERS)
    if not change and not lite: return path, said
    shutil.rmtree(tmp, ignore_errors=True); os.mkdir(tmp); tensors = safetensors(f'{path}/model.safetensors')
    said = ' '.join(f'{k}={v}' for k, v in change.items()); c.update(change)
    if lite: tensors = stretched(tensors, LITE_LAYERS); c['num_hidden_layers'] = LITE_LAYERS; said = f'{LITE_LAYERS} layers'
    json.dump(c, open(f'{tmp}/config.json', 'w')); write_safetensors(f'{tmp}/model.safetensors', tensors)
    return tmp, said


class Run:
    def __init__(self, a, d): self.a, self.lib, self.out, self.dir, self.bad, self.unknown = a, bindings(), f'{d}/model.gguf', f'{d}/plain', [], []

    def file(self, name, path):
        try:
            info = tailor('inspect', path); arch = info['architecture']
            ok = compare_vectors(self.lib, name, path, arch) if arch == 'bert' else compare_tokens(self.lib, name, path, arch, info['n_vocab'], self.a.steps, info['file_type'] not in ('F32', 'F16', 'BF16'))
        except LookupError as ex: self.unknown.append(name); print(f'no    {name:26} {ex}', flush=True); return
        except RuntimeError as ex: ok = False; print(f'FAIL  {name:26} {ex}', flush=True)
        if not ok: self.bad.append(name)

    def directory(self, name, path):
        path, said = plain(path, self.dir)
        if said: print(f'      {name}: exported with {said}', flush=True)
        tailor('quantize', path, self.out, '--type', self.a.type); self.file(name, self.out)

    def made(self, arch, preset, n_layer):
        for q, size, layers in (('F32', 'tiny', 0), ('F16', preset, n_layer)):
            tailor('make-model', self.out, '--arch', arch, '--preset', size, '--layers', layers, '--type', q); self.file(f'{arch} {size} {q}', self.out)

    def all(self):
        a, here = self.a, [n for n in self.a.names if '/' in n]; names = set(a.names) - set(here)
        for n in here: (self.file if n.endswith('.gguf') else self.directory)(os.path.basename(n.rstrip('/')), n)
        for n in sorted(os.listdir(a.models)) if a.models else []:
            if os.path.exists(f'{a.models}/{n}/config.json') and (not names or n in names): self.directory(n, f'{a.models}/{n}')
        for n in sorted(os.listdir(a.gguf)) if a.gguf else []:
            if n.endswith('.gguf') and (not names or n[:-5] in names): self.file(n, f'{a.gguf}/{n}')
        for m in MADE if a.made else []:
            if not names or m[0] in names: self.made(*m)


def main():
    p = argparse.ArgumentParser(); p.add_argument('names', nargs='*'); p.add_argument('--models'); p.add_argument('--gguf'); p.add_argument('--made', action='store_true')
    p.add_argument('--type', default='F32'); p.add_argument('--steps', type=int, default=40); a = p.parse_intermixed_args()
    with tempfile.TemporaryDirectory() as d: run = Run(a, d); run.all()
    print(f'{len(run.bad)} differ{": " + ", ".join(run.bad) if run.bad else ""}; not loaded by llama.cpp: {", ".join(run.unknown) or "none"}')
    return 1 if run.bad or run.unknown else 0


if __name__ == "__main__": sys.exit(main())
