/* Times of steps. Owns nothing. What always holds: times are positive and finite, more sequences never make a step
 * shorter, and no step is faster than the hardware reads its bytes or computes its products. */
#include "lifecycle/plan/speed.h"

#include <math.h>

#include "lifecycle/plan/memory.h"

/* Experts that n tokens touch, of all; each takes n_expert_used of n_expert, as if drawn evenly. */
static double touched_experts(const struct plan_model *m, double n)
{
    if (!m->n_expert) return 0;
    return 1 - pow(1 - (double)m->n_expert_used / m->n_expert, n);
}

static double weights_s(const struct plan_system *s, double n_tok)
{
    double bytes =
        s->dense_bytes + s->head_bytes + s->expert_bytes * touched_experts(s->model, n_tok) / s->stack.expert_share;
    return bytes / (s->layout.tp * s->read_bytes_s * s->stack.read_share);
}

double plan_step_memory_s(const struct plan_system *s, double n_seq, double context)
{
    const struct plan_model *m = s->model;
    /* MLA keeps its cache on every card, others share it by key-value heads */
    double shards = m->kv_lora ? 1 : fmin(s->layout.tp, m->n_kv_head);
    double cache = plan_kv_sequence_bytes(m, context, s->layout.kv_bits) + m->linear_state_bytes;
    return weights_s(s, n_seq) + n_seq * cache / (shards * s->read_bytes_s * s->stack.read_share);
}

double plan_step_arithmetic_s(const struct plan_system *s, double n_seq)
{
    double share = s->stack.decode_share * (s->quant->weight_only ? s->stack.weight_only_share : 1);
    return 2 * n_seq * (s->active_params + s->head_params) / (s->layout.tp * s->flops * share);
}

/* Two all-reduces a layer, of the states of n tokens in 16 bits. */
static double reduce_s(const struct plan_system *s, double n_tok)
{
    double tp = s->layout.tp;
    if (s->layout.tp < 2) return 0;
    double bytes = 2 * n_tok * s->model->n_embd * 2 * (tp - 1) / tp;
    return 2.0 * s->model->n_layer * (s->stack.reduce_s + bytes / (s->hardware->link_gb_s * 1e9 * s->stack.link_share));
}

static double overhead_s(const struct plan_system *s, double n_seq)
{
    const struct plan_model *m = s->model;
    double layer = s->stack.layer_s + (m->n_expert ? s->stack.expert_layer_s : 0);
    return s->stack.step_s + m->n_layer * layer + n_seq * s->stack.seq_s;
}

static double decode_s(const struct plan_system *s, double n_seq, double context)
{
    double memory = plan_step_memory_s(s, n_seq, context), arithmetic = plan_step_arithmetic_s(s, n_seq);
    /* they overlap, but not perfectly: a norm between the larger and the sum */
    double p = s->stack.overlap, both = pow(pow(memory, p) + pow(arithmetic, p), 1 / p);
    return both + overhead_s(s, n_seq) + reduce_s(s, n_seq);
}

double plan_prefill_arithmetic_s(const struct plan_system *s, double n_tok, double from)
{
    const struct plan_model *m = s->model;
    double heads = (double)m->n_head * m->d_head, mean = from + n_tok / 2; /* a token sees those before it */
    double seen = m->n_layer_full * mean + m->n_layer_window * fmin(mean, m->window);
    double ops = 2 * s->active_params * n_tok + 4 * heads * n_tok * seen;
    double share = m->n_expert ? s->stack.prefill_share_experts : s->stack.prefill_share;
    return ops / (s->layout.tp * s->flops * share);
}

/* A pass with prompts alone: computing hides the launches of a pass, but no pass is shorter than they are (a model of
 * 135M parameters would else read two million tokens a second). */
static double prompts_s(const struct plan_system *s, double compute_s, double n_tok)
{
    return fmax(fmax(compute_s, weights_s(s, n_tok)), overhead_s(s, 0));
}

double plan_prefill_s(const struct plan_system *s, double prompt_tokens)
{
    double alone = prompts_s(s, plan_prefill_arithmetic_s(s, prompt_tokens, 0), prompt_tokens);
    return (alone + reduce_s(s, prompt_tokens)) * s->stack.slowdown;
}

double plan_step_s(const struct plan_system *s, const struct plan_step *step)
{
    double pp = s->layout.pp, prefill = 0, decode = 0;
    if (step->prefill_tokens > 0)
        prefill =
            plan_prefill_arithmetic_s(s, step->prefill_tokens, step->prefill_from) + reduce_s(s, step->prefill_tokens);
    /* groups of layers work on different sequences at a time: each sees its part of them */
    if (step->n_seq > 0) decode = decode_s(s, fmax(step->n_seq / pp, fmin(step->n_seq, 1)), step->mean_context);
    if (decode > 0) return (decode + s->stack.interference * prefill / pp) * s->stack.slowdown;
    return prompts_s(s, prefill, step->prefill_tokens) * s->stack.slowdown;
}

void plan_point_at(const struct plan_system *s, double prompt_tokens, double output_tokens, double concurrency,
                   double max_running, struct plan_point *out)
{
    double most = s->stack.max_running;
    if (max_running > 0) most = fmin(most, max_running);
    double n = fmax(1, fmin(concurrency, most)), pp = s->layout.pp, out_tok = fmax(output_tokens, 1);
    struct plan_step step = {.n_seq = n, .mean_context = prompt_tokens + output_tokens / 2};
    *out = (struct plan_point){
        .running = n, .step_s = plan_step_s(s, &step), .prefill_s = plan_prefill_s(s, prompt_tokens)};
    /* in a closed loop every other sequence is refilled once while one answer is made */
    out->tpot_s = out->step_s + s->stack.interference * (n - 1) * out->prefill_s / pp / out_tok;
    out->ttft_s = s->stack.first_token_s + out->step_s + out->prefill_s * (1 + 0.10 * (n - 1));
    out->output_tok_s = n / (out->tpot_s + out->ttft_s / out_tok);
    double answer = out->ttft_s + out_tok * out->tpot_s;
    out->wait_s = concurrency > n ? answer * (concurrency / n - 1) : 0;
}

void plan_saturation(const struct plan_system *s, double prompt_tokens, double output_tokens, double max_running,
                     struct plan_point *out)
{
    plan_point_at(s, prompt_tokens, output_tokens, HUGE_VAL, max_running, out);
    out->wait_s = 0;
}
