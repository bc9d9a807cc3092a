/* Systems: a model in a format on hardware under a stack, and what refuses to go together. Owns nothing. */
#include <math.h>

#include "lifecycle/plan/memory.h"
#include "lifecycle/plan/read_model.h"
#include "lifecycle/plan/speed.h"

#define GIB 1073741824.0
/* Of nominal memory: what a card offers, what macOS lets the GPU have, what an operating system leaves. */
#define CARD_USABLE 0.985
#define MAC_USABLE  0.75
#define CPU_USABLE  0.90
enum { NODE_CARDS = 8 }; /* a link between cards reaches this far */

static int refuse_layout(const struct plan_model *m, const struct plan_hardware *h, const struct plan_layout *l,
                         struct err *e)
{
    if (l->tp < 1 || l->pp < 1 || l->kv_bits < 0)
        return err_set(e, ERR_USAGE, "tp", "cannot plan with tp %d and pp %d: both are at least 1", l->tp, l->pp);
    if (l->pp > m->n_layer)
        return err_set(e, ERR_USAGE, "pp", "cannot plan with pp %d: \"%s\" has %d layers to share out", l->pp, m->name,
                       m->n_layer);
    if (l->tp == 1) return 0;
    if (m->n_head % l->tp)
        return err_set(e, ERR_USAGE, "tp", "cannot plan with tp %d: it does not divide the %d heads of \"%s\"", l->tp,
                       m->n_head, m->name);
    if (!(h->link_gb_s > 0))
        return err_set(e, ERR_USAGE, h->id, "cannot plan with tp %d on \"%s\": it has no link to others of its kind",
                       l->tp, h->id);
    if (l->tp > NODE_CARDS)
        return err_set(e, ERR_USAGE, "tp",
                       "cannot plan with tp %d: a link joins %d cards, share out layers (pp) beyond", l->tp,
                       (int)NODE_CARDS);
    return 0;
}

static int refuse_stack(const struct plan_quant *q, const struct plan_hardware *h, enum plan_stack_id id, struct err *e)
{
    bool local = id == PLAN_STACK_LLAMACPP || id == PLAN_STACK_TAILOR;
    const char *name = plan_stack_of(id)->name;
    if (id == PLAN_STACK_TAILOR && h->kind != PLAN_CPU)
        return err_set(e, ERR_USAGE, h->id, "cannot plan with stack \"%s\" on \"%s\": it computes on CPUs", name,
                       h->id);
    if (!local && (h->kind == PLAN_CPU || h->kind == PLAN_MAC))
        return err_set(e, ERR_USAGE, h->id,
                       "cannot plan with stack \"%s\" on \"%s\": it needs GPUs, llama.cpp does not", name, h->id);
    if (local && !q->gguf)
        return err_set(e, ERR_USAGE, q->name,
                       "cannot plan with type %s under \"%s\": a type of GGUF files is needed (Q4_K_M, "
                       "Q8_0, BF16 ...)",
                       q->name, name);
    if (!local && q->gguf && q->linear_bits < 16)
        return err_set(e, ERR_USAGE, q->name,
                       "cannot plan with type %s under \"%s\": BF16, FP8, AWQ, GPTQ4, GPTQ8, INT4MoE "
                       "or MXFP4 is needed",
                       q->name, name);
    return 0;
}

/* Nominal arithmetic of the type on this hardware, operations a second. */
static double nominal_flops(const struct plan_quant *q, const struct plan_hardware *h)
{
    double tera = h->fp16_tflops;
    if (q->arithmetic == PLAN_FP32) tera = h->fp32_tflops;
    if (q->arithmetic == PLAN_FP8 && h->fp8_tflops > 0) tera = h->fp8_tflops;
    if (q->arithmetic == PLAN_INT8 && !q->weight_only && h->int8_tops > 0) tera = h->int8_tops;
    if (q->arithmetic == PLAN_FP4) tera = h->fp4_tflops > 0 ? h->fp4_tflops : fmax(h->fp8_tflops, h->fp16_tflops);
    return tera * 1e12;
}

static double usable_bytes(const struct plan_hardware *h)
{
    double share = h->kind == PLAN_MAC ? MAC_USABLE : h->kind == PLAN_CPU ? CPU_USABLE : CARD_USABLE;
    return h->memory_gb * GIB * share;
}

static void put_model(struct plan_system *s, const struct plan_model *m, const struct plan_quant *q)
{
    struct plan_params p;
    plan_params_of(m, &p);
    s->model = m;
    s->quant = q;
    s->weight_bytes = plan_weight_bytes(m, q);
    s->dense_bytes = (p.linear - p.expert) * q->linear_bits / 8;
    s->expert_bytes = p.expert * q->expert_bits / 8;
    s->head_bytes = p.head * plan_head_bits(m, q) / 8;
    s->active_params = p.active;
    s->head_params = p.head;
}

int plan_system_init(struct plan_system *s, const struct plan_model *model, const struct plan_quant *quant,
                     const struct plan_hardware *hardware, const struct plan_layout *layout, enum plan_stack_id stack,
                     struct err *e)
{
    int rc = refuse_layout(model, hardware, layout, e);
    if (rc == 0) rc = refuse_stack(quant, hardware, stack, e);
    *s = (struct plan_system){.hardware = hardware, .layout = *layout};
    if (rc) return rc;
    put_model(s, model, quant);
    plan_stack_on(stack, hardware, &s->stack);
    s->read_bytes_s = hardware->read_gb_s * 1e9;
    s->flops = nominal_flops(quant, hardware);
    s->memory_bytes = usable_bytes(hardware);
    if (!(s->flops > 0))
        return err_set(e, ERR_USAGE, hardware->id,
                       "cannot plan for \"%s\": the catalogue has no arithmetic figure of it for %s", hardware->id,
                       quant->name);
    return 0;
}

/* --- this machine --- */

/* The arithmetic that prefill can use at best. */
static double best_gops(const struct plan_floors *f, const struct plan_quant *q)
{
    if (q->arithmetic == PLAN_FP32) return f->fp32_gflops;
    double integer = q->few_bits ? fmax(f->int4_int8_gops, f->int8_gops) : q->linear_bits < 9 ? f->int8_gops : 0;
    return fmax(fmax(integer, f->bf16_gflops), f->fp32_gflops);
}

void plan_system_local(struct plan_system *s, const struct plan_model *model, const struct plan_quant *quant,
                       const struct plan_floors *floors, const struct plan_shares *shares, double memory_bytes)
{
    *s = (struct plan_system){.layout = {.tp = 1, .pp = 1}, .stack = *plan_stack_of(PLAN_STACK_TAILOR)};
    put_model(s, model, quant);
    s->read_bytes_s = floors->read_gb_s * 1e9;
    s->flops = best_gops(floors, quant) * 1e9;
    s->memory_bytes = memory_bytes;
    if (!shares) return;
    s->measured = shares->measured;
    s->stack.read_share = shares->decode;
    s->stack.decode_share = shares->batch;
    s->stack.prefill_share = s->stack.prefill_share_experts = shares->prefill;
}

void plan_system_use(struct plan_system *s, const struct plan_work *w)
{
    struct plan_params p;
    plan_params_of(s->model, &p);
    double by_shape = s->dense_bytes + s->expert_bytes + s->head_bytes, read = w->step_bytes;
    /* what was loaded counts a step's experts only; the shares of parts are those of the dimensions */
    double touched = s->model->n_expert ? s->expert_bytes * s->model->n_expert_used / s->model->n_expert : 0;
    double step = by_shape - s->expert_bytes + touched;
    s->dense_bytes *= read / step;
    s->head_bytes *= read / step;
    s->expert_bytes *= read / step;
    s->weight_bytes = w->weight_bytes;
    s->active_params = w->layer_params;
    s->head_params = w->head_params;
}

void plan_system_use_file(struct plan_system *s, const struct plan_file *f)
{
    s->weight_bytes = f->weight_bytes;
    s->dense_bytes = f->dense_bytes;
    s->expert_bytes = f->expert_bytes;
    s->head_bytes = f->head_bytes;
}

/* Reading takes r times, computing a times what it would at best: two steps (of one sequence, of some) are two linear
 * equations in the powers by which their times are joined. The arithmetic of prefill stands in where there is one step,
 * or where the larger took no longer than reading explains. */
void plan_calibrate(const struct plan_system *s, const struct plan_timing *t, struct plan_shares *out)
{
    struct plan_system full = *s;
    double p = s->stack.overlap;
    full.stack.read_share = full.stack.prefill_share = full.stack.prefill_share_experts = full.stack.decode_share = 1;
    /* by arithmetic alone: prefill is bound by it */
    out->prefill = plan_prefill_arithmetic_s(&full, t->n_prompt, 0) * t->prefill_tok_s / t->n_prompt;
    double one = pow(1 / t->decode_tok_s, p), read = pow(plan_step_memory_s(&full, 1, t->context), p);
    double compute = pow(plan_step_arithmetic_s(&full, 1), p), a = pow(1 / out->prefill, p);
    if (t->batch > 1) {
        double all = pow(t->batch / t->batch_tok_s, p);
        double reads = pow(plan_step_memory_s(&full, t->batch, t->context), p);
        double computes = pow(plan_step_arithmetic_s(&full, t->batch), p);
        double found = (all * read - one * reads) / (computes * read - compute * reads);
        a = found > 0 && found * compute < one ? found : a;
    }
    double rest = one - a * compute;
    out->decode = pow(read / (rest > 0 ? rest : one), 1 / p);
    out->batch = pow(a, -1 / p);
    out->measured = true;
}
