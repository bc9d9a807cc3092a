/* Products of few rows with float16 panels, AVX2: gemm_f16_vec.h compiled for it. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/gemm_f16_vec.h"

void kern_gemm_f16_fill_avx2(struct kern *k)
{
    k->gemm_f16 = gemm_f16;
}
#endif
