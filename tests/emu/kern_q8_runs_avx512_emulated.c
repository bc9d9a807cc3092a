/* kern_q8_runs_avx512.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_q8_runs_fill_avx512 kern_q8_runs_fill_avx512_emulated
#define kern_q8_tiles_avx512     kern_q8_tiles_avx512_emulated
#include "../../src/compute/kernels/kern_q8_runs_avx512.c"
