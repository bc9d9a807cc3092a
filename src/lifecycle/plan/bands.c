/* How far predictions are off, as factors at the 80 % level. Owns the table: round figures that cover about 80 % of
 * each class of catalog/measurements.csv (`tailor plan validate` counts), equal in both directions as ratios. */
#include "ground/base/attr.h"
#include "lifecycle/plan/speed.h"

#define NPU_FACTOR 1.6 /* 910B under MindIE and vLLM: 0.52 to 1.6 of what the corrected roofline says */

static const struct {
    enum plan_quantity quantity;
    unsigned stacks; /* bits by plan_stack_id */
    double factor;
    const char *basis;
} bands[] = {
    {PLAN_MEMORY_BAND, ~0u, 1.025, "memory"},
    {PLAN_DECODE_BAND, 1u << PLAN_STACK_LLAMACPP, 1.22, "llamacpp"},
    {PLAN_DECODE_BAND, 1u << PLAN_STACK_VLLM_06, 1.10, "vllm1"},
    {PLAN_DECODE_BAND, 1u << PLAN_STACK_TUNED, 1.28, "silicon"},
    {PLAN_DECODE_BAND, ~0u, 1.20, "serve"},
    {PLAN_TPOT_BAND, 1u << PLAN_STACK_TUNED, 1.28, "silicon"},
    {PLAN_TPOT_BAND, 1u << PLAN_STACK_LLAMACPP, 1.28, "assumed"},
    {PLAN_TPOT_BAND, ~0u, 1.20, "serve"},
    {PLAN_THROUGHPUT_BAND, ~0u, 1.35, "sat"},
    {PLAN_TTFT_BAND, ~0u, 2.0, "silicon"},
};

/* This program: there are no published measurements of it. Before a model was timed the shares are those of middling
 * sizes, and small models stay up to 1.6 below them; after, what is left is the change of load and of neighbours. */
static struct plan_band tailor_band(const struct plan_system *s, enum plan_quantity q)
{
    double factor = q == PLAN_TTFT_BAND ? 2 : s->measured ? 1.25 : 1.6;
    return (struct plan_band){1 / factor, factor, s->measured ? "measured here" : "assumed"};
}

struct plan_band plan_band_of(const struct plan_system *s, enum plan_quantity q)
{
    bool npu = s->hardware && s->hardware->kind == PLAN_NPU;
    if (npu && q != PLAN_MEMORY_BAND && q != PLAN_TTFT_BAND)
        return (struct plan_band){1 / NPU_FACTOR, NPU_FACTOR, "ascend"};
    if (s->stack.id == PLAN_STACK_TAILOR && q != PLAN_MEMORY_BAND) return tailor_band(s, q);
    for (size_t i = 0; i < N_ELEM(bands); i++)
        if (bands[i].quantity == q && bands[i].stacks >> s->stack.id & 1)
            return (struct plan_band){1 / bands[i].factor, bands[i].factor, bands[i].basis};
    return (struct plan_band){0.5, 2, "assumed"};
}
