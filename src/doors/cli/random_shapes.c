/* The presets of make-model, their tensors and keys, as llama.cpp's converter names them. */
#include "doors/cli/random_shapes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

/* Sizes from the config.json of the models named, and a tiny one of each architecture for tests. */
struct preset {
    const char *arch, *name;
    int n_layer, n_embd, n_head, n_kv_head, d_head, n_ff, n_vocab, n_ctx;
    bool tied;
    double rope_theta, rms_eps;
    int window;      /* of layers that slide; 0: none do */
    bool rope_freqs; /* a table of frequency factors (llama3 scaling), which is written as ones */
    float attn_scale, embedding_scale, residual_scale, logit_divisor; /* 0: as the architecture has it */
    struct {
        int n, n_used, n_ff, n_shared; /* experts, their width, the width of the shared one; 0: none */
        int n_dense;                   /* first layers, without experts */
    } experts;
    struct {
        int n, d_nope, n_rot, d_value; /* compressed cache; 0: none */
    } latent;
};

/* clang-format off */
static const struct preset presets[] = {
    {"llama", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, true, 1e4, 1e-5, .window = 0},
    {"llama", "135m", 30, 576, 9, 3, 64, 1536, 49152, 8192, true, 1e5, 1e-5, .window = 0},       /* SmolLM2-135M */
    {"llama", "360m", 32, 960, 15, 5, 64, 2560, 49152, 8192, true, 1e5, 1e-5, .window = 0},      /* SmolLM2-360M */
    {"llama", "1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, true, 5e5, 1e-5, .rope_freqs = true},   /* Llama-3.2-1B */
    {"llama", "1.7b", 24, 2048, 32, 32, 64, 8192, 49152, 8192, true, 1.3e5, 1e-5, .window = 0},  /* SmolLM2-1.7B */
    {"llama", "8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072, false, 5e5, 1e-5, .rope_freqs = true}, /* Llama-3.1-8B */
    {"qwen2", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, true, 1e6, 1e-6, .window = 0},
    {"qwen2", "0.5b", 24, 896, 14, 2, 64, 4864, 151936, 32768, true, 1e6, 1e-6, .window = 0},    /* Qwen2.5-0.5B */
    {"qwen2", "1.5b", 28, 1536, 12, 2, 128, 8960, 151936, 32768, true, 1e6, 1e-6, .window = 0},  /* Qwen2.5-1.5B */
    {"qwen2", "3b", 36, 2048, 16, 2, 128, 11008, 151936, 32768, true, 1e6, 1e-6, .window = 0},   /* Qwen2.5-3B */
    {"qwen2", "7b", 28, 3584, 28, 4, 128, 18944, 152064, 32768, false, 1e6, 1e-6, .window = 0},  /* Qwen2.5-7B */
    {"qwen3", "tiny", 2, 64, 4, 2, 32, 160, 512, 512, true, 1e6, 1e-6, .window = 0},
    {"qwen3", "0.6b", 28, 1024, 16, 8, 128, 3072, 151936, 40960, true, 1e6, 1e-6, .window = 0},  /* Qwen3-0.6B */
    {"qwen3", "1.7b", 28, 2048, 16, 8, 128, 6144, 151936, 40960, true, 1e6, 1e-6, .window = 0},  /* Qwen3-1.7B */
    {"qwen3", "4b", 36, 2560, 32, 8, 128, 9728, 151936, 40960, true, 1e6, 1e-6, .window = 0},    /* Qwen3-4B */
    {"qwen3", "8b", 36, 4096, 32, 8, 128, 12288, 151936, 40960, false, 1e6, 1e-6, .window = 0},  /* Qwen3-8B */
    {"gemma2", "tiny", 2, 64, 4, 2, 32, 160, 512, 512, true, 1e4, 1e-6, .window = 64},
    {"gemma2", "2b", 26, 2304, 8, 4, 256, 9216, 256000, 8192, true, 1e4, 1e-6, .window = 4096},   /* gemma-2-2b */
    {"gemma2", "9b", 42, 3584, 16, 8, 256, 14336, 256000, 8192, true, 1e4, 1e-6, .window = 4096}, /* gemma-2-9b */
    {"gemma3", "tiny", 2, 64, 4, 1, 32, 160, 512, 512, true, 1e6, 1e-6, .window = 64},
    {"gemma3", "270m", 18, 640, 4, 1, 256, 2048, 262144, 32768, true, 1e6, 1e-6, .window = 512},  /* gemma-3-270m */
    {"gemma3", "1b", 26, 1152, 4, 1, 256, 6912, 262144, 32768, true, 1e6, 1e-6, .window = 512},   /* gemma-3-1b */
    {"phi3", "tiny", 2, 64, 4, 4, 16, 160, 512, 512, true, 1e4, 1e-5, .window = 0},
    {"phi3", "4b", 32, 3072, 32, 32, 96, 8192, 32064, 4096, false, 1e4, 1e-5, .window = 2047},    /* Phi-3-mini-4k */
    {"olmo2", "tiny", 2, 64, 4, 4, 16, 160, 512, 512, false, 5e5, 1e-6, .window = 0},
    {"olmo2", "1b", 16, 2048, 16, 16, 128, 8192, 100352, 4096, false, 5e5, 1e-6, .window = 0},   /* OLMo-2-0425-1B */
    {"olmo2", "7b", 32, 4096, 32, 32, 128, 11008, 100352, 4096, false, 5e5, 1e-6, .window = 0},  /* OLMo-2-1124-7B */
    {"granite", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, true, 1e7, 1e-5,
     .attn_scale = 0.0625f, .embedding_scale = 12, .residual_scale = 0.22f, .logit_divisor = 8},
    {"granite", "2b", 40, 2048, 32, 8, 64, 8192, 49155, 131072, true, 1e7, 1e-5,                  /* granite-3.3-2b */
     .attn_scale = 0.015625f, .embedding_scale = 12, .residual_scale = 0.22f, .logit_divisor = 8},
    {"granite", "8b", 40, 4096, 32, 8, 128, 12800, 49159, 131072, true, 1e7, 1e-5,                /* granite-3.3-8b */
     .attn_scale = 0.0078125f, .embedding_scale = 12, .residual_scale = 0.22f, .logit_divisor = 16},
    {"smollm3", "tiny", 4, 64, 4, 2, 16, 160, 512, 512, true, 5e6, 1e-6, .window = 0},
    {"smollm3", "3b", 36, 2048, 16, 4, 128, 11008, 128256, 65536, true, 5e6, 1e-6, .window = 0}, /* SmolLM3-3B */
    {"qwen3moe", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, false, 1e6, 1e-6, .experts = {8, 2, 32, 0, 0}},
    {"qwen3moe", "30b-a3b", 48, 2048, 32, 4, 128, 6144, 151936, 40960, false, 1e6, 1e-6,
     .experts = {128, 8, 768, 0, 0}}, /* Qwen3-30B-A3B */
    {"deepseek2", "tiny", 2, 64, 4, 4, 24, 160, 512, 512, false, 1e4, 1e-6, .experts = {8, 2, 32, 32, 1},
     .latent = {32, 16, 8, 16}},
    {"deepseek2", "v2-lite", 27, 2048, 16, 16, 192, 10944, 102400, 163840, false, 1e4, 1e-6,
     .experts = {64, 6, 1408, 2816, 1}, .latent = {512, 128, 64, 128}}, /* DeepSeek-V2-Lite */
};
/* clang-format on */

static void fill_sizes(const struct preset *s, struct model_params *p)
{
    p->n_embd = s->n_embd, p->n_ff = s->n_ff;
    p->n_head = s->n_head, p->n_kv_head = s->n_kv_head, p->d_head = p->n_rot = s->d_head;
    p->n_vocab = s->n_vocab, p->n_ctx_train = s->n_ctx, p->tied_head = s->tied;
    p->rms_eps = (float)s->rms_eps;
    p->rope[0].theta = s->rope_theta;
    if (s->latent.n) {
        p->latent.n_latent = s->latent.n, p->latent.d_nope = s->latent.d_nope, p->latent.d_value = s->latent.d_value;
        p->n_kv_head = 1, p->n_rot = s->latent.n_rot;
    }
}

static void fill(const struct preset *s, struct model_params *p)
{
    fill_sizes(s, p);
    model_params_layers(p, s->window);
    if (str_eq(s->arch, "gemma2")) {
        p->attn_softcap = 50, p->logit_softcap = 30;
    }
    if (s->attn_scale > 0) {
        p->attn_scale = s->attn_scale, p->embedding_scale = s->embedding_scale;
        p->residual_scale = s->residual_scale, p->logit_scale = 1 / s->logit_divisor;
    }
    if (s->experts.n) {
        p->experts.n_expert = s->experts.n, p->experts.n_used = s->experts.n_used, p->experts.n_ff = s->experts.n_ff;
        p->experts.n_shared = s->experts.n_shared;
        p->experts.renormalize = str_eq(s->arch, "qwen3moe"); /* as programs do that have no key for it */
        p->experts.scale = 1;
    }
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].experts = s->experts.n > 0 && i >= s->experts.n_dense;
    }
}

int random_model_find(const char *arch, const char *name, int n_layer, struct random_model *out, struct err *e)
{
    char known[128] = "";
    for (size_t i = 0; i < N_ELEM(presets); i++) {
        const struct preset *s = &presets[i];
        if (!str_eq(s->arch, arch)) {
            continue;
        }
        if (!str_eq(s->name, name) || !model_params_begin(&out->params, arch)) {
            size_t n = strlen(known);
            snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", s->name);
            continue;
        }
        if (n_layer > s->n_layer) {
            return err_set(e, ERR_USAGE, "layers", "cannot make a model of %d layers: %s %s has %d", n_layer, arch,
                           name, s->n_layer);
        }
        /* without the architecture: llama.cpp wants tokens of Phi-3 wherever a name has "phi3" in it */
        snprintf(out->name, sizeof out->name, "random weights, %s", name);
        out->rope_freqs = s->rope_freqs;
        out->params.n_layer = n_layer > 0 ? n_layer : s->n_layer;
        fill(s, &out->params);
        return 0;
    }
    return err_set(e, ERR_USAGE, "preset", "cannot make a model: %s has no preset \"%s\", it has %s", arch, name,
                   known);
}

/* --- tensors --- */

/* What the functions that list them share. */
struct lister {
    struct random_list *l;
    const struct model_params *p;
    const struct random_type *type;
    struct mix_model mix; /* what the rules of a mix look at */
    int layer;            /* -1: outside layers */
    float out_std;
    int rc;
};

static void name_of(const struct lister *s, const char *part, char out[RANDOM_NAME_LEN])
{
    if (s->layer < 0) {
        snprintf(out, RANDOM_NAME_LEN, "%s", part);
    } else {
        snprintf(out, RANDOM_NAME_LEN, "blk.%d.%s", s->layer, part);
    }
}

/* n_mat 0: a matrix; n_row 0: a vector. */
static void add(struct lister *s, const char *part, const struct quant *q, int n_mat, int n_row, int n_col, float std)
{
    struct random_list *l = s->l;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 512;
        struct random_tensor *grown = mem_try_realloc(l->at, cap * sizeof *grown);
        if (!grown) {
            s->rc = -ERR_NOMEM;
            return;
        }
        l->at = grown;
        l->cap = cap;
    }
    struct random_tensor *t = &l->at[l->n++];
    const int shape[3] = {n_mat, n_row, n_col};
    *t = (struct random_tensor){.quant = q, .n_row = 1, .n_col = (uint64_t)n_col, .std = std};
    for (int i = 0; i < 3; i++) {
        if (shape[i] > 0) {
            t->shape[t->n_dim++] = (uint64_t)shape[i];
            t->n_row *= i < 2 ? (uint64_t)shape[i] : 1;
        }
    }
    name_of(s, part, t->name);
    if (!q->quantize) {
        quant_scales_for((enum quant_type)quant_find(q->name), std, t->scale);
    }
    l->max_col = t->n_col > l->max_col ? t->n_col : l->max_col;
}

/* The type that llama.cpp's quantizer takes for rows that are no whole blocks. */
static const struct quant *shorter_blocks(const struct quant *q)
{
    static const struct {
        enum quant_type of, instead;
    } rule[] = {{QUANT_Q2_K, QUANT_IQ4_NL},   {QUANT_Q3_K, QUANT_IQ4_NL}, {QUANT_Q4_K, QUANT_Q5_0},
                {QUANT_IQ4_XS, QUANT_IQ4_NL}, {QUANT_Q5_K, QUANT_Q5_1},   {QUANT_Q6_K, QUANT_Q8_0}};
    for (size_t i = 0; i < N_ELEM(rule); i++) {
        if (q == quants[rule[i].of]) {
            return quants[rule[i].instead];
        }
    }
    return quants[QUANT_F16];
}

static const struct quant *type_of(const struct lister *s, const char *part, int n_out, int n_in)
{
    char name[RANDOM_NAME_LEN];
    if (!s->type->mix) {
        return s->type->quant;
    }
    name_of(s, part, name);
    const struct tensor_info t = {.name = name, .n_dim = 2, .shape = {(uint64_t)n_out, (uint64_t)n_in}};
    return quants[mix_type(s->type->mix, &s->mix, &t)];
}

/* Matrices in the wanted type, or in another where their rows are no whole blocks. */
static void add_stack(struct lister *s, const char *part, int n_mat, int n_out, int n_in, float std)
{
    const struct quant *q = type_of(s, part, n_out, n_in);
    while (n_in % q->block_len) {
        q = shorter_blocks(q);
    }
    add(s, part, q, n_mat, n_out, n_in, std);
}

static void add_matrix(struct lister *s, const char *part, int n_out, int n_in, float std)
{
    add_stack(s, part, 0, n_out, n_in, std);
}

static void add_vector(struct lister *s, const char *part, int n, float std)
{
    add(s, part, quants[QUANT_F32], 0, 0, n, std);
}

/* What adds to the residual stream. */
static bool adds(const char *part)
{
    return str_eq(part, "attn_output") || str_starts(part, "ffn_down");
}

static bool has_bias(const struct model_params *p, const char *part)
{
    bool qwen2 = str_eq(p->architecture, "qwen2") || str_eq(p->architecture, "qwen2moe");
    return qwen2 && (str_eq(part, "attn_q") || str_eq(part, "attn_k") || str_eq(part, "attn_v"));
}

/* Routers stay in float32, as the converter and the quantizers leave them. */
static void add_part(struct lister *s, const struct layer_tensor *t)
{
    char name[64];
    const int n[3] = {(int)t->shape[0], (int)t->shape[1], (int)t->shape[2]};
    float std = adds(t->part) ? s->out_std : 0.02f;
    snprintf(name, sizeof name, "%s.%s", t->part, t->only_bias ? "bias" : "weight");
    if (t->n_dim == 1) {
        add_vector(s, name, n[0], t->only_bias ? 0.02f : 0);
    } else if (str_starts(t->part, "ffn_gate_inp")) {
        add(s, name, quants[QUANT_F32], 0, n[0], n[1], std);
    } else if (t->n_dim == 2) {
        add_matrix(s, name, n[0], n[1], std);
    } else {
        add_stack(s, name, n[0], n[1], n[2], std);
    }
    if (has_bias(s->p, t->part)) {
        snprintf(name, sizeof name, "%s.bias", t->part);
        add_vector(s, name, n[0], 0.02f);
    }
}

static void add_layer(struct lister *s)
{
    struct layer_tensors list;
    model_layer_tensors(s->p, s->layer, &list);
    for (size_t i = 0; i < list.n; i++) {
        add_part(s, &list.at[i]);
    }
}

/* Weights of deviation 0.02; what adds to the residual stream is divided by sqrt(2 n_layer), as in GPT-2, so that
 * activations of any depth stay of one size. */
int random_list_init(struct random_list *l, const struct random_model *m, const struct random_type *type)
{
    const struct model_params *p = &m->params;
    *l = (struct random_list){0};
    const struct mix_model mix = {.n_layer = p->n_layer,
                                  .n_gqa = p->n_head / p->n_kv_head,
                                  .n_expert = p->experts.n_expert ? p->experts.n_expert : 1,
                                  .tied = p->tied_head};
    struct lister s = {
        .l = l, .p = p, .type = type, .mix = mix, .layer = -1, .out_std = 0.02f / sqrtf(2.0f * (float)p->n_layer)};
    add_matrix(&s, "token_embd.weight", p->n_vocab, p->n_embd, 0.02f);
    for (s.layer = 0; s.layer < p->n_layer; s.layer++) {
        add_layer(&s);
    }
    s.layer = -1;
    add_vector(&s, "output_norm.weight", p->n_embd, 0);
    if (m->rope_freqs) {
        add_vector(&s, "rope_freqs.weight", p->n_rot / 2, 0);
    }
    if (!p->tied_head) {
        add_matrix(&s, "output.weight", p->n_vocab, p->n_embd, 0.02f);
    }
    return s.rc;
}

void random_list_deinit(struct random_list *l)
{
    mem_free(l->at);
    *l = (struct random_list){0};
}

/* --- keys --- */

static int put_file_type(struct gguf_writer *w, const struct random_type *type)
{
    static const struct {
        const char *type;
        uint32_t code;
    } file_type[] = {
        {"F32", 0},     {"F16", 1},     {"Q4_0", 2},  {"Q4_1", 3},  {"Q8_0", 7},  {"Q5_0", 8},
        {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K", 11}, {"Q4_K", 14}, {"Q5_K", 16}, {"Q6_K", 18},
        {"IQ4_NL", 25}, {"IQ4_XS", 30}, {"BF16", 32}, {"MXFP4", 38}}; /* pure ones: Q3_K_S, Q4_K_S, Q5_K_S */
    if (type->mix) {
        return gguf_put_u32(w, "general.file_type", (uint32_t)type->mix->file_type);
    }
    for (size_t i = 0; i < N_ELEM(file_type); i++) {
        if (str_eq(file_type[i].type, type->quant->name)) {
            return gguf_put_u32(w, "general.file_type", file_type[i].code);
        }
    }
    return 0;
}

int random_put_header(struct gguf_writer *w, const struct random_model *m, const struct random_type *type,
                      const struct random_list *l)
{
    int rc = gguf_put_params(w, &m->params, m->name);
    rc = rc ? rc : put_file_type(w, type);
    rc = rc ? rc : gguf_put_u32(w, "general.quantization_version", 2);
    for (size_t i = 0; !rc && i < l->n; i++) {
        const struct random_tensor *t = &l->at[i];
        rc = gguf_put_tensor(w, t->name, (enum tensor_type)tensor_type_find(t->quant->name), t->shape, t->n_dim);
    }
    return rc;
}
