/* Hyper-parameters from GGUF keys: what families share; theirs are in arch_*.c. Reads keys and one tensor (rope_freqs);
 * ranges are checked in params_check.c. Keys that would change the computation and are not understood are refused. */
#include "compute/formats/arch_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

const char *gguf_reader_key(struct gguf_reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

int gguf_read_int(struct gguf_reader *r, const char *name, int initial, int *out)
{
    const char *key = gguf_reader_key(r, name);
    int64_t v = initial;
    if (!gguf_find(&r->f->gguf, key)) {
        *out = initial;
        return initial < 0
                   ? err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": metadata has no %s", r->f->path, key)
                   : 0;
    }
    if (!gguf_get_int(&r->f->gguf, key, &v) || v < 0 || v > INT32_MAX) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": %s is no integer from 0 to 2147483647",
                       r->f->path, key);
    }
    *out = (int)v;
    return 0;
}

int gguf_read_float(struct gguf_reader *r, const char *name, double initial, double *out)
{
    const char *key = gguf_reader_key(r, name);
    *out = initial;
    int64_t whole;
    bool there = gguf_find(&r->f->gguf, key) != NULL;
    if (there && gguf_get_int(&r->f->gguf, key, &whole)) {
        *out = (double)whole;
    } else if (there && !gguf_get_float(&r->f->gguf, key, out)) {
        *out = 0;
    }
    if (there && (!isfinite(*out) || *out <= 0)) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": %s is no number above 0", r->f->path, key);
    }
    return 0;
}

int gguf_read_scale(struct gguf_reader *r, const char *name, float *out)
{
    double v;
    int rc = gguf_read_float(r, name, (double)*out, &v);
    *out = rc ? *out : (float)v;
    return rc;
}

int gguf_refuse(struct gguf_reader *r, const char *name, const char *why)
{
    return err_set(r->e, ERR_UNSUPPORTED, r->f->path, "cannot use \"%s\": %s.%s %s", r->f->path, r->arch, name, why);
}

static int read_sizes(struct gguf_reader *r, struct model_params *p)
{
    int n_expert = 0;
    int d_value;
    int rc = gguf_read_int(r, "block_count", -1, &p->n_layer);
    rc = rc ? rc : gguf_read_int(r, "embedding_length", -1, &p->n_embd);
    rc = rc ? rc : gguf_read_int(r, "feed_forward_length", -1, &p->n_ff);
    rc = rc ? rc : gguf_read_int(r, "context_length", -1, &p->n_ctx_train);
    rc = rc ? rc : gguf_read_int(r, "attention.head_count", -1, &p->n_head);
    rc = rc ? rc : gguf_read_int(r, "attention.head_count_kv", p->n_head, &p->n_kv_head);
    if (rc) {
        return rc;
    }
    rc = gguf_read_int(r, "attention.key_length", p->n_head ? p->n_embd / p->n_head : 0, &p->d_head);
    rc = rc ? rc : gguf_read_int(r, "attention.value_length", p->d_head, &d_value);
    rc = rc ? rc : gguf_read_int(r, "rope.dimension_count", p->d_head, &p->n_rot);
    rc = rc ? rc : gguf_read_int(r, "expert_count", 0, &n_expert);
    if (rc) {
        return rc;
    }
    const struct arch *a = arch_find(r->arch);
    if (d_value != p->d_head && !a->own_heads) {
        return gguf_refuse(r, "attention.value_length", "differs from attention.key_length");
    }
    return n_expert && !a->has_experts
               ? gguf_refuse(r, "expert_count", "is above 0: mixtures of experts are not supported")
               : 0;
}

static int read_vocab_size(struct gguf_reader *r, struct model_params *p)
{
    const struct tensor_info *embd = model_file_find(r->f, "token_embd.weight");
    int n_key;
    if (!embd || embd->n_dim != 2 || embd->shape[0] > INT32_MAX) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": it has no matrix token_embd.weight",
                       r->f->path);
    }
    p->n_vocab = (int)embd->shape[0];
    int rc = gguf_read_int(r, "vocab_size", p->n_vocab, &n_key);
    if (!rc && n_key != p->n_vocab) {
        rc = err_set(r->e, ERR_INPUT, r->f->path,
                     "cannot use \"%s\": %s.vocab_size is %d, token_embd.weight has %d rows", r->f->path, r->arch,
                     n_key, p->n_vocab);
    }
    return rc;
}

/* llama3 scaling has no keys, only the tensor: frequencies are divided by it. */
static int read_rope_freqs(struct gguf_reader *r, struct model_params *p)
{
    const struct tensor_info *t = model_file_find(r->f, "rope_freqs.weight");
    float factor[MODEL_MAX_FREQ];
    if (!t) {
        return 0;
    }
    size_t n = (size_t)p->n_rot / 2;
    if (t->type != TENSOR_F32 || t->n_bytes != n * sizeof *factor || n > N_ELEM(factor)) {
        return err_set(r->e, ERR_INPUT, r->f->path,
                       "cannot use \"%s\": rope_freqs.weight is not %zu values of type F32", r->f->path, n);
    }
    int rc = model_file_read(r->f, t, factor, 0, n * sizeof *factor, r->e);
    for (size_t i = 0; !rc && i < n; i++) {
        if (!isfinite(factor[i]) || factor[i] <= 0) {
            return err_set(r->e, ERR_INPUT, r->f->path,
                           "cannot use \"%s\": rope_freqs.weight[%zu] is %g, above 0 would be right", r->f->path, i,
                           (double)factor[i]);
        }
        p->rope[0].factor[i] *= factor[i];
    }
    return rc;
}

static int read_yarn(struct gguf_reader *r, struct model_params *p, double factor)
{
    struct yarn y = {.factor = factor, .truncate = true};
    double attn_factor;
    int n_ctx_orig, rc = gguf_read_int(r, "rope.scaling.original_context_length", p->n_ctx_train, &n_ctx_orig);
    rc = rc ? rc : gguf_read_float(r, "rope.scaling.yarn_beta_fast", 32, &y.beta_fast);
    rc = rc ? rc : gguf_read_float(r, "rope.scaling.yarn_beta_slow", 1, &y.beta_slow);
    rc = rc ? rc : gguf_read_float(r, "rope.scaling.attn_factor", 1, &attn_factor);
    if (!rc) {
        y.n_ctx_orig = n_ctx_orig;
        rope_yarn(&p->rope[0], p->n_rot, &y);
        p->rope[0].magnitude *= (float)attn_factor;
    }
    return rc;
}

static int read_rope(struct gguf_reader *r, struct model_params *p)
{
    double theta, old_linear, factor;
    int rc = gguf_read_float(r, "rope.freq_base", 10000, &theta);
    rc = rc ? rc : gguf_read_float(r, "rope.scale_linear", 1, &old_linear);
    rc = rc ? rc : gguf_read_float(r, "rope.scaling.factor", old_linear, &factor);
    if (rc) {
        return rc;
    }
    rope_unscaled(&p->rope[0], theta);
    const char *type = gguf_get_str(&r->f->gguf, gguf_reader_key(r, "rope.scaling.type"));
    if (type && str_eq(type, "yarn")) {
        rc = read_yarn(r, p, factor);
    } else if (!type || str_eq(type, "linear")) {
        for (size_t i = 0; i < MODEL_MAX_FREQ; i++) {
            p->rope[0].factor[i] = (float)(type ? factor : old_linear);
        }
    } else if (!str_eq(type, "none") && !str_eq(type, "longrope")) { /* the tensors of longrope are read by family */
        return gguf_refuse(r, "rope.scaling.type", "is not one of none, linear, yarn, longrope");
    }
    return rc ? rc : read_rope_freqs(r, p);
}

static int read_norm(struct gguf_reader *r, struct model_params *p)
{
    double eps = 0;
    int rc = gguf_read_float(r, "attention.layer_norm_rms_epsilon", 0, &eps);
    if (!rc && eps == 0) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": metadata has no %s", r->f->path,
                       gguf_reader_key(r, "attention.layer_norm_rms_epsilon"));
    }
    p->rms_eps = (float)eps;
    return rc;
}

/* The window of the file; what GGUF has no key for stands under tailor., and wins. */
static int read_window(struct gguf_reader *r, int *window)
{
    struct gguf_reader own = {.f = r->f, .arch = "tailor", .e = r->e};
    int rc = gguf_read_int(r, "attention.sliding_window", 0, window);
    return rc ? rc : gguf_read_int(&own, "attention.sliding_window", *window, window);
}

/* Layers that differ otherwise than their architecture's do: an array of numbers, one a layer. */
static int read_layer_array(struct gguf_reader *r, const char *name, int n_layer, const int32_t **out)
{
    const struct gguf_value *v = gguf_find(&r->f->gguf, name);
    *out = NULL;
    if (!v) {
        return 0;
    }
    if (v->type != GGUF_ARRAY || v->arr.type != GGUF_I32 || v->arr.n != (size_t)n_layer) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": %s is no list of %d integers", r->f->path, name,
                       n_layer);
    }
    *out = v->arr.data;
    return 0;
}

/* What stands under tailor. because GGUF has no key for it. */
static int read_own_keys(struct gguf_reader *r, struct model_params *p)
{
    struct gguf_reader own = {.f = r->f, .arch = "tailor", .e = r->e};
    const int32_t *window, *rope;
    int rc = gguf_read_scale(&own, "attention.scale", &p->attn_scale);
    rc = rc ? rc : gguf_read_scale(&own, "rope.magnitude", &p->rope[0].magnitude);
    rc = rc ? rc : read_layer_array(r, "tailor.attention.layer_windows", p->n_layer, &window);
    rc = rc ? rc : read_layer_array(r, "tailor.rope.layers", p->n_layer, &rope);
    for (int i = 0; !rc && i < p->n_layer; i++) {
        if (window) {
            memcpy(&p->layer[i].window, (const char *)window + (size_t)i * sizeof *window, sizeof *window);
        }
        if (rope) {
            memcpy(&p->layer[i].rope, (const char *)rope + (size_t)i * sizeof *rope, sizeof *rope);
        }
    }
    return rc;
}

/* Keys that would change the computation, where the family does not read them. */
static int check_unread(struct gguf_reader *r, const struct arch *a, const struct model_params *p)
{
    static const char *const scales[] = {"embedding_scale", "residual_scale", "logit_scale", "attention.scale"};
    for (size_t i = 0; i < N_ELEM(scales) && !a->scale_has_key; i++) {
        if (gguf_find(&r->f->gguf, gguf_reader_key(r, scales[i]))) {
            return gguf_refuse(r, scales[i], "is not supported for this architecture");
        }
    }
    const char *pattern = "attention.sliding_window_pattern";
    int64_t every = 0;
    bool same = gguf_get_int(&r->f->gguf, gguf_reader_key(r, pattern), &every) && every > 0;
    for (int i = 0; same && i < p->n_layer; i++) {
        same = ((i + 1) % every != 0) == (p->layer[i].window > 0);
    }
    return same || !gguf_find(&r->f->gguf, gguf_reader_key(r, pattern))
               ? 0
               : gguf_refuse(r, pattern, "is not that of the architecture, which alone is supported");
}

static int check_causal(struct gguf_reader *r)
{
    bool causal = true;
    if (gguf_get_bool(&r->f->gguf, gguf_reader_key(r, "attention.causal"), &causal) && !causal) {
        return gguf_refuse(r, "attention.causal", "is false: embedding models are not supported");
    }
    return 0;
}

static int find_arch(const struct model_file *f, const struct arch **out, struct err *e)
{
    char known[256];
    const char *name = gguf_get_str(&f->gguf, "general.architecture");
    if (!name) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": metadata has no general.architecture", f->path);
    }
    *out = arch_find(name);
    if (!*out) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot use \"%s\": architecture \"%.64s\" is not supported, %s are", f->path, name,
                       model_architectures(known, sizeof known));
    }
    return 0;
}

int gguf_params(const struct model_file *f, struct model_params *p, struct err *e)
{
    const struct arch *a;
    int window = 0, rc = find_arch(f, &a, e);
    if (rc) {
        return rc;
    }
    if (f->n_tensor == 0) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": it holds a vocabulary and no weights", f->path);
    }
    struct gguf_reader r = {.f = f, .arch = a->name, .e = e};
    arch_init(a, p);
    p->rope_halves = !a->gguf_pairs;
    p->tied_head = !model_file_find(f, "output.weight");
    p->bos_id = f->vocab_rc ? -1 : f->vocab.bos_id;
    p->eos_id = f->vocab_rc ? -1 : f->vocab.eos_id;
    rc = read_sizes(&r, p);
    rc = rc ? rc : read_vocab_size(&r, p);
    rc = rc ? rc : params_check_sizes(p, f->path, e);
    rc = rc ? rc : read_norm(&r, p);
    rc = rc ? rc : read_rope(&r, p);
    rc = rc ? rc : read_window(&r, &window);
    rc = rc ? rc : check_causal(&r);
    if (rc) {
        return rc;
    }
    p->attn_scale = 1.0f / sqrtf((float)p->d_head);
    arch_layers(a, p, window);
    rc = check_unread(&r, a, p);
    rc = rc ? rc : gguf_check_options(&r, a, p);
    rc = rc || !a->from_gguf ? rc : a->from_gguf(&r, p);
    return rc ? rc : read_own_keys(&r, p);
}
