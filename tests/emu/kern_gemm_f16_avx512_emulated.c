/* kern_gemm_f16_avx512.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_gemm_f16_fill_avx512 kern_gemm_f16_fill_avx512_emulated
#include "../../src/compute/kernels/kern_gemm_f16_avx512.c"
