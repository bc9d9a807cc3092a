/* Parameters, weights and cache of a model by its dimensions. Owns nothing. Norms and biases are left out: below 0.1 %
 * of any model of the catalogue. */
#include <math.h>

#include "lifecycle/plan/memory.h"

/* Bits of Q6_K and, where the width does not fill its blocks of 256, of what takes its place (Q8_0). */
#define Q6_K_BITS 6.5625
#define Q8_0_BITS 8.5
#define PAGE      16.0 /* tokens; caches are kept in pages */

/* Matrices of one layer's attention. */
static double attention_params(const struct plan_model *m)
{
    double h = m->n_embd, nh = m->n_head, hd = m->d_head, kv = m->n_kv_head, q = m->q_lora;
    if (m->kv_lora) {
        double d_q = m->d_nope + m->d_rope, c = m->kv_lora;
        return (q > 0 ? h * q + q * nh * d_q : h * nh * d_q) + h * (c + m->d_rope) + c * nh * (m->d_nope + m->d_v) +
               nh * m->d_v * h;
    }
    double query = q > 0 ? h * q + q * nh * hd : h * nh * hd;
    double keys_values = q > 0 ? h * hd * kv : 2 * h * kv * hd; /* compressed: one matrix for both */
    return query + keys_values + nh * hd * h;
}

void plan_params_of(const struct plan_model *m, struct plan_params *out)
{
    double h = m->n_embd, gated = 3 * h; /* gate, up and down */
    double expert_layers = m->n_expert ? m->n_layer - m->n_layer_dense : 0;
    double shared = (double)m->n_expert_shared * m->n_ff_shared * gated + h * m->n_expert; /* and the router */
    double always = m->n_layer * attention_params(m) + (m->n_layer - expert_layers) * gated * m->n_ff +
                    expert_layers * (m->n_expert ? shared : 0);
    out->expert = expert_layers * m->n_expert * gated * m->n_ff_expert;
    out->linear = always + out->expert;
    out->active = always + expert_layers * m->n_expert_used * gated * m->n_ff_expert;
    out->head = h * m->n_vocab;
    out->embed = out->head * (m->tied_head ? 1 : 2);
}

double plan_params_total(const struct plan_model *m)
{
    struct plan_params p;
    plan_params_of(m, &p);
    return p.linear + p.embed;
}

double plan_head_bits(const struct plan_model *m, const struct plan_quant *q)
{
    return fabs(q->head_bits - Q6_K_BITS) < 1e-9 && m->n_embd % 256 ? Q8_0_BITS : q->head_bits;
}

double plan_weight_bytes(const struct plan_model *m, const struct plan_quant *q)
{
    struct plan_params p;
    plan_params_of(m, &p);
    /* what the dimensions do not say (a vision tower) is loaded all the same */
    double rest = m->params_gap[0] ? fmax(m->params_total_b * 1e9 - p.linear - p.embed, 0) : 0;
    double head = p.head * plan_head_bits(m, q), embed = m->tied_head ? 0 : p.head * q->embed_bits;
    return ((p.linear - p.expert + rest) * q->linear_bits + p.expert * q->expert_bits + embed + head) / 8;
}

bool plan_kv_known(const struct plan_model *m)
{
    return !(m->q_lora && !m->kv_lora); /* keys and values that are compressed along the sequence */
}

/* 16-bit bytes of a token: layers of full attention, layers with a window. */
static void token_bytes(const struct plan_model *m, double *full, double *window)
{
    double layer = 4.0 * m->n_kv_head * m->d_head;
    *full = m->n_layer_full * layer;
    *window = m->n_layer_window * layer;
    /* the source knows better where its layers differ from one another */
    if (!m->kv_lora && m->kv_bytes_token_f16_full > 0 && m->kv_bytes_token_f16 >= m->kv_bytes_token_f16_full) {
        *full = m->kv_bytes_token_f16_full;
        *window = m->kv_bytes_token_f16 - m->kv_bytes_token_f16_full;
    }
}

double plan_kv_sequence_bytes(const struct plan_model *m, double n_tok, double kv_bits)
{
    double share = (kv_bits > 0 ? kv_bits : 16) / 16, full, window;
    if (m->kv_lora) return n_tok * m->n_layer * (2.0 * (m->kv_lora + m->d_rope) * share + m->indexer_bytes);
    token_bytes(m, &full, &window);
    return share * (full * n_tok + window * fmin(n_tok, m->window));
}

/* How often a cache is kept when tp cards share a model: MLA on each card, others once for as many cards as there are
 * more than key-value heads. */
static double copies(const struct plan_model *m, const struct plan_layout *layout)
{
    if (!layout || layout->tp < 2) return 1;
    return m->kv_lora ? layout->tp : fmax(1, (double)layout->tp / m->n_kv_head);
}

double plan_kv_tailor_bytes(const struct plan_model *m, double n_seq, double n_tok, double kv_bits, double pass_tokens)
{
    double share = (kv_bits > 0 ? kv_bits : 16) / 16, pages = n_seq * ceil(n_tok / PAGE), full, window;
    if (m->kv_lora || !m->n_layer_window) return n_seq * plan_kv_bytes(m, n_tok, kv_bits, NULL);
    double near = (n_seq + 1) * (floor(m->window / PAGE) + 3) + floor((pass_tokens + n_seq) / PAGE) + 2;
    near += floor(pages / 8);
    token_bytes(m, &full, &window);
    return PAGE * share * (full * pages + window * fmin(pages, near)) + n_seq * m->linear_state_bytes;
}

double plan_kv_bytes(const struct plan_model *m, double n_tok, double kv_bits, const struct plan_layout *layout)
{
    double paged = ceil(n_tok / PAGE) * PAGE;
    return (plan_kv_sequence_bytes(m, paged, kv_bits) + m->linear_state_bytes) * copies(m, layout);
}
