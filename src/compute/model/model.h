/* A model: weights bound to a device, and the one forward pass that training, evaluation and serving share.
 * Immutable after load. One file a family (llama.c); the others know no family. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/formats/model_file.h"
#include "ground/base/err.h"

struct model;
struct adapter;   /* adapter.h */
struct tape;      /* tape.h */
struct model_tap; /* tap.h */

/* Read and pack all weights of an open file. -ERR_INPUT: a tensor is missing or has another shape than the
 * hyper-parameters say (both are named); -ERR_UNSUPPORTED: a type that cannot be computed; -ERR_NOMEM says how much
 * is needed and what would fit (before anything is read, where the device looks at what is free). */
int model_load(struct model **out, struct dev *d, const struct model_file *f, struct err *e) MUST_CHECK;
/* The same with matrices from a packed file where it has them (packed_file.h; NULL: none). It is the model's from now
 * on, also after a failure. */
struct packed_file;
int model_load_packed(struct model **out, struct dev *d, const struct model_file *f, struct packed_file *packed,
                      struct err *e) MUST_CHECK;
void model_free(struct model *m);
const struct model_params *model_params(const struct model *m);
struct dev *model_dev(const struct model *m);
/* Memory that loading a file takes, before it is done. */
uint64_t model_plan_bytes(const struct model_file *f);
uint64_t model_weight_bytes(const struct model *m); /* packed, in memory */
/* Weight bytes that one decode step of one sequence reads (the embedding counts one row, a tied head counts whole; of
 * experts those chosen for one token count). */
uint64_t model_step_bytes(const struct model *m);
/* The same without experts, and what was read of experts in all steps so far: several sequences may share some. */
uint64_t model_common_step_bytes(const struct model *m);
uint64_t model_expert_bytes_read(const struct model *m);
/* Parameters of matrix products a token: layers only (of experts those chosen for it), and the head. */
uint64_t model_n_layer_param(const struct model *m);
uint64_t model_n_head_param(const struct model *m);

/* Say how long sequences may become, before any is computed: models with two sets of rotary frequencies (longrope) take
 * that for long contexts where n_ctx is beyond the short one, for all positions, so that what is stored stays right.
 * Without this call they take the short one. */
void model_set_context(struct model *m, int n_ctx);

/* Keys and values for serving: n_page pages of DEV_PAGE tokens. */
int model_kv_new(const struct model *m, struct dev_kv **out, int n_page, struct err *e) MUST_CHECK;
/* Bytes one page would take, without making one. */
size_t model_kv_page_bytes(const struct model *m);
/* Positions, its own included, that a token sees at most in the layers with a window or chunks; 0: there are none. */
int model_near_span(const struct model *m);
/* The same cache with n_near pages for those layers (device.h, dev_kv_near), and its bytes before it is made. */
int model_kv_new_near(const struct model *m, struct dev_kv **out, int n_page, int n_near, struct err *e) MUST_CHECK;
uint64_t model_kv_bytes(const struct model *m, int n_page, int n_near);

/* One step. ids[n_tok] are checked (-ERR_INPUT names the first outside the vocabulary). */
struct model_batch {
    struct dev_batch dev;   /* mode DEV_SERVE (DEV_TRAIN: the arithmetic of training, kv then float32) */
    const int32_t *ids;     /* [n_tok] */
    const int32_t *out_row; /* rows whose logits are wanted, ascending */
    int n_out;
    const struct adapter *const *adapter; /* segments name these by index */
    int n_adapter;
    const struct model_tap *tap; /* sees the inputs of the matrices; NULL: nobody looks */
};
/* logits: host memory [n_out][n_vocab]. Memory for steps of up to max_tok tokens is reserved by model_reserve. */
int model_forward(struct model *m, const struct model_batch *b, struct dev_kv *kv, float *logits,
                  struct err *e) MUST_CHECK;
/* Numbers of decoding sequences that a step had better not have: a list as kern.h has it. */
const struct kern_slow *model_slow_rows(const struct model *m);
/* Reserve activations for steps of up to max_tok tokens, so that later steps allocate nothing; bytes of that. */
size_t model_reserve_bytes(const struct model *m, int max_tok);
int model_reserve(struct model *m, int max_tok, struct err *e) MUST_CHECK;

#endif
