/* kern_gemm_amx.c on emulated tiles, under another name. */
#include "amx_emulated.h"
#define kern_gemm_fill_amx kern_gemm_fill_amx_emulated
#include "../../src/compute/kernels/kern_gemm_amx.c"
