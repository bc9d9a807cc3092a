/* OLMo 2: norms after both branches and none before; norms over all of q and all of k. */
#include "compute/formats/arch_int.h"

static void init(struct model_params *p)
{
    p->norm_before = false;
    p->norm_after = true;
    p->qk_norm = QK_NORM_FULL;
}

static const char *const hf_names[][2] = {
    {"post_attention_layernorm", "post_attention_norm"}, {"post_feedforward_layernorm", "post_ffw_norm"}, {NULL, NULL}};

const struct arch arch_olmo2 = {
    .name = "olmo2", .model_type = {"olmo2"}, .n_ctx_default = 2048, .init = init, .hf_name = hf_names};
