/* The constants of serving stacks, all in this file. Owns the tables.
 *
 * They are round numbers. Those of "tuned" were fitted on one half of 1,343 published measurements of Hopper cards
 * (TensorRT-LLM, vLLM, SGLang) and checked on the other half: median error 13.2 %. What differs for a vLLM that runs
 * with its defaults, for its old versions and for llama.cpp was set by looking at published measurements of each, a
 * class at a time and never a row; `tailor plan validate` compares all of them with catalog/measurements.csv. */
#include "lifecycle/plan/stack.h"

#include <string.h>
#include <strings.h>

#include "ground/base/str.h"

#define US  1e-6
#define MS  1e-3
#define GIB (1024.0 * 1024 * 1024)

/* clang-format off */
static const struct plan_stack stacks[N_PLAN_STACK] = {
    {.id = PLAN_STACK_TUNED, .name = "tuned", .read_share = 0.92, .expert_share = 0.65, .step_s = 0.8 * MS, .layer_s = 35 * US,
     .link_share = 0.7, .reduce_s = 17 * US, .decode_share = 0.55, .prefill_share = 0.55, .prefill_share_experts = 0.33,
     .weight_only_share = 1, .overlap = 4, .interference = 0.9, .first_token_s = 40 * MS, .max_running = 1024,
     .batched_tokens = 8192, .memory_share = 0.90, .framework_bytes = 2.5 * GIB, .slowdown = 1},
    {.id = PLAN_STACK_VLLM, .name = "vllm", .read_share = 0.85, .expert_share = 0.65, .step_s = 0.8 * MS, .layer_s = 35 * US,
     .expert_layer_s = 40 * US, .seq_s = 70 * US, .link_share = 0.7, .reduce_s = 17 * US, .decode_share = 0.55,
     .prefill_share = 0.55, .prefill_share_experts = 0.33, .weight_only_share = 0.5, .overlap = 4, .interference = 0.9,
     .first_token_s = 40 * MS, .max_running = 256, .batched_tokens = 8192, .memory_share = 0.90,
     .framework_bytes = 2.5 * GIB, .slowdown = 1},
    {.id = PLAN_STACK_VLLM_06, .name = "vllm-0.6", .read_share = 0.85, .expert_share = 0.65, .step_s = 0.8 * MS,
     .layer_s = 110 * US, .expert_layer_s = 40 * US, .seq_s = 70 * US, .link_share = 0.7, .reduce_s = 17 * US,
     .decode_share = 0.55, .prefill_share = 0.55, .prefill_share_experts = 0.33, .weight_only_share = 0.5,
     .overlap = 4, .interference = 0.9, .first_token_s = 40 * MS, .max_running = 256, .batched_tokens = 8192,
     .memory_share = 0.90, .framework_bytes = 2.5 * GIB, .slowdown = 1},
    {.id = PLAN_STACK_LLAMACPP, .name = "llama.cpp", .read_share = 0.80, .expert_share = 0.9, .step_s = 0.35 * MS,
     .layer_s = 12 * US, .link_share = 0.5, .reduce_s = 40 * US, .decode_share = 0.75, .prefill_share = 0.75,
     .prefill_share_experts = 0.75, .weight_only_share = 1, .overlap = 4, .interference = 1, .first_token_s = 5 * MS,
     .max_running = 256, .batched_tokens = 512, .memory_share = 1, .framework_bytes = 0.5 * GIB, .slowdown = 1},
    {.id = PLAN_STACK_TAILOR, .name = "tailor", .read_share = 0.75, .expert_share = 0.9, .link_share = 0.5,
     .reduce_s = 40 * US, .decode_share = 0.40, .prefill_share = 0.40, .prefill_share_experts = 0.40, .weight_only_share = 1,
     .overlap = 1, .interference = 1, .first_token_s = 1 * MS, .max_running = 256, .batched_tokens = 512, .step_budget_s = 0.2,
     .memory_share = 1, .framework_bytes = 48.0 * 1024 * 1024, .slowdown = 1},
};
/* clang-format on */

/* Of nominal bandwidth, llama.cpp on Apple's chips (builds of 2024 to 2026); others as the median of these. */
static const struct {
    const char *begins;
    double read_share;
} macs[] = {{"M1Max", 0.47}, {"M2Ultra", 0.62}, {"M3Ultra", 0.62}, {"M3Max", 0.66}, {"M4", 0.72}, {"M5", 0.72}};
#define MAC_OTHER        0.62
#define MAC_PREFILL      0.55 /* of FP32 */
#define HBM_LLAMACPP     0.45 /* builds of 2023 on A100 and H100 */
#define HBM_GB_S         1200.0
#define CPU_READ         0.65 /* of theoretical DRAM bandwidth */
#define CPU_ARITHMETIC   0.40
#define PCIE_REDUCE_S    (40 * US)
#define PCIE_LINK        0.5
#define PCIE_FRAMEWORK   (1.0 * GIB)
#define CONSUMER_SHARE   0.95 /* of memory that vLLM is given on GeForce */
#define CONSUMER_BATCHED 2048
#define ASCEND_MINDIE    0.6 /* of what the roofline says, 910B */
#define ASCEND_VLLM      0.2
#define NVLINK_FROM_GB_S 100.0

const struct plan_stack *plan_stack_find(const char *name)
{
    for (size_t i = 0; i < N_PLAN_STACK; i++)
        if (strcasecmp(stacks[i].name, name) == 0) return &stacks[i];
    return NULL;
}

const struct plan_stack *plan_stack_of(enum plan_stack_id id)
{
    return &stacks[id];
}

static double mac_share(const char *id)
{
    for (size_t i = 0; i < N_ELEM(macs); i++)
        if (strncasecmp(id, macs[i].begins, strlen(macs[i].begins)) == 0) return macs[i].read_share;
    return MAC_OTHER;
}

static void llamacpp_on(const struct plan_hardware *h, struct plan_stack *s)
{
    if (h->kind == PLAN_DATACENTER && h->read_gb_s > HBM_GB_S) s->read_share = HBM_LLAMACPP;
    if (h->kind != PLAN_MAC) return;
    s->read_share = mac_share(h->id);
    s->decode_share = s->prefill_share = s->prefill_share_experts = MAC_PREFILL;
}

void plan_stack_on(enum plan_stack_id id, const struct plan_hardware *h, struct plan_stack *out)
{
    *out = stacks[id];
    bool server = id != PLAN_STACK_LLAMACPP && id != PLAN_STACK_TAILOR;
    if (h->link_gb_s < NVLINK_FROM_GB_S) {
        out->reduce_s = PCIE_REDUCE_S;
        out->link_share = PCIE_LINK;
    }
    if (server && h->kind == PLAN_CONSUMER) {
        out->memory_share = CONSUMER_SHARE;
        out->framework_bytes = PCIE_FRAMEWORK;
        out->batched_tokens = CONSUMER_BATCHED;
    }
    if (id == PLAN_STACK_LLAMACPP) llamacpp_on(h, out);
    if (h->kind == PLAN_NPU) out->slowdown = id == PLAN_STACK_TUNED ? 1 / ASCEND_MINDIE : 1 / ASCEND_VLLM;
    if (h->kind == PLAN_CPU) {
        out->read_share = CPU_READ;
        out->decode_share = out->prefill_share = out->prefill_share_experts = CPU_ARITHMETIC;
    }
}

enum plan_stack_id plan_stack_usual(const struct plan_hardware *h, bool gguf)
{
    if (h->kind == PLAN_CPU) return PLAN_STACK_TAILOR;
    if (h->kind == PLAN_NPU) return PLAN_STACK_TUNED; /* the maker's own stack; vLLM's port is three times slower */
    return h->kind == PLAN_MAC || gguf ? PLAN_STACK_LLAMACPP : PLAN_STACK_VLLM;
}
