/* How much of the inputs of matrices the fast path keeps 16 bits of. */
#include "compute/model/model_int.h"

enum { FINE_MAX_LAYER_PARAM = 15300 * 1000 };

/* Small is who has small layers, as wide as those of 0.5B (14.9 M parameters) or of 1B with 400 M active (15.2 M):
 * their number says nothing, and a few layers of a large model, as they are measured, compute as all of them do. */
bool model_is_small(const struct model *m)
{
    return model_n_layer_param(m) < (uint64_t)m->params.n_layer * FINE_MAX_LAYER_PARAM;
}

/* How much of an input keeps 16 bits in small models; larger ones are less sensitive. Rounding one kind of input to 8
 * bits moves the answers of SmolLM2 (106 M parameters in layers) to short chat prompts by a mean KL divergence, in
 * 1e-4, of: v 22, down 16, up 11, head 8, gate 5, q 3, k 3, attention output 3; the bound is 20. But most of what
 * rounding does is done in few blocks, those with the channels that are always large: in the quarter with the largest
 * values stand 86 % of the squared error of q, k and v, 69 % of gate and up, 53 % of down. With half of the blocks of
 * those inputs and of down, and a quarter of the others, 24 prompts are 8 away in the mean and 13 at most; with all of
 * q, k, v, up, down and nothing of the others, twice the work, they were 6 and 11. */
int model_fine(const struct model *m, enum adapter_site site)
{
    if (!model_is_small(m)) {
        return FINE_NONE;
    }
    return site == SITE_O || site == SITE_GATE || site == SITE_UP ? FINE_QUARTER : FINE_HALF;
}
