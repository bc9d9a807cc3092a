/* The input of a coarse operation, prepared: normed rows, their int8 or bfloat16 forms, and the adapters' A x, for one
 * block of rows. Private to the forward operations. */
#ifndef DEVICE_CPU_INPUT_H
#define DEVICE_CPU_INPUT_H

#include "compute/device/cpu_int.h"
#include "ground/base/mem.h"

/* Bytes from one row of n_bytes to the next: an odd number of cache lines. An even one, and 4096 above all, lets the
 * rows of a tile meet in few sets of the first-level cache (int8 product of 12 rows of 4096 on Zen 4: 520 GOPS beside
 * 620 with this; of Q6_K 420 and 540; 16 rows of 1536 in bfloat16 by AMX: 3.8 TFLOPS and 4.4). */
static inline size_t cpu_row_stride(size_t n_bytes)
{
    enum { LINE = 64 };
    return (round_up(n_bytes, LINE) / LINE | 1) * LINE;
}

/* What goes in: rows of x, the norm before the projections (NULL: none), and the projections that share it. */
struct cpu_input {
    const struct dev_batch *b;
    const float *x; /* [n_tok][n_in] */
    size_t n_in;
    const float *norm;
    float eps;
    float *inv_rms;      /* [n_tok] or NULL */
    const int32_t *pick; /* rows of the batch, NULL: all in order */
    const struct dev_proj *proj[MAX_PROJ];
    int n_proj;
    enum cpu_path path[MAX_PROJ];
    size_t ld_u; /* largest rank of an adapter on these projections, 0: none */
    bool need_x, need_q8, need_q16, need_bf16;
    int fine;      /* of PATH_Q16: the most that a projection wants */
    bool has_gain; /* an adapter on these projections has magnitudes */
};
/* Choose paths and forms; the other fields but b, x, norm, eps, inv_rms, pick are filled. n_row: of the whole
 * operation. */
void cpu_input_init(const struct dev *d, struct cpu_input *in, const struct dev_proj *const *proj, int n_proj,
                    size_t n_row);

/* A block of rows in its forms. */
struct cpu_prepared {
    size_t row0; /* first row of the operation */
    struct cpu_rows rows;
    float *h;           /* rows.x when it is a copy of ours (normed or picked), else NULL */
    float *u[MAX_PROJ]; /* [n_row][ld_u], times the adapter's scale */
};
/* Lay the forms out in scratch. */
void cpu_prepared_carve(const struct cpu_input *in, size_t row0, size_t n_row, struct carve *c, struct cpu_prepared *p);
size_t cpu_prepared_bytes(size_t n_row, size_t n_in, size_t rank);
/* Rows [row, row + n_row) of a prepared block in its forms. */
struct cpu_rows cpu_rows_from(const struct cpu_input *in, const struct cpu_prepared *p, size_t row, size_t n_row);
/* Fill rows [begin, end) of the block. keep: also write inv_rms and proj.u. */
void cpu_prepared_fill(const struct dev *d, const struct cpu_input *in, struct cpu_prepared *p, size_t begin,
                       size_t end, bool keep);
/* Prepare a block: every worker calls it. Small blocks are prepared by each worker for itself in own scratch, larger
 * ones together in shared scratch, with a barrier. shared and own are moved past what was taken. */
void cpu_prepare(struct dev *d, const struct cpu_input *in, size_t row0, size_t n_row, int worker, int n_worker,
                 struct carve *shared, struct carve *own, struct cpu_prepared *p);
/* Product of the prepared block with output groups [g0, g1) of projection i, plus bias and adapters, into tile. add: on
 * top of what stands there, PATH_BF16 alone. */
void cpu_project(const struct dev *d, const struct cpu_input *in, const struct cpu_prepared *p, int i, size_t g0,
                 size_t g1, float *tile, size_t ld_tile, bool add, struct carve c);
/* The same for any number of groups [begin, end), into (add: on top of) their columns of out[n_row][n_out]. */
void cpu_project_out(const struct dev *d, const struct cpu_input *in, const struct cpu_prepared *p, int i, size_t begin,
                     size_t end, float *out, bool add, struct carve c);

#endif
