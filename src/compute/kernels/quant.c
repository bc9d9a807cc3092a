/* The list of quantizations, by number and by name. Each one lives in a file of its own. */
#include <strings.h>

#include "compute/kernels/kern_int.h"

const struct quant *const quants[QUANT_COUNT] = {
    [QUANT_F32] = &quant_f32,   [QUANT_F16] = &quant_f16,   [QUANT_BF16] = &quant_bf16,
    [QUANT_Q8_0] = &quant_q8_0, [QUANT_Q4_0] = &quant_q4_0, [QUANT_Q4_1] = &quant_q4_1,
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
