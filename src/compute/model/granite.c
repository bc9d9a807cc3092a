/* Granite 3: Llama's graph; its four multipliers are scales of the hyper-parameters. */
#include "compute/model/dense.h"

const struct model_family family_granite = {.architecture = "granite",
                                            .bind_layer = dense_bind,
                                            .attention = dense_attention,
                                            .ffn = dense_ffn,
                                            .tape_forward = dense_tape_forward,
                                            .tape_backward = dense_tape_backward};
