/* A model on disk behind one face: which container it is, its tensors by name, positioned reads.
 * Owns the parts (open files), the tensor table and the parsed metadata. What the containers mean is in model_gguf.c,
 * model_hf.c and the files beside them. Immutable after open, so threads share it. */
#include "compute/formats/model_file.h"

#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "compute/formats/formats_int.h"
#include "compute/formats/hf_made.h"
#include "ground/base/file.h"
#include "ground/base/str.h"

static const char *tensor_name_at(const void *items, size_t idx)
{
    const struct stored_tensor *t = items;
    return t[idx].info.name;
}

int model_add_part(struct model_file *f, const char *path, int fd, uint64_t size_bytes, struct err *e)
{
    struct model_part *part = mem_try_realloc(f->part, (f->n_part + 1) * sizeof *part);
    if (!part) {
        close(fd);
        return err_set(e, ERR_NOMEM, path, "cannot open \"%s\": out of memory", path);
    }
    f->part = part;
    f->part[f->n_part++] = (struct model_part){.path = mem_strdup(path), .fd = fd, .size_bytes = size_bytes};
    return 0;
}

int model_index_tensors(struct model_file *f, struct err *e)
{
    size_t dup;
    if (name_index_init(&f->index, f->tensor, f->n_tensor, tensor_name_at, &dup)) {
        return err_set(e, ERR_NOMEM, f->path, "cannot open \"%s\": out of memory for %zu tensors", f->path,
                       f->n_tensor);
    }
    if (dup < f->n_tensor) {
        return err_set(e, ERR_INPUT, f->path, "cannot open \"%s\": tensor \"%.64s\" stands twice", f->path,
                       f->tensor[dup].info.name);
    }
    return 0;
}

int model_file_open(struct model_file **out, const char *path, struct err *e)
{
    *out = NULL;
    struct model_file *f = mem_alloc(sizeof *f);
    f->path = mem_strdup(path);
    f->gguf.fd = -1;
    arena_init(&f->names, SIZE_MAX / 2);
    arena_init(&f->hf.mem, SIZE_MAX / 2);
    int rc;
    if (file_is_dir(path)) {
        rc = model_open_hf(f, path, e);
    } else if (str_ends(path, ".json")) {
        rc = model_open_tokenizer_json(f, path, e);
    } else if (str_ends(path, ".model")) {
        rc = model_open_sentencepiece(f, path, e);
    } else {
        rc = model_open_gguf(f, path, e);
    }
    rc = rc ? rc : model_index_tensors(f, e);
    if (rc) {
        model_file_close(f);
        return rc;
    }
    *out = f;
    return 0;
}

void model_file_close(struct model_file *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < f->n_part; i++) {
        close(f->part[i].fd);
        mem_free(f->part[i].path);
    }
    mem_free(f->part);
    name_index_deinit(&f->index);
    mem_free(f->tensor);
    arena_deinit(&f->names);
    arena_deinit(&f->hf.mem);
    if (f->is_gguf) {
        gguf_file_close(&f->gguf);
    }
    json_decref(f->config);
    json_decref(f->metadata);
    mem_free(f->path);
    mem_free(f);
}

const char *model_file_path(const struct model_file *f)
{
    return f->path;
}

uint64_t model_file_size(const struct model_file *f)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < f->n_part; i++) {
        sum += f->part[i].size_bytes;
    }
    return sum;
}

size_t model_file_n_part(const struct model_file *f)
{
    return f->n_part;
}

const char *model_file_part_path(const struct model_file *f, size_t part)
{
    return f->part[part].path;
}

int model_file_identify(const struct model_file *f, size_t part, struct file_identity *out, struct err *e)
{
    return file_identify(f->part[part].fd, f->part[part].path, out, e);
}

bool model_file_is_gguf(const struct model_file *f)
{
    return f->is_gguf;
}

int model_file_params(const struct model_file *f, struct model_params *p, struct err *e)
{
    memset(p, 0, sizeof *p);
    int rc = f->is_gguf ? gguf_params(f, p, e) : hf_params(f, p, e);
    rc = rc ? rc : params_check(p, f->path, e);
    return rc ? rc : params_check_tensors(f, p, e);
}

const json_t *model_file_metadata(const struct model_file *f)
{
    return f->metadata;
}

size_t model_file_n_tensor(const struct model_file *f)
{
    return f->n_tensor;
}

const struct tensor_info *model_file_tensor(const struct model_file *f, size_t idx)
{
    return &f->tensor[idx].info;
}

const struct tensor_info *model_file_find(const struct model_file *f, const char *name)
{
    size_t i = name_index_find(&f->index, f->tensor, tensor_name_at, name);
    return i < f->n_tensor ? &f->tensor[i].info : NULL;
}

/* Values [offset / 4, ...) of a float vector, as F32 with one added. */
static int read_plus_one(const struct model_file *f, const struct stored_tensor *s, void *p, uint64_t offset, size_t n,
                         struct err *e)
{
    enum { CHUNK = 1024 };
    const struct model_part *part = &f->part[s->part];
    unsigned char raw[CHUNK * sizeof(float)];
    float value[CHUNK];
    size_t size = tensor_type_info(s->stored_type)->block_bytes;
    assert(offset % sizeof(float) == 0 && n % sizeof(float) == 0);
    for (uint64_t at = offset / sizeof(float), end = (offset + n) / sizeof(float); at < end;) {
        size_t m = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
        int rc = file_pread(part->fd, part->path, raw, m * size, s->offset + at * size, e);
        if (rc) {
            return err_wrap(e, rc, "tensor \"%s\"", s->info.name);
        }
        float_values(s->stored_type, raw, value, m);
        for (size_t i = 0; i < m; i++) {
            value[i] += 1;
        }
        memcpy((char *)p + (at * sizeof(float) - offset), value, m * sizeof(float));
        at += m;
    }
    return 0;
}

bool tensor_is_stored(const struct tensor_info *t)
{
    const struct stored_tensor *s = (const struct stored_tensor *)t; /* info is its first member */
    return !s->packed && !s->made && !s->plus_one;
}

int model_file_read(const struct model_file *f, const struct tensor_info *t, void *p, uint64_t offset, size_t n,
                    struct err *e)
{
    const struct stored_tensor *s = (const struct stored_tensor *)t; /* info is its first member */
    if (offset > t->n_bytes || n > t->n_bytes - offset) {
        return err_set(e, ERR_INTERNAL, t->name, "cannot read tensor \"%s\": bytes %llu to %llu of %llu", t->name,
                       (unsigned long long)offset, (unsigned long long)(offset + n), (unsigned long long)t->n_bytes);
    }
    if (s->packed) {
        int bad = hf_packed_read(f, s, p, offset, n, e);
        return bad ? err_wrap(e, bad, "tensor \"%s\"", t->name) : 0;
    }
    if (s->made) {
        return hf_made_read(f, s, p, offset, n, e);
    }
    if (s->plus_one) {
        return read_plus_one(f, s, p, offset, n, e);
    }
    const struct model_part *part = &f->part[s->part];
    int rc = file_pread(part->fd, part->path, p, n, s->offset + offset, e);
    return rc ? err_wrap(e, rc, "tensor \"%s\"", t->name) : 0;
}

int model_file_vocab(const struct model_file *f, struct vocab_source *v, struct err *e)
{
    *v = f->vocab;
    if (f->vocab_rc && e) {
        *e = f->vocab_err;
    }
    return f->vocab_rc;
}
