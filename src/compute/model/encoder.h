/* Encoders of the BERT family: weights bound to a device and their forward pass, which gives a vector for every token.
 * Immutable after load but for scratch; one thread at a time computes. */
#ifndef MODEL_ENCODER_H
#define MODEL_ENCODER_H

#include <stddef.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/formats/model_file.h"
#include "ground/base/err.h"

struct encoder;

/* As model_load. */
int encoder_load(struct encoder **out, struct dev *d, const struct model_file *f, struct err *e) MUST_CHECK;
void encoder_free(struct encoder *m);
const struct encoder_params *encoder_params(const struct encoder *m);
/* hidden[n_tok][n_embd] (host memory): the vectors of the last layer for sequences one after the other; the s-th has
 * n_tok[s] tokens, 1 to n_ctx. -ERR_INPUT for an id outside the vocabulary. */
int encoder_forward(struct encoder *m, const int32_t *ids, const int *n_tok, int n_seq, float *hidden,
                    struct err *e) MUST_CHECK;

#endif
