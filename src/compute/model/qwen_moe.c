/* Qwen 2 and 3 with experts: the attention of the dense models, a mixture in place of the feed-forward part. */
#include "compute/model/experts.h"

const struct model_family family_qwen2moe = {
    .architecture = "qwen2moe", .bind_layer = experts_bind, .attention = dense_attention, .ffn = experts_ffn};

const struct model_family family_qwen3moe = {
    .architecture = "qwen3moe", .bind_layer = experts_bind, .attention = dense_attention, .ffn = experts_ffn};
