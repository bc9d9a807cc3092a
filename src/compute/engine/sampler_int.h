/* Private to engine/: one token from one row of logits. */
#ifndef ENGINE_SAMPLER_INT_H
#define ENGINE_SAMPLER_INT_H

#include <stddef.h>
#include <stdint.h>

#include "compute/engine/candidates_int.h"
#include "compute/engine/engine.h"
#include "compute/engine/row_int.h"
#include "ground/base/err.h"

/* Scratch memory for one stepping thread; sampling allocates nothing. */
struct sampler {
    size_t n_vocab;
    struct candidate *candidate; /* [n_vocab] */
    uint32_t *count;             /* [n_vocab], all zero between calls */
    struct row row;
};
/* -ERR_NOMEM. */
int sampler_init(struct sampler *s, size_t n_vocab, struct err *e) MUST_CHECK;
void sampler_deinit(struct sampler *s);

/* What came before the token: penalties look at it. */
struct sample_history {
    const int32_t *ids; /* prompt, then answer */
    size_t n_prompt, n_id;
};

/* The token at position h->n_id. logits[n_vocab] are overwritten where penalties apply. allowed (NULL: all) is the
 * mask: it comes before every other filter. Order: mask, penalties, temperature, top-k, top-p, min-p; ties go to the
 * lower id. The draw is a function of (seed, position). Returns -1 when no logit is a finite number. */
int32_t sampler_pick(struct sampler *s, float *logits, const struct sampling *opt, const struct sample_history *h,
                     const int32_t *allowed, size_t n_allowed) MUST_CHECK;
/* The candidates that the filters of opt leave without a mask, best first, into out[n_vocab]; returns how many. For
 * tests. */
size_t sampler_filter(struct sampler *s, float *logits, const struct sampling *opt, const struct sample_history *h,
                      struct candidate *out) MUST_CHECK;

#endif
