/* Llama, Mistral and Mixtral: norms before both branches, rotary positions, grouped queries, SwiGLU or a mixture of
 * experts, optional biases. */
#include "compute/model/experts.h"

const struct model_family family_llama = {.architecture = "llama",
                                          .bind_layer = experts_bind,
                                          .attention = dense_attention,
                                          .ffn = experts_ffn,
                                          .tape_forward = dense_tape_forward,
                                          .tape_backward = dense_tape_backward};
