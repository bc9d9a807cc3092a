/* Predictions. Owns nothing. What always holds: memory is exact arithmetic on shapes, speed never exceeds its floor,
 * and a larger model is never predicted to be faster. */
#include "lifecycle/plan/predict.h"

#include <math.h>
#include <strings.h>

/* Files of few bits in use keep embedding and head in 8 (Q6_K where the width allows): 8.5 is the safe side. */
static const struct plan_quant quants[] = {
    {"F32", 32, 32, false},       {"F16", 16, 16, false},      {"BF16", 16, 16, false},     {"Q8_0", 8.5, 8.5, false},
    {"Q4_0", 4.5, 8.5, true},     {"Q4_1", 5, 8.5, true},      {"Q5_0", 5.5, 8.5, false},   {"Q5_1", 6, 8.5, false},
    {"Q2_K", 2.625, 8.5, true},   {"Q3_K", 3.4375, 8.5, true}, {"Q4_K", 4.5, 8.5, true},    {"Q5_K", 5.5, 8.5, false},
    {"Q6_K", 6.5625, 8.5, false}, {"IQ4_NL", 4.5, 8.5, true},  {"IQ4_XS", 4.25, 8.5, true}, {"MXFP4", 4.25, 8.5, true},
};

const struct plan_quant *plan_quant_find(const char *name)
{
    for (size_t i = 0; i < N_ELEM(quants); i++)
        if (strcasecmp(quants[i].name, name) == 0) return &quants[i];
    return NULL;
}

const char *plan_quant_names(void)
{
    return "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4";
}

static double layer_params(const struct model_shape *s)
{
    double q = (double)s->n_head * s->d_head, kv = (double)s->n_kv_head * s->d_head;
    return s->n_layer * (s->n_embd * (2 * q + 2 * kv) + 3.0 * s->n_embd * s->n_ff);
}

static double head_params(const struct model_shape *s)
{
    return (double)s->n_vocab * s->n_embd;
}

void plan_work(const struct model_shape *s, const struct plan_quant *q, struct plan_work *w)
{
    w->layer_params = layer_params(s);
    w->head_params = head_params(s);
    w->step_bytes = w->layer_params * q->matrix_bits / 8 + w->head_params * q->head_bits / 8;
}

uint64_t plan_kv_token_bytes(const struct model_shape *s)
{
    uint64_t n = s->n_latent ? (uint64_t)s->n_latent : 2ull * (uint64_t)s->n_kv_head * (uint64_t)s->d_head;
    return 2ull * (uint64_t)s->n_layer * n;
}

static uint64_t weights_by_shape(const struct model_shape *s, const struct plan_quant *q)
{
    double norms = (2.0 * s->n_layer + 1) * s->n_embd * 4;
    double heads = (s->tied_head ? 1 : 2) * head_params(s) * q->head_bits / 8;
    return (uint64_t)(layer_params(s) * q->matrix_bits / 8 + heads + norms);
}

/* Program and tables 48 MiB, vocabulary about 300 bytes a token, activations of a step of 512 tokens, logits of each
 * user, and up to 5 % for weights in packed order. */
static uint64_t overhead(const struct model_shape *s, uint64_t weights_bytes, const struct plan_load *l)
{
    double width = 8.0 * s->n_embd + 3.0 * s->n_ff;
    return (uint64_t)(48.0 * 1024 * 1024 + 300.0 * s->n_vocab + 512 * 4 * width + 4.0 * l->users * s->n_vocab +
                      0.05 * (double)weights_bytes);
}

void plan_memory(const struct model_shape *s, const struct plan_quant *q, uint64_t weights_bytes,
                 const struct plan_load *l, struct plan_memory *m)
{
    m->weights_bytes = weights_bytes ? weights_bytes : weights_by_shape(s, q);
    m->kv_bytes = plan_kv_token_bytes(s) * (uint64_t)(l->prompt_tokens + l->output_tokens) * (uint64_t)l->users;
    m->overhead_bytes = overhead(s, m->weights_bytes, l);
    m->total_bytes = m->weights_bytes + m->kv_bytes + m->overhead_bytes;
}

/* The arithmetic that prefill can use at best. */
static double arithmetic_gops(const struct plan_floors *f, const struct plan_quant *q)
{
    if (q->matrix_bits > 31) return f->fp32_gflops;
    double integer = q->four_bit ? fmax(f->int4_int8_gops, f->int8_gops) : q->matrix_bits < 9 ? f->int8_gops : 0;
    return fmax(fmax(integer, f->bf16_gflops), f->fp32_gflops);
}

/* Operations a token of a prompt of n tokens: two a weight, and scores and sums over the tokens before it. */
static double prefill_ops(const struct model_shape *s, const struct plan_work *w, int n)
{
    double attention = 2.0 * 2.0 * s->n_layer * s->n_head * s->d_head * (n / 2.0);
    return 2 * w->layer_params + attention;
}

static double step_seconds(const struct model_shape *s, const struct plan_quant *q, const struct plan_work *w,
                           const struct plan_floors *f, const struct plan_shares *share, int users, double context)
{
    double bytes = w->step_bytes + users * context * (double)plan_kv_token_bytes(s);
    double read = bytes / (f->read_gb_s * 1e9 * share->decode);
    double compute = users * 2 * (w->layer_params + w->head_params) / (arithmetic_gops(f, q) * 1e9 * share->prefill);
    return fmax(read, compute);
}

void plan_speed(const struct model_shape *s, const struct plan_quant *q, const struct plan_work *w,
                const struct plan_floors *f, const struct plan_shares *share, const struct plan_load *l,
                struct plan_speed *out)
{
    double context = l->prompt_tokens + l->output_tokens / 2.0;
    out->prefill_tok_s = arithmetic_gops(f, q) * 1e9 * share->prefill / prefill_ops(s, w, l->prompt_tokens);
    out->decode_tok_s = 1 / step_seconds(s, q, w, f, share, 1, context);
    out->ttft_ms = 1e3 * l->prompt_tokens / out->prefill_tok_s;
    out->tpot_ms = 1e3 * step_seconds(s, q, w, f, share, l->users, context);
}

void plan_calibrate(const struct model_shape *s, const struct plan_quant *q, const struct plan_work *w,
                    const struct plan_floors *f, int n_prompt, double prefill_tok_s, int context, double decode_tok_s,
                    struct plan_shares *out)
{
    double bytes = w->step_bytes + context * (double)plan_kv_token_bytes(s);
    out->prefill = prefill_tok_s * prefill_ops(s, w, n_prompt) / (arithmetic_gops(f, q) * 1e9);
    out->decode = decode_tok_s * bytes / (f->read_gb_s * 1e9);
    out->measured = true;
}

uint64_t plan_max_users(const struct model_shape *s, const struct plan_memory *m, const struct plan_load *l,
                        uint64_t memory_bytes)
{
    uint64_t fixed = m->total_bytes - m->kv_bytes;
    uint64_t one = plan_kv_token_bytes(s) * (uint64_t)(l->prompt_tokens + l->output_tokens);
    return memory_bytes > fixed && one ? (memory_bytes - fixed) / one : 0;
}
