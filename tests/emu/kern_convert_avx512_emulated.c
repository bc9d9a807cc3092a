/* kern_convert_avx512.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_convert_fill_avx512 kern_convert_fill_avx512_emulated
#include "../../src/compute/kernels/kern_convert_avx512.c"
