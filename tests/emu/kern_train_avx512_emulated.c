/* kern_train_avx512.c on portable intrinsics, under another name. */
#include "avx512_simde.h"
#define kern_train_fill_avx512 kern_train_fill_avx512_emulated
#include "../../src/compute/kernels/kern_train_avx512.c"
