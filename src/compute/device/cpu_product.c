/* The matrix product of the CPU device: rows of an input with a tile of output groups, along one of four paths. Which
 * path is taken depends on precision, mode and type (and, in PRECISION_AUTO alone, on the number of rows).
 *
 * Blocking changes no bits: PATH_F32, PATH_BF16 and the int8 paths cut the sum into runs that continue from y;
 * PATH_REF never cuts it. */
#include "compute/device/cpu_int.h"

#include <assert.h>
#include <string.h>

#include "ground/base/mem.h"

enum {
    BF16_PANEL_K = 2 * PANEL_K, /* inputs of a panel of 16-bit values: as many bytes as one of floats */
    BF16_MIN_FLOAT = 12,        /* with fewer rows weights that are floats are faster read as they stand */
    TILE_MIN_TRAIN = 8,         /* fewer rows leave tiles empty */
    SEVERAL_ROWS = 24,          /* the path of these is that of all steps whose kernels change with their rows */
    BESIDE_TAKES = 2,           /* parts a worker takes where panels are made beside the products */
    PAIR_MIN_ROWS = 64,         /* bf16 without tiles against PATH_Q16, see below */
    WIDE_PANEL_ROWS = 16,       /* rows that are worth putting panels of floats beside each other */
    ROW_BLOCK = 60,             /* rows of a panel product, whole tiles: 60 x 512 floats = 120 KiB beside the panel */
    Q8_RUN_MIN_K = 512,         /* least inputs of a run */
    TAKE_BYTES = 128 << 10,     /* of a part that a worker takes, when rows are few, */
    TAKES = 8                   /* and such parts a worker, when they are many */
};

_Static_assert(PANEL_K % QUANT_K == 0, "a panel is cut where packed blocks end");

static bool is_float(enum quant_type t)
{
    return t == QUANT_F32 || t == QUANT_F16 || t == QUANT_BF16;
}

/* Without tiles (Zen 5, Q4_1 1536 x 576, GFLOPS a core) the bf16 product goes from 52 at one row to 503 at 256, twice
 * float32 (25 to 233) at any number of rows; int8 activations give 393 to 675, and two products with them, joined
 * afterwards, gave 259 to 331. PATH_Q16 joins them before they become floats, a third faster
 * where both were measured (Emerald Rapids); a quarter of two bytes costs it a fifth and stays with it. More than that,
 * as the head of 0.5B has, is faster with it up to about PAIR_MIN_ROWS (Zen 4, tokens a second of as many sequences: 23
 * to 31 from 372 to 408 with bf16, 410 to 440 with PATH_Q16; 48 rows 421 and 427; 64 rows 430 and 423). */
static bool bf16_wins(const struct dev *d, enum dev_mode mode, enum quant_type type, int fine, size_t n_row)
{
    if (d->kern.gemm_bf16 == NULL || d->kern.quant[type].panel_bf16 == NULL) {
        return false;
    }
    bool tiles = d->kern.isa == KERN_AMX;
    if (mode == DEV_TRAIN) {
        return !tiles || n_row >= TILE_MIN_TRAIN;
    }
    if (is_float(type)) {
        return n_row >= BF16_MIN_FLOAT;
    }
    return tiles ? n_row >= d->kern.bf16_min_rows[fine != FINE_NONE] : fine > FINE_QUARTER && n_row >= PAIR_MIN_ROWS;
}

enum cpu_path cpu_path_choose(const struct dev *d, enum dev_mode mode, enum quant_type type, int fine, size_t n_row)
{
    if (d->opt.precision == PRECISION_REFERENCE) {
        return PATH_REF;
    }
    if (type == QUANT_F32) {
        return PATH_F32;
    }
    if (d->opt.precision == PRECISION_AUTO && bf16_wins(d, mode, type, fine, n_row)) {
        return PATH_BF16;
    }
    if (is_float(type) || mode == DEV_TRAIN) {
        return PATH_F32;
    }
    return fine == FINE_NONE ? PATH_Q8 : PATH_Q16;
}

const struct kern_slow *dev_slow_rows(const struct dev *d, enum quant_type type, int fine)
{
    static const struct kern_slow none[1];
    switch (cpu_path_choose(d, DEV_SERVE, type, fine, SEVERAL_ROWS)) {
    case PATH_BF16:
        return d->kern.slow_bf16;
    case PATH_F32:
        return d->kern.slow_f32;
    case PATH_Q8:
    case PATH_Q16:
        return d->kern.slow_q8;
    default:
        return none;
    }
}

/* Panels are made beside the products. */
static bool is_beside(const struct dev *d, enum cpu_path path)
{
    return path == PATH_BF16 && d->kern.product_bf16;
}

size_t cpu_most_groups(const struct dev *d, enum cpu_path path)
{
    return is_beside(d, path) ? BESIDE_GROUPS : TILE_GROUPS;
}

/* Few rows are a matter of reading the weights, and workers do not read at the same pace: the last part that one takes
 * is what the others wait for. 1.5B, Q4_0, the projection back of one row: 20.8 GB/s in parts of 645 KB, 22.7 in those
 * of 161, of a floor of 24. Many rows with the 36 groups of SmolLM2 in parts of 8 left a worker asleep for a sixth of
 * the time beside one that was a little slower. Products of floats want panels side by side; tiles want so many that
 * the rows, which do not stay in L2 when inputs are long, come by seldom. */
size_t cpu_take_groups(const struct dev *d, enum cpu_path path, size_t n_group, size_t group_bytes, size_t n_row)
{
    size_t few = TAKE_BYTES / group_bytes, share = n_group / (size_t)pool_size(d->pool);
    size_t many = share / (is_beside(d, path) ? BESIDE_TAKES : TAKES);
    size_t n = (n_row > FEW_ROWS ? many : few) / 2 * 2, most = cpu_most_groups(d, path);
    if (path == PATH_F32 && n_row > FEW_ROWS) {
        n = round_up(n, d->kern.gemm_cols / KERN_ROWS);
    }
    return n > most ? most : (n < 2 ? 2 : n);
}

size_t cpu_product_bytes(size_t n_in)
{
    size_t whole = round_up(n_in, KERN_K) * KERN_ROWS * sizeof(float);
    size_t tile = (size_t)(TILE_COLS + KERN_ROWS) * PANEL_K * sizeof(float);
    return whole > tile ? whole : tile;
}

/* Packed blocks that hold n_k inputs, from the first of one. */
static size_t n_packed(const struct dev_mat *m, size_t n_k)
{
    size_t packed_k = (size_t)quants[m->type]->packed_k;
    return (n_k + packed_k - 1) / packed_k;
}

/* Aligned memory of ours, seen as floats: packed QUANT_F32 blocks are the panel. */
static const float *as_floats(const uint8_t *p)
{
    return (const float *)(const void *)p;
}

static void product_ref(const struct dev *d, const struct dev_mat *m, const struct cpu_rows *x, size_t g0, size_t g1,
                        float *y, size_t ldy, float *panel)
{
    for (size_t g = g0; g < g1; g++) {
        const float *p = panel;
        if (m->type == QUANT_F32) {
            p = as_floats(mat_block(m, g, 0));
        } else {
            d->kern.quant[m->type].panel(panel, mat_block(m, g, 0), m->n_block);
        }
        d->kern.gemm_ref(y + (g - g0) * KERN_ROWS, ldy, x->x, x->ldx, 1, p, KERN_ROWS, x->n_row, KERN_ROWS, m->n_in,
                         false);
    }
}

/* Inputs [k0, k0 + n_k) of a group as floats [n_k][16]: in `room`, or where they are floats already. */
static const float *panel_f32(const struct dev *d, const struct dev_mat *m, size_t g, size_t k0, size_t n_k,
                              float *room)
{
    if (m->type == QUANT_F32) {
        return as_floats(mat_block(m, g, k0));
    }
    d->kern.quant[m->type].panel(room, mat_block(m, g, k0), n_packed(m, n_k));
    return room;
}

/* Of groups [g, g + n) beside each other, [n_k][16 n]; one: room for one of them. */
static const float *panels_f32(const struct dev *d, const struct dev_mat *m, size_t g, size_t n, size_t k0, size_t n_k,
                               float *room, float *one)
{
    if (n == 1) {
        return panel_f32(d, m, g, k0, n_k, room);
    }
    for (size_t i = 0; i < n; i++) {
        const float *from = panel_f32(d, m, g + i, k0, n_k, one);
        for (size_t k = 0; k < n_k; k++) {
            memcpy(room + (n * k + i) * KERN_ROWS, from + k * KERN_ROWS, KERN_ROWS * sizeof(*room));
        }
    }
    return room;
}

/* Inputs [k0, k0 + n_k) of groups [g0, g1): panels of PANEL_K inputs, one after the other; then all rows. For many rows
 * groups stand beside each other, since an input that is loaded then serves more outputs. */
static void product_f32_part(const struct dev *d, const struct dev_mat *m, const struct cpu_rows *x, size_t g0,
                             size_t g1, size_t k0, size_t n_k, float *y, size_t ldy, float *panel)
{
    const float *p[TILE_GROUPS];
    float *one = panel + (size_t)TILE_COLS * PANEL_K;
    size_t step = x->n_row < WIDE_PANEL_ROWS ? 1 : d->kern.gemm_cols / KERN_ROWS;
    for (size_t g = g0; g < g1; g += step) {
        float *room = panel + (g - g0) * PANEL_K * KERN_ROWS;
        p[g - g0] = panels_f32(d, m, g, min_size(step, g1 - g), k0, n_k, room, one);
    }
    for (size_t r = 0; r < x->n_row; r += ROW_BLOCK) {
        for (size_t g = g0; g < g1; g += step) {
            size_t n_col = min_size(step, g1 - g) * KERN_ROWS;
            d->kern.gemm_f32(y + r * ldy + (g - g0) * KERN_ROWS, ldy, x->x + r * x->ldx + k0, x->ldx, 1, p[g - g0],
                             n_col, min_size(x->n_row - r, ROW_BLOCK), n_col, n_k, k0 > 0);
        }
    }
}

static void product_bf16_part(const struct dev *d, const struct dev_mat *m, const struct cpu_rows *x, size_t g0,
                              size_t g1, size_t k0, size_t n_k, float *y, size_t ldy, bool add, uint16_t *panel)
{
    n_k = round_up(n_k, KERN_K);
    for (size_t g = g0; g < g1; g++) {
        d->kern.quant[m->type].panel_bf16(panel + (g - g0) * BF16_PANEL_K * KERN_ROWS, mat_block(m, g, k0), 0,
                                          n_k / KERN_K);
    }
    d->kern.gemm_bf16(y, ldy, x->bf16 + k0, x->ld_bf16, panel, BF16_PANEL_K * KERN_ROWS, x->n_row, g1 - g0, n_k, add);
}

static void product_bf16(const struct dev *d, const struct dev_mat *m, const struct cpu_rows *x, size_t g0, size_t g1,
                         float *y, size_t ldy, bool add, void *panel)
{
    if (is_beside(d, PATH_BF16)) {
        struct kern_groups w = {m->type, mat_block(m, g0, 0), m->group_bytes, g1 - g0};
        d->kern.product_bf16(&d->kern, y, ldy, x->bf16, x->ld_bf16, &w, x->n_row, round_up(m->n_in, KERN_K), add,
                             panel);
        return;
    }
    for (size_t k0 = 0; k0 < m->n_in; k0 += BF16_PANEL_K) {
        size_t n_k = min_size(m->n_in - k0, BF16_PANEL_K);
        product_bf16_part(d, m, x, g0, g1, k0, n_k, y, ldy, add || k0 > 0, panel);
    }
}

/* Rows of the int8 form with groups [g0, g1), into y. A run of their inputs stays in a cache for all groups. */
static void product_q8_rows(const struct dev *d, const struct dev_mat *m, const struct q8_rows *q8, size_t n_row,
                            size_t g0, size_t g1, float *y, size_t ldy)
{
    size_t step = d->kern.q8_run_bytes / q8_bytes(q8) / n_row / Q8_RUN_MIN_K * Q8_RUN_MIN_K;
    step = step < Q8_RUN_MIN_K ? Q8_RUN_MIN_K : step;
    for (size_t k = 0; k < m->n_in; k += step) {
        size_t n_k = m->n_in - k < step ? m->n_in - k : step;
        struct q8_rows x = q8_rows_from(q8, 0, k);
        d->kern.quant[m->type].gemm_q8(y, ldy, mat_block(m, g0, k), m->group_bytes, g1 - g0, &x, n_row,
                                       n_packed(m, n_k), k > 0);
    }
}

static void product_q8(const struct dev *d, const struct dev_mat *m, const struct q8_rows *x, size_t n_row, size_t g0,
                       size_t g1, float *y, size_t ldy)
{
    size_t step = x->wide ? d->kern.q8_rows : d->kern.q8_rows / q8_bytes(x);
    for (size_t r = 0; r < n_row; r += step) {
        struct q8_rows part = q8_rows_from(x, r, 0);
        product_q8_rows(d, m, &part, n_row - r < step ? n_row - r : step, g0, g1, y + r * ldy, ldy);
    }
}

void cpu_product(const struct dev *d, enum cpu_path path, const struct dev_mat *m, const struct cpu_rows *x, size_t g0,
                 size_t g1, float *y, size_t ldy, bool add, struct carve c)
{
    assert(g1 - g0 <= cpu_most_groups(d, path) && (!add || path == PATH_BF16));
    if (path == PATH_Q8 || path == PATH_Q16) {
        product_q8(d, m, path == PATH_Q16 ? &x->q16 : &x->q8, x->n_row, g0, g1, y, ldy);
        return;
    }
    void *panel = carve_take(&c, cpu_product_bytes(m->n_in));
    if (path == PATH_REF) {
        product_ref(d, m, x, g0, g1, y, ldy, panel);
        return;
    }
    if (path == PATH_BF16) {
        product_bf16(d, m, x, g0, g1, y, ldy, add, panel);
        return;
    }
    if (x->n_row <= d->kern.gemm_few_rows && d->kern.quant[m->type].gemm_few) {
        d->kern.quant[m->type].gemm_few(y, ldy, x->x, x->ldx, mat_block(m, g0, 0), m->group_bytes, g1 - g0, x->n_row,
                                        m->n_in);
        return;
    }
    for (size_t k0 = 0; k0 < m->n_in; k0 += PANEL_K) {
        product_f32_part(d, m, x, g0, g1, k0, min_size(m->n_in - k0, PANEL_K), y, ldy, panel);
    }
}
