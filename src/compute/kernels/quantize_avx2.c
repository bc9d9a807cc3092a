/* The searching quantizers for AVX2: the shared body on this file's vectors. */
#include "compute/kernels/quantize_int.h"
#if defined(__x86_64__)
#include "compute/kernels/vec.h"

#include "compute/kernels/quantize_vec.h"

void quantize_fill_avx2(quantize_fn table[QUANT_COUNT])
{
    quantize_fill(table);
}
#endif
