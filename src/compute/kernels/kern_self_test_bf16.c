/* The self-test of the bf16 products and of the steps between them, against float32 on the same values. */
#include "compute/kernels/kern_self_test.h"

#include <math.h>
#include <string.h>

#include "compute/kernels/half.h"

bool kern_pairs_bf16_same(const struct kern *k, const struct kern *s)
{
    enum { ROWS = 3, COLS = 32, LD = 33, STRIDE = 70 };
    uint16_t x[ROWS * LD], a[2 * STRIDE];
    float f[ROWS * LD];
    uint32_t seed = SEED;
    if (k->pairs_bf16 == NULL) {
        return true;
    }
    for (size_t i = 0; i < ROWS * LD; i++) {
        x[i] = f16_bits(next_float(&seed));
    }
    s->f16_to_f32(f, x, ROWS * LD);
    k->pairs_bf16(a, STRIDE, x, LD, ROWS, COLS);
    for (size_t i = 0; i < (ROWS + 1) * COLS; i++) {
        size_t r = i / COLS, c = i % COLS;
        uint16_t got = a[c / KERN_ROWS * STRIDE + (r / 2 * KERN_ROWS + c % KERN_ROWS) * 2 + r % 2];
        if (got != (r < ROWS ? bf16_bits(f[r * LD + c]) : 0)) {
            return false;
        }
    }
    return true;
}

/* y[n] in bfloat16 against exact[n]: half a unit of its 8 bits, and a little; below 1e-30 anything small will do. */
static bool bf16_close(const uint16_t *y, const float *exact, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float got = bf16_value(y[i]);
        if (!(fabsf(got - exact[i]) <= 0x1.02p-8f * fabsf(exact[i]) + 1e-30f)) {
            return false;
        }
    }
    return true;
}

bool kern_exp_bf16_same(const struct kern *k, const struct kern *s)
{
    float x[N], sum;
    uint16_t y[N];
    if (k->exp_bf16 == NULL) {
        return true;
    }
    fill(x, N, SEED);
    x[3] = -1e30f;
    float top = 0, max = -1e30f, low = 1e30f;
    float got = k->exp_bf16(y, x, N, 3.7f, &max);
    k->exp_bf16(y, x, N, 3.7f, &low); /* nothing here is near 1e30 */
    bool rises = low == 1e30f && y[0] < 0x0100;
    k->exp_bf16(y, x, N, 3.7f, &max);
    float lse = s->softmax(x, N, 3.7f); /* the largest weight is 1 / sum */
    for (size_t i = 0; i < N; i++) {
        top = x[i] > top ? x[i] : top;
    }
    sum = 1.0f / top;
    for (size_t i = 0; i < N; i++) {
        x[i] *= sum;
    }
    return rises && isfinite(lse) && fabsf(got - sum) <= 1e-4f * sum && bf16_close(y, x, N);
}

bool kern_swiglu_bf16_same(const struct kern *k, const struct kern *s)
{
    float gate[N], up[N], exact[N];
    uint16_t y[N];
    if (k->swiglu_bf16 == NULL) {
        return true;
    }
    fill(gate, N, SEED);
    fill(up, N, SEED + 1);
    for (size_t i = 0; i < N; i++) {
        gate[i] *= i % 3 == 0 ? 30.0f : 3.0f;
    }
    gate[5] = -1e4f;
    k->swiglu_bf16(y, gate, up, N);
    s->swiglu(exact, gate, up, N);
    s->scale(exact, KERN_BF16_TIMES, N);
    return bf16_close(y, exact, N);
}

/* 37 rows (two tiles and a rest) by 3 groups, k over one step; compared with float32 products of the same values. */
bool kern_gemm_bf16_same(const struct kern *k, const struct kern *s)
{
    enum { ROWS = 37, GROUPS = 3, COLS = GROUPS * KERN_ROWS, K = 64, STRIDE = K * KERN_ROWS };
    uint16_t x[ROWS * K], p[GROUPS * STRIDE];
    float xf[ROWS * K], pf[K * COLS], a[ROWS * COLS], b[ROWS * COLS];
    uint32_t seed = SEED;
    if (k->gemm_bf16 == NULL) {
        return true;
    }
    for (size_t i = 0; i < N_ELEM(x); i++) {
        x[i] = bf16_bits(next_float(&seed));
        xf[i] = bf16_value(x[i]);
    }
    for (size_t i = 0; i < N_ELEM(p); i++) {
        p[i] = bf16_bits(next_float(&seed));
        size_t at = i % STRIDE, kk = at / (2 * KERN_ROWS) * 2 + at % 2,
               col = i / STRIDE * KERN_ROWS + at / 2 % KERN_ROWS;
        pf[kk * COLS + col] = bf16_value(p[i]);
    }
    fill(a, N_ELEM(a), SEED + 1);
    memcpy(b, a, sizeof(a));
    k->gemm_bf16(a, COLS, x, K, p, STRIDE, ROWS, GROUPS, K, true);
    s->gemm_f32(b, COLS, xf, K, 1, pf, COLS, ROWS, COLS, K, true);
    for (size_t i = 0; i < N_ELEM(a); i++) {
        if (!(fabsf(a[i] - b[i]) <= 1e-5f * 4.0f * K)) {
            return false;
        }
    }
    return true;
}

/* Packed floats by 5 groups, for rows of each of its ways, against the product with their panels: the same bits. */
bool kern_product_bf16_same(const struct kern *k, const struct kern *s)
{
    enum { GROUPS = 5, COLS = GROUPS * KERN_ROWS, K = 3 * KERN_K, GROUP = K * KERN_ROWS, MAX_ROW = 70 };
    static const size_t n_row[] = {3, 16, 23, 37, 52, MAX_ROW};
    uint16_t x[MAX_ROW * K], w[GROUPS * GROUP], p[GROUPS * GROUP];
    float a[MAX_ROW * COLS], b[MAX_ROW * COLS];
    uint8_t room[KERN_PRODUCT_ROOM] __attribute__((aligned(64)));
    uint32_t seed = SEED;
    const struct kern_quant *read = &k->quant[QUANT_BF16];
    if (!k->product_bf16 || !k->gemm_bf16 || !read->panel_bf16) {
        return true;
    }
    bool same = true;
    (void)s;
    for (size_t i = 0; i < N_ELEM(x); i++) {
        x[i] = bf16_bits(next_float(&seed));
    }
    for (size_t i = 0; i < N_ELEM(w); i++) {
        w[i] = bf16_bits(next_float(&seed));
    }
    read->panel_bf16(p, w, 0, GROUPS * K / KERN_K);
    const struct kern_groups groups = {QUANT_BF16, (const uint8_t *)w, GROUP * sizeof(*w), GROUPS};
    for (size_t i = 0; i < N_ELEM(n_row); i++) {
        fill(a, N_ELEM(a), SEED + 1);
        memcpy(b, a, sizeof(a));
        k->product_bf16(k, a, COLS, x, K, &groups, n_row[i], K, i % 2, room);
        k->gemm_bf16(b, COLS, x, K, p, GROUP, n_row[i], GROUPS, K, i % 2);
        same = same && memcmp(a, b, sizeof(a)) == 0;
    }
    return same;
}
