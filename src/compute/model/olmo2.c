/* OLMo 2: norms after both branches and none before, norms over all of q and all of k. */
#include "compute/model/dense.h"

const struct model_family family_olmo2 = {.architecture = "olmo2",
                                          .bind_layer = dense_bind,
                                          .attention = dense_attention,
                                          .ffn = dense_ffn,
                                          .tape_forward = dense_tape_forward,
                                          .tape_backward = dense_tape_backward};
