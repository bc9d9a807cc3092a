/* Attention with a compressed cache: against the uncompressed definition (a key and a value made for every head and
 * token) in double precision, for precisions, instruction sets and types; the same bits whatever the threads, steps and
 * pages; and copies of pages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "compute/device/latent.h"
#include "ground/base/mem.h"
#include "ground/base/rng.h"
#include "ground/base/str.h"
#include "random_weights.h"
#include "naive.h"

enum { N_SEQ = 2, MAX_TOK = 480, N_PAGE = 80, N_LAYER = 2, LAYER = 1, MAX_N = 512 };
static const int few[N_SEQ] = {75, 40}, many[N_SEQ] = {470, 260};
static const int *seq_len = few;

struct shape {
    int n_embd, q_rank, n_head, d_nope, n_rot, n_latent, d_value;
};
static const struct shape shapes[] = {
    {64, 0, 4, 16, 8, 24, 12}, /* the widths of the tiny models: nothing a multiple of 16 */
    {64, 32, 3, 32, 16, 64, 32},
};
static const struct shape block_shape = {64, 96, 12, 32, 16, 64, 32}; /* rows of whole blocks of 32 */

enum { Q_A, Q, KV_A, K_B, V_B, N_MAT };

struct layer {
    struct shape s;
    enum quant_type type;
    int n[N_MAT], n_out[N_MAT], n_in[N_MAT];
    uint8_t *raw[N_MAT];
    float *w[N_MAT], *norm, *q_norm, *kv_norm, *x, inv_freq[16];
};

static struct layer layer_new(const struct shape *s, enum quant_type type)
{
    int q_in = s->q_rank ? s->q_rank : s->n_embd;
    struct layer l = {
        .s = *s,
        .type = type,
        .n = {s->q_rank > 0, 1, 1, s->n_head, s->n_head},
        .n_out = {s->q_rank, s->n_head * (s->d_nope + s->n_rot), s->n_latent + s->n_rot, s->n_latent, s->d_value},
        .n_in = {s->n_embd, q_in, s->n_embd, s->d_nope, s->n_latent}};
    for (int i = 0; i < N_MAT; i++) {
        size_t n = (size_t)l.n[i] * (size_t)l.n_out[i] * (size_t)l.n_in[i];
        const struct quant *q = quants[type];
        l.w[i] = normal_values(11, 20 + (uint64_t)i, n, 1 / sqrt(l.n_in[i]), 0);
        l.raw[i] = mem_alloc(n / (size_t)q->block_len * q->block_bytes + 1);
        if (n) random_weights(type, l.raw[i], l.w[i], n, 1 / sqrtf((float)l.n_in[i]));
    }
    l.norm = normal_values(11, 30, (size_t)s->n_embd, 0.3, 1);
    l.q_norm = normal_values(11, 31, (size_t)s->q_rank, 0.3, 1);
    l.kv_norm = normal_values(11, 32, (size_t)s->n_latent, 0.3, 1);
    l.x = normal_values(11, 33, (size_t)(N_SEQ * MAX_TOK * s->n_embd), 1, 0);
    for (int i = 0; i < s->n_rot / 2; i++) l.inv_freq[i] = (float)pow(50.0, -2.0 * i / s->n_rot);
    return l;
}

static void layer_free(struct layer *l)
{
    for (int i = 0; i < N_MAT; i++) mem_free(l->raw[i]), mem_free(l->w[i]);
    mem_free(l->norm);
    mem_free(l->q_norm);
    mem_free(l->kv_norm);
    mem_free(l->x);
}

/* --- the definition --- */

static void norm_by(double *y, const double *x, const float *w, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * x[i];
    for (int i = 0; i < n; i++) y[i] = x[i] / sqrt(sum / n + 1e-5) * (double)w[i];
}

static void rotate(const struct layer *l, double *x, int pos)
{
    for (int i = 0; i < l->s.n_rot / 2; i++) {
        double a = (double)((float)pos * l->inv_freq[i]), c = cos(a), s = sin(a), u = x[2 * i], v = x[2 * i + 1];
        x[2 * i] = u * c - v * s;
        x[2 * i + 1] = u * s + v * c;
    }
}

/* Latent and rotated key of a token. */
static void naive_kv(const struct layer *l, const double *h, int pos, double *kv)
{
    multiply(kv, l->w[KV_A], l->n_out[KV_A], l->n_in[KV_A], h);
    norm_by(kv, kv, l->kv_norm, l->s.n_latent);
    rotate(l, kv + l->s.n_latent, pos);
}

/* One head of one token: a key and a value for every token before it. */
static void naive_head(const struct layer *l, int head, const double *q, const double *kv, int pos, double *out)
{
    const struct shape *s = &l->s;
    int width = s->n_latent + s->n_rot;
    const float *k_b = l->w[K_B] + head * s->n_latent * s->d_nope, *v_b = l->w[V_B] + head * s->d_value * s->n_latent;
    double p[MAX_TOK], sum = 0, value[MAX_N];
    for (int t = 0; t <= pos; t++) {
        double dot = 0;
        for (int i = 0; i < s->d_nope; i++) {
            double key = 0;
            for (int c = 0; c < s->n_latent; c++) key += (double)k_b[c * s->d_nope + i] * kv[t * width + c];
            dot += q[i] * key;
        }
        for (int i = 0; i < s->n_rot; i++) dot += q[s->d_nope + i] * kv[t * width + s->n_latent + i];
        sum += p[t] = exp(dot / sqrt(s->d_nope + s->n_rot));
    }
    for (int i = 0; i < s->d_value; i++) out[i] = 0;
    for (int t = 0; t <= pos; t++) {
        multiply(value, v_b, s->d_value, s->n_latent, kv + t * width);
        for (int i = 0; i < s->d_value; i++) out[i] += p[t] / sum * value[i];
    }
}

/* [len][n_head * d_value] */
static double *naive(const struct layer *l, int seq)
{
    const struct shape *s = &l->s;
    int width = s->n_latent + s->n_rot, d_query = s->d_nope + s->n_rot, n_out = s->n_head * s->d_value;
    double *out = mem_alloc((size_t)(seq_len[seq] * n_out) * sizeof(double));
    double *kv = mem_alloc((size_t)(MAX_TOK * width) * sizeof(double)), x[MAX_N], h[MAX_N], a[MAX_N], q[MAX_N * 2];
    for (int t = 0; t < seq_len[seq]; t++) {
        for (int i = 0; i < s->n_embd; i++) x[i] = (double)l->x[(seq * MAX_TOK + t) * s->n_embd + i];
        norm_by(h, x, l->norm, s->n_embd);
        naive_kv(l, h, t, kv + t * width);
        if (s->q_rank) {
            multiply(a, l->w[Q_A], s->q_rank, s->n_embd, h);
            norm_by(h, a, l->q_norm, s->q_rank);
        }
        multiply(q, l->w[Q], l->n_out[Q], l->n_in[Q], h);
        for (int i = 0; i < s->n_head; i++) {
            rotate(l, q + i * d_query + s->d_nope, t);
            naive_head(l, i, q + i * d_query, kv, t, out + t * n_out + i * s->d_value);
        }
    }
    mem_free(kv);
    return out;
}

/* --- the device --- */

struct rig {
    struct dev *d;
    struct dev_stack *mat[N_MAT];
    struct dev_kv *kv;
    float *x, *q, *att, *out;
};

static void rig_init(struct rig *r, const struct layer *l, int n_thread, enum precision precision, enum kern_isa isa)
{
    struct err e = {0};
    const struct shape *s = &l->s;
    *r = (struct rig){0};
    must(dev_cpu_new(&r->d, &(struct dev_options){n_thread, precision, isa}, &e), &e);
    for (int i = 0; i < N_MAT; i++) {
        if (!l->n[i]) continue;
        size_t n_out = (size_t)l->n_out[i], n_in = (size_t)l->n_in[i];
        size_t bytes = n_out * n_in / (size_t)quants[l->type]->block_len * quants[l->type]->block_bytes;
        must(dev_stack_new(r->d, &r->mat[i], l->type, (size_t)l->n[i], n_out, n_in, &e), &e);
        for (int k = 0; k < l->n[i]; k++)
            dev_mat_put(r->d, dev_stack_mat(r->mat[i], (size_t)k), l->raw[i] + (size_t)k * bytes, 0, n_out);
    }
    struct dev_kv_shape shape = {N_LAYER, 1, s->n_latent + s->n_rot, s->n_latent, 0, NULL};
    must(dev_kv_new(r->d, &r->kv, &shape, DEV_SERVE, N_PAGE, &e), &e);
    struct dev_latent_shape need = {s->n_embd, s->q_rank, s->n_head, s->d_nope, s->n_rot, s->n_latent, s->d_value};
    must(dev_latent_reserve(r->d, &need, &e), &e);
    size_t n = N_SEQ * MAX_TOK;
    must(dev_alloc(r->d, &r->x, n * (size_t)s->n_embd, &e), &e);
    must(dev_alloc(r->d, &r->q, n * (size_t)(s->n_head * (s->n_latent + s->n_rot)), &e), &e);
    must(dev_alloc(r->d, &r->att, n * (size_t)(s->n_head * s->n_latent), &e), &e);
    must(dev_alloc(r->d, &r->out, n * (size_t)(s->n_head * s->d_value), &e), &e);
}

static void rig_deinit(struct rig *r)
{
    for (int i = 0; i < N_MAT; i++) dev_stack_free(r->mat[i]);
    dev_kv_free(r->kv);
    dev_release(r->d, r->x);
    dev_release(r->d, r->q);
    dev_release(r->d, r->att);
    dev_release(r->d, r->out);
    dev_free(r->d);
}

static struct dev_proj proj(const struct rig *r, int i)
{
    return (struct dev_proj){.w = r->mat[i] ? dev_stack_at(r->mat[i], 0) : NULL, .fine = FINE_ALL};
}

static void forward(struct rig *r, const struct layer *l, const struct dev_batch *b)
{
    const struct shape *s = &l->s;
    struct dev_rope rope = {.n_rot = s->n_rot, .halves = false, .inv_freq = l->inv_freq};
    const struct dev_latent_heads heads = {r->mat[K_B], r->mat[V_B]};
    struct dev_latent_in in = {.norm = l->norm,
                               .eps = 1e-5f,
                               .q_a = proj(r, Q_A),
                               .q_norm = l->q_norm,
                               .q = proj(r, Q),
                               .kv_a = proj(r, KV_A),
                               .kv_norm = l->kv_norm,
                               .k_b = r->mat[K_B],
                               .rope = &rope,
                               .expand = &heads};
    struct dev_attn attn = {.n_head = s->n_head,
                            .n_kv_head = 1,
                            .d_head = s->n_latent + s->n_rot,
                            .scale = (float)(1 / sqrt(s->d_nope + s->n_rot)),
                            .expand = &heads};
    dev_latent_in(r->d, b, &in, r->x, r->q, r->kv, LAYER);
    dev_attention(r->d, b, &attn, r->q, r->att, NULL, r->kv, LAYER);
    dev_latent_out(r->d, b, r->mat[V_B], &heads, r->att, r->out);
}

/* All sequences in steps of up to `chunk` tokens each, blocks of `per_page` tokens: [N_SEQ][MAX_TOK][n_out]. The page
 * that a step begins in is copied to another one first when `copy`. */
static float *run(struct rig *r, const struct layer *l, int chunk, int per_page, bool copy)
{
    size_t n_embd = (size_t)l->s.n_embd, n_out = (size_t)(l->s.n_head * l->s.d_value);
    float *all = mem_alloc(N_SEQ * MAX_TOK * n_out * sizeof(float));
    for (int pos = 0; pos < MAX_TOK; pos += chunk) {
        struct dev_segment seg[N_SEQ];
        struct dev_block block[N_SEQ][N_PAGE];
        int n_seg = 0, n_tok = 0, of[N_SEQ];
        for (int i = N_SEQ - 1; i >= 0; i--) {
            int n = seq_len[i] - pos < chunk ? seq_len[i] - pos : chunk, n_block = 0;
            if (n <= 0) continue;
            for (int p = 0; p < pos + n; p += per_page, n_block++) {
                int used = pos + n - p < per_page ? pos + n - p : per_page;
                block[i][n_block] = (struct dev_block){n_block * N_SEQ + i, used};
            }
            if (copy && pos > 0 && pos % per_page) { /* there and back, nothing past what counts */
                int page = pos / per_page * N_SEQ + i;
                dev_kv_copy(r->d, r->kv, N_PAGE - 1, page, pos % per_page);
                dev_kv_copy(r->d, r->kv, page, N_PAGE - 1, pos % per_page);
            }
            of[n_seg] = i;
            seg[n_seg++] = (struct dev_segment){n_tok, n, pos, block[i], n_block, -1};
            dev_write(r->d, r->x + (size_t)n_tok * n_embd, l->x + (size_t)(i * MAX_TOK + pos) * n_embd,
                      (size_t)n * n_embd);
            n_tok += n;
        }
        if (n_tok == 0) break;
        forward(r, l, &(struct dev_batch){DEV_SERVE, n_tok, seg, n_seg});
        for (int k = 0; k < n_seg; k++)
            dev_read(r->d, all + (size_t)(of[k] * MAX_TOK + pos) * n_out, r->out + (size_t)seg[k].first_tok * n_out,
                     (size_t)seg[k].n_tok * n_out);
    }
    return all;
}

/* Values are of about 0.5, and some ten thousand. Measured: in bfloat16, with roundings of 2^-9 in five products one
 * after the other, 2.4e-3 off (root mean square) and 2.1e-2 at most; in the other paths 1.4e-4 and 1.2e-3. */
static void check_shape(const struct shape *s, enum quant_type type, enum kern_isa isa)
{
    struct kern kern;
    kern_init(&kern, isa);
    struct layer l = layer_new(s, type);
    double *want[N_SEQ];
    int n_out = s->n_head * s->d_value;
    for (int i = 0; i < N_SEQ; i++) want[i] = naive(&l, i);
    for (int precision = PRECISION_AUTO; precision <= PRECISION_REFERENCE; precision++) {
        struct rig r;
        rig_init(&r, &l, 2, (enum precision)precision, isa);
        float *got = run(&r, &l, 29, DEV_PAGE, false);
        double worst = 0, squares = 0, n = 0;
        for (int i = 0; i < N_SEQ; i++)
            for (int k = 0; k < seq_len[i] * n_out; k++, n++) {
                double off = fabs((double)got[i * MAX_TOK * n_out + k] - want[i][k]);
                worst = off <= worst ? worst : off;
                squares += off * off;
            }
        double bound = precision == PRECISION_REFERENCE                                             ? 2e-5
                       : type != QUANT_F32 && precision == PRECISION_AUTO && kern.gemm_bf16 != NULL ? 3e-2
                                                                                                    : 3e-3;
        double rms = sqrt(squares / n);
        if (!(worst < bound && rms < bound / 8))
            fail_msg("%s on %s, precision %d, %d heads: %g off, %g in the mean", quants[type]->name, kern_isa_name(isa),
                     precision, s->n_head, worst, rms);
        mem_free(got);
        rig_deinit(&r);
    }
    for (int i = 0; i < N_SEQ; i++) mem_free(want[i]);
    layer_free(&l);
}

static void test_against_definition(void **state)
{
    (void)state;
#if defined(__SANITIZE_THREAD__)
    int first = (int)kern_isa_detect(); /* whose threads meet in the same places on every level */
#else
    int first = KERN_SCALAR;
#endif
    for (int isa = first; isa <= (int)kern_isa_detect(); isa++) {
        for (size_t i = 0; i < N_ELEM(shapes); i++) check_shape(&shapes[i], QUANT_F32, (enum kern_isa)isa);
        check_shape(&shapes[1], QUANT_BF16, (enum kern_isa)isa);
        check_shape(&block_shape, QUANT_Q8_0, (enum kern_isa)isa);
        check_shape(&block_shape, QUANT_Q4_0, (enum kern_isa)isa);
    }
}

/* Threads never change a bit, neither do pages and copies; steps do not where the precision promises it. */
static void test_same_bits(void **state)
{
    (void)state;
    struct layer l = layer_new(&block_shape, QUANT_Q8_0);
    size_t n_out = (size_t)(block_shape.n_head * block_shape.d_value);
    for (int precision = PRECISION_AUTO; precision <= PRECISION_REFERENCE; precision++) {
        float *y[4];
        for (int k = 0; k < 4; k++) {
            struct rig r;
            rig_init(&r, &l, 1 + k, (enum precision)precision, kern_isa_detect());
            y[k] = run(&r, &l,
                       precision == PRECISION_AUTO || k < 2 ? 29
                       : k == 2                             ? 1
                                                            : 7,
                       k == 1 ? DEV_PAGE : 13, k == 3);
            rig_deinit(&r);
        }
        for (int i = 0; i < N_SEQ; i++)
            for (int k = 1; k < 4; k++)
                assert_memory_equal(y[0] + (size_t)(i * MAX_TOK) * n_out, y[k] + (size_t)(i * MAX_TOK) * n_out,
                                    (size_t)seq_len[i] * n_out * sizeof(float));
        for (int k = 0; k < 4; k++) mem_free(y[k]);
    }
    layer_free(&l);
}

/* Many rows in `auto`, whose keys and values are made: steps of 200 have a segment of them beside one of few rows or
 * of none, a context before them, and runs that rows see in part. Against the same in reference precision. */
static void test_many_rows(void **state)
{
    (void)state;
    seq_len = many;
    struct layer l = layer_new(&block_shape, QUANT_Q8_0);
    size_t n_out = (size_t)(block_shape.n_head * block_shape.d_value);
    float *y[4];
    for (int k = 0; k < 4; k++) {
        struct rig r;
        rig_init(&r, &l, 1 + k, k == 0 ? PRECISION_REFERENCE : PRECISION_AUTO, kern_isa_detect());
        y[k] = run(&r, &l, k == 0 ? 64 : 200, k == 2 ? 13 : DEV_PAGE, k == 3);
        rig_deinit(&r);
    }
    for (int i = 0; i < N_SEQ; i++)
        for (size_t k = 0; k < (size_t)seq_len[i] * n_out; k++) {
            size_t at = (size_t)(i * MAX_TOK) * n_out + k;
            if (!(fabsf(y[0][at] - y[1][at]) < 2e-2f))
                fail_msg("sequence %d, token %zu: %g, not %g", i, k / n_out, (double)y[1][at], (double)y[0][at]);
            assert_true(y[1][at] == y[2][at] && y[1][at] == y[3][at]);
        }
    for (int k = 0; k < 4; k++) mem_free(y[k]);
    layer_free(&l);
    seq_len = few;
}

/* A page holds the latents and keys, and nothing besides. */
static void test_cache_is_compressed(void **state)
{
    (void)state;
    struct layer l = layer_new(&shapes[0], QUANT_F32);
    struct rig r;
    rig_init(&r, &l, 1, PRECISION_AUTO, KERN_SCALAR);
    assert_int_equal(dev_kv_page_bytes(r.kv), N_LAYER * DEV_PAGE * (24 + 8) * 2);
    rig_deinit(&r);
    layer_free(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_definition),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_many_rows),
        cmocka_unit_test(test_cache_is_compressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
