/* Private to the backward operations of the CPU device: products with the transpose of a packed matrix, the backward
 * pass of projections that share an input, and the sizes of their scratch. */
#ifndef DEVICE_CPU_BACKWARD_INT_H
#define DEVICE_CPU_BACKWARD_INT_H

#include <math.h>

#include "compute/device/cpu_int.h"

enum {
    BACK_K = 512,    /* most output rows of a dequantized panel */
    BACK_BLOCKS = 4, /* its columns, in blocks of 32: 512 x 128 floats = 256 KiB stay in L2 */
    BACK_ROWS = 60,  /* rows at a time: 60 x 512 floats stay in L2 beside the panel; 10 % faster than all of 850 */
    HEAD_ROWS = 64,  /* rows whose logits exist at a time */
    ATTN_ROWS = 64,  /* query rows of an attention tile */
    ATTN_LD = 48     /* its row stride: a page of scores and one value more, in whole cache lines */
};

/* The gradient that enters a product, and in bfloat16 where the path wants that (padded to a multiple of 32). */
struct back_rows {
    const float *dy; /* [n_row][ldy] */
    size_t ldy;
    uint16_t *bf16; /* [n_row][ld_bf16] */
    size_t ld_bf16;
    size_t n_row;
};

/* How the transpose product of a matrix is computed in training: PATH_REF, PATH_F32 or PATH_BF16. */
enum cpu_path back_path(const struct dev *d, const struct dev_mat *m, size_t n_row);
/* A worker's part of a gradient [n_row][n_col]: columns in blocks of 32 and rows. Few workers share columns alone, so
 * that every block is dequantized once; many take a grid of both. */
struct back_part {
    size_t b0, b1, row0, row1;
};
struct back_part back_part_of(size_t n_row, size_t n_col, int worker, int n_worker);
/* dx[n_row][lddx] (+)= dy W in one part; dx is the whole array. c: the worker's scratch. */
void back_columns(const struct dev *d, enum cpu_path path, const struct dev_mat *m, const struct back_rows *r,
                  const struct back_part *part, float *dx, size_t lddx, bool accumulate, struct carve c);
/* Worker scratch that back_columns needs. */
size_t back_columns_bytes(void);
/* bf16 copy of rows [row0, row1) of r, where the path is PATH_BF16. */
void back_convert(const struct dev *d, enum cpu_path path, const struct back_rows *r, size_t n_out, size_t row0,
                  size_t row1);

/* One projection on its way back. */
struct back_proj {
    const struct dev_proj *p;
    const struct dev_lora *l; /* NULL: none */
    struct dev_proj_grad g;
    const float *dy;       /* [n_tok][n_out] */
    struct back_rows rows; /* the same, or, where the adapter has magnitudes, times gain */
    float *gained;         /* scratch for that, or NULL */
    enum cpu_path path;
    float *du, *su; /* scratch [n_tok][rank]: scale * dy B; scale * u */
};
/* The norm before the projections; x NULL: there is none. */
struct back_norm {
    const float *x, *w, *inv_rms;
    float eps;
    float *dx;    /* the gradient of x is added here */
    float *dnorm; /* and that of w here; NULL: not wanted */
};
/* Projections of one input [n_tok][n_in], input and gradient row-major without gaps. Without norm: input is what
 * forward multiplied and dinput receives (adds) its gradient. With norm: both are scratch. */
struct back_linear {
    struct dev *d;
    size_t n_tok, n_in;
    int n_proj;
    struct back_proj proj[MAX_PROJ];
    const float *input;
    float *h, *dinput;
    bool accumulate;
    struct back_norm norm;
};
/* What rms_norm returned for a row, again. */
static inline float back_inv_rms(const struct kern *k, const float *x, size_t n, float eps)
{
    return 1.0f / sqrtf(k->dot(x, x, n) / (float)n + eps);
}
/* Fill in proj[idx] for a batch, taking scratch from c. */
void back_proj_init(struct back_linear *w, int idx, const struct dev_batch *b, const struct dev_proj *p,
                    const struct dev_proj_grad *g, const float *dy, struct carve *c);
void back_linear_run(struct back_linear *w);
/* A worker's part of the gradients of the matrices and biases themselves. Inputs and gradients of outputs are there. */
void back_weights(const struct back_linear *w, int worker, int n_worker);
/* dw[n_out][n_in] += dy^T x over n_row rows, outputs [o0, o1): a worker's part of the gradient of a matrix. */
void back_matrix(const struct dev *d, float *dw, const float *dy, size_t ldy, const float *x, size_t n_in, size_t n_row,
                 size_t o0, size_t o1);
/* A worker's columns of dnorm[n] += dh x inv_rms over rows: dh, x [n_row][n]; the gradient of the weights of a norm. */
struct back_norm_rows {
    const float *dh, *x, *inv_rms;
    const int32_t *pick; /* row of x for each row of dh; NULL: the same */
    size_t n_row, n;
};
void back_norm_weights(const struct back_norm_rows *r, float *dnorm, int worker, int n_worker);

/* Shared and worker scratch of the parts, for dev_train_reserve. */
size_t back_linear_bytes(const struct dev *d, const struct dev_train_shape *s);
size_t back_attention_bytes(const struct dev_train_shape *s);
size_t back_attention_worker_bytes(const struct dev_train_shape *s);
size_t back_head_bytes(const struct dev *d, const struct dev_train_shape *s);

#endif
