/* Pieces that families are built of: binding the parts of a layer, the steps of the forward pass, and their way back.
 * Private to the models. */
#ifndef MODEL_DENSE_H
#define MODEL_DENSE_H

#include "compute/model/model_int.h"

/* --- binding one layer: 0 or -ERR_*, the tensor named --- */

enum { MODEL_TENSOR_NAME = 96 };
/* A vector of n values, "blk.N.PART.weight". */
int bind_norm(const struct binder *b, const char *part, size_t n, float **out) MUST_CHECK;
/* The matrix of a site under its usual name, with its bias if there is one. */
int bind_site(const struct binder *b, enum adapter_site site) MUST_CHECK;
/* n sites from first on, whose rows one tensor holds in this order. */
int bind_fused(const struct binder *b, const char *part, enum adapter_site first, int n) MUST_CHECK;
/* What the hyper-parameters say that there is: norms around the branches; q, k, v and output with norms of q and k;
 * gate, up and down. */
int bind_norms(const struct binder *b) MUST_CHECK;
int bind_attention(const struct binder *b) MUST_CHECK;
int bind_ffn(const struct binder *b) MUST_CHECK;
/* All three. */
int dense_bind(const struct binder *b) MUST_CHECK;

/* --- steps of a layer --- */

/* Each adds its branch to space.x, by the operations in s->ops. */
void dense_attention(struct step *s, int layer);
void dense_ffn(struct step *s, int layer);

/* --- with a tape: dense_backward.c --- */

/* As struct model_family wants them. */
void dense_tape_forward(struct tape *t, int layer);
void dense_tape_backward(struct tape *t, int layer);

#endif
