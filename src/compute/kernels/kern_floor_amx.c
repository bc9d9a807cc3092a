/* Instruction loops for the floors of the machine, AMX, on tiles that stay where they are: see struct kern_floor. */
#include "compute/kernels/amx_ops.h"
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)

static void configure(void)
{
    struct tile_shapes shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shapes.n_row[t] = 16;
        shapes.row_bytes[t] = 64;
    }
    tile_config(&shapes);
}

/* Four sums of 16 x 16 over 32 (64) values of k: 2 x 16 x 16 x 32 (64) operations each; LDTILECFG zeroes the tiles. */
static double bf16(size_t n)
{
    configure();
    for (size_t k = 0; k < n; k++) {
        tile_dot_bf16(0, 4, 6);
        tile_dot_bf16(1, 4, 7);
        tile_dot_bf16(2, 5, 6);
        tile_dot_bf16(3, 5, 7);
    }
    tile_release();
    return (double)n * 4 * 2 * 16 * 16 * 32;
}

static double int8(size_t n)
{
    configure();
    for (size_t k = 0; k < n; k++) {
        tile_dot_s8(0, 4, 6);
        tile_dot_s8(1, 4, 7);
        tile_dot_s8(2, 5, 6);
        tile_dot_s8(3, 5, 7);
    }
    tile_release();
    return (double)n * 4 * 2 * 16 * 16 * 64;
}

void kern_floor_fill_amx(struct kern *k)
{
    k->floor.bf16 = bf16;
    k->floor.int8 = int8;
    k->floor.int4 = int8;
}
#endif
