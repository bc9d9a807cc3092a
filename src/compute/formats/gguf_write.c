/* The GGUF writer, version 3. Owns what has been declared and the temporary file.
 * A mistake in a declaration (duplicate name, wrong block length) sticks and is reported by begin, so that callers may
 * put many keys and check once. What always holds: the file appears complete under its name, or not at all. */
#include "compute/formats/gguf.h"

#include <string.h>

#include "compute/formats/formats_int.h"
#include "ground/base/buf.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

enum { ALIGNMENT = 32 };

struct gguf_writer {
    char *path;
    struct buf keys, infos; /* as they will stand in the header */
    uint64_t n_kv;
    struct stored_tensor *tensor; /* offset from the start of the data; names in mem */
    size_t n_tensor, cap_tensor;
    const char **key; /* names declared, to find duplicates */
    size_t cap_key;
    struct arena mem;
    uint64_t data_bytes; /* of all tensors, padded */
    struct file_atomic file;
    bool began;
    size_t at;           /* tensor being written */
    uint64_t done_bytes; /* of it */
    int rc;              /* first failure of a declaration */
    const char *why, *who;
};

int gguf_writer_new(struct gguf_writer **out, const char *path, struct err *e)
{
    (void)e;
    struct gguf_writer *w = mem_alloc(sizeof *w);
    w->path = mem_strdup(path);
    buf_init(&w->keys, (size_t)1 << 31);
    buf_init(&w->infos, (size_t)1 << 31);
    arena_init(&w->mem, (size_t)1 << 31);
    *out = w;
    return 0;
}

void gguf_writer_free(struct gguf_writer *w)
{
    if (!w) {
        return;
    }
    if (w->began) {
        file_atomic_abort(&w->file);
    }
    buf_deinit(&w->keys);
    buf_deinit(&w->infos);
    arena_deinit(&w->mem);
    mem_free(w->tensor);
    mem_free(w->key);
    mem_free(w->path);
    mem_free(w);
}

static int fail(struct gguf_writer *w, int rc, const char *who, const char *why)
{
    if (!w->rc) {
        w->rc = rc;
        w->who = arena_strndup(&w->mem, who, strlen(who));
        w->why = why;
    }
    return rc;
}

static int add_string(struct buf *b, const char *s, uint64_t n)
{
    int rc = buf_add(b, &n, sizeof n);
    return rc ? rc : buf_add(b, s, (size_t)n);
}

/* Room for one more element; the array doubles. */
static int reserve(void **array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return 0;
    }
    size_t grown = *cap ? 2 * *cap : 64;
    void *p = mem_try_realloc(*array, grown * size);
    if (!p) {
        return -ERR_NOMEM;
    }
    *array = p;
    *cap = grown;
    return 0;
}

static int add_key(struct gguf_writer *w, const char *key, uint32_t type)
{
    void *names = w->key;
    int rc = reserve(&names, (size_t)w->n_kv, &w->cap_key, sizeof *w->key);
    w->key = names;
    rc = rc ? rc : add_string(&w->keys, key, strlen(key));
    rc = rc ? rc : buf_add(&w->keys, &type, sizeof type);
    if (rc) {
        return fail(w, rc, key, "is too much for the header");
    }
    w->key[w->n_kv++] = arena_strndup(&w->mem, key, strlen(key));
    return w->key[w->n_kv - 1] ? 0 : fail(w, -ERR_NOMEM, key, "is too much for the header");
}

size_t gguf_n_own_key(const struct gguf_writer *w)
{
    size_t n = 0;
    for (uint64_t i = 0; i < w->n_kv; i++) {
        n += str_starts(w->key[i], "tailor.");
    }
    return n;
}

static int put(struct gguf_writer *w, const char *key, enum gguf_value_type type, const void *p, size_t n)
{
    int rc = add_key(w, key, (uint32_t)type);
    rc = rc ? rc : buf_add(&w->keys, p, n);
    return rc ? fail(w, rc, key, "is too much for the header") : 0;
}

int gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    return put(w, key, GGUF_U32, &v, sizeof v);
}

int gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    return put(w, key, GGUF_F32, &v, sizeof v);
}

int gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    unsigned char byte = v;
    return put(w, key, GGUF_BOOL, &byte, 1);
}

int gguf_put_str(struct gguf_writer *w, const char *key, const char *v, size_t len)
{
    int rc = add_key(w, key, GGUF_STRING);
    rc = rc ? rc : add_string(&w->keys, v, len);
    return rc ? fail(w, rc, key, "is too much for the header") : 0;
}

int gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_value_type type, const void *elements,
                   const uint32_t *lens, size_t n)
{
    uint32_t code = (uint32_t)type;
    uint64_t count = n;
    const char *const *str = elements;
    if (type != GGUF_STRING && gguf_type_size(code) == 0) {
        return fail(w, -ERR_INTERNAL, key, "is an array of arrays");
    }
    int rc = add_key(w, key, GGUF_ARRAY);
    rc = rc ? rc : buf_add(&w->keys, &code, sizeof code);
    rc = rc ? rc : buf_add(&w->keys, &count, sizeof count);
    if (!rc && type != GGUF_STRING) {
        rc = buf_add(&w->keys, elements, n * gguf_type_size(code));
    }
    for (size_t i = 0; !rc && type == GGUF_STRING && i < n; i++) {
        rc = add_string(&w->keys, str[i], lens ? lens[i] : strlen(str[i]));
    }
    return rc ? fail(w, rc, key, "is too much for the header") : 0;
}

int gguf_put_value(struct gguf_writer *w, const char *key, const struct gguf_value *v)
{
    if (v->type == GGUF_STRING) {
        return gguf_put_str(w, key, v->str.p, v->str.len);
    }
    if (v->type == GGUF_ARRAY) {
        bool str = v->arr.type == GGUF_STRING;
        return gguf_put_array(w, key, v->arr.type, str ? (const void *)v->arr.str : v->arr.data, v->arr.str_len,
                              v->arr.n);
    }
    float f32 = (float)v->f;
    bool is_float = v->type == GGUF_F32 || v->type == GGUF_F64;
    const void *p = v->type == GGUF_F32 ? (const void *)&f32 : is_float ? (const void *)&v->f : (const void *)&v->u;
    return put(w, key, v->type, p, gguf_type_size((uint32_t)v->type)); /* little-endian: the low bytes come first */
}

static int add_info(struct gguf_writer *w, const struct stored_tensor *t)
{
    uint32_t n_dim = (uint32_t)t->info.n_dim;
    uint32_t type = (uint32_t)tensor_type_to_ggml(t->info.type);
    int rc = add_string(&w->infos, t->info.name, strlen(t->info.name));
    rc = rc ? rc : buf_add(&w->infos, &n_dim, sizeof n_dim);
    for (int d = t->info.n_dim - 1; !rc && d >= 0; d--) {
        rc = buf_add(&w->infos, &t->info.shape[d], sizeof t->info.shape[d]);
    }
    rc = rc ? rc : buf_add(&w->infos, &type, sizeof type);
    return rc ? rc : buf_add(&w->infos, &t->offset, sizeof t->offset);
}

int gguf_put_tensor(struct gguf_writer *w, const char *name, enum tensor_type type, const uint64_t *shape, int n_dim)
{
    struct stored_tensor t = {.offset = w->data_bytes};
    if (tensor_type_to_ggml(type) < 0) {
        return fail(w, -ERR_UNSUPPORTED, name, "is of a type that GGUF does not have");
    }
    if (n_dim < 1 || n_dim > TENSOR_MAX_DIM || !tensor_n_bytes(type, shape, n_dim, &t.info.n_bytes) ||
        t.info.n_bytes == 0) {
        return fail(w, -ERR_INPUT, name, "has a shape that its type or GGUF cannot hold");
    }
    t.info.type = type;
    t.info.n_dim = n_dim;
    memcpy(t.info.shape, shape, (size_t)n_dim * sizeof *shape);
    t.info.name = arena_strndup(&w->mem, name, strlen(name));
    void *tensors = w->tensor;
    int rc = t.info.name ? reserve(&tensors, w->n_tensor, &w->cap_tensor, sizeof *w->tensor) : -ERR_NOMEM;
    w->tensor = tensors;
    rc = rc ? rc : add_info(w, &t);
    if (rc) {
        return fail(w, rc, name, "is too much for the header");
    }
    w->tensor[w->n_tensor++] = t;
    w->data_bytes += (t.info.n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return 0;
}

static const char *tensor_at(const void *items, size_t idx)
{
    const struct stored_tensor *t = items;
    return t[idx].info.name;
}

static const char *key_at(const void *items, size_t idx)
{
    const char *const *key = items;
    return key[idx];
}

static int check_duplicates(struct gguf_writer *w)
{
    struct name_index x;
    size_t dup;
    int rc = name_index_init(&x, w->tensor, w->n_tensor, tensor_at, &dup);
    name_index_deinit(&x);
    if (rc || dup < w->n_tensor) {
        return rc ? fail(w, rc, "tensors", "do not fit in memory")
                  : fail(w, -ERR_INPUT, w->tensor[dup].info.name, "is declared twice");
    }
    rc = name_index_init(&x, w->key, (size_t)w->n_kv, key_at, &dup);
    name_index_deinit(&x);
    if (rc || dup < w->n_kv) {
        return rc ? fail(w, rc, "keys", "do not fit in memory") : fail(w, -ERR_INPUT, w->key[dup], "is declared twice");
    }
    return 0;
}

static int write_padding(struct gguf_writer *w, uint64_t written, struct err *e)
{
    static const char zero[ALIGNMENT];
    uint64_t pad = (ALIGNMENT - written % ALIGNMENT) % ALIGNMENT;
    return pad ? file_atomic_write(&w->file, zero, (size_t)pad, e) : 0;
}

int gguf_writer_begin(struct gguf_writer *w, struct err *e)
{
    if (w->rc || check_duplicates(w)) {
        return err_set(e, -w->rc, w->path, "cannot write \"%s\": \"%.64s\" %s", w->path, w->who ? w->who : "", w->why);
    }
    struct {
        char magic[4];
        uint32_t version;
        uint64_t n_tensor, n_kv;
    } head = {{'G', 'G', 'U', 'F'}, 3, w->n_tensor, w->n_kv};
    int rc = file_atomic_begin(&w->file, w->path, e);
    if (rc) {
        return rc;
    }
    w->began = true;
    rc = file_atomic_write(&w->file, &head, sizeof head, e);
    rc = rc || !w->keys.len ? rc : file_atomic_write(&w->file, w->keys.data, w->keys.len, e);
    rc = rc || !w->infos.len ? rc : file_atomic_write(&w->file, w->infos.data, w->infos.len, e);
    return rc ? rc : write_padding(w, sizeof head + w->keys.len + w->infos.len, e);
}

int gguf_write_data(struct gguf_writer *w, const void *p, size_t n, struct err *e)
{
    const unsigned char *bytes = p;
    while (n > 0) {
        if (!w->began || w->at == w->n_tensor) {
            return err_set(e, ERR_INTERNAL, w->path, "cannot write \"%s\": %zu bytes more than its tensors hold",
                           w->path, n);
        }
        uint64_t left = w->tensor[w->at].info.n_bytes - w->done_bytes;
        size_t part = left < n ? (size_t)left : n;
        int rc = file_atomic_write(&w->file, bytes, part, e);
        if (rc) {
            return rc;
        }
        bytes += part;
        n -= part;
        w->done_bytes += part;
        if (part == left) {
            rc = write_padding(w, w->done_bytes, e);
            if (rc) {
                return rc;
            }
            w->at++;
            w->done_bytes = 0;
        }
    }
    return 0;
}

int gguf_writer_commit(struct gguf_writer *w, struct err *e)
{
    if (!w->began || w->at != w->n_tensor) {
        return err_set(e, ERR_INTERNAL, w->path, "cannot write \"%s\": tensor %zu of %zu is not complete", w->path,
                       w->at + 1, w->n_tensor);
    }
    w->began = false;
    return file_atomic_commit(&w->file, e);
}
