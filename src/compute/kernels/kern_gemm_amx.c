/* Products in bfloat16 for AMX. Four accumulator tiles (2 x 16 rows of x, 2 groups of 16 columns), so that each loaded
 * tile is used twice; k in chunks of CHUNK so that two panels' chunk stays in the first-level cache while the rows of x
 * pass by it (which is what tile_load_once says), the sums waiting in y between chunks (a float stored and loaded again
 * is the same float). The order of a row's sum is k alone: a tile row never meets another. Tiles: 0..3 sums (rows 0-15
 * of group 0 and 1, rows 16-31 of group 0 and 1), 4 and 5 the rows of x, 6 and 7 the panels.
 *
 * A tile product takes the tile unit 16 cycles and an instruction of the core one, so that there is room beside it for
 * unpacking: product_bf16 makes the panels of the next two groups in the steps of those in hand. Granite Rapids, Q4_0,
 * 256 rows, before float16 unpacked: 3.1 TFLOPS one after the other, 3.9 like this, of 4.3 without unpacking. */
#include "compute/kernels/gemm_amx.h"
#include "compute/kernels/kern_int.h"
#if defined(__x86_64__)

enum { CHUNK = 512 };
_Static_assert(KERN_PRODUCT_ROOM >= 2 * 2 * CHUNK * T_COLS * sizeof(uint16_t), "two pairs of panels");

/* Panels in the making, of up to two groups: [2][CHUNK][16]. */
struct unpack {
    void (*part)(uint16_t *panel, const void *packed, size_t part, size_t n_part);
    uint16_t *panel;
    const uint8_t *packed[2];
    size_t n_group;
    size_t done, n; /* parts */
    size_t n_step;  /* of them to do in a step of k */
};

/* One product's arguments for one chunk of k, so that the steps have few. */
struct gemm {
    float *y;
    const uint16_t *x, *p;
    size_t ldy, ldx, p_stride, n_k;
    bool accumulate;
    struct unpack *beside; /* NULL: nothing */
};

/* The shapes for a tile row pair that has n0 and n1 rows of x (n1 may be 0). */
static void configure(size_t n0, size_t n1)
{
    const size_t n_row[] = {n0, n0, n1, n1, n0, n1, T_K / 2, T_K / 2};
    kern_amx_configure(n_row);
}

/* The next n parts: of one group, then the same of the other. */
static inline void unpack_some(struct unpack *u, size_t n)
{
    for (; n > 0 && u->done < u->n; n--, u->done++) {
        size_t group = u->n_group == 2 ? u->done % 2 : 0, part = u->n_group == 2 ? u->done / 2 : u->done;
        u->part(u->panel + (group * CHUNK + part * T_K) * T_COLS, u->packed[group], part, 1);
    }
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
        tile_load_once(0, y0, y_bytes);
        tile_load_once(1, y0 + T_COLS, y_bytes);
    }
    if (g->accumulate && rows_2) {
        tile_load_once(2, y1, y_bytes);
        tile_load_once(3, y1 + T_COLS, y_bytes);
    }
    for (size_t k = 0; k < g->n_k; k += T_K) {
        tile_load(6, p0 + k * T_COLS, 64);
        tile_load_once(4, x0 + k, x_bytes);
        tile_dot_bf16(0, 4, 6);
        tile_load(7, p1 + k * T_COLS, 64);
        tile_dot_bf16(1, 4, 7);
        if (rows_2) {
            tile_load_once(5, x1 + k, x_bytes);
            tile_dot_bf16(2, 5, 6);
            tile_dot_bf16(3, 5, 7);
        }
        if (g->beside) {
            unpack_some(g->beside, g->beside->n_step);
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
        tile_load_once(0, y0, y_bytes);
    }
    if (g->accumulate && rows_2) {
        tile_load_once(2, y1, y_bytes);
    }
    for (size_t k = 0; k < g->n_k; k += T_K) {
        tile_load(6, p0 + k * T_COLS, 64);
        tile_load_once(4, x0 + k, x_bytes);
        tile_dot_bf16(0, 4, 6);
        if (rows_2) {
            tile_load_once(5, x1 + k, x_bytes);
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

/* All rows, those that do not fill tiles in smaller ones. */
static void all_rows(struct gemm g, size_t n_k, size_t n_row, size_t n_group)
{
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
}

static void gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                      size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    struct gemm g = {.y = y, .x = x, .p = p, .ldy = ldy, .ldx = ldx, .p_stride = p_stride, .accumulate = accumulate};
    all_rows(g, n_k, n_row, n_group);
    tile_release();
}

/* --- with packed weights --- */

/* Two groups (the last: one) of a chunk of k. */
struct place {
    size_t group, k;
};

static struct place place_after(struct place p, size_t n_group)
{
    return p.group + 2 < n_group ? (struct place){p.group + 2, p.k} : (struct place){0, p.k + CHUNK};
}

/* The panels of a place, to be unpacked in `n_step` quarters a step of k. */
static void unpack_begin(struct unpack *u, const struct kern_groups *w, struct place at, size_t n_k)
{
    const struct quant *q = quants[w->type];
    size_t n_part = (n_k - at.k < CHUNK ? n_k - at.k : CHUNK) / T_K;
    const uint8_t *packed = w->packed + at.group * w->group_bytes + at.k / (size_t)q->packed_k * q->packed_bytes;
    u->n_group = w->n_group - at.group < 2 ? 1 : 2;
    u->packed[0] = packed;
    u->packed[1] = packed + w->group_bytes;
    u->done = 0;
    u->n = u->n_group * n_part;
}

static void product_bf16(const struct kern *k, float *y, size_t ldy, const uint16_t *x, size_t ldx,
                         const struct kern_groups *w, size_t n_row, size_t n_k, bool accumulate, void *room)
{
    size_t n_tile = (n_row + 2 * T_ROWS - 1) / (2 * T_ROWS);
    if (n_row <= KERN_AMX_FEW) {
        kern_amx_product_few(k, y, ldy, x, ldx, w, n_row, n_k, accumulate, room);
        return;
    }
    struct unpack next = {.part = k->quant[w->type].panel_bf16, .panel = room, .n_step = (2 + n_tile - 1) / n_tile};
    struct gemm g = {.ldy = ldy, .ldx = ldx, .p_stride = CHUNK * T_COLS, .beside = &next};
    uint16_t *other = next.panel + 2 * CHUNK * T_COLS;
    struct place at = {0, 0};
    unpack_begin(&next, w, at, n_k);
    unpack_some(&next, next.n);
    while (at.k < n_k) {
        struct place after = place_after(at, w->n_group);
        size_t n_group = next.n_group, n = n_k - at.k < CHUNK ? n_k - at.k : CHUNK;
        g.p = next.panel;
        next.panel = other;
        other = (uint16_t *)(uintptr_t)g.p;
        next.n = next.done = 0;
        if (after.k < n_k) {
            unpack_begin(&next, w, after, n_k);
        }
        g.y = y + at.group * T_COLS;
        g.x = x + at.k;
        g.accumulate = accumulate || at.k > 0;
        all_rows(g, n, n_row, n_group);
        unpack_some(&next, next.n);
        at = after;
    }
    tile_release();
}

/* One more tile of rows. Of the rate at 16, 32, 48 and 64 rows Emerald Rapids has, 0.5B Q4_0 and SmolLM2, at 17 to 20
 * 0.89, 0.95, 1.00, 1.06 and 0.94, 0.99, 1.01, 1.09, at 33, 35, 37, 38 0.96, 0.99, 0.98, 1.02 and 0.96, 0.99, 0.95,
 * 1.01, but while a neighbour has half of the core at 38, 42, 46 0.87, 0.93, 0.98 and 0.91, 0.98, 1.02, at 49, 52, 54,
 * 56 0.92, 0.96, 0.98, 0.99 and 1.03, 1.05, 1.09, 1.12, at 65, 80, 96, 112, 128, 160 0.73, 0.85, 0.94, 0.96, 0.94, 1.00
 * and 0.79, 0.87, 0.93, 0.95 (to 112). */
void kern_gemm_fill_amx(struct kern *k)
{
    static const struct kern_slow slow[] = {{17, 19}, {33, 45}, {49, 55}, {KERN_AMX_FEW + 1, 127}, {0}};
    k->slow_bf16 = slow;
    k->gemm_bf16 = gemm_bf16;
    k->product_bf16 = product_bf16;
}
#endif
