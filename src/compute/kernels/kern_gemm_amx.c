/* Products in bfloat16 for AMX. Four accumulator tiles (2 x 16 rows of x, 2 groups of 16 columns), so that each loaded
 * tile is used twice; k in chunks of CHUNK so that two panels' chunk stays in the first-level cache, the sums waiting
 * in y between chunks (a float stored and loaded again is the same float). The order of a row's sum is k alone: a tile
 * row never meets another. Tiles: 0..3 sums (rows 0-15 of group 0 and 1, rows 16-31 of group 0 and 1), 4 and 5 the
 * rows of x, 6 and 7 the panels. */
#include "compute/kernels/amx_ops.h"
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)

enum { T_ROWS = 16, T_COLS = 16, T_K = 32, CHUNK = 512 };

/* One product's arguments for one chunk of k, so that the steps have few. */
struct gemm {
    float *y;
    const uint16_t *x, *p;
    size_t ldy, ldx, p_stride, n_k;
    bool accumulate;
};

/* The shapes for a tile row pair that has n0 and n1 rows of x (n1 may be 0). */
static void configure(size_t n0, size_t n1)
{
    struct tile_shapes shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        bool second_rows = t == 2 || t == 3 || t == 5, panel = t >= 6;
        size_t n = panel ? T_K / 2 : (second_rows ? n1 : n0);
        shapes.n_row[t] = (uint8_t)(n ? n : 1); /* a tile that is not used must have a shape all the same */
        shapes.row_bytes[t] = 64;
    }
    tile_config(&shapes);
}

/* 32 rows x 32 columns (n1 == 0: the first 16 rows). */
static void tiles_2x2(const struct gemm *g, size_t r, size_t group, bool rows_2)
{
    size_t y_bytes = g->ldy * sizeof(float), x_bytes = g->ldx * sizeof(uint16_t);
    float *y0 = g->y + r * g->ldy + group * T_COLS, *y1 = y0 + T_ROWS * g->ldy;
    const uint16_t *x0 = g->x + r * g->ldx, *x1 = x0 + T_ROWS * g->ldx;
    const uint16_t *p0 = g->p + group * g->p_stride, *p1 = p0 + g->p_stride;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    if (g->accumulate) {
        tile_load(0, y0, y_bytes);
        tile_load(1, y0 + T_COLS, y_bytes);
    }
    if (g->accumulate && rows_2) {
        tile_load(2, y1, y_bytes);
        tile_load(3, y1 + T_COLS, y_bytes);
    }
    for (size_t k = 0; k < g->n_k; k += T_K) {
        tile_load(6, p0 + k * T_COLS, 64);
        tile_load(4, x0 + k, x_bytes);
        tile_dot_bf16(0, 4, 6);
        tile_load(7, p1 + k * T_COLS, 64);
        tile_dot_bf16(1, 4, 7);
        if (rows_2) {
            tile_load(5, x1 + k, x_bytes);
            tile_dot_bf16(2, 5, 6);
            tile_dot_bf16(3, 5, 7);
        }
    }
    tile_store(0, y0, y_bytes);
    tile_store(1, y0 + T_COLS, y_bytes);
    if (rows_2) {
        tile_store(2, y1, y_bytes);
        tile_store(3, y1 + T_COLS, y_bytes);
    }
}

/* 32 rows x 16 columns: the last group of an odd number. */
static void tiles_2x1(const struct gemm *g, size_t r, size_t group, bool rows_2)
{
    size_t y_bytes = g->ldy * sizeof(float), x_bytes = g->ldx * sizeof(uint16_t);
    float *y0 = g->y + r * g->ldy + group * T_COLS, *y1 = y0 + T_ROWS * g->ldy;
    const uint16_t *x0 = g->x + r * g->ldx, *x1 = x0 + T_ROWS * g->ldx;
    const uint16_t *p0 = g->p + group * g->p_stride;
    tile_zero(0);
    tile_zero(2);
    if (g->accumulate) {
        tile_load(0, y0, y_bytes);
    }
    if (g->accumulate && rows_2) {
        tile_load(2, y1, y_bytes);
    }
    for (size_t k = 0; k < g->n_k; k += T_K) {
        tile_load(6, p0 + k * T_COLS, 64);
        tile_load(4, x0 + k, x_bytes);
        tile_dot_bf16(0, 4, 6);
        if (rows_2) {
            tile_load(5, x1 + k, x_bytes);
            tile_dot_bf16(2, 5, 6);
        }
    }
    tile_store(0, y0, y_bytes);
    if (rows_2) {
        tile_store(2, y1, y_bytes);
    }
}

/* Rows begin .. end in steps of 32; all of them fit the shapes that are configured. */
static void rows(const struct gemm *g, size_t begin, size_t end, size_t n_group, bool rows_2)
{
    for (size_t group = 0; group < n_group; group += 2) {
        for (size_t r = begin; r < end; r += 2 * T_ROWS) {
            if (group + 1 < n_group) {
                tiles_2x2(g, r, group, rows_2);
            } else {
                tiles_2x1(g, r, group, rows_2);
            }
        }
    }
}

/* All of k for rows whose shapes are configured. */
static void chunks(struct gemm g, size_t n_k, size_t begin, size_t end, size_t n_group, bool rows_2)
{
    for (size_t k = 0; k < n_k; k += CHUNK) {
        g.n_k = n_k - k < CHUNK ? n_k - k : CHUNK;
        rows(&g, begin, end, n_group, rows_2);
        g.x += g.n_k;
        g.p += g.n_k * T_COLS;
        g.accumulate = true;
    }
}

static void gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                      size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    struct gemm g = {.y = y, .x = x, .p = p, .ldy = ldy, .ldx = ldx, .p_stride = p_stride, .accumulate = accumulate};
    size_t whole = n_row / (2 * T_ROWS) * (2 * T_ROWS), rest = n_row - whole;
    if (whole > 0) {
        configure(T_ROWS, T_ROWS);
        chunks(g, n_k, 0, whole, n_group, true);
    }
    if (rest > 0) {
        size_t n0 = rest < T_ROWS ? rest : T_ROWS;
        configure(n0, rest - n0);
        chunks(g, n_k, whole, n_row, n_group, rest > n0);
    }
    tile_release();
}

void kern_gemm_fill_amx(struct kern *k)
{
    k->gemm_bf16 = gemm_bf16;
}
#endif
