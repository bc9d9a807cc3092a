/* Steps that only training takes, scalar: gradients of the row operations, and the optimizer. */
#include <math.h>

#include "compute/kernels/kern_int.h"
#include "compute/kernels/kmath.h"
#include "compute/kernels/kmath_const.h"

/* With y = x r w, r = (mean(x^2) + eps)^(-1/2):  dx += r (dy w) - x r^3 sum(dy w x) / n */
static void rms_norm_backward(float *dx, const float *dy, const float *x, const float *w, size_t n, float inv_rms)
{
    float lane[16] = {0};
    for (size_t i = 0; i < n; i++) {
        lane[i % 16] += dy[i] * w[i] * x[i];
    }
    float c = inv_rms * inv_rms * inv_rms * lanes_sum(lane) / (float)n;
    for (size_t i = 0; i < n; i++) {
        dx[i] += dy[i] * w[i] * inv_rms - x[i] * c;
    }
}

/* With s the sigmoid of gate: d silu(gate) = s (1 + gate (1 - s)) */
static void swiglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], d = dy[i], u = up[i];
        float s = 1.0f / (1.0f + kmath_expf(-g));
        dup[i] = d * (g * s);
        dgate[i] = d * u * (s * (1.0f + g * (1.0f - s)));
    }
}

static void geglu_backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float g = gate[i], u = up[i], d = dy[i], square = g * g;
        float sigmoid = 1.0f / (1.0f + kmath_expf(-(g * (GELU_A + GELU_B * square))));
        float dt = GELU_A + 3.0f * GELU_B * square;
        dup[i] = d * (g * sigmoid);
        dgate[i] = d * u * (sigmoid + g * sigmoid * ((1.0f - sigmoid) * dt));
    }
}

static void cross_entropy_backward(float *g, const float *x, size_t n, float lse, size_t target, float weight)
{
    float at_target = (kmath_expf(x[target] - lse) - 1.0f) * weight;
    for (size_t i = 0; i < n; i++) {
        g[i] = kmath_expf(x[i] - lse) * weight;
    }
    g[target] = at_target;
}

static void adamw(float *p, float *m, float *v, const float *g, size_t n, float lr, float b1, float b2, float eps,
                  float decay, float c1, float c2)
{
    float shrink = lr * decay, a1 = 1.0f - b1, a2 = 1.0f - b2;
    for (size_t i = 0; i < n; i++) {
        m[i] = b1 * m[i] + a1 * g[i];
        v[i] = b2 * v[i] + a2 * (g[i] * g[i]);
        float q = p[i] - shrink * p[i];
        p[i] = q - lr * (m[i] / c1) / (sqrtf(v[i] / c2) + eps);
    }
}

void kern_train_fill_scalar(struct kern *k)
{
    k->rms_norm_backward = rms_norm_backward;
    k->swiglu_backward = swiglu_backward;
    k->geglu_backward = geglu_backward;
    k->cross_entropy_backward = cross_entropy_backward;
    k->adamw = adamw;
}
