/* Phi 3: q, k and v are the rows of one tensor, gate and up of another; longrope for contexts beyond the trained one.
 */
#include "compute/formats/arch_int.h"

#include <math.h>

static void init(struct model_params *p)
{
    p->fused = true;
}

static int from_config(const struct config_reader *r, struct model_params *p)
{
    int window, rc = config_read_int(r, "sliding_window", 0, &window);
    arch_layers(r->arch, p, window);
    return rc;
}

/* --- GGUF: the factors of longrope are tensors --- */

static int read_factors(struct gguf_reader *r, const char *name, int n, float *out)
{
    const struct tensor_info *t = model_file_find(r->f, name);
    if (t->type != TENSOR_F32 || t->n_bytes != (uint64_t)n * sizeof(float)) {
        return err_set(r->e, ERR_INPUT, r->f->path, "cannot use \"%s\": %s is not %d values of type F32", r->f->path,
                       name, n);
    }
    return model_file_read(r->f, t, out, 0, (size_t)n * sizeof(float), r->e);
}

static int from_gguf(struct gguf_reader *r, struct model_params *p)
{
    struct model_rope *rope = &p->rope[0];
    double magnitude;
    if (!model_file_find(r->f, "rope_factors_long.weight") || !model_file_find(r->f, "rope_factors_short.weight")) {
        return 0;
    }
    int rc = gguf_read_int(r, "rope.scaling.original_context_length", -1, &rope->n_ctx_short);
    rc = rc ? rc : gguf_read_float(r, "rope.scaling.attn_factor", 1, &magnitude);
    rc = rc ? rc : read_factors(r, "rope_factors_short.weight", p->n_rot / 2, rope->factor);
    rc = rc ? rc : read_factors(r, "rope_factors_long.weight", p->n_rot / 2, rope->long_factor);
    rope->magnitude = rc ? 1 : (float)magnitude;
    return rc;
}

static void put_gguf(struct gguf_keys *k)
{
    const struct model_rope *rope = &k->p->rope[0];
    if (rope->n_ctx_short > 0) {
        gguf_keys_int(k, "rope.scaling.original_context_length", rope->n_ctx_short);
        gguf_keys_float(k, "rope.scaling.attn_factor", (double)rope->magnitude);
    }
}

static const char *const hf_names[][2] = {
    {"self_attn.qkv_proj", "attn_qkv"}, {"mlp.gate_up_proj", "ffn_up"}, {NULL, NULL}};

const struct arch arch_phi3 = {.name = "phi3",
                               .model_type = {"phi3"},
                               .window_has_key = true,
                               .longrope = true,
                               .n_ctx_default = 4096,
                               .init = init,
                               .from_gguf = from_gguf,
                               .from_config = from_config,
                               .hf_name = hf_names,
                               .put_gguf = put_gguf};
