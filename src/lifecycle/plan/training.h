/* What tuning takes: memory of one card or of this machine, and time. */
#ifndef PLAN_TRAINING_H
#define PLAN_TRAINING_H

#include <stdbool.h>

#include "ground/base/err.h"
#include "lifecycle/plan/quant.h"
#include "lifecycle/plan/rows.h"

enum plan_method {
    PLAN_FULL,      /* all weights, AdamW in mixed precision */
    PLAN_FULL_BF16, /* all weights, everything in 16 bits */
    PLAN_LORA,      /* adapters on a base in 16 bits */
    PLAN_QLORA      /* adapters on a base of 4 bits */
};
enum plan_trainer {
    PLAN_TRAINER_PYTHON, /* PyTorch with PEFT, DeepSpeed or FSDP, on GPUs */
    PLAN_TRAINER_TAILOR  /* this program, on CPUs: adapters over the base as it is served, or all weights as float32
                            masters beside the model of 16 bits; float32 tape */
};

struct plan_training {
    enum plan_method method;
    enum plan_trainer trainer;
    const struct plan_quant *base; /* NULL: BF16, with QLoRA NF4 (Tailor: Q4_0) */
    int rank;                      /* of adapters on all matrices but routed experts */
    int batch, max_length;         /* rows at a time, tokens of a row */
    int shards;                    /* cards that weights, gradients and optimizer are divided among (ZeRO-3) */
    bool checkpointing;            /* activations are computed again, not kept */
};
struct plan_training_memory {                                             /* bytes, of one card */
    double weights_bytes, gradient_bytes, optimizer_bytes, adapter_bytes; /* adapter: with its gradient and optimizer */
    double activation_bytes, logits_bytes, framework_bytes;
    double total_bytes;
    double adapter_params;
};
/* -ERR_USAGE names a number below 1; -ERR_UNSUPPORTED a method, or a base of it, that the trainer lacks. */
int plan_training_of(const struct plan_model *m, const struct plan_training *t, struct plan_training_memory *out,
                     struct err *e) MUST_CHECK;
/* Parameters of adapters of a rank. */
double plan_adapter_params(const struct plan_model *m, int rank);
/* Seconds for n_tok tokens on t->shards cards. This machine: floors as a row of hardware (fp32_tflops, read_gb_s). */
double plan_training_s(const struct plan_model *m, const struct plan_training *t, const struct plan_hardware *h,
                       double n_tok);

#endif
