/* Gemma 2 and 3: norms before and after both branches, scaled embeddings, GELU, local and global layers. Gemma 2 caps
 * scores and logits; Gemma 3 norms the heads of q and k and rotates its local layers by another base. */
#include "compute/formats/arch_int.h"

#include <math.h>

enum {
    GEMMA2_PATTERN = 2, /* every second layer is global */
    GEMMA3_PATTERN = 6,
    GEMMA2_27B_LAYERS = 46, /* the size is known by its layers: its scale has no key in GGUF */
    GEMMA3_27B_LAYERS = 62
};

static void init(struct model_params *p)
{
    p->norm_after = true;
    p->activation = ACTIVATION_GELU_TANH;
}

static void init_gemma3(struct model_params *p)
{
    init(p);
    p->qk_norm = QK_NORM_HEAD;
    p->n_rope = 2; /* global, local */
}

static void layers_gemma2(struct model_params *p, int window)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].window = (i + 1) % GEMMA2_PATTERN ? window : 0;
    }
}

static void rotate_by_span(struct model_params *p)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].rope = p->layer[i].window ? 1 : 0;
    }
}

static void layers_gemma3(struct model_params *p, int window)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].window = (i + 1) % GEMMA3_PATTERN ? window : 0;
        p->layer[i].rope = (i + 1) % GEMMA3_PATTERN ? 1 : 0;
    }
}

static float embedding_scale(const struct model_params *p)
{
    return sqrtf((float)p->n_embd);
}

/* --- GGUF --- */

static int read_common_keys(struct gguf_reader *r, struct model_params *p, int layers_27b)
{
    p->embedding_scale = embedding_scale(p);
    if (p->n_layer == layers_27b) {
        p->attn_scale = 1.0f / sqrtf((float)p->n_embd / (float)p->n_head);
    }
    int rc = gguf_read_scale(r, "attn_logit_softcapping", &p->attn_softcap);
    return rc ? rc : gguf_read_scale(r, "final_logit_softcapping", &p->logit_softcap);
}

static int gemma2_from_gguf(struct gguf_reader *r, struct model_params *p)
{
    return read_common_keys(r, p, GEMMA2_27B_LAYERS);
}

static int gemma3_from_gguf(struct gguf_reader *r, struct model_params *p)
{
    double local = 10000;
    int rc = read_common_keys(r, p, GEMMA3_27B_LAYERS);
    rc = rc ? rc : gguf_read_float(r, "rope.freq_base_swa", local, &local);
    rope_unscaled(&p->rope[1], local);
    return rc;
}

static void put_caps(struct gguf_keys *k)
{
    if (k->p->attn_softcap > 0) {
        gguf_keys_float(k, "attn_logit_softcapping", (double)k->p->attn_softcap);
    }
    if (k->p->logit_softcap > 0) {
        gguf_keys_float(k, "final_logit_softcapping", (double)k->p->logit_softcap);
    }
}

static void gemma3_put_gguf(struct gguf_keys *k)
{
    put_caps(k);
    gguf_keys_float(k, "rope.freq_base_swa", k->p->rope[1].theta);
}

/* --- config.json --- */

static int read_common_config(const struct config_reader *r, struct model_params *p, int window_default)
{
    double pre_attn = 0;
    int window;
    p->embedding_scale = embedding_scale(p);
    int rc = config_read_float(r, r->config, "query_pre_attn_scalar", 256, &pre_attn);
    rc = rc ? rc : config_read_scale(r, "attn_logit_softcapping", &p->attn_softcap);
    rc = rc ? rc : config_read_scale(r, "final_logit_softcapping", &p->logit_softcap);
    rc = rc ? rc : config_read_int(r, "sliding_window", window_default, &window);
    if (rc) {
        return rc;
    }
    p->attn_scale = (float)(1 / sqrt(pre_attn));
    if (json_is_true(json_object_get(r->config, "use_bidirectional_attention"))) {
        return config_refuse(r, "use_bidirectional_attention", "is true: embedding models are not supported");
    }
    arch_layers(r->arch, p, window);
    return config_read_layer_types(r, p, window, 0);
}

static int gemma2_from_config(const struct config_reader *r, struct model_params *p)
{
    return read_common_config(r, p, 4096);
}

/* Transformers 5 has one entry of rope_parameters a layer type; older files a second base beside the first. */
static int gemma3_ropes(const struct config_reader *r, struct model_params *p)
{
    const json_t *both = config_rope(r);
    if (config_member(both, "full_attention") || config_member(both, "sliding_attention")) {
        int rc = config_read_rope(r, config_member(both, "full_attention"), "rope_theta", 1e6, p, &p->rope[0]);
        const json_t *local = config_member(both, "sliding_attention");
        return rc ? rc : config_read_rope(r, local, "rope_theta", 1e4, p, &p->rope[1]);
    }
    int rc = config_read_rope(r, both, "rope_theta", 1e6, p, &p->rope[0]);
    return rc ? rc : config_read_rope(r, NULL, "rope_local_base_freq", 1e4, p, &p->rope[1]);
}

static int gemma3_from_config(const struct config_reader *r, struct model_params *p)
{
    int pattern, window, rc = read_common_config(r, p, 4096);
    const char *key =
        config_member(r->config, "sliding_window_pattern") ? "sliding_window_pattern" : "_sliding_window_pattern";
    rc = rc ? rc : config_read_int(r, key, GEMMA3_PATTERN, &pattern);
    rc = rc ? rc : config_read_int(r, "sliding_window", 4096, &window);
    rc = rc || pattern > 0 ? rc : config_refuse(r, key, "is 0");
    for (int i = 0; !rc && !config_member(r->config, "layer_types") && i < p->n_layer; i++) {
        p->layer[i].window = (i + 1) % pattern ? window : 0;
    }
    rotate_by_span(p);
    return rc ? rc : gemma3_ropes(r, p);
}

static const char *const hf_names[][2] = {{"post_attention_layernorm", "post_attention_norm"},
                                          {"pre_feedforward_layernorm", "ffn_norm"},
                                          {"post_feedforward_layernorm", "post_ffw_norm"},
                                          {NULL, NULL}};

const struct arch arch_gemma2 = {.name = "gemma2",
                                 .model_type = {"gemma2"},
                                 .plus_one = true,
                                 .window_has_key = true,
                                 .n_ctx_default = 8192,
                                 .init = init,
                                 .layers = layers_gemma2,
                                 .from_gguf = gemma2_from_gguf,
                                 .from_config = gemma2_from_config,
                                 .hf_name = hf_names,
                                 .put_gguf = put_caps};
const struct arch arch_gemma3 = {.name = "gemma3",
                                 .model_type = {"gemma3_text"},
                                 .plus_one = true,
                                 .window_has_key = true,
                                 .n_ctx_default = 131072,
                                 .init = init_gemma3,
                                 .layers = layers_gemma3,
                                 .from_gguf = gemma3_from_gguf,
                                 .from_config = gemma3_from_config,
                                 .hf_name = hf_names,
                                 .put_gguf = gemma3_put_gguf};
