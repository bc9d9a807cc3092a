/* Float types of files as float32, and the search for values that are not finite. Owns nothing.
 * Formats may not use kernels, so the few conversions that files need are here, one value at a time. */
#include "compute/formats/safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "compute/formats/formats_int.h"

static float f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

/* IEEE 754 half to single; exact. */
static float f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16;
    uint32_t exponent = (h >> 10) & 0x1f;
    uint32_t fraction = h & 0x3ff;
    if (exponent == 0) {
        return (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    }
    return f32_from_bits(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13);
}

void float_values(enum tensor_type type, const unsigned char *raw, float *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        double d;
        switch (type) {
        case TENSOR_F16:
            memcpy(&h, raw + 2 * i, 2), p[i] = f32_from_f16(h);
            break;
        case TENSOR_BF16:
            memcpy(&h, raw + 2 * i, 2), p[i] = f32_from_bits((uint32_t)h << 16);
            break;
        case TENSOR_F64:
            memcpy(&d, raw + 8 * i, 8), p[i] = (float)d;
            break;
        default:
            memcpy(&p[i], raw + 4 * i, 4);
        }
    }
}

int safetensors_read_f32(const struct safetensors *s, const struct tensor_info *t, float *p, size_t n, struct err *e)
{
    enum { CHUNK = 1024 };
    unsigned char raw[CHUNK * 8];
    bool is_float = t->type == TENSOR_F32 || t->type == TENSOR_F16 || t->type == TENSOR_BF16 || t->type == TENSOR_F64;
    size_t size = tensor_type_info(t->type)->block_bytes;
    if (!is_float) {
        return err_set(e, ERR_UNSUPPORTED, t->name,
                       "cannot read tensor \"%s\": type %s, F32, F16, BF16 or F64 would be right", t->name,
                       tensor_type_info(t->type)->name);
    }
    if (n != t->n_bytes / size) {
        return err_set(e, ERR_INPUT, t->name, "cannot read tensor \"%s\": it has %" PRIu64 " values, not %zu", t->name,
                       t->n_bytes / size, n);
    }
    for (size_t i = 0; i < n; i += CHUNK) {
        size_t part = n - i < CHUNK ? n - i : CHUNK;
        int rc = safetensors_read(s, t, raw, i * size, part * size, e);
        if (rc) {
            return rc;
        }
        float_values(t->type, raw, p + i, part);
    }
    return 0;
}

/* Where the half-precision scales of a block are, by ggml's layouts; -1: none. */
struct scale_place {
    int first, second;
};

static struct scale_place scale_place(enum tensor_type t)
{
    switch (t) {
    case TENSOR_Q4_0:
    case TENSOR_Q5_0:
    case TENSOR_Q8_0:
    case TENSOR_IQ4_NL:
    case TENSOR_IQ4_XS:
    case TENSOR_IQ2_XXS:
    case TENSOR_IQ2_XS:
    case TENSOR_IQ2_S:
    case TENSOR_IQ3_XXS:
    case TENSOR_IQ3_S:
    case TENSOR_IQ1_S:
        return (struct scale_place){0, -1};
    case TENSOR_Q4_1:
    case TENSOR_Q5_1:
    case TENSOR_Q8_1:
    case TENSOR_Q4_K:
    case TENSOR_Q5_K:
        return (struct scale_place){0, 2};
    case TENSOR_Q2_K:
        return (struct scale_place){80, 82};
    case TENSOR_Q3_K:
        return (struct scale_place){108, -1};
    case TENSOR_Q6_K:
        return (struct scale_place){208, -1};
    case TENSOR_TQ1_0:
        return (struct scale_place){52, -1};
    case TENSOR_TQ2_0:
        return (struct scale_place){64, -1};
    default:
        return (struct scale_place){-1, -1};
    }
}

static bool half_is_bad(const unsigned char *p, int at)
{
    return at >= 0 && (p[at + 1] & 0x7c) == 0x7c;
}

/* The scale of IQ1_M, a nibble in each of the four words that end a block. Source: ggml-common.h, block_iq1_m. */
static bool spread_scale_is_bad(const unsigned char *p)
{
    enum { SCALES_AT = 48 };
    return ((p[SCALES_AT + 7] >> 4 & 7) << 2 | (p[SCALES_AT + 5] >> 4 & 12) >> 2) == 31;
}

static bool block_is_bad(enum tensor_type t, struct scale_place place, const unsigned char *p)
{
    float f;
    switch (t) {
    case TENSOR_F16:
    case TENSOR_F32:
    case TENSOR_BF16:
    case TENSOR_F64:
        float_values(t, p, &f, 1);
        return !isfinite(f);
    case TENSOR_F8_E4M3:
        return (p[0] & 0x7f) == 0x7f;
    case TENSOR_F8_E5M2:
        return (p[0] & 0x7c) == 0x7c;
    case TENSOR_MXFP4:
        return p[0] == 0xff;
    case TENSOR_IQ1_M:
        return spread_scale_is_bad(p);
    case TENSOR_Q8_K:
        memcpy(&f, p, sizeof f);
        return !isfinite(f);
    default:
        return half_is_bad(p, place.first) || half_is_bad(p, place.second);
    }
}

uint64_t tensor_count_bad(enum tensor_type t, const void *data, size_t n_bytes, uint64_t *first)
{
    const unsigned char *p = data;
    size_t size = tensor_type_info(t)->block_bytes;
    struct scale_place place = scale_place(t);
    uint64_t n = 0;
    for (size_t i = 0; i + size <= n_bytes; i += size) {
        if (block_is_bad(t, place, p + i) && n++ == 0 && first) {
            *first = i / size;
        }
    }
    return n;
}
