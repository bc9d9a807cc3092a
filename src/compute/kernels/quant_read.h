/* The scalar readers of integer quantizations: the definition of their arithmetic. A quantization gives the codes,
 * scales and minima of one part (16 rows x 32 inputs) of its packed block; what is computed with them is here, once.
 *
 *   value = code * d + m          rounded twice, no m where the form has none
 *   product with int8 activations, for each part in the order of k, acc being the sum of an output:
 *     runs of 32:  t = (float)s * d;   t = fma(m, (float)x_sum, t);   acc = fma(t, x_d, acc)
 *     runs of 16:  t = (float)s0 * d0; t = fma((float)s1, d1, t);  then the minima of both runs;
 *                  acc = fma(t, x_d, acc)
 * s are exact integer sums of code * activation over a run, x_sum those of the activations, which are bytes or, fine,
 * 256 * high + low. Private to kernels. */
#ifndef KERNELS_QUANT_READ_H
#define KERNELS_QUANT_READ_H

#include <math.h>

#include "compute/kernels/kern_int.h"

/* A code moved by delta in steps of d, to the nearest, ties to even, within [least, most]. A step of 0 moves nothing,
 * and neither does a delta that is no number. */
static inline int quant_moved(int code, float delta, float d, int least, int most)
{
    float steps = d != 0 ? rintf(delta / d) : 0;
    float to = (float)code + (steps == steps ? steps : 0);
    return to <= (float)least ? least : to >= (float)most ? most : (int)to;
}

/* d[h], m[h]: of inputs 16 h .. 16 h + 15; the same twice where a run is 32 inputs. */
struct quant_part {
    int8_t code[KERN_K][KERN_ROWS];
    float d[2][KERN_ROWS], m[2][KERN_ROWS];
};

struct quant_form {
    const struct quant *quant;
    int run; /* inputs that share a scale: 16 or 32 */
    bool has_min;
    void (*part)(struct quant_part *out, const void *packed, size_t part);
};

static inline float part_value(const struct quant_form *f, const struct quant_part *p, size_t r, size_t k)
{
    float v = (float)p->code[k][r] * p->d[k / 16][r];
    return f->has_min ? v + p->m[k / 16][r] : v;
}

static inline void form_panel(const struct quant_form *f, float *panel, const char *packed, size_t n_block)
{
    struct quant_part p;
    for (size_t i = 0; i < n_block; i++, packed += f->quant->packed_bytes) {
        for (size_t part = 0; part < (size_t)f->quant->packed_k / KERN_K; part++, panel += KERN_K * KERN_ROWS) {
            f->part(&p, packed, part);
            for (size_t k = 0; k < KERN_K; k++) {
                for (size_t r = 0; r < KERN_ROWS; r++) {
                    panel[k * KERN_ROWS + r] = part_value(f, &p, r, k);
                }
            }
        }
    }
}

static inline void form_rows(const struct quant_form *f, float *out, size_t ld, const void *packed, size_t part)
{
    struct quant_part p;
    f->part(&p, packed, part);
    for (size_t r = 0; r < KERN_ROWS; r++) {
        for (size_t k = 0; k < KERN_K; k++) {
            out[r * ld + k] = part_value(f, &p, r, k);
        }
    }
}

/* Sum of 16 codes times activations, from input k0 on. */
static inline int32_t part_dot(const struct quant_part *p, size_t c, const int8_t *q, size_t k0, bool fine)
{
    int32_t sum = 0;
    for (size_t k = k0; k < k0 + 16; k++) {
        sum += p->code[k][c] * (fine ? 256 * q[k] + q[KERN_K + k] : q[k]);
    }
    return sum;
}

/* What a part adds to output column c of a row; q, sum, sum16 are the activations' of this part. */
static inline float part_product(const struct quant_form *f, const struct quant_part *p, size_t c, const int8_t *q,
                                 int32_t sum, const int32_t sum16[2], bool fine)
{
    int32_t s0 = part_dot(p, c, q, 0, fine), s1 = part_dot(p, c, q, 16, fine);
    if (f->run == KERN_K) {
        float t = (float)(s0 + s1) * p->d[0][c];
        return f->has_min ? fmaf(p->m[0][c], (float)sum, t) : t;
    }
    float t = fmaf((float)s1, p->d[1][c], (float)s0 * p->d[0][c]);
    if (f->has_min) {
        t = fmaf(p->m[0][c], (float)sum16[0], t);
        t = fmaf(p->m[1][c], (float)sum16[1], t);
    }
    return t;
}

static inline void form_gemm_q8(const struct quant_form *f, float *y, size_t ldy, const char *packed,
                                const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)
{
    size_t n_part = (size_t)f->quant->packed_k / KERN_K, n_scale = x->n_k / KERN_K;
    struct quant_part p;
    for (size_t b = 0; b < n_block * n_part; b++) { /* the sums wait in y: a float stored is the same float */
        f->part(&p, packed + b / n_part * f->quant->packed_bytes, b % n_part);
        for (size_t r = 0; r < n_row; r++) {
            size_t at = r * n_scale + b;
            for (size_t c = 0; c < KERN_ROWS; c++) {
                const int8_t *q = x->q + at * KERN_K * q8_bytes(x);
                float t = part_product(f, &p, c, q, x->sum[at], x->sum16 + 2 * at, q8_is_wide(x, b));
                y[r * ldy + c] = fmaf(t, x->d[at], b == 0 && !accumulate ? 0.0f : y[r * ldy + c]);
            }
        }
    }
}

/* The three readers of a form, and their table. */
#define QUANT_READERS(name, form)                                                                                    \
    static void name##_panel(float *panel, const void *packed, size_t n_block)                                       \
    {                                                                                                                \
        form_panel(&(form), panel, packed, n_block);                                                                 \
    }                                                                                                                \
    static void name##_rows(float *out, size_t ld, const void *packed, size_t part)                                  \
    {                                                                                                                \
        form_rows(&(form), out, ld, packed, part);                                                                   \
    }                                                                                                                \
    static void name##_gemm_q8(float *y, size_t ldy, const void *packed, size_t group_bytes, size_t n_group,         \
                               const struct q8_rows *x, size_t n_row, size_t n_block, bool accumulate)               \
    {                                                                                                                \
        for (size_t g = 0; g < n_group; g++) {                                                                       \
            form_gemm_q8(&(form), y + g * KERN_ROWS, ldy, (const char *)packed + g * group_bytes, x, n_row, n_block, \
                         accumulate);                                                                                \
        }                                                                                                            \
    }                                                                                                                \
    const struct kern_quant quant_##name##_scalar = {                                                                \
        .panel = name##_panel, .rows = name##_rows, .gemm_q8 = name##_gemm_q8}

#endif
