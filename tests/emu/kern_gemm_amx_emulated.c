/* kern_gemm_amx.c on emulated tiles, under another name. */
#include "amx_emulated.h"
#define kern_gemm_fill_amx   kern_gemm_fill_amx_emulated
#define kern_amx_product_few kern_amx_product_few_emulated
#include "../../src/compute/kernels/kern_gemm_amx.c"
