#!/usr/bin/env python3
"""A model that chats for as long as one likes, and an adapter for it, for tests of the server.

usage: tiny_chat_model.py TINY.gguf OUT.gguf ADAPTER_DIR [ends]

OUT is TINY with a chat template, a long context and no end token, so an answer ends where max_tokens says; with `ends` it keeps
the end token, and the template puts it behind every answer."""
import json, math, os, struct, sys

SIZE = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
STRING, ARRAY, U32 = 8, 9, 4
ENDS = sys.argv[4:] == ['ends']
TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}" + \
           ("{% if m.role == 'assistant' %}</s>{% endif %}" if ENDS else "") + "\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}"


def text(s): return struct.pack('<Q', len(s.encode())) + s.encode()


class Reader:
    def __init__(self, data): self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def number(self, form): return struct.unpack('<' + form, self.take(struct.calcsize('<' + form)))[0]

    def string(self): return self.take(self.number('Q')).decode('utf-8', 'replace')

    def value(self, kind):
        """the bytes of one value"""
        begin = self.at
        if kind == STRING: self.string()
        elif kind == ARRAY:
            item, n = self.number('I'), self.number('Q')
            for _ in range(n): self.value(item)
        else: self.take(SIZE[kind])
        return self.data[begin:self.at]


def make_model(source, target):
    data = open(source, 'rb').read()
    r = Reader(data)
    magic, n_tensor, n_kv = r.take(8), r.number('Q'), r.number('Q')
    kv = []
    for _ in range(n_kv):
        key, kind = r.string(), r.number('I')
        kv.append((key, kind, r.value(kind)))
    begin = r.at
    for _ in range(n_tensor):
        r.string()
        r.take(8 * r.number('I') + 4 + 8)
    infos, tensors = data[begin:r.at], data[(r.at + 31) // 32 * 32:]
    kv = [k for k in kv if k[0] != 'llama.context_length' and (ENDS or k[0] != 'tokenizer.ggml.eos_token_id')]
    kv.append(('llama.context_length', U32, struct.pack('<I', 1 << 20)))
    kv.append(('tokenizer.chat_template', STRING, text(TEMPLATE)))
    head = magic + struct.pack('<QQ', n_tensor, len(kv))
    head += b''.join(text(k) + struct.pack('<I', kind) + value for k, kind, value in kv) + infos
    with open(target, 'wb') as f: f.write(head + b'\0' * (-len(head) % 32) + tensors)


def make_adapter(folder, n_layer=4, n_embd=64, rank=2):
    os.makedirs(folder, exist_ok=True)
    config = {'peft_type': 'LORA', 'task_type': 'CAUSAL_LM', 'r': rank, 'lora_alpha': 8, 'target_modules': ['q_proj', 'o_proj'],
              'lora_dropout': 0.0, 'bias': 'none', 'use_rslora': False, 'use_dora': False, 'base_model_name_or_path': 'tiny'}
    with open(f'{folder}/adapter_config.json', 'w') as f: json.dump(config, f)
    head, blob, seed = {}, b'', 0
    for layer in range(n_layer):
        for site in ('q_proj', 'o_proj'):
            for part, shape in (('A', (rank, n_embd)), ('B', (n_embd, rank))):
                values = [math.sin(seed + 7.3 * i) for i in range(shape[0] * shape[1])]
                seed += 1
                raw = struct.pack(f'<{len(values)}f', *values)
                head[f'base_model.model.model.layers.{layer}.self_attn.{site}.lora_{part}.weight'] = {
                    'dtype': 'F32', 'shape': shape, 'data_offsets': [len(blob), len(blob) + len(raw)]}
                blob += raw
    text_head = json.dumps(head).encode()
    text_head += b' ' * (-len(text_head) % 8)
    with open(f'{folder}/adapter_model.safetensors', 'wb') as f:
        f.write(struct.pack('<Q', len(text_head)) + text_head + blob)


make_model(sys.argv[1], sys.argv[2])
make_adapter(sys.argv[3])
