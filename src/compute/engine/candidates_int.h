/* Private to engine/: lists of tokens with their logits, and the best of them. */
#ifndef ENGINE_CANDIDATES_INT_H
#define ENGINE_CANDIDATES_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A token that is still possible, with its logit after penalties. */
struct candidate {
    float logit;
    int32_t id;
};

/* exp(x) for x <= 0, within 2 ulp; 0 below -700 and for NaN. */
double nucleus_exp(double x);

/* The k best that were offered, in a heap whose root is the worst of them. */
struct best_k {
    struct candidate *kept; /* [k], the caller's */
    size_t k, n;
};
/* Offer one more; equal logits are decided by the lower id, in whichever order they come. */
void best_k_offer(struct best_k *b, struct candidate c);
/* Nothing with at most this logit and a higher id than all offered before can be kept any more; -infinity until k are
 * kept. */
float best_k_bound(const struct best_k *b);

/* Where the filters by probability end: the smallest set that reaches `enough`, and only tokens of `least` x the best.
 */
struct nucleus {
    double inv_temperature;
    double enough; /* weight wanted; HUGE_VAL: no limit */
    double least;  /* smallest weight of a token; the best has 1 */
    double sum;    /* weight so far */
    float best;
};
/* exp((logit - best) / temperature). */
double nucleus_weight(const struct nucleus *u, float logit);
/* Of n candidates in any order those that u takes, to the head of the list, best first; returns how many. The very
 * first token of a set is always taken. */
size_t nucleus_cut(struct nucleus *u, struct candidate *c, size_t n);
/* The candidate in whose interval `draw` lies, 0 <= draw < sum of the weights; n >= 1. */
int32_t nucleus_draw(const struct nucleus *u, const struct candidate *c, size_t n, double draw);

#endif
