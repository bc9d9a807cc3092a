/* The forward pass with a tape, and the backward pass: what training needs beside model.h.
 *
 * Segments here may share a prefix: a parent segment's tokens are computed once, its children's blocks begin with the
 * parent's. Keys and values live in pages of the tape; the gradients of a shared prefix are summed over its children in
 * segment order. Of layers that are computed again only the input is kept, and such a layer is run again before its
 * backward step: the same bits, less memory. What is trained is an adapter, or, in full, the weights themselves. */
#ifndef MODEL_TAPE_H
#define MODEL_TAPE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compute/model/adapter.h"
#include "compute/model/model.h"
#include "compute/model/weights.h"
#include "ground/base/err.h"

struct tape_segment {
    int n_tok;
    int parent; /* index of an earlier segment whose tokens are this one's prefix, -1: none */
};

/* Tokens of a micro-batch: flat list, segments in order. */
struct tape_batch {
    const int32_t *ids; /* [n_tok] */
    int n_tok;
    const struct tape_segment *segment;
    int n_segment;
    /* trained positions: the logits at row[i] predict target[i]; loss and gradient are multiplied by weight[i] */
    const int32_t *row, *target;
    const float *weight;
    int n_target;
    float temperature; /* logits are divided by it; 0: 1 */
    /* noise on the embeddings (device/noise.h), 0: none; then every segment is a sequence of its own, with a key */
    float noise;
    uint64_t noise_seed;
    const uint64_t *noise_key; /* [n_segment] */
    /* of a backward step whose weights follow from its losses; NULL: weight stands. Called between both with
     * loss[n_target] unweighted; fills in what weight points to */
    void (*weigh)(void *arg, const float *loss);
    void *weigh_arg;
};

enum { TAPE_ALL_LAYERS = INT_MAX };

struct tape_options {
    int max_tok, max_segment; /* of a micro-batch */
    int rank;                 /* highest of the adapters that will be trained; 0: none */
    bool magnitudes;          /* some of them have magnitudes */
    int n_frozen;             /* so many first layers have nothing to train: the way back ends above them */
    int n_recompute;          /* so many layers from there on are computed again; TAPE_ALL_LAYERS: all */
    size_t max_bytes;         /* refuse to take more; 0: no limit */
};
/* Take all memory of micro-batches up to the given size, and write to it, so that it is there. -ERR_LIMIT beyond
 * max_bytes names both numbers. */
int tape_new(struct tape **out, struct model *m, const struct tape_options *opt, struct err *e) MUST_CHECK;
void tape_free(struct tape *t);
/* Bytes that tape_new would take. */
size_t tape_bytes(const struct model *m, const struct tape_options *opt);
/* The fewest layers to compute again with which a tape keeps to opt's max_bytes; all of them where none does. */
int tape_recompute_that_fits(const struct model *m, const struct tape_options *opt);
/* Most tokens, up to opt's, with which a tape keeps to opt's max_bytes; 0: none. */
int tape_tokens_that_fit(const struct model *m, const struct tape_options *opt);

/* From now on backward steps add gradients to those of w, which are there (weights_grads), instead of an adapter's. */
void tape_train_weights(struct tape *t, struct weights *w);

/* Forward, loss and (when backward) gradients ADDED to the adapter's, or the weights'. loss[n_target]: host, unweighted
 * -log p; correct may be NULL. adapter may be NULL when not backward, or when weights are trained. */
int tape_step(struct tape *t, const struct tape_batch *b, struct adapter *a, bool backward, float *loss,
              uint8_t *correct, struct err *e) MUST_CHECK;

#endif
