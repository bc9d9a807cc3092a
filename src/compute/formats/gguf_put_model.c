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

void gguf_keys_whole_text(struct gguf_keys *k, const char *key, const char *text)
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
        gguf_keys_whole_text(k, key_of(k, "rope.scaling.type", key), "yarn");
        gguf_keys_float(k, "rope.scaling.factor", r->yarn.factor);
        gguf_keys_int(k, "rope.scaling.original_context_length", (int)r->yarn.n_ctx_orig);
        gguf_keys_float(k, "rope.scaling.yarn_beta_fast", r->yarn.beta_fast);
        gguf_keys_float(k, "rope.scaling.yarn_beta_slow", r->yarn.beta_slow);
    } else if (same && r->factor[0] != 1.0f && r->n_ctx_short == 0) {
        gguf_keys_whole_text(k, key_of(k, "rope.scaling.type", key), "linear");
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
    gguf_keys_whole_text(k, "general.architecture", p->architecture);
    gguf_keys_whole_text(k, "general.type", "model");
    gguf_keys_whole_text(k, "general.name", name);
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

static void put_flag(struct gguf_keys *k, const char *key, bool value)
{
    k->failed |= gguf_put_bool(k->w, key, value) != 0;
}

/* Scores of SentencePiece, or made of merges: what merges first has the best, so that programs that go by scores merge
 * in the same order (where no two merges that make one token compete). */
static void put_scores(struct gguf_keys *k)
{
    const struct vocab_source *v = k->v;
    size_t n = (size_t)k->p->n_vocab > v->n_token ? (size_t)k->p->n_vocab : v->n_token;
    float *score = mem_try_array(n, sizeof *score);
    if (!score) {
        k->failed = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        score[i] = v->score && i < v->n_token ? v->score[i] : v->score ? -10000.0f : -(float)(v->n_merge + 1);
    }
    k->failed |= !v->score && !vocab_scores_of_merges(v, score);
    k->failed |= gguf_put_array(k->w, "tokenizer.ggml.scores", GGUF_F32, score, NULL, n) != 0;
    mem_free(score);
}

/* The ids of tokens with a bit of enum token_match, where there are any. */
static void put_matches(struct gguf_keys *k, const char *key, unsigned bit)
{
    const struct vocab_source *v = k->v;
    int32_t *id = mem_try_array(v->n_token, sizeof *id);
    size_t n = 0;
    for (size_t i = 0; id && v->match && i < v->n_token; i++) {
        if (v->match[i] & bit) {
            id[n++] = (int32_t)i;
        }
    }
    k->failed |= !id || (n > 0 && gguf_put_array(k->w, key, GGUF_I32, id, NULL, n) != 0);
    mem_free(id);
}

/* What GGUF's own keys cannot say, or only by a name that implies it. */
static void put_preparation(struct gguf_keys *k)
{
    const struct vocab_source *v = k->v;
    char names[96];
    vocab_normalize_format(v->normalize, names);
    gguf_keys_whole_text(k, TAILOR_NORMALIZE, names);
    put_flag(k, "tokenizer.ggml.add_space_prefix", v->space_prefix != SPACE_PREFIX_NONE);
    if (v->space_prefix != SPACE_PREFIX_NONE) {
        put_flag(k, TAILOR_PREFIX_FIRST, v->space_prefix == SPACE_PREFIX_FIRST);
        put_flag(k, TAILOR_PREFIX_UNLESS, v->prefix_unless_space);
    }
    put_matches(k, TAILOR_LSTRIP, TOKEN_MATCH_LSTRIP);
    put_matches(k, TAILOR_RSTRIP, TOKEN_MATCH_RSTRIP);
    put_matches(k, TAILOR_SINGLE_WORD, TOKEN_MATCH_WORD);
}

/* The id of a token, -1 when there is none. */
static int find_token(const struct vocab_source *v, const char *text)
{
    for (size_t i = 0; i < v->n_token; i++) {
        if (str_eq(v->token[i], text)) {
            return (int)i;
        }
    }
    return -1;
}

static void put_vocab(struct gguf_keys *k)
{
    const struct vocab_source *v = k->v;
    gguf_keys_whole_text(k, "tokenizer.ggml.model", v->model);
    gguf_keys_whole_text(k, "tokenizer.ggml.pre", v->pre);
    put_tokens(k);
    if (str_eq(v->model, "llama")) {
        put_scores(k);
    }
    if (v->n_merge > 0) {
        k->failed |= gguf_put_array(k->w, "tokenizer.ggml.merges", GGUF_STRING, v->merge, NULL, v->n_merge) != 0;
    }
    put_id(k, "tokenizer.ggml.bos_token_id", v->bos_id);
    put_id(k, "tokenizer.ggml.eos_token_id", v->eos_id);
    put_id(k, "tokenizer.ggml.eot_token_id", v->eot_id);
    put_id(k, "tokenizer.ggml.unknown_token_id", v->unk_id);
    put_id(k, "tokenizer.ggml.padding_token_id", v->pad_id);
    if (str_eq(v->model, "bert")) {
        put_id(k, "tokenizer.ggml.cls_token_id", v->bos_id);
        put_id(k, "tokenizer.ggml.seperator_token_id", v->eos_id);
        put_id(k, "tokenizer.ggml.mask_token_id", find_token(v, "[MASK]"));
    }
    put_flag(k, "tokenizer.ggml.add_bos_token", v->add_bos);
    put_flag(k, "tokenizer.ggml.add_eos_token", v->add_eos);
    put_preparation(k);
    gguf_keys_whole_text(k, "tokenizer.chat_template", v->chat_template);
}

static int check_vocab(const struct model_file *f, const struct vocab_source *v, int n_vocab, struct err *e)
{
    bool known = v->model && (str_eq(v->model, "gpt2") || str_eq(v->model, "llama") || str_eq(v->model, "bert"));
    if (v->model && (!known || v->unsupported)) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot write the tokenizer of \"%s\" into a GGUF: its kind is \"%.32s\"%s%s, byte-level BPE, "
                       "SentencePiece BPE and WordPiece can be written",
                       f->path, v->model, v->unsupported ? " with " : "", v->unsupported ? v->unsupported : "");
    }
    if (v->model && v->n_token > (size_t)n_vocab) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": its tokenizer has %zu tokens, the embedding %d rows",
                       f->path, v->n_token, n_vocab);
    }
    return 0;
}

/* The hyper-parameters of a directory; of an encoder those that keys are written by. */
static int read_hf(const struct model_file *f, struct model_params *p, struct encoder_params *encoder, struct err *e)
{
    if (!model_file_is_encoder(f)) {
        return model_file_params(f, p, e);
    }
    int rc = model_file_encoder(f, encoder, e);
    *p = (struct model_params){.architecture = "bert", .n_vocab = encoder->n_vocab};
    return rc;
}

static int put_hf(struct gguf_writer *w, const struct model_file *f, struct err *e)
{
    struct model_params p;
    struct encoder_params encoder;
    struct embedding_params embedding;
    struct vocab_source v;
    int rc = read_hf(f, &p, &encoder, e);
    rc = rc ? rc : model_file_embedding(f, &embedding, e);
    rc = rc ? rc : model_file_vocab(f, &v, e);
    rc = rc ? rc : check_vocab(f, &v, p.n_vocab, e);
    if (rc) {
        return rc;
    }
    struct gguf_keys k = {.w = w, .p = &p, .v = &v};
    if (model_file_is_encoder(f)) {
        gguf_put_encoder(&k, &encoder, path_base(f->path));
    } else {
        put_params(&k, path_base(f->path));
    }
    gguf_put_embedding(&k, &embedding);
    if (v.model) {
        put_vocab(&k);
    } else { /* programs that ask for a tokenizer first take this for a model of ids alone */
        gguf_keys_whole_text(&k, "tokenizer.ggml.model", "none");
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
