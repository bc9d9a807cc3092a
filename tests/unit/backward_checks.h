/* What the tests of backward operations share: a device on every path, matrices with adapters on the device and in
 * double precision, and the comparison with finite differences. */
#ifndef TESTS_BACKWARD_CHECKS_H
#define TESTS_BACKWARD_CHECKS_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compute/device/cpu_int.h"
#include "compute/device/device.h"
#include "ground/base/attr.h"
#include "ground/base/rng.h"
#include "levels.h"
#include "random_weights.h"

/* Sanitized, the fast precision stands for all of them too, and some variants and numbers for the others. */
#if defined(__SANITIZE_ADDRESS__)
enum { FIRST_PRECISION = 1, STEP = 5, N_SAMPLE = 30 };
#else
enum { FIRST_PRECISION = 0, STEP = 1, N_SAMPLE = 150 };
#endif

enum {
    SEED = 41,
    N_EMBD = 64,
    N_HEAD = 4,
    N_KV = 2,
    D_HEAD = 8,
    N_Q = N_HEAD * D_HEAD,
    N_KV_DIM = N_KV * D_HEAD,
    RANK = 3
};
static const float lora_scale = 0.75f, eps = 1e-5f;

/* --- arrays --- */

static inline uint64_t stream_of(const char *name)
{
    uint64_t h = 5381;
    for (; *name; name++) h = h * 33 + (unsigned char)*name;
    return h;
}

static inline float *randoms(const char *name, size_t n, double size)
{
    float *x = calloc(n, sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = (float)(size * rng_normal(SEED, stream_of(name), i));
    return x;
}

static inline float *on_device(struct dev *d, const float *x, size_t n)
{
    struct err e;
    float *p;
    if (dev_alloc(d, &p, n, &e) != 0) fail_msg("%s", e.msg);
    if (x != NULL) dev_write(d, p, x, n);
    return p;
}

static inline struct dev *device(int n_thread, enum precision precision, enum kern_isa isa)
{
    struct err e;
    struct dev *d;
    struct dev_options opt = {.n_thread = n_thread, .precision = precision, .isa = isa};
    if (dev_cpu_new(&d, &opt, &e) != 0) fail_msg("%s", e.msg);
    return d;
}

static inline void reserve(struct dev *d, int max_tok, int n_page, int n_vocab)
{
    struct err e;
    struct dev_train_shape s = {.max_tok = max_tok,
                                .max_segment = 8,
                                .n_page = n_page,
                                .n_embd = N_EMBD,
                                .n_head = N_HEAD,
                                .n_kv_head = N_KV,
                                .d_head = D_HEAD,
                                .n_ff = 96,
                                .n_vocab = n_vocab,
                                .rank = RANK};
    if (dev_train_reserve(d, &s, &e) != 0) fail_msg("%s", e.msg);
}

/* --- a matrix with its adapter, on the device and in double --- */

struct mat {
    struct dev_mat *w;
    struct dev_lora *l;
    float *a_dev, *b_dev, *da, *db, *u;
    const struct dev_lora *lora[1];
    size_t n_in, n_out;
    double *wd, *a, *b; /* dequantized weights, adapter */
};

static inline double *doubles(const float *x, size_t n)
{
    double *y = calloc(n, sizeof(*y));
    assert_non_null(y);
    for (size_t i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

static inline struct mat mat_new(struct dev *d, const char *name, enum quant_type type, size_t n_out, size_t n_in,
                                 size_t n_tok)
{
    struct err e;
    const struct quant *q = quants[type];
    struct mat m = {.n_in = n_in, .n_out = n_out};
    size_t row_bytes = n_in / (size_t)q->block_len * q->block_bytes;
    float *w = randoms(name, n_out * n_in, 1 / sqrt((double)n_in));
    uint8_t *file = calloc(n_out, row_bytes);
    random_weights(type, file, w, n_out * n_in, 1.0f / sqrtf((float)n_in));
    if (dev_mat_new(d, &m.w, type, n_out, n_in, &e) != 0) fail_msg("%s", e.msg);
    dev_mat_put(d, m.w, file, 0, n_out);
    m.wd = doubles(w, n_out * n_in);
    float *a = randoms("a", RANK * n_in, 0.2), *b = randoms("b", RANK * n_out, 0.3);
    m.a = doubles(a, RANK * n_in);
    m.b = doubles(b, RANK * n_out);
    m.a_dev = on_device(d, a, RANK * n_in);
    m.b_dev = on_device(d, b, RANK * n_out);
    m.da = on_device(d, NULL, RANK * n_in);
    m.db = on_device(d, NULL, RANK * n_out);
    m.u = on_device(d, NULL, RANK * n_tok);
    if (dev_lora_new(d, &m.l, m.a_dev, m.b_dev, RANK, n_in, n_out, lora_scale, &e) != 0) fail_msg("%s", e.msg);
    m.lora[0] = m.l;
    free(w), free(file), free(a), free(b);
    return m;
}

static inline void mat_free(struct dev *d, struct mat *m)
{
    float *const p[] = {m->a_dev, m->b_dev, m->da, m->db, m->u};
    for (size_t i = 0; i < N_ELEM(p); i++) dev_release(d, p[i]);
    dev_lora_free(m->l);
    dev_mat_free(m->w);
    free(m->wd), free(m->a), free(m->b);
}

static inline struct dev_proj proj(const struct mat *m)
{
    return (struct dev_proj){.w = m->w, .lora = m->lora, .n_lora = 1, .u = m->u};
}

/* In four sums, which do not wait for each other. */
static inline double dot(const double *a, const double *b, size_t n)
{
    double s[4] = {0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t k = 0; k < 4; k++) s[k] += a[i + k] * b[i + k];
    for (; i < n; i++) s[0] += a[i] * b[i];
    return s[0] + s[1] + s[2] + s[3];
}

/* y = W x + scale B (A x) for one row */
static inline void mat_row(const struct mat *m, const double *x, double *y)
{
    double u[RANK];
    for (size_t r = 0; r < RANK; r++) u[r] = dot(m->a + r * m->n_in, x, m->n_in);
    for (size_t o = 0; o < m->n_out; o++) {
        y[o] = dot(m->wd + o * m->n_in, x, m->n_in);
        for (size_t r = 0; r < RANK; r++) y[o] += (double)lora_scale * m->b[o * RANK + r] * u[r];
    }
}

/* u as the forward pass leaves it, from the rows that it multiplied */
static inline void put_u(struct dev *d, const struct mat *m, const double *x, size_t n_tok)
{
    float *u = calloc(n_tok * RANK, sizeof(*u));
    for (size_t t = 0; t < n_tok; t++)
        for (size_t r = 0; r < RANK; r++) u[t * RANK + r] = (float)dot(m->a + r * m->n_in, x + t * m->n_in, m->n_in);
    dev_write(d, m->u, u, n_tok * RANK);
    free(u);
}

static inline double norm_row(const double *x, const float *w, double *y)
{
    double sum = 0;
    for (size_t i = 0; i < N_EMBD; i++) sum += x[i] * x[i];
    double inv = 1 / sqrt(sum / N_EMBD + (double)eps);
    for (size_t i = 0; i < N_EMBD; i++) y[i] = x[i] * inv * (double)w[i];
    return inv;
}

/* --- comparing --- */

typedef double (*objective_fn)(void *arg);

/* Gradient in device memory against central differences of fn over x[n], at about N_SAMPLE of them. */
static inline void check_gradient(struct dev *d, const char *what, objective_fn fn, void *arg, double *x, size_t n,
                                  const float *grad, double tolerance)
{
    float *g = calloc(n, sizeof(*g));
    double *want = calloc(n, sizeof(*want)), largest = 0;
    const double h = 1e-4;
    size_t stride = n / N_SAMPLE | 1; /* odd, so that it goes through all columns */
    dev_read(d, g, grad, n);
    for (size_t i = 0; i < n; i += stride) {
        double at = x[i];
        x[i] = at + h;
        double above = fn(arg);
        x[i] = at - h;
        want[i] = (above - fn(arg)) / (2 * h);
        x[i] = at;
        largest = fmax(largest, fabs(want[i]));
    }
    for (size_t i = 0; i < n; i += stride)
        if (!(fabs((double)g[i] - want[i]) <= tolerance * largest))
            fail_msg("%s[%zu]: %.9g, finite differences say %.9g (largest %.9g)", what, i, (double)g[i], want[i],
                     largest);
    free(g), free(want);
}

static inline void check_adapter(struct dev *d, const char *what, objective_fn fn, void *arg, struct mat *m,
                                 double tolerance)
{
    char name[64];
    snprintf(name, sizeof(name), "%s dA", what);
    check_gradient(d, name, fn, arg, m->a, RANK * m->n_in, m->da, tolerance);
    snprintf(name, sizeof(name), "%s dB", what);
    check_gradient(d, name, fn, arg, m->b, RANK * m->n_out, m->db, tolerance);
}

/* The bf16 products round weights and gradients to 8 bits. */
static inline double tolerance_of(struct dev *d, enum quant_type type)
{
    bool is_bf16 = d->kern.gemm_bf16 != NULL && dev_precision(d) == PRECISION_AUTO && type != QUANT_F32;
    return is_bf16 ? 2e-2 : 5e-5;
}

/* --- bf16 products, in plain C --- */

static inline float from_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof(y));
    return y;
}

static inline uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline void plain_gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p,
                                   size_t p_stride, size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    assert_int_equal(n_k % 32, 0);
    for (size_t r = 0; r < n_row; r++)
        for (size_t c = 0; c < n_group * 16; c++) {
            float sum = accumulate ? y[r * ldy + c] : 0;
            for (size_t k = 0; k < n_k; k++)
                sum += from_bf16(x[r * ldx + k]) * from_bf16(p[c / 16 * p_stride + k / 2 * 32 + c % 16 * 2 + k % 2]);
            y[r * ldy + c] = sum;
        }
}

/* A type whose blocks are parts. */
static inline void plain_panel(enum quant_type type, uint16_t *out, const void *packed, size_t part, size_t n_part)
{
    struct kern k;
    float panel[32 * 16];
    kern_init(&k, KERN_SCALAR);
    for (size_t b = 0; b < n_part; b++) {
        k.quant[type].panel(panel, (const uint8_t *)packed + (part + b) * quants[type]->packed_bytes, 1);
        for (size_t i = 0; i < 32; i++)
            for (size_t c = 0; c < 16; c++)
                out[(b * 16 + i / 2) * 32 + c * 2 + i % 2] = to_bf16(panel[i * 16 + c] / KERN_BF16_TIMES);
    }
}

static inline void plain_rows(enum quant_type type, uint16_t *out, size_t ld, const void *packed, size_t part)
{
    struct kern k;
    float rows[16 * 32];
    kern_init(&k, KERN_SCALAR);
    k.quant[type].rows(rows, 32, packed, part);
    for (size_t r = 0; r < 16; r++)
        for (size_t c = 0; c < 32; c++) out[(r / 2 * ld + c) * 2 + r % 2] = to_bf16(rows[r * 32 + c]);
}

static inline void q4_1_panel(uint16_t *out, const void *packed, size_t part, size_t n)
{
    plain_panel(QUANT_Q4_1, out, packed, part, n);
}
static inline void q4_1_rows(uint16_t *out, size_t ld, const void *packed, size_t part)
{
    plain_rows(QUANT_Q4_1, out, ld, packed, part);
}
static inline void q8_0_panel(uint16_t *out, const void *packed, size_t part, size_t n)
{
    plain_panel(QUANT_Q8_0, out, packed, part, n);
}
static inline void q8_0_rows(uint16_t *out, size_t ld, const void *packed, size_t part)
{
    plain_rows(QUANT_Q8_0, out, ld, packed, part);
}

static inline struct dev *device_with_bf16(void)
{
    struct dev *d = device(2, PRECISION_AUTO, KERN_SCALAR);
    d->kern.gemm_bf16 = plain_gemm_bf16;
    d->kern.quant[QUANT_Q4_1].panel_bf16 = q4_1_panel;
    d->kern.quant[QUANT_Q4_1].rows_bf16 = q4_1_rows;
    d->kern.quant[QUANT_Q8_0].panel_bf16 = q8_0_panel;
    d->kern.quant[QUANT_Q8_0].rows_bf16 = q8_0_rows;
    return d;
}

typedef void (*case_fn)(struct dev *d, enum quant_type type);

static inline void on_every_path(case_fn fn)
{
    static const enum quant_type types[] = {QUANT_F32, QUANT_Q4_1, QUANT_Q8_0};
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++)
        for (int p = FIRST_PRECISION; p < 2; p++)
            for (size_t t = 0; t < N_ELEM(types); t++) {
                struct dev *d = device(2, p == 0 ? PRECISION_REFERENCE : PRECISION_AUTO, (enum kern_isa)isa);
                fn(d, types[t]);
                dev_free(d);
            }
    for (size_t t = 1; t < N_ELEM(types); t++) {
        struct dev *d = device_with_bf16();
        fn(d, types[t]);
        dev_free(d);
    }
}

static inline struct dev_batch whole(struct dev_segment *s, int n_tok)
{
    *s = (struct dev_segment){.n_tok = n_tok};
    return (struct dev_batch){.mode = DEV_TRAIN, .n_tok = n_tok, .segment = s, .n_segment = 1};
}

#endif
