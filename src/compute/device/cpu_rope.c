/* Rotary tables, made once a position and kept from layer to layer. The angle is Hugging Face's: inv_freq and
 * position * inv_freq are float32, the functions of the angle are computed in double and rounded once. */
#include "compute/device/cpu_int.h"

#include <assert.h>
#include <string.h>

#include "compute/kernels/kmath.h"
#include "ground/base/mem.h"

static bool holds(const struct rope_cache *c, const struct dev_rope *rope, float magnitude)
{
    size_t n = (size_t)rope->n_rot / 2;
    return c->n_rot == rope->n_rot && c->magnitude == magnitude &&
           memcmp(c->inv_freq, rope->inv_freq, n * sizeof(float)) == 0;
}

static void refill(struct rope_cache *c, const struct dev_rope *rope, float magnitude)
{
    c->n_rot = rope->n_rot;
    c->magnitude = magnitude;
    memcpy(c->inv_freq, rope->inv_freq, (size_t)rope->n_rot / 2 * sizeof(float));
    for (int i = 0; i < ROPE_SLOTS; i++) {
        c->pos[i] = -1;
    }
}

void cpu_rope_begin(struct dev *d, const struct dev_rope *rope)
{
    if (!rope) {
        return;
    }
    float magnitude = rope->magnitude > 0 ? rope->magnitude : 1.0f;
    struct rope_cache *other = d->rope_now == &d->rope[0] ? &d->rope[1] : &d->rope[0];
    assert(rope->n_rot / 2 <= (int)N_ELEM(other->inv_freq) && (size_t)rope->n_rot <= other->d_head);
    if (d->rope_now && holds(d->rope_now, rope, magnitude)) {
        return;
    }
    if (!holds(other, rope, magnitude)) {
        refill(other, rope, magnitude);
    }
    d->rope_now = other;
}

void cpu_rope_row(struct dev *d, size_t row, int32_t pos, const float **cos, const float **sin)
{
    struct rope_cache *c = d->rope_now;
    size_t slot = row % ROPE_SLOTS, n = (size_t)c->n_rot / 2;
    float *cos_row = c->cos + slot * n, *sin_row = c->sin + slot * n;
    if (c->pos[slot] != pos) {
        for (size_t i = 0; i < n; i++) {
            float angle = (float)pos * c->inv_freq[i];
            cos_row[i] = (float)kmath_cos((double)angle) * c->magnitude;
            sin_row[i] = (float)kmath_sin((double)angle) * c->magnitude;
        }
        c->pos[slot] = pos;
    }
    *cos = cos_row;
    *sin = sin_row;
}
