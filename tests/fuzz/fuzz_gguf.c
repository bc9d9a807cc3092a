/* Fuzz target: any bytes as a GGUF file, opened and used as a model. */
#include <stdint.h>

#include "model_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input_file f;
    input_file_init(&f, data, n);
    use_model(f.path);
    input_file_deinit(&f);
    return 0;
}
