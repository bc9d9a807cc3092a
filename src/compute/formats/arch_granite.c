/* Granite 3: Llama's layers with four multipliers. */
#include "compute/formats/arch_int.h"

static int from_gguf(struct gguf_reader *r, struct model_params *p)
{
    float divisor = 1;
    int rc = gguf_read_scale(r, "attention.scale", &p->attn_scale);
    rc = rc ? rc : gguf_read_scale(r, "embedding_scale", &p->embedding_scale);
    rc = rc ? rc : gguf_read_scale(r, "residual_scale", &p->residual_scale);
    rc = rc ? rc : gguf_read_scale(r, "logit_scale", &divisor);
    p->logit_scale = 1 / divisor;
    return rc;
}

static int from_config(const struct config_reader *r, struct model_params *p)
{
    float divisor = 1;
    p->attn_scale = 1;
    int rc = config_read_scale(r, "attention_multiplier", &p->attn_scale);
    rc = rc ? rc : config_read_scale(r, "embedding_multiplier", &p->embedding_scale);
    rc = rc ? rc : config_read_scale(r, "residual_multiplier", &p->residual_scale);
    rc = rc ? rc : config_read_scale(r, "logits_scaling", &divisor);
    p->logit_scale = 1 / divisor;
    return rc;
}

static void put_gguf(struct gguf_keys *k)
{
    gguf_keys_float(k, "attention.scale", (double)k->p->attn_scale);
    gguf_keys_float(k, "embedding_scale", (double)k->p->embedding_scale);
    gguf_keys_float(k, "residual_scale", (double)k->p->residual_scale);
    gguf_keys_float(k, "logit_scale", 1 / (double)k->p->logit_scale);
}

const struct arch arch_granite = {.name = "granite",
                                  .model_type = {"granite"},
                                  .gguf_pairs = true,
                                  .gguf_permutes = true,
                                  .scale_has_key = true,
                                  .n_ctx_default = 2048,
                                  .from_gguf = from_gguf,
                                  .from_config = from_config,
                                  .put_gguf = put_gguf};
