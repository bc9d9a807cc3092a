/* Hyper-parameters from GGUF keys, for the families that Tailor computes. Reads keys and one tensor (rope_freqs);
 * ranges are checked in params_check.c. Keys that would change the computation and are not understood are refused. */
#include "compute/formats/formats_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

/* Families with a forward pass, by GGUF name. All are RMSNorm, rotary, SwiGLU; they differ in what is stored. */
struct family {
    const char *name;
    bool rope_halves;
};
static const struct family families[] = {{"llama", false}, {"qwen2", true}};

struct reader {
    const struct model_file *f;
    const char *arch;
    struct err *e;
    char key[96];
};

static const char *key_of(struct reader *r, const char *name)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, name);
    return r->key;
}

/* An integer key; initial < 0: it must be there. */
static int read_int(struct reader *r, const char *name, int initial, int *out)
{
    const char *key = key_of(r, name);
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

static int read_float(struct reader *r, const char *name, double initial, double *out)
{
    const char *key = key_of(r, name);
    *out = initial;
    if (gguf_find(&r->f->gguf, key) && (!gguf_get_float(&r->f->gguf, key, out) || !isfinite(*out) || *out <= 0)) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": %s is no number above 0", r->f->path, key);
    }
    return 0;
}

static int refuse(struct reader *r, const char *name, const char *why)
{
    return err_set(r->e, ERR_UNSUPPORTED, r->f->path, "cannot use \"%s\": %s.%s %s", r->f->path, r->arch, name, why);
}

static int read_sizes(struct reader *r, struct model_params *p)
{
    int n_expert = 0;
    int d_value;
    int rc = read_int(r, "block_count", -1, &p->n_layer);
    rc = rc ? rc : read_int(r, "embedding_length", -1, &p->n_embd);
    rc = rc ? rc : read_int(r, "feed_forward_length", -1, &p->n_ff);
    rc = rc ? rc : read_int(r, "context_length", -1, &p->n_ctx_train);
    rc = rc ? rc : read_int(r, "attention.head_count", -1, &p->n_head);
    rc = rc ? rc : read_int(r, "attention.head_count_kv", p->n_head, &p->n_kv_head);
    if (rc) {
        return rc;
    }
    rc = read_int(r, "attention.key_length", p->n_head ? p->n_embd / p->n_head : 0, &p->d_head);
    rc = rc ? rc : read_int(r, "attention.value_length", p->d_head, &d_value);
    rc = rc ? rc : read_int(r, "rope.dimension_count", p->d_head, &p->n_rot);
    rc = rc ? rc : read_int(r, "expert_count", 0, &n_expert);
    rc = rc ? rc : read_int(r, "attention.sliding_window", 0, &p->sliding_window);
    if (rc) {
        return rc;
    }
    if (d_value != p->d_head) {
        return refuse(r, "attention.value_length", "differs from attention.key_length");
    }
    return n_expert ? refuse(r, "expert_count", "is above 0: mixtures of experts are not supported") : 0;
}

static int read_vocab_size(struct reader *r, struct model_params *p)
{
    const struct tensor_info *embd = model_file_find(r->f, "token_embd.weight");
    int n_key;
    if (!embd || embd->n_dim != 2 || embd->shape[0] > INT32_MAX) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": it has no matrix token_embd.weight",
                       r->f->path);
    }
    p->n_vocab = (int)embd->shape[0];
    int rc = read_int(r, "vocab_size", p->n_vocab, &n_key);
    if (!rc && n_key != p->n_vocab) {
        rc = err_set(r->e, ERR_INPUT, r->f->path,
                     "cannot use \"%s\": %s.vocab_size is %d, token_embd.weight has %d rows", r->f->path, r->arch,
                     n_key, p->n_vocab);
    }
    return rc;
}

/* llama3 scaling has no keys, only the tensor: frequencies are divided by it. */
static int read_rope_freqs(struct reader *r, struct model_params *p, double linear)
{
    for (size_t i = 0; i < N_ELEM(p->rope_factor); i++) {
        p->rope_factor[i] = (float)linear;
    }
    const struct tensor_info *t = model_file_find(r->f, "rope_freqs.weight");
    float factor[N_ELEM(p->rope_factor)];
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
        p->rope_factor[i] *= factor[i];
    }
    return rc;
}

static int read_rope(struct reader *r, struct model_params *p)
{
    double eps = 0;
    double linear = 1;
    double old_linear;
    int rc = read_float(r, "attention.layer_norm_rms_epsilon", 0, &eps);
    rc = rc ? rc : read_float(r, "rope.freq_base", 10000, &p->rope_theta);
    rc = rc ? rc : read_float(r, "rope.scale_linear", 1, &old_linear);
    rc = rc ? rc : read_float(r, "rope.scaling.factor", old_linear, &linear);
    if (rc) {
        return rc;
    }
    if (eps == 0) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": metadata has no %s", r->f->path,
                       key_of(r, "attention.layer_norm_rms_epsilon"));
    }
    p->rms_eps = (float)eps;
    const char *type = gguf_get_str(&r->f->gguf, key_of(r, "rope.scaling.type"));
    if (!type || str_eq(type, "none")) {
        linear = type ? 1 : old_linear;
    } else if (!str_eq(type, "linear")) {
        return refuse(r, "rope.scaling.type", "is not one of none, linear");
    }
    return read_rope_freqs(r, p, linear);
}

/* What a GGUF has no key for stands under tailor., and wins. */
static int read_own_keys(struct reader *r, struct model_params *p)
{
    struct reader own = {.f = r->f, .arch = "tailor", .e = r->e};
    bool causal = true;
    if (gguf_get_bool(&r->f->gguf, key_of(r, "attention.causal"), &causal) && !causal) {
        return refuse(r, "attention.causal", "is false: embedding models are not supported");
    }
    return read_int(&own, "attention.sliding_window", p->sliding_window, &p->sliding_window);
}

static const struct family *find_family(const char *arch)
{
    for (size_t i = 0; i < N_ELEM(families); i++) {
        if (str_eq(arch, families[i].name)) {
            return &families[i];
        }
    }
    return NULL;
}

bool model_architecture_known(const char *name)
{
    return find_family(name) != NULL;
}

int gguf_params(const struct model_file *f, struct model_params *p, struct err *e)
{
    const char *arch = gguf_get_str(&f->gguf, "general.architecture");
    const struct family *family = arch ? find_family(arch) : NULL;
    if (!arch) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": metadata has no general.architecture", f->path);
    }
    if (!family) {
        return err_set(e, ERR_UNSUPPORTED, f->path,
                       "cannot use \"%s\": architecture \"%.64s\" is not supported, llama and qwen2 are", f->path,
                       arch);
    }
    if (f->n_tensor == 0) {
        return err_set(e, ERR_INPUT, f->path, "cannot use \"%s\": it holds a vocabulary and no weights", f->path);
    }
    struct reader r = {.f = f, .arch = arch, .e = e};
    snprintf(p->architecture, sizeof p->architecture, "%s", arch);
    p->rope_halves = family->rope_halves;
    p->tied_head = !model_file_find(f, "output.weight");
    p->bos_id = f->vocab_rc ? -1 : f->vocab.bos_id;
    p->eos_id = f->vocab_rc ? -1 : f->vocab.eos_id;
    int rc = read_sizes(&r, p);
    rc = rc ? rc : read_vocab_size(&r, p);
    rc = rc                                             ? rc
         : (p->n_rot > 2 * (int)N_ELEM(p->rope_factor)) ? refuse(&r, "rope.dimension_count", "is above 1024")
                                                        : 0;
    rc = rc ? rc : read_rope(&r, p);
    return rc ? rc : read_own_keys(&r, p);
}
