/* SmolLM3: Llama's layers, some of them without rotation (every fourth, unless the config says which). */
#include "compute/formats/arch_int.h"

enum { INTERVAL = 4 };

static void layers(struct model_params *p, int window)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].window = window;
        p->layer[i].rope = (i + 1) % INTERVAL ? 0 : -1;
    }
}

static int from_config(const struct config_reader *r, struct model_params *p)
{
    int window, rc = config_read_no_rope(r, p, INTERVAL);
    if (rc || !json_is_true(json_object_get(r->config, "use_sliding_window"))) {
        return rc;
    }
    rc = config_read_int(r, "sliding_window", -1, &window);
    return rc ? rc : config_read_layer_types(r, p, window, 0);
}

const struct arch arch_smollm3 = {.name = "smollm3",
                                  .model_type = {"smollm3"},
                                  .gguf_pairs = true,
                                  .gguf_permutes = true,
                                  .n_ctx_default = 32768,
                                  .layers = layers,
                                  .from_config = from_config};
