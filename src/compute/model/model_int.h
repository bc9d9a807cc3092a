/* Private to the models: a bound model, what a family provides, and one layer's operations ready to run. */
#ifndef MODEL_MODEL_INT_H
#define MODEL_MODEL_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/device/experts.h"
#include "compute/device/stack.h"
#include "compute/formats/model_file.h"
#include "compute/model/adapter.h"
#include "compute/model/model.h"
#include "compute/model/tap.h"
#include "ground/base/err.h"

enum { MODEL_MAX_ADAPTER = 64 }; /* different adapters in one batch */

/* Weights of one layer, by site. Norms and biases are NULL where the family or the file has none. */
struct model_layer {
    float *attn_norm, *ffn_norm;           /* [n_embd] before a branch */
    float *post_attn_norm, *post_ffn_norm; /* [n_embd] after it */
    float *q_norm, *k_norm;                /* as in dev_attn_in */
    struct dev_mat *w[SITE_COUNT];         /* NULL where the layer has something else in their place */
    float *bias[SITE_COUNT];
    struct layer_experts *experts; /* experts.h; NULL: gate, up and down */
    struct layer_latent *latent;   /* deepseek2.h; NULL: q, k and v */
};

/* One layer's operations with the adapters of a batch; they point into this struct and into the model. */
struct layer_ops {
    struct dev_attn_in in;
    struct dev_attn attn;
    struct dev_proj o;
    struct dev_gate_up gate_up;
    struct dev_proj down;
    struct dev_join *attn_join, *ffn_join; /* NULL: the branch is added as it is */
    struct dev_join join[2];               /* what these point to */
    const struct dev_lora *lora[SITE_COUNT][MODEL_MAX_ADAPTER];
};

/* A step in hand, as the parts of a layer see it. x of the model's space holds the residual stream of the rows. */
struct step {
    struct model *m;
    const struct model_batch *b;
    struct dev_kv *kv;
    struct dev_batch rows; /* all of b, or those that go on in the last layer */
    struct layer_ops ops;  /* of the layer */
};

/* The weights of one layer being bound. */
struct binder {
    struct model *m;
    const struct model_file *f;
    int layer;
    struct err *e;
};

/* One file a family: it binds the weights of a layer and says which steps a layer is made of (dense.h has the common
 * ones). Families whose layers differ in kind look at the hyper-parameters of the layer in these functions. */
struct model_family {
    const char *architecture; /* GGUF's name */
    int (*bind_layer)(const struct binder *b);
    /* Each adds its branch to x, as set up in s->ops. attention calls step_take_wanted once it has stored its keys and
     * values, and goes on with the rows that are left; ffn is not called when there are none. */
    void (*attention)(struct step *s, int layer);
    void (*ffn)(struct step *s, int layer);
    /* One layer with a tape, and back; tape_int.h says what they find and leave. NULL: it cannot be trained. */
    void (*tape_forward)(struct tape *t, int layer);
    void (*tape_backward)(struct tape *t, int layer);
};
extern const struct model_family family_llama, family_qwen2, family_qwen3, family_gemma2, family_gemma3, family_phi3,
    family_olmo2, family_granite, family_smollm3, family_qwen2moe, family_qwen3moe, family_deepseek2, family_llama4;

/* Activations of a step, device memory for max_tok tokens. */
struct model_space {
    int max_tok;
    /* [n_embd], queries and what they attended to (model_query_len, model_attended_len a head), [n_ff] values a token
     */
    float *x, *q, *att, *act;
    float *branch;                     /* [n_embd] what joins x otherwise than by addition, NULL where nothing does */
    struct dev_segment *wanted;        /* [max_tok] segments of model_take_wanted */
    struct dev_experts_space *experts; /* NULL where no layer has any */
};

/* A matrix as it was bound: which tensor, or part of one, it is. */
struct model_bound {
    char *name;
    const struct dev_mat *mat;
};

struct model {
    struct dev *dev;
    const struct model_family *family;
    struct model_params params;
    struct dev_mat *embedding;                      /* [n_vocab][n_embd] */
    struct dev_mat *head;                           /* NULL: the embedding */
    float *output_norm;                             /* [n_embd] */
    struct model_layer *layer;                      /* [n_layer] */
    float inv_freq[MODEL_MAX_ROPE][MODEL_MAX_FREQ]; /* [n_rot / 2], divided by the factors of scaling */
    struct dev_rope rope[MODEL_MAX_ROPE];
    float *ones;                /* [d_head], where heads are normed without weights, else NULL */
    uint64_t vector_bytes;      /* norms and biases */
    uint64_t expert_bytes_read; /* in all steps so far */
    struct model_space space;
    struct model_bound *bound; /* [n_bound] matrices by tensor */
    size_t n_bound;
    struct packed_file *packed; /* what matrices may have been borrowed from, or NULL */
};

/* Once the last layer has stored its keys and values, only rows whose logits are wanted go on: moves them to the front
 * of x and q, and s->rows becomes the batch that they are. Does nothing in other layers. */
void step_take_wanted(struct step *s, int layer);
/* What joins the residual stream otherwise than by addition. */
bool model_has_join(const struct model_params *p);

/* Values of a query head, and of what it attended to, as attention sees them. */
size_t model_query_len(const struct model_params *p);
size_t model_attended_len(const struct model_params *p);
/* Its layers are, so that it is more sensitive to the rounding of inputs. */
bool model_is_small(const struct model *m);
/* What a projection's `fine` is. */
int model_fine(const struct model *m, enum adapter_site site);

/* Outputs and inputs of the matrix at a site. */
void model_site_shape(const struct model_params *p, enum adapter_site site, size_t *n_out, size_t *n_in);

/* The operations of a layer; n_adapter <= MODEL_MAX_ADAPTER. The members u of the projections and what the backward
 * pass wants kept are NULL. */
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

/* Frees what the bind_ functions noted of a model: names, not matrices. */
void forget_bound(struct model *m);
/* A matrix by its GGUF name, read in pieces and packed. Missing: -ERR_INPUT. */
int bind_mat(struct model *m, const struct model_file *f, const char *name, size_t n_out, size_t n_in,
             struct dev_mat **out, struct err *e) MUST_CHECK;
/* A vector as float32 device memory. Missing: -ERR_INPUT when must, else *out is NULL. */
int bind_vec(struct model *m, const struct model_file *f, const char *name, size_t n, bool must, float **out,
             struct err *e) MUST_CHECK;
/* The same of rows [row0, row0 + n_out) of a tensor that has n_row of them. */
struct bind_part {
    size_t n_row, row0, n_out;
};
int bind_mat_part(struct model *m, const struct model_file *f, const char *name, const struct bind_part *part,
                  size_t n_in, struct dev_mat **out, struct err *e) MUST_CHECK;
int bind_vec_part(struct model *m, const struct model_file *f, const char *name, const struct bind_part *part,
                  bool must, float **out, struct err *e) MUST_CHECK;
/* Fill a matrix with rows of t from row0 on, counted across all its dimensions but the last. */
int bind_read(struct dev *d, const struct model_file *f, const struct tensor_info *t, size_t row0, struct dev_mat *mat,
              struct err *e) MUST_CHECK;
/* Remember under which name a matrix is kept packed. */
int bind_note(struct model *m, const char *name, const struct dev_mat *mat, struct err *e) MUST_CHECK;

/* --- binding: model_bind_stack.c --- */

/* A stack of n matrices; the same errors. */
int bind_stack(struct model *m, const struct model_file *f, const char *name, size_t n, size_t n_out, size_t n_in,
               struct dev_stack **out, struct err *e) MUST_CHECK;
/* A matrix of any type, kept in float32. */
int bind_mat_f32(struct model *m, const struct model_file *f, const char *name, size_t n_out, size_t n_in,
                 struct dev_mat **out, struct err *e) MUST_CHECK;
/* A matrix of one row as a vector. */
int bind_row(struct model *m, const struct model_file *f, const char *name, size_t n, float **out,
             struct err *e) MUST_CHECK;
/* The tensor of a name and shape, with its kernel type. */
int bind_find(const struct model_file *f, const char *name, int n_dim, const size_t *shape,
              const struct tensor_info **out, enum quant_type *type, struct err *e) MUST_CHECK;

#endif
