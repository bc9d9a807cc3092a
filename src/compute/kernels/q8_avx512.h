/* One part of a weight block, ready for the dot products, and the tiles of few rows: what the two files of int8
 * products for AVX-512 share. Private to them. */
#ifndef KERNELS_Q8_AVX512_H
#define KERNELS_Q8_AVX512_H

#include "compute/kernels/lines_vec.h"

struct part {
    i16 w[LINES]; /* bytes are unsigned */
    struct part_scales s;
};

/* The entries of kern_q8_avx512.c, by type. */
extern const kern_gemm_q8_fn kern_q8_tiles_avx512[QUANT_COUNT];

#endif
