/* Rows of a matrix that a Hugging Face directory stores as codes, zero points and scales, made when they are read.
 *
 *   GPTQ  code int32 [n_in / 8][n_out]: input k at bits 4 (k % 8); zero [n_group][n_out / 8]: output o at bits 4 (o %
 * 8) AWQ   code int32 [n_in][n_out / 8], zero [n_group][n_out / 8]: of eight outputs, at bits 4 i the one awq_order[i]
 *   both  scale [n_group][n_out]; value = scale * (code - zero)
 *   FP8   code e4m3 [n_out][n_in]; scale [blocks of outputs][blocks of inputs]; value = code * scale
 *
 * Codes of the first two run along the outputs, rows along the inputs, so rows are made a panel of outputs at a time.
 * Nothing is kept between calls: threads share a matrix. */
#include <math.h>
#include <string.h>

#include "compute/formats/formats_int.h"
#include "compute/kernels/half.h"

enum { PANEL_ROWS = 512, SMALL_ROW_BYTES = 8192, BATCH_BYTES = 1 << 20 };

/* Place of output o % 8 in its word. */
static unsigned awq_place(size_t o)
{
    static const unsigned char place[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return place[o % 8];
}

static float float_at(enum tensor_type type, const void *p, size_t i)
{
    uint16_t h;
    float f;
    if (type == TENSOR_F32) {
        memcpy(&f, (const char *)p + 4 * i, sizeof f);
        return f;
    }
    memcpy(&h, (const char *)p + 2 * i, sizeof h);
    return type == TENSOR_F16 ? f16_value(h) : bf16_value(h);
}

/* Columns [col0, col0 + n_col) of rows [row0, row0 + n_row) of a stored matrix, of size bytes each. Narrow matrices are
 * read whole and cut: that is cheaper than a call a row. */
static int read_part(const struct model_file *f, const struct stored_tensor *t, size_t size, uint64_t row0,
                     size_t n_row, uint64_t col0, size_t n_col, void *out, struct err *e)
{
    size_t full = (size_t)t->info.shape[1] * size, part = n_col * size, skip = (size_t)col0 * size;
    size_t batch = full <= SMALL_ROW_BYTES || part == full ? BATCH_BYTES / full : 0;
    unsigned char *to = out, *whole = batch > 1 && part < full ? mem_try_array(batch, full) : NULL;
    int rc = 0;
    for (size_t i = 0; !rc && i < n_row;) {
        size_t n = whole && n_row - i < batch ? n_row - i : whole ? batch : 1;
        if (!whole) {
            n = part == full ? n_row - i : 1;
            rc = model_file_read(f, &t->info, to + i * part, (row0 + i) * full + skip, n * part, e);
        } else {
            rc = model_file_read(f, &t->info, whole, (row0 + i) * full, n * full, e);
            for (size_t k = 0; !rc && k < n; k++) {
                memcpy(to + (i + k) * part, whole + k * full + skip, part);
            }
        }
        i += n;
    }
    mem_free(whole);
    return rc;
}

static int no_memory(const struct model_file *f, struct err *e)
{
    return err_set(e, ERR_NOMEM, f->path, "cannot read \"%s\": out of memory", f->path);
}

int hf_packed_zeros(const struct model_file *f, const struct hf_packed *x, uint64_t g0, size_t n_g, uint64_t o0,
                    size_t n_o, uint8_t *zero, struct err *e)
{
    size_t n_word = n_o / 8;
    bool awq = x->quant.method == HF_AWQ;
    uint32_t *word = mem_try_array(n_g * n_word, sizeof *word);
    int rc = word ? read_part(f, &x->zero, sizeof *word, g0, n_g, o0 / 8, n_word, word, e) : no_memory(f, e);
    for (size_t i = 0; !rc && i < n_g * n_o; i++) {
        size_t o = i % n_o;
        unsigned at = awq ? awq_place(o) : (unsigned)(o % 8);
        uint32_t z = word[i / n_o * n_word + o / 8] >> 4 * at & 15;
        zero[i] = (uint8_t)((z + x->quant.zero_is_less) & 15); /* a zero point of 0, stored as -1, has become 15 */
    }
    mem_free(word);
    return rc;
}

int hf_packed_scales(const struct model_file *f, const struct hf_packed *x, uint64_t g0, size_t n_g, uint64_t o0,
                     size_t n_o, float *scale, struct err *e)
{
    enum tensor_type type = x->scale.info.type;
    size_t size = tensor_type_info(type)->block_bytes;
    void *raw = mem_try_array(n_g * n_o, size);
    int rc = raw ? read_part(f, &x->scale, size, g0, n_g, o0, n_o, raw, e) : no_memory(f, e);
    for (size_t i = 0; !rc && i < n_g * n_o; i++) {
        scale[i] = float_at(type, raw, i);
    }
    mem_free(raw);
    return rc;
}

/* --- int4: a panel of outputs --- */

struct panel {
    const struct hf_packed *x;
    uint64_t o0;
    size_t n_o;
    uint32_t *code;    /* as stored, the columns of this panel */
    uint8_t *zero;     /* [n_group][n_o] */
    float *scale;      /* [n_group][n_o] */
    int32_t *group_of; /* [n_in], NULL when groups are in order */
};

static void panel_deinit(struct panel *p)
{
    mem_free(p->code);
    mem_free(p->zero);
    mem_free(p->scale);
    mem_free(p->group_of);
}

static int panel_init(struct panel *p, const struct model_file *f, const struct hf_packed *x, uint64_t o0, size_t n_o,
                      struct err *e)
{
    size_t n_in = (size_t)x->n_in, n_g = (size_t)x->n_group;
    bool awq = x->quant.method == HF_AWQ;
    *p = (struct panel){.x = x, .o0 = o0, .n_o = n_o};
    p->code = mem_try_array(n_in, n_o / 8 * sizeof *p->code);
    p->zero = mem_try_array(n_g, n_o);
    p->scale = mem_try_array(n_g, n_o * sizeof *p->scale);
    p->group_of = x->in_order ? NULL : mem_try_array(n_in, sizeof *p->group_of);
    if (!p->code || !p->zero || !p->scale || (!x->in_order && !p->group_of)) {
        return no_memory(f, e);
    }
    int rc = awq ? read_part(f, &x->code, sizeof *p->code, 0, n_in, o0 / 8, n_o / 8, p->code, e)
                 : read_part(f, &x->code, sizeof *p->code, 0, n_in / 8, o0, n_o, p->code, e);
    rc = rc ? rc : hf_packed_zeros(f, x, 0, n_g, o0, n_o, p->zero, e);
    rc = rc ? rc : hf_packed_scales(f, x, 0, n_g, o0, n_o, p->scale, e);
    if (!rc && p->group_of) {
        rc = model_file_read(f, &x->group_of.info, p->group_of, 0, n_in * sizeof *p->group_of, e);
    }
    return rc;
}

static int code_at(const struct panel *p, size_t k, size_t o)
{
    if (p->x->quant.method == HF_AWQ) {
        return (int)(p->code[k * (p->n_o / 8) + o / 8] >> 4 * awq_place(o) & 15);
    }
    return (int)(p->code[k / 8 * p->n_o + o] >> 4 * (k % 8) & 15);
}

static size_t group_at(const struct panel *p, size_t k)
{
    size_t g = p->group_of ? (size_t)p->group_of[k] : k / (size_t)p->x->group;
    return g < p->x->n_group ? g : 0; /* ids were checked when the directory was opened; the file may have changed */
}

/* A block of 32 inputs as Q4_0 (code) or Q5_0 (code - zero + 16): the scale of the file, nothing is rounded. */
static void put_block(const struct panel *p, size_t k0, size_t o, bool five, uint8_t *block)
{
    size_t g = group_at(p, k0) * p->n_o + o, at = five ? 6 : 2;
    uint16_t d = f16_bits(p->scale[g]);
    uint32_t fifth = 0;
    memcpy(block, &d, sizeof d);
    for (size_t i = 0; i < 16; i++) {
        int low = code_at(p, k0 + i, o), high = code_at(p, k0 + i + 16, o);
        if (five) {
            low += 16 - p->zero[g], high += 16 - p->zero[g];
            fifth |= (uint32_t)(low >> 4) << i | (uint32_t)(high >> 4) << (i + 16);
        }
        block[at + i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
    if (five) {
        memcpy(block + 2, &fifth, sizeof fifth);
    }
}

static void put_int4_row(const struct panel *p, enum tensor_type type, size_t o, uint8_t *row)
{
    size_t n_in = (size_t)p->x->n_in, size = tensor_type_info(type)->block_bytes;
    if (type == TENSOR_Q4_0 || type == TENSOR_Q5_0) {
        for (size_t k = 0; k < n_in; k += 32, row += size) {
            put_block(p, k, o, type == TENSOR_Q5_0, row);
        }
        return;
    }
    for (size_t k = 0; k < n_in; k++, row += size) {
        size_t g = group_at(p, k) * p->n_o + o;
        float v = p->scale[g] * (float)(code_at(p, k, o) - p->zero[g]);
        uint16_t h = f16_bits(v);
        memcpy(row, type == TENSOR_F16 ? (const void *)&h : (const void *)&v, size);
    }
}

/* --- FP8 --- */

/* e4m3fn: no infinity, one NaN; subnormals are multiples of 2^-9. */
static float e4m3_value(uint8_t b)
{
    int exponent = b >> 3 & 15, mantissa = b & 7;
    float v = exponent == 15 && mantissa == 7 ? NAN
              : exponent                      ? ldexpf((float)(8 + mantissa), exponent - 10)
                                              : ldexpf((float)mantissa, -9);
    return b & 0x80 ? -v : v;
}

static int put_fp8_row(const struct model_file *f, const struct hf_packed *x, uint64_t o, uint8_t *row, struct err *e)
{
    size_t n_in = (size_t)x->n_in, n_g = (size_t)x->n_group;
    uint8_t *code = mem_try_alloc(n_in);
    float *scale = mem_try_array(n_g, sizeof *scale), value[256];
    int rc = code && scale ? model_file_read(f, &x->code.info, code, o * n_in, n_in, e) : no_memory(f, e);
    rc = rc ? rc : hf_packed_scales(f, x, o / (uint64_t)x->quant.block_out, 1, 0, n_g, scale, e);
    for (int b = 0; b < 256; b++) {
        value[b] = e4m3_value((uint8_t)b);
    }
    for (size_t k = 0; !rc && k < n_in; k++) {
        uint16_t h = bf16_bits(value[code[k]] * scale[k / (size_t)x->group]);
        memcpy(row + 2 * k, &h, sizeof h);
    }
    mem_free(code);
    mem_free(scale);
    return rc;
}

/* --- bytes of rows --- */

struct range {
    uint8_t *to;
    uint64_t begin, end; /* bytes of the tensor that are wanted */
    size_t row_bytes;
};

/* The wanted part of row o. */
static void copy_row(const struct range *r, uint64_t o, const uint8_t *row)
{
    uint64_t first = o * r->row_bytes, begin = first > r->begin ? first : r->begin;
    uint64_t last = first + r->row_bytes, end = last < r->end ? last : r->end;
    memcpy(r->to + (begin - r->begin), row + (begin - first), (size_t)(end - begin));
}

static int read_panel(const struct model_file *f, const struct stored_tensor *t, const struct range *r, uint64_t o0,
                      uint64_t o1, uint8_t *row, struct err *e)
{
    struct panel p;
    uint64_t begin = o0 / 8 * 8, end = (o1 + 7) / 8 * 8; /* whole words; n_out is a multiple of 8 */
    int rc = panel_init(&p, f, t->packed, begin, (size_t)(end - begin), e);
    for (uint64_t o = o0; !rc && o < o1; o++) {
        put_int4_row(&p, t->info.type, (size_t)(o - begin), row);
        copy_row(r, o, row);
    }
    panel_deinit(&p);
    return rc;
}

int hf_packed_read(const struct model_file *f, const struct stored_tensor *t, void *p, uint64_t offset, size_t n,
                   struct err *e)
{
    const struct hf_packed *x = t->packed;
    struct range r = {p, offset, offset + n, (size_t)(t->info.n_bytes / x->n_out)};
    uint64_t last = (r.end + r.row_bytes - 1) / r.row_bytes;
    uint8_t *row = mem_try_alloc(r.row_bytes);
    int rc = row ? 0 : no_memory(f, e);
    for (uint64_t o = offset / r.row_bytes; !rc && n > 0 && o < last;) {
        uint64_t next = last - o <= PANEL_ROWS ? last : o + PANEL_ROWS;
        if (x->quant.method == HF_FP8) {
            next = o + 1;
            rc = put_fp8_row(f, x, o, row, e);
            if (!rc) {
                copy_row(&r, o, row);
            }
        } else {
            rc = read_panel(f, t, &r, o, next, row, e);
        }
        o = next;
    }
    mem_free(row);
    return rc;
}
