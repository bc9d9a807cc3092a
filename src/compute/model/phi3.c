/* Phi 3: Llama's graph; q, k and v are rows of one tensor, gate and up of another. */
#include "compute/model/dense.h"

const struct model_family family_phi3 = {.architecture = "phi3",
                                         .bind_layer = dense_bind,
                                         .attention = dense_attention,
                                         .ffn = dense_ffn,
                                         .tape_forward = dense_tape_forward,
                                         .tape_backward = dense_tape_backward};
