/* Memory and time of tuning. Owns nothing. Bytes a parameter are those of mixed-precision AdamW (weights and gradients
 * in 16 bits, master weights and two moments in 32: 2 + 2 + 12); activations per token and layer follow Korthikanti et
 * al., "Reducing Activation Recomputation in Large Transformer Models" (2022), with fused attention. */
#include "lifecycle/plan/training.h"

#include <math.h>

#include "lifecycle/plan/memory.h"

#define ADAPTER_BYTES 16.0 /* a parameter: weight, gradient, master, two moments; float32 and two moments alike */
#define LOGITS_BYTES  10.0 /* a logit: 16-bit values, float32 copy and gradient */
#define LAYER_BYTES   34.0 /* a token and width of a layer, all that its way back needs */
#define INPUT_BYTES   2.0  /* the same where only a layer's input is kept */
#define CUDA_BYTES    (0.8 * 1073741824.0)
#define TAILOR_BYTES                                                                                                  \
    (128.0 * 1048576.0) /* tunes of SmolLM2 take 529 and 1,831 MB with 1 and 8 rows of 256 tokens, 515 and 1,821 here \
                         */
#define TAILOR_PACKED    1.05
#define ARITHMETIC_SHARE 0.40 /* of nominal; published runs reach 0.35 to 0.45 */
/* This program, all weights, AdamW: a model of SmolLM2's shape in bfloat16 took 2,651 and 3,943 MB with 1 and 8 rows
 * of 256 tokens, 2,770 and 4,040 here; 125 tokens/s with rows of 256 one at a time on two cores of 335 GFLOPS and 24
 * GB/s, 129 here. */
#define TAILOR_SHARE 0.35
#define MASTER_BYTES 4.0  /* a weight; its gradient, and each of two moments, as much */
#define STEP_TOUCHED 40.0 /* bytes a weight that an update reads and writes */

/* Inputs and outputs of a layer's attention matrices, summed. */
static double attention_widths(const struct plan_model *m)
{
    double h = m->n_embd, nh = m->n_head, q = m->q_lora;
    if (m->kv_lora) {
        double d_q = nh * (m->d_nope + m->d_rope), c = m->kv_lora, d_v = nh * m->d_v;
        double query = q > 0 ? h + q + q + d_q : h + d_q;
        return query + h + c + m->d_rope + c + nh * (m->d_nope + m->d_v) + d_v + h;
    }
    double n_q = nh * m->d_head, n_kv = (double)m->n_kv_head * m->d_head;
    return 2 * (h + n_q) + 2 * (h + n_kv);
}

double plan_adapter_params(const struct plan_model *m, int rank)
{
    double expert_layers = m->n_expert ? m->n_layer - m->n_layer_dense : 0;
    double dense = (m->n_layer - expert_layers) * 3.0 * (m->n_embd + (double)m->n_ff);
    double shared =
        m->n_expert_shared ? expert_layers * 3.0 * (m->n_embd + (double)m->n_expert_shared * m->n_ff_shared) : 0;
    return rank * (m->n_layer * attention_widths(m) + dense + shared);
}

static bool is_adapter(const struct plan_training *t)
{
    return t->method == PLAN_LORA || t->method == PLAN_QLORA;
}

static int check(const struct plan_training *t, struct err *e)
{
    const struct {
        const char *name;
        int value;
    } number[] = {{"rank", t->rank}, {"batch", t->batch}, {"max_length", t->max_length}, {"count", t->shards}};
    for (size_t i = 0; i < N_ELEM(number); i++)
        if (number[i].value < 1)
            return err_set(e, ERR_USAGE, number[i].name, "cannot plan with %s %d: at least 1 is needed", number[i].name,
                           number[i].value);
    if (t->trainer == PLAN_TRAINER_TAILOR && t->method == PLAN_FULL_BF16)
        return err_set(e, ERR_UNSUPPORTED, "method",
                       "cannot plan full-bf16 with this program: its masters are float32; full, or --trainer python, "
                       "is needed");
    if (t->trainer == PLAN_TRAINER_TAILOR && t->method == PLAN_FULL && t->base && t->base->linear_bits < 16)
        return err_set(e, ERR_UNSUPPORTED, "quant",
                       "cannot plan full tuning of %s weights with this program: F32, F16 or BF16 is needed",
                       t->base->name);
    if (t->trainer == PLAN_TRAINER_TAILOR && t->shards > 1)
        return err_set(e, ERR_UNSUPPORTED, "count", "cannot plan with %d machines for this program: it tunes on one",
                       t->shards);
    return 0;
}

static const struct plan_quant *base_of(const struct plan_training *t)
{
    if (t->base) return t->base;
    if (t->method != PLAN_QLORA) return plan_quant_find("BF16");
    return plan_quant_find(t->trainer == PLAN_TRAINER_TAILOR ? "Q4_0" : "NF4");
}

static double widest(const struct plan_model *m)
{
    double experts = (double)m->n_expert_used * m->n_ff_expert + (double)m->n_expert_shared * m->n_ff_shared;
    return fmax(m->n_ff, experts);
}

static void python_activations(const struct plan_model *m, const struct plan_training *t,
                               struct plan_training_memory *out)
{
    double tokens = (double)t->batch * t->max_length, width = m->n_embd;
    double kept = t->checkpointing ? INPUT_BYTES * m->n_layer + LAYER_BYTES : LAYER_BYTES * m->n_layer;
    out->activation_bytes = tokens * width * kept;
    out->logits_bytes = tokens * m->n_vocab * LOGITS_BYTES;
    out->framework_bytes = CUDA_BYTES;
}

/* The tape: float32, the head in parts. Of a layer: input and middle, queries, attention output, gate and up, ranks. */
static void tailor_activations(const struct plan_model *m, const struct plan_training *t,
                               struct plan_training_memory *out)
{
    double tokens = (double)t->batch * t->max_length, n_q = (double)m->n_head * m->d_head;
    double n_kv = (double)m->n_kv_head * m->d_head, layers = t->checkpointing ? 1 : m->n_layer;
    double layer = m->n_embd + 2 * n_q + 2 * widest(m) + m->n_head + 7.0 * t->rank + 2 * n_kv;
    double once = 2.0 * m->n_embd + 2 * widest(m) + 2 * n_q + 2 * n_kv;
    out->activation_bytes = 4 * tokens * (m->n_layer * (double)m->n_embd + layers * layer + once);
    out->framework_bytes = TAILOR_BYTES + 300.0 * m->n_vocab;
}

/* All weights: the model as it computes, and masters that move. */
static void tailor_full(const struct plan_model *m, const struct plan_training *t, struct plan_training_memory *out)
{
    double masters = MASTER_BYTES * plan_params_total(m);
    out->weights_bytes = TAILOR_PACKED * plan_weight_bytes(m, base_of(t)) + masters;
    out->gradient_bytes = masters;
    out->optimizer_bytes = 2 * masters;
}

int plan_training_of(const struct plan_model *m, const struct plan_training *t, struct plan_training_memory *out,
                     struct err *e)
{
    int rc = check(t, e);
    double params = plan_params_total(m), share = 1.0 / t->shards;
    *out = (struct plan_training_memory){0};
    if (rc) return rc;
    if (is_adapter(t)) {
        double packed = t->trainer == PLAN_TRAINER_TAILOR ? TAILOR_PACKED : 1;
        out->weights_bytes = share * packed * plan_weight_bytes(m, base_of(t));
        out->adapter_params = plan_adapter_params(m, t->rank);
        out->adapter_bytes = share * ADAPTER_BYTES * out->adapter_params;
    } else if (t->trainer == PLAN_TRAINER_TAILOR) {
        tailor_full(m, t, out);
    } else {
        out->weights_bytes = share * 2 * params;
        out->gradient_bytes = share * 2 * params;
        out->optimizer_bytes = share * (t->method == PLAN_FULL ? 12 : 4) * params;
    }
    if (t->trainer == PLAN_TRAINER_TAILOR)
        tailor_activations(m, t, out);
    else
        python_activations(m, t, out);
    out->total_bytes = out->weights_bytes + out->gradient_bytes + out->optimizer_bytes + out->adapter_bytes +
                       out->activation_bytes + out->logits_bytes + out->framework_bytes;
    return 0;
}

double plan_training_s(const struct plan_model *m, const struct plan_training *t, const struct plan_hardware *h,
                       double n_tok)
{
    struct plan_params p;
    plan_params_of(m, &p);
    /* forward, gradient of inputs, gradient of weights (adapters' are small); forward once more where it is not kept */
    double passes = 2 + 2 + (is_adapter(t) ? 0 : 2) + (t->checkpointing ? 2 : 0);
    double flops = 1e12 * (h->fp16_tflops > 0 ? h->fp16_tflops : h->fp32_tflops);
    if (t->trainer == PLAN_TRAINER_PYTHON)
        return passes * (p.active + p.head) * n_tok / (t->shards * flops * ARITHMETIC_SHARE);
    double steps = n_tok / ((double)t->batch * t->max_length);
    double update = is_adapter(t) ? 0 : STEP_TOUCHED * plan_params_total(m) / (h->read_gb_s * 1e9);
    return passes * (p.active + p.head) * n_tok / (flops * TAILOR_SHARE) + steps * update;
}
