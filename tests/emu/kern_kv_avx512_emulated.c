/* kern_kv_avx512.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_kv_fill_avx512 kern_kv_fill_avx512_emulated
#include "../../src/compute/kernels/kern_kv_avx512.c"
