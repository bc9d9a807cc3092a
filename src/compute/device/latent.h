/* Attention with a compressed cache (multi-head latent attention): a token's keys and values are one latent vector and
 * one rotated key, shared by all heads; only these are kept (dev_kv_shape.n_latent). Queries are taken into the space
 * of the latent by k_b of their head, weighted sums of latents out of it by v_b, so that no key and no value is
 * made; but where a step has many rows of a segment, making them for a while costs less (dev_latent_heads). Forward
 * only. */
#ifndef DEVICE_LATENT_H
#define DEVICE_LATENT_H

#include "compute/device/device.h"
#include "compute/device/stack.h"

/* The matrices by head. Given to all three operations (expand), they leave it to the device whether keys and values of
 * a segment are made: it must be the same segments, with all their rows, in the three. NULL: never. */
struct dev_latent_heads {
    const struct dev_stack *k_b, *v_b; /* n_head of [n_latent][d_nope], of [d_value][n_latent] */
};

/* h = rms_norm(x) * norm;  query = q h, or q (rms_norm(q_a h) * q_norm);  latent | key = kv_a h. A query head is d_nope
 * values that meet the latent and n_rot that are rotated and meet the key. */
struct dev_latent_in {
    const float *norm;
    float eps;
    struct dev_proj q_a;         /* [q_rank][n_embd]; w NULL: queries come from h */
    const float *q_norm;         /* [q_rank] */
    struct dev_proj q;           /* [n_head * (d_nope + n_rot)][n_embd or q_rank] */
    struct dev_proj kv_a;        /* [n_latent + n_rot][n_embd] */
    const float *kv_norm;        /* [n_latent] */
    const struct dev_stack *k_b; /* n_head of [n_latent][d_nope] */
    const struct dev_rope *rope; /* of n_rot values */
    const struct dev_latent_heads *expand;
};
/* Scratch for these operations, before they are called; n_embd, q_rank (0: none) are widths of inputs. */
struct dev_latent_shape {
    int n_embd, q_rank, n_head, d_nope, n_rot, n_latent, d_value;
};
int dev_latent_reserve(struct dev *d, const struct dev_latent_shape *s, struct err *e) MUST_CHECK;

/* q[n_tok][n_head * (n_latent + n_rot)] for dev_attention with d_head = n_latent + n_rot and one key-value head;
 * rms_norm(latent) * kv_norm and the rotated key go into kv at layer. */
void dev_latent_in(struct dev *d, const struct dev_batch *b, const struct dev_latent_in *p, const float *x, float *q,
                   struct dev_kv *kv, int layer);
/* out[n_tok][n_head * d_value] = v_b of each head times y[n_tok][n_head * n_latent], which dev_attention left.
 * v_b: n_head of [d_value][n_latent]. */
void dev_latent_out(struct dev *d, const struct dev_batch *b, const struct dev_stack *v_b,
                    const struct dev_latent_heads *expand, const float *y, float *out);

#endif
