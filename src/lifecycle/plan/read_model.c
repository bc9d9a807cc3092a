/* Models at hand. Owns nothing: texts live in the caller's arena. */
#include "lifecycle/plan/read_model.h"

static void count_layers(const struct model_params *p, struct plan_model *m)
{
    for (int i = 0; i < p->n_layer; i++) {
        int seen = p->layer[i].window ? p->layer[i].window : p->layer[i].chunk;
        m->n_layer_window += seen > 0;
        m->window = seen > m->window ? seen : m->window;
        m->n_layer_dense += p->experts.n_expert && !p->layer[i].experts;
    }
    m->n_layer_full = m->n_layer - m->n_layer_window;
}

void plan_model_of_params(const struct model_params *p, const char *name, struct plan_model *out)
{
    const struct model_experts *x = &p->experts;
    const struct model_latent *l = &p->latent;
    *out = (struct plan_model){.name = name,
                               .provider = "",
                               .hf_id = "",
                               .version = "",
                               .architecture = p->architecture,
                               .pre_tokenizer = "",
                               .licence = "",
                               .modality = "",
                               .languages = "",
                               .release_date = "",
                               .openness = "",
                               .local_deployment = "",
                               .tuning_ease = "",
                               .attention = "",
                               .params_basis = "",
                               .params_gap = "",
                               .noted = "",
                               .source = "",
                               .confidence = "",
                               .notes = "",
                               .n_layer = p->n_layer,
                               .n_embd = p->n_embd,
                               .n_head = p->n_head,
                               .n_kv_head = p->n_kv_head,
                               .d_head = p->d_head,
                               .n_ff = p->n_ff,
                               .n_vocab = p->n_vocab,
                               .n_ctx = p->n_ctx_train,
                               .tied_head = p->tied_head,
                               .n_expert = x->n_expert,
                               .n_expert_used = x->n_used,
                               .n_ff_expert = x->n_ff,
                               .n_expert_shared = x->n_shared > 0,
                               .n_ff_shared = x->n_shared,
                               .q_lora = l->n_latent ? l->q_rank : 0,
                               .kv_lora = l->n_latent,
                               .d_rope = l->n_latent ? p->n_rot : 0,
                               .d_nope = l->n_latent ? l->d_nope : 0,
                               .d_v = l->n_latent ? l->d_value : 0};
    count_layers(p, out);
}
