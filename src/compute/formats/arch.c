/* The table of architectures, and what families share: layers all alike, the tensors of dense layers. */
#include "compute/formats/arch_int.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ground/base/str.h"

static const struct arch *const archs[] = {
    &arch_llama,   &arch_qwen2,   &arch_qwen3,    &arch_gemma2,   &arch_gemma3,    &arch_phi3,  &arch_olmo2,
    &arch_granite, &arch_smollm3, &arch_qwen2moe, &arch_qwen3moe, &arch_deepseek2, &arch_llama4};

const struct arch *arch_find(const char *name)
{
    for (size_t i = 0; name && i < N_ELEM(archs); i++) {
        if (str_eq(archs[i]->name, name)) {
            return archs[i];
        }
    }
    return NULL;
}

const struct arch *arch_find_model_type(const char *type)
{
    for (size_t i = 0; type && i < N_ELEM(archs); i++) {
        for (size_t k = 0; k < N_ELEM(archs[i]->model_type); k++) {
            if (archs[i]->model_type[k] && str_eq(archs[i]->model_type[k], type)) {
                return archs[i];
            }
        }
    }
    return NULL;
}

bool model_architecture_known(const char *name)
{
    return arch_find(name) != NULL;
}

bool model_architecture_permutes(const char *name)
{
    const struct arch *a = arch_find(name);
    return a && a->gguf_permutes;
}

/* A list grows by one name. */
static size_t add_name(char *out, size_t size, size_t at, const char *name)
{
    int n = at < size ? snprintf(out + at, size - at, at ? ", %s" : "%s", name) : 0;
    return at + (size_t)(n > 0 ? n : 0);
}

const char *model_architectures(char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_ELEM(archs); i++) {
        at = add_name(out, size, at, archs[i]->name);
    }
    return out;
}

const char *arch_model_types(char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < N_ELEM(archs); i++) {
        const char *const *type = archs[i]->model_type;
        for (size_t k = 0; k < N_ELEM(archs[i]->model_type) && type[k]; k++) {
            at = add_name(out, size, at, type[k]);
        }
    }
    return out;
}

void arch_init(const struct arch *a, struct model_params *p)
{
    snprintf(p->architecture, sizeof p->architecture, "%s", a->name);
    p->norm_before = true;
    p->embedding_scale = p->residual_scale = p->logit_scale = 1;
    p->n_rope = 1;
    if (a->init) {
        a->init(p);
    }
}

void arch_layers(const struct arch *a, struct model_params *p, int window)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i] = (struct model_layer_params){.window = window};
    }
    if (a->layers) {
        a->layers(p, window);
    }
}

static struct layer_tensor *add(struct layer_tensors *l, const char *part, int n_dim)
{
    struct layer_tensor *t = &l->at[l->n];
    l->n += l->n + 1 < N_ELEM(l->at);
    *t = (struct layer_tensor){.part = part, .n_dim = n_dim};
    return t;
}

void tensors_add_matrix(struct layer_tensors *l, const char *part, int n_out, int n_in)
{
    struct layer_tensor *t = add(l, part, 2);
    t->shape[0] = (uint64_t)n_out;
    t->shape[1] = (uint64_t)n_in;
    t->has_bias = true;
}

void tensors_add_vector(struct layer_tensors *l, const char *part, int n)
{
    add(l, part, 1)->shape[0] = (uint64_t)n;
}

void tensors_add_stack(struct layer_tensors *l, const char *part, int n_mat, int n_out, int n_in)
{
    struct layer_tensor *t = add(l, part, 3);
    t->shape[0] = (uint64_t)n_mat;
    t->shape[1] = (uint64_t)n_out;
    t->shape[2] = (uint64_t)n_in;
}

void tensors_add_norms(struct layer_tensors *l, const struct model_params *p)
{
    if (p->norm_before) {
        tensors_add_vector(l, "attn_norm", p->n_embd);
        tensors_add_vector(l, "ffn_norm", p->n_embd);
    }
    if (p->norm_after) {
        tensors_add_vector(l, "post_attention_norm", p->n_embd);
        tensors_add_vector(l, "post_ffw_norm", p->n_embd);
    }
}

void tensors_add_attention(struct layer_tensors *l, const struct model_params *p)
{
    int n_q = p->n_head * p->d_head, n_kv = p->n_kv_head * p->d_head;
    if (p->fused) {
        tensors_add_matrix(l, "attn_qkv", n_q + 2 * n_kv, p->n_embd);
    } else {
        tensors_add_matrix(l, "attn_q", n_q, p->n_embd);
        tensors_add_matrix(l, "attn_k", n_kv, p->n_embd);
        tensors_add_matrix(l, "attn_v", n_kv, p->n_embd);
    }
    tensors_add_matrix(l, "attn_output", p->n_embd, n_q);
    if (p->qk_norm == QK_NORM_HEAD || p->qk_norm == QK_NORM_FULL) {
        bool full = p->qk_norm == QK_NORM_FULL;
        tensors_add_vector(l, "attn_q_norm", full ? n_q : p->d_head);
        tensors_add_vector(l, "attn_k_norm", full ? n_kv : p->d_head);
    }
}

void tensors_add_ffn(struct layer_tensors *l, const struct model_params *p)
{
    if (p->fused) {
        tensors_add_matrix(l, "ffn_up", 2 * p->n_ff, p->n_embd);
    } else {
        tensors_add_matrix(l, "ffn_gate", p->n_ff, p->n_embd);
        tensors_add_matrix(l, "ffn_up", p->n_ff, p->n_embd);
    }
    tensors_add_matrix(l, "ffn_down", p->n_embd, p->n_ff);
}

void arch_layer_tensors(const struct arch *a, const struct model_params *p, int layer, struct layer_tensors *l)
{
    l->n = 0;
    if (a->layer_tensors) {
        a->layer_tensors(p, layer, l);
        return;
    }
    tensors_add_norms(l, p);
    tensors_add_attention(l, p);
    tensors_add_ffn(l, p);
}

void model_layer_tensors(const struct model_params *p, int layer, struct layer_tensors *l)
{
    const struct arch *a = arch_find(p->architecture);
    l->n = 0;
    if (a) {
        arch_layer_tensors(a, p, layer, l);
    }
}

bool model_params_begin(struct model_params *p, const char *architecture)
{
    const struct arch *a = arch_find(architecture);
    *p = (struct model_params){.bos_id = -1, .eos_id = -1};
    if (a) {
        arch_init(a, p);
        p->rope_halves = !a->gguf_pairs;
        for (int i = 0; i < MODEL_MAX_ROPE; i++) {
            rope_unscaled(&p->rope[i], 10000);
        }
    }
    return a != NULL;
}

void model_params_layers(struct model_params *p, int window)
{
    p->attn_scale = 1.0f / sqrtf((float)p->d_head);
    arch_layers(arch_find(p->architecture), p, window);
}
