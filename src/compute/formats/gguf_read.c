/* The GGUF header: keys, values and tensor directory of one file, versions 2 and 3.
 *
 * Owns the open file and everything parsed from it (struct gguf_file). Knows nothing of what keys mean, of split files
 * or of hyper-parameters. What always holds: no count is believed before the bytes that it promises are known to be in
 * the file, so memory stays within a small multiple of the file; every string is NUL-terminated; tensor offsets are
 * ascending, inside the file, aligned and do not overlap. Layout: docs/gguf.md of ggml. */
#include "compute/formats/formats_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ground/base/file.h"
#include "ground/base/str.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "GGUF values are read in place: little-endian machines only");

enum {
    WINDOW_BYTES = 1 << 16,
    MIN_KEY_BYTES = 8 + 1 + 4 + 1,            /* length, name, type, value */
    MIN_TENSOR_BYTES = 8 + 1 + 4 + 8 + 4 + 8, /* length, name, n_dim, one dimension, type, offset */
};

/* A place in the file that cannot pass its end. */
struct cursor {
    struct gguf_file *g;
    const char *path;
    uint64_t pos;
    unsigned char *window;
    uint64_t window_pos;
    size_t window_len;
    struct err *e;
};

static int bad(struct cursor *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

static int bad(struct cursor *c, const char *fmt, ...)
{
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_set(c->e, ERR_INPUT, c->path, "cannot read \"%s\": %s (near byte %llu)", c->path, why,
                   (unsigned long long)c->pos);
}

static int no_memory(struct cursor *c)
{
    return err_set(c->e, ERR_NOMEM, c->path, "cannot read \"%s\": out of memory for its header", c->path);
}

static uint64_t remaining(const struct cursor *c)
{
    return c->g->size_bytes - c->pos;
}

static int fill_window(struct cursor *c)
{
    uint64_t n = remaining(c) < WINDOW_BYTES ? remaining(c) : WINDOW_BYTES;
    int rc = file_pread(c->g->fd, c->path, c->window, (size_t)n, c->pos, c->e);
    c->window_pos = c->pos;
    c->window_len = rc ? 0 : (size_t)n;
    return rc;
}

static int take(struct cursor *c, void *p, uint64_t n)
{
    unsigned char *out = p;
    if (n > remaining(c)) {
        return bad(c, "truncated, %llu bytes are missing", (unsigned long long)(n - remaining(c)));
    }
    while (n > 0) {
        uint64_t used = c->pos - c->window_pos;
        if (used >= c->window_len) {
            int rc = fill_window(c);
            if (rc) {
                return rc;
            }
            used = 0;
        }
        size_t part = (size_t)(c->window_len - used < n ? c->window_len - used : n);
        memcpy(out, c->window + used, part);
        out += part;
        c->pos += part;
        n -= part;
    }
    return 0;
}

static int take_string(struct cursor *c, const char **p, uint32_t *len, uint64_t max_bytes)
{
    uint64_t n;
    int rc = take(c, &n, sizeof n);
    if (rc) {
        return rc;
    }
    if (n > max_bytes || n > remaining(c)) {
        return bad(c, "a string of %llu bytes, at most %llu are possible here", (unsigned long long)n,
                   (unsigned long long)(max_bytes < remaining(c) ? max_bytes : remaining(c)));
    }
    char *s = arena_alloc(&c->g->mem, (size_t)n + 1);
    if (!s) {
        return no_memory(c);
    }
    *p = s;
    *len = (uint32_t)n;
    return take(c, s, n);
}

/* Keys and tensor names: not empty, UTF-8, nothing that would disturb a terminal or end a C string. */
static int take_name(struct cursor *c, const char **p, uint64_t max_bytes, const char *what)
{
    uint32_t n;
    int rc = take_string(c, p, &n, max_bytes);
    if (rc) {
        return rc;
    }
    bool plain = n > 0 && bytes_are_utf8(*p, n);
    for (uint32_t i = 0; plain && i < n; i++) {
        plain = (unsigned char)(*p)[i] >= 0x20 && (*p)[i] != 0x7f;
    }
    return plain ? 0 : bad(c, "%s %s", what, n ? "has control characters or is not UTF-8" : "is empty");
}

size_t gguf_type_size(uint32_t type)
{
    static const unsigned char size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type < sizeof size ? size[type] : 0;
}

const char *gguf_type_name(uint32_t type)
{
    static const char *const name[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                       "bool", "string", "array", "u64", "i64", "f64"};
    return type < sizeof name / sizeof name[0] ? name[type] : "unknown";
}

static int take_scalar(struct cursor *c, struct gguf_value *v)
{
    unsigned char raw[8] = {0};
    int rc = take(c, raw, gguf_type_size(v->type));
    if (rc) {
        return rc;
    }
    float f;
    switch (v->type) {
    case GGUF_I8:
        v->i = (int8_t)raw[0];
        break;
    case GGUF_I16:
        v->i = (int16_t)(raw[0] | raw[1] << 8);
        break;
    case GGUF_I32: {
        int32_t i;
        memcpy(&i, raw, sizeof i);
        v->i = i;
        break;
    }
    case GGUF_F32:
        memcpy(&f, raw, sizeof f);
        v->f = (double)f;
        break;
    default:
        memcpy(&v->u, raw, sizeof v->u); /* U8 U16 U32 U64 BOOL I64 F64 */
    }
    return v->type == GGUF_BOOL && v->u > 1 ? bad(c, "a bool is %llu, 0 or 1 would be right", (unsigned long long)v->u)
                                            : 0;
}

static int take_string_array(struct cursor *c, struct gguf_value *v, size_t n)
{
    const char **str = arena_alloc(&c->g->mem, n * sizeof *str);
    uint32_t *len = arena_alloc(&c->g->mem, n * sizeof *len);
    if (!str || !len) {
        return no_memory(c);
    }
    for (size_t i = 0; i < n; i++) {
        int rc = take_string(c, &str[i], &len[i], LIMIT_STRING_BYTES);
        if (rc) {
            return rc;
        }
    }
    v->arr.str = str;
    v->arr.str_len = len;
    return 0;
}

static int take_array(struct cursor *c, struct gguf_value *v)
{
    uint32_t type;
    uint64_t n;
    int rc = take(c, &type, sizeof type);
    rc = rc ? rc : take(c, &n, sizeof n);
    if (rc) {
        return rc;
    }
    size_t size = type == GGUF_STRING ? 8 : gguf_type_size(type);
    if (size == 0) {
        return bad(c, "an array of type %u, fixed-size types and strings are possible", type);
    }
    if (n > remaining(c) / size) {
        return bad(c, "an array of %llu elements, the rest of the file holds at most %llu", (unsigned long long)n,
                   (unsigned long long)(remaining(c) / size));
    }
    v->arr.type = (enum gguf_value_type)type;
    v->arr.n = (size_t)n;
    if (n == 0) {
        return 0;
    }
    if (type == GGUF_STRING) {
        return take_string_array(c, v, (size_t)n);
    }
    void *data = arena_alloc(&c->g->mem, (size_t)n * size);
    if (!data) {
        return no_memory(c);
    }
    v->arr.data = data;
    return take(c, data, n * size);
}

static int take_value(struct cursor *c, struct gguf_value *v)
{
    uint32_t type;
    int rc = take(c, &type, sizeof type);
    if (rc) {
        return rc;
    }
    v->type = (enum gguf_value_type)type;
    if (type == GGUF_STRING) {
        return take_string(c, &v->str.p, &v->str.len, LIMIT_STRING_BYTES);
    }
    if (type == GGUF_ARRAY) {
        return take_array(c, v);
    }
    return gguf_type_size(type) ? take_scalar(c, v) : bad(c, "a value of unknown type %u, 0 to 12 are known", type);
}

static const char *key_at(const void *items, size_t idx)
{
    const struct gguf_kv *kv = items;
    return kv[idx].key;
}

static int take_keys(struct cursor *c, uint64_t n)
{
    struct gguf_file *g = c->g;
    if (n > LIMIT_KEYS || n > remaining(c) / MIN_KEY_BYTES) {
        return bad(c, "%llu metadata keys, at most %d and what the file can hold", (unsigned long long)n,
                   (int)LIMIT_KEYS);
    }
    g->kv = mem_try_array(n ? (size_t)n : 1, sizeof *g->kv);
    if (!g->kv) {
        return no_memory(c);
    }
    for (; g->n_kv < n; g->n_kv++) {
        struct gguf_kv *kv = &g->kv[g->n_kv];
        int rc = take_name(c, &kv->key, LIMIT_KEY_BYTES, "a metadata key");
        if (rc) {
            return rc;
        }
        rc = take_value(c, &kv->v);
        if (rc) {
            return err_wrap(c->e, rc, "metadata \"%.64s\"", kv->key);
        }
    }
    size_t dup;
    if (name_index_init(&g->kv_index, g->kv, g->n_kv, key_at, &dup)) {
        return no_memory(c);
    }
    return dup < g->n_kv ? bad(c, "metadata key \"%.64s\" stands twice", g->kv[dup].key) : 0;
}

static int take_alignment(struct cursor *c)
{
    int64_t a = 32;
    const struct gguf_value *v = gguf_find(c->g, "general.alignment");
    if (v && !gguf_get_int(c->g, "general.alignment", &a)) {
        return bad(c, "general.alignment is of type %s, u32 would be right", gguf_type_name(v->type));
    }
    if (a < 8 || a > (1 << 16) || (a & (a - 1)) != 0) {
        return bad(c, "general.alignment is %lld, a power of two from 8 to 65536 would be right", (long long)a);
    }
    c->g->alignment = (uint64_t)a;
    return 0;
}

static int take_shape(struct cursor *c, struct tensor_info *t)
{
    uint32_t n_dim;
    int rc = take(c, &n_dim, sizeof n_dim);
    if (rc) {
        return rc;
    }
    if (n_dim < 1 || n_dim > TENSOR_MAX_DIM) {
        return bad(c, "tensor \"%.64s\" has %u dimensions, 1 to 4 are possible", t->name, n_dim);
    }
    t->n_dim = (int)n_dim;
    for (int d = t->n_dim - 1; d >= 0; d--) { /* the file has the innermost first */
        rc = take(c, &t->shape[d], sizeof t->shape[d]);
        if (rc) {
            return rc;
        }
        if (t->shape[d] == 0) {
            return bad(c, "tensor \"%.64s\" has a dimension of 0", t->name);
        }
    }
    return 0;
}

static int take_tensor(struct cursor *c, struct stored_tensor *s)
{
    struct tensor_info *t = &s->info;
    uint32_t ggml;
    int rc = take_name(c, &t->name, LIMIT_NAME_BYTES, "a tensor name");
    rc = rc ? rc : take_shape(c, t);
    rc = rc ? rc : take(c, &ggml, sizeof ggml);
    rc = rc ? rc : take(c, &s->offset, sizeof s->offset);
    if (rc) {
        return rc;
    }
    int type = tensor_type_from_ggml(ggml);
    if (type < 0) {
        return err_set(c->e, ERR_UNSUPPORTED, c->path,
                       "cannot read \"%s\": tensor \"%.64s\" is of ggml type %u, which is not known", c->path, t->name,
                       ggml);
    }
    t->type = (enum tensor_type)type;
    if (!tensor_n_bytes(t->type, t->shape, t->n_dim, &t->n_bytes)) {
        return bad(c,
                   "tensor \"%.64s\": rows of %llu values of type %s, whole blocks of %d and less than 2^48 in all are "
                   "possible",
                   t->name, (unsigned long long)t->shape[t->n_dim - 1], tensor_type_info(t->type)->name,
                   tensor_type_info(t->type)->block_len);
    }
    return 0;
}

/* Offsets of the file count from the end of the header; make them absolute and check them all. */
static int place_tensors(struct cursor *c)
{
    struct gguf_file *g = c->g;
    uint64_t a = g->alignment;
    uint64_t begin = (c->pos + a - 1) / a * a;
    uint64_t end = 0;
    for (size_t i = 0; i < g->n_tensor; i++) {
        struct stored_tensor *s = &g->tensor[i];
        if (s->offset % a != 0) {
            return bad(c, "tensor \"%.64s\" at offset %llu, a multiple of %llu would be right", s->info.name,
                       (unsigned long long)s->offset, (unsigned long long)a);
        }
        if (s->offset < end) {
            return bad(c, "tensor \"%.64s\" at offset %llu overlaps the one before, which ends at %llu", s->info.name,
                       (unsigned long long)s->offset, (unsigned long long)end);
        }
        if (begin > g->size_bytes || s->offset > g->size_bytes - begin ||
            s->info.n_bytes > g->size_bytes - begin - s->offset) {
            return bad(c, "tensor \"%.64s\" reaches past the end of the file: %llu bytes at offset %llu", s->info.name,
                       (unsigned long long)s->info.n_bytes, (unsigned long long)s->offset);
        }
        end = s->offset + s->info.n_bytes;
        s->offset += begin;
    }
    return 0;
}

static int take_tensors(struct cursor *c, uint64_t n)
{
    struct gguf_file *g = c->g;
    if (n > LIMIT_TENSORS || n > remaining(c) / MIN_TENSOR_BYTES) {
        return bad(c, "%llu tensors, at most %d and what the file can hold", (unsigned long long)n, (int)LIMIT_TENSORS);
    }
    g->tensor = mem_try_array(n ? (size_t)n : 1, sizeof *g->tensor);
    if (!g->tensor) {
        return no_memory(c);
    }
    for (; g->n_tensor < n; g->n_tensor++) {
        int rc = take_tensor(c, &g->tensor[g->n_tensor]);
        if (rc) {
            return rc;
        }
    }
    return place_tensors(c);
}

static int take_version(struct cursor *c)
{
    char magic[4];
    int rc = take(c, magic, sizeof magic);
    if (rc) {
        return rc;
    }
    if (memcmp(magic, "GGUF", 4) != 0) {
        return bad(c, "not a GGUF file, it does not begin with GGUF");
    }
    rc = take(c, &c->g->version, sizeof c->g->version);
    if (rc) {
        return rc;
    }
    uint32_t v = c->g->version;
    if (v != 2 && v != 3) {
        bool swapped = v != 0 && (v & 0xffff) == 0;
        return err_set(c->e, ERR_UNSUPPORTED, c->path,
                       "cannot read \"%s\": GGUF version %u%s, little-endian 2 and 3 are supported", c->path, v,
                       swapped ? " (big-endian)" : "");
    }
    return 0;
}

static int take_header(struct cursor *c)
{
    uint64_t n_tensor;
    uint64_t n_kv;
    int rc = take_version(c);
    rc = rc ? rc : take(c, &n_tensor, sizeof n_tensor);
    rc = rc ? rc : take(c, &n_kv, sizeof n_kv);
    rc = rc ? rc : take_keys(c, n_kv);
    rc = rc ? rc : take_alignment(c);
    return rc ? rc : take_tensors(c, n_tensor);
}

int gguf_file_open(struct gguf_file *g, const char *path, struct err *e)
{
    *g = (struct gguf_file){.fd = -1};
    int rc = file_open_read(path, &g->fd, &g->size_bytes, e);
    if (rc) {
        g->fd = -1;
        return rc;
    }
    /* 16 bytes of arena for an empty string of 8, and bookkeeping: 8 times the file is never needed. */
    uint64_t max = g->size_bytes > SIZE_MAX / 16 ? SIZE_MAX / 2 : g->size_bytes * 8 + (1 << 20);
    arena_init(&g->mem, (size_t)max);
    struct cursor c = {.g = g, .path = path, .e = e};
    c.window = mem_try_alloc(WINDOW_BYTES);
    rc = c.window ? take_header(&c) : no_memory(&c);
    mem_free(c.window);
    if (rc) {
        gguf_file_close(g);
    }
    return rc;
}

void gguf_file_close(struct gguf_file *g)
{
    if (g->fd >= 0) {
        close(g->fd);
    }
    name_index_deinit(&g->kv_index);
    mem_free(g->kv);
    mem_free(g->tensor);
    arena_deinit(&g->mem);
    *g = (struct gguf_file){.fd = -1};
}

const struct gguf_value *gguf_find(const struct gguf_file *g, const char *key)
{
    size_t i = name_index_find(&g->kv_index, g->kv, key_at, key);
    return i < g->n_kv ? &g->kv[i].v : NULL;
}
