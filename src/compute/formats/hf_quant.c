/* Quantized Hugging Face directories: what quantization_config says, and the tensor table in which every quantized
 * matrix is one tensor again. Owns the description of each such matrix (in the arena of names); its rows are made in
 * hf_packed.c when they are read. Layouts: AutoGPTQ (v1 and v2), AutoAWQ (gemm), DeepSeek-V3 (FP8 with block scales).
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "compute/formats/arch_int.h"
#include "compute/kernels/half.h"
#include "ground/base/str.h"

/* --- quantization_config --- */

struct reader {
    const json_t *config;
    const char *path;
    struct err *e;
};

static int refuse(const struct reader *r, const char *key, const char *right)
{
    const json_t *j = json_object_get(r->config, key);
    char text[64] = "of another kind";
    if (!j) {
        snprintf(text, sizeof text, "missing");
    } else if (json_is_string(j)) {
        snprintf(text, sizeof text, "\"%.40s\"", json_string_value(j));
    } else if (json_is_integer(j)) {
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(j));
    } else if (json_is_boolean(j)) {
        snprintf(text, sizeof text, "%s", json_is_true(j) ? "true" : "false");
    }
    return err_set(r->e, ERR_UNSUPPORTED, r->path,
                   "cannot use \"%s\": in quantization_config \"%s\" is %s, %s would be right", r->path, key, text,
                   right);
}

static bool int_is(const struct reader *r, const char *key, int wanted)
{
    const json_t *j = json_object_get(r->config, key);
    return json_is_integer(j) && json_integer_value(j) == wanted;
}

/* A text that is absent is what it would be by default. */
static bool text_is(const struct reader *r, const char *key, const char *wanted)
{
    const json_t *j = json_object_get(r->config, key);
    return !j || json_is_null(j) || (json_is_string(j) && strcasecmp(json_string_value(j), wanted) == 0);
}

static int read_group(const struct reader *r, struct hf_quant *q)
{
    const json_t *j = json_object_get(r->config, "group_size");
    json_int_t group = json_integer_value(j);
    if (!json_is_integer(j) || (group != -1 && (group < 8 || group > 1 << 20 || group % 8 != 0))) {
        return refuse(r, "group_size", "-1 or a multiple of 8");
    }
    q->group = group == -1 ? 0 : (int)group;
    return 0;
}

static int parse_gptq(const struct reader *r, struct hf_quant *q)
{
    bool v2 = json_object_get(r->config, "checkpoint_format") && text_is(r, "checkpoint_format", "gptq_v2");
    q->method = HF_GPTQ;
    q->zero_is_less = !v2;
    if (!int_is(r, "bits", 4)) {
        return refuse(r, "bits", "4");
    }
    if (!v2 && !text_is(r, "checkpoint_format", "gptq")) {
        return refuse(r, "checkpoint_format", "\"gptq\" or \"gptq_v2\"");
    }
    return read_group(r, q);
}

static int parse_awq(const struct reader *r, struct hf_quant *q)
{
    q->method = HF_AWQ;
    if (!int_is(r, "bits", 4)) {
        return refuse(r, "bits", "4");
    }
    if (!text_is(r, "version", "gemm")) {
        return refuse(r, "version", "\"gemm\"");
    }
    if (json_is_false(json_object_get(r->config, "zero_point"))) {
        return refuse(r, "zero_point", "true");
    }
    return read_group(r, q);
}

static int parse_fp8(const struct reader *r, struct hf_quant *q)
{
    const json_t *block = json_object_get(r->config, "weight_block_size");
    json_int_t out = json_integer_value(json_array_get(block, 0)), in = json_integer_value(json_array_get(block, 1));
    q->method = HF_FP8;
    if (!text_is(r, "fmt", "e4m3")) {
        return refuse(r, "fmt", "\"e4m3\"");
    }
    if (json_array_size(block) != 2 || out < 1 || in < 1 || out > 1 << 16 || in > 1 << 16) {
        return refuse(r, "weight_block_size", "two sizes as [128, 128]");
    }
    q->block_out = (int)out, q->block_in = (int)in;
    return 0;
}

int hf_quant_parse(const json_t *config, const char *path, struct hf_quant *q, struct err *e)
{
    struct reader r = {json_object_get(config, "quantization_config"), path, e};
    *q = (struct hf_quant){.method = HF_PLAIN};
    if (!r.config || json_is_null(r.config)) {
        return 0;
    }
    const char *method = json_string_value(json_object_get(r.config, "quant_method"));
    return str_eq(method, "gptq")  ? parse_gptq(&r, q)
           : str_eq(method, "awq") ? parse_awq(&r, q)
           : str_eq(method, "fp8") ? parse_fp8(&r, q)
                                   : refuse(&r, "quant_method", "\"gptq\", \"awq\" or \"fp8\"");
}

/* --- binding --- */

struct binder {
    struct model_file *f;
    struct hf_quant quant;
    struct name_index index;    /* over f->tensor as it was read */
    bool *used;                 /* [n_tensor] parts that are no tensors of their own */
    struct stored_tensor *made; /* [n_tensor] matrices, each at the place of one of its parts */
    struct err *e;
};

static const char *name_at(const void *items, size_t idx)
{
    const struct stored_tensor *t = items;
    return t[idx].info.name;
}

/* A part of a matrix with its type and shape as given; 0 in shape: any. Marks it as used. */
static int take_part(struct binder *b, const char *name, enum tensor_type type, uint64_t rows, uint64_t cols,
                     struct stored_tensor *out)
{
    size_t i = name_index_find(&b->index, b->f->tensor, name_at, name);
    const struct stored_tensor *t = i < b->f->n_tensor ? &b->f->tensor[i] : NULL;
    bool matrix = t && t->info.n_dim == 2 && cols > 0 && t->info.shape[0] == rows && t->info.shape[1] == cols;
    bool vector = t && t->info.n_dim == 1 && cols == 0 && t->info.shape[0] == rows;
    bool any_float = type == TENSOR_TYPE_COUNT && t &&
                     (t->info.type == TENSOR_F32 || t->info.type == TENSOR_F16 || t->info.type == TENSOR_BF16);
    if (!(matrix || vector) || !(any_float || t->info.type == type)) {
        return err_set(b->e, ERR_INPUT, b->f->path,
                       "cannot use \"%s\": tensor \"%.80s\" is missing, or not %llu x %llu values of type %s",
                       b->f->path, name, (unsigned long long)rows, (unsigned long long)(cols ? cols : 1),
                       type == TENSOR_TYPE_COUNT ? "F16, BF16 or F32" : tensor_type_info(type)->name);
    }
    *out = *t;
    b->used[i] = true;
    return 0;
}

/* Groups in ascending order, each of `group` inputs; ids outside the groups are an error. */
static int read_order(struct binder *b, struct hf_packed *x)
{
    int32_t *id = mem_try_array((size_t)x->n_in, sizeof *id);
    int rc = id ? model_file_read(b->f, &x->group_of.info, id, 0, (size_t)x->n_in * sizeof *id, b->e)
                : err_set(b->e, ERR_NOMEM, b->f->path, "cannot open \"%s\": out of memory", b->f->path);
    for (uint64_t k = 0; !rc && k < x->n_in; k++) {
        if (id[k] < 0 || (uint64_t)id[k] >= x->n_group) {
            rc = err_set(b->e, ERR_INPUT, b->f->path,
                         "cannot use \"%s\": \"%.80s\" names group %d, 0 to %llu would be right", b->f->path,
                         x->group_of.info.name, (int)id[k], (unsigned long long)(x->n_group - 1));
        }
        x->in_order = x->in_order && (uint64_t)id[k] == k / x->group;
    }
    mem_free(id);
    return rc;
}

static int take_int4_parts(struct binder *b, const char *base, const struct tensor_info *code, struct hf_packed *x)
{
    char name[LIMIT_NAME_BYTES + 16];
    bool gptq = b->quant.method == HF_GPTQ;
    if (code->n_dim != 2 || code->type != TENSOR_I32) {
        return err_set(b->e, ERR_INPUT, b->f->path, "cannot use \"%s\": tensor \"%.80s\" is no matrix of type I32",
                       b->f->path, code->name);
    }
    x->n_in = gptq ? code->shape[0] * 8 : code->shape[0];
    x->n_out = gptq ? code->shape[1] : code->shape[1] * 8;
    x->group = b->quant.group ? (uint64_t)b->quant.group : x->n_in;
    x->n_group = x->n_in && x->group ? (x->n_in + x->group - 1) / x->group : 0;
    x->in_order = true;
    if (x->n_group == 0 || x->n_out == 0 || x->n_out % 8 != 0 || x->n_in % 8 != 0) {
        return err_set(b->e, ERR_INPUT, b->f->path,
                       "cannot use \"%s\": \"%.80s\" stands for %llu x %llu values, multiples of 8 would be right",
                       b->f->path, code->name, (unsigned long long)x->n_out, (unsigned long long)x->n_in);
    }
    int rc = take_part(b, code->name, TENSOR_I32, code->shape[0], code->shape[1], &x->code);
    snprintf(name, sizeof name, "%s.qzeros", base);
    rc = rc ? rc : take_part(b, name, TENSOR_I32, x->n_group, x->n_out / 8, &x->zero);
    snprintf(name, sizeof name, "%s.scales", base);
    rc = rc ? rc : take_part(b, name, TENSOR_TYPE_COUNT, x->n_group, x->n_out, &x->scale);
    snprintf(name, sizeof name, "%s.g_idx", base);
    if (!rc && gptq && name_index_find(&b->index, b->f->tensor, name_at, name) < b->f->n_tensor) {
        rc = take_part(b, name, TENSOR_I32, x->n_in, 0, &x->group_of);
        rc = rc ? rc : read_order(b, x);
    }
    return rc;
}

/* Whether float16 holds every scale, and whether every zero point is 8. */
static int look_at_groups(struct binder *b, const struct hf_packed *x, bool *half, bool *centered)
{
    size_t n = (size_t)x->n_out;
    float *scale = mem_try_array(n, sizeof *scale);
    uint8_t *zero = mem_try_array(n, 1);
    int rc = scale && zero ? 0 : err_set(b->e, ERR_NOMEM, b->f->path, "cannot open \"%s\": out of memory", b->f->path);
    *half = *centered = true;
    for (uint64_t g = 0; !rc && g < x->n_group; g++) {
        if (x->scale.info.type != TENSOR_F16) {
            rc = hf_packed_scales(b->f, x, g, 1, 0, n, scale, b->e);
            for (size_t o = 0; !rc && o < n; o++) {
                *half = *half && f16_value(f16_bits(scale[o])) == scale[o];
            }
        }
        rc = rc ? rc : hf_packed_zeros(b->f, x, g, 1, 0, n, zero, b->e);
        for (size_t o = 0; !rc && o < n; o++) {
            *centered = *centered && zero[o] == 8;
        }
    }
    mem_free(scale);
    mem_free(zero);
    return rc;
}

static int int4_type(struct binder *b, const struct hf_packed *x, enum tensor_type *type)
{
    bool half, centered;
    int rc = look_at_groups(b, x, &half, &centered);
    bool blocks = x->in_order && x->group % 32 == 0 && x->n_in % 32 == 0;
    *type = !half ? TENSOR_F32 : !blocks ? TENSOR_F16 : centered ? TENSOR_Q4_0 : TENSOR_Q5_0;
    return rc;
}

static const struct arch *arch_of(const struct model_file *f)
{
    return arch_find_model_type(json_string_value(json_object_get(f->config, "model_type")));
}

/* The matrix in the place of its part at idx. hf_name: "model.layers.0.self_attn.q_proj.weight". */
static int put_matrix(struct binder *b, size_t idx, const char *hf_name, const struct hf_packed *x,
                      enum tensor_type type)
{
    char name[LIMIT_NAME_BYTES + 16];
    struct stored_tensor *t = &b->made[idx];
    struct hf_packed *kept = arena_alloc(&b->f->names, sizeof *kept);
    if (!hf_tensor_name(arch_of(b->f), hf_name, name, sizeof name)) {
        snprintf(name, sizeof name, "%s", hf_name);
    }
    *t = (struct stored_tensor){.info = {.type = type, .n_dim = 2, .shape = {x->n_out, x->n_in}}, .packed = kept};
    t->info.name = arena_strndup(&b->f->names, name, strlen(name));
    if (!kept || !t->info.name) {
        return err_set(b->e, ERR_NOMEM, b->f->path, "cannot open \"%s\": out of memory", b->f->path);
    }
    *kept = *x;
    return tensor_n_bytes(type, t->info.shape, 2, &t->info.n_bytes)
               ? 0
               : err_set(b->e, ERR_INPUT, b->f->path, "cannot use \"%s\": tensor \"%.80s\" is too large", b->f->path,
                         name);
}

static int bind_int4(struct binder *b, size_t idx)
{
    static const char end[] = ".qweight";
    char base[LIMIT_NAME_BYTES + 1], name[LIMIT_NAME_BYTES + 16];
    const struct tensor_info code = b->f->tensor[idx].info;
    struct hf_packed x = {.quant = b->quant};
    enum tensor_type type;
    snprintf(base, sizeof base, "%.*s", (int)(strlen(code.name) - strlen(end)), code.name);
    snprintf(name, sizeof name, "%s.weight", base);
    int rc = take_int4_parts(b, base, &code, &x);
    rc = rc ? rc : int4_type(b, &x, &type);
    return rc ? rc : put_matrix(b, idx, name, &x, type);
}

static int bind_fp8(struct binder *b, size_t idx)
{
    static const char end[] = "_scale_inv";
    char hf_name[LIMIT_NAME_BYTES + 1], name[LIMIT_NAME_BYTES + 16];
    const struct tensor_info scale = b->f->tensor[idx].info;
    struct hf_packed x = {.quant = b->quant};
    snprintf(hf_name, sizeof hf_name, "%.*s", (int)(strlen(scale.name) - strlen(end)), scale.name);
    if (!hf_tensor_name(arch_of(b->f), hf_name, name, sizeof name)) {
        snprintf(name, sizeof name, "%s", hf_name);
    }
    size_t at = name_index_find(&b->index, b->f->tensor, name_at, name);
    const struct tensor_info *code = at < b->f->n_tensor ? &b->f->tensor[at].info : NULL;
    if (!code || code->n_dim != 2 || code->shape[0] == 0 || code->shape[1] == 0) {
        return err_set(b->e, ERR_INPUT, b->f->path, "cannot use \"%s\": there is no matrix for the scales \"%.80s\"",
                       b->f->path, scale.name);
    }
    x.n_out = code->shape[0], x.n_in = code->shape[1];
    x.group = (uint64_t)b->quant.block_in;
    x.n_group = (x.n_in + x.group - 1) / x.group;
    uint64_t n_block_out = (x.n_out + (uint64_t)b->quant.block_out - 1) / (uint64_t)b->quant.block_out;
    int rc = take_part(b, name, TENSOR_F8_E4M3, x.n_out, x.n_in, &x.code);
    rc = rc ? rc : take_part(b, scale.name, TENSOR_TYPE_COUNT, n_block_out, x.n_group, &x.scale);
    return rc ? rc : put_matrix(b, at, hf_name, &x, TENSOR_BF16);
}

static int bind_all(struct binder *b)
{
    int rc = 0;
    const char *end = b->quant.method == HF_FP8 ? ".weight_scale_inv" : ".qweight";
    for (size_t i = 0; !rc && i < b->f->n_tensor; i++) {
        const struct stored_tensor *t = &b->f->tensor[i];
        if (str_ends(t->info.name, end)) {
            rc = b->quant.method == HF_FP8 ? bind_fp8(b, i) : bind_int4(b, i);
        }
    }
    return rc;
}

/* Parts leave the table, matrices enter it. The index is of no use from here on. */
static void replace_parts(struct binder *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->f->n_tensor; i++) {
        if (b->made[i].packed) {
            b->f->tensor[n++] = b->made[i];
        } else if (!b->used[i]) {
            b->f->tensor[n++] = b->f->tensor[i];
        }
    }
    b->f->n_tensor = n;
}

int hf_quant_bind(struct model_file *f, struct err *e)
{
    struct binder b = {.f = f, .e = e};
    size_t dup;
    int rc = f->n_tensor ? hf_quant_parse(f->config, f->path, &b.quant, e) : 0;
    if (rc || b.quant.method == HF_PLAIN) {
        return rc;
    }
    b.used = mem_try_array(f->n_tensor, sizeof *b.used);
    b.made = mem_try_array(f->n_tensor, sizeof *b.made);
    if (!b.used || !b.made || name_index_init(&b.index, f->tensor, f->n_tensor, name_at, &dup)) {
        rc = err_set(e, ERR_NOMEM, f->path, "cannot open \"%s\": out of memory", f->path);
    } else if (dup < f->n_tensor) {
        rc = err_set(e, ERR_INPUT, f->path, "cannot open \"%s\": tensor \"%.64s\" stands twice", f->path,
                     f->tensor[dup].info.name);
    }
    rc = rc ? rc : bind_all(&b);
    if (!rc) {
        replace_parts(&b);
    }
    name_index_deinit(&b.index);
    mem_free(b.used);
    mem_free(b.made);
    return rc;
}
