/* Fuzz target: any bytes as a safetensors file; every tensor of one that opens is read. */
#include <stdint.h>

#include "compute/formats/safetensors.h"
#include "model_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void use_safetensors(struct safetensors *s)
{
    struct err e = {0};
    for (size_t i = 0; i < safetensors_n_tensor(s); i++) {
        const struct tensor_info *t = safetensors_tensor(s, i);
        size_t n_value = (size_t)(t->n_bytes / tensor_type_info(t->type)->block_bytes);
        float *p = mem_alloc((n_value ? n_value : 1) * sizeof *p);
        if (safetensors_find(s, t->name) != t || safetensors_read(s, t, p, t->n_bytes, 0, &e) ||
            safetensors_read(s, t, p, t->n_bytes, 1, &e) == 0) {
            abort();
        }
        int rc = safetensors_read_f32(s, t, p, n_value, &e);
        if (rc && rc != -ERR_UNSUPPORTED) {
            abort();
        }
        mem_free(p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input_file f;
    struct safetensors *s;
    struct err e = {0};
    input_file_init(&f, data, n);
    if (safetensors_open(&s, f.path, &e) == 0) {
        use_safetensors(s);
        safetensors_close(s);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    input_file_deinit(&f);
    return 0;
}
