/* Steps of the forward pass on rows of activations, scalar: the definition of their arithmetic. Sums go into 16 lanes;
 * a maximum does too, so that vector versions meet the same operands in the same order. */
#include <math.h>

#include "compute/kernels/kern_int.h"
#include "compute/kernels/kmath.h"
#include "compute/kernels/kmath_const.h"

static float dot(const float *x, const float *y, size_t n)
{
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) {
        lane[i % 16] += x[i] * y[i];
    }
    return lanes_sum(lane);
}

static float rms_norm(float *y, const float *x, const float *w, size_t n, float eps)
{
    float inv = 1.0f / sqrtf(dot(x, x, n) / (float)n + eps);
    for (size_t i = 0; i < n; i++) {
        y[i] = x[i] * inv * w[i];
    }
    return inv;
}

static void swiglu(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float sigmoid = 1.0f / (1.0f + kmath_expf(-gate[i]));
        y[i] = gate[i] * sigmoid * up[i];
    }
}

static void geglu(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float t = gate[i] * (GELU_A + GELU_B * (gate[i] * gate[i]));
        float sigmoid = 1.0f / (1.0f + kmath_expf(-t));
        y[i] = gate[i] * sigmoid * up[i];
    }
}

/* tanh(z) = 2 / (1 + exp(-2 z)) - 1 */
static void softcap(float *x, size_t n, float scale, float cap)
{
    float by = 2.0f * scale / cap;
    for (size_t i = 0; i < n; i++) {
        float sigmoid = 1.0f / (1.0f + kmath_expf(-(x[i] * by)));
        x[i] = (sigmoid + sigmoid - 1.0f) * cap;
    }
}

/* max over x * scale */
static float scaled_max(const float *x, size_t n, float scale)
{
    float lane[16];
    for (size_t i = 0; i < 16; i++) {
        lane[i] = -INFINITY;
    }
    for (size_t i = 0; i < n; i++) {
        lane[i % 16] = max_or_second(x[i] * scale, lane[i % 16]);
    }
    for (size_t step = 8; step > 0; step /= 2) {
        for (size_t i = 0; i < step; i++) {
            lane[i] = max_or_second(lane[i + step], lane[i]);
        }
    }
    return lane[0];
}

static float softmax(float *x, size_t n, float scale)
{
    float max = scaled_max(x, n, scale), lane[16] = {0};
    for (size_t i = 0; i < n; i++) {
        x[i] = kmath_expf(x[i] * scale - max);
        lane[i % 16] += x[i];
    }
    float sum = lanes_sum(lane), inv = 1.0f / sum;
    for (size_t i = 0; i < n; i++) {
        x[i] *= inv;
    }
    return max + kmath_logf(sum);
}

static float log_sum_exp(const float *x, size_t n)
{
    float max = scaled_max(x, n, 1.0f), lane[16] = {0};
    for (size_t i = 0; i < n; i++) {
        lane[i % 16] += kmath_expf(x[i] - max);
    }
    return max + kmath_logf(lanes_sum(lane));
}

static void add(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] += x[i];
    }
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] += a * x[i];
    }
}

static void scale(float *y, float a, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        y[i] *= a;
    }
}

static void rotate(float *a, float *b, float c, float s)
{
    float x0 = *a, x1 = *b;
    *a = x0 * c - x1 * s;
    *b = x1 * c + x0 * s;
}

static void rope(float *x, size_t n_head, size_t d_head, size_t n_rot, const float *cos, const float *sin, bool halves,
                 float sign)
{
    size_t half = n_rot / 2;
    for (size_t h = 0; h < n_head; h++, x += d_head) {
        for (size_t i = 0; i < half; i++) {
            rotate(x + (halves ? i : 2 * i), x + (halves ? i + half : 2 * i + 1), cos[i], sin[i] * sign);
        }
    }
}

void kern_rows_fill_scalar(struct kern *k)
{
    k->rms_norm = rms_norm;
    k->swiglu = swiglu;
    k->geglu = geglu;
    k->softcap = softcap;
    k->softmax = softmax;
    k->dot = dot;
    k->log_sum_exp = log_sum_exp;
    k->add = add;
    k->axpy = axpy;
    k->scale = scale;
    k->rope = rope;
}
