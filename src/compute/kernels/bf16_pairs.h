/* Values of packed weights as bfloat16, in the pairs that VDPBF16PS and tiles want. Private to kernels. */
#ifndef KERNELS_BF16_PAIRS_H
#define KERNELS_BF16_PAIRS_H

#include "compute/kernels/panel_vec.h"

/* Bytes ahead, to the second level and to the first, of the groups that are unpacked in turn, so that the second level
 * has those that come after them. Granite Rapids, 1.5B Q4_0, tokens a second of 16, 32 and 64 rows: with 16 KiB and 1
 * KiB 225, 389, 470; 64 KiB and 512 242, 377, 481; 128 KiB and 512 251, 394, 494. */
enum { FAR_BYTES = 128 << 10, NEAR_BYTES = 512 };

/* The scales of a part over KERN_BF16_TIMES, as bfloat16 panels have them. */
ALWAYS_INLINE void panel_scales(struct part_scales *s, const void *packed, size_t part, const enum quant_type t)
{
    part_scales(s, packed, part, t);
    for (int h = 0; h < 2; h++) {
        s->d[h] = v16_mul(s->d[h], v16_set(1 / KERN_BF16_TIMES));
        s->m[h] = v16_mul(s->m[h], v16_set(1 / KERN_BF16_TIMES));
    }
}

/* Asks for what comes a while after a part. */
ALWAYS_INLINE void panel_prefetch(const char *packed, size_t part, const enum quant_type t)
{
    const size_t part_bytes = type_packed_bytes(t) / type_n_part(t);
    prefetch_far(packed + part * part_bytes, part_bytes, FAR_BYTES);
    prefetch_near(packed + part * part_bytes, part_bytes, NEAR_BYTES);
}

/* out[16][2]: lane i of a, lane i of b */
static inline void store_pairs(uint16_t *out, v16 a, v16 b)
{
    const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                                6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(b, a); /* the 16 of a, then the 16 of b */
    _mm512_storeu_si512(out, _mm512_permutexvar_epi16(interleave, both));
}

ALWAYS_INLINE void put_pairs(void *out, size_t k, v16 a, v16 b, v16 c, v16 d)
{
    uint16_t *panel = (uint16_t *)out + k * KERN_ROWS;
    store_pairs(panel, a, b);
    store_pairs(panel + 32, c, d);
}

#endif
