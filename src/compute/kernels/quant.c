/* The list of quantizations, by number and by name. Each one lives in a file of its own. */
#include <string.h>
#include <strings.h>

#include "compute/kernels/kern_int.h"

const struct quant *const quants[QUANT_COUNT] = {
    [QUANT_F32] = &quant_f32,     [QUANT_F16] = &quant_f16,       [QUANT_BF16] = &quant_bf16,
    [QUANT_Q8_0] = &quant_q8_0,   [QUANT_Q4_0] = &quant_q4_0,     [QUANT_Q4_1] = &quant_q4_1,
    [QUANT_Q5_0] = &quant_q5_0,   [QUANT_Q5_1] = &quant_q5_1,     [QUANT_Q2_K] = &quant_q2_k,
    [QUANT_Q3_K] = &quant_q3_k,   [QUANT_Q4_K] = &quant_q4_k,     [QUANT_Q5_K] = &quant_q5_k,
    [QUANT_Q6_K] = &quant_q6_k,   [QUANT_IQ4_NL] = &quant_iq4_nl, [QUANT_IQ4_XS] = &quant_iq4_xs,
    [QUANT_MXFP4] = &quant_mxfp4,
};

int quant_find(const char *name)
{
    for (int i = 0; name && i < QUANT_COUNT; i++) {
        if (strcasecmp(name, quants[i]->name) == 0) {
            return i;
        }
    }
    return -1;
}

void quant_pack(const struct quant *q, void *packed, const void *const row[KERN_ROWS], int n_k)
{
    memset(packed, 0, q->packed_bytes);
    for (size_t r = 0; r < KERN_ROWS; r++) {
        if (row[r] != NULL) {
            q->pack_row(packed, r, row[r], n_k);
        }
    }
}
