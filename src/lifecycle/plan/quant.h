/* Formats that weights and caches are kept in: bits and the arithmetic they run on. */
#ifndef PLAN_QUANT_H
#define PLAN_QUANT_H

#include <stdbool.h>

#include "ground/base/err.h"

enum plan_arithmetic { PLAN_FP32, PLAN_FP16, PLAN_FP8, PLAN_INT8, PLAN_FP4 };

struct plan_quant {
    const char *name;                /* "Q4_0" */
    double linear_bits, expert_bits; /* bits a weight of the layers' and of the experts' matrices, scales included */
    double embed_bits, head_bits;    /* of the embedding and of the output matrix; one matrix for both: head_bits */
    enum plan_arithmetic arithmetic; /* what products can use where the hardware has it */
    bool weight_only;                /* unpacked to 16 bits for the arithmetic */
    bool gguf;                       /* a type of GGUF files, which Tailor and llama.cpp run */
    bool few_bits;                   /* at most 4 bits and scales: CPU kernels of their own */
};
/* By name, case ignored; NULL: unknown. */
const struct plan_quant *plan_quant_find(const char *name);
/* The known names, "F32, F16, ...": for errors. */
const char *plan_quant_names(void);
/* idx from 0; NULL past the last: for searches. */
const struct plan_quant *plan_quant_at(int idx);

/* Bits of a cached key or value by name (fp16, bf16, fp8, int8, q8_0); 0: unknown. */
double plan_kv_bits(const char *name);

#endif
