/* Every backward operation of the device against finite differences of a forward pass in double precision written here,
 * on every instruction set that this machine has, in both float precisions, and on the bfloat16 path of AMX with plain C
 * in the place of its products. */
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

enum { SEED = 41, N_EMBD = 64, N_HEAD = 4, N_KV = 2, D_HEAD = 8, N_Q = N_HEAD * D_HEAD, N_KV_DIM = N_KV * D_HEAD, RANK = 3 };
static const float lora_scale = 0.75f, eps = 1e-5f;

/* --- arrays --- */

static uint64_t stream_of(const char *name)
{
    uint64_t h = 5381;
    for (; *name; name++) h = h * 33 + (unsigned char)*name;
    return h;
}

static float *randoms(const char *name, size_t n, double size)
{
    float *x = calloc(n, sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = (float)(size * rng_normal(SEED, stream_of(name), i));
    return x;
}

static float *on_device(struct dev *d, const float *x, size_t n)
{
    struct err e;
    float *p;
    if (dev_alloc(d, &p, n, &e) != 0) fail_msg("%s", e.msg);
    if (x != NULL) dev_write(d, p, x, n);
    return p;
}

static struct dev *device(int n_thread, enum precision precision, enum kern_isa isa)
{
    struct err e;
    struct dev *d;
    struct dev_options opt = {.n_thread = n_thread, .precision = precision, .isa = isa};
    if (dev_cpu_new(&d, &opt, &e) != 0) fail_msg("%s", e.msg);
    return d;
}

static void reserve(struct dev *d, int max_tok, int n_page, int n_vocab)
{
    struct err e;
    struct dev_train_shape s = {.max_tok = max_tok, .max_segment = 8, .n_page = n_page, .n_embd = N_EMBD, .n_head = N_HEAD,
                                .n_kv_head = N_KV, .d_head = D_HEAD, .n_ff = 96, .n_vocab = n_vocab, .rank = RANK};
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

static double *doubles(const float *x, size_t n)
{
    double *y = calloc(n, sizeof(*y));
    assert_non_null(y);
    for (size_t i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

static struct mat mat_new(struct dev *d, const char *name, enum quant_type type, size_t n_out, size_t n_in, size_t n_tok)
{
    struct err e;
    const struct quant *q = quants[type];
    struct mat m = {.n_in = n_in, .n_out = n_out};
    size_t row_bytes = n_in / (size_t)q->block_len * q->block_bytes;
    float *w = randoms(name, n_out * n_in, 1 / sqrt((double)n_in));
    uint8_t *file = calloc(n_out, row_bytes);
    for (size_t i = 0; i < n_out; i++) {
        q->quantize(file + i * row_bytes, w + i * n_in, n_in);
        q->dequantize(w + i * n_in, file + i * row_bytes, n_in);
    }
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

static void mat_free(struct dev *d, struct mat *m)
{
    float *const p[] = {m->a_dev, m->b_dev, m->da, m->db, m->u};
    for (size_t i = 0; i < N_ELEM(p); i++) dev_release(d, p[i]);
    dev_lora_free(m->l);
    dev_mat_free(m->w);
    free(m->wd), free(m->a), free(m->b);
}

static struct dev_proj proj(const struct mat *m)
{
    return (struct dev_proj){.w = m->w, .lora = m->lora, .n_lora = 1, .u = m->u};
}

/* y = W x + scale B (A x) for one row */
static void mat_row(const struct mat *m, const double *x, double *y)
{
    double u[RANK] = {0};
    for (size_t r = 0; r < RANK; r++)
        for (size_t i = 0; i < m->n_in; i++) u[r] += m->a[r * m->n_in + i] * x[i];
    for (size_t o = 0; o < m->n_out; o++) {
        y[o] = 0;
        for (size_t i = 0; i < m->n_in; i++) y[o] += m->wd[o * m->n_in + i] * x[i];
        for (size_t r = 0; r < RANK; r++) y[o] += (double)lora_scale * m->b[o * RANK + r] * u[r];
    }
}

/* u as the forward pass leaves it, from the rows that it multiplied */
static void put_u(struct dev *d, const struct mat *m, const double *x, size_t n_tok)
{
    float *u = calloc(n_tok * RANK, sizeof(*u));
    for (size_t t = 0; t < n_tok; t++)
        for (size_t r = 0; r < RANK; r++) {
            double sum = 0;
            for (size_t i = 0; i < m->n_in; i++) sum += m->a[r * m->n_in + i] * x[t * m->n_in + i];
            u[t * RANK + r] = (float)sum;
        }
    dev_write(d, m->u, u, n_tok * RANK);
    free(u);
}

static double norm_row(const double *x, const float *w, double *y)
{
    double sum = 0;
    for (size_t i = 0; i < N_EMBD; i++) sum += x[i] * x[i];
    double inv = 1 / sqrt(sum / N_EMBD + (double)eps);
    for (size_t i = 0; i < N_EMBD; i++) y[i] = x[i] * inv * (double)w[i];
    return inv;
}

/* --- comparing --- */

typedef double (*objective_fn)(void *arg);

/* Gradient in device memory against central differences of fn over x[n], at about 150 of them. */
static void check_gradient(struct dev *d, const char *what, objective_fn fn, void *arg, double *x, size_t n, const float *grad,
                           double tolerance)
{
    float *g = calloc(n, sizeof(*g));
    double *want = calloc(n, sizeof(*want)), largest = 0;
    const double h = 1e-4;
    size_t stride = n / 150 | 1; /* odd, so that it goes through all columns */
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
            fail_msg("%s[%zu]: %.9g, finite differences say %.9g (largest %.9g)", what, i, (double)g[i], want[i], largest);
    free(g), free(want);
}

static void check_adapter(struct dev *d, const char *what, objective_fn fn, void *arg, struct mat *m, double tolerance)
{
    char name[64];
    snprintf(name, sizeof(name), "%s dA", what);
    check_gradient(d, name, fn, arg, m->a, RANK * m->n_in, m->da, tolerance);
    snprintf(name, sizeof(name), "%s dB", what);
    check_gradient(d, name, fn, arg, m->b, RANK * m->n_out, m->db, tolerance);
}

/* The bf16 products of AMX round weights and gradients to 8 bits. */
static double tolerance_of(struct dev *d, enum quant_type type)
{
    bool is_bf16 = d->kern.gemm_bf16 != NULL && dev_precision(d) == PRECISION_AUTO && type != QUANT_F32;
    return is_bf16 ? 2e-2 : 5e-5;
}

/* --- what AMX computes, in plain C --- */

static float from_bf16(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float y;
    memcpy(&y, &bits, sizeof(y));
    return y;
}

static uint16_t to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void plain_gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                            size_t n_row, size_t n_group, size_t n_k, bool accumulate)
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

static void plain_panel(enum quant_type type, uint16_t *out, const void *packed, size_t n_block)
{
    struct kern k;
    float panel[32 * 16];
    kern_init(&k, KERN_SCALAR);
    for (size_t b = 0; b < n_block; b++) {
        k.quant[type].panel(panel, (const uint8_t *)packed + b * quants[type]->packed_bytes, 1);
        for (size_t i = 0; i < 32; i++)
            for (size_t c = 0; c < 16; c++) out[(b * 16 + i / 2) * 32 + c * 2 + i % 2] = to_bf16(panel[i * 16 + c]);
    }
}

static void plain_rows(enum quant_type type, uint16_t *out, size_t ld, const void *packed)
{
    struct kern k;
    float rows[16 * 32];
    kern_init(&k, KERN_SCALAR);
    k.quant[type].rows(rows, 32, packed);
    for (size_t r = 0; r < 16; r++)
        for (size_t c = 0; c < 32; c++) out[(r / 2 * ld + c) * 2 + r % 2] = to_bf16(rows[r * 32 + c]);
}

static void q4_1_panel(uint16_t *out, const void *packed, size_t n) { plain_panel(QUANT_Q4_1, out, packed, n); }
static void q4_1_rows(uint16_t *out, size_t ld, const void *packed) { plain_rows(QUANT_Q4_1, out, ld, packed); }
static void q8_0_panel(uint16_t *out, const void *packed, size_t n) { plain_panel(QUANT_Q8_0, out, packed, n); }
static void q8_0_rows(uint16_t *out, size_t ld, const void *packed) { plain_rows(QUANT_Q8_0, out, ld, packed); }

static struct dev *device_like_amx(void)
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

static void on_every_path(case_fn fn)
{
    static const enum quant_type types[] = {QUANT_F32, QUANT_Q4_1, QUANT_Q8_0};
    for (int isa = KERN_SCALAR; isa <= (int)kern_isa_detect(); isa++)
        for (int p = 0; p < 2; p++)
            for (size_t t = 0; t < N_ELEM(types); t++) {
                struct dev *d = device(2, p == 0 ? PRECISION_REFERENCE : PRECISION_AUTO, (enum kern_isa)isa);
                fn(d, types[t]);
                dev_free(d);
            }
    for (size_t t = 1; t < N_ELEM(types); t++) {
        struct dev *d = device_like_amx();
        fn(d, types[t]);
        dev_free(d);
    }
}

static struct dev_batch whole(struct dev_segment *s, int n_tok)
{
    *s = (struct dev_segment){.n_tok = n_tok};
    return (struct dev_batch){.mode = DEV_TRAIN, .n_tok = n_tok, .segment = s, .n_segment = 1};
}

/* --- linear --- */

struct linear_case {
    struct mat m;
    size_t n_tok;
    double *x;
    float *dy;
};

static double linear_objective(void *arg)
{
    const struct linear_case *c = arg;
    double sum = 0, y[256];
    for (size_t t = 0; t < c->n_tok; t++) {
        mat_row(&c->m, c->x + t * c->m.n_in, y);
        for (size_t o = 0; o < c->m.n_out; o++) sum += y[o] * (double)c->dy[t * c->m.n_out + o];
    }
    return sum;
}

static void linear_shape(struct dev *d, enum quant_type type, size_t n_out, size_t n_in)
{
    struct linear_case c = {.n_tok = 13};
    struct dev_segment s;
    struct dev_batch b = whole(&s, (int)c.n_tok);
    c.m = mat_new(d, "w", type, n_out, n_in, c.n_tok);
    reserve(d, (int)c.n_tok, 1, 32);
    float *x = randoms("x", c.n_tok * n_in, 1);
    c.x = doubles(x, c.n_tok * n_in);
    c.dy = randoms("dy", c.n_tok * n_out, 1);
    put_u(d, &c.m, c.x, c.n_tok);
    float *x_dev = on_device(d, x, c.n_tok * n_in), *dy = on_device(d, c.dy, c.n_tok * n_out);
    float *dx = on_device(d, NULL, c.n_tok * n_in);
    struct dev_proj p = proj(&c.m);
    struct dev_lora_grad g = {c.m.da, c.m.db};
    dev_linear_backward(d, &b, &p, &g, dy, x_dev, dx);
    double tol = tolerance_of(d, type);
    check_gradient(d, "linear dx", linear_objective, &c, c.x, c.n_tok * n_in, dx, tol);
    check_adapter(d, "linear", linear_objective, &c, &c.m, tol);
    dev_release(d, x_dev), dev_release(d, dy), dev_release(d, dx);
    mat_free(d, &c.m);
    free(x), free(c.x), free(c.dy);
}

static void linear_case(struct dev *d, enum quant_type type)
{
    linear_shape(d, type, 48, 96);
    if (type == QUANT_F32) linear_shape(d, type, 37, 45);
}

static void test_linear(void **state)
{
    (void)state;
    on_every_path(linear_case);
}

/* --- norm, gate, up, product --- */

struct ff_case {
    struct mat gate, up;
    size_t n_tok;
    double *x;
    float *norm, *dact;
};

static double ff_objective(void *arg)
{
    const struct ff_case *c = arg;
    double sum = 0, h[N_EMBD], g[96], u[96];
    for (size_t t = 0; t < c->n_tok; t++) {
        norm_row(c->x + t * N_EMBD, c->norm, h);
        mat_row(&c->gate, h, g);
        mat_row(&c->up, h, u);
        for (size_t i = 0; i < 96; i++) sum += g[i] / (1 + exp(-g[i])) * u[i] * (double)c->dact[t * 96 + i];
    }
    return sum;
}

static void ff_case(struct dev *d, enum quant_type type)
{
    struct ff_case c = {.n_tok = 9};
    struct dev_segment s;
    struct dev_batch b = whole(&s, (int)c.n_tok);
    size_t n_x = c.n_tok * N_EMBD, n_act = c.n_tok * 96;
    c.gate = mat_new(d, "gate", type, 96, N_EMBD, c.n_tok);
    c.up = mat_new(d, "up", type, 96, N_EMBD, c.n_tok);
    reserve(d, (int)c.n_tok, 1, 32);
    float *x = randoms("x", n_x, 1);
    c.x = doubles(x, n_x);
    c.norm = randoms("norm", N_EMBD, 1);
    c.dact = randoms("dact", n_act, 1);
    double *h = calloc(n_x, sizeof(*h)), y[96];
    float *inv = calloc(c.n_tok, sizeof(*inv)), *gate = calloc(n_act, sizeof(*gate)), *up = calloc(n_act, sizeof(*up));
    for (size_t t = 0; t < c.n_tok; t++) {
        inv[t] = (float)norm_row(c.x + t * N_EMBD, c.norm, h + t * N_EMBD);
        mat_row(&c.gate, h + t * N_EMBD, y);
        for (size_t i = 0; i < 96; i++) gate[t * 96 + i] = (float)y[i];
        mat_row(&c.up, h + t * N_EMBD, y);
        for (size_t i = 0; i < 96; i++) up[t * 96 + i] = (float)y[i];
    }
    put_u(d, &c.gate, h, c.n_tok);
    put_u(d, &c.up, h, c.n_tok);
    float *dev[] = {on_device(d, x, n_x), on_device(d, inv, c.n_tok), on_device(d, gate, n_act), on_device(d, up, n_act),
                    on_device(d, c.dact, n_act), on_device(d, NULL, n_x), on_device(d, c.norm, N_EMBD)};
    struct dev_gate_up p = {.norm = dev[6], .eps = eps, .gate = proj(&c.gate), .up = proj(&c.up)};
    struct dev_lora_grad g[2] = {{c.gate.da, c.gate.db}, {c.up.da, c.up.db}};
    dev_swiglu_backward(d, dev[2], dev[3], dev[4], dev[2], dev[3], c.n_tok, 96);
    dev_gate_up_backward(d, &b, &p, g, dev[2], dev[3], dev[0], dev[1], dev[5]);
    double tol = tolerance_of(d, type);
    check_gradient(d, "gate_up dx", ff_objective, &c, c.x, n_x, dev[5], tol);
    check_adapter(d, "gate", ff_objective, &c, &c.gate, tol);
    check_adapter(d, "up", ff_objective, &c, &c.up, tol);
    for (size_t i = 0; i < N_ELEM(dev); i++) dev_release(d, dev[i]);
    mat_free(d, &c.gate), mat_free(d, &c.up);
    free(x), free(c.x), free(c.norm), free(c.dact), free(h), free(inv), free(gate), free(up);
}

static void test_gate_up(void **state)
{
    (void)state;
    on_every_path(ff_case);
}

/* --- attention: norm, projections, rotation, softmax; a prefix of 35 tokens with two children, and a sequence alone --- */

enum { N_SEG = 4, N_TOK = 35 + 5 + 3 + 7, N_PAGE = 2 + 1 + 1 + 1 };
static const int seg_tok[N_SEG] = {35, 5, 3, 7}, seg_parent[N_SEG] = {-1, 0, 0, -1};

struct attn_case {
    struct mat q, k, v;
    double *x;
    float *norm, *dout;
    bool halves;
    int window;
    double qd[N_TOK][N_Q], kd[N_TOK][N_KV_DIM], vd[N_TOK][N_KV_DIM];
    int pos[N_TOK], seg[N_TOK];
};

static void rotate(double *v, int n_head, int pos, bool halves)
{
    for (int h = 0; h < n_head; h++)
        for (int i = 0; i < D_HEAD / 2; i++) {
            double angle = pos * (double)(float)pow(10000, -2.0 * i / D_HEAD), c = cos(angle), s = sin(angle);
            double *a = v + h * D_HEAD + (halves ? i : 2 * i), *b = v + h * D_HEAD + (halves ? i + D_HEAD / 2 : 2 * i + 1);
            double x = *a * c - *b * s, y = *b * c + *a * s;
            *a = x, *b = y;
        }
}

static void place_tokens(struct attn_case *c)
{
    for (int s = 0, t = 0; s < N_SEG; s++)
        for (int i = 0; i < seg_tok[s]; i++, t++) {
            c->seg[t] = s;
            c->pos[t] = i + (seg_parent[s] >= 0 ? seg_tok[seg_parent[s]] : 0);
        }
}

static bool sees(const struct attn_case *c, int t, int from)
{
    bool same = c->seg[from] == c->seg[t] || c->seg[from] == seg_parent[c->seg[t]];
    return same && c->pos[from] <= c->pos[t] && (c->window == 0 || c->pos[t] - c->pos[from] < c->window);
}

static double attend(const struct attn_case *c, int t, int head)
{
    double w[N_TOK], total = 0, sum = 0;
    int kv = head / (N_HEAD / N_KV);
    for (int f = 0; f < N_TOK; f++) {
        w[f] = 0;
        if (!sees(c, t, f)) continue;
        double score = 0;
        for (int i = 0; i < D_HEAD; i++) score += c->qd[t][head * D_HEAD + i] * c->kd[f][kv * D_HEAD + i];
        total += w[f] = exp(score / sqrt(D_HEAD));
    }
    for (int f = 0; f < N_TOK; f++)
        for (int i = 0; i < D_HEAD; i++)
            sum += w[f] / total * c->vd[f][kv * D_HEAD + i] * (double)c->dout[t * N_Q + head * D_HEAD + i];
    return sum;
}

static double attn_objective(void *arg)
{
    struct attn_case *c = arg;
    double h[N_EMBD], sum = 0;
    for (int t = 0; t < N_TOK; t++) {
        norm_row(c->x + t * N_EMBD, c->norm, h);
        mat_row(&c->q, h, c->qd[t]);
        mat_row(&c->k, h, c->kd[t]);
        mat_row(&c->v, h, c->vd[t]);
        rotate(c->qd[t], N_HEAD, c->pos[t], c->halves);
        rotate(c->kd[t], N_KV, c->pos[t], c->halves);
    }
    for (int t = 0; t < N_TOK; t++)
        for (int head = 0; head < N_HEAD; head++) sum += attend(c, t, head);
    return sum;
}

static struct dev_batch tree(struct dev_segment s[N_SEG], const struct dev_block *block)
{
    s[0] = (struct dev_segment){.first_tok = 0, .n_tok = 35, .block = block, .n_block = 2};
    s[1] = (struct dev_segment){.first_tok = 35, .n_tok = 5, .first_pos = 35, .block = block + 2, .n_block = 3};
    s[2] = (struct dev_segment){.first_tok = 40, .n_tok = 3, .first_pos = 35, .block = block + 5, .n_block = 3};
    s[3] = (struct dev_segment){.first_tok = 43, .n_tok = 7, .block = block + 8, .n_block = 1};
    return (struct dev_batch){.mode = DEV_TRAIN, .n_tok = N_TOK, .segment = s, .n_segment = N_SEG};
}
static const struct dev_block tree_blocks[] = {{3, 32}, {1, 3}, {3, 32}, {1, 3}, {0, 5}, {3, 32}, {1, 3}, {4, 3}, {2, 7}};

static struct dev_kv *pages(struct dev *d)
{
    struct err e;
    struct dev_kv *kv;
    struct dev_kv_shape shape = {.n_layer = 1, .n_kv_head = N_KV, .d_head = D_HEAD};
    if (dev_kv_new(d, &kv, &shape, DEV_TRAIN, N_PAGE, &e) != 0) fail_msg("%s", e.msg);
    dev_kv_zero(d, kv);
    return kv;
}

/* Forward on the device, then back; fills dx and the adapters' gradients. */
static void attention_there_and_back(struct dev *d, struct attn_case *c, const float *x, const float *dout, const float *norm,
                                     float *dx)
{
    float inv_freq[D_HEAD / 2];
    for (int i = 0; i < D_HEAD / 2; i++) inv_freq[i] = (float)pow(10000, -2.0 * i / D_HEAD);
    struct dev_rope rope = {.n_rot = D_HEAD, .halves = c->halves, .inv_freq = inv_freq};
    struct dev_segment s[N_SEG];
    struct dev_batch b = tree(s, tree_blocks);
    struct dev_attn_in in = {.norm = norm, .eps = eps, .q = proj(&c->q), .k = proj(&c->k), .v = proj(&c->v), .rope = &rope,
                             .n_head = N_HEAD, .n_kv_head = N_KV, .d_head = D_HEAD};
    struct dev_attn at = {.n_head = N_HEAD, .n_kv_head = N_KV, .d_head = D_HEAD, .window = c->window,
                          .scale = (float)(1 / sqrt(D_HEAD))};
    struct dev_kv *kv = pages(d), *dkv = pages(d);
    float *q = on_device(d, NULL, N_TOK * N_Q), *out = on_device(d, NULL, N_TOK * N_Q), *dq = on_device(d, NULL, N_TOK * N_Q);
    float *lse = on_device(d, NULL, N_TOK * N_HEAD), *inv = on_device(d, NULL, N_TOK);
    struct dev_lora_grad g[3] = {{c->q.da, c->q.db}, {c->k.da, c->k.db}, {c->v.da, c->v.db}};
    reserve(d, N_TOK, N_PAGE, 32);
    dev_attention_in(d, &b, &in, x, q, inv, kv, 0);
    dev_attention(d, &b, &at, q, out, lse, kv, 0);
    dev_attention_backward(d, &b, &at, dout, out, q, lse, kv, dkv, 0, 0, dq);
    dev_attention_in_backward(d, &b, &in, g, dq, dkv, 0, x, inv, dx);
    float *const p[] = {q, out, dq, lse, inv};
    for (size_t i = 0; i < N_ELEM(p); i++) dev_release(d, p[i]);
    dev_kv_free(kv), dev_kv_free(dkv);
}

static void attn_shape(struct dev *d, enum quant_type type, bool halves, int window)
{
    static struct attn_case c;
    c = (struct attn_case){.halves = halves, .window = window};
    place_tokens(&c);
    c.q = mat_new(d, "q", type, N_Q, N_EMBD, N_TOK);
    c.k = mat_new(d, "k", type, N_KV_DIM, N_EMBD, N_TOK);
    c.v = mat_new(d, "v", type, N_KV_DIM, N_EMBD, N_TOK);
    float *x = randoms("x", N_TOK * N_EMBD, 1);
    c.x = doubles(x, N_TOK * N_EMBD);
    c.norm = randoms("norm", N_EMBD, 1);
    c.dout = randoms("dout", N_TOK * N_Q, 1);
    float *dev[] = {on_device(d, x, N_TOK * N_EMBD), on_device(d, c.dout, N_TOK * N_Q), on_device(d, c.norm, N_EMBD),
                    on_device(d, NULL, N_TOK * N_EMBD)};
    attention_there_and_back(d, &c, dev[0], dev[1], dev[2], dev[3]);
    double tol = tolerance_of(d, type);
    check_gradient(d, "attention dx", attn_objective, &c, c.x, N_TOK * N_EMBD, dev[3], tol);
    check_adapter(d, "q", attn_objective, &c, &c.q, tol);
    check_adapter(d, "k", attn_objective, &c, &c.k, tol);
    check_adapter(d, "v", attn_objective, &c, &c.v, tol);
    for (size_t i = 0; i < N_ELEM(dev); i++) dev_release(d, dev[i]);
    mat_free(d, &c.q), mat_free(d, &c.k), mat_free(d, &c.v);
    free(x), free(c.x), free(c.norm), free(c.dout);
}

static void attn_case(struct dev *d, enum quant_type type)
{
    attn_shape(d, type, type == QUANT_F32, type == QUANT_Q8_0 ? 6 : 0);
}

static void test_attention(void **state)
{
    (void)state;
    on_every_path(attn_case);
}

/* --- the loss --- */

enum { N_ROW = 134, N_VOCAB = 75, N_HEAD_TOK = 120 };

struct head_case {
    struct mat w;
    double *x;
    float *norm, *weight;
    int32_t row[N_ROW], target[N_ROW];
    double loss[N_ROW];
};

static double head_objective(void *arg)
{
    struct head_case *c = arg;
    double sum = 0, h[N_EMBD], y[N_VOCAB];
    for (int i = 0; i < N_ROW; i++) {
        norm_row(c->x + c->row[i] * N_EMBD, c->norm, h);
        double total = 0;
        for (size_t o = 0; o < N_VOCAB; o++) {
            y[o] = 0;
            for (size_t k = 0; k < N_EMBD; k++) y[o] += c->w.wd[o * N_EMBD + k] * h[k];
            total += exp(y[o]);
        }
        c->loss[i] = log(total) - y[c->target[i]];
        sum += c->loss[i] * (double)c->weight[i];
    }
    return sum;
}

static void head_case(struct dev *d, enum quant_type type)
{
    static struct head_case c;
    struct dev_segment s;
    struct dev_batch b = whole(&s, N_HEAD_TOK);
    s.adapter = -1;
    float *x = randoms("x", N_HEAD_TOK * N_EMBD, 1), loss[N_ROW];
    uint8_t correct[N_ROW];
    c.w = mat_new(d, "head", type, N_VOCAB, N_EMBD, 1);
    c.x = doubles(x, N_HEAD_TOK * N_EMBD);
    c.norm = randoms("norm", N_EMBD, 1);
    c.weight = randoms("weight", N_ROW, 1);
    for (int i = 0; i < N_ROW; i++) { /* rows repeat where rounding says so, across chunks too */
        c.row[i] = i * (N_HEAD_TOK - 1) / (N_ROW - 1);
        c.target[i] = (int32_t)rng_below(N_VOCAB, SEED, 99, (uint64_t)i);
    }
    reserve(d, N_HEAD_TOK, 1, N_VOCAB);
    float *x_dev = on_device(d, x, N_HEAD_TOK * N_EMBD), *dx = on_device(d, NULL, N_HEAD_TOK * N_EMBD);
    float *norm = on_device(d, c.norm, N_EMBD);
    struct dev_head p = {.norm = norm, .eps = eps, .out = {.w = c.w.w}};
    dev_head_loss(d, &b, &p, x_dev, c.row, c.target, c.weight, N_ROW, loss, correct, dx);
    double tol = tolerance_of(d, type);
    head_objective(&c);
    for (int i = 0; i < N_ROW; i++) assert_true(fabs((double)loss[i] - c.loss[i]) < 20 * tol);
    check_gradient(d, "loss dx", head_objective, &c, c.x, N_HEAD_TOK * N_EMBD, dx, tol);
    dev_release(d, x_dev), dev_release(d, dx), dev_release(d, norm);
    mat_free(d, &c.w);
    free(x), free(c.x), free(c.norm), free(c.weight);
}

static void test_head_loss(void **state)
{
    (void)state;
    on_every_path(head_case);
}

/* --- optimizer --- */

enum { N_PARAM = 10007 };

static void test_adamw(void **state)
{
    (void)state;
    struct dev *d = device(2, PRECISION_AUTO, kern_isa_detect());
    float *p0 = randoms("p", N_PARAM, 1), *g0 = randoms("g", N_PARAM, 1), got[N_PARAM];
    float *p = on_device(d, p0, N_PARAM), *g = on_device(d, g0, N_PARAM);
    float *m = on_device(d, NULL, N_PARAM), *v = on_device(d, NULL, N_PARAM);
    double *want = doubles(p0, N_PARAM), *md = calloc(N_PARAM, sizeof(*md)), *vd = calloc(N_PARAM, sizeof(*vd)), squares = 0;
    for (int t = 1; t <= 3; t++) {
        struct dev_adamw o = {.lr = 0.01f, .b1 = 0.9f, .b2 = 0.95f, .eps = 1e-8f, .decay = 0.1f,
                              .c1 = (float)(1 - pow(0.9, t)), .c2 = (float)(1 - pow(0.95, t))};
        dev_adamw(d, p, m, v, g, N_PARAM, &o);
        for (int i = 0; i < N_PARAM; i++) {
            double gi = (double)g0[i];
            md[i] = 0.9 * md[i] + 0.1 * gi;
            vd[i] = 0.95 * vd[i] + 0.05 * gi * gi;
            want[i] -= 0.01 * 0.1 * want[i];
            want[i] -= 0.01 * (md[i] / (1 - pow(0.9, t))) / (sqrt(vd[i] / (1 - pow(0.95, t))) + 1e-8);
        }
    }
    dev_read(d, got, p, N_PARAM);
    for (int i = 0; i < N_PARAM; i++) {
        assert_true(fabs((double)got[i] - want[i]) < 2e-6);
        squares += (double)g0[i] * (double)g0[i];
    }
    assert_true(fabs(dev_sum_squares(d, g, N_PARAM) - squares) < 1e-9 * squares);
    dev_scale(d, g, 0.5f, N_PARAM);
    assert_true(fabs(dev_sum_squares(d, g, N_PARAM) - squares / 4) < 1e-9 * squares);
    dev_copy(d, p, g, N_PARAM);
    assert_true(fabs(dev_sum_squares(d, p, N_PARAM) - squares / 4) < 1e-9 * squares);
    dev_release(d, p), dev_release(d, g), dev_release(d, m), dev_release(d, v);
    dev_free(d);
    free(p0), free(g0), free(want), free(md), free(vd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),    cmocka_unit_test(test_gate_up), cmocka_unit_test(test_attention),
        cmocka_unit_test(test_head_loss), cmocka_unit_test(test_adamw),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
