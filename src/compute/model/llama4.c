/* Llama 4: layers that rotate and see a chunk, and layers that do neither; a mixture of experts in some of them. */
#include "compute/model/experts.h"

const struct model_family family_llama4 = {
    .architecture = "llama4", .bind_layer = experts_bind, .attention = dense_attention, .ffn = experts_ffn};
