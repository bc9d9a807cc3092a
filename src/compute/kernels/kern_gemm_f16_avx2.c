/* Products of few rows with float16 panels and with packed floats, AVX2: gemm_f16_vec.h and gemm_packed_vec.h compiled
 * for it. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/gemm_f16_vec.h"
#include "compute/kernels/gemm_packed_vec.h"

/* One tile more, while there are few. Emerald Rapids held to AVX2, 0.5B in float16, tokens a second of 6, 7, 9, 10, 12,
 * 13, 16, 18, 20, 24, 25, 32, 64 rows: 106, 85, 104, 105, 118, 109, 110, 122, 113, 124, 114, 122, 125; with panels 55
 * at 6, 81 at 12, 113 at 64, 121 at 128. */
void kern_gemm_f16_fill_avx2(struct kern *k)
{
    static const struct kern_slow slow[] = {{7, 9}, {13, 17}, {19, 23}, {25, 31}, {0}};
    k->gemm_f16 = gemm_f16;
    gemm_packed_fill(k);
    k->gemm_few_rows = 128;
    k->slow_f32 = slow;
}
#endif
