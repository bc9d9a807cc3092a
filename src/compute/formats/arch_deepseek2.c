/* DeepSeek V2 and V3: attention with a compressed cache; experts behind a few dense layers, chosen by softmax (V2) or
 * by sigmoid with a correction bias (V3), from groups. One architecture of GGUF; q and k are rotated in pairs
 * everywhere. */
#include "compute/formats/arch_int.h"

#include <math.h>

#include "ground/base/str.h"

static void layers_after(struct model_params *p, int n_dense)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].experts = p->experts.n_expert > 0 && i >= n_dense;
    }
}

/* Heads as they are computed: one key for all of them, of the rotated part alone. */
static void set_heads(struct model_params *p)
{
    p->n_kv_head = 1;
    p->d_head = p->latent.d_nope + p->n_rot;
    p->rope_halves = false;
}

/* 0.1 m ln(factor) + 1 (YaRN, with DeepSeek's multipliers). */
static double mscale(double factor, double multiplier)
{
    return factor > 1 ? multiplier * log(factor) + 1 : 1;
}

static void set_scale(struct model_params *p, double m)
{
    p->attn_scale = (float)(m * m / sqrt(p->d_head));
}

static int check_latent(const struct model_params *p, const char *path, struct err *e)
{
    const struct model_latent *l = &p->latent;
    bool right = l->n_latent >= 1 && l->n_latent <= 1 << 16 && l->q_rank >= 0 && l->q_rank <= 1 << 17 &&
                 l->d_nope >= 1 && l->d_nope <= 1024 && l->d_value >= 1 && l->d_value <= 1024 && p->n_rot >= 2 &&
                 p->n_rot <= 1024;
    return right
               ? 0
               : err_set(e, ERR_INPUT, path,
                         "cannot use \"%s\": a compressed cache of %d values, queries of rank %d, heads of %d + %d and "
                         "values of %d is out of range",
                         path, l->n_latent, l->q_rank, l->d_nope, p->n_rot, l->d_value);
}

/* --- GGUF --- */

/* The magnitude of the rotation is 1: DeepSeek's multipliers cancel there, and the scale of scores has their square. */
static int gguf_scale(struct gguf_reader *r, struct model_params *p)
{
    double multiplier, factor;
    const char *type = gguf_get_str(&r->f->gguf, "deepseek2.rope.scaling.type");
    p->rope[0].magnitude = 1;
    if (!type || !str_eq(type, "yarn")) {
        set_scale(p, 1);
        return 0;
    }
    int rc = gguf_read_float(r, "rope.scaling.factor", 1, &factor);
    rc = rc || !gguf_find(&r->f->gguf, "deepseek2.rope.scaling.yarn_log_multiplier")
             ? rc
             : gguf_read_float(r, "rope.scaling.yarn_log_multiplier", 1, &multiplier);
    bool there = gguf_find(&r->f->gguf, "deepseek2.rope.scaling.yarn_log_multiplier") != NULL;
    set_scale(p, rc || !there ? 1 : mscale(factor, multiplier));
    return rc;
}

static int from_gguf(struct gguf_reader *r, struct model_params *p)
{
    struct model_latent *l = &p->latent;
    int d_key, n_dense, rc = gguf_read_int(r, "attention.kv_lora_rank", -1, &l->n_latent);
    rc = rc ? rc : gguf_read_int(r, "attention.q_lora_rank", 0, &l->q_rank);
    rc = rc ? rc : gguf_read_int(r, "leading_dense_block_count", 0, &n_dense);
    if (!rc && !gguf_find(&r->f->gguf, "deepseek2.attention.key_length_mla")) {
        return gguf_refuse(r, "attention.key_length_mla",
                           "is absent: files made before keys and values were split by "
                           "head are not supported");
    }
    rc = rc ? rc : gguf_read_int(r, "attention.key_length_mla", -1, &d_key);
    rc = rc ? rc : gguf_read_int(r, "attention.value_length_mla", -1, &l->d_value);
    if (rc) {
        return rc;
    }
    l->d_nope = d_key - p->n_rot;
    rc = check_latent(p, r->f->path, r->e);
    rc = rc ? rc : gguf_read_experts(r, p);
    if (rc) {
        return rc;
    }
    set_heads(p);
    layers_after(p, n_dense);
    p->experts.has_bias = n_dense < p->n_layer && arch_has_tensor(r->f, n_dense, "exp_probs_b.bias");
    return gguf_scale(r, p);
}

static void put_gguf(struct gguf_keys *k)
{
    const struct model_params *p = k->p;
    const struct model_experts *x = &p->experts;
    int n_dense = 0;
    while (n_dense < p->n_layer && !p->layer[n_dense].experts) {
        n_dense++;
    }
    const struct model_rope *r = &p->rope[0];
    gguf_put_experts(k, x->renormalize);
    if (r->yarn.factor > 1) { /* 0.1 m: what the scale of scores says of it */
        double m = sqrt((double)p->attn_scale * sqrt(p->d_head));
        gguf_keys_float(k, "rope.scaling.yarn_log_multiplier", (m - 1) / log(r->yarn.factor));
    }
    gguf_keys_int(k, "leading_dense_block_count", n_dense);
    if (p->latent.q_rank) {
        gguf_keys_int(k, "attention.q_lora_rank", p->latent.q_rank);
    }
    gguf_keys_int(k, "attention.kv_lora_rank", p->latent.n_latent);
    gguf_keys_int(k, "attention.key_length_mla", p->d_head);
    gguf_keys_int(k, "attention.value_length_mla", p->latent.d_value);
    if (x->n_expert == 0) {
        return;
    }
    gguf_keys_int(k, "expert_shared_count", x->n_shared / x->n_ff);
    gguf_keys_float(k, "expert_weights_scale", (double)x->scale);
    gguf_keys_bool(k, "expert_weights_norm", x->renormalize);
    gguf_keys_int(k, "expert_gating_func", x->sigmoid ? 2 : 1);
    if (x->n_group > 1) {
        gguf_keys_int(k, "expert_group_count", x->n_group);
        gguf_keys_int(k, "expert_group_used_count", x->n_group_used);
    }
}

/* --- config.json --- */

/* The router of V2 takes the best of all or of the best groups; that of V3 has sigmoids and a bias. */
static int config_router(const struct config_reader *r, struct model_params *p)
{
    struct model_experts *x = &p->experts;
    bool v3 = str_eq(r->model_type, "deepseek_v3");
    const char *method = json_string_value(config_member(r->config, "topk_method"));
    const char *score = json_string_value(config_member(r->config, "scoring_func"));
    method = method ? method : v3 ? "noaux_tc" : "greedy";
    if (!str_eq(method, v3 ? "noaux_tc" : "group_limited_greedy") && (v3 || !str_eq(method, "greedy"))) {
        return config_refuse(r, "topk_method", v3 ? "is not noaux_tc" : "is not greedy or group_limited_greedy");
    }
    if (score && !str_eq(score, v3 ? "sigmoid" : "softmax")) {
        return config_refuse(r, "scoring_func", v3 ? "is not sigmoid" : "is not softmax");
    }
    x->sigmoid = x->has_bias = v3;
    x->renormalize = v3;
    int rc = config_read_scale(r, "routed_scaling_factor", &x->scale);
    if (rc || str_eq(method, "greedy")) {
        return rc;
    }
    rc = config_read_int(r, "n_group", 1, &x->n_group);
    return rc ? rc : config_read_int(r, "topk_group", x->n_group, &x->n_group_used);
}

static int config_experts(const struct config_reader *r, struct model_params *p)
{
    struct model_experts *x = &p->experts;
    int n_shared, every, n_dense, rc = config_router(r, p);
    rc = rc ? rc : config_read_experts(r, p, "moe_intermediate_size");
    rc = rc ? rc : config_read_int(r, "n_shared_experts", 0, &n_shared);
    rc = rc ? rc : config_read_int(r, "moe_layer_freq", 1, &every);
    rc = rc ? rc : config_read_int(r, "first_k_dense_replace", 0, &n_dense);
    if (rc) {
        return rc;
    }
    if (every != 1) {
        return config_refuse(r, "moe_layer_freq", "is not 1");
    }
    if (x->renormalize && !x->sigmoid && x->scale != 1.0f) { /* the two implementations there are disagree */
        return config_refuse(r, "norm_topk_prob", "is true where routed_scaling_factor is not 1");
    }
    x->n_shared = experts_width(n_shared, x->n_ff);
    layers_after(p, n_dense);
    return experts_check(p, r->path, r->e);
}

/* As YaRN of other models, but for the scale of scores. */
static int read_rope(const struct config_reader *r, struct model_params *p)
{
    const json_t *rope = config_rope(r);
    double factor = 1, all = 0;
    int rc = config_read_rope(r, rope, "rope_theta", 10000, p, &p->rope[0]);
    if (!rc && config_member(rope, "mscale_all_dim")) {
        rc = config_read_float(r, rope, "mscale_all_dim", 1, &all);
        rc = rc ? rc : config_read_float(r, rope, "factor", 1, &factor);
    }
    set_scale(p, mscale(factor, 0.1 * all));
    return rc;
}

static int from_config(const struct config_reader *r, struct model_params *p)
{
    struct model_latent *l = &p->latent;
    int rc = config_read_int(r, "kv_lora_rank", -1, &l->n_latent);
    rc = rc ? rc : config_read_int(r, "q_lora_rank", 0, &l->q_rank);
    rc = rc ? rc : config_read_int(r, "qk_nope_head_dim", -1, &l->d_nope);
    rc = rc ? rc : config_read_int(r, "qk_rope_head_dim", -1, &p->n_rot);
    rc = rc ? rc : config_read_int(r, "v_head_dim", -1, &l->d_value);
    rc = rc ? rc : check_latent(p, r->path, r->e);
    if (rc) {
        return rc;
    }
    if (json_is_false(json_object_get(r->config, "rope_interleave"))) {
        return config_refuse(r, "rope_interleave", "is false");
    }
    set_heads(p);
    rc = read_rope(r, p);
    return rc || !config_member(r->config, "n_routed_experts") ? rc : config_experts(r, p);
}

/* --- tensors --- */

static void layer_tensors(const struct model_params *p, int layer, struct layer_tensors *l)
{
    const struct model_latent *c = &p->latent;
    int n_q = p->n_head * p->d_head;
    tensors_add_norms(l, p);
    if (c->q_rank) {
        tensors_add_matrix(l, "attn_q_a", c->q_rank, p->n_embd);
        tensors_add_vector(l, "attn_q_a_norm", c->q_rank);
        tensors_add_matrix(l, "attn_q_b", n_q, c->q_rank);
    } else {
        tensors_add_matrix(l, "attn_q", n_q, p->n_embd);
    }
    tensors_add_matrix(l, "attn_kv_a_mqa", c->n_latent + p->n_rot, p->n_embd);
    tensors_add_vector(l, "attn_kv_a_norm", c->n_latent);
    tensors_add_stack(l, "attn_k_b", p->n_head, c->n_latent, c->d_nope);
    tensors_add_stack(l, "attn_v_b", p->n_head, c->d_value, c->n_latent);
    tensors_add_matrix(l, "attn_output", p->n_embd, p->n_head * c->d_value);
    tensors_add_ffn_or_experts(l, p, layer);
}

static const char *const hf_names[][2] = {{"self_attn.q_a_proj", "attn_q_a"},
                                          {"self_attn.q_a_layernorm", "attn_q_a_norm"},
                                          {"self_attn.q_b_proj", "attn_q_b"},
                                          {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
                                          {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
                                          {"mlp.gate", "ffn_gate_inp"},
                                          {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
                                          {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
                                          {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
                                          {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
                                          {NULL, NULL}};

const struct arch arch_deepseek2 = {.name = "deepseek2",
                                    .model_type = {"deepseek_v2", "deepseek_v3"},
                                    .gguf_pairs = true,
                                    .scale_has_key = true,
                                    .own_heads = true,
                                    .own_magnitude = true,
                                    .has_experts = true,
                                    .n_ctx_default = 2048,
                                    .init = experts_init,
                                    .from_gguf = from_gguf,
                                    .from_config = from_config,
                                    .hf_name = hf_names,
                                    .layer_tensors = layer_tensors,
                                    .put_gguf = put_gguf};
