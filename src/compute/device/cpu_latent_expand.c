/* Attention with a compressed cache for many rows, forward: keys and values of a head are made from the latents, a run
 * of positions at a time, and met by all queries of the item. A row and a position then cost d_nope + n_rot + d_value
 * multiply-adds instead of 2 n_latent + n_rot (320 to 1088 in DeepSeek's shapes); making them costs as many as some 170
 * rows save. Float32 throughout; in PRECISION_AUTO alone, since it depends on the rows of a step.
 *
 * Runs are joined by the log-sum-exp of their scores: no row keeps more scores than those of a run. */
#include "compute/device/cpu_latent_expand.h"

#include <string.h>

#include "compute/kernels/kmath.h"
#include "ground/base/mem.h"

enum {
    MIN_ROWS = 192, /* more than a prompt's share of a step with decoding sequences */
    RUN = 256,      /* positions: latents, keys, values and both panels stay in L2 */
    ROW_BLOCK = 32  /* rows whose scores stand at a time */
};

struct expand {
    const struct attention *p;
    const struct item *it;
    size_t head, n_latent, n_rot, width, d_nope, d_value;
    float *k_panel, *v_panel; /* [n_latent][d_nope], [n_latent][d_value] */
    float *rows, *made;       /* [RUN] latents and keys; [RUN][d_nope] keys before they are turned */
    float *k, *v;             /* [d_nope + n_rot][RUN], [RUN][d_value] */
    float *score;             /* [ROW_BLOCK][RUN] */
    float *lse;               /* [CPU_EXPAND_TOK] of the runs so far */
};

bool cpu_latent_expands(const struct dev *d, const struct dev_latent_heads *h, const struct dev_segment *s)
{
    if (!h || d->opt.precision != PRECISION_AUTO || s->n_tok < MIN_ROWS) {
        return false;
    }
    const struct dev_mat *k_b = dev_stack_at(h->k_b, 0), *v_b = dev_stack_at(h->v_b, 0);
    return k_b->n_in <= k_b->n_out && v_b->n_out <= v_b->n_in; /* they stand where latents would */
}

size_t cpu_latent_expand_bytes(const struct dev_latent_shape *s)
{
    size_t n_latent = (size_t)s->n_latent, n_rot = (size_t)s->n_rot, d_nope = (size_t)s->d_nope,
           d_value = (size_t)s->d_value;
    size_t run = n_latent + n_rot + d_nope + d_nope + n_rot + d_value + ROW_BLOCK;
    return (n_latent * (d_nope + d_value) + RUN * run + CPU_EXPAND_TOK) * sizeof(float) + 8 * 64;
}

static struct expand expand_begin(const struct attention *p, const struct item *it, int worker)
{
    struct carve c = carve_begin(&p->d->worker[worker]);
    const struct dev_mat *k_b = dev_stack_at(p->p->expand->k_b, 0), *v_b = dev_stack_at(p->p->expand->v_b, 0);
    struct expand x = {.p = p,
                       .it = it,
                       .head = (size_t)it->head0,
                       .n_latent = k_b->n_out,
                       .width = (size_t)p->p->d_head,
                       .d_nope = k_b->n_in,
                       .d_value = v_b->n_out};
    x.n_rot = x.width - x.n_latent;
    x.k_panel = carve_take(&c, x.n_latent * x.d_nope * sizeof(float));
    x.v_panel = carve_take(&c, x.n_latent * x.d_value * sizeof(float));
    x.rows = carve_take(&c, RUN * x.width * sizeof(float));
    x.made = carve_take(&c, RUN * x.d_nope * sizeof(float));
    x.k = carve_take(&c, (x.d_nope + x.n_rot) * RUN * sizeof(float));
    x.v = carve_take(&c, RUN * x.d_value * sizeof(float));
    x.score = carve_take(&c, ROW_BLOCK * RUN * sizeof(float));
    x.lse = carve_take(&c, CPU_EXPAND_TOK * sizeof(float));
    return x;
}

/* --- the matrices of a head as panels --- */

/* Value (row, k) of a matrix goes to out[row * row_step + k * k_step]. */
static void put_values(const struct dev *d, const struct dev_mat *m, float *out, size_t row_step, size_t k_step)
{
    float part[KERN_ROWS][KERN_K];
    for (size_t row = 0; row < m->n_out; row += KERN_ROWS) {
        size_t n_row = min_size(KERN_ROWS, m->n_out - row);
        for (size_t k = 0; k < m->n_in; k += KERN_K) {
            size_t n = min_size(KERN_K, m->n_in - k);
            d->kern.quant[m->type].rows(part[0], KERN_K, mat_block(m, row / KERN_ROWS, k), mat_part(m, k));
            for (size_t r = 0; r < n_row; r++) {
                for (size_t i = 0; i < n; i++) {
                    out[(row + r) * row_step + (k + i) * k_step] = part[r][i];
                }
            }
        }
    }
}

/* --- a run --- */

static void take_span(const struct attention *p, const struct item *it, struct work *w, const struct span *at)
{
    (void)it;
    cpu_attention_latent_rows(p, at, w->latent.rows + (size_t)(at->pos - w->base) * (size_t)p->p->d_head);
}

/* to[n_col][RUN] = x[n][ld] turned; 16 positions at a time fill a line. */
static void turn(float *restrict to, const float *restrict x, size_t ld, size_t n, size_t n_col)
{
    for (size_t r = 0; r < n; r += KERN_ROWS) {
        size_t m = min_size(KERN_ROWS, n - r);
        for (size_t c = 0; c < n_col; c++) {
            for (size_t i = 0; i < m; i++) {
                to[c * RUN + r + i] = x[(r + i) * ld + c];
            }
        }
    }
}

/* Keys and values of positions [base, base + n). */
static void make_run(const struct expand *x, int base, size_t n)
{
    struct work w = {.base = base, .end = base + (int)n, .latent = {.rows = x->rows}};
    kern_gemm_fn gemm = x->p->d->kern.gemm_f32;
    cpu_attention_each_span(x->p, x->it, &w, take_span);
    gemm(x->made, x->d_nope, x->rows, x->width, 1, x->k_panel, x->d_nope, n, x->d_nope, x->n_latent, false);
    turn(x->k, x->made, x->d_nope, n, x->d_nope);
    turn(x->k + x->d_nope * RUN, x->rows + x->n_latent, x->width, n, x->n_rot);
    gemm(x->v, x->d_value, x->rows, x->width, 1, x->v_panel, x->d_value, n, x->d_value, x->n_latent, false);
}

/* --- rows and a run --- */

/* Scores of a row's seen positions become weights beside those of the runs before, whose sum shrinks. */
static void weigh(const struct expand *x, size_t row, float *score, size_t n_seen, bool is_first, float *out)
{
    const struct kern *k = &x->p->d->kern;
    float lse = k->softmax(score, n_seen, x->p->p->scale);
    if (is_first) {
        x->lse[row] = lse;
        return;
    }
    float before = x->lse[row], most = before > lse ? before : lse;
    float old = kmath_expf(before - most), now = kmath_expf(lse - most), sum = old + now;
    k->scale(score, now / sum, n_seen);
    k->scale(out, old / sum, x->d_value);
    x->lse[row] = most + kmath_logf(sum);
}

/* Rows [row, row + n_row) of the item with positions [base, base + n), of which the first row sees one at least. */
static void meet(const struct expand *x, size_t row, size_t n_row, int base, size_t n)
{
    const struct attention *p = x->p;
    kern_gemm_fn gemm = p->d->kern.gemm_f32;
    size_t n_head = (size_t)p->p->n_head, ld_q = n_head * x->width, ld_out = n_head * x->n_latent;
    size_t at = (size_t)(x->it->s->first_tok + x->it->tok0) + row;
    const float *q = p->q + at * ld_q + x->head * x->width;
    float *out = p->out + at * ld_out + x->head * x->n_latent;
    int pos = x->it->s->first_pos + x->it->tok0 + (int)row;
    gemm(x->score, RUN, q, ld_q, 1, x->k, RUN, n_row, n, x->d_nope, false);
    gemm(x->score, RUN, q + x->n_latent, ld_q, 1, x->k + x->d_nope * RUN, RUN, n_row, n, x->n_rot, true);
    for (size_t r = 0; r < n_row; r++) {
        size_t n_seen = min_size(n, (size_t)(pos + (int)r + 1 - base));
        float *score = x->score + r * RUN;
        weigh(x, row + r, score, n_seen, base == 0, out + r * ld_out);
        memset(score + n_seen, 0, (n - n_seen) * sizeof(*score));
    }
    gemm(out, ld_out, x->score, RUN, 1, x->v, x->d_value, n_row, x->d_value, n, base > 0);
}

void cpu_latent_attend(const struct attention *p, const struct item *it, int worker)
{
    struct expand x = expand_begin(p, it, worker);
    int first = it->s->first_pos + it->tok0, end = first + it->n_tok;
    put_values(p->d, dev_stack_at(p->p->expand->k_b, x.head), x.k_panel, x.d_nope, 1);
    put_values(p->d, dev_stack_at(p->p->expand->v_b, x.head), x.v_panel, 1, x.d_value);
    for (int base = 0; base < end; base += RUN) {
        size_t n = min_size(RUN, (size_t)(end - base)), n_row = (size_t)it->n_tok;
        make_run(&x, base, n);
        for (size_t row = base > first ? (size_t)(base - first) : 0; row < n_row; row += ROW_BLOCK) {
            meet(&x, row, min_size(ROW_BLOCK, n_row - row), base, n);
        }
    }
}
