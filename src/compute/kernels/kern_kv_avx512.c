/* Products of few rows with keys and values in int8, AVX-512: gemm_kv_vec.h compiled for it. */
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)
#include "compute/kernels/gemm_kv_vec.h"

void kern_kv_fill_avx512(struct kern *k)
{
    k->gemm_kv = gemm_kv;
}
#endif
