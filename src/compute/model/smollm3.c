/* SmolLM3: Llama's graph; some layers have no rotation. */
#include "compute/model/dense.h"

const struct model_family family_smollm3 = {.architecture = "smollm3",
                                            .bind_layer = dense_bind,
                                            .attention = dense_attention,
                                            .ffn = dense_ffn,
                                            .tape_forward = dense_tape_forward,
                                            .tape_backward = dense_tape_backward};
