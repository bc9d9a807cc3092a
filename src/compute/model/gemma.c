/* Gemma 2 and 3: norms before and after both branches, GELU, local and global layers, caps (2), norms of q and k (3).
 */
#include "compute/model/dense.h"

const struct model_family family_gemma2 = {.architecture = "gemma2",
                                           .bind_layer = dense_bind,
                                           .attention = dense_attention,
                                           .ffn = dense_ffn,
                                           .tape_forward = dense_tape_forward,
                                           .tape_backward = dense_tape_backward};

const struct model_family family_gemma3 = {.architecture = "gemma3",
                                           .bind_layer = dense_bind,
                                           .attention = dense_attention,
                                           .ffn = dense_ffn,
                                           .tape_forward = dense_tape_forward,
                                           .tape_backward = dense_tape_backward};
