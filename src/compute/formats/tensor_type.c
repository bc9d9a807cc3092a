/* Element types: sizes, and the numbers and spellings by which the containers know them.
 * Owns no data. Block sizes are those of ggml (ggml-common.h); the list is the union of GGUF v3 and safetensors. */
#include "compute/formats/formats_int.h"

#include <assert.h>
#include <string.h>

struct type_row {
    struct tensor_type_info info;
    int ggml;                /* -1: not in GGUF */
    const char *safetensors; /* NULL: not in safetensors */
};

static const struct type_row rows[TENSOR_TYPE_COUNT] = {
    [TENSOR_F32] = {{"F32", 1, 4}, 0, "F32"},
    [TENSOR_F16] = {{"F16", 1, 2}, 1, "F16"},
    [TENSOR_BF16] = {{"BF16", 1, 2}, 30, "BF16"},
    [TENSOR_F64] = {{"F64", 1, 8}, 28, "F64"},
    [TENSOR_I8] = {{"I8", 1, 1}, 24, "I8"},
    [TENSOR_I16] = {{"I16", 1, 2}, 25, "I16"},
    [TENSOR_I32] = {{"I32", 1, 4}, 26, "I32"},
    [TENSOR_I64] = {{"I64", 1, 8}, 27, "I64"},
    [TENSOR_U8] = {{"U8", 1, 1}, -1, "U8"},
    [TENSOR_BOOL] = {{"BOOL", 1, 1}, -1, "BOOL"},
    [TENSOR_Q4_0] = {{"Q4_0", 32, 18}, 2, NULL},
    [TENSOR_Q4_1] = {{"Q4_1", 32, 20}, 3, NULL},
    [TENSOR_Q5_0] = {{"Q5_0", 32, 22}, 6, NULL},
    [TENSOR_Q5_1] = {{"Q5_1", 32, 24}, 7, NULL},
    [TENSOR_Q8_0] = {{"Q8_0", 32, 34}, 8, NULL},
    [TENSOR_Q8_1] = {{"Q8_1", 32, 36}, 9, NULL},
    [TENSOR_Q2_K] = {{"Q2_K", 256, 84}, 10, NULL},
    [TENSOR_Q3_K] = {{"Q3_K", 256, 110}, 11, NULL},
    [TENSOR_Q4_K] = {{"Q4_K", 256, 144}, 12, NULL},
    [TENSOR_Q5_K] = {{"Q5_K", 256, 176}, 13, NULL},
    [TENSOR_Q6_K] = {{"Q6_K", 256, 210}, 14, NULL},
    [TENSOR_Q8_K] = {{"Q8_K", 256, 292}, 15, NULL},
    [TENSOR_IQ4_NL] = {{"IQ4_NL", 32, 18}, 20, NULL},
    [TENSOR_IQ4_XS] = {{"IQ4_XS", 256, 136}, 23, NULL},
    [TENSOR_MXFP4] = {{"MXFP4", 32, 17}, 39, NULL},
    [TENSOR_F8_E4M3] = {{"F8_E4M3", 1, 1}, -1, "F8_E4M3"},
    [TENSOR_F8_E5M2] = {{"F8_E5M2", 1, 1}, -1, "F8_E5M2"},
    [TENSOR_U16] = {{"U16", 1, 2}, -1, "U16"},
    [TENSOR_U32] = {{"U32", 1, 4}, -1, "U32"},
    [TENSOR_U64] = {{"U64", 1, 8}, -1, "U64"},
    [TENSOR_IQ2_XXS] = {{"IQ2_XXS", 256, 66}, 16, NULL},
    [TENSOR_IQ2_XS] = {{"IQ2_XS", 256, 74}, 17, NULL},
    [TENSOR_IQ2_S] = {{"IQ2_S", 256, 82}, 22, NULL},
    [TENSOR_IQ3_XXS] = {{"IQ3_XXS", 256, 98}, 18, NULL},
    [TENSOR_IQ3_S] = {{"IQ3_S", 256, 110}, 21, NULL},
    [TENSOR_IQ1_S] = {{"IQ1_S", 256, 50}, 19, NULL},
    [TENSOR_IQ1_M] = {{"IQ1_M", 256, 56}, 29, NULL},
    [TENSOR_TQ1_0] = {{"TQ1_0", 256, 54}, 34, NULL},
    [TENSOR_TQ2_0] = {{"TQ2_0", 256, 66}, 35, NULL},
};

const struct tensor_type_info *tensor_type_info(enum tensor_type t)
{
    assert((unsigned)t < TENSOR_TYPE_COUNT);
    return &rows[t].info;
}

int tensor_type_find(const char *name)
{
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        if (!strcmp(rows[t].info.name, name)) {
            return t;
        }
    }
    return -1;
}

int tensor_type_to_ggml(enum tensor_type t)
{
    return rows[t].ggml;
}

int tensor_type_from_ggml(uint32_t ggml)
{
    for (int t = 0; t < TENSOR_TYPE_COUNT; t++) {
        if (rows[t].ggml >= 0 && (uint32_t)rows[t].ggml == ggml) {
            return t;
        }
    }
    return -1;
}

const char *tensor_type_to_safetensors(enum tensor_type t)
{
    return rows[t].safetensors;
}

bool tensor_n_bytes(enum tensor_type t, const uint64_t *shape, int n_dim, uint64_t *n_bytes)
{
    const struct tensor_type_info *info = tensor_type_info(t);
    uint64_t n = 1;
    for (int d = 0; d < n_dim; d++) {
        if (__builtin_mul_overflow(n, shape[d], &n) || n >= LIMIT_TENSOR_VALUES) {
            return false;
        }
    }
    uint64_t block_len = (uint64_t)info->block_len;
    if ((n_dim == 0 ? 1 : shape[n_dim - 1]) % block_len != 0) {
        return false;
    }
    *n_bytes = n / block_len * info->block_bytes; /* < 2^48 * 8: cannot overflow */
    return true;
}
