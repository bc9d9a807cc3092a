/* Weights of a layer's attention with a compressed cache. Private to the models. */
#ifndef MODEL_DEEPSEEK2_H
#define MODEL_DEEPSEEK2_H

#include "compute/device/latent.h"
#include "compute/model/model_int.h"

struct layer_latent {
    struct dev_mat *q_a, *q, *kv_a; /* q_a NULL: queries come from the input at once */
    float *q_a_bias, *q_bias, *kv_a_bias;
    float *q_norm, *kv_norm;
    struct dev_stack *k_b, *v_b;
};
/* NULL is fine. */
void layer_latent_free(struct dev *d, struct layer_latent *l);
/* Of all its matrices. */
uint64_t layer_latent_bytes(const struct layer_latent *l);

#endif
