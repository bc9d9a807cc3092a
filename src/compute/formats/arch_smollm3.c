/* SmolLM3: Llama's layers, some of them without rotation (every fourth, unless the config says which). */
#include "compute/formats/arch_int.h"

enum { INTERVAL = 4 };

static void every(struct model_params *p, int interval)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].rope = (i + 1) % interval ? 0 : -1;
    }
}

static void layers(struct model_params *p, int window)
{
    for (int i = 0; i < p->n_layer; i++) {
        p->layer[i].window = window;
    }
    every(p, INTERVAL);
}

/* "no_rope_layers": 1 where a layer rotates. */
static int from_config(const struct config_reader *r, struct model_params *p)
{
    const json_t *list = config_member(r->config, "no_rope_layers");
    int interval, window, rc = config_read_int(r, "no_rope_layer_interval", INTERVAL, &interval);
    if (rc) {
        return rc;
    }
    if (list && json_array_size(list) != (size_t)p->n_layer) {
        return err_set(r->e, ERR_INPUT, r->path,
                       "cannot use \"%s\": config.json \"no_rope_layers\" has %zu entries, %d would be right", r->path,
                       json_array_size(list), p->n_layer);
    }
    every(p, interval > 0 ? interval : INTERVAL);
    for (int i = 0; list && i < p->n_layer; i++) {
        p->layer[i].rope = json_integer_value(json_array_get(list, (size_t)i)) ? 0 : -1;
    }
    if (!json_is_true(json_object_get(r->config, "use_sliding_window"))) {
        return 0;
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
