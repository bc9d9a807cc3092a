/* Private to the models: a bound model, what a family provides, and one layer's operations ready to run. */
#ifndef MODEL_MODEL_INT_H
#define MODEL_MODEL_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/formats/model_file.h"
#include "compute/model/adapter.h"
#include "compute/model/model.h"
#include "compute/model/tap.h"
#include "ground/base/err.h"

enum { MODEL_MAX_ADAPTER = 64 }; /* different adapters in one batch */

/* Weights of one layer, by site. Bias members are NULL where the file has none. */
struct model_layer {
    float *attn_norm, *ffn_norm; /* [n_embd] */
    struct dev_mat *w[SITE_COUNT];
    float *bias[SITE_COUNT];
};

struct model;
struct model_family {
    const char *architecture; /* GGUF's name */
    int (*bind)(struct model *m, const struct model_file *f, struct err *e);
    /* All layers of a checked batch; x [n_tok][n_embd] holds embeddings on entry. On return its first n_out rows are
     * those whose logits are wanted; the batch that these are is returned. */
    struct dev_batch (*layers)(struct model *m, const struct model_batch *b, struct dev_kv *kv);
    /* One layer with a tape, and back; tape_int.h says what they find and leave. */
    void (*tape_forward)(struct tape *t, int layer);
    void (*tape_backward)(struct tape *t, int layer);
};
/* One file a family. */
extern const struct model_family family_llama, family_qwen2;
void llama_tape_forward(struct tape *t, int layer);
void llama_tape_backward(struct tape *t, int layer);

/* Activations of a step, device memory for max_tok tokens. */
struct model_space {
    int max_tok;
    float *x, *q, *att, *act;   /* [n_embd], [n_head * d_head] twice, [n_ff] values a token */
    struct dev_segment *wanted; /* [max_tok] segments of model_take_wanted */
};

/* A matrix as it was bound: which tensor it is. */
struct model_bound {
    char *name;
    const struct dev_mat *mat;
};

struct model {
    struct dev *dev;
    const struct model_family *family;
    struct model_params params;
    struct dev_mat *embedding; /* [n_vocab][n_embd] */
    struct dev_mat *head;      /* NULL: the embedding */
    float *output_norm;        /* [n_embd] */
    struct model_layer *layer; /* [n_layer] */
    float inv_freq[512];       /* [n_rot / 2], divided by rope_factor */
    struct dev_rope rope;
    uint64_t vector_bytes; /* norms and biases */
    struct model_space space;
    struct model_bound *bound; /* [n_bound] matrices by tensor */
    size_t n_bound;
    struct packed_file *packed; /* what matrices may have been borrowed from, or NULL */
};

/* Once the last layer has stored its keys and values, only rows whose logits are wanted go on: moves them to the front
 * of x and q. Returns the batch that they are; it names blocks of b. */
struct dev_batch model_take_wanted(struct model *m, const struct model_batch *b);

/* Outputs and inputs of the matrix at a site. */
void model_site_shape(const struct model_params *p, enum adapter_site site, size_t *n_out, size_t *n_in);

/* One layer's operations with the adapters of a batch; they point into this struct and into the model. */
struct layer_ops {
    struct dev_attn_in in;
    struct dev_attn attn;
    struct dev_proj o;
    struct dev_gate_up gate_up;
    struct dev_proj down;
    const struct dev_lora *lora[SITE_COUNT][MODEL_MAX_ADAPTER];
};
/* n_adapter <= MODEL_MAX_ADAPTER. The members u of the projections are NULL. */
void model_layer_ops(const struct model *m, int layer, const struct adapter *const *adapter, int n_adapter,
                     struct layer_ops *ops);
/* The output head (no adapters sit on it). */
struct dev_head model_head(const struct model *m);

/* --- tap.c: nothing when the batch has no tap --- */

/* Rows x [n_tok][n_in] in device memory, the input of the matrix at a site. */
void model_tap_rows(const struct model *m, const struct model_batch *b, int layer, enum adapter_site site,
                    const float *x, size_t n_in);
/* The same for an input that is x [n_tok][n_embd] normed. */
void model_tap_normed(const struct model *m, const struct model_batch *b, int layer, enum adapter_site site,
                      const float *x, const float *norm);

/* -ERR_NOMEM when the weights of a file are more than what the device may still take. */
int model_check_memory(const struct dev *d, const struct model_file *f, struct err *e) MUST_CHECK;

/* --- binding: model_bind.c --- */

/* A matrix by its GGUF name, read in pieces and packed. Missing: -ERR_INPUT. */
int bind_mat(struct model *m, const struct model_file *f, const char *name, size_t n_out, size_t n_in,
             struct dev_mat **out, struct err *e) MUST_CHECK;
/* A vector as float32 device memory. Missing: -ERR_INPUT when must, else *out is NULL. */
int bind_vec(struct model *m, const struct model_file *f, const char *name, size_t n, bool must, float **out,
             struct err *e) MUST_CHECK;

#endif
