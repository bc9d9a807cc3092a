/* Mixtures of experts: the feed-forward part of a layer in which a router chooses, for every token, a few of many
 * gated matrices. Tokens are grouped by expert, so that the rows of an expert share one product and a matrix that
 * nobody chose is not read. A shared expert, when there is one, sees every token. Forward only. */
#ifndef DEVICE_EXPERTS_H
#define DEVICE_EXPERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "compute/device/device.h"
#include "compute/device/stack.h"

enum { DEV_MAX_EXPERT = 4096 };

/* How experts are chosen: logits = w h become scores, by softmax over all experts or by the sigmoid of each. The n_used
 * best by score + bias are chosen (ties: the lower index), among the groups that are best where there are groups
 * (n_group > 1, all of one size; a group counts its best score + bias, with sigmoid scores the sum of its best two).
 * Their weights are the scores without bias, divided by their sum when renormalize, times scale. */
struct dev_router {
    const struct dev_mat *w; /* [n_expert][n_embd] */
    const float *bias;       /* [n_expert] device memory, or NULL */
    bool sigmoid;
    int n_used, n_group, n_group_used;
    bool renormalize;
    float scale;
    bool weighs_input; /* the weight multiplies the expert's input, not its output */
};

struct dev_experts {
    const float *norm;
    float eps;
    struct dev_router router;
    const struct dev_stack *gate, *up, *down; /* n_expert of [n_ff][n_embd] twice, [n_embd][n_ff] */
    /* [n_shared][n_embd] twice, [n_embd][n_shared]; NULL: no shared expert */
    const struct dev_mat *shared_gate, *shared_up, *shared_down;
    const float *shared_weight; /* [n_embd]: the shared output times sigmoid(shared_weight . h); NULL: times 1 */
    int fine;                   /* as in struct dev_proj; FINE_NONE or FINE_ALL */
};

/* Memory for steps of up to max_tok tokens. */
struct dev_experts_space;
struct dev_experts_shape {
    int max_tok, n_embd, n_expert, n_used;
    int n_ff, n_shared; /* widths of an expert and of the shared one (0: none) */
};
int dev_experts_space_new(struct dev *d, struct dev_experts_space **out, const struct dev_experts_shape *shape,
                          struct err *e) MUST_CHECK;
void dev_experts_space_free(struct dev_experts_space *s);

/* x[n_tok][n_embd] += sum of the chosen experts' weight * down(silu(gate h) * up h), and of the shared one, with
 * h = rms_norm(x) * norm. A row's sum runs over experts by index, the shared one last. */
void dev_experts(struct dev *d, const struct dev_batch *b, const struct dev_experts *p, float *x,
                 struct dev_experts_space *s);
/* How many experts the last operation read, the shared one aside. */
int dev_experts_n_read(const struct dev_experts_space *s);

#endif
