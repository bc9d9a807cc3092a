/* Llama 4 (text): layers that rotate see chunks of the context and norm the heads of q and k afterwards; every fourth
 * sees all of it, does not rotate, and tempers its queries by position. In some layers experts, chosen by the sigmoid
 * of their logits, which multiplies their input, beside a shared one. */
#include "compute/formats/arch_int.h"

#include "ground/base/str.h"

enum { NO_ROPE_INTERVAL = 4, CHUNK = 8192, FLOOR = 8192, CTX = 131072 };
static const float temperature_scale = 0.1f;

static void init(struct model_params *p)
{
    experts_init(p);
    p->experts.sigmoid = p->experts.weighs_input = true;
    p->qk_norm = QK_NORM_ROTATED;
    p->temperature_floor = FLOOR;
    p->temperature_scale = temperature_scale;
}

static void layers(struct model_params *p, int window)
{
    (void)window;
    for (int i = 0; i < p->n_layer; i++) {
        bool rotates = (i + 1) % NO_ROPE_INTERVAL != 0;
        p->layer[i].rope = rotates ? 0 : -1;
        p->layer[i].chunk = rotates ? CHUNK : 0;
    }
}

static void experts_every(struct model_params *p, int step)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].experts = (i + 1) % step == 0;
    }
}

/* --- GGUF --- */

static int from_gguf(struct gguf_reader *r, struct model_params *p)
{
    struct gguf_reader own = {.f = r->f, .arch = "tailor", .e = r->e};
    bool norms = true;
    int step, chunk, rc = gguf_read_int(r, "interleave_moe_layer_step", 1, &step);
    rc = rc ? rc : gguf_read_experts(r, p);
    rc = rc ? rc : gguf_read_int(&own, "attention.chunk", CHUNK, &chunk);
    rc = rc ? rc : gguf_read_int(&own, "attention.temperature_floor", FLOOR, &p->temperature_floor);
    rc = rc ? rc : gguf_read_scale(&own, "attention.temperature_scale", &p->temperature_scale);
    if (rc) {
        return rc;
    }
    if (step < 1 || p->experts.n_expert == 0) {
        return gguf_refuse(r, "interleave_moe_layer_step", "is 0, or there are no experts");
    }
    gguf_get_bool(&r->f->gguf, "tailor.attention.qk_norm", &norms);
    p->qk_norm = norms ? QK_NORM_ROTATED : QK_NORM_NONE;
    p->experts.n_shared = p->experts.n_ff;
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].chunk = p->layer[i].chunk ? chunk : 0;
        p->layer[i].experts = step == 1 || arch_has_tensor(r->f, i, "ffn_gate_exps.weight");
    }
    return 0;
}

static void put_gguf(struct gguf_keys *k)
{
    const struct model_params *p = k->p;
    int step = 1, chunk = CHUNK;
    while (step < p->n_layer && !p->layer[step - 1].experts) {
        step++;
    }
    for (int i = 0; i < p->n_layer; i++) {
        chunk = p->layer[i].chunk ? p->layer[i].chunk : chunk;
    }
    gguf_put_experts(k, false);
    gguf_keys_int(k, "interleave_moe_layer_step", step);
    if (chunk != CHUNK) {
        k->failed |= gguf_put_u32(k->w, "tailor.attention.chunk", (uint32_t)chunk) != 0;
    }
    if (p->temperature_floor != FLOOR) {
        k->failed |= gguf_put_u32(k->w, "tailor.attention.temperature_floor", (uint32_t)p->temperature_floor) != 0;
    }
    if (p->temperature_scale != temperature_scale) {
        k->failed |= gguf_put_f32(k->w, "tailor.attention.temperature_scale", p->temperature_scale) != 0;
    }
    if (p->qk_norm != QK_NORM_ROTATED) {
        k->failed |= gguf_put_bool(k->w, "tailor.attention.qk_norm", false) != 0;
    }
}

/* --- config.json --- */

/* "moe_layers": the numbers of those with experts. */
static int config_moe_layers(const struct config_reader *r, struct model_params *p)
{
    const json_t *list = config_member(r->config, "moe_layers");
    int step, rc = config_read_int(r, "interleave_moe_layer_step", 1, &step);
    if (rc || step < 1) {
        return rc ? rc : config_refuse(r, "interleave_moe_layer_step", "is 0");
    }
    experts_every(p, step);
    for (int i = 0; list && i < p->n_layer; i++) {
        p->layer[i].experts = false;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_int_t layer = json_integer_value(json_array_get(list, i));
        if (layer < 0 || layer >= p->n_layer) {
            return config_refuse(r, "moe_layers", "names a layer that there is not");
        }
        p->layer[layer].experts = true;
    }
    return 0;
}

static int config_attention(const struct config_reader *r, struct model_params *p)
{
    int chunk, rc = config_read_int(r, "attention_chunk_size", CHUNK, &chunk);
    rc = rc ? rc : config_read_no_rope(r, p, NO_ROPE_INTERVAL);
    for (int i = 0; !rc && i < p->n_layer; i++) {
        p->layer[i].chunk = p->layer[i].rope >= 0 ? chunk : 0;
    }
    rc = rc ? rc : config_read_layer_types(r, p, 0, chunk);
    rc = rc ? rc : config_read_int(r, "floor_scale", FLOOR, &p->temperature_floor);
    rc = rc ? rc : config_read_scale(r, "attn_scale", &p->temperature_scale);
    const json_t *tempers = config_member(r->config, "attn_temperature_tuning"); /* 4 in the first files */
    if (tempers && !json_is_boolean(tempers) && !json_is_integer(tempers)) {
        return config_refuse(r, "attn_temperature_tuning", "is neither true nor false");
    }
    if (json_is_false(tempers) || (json_is_integer(tempers) && json_integer_value(tempers) == 0)) {
        p->temperature_floor = 0;
    }
    if (json_is_false(json_object_get(r->config, "use_qk_norm"))) {
        p->qk_norm = QK_NORM_NONE;
    }
    return rc;
}

/* intermediate_size is the width of experts; that of dense layers has a key of its own. */
static int from_config(const struct config_reader *r, struct model_params *p)
{
    int rc = config_read_experts(r, p, "intermediate_size");
    p->experts.n_shared = p->experts.n_ff;
    p->experts.renormalize = false;
    rc = rc ? rc : config_read_int(r, "intermediate_size_mlp", 16384, &p->n_ff);
    rc = rc ? rc : config_moe_layers(r, p);
    rc = rc ? rc : config_attention(r, p);
    p->rope_halves = false;
    return rc ? rc : experts_check(p, r->path, r->e);
}

/* --- tensors --- */

static void layer_tensors(const struct model_params *p, int layer, struct layer_tensors *l)
{
    tensors_add_norms(l, p);
    tensors_add_attention(l, p);
    tensors_add_ffn_or_experts(l, p, layer);
}

static const char *const hf_names[][2] = {{"feed_forward.gate_proj", "ffn_gate"},
                                          {"feed_forward.up_proj", "ffn_up"},
                                          {"feed_forward.down_proj", "ffn_down"},
                                          {"feed_forward.router", "ffn_gate_inp"},
                                          {"feed_forward.shared_expert.gate_proj", "ffn_gate_shexp"},
                                          {"feed_forward.shared_expert.up_proj", "ffn_up_shexp"},
                                          {"feed_forward.shared_expert.down_proj", "ffn_down_shexp"},
                                          {NULL, NULL}};

const struct arch arch_llama4 = {.name = "llama4",
                                 .model_type = {"llama4_text"},
                                 .gguf_pairs = true,
                                 .has_experts = true,
                                 .n_ctx_default = CTX,
                                 .init = init,
                                 .layers = layers,
                                 .from_gguf = from_gguf,
                                 .from_config = from_config,
                                 .hf_name = hf_names,
                                 .layer_tensors = layer_tensors,
                                 .put_gguf = put_gguf};
