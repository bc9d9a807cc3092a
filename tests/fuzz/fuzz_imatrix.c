/* Fuzz target: any bytes as an importance matrix, GGUF or .dat. */
#include <stdint.h>

#include "compute/formats/imatrix_file.h"
#include "model_input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct input_file f;
    struct imatrix *m;
    struct err e = {0};
    const float *mean;
    input_file_init(&f, data, n);
    if (imatrix_open(&m, f.path, &e) == 0) {
        int rc = imatrix_find(m, "one", 1, 4, &mean, &e);
        if (imatrix_n_entry(m) == 0 || (rc && rc != -ERR_INPUT) || (!rc && mean && !(mean[0] >= 0))) {
            abort();
        }
        imatrix_close(m);
    } else if (e.msg[0] == '\0') {
        abort();
    }
    input_file_deinit(&f);
    return 0;
}
