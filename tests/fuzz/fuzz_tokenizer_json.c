/* Fuzz target: any bytes as a tokenizer.json that is also its tokenizer_config.json; what can be read must tokenize. */
#include <stdint.h>
#include <stdlib.h>

#include "compute/formats/formats_int.h"
#include "compute/text/tokenizer.h"
#include "model_input.h"
#include "vocab_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    json_t *j;
    struct err e = {0};
    struct hf_vocab h = {0};
    if (json_parse_object(&j, "input", (const char *)data, n, 0, &e)) {
        return 0;
    }
    arena_init(&h.mem, 64 * n + (1 << 24));
    if (hf_vocab_parse(&h, "input", j, j, NULL, &e) == 0) {
        use_vocab(&h.v);
        float *score = mem_try_array(h.v.n_token, sizeof *score);
        if (!score || !vocab_scores_of_merges(&h.v, score)) {
            abort();
        }
        mem_free(score);
        tokenize_with(&h.v);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    arena_deinit(&h.mem);
    json_decref(j);
    return 0;
}
