/* Fuzz target: any bytes as the JSON of a Hugging Face directory: config.json, tokenizer.json, tokenizer_config.json.
 */
#include <stdint.h>

#include "compute/formats/arch_int.h"
#include "model_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *j;
    struct err e = {0};
    struct model_params p = {0};
    struct hf_vocab h = {0};
    char name[LIMIT_NAME_BYTES + 1];
    char text[256] = {0};
    memcpy(text, data, n < sizeof text - 1 ? n : sizeof text - 1);
    hf_tensor_name(NULL, text, name, sizeof name);
    hf_tensor_name(&arch_gemma3, text, name, sizeof name);
    if (json_parse_object(&j, "input", (const char *)data, n, 0, &e)) {
        return 0;
    }
    if (hf_config_params(j, "input", &p, &e) == 0 && params_check(&p, "input", &e) == 0) {
        for (int i = 0; i < p.n_rot / 2; i++) {
            if (!(p.rope[0].factor[i] > 0)) {
                abort();
            }
        }
    }
    arena_init(&h.mem, 64 * n + (1 << 24));
    if (hf_vocab_parse(&h, "input", j, j, j, &e) == 0) {
        use_vocab(&h.v);
    }
    arena_deinit(&h.mem);
    json_decref(j);
    return 0;
}
