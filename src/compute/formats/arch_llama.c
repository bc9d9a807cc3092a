/* Llama and Mistral: one architecture of GGUF. A GGUF keeps the rows of q and k in rotary pairs, and has no key for
 * Mistral's window. */
#include "compute/formats/arch_int.h"

#include "ground/base/str.h"

enum { MISTRAL_CTX = 131072, MISTRAL_WINDOW = 4096 }; /* where config.json has no such key */

/* Mistral: one window for all layers, 4096 when the key is absent, none when it is null. */
static int from_config(const struct config_reader *r, struct model_params *p)
{
    if (!str_eq(r->model_type, "mistral")) {
        return 0;
    }
    int window = 0, rc = config_read_int(r, "max_position_embeddings", MISTRAL_CTX, &p->n_ctx_train);
    if (!rc && !json_is_null(json_object_get(r->config, "sliding_window"))) {
        rc = config_read_int(r, "sliding_window", MISTRAL_WINDOW, &window);
    }
    arch_layers(r->arch, p, window);
    return rc;
}

const struct arch arch_llama = {.name = "llama",
                                .model_type = {"llama", "mistral"},
                                .gguf_pairs = true,
                                .gguf_permutes = true,
                                .n_ctx_default = 2048,
                                .from_config = from_config};
