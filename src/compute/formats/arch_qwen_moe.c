/* Qwen 2 and 3 with experts: softmax over all of them; a shared one behind a sigmoid (2), a norm on each head of q and
 * k (3). GGUF has no key for renormalized weights: without one 2 does not, 3 does. */
#include "compute/formats/arch_int.h"

#include "ground/base/str.h"

static void init_qwen3(struct model_params *p)
{
    experts_init(p);
    p->qk_norm = QK_NORM_HEAD;
}

/* --- GGUF --- */

static int from_gguf(struct gguf_reader *r, struct model_params *p, bool is_3)
{
    p->experts.renormalize = is_3;
    int rc = gguf_read_experts(r, p);
    p->experts.shared_gate = p->experts.n_shared > 0;
    for (int i = 0; !rc && i < p->n_layer; i++) {
        p->layer[i].experts = arch_has_tensor(r->f, i, "ffn_gate_exps.weight");
    }
    return rc;
}

static int qwen2_from_gguf(struct gguf_reader *r, struct model_params *p)
{
    return from_gguf(r, p, false);
}

static int qwen3_from_gguf(struct gguf_reader *r, struct model_params *p)
{
    return from_gguf(r, p, true);
}

static void qwen2_put_gguf(struct gguf_keys *k)
{
    gguf_put_experts(k, false);
    if (k->p->experts.n_shared) {
        gguf_keys_int(k, "expert_shared_feed_forward_length", k->p->experts.n_shared);
    }
}

static void qwen3_put_gguf(struct gguf_keys *k)
{
    gguf_put_experts(k, true);
}

/* --- config.json --- */

/* Every decoder_sparse_step-th layer has experts, unless it is named as one that has none. */
static int config_layers(const struct config_reader *r, struct model_params *p)
{
    const json_t *dense = config_member(r->config, "mlp_only_layers");
    int step, rc = config_read_int(r, "decoder_sparse_step", 1, &step);
    if (rc || step < 1) {
        return rc ? rc : config_refuse(r, "decoder_sparse_step", "is 0");
    }
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].experts = (i + 1) % step == 0;
    }
    for (size_t i = 0; i < json_array_size(dense); i++) {
        json_int_t layer = json_integer_value(json_array_get(dense, i));
        if (layer < 0 || layer >= p->n_layer) {
            return config_refuse(r, "mlp_only_layers", "names a layer that there is not");
        }
        p->layer[layer].experts = false;
    }
    return 0;
}

static int from_config(const struct config_reader *r, struct model_params *p)
{
    int rc = qwen_read_windows(r, p);
    rc = rc ? rc : config_read_experts(r, p, "moe_intermediate_size");
    rc = rc ? rc : config_layers(r, p);
    if (!rc && str_eq(r->model_type, "qwen2_moe")) {
        rc = config_read_int(r, "shared_expert_intermediate_size", -1, &p->experts.n_shared);
        p->experts.shared_gate = p->experts.n_shared > 0;
    }
    return rc ? rc : experts_check(p, r->path, r->e);
}

/* --- tensors --- */

static void layer_tensors(const struct model_params *p, int layer, struct layer_tensors *l)
{
    tensors_add_norms(l, p);
    tensors_add_attention(l, p);
    tensors_add_ffn_or_experts(l, p, layer);
}

static const char *const hf_names[][2] = {{"mlp.gate", "ffn_gate_inp"},
                                          {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
                                          {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
                                          {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
                                          {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
                                          {NULL, NULL}};

const struct arch arch_qwen2moe = {.name = "qwen2moe",
                                   .model_type = {"qwen2_moe"},
                                   .has_experts = true,
                                   .n_ctx_default = 32768,
                                   .init = experts_init,
                                   .from_gguf = qwen2_from_gguf,
                                   .from_config = from_config,
                                   .hf_name = hf_names,
                                   .layer_tensors = layer_tensors,
                                   .put_gguf = qwen2_put_gguf};
const struct arch arch_qwen3moe = {.name = "qwen3moe",
                                   .model_type = {"qwen3_moe"},
                                   .has_experts = true,
                                   .n_ctx_default = 32768,
                                   .init = init_qwen3,
                                   .from_gguf = qwen3_from_gguf,
                                   .from_config = from_config,
                                   .hf_name = hf_names,
                                   .layer_tensors = layer_tensors,
                                   .put_gguf = qwen3_put_gguf};
