/* Mixtures of experts as families share them: keys, tensors, and which layers have one. */
#include "compute/formats/arch_int.h"

#include <stdio.h>

#include "ground/base/str.h"

enum { GATING_SOFTMAX = 1, GATING_SIGMOID = 2, MAX_EXPERT = 4096 };

void experts_init(struct model_params *p)
{
    p->experts.n_group = p->experts.n_group_used = 1;
    p->experts.scale = 1;
}

bool arch_has_tensor(const struct model_file *f, int layer, const char *name)
{
    char full[96];
    snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    return model_file_find(f, full) != NULL;
}

int experts_check(const struct model_params *p, const char *path, struct err *e)
{
    const struct model_experts *x = &p->experts;
    bool counts = x->n_expert <= MAX_EXPERT && x->n_used >= 1 && x->n_used <= x->n_expert;
    bool groups = x->n_group >= 1 && x->n_group_used >= 1 && x->n_group_used <= x->n_group &&
                  x->n_expert % x->n_group == 0 && x->n_used <= x->n_expert / x->n_group * x->n_group_used;
    if (!counts || !groups) {
        return err_set(e, ERR_INPUT, path,
                       "cannot use \"%s\": a router of %d experts with %d used, of %d of %d groups, is out of range",
                       path, x->n_expert, x->n_used, x->n_group_used, x->n_group);
    }
    bool widths = x->n_ff >= 1 && x->n_ff <= 1 << 20 && x->n_shared >= 0 && x->n_shared <= 1 << 20;
    if (!widths || !(x->scale > 0 && x->scale < 1e6f)) {
        return err_set(e, ERR_INPUT, path,
                       "cannot use \"%s\": experts of width %d, a shared width of %d or a scale of %g is out of range",
                       path, x->n_ff, x->n_shared, (double)x->scale);
    }
    return 0;
}

int experts_width(int n, int width)
{
    int64_t all = (int64_t)n * width;
    return all <= INT32_MAX ? (int)all : INT32_MAX;
}

/* --- GGUF --- */

static int read_router(struct gguf_reader *r, struct model_experts *x)
{
    char key[96];
    int gating, rc = gguf_read_int(r, "expert_gating_func", GATING_SOFTMAX, &gating);
    rc = rc ? rc : gguf_read_int(r, "expert_group_count", 1, &x->n_group);
    rc = rc ? rc : gguf_read_int(r, "expert_group_used_count", x->n_group, &x->n_group_used);
    rc = rc ? rc : gguf_read_scale(r, "expert_weights_scale", &x->scale);
    if (rc) {
        return rc;
    }
    if (gating != GATING_SOFTMAX && gating != GATING_SIGMOID && gating != 0) {
        return gguf_refuse(r, "expert_gating_func", "is not 1 (softmax) or 2 (sigmoid)");
    }
    x->sigmoid = x->sigmoid || gating == GATING_SIGMOID;
    x->n_group = x->n_group > 0 ? x->n_group : 1;
    x->n_group_used = x->n_group == 1 ? 1 : x->n_group_used;
    snprintf(key, sizeof key, "%s.expert_weights_norm", r->arch);
    gguf_get_bool(&r->f->gguf, key, &x->renormalize);
    gguf_get_bool(&r->f->gguf, "tailor.expert_weights_norm", &x->renormalize);
    return 0;
}

int gguf_read_experts(struct gguf_reader *r, struct model_params *p)
{
    struct model_experts *x = &p->experts;
    int n_shared = 0, rc = gguf_read_int(r, "expert_count", 0, &x->n_expert);
    if (rc || x->n_expert == 0) {
        return rc;
    }
    rc = gguf_read_int(r, "expert_used_count", -1, &x->n_used);
    rc = rc ? rc : gguf_read_int(r, "expert_feed_forward_length", p->n_ff, &x->n_ff);
    rc = rc ? rc : gguf_read_int(r, "expert_shared_count", 0, &n_shared);
    rc =
        rc ? rc : gguf_read_int(r, "expert_shared_feed_forward_length", experts_width(n_shared, x->n_ff), &x->n_shared);
    rc = rc ? rc : read_router(r, x);
    return rc ? rc : experts_check(p, r->f->path, r->e);
}

void gguf_put_experts(struct gguf_keys *k, bool usual_norm)
{
    const struct model_experts *x = &k->p->experts;
    if (x->n_expert == 0) {
        return;
    }
    gguf_keys_int(k, "expert_count", x->n_expert);
    gguf_keys_int(k, "expert_used_count", x->n_used);
    if (x->n_ff != k->p->n_ff) {
        gguf_keys_int(k, "expert_feed_forward_length", x->n_ff);
    }
    if (x->renormalize != usual_norm) { /* no key that other programs read for these families */
        k->failed |= gguf_put_bool(k->w, "tailor.expert_weights_norm", x->renormalize) != 0;
    }
}

/* --- config.json --- */

int config_read_experts(const struct config_reader *r, struct model_params *p, const char *width_key)
{
    static const char *const count[] = {"num_experts", "num_local_experts", "n_routed_experts"};
    struct model_experts *x = &p->experts;
    size_t i = 0;
    while (i + 1 < N_ELEM(count) && !config_member(r->config, count[i])) {
        i++;
    }
    int rc = config_read_int(r, count[i], -1, &x->n_expert);
    rc = rc ? rc : config_read_int(r, "num_experts_per_tok", -1, &x->n_used);
    rc = rc ? rc : config_read_int(r, width_key, -1, &x->n_ff);
    const char *score = json_string_value(config_member(r->config, "scoring_func"));
    if (!rc && score && !str_eq(score, x->sigmoid ? "sigmoid" : "softmax")) {
        rc = config_refuse(r, "scoring_func", x->sigmoid ? "is not sigmoid" : "is not softmax");
    }
    const json_t *norm = config_member(r->config, "norm_topk_prob");
    x->renormalize = norm ? json_is_true(norm) : x->renormalize;
    return rc;
}

/* --- tensors --- */

static void add_experts(struct layer_tensors *l, const struct model_params *p)
{
    const struct model_experts *x = &p->experts;
    size_t first = l->n;
    tensors_add_matrix(l, "ffn_gate_inp", x->n_expert, p->n_embd);
    tensors_add_stack(l, "ffn_gate_exps", x->n_expert, x->n_ff, p->n_embd);
    tensors_add_stack(l, "ffn_up_exps", x->n_expert, x->n_ff, p->n_embd);
    tensors_add_stack(l, "ffn_down_exps", x->n_expert, p->n_embd, x->n_ff);
    if (x->n_shared) {
        tensors_add_matrix(l, "ffn_gate_shexp", x->n_shared, p->n_embd);
        tensors_add_matrix(l, "ffn_up_shexp", x->n_shared, p->n_embd);
        tensors_add_matrix(l, "ffn_down_shexp", p->n_embd, x->n_shared);
    }
    if (x->shared_gate) {
        tensors_add_matrix(l, "ffn_gate_inp_shexp", 1, p->n_embd);
    }
    for (size_t i = first; i < l->n; i++) {
        l->at[i].has_bias = false;
    }
    if (x->has_bias) {
        tensors_add_vector(l, "exp_probs_b", x->n_expert);
        l->at[l->n - 1].only_bias = true;
    }
}

void tensors_add_ffn_or_experts(struct layer_tensors *l, const struct model_params *p, int layer)
{
    if (p->layer[layer].experts) {
        add_experts(l, p);
    } else {
        tensors_add_ffn(l, p);
    }
}
