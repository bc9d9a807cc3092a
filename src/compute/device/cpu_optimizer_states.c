/* Optimizers with less state than AdamW in float32: moments of 8 bits, one moment (Lion), means of rows and columns
 * (Adafactor). Plain arithmetic with IEEE roots alone: the same bits on every instruction set and number of threads. */
#include <math.h>
#include <string.h>

#include "compute/device/cpu_int.h"

/* --- AdamW with codes --- */

struct coded {
    struct dev *d;
    float *p;
    const float *g;
    const struct dev_codes *c;
    const struct dev_adamw *opt;
    size_t n;
};

/* A number from 0 to 1 that depends on where it is asked for (Steele et al. 2014, the finalizer of SplitMix). */
static float chance(const struct dev_codes *c, uint64_t place)
{
    uint64_t x = (c->seed ^ c->step * UINT64_C(0x9e3779b97f4a7c15)) + place * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (float)((x ^ x >> 31) >> 40) * 0x1p-24f;
}

static float largest(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) max = fabsf(x[i]) > max ? fabsf(x[i]) : max;
    return max;
}

/* Of the codes lo and lo + 1, which mean these values, the one that x becomes. */
static int pick_code(int lo, float lo_value, float x, float hi_value, float draw)
{
    return lo + (draw < (x - lo_value) / (hi_value - lo_value));
}

static float cube_of(int code, int max)
{
    float t = (float)code / (float)max;
    return t * t * t;
}

static float sixth_of(int code, int max)
{
    float t = cube_of(code, max);
    return t * t;
}

/* About the cube root of x, 0 <= x <= 1: a third of the exponent, then one step of Newton's. */
static float about_cbrt(float x)
{
    uint32_t bits;
    float t;
    memcpy(&bits, &x, sizeof(bits));
    bits = bits / 3 + 709921077u;
    memcpy(&t, &bits, sizeof(t));
    return t - (t * t * t - x) / (3 * t * t);
}

/* The highest code below max whose value is not above x, from a guess of its root. */
static int code_below(float (*value_of)(int code, int max), float x, float root, int max)
{
    int lo = root > 0 && root < 1 ? (int)(root * (float)max) : 0;
    while (lo > 0 && value_of(lo, max) > x) lo--;
    while (lo < max - 1 && value_of(lo + 1, max) <= x) lo++;
    return lo;
}

enum { M_MAX = 127, V_MAX = 255 };

static void decode(const struct dev_codes *c, size_t at, size_t n, float *m, float *v)
{
    float ms = c->m_scale[at / DEV_CODE_BLOCK], vs = c->v_scale[at / DEV_CODE_BLOCK];
    for (size_t i = 0; i < n; i++) {
        int code = (int8_t)c->m[at + i];
        m[i] = code < 0 ? -ms * cube_of(-code, M_MAX) : ms * cube_of(code, M_MAX);
        v[i] = vs * sixth_of(c->v[at + i], V_MAX);
    }
}

static void encode(const struct dev_codes *c, size_t at, size_t n, const float *m, const float *v)
{
    float ms = largest(m, n), vs = largest(v, n);
    c->m_scale[at / DEV_CODE_BLOCK] = ms;
    c->v_scale[at / DEV_CODE_BLOCK] = vs;
    for (size_t i = 0; i < n; i++) {
        float x = ms > 0 ? fabsf(m[i]) / ms : 0, y = vs > 0 ? v[i] / vs : 0;
        int lo = code_below(cube_of, x, about_cbrt(x), M_MAX),
            lov = code_below(sixth_of, y, about_cbrt(sqrtf(y)), V_MAX);
        int code = pick_code(lo, cube_of(lo, M_MAX), x, cube_of(lo + 1, M_MAX), chance(c, 2 * (at + i)));
        int code_v = pick_code(lov, sixth_of(lov, V_MAX), y, sixth_of(lov + 1, V_MAX), chance(c, 2 * (at + i) + 1));
        c->m[at + i] = (uint8_t)(int8_t)(m[i] < 0 ? -code : code);
        /* never 0 for what is not: the change would be divided by nothing */
        c->v[at + i] = (uint8_t)(code_v == 0 && y > 0 ? 1 : code_v);
    }
}

static void coded_worker(void *arg, int worker, int n_worker)
{
    const struct coded *w = arg;
    const struct dev_adamw *o = w->opt;
    float m[DEV_CODE_BLOCK], v[DEV_CODE_BLOCK];
    size_t begin, end;
    pool_share(w->n, DEV_CODE_BLOCK, worker, n_worker, &begin, &end);
    for (size_t at = begin; at < end; at += DEV_CODE_BLOCK) {
        size_t n = end - at < DEV_CODE_BLOCK ? end - at : DEV_CODE_BLOCK;
        decode(w->c, at, n, m, v);
        w->d->kern.adamw(w->p + at, m, v, w->g + at, n, o->lr, o->b1, o->b2, o->eps, o->decay, o->c1, o->c2);
        encode(w->c, at, n, m, v);
    }
}

void dev_adamw8(struct dev *d, float *p, const struct dev_codes *c, const float *g, size_t n,
                const struct dev_adamw *opt)
{
    struct coded w = {d, p, g, c, opt, n};
    pool_run(d->pool, coded_worker, &w);
}

/* --- Lion --- */

struct lion {
    float *p, *m;
    const float *g;
    const struct dev_adamw *opt;
    size_t n;
};

static void lion_worker(void *arg, int worker, int n_worker)
{
    const struct lion *w = arg;
    const struct dev_adamw *o = w->opt;
    size_t begin, end;
    pool_share(w->n, 4096, worker, n_worker, &begin, &end);
    for (size_t i = begin; i < end; i++) {
        float u = o->b1 * w->m[i] + (1 - o->b1) * w->g[i];
        float sign = (float)((u > 0) - (u < 0));
        w->p[i] -= o->lr * (sign + o->decay * w->p[i]);
        w->m[i] = o->b2 * w->m[i] + (1 - o->b2) * w->g[i];
    }
}

void dev_lion(struct dev *d, float *p, float *m, const float *g, size_t n, const struct dev_adamw *opt)
{
    struct lion w = {p, m, g, opt, n};
    pool_run(d->pool, lion_worker, &w);
}

/* --- Adafactor --- */

struct factored {
    float *p, *row, *col;
    const float *g;
    size_t n_row, n_col;
    const struct dev_adafactor *opt;
    double *sum;        /* [n_row] squares of the changes of a row */
    float mean, shrink; /* of row; what changes are multiplied by */
};

/* Means over a row, sums in order; of a vector the square itself. */
static void row_means(void *arg, int worker, int n_worker)
{
    const struct factored *w = arg;
    size_t begin, end;
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        double sum = 0;
        for (size_t c = 0; c < w->n_col; c++) {
            double g = (double)w->g[r * w->n_col + c];
            sum += g * g + (double)w->opt->floor;
        }
        w->row[r] = w->opt->keep * w->row[r] + (1 - w->opt->keep) * (float)(sum / (double)w->n_col);
    }
}

static void col_means(void *arg, int worker, int n_worker)
{
    const struct factored *w = arg;
    size_t begin, end;
    pool_share(w->n_col, 16, worker, n_worker, &begin, &end);
    for (size_t c = begin; c < end; c++) w->sum[c] = 0;
    for (size_t r = 0; r < w->n_row; r++) {
        for (size_t c = begin; c < end; c++) {
            double g = (double)w->g[r * w->n_col + c];
            w->sum[c] += g * g + (double)w->opt->floor;
        }
    }
    for (size_t c = begin; c < end; c++)
        w->col[c] = w->opt->keep * w->col[c] + (1 - w->opt->keep) * (float)(w->sum[c] / (double)w->n_row);
}

/* The change of a value before it is clipped. */
static float change(const struct factored *w, size_t r, size_t c)
{
    float g = w->g[r * w->n_col + c];
    return w->col != NULL ? g / (sqrtf(w->row[r] / w->mean) * sqrtf(w->col[c])) : g / sqrtf(w->row[r]);
}

static void change_squares(void *arg, int worker, int n_worker)
{
    const struct factored *w = arg;
    size_t begin, end;
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        double sum = 0;
        for (size_t c = 0; c < w->n_col; c++) sum += (double)change(w, r, c) * (double)change(w, r, c);
        w->sum[r] = sum;
    }
}

static void apply_changes(void *arg, int worker, int n_worker)
{
    const struct factored *w = arg;
    size_t begin, end;
    pool_share(w->n_row, 1, worker, n_worker, &begin, &end);
    for (size_t r = begin; r < end; r++) {
        for (size_t c = 0; c < w->n_col; c++) {
            float *p = &w->p[r * w->n_col + c];
            *p -= w->opt->lr * (w->opt->decay * *p + w->shrink * change(w, r, c));
        }
    }
}

void dev_adafactor(struct dev *d, float *p, float *row, float *col, const float *g, size_t n_row, size_t n_col,
                   const struct dev_adafactor *opt, double *scratch)
{
    struct factored w = {p, row, col, g, n_row, n_col, opt, scratch, 0, 1};
    double total = 0;
    pool_run(d->pool, row_means, &w);
    if (col != NULL) pool_run(d->pool, col_means, &w);
    for (size_t r = 0; r < n_row; r++) total += (double)row[r];
    w.mean = (float)(total / (double)n_row);
    pool_run(d->pool, change_squares, &w);
    total = 0;
    for (size_t r = 0; r < n_row; r++) total += scratch[r];
    float rms = (float)sqrt(total / ((double)n_row * (double)n_col));
    w.shrink = rms > opt->clip ? opt->clip / rms : 1;
    pool_run(d->pool, apply_changes, &w);
}
