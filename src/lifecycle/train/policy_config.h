/* What GRPO is told, beside what every method is. */
#ifndef TRAIN_POLICY_CONFIG_H
#define TRAIN_POLICY_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "ground/base/err.h"
#include "ground/param/param.h"
#include "lifecycle/rules/reward.h"
#include "lifecycle/train/policy_loss.h"

enum { POLICY_MAX_REWARD = 32 };

struct policy_options {
    int group_size;     /* answers to a prompt */
    int mu;             /* optimizer steps over the answers of a step */
    int max_new_tokens; /* of an answer */
    float temperature;
    bool mask_truncated; /* answers that reach max_new_tokens are judged, and not learned from */
    enum policy_scale scale;
    struct policy_config loss;
    struct reward *reward[POLICY_MAX_REWARD];
    size_t n_reward;
};

/* Read the fields of GRPO, and make its rewards; beta that is not set becomes 0 in the set. -ERR_USAGE names the field
 * or the reward. Whether it succeeds or not: policy_options_deinit. */
int policy_options_read(struct policy_options *o, struct param_set *s, struct err *e) MUST_CHECK;
/* Free the rewards. */
void policy_options_deinit(struct policy_options *o);
/* The first field of GRPO that is not as it is by default: no other method has it. NULL: none. */
const char *policy_field_given(const struct param_set *s);

#endif
