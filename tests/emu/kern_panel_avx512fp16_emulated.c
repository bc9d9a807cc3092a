/* kern_panel_avx512fp16.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#include "float16_emulated.h"
#define kern_panel_fill_avx512fp16 kern_panel_fill_avx512fp16_emulated
#include "../../src/compute/kernels/kern_panel_avx512fp16.c"
