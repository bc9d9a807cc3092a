/* The one interface that model code computes through: a short table of coarse operations on device memory.
 * The CPU implements it and is the oracle; a GPU implements the same functions.
 *
 * Device memory is written `float *` here, but the host never dereferences it: dev_write and dev_read move data.
 * Operations are coarse (norm + projections + rotation + store is one), so that a device can fuse them. They do not
 * fail: shapes are checked when a model is bound, memory is reserved before a step. Operations run in the order they
 * are called; one thread at a time calls a device.
 *
 * Layouts: activations [n_tok][width] float32, row-major. A batch is a flat list of tokens cut into segments. */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/kernels/kern.h"
#include "ground/base/err.h"

enum precision { PRECISION_AUTO, PRECISION_DETERMINISTIC, PRECISION_REFERENCE };

/* Serving multiplies quantized weights with int8 activations (in PRECISION_AUTO bf16 panels where the kernels have the
 * product and it is faster); training multiplies dequantized weights in float32 (in PRECISION_AUTO bf16 where the
 * kernels have the product). In PRECISION_REFERENCE both are the same bits. */
enum dev_mode { DEV_SERVE, DEV_TRAIN };

struct dev;
struct dev_options {
    int n_thread; /* >= 1 */
    enum precision precision;
    enum kern_isa isa;
};
/* The CPU as a device: a thread pool, the kernels of opt->isa, scratch memory. dev_free ends the threads. */
int dev_cpu_new(struct dev **out, const struct dev_options *opt, struct err *e) MUST_CHECK;
void dev_free(struct dev *d);
enum precision dev_precision(const struct dev *d);
int dev_n_thread(const struct dev *d);
enum kern_isa dev_isa(const struct dev *d);
/* PRECISION_AUTO computes some products in bfloat16: CPUs of one instruction set may or may not. */
bool dev_uses_bf16(const struct dev *d);

/* How much memory the process of this device may take: 0 (as it starts): what is free; UINT64_MAX: whatever is asked
 * for; else so many bytes in all. Nothing is kept from allocating: plans ask before they take something large. */
void dev_memory_limit(struct dev *d, uint64_t max_bytes);
/* Bytes that may still be taken, UINT64_MAX when nobody looks. Keys and values that were promised and are perhaps not
 * written yet count as taken: the kernel takes unwritten memory for free, and kills who writes more than there is. */
uint64_t dev_memory_free(const struct dev *d);
/* Sets -ERR_NOMEM: "WHAT: 4.1 GB needed, 2.3 GB free in this machine; ADVICE". */
int dev_memory_lack(const struct dev *d, uint64_t need_bytes, const char *what, const char *advice, struct err *e);

/* Zeroed device memory for n floats; -ERR_NOMEM says how much was wanted. */
int dev_alloc(struct dev *d, float **out, size_t n, struct err *e) MUST_CHECK;
void dev_release(struct dev *d, float *p);
void dev_write(struct dev *d, float *dst, const float *src, size_t n);
void dev_read(struct dev *d, float *dst, const float *src, size_t n);
void dev_zero(struct dev *d, float *p, size_t n);
/* dst = src, both device memory, not overlapping. */
void dev_copy(struct dev *d, float *dst, const float *src, size_t n);
/* A block of one matrix into one of another: n_row rows of n_col values, rows a stride apart. */
void dev_copy_block(struct dev *d, float *dst, size_t dst_stride, const float *src, size_t src_stride, size_t n_row,
                    size_t n_col);

/* --- weights --- */

/* A packed matrix [n_out][n_in]: one copy, which decode, prefill and the backward pass read. */
struct dev_mat;
int dev_mat_new(struct dev *d, struct dev_mat **out, enum quant_type type, size_t n_out, size_t n_in,
                struct err *e) MUST_CHECK;
/* Pack rows [row0, row0 + n_row) given in the file format (host memory); row0 a multiple of 16. */
void dev_mat_put(struct dev *d, struct dev_mat *m, const void *rows, size_t row0, size_t n_row);
/* Pack all rows as `read` gives them: rows [row0, row0 + n_row) in the file format into `to`, from several threads at
 * once, a few hundred kilobytes each time. The first error of it ends the call. */
typedef int (*dev_read_rows_fn)(void *ctx, void *to, size_t row0, size_t n_row, struct err *e);
int dev_mat_fill(struct dev *d, struct dev_mat *m, dev_read_rows_fn read, void *ctx, struct err *e) MUST_CHECK;
/* The same matrix from memory that holds it packed already, as dev_mat_packed gave it: borrowed until dev_mat_free, and
 * only read. NULL from dev_mat_packed: this device does not show it. */
int dev_mat_borrow(struct dev *d, struct dev_mat **out, enum quant_type type, size_t n_out, size_t n_in, void *packed,
                   struct err *e) MUST_CHECK;
const void *dev_mat_packed(const struct dev_mat *m);
/* A number that is another one when packed matrices are laid out in another way. -ERR_NOMEM. */
int dev_layout(struct dev *d, uint64_t *out, struct err *e) MUST_CHECK;
void dev_mat_free(struct dev_mat *m);
/* Numbers of rows that a serving step with such matrices (fine: of their inputs, below) had better not have: a list as
 * kern.h has it. */
const struct kern_slow *dev_slow_rows(const struct dev *d, enum quant_type type, int fine);
/* All values [n_out][n_in] as float32 into device memory; and back, rounded to the type of the matrix, which must have
 * a quantizer of single values (F32, F16, BF16). */
void dev_mat_get(struct dev *d, const struct dev_mat *m, float *out);
void dev_mat_set(struct dev *d, struct dev_mat *m, const float *values);
size_t dev_mat_bytes(const struct dev_mat *m);
enum quant_type dev_mat_type(const struct dev_mat *m);
size_t dev_mat_n_out(const struct dev_mat *m);
size_t dev_mat_n_in(const struct dev_mat *m);

/* --- keys and values --- */

enum { DEV_PAGE = 32 }; /* tokens a page */

/* Pages of keys and values: serving's cache (one page holds all layers) and training's tape alike.
 * Elements are float32 in PRECISION_REFERENCE and in DEV_TRAIN, else what dev_kv_use said. */
struct dev_kv;
struct dev_kv_shape {
    int n_layer, n_kv_head, d_head;
    /* > 0: a compressed cache. n_kv_head is 1, and of the d_head values of a token the first n_latent are its value and
     * all are its key, so that they are kept once (latent.h). */
    int n_latent;
    /* Layers that read the last positions alone (windows) can have fewer pages than the others: n_near of them, which
     * dev_kv_near gives to pages that need them. 0: every page holds all layers. */
    int n_near;
    const bool *is_near; /* [n_layer], looked at when a cache is made; NULL: no layer */
};
/* What caches of DEV_SERVE hold from now on where they would hold float16: q8_0 takes 34 bytes for 64 (int8 in blocks
 * of 32 with a float16 scale, along a head). PRECISION_REFERENCE keeps float32 all the same. */
enum dev_kv_type { DEV_KV_F16, DEV_KV_Q8_0 };
void dev_kv_use(struct dev *d, enum dev_kv_type type);
enum dev_kv_type dev_kv_type(const struct dev *d);
/* Bytes of a page of a cache that is not there yet. */
size_t dev_kv_plan_page_bytes(const struct dev *d, const struct dev_kv_shape *shape, enum dev_mode mode);
int dev_kv_new(struct dev *d, struct dev_kv **out, const struct dev_kv_shape *shape, enum dev_mode mode, int n_page,
               struct err *e) MUST_CHECK;
void dev_kv_free(struct dev_kv *kv);
/* Bytes of a cache of n_page pages that is not there yet. */
uint64_t dev_kv_plan_bytes(const struct dev *d, const struct dev_kv_shape *shape, enum dev_mode mode, int n_page);
/* From now on the near layers of `page` are in near page `slot` (0 to n_near - 1; -1: nowhere, and they are not read or
 * written). Not while a step runs. */
void dev_kv_near(struct dev_kv *kv, int page, int slot);
/* Bytes of a page, all layers. */
size_t dev_kv_page_bytes(const struct dev_kv *kv);
/* Copy the first n_tok tokens of a page, all layers (copy on write). */
void dev_kv_copy(struct dev *d, struct dev_kv *kv, int dst_page, int src_page, int n_tok);
void dev_kv_zero(struct dev *d, struct dev_kv *kv);

/* One entry of a block table: a page and how many of its tokens count (a shared prefix may end inside a page). */
struct dev_block {
    int32_t page, n_tok;
};

/* Consecutive tokens of one sequence in a batch. Its keys and values, from position 0, are those of its blocks in
 * order; the blocks cover first_pos + n_tok positions, and the segment's own tokens are written into the last ones. */
struct dev_segment {
    int first_tok, n_tok; /* rows of the batch */
    int first_pos;
    const struct dev_block *block;
    int n_block;
    int adapter; /* index into lora[], -1: none */
};

/* --- adapters --- */

/* LoRA on one matrix: y += scale * B (A x). A [rank][n_in], B [n_out][rank] in device memory, as PEFT stores them.
 * With magnitudes m (DoRA; Liu et al. 2024, equation 5): y = g (W x + scale * B (A x)) + bias, where g[o] is m[o]
 * divided by the length of row o of W + scale * B A; backward takes these lengths as constants, as PEFT does
 * (section 4.3). */
struct dev_lora;
/* a, b: device memory (not owned) whose contents may change; dev_lora_update after every change. */
int dev_lora_new(struct dev *d, struct dev_lora **out, const float *a, const float *b, int rank, size_t n_in,
                 size_t n_out, float scale, struct err *e) MUST_CHECK;
void dev_lora_update(struct dev *d, struct dev_lora *l);
void dev_lora_free(struct dev_lora *l);
int dev_lora_rank(const struct dev_lora *l);
/* Another scale from the next operation on. */
void dev_lora_set_scale(struct dev_lora *l, float scale);
/* Give it magnitudes m[n_out], device memory (not owned) whose contents may change as those of a and b may. w: the
 * matrix that it sits on. */
int dev_lora_set_magnitude(struct dev *d, struct dev_lora *l, const struct dev_mat *w, const float *m,
                           struct err *e) MUST_CHECK;
/* The matrix w with the adapter in it: out[n_out][n_in] = g (W + scale * B A), device memory. */
void dev_lora_merge(struct dev *d, const struct dev_lora *l, const struct dev_mat *w, float *out);
/* An adapter that the matrix holds already (dev_lora_absorb): the forward pass and the gradient of the input take the
 * matrix as it is, a and b get their gradients as if they stood beside it (straight-through). */
void dev_lora_set_absorbed(struct dev_lora *l);
/* Codes of quantized rows moved by scale * B A, rounded to the nearest, scales as they are: `rows` (host memory, all
 * rows of the matrix in the format of a file) stay, w becomes what they give. The same bits in every precision, on
 * every instruction set. The type must have quant.move. */
void dev_lora_absorb(struct dev *d, const struct dev_lora *l, const void *rows, struct dev_mat *w);
/* The same moves, of rows [row0, row0 + n_row) of type `type`, in place. */
void dev_lora_move(struct dev *d, const struct dev_lora *l, enum quant_type type, void *rows, size_t row0,
                   size_t n_row);
/* Lengths of the rows of W + scale * B A at the last update: [n_out] device memory; NULL without magnitudes. */
const float *dev_lora_norms(const struct dev_lora *l);

/* --- a batch --- */

struct dev_batch {
    enum dev_mode mode;
    int n_tok;
    const struct dev_segment *segment;
    int n_segment;
};

/* Where the fast path would round an input to 8 bits, so many eighths of its blocks of 32 keep 16 (when rows are many
 * those that matter most; else all, unless it is 0). */
enum { FINE_NONE = 0, FINE_QUARTER = 2, FINE_HALF = 4, FINE_ALL = 8 };

/* A matrix with its bias and adapters: lora[adapter], each may be NULL; u, when not NULL, keeps A x for the
 * backward pass: [n_tok][rank] (training has one adapter). */
struct dev_proj {
    const struct dev_mat *w;
    const float *bias; /* [n_out] device memory, or NULL */
    const struct dev_lora *const *lora;
    int n_lora;
    float *u;
    float *y; /* [n_tok][n_out]: what the magnitudes of the adapter multiply, kept likewise; NULL: not kept */
    int fine; /* FINE_NONE to FINE_ALL */
};

/* --- forward --- */

/* x[n_tok][n_embd] = rows ids of the embedding, times scale. ids: host memory, checked by the caller. */
void dev_embed(struct dev *d, float *x, const struct dev_mat *embedding, const int32_t *ids, int n_tok, float scale);

/* Rotary tables: inv_freq[n_rot/2] host memory, frequency i already divided by its scaling factor. */
struct dev_rope {
    int n_rot;
    bool halves; /* pairs (i, i + n_rot/2), else (2i, 2i+1) */
    const float *inv_freq;
    float magnitude; /* of cos and sin; 0: 1 */
};

/* h = rms_norm(x) * norm; q, k, v = projections of h; q and k normed and rotated by position; k, v stored in kv at
 * layer. q: [n_tok][n_head * d_head] out. inv_rms: [n_tok] out, or NULL. */
struct dev_attn_in {
    const float *norm; /* NULL: h = x */
    float eps;
    struct dev_proj q, k, v;
    const float *q_norm, *k_norm; /* both NULL: none; [d_head] for each head, or, when full, [n_head * d_head] */
    bool full_norm;               /* and [n_kv_head * d_head] for all heads at once */
    const struct dev_rope *rope;  /* NULL: none */
    const float *rotated_norm;    /* [d_head] of each head of q and k after the rotation, forward alone; NULL: none */
    int temperature_floor; /* f > 0: q of position p times 1 + scale * ln(floor((p + 1) / f) + 1), forward alone */
    float temperature_scale;
    int n_head, n_kv_head, d_head;
    float *q_raw, *k_raw; /* [n_tok][n_head * d_head], [n_tok][n_kv_head * d_head]: q and k before their norms, kept for
                             the backward pass, or NULL */
};
void dev_attention_in(struct dev *d, const struct dev_batch *b, const struct dev_attn_in *p, const float *x, float *q,
                      float *inv_rms, struct dev_kv *kv, int layer);

struct dev_latent_heads;
/* out[n_tok][n_head * d_head] = softmax(scores, causal, within window or chunk when > 0) V over each segment's blocks;
 * scores are s = q K^T * scale, or softcap * tanh(s / softcap) where that is > 0.
 * With a compressed cache out is [n_tok][n_head * n_latent].
 * lse: [n_tok][n_head] log-sum-exp of the scaled scores, kept for the backward pass, or NULL. */
struct dev_attn {
    int n_head, n_kv_head, d_head;
    int window; /* a position sees so many, itself the last */
    int chunk;  /* a position sees its own chunk of so many */
    float scale, softcap;
    const struct dev_latent_heads *expand; /* latent.h */
};
void dev_attention(struct dev *d, const struct dev_batch *b, const struct dev_attn *p, const float *q, float *out,
                   float *lse, const struct dev_kv *kv, int layer);

/* How a branch y joins the residual stream: x += scale * rms_norm(y) * norm. */
struct dev_join {
    const float *norm; /* NULL: x += scale * y */
    float eps, scale;
    float *y; /* [n_tok][n_embd]: y, kept */
};
/* x[n_tok][n_out] += w y (residual connection); w y joins it as join says, when not NULL. */
void dev_linear_add(struct dev *d, const struct dev_batch *b, const struct dev_proj *p, const struct dev_join *join,
                    const float *y, float *x);

/* h = rms_norm(x) * norm; gate, up = projections of h; act = silu(gate) * up, or gelu (with tanh). gate_out, up_out:
 * [n_tok][n_ff] kept for the backward pass, or NULL. act may be NULL when both are kept (dev_glu makes it later). */
struct dev_gate_up {
    const float *norm; /* NULL: h = x */
    float eps;
    struct dev_proj gate, up;
    bool gelu;
};
void dev_gate_up(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *p, const float *x, float *act,
                 float *gate_out, float *up_out, float *inv_rms);
/* x[n_tok][n_embd] += w_down act, act as above: the whole of a layer after attention. act: [n_tok][n_ff] scratch.
 * join: as in dev_linear_add. */
void dev_ffn(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *p, const struct dev_proj *down,
             const struct dev_join *join, float *act, float *x);
void dev_glu(struct dev *d, bool gelu, float *act, const float *gate, const float *up, size_t n_tok, size_t n_ff);

/* --- encoders: every token of a segment sees all of it; nothing is kept --- */

/* Reserve scratch for segments of up to max_pos tokens, before they are computed. */
int dev_encoder_reserve(struct dev *d, int max_pos, int d_head, struct err *e) MUST_CHECK;
/* x += y, n values. */
void dev_add(struct dev *d, float *x, const float *y, size_t n);
/* Each of n_tok rows of n values: (x - mean) / sqrt(variance + eps) * w + bias. */
void dev_layer_norm(struct dev *d, float *x, const float *w, const float *bias, size_t n_tok, size_t n, float eps);
/* x = x * (1 + erf(x / sqrt(2))) / 2, n values. */
void dev_gelu(struct dev *d, float *x, size_t n);
/* out = softmax(q k^T * scale) v for each head within each segment; all [n_tok][n_head * d_head]. */
void dev_attention_all(struct dev *d, const struct dev_batch *b, int n_head, int d_head, float scale, const float *q,
                       const float *k, const float *v, float *out);

/* x[i] = x[rows[i]] for rows of width values; rows: host memory, ascending. */
void dev_take_rows(struct dev *d, float *x, size_t width, const int32_t *rows, int n_row);

/* logits[n_row][n_vocab] = w rms_norm(x[rows]) * norm, for chosen rows (host indices; NULL: the first n_row). logits:
 * HOST memory. */
struct dev_head {
    const float *norm;
    float eps;
    struct dev_proj out;
    float scale;       /* of the logits; 0: 1 */
    float softcap;     /* c > 0: then l becomes c * tanh(l / c) */
    float temperature; /* of dev_head_loss: last, l becomes l / temperature; 0: 1 */
};
void dev_head(struct dev *d, const struct dev_batch *b, const struct dev_head *p, const float *x, const int32_t *rows,
              int n_row, float *logits);

/* --- backward: every *_backward ADDS into the gradients of parameters and of x, in fixed order --- */

/* Reserve scratch for the backward operations, before they are called; it is written to, so that it is there. */
struct dev_train_shape {
    int max_tok, max_segment, n_page; /* of a batch, and of its dev_kv */
    int n_embd, n_head, n_kv_head, d_head, n_ff, n_vocab;
    int rank;        /* of the adapter, 0: none */
    bool magnitudes; /* it has some */
};
int dev_train_reserve(struct dev *d, const struct dev_train_shape *s, struct err *e) MUST_CHECK;
/* Bytes of it, for plans. */
size_t dev_train_bytes(const struct dev *d, const struct dev_train_shape *s);

/* Gradients of a projection, device memory; NULL members are not wanted. Of its adapter: da [rank][n_in],
 * db [n_out][rank], dm [n_out]; of itself: dw [n_out][n_in], dbias [n_out]. */
struct dev_proj_grad {
    float *da, *db, *dm, *dw, *dbias;
};
/* Gradients of the weights of norms, likewise: of the input [n_embd], of q and of k as dev_attn_in has them. */
struct dev_norm_grad {
    float *dnorm, *dq_norm, *dk_norm;
};
/* Gradients of the head: dw [n_vocab][n_embd], dnorm [n_embd]. */
struct dev_head_grad {
    float *dw, *dnorm;
};

/* Cross-entropy on chosen rows, forward and backward at once, in chunks, no logits kept.
 * loss[n_row] (host, may be NULL) = -log p(target); dx[rows] += weight[i] * gradient of loss[i] (dx NULL: loss only).
 * correct[n_row] (host, may be NULL): 1 where the target is the most likely token. g: with dx only, may be NULL. */
void dev_head_loss(struct dev *d, const struct dev_batch *b, const struct dev_head *p, const float *x,
                   const int32_t *rows, const int32_t *target, const float *weight, int n_row, float *loss,
                   uint8_t *correct, float *dx, const struct dev_head_grad *g);
/* Of a row of logits, host memory [n_vocab], which it divides by the temperature: the log-probability of id as
 * dev_head_loss has it, and the entropy of the row in nats. room: host memory [n_vocab]. One thread. */
void dev_log_prob(const struct dev *d, float *logits, size_t n_vocab, float temperature, int32_t id, float *room,
                  float *logp, float *entropy);
/* dx of the embeddings -> de[n_vocab][n_embd] += scale * dx, rows of one id in the order of the batch. */
void dev_embed_backward(struct dev *d, float *de, const int32_t *ids, int n_tok, size_t n_embd, float scale,
                        const float *dx);

/* dy[n_tok][n_out] -> dx[n_tok][n_in] += dy W (+ adapter); adapter gradients from input y (as forward had it).
 * The caller zeroes dx when it starts from nothing. */
void dev_linear_backward(struct dev *d, const struct dev_batch *b, const struct dev_proj *p,
                         const struct dev_proj_grad *g, const float *dy, const float *y, float *dx);

/* dx, the gradient of the residual stream -> dy (out), that of the branch y as join kept it; dnorm [n_embd] or NULL. */
void dev_join_backward(struct dev *d, const struct dev_batch *b, const struct dev_join *join, size_t n_embd,
                       const float *dx, float *dy, float *dnorm);

/* dact -> dgate, dup (out; may overwrite gate and up). */
void dev_glu_backward(struct dev *d, bool gelu, float *dgate, float *dup, const float *dact, const float *gate,
                      const float *up, size_t n_tok, size_t n_ff);

/* dx += through gate and up and the norm before them. h is recomputed from x and inv_rms. dnorm [n_embd] or NULL. */
void dev_gate_up_backward(struct dev *d, const struct dev_batch *b, const struct dev_gate_up *p,
                          const struct dev_proj_grad g[2], const float *dgate, const float *dup, const float *x,
                          const float *inv_rms, float *dx, float *dnorm);

/* dout -> dq (out), dkv (added; a dev_kv of the same pages as kv, one layer or the same layers).
 * Keys of a prefix that several segments share receive the sum over those segments in segment order. */
void dev_attention_backward(struct dev *d, const struct dev_batch *b, const struct dev_attn *p, const float *dout,
                            const float *out, const float *q, const float *lse, const struct dev_kv *kv,
                            struct dev_kv *dkv, int layer, int dkv_layer, float *dq);

/* dq and dkv -> dx: inverse rotation, norms of q and k (from q_raw and k_raw), projections, norm. dq is overwritten.
 * n: NULL, or what is wanted of the norms. */
void dev_attention_in_backward(struct dev *d, const struct dev_batch *b, const struct dev_attn_in *p,
                               const struct dev_proj_grad g[3], const struct dev_norm_grad *n, float *dq,
                               const struct dev_kv *dkv, int dkv_layer, const float *x, const float *inv_rms,
                               float *dx);

/* sum of g^2 over n values, in double, fixed order whatever the threads. */
double dev_sum_squares(struct dev *d, const float *g, size_t n);
/* g *= a. */
void dev_scale(struct dev *d, float *g, float a, size_t n);
struct dev_adamw {
    float lr, b1, b2, eps, decay, c1, c2; /* as kern.adamw */
};
void dev_adamw(struct dev *d, float *p, float *m, float *v, const float *g, size_t n, const struct dev_adamw *opt);

/* AdamW with moments of 8 bits: a code a value and a scale for each block of DEV_CODE_BLOCK (Dettmers et al. 2022). The
 * first moment is kept as sign and cube root, the second as sixth root, so that small values keep some digits. Codes
 * are rounded up or down by chance, (seed, step, place) deciding, in proportion: rounded to the nearest one, a second
 * moment that moves by a thousandth a step would stay where it is for ever. */
enum { DEV_CODE_BLOCK = 256 };
struct dev_codes {
    uint8_t *m, *v;           /* [n] */
    float *m_scale, *v_scale; /* [ceil(n / DEV_CODE_BLOCK)] */
    uint64_t seed, step;
};
void dev_adamw8(struct dev *d, float *p, const struct dev_codes *c, const float *g, size_t n,
                const struct dev_adamw *opt);

/* Lion (Chen et al. 2023, algorithm 2): p -= lr (sign(b1 m + (1 - b1) g) + decay p), m = b2 m + (1 - b2) g. */
void dev_lion(struct dev *d, float *p, float *m, const float *g, size_t n, const struct dev_adamw *opt);

/* Adafactor (Shazeer and Stern 2018, algorithm 4, without the scaling by the parameters' own size) of one matrix
 * [n_row][n_col] with means of squares row[n_row], col[n_col]; of a vector where n_col is 1, then col is NULL. scratch:
 * host memory for max(n_row, n_col) doubles. */
struct dev_adafactor {
    float lr, decay;
    float keep;  /* of the means: 1 - step^-0.8 */
    float floor; /* added to squares */
    float clip;  /* of the root mean square of a change */
};
void dev_adafactor(struct dev *d, float *p, float *row, float *col, const float *g, size_t n_row, size_t n_col,
                   const struct dev_adafactor *opt, double *scratch);

#endif
