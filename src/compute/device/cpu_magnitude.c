/* Magnitudes of adapters (DoRA): the lengths of the rows of W + scale * B A, without making that matrix. With Q = W
 * A^T, |row o|^2 = |w_o|^2 + 2 scale * b_o . q_o + scale^2 * b_o (A A^T) b_o^T so an update costs a product with as
 * many rows as the rank, and not one with the whole matrix. Sums are in double: the terms may nearly cancel. */
#include <math.h>

#include "compute/device/cpu_int.h"
#include "ground/base/mem.h"

struct magnitude {
    struct dev *d;
    struct dev_lora *l;
};

/* --- squared lengths of the rows of W, once --- */

static void group_squares(const struct dev *d, const struct dev_mat *m, size_t group, double sum[KERN_ROWS])
{
    float part[KERN_ROWS][KERN_K];
    for (size_t k = 0; k < m->n_in; k += KERN_K) {
        size_t n = m->n_in - k < KERN_K ? m->n_in - k : KERN_K;
        d->kern.quant[m->type].rows(part[0], KERN_K, mat_block(m, group, k), mat_part(m, k));
        for (size_t r = 0; r < KERN_ROWS; r++) {
            for (size_t i = 0; i < n; i++) {
                sum[r] += (double)part[r][i] * (double)part[r][i];
            }
        }
    }
}

static void squares_worker(void *arg, int worker, int n_worker)
{
    const struct magnitude *w = arg;
    const struct dev_mat *m = w->l->w;
    size_t begin, end;
    pool_share(m->n_group, 1, worker, n_worker, &begin, &end);
    for (size_t g = begin; g < end; g++) {
        double sum[KERN_ROWS] = {0};
        group_squares(w->d, m, g, sum);
        for (size_t r = 0; r < KERN_ROWS && g * KERN_ROWS + r < m->n_out; r++) {
            w->l->square[g * KERN_ROWS + r] = sum[r];
        }
    }
}

/* --- A A^T --- */

static void pairs_worker(void *arg, int worker, int n_worker)
{
    const struct magnitude *w = arg;
    const struct dev_lora *l = w->l;
    size_t begin, end, rank = (size_t)l->rank;
    pool_share(rank, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        for (size_t s = 0; s < rank; s++) {
            double sum = 0;
            for (size_t i = 0; i < l->n_in; i++) {
                sum += (double)l->a[r * l->n_in + i] * (double)l->a[s * l->n_in + i];
            }
            l->aa[r * rank + s] = sum;
        }
    }
}

/* --- lengths --- */

/* b (A A^T) b^T of one output */
static double own_square(const struct dev_lora *l, const float *b)
{
    size_t rank = (size_t)l->rank;
    double sum = 0;
    for (size_t r = 0; r < rank; r++) {
        double row = 0;
        for (size_t s = 0; s < rank; s++) {
            row += l->aa[r * rank + s] * (double)b[s];
        }
        sum += (double)b[r] * row;
    }
    return sum;
}

/* cross[n_col] = b_o . q_o of output groups [g, g1), rows of A in blocks that fit a tile. */
static void cross_terms(const struct magnitude *w, size_t g, size_t g1, size_t n_col, double *cross, struct carve c)
{
    const struct dev_lora *l = w->l;
    float *tile = carve_take(&c, (size_t)TOK_BLOCK * TILE_COLS * sizeof(float));
    enum cpu_path path = w->d->opt.precision == PRECISION_REFERENCE ? PATH_REF : PATH_F32;
    size_t rank = (size_t)l->rank, col0 = g * KERN_ROWS;
    for (size_t r0 = 0; r0 < rank; r0 += TOK_BLOCK) {
        size_t n = rank - r0 < TOK_BLOCK ? rank - r0 : TOK_BLOCK;
        struct cpu_rows rows = {.x = l->a + r0 * l->n_in, .ldx = l->n_in, .n_row = n};
        cpu_product(w->d, path, l->w, &rows, g, g1, tile, TILE_COLS, false, c);
        for (size_t i = 0; i < n_col; i++) {
            const float *b = l->b + (col0 + i) * rank + r0;
            for (size_t r = 0; r < n; r++) {
                cross[i] += (double)b[r] * (double)tile[r * TILE_COLS + i];
            }
        }
    }
}

static void lengths_worker(void *arg, int worker, int n_worker)
{
    const struct magnitude *w = arg;
    struct dev_lora *l = w->l;
    size_t begin, end;
    double scale = (double)l->scale;
    pool_share(l->w->n_group, TILE_GROUPS, worker, n_worker, &begin, &end);
    for (size_t g = begin, g1; g < end; g = g1) {
        double cross[TILE_COLS] = {0};
        g1 = g + TILE_GROUPS < end ? g + TILE_GROUPS : end;
        size_t col0 = g * KERN_ROWS, n_col = (g1 * KERN_ROWS < l->n_out ? g1 * KERN_ROWS : l->n_out) - col0;
        cross_terms(w, g, g1, n_col, cross, carve_begin(&w->d->worker[worker]));
        for (size_t i = 0; i < n_col; i++) {
            size_t o = col0 + i;
            double own = own_square(l, l->b + o * (size_t)l->rank);
            double square = l->square[o] + 2 * scale * cross[i] + scale * scale * own;
            float norm = (float)sqrt(square > 0 ? square : 0);
            l->norm[o] = norm;
            l->gain[o] = norm > 0 ? l->m[o] / norm : 0; /* a row of zeros stays one */
        }
    }
}

void cpu_magnitude_update(struct dev *d, struct dev_lora *l)
{
    struct magnitude w = {d, l};
    pool_run(d->pool, pairs_worker, &w);
    pool_run(d->pool, lengths_worker, &w);
}

int dev_lora_set_magnitude(struct dev *d, struct dev_lora *l, const struct dev_mat *w, const float *m, struct err *e)
{
    size_t rank = (size_t)l->rank;
    l->square = mem_try_array(l->n_out, sizeof(double));
    l->aa = mem_try_array(rank * rank, sizeof(double));
    if (!l->square || !l->aa) {
        return err_set(e, ERR_NOMEM, NULL, "cannot hold an adapter: out of memory");
    }
    int rc = dev_alloc(d, &l->norm, l->n_out, e);
    rc = rc ? rc : dev_alloc(d, &l->gain, l->n_out, e);
    if (rc) {
        return rc;
    }
    l->w = w;
    l->m = m;
    struct magnitude work = {d, l};
    pool_run(d->pool, squares_worker, &work);
    cpu_magnitude_update(d, l);
    return 0;
}

const float *dev_lora_norms(const struct dev_lora *l)
{
    return l->norm;
}
