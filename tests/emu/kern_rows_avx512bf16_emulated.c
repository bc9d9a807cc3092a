/* kern_rows_avx512bf16.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_rows_fill_avx512bf16 kern_rows_fill_avx512bf16_emulated
#include "../../src/compute/kernels/kern_rows_avx512bf16.c"
