/* AMX for machines without it: the eight tiles as memory, with the checks that the hardware makes (a tile that has no
 * shape, shapes that do not fit together) as assertions. Arithmetic of TDPBF16PS as the manual gives it: for each pair
 * of k, two products added to the sum, each operation rounded once. Include before the kernel file. */
#ifndef TESTS_EMU_AMX_EMULATED_H
#define TESTS_EMU_AMX_EMULATED_H

#define TAILOR_AMX_EMULATE
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "compute/kernels/amx_ops.h"
#include "compute/kernels/half.h"

struct tile {
    uint8_t bytes[16][64];
    int n_row, row_bytes;
};
static _Thread_local struct {
    struct tile tile[8];
    bool configured;
} amx;

static inline struct tile *tile_get(int t)
{
    assert(amx.configured && t >= 0 && t < 8 && amx.tile[t].n_row > 0);
    return &amx.tile[t];
}

static inline void tile_config(const struct tile_shapes *shapes)
{
    memset(&amx, 0, sizeof(amx));
    assert(shapes->palette == 1 && shapes->start_row == 0);
    for (int t = 0; t < 8; t++) {
        assert(shapes->n_row[t] <= 16 && shapes->row_bytes[t] <= 64 && shapes->row_bytes[t] % 4 == 0);
        amx.tile[t].n_row = shapes->n_row[t];
        amx.tile[t].row_bytes = shapes->row_bytes[t];
    }
    amx.configured = true;
}

static inline void tile_release(void)
{
    memset(&amx, 0, sizeof(amx));
}

static inline void tile_zero(int t)
{
    memset(tile_get(t)->bytes, 0, sizeof(amx.tile[t].bytes));
}

static inline void tile_load(int t, const void *p, size_t stride_bytes)
{
    struct tile *tile = tile_get(t);
    memset(tile->bytes, 0, sizeof(tile->bytes));
    for (int r = 0; r < tile->n_row; r++) {
        memcpy(tile->bytes[r], (const char *)p + (size_t)r * stride_bytes, (size_t)tile->row_bytes);
    }
}

static inline void tile_load_once(int t, const void *p, size_t stride_bytes)
{
    tile_load(t, p, stride_bytes);
}

static inline void tile_store(int t, void *p, size_t stride_bytes)
{
    const struct tile *tile = tile_get(t);
    for (int r = 0; r < tile->n_row; r++) {
        memcpy((char *)p + (size_t)r * stride_bytes, tile->bytes[r], (size_t)tile->row_bytes);
    }
}

static inline float bf16_at(const struct tile *t, int row, int i)
{
    uint16_t h;
    memcpy(&h, t->bytes[row] + 2 * i, sizeof(h));
    return bf16_value(h);
}

static inline void tile_dot_bf16(int acc, int ta, int tb)
{
    struct tile *c = tile_get(acc);
    const struct tile *a = tile_get(ta), *b = tile_get(tb);
    assert(c->n_row == a->n_row && c->row_bytes == b->row_bytes && a->row_bytes == 4 * b->n_row);
    for (int m = 0; m < c->n_row; m++) {
        for (int n = 0; n < c->row_bytes / 4; n++) {
            float sum;
            memcpy(&sum, c->bytes[m] + 4 * n, sizeof(sum));
            for (int k = 0; k < b->n_row; k++) {
                sum += bf16_at(a, m, 2 * k) * bf16_at(b, k, 2 * n);
                sum += bf16_at(a, m, 2 * k + 1) * bf16_at(b, k, 2 * n + 1);
            }
            memcpy(c->bytes[m] + 4 * n, &sum, sizeof(sum));
        }
    }
}

#endif
