/* kern_panel_amx.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_panel_fill_amx kern_panel_fill_amx_emulated
#include "../../src/compute/kernels/kern_panel_amx.c"
