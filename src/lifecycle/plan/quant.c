/* Formats. Owns the table. Bits a weight follow from block sizes (GGUF: ggml's blocks; MXFP4: 4 bits and one scale byte
 * for 32); for AWQ and GPTQ, groups of 128 with a 16-bit scale and a zero; mixes (_M, _S) by the average of their
 * tensors, as 70B files show. AWQ, GPTQ and FP8 leave embedding and head at 16 bits; GGUF files keep the head in Q6_K.
 */
#include "lifecycle/plan/quant.h"

#include <strings.h>

#include "ground/base/str.h"

#define Q6_K 6.5625

/* clang-format off */
static const struct plan_quant quants[] = {
    {"F32", 32, 32, 32, 32, PLAN_FP32, false, true, false},
    {"F16", 16, 16, 16, 16, PLAN_FP16, false, true, false},
    {"FP16", 16, 16, 16, 16, PLAN_FP16, false, true, false},
    {"BF16", 16, 16, 16, 16, PLAN_FP16, false, true, false},
    {"Q8_0", 8.5, 8.5, 8.5, 8.5, PLAN_INT8, true, true, false},
    {"Q6_K", Q6_K, Q6_K, Q6_K, Q6_K, PLAN_INT8, true, true, false},
    {"Q5_0", 5.5, 5.5, 5.5, Q6_K, PLAN_INT8, true, true, false},
    {"Q5_1", 6, 6, 6, Q6_K, PLAN_INT8, true, true, false},
    {"Q5_K", 5.5, 5.5, 5.5, Q6_K, PLAN_INT8, true, true, false},
    {"Q5_K_M", 5.68, 5.68, 5.5, Q6_K, PLAN_INT8, true, true, false},
    {"Q5_K_S", 5.5, 5.5, 5.5, Q6_K, PLAN_INT8, true, true, false},
    {"Q4_0", 4.5, 4.5, 4.5, Q6_K, PLAN_INT8, true, true, true},
    {"Q4_1", 5, 5, 5, Q6_K, PLAN_INT8, true, true, true},
    {"Q4_K", 4.5, 4.5, 4.5, Q6_K, PLAN_INT8, true, true, true},
    {"Q4_K_M", 4.83, 4.83, 4.5, Q6_K, PLAN_INT8, true, true, true},
    {"Q4_K_S", 4.58, 4.58, 4.5, Q6_K, PLAN_INT8, true, true, true},
    {"IQ4_NL", 4.5, 4.5, 4.5, Q6_K, PLAN_INT8, true, true, true},
    {"IQ4_XS", 4.25, 4.25, 4.25, Q6_K, PLAN_INT8, true, true, true},
    {"Q3_K", 3.4375, 3.4375, 3.4375, Q6_K, PLAN_INT8, true, true, true},
    {"Q3_K_M", 3.87, 3.87, 3.4375, Q6_K, PLAN_INT8, true, true, true},
    {"IQ3_XXS", 3.0625, 3.0625, 3.4375, Q6_K, PLAN_INT8, true, true, true},
    {"Q2_K", 2.95, 2.95, 2.625, Q6_K, PLAN_INT8, true, true, true},
    {"IQ2_XXS", 2.0625, 2.0625, 2.625, Q6_K, PLAN_INT8, true, true, true},
    {"IQ1_S", 1.5625, 1.5625, 2.625, Q6_K, PLAN_INT8, true, true, true},
    {"MXFP4", 16, 4.25, 16, 16, PLAN_FP16, true, true, true},
    {"MXFP4 (GGUF)", 8.5, 4.25, 8.5, 8.5, PLAN_INT8, true, true, true},
    {"NVFP4", 4.5, 4.5, 16, 16, PLAN_FP4, false, false, true},
    {"FP8", 8, 8, 16, 16, PLAN_FP8, false, false, false},
    {"INT8", 8.25, 8.25, 16, 16, PLAN_INT8, false, false, false},
    {"GPTQ8", 8.25, 8.25, 16, 16, PLAN_FP16, true, false, false},
    {"GPTQ4", 4.16, 4.16, 16, 16, PLAN_FP16, true, false, true},
    {"AWQ", 4.25, 4.25, 16, 16, PLAN_FP16, true, false, true},
    {"INT4", 4.25, 4.25, 16, 16, PLAN_FP16, true, false, true},
    {"INT4MoE", 16, 4.5, 16, 16, PLAN_FP16, true, false, true},
    {"NF4", 4.127, 4.127, 16, 16, PLAN_FP16, true, false, true},
};
/* clang-format on */

const struct plan_quant *plan_quant_find(const char *name)
{
    for (size_t i = 0; i < N_ELEM(quants); i++)
        if (strcasecmp(quants[i].name, name) == 0) return &quants[i];
    return NULL;
}

const struct plan_quant *plan_quant_at(int idx)
{
    return idx >= 0 && (size_t)idx < N_ELEM(quants) ? &quants[idx] : NULL;
}

const char *plan_quant_names(void)
{
    return "F32, F16, FP16, BF16, FP8, INT8, GPTQ8, GPTQ4, AWQ, INT4MoE, NF4, NVFP4, MXFP4, Q8_0, Q6_K, Q5_0, Q5_1, "
           "Q5_K, "
           "Q5_K_M, "
           "Q4_0, Q4_1, Q4_K, Q4_K_M, IQ4_NL, IQ4_XS, Q3_K, Q3_K_M, Q2_K, IQ3_XXS, IQ2_XXS, IQ1_S";
}

double plan_kv_bits(const char *name)
{
    static const struct {
        const char *name;
        double bits;
    } kinds[] = {{"fp32", 32}, {"fp16", 16}, {"bf16", 16},  {"f16", 16},  {"auto", 16},
                 {"fp8", 8},   {"int8", 8},  {"q8_0", 8.5}, {"q4_0", 4.5}};
    for (size_t i = 0; i < N_ELEM(kinds); i++)
        if (strcasecmp(kinds[i].name, name) == 0) return kinds[i].bits;
    return 0;
}
