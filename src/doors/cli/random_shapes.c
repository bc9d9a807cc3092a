/* The presets of make-model, their tensors and keys, as llama.cpp's converter names them. */
#include "doors/cli/random_shapes.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "compute/formats/model_file.h"
#include "ground/base/mem.h"
#include "ground/base/str.h"

static const struct random_preset presets[] = {
    {"llama", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, 1e4, 1e-5, .tied = true},
    {"llama", "135m", 30, 576, 9, 3, 64, 1536, 49152, 8192, 1e5, 1e-5, .tied = true},  /* SmolLM2-135M */
    {"llama", "360m", 32, 960, 15, 5, 64, 2560, 49152, 8192, 1e5, 1e-5, .tied = true}, /* SmolLM2-360M */
    {"llama", "1b", 16, 2048, 32, 8, 64, 8192, 128256, 131072, 5e5, 1e-5, .tied = true,
     .rope_freqs = true},                                                                  /* Llama-3.2-1B */
    {"llama", "1.7b", 24, 2048, 32, 32, 64, 8192, 49152, 8192, 1.3e5, 1e-5, .tied = true}, /* SmolLM2-1.7B */
    {"llama", "8b", 32, 4096, 32, 8, 128, 14336, 128256, 131072, 5e5, 1e-5, .tied = false,
     .rope_freqs = true}, /* Llama-3.1-8B */
    {"qwen2", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, 1e6, 1e-6, .tied = true},
    {"qwen2", "0.5b", 24, 896, 14, 2, 64, 4864, 151936, 32768, 1e6, 1e-6, .tied = true},   /* Qwen2.5-0.5B */
    {"qwen2", "1.5b", 28, 1536, 12, 2, 128, 8960, 151936, 32768, 1e6, 1e-6, .tied = true}, /* Qwen2.5-1.5B */
    {"qwen2", "3b", 36, 2048, 16, 2, 128, 11008, 151936, 32768, 1e6, 1e-6, .tied = true},  /* Qwen2.5-3B */
    {"qwen2", "7b", 28, 3584, 28, 4, 128, 18944, 152064, 32768, 1e6, 1e-6, .tied = false}, /* Qwen2.5-7B */
    {"gemma3", "tiny", 6, 64, 4, 1, 16, 160, 512, 512, 1e6, 1e-6, .tied = true, .window = 16},
    {"gemma3", "1b", 26, 1152, 4, 1, 256, 6912, 262144, 32768, 1e6, 1e-6, .tied = true, .window = 512}, /* Gemma-3-1B */
    {"qwen3moe", "tiny", 2, 64, 4, 2, 16, 160, 512, 512, 1e6, 1e-6, .experts = {8, 2, 32, 0, 0}},
    {"qwen3moe", "30b-a3b", 48, 2048, 32, 4, 128, 6144, 151936, 40960, 1e6, 1e-6,
     .experts = {128, 8, 768, 0, 0}}, /* Qwen3-30B-A3B */
    {"deepseek2", "tiny", 2, 64, 4, 4, 24, 160, 512, 512, 1e4, 1e-6, .experts = {8, 2, 32, 32, 1},
     .latent = {32, 16, 8, 16}},
    {"deepseek2", "v2-lite", 27, 2048, 16, 16, 192, 10944, 102400, 163840, 1e4, 1e-6, .experts = {64, 6, 1408, 2816, 1},
     .latent = {512, 128, 64, 128}}, /* DeepSeek-V2-Lite */
};

int random_preset_find(const char *arch, const char *name, int n_layer, struct random_preset *out, struct err *e)
{
    char known[128] = "";
    for (size_t i = 0; i < N_ELEM(presets); i++) {
        const struct random_preset *p = &presets[i];
        if (!str_eq(p->arch, arch)) {
            continue;
        }
        if (!str_eq(p->name, name)) {
            size_t n = strlen(known);
            snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "", p->name);
            continue;
        }
        if (n_layer > p->n_layer) {
            return err_set(e, ERR_USAGE, "layers", "cannot make a model of %d layers: %s %s has %d", n_layer, arch,
                           name, p->n_layer);
        }
        *out = *p;
        out->n_layer = n_layer > 0 ? n_layer : p->n_layer;
        return 0;
    }
    return err_set(e, ERR_USAGE, "preset", "cannot make a model: %s has no preset \"%s\", it has %s", arch, name,
                   known);
}

/* --- tensors --- */

/* What the functions that list them share. */
struct lister {
    struct random_list *l;
    const struct random_preset *p;
    const struct quant *quant;
    int layer; /* -1: outside layers */
    float out_std;
    int rc;
};

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
    if (s->layer < 0) {
        snprintf(t->name, sizeof t->name, "%s", part);
    } else {
        snprintf(t->name, sizeof t->name, "blk.%d.%s", s->layer, part);
    }
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

/* Matrices in the wanted type, or in another where their rows are no whole blocks. */
static void add_stack(struct lister *s, const char *part, int n_mat, int n_out, int n_in, float std)
{
    const struct quant *q = s->quant;
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

static void add_attention(struct lister *s)
{
    const struct random_preset *p = s->p;
    int n_q = p->n_head * p->d_head, n_kv = p->n_kv_head * p->d_head;
    bool bias = str_eq(p->arch, "qwen2"), norms = str_eq(p->arch, "qwen3moe") || str_eq(p->arch, "gemma3");
    const struct {
        const char *weight, *bias;
        int n_out;
    } matrix[] = {{"attn_q.weight", "attn_q.bias", n_q},
                  {"attn_k.weight", "attn_k.bias", n_kv},
                  {"attn_v.weight", "attn_v.bias", n_kv}};
    for (size_t i = 0; i < N_ELEM(matrix); i++) {
        add_matrix(s, matrix[i].weight, matrix[i].n_out, p->n_embd, 0.02f);
        if (bias) {
            add_vector(s, matrix[i].bias, matrix[i].n_out, 0.02f);
        }
    }
    add_matrix(s, "attn_output.weight", p->n_embd, n_q, s->out_std);
    if (norms) {
        add_vector(s, "attn_q_norm.weight", p->d_head, 0);
        add_vector(s, "attn_k_norm.weight", p->d_head, 0);
    }
}

static void add_latent_attention(struct lister *s)
{
    const struct random_preset *p = s->p;
    add_matrix(s, "attn_q.weight", p->n_head * (p->latent.d_nope + p->latent.n_rot), p->n_embd, 0.02f);
    add_matrix(s, "attn_kv_a_mqa.weight", p->latent.n + p->latent.n_rot, p->n_embd, 0.02f);
    add_vector(s, "attn_kv_a_norm.weight", p->latent.n, 0);
    add_stack(s, "attn_k_b.weight", p->n_head, p->latent.n, p->latent.d_nope, 0.02f);
    add_stack(s, "attn_v_b.weight", p->n_head, p->latent.d_value, p->latent.n, 0.02f);
    add_matrix(s, "attn_output.weight", p->n_embd, p->n_head * p->latent.d_value, s->out_std);
}

static void add_experts(struct lister *s)
{
    const struct random_preset *p = s->p;
    add(s, "ffn_gate_inp.weight", quants[QUANT_F32], 0, p->experts.n, p->n_embd, 0.02f);
    add_stack(s, "ffn_gate_exps.weight", p->experts.n, p->experts.n_ff, p->n_embd, 0.02f);
    add_stack(s, "ffn_up_exps.weight", p->experts.n, p->experts.n_ff, p->n_embd, 0.02f);
    add_stack(s, "ffn_down_exps.weight", p->experts.n, p->n_embd, p->experts.n_ff, s->out_std);
    if (p->experts.n_shared) {
        add_matrix(s, "ffn_gate_shexp.weight", p->experts.n_shared, p->n_embd, 0.02f);
        add_matrix(s, "ffn_up_shexp.weight", p->experts.n_shared, p->n_embd, 0.02f);
        add_matrix(s, "ffn_down_shexp.weight", p->n_embd, p->experts.n_shared, s->out_std);
    }
}

static void add_layer(struct lister *s)
{
    const struct random_preset *p = s->p;
    bool after = str_eq(p->arch, "gemma3");
    add_vector(s, "attn_norm.weight", p->n_embd, 0);
    add_vector(s, "ffn_norm.weight", p->n_embd, 0);
    if (after) {
        add_vector(s, "post_attention_norm.weight", p->n_embd, 0);
        add_vector(s, "post_ffw_norm.weight", p->n_embd, 0);
    }
    if (p->latent.n) {
        add_latent_attention(s);
    } else {
        add_attention(s);
    }
    if (p->experts.n && s->layer >= p->experts.n_dense) {
        add_experts(s);
        return;
    }
    add_matrix(s, "ffn_gate.weight", p->n_ff, p->n_embd, 0.02f);
    add_matrix(s, "ffn_up.weight", p->n_ff, p->n_embd, 0.02f);
    add_matrix(s, "ffn_down.weight", p->n_embd, p->n_ff, s->out_std);
}

/* Weights of deviation 0.02; what adds to the residual stream is divided by sqrt(2 n_layer), as in GPT-2, so that
 * activations of any depth stay of one size. */
int random_list_init(struct random_list *l, const struct random_preset *p, const struct quant *q)
{
    *l = (struct random_list){0};
    struct lister s = {.l = l, .p = p, .quant = q, .layer = -1, .out_std = 0.02f / sqrtf(2.0f * (float)p->n_layer)};
    add_matrix(&s, "token_embd.weight", p->n_vocab, p->n_embd, 0.02f);
    for (s.layer = 0; s.layer < p->n_layer; s.layer++) {
        add_layer(&s);
    }
    s.layer = -1;
    add_vector(&s, "output_norm.weight", p->n_embd, 0);
    if (p->rope_freqs) {
        add_vector(&s, "rope_freqs.weight", p->d_head / 2, 0);
    }
    if (!p->tied) {
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

struct key {
    const char *name;
    int value;
};

/* Those above 0, below the architecture's name. */
static int put_numbers(struct gguf_writer *w, const struct random_preset *p, const struct key *key, size_t n)
{
    char text[96];
    int rc = 0;
    for (size_t i = 0; !rc && i < n; i++) {
        snprintf(text, sizeof text, "%s.%s", p->arch, key[i].name);
        rc = key[i].value > 0 ? gguf_put_u32(w, text, (uint32_t)key[i].value) : 0;
    }
    return rc;
}

static int put_sizes(struct gguf_writer *w, const struct random_preset *p)
{
    bool latent = p->latent.n > 0, plain = p->d_head * p->n_head == p->n_embd;
    int d_key = latent ? p->latent.n + p->latent.n_rot : plain ? 0 : p->d_head;
    const struct key number[] = {
        {"block_count", p->n_layer},
        {"context_length", p->n_ctx},
        {"embedding_length", p->n_embd},
        {"feed_forward_length", p->n_ff},
        {"attention.head_count", p->n_head},
        {"attention.head_count_kv", latent ? 1 : p->n_kv_head},
        {"vocab_size", p->n_vocab},
        {"rope.dimension_count", latent ? p->latent.n_rot : p->d_head},
        {"attention.key_length", d_key},
        {"attention.value_length", latent ? p->latent.n : d_key},
        {"attention.sliding_window", p->window},
        {"expert_count", p->experts.n},
        {"expert_used_count", p->experts.n_used},
        {"expert_feed_forward_length", p->experts.n_ff},
        {"leading_dense_block_count", p->experts.n_dense},
        {"expert_shared_count", p->experts.n_shared / (p->experts.n_ff ? p->experts.n_ff : 1)},
        {"attention.kv_lora_rank", p->latent.n},
        {"attention.key_length_mla", latent ? p->latent.d_nope + p->latent.n_rot : 0},
        {"attention.value_length_mla", p->latent.d_value},
    };
    return put_numbers(w, p, number, N_ELEM(number));
}

static int put_file_type(struct gguf_writer *w, const struct quant *q)
{
    static const struct {
        const char *type;
        uint32_t code;
    } file_type[] = {
        {"F32", 0},     {"F16", 1},     {"Q4_0", 2},  {"Q4_1", 3},  {"Q8_0", 7},  {"Q5_0", 8},
        {"Q5_1", 9},    {"Q2_K", 10},   {"Q3_K", 11}, {"Q4_K", 14}, {"Q5_K", 16}, {"Q6_K", 18},
        {"IQ4_NL", 25}, {"IQ4_XS", 30}, {"BF16", 32}, {"MXFP4", 38}}; /* pure ones: Q3_K_S, Q4_K_S, Q5_K_S */
    for (size_t i = 0; i < N_ELEM(file_type); i++) {
        if (str_eq(file_type[i].type, q->name)) {
            return gguf_put_u32(w, "general.file_type", file_type[i].code);
        }
    }
    return 0;
}

int random_put_header(struct gguf_writer *w, const struct random_preset *p, const struct quant *q,
                      const struct random_list *l)
{
    char text[96];
    int n = snprintf(text, sizeof text, "random %s %s", p->arch, p->name);
    int rc = gguf_put_str(w, "general.architecture", p->arch, strlen(p->arch));
    rc = rc ? rc : gguf_put_str(w, "general.name", text, (size_t)n);
    rc = rc ? rc : put_sizes(w, p);
    snprintf(text, sizeof text, "%s.rope.freq_base", p->arch);
    rc = rc ? rc : gguf_put_f32(w, text, (float)p->rope_theta);
    snprintf(text, sizeof text, "%s.attention.layer_norm_rms_epsilon", p->arch);
    rc = rc ? rc : gguf_put_f32(w, text, (float)p->rms_eps);
    rc = rc ? rc : put_file_type(w, q);
    rc = rc ? rc : gguf_put_u32(w, "general.quantization_version", 2);
    for (size_t i = 0; !rc && i < l->n; i++) {
        const struct random_tensor *t = &l->at[i];
        rc = gguf_put_tensor(w, t->name, (enum tensor_type)tensor_type_find(t->quant->name), t->shape, t->n_dim);
    }
    return rc;
}
