#!/usr/bin/env python3
"""Makes what embedding is held against, with PyTorch and transformers in float32, eager attention:
tests/data/golden/models/bert-tiny (a tiny random BERT in sentence-transformers layout, its vectors in golden.json), and
tests/data/golden/minilm.json (vectors of the real all-MiniLM-L6-v2). usage: make_bert_golden.py MINILM_FOLDER"""
import json, os, sys

import torch, transformers
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data', 'golden')
TEXTS = ['This is an example sentence', 'Each sentence is converted', 'How do I reset my card PIN?', '银行卡被吞了怎么办？',
         'Café Zürich — naïve déjà-vu, 42% off!', '', 'a', 'The quick brown fox jumps over the lazy dog. ' * 12,
         'def f(x):\n\treturn x ** 2  # square', '🌍 emoji and symbols ∑∂ ½ ™']


def vector(model, ids):
    with torch.no_grad(): h = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    mean = h.mean(0)
    return h, (mean / mean.norm()).tolist()


def tiny(folder):
    torch.manual_seed(7)
    words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + list('abcdefghijklmnopqrstuvwxyz0123456789.,!?') + \
        [f'##{c}' for c in 'abcdefghijklmnopqrstuvwxyz0123456789'] + ['the', 'card', 'bank', 'lost', '银', '行', '##ing', '##ed']
    config = BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
                        max_position_embeddings=80, initializer_range=0.4)
    model = BertModel(config, add_pooling_layer=False).eval()
    for p in model.parameters(): # norms and biases too, or a missing one would not be seen
        if p.dim() == 1: p.data += torch.randn_like(p) * 0.2
    model.save_pretrained(folder)
    special = [{'id': i, 'content': words[i], 'single_word': False, 'lstrip': i == 4, 'rstrip': False, 'normalized': False, 'special': True} for i in range(5)]
    tokenizer = {'version': '1.0', 'added_tokens': special,
                 'normalizer': {'type': 'BertNormalizer', 'clean_text': True, 'handle_chinese_chars': True, 'strip_accents': None, 'lowercase': True},
                 'pre_tokenizer': {'type': 'BertPreTokenizer'}, 'decoder': {'type': 'WordPiece', 'prefix': '##', 'cleanup': True},
                 'post_processor': {'type': 'TemplateProcessing',
                                    'single': [{'SpecialToken': {'id': '[CLS]', 'type_id': 0}}, {'Sequence': {'id': 'A', 'type_id': 0}}, {'SpecialToken': {'id': '[SEP]', 'type_id': 0}}],
                                    'pair': [{'Sequence': {'id': 'A', 'type_id': 0}}, {'Sequence': {'id': 'B', 'type_id': 1}}],
                                    'special_tokens': {t: {'id': t, 'ids': [words.index(t)], 'tokens': [t]} for t in ('[CLS]', '[SEP]')}},
                 'model': {'type': 'WordPiece', 'unk_token': '[UNK]', 'continuing_subword_prefix': '##', 'max_input_chars_per_word': 100,
                           'vocab': {w: i for i, w in enumerate(words)}}}
    save = lambda name, j: json.dump(j, open(os.path.join(folder, name), 'w', encoding='utf-8'), ensure_ascii=False)
    save('tokenizer.json', tokenizer)
    save('tokenizer_config.json', {'unk_token': '[UNK]', 'cls_token': '[CLS]', 'sep_token': '[SEP]', 'pad_token': '[PAD]', 'tokenizer_class': 'BertTokenizer'})
    os.makedirs(os.path.join(folder, '1_Pooling'), exist_ok=True)
    save('1_Pooling/config.json', {'word_embedding_dimension': 32, 'pooling_mode_cls_token': False, 'pooling_mode_mean_tokens': True})
    save('modules.json', [{'idx': 0, 'path': '', 'type': 'sentence_transformers.models.Transformer'},
                          {'idx': 1, 'path': '1_Pooling', 'type': 'sentence_transformers.models.Pooling'},
                          {'idx': 2, 'path': '2_Normalize', 'type': 'sentence_transformers.models.Normalize'}])
    save('sentence_bert_config.json', {'max_seq_length': 64})
    tok = transformers.PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, 'tokenizer.json'))
    out = []
    for text in ['the card is lost', 'Bank 银行!', 'a', 'locked and blocking, 42 times', 'abcdefghijklmnopqrstuvwxyz ' * 2]:
        ids = tok(text)['input_ids']
        h, mean = vector(model, ids)
        unit = lambda v: (v / v.norm()).tolist()
        out.append({'text': text, 'ids': ids, 'mean': mean, 'cls': unit(h[0]), 'last': unit(h[-1])})
    save('golden.json', {'made_with': f'torch {torch.__version__}, transformers {transformers.__version__}', 'rows': out})


def minilm(folder):
    model, tok = AutoModel.from_pretrained(folder, attn_implementation='eager').eval(), AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in TEXTS:
        ids = tok(text, truncation=True, max_length=256)['input_ids']
        rows.append({'text': text, 'ids': ids, 'mean': [round(x, 8) for x in vector(model, ids)[1]]})
    with open(os.path.join(GOLDEN, 'minilm.json'), 'w', encoding='utf-8') as f:
        json.dump({'made_with': f'torch {torch.__version__}, transformers {transformers.__version__}', 'rows': rows}, f, ensure_ascii=False)
        f.write('\n')


tiny(os.path.join(GOLDEN, 'models', 'bert-tiny'))
minilm(sys.argv[1])
