#!/usr/bin/env python3
"""PyTorch + PEFT: LoRA on rows of the given lengths, in the shape of SmolLM2-135M, float32, padded batches.
The weights are random: they do not change the time. Rank 16, alpha 32, all linear layers, AdamW.
usage: torch_peer.py LENGTHS.json N_THREAD N_ROW     LENGTHS: [[n_tok, n_answer_tok], ...], N_ROW rows a step"""
import json, resource, sys, time
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

lengths, n_thread, n_row = json.load(open(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(n_thread); torch.manual_seed(0)
config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
                     num_key_value_heads=3, max_position_embeddings=2048, tie_word_embeddings=True, rope_theta=100000.0)
model = get_peft_model(LlamaForCausalLM(config).float(), LoraConfig(r=16, lora_alpha=32, target_modules='all-linear', task_type='CAUSAL_LM'))
opt = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
steps = [lengths[i:i + n_row] for i in range(0, len(lengths) - n_row + 1, n_row)]


def step(rows):
    width = max(n for n, _ in rows)
    ids = torch.randint(100, 40000, (len(rows), width)); labels = torch.full_like(ids, -100); mask = torch.zeros_like(ids)
    for r, (n, answer) in enumerate(rows): mask[r, :n] = 1; labels[r, n - answer:n] = ids[r, n - answer:n]
    model(input_ids=ids, attention_mask=mask, labels=labels).loss.backward()
    opt.step(); opt.zero_grad()


step(steps[0])
start = time.perf_counter()
for rows in steps[1:]: step(rows)
s = time.perf_counter() - start
print(json.dumps({'examples_s': n_row * (len(steps) - 1) / s, 'peak_rss_bytes': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
