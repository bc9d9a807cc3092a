/* The self-test of the readers and products of one quantization, and of what makes int8 of their inputs. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "compute/kernels/half.h"
#include "compute/kernels/kern_self_test.h"

enum { Q_ROW = 14, Q_K = 2 * QUANT_K, N_FORM = 3 };
union packed_any {
    struct packed_32 floats[3];
    uint8_t bytes[2 * sizeof(struct packed_q6_k)]; /* the largest */
};

/* Blocks that are tried: two of 256 inputs, three of 32. */
static size_t n_block(int type)
{
    return quants[type]->packed_k == QUANT_K ? 2 : 3;
}

static size_t n_input(int type)
{
    return n_block(type) * (size_t)quants[type]->packed_k;
}

/* What the scales of a test are: 2^-6 to 2^-5, and 2^-13 to 2^-12, float16 without the sign. */
enum { SCALES = 0x2400, SMALL_SCALES = 0x0800 };

/* What a row has for one packed block: random values, or random codes with scales of such a size, either sign. */
static void file_random(int type, uint8_t *file, uint16_t size, uint32_t *seed)
{
    const struct quant *q = quants[type];
    if (q->block_len == 1) {
        float x[KERN_K];
        fill(x, KERN_K, next(seed));
        q->quantize(file, x, KERN_K);
        return;
    }
    for (size_t i = 0; i < q->block_bytes; i++) {
        file[i] = (uint8_t)(next(seed) >> 24);
    }
    uint16_t scale[2];
    for (int i = 0; i < 2; i++) {
        scale[i] = (uint16_t)(size | (next(seed) >> 16 & 0x83ff));
    }
    quant_set_scales((enum quant_type)type, file, scale);
}

static void pack_sized(int type, uint16_t size, union packed_any *packed)
{
    const struct quant *q = quants[type];
    uint8_t file[KERN_ROWS][QUANT_K];
    uint32_t seed = SEED;
    for (size_t b = 0; b < n_block(type); b++) {
        const void *row[KERN_ROWS];
        for (size_t r = 0; r < KERN_ROWS; r++) {
            file_random(type, file[r], size, &seed);
            row[r] = file[r];
        }
        quant_pack(q, packed->bytes + b * q->packed_bytes, row, q->packed_k);
    }
}

static void pack_random(int type, union packed_any *packed)
{
    pack_sized(type, SCALES, packed);
}

bool kern_quant_panel_same(const struct kern *k, const struct kern *s, int type)
{
    union packed_any packed;
    float a[Q_K * KERN_ROWS], b[Q_K * KERN_ROWS];
    pack_random(type, &packed);
    k->quant[type].panel(a, packed.bytes, n_block(type));
    s->quant[type].panel(b, packed.bytes, n_block(type));
    return same_bits(a, b, n_input(type) * KERN_ROWS);
}

bool kern_quant_rows_same(const struct kern *k, const struct kern *s, int type)
{
    enum { LD = KERN_K + 3 };
    union packed_any packed;
    float a[KERN_ROWS * LD] = {0}, b[KERN_ROWS * LD] = {0};
    pack_random(type, &packed);
    for (size_t part = 0; part < (size_t)quants[type]->packed_k / KERN_K; part++) {
        k->quant[type].rows(a, LD, packed.bytes, part);
        s->quant[type].rows(b, LD, packed.bytes, part);
        if (!same_bits(a, b, N_ELEM(a))) {
            return false;
        }
    }
    return true;
}

/* The pairs that the bf16 products read, of scales of such a size, against the float32 values: floats rounded once, of
 * integers half a unit of eight bits, a little for what was rounded before, and for sums the same of their largest. */
static bool panel_bf16_close(const struct kern *k, const struct kern *s, int type, uint16_t size)
{
    union packed_any packed;
    uint16_t a[Q_K * KERN_ROWS];
    float b[Q_K * KERN_ROWS], most = 0;
    size_t n = n_input(type) * KERN_ROWS;
    pack_sized(type, size, &packed);
    memset(a, 0xff, sizeof(a)); /* no numbers: what a reader that does nothing leaves may be another's, and close */
    k->quant[type].panel_bf16(a, packed.bytes, 0, n_input(type) / KERN_K);
    s->quant[type].panel(b, packed.bytes, n_block(type));
    s->scale(b, 1 / KERN_BF16_TIMES, n);
    for (size_t i = 0; i < n; i++) {
        most = fabsf(b[i]) > most ? fabsf(b[i]) : most;
    }
    for (size_t i = 0; i < n; i++) {
        float exact = b[(i / (2 * KERN_ROWS) * 2 + i % 2) * KERN_ROWS + i / 2 % KERN_ROWS];
        float off = quants[type]->block_len == 1 ? 0 : 0x1.21p-8f * fabsf(exact) + 0x1p-11f * most;
        if (a[i] != bf16_bits(exact) && !(fabsf(bf16_value(a[i]) - exact) <= off)) {
            return false;
        }
    }
    return true;
}

/* A table may lack the bf16 entries: what is not there is not wrong. */
bool kern_quant_panel_bf16_same(const struct kern *k, const struct kern *s, int type)
{
    return k->quant[type].panel_bf16 == NULL ||
           (panel_bf16_close(k, s, type, SCALES) && panel_bf16_close(k, s, type, SMALL_SCALES));
}

bool kern_quant_rows_bf16_same(const struct kern *k, const struct kern *s, int type)
{
    enum { LD = KERN_K + 3 };
    union packed_any packed;
    uint16_t a[KERN_ROWS * LD];
    float b[KERN_ROWS * KERN_K];
    if (k->quant[type].rows_bf16 == NULL) {
        return true;
    }
    size_t last = (size_t)quants[type]->packed_k / KERN_K - 1;
    pack_random(type, &packed);
    k->quant[type].rows_bf16(a, LD, packed.bytes, last);
    s->quant[type].rows(b, KERN_K, packed.bytes, last);
    for (size_t i = 0; i < KERN_ROWS * KERN_K; i++) {
        size_t r = i / KERN_K, c = i % KERN_K;
        if (a[(r / 2 * LD + c) * 2 + r % 2] != bf16_bits(b[i])) {
            return false;
        }
    }
    return true;
}

/* Nine rows (more than a tile of AVX2) of two groups, an odd number of inputs: the bits of gemm_f32 on the panel. A
 * table may lack the entry. */
bool kern_quant_gemm_few_same(const struct kern *k, const struct kern *s, int type)
{
    enum { N_ROW = 9, N_GROUP = 2, LD = N_GROUP * KERN_ROWS, N_IN = 3 * KERN_K - 1 };
    union packed_any packed;
    float x[N_ROW * N_IN], panel[Q_K * KERN_ROWS], a[N_ROW * LD], b[N_ROW * LD];
    if (k->quant[type].gemm_few == NULL) {
        return true;
    }
    pack_random(type, &packed);
    fill(x, N_ELEM(x), SEED + 4);
    s->quant[type].panel(panel, packed.bytes, n_block(type));
    k->quant[type].gemm_few(a, LD, x, N_IN, packed.bytes, 0, N_GROUP, N_ROW, N_IN);
    for (size_t g = 0; g < N_GROUP; g++) { /* both have the same weights */
        k->gemm_f32(b + g * KERN_ROWS, LD, x, N_IN, 1, panel, KERN_ROWS, N_ROW, KERN_ROWS, N_IN, false);
    }
    return same_bits(a, b, N_ELEM(a));
}

struct q8_case {
    int8_t q[2 * Q_ROW * Q_K];
    float d[Q_ROW * Q_K / 32];
    int32_t sum[Q_ROW * Q_K / 32], sum16[Q_ROW * Q_K / 16];
    struct q8_rows rows;
};

/* form: of one byte, of two, of two in every other block */
static void q8_quantize(struct q8_case *c, const struct kern *k, size_t n_k, int form, uint32_t seed)
{
    static const uint8_t wide[Q_K / 32] = {0, 1, 0, 1, 0, 1, 0, 1};
    float x[Q_ROW * Q_K];
    fill(x, N_ELEM(x), seed);
    memset(x + Q_K, 0, KERN_K * sizeof(float)); /* a block of zeros */
    *c = (struct q8_case){.rows = {.q = c->q, .d = c->d, .sum = c->sum, .sum16 = c->sum16, .n_k = n_k}};
    c->rows.fine = form > 0;
    c->rows.wide = form > 1 ? wide : NULL;
    k->quantize_q8(&c->rows, x, Q_K, Q_ROW, n_k - 5);
}

bool kern_quantize_q8_same(const struct kern *k, const struct kern *s)
{
    bool same = true;
    for (int form = 0; form < N_FORM; form++) {
        struct q8_case a, b;
        q8_quantize(&a, k, 3 * KERN_K, form, SEED);
        q8_quantize(&b, s, 3 * KERN_K, form, SEED);
        same = same && memcmp(&a, &b, offsetof(struct q8_case, rows)) == 0;
    }
    return same;
}

bool kern_quant_gemm_q8_same(const struct kern *k, const struct kern *s, int type)
{
    union packed_any packed;
    struct q8_case x;
    enum { N_ROW = Q_ROW - 1, N_GROUP = 3, LD = N_GROUP * KERN_ROWS };
    float many[N_ROW * LD], few[KERN_ROWS], b[N_ROW * KERN_ROWS];
    bool same = true;
    pack_random(type, &packed);
    for (int form = 0; form < N_FORM && same; form++) {
        q8_quantize(&x, s, n_input(type), form, SEED + 3);
        struct q8_rows rows = q8_rows_from(&x.rows, 1, 0);
        k->quant[type].gemm_q8(many, LD, packed.bytes, 0, N_GROUP, &rows, N_ROW, n_block(type), false);
        k->quant[type].gemm_q8(few, KERN_ROWS, packed.bytes, 0, 1, &rows, 1, n_block(type), false);
        s->quant[type].gemm_q8(b, KERN_ROWS, packed.bytes, 0, 1, &rows, N_ROW, n_block(type), false);
        same = same_bits(few, b, KERN_ROWS);
        for (size_t i = 0; i < (size_t)N_ROW * N_GROUP && same; i++) { /* every group has the same weights */
            same = same_bits(many + i * KERN_ROWS, b + i / N_GROUP * KERN_ROWS, KERN_ROWS);
        }
    }
    return same;
}
