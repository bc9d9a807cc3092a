/* GRPO: what is learned from answers that were sampled and rewarded, as functions of log-probabilities. Shao et al.
 * 2024 (DeepSeekMath), eq. 3 and 4; token sums over the batch and clip-higher: Yu et al. 2025 (DAPO); division by a
 * constant: Liu et al. 2025 (Dr. GRPO). No model and no memory here. */
#ifndef TRAIN_POLICY_LOSS_H
#define TRAIN_POLICY_LOSS_H

#include <stdbool.h>
#include <stddef.h>

enum policy_norm {
    POLICY_GRPO,    /* mean over the tokens of an answer, then over answers */
    POLICY_BNPO,    /* mean over the tokens of a micro-batch */
    POLICY_DR_GRPO, /* sum over tokens / (answers * longest answer allowed) */
    POLICY_DAPO     /* mean over the tokens of an optimizer step */
};
enum policy_scale { POLICY_BY_GROUP, POLICY_BY_BATCH, POLICY_UNSCALED };

struct policy_config {
    enum policy_norm norm;
    double clip_low, clip_high; /* the ratio counts within [1 - clip_low, 1 + clip_high] */
    double beta;                /* weight of the divergence from the reference; 0: none is needed */
    size_t max_completion;      /* tokens; DR_GRPO */
};

/* Advantages of n answers that stand in groups of `size` for one prompt each: reward minus the group's mean, over the
 * sample standard deviation of the group (or the batch) + 1e-4. Returns the number of groups whose rewards are all
 * equal: they teach nothing. n a multiple of size, size > 1. */
size_t policy_advantages(const double *reward, size_t n, size_t size, enum policy_scale scale, double *advantage);

/* One token of an answer. old: its log-probability when the answer was sampled; reference: with the adapter off. */
struct policy_input {
    double logp, old, reference, advantage;
};
/* Its loss and the loss's derivative by logp, both not divided yet; the k3 estimate of the divergence (Schulman 2020),
 * exp(d) - d - 1 with d = reference - logp; whether the clipped ratio decided. */
struct policy_output {
    double loss, slope, kl;
    bool is_clipped;
};
void policy_token(const struct policy_config *c, const struct policy_input *in, struct policy_output *out);
/* What the loss of a token is divided by: n_own tokens of its answer, n_tok of all in the micro-batch (DAPO: of the
 * optimizer step), n_answer answers. */
double policy_denominator(const struct policy_config *c, size_t n_own, size_t n_tok, size_t n_answer);

#endif
