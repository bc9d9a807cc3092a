/* kern_panel_avx512bf16.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_panel_fill_avx512bf16 kern_panel_fill_avx512bf16_emulated
#include "../../src/compute/kernels/kern_panel_avx512bf16.c"
