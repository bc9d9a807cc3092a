/* Serving stacks: what is left of the hardware's nominal figures, as few named constants with their source. */
#ifndef PLAN_STACK_H
#define PLAN_STACK_H

#include <stdbool.h>

#include "lifecycle/plan/rows.h"

enum plan_stack_id {
    PLAN_STACK_TUNED,    /* TensorRT-LLM, NIM, vLLM and SGLang set up by people who know */
    PLAN_STACK_VLLM,     /* vLLM as it starts by default */
    PLAN_STACK_VLLM_06,  /* vLLM to 0.6 */
    PLAN_STACK_LLAMACPP, /* llama.cpp, ollama */
    PLAN_STACK_TAILOR,   /* this program */
    N_PLAN_STACK
};

struct plan_stack {
    enum plan_stack_id id;
    const char *name;
    double read_share;           /* of nominal bandwidth that reading weights and cache reaches */
    double expert_share;         /* further, for experts' weights */
    double step_s, layer_s;      /* overhead a step, a layer */
    double expert_layer_s;       /* further, a layer with experts */
    double seq_s;                /* overhead a running sequence and step */
    double reduce_s, link_share; /* one all-reduce; share of the link's nominal rate */
    double decode_share, prefill_share, prefill_share_experts; /* of nominal arithmetic */
    double overlap; /* of reading and computing: exponent of the norm that joins their times; 1: one after the other */
    double weight_only_share; /* further, for weight-only formats when arithmetic is the limit */
    double interference;      /* of others' prefill on a decoding sequence */
    double first_token_s;     /* overhead of a request */
    int max_running;          /* sequences that it batches by default */
    int batched_tokens;       /* prompt tokens of one pass at most */
    double step_budget_s;     /* a pass that makes answers wait takes this long, or twice as long as without prompts, at
                                 most; 0: as long as it takes */
    double memory_share;      /* of a card's usable memory that it takes */
    double framework_bytes;   /* a card, workspace of batched_tokens included */
    double slowdown;          /* of whole steps, where hardware was measured that the roofline does not describe */
};
/* "tuned", "vllm", "vllm-0.6", "llama.cpp", "tailor"; NULL: unknown. */
const struct plan_stack *plan_stack_find(const char *name);
const struct plan_stack *plan_stack_of(enum plan_stack_id id);
/* The constants of a stack on given hardware. */
void plan_stack_on(enum plan_stack_id id, const struct plan_hardware *h, struct plan_stack *out);
/* What one would take: GGUF types on cards llama.cpp, on CPUs this program, on NPUs their maker's, else vLLM. */
enum plan_stack_id plan_stack_usual(const struct plan_hardware *h, bool gguf);

#endif
