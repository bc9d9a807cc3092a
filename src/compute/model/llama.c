/* Llama and Mistral: norms before both branches, rotary positions, grouped queries, SwiGLU, optional biases. */
#include "compute/model/dense.h"

const struct model_family family_llama = {.architecture = "llama",
                                          .bind_layer = dense_bind,
                                          .attention = dense_attention,
                                          .ffn = dense_ffn,
                                          .tape_forward = dense_tape_forward,
                                          .tape_backward = dense_tape_backward};
