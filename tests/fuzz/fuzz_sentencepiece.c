/* Fuzz target: any bytes as a tokenizer.model of SentencePiece; what can be read must tokenize. */
#include <stdint.h>
#include <stdlib.h>

#include "compute/formats/formats_int.h"
#include "compute/text/tokenizer.h"
#include "model_input.h"
#include "vocab_use.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct err e = {0};
    struct hf_vocab h = {0};
    arena_init(&h.mem, 64 * n + (1 << 24));
    if (spm_vocab_parse(&h, "input", data, n, NULL, NULL, &e) == 0) {
        use_vocab(&h.v);
        tokenize_with(&h.v);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    arena_deinit(&h.mem);
    return 0;
}
