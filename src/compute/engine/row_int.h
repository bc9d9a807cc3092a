/* Private to engine/: the logits of the whole vocabulary, looked at in blocks and never sorted. */
#ifndef ENGINE_ROW_INT_H
#define ENGINE_ROW_INT_H

#include <stddef.h>
#include <stdint.h>

#include "compute/engine/candidates_int.h"
#include "ground/base/err.h"

enum {
    ROW_BLOCK = 64,
    ROW_PER_NAT = 16, /* buckets a factor e of weight */
    ROW_BUCKET = 45 * ROW_PER_NAT,
    ROW_FINE = 256 /* steps a bucket */
};

/* Tokens by weight exp((logit - best) / temperature): bucket b holds those in (exp(-(b + 1) / 16), exp(-b / 16)]. The
 * one after the last bucket holds the rest, whose weight counts as 0: below 2^-64, while a draw has 53 bits and the sum
 * of a vocabulary is rounded more than all of them together are worth. */
struct row {
    size_t n_vocab;
    const float *logits; /* of row_begin */
    float best;
    float *block_max; /* [n_vocab / 64, rounded up] */
    double step;      /* fine steps a unit of logit, at the temperature of row_weigh */
    double weight[ROW_BUCKET + 1];
    double coarse[ROW_BUCKET + 1], fine[ROW_FINE]; /* exp(-i / 16), exp(-i / 4096) */
};
/* -ERR_NOMEM. */
int row_init(struct row *r, size_t n_vocab, struct err *e) MUST_CHECK;
void row_deinit(struct row *r);

/* Look at a row of n_vocab logits, borrowed until the next; returns the best, -infinity when there is none. NaN is
 * passed over. */
float row_begin(struct row *r, const float *logits);
/* The lowest id of the best logit; row_begin must have found one. */
int32_t row_best_id(const struct row *r);
/* Offer all that the empty b may keep. */
void row_best_k(const struct row *r, struct best_k *b);
/* Sum the weights of tokens by bucket into weight[]; returns the sum of all. Buckets after `last` may stay incomplete.
 */
double row_weigh(struct row *r, double inv_temperature, int last);
/* The first bucket that may hold tokens of less than `least` weight, ROW_BUCKET when least is 0. */
int row_least_bucket(const struct row *r, double least);
/* The bucket of a logit, 0 to ROW_BUCKET, as row_weigh counted it. */
int row_bucket(const struct row *r, float logit);
/* The tokens of a bucket < ROW_BUCKET, by id, into out[n_vocab]; returns how many. */
size_t row_collect(const struct row *r, int bucket, struct candidate *out);

#endif
