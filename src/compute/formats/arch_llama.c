/* Llama, Mistral and Mixtral (experts in every layer, their weights renormalized): one architecture of GGUF. A GGUF
 * keeps the rows of q and k in rotary pairs, and has no key for the window of the latter two. */
#include "compute/formats/arch_int.h"

#include "ground/base/str.h"

enum { MISTRAL_CTX = 131072, MISTRAL_WINDOW = 4096 }; /* where config.json has no such key */

static void init(struct model_params *p)
{
    experts_init(p);
    p->experts.renormalize = true;
}

static void experts_everywhere(struct model_params *p)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].experts = p->experts.n_expert > 0;
    }
}

static int from_gguf(struct gguf_reader *r, struct model_params *p)
{
    int rc = gguf_read_experts(r, p);
    experts_everywhere(p);
    return rc;
}

static void put_gguf(struct gguf_keys *k)
{
    gguf_put_experts(k, true);
}

/* One window for all layers; where the key is absent Mistral has one of 4096, Mixtral none. */
static int from_config(const struct config_reader *r, struct model_params *p)
{
    bool mixtral = str_eq(r->model_type, "mixtral");
    if (!mixtral && !str_eq(r->model_type, "mistral")) {
        return 0;
    }
    int window = 0, rc = config_read_int(r, "max_position_embeddings", MISTRAL_CTX, &p->n_ctx_train);
    if (!rc && !json_is_null(json_object_get(r->config, "sliding_window"))) {
        rc = config_read_int(r, "sliding_window", mixtral ? 0 : MISTRAL_WINDOW, &window);
    }
    arch_layers(r->arch, p, window);
    if (rc || !mixtral) {
        return rc;
    }
    rc = config_read_experts(r, p, "intermediate_size");
    p->experts.renormalize = true;
    experts_everywhere(p);
    return rc ? rc : experts_check(p, r->path, r->e);
}

static void layer_tensors(const struct model_params *p, int layer, struct layer_tensors *l)
{
    tensors_add_norms(l, p);
    tensors_add_attention(l, p);
    tensors_add_ffn_or_experts(l, p, layer);
}

static const char *const hf_names[][2] = {{"block_sparse_moe.gate", "ffn_gate_inp"}, {NULL, NULL}};

const struct arch arch_llama = {.name = "llama",
                                .model_type = {"llama", "mistral", "mixtral"},
                                .gguf_pairs = true,
                                .gguf_permutes = true,
                                .has_experts = true,
                                .n_ctx_default = 2048,
                                .init = init,
                                .from_gguf = from_gguf,
                                .from_config = from_config,
                                .hf_name = hf_names,
                                .layer_tensors = layer_tensors,
                                .put_gguf = put_gguf};
