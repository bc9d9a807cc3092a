/* Formats that weights and caches are kept in: bits and the arithmetic they run on. */
#ifndef PLAN_QUANT_H
#define PLAN_QUANT_H

#include <stdbool.h>

#include "ground/base/err.h"

enum plan_arithmetic { PLAN_FP32, PLAN_FP16, PLAN_FP8, PLAN_INT8, PLAN_FP4 };

struct plan_quant {
    const char *name;                /* "Q4_0" */
    double linear_bits;              /* bits a weight of the layers' matrices, scales included */
    double expert_bits;              /* of the experts' matrices */
    double embed_bits;               /* of embedding and head */
    enum plan_arithmetic arithmetic; /* what prefill can use where the hardware has it */
    bool weight_only;                /* unpacked to 16 bits for the arithmetic */
    bool gguf;                       /* a type of GGUF files, which Tailor and llama.cpp run */
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
