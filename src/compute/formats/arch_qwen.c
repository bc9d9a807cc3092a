/* Qwen 2 and 3: biases on q, k and v (2), a norm on each head of q and k (3). */
#include "compute/formats/arch_int.h"

/* From layer max_window_layers on layers slide, where the config asks for it at all. */
int qwen_read_windows(const struct config_reader *r, struct model_params *p)
{
    if (!json_is_true(json_object_get(r->config, "use_sliding_window"))) {
        return 0;
    }
    int window, first, rc = config_read_int(r, "sliding_window", 4096, &window);
    rc = rc ? rc : config_read_int(r, "max_window_layers", 28, &first);
    for (int i = rc ? p->n_layer : first; i < p->n_layer; i++) {
        p->layer[i].window = window;
    }
    return rc ? rc : config_read_layer_types(r, p, window, 0);
}

static void init_qwen3(struct model_params *p)
{
    p->qk_norm = QK_NORM_HEAD;
}

const struct arch arch_qwen2 = {
    .name = "qwen2", .model_type = {"qwen2"}, .n_ctx_default = 32768, .from_config = qwen_read_windows};
const struct arch arch_qwen3 = {.name = "qwen3",
                                .model_type = {"qwen3"},
                                .n_ctx_default = 32768,
                                .init = init_qwen3,
                                .from_config = qwen_read_windows};
