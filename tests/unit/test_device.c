/* The forward operations of the CPU device on one random layer: against a naive version in double precision for every
 * type and precision, and against themselves: levels, threads, step sizes, page layouts and shared prefixes must not
 * change a bit where numerics promises it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compute/device/cpu_int.h"
#include "compute/device/device.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "levels.h"
#include "random_weights.h"

enum {
    Q,
    K,
    V,
    O,
    GATE,
    UP,
    DOWN,
    N_SITE,
    HEAD = N_SITE,
    N_MAT,
    N_ADAPTER = 2,
    RANK = 5,
    N_SEQ = 3,
    MAX_TOK = 96,
    N_PAGE = 24,
    MAX_FF = 1088
};
static const int seq_len[N_SEQ] = {70, 33, 5};
static const int seq_adapter[N_SEQ] = {0, 1, -1};

struct shape {
    int n_embd, n_head, n_kv, d_head, n_ff, n_vocab, n_rot, window;
    bool halves;
    /* what single families do */
    bool gelu, joined; /* joined: the second branch is normed and scaled */
    double softcap, logit_cap, magnitude;
};
static const struct shape shapes[] = {
    {64, 6, 2, 16, 96, 50, 16, 0, false, .magnitude = 1},
    {64, 4, 4, 32, 160, 33, 16, 20, true, .magnitude = 1},
    {64, 4, 2, 32, 96, 33, 32, 20, true, .gelu = true, .joined = true, .softcap = 1.5, .logit_cap = 2,
     .magnitude = 1.2},
};
static const struct shape wide_shape = {256, 4,  1, 64,   256,
                                        37,  64, 0, true, .magnitude = 1}; /* rows of whole blocks of 256 */
static const struct shape odd_shape = {40, 3,  1, 10,   72,
                                       37, 10, 0, true, .magnitude = 1}; /* nothing a multiple of 16 or 32 */

/* Everything on the host, as float32; raw: the file format. */
struct layer {
    struct shape s;
    enum quant_type type;
    enum dev_kv_type kv_type;
    int n_out[N_MAT], n_in[N_MAT];
    void *raw[N_MAT];
    float *w[N_MAT], *bias[N_SITE], *norm[3], *a[N_ADAPTER][N_SITE], *b[N_ADAPTER][N_SITE], inv_freq[64];
    float *x; /* [N_SEQ][MAX_TOK][n_embd] */
};

static void must(int rc, const struct err *e)
{
    if (rc) fail_msg("%s", e->msg);
}

static float *noise(uint64_t stream, size_t n, double scale)
{
    float *p = mem_alloc(n * sizeof(float));
    for (size_t i = 0; i < n; i++) p[i] = (float)(rng_normal(7, stream, i) * scale);
    return p;
}

static void make_matrix(struct layer *l, int i, int n_out, int n_in)
{
    size_t n = (size_t)n_out * (size_t)n_in;
    const struct quant *q = quants[l->type];
    float *x = noise(100 + (uint64_t)i, n, 1.0 / sqrt(n_in));
    l->n_out[i] = n_out;
    l->n_in[i] = n_in;
    l->raw[i] = mem_alloc(n / (size_t)q->block_len * q->block_bytes);
    random_weights(l->type, l->raw[i], x, n, 1.0f / sqrtf((float)n_in));
    l->w[i] = x;
}

static struct layer *layer_new(const struct shape *s, enum quant_type type)
{
    struct layer *l = mem_alloc(sizeof(*l));
    *l = (struct layer){.s = *s, .type = type};
    int nq = s->n_head * s->d_head, nk = s->n_kv * s->d_head;
    const int dim[N_MAT][2] = {{nq, s->n_embd},      {nk, s->n_embd},        {nk, s->n_embd},
                               {s->n_embd, nq},      {s->n_ff, s->n_embd},   {s->n_ff, s->n_embd},
                               {s->n_embd, s->n_ff}, {s->n_vocab, s->n_embd}};
    for (int i = 0; i < N_MAT; i++) make_matrix(l, i, dim[i][0], dim[i][1]);
    for (int i = 0; i < N_SITE; i++) {
        l->bias[i] = noise(200 + (uint64_t)i, (size_t)l->n_out[i], 0.1);
        for (int a = 0; a < N_ADAPTER; a++) {
            l->a[a][i] = noise(300 + (uint64_t)(i + 10 * a), (size_t)RANK * (size_t)l->n_in[i], 0.2);
            l->b[a][i] = noise(400 + (uint64_t)(i + 10 * a), (size_t)RANK * (size_t)l->n_out[i], 0.2);
        }
    }
    for (int i = 0; i < 3; i++) l->norm[i] = noise(500 + (uint64_t)i, (size_t)s->n_embd, 0.5);
    for (int i = 0; i < s->n_rot / 2; i++) l->inv_freq[i] = (float)pow(100.0, -2.0 * i / s->n_rot);
    l->x = noise(600, (size_t)(N_SEQ * MAX_TOK * s->n_embd), 1);
    return l;
}

static void layer_free(struct layer *l)
{
    for (int i = 0; i < N_MAT; i++) mem_free(l->raw[i]), mem_free(l->w[i]);
    for (int i = 0; i < N_SITE; i++) {
        mem_free(l->bias[i]);
        for (int a = 0; a < N_ADAPTER; a++) mem_free(l->a[a][i]), mem_free(l->b[a][i]);
    }
    for (int i = 0; i < 3; i++) mem_free(l->norm[i]);
    mem_free(l->x);
    mem_free(l);
}

/* --- the naive version --- */

static void naive_norm(double *h, const double *x, const float *w, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) h[i] = x[i] / sqrt(sum / n + 1e-5) * (double)w[i];
}

static void naive_project(const struct layer *l, int m, int adapter, const double *x, double *y)
{
    for (int o = 0; o < l->n_out[m]; o++) {
        double sum = m < N_SITE ? (double)l->bias[m][o] : 0;
        for (int i = 0; i < l->n_in[m]; i++) sum += (double)l->w[m][o * l->n_in[m] + i] * x[i];
        for (int r = 0; r < RANK && adapter >= 0 && m < N_SITE; r++) {
            double u = 0;
            for (int i = 0; i < l->n_in[m]; i++) u += (double)l->a[adapter][m][r * l->n_in[m] + i] * x[i];
            sum += 0.7 * u * (double)l->b[adapter][m][o * RANK + r];
        }
        y[o] = sum;
    }
}

static void naive_rope(const struct layer *l, double *head, int pos)
{
    int half = l->s.n_rot / 2;
    for (int i = 0; i < half; i++) {
        double angle = (double)((float)pos * l->inv_freq[i]), c = cos(angle) * l->s.magnitude,
               s = sin(angle) * l->s.magnitude;
        double *a = head + (l->s.halves ? i : 2 * i), *b = head + (l->s.halves ? i + half : 2 * i + 1), x = *a, y = *b;
        *a = x * c - y * s;
        *b = x * s + y * c;
    }
}

static void naive_attend(const struct layer *l, const double *q, const double *k, const double *v, int pos, double *out)
{
    const struct shape *s = &l->s;
    int first = s->window && pos + 1 > s->window ? pos + 1 - s->window : 0, kv_dim = s->n_kv * s->d_head;
    for (int h = 0; h < s->n_head; h++) {
        int kv = h / (s->n_head / s->n_kv) * s->d_head;
        double p[MAX_TOK], sum = 0;
        for (int t = first; t <= pos; t++) {
            double dot = 0;
            for (int i = 0; i < s->d_head; i++) dot += q[h * s->d_head + i] * k[t * kv_dim + kv + i];
            dot /= sqrt(s->d_head);
            sum += p[t] = exp(s->softcap > 0 ? s->softcap * tanh(dot / s->softcap) : dot);
        }
        for (int i = 0; i < s->d_head; i++) {
            double acc = 0;
            for (int t = first; t <= pos; t++) acc += p[t] / sum * v[t * kv_dim + kv + i];
            out[h * s->d_head + i] = acc;
        }
    }
}

static double naive_activation(const struct shape *s, double x)
{
    return s->gelu ? 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x))) : x / (1 + exp(-x));
}

/* Logits [len][n_vocab] of one sequence after the layer. */
static double *naive(const struct layer *l, int seq)
{
    const struct shape *s = &l->s;
    double *out = mem_alloc((size_t)(seq_len[seq] * s->n_vocab) * sizeof(double)),
           *k = mem_alloc(MAX_TOK * 256 * sizeof(double)), *v = mem_alloc(MAX_TOK * 256 * sizeof(double)), x[256],
           h[256], q[256], y[MAX_FF], g[MAX_FF];
    int ad = seq_adapter[seq], kv_dim = s->n_kv * s->d_head;
    for (int t = 0; t < seq_len[seq]; t++) {
        for (int i = 0; i < s->n_embd; i++) x[i] = (double)l->x[(seq * MAX_TOK + t) * s->n_embd + i];
        naive_norm(h, x, l->norm[0], s->n_embd);
        naive_project(l, Q, ad, h, q);
        naive_project(l, K, ad, h, k + t * kv_dim);
        naive_project(l, V, ad, h, v + t * kv_dim);
        for (int i = 0; i < s->n_head; i++) naive_rope(l, q + i * s->d_head, t);
        for (int i = 0; i < s->n_kv; i++) naive_rope(l, k + t * kv_dim + i * s->d_head, t);
        naive_attend(l, q, k, v, t, h);
        naive_project(l, O, ad, h, y);
        for (int i = 0; i < s->n_embd; i++) x[i] += y[i];
        naive_norm(h, x, l->norm[1], s->n_embd);
        naive_project(l, GATE, ad, h, g);
        naive_project(l, UP, ad, h, y);
        for (int i = 0; i < s->n_ff; i++) g[i] = naive_activation(s, g[i]) * y[i];
        naive_project(l, DOWN, ad, g, y);
        if (s->joined) naive_norm(y, y, l->norm[0], s->n_embd);
        for (int i = 0; i < s->n_embd; i++) x[i] += s->joined ? 0.6 * y[i] : y[i];
        naive_norm(h, x, l->norm[2], s->n_embd);
        naive_project(l, HEAD, -1, h, out + t * s->n_vocab);
        for (int i = 0; i < s->n_vocab && s->logit_cap > 0; i++)
            out[t * s->n_vocab + i] = s->logit_cap * tanh(0.8 * out[t * s->n_vocab + i] / s->logit_cap);
    }
    mem_free(k);
    mem_free(v);
    return out;
}

/* --- the device --- */

struct rig {
    struct dev *d;
    struct dev_mat *mat[N_MAT];
    float *bias[N_SITE], *norm[3], *factor[N_ADAPTER][N_SITE][2];
    struct dev_lora *lora[N_ADAPTER][N_SITE];
    const struct dev_lora *view[N_SITE][N_ADAPTER];
    struct dev_kv *kv;
    enum dev_mode mode;
    int fine;
    float *x, *q, *att, *act, *branch;
};

/* Devices are kept from test to test: each new one tests all kernels, which takes longer than most of what follows. */
static struct dev *kept[5][PRECISION_REFERENCE + 1][KERN_AMX + 1];

static struct dev *device(const struct dev_options *opt)
{
    struct dev **d = &kept[opt->n_thread - 1][opt->precision][opt->isa];
    struct err e = {0};
    if (*d == NULL) must(dev_cpu_new(d, opt, &e), &e);
    return *d;
}

static int free_devices(void **state)
{
    (void)state;
    struct dev **d = &kept[0][0][0];
    for (size_t i = 0; i < sizeof(kept) / sizeof(*d); i++) dev_free(d[i]);
    return 0;
}

static float *put(struct dev *d, const float *src, size_t n)
{
    struct err e = {0};
    float *p;
    must(dev_alloc(d, &p, n, &e), &e);
    dev_write(d, p, src, n);
    return p;
}

static void rig_init(struct rig *r, const struct layer *l, const struct dev_options *opt, enum dev_mode mode)
{
    struct err e = {0};
    const struct shape *s = &l->s;
    *r = (struct rig){.d = device(opt), .mode = mode};
    dev_kv_use(r->d, l->kv_type);
    for (int i = 0; i < N_MAT; i++) {
        must(dev_mat_new(r->d, &r->mat[i], l->type, (size_t)l->n_out[i], (size_t)l->n_in[i], &e), &e);
        size_t row = (size_t)l->n_in[i] / (size_t)quants[l->type]->block_len * quants[l->type]->block_bytes;
        size_t first = l->n_out[i] > 16 ? 16 : (size_t)l->n_out[i]; /* in two pieces */
        dev_mat_put(r->d, r->mat[i], l->raw[i], 0, first);
        if ((size_t)l->n_out[i] > first)
            dev_mat_put(r->d, r->mat[i], (const char *)l->raw[i] + first * row, first, (size_t)l->n_out[i] - first);
    }
    for (int i = 0; i < N_SITE; i++) {
        r->bias[i] = put(r->d, l->bias[i], (size_t)l->n_out[i]);
        for (int a = 0; a < N_ADAPTER; a++) {
            r->factor[a][i][0] = put(r->d, l->a[a][i], (size_t)(RANK * l->n_in[i]));
            r->factor[a][i][1] = put(r->d, l->b[a][i], (size_t)(RANK * l->n_out[i]));
            must(dev_lora_new(r->d, &r->lora[a][i], r->factor[a][i][0], r->factor[a][i][1], RANK, (size_t)l->n_in[i],
                              (size_t)l->n_out[i], 0.7f, &e),
                 &e);
            r->view[i][a] = r->lora[a][i];
        }
    }
    for (int i = 0; i < 3; i++) r->norm[i] = put(r->d, l->norm[i], (size_t)s->n_embd);
    struct dev_kv_shape shape = {.n_layer = 2, .n_kv_head = s->n_kv, .d_head = s->d_head};
    must(dev_kv_new(r->d, &r->kv, &shape, mode, N_PAGE, &e), &e);
    size_t n = N_SEQ * MAX_TOK;
    must(dev_alloc(r->d, &r->x, n * 256, &e), &e);
    must(dev_alloc(r->d, &r->q, n * 256, &e), &e);
    must(dev_alloc(r->d, &r->att, n * 256, &e), &e);
    must(dev_alloc(r->d, &r->act, n * MAX_FF, &e), &e);
    must(dev_alloc(r->d, &r->branch, n * 256, &e), &e);
}

static void rig_deinit(struct rig *r)
{
    for (int i = 0; i < N_MAT; i++) dev_mat_free(r->mat[i]);
    for (int i = 0; i < N_SITE; i++) {
        dev_release(r->d, r->bias[i]);
        for (int a = 0; a < N_ADAPTER; a++) {
            dev_lora_free(r->lora[a][i]);
            dev_release(r->d, r->factor[a][i][0]);
            dev_release(r->d, r->factor[a][i][1]);
        }
    }
    for (int i = 0; i < 3; i++) dev_release(r->d, r->norm[i]);
    dev_kv_free(r->kv);
    dev_release(r->d, r->x);
    dev_release(r->d, r->q);
    dev_release(r->d, r->att);
    dev_release(r->d, r->act);
    dev_release(r->d, r->branch);
}

static struct dev_proj proj(const struct rig *r, int site)
{
    return (struct dev_proj){
        .w = r->mat[site], .bias = r->bias[site], .lora = r->view[site], .n_lora = N_ADAPTER, .fine = r->fine};
}

/* One layer on the rows of x already in r->x, and the logits of all rows. */
static void forward(struct rig *r, const struct layer *l, const struct dev_segment *seg, int n_seg, int n_tok,
                    float *logits)
{
    const struct shape *s = &l->s;
    struct dev_batch b = {r->mode, n_tok, seg, n_seg};
    struct dev_rope rope = {s->n_rot, s->halves, l->inv_freq, (float)s->magnitude};
    struct dev_attn_in in = {.norm = r->norm[0],
                             .eps = 1e-5f,
                             .q = proj(r, Q),
                             .k = proj(r, K),
                             .v = proj(r, V),
                             .rope = &rope,
                             .n_head = s->n_head,
                             .n_kv_head = s->n_kv,
                             .d_head = s->d_head};
    struct dev_attn attn = {.n_head = s->n_head,
                            .n_kv_head = s->n_kv,
                            .d_head = s->d_head,
                            .window = s->window,
                            .scale = (float)(1 / sqrt(s->d_head)),
                            .softcap = (float)s->softcap};
    struct dev_gate_up gu = {
        .norm = r->norm[1], .eps = 1e-5f, .gate = proj(r, GATE), .up = proj(r, UP), .gelu = s->gelu};
    struct dev_join branch = {.norm = r->norm[0], .eps = 1e-5f, .scale = 0.6f, .y = r->branch};
    const struct dev_join *join = s->joined ? &branch : NULL;
    struct dev_proj o = proj(r, O), down = proj(r, DOWN);
    struct dev_head head = {.norm = r->norm[2],
                            .eps = 1e-5f,
                            .out = {.w = r->mat[HEAD]},
                            .scale = s->logit_cap > 0 ? 0.8f : 1.0f,
                            .softcap = (float)s->logit_cap};
    int32_t rows[N_SEQ * MAX_TOK];
    for (int i = 0; i < n_tok; i++) rows[i] = i;
    dev_attention_in(r->d, &b, &in, r->x, r->q, NULL, r->kv, 1);
    dev_attention(r->d, &b, &attn, r->q, r->att, NULL, r->kv, 1);
    dev_linear_add(r->d, &b, &o, NULL, r->att, r->x);
    if (r->mode == DEV_SERVE) {
        dev_ffn(r->d, &b, &gu, &down, join, r->act, r->x);
    } else {
        dev_gate_up(r->d, &b, &gu, r->x, r->act, NULL, NULL, NULL);
        dev_linear_add(r->d, &b, &down, join, r->act, r->x);
    }
    dev_head(r->d, &b, &head, r->x, rows, n_tok, logits);
}

/* All sequences in steps of up to `chunk` tokens each, in blocks of `per_page` tokens: logits
 * [N_SEQ][MAX_TOK][n_vocab]. */
static float *run(struct rig *r, const struct layer *l, int chunk, int per_page)
{
    const struct shape *s = &l->s;
    float *all = mem_alloc((size_t)(N_SEQ * MAX_TOK * s->n_vocab) * sizeof(float));
    float *logits = mem_alloc((size_t)(N_SEQ * MAX_TOK * s->n_vocab) * sizeof(float));
    for (int pos = 0; pos < MAX_TOK; pos += chunk) {
        struct dev_segment seg[N_SEQ];
        struct dev_block block[N_SEQ][N_PAGE];
        int n_seg = 0, n_tok = 0, of[N_SEQ];
        for (int i = N_SEQ - 1; i >= 0; i--) {
            int n = seq_len[i] - pos < chunk ? seq_len[i] - pos : chunk, n_block = 0;
            if (n <= 0) continue;
            for (int p = 0; p < pos + n; p += per_page)
                block[i][n_block] =
                    (struct dev_block){(n_block * N_SEQ + i) % N_PAGE, pos + n - p < per_page ? pos + n - p : per_page},
                n_block++;
            of[n_seg] = i;
            seg[n_seg++] = (struct dev_segment){n_tok, n, pos, block[i], n_block, seq_adapter[i]};
            dev_write(r->d, r->x + n_tok * s->n_embd, l->x + (i * MAX_TOK + pos) * s->n_embd, (size_t)(n * s->n_embd));
            n_tok += n;
        }
        if (n_tok == 0) break;
        forward(r, l, seg, n_seg, n_tok, logits);
        for (int k = 0; k < n_seg; k++)
            memcpy(all + (of[k] * MAX_TOK + pos) * s->n_vocab, logits + seg[k].first_tok * s->n_vocab,
                   (size_t)(seg[k].n_tok * s->n_vocab) * sizeof(float));
    }
    mem_free(logits);
    return all;
}

static double worst(const struct layer *l, double *const want[N_SEQ], const float *got)
{
    double w = 0;
    for (int i = 0; i < N_SEQ; i++) {
        for (int k = 0; k < seq_len[i] * l->s.n_vocab; k++) {
            double d = fabs((double)got[i * MAX_TOK * l->s.n_vocab + k] - want[i][k]);
            if (!(d <= w)) w = d;
        }
    }
    return w;
}

/* Under a sanitizer, which is slow: threads meet in the same places on every level, with every type. */
#if defined(__SANITIZE_THREAD__)
enum { TYPE_STEP = 8, FINE_STEP = FINE_ALL };
#elif defined(__SANITIZE_ADDRESS__)
enum { TYPE_STEP = 4, FINE_STEP = FINE_ALL };
#else
enum { TYPE_STEP = 1, FINE_STEP = FINE_HALF };
#endif

static void check_against_naive(const struct shape *s, enum quant_type type, enum kern_isa isa)
{
    struct layer *l = layer_new(s, type);
    double *want[N_SEQ];
    for (int i = 0; i < N_SEQ; i++) want[i] = naive(l, i);
    bool quantized = quants[type]->block_len > 1;
    for (int precision = PRECISION_AUTO; precision <= PRECISION_REFERENCE; precision++)
        for (int mode = DEV_SERVE; mode <= DEV_TRAIN; mode++) {
            bool rounds = quantized && precision != PRECISION_REFERENCE && mode == DEV_SERVE; /* its inputs */
            for (int fine = FINE_NONE; fine <= (rounds ? FINE_ALL : FINE_NONE); fine += FINE_STEP) {
                struct rig r;
                rig_init(&r, l, &(struct dev_options){2, (enum precision)precision, isa}, (enum dev_mode)mode);
                r.fine = fine;
                float *got = run(&r, l, 29, fine ? DEV_PAGE : 13);
                bool bf16 = precision == PRECISION_AUTO && r.d->kern.gemm_bf16 != NULL && type != QUANT_F32;
                bool exact = precision == PRECISION_REFERENCE || (mode == DEV_TRAIN && !bf16);
                double bound = exact ? 1e-4 : quantized || bf16 ? 0.25 : 2e-2, w = worst(l, want, got);
                if (!(w < bound))
                    fail_msg("%s on %s, precision %d, mode %d, fine %d: %g off", quants[type]->name, kern_isa_name(isa),
                             precision, mode, fine, w);
                mem_free(got);
                rig_deinit(&r);
            }
        }
    for (int i = 0; i < N_SEQ; i++) mem_free(want[i]);
    layer_free(l);
}

static void test_against_naive(void **state)
{
    (void)state;
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++) {
        for (int type = 0; type < QUANT_COUNT; type += TYPE_STEP) {
            if (quants[type]->block_len == QUANT_K)
                check_against_naive(&wide_shape, (enum quant_type)type, (enum kern_isa)isa);
            for (size_t i = 0; quants[type]->block_len < QUANT_K && i < N_ELEM(shapes); i++)
                check_against_naive(&shapes[i], (enum quant_type)type, (enum kern_isa)isa);
        }
        check_against_naive(&odd_shape, QUANT_F32, (enum kern_isa)isa);
        check_against_naive(&odd_shape, QUANT_F16, (enum kern_isa)isa);
        check_against_naive(&odd_shape, QUANT_BF16, (enum kern_isa)isa);
    }
}

static void expect_same(const struct layer *l, const float *want, const struct dev_options *opt, enum dev_mode mode,
                        int chunk, int per_page)
{
    struct rig r;
    rig_init(&r, l, opt, mode);
    r.fine = FINE_ALL;
    float *got = run(&r, l, chunk, per_page);
    if (memcmp(got, want, (size_t)(N_SEQ * MAX_TOK * l->s.n_vocab) * sizeof(float)) != 0)
        fail_msg("%s, precision %d on %s: %d threads, chunks of %d, blocks of %d give other bits",
                 quants[l->type]->name, (int)opt->precision, kern_isa_name(opt->isa), opt->n_thread, chunk, per_page);
    mem_free(got);
    rig_deinit(&r);
}

static void check_bits(const struct shape *s, enum quant_type type, enum precision precision)
{
    struct layer *l = layer_new(s, type);
    enum kern_isa top = kern_isa_detect();
    struct rig r;
    rig_init(&r, l, &(struct dev_options){1, precision, top}, DEV_SERVE);
    r.fine = FINE_ALL;
    float *want = run(&r, l, MAX_TOK, DEV_PAGE);
    rig_deinit(&r);
    for (int isa = precision == PRECISION_REFERENCE ? FIRST_LEVEL : (int)top; isa <= (int)top; isa++) {
        struct dev_options opt = {1, precision, (enum kern_isa)isa};
        expect_same(l, want, &opt, DEV_SERVE, 1, DEV_PAGE);
        expect_same(l, want, &opt, DEV_SERVE, 3, 13);
        opt.n_thread = 2;
        expect_same(l, want, &opt, DEV_SERVE, 40, DEV_PAGE);
        opt.n_thread = 5;
        expect_same(l, want, &opt, DEV_SERVE, 17, 11);
        if (precision == PRECISION_REFERENCE) expect_same(l, want, &opt, DEV_TRAIN, 17, DEV_PAGE);
    }
    mem_free(want);
    layer_free(l);
}

/* Where some blocks keep 16 bits, which ones is the same for any number of threads; and it is not all of them. */
static void check_partly_fine(const struct shape *s, enum quant_type type, enum kern_isa isa)
{
    struct layer *l = layer_new(s, type);
    size_t n = (size_t)(N_SEQ * MAX_TOK * l->s.n_vocab) * sizeof(float);
    float *got[4];
    for (int i = 0; i < 4; i++) {
        struct rig r;
        rig_init(&r, l, &(struct dev_options){i < 3 ? i + 1 : 1, PRECISION_AUTO, isa}, DEV_SERVE);
        struct kern was = r.d->kern;
        r.d->kern.gemm_bf16 = NULL; /* which would be taken instead where there is one */
        r.fine = i < 3 ? FINE_HALF : FINE_ALL;
        got[i] = run(&r, l, 29, DEV_PAGE);
        r.d->kern = was;
        rig_deinit(&r);
    }
    assert_memory_equal(got[0], got[1], n);
    assert_memory_equal(got[0], got[2], n);
    if (s->n_embd > KERN_K && quants[type]->block_len > 1) assert_memory_not_equal(got[0], got[3], n);
    for (int i = 0; i < 4; i++) mem_free(got[i]);
    layer_free(l);
}

static void test_partly_fine(void **state)
{
    (void)state;
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++) {
        check_partly_fine(&wide_shape, QUANT_Q4_K, (enum kern_isa)isa);
        for (size_t i = 0; i < N_ELEM(shapes); i++) check_partly_fine(&shapes[i], QUANT_Q4_1, (enum kern_isa)isa);
    }
}

static void test_bits(void **state)
{
    (void)state;
    const enum quant_type types[] = {QUANT_F32, QUANT_F16, QUANT_Q8_0, QUANT_Q4_1};
    const size_t step = TYPE_STEP > 1 ? 3 : 1;
    for (size_t t = 0; t < N_ELEM(types); t += step)
        for (size_t i = 0; i < N_ELEM(shapes); i++) {
            check_bits(&shapes[i], types[t], PRECISION_REFERENCE);
            check_bits(&shapes[i], types[t], PRECISION_DETERMINISTIC);
        }
    check_bits(&odd_shape, QUANT_F16, PRECISION_REFERENCE);
    check_bits(&wide_shape, QUANT_Q4_K, PRECISION_REFERENCE);
    check_bits(&wide_shape, QUANT_Q4_K, PRECISION_DETERMINISTIC);
    check_bits(&wide_shape, QUANT_Q6_K, PRECISION_DETERMINISTIC);
}

/* Two children after one prefix that ends inside a page, in one batch with it, against the same tokens alone. */
static void check_shared(enum precision precision)
{
    enum { PREFIX = 37, CHILD = 20 };
    struct layer *l = layer_new(&shapes[0], QUANT_Q4_1);
    struct rig r;
    int n_embd = l->s.n_embd, n_vocab = l->s.n_vocab;
    rig_init(&r, l, &(struct dev_options){2, precision, kern_isa_detect()}, DEV_SERVE);
    float *shared = mem_alloc((size_t)(3 * MAX_TOK * n_vocab) * sizeof(float)),
          *alone = mem_alloc((size_t)(MAX_TOK * n_vocab) * sizeof(float));
    struct dev_block own[] = {{0, 32}, {1, 5}}, child[2][3] = {{{0, 32}, {1, 5}, {2, 20}}, {{0, 32}, {1, 5}, {3, 20}}};
    struct dev_segment seg[] = {
        {0, PREFIX, 0, own, 2, -1}, {37, CHILD, PREFIX, child[0], 3, -1}, {57, CHILD, PREFIX, child[1], 3, -1}};
    dev_write(r.d, r.x, l->x, (size_t)((PREFIX + 2 * CHILD) * n_embd));
    forward(&r, l, seg, 3, PREFIX + 2 * CHILD, shared);
    for (int c = 0; c < 2; c++) {
        struct dev_block block[] = {{4, 32}, {5, 25}};
        struct dev_segment whole = {0, PREFIX + CHILD, 0, block, 2, -1};
        dev_write(r.d, r.x, l->x, (size_t)(PREFIX * n_embd));
        dev_write(r.d, r.x + PREFIX * n_embd, l->x + (PREFIX + c * CHILD) * n_embd, (size_t)(CHILD * n_embd));
        forward(&r, l, &whole, 1, PREFIX + CHILD, alone);
        assert_memory_equal(alone, shared, (size_t)(PREFIX * n_vocab) * sizeof(float));
        assert_memory_equal(alone + PREFIX * n_vocab, shared + (PREFIX + c * CHILD) * n_vocab,
                            (size_t)(CHILD * n_vocab) * sizeof(float));
    }
    mem_free(shared);
    mem_free(alone);
    rig_deinit(&r);
    layer_free(l);
}

static void test_shared_prefix(void **state)
{
    (void)state;
    check_shared(PRECISION_REFERENCE);
    check_shared(PRECISION_DETERMINISTIC);
}

/* A copied page serves as well as the one it was copied from. */
static void check_page_copy(const struct shape *shape, enum dev_kv_type kv_type)
{
    struct layer *l = layer_new(shape, QUANT_F32);
    l->kv_type = kv_type;
    struct rig r;
    int n_embd = l->s.n_embd, n_vocab = l->s.n_vocab;
    rig_init(&r, l, &(struct dev_options){2, PRECISION_DETERMINISTIC, kern_isa_detect()}, DEV_SERVE);
    float *a = mem_alloc((size_t)(MAX_TOK * n_vocab) * sizeof(float)),
          *b = mem_alloc((size_t)(MAX_TOK * n_vocab) * sizeof(float));
    struct dev_block one[] = {{0, 21}};
    struct dev_segment seg = {0, 20, 0, one, 1, -1};
    dev_write(r.d, r.x, l->x, (size_t)(20 * n_embd));
    one[0].n_tok = 20;
    forward(&r, l, &seg, 1, 20, a);
    dev_kv_copy(r.d, r.kv, 7, 0, 20);
    for (int k = 0; k < 2; k++) {
        struct dev_block next[] = {{k ? 7 : 0, 21}};
        struct dev_segment s = {0, 1, 20, next, 1, -1};
        dev_write(r.d, r.x, l->x + 20 * n_embd, (size_t)n_embd);
        forward(&r, l, &s, 1, 1, k ? b : a);
    }
    assert_memory_equal(a, b, (size_t)n_vocab * sizeof(float));
    mem_free(a);
    mem_free(b);
    rig_deinit(&r);
    layer_free(l);
}

/* Keys and values in int8: one token at a time and many (the cache as it stands, and converted) give the same bits, at
 * every instruction set; what comes out is near to what float16 gives. */
static void check_q8_kv(const struct shape *shape, enum kern_isa isa)
{
    struct layer *l = layer_new(shape, QUANT_F32);
    struct dev_options opt = {.n_thread = 1, .precision = PRECISION_DETERMINISTIC, .isa = isa};
    size_t n = (size_t)(N_SEQ * MAX_TOK * l->s.n_vocab);
    float *got[2];
    for (int i = 0; i < 2; i++) {
        struct rig r;
        l->kv_type = i ? DEV_KV_Q8_0 : DEV_KV_F16;
        rig_init(&r, l, &opt, DEV_SERVE);
        r.fine = FINE_ALL;
        size_t bytes = dev_kv_page_bytes(r.kv);
        assert_int_equal(bytes, (size_t)(2 * 2 * l->s.n_kv * l->s.d_head * DEV_PAGE) * (i ? 34 : 64) / 32);
        assert_int_equal(bytes, dev_kv_plan_page_bytes(
                                    r.d, &(struct dev_kv_shape){2, l->s.n_kv, l->s.d_head, 0, 0, NULL}, DEV_SERVE));
        got[i] = run(&r, l, MAX_TOK, DEV_PAGE);
        rig_deinit(&r);
    }
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        error += pow((double)got[1][i] - (double)got[0][i], 2);
        size += pow((double)got[0][i], 2);
    }
    if (!(error > 0 && error < 1e-4 * size))
        fail_msg("%s: int8 is %.2e away from float16, relative", kern_isa_name(isa), sqrt(error / size));
    for (int chunk = 1; chunk <= 40; chunk += 13) {
        opt.n_thread = 1 + chunk % 3;
        expect_same(l, got[1], &opt, DEV_SERVE, chunk, chunk % 2 ? DEV_PAGE : 13);
    }
    mem_free(got[0]);
    mem_free(got[1]);
    layer_free(l);
}

static void test_q8_kv(void **state)
{
    (void)state;
    for (int isa = FIRST_LEVEL; isa <= (int)kern_isa_detect(); isa++) {
        check_q8_kv(&shapes[1], (enum kern_isa)isa);
        check_q8_kv(&wide_shape, (enum kern_isa)isa);
    }
    struct err e = {0};
    struct dev *d;
    struct dev_kv *kv;
    must(dev_cpu_new(&d, &(struct dev_options){1, PRECISION_AUTO, KERN_SCALAR}, &e), &e);
    dev_kv_use(d, DEV_KV_Q8_0);
    assert_int_equal(dev_kv_new(d, &kv, &(struct dev_kv_shape){1, 1, 80, 0, 0, NULL}, DEV_SERVE, 2, &e),
                     -ERR_UNSUPPORTED);
    assert_string_equal(e.msg, "cannot keep keys and values in q8_0: heads of 80 values are no whole blocks of 32");
    dev_free(d);
}

static void test_page_copy(void **state)
{
    (void)state;
    check_page_copy(&shapes[0], DEV_KV_F16);
    check_page_copy(&shapes[1], DEV_KV_Q8_0);
}

/* bfloat16 entries as kern.h defines them, in the plainest form: what some machines have, so that the path through the
 * device is tested on others. */
static struct kern plain; /* scalar table for the readers below, which take no context */

static void plain_panel_bf16(uint16_t *panel, const void *packed, size_t part, size_t n_part)
{
    float *p = mem_alloc(n_part * KERN_K * KERN_ROWS * sizeof(float));
    plain.quant[QUANT_Q4_1].panel(p, (const uint8_t *)packed + part * quants[QUANT_Q4_1]->packed_bytes, n_part);
    for (size_t k = 0; k < n_part * KERN_K; k++)
        for (size_t r = 0; r < KERN_ROWS; r++)
            plain.f32_to_bf16(&panel[(k / 2 * KERN_ROWS + r) * 2 + k % 2], &p[k * KERN_ROWS + r], 1,
                              1 / KERN_BF16_TIMES);
    mem_free(p);
}

static float from_bf16(uint16_t v)
{
    uint32_t bits = (uint32_t)v << 16;
    float f;
    memcpy(&f, &bits, sizeof(f));
    return f;
}

static void plain_gemm_bf16(float *y, size_t ldy, const uint16_t *x, size_t ldx, const uint16_t *p, size_t p_stride,
                            size_t n_row, size_t n_group, size_t n_k, bool accumulate)
{
    for (size_t r = 0; r < n_row; r++)
        for (size_t c = 0; c < n_group * 16; c++) {
            float sum = accumulate ? y[r * ldy + c] : 0;
            for (size_t k = 0; k < n_k; k++)
                sum += from_bf16(x[r * ldx + k]) * from_bf16(p[c / 16 * p_stride + (k / 2 * 16 + c % 16) * 2 + k % 2]);
            y[r * ldy + c] = sum;
        }
}

static void test_bf16_path(void **state)
{
    (void)state;
    struct shape wide = shapes[0];
    wide.n_ff = MAX_FF; /* longer than one panel of floats, and than one of bfloat16 */
    struct layer *l = layer_new(&wide, QUANT_Q4_1);
    double *want[N_SEQ];
    for (int i = 0; i < N_SEQ; i++) want[i] = naive(l, i);
    kern_init(&plain, KERN_SCALAR);
    for (int mode = DEV_SERVE; mode <= DEV_TRAIN; mode++) {
        struct rig r;
        rig_init(&r, l, &(struct dev_options){2, PRECISION_AUTO, KERN_SCALAR}, (enum dev_mode)mode);
        struct kern was = r.d->kern;
        r.d->kern.isa = KERN_AMX;
        r.d->kern.gemm_bf16 = plain_gemm_bf16;
        r.d->kern.quant[QUANT_Q4_1].panel_bf16 = plain_panel_bf16;
        float *got = run(&r, l, 29, DEV_PAGE);
        double w = worst(l, want, got);
        if (!(w < 0.25) || !(w > 1e-4)) fail_msg("mode %d: %g off, some rounding of bfloat16 was expected", mode, w);
        mem_free(got);
        r.d->kern = was;
        rig_deinit(&r);
    }
    for (int i = 0; i < N_SEQ; i++) mem_free(want[i]);
    layer_free(l);
}

/* Where bfloat16 takes the place of the other paths, with tiles and without, and that nothing but auto lets it. */
static void test_choice_of_path(void **state)
{
    (void)state;
    static const struct {
        enum kern_isa isa;
        bool has_bf16;
        enum precision precision;
        enum dev_mode mode;
        enum quant_type type;
        int fine;
        size_t n_row;
        enum cpu_path want;
    } c[] = {
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_HALF, 63, PATH_Q16},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_HALF, 64, PATH_BF16},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_QUARTER, 64, PATH_Q16},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_NONE, 256, PATH_Q8},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_F16, FINE_NONE, 12, PATH_BF16},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_F16, FINE_NONE, 11, PATH_F32},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_SERVE, QUANT_F32, FINE_ALL, 256, PATH_F32},
        {KERN_AVX512, true, PRECISION_AUTO, DEV_TRAIN, QUANT_Q4_1, FINE_NONE, 1, PATH_BF16},
        {KERN_AVX512, true, PRECISION_DETERMINISTIC, DEV_TRAIN, QUANT_Q4_1, FINE_NONE, 256, PATH_F32},
        {KERN_AVX512, true, PRECISION_DETERMINISTIC, DEV_SERVE, QUANT_Q4_1, FINE_ALL, 256, PATH_Q16},
        {KERN_AVX512, true, PRECISION_REFERENCE, DEV_SERVE, QUANT_Q4_1, FINE_ALL, 256, PATH_REF},
        {KERN_AVX512, false, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_ALL, 256, PATH_Q16},
        {KERN_AVX512, false, PRECISION_AUTO, DEV_TRAIN, QUANT_Q4_1, FINE_ALL, 256, PATH_F32},
        {KERN_AMX, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_NONE, 14, PATH_BF16},
        {KERN_AMX, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_NONE, 13, PATH_Q8},
        {KERN_AMX, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_QUARTER, 10, PATH_BF16},
        {KERN_AMX, true, PRECISION_AUTO, DEV_SERVE, QUANT_Q4_1, FINE_QUARTER, 9, PATH_Q16},
        {KERN_AMX, true, PRECISION_AUTO, DEV_SERVE, QUANT_BF16, FINE_NONE, 12, PATH_BF16},
        {KERN_AMX, true, PRECISION_AUTO, DEV_SERVE, QUANT_BF16, FINE_NONE, 11, PATH_F32},
        {KERN_AMX, true, PRECISION_AUTO, DEV_TRAIN, QUANT_Q4_1, FINE_NONE, 8, PATH_BF16},
        {KERN_AMX, true, PRECISION_AUTO, DEV_TRAIN, QUANT_Q4_1, FINE_NONE, 7, PATH_F32},
    };
    for (size_t i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
        struct dev *d = device(&(struct dev_options){1, c[i].precision, KERN_SCALAR});
        struct kern was = d->kern;
        d->kern.isa = c[i].isa;
        d->kern.gemm_bf16 = c[i].has_bf16 ? plain_gemm_bf16 : NULL;
        d->kern.quant[c[i].type].panel_bf16 = c[i].has_bf16 ? plain_panel_bf16 : NULL;
        d->kern.bf16_min_rows[0] = 14;
        d->kern.bf16_min_rows[1] = 10;
        int got = (int)cpu_path_choose(d, c[i].mode, c[i].type, c[i].fine, c[i].n_row);
        if (got != (int)c[i].want) fail_msg("case %zu: path %d, should be %d", i, got, (int)c[i].want);
        d->kern = was;
    }
}

/* Numbers of rows that are slow are those of the path that a type takes. */
static void test_slow_rows(void **state)
{
    (void)state;
    struct dev *d = device(&(struct dev_options){1, PRECISION_AUTO, KERN_SCALAR});
    struct kern was = d->kern;
    static const struct kern_slow q8[] = {{5, 6}, {0}}, bf16[] = {{7, 8}, {0}}, f32[] = {{3, 4}, {0}};
    d->kern.slow_q8 = q8;
    d->kern.slow_bf16 = bf16;
    d->kern.slow_f32 = f32;
    assert_int_equal(dev_slow_rows(d, QUANT_Q4_1, FINE_NONE)->first, 5);
    assert_int_equal(dev_slow_rows(d, QUANT_Q4_1, FINE_HALF)->first, 5);
    assert_int_equal(dev_slow_rows(d, QUANT_F16, FINE_NONE)->first, 3);
    d->kern.isa = KERN_AMX;
    d->kern.gemm_bf16 = plain_gemm_bf16;
    d->kern.quant[QUANT_Q4_1].panel_bf16 = d->kern.quant[QUANT_F16].panel_bf16 = plain_panel_bf16;
    assert_int_equal(dev_slow_rows(d, QUANT_Q4_1, FINE_NONE)->last, 8);
    assert_int_equal(dev_slow_rows(d, QUANT_F16, FINE_NONE)->last, 8);
    assert_int_equal(dev_slow_rows(d, QUANT_F32, FINE_NONE)->first, 3);
    d->kern = was;
}

static void test_embed(void **state)
{
    (void)state;
    struct shape embed_shape = wide_shape;
    embed_shape.n_vocab = 50;
    const int32_t ids[] = {0, 49, 16, 31, 49};
    for (int type = 0; type < QUANT_COUNT; type++) {
        struct layer *l = layer_new(&embed_shape, (enum quant_type)type);
        struct rig r;
        float x[5 * 256];
        rig_init(&r, l, &(struct dev_options){2, PRECISION_AUTO, kern_isa_detect()}, DEV_SERVE);
        dev_embed(r.d, r.x, r.mat[HEAD], ids, 5, 1);
        dev_read(r.d, x, r.x, 5 * 256);
        for (int i = 0; i < 5; i++) assert_memory_equal(x + i * 256, l->w[HEAD] + ids[i] * 256, 256 * sizeof(float));
        rig_deinit(&r);
        layer_free(l);
    }
}

/* What the backward pass keeps: 1/rms, log-sum-exp, gate and up, A x. */
static void test_kept(void **state)
{
    (void)state;
    struct layer *l = layer_new(&shapes[0], QUANT_F32);
    struct rig r;
    const struct shape *s = &l->s;
    rig_init(&r, l, &(struct dev_options){2, PRECISION_REFERENCE, kern_isa_detect()}, DEV_TRAIN);
    struct dev_block block[] = {{0, 32}, {1, 8}};
    struct dev_segment seg = {0, 40, 0, block, 2, 0};
    struct dev_batch b = {DEV_TRAIN, 40, &seg, 1};
    struct dev_gate_up gu = {.norm = r.norm[1], .eps = 1e-5f, .gate = proj(&r, GATE), .up = proj(&r, UP)};
    struct err e = {0};
    float *gate, *up, *act, *inv, *u;
    must(dev_alloc(r.d, &gate, 40 * 96, &e), &e);
    must(dev_alloc(r.d, &up, 40 * 96, &e), &e);
    must(dev_alloc(r.d, &act, 40 * 96, &e), &e);
    must(dev_alloc(r.d, &inv, 40, &e), &e);
    must(dev_alloc(r.d, &u, 40 * RANK, &e), &e);
    gu.gate.u = u;
    dev_write(r.d, r.x, l->x, (size_t)(40 * s->n_embd));
    dev_gate_up(r.d, &b, &gu, r.x, r.act, gate, up, inv);
    dev_glu(r.d, false, act, gate, up, 40, (size_t)s->n_ff);
    assert_memory_equal(act, r.act, sizeof(float) * (size_t)(40 * s->n_ff));
    for (int t = 0; t < 40; t++) {
        double x[64], h[64], sum = 0;
        for (int i = 0; i < 64; i++) x[i] = (double)l->x[t * 64 + i], sum += x[i] * x[i];
        naive_norm(h, x, l->norm[1], 64);
        assert_true(fabs(1 / sqrt(sum / 64 + 1e-5) - (double)inv[t]) < 1e-5);
        for (int k = 0; k < RANK; k++) {
            double want = 0;
            for (int i = 0; i < 64; i++) want += (double)l->a[0][GATE][k * 64 + i] * h[i];
            assert_true(fabs(want - (double)u[t * RANK + k]) < 1e-4);
        }
    }
    dev_release(r.d, gate);
    dev_release(r.d, up);
    dev_release(r.d, act);
    dev_release(r.d, inv);
    dev_release(r.d, u);
    rig_deinit(&r);
    layer_free(l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embed),       cmocka_unit_test(test_against_naive), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_partly_fine), cmocka_unit_test(test_shared_prefix), cmocka_unit_test(test_page_copy),
        cmocka_unit_test(test_kept),        cmocka_unit_test(test_bf16_path),     cmocka_unit_test(test_choice_of_path),
        cmocka_unit_test(test_slow_rows),   cmocka_unit_test(test_q8_kv),
    };
    return cmocka_run_group_tests(tests, NULL, free_devices);
}
