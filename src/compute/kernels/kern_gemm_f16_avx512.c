/* Products of few rows with float16 panels and with packed floats, AVX-512: gemm_f16_vec.h and gemm_packed_vec.h
 * compiled for it. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/gemm_f16_vec.h"
#include "compute/kernels/gemm_packed_vec.h"

/* Emerald Rapids, 0.5B in float16, tokens a second of 10, 16, 24 rows 184, 222, 224; of 25, 32, 64, 80, 96 in tiles of
 * half as many or with panels 140, 155, 208, 228, 235. */
void kern_gemm_f16_fill_avx512(struct kern *k)
{
    static const struct kern_slow slow[] = {{PACKED_ROWS + 1, 79}, {0}};
    k->gemm_f16 = gemm_f16;
    gemm_packed_fill(k);
    k->gemm_few_rows = PACKED_ROWS;
    k->slow_f32 = slow;
}
#endif
