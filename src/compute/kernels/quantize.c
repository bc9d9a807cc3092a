/* Which searching quantizer a level has: they are one body compiled several times, so the choice is of speed alone. */
#include "compute/kernels/quantize_int.h"

quantize_fn quantize_find(enum kern_isa isa, enum quant_type type)
{
    quantize_fn table[QUANT_COUNT] = {0};
    quantize_fill_scalar(table);
#if defined(__x86_64__)
    if (isa >= KERN_AVX512) {
        quantize_fill_avx512(table);
    } else if (isa >= KERN_AVX2) {
        quantize_fill_avx2(table);
    }
#endif
    return table[type];
}
