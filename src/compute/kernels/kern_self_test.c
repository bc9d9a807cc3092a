/* The self-test: every entry of a table against the scalar one, on fixed input: random values of ordinary size, with
 * zeros, subnormals, large and very negative ones among them, and sizes that leave tails. It runs at every start, so
 * it is small (well under 10 ms); the unit tests go much further. Where the contract promises equal bits, bits are
 * compared; else the tolerance is relative to the sum of absolute products. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_self_test.h"

/* Values that kernels get wrong, spread through x. */
static void fill_extreme(float *x, size_t n, uint32_t seed)
{
    static const float hard[] = {0.0f,    -0.0f,   0x1p-140f, -0x1p-130f, 90.0f, -95.0f,
                                 -104.5f, -120.0f, 1e9f,      65519.0f,   6e-8f};
    fill(x, n, seed);
    for (size_t i = 0; i < n; i += 7) {
        x[i] = hard[i / 7 % N_ELEM(hard)];
    }
}

/* --- products --- */

enum { G_ROW = 15, G_COL = 64 + 37, G_K = 45 };
struct gemm_case {
    float x[G_ROW * G_K], p[G_K * G_COL], a[G_ROW * G_COL], b[G_ROW * G_COL];
};

static bool gemm_close(const struct gemm_case *c, bool exact)
{
    for (size_t r = 0; r < G_ROW; r++) {
        for (size_t j = 0; j < G_COL; j++) {
            float got = c->a[r * G_COL + j], want = c->b[r * G_COL + j], size = 1;
            for (size_t k = 0; k < G_K; k++) {
                size += fabsf(c->x[r * G_K + k] * c->p[k * G_COL + j]);
            }
            if (exact ? f32_bits(got) != f32_bits(want) : !(fabsf(got - want) <= 1e-5f * size)) {
                return false;
            }
        }
    }
    return true;
}

static bool gemm_same(kern_gemm_fn got, kern_gemm_fn want, bool exact)
{
    struct gemm_case c;
    fill(c.x, N_ELEM(c.x), SEED);
    fill(c.p, N_ELEM(c.p), SEED + 1);
    fill(c.a, N_ELEM(c.a), SEED + 2);
    memcpy(c.b, c.a, sizeof(c.a));
    got(c.a, G_COL, c.x, G_K, 1, c.p, G_COL, G_ROW, G_COL, G_K, true);
    want(c.b, G_COL, c.x, G_K, 1, c.p, G_COL, G_ROW, G_COL, G_K, true);
    if (!gemm_close(&c, exact)) {
        return false;
    }
    got(c.a, G_COL, c.x, G_K, 1, c.p, G_COL, G_ROW, G_COL, G_K, false);
    want(c.b, G_COL, c.x, G_K, 1, c.p, G_COL, G_ROW, G_COL, G_K, false);
    return gemm_close(&c, exact);
}

static bool gemm_ref_same(const struct kern *k, const struct kern *s)
{
    return gemm_same(k->gemm_ref, s->gemm_ref, true);
}

static bool gemm_f32_same(const struct kern *k, const struct kern *s)
{
    return gemm_same(k->gemm_f32, s->gemm_f32, false);
}

/* 9 rows (a tile and a row) by 3 vectors, into sums that stand there: the bits of gemm_f32. */
static bool gemm_f16_same(const struct kern *k, const struct kern *s)
{
    enum { ROWS = 9, COLS = 48, K = 21, LD = 50 };
    float x[ROWS * K], a[ROWS * LD], b[ROWS * LD], wide[K * LD];
    uint16_t p[K * LD];
    uint32_t seed = SEED;
    fill(x, N_ELEM(x), SEED);
    fill(a, N_ELEM(a), SEED + 1);
    memcpy(b, a, sizeof(a));
    for (size_t i = 0; i < N_ELEM(p); i++) {
        p[i] = f16_bits(next_float(&seed));
    }
    s->f16_to_f32(wide, p, N_ELEM(p));
    k->gemm_f16(a, LD, x, 1, ROWS, p, LD, ROWS, COLS, K, true);
    k->gemm_f32(b, LD, x, 1, ROWS, wide, LD, ROWS, COLS, K, true);
    return same_bits(a, b, N_ELEM(a));
}

/* Keys and values in int8 likewise: the bits of gemm_f32 on products with scales. */
static bool gemm_kv_same_of(const struct kern *k, bool across)
{
    enum { ROWS = 9, COLS = 48, K = 64, LD = 50, LD_SCALE = 50 };
    float x[ROWS * K], a[ROWS * LD], b[ROWS * LD], wide[K * LD];
    int8_t q[K * LD];
    uint16_t scale[K * LD_SCALE];
    uint32_t seed = SEED;
    fill(x, N_ELEM(x), SEED);
    fill(a, N_ELEM(a), SEED + 1);
    memcpy(b, a, sizeof(a));
    for (size_t i = 0; i < N_ELEM(q); i++) {
        q[i] = (int8_t)(next(&seed) >> 24);
    }
    for (size_t i = 0; i < N_ELEM(scale); i++) {
        scale[i] = f16_bits(next_float(&seed));
    }
    for (size_t i = 0; i < K; i++) {
        for (size_t c = 0; c < COLS; c++) {
            size_t at = across ? i / KERN_K * LD_SCALE + c : i * LD_SCALE + c / KERN_K;
            wide[i * LD + c] = (float)q[i * LD + c] * f16_value(scale[at]);
        }
    }
    struct kern_kv_panel p = {q, LD, scale, LD_SCALE, across};
    k->gemm_kv(a, LD, x, 1, ROWS, &p, ROWS, COLS, K, true);
    k->gemm_f32(b, LD, x, 1, ROWS, wide, LD, ROWS, COLS, K, true);
    return same_bits(a, b, N_ELEM(a));
}

static bool gemm_kv_same(const struct kern *k, const struct kern *s)
{
    (void)s;
    return gemm_kv_same_of(k, true) && gemm_kv_same_of(k, false);
}

/* --- conversions --- */

static bool f32_to_f16_same(const struct kern *k, const struct kern *s)
{
    float x[N];
    uint16_t a[N], b[N];
    fill_extreme(x, N, SEED);
    k->f32_to_f16(a, x, N);
    s->f32_to_f16(b, x, N);
    return memcmp(a, b, sizeof(a)) == 0;
}

static bool f16_to_f32_same(const struct kern *k, const struct kern *s)
{
    uint16_t x[N];
    float a[N], b[N];
    for (uint32_t i = 0; i < N; i++) {
        x[i] = (uint16_t)(i * 379);
    }
    k->f16_to_f32(a, x, N);
    s->f16_to_f32(b, x, N);
    return same_bits(a, b, N);
}

static bool f32_to_bf16_same(const struct kern *k, const struct kern *s)
{
    float x[N];
    uint16_t a[N], b[N];
    fill_extreme(x, N, SEED);
    k->f32_to_bf16(a, x, N, 16.0f);
    s->f32_to_bf16(b, x, N, 16.0f);
    return memcmp(a, b, sizeof(a)) == 0;
}

/* --- rows --- */

/* Four inputs, and two copies of the outputs: a from the entry under test, b from scalar. */
struct rows_case {
    float x[N], y[N], z[N], w[N];
    float a[4][N], b[4][N];
    float ret_a, ret_b;
};

static void rows_begin(struct rows_case *c)
{
    memset(c, 0, sizeof(*c));
    fill_extreme(c->x, N, SEED);
    fill(c->y, N, SEED + 1);
    fill(c->z, N, SEED + 2);
    fill(c->w, N, SEED + 3);
    for (uint32_t i = 0; i < 4; i++) {
        fill(c->a[i], N, SEED + 4 + i);
        memcpy(c->b[i], c->a[i], sizeof(c->a[i]));
    }
}

static bool rows_equal(const struct rows_case *c)
{
    return same_bits(c->a[0], c->b[0], N_ELEM(c->a) * N) && same_bits(&c->ret_a, &c->ret_b, 1);
}

static bool rms_norm_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    c.ret_a = k->rms_norm(c.a[0], c.x, c.w, N, 1e-5f);
    c.ret_b = s->rms_norm(c.b[0], c.x, c.w, N, 1e-5f);
    return rows_equal(&c);
}

static bool rms_norm_backward_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->rms_norm_backward(c.a[0], c.y, c.z, c.w, N, 0.7f);
    s->rms_norm_backward(c.b[0], c.y, c.z, c.w, N, 0.7f);
    return rows_equal(&c);
}

static bool swiglu_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->swiglu(c.a[0], c.x, c.y, N);
    s->swiglu(c.b[0], c.x, c.y, N);
    return rows_equal(&c);
}

static bool swiglu_backward_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->swiglu_backward(c.a[0], c.a[1], c.z, c.x, c.y, N);
    s->swiglu_backward(c.b[0], c.b[1], c.z, c.x, c.y, N);
    return rows_equal(&c);
}

static bool geglu_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->geglu(c.a[0], c.x, c.y, N);
    s->geglu(c.b[0], c.x, c.y, N);
    return rows_equal(&c);
}

static bool geglu_backward_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->geglu_backward(c.a[0], c.a[1], c.z, c.y, c.w, N);
    s->geglu_backward(c.b[0], c.b[1], c.z, c.y, c.w, N);
    return rows_equal(&c);
}

static bool softcap_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    memcpy(c.a[1], c.x, sizeof c.x);
    memcpy(c.b[1], c.x, sizeof c.x);
    for (int i = 0; i < 2; i++) {
        k->softcap(c.a[i], N, 0.7f, 30);
        s->softcap(c.b[i], N, 0.7f, 30);
    }
    return rows_equal(&c);
}

static bool softmax_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    c.ret_a = k->softmax(c.a[0], N, 3.7f);
    c.ret_b = s->softmax(c.b[0], N, 3.7f);
    return rows_equal(&c);
}

static bool dot_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    c.ret_a = k->dot(c.x, c.y, N);
    c.ret_b = s->dot(c.x, c.y, N);
    return rows_equal(&c);
}

static bool log_sum_exp_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    c.ret_a = k->log_sum_exp(c.y, N);
    c.ret_b = s->log_sum_exp(c.y, N);
    return rows_equal(&c);
}

static bool cross_entropy_backward_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->cross_entropy_backward(c.a[0], c.y, N, 5.5f, 17, 0.3f);
    s->cross_entropy_backward(c.b[0], c.y, N, 5.5f, 17, 0.3f);
    return rows_equal(&c);
}

static bool add_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->add(c.a[0], c.x, N);
    s->add(c.b[0], c.x, N);
    return rows_equal(&c);
}

static bool axpy_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->axpy(c.a[0], 0.3f, c.x, N);
    s->axpy(c.b[0], 0.3f, c.x, N);
    return rows_equal(&c);
}

static bool scale_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    k->scale(c.a[0], 0.3f, N);
    s->scale(c.b[0], 0.3f, N);
    return rows_equal(&c);
}

static bool rope_same(const struct kern *k, const struct kern *s)
{
    enum { N_HEAD = 3, D_HEAD = 50, N_ROT = 42 };
    struct rows_case c;
    rows_begin(&c);
    for (int halves = 0; halves < 2; halves++) {
        k->rope(c.a[halves], N_HEAD, D_HEAD, N_ROT, c.y, c.z, halves, -1);
        s->rope(c.b[halves], N_HEAD, D_HEAD, N_ROT, c.y, c.z, halves, -1);
    }
    return rows_equal(&c);
}

static bool adamw_same(const struct kern *k, const struct kern *s)
{
    struct rows_case c;
    rows_begin(&c);
    for (size_t i = 0; i < N; i++) {
        c.a[2][i] = c.b[2][i] = fabsf(c.a[2][i]);
    }
    k->adamw(c.a[0], c.a[1], c.a[2], c.y, N, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 1e-3f);
    s->adamw(c.b[0], c.b[1], c.b[2], c.y, N, 1e-3f, 0.9f, 0.999f, 1e-8f, 0.01f, 0.1f, 1e-3f);
    return rows_equal(&c);
}

/* --- the list --- */

#define QUANT_CHECK(TYPE, field)                                                  \
    static bool TYPE##_##field##_same(const struct kern *k, const struct kern *s) \
    {                                                                             \
        return kern_quant_##field##_same(k, s, QUANT_##TYPE);                     \
    }
#define FLOAT_QUANT(TYPE)         \
    QUANT_CHECK(TYPE, panel)      \
    QUANT_CHECK(TYPE, rows)       \
    QUANT_CHECK(TYPE, panel_bf16) \
    QUANT_CHECK(TYPE, rows_bf16)
#define INT_QUANT(TYPE, name) \
    FLOAT_QUANT(TYPE)         \
    QUANT_CHECK(TYPE, gemm_q8)
FLOAT_QUANT(F32)
FLOAT_QUANT(F16)
FLOAT_QUANT(BF16)
QUANT_CHECK(F32, gemm_few)
QUANT_CHECK(F16, gemm_few)
QUANT_CHECK(BF16, gemm_few)
QUANT_INTEGERS(INT_QUANT)

/* clang-format off */
#define BF16_ENTRY(field) {#field, offsetof(struct kern, field), KERN_AVX512, kern_##field##_same}
#define ENTRY(field, since) {#field, offsetof(struct kern, field), since, field##_same}
#define QUANT_ENTRY(TYPE, field, since) \
    {#TYPE " " #field, offsetof(struct kern, quant[QUANT_##TYPE].field), since, TYPE##_##field##_same}
#define QUANT_READERS(TYPE)                     \
    QUANT_ENTRY(TYPE, panel, KERN_SCALAR),      \
    QUANT_ENTRY(TYPE, rows, KERN_SCALAR),       \
    QUANT_ENTRY(TYPE, panel_bf16, KERN_AVX512), \
    QUANT_ENTRY(TYPE, rows_bf16, KERN_AVX512)
#define INTEGER_ENTRIES(TYPE, name) QUANT_READERS(TYPE), QUANT_ENTRY(TYPE, gemm_q8, KERN_SCALAR),
/* clang-format on */

const struct kern_entry kern_entries[] = {
    ENTRY(gemm_ref, KERN_SCALAR),
    ENTRY(gemm_f32, KERN_SCALAR),
    ENTRY(gemm_f16, KERN_SCALAR),
    ENTRY(gemm_kv, KERN_SCALAR),
    {"quantize_q8", offsetof(struct kern, quantize_q8), KERN_SCALAR, kern_quantize_q8_same},
    ENTRY(f32_to_f16, KERN_SCALAR),
    ENTRY(f16_to_f32, KERN_SCALAR),
    ENTRY(f32_to_bf16, KERN_SCALAR),
    ENTRY(rms_norm, KERN_SCALAR),
    ENTRY(rms_norm_backward, KERN_SCALAR),
    ENTRY(swiglu, KERN_SCALAR),
    ENTRY(swiglu_backward, KERN_SCALAR),
    ENTRY(geglu, KERN_SCALAR),
    ENTRY(geglu_backward, KERN_SCALAR),
    ENTRY(softcap, KERN_SCALAR),
    ENTRY(softmax, KERN_SCALAR),
    ENTRY(dot, KERN_SCALAR),
    ENTRY(log_sum_exp, KERN_SCALAR),
    ENTRY(cross_entropy_backward, KERN_SCALAR),
    ENTRY(add, KERN_SCALAR),
    ENTRY(axpy, KERN_SCALAR),
    ENTRY(scale, KERN_SCALAR),
    ENTRY(rope, KERN_SCALAR),
    ENTRY(adamw, KERN_SCALAR),
    QUANT_READERS(F32),
    QUANT_READERS(F16),
    QUANT_READERS(BF16),
    QUANT_ENTRY(F32, gemm_few, KERN_SCALAR),
    QUANT_ENTRY(F16, gemm_few, KERN_SCALAR),
    QUANT_ENTRY(BF16, gemm_few, KERN_SCALAR),
    QUANT_INTEGERS(INTEGER_ENTRIES) /* each ends with a comma */
    BF16_ENTRY(gemm_bf16),
    BF16_ENTRY(product_bf16),
    BF16_ENTRY(pairs_bf16),
    BF16_ENTRY(exp_bf16),
    BF16_ENTRY(swiglu_bf16),
};
const size_t kern_n_entry = N_ELEM(kern_entries);
