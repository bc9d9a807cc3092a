/* Memory of a system and of training. Owns nothing. Weights and caches are products of dimensions; the fitted figures
 * are named below. */
#include "lifecycle/plan/memory.h"

#include <math.h>

#define MIB 1048576.0
#define GIB (1024.0 * MIB)
/* Workspace of a pass: bytes a token and width of the feed-forward part, fitted to prompts of 30,720 tokens (138 KB a
 * token of Qwen2.5-7B, 192 KB of 72B). */
#define WORKSPACE_WIDTHS 3.5
#define CONTEXT_BYTES    (0.3 * GIB) /* a card: what the driver and communication take at least */

static double widest(const struct plan_model *m)
{
    double experts = (double)m->n_expert_used * m->n_ff_expert + (double)m->n_expert_shared * m->n_ff_shared;
    return fmax(m->n_ff, experts);
}

/* One card's workspace: a pass of prompts, and logits of those that run. */
static double workspace(const struct plan_system *s, double users)
{
    double pass = WORKSPACE_WIDTHS * s->stack.batched_tokens * widest(s->model) * 2 / s->layout.tp;
    return pass + fmin(users, s->stack.max_running) * s->model->n_vocab * 4.0;
}

/* This program: tables of the vocabulary about 300 bytes a token, activations of a pass in float32, and up to 5 % for
 * weights in packed order. */
static double tailor_workspace(const struct plan_system *s, double users)
{
    const struct plan_model *m = s->model;
    double width = 8.0 * m->n_embd + 3.0 * widest(m);
    return 300.0 * m->n_vocab + s->stack.batched_tokens * 4.0 * width + 4.0 * users * m->n_vocab +
           0.05 * s->weight_bytes;
}

/* Layers of the fullest group, as a share of all. */
static double worst_share(const struct plan_system *s)
{
    double layers = s->model->n_layer, pp = s->layout.pp;
    return ceil(layers / pp) / layers;
}

/* Weights of the fullest card: its layers, and at an end the head or the embedding (both, where there is one end). */
static double worst_weights(const struct plan_system *s)
{
    double embed = s->model->tied_head ? 0 : s->head_params * s->quant->embed_bits / 8;
    double layers = fmax(s->weight_bytes - s->head_bytes - embed, 0);
    double ends = s->layout.pp > 1 ? fmax(s->head_bytes, embed) : s->head_bytes + embed;
    return (layers * worst_share(s) + ends) / s->layout.tp;
}

static double kv_bytes(const struct plan_system *s, double n_seq, double n_tok)
{
    if (s->stack.id == PLAN_STACK_TAILOR)
        return plan_kv_tailor_bytes(s->model, n_seq, n_tok, s->layout.kv_bits, s->stack.batched_tokens);
    return n_seq * plan_kv_bytes(s->model, n_tok, s->layout.kv_bits, &s->layout);
}

/* What the first sequences take for windows is less for each further one, so the last answer is looked for: bytes never
 * shrink with more sequences. */
static double sequences(const struct plan_system *s, double room, double n_tok)
{
    double one = kv_bytes(s, 1, n_tok), low = 0;
    if (!(room > 0 && one > 0)) return 0;
    double high = floor(room / plan_kv_sequence_bytes(s->model, 1, s->layout.kv_bits)) + 1;
    if (s->stack.id != PLAN_STACK_TAILOR) return floor(room / one);
    while (high - low > 1) {
        double mid = floor((low + high) / 2);
        *(kv_bytes(s, mid, n_tok) <= room ? &low : &high) = mid;
    }
    return low;
}

void plan_memory_of(const struct plan_system *s, const struct plan_load *l, struct plan_memory *out)
{
    double cards = (double)s->layout.tp * s->layout.pp, n_tok = (double)l->prompt_tokens + l->output_tokens;
    bool tailor = s->stack.id == PLAN_STACK_TAILOR;
    double work = tailor ? tailor_workspace(s, l->users) : workspace(s, l->users);
    double framework = tailor ? s->stack.framework_bytes : fmax(s->stack.framework_bytes - work, CONTEXT_BYTES);
    *out = (struct plan_memory){
        .weights_bytes = s->weight_bytes,
        .kv_bytes = kv_bytes(s, l->users, n_tok),
        .workspace_bytes = cards * work,
        .framework_bytes = cards * framework,
        .usable_card_bytes = s->memory_bytes * s->stack.memory_share,
    };
    out->usable_bytes = cards * out->usable_card_bytes;
    out->total_bytes = out->weights_bytes + out->kv_bytes + out->workspace_bytes + out->framework_bytes;
    double fixed = worst_weights(s) + work + framework;
    out->worst_card_bytes = fixed + out->kv_bytes * worst_share(s) / s->layout.tp;
    double room = (out->usable_card_bytes - fixed) * s->layout.tp / worst_share(s);
    out->max_sequences = sequences(s, room, n_tok);
    out->running_sequences = sequences(s, room, l->prompt_tokens + l->output_tokens / 2.0);
    out->fits = out->worst_card_bytes <= out->usable_card_bytes;
}
