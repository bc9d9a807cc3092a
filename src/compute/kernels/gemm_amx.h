/* What the products of tiles share: their shapes. Private to kernels. */
#ifndef KERNELS_GEMM_AMX_H
#define KERNELS_GEMM_AMX_H

#include "compute/kernels/amx_ops.h"
#include "compute/kernels/kern_int.h"

enum { T_ROWS = 16, T_COLS = 16, T_K = 32 };

/* So many rows of 64 bytes for each tile. One that is not used has 0, and gets a shape all the same: the instruction
 * wants one. */
static inline void kern_amx_configure(const size_t n_row[8])
{
    struct tile_shapes shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shapes.n_row[t] = (uint8_t)(n_row[t] ? n_row[t] : 1);
        shapes.row_bytes[t] = 64;
    }
    tile_config(&shapes);
}

enum { KERN_AMX_FEW = 64 };
/* product_bf16 (struct kern) for up to KERN_AMX_FEW rows. */
void kern_amx_product_few(const struct kern *k, float *y, size_t ldy, const uint16_t *x, size_t ldx,
                          const struct kern_groups *w, size_t n_row, size_t n_k, bool accumulate, void *room);

#endif
