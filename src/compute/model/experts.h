/* Layers whose feed-forward part is a mixture of experts: binding it, and its step. Private to the models. */
#ifndef MODEL_EXPERTS_H
#define MODEL_EXPERTS_H

#include "compute/device/experts.h"
#include "compute/model/dense.h"

/* Weights of one layer's mixture. */
struct layer_experts {
    struct dev_mat *router; /* in float32, whatever the file has */
    float *bias;            /* [n_expert], or NULL */
    struct dev_stack *gate, *up, *down;
    struct dev_mat *shared_gate, *shared_up, *shared_down; /* NULL: none */
    float *shared_weight;                                  /* [n_embd], or NULL */
};
void layer_experts_free(struct dev *d, struct layer_experts *x);
/* Bytes of all its matrices; of those that a step reads in which n_read experts were chosen, 0: of the common ones. */
uint64_t layer_experts_bytes(const struct layer_experts *x);
uint64_t layer_experts_step_bytes(const struct layer_experts *x, int n_read);

/* The mixture of a layer, or its dense feed-forward part where it has none. */
int bind_ffn_or_experts(const struct binder *b) MUST_CHECK;
/* Norms, attention, and the above. */
int experts_bind(const struct binder *b) MUST_CHECK;
/* Adds the same to space.x. */
void experts_ffn(struct step *s, int layer);

#endif
