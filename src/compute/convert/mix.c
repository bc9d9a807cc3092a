/* The rules of the mixes. Owns no state; a tensor is known by its name alone. */
#include "compute/convert/mix.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "ground/base/str.h"

/* Numbers: llama.h, enum llama_ftype. What has no number of its own there bears that of its nearest. */
static const struct mix mixes[] = {
    {"F32", QUANT_F32, 0, true},       {"F16", QUANT_F16, 1, true},       {"BF16", QUANT_BF16, 32, true},
    {"Q8_0", QUANT_Q8_0, 7, false},    {"Q6_K", QUANT_Q6_K, 18, false},   {"Q5_K_M", QUANT_Q5_K, 17, false},
    {"Q5_K_S", QUANT_Q5_K, 16, false}, {"Q5_K", QUANT_Q5_K, 16, true},    {"Q5_1", QUANT_Q5_1, 9, false},
    {"Q5_0", QUANT_Q5_0, 8, false},    {"Q4_K_M", QUANT_Q4_K, 15, false}, {"Q4_K_S", QUANT_Q4_K, 14, false},
    {"Q4_K", QUANT_Q4_K, 14, true},    {"Q4_1", QUANT_Q4_1, 3, false},    {"Q4_0", QUANT_Q4_0, 2, false},
    {"Q3_K_L", QUANT_Q3_K, 13, false}, {"Q3_K_M", QUANT_Q3_K, 12, false}, {"Q3_K_S", QUANT_Q3_K, 11, false},
    {"Q3_K", QUANT_Q3_K, 11, true},    {"Q2_K", QUANT_Q2_K, 10, false},
};

const struct mix *mix_find(const char *name)
{
    for (size_t i = 0; name && i < N_ELEM(mixes); i++) {
        if (strcasecmp(name, mixes[i].name) == 0) {
            return &mixes[i];
        }
    }
    return NULL;
}

const struct mix *mix_at(size_t idx)
{
    return idx < N_ELEM(mixes) ? &mixes[idx] : NULL;
}

/* The layer in "blk.12.attn_v.weight", -1 when there is none. */
static int layer_of(const char *name)
{
    int layer;
    return sscanf(name, "blk.%6d.", &layer) == 1 && layer >= 0 ? layer : -1;
}

static uint64_t rows_of(const struct model_file *f, const char *name)
{
    const struct tensor_info *t = model_file_find(f, name);
    return t && t->n_dim == 2 ? t->shape[0] : 0;
}

void mix_model_init(struct mix_model *m, const struct model_file *f, bool has_weights)
{
    *m = (struct mix_model){.n_gqa = 1, .n_expert = 1, .has_weights = has_weights};
    for (size_t i = 0; i < model_file_n_tensor(f); i++) {
        const struct tensor_info *t = model_file_tensor(f, i);
        int layer = layer_of(t->name);
        m->n_layer = layer >= m->n_layer ? layer + 1 : m->n_layer;
        if (strstr(t->name, "ffn_down_exps.weight") && t->n_dim == 3 && t->shape[0] <= INT32_MAX) {
            m->n_expert = (int)t->shape[0];
        }
    }
    uint64_t q = rows_of(f, "blk.0.attn_q.weight"), k = rows_of(f, "blk.0.attn_k.weight");
    m->n_gqa = k && q / k >= 1 && q / k <= INT32_MAX ? (int)(q / k) : 1;
    m->tied = !model_file_find(f, "output.weight");
}

bool mix_is_matrix(const struct tensor_info *t)
{
    static const char *const kept[] = {"_norm.weight",     "ffn_gate_inp.weight",  "ssm_conv1d",
                                       "shortconv.conv",   "position_embd.weight", "token_types.weight",
                                       "attn_rel_b.weight"};
    if (t->n_dim < 2 || !str_ends(t->name, "weight")) {
        return false;
    }
    for (size_t i = 0; i < N_ELEM(kept); i++) {
        if (strstr(t->name, kept[i])) {
            return false;
        }
    }
    return true;
}

/* The first and the last eighth of the layers, and every third between. */
static bool more_bits(int layer, int n_layer)
{
    return layer < n_layer / 8 || layer >= 7 * n_layer / 8 || (layer - n_layer / 8) % 3 == 2;
}

static bool is(const struct mix *x, const char *name)
{
    return strcmp(x->name, name) == 0;
}

static enum quant_type output_type(const struct mix *x, const struct tensor_info *t)
{
    uint64_t n_in = t->shape[t->n_dim - 1];
    bool whole = n_in % (uint64_t)quants[x->base]->block_len == 0;
    return !whole || x->base == QUANT_Q8_0 ? QUANT_Q8_0 : QUANT_Q6_K;
}

static enum quant_type value_type(const struct mix *x, const struct mix_model *m, int layer)
{
    enum quant_type type = x->base;
    if (m->n_expert == 8) {
        return QUANT_Q8_0;
    }
    if (is(x, "Q2_K")) {
        type = m->n_gqa >= 4 ? QUANT_Q4_K : QUANT_Q3_K;
    } else if (is(x, "Q3_K_M")) {
        type = layer < 2 ? QUANT_Q5_K : QUANT_Q4_K;
    } else if (is(x, "Q3_K_L") || (is(x, "Q4_K_S") && layer < 4)) {
        type = QUANT_Q5_K;
    } else if ((is(x, "Q4_K_M") || is(x, "Q5_K_M")) && more_bits(layer, m->n_layer)) {
        type = QUANT_Q6_K;
    }
    bool shared_by_8 = m->n_layer == 80 && m->n_gqa == 8; /* the 70B sizes: these matrices are small there */
    return shared_by_8 && (type == QUANT_Q3_K || type == QUANT_Q4_K) ? QUANT_Q5_K : type;
}

static enum quant_type down_type(const struct mix *x, const struct mix_model *m, int layer)
{
    if (is(x, "Q2_K")) {
        return QUANT_Q3_K;
    }
    if (is(x, "Q3_K_M")) {
        return layer < m->n_layer / 16 ? QUANT_Q5_K : QUANT_Q4_K;
    }
    if (is(x, "Q3_K_L") || (is(x, "Q4_K_S") && layer < m->n_layer / 8)) {
        return QUANT_Q5_K;
    }
    if ((is(x, "Q4_K_M") || is(x, "Q5_K_M")) && more_bits(layer, m->n_layer)) {
        return QUANT_Q6_K;
    }
    /* inputs of the first layers have outliers that weights make a symmetric type suffer from */
    if (m->has_weights && layer < m->n_layer / 8 && (is(x, "Q4_0") || is(x, "Q5_0"))) {
        return is(x, "Q4_0") ? QUANT_Q4_1 : QUANT_Q5_1;
    }
    return x->base;
}

static enum quant_type attention_output_type(const struct mix *x, const struct mix_model *m)
{
    if (m->n_expert == 8) {
        bool low = x->base == QUANT_Q2_K || x->base == QUANT_Q4_K || is(x, "Q3_K_S") || is(x, "Q3_K_M");
        return low ? QUANT_Q5_K : x->base;
    }
    return is(x, "Q2_K") ? QUANT_Q3_K : is(x, "Q3_K_M") ? QUANT_Q4_K : is(x, "Q3_K_L") ? QUANT_Q5_K : x->base;
}

enum quant_type mix_type(const struct mix *x, const struct mix_model *m, const struct tensor_info *t)
{
    int layer = layer_of(t->name);
    if (x->pure) {
        return x->base;
    }
    if (str_eq(t->name, "output.weight") || (m->tied && str_eq(t->name, "token_embd.weight"))) {
        return output_type(x, t);
    }
    if (strstr(t->name, "attn_v.weight") || strstr(t->name, "attn_qkv.weight") || strstr(t->name, "attn_kv_b.weight")) {
        return value_type(x, m, layer);
    }
    if (strstr(t->name, "attn_k.weight")) {
        return m->n_expert == 8 ? QUANT_Q8_0 : x->base;
    }
    if (strstr(t->name, "attn_output.weight")) {
        return attention_output_type(x, m);
    }
    return strstr(t->name, "ffn_down") ? down_type(x, m, layer) : x->base;
}

enum quant_type mix_fallback(enum quant_type type, uint64_t n_in)
{
    if (n_in % (uint64_t)quants[type]->block_len == 0) {
        return type;
    }
    if (n_in % 32 != 0) {
        return QUANT_F16;
    }
    switch (type) {
    case QUANT_Q4_K:
        return QUANT_Q5_0;
    case QUANT_Q5_K:
        return QUANT_Q5_1;
    case QUANT_Q6_K:
        return QUANT_Q8_0;
    default:
        return QUANT_Q4_0; /* Q2_K, Q3_K */
    }
}
