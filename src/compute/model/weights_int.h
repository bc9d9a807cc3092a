/* Private to the models: where gradients of weights lie. */
#ifndef MODEL_WEIGHTS_INT_H
#define MODEL_WEIGHTS_INT_H

#include "compute/model/model_int.h"
#include "compute/model/weights.h"

enum weight_norm { NORM_ATTN, NORM_FFN, NORM_POST_ATTN, NORM_POST_FFN, NORM_Q, NORM_K, NORM_COUNT };

/* Where the rows of a site stand in its tensor "blk.N.PART.weight". */
struct site_place {
    const char *part;
    size_t row0;
};
struct site_place model_site_place(const struct model_params *p, enum adapter_site site);

/* One tensor, or the rows of one from row0 on: a matrix, or a vector of n_out values (mat NULL). */
struct weight {
    const char *part; /* GGUF's name of it in a layer, "attn_q"; of the model: "token_embd" */
    bool is_bias;
    int layer; /* -1: none */
    size_t row0, n_out, n_in;
    struct dev_mat *mat;
    float *vec;
    size_t at; /* offset in the flat arrays */
};

struct layer_weights {
    struct weight *w[SITE_COUNT], *bias[SITE_COUNT], *norm[NORM_COUNT]; /* NULL where there is none */
};

struct weights {
    struct model *m;
    struct weight *weight;
    size_t n_weight, n_param;
    struct weight *embedding, *head, *output_norm; /* head NULL: the embedding */
    struct layer_weights *layer;                   /* [n_layer] */
    float *param, *grad;                           /* [n_param] device memory; grad NULL until asked for */
};

/* Gradients of what a layer's norms multiply with; NULL where there is no such norm. */
struct layer_norm_grads {
    struct dev_norm_grad in; /* before attention, of q and k */
    float *ffn, *post_attn, *post_ffn;
};
struct dev_proj_grad weights_proj_grad(const struct weights *w, int layer, enum adapter_site site);
struct layer_norm_grads weights_norm_grads(const struct weights *w, int layer);
struct dev_head_grad weights_head_grad(const struct weights *w);
float *weights_embedding_grad(const struct weights *w);

#endif
