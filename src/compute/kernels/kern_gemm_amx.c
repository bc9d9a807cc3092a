/* Products in bfloat16 for AMX. Blocks of four sums (2 x 16 rows of x, 2 groups of 16 columns), so that each loaded
 * tile is used twice; k in chunks of CHUNK so that the panels' chunk stays in the first-level cache while the rows of x
 * pass by it (which is what tile_load_once says), the sums waiting in y between chunks (a float stored and loaded again
 * is the same float). The order of a row's sum is k alone: a tile row never meets another. Tiles: 0..3 sums (rows 0-15
 * of group 0 and 1, rows 16-31 of group 0 and 1), 4 and 5 the rows of x, 6 and 7 the panels.
 *
 * What the speed rests on, Emerald Rapids, GFLOPS of a core, Q4_0, 1536 inputs, 256 rows, alone and while another
 * thread runs on the same core: 1,433 and 440 without all of this, 1,697 and 750 with it.
 * - A thread that shares its core behaves as if nine registers stood behind the eight names: with all eight in use a
 *   tile that is written waits for the one before it. Four products and one to four loads take 27, 41, 66 and 109 ns
 *   with five to eight tiles in use, 28 to 36 on a core of one's own. TILEZERO gives a register back, so a tile is
 *   zeroed after its last use.
 * - The sums of a block are stored between the first products of the next one, which else would wait for the stores.
 * - product_bf16 makes a chunk's panels beside the products of its first rows, a few steps ahead. Made beside those of
 *   the chunk before they would take the place of its panels in the cache. */
#include "compute/kernels/gemm_amx.h"
#include "compute/kernels/kern_int.h"
#include "compute/kernels/unroll.h"
#if defined(__x86_64__)

enum { CHUNK = 512, AHEAD = 2 };
_Static_assert(KERN_PRODUCT_ROOM >= 2 * CHUNK * T_COLS * sizeof(uint16_t), "a pair of panels");

/* The panels [2][CHUNK][16] of packed groups, in the making. */
struct unpack {
    void (*part)(uint16_t *panel, const void *packed, size_t part, size_t n_part);
    uint16_t *panel;
    const uint8_t *packed[2];
};

/* Two groups (the last: one) of a chunk of k. */
struct gemm {
    float *y;
    const uint16_t *x, *p;
    size_t ldy, ldx, p_stride, n_k, n_group;
    bool accumulate;
    const struct unpack *unpack; /* what makes p beside the products of the first rows; NULL: it stands */
};

/* The shapes for n_row rows of x: two tiles of rows, whole where there are so many. */
static void configure(size_t n_row)
{
    size_t n0 = n_row < T_ROWS ? n_row : T_ROWS, n1 = n_row < 2 * T_ROWS ? n_row - n0 : T_ROWS;
    const size_t n[] = {n0, n0, n1, n1, n0, n1, T_K / 2, T_K / 2};
    kern_amx_configure(n);
}

/* A part of a panel, if it is one of this chunk. */
static inline void unpack(const struct gemm *g, const struct unpack *u, size_t group, size_t k)
{
    if (u && k < g->n_k && group < g->n_group) {
        u->part(u->panel + (group * CHUNK + k) * T_COLS, u->packed[group], k / T_K, 1);
    }
}

/* A tile whose sums belong at `before` (NULL: nowhere) goes on to those at `at`. */
#define NEXT_SUMS(g, tile, before, at)                                           \
    do {                                                                         \
        if (before) tile_store(tile, before, (g)->ldy * sizeof(float));          \
        tile_zero(tile);                                                         \
        if ((g)->accumulate) tile_load_once(tile, at, (g)->ldy * sizeof(float)); \
    } while (0)

/* The sums of the block after this one, two rows in each of a chunk's steps: they come from the second level, and its
 * first products wait for them (2 to 3 % faster). Inlined, as GCC drops calls that do nothing else. */
ALWAYS_INLINE void ask_next_sums(const struct gemm *g, const float *y, size_t k)
{
    if (g->accumulate) {
        const float *next = y + (2 * T_ROWS + k / T_K * 2) * g->ldy;
        prefetch_near((const char *)next, 2 * T_COLS * sizeof(float), 0);
        prefetch_near((const char *)(next + g->ldy), 2 * T_COLS * sizeof(float), 0);
    }
}

/* The sums of a block's second tile of rows. */
ALWAYS_INLINE void store_second(const struct gemm *g, float *y, bool groups_2)
{
    float *second = y + T_ROWS * g->ldy;
    tile_store(2, second, g->ldy * sizeof(float));
    if (groups_2) tile_store(3, second + T_COLS, g->ldy * sizeof(float));
    tile_zero(2);
    tile_zero(3);
}

/* The block of rows r ...; the tiles hold the sums of one of two tiles of rows at `before`. It has two or one, and two
 * groups or one: constants at each call. Returns where its own sums belong. */
ALWAYS_INLINE float *block(const struct gemm *g, const struct unpack *u, size_t r, float *before, bool rows_2,
                           bool groups_2)
{
    size_t bytes = g->ldx * sizeof(uint16_t), down = T_ROWS * g->ldy;
    float *y = g->y + r * g->ldy;
    const uint16_t *x0 = g->x + r * g->ldx, *x1 = x0 + T_ROWS * g->ldx, *p0 = g->p, *p1 = p0 + g->p_stride;
    for (size_t k = 0; k < g->n_k; k += T_K) {
        tile_load_once(4, x0 + k, bytes);
        tile_load(6, p0 + k * T_COLS, 64);
        if (k == 0) NEXT_SUMS(g, 0, before, y);
        tile_dot_bf16(0, 4, 6);
        if (groups_2) {
            tile_load(7, p1 + k * T_COLS, 64);
            if (k == 0) NEXT_SUMS(g, 1, before ? before + T_COLS : NULL, y + T_COLS);
            tile_dot_bf16(1, 4, 7);
        }
        tile_zero(4);
        ask_next_sums(g, y, k);
        unpack(g, u, 0, k + AHEAD * T_K);
        if (rows_2) {
            tile_load_once(5, x1 + k, bytes);
            if (k == 0) NEXT_SUMS(g, 2, before ? before + down : NULL, y + down);
            tile_dot_bf16(2, 5, 6);
        } else if (k == 0 && before) {
            store_second(g, before, groups_2);
        }
        tile_zero(6);
        if (rows_2 && groups_2) {
            if (k == 0) NEXT_SUMS(g, 3, before ? before + down + T_COLS : NULL, y + down + T_COLS);
            tile_dot_bf16(3, 5, 7);
        }
        tile_zero(5);
        tile_zero(7);
        unpack(g, u, 1, k + AHEAD * T_K);
    }
    return y;
}

/* The sums of the last block. */
ALWAYS_INLINE void store(const struct gemm *g, float *y, bool rows_2, bool groups_2)
{
    tile_store(0, y, g->ldy * sizeof(float));
    if (groups_2) tile_store(1, y + T_COLS, g->ldy * sizeof(float));
    if (rows_2) store_second(g, y, groups_2);
}

/* All rows. The last block begins so early that it is whole: what it has in common with the one before it both compute,
 * from the same sums, as it loads them before the other's second tile of rows is stored. */
ALWAYS_INLINE void blocks(const struct gemm *g, size_t n_row, bool groups_2)
{
    const size_t whole = 2 * T_ROWS;
    size_t r = whole;
    bool rows_2 = n_row > T_ROWS;
    float *before =
        rows_2 ? block(g, g->unpack, 0, NULL, true, groups_2) : block(g, g->unpack, 0, NULL, false, groups_2);
    for (; r + T_ROWS < n_row; r += whole) {
        before = block(g, NULL, r + whole <= n_row ? r : n_row - whole, before, true, groups_2);
    }
    if (r < n_row) {
        before = block(g, NULL, n_row - T_ROWS, before, false, groups_2);
        rows_2 = false;
    }
    store(g, before, rows_2, groups_2);
}

/* Shapes are configured for n_row. */
static void rows(const struct gemm *g, size_t n_row)
{
    if (g->n_group == 2) {
        blocks(g, n_row, true);
    } else {
        blocks(g, n_row, false);
    }
}

static void gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                      size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    struct gemm g = {.ldy = ldy, .ldx = ldx, .p_stride = p_stride};
    configure(n_row);
    for (size_t k = 0; k < n_k; k += CHUNK) {
        g.n_k = n_k - k < CHUNK ? n_k - k : CHUNK;
        g.x = x + k;
        g.accumulate = accumulate || k > 0;
        for (size_t group = 0; group < n_group; group += 2) {
            g.n_group = n_group - group < 2 ? 1 : 2;
            g.p = p + group * p_stride + k * T_COLS;
            g.y = y + group * T_COLS;
            rows(&g, n_row);
        }
    }
    tile_release();
}

/* The parts of a chunk's panels that are wanted before the others are made. */
static void unpack_first(const struct gemm *g)
{
    for (size_t i = 0; i < AHEAD; i++) {
        unpack(g, g->unpack, 0, i * T_K);
        unpack(g, g->unpack, 1, i * T_K);
    }
}

static void product_bf16(const struct kern *k, float *y, size_t ldy, const uint16_t *x, size_t ldx,
                         const struct kern_groups *w, size_t n_row, size_t n_k, bool accumulate, void *room)
{
    if (n_row <= KERN_AMX_FEW) {
        kern_amx_product_few(k, y, ldy, x, ldx, w, n_row, n_k, accumulate, room);
        return;
    }
    const struct quant *q = quants[w->type];
    struct unpack u = {.part = k->quant[w->type].panel_bf16, .panel = room};
    struct gemm g = {.ldy = ldy, .ldx = ldx, .p = room, .p_stride = CHUNK * T_COLS, .unpack = &u};
    configure(n_row);
    for (size_t at = 0; at < n_k; at += CHUNK) {
        g.n_k = n_k - at < CHUNK ? n_k - at : CHUNK;
        g.x = x + at;
        g.accumulate = accumulate || at > 0;
        for (size_t group = 0; group < w->n_group; group += 2) {
            g.n_group = w->n_group - group < 2 ? 1 : 2;
            g.y = y + group * T_COLS;
            u.packed[0] = w->packed + group * w->group_bytes + at / (size_t)q->packed_k * q->packed_bytes;
            u.packed[1] = u.packed[0] + w->group_bytes;
            unpack_first(&g);
            rows(&g, n_row);
        }
    }
    tile_release();
}

/* One more tile of rows. Of the rate at 16, 32, 48, 64, 80 and 96 rows Emerald Rapids has, SmolLM2, 0.5B and 1.5B Q4_0
 * and 1.5B Q4_K_M, at 17 and 18 0.99 to 1.11 and 1.05 to 1.17, at 40, 44 and 46 0.90 to 1.02, 0.91 to 1.07 and 0.98 to
 * 1.08, at 52, 56 and 60 0.93 to 1.03, 0.94 to 1.04 and 1.03 to 1.04, at 65, 72 and 80 0.88 to 0.94, 0.95 to 1.08 and
 * 1.02 to 1.15, at 81, 88 and 92 0.91, 0.97 and 1.01, at 97 and 104 0.92 to 0.95 and 0.97. */
void kern_gemm_fill_amx(struct kern *k)
{
    static const struct kern_slow slow[] = {{17, 17}, {33, 45}, {49, 59}, {65, 79}, {81, 91}, {97, 107}, {0}};
    k->slow_bf16 = slow;
    k->gemm_bf16 = gemm_bf16;
    k->product_bf16 = product_bf16;
}
#endif
