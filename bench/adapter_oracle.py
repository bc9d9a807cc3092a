#!/usr/bin/env python3
"""PEFT and llama.cpp as oracles of adapters: what one side writes, the other computes alike.
usage: PEERS=DIR $PEERS/venv/bin/python bench/adapter_oracle.py --models DIR [--only CASE] [NAME...]
For every Hugging Face directory NAME under --models (default: some families) and every case (lora, rslora, dora, pattern, regex, layers) PEFT makes an
adapter with random factors and writes it; Tailor loads it, exports it again as a PEFT directory, as a GGUF LoRA, and merges it into a GGUF and a directory.
Compared: PEFT's logits with Tailor's of PEFT's directory; PEFT's logits of the directory that Tailor wrote; llama.cpp's of the exported base with the
GGUF LoRA, of the merged GGUF, and Tailor's with that LoRA; transformers' of the merged directory. PEERS is what bench/peers.sh filled.
Adapters that cannot be computed must be refused by name. Exit status 1 if anything differs."""
import argparse, json, os, shutil, sys, tempfile, warnings
import numpy as np, torch
import llama_oracle as oracle
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM
from transformers.utils import logging as hf_logging

FAMILIES = ['llama', 'qwen2', 'qwen3', 'gemma2', 'gemma3', 'mistral', 'phi3', 'olmo2', 'granite', 'smollm3']
TOLERANCE, FORWARD, GREEDY = 1e-4, 24, 16
ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj']
FUSED = ['qkv_proj', 'o_proj', 'gate_up_proj', 'down_proj']
# of LoraConfig; {q} and {up} stand for the name that the family has
CASES = {
    'lora': dict(r=4, lora_alpha=8),
    'rslora': dict(r=4, lora_alpha=6, use_rslora=True),
    'dora': dict(r=4, lora_alpha=8, use_dora=True),
    'pattern': dict(r=4, lora_alpha=8, rank_pattern={'{q}': 2, r'layers\.1\.mlp\.{up}': 7}, alpha_pattern={'down_proj': 3, r'model.layers.0.self_attn.o_proj': 5.5}),
    'rspattern': dict(r=4, lora_alpha=8, use_rslora=True, rank_pattern={'{q}': 2}, alpha_pattern={'down_proj': 3}),
    'regex': dict(r=3, lora_alpha=8, target_modules=r'.*\.(self_attn\.o_proj|mlp\.(?:{up}|down_proj))'),
    'layers': dict(r=3, lora_alpha=8, target_modules=['{q}', 'model.layers.0.mlp.down_proj', 'o_proj'], layers_to_transform=[1]),
    'exclude': dict(r=3, lora_alpha=8, exclude_modules=r'.*layers\.0\.self_attn.*'),
}
REFUSED = {
    'modules_to_save': dict(r=4, target_modules=['o_proj'], modules_to_save=['lm_head']),
    'bias': dict(r=4, target_modules=['o_proj'], bias='all'),
    'embed_tokens': dict(r=4, target_modules=['o_proj', 'embed_tokens']),
}


def named(value, fused):
    if isinstance(value, str): return value.replace('{q}', 'qkv_proj' if fused else 'q_proj').replace('{up}', 'gate_up_proj' if fused else 'up_proj')
    if isinstance(value, dict): return {named(k, fused): named(v, fused) for k, v in value.items()}
    return [named(v, fused) for v in value] if isinstance(value, list) else value


def load(path): return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, attn_implementation='eager').eval()


def logits(model, ids):
    with torch.no_grad(): return model(torch.tensor([ids])).logits[0].numpy()


def tailor_logits(model, ids, adapter=None):
    with tempfile.NamedTemporaryFile(suffix='.safetensors') as f:
        oracle.tailor('logits', model, '--ids', ','.join(map(str, ids)), '--out', f.name, '--reference', *(['--adapter', adapter] if adapter else []))
        _, shape, data = oracle.safetensors(f.name)['logits']
    return np.frombuffer(data, '<f4').reshape(shape)


def made(path, options, to):
    """An adapter of PEFT with factors that change something, and its model."""
    torch.manual_seed(5)
    fused = json.load(open(f'{path}/config.json'))['model_type'] == 'phi3'
    options = {'target_modules': FUSED if fused else ALL, 'task_type': 'CAUSAL_LM', **{k: named(v, fused) for k, v in options.items()}}
    model = get_peft_model(load(path), LoraConfig(**options)).eval()
    for name, p in model.named_parameters():
        if 'lora_A' in name or 'lora_B' in name: torch.nn.init.normal_(p, std=0.1)
        if 'magnitude' in name: p.data.mul_(1 + 0.2 * torch.rand_like(p))
    model.save_pretrained(to)
    return model


class Peer(oracle.Peer):
    def adapter(self, path):
        """Its logits with a GGUF LoRA on top."""
        a = self.lib.llama_adapter_lora_init(self.model, path.encode())
        if not a: raise LookupError(' '.join(''.join(self.lines).strip().splitlines()[-2:]))
        import ctypes
        if hasattr(self.lib, 'llama_set_adapters_lora'):
            one, scale = (self.lib.llama_adapter_lora_p_ctypes * 1)(a), (ctypes.c_float * 1)(1.0)
            rc = self.lib.llama_set_adapters_lora(self.ctx, one, 1, scale)
        else: rc = self.lib.llama_set_adapter_lora(self.ctx, a, 1.0)
        if rc: raise LookupError('the adapter is not taken')


class Run:
    def __init__(self, models, d): self.models, self.dir, self.bad, self.lib = models, d, [], oracle.bindings()

    def note(self, name, what, ok, said):
        print(f'{"equal" if ok else "OTHER"} {name:22} {what:28} {said}', flush=True)
        if not ok: self.bad.append(f'{name} {what}')

    def close(self, name, what, theirs, ours, tolerance=TOLERANCE):
        far = float(np.abs(theirs - ours).max()); self.note(name, what, far <= tolerance, f'{far:.1e} apart')

    def attempt(self, name, what, fn):
        try: fn()
        except (RuntimeError, LookupError, ValueError) as ex: self.note(name, what, False, str(ex)[-260:])

    def place(self, what):
        path = f'{self.dir}/{what}'
        shutil.rmtree(path, ignore_errors=True)
        if os.path.isfile(path): os.unlink(path)
        return path

    def greedy(self, name, what, model, lora, want, arch):
        """The greedy tokens of PEFT's model, chosen by llama.cpp on the same prefix."""
        ids, logits_ = want
        peer = Peer(self.lib, model, max(64, len(ids)))
        try:
            if lora: peer.adapter(lora)
            theirs = peer.logits(ids)
        finally: peer.close()
        tolerance = oracle.TOLERANCE * (10 if arch in oracle.GELU_TABLE else 1)
        chosen = range(len(ids) - GREEDY - 1, len(ids) - 1)
        other = [t for t in chosen if theirs[t].max() - theirs[t][ids[t + 1]] > tolerance]
        exact, far = sum(int(theirs[t].argmax()) == ids[t + 1] for t in chosen), float(np.abs(theirs - logits_).max())
        self.note(name, what, not other and far < tolerance * max(1.0, float(np.abs(theirs).max())), f'{exact} of {GREEDY} greedy tokens, logits {far:.1e} apart')

    def case(self, family, case):
        name, path, peft_dir = f'{family} {case}', f'{self.models}/{family}', self.place('peft')
        arch = oracle.tailor('inspect', path)['architecture']
        model = made(path, CASES[case], peft_dir)
        ids = [(7 * i * i + 3 * i + 11) % model.config.vocab_size for i in range(FORWARD)]
        base = logits(load(path), ids)
        for _ in range(GREEDY): ids.append(int(logits(model, ids)[-1].argmax()))
        want = logits(model, ids)
        self.note(name, 'adapter changes logits', float(np.abs(want[:FORWARD] - base).max()) > 1e-2, '')

        def own():
            self.close(name, "PEFT's, in Tailor", want, tailor_logits(path, ids, peft_dir))
        def back():
            out = self.place('back'); oracle.tailor('export', path, out, '--format', 'peft', '--adapter', peft_dir)
            self.close(name, "Tailor's, in PEFT", want, logits(PeftModel.from_pretrained(load(path), out).eval(), ids))
        def hf():
            out = self.place('merged'); oracle.tailor('merge', path, out, '--adapter', peft_dir)
            self.close(name, 'merged, in transformers', want, logits(load(out), ids))
        def gguf():
            out = self.place('merged.gguf'); oracle.tailor('merge', path, out, '--adapter', peft_dir, '--type', 'F32')
            self.greedy(name, 'merged GGUF, in llama.cpp', out, None, (ids, want), arch)
        def lora():
            out, exported = self.place('lora.gguf'), self.place('base.gguf')
            oracle.tailor('quantize', path, exported, '--type', 'F32')
            oracle.tailor('export', exported, out, '--format', 'gguf-lora', '--adapter', f'{peft_dir},check=no')
            self.greedy(name, 'GGUF LoRA, in llama.cpp', exported, out, (ids, want), arch)
            self.close(name, 'GGUF LoRA, in Tailor', want, tailor_logits(exported, ids, f'{out}'))
            self.close(name, '  the same on the directory', want, tailor_logits(path, ids, f'{out}'))
        for fn in (own, back, hf, gguf): self.attempt(name, fn.__name__, fn)
        if case == 'dora': self.refused(name, 'GGUF LoRA', 'DoRA', lambda: oracle.tailor('export', path, self.place('lora.gguf'), '--format', 'gguf-lora', '--adapter', peft_dir))
        else: self.attempt(name, lora.__name__, lora)

    def refused(self, name, what, part, fn):
        try: fn()
        except RuntimeError as ex: self.note(name, f'{what} refused', part in str(ex), str(ex)[-120:]); return
        self.note(name, f'{what} refused', False, 'taken')

    def refusals(self, family):
        path = f'{self.models}/{family}'
        for part, options in REFUSED.items():
            out = self.place('refused'); made(path, options, out)
            self.refused(family, part, part, lambda: tailor_logits(path, [1, 2, 3], out))


def main():
    p = argparse.ArgumentParser(); p.add_argument('names', nargs='*'); p.add_argument('--models', required=True); p.add_argument('--only', choices=list(CASES))
    a = p.parse_intermixed_args(); warnings.simplefilter('ignore'); hf_logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as d:
        run = Run(a.models, d)
        for family in a.names or FAMILIES:
            for case in [a.only] if a.only else CASES: run.attempt(f'{family} {case}', 'case', lambda: run.case(family, case))
        run.refusals((a.names or FAMILIES)[0])
    print(f'{len(run.bad)} differ{": " + ", ".join(run.bad) if run.bad else ""}')
    return 1 if run.bad else 0


if __name__ == '__main__': sys.exit(main())
