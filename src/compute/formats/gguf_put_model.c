/* Metadata of an open model, declared in a GGUF that is being written. Owns the translation of hyper-parameters and
 * tokenizer of a Hugging Face directory into GGUF's keys; the keys of a GGUF are copied as they are. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/arch_int.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

static const char *key_of(const struct gguf_keys *k, const char *name, char key[96])
{
    snprintf(key, 96, "%s.%s", k->p->architecture, name);
    return key;
}

void gguf_keys_int(struct gguf_keys *k, const char *name, int value)
{
    char key[96];
    k->failed |= gguf_put_u32(k->w, key_of(k, name, key), (uint32_t)value) != 0;
}

void gguf_keys_float(struct gguf_keys *k, const char *name, double value)
{
    char key[96];
    k->failed |= gguf_put_f32(k->w, key_of(k, name, key), (float)value) != 0;
}

void gguf_keys_bool(struct gguf_keys *k, const char *name, bool value)
{
    char key[96];
    k->failed |= gguf_put_bool(k->w, key_of(k, name, key), value) != 0;
}

static void put_text(struct gguf_keys *k, const char *key, const char *text)
{
    k->failed |= text && gguf_put_str(k->w, key, text, strlen(text)) != 0;
}

static void put_id(struct gguf_keys *k, const char *key, int id)
{
    k->failed |= id >= 0 && gguf_put_u32(k->w, key, (uint32_t)id) != 0;
}

/* What a reader of the keys takes for the magnitude. */
static float usual_magnitude(const struct model_rope *r, const struct arch *a)
{
    return r->yarn.factor > 1 && !a->own_magnitude ? (float)(0.1 * log(r->yarn.factor) + 1) : 1.0f;
}

/* One factor for all frequencies and YaRN have keys; factors that differ otherwise are a tensor, which the caller
 * writes. Another magnitude than the usual one would be left out: it has a key of its own. */
static void put_rope(struct gguf_keys *k, const struct arch *a)
{
    char key[96];
    const struct model_rope *r = &k->p->rope[0];
    bool same = true;
    for (int i = 1; i < k->p->n_rot / 2; i++) {
        same = same && r->factor[i] == r->factor[0];
    }
    gguf_keys_int(k, "rope.dimension_count", k->p->n_rot);
    gguf_keys_float(k, "rope.freq_base", r->theta);
    if (r->yarn.factor > 0) {
        put_text(k, key_of(k, "rope.scaling.type", key), "yarn");
        gguf_keys_float(k, "rope.scaling.factor", r->yarn.factor);
        gguf_keys_int(k, "rope.scaling.original_context_length", (int)r->yarn.n_ctx_orig);
        gguf_keys_float(k, "rope.scaling.yarn_beta_fast", r->yarn.beta_fast);
        gguf_keys_float(k, "rope.scaling.yarn_beta_slow", r->yarn.beta_slow);
    } else if (same && r->factor[0] != 1.0f && r->n_ctx_short == 0) {
        put_text(k, key_of(k, "rope.scaling.type", key), "linear");
        gguf_keys_float(k, "rope.scaling.factor", (double)r->factor[0]);
    }
    if (r->magnitude != usual_magnitude(r, a) && r->n_ctx_short == 0) {
        k->failed |= gguf_put_f32(k->w, "tailor.rope.magnitude", r->magnitude) != 0;
    }
}

/* Whether a reader of the usual keys alone would take the layers for others than they are. */
static void put_layers(struct gguf_keys *k, const struct arch *a)
{
    const struct model_params *p = k->p;
    int32_t window[MODEL_MAX_LAYER], rope[MODEL_MAX_LAYER];
    bool same_window = true, same_rope = true;
    int widest = 0;
    struct model_params *usual = mem_try_alloc(sizeof *usual);
    if (!usual) {
        k->failed = true;
        return;
    }
    for (int i = 0; i < p->n_layer; i++) {
        window[i] = p->layer[i].window;
        rope[i] = p->layer[i].rope;
        widest = window[i] > widest ? window[i] : widest;
    }
    *usual = *p;
    arch_layers(a, usual, widest);
    for (int i = 0; i < p->n_layer; i++) {
        same_window = same_window && usual->layer[i].window == window[i];
        same_rope = same_rope && usual->layer[i].rope == rope[i];
    }
    if (widest > 0) {
        if (a->window_has_key) {
            gguf_keys_int(k, "attention.sliding_window", widest);
        } else { /* no key that other programs read for these families */
            k->failed |= gguf_put_u32(k->w, "tailor.attention.sliding_window", (uint32_t)widest) != 0;
        }
    }
    size_t n = (size_t)p->n_layer;
    k->failed |= !same_window && gguf_put_array(k->w, "tailor.attention.layer_windows", GGUF_I32, window, NULL, n) != 0;
    k->failed |= !same_rope && gguf_put_array(k->w, "tailor.rope.layers", GGUF_I32, rope, NULL, n) != 0;
    mem_free(usual);
}

/* The scale of scores, where the architecture's own rule or key does not give it. */
static void put_scale(struct gguf_keys *k, const struct arch *a)
{
    const struct model_params *p = k->p;
    if (!a->scale_has_key && p->attn_scale != 1.0f / sqrtf((float)p->d_head)) {
        k->failed |= gguf_put_f32(k->w, "tailor.attention.scale", p->attn_scale) != 0;
    }
}

static void put_params(struct gguf_keys *k, const char *name)
{
    const struct model_params *p = k->p;
    const struct {
        const char *name;
        int value;
    } number[] = {{"block_count", p->n_layer},
                  {"context_length", p->n_ctx_train},
                  {"embedding_length", p->n_embd},
                  {"feed_forward_length", p->n_ff},
                  {"attention.head_count", p->n_head},
                  {"attention.head_count_kv", p->n_kv_head},
                  {"attention.key_length", p->latent.n_latent ? p->latent.n_latent + p->n_rot : p->d_head},
                  {"attention.value_length", p->latent.n_latent ? p->latent.n_latent : p->d_head},
                  {"vocab_size", p->n_vocab}};
    put_text(k, "general.architecture", p->architecture);
    put_text(k, "general.type", "model");
    put_text(k, "general.name", name);
    for (size_t i = 0; i < N_ELEM(number); i++) {
        gguf_keys_int(k, number[i].name, number[i].value);
    }
    gguf_keys_float(k, "attention.layer_norm_rms_epsilon", (double)p->rms_eps);
    const struct arch *a = arch_find(p->architecture);
    put_rope(k, a);
    put_layers(k, a);
    if (a->put_gguf) {
        a->put_gguf(k);
    }
    put_scale(k, a);
}

int gguf_put_params(struct gguf_writer *w, const struct model_params *p, const char *name)
{
    struct gguf_keys k = {.w = w, .p = p};
    put_params(&k, name);
    return k.failed ? -ERR_NOMEM : 0;
}

/* Tokens and types, filled up with unused ones to the rows of the embedding. */
static void put_tokens(struct gguf_keys *k)
{
    enum { TYPE_NORMAL = 1, TYPE_UNUSED = 5, PAD_BYTES = 24 };
    const struct vocab_source *v = k->v;
    size_t n = (size_t)k->p->n_vocab > v->n_token ? (size_t)k->p->n_vocab : v->n_token;
    const char **token = mem_try_array(n, sizeof *token);
    uint32_t *len = mem_try_array(n, sizeof *len);
    int32_t *type = mem_try_array(n, sizeof *type);
    char *pad = mem_try_array(n - v->n_token + 1, PAD_BYTES);
    if (token && len && type && pad) {
        for (size_t i = 0; i < n; i++) {
            bool real = i < v->n_token;
            char *text = real ? pad : pad + (i - v->n_token) * PAD_BYTES;
            len[i] = real ? v->token_len[i] : (uint32_t)snprintf(text, PAD_BYTES, "[PAD%zu]", i);
            token[i] = real ? v->token[i] : text;
            type[i] = !real ? TYPE_UNUSED : v->type ? v->type[i] : TYPE_NORMAL;
        }
        k->failed |= gguf_put_array(k->w, "tokenizer.ggml.tokens", GGUF_STRING, token, len, n) != 0;
        k->failed |= gguf_put_array(k->w, "tokenizer.ggml.token_type", GGUF_I32, type, NULL, n) != 0;
    } else {
        k->failed = true;
    }
    mem_free(token);
    mem_free(len);
    mem_free(type);
    mem_free(pad);
}

static void put_vocab(struct gguf_keys *k)
{
    const struct vocab_source *v = k->v;
    put_text(k, "tokenizer.ggml.model", v->model);
    put_text(k, "tokenizer.ggml.pre", v->pre);
    put_tokens(k);
    k->failed |= gguf_put_array(k->w, "tokenizer.ggml.merges", GGUF_STRING, v->merge, NULL, v->n_merge) != 0;
    put_id(k, "tokenizer.ggml.bos_token_id", v->bos_id);
    put_id(k, "tokenizer.ggml.eos_token_id", v->eos_id);
    put_id(k, "tokenizer.ggml.eot_token_id", v->eot_id);
    put_id(k, "tokenizer.ggml.unknown_token_id", v->unk_id);
    put_id(k, "tokenizer.ggml.padding_token_id", v->pad_id);
    k->failed |= gguf_put_bool(k->w, "tokenizer.ggml.add_bos_token", v->add_bos) != 0;
    k->failed |= gguf_put_bool(k->w, "tokenizer.ggml.add_eos_token", v->add_eos) != 0;
    k->failed |= gguf_put_bool(k->w, "tokenizer.ggml.add_space_prefix", v->add_space_prefix) != 0;
    put_text(k, "tokenizer.chat_template", v->chat_template);
}

static int put_hf(struct gguf_writer *w, const struct model_file *f, struct err *e)
{
    struct model_params p;
    struct vocab_source v;
    int rc = model_file_params(f, &p, e);
    rc = rc ? rc : model_file_vocab(f, &v, e);
    if (rc) {
        return rc;
    }
    if (v.model && !str_eq(v.model, "gpt2")) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot write the tokenizer of \"%s\" into a GGUF: its kind is \"%.32s\", byte-level BPE can be "
                       "written",
                       f->path, v.model);
    }
    if (v.model && v.n_token > (size_t)p.n_vocab) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": its tokenizer has %zu tokens, the embedding %d rows",
                       f->path, v.n_token, p.n_vocab);
    }
    struct gguf_keys k = {.w = w, .p = &p, .v = &v};
    put_params(&k, path_base(f->path));
    if (v.model) {
        put_vocab(&k);
    }
    return k.failed ? err_set(e, ERR_NOMEM, f->path, "cannot write the metadata of \"%s\": out of memory", f->path) : 0;
}

static bool is_skipped(const char *key, const char *const *skip)
{
    if (str_starts(key, "split.")) {
        return true;
    }
    for (; skip && *skip; skip++) {
        if (str_eq(key, *skip)) {
            return true;
        }
    }
    return false;
}

int gguf_put_metadata(struct gguf_writer *w, const struct model_file *f, const char *const *skip, struct err *e)
{
    if (!f->is_gguf) {
        return put_hf(w, f, e);
    }
    for (size_t i = 0; i < f->gguf.n_kv; i++) {
        const struct gguf_kv *kv = &f->gguf.kv[i];
        if (!is_skipped(kv->key, skip) && gguf_put_value(w, kv->key, &kv->v)) {
            return err_set(e, ERR_NOMEM, kv->key, "cannot copy metadata key \"%.64s\" of \"%s\": it is too large",
                           kv->key, f->path);
        }
    }
    return 0;
}
