/* Qwen 2 and 3: Llama's graph; biases on q, k and v (2), a norm on each head of q and k (3). */
#include "compute/model/dense.h"

const struct model_family family_qwen2 = {.architecture = "qwen2",
                                          .bind_layer = dense_bind,
                                          .attention = dense_attention,
                                          .ffn = dense_ffn,
                                          .tape_forward = dense_tape_forward,
                                          .tape_backward = dense_tape_backward};

const struct model_family family_qwen3 = {.architecture = "qwen3",
                                          .bind_layer = dense_bind,
                                          .attention = dense_attention,
                                          .ffn = dense_ffn,
                                          .tape_forward = dense_tape_forward,
                                          .tape_backward = dense_tape_backward};
