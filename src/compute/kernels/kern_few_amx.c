/* Products in bfloat16 for AMX, of packed weights with few rows: unpacking is most of the work, and each product goes
 * beside that of its group's next part. The sums, of all k, stay in four tiles: up to 16 rows of four groups, 32 of
 * two, 64 of one. Granite Rapids, Q4_0 from memory, 16 rows: 23 billion weights a second; unpacking alone, within the
 * first-level cache, 35; panels of 256 inputs first and then their products, 17. */
#include <string.h>

#include "compute/kernels/gemm_amx.h"
#if defined(__x86_64__)

enum { PANEL = T_K * T_COLS, GROUPS = 4 };

struct few {
    const struct kern_quant *read;
    size_t ldx, ldy, n_tile, n_group, group_bytes, n_part;
    const uint16_t *x;
    const uint8_t *packed;
    uint16_t *panel; /* [2][GROUPS][T_K][16]: the part in hand and the next, of each group */
};

static inline uint16_t *panel_of(const struct few *f, size_t group, size_t part)
{
    return f->panel + (part % 2 * GROUPS + group) * PANEL;
}

static inline void unpack(const struct few *f, size_t group, size_t part)
{
    if (part < f->n_part && group < f->n_group) {
        f->read->panel_bf16(panel_of(f, group, part), f->packed + group * f->group_bytes, part, 1);
    }
}

/* One part, 16 rows of four groups; those that are missing are computed from what stands in their panels. */
static void part_1x4(const struct few *f, size_t part)
{
    tile_load(4, f->x + part * T_K, f->ldx * sizeof(*f->x));
    tile_load(6, panel_of(f, 0, part), 64);
    tile_dot_bf16(0, 4, 6);
    unpack(f, 0, part + 1);
    tile_load(7, panel_of(f, 1, part), 64);
    tile_dot_bf16(1, 4, 7);
    unpack(f, 1, part + 1);
    tile_load(6, panel_of(f, 2, part), 64);
    tile_dot_bf16(2, 4, 6);
    unpack(f, 2, part + 1);
    tile_load(7, panel_of(f, 3, part), 64);
    tile_dot_bf16(3, 4, 7);
    unpack(f, 3, part + 1);
}

/* 32 rows of two groups. */
static void part_2x2(const struct few *f, size_t part)
{
    const uint16_t *x = f->x + part * T_K;
    size_t bytes = f->ldx * sizeof(*x);
    tile_load(4, x, bytes);
    tile_load(5, x + T_ROWS * f->ldx, bytes);
    tile_load(6, panel_of(f, 0, part), 64);
    tile_dot_bf16(0, 4, 6);
    tile_dot_bf16(2, 5, 6);
    unpack(f, 0, part + 1);
    tile_load(7, panel_of(f, 1, part), 64);
    tile_dot_bf16(1, 4, 7);
    tile_dot_bf16(3, 5, 7);
    unpack(f, 1, part + 1);
}

/* 48 or 64 rows of one group; the last tile, which may have fewer rows, is 5. */
static void part_4x1(const struct few *f, size_t part)
{
    const uint16_t *x = f->x + part * T_K;
    size_t bytes = f->ldx * sizeof(*x);
    tile_load(6, panel_of(f, 0, part), 64);
    tile_load(4, x, bytes);
    tile_dot_bf16(0, 4, 6);
    tile_load(4, x + T_ROWS * f->ldx, bytes);
    tile_dot_bf16(1, 4, 6);
    if (f->n_tile == 3) {
        tile_load(5, x + 2 * T_ROWS * f->ldx, bytes);
        tile_dot_bf16(2, 5, 6);
    } else {
        tile_load(4, x + 2 * T_ROWS * f->ldx, bytes);
        tile_dot_bf16(2, 4, 6);
        tile_load(5, x + 3 * T_ROWS * f->ldx, bytes);
        tile_dot_bf16(3, 5, 6);
    }
    unpack(f, 0, part + 1);
}

/* Where the sums of a tile stand in y; NULL: it has none. */
static float *sums_of(const struct few *f, float *y, size_t tile)
{
    size_t across = f->n_tile == 1 ? GROUPS : f->n_tile == 2 ? 2 : 1;
    size_t row = tile / across, group = tile % across;
    return row < f->n_tile && group < f->n_group ? y + row * T_ROWS * f->ldy + group * T_COLS : NULL;
}

#define EACH_SUM(operation, f, y)                                     \
    do {                                                              \
        float *at;                                                    \
        size_t bytes = (f)->ldy * sizeof(float);                      \
        if ((at = sums_of(f, y, 0)) != NULL) operation(0, at, bytes); \
        if ((at = sums_of(f, y, 1)) != NULL) operation(1, at, bytes); \
        if ((at = sums_of(f, y, 2)) != NULL) operation(2, at, bytes); \
        if ((at = sums_of(f, y, 3)) != NULL) operation(3, at, bytes); \
    } while (0)

static void groups(const struct few *f, float *y, bool accumulate)
{
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    if (accumulate) {
        EACH_SUM(tile_load, f, y);
    }
    for (size_t g = 0; g < f->n_group; g++) {
        unpack(f, g, 0);
    }
    for (size_t part = 0; part < f->n_part; part++) {
        if (f->n_tile == 1) {
            part_1x4(f, part);
        } else if (f->n_tile == 2) {
            part_2x2(f, part);
        } else {
            part_4x1(f, part);
        }
    }
    EACH_SUM(tile_store, f, y);
}

static void configure(size_t n_tile, size_t last)
{
    const size_t one[] = {last, last, last, last, last, 0}, two[] = {T_ROWS, T_ROWS, last, last, T_ROWS, last};
    const size_t three[] = {T_ROWS, T_ROWS, last, 0, T_ROWS, last};
    const size_t four[] = {T_ROWS, T_ROWS, T_ROWS, last, T_ROWS, last};
    kern_amx_configure(n_tile == 1 ? one : n_tile == 2 ? two : n_tile == 3 ? three : four);
}

void kern_amx_product_few(const struct kern *k, float *y, size_t ldy, const uint16_t *x, size_t ldx,
                          const struct kern_groups *w, size_t n_row, size_t n_k, bool accumulate, void *room)
{
    size_t n_tile = (n_row + T_ROWS - 1) / T_ROWS, most = n_tile == 1 ? GROUPS : n_tile == 2 ? 2 : 1;
    struct few f = {.read = &k->quant[w->type],
                    .ldx = ldx,
                    .ldy = ldy,
                    .n_tile = n_tile,
                    .group_bytes = w->group_bytes,
                    .n_part = n_k / T_K,
                    .x = x,
                    .packed = w->packed,
                    .panel = room};
    configure(n_tile, n_row - (n_tile - 1) * T_ROWS);
    memset(f.panel, 0, 2 * GROUPS * PANEL * sizeof(*f.panel));
    for (size_t g = 0; g < w->n_group; g += f.n_group) {
        size_t left = w->n_group - g;
        f.n_group = left < most ? left : most;
        groups(&f, y + g * T_COLS, accumulate);
        f.packed += f.n_group * w->group_bytes;
    }
    tile_release();
}
#endif
