/* Rotary tables, made once a position and kept from layer to layer. The angle is Hugging Face's: inv_freq and
 * position * inv_freq are float32, the functions of the angle are computed in double and rounded once. */
#include "compute/device/cpu_int.h"

#include <assert.h>
#include <string.h>

#include "compute/kernels/kmath.h"

void cpu_rope_begin(struct dev *d, const struct dev_rope *rope)
{
    struct rope_cache *c = &d->rope;
    size_t n = (size_t)rope->n_rot / 2;
    assert(n <= sizeof(c->inv_freq) / sizeof(c->inv_freq[0]) && (size_t)rope->n_rot <= c->d_head);
    if (c->n_rot == rope->n_rot && memcmp(c->inv_freq, rope->inv_freq, n * sizeof(float)) == 0) {
        return;
    }
    c->n_rot = rope->n_rot;
    memcpy(c->inv_freq, rope->inv_freq, n * sizeof(float));
    for (int i = 0; i < ROPE_SLOTS; i++) {
        c->pos[i] = -1;
    }
}

void cpu_rope_row(struct dev *d, size_t row, int32_t pos, const float **cos, const float **sin)
{
    struct rope_cache *c = &d->rope;
    size_t slot = row % ROPE_SLOTS, n = (size_t)c->n_rot / 2;
    float *cos_row = c->cos + slot * n, *sin_row = c->sin + slot * n;
    if (c->pos[slot] != pos) {
        for (size_t i = 0; i < n; i++) {
            float angle = (float)pos * c->inv_freq[i];
            cos_row[i] = (float)kmath_cos((double)angle);
            sin_row[i] = (float)kmath_sin((double)angle);
        }
        c->pos[slot] = pos;
    }
    *cos = cos_row;
    *sin = sin_row;
}
