/* PEFT's names and order: keys of tensors, and the rows of B of q and k, which Hugging Face keeps in halves
 * (i, i + d_head/2) and a GGUF llama base in pairs (2i, 2i+1). */
#include <stdio.h>
#include <string.h>

#include "compute/model/adapter_int.h"
#include "ground/base/mem.h"

const struct adapter_module *adapter_modules(const struct model_params *p, int *n)
{
    static const struct adapter_module single[] = {
        {"q_proj", SITE_Q, 1},       {"k_proj", SITE_K, 1},   {"v_proj", SITE_V, 1},      {"o_proj", SITE_O, 1},
        {"gate_proj", SITE_GATE, 1}, {"up_proj", SITE_UP, 1}, {"down_proj", SITE_DOWN, 1}};
    static const struct adapter_module fused[] = {
        {"qkv_proj", SITE_Q, 3}, {"o_proj", SITE_O, 1}, {"gate_up_proj", SITE_GATE, 2}, {"down_proj", SITE_DOWN, 1}};
    *n = p->fused ? (int)N_ELEM(fused) : (int)N_ELEM(single);
    return p->fused ? fused : single;
}

void adapter_module_shape(const struct model_params *p, const struct adapter_module *m, size_t *n_out, size_t *n_in)
{
    *n_out = 0;
    for (int i = 0; i < m->n; i++) {
        size_t n;
        model_site_shape(p, m->first + (enum adapter_site)i, &n, n_in);
        *n_out += n;
    }
}

struct adapter_target adapter_module_target(const struct adapter *a, int layer, const struct adapter_module *m)
{
    struct adapter_target on = {0};
    for (int i = 0; i < m->n && on.rank == 0; i++) {
        on = adapter_view_at(a, layer, m->first + (enum adapter_site)i)->on;
    }
    return on;
}

void adapter_module_name(char *out, size_t size, int layer, const struct adapter_module *m)
{
    snprintf(out, size, "model.layers.%d.%s.%s", layer, m->first <= SITE_O ? "self_attn" : "mlp", m->name);
}

void adapter_key(char *out, size_t size, int layer, const struct adapter_module *m, enum adapter_part part)
{
    static const char *const name[ADAPTER_PARTS] = {"lora_A.weight", "lora_B.weight", "lora_magnitude_vector"};
    char module[64];
    adapter_module_name(module, sizeof(module), layer, m);
    snprintf(out, size, "base_model.model.%s.%s", module, name[part]);
}

/* Row of the base's order where row r of Hugging Face's stands. */
static size_t base_row(const struct adapter *a, enum adapter_site site, size_t r)
{
    if (a->params.rope_halves || (site != SITE_Q && site != SITE_K)) {
        return r;
    }
    size_t dh = (size_t)a->params.d_head, half = dh / 2, i = r % dh;
    return r - i + (i < half ? 2 * i : 2 * (i - half) + 1);
}

void adapter_rows_to_hf(const struct adapter *a, enum adapter_site site, size_t width, float *dst, const float *src)
{
    size_t n_out = adapter_view_at(a, 0, site)->n_out;
    for (size_t r = 0; r < n_out; r++) {
        memcpy(dst + r * width, src + base_row(a, site, r) * width, width * sizeof(float));
    }
}

void adapter_rows_from_hf(const struct adapter *a, enum adapter_site site, size_t width, float *dst, const float *src)
{
    size_t n_out = adapter_view_at(a, 0, site)->n_out;
    for (size_t r = 0; r < n_out; r++) {
        memcpy(dst + base_row(a, site, r) * width, src + r * width, width * sizeof(float));
    }
}
