/* Products in bfloat16 for AMX, of packed weights with few rows: unpacking is most of the work, and goes on beside the
 * products, AHEAD panels before them; a tile loaded right after its panel was made would, it is supposed, wait until
 * all of it is written. The sums, of all k, stay in tiles: up to 16 rows of four groups, 32 of two, 64 of one. Granite
 * Rapids, Q4_0 from memory, 16 rows: 23 billion weights a second; unpacking alone, within the first-level cache, 35;
 * panels of 256 inputs first and then their products, 17. */
#include <string.h>

#include "compute/kernels/gemm_amx.h"
#if defined(__x86_64__)

enum { PANEL = T_K * T_COLS, AHEAD = 4, MOST_TILES = KERN_AMX_FEW / T_ROWS };

struct few {
    const struct kern_quant *read;
    size_t ldx, ldy, n_row, n_tile, tile_rows, group_bytes, n_part;
    size_t across, n_group; /* groups beside each other, and those that there are */
    size_t ahead;           /* parts, of AHEAD panels */
    size_t first[MOST_TILES];
    const uint16_t *x[MOST_TILES]; /* of a tile of rows */
    const uint8_t *packed;
    uint16_t *panel; /* [AHEAD][T_K][16]: a part of each group, then the next */
};

/* The first row of a tile of rows. Up to three have the same number, so that none is mostly empty (of 33 rows 11 each:
 * 7 to 10 % faster than 16, 16 and 1); the last begins so early that it ends with the last row, and what it has in
 * common with the one before it both compute. Four are whole but for the last, which was faster. */
static size_t first_row(const struct few *f, size_t tile)
{
    return f->n_tile < 4 && tile + 1 == f->n_tile ? f->n_row - f->tile_rows : tile * f->tile_rows;
}

static inline uint16_t *panel_of(const struct few *f, size_t group, size_t part)
{
    return f->panel + (part * f->across + group) % AHEAD * PANEL;
}

static inline void unpack(const struct few *f, size_t group, size_t part)
{
    if (part < f->n_part && group < f->n_group) {
        f->read->panel_bf16(panel_of(f, group, part), f->packed + group * f->group_bytes, part, 1);
    }
}

/* The panel that is AHEAD of this one, of the same group, in whose place it is made. */
static inline void unpack_ahead(const struct few *f, size_t group, size_t part)
{
    unpack(f, group, part + f->ahead);
}

/* One part, 16 rows of four groups; those that are missing are computed from what stands in their panels. */
static void part_1x4(const struct few *f, size_t part)
{
    tile_load(4, f->x[0] + part * T_K, f->ldx * sizeof(uint16_t));
    tile_load(6, panel_of(f, 0, part), 64);
    tile_dot_bf16(0, 4, 6);
    unpack_ahead(f, 0, part);
    tile_load(7, panel_of(f, 1, part), 64);
    tile_dot_bf16(1, 4, 7);
    unpack_ahead(f, 1, part);
    tile_load(6, panel_of(f, 2, part), 64);
    tile_dot_bf16(2, 4, 6);
    unpack_ahead(f, 2, part);
    tile_load(7, panel_of(f, 3, part), 64);
    tile_dot_bf16(3, 4, 7);
    unpack_ahead(f, 3, part);
}

/* Two tiles of rows of two groups. Tiles are zeroed after their last use for what kern_gemm_amx.c says of registers. */
static void part_2x2(const struct few *f, size_t part)
{
    size_t bytes = f->ldx * sizeof(uint16_t);
    tile_load(4, f->x[0] + part * T_K, bytes);
    tile_load(6, panel_of(f, 0, part), 64);
    tile_dot_bf16(0, 4, 6);
    tile_load(7, panel_of(f, 1, part), 64);
    tile_dot_bf16(1, 4, 7);
    tile_zero(4);
    unpack_ahead(f, 0, part);
    tile_load(5, f->x[1] + part * T_K, bytes);
    tile_dot_bf16(2, 5, 6);
    tile_zero(6);
    tile_dot_bf16(3, 5, 7);
    tile_zero(5);
    tile_zero(7);
    unpack_ahead(f, 1, part);
}

/* Three or four of one; the fourth is 5. Six sums, three of two groups, are 2 % faster on a core of one's own and a
 * third slower on a shared one, as they leave too few registers. */
static void part_4x1(const struct few *f, size_t part)
{
    size_t bytes = f->ldx * sizeof(uint16_t);
    tile_load(6, panel_of(f, 0, part), 64);
    tile_load_once(4, f->x[0] + part * T_K, bytes);
    tile_dot_bf16(0, 4, 6);
    tile_zero(4);
    tile_load_once(4, f->x[1] + part * T_K, bytes);
    tile_dot_bf16(1, 4, 6);
    tile_zero(4);
    tile_load_once(4, f->x[2] + part * T_K, bytes);
    tile_dot_bf16(2, 4, 6);
    tile_zero(4);
    if (f->n_tile == 4) {
        tile_load_once(5, f->x[3] + part * T_K, bytes);
        tile_dot_bf16(3, 5, 6);
        tile_zero(5);
    }
    tile_zero(6);
    unpack_ahead(f, 0, part);
}

/* Groups whose sums fit beside each other, of 1 to 4 tiles of rows. */
static size_t groups_across(size_t n_tile)
{
    return n_tile == 1 ? 4 : (n_tile == 2 ? 2 : 1);
}

/* Where the sums of a tile stand in y; NULL: it has none. */
static float *sums_of(const struct few *f, float *y, size_t tile)
{
    size_t row = tile / f->across, group = tile % f->across;
    return row < f->n_tile && group < f->n_group ? y + f->first[row] * f->ldy + group * T_COLS : NULL;
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
    for (size_t i = 0; i < AHEAD; i++) {
        unpack(f, i % f->across, i / f->across);
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

/* The shapes: sums in 0 to 3, rows of x in 4 and 5, panels in 6 and 7. */
static void configure(const struct few *f)
{
    size_t rows = f->tile_rows, last = f->n_tile == 4 ? f->n_row - 3 * rows : rows;
    const size_t n_row[] = {rows, rows, rows, last, rows, last, T_K / 2, T_K / 2};
    kern_amx_configure(n_row);
}

void kern_amx_product_few(const struct kern *k, float *y, size_t ldy, const uint16_t *x, size_t ldx,
                          const struct kern_groups *w, size_t n_row, size_t n_k, bool accumulate, void *room)
{
    size_t n_tile = (n_row + T_ROWS - 1) / T_ROWS;
    struct few f = {.read = &k->quant[w->type],
                    .ldx = ldx,
                    .ldy = ldy,
                    .n_row = n_row,
                    .n_tile = n_tile,
                    .tile_rows = n_tile == 4 ? T_ROWS : (n_row + n_tile - 1) / n_tile,
                    .group_bytes = w->group_bytes,
                    .n_part = n_k / T_K,
                    .across = groups_across(n_tile),
                    .ahead = AHEAD / groups_across(n_tile),
                    .packed = w->packed,
                    .panel = room};
    for (size_t t = 0; t < n_tile; t++) {
        f.first[t] = first_row(&f, t);
        f.x[t] = x + f.first[t] * ldx;
    }
    configure(&f);
    memset(f.panel, 0, AHEAD * PANEL * sizeof(*f.panel));
    for (size_t g = 0; g < w->n_group; g += f.n_group) {
        size_t left = w->n_group - g;
        f.n_group = left < f.across ? left : f.across;
        groups(&f, y + g * T_COLS, accumulate);
        f.packed += f.n_group * w->group_bytes;
    }
    tile_release();
}
#endif
